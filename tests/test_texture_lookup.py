"""The texture look-up: kernels, portable form and oracle agree; mipmaps do what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import texture_oracle as oracle
import torch
from texture_cases import (
    BOUNDARIES,
    MODES,
    SIZES,
    assert_same,
    custom_stack,
    outcome,
    random_arguments,
    random_cotangent,
    seeded,
)
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError, orbit
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.raster import portable
from texopt.render.look_up import look_up
from texopt.render.scene import rasterize

TEXTURES = [dr.texture, portable.texture]


def border_points(size: tuple[int, int]) -> Tensor:
    """Every texel corner and centre inside, on the borders and one texture beyond: [1,h,w,2]."""
    v, u = (torch.arange(-2 * n, 4 * n + 1) / (2 * n) for n in size)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)[None].contiguous()


# Parity.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("size", "top"), SIZES)
def test_values_and_gradients_agree_with_the_oracle(
    mode: str, boundary: str, size: tuple[int, int], top: int | None
) -> None:
    arguments = random_arguments(0, size, boundary, batch=2, shape=(3, 5)) | {"filter_mode": mode, "max_mip_level": top}
    cotangent = random_cotangent(arguments)
    expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
    assert_same(outcome(portable.texture, arguments, cotangent, torch.float64), expected, 1e-9)
    for texture in TEXTURES:
        assert_same(outcome(texture, arguments, cotangent), expected, 5e-5)


@pytest.mark.parametrize("mode", ["linear-mipmap-nearest", "linear-mipmap-linear"])
@pytest.mark.parametrize("absent", ["uv_da", "mip_level_bias"])
@pytest.mark.parametrize("top", [0, 1, 2, 9, None])
def test_values_and_gradients_agree_with_the_oracle_where_derivatives_or_bias_are_absent(
    mode: str, absent: str, top: int | None
) -> None:
    arguments = random_arguments(1, (8, 16), batch=2, shape=(3, 5)) | {"filter_mode": mode, "max_mip_level": top}
    del arguments[absent]
    if absent == "uv_da":
        arguments["mip_level_bias"] += 1.5
    cotangent = random_cotangent(arguments)
    expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
    for texture in TEXTURES:
        assert_same(outcome(texture, arguments, cotangent), expected, 5e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("textures", [1, 3])
def test_kernel_and_portable_agree_in_values_and_gradients(mode: str, boundary: str, textures: int) -> None:
    for size, top in SIZES[1:3]:
        arguments = random_arguments(2, size, boundary, textures, batch=3, shape=(12, 15), channels=2 + textures)
        arguments |= {"filter_mode": mode, "max_mip_level": top}
        cotangent = random_cotangent(arguments)
        expected = outcome(portable.texture, arguments, cotangent, torch.float64)
        assert_same(outcome(dr.texture, arguments, cotangent), expected, 5e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [(4, 4), (2, 8)])
def test_kernel_and_portable_agree_exactly_on_borders_corners_and_centres(
    mode: str, boundary: str, size: tuple[int, int]
) -> None:
    uv = border_points(size)
    arguments = random_arguments(1, size, boundary, shape=tuple(uv.shape[1:3])) | {"uv": uv, "filter_mode": mode}
    expected = portable.texture(**{k: v.double() if isinstance(v, Tensor) else v for k, v in arguments.items()})
    for texture in TEXTURES:
        torch.testing.assert_close(texture(**arguments), expected, rtol=0, atol=1e-5, check_dtype=False)
    some = torch.randperm(uv.shape[1] * uv.shape[2], generator=seeded(1))[:25]
    for name in ("uv", "uv_da", "mip_level_bias"):
        arguments[name] = arguments[name].flatten(1, 2)[:, None, some].double()
    few = oracle.texture(**(arguments | {"tex": arguments["tex"].double()}))
    torch.testing.assert_close(expected.flatten(1, 2)[:, some], few[:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("size", "top"), SIZES)
def test_gradient_is_the_adjoint_of_the_lookup(
    mode: str, boundary: str, size: tuple[int, int], top: int | None
) -> None:
    """<J t, g> = <t, J' g>, the look-up being linear in the texture."""
    arguments = random_arguments(4, size, boundary, textures=2, batch=2)
    cotangent = random_cotangent(arguments)
    results = outcome(dr.texture, arguments | {"filter_mode": mode, "max_mip_level": top}, cotangent)
    pairs = ((results["out"], cotangent), (arguments["tex"], results["tex"]))
    forward, backward = ((a.double() * b.double()).sum().item() for a, b in pairs)
    assert forward == pytest.approx(backward, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("texture", TEXTURES)
def test_filter_mode_auto_is_trilinear_where_there_are_derivatives_or_a_bias(texture) -> None:  # type: ignore[no-untyped-def]
    tex, uv, uv_da, bias, _ = random_arguments(5, (16, 16)).values()
    trilinear = texture(tex, uv, uv_da, filter_mode="linear-mipmap-linear")
    assert torch.equal(texture(tex, uv, uv_da), trilinear)
    assert torch.equal(texture(tex, uv, uv_da, torch.zeros_like(bias)), trilinear)
    biased = texture(tex, uv, mip_level_bias=bias, filter_mode="linear-mipmap-linear")
    assert torch.equal(texture(tex, uv, None, bias), biased)
    linear = texture(tex, uv, filter_mode="linear")
    assert torch.equal(texture(tex, uv), linear)
    assert torch.equal(texture(tex, uv, uv_da, bias, filter_mode="linear"), linear)
    assert torch.equal(texture(tex, uv, uv_da, bias, max_mip_level=0), linear)
    nearest_level = texture(tex, uv, uv_da, bias, filter_mode="linear-mipmap-nearest", max_mip_level=0)
    assert torch.equal(nearest_level, linear)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
def test_what_is_not_finite_gives_zero_or_the_finest_level_and_no_gradient(mode: str, boundary: str) -> None:
    arguments = random_arguments(6, (8, 8), boundary, shape=(6, 5)) | {"filter_mode": mode}
    bad = [float("nan"), float("inf"), -float("inf")]
    for i, value in enumerate(bad):
        arguments["uv"][0, i, i, i % arguments["uv"].shape[-1]] = value
        arguments["uv_da"][0, 3 + i, :, i] = value
    arguments["mip_level_bias"][:] = 0
    cotangent = random_cotangent(arguments)
    finest = arguments | {"uv_da": torch.where(arguments["uv_da"].isfinite().all(-1, True), arguments["uv_da"], 0.0)}
    expected = outcome(oracle.texture, finest, cotangent, torch.float64)
    for texture in TEXTURES:
        results = outcome(texture, arguments, cotangent)
        results["mip_level_bias"][0, 3:], expected["mip_level_bias"][0, 3:] = 0, 0  # where there is no level to shift
        assert_same(results, expected, 5e-5)
        for i in range(3):
            assert not results["out"][0, i, i].any()
            assert not results["uv"][0, i, i].any()
            assert not results["uv_da"][0, i, i].any()
            assert not results["uv_da"][0, 3 + i].any()


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", ["wrap", "cube"])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_looking_up_nothing_gives_nothing(texture, mode: str, boundary: str, shape: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(8, (8, 8), boundary, shape=shape) | {"filter_mode": mode}
    results = outcome(texture, arguments, random_cotangent(arguments))
    assert results["out"].shape == (1, *shape, 3)
    assert not results["tex"].any()


@pytest.mark.parametrize("texture", TEXTURES)
def test_wrapping_holds_far_from_the_origin(texture) -> None:  # type: ignore[no-untyped-def]
    """Tiled surfaces have coordinates of hundreds: what is left of float32 there is looked up exactly."""
    tex = torch.rand(1, 48, 48, 3, generator=seeded(7))
    for repeats in (-1000.0, -1.0, 5.0, 1000.0):
        uv = torch.rand(1, 20, 20, 2, generator=seeded(7)) + repeats
        near = texture(tex, uv - uv.floor(), filter_mode="linear")
        torch.testing.assert_close(texture(tex, uv, filter_mode="linear"), near, rtol=0, atol=2e-5)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("boundary", ["clamp", "zero"])
@pytest.mark.parametrize("mode", MODES)
def test_points_far_outside_are_on_the_border_or_zero(texture, boundary: str, mode: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(8, (8, 8), boundary) | {"filter_mode": mode}
    for far in (10.0, 1e4, 1e12, 3e38):
        arguments["uv"] = torch.where(arguments["uv"] > 0.5, far, -far)
        results = outcome(texture, arguments, random_cotangent(arguments))
        assert not results["uv"].any()
        border = texture(**(arguments | {"uv": (arguments["uv"] > 0.5).float()}))
        expected = torch.zeros_like(border) if boundary == "zero" else border
        torch.testing.assert_close(results["out"], expected, rtol=0, atol=1e-6)


# Values known by hand.


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize(
    ("u", "v", "wrap", "clamp", "zero"),
    [
        (0.25, 0.25, 0.0, 0.0, 0.0),  # texel centres
        (0.75, 0.25, 1.0, 1.0, 1.0),
        (0.25, 0.75, 2.0, 2.0, 2.0),
        (0.5, 0.5, 1.5, 1.5, 1.5),  # the middle of all four
        (0.375, 0.25, 0.25, 0.25, 0.25),
        (0.375, 0.625, 1.75, 1.75, 1.75),
        (0.0, 0.25, 0.5, 0.0, 0.0),  # left border: halfway between the last column and the first, or the first alone
        (1.0, 0.25, 0.5, 1.0, 0.5),
        (0.25, 1.0, 1.0, 2.0, 1.0),
        (1.0, 1.0, 1.5, 3.0, 0.75),
        (0.0, 0.0, 1.5, 0.0, 0.0),
        (1.25, -0.75, 0.0, 1.0, 0.0),
        (-0.125, 0.25, 0.75, 0.0, 0.0),
        (1.125, 0.75, 2.25, 3.0, 0.75),
    ],
)
def test_magnified_texture_is_bilinear(  # type: ignore[no-untyped-def]
    texture, u: float, v: float, wrap: float, clamp: float, zero: float
) -> None:
    tex = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, ..., None]
    uv = torch.tensor([u, v]).reshape(1, 1, 1, 2)
    tiny = torch.full((1, 1, 1, 4), 1e-3)
    for boundary, expected in (("wrap", wrap), ("clamp", clamp), ("zero", zero)):
        for mode in MODES[1:]:
            out = texture(tex, uv, tiny, filter_mode=mode, boundary_mode=boundary)
            assert out.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("texture", TEXTURES)
def test_nearest_takes_the_texel_that_holds_the_point(texture) -> None:  # type: ignore[no-untyped-def]
    tex = torch.arange(12.0).reshape(1, 3, 4, 1)
    uv = torch.tensor([[0.1, 0.1], [0.3, 0.5], [0.99, 0.99], [1.0, 0.0], [-0.01, 0.5], [0.5, 1.1]]).reshape(1, 1, 6, 2)
    for boundary, expected in (
        ("wrap", [0, 5, 11, 0, 7, 2]),
        ("clamp", [0, 5, 11, 3, 4, 10]),
        ("zero", [0, 5, 11, 0, 0, 0]),
    ):
        assert texture(tex, uv, filter_mode="nearest", boundary_mode=boundary).flatten().tolist() == expected


@pytest.mark.parametrize("texture", TEXTURES)
def test_mip_level_is_log2_of_the_footprints_longer_axis(texture) -> None:  # type: ignore[no-untyped-def]
    """At the centre of a block of 2^l texels a side level l is the block's mean; between levels the blend is linear."""
    tex = torch.rand(1, 32, 32, 1, generator=seeded(8))
    mean2, mean4 = tex[0, :2, :2].mean(), tex[0, :4, :4].mean()

    def sample(centre: float, uv_da: list[float]) -> float:
        uv = torch.full((1, 1, 1, 2), centre / 32)
        return float(texture(tex, uv, torch.tensor(uv_da).reshape(1, 1, 1, 4) / 32))

    for footprint in (
        [4.0, 0, 0, 4],
        [0.0, 4, 4, 0],
        [4.0, 0, 0, 1],
        [0.0, 0, 4, 0],
        [-2.4, 3.2, 0, 0],
        [2.0, 2, -2, 2 + 1e-9],
    ):
        major = np.linalg.svd(np.reshape(footprint, (2, 2)))[1][0]
        if major == pytest.approx(4.0):
            assert sample(2.0, footprint) == pytest.approx(mean4.item(), abs=1e-5)
    level1 = sample(2.0, [2.0, 0, 0, 2.0])
    level2 = sample(2.0, [4.0, 0, 0, 4.0])
    assert sample(1.0, [2.0, 0, 0, 2.0]) == pytest.approx(mean2.item(), abs=1e-5)
    between = sample(2.0, [2 * 2**0.25, 0, 0, 2 * 2**0.25])
    assert between == pytest.approx(0.75 * level1 + 0.25 * level2, abs=1e-5)
    assert sample(3.0, [1e5, 0, 0, 1e5]) == pytest.approx(tex.mean().item(), abs=1e-5)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", ["wrap", "clamp", "cube"])
def test_constant_texture_stays_constant(texture, mode: str, boundary: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(9, (8, 8) if boundary == "cube" else (8, 16), boundary)
    out = texture(**(arguments | {"tex": torch.full_like(arguments["tex"], 0.7), "filter_mode": mode}))
    torch.testing.assert_close(out, torch.full_like(out, 0.7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("texture", TEXTURES)
def test_minified_checkerboard_is_grey_with_mipmaps_and_aliases_without(texture) -> None:  # type: ignore[no-untyped-def]
    """A stripe of one texel seen at 8.4 texels a pixel: what a coarse pattern remains of it is aliasing."""
    row, column = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    checker = ((row + column) % 2).float()[None, ..., None]
    step = 8.4 / 256
    at = (torch.arange(30) + 0.5) * step
    uv = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)[None].contiguous()
    uv_da = torch.tensor([step, 0, 0, step]).expand(1, 30, 30, 4).contiguous()
    with_mipmaps, without = texture(checker, uv, uv_da), texture(checker, uv)
    torch.testing.assert_close(with_mipmaps, torch.full_like(with_mipmaps, 0.5), rtol=0, atol=1e-6)
    assert without.std() > 0.15
    spectrum = torch.fft.rfft2(without[0, ..., 0] - without.mean()).abs()
    assert spectrum.max() > 5 * spectrum.mean()


# Determinism, and errors.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
def test_bits_do_not_depend_on_threads_or_run(mode: str, boundary: str) -> None:
    """Of more pixels than one thread takes at a time."""
    size = (32, 32) if boundary == "cube" else (32, 64)
    arguments = random_arguments(10, size, boundary, batch=2, shape=(150, 150)) | {"filter_mode": mode}
    cotangent = random_cotangent(arguments)
    if boundary in ("zero", "cube"):
        arguments["mip"] = custom_stack(0, arguments["tex"], 3)
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        results.append(outcome(dr.texture, arguments, cotangent))
    for name, value in results[0].items():
        assert all(torch.equal(result[name], value) for result in results), name


@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_arguments_that_are_not_contiguous_are_read_rightly(boundary: str) -> None:
    arguments = random_arguments(11, (16, 16), boundary, textures=2, batch=2)
    arguments["mip"] = custom_stack(0, arguments["tex"], 2)
    cotangent = random_cotangent(arguments)

    def strided(x: Tensor) -> Tensor:
        return torch.stack([x.transpose(1, 2), torch.full_like(x.transpose(1, 2), 9)], -1)[..., 0].transpose(1, 2)

    def of_strided(**arguments) -> Tensor:  # type: ignore[no-untyped-def]
        mip = [strided(level) for level in arguments.pop("mip")]
        views = {k: strided(v) if isinstance(v, Tensor) else v for k, v in arguments.items()}
        assert not any(v.is_contiguous() for v in [*mip, *views.values()] if isinstance(v, Tensor))
        return dr.texture(**views, mip=mip)

    expected = outcome(dr.texture, arguments, cotangent)
    for results in (
        outcome(of_strided, arguments, cotangent),
        outcome(dr.texture, arguments, strided(cotangent)),
    ):
        assert all(torch.equal(results[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"tex": torch.zeros(1, 4, 4, 3).double()}, "tex"),
        ({"tex": torch.zeros(4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(3, 4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(1, 0, 4, 3)}, "tex"),
        ({"tex": torch.zeros(1, 6, 4, 4, 3)}, "tex"),
        ({"uv": torch.zeros(2, 5, 6, 2).double()}, "uv"),
        ({"uv": torch.zeros(2, 5, 6, 3)}, "uv"),
        ({"uv_da": torch.zeros(2, 5, 6, 4).double()}, "uv_da"),
        ({"uv_da": torch.zeros(2, 5, 6, 2)}, "uv_da"),
        ({"uv_da": torch.zeros(2, 5, 6, 6)}, "uv_da"),
        ({"uv_da": torch.zeros(1, 5, 6, 4)}, "uv_da"),
        ({"mip_level_bias": torch.zeros(2, 5, 6, 1)}, "mip_level_bias"),
        ({"mip_level_bias": torch.zeros(2, 5, 6).double()}, "mip_level_bias"),
        ({"mip_level_bias": torch.zeros(1, 5, 6)}, "mip_level_bias"),
        ({"filter_mode": "cubic"}, "filter_mode"),
        ({"filter_mode": "linear-mipmap-linear", "uv_da": None}, "filter_mode"),
        ({"filter_mode": "linear-mipmap-nearest", "uv_da": None}, "filter_mode"),
        ({"boundary_mode": "mirror"}, "boundary_mode"),
        ({"max_mip_level": -1}, "max_mip_level"),
    ],
)
def test_texture_names_the_argument_that_is_wrong(changed: dict[str, object], named: str) -> None:
    arguments = {
        "tex": torch.zeros(1, 4, 4, 3),
        "uv": torch.zeros(2, 5, 6, 2),
        "uv_da": torch.zeros(2, 5, 6, 4),
    } | changed
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.texture(**arguments)  # type: ignore[arg-type]


# Orientation, from image to rendering.


def test_red_upper_left_quadrant_is_upper_left_on_a_quad_seen_from_the_front() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    quad = Mesh(
        name="quad", vertices=np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]), faces=faces,
        uvs=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), face_uvs=faces, normals=None, face_normals=None,
        maps=(TextureMap(np.zeros((1, 1, 3), np.uint8)),),
    )  # fmt: skip
    quadrants = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 0]]])  # red, green; blue, yellow
    image = quadrants.permute(2, 0, 1).repeat_interleave(32, 1).repeat_interleave(32, 2)
    fragments = rasterize(quad, orbit(torch.zeros(1), torch.zeros(1)), 64)
    seen = look_up(image, fragments)[0]  # [3,H,W]
    for row, y in enumerate((20, 44)):
        for column, x in enumerate((20, 44)):
            torch.testing.assert_close(seen[:, y, x], quadrants[row, column])
    from_behind = look_up(image, rasterize(quad, orbit(torch.tensor([180.0]), torch.zeros(1)), 64))[0]
    torch.testing.assert_close(from_behind[:, 20, 44], quadrants[0, 0])
