"""Convolutions whose gradient is a convolution too: strided depthwise ones, which makes it quick on CPUs, and those of
small images, which gives it the same digits on any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Padding = tuple[int, int, int, int]  # left, right, top, bottom
SMALL = 20480  # values of an image


def _padded(inputs: Tensor, padding: Padding) -> Tensor:
    """With zeros around it, channels last; F.pad writes all of it twice."""
    left, right, top, bottom = padding
    batch, channels, height, width = inputs.shape
    out = inputs.new_empty(batch, top + height + bottom, left + width + right, channels).permute(0, 3, 1, 2)
    out[:, :, top : top + height, left : left + width] = inputs
    for border in (out[:, :, :top], out[:, :, top + height :], out[..., :left], out[..., left + width :]):
        border.zero_()
    return out


def _convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], groups: int) -> Tensor:
    """conv2d without padding, by oneDNN on a CPU. (Where groups are many, torch takes that anyway.)"""
    if groups == 1 and inputs.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(inputs, weight, bias, (0, 0), stride, (1, 1), 1)
    return F.conv2d(inputs, weight, bias, stride, groups=groups)


class _Convolve(torch.autograd.Function):
    """conv2d of frozen weights, in one group or one channel a group. input [B,C,H,W], weight [D,C,k,l] or [C,1,k,l],
    bias [D] or None."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: Padding,
        groups: int,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(weight)
        ctx.size, ctx.stride, ctx.padding, ctx.groups = inputs.shape[2:], stride, padding, groups
        return _convolve(_padded(inputs, padding), weight, bias, stride, groups)

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
        turned = (weight if ctx.groups > 1 else weight.transpose(0, 1)).flip(2, 3)
        found = _convolve(spread[:, :, top:, left:], turned, None, (1, 1), ctx.groups)
        return found, None, None, None, None, None


def _plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution without dilation, padded with zeros as torch or TensorFlow do."""
    return (
        isinstance(module, nn.Conv2d) and set(module.dilation) == {1} and module.padding_mode == "zeros"
        and type(module).__name__ in ("Conv2d", "Conv2dSame") and not isinstance(module.padding, str)
    )  # fmt: skip


def same_padding(conv: nn.Conv2d, size: Sequence[int]) -> Padding:
    """What TensorFlow's SAME pads images of a size (height, width) with: less before than behind, where it is odd."""
    down, across = (
        max((-(-length // step) - 1) * step + taps - length, 0)
        for length, step, taps in zip(size, conv.stride, conv.kernel_size, strict=True)
    )
    return across // 2, across - across // 2, down // 2, down - down // 2


def _padding(conv: nn.Conv2d, size: Sequence[int]) -> Padding:
    """What a convolution pads images of a size with."""
    if type(conv) is nn.Conv2d:
        down, across = (int(side) for side in conv.padding)
        return across, across, down, down
    return same_padding(conv, size)


class SmallImages(nn.Module):
    """A convolution that gives small images, and their gradients, the same digits on any number of threads.

    torch leaves float32 convolutions of up to SMALL values to the BLAS (`use_mkldnn` in ATen/native/Convolution.cpp),
    whose last digits depend on threads. Larger images take the convolution as it is.

    Args:
        conv: in one group, of more than a pixel; its weights get no gradient.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is such a convolution."""
        return _plain(module) and module.groups == 1 and max(module.kernel_size) > 1

    def forward(self, inputs: Tensor) -> Tensor:
        conv = self.conv
        if inputs.numel() > SMALL or inputs.dtype != torch.float32 or torch.is_autocast_enabled(inputs.device.type):
            return conv(inputs)  # type: ignore[no-any-return]
        padding = _padding(conv, inputs.shape[2:])
        return _Convolve.apply(inputs, conv.weight, conv.bias, conv.stride, padding, 1)  # type: ignore[no-any-return]


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

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is such a convolution."""
        return (
            _plain(module) and module.groups == module.in_channels == module.out_channels > 1 and max(module.stride) > 1
        )

    def forward(self, inputs: Tensor) -> Tensor:
        conv = self.conv
        padding = _padding(conv, inputs.shape[2:])
        weight, bias = conv.weight, conv.bias
        if torch.is_autocast_enabled(inputs.device.type):  # which does not look into Functions
            half = torch.get_autocast_dtype(inputs.device.type)
            inputs, weight = inputs.to(half), weight.to(half)
            bias = None if bias is None else bias.to(half)
        return _Convolve.apply(inputs, weight, bias, conv.stride, padding, conv.groups)  # type: ignore[no-any-return]
