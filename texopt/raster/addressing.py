"""Texture addressing: where a pixel looks, on which mip level, and which texels it blends there: functions that the
kernels of lookup.py are made of.

The level of a pixel is log2 of the longer axis of its footprint (the ellipse that the Jacobian of texel coordinates
makes of a pixel), plus a bias. On a level four texels are blended; `find_quad` finds them in whatever boundary mode,
`complete` settles what stands for those that are not there, and from then on a look-up is a weighted sum of four
texels for every mode.
"""

from __future__ import annotations

import math

import numpy as np

from texopt.raster import cube
from texopt.raster.kernels import called, inlined

FILTER_MODES = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
NEAREST, LINEAR, MIPMAP_NEAREST, MIPMAP_LINEAR = range(4)
BOUNDARY_MODES = ("wrap", "clamp", "zero", "cube")
WRAP, CLAMP, ZERO, CUBE = range(4)


@inlined
def locate(uv, p, boundary):
    """Coordinates (u, v) of a pixel, brought near [0,1], and the face of the cube; face -1 where there are none."""
    u, v = np.float64(uv[p, 0]), np.float64(uv[p, 1])
    face = 0
    if boundary == CUBE:
        face, u, v = cube.locate(u, v, np.float64(uv[p, 2]))
    elif not (math.isfinite(u) and math.isfinite(v)):
        face = -1
    elif boundary == WRAP:
        u, v = u - math.floor(u), v - math.floor(v)
    else:  # far enough outside for every level
        u, v = min(max(u, -2.0), 3.0), min(max(v, -2.0), 3.0)
    return face, u, v


@inlined
def taps(position, size, boundary):
    """The two texels around a position along one axis, -1 where there is none, and the weight of the second."""
    if boundary == CLAMP:
        position = min(max(position, 0.0), size - 1.0)
    low = math.floor(position)
    first, fraction = int(low), np.float32(position - low)
    second = first + 1
    if boundary == WRAP:
        first = first + size if first < 0 else first
        second = 0 if second >= size else second
    elif boundary == CLAMP:
        if position <= 0.0 or position >= size - 1.0:
            second = first
    elif boundary == ZERO:
        first = -1 if first < 0 or first >= size else first
        second = -1 if second < 0 or second >= size else second
    return first, second, fraction


@inlined
def _tap(row, column, width):
    return -1 if row < 0 or column < 0 else row * width + column


@inlined
def find_quad(u, v, face, height, width, boundary):
    """The four texels around (u, v) on a level, -1 for those that are not there, and the fractions between them."""
    x0, x1, fx = taps(u * width - 0.5, width, boundary)
    y0, y1, fy = taps(v * height - 0.5, height, boundary)
    if boundary == WRAP or boundary == CLAMP:
        return y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1, fx, fy
    if boundary == ZERO:
        return _tap(y0, x0, width), _tap(y0, x1, width), _tap(y1, x0, width), _tap(y1, x1, width), fx, fy
    return (
        cube.neighbour(face, y0, x0, width), cube.neighbour(face, y0, x1, width),
        cube.neighbour(face, y1, x0, width), cube.neighbour(face, y1, x1, width), fx, fy,
    )  # fmt: skip


@inlined
def complete(i00, i01, i10, i11, w00, w01, w10, w11, boundary):
    """Indices and weights with no texel missing: outside of the texture is zero, a corner the mean of the others."""
    if boundary == ZERO or boundary == CUBE:
        lost = np.float32(0.0)  # at most one is, of a cube
        lost = w00 if i00 < 0 else w01 if i01 < 0 else w10 if i10 < 0 else w11 if i11 < 0 else lost
        third = lost / np.float32(3.0) if boundary == CUBE else np.float32(0.0)
        w00 = w00 + third if i00 >= 0 else np.float32(0.0)
        w01 = w01 + third if i01 >= 0 else np.float32(0.0)
        w10 = w10 + third if i10 >= 0 else np.float32(0.0)
        w11 = w11 + third if i11 >= 0 else np.float32(0.0)
        i00, i01, i10, i11 = max(i00, 0), max(i01, 0), max(i10, 0), max(i11, 0)
    return i00, i01, i10, i11, w00, w01, w10, w11


