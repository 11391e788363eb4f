"""Gradients of rasterize and interpolate with respect to positions, attributes and one another's buffers."""

from __future__ import annotations

import math

import oracle
import pytest
import torch
from scenes import pixels_to_clip
from test_rasterize import seeded, triangle_soup
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError

Images = tuple[Tensor, Tensor]
SOUPS = [(0.3, False), (1.0, False), (1.0, True), (20.0, True)]  # size, reaches behind the eye


def draw(pos: Tensor, tri: Tensor, resolution: tuple[int, int], **options: object) -> Images:
    """Instanced with pos [B,V,4], by ranges with pos [V,4]."""
    return dr.rasterize(dr.RasterizeContext(), pos, tri.int(), resolution, **options)  # type: ignore[arg-type]


def noise(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=seeded(seed))


def pull_back(outputs: Images, inputs: Tensor, cotangents: Images) -> Tensor:
    """What the cotangents of the outputs are at the inputs."""
    return torch.autograd.grad(outputs, inputs, cotangents, retain_graph=True)[0]


def position_gradient(
    pos: Tensor, tri: Tensor, resolution: tuple[int, int], cotangents: Images, **options: object
) -> Tensor:
    pos = pos.clone().requires_grad_()
    return pull_back(draw(pos, tri, resolution, **options), pos, cotangents)


def assert_close_by_triangle(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """[V,4] of a soup, where every three vertices are a triangle: errors as a share of its largest gradient."""
    actual, expected = actual.double().reshape(-1, 12), expected.double().reshape(-1, 12)
    scale = expected.abs().amax(1, keepdim=True)
    error = (actual - expected).abs()
    assert (error <= tolerance * scale).all(), f"off by {float((error / scale.clamp(min=1e-30)).max())}"


# Parity with the oracle.


@pytest.mark.parametrize("through", ["rast", "rast_db", "both"])
@pytest.mark.parametrize(("size", "behind"), SOUPS)
def test_gradient_of_rasterize_agrees_with_the_oracle(size: float, behind: bool, through: str) -> None:
    pos, tri = triangle_soup(seeded(1), 30, size, behind)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (24, 31))
    cotangents = noise(rast, 2) * (through != "rast_db"), noise(rast_db, 3) * (through != "rast")
    actual = pull_back((rast, rast_db), pos, cotangents)

    exact = pos[0].detach().double().requires_grad_()
    uv, db = oracle.barycentrics(exact, tri, rast[0, ..., 3].long() - 1)
    expected = pull_back((uv, db), exact, (cotangents[0][0, ..., :2].double(), cotangents[1][0].double()))
    assert (expected != 0).any(-1).sum() > 5
    assert_close_by_triangle(actual[0], expected)
    assert (actual[..., 2] == 0).all()


@pytest.mark.parametrize(("size", "behind"), SOUPS)
def test_gradient_of_what_is_interpolated_agrees_with_the_oracle(size: float, behind: bool) -> None:
    """From a loss through interpolate and rasterize to positions and to attributes that have an indexing of their own.

    The oracle knows of no buffers in between: it interpolates and differentiates in one.
    """
    generator = seeded(4)
    pos, tri = triangle_soup(generator, 25, size, behind)
    attr, attr_tri = torch.randn(1, 40, 3, generator=generator), torch.randint(40, tri.shape, generator=generator)
    pos, attr = pos[None].requires_grad_(), attr.requires_grad_()
    rast, rast_db = draw(pos, tri, (29, 22))
    out, out_da = dr.interpolate(attr, rast, attr_tri.int(), rast_db, "all")
    cotangents = noise(out, 5), noise(out_da, 6)
    actual_pos, actual_attr = torch.autograd.grad((out, out_da), (pos, attr), cotangents)

    exact_pos, exact_attr = (x[0].detach().double().requires_grad_() for x in (pos, attr))
    expected_pos, expected_attr = torch.autograd.grad(
        oracle.draw(exact_pos, tri, rast[0, ..., 3].long() - 1, exact_attr, attr_tri),
        (exact_pos, exact_attr), [c[0].double() for c in cotangents],
    )  # fmt: skip
    assert_close_by_triangle(actual_pos[0], expected_pos)
    # barycentrics of pixels whose centre the snapping moved over an edge are clamped in the buffer
    torch.testing.assert_close(
        actual_attr[0].double(), expected_attr, rtol=0, atol=1e-3 * float(expected_attr.abs().max())
    )


