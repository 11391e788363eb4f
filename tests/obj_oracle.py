"""read_obj, obvious and slow: one line after the other, one corner after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import MeshError
from texopt.io.obj.lines import no_vertex
from texopt.mesh.polygons import triangulated


def _corner(text: str, counts: tuple[int, int, int], where: str) -> list[int]:
    """A face corner `v`, `v/vt`, `v//vn` or `v/vt/vn` as zero-based indices; -1 is none, -2 one that cannot be."""
    malformed = MeshError(f"{where}: {text[:60]!r} is not a face corner (v, v/vt, v//vn or v/vt/vn); mend the line")
    indices = [-1, -1, -1]
    parts = text.split("/")
    for kind, part in enumerate(parts[:3]):
        if not part:
            continue
        try:
            number = int(part)
        except ValueError:
            raise malformed from None
        indices[kind] = number - 1 if number > 0 else counts[kind] + number
        if number == 0 or indices[kind] < 0 or number >= 2**31:
            if kind == 0:
                raise MeshError(f"{where}: {no_vertex(number, counts[0])}")
            indices[kind] = -2
    if indices[0] < 0 or len(parts) > 3:
        raise malformed
    return indices


def _joined(text: str) -> list[str]:
    """Lines of the file; a backslash at the end of one continues it on the next."""
    return text.replace("\r\n", "\n").replace("\\\n", " ").removesuffix("\n").split("\n")


def _numbers(text: str, count: int, least: int) -> list[float]:
    """The first `count` numbers of a line, of which it has to have `least`; 0 stands for those that are left out."""
    numbers = [float(x) for x in text.partition("#")[0].split()[:count]]
    if len(numbers) < least:
        raise ValueError
    return numbers + [0.0] * (count - len(numbers))


def _color(text: str) -> list[float] | None:
    try:
        color = _numbers(text, 6, 6)[3:]
    except ValueError:
        return None
    return color if np.isfinite(color).all() else None


def _colors(colors: list[list[float] | None], used: list[int]) -> tuple[np.ndarray, float] | None:
    """What texopt.io.obj.vertex_colors.VertexColors has."""
    some = [values for vertex in used if (values := colors[vertex]) is not None]
    if not some:
        return None
    numbers = [value for values in some for value in values]
    scale = 255.0 if max(numbers) > 10 or (max(numbers) > 1 and all(x == int(x) for x in numbers)) else 1.0
    white = [scale] * 3
    rows = [(colors[vertex] or white) if vertex in used else white for vertex in range(len(colors))]
    return np.clip(np.array(rows) / scale, 0, 1), scale


def read_obj(path: Path) -> dict[str, Any]:
    """What texopt.io.obj.document.read_obj returns, by name."""
    lines = _joined(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    vertices: list[list[float]] = []
    colors: list[list[float] | None] = []
    uvs: list[list[float]] = []
    normals: list[list[float]] = []
    polygons: list[tuple[list[list[int]], int, int, int]] = []  # corners, line, material, object
    corners: list[list[list[int]]] = []
    origin: list[int] = []
    materials: list[int] = []
    objects: list[int] = []
    names: dict[str, int] = {}
    object_names: dict[str, int] = {}
    libraries: list[str] = []
    current = current_object = -1
    number = 0
    try:
        for number, line in enumerate(lines):
            key, _, rest = line.replace("\t", " ").strip().partition(" ")
            if key == "v":
                vertices.append(_numbers(rest, 3, 3))
                colors.append(_color(rest))
            elif key == "vt":
                uvs.append(_numbers(rest, 2, 1))
            elif key == "vn":
                normals.append(_numbers(rest, 3, 3))
            elif key == "f":
                where = f"{path}, line {number + 1}"
                counts = (len(vertices), len(uvs), len(normals))
                polygon = [_corner(text, counts, where) for text in rest.partition("#")[0].split()]
                if current < 0:
                    current = names.setdefault("", len(names))
                if current_object < 0:
                    current_object = object_names.setdefault("", len(object_names))
                if len(polygon) > 2:
                    polygons.append((polygon, number, current, current_object))
            elif key == "usemtl":
                current = names.setdefault(rest.strip(), len(names))
            elif key == "o":
                current_object = object_names.setdefault(rest.strip(), len(object_names))
            elif key == "mtllib":
                libraries.append(rest.strip())
    except ValueError:
        lacks = {
            "v": "v needs three numbers (x y z)",
            "vt": "vt needs one number or more (u v w)",
            "vn": "vn needs three numbers (x y z)",
        }[key]
        raise MeshError(f"{path}, line {number + 1}: {lacks}, not {lines[number][:60]!r}; mend the line") from None
    arrays = (
        np.array(vertices, np.float64).reshape(-1, 3),
        np.array(uvs, np.float64).reshape(-1, 2),
        np.array(normals, np.float64).reshape(-1, 3),
    )
    for polygon, number, material, item in polygons:
        for index, *_ in polygon:
            if index >= len(vertices):
                raise MeshError(f"{path}, line {number + 1}: {no_vertex(index + 1, len(vertices))}")
        points = np.array([vertices[index] for index, *_ in polygon])
        for triangle in triangulated(points, np.array([len(polygon)]))[0].tolist():
            corners.append([polygon[corner] for corner in triangle])
            origin.append(number)
            materials.append(material)
            objects.append(item)
    table = np.array(corners, np.int64).reshape(-1, 3, 3)
    dangling = []
    for triangle in table:
        wrong = False
        for corner in triangle:
            for kind in (1, 2):
                if corner[kind] == -2 or corner[kind] >= len(arrays[kind]):
                    corner[kind] = -1
                    wrong = True
        dangling.append(wrong)
    return {
        "path": path,
        "lines": lines,
        "vertices": arrays[0],
        "colors": _colors(colors, sorted(set(table[:, :, 0].ravel().tolist()))),
        "uvs": arrays[1],
        "normals": arrays[2],
        "corners": table,
        "triangle_line": np.array(origin, np.int64),
        "dangling": np.array(dangling, bool),
        "triangle_material": np.array(materials, np.int64),
        "material_names": list(names),
        "triangle_object": np.array(objects, np.int64),
        "object_names": list(object_names),
        "libraries": libraries,
        "materials": {},
    }
