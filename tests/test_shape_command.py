"""--shape on the command line, and silhouettes of masks and photographs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from conftest import MESHES, STYLES, check_one_line, make_cube
from photographer import around, photograph
from PIL import Image
from torch import Tensor

import texopt
from texopt import Mesh, OptionError, Shape, load_mesh
from texopt.cli.main import main
from texopt.io.transforms_json import read_photos
from texopt.mesh.crossings import crossing_faces
from texopt.objectives.photo_loss import cut, cut_out
from texopt.render.moved_scene import ShapedScene, deepened
from texopt.render.photo_cameras import PhotoCameras, camera, whole
from texopt.render.scene import Scene

SQUASH = np.array([[1.0, 0, 0], [0.1, 0.85, 0], [0, 0, 0.9]])
QUICK = ["--steps", "3", "--texture-size", "64", "--view-size", "64", "--threads", "1", "--device", "cpu"]


def written_ball(folder: Path, fineness: int = 2, radius: float = 1.0) -> Path:
    """An OBJ of a sphere with normals and a group."""
    made = trimesh.creation.icosphere(fineness, radius)
    lines = [f"v {x} {y} {z}" for x, y, z in made.vertices]
    lines += [f"vt {x / 4 + 0.5} {y / 4 + 0.5}" for x, y, _ in made.vertices / radius]
    lines += [f"vn {x} {y} {z}" for x, y, z in made.vertices / radius]
    lines += ["g everything", *(f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in made.faces + 1)]
    (folder / "ball.obj").write_text("\n".join(lines) + "\n")
    return folder / "ball.obj"


def masked_photographs(mesh: Mesh, folder: Path, count: int = 12, size: tuple[int, int] = (96, 96)) -> Path:
    """photographs of a mesh, with opacity where it is."""
    path = photograph(mesh, folder, around(count), size)
    photos = read_photos(path)
    for photo in photos:
        shot = Scene(mesh, optimized=True).rasterize(camera(photo, mesh, whole(photo)), 4 * size[0], 4 * size[1])
        alpha = torch.nn.functional.avg_pool2d(shot.mask[:, None].float(), 4)[0, 0]
        image = Image.open(photo.path).convert("RGB")
        image.putalpha(Image.fromarray((255 * alpha).round().byte().numpy()))
        image.save(photo.path)
    return path


def squashed() -> Mesh:
    made = trimesh.creation.icosphere(3)
    vertices = np.array(made.vertices) @ SQUASH
    return Mesh("squashed", vertices, np.array(made.faces, np.int32), vertices[:, :2] / 4 + 0.5)


def test_a_ball_becomes_what_masks_of_photographs_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goal = squashed()
    cameras = masked_photographs(goal, tmp_path / "photos")
    ball = written_ball(tmp_path, 3, 0.95)
    out = tmp_path / "out"
    arguments = ["fit", ball, cameras, "--shape", 0.2, "--steps", 60, "--texture-size", 64, "--out", out]
    assert main([*map(str, arguments), "--learning-rate", "0.1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "vertices moved by" in said
    assert "cross" not in said
    before, after = load_mesh(ball), load_mesh(out / "ball.obj")
    assert np.array_equal(before.faces, after.faces)
    assert np.array_equal(before.face_uvs, after.face_uvs)
    lines = [(folder / "ball.obj").read_text().splitlines() for folder in (tmp_path, out)]
    assert [line for line in lines[0] if line[:2] in ("vt", "g ", "f ")] == [
        line for line in lines[1] if line[:2] in ("vt", "g ", "f ")
    ]
    distances, start = (
        np.abs(np.linalg.norm(mesh.vertices @ np.linalg.inv(SQUASH), axis=1) - 1) for mesh in (after, before)
    )
    assert distances.mean() < 0.25 * start.mean()
    assert after.normals is not None
    outward = (after.normals[after.face_normals] * (after.vertices[after.faces] - after.vertices.mean(0))).sum(-1)
    assert (outward > 0).all()


def test_a_style_carves_and_goes_on_from_where_it_was_stopped(tmp_path: Path, little_written: None) -> None:
    ball = written_ball(tmp_path)
    found = []
    for name in ("one", "two"):
        arguments = ["style", ball, STYLES / "woodcut.jpg", "--shape", "0.02", "--out", tmp_path / name, *QUICK]
        assert main([*map(str, arguments), "--seed", "3"]) == 0
        found.append(load_mesh(tmp_path / name / "ball.obj").vertices)
    assert np.array_equal(*found)
    way = np.linalg.norm(found[0] - load_mesh(ball).vertices, axis=1)
    assert 1e-4 < way.max() <= 0.04
    assert not len(crossing_faces(found[0], load_mesh(ball).faces))
    assert "shape: 0.02" in (tmp_path / "one" / "config.yaml").read_text()


def test_a_feature_and_an_objective_of_ones_own(tmp_path: Path, little_written: None) -> None:
    ball = written_ball(tmp_path)
    (tmp_path / "own.py").write_text("def smaller(view):\n    return view.alpha.mean()\n")
    for command, what in (("custom", f"{tmp_path / 'own.py'}:smaller"), ("feature", "act2:1")):
        out = tmp_path / command
        arguments = [command, ball, what, "--shape", "0.05", "--out", out, "--learning-rate", "0.5", *QUICK]
        assert main([*map(str, arguments)]) == 0
        moved = load_mesh(out / "ball.obj").vertices
        assert np.linalg.norm(moved - load_mesh(ball).vertices, axis=1).max() > 1e-3
        if command == "custom":
            assert np.linalg.norm(moved, axis=1).mean() < 1


@pytest.mark.parametrize("bound", ["-0.1", "0.3", "nan"])
def test_bounds_that_cannot_be(bound: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["style", str(written_ball(tmp_path)), str(STYLES / "woodcut.jpg"), f"--shape={bound}"]
    check_one_line(arguments, "shape has to be between 0 and 0.2 diameters", capsys)


def test_photographs_without_masks_have_no_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cameras = photograph(squashed(), tmp_path / "photos", around(4), (64, 64))
    check_one_line(
        ["fit", str(written_ball(tmp_path)), str(cameras), "--shape", "0.1"], "no photograph has a mask", capsys
    )


def test_a_set_has_no_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ball = str(written_ball(tmp_path))
    creature = str(MESHES / "creature.obj")
    arguments = ["style", ball, creature, "--style", str(STYLES / "woodcut.jpg"), "--shape", "0.02"]
    check_one_line(arguments, "--shape is for one mesh", capsys)


# Silhouettes.


@pytest.mark.parametrize(
    ("goals", "message"),
    [(torch.zeros(3, 8, 8), r"\[N,1,H,W\]"), (torch.zeros(3, 1, 8, 8).int(), r"\[N,1,H,W\]"), (None, r"\[N,1,H,W\]")],
)
def test_masks_that_are_none(goals: Tensor, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        texopt.silhouettes(goals)


def test_masks_are_of_the_cameras_frames() -> None:
    mesh = make_cube()
    with pytest.raises(OptionError, match="3 masks and the views are of 1 frames"):
        texopt.optimize(
            mesh, texopt.PixelTexture(8), texopt.silhouettes(torch.zeros(3, 1, 8, 8)), backbone="none", steps=1,
            views=texopt.Views(size=32), shape=Shape(mesh),
        )  # fmt: skip


def test_a_window_of_a_photograph_knows_where_the_photograph_ends(tmp_path: Path) -> None:
    photos = read_photos(masked_photographs(squashed(), tmp_path, 2, (64, 96)))
    values, there = cut_out(photos, 0, (-10.0, 20.0, 64.0, 64.0), 64, 64)
    assert not there[0, :, :10].any()
    assert not there[0, 44:].any()
    assert there[0, :44, 10:].all()
    assert not values[:, there[0] == 0].any()
    whole_one, everywhere = cut_out(photos, 0, (0.0, 0.0, 96.0, 64.0), 64, 96)
    assert everywhere.all()
    assert torch.equal(whole_one[:, 20:, :54], values[:, :44, 10:])
    colors, counts = cut(photos, 0, (0.0, 0.0, 96.0, 64.0), 64, 96)
    assert torch.equal(colors, whole_one[:3])
    assert torch.equal(counts, (whole_one[3:] > 0.5).float())
    half, there = cut_out(photos, 0, (0.0, 0.0, 96.0, 64.0), 32, 48)
    assert there.all()
    assert float((half[3] - whole_one[3].reshape(32, 2, 48, 2).mean((1, 3))).abs().max()) < 0.01


# Cameras.


def test_cameras_see_nearer_and_farther_and_all_else_alike(tmp_path: Path) -> None:
    photos = read_photos(masked_photographs(squashed(), tmp_path, 2))
    kinds = [
        texopt.orbit(30.0, 20.0),
        texopt.Cameras(torch.eye(4)[None], texopt.orthographic([[-1, -1]], [[1, 1]], -1.0, 1.0)),  # type: ignore[arg-type]
        camera(photos[0], squashed(), whole(photos[0])),
    ]
    points = 0.9 * torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=1)
    for cameras in kinds:
        deep = deepened(cameras, 0.5)
        one, other = cameras.project(points), deep.project(points)
        assert torch.allclose(one[..., [0, 1, 3]], other[..., [0, 1, 3]])
        depths = [(each[..., 2] / each[..., 3])[0] for each in (one, other)]
        assert torch.equal(*(depth.argsort() for depth in depths))
        assert float(depths[1].abs().max()) < 1
        out = 1.4 * points
        inside = deep.project(out)
        assert bool((inside[..., 2].abs() <= inside[..., 3]).all())
    odd = texopt.Cameras(torch.eye(4)[None], torch.rand(1, 4, 4))
    assert torch.equal(deepened(odd, 0.5).projection, odd.projection)


def test_what_grows_out_of_the_unit_sphere_is_still_drawn() -> None:
    made = trimesh.creation.icosphere(2)
    mesh = Mesh("ball", np.array(made.vertices), np.array(made.faces, np.int32), np.array(made.vertices)[:, :2])
    shape = Shape(mesh, bound=0.5, smoothness=0.0)
    with torch.no_grad():
        ends = torch.zeros_like(shape.steps)
        ends[shape.place] = torch.from_numpy(mesh.vertices).float()
        shape.steps.copy_(0.4 * ends)
    fragments = ShapedScene(shape).rasterize(texopt.orbit(0.0, 0.0, radii=20.0), 64)
    assert bool(fragments.mask[0, 32, 32])
    assert float(fragments.position[0, 32, 32].detach().norm()) == pytest.approx(1.37, abs=0.06)


def test_a_json_of_cameras_is_as_it_was(tmp_path: Path) -> None:
    path = masked_photographs(squashed(), tmp_path, 3)
    assert len(json.loads(path.read_text())["frames"]) == 3
    mesh = squashed()
    cameras = PhotoCameras(read_photos(path), mesh)
    moved = replace(mesh, vertices=mesh.vertices * 1.1)
    seen = list(cameras.coverage(Scene(moved, optimized=True)))
    assert len(seen) == 3