@pytest.mark.parametrize("chosen", [None, "all", [], [1], [2, 0], [0, 0, 2]])
@pytest.mark.parametrize("shared", [False, True])
def test_interpolate_agrees_with_the_oracle_in_values_and_gradients(
    chosen: list[int] | str | None, shared: bool
) -> None:
    """Of buffers that no rasteriser made, with attributes per image or one for all."""
    generator = seeded(7)
    tri = torch.randint(9, (6, 3), generator=generator)
    rast, rast_db = torch.rand(2, 5, 7, 4, generator=generator), torch.randn(2, 5, 7, 4, generator=generator)
    rast[..., 3] = torch.randint(len(tri) + 1, (2, 5, 7), generator=generator)
    attr = torch.randn(1 if shared else 2, 9, 3, generator=generator)
    inputs = [x.requires_grad_() for x in (attr, rast, rast_db)]
    exact = [x.detach().double().requires_grad_() for x in inputs]

    indices = [] if chosen is None else [0, 1, 2] if isinstance(chosen, str) else chosen
    out, out_da = dr.interpolate(inputs[0], inputs[1], tri.int(), inputs[2] if indices else None, chosen)
    images = [oracle.blend(exact[0][0 if shared else i], exact[1][i], tri, exact[2][i], indices) for i in range(2)]
    expected, expected_da = (torch.stack(x) for x in zip(*images, strict=True))
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out_da.double(), expected_da, rtol=1e-5, atol=1e-5)
    assert out_da.shape == (2, 5, 7, 2 * len(indices))

    g, g_da = noise(out, 8), noise(out_da, 9)
    actual = torch.autograd.grad((out * g).sum() + (out_da * g_da).sum(), inputs, allow_unused=True)
    wanted = torch.autograd.grad(
        (expected * g).sum() + (expected_da * g_da).sum(), exact, allow_unused=True, materialize_grads=True
    )
    for name, one, other in zip(("attr", "rast", "rast_db"), actual, wanted, strict=True):
        if one is None:
            assert name == "rast_db"
            assert not indices
        else:
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert (actual[1][..., 2:] == 0).all()


# What the gradients have to obey.


def test_moving_everything_by_pixels_changes_barycentrics_by_their_pixel_derivatives() -> None:
    """The gradient along a shift of the whole scene is the cotangents' sum over -du/dX, whatever the triangles."""
    pos, tri = triangle_soup(seeded(10), 40, 0.8, behind=True)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (40, 26))
    g = noise(rast, 11)
    grad = pull_back((rast, rast_db), pos, (g, torch.zeros_like(rast_db))).double()
    for axis, size in ((0, 26), (1, 40)):
        by_position = (grad[..., axis] * pos[..., 3].detach()).sum() * 2 / size
        by_pixel = -(g[..., :2].double() * rast_db[..., axis::2].detach()).sum()
        assert float(by_position) == pytest.approx(float(by_pixel), rel=1e-4)


@pytest.mark.parametrize(("size", "behind"), SOUPS)
def test_scaling_a_triangle_in_clip_space_changes_nothing(size: float, behind: bool) -> None:
    pos, tri = triangle_soup(seeded(12), 30, size, behind)
    rast, rast_db = draw(pos[None], tri, (30, 30))
    grad = position_gradient(pos[None], tri, (30, 30), (noise(rast, 13), noise(rast_db, 14)))
    terms = (grad[0] * pos).double().reshape(-1, 12)
    assert (terms.sum(1).abs() <= 1e-4 * terms.abs().sum(1)).all()


