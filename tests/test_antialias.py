"""Antialiasing of silhouettes, and the gradients that reach positions through it."""

from __future__ import annotations

import math

import oracle
import pytest
import torch
from scenes import closed_mesh, faces_as_colors, merged, pixels_to_clip, polygon, shift_pixels, tessellated_quad
from test_rasterize import seeded, triangle_soup
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError

Resolution = tuple[int, int]
Scene = tuple[Tensor, Tensor]


def rasterized(pos: Tensor, tri: Tensor, resolution: Resolution) -> Tensor:
    """pos [B,V,4] -> rast [B,H,W,4], without a gradient."""
    return dr.rasterize(dr.RasterizeContext(), pos.detach(), tri.int(), resolution)[0]


def picture(pos: Tensor, tri: Tensor, palette: Tensor, resolution: Resolution) -> Tensor:
    """[V,4], a colour [F,C] for every triangle -> antialiased [H,W,C], zeros behind."""
    rast = rasterized(pos[None], tri, resolution)
    return dr.antialias(faces_as_colors(rast, palette), rast, pos[None], tri.int())[0]


def random_palette(tri: Tensor, seed: int, channels: int = 3) -> Tensor:
    return torch.rand(len(tri), channels, generator=seeded(seed))


def has_background_beside(rast: Tensor) -> Tensor:
    """bool [H,W]: pixels that have background, or the foreground, right, left, over or under them."""
    return differs_from_neighbour((rast[..., 3] > 0).long())


def differs_from_neighbour(labels: Tensor) -> Tensor:
    """[H,W] -> bool [H,W]: whether any of the four pixels beside it is different."""
    different = torch.zeros(labels.shape, dtype=torch.bool)
    for lines, result in ((labels, different), (labels.T, different.T)):
        border = lines[:, 1:] != lines[:, :-1]
        result[:, 1:] |= border
        result[:, :-1] |= border
    return different


def scene(name: str) -> tuple[Scene, Resolution]:
    if name == "soup":
        return triangle_soup(seeded(1), 25, 0.6), (31, 24)
    if name == "large soup":
        return triangle_soup(seeded(2), 30, 2.0), (24, 33)
    if name == "few vertices":  # edges of many triangles, pairs of triangles that fold on one another
        pos, _ = triangle_soup(seeded(3), 6, 0.8)
        return (pos, torch.randint(18, (40, 3), generator=seeded(3)).int()), (28, 29)
    if name == "beside one another":  # at one depth and without common vertices
        points, tri = tessellated_quad(2, (3.3, 4.1), (12.0, 3.3), (-2.2, 17.0))
        pos = pixels_to_clip(points, (27, 32))
        return merged((pos, tri), (shift_pixels(pos, 12.0, 3.3, (27, 32)), tri)), (27, 32)
    if name == "sphere before a plane":
        points, tri = tessellated_quad(3, (2.0, 5.0), (28.0, 3.0), (1.0, 24.0))
        return merged(closed_mesh("sphere"), (pixels_to_clip(points, (36, 33), 0.999), tri)), (36, 33)
    return closed_mesh(name), (40, 37)


SCENES = ["soup", "large soup", "few vertices", "beside one another", "sphere", "torus", "sphere before a plane"]


@pytest.mark.parametrize("name", SCENES)
def test_antialias_agrees_with_the_oracle_in_values_and_gradients(name: str) -> None:
    (pos, tri), resolution = scene(name)
    pos = pos[None].requires_grad_()
    rast = rasterized(pos, tri, resolution)
    color = torch.randn(1, *resolution, 3, generator=seeded(4)).requires_grad_()
    out = dr.antialias(color, rast, pos, tri.int())
    exact_pos, exact_color = (x[0].detach().double().requires_grad_() for x in (pos, color))
    expected = oracle.antialias(exact_color, rast[0], exact_pos, tri)
    assert (expected != exact_color).any(-1).sum() > 20
    torch.testing.assert_close(out[0].double(), expected, rtol=0, atol=1e-4)

    g = torch.randn(out.shape, generator=seeded(5))
    grad_color, grad_pos = torch.autograd.grad(out, (color, pos), g)
    expected_color, expected_pos = torch.autograd.grad(expected, (exact_color, exact_pos), g[0].double())
    torch.testing.assert_close(grad_color[0].double(), expected_color, rtol=0, atol=1e-4)
    scale = float(expected_pos.abs().max())
    assert scale > 1
    torch.testing.assert_close(grad_pos[0].double(), expected_pos, rtol=1e-3, atol=1e-4 * scale)
    assert (grad_pos[..., 2] == 0).all()


