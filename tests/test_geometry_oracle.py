"""The oracle of rasterize, interpolate and antialias: its gradients are those of what it computes."""

from __future__ import annotations

import oracle
import pytest
import torch
from scenes import closed_mesh, faces_as_colors, merged, pixels_to_clip, polygon
from test_rasterize import seeded, triangle_soup


def seen_faces(pos: torch.Tensor, tri: torch.Tensor, resolution: tuple[int, int]) -> torch.Tensor:
    return oracle.rasterize(pos, tri, resolution)[0][..., 3].long() - 1


@pytest.mark.parametrize("behind", [False, True])
def test_drawing_of_attributes_has_the_derivatives_of_finite_differences(behind: bool) -> None:
    generator = seeded(1)
    pos, tri = triangle_soup(generator, 3, 1.5, behind)
    pos = pos.double().requires_grad_()
    face = seen_faces(pos.detach(), tri, (3, 3))
    assert (face >= 0).sum() > 3
    attr = torch.rand(4, 2, generator=generator).double().requires_grad_()
    attr_tri = torch.randint(4, tri.shape, generator=generator)
    assert torch.autograd.gradcheck(
        lambda pos, attr: oracle.draw(pos, tri, face, attr, attr_tri), (pos, attr), rtol=1e-4
    )


def test_pixel_derivatives_are_those_of_moving_the_triangle_the_other_way() -> None:
    pos, tri = triangle_soup(seeded(2), 5, 1.5)
    face, step = seen_faces(pos, tri, (6, 9)), 1e-4
    _, db = oracle.barycentrics(pos.double(), tri, face)
    for axis, per_pixel in ((0, 2 / 9), (1, 2 / 6)):
        moved = []
        for sign in (-1, 1):
            shifted = pos.double().clone()
            shifted[:, axis] += sign * step * per_pixel * shifted[:, 3]
            moved.append(oracle.barycentrics(shifted, tri, face)[0])
        torch.testing.assert_close(db[..., axis::2], (moved[0] - moved[1]) / (2 * step), rtol=1e-5, atol=1e-6)


def test_blending_the_buffers_is_drawing_the_attributes() -> None:
    generator = seeded(3)
    pos, tri = triangle_soup(generator, 8)
    face = seen_faces(pos, tri, (6, 6))
    attr = torch.rand(7, 3, generator=generator).double().requires_grad_()
    attr_tri = torch.randint(7, tri.shape, generator=generator)
    uv, db = oracle.barycentrics(pos.double(), tri, face)
    rast = torch.cat([uv, torch.zeros(6, 6, 1), (face + 1)[..., None]], -1)
    for one, other in zip(
        oracle.blend(attr, rast, attr_tri, db, [0, 1, 2]),
        oracle.draw(pos.double(), tri, face, attr, attr_tri),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    uv, db = uv.requires_grad_(), db.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda attr, uv, db: oracle.blend(attr, torch.cat([uv, rast[..., 2:]], -1), attr_tri, db, [2, 0, 2]),
        (attr, uv, db),
    )


def test_layers_go_from_near_to_far_until_nothing_is_left() -> None:
    pos, tri = triangle_soup(seeded(4), 6)
    covered = torch.ones(8, 8, dtype=torch.bool)
    depth = torch.full((8, 8), -1.0).double()
    for layer in range(7):
        rast, _, sure = oracle.rasterize(pos, tri, (8, 8), layer)
        now = rast[..., 3] > 0
        assert not (now & ~covered).any()
        assert (rast[..., 2] >= depth)[now & sure].all()
        covered, depth = now, rast[..., 2]
    assert not covered.any()


def test_vertices_across_an_edge_are_the_first_two_that_differ() -> None:
    tri = torch.tensor([[0, 1, 2], [1, 0, 2], [3, 0, 1], [0, 1, 4], [0, 0, 1], [5, 6, 0]])
    across = oracle.vertices_across(tri)
    assert across[0, 1] == [2, 3]
    assert across[5, 6] == [0]
    assert (0, 0) not in across


@pytest.mark.parametrize("kind", ["soup", "sphere"])
def test_antialias_has_the_derivatives_of_finite_differences(kind: str) -> None:
    """With a step in every single number, and with a step of all of them along a random direction."""
    generator = seeded(5)
    if kind == "soup":
        pos, tri = triangle_soup(generator, 4, 0.8)
        resolution = (5, 6)
    else:
        pos, tri = merged(closed_mesh(kind), (triangle_soup(generator, 2)[0], torch.tensor([[0, 1, 2], [3, 4, 5]])))
        resolution = (16, 14)
    rast, _, _ = oracle.rasterize(pos, tri, resolution)
    color = torch.rand(*resolution, 2, generator=generator).double()
    if kind == "soup":
        assert torch.autograd.gradcheck(
            lambda color, pos: oracle.antialias(color, rast, pos, tri),
            (color.requires_grad_(), pos.double().requires_grad_()),
        )
    weights = torch.randn(*resolution, 2, generator=generator).double()
    pos = pos.double().requires_grad_()
    (oracle.antialias(color.detach(), rast, pos, tri) * weights).sum().backward()
    assert pos.grad is not None
    assert (pos.grad != 0).any(-1).sum() > 5
    direction, step = torch.randn(pos.shape, generator=generator).double(), 1e-6
    with torch.no_grad():
        there, here = (
            (oracle.antialias(color.detach(), rast, pos + sign * step * direction, tri) * weights).sum()
            for sign in (1, -1)
        )
    assert (there - here) / (2 * step) == pytest.approx(float((pos.grad * direction).sum()), rel=1e-5)


@pytest.mark.parametrize("left", [3.2, 3.7])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_antialias_of_an_upright_edge_is_the_covered_share(left: float, mirrored: bool, vertical: bool) -> None:
    """What covers from pixel 3.2 on has 0.8 of pixel 3: its centre, at 3.5, included, so 0.2 of it is taken away."""
    points = torch.tensor([[left, -20.0], [30.0, 4.0], [left, 28.0]]).double()
    if mirrored:
        points[:, 0] = 8 - points[:, 0]
    if vertical:
        points = points.flip(1)
    pos, tri = pixels_to_clip(points, (8, 8)), torch.tensor([[0, 1, 2]])
    rast, _, _ = oracle.rasterize(pos, tri, (8, 8))
    image = oracle.antialias((rast[..., 3:] > 0).double(), rast, pos.double(), tri)[..., 0]
    if vertical:
        image = image.T
    if mirrored:
        image = image.flip(1)
    row = torch.zeros(8).double()
    row[4:] = 1.0
    row[3] = 4 - left
    torch.testing.assert_close(image, row.expand(8, 8), rtol=0, atol=1e-6)


def test_antialiased_area_of_a_polygon_is_its_area() -> None:
    points, tri = polygon(5, (20.3, 18.9), 15.0)
    rast, _, _ = oracle.rasterize(pixels_to_clip(points, (40, 42)), tri, (40, 42))
    color = faces_as_colors(rast, torch.ones(5, 1).double())
    area = oracle.antialias(color, rast, pixels_to_clip(points, (40, 42)).double(), tri).sum()
    assert area == pytest.approx(5 / 2 * 15**2 * float(torch.sin(torch.tensor(2 * torch.pi / 5))), abs=1.5)