def test_gradients_are_linear_in_the_cotangents() -> None:
    pos, tri = triangle_soup(seeded(15), 20)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (20, 20))
    attr = torch.randn(1, 60, 2, generator=seeded(15)).requires_grad_()
    interpolated = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
    for outputs, inputs in (((rast, rast_db), pos), (interpolated, pos), (interpolated, attr)):
        one, two = ((noise(outputs[0], seed), noise(outputs[1], seed + 1)) for seed in (16, 18))
        combined = tuple(2 * a - 3 * b for a, b in zip(one, two, strict=True))
        expected = 2 * pull_back(outputs, inputs, one) - 3 * pull_back(outputs, inputs, two)
        actual = pull_back(outputs, inputs, combined)  # type: ignore[arg-type]
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_interpolate_and_its_gradient_are_adjoint() -> None:
    """Interpolation is linear in the attributes: <A x, y> = <x, A' y>."""
    generator = seeded(20)
    pos, tri = triangle_soup(generator, 20)
    rast, rast_db = draw(torch.stack([pos, pos.flip(0)]), tri, (33, 20))
    for attr in (torch.randn(1, 60, 3, generator=generator), torch.randn(2, 60, 3, generator=generator)):
        attr.requires_grad_()
        outputs = dr.interpolate(attr, rast, tri.int(), rast_db, [2, 0])
        cotangents = noise(outputs[0], 21), noise(outputs[1], 22)
        forward = sum((a.detach().double() * b).sum() for a, b in zip(outputs, cotangents, strict=True))
        backward = (pull_back(outputs, attr, cotangents).double() * attr.detach()).sum()
        assert float(forward) == pytest.approx(float(backward), rel=1e-5)


def test_shared_attributes_get_the_sum_over_the_images() -> None:
    generator = seeded(23)
    pos, tri = triangle_soup(generator, 20)
    rast, rast_db = draw(torch.stack([pos, pos.flip(0), -pos]), tri, (20, 20))
    shared = torch.randn(1, 60, 2, generator=generator).requires_grad_()
    own = shared.detach().expand(3, -1, -1).clone().requires_grad_()
    outputs = dr.interpolate(shared, rast, tri.int(), rast_db, "all")
    cotangents = noise(outputs[0], 24), noise(outputs[1], 25)
    expected = pull_back(dr.interpolate(own, rast, tri.int(), rast_db, "all"), own, cotangents).sum(0, keepdim=True)
    torch.testing.assert_close(pull_back(outputs, shared, cotangents), expected, rtol=1e-5, atol=1e-4)


def test_moving_in_depth_alone_has_no_gradient_and_depth_and_index_pass_none() -> None:
    pos, tri = triangle_soup(seeded(26), 20)
    rast, rast_db = draw(pos[None], tri, (20, 20))
    g = noise(rast, 27)
    other = g.clone()
    other[..., 2:] = math.nan
    db = noise(rast_db, 28)
    grad = position_gradient(pos[None], tri, (20, 20), (g, db))
    assert torch.equal(grad, position_gradient(pos[None], tri, (20, 20), (other, db)))
    assert (grad[..., 2] == 0).all()
    assert (grad[..., [0, 1, 3]] != 0).any()


def test_background_passes_no_gradient() -> None:
    pos, tri = triangle_soup(seeded(29), 6, 0.4)
    rast, rast_db = draw(pos[None], tri, (20, 20))
    behind = rast[..., 3:] == 0
    assert behind.any()
    g, db = noise(rast, 30), noise(rast_db, 31)
    grads = [
        position_gradient(pos[None], tri, (20, 20), (g.masked_fill(behind, x), db.masked_fill(behind, x)))
        for x in (0.0, math.nan)
    ]
    assert torch.equal(*grads)

    attr = torch.rand(1, 18, 2, generator=seeded(29)).requires_grad_()
    rast, rast_db = rast.requires_grad_(), rast_db.requires_grad_()
    out, out_da = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
    results = [
        torch.autograd.grad(
            (out, out_da), (attr, rast, rast_db), (torch.ones_like(out).masked_fill(behind, x),
            torch.ones_like(out_da).masked_fill(behind, x)), retain_graph=True,
        )
        for x in (0.0, math.nan)
    ]  # fmt: skip
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert (results[0][1][behind.expand_as(rast)] == 0).all()


