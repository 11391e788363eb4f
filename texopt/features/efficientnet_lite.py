"""EfficientNet-Lite: EfficientNet (Tan & Le, ICML 2019) without squeeze-and-excitation, with ReLU6 (TensorFlow, 2020).

The same network as timm's `tf_efficientnet_lite0` and `lite1`, with the same names of modules and the same digits. It
is here, as it is the default one, since timm and torchvision take longer to import than a draft's first steps take.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from texopt.features.convolutions import same_padding

# kind, blocks, kernel, stride of the first, expansion, channels: Table 1 of the paper
STAGES = (
    ("separable", 1, 3, 1, 1, 16),
    ("inverted", 2, 3, 2, 6, 24),
    ("inverted", 2, 5, 2, 6, 40),
    ("inverted", 3, 3, 2, 6, 80),
    ("inverted", 3, 5, 1, 6, 112),
    ("inverted", 4, 5, 2, 6, 192),
    ("inverted", 1, 3, 1, 6, 320),
)
STEM, FEATURES, CLASSES = 32, 1280, 1000
DEPTHS = (1.0, 1.1)  # of Lite0 and Lite1: times as many blocks; the first and the last stage, stem and head stay
EPSILON = 1e-3  # of batch normalisations, as TensorFlow has it


class Conv2dSame(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does."""

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = F.pad(inputs, same_padding(self, inputs.shape[2:]))
        return F.conv2d(inputs, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class BatchNormAct2d(nn.BatchNorm2d):
    """A batch normalisation, and a ReLU6 if it is `active`."""

    def __init__(self, channels: int, active: bool = True) -> None:
        super().__init__(channels, eps=EPSILON)
        self.drop = nn.Identity()
        self.act = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.act(self.drop(super().forward(inputs)))
        return out


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return Conv2dSame(inputs, outputs, kernel, stride, groups=groups, bias=False)


class DepthwiseSeparableConv(nn.Module):
    """The block of the first stage: depthwise, then pointwise."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = _convolution(inputs, inputs, kernel, stride, inputs), BatchNormAct2d(inputs)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pw, self.bn2 = _convolution(inputs, outputs, 1), BatchNormAct2d(outputs, False)
        self.drop_path = nn.Identity()
        self.skip = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv_pw(self.se(self.aa(self.bn1(self.conv_dw(inputs))))))
        return self.drop_path(out) + inputs if self.skip else out


class InvertedResidual(nn.Module):
    """The block of the others (Sandler et al., "MobileNetV2", CVPR 2018): wider, depthwise, narrow again."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv_pw, self.bn1 = _convolution(inputs, wide, 1), BatchNormAct2d(wide)
        self.conv_dw, self.bn2 = _convolution(wide, wide, kernel, stride, wide), BatchNormAct2d(wide)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pwl, self.bn3 = _convolution(wide, outputs, 1), BatchNormAct2d(outputs, False)
        self.drop_path = nn.Identity()
        self.skip = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        wide = self.bn1(self.conv_pw(inputs))
        out: Tensor = self.bn3(self.conv_pwl(self.se(self.aa(self.bn2(self.conv_dw(wide))))))
        return self.drop_path(out) + inputs if self.skip else out


def _stage(number: int, inputs: int, depth: float) -> nn.Sequential:
    kind, blocks, kernel, stride, expansion, outputs = STAGES[number]
    if 0 < number < len(STAGES) - 1:
        blocks = math.ceil(blocks * depth)
    made: list[nn.Module] = []
    for block in range(blocks):
        step = stride if block == 0 else 1
        if kind == "separable":
            made.append(DepthwiseSeparableConv(inputs, outputs, kernel, step))
        else:
            made.append(InvertedResidual(inputs, outputs, kernel, step, expansion))
        inputs = outputs
    return nn.Sequential(*made)


def efficientnet_lite(number: int) -> nn.Module:
    """EfficientNet-Lite0 or Lite1, without weights: float32 [B,3,H,W] -> [B,1000]."""
    widths = [STEM, *(stage[-1] for stage in STAGES)]
    stages = [_stage(index, widths[index], DEPTHS[number]) for index in range(len(STAGES))]
    return nn.Sequential(OrderedDict([
        ("conv_stem", _convolution(3, STEM, 3, 2)), ("bn1", BatchNormAct2d(STEM)),
        ("blocks", nn.Sequential(*stages)),
        ("conv_head", _convolution(widths[-1], FEATURES, 1)), ("bn2", BatchNormAct2d(FEATURES)),
        ("global_pool", nn.Sequential(OrderedDict([("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1))]))),
        ("classifier", nn.Linear(FEATURES, CLASSES)),
    ]))  # fmt: skip
