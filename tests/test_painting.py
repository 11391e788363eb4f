"""Colours: moved from paintings to surfaces and back, and points that are evenly on a surface."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_cube
from fields import showing, two_materials
from PIL import Image
from torch import Generator, Tensor

from texopt import ImageError, Mesh, OptionError, canvas, style
from texopt.mesh.surface_points import random_points
from texopt.objectives import colors
from texopt.system.images import to_image, to_tensor
from texopt.system.pictures import loaded, several
from texopt.texture.paintings import in_colors_of, painting_colors, palette, repainted, transport


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def blob(mean: tuple[float, float, float], count: int = 4000, seed: int = 0) -> Tensor:
    """Colours [3,count] about a mean, correlated and skewed, well inside [0,1]."""
    mix = torch.tensor([[0.06, 0.0, 0.0], [0.03, 0.04, 0.0], [-0.02, 0.01, 0.03]])
    values = torch.randn(3, count, generator=seeded(seed)) ** 2 - 1
    return torch.tensor(mean)[:, None] + mix @ values.clamp(max=3) * 0.5


def picture(values: Tensor, width: int = 80) -> Image.Image:
    return to_image(values.reshape(3, -1, width))


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(1), torch.cov(values)


def quantile_distance(a: Tensor, b: Tensor) -> float:
    """The largest mean difference of quantiles along 20 random axes that the transport has not seen."""
    axes = F.normalize(torch.randn(20, 3, generator=seeded(99)), dim=1)
    steps = torch.linspace(0.02, 0.98, 49)
    return float((torch.quantile(axes @ a, steps, 1) - torch.quantile(axes @ b, steps, 1)).abs().mean(0).max())


# paintings


def test_colours_of_paintings_come_in_their_shares() -> None:
    paintings = [Image.new("RGB", (20, 30), color) for color in ("red", "lime", "blue")]
    for blend, expected in ((None, (1, 1, 1)), ((2, 1, 1), (2, 1, 1)), ((0.5, 0.0, 0.5), (1, 0, 1))):
        found = painting_colors(paintings, blend)
        assert found.mean(1).tolist() == pytest.approx([share / sum(expected) for share in expected], abs=2e-3)


def forms(path: Path) -> dict[str, Any]:
    """One picture in every form that a painting may have."""
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(array)
    image.save(path)
    values = to_tensor(image)
    return {
        "path": path, "name of a file": str(path), "image": image, "float tensor": values,
        "tensor with a gradient": values.clone().requires_grad_(), "float64": values.double(), "float16": values.half(),
        "bytes": torch.from_numpy(array).permute(2, 0, 1), "array": array, "float array": array / 255.0,
        "opaque": np.dstack([array, np.full((20, 30), 255, np.uint8)]),
        "premultiplied": image.convert("RGBA").convert("RGBa"),
    }  # fmt: skip


def test_a_painting_is_the_same_in_every_form(tmp_path: Path) -> None:
    wanted, *others = forms(tmp_path / "a.png").items()
    for name, form in others:
        found = loaded(form)
        assert found.mode == "RGB"
        assert found.tobytes() == loaded(wanted[1]).tobytes(), name
        assert several(form) == [form] if isinstance(form, (str, Path, Image.Image)) else several(form)[0] is form
    assert len(several([form for _, form in others])) == len(others)


def test_modes_of_pillow(tmp_path: Path) -> None:
    """Greys of 16 bits are scaled, what is transparent is over white, what was turned by its EXIF is upright."""
    deep = Image.fromarray(np.full((20, 20), 32896, np.uint16))
    assert loaded(deep).getpixel((3, 3)) == (128, 128, 128)
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert loaded(clear).getpixel((3, 3)) == (255, 255, 255)
    assert loaded(Image.new("LA", (20, 20), (0, 255)).convert("La")).getpixel((3, 3)) == (0, 0, 0)
    for mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV", "I", "F", "PA", "RGBX", "I;16B"):
        assert loaded(Image.new(mode, (20, 20))).mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    turned = Image.open(tmp_path / "turned.jpg")
    assert loaded(turned).size == loaded(tmp_path / "turned.jpg").size == (20, 30)
    assert turned.size == (30, 20)  # the caller's own stays
    grey = torch.full((1, 20, 20), 0.5)
    assert loaded(grey).getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("painting", "message"),
    [
        (None, "a painting is a file, .* not NoneType"), (3.0, "not float"), (b"png", "not bytes"),
        (torch.rand(2, 3, 20, 20), r"not Tensor \[2, 3, 20, 20\]"), (torch.rand(20, 20), r"not Tensor \[20, 20\]"),
        (torch.rand(20, 30, 3), r"float tensor \[3,H,W\].*, not Tensor \[20, 30, 3\]"),
        (np.zeros((3, 20, 30), np.uint8), r"uint8 array \[H,W,3\], not ndarray \[3, 20, 30\]"),
        (torch.rand(3, 0, 20), r"not Tensor \[3, 0, 20\]"),
        (torch.full((3, 20, 20), 2.5), r"float in \[0,1\] or uint8 .*not 2.5 to 2.5 of float32"),
        (torch.full((3, 20, 20), float("nan")), "not nan to nan"),
        (torch.ones(3, 20, 20).long(), "not 1 to 1 of int64"),
    ],
)  # fmt: skip
def test_what_is_no_painting(painting: Any, message: str) -> None:
    for call in (style, colors, partial(repainted, make_cube()), canvas if painting is not None else loaded):
        with pytest.raises(OptionError, match=message):
            call(painting)


def test_a_painting_has_a_size(tmp_path: Path) -> None:
    for small in (torch.rand(3, 15, 40), Image.new("RGB", (40, 15)), np.zeros((15, 40, 3), np.uint8)):
        with pytest.raises(ImageError, match="a painting is 40x15; it needs at least 16 pixels a side"):
            style(small)


@pytest.mark.parametrize("blend", [(1.0,), (1.0, -1.0), (0.0, 0.0)])
def test_shares_that_cannot_be(blend: tuple[float, ...]) -> None:
    paintings = [Image.new("RGB", (20, 30))] * 2
    with pytest.raises(OptionError, match="blend has to"):
        repainted(make_cube(), paintings, blend)
    with pytest.raises(OptionError, match="blend has to"):
        colors(paintings, blend)


def test_colours_of_a_painting_are_from_all_over_it() -> None:
    image = picture(blob((0.4, 0.5, 0.6), 64000), 320)
    mean, covariance = moments(to_tensor(image).flatten(1))
    found_mean, found_covariance = moments(painting_colors([image]))
    assert torch.allclose(found_mean, mean, atol=0.003)
    assert torch.allclose(found_covariance, covariance, atol=2e-4)


def test_a_palette_has_mean_and_covariance_of_the_painting() -> None:
    image = picture(blob((0.4, 0.5, 0.6)))
    mean, covariance = moments(to_tensor(image).flatten(1))
    clouds = torch.stack([palette(image, seeded(seed)) for seed in range(6)]).transpose(0, 1).flatten(1)
    assert torch.allclose(clouds.mean(1), mean, atol=0.02)
    assert torch.allclose(torch.cov(clouds), covariance, atol=0.3 * float(covariance.abs().max()))
    assert torch.equal(palette(image), palette(image))
    assert not torch.equal(palette(image), palette(image, seeded(1)))
    gray = palette(Image.new("RGB", (20, 20), (128, 128, 128)))
    assert (gray - 128 / 255).abs().max() < 0.02


# transport


def test_transport_gives_the_distribution_of_the_target() -> None:
    source, target = blob((0.3, 0.3, 0.3)), 1 - blob((0.4, 0.3, 0.5), 3000, seed=1)
    before = quantile_distance(source, target)
    after = quantile_distance(transport(source, target, source, seeded()), target)
    assert after < 0.004
    assert before > 20 * after


def test_transport_to_itself_changes_little() -> None:
    source = blob((0.4, 0.5, 0.6))
    assert (transport(source, source, source, seeded()) - source).abs().max() < 0.01


def test_transport_keeps_what_is_equal_equal_and_what_is_near_near() -> None:
    source, target = blob((0.3, 0.3, 0.3)), blob((0.6, 0.5, 0.4), seed=1)
    source[:, 100:200] = source[:, :100]
    moved = transport(source, target, source, seeded())
    assert torch.equal(moved[:, 100:200], moved[:, :100])
    near = transport(source + 1e-5, target, source, seeded())
    assert (near - moved).abs().mean() < 1e-3


def test_transport_weighs_by_the_samples() -> None:
    """Source colours that the samples have more often take more of the target: here the surface is mostly dark."""
    source = torch.tensor([[0.2, 0.8]]).expand(3, 2).contiguous()
    samples = source[:, (torch.rand(4000, generator=seeded()) < 0.25).long()]  # a quarter of them light
    target = torch.linspace(0, 1, 4000).expand(3, -1)
    dark, light = transport(source, target, samples, seeded()).mean(0).tolist()
    assert dark == pytest.approx(0.375, abs=0.03)
    assert light == pytest.approx(0.875, abs=0.03)


# surfaces


def shades() -> Mesh:
    """A cube in a soft grey pattern."""
    y, x = torch.meshgrid(torch.linspace(0, 9, 64), torch.linspace(0, 7, 64), indexing="ij")
    return showing(make_cube(), (0.5 + 0.2 * x.sin() * y.cos()).expand(3, -1, -1))


def masked(mesh: Mesh, share: float) -> Mesh:
    """A mesh whose texture may change where u is under a share only."""
    mask = np.zeros((4, 256), np.uint8)
    mask[:, : round(256 * share)] = 255
    return replace(mesh, maps=(replace(mesh.maps[0], mask=mask),))


def on_surface(mesh: Mesh, *images: Tensor) -> Tensor:
    """Colours [3,N] at random points of the surface, nearest texel."""
    points = random_points(mesh, 6000, seed=7)
    found = torch.zeros(3, 6000)
    for index, image in enumerate(images):
        height, width = image.shape[1:]
        here = points.map_id == index
        column = (points.uv[here, 0] * width).astype(int)
        row = ((1 - points.uv[here, 1]) * height).astype(int)
        found[:, torch.from_numpy(here)] = image[:, row, column]
    return found


def test_repainted_has_the_paintings_colours_on_the_surface_and_the_originals_light() -> None:
    mesh, image = shades(), picture(blob((0.6, 0.4, 0.3)))
    (start,) = repainted(mesh, image)
    assert start.shape == (3, 256, 256)
    assert 0 < start.min() < start.max() < 1
    assert quantile_distance(on_surface(mesh, start), to_tensor(image).flatten(1)) < 0.01
    light, before = (on_surface(mesh, one).mean(0) for one in (start, mesh.originals()[0]))
    assert torch.corrcoef(torch.stack([light, before]))[0, 1] > 0.7


def test_repainted_of_several_textures_and_paintings() -> None:
    dark, light = (np.full((8, 8, 3), value, np.uint8) for value in (60, 200))
    mesh = two_materials(dark, light)
    paintings = [Image.new("RGB", (32, 32), (51, 51, 102)), Image.new("RGB", (32, 32), (204, 153, 204))]
    left, right = repainted(mesh, paintings)  # half of the surface each, as half of the colours
    assert on_surface(mesh, left, right).mean(1).tolist() == pytest.approx([0.5, 0.4, 0.6], abs=0.03)
    assert left.mean() < right.mean()
    only = replace(mesh, maps=(mesh.maps[0], replace(mesh.maps[1], kept=True)))
    assert len(repainted(only, paintings)) == 1
    (first,) = repainted(only, paintings, (1.0, 0.0))
    assert first.mean((1, 2)).tolist() == pytest.approx([0.2, 0.2, 0.4], abs=0.03)


def test_a_painting_in_the_colours_of_a_mesh() -> None:
    texture = F.interpolate(blob((0.5, 0.55, 0.45), 64, seed=3).reshape(1, 3, 8, 8), (64, 64), mode="bilinear")[0]
    mesh, image = showing(make_cube(), texture), picture(blob((0.7, 0.3, 0.2)))
    moved = to_tensor(in_colors_of(image, mesh)).flatten(1)
    mean, covariance = moments(on_surface(mesh, mesh.originals()[0]))
    found_mean, found_covariance = moments(moved)
    assert torch.allclose(found_mean, mean, atol=0.01)
    assert torch.allclose(found_covariance, covariance, atol=0.15 * float(covariance.abs().max()))
    assert in_colors_of(image, mesh).size == image.size


def test_a_painting_in_the_colours_of_a_plain_mesh_is_plain() -> None:
    moved = to_tensor(in_colors_of(picture(blob((0.7, 0.3, 0.2))), make_cube()))
    assert moved.flatten(1).mean(1).tolist() == pytest.approx([128 / 255] * 3, abs=0.01)
    assert moved.flatten(1).std(1).max() < 0.01


# points


def test_points_are_evenly_on_what_is_optimised() -> None:
    mesh = two_materials()
    vertices = mesh.vertices * np.array([1.0, 2.0, 3.0])  # sides of areas 24, 12 and 8
    mesh = replace(mesh, vertices=vertices)
    points = random_points(mesh, 20000)
    places = points.between(mesh.vertices[mesh.faces])
    assert np.allclose(np.abs(places / (1, 2, 3)).max(1), 1)
    sides = np.bincount(points.face // 2, minlength=6) / 20000
    assert sides == pytest.approx(np.array([24, 24, 12, 12, 8, 8]) / 88, abs=0.015)
    assert np.abs(places.mean(0)).max() < 0.06
    assert np.array_equal(points.map_id, mesh.face_map[points.face])
    kept = replace(mesh, maps=(mesh.maps[0], replace(mesh.maps[1], kept=True)))
    assert set(random_points(kept, 500).map_id) == {0}
    assert np.array_equal(random_points(mesh, 50).bary, random_points(mesh, 50).bary)


def test_points_within_a_face_are_uniform() -> None:
    bary = random_points(make_cube(), 20000).bary
    assert bary.mean(0) == pytest.approx([1 / 3] * 3, abs=0.01)
    assert np.cov(bary.T)[0, 0] == pytest.approx(1 / 18, abs=0.002)  # of a uniform triangle


def test_colours_is_an_objective_by_name() -> None:
    assert list(colors(Image.new("RGB", (16, 16))).named_terms()) == ["colors"]


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_points_are_not_where_a_mask_keeps_the_original(share: float) -> None:
    points = random_points(masked(make_cube(), share), 500)
    assert len(points.face) == 500
    assert points.uv[:, 0].max() < share + 1 / 128
    assert len(np.unique(points.uv, axis=0)) > 100


def test_a_mask_without_white_leaves_points() -> None:
    assert len(random_points(masked(make_cube(), 0.0), 50).face) == 50