def test_clamping_of_barycentrics_is_invisible_to_the_gradient() -> None:
    """The edges run a thousandth of a pixel beside pixel centres, onto which they snap: u is clamped to zero there."""
    corners = torch.tensor([[1.501, 1.501], [14.501, 1.501], [1.501, 14.501]]).double()
    pos, tri = pixels_to_clip(corners, (16, 16), w=torch.tensor([1.0, 1.5, 2.0])), torch.tensor([[0, 1, 2]])
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (16, 16))
    exact = pos[0].detach().double().requires_grad_()
    uv, db = oracle.barycentrics(exact, tri, rast[0, ..., 3].long() - 1)
    clamped = ((uv < 0).any(-1) | (uv.sum(-1) > 1)) & (rast[0, ..., 3] > 0)
    assert clamped.sum() > 10
    assert (rast[..., :2] >= 0).all()
    assert (rast[..., :2].sum(-1) <= 1).all()
    g, g_db = noise(rast, 32) * clamped[..., None], noise(rast_db, 33) * clamped[..., None]
    for which in ((1, 0), (0, 1)):
        cotangents = g * which[0], g_db * which[1]
        actual = pull_back((rast, rast_db), pos, cotangents)
        expected = pull_back((uv, db), exact, (cotangents[0][0, ..., :2].double(), cotangents[1][0].double()))
        assert_close_by_triangle(actual[0], expected, 1e-5)


def test_finite_differences_of_a_whole_drawing_agree() -> None:
    """Of one triangle larger than the view, which no step makes visible or invisible."""
    generator = seeded(34)
    corners = torch.tensor([[-30.0, -20.0], [60.0, -25.0], [5.0, 70.0]]).double()
    pos = pixels_to_clip(corners, (16, 20), w=torch.tensor([1.0, 2.0, 1.5]))
    tri, attr = torch.tensor([[0, 1, 2]]), torch.randn(1, 3, 2, generator=generator)

    def loss(pos: Tensor) -> Tensor:
        rast, rast_db = draw(pos, tri, (16, 20))
        out, out_da = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
        return (out.double() * noise(out, 35)).sum() + 100 * (out_da.double() * noise(out_da, 36)).sum()

    pos = pos[None].requires_grad_()
    (grad,) = torch.autograd.grad(loss(pos), pos)
    for seed in range(4):
        step = torch.randn(pos.shape, generator=generator) * torch.tensor([1.0, 1.0, 0.1, 1.0]) * 1e-3
        there, here = pos.detach() + step, pos.detach() - step
        expected = ((there.double() - here.double()) * grad).sum()
        assert float(loss(there) - loss(here)) == pytest.approx(float(expected), rel=1e-2, abs=1e-4), seed


# Options.


@pytest.mark.parametrize("behind", [False, True])
def test_without_grad_db_only_the_barycentrics_have_a_gradient(behind: bool) -> None:
    pos, tri = triangle_soup(seeded(37), 20, behind=behind)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (20, 25))
    same, same_db = draw(pos, tri, (20, 25), grad_db=False)
    assert torch.equal(rast, same)
    assert torch.equal(rast_db, same_db)
    g = noise(rast, 38)
    expected = pull_back((rast, rast_db), pos, (g, torch.zeros_like(rast_db)))
    attr = torch.randn(1, 60, 2, generator=seeded(37))
    assert torch.equal(torch.autograd.grad(same, pos, g, retain_graph=True)[0], expected)
    both = same.mul(g).sum() + dr.interpolate(attr, same, tri.int(), same_db, "all")[1].sum()
    torch.testing.assert_close(torch.autograd.grad(both, pos)[0], expected, rtol=0, atol=0)


