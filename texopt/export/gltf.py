"""Write GLB: the glTF that came in with new base colours, or one made of a mesh of another format."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.color import srgb_to_linear
from texopt.gltf import GltfFile, references, texture_references, triangles
from texopt.indexed import indexed_part
from texopt.mesh import Mesh

LINEAR, TRILINEAR, REPEAT = 9729, 9987, 10497
ELEMENT_ARRAY_BUFFER = 34963
SAMPLER = {"magFilter": LINEAR, "minFilter": TRILINEAR, "wrapS": REPEAT, "wrapT": REPEAT}
ROUGHNESS = 0.9
UNLIT = "KHR_materials_unlit"
GLOSSY = "KHR_materials_pbrSpecularGlossiness"


def glb_bytes(mesh: Mesh, pngs: dict[int, bytes], unlit: bool = False) -> bytes:
    """The mesh as a GLB with textures in it.

    A mesh from a glTF file is that document again, with everything in it, and new base colours. Else vertices are split
    where UVs or normals differ, as glTF has one index for all; its UV (0,0) is the upper left, v' = 1 - v.

    Args:
        pngs: the texture of every map that is optimised.
        unlit: mark those materials as KHR_materials_unlit, with metallic 0 and roughness 0.9 as its fallback.
    """
    if isinstance(mesh.source, GltfFile):
        file = mesh.source.copy()
        _restyle(file, mesh, pngs, unlit)
    else:
        file = _document(mesh, pngs, unlit)
    return file.to_glb()


class _Textures:
    """The textures of maps in a document, each made when the first material shows it."""

    def __init__(self, file: GltfFile, mesh: Mesh, pngs: dict[int, bytes]) -> None:
        self.file, self.mesh, self.pngs = file, mesh, pngs
        self.made: dict[int, int] = {}

    def of(self, index: int) -> int:
        if index not in self.made:
            document = self.file.document
            samplers = document.setdefault("samplers", [])
            if SAMPLER not in samplers:
                samplers.append(SAMPLER)
            image = self.file.add_image(self.pngs[index], self.mesh.maps[index].name or self.mesh.name)
            document.setdefault("textures", []).append({"sampler": samplers.index(SAMPLER), "source": image})
            self.made[index] = len(document["textures"]) - 1
        return self.made[index]


def _mark_unlit(document: dict[str, Any], material: dict[str, Any]) -> None:
    material.setdefault("extensions", {})[UNLIT] = {}
    used = document.setdefault("extensionsUsed", [])
    if UNLIT not in used:
        used.append(UNLIT)


def _png_of_original(original: np.ndarray, alpha: np.ndarray | None) -> bytes:
    picture = Image.fromarray(original)
    if alpha is not None:
        picture.putalpha(Image.fromarray(alpha).resize(picture.size))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _document(mesh: Mesh, pngs: dict[int, bytes], unlit: bool) -> GltfFile:
    """A document for a mesh: a node an object, a primitive a material."""
    file = GltfFile(Path(f"{mesh.name}.glb"), {"asset": {"version": "2.0", "generator": "texopt"}}, [], [])
    document = file.document
    pngs = dict(pngs)
    for index, texture in enumerate(mesh.maps):
        if texture.kept and texture.original.size > 3:
            pngs[index] = _png_of_original(texture.original, texture.alpha)
    textures = _Textures(file, mesh, pngs)
    material_of: dict[int, int] = {}
    document["materials"] = []
    for index, name in enumerate(mesh.materials):
        shown = mesh.map_of(index)
        if shown < 0:
            continue
        texture = mesh.maps[shown]
        pbr: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
        if shown in pngs:
            pbr["baseColorTexture"] = {"index": textures.of(shown)}
        else:
            pbr["baseColorFactor"] = [*srgb_to_linear(texture.original[0, 0] / 255.0).tolist(), 1.0]
        material: dict[str, Any] = {"name": name or mesh.name, "pbrMetallicRoughness": pbr}
        if texture.alpha is not None:
            material |= {"alphaMode": "MASK", "alphaCutoff": 0.5}
        if unlit and not texture.kept:
            _mark_unlit(document, material)
        material_of[index] = len(document["materials"])
        document["materials"].append(material)

    document["meshes"], document["nodes"] = [], []
    order = np.lexsort((mesh.face_material, mesh.face_object))  # stable: faces keep their order
    groups = np.stack([mesh.face_object, mesh.face_material], 1)[order]
    starts = np.flatnonzero(np.r_[True, (groups[1:] != groups[:-1]).any(1)])
    node_of: dict[int, dict[str, Any]] = {}
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        item, index = groups[start].tolist()
        if item not in node_of:
            name = mesh.objects[item] or mesh.name
            node_of[item] = {"name": name, "primitives": []}
            document["nodes"].append({"name": name, "mesh": len(document["meshes"])})
            document["meshes"].append(node_of[item])
        node_of[item]["primitives"].append(_primitive(file, mesh, order[start:end], material_of[index]))
    document |= {"scenes": [{"nodes": list(range(len(document["nodes"])))}], "scene": 0}
    return file


def _primitive(file: GltfFile, mesh: Mesh, faces: np.ndarray, material: int) -> dict[str, Any]:
    part = indexed_part(mesh, faces)
    attributes = {
        "POSITION": file.add_accessor(part.positions.astype(np.float32), "VEC3"),
        "TEXCOORD_0": file.add_accessor(_flipped(part.uvs), "VEC2"),
    }
    if part.normals is not None:
        length = np.linalg.norm(part.normals, axis=1, keepdims=True)
        if (length > 1e-12).all():  # glTF has unit normals or none
            attributes["NORMAL"] = file.add_accessor((part.normals / length).astype(np.float32), "VEC3")
    indices = file.add_accessor(_smallest(part.triangles), "SCALAR", ELEMENT_ARRAY_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": material}


def _flipped(uvs: np.ndarray) -> np.ndarray:
    return np.stack([uvs[:, 0], 1 - uvs[:, 1]], 1).astype(np.float32)


def _smallest(indices: np.ndarray) -> np.ndarray:
    """Indices as the smallest type that holds them; the highest value of each is reserved."""
    return indices.reshape(-1).astype(np.uint16 if indices.max(initial=0) < 65535 else np.uint32)


def _restyle(file: GltfFile, mesh: Mesh, pngs: dict[int, bytes], unlit: bool) -> None:
    """Give the materials that were optimised their new base colours, and their primitives new UVs where those are."""
    from texopt.readers.gltf import base_color

    document = file.document
    materials = document.setdefault("materials", [])
    bare = len(materials)  # the number of the material of primitives that have none
    textures = _Textures(file, mesh, pngs)
    painted = {index: mesh.map_of(index) for index in range(bare + 1)}
    painted = {index: shown for index, shown in painted.items() if shown in pngs}
    if bare in painted:
        materials.append({"name": "textured"})
    for index, shown in painted.items():
        material = materials[index]
        own = mesh.maps[shown].own_uvs
        reference, factor = base_color(material)
        new: dict[str, Any] = {"index": textures.of(shown)}
        if own and reference is not None:  # where it is looked up stays as it is
            new |= {key: reference[key] for key in ("texCoord", "extensions") if key in reference}
        if not own:
            _shift_uv_sets(material)
        pbr = material.setdefault("pbrMetallicRoughness", {})
        pbr["baseColorTexture"] = new
        pbr.pop("baseColorFactor", None)
        if len(factor) > 3 and factor[3] < 1:
            pbr["baseColorFactor"] = [1.0, 1.0, 1.0, factor[3]]
        if "metallicRoughnessTexture" not in pbr:
            pbr["metallicFactor"] = 0.0
            pbr.setdefault("roughnessFactor", ROUGHNESS)
        material.get("extensions", {}).pop(GLOSSY, None)
        if "extensions" in material and not material["extensions"]:
            del material["extensions"]
        if unlit:
            _mark_unlit(document, material)
    if not any(True for _ in references(materials, GLOSSY)):
        for key in ("extensionsUsed", "extensionsRequired"):
            if GLOSSY in document.get(key, []):
                document[key].remove(GLOSSY)
            if key in document and not document[key]:
                del document[key]
    for piece in file.pieces:
        primitive = document["meshes"][piece.mesh]["primitives"][piece.primitive]
        index = primitive.get("material", bare)
        if index not in painted:
            continue
        primitive["material"] = index
        if not mesh.maps[painted[index]].own_uvs:
            _give_uvs(file, mesh, primitive, piece.face)
        for name in [name for name in primitive["attributes"] if name.startswith("COLOR_")]:
            del primitive["attributes"][name]  # the texture has them now, and they would tint it


def _shift_uv_sets(material: dict[str, Any]) -> None:
    """Other textures of a material follow their UV sets, which make room for a new first one."""
    for reference in texture_references([material]):
        reference["texCoord"] = reference.get("texCoord", 0) + 1
        transform = reference.get("extensions", {}).get("KHR_texture_transform", {})
        if "texCoord" in transform:
            transform["texCoord"] += 1


def _give_uvs(file: GltfFile, mesh: Mesh, primitive: dict[str, Any], face: int) -> None:
    """New UVs as TEXCOORD_0, the old sets after it; vertices are split where the new UVs are."""
    attributes = primitive["attributes"]
    count = file.document["accessors"][attributes["POSITION"]]["count"]
    indices = file.accessor(primitive["indices"]) if "indices" in primitive else np.arange(count)
    corners = triangles(indices, primitive.get("mode", 4)).reshape(-1)
    uvs = mesh.face_uvs[face : face + len(corners) // 3].reshape(-1).astype(np.int64)
    low = int(uvs.min())
    keys = corners * (int(uvs.max()) - low + 1) + uvs - low
    _, where, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rows = corners[where]

    def split(accessor: int) -> int:
        entry = file.document["accessors"][accessor]
        values = file.accessor(accessor, raw=True)[rows]
        extra: dict[str, Any] = {"normalized": True} if entry.get("normalized") else {}
        if "min" in entry:  # positions have to have them
            extra |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        return file.add_accessor(np.ascontiguousarray(values), entry["type"], **extra)

    moved = {name: split(accessor) for name, accessor in attributes.items() if not name.startswith("COLOR_")}
    sets = {name: index for name, index in moved.items() if name.startswith("TEXCOORD_")}
    primitive["attributes"] = {name: index for name, index in moved.items() if name not in sets}
    for name, index in sets.items():
        primitive["attributes"][f"TEXCOORD_{int(name[9:]) + 1}"] = index
    primitive["attributes"]["TEXCOORD_0"] = file.add_accessor(_flipped(mesh.uvs[uvs[where]]), "VEC2")
    primitive["targets"] = [{name: split(i) for name, i in target.items()} for target in primitive.get("targets", [])]
    if not primitive["targets"]:
        del primitive["targets"]
    primitive["indices"] = file.add_accessor(_smallest(inverse.reshape(-1)), "SCALAR", ELEMENT_ARRAY_BUFFER)
    primitive.pop("mode", None)
