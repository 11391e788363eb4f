"""What a step computes has the same digits on any number of threads, on this processor and on one that has less."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from conftest import MESHES, STYLES
from torch import Generator, Tensor

import texopt
from texopt.features.backbones import load_backbone
from texopt.features.pointwise import Pointwise
from texopt.objectives.patch_matching import Target, most_similar
from texopt.render.backgrounds import smooth_noise
from texopt.texture.colorspace import mix, to_valid_rgb

# Without AVX-512 torch and its libraries compute in other ways. This is how a processor that has it can be told to.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def parts_of_a_step() -> dict[str, Callable[[], Tensor]]:
    generator = Generator().manual_seed(0)
    view, values = torch.rand(1, 3, 128, 128, generator=generator), torch.randn(3, 256, 256, generator=generator)
    extractor = load_backbone("efficientnet_lite0")
    mesh = texopt.load_mesh(MESHES / "creature.obj")
    cameras = texopt.orbit(torch.tensor([30.0]), torch.tensor([20.0]))

    def gradient(of: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        at = at.clone().requires_grad_()
        return torch.autograd.grad(of(at).square().sum(), at)[0]

    def unit(count: int) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(count, 360, generator=generator))

    rows, others = unit(500), unit(3000)

    def features(image: Tensor) -> Tensor:
        return torch.cat([found.flatten() for found in extractor(image, extractor.style_layers).values()])

    return {
        "features": lambda: features(view).detach(),
        "gradient of features": lambda: gradient(features, view),
        "patches": lambda: Target.of([extractor(view, {"blocks.2"})["blocks.2"]], [1.0]).along,
        "most similar patches": lambda: most_similar(rows, others, torch.zeros(3000)),
        "colours": lambda: to_valid_rgb(values),
        "gradient of colours": lambda: gradient(to_valid_rgb, values),
        "background": lambda: smooth_noise()(Generator().manual_seed(0), 2, 96, 128),
        "projection": lambda: cameras.project(mesh.unit_vertices().double()),
        "start": lambda: texopt.repainted(mesh, STYLES / "brush.jpg", size=256)[0],
    }  # fmt: skip


def differing() -> list[str]:
    """The names of the parts whose bytes are not the same on 1, 2 and 3 threads."""
    threads, found = torch.get_num_threads(), []
    try:
        for name, part in parts_of_a_step().items():
            results = []
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                results.append(part())
            if not all(torch.equal(results[0], other) for other in results[1:]):
                found.append(name)
    finally:
        torch.set_num_threads(threads)
    return found


@pytest.mark.slow
def test_on_this_processor() -> None:
    assert differing() == []


@pytest.mark.slow
def test_on_a_processor_with_avx2_alone() -> None:
    done = subprocess.run(
        [sys.executable, __file__], env=os.environ | AVX2, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_pointwise_is_the_convolution() -> None:
    for size, bias in (((1, 40, 16, 16), True), ((2, 24, 64, 64), False)):
        conv = torch.nn.Conv2d(size[1], 30, 1, bias=bias).requires_grad_(False)
        assert Pointwise.fits(conv)
        image = torch.randn(size, generator=Generator().manual_seed(0)).requires_grad_()
        results = [module(image) for module in (conv, Pointwise(conv))]
        torch.testing.assert_close(results[1], results[0])
        weights = torch.randn(results[0].shape, generator=Generator().manual_seed(1))
        gradients = [torch.autograd.grad(result, image, weights)[0] for result in results]
        torch.testing.assert_close(gradients[1], gradients[0])


def test_pointwise_leaves_other_convolutions_alone() -> None:
    assert not Pointwise.fits(torch.nn.Conv2d(4, 4, 3, padding=1))
    assert not Pointwise.fits(torch.nn.Conv2d(4, 4, 1, stride=2))
    assert not Pointwise.fits(torch.nn.Conv2d(4, 4, 1, groups=2))
    assert not Pointwise.fits(torch.nn.Conv2d(4, 4, 1, padding=1))


def test_mix_is_a_matrix_product() -> None:
    matrix, values = torch.randn(2, 3).double(), torch.randn(3, 4, 5).double()
    torch.testing.assert_close(mix(matrix, values), torch.einsum("rc,chw->rhw", matrix, values))


def test_gradient_of_colours() -> None:
    values = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(to_valid_rgb, values)


if __name__ == "__main__":
    print(differing())
