"""Gradients of the texture look-up against differences and derivatives known without the oracle."""

from __future__ import annotations

import math

import pytest
import texture_oracle as oracle
import torch
from texture_cases import (
    BOUNDARIES,
    MODES,
    Arguments,
    assert_same,
    custom_stack,
    outcome,
    random_arguments,
    random_cotangent,
    seeded,
)
from torch import Tensor

import texopt.raster as dr
from texopt.raster import portable

pytestmark = pytest.mark.parametrize("texture", [dr.texture, portable.texture])


def within_cells(seed: int, size: int, count: int) -> Tensor:
    """Random coordinates with a tenth of a texel of room on both sides to the next texel centre."""
    generator = seeded(seed)
    texel = torch.randint(size, (1, 1, count, 2), generator=generator)
    return (texel + 0.65 + 0.7 * torch.rand(1, 1, count, 2, generator=generator)) / size


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradient_to_uv_is_the_slope_of_the_bilinear_patch(texture, boundary: str, axis: int) -> None:  # type: ignore[no-untyped-def]
    """Between texel centres the look-up is linear along each axis, so that a difference is the derivative."""
    size = 16
    tex = torch.randn(1, size, size, 1, generator=seeded(0))
    uv = within_cells(1, size, 200)
    arguments = {"tex": tex, "uv": uv, "filter_mode": "linear", "boundary_mode": boundary}
    step = torch.zeros(2)
    step[axis] = 0.1 / size
    ahead, behind = (texture(**(arguments | {"uv": at})) for at in (uv + step, uv - step))
    slope = (ahead - behind)[..., 0] / (0.2 / size)
    results = outcome(texture, arguments, torch.ones(1, 1, 200, 1))
    torch.testing.assert_close(results["uv"][..., axis], slope, rtol=0, atol=1e-3)
    if boundary == "clamp":
        assert not results["uv"][..., axis][uv[..., axis] > 1 - 0.5 / size].any()


def test_gradient_to_uv_is_the_derivative_of_a_smooth_texture(texture) -> None:  # type: ignore[no-untyped-def]
    centres = (torch.arange(64) + 0.5) / 64
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    tex = (torch.sin(2 * math.pi * u) * torch.cos(2 * math.pi * v))[None, ..., None]
    uv = 3 * torch.rand(1, 20, 20, 2, generator=seeded(2)) - 1
    slope = outcome(texture, {"tex": tex, "uv": uv}, torch.ones(1, 20, 20, 1))["uv"]
    a, b = (2 * math.pi * uv).unbind(-1)
    expected = 2 * math.pi * torch.stack([a.cos() * b.cos(), -a.sin() * b.sin()], -1)
    torch.testing.assert_close(slope, expected, rtol=0, atol=2 * math.pi * math.pi / 64 * 1.5)


def test_gradient_to_the_bias_is_the_difference_between_two_levels(texture) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(3, (16, 16), shape=(8, 8))
    generator = seeded(3)
    level = torch.randint(4, (1, 8, 8), generator=generator) + 0.2 + 0.6 * torch.rand(1, 8, 8, generator=generator)
    del arguments["uv_da"]
    cotangent = random_cotangent(arguments)

    def at_level(level: Tensor) -> Tensor:
        return (texture(**(arguments | {"mip_level_bias": level})) * cotangent).sum(-1)

    slope = (at_level(level + 0.1) - at_level(level - 0.1)) / 0.2
    results = outcome(texture, arguments | {"mip_level_bias": level}, cotangent)
    torch.testing.assert_close(results["mip_level_bias"], slope, rtol=0, atol=1e-4)
    for beyond in (-level, level + 5):
        assert not outcome(texture, arguments | {"mip_level_bias": beyond}, cotangent)["mip_level_bias"].any()


