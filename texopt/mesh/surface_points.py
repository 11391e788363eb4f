"""Random points on a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from texopt.mesh.areas import areas
from texopt.mesh.mesh import Mesh
from texopt.mesh.wrapping import folded


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

    def unmasked(self) -> np.ndarray:
        """bool [N], which are where the texture may change, as far as masks say."""
        free, uv, maps = np.ones(len(self.face), bool), self.uv, self.map_id
        for index, texture in enumerate(self.mesh.maps):
            if texture.mask is not None:
                here = np.flatnonzero(maps == index)
                height, width = texture.mask.shape
                u, v = folded(uv[here], texture.wrap).T
                row, column = ((1 - v) * height).astype(int), (u * width).astype(int)
                free[here] = texture.mask[row.clip(max=height - 1), column.clip(max=width - 1)] > 127
        return free


def random_points(mesh: Mesh, count: int, seed: int = 0) -> Points:
    """Evenly over the part of the surface that is optimised, without what a mask keeps."""
    generator = np.random.default_rng(seed)
    share = areas(mesh.vertices, mesh.faces) * np.isin(mesh.face_map, mesh.optimized)

    def some(number: int) -> Points:
        face = generator.choice(len(mesh.faces), number, p=share / share.sum())
        return Points(mesh, face, generator.dirichlet((1, 1, 1), number))

    found = some(count)
    if found.unmasked().all():
        return found
    more = some(64 * count)
    free = np.flatnonzero(more.unmasked())
    if not len(free):  # too little to be found
        return found
    chosen = generator.choice(free, count)
    return Points(mesh, more.face[chosen], more.bary[chosen])