@inlined
def weighted_quad(u, v, face, height, width, share, boundary):
    """The four texels that a level blends at (u, v), and their weights, which add up to `share`."""
    i00, i01, i10, i11, fx, fy = find_quad(u, v, face, height, width, boundary)
    gx, gy = np.float32(1.0) - fx, (np.float32(1.0) - fy) * share
    fy *= share
    return complete(i00, i01, i10, i11, gx * gy, fx * gy, gx * fy, fx * fy, boundary)


@inlined
def halving_rows(v, height):
    """Rows of the texels that `halving_quad` finds."""
    y = int(v * np.float32(height) + np.float32(0.5))
    return (y - 1) & (height - 1), y & (height - 1)


@inlined
def halving_quad(u, v, start, height, width, share):
    """`weighted_quad` for (u, v) in [0,1] and sides that are powers of two, wrapped; `start` is added to the indices.

    In float32, in which coordinates times powers of two are exact, it takes half the time.
    """
    x, y = u * np.float32(width) + np.float32(0.5), v * np.float32(height) + np.float32(0.5)
    x1, y1 = int(x), int(y)
    fx, fy = x - np.float32(x1), y - np.float32(y1)
    left, right = (x1 - 1) & (width - 1), x1 & (width - 1)
    upper, lower = start + ((y1 - 1) & (height - 1)) * width, start + (y1 & (height - 1)) * width
    gx, gy, fy = np.float32(1.0) - fx, (np.float32(1.0) - fy) * share, fy * share
    return upper + left, upper + right, lower + left, lower + right, gx * gy, fx * gy, gx * fy, fx * fy


@inlined
def nearest_texel(u, v, face, height, width, boundary):
    """The texel that holds (u, v); -1 outside of a texture that is zero there."""
    x, y = int(math.floor(u * width)), int(math.floor(v * height))
    if boundary == ZERO and not (0 <= x < width and 0 <= y < height):
        return -1
    return (face * height + min(max(y, 0), height - 1)) * width + min(max(x, 0), width - 1)


@called
def footprint(d, height, width):
    """Squared axes of a pixel's footprint in texels, as mean and half difference, and the matrix they are of."""
    s_x, s_y, t_x, t_y = d[0] * width, d[1] * width, d[2] * height, d[3] * height
    a, b, c = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
    return 0.5 * (a + b), math.sqrt(0.25 * (a - b) * (a - b) + c * c), a, b, c


@inlined
def pixel_slopes(uv, uv_da, p, face, boundary):
    """(du/dX, du/dY, dv/dX, dv/dY) of a pixel, on its face of the cube if there is one."""
    if boundary == CUBE:
        direction = np.float64(uv[p, 0]), np.float64(uv[p, 1]), np.float64(uv[p, 2])
        return cube.derivatives(direction, face, uv_da[p])
    return np.float64(uv_da[p, 0]), np.float64(uv_da[p, 1]), np.float64(uv_da[p, 2]), np.float64(uv_da[p, 3])


@inlined
def pixel_level(uv, uv_da, bias, p, face, table, boundary, mode):
    """Mip level of a pixel, in [0, top]."""
    top = np.float32(len(table) - 1)
    level = np.float32(0.0)
    if len(uv_da) > 0:
        mean, difference, _, _, _ = footprint(pixel_slopes(uv, uv_da, p, face, boundary), table[0, 1], table[0, 2])
        major = mean + difference
        if not math.isfinite(major):
            return np.float32(0.0)
        if major > 1.0 or len(bias) > 0:
            level = np.float32(0.5) * math.log2(np.float32(major))
    if len(bias) > 0:
        level += bias[p]
    if not level > 0.0:  # or not a number
        return np.float32(0.0)
    level = min(level, top)
    return np.float32(math.floor(level)) if mode == MIPMAP_NEAREST else level
