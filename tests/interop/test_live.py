"""The live page in a browser: what it shows, that its buttons work, and that it asks nobody but its own server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from settings import grouped
from torch import Tensor

import texopt
from interop.browser import Browser, Page
from interop.programs import need
from texopt import FeatureExtractor, Mesh, PixelTexture, View
from texopt.mesh.vertex_buffers import IndexedPart, indexed_part
from texopt.render.backgrounds import composite
from texopt.render.cameras import orbit
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.show import live
from texopt.show.live import LivePage
from texopt.system.images import to_image, to_tensor

MESHES = Path(__file__).parents[2] / "meshes"
SIZE = 1000, 700
OBJECT = (slice(200, 700), slice(200, 640))  # of a screenshot, where neither the panel nor a notice is
# viser's greetings and its version of three.js; Chromium without a graphics card, and on this test's reading of pixels
EXPECTED = ("log:", "info: ", "warning: THREE.Clock", "warning: [.WebGL", "warning: Canvas2D: Multiple readback")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need("chromium")
    pytest.importorskip("viser")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return texopt.load_mesh(MESHES / "creature.obj")


def parts_of(mesh: Mesh) -> list[IndexedPart]:
    """Two parts, as a mesh of two materials has."""
    half = len(mesh.faces) // 2
    return [indexed_part(mesh, slice(0, half)), indexed_part(mesh, slice(half, None))]


def colorful() -> Image.Image:
    """What film curves, other colour spaces and flips change: dark to light, grey to saturated, no symmetry."""
    v, u = torch.meshgrid(torch.linspace(0, 1, 256), torch.linspace(0, 1, 256), indexing="ij")
    return to_image(torch.stack([u, v, (3 * u + 5 * v) % 1]))


def open_page(browser: Browser, server: LivePage) -> Page:
    page = browser.open(f"{server.url}/?fixedDpr=1", SIZE)
    page.wait_for("window.__viserMutable?.scene && document.body.innerText.includes('Show')")
    for _ in range(100):  # nodes appear when they are loaded
        if np.ptp(np.asarray(page.screenshot()).astype(int)[OBJECT], axis=(0, 1)).max() > 20:
            break
        page.wait(0.2)
    return page


def check_quiet(page: Page, server: LivePage) -> None:
    assert [text for text in page.messages if not text.startswith(EXPECTED)] == []
    assert page.hosts() == {server.url.removeprefix("http://")}
    assert page.failed == []


def click(page: Page, label: str) -> None:
    page.evaluate(f"[...document.querySelectorAll('button')].find(button => button.innerText === {label!r}).click()")


def our_picture(mesh: Mesh, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The camera's view as texopt draws it, int [H,W,3], and where the object is, bool [H,W]."""
    width, height = SIZE
    side = 704  # a multiple of 32
    camera = orbit(torch.tensor([live.AZIMUTH]), torch.tensor([live.ELEVATION]), live.DISTANCE, live.FIELD_OF_VIEW)
    fragments = Scene(mesh).rasterize(camera, 2 * side)
    mask = fragments.mask[:, None].float()
    drawn = composite(look_up(to_tensor(image), fragments), mask > 0, live.BACKGROUND / 255)
    square = to_image(drawn[0]).resize((height, height), Image.Resampling.BOX)
    picture = Image.new("RGB", SIZE, (live.BACKGROUND,) * 3)
    picture.paste(square, ((width - height) // 2, 0))
    where = Image.new("L", SIZE)
    where.paste(to_image(mask[0].expand(3, -1, -1)).convert("L").resize((height, height)), ((width - height) // 2, 0))
    return np.asarray(picture).astype(int)[OBJECT], np.asarray(where)[OBJECT] == 255


def test_the_object_is_shown_as_texopt_draws_it(browser: Browser, mesh: Mesh) -> None:
    image = colorful()
    server = LivePage("creature", parts_of(mesh), [image] * 2, originals=[image] * 2, port=0)
    try:
        page = open_page(browser, server)
        page.wait(1.0)
        shown = np.asarray(page.screenshot()).astype(int)[OBJECT]
        expected, inside = our_picture(mesh, image)
        flipped, _ = our_picture(mesh, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
        assert inside.mean() > 0.15
        error = np.abs(shown - expected)[inside]
        assert error.mean() < 3
        assert np.abs(shown - flipped)[inside].mean() > 30
        assert np.abs(shown - expected)[~inside].mean() < 3  # the background, and the outline
        page.drag((400, 350), (600, 330))
        page.wait(0.5)
        turned = np.asarray(page.screenshot()).astype(int)[OBJECT]
        assert np.abs(turned - shown)[inside].mean() > 20
        check_quiet(page, server)
        page.close()
    finally:
        server.close()


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def test_a_run_is_watched_paused_and_stopped(browser: Browser, mesh: Mesh, extractor: FeatureExtractor) -> None:
    texture = PixelTexture(64)
    green = [Image.new("RGB", (8, 8), (0, 200, 0))] * 2
    results: list[texopt.Result] = []

    def bake() -> list[Image.Image]:
        return [to_image(texture.bake())] * 2

    server = LivePage("creature", parts_of(mesh), bake(), originals=green, bake=bake, port=0)

    def optimize() -> None:
        options = {"steps": 100_000, "view_size": 32, "learning_rate": 1e-3, "device": "cpu", "backbone": extractor}
        results.append(texopt.optimize(mesh, texture, red, on_step=server.on_step, **grouped(**options)))  # type: ignore[arg-type]

    run = Thread(target=optimize, daemon=True)
    run.start()
    try:
        page = open_page(browser, server)
        middle = "document.body.innerText"
        page.wait_for(f"/step [0-9]+ of 100000 .* left/.test({middle})")
        curve = """[...document.querySelectorAll('.uplot canvas')].map(canvas => {
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let drawn = 0;
            for (let i = 0; i < data.length; i += 4) drawn += data[i + 2] > data[i] + 60 && data[i + 3] > 128;
            return drawn;
        })"""
        page.wait_for(f"document.querySelectorAll('.uplot canvas').length === 2 && {curve}.every(drawn => drawn > 20)")

        click(page, "Pause")
        page.wait_for(f"{middle}.includes('paused') && {middle}.includes('Resume')")
        page.wait(4.0)  # the texture of the step that it waits at is on its way
        still = np.asarray(page.screenshot()).astype(int)[OBJECT]
        page.wait(2.5)
        assert (np.asarray(page.screenshot()).astype(int)[OBJECT] == still).all()
        click(page, "before")
        page.wait(0.5)
        before = np.asarray(page.screenshot()).astype(int)
        assert np.abs(before[350, 500] - (0, 200, 0)).max() <= 3
        click(page, "after")
        page.wait(0.5)
        assert (np.asarray(page.screenshot()).astype(int)[OBJECT] == still).all()

        click(page, "Resume")
        page.wait_for(f"!{middle}.includes('paused')")
        # while textures are replaced, the object is never away: what is drawn in its middle is never the background
        frames, blank = page.evaluate("""new Promise(done => {
            const canvas = window.__viserMutable.canvas, gl = canvas.getContext('webgl2');
            const end = performance.now() + 7000, pixel = new Uint8Array(4);
            let frames = 0, blank = 0;
            const look = () => {
                const x = gl.drawingBufferWidth / 2, y = gl.drawingBufferHeight / 2;
                gl.readPixels(x, y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
                frames++;
                blank += pixel[0] == 184 && pixel[1] == 184 && pixel[2] == 184;
                performance.now() < end ? requestAnimationFrame(look) : done([frames, blank]);
            };
            look();
        })""")
        assert frames > 10
        assert blank == 0

        click(page, "Stop and export")
        run.join(60)
        assert results[0].interrupted
        assert 1 < len(results[0].history) < 100_000
        server.finished([Image.new("RGB", (8, 8), (200, 0, 0))] * 2)
        page.wait_for(f"{middle}.includes('stopped at step') && !{middle}.includes('Pause')")
        page.wait(1.5)
        assert np.abs(np.asarray(page.screenshot()).astype(int)[350, 500] - (200, 0, 0)).max() <= 3
        check_quiet(page, server)
        page.close()
    finally:
        server._controls.stop()
        run.join(60)
        server.close()
