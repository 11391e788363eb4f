"""An OBJ file with its vertices elsewhere: the same lines, with other numbers in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from texopt.io.obj.document import ObjFile, V
from texopt.io.obj.lines import lines_by_key, number_rows
from texopt.io.obj.rows import normal_lines, vertex_lines
from texopt.mesh.mesh import Mesh


def moved_obj(obj: ObjFile, mesh: Mesh) -> ObjFile | None:
    """The file with the vertices and normals of a mesh that was read from it and is otherwise as it was.

    Vertices stay in their order, and what else their lines have, and lines of vertices that are where they were. A
    normal that several vertices had becomes as many, in the place of its line, and faces then name those. None where
    corners that had a normal have none now, or those of a vertex that had one have several.
    """
    lines, at = list(obj.lines), lines_by_key(obj.lines, ("v", "vt", "vn", "f"), {})
    texts = vertex_lines(mesh.vertices)
    before = number_rows(lines, at["v"], V, {})[:, :3]  # arrays may have been changed in place
    for row in np.flatnonzero((mesh.vertices != before).any(1)).tolist():
        number = int(at["v"][row])
        lines[number] = " ".join([texts[row], *lines[number].split(None, 4)[4:]])
    moved = replace(obj, lines=lines, vertices=mesh.vertices)
    if mesh.normals is None or mesh.face_normals is None:
        return None if (obj.corners[:, :, 2] >= 0).any() else moved
    normals = _Normals(obj, mesh.normals, mesh.face_normals)
    return normals.put_into(moved, at) if normals.fit else None


class _Normals:
    """The normals of an OBJ file's vertices, in the order of its vn lines and of the vertices that share one.

    fit: whether each has one normal there. rows: float64 [N,3]. index: int64 [F,3], of corners, -1 for those that have
    none.
    """

    def __init__(self, obj: ObjFile, normals: np.ndarray, face_normals: np.ndarray) -> None:
        before, vertex = obj.corners[:, :, 2], obj.corners[:, :, 0]
        there, count = before >= 0, len(obj.vertices)
        pairs, first, shared = np.unique(before[there] * count + vertex[there], return_index=True, return_inverse=True)
        values = normals[face_normals[there]]
        self.fit = bool(
            np.array_equal(there, face_normals >= 0) and (values == values[first][shared.reshape(-1)]).all()
        )
        number = np.bincount(pairs // count, minlength=len(obj.normals))
        self.number = np.maximum(number, 1)  # a line that no face has stays
        self.start = np.cumsum(self.number) - self.number
        place = np.arange(len(pairs)) - (np.cumsum(number) - number)[pairs // count] + self.start[pairs // count]
        self.rows = np.repeat(obj.normals, self.number, axis=0)
        self.rows[place] = values[first]
        self.index = np.full(before.shape, -1)
        self.index[there] = place[shared.reshape(-1)]
        self.of = dict(zip(pairs.tolist(), place.tolist(), strict=True))
        self.count = count

    def put_into(self, obj: ObjFile, at: dict[str, np.ndarray]) -> ObjFile:
        """The file with them; lines by their keys."""
        lines, texts = obj.lines, normal_lines(self.rows)
        used = np.zeros(len(obj.normals), bool)
        used[obj.corners[:, :, 2][obj.corners[:, :, 2] >= 0]] = True
        for row in np.flatnonzero(used).tolist():
            start = int(self.start[row])
            lines[int(at["vn"][row])] = "\n".join(texts[start : start + int(self.number[row])])
        if (self.number > 1).any():
            before = np.stack([np.searchsorted(at[key], at["f"]) for key in ("v", "vt", "vn")], 1)
            for number, counts in zip(at["f"].tolist(), before.tolist(), strict=True):
                lines[number] = self._renamed(lines[number], counts)
        corners = np.concatenate([obj.corners[:, :, :2], self.index[:, :, None]], 2)
        return replace(obj, lines=lines, normals=self.rows, corners=corners)

    def _renamed(self, line: str, counts: list[int]) -> str:
        """A face's line with the normals' new numbers. counts: of the v, vt and vn lines before it."""
        words, sign, comment = line.partition("#")
        key, *corners = words.split()
        return " ".join([key, *(self._corner(corner, counts) for corner in corners)]) + (sign and f" #{comment}")

    def _corner(self, text: str, counts: list[int]) -> str:
        parts = text.split("/")
        if len(parts) < 3 or not parts[2]:
            return text
        vertex, normal = (
            number - 1 if number > 0 else count + number
            for number, count in ((int(parts[0]), counts[0]), (int(parts[2]), counts[2]))
        )
        if not 0 <= normal < len(self.start):  # the file has no such normal
            return text
        return "/".join([*parts[:2], str(self.of.get(normal * self.count + vertex, int(self.start[normal])) + 1)])
