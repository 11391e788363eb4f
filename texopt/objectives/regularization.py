"""Regularisers: what an image should be like, whatever it shows."""

from __future__ import annotations

import torch
from torch import Tensor

from texopt.objectives import functional
from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View


def total_variation() -> Objective:
    """Mean absolute difference of neighbouring pixels of the object (Rudin, Osher & Fatemi 1992, anisotropic)."""
    return objective(lambda view: functional.total_variation(view.image, view.mask), "total_variation")


def seam() -> Objective:
    """Mean absolute difference of the colours on the two sides of UV seams, which views alone see only as noise; of
    views under light also of a relief's normals and roughness."""

    def loss(view: View) -> Tensor:
        finish = view.geometry.finish_beside_seams() if view.lit and view.geometry is not None else None
        found = [_difference(view.seams)] + ([] if finish is None else [_difference(finish)])
        return torch.stack(found).sum()

    return objective(loss, "seam")


def _difference(sides: Tensor) -> Tensor:
    """Of values [2,N,C] on both sides."""
    difference = sides[0] - sides[1]
    return difference.abs().sum() / max(difference.numel(), 1)


def l1(color: float = 0.5) -> Objective:
    """Mean absolute distance of the object's pixels to a grey: what is not needed stays at it."""
    return objective(lambda view: functional.l1(view.image, color, view.mask), "l1")


def l2(color: float = 0.5) -> Objective:
    """Mean squared distance of the object's pixels to a grey."""
    return objective(lambda view: functional.l2(view.image, color, view.mask), "l2")


def change() -> Objective:
    """Mean squared distance of the object's pixels to those of the original: it keeps its look."""
    return objective(lambda view: functional.l2(view.image, view.original, view.mask), "change")


def blur(radius: int = 1) -> Objective:
    """Mean squared distance of the object's pixels to the mean of those around them: against high frequencies.

    radius: of the square window, in pixels. After the penalties of Olah, Mordvintsev & Schubert, "Feature
    Visualization", Distill 2017, frequency penalization.
    """
    return objective(lambda view: functional.blur(view.image, view.mask, radius), "blur")
