"""Write OBJ as game engines read it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from texopt.export.mtl import MtlWriter
from texopt.export.objtext import face_lines, normal_lines, uv_lines, vertex_lines
from texopt.mesh import Mesh
from texopt.obj import ObjFile
from texopt.readers.obj import UDIM

MATERIAL = "textured"  # of faces that have none


def _from_source(mesh: Mesh, obj: ObjFile, library: str) -> list[str]:
    """The file's own lines with the new library; where UVs are new, also with new vt lines and triangulated faces."""
    new = ~np.array([texture.own_uvs for texture in mesh.maps])[mesh.face_map]
    rewritten: dict[int, list[str]] = defaultdict(list)
    if new.any():
        # lines with relative indices count what stands before them, and that changes
        relative = [line for line in np.unique(obj.triangle_line[~new]).tolist() if "-" in obj.lines[line]]
        faces = np.flatnonzero(new | np.isin(obj.triangle_line, relative))
        normals = None if mesh.face_normals is None else mesh.face_normals[faces]
        texts = face_lines(mesh.faces[faces], mesh.face_uvs[faces], normals)
        for line, text in zip(obj.triangle_line[faces].tolist(), texts, strict=True):
            rewritten[line].append(text)
    first_face = int(obj.triangle_line.min())
    first_has_material = bool(obj.material_names[obj.triangle_material[0]])
    out = [f"mtllib {library}"]
    for number, line in enumerate(obj.lines):
        key = line.split(None, 1)[0] if line.strip() else ""
        if number == first_face:
            if new.any():
                out += uv_lines(mesh.uvs)
            out += [] if first_has_material else [f"usemtl {MATERIAL}"]
        if key == "mtllib" or (key == "vt" and new.any()):
            continue
        if key == "usemtl" and line.split() == ["usemtl"]:
            out.append(f"usemtl {MATERIAL}")
        elif number in rewritten:
            out += rewritten[number]
        else:
            out.append(line)
    return out


def _from_arrays(mesh: Mesh, library: str) -> list[str]:
    out = ["# texopt", f"mtllib {library}", *vertex_lines(mesh.vertices), *uv_lines(mesh.uvs)]
    if mesh.normals is not None:
        out += normal_lines(mesh.normals)
    texts = face_lines(mesh.faces, mesh.face_uvs, mesh.face_normals)
    pairs = np.stack([mesh.face_object, mesh.face_material], 1)
    starts = np.flatnonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(1)])
    shown = -1
    for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
        item, material = pairs[start].tolist()
        if item != shown:
            out.append(f"o {mesh.objects[item] or mesh.name}")
            shown = item
        out += [f"usemtl {mesh.materials[material] or MATERIAL}", *texts[start:end]]
    return out


def _write_materials(mesh: Mesh, textures: dict[int, Path], writer: MtlWriter) -> None:
    obj = mesh.source if isinstance(mesh.source, ObjFile) else None
    for index, name in enumerate(obj.material_names if obj else mesh.materials):
        faces = (obj.triangle_material if obj else mesh.face_material) == index
        if not np.any(faces):
            continue
        maps = [int(i) for i in np.unique(mesh.face_map[faces])]
        mtl = obj.materials.get(name) if obj else None
        free = [i for i in maps if i in textures]
        texture = textures[free[0]].name if free else None
        if texture is not None and len(maps) > 1:  # UDIM tiles
            texture = UDIM.sub("<UDIM>", texture)
        writer.add(name or MATERIAL, mtl, texture, all(mesh.maps[i].own_uvs for i in maps))


def obj_files(mesh: Mesh, path: Path, textures: dict[int, Path]) -> dict[Path, bytes]:
    """The contents of an OBJ and its MTL, and of the textures of other channels that the source's materials have.

    An OBJ that came in goes out line by line as it was: coordinates, vertex order, polygons, normals, groups, names.

    textures: the file of every map that is optimised.

    The OBJ is the last, so that it never names what is not there.
    """
    library = path.with_suffix(".mtl")
    source = mesh.source if isinstance(mesh.source, ObjFile) else None
    folder = mesh.files[0].parent if mesh.files else path.parent
    writer = MtlWriter(path.parent, folder, {file.name for file in textures.values()})
    _write_materials(mesh, textures, writer)
    lines = _from_source(mesh, source, library.name) if source else _from_arrays(mesh, library.name)
    text = "\n".join(lines) + "\n"
    return writer.files() | {
        library: writer.text().encode("utf-8", "surrogateescape"),
        path: text.encode("utf-8", "surrogateescape"),
    }
