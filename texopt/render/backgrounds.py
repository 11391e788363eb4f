"""What stands behind the object: closures (generator, views, height, width) -> [B,3,H,W].

A background that is always the same becomes part of what the network sees as the object: black is a colour of the
style, an outline is a stroke. One that changes every step cannot be answered by the texture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Background = Callable[[Generator, int, int, int], Tensor]


def smooth_noise(cells: int = 4) -> Background:
    """Large soft clouds of random colours: uniform colours on a grid of cells x cells, bicubic in between."""

    @cache
    def weights(size: int) -> Tensor:  # of the cells along an axis, for each pixel: [size,cells]
        return F.interpolate(torch.eye(cells)[None, :, None], (1, size), mode="bicubic", align_corners=False)[0, :, 0].T

    def make(generator: Generator, count: int, height: int, width: int) -> Tensor:
        colors = torch.rand(count, 3, cells, cells, generator=generator)
        # added up term by term, as the digits of a matrix product depend on the number of threads
        down, across = weights(height), weights(width)
        rows = torch.zeros(count, 3, height, cells)
        image = torch.zeros(count, 3, height, width)
        for k in range(cells):
            rows += down[:, [k]] * colors[:, :, [k]]
        for k in range(cells):
            image += rows[..., [k]] * across[:, k]
        return image.clamp_(0, 1)

    return make


def random_color() -> Background:
    """One uniformly random colour a view."""

    def make(generator: Generator, count: int, height: int, width: int) -> Tensor:
        return torch.rand(count, 3, 1, 1, generator=generator).expand(count, 3, height, width)

    return make


def plain(color: float = 0.0) -> Background:
    """The same grey always; 0, black, is the published method's."""
    return lambda generator, count, height, width: torch.full((count, 3, height, width), float(color))


def composite(color: Tensor, mask: Tensor, background: Tensor | float) -> Tensor:
    """The object over a background: color [B,3,H,W], or [B,4,H,W] with opacity, mask [B,1,H,W] of bool, background
    broadcast to them. Returns [B,3,H,W]."""
    behind = torch.as_tensor(background, dtype=color.dtype, device=color.device)
    if color.shape[1] == 4:
        color = behind + (color[:, :3] - behind) * color[:, 3:]
    return torch.where(mask, color, behind)
