"""texopt info, render, unwrap, and the options of runs that concern what goes in and out."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import MESHES, STYLES, check_one_line
from PIL import Image

import texopt
from texopt.cli.commands.meshes import _before
from texopt.cli.main import main

KNOT, TEAPOT, WOODCUT = str(MESHES / "torus_knot.obj"), str(MESHES / "teapot.obj"), str(STYLES / "woodcut.jpg")
SMALL = ["--steps", "2", "--view-size", "64", "--texture-size", "64"]
SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TWO = f"mtllib m.mtl\n{SQUARE}v 0 0 1\nusemtl red\nf 1/1 2/2 3/3\nusemtl blue\nf 1/1 3/3 4/4\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, small_originals: None, quick_runs: None) -> None:
    monkeypatch.setattr("texopt.cli.tasks.mesh_task.VIDEO", 48)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two triangles of two materials."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nmap_Kd blue.png\n")
    Image.new("RGB", (64, 64), (0, 0, 255)).save(tmp_path / "in" / "blue.png")
    (tmp_path / "in" / "two.obj").write_text(TWO)
    return tmp_path / "in" / "two.obj"


def document(path: Path) -> dict:
    """The JSON of a GLB."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])


def test_info_is_a_table(two: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["info", str(two)]) == 0
    out = capsys.readouterr().out
    for text in (
        "two.obj",
        "red",
        "plain #ff0000",
        "blue",
        "64x64 texture",
        "4 open edges",
        "m.mtl",
        "blue.png",
        "fine",
    ):
        assert text in out, text
    assert main(["info", KNOT]) == 0
    assert "closed" in capsys.readouterr().out


@pytest.mark.parametrize(("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG")])
def test_render_writes_a_still(tmp_path: Path, ending: str, kind: str) -> None:
    out = tmp_path / f"a.{ending}"
    assert main(["render", KNOT, "--azimuth", "90", "--elevation", "0", "--size", "96", "--out", str(out)]) == 0
    image = Image.open(out)
    assert (image.format, image.size) == (kind, (96, 96))
    assert np.asarray(image).std() > 20


