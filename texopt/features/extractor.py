"""FeatureExtractor: the activations of named layers of a frozen network, in one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.features.convolutions import SmallImages, StridedDepthwise
from texopt.features.folding import fold_batch_norms
from texopt.features.pointwise import Pointwise

LOGITS = "logits"  # the name of the network's own output

# Networks halve images up to five times and answer differently to sizes that do not halve: EfficientNet-Lite0's Gram
# matrix of stride 8 changes by 2 % from 480 to 488 pixels, but by 17 % from 480 to 481.
STRIDE = 32


class _Reached(Exception):  # noqa: N818  # it is no error
    """The last layer that is needed has been computed."""


def stride_of(model: nn.Module) -> int:
    """What sides of images should be multiples of, as a network itself has it: timm's feature_info, or the side of a
    transformer's patches. STRIDE where it does not say."""
    info = getattr(model, "feature_info", None)
    sides = [stage["reduction"] for stage in getattr(info, "info", info) or ()]
    for part in (getattr(model, "patch_embed", None), model):
        patch = getattr(part, "patch_size", ())
        sides += list(patch) if isinstance(patch, (list, tuple)) else [patch]
    return max((int(side) for side in sides), default=STRIDE)


class FeatureExtractor(nn.Module):
    """A frozen network and the layers whose activations are wanted.

        network = torchvision.models.resnet18(weights="DEFAULT")
        extractor = texopt.FeatureExtractor(network, style_layers=["layer1", "layer2"], content_layer="layer2")
        texopt.optimize(mesh, texture, objective, backbone=extractor)

    Args:
        model: any nn.Module that takes float32 [B,3,H,W]; its batch normalisations are folded in place.
        layers: module names as of `model.named_modules()`, and "logits" for the model's output. More can be added
            with `require`.
        mean: the network's input normalisation, per RGB channel, of images in [0,1].
        std: the same.
        style_layers: what `style()` looks at if it is not told.
        content_layer: what `content()` and `patches()` look at if they are not told.
        half: run in bfloat16 autocast; activations are returned as float32.
        stride: pixels, that the sides of views and paintings are multiples of; by default what the network says of
            itself, see stride_of.

    The forward pass ends after the last layer that is wanted. OptionError for what is no network, and for a mean or std
    that is not of three colours.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str] = (), mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225), style_layers: Sequence[str] = (),
        content_layer: str | None = None, half: bool = False, stride: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(model, nn.Module):
            raise OptionError(
                f"model has to be an nn.Module, not {model!r}; texopt.load_backbone(NAME) loads one by name"
            )
        for name, values in (("mean", mean), ("std", std)):
            if len(torch.as_tensor(values).reshape(-1)) != 3:
                raise OptionError(f"{name} has to be three numbers, one a colour, not {values}")
        if stride is not None and stride < 1:
            raise OptionError(f"stride has to be 1 pixel or more, not {stride}")
        self.model = model.eval().requires_grad_(False)
        fold_batch_norms(self.model)
        self.model.requires_grad_(False)
        for module in list(self.model.modules()):
            for name, child in module.named_children():
                for kind in (StridedDepthwise, Pointwise, SmallImages):
                    if kind.fits(child):
                        setattr(module, name, kind(child))  # type: ignore[arg-type]
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, values in (("mean", mean), ("std", std)):
            colors = torch.as_tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1)
            self.register_buffer(name, colors, persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.style_layers = (style_layers,) if isinstance(style_layers, str) else tuple(style_layers)
        self.content_layer, self.half_precision = content_layer, half
        self.stride = stride_of(model) if stride is None else stride
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

    def of(self, image: Tensor) -> Activations:
        """The same layers of another image."""
        return Activations(self._extractor, image, self._layers, self._differentiable)

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