# What it is for.


@pytest.mark.parametrize("left", [3.2, 3.7])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_upright_edge_is_blended_by_what_it_covers(left: float, mirrored: bool, vertical: bool) -> None:
    """What starts within pixel 3 has 4 - start of it, whether its centre is in front or behind."""
    points = torch.tensor([[left, -20.0], [30.0, 4.0], [left, 28.0]]).double()
    if mirrored:
        points[:, 0] = 8 - points[:, 0]
    if vertical:
        points = points.flip(1)
    image = picture(pixels_to_clip(points, (8, 8)), torch.tensor([[0, 1, 2]]), torch.ones(1, 1), (8, 8))[..., 0]
    if vertical:
        image = image.T
    if mirrored:
        image = image.flip(1)
    row = torch.zeros(8)
    row[4:] = 1.0
    row[3] = 4 - left
    torch.testing.assert_close(image, row.expand(8, 8), rtol=0, atol=1e-5)


@pytest.mark.parametrize("corners", [3, 4, 5, 9])
def test_area_of_a_polygon_and_what_changes_it(corners: int) -> None:
    """The sum of a white shape is its area but for its corners; it grows with the scale and stays under a shift."""
    resolution = (64, 60)
    points, tri = polygon(corners, (30.2, 32.6), 25.0, turn=0.35)
    scale, dx, dy = (torch.tensor(x).double().requires_grad_() for x in (1.0, 0.0, 0.0))
    center = torch.tensor([30.2, 32.6]).double()
    pos = pixels_to_clip(center + scale * (points - center) + torch.stack([dx, dy]), resolution)
    area = picture(pos, tri, torch.ones(len(tri), 1), resolution).double().sum()
    expected = corners / 2 * 25.0**2 * math.sin(2 * math.pi / corners)
    assert float(area.detach()) == pytest.approx(expected, abs=0.4 * corners)
    by_scale, by_dx, by_dy = (float(g) for g in torch.autograd.grad(area, (scale, dx, dy)))
    assert by_scale == pytest.approx(2 * expected, rel=0.05)
    assert abs(by_dx) < 2
    assert abs(by_dy) < 2


@pytest.mark.parametrize("motion", ["x", "y", "scale", "turn"])
@pytest.mark.parametrize("corners", [3, 4, 7])
def test_finite_differences_of_the_whole_picture_agree(corners: int, motion: str) -> None:
    """Rasterised anew at both ends of a small step, where neither a pixel nor a pair of them gets another triangle.

    That no pair does is seen from equal slopes on both sides.
    """
    resolution, step = (30, 34), 0.004
    rows, columns = torch.meshgrid(torch.arange(30), torch.arange(34), indexing="ij")
    weights = torch.stack([(0.2 * rows + 0.1 * columns).sin(), (0.15 * columns - 0.1 * rows).cos()], -1).double()
    tested = 0
    for seed in range(10):
        generator = seeded(seed)
        centre = torch.tensor([17.0, 15.0]) + torch.rand(2, generator=generator)
        points, tri = polygon(corners, tuple(centre.tolist()), 10.3, turn=float(torch.rand(1, generator=generator)))  # type: ignore[arg-type]
        tri = tri[:, [1, 2, 0]]
        palette = random_palette(tri, seed, 2).double()

        def at(t: Tensor) -> Tensor:
            offset = points - centre  # noqa: B023
            if motion == "scale":
                moved = points + t / 10 * offset  # noqa: B023
            elif motion == "turn":
                moved = points + t / 10 * offset.flip(1) * torch.tensor([-1.0, 1.0])  # noqa: B023
            else:
                moved = points + t * torch.tensor([motion == "x", motion == "y"])  # noqa: B023
            w = 1 + 0.05 * torch.arange(len(points))  # noqa: B023
            return pixels_to_clip(moved, resolution, 0.1, w)

        ends = [at(torch.tensor(t).double()) for t in (-step, 0.0, step)]
        drawn = [rasterized(pos[None], tri, resolution)[..., 3] for pos in ends]
        if not all(torch.equal(faces, drawn[1]) for faces in drawn):
            continue
        low, middle, high = (
            float((picture(pos, tri, palette.float(), resolution).double() * weights).sum()) for pos in ends
        )
        if middle - low != pytest.approx(high - middle, rel=0.02, abs=1e-4):
            continue
        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        loss = (picture(at(t), tri, palette.float(), resolution).double() * weights).sum()
        (slope,) = torch.autograd.grad(loss, t)
        assert (high - low) / (2 * step) == pytest.approx(float(slope), rel=0.01, abs=0.01), seed
        tested += 1
    assert tested >= 3


