"""Content: what the object showed before is still to be seen."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.objectives.gram_matrices import cell_weights
from texopt.objectives.terms import Objective, objective, positioned
from texopt.objectives.view import View

FLAT = 1e-5  # variance of a channel in [0,1]; that of neighbouring 8-bit values is 1.5e-5
AROUND = 5  # cells a side, that one with detail differs from


def _summed(values: Tensor) -> Tensor:
    """[B,C,H,W] -> [B]. By channel first: how torch divides the sum of a single number depends on its threads."""
    return values.sum((2, 3)).sum(1)


def centered_cosine(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Cosine similarity of two feature maps about their own means over the weighted positions.

    a, b: [B,C,H,W]; weights: [B,1,H,W]. Returns [B] in [-1,1]; the means take out what is the same everywhere, such as
    a change of palette, and leave where things are.
    """
    total = weights.sum((2, 3), keepdim=True).clamp(min=1e-6)
    a = (a - (a * weights).sum((2, 3), keepdim=True) / total) * weights
    b = (b - (b * weights).sum((2, 3), keepdim=True) / total) * weights
    squares = _summed(a.square()) * _summed(b.square())
    return _summed(a * b) / squares.clamp(min=1e-24).sqrt()  # the root's slope at 0 is infinite


def shows_something(original: Tensor, mask: Tensor) -> Tensor:
    """Which images [B,3,H,W] have more than one colour within the mask [B,1,H,W]: [B] of 0 and 1.

    The features of an object of one colour differ only by how far the background reaches into them.
    """
    total = mask.sum((2, 3)).clamp(min=1)
    mean = (original * mask).sum((2, 3)) / total
    variance = ((original - mean[..., None, None]).square() * mask).sum((2, 3)) / total
    return (variance.amax(1) > FLAT).to(original.dtype)


def l1_distance(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute difference of two feature maps [B,C,H,W] over the weighted positions: [B]."""
    total = weights.sum((1, 2, 3)).clamp(min=1e-6) * a.shape[1]
    return ((a - b).abs() * weights).sum((1, 2, 3)) / total


def detail(features: Tensor, weights: Tensor) -> Tensor:
    """How much cells matter by what they show: from 0 where all around is alike to 1, as in eyes, edges and outlines.

    features: [B,C,H,W] of the original; weights: [B,1,H,W]. Returns [B,1,H,W]: the root of e / (e + 1), where e is the
    squared distance of a cell's features to the mean of those around it, in the mean one over the weighted positions.
    """
    around = F.avg_pool2d(features, AROUND, 1, AROUND // 2, count_include_pad=False)
    energy = (features - around).square().sum(1, keepdim=True)
    total = weights.sum((2, 3), keepdim=True).clamp(min=1e-6)
    energy = energy / ((energy * weights).sum((2, 3), keepdim=True) / total).clamp(min=1e-12)
    return (energy / (energy + 1)).sqrt()


def content(layer: str | None = None, distance: str = "cosine", size: float = 1.0, detailed: bool = False) -> Objective:
    """Keep the original's content: where a layer's features differ over the object, in the original as in the result.

    One minus the centred cosine similarity of the features of a view to those of the same view with the original
    texture, over the cells that the object covers; 0 is the original itself (or the original in another palette), 1
    nothing in common. Views in which the original has a single colour have no content and count 0. Close-ups are not
    judged: what the object shows is seen from afar, what they add are strokes.

    Args:
        layer: of the backbone; its own content layer by default.
        distance: "cosine", or "l1", the mean absolute difference that Mordvintsev et al. 2018 take: it holds on to the
            original's colours and so works against the style.
        size: of the view, a share of the whole, at which it is compared: less keeps only what is large, and is quicker.
        detailed: hold on to eyes, edges and outlines, and leave what is of one colour to the style.
    """
    if distance not in ("cosine", "l1"):
        raise OptionError(f"the content's distance has to be cosine or l1, not {distance!r}")

    def loss(view: View) -> Tensor:
        name = layer or view.extractor.content_layer
        if not name:
            raise OptionError("the backbone has no content layer of its own; name one: content(layer)")
        view = view.at(size, [name])
        features, original = positioned(view.features[name], name), view.original_features[name]
        weights = cell_weights(view.mask, features.shape[2:])
        if detailed:
            weights = weights * detail(original, weights)
        if distance == "l1":
            return l1_distance(features, original, weights).mean()
        lost = 1 - centered_cosine(features, original, weights)
        return (lost * shows_something(view.original, view.mask)).mean()

    return objective(loss, "content", when=lambda view: view.zoom == 1)
