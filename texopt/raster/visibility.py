"""Which triangle every pixel sees: numba kernels over numpy arrays.

Coverage is decided in integers. Vertices are snapped to 1/256 of a pixel and the edge functions of a triangle
(Pineda 1988) are evaluated exactly in int64, with the top-left rule for pixels that lie on an edge, so that two
triangles that share an edge neither leave a gap nor both draw a pixel. Depth is evaluated in float64 from the
unsnapped homogeneous vertices (Olano & Greer 1997), which needs no division by the w of a vertex and so holds for
triangles that reach behind the eye.
"""

from __future__ import annotations

import numpy as np

from texopt.raster.barycentrics import NOTHING, cross, shade
from texopt.raster.kernels import at, called, for_each_block, inlined, is_cached, kernel

SUBPIXEL = 256  # steps a pixel is divided into
GUARD = 2.0**20  # largest screen coordinate, in pixels, that is drawn without clipping: int64 edge functions hold it
SMALLEST_W = 1e-20
DEPTH_LIMIT = 1.0 + 1e-7  # of |z/w|: surfaces exactly on the near or far plane survive rounding
BAND = 64  # rows a block of work draws
BLOCK = 2048  # vertices or triangles that a block of work sets up
MAX_PIECES = 8  # a triangle clipped by the six planes has at most nine corners, hence seven pieces

OUTSIDE = 63  # what `_project` says of a vertex: bits of the clipping planes that it is behind ...
CLIPPED = 64  # ... whether the triangles at it have to be clipped before they can be snapped ...
UNUSABLE = 128  # ... and whether it is not finite


@inlined
def _snap(x, w, size):
    """A clip-space coordinate on the screen, in 1/256 pixels."""
    return np.int64(np.rint((x / w * 0.5 + 0.5) * size * SUBPIXEL))


@kernel
def _project(block, pos, height, width, screen, codes):
    """Snap a block of vertices: int32 [V,2] in 1/256 pixels, and what there is to know of each: uint8 [V]."""
    for v in range(block * BLOCK, min((block + 1) * BLOCK, len(pos))):
        i = at(v)
        x, y, z, w = np.float64(pos[i, 0]), np.float64(pos[i, 1]), np.float64(pos[i, 2]), np.float64(pos[i, 3])
        if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z) and np.isfinite(w)):
            codes[i] = UNUSABLE
            continue
        code = (x < -w) | (x > w) << 1 | (y < -w) << 2 | (y > w) << 3 | (z < -w) << 4 | (z > w) << 5
        if w >= SMALLEST_W and z >= -w and max(abs(x) * width, abs(y) * height) <= GUARD * w:
            screen[i, 0], screen[i, 1] = _snap(x, w, width), _snap(y, w, height)
        else:
            code |= CLIPPED
        codes[i] = code


@called
def _order(p, i, j):
    """Swap corners i and j if they are not in lexicographic order."""
    for c in range(4):
        if p[i, c] != p[j, c]:
            if p[i, c] > p[j, c]:
                for d in range(4):
                    p[i, d], p[j, d] = p[j, d], p[i, d]
            return


@called
def _depth_plane(p, out):
    """z/w as an affine function of normalised device x, y. False if the triangle is seen edge-on.

    The corners are sorted first, so that coincident faces (the two sides of a sheet) have the same depth to the bit.
    """
    _order(p, 0, 1)
    _order(p, 1, 2)
    _order(p, 0, 1)
    p0, p1, p2 = (p[0, 0], p[0, 1], p[0, 3]), (p[1, 0], p[1, 1], p[1, 3]), (p[2, 0], p[2, 1], p[2, 3])
    n0, n1, n2 = cross(p1, p2), cross(p2, p0), cross(p0, p1)
    det = p0[2] * n0[2] + p1[2] * n1[2] + p2[2] * n2[2]
    if det == 0.0 or not np.isfinite(det):
        return False
    for i in range(3):
        out[i] = (p[0, 2] * n0[i] + p[1, 2] * n1[i] + p[2, 2] * n2[i]) / det
    return np.isfinite(out[0]) and np.isfinite(out[1]) and np.isfinite(out[2])


