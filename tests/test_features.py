from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_network
from safetensors.torch import save_file
from torch import nn

from texopt import FeatureExtractor, OptionError, WeightsError, class_index, load_backbone
from texopt.features import backbones
from texopt.features.backbones import BACKBONES, Backbone, _timm, as_extractor, get_backbone
from texopt.features.convolutions import SmallImages, StridedDepthwise
from texopt.features.efficientnet_lite import Conv2dSame, efficientnet_lite
from texopt.features.extractor import Activations, stride_of
from texopt.features.folding import fold_batch_norms

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def reference(image: torch.Tensor, until: str) -> torch.Tensor:
    """The network's own activations, with its batch normalisation as it is."""
    x = (image - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)
    for name, module in make_network().eval().named_children():
        x = module(x.clone())
        if name == until:
            break
    return x


@pytest.mark.parametrize("layer", ["act1", "conv2", "act2", "head"])
def test_activations_are_the_networks_own(layer: str) -> None:
    """Folding the normalisation and undoing in-place activations changes nothing but rounding."""
    image = torch.rand(2, 3, 32, 40)
    values = FeatureExtractor(make_network(), [layer, "act1"], MEAN, STD)(image)
    assert torch.allclose(values[layer], reference(image, layer), atol=1e-5)


def test_logits_are_the_output() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(
        FeatureExtractor(make_network(), ["logits"], MEAN, STD)(image)["logits"], reference(image, "head"), atol=1e-5
    )


def test_the_pass_ends_after_the_last_layer() -> None:
    network = make_network()
    reached = []
    extractor = FeatureExtractor(network, ["act1"])
    network.get_submodule("head").register_forward_hook(lambda *_: reached.append(True))
    assert list(extractor(torch.rand(1, 3, 16, 16))) == ["act1"]
    assert not reached
    extractor.require("logits")
    assert set(extractor(torch.rand(1, 3, 16, 16))) == {"act1", "logits"}
    assert reached


