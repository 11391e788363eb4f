"""viewer.html in a browser shows what texopt draws, from the side that the mouse turns to, and asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from conftest import MESHES, STYLES
from PIL import Image

from interop.browser import Page
from interop.viewer_page import LEFT, SIDE, developed, opened, page_cameras, pixels, press
from texopt import load_mesh
from texopt.mesh.mesh import Mesh
from texopt.mesh.vertex_buffers import indexed_part
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.show.preview import BACKGROUND
from texopt.show.viewer import viewer_html
from texopt.system.images import load_image, to_tensor


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return load_mesh(MESHES / "creature.obj")


@pytest.fixture(scope="module")
def images(mesh: Mesh) -> tuple[Image.Image, Image.Image]:
    return Image.fromarray(mesh.maps[0].original), load_image(STYLES / "brush.jpg").resize((512, 512))


@pytest.fixture(scope="module")
def page(
    mesh: Mesh, images: tuple[Image.Image, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The mesh in two parts, each with both images."""
    half = len(mesh.faces) // 2
    parts = [indexed_part(mesh, slice(0, half)), indexed_part(mesh, slice(half, None))]
    data = viewer_html("creature", parts, [images[0]] * 2, [images[1]] * 2)
    with opened(data, tmp_path_factory.mktemp("viewer")) as page:
        yield page


@pytest.fixture(autouse=True)
def fresh(page: Page) -> None:
    page.evaluate("turning = shading = false; reset(); setSplit(0.5)")


def drawn(
    mesh: Mesh, image: Image.Image, azimuth: float = 30.0, elevation: float = 15.0, zoom: float = 1.0
) -> np.ndarray:
    """texopt's own picture of the same."""
    fragments = Scene(mesh).rasterize(page_cameras(azimuth, elevation, zoom), 2 * SIDE)
    return developed(look_up(to_tensor(image), fragments), fragments)


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    """But for how the silhouette and mip levels are filtered."""
    error = np.abs(actual - expected).max(-1)
    assert error.mean() < 3, "wrong side, wrong texture, or upside down; those differ by 30 and more"
    assert (error > 40).mean() < 0.02


def test_before_and_after_are_what_texopt_draws(
    page: Page, mesh: Mesh, images: tuple[Image.Image, Image.Image]
) -> None:
    before, after = (drawn(mesh, image) for image in images)
    press(page, "b")
    assert_same(pixels(page), before)
    press(page, "a")
    assert_same(pixels(page), after)
    press(page, "s")
    assert_same(pixels(page), np.concatenate([before[:, : SIDE // 2], after[:, SIDE // 2 :]], 1))


def test_divider_follows_mouse_and_keys(page: Page) -> None:
    x, y = page.evaluate(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])(byId('divider').getBoundingClientRect())"
    )
    page.drag((x, y), (x - 200, y - 30))
    assert page.evaluate("divider.getAttribute('aria-valuenow')") == "25"
    page.evaluate("divider.focus()")
    press(page, "ArrowRight")
    assert page.evaluate("divider.getAttribute('aria-valuenow')") == "27"
    press(page, "Home")
    assert page.evaluate("buttons.a.getAttribute('aria-pressed')") == "true"
    assert page.evaluate("camera.azimuth") == 30, "it does not turn the model"
    page.evaluate("divider.blur()")
    press(page, "ArrowRight")
    assert page.evaluate("split") == 0
    assert page.evaluate("camera.azimuth") < 29, "the same key does, elsewhere"


def test_drag_turns_the_model_by_the_same_angle(
    page: Page, mesh: Mesh, images: tuple[Image.Image, Image.Image]
) -> None:
    press(page, "a")
    start = pixels(page)
    page.drag((250, 200), (350, 250))
    turned = pixels(page)
    degrees = 240 / SIDE
    assert_same(turned, drawn(mesh, images[1], 30 - 100 * degrees, 15 + 50 * degrees))
    page.evaluate("reset()")
    np.testing.assert_array_equal(pixels(page), start)


def test_wheel_is_a_lens(page: Page, mesh: Mesh, images: tuple[Image.Image, Image.Image]) -> None:
    press(page, "a")
    page.wheel((LEFT + SIDE / 2, SIDE / 2), -240)
    page.wait_for("camera.zoom < 0.99")
    zoom = page.evaluate("camera.zoom")
    assert 0.3 < zoom < 0.9
    np.testing.assert_allclose(page.evaluate("camera.target"), 0, atol=1e-9)
    assert_same(pixels(page), drawn(mesh, images[1], zoom=zoom))


def test_from_afar_textures_do_not_flicker(page: Page, mesh: Mesh, images: tuple[Image.Image, Image.Image]) -> None:
    page.evaluate("camera.zoom = 4; setSplit(0)")
    expected = drawn(mesh, images[1], zoom=4)
    seen = np.abs(expected - 255 * BACKGROUND).max(-1) > 1
    error = np.abs(pixels(page) - expected)[seen].mean()
    assert error < 7, "4.7 with mipmaps, 10.4 without"


def test_shading_darkens_what_is_turned_away(page: Page) -> None:
    plain = pixels(page)
    press(page, "l")
    shaded = pixels(page)
    assert (shaded <= plain + 1).all()
    assert (shaded < plain - 5).any(-1).mean() > 0.1


def test_it_turns_until_it_is_touched(page: Page) -> None:
    page.evaluate("turning = true; redraw()")
    page.wait_for("camera.azimuth > 31")
    page.drag((250, 200), (250, 200), steps=1)
    azimuth = page.evaluate("camera.azimuth")
    page.wait(0.5)
    assert page.evaluate("camera.azimuth") == azimuth


def test_the_page_is_silent_and_alone(page: Page) -> None:
    pixels(page)
    # Chromium's own note where it puts WebGL's pictures on the screen without a graphics card
    assert [message for message in page.messages if "GPU stall due to ReadPixels" not in message] == []
    assert page.failed == []
    assert page.hosts() == {""}
    assert len([url for url in page.requests if not url.startswith("data:")]) == 1, "itself"
