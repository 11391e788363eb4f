from __future__ import annotations

import pytest
import torch
from conftest import make_cube
from torch import Generator, nn

from texopt import FourierTexture, OptionError, PixelTexture, PyramidTexture, fixed_views, rasterize
from texopt.color import COLOR_CORRELATION, from_rgb, to_valid_rgb

TEXTURES = [PyramidTexture, FourierTexture, PixelTexture]


def smooth_image(size: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 6, size), torch.linspace(0, 5, size), indexing="ij")
    return torch.stack([x.sin(), (x + y).cos(), (y * 1.5).sin()]) * 0.35 + 0.5


@pytest.mark.parametrize("kind", TEXTURES)
class TestEveryTexture:
    def test_fits_an_image(self, kind: type[nn.Module]) -> None:
        texture, goal = kind(32), smooth_image(32)
        adam = torch.optim.Adam(texture.parameters(), lr=0.1)
        for _ in range(300):
            loss = (texture.decode() - goal).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        assert loss.item() < 1e-3  # 30 dB

    def test_starts_from_an_image(self, kind: type[nn.Module]) -> None:
        image = smooth_image(64)
        assert torch.allclose(kind(64, start=image).bake(), image, atol=1e-4)

    def test_starts_from_an_image_of_another_size(self, kind: type[nn.Module]) -> None:
        assert (kind(64, start=smooth_image(200)).bake() - smooth_image(64)).abs().mean() < 0.02

    def test_starts_from_a_colour(self, kind: type[nn.Module]) -> None:
        baked = kind((16, 32), start=(0.2, 0.5, 0.8)).bake()
        assert baked.shape == (3, 16, 32)
        assert torch.allclose(baked, torch.tensor([0.2, 0.5, 0.8])[:, None, None].expand_as(baked), atol=1e-4)

    def test_noise_is_seeded_and_nearly_grey(self, kind: type[nn.Module]) -> None:
        first, second = kind(32).bake(), kind(32).bake()
        other = kind(32, generator=Generator().manual_seed(5)).bake()
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert (first - 0.5).abs().max() < 0.25

    def test_samples_what_it_bakes(self, kind: type[nn.Module]) -> None:
        texture = kind(64, start=(0.9, 0.1, 0.3))
        fragments = rasterize(make_cube(), fixed_views(2), 32)
        colors = texture.sample(fragments).permute(0, 2, 3, 1)[fragments.mask]
        assert torch.allclose(colors, torch.tensor([0.9, 0.1, 0.3]).expand_as(colors), atol=1e-4)

    def test_gradient_reaches_the_parameters(self, kind: type[nn.Module]) -> None:
        texture = kind(32)
        texture.sample(rasterize(make_cube(), fixed_views(1), 32)).sum().backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in texture.parameters())

    def test_bakes_at_any_size(self, kind: type[nn.Module]) -> None:
        assert kind(64).bake(16, 128).shape == (3, 16, 128)

    @pytest.mark.parametrize("size", [0, -4, 7, 100000, 1000, (64, 0)])
    def test_refuses_sizes(self, kind: type[nn.Module], size: int) -> None:
        with pytest.raises(OptionError, match="texture size"):
            kind(size)


def test_fourier_gradient_is_spread_over_the_whole_texture() -> None:
    """One step on one texel's gradient moves its surroundings too; a pixel texture's moves it alone."""
    moved = {}
    for kind in TEXTURES:
        texture = kind(32)
        before = texture.bake()
        texture.decode()[:, 10, 20].sum().backward()
        with torch.no_grad():
            for parameter in texture.parameters():
                parameter -= parameter.grad / parameter.grad.norm()
        moved[kind] = ((texture.bake() - before).abs() > 1e-6).float().mean().item()
    assert moved[PixelTexture] < 0.01 < 0.05 < moved[PyramidTexture] < moved[FourierTexture]


def test_colours_are_valid_and_invert() -> None:
    values = torch.randn(2, 3, 4, 5) * 3
    rgb = to_valid_rgb(values)
    assert ((rgb > 0) & (rgb < 1)).all()
    inside = rgb.clamp(0.01, 0.99)
    assert torch.allclose(to_valid_rgb(from_rgb(inside)), inside, atol=1e-4)


def test_colour_correlation_has_unit_largest_column() -> None:
    assert COLOR_CORRELATION.norm(dim=0).max().item() == pytest.approx(1.0)


def test_grey_is_grey() -> None:
    assert torch.allclose(to_valid_rgb(torch.zeros(3, 1, 1)), torch.full((3, 1, 1), 0.5))
