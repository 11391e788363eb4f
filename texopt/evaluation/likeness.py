"""Style and content, by a network that took no part in the optimisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.evaluation.views import PIXELS_PER_RADIUS, Pictures
from texopt.features.extractor import FeatureExtractor
from texopt.images import to_tensor
from texopt.objectives.content import centered_cosine, shows_something
from texopt.objectives.style import STRIDE, cell_weights, gram_matrix, scaled

Grams = dict[str, Tensor]


def distance(grams: Grams, goal: Grams) -> float:
    """Relative L1 distance of Gram matrices, mean over the layers: 0 is the same."""
    return sum(float(F.l1_loss(grams[layer], goal[layer]) / goal[layer].abs().mean()) for layer in goal) / len(goal)


@torch.no_grad()
def painting_grams(image: Image.Image, scale: float, extractor: FeatureExtractor) -> tuple[Grams, float]:
    """(Gram matrices of a painting, mean distance of its halves to the whole).

    scale: length of its shorter side in diameters of the mesh.
    """
    layers = extractor.style_layers

    def grams(values: Tensor) -> Grams:
        features = extractor(values[None], layers)
        return {layer: gram_matrix(features[layer]) for layer in layers}

    pixels = to_tensor(scaled(image, scale * 2 * PIXELS_PER_RADIUS))
    whole = grams(pixels)
    axis = 2 if pixels.shape[2] >= pixels.shape[1] else 1
    half = max(pixels.shape[axis] // 2 // STRIDE, 1) * STRIDE
    halves = [pixels.narrow(axis, start, half) for start in (0, pixels.shape[axis] - half)]
    return whole, sum(distance(grams(part), whole) for part in halves) / 2


@torch.no_grad()
def compare(
    after: Pictures, before: Pictures, goals: Sequence[Grams], extractor: FeatureExtractor
) -> tuple[list[tuple[float, float]], float]:
    """([(style distance of the result, of the original) for each goal], content distance of the one to the other)."""
    content_layer = extractor.content_layer or extractor.style_layers[-1]
    layers = {*extractor.style_layers, content_layer}
    sums: list[dict[str, list[Tensor]]] = [{layer: [] for layer in extractor.style_layers} for _ in range(2)]
    weights: dict[str, list[Tensor]] = {layer: [] for layer in extractor.style_layers}
    similarity: list[Tensor] = []
    for pictures in zip(after.views(), before.views(), strict=True):
        mask = pictures[1].mask
        features = [extractor(picture.image, layers) for picture in pictures]
        for layer in extractor.style_layers:
            cells = cell_weights(mask, features[0][layer].shape[2:])
            weights[layer].append(cells.sum())
            for total, found in zip(sums, features, strict=True):
                total[layer].append(gram_matrix(found[layer], cells) * cells.sum())
        a, b = (found[content_layer] for found in features)
        cosine = centered_cosine(a, b, cell_weights(mask, a.shape[2:]))
        similarity.append(cosine[shows_something(pictures[1].image, mask) > 0])
    grams = [{layer: sum(total[layer]) / sum(weights[layer]) for layer in total} for total in sums]
    same = torch.cat(similarity)
    content = float(1 - same.mean()) if len(same) else 0.0
    return [(distance(grams[0], goal), distance(grams[1], goal)) for goal in goals], content
