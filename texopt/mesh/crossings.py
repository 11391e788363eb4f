"""Faces of a mesh that pass through one another."""

from __future__ import annotations

from typing import Any

import numpy as np

from texopt.mesh.topology import same_places
from texopt.raster.kernels import at, called, for_each_block, kernel

BLOCK = 256  # faces that a block of work looks at
FLAT = 1e-9  # of the cube of a length: a smaller volume is none, as of corners in one plane


@called
def _volume(a, b, c, d):  # type: ignore[no-untyped-def]
    """Six times the signed volume of a tetrahedron."""
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    cx, cy, cz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    dx, dy, dz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
    return bx * (cy * dz - cz * dy) + by * (cz * dx - cx * dz) + bz * (cx * dy - cy * dx)


@called
def _pierced(p, q, a, b, c, least):  # type: ignore[no-untyped-def]
    """Whether the segment from p to q passes through the inside of the triangle a, b, c."""
    first, second = _volume(a, b, c, p), _volume(a, b, c, q)
    if not (min(abs(first), abs(second)) > least and (first > 0.0) != (second > 0.0)):
        return False
    ab, bc, ca = _volume(p, q, a, b), _volume(p, q, b, c), _volume(p, q, c, a)
    if not min(abs(ab), abs(bc), abs(ca)) > least:
        return False
    return (ab > 0.0) == (bc > 0.0) and (bc > 0.0) == (ca > 0.0)


@called
def _crossing(points, places, one, two, least):  # type: ignore[no-untyped-def]
    """Whether two triangles pass through one another, beside a corner that they may share."""
    shared, own, other = 0, -1, -1
    for i in range(3):
        for j in range(3):
            if places[one, at(i)] == places[two, at(j)]:
                shared, own, other = shared + 1, i, j
    if shared > 1:
        return False
    for k in range(3):  # the edge opposite of each corner; those at a shared corner touch there and go away
        i, j = at((k + 1) % 3), at((k + 2) % 3)
        if (shared == 0 or k == own) and _pierced(
            points[one, i], points[one, j], points[two, at(0)], points[two, at(1)], points[two, at(2)], least
        ):
            return True
        if (shared == 0 or k == other) and _pierced(
            points[two, i], points[two, j], points[one, at(0)], points[one, at(1)], points[one, at(2)], least
        ):
            return True
    return False


@kernel
def _sweep(block, points, places, low, high, sizes, counts, starts, found):  # type: ignore[no-untyped-def]
    """For each face of a block how many of those after it cross it; and, where `starts` is there, which."""
    for one in range(block * BLOCK, min((block + 1) * BLOCK, len(points))):
        i = at(one)
        number = 0
        if len(starts) and counts[i] == 0:
            continue
        for two in range(one + 1, len(points)):
            j = at(two)
            if low[j, 0] > high[i, 0]:
                break
            if low[j, 1] > high[i, 1] or high[j, 1] < low[i, 1] or low[j, 2] > high[i, 2] or high[j, 2] < low[i, 2]:
                continue
            least = FLAT * max(sizes[i], sizes[j]) ** 3
            if _crossing(points, places, i, j, least):
                if len(starts):
                    found[at(starts[i] + number), 0], found[at(starts[i] + number), 1] = one, two
                number += 1
        counts[i] = number


def crossing_faces(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Pairs of faces that pass through one another: int64 [N,2], ascending, each once.

    Two faces with a corner in common cross if they do so away from it; two with an edge in common, and what merely
    touches, do not. Faces are sorted along the mesh's longest side and compared where their boxes overlap; edges are
    tested against faces by the signs of volumes (Guigue & Devillers, "Fast and Robust Triangle-Triangle Overlap Test
    Using Orientation Predicates", Journal of Graphics Tools 8(1), 2003, has these predicates).

    Args:
        vertices: float64 [V,3], of which those at one place count as one. faces: int [F,3].
    """
    points = vertices[faces] - vertices[faces].mean((0, 1))
    extent = np.ptp(points, axis=(0, 1))
    axes = np.argsort(-extent, kind="stable")
    points = points[..., axes] / (extent.max() or 1.0)
    order = np.argsort(points[..., 0].min(1), kind="stable")
    points, places = np.ascontiguousarray(points[order]), np.ascontiguousarray(same_places(vertices)[faces][order])
    low, high = points.min(1), points.max(1)
    blocks, counts = -(-len(points) // BLOCK), np.zeros(len(points), np.int64)
    parts: tuple[Any, ...] = (points, places, low, high, (high - low).max(1), counts)
    for_each_block(_sweep, blocks, *parts, np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    found = np.zeros((int(counts.sum()), 2), np.int64)
    if len(found):
        for_each_block(_sweep, blocks, *parts, np.cumsum(counts) - counts, found)
    pairs = np.sort(order[found], axis=1)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])
