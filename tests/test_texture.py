from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import make_cube
from torch import Generator, nn

from texopt import FourierTexture, OptionError, PixelTexture, PyramidTexture, fixed_views, rasterize
from texopt.mesh.image_canvas import canvas
from texopt.raster import backends, portable
from texopt.raster.details import ROW, details
from texopt.render.cameras import orbit, zoomed
from texopt.render.canvas_cameras import crops
from texopt.render.fragments import Fragments
from texopt.render.look_up import Mipmapped, look_up
from texopt.render.scene import Scene
from texopt.system.images import resized
from texopt.texture.colorspace import COLOR_CORRELATION, from_rgb, to_valid_rgb
from texopt.texture.image import periodic

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


# large pyramids: what a view does not see costs nothing


@pytest.fixture(autouse=True)
def small_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels above 256 texels are details already, so that tests of them are quick."""
    monkeypatch.setattr("texopt.texture.pyramid.BASE", 256)


def close_up(zoom: float, size: int = 128) -> Fragments:
    return rasterize(make_cube(), zoomed(orbit(torch.zeros(1), torch.zeros(1)), zoom, torch.zeros(1, 2).double()), size)


@pytest.mark.parametrize("size", [512, (1024, 512), (64, 2048)])
def test_a_large_pyramid_starts_from_an_image_of_its_size_or_smaller(size: int | tuple[int, int]) -> None:
    shape = (size, size) if isinstance(size, int) else size
    image = smooth_image(1024)
    texture = PyramidTexture(size, start=image)
    assert torch.allclose(texture.bake(), resized(image, *shape), atol=1e-3)
    plain = PyramidTexture(size, start=smooth_image(8))
    assert not plain.details.any()  # bilinear from there on
    assert (plain.bake() - resized(smooth_image(8), *shape)).abs().mean() < 0.02


def test_what_is_drawn_is_the_baked_image() -> None:
    """From near, where the texture is magnified, pixel for pixel; from afar up to how mip levels are made."""
    image = smooth_image(512) + 0.1 * torch.randn(3, 512, 512, generator=Generator().manual_seed(0))
    texture = PyramidTexture(512, start=image.clamp(0.1, 0.9))
    for fragments, tolerance in ((close_up(24), 0.02), (close_up(0.25, 64), 0.03)):
        there = fragments.mask[:, None].expand(-1, 3, -1, -1)
        difference = (texture.sample(fragments) - look_up(texture.bake(), fragments))[there]
        assert difference.abs().mean() < tolerance


def test_a_view_costs_what_it_sees() -> None:
    texture = PyramidTexture(2048, start=(0.3, 0.4, 0.5))
    counts = []
    for fragments in (close_up(0.25, 64), close_up(1, 64), close_up(16, 64)):
        texture.details.grad = None
        (texture.sample(fragments) * fragments.mask[:, None]).sum().backward()
        grad = texture.details.grad
        assert grad.is_sparse
        counts.append(grad.coalesce().indices().shape[1])
    assert counts[0] == 0  # coarser than all of them
    assert 0 < max(counts) < 0.05 * len(texture.details)


def test_no_level_takes_part_that_is_finer_than_a_pixel() -> None:
    """The finest level of noise is seen from near and not from afar, and shares one pixel with the next."""
    texture = PyramidTexture(1024, start=(0.5, 0.5, 0.5))
    texels = 1024 * 1024 // ROW
    with torch.no_grad():
        texture.details[:texels] = torch.randn(texels, ROW, 3, generator=Generator().manual_seed(0))

    def spread(zoom: float) -> float:
        fragments = close_up(zoom)
        return texture.sample(fragments)[fragments.mask[:, None].expand(-1, 3, -1, -1)].std().item()

    found = [spread(zoom) for zoom in (0.5, 1, 4, 6, 16)]
    assert found[0] == found[1] == 0 < found[2] < found[3] <= found[4]


@pytest.mark.parametrize("sizes", [[(64, 64), (32, 32)], [(32, 128), (16, 64), (8, 32)], [(256, 8)]])
@pytest.mark.parametrize("spread", [0.2, 1.5, 6.0])  # footprints in texels of level 0
def test_details_are_those_of_the_portable_look_up(sizes: list[tuple[int, int]], spread: float) -> None:
    """Values and gradients, of points that wrap around and footprints around that size, and of pixels left out."""
    generator = Generator().manual_seed(len(sizes))
    rows = torch.randn(sum(h * w for h, w in sizes) // ROW, ROW, 3, generator=generator, requires_grad=True)
    uv = 3 * torch.randn(2, 20, 30, 2, generator=generator)
    slopes = torch.randn(2, 20, 30, 4, generator=generator) * spread / max(sizes[0])
    slopes[0, :4] = 0.0  # points
    mask = torch.rand(2, 20, 30, generator=generator) > 0.2
    cotangent = torch.randn(2, 20, 30, 3, generator=generator)
    found = details(rows, sizes, uv, slopes, mask)
    expected = portable.details(rows, sizes, uv, slopes, mask)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
    assert not found[~mask].any()
    (sparse,) = torch.autograd.grad(found, rows, cotangent)
    (dense,) = torch.autograd.grad(expected, rows, cotangent)
    torch.testing.assert_close(sparse.to_dense(), dense, atol=5e-4, rtol=0)
    assert set(dense.flatten(1).any(1).nonzero()[:, 0].tolist()) <= set(sparse.indices()[0].tolist())


def test_gradients_of_details_are_the_same_with_any_number_of_threads() -> None:
    threads, fragments, sizes = torch.get_num_threads(), close_up(2), [(512, 512), (256, 256)]
    rows = torch.randn(5 * 256 * 256 // ROW, ROW, 3, requires_grad=True)
    cotangent, found = torch.randn(1, 128, 128, 3), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            values = details(rows, sizes, fragments.texture_uv, fragments.uv_da, fragments.mask)
            found.append(torch.autograd.grad(values, rows, cotangent)[0].to_dense())
    finally:
        torch.set_num_threads(threads)
    assert found[0].any()
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_details_say_what_does_not_fit() -> None:
    points = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 4), torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(OptionError, match=r"rows has to be .* \[R,32,3\]"):
        details(torch.zeros(8, 16, 3), [(8, 16)], *points)
    with pytest.raises(OptionError, match=r"rows has 256 texels, levels of .* have 128"):
        details(torch.zeros(8, 32, 3), [(8, 16)], *points)


def test_an_image_that_stays_is_looked_up_as_any_other() -> None:
    image, fragments = smooth_image(256), close_up(1)
    for backend in (backends.CPU, backends.PORTABLE):
        drawn = replace(fragments, backend=backend)
        expected = look_up(image, drawn)
        torch.testing.assert_close(look_up(Mipmapped.of(image, backend), drawn), expected, atol=1e-6, rtol=0)


def test_a_far_view_of_a_large_pyramid_is_that_of_its_baked_image() -> None:
    """The mean of what is interpolated between texels is not the texels."""
    texture = PyramidTexture(1024, generator=Generator().manual_seed(0))  # of which 256² is decoded
    with torch.no_grad():
        texture.details.zero_()  # type: ignore[union-attr]
        texture.levels[-1].mul_(20)  # as fine as it can be
        for level in texture.levels[:-1]:
            level.zero_()
    mesh = canvas(size=(1024, 1024))
    camera = crops(mesh, 0.25)(Generator().manual_seed(0), 1, 0)
    fragments = Scene(mesh).rasterize(camera, 64)  # four texels a pixel
    seen, image = texture.sample(fragments).detach(), look_up(texture.bake(), fragments)
    raw = to_valid_rgb(look_up(texture.levels[-1].permute(2, 0, 1), fragments)).detach()
    assert (seen - image).square().mean() < 0.1 * (raw - image).square().mean()


def test_a_periodic_image_has_no_step_across_its_borders() -> None:
    """And is, within them, the image but for something smooth: its discrete Laplacian inside is the image's."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([x + y, x * x, (9 * x).sin() + y])
    found = periodic(image)
    for axis in (1, 2):
        across = (found.narrow(axis, 0, 1) - found.narrow(axis, -1, 1)).abs().mean()
        assert across < 0.1 * (image.narrow(axis, 0, 1) - image.narrow(axis, -1, 1)).abs().mean()

    def laplacian(values: torch.Tensor) -> torch.Tensor:
        around = sum(values.roll(step, axis) for step in (1, -1) for axis in (1, 2))
        return (around - 4 * values)[:, 1:-1, 1:-1]

    torch.testing.assert_close(laplacian(found), laplacian(image), atol=1e-5, rtol=0)
    assert torch.allclose(found.mean((1, 2)), image.mean((1, 2)), atol=1e-6)
