"""Give a glTF document new base colours and finishes, and new UVs where they are new."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from texopt.io.gltf.document import GltfFile, Piece
from texopt.io.gltf.links import drop_textures, texture_infos, variant_mappings
from texopt.io.gltf.material import appearance_of, opaque, vertex_colors
from texopt.io.gltf.parts import CUT_OUT, ELEMENT_ARRAY_BUFFER, Textures, flipped, mark_unlit, smallest
from texopt.io.gltf.schema import GLOSSY
from texopt.io.gltf.write_finish import FinishTextures
from texopt.io.raw import TURNED
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish
from texopt.mesh.mesh import Mesh
from texopt.mesh.tangents import corner_tangents
from texopt.mesh.topology import same_places
from texopt.mesh.vertex_buffers import paired


class Restyling:
    """Give the materials that were optimised their new base colours and finishes, and their primitives new UVs where
    those are, and tangents where there is new relief."""

    def __init__(
        self, file: GltfFile, mesh: Mesh, pngs: dict[int, bytes], unlit: bool, finishes: dict[int, Finish]
    ) -> None:
        self.file, self.mesh, self.unlit = file, mesh, unlit
        self.textures, self.finishes = Textures(file, mesh, pngs), FinishTextures(file, mesh, finishes)
        self.materials = file.document.setdefault("materials", [])
        self._drop_missing()
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
            if self._new_uvs(material):
                _give_uvs(self.file, self.mesh, primitive, piece)
                self._move_variants(primitive, material, number[material], shifted)
            if self.finishes.has_relief(self.map_of[material]):
                _give_tangents(self.file, self.mesh, primitive, piece)

    def _move_variants(self, primitive: dict[str, Any], material: int, painted: int, shifted: dict[int, int]) -> None:
        """Have the variants of a primitive with new UVs show its new material, and others that follow their UV sets."""
        for mapping in variant_mappings(primitive):
            other = mapping["material"]
            if other == material:
                mapping["material"] = painted
                continue
            if other not in shifted:
                shifted[other] = self._add((self.originals if self._new_uvs(other) else self.materials)[other])
                _shift_uv_sets(self.materials[shifted[other]])
            mapping["material"] = shifted[other]

    def _drop_missing(self) -> None:
        """Have no material refer to textures whose images are missing."""
        gone = {
            index
            for index, texture in enumerate(self.file.get("textures"))
            for one in (texture, *texture.get("extensions", {}).values())
            if one.get("source") in self.file.missing
        }
        for material in self.materials:
            drop_textures(material, gone)

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
        """Show a map as what the material shows; alpha and all other channels stay."""
        appearance, texture = appearance_of(material), self.mesh.maps[shown]
        new: dict[str, Any] = {"index": self.textures.of(shown)}
        if not texture.own_uvs:
            _shift_uv_sets(material)
        elif appearance.reference is not None:  # where it is looked up stays as it is
            new |= {key: appearance.reference[key] for key in ("texCoord", "extensions") if key in appearance.reference}
        place = {key: value for key, value in new.items() if key != "index"}
        lit = shown in self.finishes.finishes  # what light does on it is known, so that it need not glow
        glows = any(material.get("emissiveFactor", ())) and material.get("emissiveTexture")
        if appearance.emitted and not (self.unlit or lit):
            material |= {"emissiveFactor": [1.0, 1.0, 1.0], "emissiveTexture": new}
            if texture.cut_out:  # the alpha of the base colour counts, which stays black
                material.setdefault("pbrMetallicRoughness", {})["baseColorTexture"] = copy.deepcopy(new)
        else:
            self._paint_base(material, new, float(appearance.factor[3]))
            if appearance.emitted:  # which is not seen where it is unlit; other engines are not to show both
                for key in ("emissiveFactor", "emissiveTexture"):
                    material.pop(key, None)
            elif glows and appearance.reference and self._picture(glows) == self._picture(appearance.reference):
                material["emissiveTexture"] = copy.deepcopy(new)  # the same picture also glows
        self.finishes.put(material, shown, place)
        if texture.cut_out:
            material |= CUT_OUT
        if self.unlit:
            mark_unlit(self.file.document, material)

    def _picture(self, reference: dict[str, Any]) -> tuple[Any, ...]:
        """What a texture shows, also one that texopt cannot read."""
        texture = self.file.document["textures"][reference["index"]]
        return texture.get("source"), texture.get("extensions")

    @staticmethod
    def _paint_base(material: dict[str, Any], new: dict[str, Any], alpha: float) -> None:
        """Have a texture as the base colour, and as the diffuse colour if there is one."""
        pbr = material.setdefault("pbrMetallicRoughness", {})
        if "metallicRoughnessTexture" not in pbr:  # a painted surface, where the file says nothing; glTF's is metal
            pbr.setdefault("metallicFactor", METALLIC)
            pbr.setdefault("roughnessFactor", ROUGHNESS)
        faint = {"baseColorFactor": [1.0, 1.0, 1.0, alpha]} if alpha < 1 else {}
        pbr.pop("baseColorFactor", None)
        pbr |= {"baseColorTexture": new} | faint
        extensions = material.get("extensions", {})
        if GLOSSY in extensions:
            extensions[GLOSSY].pop("diffuseFactor", None)
            extensions[GLOSSY] |= {"diffuseTexture": copy.deepcopy(new)}
            if faint:
                extensions[GLOSSY]["diffuseFactor"] = list(faint["baseColorFactor"])

    def _take_colors(self, primitive: dict[str, Any]) -> None:
        """Take off vertex colours that the texture has now, and that would tint it; their alpha stays."""
        attributes = primitive["attributes"]
        material = primitive.get("material", self.bare)
        lit = self.unlit or self.map_of[material] in self.finishes.finishes
        emitted = material < self.bare and appearance_of(self.originals[material]).emitted and not lit
        if emitted or vertex_colors(self.file, attributes) is None:
            return
        colors = self.file.accessor(attributes["COLOR_0"], raw=True)
        full = 1.0 if colors.dtype == np.float32 else np.iinfo(colors.dtype).max
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
    uvs = _uvs_of(file, mesh, primitive, piece).reshape(-1)
    primitive["attributes"], *targets = (
        {_shifted_name(name): accessor for name, accessor in attributes.items()}
        for attributes in (primitive["attributes"], *primitive.get("targets", []))
    )
    if targets:
        primitive["targets"] = targets
    where = _split(file, primitive, uvs)
    primitive["attributes"]["TEXCOORD_0"] = file.add_accessor(flipped(mesh.uvs[uvs[where]]), "VEC2")


def _uvs_of(file: GltfFile, mesh: Mesh, primitive: dict[str, Any], piece: Piece) -> np.ndarray:
    """The UVs of a primitive's triangles, int64 [F,3] into the mesh's, in the order of the file's corners."""
    uvs = mesh.face_uvs[piece.face : piece.face + len(file.triangles(primitive))].astype(np.int64)
    return uvs[:, TURNED] if piece.mirrored else uvs


