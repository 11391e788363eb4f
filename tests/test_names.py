"""Names of files: any that the system has come back from config.yaml, and those that cannot be written are known before
the first step, as are files that would be replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from conftest import STYLES, check_one_line, slow
from PIL import Image

from texopt import FeatureExtractor, load_mesh
from texopt.cli.commands import running
from texopt.cli.main import main
from texopt.cli.options.saved import as_kind
from texopt.io.export import export
from texopt.system.yaml import read_yaml, yaml_text

pytestmark = pytest.mark.usefixtures("small_network")

TETRAHEDRON = """v 0 0 0
v 1 0 0
v 0 1 0
v 0 0 1
vt 0 0
vt 1 0
vt 0 1
f 1/1 2/2 3/3
f 1/1 3/2 4/3
f 1/1 4/2 2/3
f 2/1 4/2 3/3
"""
QUICK = ["--steps", "1", "--texture-size", "64", "--view-size", "32", "--threads", "1", "--start", "original"]
WOODCUT = str(STYLES / "woodcut.jpg")
TEXTS = {
    "not UTF-8": os.fsdecode(b"a\xffb"), "YAML's line ends": "a\x85b\u2028c\u2029d", "line ends": "a\nb\r\nc",
    "controls": "\x1b[2J\x7f\x9f\ufeff", "any script": "é😀网", "spaces": " a  b\u00a0", "quotes": "\"'\\n: #",
    "none": "", "long": "a" * 90 + " " + "b" * 90 + "\x85 c",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names matter here."""
    monkeypatch.setattr("texopt.render.reached.COVERAGE_VIEWS", 8)
    for size in ("render.reached.COVERAGE_SIZE", "show.preview.CELL", "cli.tasks.mesh_task.VIDEO"):
        monkeypatch.setattr(f"texopt.{size}", 32)


def tetrahedron(path: Path) -> Path:
    path.write_text(TETRAHEDRON)
    return path


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_yaml_gives_texts_back(tmp_path: Path, text: str) -> None:
    values = {"style": [text, text], "mesh": text, "steps": 3, "clip": None, "unlit": True, "strength": 0.5}
    (tmp_path / "a.yaml").write_text(yaml_text(values), encoding="utf-8")
    found = read_yaml(tmp_path / "a.yaml", "it")
    assert list(found) == list(values)
    assert as_kind(tuple[Path, ...], found.pop("style")) == (Path(text), Path(text))
    assert as_kind(str, found.pop("mesh")) == text
    assert found == {"steps": 3, "clip": None, "unlit": True, "strength": 0.5}


@pytest.mark.skipif(os.name != "posix", reason="names that other systems do not have")
@pytest.mark.parametrize("kind", ["not UTF-8", slow("YAML's line ends")])
def test_a_run_of_any_name_is_the_same_again_from_its_config(tmp_path: Path, kind: str) -> None:
    try:
        mesh = tetrahedron(tmp_path / f"{TEXTS[kind]}.obj")
    except OSError:
        pytest.skip("this disk does not have such names")
    first, again = tmp_path / "first", tmp_path / "again"
    assert main(["style", str(mesh), WOODCUT, "--out", str(first), "--format", "obj,glb", *QUICK]) == 0
    assert main(["style", "--config", str(first / "config.yaml"), "--out", str(again)]) == 0
    names = sorted(path.name for path in first.iterdir())
    assert f"{mesh.stem}.glb" in names
    assert names == sorted(path.name for path in again.iterdir())
    for name in {*names} - {"history.csv", "config.yaml"}:  # which have times, and the folder
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


@pytest.mark.slow
def test_the_longest_name_of_a_mesh_is_that_of_its_results(tmp_path: Path) -> None:
    mesh, out = tetrahedron(tmp_path / f"{'n' * 251}.obj"), tmp_path / "out"
    for _ in range(2):  # again over what is there
        assert main(["style", str(mesh), WOODCUT, "--out", str(out), "--format", "obj,glb", *QUICK]) == 0
        assert {path.suffix for path in out.glob("n*")} == {".obj", ".mtl", ".png", ".glb"}


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch, extractor: FeatureExtractor) -> None:
    def computed(*_: object, **__: object) -> None:
        raise AssertionError("it is too late to refuse")

    for step in ("running.optimize", "meshes.draw", "meshes.export", "diagnosis.find"):
        monkeypatch.setattr(f"texopt.cli.commands.{step}", computed)
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.unwrap_faces", computed)
    monkeypatch.setattr("texopt.cli.commands.diagnosis.load_backbone", lambda *_: extractor)


