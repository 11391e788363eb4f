"""One index for position, UV and normal, as graphics cards and glTF have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from texopt.mesh.mesh import Mesh
from texopt.mesh.topology import same_places
from texopt.mesh.wrapping import REPEATED, Wrap


@dataclass(frozen=True, eq=False)
class IndexedPart:
    """Some faces of a mesh, with every vertex split into as many as it has UVs and normals there.

    positions: float64 [N,3]. uvs: float64 [N,2], (0,0) at the texture's lower left. normals: float64 [N,3], or None.
    triangles: int32 [F,3], in the order of the mesh's faces. Vertices are in the order of the mesh's. wrap: how the
    texture goes on beyond its edges. tangents: float32 [N,4], or None.
    """

    positions: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray | None
    triangles: np.ndarray
    wrap: Wrap = REPEATED
    tangents: np.ndarray | None = None


def paired(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs of two index arrays, in order: (where each occurs first, the pair of every entry)."""
    low = int(second.min(initial=0))
    keys = first * (int(second.max(initial=0)) - low + 1) + (second - low)
    _, where, pair = np.unique(keys, return_index=True, return_inverse=True)
    return where, pair.reshape(-1)


def indexed_part(mesh: Mesh, faces: np.ndarray | slice = slice(None), frames: np.ndarray | None = None) -> IndexedPart:
    """The given faces (by index, all by default) of a mesh with a single index.

    frames: the tangents of these faces' corners, [F,3,4], if the vertices are to have some (texopt.mesh.tangents).
    """
    corners = mesh.faces[faces].reshape(-1).astype(np.int64)
    corner_uvs = mesh.face_uvs[faces].reshape(-1).astype(np.int64)
    where, pair = paired(corners, corner_uvs)
    normals = None
    if mesh.normals is not None and mesh.face_normals is not None and (mesh.face_normals[faces] >= 0).all():
        corner_normals = mesh.face_normals[faces].reshape(-1).astype(np.int64)
        where, pair = paired(pair, corner_normals)
        normals = mesh.normals[corner_normals]
    if frames is not None:
        where, pair = paired(pair, same_places(frames.reshape(-1, 4)))
    return IndexedPart(
        mesh.vertices[corners[where]], mesh.uvs[corner_uvs[where]], None if normals is None else normals[where],
        pair.reshape(-1, 3).astype(np.int32), tangents=None if frames is None else frames.reshape(-1, 4)[where],
    )  # fmt: skip


def map_parts(mesh: Mesh) -> list[IndexedPart]:
    """The faces of every map of a mesh as a part."""
    parts = [indexed_part(mesh, np.flatnonzero(mesh.face_map == index)) for index in range(len(mesh.maps))]
    return [replace(part, wrap=texture.wrap) for part, texture in zip(parts, mesh.maps, strict=True)]


def unit_parts(parts: Sequence[IndexedPart]) -> list[IndexedPart]:
    """The parts moved and scaled together into the unit sphere."""
    positions = np.concatenate([part.positions for part in parts])
    center = (positions.min(0) + positions.max(0)) / 2
    radius = float(np.linalg.norm(positions - center, axis=1).max()) or 1.0
    return [replace(part, positions=(part.positions - center) / radius) for part in parts]
