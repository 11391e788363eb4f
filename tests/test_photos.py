"""transforms.json: what is read of it, what is refused, and where its cameras see the mesh."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from photographer import write_json
from PIL import Image
from torch import Generator

from texopt import ImageError, Mesh, MeshError, OptionError
from texopt.objectives.photographs import cut
from texopt.photo_cameras import PhotoCameras, camera, fineness, whole, windows
from texopt.photos import Photos, photo_files, read_photos

HEIGHT, WIDTH = 60, 80
AT_3 = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]  # on +Z, looking along -Z with +Y upwards


def turned(seed: int, distance: float = 4.0) -> np.ndarray:
    """A random camera to world matrix that looks about at the origin."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, distance * rotation[:, 2] + 0.05
    return matrix


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(noise).save(tmp_path / "images" / "a.png")
    return tmp_path


def one(folder: Path, frame: dict[str, Any] | None = None, **common: Any) -> Photos:
    frames = [{"file_path": "images/a", "transform_matrix": AT_3} | (frame or {})]
    return read_photos(write_json(folder / "transforms.json", frames, **({"fl_x": 100} | common)))


def shifted_cube() -> Mesh:
    """Away from the origin, and not of radius 1."""
    cube = make_cube()
    cube.vertices[:] = cube.vertices * 0.4 + [0.1, -0.05, 0.2]
    return cube


