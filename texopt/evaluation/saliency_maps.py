"""Saliency: which places of a surface make an objective what it is. An image is a canvas (texopt.canvas)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.features.backbones import DEFAULT, as_extractor
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.features.guided import guided
from texopt.features.view_sizes import Size, check_stride, sides
from texopt.mesh.image_canvas import GREY
from texopt.mesh.mesh import Mesh
from texopt.objectives.terms import Loss, Objective, as_objective
from texopt.objectives.view import View
from texopt.render.backgrounds import composite
from texopt.render.cameras import Cameras, fixed_views
from texopt.render.look_up import look_up
from texopt.render.samplers import mean_scale
from texopt.render.scene import Scene
from texopt.render.surface import Geometry
from texopt.system.devices import resolve_device

VIEWS = 16
PATCH = 3  # what hides a part of a view is as many times smaller a side
PLACES = 7  # of it along a side
# the map "inferno" in nine even steps (van der Walt & Smith 2015, bids.github.io/colormap, CC0)
INFERNO = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"

Score = Callable[[Tensor], Tensor]  # a rendering [1,3,H,W] -> how well it does by the objective, a scalar
Evidence = Callable[[Score, Tensor, Tensor], Tensor]  # score, rendering, mask [1,1,H,W] -> [1,C,H,W]


def _gradient(score: Score, image: Tensor, mask: Tensor) -> Tensor:
    image = image.detach().requires_grad_()
    value = score(image)
    if not value.requires_grad:
        raise OptionError("the objective does not depend on the texture; make it of view.image or view.features")
    return torch.autograd.grad(value, image)[0]


def _guided(score: Score, image: Tensor, mask: Tensor) -> Tensor:
    with guided() as rectifiers:
        found = _gradient(score, image, mask)
    if not rectifiers.count:
        raise OptionError("the network has no ReLU to guide gradients at; take the method gradient or occlusion")
    return found


def _starts(length: int) -> list[int]:
    """Where patches begin along a side."""
    return [index * (length - length // PATCH) // (PLACES - 1) for index in range(PLACES)]


@torch.no_grad()
def _occlusion(score: Score, image: Tensor, mask: Tensor) -> Tensor:
    height, width = image.shape[2:]
    whole, lost, times = score(image), torch.zeros_like(mask), torch.zeros_like(mask)
    for top in _starts(height):
        for left in _starts(width):
            patch = (..., slice(top, top + height // PATCH), slice(left, left + width // PATCH))
            if mask[patch].any():
                hidden = image.clone()
                hidden[patch] = GREY / 255
                lost[patch] += whole - score(hidden)
                times[patch] += 1
    return lost / times.clamp(min=1)


METHODS: dict[str, Evidence] = {"gradient": _gradient, "guided": _guided, "occlusion": _occlusion}


@contextmanager
def _exact(extractor: FeatureExtractor) -> Iterator[None]:
    """With the network in float32: what a patch changes is little."""
    half, extractor.half_precision = extractor.half_precision, False
    try:
        yield
    finally:
        extractor.half_precision = half


def saliency(
    mesh: Mesh, objective: Objective | Loss, *, method: str = "gradient", cameras: Cameras | None = None,
    view_size: Size = 256, backbone: str | FeatureExtractor = DEFAULT, device: str = "auto", raster: str = "auto",
) -> list[Tensor]:  # fmt: skip
    """Which texels of a mesh's own textures an objective depends on, in renderings from all around.

        mesh = texopt.canvas("cat.jpg")
        cameras = texopt.whole(mesh)(torch.Generator(), 1, 0)
        (found,) = texopt.saliency(mesh, texopt.logit(285), cameras=cameras, view_size=(256, 384))

    The derivative of every view's objective is taken to the texture, of its three colours the largest magnitude; these
    are added up over the views, and divided by how many pixels show the texel, as charts differ in scale.

    Args:
        mesh: with its textures; or a canvas, seen by cameras of `whole`.
        objective: as of optimize; what lowers it counts as for it.
        method: "gradient" (Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2013, section 3);
            "guided", where gradients through ReLUs have to be positive (see texopt.features.guided); "occlusion", how
            much is lost where a grey patch hides a part of the view (Zeiler & Fergus, "Visualizing and Understanding
            Convolutional Networks", 2014, section 4.2): a third of the view a side, in 49 places at most.
        cameras: by default fixed_views(VIEWS).
        view_size: pixels a side of a rendering, or its (height, width); multiples of the network's stride,
            which is 32 of most.
        backbone: name of a pretrained network, or a FeatureExtractor.
        device: as of optimize.
        raster: as of optimize.

    Returns:
        float32 [h,w] on the CPU, one a map of the mesh, row 0 on top: at least 0 but for occlusion, which is negative
        where a patch helps; 0 where no view looks.

    OptionError: an option that cannot be, an objective that does not depend on the view, guided without ReLUs.
    """
    if method not in METHODS:
        raise OptionError(f"method has to be one of {', '.join(METHODS)}, not {method!r}")
    if cameras is not None and not isinstance(cameras, Cameras):
        raise OptionError(f"cameras has to be Cameras, as of texopt.orbit, not a {type(cameras).__name__}")
    objective, target = as_objective(objective), resolve_device(device)
    objective.reset()
    extractor = as_extractor(backbone, target)
    check_stride(view_size, extractor.stride)
    scene, textures = Scene(mesh, target, raster), [image.to(target) for image in mesh.originals()]
    cameras = fixed_views(VIEWS) if cameras is None else cameras
    evidence = [torch.zeros(texture.shape[1:], device=target) for texture in textures]
    pixels = [torch.zeros_like(image) for image in evidence]
    with _exact(extractor):
        for index in range(len(cameras)):
            camera = cameras[index : index + 1]
            fragments = scene.rasterize(camera, *sides(view_size))
            mask = fragments.mask[:, None].float()
            image = composite(look_up(textures, fragments), fragments.mask[:, None], GREY / 255)
            found = METHODS[method](_score(objective, extractor, image, mask, Geometry(fragments, camera)), image, mask)
            leaves = [image.new_zeros(found.shape[1] + 1, *one.shape, requires_grad=True) for one in evidence]
            wanted = torch.cat([found, torch.ones_like(mask)], 1) * mask
            slopes = torch.autograd.grad(look_up(leaves, fragments), leaves, wanted, materialize_grads=True)
            for slope, total, count in zip(slopes, evidence, pixels, strict=True):
                total += slope[0] if method == "occlusion" else slope[:-1].abs().amax(0)
                count += slope[-1]
    return [(total / count.clamp(min=1e-6)).cpu() for total, count in zip(evidence, pixels, strict=True)]


def _score(
    objective: Objective, extractor: FeatureExtractor, before: Tensor, mask: Tensor, geometry: Geometry
) -> Score:
    camera = geometry.cameras
    layers: set[str] = set()
    original, none = Activations(extractor, before, set(), False), before.new_zeros(2, 0, 3)
    scale = before.shape[2] * mean_scale([camera])

    def score(image: Tensor) -> Tensor:
        view = View(
            image, mask, before, Activations(extractor, image, layers), original, extractor, none, scale,
            zoom=camera.zoom, frame=camera.frame.to(image.device), frames=camera.frames, cameras=camera,
            geometry=geometry,
        )  # fmt: skip
        return -objective(view)[0]

    return score


def _inferno(share: Tensor) -> Tensor:
    """[h,w] in [0,1] -> [3,h,w], from black over red to light yellow."""
    colors = torch.tensor([[*bytes.fromhex(code)] for code in INFERNO.split()]) / 255
    place = share * (len(colors) - 1)
    below = place.floor().long().clamp(max=len(colors) - 2)
    return torch.lerp(colors[below], colors[below + 1], (place - below)[..., None]).permute(2, 0, 1)


def heat(maps: Sequence[Tensor], pictures: Sequence[Tensor]) -> list[Tensor]:
    """Maps as heat over pictures: dark grey where nothing is, to yellow at the top half per cent of all maps.

    maps: [h,w], what is below 0 counts as 0; pictures: [3,H,W] in [0,1]. Returns [3,H,W].
    """
    from texopt.system.images import resized

    smooth = [
        resized(one[None].clamp(min=0), *picture.shape[1:])[0] for one, picture in zip(maps, pictures, strict=True)
    ]
    values = torch.cat([one[one > 0] for one in smooth])
    top = float(values.sort().values[int(0.995 * (len(values) - 1))]) if len(values) else 1.0
    out = []
    for one, picture in zip(smooth, pictures, strict=True):
        share = (one / top).clamp(0, 1).sqrt()
        out.append(torch.lerp(0.5 * picture.mean(0, keepdim=True).expand_as(picture), _inferno(share), share))
    return out
