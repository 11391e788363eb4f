"""Parameters of an objective's own: who gathers gradients that nobody uses is told so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_cube
from settings import grouped
from torch import Tensor, nn

import texopt
from texopt import Checkpoint, FeatureExtractor, PixelTexture, Step, View

WARNING = "the objective has 2 parameters of its own"


class Judge(nn.Module):
    """A loss that is a network of one layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Conv2d(3, 1, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, view: View) -> Tensor:
        return self.layer(view.image).square().mean()  # type: ignore[no-any-return]


def run(extractor: FeatureExtractor, goal: Any, **options: Any) -> texopt.Result:
    settings: dict[str, Any] = {"steps": 4, "view_size": 32, "backbone": extractor, "device": "cpu"}
    return texopt.optimize(make_cube(), PixelTexture(32), goal, **grouped(**settings | options))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda judge: judge, "(judge.layer.bias, judge.layer.weight)"),
        (lambda judge: lambda view: judge(view), "(one of shape [1], one of shape [1, 3, 3, 3])"),
        (lambda judge: texopt.style(picture()) + texopt.on(judge, lambda view: view), "judge.layer.weight"),
    ],
)  # fmt: skip
def test_a_network_that_nobody_trains_is_named(
    extractor: FeatureExtractor, caplog: pytest.LogCaptureFixture, make: Callable[[Judge], Any], named: str
) -> None:
    """Once, whether the loss is it or calls it; it is not changed."""
    judge = Judge()
    before = [parameter.detach().clone() for parameter in judge.parameters()]
    run(extractor, make(judge))
    told = [message for message in caplog.messages if WARNING in message]
    assert len(told) == 1
    assert named in told[0]
    assert "requires_grad_(False)" in told[0]
    assert "on_step" in told[0]
    assert all(torch.equal(*pair) for pair in zip(before, judge.parameters(), strict=True))


def picture() -> Any:
    return texopt.system.images.to_image(torch.rand(3, 64, 64))


def test_one_that_is_frozen_is_not(extractor: FeatureExtractor, caplog: pytest.LogCaptureFixture) -> None:
    judge = Judge().requires_grad_(False)
    run(extractor, texopt.objective(judge) + texopt.style(picture()) + texopt.content())
    assert WARNING not in caplog.text
    assert "parameters of its own" not in caplog.text


def trained(extractor: FeatureExtractor, checkpoint: Checkpoint | None = None, stop: int = 0) -> tuple[Judge, Any]:
    """A judge that gets stricter while the texture gives way: its gradients are used, and cleared."""
    judge = Judge()
    descent = torch.optim.SGD(judge.parameters(), lr=0.1, maximize=True)

    def on_step(step: Step) -> None:
        descent.step()
        descent.zero_grad()
        if step.number == stop:
            raise KeyboardInterrupt

    return judge, run(extractor, judge, on_step=on_step, checkpoint=checkpoint)


def test_one_that_is_trained_is_not(extractor: FeatureExtractor, caplog: pytest.LogCaptureFixture) -> None:
    judge, _ = trained(extractor)
    assert "parameters of its own" not in caplog.text
    assert not torch.equal(judge.layer.weight, Judge().layer.weight)


def test_what_is_trained_is_in_the_checkpoint(extractor: FeatureExtractor, tmp_path: Path) -> None:
    whole, result = trained(extractor)
    checkpoint = Checkpoint(tmp_path / "run.safetensors", seconds=0)
    assert trained(extractor, checkpoint, stop=2)[1].interrupted
    judge, resumed = trained(extractor, checkpoint)
    assert torch.equal(judge.layer.weight, whole.layer.weight)
    assert torch.equal(resumed.texture.bake(), result.texture.bake())
