"""A glTF scene as one mesh in world coordinates."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.color import linear_to_srgb, srgb_to_linear
from texopt.errors import MeshError
from texopt.gltf import FAN, STRIP, TRIANGLES, GltfFile, Piece, numbers, uv_set
from texopt.images import load_alpha, load_image
from texopt.readers.gltf_file import parsing, read_gltf
from texopt.readers.raw import Material, RawMesh, stacked

log = logging.getLogger("texopt")

MOST = 20_000_000  # vertices or indices, against files that show a mesh so often that memory ends
LARGEST_UV = 1e9  # beyond it UVs are no better than those that are not finite
REPEAT = 10497
WHITE = (1.0,) * 4


def read(path: Path) -> RawMesh:
    """A .glb or .gltf: the triangles of its scene, posed by their nodes, skins and morph targets.

    MeshError or ImageError where that cannot be done.
    """
    file = read_gltf(path)
    with parsing(path), np.errstate(all="ignore"):  # values that are not finite are found later
        shown = list(file.instances())
        _check_size(file, [node for node, _ in shown])
        scene = _Scene(file)
        for node, world in shown:
            scene.add_node(node, world)
        return scene.mesh()


def _check_size(file: GltfFile, nodes: list[int]) -> None:
    """MeshError where the meshes of some nodes are together too large."""
    counts = [entry["count"] for entry in file.get("accessors")]
    sizes = [
        sum(max(counts[index] for index in (*primitive["attributes"].values(), primitive.get("indices", 0)))
            for primitive in mesh["primitives"] if counts)
        for mesh in file.get("meshes")
    ]  # fmt: skip
    if sum(sizes[file.document["nodes"][node]["mesh"]] for node in nodes) > MOST:
        raise MeshError(f"{file.path} shows more than {MOST:,} vertices; take a part of it")


def base_color(material: dict[str, Any]) -> tuple[dict[str, Any] | None, np.ndarray]:
    """(reference to the base colour's texture or None, linear factor [4]) of a material."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is not None and "pbrMetallicRoughness" not in material:
        return glossy.get("diffuseTexture"), numbers(glossy, "diffuseFactor", WHITE)
    pbr = material.get("pbrMetallicRoughness", {})
    return pbr.get("baseColorTexture"), numbers(pbr, "baseColorFactor", WHITE)


def opaque(material: dict[str, Any]) -> bool:
    """Whether the alpha of a material's colours means nothing."""
    return bool(material.get("alphaMode", "OPAQUE") == "OPAQUE")


def vertex_colors(file: GltfFile, attributes: dict[str, int]) -> np.ndarray | None:
    """Linear colours [N,3] that tint a primitive, or None where they leave it as it is."""
    if "COLOR_0" not in attributes:
        return None
    colors = np.nan_to_num(file.accessor(attributes["COLOR_0"])[:, :3].astype(np.float64), nan=1.0).clip(0, 1)
    return colors if (colors < 1).any() else None


def _transformed(uvs: np.ndarray, reference: dict[str, Any] | None) -> np.ndarray:
    """UVs [N,2] after KHR_texture_transform: scaled, turned about (0,0) (counter-clockwise as v points down), moved."""
    transform = (reference or {}).get("extensions", {}).get("KHR_texture_transform")
    if not transform:
        return uvs
    angle = float(transform.get("rotation", 0.0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scaled = uvs * numbers(transform, "scale", (1.0, 1.0))
    return np.asarray(scaled @ turn.T + numbers(transform, "offset", (0.0, 0.0)))


def _name(entry: dict[str, Any], default: str = "") -> str:
    """An object's name, as text that can be written."""
    name = entry.get("name")
    return name.encode("utf-8", "replace").decode() if name and isinstance(name, str) else default


def _turned(normals: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Unit normals [N,3] by the inverse transpose of a matrix, [4,4] or [N,4,4]; as they are where it has none."""
    linear = matrix[..., :3, :3]
    cofactor = np.stack([np.cross(linear[..., (i + 1) % 3, :], linear[..., (i + 2) % 3, :]) for i in range(3)], -2)
    turned = (cofactor @ normals[..., None])[..., 0] * np.sign(np.linalg.det(linear))[..., None]
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 0, turned / np.maximum(length, 1e-300), normals))


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


class _Pose:
    """How a node shows a primitive: its morph targets, then its skin or else its world matrix."""

    def __init__(self, scene: _Scene, node: dict[str, Any], world: np.ndarray, primitive: dict[str, Any]) -> None:
        self.file, self.primitive, self.attributes = scene.file, primitive, primitive["attributes"]
        mesh = self.file.document["meshes"][node["mesh"]]
        weights = node.get("weights", mesh.get("weights", []))
        self.targets = list(zip(weights, primitive.get("targets", []), strict=False))
        self.skinned = "skin" in node and {"JOINTS_0", "WEIGHTS_0"} <= self.attributes.keys()
        self.joints = scene.joint_matrices(node["skin"]) if self.skinned else None
        self.world = world

    @cached_property
    def matrix(self) -> np.ndarray:
        """[4,4], or [N,4,4] for what is skinned: then the node's own matrix does not count."""
        if self.joints is None:
            return self.world
        count = self.file.document["accessors"][self.attributes["POSITION"]]["count"]
        matrices, total = np.zeros((count, 4, 4)), np.zeros(count)
        number = 0
        while {f"JOINTS_{number}", f"WEIGHTS_{number}"} <= self.attributes.keys():
            joints = self._read(f"JOINTS_{number}", 4).astype(np.int64)
            for joint, weight in zip(joints.T, self._read(f"WEIGHTS_{number}", 4).T, strict=True):
                matrices += weight[:, None, None] * self.joints[joint]
                total += weight
            number += 1
        return np.where(total > 0, 1 / np.where(total > 0, total, 1), 1)[:, None, None] * matrices

    def _read(self, name: str, width: int) -> np.ndarray:
        values = self.file.accessor(self.attributes[name]).astype(np.float64)
        if values.shape[1:] != (width,):
            raise ValueError(f"{name} is of another type than VEC{width}")
        for weight, target in self.targets:
            if weight and name in target:
                values += weight * self.file.accessor(target[name])
        return values

    def positions(self) -> np.ndarray:
        """World coordinates [N,3]."""
        points = self._read("POSITION", 3)
        return np.asarray((self.matrix[..., :3, :3] @ points[..., None])[..., 0] + self.matrix[..., :3, 3])

    def normals(self) -> np.ndarray:
        """[N,3]."""
        return _turned(self._read("NORMAL", 3), self.matrix)

    @property
    def mirrored(self) -> bool:
        """Whether it turns the faces inside out, so that their corners have to go the other way round."""
        return not self.skinned and bool(np.linalg.det(self.world[:3, :3]) < 0)


class _Scene:
    """The primitives of a scene, collected."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self.materials = file.get("materials")
        self.vertices, self.uvs, self.normals, self.colors = (_Columns() for _ in range(4))
        self.faces: list[np.ndarray] = []
        self.face_uvs: list[np.ndarray] = []
        self.face_normals: list[np.ndarray] = []
        self.face_material: list[np.ndarray] = []
        self.face_object: list[np.ndarray] = []
        self.copy_of: list[np.ndarray] = []
        self.objects: list[str] = []
        self.pieces: dict[tuple[int, int], Piece] = {}
        self.count = 0
        self.tinted = False
        self.several: set[str] = set()  # UV sets of the base colour where there are others
        self._joints: dict[int, np.ndarray] = {}
        self._images: dict[Any, Material] = {}

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

    def add_node(self, index: int, world: np.ndarray) -> None:
        """The primitives of a node's mesh, as an object."""
        node = self.file.document["nodes"][index]
        mesh = self.file.document["meshes"][node["mesh"]]
        for number, primitive in enumerate(mesh["primitives"]):
            if primitive.get("mode", TRIANGLES) in (TRIANGLES, STRIP, FAN) and "POSITION" in primitive["attributes"]:
                pose = _Pose(self, node, world, primitive)
                self._add(index, (node["mesh"], number), primitive, pose)
        self.objects.append(_name(node) or _name(mesh))

    def _add(self, node: int, place: tuple[int, int], primitive: dict[str, Any], pose: _Pose) -> None:
        file, attributes = self.file, primitive["attributes"]
        count = file.document["accessors"][attributes["POSITION"]]["count"]
        corners = file.triangles(primitive)
        if len(corners) and not 0 <= corners.min() <= corners.max() < count:
            raise MeshError(f"{file.path} has face indices out of range of its {count} vertices; mend the file")
        piece = self.pieces.setdefault(place, Piece(*place, self.count, pose.mirrored))
        if piece.mirrored:  # copies go as what they are copies of
            corners = corners[:, [0, 2, 1]]

        skin = tuple(attributes.get(name) for name in ("JOINTS_0", "WEIGHTS_0"))
        targets = repr(primitive["targets"]) if pose.targets else ""
        key = (node, attributes["POSITION"], attributes.get("COLOR_0"), skin, targets)
        self.faces.append(corners + self.vertices.add(key, pose.positions))
        tints = vertex_colors(file, attributes)
        self.tinted |= tints is not None
        self.colors.add(key, lambda: np.ones((count, 3)) if tints is None else linear_to_srgb(tints))
        self.face_normals.append(
            corners + self.normals.add((*key, attributes["NORMAL"]), pose.normals)
            if "NORMAL" in attributes
            else np.full_like(corners, -1)
        )
        material = primitive.get("material", len(self.materials))
        self.face_uvs.append(self._corner_uvs(corners, attributes, material))
        self.face_material.append(np.full(len(corners), material))
        self.face_object.append(np.full(len(corners), len(self.objects)))
        self.copy_of.append(np.arange(piece.face, piece.face + len(corners)))
        self.count += len(corners)

    def _corner_uvs(self, corners: np.ndarray, attributes: dict[str, int], material: int) -> np.ndarray:
        reference = base_color(self.materials[material])[0] if material < len(self.materials) else None
        name = f"TEXCOORD_{uv_set(reference or {})}"
        if sum(attribute.startswith("TEXCOORD_") for attribute in attributes) > 1:
            self.several.add(name)
        if name not in attributes:
            return np.full_like(corners, -1)

        def make() -> np.ndarray:
            uvs = self.file.accessor(attributes[name]).astype(np.float64)
            if uvs.shape[1:] != (2,):
                raise ValueError(f"{name} is of another type than VEC2")
            uvs = _transformed(uvs, reference) * (1, -1) + (0, 1)
            self._check_wrapping(reference, uvs)
            return np.where(np.abs(uvs) < LARGEST_UV, uvs, np.nan)

        return corners + self.uvs.add((attributes[name], repr((reference or {}).get("extensions"))), make)

    def _check_wrapping(self, reference: dict[str, Any] | None, uvs: np.ndarray) -> None:
        """Say so where a texture is continued beyond its edges in a way that texopt does not do."""
        if reference is None or not len(uvs) or (uvs.min() >= -1e-4 and uvs.max() <= 1 + 1e-4):
            return
        sampler = self.file.document["textures"][reference["index"]].get("sampler")
        wrapping = self.file.document["samplers"][sampler] if sampler is not None else {}
        if {wrapping.get("wrapS", REPEAT), wrapping.get("wrapT", REPEAT)} != {REPEAT}:
            log.warning("%s: a texture that is mirrored or clamped outside [0,1] is repeated", self.file.path.name)

    def _material(self, material: dict[str, Any]) -> Material:
        """The base colour of a material; those of the same image and factor share one."""
        reference, factor = base_color(material)
        tint = factor[:3].clip(0, 1)
        red, green, blue = (float(x) for x in linear_to_srgb(tint))
        if reference is None:
            return Material((red, green, blue))
        image = self.file.texture_image(reference["index"])
        data = self.file.image(image)
        if (image,) not in self._images:
            name = _name(self.file.get("images")[image]) or f"image {image}"
            rgb = np.array(load_image(data, name=f"{name} of {self.file.path}"))
            self._images[image,] = Material((1.0, 1.0, 1.0), rgb, load_alpha(data))
        whole = self._images[image,]
        solid = whole.alpha is not None and opaque(material)
        key = (image, solid, *tint)
        if key not in self._images:
            values = whole.texture
            if solid:
                values = np.array(Image.open(io.BytesIO(data)).convert("RGBA"))[..., :3]
            if (tint < 1).any():
                table = linear_to_srgb(srgb_to_linear(np.arange(256) / 255)[:, None] * tint)
                values = (table[values, np.arange(3)] * 255).round().astype(np.uint8)
            self._images[key] = Material((1.0, 1.0, 1.0), values, None if solid else whole.alpha)
        return self._images[key]

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
        materials = [self._material(entry) if index in used else white for index, entry in enumerate(self.materials)]
        return RawMesh(
            vertices=stacked(self.vertices.rows, 3),
            faces=stacked(self.faces, 3, np.int64),
            uvs=stacked(self.uvs.rows, 2),
            face_uvs=stacked(self.face_uvs, 3, np.int64),
            normals=stacked(self.normals.rows, 3),
            face_normals=stacked(self.face_normals, 3, np.int64),
            materials=[*materials, white],  # the last is of primitives that have none
            names=[*(_name(entry, f"material_{index}") for index, entry in enumerate(self.materials)), ""],
            face_material=face_material,
            files=tuple(file.files),
            colors=stacked(self.colors.rows, 3) if self.tinted else None,
            objects=self.objects or [""],
            face_object=joined(self.face_object),
            copy_of=joined(self.copy_of),
            source=file,
        )
