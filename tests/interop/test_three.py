"""three.js shows exports as texopt does, the right way up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.browser import Browser, Page, served
from interop.cases import Export
from interop.conftest import Exports, Ours
from interop.pictures import SIZE, SUPERSAMPLE, camera_jobs, check, pictures_on
from interop.programs import MODULES, need

BACKGROUND = (255, 0, 255)  # as three.html has it
LEAST = 36.0  # dB


@pytest.fixture(scope="module")
def page(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    need("chromium", MODULES / "three")
    folder = tmp_path_factory.mktemp("www")
    (folder / "three").symlink_to(MODULES / "three")
    (folder / "three.html").symlink_to(Path(__file__).with_name("three.html"))
    for (name, ending), export in exports.items():
        (folder / f"{name}_{ending}").symlink_to(export.path.parent)
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
