"""FeatureExtractor: the activations of named layers of a frozen network, in one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.features.pointwise import Pointwise
from texopt.features.strided import StridedDepthwise

LOGITS = "logits"  # the name of the network's own output


class _Reached(Exception):  # noqa: N818  # it is no error
    """The last layer that is needed has been computed."""


def _fold_batch_norms(module: nn.Module) -> None:
    """Multiply each inference-time batch normalisation into the convolution that it follows, in place."""
    children = list(module.named_children())
    for (_, conv), (name, norm) in pairwise(children):
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None or conv.out_channels != norm.num_features:
            continue
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
        conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None])
        conv.bias = nn.Parameter(norm.bias + (bias - mean) * scale)
        setattr(module, name, getattr(norm, "act", nn.Identity()))  # timm keeps the activation inside its norm
    for child in module.children():
        _fold_batch_norms(child)


class FeatureExtractor(nn.Module):
    """A frozen network and the layers whose activations are wanted.

    Args:
        model: any nn.Module that takes float32 [B,3,H,W]; its batch normalisations are folded in place.
        layers: module names as of `model.named_modules()`, and "logits" for the model's output. More can be added
            with `require`.
        mean, std: the network's input normalisation, per RGB channel, of images in [0,1].
        style_layers, content_layer: what `style()` and `content()` look at if they are not told.
        half: run in bfloat16 autocast; activations are returned as float32.

    The forward pass ends after the last layer that is wanted.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str] = (), mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225), style_layers: Sequence[str] = (),
        content_layer: str | None = None, half: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        with torch.no_grad():
            _fold_batch_norms(self.model)
        self.model.requires_grad_(False)
        for module in list(self.model.modules()):
            for name, child in module.named_children():
                for kind in (StridedDepthwise, Pointwise):
                    if kind.fits(child):
                        setattr(module, name, kind(child))  # type: ignore[arg-type]
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.style_layers, self.content_layer, self.half_precision = tuple(style_layers), content_layer, half
        self.layers: set[str] = set()
        self._kept: dict[str, Tensor] = {}
        self._wanted: set[str] = set()
        self._names = {LOGITS: ""} | {name: name for name, _ in model.named_modules() if name}
        self.require(*layers)

    def require(self, *layers: str) -> None:
        """Have further layers computed. OptionError where the network has no layer of that name."""
        for layer in layers:
            if layer not in self._names:
                import difflib

                near = (
                    difflib.get_close_matches(layer, self._names, n=3)
                    or [name for name in self._names if name.count(".") == (1 if "." in layer else 0)][:12]
                )
                raise OptionError(f"the network has no layer {layer!r}; it has for example {', '.join(near)}")
            if layer not in self.layers:
                self.layers.add(layer)
                self.model.get_submodule(self._names[layer]).register_forward_hook(self._keep(layer))

    def _keep(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if layer in self._wanted:
                if not isinstance(output, Tensor):
                    kind = type(output).__name__
                    raise OptionError(f"layer {layer!r} gives a {kind}, not a tensor; name a layer within or after it")
                # a copy, as in-place activations that follow would overwrite it
                self._kept[layer] = output.clone() if output.dtype == torch.float32 else output.float()
                if len(self._kept) == len(self._wanted):
                    raise _Reached

        return hook

    def forward(self, image: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        """Activations float32 by layer, [B,C,h,w] ([B,classes] for logits), of images float32 [B,3,H,W] in [0,1].

        layers: the ones that are wanted of those required, by default all.
        """
        self._kept, self._wanted = {}, self.layers if layers is None else set(layers)
        self.require(*self._wanted)
        normalized = torch.addcmul(-self.mean / self.std, image, 1 / self.std)
        normalized = normalized.contiguous(memory_format=torch.channels_last)
        half = torch.autocast(image.device.type, torch.bfloat16, enabled=self.half_precision)
        with half, contextlib.suppress(_Reached):
            self.model(normalized)
        kept, self._kept = self._kept, {}
        return kept


class Activations(Mapping[str, Tensor]):
    """The features of one image, computed when the first is asked for.

    layers: what one pass computes. A layer that is asked for besides them joins them, and so is part of the pass of
    every later image that shares the set.
    """

    def __init__(
        self, extractor: FeatureExtractor, image: Tensor, layers: set[str], differentiable: bool = True
    ) -> None:
        self._extractor, self._image, self._differentiable = extractor, image, differentiable
        self._layers = layers
        self._values: dict[str, Tensor] = {}

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self._values:
            self._extractor.require(layer)
            self._layers.add(layer)
            with torch.set_grad_enabled(self._differentiable and torch.is_grad_enabled()):
                self._values = self._extractor(self._image, self._layers)
        return self._values[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._layers))

    def __len__(self) -> int:
        return len(self._layers)
