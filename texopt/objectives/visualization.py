"""Feature visualisation: what excites a neuron, a channel, a direction, a class or a whole layer.

Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017. All of these are negated activations: losses, one
for each image of a view [B].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.features.backbones import class_number
from texopt.objectives.terms import Objective, objective, positioned
from texopt.objectives.view import View


def _channel(features: Tensor, layer: str, index: int) -> Tensor:
    if features.ndim < 2:
        raise OptionError(f"layer {layer!r} has no channels, its output is {list(features.shape)}; name another")
    if not 0 <= index < features.shape[1]:
        raise OptionError(f"layer {layer!r} has channels 0 to {features.shape[1] - 1}, not {index}")
    return features[:, index]


def _each(values: Tensor) -> Tensor:
    """The mean of every image [B,...] -> [B]."""
    return values.reshape(len(values), -1).mean(1)


def channel(layer: str, index: int) -> Objective:
    """Excite a channel of a layer everywhere: the negated mean of its activations."""
    return objective(lambda view: -_each(_channel(view.features[layer], layer, index)), f"{layer}:{index}")


def neuron(layer: str, index: int, x: int | None = None, y: int | None = None) -> Objective:
    """Excite one neuron of a channel: the one at column x and row y of the feature map, by default the middle."""

    def loss(view: View) -> Tensor:
        features = positioned(view.features[layer], layer)
        height, width = features.shape[2:]
        column, row = width // 2 if x is None else x, height // 2 if y is None else y
        if not (0 <= column < width and 0 <= row < height):
            raise OptionError(f"layer {layer!r} is {width}x{height} at this view size; ({column}, {row}) is outside")
        return -_channel(features, layer, index)[:, row, column]

    return objective(loss, f"{layer}:{index}@center" if x is None and y is None else f"{layer}:{index}@{x},{y}")


def direction(layer: str, vector: Tensor | Sequence[float]) -> Objective:
    """Excite a direction in a layer's activation space: the negated mean dot product with `vector` [C]."""
    wanted = torch.as_tensor(vector, dtype=torch.float32)

    def loss(view: View) -> Tensor:
        features = view.features[layer]
        if wanted.shape != (features.shape[1],):
            raise OptionError(f"a direction in {layer!r} has {features.shape[1]} numbers, not {list(wanted.shape)}")
        return -_each(torch.einsum("bc...,c->b...", features, wanted.to(features)))

    return objective(loss, f"{layer}:direction")


def logit(index: int | str) -> Objective:
    """Look like a class: the negated logit (before the softmax) of that class, by number, or by name for ImageNet's.

    OptionError for a name that ImageNet does not have, with those that are near to it.
    """
    number = class_number(index)
    return objective(lambda view: -_channel(view.features["logits"], "logits", number), f"logit:{number}")


def classified_as(index: int | str) -> Objective:
    """Be taken for a class, before all others: the cross entropy of the logits with it, -log of its probability.

    index: as of `logit`.

    Optimised over random views and backgrounds, and the `robust` transforms, it makes textures that a network takes
    for something else from anywhere (Athalye, Engstrom, Ilyas & Kwok, "Synthesizing Robust Adversarial Examples", ICML
    2018, expectation over transformation). With `change` it keeps the look as far as that allows; what changes least
    is a PixelTexture, whose details move before its colours do:

        texopt.change() + 0.002 * texopt.classified_as("tiger").below(1.0)
    """
    number = class_number(index)

    def loss(view: View) -> Tensor:
        logits = view.features["logits"]
        return F.cross_entropy(
            logits, torch.full_like(_channel(logits, "logits", number), number).long(), reduction="none"
        )

    return objective(loss, f"class:{number}")


def deepdream(layer: str) -> Objective:
    """Amplify whatever a layer sees: the negated mean of its squared activations.

    Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015.
    """
    return objective(lambda view: -_each(view.features[layer].square()), f"{layer}:*")


def inversion(layer: str) -> Objective:
    """Show what a layer knows of the original: the squared distance of features to the original's, over theirs.

    Mahendran & Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015, equation 2. What the
    layer has let go of the network says nothing about; a prior (total_variation) decides it.
    """

    def loss(view: View) -> Tensor:
        goal = view.original_features[layer]
        return _each((view.features[layer] - goal).square()) / _each(goal.square()).clamp(min=1e-12)

    return objective(loss, f"invert {layer}")
