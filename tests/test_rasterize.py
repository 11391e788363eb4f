"""Coverage, visibility, barycentrics and their derivatives; what the renderer makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import oracle
import pytest
import torch
import trimesh
from torch import Tensor

import texopt.raster as dr
from texopt import OptionError, orbit, perspective
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.render.scene import rasterize as render_rasterize

Resolution = tuple[int, int]
RESOLUTIONS = [(32, 32), (17, 40), (50, 11)]


def draw(pos: Tensor, tri: Tensor, resolution: Resolution) -> tuple[Tensor, Tensor]:
    """One image of vertices [V,4]: rast [H,W,4], rast_db [H,W,4]."""
    rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos[None].float(), tri.int(), resolution)
    return rast[0], rast_db[0]


def faces_of(pos: Tensor, tri: Tensor, resolution: Resolution) -> Tensor:
    """int64 [H,W], -1 where nothing is."""
    return draw(pos, tri, resolution)[0][..., 3].long() - 1


def coverage_count(pos: Tensor, tri: Tensor, resolution: Resolution) -> Tensor:
    """How many triangles cover each pixel, every one drawn alone: int64 [H,W]."""
    return torch.stack([faces_of(pos, tri[i : i + 1], resolution) + 1 for i in range(len(tri))]).sum(0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid(lines_x: Tensor, lines_y: Tensor, generator: torch.Generator, jitter: float = 0.0) -> tuple[Tensor, Tensor]:
    """A triangulated plane: positions float64 [V,2], triangles [F,3] of random diagonals, windings and order.

    Inner vertices move by up to `jitter` (under 0.5) of the gap to the nearest line.
    """

    def moved(lines: Tensor, others: int) -> Tensor:
        gaps = lines.diff()
        reach = torch.cat([gaps.new_zeros(1), torch.minimum(gaps[1:], gaps[:-1]), gaps.new_zeros(1)])
        return lines + jitter * reach * (2 * torch.rand(others, len(lines), generator=generator).double() - 1)

    columns, rows = len(lines_x), len(lines_y)
    positions = torch.stack([moved(lines_x, rows), moved(lines_y, columns).T], -1).reshape(-1, 2)
    index = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.flatten() for x in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    one = torch.stack([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    two = torch.stack([torch.stack([a, b, d], 1), torch.stack([b, c, d], 1)])
    tri = torch.where(torch.rand(len(a), 1, generator=generator) < 0.5, one, two).reshape(-1, 3)
    flip = torch.rand(len(tri), 1, generator=generator) < 0.5
    tri = torch.where(flip, tri.flip(1), tri)
    return positions, tri[torch.randperm(len(tri), generator=generator)]


def to_clip(positions: Tensor, z: float = 0.0, w: Tensor | float = 1.0) -> Tensor:
    """Screen positions [V,2] at depth z/w = `z` with clip-space w: float32 [V,4]."""
    w = torch.as_tensor(w).double().expand(len(positions))
    return (
        torch.cat([positions, torch.full_like(positions[:, :1], z), torch.ones_like(positions[:, :1])], 1) * w[:, None]
    ).float()


def triangle_soup(
    generator: torch.Generator, count: int, size: float = 1.0, behind: bool = False
) -> tuple[Tensor, Tensor]:
    """Triangles that intersect one another, seen in perspective; some corners behind the eye if wanted."""
    centre = (2 * torch.rand(count, 1, 3, generator=generator) - 1) * torch.tensor([1.0, 1.0, 0.7])
    reach = torch.tensor([size, size, min(size, 1.0)])
    ndc = (centre + reach * (2 * torch.rand(count, 3, 3, generator=generator) - 1)).reshape(-1, 3)
    w = 0.5 + 2.5 * torch.rand(3 * count, 1, generator=generator)
    pos = torch.cat([ndc * w, w], 1)
    if behind:
        pos[:, 2:] -= (
            1.5 * (torch.rand(3 * count, 1, generator=generator) < 0.3) * torch.rand(3 * count, 2, generator=generator)
        )
    return pos, torch.arange(3 * count).reshape(-1, 3)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# Watertightness: of triangles that share edges, exactly one draws each pixel.


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("varying_w", [False, True])
@pytest.mark.parametrize(("cells", "reach"), [(1, 1.0), (2, 1e4), (9, 1.0), (7, 30.0), (16, 1.2)])
def test_jittered_plane_covers_every_pixel_once(
    resolution: Resolution, varying_w: bool, cells: int, reach: float
) -> None:
    generator = seeded(cells)
    lines = torch.linspace(-reach, reach, cells + 1).double()
    positions, tri = grid(lines, lines, generator, jitter=0.4)
    w = 0.2 + 5 * torch.rand(len(positions), generator=generator) if varying_w else 1.0
    pos = to_clip(positions, w=w)
    assert (coverage_count(pos, tri, resolution) == 1).all()
    assert (faces_of(pos, tri, resolution) >= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_triangles_of_all_sizes_cover_every_pixel_once(seed: int) -> None:
    """From a ten-thousandth of the view to ten thousand times the view, far beyond the guard band, around one point."""
    generator = seeded(seed)
    steps = torch.logspace(-4, 4, 9).double()
    lines = torch.cat([-steps.flip(0), torch.zeros(1), steps])
    positions, tri = grid(lines, lines, generator, jitter=0.3)
    positions += torch.rand(2, generator=generator) - 0.5
    w = 10 ** (4 * torch.rand(len(positions), generator=generator) - 2)
    assert (coverage_count(to_clip(positions, w=w), tri, (13, 20)) == 1).all()


@pytest.mark.parametrize("resolution", [(8, 16), (12, 10)])
@pytest.mark.parametrize("w", [1.0, 3.7])
def test_vertices_and_edges_on_pixel_centres_are_drawn_once(resolution: Resolution, w: float) -> None:
    """Grid lines run through pixel centres in both directions, and diagonals through the centres between them."""
    height, width = resolution
    lines_x = (2 * torch.arange(-1, width + 2, 2).double() + 1) / width - 1
    lines_y = (2 * torch.arange(-1, height + 2, 2).double() + 1) / height - 1
    positions, tri = grid(lines_x, lines_y, seeded(0))
    assert (coverage_count(to_clip(positions, w=w), tri, resolution) == 1).all()


def test_slivers_that_fan_out_from_a_pixel_centre_cover_every_pixel_once() -> None:
    angle = torch.linspace(0, 2 * np.pi, 181)[:-1].double()
    rim = 1.8 * torch.stack([angle.cos(), angle.sin()], 1)
    positions = torch.cat([torch.full((1, 2), 1 / 16).double(), rim])
    index = torch.arange(180)
    tri = torch.stack([torch.zeros(180).long(), 1 + index, 1 + (index + 1) % 180], 1)
    assert (coverage_count(to_clip(positions), tri, (16, 16)) == 1).all()


@pytest.mark.parametrize("near", [0.01, 1.7])
def test_plane_through_the_eye_covers_every_pixel_below_the_horizon_once(near: float) -> None:
    """Many triangles of a tessellated ground are clipped by the near plane, neighbours of others that are not."""
    lines = torch.cat([-torch.logspace(4, -2, 7), torch.zeros(1), torch.logspace(-2, 4, 7)]).double()
    positions, tri = grid(lines, lines, seeded(1), jitter=0.3)
    x, z = positions.unbind(1)
    world = torch.stack([x, torch.full_like(x, -1.0), z, torch.ones_like(x)], 1)
    projection = perspective(torch.tensor([90.0]), 1.0, torch.tensor([near]), torch.tensor([1000.0]))[0].double()
    count = coverage_count((world @ projection.T).float(), tri, (32, 32))
    y = (2 * torch.arange(32) + 1) / 32 - 1
    expected = (y < 0) & (-1 / y >= near)
    assert torch.equal(count, expected[:, None].expand(-1, 32).long())


@pytest.mark.parametrize("z", [-1.0, 1.0])
@pytest.mark.parametrize("varying_w", [False, True])
def test_surface_exactly_on_the_near_or_far_plane_is_visible(z: float, varying_w: bool) -> None:
    generator = seeded(2)
    lines = torch.linspace(-1.5, 1.5, 8).double()
    positions, tri = grid(lines, lines, generator, jitter=0.4)
    w = 0.2 + 5 * torch.rand(len(positions), generator=generator) if varying_w else 1.0
    assert (faces_of(to_clip(positions, z, w), tri, (64, 64)) >= 0).all()


@pytest.mark.parametrize("angles", [(0.0, 0.0), (33.0, 71.0), (200.0, -15.0)])
def test_closed_convex_mesh_has_no_holes_and_shows_its_front_only(angles: tuple[float, float]) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    cameras = orbit(torch.tensor([angles[0]]), torch.tensor([angles[1]]))
    pos = cameras.project(torch.from_numpy(sphere.vertices))[0]
    face = faces_of(pos, torch.from_numpy(sphere.faces), (96, 96))
    mask = (face >= 0).int()
    for lines in (mask, mask.T):
        starts = (torch.nn.functional.pad(lines, (1, 0)).diff(dim=1) == 1).sum(1)
        assert (starts <= 1).all()
    assert 0.97 < mask.float().mean() / (np.pi / 4) < 1.03
    eye = -(cameras.view[0, :3, :3].T @ cameras.view[0, :3, 3]).numpy()
    towards_eye = ((eye - sphere.triangles_center) * sphere.face_normals).sum(1)
    assert (towards_eye[face[face >= 0].unique().numpy()] > 0).all()


# Parity with the oracle.


@pytest.mark.parametrize("resolution", [(40, 32), (21, 48)])
@pytest.mark.parametrize(("size", "behind"), [(0.3, False), (1.0, False), (1.0, True), (30.0, True)])
@pytest.mark.parametrize("seed", range(2))
def test_rasterize_and_interpolate_agree_with_the_oracle(
    resolution: Resolution, size: float, behind: bool, seed: int
) -> None:
    generator = seeded(seed)
    pos, tri = triangle_soup(generator, 30, size, behind)
    expected, expected_db, sure = oracle.rasterize(pos, tri, resolution)
    rast, rast_db = draw(pos, tri, resolution)
    assert sure.float().mean() > 0.5
    assert (expected[sure][:, 3] > 0).float().mean() > 0.05
    assert (rast[..., 3] == expected[..., 3])[sure].all()

    seen = sure & (expected[..., 3] > 0)
    torch.testing.assert_close(rast[seen].double(), expected[seen], rtol=1e-5, atol=1e-5)
    scale = expected_db[seen].abs().amax(-1, keepdim=True)
    torch.testing.assert_close(rast_db[seen] / scale, expected_db[seen] / scale, rtol=0, atol=1e-5, check_dtype=False)

    # attributes have an indexing of their own
    attr = 2 * torch.rand(1, 50, 3, generator=generator) - 1
    attr_tri = torch.randint(50, tri.shape, generator=generator)
    out, out_da = dr.interpolate(attr, rast[None], attr_tri.int(), rast_db[None], "all")
    face = expected[seen][:, 3].long() - 1
    xy = oracle.pixel_centres(resolution).reshape(*resolution, 2)[seen]
    values, derivatives = oracle.interpolate(pos.double()[tri[face]], attr[0].double()[attr_tri[face]], xy, resolution)
    torch.testing.assert_close(out[0][seen].double(), values, rtol=0, atol=2e-5)
    torch.testing.assert_close(out_da[0][seen] / scale, derivatives / scale, rtol=0, atol=5e-5, check_dtype=False)
    background = rast[..., 3] == 0
    assert background.any() or size > 1
    for image in (rast, rast_db, out[0], out_da[0]):
        assert (image[background] == 0).all()


def test_derivatives_are_the_differences_between_neighbouring_pixels() -> None:
    """Of a triangle larger than the view at constant w, where barycentrics are affine: X is columns, Y is rows."""
    rast, rast_db = draw(
        to_clip(torch.tensor([[-3.0, -2.0], [4.0, -2.5], [-1.0, 5.0]])), torch.tensor([[0, 1, 2]]), (24, 16)
    )
    for channel in range(2):
        differences = rast[:, :, channel].double()
        torch.testing.assert_close(rast_db[:, :-1, 2 * channel].double(), differences.diff(dim=1), rtol=0, atol=2e-7)
        torch.testing.assert_close(
            rast_db[:-1, :, 2 * channel + 1].double(), differences.diff(dim=0), rtol=0, atol=2e-7
        )


def test_barycentrics_are_one_zero_at_the_first_vertex_and_zero_one_at_the_second() -> None:
    """The corners lie just outside of pixel centres: columns go with x, rows with y, y = -w being row 0."""
    positions = torch.tensor([[-0.63, -0.63], [0.64, -0.63], [-0.63, 0.64]]).double()
    pos = to_clip(positions, w=torch.tensor([1.0, 2.0, 3.0]))
    rast, _ = draw(pos, torch.tensor([[0, 1, 2]]), (8, 8))
    rast_next, _ = draw(pos, torch.tensor([[1, 2, 0]]), (8, 8))
    corners = torch.stack([rast[1, 1, :2], rast[1, 6, :2], rast[6, 1, :2]])
    torch.testing.assert_close(corners, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), rtol=0, atol=0.03)
    covered = rast[..., 3] > 0
    torch.testing.assert_close(rast_next[covered][:, 0], rast[covered][:, 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1e6])
def test_scaling_clip_space_changes_nothing(scale: float) -> None:
    pos, tri = triangle_soup(seeded(5), 40, 0.7, behind=True)
    power = 2.0 ** round(np.log2(scale))  # so that float32 scales exactly
    for one, other in zip(draw(pos, tri, (32, 32)), draw(pos * power, tri, (32, 32)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_batch_is_drawn_as_its_images_are() -> None:
    tri = triangle_soup(seeded(0), 20)[1].int()
    pos = torch.stack([triangle_soup(seeded(seed), 20, behind=seed > 0)[0] for seed in range(3)])
    rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos, tri, (30, 70))
    attr = torch.rand(3, 60, 2, generator=seeded(9))
    out, out_da = dr.interpolate(attr, rast, tri, rast_db, "all")
    for i in range(3):
        one = draw(pos[i], tri, (30, 70))
        assert torch.equal(rast[i], one[0])
        assert torch.equal(rast_db[i], one[1])
        single = dr.interpolate(attr[i : i + 1], rast[i : i + 1], tri, rast_db[i : i + 1], "all")
        assert torch.equal(out[i], single[0][0])
        assert torch.equal(out_da[i], single[1][0])


# Near plane, far plane, and what is behind the eye.


@pytest.mark.parametrize(("near", "far"), [(0.01, 1000.0), (1.7, 1000.0), (0.01, 5.3), (1.7, 5.3)])
def test_ground_plane_that_reaches_behind_the_eye_covers_the_analytic_rows(near: float, far: float) -> None:
    """Height 1, field of view 90 degrees: a ray at screen height y < 0 meets the ground at depth -1 / y."""
    reach = 1e4
    world = torch.tensor(
        [[-reach, -1, -reach, 1], [reach, -1, -reach, 1], [reach, -1, reach, 1], [-reach, -1, reach, 1]]
    )
    projection = perspective(torch.tensor([90.0]), 1.0, torch.tensor([near]), torch.tensor([far]))[0]
    face = faces_of(world @ projection.T, torch.tensor([[0, 1, 2], [0, 2, 3]]), (64, 48))
    y = (2 * torch.arange(64) + 1) / 64 - 1
    depth = torch.where(y < 0, -1 / y, torch.inf)
    expected = (near <= depth) & (depth <= far)
    assert 0 < expected.sum() <= 32
    assert torch.equal(face >= 0, expected[:, None].expand(-1, 48))


@pytest.mark.parametrize("depth", [(-0.5, -7.0, -3.0), (0.0, 0.0, 0.0), (1e-3, -2.0, -3.0), (200.0, 101.0, 1000.0)])
def test_triangles_behind_the_eye_before_near_or_beyond_far_are_invisible(depth: tuple[float, float, float]) -> None:
    projection = perspective(torch.tensor([60.0]), 1.0, torch.tensor([0.01]), torch.tensor([100.0]))[0]
    world = torch.tensor([[-9.0, -8, 0, 1], [9, -8, 0, 1], [0, 9, 0, 1]])
    world[:, 2] = -torch.tensor(depth)
    assert (faces_of(world @ projection.T, torch.tensor([[0, 1, 2]]), (32, 32)) < 0).all()


# Geometry that cannot be drawn.


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("component", range(4))
def test_triangles_with_values_that_are_not_finite_are_skipped(value: float, component: int) -> None:
    pos, tri = triangle_soup(seeded(3), 30)
    spoilt = pos.clone()
    spoilt[0::15, component] = value  # a corner of every fifth triangle
    rest = torch.arange(30) % 5 != 0
    face = faces_of(spoilt, tri, (32, 32))
    without = faces_of(pos, tri[rest], (32, 32))
    assert torch.equal(face, torch.where(without < 0, -1, rest.nonzero()[without.clamp(min=0), 0]))


def test_triangles_without_area_are_skipped() -> None:
    pos = to_clip(torch.tensor([[-0.9, -0.9], [0.9, 0.8], [-0.1, 0.7], [0.0, -0.05], [-0.9, -0.9]]).double())
    repeated = [[0, 0, 0], [0, 1, 1], [1, 0, 1], [0, 4, 2]]
    along_a_line = [[0, 3, 0]]
    assert (faces_of(pos, torch.tensor(repeated + along_a_line), (32, 32)) < 0).all()
    face = faces_of(pos, torch.tensor([*repeated, [0, 1, 2], *along_a_line]), (32, 32))
    assert set(face.unique().tolist()) == {-1, 4}
    assert (faces_of(torch.zeros(3, 4), torch.tensor([[0, 1, 2]]), (4, 4)) < 0).all()
    edge_on = torch.tensor([[0.0, -1, 0, 1], [0, 1, 0, 1], [0, 0, 0.5, 2]])
    assert (faces_of(edge_on, torch.tensor([[0, 1, 2]]), (5, 5)) < 0).all()


@pytest.mark.parametrize("vertices", [0, 3])
def test_no_triangles_make_an_empty_image(vertices: int) -> None:
    rast, rast_db = dr.rasterize(
        dr.RasterizeContext(), torch.ones(2, vertices, 4), torch.zeros(0, 3, dtype=torch.int32), (5, 7)
    )
    assert rast.shape == rast_db.shape == (2, 5, 7, 4)
    assert not rast.any()
    assert not rast_db.any()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"pos": torch.zeros(1, 3, 4).double()}, "pos"),
        ({"pos": torch.zeros(3, 4)}, "ranges"),
        ({"pos": torch.zeros(1, 3, 3)}, "pos"),
        ({"tri": torch.zeros(1, 3).long()}, "tri"),
        ({"tri": torch.zeros(1, 4).int()}, "tri"),
        ({"tri": torch.zeros(3).int()}, "tri"),
        ({"tri": torch.tensor([[0, 1, 3]]).int()}, "tri"),
        ({"tri": torch.tensor([[0, 1, -1]]).int()}, "tri"),
        ({"resolution": (0, 8)}, "resolution"),
        ({"resolution": (8, 99999)}, "resolution"),
    ],
)
def test_rasterize_names_the_argument_that_is_wrong(changed: dict[str, object], named: str) -> None:
    arguments = {"pos": torch.zeros(1, 3, 4), "tri": torch.tensor([[0, 1, 2]]).int(), "resolution": (8, 8)} | changed
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.rasterize(dr.RasterizeContext(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"attr": torch.zeros(1, 3, 2).double()}, "attr"),
        ({"attr": torch.zeros(3)}, "attr"),
        ({"attr": torch.zeros(3, 3, 2)}, "attr"),
        ({"rast": torch.zeros(2, 4, 4, 3)}, "rast"),
        ({"tri": torch.zeros(1, 3).long()}, "tri"),
        ({"tri": torch.tensor([[0, 1, 3]]).int()}, "tri"),
        ({"tri": torch.tensor([[0, 1, -1]]).int()}, "tri"),
        ({"rast_db": torch.zeros(2, 4, 5, 4)}, "rast_db"),
    ],
)
def test_interpolate_names_the_argument_that_is_wrong(changed: dict[str, Tensor], named: str) -> None:
    rast = torch.zeros(2, 4, 4, 4)
    tri = torch.tensor([[0, 1, 2]]).int()
    arguments = {"attr": torch.zeros(1, 3, 2), "rast": rast, "tri": tri, "rast_db": rast, "diff_attrs": "all"}
    with pytest.raises(OptionError, match=rf"^{named}\b"):
        dr.interpolate(**(arguments | changed))


def test_interpolate_refuses_a_tri_that_has_fewer_triangles_than_were_drawn() -> None:
    rast, rast_db = draw(
        torch.tensor([[-3.0, -1, 0, 1], [3, -1, 0, 1], [0, 3, 0, 1]]), torch.tensor([[0, 0, 0], [0, 1, 2]]), (4, 4)
    )
    with pytest.raises(OptionError, match=r"^tri\b"):
        dr.interpolate(torch.zeros(1, 3, 2), rast[None], torch.tensor([[0, 1, 2]]).int(), rast_db[None], "all")


# Depth ties and determinism.


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.usefixtures("restore_threads")
def test_of_triangles_at_one_depth_the_lowest_index_is_seen(threads: int) -> None:
    """Also where some are clipped by the guard band, which draws them after all the others."""
    torch.set_num_threads(threads)
    generator = seeded(6)
    positions = (
        torch.rand(25, 1, 2, generator=generator) * 2 - 1 + torch.rand(25, 3, 2, generator=generator) - 0.5
    ).double()
    positions[3::6] = torch.tensor([[-2e5, -1e5], [3e5, -2e5], [0.3, 0.6]]).double()
    pos, tri = to_clip(positions.reshape(-1, 2)), torch.arange(75).reshape(-1, 3)
    resolution = (150, 24)
    alone = torch.stack([faces_of(pos, tri[i : i + 1], resolution) == 0 for i in range(25)])
    first = torch.where(alone.any(0), alone.int().argmax(0), -1)
    assert torch.equal(faces_of(pos, tri, resolution), first)
    assert (alone.sum(0) > 1).float().mean() > 0.3


@pytest.mark.parametrize("behind", [False, True])
def test_of_the_same_triangle_twice_the_first_is_seen_whatever_their_windings(behind: bool) -> None:
    """Two-sided surfaces are often modelled as pairs of faces that run the other way around."""
    pos, tri = triangle_soup(seeded(7), 25, behind=behind)
    once = faces_of(pos, tri, (48, 48))
    for order in ([0, 1, 2], [0, 2, 1], [1, 2, 0]):
        assert torch.equal(faces_of(pos, torch.cat([tri, tri[:, order]]), (48, 48)), once)


@pytest.mark.usefixtures("restore_threads")
def test_bits_do_not_depend_on_threads_or_run() -> None:
    pos, tri = triangle_soup(seeded(8), 300, 0.5, behind=True)
    attr = torch.rand(1, len(pos), 3, generator=seeded(8))
    results = []
    for threads in (1, 2, 3, 5, 5):
        torch.set_num_threads(threads)
        rast, rast_db = draw(pos, tri, (331, 64))
        out = dr.interpolate(attr, rast[None], tri.int(), rast_db[None], "all")
        results.append(torch.cat([rast.flatten(), rast_db.flatten(), *(x.flatten() for x in out)]))
    assert all(torch.equal(result, results[0]) for result in results)


# From a mesh to Fragments.


def quad(width: float = 2.0, height: float = 2.0) -> Mesh:
    """A rectangle in the plane z = 0 that faces +Z, with the texture coordinates that OBJ gives it."""
    x, y = width / 2, height / 2
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(
        name="quad", vertices=np.array([[5 - x, -y, 2.0], [5 + x, -y, 2], [5 + x, y, 2], [5 - x, y, 2]]), faces=faces,
        uvs=np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]]), face_uvs=faces, normals=None, face_normals=None,
        maps=(TextureMap(np.zeros((1, 1, 3), np.uint8)),),
    )  # fmt: skip


def test_fragments_have_the_shapes_and_types_they_promise() -> None:
    fragments = render_rasterize(
        quad(), orbit(torch.tensor([0.0, 40.0, 180.0]), torch.tensor([0.0, 20.0, -5.0])), 24, 36
    )
    shapes = {"face_id": (), "bary": (2,), "depth": (), "uv": (2,), "uv_da": (4,), "mask": (), "map_id": ()}
    dtypes = {"face_id": torch.int32, "mask": torch.bool, "map_id": torch.int32}
    for name, channels in shapes.items():
        value = getattr(fragments, name)
        assert tuple(value.shape) == (3, 24, 36, *channels), name
        assert value.dtype == dtypes.get(name, torch.float32), name
    assert torch.equal(fragments.mask, fragments.face_id >= 0)
    assert fragments.mask.any()
    assert not fragments.mask.all()
    for value in (fragments.bary, fragments.depth, fragments.uv, fragments.uv_da):
        assert not value[~fragments.mask].any()
    assert set(fragments.face_id.unique().tolist()) == {-1, 0, 1}
    assert (fragments.depth.abs() <= 1).all()
    assert render_rasterize(quad(), orbit(torch.zeros(1), torch.zeros(1)), 24).mask.shape == (1, 24, 24)


def test_quad_seen_from_the_front_has_its_texture_upright() -> None:
    """u grows to the right with the columns; v = 1 is at the top, in row 0. A step of a pixel changes uv by uv_da."""
    fragments = render_rasterize(quad(), orbit(torch.zeros(1), torch.zeros(1)), 64)
    mask, uv, uv_da = fragments.mask[0], fragments.uv[0], fragments.uv_da[0]
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    assert mask.sum() == len(rows) * len(columns)
    assert rows[0] == 63 - rows[-1]
    assert columns[0] == 63 - columns[-1]
    inside = uv[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    step = float(2**0.5 / 64 / np.cos(np.radians(5.0)))  # the half diagonal is 1 at distance 1 / sin 5°
    torch.testing.assert_close(inside[..., 0].diff(dim=1), torch.full_like(inside[:, 1:, 0], step), rtol=0, atol=1e-5)
    torch.testing.assert_close(inside[..., 1].diff(dim=0), torch.full_like(inside[1:, :, 1], -step), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        uv_da[mask], torch.tensor([step, 0, 0, -step]).float().expand(int(mask.sum()), 4), rtol=0, atol=1e-5
    )


def test_nearer_surface_hides_the_farther_one() -> None:
    """Two quads, one behind the other, whichever of them comes first."""
    one = quad()
    for nearer in range(2):
        vertices = np.concatenate([one.vertices, one.vertices]) + (np.arange(8) // 4 == nearer)[:, None] * (0, 0, 0.5)
        faces = np.concatenate([one.faces, one.faces + 4])
        both = Mesh(
            name="two", vertices=vertices, faces=faces, uvs=one.uvs, face_uvs=np.concatenate([one.face_uvs] * 2),
            normals=None, face_normals=None, maps=one.maps,
        )  # fmt: skip
        front, back = (
            render_rasterize(both, orbit(torch.tensor([a]), torch.zeros(1)), 32).face_id for a in (0.0, 180.0)
        )
        assert (front[front >= 0] // 2 == nearer).float().mean() > 0.99
        assert (back[back >= 0] // 2 == 1 - nearer).float().mean() > 0.99
