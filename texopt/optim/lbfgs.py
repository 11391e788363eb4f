"""L-BFGS, each of whose steps is taken whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

ITERATIONS = 4  # in a step, all with the same views
HISTORY = 20  # pairs of changes that the curvature is known by
FIRST = 0.01  # how far values move, on average, in the first try of the first step


class LBFGS(torch.optim.LBFGS):
    """torch's L-BFGS with its line search (strong Wolfe conditions), of a few iterations a step.

    A step looks at the objective several times. Where one of these fails (an error, Ctrl-C), parameters and memory are
    again what they were before the step. The first step, which knows no curvature yet, is of one iteration, and begins
    with a move that the mean over any number of values notices. Its products are torch's, whose last digits depend on
    the number of threads, and so does what it finds; on one number of them it is the same bit for bit.

    Liu & Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization", Mathematical Programming 45, 1989.

    Args:
        parameters: to be optimised. rate: length of the first try of a line search, in quasi-Newton steps.

    taken_back: whether the last step was.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        super().__init__(
            list(parameters), lr=rate, max_iter=ITERATIONS, history_size=HISTORY, line_search_fn="strong_wolfe",
            tolerance_grad=0.0, tolerance_change=0.0,  # a mean over many texels has small gradients
        )  # fmt: skip
        self.taken_back = False

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Take a step. closure: gives all parameters their gradients, and returns the loss."""
        parameters: list[Tensor] = self.param_groups[0]["params"]
        values = [parameter.detach().clone() for parameter in parameters]
        memory = [{name: self._kept(name, value) for name, value in self.state[parameters[0]].items()}]
        self.taken_back = False
        group, before = self.param_groups[0], dict(self.param_groups[0])
        if not memory[0]:  # torch moves the sum of all values by the rate
            group["lr"], group["max_iter"] = FIRST * group["lr"] * sum(value.numel() for value in values), 1

        def evaluate() -> Tensor:
            loss = closure()
            for parameter in parameters:
                if parameter.grad is not None and not parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.contiguous()  # torch takes views of them
            return loss

        try:
            return super().step(evaluate)  # type: ignore[no-any-return]
        except BaseException:
            with torch.no_grad():
                for parameter, value in zip(parameters, values, strict=True):
                    parameter.copy_(value)
            self.state[parameters[0]] = memory[0]
            self.taken_back = True
            raise
        finally:
            group["lr"], group["max_iter"] = before["lr"], before["max_iter"]

    @staticmethod
    def _kept(name: str, value: Any) -> Any:
        """What a step changes in place: lists, of tensors that it does not change, and the last gradient."""
        return list(value) if isinstance(value, list) else value.clone() if name == "prev_flat_grad" else value
