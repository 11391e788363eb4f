"""Sums of levels of detail at pixels: what a Laplacian pyramid shows there, at a cost of the pixels drawn.

The levels are images of one texture, each twice as large as the next: level 0 has its full size. A pixel adds up all
that are no finer than what it sees, the finest of them faded in by how much of it is: so a pixel of mip level 1.3 has
0.7 of level 1 and the whole of level 2, 3, ... What it sees is its mip level, as `texture` has it. All texels lie in
one tensor of rows, of ROW texels that are neighbours in an image; its gradient has the rows that were looked at alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster.addressing import halving_quad
from texopt.raster.arguments import check_tensor
from texopt.raster.kernels import at, for_each_block, inlined, kernel

ROW = 32  # texels
SHIFT = 5  # its logarithm
CHANNELS = 3
BLOCK = 8192  # pixels that a block of work draws


@inlined
def _level(uv_da, p, height, width):
    """Mip level of a pixel, as of pixel_level in addressing.py, 0 at least; in float32, which compilers vectorise."""
    s_x, s_y, t_x, t_y = uv_da[p, 0] * width, uv_da[p, 1] * width, uv_da[p, 2] * height, uv_da[p, 3] * height
    a, b, c = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
    half = np.float32(0.5) * (a - b)
    major = np.float32(0.5) * (a + b) + np.sqrt(half * half + c * c)
    return np.float32(0.5) * math.log2(major) if major > 1.0 else np.float32(0.0)


@inlined
def _share(level, step):
    """Of a level that is the step-th from the finest one a pixel sees."""
    return np.float32(1.0) - (level - np.float32(int(level))) if step == 0 else np.float32(1.0)


@kernel
def _add_up(block, texels, table, uv, uv_da, mask, out, levels, touched):
    """Values and mip levels of a block of pixels, and the rows they look at. Level: len(table) - 1 where mask is 0."""
    count, first, last = len(table) - 1, block * BLOCK, min((block + 1) * BLOCK, len(out))
    height, width = np.float32(table[0, 1]), np.float32(table[0, 2])
    for pixel in range(first, last):
        p = at(pixel)
        there = mask[p] and math.isfinite(uv[p, 0]) and math.isfinite(uv[p, 1])
        levels[p] = min(_level(uv_da, p, height, width), np.float32(count)) if there else np.float32(count)
    for pixel in range(first, last):
        p = at(pixel)
        red = green = blue = np.float32(0.0)
        level = levels[p]
        if level < count:
            u, v = uv[p, 0] - np.floor(uv[p, 0]), uv[p, 1] - np.floor(uv[p, 1])
            for k in range(int(level), count):
                start, h, w = table[at(k), 0], table[at(k), 1], table[at(k), 2]
                a, b, c, d, w00, w01, w10, w11 = halving_quad(u, v, start, h, w, _share(level, k - int(level)))
                touched[at(a >> SHIFT)] = touched[at(b >> SHIFT)] = True
                touched[at(c >> SHIFT)] = touched[at(d >> SHIFT)] = True
                a, b, c, d = a * CHANNELS, b * CHANNELS, c * CHANNELS, d * CHANNELS
                red += (w00 * texels[at(a)] + w01 * texels[at(b)]) + (w10 * texels[at(c)] + w11 * texels[at(d)])
                a, b, c, d = a + 1, b + 1, c + 1, d + 1
                green += (w00 * texels[at(a)] + w01 * texels[at(b)]) + (w10 * texels[at(c)] + w11 * texels[at(d)])
                a, b, c, d = a + 1, b + 1, c + 1, d + 1
                blue += (w00 * texels[at(a)] + w01 * texels[at(b)]) + (w10 * texels[at(c)] + w11 * texels[at(d)])
        out[p, 0], out[p, 1], out[p, 2] = red, green, blue


@inlined
def _give(grad, slots, texel, weight, owner, owners, red, green, blue):
    """Add a pixel's gradient to that of a texel, if its row is one of this owner's."""
    row = texel >> SHIFT
    if row & (owners - 1) == owner:
        to = at((slots[at(row)] * ROW + (texel & (ROW - 1))) * CHANNELS)
        grad[to] += weight * red
        grad[to + at(1)] += weight * green
        grad[to + at(2)] += weight * blue


@kernel
def _scatter(owner, owners, grad, slots, table, uv, levels, cotangent):
    """Add every pixel's gradient to the texels it looked at in the rows of one owner, in the order of pixels."""
    count = len(table) - 1
    for pixel in range(len(levels)):
        p = at(pixel)
        level = levels[p]
        red, green, blue = cotangent[p, 0], cotangent[p, 1], cotangent[p, 2]
        if not level < count or (red == 0.0 and green == 0.0 and blue == 0.0):
            continue
        u, v = uv[p, 0] - np.floor(uv[p, 0]), uv[p, 1] - np.floor(uv[p, 1])
        for k in range(int(level), count):
            start, h, w = table[at(k), 0], table[at(k), 1], table[at(k), 2]
            a, b, c, d, w00, w01, w10, w11 = halving_quad(u, v, start, h, w, _share(level, k - int(level)))
            _give(grad, slots, a, w00, owner, owners, red, green, blue)
            _give(grad, slots, b, w01, owner, owners, red, green, blue)
            _give(grad, slots, c, w10, owner, owners, red, green, blue)
            _give(grad, slots, d, w11, owner, owners, red, green, blue)


