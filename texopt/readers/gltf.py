"""A glTF scene as one mesh in world coordinates."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from texopt.color import linear_to_srgb, srgb_to_linear
from texopt.errors import ImageError, MeshError
from texopt.gltf import FAN, STRIP, TRIANGLES, GltfFile, Piece, invalid, read_gltf, triangles
from texopt.images import load_alpha, load_image
from texopt.readers.raw import Material, RawMesh

log = logging.getLogger("texopt")


def base_color(material: dict[str, Any]) -> tuple[dict[str, Any] | None, list[float]]:
    """(reference to the base colour's texture or None, linear factor [4]) of a material."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is not None and "pbrMetallicRoughness" not in material:
        return glossy.get("diffuseTexture"), glossy.get("diffuseFactor", [1.0] * 4)
    pbr = material.get("pbrMetallicRoughness", {})
    return pbr.get("baseColorTexture"), pbr.get("baseColorFactor", [1.0] * 4)


def uv_set(reference: dict[str, Any] | None) -> int:
    """Which TEXCOORD a reference to a texture uses."""
    reference = reference or {}
    transform = reference.get("extensions", {}).get("KHR_texture_transform", {})
    return int(transform.get("texCoord", reference.get("texCoord", 0)))


def _transformed(uvs: np.ndarray, reference: dict[str, Any] | None) -> np.ndarray:
    """UVs [N,2] after KHR_texture_transform: scaled, turned, moved."""
    transform = (reference or {}).get("extensions", {}).get("KHR_texture_transform")
    if not transform:
        return uvs
    scaled = uvs * np.array(transform.get("scale", (1.0, 1.0)), float)
    cosine, sine = np.cos(transform.get("rotation", 0.0)), np.sin(transform.get("rotation", 0.0))
    turned = scaled @ np.array([[cosine, sine], [-sine, cosine]]).T
    return np.asarray(turned + np.array(transform.get("offset", (0.0, 0.0)), float))


def _load_material(file: GltfFile, material: dict[str, Any], loaded: dict[Any, Material]) -> Material:
    reference, factor = base_color(material)
    tint = np.array(factor[:3], float).clip(0, 1)
    red, green, blue = (float(x) for x in linear_to_srgb(tint))
    if reference is None:
        return Material((red, green, blue))
    image = file.texture_image(reference["index"])
    key = (image, *tint)
    if key not in loaded:
        name = file.get("images")[image].get("uri", f"image {image} of {file.path}")
        values = np.array(load_image(file.images[image], name=f"{name}"[:80]))
        if (tint < 1).any():
            table = linear_to_srgb(srgb_to_linear(np.arange(256) / 255)[:, None] * tint)
            values = (table[values, np.arange(3)] * 255).round().astype(np.uint8)
        loaded[key] = Material((1.0, 1.0, 1.0), values, load_alpha(file.images[image]))
    return loaded[key]


@dataclass
class _Columns:
    """Rows that several primitives may share, by what they were read from."""

    rows: list[np.ndarray] = field(default_factory=list)
    starts: dict[Any, int] = field(default_factory=dict)
    count: int = 0

    def add(self, key: Any, make: Any) -> int:
        """Where the rows for `key` start; `make` is called for those that are not there yet."""
        if key not in self.starts:
            self.starts[key] = self.count
            self.rows.append(make())
            self.count += len(self.rows[-1])
        return self.starts[key]

    def stacked(self, width: int) -> np.ndarray:
        return np.concatenate(self.rows) if self.rows else np.zeros((0, width))


def _skin_matrices(file: GltfFile, skin: dict[str, Any], attributes: dict[str, int]) -> np.ndarray:
    """World matrices [N,4,4] of a skinned primitive's vertices, as its joints stand in the file."""
    world = file.world_matrices()
    joints = np.stack([world[joint] for joint in skin["joints"]])
    if "inverseBindMatrices" in skin:
        joints = joints @ file.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)[: len(joints)]
    weights = file.accessor(attributes["WEIGHTS_0"]).astype(np.float64)
    return np.asarray(
        np.einsum("nk,nkij->nij", weights, joints[file.accessor(attributes["JOINTS_0"]).astype(np.int64)])
    )


