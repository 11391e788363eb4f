"""Colour spaces that are good to optimise in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from texopt.constants import constant

# Square root of the covariance of colours in ImageNet photographs, one row an RGB channel, scaled so that its largest
# column has norm 1. From lucid, optvis/param/color.py; with it steps in the parameters are decorrelated in colour.
_COLOR_CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOR_CORRELATION = _COLOR_CORRELATION / _COLOR_CORRELATION.norm(dim=0).max()
_ROWS = COLOR_CORRELATION.tolist()


def to_valid_rgb(values: Tensor) -> Tensor:
    """Decorrelated, unbounded colours [3,H,W] or [B,3,H,W] -> RGB in (0,1): the colour correlation, then a sigmoid."""
    # not as a convolution, whose digits depend on the number of threads; in place, as a texture is large
    mixed: Tensor = values.movedim(-3, -1) @ constant(_ROWS, values).T
    return mixed.movedim(-1, -3).sigmoid_()


def from_rgb(image: Tensor) -> Tensor:
    """The inverse of to_valid_rgb; RGB is first brought into [0.01, 0.99], where the sigmoid has a slope."""
    matrix = torch.linalg.inv(COLOR_CORRELATION.double()).to(image)
    return torch.einsum("rc,...chw->...rhw", matrix, torch.logit(image.clamp(0.01, 0.99)))


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB-encoded values in [0,1] -> linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: np.ndarray) -> np.ndarray:
    """The inverse of srgb_to_linear."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055)


def unit_colors(values: np.ndarray) -> np.ndarray:
    """Colours of a file that may count to 1 or to 255, in [0,1]: to 255 if all are whole numbers, or one is above 2."""
    found = values[np.isfinite(values)]
    to_255 = found.size and found.max() > 1 and ((found == np.round(found)).all() or found.max() > 2)
    return np.asarray(np.clip(np.nan_to_num(values, nan=1.0) / (255 if to_255 else 1), 0, 1))
