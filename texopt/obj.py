"""Read Wavefront OBJ, keeping what a faithful export needs: the lines themselves, in their order.

Only what texopt uses is parsed: v, vt, vn, f, o, mtllib and usemtl. Everything else (groups, smoothing, comments,
lines, points) is carried along as text. Format: Wavefront, "Object Files (.obj)", Advanced Visualizer manual, appendix
B1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.mtl import MtlMaterial, read_mtl
from texopt.wavefront import Errors, fans, key_and_rest, lines_by_key, number_rows, polygons, read_lines

__all__ = ["MtlMaterial", "ObjFile", "read_mtl", "read_obj"]


@dataclass
class ObjFile:
    """An OBJ file. Polygons are split into fans; `corners` has one row a triangle."""

    path: Path
    lines: list[str]  # as read, without line ends
    vertices: np.ndarray  # float64 [V,3]
    colors: np.ndarray | None  # float64 [V,3]: sRGB in [0,1]; None unless every vertex of a triangle has one
    uvs: np.ndarray  # float64 [T,2]
    normals: np.ndarray  # float64 [N,3]
    corners: np.ndarray  # int64 [F,3,3]: indices of vertex, uv, normal of the three corners; -1 is none
    triangle_line: np.ndarray  # int64 [F]: the line of the file that a triangle comes from
    triangle_material: np.ndarray  # int64 [F]: index into material_names
    material_names: list[str]  # of usemtl lines; '' is that of the faces before the first
    triangle_object: np.ndarray  # int64 [F]: index into object_names
    object_names: list[str]  # of o lines; '' is that of the faces before the first
    libraries: list[str] = field(default_factory=list)  # MTL files, as written
    materials: dict[str, MtlMaterial] = field(default_factory=dict)  # of the libraries, by name


def _named(lines: list[str], which: np.ndarray, faces: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names that lines give to the faces after them, and each face's, as an index into them."""
    names: dict[str, int] = {}
    if len(faces) and not np.searchsorted(which, faces[0]):
        names[""] = 0
    named = [0] + [names.setdefault(key_and_rest(lines[number])[1], len(names)) for number in which.tolist()]
    return list(names), np.array(named)[np.searchsorted(which, faces)]


def _colors(lines: list[str], which: np.ndarray, used: np.ndarray) -> np.ndarray | None:
    """The colours in `v x y z r g b` lines, which are in [0,1] or, by some programs, in [0,255]; black where unused."""
    errors: Errors = {}
    rgb = number_rows(lines, which[used], 6, 6, errors)[:, 3:]
    if errors or not len(rgb) or not np.isfinite(rgb).all():
        return None
    colors = np.zeros((len(which), 3))
    colors[used] = np.clip(rgb / (255 if rgb.max() > 1 else 1), 0, 1)
    return colors


def read_obj(path: Path) -> ObjFile:
    """Parse an OBJ file. MeshError where it is malformed, naming the line."""
    lines = read_lines(path)
    errors: Errors = {}
    at = lines_by_key(lines, ("v", "vt", "vn", "f", "o", "usemtl", "mtllib"), errors)
    if errors:
        raise MeshError(f"{path}, line {min(errors) + 1}: {errors[min(errors)]}")
    vertices = number_rows(lines, at["v"], 3, 3, errors)
    uvs = number_rows(lines, at["vt"], 2, 1, errors)
    normals = number_rows(lines, at["vn"], 3, 3, errors)
    before = np.stack([np.searchsorted(at[key], at["f"]) for key in ("v", "vt", "vn")], 1)
    corners, sizes = polygons(lines, at["f"], before, errors)
    if errors:
        raise MeshError(f"{path}, line {min(errors) + 1}: {errors[min(errors)]}")

    triangles, polygon = fans(sizes)
    table, origin = corners[triangles], at["f"][polygon]
    for kind, (what, values) in enumerate((("vertex", vertices), ("uv", uvs), ("normal", normals))):
        if len(table) and table[:, :, kind].max() >= len(values):
            worst = int(table[:, :, kind].max(1).argmax())
            raise MeshError(
                f"{path}, line {origin[worst] + 1}: {what} index {table[worst, :, kind].max() + 1} is out of range, "
                f"the file has {len(values)}; mend the file"
            )
    used = np.zeros(len(vertices), bool)
    used[table[:, :, 0]] = True
    material_names, material = _named(lines, at["usemtl"], at["f"])
    object_names, objects = _named(lines, at["o"], at["f"])
    return ObjFile(
        path, lines, vertices, _colors(lines, at["v"], used), uvs, normals, table, origin,
        material[polygon], material_names, objects[polygon], object_names,
        [key_and_rest(lines[number])[1] for number in at["mtllib"].tolist()],
    )  # fmt: skip
