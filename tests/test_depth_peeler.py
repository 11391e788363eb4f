"""Depth peeling: every surface, layer by layer, each once."""

from __future__ import annotations

import oracle
import pytest
import torch
from scenes import closed_mesh, merged, pixels_to_clip
from test_rasterize import seeded, triangle_soup
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError

Resolution = tuple[int, int]
REFUSALS = (OptionError, RuntimeError)


def peel(
    pos: Tensor, tri: Tensor, resolution: Resolution, layers: int, **options: object
) -> list[tuple[Tensor, Tensor]]:
    """The first so many layers: each rast [B,H,W,4] and rast_db [B,H,W,4]."""
    ctx = dr.RasterizeContext()
    with dr.DepthPeeler(ctx, pos, tri.int(), resolution, **options) as peeler:  # type: ignore[arg-type]
        return [peeler.rasterize_next_layer() for _ in range(layers)]


def faces(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """int64 [L,H,W] of the first image: triangle index + 1."""
    return torch.stack([rast[0, ..., 3].long() for rast, _ in layers])


@pytest.mark.parametrize(("size", "behind"), [(0.5, False), (1.0, True), (20.0, True)])
def test_layers_agree_with_the_oracle(size: float, behind: bool) -> None:
    pos, tri = triangle_soup(seeded(1), 14, size, behind)
    for layer, (rast, rast_db) in enumerate(peel(pos[None], tri, (23, 30), 5)):
        expected, expected_db, sure = oracle.rasterize(pos, tri, (23, 30), layer)
        assert sure.float().mean() > 0.5
        assert (rast[0, ..., 3] == expected[..., 3])[sure].all()
        seen = sure & (expected[..., 3] > 0)
        torch.testing.assert_close(rast[0][seen].double(), expected[seen], rtol=1e-5, atol=1e-5)
        scale = expected_db[seen].abs().amax(-1, keepdim=True)
        torch.testing.assert_close(
            rast_db[0][seen] / scale, expected_db[seen] / scale, rtol=0, atol=1e-5, check_dtype=False
        )
        assert not rast[0][rast[0, ..., 3] == 0].any()
        assert not rast_db[0][rast[0, ..., 3] == 0].any()


@pytest.mark.parametrize(("size", "behind"), [(0.5, False), (2.0, True)])
def test_each_triangle_comes_once_at_every_pixel_that_it_covers(size: float, behind: bool) -> None:
    """Each drawn alone covers what all layers together show of it, to the bit, from near to far."""
    pos, tri = triangle_soup(seeded(2), 16, size, behind)
    layers = peel(pos[None], tri, (26, 31), len(tri) + 1)
    found = faces(layers)
    assert not found[-1].any()
    for i in range(len(tri)):
        rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos[None], tri[i : i + 1].int(), (26, 31))
        here = found == i + 1
        assert torch.equal(here.sum(0), (rast[0, ..., 3] > 0).long())
        for one, layer, mask in ((rast, 0, here), (rast_db, 1, here)):
            stacked = torch.stack([x[layer][0] for x in layers])
            where = mask.any(0)
            together = (stacked * mask[..., None]).sum(0)
            channels = slice(0, 3) if layer == 0 else slice(0, 4)
            assert torch.equal(together[where][:, channels], one[0][where][:, channels])
    depth = torch.stack([rast[0, ..., 2] for rast, _ in layers])
    both = (found[1:] > 0) & (found[:-1] > 0)
    assert (depth[1:] >= depth[:-1])[both].all()
    assert not ((found[1:] > 0) & (found[:-1] == 0)).any()


def test_first_layer_is_what_rasterize_draws() -> None:
    pos, tri = triangle_soup(seeded(3), 40, 0.7, behind=True)
    pos = torch.stack([pos, pos.flip(0)])
    expected = dr.rasterize(dr.RasterizeContext(), pos, tri.int(), (30, 70))
    for one, other in zip(peel(pos, tri, (30, 70), 1)[0], expected, strict=True):
        assert torch.equal(one, other)


def test_coincident_surfaces_come_one_after_the_other_by_index() -> None:
    """The same triangle four times, between other triangles, in windings of all kinds; also one in another's plane."""
    pos, tri = triangle_soup(seeded(4), 6, 0.9)
    copies = torch.stack([tri[0], tri[0].roll(1), tri[0].flip(0), tri[0]])
    both = torch.cat([tri[1:3], copies[:2], tri[3:], copies[2:]])  # the copies are 2, 3, 7 and 8
    found = faces(peel(pos[None], both, (32, 32), 10)) - 1
    here = (found == 2).any(0)
    assert here.sum() > 50
    assert not found[-1].ge(0).any()
    order = torch.stack([(found == i).int().argmax(0) for i in (2, 3, 7, 8)])[:, here]
    assert torch.stack([(found == i).any(0) for i in (2, 3, 7, 8)])[:, here].all()
    assert (order.diff(dim=0) == 1).all()

    large = torch.tensor([[-40.0, -40.0], [80.0, -40.0], [0.0, 90.0]])
    small = torch.tensor([[3.2, 2.9], [19.0, 4.4], [8.5, 17.1]])
    plane, flat = merged(
        (pixels_to_clip(large, (20, 20)), torch.tensor([[0, 1, 2]])),
        (pixels_to_clip(small, (20, 20)), torch.tensor([[0, 1, 2], [2, 1, 0]])),
    )
    found = faces(peel(plane[None], flat, (20, 20), 4))
    assert (found[0] == 1).all()
    inner = found[1] > 0
    assert inner.any()
    assert not inner.all()
    assert (found[1][inner] == 2).all()
    assert (found[2][inner] == 3).all()
    assert not found[2][~inner].any()
    assert not found[3].any()


