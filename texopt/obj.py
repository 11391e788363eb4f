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


def _corner(text: str, counts: tuple[int, int, int], where: str) -> list[int]:
    """A face corner `v`, `v/vt`, `v//vn` or `v/vt/vn` as zero-based indices; -1 stands for what is left out."""
    indices = [-1, -1, -1]
    parts = text.split("/")
    try:
        for kind, part in enumerate(parts[:3]):
            if part:
                number = int(part)
                indices[kind] = number - 1 if number > 0 else counts[kind] + number
                if number == 0 or indices[kind] < 0:
                    raise MeshError(f"{where}: index {number} refers to nothing; mend the file")
    except ValueError:
        raise MeshError(f"{where}: {text!r} is not a face corner (v, v/vt, v//vn or v/vt/vn)") from None
    if indices[0] < 0 or len(parts) > 3:
        raise MeshError(f"{where}: {text!r} is not a face corner (v, v/vt, v//vn or v/vt/vn)")
    return indices


def _joined(text: str) -> list[str]:
    """Lines of the file; a backslash at the end of one continues it on the next."""
    return text.replace("\r\n", "\n").replace("\\\n", " ").removesuffix("\n").split("\n")


def read_obj(path: Path) -> ObjFile:
    """Parse an OBJ file. MeshError where it is malformed, naming the line."""
    lines = _joined(path.read_text(encoding="utf-8", errors="surrogateescape"))
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
                vertices.append([float(x) for x in rest.split()[:3]])
            elif key == "vt":
                uvs.append([float(x) for x in rest.split()[:2]])
            elif key == "vn":
                normals.append([float(x) for x in rest.split()[:3]])
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
        arrays = (
            np.array(vertices, np.float64).reshape(-1, 3),
            np.array([uv if len(uv) == 2 else [uv[0], 0.0] for uv in uvs], np.float64).reshape(-1, 2),
            np.array(normals, np.float64).reshape(-1, 3),
        )
    except (ValueError, IndexError):
        raise MeshError(f"{path}, line {number + 1}: {lines[number][:60]!r} is not valid OBJ") from None
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


# map_Kd options such as `-s 2 2 1 -clamp on`; what follows them is the file name, which may contain spaces
_MAP_OPTIONS = re.compile(r"(?:-[a-zA-Z]+(?:\s+(?:on|off|[rgbmlz]|[-+.\d][-+.\deE]*)){1,3}\s+)*(.+)")


def read_mtl(path: Path) -> dict[str, MtlMaterial]:
    """Materials of an MTL file by name. MeshError where it is malformed."""
    materials: dict[str, MtlMaterial] = {}
    current = MtlMaterial()
    for number, line in enumerate(_joined(path.read_text(encoding="utf-8", errors="surrogateescape"))):
        key, _, rest = line.replace("\t", " ").strip().partition(" ")
        rest = rest.strip()
        if key == "newmtl":
            current = materials.setdefault(rest, MtlMaterial())
        elif key == "Kd":
            try:
                red, green, blue = (min(max(float(x), 0.0), 1.0) for x in rest.split()[:3])
            except ValueError:
                raise MeshError(f"{path}, line {number + 1}: Kd needs three numbers, not {rest[:40]!r}") from None
            current.color = (red, green, blue)
        elif key.lower() == "map_kd" and rest:
            current.texture = _MAP_OPTIONS.fullmatch(rest).group(1)  # type: ignore[union-attr]  # it matches any text
    return materials
