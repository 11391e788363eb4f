"""How the nodes of a glTF scene show their primitives: morph targets, skins, transforms."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from texopt.io.gltf.document import GltfFile


def _turned(normals: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Unit normals [N,3] by the inverse transpose of a matrix, [4,4] or [N,4,4]; as they are where it has none."""
    linear = matrix[..., :3, :3]
    cofactor = np.stack([np.cross(linear[..., (i + 1) % 3, :], linear[..., (i + 2) % 3, :]) for i in range(3)], -2)
    turned = (cofactor @ normals[..., None])[..., 0] * np.sign(np.linalg.det(linear))[..., None]
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 0, turned / np.maximum(length, 1e-300), normals))


class Skins:
    """How the joints of a document stand."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._joints: dict[int, np.ndarray] = {}

    @cached_property
    def _world(self) -> list[np.ndarray]:
        return self.file.world_matrices()

    def joint_matrices(self, index: int) -> np.ndarray:
        """[J,4,4], from where a skin's mesh stands when it is bound to where its joints stand in the file."""
        if index not in self._joints:
            skin = self.file.document["skins"][index]
            joints = np.stack([self._world[joint] for joint in skin["joints"]])
            if "inverseBindMatrices" in skin:
                inverse = self.file.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
                joints = joints @ inverse[: len(joints)]
            self._joints[index] = joints
        return self._joints[index]


class Pose:
    """How a node shows a primitive: its morph targets, then its skin or else its world matrix."""

    def __init__(self, skins: Skins, node: dict[str, Any], world: np.ndarray, primitive: dict[str, Any]) -> None:
        self.file, self.primitive, self.attributes = skins.file, primitive, primitive["attributes"]
        mesh = self.file.document["meshes"][node["mesh"]]
        weights = node.get("weights", mesh.get("weights", []))
        self.targets = list(zip(weights, primitive.get("targets", []), strict=False))
        self.skinned = "skin" in node and {"JOINTS_0", "WEIGHTS_0"} <= self.attributes.keys()
        self.joints = skins.joint_matrices(node["skin"]) if self.skinned else None
        self.world = world

    @cached_property
    def matrix(self) -> np.ndarray:
        """[4,4], or [N,4,4] for what is skinned: then the node's own matrix does not count."""
        if self.joints is None:
            return self.world
        count = self.file.count(self.attributes["POSITION"])
        matrices, total = np.zeros((count, 4, 4)), np.zeros(count)
        number = 0
        while {f"JOINTS_{number}", f"WEIGHTS_{number}"} <= self.attributes.keys():
            joints = self.file.accessor(self.attributes[f"JOINTS_{number}"], raw=True)
            for joint, weight in zip(joints.T, self.read(f"WEIGHTS_{number}").T, strict=True):
                matrices += weight[:, None, None] * self.joints[joint]
                total += weight
            number += 1
        return np.where(total > 0, 1 / np.where(total > 0, total, 1), 1)[:, None, None] * matrices

    def read(self, name: str, targets: bool = True) -> np.ndarray:
        """The values of an attribute [N,C], with what its morph targets add, or without."""
        values = self.file.accessor(self.attributes[name]).astype(np.float64)
        return values + self._added(name) if targets else values

    def _added(self, name: str) -> np.ndarray | float:
        """What morph targets add to an attribute."""
        added: np.ndarray | float = 0.0
        for weight, target in self.targets:
            if weight and name in target:
                added = added + weight * self.file.accessor(target[name])
        return added

    def positions(self) -> np.ndarray:
        """World coordinates [N,3]."""
        points = self.read("POSITION")
        return np.asarray((self.matrix[..., :3, :3] @ points[..., None])[..., 0] + self.matrix[..., :3, 3])

    def normals(self) -> np.ndarray:
        """[N,3]."""
        return _turned(self.read("NORMAL"), self.matrix)

    def unposed(self, points: np.ndarray) -> np.ndarray:
        """World coordinates [N,3] as the attribute POSITION has them. The matrix has to have an inverse."""
        away = points - self.matrix[..., :3, 3]
        linear = np.broadcast_to(self.matrix[..., :3, :3], (len(points), 3, 3))
        return np.asarray(np.linalg.solve(linear, away[..., None])[..., 0] - self._added("POSITION"))

    def unposed_normals(self, normals: np.ndarray) -> np.ndarray:
        """Normals [N,3] of the world as the attribute NORMAL has them, of length 1 before morph targets add to them."""
        turned = (np.swapaxes(self.matrix[..., :3, :3], -1, -2) @ normals[..., None])[..., 0]
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        return np.asarray(turned / np.maximum(length, 1e-300) - self._added("NORMAL"))

    @property
    def mirrored(self) -> bool:
        """Whether it turns the faces inside out, so that their corners have to go the other way round."""
        return not self.skinned and bool(np.linalg.det(self.world[:3, :3]) < 0)