def test_without_output_db_there_are_no_derivatives_and_the_same_barycentrics() -> None:
    pos, tri = triangle_soup(seeded(39), 20)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (20, 25))
    ctx = dr.RasterizeContext(output_db=False)
    same, nothing = dr.rasterize(ctx, pos, tri.int(), (20, 25))
    assert torch.equal(rast, same)
    assert nothing.shape == (1, 20, 25, 0)
    g = noise(rast, 40)
    expected = pull_back((rast, rast_db), pos, (g, torch.zeros_like(rast_db)))
    assert torch.equal(torch.autograd.grad(same, pos, g)[0], expected)
    out, out_da = dr.interpolate(torch.rand(1, 60, 2), same, tri.int())
    assert out.shape == (1, 20, 25, 2)
    assert out_da.shape == (1, 20, 25, 0)


def test_contexts_have_the_names_that_programs_for_nvdiffrast_use() -> None:
    pos, tri = triangle_soup(seeded(41), 5)
    expected = draw(pos[None], tri, (8, 8))
    for make in (dr.RasterizeCudaContext, dr.RasterizeGLContext, dr.RasterizeContext):
        for ctx in (make(), make(device="cpu"), make(device=torch.device("cpu"))):
            for one, other in zip(dr.rasterize(ctx, pos[None], tri.int(), [8, 8]), expected, strict=True):
                assert torch.equal(one, other)


def test_a_batch_has_the_gradients_of_its_images() -> None:
    tri = triangle_soup(seeded(0), 20)[1]
    pos = torch.stack([triangle_soup(seeded(seed), 20, behind=seed > 0)[0] for seed in range(3)]).requires_grad_()
    attr = torch.randn(3, 60, 2, generator=seeded(3)).requires_grad_()
    rast, rast_db = draw(pos, tri, (15, 70))
    outputs = dr.interpolate(attr, rast, tri.int(), rast_db, [1])
    g, g_da = noise(outputs[0], 42), noise(outputs[1], 43)
    grads = torch.autograd.grad(outputs, (pos, attr), (g, g_da))
    for i in range(3):
        one, one_attr = (x[i : i + 1].detach().requires_grad_() for x in (pos, attr))
        single = dr.interpolate(one_attr, *draw_for_interpolate(one, tri, (15, 70)), [1])
        for expected, actual in zip(
            torch.autograd.grad(single, (one, one_attr), (g[i : i + 1], g_da[i : i + 1])), grads, strict=True
        ):
            assert torch.equal(expected[0], actual[i])