def test_gradient_descent_finds_where_a_shape_was() -> None:
    resolution = (32, 32)
    points, tri = polygon(4, (16.4, 15.2), 9.0)
    pos, palette = pixels_to_clip(points, resolution), torch.ones(4, 1)
    target = picture(pos, tri, palette, resolution)
    shift = torch.tensor([2.6, -3.3], requires_grad=True)
    optimizer = torch.optim.Adam([shift], 0.3)
    for i in range(60):
        optimizer.param_groups[0]["lr"] = 0.3 * 0.93**i
        loss = (picture(shift_pixels(pos, *shift, resolution), tri, palette, resolution) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert shift.abs().max() < 0.15


# Which edges are silhouettes.


@pytest.mark.parametrize("w", [None, 7])
def test_nothing_changes_inside_of_a_flat_tessellated_surface(w: int | None) -> None:
    points, tri = tessellated_quad(7, (4.2, 3.7), (31.0, 4.4), (-3.1, 30.0))
    tri = torch.where(torch.rand(len(tri), 1, generator=seeded(6)) < 0.5, tri, tri.flip(1))  # windings do not matter
    varying = 1.0 if w is None else 1 + torch.rand(len(points), generator=seeded(w))
    pos, resolution = pixels_to_clip(points, (40, 40), w=varying), (40, 40)
    palette = random_palette(tri, 7)
    rast = rasterized(pos[None], tri, resolution)
    color = faces_as_colors(rast, palette)[0]
    changed = (picture(pos, tri, palette, resolution) != color).any(-1)
    border = has_background_beside(rast[0])
    assert not changed[~border].any()
    assert (changed & border).sum() > 0.4 * border.sum()  # of every pair one, and where the edge is steep


def test_of_a_sphere_only_the_outline_changes() -> None:
    pos, tri = closed_mesh("sphere")
    rast = rasterized(pos[None], tri, (60, 60))
    palette = random_palette(tri, 8)
    color = faces_as_colors(rast, palette)[0]
    changed = (picture(pos, tri, palette, (60, 60)) != color).any(-1)
    border = has_background_beside(rast[0])
    assert not changed[~border].any()
    assert changed.sum() > 0.3 * border.sum()


def test_of_a_torus_the_folds_change_too() -> None:
    """Where its near side hides its far side: neighbours in the image are not neighbours on the surface."""
    (pos, tri), size = closed_mesh("torus", elevation=62.0), 90
    rast = rasterized(pos[None], tri, (size, size))
    palette = random_palette(tri, 9)
    color = faces_as_colors(rast, palette)[0]
    changed = (picture(pos, tri, palette, (size, size)) != color).any(-1)
    face = rast[0, ..., 3].long()
    corners = torch.cat([torch.full((1, 3), -1), tri.long()])[face]  # [H,W,3]
    apart = torch.zeros(size, size, dtype=torch.bool)
    for vertices, result in ((corners, apart), (corners.transpose(0, 1), apart.T)):
        touch = (vertices[:, 1:, :, None] == vertices[:, :-1, None, :]).flatten(2).any(-1)
        result[:, 1:] |= ~touch
        result[:, :-1] |= ~touch
    assert not changed[~apart].any()
    assert (changed & ~has_background_beside(rast[0])).sum() > 12


@pytest.mark.parametrize("near_first", [False, True])
def test_between_two_objects_the_outline_of_the_nearer_one_is_blended(near_first: bool) -> None:
    resolution = (40, 44)
    near = tessellated_quad(3, (12.3, 11.1), (14.0, 2.2), (-1.7, 15.0))
    far = tessellated_quad(4, (3.1, 3.3), (35.0, 0.7), (1.6, 33.0))
    near, far = (
        (pixels_to_clip(near[0], resolution, -0.5), near[1]),
        (pixels_to_clip(far[0], resolution, 0.5), far[1]),
    )
    pos, tri = merged(near, far) if near_first else merged(far, near)
    rast = rasterized(pos[None], tri, resolution)[0]
    label = (rast[..., 2] < 0).long() + 2 * (rast[..., 3] == 0)
    palette = random_palette(tri, 10)
    color = faces_as_colors(rast, palette)
    image = picture(pos, tri, palette, resolution)
    border = differs_from_neighbour(label)
    changed = (image != color).any(-1)
    assert not changed[~border].any()
    around_the_near_one = differs_from_neighbour((label == 1).long())
    assert changed[around_the_near_one].float().mean() > 0.4
    # only outlines move the picture
    pos.requires_grad_()
    weights = torch.rand(image.shape, generator=seeded(10))
    (grad,) = torch.autograd.grad((picture(pos, tri, palette, resolution) * weights).sum(), pos)
    parts = [torch.arange((n + 1) ** 2).reshape(n + 1, -1) for n in ((3, 4) if near_first else (4, 3))]
    parts[1] += parts[0].numel()
    inner = torch.cat([part[1:-1, 1:-1].flatten() for part in parts])
    assert not grad[inner].any()
    assert (grad != 0).any(-1).sum() > 20


def test_intersections_of_surfaces_are_left_alone() -> None:
    """Two large triangles that cross each other have no edge where one takes over from the other."""
    corners = torch.tensor([[-60.0, -60.0], [90.0, -70.0], [10.0, 110.0]])
    one, other = pixels_to_clip(corners, (24, 24)), pixels_to_clip(corners, (24, 24))
    one[:, 2], other[:, 2] = one[:, 0] / 10, -other[:, 0] / 10
    pos, tri = merged((one, torch.tensor([[0, 1, 2]])), (other, torch.tensor([[0, 1, 2]])))
    rast = rasterized(pos[None], tri, (24, 24))
    assert len(rast[..., 3].unique()) == 2
    palette = torch.tensor([[1.0], [0.2]])
    assert torch.equal(picture(pos, tri, palette, (24, 24)), faces_as_colors(rast, palette)[0])


def test_triangles_without_area_open_no_silhouettes() -> None:
    """Repeated vertices at an inner edge of a flat surface make it neither a border nor a fold."""
    points, tri = tessellated_quad(3, (3.2, 2.7), (15.0, 1.1), (-1.1, 14.0))
    pos, palette = pixels_to_clip(points, (20, 20)), random_palette(tri, 11)
    expected = picture(pos, tri, palette, (20, 20))
    inner = torch.stack([tri[:, 0], tri[:, 1], tri[:, 1]], 1), torch.stack([tri[:, 2], tri[:, 2], tri[:, 0]], 1)
    for extra in inner:
        for order in (lambda a, b: torch.cat([a, b]), lambda a, b: torch.cat([b, a])):
            both, colors = order(tri, extra), order(palette, torch.zeros(len(extra), 3))
            assert torch.equal(picture(pos, both.int(), colors, (20, 20)), expected)


# What it has to obey.


def test_antialiasing_is_linear_in_color_and_leaves_one_color_as_it_is() -> None:
    (pos, tri), resolution = scene("sphere before a plane")
    rast = rasterized(pos[None], tri, resolution)
    a, b = (torch.randn(1, *resolution, 3, generator=seeded(seed)) for seed in (12, 13))
    one, other, combined = (dr.antialias(x, rast, pos[None], tri.int()) for x in (a, b, 2 * a - 3 * b))
    torch.testing.assert_close(combined, 2 * one - 3 * other, rtol=0, atol=1e-5)
    constant = torch.full((1, *resolution, 2), 0.3)
    assert torch.equal(dr.antialias(constant, rast, pos[None], tri.int()), constant)
    g = torch.randn(one.shape, generator=seeded(14))
    a.requires_grad_()
    (grad,) = torch.autograd.grad(dr.antialias(a, rast, pos[None], tri.int()), a, g)
    forward, backward = (one.double() * g).sum(), (grad.double() * a.detach()).sum()
    assert float(forward) == pytest.approx(float(backward), rel=1e-5)


def test_gradient_of_positions_is_linear_in_cotangents_and_in_color() -> None:
    (pos, tri), resolution = scene("torus")
    rast, pos = rasterized(pos[None], tri, resolution), pos[None].requires_grad_()
    color = torch.randn(1, *resolution, 2, generator=seeded(15))
    g, h = (torch.randn(color.shape, generator=seeded(seed)) for seed in (16, 17))

    def gradient(color: Tensor, g: Tensor, **options: float) -> Tensor:
        return torch.autograd.grad(dr.antialias(color, rast, pos, tri.int(), **options), pos, g)[0]

    expected = gradient(color, g)
    scale = float(expected.abs().max())
    for actual, wanted in (
        (gradient(color, 2 * g - h), 2 * expected - gradient(color, h)),
        (gradient(-3 * color, g), -3 * expected),
        (gradient(color, g, pos_gradient_boost=2.5), 2.5 * expected),
        (gradient(color, g, pos_gradient_boost=0.0), 0 * expected),
    ):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5 * scale)