def _give_tangents(file: GltfFile, mesh: Mesh, primitive: dict[str, Any], piece: Piece) -> None:
    """Tangents of a primitive as it lies in the file; vertices are split where they differ.

    Where there are no normals there are none, as faces are flat and what reads the file makes both (glTF 2.0
    Specification, 3.7.2.1).
    """
    attributes = primitive["attributes"]
    if "NORMAL" not in attributes:
        return
    corners = file.triangles(primitive)
    positions = file.accessor(attributes["POSITION"]).astype(np.float64)[corners]
    normals = file.accessor(attributes["NORMAL"]).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    uvs = mesh.uvs[_uvs_of(file, mesh, primitive, piece)]
    tangents = corner_tangents(positions, normals[corners], uvs).reshape(-1, 4)
    for names in (attributes, *primitive.get("targets", [])):
        names.pop("TANGENT", None)
    where = _split(file, primitive, same_places(tangents))
    primitive["attributes"]["TANGENT"] = file.add_accessor(tangents[where], "VEC4")


def _split(file: GltfFile, primitive: dict[str, Any], kind: np.ndarray) -> np.ndarray:
    """Split the vertices of a primitive where its corners are of several kinds, int64 [3F].

    Returns a corner of each of its vertices then.
    """
    corners = file.triangles(primitive).reshape(-1)
    where, inverse = paired(corners, kind)
    rows = corners[where]
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

    for attributes in (primitive["attributes"], *primitive.get("targets", [])):
        attributes |= {name: split(accessor) for name, accessor in attributes.items()}
    primitive["indices"] = file.add_accessor(smallest(inverse), "SCALAR", ELEMENT_ARRAY_BUFFER)
    primitive.pop("mode", None)
    return where
