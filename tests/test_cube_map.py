"""Cube maps: agreement with the oracle, the documented faces, and no sign of the cube where faces meet."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import texture_oracle as oracle
import torch
from texture_cases import MODES, assert_same, outcome, random_arguments, random_cotangent, seeded
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError
from texopt.raster import portable

TEXTURES = [dr.texture, portable.texture]
ROTATIONS = [
    matrix
    for order in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
    if torch.det(matrix := torch.diag(torch.tensor(signs))[:, list(order)]) > 0
]


def smooth(direction: Tensor) -> Tensor:
    """Three smooth functions of a direction, whose slopes by its angle are below three: [...,3] -> [...,3]."""
    x, y, z = (direction / direction.norm(dim=-1, keepdim=True)).unbind(-1)
    return torch.stack([(2 * x + y).sin(), x * y + z, (z - 1.5 * y).cos()], -1)


def great_circles(seed: int, count: int, points: int) -> Tensor:
    """Directions along circles around the origin: random, through corners, along edges: [n,points,3]."""
    axes = torch.randn(count, 2, 3, generator=seeded(seed)).double()
    special = [[[1, 1, 1], [1, -1, 1]], [[1, 1, 1], [1, -1, -1]], [[1, 1, 0], [0, 0, 1]], [[0, 1, 1], [0, 1, -1]]]
    first, second = torch.linalg.qr(torch.cat([axes, torch.tensor(special).double()]).mT)[0].unbind(-1)
    angle = torch.linspace(0, 2 * torch.pi, points).double()[:, None]
    return angle.cos() * first[:, None] + angle.sin() * second[:, None]


# Parity.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "top"), [(8, None), (1, None), (2, None), (12, 2), (5, 0)])
def test_values_and_gradients_agree_with_the_oracle(mode: str, size: int, top: int | None) -> None:
    arguments = random_arguments(0, (size, size), "cube", batch=2, shape=(3, 5))
    arguments |= {"filter_mode": mode, "max_mip_level": top}
    cotangent = random_cotangent(arguments)
    expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
    assert_same(outcome(portable.texture, arguments, cotangent, torch.float64), expected, 1e-8)
    for texture in TEXTURES:
        assert_same(outcome(texture, arguments, cotangent), expected, 1e-4)


@pytest.mark.parametrize("absent", ["uv_da", "mip_level_bias"])
def test_values_and_gradients_agree_with_the_oracle_where_derivatives_or_bias_are_absent(absent: str) -> None:
    arguments = random_arguments(1, (8, 8), "cube", textures=2, batch=2, shape=(3, 5))
    del arguments[absent]
    cotangent = random_cotangent(arguments)
    expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
    for texture in TEXTURES:
        assert_same(outcome(texture, arguments, cotangent), expected, 1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("textures", [1, 3])
def test_kernel_and_portable_agree_in_values_and_gradients(mode: str, textures: int) -> None:
    for size, top in ((16, None), (4, 1), (6, 1)):
        arguments = random_arguments(2, (size, size), "cube", textures, batch=3, shape=(12, 15), channels=2 + textures)
        arguments |= {"filter_mode": mode, "max_mip_level": top}
        cotangent = random_cotangent(arguments)
        expected = outcome(portable.texture, arguments, cotangent, torch.float64)
        assert_same(outcome(dr.texture, arguments, cotangent), expected, 1e-4)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_texels_beyond_every_border_agree_with_the_oracle(size: int) -> None:
    """Points within half a texel of the borders, all around every face: each blends with its neighbours' texels."""
    generator = seeded(3)
    middle, right, down = oracle.FACES.unbind(1)
    s, t = 2 * torch.rand(2, 6, 40, 1, generator=generator).double() - 1
    s = torch.where(torch.arange(40)[:, None] % 2 == 0, s.sign() * (1 - s.abs() / size), s)
    t = torch.where(torch.arange(40)[:, None] % 3 == 0, t.sign() * (1 - t.abs() / size), t)
    uv = (middle[:, None] + s * right[:, None] + t * down[:, None])[None].float()
    tex = torch.randn(1, 6, size, size, 2, generator=generator)
    arguments = {"tex": tex, "uv": uv, "boundary_mode": "cube"}
    cotangent = random_cotangent(arguments)
    expected = outcome(oracle.texture, arguments, cotangent, torch.float64)
    for texture in TEXTURES:
        assert_same(outcome(texture, arguments, cotangent), expected, 2e-5)


