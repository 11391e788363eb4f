"""Losses as plain functions of images, for objectives of one's own: `texopt.functional`.

Each takes float images [B,3,H,W] in [0,1], and a mask float [B,1,H,W] of 0 and 1 of the pixels that count (by default
all), and is differentiable.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_of_object(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean [B] of values [B,C,H,W] over the pixels of a mask; 0 where it has none."""
    there = values.new_ones(len(values), 1, *values.shape[2:]) if mask is None else mask
    return (values * there).flatten(1).sum(1) / (values.shape[1] * there.flatten(1).sum(1)).clamp(min=1)


def total_variation(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of neighbouring pixels, a scalar (Rudin, Osher & Fatemi 1992, anisotropic)."""
    there = torch.ones_like(image[:, :1]) if mask is None else mask
    across, down = there[..., :, 1:] * there[..., :, :-1], there[..., 1:, :] * there[..., :-1, :]
    horizontal = ((image[..., :, 1:] - image[..., :, :-1]).abs() * across).sum()
    vertical = ((image[..., 1:, :] - image[..., :-1, :]).abs() * down).sum()
    return (horizontal + vertical) / (3 * (across.sum() + down.sum())).clamp(min=1)


def l1(image: Tensor, target: Tensor | float, mask: Tensor | None = None) -> Tensor:
    """Mean absolute distance [B] to an image [B,3,H,W] or a grey."""
    return mean_of_object((image - target).abs(), mask)


def l2(image: Tensor, target: Tensor | float, mask: Tensor | None = None) -> Tensor:
    """Mean squared distance [B] to an image [B,3,H,W] or a grey."""
    return mean_of_object((image - target).square(), mask)


def blur(image: Tensor, mask: Tensor | None = None, radius: int = 1) -> Tensor:
    """Mean squared distance [B] of pixels to the mean of those around them, which has no gradient.

    radius: of the square window, in pixels. After the penalties of Olah, Mordvintsev & Schubert, "Feature
    Visualization", Distill 2017, frequency penalization.
    """
    smooth = F.avg_pool2d(image, 2 * radius + 1, 1, radius, count_include_pad=False)
    return l2(image, smooth.detach(), mask)
