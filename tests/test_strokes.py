"""Strokes along a direction: what the loss says of stripes, and what directions are on a surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml
from conftest import check_one_line, make_cube, make_network
from fields import two_materials
from PIL import Image
from torch import Tensor

import texopt
from texopt import FeatureExtractor, Fragments, Mesh, OptionError, PyramidTexture, View, orbit
from texopt.cli.main import main
from texopt.features.extractor import Activations
from texopt.io.export import export
from texopt.mesh.curvature import least_curvature
from texopt.objectives.stroke_direction import projected
from texopt.render.cameras import Cameras, zoomed
from texopt.render.scene import Scene
from texopt.render.surface import Geometry
from texopt.render.surface_directions import direction_field
from texopt.system.images import to_image

FRONT, OBLIQUE = orbit(0, 0), orbit(50, 35)
NEAR = zoomed(orbit(-40, 20, 2.0, fov_y=70.0), 3.0, torch.tensor([[0.1, 0.05]], dtype=torch.float64))
CAMERAS = {"front": FRONT, "oblique": OBLIQUE, "wide and near": NEAR}
SIZE = 96

Paint = Callable[[Tensor], Tensor]  # positions [B,3,H,W] -> grey [B,1,H,W]


def plane(cells: int = 4) -> Mesh:
    """A square of side 2 across the z axis, whose UVs are those of an image that is seen upright."""
    steps = np.linspace(-1, 1, cells + 1)
    x, y = (values.flatten() for values in np.meshgrid(steps, steps))
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (values.flatten() for values in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh("plane", np.stack([x, y, 0 * x], 1), faces, np.stack([x, y], 1) / 2 + 0.5)


def solid(shape: trimesh.Trimesh) -> Mesh:
    """Of a shape of trimesh; its UVs mean nothing."""
    return Mesh("solid", shape.vertices, shape.faces, np.array(shape.vertices[:, :2]))


def cylinder() -> Mesh:
    """Along y, without its ends, with UVs around it and along it."""
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, 33), np.linspace(-1.5, 1.5, 17))
    index = np.arange(angle.size).reshape(angle.shape)
    a, b, c, d = (values.flatten() for values in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    points = np.stack([0.5 * np.sin(angle), height, 0.5 * np.cos(angle)], -1).reshape(-1, 3).round(12)
    uvs = np.stack([angle / (2 * np.pi), height / 3 + 0.5], -1).reshape(-1, 2)
    return Mesh("cylinder", points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), uvs)


def look(mesh: Mesh, cameras: Cameras = FRONT, paint: Paint | None = None, size: int = SIZE) -> View:
    """A view of a mesh that is painted, in double precision."""
    fragments = Scene(mesh).rasterize(cameras, size)
    geometry, mask = Geometry(fragments, cameras), fragments.mask[:, None].float()
    grey = 0 * mask if paint is None else paint(geometry.position.double())
    image = torch.where(mask > 0, grey, torch.rand(mask.shape)).expand(-1, 3, -1, -1)
    network = FeatureExtractor(make_network())
    none = Activations(network, image, set(), False)
    return View(
        image, mask, image, none, none, network, torch.zeros(2, 0, 3), scale=size / 2, cameras=cameras,
        geometry=geometry,
    )  # fmt: skip


def stripes(*across: float) -> Paint:
    """A wave in that direction, of two cycles a unit of length."""
    unit = torch.tensor(across, dtype=torch.float64) / np.linalg.norm(across)
    return lambda position: 0.5 + 0.4 * torch.sin(4 * np.pi * (position * unit[:, None, None]).sum(1, keepdim=True))


def value(view: View, direction: str | texopt.objectives.stroke_direction.Direction, where: str = "") -> float:  # type: ignore[name-defined]
    return float(texopt.strokes(direction, where)(view)[0])


# the loss


@pytest.mark.parametrize("cameras", CAMERAS.values(), ids=CAMERAS)
def test_stripes_on_a_plane(cameras: Cameras) -> None:
    """0 along them, 1 across them, 1/2 between, from wherever they are seen."""
    for across, expected in (((0, 1, 0), 0.0), ((1, 0, 0), 1.0), ((1, 1, 0), 0.5), ((-1, 1, 0), 0.5)):
        view = look(plane(), cameras, stripes(*across), 192)
        assert value(view, "along:x") == pytest.approx(expected, abs=0.02)
        assert value(view, "along:y") == pytest.approx(1 - expected, abs=0.02)
    diagonal = look(plane(), cameras, stripes(1, 1, 0), 192)
    assert value(diagonal, lambda view: torch.tensor([1.0, -1, 0])[:, None, None] + 0 * view.position) < 0.02
    assert value(diagonal, lambda view: torch.tensor([-2.0, -2, 9])[:, None, None] + 0 * view.position) > 0.98


def test_nothing_is_between() -> None:
    assert value(look(plane()), "along:x") == pytest.approx(0.5)
    assert value(look(plane(), OBLIQUE, stripes(0, 1, 0)), lambda view: 0 * view.position) == pytest.approx(0.5)
    assert value(look(plane(), paint=stripes(0, 1, 0)), "along:z") == pytest.approx(0.5)  # it is across the surface


def test_the_outline_and_the_background_do_not_count() -> None:
    view = look(plane(), OBLIQUE, stripes(0, 1, 0))
    image = torch.where(view.mask > 0, view.image, torch.rand_like(view.image))
    assert value(view.with_image(image), "along:x") == value(view, "along:x")


def test_another_part_of_the_object_in_front_is_no_edge() -> None:
    """Two plates, one before the other, of different greys."""
    back, front = plane(), plane()
    both = replace(
        back, vertices=np.concatenate([back.vertices, front.vertices * 0.4 + [0, 0, 0.5]]),
        faces=np.concatenate([back.faces, front.faces + len(back.vertices)]),
        face_uvs=np.concatenate([back.face_uvs] * 2),
        **{name: np.zeros(64, np.int32) for name in ("face_map", "face_material", "face_object")},
    )  # fmt: skip
    view = look(both, FRONT, lambda position: 0.2 + 0.6 * (position[:, 2:] > 0.25))
    assert value(view, "along:x") == pytest.approx(0.5)
    crease = look(make_cube(), OBLIQUE, lambda position: 0.2 + 0.6 * (position[:, 2:] > 0.99))
    assert abs(value(crease, "along:x") - 0.5) > 0.1  # between faces that meet there is one


def test_gradient(extractor: FeatureExtractor) -> None:
    view = look(plane(1), OBLIQUE, size=12)
    loss = texopt.strokes("around:z").terms[0].loss
    image = torch.rand(1, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: loss(view.with_image(image)), image)


def test_the_same_digits_on_any_number_of_threads() -> None:
    view = look(cylinder(), OBLIQUE, size=192)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        image = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = texopt.strokes("curvature")(view.with_image(image))[0]
        loss.backward()
        found.append((loss.detach(), image.grad))
    for loss, grad in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert torch.equal(grad, found[0][1])  # type: ignore[arg-type]


@pytest.mark.parametrize("cameras", CAMERAS.values(), ids=CAMERAS)
def test_projected_steps_are_those_of_points_that_move(cameras: Cameras) -> None:
    view, step = look(cylinder(), cameras), 1e-4
    tangents = torch.randn(view.position.shape)
    points = view.fragments.unit_position[0].double().reshape(-1, 3)

    def places(points: Tensor) -> Tensor:
        clip = cameras.project(points)[0]
        return torch.stack([clip[:, 0], -clip[:, 1]]) / clip[:, 3] * SIZE / 2

    moved = [places(points + sign * step * tangents[0].double().flatten(1).T) for sign in (1, -1)]
    expected = (moved[0] - moved[1]).reshape(2, SIZE, SIZE) / (2 * step)
    there, found = view.mask[0, 0] > 0, projected(view, tangents.transpose(0, 1))[0][0].double()
    torch.testing.assert_close(found[:, there], expected[:, there], rtol=1e-4, atol=1e-3)


def test_where_the_image_was_turned_directions_turn_with_it() -> None:
    def move(images: Tensor) -> Tensor:
        return images.transpose(2, 3).flip(3).contiguous()

    view = look(plane(), OBLIQUE, stripes(0.3, 1, 0), 192)
    geometry = Geometry(view.fragments, OBLIQUE, move)
    turned = replace(view, image=move(view.image), mask=move(view.mask), geometry=geometry)
    for direction in ("along:x", "around:z"):
        assert value(turned, direction) == pytest.approx(value(view, direction), abs=0.01)
    assert value(turned, "along:x") < 0.2


def test_a_part_of_the_surface(extractor: FeatureExtractor) -> None:
    view = look(plane(), paint=lambda position: stripes(0, 1, 0)(position) * (position[:, :1] < 0))
    left = replace(view, regions=lambda text: (view.position[:, :1] < -0.1).float())
    assert value(left, "along:x", "left") < 0.01 < value(view, "along:x")


def test_no_directions(extractor: FeatureExtractor) -> None:
    for text in ("up", "around:w", "around", "along:", "curvature:up", "", "a.png,curvature"):
        with pytest.raises(OptionError, match="direction"):
            texopt.strokes(text)
    with pytest.raises(OptionError, match="not 3"):
        texopt.strokes(3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="vectors \\[1, 3, 96, 96\\]"):
        value(look(plane()), lambda view: view.position[:, :2])
    with pytest.raises(OptionError, match="cameras"):
        value(replace(look(plane()), cameras=None), "along:x")


# directions


def seen(mesh: Mesh, direction: str, cameras: Cameras = FRONT) -> tuple[Fragments, Tensor]:
    fragments = Scene(mesh).rasterize(cameras, SIZE)
    return fragments, direction_field(mesh, direction)(fragments)


def lines(vectors: Tensor, axis: Tensor | tuple[float, ...]) -> Tensor:
    """How much vectors [...,3] are along an axis, whatever their signs: from 0 to 1."""
    axis = torch.as_tensor(axis, dtype=vectors.dtype)
    return torch.nn.functional.cosine_similarity(vectors, axis.expand_as(vectors), dim=-1).abs()


def test_around_and_along() -> None:
    mesh = replace(cylinder(), vertices=cylinder().vertices * 7 + [30.0, -20.0, 5.0])
    fragments, around = seen(mesh, "around:y", OBLIQUE)
    position = (fragments.position - torch.tensor([30.0, -20.0, 5.0]))[fragments.mask]
    tangent = torch.stack([position[:, 2], 0 * position[:, 0], -position[:, 0]], 1)
    assert lines(around[fragments.mask], tangent).min() > 0.9999
    fragments, along = seen(mesh, "along:z", OBLIQUE)
    assert (along[fragments.mask] == torch.tensor([0.0, 0.0, 1.0])).all()


def test_the_least_curvature_of_a_cylinder_is_along_it() -> None:
    for direction, axis in (("curvature", (0.0, 1.0, 0.0)), ("curvature:across", None)):
        fragments, vectors = seen(cylinder(), direction, OBLIQUE)
        inside = fragments.mask & (fragments.position[..., 1].abs() < 1.2)
        assert vectors[inside].norm(dim=-1).min() > 0.8
        if axis is None:
            assert lines(vectors[inside], (0.0, 1.0, 0.0)).max() < 0.05
        else:
            assert lines(vectors[inside], axis).min() > 0.999


def test_of_a_torus_it_is_around_the_ring() -> None:
    mesh = solid(trimesh.creation.torus(1.0, 0.25, 64, 32))  # around z
    fragments, vectors = seen(mesh, "curvature", orbit(20, 40))
    position = fragments.position[fragments.mask]
    around = torch.stack([-position[:, 1], position[:, 0], 0 * position[:, 0]], 1)
    assert lines(vectors[fragments.mask], around).min() > 0.99
    assert vectors[fragments.mask].norm(dim=-1).min() > 0.7


def test_spheres_and_planes_have_no_direction() -> None:
    for mesh in (solid(trimesh.creation.icosphere(4)), plane()):
        fragments, vectors = seen(mesh, "curvature", OBLIQUE)
        assert vectors[fragments.mask].norm(dim=-1).mean() < 0.05


def test_curvature_knows_no_seams_and_no_scale() -> None:
    mesh = cylinder()
    found = least_curvature(mesh.vertices, mesh.faces, mesh.normalization()[1])
    apart = mesh.vertices[mesh.faces].reshape(-1, 3)  # each face has vertices of its own
    faces = np.arange(len(apart)).reshape(-1, 3)
    assert np.allclose(least_curvature(apart, faces, mesh.normalization()[1]), found)
    large = least_curvature(1e3 * mesh.vertices, mesh.faces, 1e3 * mesh.normalization()[1])
    assert np.allclose(abs((large * found).sum(-1)), (found * found).sum(-1), atol=1e-6)


def test_faces_without_area_have_finite_curvature() -> None:
    mesh = cylinder()
    faces = np.concatenate([mesh.faces, [[0, 0, 1], [5, 5, 5]]])
    assert np.isfinite(least_curvature(mesh.vertices, faces, 1.5)).all()


# painted on the UVs


def painted(path: Path, color: tuple[int, ...], width: int = 32, height: int = 32) -> str:
    Image.new("RGBA", (width, height), color).save(path)
    return str(path)


RED, GREEN_90, CYAN, OLIVE_45 = (255, 0, 0), (128, 255, 0), (0, 255, 255), (255, 191, 0)
TURNED = np.array([[0.0, 1.0], [-1.0, 0.0]])


@pytest.mark.parametrize(
    ("color", "change", "expected"),
    [
        (RED, np.eye(2), (1, 0)), (CYAN, np.eye(2), (1, 0)), (GREEN_90, np.eye(2), (0, 1)),
        (OLIVE_45, np.eye(2), (1, 1)), (RED, TURNED, (0, 1)), (OLIVE_45, TURNED, (-1, 1)),
        (OLIVE_45, np.diag([-1.0, 1.0]), (-1, 1)), (GREEN_90, np.diag([-1.0, 1.0]), (0, 1)),
        (OLIVE_45, np.diag([0.5, 1.0]), (2, 1)),
    ],
)  # fmt: skip
def test_a_hue_is_an_angle_on_the_uvs(
    color: tuple[int, ...], change: np.ndarray, expected: tuple[float, float], tmp_path: Path
) -> None:
    """Also where UVs are turned, mirrored or stretched; and as uv_da has it at the pixels."""
    flat = plane()
    # uv = change^T xy: where u grows, and v
    mesh = replace(flat, uvs=(flat.uvs - 0.5) @ change + 0.5)
    image = painted(tmp_path / "hue.png", color)
    fragments, vectors = seen(mesh, image, OBLIQUE)
    inside = vectors[fragments.mask]
    assert inside.norm(dim=-1).min() > 0.95
    assert lines(inside, (*map(float, expected), 0.0)).min() > 0.999
    view = look(mesh, OBLIQUE)
    angle = torch.deg2rad(torch.tensor({RED: 0.0, CYAN: 180.0, GREEN_90: 90.0, OLIVE_45: 45.0}[color]))
    inverse = torch.linalg.inv(view.fragments.uv_da[fragments.mask].reshape(-1, 2, 2))
    step = (inverse * torch.stack([angle.cos(), angle.sin()])).sum(-1)
    found = projected(view, vectors.movedim(-1, 0))[0].permute(0, 2, 3, 1)[fragments.mask]
    assert torch.nn.functional.cosine_similarity(step, found, dim=-1).abs().min() > 0.999


def test_angles_are_those_of_the_image_as_it_is_seen(tmp_path: Path) -> None:
    fragments, vectors = seen(plane(), painted(tmp_path / "wide.png", OLIVE_45, 64, 32))
    assert lines(vectors[fragments.mask], (1.0, 2.0, 0.0)).min() > 0.999


def test_where_a_texture_is_mirrored_angles_are(tmp_path: Path) -> None:
    mesh = replace(plane(), uvs=plane().uvs * (2, 1))
    mesh = replace(mesh, maps=(replace(mesh.maps[0], wrap=("mirror", "repeat")),))
    fragments, vectors = seen(mesh, painted(tmp_path / "wide.png", OLIVE_45))
    for side, axis in ((fragments.uv[..., 0] < 1, (1.0, 2.0, 0.0)), (fragments.uv[..., 0] > 1, (-1.0, 2.0, 0.0))):
        assert lines(vectors[fragments.mask & side], axis).min() > 0.999


@pytest.mark.parametrize("color", [(128, 128, 128), (0, 0, 0), (255, 255, 255), (255, 0, 0, 0)])
def test_no_colour_asks_for_nothing(color: tuple[int, ...], tmp_path: Path) -> None:
    assert not seen(plane(), painted(tmp_path / "none.png", color))[1].any()


def test_uvs_without_area_have_no_direction(tmp_path: Path) -> None:
    mesh = replace(plane(), uvs=np.full((25, 2), 0.5))
    assert not seen(mesh, painted(tmp_path / "red.png", RED))[1].any()


def test_each_texture_has_its_image(tmp_path: Path) -> None:
    mesh, red = two_materials(), painted(tmp_path / "red.png", RED)
    fragments, vectors = seen(mesh, f"Right={red}", OBLIQUE)
    assert torch.equal(vectors.norm(dim=-1) > 0.5, fragments.mask & (fragments.map_id == 1))
    for text, message in (
        (red, "has 2 textures; say which"), (f"nose={red}", "no texture 'nose' to paint directions on; it has left"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=message):
            direction_field(mesh, text)
    kept = replace(mesh, maps=(replace(mesh.maps[0], kept=True), mesh.maps[1]))
    direction_field(kept, red)
    with pytest.raises(OptionError, match="no texture 'left'"):
        direction_field(kept, f"left={red}")
    new = replace(make_cube(), maps=(replace(make_cube().maps[0], own_uvs=False),))
    with pytest.raises(OptionError, match="has new ones"):
        direction_field(new, red)


# runs


@pytest.mark.parametrize("direction", ["curvature", "around:y"])
def test_a_run_turns_the_strokes(direction: str, extractor: FeatureExtractor) -> None:
    texture = PyramidTexture(64, start=torch.rand(3, 64, 64))
    result = texopt.optimize(
        cylinder(),
        texture,
        texopt.strokes(direction),
        steps=30,
        views=texopt.Views(size=64, cameras=texopt.sample_sphere(elevation=(-10, 10))),
        descent=texopt.Descent(learning_rate=0.3),
        backbone=extractor,
        device="cpu",
    )
    values = [step.terms["strokes"] for step in result.history]
    assert values[0] == pytest.approx(0.5, abs=0.1)
    assert np.mean(values[-5:]) < 0.5 * values[0]


SMALL = ["--steps", "4", "--view-size", "32", "--texture-size", "64", "--format", "png", "--style-scale", "0.5"]


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """A cube and a painting."""
    cube, image = tmp_path / "in" / "cube.obj", tmp_path / "painting.png"
    export(make_cube(), [torch.rand(3, 16, 16)], cube)
    to_image(torch.rand(3, 64, 64)).save(image)
    return ["style", str(cube), str(image)]


@pytest.mark.slow
@pytest.mark.usefixtures("little_written")
def test_the_command_and_its_config(inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it saves makes the same texture again, from another folder, too."""
    monkeypatch.chdir(tmp_path)
    painted(tmp_path / "hue.png", OLIVE_45)
    options = ["--direction", "hue.png", "--direction-weight", "3", *SMALL]
    assert main([*inputs, *options, "--out", "first"]) == 0
    assert main([*inputs, *SMALL, "--out", "plain"]) == 0
    saved = yaml.safe_load((tmp_path / "first" / "config.yaml").read_text())
    assert saved["direction"] == str((tmp_path / "hue.png").resolve())
    assert saved["direction_weight"] == 3.0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["style", "--config", "../first/config.yaml", "--out", "../again"]) == 0
    first, again, other = ((tmp_path / name / "cube.png").read_bytes() for name in ("first", "again", "plain"))
    assert first == again != other
    header = (tmp_path / "first" / "history.csv").read_text().splitlines()[0]
    assert "strokes" in header.split(",")
    assert "strokes" not in (tmp_path / "plain" / "history.csv").read_text()


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--direction", "up"], "direction has to be curvature"), (["--direction", "around:w"], "around:x, around:y"),
        (["--direction", "missing.png"], "missing.png does not exist"),
        (["--direction", "nose=missing.png"], "no texture 'nose'"),
        (["--direction", "cube.obj"], "direction has to be"),
        (["--direction", "in/bad.png"], "bad.png is not an image"),
        (["--direction", "curvature", "--direction-weight", "-1"], "weights have to be 0 or more"),
        (["--direction", "curvature", "--direction-weight", "nan"], "weights have to be 0 or more"),
    ],
)  # fmt: skip
def test_refused_in_one_line(
    options: list[str], message: str, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "bad.png").write_text("no image")
    check_one_line([*inputs, *options, *SMALL], message, capsys)
    assert not (tmp_path / "outputs").exists()
