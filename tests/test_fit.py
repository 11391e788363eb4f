"""From photographs back to the texture: the loop, exposures, what nobody saw, the command."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check_one_line, make_cube
from photographer import around, photograph, write_obj
from PIL import Image
from torch import Generator, Tensor

import texopt
from texopt import FeatureExtractor, Mesh, OptionError, PyramidTexture, View, load_backbone
from texopt.cli.main import main
from texopt.evaluation.held_out import photo_psnr
from texopt.io.transforms_json import read_photos
from texopt.objectives import photographs
from texopt.objectives.photo_loss import Photographs
from texopt.optim.checkpoint import Checkpoint
from texopt.render.backgrounds import composite
from texopt.render.cameras import Cameras
from texopt.render.look_up import look_up
from texopt.render.photo_cameras import PhotoCameras, camera, inner, whole
from texopt.render.photos import Photos
from texopt.render.reached import reached_texels
from texopt.render.scene import Scene
from texopt.render.uv_raster import covered
from texopt.system.images import load_image, to_image

SIZE = (64, 96)
GREY = (0.5, 0.5, 0.5)


def painted_cube(size: int = 64) -> Mesh:
    """With soft spots of all colours."""
    cells = torch.rand(1, 3, size // 8, size // 8, generator=Generator().manual_seed(0)) * 0.8 + 0.1
    image = torch.nn.functional.interpolate(cells, (size, size), mode="bilinear")[0]
    return make_cube(np.array(to_image(image)))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/transforms.json, 16 photographs; cube.obj, without a texture."""
    folder = tmp_path_factory.mktemp("studio")
    mesh = painted_cube()
    mesh.vertices[:] = mesh.vertices * 2 + [5, 1, -3]
    photograph(mesh, folder / "photos", around(16), SIZE)
    write_obj(mesh, folder / "cube.obj")
    return folder


def bare(mesh: Mesh) -> Mesh:
    return replace(mesh, maps=(replace(mesh.maps[0], original=np.full((1, 1, 3), 128, np.uint8)),))


def texture_psnr(image: Tensor, mesh: Mesh) -> float:
    """Of a texture [3,H,W] to the mesh's own, over the texels that faces use."""
    used = covered(mesh.uvs, mesh.face_uvs, *image.shape[1:])
    error = (image - mesh.maps[0].original_at(*image.shape[1:])).square()[:, used].mean()
    return -10 * math.log10(float(error))


def view_of(photos: Photos, mesh: Mesh, index: int, factor: float = 1.0) -> View:
    """A View of the mesh with its own texture, times a factor, from where a photograph was taken."""
    photo = photos[index]
    shot = camera(photo, mesh, whole(photo))
    shot = Cameras(shot.view, shot.projection, frame=torch.tensor([index]), frames=len(photos))
    fragments = Scene(mesh, optimized=True).rasterize(shot, photo.height, photo.width)
    there = fragments.mask[:, None]
    image = composite(look_up(mesh.originals(), fragments) * factor, there, 0.0)
    extractor = load_backbone("none")
    return View(
        image, there.float(), image, {}, {}, extractor, torch.zeros(2, 0, 3), 1.0, 9, 10, frame=shot.frame,
        frames=shot.frames, cameras=shot,
    )  # fmt: skip


@pytest.mark.parametrize("distance", ["l1", "l2", "ssim"])
def test_the_texture_that_was_photographed_has_the_least_loss(tmp_path: Path, distance: str) -> None:
    mesh = painted_cube()
    photos = read_photos(photograph(mesh, tmp_path, around(2), SIZE))
    loss = photographs(photos, distance, exposure=False)  # type: ignore[arg-type]
    losses = [float(loss(view_of(photos, mesh, 0, factor))[0]) for factor in (0.9, 1.0, 1.1)]
    assert losses[1] < 0.6 * min(losses[0], losses[2])


def test_what_is_behind_the_object_or_masked_does_not_count(tmp_path: Path) -> None:
    mesh = painted_cube()
    path = photograph(mesh, tmp_path, around(2), SIZE)
    before = read_photos(path)
    view = view_of(before, mesh, 0)
    first = photographs(before)(view)[0]
    assert first < 0.01
    pixels = before.pixels(0).copy()
    behind = inner(view.mask)[0, 0].numpy() == 0
    pixels[behind] = 255 - pixels[behind]
    pixels[..., 3] = 255
    pixels[15:45, 25:60, :3] = 0
    Image.fromarray(pixels).save(tmp_path / "0.png")
    assert photographs(read_photos(path))(view)[0] > 10 * first
    pixels[15:45, 25:60, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "0.png")
    assert photographs(read_photos(path))(view)[0] < 2 * first


