"""three.js shows exports as texopt does, the right way up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interop.browser import Browser, Page, served
from interop.cases import Export
from interop.conftest import Exports, Ours, Reliefs
from interop.pictures import SIZE, SUPERSAMPLE, camera_jobs, check, our_lit_pictures, pictures_on
from interop.programs import MODULES, need
from interop.relief import our_pictures_of
from texopt import Light

BACKGROUND = (255, 0, 255)  # as three.html has it
LEAST = 36.0  # dB


@pytest.fixture(scope="module")
def page(exports: Exports, reliefs: Reliefs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    need("chromium", MODULES / "three")
    folder = tmp_path_factory.mktemp("www")
    (folder / "three").symlink_to(MODULES / "three")
    (folder / "three.html").symlink_to(Path(__file__).with_name("three.html"))
    for (name, ending), export in exports.items():
        (folder / f"{name}_{ending}").symlink_to(export.path.parent)
    for name, relief in reliefs.items():
        (folder / f"relief_{name}").symlink_to(relief.path.parent)
    side = SIZE * SUPERSAMPLE
    with served(folder) as url, Browser() as browser:
        yield browser.open(f"{url}/three.html", (side, side))


def test_three_shows_it_as_we_do(export: Export, page: Page, ours: Ours, tmp_path: Path) -> None:
    said = len(page.messages)
    url = f"{export.name}_{export.path.suffix[1:]}/{export.path.name}"
    found = page.evaluate(f"load({json.dumps(url)})")
    images = []
    for camera in camera_jobs(export.mesh):
        page.evaluate(f"draw({json.dumps(camera)})")
        images.append(page.screenshot())
    check(pictures_on(BACKGROUND, images), *ours(export), LEAST, tmp_path)
    case = export.case
    assert found == {"triangles": len(export.mesh.faces), "materials": case.materials, "textures": case.textures}
    assert page.messages[said:] == []
    assert page.failed == []
    assert len(page.hosts()) == 1


@pytest.mark.parametrize(("roughness", "metallic"), [(0.3, 0.0), (0.7, 0.0), (0.5, 1.0)])
def test_three_lights_it_as_we_do(
    exports: Exports, page: Page, roughness: float, metallic: float, tmp_path: Path
) -> None:
    """Under a distant light. three.js leaves out that what is mirrored is not scattered, 4 % of the light."""
    export, toward = exports["creature", "glb"], (0.4, 0.7, 0.6)
    page.evaluate(f"load({json.dumps(f'creature_glb/{export.path.name}')})")
    asked = {"roughness": roughness, "metallic": metallic, "toward": toward, "illuminance": 2.5, "ambient": 0.0}
    page.evaluate(f"light({json.dumps(asked)})")
    images = []
    for camera in camera_jobs(export.mesh):
        page.evaluate(f"draw({json.dumps(camera)})")
        images.append(page.screenshot())
    light = Light(torch.tensor([[toward]]), torch.full((1, 1, 3), 2.5), torch.zeros(1, 9, 3))
    ours = our_lit_pictures(export.result, light, roughness, metallic)
    wrong = our_lit_pictures(export.result, replace(light, directions=-light.directions), roughness, metallic)
    check(pictures_on(BACKGROUND, images), ours, wrong, 30.0, tmp_path)


MAPS = ["map", "metalnessMap", "normalMap", "roughnessMap", "tangent"]


@pytest.mark.parametrize("name", ["arrays", "document", "mirrored"])
def test_three_shows_relief_as_we_do(reliefs: Reliefs, page: Page, name: str, tmp_path: Path) -> None:
    """With the tangents in the file; with a normal map that is upside down it would be another picture."""
    relief, toward = reliefs[name], (0.9, 0.3, -0.2)
    page.evaluate(f"load({json.dumps(f'relief_{name}/{relief.path.name}')})")
    assert page.evaluate(f"light({json.dumps({'toward': toward, 'illuminance': 2.5, 'ambient': 0.0})})") == MAPS
    images = []
    for camera in camera_jobs(relief.mesh):
        page.evaluate(f"draw({json.dumps(camera)})")
        images.append(page.screenshot())
    light = Light(torch.tensor([[toward]]), torch.full((1, 1, 3), 2.5), torch.zeros(1, 9, 3))
    ours, wrong = (our_pictures_of(relief, light, upside_down) for upside_down in (False, True))
    check(pictures_on(BACKGROUND, images), ours, wrong, LEAST, tmp_path)


def test_three_finds_the_relief_of_an_obj(reliefs: Reliefs, page: Page) -> None:
    name = reliefs["obj"].path.name
    page.evaluate(f"load({json.dumps(f'relief_obj/{name}')})")
    asked = {"toward": (0, 0, 1), "illuminance": 1.0, "ambient": 0.0}
    assert page.evaluate(f"light({json.dumps(asked)})") == ["bumpMap", "map", "normalMap"]
    assert page.failed == []
