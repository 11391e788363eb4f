"""Tangents are those of MikkTSpace's own code, which programs that draw normal maps have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interop.cases import MESHES
from interop.programs import MODULES, need, run
from texopt import Mesh, load_mesh
from texopt.mesh.normals import corner_normals, smooth_normals
from texopt.mesh.tangents import corner_tangents, tangents

HERE = Path(__file__).parent
Corners = tuple[np.ndarray, np.ndarray, np.ndarray]  # positions and normals [F,3,3], UVs [F,3,2]
NOTHING = (1.0, 0.0, 0.0)  # what MikkTSpace gives a corner that has no tangent


def by_mikktspace(folder: Path, corners: Corners) -> np.ndarray:
    """Tangents and signs [F,3,4] by the WebAssembly of MikkTSpace."""
    need("node", MODULES / "mikktspace")
    file = folder / "corners"
    np.concatenate(corners, -1).astype("<f4").tofile(file)
    run("node", HERE / "tangents.mjs", MODULES, file)
    return np.fromfile(folder / "corners.tangents", "<f4").reshape(-1, 3, 4)


def check(folder: Path, given: Corners, most: float = 0.0) -> None:
    """Ours are theirs, wherever theirs say something: at all corners but a share of `most`."""
    corners = given[0].astype(np.float32), given[1].astype(np.float32), given[2].astype(np.float32)
    theirs, ours = by_mikktspace(folder, corners), corner_tangents(*corners)
    np.testing.assert_allclose(np.linalg.norm(ours[..., :3], axis=-1), 1, atol=1e-6)
    told = (theirs[..., :3] != NOTHING).any(-1)
    assert 1 - told.mean() <= most
    np.testing.assert_array_equal(ours[told][:, 3], theirs[told][:, 3])
    np.testing.assert_allclose(ours[told], theirs[told], atol=2e-3)  # theirs are sums of float32
    assert np.abs(ours[told] - theirs[told]).mean() < 1e-5


def of(mesh: Mesh) -> Corners:
    normals = corner_normals(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)
    return mesh.vertices[mesh.faces], normals, mesh.uvs[mesh.face_uvs]


def smooth(mesh: Mesh) -> Mesh:
    normals = smooth_normals(mesh.vertices, mesh.faces, mesh.faces)
    return replace(mesh, normals=normals, face_normals=mesh.faces)


@pytest.mark.parametrize("is_smooth", [False, True])
@pytest.mark.parametrize("name", ["creature", "teapot"])
def test_of_the_meshes_of_the_package(name: str, is_smooth: bool, tmp_path: Path) -> None:
    mesh = load_mesh(MESHES / f"{name}.obj")
    mesh = smooth(mesh) if is_smooth else mesh
    check(tmp_path, of(mesh), 1e-3)
    np.testing.assert_array_equal(tangents(mesh), corner_tangents(*of(mesh)))


def test_of_uvs_that_are_mirrored(tmp_path: Path) -> None:
    """Both halves of the creature have one half of the texture."""
    mesh = smooth(load_mesh(MESHES / "creature.obj"))
    uvs = np.where(mesh.uvs < 0.5, mesh.uvs, 1 - mesh.uvs)
    corners = of(replace(mesh, uvs=uvs))
    assert 0.3 < (corner_tangents(*corners)[..., 3] > 0).mean() < 0.7
    check(tmp_path, corners, 0.02)


def soup(seed: int) -> Corners:
    """Triangles between a few places, with edges that have any number of faces; some without area, some whose UVs have
    none. The last lies alone: MikkTSpace's code forgets to sort the faces of the last edge."""
    rng = np.random.default_rng(seed)
    points, normals, uvs = rng.normal(size=(9, 3)), rng.normal(size=(2, 3)), rng.integers(0, 4, (9, 2)) / 4
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = rng.integers(0, 9, (40, 3))
    points, uvs = np.concatenate([points, 9 + np.eye(3)]), np.concatenate([uvs, np.eye(3)[:, :2]])
    faces = np.concatenate([faces, [[9, 10, 11]]])
    return points[faces], normals[faces % 2], uvs[faces]


@pytest.mark.parametrize("seed", range(20))
def test_of_triangles_at_random(seed: int, tmp_path: Path) -> None:
    check(tmp_path, soup(seed), 0.4)
