"""Regularisers: what an image should be like, whatever it shows."""

from __future__ import annotations

from torch import Tensor

from texopt.objectives.objective import Objective, objective
from texopt.render import View


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
