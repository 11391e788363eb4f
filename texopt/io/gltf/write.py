"""Write GLB: the glTF that came in with new base colours, or one made of a mesh of another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.io.gltf.document import GltfFile, written_name
from texopt.io.gltf.edit import Restyling
from texopt.io.gltf.glb import to_glb
from texopt.io.gltf.parts import (
    CUT_OUT,
    ELEMENT_ARRAY_BUFFER,
    Textures,
    add_positions,
    flipped,
    mark_unlit,
    smallest,
)  # fmt: skip
from texopt.io.gltf.write_finish import FinishTextures
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish
from texopt.mesh.mesh import Mesh
from texopt.mesh.tangents import tangents
from texopt.mesh.topology import is_solid
from texopt.mesh.vertex_buffers import indexed_part
from texopt.system.images import png_bytes, to_tensor
from texopt.system.srgb import srgb_to_linear

FAR = 1000.0  # sizes of an object


def glb_bytes(
    mesh: Mesh, pngs: dict[int, bytes], unlit: bool = False, finishes: dict[int, Finish] | None = None
) -> bytes:
    """The mesh as a GLB with textures in it.

    A mesh from a glTF file is that document again, with everything in it, and new base colours. Else vertices are split
    where UVs or normals differ, as glTF has one index for all; its UV (0,0) is the upper left, v' = 1 - v.

    Args:
        pngs: the texture of every map that is optimised.
        finishes: new ones, by map; the document's own stay where there is none.
        unlit: mark those materials as KHR_materials_unlit, with metallic 0 and roughness 0.9 as its fallback.
    """
    if isinstance(mesh.source, GltfFile):
        file = mesh.source.copy()
        Restyling(file, mesh, pngs, unlit, finishes or {}).apply()
        return to_glb(file, mesh.source.document)
    file = _document(mesh, pngs, unlit, finishes or {})
    return to_glb(file, file.document)


def _document(mesh: Mesh, pngs: dict[int, bytes], unlit: bool, finishes: dict[int, Finish]) -> GltfFile:
    """A document for a mesh: a node an object, a primitive a material."""
    file = GltfFile(Path(f"{mesh.name}.glb"), {"asset": {"version": "2.0", "generator": "texopt"}}, [], [])
    document = file.document
    pngs = dict(pngs)
    for index, texture in enumerate(mesh.maps):
        if texture.kept and texture.original.size > 3:
            pngs[index] = png_bytes(to_tensor(Image.fromarray(texture.original)), texture.alpha)
    textures, surfaces = Textures(file, mesh, pngs), FinishTextures(file, mesh, finishes)
    relief = mesh.normals is not None and any(map(surfaces.has_relief, finishes))
    frames = tangents(mesh) if relief else None  # which are nothing without normals
    material_of: dict[int, int] = {}
    solid = is_solid(mesh.vertices, mesh.faces)
    document["materials"] = []
    for index, name in enumerate(mesh.materials):
        shown = mesh.map_of(index)
        if shown < 0:
            continue
        texture = mesh.maps[shown]
        pbr: dict[str, Any] = {"metallicFactor": METALLIC, "roughnessFactor": ROUGHNESS}
        if shown in pngs:
            pbr["baseColorTexture"] = {"index": textures.of(shown)}
        else:
            pbr["baseColorFactor"] = [*srgb_to_linear(texture.original[0, 0] / 255.0).tolist(), 1.0]
        material: dict[str, Any] = {"name": written_name(name or mesh.name), "pbrMetallicRoughness": pbr}
        surfaces.put(material, shown, {})
        if not solid:  # as renderings have it: leaves and cloths have two sides
            material["doubleSided"] = True
        if texture.alpha is not None:
            material |= CUT_OUT
        if unlit and not texture.kept:
            mark_unlit(document, material)
        material_of[index] = len(document["materials"])
        document["materials"].append(material)

    document["meshes"], document["nodes"] = [], []
    order = np.lexsort((mesh.face_material, mesh.face_object))  # stable: faces keep their order
    groups = np.stack([mesh.face_object, mesh.face_material], 1)[order]
    starts = np.flatnonzero(np.r_[True, (groups[1:] != groups[:-1]).any(1)])
    node_of: dict[int, tuple[dict[str, Any], np.ndarray]] = {}  # an object's mesh, and where its node puts it
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        item, index = groups[start].tolist()
        if item not in node_of:
            name = written_name(mesh.objects[item] or mesh.name)
            place = _place(mesh.vertices[mesh.faces[mesh.face_object == item]])
            node: dict[str, Any] = {"name": name, "mesh": len(document["meshes"])}
            document["nodes"].append(node | ({"translation": place.tolist()} if place.any() else {}))
            node_of[item] = {"name": name, "primitives": []}, place
            document["meshes"].append(node_of[item][0])
        entry, place = node_of[item]
        faces = order[start:end]
        told = frames[faces] if frames is not None and surfaces.has_relief(int(mesh.face_map[faces[0]])) else None
        entry["primitives"].append(_primitive(file, mesh, faces, material_of[index], place, told))
    document |= {"scenes": [{"nodes": list(range(len(document["nodes"])))}], "scene": 0}
    return file


def _place(points: np.ndarray) -> np.ndarray:
    """Where the node of an object with such corners [F,3,3] puts it: (0,0,0), or its middle if it is far from there.

    glTF's float32 coordinates would take steps that are large for the object.
    """
    low, high = points.min((0, 1)), points.max((0, 1))
    far = np.abs([low, high]).max() > FAR * np.linalg.norm(high - low)
    return np.asarray((low + high) / 2 if far else np.zeros(3))


def _primitive(
    file: GltfFile, mesh: Mesh, faces: np.ndarray, material: int, place: np.ndarray, frames: np.ndarray | None
) -> dict[str, Any]:
    """Some faces of a mesh. frames: their tangents [F,3,4], None where they show no normal map."""
    part = indexed_part(mesh, faces, frames)
    attributes = {
        "POSITION": add_positions(file, (part.positions - place).astype(np.float32)),
        "TEXCOORD_0": file.add_accessor(flipped(part.uvs), "VEC2"),
    }
    if part.normals is not None:
        length = np.linalg.norm(part.normals, axis=1, keepdims=True)
        if (length > 1e-12).all():  # glTF has unit normals or none
            attributes["NORMAL"] = file.add_accessor((part.normals / length).astype(np.float32), "VEC3")
            if part.tangents is not None:
                attributes["TANGENT"] = file.add_accessor(part.tangents, "VEC4")
    indices = file.add_accessor(smallest(part.triangles), "SCALAR", ELEMENT_ARRAY_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": material}
