"""Sizes of images in whole strides of a network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def whole_strides(length: float, stride: int) -> int:
    """Pixels: about as many as `length`, in whole strides, one at least."""
    return max(round(length / stride), 1) * stride


def resized(images: Tensor, size: float, stride: int) -> Tensor:
    """Images [B,C,H,W] with sides of about a share of their size, in whole strides: means of areas."""
    if size == 1:
        return images
    sides = [whole_strides(side * size, stride) for side in images.shape[2:]]
    return F.interpolate(images, sides, mode="area")
