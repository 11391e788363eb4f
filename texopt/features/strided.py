"""Strided depthwise convolutions with a gradient that is quick on CPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Padding = tuple[int, int, int, int]  # left, right, top, bottom


def _padded(inputs: Tensor, padding: Padding) -> Tensor:
    """With zeros around it, channels last; F.pad writes all of it twice."""
    left, right, top, bottom = padding
    batch, channels, height, width = inputs.shape
    out = inputs.new_empty(batch, top + height + bottom, left + width + right, channels).permute(0, 3, 1, 2)
    out[:, :, top : top + height, left : left + width] = inputs
    for border in (out[:, :, :top], out[:, :, top + height :], out[..., :left], out[..., left + width :]):
        border.zero_()
    return out


class _Convolve(torch.autograd.Function):
    """conv2d of frozen weights, one channel a group. input [B,C,H,W], weight [C,1,k,l], bias [C] or None."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: Padding
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.stride, ctx.padding = inputs.shape[2:], stride, padding
        return F.conv2d(_padded(inputs, padding), weight, bias, stride, groups=inputs.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The gradient, with zeros between its positions, convolved with the weights turned by 180°."""
        (weight,) = ctx.saved_tensors
        (height, width), (down, across), (left, _, top, _) = ctx.size, ctx.stride, ctx.padding
        rows, columns = weight.shape[2:]
        # position y of the gradient came of the rows from y * down - top on
        shape = (len(grad), height + rows - 1 + top, width + columns - 1 + left, grad.shape[1])
        spread = torch.zeros(shape, dtype=grad.dtype, device=grad.device).permute(0, 3, 1, 2)  # channels last
        places = spread[:, :, rows - 1 :: down, columns - 1 :: across][:, :, : grad.shape[2], : grad.shape[3]]
        places.copy_(grad[:, :, : places.shape[2], : places.shape[3]])
        found = F.conv2d(spread[:, :, top:, left:], weight.flip(2, 3), groups=grad.shape[1])
        return found, None, None, None, None


class StridedDepthwise(nn.Module):
    """A strided depthwise convolution whose gradient to its input is a convolution too, and nothing else.

    It is that of the convolution it is made of. oneDNN's own, on CPUs in bfloat16, takes twenty times as long as the
    forward pass: more than half of the time of an EfficientNet's gradient is in its three strided layers.

    Args:
        conv: with as many groups as channels, without dilation, padded with zeros; its weights get no gradient.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.same = type(conv) is not nn.Conv2d  # timm's Conv2dSame, as TensorFlow pads

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is such a convolution."""
        return (
            isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1
            and max(module.stride) > 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
            and type(module).__name__ in ("Conv2d", "Conv2dSame") and not isinstance(module.padding, str)
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        conv = self.conv
        if self.same:
            margins = [
                max((-(-length // step) - 1) * step + taps - length, 0)
                for length, step, taps in zip(inputs.shape[2:], conv.stride, conv.kernel_size, strict=True)
            ]
            down, across = margins
            padding = (across // 2, across - across // 2, down // 2, down - down // 2)
        else:
            down, across = (int(side) for side in conv.padding)
            padding = (across, across, down, down)
        weight, bias = conv.weight, conv.bias
        if torch.is_autocast_enabled(inputs.device.type):  # which does not look into Functions
            half = torch.get_autocast_dtype(inputs.device.type)
            inputs, weight = inputs.to(half), weight.to(half)
            bias = None if bias is None else bias.to(half)
        return _Convolve.apply(inputs, weight, bias, conv.stride, padding)  # type: ignore[no-any-return]
