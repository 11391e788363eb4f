from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from conftest import make_cube
from torch import Generator, Tensor

import texopt
from texopt import DependencyError, FeatureExtractor, Mesh, OptionError, PixelTexture, Step, View
from texopt.backgrounds import Background, plain, random_color, smooth_noise
from texopt.images import to_image
from texopt.loop import resolve_device
from texopt.schedules import warmup_cosine
from texopt.transforms import Transform, compose, jitter, robust, rotate, scale


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def run(mesh: Mesh, extractor: FeatureExtractor, objective: object = red, **options: object) -> texopt.Result:
    settings = {"steps": 12, "view_size": 32, "learning_rate": 0.5, "backbone": extractor, "device": "cpu"} | options
    texture = settings.pop("texture", None) or PixelTexture(32)
    return texopt.optimize(mesh, texture, objective, **settings)  # type: ignore[arg-type]


def test_a_function_is_an_objective(cube: Mesh, extractor: FeatureExtractor) -> None:
    result = run(cube, extractor)
    assert [step.number for step in result.history] == list(range(1, 13))
    assert set(result.history[0].terms) == {"red", "loss"}
    assert result.history[-1].terms["loss"] < result.history[0].terms["loss"]
    assert result.image[0].mean() > 0.6
    assert result.image[0].mean() > result.image[1].mean()


def test_all_sides_are_optimised_and_nothing_is_left_as_noise(cube: Mesh, extractor: FeatureExtractor) -> None:
    image = run(cube, extractor, steps=60, views_per_step=2).image
    assert image.shape == (3, 32, 32)
    assert image[0].min() > 0.8  # sides, and what lies between the charts


def test_style_and_content_descend(extractor: FeatureExtractor) -> None:
    pattern = np.zeros((32, 32, 3), np.uint8)
    pattern[::4] = pattern[:, ::4] = 255
    mesh = make_cube(pattern)
    style = texopt.style(to_image(torch.rand(3, 32, 32)))
    result = run(mesh, extractor, style + texopt.content(), steps=60, learning_rate=0.1)
    losses = [step.terms["loss"] for step in result.history]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_view_is_what_its_documentation_says(cube: Mesh, extractor: FeatureExtractor) -> None:
    seen: list[View] = []

    def look(view: View) -> Tensor:
        seen.append(view)
        return view.features["act1"].mean()

    run(cube, extractor, look, steps=2, views_per_step=3, view_size=64)
    for number, view in enumerate(seen):
        assert view.image.shape == view.original.shape == (3, 3, 64, 64)
        assert view.mask.shape == (3, 1, 64, 64)
        assert view.image.dtype == view.mask.dtype == torch.float32
        assert set(view.mask.unique().tolist()) == {0.0, 1.0}
        assert 0 <= view.image.min() <= view.image.max() <= 1
        assert view.image.requires_grad
        assert not view.original.requires_grad
        outside = view.mask.expand(-1, 3, -1, -1) == 0
        assert torch.equal(view.image[outside], view.original[outside])  # the same background
        inside = view.original[view.mask.expand(-1, 3, -1, -1) > 0]
        assert torch.allclose(inside, torch.full_like(inside, 128 / 255), atol=1e-5)
        assert (view.step, view.steps) == (number, 2)
    assert not torch.equal(seen[0].mask, seen[1].mask)  # another view every step


@pytest.mark.parametrize("texture", [texopt.FourierTexture, PixelTexture])
def test_the_same_seed_gives_the_same_bytes(cube: Mesh, extractor: FeatureExtractor, texture: type) -> None:
    def once(seed: int, threads: int) -> Tensor:
        torch.set_num_threads(threads)
        return run(cube, extractor, texture=texture(32), seed=seed, steps=5, transform=robust()).texture.bake()

    first = once(3, 2)
    assert torch.equal(first, once(3, 2))
    assert not torch.equal(first, once(4, 2))


def test_ctrl_c_keeps_what_there_is(cube: Mesh, extractor: FeatureExtractor) -> None:
    def stop(step: Step) -> None:
        if step.number == 4:
            raise KeyboardInterrupt

    result = run(cube, extractor, on_step=stop)
    assert result.interrupted
    assert len(result.history) == 4
    assert torch.isfinite(result.image).all()


