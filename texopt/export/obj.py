"""Write OBJ, MTL and PNG as game engines read them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from texopt.export.objtext import face_lines, normal_lines, uv_lines, vertex_lines
from texopt.mesh import Mesh
from texopt.obj import ObjFile

MATERIAL = "textured"


def mtl_text(materials: list[str], texture: str) -> str:
    """All of the mesh's materials, under their own names, with the one texture."""
    lines = ["# texopt"]
    for name in materials:
        lines += ["", f"newmtl {name}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "d 1.0", "illum 1", f"map_Kd {texture}"]
    return "\n".join(lines) + "\n"


def _from_source(mesh: Mesh, obj: ObjFile, library: str) -> list[str]:
    """The file's own lines with the new library; where UVs are new, also with new vt lines and triangulated faces."""
    triangles: dict[int, list[int]] = defaultdict(list)
    for face, line in enumerate(obj.triangle_line.tolist()):
        triangles[line].append(face)
    new_faces = [] if mesh.own_uvs else face_lines(mesh.faces, mesh.face_uvs, mesh.face_normals)
    first_face = min(triangles)
    first_has_material = bool(obj.material_names[obj.triangle_material[0]])
    out = [f"mtllib {library}"]
    for number, line in enumerate(obj.lines):
        key = line.split(None, 1)[0] if line.strip() else ""
        if number == first_face:
            out += [] if mesh.own_uvs else uv_lines(mesh.uvs)
            out += [] if first_has_material else [f"usemtl {MATERIAL}"]
        if key == "mtllib" or (key == "vt" and not mesh.own_uvs):
            continue
        if key == "usemtl" and line.split() == ["usemtl"]:
            out.append(f"usemtl {MATERIAL}")
        elif key == "f" and not mesh.own_uvs:
            out += [new_faces[face] for face in triangles[number]]
        else:
            out.append(line)
    return out


def _from_arrays(mesh: Mesh, library: str) -> list[str]:
    out = ["# texopt", f"mtllib {library}", f"o {mesh.name}"]
    out += vertex_lines(mesh.vertices)
    out += uv_lines(mesh.uvs)
    if mesh.normals is not None:
        out += normal_lines(mesh.normals)
    out.append(f"usemtl {MATERIAL}")
    out += face_lines(mesh.faces, mesh.face_uvs, mesh.face_normals)
    return out


def obj_files(mesh: Mesh, path: Path, png: bytes) -> dict[Path, bytes]:
    """The contents of the OBJ, its MTL and its PNG beside it; the OBJ last, so that it never names what is not there.

    An OBJ that came in goes out line by line as it was: coordinates, vertex order, polygons, normals, groups, names.
    """
    library, texture = path.with_suffix(".mtl"), path.with_suffix(".png")
    obj = mesh.obj
    lines = _from_source(mesh, obj, library.name) if obj else _from_arrays(mesh, library.name)
    materials = [name for name in obj.material_names if name] if obj else []
    if obj is None or not materials or not all(obj.material_names):
        materials.append(MATERIAL)
    text = "\n".join(lines) + "\n"
    return {
        texture: png,
        library: mtl_text(materials, texture.name).encode("utf-8", "surrogateescape"),
        path: text.encode("utf-8", "surrogateescape"),
    }
