"""Blender finds the relief, roughness and metal of exports, and lights a .glb with them as texopt does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from interop.conftest import Reliefs
from interop.pictures import SIZE, VIEWS, Picture, camera_jobs, check
from interop.programs import ROOT, need, run
from interop.relief import facing, our_pictures_of
from texopt import Light

BLENDERS = ROOT / "build" / "interop" / "blenders"
SCRIPT = Path(__file__).with_name("relief_job.py")
OPTIONS = ("--background", "--factory-startup", "--python-exit-code", "1", "--python")
TOWARD, ILLUMINANCE = (0.9, 0.3, -0.2), 2.5
LEAST = 27.0  # dB; Blender's material is another one at grazing angles


@pytest.fixture(scope="module", params=["Debian's", "4.2", "5.0"])
def drawn(request: pytest.FixtureRequest, reliefs: Reliefs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a Blender made of every export in a folder of its name."""
    python = BLENDERS / request.param / "bin" / "python"
    debian = request.param == "Debian's"
    need("blender" if debian else python, optional=not debian and shutil.which("python3.11") is None)
    folder = tmp_path_factory.mktemp("relief")
    jobs = [
        {
            "path": str(relief.path), "folder": str(folder / name), "size": SIZE, "toward": TOWARD,
            "illuminance": ILLUMINANCE, "cameras": [] if name == "obj" else camera_jobs(relief.mesh),
        }
        for name, relief in reliefs.items()
    ]  # fmt: skip
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    run(*(("blender", *OPTIONS, SCRIPT, "--") if debian else (python, SCRIPT)), file)
    return folder


def within(pictures: list[Picture], masks: list[np.ndarray]) -> list[Picture]:
    return [Picture(picture.rgb, picture.mask & mask) for picture, mask in zip(pictures, masks, strict=True)]


@pytest.mark.parametrize("name", ["arrays", "document", "mirrored", "obj"])
def test_it_has_all_maps(drawn: Path, name: str) -> None:
    (found,) = json.loads((drawn / name / "maps.json").read_text())
    for images in found.values():
        assert len(images) == 1
    assert re.search("normal", found["Normal"][0])


@pytest.mark.parametrize("name", ["arrays", "document", "mirrored"])
def test_it_lights_it_as_we_do(reliefs: Reliefs, drawn: Path, name: str, tmp_path: Path) -> None:
    theirs = [Picture.from_rgba(Image.open(drawn / name / f"{index}.png")) for index in range(len(VIEWS))]
    light = Light(torch.tensor([[TOWARD]]), torch.full((1, 1, 3), ILLUMINANCE), torch.zeros(1, 9, 3))
    ours, wrong = (our_pictures_of(reliefs[name], light, upside_down) for upside_down in (False, True))
    lit = facing(reliefs[name].mesh, TOWARD)
    check(*(within(pictures, lit) for pictures in (theirs, ours, wrong)), LEAST, tmp_path)
