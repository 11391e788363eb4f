"""Mipmapped texture look-up on the CPU and its gradient to the texture: numba kernels over numpy arrays.

A texture is float32 [N,H,W,C], N being 1 (shared by all images) or the batch. Its mip stack is one flat buffer:
level l has max(H >> l, 1) by max(W >> l, 1) texels, each the mean of the two by two beneath it, and levels follow
one another. Level 0 is the texture itself and is not copied.

The level of a pixel is log2 of the longer axis of its footprint (the ellipse that the Jacobian of texel
coordinates makes of a pixel), and the two levels around it are blended linearly, as nvdiffrast does it.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from numba import njit

from texopt.raster.threads import for_each_block

BAND = 32  # image rows a block of the forward pass draws


def level_sizes(height: int, width: int, max_mip_level: int | None = None) -> list[tuple[int, int]]:
    """(height, width) of every mip level, level 0 first. Halving stops where a side longer than 1 is odd."""
    sizes = [(height, width)]
    while (height, width) != (1, 1) and (max_mip_level is None or len(sizes) <= max_mip_level):
        if (height > 1 and height % 2) or (width > 1 and width % 2):
            break
        height, width = max(height // 2, 1), max(width // 2, 1)
        sizes.append((height, width))
    return sizes


@njit(nogil=True, cache=True)
def _halve(block, fine, coarse):
    """One block of rows of the next level: the mean of two by two texels (of two where a side is 1)."""
    count, height, width, channels = coarse.shape
    step_y, step_x = fine.shape[1] // height, fine.shape[2] // width
    for n in range(count):
        for y in range(block * BAND, min((block + 1) * BAND, height)):
            upper, lower = fine[n, y * step_y], fine[n, y * step_y + step_y - 1]  # rows
            for x in range(width):
                left, right = x * step_x, x * step_x + step_x - 1
                for c in range(channels):
                    total = (upper[left, c] + upper[right, c]) + (lower[left, c] + lower[right, c])
                    coarse[n, y, x, c] = np.float32(0.25) * total


@njit(nogil=True, cache=True)
def _spread(block, coarse, fine):
    """The adjoint of _halve: add each coarse texel's gradient to the fine ones that it is the mean of."""
    count, height, width, channels = coarse.shape
    step_y, step_x = fine.shape[1] // height, fine.shape[2] // width
    for n in range(count):
        for y in range(block * BAND, min((block + 1) * BAND, height)):
            upper, lower = fine[n, y * step_y], fine[n, y * step_y + step_y - 1]  # rows
            for x in range(width):
                left, right = x * step_x, x * step_x + step_x - 1
                for c in range(channels):
                    value = coarse[n, y, x, c] * np.float32(0.25)
                    if value != 0.0:
                        upper[left, c] += value
                        upper[right, c] += value
                        lower[left, c] += value
                        lower[right, c] += value