def draw_for_interpolate(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    rast, rast_db = draw(pos, tri, resolution)
    return rast, tri.int(), rast_db


def test_range_mode_draws_slices_of_the_triangles() -> None:
    """With overlapping and empty ranges; indices are those of the whole list."""
    pos, tri = triangle_soup(seeded(44), 30, behind=True)
    ranges = torch.tensor([[0, 12], [5, 20], [7, 0], [29, 1], [0, 30]]).int()
    pos.requires_grad_()
    attr = torch.randn(90, 2, generator=seeded(44)).requires_grad_()
    rast, rast_db = draw(pos, tri, (18, 23), ranges=ranges)
    assert rast.shape == rast_db.shape == (5, 18, 23, 4)
    outputs = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
    cotangents = noise(outputs[0], 45), noise(outputs[1], 46)
    grads = torch.autograd.grad(outputs, (pos, attr), cotangents, retain_graph=True)
    expected = [torch.zeros_like(pos), torch.zeros_like(attr)]
    for i, (start, count) in enumerate(ranges.tolist()):
        part = tri[start : start + count]
        one, one_attr = (x.detach()[None].requires_grad_() for x in (pos, attr))
        single, single_db = draw(one, part, (18, 23))
        ids = torch.where(single[0, ..., 3] > 0, single[0, ..., 3] + start, 0.0)
        assert torch.equal(rast[i, ..., :3], single[0, ..., :3])
        assert torch.equal(rast[i, ..., 3], ids)
        assert torch.equal(rast_db[i], single_db[0])
        if count:
            images = dr.interpolate(one_attr, single, part.int(), single_db, "all")
            for image, whole in zip(images, outputs, strict=True):
                assert torch.equal(image[0], whole[i])
            slices = torch.autograd.grad(images, (one, one_attr), [c[i : i + 1] for c in cotangents])
            expected = [total + one[0] for total, one in zip(expected, slices, strict=True)]
    for actual, wanted in zip(grads, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


# Order, threads, edge cases.


def test_bits_of_gradients_do_not_depend_on_threads_or_run() -> None:
    pos, tri = triangle_soup(seeded(47), 100, 0.6, behind=True)
    tri = torch.cat([tri, tri.roll(1, 0)])[:, [1, 2, 0]]
    pos = torch.stack([pos, -pos]).requires_grad_()
    attr = torch.randn(1, 300, 2, generator=seeded(47)).requires_grad_()
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        rast, rast_db = draw(pos, tri, (150, 33))
        out, out_da = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
        loss = (out * noise(out, 48)).sum() + (out_da * noise(out_da, 49)).sum()
        grads = torch.autograd.grad(loss, (pos, attr, rast, rast_db))
        results.append(torch.cat([x.flatten() for x in (rast, rast_db, out, out_da, *grads)]))
    assert all(torch.equal(result, results[0]) for result in results)


def test_naming_vertices_and_triangles_otherwise_changes_no_gradient() -> None:
    """Vertices permuted, triangles permuted, corners rotated: the loss is of what is seen, not of how it is kept."""
    generator = seeded(50)
    pos, tri = triangle_soup(generator, 25)
    attr = torch.randn(75, 2, generator=generator)

    def gradients(pos: Tensor, tri: Tensor, attr: Tensor) -> tuple[Tensor, ...]:
        pos, attr = pos[None].requires_grad_(), attr[None].requires_grad_()
        rast, rast_db = draw(pos, tri, (24, 24))
        out, out_da = dr.interpolate(attr, rast, tri.int(), rast_db, "all")
        return torch.autograd.grad((out, out_da), (pos, attr), (noise(out, 51), noise(out_da, 52)))

    new = torch.randperm(75, generator=generator)  # vertex i is now called new[i]
    renamed = new[tri[torch.randperm(25, generator=generator)].roll(1, 1)]
    back = torch.argsort(new)
    for one, other in zip(gradients(pos, tri, attr), gradients(pos[back], renamed, attr[back]), strict=True):
        scale = float(one.abs().max())
        torch.testing.assert_close(other[0][new], one[0], rtol=1e-3, atol=1e-5 * scale)


def test_gradients_are_finite_and_zero_for_what_cannot_be_drawn() -> None:
    pos, tri = triangle_soup(seeded(53), 24, 1.5)
    spoilt = pos.clone()
    spoilt[0:6] = math.nan
    spoilt[9:12] = spoilt[9:10]  # one point
    spoilt[14] = (spoilt[12] + spoilt[13]) / 2  # a line, up to rounding
    spoilt[15:18, 3] = -1.0
    spoilt[18] = math.inf
    spoilt[21:24] = 0.0
    tri = torch.cat([tri, torch.tensor([[30, 30, 31], [40, 41, 40]])])
    rast, rast_db = draw(spoilt[None], tri, (24, 24))
    grad = position_gradient(spoilt[None], tri, (24, 24), (noise(rast, 54), noise(rast_db, 55)))[0]
    assert torch.isfinite(grad).all()
    assert (grad[torch.tensor([*range(6), *range(9, 12), *range(15, 24)])] == 0).all()
    assert (grad[24:] != 0).any()


@pytest.mark.parametrize(("vertices", "triangles"), [(0, 0), (3, 0)])
def test_nothing_drawn_has_a_gradient_of_zero(vertices: int, triangles: int) -> None:
    pos, tri = torch.ones(2, vertices, 4).requires_grad_(), torch.zeros(triangles, 3).int()
    rast, rast_db = draw(pos, tri, (5, 7))
    attr = torch.ones(1, vertices, 2).requires_grad_()
    out, out_da = dr.interpolate(attr, rast, tri, rast_db, "all")
    grads = torch.autograd.grad(out.sum() + out_da.sum() + rast.sum() + rast_db.sum(), (pos, attr))
    assert grads[0].shape == pos.shape
    assert grads[1].shape == attr.shape
    assert not any(grad.any() for grad in grads)


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    pos, tri = triangle_soup(seeded(56), 5)
    rast, rast_db = draw(pos[None], tri, (8, 8))
    assert not rast.requires_grad
    assert not rast_db.requires_grad
    attr = torch.ones(1, 15, 2)
    assert not dr.interpolate(attr, rast, tri.int(), rast_db, "all")[0].requires_grad
    out, out_da = dr.interpolate(attr.requires_grad_(), rast, tri.int(), rast_db, "all")
    (out.sum() + out_da.sum()).backward()
    assert attr.grad is not None
    assert rast.grad is None
    pos.requires_grad_()
    out, _ = dr.interpolate(attr.detach(), *draw_for_interpolate(pos[None], tri, (8, 8)))
    assert out.requires_grad


def test_cotangents_need_not_be_contiguous() -> None:
    pos, tri = triangle_soup(seeded(57), 10)
    pos = pos[None].requires_grad_()
    rast, rast_db = draw(pos, tri, (9, 13))
    g, db = noise(rast, 58), noise(rast_db, 59)
    strided = tuple(x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0) for x in (g, db))
    assert torch.equal(pull_back((rast, rast_db), pos, (g, db)), pull_back((rast, rast_db), pos, strided))  # type: ignore[arg-type]
    (expanded,) = torch.autograd.grad(rast.sum() + rast_db.sum(), pos, retain_graph=True)
    ones = torch.ones_like(rast), torch.ones_like(rast_db)
    assert torch.equal(expanded, pull_back((rast, rast_db), pos, ones))


# Wrong arguments.


@pytest.mark.parametrize(
    ("ranges", "named"),
    [
        (torch.tensor([[0, 1]]), "ranges"),  # int64
        (torch.tensor([[0.0, 1.0]]), "ranges"),
        (torch.tensor([0, 1]).int(), "ranges"),
        (torch.tensor([[0, 1, 1]]).int(), "ranges"),
        (torch.tensor([[0, 3]]).int(), "ranges"),
        (torch.tensor([[2, 1]]).int(), "ranges"),
        (torch.tensor([[-1, 1]]).int(), "ranges"),
        (torch.tensor([[0, -1]]).int(), "ranges"),
        (None, "(pos|ranges)"),
    ],
)
def test_rasterize_names_the_ranges_that_are_wrong(ranges: Tensor | None, named: str) -> None:
    tri = torch.tensor([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        draw(torch.zeros(3, 4), tri, (8, 8), ranges=ranges)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"diff_attrs": [2]}, "diff_attrs"),
        ({"diff_attrs": [-3]}, "diff_attrs"),
        ({"diff_attrs": "some"}, "diff_attrs"),
        ({"rast_db": None}, "(rast_db|diff_attrs)"),
        ({"rast_db": torch.zeros(2, 4, 4, 0)}, "rast_db"),
        ({"attr": torch.zeros(3, 3, 2)}, "attr"),
        ({"attr": torch.zeros(3)}, "attr"),
    ],
)
def test_interpolate_names_the_argument_that_is_wrong(changed: dict[str, object], named: str) -> None:
    arguments = {
        "attr": torch.zeros(1, 3, 2), "rast": torch.zeros(2, 4, 4, 4), "tri": torch.tensor([[0, 1, 2]]).int(),
        "rast_db": torch.zeros(2, 4, 4, 4), "diff_attrs": "all",
    }  # fmt: skip
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.interpolate(**(arguments | changed))  # type: ignore[arg-type]
