"""The examples of the documentation run."""

from __future__ import annotations

import math
import re
import runpy
import shlex
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MESHES, STYLES, make_cube
from photographer import around, photograph, write_obj
from PIL import Image

import texopt
from texopt.cli.main import main
from texopt.io.export import export

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


ELSEWHERE = {"raster", "programs", "blender"}  # above, in test_remote.py, and for Blender's own Python


def programs() -> list[Any]:
    """The Python blocks of each page, which are one program."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        if blocks and page.stem not in ELSEWHERE:
            mark = [] if page.stem in ("README", "index") else [pytest.mark.slow]
            found.append(pytest.param(blocks, id=page.stem, marks=mark))
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("blocks", programs())
def test_python_examples_run(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two steps of small views, and files of their names."""
    for name in ("mtl", "png"):
        shutil.copy(MESHES / f"creature.{name}", tmp_path)
    shutil.copy(MESHES / "creature.obj", tmp_path / "spot.obj")
    shutil.copy(STYLES / "mosaic.jpg", tmp_path / "starry-night.jpg")
    (tmp_path / "meshes" / "styles").mkdir(parents=True)
    for name in ("creature.obj", "creature.mtl", "creature.png", "styles/brush.jpg"):
        shutil.copy(MESHES / name, tmp_path / "meshes" / name)
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
    for exported in re.findall(r'export\("(outputs/\w+.obj)"\)', "".join(blocks)):
        assert len(texopt.load_mesh(exported).faces) == len(texopt.load_mesh("spot.obj").faces)


INPUTS = {
    "MESH": "creature.obj", "IMAGE|MESH": "mosaic.jpg", "IMAGE": "mosaic.jpg", "PAINTING": "mosaic.jpg",
    "PHOTO": "brush.jpg",
    "TARGET": "blocks.4:17", "FILE.py:FUNCTION": "own.py:loss", "CAMERAS.json": "transforms.json", "DIR": "outputs",
    "JOBS.csv": "jobs.csv", "NAMES": "creature",
}  # fmt: skip


def lines_of(page: Path) -> list[str]:
    """The commands of a page."""
    return re.findall(r"^    (texopt [^`\n#]*)", page.read_text(), re.MULTILINE)


def command_lines() -> list[list[str]]:
    """The commands of all pages, with files in the place of capitals."""
    found = [[INPUTS.get(word, word) for word in shlex.split(line)[1:]] for page in PAGES for line in lines_of(page)]
    unique = [list(line) for line in dict.fromkeys(map(tuple, found))]
    assert len(unique) > 40
    return unique


@pytest.mark.parametrize("arguments", command_lines(), ids=" ".join)
def test_command_lines_are_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    understood = []
    monkeypatch.setattr("texopt.cli.commands.run", lambda command, config, *_: understood.append(config) or 0)
    assert main(arguments) == 0
    assert len(understood) == (arguments != ["backbones"])


# what makes a run short; a page in the browser is not run
SHORT = {
    "style": ["--steps", "2", "--view-size", "64", "--texture-size", "64", "--coarse", "0"],
    "demo": ["--steps", "2", "--view-size", "64", "--texture-size", "64", "--coarse", "0"],
    "feature": ["--steps", "2", "--view-size", "64", "--texture-size", "64"],
    "custom": ["--steps", "2", "--view-size", "64", "--texture-size", "64"],
    "fit": ["--steps", "2", "--view-size", "64", "--texture-size", "64"],
    "image": ["--steps", "2", "--view-size", "64"],
    "interpolate": ["--steps", "2", "--size", "64"],
    "batch": ["--set", "steps=2", "view-size=64", "texture-size=64"],
    "saliency": ["--view-size", "64"], "evaluate": [], "unwrap": ["--texture-size", "64"],
    "info": [], "render": [], "backbones": [], "doctor": [], "view": None, "studio": None,
}  # fmt: skip
TABLE = """mesh,style,strength,texture-size,name
barrel.obj,mosaic.jpg,,,
chest.obj,mosaic.jpg,0.7,32,
creature.obj,"mosaic.jpg brush.jpg",0.4,,hero in rags
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with all files that the pages name."""
    shutil.copytree(MESHES, tmp_path / "meshes")
    for path in (*MESHES.glob("creature.*"), STYLES / "mosaic.jpg"):
        shutil.copy(path, tmp_path)
    for name in ("brush.jpg", "painting.jpg", "paint.png"):
        Image.open(STYLES / "brush.jpg").resize((96, 64)).save(tmp_path / name)
    head, last = (tmp_path / "creature.obj").read_text().split("usemtl creature\n")
    faces = last.splitlines(keepends=True)
    parts = ["usemtl body\n", *faces[::2], "usemtl hat\n", *faces[1::2]]
    (tmp_path / "creature.obj").write_text("".join([head, *parts]))
    material = (tmp_path / "creature.mtl").read_text()
    (tmp_path / "creature.mtl").write_text("".join(material.replace("creature\n", f"{n}\n") for n in ("body", "hat")))
    cube = make_cube()
    for name in ("barrel.obj", "chest.obj", "hero.glb"):
        export(cube, [torch.rand(3, 16, 16)], tmp_path / name)
    photograph(cube, tmp_path, around(8), (48, 64))
    for file in (tmp_path / f"{number}.png" for number in range(8)):  # what is not the cube is of one colour
        picture = np.array(Image.open(file).convert("RGBA"))
        picture[..., 3] = np.where((picture[..., :3] == picture[0, 0, :3]).all(-1), 0, 255)
        Image.fromarray(picture).save(file)
    write_obj(cube, tmp_path / "photographed.obj")
    (tmp_path / "jobs.csv").write_text(TABLE)
    (tmp_path / "own.py").write_text("def loss(view):\n    return (view.image * view.mask).mean()\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", [page for page in PAGES if lines_of(page)], ids=lambda page: page.stem)
def test_command_lines_run(page: Path) -> None:
    for line in lines_of(page):
        inputs = INPUTS | ({"MESH": "photographed.obj"} if "CAMERAS.json" in line else {})
        arguments = [inputs.get(word, word) for word in shlex.split(line)[1:]]
        short = SHORT[arguments[0]]
        if short is None or ("--ray" in arguments and not find_spec("ray")):
            continue
        if arguments[:2] == ["evaluate", "outputs"]:
            arguments[1] = styled()
        assert main([*arguments, *short]) == 0, line


def styled() -> str:
    """A folder with a result of `texopt style`."""
    assert main(["style", "creature.obj", "mosaic.jpg", *SHORT["style"], "--out", "styled"]) == 0
    return "styled"


def test_page_names_every_public_operation() -> None:
    import texopt.raster

    page = (ROOT / "docs" / "raster.md").read_text()
    assert [name for name in texopt.raster.__all__ if name not in page] == []
