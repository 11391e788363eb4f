"""Fill the texels of a texture that carry nothing, so that filtering and mip levels never bleed them in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _grow(color: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """One ring outward: texels without weight become the mean of their neighbours that have some."""
    total = F.avg_pool2d(F.pad(color * weight, (1, 1, 1, 1)), 3, 1)
    share = F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 3, 1)
    grown = torch.where(weight > 0, color, total / share.clamp(min=1e-12))
    return grown, (share > 0).to(color.dtype)


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
    color, weight = torch.where(valid, image, 0.0)[None], valid[None, None].to(image.dtype)
    for _ in range(padding):
        color, weight = _grow(color, weight)
    return _pull_push(color, weight)[0]
