"""Targets as text: each names what the functions make, and sums are sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_cube, make_network
from PIL import Image
from torch import Generator

import texopt
from texopt import FeatureExtractor, Objective, OptionError
from texopt.features.extractor import Activations
from texopt.objectives.targets import parse_target

PAINTING = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 20)


def loss(objective: Objective) -> float:
    """Of two random images, seen by the small network."""
    extractor = FeatureExtractor(make_network())
    image = torch.rand(2, 3, 32, 32, generator=Generator().manual_seed(3))
    features = Activations(extractor, image, set())
    view = texopt.View(image, torch.ones(2, 1, 32, 32), image, features, features, extractor, torch.zeros(2, 0, 3), 1.0)
    return float(objective(view)[0])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("act2:3", texopt.channel("act2", 3)),
        ("act2:3@center", texopt.neuron("act2", 3)),
        ("act2:3@1,0", texopt.neuron("act2", 3, 1, 0)),
        ("act2:*", texopt.deepdream("act2")),
        ("logit:7", texopt.logit(7)),
        ("7", texopt.logit(7)),
        ("tench", texopt.logit(0)),
        ("as:tench", texopt.classified_as(0)),
        ("act1:1 + act2:3", texopt.channel("act1", 1) + texopt.channel("act2", 3)),
        (
            "act1:1 - 0.5*act2:3 + 2 * act2:*",
            texopt.channel("act1", 1) - 0.5 * texopt.channel("act2", 3) + 2 * texopt.deepdream("act2"),
        ),
        ("  tench - act2:3", texopt.logit(0) - texopt.channel("act2", 3)),
    ],
)  # fmt: skip
def test_a_text_names_an_objective(text: str, same: Objective) -> None:
    assert loss(parse_target(text)) == pytest.approx(loss(same), rel=1e-6)


def test_names_of_classes_have_hyphens_and_spaces() -> None:
    assert [term.name for term in parse_target("black-and-tan coonhound - great white shark").terms] == [
        "logit:165",
        "logit:2",
    ]


def test_a_vector_in_a_file_is_a_direction(tmp_path: Path) -> None:
    vector = np.arange(12.0)
    np.save(tmp_path / "v.npy", vector)
    found = loss(parse_target(f"act2:{tmp_path / 'v.npy'}"))
    assert found == pytest.approx(loss(texopt.direction("act2", vector.tolist())))
    assert found == pytest.approx(
        loss(sum(float(x) * texopt.channel("act2", i) for i, x in enumerate(vector))), rel=1e-5
    )


@pytest.mark.parametrize(
    "text", ["", "act2:", "act2:x", "act2:3@", "act2:3@1", "nonsense zebra", "act2:3 + ", "logit:1000", "act2:none.npy"]
)
def test_says_what_a_text_is_not(text: str) -> None:
    with pytest.raises(OptionError):
        parse_target(text)


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.array(["a"]), np.array([{}], dtype=object)])
def test_refuses_what_is_no_vector(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", values, allow_pickle=True)
    with pytest.raises(OptionError):
        parse_target(f"act2:{tmp_path / 'v.npy'}")


@pytest.mark.parametrize(
    ("text", "said"), [("act2:12", "0 to 11"), ("act2:0@9,9", "outside"), ("flat:0@center", "positions")]
)
def test_says_what_a_layer_has_not(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        loss(parse_target(text))


@pytest.mark.parametrize(
    "goal", [texopt.diversity("flat"), texopt.content("flat"), texopt.style(PAINTING, layers=["flat"])]
)
def test_says_that_a_layer_has_no_positions(goal: Objective) -> None:
    with pytest.raises(OptionError, match="positions"):
        loss(goal)


def test_says_that_a_layer_has_no_channels_or_is_no_tensor() -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.pair = Mean(), Pair()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.pair(self.mean(image))[0]

    extractor, image = FeatureExtractor(Odd()), torch.rand(2, 3, 32, 32)
    for layer, said in (("mean", "no channels"), ("pair", "tuple")):
        features = Activations(extractor, image, set())
        none = torch.zeros(2, 0, 3)
        view = texopt.View(image, image[:, :1], image, features, features, extractor, none, 1.0)
        with pytest.raises(OptionError, match=said):
            texopt.channel(layer, 0)(view)


class Mean(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flatten(1).mean(1)


class Pair(torch.nn.Module):
    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return values, values


def test_a_weight_may_be_a_function_of_the_view() -> None:
    """Of its images, too: a factor of 0 and 2 for two images is the second one's loss."""
    each = texopt.channel("act2", 3)
    features = loss(each)
    second = loss(each * (lambda view: torch.tensor([0.0, 2.0])))
    first = loss(each * (lambda view: torch.tensor([2.0, 0.0])))
    assert (first + second) / 2 == pytest.approx(features, rel=1e-6)
    assert first != pytest.approx(second, rel=1e-3)
    assert loss(3 * each * (lambda view: 0.5)) == pytest.approx(1.5 * features, rel=1e-6)


def test_a_weight_changes_with_the_steps() -> None:
    seen: list[float] = []
    goal = texopt.objective(lambda view: view.image.mean(), "mean") * (lambda view: float(view.step))
    texopt.optimize(
        make_cube(),
        texopt.PixelTexture(16),
        goal,
        steps=3,
        views=texopt.Views(size=32),
        device="cpu",
        backbone=FeatureExtractor(make_network()),
        on_step=lambda step: seen.append(step.terms["loss"] / step.terms["mean"]),
    )
    assert seen == pytest.approx([0, 1, 2], abs=1e-5)
