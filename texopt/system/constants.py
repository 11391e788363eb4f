"""Numbers that do not change, as tensors on any device. Copied there in a step they would make it wait."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@lru_cache(1024)
def _constant(values: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)


def constant(
    values: Sequence[float] | Sequence[Sequence[float]], like: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """A tensor of numbers on the device of another one, and of its dtype by default. It is not to be changed."""
    rows: Numbers = tuple(tuple(row) if isinstance(row, Sequence) else row for row in values)  # type: ignore[assignment]
    return _constant(rows, dtype or like.dtype, like.device)
