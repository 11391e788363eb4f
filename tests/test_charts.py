"""Charts of a surface: every face lies in one, face up, on no other, and hardly stretched."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import trimesh

from texopt.io.unwrapping import charts
from texopt.io.unwrapping.charts import make_charts, neighbours, smooth
from texopt.io.unwrapping.flatten import lay_flat, overlaps, stretch
from texopt.io.unwrapping.unwrap import unwrap_faces
from texopt.mesh.topology import same_places
from texopt.render.uv_raster import overlap

Surface = tuple[np.ndarray, np.ndarray]


def grid(rows: int, columns: int) -> Surface:
    """A plane of squares with a side of 1, each of two faces."""
    y, x = np.mgrid[: rows + 1, : columns + 1]
    at = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = (part.reshape(-1) for part in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float), faces


def moebius() -> Surface:
    vertices, faces = grid(4, 60)
    angle, across = vertices[:, 0] / 60 * 2 * np.pi, vertices[:, 1] / 10 - 0.2
    radius = 1 + across * np.cos(angle / 2)
    strip = np.stack([radius * np.cos(angle), radius * np.sin(angle), across * np.sin(angle / 2)], 1)
    return strip.round(9), faces


def ramp() -> Surface:
    """Three turns of a flat spiral: its normals are all about the same, and seen from above it lies on itself."""
    vertices, faces = grid(2, 300)
    angle, radius = vertices[:, 0] / 300 * 6 * np.pi, 1 + vertices[:, 1] / 2
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), angle / 50], 1), faces[:, ::-1]


def hills() -> Surface:
    vertices, faces = grid(40, 40)
    noise = np.random.default_rng(0).normal(size=len(vertices))
    return vertices + noise[:, None] * [0, 0, 0.2] + np.sin(vertices[:, :1] / 4) * [0, 0, 4], faces


def fins() -> Surface:
    """Three sheets that have an edge in common."""
    vertices, faces = grid(3, 8)
    angles = np.arange(3) * 2 * np.pi / 3
    sheets = [vertices @ np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, 0, 1]]) for a in angles]
    return np.concatenate(sheets).round(9), np.concatenate([faces + i * len(vertices) for i in range(3)])


def both_sides() -> Surface:
    vertices, faces = grid(8, 8)
    return vertices, np.concatenate([faces, faces[:, ::-1]])


def parts() -> Surface:
    rng = np.random.default_rng(0)
    boxes = [trimesh.creation.box(rng.uniform(0.2, 1, 3)).apply_translation(rng.normal(size=3) * 3) for _ in range(20)]
    both = trimesh.util.concatenate([*boxes, trimesh.creation.icosphere(2)])
    return both.vertices, both.faces


def soup() -> Surface:
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 3)), np.array(list(itertools.combinations(range(30), 3)))[::20]


def of(mesh: trimesh.Trimesh) -> Surface:
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


SURFACES = {
    "one face": (np.eye(3), np.array([[0, 1, 2]])),
    "plane": grid(12, 7),
    "box": of(trimesh.creation.box()),
    "sphere": of(trimesh.creation.icosphere(3)),
    "torus": of(trimesh.creation.torus(1, 0.3)),
    "cone": of(trimesh.creation.cone(1, 3, sections=64)),
    "moebius": moebius(),
    "ramp": ramp(),
    "hills": hills(),
    "fins": fins(),
    "both sides": both_sides(),
    "parts": parts(),
    "soup": soup(),
}


def ignore(_: float) -> None: ...


@pytest.mark.parametrize("name", SURFACES)
def test_charts_lie_flat(name: str) -> None:
    vertices, faces = SURFACES[name]
    shares: list[float] = []
    uvs, face_uvs, chart = make_charts(vertices, faces, shares.append)
    assert shares == sorted(shares)
    assert (uvs.shape[1], face_uvs.shape, chart.shape) == (2, faces.shape, (len(faces),))
    np.testing.assert_array_equal(np.unique(face_uvs), np.arange(len(uvs)))
    np.testing.assert_array_equal(np.unique(chart), np.arange(chart.max() + 1))
    places = same_places(vertices)
    for number in range(chart.max() + 1):
        own = chart == number
        used, local = np.unique(face_uvs[own], return_inverse=True)
        assert not np.isin(face_uvs[~own], used).any()
        points = np.empty((len(used), 3))
        points[local.reshape(-1, 3)] = vertices[faces[own]]
        assert 1 - 1e-9 <= stretch(points, local.reshape(-1, 3), uvs[used]) <= charts.STRETCH
        assert not overlaps(uvs[used], local.reshape(-1, 3))
        place = np.empty(len(used), np.int64)  # a vertex has one UV in a chart
        place[local.reshape(-1, 3)] = places[faces[own]]
        assert len(np.unique(place)) == len(place)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("plane", 1),
        ("box", 6),
        ("sphere", 4),
        ("torus", 4),
        ("cone", 5),
        ("moebius", 5),
        ("ramp", 5),
        ("both sides", 2),
    ],
)
def test_charts_are_few(name: str, most: int) -> None:
    assert make_charts(*SURFACES[name], ignore)[2].max() < most


def test_seams_are_at_the_edges_of_a_finely_divided_box() -> None:
    box = trimesh.creation.box()
    for _ in range(4):
        box = box.subdivide()
    _, _, chart = make_charts(*of(box), ignore)
    sides = {tuple(normal) for normal in np.column_stack([chart, box.face_normals.round()])}
    assert len(sides) == chart.max() + 1 == 6


@pytest.mark.parametrize("name", ["plane", "sphere", "parts", "soup"])
def test_charts_are_the_same_again_and_of_the_same_shape_at_any_scale(name: str) -> None:
    vertices, faces = SURFACES[name]
    first, again, large = (make_charts(vertices * scale, faces, ignore) for scale in (1, 1, 1024))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first[2], large[2])
    np.testing.assert_allclose(first[0] * 1024, large[0], atol=1e-6)


def test_the_work_grows_with_the_faces_of_a_flat_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts of a plane become large, and what a merge costs must not grow with them."""
    pushes = 0

    def counted(heap: list, item: tuple) -> None:
        nonlocal pushes
        pushes += 1
        push(heap, item)

    push = charts.heappush
    monkeypatch.setattr(charts, "heappush", counted)
    work = []
    for side in (8, 16, 32):
        vertices, faces = grid(side, side)
        pairs, lengths = neighbours(faces, vertices[faces])
        pushes = 0
        up = np.tile([0, 0, 0.5], (len(faces), 1))
        children = charts.merge.py_func(up, np.full(len(faces), 0.5), pairs, lengths, 1.0, 0.4)
        assert len(children) == len(faces) - 1
        work.append(pushes / len(faces))
    assert max(work) < 8
    assert work[2] < 1.2 * work[1]


