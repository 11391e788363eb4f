"""Whether faces enclose something: what shows only its front, and what shows both sides."""

from __future__ import annotations

import numpy as np


def same_places(vertices: np.ndarray) -> np.ndarray:
    """For every vertex [V,3] the number of its place: int64 [V], equal where all coordinates are."""
    order = np.lexsort(vertices.T)
    ordered = vertices[order]
    place = np.empty(len(vertices), np.int64)
    place[order] = np.cumsum(np.r_[False, (ordered[1:] != ordered[:-1]).any(1)])
    return place


def odd_edges(vertices: np.ndarray, faces: np.ndarray) -> tuple[int, int, int]:
    """(open, non-manifold, inconsistently turned) edges: of one face, of three or more, of two faces that both go the
    same way along it.

    vertices float [V,3], of which those at the same place count as one; faces int [F,3], without those that are none.
    """
    corners = same_places(vertices)[faces]
    corners = corners[(corners != np.roll(corners, -1, 1)).all(1)]
    if not len(corners):
        return 0, 0, 0
    a, b = corners.reshape(-1), np.roll(corners, -1, 1).reshape(-1)
    keys = np.minimum(a, b) * (int(corners.max()) + 1) + np.maximum(a, b)
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    ways = np.bincount(inverse.reshape(-1), a < b, len(count))
    return int((count == 1).sum()), int((count > 2).sum()), int(((count == 2) & (ways != 1)).sum())


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The signed volume that faces [F,3] enclose; negative where they are inside out."""
    corners = vertices[faces] - vertices[faces].mean((0, 1))
    return float(np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def is_solid(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether all that can be seen of the faces from outside is their fronts: they are closed and turned outward."""
    return not any(odd_edges(vertices, faces)) and volume(vertices, faces) > 0
