"""The transfer functions of sRGB (IEC 61966-2-1), of arrays and of tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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
