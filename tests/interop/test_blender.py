"""Blender imports exports without a word of complaint, as what they are, and shows them as texopt does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from interop.cases import Export, gltf_document
from interop.conftest import Exports, Ours
from interop.geometry import check_triangles, fans, triangles_of
from interop.pictures import SIZE, VIEWS, Picture, camera_jobs, check
from interop.programs import need, run

# what the importers say where all is well
FINE = re.compile(
    "Loaded image from: .*|OBJ import of .* took .* ms|Data are loaded, start creating Blender stuff"
    "|glTF import finished in .*s"
)
LEAST = 32.0  # dB; without mip levels Blender's means over pixels differ a little


class Imported:
    """What one run of Blender left in a folder."""

    def __init__(self, folder: Path, log: str) -> None:
        self.folder, self.log = folder, log

    def messages(self, file: Path) -> list[str]:
        """What was said while a file was imported, but for what is said every time."""
        name = re.escape(file.name)
        found = re.search(rf"^import {name}\n(.*?)^imported {name}$", self.log, re.MULTILINE | re.DOTALL)
        assert found, f"Blender did not import {file.name}:\n{self.log[-3000:]}"
        return [line for line in found[1].splitlines() if line.strip() and not FINE.fullmatch(line)]

    def mesh(self, export: Export) -> dict[str, np.ndarray]:
        with np.load(self.folder / export.path.name / "mesh.npz") as arrays:
            return dict(arrays)

    def pictures(self, export: Export) -> list[Picture]:
        files = [self.folder / export.path.name / f"{index}.png" for index in range(len(VIEWS))]
        return [Picture.from_rgba(Image.open(file)) for file in files]


def run_blender(folder: Path, jobs: list[dict[str, Any]]) -> Imported:
    """One Blender for all jobs, as blender_job.py describes them."""
    need("blender")
    for job in jobs:
        job["folder"] = str(folder / job["name"])
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    script = Path(__file__).with_name("blender_job.py")
    options = ("--background", "--factory-startup", "--python-exit-code", "1", "--python")
    return Imported(folder, run("blender", *options, script, "--", file))


@pytest.fixture(scope="module")
def imported(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Everything, imported and drawn."""
    jobs = [
        {"name": export.path.name, "path": str(export.path), "size": SIZE, "cameras": camera_jobs(export.mesh)}
        for export in exports.values()
    ]
    return run_blender(tmp_path_factory.mktemp("blender"), jobs)


def test_it_imports_without_a_message(export: Export, imported: Imported) -> None:
    assert imported.messages(export.path) == []


def test_a_complaint_is_heard(exports: Exports, tmp_path: Path) -> None:
    whole = next(export.path for export in exports.values() if export.path.suffix == ".obj")
    alone = Path(shutil.copy(whole, tmp_path))  # without its materials
    (tmp_path / "imported").mkdir()
    imported = run_blender(
        tmp_path / "imported", [{"name": alone.name, "path": str(alone), "size": SIZE, "cameras": []}]
    )
    assert any(".mtl" in message for message in imported.messages(alone))


def test_geometry_and_uvs_are_the_same(export: Export, imported: Imported) -> None:
    mesh, found = export.mesh, imported.mesh(export)
    used = mesh.vertices[np.unique(mesh.faces)]
    for bound in (np.min, np.max):
        np.testing.assert_allclose(bound(found["vertices"], 0), bound(used, 0), atol=1e-6 * np.abs(used).max())
    if export.path.suffix == ".obj":
        np.testing.assert_allclose(found["vertices"], mesh.vertices, atol=1e-6 * np.abs(used).max())
    else:
        document = gltf_document(export.path)
        primitives = [primitive for each in document["meshes"] for primitive in each["primitives"]]
        positions = {primitive["attributes"]["POSITION"] for primitive in primitives}
        stored = sum(document["accessors"][index]["count"] for index in positions)
        assert len(found["vertices"]) == stored * export.case.shown
    corners = np.concatenate([found["vertices"][found["corners"]], found["uvs"]], -1)
    check_triangles(fans(found["sizes"], corners), triangles_of(mesh))
    assert len(set(found["materials"])) == export.case.materials


def test_its_rendering_is_ours(export: Export, imported: Imported, ours: Ours, tmp_path: Path) -> None:
    check(imported.pictures(export), *ours(export), LEAST, tmp_path)
