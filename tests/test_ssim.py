"""SSIM against its definition, written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from texopt.objectives.structural_similarity import ssim


def images(channels: int = 2, height: int = 14, width: int = 17) -> tuple[Tensor, Tensor]:
    first = torch.rand(1, channels, height, width, generator=Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(first.shape, generator=Generator().manual_seed(1), dtype=torch.float64)
    return first, (first + 0.2 * noise).clamp(0, 1)


def slow_ssim(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Wang et al. 2004, equations 13 to 16, of two images [H,W], over the pixels of a window that are in the mask."""
    height, width = x.shape
    out = np.zeros_like(x)
    for row in range(height):
        for column in range(width):
            seen = [
                (math.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * 1.5**2)), x[r, c], y[r, c])
                for r in range(max(row - 5, 0), min(row + 6, height))
                for c in range(max(column - 5, 0), min(column + 6, width))
                if mask[r, c]
            ]
            total = sum(w for w, _, _ in seen) or 1.0
            mx, my = sum(w * a for w, a, _ in seen) / total, sum(w * b for w, _, b in seen) / total
            vx = sum(w * (a - mx) ** 2 for w, a, _ in seen) / total
            vy = sum(w * (b - my) ** 2 for w, _, b in seen) / total
            cov = sum(w * (a - mx) * (b - my) for w, a, b in seen) / total
            out[row, column] = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    return out


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_it_is_what_the_paper_says(share: float) -> None:
    first, second = images()
    mask = (torch.rand(1, 1, 14, 17, generator=Generator().manual_seed(2)) < share).double()
    found, there = ssim(first, second, mask), mask[0, 0].numpy() > 0
    for channel in range(2):
        expected = slow_ssim(first[0, channel].numpy(), second[0, channel].numpy(), there)
        np.testing.assert_allclose(found[0, channel].numpy()[there], expected[there], atol=1e-9)


def test_an_image_is_as_itself_and_its_negative_is_not() -> None:
    first, _ = images()
    ones = torch.ones(1, 1, 14, 17, dtype=torch.float64)
    assert torch.allclose(ssim(first, first, ones), torch.ones_like(first))
    assert ssim(first, 1 - first, ones).mean() < -0.5


def test_what_is_outside_of_the_mask_does_not_count() -> None:
    first, second = images()
    mask = torch.ones(1, 1, 14, 17, dtype=torch.float64)
    mask[..., 9:] = 0
    other = torch.where(mask > 0, second, 1 - second)
    assert torch.equal(ssim(first, second, mask)[..., :9], ssim(first, other, mask)[..., :9])


def test_gradients_are_those_of_finite_differences() -> None:
    first, second = images(1, 3, 4)
    mask = torch.ones(1, 1, 3, 4, dtype=torch.float64)
    mask[..., 1, 2] = 0
    assert torch.autograd.gradcheck(lambda x: ssim(x, second, mask) * mask, [first.requires_grad_()])
