"""Mip levels: how they are made, kept between look-ups, given by the caller and chosen."""

from __future__ import annotations

import math

import pytest
import texture_oracle as oracle
import torch
from texture_cases import (
    BOUNDARIES,
    SIZES,
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
from texopt import OptionError
from texopt.raster import portable

TEXTURES = [dr.texture, portable.texture]
MIPMAPS = ["linear-mipmap-nearest", "linear-mipmap-linear"]


def numbered(size: tuple[int, int], boundary_mode: str = "wrap") -> Arguments:
    """A texture of zeros whose custom level l is l everywhere, so that a look-up gives its own level."""
    tex = torch.zeros(1, *([6] if boundary_mode == "cube" else []), *size, 1)
    levels = oracle.mip_pyramid(tex, None)[1:]
    return {"tex": tex, "mip": [torch.full_like(level, i + 1.0) for i, level in enumerate(levels)]}


# Kept between look-ups.


@pytest.mark.parametrize("mode", MIPMAPS)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
@pytest.mark.parametrize("textures", [1, 2])
def test_constructed_levels_are_those_built_inside(mode: str, boundary: str, textures: int) -> None:
    cube = boundary == "cube"
    for size, top in [((16, 16), None), ((12, 12), 2), ((16, 16), 1)] if cube else SIZES:
        arguments = random_arguments(0, size, boundary, textures, batch=2) | {"filter_mode": mode, "max_mip_level": top}
        cotangent = random_cotangent(arguments)

        def constructed(tex: Tensor, max_mip_level: int | None, **others) -> Tensor:  # type: ignore[no-untyped-def]
            mip = dr.texture_construct_mip(tex, max_mip_level, cube)
            return dr.texture(tex, mip=mip, max_mip_level=max_mip_level, **others)

        inside = outcome(dr.texture, arguments, cotangent)
        outside = outcome(constructed, arguments, cotangent)
        assert all(torch.equal(outside[name], value) for name, value in inside.items())


def test_constructed_levels_serve_several_look_ups_with_their_own_backward_passes() -> None:
    tex = random_arguments(1, (16, 16))["tex"].requires_grad_()
    mip = dr.texture_construct_mip(tex)
    expected = torch.zeros_like(tex)
    for seed in (2, 3):
        arguments = random_arguments(seed, (16, 16)) | {"tex": tex}
        cotangent = random_cotangent(arguments)
        dr.texture(**arguments, mip=mip).backward(cotangent)
        expected += outcome(dr.texture, arguments, cotangent)["tex"]
    torch.testing.assert_close(tex.grad, expected, rtol=0, atol=1e-5)


def test_constructed_levels_of_another_size_or_kind_are_refused() -> None:
    arguments = random_arguments(4, (16, 16))
    for other in (torch.zeros(1, 8, 8, 3), torch.zeros(1, 16, 16, 4), torch.zeros(2, 16, 16, 3)):
        with pytest.raises(OptionError, match=r"^mip\b"):
            dr.texture(**arguments, mip=dr.texture_construct_mip(other))
    with pytest.raises(OptionError, match=r"^mip\b"):
        dr.texture(**arguments, mip=dr.texture_construct_mip(torch.zeros(1, 6, 16, 16, 3), cube_mode=True))
    with pytest.raises(OptionError, match=r"^tex\b"):
        dr.texture_construct_mip(torch.zeros(1, 16, 16, 3), cube_mode=True)
    with pytest.raises(OptionError, match=r"^tex\b"):
        dr.texture_construct_mip(torch.zeros(1, 6, 16, 16, 3))
    with pytest.raises(OptionError, match=r"^tex\b"):
        dr.texture_construct_mip(torch.zeros(1, 16, 16, 3).double())


# How they are made.


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize(("size", "top"), [*SIZES, ((64, 2), None), ((96, 32), 5)])
def test_levels_are_means_of_two_by_two_texels(texture, size: tuple[int, int], top: int | None) -> None:  # type: ignore[no-untyped-def]
    """Read at their texel centres, where nothing is blended."""
    tex = torch.randn(1, *size, 2, generator=seeded(5))
    for number, level in enumerate(oracle.mip_pyramid(tex[0], top)):
        v, u = ((torch.arange(n) + 0.5) / n for n in level.shape[:2])
        uv = torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)[None].contiguous()
        out = texture(tex, uv, mip_level_bias=torch.full(uv.shape[:3], float(number)), max_mip_level=top)
        torch.testing.assert_close(out[0], level, rtol=0, atol=5e-5)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", ["auto", *MIPMAPS])