def test_gradient_reaches_the_image_and_no_weight() -> None:
    network = make_network()
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    FeatureExtractor(network, ["act2"])(image)["act2"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_one_pass_serves_all_layers(extractor: FeatureExtractor) -> None:
    passes: list[int] = []
    extractor.model.get_submodule("conv1").register_forward_hook(lambda *_: passes.append(1))
    layers = {"act1", "act2"}
    activations = Activations(extractor, torch.rand(1, 3, 16, 16), layers)
    assert activations["act1"].shape == (1, 8, 8, 8)
    assert activations["act2"].shape == (1, 12, 4, 4)
    assert len(passes) == 1
    assert activations["conv2"].shape == (1, 12, 4, 4)  # asked for only now: a second pass, then part of the first
    assert sorted(activations) == ["act1", "act2", "conv2"]
    later = Activations(extractor, torch.rand(1, 3, 16, 16), layers)
    assert later["conv2"].shape == later["act2"].shape
    assert len(passes) == 3


def test_layers_that_are_not_wanted_are_not_computed(extractor: FeatureExtractor) -> None:
    reached = []
    extractor.model.get_submodule("conv2").register_forward_hook(lambda *_: reached.append(True))
    extractor.require("act1", "act2")
    assert list(extractor(torch.rand(1, 3, 16, 16), ["act1"])) == ["act1"]
    assert not reached


def test_original_features_have_no_gradient(extractor: FeatureExtractor) -> None:
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    assert not Activations(extractor, image, set(), differentiable=False)["act1"].requires_grad


def test_an_unknown_layer_is_named_with_near_ones(extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match=r"no layer 'conv3'.*conv2"):
        extractor.require("conv3")


def test_the_default_backbone_needs_no_download() -> None:
    extractor = load_backbone()
    extractor.require("blocks.4", *extractor.style_layers)
    values = extractor(torch.rand(1, 3, 64, 64))
    assert values["bn1"].shape == (1, 32, 32, 32)
    assert values["blocks.4"].shape == (1, 112, 4, 4)
    assert (values["bn1"] >= 0).all()  # the folded norm keeps its activation
    assert (values["bn1"] <= 6).all()


def test_the_default_backbone_sees_what_it_was_trained_for() -> None:
    """Weights in the right places: a red disc on a plain ground is more of a ball or fruit than a chain saw."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 224), torch.linspace(-1, 1, 224), indexing="ij")
    disc = (x**2 + y**2 < 0.4).float()
    image = torch.stack([0.85 * disc + 0.9 * (1 - disc), 0.1 * disc + 0.9 * (1 - disc), 0.1 * disc + 0.9 * (1 - disc)])
    extractor = load_backbone()
    extractor.require("logits")
    logits = extractor(image[None])["logits"][0]
    assert logits[class_index("balloon")] > logits[class_index("chain saw")] + 1


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "googlenet"])
def test_named_layers_exist_in_the_networks(name: str) -> None:
    with torch.device("meta"):
        modules = dict(BACKBONES[name].build().named_modules())
    assert {*BACKBONES[name].style_layers, BACKBONES[name].content_layer} <= modules.keys()


def test_a_network_of_timm_by_name() -> None:
    backbone = get_backbone("timm:resnet18")
    with torch.device("meta"):
        modules = dict(backbone.build().named_modules())
    assert {*backbone.style_layers, backbone.content_layer} <= modules.keys()
    assert len(backbone.style_layers) >= 3


@pytest.mark.parametrize(
    ("name", "message"), [("vgg99", "choose one of efficientnet_lite0"), ("timm:resnet1", "resnet18")]
)
def test_unknown_backbones(name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_backbone(name)


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(url: str, **_: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(
        WeightsError, match=r"no network.*vgg16-.*\.pth.*checkpoints.*--weights.*needs no download"
    ) as error:
        load_backbone("vgg16")
    assert "\n" not in str(error.value)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Backbone(make_network, dict, (0.5,) * 3, (0.5,) * 3, ("act1",), "act2", "nowhere", "none")
    monkeypatch.setitem(backbones.BACKBONES, "tiny", entry)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_from_a_file(tiny: None, tmp_path: Path, ending: str) -> None:
    weights = {name: value.clone() for name, value in make_network(seed=7).state_dict().items()}
    path = tmp_path / f"weights{ending}"
    torch.save(weights, path) if ending == ".pth" else save_file(weights, path)
    extractor = load_backbone("tiny", path)
    extractor.require("logits")
    half = extractor.half_precision  # as this processor has it
    expected = FeatureExtractor(make_network(seed=7), ["logits"], (0.5,) * 3, (0.5,) * 3, half=half)
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(extractor(image)["logits"], expected(image)["logits"])


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a weights file was executed')",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("missing", "does not exist"), ("text", "cannot be read"), ("pickle", "cannot be read"),
        ("few", "does not fit"), ("shape", "does not fit"), ("list", "no state dict"),
    ],
)  # fmt: skip
def test_weights_that_are_no_good(tiny: None, tmp_path: Path, content: str, message: str) -> None:
    path, good = tmp_path / "weights.pth", make_network().state_dict()
    if content == "text":
        path.write_text("hello")
    elif content != "missing":
        wrong = {name: value[None] for name, value in good.items()}
        values = {"pickle": Malicious(), "few": {"a": torch.zeros(1)}, "shape": wrong, "list": [1, 2]}
        torch.save(values[content], path)
    with pytest.raises(WeightsError, match=message) as error:
        load_backbone("tiny", path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("target", "index"), [("tiger", 292), ("Tiger", 292), ("292", 292), (0, 0), ("tabby", 281)])
def test_classes(target: str | int, index: int) -> None:
    assert class_index(target) == index


@pytest.mark.parametrize(
    ("target", "message"), [("tigger", "tiger"), ("1000", "0 to 999"), ("-1", "0 to 999"), ("shark", "white shark")]
)
def test_unknown_classes(target: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        class_index(target)


# batch normalisations


def randomized(network: nn.Module) -> nn.Module:
    """With normalisations that change what they are given, at inference."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -1, 1), (module.running_var, 0.5, 2),
                (module.weight, 0.5, 2), (module.bias, -1, 1),
            ):  # fmt: skip
                if values is not None:
                    values.detach().uniform_(low, high)
    return network.eval()