@inlined
def _pixels(low, high, size):
    """First and last pixel whose centre can be between two snapped coordinates."""
    half = SUBPIXEL // 2
    return max((low + half - 1) // SUBPIXEL, 0), min((high - half) // SUBPIXEL, size - 1)


@called
def _store(slot, x0, y0, x1, y1, x2, y2, height, width, corners, rows):
    """Write one screen triangle, wound so that its area is positive. False if it has no pixels to draw."""
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    first, last = _pixels(min(y0, y1, y2), max(y0, y1, y2), height)
    left, right = _pixels(min(x0, x1, x2), max(x0, x1, x2), width)
    if area == 0 or first > last or left > right:
        return False
    if area < 0:
        x1, y1, x2, y2 = x2, y2, x1, y1
    rows[slot, 0], rows[slot, 1] = first, last
    corners[slot, 0], corners[slot, 1], corners[slot, 2] = x0, y0, x1
    corners[slot, 3], corners[slot, 4], corners[slot, 5] = y1, x2, y2
    return True


@kernel
def _set_up(block, pos, tri, start, screen, codes, height, width, corners, planes, rows, faces, clipped):
    """Make screen triangles of a block of faces; those that need clipping are only marked in `clipped`."""
    p = np.empty((3, 4), np.float64)
    plane = np.empty(3, np.float64)
    for index in range(block * BLOCK, min((block + 1) * BLOCK, len(rows))):
        slot, face = at(index), at(start + index)
        rows[slot, 0], rows[slot, 1] = 0, -1
        i, j, k = at(tri[face, 0]), at(tri[face, 1]), at(tri[face, 2])
        anywhere, everywhere = codes[i] | codes[j] | codes[k], codes[i] & codes[j] & codes[k]
        drawable = (anywhere & UNUSABLE) == 0 and (everywhere & OUTSIDE) == 0
        clipped[slot] = drawable and (anywhere & CLIPPED) != 0
        if not drawable or clipped[slot]:
            continue
        x0, y0, x1 = np.int64(screen[i, 0]), np.int64(screen[i, 1]), np.int64(screen[j, 0])
        y1, x2, y2 = np.int64(screen[j, 1]), np.int64(screen[k, 0]), np.int64(screen[k, 1])
        if not _store(slot, x0, y0, x1, y1, x2, y2, height, width, corners, rows):
            continue
        for c in range(4):
            p[0, c], p[1, c], p[2, c] = pos[i, at(c)], pos[j, at(c)], pos[k, at(c)]
        if not _depth_plane(p, plane):
            rows[slot, 1] = -1
            continue
        planes[slot, 0], planes[slot, 1], planes[slot, 2] = plane[0], plane[1], plane[2]
        faces[slot] = face


@called
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


@kernel
def _clip(pos, tri, todo, height, width, corners, planes, rows, faces):
    """Clip the marked triangles by the near plane and the guard band (Sutherland & Hodgman 1974) and fan them."""
    polygon, other = np.empty((12, 4), np.float64), np.empty((12, 4), np.float64)
    snapped = np.empty((12, 2), np.int64)
    p = np.empty((3, 4), np.float64)
    plane = np.empty(3, np.float64)
    guard_x, guard_y = GUARD / width, GUARD / height
    for index in range(len(todo)):
        face = todo[index]
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
                if (da >= 0.0) != (db >= 0.0):  # from the inner end to the outer: neighbours agree to the bit
                    other[kept] = a + (b - a) * (da / (da - db)) if da >= 0.0 else b + (a - b) * (db / (db - da))
                    kept += 1
            polygon, other = other, polygon
            count = kept
        if count < 3 or not _depth_plane(p, plane):
            continue
        for i in range(count):
            snapped[i, 0] = _snap(polygon[i, 0], polygon[i, 3], width)
            snapped[i, 1] = _snap(polygon[i, 1], polygon[i, 3], height)
        for i in range(1, count - 1):
            slot = index * MAX_PIECES + i - 1
            x0, y0, x1, y1 = snapped[0, 0], snapped[0, 1], snapped[i, 0], snapped[i, 1]
            _store(slot, x0, y0, x1, y1, snapped[i + 1, 0], snapped[i + 1, 1], height, width, corners, rows)
            planes[slot] = plane
            faces[slot] = face


@inlined
def _edge(ax, ay, bx, by, px, py):
    """Edge function at (px, py), minus one where the edge is not a top or left one: inside is >= 0."""
    dx, dy = bx - ax, by - ay
    top_left = dy < 0 or (dy == 0 and dx < 0)
    return dx * (py - ay) - dy * (px - ax) - (0 if top_left else 1)


@inlined
def _peeled(z, face, pixel, peeled_depth, peeled_face):
    """Whether a surface is in the last layer or before it."""
    return z < peeled_depth[pixel] or (z == peeled_depth[pixel] and face <= peeled_face[pixel])


@called
def _fill(top, bottom, height, width, corners, planes, rows, faces, peeled_depth, peeled_face, depth, visible):
    """Find what the pixels of rows [top, bottom) see: the first by (depth, face), behind what has been peeled."""
    peeling = len(peeled_depth) > 0
    half = SUBPIXEL // 2
    for index in range(len(rows)):
        slot = at(index)
        first, last = max(np.int64(rows[slot, 0]), top), min(np.int64(rows[slot, 1]), bottom - 1)
        if first > last:
            continue
        x0, y0, x1 = np.int64(corners[slot, 0]), np.int64(corners[slot, 1]), np.int64(corners[slot, 2])
        y1, x2, y2 = np.int64(corners[slot, 3]), np.int64(corners[slot, 4]), np.int64(corners[slot, 5])
        left, right = _pixels(min(x0, x1, x2), max(x0, x1, x2), width)
        px, py = left * SUBPIXEL + half, first * SUBPIXEL + half
        row0, row1, row2 = _edge(x0, y0, x1, y1, px, py), _edge(x1, y1, x2, y2, px, py), _edge(x2, y2, x0, y0, px, py)
        right0, right1, right2 = (y0 - y1) * SUBPIXEL, (y1 - y2) * SUBPIXEL, (y2 - y0) * SUBPIXEL
        down0, down1, down2 = (x1 - x0) * SUBPIXEL, (x2 - x1) * SUBPIXEL, (x0 - x2) * SUBPIXEL
        face = faces[slot]
        z_right, z_down = planes[slot, 0] * (2.0 / width), planes[slot, 1] * (2.0 / height)
        z_corner = planes[slot, 2] + planes[slot, 0] * (1.0 / width - 1.0) + planes[slot, 1] * (1.0 / height - 1.0)
        for row in range(first, last + 1):
            z_row = z_corner + z_down * row
            e0, e1, e2 = row0, row1, row2
            entered = False
            for column in range(left, right + 1):
                if (e0 | e1 | e2) >= 0:
                    entered = True
                    z = z_row + z_right * column
                    if -DEPTH_LIMIT <= z <= DEPTH_LIMIT:
                        i, j = at((row - top) * width + column), at(row * width + column)
                        nearer = z < depth[i] or (z == depth[i] and face < visible[i])
                        if nearer and not (peeling and _peeled(z, face, j, peeled_depth, peeled_face)):
                            depth[i] = z
                            visible[i] = face
                elif entered:
                    break
                e0, e1, e2 = e0 + right0, e1 + right1, e2 + right2
            row0, row1, row2 = row0 + down0, row1 + down1, row2 + down2


@kernel
def _draw(block, height, width, corners, planes, rows, faces, peeled_depth, peeled_face, pos, tri, rast, rast_db):
    """Draw the rows of one band: visibility first, then the barycentrics of what is visible."""
    top, bottom = block * BAND, min((block + 1) * BAND, height)
    pixels = (bottom - top) * width
    depth, visible = np.empty(pixels), np.empty(pixels, np.int32)
    for i in range(pixels):
        depth[at(i)], visible[at(i)] = np.inf, NOTHING
    _fill(top, bottom, height, width, corners, planes, rows, faces, peeled_depth, peeled_face, depth, visible)
    shade(top, bottom, height, width, visible, pos, tri, rast, rast_db)
    if len(peeled_depth) > 0:
        for i in range(pixels):
            peeled_depth[at(top * width + i)], peeled_face[at(top * width + i)] = depth[at(i)], visible[at(i)]


def compiled() -> bool:
    """Whether an earlier process has compiled the kernels, which takes a quarter of a minute."""
    return is_cached(_draw)


def draw(
    pos: np.ndarray, tri: np.ndarray, start: int, stop: int, height: int, width: int,
    rast: np.ndarray, rast_db: np.ndarray, peeled_depth: np.ndarray, peeled_face: np.ndarray,
) -> None:  # fmt: skip
    """Draw one image.

    Args:
        pos: float32 [V,4], clip-space vertices. tri: int32 [F,3]; those in [start, stop) are drawn.
        rast, rast_db: float32 [H*W,4], written; rast_db may be [0,4], if it is not wanted.
        peeled_depth, peeled_face: float64 and int32 [H*W], the last layer that was drawn, which is overwritten with
            this one; or both empty, to draw what is nearest.
    """
    count = stop - start
    screen, codes = np.empty((len(pos), 2), np.int32), np.empty(len(pos), np.uint8)
    for_each_block(_project, -(-len(pos) // BLOCK), pos, height, width, screen, codes)
    triangles: tuple[np.ndarray, ...] = (
        np.empty((count, 6), np.int32), np.empty((count, 3)), np.empty((count, 2), np.int32), np.empty(count, np.int32)
    )  # fmt: skip
    clipped = np.empty(count, np.bool_)
    vertices = (pos, tri, start, screen, codes)
    for_each_block(_set_up, -(-count // BLOCK), *vertices, height, width, *triangles, clipped)
    todo = start + np.flatnonzero(clipped)
    if len(todo):
        extra = len(todo) * MAX_PIECES
        pieces: tuple[np.ndarray, ...] = (
            np.empty((extra, 6), np.int32), np.empty((extra, 3)),
            np.tile(np.array([[0, -1]], np.int32), (extra, 1)), np.empty(extra, np.int32),
        )  # fmt: skip
        _clip(pos, tri, todo, height, width, *pieces)
        triangles = tuple(np.concatenate(pair) for pair in zip(triangles, pieces, strict=True))
    drawn = triangles[2][:, 0] <= triangles[2][:, 1]
    if 2 * np.count_nonzero(drawn) < len(drawn):  # every band goes through all of them
        triangles = tuple(x[drawn] for x in triangles)
    images = (peeled_depth, peeled_face, pos, tri, rast, rast_db)
    for_each_block(_draw, -(-height // BAND), height, width, *triangles, *images)
