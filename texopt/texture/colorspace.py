"""Colour spaces that are good to optimise in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Square root of the covariance of colours in ImageNet photographs, one row an RGB channel, scaled so that its largest
# column has norm 1. From lucid, optvis/param/color.py; with it steps in the parameters are decorrelated in colour.
_COLOR_CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOR_CORRELATION = _COLOR_CORRELATION / _COLOR_CORRELATION.norm(dim=0).max()
BRIGHTEST = 10.0  # colours in [0,1] that go beyond 1, as of light that is added up, stay under this
_ROWS = COLOR_CORRELATION.tolist()
_COLUMNS = COLOR_CORRELATION.T.tolist()


def mix(matrix: Tensor | Sequence[Sequence[float]], values: Tensor) -> Tensor:
    """Linear combinations of channels: matrix [R,C], values [C,...] -> [R,...], Σ_c matrix[r,c] values[c].

    The terms are added in their order. A matrix product, or a convolution, chooses an order by the processor and the
    number of threads, and so gives other digits on others.
    """
    planes = values.contiguous().unbind()
    rows = []
    for row in matrix:
        total = planes[0] * row[0]
        for factor, plane in zip(row[1:], planes[1:], strict=True):
            total = total + plane * factor
        rows.append(total)
    return torch.stack(rows)


class _ToValidRGB(torch.autograd.Function):
    """The colour correlation and a sigmoid of values [...,3,H,W], which keeps the colours alone for its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # type: ignore[override]
        colors = mix(_ROWS, values.movedim(-3, 0)).sigmoid_().movedim(0, -3)
        ctx.save_for_backward(colors)
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (colors,) = ctx.saved_tensors
        return mix(_COLUMNS, (grad * colors * (1 - colors)).movedim(-3, 0)).movedim(0, -3)


def to_valid_rgb(values: Tensor) -> Tensor:
    """Decorrelated, unbounded colours [3,H,W] or [B,3,H,W] -> RGB in (0,1): the colour correlation, then a sigmoid."""
    colors: Tensor = _ToValidRGB.apply(values)
    return colors


def from_rgb(image: Tensor) -> Tensor:
    """The inverse of to_valid_rgb; RGB is first brought into [0.01, 0.99], where the sigmoid has a slope."""
    matrix = torch.linalg.inv(COLOR_CORRELATION.double()).tolist()
    return mix(matrix, torch.logit(image.clamp(0.01, 0.99)).movedim(-3, 0)).movedim(0, -3)


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB-encoded values in [0,1] -> linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: np.ndarray) -> np.ndarray:
    """The inverse of srgb_to_linear."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055)


def to_linear(colors: Tensor) -> Tensor:
    """As srgb_to_linear, of tensors, with a gradient."""
    return torch.where(colors <= 0.04045, colors / 12.92, ((colors.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(colors: Tensor, brightest: float = 1.0) -> Tensor:
    """As linear_to_srgb, of tensors, with a gradient; what is brighter than white, or than `brightest`, is as that."""
    inside = colors.clamp(max=brightest)
    return torch.where(inside <= 0.0031308, 12.92 * inside, 1.055 * inside.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def color_scale(values: np.ndarray) -> float:
    """What 1 is in the colours of a file [...,3] whose format does not say: 1.0 or 255.0.

    They are of [0,1], and a little more is rounding; they are of [0,255] only where they look like that: whole numbers,
    or far beyond 1. Values that are not finite say nothing.
    """
    found = values[np.isfinite(values)]
    if not found.size or found.max() <= 1:
        return 1.0
    return 255.0 if found.max() > BRIGHTEST or bool((found == found.round()).all()) else 1.0


def unit_colors(values: np.ndarray) -> np.ndarray:
    """Colours of a file as of color_scale, in [0,1]; 1 where they are not finite."""
    return np.asarray(np.clip(np.nan_to_num(values / color_scale(values), nan=1.0), 0, 1))
