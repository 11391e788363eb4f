"""--views-from: the cameras of a transforms.json, without photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STYLES, make_cube
from photographer import write_json, write_obj

from texopt.cli.main import main
from texopt.errors import MeshError, OptionError
from texopt.io.transforms_json import read_cameras
from texopt.mesh.mesh import Mesh
from texopt.render.cameras import look_at
from texopt.render.photo_cameras import framed_cameras
from texopt.render.scene import Scene

SMALL = ["--steps", "2", "--texture-size", "64", "--view-size", "64"]
FRONT = (0.0, 0.0, 9.0)

Point = tuple[float, float, float]


def place(eye: Point, target: Point = (0.0, 0.0, 0.0)) -> Any:
    """camera_to_world of a camera that looks at something."""
    points = (torch.tensor(point, dtype=torch.float64) for point in (eye, target, (0.0, 1.0, 0.0)))
    return np.linalg.inv(look_at(*points)[0].numpy()).tolist()


def write_cameras(path: Path, places: list[Any]) -> Path:
    frames = [{"file_path": f"Camera.{index}", "transform_matrix": matrix} for index, matrix in enumerate(places)]
    return write_json(path, frames, fl_x=1500.0, w=1920, h=1080)


@pytest.fixture
def cube() -> Mesh:
    return make_cube()


def test_a_view_is_what_the_camera_sees_of_the_object_and_fills_the_square(cube: Mesh, tmp_path: Path) -> None:
    photos = read_cameras(write_cameras(tmp_path / "cameras.json", [place((0, 1, 9)), place((9, -2, 3))]))
    cameras = framed_cameras(photos, cube)
    for shown in Scene(cube).rasterize(cameras, 128).mask:
        rows, columns = shown.nonzero().numpy().T
        assert max(np.ptp(rows), np.ptp(columns)) > 0.85 * 128
        assert not torch.cat([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).any()
    center, radius = cube.normalization(optimized=True)
    corners = torch.from_numpy((cube.vertices - center) / radius)
    for photo, clip in zip(photos, cameras.project(corners), strict=True):
        seen = (clip[:, :2] / clip[:, 3:]).numpy() * [1, -1]  # rows of pixels go down
        pixels = photo.project(cube.vertices)
        scale = np.ptp(seen, axis=0) / np.ptp(pixels, axis=0)
        assert scale[0] == pytest.approx(scale[1])
        shift = seen - scale * pixels
        np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-9)


def test_a_camera_that_sees_nothing_is_left_out(cube: Mesh, tmp_path: Path) -> None:
    away = place(FRONT, (0, 0, 20))
    photos = read_cameras(write_cameras(tmp_path / "cameras.json", [away, place(FRONT)]))
    assert len(framed_cameras(photos, cube)) == 1
    with pytest.raises(MeshError, match="none of 1 cameras sees"):
        framed_cameras(photos[:1], cube)


def test_a_run_looks_from_them_and_its_config_says_so(tmp_path: Path) -> None:
    mesh = write_obj(make_cube(), tmp_path / "cube.obj")
    file = write_cameras(tmp_path / "cameras.json", [place(FRONT)])
    arguments = ["style", str(mesh), str(STYLES / "mosaic.jpg"), *SMALL]
    for name, more in (("around", []), ("one", ["--views-from", str(file)])):
        assert main([*arguments, "--out", str(tmp_path / name), *more]) == 0
    config = tmp_path / "one" / "config.yaml"
    assert f"views_from: {file.resolve()}" in config.read_text()
    assert main(["style", "--config", str(config), "--out", str(tmp_path / "again")]) == 0
    around, one, again = ((tmp_path / name / "cube.png").read_bytes() for name in ("around", "one", "again"))
    assert around != one
    assert one == again


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"w": None}, "frame 1: w and h"),
        ({"h": 0}, "frame 1: w and h"),
        ({"w": 1e9}, "frame 1: w and h"),
        ({"fl_x": None}, "how wide the lens sees"),
        ({"frames": [{}]}, "no transform_matrix"),
        ({"frames": []}, "no list of frames"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write_cameras(tmp_path / "cameras.json", [place(FRONT)])
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    with pytest.raises(OptionError, match=message):
        read_cameras(file)


def test_close_ups_and_sets_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(write_obj(make_cube(), tmp_path / f"{name}.obj")) for name in "ab")
    painting, file = str(STYLES / "mosaic.jpg"), write_cameras(tmp_path / "c.json", [place(FRONT)])
    out = ["--out", str(tmp_path / "out"), "--views-from"]
    for arguments, message in (
        ([a, painting, "--preset", "final", *out, str(file)], "--close-ups 0"),
        ([a, b, "--style", painting, *out, str(file)], "--views-from is for one mesh"),
        ([a, painting, *out, str(tmp_path / "no.json")], "does not exist"),
    ):
        assert main(["style", *arguments]) == 2
        assert message in capsys.readouterr().err
