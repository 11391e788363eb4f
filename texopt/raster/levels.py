"""The sum of a pyramid's levels, each upsampled to the size of the finest, and its gradient: numba kernels.

Upsampling is bilinear between texel centres, edges held (torch's interpolate without align_corners): a finer texel
is 3/4 of the one that it is in and 1/4 of the next one on its side, along rows and along columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster.arguments import check_tensor
from texopt.raster.kernels import at, expanded, for_each_block, kernel

CHANNELS = 3
NEAR, FAR = np.float32(0.75), np.float32(0.25)
BLOCK = 1 << 15  # numbers of a level that a block of work makes, about


@kernel
def _grow(block, rows, coarse, level, out):
    """Rows of out: level plus the upsampled coarse. All are [H,3*W]."""
    last, width = len(coarse) - 1, coarse.shape[1]
    blend = np.empty(width + 2 * CHANNELS, np.float32)  # of two coarse rows, with its ends held
    for y in range(block * rows, min((block + 1) * rows, len(out))):
        near = y >> 1
        far = min(max(near - 1 + 2 * (y & 1), 0), last)
        for x in range(width):
            blend[at(x + CHANNELS)] = NEAR * coarse[at(near), at(x)] + FAR * coarse[at(far), at(x)]
        for c in range(CHANNELS):
            blend[at(c)] = blend[at(c + CHANNELS)]
            blend[at(width + CHANNELS + c)] = blend[at(width + c)]
        for x in range(width // CHANNELS):
            for c in range(CHANNELS):
                i = x * CHANNELS + c
                left, here, right = blend[at(i)], blend[at(i + CHANNELS)], blend[at(i + 2 * CHANNELS)]
                to = 2 * x * CHANNELS + c
                out[at(y), at(to)] = level[at(y), at(to)] + (NEAR * here + FAR * left)
                to += CHANNELS
                out[at(y), at(to)] = level[at(y), at(to)] + (NEAR * here + FAR * right)


@expanded
def _gathered(inner_a, inner_b, outer_a, outer_b):
    """The adjoint of upsampling along an axis, for one texel: of the two in it, and the next ones on either side."""
    return NEAR * (inner_a + inner_b) + FAR * (outer_a + outer_b)


@kernel
def _shrink(block, rows, fine, coarse):
    """Rows of coarse: the adjoint of upsampling, of the gradient fine. At the edges a texel is its own next one."""
    last, width = len(fine) - 1, fine.shape[1]
    blend = np.empty(width + 2 * CHANNELS, np.float32)
    for y in range(block * rows, min((block + 1) * rows, len(coarse))):
        above, below = max(2 * y - 1, 0), min(2 * y + 2, last)
        for x in range(width):
            blend[at(x + CHANNELS)] = _gathered(
                fine[at(2 * y), at(x)], fine[at(2 * y + 1), at(x)], fine[at(above), at(x)], fine[at(below), at(x)]
            )
        for c in range(CHANNELS):
            blend[at(c)] = blend[at(c + CHANNELS)]
            blend[at(width + CHANNELS + c)] = blend[at(width + c)]
        for x in range(width // CHANNELS // 2):
            for c in range(CHANNELS):
                i = 2 * x * CHANNELS + c
                coarse[at(y), at(x * CHANNELS + c)] = _gathered(
                    blend[at(i + CHANNELS)], blend[at(i + 2 * CHANNELS)], blend[at(i)], blend[at(i + 3 * CHANNELS)]
                )


def _rows(values: Tensor) -> np.ndarray:
    return values.detach().contiguous().numpy().reshape(len(values), -1)


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *levels: Tensor) -> Tensor:  # type: ignore[override]
        ctx.shapes = [level.shape for level in levels]
        total = _rows(levels[0].clone() if len(levels) == 1 else levels[0])
        for level in levels[1:]:
            coarse, total = total, np.empty((level.shape[0], level.shape[1] * CHANNELS), np.float32)
            rows = max(BLOCK // total.shape[1], 1)
            for_each_block(_grow, -(-len(total) // rows), rows, coarse, _rows(level), total)
        return torch.from_numpy(total.reshape(levels[-1].shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        grads = [grad.contiguous()]
        for height, width, channels in ctx.shapes[-2::-1]:
            coarse = np.empty((height, width * channels), np.float32)
            rows = max(BLOCK // coarse.shape[1], 1)
            for_each_block(_shrink, -(-height // rows), rows, _rows(grads[0]), coarse)
            grads.insert(0, torch.from_numpy(coarse.reshape(height, width, channels)))
        return tuple(grads)


@kernel
def _average(block, rows, image, side, out):
    """Rows of out: side, 1 - 2 side and side of neighbours in image [H,3*W], along rows and columns, wrapped."""
    height, width = image.shape
    middle = np.float32(1) - (side + side)
    blend = np.empty(width + 2 * CHANNELS, np.float32)
    for y in range(block * rows, min((block + 1) * rows, height)):
        above, below = height - 1 if y == 0 else y - 1, 0 if y == height - 1 else y + 1
        for x in range(width):
            beside = image[at(above), at(x)] + image[at(below), at(x)]
            blend[at(x + CHANNELS)] = middle * image[at(y), at(x)] + side * beside
        for c in range(CHANNELS):
            blend[at(c)] = blend[at(width + c)]
            blend[at(width + CHANNELS + c)] = blend[at(CHANNELS + c)]
        for x in range(width):
            beside = blend[at(x)] + blend[at(x + 2 * CHANNELS)]
            out[at(y), at(x)] = middle * blend[at(x + CHANNELS)] + side * beside


class _Averaged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, share: float) -> Tensor:  # type: ignore[override]
        ctx.share = share
        out = np.empty((len(image), image.shape[1] * CHANNELS), np.float32)
        rows = max(BLOCK // out.shape[1], 1)
        for_each_block(_average, -(-len(out) // rows), rows, _rows(image), np.float32(share / 8), out)
        return torch.from_numpy(out.reshape(image.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Averaged.apply(grad, ctx.share), None  # it is symmetric


def average(image: Tensor, share: Tensor) -> Tensor:
    """What an image is from afar, where its texels are interpolated when it is baked at a larger size: float32 [H,W,3].

    The mean of bilinear interpolation over a texel is 3/4 of the texel and 1/8 of those on either side, along rows and
    along columns, whatever the larger size: so the mip level that has the image's size is not the image itself.

    image: float32 [H,W,3], wrapped. share: a scalar from 0, the texels as they are, to 1, their means. Bit for bit the
    same on any number of threads; differentiable in the image.
    """
    check_tensor("image", image, f"[H,W,{CHANNELS}]", lambda image: image.ndim == 3 and image.shape[2] == CHANNELS)
    return _Averaged.apply(image, float(share)) if share > 0 else image  # type: ignore[no-any-return]


def portable_average(image: Tensor, share: Tensor) -> Tensor:
    """As average, of torch operations, on any device."""
    side = share / 8
    for axis in (0, 1):
        image = (1 - 2 * side) * image + side * (image.roll(1, axis) + image.roll(-1, axis))
    return image


def check_levels(levels: Sequence[Tensor]) -> None:
    """OptionError unless each level is twice as large as the one before."""
    for coarse, fine in pairwise(levels):
        if fine.shape[:2] != (2 * coarse.shape[0], 2 * coarse.shape[1]):
            raise OptionError(f"a level of {list(fine.shape)} has to be twice as large as {list(coarse.shape)}")


def add_levels(levels: Sequence[Tensor]) -> Tensor:
    """The sum of levels, each upsampled to the finest: float32 [H,W,3].

    levels: float32 [h,w,3], the coarsest first, each twice as large as the one before. Bit for bit the same in every
    run, on any number of threads; differentiable.
    """
    for level in levels:
        check_tensor("level", level, f"[h,w,{CHANNELS}]", lambda level: level.ndim == 3 and level.shape[2] == CHANNELS)
    check_levels(levels)
    return _Added.apply(*levels)  # type: ignore[no-any-return]


def portable_add_levels(levels: Sequence[Tensor]) -> Tensor:
    """As add_levels, of torch operations, on any device."""
    check_levels(levels)
    total = levels[0].permute(2, 0, 1)[None]
    for level in levels[1:]:
        total = F.interpolate(total, scale_factor=2.0, mode="bilinear") + level.permute(2, 0, 1)[None]
    return total[0].permute(1, 2, 0)
