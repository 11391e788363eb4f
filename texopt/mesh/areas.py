"""Areas of triangles, in space and in a texture."""

from __future__ import annotations

import numpy as np

NO_AREA = 1e-12  # of a triangle in a texture


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Of triangles [F,3], or of flat ones with vertices [V,2], float64 [F]."""
    a, b = (vertices[faces[:, i]] - vertices[faces[:, 0]] for i in (1, 2))
    if vertices.shape[1] == 2:
        return np.asarray(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)
    return np.asarray(np.linalg.norm(np.cross(a, b), axis=1) / 2)