def test_shared_edges_belong_to_one_triangle_in_every_layer() -> None:
    """A closed convex mesh has two layers wherever it has one, and none more."""
    pos, tri = closed_mesh("sphere")
    found = faces(peel(pos[None], tri, (50, 50), 3))
    assert torch.equal(found[0] > 0, found[1] > 0)
    assert (found[0] > 0).any()
    assert not found[2].any()


@pytest.mark.parametrize("grad_db", [False, True])
def test_gradient_of_a_layer_agrees_with_the_oracle(grad_db: bool) -> None:
    pos, tri = triangle_soup(seeded(5), 14, 0.9, behind=True)
    pos = pos[None].requires_grad_()
    layers = peel(pos, tri, (20, 24), 3, grad_db=grad_db)
    exact = pos[0].detach().double().requires_grad_()
    total, expected = torch.zeros(()).double(), torch.zeros(()).double()
    for seed, (rast, rast_db) in enumerate(layers):
        g, g_db = (torch.randn(rast.shape, generator=seeded(10 * seed + i)) for i in range(2))
        uv, db = oracle.barycentrics(exact, tri, rast[0, ..., 3].long() - 1)
        total = total + (rast[..., :2] * g[..., :2]).sum() + (rast_db * g_db).sum()
        expected = expected + (uv * g[0, ..., :2]).sum() + (db * g_db[0]).sum() * grad_db
    (actual,) = torch.autograd.grad(total, pos)
    (wanted,) = torch.autograd.grad(expected, exact)
    scale = wanted.reshape(-1, 12).abs().amax(1, keepdim=True)
    error = (actual[0].double() - wanted).reshape(-1, 12).abs()
    assert (error <= 1e-4 * scale).all()


def test_layers_can_be_composited_with_gradients_to_what_is_behind() -> None:
    """Two half-transparent triangles: the picture and the gradients of both their colours are known."""
    corners = torch.tensor([[-40.0, -40.0], [80.0, -40.0], [0.0, 90.0]])
    pos, tri = merged(
        (pixels_to_clip(corners, (6, 5), 0.5), torch.tensor([[0, 1, 2]])),
        (pixels_to_clip(corners, (6, 5), -0.5), torch.tensor([[0, 1, 2]])),
    )
    attr = torch.tensor([[0.8], [0.8], [0.8], [0.2], [0.2], [0.2]])[None].requires_grad_()
    image, through = torch.zeros(1, 6, 5, 1), 1.0
    for rast, _ in peel(pos[None], tri, (6, 5), 3):
        layer, _ = dr.interpolate(attr, rast, tri.int())
        alpha = 0.5 * (rast[..., 3:] > 0)
        image, through = image + through * alpha * layer, through * (1 - alpha)
    torch.testing.assert_close(image, torch.full_like(image, 0.5 * 0.2 + 0.25 * 0.8))
    (grad,) = torch.autograd.grad(image.sum(), attr)
    torch.testing.assert_close(grad.reshape(2, 3).sum(1), torch.tensor([0.25, 0.5]) * 30)


def test_a_batch_is_peeled_as_its_images_are() -> None:
    tri = triangle_soup(seeded(0), 12)[1]
    pos = torch.stack([triangle_soup(seeded(seed), 12, behind=seed > 0)[0] for seed in range(3)])
    together = peel(pos, tri, (17, 30), 4)
    for i in range(3):
        for whole, one in zip(together, peel(pos[i : i + 1], tri, (17, 30), 4), strict=True):
            assert torch.equal(whole[0][i], one[0][0])
            assert torch.equal(whole[1][i], one[1][0])


def test_range_mode_peels_slices_of_the_triangles() -> None:
    pos, tri = triangle_soup(seeded(6), 20)
    ranges = torch.tensor([[0, 12], [5, 15], [7, 0]]).int()
    together = peel(pos, tri, (18, 23), 4, ranges=ranges)
    for i, (start, count) in enumerate(ranges.tolist()):
        alone = peel(pos[None], tri[start : start + count], (18, 23), 4)
        for (rast, rast_db), (one, one_db) in zip(together, alone, strict=True):
            ids = torch.where(one[0, ..., 3] > 0, one[0, ..., 3] + start, 0.0)
            assert torch.equal(rast[i, ..., :3], one[0, ..., :3])
            assert torch.equal(rast[i, ..., 3], ids)
            assert torch.equal(rast_db[i], one_db[0])


