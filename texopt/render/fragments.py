"""Fragments: what the rasteriser finds at pixels, and where on the surface that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.wrapping import MIRROR, MODES, REPEAT, wrap_table
from texopt.raster import backends
from texopt.raster.backends import Backend
from texopt.system.constants import constant

if TYPE_CHECKING:
    from texopt.mesh.mesh import Mesh
    from texopt.render.scene import Scene

ROW = 256  # pixels; the look-up divides its work by rows


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the rasteriser finds at every pixel, row 0 on top. Zeros where nothing is, but for face_id.

    face_id: int32 [B,H,W], -1 where nothing is. bary: float32 [B,H,W,2], weights of a face's first two corners.
    depth: float32 [B,H,W], z/w. uv: float32 [B,H,W,2], (0,0) at the texture's lower left. uv_da: float32 [B,H,W,4],
    (du/dX, du/dY, dv/dX, dv/dY) per pixel, Y down. mask: bool [B,H,W], whether the object is there. map_id: int32
    [B,H,W], which of the mesh's textures is seen. backend: the drawing functions that they are for. scene: that was
    drawn, and eye: float32 [B,1,1,4] or [B,H,W,4], the cameras' centres in its unit sphere, homogeneous, so that those
    of parallel projections are directions; None where fragments are of no rendering, as of a texture's texels. wraps:
    of the mesh's textures, as of texopt.mesh.wrapping.wrap_table; None where all repeat.

    `position`, `normal` and `view_direction` are made when they are asked for, for textures that depend on them.
    """

    face_id: Tensor
    bary: Tensor
    depth: Tensor
    uv: Tensor
    uv_da: Tensor
    mask: Tensor
    map_id: Tensor
    backend: Backend = backends.CPU
    scene: Scene | None = None
    eye: Tensor | None = None
    wraps: tuple[tuple[int, int], ...] | None = None

    @cached_property
    def texture_uv(self) -> Tensor:
        """uv with (0,0) at the upper left, where an image's first texel is."""
        return torch.stack([self.uv[..., 0], 1 - self.uv[..., 1]], -1)

    def within(self, height: int, width: int) -> Fragments:
        """The same for a look-up that repeats, in an image of a size: where textures do not, uv is in the image."""
        if self.wraps is None:
            return self
        modes = constant(self.wraps, self.uv, torch.int64)[self.map_id.long()]
        return replace(self, uv=_brought_inside(self.uv, self.uv_da, modes, height, width), wraps=None)

    @cached_property
    def position(self) -> Tensor:
        """Where the surface is, in the mesh's own coordinates: float32 [B,H,W,3], zeros where nothing is."""
        return self.known_scene().own(self.unit_position, -1) * self.mask[..., None]

    @cached_property
    def unit_position(self) -> Tensor:
        """Where the surface is in the unit sphere, as cameras see it: float32 [B,H,W,3], zeros where nothing is."""
        return self.interpolated(self.known_scene().corners)

    @cached_property
    def normal(self) -> Tensor:
        """The surface's normal, of length 1: float32 [B,H,W,3], zeros where nothing is.

        Interpolated between the mesh's own normals, or the face's where it has none; outward as faces are wound, so
        that it looks away from a camera that sees a face's back.
        """
        return F.normalize(self.interpolated(self.known_scene().corner_normals), dim=-1)

    @cached_property
    def view_direction(self) -> Tensor:
        """From the surface towards the camera, of length 1: float32 [B,H,W,3], zeros where nothing is."""
        self.known_scene()
        if self.eye is None:
            raise OptionError("these fragments are of no camera's rendering, so that they have no view_direction")
        towards = self.eye[..., :3] - self.eye[..., 3:] * self.unit_position
        return F.normalize(towards, dim=-1) * self.mask[..., None]

    def known_scene(self) -> Scene:
        """The scene. OptionError where there is none."""
        if self.scene is None:
            raise OptionError(
                "these fragments are of no rendering but of a texture's texels, so that they have no position, normal "
                "and view_direction"
            )
        return self.scene

    def interpolated(self, corners: Tensor) -> Tensor:
        """Values of faces' corners [F,3,C] at the pixels: [B,H,W,C]."""
        weights = torch.cat([self.bary, 1 - self.bary.sum(-1, keepdim=True)], -1) * self.mask[..., None]
        return (corners[self.face_id.clamp(min=0).long()] * weights[..., None]).sum(-2)

    def pick(self, pixels: Tensor) -> Fragments:
        """Some pixels (flat indices int64 [N]) as one image [1,h,w], row after row, filled up with the first pixel."""
        return self.at(in_rows(pixels))

    def below(self, row: int) -> Fragments:
        """The rows from one on, of which no camera is known."""

        def of(values: Tensor) -> Tensor:
            return values[:, row:]

        return replace(
            self, face_id=of(self.face_id), bary=of(self.bary), depth=of(self.depth), uv=of(self.uv),
            uv_da=of(self.uv_da), mask=of(self.mask), map_id=of(self.map_id), eye=None,
        )  # fmt: skip

    def at(self, pixels: Tensor) -> Fragments:
        """The pixels with flat indices int64 [b,h,w], as images [b,h,w]."""

        def of(values: Tensor) -> Tensor:
            return values.flatten(0, 2)[pixels]

        return Fragments(
            of(self.face_id), of(self.bary), of(self.depth), of(self.uv), of(self.uv_da), of(self.mask),
            of(self.map_id), self.backend, self.scene,
            None if self.eye is None else of(self.eye.expand(*self.mask.shape, 4)), self.wraps,
        )  # fmt: skip

    def only(self, there: Tensor) -> Fragments:
        """The same, with nothing where bool [B,H,W] says so."""

        def of(values: Tensor) -> Tensor:
            return torch.where(there if values.ndim == 3 else there[..., None], values, 0)

        return replace(
            self, face_id=torch.where(there, self.face_id, -1), bary=of(self.bary), depth=of(self.depth),
            uv=of(self.uv), uv_da=of(self.uv_da), mask=self.mask & there, map_id=of(self.map_id),
        )  # fmt: skip


