"""`texopt image` and `texopt interpolate`, with the small network."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import MESHES, STYLES, check_one_line
from PIL import Image

from texopt.cli.main import main

QUICK = ["--steps", "3", "--threads", "1"]
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.open(STYLES / "mosaic.jpg").resize((96, 64)).save(path)
    return path


def make(tmp_path: Path, *arguments: object) -> Path:
    out = tmp_path / "out"
    assert main(["image", *map(str, arguments), "--out", str(out), *QUICK]) == 0
    return out


@pytest.mark.parametrize(
    ("arguments", "size", "mode"),
    [
        (["--target", "act2:1", "--size", "64"], (64, 64), "RGB"),
        (["--target", "act2:1 - act1:2", "--size", "48", "80"], (80, 48), "RGB"),
        (["--target", "act2:1", "--size", "64", "--transparent"], (64, 64), "RGBA"),
        (["--target", "act2:1", "--size", "48", "80", "--texture", "cppn", "--transparent"], (80, 48), "RGBA"),
        (["--style", STYLES / "woodcut.jpg", "--size", "64", "--texture", "cppn"], (64, 64), "RGB"),
        (["--style", STYLES / "woodcut.jpg", "--size", "64", "--tileable"], (64, 64), "RGB"),
        (
            ["--style", STYLES / "woodcut.jpg", STYLES / "mosaic.jpg", "--size", "160", "--view-size", "64"],
            (160, 160), "RGB",
        ),
    ],
)  # fmt: skip
def test_writes_an_image(tmp_path: Path, arguments: list[object], size: tuple[int, int], mode: str) -> None:
    out = make(tmp_path, *arguments)
    with Image.open(out / "image.png") as image:
        assert (image.size, image.mode) == (size, mode)
        assert np.asarray(image).std() > 1
    assert {path.name for path in out.iterdir()} == {"image.png", "loss.png", "history.csv", "config.yaml"}


@pytest.mark.parametrize("options", [["--target", "act2:*"], ["--style", STYLES / "woodcut.jpg"], ["--invert", "act1"]])
def test_starts_from_a_photo_or_not(tmp_path: Path, photo: Path, options: list[object]) -> None:
    """Dreams and styles keep where things are; an inversion begins with noise."""
    before = np.asarray(Image.open(photo).convert("L"), float)
    with Image.open(make(tmp_path, photo, *options) / "image.png") as image:
        assert image.size == (96, 64)
        after = np.asarray(image.convert("L"), float)
    alike = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert bool(alike > 0.5) is (options[0] != "--invert")


def test_several_frames_are_different_images(tmp_path: Path) -> None:
    out = make(tmp_path, "--target", "act2:1", "--size", 64, "--frames", 3, "--diversity", 1.0)
    images = [np.asarray(Image.open(out / f"image_{number}.png"), int) for number in (1, 2, 3)]
    assert all(np.abs(a - b).mean() > 2 for a, b in pairwise(images))


def test_a_target_each_for_several_frames(tmp_path: Path) -> None:
    """The first frame is what its target alone would make of the same start."""
    out = make(tmp_path, "--target", "act2:1, act2:5", "--size", 64)
    alone = make(tmp_path / "alone", "--target", "act2:1", "--frames", 2, "--size", 64)
    both = [(folder / "image_1.png").read_bytes() for folder in (out, alone)]
    other = [(folder / "image_2.png").read_bytes() for folder in (out, alone)]
    assert both[0] == both[1]
    assert other[0] != other[1]


def test_interpolates(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["interpolate", "act2:1", "act2:5", "--frames", "3", "--size", "64", "--out", str(out), *QUICK]) == 0
    assert len(list(out.glob("image_*.png"))) == 3
    with Image.open(out / "image.gif") as gif:
        assert gif.n_frames == 4  # there and back
        assert gif.info["loop"] == 0


def test_the_same_again_from_its_config_and_after_a_stop(tmp_path: Path, photo: Path) -> None:
    out = make(tmp_path, photo, "--style", STYLES / "woodcut.jpg")
    again = tmp_path / "again"
    assert yaml.safe_load((out / "config.yaml").read_text())["image"] == str(photo)
    assert main(["image", "--config", str(out / "config.yaml"), "--out", str(again)]) == 0
    assert (again / "image.png").read_bytes() == (out / "image.png").read_bytes()


@pytest.mark.parametrize("texture", ["auto", "cppn"])
def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texture: str) -> None:
    from texopt.cli.commands import running

    options = ["--target", "act2:1", "--size", 64, "--checkpoint-seconds", 0, "--texture", texture]
    whole = (make(tmp_path, *options) / "image.png").read_bytes()
    optimize = running.optimize

    def stopped(*arguments: object, on_step: object, **options: object) -> object:
        def stop(step: object) -> None:
            if step.number == 2:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        return optimize(*arguments, on_step=stop, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(running, "optimize", stopped)
        out = make(tmp_path, *options)
    assert (out / "image.png").read_bytes() != whole
    assert main(["resume", str(out)]) == 0
    assert (out / "image.png").read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["image"], "nothing to make"),
        (["image", "--invert", "act1"], "no image to invert"),
        (["image", "--target", "act2:99"], "0 to 11"),
        (["image", "--target", "flat:12"], "0 to 11"),
        (["image", "--target", "logits:10"], "0 to 9"),
        (["image", "--target", "flat:1", "--frames", "2", "--diversity", "1"], "no positions"),
        (["image", "--target", "act2:1", "--start", "original"], "no image to start from"),
        (["image", "--target", "act2:1", "--start", "repainted"], "no painting"),
        (["image", "--target", "act9:1"], "no layer"),
        (["image", "--target", "head:1@center"], "no positions"),
        (["image", "--target", "act2:1", "--frames", "0"], "frames"),
        (["image", "--target", "act2:1, act2:2, act2:3", "--frames", "2"], "3 frames"),
        (["image", "--target", "act2:1, ", "--size", "64"], "names nothing"),
        (["image", "--target", "act2:1", "--size", "8"], "too few"),
        (["image", "--target", "act2:1", "--size", "20000"], "too many"),
        (["image", "--target", "act2:1", "--size", "64", "64", "64"], "height and width"),
        (["image", "--target", "act2:1", "--diversity", "1"], "several frames"),
        (["image", "--style", str(STYLES / "woodcut.jpg"), "--transparent"], "target"),
        (["image", "nowhere.png", "--target", "act2:1"], "does not exist"),
        (["image", str(MESHES / "creature.obj"), "--target", "act2:1"], "not an image"),
        (["image", "--target", "act2:1", "--strength", "2"], "strength"),
        (["image", "--style", str(STYLES / "woodcut.jpg"), "--texture", "cppn", "--tileable"], "--texture fourier"),
        (["image", str(STYLES / "woodcut.jpg"), "--target", "act2:1", "--texture", "cppn"], "--start noise"),
        (["interpolate", "act2:1", "act2:2", "--texture", "cppn"], "--no-share"),
        (["interpolate", "act2:1", "act2:2", "--frames", "1"], "2 or more"),
        (["interpolate", "act2:1", "nonsense zebra"], "class"),
    ],
)
def test_says_what_is_wrong_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    check_one_line([*arguments, "--out", str(tmp_path / "out"), *QUICK], message, capsys)
    assert not (tmp_path / "out").exists()


def test_a_small_photo_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 20)).save(tmp_path / "small.png")
    check_one_line(["image", str(tmp_path / "small.png"), "--target", "act2:1"], "at least 32", capsys)


@pytest.mark.parametrize(("size", "said"), [(32, 1), (64, 0)])
def test_warns_of_images_that_a_target_sees_as_a_single_cell(
    size: int, said: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, "--target", "act2:1 + head:3", "--size", size)
    lines = [line for line in capsys.readouterr().err.splitlines() if "cells" in line]
    assert len(lines) == said
    assert all(line.startswith("warning: head") for line in lines)


@pytest.mark.parametrize(("start", "alike"), [("original", True), ("repainted", True), ("noise", False)])
def test_style_transfer_starts_from_what_is_asked_for(tmp_path: Path, photo: Path, start: str, alike: bool) -> None:
    before = np.asarray(Image.open(photo).convert("L"), float)
    out = make(tmp_path, photo, "--style", STYLES / "woodcut.jpg", "--start", start)
    with Image.open(out / "image.png") as image:
        after = np.asarray(image.convert("L"), float)
    assert bool(np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.5) is alike


def test_opacity_of_a_painting_lies_over_white(tmp_path: Path) -> None:
    """What is clear in it is as if it were white, whatever colours are kept there."""
    values = np.random.default_rng(0).integers(0, 255, (64, 64, 4), dtype=np.uint8)
    values[..., 3] = 0
    Image.fromarray(values).save(tmp_path / "clear.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "white.png")
    pictures = []
    for name in ("clear", "white"):
        out = make(tmp_path / name, "--style", tmp_path / f"{name}.png", "--size", 64)
        pictures.append((out / "image.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_opacity_of_a_photo_lies_over_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    with Image.open(make(tmp_path, tmp_path / "clear.png", "--target", "act2:1") / "image.png") as image:
        assert np.asarray(image).mean() > 200


def test_what_is_larger_than_a_view_is_seen_in_crops() -> None:
    from texopt.cli.tasks.picture_task import cameras_for
    from texopt.mesh.image_canvas import canvas

    mesh = canvas(size=(600, 1000))
    for limit, size in ((1024, (608, 992)), (512, (512, 512)), (256, (256, 256))):
        sampler, seen = cameras_for(mesh, limit, False)
        assert seen == size
        cameras = sampler(torch.Generator().manual_seed(0), 1, 0)
        pixels = (
            seen[0] * float(cameras.projection[0, 1, 1]) / 2 * mesh.normalization()[1] ** -1 if limit < 1000 else None
        )
        assert pixels is None or pixels == pytest.approx(600, rel=0.01)