@pytest.mark.parametrize("boundary", ["wrap", "cube"])
@pytest.mark.parametrize("shape", ["any", "round", "line"])
def test_gradient_to_the_footprint_is_finite_and_right_along_its_scale(texture, boundary: str, shape: str) -> None:  # type: ignore[no-untyped-def]
    """A footprint twice as large is a level higher, so <d level / d uv_da, uv_da> = 1 / ln 2; even where it is round
    and the longer axis has no one direction, and where it has but one axis."""
    arguments = random_arguments(4, (32, 32), boundary, shape=(4, 6))
    arguments["mip_level_bias"].zero_()
    uv_da = torch.randn(1, 4, 6, arguments["uv_da"].shape[-1], generator=seeded(4))
    if boundary == "cube":
        arguments["uv"] = torch.tensor([0.3, -0.2, 1.0]).expand(1, 4, 6, 3).clone()
        arguments["uv"] /= 1 + torch.rand(1, 4, 6, 1, generator=seeded(5))
    if shape == "round":
        uv_da = torch.zeros_like(uv_da)
        uv_da[..., 0], uv_da[..., 3] = 1, 1
        if boundary == "cube":  # on the face +z (x, -y, 1): a motion of x and y alone
            uv_da = uv_da * arguments["uv"][..., 2:]
    if shape == "line":
        uv_da[..., 1::2] = 0
    uv_da *= 0.15 / uv_da.norm(dim=-1, keepdim=True)  # a few texels of the 32
    arguments["uv_da"] = uv_da
    results = outcome(texture, arguments, random_cotangent(arguments))
    assert all(value.isfinite().all() for value in results.values())
    along = (results["uv_da"] * uv_da).sum(-1)
    assert (results["mip_level_bias"] != 0).sum() > 18  # of 24: the level is not clamped
    torch.testing.assert_close(along, results["mip_level_bias"] / math.log(2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["nearest", "linear", "linear-mipmap-nearest"])
def test_only_trilinear_look_ups_have_gradients_to_the_level(texture, mode: str) -> None:  # type: ignore[no-untyped-def]
    for boundary in (*BOUNDARIES, "cube"):
        arguments = random_arguments(5, (8, 8), boundary) | {"filter_mode": mode}
        results = outcome(texture, arguments, random_cotangent(arguments))
        assert not results["uv_da"].any()
        assert not results["mip_level_bias"].any()
        assert bool(results["uv"].any()) == (mode != "nearest")
        assert results["tex"].any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_each_gradient_is_the_same_asked_for_alone(texture, mode: str, boundary: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(6, (8, 8), boundary, batch=2) | {"filter_mode": mode}
    arguments["mip"] = custom_stack(0, arguments["tex"], 3)
    cotangent = random_cotangent(arguments)
    together = outcome(texture, arguments, cotangent)
    for name in ("tex", "uv", "uv_da", "mip_level_bias", "mip"):

        def alone(name: str = name, **leaves) -> Tensor:  # type: ignore[no-untyped-def]
            for other in leaves.keys() & {"tex", "uv", "uv_da", "mip_level_bias"} - {name}:
                leaves[other] = leaves[other].detach()
            if name != "mip":
                leaves["mip"] = [level.detach() for level in leaves["mip"]]
            out: Tensor = texture(**leaves)
            return out if out.requires_grad else out + torch.zeros((), requires_grad=True)

        results = outcome(alone, arguments, cotangent)
        for key in (key for key in results if key.split()[0] == name):
            torch.testing.assert_close(results[key], together[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_runs_of_equal_pixels_with_one_that_differs(texture, boundary: str) -> None:  # type: ignore[no-untyped-def]
    """Background is long runs of one coordinate: whatever shortcut is taken there must look at every argument."""
    base = random_arguments(7, (8, 8), boundary, textures=2, shape=(1, 1))
    base["uv_da"] = base["uv_da"] / base["uv_da"].norm() * base["uv"].norm() * 0.3
    base["mip_level_bias"][:] = 1.2
    columns = {name: base[name].expand(2, 1, 5, *base[name].shape[3:]) for name in ("uv", "uv_da", "mip_level_bias")}
    for name in columns:
        for component in range(columns[name].shape[-1] if name != "mip_level_bias" else 1):
            arguments: Arguments = base | {key: value.clone() for key, value in columns.items()}
            values = arguments[name] if name == "mip_level_bias" else arguments[name][..., component]
            values[0, 0, 2] *= 1.3
            del arguments["uv_da" if name == "mip_level_bias" else "mip_level_bias"]
            cotangent = random_cotangent(arguments)
            expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
            assert_same(outcome(texture, arguments, cotangent), expected, 5e-5)


@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
def test_pixels_without_cotangent_have_no_gradient(texture, boundary: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(8, (8, 8), boundary)
    cotangent = random_cotangent(arguments)
    cotangent[:, ::2] = 0
    results = outcome(texture, arguments, cotangent)
    for name in ("uv", "uv_da", "mip_level_bias"):
        assert not results[name][:, ::2].any()
        assert results[name][:, 1::2].any()


def test_expanded_arguments_have_the_sum_of_their_pixels_gradients(texture) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(9, (16, 16))
    uv_da = torch.tensor([0.1, 0.02, -0.03, 0.15]).requires_grad_()
    texture(arguments["tex"], arguments["uv"], uv_da.expand(1, 9, 13, 4)).sum().backward()
    arguments |= {"uv_da": uv_da.detach().expand(1, 9, 13, 4), "mip_level_bias": None}
    expected = outcome(texture, arguments, torch.ones(1, 9, 13, 3))["uv_da"].sum((0, 1, 2))
    torch.testing.assert_close(uv_da.grad, expected, rtol=1e-4, atol=1e-4)
