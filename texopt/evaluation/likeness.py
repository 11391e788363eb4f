"""Style and content, by a network that took no part in the optimisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.evaluation.bidirectional import Elements, Gathered, patch_layer
from texopt.evaluation.views import Picture
from texopt.features.extractor import FeatureExtractor
from texopt.objectives.content_loss import centered_cosine, shows_something
from texopt.objectives.gram_matrices import cell_weights, gram_matrix, scaled
from texopt.objectives.terms import positioned
from texopt.system.images import to_tensor

Grams = dict[str, Tensor]


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are there; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def distance(grams: Grams, goal: Grams) -> float:
    """Relative L1 distance of Gram matrices, mean over the layers: 0 is the same."""
    return sum(float(F.l1_loss(grams[layer], goal[layer]) / goal[layer].abs().mean()) for layer in goal) / len(goal)


@dataclass(frozen=True, eq=False)
class Goal:
    """What paintings are in a network's features. floor: mean distance of their halves' Gram matrices to the whole."""

    grams: Grams
    floor: float
    elements: Elements


@torch.no_grad()
def goal_of(
    images: Sequence[Image.Image], shares: Sequence[float], side: float, extractor: FeatureExtractor
) -> Goal:  # fmt: skip
    """Of paintings in their shares, which add up to 1. side: pixels that the shorter side of each is long."""
    found = [_painting_grams(image, side, extractor) for image in images]
    grams = {
        layer: torch.stack([share * one[layer] for share, (one, _) in zip(shares, found, strict=True)]).sum(0)
        for layer in extractor.style_layers
    }
    floor = sum(share * halves for share, (_, halves) in zip(shares, found, strict=True))
    return Goal(grams, floor, Elements(images, shares, side, extractor))


def _painting_grams(image: Image.Image, side: float, extractor: FeatureExtractor) -> tuple[Grams, float]:
    """(Gram matrices of a painting, mean distance of its halves to the whole)."""
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
    """How far a result, or its original, is from paintings; the mean over parts of the surface with one each.

    style: distance of Gram matrices. coherence, completeness: see Gathered.distances.
    """

    style: float | None
    coherence: float | None
    completeness: float | None


class _Part:
    """What is gathered of a part of the surface that shall look like a painting."""

    def __init__(self, goal: Goal) -> None:
        self.goal, self.mean, self.patches = goal, _Mean(), Gathered(goal.elements)

    def add(self, picture: Picture, mask: Tensor, features: Grams, layers: Sequence[str]) -> None:
        self.mean.add(features, mask, layers)
        self.patches.add(picture.image, mask, features)


def _likeness(parts: Sequence[_Part]) -> Likeness:
    near = [part.patches.distances() for part in parts]
    return Likeness(
        mean([distance(part.mean(), part.goal.grams) for part in parts]), mean([one for one, _ in near]),
        mean([other for _, other in near]),
    )  # fmt: skip


@torch.no_grad()
def compare(
    after: Iterable[Picture], before: Iterable[Picture], goals: Sequence[Goal],
    extractor: FeatureExtractor,
) -> tuple[Likeness, Likeness, float]:  # fmt: skip
    """(likeness of the result, likeness of the original, content lost), over the same views of both.

    With several goals each is for its part (Picture.parts) of the original.
    """
    content_layer = patch_layer(extractor)
    layers = {*extractor.style_layers, content_layer}
    sides = [[_Part(goal) for goal in goals] for _ in range(2)]
    similarity: list[Tensor] = []
    for result, original in zip(after, before, strict=True):
        features = [extractor(picture.image, layers) for picture in (result, original)]
        for picture, found, parts in zip((result, original), features, sides, strict=True):
            for part, mask in zip(parts, original.parts, strict=True):
                part.add(picture, mask, found, extractor.style_layers)
        a, b = (found[content_layer] for found in features)
        cosine = centered_cosine(a, b, cell_weights(original.mask, a.shape[2:]))
        similarity.append(cosine[shows_something(original.image, original.mask) > 0])
    same = torch.cat(similarity)
    result_likeness, original_likeness = (_likeness(parts) for parts in sides)
    return result_likeness, original_likeness, float(1 - same.mean()) if len(same) else 0.0
