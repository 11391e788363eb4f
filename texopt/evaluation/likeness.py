"""Style and content, by a network that took no part in the optimisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.evaluation.views import Picture
from texopt.features.extractor import FeatureExtractor
from texopt.images import to_tensor
from texopt.objectives.content import centered_cosine, shows_something
from texopt.objectives.objective import positioned
from texopt.objectives.style import cell_weights, gram_matrix, scaled

Grams = dict[str, Tensor]


def distance(grams: Grams, goal: Grams) -> float:
    """Relative L1 distance of Gram matrices, mean over the layers: 0 is the same."""
    return sum(float(F.l1_loss(grams[layer], goal[layer]) / goal[layer].abs().mean()) for layer in goal) / len(goal)


@torch.no_grad()
def painting_grams(image: Image.Image, side: float, extractor: FeatureExtractor) -> tuple[Grams, float]:
    """(Gram matrices of a painting, mean distance of its halves to the whole).

    side: pixels that its shorter side is long.
    """
    layers = extractor.style_layers

    def grams(values: Tensor) -> Grams:
        features = extractor(values[None], layers)
        return {layer: gram_matrix(positioned(features[layer], layer)) for layer in layers}

    pixels = to_tensor(scaled(image, side, extractor.stride))
    whole = grams(pixels)
    axis = 2 if pixels.shape[2] >= pixels.shape[1] else 1
    half = max(pixels.shape[axis] // 2 // extractor.stride, 1) * extractor.stride
    halves = [pixels.narrow(axis, start, half) for start in (0, pixels.shape[axis] - half)]
    return whole, sum(distance(grams(part), whole) for part in halves) / 2


class _Mean:
    """A weighted mean of Gram matrices by layer."""

    def __init__(self) -> None:
        self.sums: Grams = {}
        self.weights: dict[str, float] = {}

    def add(self, features: Grams, mask: Tensor, layers: Sequence[str]) -> None:
        for layer in layers:
            cells = cell_weights(mask, features[layer].shape[2:])
            weight = float(cells.sum())
            self.sums[layer] = self.sums.get(layer, 0.0) + weight * gram_matrix(features[layer], cells)
            self.weights[layer] = self.weights.get(layer, 0.0) + weight

    def __call__(self) -> Grams:
        return {layer: total / max(self.weights[layer], 1e-12) for layer, total in self.sums.items()}


@dataclass(frozen=True)
class Likeness:
    """style: distance of the result to the painting. ceiling: of the original to it. content: of the result to the
    original."""

    style: float
    ceiling: float
    content: float


@torch.no_grad()
def compare(
    after: Iterable[Picture], before: Iterable[Picture], goals: Sequence[Grams], extractor: FeatureExtractor
) -> Likeness:
    """Over the same views of the result and of the original; with several goals each over its part (Picture.parts) of
    the original, and their mean."""
    content_layer = extractor.content_layer or extractor.style_layers[-1]
    layers = {*extractor.style_layers, content_layer}
    means = [[_Mean() for _ in goals] for _ in range(2)]
    similarity: list[Tensor] = []
    for result, original in zip(after, before, strict=True):
        features = [extractor(picture.image, layers) for picture in (result, original)]
        for found, of_goals in zip(features, means, strict=True):
            for mean, mask in zip(of_goals, original.parts, strict=True):
                mean.add(found, mask, extractor.style_layers)
        a, b = (found[content_layer] for found in features)
        cosine = centered_cosine(a, b, cell_weights(original.mask, a.shape[2:]))
        similarity.append(cosine[shows_something(original.image, original.mask) > 0])
    style, ceiling = (
        sum(distance(mean(), goal) for mean, goal in zip(of_goals, goals, strict=True)) / len(goals)
        for of_goals in means
    )
    same = torch.cat(similarity)
    return Likeness(style, ceiling, float(1 - same.mean()) if len(same) else 0.0)
