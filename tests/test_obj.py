"""OBJ and MTL as they occur in the wild: read_obj, read_mtl."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from texopt.errors import MeshError
from texopt.io.obj.document import ObjFile, read_obj
from texopt.io.obj.mtl import MtlMaterial, read_mtl

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\n"


def parse(folder: Path, text: str | bytes) -> ObjFile:
    path = folder / "mesh.obj"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_obj(path)


def materials(folder: Path, text: str) -> dict[str, MtlMaterial]:
    path = folder / "mesh.mtl"
    path.write_bytes(text.encode())
    return read_mtl(path)


@pytest.mark.parametrize(
    ("face", "corners"),
    [
        ("1 2 3", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]]]),
        ("1/2 2/3 3/4", [[[0, 1, -1], [1, 2, -1], [2, 3, -1]]]),
        ("1//1 2//1 3//1", [[[0, -1, 0], [1, -1, 0], [2, -1, 0]]]),
        ("1/1/1 2/2/1 3/3/1", [[[0, 0, 0], [1, 1, 0], [2, 2, 0]]]),
        ("-4/-4/-1 -3/-3/-1 -1/-1/-1", [[[0, 0, 0], [1, 1, 0], [3, 3, 0]]]),
        ("1/1 2 3//1", [[[0, 0, -1], [1, -1, -1], [2, -1, 0]]]),
        ("1/ 2// 3/3/", [[[0, -1, -1], [1, -1, -1], [2, 2, -1]]]),
        ("1 2 3 4", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]], [[0, -1, -1], [2, -1, -1], [3, -1, -1]]]),
        ("1 2 3 # a comment", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]]]),
        ("1 \\\n 2 \\\n3", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]]]),
        ("1 2 \\\r\n3\r", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]]]),
        ("\t1\t2 \t 3\t", [[[0, -1, -1], [1, -1, -1], [2, -1, -1]]]),
        ("1 2", []),
    ],
)
def test_face_corners(tmp_path: Path, face: str, corners: list[list[list[int]]]) -> None:
    obj = parse(tmp_path, f"{SQUARE}f {face}\n")
    np.testing.assert_array_equal(obj.corners, np.array(corners).reshape(-1, 3, 3))
    np.testing.assert_array_equal(obj.triangle_line, [9] * len(corners))


@pytest.mark.parametrize(
    "text",
    [
        SQUARE.replace("\n", "\r\n") + "f 1 2 3\r\n",
        SQUARE.replace(" ", "\t") + "f 1\t2\t3",
        SQUARE.replace("\n", " # comment\n").replace("v ", "  v   ") + "f 1 2 3\n",
        "# made by nobody\n\n" + SQUARE + "s off\ng a b\no c\nl 1 2\np 1\nf 1 2 3\n",
        SQUARE.replace("v 1 1 0", "v 1 1 0 1.0 0.5 0.25") + "f 1 2 3\n",
        SQUARE.replace("vt 1 1", "vt 1 1 0") + "f 1 2 3\n",
        "\ufeff" + SQUARE + "f 1 2 3\n",
    ],
    ids=["crlf", "tabs", "comments", "other-keys", "vertex-colours", "uvw", "byte-order-mark"],
)
def test_reads_the_same_square(tmp_path: Path, text: str) -> None:
    obj = parse(tmp_path, text)
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    np.testing.assert_array_equal(obj.vertices, np.pad(square, ((0, 0), (0, 1))))
    np.testing.assert_array_equal(obj.uvs, square)
    np.testing.assert_array_equal(obj.normals, [[0, 0, 1]])
    np.testing.assert_array_equal(obj.corners[:, :, 0], [[0, 1, 2]])


def test_negative_indices_count_from_where_they_stand(tmp_path: Path) -> None:
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 5 5\nv 6 5 5\nv 5 6 5\nf -3 -2 -1\n"
    np.testing.assert_array_equal(parse(tmp_path, text).corners[:, :, 0], [[0, 1, 2], [3, 4, 5]])


def test_a_vt_with_one_number_has_v_zero(tmp_path: Path) -> None:
    np.testing.assert_array_equal(parse(tmp_path, "vt 0.25\nvt 0.5 0.75\n").uvs, [[0.25, 0], [0.5, 0.75]])


def test_names_with_spaces_and_material_changes(tmp_path: Path) -> None:
    faces = "f 1 2 3\nusemtl dark red\nf 1 2 3 4\ng x\nusemtl\tblue \nf 1 3 4\nusemtl dark red\nf 2 3 4\n"
    obj = parse(tmp_path, f"mtllib my library.mtl\nmtllib b.mtl\n{SQUARE}{faces}")
    assert obj.material_names == ["", "dark red", "blue"]
    assert obj.libraries == ["my library.mtl", "b.mtl"]
    np.testing.assert_array_equal(obj.triangle_material, [0, 1, 1, 2, 1])
    np.testing.assert_array_equal(obj.triangle_line, [11, 13, 13, 16, 18])


def test_objects(tmp_path: Path) -> None:
    faces = "f 1 2 3\no left arm\nusemtl a\nf 1 2 3 4\no\tb\no c\nf 1 3 4\nf 1 2\no left arm\nf 2 3 4\n"
    obj = parse(tmp_path, SQUARE + faces)
    assert obj.object_names == ["", "left arm", "b", "c"]
    np.testing.assert_array_equal(obj.triangle_object, [0, 1, 1, 3, 1])
    assert (obj.triangle_object.dtype, parse(tmp_path, "o a\no b\n").object_names) == (np.int64, ["a", "b"])


@pytest.mark.parametrize(
    ("vertices", "colors"),
    [
        ("v 0 0 0 1 0.5 0\nv 1 0 0 0 0 0\nv 0 1 0 0.25 1 1\n", [[1, 0.5, 0], [0, 0, 0], [0.25, 1, 1]]),
        ("v 0 0 0 255 51 0\nv 1 0 0 1 0 0\nv 0 1 0 0 0 102\n", [[1, 0.2, 0], [1 / 255, 0, 0], [0, 0, 0.4]]),
        ("v 0 0 0 2 1 0\nv 1 0 0 1 0 0\nv 0 1 0 0 0 1\n", np.array([[2, 1, 0], [1, 0, 0], [0, 0, 1]]) / 255),
        ("v 0 0 0 127.5 51 0\nv 1 0 0 1 0 0\nv 0 1 0 0 0 102\n", [[0.5, 0.2, 0], [1 / 255, 0, 0], [0, 0, 0.4]]),
        ("v 0 0 0 1.000001 0.5 0\nv 1 0 0 0 1.02 0\nv 0 1 0 0 0 1\n", [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]),
        ("v 0 0 0 3.5 0.5 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\n", [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]),
        ("v 0 0 0 1 0 0 0.5\nv 1 0 0 0 1 0 1\nv 0 1 0 0 0 1 1\n", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("v 0 0 0 1 0 0 # red\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nv 9 9 9\n", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]),
        ("v 0 0 0 1 -0.5 0\nv 1 0 0 0 0 0\nv 0 1 0 0 0 0\nv 9 9 9 9 9 9\n",
         [[1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1]]),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", None),
        ("v 0 0 0 1\nv 1 0 0 1\nv 0 1 0 1\n", None),
        ("v 0 0 0 1 0 0\nv 1 0 0\nv 0 1 0 0 0 1\n", [[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
        ("v 0 0 0 255 0 0\nv 1 0 0\nv 0 1 0 0 0 51\n", [[1, 0, 0], [1, 1, 1], [0, 0, 0.2]]),
        ("v 0 0 0 1 0 0\nv 1 0 0 1 1 nan\nv 0 1 0 0 0 1\n", [[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
        ("v 0 0 0 1 0 0\nv 1 0 0 inf 0 0\nv 0 1 0 0 0 1\n", [[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
        ("v 0 0 0 1 0 0\nv 1 0 0 red green blue\nv 0 1 0 0 0 1\n", [[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n#MRGB 00ff000080008000\n#MRGB ff0000ff\n",
         [[1, 0, 0], [0, 128 / 255, 0], [0, 0, 1]]),
        ("v 0 0 0 0 1 1\nv 1 0 0\nv 0 1 0\n#MRGB ffff0000ffff0000ffff0000\n", [[0, 1, 1], [1, 0, 0], [1, 0, 0]]),
    ],
    ids=["unit", "bytes", "dark-bytes", "halves", "rounded", "bright", "alpha", "unused-without", "unused-with", "none",
         "w", "some", "some-bytes", "nan", "inf", "words", "mrgb", "mrgb-too"],
)  # fmt: skip
def test_vertex_colours(tmp_path: Path, vertices: str, colors: list[list[float]] | None) -> None:
    obj = parse(tmp_path, vertices + "f 1 2 3\n")
    np.testing.assert_array_equal(obj.vertices[:3], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    if colors is None:
        assert obj.colors is None
    else:
        assert obj.colors is not None
        np.testing.assert_allclose(obj.colors.rgb, colors, atol=1e-12)


def test_zbrush_writes_colours_behind_each_part(tmp_path: Path) -> None:
    parts = "v 9 9 9\nv 0 0 0\nv 1 0 0\n#MRGB FF0000FFFF00FF00\nv 0 1 0\n#MRGB ffff0000\n"
    colors = parse(tmp_path, parts + "f 2 3 4\n").colors
    assert colors is not None
    np.testing.assert_array_equal(colors.rgb, [[1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("line", ["ff0000", "ffff0000" * 4, "ffxx0000"])
def test_zbrush_colours_that_cannot_be_are_said(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    assert parse(tmp_path, f"v 0 0 0\nv 1 0 0\nv 0 1 0\n#MRGB {line}\nf 1 2 3\n").colors is None
    assert [message[:33] for message in caplog.messages] == ["mesh.obj, line 4: #MRGB needs eig"]


@pytest.mark.parametrize(
    ("second", "says"),
    [("v 1 0 0", 1), ("v 1 0 0 nan 0 0", 1), ("v 1 0 0 1 inf 0", 1), ("v 1 0 0 0 0 1", 0)],
)
def test_vertices_without_a_colour_are_said(
    tmp_path: Path, second: str, says: int, caplog: pytest.LogCaptureFixture
) -> None:
    parse(tmp_path, f"v 0 0 0 1 0 0\n{second}\nv 0 1 0 1 0 0\nv 5 5 5\nf 1 2 3\n")
    expected = "mesh.obj: 1 of 3 vertices have no colour, or one that is not finite, and are taken as white"
    assert caplog.messages == [expected] * says


@pytest.mark.parametrize(
    ("face", "corners", "says"),
    [
        ("1/5/1 2/2/1 3/3/1", [[0, -1, 0], [1, 1, 0], [2, 2, 0]], "texture vertices (vt)"),
        ("1/-5/1 2/2/1 3/3/1", [[0, -1, 0], [1, 1, 0], [2, 2, 0]], "texture vertices (vt)"),
        ("1/0/1 2/0/1 3/0/1", [[0, -1, 0], [1, -1, 0], [2, -1, 0]], "texture vertices (vt)"),
        ("1/1/2 2/2/0 3/3/-7", [[0, 0, -1], [1, 1, -1], [2, 2, -1]], "normals (vn)"),
        (f"1//{10**25} 2//-{10**25} 3//1", [[0, -1, -1], [1, -1, -1], [2, -1, 0]], "normals (vn)"),
    ],
)
def test_corners_that_name_what_is_not_there_are_drawn(
    tmp_path: Path, face: str, corners: list[list[int]], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    obj = parse(tmp_path, f"{SQUARE}f 1 2 3\nf {face}\n")
    np.testing.assert_array_equal(obj.corners[1], corners)
    np.testing.assert_array_equal(obj.dangling, [False, True])
    where = "that are not in the file (the first in line 11) and are taken as without"
    assert caplog.messages == [f"mesh.obj: 1 of 2 triangles name {says} {where}"]


def test_notches_of_polygons_stay_open(tmp_path: Path) -> None:
    u = [(4, 3), (3, 3), (3, 1), (1, 1), (1, 3), (0, 3), (0, 0), (4, 0)]
    obj = parse(tmp_path, "".join(f"v {x} {y} 0\n" for x, y in u) + "f 1 2 3\nf 1 2 3 4 5 6 7 8\nf 6 7 8\n")
    a, b, c = obj.vertices[obj.corners[:, :, 0]].swapaxes(0, 1)
    np.testing.assert_allclose(np.cross(b - a, c - a)[obj.triangle_line == 9].sum(0) / 2, [0, 0, 8])
    np.testing.assert_array_equal(obj.triangle_line, [8, *[9] * 6, 10])


def test_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    text = b"#  made\tby \xe9ric\nv  0.10 0 0\nv 1e0 0 0\nv 0 1 0 \n\ng  one two\nf 1 2 3\n\n"
    assert "\n".join(parse(tmp_path, text).lines).encode("utf-8", "surrogateescape") + b"\n" == text


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("v 0 0 zero\nv 1 0 0\n", 1, "v needs three numbers (x y z), not 'v 0 0 zero'; mend the line"),
        ("v 1 0 0\nv 0 0\nv 0 1 0\n", 2, "v needs three numbers (x y z), not 'v 0 0'"),
        ("v 0 0\nv 1 0\nv 0 1\nv 1 1\nv 2 2\nv 3 7\n", 1, "v 0 0"),
        ("v 0 0 0\nvt\nvt 0 0\nv 1 0 0\n", 2, "vt"),
        ("v 0 0 0\nvt u v\n", 2, "vt needs one number or more (u v w), not 'vt u v'"),
        ("v 0 0 0\nvn 0 1\nvn 0 0 1\n", 2, "vn needs three numbers (x y z), not 'vn 0 1'"),
        (SQUARE + "f 1 2 0\n", 10, "f names vertex 0, and OBJ counts from 1"),
        (SQUARE + "f 1 2 5\nf 1 2 3\n", 10, "f names vertex 5, and there are 4; mend"),
        (SQUARE + "f 1 2 3\nf 1 2 -5\n", 11, "f names vertex -5, and there are 4 before it; mend"),
        (SQUARE + f"f 1 2 {10**25}\n", 10, str(10**25)),
        (SQUARE + f"f 1 2 -{10**25}\n", 10, str(10**25)),
        (SQUARE + "f 1 2 three\n", 10, "three"),
        (SQUARE + "f 1 2 1.5\n", 10, "1.5"),
        (SQUARE + "f 1 2 1/1/1/1\n", 10, "1/1/1/1"),
        (SQUARE + "f 1 2 /1\n", 10, "/1"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse(tmp_path, text)
    message = str(caught.value)
    assert f"line {line}:" in message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("rest", "texture"),
    [
        ("skin.png", "skin.png"),
        ("my skin (final).png", "my skin (final).png"),
        ("textures\\skin.png", "textures\\skin.png"),
        ("  -s 2 2 1 skin.png ", "skin.png"),
        ("-s 1 1 1 -o 0.5 0 0 -clamp on my skin.png", "my skin.png"),
        ("-bm 1.5 -blendu off\t-mm 0 1 skin.png", "skin.png"),
        ("-o 1 2.png", "2.png"),
        ("-texres 512 -imfchan r C:\\a b\\1.png", "C:\\a b\\1.png"),
        ("-s 1e-1 1E0 +1 4 legs.png", "4 legs.png"),
        ("-colorspace sRGB skin.png", "skin.png"),
        ("-colorspace linear -s 2 2 -what is my skin.png", "my skin.png"),
        ("skin.png # the skin", "skin.png"),
        ('"my skin.png"', "my skin.png"),
        ("-bm 0.5 'my skin.png' # the skin", "my skin.png"),
        ("my skin.png -bm 0.5 -s 2 2 2", "my skin.png"),
        ("#1.png", "#1.png"),
        ('"', '"'),
    ],
)
def test_map_kd(tmp_path: Path, rest: str, texture: str) -> None:
    text = f"newmtl a\r\nKd 0.5 0.25 1\r\nmap_Kd {rest}\r\nnewmtl  b c \r\nKd 2 -1 0\n"
    read = materials(tmp_path, text)
    assert {name: mtl.color for name, mtl in read.items()} == {"a": (0.5, 0.25, 1.0), "b c": (1.0, 0.0, 0.0)}
    assert read["b c"].texture is None
    assert read["a"].texture is not None
    assert read["a"].texture.name == texture


@pytest.mark.parametrize(
    ("rest", "scale", "offset"),
    [
        ("t.png", (1, 1), (0, 0)),
        ("-s 2 3 4 -o 0.25 -0.5 9 t.png", (2, 3), (0.25, -0.5)),
        ("-s 2 -o 0.25 t.png", (2, 1), (0.25, 0)),
        ("-S 2 2 -s 3 t.png", (3, 1), (0, 0)),
        ("-s 1e999 -- -o -e t.png", (1, 1), (0, 0)),
        ("t.png -s 2 2", (2, 2), (0, 0)),
    ],
)
def test_where_map_kd_is_looked_up(
    tmp_path: Path, rest: str, scale: tuple[float, ...], offset: tuple[float, ...]
) -> None:
    texture = materials(tmp_path, f"newmtl a\nmap_Kd {rest}\n")["a"].texture
    assert texture is not None
    assert (tuple(texture.scale), tuple(texture.offset)) == (scale, offset)


def test_a_file_may_be_called_like_an_option(tmp_path: Path) -> None:
    texture = materials(tmp_path, 'newmtl a\nmap_Kd -s 2 -x y "a b.png" -bm 2 # c\n')["a"].texture
    assert texture is not None
    assert [name for name, _ in texture.names] == [
        '-x y "a b.png" -bm 2 # c', '"a b.png" -bm 2 # c', '"a b.png" -bm 2', '"a b.png"', "a b.png",
    ]  # fmt: skip


def test_mtl_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert materials(tmp_path, "\ufeffnewmtl a\nKd 0 0 1\n") == {"a": MtlMaterial((0.0, 0.0, 1.0))}


def test_kd_with_one_number_is_grey(tmp_path: Path) -> None:
    """The MTL specification: if only r is given, g and b are assumed to be equal to it."""
    assert materials(tmp_path, "newmtl a\nKd 0.5\n")["a"].color == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("kd", ["red", "", "0 0 x", "nan 0 0", "inf 0 nan", "xyz", "xyz red", "0 0"])
def test_malformed_kd(tmp_path: Path, kd: str) -> None:
    with pytest.raises(MeshError, match=r"line 2: Kd needs three numbers from 0 to 1 \(r g b\), not .*; mend the line"):
        materials(tmp_path, f"newmtl a\nKd {kd}\n")


def test_materials_keep_their_lines_and_maps(tmp_path: Path) -> None:
    lines = [
        *("\tNs 10", "# shiny", "map_Kd -clamp on my skin.png", "map_Ks  gloss.png ", "Map_Bump -bm 0.5 my bumps.png"),
        *("bump -imfchan l b.png", "disp -mm 0 1 d.tif", "decal e.png", "norm n.png", "map_Pr r.png", "map_Ke"),
        *("refl -type sphere -s 2 2 2 the sky.png", "map_aat on", "map_d a.png", "map_d b.png", "", "illum 2"),
    ]
    text = "# by nobody\nmap_Kd nobody.png\nnewmtl a\n" + "\n".join(lines) + "\nnewmtl b\nKd 1 0 0\nnewmtl a\nd 0.5\n"
    read = materials(tmp_path, text)
    assert list(read) == ["a", "b"]
    assert read["a"].lines == [*lines, "d 0.5"]
    assert read["b"].lines == ["Kd 1 0 0"]
    assert read["b"].maps == {}
    assert read["a"].texture is read["a"].maps["map_kd"]
    assert {key: statement.name for key, statement in read["a"].maps.items()} == {
        "map_kd": "my skin.png", "map_ks": "gloss.png", "map_bump": "my bumps.png", "bump": "b.png", "disp": "d.tif",
        "decal": "e.png", "norm": "n.png", "map_pr": "r.png", "refl": "the sky.png", "map_d": "b.png",
    }  # fmt: skip
