"""The extension for Blender, as far as it does without it: its models, its command lines, how it follows a run."""

from __future__ import annotations

import importlib
import io
import os
import re
import runpy
import stat
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import texopt
from texopt import __version__
from texopt.cli.main import main

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "blender" / "texopt"
FAKE = Path(__file__).with_name("fake_texopt.py")
WITHOUT_BLENDER = ("command", "install", "model", "png", "remote")


def load(name: str) -> Any:
    """A module of the extension, in a package of another name, whose __init__ needs no Blender."""
    package = types.ModuleType("texopt_extension")
    package.__path__ = [str(SOURCE)]
    sys.modules.setdefault("texopt_extension", package)
    return importlib.import_module(f"texopt_extension.{name}")


command, install, model, png, remote = (load(name) for name in WITHOUT_BLENDER)


def test_pixels_come_back_from_a_png() -> None:
    generator = np.random.default_rng(0)
    for channels in (3, 4):
        pixels = generator.integers(0, 256, (5, 7, channels), np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png.png(pixels)))), pixels)


def test_linear_colours_become_srgb() -> None:
    linear = np.array([0.0, 0.0031308, 0.2140, 1.0, 3.0])
    np.testing.assert_allclose(png.srgb(linear), [0.0, 0.04045, 0.5, 1.0, 1.0], atol=1e-4)


def square(shift: float, materials: list[str]) -> Any:
    """Two triangles and a quad beside them, with UVs that are x and y."""
    points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)], np.float64)
    points[:, 0] += shift
    corners = np.array([0, 1, 2, 0, 2, 3, 1, 4, 5, 2])
    uvs = points[corners][:, :2].astype(np.float32) / 4
    return model.Piece(points, np.array([3, 3, 4]), corners, uvs, materials)


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    looks = [model.Look("body", (1, 1, 1), "body.png"), model.Look("hat", (0.25, 0.5, 0.75))]
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "body.png")
    pieces = [square(0, ["body", "body", "hat"]), square(5, ["hat", "hat", "hat"])]
    model.write_model(tmp_path / "thing.obj", pieces, looks)
    mesh = texopt.load_mesh(tmp_path / "thing.obj")
    np.testing.assert_allclose(mesh.vertices, np.concatenate([piece.vertices for piece in pieces]))
    assert len(mesh.faces) == 8
    np.testing.assert_allclose(mesh.uvs[mesh.face_uvs], mesh.vertices[mesh.faces][..., :2] / 4, atol=1e-6)
    assert sorted(mesh.materials) == ["body", "hat"]
    assert len(np.unique(mesh.face_uvs[:4])) == 6  # corners that touch share their UVs: no seam
    colors = {mesh.maps[mesh.map_of(index)].name: np.asarray(mesh.originals()[mesh.map_of(index)])[:, 0, 0]
              for index in range(2)}  # fmt: skip
    np.testing.assert_allclose(colors["body"], np.array([9, 8, 7]) / 255, atol=1e-3)
    np.testing.assert_allclose(colors["hat"], [0.25, 0.5, 0.75], atol=1 / 255)


def test_mirrored_polygons_turn_round(tmp_path: Path) -> None:
    piece = square(0, ["a", "a", "a"])
    mirrored = piece.mirrored()
    assert mirrored.corners.tolist() == [2, 1, 0, 3, 2, 0, 2, 5, 4, 1]
    np.testing.assert_allclose(mirrored.uvs, piece.vertices[mirrored.corners][:, :2] / 4)
    np.testing.assert_array_equal(mirrored.mirrored().corners, piece.corners)


def test_what_shares_materials_is_one_model() -> None:
    assert model.groups([{"a"}, {"b"}, {"c"}]) == [[0], [1], [2]]
    assert model.groups([{"a"}, {"b"}, {"a", "c"}, {"c", "d"}]) == [[0, 2, 3], [1]]
    assert model.groups([{"a"}, {"b"}, {"a", "b"}]) == [[0, 1, 2]]
    assert model.groups([set(), {"a"}, set()]) == [[0], [1], [2]]


