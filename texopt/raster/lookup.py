"""Texture look-up on the CPU and its gradients: numba kernels over numpy arrays.

All arrays are flat: pixels [P,...] through all images, textures by texel times channels (see mipmap.py).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from texopt.raster import cube
from texopt.raster.addressing import (
    CUBE,
    LINEAR,
    MIPMAP_LINEAR,
    NEAREST,
    WRAP,
    complete,
    find_quad,
    footprint,
    halving_quad,
    halving_rows,
    locate,
    nearest_texel,
    pixel_level,
    pixel_slopes,
    taps,
    weighted_quad,
)
from texopt.raster.kernels import at, called, expanded, for_each_block, inlined, kernel
from texopt.raster.mipmap import LevelLayout, spread

BLOCK = 16384  # pixels that a block of work draws


@inlined
def _repeats(uv, uv_da, p, boundary):
    """Whether a pixel has the same coordinates as the one before it: most of a view is background."""
    before, sides = at(p - 1), 3 if boundary == CUBE else 2
    for i in range(sides):
        if uv[p, at(i)] != uv[before, at(i)]:
            return False
    if len(uv_da) > 0:
        for i in range(2 * sides):
            if uv_da[p, at(i)] != uv_da[before, at(i)]:
                return False
    return True


@inlined
def _blend(texels, quad, out, p, channels, adding):
    """Write a weighted sum of four texels to a pixel, or add it."""
    i00, i01, i10, i11, w00, w01, w10, w11 = quad
    for c in range(channels):
        upper = w00 * texels[at(i00 * channels + c)] + w01 * texels[at(i01 * channels + c)]
        lower = w10 * texels[at(i10 * channels + c)] + w11 * texels[at(i11 * channels + c)]
        out[p, at(c)] = out[p, at(c)] + (upper + lower) if adding else upper + lower


@expanded
def _find_levels(first, last, table, coordinates, boundary, mode, levels):
    """Mip levels of pixels: in a loop of their own, which compilers make four times as fast."""
    uv, uv_da, bias = coordinates
    for pixel in range(first, last):
        p = at(pixel)
        level = np.float32(0.0)
        if mode != LINEAR and mode != NEAREST:
            face = 0
            if boundary == CUBE:
                face, _, _ = locate(uv, p, boundary)
            if face >= 0:
                level = pixel_level(uv, uv_da, bias, p, face, table, boundary, mode)
        levels[p] = level


@inlined
def _quad(u, v, face, start, h, w, share, boundary, usual):
    """Four texels of a level that begins at `start`, and their weights."""
    if usual:
        return halving_quad(np.float32(u), np.float32(v), start, h, w, share)
    i00, i01, i10, i11, w00, w01, w10, w11 = weighted_quad(u, v, face, h, w, share, boundary)
    return start + i00, start + i01, start + i10, start + i11, w00, w01, w10, w11


@expanded
def _look_up_pixels(first, last, textures, images, coordinates, boundary, mode, channels, usual, out, levels):
    tex, stack, table = textures
    per_image, many, faces = images
    uv, uv_da, bias = coordinates
    _find_levels(first, last, table, coordinates, boundary, mode, levels)
    for pixel in range(first, last):
        p = at(pixel)
        alone = pixel == first or len(bias) > 0 or (many and pixel % per_image == 0)
        if not alone and _repeats(uv, uv_da, p, boundary):
            for c in range(channels):
                out[p, at(c)] = out[at(pixel - 1), at(c)]
            continue
        face, u, v = locate(uv, p, boundary)
        n = pixel // per_image if many else 0
        index = nearest_texel(u, v, face, table[0, 1], table[0, 2], boundary) if mode == NEAREST and face >= 0 else -1
        if face < 0 or mode == NEAREST:
            for c in range(channels):
                texel = n * faces * table[0, 1] * table[0, 2] + index
                out[p, at(c)] = np.float32(0.0) if index < 0 else tex[at(texel * channels + c)]
            continue
        level = levels[p]
        low = int(level)
        blend = level - np.float32(low)
        for step in range(2 if blend > 0.0 else 1):
            start, h, w = table[at(low + step), 0], table[at(low + step), 1], table[at(low + step), 2]
            share = blend if step else np.float32(1.0) - blend
            quad = _quad(u, v, face, start + n * faces * h * w, h, w, share, boundary, usual)
            if low + step == 0:
                _blend(tex, quad, out, p, channels, False)
            else:
                _blend(stack, quad, out, p, channels, step == 1)


@kernel
def _look_up(block, textures, images, coordinates, boundary, mode, out, levels):
    """Colours and mip levels of a block of pixels."""
    first, last = block * BLOCK, min((block + 1) * BLOCK, len(out))
    _look_up_pixels(first, last, textures, images, coordinates, boundary, mode, out.shape[1], False, out, levels)


@kernel
def _look_up_usual(block, textures, images, coordinates, _boundary, _mode, out, levels):
    """`_look_up` in the usual case, whose constants make it twice as fast, and the other one needless to compile."""
    first, last = block * BLOCK, min((block + 1) * BLOCK, len(out))
    _look_up_pixels(first, last, textures, images, coordinates, WRAP, MIPMAP_LINEAR, 3, True, out, levels)


@inlined
def _some(values, p, channels):
    """Whether a pixel has anything but zeros."""
    for c in range(channels):
        if values[p, at(c)] != 0.0:
            return True
    return False


@inlined
def _give(grad, start, index, weight, cotangent, p, channels):
    """Add a pixel's gradient to a texel's."""
    if weight != 0.0:
        for c in range(channels):
            grad[at((start + index) * channels + c)] += weight * cotangent[p, at(c)]


@inlined
def _owns(row, block, blocks, stripe):
    """Whether a row of a level is in one of the stripes that a block owns."""
    return (row >> stripe) & (blocks - 1) == block


@expanded
def _scatter_pixels(block, blocks, fine, grad, table, images, uv, boundary, mode, channels, usual, levels, cotangent):
    per_image, many, faces = images
    for pixel in range(len(uv)):
        p = at(pixel)
        low = int(levels[p])
        blend = levels[p] - np.float32(low)
        if (low > 0 if fine else low == 0 and blend == 0.0) or not _some(cotangent, p, channels):
            continue
        face, u, v = locate(uv, p, boundary)
        if face < 0:
            continue
        n = pixel // per_image if many else 0
        if mode == NEAREST:
            h, w, stripe = table[0, 1], table[0, 2], table[0, 3]
            index = nearest_texel(u, v, face, h, w, boundary)
            if index >= 0 and _owns(index // w, block, blocks, stripe):
                _give(grad, n * faces * h * w, index, np.float32(1.0), cotangent, p, channels)
            continue
        for step in range(2 if blend > 0.0 else 1):
            level = at(low + step)
            if (low + step == 0) != fine:
                continue
            h, w, stripe = table[level, 1], table[level, 2], table[level, 3]
            upper = lower = True
            if boundary != CUBE:
                y0, y1 = halving_rows(np.float32(v), h) if usual else taps(v * h - 0.5, h, boundary)[:2]
                upper, lower = _owns(y0, block, blocks, stripe), _owns(y1, block, blocks, stripe)
                if not (upper or lower):
                    continue
            share = blend if step else np.float32(1.0) - blend
            start = table[level, 0] + n * faces * h * w
            i00, i01, i10, i11, w00, w01, w10, w11 = _quad(u, v, face, 0, h, w, share, boundary, usual)
            if _owns(i00 // w, block, blocks, stripe) if boundary == CUBE else upper:
                _give(grad, start, i00, w00, cotangent, p, channels)
            if _owns(i01 // w, block, blocks, stripe) if boundary == CUBE else upper:
                _give(grad, start, i01, w01, cotangent, p, channels)
            if _owns(i10 // w, block, blocks, stripe) if boundary == CUBE else lower:
                _give(grad, start, i10, w10, cotangent, p, channels)
            if _owns(i11 // w, block, blocks, stripe) if boundary == CUBE else lower:
                _give(grad, start, i11, w11, cotangent, p, channels)


@kernel
def _scatter(block, blocks, fine, grad, table, images, uv, boundary, mode, levels, cotangent):
    """Add every pixel's gradient to those texels it looked at that lie in the stripes of a level that this block owns.

    `fine` is whether level 0 is meant, or the others. Each block goes through all pixels in order, so that a texel's
    sum is the same to the bit however many blocks there are.
    """
    channels = cotangent.shape[1]
    _scatter_pixels(block, blocks, fine, grad, table, images, uv, boundary, mode, channels, False, levels, cotangent)


@kernel
def _scatter_usual(block, blocks, fine, grad, table, images, uv, _boundary, _mode, levels, cotangent):
    """`_scatter` in the usual case."""
    _scatter_pixels(block, blocks, fine, grad, table, images, uv, WRAP, MIPMAP_LINEAR, 3, True, levels, cotangent)


@inlined
def _dot(texels, start, quad, cotangent, p):
    """Of the cotangent and a weighted sum of four texels."""
    i00, i01, i10, i11, w00, w01, w10, w11 = quad
    i00, i01, i10, i11 = start + i00, start + i01, start + i10, start + i11
    channels = cotangent.shape[1]
    total = 0.0
    for c in range(channels):
        upper = w00 * texels[at(i00 * channels + c)] + w01 * texels[at(i01 * channels + c)]
        lower = w10 * texels[at(i10 * channels + c)] + w11 * texels[at(i11 * channels + c)]
        total += np.float64(cotangent[p, at(c)]) * np.float64(upper + lower)
    return total


@called
def _by_coordinates(texels, start, u, v, face, height, width, boundary, cotangent, p):
    """Value of a level under the cotangent, and its derivatives by u and v."""
    i00, i01, i10, i11, fx, fy = find_quad(u, v, face, height, width, boundary)
    gx, gy = np.float32(1.0) - fx, np.float32(1.0) - fy
    value = complete(i00, i01, i10, i11, gx * gy, fx * gy, gx * fy, fx * fy, boundary)
    along_u = complete(i00, i01, i10, i11, -gy, gy, -fy, fy, boundary)
    along_v = complete(i00, i01, i10, i11, -gx, -fx, gx, fx, boundary)
    return (
        _dot(texels, start, value, cotangent, p),
        _dot(texels, start, along_u, cotangent, p) * width, _dot(texels, start, along_v, cotangent, p) * height,
    )  # fmt: skip


@called
def _level_gradient(d, height, width, g, out):
    """Write to `out` [4] the gradient g * d level / d slopes. Where both axes are one length, it is their mean's."""
    mean, difference, a, b, c = footprint(d, height, width)
    skew = 0.25 * (a - b) / difference if difference > 0.0 else 0.0
    by_c = c / difference if difference > 0.0 else 0.0
    scale = g / (2.0 * math.log(2.0) * (mean + difference))
    by_a, by_b = scale * (0.5 + skew), scale * (0.5 - skew)
    by_c *= scale
    s_x, s_y, t_x, t_y = d[0] * width, d[1] * width, d[2] * height, d[3] * height
    out[0], out[1] = width * (2.0 * by_a * s_x + by_c * s_y), width * (2.0 * by_b * s_y + by_c * s_x)
    out[2], out[3] = height * (2.0 * by_a * t_x + by_c * t_y), height * (2.0 * by_b * t_y + by_c * t_x)
    for i in range(4):
        if not math.isfinite(out[i]):
            out[:] = 0.0


