"""From mesh and cameras to what an objective sees: Fragments, images over a background, View."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.features.view_sizes import resized
from texopt.mesh.mesh import Mesh
from texopt.mesh.normals import face_normals
from texopt.mesh.wrapping import wrap_table
from texopt.raster import backends, mip_levels
from texopt.raster.backends import Backend
from texopt.render.cameras import Cameras
from texopt.render.fragments import Fragments as Fragments
from texopt.system.constants import constant

if TYPE_CHECKING:
    from texopt.render.surface import Geometry

Sample = Callable[[Fragments], Tensor]


class Scene:
    """A mesh made ready to be drawn many times: in the unit sphere, as tensors.

    Fragments are on `device`; `raster` is which functions draw, see texopt.raster.backends.select. With `optimized` the
    part of the mesh that is optimised fills the unit sphere; the rest may lie outside, and views cut off what of it
    would stand in between. radius: what is 1 then, in the mesh's own units; by default its own radius.
    """

    def __init__(
        self, mesh: Mesh, device: torch.device | str = "cpu", raster: str = "auto", optimized: bool = False,
        radius: float | None = None,
    ) -> None:  # fmt: skip
        self.device = torch.device(device)
        self.backend = backends.select(raster, self.device)
        self.mesh, (self.center, self.radius) = mesh, mesh.normalization(optimized)
        self.vertices = mesh.unit_vertices(optimized)
        if radius is not None:
            self.vertices, self.radius = self.vertices * (self.radius / radius), radius
        self.faces = torch.from_numpy(mesh.faces).to(self.backend.geometry)
        self.uvs = torch.from_numpy(mesh.uvs.astype(np.float32))[None].to(self.backend.geometry)
        self.face_uvs = torch.from_numpy(mesh.face_uvs).to(self.backend.geometry)
        self.face_map = torch.from_numpy(mesh.face_map).to(self.device)
        self.maps, self.wraps = len(mesh.maps), wrap_table(mesh.wraps)

    def rasterize(self, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
        """Draw the scene from every camera."""
        draw = self.backend
        clip = cameras.project(self.vertices.double())
        clip[..., 1].neg_()  # the drawing operations' row 0 is y = -w, an image's is the top
        pos = to_device(clip.float().contiguous(), draw.geometry)
        rast, rast_db = draw.rasterize(draw.context, pos, self.faces, (height, width or height))
        uv, uv_da = draw.interpolate(self.uvs, rast, self.face_uvs, rast_db, diff_attrs="all")
        rast, uv, uv_da = (to_device(x, self.device) for x in (rast, uv, uv_da))
        face = rast[..., 3].int() - 1
        # what the projection takes to x = y = w = 0; for a parallel one that is infinitely far away
        eye = -torch.linalg.inv_ex(cameras.projection @ cameras.view)[0][:, None, None, :, 2]
        eye = to_device(eye.float(), self.device)
        maps = self.face_map[face.clamp(min=0)] if self.maps > 1 else torch.zeros_like(face)
        return Fragments(face, rast[..., :2], rast[..., 2], uv, uv_da, face >= 0, maps, draw, self, eye, self.wraps)

    def own(self, points: Tensor, axis: int = 1) -> Tensor:
        """Points in the unit sphere, x, y and z along an axis, in the mesh's own coordinates."""
        shape = [1] * points.ndim
        shape[axis] = 3
        return self.radius * points + torch.from_numpy(self.center).to(points).reshape(shape)

    @cached_property
    def corners(self) -> Tensor:
        """Of faces, in the unit sphere: float32 [F,3,3] on the device."""
        return self.vertices[torch.from_numpy(self.mesh.faces).long()].to(self.device)

    @cached_property
    def corner_normals(self) -> Tensor:
        """Unit normals of faces' corners, of the face itself where a corner has none: float32 [F,3,3]."""
        mesh = self.mesh
        found = np.repeat(face_normals(mesh.vertices, mesh.faces)[:, None], 3, 1)
        if mesh.normals is not None and mesh.face_normals is not None:
            own = mesh.normals[mesh.face_normals]
            length = np.linalg.norm(own, axis=-1, keepdims=True)
            good = (mesh.face_normals >= 0)[..., None] & (length > 0) & np.isfinite(length)
            found = np.where(good, own / np.where(good, length, 1.0), found)
        return torch.from_numpy(found.astype(np.float32)).to(self.device)


