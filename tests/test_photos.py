"""transforms.json: what is read of it, what is refused, and where its cameras see the mesh."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from photographer import oriented, write_json
from PIL import Image
from torch import Generator

from texopt import ImageError, Mesh, MeshError, OptionError
from texopt.io.transforms_json import photo_files, read_photos
from texopt.objectives.photo_loss import cut
from texopt.render.photo_cameras import PhotoCameras, camera, fineness, whole, windows
from texopt.render.photos import Photos

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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"x_fov": 2 * math.degrees(math.atan(0.4))}, (100, 100)),  # degrees, as instant-ngp has it
        ({"x_fov": 2 * math.degrees(math.atan(0.4)), "y_fov": 2 * math.degrees(math.atan(0.25))}, (100, 120)),
        ({"camera_angle_y": 2 * math.atan(0.25)}, (120, 120)),
        ({"fl_x": 90, "x_fov": 3, "camera_angle_x": 0.1, "camera_angle_y": 0.1}, (90, 90)),
        ({"fl_x": 90, "fl_y": 80, "w": float(WIDTH)}, (90, 80)),
    ],
)
def test_fields_of_view_are_spelled_in_several_ways(
    folder: Path, values: dict[str, Any], expected: tuple[float, float]
) -> None:
    [photo] = one(folder, **({"fl_x": None} | values))
    assert (photo.fx, photo.fy) == pytest.approx(expected)
    [photo] = one(folder, values, fl_x=7, fl_y=8, x_fov=10, camera_angle_x=1)  # a frame's own, however spelled
    assert (photo.fx, photo.fy) == pytest.approx(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cameras_are_of_the_pixels_as_they_are_stored(
    folder: Path, orientation: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the EXIF orientation, which is for people who look at pictures; masks, too."""
    values = np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)
    mask = np.random.default_rng(2).integers(0, 256, (48, 48), np.uint8)
    oriented(folder / "a.png", values, orientation)
    oriented(folder / "m.png", mask, orientation)
    photos = one(folder, {"file_path": "a.png", "mask_path": "m.png"}, w=48, h=48)
    np.testing.assert_array_equal(photos.pixels(0), np.dstack([values, mask]))
    np.testing.assert_array_equal(photos[0].read(), np.dstack([values, mask]))
    assert not caplog.records


