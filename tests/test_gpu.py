"""What needs a graphics card: `pytest -m gpu`. Drawing there is as on the CPU, and steps do not wait for the card."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from conftest import MESHES, STYLES, make_cube, make_network
from torch import Tensor, nn

import texopt
import texopt.raster as dr
import texopt.texture.pyramid
from texopt import FeatureExtractor, Objective, fixed_views
from texopt.optim import optimizers
from texopt.optim.checkpoint import Checkpoint
from texopt.raster.details import ROW
from texopt.render.look_up import look_up, look_up_details
from texopt.render.scene import Scene
from texopt.show.history import Step

pytestmark = pytest.mark.gpu
SIZE = 48
RASTERS = ("cpu", "nvdiffrast")


@pytest.fixture(params=RASTERS)
def raster(request: pytest.FixtureRequest) -> str:
    """Both ways of drawing for the card; nvdiffrast where it is installed."""
    if request.param == "nvdiffrast":
        pytest.importorskip("nvdiffrast.torch")
    return str(request.param)


def network(device: str) -> FeatureExtractor:
    return FeatureExtractor(make_network(), style_layers=("act1", "act2"), content_layer="act2").to(device)


def picture(side: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


def goal() -> Objective:
    return texopt.style(texopt.system.images.to_image(picture())) + texopt.content().below(0.3) + 10 * texopt.seam()


# Drawing


def call(module: ModuleType, device: str, counts: Tensor | float = 1.0) -> dict[str, Tensor]:
    """All operations and their gradients, on one triangle soup: what texopt.raster and nvdiffrast have to agree in.

    counts: [1,64,64,1], how much a pixel counts in what the gradients are of.
    """
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(1, 24, 4, generator=generator) * 1.6 - 0.8
    corners[..., 3] = 1 + 0.5 * corners[..., 3]
    pos = corners.to(device).requires_grad_()
    tri = torch.arange(24, dtype=torch.int32, device=device).reshape(8, 3)
    attr = torch.rand(1, 24, 2, generator=generator).to(device).requires_grad_()
    tex = torch.rand(1, 32, 32, 3, generator=generator).to(device).requires_grad_()
    rast, rast_db = module.rasterize(module.RasterizeCudaContext(device=device), pos, tri, (64, 64))
    uv, uv_da = module.interpolate(attr, rast, tri, rast_db, diff_attrs="all")
    color = module.texture(tex, uv, uv_da, filter_mode="linear-mipmap-linear")
    image = module.antialias(color, rast, pos, tri)
    weights = torch.rand(image.shape, generator=generator) * counts
    (image * weights.to(device)).sum().backward()
    found = {"rast": rast, "rast_db": rast_db, "uv": uv, "uv_da": uv_da, "color": color, "image": image}
    found |= {"gradient of pos": pos.grad, "of attr": attr.grad, "of tex": tex.grad}
    return {name: values.detach().cpu() for name, values in found.items()}


def test_every_operation_and_gradient_agrees_with_nvdiffrast() -> None:
    """Vertices are rounded to a grid before they are drawn, another one: a pixel on an edge may be of either side."""
    module = pytest.importorskip("nvdiffrast.torch")
    shown = [call(one, device)["rast"][..., 3] for one, device in ((dr, "cpu"), (module, "cuda"))]
    other = (shown[0] != shown[1]).float()
    assert other.mean() < 0.01
    same = 1 - F.max_pool2d(other, 7, 1, 3)[..., None]  # and what antialiasing mixes it into
    ours, theirs = call(dr, "cpu", same), call(module, "cuda", same)
    differ = {}
    for name, values in theirs.items():
        error = (ours[name] - values).abs() / values.abs().mean()
        error = error * same if values.shape[:3] == same.shape[:3] else error
        differ[name] = float((error > 0.02).float().mean())
    assert max(differ.values()) < 0.01, differ


def drawn(image: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
    """What a scene's views show of a texture, and the gradient of a sum of it to the texture."""
    image = image.clone().to(scene.device).requires_grad_()
    colors = look_up(image, scene.rasterize(fixed_views(3), SIZE))
    (colors * torch.linspace(0, 1, colors.numel()).reshape(colors.shape).to(colors)).sum().backward()
    assert image.grad is not None
    return colors.detach().cpu(), image.grad.cpu()


