"""What is installed: the inputs of `texopt demo`, and Pythons that it says it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import texopt
from texopt.cli.demo import demo_inputs
from texopt.cli.main import main

ROOT = Path(__file__).parent.parent


def test_the_demo_is_a_run_of_the_bundled_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("texopt.cli.commands.run", lambda command, config, *_: seen.append((command, config)) or 0)
    assert main(["demo", "--preset", "draft", "--seed", "3"]) == 0
    ((command, config),) = seen
    assert command == "style"
    assert (config.mesh.name, [path.name for path in config.style], config.seed) == ("creature.obj", ["brush.jpg"], 3)
    assert len(texopt.load_mesh(config.mesh).faces) > 1000


def test_an_installed_package_has_the_demo_s_inputs(tmp_path: Path) -> None:
    """As a wheel is built, but for the metadata."""
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path), "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    code = "from texopt.cli.demo import demo_inputs; print(*demo_inputs(), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.parent for path in paths] == [tmp_path / "texopt" / "demo"] * 2
    assert all(path.is_file() for path in paths)
    assert len(texopt.load_mesh(paths[0]).maps[0].original) > 256, "its texture is there, too"
    assert [Path(path).name for path in demo_inputs()] == [path.name for path in paths]


def test_pythons_are_the_same_wherever_they_are_named() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"Python :: (3\.\d+)", project)
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    (versions,) = re.findall(r"python: \[(.*)\]", workflow)
    assert named == re.findall(r"3\.\d+", versions)
    assert f'requires-python = ">={named[0]}"' in project
