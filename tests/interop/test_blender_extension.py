"""The extension in real Blenders, 4.2 and newer: what its operators do, and that Blender's pictures are texopt's.

scripts/test-interop installs Blender as the Python module bpy, each version into an environment of its own. They run
without a display: so no panel is drawn.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MESHES, STYLES
from PIL import Image
from test_blender_extension import FAKE, write_wheel

import texopt
from interop.pictures import SUPERSAMPLE, Picture, check, shrunk
from interop.programs import ROOT, need, run
from texopt.render.cameras import Cameras, perspective
from texopt.render.look_up import look_up
from texopt.render.scene import Scene

BLENDERS = ROOT / "build" / "interop" / "blenders"
VERSIONS = sorted({"4.2", "5.0"} | {path.name for path in BLENDERS.glob("*")})  # the first two are always installed
HERE = Path(__file__).parent
SOURCES = [(HERE / f"extension_{name}.py").read_text() for name in ("scenes", "runs")]
CHECKS = [name for source in SOURCES for name in re.findall(r"^def (check_\w+)", source, re.MULTILINE)]
SCENES = ("a_cube", "a_model", "two_materials")
LEAST = 30.0  # dB

Blender = Callable[..., str]
CRASH = f"ended with {-signal.SIGSEGV}:"  # as run says it


@pytest.fixture(scope="session", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    need(BLENDERS / request.param / "bin" / "python", optional=shutil.which("python3.11") is None)
    return str(request.param)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = runpy.run_path(str(ROOT / "scripts" / "blender.py"))["build"]
    return Path(build(tmp_path_factory.mktemp("archive")))


def wrapper(path: Path, *words: str | Path) -> str:
    """A program that runs some Python with these arguments and those that it is given."""
    line = " ".join(shlex.quote(str(word)) for word in (sys.executable, *words))
    path.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {line} "$@"\n')
    path.chmod(0o755)
    return str(path)


def operate(version: str, script: Path, folder: Path, archive: Path, **job: Any) -> str:
    """Run a script in a Blender that knows nothing yet; what it says."""
    file = folder / "job.json"
    job |= {"zip": str(archive), "fake": wrapper(folder / "fake", FAKE), "painting": str(STYLES / "mosaic.jpg")}
    file.write_text(json.dumps(job))
    for attempt in ("first", "second"):
        resources = folder / f"resources_{attempt}"
        resources.mkdir()
        own = {"BLENDER_USER_RESOURCES": str(resources), "PYTHONPATH": str(HERE)}
        variables = [f"{name}={value}" for name, value in own.items()]
        try:
            return run("env", *variables, BLENDERS / version / "bin" / "python", script, file, seconds=600)
        except AssertionError as error:
            # bpy 5.0 has died once in many runs, while it opened a file
            if CRASH not in str(error) or attempt == "second":
                raise
    raise AssertionError


@pytest.fixture(scope="session")
def report(version: str, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How each check of extension_scenes.py and extension_runs.py went."""
    folder = tmp_path_factory.mktemp("checks")
    wheel = write_wheel(folder / "texopt-9-py3-none-any.whl")
    operate(
        version, HERE / "extension_checks.py", folder, archive, wheel=str(wheel), report=str(folder / "report.json")
    )
    found: dict[str, str] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_it_does_as_it_should(name: str, report: dict[str, str]) -> None:
    assert report[name] == ""


def test_all_checks_were_made(report: dict[str, str]) -> None:
    assert sorted(report) == sorted(CHECKS)
    assert len(CHECKS) > 25


def test_the_platform_takes_the_archive(version: str, archive: Path, tmp_path: Path) -> None:
    """Blender's own command says so, as `blender --command extension validate` and `build` do."""
    python = BLENDERS / version / "bin" / "python"
    (command,) = (BLENDERS / version).glob("lib/*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    assert "Success" in run(python, command, "validate", archive)
    run(python, command, "build", "--source-dir", ROOT / "blender" / "texopt", "--output-dir", tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(ROOT / "blender" / "texopt", broken)
    manifest = broken / "blender_manifest.toml"
    manifest.write_text(manifest.read_text().replace("GPL-3.0-or-later", "GPL").replace("name =", "nome ="))
    assert subprocess.run([python, command, "validate", broken], capture_output=True).returncode != 0


def test_closing_blender_ends_the_run(version: str, archive: Path, tmp_path: Path) -> None:
    script = tmp_path / "close.py"
    script.write_text(
        "import extension_job as job, sys\njob.install()\njob.fresh('1000')\njob.cube()\nrun = job.start()\n"
        "job.until(lambda: run.step > 1, run)\nprint('process', job.process_of(run).pid, flush=True)\nsys.exit()\n"
    )
    said = operate(version, script, tmp_path, archive)
    (number,) = (int(line.split()[1]) for line in said.splitlines() if line.startswith("process "))
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.fixture(scope="session")
def drawn(version: str, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what extension_pictures.py makes with the real texopt."""
    folder = tmp_path_factory.mktemp("drawn")
    more = {"texopt": wrapper(folder / "texopt", "-m", "texopt"), "model": str(MESHES / "creature.obj")}
    operate(version, HERE / "extension_pictures.py", folder, archive, scenes=str(folder / "scenes"), **more)
    return folder / "scenes"


def our_picture(mesh: texopt.Mesh, job: dict[str, Any], size: int, flip: bool = False) -> Picture:
    """texopt's rendering of a mesh in its original textures; `flip` turns them upside down."""
    center, radius = mesh.normalization()
    place = np.array(job["camera_to_world"])
    place[:3, 3] = (place[:3, 3] - center) / radius
    projection = perspective(job["fov_y"], 1.0, job["near"] / radius, job["far"] / radius)
    cameras = Cameras(torch.from_numpy(np.linalg.inv(place))[None], projection)
    fragments = Scene(mesh).rasterize(cameras, size * SUPERSAMPLE)
    images = [image.flip(1) if flip else image for image in mesh.originals()]
    return shrunk(look_up(images, fragments), fragments.mask)[0]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("scene", SCENES)
def test_its_pictures_are_texopts(scene: str, moment: str, drawn: Path, tmp_path: Path) -> None:
    """Before: of what the extension handed to texopt. After: of the result, which Blender's own exporter wrote."""
    folder = drawn / scene / moment
    (file,) = folder.glob("*.obj")
    mesh = texopt.load_mesh(file)
    cameras = json.loads((folder.parent / "cameras.json").read_text())
    theirs = [Picture.from_rgba(Image.open(folder / f"{index}.png")) for index in range(len(cameras))]
    ours, flipped = (
        [our_picture(mesh, camera, len(theirs[0].rgb), flip) for camera in cameras] for flip in (False, True)
    )
    if scene == "a_cube" and moment == "before":  # of one colour, whichever way up
        flipped = [Picture(255 - picture.rgb, picture.mask) for picture in ours]
    check(theirs, ours, flipped, LEAST, tmp_path)
