"""Pictures of the studio for docs/studio.md, in headless Chromium (Debian's, with the extra studio)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from exhibits.room import MESHES, ROOT, STYLES, texopt_command

sys.path.insert(0, str(ROOT / "tests"))

from interop.browser import Browser, Page
from interop.studio import PHONE, Studio, choose, click, drop, has_mesh, open_studio

SIZE = 1280, 800
QUALITY = 85


def _earlier(folder: Path) -> None:
    """Results that are there already."""
    for mesh, style in (("teapot", "woodcut"), ("creature", "mosaic"), ("torus_knot", "agate")):
        texopt_command(
            "style", MESHES / f"{mesh}.obj", STYLES / f"{style}.jpg", "--preset", "draft", "--format", "obj,glb",
            "--out", folder / f"{mesh}_{style}",
        )  # fmt: skip


def _until_step(page: Page, step: int) -> None:
    page.wait_for(f"parseInt(document.body.innerText.match(/step ([0-9]+) of/)?.[1]) >= {step}")
    page.wait(3.0)  # the texture of about that step


def studio(out: Path) -> dict[str, float]:
    """The studio at the start, during a run, at its end, and on a phone."""

    def take(page: Page, name: str) -> None:
        page.evaluate("document.activeElement.blur()")
        page.screenshot().save(out / f"studio_{name}.jpg", quality=QUALITY)

    with tempfile.TemporaryDirectory() as place, Browser() as browser:
        server = Studio(Path(place, "studio"))
        try:
            page = open_studio(browser, server, SIZE)
            take(page, "start")
            page.close()
            _earlier(server.folder)
            page = open_studio(browser, server, SIZE)
            drop(page, "#mesh-drop button", *(MESHES / f"creature.{ending}" for ending in ("obj", "mtl", "png")))
            has_mesh(page, "creature.obj")
            page.evaluate("document.querySelector('#paintings button[aria-label=Clear]').click()")
            page.wait_for("!document.querySelector('#paintings img')")
            drop(page, "#paintings button", STYLES / "brush.jpg")
            page.wait_for("document.querySelector('#paintings img')")
            choose(page, "Preset", "standard")
            click(page, "Start")
            _until_step(page, 120)
            take(page, "run")
            page.wait_for("!document.body.innerText.includes('Pause')")
            page.wait(3.0)
            take(page, "result")
            page.close()
            page = open_studio(browser, server, PHONE)
            page.wait(2.0)
            take(page, "phone")
        finally:
            server.kill()
    return {}
