"""viewer.html in a browser under light: what texopt's shading says, and a lamp that mouse, keys and fingers move."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import MESHES
from PIL import Image
from torch import Tensor

from interop.browser import Page
from interop.viewer_page import SIDE, developed, opened, page_cameras, pixels, press
from texopt import load_mesh
from texopt.mesh.finish import Finish, even
from texopt.mesh.mesh import Mesh
from texopt.mesh.vertex_buffers import indexed_part
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.render.shading import Light, environment_of, shade
from texopt.show.viewer import compared_html, viewer_html
from texopt.system.images import to_tensor
from texopt.system.srgb import to_linear, to_srgb

START, TILT = 315.0, 45.0  # of the lamp: degrees clockwise from above, and off the line of sight
ARROW_RIGHT, HOME = 39, 36  # codes of keys
GOOD, WRONG = 38, 30  # dB; measured are 43 to 45, and under 28 with a wrong relief


def waves() -> Finish:
    """A relief of crossing waves, steeper along u than along v, on a surface that is glossy here and metal there."""
    v, u = (np.mgrid[:512, :512] + 0.5) * (2 * math.pi / 512)
    slopes = 0.7 * np.cos(12 * u + 3 * v), 0.35 * np.cos(9 * v)
    normal = np.stack([-slopes[0], slopes[1], np.ones_like(u)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return Finish(
        normal=((normal + 1) * 127.5).round().astype(np.uint8),
        roughness=(255 * (0.55 + 0.25 * np.sin(5 * u))).round().astype(np.uint8),
        metallic=(255 * (0.5 + 0.5 * np.sin(3 * v))).round().astype(np.uint8)[:256],
    )


def mirrored(mesh: Mesh) -> Mesh:
    """The same with hard edges, and with the images of every second face mirrored."""
    uvs = np.concatenate([mesh.uvs, mesh.uvs * [-1, 1] + [1, 0]])
    face_uvs = mesh.face_uvs + len(mesh.uvs) * (np.arange(len(mesh.faces)) // (len(mesh.faces) // 2) % 2)[:, None]
    return replace(mesh, uvs=uvs, face_uvs=face_uvs.astype(np.int32), normals=None, face_normals=None)


@pytest.fixture(scope="module", params=["smooth", "mirrored"])
def mesh(request: pytest.FixtureRequest) -> Mesh:
    mesh = load_mesh(MESHES / "creature.obj")
    return mesh if request.param == "smooth" else mirrored(mesh)


@pytest.fixture(scope="module")
def data(mesh: Mesh) -> bytes:
    """The mesh with one texture, without a finish before and with one after."""
    image = Image.fromarray(mesh.maps[0].original)
    return viewer_html("creature", [indexed_part(mesh)], [image], [image], [None], [waves()])


@pytest.fixture(scope="module")
def page(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(data, tmp_path_factory.mktemp("viewer")) as page:
        yield page


@pytest.fixture(autouse=True)
def fresh(page: Page) -> None:
    page.evaluate("document.activeElement.blur(); turning = false; shading || actions.l(); reset(); setSplit(0)")
    move_lamp(page, START)


def move_lamp(page: Page, degrees: float) -> None:
    page.evaluate(f"lamp.value = {degrees}; lamp.dispatchEvent(new Event('input'))")


def tangents(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """Of each face: along which u grows, float32 [F,3], and 1, or -1 where the image is mirrored, float32 [F,1]."""
    points, uvs = mesh.vertices[mesh.faces], mesh.uvs[mesh.face_uvs]
    first, second = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    (u1, v1), (u2, v2) = (uvs[:, 1] - uvs[:, 0]).T, (uvs[:, 2] - uvs[:, 0]).T
    handed = np.sign(u1 * v2 - u2 * v1)[:, None]
    along = (first * v2[:, None] - second * v1[:, None]) * handed
    return torch.from_numpy(along).float(), torch.from_numpy(handed).float()


def bumpy(mesh: Mesh, fragments: Fragments, tilt: Tensor) -> Tensor:
    """Normals [1,H,W,3] of tangent-space normals [1,H,W,3] of any length."""
    normal, face = fragments.normal, fragments.face_id.clamp(min=0).long()
    along, handed = (values[face] for values in tangents(mesh))
    tangent = F.normalize(along - normal * (normal * along).sum(-1, keepdim=True), dim=-1)
    bitangent = torch.linalg.cross(normal, tangent) * handed
    return F.normalize(tangent * tilt[..., :1] + bitangent * tilt[..., 1:2] + normal * tilt[..., 2:], dim=-1)


def drawn(mesh: Mesh, finish: Finish, degrees: float = START, azimuth: float = 30.0) -> np.ndarray:
    """What texopt.shade makes of the same: float64 [SIDE,SIDE,3]."""
    cameras = page_cameras(azimuth)
    fragments = Scene(mesh).rasterize(cameras, 2 * SIDE)

    def at(values: np.ndarray) -> Tensor:
        return look_up(to_tensor(Image.fromarray(values)), fragments).permute(0, 2, 3, 1)

    normal = bumpy(mesh, fragments, at(finish.normal) * 2 - 1)
    behind = (fragments.normal * fragments.view_direction).sum(-1, keepdim=True) < 0
    normal = torch.where(behind, -normal, normal)
    right, up, back = cameras.view[0, :3, :3].float()
    around, tilt = math.radians(degrees), math.radians(TILT)
    toward = back * math.cos(tilt) + (right * math.sin(around) + up * math.cos(around)) * math.sin(tilt)
    light = Light(toward[None, None], torch.full((1, 1, 3), 0.8 * math.pi), environment_of(torch.full((1, 3), 0.35)))
    there = fragments.mask.nonzero().unbind(1)
    base, rough, metal = at(mesh.maps[0].original), at(finish.roughness)[..., :1], at(finish.metallic)[..., :1]
    shown = [values[there] for values in (to_linear(base), normal, fragments.view_direction, rough, metal)]
    seen = to_srgb(shade(*shown, light.of_pixels(torch.zeros_like(there[0]))))  # type: ignore[arg-type]
    return developed(base.index_put(there, seen).permute(0, 3, 1, 2), fragments)


def psnr(actual: np.ndarray, expected: np.ndarray) -> float:
    """In dB, over the whole square."""
    return float(-10 * np.log10((((actual - expected) / 255) ** 2).mean()))


def test_the_light_is_that_of_shade(page: Page, mesh: Mesh) -> None:
    finish = waves()
    for degrees in (START, 90.0):
        move_lamp(page, degrees)
        shown = pixels(page)
        assert psnr(shown, drawn(mesh, finish, degrees)) > GOOD
        flat = replace(finish, normal=Finish().normal)
        assert psnr(shown, drawn(mesh, flat, degrees)) < WRONG, "without the relief it is another picture"
    page.evaluate("setSplit(1)")
    assert psnr(pixels(page), drawn(mesh, Finish(), 90.0)) > GOOD


def test_hills_are_no_dents(page: Page, mesh: Mesh) -> None:
    finish, shown = waves(), pixels(page)
    for channel in (0, 1):
        wrong = finish.normal.copy()
        wrong[..., channel] = 255 - wrong[..., channel]
        assert psnr(shown, drawn(mesh, replace(finish, normal=wrong))) < WRONG


def test_from_behind_hills_are_dents(mesh: Mesh, tmp_path: Path) -> None:
    """Of a mesh that is wound inside out, whatever is seen is seen from behind."""
    turned = replace(mesh, faces=reversed_corners(mesh.faces), face_uvs=reversed_corners(mesh.face_uvs))
    if mesh.normals is not None and mesh.face_normals is not None:
        turned = replace(turned, normals=-mesh.normals, face_normals=reversed_corners(mesh.face_normals))
    image = Image.fromarray(mesh.maps[0].original)
    data = viewer_html("creature", [indexed_part(turned)], [image], [image], [None], [waves()])
    with opened(data, tmp_path) as page:
        page.evaluate("turning = false; reset(); setSplit(0)")
        assert psnr(pixels(page), drawn(turned, waves())) > GOOD


def reversed_corners(faces: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(faces[:, ::-1])


def test_turning_the_model_moves_its_highlights(page: Page, mesh: Mesh) -> None:
    page.evaluate("camera.azimuth = 70; redraw()")
    assert psnr(pixels(page), drawn(mesh, waves(), azimuth=70)) > GOOD


def test_without_light_the_page_shows_what_it_did(page: Page, mesh: Mesh, tmp_path: Path) -> None:
    image = Image.fromarray(mesh.maps[0].original)
    with opened(viewer_html("creature", [indexed_part(mesh)], [image], [image]), tmp_path) as plain:
        plain.evaluate("turning = false; reset()")
        expected = pixels(plain)
    lit = pixels(page)
    press(page, "l")
    assert page.evaluate("[lamp.disabled, buttons.l.getAttribute('aria-pressed')]") == [True, "false"]
    np.testing.assert_array_equal(pixels(page), expected)
    page.evaluate("buttons.l.click()")
    assert page.evaluate("[lamp.disabled, buttons.l.getAttribute('aria-pressed')]") == [False, "true"]
    np.testing.assert_array_equal(pixels(page), lit)


def lamp_box(page: Page) -> tuple[float, float, float]:
    """The slider's left and right edges and its middle's height."""
    box = page.evaluate("(box => [box.left, box.right, (box.top + box.bottom) / 2])(lamp.getBoundingClientRect())")
    return box[0], box[1], box[2]


def test_mouse_and_finger_move_the_lamp(page: Page) -> None:
    left, right, y = lamp_box(page)
    start = pixels(page)
    page.drag((right - 20, y), (left + 1, y))
    assert page.evaluate("lamp.value") == "0"
    assert page.evaluate("[camera.azimuth, turning]") == [30, False]
    assert np.abs(pixels(page) - start).max(-1).mean() > 5
    page.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": left + 8, "y": y}])
    page.send("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": (left + right) / 2, "y": y}])
    page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert abs(float(page.evaluate("lamp.value")) - 180) <= 10
    assert page.evaluate("camera.azimuth") == 30


def test_keys_move_the_lamp(page: Page) -> None:
    page.evaluate("lamp.focus()")
    press(page, "ArrowRight", ARROW_RIGHT)
    assert page.evaluate("[lamp.value, lamp.ariaValueText]") == ["320", "320 degrees clockwise from above"]
    press(page, "Home", HOME)
    assert page.evaluate("lamp.value") == "0"
    assert page.evaluate("camera.azimuth") == 30, "it does not turn the model"
    page.evaluate("lamp.blur()")
    press(page, "ArrowRight", ARROW_RIGHT)
    assert page.evaluate("lamp.value") == "0"
    assert page.evaluate("camera.azimuth") < 29, "the same key does, elsewhere"


def test_screen_readers_name_the_lamp(page: Page) -> None:
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node["name"]["value"]) for node in nodes if "role" in node and "name" in node}
    assert {("group", "Light"), ("button", "Light"), ("slider", "Where the light comes from")} <= named


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_toolbar_is_in_one_row(page: Page, width: int) -> None:
    page.resize(width, 800)
    boxes = page.evaluate(
        "[...document.querySelectorAll('nav > div')].map(each => each.getBoundingClientRect())"
        ".filter(box => box.width).map(({ left, right, top }) => [left, right, top])"
    )
    overflow = page.evaluate("document.documentElement.scrollWidth")
    page.resize(800, 596)
    assert overflow <= width
    assert len({top for _, _, top in boxes}) == 1
    assert min(left for left, _, _ in boxes) >= 0
    assert max(right for _, right, _ in boxes) <= width


def test_two_results_are_compared_under_light(page: Page, data: bytes, mesh: Mesh, tmp_path: Path) -> None:
    """The second has roughness alone."""
    image, glossy = Image.fromarray(mesh.maps[0].original), Finish(roughness=even(0.3))
    other = viewer_html("creature", [indexed_part(mesh)], [image], [image], [None], [glossy])
    both = compared_html(data.decode(), other.decode(), ("waves", "glossy"))
    with opened(both.encode(), tmp_path) as shown:
        shown.evaluate("turning = false; reset(); setSplit(1)")
        assert psnr(pixels(shown), drawn(mesh, waves())) > GOOD
        shown.evaluate("setSplit(0)")
        assert psnr(pixels(shown), drawn(mesh, glossy)) > GOOD


def test_the_page_is_silent_and_alone(page: Page) -> None:
    pixels(page)
    assert [message for message in page.messages if "GPU stall due to ReadPixels" not in message] == []
    assert page.failed == []
    assert page.hosts() == {""}
