"""Textures that are classified as something else: the loss, how it keeps the look, and how that is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_cube
from torch import nn

import texopt
from texopt import FeatureExtractor, OptionError, View
from texopt.evaluation.classification import classified_share
from texopt.features.extractor import Activations
from texopt.objectives import change, classified_as

TARGET = 5


def view_of(image: torch.Tensor, extractor: FeatureExtractor, mask: torch.Tensor | None = None) -> View:
    mask = torch.ones_like(image[:, :1]) if mask is None else mask
    features = Activations(extractor, image, set())
    return View(image, mask, torch.zeros_like(image), features, features, extractor, torch.zeros(2, 0, 3), 1.0)


def test_classified_as_is_the_negated_logarithm_of_the_probability(extractor: FeatureExtractor) -> None:
    image = torch.rand(3, 3, 32, 32)
    (values,) = [term.loss(view_of(image, extractor)) for term in classified_as(TARGET).terms]
    wanted = -extractor(image, ["logits"])["logits"].softmax(1)[:, TARGET].log()
    assert torch.allclose(values, wanted, atol=1e-5)
    with pytest.raises(OptionError, match="0 to 9, not 10"):
        classified_as(10)(view_of(image, extractor))


def test_change_is_of_the_object_alone(extractor: FeatureExtractor) -> None:
    image, mask = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[..., :7, :] = 1
    (values,) = [term.loss(view_of(image, extractor, mask)) for term in change().terms]
    assert torch.allclose(values, image[:, :, :7].square().mean((1, 2, 3)))


class Reddest(nn.Module):
    """Two classes: more red than blue, or not."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        red = (image[:, 0] - image[:, 2]).mean((1, 2))
        return torch.stack([red, -red], 1)


def test_the_share_is_of_views_and_backgrounds() -> None:
    network = FeatureExtractor(Reddest(), mean=(0.0,) * 3, std=(1.0,) * 3)
    shares = {
        name: classified_share(make_cube(np.full((8, 8, 3), color, np.uint8)), 0, 40, backbone=network, view_size=32)
        for name, color in {"red": [255, 0, 0], "blue": [0, 0, 255], "grey": [99, 99, 99]}.items()
    }
    assert (shares["red"], shares["blue"]) == (1.0, 0.0)
    assert 0.2 < shares["grey"] < 0.8  # the backgrounds decide
    with pytest.raises(OptionError, match="classes 0 to 1, not 2"):
        classified_share(make_cube(), 2, 1, backbone=network, view_size=32)


@pytest.mark.slow
def test_a_texture_is_classified_as_something_else_from_new_views(extractor: FeatureExtractor) -> None:
    mesh = make_cube(np.array([[[0, 128, 128]]], np.uint8))
    assert classified_share(mesh, TARGET, 40, backbone=extractor, view_size=32) < 0.1
    texture = texopt.PixelTexture(32, start=mesh.originals([(32, 32)])[0])
    objective = change() + classified_as(TARGET).below(0.5)
    made = texopt.optimize(
        mesh,
        texture,
        objective,
        steps=60,
        views=texopt.Views(size=32),
        descent=texopt.Descent(learning_rate=0.2),
        backbone=extractor,
        device="cpu",
    ).textured()
    assert classified_share(made, TARGET, 40, backbone=extractor, view_size=32) > 0.6  # half of a view is background
