"""`rasterize` as a torch operation, and DepthPeeler."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster import barycentrics, visibility
from texopt.raster.arguments import array, check_tensor, check_triangles, described, flag, whole
from texopt.raster.contexts import RasterizeContext

LARGEST_SIDE = 16384
EMPTY = np.empty(0), np.empty(0, np.int32)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, pos: Tensor, tri: Tensor, images: _Images, peeled: list[Any], grad_db: bool
    ) -> Any:
        rast, rast_db = images.draw(pos, tri, peeled)
        ctx.save_for_backward(pos, tri, rast)
        ctx.grad_db = grad_db
        return rast, rast_db

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_db: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        pos, tri, rast = ctx.saved_tensors
        derivatives = grad_db.contiguous().numpy() if ctx.grad_db and grad_db.shape[-1] else None
        vertices = pos[None] if pos.ndim == 2 else pos
        grad_pos = barycentrics.gradient(
            vertices.numpy(), tri.numpy(), rast.numpy(), grad.contiguous().numpy(), derivatives
        )
        return torch.from_numpy(grad_pos.reshape(pos.shape)), None, None, None, None


def _sides(resolution: Any) -> tuple[int, int]:
    try:
        height, width = map(whole, resolution)
    except (TypeError, ValueError):
        height = width = None
    if height is None or width is None or not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        got = tuple(resolution) if isinstance(resolution, (tuple, list)) else described(resolution)
        raise OptionError(f"resolution has to be (height, width) between 1 and {LARGEST_SIDE}, not {got}")
    return height, width


class _Images:
    """How many images are drawn, how large, and which triangles are in each."""

    def __init__(
        self, ctx: RasterizeContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int] | list[int],
        ranges: Tensor | None,
    ) -> None:  # fmt: skip
        if not isinstance(ctx, RasterizeContext):
            raise OptionError(f"ctx has to be a RasterizeContext, not {type(ctx).__name__}")
        self.height, self.width = _sides(resolution)
        self.output_db = ctx.output_db
        check_tensor("pos", pos, "[B,V,4] or [V,4]", lambda pos: pos.ndim in (2, 3) and pos.shape[-1] == 4)
        instanced = pos.ndim == 3
        check_triangles(tri, pos.shape[-2], "pos")
        if len(tri) >= 1 << 24:
            raise OptionError(f"tri has {len(tri)} triangles; rast holds indices as float32, fewer than 2^24")
        if instanced:
            self.triangles = [(0, len(tri))] * len(pos)
            return
        if ranges is None:
            raise OptionError("ranges [B,2] is needed where pos is [V,4]; make pos [B,V,4] to draw all triangles")
        starts = array("ranges", ranges, torch.int32, "[B,2]", lambda it: it.ndim == 2 and it.shape[-1] == 2)
        self.triangles = [(int(start), int(start) + int(count)) for start, count in starts]
        if not all(0 <= start <= stop <= len(tri) for start, stop in self.triangles):
            raise OptionError(f"ranges has (start, count) that reach outside of the {len(tri)} triangles of tri")

    def draw(self, pos: Tensor, tri: Tensor, peeled: list[Any]) -> tuple[Tensor, Tensor]:
        """rast and rast_db of all images; `peeled` holds each image's last layer, or nothing where none is peeled."""
        count, pixels = len(self.triangles), self.height * self.width
        rast = np.empty((count, pixels, 4), np.float32)
        rast_db = np.empty((count, pixels if self.output_db else 0, 4), np.float32)
        vertices, faces = pos.detach().numpy(), tri.numpy()
        for b, (start, stop) in enumerate(self.triangles):
            last = peeled[b] if peeled else EMPTY
            own = vertices[b] if vertices.ndim == 3 else vertices
            visibility.draw(own, faces, start, stop, self.height, self.width, rast[b], rast_db[b], *last)
        shape = (count, self.height, self.width)
        rast_db = rast_db.reshape(*shape, 4) if self.output_db else np.empty((*shape, 0), np.float32)
        return torch.from_numpy(rast.reshape(*shape, 4)), torch.from_numpy(rast_db)

    def nothing_peeled(self) -> list[Any]:
        pixels = self.height * self.width
        return [(np.full(pixels, -np.inf), np.full(pixels, -1, np.int32)) for _ in self.triangles]