def test_bits_do_not_depend_on_threads_or_run() -> None:
    pos, tri = triangle_soup(seeded(7), 60, 0.8, behind=True)
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        layers = peel(pos[None], tri, (150, 33), 6)
        results.append(torch.cat([x.flatten() for layer in layers for x in layer]))
    assert all(torch.equal(result, results[0]) for result in results)


def test_without_output_db_layers_have_no_derivatives() -> None:
    pos, tri = triangle_soup(seeded(8), 10)
    expected = peel(pos[None], tri, (9, 12), 2)
    ctx = dr.RasterizeContext(output_db=False)
    with dr.DepthPeeler(ctx, pos[None], tri.int(), (9, 12)) as peeler:
        for rast, _ in expected:
            same, nothing = peeler.rasterize_next_layer()
            assert torch.equal(same, rast)
            assert nothing.shape == (1, 9, 12, 0)


@pytest.mark.parametrize("vertices", [0, 3])
def test_without_triangles_all_layers_are_empty(vertices: int) -> None:
    for rast, rast_db in peel(torch.ones(2, vertices, 4), torch.zeros(0, 3), (5, 7), 2):
        assert rast.shape == rast_db.shape == (2, 5, 7, 4)
        assert not rast.any()
        assert not rast_db.any()


# One peeler at a time, inside of its block.


def test_while_one_peels_its_context_draws_nothing_else() -> None:
    pos, tri = triangle_soup(seeded(9), 5)
    pos, tri, ctx = pos[None], tri.int(), dr.RasterizeContext()
    with dr.DepthPeeler(ctx, pos, tri, (8, 8)) as peeler:
        first = peeler.rasterize_next_layer()
        with pytest.raises(REFUSALS):
            dr.rasterize(ctx, pos, tri, (8, 8))
        with pytest.raises(REFUSALS), dr.DepthPeeler(ctx, pos, tri, (8, 8)):
            pass
        dr.rasterize(dr.RasterizeContext(), pos, tri, (8, 8))
        with dr.DepthPeeler(dr.RasterizeContext(), pos, tri, (8, 8)) as other:  # another context is free
            assert torch.equal(other.rasterize_next_layer()[0], first[0])
        second = peeler.rasterize_next_layer()
    assert torch.equal(second[0], peel(pos, tri, (8, 8), 2)[1][0])
    assert torch.equal(dr.rasterize(ctx, pos, tri, (8, 8))[0], first[0])


def test_a_peeler_serves_inside_of_its_block_once() -> None:
    pos, tri = triangle_soup(seeded(10), 5)
    ctx = dr.RasterizeContext()
    peeler = dr.DepthPeeler(ctx, pos[None], tri.int(), (8, 8))
    with pytest.raises(REFUSALS):
        peeler.rasterize_next_layer()
    with peeler:
        peeler.rasterize_next_layer()
        with pytest.raises(REFUSALS):
            peeler.__enter__()
        peeler.rasterize_next_layer()
    with pytest.raises(REFUSALS):
        peeler.rasterize_next_layer()
    with pytest.raises(REFUSALS):
        peeler.__enter__()
    dr.rasterize(ctx, pos[None], tri.int(), (8, 8))


def test_an_error_inside_of_the_block_comes_out_and_frees_the_context() -> None:
    pos, tri = triangle_soup(seeded(11), 5)
    ctx = dr.RasterizeContext()
    with pytest.raises(KeyError), dr.DepthPeeler(ctx, pos[None], tri.int(), (8, 8)):
        raise KeyError
    dr.rasterize(ctx, pos[None], tri.int(), (8, 8))
    with dr.DepthPeeler(ctx, pos[None], tri.int(), (8, 8)) as peeler:
        peeler.rasterize_next_layer()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"pos": torch.zeros(1, 3, 4).double()}, "pos"),
        ({"tri": torch.tensor([[0, 1, 3]]).int()}, "tri"),
        ({"resolution": (0, 8)}, "resolution"),
        ({"pos": torch.zeros(3, 4), "ranges": torch.tensor([[0, 2]]).int()}, "ranges"),
    ],
)
def test_peeler_names_the_argument_that_is_wrong_and_leaves_the_context_free(
    changed: dict[str, object], named: str
) -> None:
    arguments: dict[str, object] = {
        "pos": torch.zeros(1, 3, 4), "tri": torch.tensor([[0, 1, 2]]).int(), "resolution": (8, 8),
    }  # fmt: skip
    ctx = dr.RasterizeContext()
    with pytest.raises(OptionError, match=rf"^{named}\b"), dr.DepthPeeler(ctx, **(arguments | changed)) as peeler:  # type: ignore[arg-type]
        peeler.rasterize_next_layer()
    dr.rasterize(ctx, **arguments)  # type: ignore[arg-type]
