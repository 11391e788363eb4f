"""Cameras: matrices, framing, and the distributions that they are drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import make_cube
from torch import Tensor

from texopt import OptionError, fixed_views, look_at, orbit, perspective, rasterize, sample_sphere
from texopt.render.cameras import Cameras, aimed, close_ups, fit_distance, sphere_points, with_close_ups, zoomed
from texopt.render.samplers import mean_scales

AXES = torch.cat([torch.eye(3), -torch.eye(3)]).double()
DIAGONAL = torch.full((1, 3), 3**-0.5).double()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def eyes(cameras: Cameras) -> Tensor:
    """Where the cameras are: [B,3]."""
    return -(cameras.view[:, :3, :3].transpose(1, 2) @ cameras.view[:, :3, 3:])[..., 0]


def screen(cameras: Cameras, points: Tensor) -> Tensor:
    """Normalised device coordinates [B,V,3]."""
    clip = cameras.project(points)
    return clip[..., :3] / clip[..., 3:]


@pytest.mark.parametrize(
    ("direction", "up"),
    [
        *((axis, other) for axis in AXES for other in AXES),  # a third of them looks along up
        (DIAGONAL[0], DIAGONAL[0]),
        (DIAGONAL[0], -DIAGONAL[0]),
        (DIAGONAL[0] + torch.tensor([0, 1e-9, 0]), DIAGONAL[0]),
        (torch.tensor([0.3, -0.5, 0.2]).double(), 1e-8 * AXES[1]),  # the length of up means nothing
    ],
)
def test_look_at_is_rigid_and_puts_the_target_ahead(direction: Tensor, up: Tensor) -> None:
    target = torch.tensor([[0.4, -0.2, 0.7]]).double()
    distance = 3.5
    eye = target - distance * direction / direction.norm()
    view = look_at(eye, target, up[None])[0]
    rotation = view[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), rtol=0, atol=1e-12)
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0)
    assert view[3].tolist() == [0, 0, 0, 1]
    in_eye = rotation @ target[0] + view[:3, 3]
    torch.testing.assert_close(in_eye, torch.tensor([0, 0, -distance]).double(), rtol=0, atol=1e-9)
    if torch.linalg.cross(direction, up).norm() > 1e-8 * up.norm():
        upwards = rotation @ (up / up.norm())
        assert upwards[1] > 0
        assert abs(upwards[0]) < 1e-9


def test_look_at_in_float32_along_up_is_rigid() -> None:
    view = look_at(torch.tensor([[0.0, 2, 0], [0, -2, 0]]), torch.zeros(2, 3), torch.tensor([[0.0, 1, 0]] * 2))
    rotation = view[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(2, 3, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fov", [5.0, 60.0, 110.0])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_perspective_maps_the_frustum_to_the_cube(fov: float, aspect: float) -> None:
    near, far = 0.3, 17.0
    one = torch.ones(1).double()
    matrix = perspective(fov * one, aspect, near * one, far * one)[0]
    slope = math.tan(math.radians(fov) / 2)
    for depth, z in ((near, -1.0), (far, 1.0)):
        for sign in (-1, 1):
            corner = depth * torch.tensor([sign * aspect * slope, sign * slope, -1, 1 / depth], dtype=torch.float64)
            clip = matrix @ corner
            assert clip[3].item() == pytest.approx(depth)
            torch.testing.assert_close(clip[:3] / clip[3], torch.tensor([sign, sign, z]).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fov", [3.0, 10.0, 60.0, 120.0])
def test_unit_sphere_touches_the_borders_of_the_view_at_the_fitting_distance(fov: float) -> None:
    cameras = orbit(torch.tensor([0.0, 47.0]), torch.tensor([0.0, -62.0]), fov_y=fov)
    ndc = screen(cameras, sphere_points(20000))
    assert eyes(cameras).norm(dim=1).tolist() == pytest.approx([fit_distance(fov)] * 2)
    assert (ndc.abs() <= 1 + 1e-9).all()
    for axis in range(2):
        assert ndc[..., axis].max() > 0.998
        assert ndc[..., axis].min() < -0.998


@pytest.mark.parametrize(
    ("azimuth", "elevation", "eye"),
    [
        (0, 0, (0, 0, 1)),
        (90, 0, (1, 0, 0)),
        (180, 0, (0, 0, -1)),
        (-90, 0, (-1, 0, 0)),
        (0, 90, (0, 1, 0)),
        (0, -90, (0, -1, 0)),
    ],
)
def test_orbit_stands_where_it_says_and_looks_at_the_centre(
    azimuth: float, elevation: float, eye: tuple[float, float, float]
) -> None:
    cameras = orbit(torch.tensor([azimuth]), torch.tensor([elevation]), radii=4.0)
    torch.testing.assert_close(eyes(cameras)[0], 4 * torch.tensor(eye).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(screen(cameras, torch.zeros(1, 3).double())[0, 0, :2], torch.zeros(2).double())


def test_orbit_from_the_front_has_x_to_the_right_and_y_upwards() -> None:
    cameras = orbit(torch.zeros(1), torch.zeros(1))
    ndc = screen(cameras, 0.5 * torch.eye(3).double())[0]
    assert ndc[0, 0] > 0.4
    assert ndc[1, 1] > 0.4
    assert ndc[2, 2] < screen(cameras, torch.zeros(1, 3).double())[0, 0, 2]  # towards the camera is nearer


@pytest.mark.parametrize("sign", [-1, 1])
def test_orbit_at_a_pole_continues_the_view_beside_it(sign: int) -> None:
    at, beside = (orbit(torch.zeros(1), torch.tensor([sign * angle]).double()) for angle in (90.0, 89.999))
    torch.testing.assert_close(at.view, beside.view, rtol=0, atol=1e-4)


def test_roll_turns_the_picture_about_its_centre() -> None:
    ones = torch.ones(3).double()
    cameras = aimed(
        torch.tensor([[0.0, 0, 1]] * 3).double(), 5 * ones, 30 * ones, torch.tensor([0.0, 90.0, 180.0]).double()
    )
    x, y = screen(cameras, torch.tensor([[0.5, 0, 0]]).double())[:, 0, :2].T
    torch.testing.assert_close(x, torch.stack([x[0], 0 * x[0], -x[0]]), rtol=0, atol=1e-9)
    torch.testing.assert_close(y.abs(), torch.stack([0 * x[0], x[0], 0 * x[0]]), rtol=0, atol=1e-9)


def test_cameras_are_a_batch() -> None:
    cameras = orbit(torch.arange(4) * 30.0, torch.zeros(4))
    points = torch.rand(7, 3, generator=seeded(0))
    assert len(cameras) == 4
    assert len(cameras[1:3]) == 2
    assert cameras.project(points).shape == (4, 7, 4)
    assert cameras.project(points).dtype == torch.float32
    torch.testing.assert_close(cameras[1:3].project(points), cameras.project(points)[1:3])


@pytest.mark.parametrize("count", [1, 2, 12, 500])
def test_sphere_points_are_unit_and_well_spread(count: int) -> None:
    points = sphere_points(count)
    assert points.shape == (count, 3)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(count).double(), rtol=0, atol=1e-12)
    if count >= 12:
        assert points.mean(0).norm() < 1 / count**0.5 / 2
        gaps = (torch.cdist(points, points) + 9 * torch.eye(count)).min(1).values
        hexagonal = math.sqrt(8 * math.pi / (math.sqrt(3) * count))  # spacing of the best packing
        assert gaps.min() > 0.6 * hexagonal
        assert gaps.max() < 1.2 * hexagonal


def test_fixed_views_see_the_whole_object() -> None:
    assert (screen(fixed_views(9), sphere_points(2000)).abs() <= 1 + 1e-9).all()


def test_sampled_directions_are_uniform_on_the_sphere() -> None:
    """Mean zero, covariance 1/3, and (Archimedes) heights uniform in [-1,1]; four standard errors."""
    count = 20000
    direction = torch.nn.functional.normalize(eyes(sample_sphere()(seeded(0), count)), dim=1)
    assert direction.mean(0).abs().max() < 4 / math.sqrt(3 * count)
    torch.testing.assert_close(
        direction.T @ direction / count, torch.eye(3).double() / 3, rtol=0, atol=4 / math.sqrt(count) / 2
    )
    quantiles = torch.quantile(direction[:, 1], torch.linspace(0.1, 0.9, 9).double())
    torch.testing.assert_close(quantiles, torch.linspace(-0.8, 0.8, 9).double(), rtol=0, atol=4 / math.sqrt(count))


def test_sampled_cameras_stay_within_their_ranges_and_fill_them() -> None:
    sampler = sample_sphere(distance=(0.5, 2.0), elevation=(-20.0, 65.0), fov_y=(20.0, 50.0), roll=(-30.0, 45.0))
    cameras = sampler(seeded(1), 4000)
    eye = eyes(cameras)
    fov = 2 * torch.rad2deg(torch.atan(1 / cameras.projection[:, 1, 1]))
    relative = eye.norm(dim=1) * torch.sin(torch.deg2rad(fov) / 2)
    elevation = torch.rad2deg(torch.asin(eye[:, 1] / eye.norm(dim=1)))
    right, up = cameras.view[:, 0, 1], cameras.view[:, 1, 1]  # where the world's +Y goes in eye space
    roll = torch.rad2deg(torch.atan2(-right, up))
    for values, (low, high) in (
        (relative, (0.5, 2.0)), (elevation, (-20.0, 65.0)), (fov, (20.0, 50.0)), (roll, (-30.0, 45.0)),
    ):  # fmt: skip
        assert low - 1e-6 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-6
    off = screen(cameras, torch.zeros(1, 3).double())[:, 0, :2].norm(dim=1)  # of the centre
    reach = (1 / relative - 1).clamp(min=0)  # how far the sphere is out of the view
    assert (off <= reach + 1e-6).all()
    assert (off > 0.9 * reach)[relative < 0.99].any()


def test_samples_never_clip_the_object() -> None:
    """Near and far planes enclose the unit sphere wherever the camera is outside of it."""
    cameras = sample_sphere(distance=(0.2, 3.0), fov_y=(5.0, 10.0))(seeded(2), 50)
    assert (screen(cameras, sphere_points(500))[..., 2].abs() <= 1).all()


def test_samples_depend_on_the_seed_and_on_nothing_else() -> None:
    sampler = sample_sphere(roll=(-10.0, 10.0))
    torch.manual_seed(1)
    one = sampler(seeded(3), 5)
    torch.manual_seed(2)
    same, other = sampler(seeded(3), 5), sampler(seeded(4), 5)
    assert torch.equal(one.view, same.view)
    assert torch.equal(one.projection, same.projection)
    assert not torch.equal(one.view, other.view)
    generator = seeded(3)
    assert torch.equal(sampler(generator, 5).view, one.view)
    assert not torch.equal(sampler(generator, 5).view, one.view)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distance", (1.0, 0.5)), ("distance", (0.0, 1.0)), ("distance", (1.0, 1e9)), ("distance", (math.nan, 1.0)),
        ("elevation", (-91.0, 0.0)), ("elevation", (0.0, 91.0)), ("elevation", (10.0, -10.0)),
        ("fov_y", (0.0, 10.0)), ("fov_y", (10.0, 180.0)), ("roll", (0.0, 500.0)), ("roll", (0.0, math.inf)),
    ],
)  # fmt: skip
def test_ranges_that_cannot_be_are_named(name: str, value: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match=rf"^{name}\b"):
        sample_sphere(**{name: value})


def test_successive_directions_are_spread_more_evenly_than_independent_ones() -> None:
    """One view at a time or all at once: the same directions, and no two of a hundred close to each other."""
    sampler, generator = sample_sphere(), seeded(0)
    one_by_one = torch.cat([eyes(sampler(generator, 1, index)) for index in range(100)])
    at_once = eyes(sampler(seeded(0), 100, 0))
    direction = torch.nn.functional.normalize(one_by_one, dim=1)
    torch.testing.assert_close(direction, torch.nn.functional.normalize(at_once, dim=1))
    cosine = direction @ direction.T - 2 * torch.eye(100).double()
    nearest = torch.rad2deg(torch.acos(cosine.max(1).values))
    assert nearest.min() > 5  # a hundred independent directions: about 1 degree


# close-ups


def test_a_zoomed_camera_shows_a_window_of_a_larger_picture() -> None:
    """Four times closer at 32 pixels is a crop of 128 pixels: faces, barycentrics, UVs and their footprints."""
    cameras = orbit(torch.tensor([30.0, 200.0]), torch.tensor([20.0, -50.0]))
    whole = rasterize(make_cube(), cameras, 128)
    first = torch.tensor([[24, 40], [56, 16]])  # row and column of the window's corner
    center = torch.stack([2 * (first[:, 1] + 16) / 128 - 1, 1 - 2 * (first[:, 0] + 16) / 128], 1).double()
    close = zoomed(cameras, 4, center)
    assert close.zoom == 4.0
    assert zoomed(close, 2, center * 0).zoom == 8.0
    assert close[1:].zoom == 4.0
    part = rasterize(make_cube(), close, 32)
    for index, (row, column) in enumerate(first.tolist()):
        window = (index, slice(row, row + 32), slice(column, column + 32))
        assert part.mask[index].sum() > 500
        same = part.face_id[index] == whole.face_id[window]
        assert same.float().mean() > 0.99  # but for rounding on edges
        for name in ("uv", "bary", "depth"):
            assert torch.allclose(getattr(part, name)[index][same], getattr(whole, name)[window][same], atol=1e-4)
        assert torch.allclose(part.uv_da[index][same], whole.uv_da[window][same], atol=1e-4)


def test_close_ups_look_at_points_squarely() -> None:
    """Every camera has a point of the surface in the middle of its view, and sees it from within 30 degrees."""
    points = 0.9 * sphere_points(50)
    cameras = close_ups(points, 3 * points, zoom=5)(seeded(0), 40)
    assert cameras.zoom == 5
    assert eyes(cameras).norm(dim=1).tolist() == pytest.approx([fit_distance(10.0)] * 40)
    off = screen(cameras, points)[..., :2].norm(dim=-1)  # [B,N]
    direction = torch.nn.functional.normalize(eyes(cameras), dim=1)
    cosine = direction @ torch.nn.functional.normalize(points, dim=1).T
    middle = torch.where(cosine > 0, off, torch.inf).argmin(1)
    assert off.gather(1, middle[:, None]).max() < 1e-6
    assert cosine.gather(1, middle[:, None]).min() > math.cos(math.radians(30.1))
    assert len(middle.unique()) > 15
    once = close_ups(points, points, zoom=5)(seeded(0), 40)
    assert torch.allclose(once.projection, cameras.projection)  # the length of normals means nothing


@pytest.mark.parametrize("elevation", [(0.0, 90.0), (-20.0, 10.0), (30.0, 30.0)])
def test_close_ups_keep_to_an_elevation(elevation: tuple[float, float]) -> None:
    points = sphere_points(50)
    cameras = close_ups(points, points, 4, elevation=elevation)(seeded(0), 100)
    direction = torch.nn.functional.normalize(eyes(cameras), dim=1)
    angle = torch.rad2deg(torch.asin(direction[:, 1]))
    assert angle.min() > elevation[0] - 1e-6
    assert angle.max() < elevation[1] + 1e-6
    off = screen(cameras, points)[..., :2].norm(dim=-1)
    assert off.min(1).values.max() < 1e-6  # a point is in the middle, still


@pytest.mark.parametrize("distance", [0.5, 1.0])
def test_close_ups_have_a_scale_of_their_own(distance: float) -> None:
    """They stand where the sphere fills the view, wherever the others do."""
    points = sphere_points(50)
    far = sample_sphere((distance, distance))
    found = mean_scales(with_close_ups(far, close_ups(points, points, 4), 0.5))
    assert found[1] == pytest.approx(mean_scales(far)[1])
    assert found[4] == pytest.approx(4 * distance * found[1], rel=0.01)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 65.0, math.nan])
def test_zoom_has_a_range(zoom: float) -> None:
    with pytest.raises(OptionError, match="zoom"):
        close_ups(sphere_points(3), sphere_points(3), zoom)


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.33, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [1, 3])
def test_close_ups_have_their_share_and_both_samplers_count_their_own_views(share: float, count: int) -> None:
    calls: dict[str, list[int]] = {"far": [], "near": []}

    def sampler(name: str) -> object:
        def sample(generator: torch.Generator, views: int, before: int = 0) -> Cameras:
            assert views == count
            calls[name].append(before)
            return fixed_views(views)

        return sample

    mixed = with_close_ups(sampler("far"), sampler("near"), share)  # type: ignore[arg-type]
    for step in range(100):
        mixed(seeded(0), count, step * count)
        assert len(calls["near"]) == math.floor((step + 1) * share)
        assert len(calls["near"]) + len(calls["far"]) == step + 1
    for before in calls.values():
        assert before == [index * count for index in range(len(before))]


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_the_share_of_close_ups_has_a_range(share: float) -> None:
    with pytest.raises(OptionError, match="share of close-ups"):
        with_close_ups(sample_sphere(), sample_sphere(), share)