def in_rows(pixels: Tensor) -> Tensor:
    """Indices int64 [N] as one image [1,h,w], row after row, filled up with zeros."""
    width = min(ROW, max(len(pixels), 1))
    rows = max(-(-len(pixels) // width), 1)
    return F.pad(pixels, (0, rows * width - len(pixels))).reshape(1, rows, width)


def surface_points(mesh: Mesh, uv: np.ndarray, map_id: np.ndarray, backend: Backend = backends.CPU) -> Fragments:
    """Points of the surface, float [N,2] and int [N], as Fragments [1,1,N] with no footprint: the finest level."""
    flat = torch.zeros(1, 1, len(uv), 4)
    shown = torch.from_numpy(map_id.astype(np.int32)).reshape(1, 1, -1)
    there = torch.ones_like(shown, dtype=torch.bool)
    where = torch.from_numpy(uv.astype(np.float32)).reshape(1, 1, -1, 2)
    return Fragments(
        torch.zeros_like(shown), flat[..., :2], flat[..., 0], where, flat, there, shown, backend,
        wraps=wrap_table(mesh.wraps),
    )  # fmt: skip


def texel_centers(height: int, width: int, rows: slice, device: torch.device | str = "cpu") -> Fragments:
    """The texels of some rows of an image, row 0 on top, as Fragments [1,rows,width] with no footprint."""
    device = torch.device(device)
    y, x = torch.arange(height, device=device)[rows], torch.arange(width, device=device)
    v, u = torch.meshgrid(1 - (y + 0.5) / height, (x + 0.5) / width, indexing="ij")
    none = torch.zeros(1, *u.shape, dtype=torch.int32, device=device)
    flat = torch.zeros(1, *u.shape, 4, device=device)
    backend = backends.select("cpu", device)
    return Fragments(none, flat[..., :2], flat[..., 0], torch.stack([u, v], -1)[None], flat, none == 0, none, backend)


def _brought_inside(uv: Tensor, uv_da: Tensor, modes: Tensor, height: int, width: int) -> Tensor:
    """Coordinates with which a look-up that repeats finds what one that is clamped or mirrored would.

    Every backend repeats, and so do parameterisations. Coordinates are brought into the image, and away from its edges
    by half a texel of the mip level that is looked up, so that no texel of the opposite edge is blended in.

    Args:
        uv: float32 [...,2].
        uv_da: float32 [...,4], (du/dX, du/dY, dv/dX, dv/dY).
        modes: int64 [...,2], indices into MODES, along u and along v.
        height, width: of the image.

    Returns:
        float32 [...,2], as they were along axes that repeat.
    """
    a, b, c, d = (uv_da * constant((width, width, height, height), uv_da)).unbind(-1)
    squares, area = a.square() + b.square() + c.square() + d.square(), a * d - b * c
    axis = (squares + (squares.square() - 4 * area.square()).clamp(min=0).sqrt()) / 2  # the longer one, squared
    level = (axis.clamp(min=1).log2() / 2).ceil()  # the coarser of the two that are blended
    half = 0.5 + 5e-4  # a texel; rounding must not reach over the edge
    margin = (half * level.exp2()[..., None] / constant((width, height), uv)).clamp(max=0.5)
    inside = torch.where(modes == MODES.index(MIRROR), 1 - (uv.remainder(2) - 1).abs(), uv)
    return torch.where(modes == MODES.index(REPEAT), uv, inside.maximum(margin).minimum(1 - margin))
