"""PLY, STL, OFF, and files of other kinds."""

from __future__ import annotations

import bz2
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator

import numpy as np

from corpus.pieces import ERROR, PLAIN, Case, cuts, file_of, flips, shares

PLY = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property float s
property float t
element face 2
property list uchar int vertex_indices
end_header
0 0 0 0 0
1 0 0 1 0
1 1 0 1 1
0 1 0 0 1
3 0 1 2
3 0 2 3
"""
OFF = "OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"
ASCII_STL = (
    "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
)
COUNTS = [
    "-1",
    "0",
    "1",
    "5",
    "999999999",
    "99999999999999999999",
    "1.5",
    "nan",
    "x",
    "",
    "1e9",
    "9" * 5000,
    "2147483648",
]
NUMBERS = ["nan", "inf", "1e400", "1e308", "9" * 5000, "x", "\0", "-"]


def binary_ply() -> bytes:
    header = PLY.partition("end_header\n")[0].replace("ascii", "binary_little_endian") + "end_header\n"
    rows = np.float32([[0, 0, 0, 0, 0], [1, 0, 0, 1, 0], [1, 1, 0, 1, 1], [0, 1, 0, 0, 1]]).tobytes()
    return header.encode() + rows + struct.pack("<BiiiBiii", 3, 0, 1, 2, 3, 0, 2, 3)


def binary_stl(count: int | None = None) -> bytes:
    corners = np.float32([[[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0]]])
    return (
        bytes(80)
        + struct.pack("<I", 2 if count is None else count)
        + b"".join(one.tobytes() + b"\0\0" for one in corners)
    )


def _ply() -> Iterator[tuple[str, str | bytes]]:
    binary = binary_ply()
    end = binary.index(b"end_header\n") + 11
    for length, start in cuts(binary, [*range(0, end, 20), *range(end, len(binary), 9)]):
        yield f"binary cut at {length}", start
    for length, start in cuts(PLY.encode(), shares(PLY.encode(), 20)):
        yield f"cut at {length}", start
    for number, count in enumerate(COUNTS):
        for element in ("vertex 4", "face 2"):
            name = element.split()[0]
            yield f"{number} of {name}", PLY.replace(element, f"{name} {count}")
            yield f"binary {number} of {name}", binary.replace(element.encode(), f"{name} {count}".encode())
        yield f"face with {number} corners", PLY.replace("3 0 2 3", f"{count} 0 2 3")
    for number, text in enumerate(NUMBERS):
        yield f"coordinate {number}", PLY.replace("1 1 0 1 1", f"1 {text} 0 1 1")
        yield f"UV {number}", PLY.replace("1 1 0 1 1", f"1 1 0 {text} 1")
        yield f"index {number}", PLY.replace("3 0 2 3", f"3 0 2 {text}")
    for index in (4, -1, 2**31 - 1, -(2**31)):
        yield f"index of {index}", PLY.replace("3 0 2 3", f"3 0 2 {index}")
        yield f"binary index {index}", binary[:-4] + struct.pack("<i", index)
    yield "binary face of 255", binary[:-13] + b"\xff" + binary[-12:]
    yield "list of int counts", binary.replace(b"uchar int", b"uint int").replace(b"\3", b"\3\0\0\x7f")
    for old, new in {
        "format ascii 1.0": "format ebcdic 1.0", "property float x": "property quaternion x", "ply\n": "plyplyply\n",
        "property list uchar int vertex_indices": "property list float float vertex_indices", "end_header\n": "",
        "property list": "property property list", "element face 2": "element element face 2",
        "property float y\n": "", "property float z": "property float x", "element vertex 4\n": "",
    }.items():  # fmt: skip
        yield f"{old!r} as {new!r}", PLY.replace(old, new)
    yield "many properties", PLY.replace("property float s\n", "".join(f"property float p{i}\n" for i in range(50_000)))
    yield (
        "many elements",
        PLY.replace(
            "element face", "".join(f"element e{i} 0\nproperty int a\n" for i in range(20_000)) + "element face"
        ),
    )
    yield "a long comment", PLY.replace("element face", "comment " + "x" * 10_000_000 + "\nelement face")
    yield "elements of nothing", PLY.replace("element face", "element nothing 999999999\nelement face")
    for name in ("../outside/secret.png", "/etc/hostname", "a.png\0", "x" * 5000, "http://localhost/a.png"):
        yield f"texture {name[:30]!r}", PLY.replace("element vertex", f"comment TextureFile {name}\nelement vertex")
    for number, data in enumerate(flips(binary, 20, 1)):
        yield f"flipped {number}", data


def _stl() -> Iterator[tuple[str, str | bytes]]:
    binary = binary_stl()
    for length, start in cuts(binary, [0, 1, 5, 79, 80, 82, 84, 90, 100, 134, 150, 183]):
        yield f"binary cut at {length}", start
    for count in (0, 1, 3, 2**31, 2**32 - 1, 85899346):
        yield f"{count} facets", binary_stl(count)
    for length, start in cuts(ASCII_STL.encode(), shares(ASCII_STL.encode(), 12)):
        yield f"cut at {length}", start
    for number, text in enumerate(NUMBERS):
        yield f"coordinate {number}", ASCII_STL.replace("vertex 1 0 0", f"vertex 1 {text} 0")
    yield "many solids", ASCII_STL * 300
    yield "solids in solids", "solid a\n" * 100_000 + ASCII_STL
    yield "vertices without end", ASCII_STL.replace("endloop", "vertex 1 1 1\n" * 1000)
    yield "binary that begins with solid", b"solid" + binary_stl()[5:]
    yield "nan", binary[:96] + struct.pack("<f", float("nan")) + binary[100:]
    yield "huge", binary[:96] + struct.pack("<f", 3e38) + binary[100:]
    for number, data in enumerate(flips(binary, 10, 2)):
        yield f"flipped {number}", data


def _off() -> Iterator[tuple[str, str | bytes]]:
    for length, start in cuts(OFF.encode(), range(0, len(OFF), 4)):
        yield f"cut at {length}", start
    for number, count in enumerate(COUNTS):
        yield f"{number} vertices", OFF.replace("4 2 0", f"{count} 2 0")
        yield f"{number} faces", OFF.replace("4 2 0", f"4 {count} 0")
        yield f"face with {number} corners", OFF.replace("3 0 2 3", f"{count} 0 2 3")
    for number, text in enumerate(NUMBERS):
        yield f"coordinate {number}", OFF.replace("1 1 0", f"1 {text} 0")
    for index in ("4", "-1", "99999999999999999999", "1.5"):
        yield f"index {index}", OFF.replace("3 0 2 3", f"3 0 2 {index}")
    for head in ("COFF", "NOFF", "STOFF", "OFF BINARY", "4OFF", "off", "#", ""):
        yield f"head {head!r}", OFF.replace("OFF", head, 1)
    yield "only comments", "OFF\n" + "# nothing\n" * 100_000


def _archives() -> Iterator[tuple[str, bytes]]:
    """Which are not unpacked."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.obj", PLAIN)
        archive.writestr("b.stl", bytes(10_000_000))
    yield "a.zip", packed.getvalue()
    for mode, name in (("w:gz", "a.tar.gz"), ("w:bz2", "a.tar.bz2")):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode) as archive:
            entry = tarfile.TarInfo("../a.obj")
            entry.size = len(PLAIN)
            archive.addfile(entry, io.BytesIO(PLAIN.encode()))
        yield name, packed.getvalue()
    yield "a.obj.bz2", bz2.compress(PLAIN.encode())
    yield "a.xyz", b"0 0 0\n" * 3
    yield "a.dxf", b"0\nSECTION\n"


def cases() -> Iterator[Case]:
    for ending, models in (("ply", _ply()), ("stl", _stl()), ("off", _off())):
        for name, data in models:
            yield Case(f"{ending.upper()}/{name[:60]}", "mesh", file_of(f"a.{ending}", data))
    for name, data in _archives():
        yield Case(f"other/{name}", "mesh", file_of(name, data), ERROR, "not a mesh format")