def test_boost_is_of_the_gradient_of_positions_only() -> None:
    (pos, tri), resolution = scene("soup")
    rast = rasterized(pos[None], tri, resolution)
    color = torch.randn(1, *resolution, 2, generator=seeded(18)).requires_grad_()
    plain = dr.antialias(color, rast, pos[None], tri.int())
    boosted = dr.antialias(color, rast, pos[None], tri.int(), pos_gradient_boost=4.0)
    assert torch.equal(plain, boosted)
    g = torch.randn(plain.shape, generator=seeded(19))
    assert torch.equal(*(torch.autograd.grad(out, color, g)[0] for out in (plain, boosted)))


@pytest.mark.parametrize("name", ["soup", "torus"])
def test_scaling_a_vertex_in_clip_space_changes_nothing(name: str) -> None:
    (pos, tri), resolution = scene(name)
    rast, pos = rasterized(pos[None], tri, resolution), pos[None].requires_grad_()
    color = torch.randn(1, *resolution, 2, generator=seeded(20))
    out = dr.antialias(color, rast, pos, tri.int())
    (grad,) = torch.autograd.grad(out, pos, torch.randn(out.shape, generator=seeded(21)))
    terms = (grad * pos).detach()
    assert terms.any()
    assert (terms.sum(-1).abs() <= 1e-4 * terms.abs().sum(-1).clamp(min=1e-6)).all()
    factor = 2.0 ** torch.randint(-3, 4, (1, pos.shape[1], 1), generator=seeded(22))
    torch.testing.assert_close(dr.antialias(color, rast, pos * factor, tri.int()), out, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["soup", "torus", "sphere before a plane"])
