"""Fill the texels of a texture that carry nothing, so that filtering and mip levels never bleed them in."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.raster.kernels import kernel

UNKNOWN = np.iinfo(np.int16).max


@kernel
def _grow(colors: np.ndarray, ring_of: np.ndarray, queue: np.ndarray, rings: int) -> None:
    """Ring by ring outward: texels without a colour become the mean of their neighbours of smaller rings.

    colors: float32 [C,H,W], changed in place. ring_of: int16 [H,W], 0 where there is a colour and UNKNOWN elsewhere; in
    the end the ring of each texel, up to `rings` (1 or more). queue: int32, as long as there are unknown texels.
    """
    channels, height, width = colors.shape
    end = 0
    for y in range(height):
        for x in range(width):
            if ring_of[y, x] == UNKNOWN:
                for ny in range(max(y - 1, 0), min(y + 2, height)):
                    for nx in range(max(x - 1, 0), min(x + 2, width)):
                        if ring_of[ny, nx] == 0 and ring_of[y, x] == UNKNOWN:
                            ring_of[y, x] = 1
                            queue[end] = y * width + x
                            end += 1
    start = 0
    while start < end:
        y, x = queue[start] // width, queue[start] % width
        start += 1
        ring, count = ring_of[y, x], 0
        for channel in range(channels):
            colors[channel, y, x] = 0
        for ny in range(max(y - 1, 0), min(y + 2, height)):
            for nx in range(max(x - 1, 0), min(x + 2, width)):
                if ring_of[ny, nx] < ring:
                    count += 1
                    for channel in range(channels):
                        colors[channel, y, x] += colors[channel, ny, nx]
                elif ring_of[ny, nx] == UNKNOWN and ring < rings:
                    ring_of[ny, nx] = ring + 1
                    queue[end] = ny * width + nx
                    end += 1
        for channel in range(channels):
            colors[channel, y, x] /= count


def _pull_push(color: Tensor, weight: Tensor) -> Tensor:
    """Fill everything without weight smoothly from what has some (Gortler et al., "The Lumigraph", 1996)."""
    height, width = color.shape[2:]
    if min(height, width) == 1 or bool((weight > 0).all()):
        mean = (color * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-12)
        return torch.where(weight > 0, color, mean)
    total = F.avg_pool2d(color * weight, 2, ceil_mode=True, count_include_pad=False)
    share = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = _pull_push(total / share.clamp(min=1e-12), (share > 0).to(color.dtype))
    push = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return torch.where(weight > 0, color, push)


def fill(image: Tensor, valid: Tensor, padding: int | None = None) -> Tensor:
    """Give every texel that is not valid a colour from the valid ones nearest to it.

    First outward ring by ring, as engines expect of padding, then smoothly over what is left.

    Args:
        image: float [C,H,W].
        valid: bool [H,W].
        padding: rings, in texels; by default 16 at 1024² and in proportion, enough for mip levels 0 to 4.

    Returns:
        float [C,H,W], equal to `image` where valid. Without any valid texel, `image` itself.
    """
    if not bool(valid.any()):
        return image
    if padding is None:
        padding = max(2, round(16 * max(valid.shape) / 1024))
    # zeros, as not finite values would survive a weight of 0
    colors = torch.where(valid, image, 0.0).contiguous()
    del image  # a large one may be needed no longer
    ring_of = torch.full(valid.shape, int(UNKNOWN), dtype=torch.int16).masked_fill_(valid, 0)
    if padding > 0:
        unknown = valid.numel() - int(valid.sum())
        _grow(colors.numpy(), ring_of.numpy(), np.empty(unknown, np.int32), padding)
    filled = ring_of < UNKNOWN
    if bool(filled.all()):
        return colors
    weight = filled[None, None].to(colors.dtype)
    for channel in colors:  # one at a time takes less memory
        channel.copy_(_pull_push(channel[None, None], weight)[0, 0])
    return colors
