"""A glTF document with its vertices elsewhere: other positions and normals, and all else as it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.parts import add_positions
from texopt.io.gltf.pose import Pose, Skins
from texopt.io.raw import TURNED
from texopt.mesh.mesh import Mesh

Attributes = dict[str, np.ndarray]


def moved_gltf(file: GltfFile, mesh: Mesh) -> GltfFile | None:
    """The document with the vertices and normals of a mesh that was read from it and is otherwise as it was.

    Where the scene shows a vertex is taken back through the node's transform, its skin and its morph targets to where
    the document has it, so that animations go on from there. None where that cannot be: a mesh that the scene shows
    several times, a transform that flattens it, or corners that have lost their normals.
    """
    nodes = [(node, world @ copy) for node, world in file.shown() for copy in file.copy_matrices(node)]
    shows = {file.document["nodes"][node]["mesh"]: (file.document["nodes"][node], world) for node, world in nodes}
    if len(shows) < len(nodes):
        return None
    new, skins = file.copy(), Skins(file)
    found: dict[tuple[int, str, int], np.ndarray] = {}  # by mesh, attribute and accessor
    given: list[tuple[dict[str, int], str, tuple[int, str, int]]] = []
    for piece in file.pieces:
        primitive = file.document["meshes"][piece.mesh]["primitives"][piece.primitive]
        corners = file.triangles(primitive)
        if not len(corners):
            continue
        pose = Pose(skins, *shows[piece.mesh], primitive)
        if not (np.linalg.det(pose.matrix[..., :3, :3]) != 0).all():
            return None
        faces = slice(piece.face, piece.face + len(corners))
        rows = (corners[:, TURNED] if piece.mirrored else corners).reshape(-1)
        changed = _changed(pose, mesh, faces, rows)
        if changed is None:
            return None
        for name, values in changed.items():
            accessor = primitive["attributes"][name]
            key = piece.mesh, name, accessor
            found.setdefault(key, file.accessor(accessor).astype(np.float64))[rows] = values[rows]
            attributes = new.document["meshes"][piece.mesh]["primitives"][piece.primitive]["attributes"]
            given.append((attributes, name, key))
    made = {key: _accessor(new, key[1], values) for key, values in found.items()}
    for attributes, name, key in given:
        attributes[name] = made[key]
    return new


def _changed(pose: Pose, mesh: Mesh, faces: slice, rows: np.ndarray) -> Attributes | None:
    """The attributes of a primitive with the vertices of some faces of a mesh, by their rows: float64 [N,3 or 4].

    None where a normal is missing. Vertices that are where they were stay as they are to the last digit.
    """
    before = pose.positions()
    points = before.copy()
    points[rows] = mesh.vertices[mesh.faces[faces].reshape(-1)]
    moved = (points != before).any(1)
    found: Attributes = {}
    if moved.any():
        position = found["POSITION"] = pose.read("POSITION", targets=False)
        position[moved] = pose.unposed(points)[moved]
    if "NORMAL" not in pose.attributes:
        return found
    if mesh.normals is None or mesh.face_normals is None or (mesh.face_normals[faces] < 0).any():
        return None
    before = pose.normals()
    directions = before.copy()
    directions[rows] = mesh.normals[mesh.face_normals[faces].reshape(-1)]
    if np.array_equal(directions, before):
        return found
    normal = found["NORMAL"] = pose.unposed_normals(directions)
    if "TANGENT" in pose.attributes:  # turned into the plane of the new normal
        tangent = found["TANGENT"] = pose.read("TANGENT", targets=False)
        along = tangent[:, :3] - (tangent[:, :3] * normal).sum(1, keepdims=True) * normal
        length = np.linalg.norm(along, axis=1, keepdims=True)
        tangent[:, :3] = np.where(length > 0, along / np.maximum(length, 1e-300), tangent[:, :3])
    return found


def _accessor(file: GltfFile, name: str, values: np.ndarray) -> int:
    if name == "POSITION":
        return add_positions(file, values.astype(np.float32))
    kind: Any = "VEC4" if values.shape[1] == 4 else "VEC3"
    return file.add_accessor(values.astype(np.float32), kind)
