"""Guided backpropagation: gradients that pass ReLUs only where they are positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

RECTIFIERS = {
    F.relu, F.relu6, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.hardtanh, F.hardtanh_,
}  # fmt: skip


class _Positive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # type: ignore[override]
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad.clamp(min=0)


class guided(TorchFunctionMode):  # noqa: N801  # it is used as `with guided():`
    """Within it, the gradients of what is computed have to be positive at the outputs of ReLU and ReLU6 to pass.

    Springenberg, Dosovitskiy, Brox & Riedmiller, "Striving for Simplicity: The All Convolutional Net", ICLR 2015
    workshop, section 3.4. It is the function that is watched, not the module: activations that are inside of others, or
    no modules, are seen too, and a network is as before when it ends.

    count: how many ReLUs were seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in RECTIFIERS:
            return out
        self.count += 1
        return _Positive.apply(out)
