from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube, make_network
from settings import grouped
from torch import Generator, Tensor

import texopt
from texopt import DependencyError, FeatureExtractor, Mesh, OptionError, PixelTexture, Step, View
from texopt.optim.schedules import warmup_cosine
from texopt.render.backgrounds import Background, plain, random_color, smooth_noise
from texopt.render.transforms import Transform, compose, jitter, robust, rotate, scale
from texopt.system.devices import resolve_device
from texopt.system.images import to_image


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def run(mesh: Mesh, extractor: FeatureExtractor, objective: object = red, **options: object) -> texopt.Result:
    settings = {"steps": 12, "view_size": 32, "learning_rate": 0.5, "backbone": extractor, "device": "cpu"} | options
    texture = settings.pop("texture", None) or PixelTexture(32)
    return texopt.optimize(mesh, texture, objective, **grouped(**settings))  # type: ignore[arg-type]


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
    def once(seed: int) -> Tensor:
        return run(cube, extractor, texture=texture(32), seed=seed, steps=5, transform=robust()).texture.bake()

    first = once(3)
    assert torch.equal(first, once(3))
    assert not torch.equal(first, once(4))


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
        ("view_size", 64.0),
        ("view_size", (64, 64, 64)),
        ("view_size", "64"),
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
    assert torch.allclose(rotate(0.0)(Generator(), ramp), ramp, atol=1e-4)


def test_rotation_is_about_the_centre_by_up_to_its_angle() -> None:
    """A ramp across, turned by an angle, rises along the turned direction: the slopes of a plane are its angle."""
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    angles = []
    for seed in range(40):
        turned = rotate(20.0)(Generator().manual_seed(seed), ramp)[0, 0]
        down, across = (turned[24:40, 24:40].diff(dim=axis).mean().item() for axis in (0, 1))
        assert across**2 + down**2 == pytest.approx(1, abs=1e-3)
        assert turned[31:33, 31:33].mean().item() == pytest.approx(31.5, abs=1e-3)
        angles.append(np.degrees(np.arctan2(down, across)))
    assert np.abs(angles).max() <= 20.01
    assert min(angles) < -12
    assert max(angles) > 12
    assert np.std(angles) == pytest.approx(20 / 3**0.5, rel=0.25)  # uniform


def test_a_random_scale_is_within_its_range() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    factors = []
    for seed in range(40):
        larger = scale(0.8, 1.25)(Generator().manual_seed(seed), ramp)[0, 0]
        factors.append(1 / larger[32, 24:40].diff().mean().item())
        assert larger[32, 31:33].mean().item() == pytest.approx(31.5, abs=1e-3)
    assert 0.8 - 1e-3 <= min(factors) < 0.9 < 1.15 < max(factors) <= 1.25 + 1e-3


def test_jitter_goes_everywhere_within_its_range() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    moves = set()
    for seed in range(200):
        moved = jitter(2)(Generator().manual_seed(seed), torch.stack([y, x])[None])[0, :, 8, 8]
        moves.add((moved[0].item() - 8, moved[1].item() - 8))
    assert moves == set(itertools.product(range(-2, 3), repeat=2))


@pytest.mark.parametrize("background", [smooth_noise(), random_color(), plain(0.25)])
def test_backgrounds(background: Background) -> None:
    image = background(Generator().manual_seed(0), 2, 48, 64)
    assert image.shape == (2, 3, 48, 64)
    assert 0 <= image.min() <= image.max() <= 1
    assert torch.equal(image, background(Generator().manual_seed(0), 2, 48, 64))


def images_of(background: Background, seeds: int = 30, size: tuple[int, int] = (48, 64)) -> Tensor:
    return torch.cat([background(Generator().manual_seed(seed), 2, *size) for seed in range(seeds)])


def test_random_colours_are_of_one_colour_each_and_uniform() -> None:
    images = images_of(random_color(), 200)
    assert torch.equal(images.amin((2, 3)), images.amax((2, 3)))
    shades = images[:, :, 0, 0]
    assert len(shades.unique(dim=0)) == len(shades)  # another one in every view
    assert (shades.quantile(torch.tensor([0.1, 0.5, 0.9]), 0) - torch.tensor([[0.1], [0.5], [0.9]])).abs().max() < 0.08
    assert torch.corrcoef(shades.T).fill_diagonal_(0).abs().max() < 0.2


def test_noise_is_of_large_soft_clouds_that_are_new_in_every_view() -> None:
    images = images_of(smooth_noise())
    steps = torch.cat([images.diff(dim=axis).abs().flatten() for axis in (2, 3)])
    assert steps.max() < 0.15  # no edges
    assert images.std((2, 3)).mean() > 0.15  # within a view
    assert images.std(0).mean() > 0.2  # from view to view
    assert images.mean() == pytest.approx(0.5, abs=0.03)
    rows = (images - images.mean((2, 3), keepdim=True)).flatten(1)
    similar = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    assert similar.fill_diagonal_(0).abs().max() < 0.8
    spectrum = torch.fft.rfft2(images - images.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    assert spectrum[:5, :5].sum() > 0.4 * spectrum.sum()  # low frequencies
    finer = images_of(smooth_noise(12)).diff(dim=3).abs().mean()
    assert finer > 2 * images.diff(dim=3).abs().mean()


def test_views_are_multiples_of_the_networks_stride(cube: Mesh) -> None:
    """As a network says of itself, or as is stated; none where none looks."""
    for stride, size, near in (
        (14, 336, 0),
        (14, 518, 0),
        (14, 384, 378),
        (14, 32, 42),
        (14, 4096, 4088),
        (32, 336, 320),
    ):
        extractor = FeatureExtractor(make_network(), stride=stride)
        if near:
            with pytest.raises(OptionError, match=f"view_size has to be a multiple of {stride}, .*; try {near}$"):
                run(cube, extractor, view_size=size)
        else:
            run(cube, extractor, view_size=size, steps=1)
    result = texopt.optimize(
        cube, PixelTexture(32), red, backbone="none", views=texopt.Views(size=(33, 50)), steps=1, device="cpu"
    )
    assert len(result.history) == 1


def test_a_painting_is_as_large_as_the_stride_lets_it(cube: Mesh) -> None:
    sizes: list[tuple[int, int]] = []
    extractor = FeatureExtractor(make_network(), stride=14, style_layers=["act1"])
    extractor.model.get_submodule("conv1").register_forward_hook(
        lambda module, inputs, output: sizes.append(tuple(inputs[0].shape[2:]))
    )
    run(cube, extractor, texopt.style(to_image(torch.rand(3, 64, 100))), view_size=70, steps=1)
    painting = next(size for size in sizes if size != (70, 70))
    assert all(side % 14 == 0 for side in painting)
    assert painting[0] % 32 != 0


@pytest.mark.parametrize("backbone", [make_network(), None, 3])
def test_what_is_no_backbone(cube: Mesh, backbone: Any) -> None:
    message = "backbone has to be the name of a network or a texopt.FeatureExtractor, not"
    for call in (
        lambda: texopt.optimize(cube, PixelTexture(8), red, backbone=backbone, device="cpu"),
        lambda: texopt.saliency(cube, red, backbone=backbone, device="cpu"),
        lambda: texopt.classified_share(cube, 0, backbone=backbone),
        lambda: texopt.evaluate(cube, to_image(torch.rand(3, 32, 32)), backbone, original=cube),
        lambda: texopt.evaluate_image(*[to_image(torch.rand(3, 32, 32))] * 2, [], backbone),
    ):
        with pytest.raises(OptionError, match=message):
            call()


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
