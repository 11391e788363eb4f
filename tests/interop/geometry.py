"""What programs say the triangles are, compared with what they were exported as."""

from __future__ import annotations

import numpy as np

from texopt.mesh.mesh import Mesh

WINDOW = 64  # rows to either side among which a row's match is looked for


def triangles_of(mesh: Mesh) -> np.ndarray:
    """float64 [F,3,5]: x, y, z, u, v of every corner."""
    return np.concatenate([mesh.vertices[mesh.faces], mesh.uvs[mesh.face_uvs]], -1)


def fans(sizes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Polygons as triangles: their sizes [P], the values of their corners one after another [C,D] -> [F,3,D]."""
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends[:-1]]
    rows = [(s, k, k + 1) for s, end in zip(starts, ends, strict=True) for k in range(s + 1, end - 1)]
    return corners[np.array(rows)]


def farthest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each column the largest difference of a row of a [N,D] to the nearest row of b [M,D]."""
    weights = np.array([1.0, 0.9142, 0.8319, 1e-3, 1.3e-3])[: a.shape[1]]
    a, b = np.unique(a, axis=0), np.unique(b, axis=0)
    b = b[np.argsort(b @ weights)]
    near = np.searchsorted(b @ weights, a @ weights)[:, None] + np.arange(-WINDOW, WINDOW)
    difference = np.abs(a[:, None] - b[near.clip(0, len(b) - 1)])
    nearest = difference.sum(-1).argmin(1)
    return difference[np.arange(len(a)), nearest].max(0)


def check_triangles(theirs: np.ndarray, ours: np.ndarray, uv_tolerance: float = 1e-5) -> None:
    """The same triangles [F,3,5], in whatever order: as sets of corners, and as sets of middles."""
    assert len(theirs) == len(ours)
    extent = np.ptp(ours[..., :3], axis=(0, 1)).max()
    tolerance = np.array([1e-6 * extent + 1e-6 * np.abs(ours[..., :3]).max()] * 3 + [uv_tolerance] * 2)
    for rows_of in (lambda triangles: triangles.reshape(-1, 5), lambda triangles: triangles.mean(1)):
        assert (farthest(rows_of(theirs), rows_of(ours)) <= tolerance).all()
        assert (farthest(rows_of(ours), rows_of(theirs)) <= tolerance).all()
