"""Several pictures at once, and pictures with holes: what differs between them, what does not, what is not needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.objectives.terms import Loss, Objective, as_objective, objective, positioned
from texopt.objectives.view import View


def across_frames(first: Objective | Loss, last: Objective | Loss) -> Objective:
    """From one objective to another over the frames of a canvas: the first frame is for `first`, the last for `last`,
    those between for both in shares.

    Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018, aligned feature visualization
    interpolation.
    """
    return as_objective(first) * (lambda view: 1 - view.along) + as_objective(last) * (lambda view: view.along)


def by_frame(objectives: Sequence[Objective | Loss]) -> Objective:
    """An objective for each frame of a canvas: the first for the first, and so on."""

    def own(number: int) -> Callable[[View], Tensor]:
        return lambda view: (view.frame == number).to(view.image)

    parts = [as_objective(one) * own(number) for number, one in enumerate(objectives)]
    return sum(parts[1:], parts[0])


def transparent(goal: Objective | Loss) -> Objective:
    """An objective for textures with opacity, times one minus their mean: what it does not need becomes transparent.

    Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018, semi-transparent patterns. It is for
    activations, whose losses are below 0.
    """
    return as_objective(goal) * (lambda view: 1 - view.alpha.flatten(1).mean(1))


def _several(view: View) -> None:
    if len(view.image) < 2:
        raise OptionError("diversity and alignment compare images; take two views a step or more")


def diversity(layer: str) -> Objective:
    """Have the images of a step differ in style: the mean cosine similarity of their Gram matrices of a layer.

    Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, diversity.
    """

    def loss(view: View) -> Tensor:
        _several(view)
        rows = positioned(view.features[layer], layer).flatten(2)
        grams = torch.nn.functional.normalize((rows @ rows.transpose(1, 2)).flatten(1), dim=1)
        similar = grams @ grams.T
        return (similar.sum() - similar.diagonal().sum()) / (len(rows) * (len(rows) - 1))

    return objective(loss, "diversity")


def alignment(layer: str, decay: float = 2.0) -> Objective:
    """Have the images of a step show the same things in the same places: mean squared distances of a layer's features,
    of frames n apart divided by decay to the power of n. For frames that share no parameters.

    After lucid, optvis/objectives.py, alignment.
    """

    def loss(view: View) -> Tensor:
        _several(view)
        features, total = view.features[layer], view.image.sum() * 0.0
        for apart in range(1, len(features)):
            total = total + (features[apart:] - features[:-apart]).square().mean() / decay**apart
        return total

    return objective(loss, "alignment")
