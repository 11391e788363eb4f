"""The examples of the documentation run."""

from __future__ import annotations

import math
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MESHES, STYLES

import texopt

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
    assert len(captions) == len(re.findall(r"^!\[", readme, re.MULTILINE)) > 2
    assert [caption for caption in captions if caption in text] == []
    kept = [line for line in readme.splitlines() if "](" not in line and line not in captions]
    assert [line for line in kept if line not in text.splitlines()] == []


# what README.md takes, and what it takes here; each is there once and no more
SMALLER = {
    "steps=270": "steps=2",
    "PyramidTexture(1024, start": "PyramidTexture(64, start",
    "FourierTexture(512)": "FourierTexture(64)",
    "size=(224, 224), frames=6": "size=(64, 64), frames=6",
    "SharedTexture.several(6, 256)": "SharedTexture.several(6, 64)",
    "size=224, per_step=6": "size=64, per_step=6",
    "steps=300)": "steps=2)",
}
DEFAULTS = {"steps": 2, "views": texopt.Views(size=64), "device": "cpu"}  # of optimize, where a block does not say


def test_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a section are one program, with small sizes and files of its names."""
    text = (ROOT / "README.md").read_text()
    programs = [re.findall(r"```python\n(.*?)```", section, re.DOTALL) for section in text.split("\n## ")]
    blocks = [block for program in programs for block in program]
    assert len(blocks) == text.count("```python") >= 3
    for large in SMALLER:
        assert sum(block.count(large) for block in blocks) == 1, large
    for name in ("mtl", "png"):
        shutil.copy(MESHES / f"creature.{name}", tmp_path)
    shutil.copy(MESHES / "creature.obj", tmp_path / "spot.obj")
    shutil.copy(STYLES / "mosaic.jpg", tmp_path / "starry-night.jpg")
    monkeypatch.chdir(tmp_path)
    optimize, runs = texopt.optimize, []

    def quick(*args: Any, **options: Any) -> Any:
        runs.append(optimize(*args, **DEFAULTS | options))
        return runs[-1]

    monkeypatch.setattr(texopt, "optimize", quick)
    for program in programs:
        names: dict[str, Any] = {"texopt": texopt}
        for block in program:
            for large, small in SMALLER.items():
                block = block.replace(large, small)
            exec(compile(block, "README.md", "exec"), names)
    assert len(runs) == sum(block.count("optimize(") for block in blocks)
    for result in runs:
        losses = [step.terms["loss"] for step in result.history]
        assert len(losses) == 2
        assert all(map(math.isfinite, losses))
        assert losses[0] != losses[1]
    assert len(texopt.load_mesh("outputs/spot.obj").faces) == len(texopt.load_mesh("spot.obj").faces)


def test_page_names_every_public_operation() -> None:
    import texopt.raster

    page = (ROOT / "docs" / "raster.md").read_text()
    assert [name for name in texopt.raster.__all__ if name not in page] == []
