"""Guard: no step is taken that would make the texture NaN."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from texopt.adam import Adam
from texopt.late import LATE, Late

log = logging.getLogger("texopt")

HALVE, GIVE_UP = 3, 12  # steps in a row


def finite(loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """Whether a loss and the gradients of the parameters have no infinities and no NaN: a bool scalar."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sums = [(grad._values() if grad.is_sparse else grad).sum() for grad in grads]  # which they survive
    return torch.stack([loss.detach(), *sums]).isfinite().all()


class Guard:
    """Steps the optimiser, but for steps whose loss or gradient is not finite: those are left out and counted.

    Every third of them in a row halves the learning rate, as too long steps lead there; after twelve it gives up. On a
    CUDA device they are left out there, and counted here some steps later.

    skipped: steps left out. factor: of the learning rate. hopeless: whether it has given up.
    """

    def __init__(self, adam: Adam) -> None:
        self.adam, self.skipped, self.in_a_row, self.factor = adam, 0, 0, 1.0
        self._waiting: deque[tuple[int, Late]] = deque()

    @property
    def hopeless(self) -> bool:
        return self.in_a_row >= GIVE_UP

    def step(self, number: int, rate: float, loss: Tensor, parameters: Iterable[Tensor]) -> None:
        """Take a step (`number` counts from 1) with a learning rate, if its loss and gradients are finite."""
        for group in self.adam.param_groups:
            group["lr"] = rate * self.factor
        good = finite(loss, parameters)
        self._waiting.append((number, Late(good)))
        if good.device.type == "cuda":
            self.adam.found_inf = (~good).float()  # torch's fused Adam then changes nothing
            self.adam.step()
        elif good:
            self.adam.step()
        self._count(LATE if good.device.type == "cuda" else 0)

    def _count(self, waiting: int) -> None:
        """Count the steps that were left out, but for the last ones, which may not be known yet."""
        while len(self._waiting) > waiting:
            number, good = self._waiting.popleft()
            if good.values()[0]:
                self.in_a_row = 0
                continue
            self.skipped += 1
            self.in_a_row += 1
            if self.skipped == 1:
                log.warning("the loss or its gradient is not finite at step %d, which is left out", number)
            if self.in_a_row % HALVE == 0:
                self.factor /= 2

    def state_dict(self) -> dict[str, Any]:
        self._count(0)
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "factor": self.factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.skipped, self.in_a_row, self.factor = state["skipped"], state["in_a_row"], state["factor"]
