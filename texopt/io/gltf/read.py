"""A glTF scene as one mesh in world coordinates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import MeshError
from texopt.io.gltf.document import FAN, STRIP, TRIANGLES, GltfFile, Piece, name_of
from texopt.io.gltf.file import read_gltf
from texopt.io.gltf.links import uv_set
from texopt.io.gltf.material import Materials, appearance_of, vertex_colors
from texopt.io.gltf.pose import Pose, Skins
from texopt.io.gltf.read_finish import Finishes
from texopt.io.raw import TURNED, Material, RawMesh, check_materials, stacked

log = logging.getLogger("texopt")

MOST = 10_000_000  # vertices or indices, against files that show a mesh so often that memory ends
MOST_VALUES = 100_000_000  # of all attributes, joints and morph targets
MOST_PRIMITIVES = 10_000  # shown, each by itself
LARGEST_UV = 1e9  # beyond it UVs are no better than those that are not finite


def read(path: Path) -> RawMesh:
    """A .glb or .gltf: the triangles of its scene, posed by their nodes, skins and morph targets.

    MeshError or ImageError where that cannot be done.
    """
    file = read_gltf(path)
    with np.errstate(all="ignore"):  # values that are not finite are found later
        shown = list(file.shown())
        _check_size(file, [node for node, _ in shown])
        scene = _Scene(file)
        for node, world in shown:
            scene.add_node(node, world)
        return scene.mesh()


def _check_size(file: GltfFile, nodes: list[int]) -> None:
    """MeshError where the meshes of some nodes are together too large, or there are some and no node shows one."""
    if not nodes and (meshes := file.get("meshes")):
        number, scenes = file.document.get("scene", 0), len(file.get("scenes"))
        none = f"its scene, scenes[{number}] of {scenes}, shows none" if scenes > 1 else "no scene shows them"
        raise MeshError(
            f"{file.path} has meshes ({len(meshes)}), but {none}; put their nodes into scenes[{number}].nodes, "
            "or export it again"
        )
    counts = [entry["count"] for entry in file.get("accessors")]
    copies = [file.copies(node) for node in nodes]

    def size(primitive: dict[str, Any]) -> int:
        used = [*primitive["attributes"].values(), *([primitive["indices"]] if "indices" in primitive else [])]
        return max((counts[index] for index in used), default=0)

    def values(primitive: dict[str, Any]) -> int:
        attributes = [primitive["attributes"], *primitive.get("targets", [])]
        return sum(counts[index] for names in attributes for index in names.values())

    for most, measure, what in (
        (MOST_PRIMITIVES, lambda _: 1, "primitives"),
        (MOST, size, "vertices"),
        (MOST_VALUES, values, "values"),
    ):
        sizes = [sum(map(measure, mesh["primitives"])) for mesh in file.get("meshes")]
        shown = (sizes[file.document["nodes"][node]["mesh"]] for node in nodes)
        if sum(size * count for size, count in zip(shown, copies, strict=True)) > most:
            raise MeshError(f"{file.path} shows more than {most:,} {what}; take a part of it")


def _transformed(uvs: np.ndarray, reference: dict[str, Any] | None) -> np.ndarray:
    """UVs [N,2] after KHR_texture_transform: scaled, turned about (0,0) (counter-clockwise as v points down), moved."""
    transform = (reference or {}).get("extensions", {}).get("KHR_texture_transform")
    if not transform:
        return uvs
    angle = float(transform.get("rotation", 0.0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scaled = uvs * np.array(transform.get("scale", (1.0, 1.0)), float)
    return np.asarray(scaled @ turn.T + np.array(transform.get("offset", (0.0, 0.0)), float))


@dataclass
class _Columns:
    """Rows that several primitives may share, by what they were read from."""

    rows: list[np.ndarray] = field(default_factory=list)
    starts: dict[Any, int] = field(default_factory=dict)
    count: int = 0

    def add(self, key: Any, make: Callable[[], np.ndarray]) -> int:
        """Where the rows for `key` start; `make` is called for those that are not there yet."""
        if key not in self.starts:
            self.starts[key] = self.count
            self.rows.append(make())
            self.count += len(self.rows[-1])
        return self.starts[key]


class _Scene:
    """The primitives of a scene, collected."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self.materials = file.get("materials")
        self.appearances = [
            appearance_of(material) for material in (*self.materials, {})
        ]  # the last of primitives that have none
        self.vertices, self.uvs, self.normals, self.colors = (_Columns() for _ in range(4))
        self.faces: list[np.ndarray] = []
        self.face_uvs: list[np.ndarray] = []
        self.face_normals: list[np.ndarray] = []
        self.face_material: list[np.ndarray] = []
        self.face_object: list[np.ndarray] = []
        self.copy_of: list[np.ndarray] = []
        self.turned: list[np.ndarray] = []
        self.objects: list[str] = []
        self.pieces: dict[tuple[int, int], Piece] = {}
        self.count = 0
        self.tinted = False
        self.several: set[str] = set()  # UV sets of the base colour where there are others
        self.skins = Skins(file)

    def add_node(self, index: int, world: np.ndarray) -> None:
        """The primitives of a node's mesh, as an object for each place where it is shown."""
        node = self.file.document["nodes"][index]
        mesh = self.file.document["meshes"][node["mesh"]]
        for copy, matrix in enumerate(self.file.copy_matrices(index)):
            for number, primitive in enumerate(mesh["primitives"]):
                mode = primitive.get("mode", TRIANGLES)
                if mode in (TRIANGLES, STRIP, FAN) and "POSITION" in primitive["attributes"]:
                    pose = Pose(self.skins, node, world @ matrix, primitive)
                    self._add((index, copy), (node["mesh"], number), primitive, pose)
            self.objects.append(name_of(node) or name_of(mesh))

    def _add(self, shown: tuple[int, int], place: tuple[int, int], primitive: dict[str, Any], pose: Pose) -> None:
        file, attributes = self.file, primitive["attributes"]
        corners, count = file.triangles(primitive), file.count(attributes["POSITION"])
        piece = self.pieces.setdefault(place, Piece(*place, self.count, pose.mirrored))
        if pose.mirrored:
            corners = corners[:, TURNED]

        material = primitive.get("material", len(self.materials))
        appearance = self.appearances[material]
        skin = tuple(attributes.get(name) for name in ("JOINTS_0", "WEIGHTS_0"))
        targets = repr(primitive["targets"]) if pose.targets else ""
        tints = None if appearance.emitted else vertex_colors(file, attributes)
        self.tinted |= tints is not None
        key = (*shown, attributes["POSITION"], tints is not None and attributes["COLOR_0"], skin, targets)
        self.faces.append(corners + self.vertices.add(key, pose.positions))
        self.colors.add(key, lambda: np.ones((count, 3)) if tints is None else tints)
        self.face_normals.append(
            corners + self.normals.add((*key, attributes["NORMAL"]), pose.normals)
            if "NORMAL" in attributes
            else np.full_like(corners, -1)
        )
        self.face_uvs.append(self._corner_uvs(corners, attributes, appearance.reference))
        self.face_material.append(np.full(len(corners), material))
        self.face_object.append(np.full(len(corners), len(self.objects)))
        self.copy_of.append(np.arange(piece.face, piece.face + len(corners)))
        self.turned.append(np.full(len(corners), pose.mirrored != piece.mirrored))
        self.count += len(corners)

    def _corner_uvs(
        self, corners: np.ndarray, attributes: dict[str, int], reference: dict[str, Any] | None
    ) -> np.ndarray:
        name = f"TEXCOORD_{uv_set(reference or {})}"
        if sum(attribute.startswith("TEXCOORD_") for attribute in attributes) > 1:
            self.several.add(name)
        if name not in attributes:
            return np.full_like(corners, -1)

        def make() -> np.ndarray:
            uvs = self.file.accessor(attributes[name]).astype(np.float64)
            uvs = _transformed(uvs, reference) * (1, -1) + (0, 1)
            return np.where(np.abs(uvs) < LARGEST_UV, uvs, np.nan)

        return corners + self.uvs.add((attributes[name], repr((reference or {}).get("extensions"))), make)

    def mesh(self) -> RawMesh:
        """All of it."""
        file = self.file
        file.pieces = list(self.pieces.values())
        if self.several:
            sets = ", ".join(sorted(self.several))
            log.info("%s has several UV sets; the base colour's is used (%s)", file.path.name, sets)

        def joined(indices: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([np.zeros(0, np.int64), *indices])

        face_material = joined(self.face_material)
        used, white = set(face_material.tolist()), Material((1.0, 1.0, 1.0))
        check_materials(file.path, len(used))
        shown = Materials(file)
        materials = [shown.load(entry) if index in used else white for index, entry in enumerate(self.materials)]
        finishes = Finishes(file)
        finish_of = [finishes.load(entry) if index in used else None for index, entry in enumerate(self.materials)]
        if file.missing:
            first, *others = (why.partition(";")[0] for why in file.missing.values())
            more = f", and {len(others)} more textures that are missing" if others else ""
            log.warning("%s %s%s: no colour, and left out", file.path.name, first, more)
        return RawMesh(
            vertices=stacked(self.vertices.rows, 3),
            faces=stacked(self.faces, 3, np.int64),
            uvs=stacked(self.uvs.rows, 2),
            face_uvs=stacked(self.face_uvs, 3, np.int64),
            normals=stacked(self.normals.rows, 3),
            face_normals=stacked(self.face_normals, 3, np.int64),
            materials=[*materials, white],  # the last is of primitives that have none
            names=[*(name_of(entry, f"material_{index}") for index, entry in enumerate(self.materials)), ""],
            face_material=face_material,
            files=tuple(file.files),
            colors=stacked(self.colors.rows, 3) if self.tinted else None,
            linear_colors=True,
            objects=self.objects or [""],
            face_object=joined(self.face_object),
            copy_of=joined(self.copy_of),
            turned=joined(self.turned).astype(bool),
            source=file,
            finishes=[*finish_of, None],
        )
