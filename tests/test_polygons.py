"""Polygons as triangles: each covers its polygon once, whatever its shape, and fans stay where they are right."""

from __future__ import annotations

import numpy as np
import pytest

from texopt.mesh import polygons
from texopt.mesh.polygons import triangulated

U = [(0, 0), (4, 0), (4, 3), (3, 3), (3, 1), (1, 1), (1, 3), (0, 3)]
ARROW = [(0, 0), (2, 1), (0, 2), (0.5, 1)]
KEYHOLE = [
    (0, 0),
    (3, 0),
    (3, 3),
    (0, 3),
    (0, 0),
    (1, 1),
    (1, 2),
    (2, 2),
    (2, 1),
    (1, 1),
]  # a square hole, and a bridge
SPIRAL = [(0, 0), (5, 0), (5, 5), (1, 5), (1, 2), (3, 2), (3, 3), (2, 3), (2, 4), (4, 4), (4, 1), (0, 1)]
STAR = [((1 + i % 2) * np.cos(i * np.pi / 7), (1 + i % 2) * np.sin(i * np.pi / 7)) for i in range(14)]
HEXAGON = [(np.cos(i * np.pi / 3), np.sin(i * np.pi / 3)) for i in range(6)]

TILTED = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def area_of(polygon: np.ndarray) -> float:
    """The shoelace formula."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points [N,2] a polygon surrounds, by the crossings of a ray."""
    a, b = polygon, np.roll(polygon, -1, 0)
    x, y = points[:, :1], points[:, 1:]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(all="ignore"):
        at = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return np.asarray((crosses & (x < at)).sum(1) % 2 == 1)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize(
    "shape", [U, ARROW, KEYHOLE, SPIRAL, STAR, HEXAGON], ids=["U", "arrow", "keyhole", "spiral", "star", "hexagon"]
)
def test_triangles_cover_a_polygon_once(shape: list[tuple[float, float]], first: int, turned: bool) -> None:
    flat = np.roll(np.array(shape, float), first, 0)[:: -1 if turned else 1]
    points = np.pad(flat, ((0, 0), (0, 1))) @ TILTED.T + 5
    triangles, polygon = triangulated(points, np.array([len(flat)]))
    np.testing.assert_array_equal(polygon, 0)
    signed = np.array([area_of(flat[triangle]) for triangle in triangles])
    assert (signed * area_of(flat) >= -1e-12).all(), "each is turned as the polygon is"
    np.testing.assert_allclose(signed.sum(), area_of(flat))
    some = np.random.default_rng(0).uniform(-3, 6, (2000, 2))
    layers = np.sum([inside(some, flat[triangle]) for triangle in triangles], 0)
    np.testing.assert_array_equal(layers, inside(some, flat))


def test_convex_polygons_and_those_that_fan_well_are_fans() -> None:
    arrow = np.roll(ARROW, 1, 0)  # from its notch a fan is right
    points = np.pad(np.concatenate([HEXAGON, arrow, U[:2], [(0, 0), (1, 0), (1, 1), (0, 1)]]), ((0, 0), (0, 1)))
    triangles, polygon = triangulated(points, np.array([6, 4, 2, 4]))
    np.testing.assert_array_equal(
        triangles, [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5], [6, 7, 8], [6, 8, 9], [12, 13, 14], [12, 14, 15]]
    )
    np.testing.assert_array_equal(polygon, [0, 0, 0, 0, 1, 1, 3, 3])


@pytest.mark.parametrize("block", [1, 2, 100])
def test_polygons_among_others_are_as_they_are_alone(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "BLOCK", block)
    shapes = [np.pad(np.array(shape, float), ((0, 0), (0, 1))) for shape in (HEXAGON, U, U[:3], ARROW, U[:1], STAR, U)]
    sizes = np.array([*map(len, shapes)])
    triangles, polygon = triangulated(np.concatenate(shapes), sizes)
    starts = np.cumsum(sizes) - sizes
    assert (np.diff(polygon) >= 0).all()
    for index, shape in enumerate(shapes):
        alone, _ = triangulated(shape, sizes[index : index + 1])
        np.testing.assert_array_equal(triangles[polygon == index], alone + starts[index])


def test_quads_that_are_not_flat_are_fans() -> None:
    saddle = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 0], [0, 1, 1]], float)
    np.testing.assert_array_equal(triangulated(saddle, np.array([4]))[0], [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    "points",
    [np.zeros((5, 3)), np.arange(15.0).reshape(5, 3), np.full((5, 3), np.nan), np.eye(4, 3)[[0, 1, 0, 1]]],
    ids=["point", "line", "nan", "to and fro"],
)
def test_what_has_no_side_is_a_fan(points: np.ndarray) -> None:
    triangles, _ = triangulated(points, np.array([len(points)]))
    np.testing.assert_array_equal(triangles, [[0, i, i + 1] for i in range(1, len(points) - 1)])


def test_what_would_take_too_long_is_a_fan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "MOST_WORK", 100)
    points = np.pad(np.array(np.roll(U, -2, 0), float), ((0, 0), (0, 1)))
    triangles, polygon = triangulated(np.concatenate([points, points]), np.array([8, 8]))
    assert (triangles[polygon == 0] != [[0, i, i + 1] for i in range(1, 7)]).any()
    np.testing.assert_array_equal(triangles[polygon == 1], [[8, 8 + i, 9 + i] for i in range(1, 7)])


def test_triangles_are_as_they_came() -> None:
    triangles, polygon = triangulated(np.random.default_rng(0).normal(size=(9, 3)), np.array([3, 3, 3]))
    np.testing.assert_array_equal(triangles, np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(polygon, [0, 1, 2])
    triangles, polygon = triangulated(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert (triangles.shape, polygon.shape) == ((0, 3), (0,))
