"""The examples of the documentation run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

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


def test_page_names_every_public_operation() -> None:
    import texopt.raster

    page = (ROOT / "docs" / "raster.md").read_text()
    assert [name for name in texopt.raster.__all__ if name not in page] == []
