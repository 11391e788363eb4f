"""Photographs under an unknown light: the light is found, and the base colours come back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MESHES, check_one_line, make_cube
from photographer import around, photograph, write_obj
from torch import Generator, Tensor

import texopt
from texopt import Light, Mesh, OptionError, PyramidTexture
from texopt.cli.main import main
from texopt.evaluation.held_out import photo_psnr
from texopt.io.transforms_json import read_photos
from texopt.objectives.photo_light import DARKEST, Pairs, estimated, find_light, under
from texopt.render.photo_cameras import PhotoCameras
from texopt.render.reached import reached_texels
from texopt.render.shading import COSINE, HARMONICS, environment_of, harmonics, irradiance
from texopt.render.uv_raster import covered
from texopt.system.srgb import to_linear, to_srgb

SIZE = (96, 96)
WHITE = environment_of(torch.ones(1, 3))[0]


def sun(direction: tuple[float, float, float], color: tuple[float, float, float]) -> Tensor:
    """The environment [9,3] of a light from a direction."""
    toward = torch.nn.functional.normalize(torch.tensor([direction], dtype=torch.float32), dim=1)
    return harmonics(toward)[0][:, None] * torch.tensor(color)


EVENING = WHITE * torch.tensor([0.24, 0.27, 0.36]) + sun((-1, 1, 1), (1.9, 1.5, 0.9)) + sun((0, 1, 0), (0.2, 0.3, 0.6))


def normals(count: int, generator: Generator) -> Tensor:
    """Unit vectors [N,3] in all directions."""
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)


def direction_of(light: Tensor) -> Tensor:
    return torch.nn.functional.normalize(light[[3, 1, 2]].mean(1), dim=0)


def degrees_apart(light: Tensor, other: Tensor) -> float:
    return math.degrees(math.acos(min(1.0, float(direction_of(light) @ direction_of(other)))))


def log_error(light: Tensor, other: Tensor) -> float:
    """How far apart two lights are on surfaces of all directions, in logarithms, but for a factor a channel."""
    each = normals(4000, Generator().manual_seed(5))
    logs = [irradiance(one.expand(len(each), 9, 3), each).clamp(min=0.05 * math.pi).log() for one in (light, other)]
    return float((logs[0] - logs[1]).std(0).max())


def made_pairs(light: Tensor, colors: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Pairs:
    """Of surfaces of all directions and of so many base colours."""
    generator = Generator().manual_seed(2)
    sides = normals(8000, generator)
    base = (0.1 + 0.8 * torch.rand(colors, 3, generator=generator))[torch.randint(colors, (8000,), generator=generator)]
    shown = base * irradiance(light.expand(8000, 9, 3), sides).clamp(min=0.02) / math.pi * torch.tensor(tint)
    weights = (harmonics(sides) * torch.tensor(COSINE) / math.pi).double().numpy()
    return Pairs(shown.double().numpy().reshape(2, -1, 3), weights.reshape(2, -1, 9), weights)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mesh, Path]:
    """A mesh with the base colours, and transforms.json of 14 photographs of it in the evening."""
    mesh = texopt.load_mesh(MESHES / "creature.obj")
    folder = tmp_path_factory.mktemp("evening")
    return mesh, photograph(mesh, folder, around(14), SIZE, light=EVENING)


def test_in_even_white_light_colours_are_the_base_colours() -> None:
    image = torch.rand(2, 3, 5, 7, generator=Generator().manual_seed(0))
    normal = normals(70, Generator().manual_seed(1)).T.reshape(3, 2, 5, 7).transpose(0, 1)
    torch.testing.assert_close(under(WHITE, image, normal, normal), image, atol=1e-4, rtol=0)
    half = to_srgb(to_linear(image) * 0.5)
    torch.testing.assert_close(under(WHITE * 0.5, image, normal, -normal), half, atol=1e-4, rtol=0)


def test_what_is_brighter_than_white_has_a_gradient() -> None:
    image = torch.full((1, 3, 1, 1), 0.9, requires_grad=True)
    up = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    shown = under(WHITE * 3, image, up, up)
    (slope,) = torch.autograd.grad(shown.sum(), image)
    assert shown.min() > 1
    assert slope.min() > 0.1


@pytest.mark.parametrize("colors", [1, 3, 8])
def test_the_light_on_surfaces_of_a_few_colours_is_found(colors: int) -> None:
    found = torch.from_numpy(estimated(made_pairs(EVENING, colors))).float()
    assert log_error(found, EVENING) < 0.06
    assert degrees_apart(found, EVENING) < 4


def test_even_light_is_found_to_be_even() -> None:
    found = torch.from_numpy(estimated(made_pairs(WHITE, 4))).float()
    assert log_error(found, WHITE) < 0.02


def test_what_all_photographs_have_in_common_is_the_surfaces_and_the_light_is_white_and_1_on_the_mean() -> None:
    pairs = made_pairs(EVENING, 3)
    found = estimated(pairs)
    np.testing.assert_allclose((pairs.seen @ found).mean(0), 1, rtol=1e-9)
    np.testing.assert_allclose(estimated(made_pairs(EVENING, 3, tint=(0.5, 0.8, 0.3))), found, atol=1e-4)


def test_no_surface_is_without_light() -> None:
    from_one_side = sun((1, 0, 0), (1, 1, 1)) * 3
    pairs = made_pairs(from_one_side, 2)
    found = estimated(pairs)
    assert (pairs.seen @ found).min() > DARKEST - 1e-9
    assert degrees_apart(torch.from_numpy(found).float(), from_one_side) < 3


def test_light_on_a_plane_is_even() -> None:
    """A plane tells nothing of where light is from."""
    pairs = made_pairs(EVENING, 3)
    same = np.broadcast_to(pairs.seen[:1], pairs.seen.shape)
    found = estimated(Pairs(pairs.colors, same.reshape(2, -1, 9), same))
    np.testing.assert_allclose(found[0] * HARMONICS[0], 1, atol=1e-6)
    np.testing.assert_allclose(found[1:], 0, atol=1e-6)


def test_the_light_is_found_from_photographs_whatever_their_exposure(
    evening: tuple[Mesh, Path], tmp_path: Path
) -> None:
    mesh, path = evening
    found = find_light(read_photos(path), mesh)
    assert found.dtype == torch.float32
    assert degrees_apart(found, EVENING) < 6
    assert log_error(found, EVENING) < 0.08
    assert torch.equal(find_light(read_photos(path), mesh), found)
    gains = np.exp(np.random.default_rng(0).normal(-0.1, 0.1, (14, 3)))
    exposed = photograph(mesh, tmp_path, around(14), SIZE, gains, light=EVENING)
    assert log_error(find_light(read_photos(exposed), mesh), EVENING) < 0.08


def test_faces_may_be_wound_either_way(evening: tuple[Mesh, Path]) -> None:
    mesh, path = evening
    turned = {name: getattr(mesh, name)[:, ::-1].copy() for name in ("faces", "face_uvs", "face_normals")}
    assert mesh.normals is not None
    inside_out = replace(mesh, normals=-mesh.normals, **turned)
    assert log_error(find_light(read_photos(path), inside_out), EVENING) < 0.08


def test_the_sides_of_a_cube_without_normals_tell_their_light(tmp_path: Path) -> None:
    cube = make_cube()
    assert cube.normals is None
    found = find_light(read_photos(photograph(cube, tmp_path, around(8), SIZE, light=EVENING)), cube)
    sides = torch.cat([torch.eye(3), -torch.eye(3)])
    ratio = (irradiance(found.expand(6, 9, 3), sides) / irradiance(EVENING.expand(6, 9, 3), sides)).log()
    assert ratio.std(0).max() < 0.05


def test_photographs_are_predicted_with_the_light(evening: tuple[Mesh, Path]) -> None:
    mesh, path = evening
    photos = read_photos(path)
    lit, unlit = (np.mean(photo_psnr(mesh, mesh.originals(), photos, light=light)) for light in (EVENING, None))
    assert lit > 30
    assert lit > unlit + 5


def base_psnr(result: texopt.Result, mesh: Mesh) -> float:
    """Of a texture to the base colours in linear light, after the best factor of each channel, over texels that
    photographs see; dB."""
    size = result.image.shape[1]
    reached = reached_texels(mesh, [(size, size)], result.coverage)[0]
    used = covered(mesh.uvs, mesh.face_uvs, size, size) & reached
    found, true = (to_linear(image)[:, used].double() for image in (result.image, mesh.maps[0].original_at(size, size)))
    factor = (found * true).sum(1, keepdim=True) / found.square().sum(1, keepdim=True)
    return -10 * math.log10(float((to_srgb(found * factor) - to_srgb(true)).square().mean()))


@pytest.mark.slow
def test_base_colours_come_back_up_to_a_factor_of_each_channel(evening: tuple[Mesh, Path]) -> None:
    mesh, path = evening
    photos = read_photos(path)
    cameras = PhotoCameras(photos, mesh)

    def psnr(light: Tensor | None) -> float:
        result = texopt.optimize(
            mesh, PyramidTexture(128, start=(0.5, 0.5, 0.5)), texopt.photographs(photos, light=light),
            views=texopt.Views(cameras=cameras, size=cameras.size), steps=80,
            descent=texopt.Descent(learning_rate=0.1), backbone="none", device="cpu",
        )  # fmt: skip
        return base_psnr(result, mesh)

    with_it, without = psnr(find_light(photos, mesh)), psnr(None)
    assert with_it > 24
    assert with_it > without + 5


def test_what_is_no_environment_is_refused(evening: tuple[Mesh, Path]) -> None:
    with pytest.raises(OptionError, match=r"\[9,3\], as of texopt.find_light, not \[1, 9, 3\]"):
        texopt.photographs(read_photos(evening[1]), light=EVENING[None])


def test_black_photographs_are_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cube = make_cube()
    black = replace(cube, maps=(replace(cube.maps[0], original=np.zeros((1, 1, 3), np.uint8)),))
    path = photograph(black, tmp_path, around(3), SIZE)
    obj = write_obj(cube, tmp_path / "cube.obj")
    check_one_line(["fit", str(obj), str(path), "--delight", "--out", str(tmp_path / "out")], "black or over", capsys)


def test_the_command_writes_the_light(
    evening: tuple[Mesh, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "3", "--texture-size", "64", "--hold-out", "7", "--format", "png"]
    arguments = ["fit", str(MESHES / "creature.obj"), str(evening[1]), "--delight", *options, "--out", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "light: most of it is from (" in printed.err
    line = printed.out.splitlines()[-1]
    assert "over 2 photographs that were held out; with the light assumed white" in line
    values = json.loads((tmp_path / "light.json").read_text())
    environment = torch.tensor(values["environment"])
    assert degrees_apart(environment, EVENING) < 6
    Light(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3), environment[None])
    assert (tmp_path / "config.yaml").read_text().count("delight: true") == 1
