"""Read Wavefront OBJ and MTL, keeping what a faithful export needs: the lines themselves, in their order.

Only what texopt uses is parsed: v, vt, vn, f, mtllib and usemtl; from MTL newmtl, Kd and map_Kd. Everything else
(groups, objects, smoothing, comments, lines, points) is carried along as text. Format: Wavefront, "Object Files
(.obj)", Advanced Visualizer manual, appendix B1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError


@dataclass
class ObjFile:
    """An OBJ file. Polygons are split into fans; `corners` has one row a triangle."""

    path: Path
    lines: list[str]  # as read, without line ends
    vertices: np.ndarray  # float64 [V,3]
    uvs: np.ndarray  # float64 [T,2]
    normals: np.ndarray  # float64 [N,3]
    corners: np.ndarray  # int64 [F,3,3]: indices of vertex, uv, normal of the three corners; -1 is none
    triangle_line: np.ndarray  # int64 [F]: the line of the file that a triangle comes from
    triangle_material: np.ndarray  # int64 [F]: index into material_names
    material_names: list[str]
    libraries: list[str] = field(default_factory=list)  # MTL files, as written
    colors: np.ndarray | None = None
    object_names: list[str] = field(default_factory=lambda: [""])
    triangle_object: np.ndarray | None = None
    materials: dict[str, MtlMaterial] = field(default_factory=dict)


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


def read_obj(path: Path) -> ObjFile:
    """Parse an OBJ file. MeshError where it is malformed, naming the line."""
    lines = _joined(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    normals: list[list[float]] = []
    corners: list[tuple[list[int], list[int], list[int]]] = []
    origin: list[int] = []
    materials: list[int] = []
    names: dict[str, int] = {}
    libraries: list[str] = []
    current = -1
    number = 0
    try:
        for number, line in enumerate(lines):
            key, _, rest = line.replace("\t", " ").strip().partition(" ")
            if key == "v":
                vertices.append(_numbers(rest, 3, 3))
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
                for i in range(1, len(polygon) - 1):
                    corners.append((polygon[0], polygon[i], polygon[i + 1]))
                    origin.append(number)
                    materials.append(current)
            elif key == "usemtl":
                current = names.setdefault(rest.strip(), len(names))
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
    return ObjFile(
        path, lines, *arrays, table, np.array(origin, np.int64), np.array(materials, np.int64), list(names), libraries
    )


@dataclass
class MtlMaterial:
    """What texopt reads of a material: its diffuse colour and the file of its diffuse texture."""

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    texture: str | None = None
    lines: list[str] = field(default_factory=list, compare=False)
    maps: dict[str, str] = field(default_factory=dict, compare=False)
    folder: Path | None = field(default=None, compare=False)  # of the MTL file, which texture is relative to


# map_Kd options such as `-s 2 2 1 -clamp on`; what follows them is the file name, which may contain spaces
_MAP_OPTIONS = re.compile(r"(?:-[a-zA-Z]+(?:\s+(?:on|off|[rgbmlz]|[-+.\d][-+.\deE]*)){1,3}\s+)*(.+)")


def read_mtl(path: Path) -> dict[str, MtlMaterial]:
    """Materials of an MTL file by name. MeshError where it is malformed."""
    materials: dict[str, MtlMaterial] = {}
    current = MtlMaterial()
    for number, line in enumerate(_joined(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))):
        key, _, rest = line.replace("\t", " ").strip().partition(" ")
        rest = rest.strip()
        if key == "newmtl":
            current = materials.setdefault(rest, MtlMaterial(folder=path.parent))
        elif key == "Kd":
            try:
                numbers = [float(x) for x in rest.split()[:3]]
                red, green, blue = (min(max(x, 0.0), 1.0) for x in (numbers if len(numbers) != 1 else numbers * 3))
                if not np.isfinite(numbers).all():
                    raise ValueError
            except ValueError:
                raise MeshError(f"{path}, line {number + 1}: Kd needs three numbers, not {rest[:40]!r}") from None
            current.color = (red, green, blue)
        elif key.lower() == "map_kd" and rest:
            current.texture = _MAP_OPTIONS.fullmatch(rest).group(1)  # type: ignore[union-attr]  # it matches any text
    return materials
