"""Tangents: what they are on surfaces where that is known. interop/test_tangents.py has them beside MikkTSpace's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_cube

from texopt import Mesh
from texopt.mesh.finish import Finish, directx
from texopt.mesh.normals import corner_normals
from texopt.mesh.tangents import corner_tangents, tangents

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def of_square(uvs: np.ndarray, faces: np.ndarray = FACES) -> np.ndarray:
    normals = np.broadcast_to([0.0, 0.0, 1.0], (len(faces), 3, 3))
    return corner_tangents(SQUARE[faces], normals, uvs[faces])


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.0, 3.1])
def test_it_is_the_right_of_the_texture(turn: float) -> None:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    found = of_square(3 * SQUARE[:, :2] @ rotation.T + 5)  # P = Rᵀ uv, so dP/du is the first row of R
    np.testing.assert_allclose(found, np.broadcast_to([*rotation[0], 0, 1], (2, 3, 4)), atol=1e-6)


def test_a_mirrored_texture_has_the_other_sign() -> None:
    np.testing.assert_array_equal(of_square(SQUARE[:, :2] * (-1, 1))[..., [0, 3]], -np.ones((2, 3, 2)))
    np.testing.assert_array_equal(of_square(SQUARE[:, :2] * (1, -1))[..., [0, 3]], np.broadcast_to([1, -1], (2, 3, 2)))


def test_on_a_sphere_it_is_the_east() -> None:
    longitude, latitude = np.meshgrid(np.linspace(0, 3, 40), np.linspace(-1.2, 1.2, 40), indexing="ij")
    east, up = np.cos(latitude), np.sin(latitude)
    points = np.stack([east * np.sin(longitude), up, east * np.cos(longitude)], -1).reshape(-1, 3)
    first = np.arange(39 * 40).reshape(39, 40)[:, :-1].reshape(-1)
    faces = np.concatenate([np.stack([first, first + 40, first + 41], 1), np.stack([first, first + 41, first + 1], 1)])
    uvs = np.stack([longitude, latitude], -1).reshape(-1, 2) / 4
    mesh = Mesh("sphere", points, faces, uvs, normals=points)
    found = tangents(mesh)
    at = longitude.reshape(-1)[mesh.faces]
    np.testing.assert_allclose(found[..., :3], np.stack([np.cos(at), 0 * at, -np.sin(at)], -1), atol=0.06)
    assert (found[..., 3] == 1).all()


def test_they_are_perpendicular_to_the_normals_and_turn_with_the_mesh() -> None:
    mesh = make_cube()
    found = tangents(mesh)
    normals = corner_normals(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)
    np.testing.assert_allclose(np.linalg.norm(found[..., :3], axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose((found[..., :3] * normals).sum(-1), 0, atol=1e-6)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    turned = tangents(mesh.with_vertices(7 * mesh.vertices @ turn.T + 2))
    np.testing.assert_allclose(turned[..., :3], found[..., :3] @ turn.T, atol=1e-5)
    np.testing.assert_array_equal(turned[..., 3], found[..., 3])


def test_faces_whose_uvs_have_no_area_take_a_neighbours() -> None:
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 0.0]])  # 0 and 3 lie upon each other, and 2 beside
    mirrored = uvs * (-1, 1)
    np.testing.assert_array_equal(of_square(uvs)[1, :2], [[1, 0, 0, 1]] * 2)
    np.testing.assert_array_equal(of_square(mirrored)[1, :2], [[-1, 0, 0, -1]] * 2)
    alone = of_square(np.zeros((4, 2)))
    np.testing.assert_allclose(np.linalg.norm(alone[..., :3], axis=-1), 1)
    np.testing.assert_array_equal(alone[..., 2:], np.broadcast_to([0, 1], (2, 3, 2)))
    flat = of_square(SQUARE[:, :2], np.array([[0, 1, 2], [0, 2, 2]]))  # a face without area
    np.testing.assert_array_equal(flat, np.broadcast_to([1, 0, 0, 1], (2, 3, 4)))


def test_of_nothing() -> None:
    assert corner_tangents(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3, 2))).shape == (0, 3, 4)


def test_a_seam_keeps_both_sides_apart() -> None:
    """The cube's faces have charts of their own: all corners of a face have its own tangent."""
    mesh = make_cube()
    found = tangents(replace(mesh, normals=None, face_normals=None))
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1], found.shape), atol=1e-6)


def test_directx_is_the_other_way_up() -> None:
    normal = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    np.testing.assert_array_equal(directx(directx(normal)), normal)
    np.testing.assert_array_equal(directx(normal)[..., [0, 2]], normal[..., [0, 2]])
    np.testing.assert_array_equal(directx(Finish().normal)[0, 0], [128, 127, 255])
