"""Saliency: the map is the derivative that it claims to be, and lies where the object is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import check_one_line, make_cube, make_network
from PIL import Image
from torch import Generator, Tensor, nn
from torch.overrides import _len_torch_function_stack

import texopt
from texopt import FeatureExtractor, Mesh, OptionError, logit
from texopt.cli.main import main
from texopt.evaluation.saliency_maps import METHODS, PLACES, heat, saliency
from texopt.features.guided import guided
from texopt.io.export import export
from texopt.mesh.image_canvas import GREY
from texopt.render.backgrounds import composite
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.system.images import to_image, to_tensor

NOISE = to_image(torch.rand(3, 64, 128, generator=Generator().manual_seed(0)))


def extractor_of(*layers: nn.Module) -> FeatureExtractor:
    return FeatureExtractor(nn.Sequential(*layers), mean=(0.0,) * 3, std=(1.0,) * 3)


class Red(nn.Module):
    """One logit: how much of an image is of pure red."""

    def forward(self, image: Tensor) -> Tensor:
        red, green, blue = image.unbind(1)
        return F.relu(red - green - blue - 0.5).mean((1, 2))[:, None]


def of_canvas(mesh: Mesh, extractor: FeatureExtractor, method: str, index: int = 3) -> Tensor:
    cameras = texopt.whole(mesh)(Generator(), 1, 0)
    (found,) = saliency(
        mesh, logit(index), method=method, cameras=cameras, view_size=(64, 128), backbone=extractor, device="cpu"
    )
    return found


def test_the_map_of_an_image_is_the_largest_derivative_of_its_colours(extractor: FeatureExtractor) -> None:
    image = to_tensor(NOISE)[None].requires_grad_()
    (wanted,) = torch.autograd.grad(extractor(image, ["logits"])["logits"][0, 3], image)
    found = of_canvas(texopt.canvas(NOISE), extractor, "gradient")
    assert torch.allclose(found, wanted[0].abs().amax(0), atol=1e-4 * float(wanted.abs().max()))


def test_the_map_of_a_mesh_adds_up_derivatives_to_its_texture(extractor: FeatureExtractor) -> None:
    mesh, cameras = make_cube(np.array(NOISE)), texopt.fixed_views(3)
    (texture,) = mesh.originals()
    total, pixels = torch.zeros(texture.shape[1:]), torch.zeros(texture.shape[1:])
    for index in range(3):
        fragments = Scene(mesh).rasterize(cameras[index : index + 1], 64)
        leaf, mask = texture.clone().requires_grad_(), fragments.mask[:, None]
        image = composite(look_up(leaf, fragments), mask, GREY / 255)
        total += torch.autograd.grad(extractor(image, ["logits"])["logits"][0, 3], leaf)[0].abs().amax(0)
        pixels += torch.autograd.grad((look_up(leaf, fragments) * mask)[:, 0].sum(), leaf)[0][0]
    (found,) = saliency(mesh, logit(3), cameras=cameras, view_size=64, backbone=extractor, device="cpu")
    assert torch.allclose(found * pixels, total, atol=1e-4 * float(total.max()))
    assert (found[pixels == 0] == 0).all()
    assert (pixels == 0).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_where_the_object_is(method: str) -> None:
    texture = np.full((64, 96, 3), GREY, np.uint8)
    texture[:32, 32:64] = [255, 0, 0]  # one of six sides
    (found,) = saliency(
        make_cube(texture), logit(0), method=method, cameras=texopt.fixed_views(6), view_size=64,
        backbone=extractor_of(Red()), device="cpu",
    )  # fmt: skip
    height, width = found.shape
    share = found[: height // 2, width // 3 : 2 * width // 3].sum() / found.sum()
    assert share > (0.5 if method == "occlusion" else 0.95)  # a patch hides more than the side


def test_guided_and_plain_gradients_of_a_positive_network_are_the_same() -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    network = extractor_of(*layers, nn.Linear(4, 4))
    for parameter in network.model.parameters():
        parameter.data.abs_().mul_(0.1)
    maps = [of_canvas(texopt.canvas(NOISE), network, method) for method in ("gradient", "guided")]
    assert maps[0].max() > 0
    assert torch.equal(*maps)


def test_guided_gradients_are_those_of_the_paper() -> None:
    a, b, x = (torch.randn(*shape) for shape in ((5, 4), (3, 5), (4,)))
    x.requires_grad_()
    with guided() as seen:
        (found,) = torch.autograd.grad((b @ (a @ x).relu()).relu().sum(), x)
    hidden = a @ x
    top = (b @ hidden.clamp(min=0) > 0).float()  # the gradient there is 1, which passes
    slope = (b.T @ top).clamp(min=0) * (hidden > 0)
    assert seen.count == 2
    assert torch.allclose(found, a.T @ slope)


def test_nothing_of_it_stays_behind(extractor: FeatureExtractor) -> None:
    def hooks() -> int:
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
            for module in extractor.modules()
        )

    mesh = texopt.canvas(NOISE)
    before, count, half = of_canvas(mesh, extractor, "gradient"), hooks(), extractor.half_precision
    other = of_canvas(mesh, extractor, "guided")
    with pytest.raises(OptionError):
        of_canvas(mesh, extractor, "guided", 77)
    assert (hooks(), _len_torch_function_stack(), extractor.half_precision) == (count, 0, half)
    assert torch.equal(of_canvas(mesh, extractor, "gradient"), before)
    assert not torch.allclose(other, before)


class Functional(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return torch.relu(values)


def _in_a_norm() -> nn.Module:
    from texopt.features.backbones import _torchvision

    _torchvision()  # which timm imports, and which may not load as it is
    from timm.layers import BatchNormAct2d

    return BatchNormAct2d(3, act_layer=nn.ReLU6, inplace=True).eval()


@pytest.mark.parametrize("make", [lambda: nn.ReLU(True), lambda: nn.ReLU6(True), Functional, _in_a_norm])
def test_all_kinds_of_relus_are_guided(make: Callable[[], nn.Module]) -> None:
    x = torch.rand(1, 3, 2, 2).requires_grad_()
    with guided() as seen:
        (grad,) = torch.autograd.grad((make()(x * 0.9) * -1).sum(), x)
    assert seen.count == 1
    assert (grad == 0).all()


def test_occlusion_asks_a_bounded_number_of_times_and_finds_the_place() -> None:
    calls = []

    def corner(view: texopt.View) -> Tensor:
        calls.append(len(view.image))
        return -(view.image[:, :, 10, 100].mean() - GREY / 255).abs()

    mesh = texopt.canvas(Image.new("RGB", (128, 64), "white"))
    (found,) = saliency(
        mesh, corner, method="occlusion", cameras=texopt.whole(mesh)(Generator(), 1, 0), view_size=(64, 128),
        backbone=extractor_of(nn.ReLU()), device="cpu",
    )  # fmt: skip
    assert sum(calls) <= PLACES**2 + 1
    assert found[10, 100] == found.max() > 0
    assert (found[32:] == 0).all()
    assert (found[:, :42] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "gradient, guided, occlusion"), ({"view_size": 50}, "multiple of 32"),
        ({"method": "guided", "backbone": extractor_of(nn.Conv2d(3, 2, 1), nn.Sigmoid())}, "no ReLU"),
        ({"objective": lambda _: torch.zeros(())}, "does not depend"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(extractor: FeatureExtractor, options: dict, message: str) -> None:
    given = {"objective": texopt.channel("0", 0) if "backbone" in options else logit(3), "backbone": extractor}
    with pytest.raises(OptionError, match=message) as caught:
        saliency(make_cube(), **{"view_size": 64, "device": "cpu"} | given | options)
    assert "\n" not in str(caught.value)


def test_heat_has_one_scale_for_all_maps_and_leaves_what_is_cold() -> None:
    grey = torch.full((3, 8, 8), 0.5)
    cold, hot = heat([torch.zeros(8, 8), torch.rand(8, 8) + 1], [grey, grey])
    assert torch.equal(cold, 0.5 * grey)
    assert hot[0].mean() > 2 * cold[0].mean()
    assert torch.equal(heat([torch.zeros(8, 8)], [grey])[0], cold)


@pytest.fixture
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.cli.commands.diagnosis.load_backbone", lambda *_: FeatureExtractor(make_network()))


@pytest.mark.usefixtures("_network")
def test_the_command_draws_over_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    NOISE.save(tmp_path / "a.png")
    out = tmp_path / "b.png"
    assert main(["saliency", str(tmp_path / "a.png"), "conv2:5", "--out", str(out), "--view-size", "64"]) == 0
    with Image.open(out) as picture:
        assert picture.size == NOISE.size
    values = np.load(tmp_path / "b.npy")
    assert (values.shape, values.dtype, values.min() >= 0) == ((64, 128), np.float32, True)
    capsys.readouterr()
    check_one_line(["saliency", str(tmp_path / "a.png"), "3", "--out", str(tmp_path / "a.png")], "itself", capsys)
    check_one_line(["saliency", str(tmp_path / "a.png"), "3", "--out", str(tmp_path / "a.glb")], ".png", capsys)


@pytest.mark.usefixtures("_network")
def test_the_command_textures_a_mesh(tmp_path: Path) -> None:
    export(make_cube(np.array(NOISE)), to_tensor(NOISE), tmp_path / "cube.obj")
    out = tmp_path / "out" / "hot.glb"
    options = ["--views", "2", "--view-size", "64", "--method", "occlusion", "--out", str(out)]
    assert main(["saliency", str(tmp_path / "cube.obj"), "3", *options]) == 0
    assert np.ptp(texopt.load_mesh(out).maps[0].original.astype(int)) > 100
    with Image.open(tmp_path / "out" / "hot_preview.png") as picture:
        assert picture.width > 1000
