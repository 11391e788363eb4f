from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import MESHES, STYLES, check_one_line

import texopt
from texopt.cli.main import main
from texopt.system.images import load_image

SMALL = ["--steps", "3", "--view-size", "64", "--texture-size", "64"]
KNOT, WOODCUT = str(MESHES / "torus_knot.obj"), str(STYLES / "woodcut.jpg")
PICTURES = {"preview.png", "viewer.html", "loss.png"}
FILES = {"torus_knot.obj", "torus_knot.mtl", "torus_knot.png", "history.csv", "config.yaml"} | PICTURES


def test_style_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a folder"
    assert main(["style", KNOT, WOODCUT, "--out", str(out), *SMALL]) == 0
    assert {path.name for path in out.iterdir()} == FILES
    assert "torus_knot.obj" in capsys.readouterr().out
    assert load_image(out / "torus_knot.png").size == (64, 64)
    history = (out / "history.csv").read_text().splitlines()
    assert history[0] == "step,seconds,style,patches,content,seam,loss"
    assert len(history) == 4
    assert len(texopt.load_mesh(out / "torus_knot.obj").faces) == len(texopt.load_mesh(KNOT).faces)

    # again from its config, with one option changed: the folder is the only difference
    again = tmp_path / "again"
    assert main(["style", "--config", str(out / "config.yaml"), "--out", str(again)]) == 0
    assert (again / "torus_knot.png").read_bytes() == (out / "torus_knot.png").read_bytes()
    first, second = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (out, again))
    assert first.pop("out") != second.pop("out")
    assert first == second


@pytest.mark.slow
def test_the_default_folder_is_named_after_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["style", KNOT, WOODCUT, *SMALL, "--content-weight", "0", "--texture", "pixel"]) == 0
    assert {path.name for path in (tmp_path / "outputs" / "torus_knot_woodcut").iterdir()} == FILES