def test_transposing_and_mirroring_the_scene_does_so_to_the_picture(name: str) -> None:
    (pos, tri), (height, width) = scene(name)
    palette = random_palette(tri, 23)
    image = picture(pos, tri, palette, (height, width))
    transposed = picture(pos[:, [1, 0, 2, 3]], tri, palette, (width, height))
    torch.testing.assert_close(transposed.transpose(0, 1), image, rtol=0, atol=1e-5)
    mirrored = picture(pos * torch.tensor([-1.0, 1, 1, 1]), tri, palette, (height, width))
    torch.testing.assert_close(mirrored.flip(1), image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["soup", "torus"])
def test_naming_vertices_and_triangles_otherwise_changes_nothing(name: str) -> None:
    (pos, tri), resolution = scene(name)
    generator = seeded(24)
    palette = random_palette(tri, 24)
    order, new = torch.randperm(len(tri), generator=generator), torch.randperm(len(pos), generator=generator)
    renamed = new[tri[order].long()].roll(1, 1)
    renamed = torch.where(torch.rand(len(tri), 1, generator=generator) < 0.5, renamed, renamed.flip(1)).int()
    results = []
    for vertices, triangles, colors in (
        (pos, tri, palette),
        (pos[torch.argsort(new)], renamed, palette[order]),
    ):
        vertices = vertices.clone().requires_grad_()
        image = picture(vertices, triangles, colors, resolution)
        (grad,) = torch.autograd.grad(image, vertices, torch.randn(image.shape, generator=seeded(25)))
        results.append((image, grad))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=0, atol=1e-5)
    scale = float(results[0][1].abs().max())
    torch.testing.assert_close(results[1][1][new], results[0][1], rtol=1e-3, atol=1e-4 * scale)