@pytest.mark.parametrize(("orientation", "turns"), [(6, 3), (8, 1)])
def test_an_image_is_turned_if_only_so_it_is_of_the_cameras_size(
    folder: Path, orientation: int, turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    values = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    mask = np.random.default_rng(2).integers(0, 256, (60, 80), np.uint8)
    oriented(folder / "a.png", values, orientation)
    for name, pixels, way in (("stored.png", mask, orientation), ("upright.png", np.rot90(mask, turns), 1)):
        oriented(folder / name, pixels, way)
        photos = one(folder, {"file_path": "a.png", "mask_path": name}, w=60, h=80)
        expected = np.rot90(np.dstack([values, mask]), turns)
        np.testing.assert_array_equal(photos.pixels(0), expected)
        np.testing.assert_array_equal(photos[0].read(), expected)
        assert (photos[0].width, photos[0].height, photos[0].cx) == (60, 80, 30)
    assert [record.getMessage() for record in caplog.records] == 2 * [
        "1 of 1 photographs are turned as their EXIF orientation says, as w, h are of them so"
    ]
    assert one(folder, {"file_path": "a.png"}, w=80, h=60)[0].width == 80  # stored, where both are there


def test_cameras_of_larger_images_are_scaled(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As of the smaller copies of the photographs that many programs make."""
    caplog.set_level("INFO")
    frame = {"cx": 300, "cy": 340, "w": 800, "h": 599}  # rounded
    [photo] = one(folder, frame, fl_x=1000, fl_y=900)
    assert (photo.width, photo.height) == (WIDTH, HEIGHT)
    assert (photo.fx, photo.fy, photo.cx, photo.cy) == pytest.approx((100, 90, 30, 34))
    [photo] = one(folder, {"w": 800, "h": 600}, fl_x=None, camera_angle_x=2 * math.atan(0.4))
    assert (photo.fx, photo.cx) == pytest.approx((100, 40))
    assert "1 of 1 photographs are of another size than w, h say" in caplog.text


def test_what_is_missing_is_left_out_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "cut.png").write_bytes((folder / "images" / "a.png").read_bytes()[:400])
    Image.new("RGB", (9, 9)).save(folder / "small.png")
    good = {"file_path": "images/a", "transform_matrix": AT_3}
    bad = [
        {"file_path": "gone.jpg"}, {"mask_path": "gone.png"}, {"mask_path": "small.png"}, {"file_path": "cut.png"},
        {"file_path": "small.png"}, {"transform_matrix": None}, {"transform_matrix": [[math.nan] * 4] * 4},
    ]  # fmt: skip
    path = write_json(folder / "t.json", [*(good | change for change in bad), good], fl_x=100, w=WIDTH, h=HEIGHT)
    assert [photo.path.name for photo in read_photos(path)] == ["a.png"]
    [record] = caplog.records
    assert "7 of 8 photographs cannot be used and are left out; " in record.getMessage()
    assert "frame 1: image" in record.getMessage()
    assert "gone.jpg does not exist" in record.getMessage()
    assert {file.name for file in photo_files(path)} == {"a.png", "cut.png", "small.png"}
    with pytest.raises(ImageError, match=r"none of 7 photographs can be used; .*frame 1: image"):
        read_photos(write_json(folder / "t.json", [good | change for change in bad], fl_x=100, w=WIDTH, h=HEIGHT))


def test_frames_that_say_the_same_count_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    frames = [{"file_path": name, "transform_matrix": AT_3} for name in ("images/a.png", "./images/a", "images//a.png")]
    other = {"file_path": "images/a.png", "transform_matrix": turned(1).tolist()}
    lens = {"file_path": "images/a.png", "transform_matrix": AT_3, "k1": 0.1}
    photos = read_photos(write_json(folder / "t.json", [*frames, other, lens], fl_x=100))
    assert len(photos) == 3
    assert "2 of 5 photographs are left out: other frames say the same" in caplog.text
    assert photos.pixels(2).shape[:2] == (photos[2].height, photos[2].width)
    assert photos.pixels(0)[..., 3].all()
    assert not photos.pixels(2)[..., 3].all()  # another lens, other pixels


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [
        ("./images/a", False), ("images\\a.png", False), (".\\images\\a", False), ("images/B", False),
        ("C:\\Users\\me\\scan\\images\\a.png", True), ("/home/me/scan/images/a.png", True),
        ("data/scan/images/a", True), ("../scan/images/a.png", True),
    ],
)  # fmt: skip
def test_names_are_as_other_computers_write_them(
    folder: Path, name: str, elsewhere: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "B.JPG")
    [photo] = one(folder, {"file_path": name})
    assert photo.path.resolve().parent == (folder / "images").resolve()
    assert ("taken from below the folder" in caplog.text) == elsewhere


def test_an_applied_transform_is_taken_back_if_wanted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Points of the space before it, turned and scaled as nerfstudio does, are seen where the cameras see them now."""
    caplog.set_level("INFO")
    matrix, points = turned(3), np.random.default_rng(0).normal(size=(20, 3)) * 0.3
    applied = np.array([[1, 0, 0, 0.3], [0, 0, 1, -0.1], [0, -1, 0, 0.2]])  # as for COLMAP's
    moved = 0.4 * (points @ applied[:, :3].T + applied[:, 3])
    values = {"applied_transform": applied.tolist(), "applied_scale": 0.4, "fl_x": 100}
    path = write_json(folder / "t.json", [{"file_path": "images/a", "transform_matrix": matrix.tolist()}], **values)
    [after], [before] = read_photos(path), read_photos(path, undo_transform=True)
    np.testing.assert_allclose(before.project(points), after.project(moved), atol=1e-9)
    np.testing.assert_allclose(after.camera_to_world, matrix)
    np.testing.assert_allclose(before.camera_to_world[:3, :3] @ before.camera_to_world[:3, :3].T, np.eye(3), atol=1e-12)
    assert caplog.text.count("--undo-transform is for a mesh of the space before it") == 1
    for change in ({"applied_scale": 0}, {"applied_transform": [[1, 0], [0, 1]]}):
        with pytest.raises(OptionError, match=next(iter(change))):
            read_photos(write_json(folder / "t.json", [{"file_path": "images/a"}], **(values | change)))


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
    with pytest.raises(OptionError, match=r"size=cameras\.size"):
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
    "a negative lens": ({}, {"fl_x": -3}, "positive number of pixels"),
    "a lens of text": ({}, {"fl_x": "wide"}, "fl_x has to be a number"),
    "an angle": ({}, {"fl_x": None, "camera_angle_x": 4}, "camera_angle_x has to be between"),
    "degrees": ({}, {"fl_x": None, "x_fov": 180}, "x_fov has to be between 0 and 180"),
    "a lens that shows nothing": ({}, {"cx": 1e9, "k1": 1}, "shows nothing"),
    "a panorama": ({}, {"camera_model": "EQUIRECTANGULAR"}, "camera is EQUIRECTANGULAR"),
    "an f-theta lens": ({}, {"ftheta_p0": 0.1}, "camera is ftheta_p0"),
    "another size": ({}, {"w": 800, "h": 500}, "is 80x60 and w, h say 800x500"),
    "another height": ({}, {"h": 61}, "is 80x60 and w, h say \\?x61"),
    "no matrix": ({"transform_matrix": None}, {}, "was not found"),
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
