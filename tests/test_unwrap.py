"""UVs: made, judged, drawn into the texture, and textures carried from one layout to another."""

from __future__ import annotations

import importlib.util
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch.nn.functional import max_pool2d

from texopt import DependencyError, MeshError
from texopt.io.original_textures import transfer
from texopt.io.raw import Material, RawMesh
from texopt.io.unwrapping.unwrap import padding_for, report_uvs, unwrap_faces
from texopt.render.uv_raster import covered, rasterize_uvs

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def uv_area(uvs: np.ndarray, face_uvs: np.ndarray) -> float:
    a, b = (uvs[face_uvs[:, i]] - uvs[face_uvs[:, 0]] for i in (1, 2))
    return float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2)


@pytest.mark.parametrize(("size", "offset"), [(1, 0), (1e-7, 0), (1e8, 0), (1, 1e6)])
def test_unwrapped_faces_fill_the_texture_without_overlap(size: float, offset: float) -> None:
    """Wherever the mesh stands and however large it is; with vertices that no face uses, and in the faces' order."""
    sphere = trimesh.creation.icosphere(1)
    vertices = np.concatenate([[[1e9, np.nan, 0]], sphere.vertices * size + offset])
    uvs, face_uvs = unwrap_faces(vertices, sphere.faces + 1)
    assert (uvs.dtype, face_uvs.dtype, face_uvs.shape) == (np.float64, np.int32, (80, 3))
    assert 0 <= uvs.min() <= uvs.max() <= 1
    area = uv_area(uvs, face_uvs)
    assert area > 0.3
    assert float(covered(uvs, face_uvs, 1024, 1024).float().mean()) == pytest.approx(area, rel=0.01)
    corners, plane = vertices[sphere.faces + 1], uvs[face_uvs]
    shares = []  # of every edge: its length in the texture by its length in space
    for a, b in ((0, 1), (1, 2), (2, 0)):
        edges = (np.linalg.norm(points[:, a] - points[:, b], axis=1) for points in (plane, corners))
        shares.append(np.divide(*edges))
    assert np.max(shares) / np.min(shares) < 2.5


