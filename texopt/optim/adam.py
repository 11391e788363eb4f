"""Adam, for dense gradients as torch has it, and for sparse ones at a cost of what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texopt.raster.kernels import at, for_each_block, kernel
from texopt.system.pages import empty_zeros

BETAS, EPSILON = (0.9, 0.999), 1e-8
BLOCK = 512  # rows that a block of work steps
COUNTERS = ("counts", "last")  # of a row: its steps so far, and its last one


@kernel
def _step_rows(block, rows, grad, values, mean, square, counts, last, step, rate, beta1, beta2, epsilon):  # type: ignore[no-untyped-def]
    """Adam's step for a block of rows. mean, square: its moments; counts, last: a row's steps so far, its last one."""
    correction2 = np.sqrt(1.0 - beta2**step)
    for i in range(block * BLOCK, min((block + 1) * BLOCK, len(rows))):
        row = at(rows[at(i)])
        counts[row] += 1
        forget = np.float32(beta2 ** (step - last[row]))
        last[row] = step
        scale = np.float32(rate * correction2 / (1.0 - beta1 ** counts[row]))
        keep, take1, take2 = np.float32(beta1), np.float32(1.0 - beta1), np.float32(1.0 - beta2)
        least = np.float32(epsilon * correction2)
        for j in range(grad.shape[1]):
            g = grad[at(i), at(j)]
            m = keep * mean[row, at(j)] + take1 * g
            v = forget * square[row, at(j)] + take2 * g * g
            mean[row, at(j)], square[row, at(j)] = m, v
            values[row, at(j)] -= scale * m / (np.sqrt(v) + least)


class Adam(torch.optim.Adam):
    """torch's Adam, that also takes sparse gradients of float32 parameters on the CPU, and then steps their rows alone.

    A row that has a gradient in every step moves as dense Adam moves it. One that has it in few moves when it has: the
    mean of its gradients is over those, while their mean square fades with every step as in dense Adam. So what is seen
    in one step of n moves by √n steps when it is seen, about what dense Adam would have moved it in all. (The plain
    lazy Adam of torch.optim.SparseAdam moves it by one, and what few views see stays behind.)

    Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Args:
        parameters: to be optimised. rate: learning rate.
    """

    found_inf: Tensor | None = None  # where it is 1, torch's fused step, which looks for it, changes nothing

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        parameters = list(parameters)
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
        super().__init__(parameters, lr=rate, betas=BETAS, eps=EPSILON, fused=fused)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    self._step_sparse(parameter, group["lr"])
                    parameter.grad = None
                else:
                    for name in COUNTERS:
                        self.state[parameter].pop(name, None)
        super().step(closure)

    def _step_sparse(self, parameter: Tensor, rate: float) -> None:
        assert parameter.grad is not None
        grad, state = parameter.grad, self.state[parameter]
        if (grad._indices()[0].diff() <= 0).any():  # a row may be there twice
            grad = grad.coalesce()
        if not state:
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = empty_zeros(*parameter.shape, read=False)
            state["step"] = torch.zeros(())
        for name in COUNTERS:  # dense steps so far, as on a graphics card, were of all rows
            if name not in state:
                state[name] = torch.full((len(parameter),), int(state["step"]), dtype=torch.int32)
        state["step"] += 1
        rows = grad._indices()[0].numpy()
        flat = [
            values.flatten(1).numpy()
            for values in (grad._values(), parameter.data, state["exp_avg"], state["exp_avg_sq"])
        ]
        counters = (state["counts"].numpy(), state["last"].numpy(), int(state["step"]))
        for_each_block(_step_rows, -(-len(rows) // BLOCK), rows, *flat, *counters, rate, *BETAS, EPSILON)
