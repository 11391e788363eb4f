"""Lenses that bend lines: where they show things, and their photographs as a pinhole camera would have taken them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_cube
from photographer import around, photograph, write_json
from PIL import Image

from texopt import OptionError
from texopt.evaluation.held_out import photo_psnr
from texopt.io.transforms_json import read_photos
from texopt.raster.resampling import resample
from texopt.render.lens import Distortion, Lens, straightened, undistorted
from texopt.render.photos import Photo

WIDTH, HEIGHT = 96, 72
POINTS = np.array([[0.3, -0.2], [-0.7, 0.5], [0.05, 0.9]])
KEYS: dict[str, dict[str, Any]] = {  # as transforms.json has lenses
    "barrel": {"k1": -0.2, "k2": 0.08, "k3": -0.01, "p1": 0.002, "p2": -0.003},
    "pincushion": {"k1": 0.3, "k2": 0.1},
    "decentred": {"p1": 0.03, "p2": -0.02},
    "rational": {"k1": 0.3, "k2": 0.1, "k3": 0.02, "k4": 0.4, "k5": 0.05, "k6": 0.01, "p1": 0.002, "p2": -0.003},
    "of r^8": {"k1": -0.1, "k4": 0.05},
    "turning back": {"k1": -0.45},
    "fisheye": {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": -0.02, "k3": 0.01, "k4": -0.003},
    "equidistant": {"camera_model": "FISHEYE"},
    "instant-ngp's fisheye": {"is_fisheye": True, "k1": -0.05, "fl_x": 30},
}


def bend(keys: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The formulas of OpenCV's documentation, written out."""
    k1, k2, k3, k4, k5, k6, p1, p2 = (keys.get(key, 0.0) for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"))
    r = np.sqrt(x**2 + y**2) + 1e-12
    if "camera_model" in keys or "is_fisheye" in keys:
        theta = np.arctan(r)
        bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
        return x * bent / r, y * bent / r
    if k5 or k6:
        radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    else:
        radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6 + k4 * r**8
    return (
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    )


@np.errstate(all="ignore")
def unbend(keys: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The (x, y) that are shown there, by Newton's method from the middle outwards, and whether there are any."""
    a, b, h = np.zeros_like(x), np.zeros_like(y), 1e-6
    for part in np.linspace(0.05, 1, 20).repeat(4):  # to the solution that is connected with the axis
        (u, v), (ua, va), (ub, vb) = bend(keys, a, b), bend(keys, a + h, b), bend(keys, a, b + h)
        ua, va, ub, vb = (ua - u) / h, (va - v) / h, (ub - u) / h, (vb - v) / h
        du, dv = (part * x - u) / (ua * vb - ub * va), (part * y - v) / (ua * vb - ub * va)
        a, b = a + vb * du - ub * dv, b + ua * dv - va * du
    u, v = bend(keys, a, b)
    return a, b, (np.hypot(u - x, v - y) < 1e-9) & (np.hypot(a, b) < 50)


def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[...,3] in [0,255]: what is seen in a direction, soft waves."""
    length = np.sqrt(x**2 + y**2 + 1)
    x, y = x / length, y / length
    waves = [np.sin(7 * x + 1) * np.cos(5 * y), np.cos(6 * x - 4 * y), np.sin(8 * y + 2)]
    return 127.5 + 120 * np.stack(waves, -1)


def taken(folder: Path, name: str) -> Photo:
    """A photograph through a lens, pixel by pixel."""
    keys = {"fl_x": 60.0, "fl_y": 66.0, "cx": 50.0, "cy": 33.0, "w": WIDTH, "h": HEIGHT} | KEYS[name]
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    x, y = (columns - keys["cx"]) / keys["fl_x"], (rows - keys["cy"]) / keys["fl_y"]
    x, y, there = unbend(KEYS[name], x, y)
    pixels = np.where(there[..., None], scene(*np.where(there, [x, y], 0)), [255, 0, 255])
    Image.fromarray(pixels.round().astype(np.uint8)).save(folder / "a.png")
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    [photo] = read_photos(write_json(folder / "transforms.json", [frame], **keys))
    return photo


def rays(photo: Photo) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(photo.width) + 0.5, np.arange(photo.height) + 0.5)
    return (columns - photo.cx) / photo.fx, (rows - photo.cy) / photo.fy


@pytest.mark.parametrize(
    ("distortion", "expected"),
    [
        (
            Distortion((-0.2, 0.08, -0.01), (), (0.002, -0.003)),
            [[0.291429009, -0.194286006], [-0.630789032, 0.45045788], [0.041974936523, 0.801048857422]],
        ),
        (
            Distortion((0.3, 0.1, 0.02), (0.4, 0.05, 0.01), (0.002, -0.003)),
            [[0.295372859541, -0.196915239694], [-0.68411257775, 0.488546126964], [0.046154986001, 0.87628974802]],
        ),
        (
            Distortion((0.05, -0.02, 0.01, -0.003), fisheye=True),
            [[0.289574590819, -0.193049727213], [-0.590353026572, 0.421680733266], [0.04160416094, 0.748874896913]],
        ),
    ],
)
def test_points_are_where_opencv_projects_them(distortion: Distortion, expected: list[list[float]]) -> None:
    """cv2.projectPoints and cv2.fisheye.projectPoints of OpenCV 5.0."""
    np.testing.assert_allclose(np.stack(distortion(*POINTS.T), 1), expected, atol=1e-11)
    assert all(abs(value) < 1e-9 for value in np.ravel(distortion(np.zeros(1), np.zeros(1))))


@pytest.mark.parametrize("name", KEYS)
def test_a_straightened_photograph_is_what_a_pinhole_would_have_taken(tmp_path: Path, name: str) -> None:
    photo = taken(tmp_path, name)
    pixels = photo.read()
    assert pixels.shape == (photo.height, photo.width, 4)
    counts = pixels[..., 3] > 0
    expected = scene(*rays(photo))
    if name == "turning back":
        end = math.sqrt(1 / (3 * 0.45))  # where r + k1 r³ is largest
        assert not counts[np.hypot(*rays(photo)) > end].any()
        counts &= np.hypot(*rays(photo)) < 0.75 * end  # beside which things are pressed together
    assert counts.mean() > 0.4
    assert np.abs(pixels[..., :3] - expected)[counts].max() < 4


@pytest.mark.parametrize("name", ["barrel", "pincushion", "fisheye"])
def test_all_that_a_photograph_shows_is_kept(tmp_path: Path, name: str) -> None:
    """Up to the border's pixel, and to 1.5 times its sides."""
    photo = taken(tmp_path, name)
    counts = photo.read()[..., 3] > 0
    columns, rows = np.meshgrid(np.arange(1, WIDTH - 1) + 0.5, np.arange(1, HEIGHT - 1) + 0.5)
    x, y, _ = unbend(KEYS[name], (columns - 50) / 60, (rows - 33) / 66)
    near = (np.abs(x) < 1.45 * 50 / 60) & (np.abs(y) < 1.45 * 39 / 66)
    assert near.mean() > 0.9
    column, row = x[near] * photo.fx + photo.cx, y[near] * photo.fy + photo.cy
    assert counts[row.astype(int), column.astype(int)].all()
    assert photo.width * photo.height < 1.7**2 * WIDTH * HEIGHT


def test_what_a_mask_covers_does_not_count_and_colours_nothing(tmp_path: Path) -> None:
    photo = taken(tmp_path, "barrel")
    image = Image.open(tmp_path / "a.png").convert("RGBA")
    pixels = np.array(image)
    pixels[20:40, 30:50] = [255, 0, 255, 0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = photo.read()
    x, y = bend(KEYS["barrel"], *rays(photo))
    column, row = x * 60 + 50, y * 66 + 33
    covered = (column > 30) & (column < 50) & (row > 20) & (row < 40)
    far = (column < 27) | (column > 53) | (row < 17) | (row > 43)
    inside = (column > 0.5) & (column < WIDTH - 0.5) & (row > 0.5) & (row < HEIGHT - 0.5)
    assert not found[covered][:, 3].any()
    assert found[far & inside][:, 3].all()
    counts = found[..., 3] > 0
    assert np.abs(found[..., :3] - scene(*rays(photo)))[counts].max() < 4


def test_a_tenth_of_a_pixel_is_no_distortion() -> None:
    def lens(k1: float) -> Lens:
        return Lens(96, 96, 96.0, 96.0, 48.0, 48.0, Distortion((k1,)))

    corner = 0.5 * math.sqrt(2)  # where distortion is largest, k1 r³ focal lengths
    assert straightened(lens(0.099 / 96 / corner**3)) is None
    assert straightened(lens(0.101 / 96 / corner**3)) is not None
    assert straightened(Lens(96, 96, 96.0, 96.0, 48.0, 48.0)) is None


@pytest.mark.parametrize("k1", [1e9, -1e9, 1e200, -1e-3])
def test_coefficients_that_are_absurd_do_no_harm(k1: float) -> None:
    lens = Lens(32, 24, 30.0, 30.0, 16.0, 12.0, Distortion((k1,), (0.0, -3.0), (0.1, 0.0)))
    try:
        straight = straightened(lens)
    except OptionError:
        return
    assert straight is not None
    assert straight.width * straight.height <= 2 * 1.5**2 * 32 * 24
    assert undistorted(np.full((24, 32, 4), 255, np.uint8), lens).shape == (straight.height, straight.width, 4)


def test_resampling_at_pixels_copies_them_and_between_them_is_cubic() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    columns, rows = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    places = np.stack([columns, rows], -1).astype(np.float32)
    np.testing.assert_array_equal(resample(pixels, places)[..., :3], pixels[..., :3])
    cubic = np.linspace(-3, 3, 7) ** 2 * 20 + 30  # which cubic convolution reproduces up to squares
    pixels[..., :3], pixels[..., 3] = cubic.round().astype(np.uint8)[None, :, None], 255
    places[..., 0] += 0.25
    found = resample(pixels, places)
    np.testing.assert_allclose(found[:, 1:5, 0], np.tile((np.arange(-2, 2) + 0.25) ** 2 * 20 + 30, (5, 1)), atol=1)
    places[0, 0, 0], places[0, 1, 1], places[0, 2, 0] = np.nan, 0.49, 6.51
    assert resample(pixels, places)[0, :, 3].tolist() == [0, 0, 0, 255, 255, 255, 0]


def test_renderings_fit_photographs_that_a_lens_has_bent(tmp_path: Path) -> None:
    """Photographs of a mesh, bent pixel by pixel."""
    mesh = make_cube(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    path = photograph(mesh, tmp_path, around(2), (256, 384))
    values = json.loads(path.read_text())
    focal = values["fl_x"] / 2  # of photographs half as large
    columns, rows = np.meshgrid(np.arange(192) + 0.5, np.arange(128) + 0.5)
    x, y, _ = unbend({"k1": 2.0}, (columns - 96) / focal, (rows - 64) / focal)
    column, row = 2 * focal * x + 192, 2 * focal * y + 128
    for index in range(2):
        image = np.asarray(Image.open(tmp_path / f"{index}.png"))
        Image.fromarray(image[row.astype(int), column.astype(int)]).save(tmp_path / f"{index}.png")
    lens = {"fl_x": focal, "w": 192, "h": 128}
    found = [
        photo_psnr(mesh, mesh.originals(), read_photos(write_json(path, values["frames"], **lens, k1=k1)))
        for k1 in (2.0, 0.0)
    ]
    assert min(found[0]) > max(found[1]) + 6
