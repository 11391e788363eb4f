"""Polygons as triangles: a fan where that is right, ear clipping where the polygon has notches."""

from __future__ import annotations

import mapbox_earcut
import numpy as np

TURNED = 1e-6  # of a polygon's area, which rounding may turn the wrong way
MOST_WORK = 2 * 10**8  # squares of corners, which earcut may take for what crosses itself; more is left as fans
BLOCK = 1 << 13  # polygons that are looked at together, few enough for the cache


def triangulated(points: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split polygons into triangles that cover each once.

    Convex polygons are split into fans from their first corner, and so are others of which that is right. The rest is
    projected along its normal (Newell's, the sum of the cross products of its edges) and cut into ears (Meisters,
    "Polygons Have Ears", 1975; by mapbox_earcut), which takes bent and crossing ones, too.

    Args:
        points: float64 [C,3], the corners of all polygons, one polygon after the other.
        sizes: int64 [P], how many corners each has. Those of less than three have no triangles.

    Returns:
        the corners of each triangle, int64 [F,3] into points, in the order of the polygons, with their orientation; and
        its polygon, int64 [F].
    """
    counts = np.maximum(sizes - 2, 0)
    polygon = np.repeat(np.arange(len(sizes)), counts)
    first = (np.cumsum(sizes) - sizes)[polygon]
    step = np.arange(len(polygon)) - (np.cumsum(counts) - counts)[polygon]
    triangles = np.stack([first, first + step + 1, first + step + 2], 1)
    several = np.flatnonzero(counts[polygon] > 1)
    if not len(several):
        return triangles, polygon
    with np.errstate(all="ignore"):  # points that are not finite are refused later
        some = slice(None) if len(several) == len(polygon) else several
        notched = _notched(points, triangles[some], polygon[some])
    notched = notched[np.cumsum(sizes[notched] ** 2) <= MOST_WORK]
    if not len(notched):
        return triangles, polygon

    starts = np.cumsum(sizes) - sizes
    fan = ~np.isin(polygon, notched)
    parts, owners = [triangles[fan]], [polygon[fan]]
    for index in notched.tolist():
        ears = _ears(points[starts[index] : starts[index] + sizes[index]]) + starts[index]
        parts.append(ears)
        owners.append(np.full(len(ears), index))
    polygon = np.concatenate(owners)
    order = np.argsort(polygon, kind="stable")
    return np.concatenate(parts)[order], polygon[order]


def _notched(points: np.ndarray, triangles: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which polygons (int64, ascending) have a triangle in their fan that is turned against the whole."""
    starts = np.flatnonzero(np.r_[True, polygon[1:] != polygon[:-1]])
    found = [np.zeros(0, np.int64)]
    for first, end in zip(starts[::BLOCK], [*starts[BLOCK::BLOCK], len(polygon)], strict=True):
        some = polygon[first:end]
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (points[triangles[first:end, corner]].T for corner in range(3))
        bx, by, bz, cx, cy, cz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        cross = np.stack([by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx])  # [3,F]
        where = np.flatnonzero(np.r_[True, some[1:] != some[:-1]])
        normal = np.repeat(np.add.reduceat(cross, where, axis=1), np.diff(np.r_[where, len(some)]), 1)
        found.append(some[(cross * normal).sum(0) < -TURNED * (normal * normal).sum(0)])
    return np.unique(np.concatenate(found))


def _ears(points: np.ndarray) -> np.ndarray:
    """Triangles int64 [F,3] of one polygon [N,3] with notches; its fan where there are no ears to be found."""
    around = points - points[0]
    normal = np.cross(around[1:-1], around[2:]).sum(0)
    axis = int(np.abs(normal).argmax())
    flat = around[:, [(axis + 1) % 3, (axis + 2) % 3]]  # turns as the polygon does about the axis
    if np.isfinite(flat).all():
        ring = np.array([len(flat)], np.uint32)
        found = mapbox_earcut.triangulate_float64(flat, ring).reshape(-1, 3).astype(np.int64)
        if len(found):
            a, b = (flat[found[:, corner]] - flat[found[:, 0]] for corner in (1, 2))
            against = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() * normal[axis] < 0
            return found[:, [0, 2, 1]] if against else found
    step = np.arange(1, len(points) - 1)
    return np.stack([np.zeros_like(step), step, step + 1], 1)
