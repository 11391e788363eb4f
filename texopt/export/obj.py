"""Write OBJ, MTL and PNG as game engines read them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from texopt.mesh import Mesh
from texopt.obj import ObjFile

MATERIAL = "textured"


def mtl_text(materials: list[str], texture: str) -> str:
    """All of the mesh's materials, under their own names, with the one texture."""
    lines = ["# texopt"]
    for name in materials:
        lines += ["", f"newmtl {name}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "d 1.0", "illum 1", f"map_Kd {texture}"]
    return "\n".join(lines) + "\n"


def _uv_lines(uvs: np.ndarray) -> list[str]:
    return [f"vt {u:.7g} {v:.7g}" for u, v in uvs.tolist()]


def _corner(vertex: int, uv: int, normal: int) -> str:
    return f"{vertex + 1}/{uv + 1}/{normal + 1}" if normal >= 0 else f"{vertex + 1}/{uv + 1}"


def _face_line(mesh: Mesh, face: int) -> str:
    normals = mesh.face_normals[face] if mesh.face_normals is not None else (-1, -1, -1)
    corners = zip(mesh.faces[face], mesh.face_uvs[face], normals, strict=True)
    return "f " + " ".join(_corner(int(v), int(t), int(n)) for v, t, n in corners)


def _from_source(mesh: Mesh, obj: ObjFile, library: str) -> list[str]:
    """The file's own lines with the new library; where UVs are new, also with new vt lines and triangulated faces."""
    triangles: dict[int, list[int]] = defaultdict(list)
    for face, line in enumerate(obj.triangle_line.tolist()):
        triangles[line].append(face)
    first_face = min(triangles)
    first_has_material = bool(obj.material_names[obj.triangle_material[0]])
    out = [f"mtllib {library}"]
    for number, line in enumerate(obj.lines):
        key = line.split(None, 1)[0] if line.strip() else ""
        if number == first_face:
            out += [] if mesh.own_uvs else _uv_lines(mesh.uvs)
            out += [] if first_has_material else [f"usemtl {MATERIAL}"]
        if key == "mtllib" or (key == "vt" and not mesh.own_uvs):
            continue
        if key == "usemtl" and line.split() == ["usemtl"]:
            out.append(f"usemtl {MATERIAL}")
        elif key == "f" and not mesh.own_uvs:
            out += [_face_line(mesh, face) for face in triangles[number]]
        else:
            out.append(line)
    return out


def _from_arrays(mesh: Mesh, library: str) -> list[str]:
    out = ["# texopt", f"mtllib {library}", f"o {mesh.name}"]
    out += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    out += _uv_lines(mesh.uvs)
    if mesh.normals is not None:
        out += [f"vn {x:.6g} {y:.6g} {z:.6g}" for x, y, z in mesh.normals.tolist()]
    out.append(f"usemtl {MATERIAL}")
    out += [_face_line(mesh, face) for face in range(len(mesh.faces))]
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