N = "n" * 256
TOO_LONG = {
    "folder": ["style", "a.obj", WOODCUT, *QUICK, "--out", N],
    "material": ["style", "materials.obj", WOODCUT, *QUICK, "--out", "new"],
    "image": ["image", "--target", "act2:1", "--out", N],
    "unwrap": ["unwrap", "a.obj", "--out", f"new/{N}.obj"],
    "render": ["render", "a.obj", "--out", f"new/{N}.png"],
    "turntable": ["render", "a.obj", "--out", f"new/{N}.gif"],
    "saliency": ["saliency", "a.obj", "act2:1", "--out", f"new/{N[:-6]}.glb"],  # its preview's is longer
}


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize("arguments", TOO_LONG.values(), ids=TOO_LONG)
def test_a_name_that_is_too_long_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tetrahedron(Path("a.obj"))
    *faces, last = TETRAHEDRON.splitlines()
    two = "\n".join([*faces, f"usemtl {'m' * 70}", last, ""])
    long = f"{'n' * 200}.obj"
    Path(long).write_text(two)
    check_one_line([long if one == "materials.obj" else one for one in arguments], "File name too long; choose", capsys)
    assert sorted(os.listdir()) == ["a.obj", long]


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_folder_in_the_place_of_a_result_is_told_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mesh, out = tetrahedron(tmp_path / "a.obj"), tmp_path / "out"
    for name in ("a.glb", "timelapse.gif"):
        (out / name).mkdir(parents=True)
        arguments = ["style", str(mesh), WOODCUT, "--out", str(out), *QUICK, "--format", "obj,glb"]
        check_one_line([*arguments, "--turntable", "gif", "--timelapse", "gif"], f"{name}: it is a folder", capsys)
        (out / name).rmdir()
    assert os.listdir(out) == []


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize("command", ["style", "style by a link", "image", "mask"])
def test_a_run_does_not_replace_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tetrahedron(Path("a.obj"))
    painting = Path("out", "image.png" if command == "image" else "preview.png")
    painting.parent.mkdir()
    Image.open(WOODCUT).resize((64, 64)).save(painting)
    before = painting.read_bytes()
    if command == "style by a link":
        Path("painting.png").symlink_to(painting)
    arguments = {
        "style": ["style", "a.obj", str(painting), *QUICK],
        "style by a link": ["style", "a.obj", "painting.png", *QUICK],
        "image": ["image", str(painting), "--target", "act2:1"],
        "mask": ["style", "a.obj", WOODCUT, "--mask", str(painting), *QUICK],
    }[command]
    check_one_line([*arguments, "--out", "out"], "is a file that this run reads, and would be replaced", capsys)
    assert painting.read_bytes() == before
    assert os.listdir("out") == [painting.name]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that runs say they will write."""
    found: list[Path] = []
    check = running.check_names

    def kept(paths: Iterable[Path]) -> None:
        found.extend(paths)
        check(found)

    monkeypatch.setattr(running, "check_names", kept)
    return found


VIDEOS = ["--turntable", "gif", "--timelapse", "gif"]
RUNS: dict[str, list[str]] = {
    "mesh": ["style", "two.obj", WOODCUT, "--format", "obj,glb,png", *VIDEOS, *QUICK],
    "part": ["style", "two.glb", WOODCUT, "--format", "obj", "--only", "body", *QUICK],
    "image": ["image", "--target", "act2:1", "--size", "64", "--steps", "1", "--timelapse", "gif"],
    "frames": ["image", "--target", "act2:1", "--size", "64", "--steps", "1", "--frames", "2"],
    "interpolate": ["interpolate", "act2:1", "act2:2", "--size", "64", "--steps", "1", "--frames", "2"],
}


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
def test_what_is_written_is_what_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: list[Path], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    *faces, last = TETRAHEDRON.splitlines()
    lines = ["mtllib two.mtl", *faces[:7], "usemtl body", *faces[7:], "usemtl hat", last, ""]
    Path("two.obj").write_text("\n".join(lines))
    Path("two.mtl").write_text("newmtl body\nmap_Kd skin.png\nnewmtl hat\nmap_Kd skin.png\n")
    Image.new("RGB", (4, 4), "red").save("skin.png")
    mesh = load_mesh("two.obj", texture_size=64)
    export(mesh, [torch.rand(3, 8, 8) for _ in mesh.maps], "two.glb")
    out = Path("out")
    assert main([*arguments, "--out", str(out)]) == 0
    assert {*planned} == {*out.iterdir(), out / "checkpoint.safetensors"}
