"""read_obj, obvious and slow: one line after the other, one corner after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import MeshError


def _corner(text: str, counts: tuple[int, int, int], where: str) -> list[int]:
    """A face corner `v`, `v/vt`, `v//vn` or `v/vt/vn` as zero-based indices; -1 stands for what is left out."""
    indices = [-1, -1, -1]
    parts = text.split("/")
    try:
        for kind, part in enumerate(parts[:3]):
            if part:
                number = int(part)
                indices[kind] = number - 1 if number > 0 else counts[kind] + number
                if number == 0 or indices[kind] < 0 or number >= 2**31:
                    raise MeshError(f"{where}: index {number} refers to nothing; mend the file")
    except ValueError:
        raise MeshError(f"{where}: {text!r} is not a face corner (v, v/vt, v//vn or v/vt/vn)") from None
    if indices[0] < 0 or len(parts) > 3:
        raise MeshError(f"{where}: {text!r} is not a face corner (v, v/vt, v//vn or v/vt/vn)")
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


def _colors(colors: list[list[float] | None], used: list[int]) -> np.ndarray | None:
    some = [colors[vertex] for vertex in used]
    if not some or None in some:
        return None
    values = np.zeros((len(colors), 3))
    values[used] = some
    return np.clip(values / 255 if values.max() > 1 else values, 0, 1)


def read_obj(path: Path) -> dict[str, Any]:
    """What texopt.obj.read_obj returns, by name."""
    lines = _joined(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    vertices: list[list[float]] = []
    colors: list[list[float] | None] = []
    uvs: list[list[float]] = []
    normals: list[list[float]] = []
    corners: list[tuple[list[int], list[int], list[int]]] = []
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
                for i in range(1, len(polygon) - 1):
                    corners.append((polygon[0], polygon[i], polygon[i + 1]))
                    origin.append(number)
                    materials.append(current)
                    objects.append(current_object)
            elif key == "usemtl":
                current = names.setdefault(rest.strip(), len(names))
            elif key == "o":
                current_object = object_names.setdefault(rest.strip(), len(object_names))
            elif key == "mtllib":
                libraries.append(rest.strip())
    except ValueError:
        raise MeshError(f"{path}, line {number + 1}: {lines[number][:60]!r} is not valid OBJ") from None
    arrays = (
        np.array(vertices, np.float64).reshape(-1, 3),
        np.array(uvs, np.float64).reshape(-1, 2),
        np.array(normals, np.float64).reshape(-1, 3),
    )
    table = np.array(corners, np.int64).reshape(-1, 3, 3)
    for kind, (what, values) in enumerate(zip(("vertex", "uv", "normal"), arrays, strict=True)):
        if len(table) and table[:, :, kind].max() >= len(values):
            worst = int(table[:, :, kind].max(1).argmax())
            raise MeshError(
                f"{path}, line {origin[worst] + 1}: {what} index {table[worst, :, kind].max() + 1} is out of range, "
                f"the file has {len(values)}; mend the file"
            )
    return {
        "path": path,
        "lines": lines,
        "vertices": arrays[0],
        "colors": _colors(colors, sorted(set(table[:, :, 0].ravel().tolist()))),
        "uvs": arrays[1],
        "normals": arrays[2],
        "corners": table,
        "triangle_line": np.array(origin, np.int64),
        "triangle_material": np.array(materials, np.int64),
        "material_names": list(names),
        "triangle_object": np.array(objects, np.int64),
        "object_names": list(object_names),
        "libraries": libraries,
        "materials": {},
    }
