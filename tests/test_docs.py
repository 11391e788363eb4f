"""The examples of the documentation run."""

from __future__ import annotations

import math
import re
import runpy
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MESHES, STYLES
from PIL import Image

import texopt
from texopt.cli.main import main

ROOT = Path(__file__).parent.parent


def test_examples_of_the_drawing_operations_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's blocks are one program; its last line prints gradients."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "raster.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    image, pos = names["image"], names["pos"]
    assert isinstance(image, torch.Tensor)
    assert image.shape == (1, 256, 256, 3)
    assert isinstance(pos, torch.Tensor)
    assert pos.grad is not None
    assert pos.grad[..., :2].abs().min() > 0
    assert "tensor(" in capsys.readouterr().out


def test_the_description_for_package_indexes_has_nothing_that_is_only_in_the_repository() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["description"](readme)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "![" not in text
    captions = re.findall(r"^\*[^*].*\*$", readme, re.MULTILINE)
    assert len(captions) == len(re.findall(r"^!\[", readme, re.MULTILINE)) > 1
    assert [caption for caption in captions if caption in text] == []
    kept = [line for line in readme.splitlines() if "](" not in line and line not in captions]
    assert [line for line in kept if line not in text.splitlines()] == []


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def programs() -> list[Any]:
    """The Python blocks of each page, which are one program."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        if blocks and page.name != "raster.md":
            found.append(pytest.param(blocks, id=page.stem))
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("blocks", programs())
def test_python_examples_run(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two steps of small views, and files of their names."""
    for name in ("mtl", "png"):
        shutil.copy(MESHES / f"creature.{name}", tmp_path)
    shutil.copy(MESHES / "creature.obj", tmp_path / "spot.obj")
    shutil.copy(STYLES / "mosaic.jpg", tmp_path / "starry-night.jpg")
    monkeypatch.chdir(tmp_path)
    optimize, runs = texopt.optimize, []

    def quick(*args: Any, views: texopt.Views | None = None, **options: Any) -> Any:
        small = replace(views or texopt.Views(), size=64)
        runs.append(optimize(*args, **options | {"steps": 2, "views": small, "device": "cpu"}))
        return runs[-1]

    monkeypatch.setattr(texopt, "optimize", quick)
    names: dict[str, Any] = {"texopt": texopt}
    for block in blocks:
        exec(compile(block, "the page", "exec"), names)
    assert len(runs) == sum(block.count("optimize(") for block in blocks)
    for result in runs:
        losses = [step.terms["loss"] for step in result.history]
        assert len(losses) == 2
        assert all(map(math.isfinite, losses))
        assert losses[0] != losses[1]
    if any('export("outputs/spot.obj")' in block for block in blocks):
        assert len(texopt.load_mesh("outputs/spot.obj").faces) == len(texopt.load_mesh("spot.obj").faces)


INPUTS = {
    "MESH": "creature.obj", "IMAGE|MESH": "mosaic.jpg", "IMAGE": "mosaic.jpg", "PAINTING": "mosaic.jpg",
    "PHOTO": "brush.jpg",
    "TARGET": "blocks.4:17", "FILE.py:FUNCTION": "own.py:loss", "CAMERAS.json": "transforms.json", "DIR": "outputs",
    "JOBS.csv": "jobs.csv", "NAMES": "creature",
}  # fmt: skip


def command_lines() -> list[list[str]]:
    """The commands of all pages, with files in the place of capitals."""
    found = []
    for page in PAGES:
        lines = re.findall(r"^    (texopt [^`\n#]*)", page.read_text(), re.MULTILINE)
        found += [[INPUTS.get(word, word) for word in shlex.split(line)[1:]] for line in lines]
    unique = [list(line) for line in dict.fromkeys(map(tuple, found))]
    assert len(unique) > 40
    return unique


@pytest.mark.parametrize("arguments", command_lines(), ids=" ".join)
def test_command_lines_are_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    understood = []
    monkeypatch.setattr("texopt.cli.commands.run", lambda command, config: understood.append(config) or 0)
    assert main(arguments) == 0
    assert len(understood) == (arguments != ["backbones"])


# what makes a run short, and what a machine may lack
SHORT = {
    "style": ["--steps", "2", "--view-size", "64", "--texture-size", "64", "--coarse", "0"],
    "feature": ["--steps", "2", "--view-size", "64", "--texture-size", "64"],
    "image": ["--steps", "2", "--view-size", "64"],
    "interpolate": ["--steps", "2", "--size", "64"],
    "saliency": ["--view-size", "64"], "info": [], "unwrap": ["--texture-size", "64"], "render": [], "doctor": None,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", ["features.md", "images.md", "formats.md"])
def test_command_lines_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (*MESHES.glob("creature.*"), STYLES / "mosaic.jpg"):
        shutil.copy(path, tmp_path)
    Image.open(STYLES / "brush.jpg").resize((96, 64)).save(tmp_path / "brush.jpg")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^    (texopt [^`\n#]*)", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    ran = 0
    for line in lines:
        arguments = [INPUTS.get(word, word) for word in shlex.split(line)[1:]]
        short = SHORT.get(arguments[0])
        if short is None:  # a page in the browser, and what takes long and has tests of its own
            continue
        assert main([*arguments, *short]) == 0, line
        ran += 1
    assert ran > 2


def test_page_names_every_public_operation() -> None:
    import texopt.raster

    page = (ROOT / "docs" / "raster.md").read_text()
    assert [name for name in texopt.raster.__all__ if name not in page] == []
