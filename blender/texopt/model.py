# SPDX-License-Identifier: GPL-3.0-or-later
"""What is handed to texopt of objects, and how it is written: an OBJ of exactly that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Piece:
    """The polygons of one object, as it stands in the world.

    vertices: float64 [V,3], +Y up. sizes: how many corners each polygon has [P]. corners: into vertices [C], polygon
    after polygon. uvs: float32 [C,2]. materials: the name of each polygon's [P].
    """

    vertices: np.ndarray
    sizes: np.ndarray
    corners: np.ndarray
    uvs: np.ndarray
    materials: Sequence[str]

    def mirrored(self) -> Piece:
        """The same polygons seen from behind: a mirrored object's have their corners the other way round."""
        ends = np.cumsum(self.sizes)
        polygon = np.repeat(np.arange(len(ends)), self.sizes)
        order = (2 * ends - self.sizes)[polygon] - 1 - np.arange(len(polygon))
        return Piece(self.vertices, self.sizes, self.corners[order], self.uvs[order], self.materials)


@dataclass(frozen=True)
class Look:
    """A material: its name in the file, its colour in sRGB, and the file with its texture where it has one."""

    name: str
    color: tuple[float, float, float]
    texture: str = ""


def write_model(path: Path, pieces: Sequence[Piece], looks: Iterable[Look]) -> None:
    """FILE.obj, and FILE.mtl beside it."""
    library = path.with_suffix(".mtl")
    lines = []
    for look in looks:
        lines += [f"newmtl {look.name}", "Kd {:.6f} {:.6f} {:.6f}".format(*look.color)]
        lines += [f"map_Kd {look.texture}"] if look.texture else []
    library.write_text("\n".join(lines) + "\n", encoding="utf-8")

    lines = [f"mtllib {library.name}"]
    first_vertex = first_uv = 1
    for piece in pieces:
        # corners with one place on the surface and in the texture are one, or each edge would be a seam
        uvs, which = np.unique(np.ascontiguousarray(piece.uvs, np.float32), axis=0, return_inverse=True)
        lines += ["v {:.9g} {:.9g} {:.9g}".format(*row) for row in piece.vertices.tolist()]
        lines += ["vt {:.9g} {:.9g}".format(*row) for row in uvs.tolist()]
        pairs = zip((piece.corners + first_vertex).tolist(), (which.reshape(-1) + first_uv).tolist(), strict=True)
        corners = [f"{vertex}/{uv}" for vertex, uv in pairs]
        end, current = 0, None
        for size, material in zip(piece.sizes.tolist(), piece.materials, strict=True):
            if material != current:
                lines.append(f"usemtl {material}")
                current = material
            lines.append("f " + " ".join(corners[end : end + size]))
            end += size
        first_vertex, first_uv = first_vertex + len(piece.vertices), first_uv + len(uvs)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def groups(sets: Sequence[set[str]]) -> list[list[int]]:
    """Indices of sets, together where they have something in common, also by way of others."""
    found: list[tuple[set[str], list[int]]] = []
    for index, names in enumerate(sets):
        names, members = set(names), [index]
        for other in [other for other in found if other[0] & names]:
            names, members = names | other[0], other[1] + members
            found.remove(other)
        found.append((names, members))
    return sorted(sorted(members) for _, members in found)
