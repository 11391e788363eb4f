"""The texture look-up: kernels, portable form and oracle agree; mipmaps do what they are for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError, orbit
from texopt.mesh import Mesh
from texopt.raster import portable
from texopt.render import look_up, rasterize

MODES = ["nearest", "linear", "linear-mipmap-linear"]
BOUNDARIES = ["wrap", "clamp"]
SIZES = [(16, 16), (8, 32), (12, 20), (1, 8), (7, 5)]  # the last but one halves along one side, the last not at all


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_lookup(
    generator: torch.Generator,
    size: tuple[int, int],
    textures: int = 1,
    batch: int = 1,
    shape: tuple[int, int] = (9, 13),
) -> tuple[Tensor, Tensor, Tensor]:
    """A texture, points in [-1.5,2.5] and footprints from a hundredth of a texel to beyond the whole texture."""
    tex = torch.rand(textures, *size, 3, generator=generator) * 2 - 1
    uv = 4 * torch.rand(batch, *shape, 2, generator=generator) - 1.5
    magnitude = 10 ** (3 * torch.rand(batch, *shape, 1, generator=generator) - 2.5)
    return tex, uv, magnitude * torch.randn(batch, *shape, 4, generator=generator)


def border_points(size: tuple[int, int]) -> Tensor:
    """Every texel corner and centre inside, on the borders and one texture beyond: [1,h,w,2]."""
    v, u = (torch.arange(-2 * n, 4 * n + 1) / (2 * n) for n in size)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)[None].contiguous()


@pytest.fixture
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# Parity.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("textures", [1, 3])
def test_kernel_and_portable_agree_in_values_and_gradients(
    mode: str, boundary: str, size: tuple[int, int], textures: int
) -> None:
    generator = seeded(0)
    for top in (None, 0, 1, 2) if mode == "linear-mipmap-linear" else (None,):
        tex, uv, uv_da = random_lookup(generator, size, textures, batch=3)
        cotangent = torch.randn(*uv.shape[:3], 3, generator=generator)
        results = []
        for texture in (dr.texture, portable.texture):
            leaf = tex.clone().requires_grad_()
            out = texture(leaf, uv, uv_da, mode, boundary, top)
            out.backward(cotangent)
            results.append((out.detach(), leaf.grad))
        torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=2e-5)
        torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [(8, 8), (4, 16)])
def test_kernel_and_portable_agree_exactly_on_borders_corners_and_centres(
    mode: str, boundary: str, size: tuple[int, int]
) -> None:
    uv = border_points(size)
    tex, _, uv_da = random_lookup(seeded(1), size, shape=tuple(uv.shape[1:3]))
    expected = oracle.texture(tex[0].double(), uv.reshape(-1, 2), uv_da.reshape(-1, 4).double(), mode, boundary)
    for texture in (dr.texture, portable.texture):
        out = texture(tex, uv, uv_da, mode, boundary)
        torch.testing.assert_close(out.reshape(-1, 3), expected, rtol=0, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", SIZES)
def test_portable_agrees_with_the_oracle_in_float64(mode: str, boundary: str, size: tuple[int, int]) -> None:
    for top in (None, 1) if mode == "linear-mipmap-linear" else (None,):
        tex, uv, uv_da = (x.double() for x in random_lookup(seeded(2), size))
        out = portable.texture(tex, uv, uv_da, mode, boundary, top)
        expected = oracle.texture(tex[0], uv.reshape(-1, 2), uv_da.reshape(-1, 4), mode, boundary, top)
        torch.testing.assert_close(out.reshape(-1, 3), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_portable_passes_gradcheck(mode: str, boundary: str) -> None:
    tex, uv, uv_da = (x.double() for x in random_lookup(seeded(3), (2, 4), textures=2, batch=2, shape=(2, 2)))
    assert torch.autograd.gradcheck(lambda t: portable.texture(t, uv, uv_da, mode, boundary), tex.requires_grad_())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", SIZES)
def test_gradient_is_the_adjoint_of_the_lookup(mode: str, boundary: str, size: tuple[int, int]) -> None:
    """<J t, g> = <t, J' g>, the look-up being linear in the texture."""
    generator = seeded(4)
    tex, uv, uv_da = random_lookup(generator, size, textures=2, batch=2)
    cotangent = torch.randn(*uv.shape[:3], 3, generator=generator)
    out = dr.texture(tex.requires_grad_(), uv, uv_da, mode, boundary)
    out.backward(cotangent)
    assert tex.grad is not None
    forward, backward = ((a.double() * b.double()).sum().item() for a, b in ((out, cotangent), (tex, tex.grad)))
    assert forward == pytest.approx(backward, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
def test_filter_mode_auto_is_trilinear_where_there_are_derivatives(texture) -> None:  # type: ignore[no-untyped-def]
    tex, uv, uv_da = random_lookup(seeded(5), (16, 16))
    assert torch.equal(texture(tex, uv, uv_da), texture(tex, uv, uv_da, "linear-mipmap-linear"))
    assert torch.equal(texture(tex, uv), texture(tex, uv, uv_da, "linear"))
    assert torch.equal(texture(tex, uv, uv_da, max_mip_level=0), texture(tex, uv, None, "linear"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_kernel_and_portable_agree_where_coordinates_are_not_finite(mode: str, boundary: str) -> None:
    """Coordinates that are not finite give zero and no gradient, derivatives that are not finite the finest level."""
    tex, uv, uv_da = random_lookup(seeded(6), (8, 8))
    uv[0, 0, 0, 0], uv[0, 1, 1, 1], uv[0, 2, 2, 0] = float("nan"), float("inf"), -float("inf")
    uv_da[0, 3, :, 1] = float("nan")
    results = []
    for texture in (dr.texture, portable.texture):
        leaf = tex.clone().requires_grad_()
        out = texture(leaf, uv, uv_da, mode, boundary)
        out.sum().backward()
        results.append((out.detach(), leaf.grad))
    for i in range(3):
        assert not results[0][0][0, i, i].any()
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=2e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
def test_wrapping_holds_far_from_the_origin(texture) -> None:  # type: ignore[no-untyped-def]
    """Tiled surfaces have coordinates of hundreds: what is left of float32 there is looked up exactly."""
    tex = torch.rand(1, 48, 48, 3, generator=seeded(7))
    for repeats in (-1000.0, -1.0, 5.0, 1000.0):
        uv = torch.rand(1, 20, 20, 2, generator=seeded(7)) + repeats
        near = texture(tex, uv - uv.floor(), None, "linear")
        torch.testing.assert_close(texture(tex, uv, None, "linear"), near, rtol=0, atol=2e-5)


# Values known by hand.


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
@pytest.mark.parametrize(
    ("u", "v", "wrap", "clamp"),
    [
        (0.25, 0.25, 0.0, 0.0),  # texel centres
        (0.75, 0.25, 1.0, 1.0),
        (0.25, 0.75, 2.0, 2.0),
        (0.5, 0.5, 1.5, 1.5),  # the middle of all four
        (0.375, 0.25, 0.25, 0.25),
        (0.375, 0.625, 1.75, 1.75),
        (0.0, 0.25, 0.5, 0.0),  # left border: halfway between the last column and the first, or the first alone
        (1.0, 0.25, 0.5, 1.0),
        (0.25, 1.0, 1.0, 2.0),
        (0.0, 0.0, 1.5, 0.0),
        (1.25, -0.75, 0.0, 1.0),
        (-0.125, 0.25, 0.75, 0.0),
    ],
)
def test_magnified_texture_is_bilinear(texture, u: float, v: float, wrap: float, clamp: float) -> None:  # type: ignore[no-untyped-def]
    tex = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, ..., None]
    uv = torch.tensor([u, v]).reshape(1, 1, 1, 2)
    tiny = torch.full((1, 1, 1, 4), 1e-3)
    for boundary, expected in (("wrap", wrap), ("clamp", clamp)):
        assert texture(tex, uv, None, "linear", boundary).item() == pytest.approx(expected, abs=1e-6)
        assert texture(tex, uv, tiny, "linear-mipmap-linear", boundary).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
def test_nearest_takes_the_texel_that_holds_the_point(texture) -> None:  # type: ignore[no-untyped-def]
    tex = torch.arange(12.0).reshape(1, 3, 4, 1)
    uv = torch.tensor([[0.1, 0.1], [0.3, 0.5], [0.99, 0.99], [1.0, 0.0], [-0.01, 0.5], [0.5, 1.1]]).reshape(1, 1, 6, 2)
    assert texture(tex, uv, None, "nearest", "wrap").flatten().tolist() == [0, 5, 11, 0, 7, 2]
    assert texture(tex, uv, None, "nearest", "clamp").flatten().tolist() == [0, 5, 11, 3, 4, 10]


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
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


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_constant_texture_stays_constant(texture, mode: str, boundary: str) -> None:  # type: ignore[no-untyped-def]
    _, uv, uv_da = random_lookup(seeded(9), (8, 16))
    out = texture(torch.full((1, 8, 16, 2), 0.7), uv, uv_da, mode, boundary)
    torch.testing.assert_close(out, torch.full_like(out, 0.7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("texture", [dr.texture, portable.texture])
def test_minified_checkerboard_is_grey_with_mipmaps_and_aliases_without(texture) -> None:  # type: ignore[no-untyped-def]
    """A stripe of one texel seen at 8.4 texels a pixel: what a coarse pattern remains of it is aliasing."""
    row, column = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    checker = ((row + column) % 2).float()[None, ..., None]
    step = 8.4 / 256
    at = (torch.arange(30) + 0.5) * step
    uv = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)[None].contiguous()
    uv_da = torch.tensor([step, 0, 0, step]).expand(1, 30, 30, 4).contiguous()
    with_mipmaps, without = texture(checker, uv, uv_da), texture(checker, uv, None, "linear")
    torch.testing.assert_close(with_mipmaps, torch.full_like(with_mipmaps, 0.5), rtol=0, atol=1e-6)
    assert without.std() > 0.15
    spectrum = torch.fft.rfft2(without[0, ..., 0] - without.mean()).abs()
    assert spectrum.max() > 5 * spectrum.mean()


# Determinism, and errors.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("textures", [1, 2])
@pytest.mark.usefixtures("restore_threads")
def test_bits_do_not_depend_on_threads_or_run(mode: str, textures: int) -> None:
    tex, uv, uv_da = random_lookup(seeded(10), (32, 64), textures, batch=2, shape=(90, 70))
    cotangent = torch.randn(*uv.shape[:3], 3, generator=seeded(10))
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        leaf = tex.clone().requires_grad_()
        out = dr.texture(leaf, uv, uv_da, mode)
        out.backward(cotangent)
        assert leaf.grad is not None
        results.append(torch.cat([out.detach().flatten(), leaf.grad.flatten()]))
    assert all(torch.equal(result, results[0]) for result in results)


def test_arguments_that_are_not_contiguous_are_read_rightly() -> None:
    tex, uv, uv_da = random_lookup(seeded(11), (8, 16), textures=2, batch=2)
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (tex, uv, uv_da)]
    grads = []
    for arguments in ((tex, uv, uv_da), strided):
        leaf = arguments[0].requires_grad_()
        out = dr.texture(*arguments)
        (out.permute(0, 3, 2, 1) * torch.rand(2, 3, 13, 9, generator=seeded(12))).sum().backward()
        grads.append((out.detach(), leaf.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[1][1])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"tex": torch.zeros(1, 4, 4, 3).double()}, "tex"),
        ({"tex": torch.zeros(4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(3, 4, 4, 3)}, "tex"),
        ({"tex": torch.zeros(1, 0, 4, 3)}, "tex"),
        ({"uv": torch.zeros(2, 5, 6, 2).double()}, "uv"),
        ({"uv": torch.zeros(2, 5, 6, 3)}, "uv"),
        ({"uv_da": torch.zeros(2, 5, 6, 4).double()}, "uv_da"),
        ({"uv_da": torch.zeros(2, 5, 6, 2)}, "uv_da"),
        ({"uv_da": torch.zeros(1, 5, 6, 4)}, "uv_da"),
        ({"filter_mode": "cubic"}, "filter_mode"),
        ({"filter_mode": "linear-mipmap-linear", "uv_da": None}, "filter_mode"),
        ({"boundary_mode": "mirror"}, "boundary_mode"),
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
        original=np.zeros((1, 1, 3), np.uint8),
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