def rasterize(
    ctx: RasterizeContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int] | list[int],
    ranges: Tensor | None = None, grad_db: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Find what every pixel sees.

    Args:
        ctx: a RasterizeContext.
        pos: clip-space vertices, float32. Visible is -w <= x, y, z <= w; y = -w is row 0. [B,V,4] draws B images
            of all triangles (instanced mode); [V,4] draws those that `ranges` says (range mode).
        tri: vertex indices of the triangles, int32 [F,3].
        resolution: (height, width) in pixels.
        ranges: int32 [B,2], in range mode: first triangle and number of triangles of each image.
        grad_db: whether gradients of rast_db reach pos.

    Returns:
        rast: float32 [B,H,W,4], per pixel (u, v, z/w, triangle index + 1); zeros where nothing is. Barycentrics
            are perspective-correct and (u, v) = (1, 0) at the first vertex, (0, 1) at the second.
        rast_db: float32 [B,H,W,4], (du/dX, du/dY, dv/dX, dv/dY) per pixel; [B,H,W,0] if the context says so.

    Gradients reach x, y and w of pos through u and v and their derivatives; as in nvdiffrast, z/w passes none. That
    a silhouette moves is no part of them: `antialias` adds it. Of two triangles at exactly one depth the lower
    index is seen. Triangles with a vertex that is not finite, or without area, are skipped.

    Reference: Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.
    """
    images = _Images(ctx, pos, tri, resolution, ranges)
    grad_db = flag("grad_db", grad_db)
    ctx.check_current()
    if ctx.active_depth_peeler is not None:
        raise OptionError("ctx is being used by a DepthPeeler; call its rasterize_next_layer(), or use another context")
    return _Rasterize.apply(pos.contiguous(), tri.contiguous(), images, [], grad_db)  # type: ignore[no-any-return]


class DepthPeeler:
    """Draws the surfaces at each pixel one after the other, nearest first::

        with DepthPeeler(ctx, pos, tri, resolution) as peeler:
            rast, rast_db = peeler.rasterize_next_layer()

    Arguments as `rasterize`. Layers are in the order of (z/w, triangle index), so that surfaces at one depth, such
    as the two sides of a sheet, come one after the other and none is lost.
    """

    def __init__(
        self, ctx: RasterizeContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int] | list[int],
        ranges: Tensor | None = None, grad_db: bool = True,
    ) -> None:  # fmt: skip
        self._images = _Images(ctx, pos, tri, resolution, ranges)
        self._context: RasterizeContext | None = ctx
        self._arguments: tuple[Tensor, Tensor] | None = (pos.contiguous(), tri.contiguous())
        self._grad_db = flag("grad_db", grad_db)
        self._peeled: list[Any] = []

    def __enter__(self) -> DepthPeeler:
        if self._context is None:
            raise OptionError("ctx of this DepthPeeler has been given back; make a new DepthPeeler")
        if self._context.active_depth_peeler is not None:
            raise OptionError("ctx is being used by another DepthPeeler; leave that first, or use another context")
        self._context.active_depth_peeler = self
        self._peeled = self._images.nothing_peeled()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._context.active_depth_peeler = None
        self._context = self._arguments = None
        self._peeled = []

    def rasterize_next_layer(self) -> tuple[Tensor, Tensor]:
        """rast and rast_db as `rasterize` returns them, of what lies behind the layers that were drawn before."""
        if self._context is None or self._context.active_depth_peeler is not self or self._arguments is None:
            raise OptionError(
                "ctx is not held: call rasterize_next_layer() inside of `with DepthPeeler(...) as peeler:`"
            )
        self._context.check_current()
        pos, tri = self._arguments
        return _Rasterize.apply(pos, tri, self._images, self._peeled, self._grad_db)  # type: ignore[no-any-return]
