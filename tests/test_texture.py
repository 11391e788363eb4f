from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from conftest import make_cube
from torch import Generator, nn

from texopt import FourierTexture, OptionError, PixelTexture, PyramidTexture, fixed_views, raster, rasterize
from texopt.cameras import orbit, zoomed
from texopt.color import COLOR_CORRELATION, from_rgb, to_valid_rgb
from texopt.render import Fragments, finest_level, look_up

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


# levels that a view does not see


def plane(level: float, anisotropy: float = 1.0, size: int = 1024) -> Fragments:
    """Fragments of a plane whose pixels' longer axis is 2^level texels of a texture of `size`, turned by 0.5."""
    longer = 2.0**level / size
    turn = torch.tensor([[0.8776, -0.4794], [0.4794, 0.8776]])
    jacobian = turn @ torch.diag(torch.tensor([longer, longer / anisotropy]))
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    uv = torch.stack([x, y], -1) @ jacobian.T
    uv_da = jacobian.flatten().expand(1, 32, 32, 4).contiguous()
    there = torch.ones(1, 32, 32, dtype=torch.bool)
    return Fragments(there.int(), uv[None], uv[None, ..., 0], uv[None], uv_da, there, 0 * there.int())


@pytest.mark.parametrize("level", [-1.0, 0.5, 1.5, 3.25, 5.5])
@pytest.mark.parametrize("anisotropy", [1.0, 4.0])
def test_finest_level_is_the_lookups_own(level: float, anisotropy: float) -> None:
    """A mip stack in which every level has a grey of its own tells which ones the look-up blends."""
    fragments = plane(level, anisotropy)
    stack = [torch.full((1, 1024 >> step, 1024 >> step, 1), float(step)) for step in range(9)]
    found = raster.texture(stack[0], fragments.uv, fragments.uv_da, mip=stack[1:], max_mip_level=8)
    assert finest_level(fragments, 1024, 1024) == math.floor(found.min().item())
    assert found.mean().item() == pytest.approx(max(level, 0), abs=0.01)


def test_finest_level_of_a_few_pixels_does_not_count_and_nothing_asks_for_all() -> None:
    fragments = plane(4.5)
    fragments.uv_da[0, 0, :10] /= 16  # one in a hundred
    assert finest_level(fragments, 1024, 1024) == 4
    fragments.uv_da[0, :8] /= 16
    assert finest_level(fragments, 1024, 1024) == 0
    assert finest_level(replace(plane(4.5), mask=torch.zeros(1, 32, 32, dtype=torch.bool)), 1024, 1024) == 0
    points = plane(4.5)
    points.uv_da[0, 16:] = 0  # seam points, which have no footprint
    assert finest_level(points, 1024, 1024) == 4


def test_coarse_views_leave_out_the_finest_levels_of_a_large_pyramid() -> None:
    big = PyramidTexture(1024, start=smooth_image(1024))
    far = rasterize(make_cube(), fixed_views(2), 64)
    skipped = finest_level(far, 1024, 1024)
    assert skipped >= 2
    colors = big.sample(far)
    exact = look_up(big.decode(), far)
    there = far.mask[:, None].expand_as(colors)
    assert (colors - exact)[there].abs().mean() < 0.01
    (colors * there).sum().backward()
    for level in big.levels[-skipped:]:
        assert level.grad is None or not level.grad.any()
    assert all(level.grad is not None and level.grad.any() for level in big.levels[:-skipped])


def test_close_views_reach_all_levels() -> None:
    big = PyramidTexture(1024)
    near = rasterize(make_cube(), zoomed(orbit(torch.zeros(1), torch.zeros(1)), 16, torch.zeros(1, 2).double()), 128)
    assert finest_level(near, 1024, 1024) == 0
    assert torch.equal(big.sample(near), look_up(big.decode(), near))
    big.sample(near).sum().backward()
    assert all(level.grad is not None and level.grad.any() for level in big.levels)


def test_small_pyramids_always_take_all_levels() -> None:
    small = PyramidTexture(512)
    far = rasterize(make_cube(), fixed_views(1), 32)
    assert finest_level(far, 512, 512) > 0
    assert torch.equal(small.sample(far), look_up(small.decode(), far))


def test_levels_left_out_halve_the_texture() -> None:
    texture = PyramidTexture((64, 128), start=(0.2, 0.5, 0.8))
    for skipped in range(len(texture.levels)):
        assert texture.decode(skipped).shape == (3, 64 >> skipped, 128 >> skipped)
        assert torch.allclose(texture.decode(skipped).mean((1, 2)), torch.tensor([0.2, 0.5, 0.8]), atol=1e-4)
