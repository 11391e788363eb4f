"""Write GLB: the glTF that came in with new base colours, or one made of a mesh of another format."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.color import srgb_to_linear
from texopt.export.glb import to_glb
from texopt.gltf import GltfFile, Piece, texture_infos, variant_mappings
from texopt.images import png_bytes, to_tensor
from texopt.indexed import indexed_part
from texopt.mesh import Mesh
from texopt.readers.gltf import base_color, opaque, vertex_colors

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
        _Restyling(file, mesh, pngs, unlit).apply()
        return to_glb(file, mesh.source.document)
    file = _document(mesh, pngs, unlit)
    return to_glb(file, file.document)


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
                samplers.append(dict(SAMPLER))
            image = self.file.add_image(self.pngs[index], self.mesh.maps[index].name or self.mesh.name)
            document.setdefault("textures", []).append({"sampler": samplers.index(SAMPLER), "source": image})
            self.made[index] = len(document["textures"]) - 1
        return self.made[index]


def _mark_unlit(document: dict[str, Any], material: dict[str, Any]) -> None:
    """Without light; what extensions say about light is left out, as the two exclude each other."""
    others = {key: value for key, value in material.get("extensions", {}).items() if "_materials_" not in key}
    material["extensions"] = others | {UNLIT: {}}
    used = document.setdefault("extensionsUsed", [])
    if UNLIT not in used:
        used.append(UNLIT)


def _document(mesh: Mesh, pngs: dict[int, bytes], unlit: bool) -> GltfFile:
    """A document for a mesh: a node an object, a primitive a material."""
    file = GltfFile(Path(f"{mesh.name}.glb"), {"asset": {"version": "2.0", "generator": "texopt"}}, [], [])
    document = file.document
    pngs = dict(pngs)
    for index, texture in enumerate(mesh.maps):
        if texture.kept and texture.original.size > 3:
            pngs[index] = png_bytes(to_tensor(Image.fromarray(texture.original)), texture.alpha)
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
        "POSITION": _add_positions(file, part.positions.astype(np.float32)),
        "TEXCOORD_0": file.add_accessor(_flipped(part.uvs), "VEC2"),
    }
    if part.normals is not None:
        length = np.linalg.norm(part.normals, axis=1, keepdims=True)
        if (length > 1e-12).all():  # glTF has unit normals or none
            attributes["NORMAL"] = file.add_accessor((part.normals / length).astype(np.float32), "VEC3")
    indices = file.add_accessor(_smallest(part.triangles), "SCALAR", ELEMENT_ARRAY_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": material}


def _add_positions(file: GltfFile, values: np.ndarray, **properties: Any) -> int:
    return file.add_accessor(values, "VEC3", min=values.min(0).tolist(), max=values.max(0).tolist(), **properties)


def _flipped(uvs: np.ndarray) -> np.ndarray:
    return np.stack([uvs[:, 0], 1 - uvs[:, 1]], 1).astype(np.float32)


def _smallest(indices: np.ndarray) -> np.ndarray:
    """Indices as the smallest type that holds them; the highest value of each is reserved."""
    return indices.reshape(-1).astype(np.uint16 if indices.max(initial=0) < 65535 else np.uint32)


class _Restyling:
    """Give the materials that were optimised their new base colours, and their primitives new UVs where those are."""

    def __init__(self, file: GltfFile, mesh: Mesh, pngs: dict[int, bytes], unlit: bool) -> None:
        self.file, self.mesh, self.unlit = file, mesh, unlit
        self.textures = _Textures(file, mesh, pngs)
        self.materials = file.document.setdefault("materials", [])
        self.bare = len(self.materials)  # the number of the material of primitives that have none
        shown = {index: mesh.map_of(index) for index in range(self.bare + 1)}
        self.map_of = {index: texture for index, texture in shown.items() if texture in pngs}
        self.pieces = {(piece.mesh, piece.primitive): piece for piece in file.pieces}
        self.originals = copy.deepcopy(self.materials)

    def apply(self) -> None:
        """Edit the document."""
        elsewhere = self._used_elsewhere()
        if self.bare in self.map_of:
            self.materials.append({"name": "textured"})
        number = {}  # of the material that has the new base colour, by that of the old
        for index in self.map_of:
            number[index] = index
            if index in elsewhere:
                number[index] = self._add(self.materials[index])
            self._paint(self.materials[number[index]], self.map_of[index])
        shifted: dict[int, int] = {}  # materials that variants show on primitives with new UVs
        for (mesh, index), piece in self.pieces.items():
            primitive = self.file.document["meshes"][mesh]["primitives"][index]
            material = primitive.get("material", self.bare)
            if material not in self.map_of or not len(self.file.triangles(primitive)):
                continue
            self._take_colors(primitive)
            primitive["material"] = number[material]
            if not self._new_uvs(material):
                continue
            _give_uvs(self.file, self.mesh, primitive, piece)
            for mapping in variant_mappings(primitive):
                other = mapping["material"]
                if other == material:
                    mapping["material"] = number[material]
                    continue
                if other not in shifted:
                    shifted[other] = self._add((self.originals if self._new_uvs(other) else self.materials)[other])
                    _shift_uv_sets(self.materials[shifted[other]])
                mapping["material"] = shifted[other]

    def _new_uvs(self, material: int) -> bool:
        return material in self.map_of and not self.mesh.maps[self.map_of[material]].own_uvs

    def _add(self, material: dict[str, Any]) -> int:
        self.materials.append(copy.deepcopy(material))
        return len(self.materials) - 1

    def _used_elsewhere(self) -> set[int]:
        """Materials with new UVs that are also shown by primitives which do not get these."""
        found = set()
        for mesh, entry in enumerate(self.file.get("meshes")):
            for index, primitive in enumerate(entry["primitives"]):
                material = primitive.get("material", self.bare)
                if (mesh, index) not in self.pieces:
                    found.add(material)
                if (mesh, index) not in self.pieces or not self._new_uvs(material):
                    found |= {mapping["material"] for mapping in variant_mappings(primitive)}
        return {material for material in found if self._new_uvs(material)} - {self.bare}

    def _paint(self, material: dict[str, Any], shown: int) -> None:
        """Show a map as the base colour; alpha and all other channels stay."""
        reference, factor = base_color(material)
        new: dict[str, Any] = {"index": self.textures.of(shown)}
        if not self.mesh.maps[shown].own_uvs:
            _shift_uv_sets(material)
        elif reference is not None:  # where it is looked up stays as it is
            new |= {key: reference[key] for key in ("texCoord", "extensions") if key in reference}
        pbr = material.setdefault("pbrMetallicRoughness", {})
        if "metallicRoughnessTexture" not in pbr:  # a painted surface, where the file says nothing; glTF's is metal
            pbr.setdefault("metallicFactor", 0.0)
            pbr.setdefault("roughnessFactor", ROUGHNESS)
        faint = {"baseColorFactor": [1.0, 1.0, 1.0, float(factor[3])]} if factor[3] < 1 else {}
        pbr.pop("baseColorFactor", None)
        pbr |= {"baseColorTexture": new} | faint
        extensions = material.get("extensions", {})
        if GLOSSY in extensions:
            extensions[GLOSSY].pop("diffuseFactor", None)
            extensions[GLOSSY] |= {"diffuseTexture": copy.deepcopy(new)}
            if faint:
                extensions[GLOSSY]["diffuseFactor"] = list(faint["baseColorFactor"])
        if self.unlit:
            _mark_unlit(self.file.document, material)

    def _take_colors(self, primitive: dict[str, Any]) -> None:
        """Take off vertex colours that the texture has now, and that would tint it; their alpha stays."""
        attributes = primitive["attributes"]
        if vertex_colors(self.file, attributes) is None:
            return
        colors = self.file.accessor(attributes["COLOR_0"], raw=True)
        full = 1.0 if colors.dtype == np.float32 else np.iinfo(colors.dtype).max
        material = primitive.get("material", self.bare)
        clear = colors.shape[1] == 4 and bool((colors[:, 3] < full).any())
        if clear and material < self.bare and not opaque(self.originals[material]):
            white = np.concatenate([np.full_like(colors[:, :3], full), colors[:, 3:]], 1)
            attributes["COLOR_0"] = self.file.add_accessor(white, "VEC4", normalized=colors.dtype != np.float32)
        else:
            del attributes["COLOR_0"]
        for target in primitive.get("targets", []):
            target.pop("COLOR_0", None)


def _shift_uv_sets(material: dict[str, Any]) -> None:
    """The textures of a material follow their UV sets, which make room for a new first one."""
    for info in texture_infos(material):
        info["texCoord"] = info.get("texCoord", 0) + 1
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        if "texCoord" in transform:
            transform["texCoord"] += 1


def _shifted_name(name: str) -> str:
    """Of an attribute, which is the next UV set if it is one."""
    kind, _, number = name.partition("_")
    return f"TEXCOORD_{int(number) + 1}" if kind == "TEXCOORD" and number.isdecimal() else name


def _give_uvs(file: GltfFile, mesh: Mesh, primitive: dict[str, Any], piece: Piece) -> None:
    """New UVs as TEXCOORD_0, the old sets after it; vertices are split where the new UVs are."""
    corners = file.triangles(primitive)
    uvs = mesh.face_uvs[piece.face : piece.face + len(corners)].astype(np.int64)
    if piece.mirrored:
        uvs = uvs[:, [0, 2, 1]]
    low = uvs.min()
    keys = corners * (uvs.max() - low + 1) + uvs - low
    _, where, inverse = np.unique(keys.reshape(-1), return_index=True, return_inverse=True)
    rows = corners.reshape(-1)[where]
    done: dict[int, int] = {}

    def split(accessor: int) -> int:
        if accessor not in done:
            entry = file.document["accessors"][accessor]
            values = file.accessor(accessor, raw=True)[rows]
            kept = {key: entry[key] for key in ("name", "normalized", "extras") if key in entry}
            if "min" in entry:  # positions have to have them
                columns = values.reshape(len(values), -1)
                kept |= {"min": columns.min(0).tolist(), "max": columns.max(0).tolist()}
            done[accessor] = file.add_accessor(values, entry["type"], **kept)
        return done[accessor]

    def moved(attributes: dict[str, int]) -> dict[str, int]:
        return {_shifted_name(name): split(accessor) for name, accessor in attributes.items()}

    primitive["attributes"] = moved(primitive["attributes"])
    primitive["attributes"]["TEXCOORD_0"] = file.add_accessor(_flipped(mesh.uvs[uvs.reshape(-1)[where]]), "VEC2")
    if "targets" in primitive:
        primitive["targets"] = [moved(target) for target in primitive["targets"]]
    primitive["indices"] = file.add_accessor(_smallest(inverse), "SCALAR", ELEMENT_ARRAY_BUFFER)
    primitive.pop("mode", None)