def program(path: Path) -> Path:
    """A program of that name that does nothing, in a folder that may be new."""
    path = path.with_suffix(".exe") if sys.platform == "win32" else path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_command_is_the_preferred_one_then_the_own_one_then_that_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(command.UserError, match="not installed; press Install"):
        command.find_command("", environment)
    on_path = program(tmp_path / "bin" / "texopt")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert command.find_command("", environment) == [str(on_path)]
    own = command.python_of(environment)
    program(own)
    assert command.find_command("", environment) == [str(own), "-m", "texopt"]
    python, other = program(tmp_path / "python3.11"), program(tmp_path / "other" / "texopt")
    assert command.find_command(str(python), environment) == [str(python), "-m", "texopt"]
    assert command.find_command(str(other), environment) == [str(other)]
    with pytest.raises(command.UserError, match="nowhere is no program"):
        command.find_command(str(tmp_path / "nowhere"), environment)


def test_every_option_is_one_that_texopt_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mesh that does not exist is what is complained about, and so the options are not."""
    full = {
        "regions": ["a", "not a"], "only": "a", "mask": str(tmp_path / "mask.png"), "preset": "draft", "strength": 0.25,
        "style_scale": 0.5, "texture_size": 512, "keep_colors": True, "seed": 3, "more": "--steps 5 --clouds 1",
        "cameras": tmp_path / "cameras.json",
    }  # fmt: skip
    meshes, paintings = [tmp_path / "a.obj", tmp_path / "b.obj"], [tmp_path / "1.png", tmp_path / "2.png"]
    for count, options in ((1, full), (1, {}), (2, {}), (2, {"more": "--steps 5"})):
        order = command.Order(meshes=meshes[:count], paintings=paintings, out=tmp_path / "out", **options)
        *arguments, last = order.arguments()
        assert last == "--remote"
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert "nrecognized" not in said
        assert "does not exist" in said
    with pytest.raises(command.UserError, match="further options"):
        command.Order(meshes=meshes, paintings=paintings, out=tmp_path, more='--steps "5').arguments()


def test_one_painting_may_have_the_rest() -> None:
    assert command.regions(["", ""]) == []
    assert command.regions(["a", "b"]) == ["a", "b"]
    assert command.regions(["a", "", "b=x.png"]) == ["a", "not a,b=x.png", "b=x.png"]
    for parts in (["a", "", ""], ["a"]):
        with pytest.raises(command.UserError):
            command.regions(parts)


class Run:
    """The fake texopt, followed by the extension."""

    def __init__(self, folder: Path, way: str, monkeypatch: pytest.MonkeyPatch, start: list[str] | None = None) -> None:
        monkeypatch.setenv("FAKE_TEXOPT", way)
        (folder / "a.mtl").write_text("newmtl one\nKd 1 1 1\nnewmtl two\nKd 1 1 1\n")
        order = command.Order(meshes=[folder / "a.obj"], paintings=[folder / "p.png"], out=folder / "out")
        self.remote = remote.Remote([*(start or [sys.executable, str(FAKE)]), *order.arguments()], folder)
        self.events: list[dict[str, Any]] = []

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition() and time.monotonic() < deadline:
            self.events += self.remote.events()
            time.sleep(0.01)
        assert condition(), self.events

    def until_kind(self, kind: str) -> dict[str, Any]:
        self.until(lambda: kind in self.kinds())
        return next(event for event in self.events if event["event"] == kind)

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]


def test_a_run_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, "3", monkeypatch)
    assert run.until_kind("exit") == {"event": "exit", "code": 0, "text": ""}
    assert run.kinds() == ["begin", *["step", "textures"] * 3, "end", "exit"]
    assert sorted(Path(file).name for file in run.until_kind("end")["files"]) == ["a_one.png", "a_two.png"]


def test_a_run_is_paused_resumed_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, "1000", monkeypatch)
    run.until_kind("step")
    run.remote.send("pause")
    assert run.until_kind("paused")["paused"]
    run.remote.send("resume")
    run.until(lambda: run.kinds().count("paused") == 2)
    run.remote.send("stop")
    assert run.until_kind("end")["interrupted"]
    run.until_kind("exit")
    run.remote.send("stop")  # nobody is there to hear it
    run.remote.kill()


def test_a_killed_run_is_gone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, "1000", monkeypatch)
    run.until_kind("begin")
    run.remote.kill()
    assert run.until_kind("exit")["code"] != 0


def test_a_run_behind_another_process_ends_with_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the programs that pip makes on Windows. The exit comes only when nobody has its standard output open."""
    launcher = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    run = Run(tmp_path, "1000", monkeypatch, [sys.executable, "-c", launcher, sys.executable, str(FAKE)])
    run.until_kind("step")
    run.remote.kill()
    run.until_kind("exit")


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("3,crash", "texopt ended before its time (code 1): MemoryError: no more of it"),
        ("3,old", "this texopt is too old, it has no --remote; press Install in texopt's preferences to update it"),
        ("3,error", ""),
        ("3,garbage", ""),
    ],
)
def test_an_end_before_its_time_is_explained_in_a_line(
    way: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, way, monkeypatch)
    assert run.until_kind("exit")["text"] == message
    assert ("error" in run.kinds()) == (way == "3,error")


