"""Regularisers: what an image should be like, whatever it shows."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View


def total_variation() -> Objective:
    """Mean absolute difference of neighbouring pixels of the object (Rudin, Osher & Fatemi 1992, anisotropic)."""

    def loss(view: View) -> Tensor:
        image, mask = view.image, view.mask
        across, down = mask[..., :, 1:] * mask[..., :, :-1], mask[..., 1:, :] * mask[..., :-1, :]
        horizontal = ((image[..., :, 1:] - image[..., :, :-1]).abs() * across).sum()
        vertical = ((image[..., 1:, :] - image[..., :-1, :]).abs() * down).sum()
        return (horizontal + vertical) / (3 * (across.sum() + down.sum())).clamp(min=1)

    return objective(loss, "total_variation")


def seam() -> Objective:
    """Mean absolute difference of the colours on the two sides of UV seams, which views alone see only as noise."""

    def loss(view: View) -> Tensor:
        difference = view.seams[0] - view.seams[1]
        return difference.abs().sum() / max(difference.numel(), 1)

    return objective(loss, "seam")


def _of_object(values: Tensor, view: View) -> Tensor:
    """The mean [B] of values [B,3,H,W] over the object."""
    return (values * view.mask).flatten(1).sum(1) / (3 * view.mask.flatten(1).sum(1)).clamp(min=1)


def l1(color: float = 0.5) -> Objective:
    """Mean absolute distance of the object's pixels to a grey: what is not needed stays at it."""
    return objective(lambda view: _of_object((view.image - color).abs(), view), "l1")


def l2(color: float = 0.5) -> Objective:
    """Mean squared distance of the object's pixels to a grey."""
    return objective(lambda view: _of_object((view.image - color).square(), view), "l2")


def change() -> Objective:
    """Mean squared distance of the object's pixels to those of the original: it keeps its look."""
    return objective(lambda view: _of_object((view.image - view.original).square(), view), "change")


def blur(radius: int = 1) -> Objective:
    """Mean squared distance of the object's pixels to the mean of those around them: against high frequencies.

    radius: of the square window, in pixels. After the penalties of Olah, Mordvintsev & Schubert, "Feature
    Visualization", Distill 2017, frequency penalization.
    """

    def loss(view: View) -> Tensor:
        smooth = F.avg_pool2d(view.image, 2 * radius + 1, 1, radius, count_include_pad=False)
        return _of_object((view.image - smooth.detach()).square(), view)

    return objective(loss, "blur")