@kernel
def _coordinate_gradient(block, textures, images, coordinates, boundary, levels, cotangent, g_uv, g_da, g_bias):
    """Gradients of a linear or mipmapped look-up to the coordinates, their derivatives and the bias; all begin as 0."""
    tex, stack, table = textures
    per_image, many, faces = images
    uv, uv_da, _ = coordinates
    slopes = np.zeros(4)
    direction, by_direction, by_da = np.zeros(3), np.zeros(3), np.zeros(6)
    for pixel in range(block * BLOCK, min((block + 1) * BLOCK, len(uv))):
        p = at(pixel)
        face, u, v = locate(uv, p, boundary)
        if face < 0 or not _some(cotangent, p, cotangent.shape[1]):
            continue
        n = pixel // per_image if many else 0
        low = int(levels[p])
        blend = np.float64(levels[p]) - low
        by_level = by_u = by_v = 0.0
        for step in range(2 if blend > 0.0 else 1):
            start, h, w = table[at(low + step), 0], table[at(low + step), 1], table[at(low + step), 2]
            start += n * faces * h * w
            if low + step == 0:
                value, along_u, along_v = _by_coordinates(tex, start, u, v, face, h, w, boundary, cotangent, p)
            else:
                value, along_u, along_v = _by_coordinates(stack, start, u, v, face, h, w, boundary, cotangent, p)
            share = blend if step else 1.0 - blend
            by_u, by_v = by_u + share * along_u, by_v + share * along_v
            by_level += value if step else -value
        if blend == 0.0:
            by_level = 0.0
        if len(g_bias) > 0:
            g_bias[p] = by_level
        if boundary == CUBE:
            for i in range(3):
                direction[i] = uv[p, i]
            cube.gradient(direction, face, by_u, by_v, by_direction)
        if len(g_da) > 0 and by_level != 0.0:
            _level_gradient(pixel_slopes(uv, uv_da, p, face, boundary), table[0, 1], table[0, 2], by_level, slopes)
            if boundary == CUBE:
                by_da[:] = 0.0
                cube.derivatives_gradient(direction, face, uv_da[p], slopes, by_direction, by_da)
                for i in range(6):
                    g_da[p, i] = by_da[i]
            else:
                for i in range(4):
                    g_da[p, i] = slopes[i]
        if boundary == CUBE:
            for i in range(3):
                g_uv[p, i] = by_direction[i]
        else:
            g_uv[p, 0], g_uv[p, 1] = by_u, by_v


