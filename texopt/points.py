"""Random points on a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from texopt.maps import areas
from texopt.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Points:
    """face: int64 [N]. bary: float64 [N,3], weights of the face's corners."""

    mesh: Mesh
    face: np.ndarray
    bary: np.ndarray

    def between(self, corners: np.ndarray) -> np.ndarray:
        """Values of corners [F,3,C] at the points: [N,C]."""
        return np.asarray((corners[self.face] * self.bary[..., None]).sum(1))

    @property
    def uv(self) -> np.ndarray:
        """[N,2]."""
        return self.between(self.mesh.uvs[self.mesh.face_uvs])

    @property
    def map_id(self) -> np.ndarray:
        """int [N], which of the mesh's textures they show."""
        return np.asarray(self.mesh.face_map[self.face])


def random_points(mesh: Mesh, count: int, seed: int = 0) -> Points:
    """Evenly over the part of the surface that is optimised."""
    generator = np.random.default_rng(seed)
    share = areas(mesh.vertices, mesh.faces) * np.isin(mesh.face_map, mesh.optimized)
    face = generator.choice(len(mesh.faces), count, p=share / share.sum())
    return Points(mesh, face, generator.dirichlet((1, 1, 1), count))