@pytest.mark.parametrize("size", [(40, 24), (64, 64), (256, 512)])
def test_views_are_those_of_the_cpu(size: tuple[int, int], raster: str) -> None:
    image = torch.rand(3, *size)
    colors, grad = drawn(image, Scene(make_cube()))
    other, their_grad = drawn(image, Scene(make_cube(), "cuda", raster))
    differ = ((other - colors).abs() > 1e-2).any(1).float().mean()
    assert differ < 0.01  # snapping may differ along edges
    assert float((their_grad - grad).abs().mean() / grad.abs().mean()) < 0.05


def test_details_and_levels_are_those_of_the_cpu(raster: str) -> None:
    sizes = [(256, 256), (128, 128)]
    rows = torch.randn(sum(h * w for h, w in sizes) // ROW, ROW, 3)
    levels = [torch.randn(size, size, 3) for size in (8, 16, 32)]
    found: list[list[Tensor]] = []
    for device, kind in (("cpu", "cpu"), ("cuda", raster)):
        leaves = [one.clone().to(device).requires_grad_() for one in (rows, *levels)]
        fragments = Scene(make_cube(), device, kind).rasterize(fixed_views(2), 256)
        values = look_up_details(leaves[0], sizes, fragments)
        base = fragments.backend.average(fragments.backend.add_levels(leaves[1:]), torch.tensor(0.5, device=device))
        (values.square().sum() + (base * base.sin()).sum()).backward()
        grads = [one.grad.to_dense() if one.grad.is_sparse else one.grad for one in leaves]  # type: ignore[union-attr]
        found.append([x.detach().cpu() for x in (values, base, *grads)])
    for ours, other in zip(*found, strict=True):
        assert float((ours - other).abs().mean()) <= 0.02 * float(ours.abs().mean())


# Runs


def run(
    device: str, raster: str, texture: nn.Module | None = None, steps: int = 12, view: int = 64, views: int = 2,
    objective: Objective | Callable[[texopt.View], Tensor] | None = None, optimizer: str = "adam",
    on_step: Callable[[Step], None] | None = None, checkpoint: Checkpoint | None = None,
) -> tuple[nn.Module, texopt.Result]:  # fmt: skip
    texture = texture or texopt.PyramidTexture(512, start=picture(seed=1))
    result = texopt.optimize(
        make_cube(),
        texture,
        objective or goal(),
        steps=steps,
        views=texopt.Views(size=view, per_step=views),
        descent=texopt.Descent(learning_rate=0.01, optimizer=optimizer),
        backbone=network(device),
        device=device,
        raster=raster,
        on_step=on_step,
        checkpoint=checkpoint,
    )
    return texture, result


def change(one: nn.Module, other: nn.Module) -> float:
    """How far two textures are from each other, over how far the first has come from its start."""
    start = texopt.PyramidTexture(512, start=picture(seed=1)).bake()
    a, b = one.bake().detach().cpu(), other.bake().detach().cpu()  # type: ignore[operator]
    return float((a - b).abs().mean() / (a - start).abs().mean())


@pytest.fixture
def with_details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texopt.texture.pyramid, "BASE", 256)


@pytest.mark.usefixtures("with_details")
def test_a_run_comes_to_what_it_comes_to_on_the_cpu(raster: str) -> None:
    (texture, result), (other, their_result) = run("cpu", "cpu"), run("cuda", raster)
    # TF32 has ten bits, and Adam's first steps have the sign of their gradients only
    assert change(texture, other) < 0.25
    assert their_result.history[-1].terms["loss"] == pytest.approx(result.history[-1].terms["loss"], rel=0.05)


