"""Cube maps: which face a direction looks at and where, its derivatives, and neighbours across edges.

Faces are +x, -x, +y, -y, +z, -z, oriented as in OpenGL (OpenGL 4.6 core specification, table 8.19): on a face whose
major axis is c, s = (1 + S a/|c|) / 2 runs along columns and t = (1 + T b/|c|) / 2 along rows, where a and b are
the other two components of the direction and S and T signs.
"""

from __future__ import annotations

import math

import numpy as np

from texopt.raster.kernels import called, inlined

MAJOR = np.array([0, 0, 1, 1, 2, 2])
S_AXIS, S_SIGN = np.array([2, 2, 0, 0, 0, 0]), np.array([-1.0, 1.0, 1.0, 1.0, 1.0, -1.0])
T_AXIS, T_SIGN = np.array([1, 1, 2, 2, 1, 1]), np.array([-1.0, -1.0, 1.0, -1.0, -1.0, -1.0])


@called
def locate(x, y, z):
    """Face of a direction and (s, t) in [0,1] on it; face -1 where the direction is none."""
    ax, ay, az = abs(x), abs(y), abs(z)
    face = 4 if az > max(ax, ay) else 2 if ay > ax else 0
    direction = (x, y, z)
    major = direction[MAJOR[face]]
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)) or major == 0.0:
        return -1, 0.0, 0.0
    face += major < 0.0
    half = 0.5 / abs(major)
    s = 0.5 + S_SIGN[face] * half * direction[S_AXIS[face]]
    t = 0.5 + T_SIGN[face] * half * direction[T_AXIS[face]]
    return face, min(max(s, 0.0), 1.0), min(max(t, 0.0), 1.0)


@called
def neighbour(face, row, column, size):
    """Index, among the 6*size*size texels, of a texel that may lie one beyond an edge; -1 beyond a corner."""
    inside_row, inside_column = 0 <= row < size, 0 <= column < size
    if not inside_row and not inside_column:
        return -1
    if not (inside_row and inside_column):  # the direction of its centre is in the adjoining texel of the next face
        direction = np.zeros(3)
        direction[MAJOR[face]] = 1.0 - 2.0 * (face % 2)
        direction[S_AXIS[face]] = S_SIGN[face] * ((2 * column + 1) / size - 1.0)
        direction[T_AXIS[face]] = T_SIGN[face] * ((2 * row + 1) / size - 1.0)
        face, s, t = locate(direction[0], direction[1], direction[2])
        row, column = min(int(t * size), size - 1), min(int(s * size), size - 1)
    return (face * size + row) * size + column


@inlined
def _quotient_gradient(sign, a, c, g):
    """Gradient of g * sign * a / (2|c|) by a and by c."""
    scale = 0.5 * sign * g / abs(c)
    return scale, -scale * a / c


@called
def gradient(direction, face, g_s, g_t, out):
    """Write to `out` [3] the gradient to the direction from those to s and t."""
    m, i, j = MAJOR[face], S_AXIS[face], T_AXIS[face]
    out[i], by_major = _quotient_gradient(S_SIGN[face], direction[i], direction[m], g_s)
    out[j], more = _quotient_gradient(T_SIGN[face], direction[j], direction[m], g_t)
    out[m] = by_major + more


@inlined
def _slope(sign, a, c, da, dc):
    """Derivative of sign * a / (2|c|) where a and c change by da and dc."""
    return 0.5 * sign * (da - a * dc / c) / abs(c)


@called
def derivatives(direction, face, da):
    """(ds/dX, ds/dY, dt/dX, dt/dY) from (dx/dX, dx/dY, dy/dX, dy/dY, dz/dX, dz/dY)."""
    m, i, j = MAJOR[face], S_AXIS[face], T_AXIS[face]
    a, b, c = direction[i], direction[j], direction[m]
    return (
        _slope(S_SIGN[face], a, c, da[2 * i], da[2 * m]), _slope(S_SIGN[face], a, c, da[2 * i + 1], da[2 * m + 1]),
        _slope(T_SIGN[face], b, c, da[2 * j], da[2 * m]), _slope(T_SIGN[face], b, c, da[2 * j + 1], da[2 * m + 1]),
    )  # fmt: skip


@inlined
def _slope_gradient(sign, a, c, da, dc, g, i, m, axis, out, out_da):
    """Add the gradient of g * _slope(...) to those of the direction and of its derivatives along X or Y."""
    scale = 0.5 * sign * g / abs(c)
    out[i] -= scale * dc / c
    out[m] += scale * (2.0 * a * dc / c - da) / c
    out_da[2 * i + axis] += scale
    out_da[2 * m + axis] -= scale * a / c


@called
def derivatives_gradient(direction, face, da, g, out, out_da):
    """Add to `out` [3] and `out_da` [6] the gradients from g [4], those of what `derivatives` returns."""
    m, i, j = MAJOR[face], S_AXIS[face], T_AXIS[face]
    a, b, c = direction[i], direction[j], direction[m]
    for axis in range(2):
        dc = da[2 * m + axis]
        _slope_gradient(S_SIGN[face], a, c, da[2 * i + axis], dc, g[axis], i, m, axis, out, out_da)
        _slope_gradient(T_SIGN[face], b, c, da[2 * j + axis], dc, g[2 + axis], j, m, axis, out, out_da)