def test_history_as_csv(cube: Mesh, extractor: FeatureExtractor) -> None:
    lines = run(cube, extractor, steps=3).history_csv().splitlines()
    assert lines[0] == "step,seconds,red,loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    seconds = [float(line.split(",")[1]) for line in lines[1:]]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("view_size", 8),
        ("view_size", 100),
        ("view_size", 100000),
        ("views_per_step", 0),
        ("learning_rate", 0.0),
    ],
)
def test_options_have_ranges(cube: Mesh, extractor: FeatureExtractor, option: str, value: float) -> None:
    with pytest.raises(OptionError, match=option):
        run(cube, extractor, **{option: value})


def test_an_objective_that_is_never_finite_is_refused(cube: Mesh, extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match="is not finite from the first step on"):
        run(cube, extractor, lambda view: view.image.mean() * float("nan"))


@pytest.mark.parametrize("name", ["cuda:99", "quantum"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DependencyError, match="--device auto"):
        resolve_device(name)


def test_learning_rate_rises_then_falls() -> None:
    rates = [warmup_cosine(step, 100) for step in range(100)]
    top = rates.index(max(rates))
    assert 5 <= top <= 15
    assert all(a < b for a, b in itertools.pairwise(rates[: top + 1]))
    assert all(a > b for a, b in itertools.pairwise(rates[top:]))
    assert 0.05 < rates[-1] < 0.2


@pytest.mark.parametrize("transform", [jitter(5), scale(0.9, 1.1), rotate(10), robust(), compose([])])
def test_transforms_keep_the_size_and_the_seed(transform: Transform) -> None:
    images = torch.rand(2, 7, 33, 40)
    out = transform(Generator().manual_seed(1), images)
    assert out.shape == images.shape
    assert torch.equal(out, transform(Generator().manual_seed(1), images))
    constant = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(transform(Generator().manual_seed(2), constant), constant, atol=1e-5)


def test_transforms_move_the_image() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    moved = jitter(4)(Generator().manual_seed(0), ramp)[0, 0, :, 8]
    assert moved.unique().numel() == 1
    larger = scale(2.0, 2.0)(Generator(), ramp)[0, 0, 8]
    assert (larger[9] - larger[8]).item() == pytest.approx(0.5, abs=1e-4)
    transposed = rotate(0.0)(Generator(), ramp)
    assert torch.allclose(transposed, ramp, atol=1e-4)


@pytest.mark.parametrize("background", [smooth_noise(), random_color(), plain(0.25)])
def test_backgrounds(background: Background) -> None:
    image = background(Generator().manual_seed(0), 2, 48, 64)
    assert image.shape == (2, 3, 48, 64)
    assert 0 <= image.min() <= image.max() <= 1
    assert torch.equal(image, background(Generator().manual_seed(0), 2, 48, 64))


def test_an_objective_can_be_used_again(cube: Mesh, extractor: FeatureExtractor) -> None:
    """What it saw in one run has no part in the next."""
    picture = to_image(torch.rand(3, 64, 64, generator=Generator().manual_seed(0)))
    objective = texopt.colors(picture) + texopt.content().below(0.3) + texopt.style(picture)
    images = [run(cube, extractor, objective, steps=3, view_size=64).images[0] for _ in range(2)]
    assert torch.equal(*images)
    assert not torch.equal(images[0], run(cube, extractor, texopt.style(picture), steps=3, view_size=64).images[0])


def test_where_memory_ends_there_are_fewer_views(
    cube: Mesh, extractor: FeatureExtractor, caplog: pytest.LogCaptureFixture
) -> None:
    """As if four views did not fit from the third step on: it and the others have two."""
    counts: list[int] = []

    def hungry(view: View) -> Tensor:
        counts.append(len(view.image))
        if view.step >= 2 and len(view.image) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return red(view)

    result = run(cube, extractor, hungry, views_per_step=4, steps=5)
    assert counts == [4, 4, 4, 2, 2, 2]
    assert len(result.history) == 5
    assert "too little memory for 4 views a step; going on with 2" in caplog.text

    def insatiable(_: View) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(OptionError, match="has too little memory for a step; take a smaller view or texture size"):
        run(cube, extractor, insatiable, views_per_step=4)
