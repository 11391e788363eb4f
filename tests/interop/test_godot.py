"""Godot's editor imports exports as what they are. Where Godot cannot be had, this is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interop.cases import Export
from interop.conftest import Exports
from interop.geometry import check_triangles, triangles_of
from interop.programs import need, run
from texopt.system.images import to_image

PROGRAM = "godot3-server"  # the editor and the engine, without a screen
IMPORTED = (".obj", ".glb", ".png")
HALF = 1e-3  # Godot keeps UVs in 16 bits, of 10 binary places


def import_all(project: Path, seconds: float = 900) -> None:
    """Let the editor import what lies in the project. Its end is not waited for: Debian's hangs after its last word."""
    files = [file for file in project.rglob("*") if file.suffix in IMPORTED]
    with (project / "log").open("wb") as log:
        editor = subprocess.Popen([PROGRAM, "--path", project, "--editor"], stdout=log, stderr=log)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end and editor.poll() is None:
                if all(any(project.glob(f".import/{file.name}-*.md5")) for file in files):
                    return
                time.sleep(0.2)
        finally:
            editor.kill()
            editor.wait()
    pytest.fail(f"Godot did not import everything in {seconds:g} s:\n{(project / 'log').read_text()[-3000:]}")


@pytest.fixture(scope="module")
def project(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a folder for every export, imported, and what report.gd writes of each."""
    need(PROGRAM, optional=True)
    folder = tmp_path_factory.mktemp("godot")
    (folder / "project.godot").write_text("config_version=4\n")
    shutil.copy(Path(__file__).with_name("godot_report.gd"), folder)
    for (name, ending), export in exports.items():
        shutil.copytree(export.path.parent, folder / f"{name}_{ending}")
    import_all(folder)
    files = [f"res://{name}_{ending}/{export.path.name}" for (name, ending), export in exports.items()]
    run(PROGRAM, "--path", folder, "--script", "godot_report.gd", *files)
    return folder


def test_godot_imports(export: Export, project: Path) -> None:
    file = project / f"{export.name}_{export.path.suffix[1:]}" / export.path.name
    surfaces = json.loads(Path(f"{file}.json").read_text())
    assert len({surface["material"] for surface in surfaces}) == export.case.materials
    corners = np.fromfile(f"{file}.corners", np.float32).astype(np.float64).reshape(-1, 3, 5)
    corners[..., 4] = 1 - corners[..., 4]  # (0,0) is the upper left, as in glTF
    triangles = triangles_of(export.mesh)
    check_triangles(corners, triangles, HALF * np.abs(corners[..., 3:]).max())


def test_godot_has_the_textures(export: Export, project: Path) -> None:
    file = project / f"{export.name}_{export.path.suffix[1:]}" / export.path.name
    found = {Image.open(path).convert("RGB").tobytes() for path in file.parent.glob(f"{file.name}.*.png")}
    images = export.result.images
    assert found == {to_image(image).tobytes() for image in images}
