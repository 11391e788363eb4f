"""Guard: no step is taken that would make the texture NaN."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from texopt.optim.adam import Adam
from texopt.optim.optimizers import Optimizer
from texopt.system.readback import LATE, Late

log = logging.getLogger("texopt")

HALVE, GIVE_UP = 3, 12  # steps in a row


def finite(loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """Whether a loss and the gradients of the parameters have no infinities and no NaN: a bool scalar."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sums = [(grad._values() if grad.is_sparse else grad).sum() for grad in grads]  # which they survive
    return torch.stack([loss.detach(), *sums]).isfinite().all()


class _NotFinite(Exception):  # noqa: N818
    pass


class Guard:
    """Steps the optimiser, but for steps whose loss or gradient is not finite: those are left out and counted.

    Every third of them in a row halves the learning rate, as too long steps lead there; after twelve it gives up. On a
    CUDA device Adam's are left out there, and counted here some steps later.

    skipped: steps left out. factor: of the learning rate. hopeless: whether it has given up.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.skipped, self.in_a_row, self.factor = optimizer, 0, 0, 1.0
        self._waiting: deque[tuple[int, Late]] = deque()

    @property
    def hopeless(self) -> bool:
        return self.in_a_row >= GIVE_UP

    def step(
        self, number: int, rate: float, loss: Tensor, parameters: Iterable[Tensor], again: Callable[[], Tensor]
    ) -> None:
        """Take a step (`number` counts from 1) with a learning rate, if its loss and gradients are finite.

        again: for optimisers that look at the loss more than once, gives the parameters, where they are then, their
        gradients, and returns the loss. Where those are not finite, the step is taken back, and what the optimiser
        knows forgotten.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.factor
        parameters = list(parameters)
        good, late = finite(loss, parameters), False
        if isinstance(self.optimizer, Adam) and good.device.type == "cuda":
            self.optimizer.found_inf, late = (~good).float(), True  # torch's fused Adam then changes nothing
            self.optimizer.step()
        elif good and not self._taken(loss, parameters, again):
            good = torch.zeros_like(good)
        self._waiting.append((number, Late(good)))
        self._count(LATE if late else 0)

    def _taken(self, loss: Tensor, parameters: list[Tensor], again: Callable[[], Tensor]) -> bool:
        """Whether a step could be taken; its first loss is known."""
        known = [loss.detach()]

        def evaluate() -> Tensor:
            if known:
                return known.pop()
            value = again()
            if not finite(value, parameters):
                raise _NotFinite
            return value.detach()

        try:
            self.optimizer.step(evaluate)
        except _NotFinite:
            self.optimizer.state.clear()
            return False
        return True

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