def test_the_gradient_is_that_of_finite_differences(tmp_path: Path) -> None:
    mesh = painted_cube()
    photos = read_photos(photograph(mesh, tmp_path, around(2), (12, 16)))
    view = view_of(photos, mesh, 0)
    image = view.image.double().requires_grad_()
    direction = torch.randn(image.shape, generator=Generator().manual_seed(1), dtype=torch.float64)
    for distance in ("l1", "l2", "ssim"):
        loss = Photographs(photos, distance, exposure=False)  # type: ignore[arg-type]
        [gradient] = torch.autograd.grad(loss(replace(view, image=image)).sum(), image)
        with torch.no_grad():
            ends = [loss(replace(view, image=image + step * direction)).sum() for step in (-1e-7, 1e-7)]
        assert float((gradient * direction).sum()) == pytest.approx(float((ends[1] - ends[0]) / 2e-7), rel=1e-4)


def test_exposures_are_found_up_to_what_all_have_in_common(tmp_path: Path) -> None:
    mesh = painted_cube()
    gains = np.exp(np.random.default_rng(0).normal(-0.3, 0.15, (5, 3)))
    photos = read_photos(photograph(mesh, tmp_path, around(5), SIZE, gains))
    loss = Photographs(photos, "l1", exposure=True)
    for index in range(5):
        loss(view_of(photos, mesh, index))
    found = loss.gains().double().numpy()
    np.testing.assert_allclose(np.log(found).mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found, gains / np.exp(np.log(gains).mean(0)), rtol=0.02)
    assert torch.equal(loss.gains(0.0), torch.ones(5, 3))
    again = Photographs(photos, "l1", exposure=True)
    again.load_state_dict(loss.state_dict())
    assert torch.equal(again.gains(), loss.gains())
    loss.reset()
    assert torch.equal(loss.gains(), torch.ones(5, 3))


@pytest.mark.slow
def test_the_texture_comes_back_in_spite_of_exposures(tmp_path: Path) -> None:
    mesh = painted_cube()
    gains = np.exp(np.random.default_rng(0).normal(0, 0.12, (11, 3))).clip(0.8, 1.1)
    photos = read_photos(photograph(mesh, tmp_path, around(11), SIZE, gains / np.exp(np.log(gains).mean(0))))
    used, held_out = photos.chosen(range(10)), photos.chosen([10])
    cameras = PhotoCameras(used, mesh)
    assert cameras.size == SIZE

    def found(exposure: bool) -> tuple[float, float]:
        texture = PyramidTexture(64, start=GREY)
        result = texopt.optimize(
            bare(mesh),
            texture,
            photographs(used, exposure=exposure),
            views=texopt.Views(cameras=cameras, size=cameras.size),
            steps=60,
            descent=texopt.Descent(learning_rate=0.2),
            backbone="none",
            device="cpu",
        )
        return texture_psnr(result.image, mesh), float(np.mean(photo_psnr(mesh, result.images, held_out)))

    with_it, without = found(True), found(False)
    assert min(with_it) > 28
    assert with_it[0] > without[0] + 3


@pytest.mark.slow
def test_what_no_photograph_sees_is_filled_from_around_it(tmp_path: Path) -> None:
    """From above alone nobody sees the side below, which is at the lower right of the texture, blue in all else red."""
    painted = torch.tensor([0.8, 0.1, 0.1]).reshape(3, 1, 1).repeat(1, 64, 64)
    painted[:, 33:, 44:] = torch.tensor([0.1, 0.1, 0.8]).reshape(3, 1, 1)
    mesh, above = make_cube(), around(24)[:8]
    assert (above.view.inverse()[:, 1, 3] > 1).all()
    photos = read_photos(photograph(mesh, tmp_path, above, SIZE))
    cameras, texture = PhotoCameras(photos, mesh), PyramidTexture(64, start=painted)
    result = texopt.optimize(
        mesh,
        texture,
        photographs(photos),
        views=texopt.Views(cameras=cameras, size=cameras.size),
        steps=1,
        descent=texopt.Descent(learning_rate=1e-6),
        backbone="none",
        device="cpu",
    )
    assert result.image[2, 36:60, 47:60].max() < 0.3
    assert texopt.Result(mesh, texture, []).image[2].max() > 0.7


def test_what_a_mask_covers_in_all_photographs_is_filled(tmp_path: Path) -> None:
    mesh = make_cube()
    path = photograph(mesh, tmp_path, around(4), SIZE)
    for index in range(4):
        image = load_image(tmp_path / f"{index}.png")
        image.putalpha(Image.new("L", image.size, 0 if index else 255))
        image.save(tmp_path / f"{index}.png")
    photos = read_photos(path)
    reached = [
        reached_texels(mesh, [(64, 64)], PhotoCameras(some, mesh).coverage)[0] for some in (photos, photos.chosen([0]))
    ]
    assert reached[0].any()
    assert torch.equal(*reached)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(studio: Path, tmp_path: Path) -> None:
    mesh, photos = texopt.load_mesh(studio / "cube.obj"), read_photos(studio / "photos" / "transforms.json")

    def stop_at(number: int) -> texopt.Result:
        def on_step(step: texopt.Step) -> None:
            if step.number == number:
                raise KeyboardInterrupt

        cameras = PhotoCameras(photos, mesh, (64, 64))
        return texopt.optimize(
            mesh,
            PyramidTexture(32, start=GREY),
            photographs(photos),
            views=texopt.Views(cameras=cameras, size=64),
            steps=24,
            backbone="none",
            device="cpu",
            on_step=on_step,
            checkpoint=Checkpoint(tmp_path / "c.safetensors"),
        )

    whole_run = stop_at(0)
    (tmp_path / "c.safetensors").unlink()
    assert stop_at(15).interrupted
    assert torch.equal(stop_at(0).image, whole_run.image)


