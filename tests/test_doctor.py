"""texopt doctor: a healthy installation passes, a gradient that is wrong somewhere does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import make_cube

import texopt
from texopt import FeatureExtractor, OptionError
from texopt.cli.main import main
from texopt.evaluation import gradient_check
from texopt.raster.details import _Details
from texopt.raster.sampling import _Texture

BROKEN = 1.1


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, extractor: FeatureExtractor) -> None:
    monkeypatch.setattr("texopt.cli.commands.diagnosis.load_backbone", lambda *_: extractor)


def scaled(monkeypatch: pytest.MonkeyPatch, function: type[torch.autograd.Function]) -> None:
    """Have its gradients be too large by a tenth."""
    right = function.backward

    def wrong(ctx: Any, *grads: torch.Tensor) -> Any:
        return tuple(None if grad is None else BROKEN * grad for grad in right(ctx, *grads))

    monkeypatch.setattr(function, "backward", staticmethod(wrong))


def test_gradients_of_a_healthy_installation_are_right() -> None:
    found = list(gradient_check.gradients())
    assert [one.name for one in found] == list(gradient_check.TEXTURES)
    assert all(one.fine for one in found), found
    assert max(one.exact for one in found) < 1e-7


def test_a_wrong_gradient_of_the_look_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled(monkeypatch, _Texture)
    found = list(gradient_check.gradients())
    assert [one.name for one in found if one.fine] == ["cppn", "cppn, on a surface"]  # which look nothing up
    assert all(one.exact < 1e-7 for one in found)  # torch's own look-up is as it was
    plain = [one for one in found if one.name in ("fourier", "pixel", "pyramid", "shared")]
    assert [one.apart for one in plain] == pytest.approx([BROKEN - 1] * len(plain), abs=1e-3)
    assert [one.single for one in plain] == pytest.approx([1 - 1 / BROKEN] * len(plain), abs=0.01)


def test_a_wrong_gradient_of_the_details_is_found_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled(monkeypatch, _Details)
    assert [one.name for one in gradient_check.gradients() if not one.fine] == ["pyramid, sparse"]


class _Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return BROKEN * grad


def test_a_wrong_gradient_of_a_parameterisation_is_found_in_all_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    right = texopt.FourierTexture.unbounded
    monkeypatch.setattr(texopt.FourierTexture, "unbounded", lambda self: _Wrong.apply(right(self)))
    found = {one.name: one for one in gradient_check.gradients()}
    assert [name for name, one in found.items() if not one.fine] == ["fourier", "shared", "transparent"]
    assert found["fourier"].exact == pytest.approx(1 - 1 / BROKEN, abs=1e-3)
    assert found["fourier"].single == pytest.approx(1 - 1 / BROKEN, abs=0.01)


@pytest.mark.parametrize(("factor", "problem"), [(1.0, ""), (1e-12, "vanishes"), (1e12, "explodes")])
def test_norms_are_judged_at_every_stage(extractor: FeatureExtractor, factor: float, problem: str) -> None:
    found = gradient_check.stages(make_cube(), factor * texopt.deepdream("act2"), extractor, "cpu")
    assert [stage.name for stage in found] == ["features act2", "image", "colours", "texture"]
    assert {stage.problem for stage in found} == {problem}
    assert all(len(stage.norms) == gradient_check.STEPS for stage in found)


def test_norms_are_those_of_the_loss(extractor: FeatureExtractor) -> None:
    """Of a mean of squares by its feature map the gradient is known."""
    (found, *_) = gradient_check.stages(make_cube(), lambda view: 3 * view.features["act2"].mean(), extractor, "cpu")
    cells = 12 * (gradient_check.VIEW // 4) ** 2
    assert found.norms == pytest.approx([3 / cells**0.5] * gradient_check.STEPS, rel=1e-4)


def test_what_is_not_finite_is_said() -> None:
    assert gradient_check.Stage("image", (1.0, float("nan"))).problem == "not finite"
    assert not gradient_check.Gradient("pixel", float("nan"), 0.0, 0.0).fine


@pytest.mark.slow
@pytest.mark.usefixtures("network")
def test_the_command_passes_and_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for text in ("torch", "on the CPU", "pyramid", "colours", "all is well"):
        assert text in out, text
    scaled(monkeypatch, _Texture)
    assert main(["doctor"]) == 1
    assert "wrong" in capsys.readouterr().out


def test_missing_weights_are_a_finding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise OptionError("the weights are missing; get them")

    monkeypatch.setattr("texopt.cli.commands.diagnosis.load_backbone", missing)
    assert main(["doctor"]) == 1
    assert "weights are missing" in capsys.readouterr().out