def test_unwrapping_is_reproducible() -> None:
    box = trimesh.creation.box()
    first, second = (unwrap_faces(box.vertices, box.faces) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.own_process
def test_a_worker_that_fails_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """xatlas is native code: whatever it does, the program goes on."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    box = trimesh.creation.box()
    with pytest.raises(
        MeshError, match=r"^the mesh could not be unwrapped \(exit code 1\); give it UVs in a mesh editor$"
    ):
        unwrap_faces(box.vertices, box.faces)


@pytest.mark.own_process
def test_unwrapping_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.PATIENCE", 0.0)
    box = trimesh.creation.box()
    with pytest.raises(MeshError, match=r"^12 triangles could not be unwrapped in 0 s, .*; simplify the mesh, or "):
        unwrap_faces(box.vertices, box.faces)


@pytest.mark.slow
def test_the_worker_says_how_far_it_is(tmp_path: Path) -> None:
    """Up to 1, and never less than before, whether the space between charts is halved or not."""
    for faces in (trimesh.creation.box().faces, np.arange(900).reshape(-1, 3)):
        vertices = np.random.default_rng(0).normal(size=(faces.max() + 1, 3))
        np.savez(tmp_path / "given.npz", vertices=vertices, faces=faces, size=64)
        command = [sys.executable, "-m", "texopt.io.unwrapping.unwrap", tmp_path / "given.npz", tmp_path / "made.npz"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        shares = [float(line) for line in lines]
        assert shares == sorted(shares)
        assert 0 <= shares[0] < 0.5 < shares[-1] <= 1


def test_faces_without_area_stop_nothing() -> None:
    """They show the colour of a corner; what is on one line, in one point, or hangs on nothing else."""
    ball = trimesh.creation.icosphere(1)
    a, b = ball.faces[0, :2]
    flat = np.array([[a, a, b], [a, a, a], [b, a, b], [42, 43, 44]])
    vertices = np.concatenate([ball.vertices, [[0, 0, 3], [0, 0, 4], [0, 0, 5]]])
    uvs, face_uvs = unwrap_faces(vertices, np.concatenate([flat, ball.faces]))
    assert (face_uvs[:4] == face_uvs[:4, :1]).all()
    assert np.isin(face_uvs[:2], face_uvs[4:][np.isin(ball.faces, [a, b])]).all()
    assert min(uv_area(uvs, face_uvs[[i]]) for i in range(4, 84)) > 1e-4


def test_only_faces_without_area_get_one_point() -> None:
    uvs, face_uvs = unwrap_faces(np.eye(3), np.array([[0, 1, 1], [2, 2, 2]]))
    np.testing.assert_array_equal(uvs[face_uvs], np.full((2, 3, 2), 0.5))


def test_faces_that_lie_on_each_other_share_their_uvs() -> None:
    """If they have the same front, whichever corner is named first; a back has its own."""
    faces = np.concatenate([HALVES, np.roll(HALVES, 1, 1), HALVES[:, ::-1]])
    uvs, face_uvs = unwrap_faces(SQUARE @ np.eye(2, 3), faces)
    np.testing.assert_array_equal(face_uvs[2:4], np.roll(face_uvs[:2], 1, 1))
    assert not np.isin(face_uvs[4:], face_uvs[:4]).any()
    assert uv_area(uvs, face_uvs[[0, 1, 4, 5]]) > 0.5


@pytest.mark.parametrize(
    ("uvs", "faces", "says"),
    [
        (SQUARE, HALVES, None),
        (SQUARE * 0.5 + 0.25, HALVES, None),
        (SQUARE * 2, HALVES, r"outside \[0,1\] \(0\.00 to 2\.00\)"),
        (SQUARE - 0.5, HALVES, r"outside \[0,1\] \(-0\.50 to 0\.50\)"),
        (SQUARE * 1e30, HALVES, r"outside \[0,1\]"),
        (SQUARE, HALVES[[0, 1, 1]], "33% of the UV area overlaps"),
        (SQUARE, np.array([[0, 1, 2], [0, 0, 0]]), "1 of 2 faces have no area"),
        (SQUARE * 0, HALVES, "2 of 2 faces have no area"),
    ],
)
def test_report(uvs: np.ndarray, faces: np.ndarray, says: str | None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="texopt"):
        report_uvs("cow.obj", uvs, faces)
    if says is None:
        assert caplog.messages == []
    else:
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith("cow.obj: ")
        assert re.search(says, caplog.messages[0])


@pytest.mark.parametrize("offset", [(0, 0), (1, 0), (-3, 7)])
def test_covered_is_the_upper_and_the_lower_half(offset: tuple[int, int]) -> None:
    """Row 0 is v = 1; whole repeats are the same texels."""
    face = (SQUARE * [1, 0.5] + [0, 0.5] + offset, HALVES)
    mask = covered(*face, 8, 16)
    assert mask.shape == (8, 16)
    np.testing.assert_array_equal(mask[:, 0], [True] * 4 + [False] * 4)
    assert bool((mask == mask[:, :1]).all())


def test_triangles_across_the_border_go_on_at_the_other_side() -> None:
    uvs = SQUARE * 0.5 + 0.75  # [0.75, 1.25]²
    expected = torch.zeros(8, 8, dtype=torch.bool)
    ends = torch.tensor([0, 1, 6, 7])
    expected[ends[:, None], ends] = True
    np.testing.assert_array_equal(covered(uvs, HALVES, 8, 8), expected)
    assert bool(covered(SQUARE * 5 - 2, HALVES, 8, 8).all())


def test_rasterized_faces_and_weights_give_the_texel_centres_back() -> None:
    rast, _ = rasterize_uvs(SQUARE, HALVES, 4, 8)
    face = rast[0, ..., 3].long() - 1
    weights = torch.stack([rast[0, ..., 0], rast[0, ..., 1], 1 - rast[0, ..., 0] - rast[0, ..., 1]], -1)
    uv = (torch.from_numpy(SQUARE[HALVES])[face] * weights[..., None]).sum(2)
    np.testing.assert_allclose(uv[0, :, 0], (np.arange(8) + 0.5) / 8, atol=1e-6)
    np.testing.assert_allclose(uv[:, 0, 1], 1 - (np.arange(4) + 0.5) / 4, atol=1e-6)


def plane(texture: np.ndarray, uvs: np.ndarray = SQUARE) -> RawMesh:
    """A unit square with one texture."""
    return RawMesh(
        np.pad(SQUARE, ((0, 0), (0, 1))), HALVES, uvs, HALVES, np.zeros((0, 3)), np.full((2, 3), -1),
        [Material((1.0, 1.0, 1.0), texture)], ["a"], np.zeros(2, np.int64), (),
    )  # fmt: skip


def carried(raw: RawMesh, uvs: np.ndarray) -> np.ndarray:
    """The textures of all faces in another layout."""
    return transfer(raw, uvs, HALVES.astype(np.int32), np.arange(2))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 9), (64, 128), (1, 1)])
def test_transfer_to_the_same_layout_is_resampling(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramp of colours, of any size (odd ones have no mip levels)."""
    for name in ("SIZE", "LARGEST"):
        monkeypatch.setattr(f"texopt.io.original_textures.{name}", 32)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    ramp = (np.stack([x, y, np.full_like(x, 0.5)], -1) * 255).round().astype(np.uint8)
    raw = plane(ramp)
    made = carried(raw, SQUARE).astype(float)
    assert made.shape == (32, 32, 3)
    center = (np.arange(32) + 0.5) / 32 * 255
    margin = slice(32 // max(min(height, width), 2) + 1, -32 // max(min(height, width), 2) - 1)  # repeats blend there
    if min(height, width) > 1:
        np.testing.assert_allclose(made[5, margin, 0], center[margin], atol=2)
        np.testing.assert_allclose(made[margin, 5, 1], center[margin], atol=2)
    np.testing.assert_allclose(made[..., 2], 128, atol=1)


def test_transfer_turns_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a layout that is turned by a quarter; the old one repeats its texture beyond 1."""
    monkeypatch.setattr("texopt.io.original_textures.SIZE", 64)
    colors = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    image = colors.repeat(32, 0).repeat(32, 1)
    raw = plane(image, SQUARE + np.array([4, -2]))
    made = carried(raw, SQUARE[[1, 2, 3, 0]])
    expected = np.rot90(image, 1)
    inner = np.s_[3:29, 3:29]
    for block in (np.s_[:32, :32], np.s_[:32, 32:], np.s_[32:, :32], np.s_[32:, 32:]):
        np.testing.assert_array_equal(made[block][inner], expected[block][inner])


@pytest.mark.parametrize(("size", "padding"), [(64, 2), (1024, 8), (2048, 16), (4096, 32), (8192, 64)])
def test_the_space_between_charts_scales_with_the_texture(size: int, padding: int) -> None:
    assert padding_for(size) == padding


def test_charts_of_a_large_texture_stand_apart() -> None:
    """At least as many texels as meant lie between the texels of two charts."""
    box = trimesh.creation.box()
    size = 512
    uvs, face_uvs = unwrap_faces(box.vertices, box.faces, size)
    rast, _ = rasterize_uvs(uvs, face_uvs, size, size)
    chart = torch.cat([torch.zeros(1), torch.from_numpy(charts(face_uvs)).float() + 1])[rast[0, ..., 3].long()]
    assert len(chart.unique()) == 1 + len(np.unique(charts(face_uvs)))
    low = torch.where(chart > 0, chart, 99.0)
    around = 2 * padding_for(size) - 1
    least = -max_pool2d(-low[None], around, 1, around // 2)[0]
    most = max_pool2d(chart[None], around, 1, around // 2)[0]
    crowded = (chart > 0) & (least != most)
    assert not crowded.any()


def charts(face_uvs: np.ndarray) -> np.ndarray:
    """For every face the number of its chart: faces that share UVs are in one. int64 [F]."""
    chart = np.arange(len(face_uvs))
    for _ in range(len(face_uvs)):
        for i, j in np.argwhere((face_uvs[:, None, :, None] == face_uvs[None, :, None, :]).any((2, 3))):
            chart[i] = chart[j] = min(chart[i], chart[j])
    return chart


def test_how_long_it_takes_is_said_where_it_is_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box = trimesh.creation.box()
    unwrap_faces(box.vertices, box.faces)
    assert caplog.messages == []
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.LONG", 11)
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.SECONDS", 12.0)
    unwrap_faces(box.vertices, box.faces)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("unwrapping 12 triangles takes about 2 minutes; ")


def test_without_xatlas_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no wheels for the newest Python."""
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "xatlas" else find(name))
    box = trimesh.creation.box()
    with pytest.raises(DependencyError, match=r"xatlas, which packs them, is not installed; take Python"):
        unwrap_faces(box.vertices, box.faces)


@pytest.mark.own_process
def test_the_worker_reads_nothing_of_the_terminal_s(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def started(*_: object, **options: object) -> None:
        given.update(options)
        raise InterruptedError

    monkeypatch.setattr("subprocess.Popen", started)
    with pytest.raises(InterruptedError):
        unwrap_faces(SQUARE @ np.eye(2, 3), HALVES)
    assert given["stdin"] == subprocess.DEVNULL
