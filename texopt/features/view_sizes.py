"""Sizes of views: what they can be, and whole strides of a network."""

from __future__ import annotations

import numbers

import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError

Size = int | tuple[int, int]  # pixels a side, or (height, width)
SMALLEST, LARGEST = 32, 4096  # pixels a side


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a size; OptionError for what is none, and for sides that are too small or too large."""
    both = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(both) != 2 or not all(isinstance(side, numbers.Integral) for side in both):
        raise OptionError(f"view_size has to be pixels a side, or (height, width), not {size!r}")
    for side in both:
        if not SMALLEST <= side <= LARGEST:
            raise OptionError(f"view_size has to be between {SMALLEST} and {LARGEST} pixels, not {side}")
    return int(both[0]), int(both[1])


def check_stride(size: Size, stride: int) -> None:
    """OptionError for views whose sides are no multiples of a network's stride."""
    for side in sides(size):
        if side % stride:
            least, most = -(-SMALLEST // stride) * stride, LARGEST // stride * stride
            near = min(max(round(side / stride) * stride, least), most)
            raise OptionError(
                f"view_size has to be a multiple of {stride}, as this network halves or cuts its images, not {side}; "
                f"try {near}"
            )


def whole_strides(length: float, stride: int) -> int:
    """Pixels: about as many as `length`, in whole strides, one at least."""
    return max(round(length / stride), 1) * stride


def resized(images: Tensor, share: float, stride: int) -> Tensor:
    """Images [B,C,H,W] with sides of about a share of their size, in whole strides: means of areas."""
    if share == 1:
        return images
    size = [whole_strides(side * share, stride) for side in images.shape[2:]]
    return F.interpolate(images, size, mode="area")