@pytest.mark.parametrize("mode", MODES)
def test_gradient_is_the_adjoint_of_the_lookup(mode: str) -> None:
    arguments = random_arguments(4, (8, 8), "cube", textures=2, batch=2)
    cotangent = random_cotangent(arguments)
    results = outcome(dr.texture, arguments | {"filter_mode": mode}, cotangent)
    pairs = ((results["out"], cotangent), (arguments["tex"], results["tex"]))
    forward, backward = ((a.double() * b.double()).sum().item() for a, b in pairs)
    assert forward == pytest.approx(backward, rel=1e-4, abs=1e-3)


# The documented faces.


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize(
    ("direction", "face", "row", "column"),
    [
        ((2, -1, -1), 0, 1, 1),
        ((2, 1, -1), 0, 0, 1),
        ((-2, 1, 1), 1, 0, 1),
        ((-2, -1, -1), 1, 1, 0),
        ((1, 2, -1), 2, 0, 1),
        ((-1, 2, 1), 2, 1, 0),
        ((1, -2, 1), 3, 0, 1),
        ((-1, -2, -1), 3, 1, 0),
        ((1, 1, 2), 4, 0, 1),
        ((-1, -1, 2), 4, 1, 0),
        ((-1, 1, -2), 5, 0, 1),
        ((1, -1, -2), 5, 1, 0),
    ],
)
def test_texel_centres_are_where_they_are_documented(  # type: ignore[no-untyped-def]
    texture, direction: tuple[int, int, int], face: int, row: int, column: int
) -> None:
    tex = torch.arange(24.0).reshape(1, 6, 2, 2, 1)
    uv = torch.tensor(direction).float().reshape(1, 1, 1, 3)
    for mode in ("nearest", "linear"):
        for length in (1.0, 1e-15, 1e15):
            out = texture(tex, uv * length, filter_mode=mode, boundary_mode="cube")
            assert out.item() == pytest.approx(tex[0, face, row, column, 0].item(), abs=1e-5)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", MODES)
