"""Normals of surfaces: of faces, and of corners where faces meet smoothly."""

from __future__ import annotations

import numpy as np

from texopt.mesh.topology import same_places


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [...,3] at a length of 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals float64 [F,3] of faces [F,3], counter-clockwise being the front; zeros of those without area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return _unit(np.cross(_unit(b - a), _unit(c - a)))


def smooth_normals(vertices: np.ndarray, faces: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Unit normals float64 [N,3] of groups of corners, int [F,3] into them, -1 for corners of none.

    The mean over a group's faces, weighted with their angles at the corner, so that it does not depend on how polygons
    are divided (Thürmer & Wüthrich, "Computing Vertex Normals from Polygonal Facets", 1998). Zeros where there is none.
    """
    corners, total = vertices[faces], np.zeros((int(groups.max(initial=-1)) + 1, 3))
    normals = face_normals(vertices, faces)
    for corner in range(3):
        to_next, to_last = (_unit(corners[:, (corner + step) % 3] - corners[:, corner]) for step in (1, 2))
        sine, cosine = np.linalg.norm(np.cross(to_next, to_last), axis=1), (to_next * to_last).sum(1)
        weighted = normals * np.arctan2(sine, cosine)[:, None]
        group = groups[:, corner]
        some = group >= 0
        for axis in range(3):
            total[:, axis] += np.bincount(group[some], weighted[some, axis], len(total))
    return _unit(total)


def corner_normals(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray | None, indices: np.ndarray | None
) -> np.ndarray:
    """Unit normals of the corners of faces [F,3], as they are rendered: float64 [F,3,3].

    Those of normals [N,3] by indices [F,3], and the face's where a corner has none: where the index is -1, or the
    normal is 0 or not finite.
    """
    found = np.repeat(face_normals(vertices, faces)[:, None], 3, 1)
    if normals is None or indices is None:
        return found
    own = normals[indices]
    length = np.linalg.norm(own, axis=-1, keepdims=True)
    good = (indices >= 0)[..., None] & (length > 0) & np.isfinite(length)
    return np.where(good, own / np.where(good, length, 1.0), found)


def normal_groups(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, face_normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which corners have a normal in common: (groups int64 [F,3] as of smooth_normals, one's row of normals [N]).

    Those are at one place with normals that are equal, as formats with one index for everything split vertices along UV
    seams; face_normals is -1 for corners that have none.
    """
    directions = same_places(normals)
    pairs = same_places(vertices)[faces] * (int(directions.max()) + 1) + directions[face_normals]
    there = face_normals >= 0
    _, first, group = np.unique(pairs[there], return_index=True, return_inverse=True)
    groups = np.full(face_normals.shape, -1, np.int64)
    groups[there] = group.reshape(-1)
    return groups, face_normals[there][first]
