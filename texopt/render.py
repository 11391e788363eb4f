"""From mesh and cameras to what an objective sees: Fragments, images over a background, View."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.cameras import Cameras
from texopt.errors import OptionError
from texopt.features.extractor import FeatureExtractor
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
        pos = clip.float().contiguous().to(draw.geometry)
        rast, rast_db = draw.rasterize(draw.context, pos, self.faces, (height, width or height))
        uv, uv_da = draw.interpolate(self.uvs, rast, self.face_uvs, rast_db, diff_attrs="all")
        rast, uv, uv_da = (x.to(self.device) for x in (rast, uv, uv_da))
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
    batch, height, width = fragments.mask.shape
    shown = torch.where(fragments.mask, fragments.map_id, -1).flatten()
    count = torch.bincount(shown + 1, minlength=len(samplers) + 1).tolist()[1:]
    given = {index: sample for index, sample in enumerate(samplers) if sample is not None}
    # where none of them is seen, no pixel of the first: zeros as its colours would be, with a gradient
    seen = [index for index in given if count[index]] or list(given)[:1]
    if not seen:
        return fragments.uv.new_zeros(batch, 3, height, width)
    pixels = [(shown == index).nonzero()[:, 0] for index in seen]
    colors = [
        given[index](fragments.pick(some))[0].flatten(1)[:, : len(some)]
        for index, some in zip(seen, pixels, strict=True)
    ]
    out = colors[0].new_zeros(len(colors[0]), batch * height * width)
    out = out.index_copy(1, torch.cat(pixels), torch.cat(colors, 1))
    return out.reshape(-1, batch, height, width).transpose(0, 1)


def look_up(images: Tensor | Sequence[Tensor | None], fragments: Fragments) -> Tensor:
    """Colours [B,C,H,W] that images [C,h,w], row 0 on top, give the fragments: trilinear mipmaps, repeating.

    images: one for all fragments, or one a map of the mesh (None gives zeros).
    """
    if isinstance(images, Tensor):
        return _look_up(images, fragments)
    return sample_maps([None if image is None else partial(_look_up, image) for image in images], fragments)


def _look_up(image: Tensor, fragments: Fragments) -> Tensor:
    tex = image.permute(1, 2, 0)[None].contiguous()
    uv = torch.stack([fragments.uv[..., 0], 1 - fragments.uv[..., 1]], -1)
    levels = mip_levels(*image.shape[1:])
    colors: Tensor = fragments.backend.texture(tex, uv, fragments.uv_da, max_mip_level=levels)
    return colors.permute(0, 3, 1, 2)


FINEST = 0.02  # share of pixels that may be looked up one level coarser than they ask for


def finest_level(fragments: Fragments, height: int, width: int) -> int:
    """The finest mip level that pixels look up in a texture of height x width texels, 0 being the texture itself.

    But for FINEST of them; points without a footprint ask for none. Level as of nvdiffrast: log2 of the longer axis of
    the ellipse that a pixel's footprint is.
    """
    scale = fragments.uv_da.new_tensor([width, width, height, height])
    du_dx, du_dy, dv_dx, dv_dy = (fragments.uv_da[fragments.mask] * scale).unbind(-1)
    a, b, c = du_dx.square() + du_dy.square(), du_dx * dv_dx + du_dy * dv_dy, dv_dx.square() + dv_dy.square()
    longer = (a + c + ((a - c).square() + 4 * b.square()).sqrt()) / 2  # the larger eigenvalue of J Jᵀ
    longer = longer[longer > 0].cpu()  # MPS has kthvalue only since torch 2.10
    if not len(longer):
        return 0
    level = 0.5 * float(longer.kthvalue(max(int(FINEST * len(longer)), 1)).values.log2())
    return max(math.floor(level), 0)


def composite(color: Tensor, mask: Tensor, background: Tensor | float) -> Tensor:
    """The object over a background: color [B,3,H,W], mask [B,1,H,W], background broadcast to them."""
    return torch.where(mask > 0, color, torch.as_tensor(background, dtype=color.dtype, device=color.device))


@dataclass(eq=False)
class View:
    """What an objective is given: one step's renderings.

    image: float32 [B,3,H,W] in [0,1], sRGB: the textured object over the step's background; differentiable.
    mask: float32 [B,1,H,W], 1 where the object is, without what of it is kept (materials, or a painted mask).
    original: as image, with the mesh's original texture, over the same background.
    features, original_features: activations by layer name, [B,C,h,w]. One forward pass of the network gives all the
        layers that the objective uses; the first use of a layer makes it one of them.
    extractor: the network the features are of.
    seams: float32 [2,N,3], the texture's colours on the two sides of N random points on UV seams; differentiable.
    scale: pixels that one radius of the mesh spans in the middle of a view, averaged over the run's cameras that have
        this view's zoom.
    step, steps: of the run, for objectives that change with time.
    zoom: how many times closer than the run's other views this one looks; 1 but for close-ups.
    regions: from a text as of texopt.regions to that part of the mask; see `where`.
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

    def where(self, region: str) -> Tensor:
        """The mask within a part of the surface: a material, or what is white in an image painted on the UVs."""
        if self.regions is None:
            raise OptionError("this view knows no regions; optimize() makes views that do")
        return self.mask * self.regions(region)