def level_table(sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """int64 [L+1,3]: first texel, height and width of every level, and of what would be the next one."""
    starts = np.cumsum([0, *(height * width for height, width in sizes)])
    height, width = sizes[-1]
    return np.column_stack([starts, [*sizes, (max(height // 2, 1), max(width // 2, 1))]])


class _Details(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, uv: Tensor, uv_da: Tensor, mask: Tensor, table: np.ndarray) -> Tensor:  # type: ignore[override]
        pixels = (uv.reshape(-1, 2).numpy(), uv_da.reshape(-1, 4).numpy(), mask.reshape(-1).numpy())
        levels, touched = np.empty(len(pixels[0]), np.float32), np.zeros(len(rows), np.bool_)
        out = np.empty((len(levels), CHANNELS), np.float32)
        texels = rows.detach().numpy().reshape(-1)
        for_each_block(_add_up, -(-len(out) // BLOCK), texels, table, *pixels, out, levels, touched)
        ctx.save_for_backward(rows, uv)
        ctx.found = table, levels, touched
        return torch.from_numpy(out.reshape(*uv.shape[:3], CHANNELS))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, uv = ctx.saved_tensors
        table, levels, touched = ctx.found
        index = np.flatnonzero(touched)
        slots = np.empty(len(rows), np.int64)
        slots[index] = np.arange(len(index))
        values = np.zeros(len(index) * ROW * CHANNELS, np.float32)
        cotangent = grad.contiguous().numpy().reshape(-1, CHANNELS)
        owners = 1 << (torch.get_num_threads() - 1).bit_length()
        pixels = (uv.reshape(-1, 2).numpy(), levels, cotangent)
        for_each_block(_scatter, owners, owners, values, slots, table, *pixels)
        found = torch.sparse_coo_tensor(
            torch.from_numpy(index)[None], torch.from_numpy(values).reshape(-1, *rows.shape[1:]), rows.shape,
            check_invariants=False, is_coalesced=True,
        )  # fmt: skip
        return found, None, None, None, None


def details(rows: Tensor, sizes: Sequence[tuple[int, int]], uv: Tensor, uv_da: Tensor, mask: Tensor) -> Tensor:
    """Sums of levels of detail at pixels.

    Args:
        rows: float32 [R,32,3], the texels of all levels, level 0 first, row after row of each.
        sizes: (height, width) of the levels, powers of two, each half as large as the one before.
        uv: float32 [B,h,w,2], wrapped; (u, v) = (0, 0) is the corner of texel [0, 0].
        uv_da: float32 [B,h,w,4], as in `texture`.
        mask: bool [B,h,w]; the others get zeros.

    Returns:
        float32 [B,h,w,3]. Its gradient reaches `rows` as a sparse tensor of the rows that were looked at, and is bit
        for bit the same in every run.
    """
    check_tensor("rows", rows, f"[R,{ROW},{CHANNELS}]", lambda rows: rows.shape[1:] == (ROW, CHANNELS))
    table = level_table(sizes)
    if len(rows) * ROW != table[-1, 0]:
        raise OptionError(f"rows has {len(rows) * ROW} texels, levels of {list(sizes)} have {table[-1, 0]}")
    return _Details.apply(rows.contiguous(), uv.contiguous(), uv_da.contiguous(), mask.contiguous(), table)  # type: ignore[no-any-return]
