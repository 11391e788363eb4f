"""Clipping: gradients no longer than a limit."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from texopt.errors import OptionError

PARTS = 1024  # of a sum, so that its digits do not depend on how many threads it is divided over


def check_clip(clip: float | None) -> None:
    """OptionError for a limit that cannot be."""
    if clip is not None and not 0 < clip < math.inf:
        raise OptionError(f"clip has to be above 0, not {clip}; without it gradients are as long as they are")


def _square(values: Tensor) -> Tensor:
    return values.reshape(math.gcd(values.numel(), PARTS), -1).square().sum(1).sum() if values.numel() else values.sum()


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale the gradients of all parameters, dense and sparse, to a common norm of `limit`, where it is above it.

    Returns the norm that they had, a scalar. Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, section 3.2. A norm that is not finite makes the gradients NaN: see Guard.
    """
    parts = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # a row that is there twice counts as its sum
            parts.append(parameter.grad._values())
        else:
            parts.append(parameter.grad)
    if not parts:
        return torch.zeros(())
    norm = torch.stack([_square(part) for part in parts]).sum().sqrt()
    factor = torch.where(norm.isfinite(), (limit / norm).clamp(max=1.0), math.nan)
    for part in parts:
        part.mul_(factor)
    return norm
