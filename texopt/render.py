"""From mesh and cameras to what an objective sees: Fragments, images over a background, View."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.cameras import Cameras
from texopt.constants import constant
from texopt.errors import OptionError
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.mesh import Mesh
from texopt.raster import backends, mip_levels
from texopt.raster.backends import Backend

ROW = 256  # pixels; the look-up divides its work by rows

Sample = Callable[["Fragments"], Tensor]


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the rasteriser finds at every pixel, row 0 on top. Zeros where nothing is, but for face_id.

    face_id: int32 [B,H,W], -1 where nothing is. bary: float32 [B,H,W,2], weights of a face's first two corners.
    depth: float32 [B,H,W], z/w. uv: float32 [B,H,W,2], (0,0) at the texture's lower left. uv_da: float32 [B,H,W,4],
    (du/dX, du/dY, dv/dX, dv/dY) per pixel, Y down. mask: bool [B,H,W], whether the object is there. map_id: int32
    [B,H,W], which of the mesh's textures is seen. backend: the drawing functions that they are for.
    """

    face_id: Tensor
    bary: Tensor
    depth: Tensor
    uv: Tensor
    uv_da: Tensor
    mask: Tensor
    map_id: Tensor
    backend: Backend = backends.CPU

    @cached_property
    def texture_uv(self) -> Tensor:
        """uv with (0,0) at the upper left, where an image's first texel is."""
        return torch.stack([self.uv[..., 0], 1 - self.uv[..., 1]], -1)

    def pick(self, pixels: Tensor) -> Fragments:
        """Some pixels (flat indices int64 [N]) as one image [1,h,w], row after row, filled up with the first pixel."""
        width = min(ROW, max(len(pixels), 1))
        rows = max(-(-len(pixels) // width), 1)
        padded = F.pad(pixels, (0, rows * width - len(pixels))).reshape(1, rows, width)

        def of(values: Tensor) -> Tensor:
            return values.flatten(0, 2)[padded]

        return Fragments(
            of(self.face_id), of(self.bary), of(self.depth), of(self.uv), of(self.uv_da), of(self.mask),
            of(self.map_id), self.backend,
        )  # fmt: skip


def surface_points(uv: np.ndarray, map_id: np.ndarray, backend: Backend = backends.CPU) -> Fragments:
    """Points of the surface, float [N,2] and int [N], as Fragments [1,1,N] with no footprint: the finest level."""
    flat = torch.zeros(1, 1, len(uv), 4)
    shown = torch.from_numpy(map_id.astype(np.int32)).reshape(1, 1, -1)
    there = torch.ones_like(shown, dtype=torch.bool)
    where = torch.from_numpy(uv.astype(np.float32)).reshape(1, 1, -1, 2)
    return Fragments(torch.zeros_like(shown), flat[..., :2], flat[..., 0], where, flat, there, shown, backend)


def texel_centers(height: int, width: int, rows: slice, device: torch.device | str = "cpu") -> Fragments:
    """The texels of some rows of an image, row 0 on top, as Fragments [1,rows,width] with no footprint."""
    device = torch.device(device)
    y, x = torch.arange(height, device=device)[rows], torch.arange(width, device=device)
    v, u = torch.meshgrid(1 - (y + 0.5) / height, (x + 0.5) / width, indexing="ij")
    none = torch.zeros(1, *u.shape, dtype=torch.int32, device=device)
    flat = torch.zeros(1, *u.shape, 4, device=device)
    backend = backends.select("cpu", device)
    return Fragments(none, flat[..., :2], flat[..., 0], torch.stack([u, v], -1)[None], flat, none == 0, none, backend)


class Scene:
    """A mesh made ready to be drawn many times: in the unit sphere, as tensors.

    Fragments are on `device`; `raster` is which functions draw, see texopt.raster.backends.select. With `optimized` the
    part of the mesh that is optimised fills the unit sphere; the rest may lie outside, and views cut off what of it
    would stand in between.
    """

    def __init__(
        self, mesh: Mesh, device: torch.device | str = "cpu", raster: str = "auto", optimized: bool = False
    ) -> None:
        self.device = torch.device(device)
        self.backend = backends.select(raster, self.device)
        self.vertices = mesh.unit_vertices(optimized)
        self.faces = torch.from_numpy(mesh.faces).to(self.backend.geometry)
        self.uvs = torch.from_numpy(mesh.uvs.astype(np.float32))[None].to(self.backend.geometry)
        self.face_uvs = torch.from_numpy(mesh.face_uvs).to(self.backend.geometry)
        self.face_map = torch.from_numpy(mesh.face_map).to(self.device)
        self.maps = len(mesh.maps)

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
        maps = self.face_map[face.clamp(min=0)] if self.maps > 1 else torch.zeros_like(face)
        return Fragments(face, rast[..., :2], rast[..., 2], uv, uv_da, face >= 0, maps, draw)


def rasterize(mesh: Mesh, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
    """Draw `mesh`, scaled into the unit sphere, from every camera: Fragments on the CPU."""
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
    out = colors[0].new_zeros(len(colors[0]), batch * height * width)
    out = out.index_copy(1, torch.cat(pixels), torch.cat(colors, 1))
    return out.reshape(-1, batch, height, width).transpose(0, 1)


def _sample_all(given: Mapping[int, Sample], fragments: Fragments) -> Tensor:
    """Each of the textures at all pixels: more to compute, but the number of pixels has not to be read from a GPU."""
    out = torch.zeros((), device=fragments.mask.device)
    for index, sample in given.items():
        shows = fragments.mask & (fragments.map_id == index)
        out = torch.where(shows[:, None], sample(replace(fragments, mask=shows)), out)
    return out


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
    """Colours [B,C,H,W] that images [C,h,w], row 0 on top, give the fragments: trilinear mipmaps, repeating.

    images: one for all fragments, or one a map of the mesh (None gives zeros).
    """
    if isinstance(images, (Tensor, Mipmapped)):
        return _look_up(images, fragments)
    return sample_maps([None if image is None else partial(_look_up, image) for image in images], fragments)


def _look_up(image: Picture, fragments: Fragments) -> Tensor:
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
    regions: from a text as of texopt.regions to that part of the mask; see `where`.
    frame: int64 [B], which of several pictures each image is of; see Cameras. frames: how many there are.
    alpha: float32 [B,1,H,W], opacity of the object at each pixel, 0 beside it; differentiable where textures have it.
    cameras: that the renderings are of, None where they are of none.
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
    def along(self) -> Tensor:
        """How far along the frames each image is, float32 [B]: 0 is the first, 1 the last."""
        return self.frame.to(self.image) / max(self.frames - 1, 1)

    def where(self, region: str) -> Tensor:
        """The mask within a part of the surface: a material, or what is white in an image painted on the UVs."""
        if self.regions is None:
            raise OptionError("this view knows no regions; optimize() makes views that do")
        return self.mask * self.regions(region)
