"""PLY as a mesh: polygons and triangle strips, with the textures that MeshLab names in comments.

MeshLab's header has a line `comment TextureFile NAME` a texture; a face has `texcoord`, u and v of each of its corners,
and `texnumber`, its texture counted from 0.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.named_files import find
from texopt.io.numbers import indices, triangles
from texopt.io.ply_file import Element, read_ply
from texopt.io.raw import Material, RawMesh, check_materials, textured
from texopt.mesh.texture_map import GREY
from texopt.texture.colorspace import unit_colors

log = logging.getLogger("texopt")

WHITE = (1.0, 1.0, 1.0)
POSITION, NORMAL = ("x", "y", "z"), ("nx", "ny", "nz")
COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
INDICES = ("vertex_indices", "vertex_index")


def _columns(element: Element, names: tuple[str, ...]) -> np.ndarray | None:
    """float64 [N,len(names)], or None where one is missing."""
    if not element.columns.keys() >= set(names):
        return None
    return np.stack([element.columns[name].astype(np.float64) for name in names], 1)


def _colors(element: Element | None) -> np.ndarray | None:
    """Of vertices or faces, float64 [N,3] in [0,1]."""
    for names in COLORS if element else ():
        found = _columns(element, names) if element else None
        if found is not None and element is not None:
            kind = np.dtype(element.type_of(names[0]))
            return unit_colors(found) if kind.kind == "f" else np.clip(found / np.iinfo(kind).max, 0, 1)
    return None


def _indices(path: Path, element: Element | None) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and values, int64, of the list of vertices that faces or strips have."""
    if element is None or not element.count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    for name in INDICES:
        if name in element.lists:
            sizes, values = element.lists[name]
            return sizes, indices(path, values, element.name.removesuffix("s"))
    raise MeshError(
        f"{path}: its element {element.name} has no property list named {' or '.join(INDICES)}; export it again"
    )


def _strips(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Triangles int64 [F,3] of strips: -1 begins another one, and every second triangle is turned."""
    ends = np.cumsum(sizes)
    joined = np.insert(values, ends[:-1], -1) if len(ends) else values
    place = np.arange(len(joined))
    begin = np.maximum.accumulate(np.where(joined == -1, place + 1, 0)) if len(joined) else place
    first = place[:-2][(np.stack([joined[:-2], joined[1:-1], joined[2:]]) != -1).all(0)]
    turned = (first - begin[first]) % 2
    found = np.stack([joined[first], joined[first + 1 + turned], joined[first + 2 - turned]], 1)
    return np.asarray(found[(found[:, 0] != found[:, 1]) & (found[:, 1] != found[:, 2]) & (found[:, 0] != found[:, 2])])


def _face_uvs(path: Path, face: Element, sizes: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UVs [T,2] of the faces' list `texcoord`, and which each corner has, int64 [C], -1 for none."""
    lengths, values = face.lists["texcoord"]
    wrong = (lengths != 0) & (lengths != 2 * sizes)
    if wrong.any():
        first = int(wrong.argmax())
        raise MeshError(
            f"{path}: face {first + 1:,} has {sizes[first]} corners and {lengths[first]} numbers in texcoord, "
            f"expected {2 * sizes[first]} (u and v of each corner) or none; export it again"
        )
    own = np.repeat(lengths > 0, sizes)
    rows, inverse = np.unique(np.column_stack([corners[own], values.reshape(-1, 2)]), axis=0, return_inverse=True)
    corner_uvs = np.full(len(corners), -1)
    corner_uvs[own] = inverse.reshape(-1)
    return rows[:, 1:], corner_uvs


class _Looks:
    """The materials of a file's faces: one a texture, and a plain one."""

    def __init__(self, path: Path, names: list[str], tinted: bool) -> None:
        self.files: list[Path] = []
        self.materials: list[Material] = []
        self.names: list[str] = []
        self.index: list[int] = []  # of the material, by texture; the plain one's is last
        check_materials(path, len(names))
        for name in names:
            found = find(name, path.parent)
            if found is None:
                log.warning("%s: its texture %s is missing and is taken as grey", path.name, name)
                self.index.append(-1)
            elif found in self.files:
                self.index.append(self.files.index(found))
            else:
                self.index.append(len(self.materials))
                self.files.append(found)
                self.materials.append(textured(found))
        stems = [file.stem for file in self.files]
        self.names = stems if len(set(stems)) == len(stems) else [file.name for file in self.files]
        self.index = [len(self.materials) if index < 0 else index for index in [*self.index, -1]]
        self.materials.append(Material(WHITE if tinted else GREY))
        self.names.append("untextured")

    def of(self, texture: np.ndarray) -> np.ndarray:
        """The material of faces by their texture's number, int64."""
        known = (texture >= 0) & (texture < len(self.index) - 1)
        return np.array(self.index)[np.where(known, texture, -1).astype(np.int64)]


def read(path: Path) -> RawMesh:
    """A .ply. Its colours are those of what has no texture: of vertices, or else of faces."""
    file = read_ply(path)
    vertex, face = file.elements.get("vertex"), file.elements.get("face")
    vertices = None if vertex is None else _columns(vertex, POSITION)
    if vertex is None or vertices is None:
        raise MeshError(f"{path} has no element vertex with the properties x, y and z; export it again")
    sizes, corners = _indices(path, face)
    strips = _strips(*_indices(path, file.elements.get("tristrips"))[::-1])
    polygons = len(sizes)
    uvs, corner_uvs = np.zeros((0, 2)), np.full(len(corners), -1)
    if face is not None and "texcoord" in face.lists:
        uvs, corner_uvs = _face_uvs(path, face, sizes, corners)
    sizes, corners = np.append(sizes, np.full(len(strips), 3)), np.append(corners, strips)
    corner_uvs = np.append(corner_uvs, np.full(strips.size, -1))
    vertex_uvs = next((found for names in UVS if (found := _columns(vertex, names)) is not None), None)
    if not len(uvs) and vertex_uvs is not None:
        uvs, corner_uvs = vertex_uvs, corners
    rows, polygon = triangles(path, vertices, sizes, corners)

    number = np.zeros(len(sizes))
    if face is not None and "texnumber" in face.columns:
        number[:polygons] = face.columns["texnumber"]
    elif len(file.textures) > 1:
        log.warning(
            "%s names %d textures, and its faces have no texnumber; all show the first", path.name, len(file.textures)
        )
    faces = corners[rows]
    colors, face_colors = _colors(vertex), faces
    if colors is None and (of_faces := _colors(face)) is not None:
        colors = np.concatenate([of_faces, np.tile(GREY, (len(strips), 1))])
        face_colors = np.repeat(polygon[:, None], 3, 1)
    looks = _Looks(path, file.textures, colors is not None)
    face_material = looks.of(number)[polygon]
    if colors is not None:  # white where a texture is
        plain = face_material == len(looks.materials) - 1
        face_colors = np.where(plain[:, None], face_colors, len(colors))
        colors = np.concatenate([colors, np.ones((1, 3))]) if plain.any() else None
    names = looks.names if len(np.unique(face_material)) > 1 else [""] * len(looks.names)
    normals = _columns(vertex, NORMAL)
    return RawMesh(
        vertices, faces, uvs, corner_uvs[rows], np.zeros((0, 3)) if normals is None else normals,
        np.full_like(faces, -1) if normals is None else faces, looks.materials, names, face_material,
        (path, *looks.files), colors, face_colors=face_colors,
    )  # fmt: skip
