"""Rasterisation and interpolation on the CPU: numba kernels over numpy arrays.

Coverage is decided in integers. Vertices are snapped to 1/256 of a pixel and the edge functions of a triangle
(Pineda 1988) are evaluated exactly in int64, with the top-left rule for pixels that lie on an edge, so that two
triangles that share an edge neither leave a gap nor both draw a pixel. Everything else (depth, barycentrics and
their screen-space derivatives) is evaluated in float64 from the unsnapped homogeneous vertices (Olano & Greer
1997), which needs no division by the w of a vertex and so holds for triangles that reach behind the eye.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from texopt.raster.threads import for_each_block

SUBPIXEL = 256  # steps a pixel is divided into
GUARD = 2.0**20  # largest screen coordinate, in pixels, that is drawn without clipping: int64 edge functions hold it
SMALLEST_W = 1e-20
DEPTH_LIMIT = 1.0 + 1e-7  # of |z/w|: surfaces exactly on the near or far plane survive rounding
BAND = 64  # rows a block of work draws
MAX_PIECES = 8  # a triangle clipped by the six planes has at most nine corners, hence seven pieces


@njit(nogil=True, cache=True, error_model="numpy")
def _order(p, i, j):
    """Swap corners i and j if they are not in lexicographic order."""
    for c in range(4):
        if p[i, c] != p[j, c]:
            if p[i, c] > p[j, c]:
                for d in range(4):
                    p[i, d], p[j, d] = p[j, d], p[i, d]
            return


@njit(nogil=True, cache=True, error_model="numpy")
def _depth_plane(p, out):
    """z/w as an affine function of normalised device x, y. False if the triangle is seen edge-on.

    The corners are sorted first, so that coincident faces (the two sides of a sheet) have the same depth to the bit.
    """
    _order(p, 0, 1)
    _order(p, 1, 2)
    _order(p, 0, 1)
    a0, b0, c0 = (
        p[1, 1] * p[2, 3] - p[1, 3] * p[2, 1],
        p[1, 3] * p[2, 0] - p[1, 0] * p[2, 3],
        p[1, 0] * p[2, 1] - p[1, 1] * p[2, 0],
    )
    a1, b1, c1 = (
        p[2, 1] * p[0, 3] - p[2, 3] * p[0, 1],
        p[2, 3] * p[0, 0] - p[2, 0] * p[0, 3],
        p[2, 0] * p[0, 1] - p[2, 1] * p[0, 0],
    )
    a2, b2, c2 = (
        p[0, 1] * p[1, 3] - p[0, 3] * p[1, 1],
        p[0, 3] * p[1, 0] - p[0, 0] * p[1, 3],
        p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0],
    )
    det = p[0, 3] * c0 + p[1, 3] * c1 + p[2, 3] * c2
    if det == 0.0 or not np.isfinite(det):
        return False
    out[0] = (p[0, 2] * a0 + p[1, 2] * a1 + p[2, 2] * a2) / det
    out[1] = (p[0, 2] * b0 + p[1, 2] * b1 + p[2, 2] * b2) / det
    out[2] = (p[0, 2] * c0 + p[1, 2] * c1 + p[2, 2] * c2) / det
    return np.isfinite(out[0]) and np.isfinite(out[1]) and np.isfinite(out[2])


@njit(nogil=True, cache=True, error_model="numpy")
def _snap(x, w, size):
    return np.int64(np.rint((x / w * 0.5 + 0.5) * size * SUBPIXEL))


@njit(nogil=True, cache=True, error_model="numpy")
def _store(slot, face, x0, y0, x1, y1, x2, y2, plane, height, corners, planes, rows, faces):
    """Write one screen triangle, wound so that its area is positive; empty ones get an empty range of rows."""
    rows[slot, 0] = 0
    rows[slot, 1] = -1
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    if area == 0:
        return
    if area < 0:
        x1, y1, x2, y2 = x2, y2, x1, y1
    half = SUBPIXEL // 2
    low = (min(y0, y1, y2) + half - 1) // SUBPIXEL  # first and last row whose pixel centres can be inside
    high = (max(y0, y1, y2) - half) // SUBPIXEL
    rows[slot, 0] = max(low, 0)
    rows[slot, 1] = min(high, height - 1)
    corners[slot, 0], corners[slot, 1], corners[slot, 2] = x0, y0, x1
    corners[slot, 3], corners[slot, 4], corners[slot, 5] = y1, x2, y2
    planes[slot] = plane
    faces[slot] = face


@njit(nogil=True, cache=True, error_model="numpy")
def _set_up(block, pos, tri, height, width, block_size, corners, planes, rows, faces, clipped):
    """Snap the triangles of a block of faces; those that need clipping are only marked in `clipped`."""
    p = np.empty((3, 4), np.float64)
    plane = np.empty(3, np.float64)
    for face in range(block * block_size, min((block + 1) * block_size, len(tri))):
        rows[face, 0] = 0
        rows[face, 1] = -1
        clipped[face] = False
        finite = True
        outside = 63  # planes that all three corners are behind
        inside = True
        for i in range(3):
            for j in range(4):
                p[i, j] = pos[tri[face, i], j]
                finite = finite and np.isfinite(p[i, j])
            x, y, z, w = p[i, 0], p[i, 1], p[i, 2], p[i, 3]
            outside &= (x < -w) | (x > w) << 1 | (y < -w) << 2 | (y > w) << 3 | (z < -w) << 4 | (z > w) << 5
            reach = max(abs(x) * width, abs(y) * height)
            inside = inside and w >= SMALLEST_W and z >= -w and reach <= GUARD * w
        if not finite or outside != 0:
            continue
        if not inside:
            clipped[face] = True
            continue
        if not _depth_plane(p, plane):
            continue
        _store(
            face, face,
            _snap(p[0, 0], p[0, 3], width), _snap(p[0, 1], p[0, 3], height),
            _snap(p[1, 0], p[1, 3], width), _snap(p[1, 1], p[1, 3], height),
            _snap(p[2, 0], p[2, 3], width), _snap(p[2, 1], p[2, 3], height),
            plane, height, corners, planes, rows, faces,
        )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _distance(p, plane, guard_x, guard_y):
    """Signed homogeneous distance of a clip-space point to a clipping plane; negative is outside."""
    if plane == 0:
        return p[2] + p[3]
    if plane == 1:
        return p[3] - SMALLEST_W
    if plane == 2:
        return guard_x * p[3] + p[0]
    if plane == 3:
        return guard_x * p[3] - p[0]
    if plane == 4:
        return guard_y * p[3] + p[1]
    return guard_y * p[3] - p[1]


@njit(nogil=True, cache=True, error_model="numpy")
def _clip(pos, tri, todo, first_slot, height, width, corners, planes, rows, faces):
    """Clip the marked triangles by the near plane and the guard band (Sutherland & Hodgman 1974) and fan them."""
    polygon, other = np.empty((12, 4), np.float64), np.empty((12, 4), np.float64)
    p = np.empty((3, 4), np.float64)
    plane = np.empty(3, np.float64)
    guard_x, guard_y = GUARD / width, GUARD / height
    for index in range(len(todo)):
        face = todo[index]
        slot = first_slot + index * MAX_PIECES
        for i in range(3):
            for j in range(4):
                p[i, j] = pos[tri[face, i], j]
                polygon[i, j] = p[i, j]
        count = 3
        for cut in range(6):
            kept = 0
            for i in range(count):
                a, b = polygon[i], polygon[(i + 1) % count]
                da, db = _distance(a, cut, guard_x, guard_y), _distance(b, cut, guard_x, guard_y)
                if da >= 0.0:
                    other[kept] = a
                    kept += 1
                if (da >= 0.0) != (
                    db >= 0.0
                ):  # from the inner end to the outer, so that both neighbours agree to the bit
                    if da >= 0.0:
                        other[kept] = a + (b - a) * (da / (da - db))
                    else:
                        other[kept] = b + (a - b) * (db / (db - da))
                    kept += 1
            polygon, other = other, polygon
            count = kept
        if count < 3 or not _depth_plane(p, plane):
            continue
        x0, y0 = _snap(polygon[0, 0], polygon[0, 3], width), _snap(polygon[0, 1], polygon[0, 3], height)
        for i in range(1, count - 1):
            _store(
                slot + i - 1, face, x0, y0,
                _snap(polygon[i, 0], polygon[i, 3], width), _snap(polygon[i, 1], polygon[i, 3], height),
                _snap(polygon[i + 1, 0], polygon[i + 1, 3], width), _snap(polygon[i + 1, 1], polygon[i + 1, 3], height),
                plane, height, corners, planes, rows, faces,
            )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _edge(ax, ay, bx, by, px, py):
    """Edge function at (px, py), minus one where the edge is not a top or left one: inside is >= 0."""
    dx, dy = bx - ax, by - ay
    top_left = dy < 0 or (dy == 0 and dx < 0)
    return dx * (py - ay) - dy * (px - ax) - (0 if top_left else 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(block, corners, planes, rows, faces, pos, tri, rast, rast_db):
    """Draw the rows of one band: visibility first, then the attributes of what is visible."""
    height, width = rast.shape[0], rast.shape[1]
    top = block * BAND
    bottom = min(top + BAND, height) - 1
    nearest = np.full((bottom - top + 1, width), np.inf)
    visible = np.full((bottom - top + 1, width), np.int32(2147483647))
    half = SUBPIXEL // 2
    for slot in range(len(rows)):
        if rows[slot, 1] < top or rows[slot, 0] > bottom or rows[slot, 1] < rows[slot, 0]:
            continue
        x0, y0, x1 = np.int64(corners[slot, 0]), np.int64(corners[slot, 1]), np.int64(corners[slot, 2])
        y1, x2, y2 = np.int64(corners[slot, 3]), np.int64(corners[slot, 4]), np.int64(corners[slot, 5])
        left = max((min(x0, x1, x2) + half - 1) // SUBPIXEL, 0)
        right = min((max(x0, x1, x2) - half) // SUBPIXEL, width - 1)
        if left > right:
            continue
        first, last = max(np.int64(rows[slot, 0]), top), min(np.int64(rows[slot, 1]), bottom)
        px, py = left * SUBPIXEL + half, first * SUBPIXEL + half
        e0, e1, e2 = _edge(x0, y0, x1, y1, px, py), _edge(x1, y1, x2, y2, px, py), _edge(x2, y2, x0, y0, px, py)
        sx0, sx1, sx2 = (y0 - y1) * SUBPIXEL, (y1 - y2) * SUBPIXEL, (y2 - y0) * SUBPIXEL
        sy0, sy1, sy2 = (x1 - x0) * SUBPIXEL, (x2 - x1) * SUBPIXEL, (x0 - x2) * SUBPIXEL
        face = faces[slot]
        zx, zy, z0 = planes[slot, 0], planes[slot, 1], planes[slot, 2]
        for row in range(first, last + 1):
            z_row = z0 + zy * ((2 * row + 1) / height - 1.0)
            f0, f1, f2 = e0, e1, e2
            for column in range(left, right + 1):
                if (f0 | f1 | f2) >= 0:
                    z = z_row + zx * ((2 * column + 1) / width - 1.0)
                    if -DEPTH_LIMIT <= z <= DEPTH_LIMIT:
                        best = nearest[row - top, column]
                        if z < best or (z == best and face < visible[row - top, column]):
                            nearest[row - top, column] = z
                            visible[row - top, column] = face
                f0 += sx0
                f1 += sx1
                f2 += sx2
            e0 += sy0
            e1 += sy1
            e2 += sy2
    for row in range(top, bottom + 1):
        for column in range(width):
            face = visible[row - top, column]
            if face == 2147483647:
                for i in range(4):
                    rast[row, column, i] = 0.0
                    rast_db[row, column, i] = 0.0
            else:
                x, y = (2 * column + 1) / width - 1.0, (2 * row + 1) / height - 1.0
                _shade(pos, tri, face, x, y, row, column, rast, rast_db)


@njit(nogil=True, cache=True, error_model="numpy")
def _shade(pos, tri, face, x, y, row, column, rast, rast_db):
    """Perspective-correct barycentrics at normalised device (x, y) and their derivatives per pixel."""
    i, j, k = tri[face, 0], tri[face, 1], tri[face, 2]
    step_x, step_y = 2.0 / rast.shape[1], 2.0 / rast.shape[0]
    w0, w1, w2 = np.float64(pos[i, 3]), np.float64(pos[j, 3]), np.float64(pos[k, 3])
    x0, y0 = pos[i, 0] - x * w0, pos[i, 1] - y * w0
    x1, y1 = pos[j, 0] - x * w1, pos[j, 1] - y * w1
    x2, y2 = pos[k, 0] - x * w2, pos[k, 1] - y * w2
    a0, a1, a2 = x1 * y2 - y1 * x2, x2 * y0 - y2 * x0, x0 * y1 - y0 * x1
    scale = 1.0 / (a0 + a1 + a2)
    u, v = a0 * scale, a1 * scale
    a0_dx, a1_dx, a2_dx = y1 * w2 - w1 * y2, y2 * w0 - w2 * y0, y0 * w1 - w0 * y1
    a0_dy, a1_dy, a2_dy = w1 * x2 - x1 * w2, w2 * x0 - x2 * w0, w0 * x1 - x0 * w1
    dx, dy = a0_dx + a1_dx + a2_dx, a0_dy + a1_dy + a2_dy
    rast_db[row, column, 0] = (a0_dx - u * dx) * scale * step_x
    rast_db[row, column, 1] = (a0_dy - u * dy) * scale * step_y
    rast_db[row, column, 2] = (a1_dx - v * dx) * scale * step_x
    rast_db[row, column, 3] = (a1_dy - v * dy) * scale * step_y
    u = min(max(u, 0.0), 1.0)
    v = min(max(v, 0.0), 1.0 - u)
    t = 1.0 - u - v
    depth = pos[i, 2] * u + pos[j, 2] * v + pos[k, 2] * t
    rast[row, column, 0], rast[row, column, 1] = u, v
    rast[row, column, 2], rast[row, column, 3] = depth / (w0 * u + w1 * v + w2 * t), face + 1


def rasterize(pos: np.ndarray, tri: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw each of B sets of clip-space vertices; see texopt.raster.rasterize.

    pos float32 [B,V,4], tri int32 [F,3] -> rast float32 [B,H,W,4], rast_db float32 [B,H,W,4].
    """
    batch, count = len(pos), len(tri)
    rast = np.empty((batch, height, width, 4), np.float32)
    rast_db = np.empty((batch, height, width, 4), np.float32)
    size = 8192
    for b in range(batch):
        corners, planes = np.empty((count, 6), np.int32), np.empty((count, 3), np.float64)
        rows, faces = np.empty((count, 2), np.int32), np.empty(count, np.int32)
        clipped = np.empty(count, np.bool_)
        for_each_block(
            _set_up, -(-count // size), pos[b], tri, height, width, size, corners, planes, rows, faces, clipped
        )
        if clipped.any():
            todo = np.flatnonzero(clipped)
            extra = len(todo) * MAX_PIECES
            corners = np.concatenate([corners, np.zeros((extra, 6), np.int32)])
            planes = np.concatenate([planes, np.zeros((extra, 3))])
            rows = np.concatenate([rows, np.tile(np.array([[0, -1]], np.int32), (extra, 1))])
            faces = np.concatenate([faces, np.zeros(extra, np.int32)])
            _clip(pos[b], tri, todo, count, height, width, corners, planes, rows, faces)
        for_each_block(_draw, -(-height // BAND), corners, planes, rows, faces, pos[b], tri, rast[b], rast_db[b])
    return rast, rast_db


@njit(nogil=True, cache=True, error_model="numpy")
def _interpolate(block, attr, rast, tri, rast_db, out, out_da):
    """One block is BAND rows of the whole batch, rows counted through all images."""
    height, width, channels = rast.shape[1], rast.shape[2], attr.shape[2]
    for index in range(block * BAND, min((block + 1) * BAND, rast.shape[0] * height)):
        image, row = index // height, index % height
        n = image if len(attr) > 1 else 0
        for column in range(width):
            face = np.int64(rast[image, row, column, 3]) - 1
            if face < 0:
                for c in range(channels):
                    out[image, row, column, c] = 0.0
                    out_da[image, row, column, 2 * c] = 0.0
                    out_da[image, row, column, 2 * c + 1] = 0.0
                continue
            u, v = rast[image, row, column, 0], rast[image, row, column, 1]
            for c in range(channels):
                last = attr[n, tri[face, 2], c]
                to_u, to_v = attr[n, tri[face, 0], c] - last, attr[n, tri[face, 1], c] - last
                out[image, row, column, c] = last + u * to_u + v * to_v
                for axis in range(2):
                    du, dv = rast_db[image, row, column, axis], rast_db[image, row, column, 2 + axis]
                    out_da[image, row, column, 2 * c + axis] = du * to_u + dv * to_v


def interpolate(
    attr: np.ndarray, rast: np.ndarray, tri: np.ndarray, rast_db: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate vertex attributes; see texopt.raster.interpolate.

    attr float32 [1 or B,V,A] -> float32 [B,H,W,A], and their derivatives float32 [B,H,W,2A].
    """
    batch, height, width = rast.shape[:3]
    out = np.empty((batch, height, width, attr.shape[2]), np.float32)
    out_da = np.empty((batch, height, width, 2 * attr.shape[2]), np.float32)
    for_each_block(_interpolate, -(-batch * height // BAND), attr, rast, tri, rast_db, out, out_da)
    return out, out_da