@pytest.mark.parametrize(("size", "levels"), [((12, 20), 2), ((7, 5), 0), ((1, 6), 1), ((8, 24), 3)])
def test_odd_sides_are_refused_and_max_mip_level_helps(texture, mode: str, size: tuple[int, int], levels: int) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(6, size) | {"filter_mode": mode}
    for top in (None, levels + 1):
        with pytest.raises(OptionError, match=r"\blevel \d.*max_mip_level") as caught:
            texture(**arguments, max_mip_level=top)
        assert any(f"level {n}" in str(caught.value) for n in (levels, levels + 1))
        with pytest.raises(OptionError, match="max_mip_level"):
            dr.texture_construct_mip(arguments["tex"], top)
    assert texture(**arguments, max_mip_level=levels).isfinite().all()
    assert texture(**(arguments | {"filter_mode": "linear"})).isfinite().all()


def test_odd_sides_of_cube_maps_are_refused_and_max_mip_level_helps() -> None:
    arguments = random_arguments(6, (12, 12), "cube")
    for texture in TEXTURES:
        with pytest.raises(OptionError, match=r"\blevel \d.*max_mip_level"):
            texture(**arguments)
        assert texture(**arguments, max_mip_level=2).isfinite().all()


# Given by the caller.


@pytest.mark.parametrize("mode", MIPMAPS)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "cube"])
@pytest.mark.parametrize("textures", [1, 2])
def test_custom_stack_agrees_with_the_oracle(mode: str, boundary: str, textures: int) -> None:
    arguments = random_arguments(7, (16, 16), boundary, textures, batch=2, shape=(2, 4)) | {"filter_mode": mode}
    for levels in (0, 1, 3):
        arguments["mip"] = custom_stack(levels, arguments["tex"], levels)
        cotangent = random_cotangent(arguments)
        expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
        for texture in TEXTURES:
            assert_same(outcome(texture, arguments, cotangent), expected, 1e-4)


@pytest.mark.parametrize("texture", TEXTURES)
def test_custom_stack_of_the_textures_own_levels_changes_nothing(texture) -> None:  # type: ignore[no-untyped-def]
    """And its gradients, carried down to the texture by autograd, are those of the levels built inside."""
    arguments = random_arguments(8, (8, 16), batch=2)
    cotangent = random_cotangent(arguments)

    def with_own_levels(tex: Tensor, **others) -> Tensor:  # type: ignore[no-untyped-def]
        out: Tensor = texture(tex, mip=oracle.mip_pyramid(tex, None)[1:], **others)
        return out

    assert_same(outcome(with_own_levels, arguments, cotangent), outcome(texture, arguments, cotangent), 1e-5)


@pytest.mark.parametrize("texture", TEXTURES)
def test_custom_stack_is_not_looked_at_without_mipmaps(texture) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(9, (8, 8)) | {"filter_mode": "linear"}
    without = texture(**arguments)
    assert torch.equal(texture(**arguments, mip=custom_stack(0, arguments["tex"], 2)), without)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 4, 8, 3), (1, 4, 4, 3)],
        [(1, 4, 8, 3), (1, 2, 4, 3), (1, 1, 2, 3), (1, 1, 1, 3), (1, 1, 1, 3)],  # more than there are
        [(1, 2, 4, 3)],
        [(1, 4, 8, 4)],
        [(2, 4, 8, 3)],
        [(4, 8, 3)],
    ],
)
def test_custom_stack_of_wrong_shape_is_refused(shapes: list[tuple[int, ...]]) -> None:
    arguments = random_arguments(10, (8, 16), batch=2)
    with pytest.raises(OptionError, match=r"^mip\b"):
        dr.texture(**arguments, mip=[torch.zeros(shape) for shape in shapes])


def test_custom_stack_of_wrong_type_is_refused() -> None:
    arguments = random_arguments(10, (8, 16))
    for mip in ([torch.zeros(1, 4, 8, 3).double()], torch.zeros(1, 4, 8, 3), "levels"):
        with pytest.raises(OptionError, match=r"^mip\b"):
            dr.texture(**arguments, mip=mip)