def test_what_can_be_unrolled_is_not_stretched() -> None:
    """A third of a tube."""
    vertices, faces = grid(10, 20)
    angle = vertices[:, 0] / 20 * 2 * np.pi / 3
    tube = np.stack([np.sin(angle), vertices[:, 1] / 10, np.cos(angle)], 1)
    uvs, face_uvs, chart = make_charts(tube, faces, ignore)
    assert chart.max() == 0
    lengths = [
        np.linalg.norm(points[:, [1, 2, 0]] - points, axis=2) for points in (uvs[face_uvs], tube[faces])
    ]  # fmt: skip
    np.testing.assert_allclose(*lengths, rtol=0.01)


def test_a_plane_is_laid_flat_as_it_is() -> None:
    """From any side, counter-clockwise; thin faces do no harm."""
    vertices, faces = grid(3, 4)
    vertices = vertices * [1, 1e-4, 1]
    for axis in np.vstack([np.eye(3), -np.eye(3), np.random.default_rng(0).normal(size=(4, 3))]):
        axis = axis / np.linalg.norm(axis)
        turn = trimesh.geometry.align_vectors([0, 0, 1], axis)[:3, :3]
        flat = lay_flat(vertices @ turn.T, faces, axis)
        ways = flat - flat[0]
        np.testing.assert_allclose(ways @ ways.T, (vertices - vertices[0]) @ (vertices - vertices[0]).T, atol=1e-9)
        assert stretch(vertices @ turn.T, faces, flat) == pytest.approx(1)


def test_stretch() -> None:
    vertices, faces = grid(2, 2)
    plane = vertices[:, :2].copy()
    assert stretch(vertices, faces, 3 * plane) == pytest.approx(1)
    assert stretch(vertices, faces, plane * [2, 1]) == pytest.approx(np.sqrt((1 + 1 / 4) / 2 * 2))
    assert stretch(vertices, faces, plane * [-1, 1]) == np.inf


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ([[0, 1, 2], [0, 2, 3]], False),  # an edge in common
        ([[0, 1, 2], [2, 6, 5]], False),  # a corner in common
        ([[0, 1, 2], [0, 1, 2]], True),
        ([[0, 1, 2], [0, 1, 3]], True),
        ([[0, 6, 3], [4, 1, 5]], True),  # across each other
        ([[0, 6, 3], [7, 8, 9]], True),  # one in the other
    ],
)
def test_overlaps(faces: list[list[int]], expected: bool) -> None:
    points = [[0, 0], [1, 0], [1, 1], [0, 1], [0.2, -1], [1, 2], [2, 2], [0.2, 0.5], [0.3, 0.5], [0.25, 0.6]]
    assert overlaps(np.array(points, float), np.array(faces)) is expected


def test_neighbours_go_on_in_each_other() -> None:
    """Not faces that are turned the other way, and not those of an edge with too many."""
    vertices, faces = grid(1, 1)
    assert [part.tolist() for part in neighbours(faces, vertices[faces])] == [[[1, 0]], [np.sqrt(2)]]
    turned = np.stack([faces[0], faces[1, ::-1]])
    assert len(neighbours(turned, vertices[turned])[0]) == 0
    many = faces[[0] * 5 + [1] * 5]
    assert len(neighbours(many, vertices[many])[0]) == 0


def test_smoothing_takes_teeth_off_a_seam() -> None:
    vertices, faces = grid(6, 6)
    pairs, lengths = neighbours(faces, vertices[faces])
    chart = (vertices[faces].mean(1)[:, 0] > 3).astype(np.int64)
    expected = chart.copy()
    tooth = np.flatnonzero(chart[pairs[:, 0]] != chart[pairs[:, 1]])[2]
    chart[pairs[tooth, 0]] = chart[pairs[tooth, 1]]
    smooth(chart, pairs, lengths)
    np.testing.assert_array_equal(chart, expected)


@pytest.mark.parametrize("name", ["moebius", "fins", "both sides", "parts", "soup"])
def test_unwrapped_charts_do_not_overlap(name: str) -> None:
    vertices, faces = SURFACES[name]
    uvs, face_uvs = unwrap_faces(vertices, faces, 512)
    assert 0 <= uvs.min() <= uvs.max() <= 1
    assert overlap(uvs, face_uvs) == 0
    a, b = (uvs[face_uvs[:, i]] - uvs[face_uvs[:, 0]] for i in (1, 2))
    plane = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    corners = vertices[faces]
    space = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    shares = plane / space
    assert shares.max() < 3 * shares.min()