def test_topology_that_is_made_once_gives_what_is_made_each_time() -> None:
    (pos, tri), resolution = scene("few vertices")
    rast, pos = rasterized(pos[None], tri, resolution), pos[None].requires_grad_()
    color = torch.randn(1, *resolution, 3, generator=seeded(26)).requires_grad_()
    topology = dr.antialias_construct_topology_hash(tri.int())
    expected = dr.antialias(color, rast, pos, tri.int())
    g = torch.randn(expected.shape, generator=seeded(27))
    grads = torch.autograd.grad(expected, (color, pos), g)
    for _ in range(2):
        out = dr.antialias(color, rast, pos, tri.int(), topology_hash=topology)
        assert torch.equal(out, expected)
        for one, other in zip(torch.autograd.grad(out, (color, pos), g), grads, strict=True):
            assert torch.equal(one, other)


def test_a_batch_is_antialiased_as_its_images_are() -> None:
    tri = triangle_soup(seeded(0), 15)[1].int()
    pos = torch.stack([triangle_soup(seeded(seed), 15, 0.7)[0] for seed in range(3)])
    rast = rasterized(pos, tri, (21, 70))
    color = torch.randn(3, 21, 70, 5, generator=seeded(28)).requires_grad_()
    pos.requires_grad_()
    out = dr.antialias(color, rast, pos, tri)
    g = torch.randn(out.shape, generator=seeded(29))
    grads = torch.autograd.grad(out, (color, pos), g)
    for i in range(3):
        inputs = [x[i : i + 1].detach().requires_grad_() for x in (color, pos)]
        single = dr.antialias(inputs[0], rast[i : i + 1], inputs[1], tri)
        assert torch.equal(single[0], out[i])
        for one, whole in zip(torch.autograd.grad(single, inputs, g[i : i + 1]), grads, strict=True):
            assert torch.equal(one[0], whole[i])


def test_channels_have_nothing_to_do_with_one_another() -> None:
    (pos, tri), resolution = scene("soup")
    rast, pos = rasterized(pos[None], tri, resolution), pos[None].requires_grad_()
    color = torch.randn(1, *resolution, 9, generator=seeded(30))
    g = torch.randn(color.shape, generator=seeded(31))
    out = dr.antialias(color, rast, pos, tri.int())
    (grad,) = torch.autograd.grad(out, pos, g)
    total = torch.zeros_like(grad)
    for part in (slice(0, 1), slice(1, 9)):
        one = dr.antialias(color[..., part].contiguous(), rast, pos, tri.int())
        assert torch.equal(one, out[..., part])
        total += torch.autograd.grad(one, pos, g[..., part])[0]
    torch.testing.assert_close(total, grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max()))


def test_range_mode_antialiases_slices_of_the_triangles() -> None:
    generator = seeded(32)
    pos, tri = triangle_soup(generator, 30, 0.8)
    ranges = torch.tensor([[0, 12], [12, 0], [12, 18]]).int()
    rast, _ = dr.rasterize(dr.RasterizeContext(), pos, tri.int(), (18, 23), ranges=ranges)
    color = torch.randn(3, 18, 23, 2, generator=generator)
    pos.requires_grad_()
    out = dr.antialias(color, rast, pos, tri.int())
    g = torch.randn(out.shape, generator=generator)
    (grad,) = torch.autograd.grad(out, pos, g)
    expected = torch.zeros_like(pos)
    for i, (start, count) in enumerate(ranges.tolist()):
        part, one = tri[start : start + count].int(), pos.detach()[None].requires_grad_()
        single = dr.antialias(color[i : i + 1], rasterized(one, part, (18, 23)), one, part)
        assert torch.equal(single[0], out[i])
        if count:
            expected += torch.autograd.grad(single, one, g[i : i + 1])[0][0]
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_bits_do_not_depend_on_threads_or_run() -> None:
    pos, tri = triangle_soup(seeded(33), 60, 0.4)
    tri = torch.cat([tri, torch.randint(180, (60, 3), generator=seeded(33))]).int()
    pos = torch.stack([pos, -pos * torch.tensor([1.0, 1, -1, -1])])
    rast = rasterized(pos, tri, (150, 70))
    color = torch.randn(2, 150, 70, 3, generator=seeded(34)).requires_grad_()
    pos.requires_grad_()
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        out = dr.antialias(color, rast, pos, tri)
        grads = torch.autograd.grad(out, (color, pos), torch.randn(out.shape, generator=seeded(35)))
        results.append(torch.cat([x.flatten() for x in (out, *grads)]))
    assert all(torch.equal(result, results[0]) for result in results)