def test_a_python_without_texopt_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, "3", monkeypatch, [sys.executable, "-I", "-S", "-m", "texopt"])
    assert run.until_kind("exit")["text"].startswith("texopt is not installed in")


def test_options_that_do_not_exist_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the real texopt, which says on standard error what is wrong with them."""
    start = [sys.executable, "-m", "texopt", "style", "a.obj", "p.png", "--stepss", "5", "--remote"]
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    following = remote.Remote(start, tmp_path)
    deadline, events = time.monotonic() + 60, []
    while "exit" not in [event["event"] for event in events] and time.monotonic() < deadline:
        events += following.events()
        time.sleep(0.01)
    assert "--stepss" in events[-1]["text"]
    assert "\n" not in events[-1]["text"]


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(command.UserError, match="nothing cannot be started"):
        remote.Remote([str(tmp_path / "nothing")], tmp_path)


def write_wheel(path: Path) -> Path:
    """A package that is called texopt and only says so."""
    info = "texopt-9.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("texopt/__init__.py", "")
        wheel.writestr("texopt/__main__.py", 'print("texopt 9")\n')
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: texopt\nVersion: 9\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def wait(installation: Any) -> Any:
    deadline = time.monotonic() + 120
    while not installation.done and time.monotonic() < deadline:
        time.sleep(0.02)
    assert installation.done
    return installation


@pytest.mark.slow
def test_the_environment_is_made_and_texopt_installed_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment, wheel = tmp_path / "environment", write_wheel(tmp_path / "texopt-9-py3-none-any.whl")
    assert "nowhere.whl" in wait(install.Install(sys.executable, environment, "/nowhere.whl")).error
    done = wait(install.Install(sys.executable, environment, str(wheel)))
    assert done.error == ""
    assert "texopt-9" in done.text
    found = command.find_command("", environment)
    with remote.start(found, cwd=tmp_path, stdout=-1) as process:
        assert process.communicate()[0].split() == [b"texopt", b"9"]


def test_installing_can_be_cancelled(tmp_path: Path) -> None:
    installation = install.Install(sys.executable, tmp_path / "environment", "texopt")
    installation.cancel()
    assert "was cancelled" in wait(installation).error


def test_the_archive_has_what_blender_wants(tmp_path: Path) -> None:
    build = runpy.run_path(str(ROOT / "scripts" / "blender.py"))["build"]
    archive = build(tmp_path)
    assert build(tmp_path / "again").read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as files:
        names = files.namelist()
        manifest = dict(re.findall(r"^(\w+) = (.*)$", files.read("blender_manifest.toml").decode(), re.MULTILINE))
    assert {f"{name}.py" for name in (*WITHOUT_BLENDER, "__init__")} <= set(names)
    assert not [name for name in names if "/" in name or name.endswith(".pyc")]
    assert manifest["version"] == f'"{__version__}"'
    assert manifest["license"] == '["SPDX:GPL-3.0-or-later"]'
    assert all(len(manifest[permission]) <= 64 + 2 for permission in ("files", "network"))


def test_every_file_of_the_extension_names_its_licence() -> None:
    sources = sorted(SOURCE.glob("*.py"))
    assert len(sources) > 8
    assert [file.name for file in sources if "GPL-3.0-or-later" not in file.read_text().splitlines()[0]] == []
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "blender" / "LICENSE").read_text()
