"""Which functions draw. nvdiffrast itself needs CUDA; on the CPU a stand-in checks how it is called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
import torch
from conftest import make_cube
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError, TexoptError, fixed_views
from texopt.raster import backends
from texopt.render.look_up import look_up
from texopt.render.scene import Scene

SIZE = 48


@pytest.fixture(autouse=True)
def forget_contexts() -> Iterator[None]:
    backends._nvdiffrast.cache_clear()
    yield
    backends._nvdiffrast.cache_clear()


@pytest.fixture
def nvdiffrast(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module nvdiffrast.torch that takes what nvdiffrast takes and draws with texopt's kernels on the CPU."""
    calls = SimpleNamespace(devices=[], functions=[])

    class Context(dr.RasterizeContext):
        def __init__(self, device: torch.device | None = None) -> None:
            super().__init__()
            calls.devices.append(device)

    def strict(function, ctx: bool = False):  # type: ignore[no-untyped-def]
        def call(*args, **options):  # type: ignore[no-untyped-def]
            calls.functions.append(function.__name__)
            if ctx:
                assert isinstance(args[0], Context)
            for tensor in (*args, *options.values()):
                if isinstance(tensor, Tensor):
                    assert tensor.is_contiguous()
                    assert tensor.dtype in (torch.float32, torch.int32)
            return function(*args, **options)

        return call

    module = ModuleType("nvdiffrast.torch")
    module.RasterizeCudaContext = Context  # type: ignore[attr-defined]
    module.rasterize = strict(dr.rasterize, ctx=True)  # type: ignore[attr-defined]
    module.interpolate, module.texture = strict(dr.interpolate), strict(dr.texture)  # type: ignore[attr-defined]
    module.texture_construct_mip = strict(dr.texture_construct_mip)  # type: ignore[attr-defined]
    package = ModuleType("nvdiffrast")
    package.torch = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    return calls


def drawn(scene: Scene, image: Tensor) -> tuple[Tensor, Tensor]:
    """What a scene's views show of a texture, and the gradient of a sum of it to the texture."""
    image = image.clone().requires_grad_()
    colors = look_up(image, scene.rasterize(fixed_views(3), SIZE))
    (colors * torch.linspace(0, 1, colors.numel()).reshape(colors.shape)).sum().backward()
    assert image.grad is not None
    return colors.detach(), image.grad


def pretend_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the context be made for "cuda" while tensors stay on the CPU."""
    made = backends._nvdiffrast

    def on_the_cpu(device: torch.device) -> backends.Backend:
        found = made(device)
        return backends.replace(found, geometry=torch.device("cpu"))

    monkeypatch.setattr(backends, "_nvdiffrast", on_the_cpu)


def test_nvdiffrast_is_called_as_it_wants_to_be_and_shows_the_same(
    nvdiffrast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(3, 40, 24)
    expected = drawn(Scene(make_cube()), image)
    pretend_cuda(monkeypatch)
    scene = Scene(make_cube())
    scene.backend = backends.select("auto", "cuda")
    assert scene.backend.name == "nvdiffrast"
    results = drawn(scene, image)
    assert nvdiffrast.functions == ["rasterize", "interpolate", "texture"]
    for result, other in zip(results, expected, strict=True):
        assert torch.equal(result, other)  # the same rows on top, the same functions under another name


def test_a_device_has_one_context(nvdiffrast: SimpleNamespace) -> None:
    first, second, third = (backends.select("nvdiffrast", name) for name in ("cuda:0", "cuda:1", "cuda:0"))
    assert first.context is third.context
    assert first.context is not second.context
    assert nvdiffrast.devices == [torch.device("cuda:0"), torch.device("cuda:1")]


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_nvdiffrast_on_another_device_is_refused(nvdiffrast: SimpleNamespace, device: str) -> None:
    with pytest.raises(TexoptError, match=r"CUDA.*cpu"):
        backends.select("nvdiffrast", device)


def test_nvdiffrast_that_is_missing_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    with pytest.raises(TexoptError, match=r"not installed; README.*raster cpu"):
        backends.select("nvdiffrast", "cuda")
    assert backends.select("auto", "cuda") is backends.PORTABLE


def test_nvdiffrast_that_does_not_compile_is_an_error_of_one_line(
    nvdiffrast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError("\nNinja is required to load C++ extensions\nand so on\n")

    monkeypatch.setattr(sys.modules["nvdiffrast.torch"], "RasterizeCudaContext", fail)
    with pytest.raises(TexoptError) as caught:
        backends.select("nvdiffrast", "cuda")
    assert str(caught.value) == "nvdiffrast cannot be used (Ninja is required to load C++ extensions); use raster cpu"
    assert backends.select("auto", "cuda") is backends.PORTABLE


@pytest.mark.parametrize(("device", "expected"), [("cpu", backends.CPU), ("mps", backends.PORTABLE)])
def test_without_cuda_the_cpu_draws(device: str, expected: backends.Backend) -> None:
    assert backends.select("auto", device) is expected
    assert backends.select("cpu", device) is expected


def test_unknown_raster_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^raster\b.*auto, cpu, nvdiffrast"):
        backends.select("opengl")


def test_portable_path_shows_the_same_as_the_kernels() -> None:
    image = torch.rand(3, 40, 24)
    expected = drawn(Scene(make_cube()), image)
    scene = Scene(make_cube())
    scene.backend = backends.PORTABLE
    colors, grad = drawn(scene, image)
    torch.testing.assert_close(colors, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(grad, expected[1], rtol=1e-4, atol=1e-3)


def test_the_parity_program_runs_on_the_cpu() -> None:
    from test_gpu import call

    assert all(x.isfinite().all() for x in call(dr, "cpu").values())