@pytest.mark.slow
@pytest.mark.parametrize("target", ["blocks.2:17", "tiger"])
def test_feature_end_to_end(tmp_path: Path, target: str) -> None:
    assert main(["feature", KNOT, target, "--out", str(tmp_path), *SMALL]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.slow
def test_custom_end_to_end(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("def red(view):\n    return -(view.image[:, 0] * view.mask[:, 0]).mean()\n")
    out = tmp_path / "out"
    assert (
        main(["custom", KNOT, f"{script}:red", "--out", str(out), "--learning-rate", "1", *SMALL[2:], "--steps", "30"])
        == 0
    )
    red, green, _ = np.asarray(load_image(out / "torus_knot.png")).reshape(-1, 3).mean(0)
    assert red > 180
    assert red > green
    assert (out / "history.csv").read_text().startswith("step,seconds,red,loss")


def script_with(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.py").write_text(text)
    return str(tmp_path / "mine.py")


BAD = [
    (["style", "missing.obj", WOODCUT], "missing.obj does not exist"),
    (["style", str(MESHES), WOODCUT], "is a directory"),
    (["style", WOODCUT, WOODCUT], "not a mesh format"),
    (["style", KNOT, "missing.jpg"], "missing.jpg does not exist"),
    (["style", KNOT, KNOT], "not an image"),
    (["style", KNOT, WOODCUT, "--backbone", "vgg99"], "unknown backbone"),
    (["style", KNOT, WOODCUT, "--device", "cuda:99"], "device"),
    (["style", KNOT, WOODCUT, "--device", "cpu", "--raster", "nvdiffrast"], "CUDA devices only"),
    (["style", KNOT, WOODCUT, "--texture-size", "0"], "texture size"),
    (["style", KNOT, WOODCUT, "--texture-size", "100000"], "texture size"),
    (["style", KNOT, WOODCUT, "--texture-size", "1000"], "try 512 or 1024"),
    (["style", KNOT, WOODCUT, "--steps", "0"], "steps"),
    (["style", KNOT, WOODCUT, "--view-size", "1"], "view_size"),
    (["style", KNOT, WOODCUT, "--threads", "0"], "threads"),
    (["style", KNOT, WOODCUT, "--seed", "99999999999999999999"], "seed has to be"),
    (["style", KNOT, WOODCUT, "--style-weight", "nan"], "weights have to be 0 or more"),
    (["style", KNOT, WOODCUT, "--style-scale", "0"], "scale"),
    (["style", KNOT, WOODCUT, "--elevation", "40", "20"], "elevation"),
    (["style", KNOT, WOODCUT, "--weights", "missing.pth"], "missing.pth does not exist"),
    (["style", KNOT, WOODCUT, "--view-size", "64", "--config"], "--config needs a value"),
    (["style", "--config", "missing.yaml"], "missing.yaml cannot be read"),
    (["style", KNOT, WOODCUT, "--out", "/dev/null/results"], "choose another --out"),
    (["style", KNOT, WOODCUT, "--out", str(MESHES)], "would overwrite"),
    (["feature", KNOT, "blocks.99:1"], "no layer 'blocks.99'"),
    (["feature", KNOT, "blocks.2:one"], "channel's number"),
    (["feature", KNOT, "blocks.2:9999"], "channels 0 to"),
    (["feature", KNOT, "tigger"], "did you mean"),
    (["custom", KNOT, "mine"], "FILE.py:FUNCTION"),
    (["custom", KNOT, "missing.py:red"], "missing.py does not exist"),
    (["paint", KNOT], "unknown command 'paint'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: value if isinstance(value, str) else None)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in MESHES.iterdir()}
    small = [] if arguments[0] == "paint" or "--view-size" in arguments else SMALL[2:4]
    check_one_line([*arguments, *small], message, capsys)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path: path.stat().st_mtime_ns for path in MESHES.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1", "no functions"), ("def blue(view): ...", "it has blue"), ("red = 3", "a function of a View")],
)
def test_a_file_without_the_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    assert main(["custom", KNOT, script_with(tmp_path, text) + ":red"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "is not one of"), ("command: feature", "is not one of"), ("speed: 3", "an option 'speed'"),
        ("steps: many", "steps cannot be 'many'"), ("steps: true", "steps cannot be True"), ("{", "cannot be read"),
        ("bits: 12", "bits cannot be 12"), ("texture: foo", "texture cannot be"), ("only: [a]", "only cannot be"),
        ("distance: 3", "distance cannot be"), ("distance: [1]", "distance cannot be"), ("mask: 3", "mask cannot be"),
        ("a: !!python/object/apply:os.system [exit]", "cannot be read"),
    ],
)  # fmt: skip
def test_a_config_that_is_no_good(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert main(["style", f"--config={tmp_path / 'config.yaml'}", KNOT, WOODCUT]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def red(view:\n", "mine.py, line 1: SyntaxError"),
        ("import nothing_of_that_name", "mine.py, line 1: ModuleNotFoundError"),
        ("def red(view):\n    raise ValueError('mine')", "mine.py, line 2: ValueError: mine"),
        ("def red(view):\n    return view.image.detach().mean()", "does not depend on the texture"),
        ("def red(view):\n    return view.image.mean() * float('nan')", "is not finite from the first step on"),
    ],
)
def test_an_objective_that_fails_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    out = tmp_path / "out"
    assert main(["custom", KNOT, script_with(tmp_path, text) + ":red", "--out", str(out), *SMALL]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not out.exists()


def test_backbones_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    out = capsys.readouterr().out
    for name in ("efficientnet_lite0", "vgg16", "vgg19", "googlenet", "timm:NAME", "Apache-2.0"):
        assert name in out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "texopt style MESH IMAGE" in capsys.readouterr().out


def test_help_does_not_import_torch() -> None:
    for command in ("--help", "style --help"):
        code = f"import sys; from texopt.cli.main import main\ntry: main({command.split()!r})\n"
        code += "finally: assert 'torch' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "MESH" in done.stdout


@pytest.mark.slow
def test_module_and_script_are_the_command(tmp_path: Path) -> None:
    version = subprocess.run([sys.executable, "-m", "texopt", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == f"texopt {texopt.__version__}"
    script = MESHES.parent / "scripts" / "style_transfer.py"
    shutil.copy(script, tmp_path)
    done = subprocess.run(
        [sys.executable, script.name, KNOT, WOODCUT, "--steps", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "torus_knot_woodcut" / "torus_knot.png").is_file()


def test_public_names() -> None:
    assert texopt.__all__ == sorted(texopt.__all__)
    assert all(getattr(texopt, name) is not None for name in texopt.__all__)
    assert {"load_mesh", "optimize", "style", "content", "FourierTexture", "TexoptError"} <= set(texopt.__all__)
    with pytest.raises(AttributeError):
        texopt.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_no_module_has_the_name_of_a_public_function() -> None:
    """Else `texopt.NAME` may become the module once something has imported it."""
    package = Path(texopt.__file__).parent
    modules = {path.stem for path in package.rglob("*.py")} | {path.name for path in package.rglob("*/")}
    functions = {name for name in texopt.__all__ if inspect.isfunction(getattr(texopt, name))}
    assert len(functions) > 40
    assert functions & modules == set()


@pytest.mark.skipif(os.name != "posix", reason="pipes")
@pytest.mark.parametrize("arguments", [["--help"], ["style", "--help"]])
def test_a_reader_that_has_seen_enough(arguments: list[str]) -> None:
    """As in `texopt style --help | head`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "texopt", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