def rasterize(mesh: Mesh, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
    """Draw `mesh`, scaled into the unit sphere, from every camera: Fragments on the CPU.

    What a View shows is `view.fragments`: a run may have the part that is optimised in the unit sphere, and transforms
    its images.
    """
    if not isinstance(mesh, Mesh) or not isinstance(cameras, Cameras):
        name, wanted, got = ("cameras", "Cameras", cameras) if isinstance(mesh, Mesh) else ("mesh", "a Mesh", mesh)
        raise OptionError(f"{name} has to be {wanted}, not a {type(got).__name__}")
    return Scene(mesh).rasterize(cameras, height, width)


def sample_maps(samplers: Sequence[Sample | None], fragments: Fragments) -> Tensor:
    """Colours [B,C,H,W] that every texture gives the fragments that show it; zeros where a sampler is None.

    samplers: one a map of the mesh, each from Fragments to [B,C,H,W].
    """
    if len(samplers) == 1 and samplers[0] is not None:
        return samplers[0](fragments)
    given = {index: sample for index, sample in enumerate(samplers) if sample is not None}
    if not given:
        batch, height, width = fragments.mask.shape
        return fragments.uv.new_zeros(batch, 3, height, width)
    return (_sample_seen if fragments.mask.device.type == "cpu" else _sample_all)(given, fragments)


def _sample_seen(given: Mapping[int, Sample], fragments: Fragments) -> Tensor:
    """Each of the textures at the pixels that show it."""
    batch, height, width = fragments.mask.shape
    shown = torch.where(fragments.mask, fragments.map_id, -1).flatten()
    count = torch.bincount(shown + 1, minlength=max(given) + 2).tolist()[1:]
    # where none of them is seen, no pixel of the first: zeros as its colours would be, with a gradient
    seen = [index for index in given if count[index]] or list(given)[:1]
    pixels = [(shown == index).nonzero()[:, 0] for index in seen]
    colors = [
        given[index](fragments.pick(some))[0].flatten(1)[:, : len(some)]
        for index, some in zip(seen, pixels, strict=True)
    ]
    _check_channels([len(some) for some in colors])
    out = colors[0].new_zeros(len(colors[0]), batch * height * width)
    out = out.index_copy(1, torch.cat(pixels), torch.cat(colors, 1))
    return out.reshape(-1, batch, height, width).transpose(0, 1)


def _sample_all(given: Mapping[int, Sample], fragments: Fragments) -> Tensor:
    """Each of the textures at all pixels: more to compute, but the number of pixels has not to be read from a GPU."""
    out, channels = torch.zeros((), device=fragments.mask.device), []
    for index, sample in given.items():
        shows = fragments.mask & (fragments.map_id == index)
        colors = sample(replace(fragments, mask=shows))
        channels.append(colors.shape[1])
        _check_channels(channels)
        out = torch.where(shows[:, None], colors, out)
    return out


def _check_channels(channels: Sequence[int]) -> None:
    if len(set(channels)) > 1:
        raise OptionError(f"all textures of a mesh have opacity, or none; these have {channels} channels")


@dataclass(frozen=True, eq=False)
class Mipmapped:
    """An image [C,h,w], row 0 on top, that stays as it is, with its mip levels: looking it up makes none."""

    texels: Tensor  # [1,h,w,C]
    levels: Any  # as the backend's texture_construct_mip makes them

    @staticmethod
    def of(image: Tensor, backend: Backend) -> Mipmapped:
        """Made for the fragments of a backend."""
        texels = image.permute(1, 2, 0)[None].contiguous()
        return Mipmapped(texels, backend.texture_construct_mip(texels, max_mip_level=mip_levels(*image.shape[1:])))


Picture = Tensor | Mipmapped


def look_up(images: Picture | Sequence[Picture | None], fragments: Fragments) -> Tensor:
    """Colours [B,C,H,W] that images [C,h,w], row 0 on top, give the fragments: trilinear mipmaps, wrapped as they say.

    images: one for all fragments, or one a map of the mesh (None gives zeros).
    """
    if isinstance(images, (Tensor, Mipmapped)):
        return _look_up(images, fragments)
    return sample_maps([None if image is None else partial(_look_up, image) for image in images], fragments)


def _look_up(image: Picture, fragments: Fragments) -> Tensor:
    height, width = image.texels.shape[1:3] if isinstance(image, Mipmapped) else image.shape[1:]
    fragments = fragments.within(height, width)
    texture, uv, uv_da = fragments.backend.texture, fragments.texture_uv, fragments.uv_da
    if isinstance(image, Mipmapped):
        colors: Tensor = texture(image.texels, uv, uv_da, mip=image.levels)
    else:
        tex = image.permute(1, 2, 0)[None].contiguous()
        colors = texture(tex, uv, uv_da, max_mip_level=mip_levels(*image.shape[1:]))
    return colors.permute(0, 3, 1, 2)


def look_up_details(rows: Tensor, sizes: Sequence[tuple[int, int]], fragments: Fragments) -> Tensor:
    """Sums [B,3,H,W] of levels of detail at the fragments; zeros where nothing is. See texopt.raster.details."""
    values: Tensor = fragments.backend.details(rows, sizes, fragments.texture_uv, fragments.uv_da, fragments.mask)
    return values.permute(0, 3, 1, 2)


def mip_level(fragments: Fragments, height: int, width: int, every: int = 8) -> Tensor:
    """The mean mip level, 0 or more, at which fragments look up an image of a size: a scalar, of some of the pixels."""
    some = (slice(None), slice(None, None, every), slice(None, None, every))
    size = constant((width, width, height, height), fragments.uv_da)
    squares = (fragments.uv_da[some] * size).square()
    level = squares.sum(-1).div(2).clamp(min=1).log2() / 2  # of the axes' root mean square
    there = fragments.mask[some]
    return (level * there).sum() / there.sum().clamp(min=1)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The same on a device; to CUDA without waiting for it."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def composite(color: Tensor, mask: Tensor, background: Tensor | float) -> Tensor:
    """The object over a background: color [B,3,H,W], or [B,4,H,W] with opacity, mask [B,1,H,W] of bool, background
    broadcast to them. Returns [B,3,H,W]."""
    behind = torch.as_tensor(background, dtype=color.dtype, device=color.device)
    if color.shape[1] == 4:
        color = behind + (color[:, :3] - behind) * color[:, 3:]
    return torch.where(mask, color, behind)


@dataclass(eq=False)
class View:
    """What an objective is given: one step's renderings.

    image: float32 [B,3,H,W] in [0,1], sRGB: the textured object over the step's background; differentiable.
    mask: float32 [B,1,H,W], 1 where the object is, without what of it is kept (materials, or a painted mask).
    original: as image, with the mesh's original texture, over the same background.
    features, original_features: activations by layer name, [B,C,h,w]. One forward pass of the network gives all the
        layers that the objective uses; the first use of a layer makes it one of them.
    extractor: the network the features are of.
    seams: float32 [2,N,3], or 4 with opacity, the texture's colours on the two sides of N random points on UV seams;
        differentiable.
    scale: pixels that one radius of the mesh spans in the middle of a view, averaged over the run's cameras that have
        this view's zoom.
    step, steps: of the run, for objectives that change with time.
    zoom: how many times closer than the run's other views this one looks; 1 but for close-ups.
    regions: from a text as of texopt.render.regions to that part of the mask; see `where`.
    frame: int64 [B], which of several pictures each image is of; see Cameras. frames: how many there are.
    alpha: float32 [B,1,H,W], opacity of the object at each pixel, 0 beside it; differentiable where textures have it.
    cameras: that the renderings are of, None where they are of none. They see the part of the mesh that is optimised in
        the unit sphere, x = (point - center) / radius with `center, radius = mesh.normalization(optimized=True)`.
    geometry: what `fragments`, `position`, `normal` and `depth` are made of, None where there is no mesh.

    These four are made when they are asked for. They belong to the image pixel by pixel: what transforms the image
    moves them too. Coordinates are the mesh's own, those of its file (a glTF scene's are its world's), not the unit
    sphere's; nothing flows back through them.
    """

    image: Tensor
    mask: Tensor
    original: Tensor
    features: Mapping[str, Tensor]
    original_features: Mapping[str, Tensor]
    extractor: FeatureExtractor
    seams: Tensor
    scale: float
    step: int = 0
    steps: int = 1
    zoom: float = 1.0
    regions: Callable[[str], Tensor] | None = None
    frame: Tensor = None  # type: ignore[assignment]  # zeros
    frames: int = 1
    alpha: Tensor = None  # type: ignore[assignment]  # the mask
    cameras: Cameras | None = None
    geometry: Geometry | None = None
    _changed: dict[Any, View | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.frame is None:
            self.frame = torch.zeros(len(self.image), dtype=torch.int64)
        if self.alpha is None:
            self.alpha = self.mask

    def with_image(self, image: Tensor, *, original: Tensor | None = None, mask: Tensor | None = None) -> View:
        """The same view with another image, and the features of that: under a light, through a lens, in grey.

        Its original, mask and all else stay as they are unless they are given; `texopt.on` has objectives look at it.

        Args:
            image: float [B,3,H,W], as large as the view's own; of it, for the gradient to reach the texture.
            original: [B,3,H,W], that is compared with it, with its features.
            mask: [B,1,H,W] of 0 and 1.

        OptionError where a size is another.
        """
        changed: dict[str, Any] = {}
        for name, values in (("image", image), ("original", original), ("mask", mask)):
            if values is None:
                continue
            wanted = getattr(self, name).shape
            if not isinstance(values, Tensor) or values.shape != wanted:
                got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise OptionError(f"with_image takes {name} as large as the view's own, {list(wanted)}, not {got}")
            changed[name] = values
        for name, of in (("features", "image"), ("original_features", "original")):
            if of in changed:
                known = getattr(self, name)
                if not isinstance(known, Activations):
                    known = Activations(self.extractor, image, set(known), name == "features")
                changed[name] = known.of(changed[of])
        return replace(self, **changed)

    def at(self, size: float, layers: Iterable[str] = ()) -> View:
        """The same view drawn smaller: image, mask, original, alpha and their features; it has no geometry.

        size: of its sides, a share of those of this one, about: they are whole strides of the network. layers: of the
        features, that are known to be asked for; those of one pass through the network.
        """
        if size == 1:
            return self
        known = self._changed.get((size, "at"))
        if known is None:
            small, regions = partial(resized, size=size, stride=self.extractor.stride), self.regions

            def small_region(region: str) -> Tensor:
                assert regions
                return small(regions(region))

            image, original, wanted = small(self.image), small(self.original), set(layers)
            known = replace(
                self, image=image, mask=small(self.mask), original=original, alpha=small(self.alpha),
                features=Activations(self.extractor, image, wanted),
                original_features=Activations(self.extractor, original, set(wanted), False),
                regions=regions and small_region, scale=self.scale * size, geometry=None,
            )  # fmt: skip
            self._changed[size, "at"] = known
        return known

    def changed(self, change: Callable[[View], View]) -> View:
        """What a function makes of this view. It is called once, so that all who ask share the features.

        OptionError where it does not return a View.
        """
        key = change if isinstance(change, Hashable) else id(change)
        if key not in self._changed:
            made = change(self)
            if not isinstance(made, View):
                got = type(made).__name__
                raise OptionError(f"a change has to return a View, as view.with_image(...) does, not {got}")
            self._changed[key] = None if made is self else made  # no cycle, which would keep a step's memory
        return self._changed[key] or self

    @property
    def look(self) -> str:
        """How closely this view looks: its zoom and scale. What an objective remembers of views is for each its own."""
        return f"zoom {self.zoom:.6g}, scale {self.scale:.6g}"

    @property
    def along(self) -> Tensor:
        """How far along the frames each image is, float32 [B]: 0 is the first, 1 the last."""
        return self.frame.to(self.image) / max(self.frames - 1, 1)

    @property
    def fragments(self) -> Fragments:
        """What the rasteriser found at every pixel: faces, barycentrics, UVs. Where the image was transformed, what it
        found at the nearest pixel."""
        return self._geometry().fragments

    @property
    def position(self) -> Tensor:
        """Which point of the surface each pixel shows: float32 [B,3,H,W], zeros where nothing is."""
        return self._geometry().position

    @property
    def normal(self) -> Tensor:
        """The surface's normal, as of Fragments.normal: float32 [B,3,H,W] of length 1, zeros where nothing is."""
        return self._geometry().normal

    @property
    def depth(self) -> Tensor:
        """How far the surface is from the camera along the line of sight, in the units of the mesh: float32 [B,1,H,W],
        zeros where nothing is. (`fragments.depth` is z/w.)"""
        return self._geometry().depth

    def _geometry(self) -> Geometry:
        if self.geometry is None:
            raise OptionError("this view knows no geometry; optimize() makes views that do")
        return self.geometry

    def detached(self) -> View:
        """The same without gradients: what keeps it keeps nothing of how it was computed."""
        image = self.image.detach()
        return replace(
            self, image=image, seams=self.seams.detach(), alpha=self.alpha.detach(),
            features=Activations(self.extractor, image, set(), False),
            original_features=Activations(self.extractor, self.original, set(), False),
        )  # fmt: skip

    def where(self, region: str) -> Tensor:
        """The mask within a part of the surface: a material, or what is white in an image painted on the UVs."""
        if self.regions is None:
            raise OptionError("this view knows no regions; optimize() makes views that do")
        return self.mask * self.regions(region)
