"""What a run's cameras may be, and what the functions that make cameras take."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from torch import Generator, Tensor

import texopt
from texopt import FeatureExtractor, OptionError, fixed_views, look_at, orbit, orthographic, perspective, sample_sphere
from texopt.render.cameras import Cameras, Sampler
from texopt.render.samplers import Shuffled, as_sampler, mean_scales
from texopt.render.scene import Scene

EYE, ONES = torch.eye(4).expand(3, 4, 4), torch.ones(2)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def numbered(count: int) -> Cameras:
    return Cameras(torch.eye(4).repeat(count, 1, 1), torch.eye(4).repeat(count, 1, 1), 1.0, torch.arange(count), count)


# Drawing from cameras.


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_given_cameras_come_in_turn_in_a_random_order(count: int) -> None:
    sampler, total = as_sampler(numbered(5)), 5
    steps = range(0, 60, count)
    drawn = torch.cat([sampler(seeded(1), count, before).frame for before in steps])[:60].reshape(-1, total)
    assert all(sorted(turn) == list(range(total)) for turn in drawn.tolist())
    assert len({tuple(turn) for turn in drawn.tolist()}) > 5
    again = torch.cat([Shuffled(numbered(5))(seeded(1), 1, before).frame for before in range(60)])
    assert torch.equal(again, drawn.flatten())  # whatever was drawn in between
    assert not torch.equal(again, torch.cat([sampler(seeded(2), 1, before).frame for before in range(60)]))
    assert sampler(seeded(0), 3, 4).frames == 5


def test_a_run_draws_from_given_cameras(extractor: FeatureExtractor) -> None:
    front = orbit([-20, 0, 20], 10)

    def run(cameras: Cameras | Sampler) -> texopt.Result:
        return texopt.optimize(
            make_cube(),
            texopt.PixelTexture(32),
            lambda view: -view.image.mean(),
            views=texopt.Views(cameras=cameras, size=32),
            steps=4,
            backbone=extractor,
            device="cpu",
        )

    result = run(front)
    assert torch.equal(result.image, run(front).image)
    assert torch.equal(result.image, run(Shuffled(front)).image)
    seen = [fragments.mask.shape for fragments in result.coverage(Scene(make_cube()))]
    assert seen == [(3, 512, 512)]
    # what they do not see is filled from what they do, and not left as it began
    assert result.image.std((1, 2)).max() < texopt.Result(make_cube(), result.texture, []).image.std((1, 2)).max()


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        (lambda generator, count: fixed_views(count), "three arguments"),
        (lambda: fixed_views(1), "three arguments"),
        (lambda generator, count, before: torch.eye(4), "returned Tensor"),
        (lambda generator, count, before: None, "returned NoneType"),
        (lambda generator, count, before: fixed_views(1), "returned 1 of 2"),
        (torch.eye(4), "not tensor"),
        ("front", "not 'front'"),
        ((30, 20), r"not \(30, 20\)"),
    ],
)
def test_what_is_no_sampler_is_named(cameras: Any, message: str, extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match=rf"^cameras has to be Cameras, or a function .*{message}"):
        texopt.optimize(
            make_cube(),
            texopt.PixelTexture(8),
            lambda view: view.image.mean(),
            views=texopt.Views(cameras=cameras, size=32),
            steps=1,
            backbone=extractor,
            device="cpu",
        )


def test_samplers_of_any_kind_are_taken() -> None:
    class Kind:
        def __call__(self, generator: Generator, count: int, before: int = 0) -> Cameras:
            return fixed_views(count)

    def more(generator: Generator, count: int, before: int, fov: float = 20.0) -> Cameras:
        return fixed_views(count, fov)

    for sampler in (Kind(), more, partial(more, fov=30.0), lambda *arguments: fixed_views(arguments[1])):
        assert as_sampler(sampler) is sampler
    assert isinstance(as_sampler(None)(seeded(0), 1, 0), Cameras)


# What the functions that make cameras take.


def test_numbers_lists_and_arrays_do_as_tensors_do() -> None:
    one = orbit(torch.tensor([30.0]), torch.tensor([20.0]))
    for azimuth, elevation in ((30, 20), ([30], [20.0]), (np.array([30]), np.float32(20)), (torch.tensor(30), [20])):
        assert torch.equal(orbit(azimuth, elevation).view, one.view)  # type: ignore[arg-type]
    assert len(orbit(torch.arange(0, 360, 45), 20)) == 8
    assert len(orbit(10, [0, 10, 20])) == 3  # type: ignore[arg-type]
    assert torch.equal(look_at([0, 0, 3], [0, 0, 0], [0, 1, 0])[0, :3, 3], torch.tensor([0, 0, -3.0]).double())  # type: ignore[arg-type]
    assert look_at(torch.rand(4, 3), [9, 0, 0], [0, 1, 0]).shape == (4, 4, 4)  # type: ignore[arg-type]
    expected = perspective(torch.tensor([30.0]).double(), 1.0, torch.ones(1).double(), 9 * torch.ones(1).double())
    assert torch.equal(perspective(30, 1, 1, 9), expected)
    assert orthographic([-1, -1], torch.ones(3, 2), 0, 1).shape == (3, 4, 4)  # type: ignore[arg-type]
    assert len(Cameras(np.eye(4), torch.eye(4).expand(3, 4, 4))) == 3  # type: ignore[arg-type]


def test_gradients_reach_matrices() -> None:
    eye = torch.tensor([[0.0, 0, 3]], requires_grad=True)
    cameras = Cameras(look_at(eye, torch.zeros(1, 3), torch.tensor([[0.0, 1, 0]])), perspective(30, 1, 1, 9))
    cameras.project(torch.rand(5, 3)).sum().backward()
    assert eye.grad is not None
    assert eye.grad.any()


def test_cameras_by_number_stay_cameras() -> None:
    cameras = numbered(5)
    assert cameras[2].frame.tolist() == [2]
    assert cameras[-1].frame.tolist() == [4]
    assert cameras[1:3].frame.tolist() == [1, 2]
    assert cameras[[3, 0]].frame.tolist() == [3, 0]
    assert [one.frame.item() for one in cameras] == [0, 1, 2, 3, 4]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: orbit("30", 20), "azimuth has to be finite numbers"),
        (lambda: orbit(30, None), "elevation has to be"),
        (lambda: orbit(torch.zeros(2, 2), 0), r"azimuth .*tensor \[2, 2\]"),
        (lambda: orbit([1, 2], [1, 2, 3]), "azimuth has 2 rows.*3 cameras"),
        (lambda: orbit(math.nan, 0), "azimuth"),
        (lambda: orbit([], []), "azimuth"),
        (lambda: orbit(30, 20, "near"), "radii has to be a number"),
        (lambda: orbit(30, 20, 0), "radii .*above 0"),
        (lambda: orbit(30, 20, fov_y=180), "fov_y .*below 180"),
        (lambda: look_at([0, 0], [0, 0, 0], [0, 1, 0]), r"eye .*\[B,3\]"),
        (lambda: look_at(torch.rand(2, 3), torch.rand(3, 3), [0, 1, 0]), "eye has 2 rows"),
        (lambda: look_at(torch.ones(3), torch.ones(3), [0, 1, 0]), "eye is at target"),
        (lambda: look_at(3, [0, 0, 0], [0, 1, 0]), "eye"),
        (lambda: perspective(0, 1, 1, 9), "fov_y .*0"),
        (lambda: perspective(30, 0, 1, 9), "aspect"),
        (lambda: perspective(30, ONES, 1, 9), "aspect"),
        (lambda: perspective(30, 1, 0, 9), "near"),
        (lambda: perspective(30, 1, 9, 1), "near .*below far"),
        (lambda: perspective("wide", 1, 1, 9), "fov_y"),
        (lambda: orthographic([0, 0], [0, 1], 0, 1), "low .*below high"),
        (lambda: orthographic([0, 0], [1, 1], 1, 0), "far"),
        (lambda: orthographic(0, 1, 0, 1), "low"),
        (lambda: fixed_views(0), "count"),
        (lambda: fixed_views(2.5), "count"),
        (lambda: fixed_views(torch.tensor([2])), "count"),
        (lambda: fixed_views(2, 0), "fov_y"),
        (lambda: sample_sphere(5), r"distance has to be a range \(low, high\).*not 5"),
        (lambda: sample_sphere(elevation=(1, 2, 3)), "elevation"),
        (lambda: sample_sphere(fov_y=("a", "b")), "fov_y"),
        (lambda: sample_sphere(roll=None), "roll"),
        (lambda: Cameras(torch.eye(3), torch.eye(4)), r"view .*\[B,4,4\]"),
        (lambda: Cameras(EYE, None), "projection"),
        (lambda: Cameras(EYE, EYE[:2]), "projection has 2 rows"),
        (lambda: Cameras(EYE, EYE, 0), "zoom"),
        (lambda: Cameras(EYE, EYE, 1.0, torch.zeros(3)), "frame"),
        (lambda: Cameras(EYE, EYE, 1.0, torch.zeros(2).long()), "frame"),
    ],
)
def test_what_cannot_be_is_named(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_mean_scale_is_over_all_distances() -> None:
    """A radius spans 1 / distance of what it does where the sphere fits, and distances are even over their range."""
    (fits,) = mean_scales(sample_sphere(distance=(1.0, 1.0))).values()
    (near,) = mean_scales(sample_sphere(distance=(0.5, 1.0))).values()
    assert near / fits == pytest.approx(math.log(2) / 0.5, rel=0.02)
