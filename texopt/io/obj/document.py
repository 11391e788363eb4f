"""Read Wavefront OBJ, keeping what a faithful export needs: the lines themselves, in their order.

Only what texopt uses is parsed: v, vt, vn, f, o, mtllib and usemtl. Everything else (groups, smoothing, comments,
lines, points) is carried along as text. Format: Wavefront, "Object Files (.obj)", Advanced Visualizer manual, appendix
B1.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.obj.lines import (
    DANGLING,
    LEFT_OUT,
    Errors,
    Numbers,
    key_and_rest,
    lines_by_key,
    no_vertex,
    number_rows,
    polygons,
    read_lines,
)
from texopt.io.obj.mtl import MtlMaterial, read_mtl
from texopt.io.obj.vertex_colors import MRGB, VertexColors, polypaint, vertex_colors
from texopt.mesh.polygons import triangulated

log = logging.getLogger("texopt")

__all__ = ["MtlMaterial", "ObjFile", "read_mtl", "read_obj"]


V = Numbers(3, 3, 6, np.nan, "v needs three numbers (x y z)")  # and a colour, as many programs write it
VT = Numbers(1, 2, 2, 0.0, "vt needs one number or more (u v w)")
VN = Numbers(3, 3, 3, 0.0, "vn needs three numbers (x y z)")


@dataclass
class ObjFile:
    """An OBJ file. Polygons are split into triangles; `corners` has one row a triangle."""

    path: Path
    lines: list[str]  # as read, without line ends
    vertices: np.ndarray  # float64 [V,3]
    colors: VertexColors | None  # None where no vertex of a triangle has one
    uvs: np.ndarray  # float64 [T,2]
    normals: np.ndarray  # float64 [N,3]
    corners: np.ndarray  # int64 [F,3,3]: indices of vertex, uv, normal of the three corners; -1 is none
    triangle_line: np.ndarray  # int64 [F]: the line of the file that a triangle comes from
    dangling: np.ndarray  # bool [F]: whether that names a vt or vn that the file does not have, and is taken as without
    triangle_material: np.ndarray  # int64 [F]: index into material_names
    material_names: list[str]  # of usemtl lines; '' is that of the faces before the first
    triangle_object: np.ndarray  # int64 [F]: index into object_names
    object_names: list[str]  # of o lines; '' is that of the faces before the first
    libraries: list[str] = field(default_factory=list)  # MTL files, as written
    materials: dict[str, MtlMaterial] = field(default_factory=dict)  # those of material_names that are found


def _named(lines: list[str], which: np.ndarray, faces: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names that lines give to the faces after them, and each face's, as an index into them."""
    names: dict[str, int] = {}
    if len(faces) and not np.searchsorted(which, faces[0]):
        names[""] = 0
    named = [0] + [names.setdefault(key_and_rest(lines[number])[1], len(names)) for number in which.tolist()]
    return list(names), np.array(named)[np.searchsorted(which, faces)]


def _without_dangling(path: Path, table: np.ndarray, origin: np.ndarray, counts: tuple[int, int]) -> np.ndarray:
    """Take the vt and vn that a file does not have out of its triangles' corners; bool [F], which those are."""
    found = np.zeros(len(table), bool)
    for kind, what, count in zip((1, 2), ("texture vertices (vt)", "normals (vn)"), counts, strict=True):
        wrong = (table[:, :, kind] == DANGLING) | (table[:, :, kind] >= count)
        if not wrong.any():
            continue
        triangles = wrong.any(1)
        log.warning(
            "%s: %s of %s triangles name %s that are not in the file (the first in line %d) and are taken as without",
            path.name, f"{int(triangles.sum()):,}", f"{len(table):,}", what, origin[triangles.argmax()] + 1,
        )  # fmt: skip
        table[:, :, kind][wrong] = LEFT_OUT
        found |= triangles
    return found


def read_obj(path: Path) -> ObjFile:
    """Parse an OBJ file. MeshError where it is malformed, naming the line."""
    lines = read_lines(path)
    errors: Errors = {}
    at = lines_by_key(lines, ("v", "vt", "vn", "f", "o", "usemtl", "mtllib", MRGB), errors)
    if errors:
        raise MeshError(f"{path}, line {min(errors) + 1}: {errors[min(errors)]}")
    rows = number_rows(lines, at["v"], V, errors)
    uvs = number_rows(lines, at["vt"], VT, errors)
    normals = number_rows(lines, at["vn"], VN, errors)
    before = np.stack([np.searchsorted(at[key], at["f"]) for key in ("v", "vt", "vn")], 1)
    corners, sizes = polygons(lines, at["f"], before, errors)
    if errors:
        raise MeshError(f"{path}, line {min(errors) + 1}: {errors[min(errors)]}")

    vertices = np.ascontiguousarray(rows[:, :3])
    material_names, material = _named(lines, at["usemtl"], at["f"])
    object_names, objects = _named(lines, at["o"], at["f"])
    faces = np.flatnonzero(sizes > 2)
    if len(faces) < len(sizes):
        corners, sizes = corners[np.repeat(sizes, sizes) > 2], sizes[faces]
    missing = corners[:, 0] >= len(vertices)
    if missing.any():
        first = int(missing.argmax())
        line = at["f"][faces[np.searchsorted(np.cumsum(sizes), first, "right")]]
        raise MeshError(f"{path}, line {line + 1}: {no_vertex(int(corners[first, 0]) + 1, len(vertices))}")
    triangles, polygon = triangulated(vertices[corners[:, 0]], sizes)
    face = faces[polygon]
    table, origin = corners[triangles], at["f"][face]
    dangling = _without_dangling(path, table, origin, (len(uvs), len(normals)))
    used = np.zeros(len(vertices), bool)
    used[table[:, :, 0]] = True
    painted = polypaint(path, lines, at[MRGB], np.searchsorted(at["v"], at[MRGB]), len(vertices))
    return ObjFile(
        path, lines, vertices, vertex_colors(path, rows[:, 3:], painted, used), uvs, normals, table, origin, dangling,
        material[face], material_names, objects[face], object_names,
        [key_and_rest(lines[number])[1] for number in at["mtllib"].tolist()],
    )  # fmt: skip
