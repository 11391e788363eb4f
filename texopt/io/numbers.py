"""What formats of numbers have in common (PLY, OFF): numbers from text, polygons as triangles, files that end early."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.mesh.polygons import triangulated

MOST = 2**31  # what a count or an index may be


def numbers(path: Path, text: bytes, line: int = 1) -> np.ndarray:
    """All words of an ASCII text as float64 [N]. MeshError where one is no number, naming its line.

    line: the number of the text's first line in the file.
    """
    if not text.strip():
        return np.zeros(0)
    with warnings.catch_warnings(), suppress(ValueError, DeprecationWarning):
        warnings.simplefilter("error", DeprecationWarning)  # what older ones of numpy do where a word is no number
        values = np.fromstring(text, np.float64, sep=" ")
        if len(values) == len(text.split()):  # 1-2 would be two numbers
            return values
    for number, row in enumerate(text.split(b"\n"), line):
        for word in row.split():
            try:
                float(word)
            except ValueError:
                shown = word[:40].decode(errors="replace")
                raise MeshError(f"{path}, line {number}: {shown!r} is no number; mend the file") from None
    return np.array(text.split(), np.float64)


def ends_early(path: Path, count: int, what: str, there: int) -> MeshError:
    """The error of a file with fewer of something (in the plural) than it says."""
    return MeshError(f"{path} ends early: it says {count:,} {what}, and has {there:,}; get or export the whole file")


def indices(path: Path, values: np.ndarray, what: str) -> np.ndarray:
    """Vertex indices of something (a face), which text may have as any numbers, as int64."""
    good = (np.abs(values) < MOST) & (values == np.round(values))
    if not good.all():
        wrong = values[(~good).argmax()]
        raise MeshError(f"{path}: a {what} has the vertex index {wrong:g}, which is none; mend the file")
    return values.astype(np.int64)


def triangles(
    path: Path, vertices: np.ndarray, sizes: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of polygons with so many corners each, int [P], which are these of the vertices [V,3], int [C].

    Returns rows of `corners`, int64 [F,3], and the polygon of each triangle, int64 [F]. MeshError where a vertex is not
    there.
    """
    wrong = (corners < 0) | (corners >= len(vertices))
    if wrong.any():
        first = int(wrong.argmax())
        face = int(np.searchsorted(np.cumsum(sizes), first, "right"))
        raise MeshError(
            f"{path}: face {face + 1:,} of {len(sizes):,} has the vertex index {corners[first]}, out of range: "
            f"the file has {len(vertices):,} vertices, counted from 0; mend the file"
        )
    return triangulated(vertices[corners], np.asarray(sizes, np.int64))