class Crossed(nn.Module):
    """Two branches whose layers are registered as another network would use them; or sharing them, and the like."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.norm_of_second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.norm_of_first = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        if kind == "plain numbers":
            self.norm_of_first = nn.BatchNorm2d(4, affine=False)
        if kind == "own mean":
            self.norm_of_first = nn.BatchNorm2d(4, track_running_stats=False)
        if kind == "weights of its own":
            self.first = _Doubled(3, 4, 3)

    def forward(self, image: torch.Tensor) -> Any:
        first, second = self.first(image), self.second(image)
        if self.kind == "used twice":
            return self.norm_of_first(first) + self.norm_of_second(second) * first
        if self.kind == "used inside":  # by what no function of torch that is looked at would tell
            return self.norm_of_first(first) + self.norm_of_second(second) * _Twice.apply(first)
        if self.kind == "changed between":
            return self.norm_of_first(first.relu_()) + self.norm_of_second(second)
        if self.kind == "called twice":
            return self.norm_of_first(first) + self.norm_of_second(second) + self.first(image)
        if self.kind == "shared norm":
            return self.norm_of_first(first) + self.norm_of_first(second)
        if self.kind == "two norms":
            return self.norm_of_first(first) + self.norm_of_second(first)
        if self.kind == "given out":
            return {"sum": self.norm_of_first(first) + self.norm_of_second(second), "parts": [first]}
        return self.norm_of_first(first) * self.norm_of_second(input=second)


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return 2 * values


class _Doubled(nn.Conv2d):
    """Its weights are not what they are called."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(image, 2 + self.weight, self.bias)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("crosswise", []), ("plain numbers", []), ("own mean", ["norm_of_first"]),
        ("weights of its own", ["norm_of_first"]), ("used twice", ["norm_of_first"]),
        ("used inside", ["norm_of_first"]), ("changed between", ["norm_of_first"]), ("called twice", ["norm_of_first"]),
        ("shared norm", ["norm_of_first", "norm_of_second"]), ("two norms", ["norm_of_first", "norm_of_second"]),
        ("given out", ["norm_of_first"]),
    ],
)  # fmt: skip
def test_only_what_a_convolution_gives_to_its_norm_alone_is_folded(kind: str, left: list[str]) -> None:
    """Whatever the order in which they are registered. What is left is right, and only slower."""
    network = randomized(Crossed(kind))
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        wanted = network(image)
        fold_batch_norms(network)
        found = network(image)
    if kind == "given out":
        wanted, found = ([values["sum"], *values["parts"]] for values in (wanted, found))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)] == sorted(
        left, reverse=True
    )


def test_layers_of_a_network_that_is_registered_crosswise() -> None:
    network = randomized(Crossed("crosswise"))
    image = torch.rand(1, 3, 16, 16)
    first, second = network.norm_of_first(network.first(image)), network.norm_of_second(network.second(image))
    found = FeatureExtractor(network, ["norm_of_first", "norm_of_second"], (0.0,) * 3, (1.0,) * 3)(image)
    torch.testing.assert_close(found["norm_of_first"], first.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["norm_of_second"], second.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [224, 100])