def test_zero_vectors_give_zero_and_no_gradient(texture, mode: str) -> None:  # type: ignore[no-untyped-def]
    arguments = random_arguments(5, (4, 4), "cube") | {"filter_mode": mode}
    arguments["uv"][0, 2:4] = 0
    arguments["uv"][0, 3] *= -1
    cotangent = random_cotangent(arguments)
    results = outcome(texture, arguments, cotangent)
    assert all(value.isfinite().all() for value in results.values())
    for name in ("out", "uv", "uv_da", "mip_level_bias"):
        assert not results[name][0, 2:4].any()
    rest = arguments | {k: torch.cat([arguments[k][:, :2], arguments[k][:, 4:]], 1) for k in ("uv", "uv_da")}
    rest["mip_level_bias"] = torch.cat([arguments["mip_level_bias"][:, :2], arguments["mip_level_bias"][:, 4:]], 1)
    expected = outcome(texture, rest, torch.cat([cotangent[:, :2], cotangent[:, 4:]], 1))["tex"]
    torch.testing.assert_close(results["tex"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", ["linear", "linear-mipmap-linear"])
def test_length_of_a_direction_does_not_matter(texture, mode: str) -> None:  # type: ignore[no-untyped-def]
    """The look-up is constant along the direction: so is the gradient to uv at right angles to it, without uv_da."""
    arguments = random_arguments(6, (8, 8), "cube") | {"filter_mode": mode}
    out = texture(**arguments)
    for length in (2.0**-40, 2.0**40):
        scaled = arguments | {"uv": arguments["uv"] * length, "uv_da": arguments["uv_da"] * length}
        torch.testing.assert_close(texture(**scaled), out, rtol=0, atol=2e-5)
    arguments["uv"] = torch.nn.functional.normalize(arguments["uv"], dim=-1)
    arguments["uv_da"] = None
    gradient = outcome(texture, arguments, random_cotangent(arguments))["uv"]
    assert gradient.abs().max() > 1
    assert (gradient * arguments["uv"]).sum(-1).abs().max() < 1e-4 * gradient.abs().max()


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("ties", [(1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_directions_on_edges_and_corners_blend_the_texels_that_meet_there(texture, ties: tuple[int, int, int]) -> None:  # type: ignore[no-untyped-def]
    """With faces of one texel: the mean of the two or three faces that the direction is on."""
    values = torch.randn(6, generator=seeded(7))
    for signs in product((1, -1), repeat=3):
        faces = [2 * axis + (sign < 0) for axis, (sign, tie) in enumerate(zip(signs, ties, strict=True)) if tie]
        uv = (torch.tensor(signs) * torch.tensor(ties)).float().reshape(1, 1, 1, 3)
        out = texture(values.reshape(1, 6, 1, 1, 1), uv, filter_mode="linear", boundary_mode="cube")
        assert out.item() == pytest.approx(values[faces].mean().item(), abs=1e-6)


# No sign of the cube.


@pytest.mark.parametrize("texture", TEXTURES)
def test_smooth_function_of_direction_stays_smooth_across_edges_and_corners(texture) -> None:  # type: ignore[no-untyped-def]
    size, points = 32, 4000
    tex = smooth(oracle.places(size))[None].float()
    circles = great_circles(8, 12, points)
    out = texture(tex, circles[None].float(), filter_mode="linear", boundary_mode="cube")[0]
    assert (out - smooth(circles)).abs().max() < 0.02  # texels differ by up to 0.18 from one to the next
    steps, expected = out.diff(dim=1).abs(), smooth(circles).diff(dim=1).abs().amax()
    assert steps.max() < 1.25 * expected


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", ["linear", "linear-mipmap-nearest", "linear-mipmap-linear"])
def test_random_cube_map_has_no_jump_at_edges_and_corners(texture, mode: str) -> None:  # type: ignore[no-untyped-def]
    generator = seeded(9)
    tex = torch.rand(1, 6, 8, 8, 3, generator=generator)
    inward = 2e-5 * torch.randn(1, 2000, 3, generator=generator).double()
    edge = 2 * torch.rand(1, 2000, 3, generator=generator).double() - 1
    axis = torch.arange(2000) % 3
    edge[0, torch.arange(2000), axis] = edge[0, torch.arange(2000), axis].sign()
    edge[0, torch.arange(2000), (axis + 1) % 3] = edge[0, torch.arange(2000), (axis + 1) % 3].sign()
    edge[:, :200] = edge[:, :200].sign()  # corners
    bias = torch.full((1, 1, 2000), 1.3)
    sides = [
        texture(tex, (edge + side)[None].float(), None, bias, filter_mode=mode, boundary_mode="cube")
        for side in (inward, -inward, inward.roll(1, -1))
    ]
    for side in sides[1:]:
        assert (side - sides[0]).abs().max() < 2e-3


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("mode", MODES)
def test_look_ups_turn_with_the_cube(texture, mode: str) -> None:  # type: ignore[no-untyped-def]
    """A cube map turned by a rotation of the cube, read at turned directions, is the cube map."""
    size = 4
    arguments = random_arguments(10, (size, size), "cube", shape=(8, 8)) | {"filter_mode": mode}
    cotangent = random_cotangent(arguments)
    expected = outcome(texture, arguments, cotangent)
    assert len(ROTATIONS) == 24
    for rotation in ROTATIONS:
        back = (oracle.places(size).float() @ rotation).reshape(1, 1, -1, 3)  # texel centres, turned back
        turned = texture(arguments["tex"], back, filter_mode="nearest", boundary_mode="cube")
        uv_da = (rotation @ arguments["uv_da"].unflatten(-1, (3, 2))).flatten(-2)
        given = {"tex": turned.reshape(1, 6, size, size, 3), "uv": arguments["uv"] @ rotation.T, "uv_da": uv_da}
        results = outcome(texture, arguments | given, cotangent)
        results["uv"] = results["uv"] @ rotation
        results["uv_da"] = (rotation.T @ results["uv_da"].unflatten(-1, (3, 2))).flatten(-2)
        del results["tex"]
        assert_same(results, {name: expected[name] for name in results}, 1e-5)


# Errors.


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"tex": torch.zeros(1, 4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(1, 6, 4, 8, 3)}, "tex"),
        ({"tex": torch.zeros(1, 5, 4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(3, 6, 4, 4, 3)}, "tex"),
        ({"uv": torch.zeros(2, 5, 7, 2)}, "uv"),
        ({"uv_da": torch.zeros(2, 5, 7, 4)}, "uv_da"),
        ({"mip": [torch.zeros(1, 2, 2, 3)]}, "mip"),
    ],
)
def test_texture_names_the_argument_that_is_wrong(changed: dict[str, object], named: str) -> None:
    arguments = random_arguments(11, (4, 4), "cube", batch=2, shape=(5, 7)) | changed
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.texture(**arguments)