def test_render_turns_with_the_azimuth(tmp_path: Path) -> None:
    pictures = []
    for azimuth in ("0", "360", "120"):
        assert main(["render", TEAPOT, "--azimuth", azimuth, "--size", "64", "--out", str(tmp_path / "a.png")]) == 0
        pictures.append(np.asarray(Image.open(tmp_path / "a.png")).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.abs(pictures[0] - pictures[2]).max() > 50


def test_render_writes_a_turntable(tmp_path: Path) -> None:
    assert main(["render", KNOT, "--size", "48", "--out", str(tmp_path / "a.gif")]) == 0
    with Image.open(tmp_path / "a.gif") as video:
        assert video.n_frames > 40


def test_unwrap_carries_the_textures_over(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = two.parent.parent / "out" / "new.obj"
    assert main(["unwrap", str(two), "--out", str(out)]) == 0
    assert "of the texture is used" in capsys.readouterr().out
    mesh = texopt.load_mesh(out)
    assert len(mesh.maps) == 1
    u, v = mesh.uvs[mesh.face_uvs].mean(1).T
    image = mesh.maps[0].original
    height, width = image.shape[:2]
    colors = image[((1 - v) * height).astype(int), (u * width).astype(int)]
    np.testing.assert_array_equal(colors, [[255, 0, 0], [0, 0, 255]])


def test_unwrap_leaves_what_is_skipped(two: Path) -> None:
    out = two.parent.parent / "out" / "new.obj"
    assert main(["unwrap", str(two), "--out", str(out), "--skip", "blue"]) == 0
    mesh = texopt.load_mesh(out)
    np.testing.assert_array_equal(mesh.uvs[mesh.face_uvs[1]], [[0, 0], [1, 1], [0, 1]])
    assert (out.parent / "blue.png").read_bytes() == (two.parent / "blue.png").read_bytes()


def test_formats_videos_and_the_config(two: Path) -> None:
    out = two.parent.parent / "out"
    options = ["--format", "obj,glb,png", "--unlit", "--turntable", "gif", "--timelapse", "gif", "--bits", "16"]
    assert main(["style", str(two), WOODCUT, "--out", str(out), *SMALL, *options]) == 0
    made = {path.name for path in out.iterdir()}
    assert {
        "two.obj",
        "two.glb",
        "two_red.png",
        "two_blue.png",
        "turntable.gif",
        "timelapse.gif",
        "viewer.html",
    } <= made
    assert (out / "two_red.png").read_bytes()[24:26] == b"\x10\x02", "16 bits, RGB"
    scene = document(out / "two.glb")
    assert scene["extensionsUsed"] == ["KHR_materials_unlit"]
    assert [material["name"] for material in scene["materials"]] == ["red", "blue"]
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["format"] == "obj,glb,png"
    again = two.parent.parent / "again"
    assert main(["style", "--config", str(out / "config.yaml"), "--out", str(again)]) == 0
    assert (again / "two.glb").read_bytes() == (out / "two.glb").read_bytes()


def test_masks_of_materials_reach_the_run(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two.parent)
    Image.new("L", (64, 64)).save("black.png")
    out = two.parent.parent / "out"
    assert main(["style", "two.obj", WOODCUT, "--mask", "blue=black.png", "--out", str(out), *SMALL]) == 0
    assert (np.asarray(Image.open(out / "two_blue.png")) == [0, 0, 255]).all()
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["mask"] == f"blue={(two.parent / 'black.png').resolve()}"


BAD = [
    (["info", "missing.obj"], "missing.obj does not exist"),
    (["info", WOODCUT], "not a mesh format"),
    (["render", KNOT, "--size", "0"], "size has to be between"),
    (["render", KNOT, "--out", "a.bmp"], "the ending has to be one of .png"),
    (["render", KNOT, "--out", "/dev/null/a.png"], "cannot write"),
    (["render", KNOT, "--out", str(MESHES / "torus_knot.png")], "is a file of the mesh"),
    (["unwrap", "missing.obj"], "does not exist"),
    (["unwrap", KNOT, "--out", "a.fbx"], "the ending has to be one of"),
    (["unwrap", KNOT, "--out", KNOT], "would overwrite"),
    (["view", "."], "has no model"),
    (["style", KNOT, WOODCUT, "--format", "fbx"], "format has to be of obj, glb, png"),
    (["style", KNOT, WOODCUT, "--format", ","], "format is empty"),
    (["style", KNOT, WOODCUT, "--turntable", "avi"], "gif or mp4"),
    (["style", KNOT, WOODCUT, "--only", "leather"], "has no material 'leather'; it has torus_knot"),
    (["style", KNOT, WOODCUT, "--skip", "torus*"], "nothing to optimise"),
    (["style", KNOT, WOODCUT, "--mask", "missing.png"], "missing.png does not exist"),
    (["style", KNOT, WOODCUT, "--mask", f"leather={WOODCUT}"], "no texture 'leather'"),
    (["style", KNOT, WOODCUT, "--unwrap", "--mask", WOODCUT], "a mask is painted on UVs"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: value if isinstance(value, str) else None)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    check_one_line([*arguments, *(["--texture-size", "64"] if arguments[0] == "style" else [])], message, capsys)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_live_page_without_viser_is_one_line(
    two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    out = two.parent.parent / "out"
    assert main(["style", str(two), WOODCUT, "--live", "--out", str(out), *SMALL]) == 2
    assert "pip install 'texopt[viewer]'" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_the_live_page_changes_no_byte(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("viser")
    from texopt.show.live import LivePage

    monkeypatch.setattr(LivePage, "wait", lambda page: None)
    folders = [two.parent.parent / name for name in ("with", "without")]
    assert main(["style", str(two), WOODCUT, "--live", "--port", "0", "--out", str(folders[0]), *SMALL]) == 0
    assert main(["style", str(two), WOODCUT, "--out", str(folders[1]), *SMALL]) == 0
    assert (folders[0] / "two_red.png").read_bytes() == (folders[1] / "two_red.png").read_bytes()


def test_info_knows_turned_faces_and_shows_names_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "a.obj").write_text(SQUARE + "usemtl Metal[gold][/b]\nf 1/1 2/2 3/3\nf 1/1 4/4 3/3\n")
    assert main(["info", str(tmp_path / "a.obj")]) == 0
    out = capsys.readouterr().out
    assert "Metal[gold][/b]" in out
    assert "1 inconsistently turned edges" in out
    assert "4 open edges" in out


@pytest.mark.parametrize("unwrap", [False, True])
def test_before_is_shown_only_on_its_own_uvs(two: Path, unwrap: bool) -> None:
    out = two.parent.parent / "out"
    assert main(["style", str(two), WOODCUT, "--out", str(out), *SMALL, *(["--unwrap"] if unwrap else [])]) == 0
    before = _before(out, texopt.load_mesh(out / "two.obj"))
    if unwrap:
        assert before is None
    else:
        assert before is not None
        assert [picture.getpixel((0, 0)) for picture in before] == [(255, 0, 0), (0, 0, 255)]


def test_unwrap_makes_no_texture_coarser(two: Path) -> None:
    out = two.parent.parent / "out" / "new.obj"
    assert main(["unwrap", str(two), "--out", str(out), "--texture-size", "64"]) == 0
    with Image.open(out.with_suffix(".png")) as image:
        assert image.size == (128, 128), "what the textures were carried over at"


def test_info_on_uvs_that_are_not_finite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "a.obj").write_text(SQUARE.replace("vt 1 1", "vt nan 1") + "f 1/1 2/2 3/3\nf 1/1 2/2 4/4\n")
    assert main(["info", str(tmp_path / "a.obj")]) == 0
    assert "missing on 1 faces" in capsys.readouterr().out


def test_render_zooms_into_the_middle(tmp_path: Path) -> None:
    """Twice as close is the middle half, at twice the size."""
    whole, near = tmp_path / "whole.png", tmp_path / "near.png"
    knot = str(MESHES / "torus_knot.obj")
    assert main(["render", knot, "--size", "256", "--out", str(whole)]) == 0
    assert main(["render", knot, "--size", "128", "--zoom", "2", "--out", str(near)]) == 0
    middle = np.asarray(Image.open(whole).convert("RGB"), np.float64)[64:192, 64:192]
    difference = np.abs(middle - np.asarray(Image.open(near).convert("RGB"), np.float64)).mean()
    assert difference < 2
    with_zoom_0 = main(["render", knot, "--zoom", "0", "--out", str(near)])
    assert with_zoom_0 == 2
