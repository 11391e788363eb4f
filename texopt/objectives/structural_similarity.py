"""SSIM: how alike two images are in structure."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # for values in [0,1]


def _blurred(images: Tensor) -> Tensor:
    """[B,C,H,W] under the window, with zeros around: as sums of shifted images, for the same digits on any threads."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    for dim in (2, 3):
        padding = (WINDOW // 2, WINDOW // 2) if dim == 3 else (0, 0, WINDOW // 2, WINDOW // 2)
        padded, size = torch.nn.functional.pad(images, padding), images.shape[dim]
        images = torch.zeros_like(images)
        for place, weight in enumerate((weights / weights.sum()).tolist()):
            images = images + weight * padded.narrow(dim, place, size)
    return images


def ssim(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """The structural similarity of two images at every pixel: [B,C,H,W] in [-1,1], differentiable.

    Means, variances and covariance under a Gaussian window of 11 x 11 pixels with a standard deviation of 1.5, without
    Bessel's correction. Wang, Bovik, Sheikh & Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", 2004, equation 13. Other than there, only pixels in the mask take part in a window, whose
    weights then add up to 1: so neither a background nor the image's border counts.

    Args:
        first, second: [B,C,H,W] in [0,1].
        mask: [B,1,H,W], 1 where pixels count and else 0; what comes out elsewhere means nothing.
    """
    channels = first.shape[1]
    x, y = first * mask, second * mask
    sums = _blurred(torch.cat([x, y, x * x, y * y, x * y, mask.to(x)], 1))
    mean_x, mean_y, square_x, square_y, product = (sums[:, :-1] / sums[:, -1:].clamp(min=1e-8)).split(channels, 1)
    variance_x, variance_y, covariance = square_x - mean_x**2, square_y - mean_y**2, product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    found: Tensor = luminance * structure
    return found
