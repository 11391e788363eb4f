"""Drawing a mesh's triangles into its texture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from texopt.render.uv_raster import covered, first_of_each, rasterize_uvs

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def faces_at(uvs: np.ndarray, face_uvs: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Face index of every texel [H,W], -1 where there is none."""
    return rasterize_uvs(uvs, face_uvs, height, width)[0][0, ..., 3].long() - 1


def test_v_is_upwards_and_u_to_the_right() -> None:
    """A face in the upper left corner of UV space is in the first rows and columns of the image."""
    face = faces_at(np.array([[0.0, 1.0], [0.5, 1.0], [0.0, 0.5]]), np.array([[0, 1, 2]]), 16, 32)
    rows, columns = (face >= 0).nonzero().T
    assert (rows.min(), columns.min()) == (0, 0)
    assert rows.max() < 8
    assert columns.max() < 16
    assert face[0, 14] == 0
    assert face[7, 14] == -1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (7, 30)])
def test_barycentrics_give_back_every_texel_centre(height: int, width: int) -> None:
    rast, rast_db = rasterize_uvs(SQUARE, HALVES, height, width)
    assert rast.shape == rast_db.shape == (1, height, width, 4)
    face = rast[0, ..., 3].long() - 1
    assert set(face.unique().tolist()) == {0, 1}
    corners = torch.from_numpy(SQUARE[HALVES])[face]  # [H,W,3,2]
    u, v = rast[0, ..., 0, None].double(), rast[0, ..., 1, None].double()
    uv = u * corners[..., 0, :] + v * corners[..., 1, :] + (1 - u - v) * corners[..., 2, :]
    torch.testing.assert_close(
        uv[..., 0], ((torch.arange(width).double() + 0.5) / width).expand(height, -1), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        uv[..., 1], (1 - (torch.arange(height).double() + 0.5) / height)[:, None].expand(-1, width), rtol=0, atol=1e-6
    )
    to_uv = corners[..., :2, :] - corners[..., 2:, :]  # what a step of either barycentric does to (u, v)
    per_texel = rast_db[0].double().reshape(height, width, 2, 2).transpose(-1, -2) @ to_uv
    expected = torch.tensor([[1 / width, 0], [0, -1 / height]]).double().expand(height, width, 2, 2)
    torch.testing.assert_close(per_texel, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shift", [(0.25, 0.0), (-0.5, 0.75), (3.125, -2.25), (-1.0, 2.0), (100.0, 0.5)])
def test_uvs_outside_of_the_unit_square_repeat(shift: tuple[float, float]) -> None:
    """The unit square moved by whole texels is the texture rolled; every texel is still covered."""
    size = 16
    face = faces_at(SQUARE, HALVES, size, size)
    moved = faces_at(SQUARE + shift, HALVES, size, size)
    rolled = face.roll((-round(shift[1] * size), round(shift[0] * size)), (0, 1))
    assert (moved >= 0).all()
    diagonal = torch.eye(size).bool().flip(1).roll((-round(shift[1] * size), round(shift[0] * size)), (0, 1))
    assert torch.equal(moved[~diagonal], rolled[~diagonal])


def test_triangle_larger_than_the_texture_covers_its_repeats() -> None:
    uvs = np.array([[-1.0, -1.0], [2.5, -1.0], [-1.0, 2.5]])
    assert (faces_at(uvs, np.array([[0, 1, 2]]), 24, 24) == 0).all()


def test_faces_keep_their_indices_among_faces_that_repeat() -> None:
    """A grid of squares, some of which reach over the border, in a shuffled order."""
    order = np.random.default_rng(0).permutation(32)
    x, y = np.divmod(np.arange(16), 4)
    corner = np.stack([x, y], 1) / 4 + (0.125, -0.125)
    uvs = (corner[:, None] + SQUARE / 4).reshape(-1, 2)
    faces = (np.arange(16)[:, None, None] * 4 + HALVES).reshape(-1, 3)[order]
    face = faces_at(uvs, faces, 64, 64)
    assert (face >= 0).all()
    counts = torch.bincount(face.flatten(), minlength=32)
    assert counts.sum() == 64 * 64
    assert (counts - 128).abs().max() <= 16
    row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    square_x, square_y = (column - 8) % 64 // 16, (71 - row) % 64 // 16
    assert torch.equal(torch.from_numpy(order)[face] // 2, square_x * 4 + square_y)


def test_covered_is_where_faces_are() -> None:
    uvs = 0.25 + SQUARE / 2
    mask = covered(uvs, HALVES, 8, 8)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, torch.nn.functional.pad(torch.ones(4, 4), (2, 2, 2, 2)).bool())


def test_faces_at_one_place_are_drawn_once_and_the_first_is_seen() -> None:
    uvs = np.random.default_rng(0).random((9, 2))
    faces = np.random.default_rng(1).integers(0, 9, (300, 3))
    known: set[tuple[int, ...]] = set()
    wanted = []
    for face in faces:
        key = tuple(sorted(face.tolist()))
        wanted.append(key not in known)
        known.add(key)
    assert first_of_each(faces).tolist() == wanted
    rast, _ = rasterize_uvs(uvs, faces, 32, 32)
    owners = rast[..., 3].unique().long().tolist()
    assert all(wanted[owner - 1] for owner in owners if owner)
    # beside faces of one place nothing of the others changes
    twice, _ = rasterize_uvs(uvs, np.concatenate([faces, faces[:, [1, 2, 0]]]), 32, 32)
    assert torch.equal(twice, rast)