@pytest.mark.usefixtures("with_details")
def test_a_step_does_not_wait_for_the_card(raster: str) -> None:
    """What is copied from the card, or to it out of ordinary memory, makes the program wait until all is computed."""

    def watch(step: Step) -> None:
        if step.number == 4:  # by then targets are there
            torch.cuda.set_sync_debug_mode("error")

    try:
        _, result = run("cuda", raster, on_step=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not result.interrupted
    assert len(result.history) == 12


@pytest.mark.usefixtures("with_details")
def test_a_run_that_was_stopped_goes_on(raster: str, tmp_path: Path) -> None:
    whole, _ = run("cuda", raster)

    def stop(step: Step) -> None:
        if step.number == 5:
            raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    _, first = run("cuda", raster, on_step=stop, checkpoint=Checkpoint(path, seconds=0))
    assert (first.interrupted, len(first.history)) == (True, 5)
    elsewhere = Path(shutil.copy(path, tmp_path / "copy.safetensors"))
    for device, kind, kept in (("cuda", raster, path), ("cpu", "cpu", elsewhere)):  # or where there is no card
        resumed, second = run(device, kind, checkpoint=Checkpoint(kept, resume=True))
        assert len(second.history) == 12
        assert change(whole, resumed) < 0.25


def test_a_step_that_is_not_finite_is_left_out(raster: str) -> None:
    def broken(view: texopt.View) -> Tensor:
        return (view.image * (float("nan") if view.step == 3 else 1.0)).mean()

    texture, result = run("cuda", raster, objective=broken)
    assert result.skipped == 1
    assert texture.bake().isfinite().all()  # type: ignore[operator]


@pytest.fixture
def little_memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(3e9 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("little_memory")
def test_where_memory_is_short_steps_have_fewer_views(caplog: pytest.LogCaptureFixture) -> None:
    _, result = run("cuda", "cpu", steps=3, view=1024, views=16)
    assert "has too little memory for 16 views a step; going on with 8" in caplog.text
    assert len(result.history) == 3


@pytest.mark.parametrize("kind", ["fourier", "pixel", "shared", "transparent", "cppn", "surface"])
def test_every_texture(kind: str, raster: str) -> None:
    start = picture()
    texture = {
        "fourier": lambda: texopt.FourierTexture(64, start=start),
        "pixel": lambda: texopt.PixelTexture(64, start=start),
        "shared": lambda: texopt.SharedTexture.several(2, 64)[0],
        "transparent": lambda: texopt.TransparentTexture(texopt.PixelTexture(64, start=start), 64),
        "cppn": lambda: texopt.CppnTexture(64),
        "surface": lambda: texopt.CppnTexture.on(make_cube(), 64)[0],
    }[kind]()
    before = texture.bake().detach().cpu()  # type: ignore[operator]
    _, result = run("cuda", raster, texture, steps=3)
    assert not result.skipped
    assert (texture.bake().detach().cpu() - before).abs().mean() > 1e-4  # type: ignore[operator]


@pytest.mark.parametrize("kind", optimizers.KINDS)
def test_every_optimizer(kind: str) -> None:
    _, result = run("cuda", "cpu", steps=4, optimizer=kind)
    assert not result.skipped


@pytest.mark.parametrize("command", ["style", "feature", "image", "saliency", "doctor"])
def test_commands(command: str, raster: str, tmp_path: Path) -> None:
    mesh, small = str(MESHES / "creature.obj"), ["--steps", "3", "--out", str(tmp_path)]
    arguments = {
        "style": [mesh, str(STYLES / "woodcut.jpg"), *small, "--texture-size", "64", "--view-size", "64"],
        "feature": [mesh, "blocks.3:7", *small, "--texture-size", "64", "--view-size", "64"],
        "image": ["--target", "blocks.3:7", *small, "--size", "64"],
        "saliency": [mesh, "tabby", "--out", str(tmp_path / "map.glb")],
        "doctor": [],
    }[command]
    done = subprocess.run(
        [sys.executable, "-m", "texopt", command, *arguments, "--device", "cuda", "--raster", raster],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_two_ranks_on_the_card_are_one(tmp_path: Path) -> None:
    """Each has a card of its own where there are two (NCCL); else they share one (gloo)."""
    from test_distributed import work

    (alone, losses, _), (together, their_losses, _) = (work(tmp_path, count, device="cuda") for count in (1, 2))
    torch.testing.assert_close(their_losses, losses, atol=2e-2, rtol=2e-2)
    changed = (alone.cpu() - torch.tensor([0.4, 0.5, 0.6])[:, None, None]).abs().mean()
    assert (alone - together).abs().mean().cpu() < 0.25 * changed
