"""Numbers that a GPU computes, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

LATE = 8  # steps after which they are there, as good as surely


class Late:
    """The values of a tensor [N]. Those on a CUDA device are copied from there in the background."""

    def __init__(self, values: Tensor) -> None:
        on_cuda = values.device.type == "cuda"
        self._values, self._copied = values.detach().reshape(-1).to("cpu", non_blocking=on_cuda), None
        if on_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def values(self) -> list[float]:
        """The values, waited for."""
        if self._copied is not None:
            self._copied.synchronize()
        found: list[float] = self._values.tolist()
        return found