# How they are chosen.


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("size", [(16, 16), (8, 64), (1, 32)])
def test_level_is_log2_of_the_longer_axis_plus_the_bias(texture, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    arguments = numbered(size)
    others = random_arguments(11, size)
    uv, uv_da, bias = others["uv"], others["uv_da"], others["mip_level_bias"]
    height, width = size
    texels = uv_da.double().reshape(9, 13, 2, 2) * torch.tensor([[width], [height]])
    level = torch.linalg.matrix_norm(texels, 2).log2()[None]
    top = len(arguments["mip"])
    for expected, given in (
        (level, {"uv_da": uv_da}),
        (level + bias, {"uv_da": uv_da, "mip_level_bias": bias}),
        (2 * bias + 2, {"mip_level_bias": 2 * bias + 2}),
    ):
        assert (expected < 0).any()
        assert (expected > top).any()
        clamped = expected.clamp(0, top)
        out = texture(**arguments, uv=uv, **given)[..., 0]
        torch.testing.assert_close(out, clamped, rtol=0, atol=1e-4, check_dtype=False)
        floored = texture(**arguments, uv=uv, **given, filter_mode="linear-mipmap-nearest")[..., 0]
        torch.testing.assert_close(floored, clamped.floor(), rtol=0, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("texture", TEXTURES)
def test_level_of_a_cube_map_is_that_of_its_face(texture) -> None:  # type: ignore[no-untyped-def]
    """Directions that run over a face as a grid of a known number of texels a pixel, at any length."""
    arguments = numbered((64, 64), "cube")
    generator = seeded(12)
    for face in range(6):
        middle, right, down = oracle.FACES[face]
        s, t = 2 * torch.rand(2, 5, 7, 1, generator=generator).double() - 1
        lengths = 10 ** torch.randn(5, 7, 1, generator=generator).double()
        growth = torch.randn(2, 5, 7, 1, generator=generator).double()  # of the length: it moves nothing on the face
        on_face = middle + s * right + t * down
        pixel = 2 * torch.tensor([[3.0, 1.0], [-2.0, 5.0]]).double() / 64  # [s and t, X and Y] of [-1,1]
        moved = torch.stack([pixel[0, i] * right + pixel[1, i] * down for i in range(2)])
        derivatives = lengths * (moved[:, None, None] + growth * on_face)  # [2,5,7,3]
        uv, uv_da = (lengths * on_face)[None].float(), derivatives.permute(1, 2, 3, 0).reshape(1, 5, 7, 6).float()
        out = texture(**arguments, uv=uv, uv_da=uv_da, boundary_mode="cube")
        expected = math.log2(float(torch.linalg.svdvals(pixel * 32)[0]))
        torch.testing.assert_close(out, torch.full_like(out, expected), rtol=0, atol=2e-4)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_footprints_of_extreme_sizes_take_the_finest_or_the_coarsest_level(texture, boundary: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(7, (8, 8), boundary)
    direction = arguments["uv_da"] / arguments["uv_da"].norm(dim=-1, keepdim=True)
    if boundary == "cube":
        arguments["uv"] /= arguments["uv"].norm(dim=-1, keepdim=True)
    del arguments["mip_level_bias"]
    for magnitude, top in ((0.0, 0), (1e-30, 0), (1e15, None), (1e30, None)):
        arguments["uv_da"] = magnitude * direction
        results = outcome(texture, arguments, random_cotangent(arguments))
        bias = torch.full(direction.shape[:3], 0.0 if top == 0 else 3.0)
        expected = texture(arguments["tex"], arguments["uv"], None, bias, boundary_mode=boundary)
        torch.testing.assert_close(results["out"], expected, rtol=0, atol=1e-6)
        assert not results["uv_da"].any()


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_footprints_of_extreme_sizes_can_be_brought_back_by_the_bias(texture, boundary: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(8, (16, 16), boundary)
    arguments["mip_level_bias"].zero_()
    cotangent = random_cotangent(arguments)
    expected = outcome(texture, arguments, cotangent)
    assert expected["mip_level_bias"].any()
    for octaves in (-40, 40):
        shifted = {"uv_da": arguments["uv_da"] * 2.0**octaves, "mip_level_bias": torch.full((1, 9, 13), -1.0 * octaves)}
        results = outcome(texture, arguments | shifted, cotangent)
        results["uv_da"] *= 2.0**octaves
        assert_same(results, expected, 5e-4)