def test_right_is_right_and_up_is_up(folder: Path) -> None:
    [photo] = one(folder, cx=38, cy=33, fl_y=90)
    right, top = photo.project(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    assert right == pytest.approx([38 + 100 / 3, 33])
    assert top == pytest.approx([38, 33 - 90 / 3])
    assert np.isnan(photo.project(np.array([[0, 0, 4.0]]))).all()


@pytest.mark.parametrize("window", [None, (7.0, -4.0, 32.0, 64.0)])
def test_renderings_see_points_where_the_photograph_does(folder: Path, window: tuple[float, ...] | None) -> None:
    """By the formulas of OpenGL and of a pinhole, written out."""
    mesh = shifted_cube()
    for seed in range(4):
        matrix = turned(seed)
        [photo] = one(folder, {"transform_matrix": matrix.tolist()}, fl_y=95.0, cx=37.5, cy=31.0)
        left, top, width, height = window or whole(photo)
        shot = camera(photo, mesh, (left, top, width, height))
        clip = shot.project(mesh.unit_vertices(optimized=True).double())[0].numpy()
        assert (np.abs(clip[:, 2]) <= clip[:, 3]).all()  # none is cut off
        seen = (clip[:, :2] / clip[:, 3:] * [1, -1] + 1) / 2 * [width, height] + [left, top]
        eye = (np.linalg.inv(matrix) @ np.c_[mesh.vertices, np.ones(len(mesh.vertices))].T)[:3]
        expected = np.stack([100 * eye[0] / -eye[2] + 37.5, 31.0 - 95 * eye[1] / -eye[2]], 1)
        np.testing.assert_allclose(seen, expected, atol=1e-4)
        np.testing.assert_allclose(photo.project(mesh.vertices), expected, atol=1e-9)
        assert windows(photo, shot)[0] == pytest.approx((left, top, width, height), abs=1e-9)


def test_lenses_are_said_in_several_ways(folder: Path) -> None:
    angle = 2 * math.atan(WIDTH / 2 / 100)
    for common in ({"fl_x": None, "camera_angle_x": angle}, {"fl_x": 100, "w": WIDTH, "h": HEIGHT}, {"fl_y": 100}):
        [photo] = one(folder, **common)
        assert (photo.fx, photo.fy, photo.cx, photo.cy) == pytest.approx((100, 100, WIDTH / 2, HEIGHT / 2))
    [photo] = one(folder, {"fl_x": 70, "cx": 3}, cx=9)  # a frame's own
    assert (photo.fx, photo.cx) == (70, 3)


def test_plus_z_up_is_turned_to_plus_y_up(folder: Path) -> None:
    one(folder)
    [photo] = read_photos(folder / "transforms.json", up="z")
    assert photo.camera_to_world[:3, 3].tolist() == [0, 3, 0]  # what was high up still is
    assert (photo.camera_to_world[:3, :3] @ [0, 0, -1]).tolist() == [0, -1, 0]


def test_a_reduced_photograph_sees_the_same(folder: Path) -> None:
    [photo] = one(folder, cx=38, cy=33)
    points = np.random.default_rng(1).normal(size=(9, 3)) * 0.5
    small = photo.reduced(8)
    np.testing.assert_allclose(small.project(points) * 8, photo.project(points))
    pixels = photo.read().astype(float)
    np.testing.assert_allclose(small.read()[1, 2, :3], pixels[8:16, 16:24, :3].mean((0, 1)), atol=0.51)
    assert small.read().shape == (small.height, small.width, 4) == (8, 10, 4)  # 60 is no multiple of 8


def test_opacity_and_mask_say_what_counts(folder: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    alpha[:30, :, 3] = 0
    Image.fromarray(alpha).save(folder / "images" / "b.png")
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, :40] = 0
    Image.fromarray(mask).save(folder / "m.png")
    photos = one(folder, {"file_path": "images/b.png", "mask_path": "m.png"})
    assert photos.pixels(0)[..., 3].astype(bool).sum() == 30 * 40
    assert photos.pixels(0)[45, 60, 3] == 255


def test_a_window_may_reach_out_of_the_photograph(folder: Path) -> None:
    photos = one(folder)
    goal, counts = cut(photos, 0, (-3.0, 50.0, 32.0, 16.0), 16, 32)
    assert counts.sum() == 10 * 29
    assert torch.equal(
        (goal[:, :10, 3:] * 255).round().byte(), torch.tensor(photos.pixels(0))[50:, :29, :3].movedim(2, 0)
    )
    with pytest.raises(OptionError, match=r"view_size=cameras\.size"):
        cut(photos, 0, (0.0, 0.0, 80.0, 60.0), 32, 32)


def test_a_larger_window_is_of_blocks_of_pixels(folder: Path) -> None:
    photos = one(folder)
    goal, counts = cut(photos, 0, (4.0, 8.0, 64.0, 64.0), 16, 16)
    assert counts[0, :13].all()  # the photograph ends after 52 rows more
    assert not counts[0, 13:].any()
    expected = photos.pixels(0)[8:12, 8:12, :3].mean((0, 1)) / 255
    np.testing.assert_allclose(goal[:, 0, 1].numpy(), expected, atol=0.003)


def test_windows_of_all_resolutions_come_in_turn_the_coarsest_first(folder: Path) -> None:
    Image.new("RGB", (640, 480)).save(folder / "images" / "large.png")
    photos = one(folder, {"file_path": "images/large"}, fl_x=640)
    mesh = shifted_cube()
    cameras = PhotoCameras(photos, mesh, (128, 96))
    found = windows(photos[0], cameras(Generator().manual_seed(0), 9))
    assert [round(width) for _, _, width, _ in found] == [384, 192, 96] * 3
    assert [round(height) for _, _, _, height in found] == [512, 256, 128] * 3
    box = np.array([bound(photos[0].project(mesh.vertices), 0) for bound in (np.min, np.max)])
    left, top, width, height = found[0]
    assert (box[0] >= [left, top]).all()
    assert (box[1] <= [left + width, top + height]).all()


def test_every_photograph_is_shown_as_often_as_another_each_time_in_another_order(folder: Path) -> None:
    frames = [{"file_path": "images/a", "transform_matrix": turned(seed).tolist()} for seed in range(7)]
    photos = read_photos(write_json(folder / "t.json", frames, fl_x=150))
    cameras = PhotoCameras(photos, shifted_cube(), (32, 32))
    shown = cameras(Generator().manual_seed(3), 70, 0)
    assert shown.frames == 7
    turns = shown.frame.reshape(10, 7)
    assert torch.equal(turns.sort(1).values, torch.arange(7).expand(10, 7))
    assert len({tuple(turn) for turn in turns.tolist()}) > 5
    later = cameras(Generator().manual_seed(3), 5, 33)
    assert torch.equal(later.frame, shown.frame[33:38])
    assert torch.equal(later.projection, shown.projection[33:38])
    for index, row in zip(shown.frame.tolist(), range(70), strict=False):
        left, top, width, height = windows(photos[index], shown[row : row + 1])[0]
        assert width == pytest.approx(height)
        assert round(width) in (32, 64)
        assert (round(left), round(top)) == pytest.approx((left, top), abs=1e-6)
        assert 0 <= round(left) <= max(WIDTH - round(width), 0)
        assert 0 <= round(top) <= max(HEIGHT - round(height), 0)
    assert len({tuple(matrix[0].flatten().tolist()) for matrix in shown.projection.split(1)}) > 30


def test_windows_see_the_object_wherever_it_is(folder: Path) -> None:
    """A small object in a corner of a large photograph."""
    Image.new("RGB", (2000, 1500)).save(folder / "images" / "large.png")
    photos = one(folder, {"file_path": "images/large"}, fl_x=2000, cx=300, cy=1200)
    mesh = shifted_cube()
    shown = PhotoCameras(photos, mesh, (128, 128))(Generator().manual_seed(0), 40)
    box = np.array([bound(photos[0].project(mesh.vertices), 0) for bound in (np.min, np.max)])
    for left, top, width, height in windows(photos[0], shown):
        overlap = np.minimum(box[1], [left + width, top + height]) - np.maximum(box[0], [left, top])
        assert (overlap > 32).all()


def test_texels_to_a_pixel(folder: Path) -> None:
    """A side of the cube, 0.8 wide and 2.4 away, is 33 pixels wide and 0.29 of a texture."""
    found = fineness(one(folder), shifted_cube(), [256])
    assert found == pytest.approx(math.sqrt(0.29 * 0.46) * 256 / (0.8 / 2.4 * 100), rel=0.1)


def test_photographs_that_do_not_see_the_mesh_are_left_out_and_told_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = np.array(AT_3) * 1.0
    away[:3, :3] = np.diag([-1, 1, -1])  # it looks the other way
    frames = [{"file_path": "images/a", "transform_matrix": matrix} for matrix in (away.tolist(), AT_3)]
    photos = read_photos(write_json(folder / "t.json", frames, fl_x=100))
    assert set(PhotoCameras(photos, shifted_cube())(Generator(), 6).frame.tolist()) == {1}
    assert "a.png and 0 more photographs do not see" in caplog.text
    with pytest.raises(MeshError, match="none of 1 photographs sees cube"):
        PhotoCameras(photos[:1], shifted_cube())


FRAMES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no file": ({"file_path": "images/b"}, {}, "images/b does not exist"),
    "no name": ({"file_path": 3}, {}, "file_path has to be"),
    "a NUL": ({"file_path": "a\0"}, {}, "file_path has to be"),
    "a mask": ({"mask_path": "images"}, {}, "does not exist"),
    "no lens": ({}, {"fl_x": None}, "how wide the lens sees"),
    "a negative lens": ({}, {"fl_x": -3}, "how wide the lens sees"),
    "a lens of text": ({}, {"fl_x": "wide"}, "fl_x has to be a number"),
    "an angle": ({}, {"fl_x": None, "camera_angle_x": 4}, "camera_angle_x has to be between"),
    "distortion": ({}, {"k1": -0.1}, "undistort"),
    "a fisheye": ({}, {"camera_model": "OPENCV_FISHEYE"}, "undistort"),
    "a size": ({}, {"w": 800, "h": 600}, "is 80x60 and w, h say 800x600"),
    "no matrix": ({"transform_matrix": None}, {}, "4 rows"),
    "text": ({"transform_matrix": "eye"}, {}, "4 rows"),
    "three rows of three": ({"transform_matrix": [[1, 0, 0]] * 3}, {}, "4 rows"),
    "not a number": ({"transform_matrix": [[float("nan")] * 4] * 4}, {}, "not finite"),
    "no rotation": ({"transform_matrix": [[1] * 4] * 4}, {}, "no rotation"),
    "zeros": ({"transform_matrix": [[0] * 4] * 4}, {}, "no rotation"),
    "a mirror": ({"transform_matrix": np.diag([-1, 1, 1, 1]).tolist()}, {}, "no rotation"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_is_wrong_is_said_in_a_line(folder: Path, name: str) -> None:
    frame, common, message = FRAMES[name]
    with pytest.raises((OptionError, ImageError), match=message):
        one(folder, frame, **common)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"frames": []}', '{"frames": 3}', '{"frames": [3]}', "[" * 10**5, "9" * 5000]
)
def test_what_is_no_transforms_json_is_refused(folder: Path, text: str) -> None:
    (folder / "t.json").write_text(text)
    with pytest.raises(OptionError, match=r"t\.json"):
        read_photos(folder / "t.json")
    assert photo_files(folder / "t.json") == []


def test_images_elsewhere_are_refused(folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    for name in ("../images/a.png", str(folder / "images" / "a.png")):
        with pytest.raises(OptionError, match="not in the folder"):
            one(below, {"file_path": name})
    (below / "link.png").symlink_to(folder / "images" / "a.png")
    with pytest.raises(OptionError, match="not in the folder"):
        one(below, {"file_path": "link.png"})


def test_a_mask_of_another_size_is_refused(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "m.png")
    with pytest.raises(ImageError, match=r"m\.png is 8x8"):
        one(folder, {"mask_path": "m.png"})