def _views(tex: np.ndarray, stack: np.ndarray, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Every level as an array [N,h,w,C]: the texture, then windows into the flat stack."""
    count, channels = tex.shape[0], tex.shape[3]
    levels, start = [tex], 0
    for height, width in sizes[1:]:
        stop = start + count * height * width * channels
        levels.append(stack[start:stop].reshape(count, height, width, channels))
        start = stop
    return levels


def _empty_stack(tex: np.ndarray, sizes: list[tuple[int, int]], zero: bool = False) -> np.ndarray:
    texels = sum(height * width for height, width in sizes[1:])
    return (np.zeros if zero else np.empty)(tex.shape[0] * tex.shape[3] * texels, np.float32)


def _table(tex: np.ndarray, sizes: list[tuple[int, int]]) -> np.ndarray:
    """int64 [levels,3]: where a level starts in the stack, its height and its width."""
    starts = np.cumsum([0, 0] + [tex.shape[0] * tex.shape[3] * h * w for h, w in sizes[1:]])[: len(sizes)]
    return np.array([(start, h, w) for start, (h, w) in zip(starts, sizes, strict=True)], np.int64)


@njit(nogil=True, cache=True, error_model="numpy")
def _level(du_dx, du_dy, dv_dx, dv_dy, height, width, top):
    """Mip level of a footprint: log2 of the major axis of its ellipse in texels, in [0, top]."""
    s_x, s_y, t_x, t_y = du_dx * width, du_dy * width, dv_dx * height, dv_dy * height
    a, b, c = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
    major_squared = 0.5 * (a + b) + math.sqrt(0.25 * (a - b) * (a - b) + c * c)
    if not major_squared > 1.0:
        return 0.0
    return min(0.5 * math.log2(major_squared), top)


@njit(nogil=True, cache=True, error_model="numpy")
def _into_unit(coordinate, wrap):
    """A texture coordinate brought into [0,1]: repeated or clamped."""
    return coordinate - math.floor(coordinate) if wrap else min(max(coordinate, 0.0), 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _taps(coordinate, size, wrap):
    """The two texels around a coordinate in [0,1] along one axis, and the weight of the second."""
    at = coordinate * size - 0.5
    first = int(at + 1.0) - 1  # floor, as at >= -0.5
    fraction = np.float32(at - first)
    second = first + 1
    if first < 0:
        first = size - 1 if wrap else 0
    if second >= size:
        second = 0 if wrap else size - 1
    return first, second, fraction


@njit(nogil=True, cache=True, error_model="numpy")
def _texel(coordinate, size):
    """The texel that holds a coordinate in [0,1] along one axis."""
    return min(int(coordinate * size), size - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _same(values, image, row, column):
    """Whether a pixel has the same values as the one to its left."""
    for i in range(values.shape[3]):  # noqa: SIM110  # numba compiles no generators
        if values[image, row, column, i] != values[image, row, column - 1, i]:
            return False
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _look_up(block, tex, stack, table, uv, uv_da, wrap, nearest, out, levels):
    height, width, channels = uv.shape[1], uv.shape[2], tex.shape[3]
    top = np.float64(len(table) - 1)
    for index in range(block * BAND, min((block + 1) * BAND, uv.shape[0] * height)):
        image, row = index // height, index % height
        n = image if len(tex) > 1 else 0
        for column in range(width):
            u, v = np.float64(uv[image, row, column, 0]), np.float64(uv[image, row, column, 1])
            if not (math.isfinite(u) and math.isfinite(v)):
                for c in range(channels):
                    out[image, row, column, c] = 0.0
                levels[image, row, column] = 0.0
                continue
            if column > 0 and _same(uv, image, row, column) and (top == 0.0 or _same(uv_da, image, row, column)):
                for c in range(channels):  # most of a view is background, which has one coordinate
                    out[image, row, column, c] = out[image, row, column - 1, c]
                levels[image, row, column] = levels[image, row, column - 1]
                continue
            u, v = _into_unit(u, wrap), _into_unit(v, wrap)
            level = 0.0
            if top > 0.0:
                du_dx, du_dy = uv_da[image, row, column, 0], uv_da[image, row, column, 1]
                dv_dx, dv_dy = uv_da[image, row, column, 2], uv_da[image, row, column, 3]
                level = _level(du_dx, du_dy, dv_dx, dv_dy, table[0, 1], table[0, 2], top)
            levels[image, row, column] = level
            if nearest:
                y, x = _texel(v, table[0, 1]), _texel(u, table[0, 2])
                for c in range(channels):
                    out[image, row, column, c] = tex[n, y, x, c]
                continue
            low = int(level)
            blend = np.float32(levels[image, row, column] - low)
            for step in range(2 if blend > 0.0 else 1):
                start, h, w = table[low + step, 0], table[low + step, 1], table[low + step, 2]
                x0, x1, fx = _taps(u, w, wrap)
                y0, y1, fy = _taps(v, h, wrap)
                share = blend if step else np.float32(1.0) - blend
                w00, w01 = (1 - fx) * (1 - fy) * share, fx * (1 - fy) * share
                w10, w11 = (1 - fx) * fy * share, fx * fy * share
                if low + step == 0:
                    for c in range(channels):
                        upper = w00 * tex[n, y0, x0, c] + w01 * tex[n, y0, x1, c]
                        lower = w10 * tex[n, y1, x0, c] + w11 * tex[n, y1, x1, c]
                        out[image, row, column, c] = upper + lower
                else:
                    base = start + n * h * w * channels
                    i00, i01 = base + (y0 * w + x0) * channels, base + (y0 * w + x1) * channels
                    i10, i11 = base + (y1 * w + x0) * channels, base + (y1 * w + x1) * channels
                    for c in range(channels):
                        upper = w00 * stack[i00 + c] + w01 * stack[i01 + c]
                        lower = w10 * stack[i10 + c] + w11 * stack[i11 + c]
                        if step:
                            out[image, row, column, c] += upper + lower
                        else:
                            out[image, row, column, c] = upper + lower


@njit(nogil=True, cache=True, error_model="numpy")
def _scatter(block, blocks, grad, stack, table, uv, wrap, nearest, cotangent, levels):
    """Add every pixel's gradient to the texels it looked at, of those rows of each level that this block owns.

    Each block scans all pixels in order, so a texel's sum is the same to the bit however many blocks there are.
    """
    count, height, width = uv.shape[:3]
    channels = grad.shape[3]
    for image in range(count):
        n = image if len(grad) > 1 else 0
        for row in range(height):
            for column in range(width):
                some = False
                for c in range(channels):
                    some = some or cotangent[image, row, column, c] != 0.0
                if not some:
                    continue
                u, v = np.float64(uv[image, row, column, 0]), np.float64(uv[image, row, column, 1])
                if not (math.isfinite(u) and math.isfinite(v)):
                    continue
                u, v = _into_unit(u, wrap), _into_unit(v, wrap)
                if nearest:
                    y, x = _texel(v, table[0, 1]), _texel(u, table[0, 2])
                    if y * blocks // table[0, 1] == block:
                        for c in range(channels):
                            grad[n, y, x, c] += cotangent[image, row, column, c]
                    continue
                level = levels[image, row, column]
                low = int(level)
                blend = np.float32(level - low)
                for step in range(2 if blend > 0.0 else 1):
                    start, h, w = table[low + step, 0], table[low + step, 1], table[low + step, 2]
                    y0, y1, fy = _taps(v, h, wrap)
                    share = blend if step else np.float32(1.0) - blend
                    for tap in range(2):
                        y = y1 if tap else y0
                        if y * blocks // h != block:
                            continue
                        x0, x1, fx = _taps(u, w, wrap)
                        part = (fy if tap else 1 - fy) * share
                        w0, w1 = (1 - fx) * part, fx * part
                        if low + step == 0:
                            for c in range(channels):
                                grad[n, y, x0, c] += w0 * cotangent[image, row, column, c]
                                grad[n, y, x1, c] += w1 * cotangent[image, row, column, c]
                        else:
                            i0 = start + ((n * h + y) * w + x0) * channels
                            i1 = start + ((n * h + y) * w + x1) * channels
                            for c in range(channels):
                                stack[i0 + c] += w0 * cotangent[image, row, column, c]
                                stack[i1 + c] += w1 * cotangent[image, row, column, c]


def look_up(
    tex: np.ndarray, uv: np.ndarray, uv_da: np.ndarray | None, max_mip_level: int | None, wrap: bool, nearest: bool
) -> tuple[np.ndarray, np.ndarray]:
    """tex [N,H,W,C], uv [B,h,w,2], uv_da [B,h,w,4] or None (no mipmaps) -> colours [B,h,w,C], mip levels [B,h,w]."""
    sizes = level_sizes(tex.shape[1], tex.shape[2], max_mip_level if uv_da is not None else 0)
    stack = _empty_stack(tex, sizes)
    views = _views(tex, stack, sizes)
    for fine, coarse in pairwise(views):
        for_each_block(_halve, -(-coarse.shape[1] // BAND), fine, coarse)
    out = np.empty((*uv.shape[:3], tex.shape[3]), np.float32)
    levels = np.empty(uv.shape[:3], np.float32)
    derivatives = np.empty((1, 1, 1, 4), np.float32) if uv_da is None else uv_da
    blocks = -(-uv.shape[0] * uv.shape[1] // BAND)
    for_each_block(_look_up, blocks, tex, stack, _table(tex, sizes), uv, derivatives, wrap, nearest, out, levels)
    return out, levels


def look_up_gradient(
    shape: tuple[int, ...], uv: np.ndarray, levels: np.ndarray, cotangent: np.ndarray,
    max_mip_level: int | None, wrap: bool, nearest: bool,
) -> np.ndarray:  # fmt: skip
    """Gradient [N,H,W,C] of a look-up to its texture, from the cotangent [B,h,w,C] and the levels that it used."""
    grad = np.zeros(shape, np.float32)
    sizes = level_sizes(shape[1], shape[2], max_mip_level)
    stack = _empty_stack(grad, sizes, zero=True)
    blocks = torch.get_num_threads()
    for_each_block(_scatter, blocks, blocks, grad, stack, _table(grad, sizes), uv, wrap, nearest, cotangent, levels)
    views = _views(grad, stack, sizes)
    for fine, coarse in reversed(list(pairwise(views))):
        for_each_block(_spread, -(-coarse.shape[1] // BAND), coarse, fine)
    return grad