def _place(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [N,3] by one matrix [4,4] or one each [N,4,4]."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], 1)[..., None]
    return np.asarray((matrix @ homogeneous)[:, :3, 0])


def _turn(normals: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Unit normals by the inverse transpose of a matrix; as they are where it has none."""
    linear = matrix[..., :3, :3]
    cofactor = np.stack([np.cross(linear[..., (i + 1) % 3, :], linear[..., (i + 2) % 3, :]) for i in range(3)], -2)
    turned = (cofactor @ normals[..., None])[..., 0] * np.sign(np.linalg.det(linear))[..., None]
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 0, turned / np.maximum(length, 1e-300), normals))


def _read(file: GltfFile) -> RawMesh:
    vertices, uvs, normals, colors = _Columns(), _Columns(), _Columns(), _Columns()
    faces, face_uvs, face_normals, face_material, face_object, copy_of = ([] for _ in range(6))  # type: ignore[var-annotated]
    objects: list[str] = []
    first_faces: dict[tuple[int, int], int] = {}
    count = painted = 0
    entries = file.get("materials")
    loaded: dict[Any, Material] = {}
    used: set[int] = set()
    several: set[str] = set()  # names of meshes with several UV sets
    for node, world in file.instances():
        entry = file.document["nodes"][node]
        name = entry.get("name") or file.document["meshes"][entry["mesh"]].get("name", "")
        skin = file.document["skins"][entry["skin"]] if "skin" in entry else None
        for number, primitive in enumerate(file.document["meshes"][entry["mesh"]]["primitives"]):
            mode, attributes = primitive.get("mode", TRIANGLES), primitive["attributes"]
            if mode not in (TRIANGLES, STRIP, FAN) or "POSITION" not in attributes:
                continue
            if "KHR_draco_mesh_compression" in primitive.get("extensions", {}):
                raise MeshError(
                    f"{file.path} is compressed with Draco, which texopt does not read; export it uncompressed"
                )
            skinned = skin is not None and {"JOINTS_0", "WEIGHTS_0"} <= attributes.keys()
            matrix = _skin_matrices(file, skin, attributes) if skin is not None and skinned else world
            points = file.accessor(attributes["POSITION"]).astype(np.float64)
            indices = file.accessor(primitive["indices"]) if "indices" in primitive else np.arange(len(points))
            corners = triangles(indices, mode)
            if len(corners) and corners.max() >= len(points):
                raise MeshError(
                    f"{file.path} has face indices out of range of its {len(points)} vertices; mend the file"
                )
            key = (node, attributes["POSITION"], attributes.get("COLOR_0"))
            faces.append(corners + vertices.add(key, lambda p=points, m=matrix: _place(p, m)))
            tints = (
                file.accessor(attributes["COLOR_0"])[:, :3] if "COLOR_0" in attributes else np.ones((len(points), 3))
            )
            painted |= int((tints < 1).any())
            colors.add(key, lambda t=tints: linear_to_srgb(t.astype(np.float64).clip(0, 1)))
            material = primitive.get("material", len(entries))
            used.add(material)
            reference = base_color(entries[material])[0] if material < len(entries) else None
            coordinates = f"TEXCOORD_{uv_set(reference)}"
            if sum(attribute.startswith("TEXCOORD_") for attribute in attributes) > 1:
                several.add(coordinates)
            if coordinates in attributes:
                accessor = attributes[coordinates]
                start = uvs.add(
                    (accessor, repr(reference and reference.get("extensions"))),
                    lambda a=accessor, r=reference: (
                        _transformed(file.accessor(a).astype(np.float64), r) * (1, -1) + (0, 1)
                    ),
                )
                face_uvs.append(corners + start)
            else:
                face_uvs.append(np.full_like(corners, -1))
            if "NORMAL" in attributes:
                accessor = attributes["NORMAL"]
                start = normals.add(
                    (node, accessor, attributes["POSITION"]),
                    lambda a=accessor, m=matrix: _turn(file.accessor(a).astype(np.float64), m),
                )
                face_normals.append(corners + start)
            else:
                face_normals.append(np.full_like(corners, -1))
            face_material.append(np.full(len(corners), material))
            face_object.append(np.full(len(corners), len(objects)))
            if (entry["mesh"], number) not in first_faces:
                file.pieces.append(Piece(entry["mesh"], number, count))
            first = first_faces.setdefault((entry["mesh"], number), count)
            copy_of.append(np.arange(first, first + len(corners)))
            count += len(corners)
        objects.append(name)
    if several:
        log.info("%s has several UV sets; the base colour's is used (%s)", file.path.name, ", ".join(sorted(several)))
    grey = Material((1.0, 1.0, 1.0))
    materials = [_load_material(file, entry, loaded) if i in used else grey for i, entry in enumerate(entries)]
    names = [entry.get("name") or f"material_{index}" for index, entry in enumerate(entries)]

    def joined(arrays: list[np.ndarray], *shape: int) -> np.ndarray:
        return np.concatenate(arrays) if arrays else np.zeros((0, *shape), np.int64)

    return RawMesh(
        vertices.stacked(3), joined(faces, 3), uvs.stacked(2), joined(face_uvs, 3), normals.stacked(3),
        joined(face_normals, 3), [*materials, grey], [*names, ""], joined(face_material), tuple(file.files),
        colors.stacked(3) if painted else None, objects or [""], joined(face_object), joined(copy_of), file,
    )  # fmt: skip


def read(path: Path) -> RawMesh:
    """A .glb or .gltf: the triangles of its scene, posed by their nodes and skins."""
    file = read_gltf(path)
    try:
        return _read(file)
    except (MeshError, ImageError):
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, struct.error) as error:
        raise invalid(path, error) from None
