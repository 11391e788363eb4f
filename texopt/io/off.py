"""OFF, Geomview's Object File Format, in text: with normals (N), colours (C) and texture coordinates (ST).

Format: Geomview manual, "OFF Files". It is a sequence of numbers, whatever their lines, but for the colour of a face,
which are the numbers after its vertices that are on the same line.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.numbers import MOST, ends_early, indices, numbers, triangles
from texopt.io.raw import Material, RawMesh
from texopt.mesh.texture_map import GREY
from texopt.texture.colorspace import unit_colors

log = logging.getLogger("texopt")

KEYWORD = re.compile(rb"\s*(ST)?(C)?(N)?(4)?(n)?OFF\b[ \t]*(BINARY)?", re.IGNORECASE)
WHITE = (1.0, 1.0, 1.0)


@dataclass
class _Words:
    """The numbers after the keyword, float64 [N]; the line of each, ascending; `at` is the next one to be taken."""

    path: Path
    values: np.ndarray
    line: np.ndarray
    at: int = 0

    def end(self, word: int) -> int:
        """The first word after the line that one is on."""
        return int(np.searchsorted(self.line, self.line[word], "right"))

    def count(self, what: str) -> int:
        """The next number, which is a count."""
        if self.at >= len(self.values):
            raise MeshError(f"{self.path} is not a valid OFF file: it has no number of {what}; check what it is")
        value = self.values[self.at]
        if not 0 <= value < MOST or value != int(value):
            raise MeshError(f"{self.path}, line {self.line[self.at]}: {value:g} is no number of {what}; mend the file")
        self.at += 1
        return int(value)


def _words(path: Path) -> tuple[re.Match[bytes] | None, _Words]:
    """What the keyword says, and the numbers after it."""
    text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = KEYWORD.match(re.sub(rb"#[^\n]*", b"", text[:4096])) if b"#" in text[:4096] else KEYWORD.match(text)
    if found and (found[4] or found[5] or found[6]):
        kind = "binary OFF" if found[6] else "OFF of more than three dimensions"
        raise MeshError(f"{path} is {kind}, which texopt does not read; convert it to OFF in text, PLY or OBJ")
    text = re.sub(rb"#[^\n]*", b"", text)
    start = KEYWORD.match(text).end() if found else 0  # type: ignore[union-attr]
    first = text.count(b"\n", 0, start) + 1
    if not found and not re.match(rb"\s*[0-9]+\s+[0-9]+\s", text):  # the keyword may be left out
        raise MeshError(f"{path} is not a valid OFF file: it does not begin with OFF; check what it is")
    values = numbers(path, text[start:], first)
    lines = text[start:].split(b"\n")
    line = np.repeat(np.arange(first, first + len(lines)), [len(words.split()) for words in lines])
    return found, _Words(path, values, line)


def _vertices(words: _Words, count: int, normals: bool, colors: bool, uvs: bool) -> list[np.ndarray]:
    """Positions [V,3], normals [V,3], colours [V,3 or 4] and UVs [V,2], those that are not there without columns.

    Colours of a file whose keyword has no C are read, too, where each line has the numbers for them.
    """
    plain = 3 + 3 * normals + 2 * uvs
    more = 4 if colors else 0
    if words.at < len(words.values):
        end = words.end(words.at)
        wide = end - words.at
        lined = wide - plain in (3, 4) and len(words.line) >= (last := words.at + count * wide)
        ends = words.line[words.at + wide - 1 : last : wide] if lined else np.zeros(0)
        starts = words.line[words.at : last : wide] if lined else np.zeros(0)
        if lined and (starts == ends).all() and (np.diff(starts) > 0).all():
            more = wide - plain
    width = plain + more
    there = (len(words.values) - words.at) // width
    if there < count:
        raise ends_early(words.path, count, "vertices", there)
    table = words.values[words.at : words.at + count * width].reshape(count, width)
    words.at += count * width
    return np.split(table, np.cumsum([3, 3 * normals, more]), 1)


def _faces(words: _Words, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Corners of all faces int64 [C], how many are each one's [P], and their colours [P,3] or None."""
    values, ends = words.values, np.searchsorted(words.line, words.line, "right").tolist()
    sizes, corners = np.zeros(min(count, len(values)), np.int64), []
    colors: dict[int, np.ndarray] = {}
    mapped = False
    for face in range(count):
        if words.at >= len(values):
            raise ends_early(words.path, count, "faces", face)
        size = words.count("corners")
        start, stop = words.at, words.at + size
        if stop > len(values):
            raise ends_early(words.path, count, "faces", face)
        sizes[face] = size
        corners.append(values[start:stop])
        after = ends[stop - 1]
        if after - stop in (1, 3, 4):
            mapped |= after - stop == 1
            if after - stop > 1:
                colors[face] = values[stop : stop + 3]
            stop = after
        words.at = stop
    if mapped:
        log.warning("%s: colours of faces that are numbers of a colour map are not read", words.path.name)
    joined = indices(words.path, np.concatenate([np.zeros(0), *corners]), "face")
    found = np.tile(GREY, (count, 1)) if colors else None
    if found is not None:
        found[list(colors)] = unit_colors(np.stack([*colors.values()]))
    return joined, sizes, found


def read(path: Path) -> RawMesh:
    """A .off. Colours are those of vertices, or else of faces."""
    with np.errstate(invalid="ignore"):
        keyword, words = _words(path)
        vertex_count, face_count = words.count("vertices"), words.count("faces")
        if words.at < len(words.values) and words.line[words.at] == words.line[words.at - 1]:
            words.at += 1  # the number of edges, which nothing depends on, and which some leave out
        elif words.at < len(words.values) and words.end(words.at) == words.at + 1:
            words.at += 1
        has = (False, False, False) if keyword is None else (bool(keyword[3]), bool(keyword[2]), bool(keyword[1]))
        vertices, normals, colors, uvs = _vertices(words, vertex_count, *has)
        corners, sizes, of_faces = _faces(words, face_count)
    rows, polygon = triangles(path, vertices, sizes, corners)
    faces = corners[rows]
    tints, face_colors = of_faces, np.repeat(polygon[:, None], 3, 1)
    if colors.shape[1]:
        tints, face_colors = unit_colors(colors[:, :3]), faces
    none = np.full_like(faces, -1)
    return RawMesh(
        vertices, faces, uvs.reshape(-1, 2), faces if uvs.shape[1] else none, normals.reshape(-1, 3),
        faces if normals.shape[1] else none, [Material(GREY if tints is None else WHITE)], [""],
        np.zeros(len(faces), np.int64), (path,), tints, face_colors=face_colors,
    )  # fmt: skip
