"""Guard: losses and gradients that are not finite change nothing, and do not end a run that can go on."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from conftest import make_cube
from torch import Tensor, nn

import texopt
from texopt import FeatureExtractor, OptionError, PixelTexture, PyramidTexture, View
from texopt.optim.adam import Adam
from texopt.optim.nan_guard import GIVE_UP, Guard
from texopt.show.loss_plot import loss_plot
from texopt.system.images import to_image


def exploding(when: Callable[[int], bool], by: float = float("nan")) -> Callable[[View], Tensor]:
    """A loss that is not finite at some steps."""

    def loss(view: View) -> Tensor:
        return view.image.mean() * (by if when(view.step) else 1.0)

    return loss


def run(
    extractor: FeatureExtractor, objective: object, texture: nn.Module | None = None, steps: int = 8
) -> texopt.Result:
    return texopt.optimize(
        make_cube(),
        texture or PixelTexture(32),
        objective,
        steps=steps,
        views=texopt.Views(size=32),
        backbone=extractor,
        device="cpu",
    )


@pytest.mark.parametrize("by", [float("nan"), float("inf"), -float("inf")])
def test_steps_that_are_not_finite_are_left_out_and_counted(
    extractor: FeatureExtractor, by: float, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(extractor, exploding(lambda step: step in (2, 5), by))
    assert result.skipped == 2
    assert not result.interrupted
    assert result.image.isfinite().all()
    assert [math.isfinite(step.terms["loss"]) for step in result.history] == [n not in (2, 5) for n in range(8)]
    assert caplog.text.count("not finite at step 3, which is left out") == 1
    assert loss_plot(result.history).startswith(b"\x89PNG")


def test_a_gradient_counts_too(extractor: FeatureExtractor) -> None:
    """√(image - image) is 0, and its slope is infinite."""
    for texture in (PixelTexture(32), PyramidTexture(2048, start=(0.3, 0.3, 0.3))):
        before = texture.bake()

        def root(view: View) -> Tensor:
            flat = (view.image - view.image.detach()).abs().sum().sqrt() if view.step else view.image.mean()
            return flat

        result = run(extractor, root, texture, steps=3)
        assert result.skipped == 2
        assert texture.bake().isfinite().all()
        assert not torch.equal(texture.bake(), before)


def test_averages_forget_what_is_not_finite(extractor: FeatureExtractor) -> None:
    """Features that overflow do not stay in the moving average of Gram matrices, nor in a multiplier."""
    calls = 0

    def overflow(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return output * (float("inf") if calls % 9 == 0 else 1.0)

    handle = extractor.model.conv1.register_forward_hook(overflow)  # type: ignore[operator,union-attr]
    try:
        picture = to_image(torch.rand(3, 32, 32))
        result = run(extractor, texopt.style(picture) + texopt.content(distance="l1").below(0.2), steps=12)
    finally:
        handle.remove()
    assert 0 < result.skipped < 8
    assert math.isfinite(result.history[-1].terms["loss"]) or math.isfinite(result.history[-2].terms["loss"])


@pytest.mark.slow
def test_a_run_that_cannot_recover_ends_with_what_it_has(extractor: FeatureExtractor) -> None:
    result = run(extractor, exploding(lambda step: step >= 4), steps=100)
    assert result.interrupted
    assert len(result.history) == 4 + GIVE_UP == 4 + result.skipped
    assert torch.equal(result.image, run(extractor, exploding(lambda _: False), steps=100).image) is False
    with pytest.raises(OptionError, match="is not finite from the first step on; mend the objective"):
        run(extractor, exploding(lambda _: True), steps=100)


def test_the_learning_rate_is_halved_after_three_in_a_row() -> None:
    value = nn.Parameter(torch.ones(1))
    guard = Guard(Adam([value], 0.1))
    losses = [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    rates = []
    for number, good in enumerate(losses):
        value.grad = torch.ones(1)
        guard.step(number + 1, 0.1, torch.tensor(1.0 if good else float("nan")), [value], pytest.fail)
        rates.append(guard.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1] * 7 + [0.05] * 4 + [0.025] * 3 + [0.0125], rel=1e-6)
    assert guard.skipped == losses.count(0)
    other = Guard(Adam([value], 0.1))
    other.load_state_dict(guard.state_dict())
    assert (other.skipped, other.factor) == (guard.skipped, guard.factor)
