"""Adam, for dense gradients as torch has it, and for sparse ones at a cost of what they hold.

It is our own since torch's steps no sparse gradients, and since the constructor of torch.optim's classes imports
torch._dynamo, which takes as long as a draft's first steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from texopt.mesh.shape import Uniform
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


class Adam:
    """Adam with the attributes of torch.optim.Optimizer that texopt.optim uses. It also takes sparse gradients of
    float32 parameters on the CPU, and then steps their rows alone.

    A row that has a gradient in every step moves as dense Adam moves it. One that has it in few moves when it has: the
    mean of its gradients is over those, while their mean square fades with every step as in dense Adam. So what is seen
    in one step of n moves by √n steps when it is seen, about what dense Adam would have moved it in all. (The plain
    lazy Adam of torch.optim.SparseAdam moves it by one, and what few views see stays behind.)

    The numbers of a Uniform parameter share one mean square, the largest of theirs: they keep their proportions, and
    what has hardly a gradient hardly moves (AdamUniform of Nicolet et al., "Large Steps in Inverse Rendering of
    Geometry", 2021, section 3.3).

    Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Args:
        parameters: to be optimised. rate: learning rate.

    param_groups: one, with "params" and the rate, "lr". state: of each parameter, its moments and counters.
    """

    found_inf: Tensor | None = None  # where it is 1, torch's fused step, which looks for it, changes nothing

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        parameters = list(parameters)
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
        self.param_groups: list[dict[str, Any]] = [{"params": parameters, "lr": rate, "fused": fused}]
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take a step. closure: gives the parameters their gradients, and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        seen = [parameter for parameter in group["params"] if parameter.grad is not None]
        dense = [parameter for parameter in seen if not parameter.grad.is_sparse]
        self._step_dense([parameter for parameter in dense if not isinstance(parameter, Uniform)], group)
        for parameter in dense:
            if isinstance(parameter, Uniform):
                self._step_uniform(parameter, group["lr"])
        for parameter in seen:
            if parameter.grad.is_sparse:
                self._step_sparse(parameter, group["lr"])
                parameter.grad = None
        return loss

    def _step_dense(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), device=parameter.device if group["fused"] else None)
                for name in ("exp_avg", "exp_avg_sq"):
                    state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            for name in COUNTERS:
                state.pop(name, None)

        def each(name: str) -> list[Tensor]:
            return [self.state[parameter][name] for parameter in parameters]

        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if parameters:
            adam(
                parameters, grads, each("exp_avg"), each("exp_avg_sq"), [], each("step"), fused=group["fused"],
                foreach=False if group["fused"] else None, found_inf=self.found_inf, amsgrad=False, beta1=BETAS[0],
                beta2=BETAS[1], lr=group["lr"], weight_decay=0.0, eps=EPSILON, maximize=False,
            )  # fmt: skip

    def _step_uniform(self, parameter: Tensor, rate: float) -> None:
        assert parameter.grad is not None
        grad, state = parameter.grad, self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        if self.found_inf is not None and self.found_inf.any():
            return
        state["step"] += 1
        for name, value, beta in zip(("exp_avg", "exp_avg_sq"), (grad, grad.square()), BETAS, strict=True):
            state[name].mul_(beta).add_(value, alpha=1 - beta)
        corrections = [1 - beta ** float(state["step"]) for beta in BETAS]
        largest = (state["exp_avg_sq"].max() / corrections[1]).sqrt()
        parameter.sub_(state["exp_avg"] / (corrections[0] * (largest + EPSILON)) * rate)

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
