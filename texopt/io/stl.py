"""STL, binary and in text. Its vertices are merged where they are equal, as it has no shared ones.

Format: 3D Systems, "StereoLithography Interface Specification" (1989); colours of binary files as VisCAM and
Materialise Magics put them into the two bytes after a facet.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.numbers import ends_early, numbers
from texopt.io.raw import Material, RawMesh
from texopt.mesh.texture_map import GREY
from texopt.mesh.topology import same_places

HEADER = 84  # bytes: 80 of anything, and the number of facets
FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("color", "<u2")])
VALID = 1 << 15  # of a colour: set where VisCAM's is one, and not set where Magics' is
WHITE = (1.0, 1.0, 1.0)


def _colors(header: bytes, packed: np.ndarray) -> np.ndarray | None:
    """Of facets, float64 [F,3], from five bits a channel; None where none has one."""
    magics = re.search(rb"COLOR=(...)", header, re.DOTALL)  # the color of the whole object
    has = (packed & VALID == 0) if magics else (packed & VALID != 0)
    if not has.any() and not magics:
        return None
    channels = np.stack([packed >> shift & 31 for shift in (0, 5, 10)], 1) / 31
    whole = np.frombuffer(magics[1], np.uint8) / 255 if magics else np.array(GREY)
    return np.where(has[:, None], channels if magics else channels[:, ::-1], whole)


def _binary(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Corners float64 [F,3,3] and colours of facets."""
    if len(data) < HEADER:
        raise MeshError(
            f"{path} is not a valid STL file: it neither begins with 'solid' nor has a header of {HEADER} bytes; "
            "check what it is"
        )
    count, there = int.from_bytes(data[80:HEADER], "little"), (len(data) - HEADER) // FACET.itemsize
    if there < count:
        raise ends_early(path, count, "facets", there)
    table = np.frombuffer(data, FACET, count, HEADER)
    return table["corners"].astype(np.float64), _colors(data[:80], table["color"])


def _text(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Corners float64 [F,3,3], the solid of each facet int64 [F], and the solids' names."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = data.lower()
    solids: list[bytes] = []
    names: list[str] = []
    start = 0
    for end in re.finditer(rb"endsolid[^\n]*", text):
        head = re.compile(rb"(?:\s*solid\b([^\n]*))*").match(text, start, end.start())
        begin = head.end() if head else start
        names.append(data[begin - len(head[1] or b"") : begin].decode(errors="replace").strip() if head else "")
        solids.append(b"\n" * text.count(b"\n", start, begin) + text[begin : end.start()])
        start = end.end()
    rest = text[start:]
    facets = b"".join(solids).split(b"endfacet")
    if facets.pop().strip() or b"facet" in rest or not solids:
        raise MeshError(
            f"{path} ends early: it has {text.count(b'endfacet'):,} whole facets, and no endsolid after them; "
            "get or export the whole file"
        )
    corners = np.array([facet.count(b"vertex") for facet in facets], np.int64)
    if (corners != 3).any():
        wrong = int((corners != 3).argmax())
        raise MeshError(f"{path}: facet {wrong + 1:,} has {corners[wrong]:,} vertices, expected 3; mend the file")
    body = re.sub(rb"normal[^o]*outer", _lines, b"".join(facets))
    for word in (b"endloop", b"loop", b"facet", b"vertex"):
        body = body.replace(word, b" ")
    values = numbers(path, body)
    if len(values) != 9 * len(facets):
        raise MeshError(
            f"{path} has {len(values):,} coordinates of vertices, expected {9 * len(facets):,}, nine a facet; "
            "mend the file"
        )
    solid = np.repeat(np.arange(len(solids)), [one.count(b"endfacet") for one in solids])
    return values.reshape(-1, 3, 3), solid, names


def _lines(text: re.Match[bytes]) -> bytes:
    return b"\n" * text[0].count(b"\n")


def read(path: Path) -> RawMesh:
    """A .stl. The solids of a text are objects."""
    data = path.read_bytes()
    fits = len(data) >= HEADER and len(data) == HEADER + FACET.itemsize * int.from_bytes(data[80:HEADER], "little")
    colors, names = None, [""]
    if data[:512].lstrip()[:5].lower() == b"solid" and not fits and (b"facet" in data.lower() or len(data) < HEADER):
        corners, solid, names = _text(path, data)
    else:
        corners, colors = _binary(path, data)
        solid = np.zeros(len(corners), np.int64)
    rows = np.column_stack([np.repeat(solid, 3), corners.reshape(-1, 3)])
    place = same_places(rows)
    _, first = np.unique(place, return_index=True)
    order = np.argsort(first)  # as they come first
    faces = np.argsort(order)[place].reshape(-1, 3)
    none = np.full_like(faces, -1)
    return RawMesh(
        corners.reshape(-1, 3)[first[order]], faces, np.zeros((0, 2)), none, np.zeros((0, 3)), none,
        [Material(GREY if colors is None else WHITE)], [""], np.zeros(len(faces), np.int64), (path,), colors, names,
        solid, face_colors=np.repeat(np.arange(len(faces))[:, None], 3, 1),
    )  # fmt: skip