# What gets a gradient, and what is broken.


def test_rast_gets_no_gradient_and_color_is_not_written_to() -> None:
    (pos, tri), resolution = scene("soup")
    pos = pos[None].requires_grad_()
    rast, _ = dr.rasterize(dr.RasterizeContext(), pos, tri.int(), resolution)
    color = torch.randn(1, *resolution, 3, generator=seeded(36))
    before = color.clone()
    out = dr.antialias(color, rast.detach(), pos, tri.int())
    assert torch.equal(color, before)
    assert out.data_ptr() != color.data_ptr()
    expected = torch.autograd.grad(out.square().sum(), pos)[0]
    assert torch.equal(torch.autograd.grad(dr.antialias(color, rast, pos, tri.int()).square().sum(), pos)[0], expected)
    assert not dr.antialias(color, rast.detach(), pos.detach(), tri.int()).requires_grad
    assert dr.antialias(color.requires_grad_(), rast.detach(), pos.detach(), tri.int()).requires_grad


def test_empty_pictures_stay_as_they_are() -> None:
    color = torch.rand(2, 6, 5, 3, generator=seeded(37)).requires_grad_()
    for vertices in (0, 3):
        pos, tri = torch.ones(2, vertices, 4).requires_grad_(), torch.zeros(0, 3).int()
        out = dr.antialias(color, torch.zeros(2, 6, 5, 4), pos, tri)
        assert torch.equal(out, color)
        grads = torch.autograd.grad(out.sum(), (color, pos))
        assert (grads[0] == 1).all()
        assert grads[1].shape == pos.shape
        assert not grads[1].any()


