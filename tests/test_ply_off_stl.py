"""PLY, OFF and STL: every variant of what they can hold, and words for what is wrong with them."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import slow
from PIL import Image

from texopt import MeshError, load_mesh
from texopt.io.raw import RawMesh
from texopt.io.read import read

XYZ = ["float x", "float y", "float z"]
FACE = ["list uchar int vertex_indices"]
SQUARE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
Rows = list[list[float]]


def ply(*elements: tuple[str, list[str], Rows], comments: tuple[str, ...] = (), kind: str = "ascii") -> bytes:
    """A PLY file of elements: name, properties, and rows of numbers, the lengths of lists among them."""
    lines = ["ply", f"format {kind} 1.0", *(f"comment {text}" for text in comments)]
    body = b""
    for name, properties, rows in elements:
        lines += [f"element {name} {len(rows)}", *(f"property {text}" for text in properties)]
        for row in rows:
            if kind == "ascii":
                body += (" ".join(f"{value:g}" for value in row) + "\n").encode()
            else:
                body += packed(properties, row, ">" if "big" in kind else "<")
    return "\n".join([*lines, "end_header", ""]).encode() + body


CODES = {"uchar": "B", "int": "i", "float": "f", "double": "d", "ushort": "H", "short": "h"}


def packed(properties: list[str], row: list[float], order: str) -> bytes:
    rest, body = list(row), b""
    for words in map(str.split, properties):
        size = 1
        if words[0] == "list":
            size = int(rest.pop(0))
            body += struct.pack(order + CODES[words[1]], size)
        for _ in range(size):
            value = rest.pop(0)
            body += struct.pack(order + CODES[words[-2]], value if words[-2] in ("float", "double") else int(value))
    return body


def made(path: Path, data: str | bytes) -> RawMesh:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read(path)


def refused(path: Path, data: str | bytes) -> str:
    with pytest.raises(MeshError) as caught:
        made(path, data)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def corner_colors(raw: RawMesh) -> np.ndarray:
    """What the corners of every face show, uint8 [F,3,3]; textures by their lower-left texel."""
    looks = np.array([material.image()[-1, 0] for material in raw.materials])[raw.face_material] / 255
    tints = np.ones((len(raw.faces), 3, 3)) if raw.colors is None else raw.colors[raw.face_colors]
    return np.asarray((tints * looks[:, None] * 255).round().astype(np.uint8))


KINDS = ["ascii", "binary_little_endian", "binary_big_endian"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(3, 3), (4, 4), (4, 3), (3, 5, 4)])
def test_ply_of_polygons_in_every_encoding(tmp_path: Path, kind: str, sizes: tuple[int, ...]) -> None:
    """Fans of points on a circle; a property before and one after the list, and an element before the faces."""
    angles = np.linspace(0, 2 * np.pi, 6)[:5]
    points = [[*map(float, np.float32([np.cos(a), np.sin(a), 0])), 7] for a in angles]
    faces = [[9, size, *range(size), 8] for size in sizes]
    raw = made(tmp_path / "a.ply", ply(
        ("vertex", ["double x", "double y", "double z", "short quality"], points),
        ("camera", ["float a", "list uchar short b"], [[1, 2, 3, 4], [1, 0]]),
        ("face", ["uchar flags", *FACE, "double after"], faces), kind=kind,
    ))  # fmt: skip
    np.testing.assert_allclose(raw.vertices, np.array(points)[:, :3], atol=1e-5)
    expected = [[0, corner, corner + 1] for size in sizes for corner in range(1, size - 1)]
    np.testing.assert_array_equal(raw.faces, expected)
    assert raw.colors is None
    assert not len(raw.normals)


@pytest.mark.parametrize("kind", KINDS)
def test_ply_with_several_textures_has_a_material_each(tmp_path: Path, kind: str) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (2, 2), color).save(tmp_path / f"{name}.png")
    data = ply(
        ("vertex", [*XYZ, "uchar red", "uchar green", "uchar blue"], [[*point, 0, 128, 0] for point in SQUARE]),
        ("face", [*FACE, "list uchar float texcoord", "int texnumber"], [
            [3, 0, 1, 2, 6, 0, 0, 1, 0, 1, 1, 1], [3, 0, 2, 3, 6, 0.5, 0, 1, 1, 0, 1, 0],
            [3, 0, 1, 3, 6, 0, 0, 1, 0, 1, 1, -1],
        ]),
        comments=("TextureFile a.png", "texturefile b.png"), kind=kind,
    )  # fmt: skip
    raw = made(tmp_path / "m.ply", data)
    assert [raw.names[index] for index in raw.face_material] == ["b", "a", "untextured"]
    np.testing.assert_array_equal(corner_colors(raw)[:, 0], [[0, 0, 255], [255, 0, 0], [0, 128, 0]])
    np.testing.assert_allclose(raw.uvs[raw.face_uvs[1]], [[0.5, 0], [1, 1], [0, 1]])
    assert raw.files == (tmp_path / "m.ply", tmp_path / "a.png", tmp_path / "b.png")
    mesh = load_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(
        [mesh.maps[index].original[0, 0] for index in mesh.face_map[:2]], [[0, 0, 255], [255, 0, 0]]
    )


def test_ply_with_textures_and_no_texnumber_shows_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (2, 2), color).save(tmp_path / f"{name}.png")
    vertices = ("vertex", [*XYZ, "float s", "float t"], [[*point, *point[:2]] for point in SQUARE])
    raw = made(
        tmp_path / "m.ply",
        ply(vertices, ("face", FACE, [[4, 0, 1, 2, 3]]), comments=("TextureFile a.png", "TextureFile b.png")),
    )
    np.testing.assert_array_equal(corner_colors(raw), np.tile([255, 0, 0], (2, 3, 1)))
    np.testing.assert_array_equal(raw.uvs[raw.face_uvs], np.array(SQUARE)[raw.faces][..., :2])
    assert caplog.messages == ["m.ply names 2 textures, and its faces have no texnumber; all show the first"]


@pytest.mark.parametrize("kind", KINDS)
def test_ply_tristrips(tmp_path: Path, kind: str) -> None:
    """-1 begins a strip, as a row does; triangles of a strip turn, and those without area join strips."""
    points = [[x, y, 0] for x in range(4) for y in range(2)]
    rows = [[13, 0, 1, 2, 3, 4, -1, 7, 6, 5, 5, 1, -1, 2], [3, 1, 2, 0]]
    raw = made(
        tmp_path / "a.ply",
        ply(("vertex", XYZ, points), ("tristrips", ["list int int vertex_indices"], rows), kind=kind),
    )
    np.testing.assert_array_equal(raw.faces, [[0, 1, 2], [1, 3, 2], [2, 3, 4], [7, 6, 5], [1, 2, 0]])


@pytest.mark.parametrize(
    ("element", "properties", "values"),
    [
        ("vertex", ("uchar red", "uchar green", "uchar blue"), (0, 51, 255)),
        ("vertex", ("ushort red", "ushort green", "ushort blue"), (0, 13107, 65535)),
        ("vertex", ("float red", "float green", "float blue", "float alpha"), (0, 0.2, 1, 0.3)),
        ("vertex", ("float r", "float g", "float b"), (-1, 0.2, 1.000001)),
        ("vertex", ("uchar diffuse_red", "uchar diffuse_green", "uchar diffuse_blue"), (0, 51, 255)),
        ("face", ("uchar red", "uchar green", "uchar blue", "uchar alpha"), (0, 51, 255, 9)),
    ],
)
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_ply_colours(
    tmp_path: Path, element: str, properties: tuple[str, ...], values: tuple[float, ...], kind: str
) -> None:
    vertex, face = element == "vertex", element == "face"
    data = ply(
        ("vertex", [*XYZ, *(properties if vertex else ())], [[*at, *(values if vertex else ())] for at in SQUARE]),
        ("face", [*FACE, *(properties if face else ())], [[3, 0, 1, 2, *(values if face else ())]]), kind=kind,
    )  # fmt: skip
    np.testing.assert_array_equal(corner_colors(made(tmp_path / "a.ply", data)), np.tile([0, 51, 255], (1, 3, 1)))


def test_ply_colours_of_faces_stay_apart(tmp_path: Path) -> None:
    faces = [[3, 0, 1, 2, 255, 0, 0], [3, 0, 2, 3, 0, 0, 255]]
    data = ply(("vertex", XYZ, SQUARE), ("face", [*FACE, "uchar red", "uchar green", "uchar blue"], faces))
    raw = made(tmp_path / "a.ply", data)
    np.testing.assert_array_equal(corner_colors(raw), np.repeat([[[255, 0, 0]], [[0, 0, 255]]], 3, 1))
    assert len(raw.vertices) == 4
    mesh = load_mesh(tmp_path / "a.ply")
    for color, uvs in zip([[255, 0, 0], [0, 0, 255]], mesh.uvs[mesh.face_uvs].mean(1), strict=True):
        original = mesh.maps[0].original
        place = int((1 - uvs[1]) * original.shape[0]), int(uvs[0] * original.shape[1])
        np.testing.assert_array_equal(original[place], color)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_ply_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    for kind in ("ascii", "binary_little_endian"):
        data = ply(("vertex", XYZ, [[13, 10, 2], *SQUARE[1:]]), ("face", FACE, [[4, 0, 1, 2, 3]]), kind=kind)
        header, _, body = data.partition(b"end_header\n")
        body = body if "binary" in kind else body.replace(b"\n", end.encode())
        raw = made(tmp_path / "a.ply", (header + b"end_header\n").replace(b"\n", end.encode()) + body)
        np.testing.assert_array_equal(raw.vertices, [[13, 10, 2], *SQUARE[1:]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("faces", [[[3, 0, 1, 2]] * 9, [[3, 0, 1, 2], [4, 0, 1, 2, 3]] * 4])
def test_a_ply_that_ends_early_is_refused(tmp_path: Path, kind: str, faces: Rows) -> None:
    elements = [("vertex", XYZ, SQUARE), ("face", FACE, faces)]
    whole = ply(*elements, kind=kind)
    last = ply(("face", FACE, [faces[-1]]), kind=kind).partition(b"end_header\n")[2]
    for cut in (2, len(last) - 1, len(last)):
        says = refused(tmp_path / "a.ply", whole[:-cut])
        assert (
            says == f" ends early: it says {len(faces)} faces, and has {len(faces) - 1}; get or export the whole file"
        )
    head = whole.index(b"end_header\n") + len(b"end_header\n")
    assert "it says 4 vertices, and has 0;" in refused(tmp_path / "a.ply", whole[: head + 1])


def test_a_ply_that_goes_on_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = made(tmp_path / "a.ply", ply(("vertex", XYZ, SQUARE), ("face", FACE, [[3, 0, 1, 2]])) + b"3 0 2 3\n")
    assert len(raw.faces) == 1
    assert caplog.messages == ["a.ply goes on after the last row that its header says; that is not read"]


GOOD = ply(
    ("vertex", XYZ, SQUARE), ("face", [*FACE, "list uchar float texcoord"], [[3, 0, 1, 2, 6, 0, 0, 1, 0, 1, 1]])
).decode()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ply\n", "plyx\n", "does not begin with the line 'ply'"),
        ("end_header\n", "", "its header has no end_header"),
        ("format ascii 1.0\n", "", "its header has no format"),
        ("ascii", "ebcdic", ", line 2: 'format ebcdic 1.0': is none of the formats ascii, binary_little_endian"),
        ("float y", "real y", ", line 5: 'property real y': is no property of a type that PLY has"),
        ("list uchar int", "list float int", ", line 8: 'property list float int vertex_indices': is no property"),
        ("element vertex 4", "element vertex -4", ", line 3: 'element vertex -4': expected 'element NAME COUNT'"),
        ("element face 1", "element vertex 1", ", line 7: 'element vertex 1': expected 'element NAME COUNT', each"),
        ("float z", "float x", ", line 6: 'property float x': vertex has two properties of that name"),
        ("float z", "float w", "has no element vertex with the properties x, y and z"),
        ("vertex_indices", "corners", "its element face has no property list named vertex_indices or vertex_index"),
        ("3 0 1 2 6", "3 0 1 1.5 6", "a face has the vertex index 1.5, which is none"),
        ("3 0 1 2 6", "3 0 1 4 6", "face 1 of 1 has the vertex index 4, out of range: the file has 4 vertices"),
        ("3 0 1 2 6", "-3 0 1 2 6", "face 1 says that it has a list of -3 values"),
        ("6 0 0 1 0 1 1", "4 0 0 1 0", "face 1 has 3 corners and 4 numbers in texcoord, expected 6"),
        ("1 1 0\n", "1 1 O\n", ", line 13: 'O' is no number"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_ply_is_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert len(made(tmp_path / "a.ply", GOOD).faces) == 1
    assert says in refused(tmp_path / "a.ply", GOOD.replace(old, new, 1))


# OFF

OFF = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n4 1 0\n{OFF}4 0 1 2 3\n", f"OFF 4 1 0\n{OFF}4 0 1 2 3\n", f"4 1 0\n{OFF}4 0 1 2 3",
        f"off\n4 1\n{OFF}4 0 1 2 3\n",
        "OFF\n4\n1 0\n0 0\n0 1 0 0 1\n1 0 0 1 0\n4 0\n1\n2\n3\n",
        f"OFF # head\n# 9 9 9\n\n4 1 0 # counts\n{OFF}\n4 0 1 2 3 # 1 0 0\n",
        f"OFF\r\n4 1 0\r\n{OFF}4 0 1 2 3\r\n".replace("\n", "\r\n"), f"OFF\n4 3 0\n{OFF}4 0 1 2 3\n2 0 1\n0\n",
    ],
)  # fmt: skip
def test_off_is_free_of_lines(tmp_path: Path, text: str) -> None:
    raw = made(tmp_path / "a.off", text)
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    np.testing.assert_array_equal(raw.faces, TRIANGLES)
    assert raw.colors is None


@pytest.mark.parametrize(
    ("head", "color"),
    [
        ("COFF", "255 0 51 255"),
        ("COFF", "1.0 0.0 0.2 1.0"),
        ("COFF", "1.0 0 0.2"),
        ("OFF", "255 0 51"),
        ("OFF", "1 0 0.2 1"),
    ],
)
def test_off_colours_of_vertices(tmp_path: Path, head: str, color: str) -> None:
    text = f"{head}\n4 1 0\n" + OFF.replace("0\n", f"0 {color}\n") + "4 0 1 2 3\n"
    np.testing.assert_array_equal(corner_colors(made(tmp_path / "a.off", text)), np.tile([255, 0, 51], (2, 3, 1)))


def test_off_colours_of_vertices_over_lines(tmp_path: Path) -> None:
    text = "COFF\n4 1 0\n" + OFF.replace("0\n", "0\n255 0 51 255\n") + "4 0 1 2 3\n"
    np.testing.assert_array_equal(corner_colors(made(tmp_path / "a.off", text)), np.tile([255, 0, 51], (2, 3, 1)))


@pytest.mark.parametrize("color", ["255 0 51", *map(slow, ["255 0 51 255", "1.0 0.0 0.2", "1 0 0.2 0.5"])])
def test_off_colours_of_faces(tmp_path: Path, color: str, caplog: pytest.LogCaptureFixture) -> None:
    """The face without a colour is grey."""
    raw = made(tmp_path / "a.off", f"OFF\n4 2 0\n{OFF}3 0 1 2 {color}\n3 0 2 3\n")
    np.testing.assert_array_equal(corner_colors(raw)[:, 0], [[255, 0, 51], [204, 204, 204]])
    assert caplog.messages == []
    shown = load_mesh(tmp_path / "a.off").maps[0].original.reshape(-1, 3)
    assert (shown == [255, 0, 51]).all(1).any()
    assert (shown == [204, 204, 204]).all(1).any()


def test_off_colours_of_a_colour_map_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = made(tmp_path / "a.off", f"OFF\n4 2 0\n{OFF}3 0 1 2 7\n3 0 2 3 1\n")
    np.testing.assert_array_equal(raw.faces, TRIANGLES)
    assert caplog.messages == ["a.off: colours of faces that are numbers of a colour map are not read"]


def test_off_with_normals_and_uvs(tmp_path: Path) -> None:
    raw = made(tmp_path / "a.off", "STCNOFF\n4 1 0\n" + "".join(
        f"{x} {y} 0  0 0 1  1 0 0 1  0.{x} 0.{y}\n" for x, y, _ in SQUARE
    ) + "4 0 1 2 3\n")  # fmt: skip
    np.testing.assert_allclose(raw.uvs[raw.face_uvs], np.array(SQUARE)[TRIANGLES][..., :2] / 10)
    np.testing.assert_array_equal(raw.normals[raw.face_normals], np.tile([0, 0, 1], (2, 3, 1)))
    np.testing.assert_array_equal(corner_colors(raw), np.tile([255, 0, 0], (2, 3, 1)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("OFF BINARY\n\0\0\0\3", "is binary OFF, which texopt does not read; convert it"),
        (f"4OFF\n4 1 0\n{OFF}4 0 1 2 3\n", "is OFF of more than three dimensions"),
        (f"FOFF\n4 1 0\n{OFF}4 0 1 2 3\n", "does not begin with OFF"),
        ("OFF\n", "it has no number of vertices"),
        (f"OFF\n-4 1 0\n{OFF}4 0 1 2 3\n", ", line 2: -4 is no number of vertices"),
        (f"OFF\n4 1 0\n{OFF[:-2]}", "ends early: it says 4 vertices, and has 3;"),
        (f"OFF\n4 5 0\n{OFF}3 0 1 2\n3 0 2 3\n", "ends early: it says 5 faces, and has 2;"),
        (f"OFF\n4 2 0\n{OFF}3 0 1 2\n3 0 2", "ends early: it says 2 faces, and has 1;"),
        (f"OFF\n4 1 0\n{OFF}4 0 1 2 4\n", "face 1 of 1 has the vertex index 4, out of range: the file has 4 vertices"),
        (f"OFF\n4 1 0\n{OFF}4 0 1 2.5 3\n", "a face has the vertex index 2.5, which is none"),
        (f"OFF\n4 1 0\n{OFF}3.5 0 1 2\n", ", line 7: 3.5 is no number of corners"),
        (f"OFF\n# a\n4 1 0\n{OFF}3 0 1 two\n", ", line 8: 'two' is no number"),
    ],
)
def test_what_is_wrong_with_an_off_is_said(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path / "a.off", text)


# STL


def binary_stl(colors: list[int], header: bytes = b"", count: int | None = None) -> bytes:
    corners = np.float32([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]])
    facets = b"".join(
        (corners + np.array([0, 0, index])).astype("<f4").tobytes() + struct.pack("<H", color)
        for index, color in enumerate(colors)
    )
    return header.ljust(80, b"\0") + struct.pack("<I", len(colors) if count is None else count) + facets


def text_stl(name: str, *facets: int) -> str:
    """A solid of facets at these heights."""
    corners = [f"vertex 0 0 {{0}}\n{'vertex 1 0 {0}'}\nvertex 0 1e0 {{0}}\n".format(z) for z in facets]
    return (
        f"solid {name}\n"
        + "".join(f" facet normal 0 0 1\nouter loop\n{text}endloop\nendfacet\n" for text in corners)
        + "endsolid\n"
    )


def test_stl_in_text_and_binary_are_the_same(tmp_path: Path) -> None:
    for data in (
        binary_stl([0, 0]),
        binary_stl([0, 0], b"solid of a program"),
        text_stl("a", 0, 1),
        text_stl("a", 0, 1).upper(),
    ):
        raw = made(tmp_path / "a.stl", data)
        np.testing.assert_array_equal(raw.vertices[raw.faces], [[[0, 0, z], [1, 0, z], [0, 1, z]] for z in (0, 1)])
        assert raw.colors is None


def test_solids_of_an_stl_are_objects(tmp_path: Path) -> None:
    """Their vertices stay apart even where they are equal."""
    raw = made(tmp_path / "a.stl", text_stl("left", 0, 1) + text_stl("the right", 0))
    assert raw.objects == ["left", "the right"]
    np.testing.assert_array_equal(raw.face_object, [0, 0, 1])
    assert len(raw.vertices) == 9


@pytest.mark.parametrize(
    ("header", "colors", "expected"),
    [
        (b"", [0x8000 | 31 << 10, 0x8000 | 31, 0], [[255, 0, 0], [0, 0, 255], [204, 204, 204]]),
        (b"COLOR=\x00\x80\xff\xff", [31, 31 << 10, 0x8000], [[255, 0, 0], [0, 0, 255], [0, 128, 255]]),
    ],
    ids=["VisCAM", "Magics"],
)
def test_stl_colours(tmp_path: Path, header: bytes, colors: list[int], expected: list[list[int]]) -> None:
    raw = made(tmp_path / "a.stl", binary_stl(colors, header))
    np.testing.assert_array_equal(corner_colors(raw), np.repeat(np.array(expected)[:, None], 3, 1))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"Hello", "neither begins with 'solid' nor has a header of 84 bytes"),
        (binary_stl([0, 0], count=912), "ends early: it says 912 facets, and has 2;"),
        (binary_stl([0, 0])[:-1], "ends early: it says 2 facets, and has 1;"),
        (
            text_stl("a", 0, 1).replace("endsolid\n", ""),
            "ends early: it has 2 whole facets, and no endsolid after them",
        ),
        (text_stl("a", 0, 1)[:-40], "ends early: it has 1 whole facets, and no endsolid after them"),
        (text_stl("a", 0, 1).replace("vertex 1 0 1\n", ""), "facet 2 has 2 vertices, expected 3"),
        (text_stl("a", 0, 1).replace("1 0 1", "1 zero 1"), ", line 12: 'zero' is no number"),
    ],
)
def test_what_is_wrong_with_an_stl_is_said(tmp_path: Path, data: str | bytes, says: str) -> None:
    assert says in refused(tmp_path / "a.stl", data)


def test_an_stl_without_facets_has_no_faces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for data in (binary_stl([]), "solid a\nendsolid a\n"):
        (tmp_path / "a.stl").write_bytes(data if isinstance(data, bytes) else data.encode())
        with pytest.raises(MeshError, match="has no faces"):
            load_mesh(tmp_path / "a.stl")