def test_no_network_has_no_layers() -> None:
    extractor = load_backbone("none")
    assert isinstance(extractor, FeatureExtractor)
    assert extractor(torch.zeros(1, 3, 32, 32)) == {}
    with pytest.raises(OptionError, match="no layer"):
        extractor.require("blocks.4")


def test_views_of_something_else_are_refused(studio: Path) -> None:
    mesh, photos = texopt.load_mesh(studio / "cube.obj"), read_photos(studio / "photos" / "transforms.json")
    with pytest.raises(OptionError, match="PhotoCameras"):
        texopt.optimize(
            mesh,
            PyramidTexture(8),
            photographs(photos),
            steps=1,
            views=texopt.Views(size=32),
            backbone="none",
            device="cpu",
        )
    with pytest.raises(OptionError, match="l1, l2, ssim"):
        photographs(photos, "l3")  # type: ignore[arg-type]


FILES = {
    "cube.obj", "cube.mtl", "cube.png", "history.csv", "config.yaml", "preview.png", "viewer.html", "loss.png",
}  # fmt: skip


@pytest.mark.slow
def test_the_command_end_to_end(studio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--steps", "40", "--texture-size", "64", "--learning-rate", "0.2", "--hold-out", "8"]
    arguments = ["fit", str(studio / "cube.obj"), str(studio / "photos" / "transforms.json"), *options]
    assert main([*arguments, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == FILES
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("PSNR ")
    assert line.endswith("over 2 photographs that were held out")
    used, held_out = (float(part.split()[0]) for part in line.removeprefix("PSNR ").split("photographs, "))
    assert used > 26
    assert held_out > 26
    assert texture_psnr(texopt.load_mesh(out / "cube.obj").maps[0].original_at(64, 64), painted_cube()) > 23
    assert (out / "history.csv").read_text().startswith("step,seconds,photographs_l1,seam,loss")

    again = tmp_path / "again"
    assert main(["fit", "--config", str(out / "config.yaml"), "--out", str(again)]) == 0
    assert (again / "cube.png").read_bytes() == (out / "cube.png").read_bytes()


def test_large_photographs_are_taken_as_fine_as_texels(
    studio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", str(studio / "cube.obj"), str(studio / "photos" / "transforms.json"), "--steps", "2"]
    assert main([*arguments, "--texture-size", "16", "--out", str(tmp_path), "--format", "png"]) == 0
    assert "taken 5 times smaller" in capsys.readouterr().err


def bad(studio: Path, tmp_path: Path, change: str) -> list[str]:
    folder = tmp_path / "photos"
    shutil.copytree(studio / "photos", folder)
    path = folder / "transforms.json"
    values = json.loads(path.read_text())
    options = []
    if change == "missing":
        for image in folder.glob("*.png"):
            image.unlink()
    elif change == "json":
        path.write_text("{")
    elif change == "far":
        for frame in values["frames"]:
            frame["transform_matrix"][0][3] += 1000
        path.write_text(json.dumps(values))
    else:
        options = change.split()
    return ["fit", str(studio / "cube.obj"), str(path), "--out", str(tmp_path / "out"), *options]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "none of 16 photographs can be used; "), ("json", "no JSON"),
        ("far", "none of 16 photographs sees cube"), ("--hold-out 1", "hold_out has to be"),
        ("--hold-out 17", "hold_out has to be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(
    studio: Path, tmp_path: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_one_line(bad(studio, tmp_path, change), message, capsys)
    assert not (tmp_path / "out").exists()


def test_photographs_that_are_missing_or_damaged_are_done_without(
    studio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(studio / "photos", folder)
    (folder / "3.png").unlink()
    (folder / "7.png").write_bytes((folder / "7.png").read_bytes()[:900])
    options = ["--steps", "2", "--texture-size", "64", "--hold-out", "7", "--format", "png"]
    assert main(["fit", str(studio / "cube.obj"), str(folder / "transforms.json"), "--out", str(folder), *options]) == 0
    printed = capsys.readouterr()
    assert "2 of 16 photographs cannot be used and are left out; " in printed.err
    assert "12 photographs, and 2 held out" in printed.err
    assert "over 12 photographs, " in printed.out
