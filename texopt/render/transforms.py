"""Random transformations of a view: closures (generator, images [B,C,H,W]) -> images of the same size.

An activation that survives them is one of a shape, not of a pattern of pixels that the network happens to answer to
(Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, transformation robustness). The image, the
original and the mask are transformed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.system.devices import to_device

Transform = Callable[[Generator, Tensor], Tensor]


def jitter(pixels: int) -> Transform:
    """Shift by up to `pixels` in each direction; what leaves one side is replaced by the edge of the other."""

    def apply(generator: Generator, images: Tensor) -> Tensor:
        dy, dx = torch.randint(-pixels, pixels + 1, (2,), generator=generator).tolist()
        padded = F.pad(images, (pixels,) * 4, mode="replicate")
        height, width = images.shape[2:]
        return padded[:, :, pixels + dy : pixels + dy + height, pixels + dx : pixels + dx + width]

    return apply


def _warp(images: Tensor, scale: float, degrees: float) -> Tensor:
    cosine, sine = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    matrix = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]], dtype=images.dtype)
    matrix = to_device(matrix, images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def scale(low: float, high: float) -> Transform:
    """Enlarge about the centre by a factor in [low, high]."""
    return lambda generator, images: _warp(images, low + (high - low) * float(torch.rand((), generator=generator)), 0.0)


def rotate(degrees: float) -> Transform:
    """Turn about the centre by up to `degrees` either way."""
    return lambda generator, images: _warp(images, 1.0, degrees * (2 * float(torch.rand((), generator=generator)) - 1))


def compose(transforms: Sequence[Transform]) -> Transform:
    """All of them, one after another."""

    def apply(generator: Generator, images: Tensor) -> Tensor:
        for transform in transforms:
            images = transform(generator, images)
        return images

    return apply


def robust() -> Transform:
    """The set that Distill's article recommends, for views of a few hundred pixels."""
    return compose([jitter(8), scale(0.95, 1.05), rotate(5.0), jitter(4)])
