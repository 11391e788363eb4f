"""Pointwise convolutions that give the same digits on any number of threads."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def _convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """conv2d of 1x1, by oneDNN wherever it can be."""
    if inputs.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(inputs, weight, bias, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(inputs, weight, bias)


class _Pointwise(torch.autograd.Function):
    """conv2d of frozen weights. input [B,C,H,W], weight [D,C,1,1], its transpose, bias [D] or None -> [B,D,H,W]."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, inputs: Tensor, weight: Tensor, transposed: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(transposed)
        return _convolve(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (transposed,) = ctx.saved_tensors
        return _convolve(grad, transposed, None), None, None, None


class Pointwise(nn.Module):
    """A convolution of 1x1 whose result, and gradient to its input, always come from oneDNN on a CPU.

    In bfloat16 they do anyway. In float32 torch leaves convolutions of 1x1 to a matrix product of the BLAS on one
    thread, and those of small inputs on any number (`use_mkldnn` in ATen/native/Convolution.cpp). Its last digits are
    others, and on some processors they depend on the number of threads, as oneDNN's do not.

    Args:
        conv: of stride 1, in one group, without padding; its weights get no gradient.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("transposed", conv.weight.detach().transpose(0, 1).contiguous(), persistent=False)
        self.transposed: Tensor

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is such a convolution."""
        return (
            isinstance(module, nn.Conv2d) and set(module.kernel_size) == set(module.stride) == {1}
            and module.groups == 1 and (type(module) is not nn.Conv2d or module.padding in ((0, 0), "same", "valid"))
            and type(module).__name__ in ("Conv2d", "Conv2dSame")
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_autocast_enabled(inputs.device.type):
            return self.conv(inputs)  # type: ignore[no-any-return]
        return _Pointwise.apply(inputs, self.conv.weight, self.transposed, self.conv.bias)  # type: ignore[no-any-return]
