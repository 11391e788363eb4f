"""Material libraries of OBJ files: found, decoded and meant as the programs that wrote them did."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texopt import Mesh, load_mesh
from texopt.io.text import alike, read_text

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
RED, GREEN = "newmtl a\nKd 1 0 0\n", "newmtl a\nKd 0 1 0\n"


@pytest.fixture(autouse=True)
def _hear(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="texopt")


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def picture(path: Path, color: str = "red") -> None:
    Image.new("RGB", (2, 2), color).save(path)


def square(folder: Path, head: str | bytes, use: str | bytes = "usemtl a\n") -> Mesh:
    parts = [part if isinstance(part, bytes) else part.encode() for part in (head, SQUARE, use, FACE)]
    return load_mesh(write(folder / "new.obj", b"".join(parts)))


def color(mesh: Mesh) -> tuple[int, ...]:
    return tuple(mesh.maps[0].original[0, 0].tolist())


# which library


def test_the_first_library_that_has_a_material_counts(tmp_path: Path) -> None:
    """As the specification has it: the first file listed is searched first."""
    write(tmp_path / "one.mtl", RED)
    write(tmp_path / "two.mtl", GREEN + "newmtl b\nKd 0 0 1\n")
    assert color(square(tmp_path, "mtllib one.mtl two.mtl\n")) == (255, 0, 0)
    assert color(square(tmp_path, "mtllib two.mtl one.mtl\n")) == (0, 255, 0)
    assert color(square(tmp_path, "mtllib one.mtl\nmtllib two.mtl\n")) == (255, 0, 0)
    assert color(square(tmp_path, "mtllib one.mtl two.mtl\n", "usemtl b\n")) == (0, 0, 255)


@pytest.mark.parametrize(
    ("line", "found", "others", "missing"),
    [
        ("lib b.mtl lib c.mtl", ["lib b.mtl", "lib c.mtl"], [], []),
        ("lib b.mtl lib c.mtl", ["lib b.mtl"], [], ["lib c.mtl"]),
        ("lib b.mtl lib c.mtl", ["lib c.mtl"], [], ["lib b.mtl"]),
        ("a b.mtl", ["a b.mtl"], ["b.mtl"], []),
        ('"lib b.mtl" c.mtl', ["lib b.mtl", "c.mtl"], [], []),
        ("'c.mtl'", ["c.mtl"], [], []),
        ('"c.mtl"', ['"c.mtl"'], ["c.mtl"], []),
        ("c.mtl # of the year 2003", ["c.mtl"], [], []),
        ("c  d.mtl\te.mtl", ["c  d.mtl", "e.mtl"], [], []),
        ("x.mtl y z.mtl c.mtl", ["c.mtl"], [], ["x.mtl", "y z.mtl"]),
        ("no ending", [], ["c.mtl"], ["no ending"]),
    ],
)
def test_a_line_of_libraries_is_the_longest_names_that_are_there(
    tmp_path: Path, line: str, found: list[str], others: list[str], missing: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    for name in found + others:
        write(tmp_path / name, RED)
    mesh = square(tmp_path, f"mtllib {line}\n")
    assert [file.name for file in mesh.files] == ["new.obj", *found]
    said = [text.partition("library ")[2].partition(" is missing")[0] for text in caplog.messages if "missing" in text]
    assert said == missing


def test_the_libraries_that_are_there_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "other.mtl", RED)
    write(tmp_path / "Third.MTL", RED)
    assert color(square(tmp_path, "mtllib old.mtl\n")) == (204, 204, 204)
    assert caplog.messages == [
        "new.obj: the material library old.mtl is missing (there is Third.MTL, other.mtl), "
        "its materials are taken as grey"
    ]


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("mtllib old.mtl\n", "new.obj: its material library old.mtl is missing; taking new.mtl, which is beside it"),
        ("", "new.obj: it names no mtllib; taking new.mtl, which is beside it"),
    ],
)
def test_a_library_called_like_the_mesh_is_taken_for_one_that_is_missing(
    tmp_path: Path, head: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "new.mtl", RED)
    assert color(square(tmp_path, head)) == (255, 0, 0)
    assert caplog.messages == [says]


def test_a_library_outside_of_the_folder_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "secret.mtl", RED)
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "new.mtl").symlink_to(tmp_path / "secret.mtl")
    assert color(square(tmp_path / "mesh", "")) == (204, 204, 204)


# which material


@pytest.mark.parametrize(
    ("mtl", "use", "expected", "says"),
    [
        (RED, "", (255, 0, 0), "new.obj: it has no usemtl; taking 'a', the only material there is"),
        (RED, "usemtl b\n", (255, 0, 0),
         "new.obj: no material library has 'b'; taking 'a', the only material there is"),
        (RED + "newmtl c\n", "usemtl b\n", (204,) * 3, "new.obj: no material library has 'b'; it is taken as grey"),
        (RED + "newmtl c\n", "", (204,) * 3, "new.obj: faces without a usemtl are taken as grey (there is a, c)"),
        (RED + "newmtl c\n", "usemtl A\n", (255, 0, 0), "new.obj: no material library has 'A'; taking 'a'"),
        (RED + "newmtl c\n", 'usemtl "a" # red\n', (255, 0, 0),
         "new.obj: no material library has '\"a\" # red'; taking 'a'"),
        (RED + "newmtl A\n", "usemtl A\n", (204,) * 3, None),
    ],
)  # fmt: skip
def test_the_material_that_is_meant(
    tmp_path: Path, mtl: str, use: str, expected: tuple[int, ...], says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "m.mtl", mtl)
    assert color(square(tmp_path, "mtllib m.mtl\n", use)) == expected
    assert caplog.messages == ([] if says is None else [says])


def test_kd_by_its_spectrum_is_said_where_it_would_show(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "t.png")
    write(tmp_path / "m.mtl", "newmtl a\nKd spectral f.rfl 1.0\nmap_Kd t.png\n")
    assert color(square(tmp_path, "mtllib m.mtl\n")) == (255, 0, 0)
    assert caplog.messages == []
    write(tmp_path / "m.mtl", "newmtl a\nKd spectral f.rfl 1.0\n")
    assert color(square(tmp_path, "mtllib m.mtl\n")) == (204, 204, 204)
    assert caplog.messages == ["m.mtl, line 2: a colour by its spectrum (Kd spectral) is not read; a is taken as grey"]


@pytest.mark.parametrize(
    ("xyz", "rgb"),
    [("0.9505 1 1.089", (255, 255, 255)), ("0.2126 0.2126 0.2126", None), ("0.4124 0.2126 0.0193", (255, 0, 0)),
     ("0.1805 0.0722 0.9505", (0, 0, 255)), ("0 0 0", (0, 0, 0))],
)  # fmt: skip
def test_kd_in_xyz_is_converted(tmp_path: Path, xyz: str, rgb: tuple[int, ...] | None) -> None:
    """The primaries and white of sRGB (IEC 61966-2-1); one number stands for all three."""
    write(tmp_path / "m.mtl", f"newmtl a\nKd xyz {xyz}\n")
    shown = color(square(tmp_path, "mtllib m.mtl\n"))
    if rgb is None:
        write(tmp_path / "m.mtl", f"newmtl a\nKd xyz {xyz.split()[0]}\n")
        rgb = color(square(tmp_path, "mtllib m.mtl\n"))
        assert 100 < min(rgb) < max(rgb) < 150
    np.testing.assert_allclose(shown, rgb, atol=1)


# encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_texts_are_read_in_their_encoding(tmp_path: Path, encoding: str, ends: str) -> None:
    text = "newmtl rot é漢\nmap_Kd Größe.png\n"
    assert read_text(write(tmp_path / "m.mtl", text.replace("\n", ends).encode(encoding))) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_obj_and_its_library_may_be_in_utf_16(tmp_path: Path, encoding: str) -> None:
    picture(tmp_path / "größe.png")
    write(tmp_path / "m.mtl", "newmtl é\nmap_Kd größe.png\n".encode(encoding))
    text = f"mtllib m.mtl\n{SQUARE}usemtl é\n{FACE}"
    mesh = load_mesh(write(tmp_path / "new.obj", text.encode(encoding)))
    assert color(mesh) == (255, 0, 0)
    assert mesh.materials == ("é",)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("gbk", "纹理.png"), ("shift_jis", "テクスチャ.png"), ("cp1252", "größe.png"), ("cp1251", "кожа.png")],
)  # fmt: skip
@pytest.mark.parametrize("unpacked", [True, False])
def test_files_are_found_by_names_in_older_encodings(tmp_path: Path, encoding: str, name: str, unpacked: bool) -> None:
    """The file's own name is Unicode, or the same bytes as in the text."""
    picture(tmp_path / "t.png")
    (tmp_path / "t.png").rename(
        tmp_path / (name if unpacked else name.encode(encoding).decode("utf-8", "surrogateescape"))
    )
    write(tmp_path / "m.mtl", b"newmtl a\nmap_Kd " + name.encode(encoding) + b"\n")
    assert color(square(tmp_path, "mtllib m.mtl\n")) == (255, 0, 0)


def test_materials_are_found_by_names_in_other_encodings(tmp_path: Path) -> None:
    write(tmp_path / "m.mtl", "newmtl Größe\nKd 1 0 0\nnewmtl b\n")
    mesh = square(tmp_path, "mtllib m.mtl\n", "usemtl Größe\n".encode("latin-1"))
    assert color(mesh) == (255, 0, 0)
    assert mesh.materials == ("Größe",), "it can be typed"
    assert color(square(tmp_path, "mtllib m.mtl\n", "usemtl Gro\u0308\u00dfe\n".replace("Gro", "Gro"))) == (255, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("a.png", "A.PNG", True), ("a.png", "b.png", False), ("gr\udcf6sse", "größe", False),
     ("gr\udcf6\udcdfe", "größe", True), ("\udcce\udcc6\udcc0\udced", "纹理", True), ("o\u0308", "ö", True),
     ("\udcff", "\udcff", True), ("\udcff", "x", False)],
)  # fmt: skip
def test_alike(one: str, other: str, same: bool) -> None:
    assert alike(one, other) is alike(other, one) is same