@pytest.mark.parametrize("resolution", [(1, 1), (1, 9), (9, 1)])
def test_pictures_of_one_row_or_column_are_antialiased_along_it(resolution: Resolution) -> None:
    pos = pixels_to_clip(torch.tensor([[0.2, 0.3], [0.2, -90.0], [5.3, 4.4], [0.7, 5.2]]).double(), resolution)
    tri = torch.tensor([[0, 1, 2], [0, 2, 3]])
    palette, rast = random_palette(tri, 38), rasterized(pos[None], tri, resolution)
    expected = oracle.antialias(faces_as_colors(rast, palette)[0].double(), rast[0], pos.double(), tri)
    torch.testing.assert_close(picture(pos, tri, palette, resolution).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_slivers_spikes_and_geometry_behind_the_eye_have_finite_gradients(seed: int) -> None:
    generator = seeded(seed)
    pos, _ = triangle_soup(generator, 12, 1.5, behind=True)
    pos[1] = pos[0] + 1e-6  # slivers
    pos[5] = (pos[3] + pos[4]) / 2
    pos[7] = pos[6]
    pos[9, 3] = 0.0
    pos[11] = math.nan
    pos[13] *= 1e6
    pos[14] = 0.0
    tri = torch.randint(36, (60, 3), generator=generator)
    tri = torch.cat([torch.arange(36).reshape(-1, 3), tri, tri[:9, [0, 0, 1]], tri[:9]]).int()
    rast = rasterized(pos[None], tri, (32, 32))
    color = torch.randn(1, 32, 32, 3, generator=generator).requires_grad_()
    pos = pos[None].requires_grad_()
    out = dr.antialias(color, rast, pos, tri)
    assert torch.isfinite(out).all()
    assert out.abs().max() < 20
    for grad in torch.autograd.grad(out, (color, pos), torch.randn(out.shape, generator=generator)):
        assert torch.isfinite(grad).all()


def test_triangles_that_reach_behind_the_eye_are_blended_at_edges_before_it_only() -> None:
    """An edge from before the eye to behind it has no two ends on the screen; the one before the eye has."""
    pos = torch.tensor([[-0.63, -0.4, 0.0, 1.0], [0.57, -0.45, 0.0, 1.0], [0.0, 0.8, 0.0, -1.0]], requires_grad=True)
    tri, color = torch.tensor([[0, 1, 2]]).int(), torch.ones(1, 1)
    rast = rasterized(pos[None], tri, (20, 20))
    plain = faces_as_colors(rast, color)[0]
    assert plain.any()
    image = picture(pos, tri, color, (20, 20))
    (grad,) = torch.autograd.grad(image.sum(), pos)
    assert (grad[2] == 0).all()
    assert (grad[:2, 1] != 0).all()
    changed = (image != plain)[..., 0]
    assert changed.any()
    assert (changed.any(1).nonzero()[:, 0] - (1 - 0.4) * 10).abs().max() < 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"color": torch.zeros(1, 4, 4, 3).double()}, "color"),
        ({"color": torch.zeros(1, 4, 5, 3)}, "color"),
        ({"color": torch.zeros(2, 4, 4, 3)}, "color"),
        ({"color": torch.zeros(4, 4, 3)}, "color"),
        ({"rast": torch.zeros(1, 4, 4, 3)}, "rast"),
        ({"rast": torch.zeros(1, 4, 4, 4).double()}, "rast"),
        ({"pos": torch.zeros(1, 3, 3)}, "pos"),
        ({"pos": torch.zeros(2, 3, 4)}, "pos"),
        ({"pos": torch.zeros(1, 3, 4).double()}, "pos"),
        ({"tri": torch.tensor([[0, 1, 2]])}, "tri"),
        ({"tri": torch.tensor([[0, 1, 3]]).int()}, "tri"),
        ({"tri": torch.tensor([[0, 1, -1]]).int()}, "tri"),
        ({"rast": torch.full((1, 4, 4, 4), 2.0)}, "tri"),
        ({"topology_hash": "abc"}, "topology_hash"),
    ],
)
def test_antialias_names_the_argument_that_is_wrong(changed: dict[str, object], named: str) -> None:
    arguments = {
        "color": torch.zeros(1, 4, 4, 3), "rast": torch.zeros(1, 4, 4, 4), "pos": torch.zeros(1, 3, 4),
        "tri": torch.tensor([[0, 1, 2]]).int(),
    }  # fmt: skip
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.antialias(**(arguments | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tri", [torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1]]).int(), torch.tensor([0, 1, 2]).int()]
)
def test_topology_of_wrong_triangles_is_refused(tri: Tensor) -> None:
    with pytest.raises(OptionError, match=r"^tri\b"):
        dr.antialias_construct_topology_hash(tri)


def test_topology_of_other_triangles_is_refused() -> None:
    """It would read out of bounds, or blend along edges that are not there."""
    (pos, tri), resolution = scene("soup")
    rast = rasterized(pos[None], tri, resolution)
    topology = dr.antialias_construct_topology_hash(tri[:-1].int())
    with pytest.raises(OptionError, match=r"^topology_hash\b"):
        dr.antialias(torch.zeros(1, *resolution, 1), rast, pos[None], tri.int(), topology)


def test_topology_that_names_vertices_beyond_pos_is_refused() -> None:
    tri = torch.tensor([[0, 1, 2], [2, 1, 3]]).int()
    topology = dr.antialias_construct_topology_hash(tri.where(tri < 3, 1_000_000_000).int())
    with pytest.raises(OptionError, match=r"^topology_hash\b"):
        dr.antialias(torch.zeros(1, 4, 4, 1), torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4), tri, topology)


@pytest.mark.parametrize("index", [-1.0, 0.5])
def test_what_is_not_the_index_of_a_triangle_is_background(index: float) -> None:
    """As it is for interpolate. The triangle before the first must not be read: here it would be blended."""
    pos = torch.tensor([[-0.6, -3.0, 0, 1], [5.0, 0, 0, 1], [-0.6, 3.0, 0, 1]])
    tri, color = torch.tensor([[0, 1, 2], [0, 1, 2]]).int()[1:], torch.rand(1, 8, 8, 1, generator=seeded(40))
    rast = torch.zeros(1, 8, 8, 4)
    rast[..., 2:, 3] = index
    assert torch.equal(dr.antialias(color, rast, pos[None], tri), color)