class LookUp:
    """One look-up: where its texels and pixels are, how it filters, and the arrays that its gradients need.

    Args:
        layout: of the texture, whose images are its textures (1 or B) times the faces of a cube (or 1).
        tex, stack: flat float32 texels of level 0, and of the others.
        coordinates: float32, of P pixels: uv [P,2 or 3]; uv_da [P,4 or 6], or [0,...] if there are none; the bias of
            their levels [P], or [0].
        per_image: pixels of an image. mode, boundary: indices into FILTER_MODES and BOUNDARY_MODES.
    """

    def __init__(
        self, layout: LevelLayout, tex: np.ndarray, stack: np.ndarray, coordinates: tuple[np.ndarray, ...],
        per_image: int, mode: int, boundary: int,
    ) -> None:  # fmt: skip
        self.layout, self.mode = layout, mode
        self.blocks = -(-len(coordinates[0]) // BLOCK)
        self.owners = 1 << (torch.get_num_threads() - 1).bit_length()  # of stripes of the texture; a power of two
        faces = 6 if boundary == CUBE else 1
        rows = [max(min(16, height // (4 * self.owners)), 1) for height, _ in layout.sizes]  # about, of a stripe
        stripes = [n.bit_length() - 1 for n in rows]
        self.table = np.column_stack(
            [layout.starts(), layout.sizes, stripes]
        )  # first texel, height, width, log2 of stripe
        self.textures = (tex, stack, self.table)
        self.images = (per_image, layout.images > faces, faces)  # pixels of one, whether each has a texture, its faces
        self.coordinates = coordinates
        self.boundary = boundary
        height, width = layout.sizes[0]
        halve = not (height & (height - 1) or width & (width - 1))
        self.usual = layout.channels == 3 and boundary == WRAP and mode == MIPMAP_LINEAR and halve
        self.levels = np.empty(len(coordinates[0]), np.float32)

    def forward(self) -> np.ndarray:
        """Colours float32 [P,C]."""
        out = np.empty((len(self.levels), self.layout.channels), np.float32)
        arrays = (self.textures, self.images, self.coordinates, self.boundary, self.mode, out, self.levels)
        for_each_block(_look_up_usual if self.usual else _look_up, self.blocks, *arrays)
        return out

    def texture_gradient(self, cotangent: np.ndarray, own_stack: bool) -> tuple[np.ndarray, np.ndarray]:
        """Flat gradients to tex and stack from that of the colours [P,C].

        If the stack is not its own, but was built from tex, its gradient becomes a part of that of tex.
        """
        pixels = (self.table, self.images, self.coordinates[0], self.boundary, self.mode, self.levels, cotangent)
        scatter = _scatter_usual if self.usual else _scatter
        grad_stack = self.layout.empty_stack(zero=True)
        if len(grad_stack):
            for_each_block(scatter, self.owners, self.owners, False, grad_stack, *pixels)
        grad = np.zeros(len(self.textures[0]), np.float32) if own_stack else spread(grad_stack, self.layout)
        for_each_block(scatter, self.owners, self.owners, True, grad, *pixels)
        return grad, grad_stack

    def coordinate_gradient(self, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gradients to uv, uv_da and bias, shaped as they are; not for nearest."""
        uv, uv_da, bias = self.coordinates
        if self.mode != MIPMAP_LINEAR:  # they have no gradient then
            uv_da, bias = uv_da[:0], bias[:0]
        grads = np.zeros_like(uv), np.zeros_like(uv_da), np.zeros_like(bias)
        pixels = (self.textures, self.images, self.coordinates, self.boundary, self.levels, cotangent)
        for_each_block(_coordinate_gradient, self.blocks, *pixels, *grads)
        return grads
