"""Numbers that a GPU computes, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

LATE = 8  # steps after which they are there, as good as surely


class Late:
    """The values of a tensor [N]. Those on a CUDA device are copied from there in the background."""

    def __init__(self, values: Tensor) -> None:
        values = values.detach().reshape(-1)
        self._coming: tuple[Tensor, torch.cuda.Event] | None = None
        if values.device.type == "cuda":
            self._coming = values.to("cpu", non_blocking=True), torch.cuda.Event()
            self._coming[1].record()
        else:
            self._values: list[float] = values.tolist()

    def values(self) -> list[float]:
        """The values, waited for."""
        if self._coming:
            self._coming[1].synchronize()
            self._values, self._coming = self._coming[0].tolist(), None
        return self._values