def test_a_network_for_one_size_alone(side: int) -> None:
    """It is looked through at a size that it takes; where it takes none, it stays as it is."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.shape[-1] != side:
                raise ValueError(f"{side} pixels, please")
            return self.norm(self.conv(image))  # type: ignore[no-any-return]

    network = randomized(Fixed())
    image = torch.rand(1, 3, side, side)
    wanted = network(image).detach()
    fold_batch_norms(network)
    assert isinstance(network.norm, nn.BatchNorm2d) == (side == 100)
    with torch.no_grad():
        torch.testing.assert_close(network(image), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "googlenet", "timm:resnet18"])
def test_all_that_can_be_folded_is(name: str) -> None:
    network = get_backbone(name).build().eval()
    fold_batch_norms(network)
    left = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(name.startswith("aux") for name in left)  # which only training computes


def test_batch_norm_without_a_convolution_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU())
    FeatureExtractor(network, ["1"])
    assert isinstance(network[2], nn.BatchNorm2d)


# what a network says of itself, and what it is to be told


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("efficientnet_lite0", 32), ("vgg16", 32), ("googlenet", 32), ("timm:resnet18", 32),
        ("timm:vit_tiny_patch16_224", 16), ("timm:vit_small_patch14_dinov2", 14),
    ],
)  # fmt: skip
def test_the_stride_is_the_networks(name: str, stride: int) -> None:
    with torch.device("meta"):
        assert stride_of(get_backbone(name).build()) == stride


def test_the_stride_can_be_stated() -> None:
    assert FeatureExtractor(make_network()).stride == 32
    assert FeatureExtractor(make_network(), stride=4).stride == 4
    assert load_backbone("none").stride == 1
    network = make_network()
    network.patch_size = (8, 16)
    assert FeatureExtractor(network).stride == 16
    with pytest.raises(OptionError, match="stride has to be 1 pixel or more, not 0"):
        FeatureExtractor(make_network(), stride=0)


def test_a_transformer_takes_whatever_has_whole_patches() -> None:
    """336 and 518 are multiples of 14 and not of 32."""
    network = backbones._timm().models.vision_transformer.VisionTransformer(
        img_size=28, patch_size=14, embed_dim=16, depth=1, num_heads=2, num_classes=5, dynamic_img_size=True
    )
    extractor = FeatureExtractor(network, ["blocks.0", "logits"])
    assert extractor.stride == 14
    for side in (336, 518):
        found = extractor(torch.rand(1, 3, side, side))
        assert found["blocks.0"].shape == (1, (side // 14) ** 2 + 1, 16)
        assert found["logits"].shape == (1, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureExtractor("vgg16"), "model has to be an nn.Module, not 'vgg16'; texopt.load_backbone"),
        (lambda: FeatureExtractor(make_network(), mean=(0.5,)), r"mean has to be three numbers.*not \(0.5,\)"),
        (lambda: FeatureExtractor(make_network(), std=(1.0, 1.0)), "std has to be three numbers"),
        (lambda: load_backbone(make_network()), "a network's name is a text, not Sequential; texopt.FeatureExtractor"),
        (lambda: as_extractor(make_network()), r"backbone .* not Sequential; .*FeatureExtractor\(network, mean="),
        (lambda: as_extractor(None), "backbone has to be the name .* not NoneType"),
    ],
)  # fmt: skip
def test_what_is_no_network(make: Callable[[], object], message: str) -> None:
    with pytest.raises(OptionError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_one_style_layer_is_a_layer() -> None:
    assert FeatureExtractor(make_network(), style_layers="act1").style_layers == ("act1",)


@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
@pytest.mark.parametrize("kernel", [2, 3, 5, (3, 1)])
@pytest.mark.parametrize("padding", [0, 1, "same"])
def test_strided_depthwise_convolutions_are_the_networks_own(stride: Any, kernel: Any, padding: Any) -> None:
    """Values and gradient to rounding, for all sizes of images and both ways to pad them."""
    same = padding == "same"
    kind = backbones._timm().layers.Conv2dSame if same else nn.Conv2d
    conv = kind(6, 6, kernel, stride, 0 if same else padding, groups=6).double().requires_grad_(False)
    assert StridedDepthwise.fits(conv)
    for height, width in ((9, 8), (10, 11), (16, 7)):
        image = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)
        expected, found = conv(image), StridedDepthwise(conv)(image)
        torch.testing.assert_close(found, expected)
        cotangent = torch.randn_like(expected)
        gradients = [torch.autograd.grad(values, image, cotangent)[0] for values in (found, expected)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3, 2, groups=4),
        nn.Conv2d(4, 4, 3, 2, dilation=2, groups=4), nn.Conv2d(4, 4, 3, 2, 1, groups=4, padding_mode="reflect"),
    ],
)  # fmt: skip
def test_other_convolutions_stay(conv: nn.Conv2d) -> None:
    assert not StridedDepthwise.fits(conv)


def test_activations_are_not_those_after_an_inplace_one() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU6(inplace=True))
    found = FeatureExtractor(network, ["0", "1", "2", "3"])(torch.randn(1, 3, 12, 12))
    assert found["0"].min() < 0
    assert torch.equal(found["1"], found["0"].clamp(min=0))
    assert torch.equal(found["3"], found["2"].clamp(0, 6))


@pytest.mark.parametrize("number", [0, 1])
def test_the_default_networks_are_those_of_timm(number: int) -> None:
    """By the names of their modules, and digit by digit."""
    theirs, ours = _timm().create_model(f"tf_efficientnet_lite{number}").eval(), efficientnet_lite(number).eval()
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    ours.load_state_dict(theirs.state_dict())
    for height, width in ((64, 64), (67, 94)):
        images = torch.randn(1, 3, height, width)
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("same", [False, True])
def test_small_images_have_the_same_convolution_and_gradient(stride: int, same: bool) -> None:
    made = Conv2dSame(3, 8, 3, stride) if same else nn.Conv2d(3, 8, 3, stride, 1)
    made.requires_grad_(False)
    assert SmallImages.fits(made)
    for size in ((64, 64), (33, 47), (96, 96)):  # the last is not small
        images, found = torch.rand(1, 3, *size, requires_grad=True), []
        for conv in (made, SmallImages(made)):
            out = conv(images)
            found.append((out, *torch.autograd.grad(out.square().sum(), images)))
        for theirs, ours in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_gradient_of_small_views_is_the_same_on_any_number_of_threads() -> None:
    network, images = load_backbone(), torch.rand(1, 3, 64, 64)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        leaf = images.clone().requires_grad_()
        network(leaf, ["blocks.2"])["blocks.2"].square().mean().backward()
        found.append(leaf.grad)
    assert all(torch.equal(one, found[0]) for one in found)
