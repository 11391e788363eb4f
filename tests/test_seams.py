from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MESHES, make_cube
from torch import Generator

import texopt
from texopt import FeatureExtractor, PixelTexture
from texopt.render.scene import Scene
from texopt.render.seam_points import Seams, seam_edges


def test_every_edge_between_the_sides_of_the_cube_is_a_seam() -> None:
    mesh = make_cube()
    edges = seam_edges(mesh)
    assert len(edges) == 12  # and none of the six diagonals, whose faces share their UVs
    ends = mesh.vertices[mesh.faces[edges[..., 0, None], edges[..., 1:]]]
    assert np.array_equal(ends[:, 0], ends[:, 1])  # both sides go the same way along the same edge
    assert (edges[:, 0, 0] != edges[:, 1, 0]).all()


def test_vertices_that_are_split_along_seams_count_as_one() -> None:
    mesh = make_cube()
    split = replace(
        mesh, vertices=mesh.vertices[mesh.faces].reshape(-1, 3), faces=np.arange(36, dtype=np.int32).reshape(12, 3)
    )
    assert len(seam_edges(split)) == 12


def test_points_show_the_two_sides_of_the_same_place() -> None:
    """A texture that holds its own UVs tells where the points lie."""
    mesh = make_cube()
    seams = Seams(mesh, torch.device("cpu"))
    fragments = Scene(mesh).rasterize(texopt.fixed_views(2), 40)
    extended = seams.extend(fragments, Generator().manual_seed(0), slice(2), 2, 100.0)
    assert torch.equal(extended.uv[:, :40], fragments.uv)
    assert torch.equal(extended.face_id[:, :40], fragments.face_id)
    for name in ("uv", "bary"):
        values = getattr(extended, name).permute(0, 3, 1, 2)
        assert values.shape[2] > 40
    _, uvs = seams.split(torch.cat([extended.uv, extended.uv[..., :1]], 3).permute(0, 3, 1, 2), 40)
    rows, bary = (values[:, 40:].unflatten(1, (2, -1)).movedim(1, 0) for values in (extended.face_id, extended.bary))
    weights = torch.cat([bary, 1 - bary.sum(-1, keepdim=True)], -1)
    corners = torch.from_numpy(mesh.vertices).float()[torch.from_numpy(mesh.faces).long()[rows.long()]]
    first, second = (weights[..., None] * corners).sum(-2).reshape(2, -1, 3)
    assert torch.allclose(first, second, atol=1e-5)
    assert (uvs[0] - uvs[1]).abs().max(-1).values.min() > 1e-3
    texture_uv = torch.from_numpy(mesh.uvs).float()[torch.from_numpy(mesh.face_uvs).long()[rows.long()]]
    assert torch.allclose((weights[..., None] * texture_uv).sum(-2).reshape(2, -1, 2), uvs[..., :2], atol=1e-5)


def test_the_seam_objective_closes_seams(extractor: FeatureExtractor) -> None:
    mesh = make_cube()
    noise = PixelTexture(64, start=torch.rand(3, 8, 8))
    result = texopt.optimize(
        mesh,
        noise,
        texopt.seam(),
        steps=40,
        views=texopt.Views(size=32),
        descent=texopt.Descent(learning_rate=0.3),
        backbone=extractor,
        device="cpu",
    )
    values = [step.terms["seam"] for step in result.history]
    assert values[-1] < 0.3 * values[0]


def test_a_mesh_without_seams(extractor: FeatureExtractor) -> None:
    mesh = make_cube()
    one_chart = texopt.Mesh("one", mesh.vertices, mesh.faces[:2], mesh.uvs, mesh.face_uvs[:2], None, None, mesh.maps)
    assert len(seam_edges(one_chart)) == 0
    goal = texopt.objective(lambda view: view.image.mean(), "bright") + texopt.seam()
    result = texopt.optimize(
        one_chart, PixelTexture(16), goal, steps=2, views=texopt.Views(size=32), backbone=extractor, device="cpu"
    )
    assert result.history[-1].terms["seam"] == 0.0


@pytest.mark.parametrize("name", ["creature", "torus_knot"])
def test_bundled_meshes_have_seams(name: str) -> None:
    mesh = texopt.load_mesh(MESHES / f"{name}.obj")
    assert 0 < len(seam_edges(mesh)) < len(mesh.faces)


@pytest.mark.parametrize("width", [32, 64])
def test_points_of_textures_with_opacity(width: int, extractor: FeatureExtractor) -> None:
    texture = texopt.TransparentTexture(PixelTexture(16), 16)

    def check(view: texopt.View) -> torch.Tensor:
        assert view.seams.shape == (2, 4096, 4)
        return (view.seams[0] - view.seams[1]).abs().mean()

    texopt.optimize(
        make_cube(), texture, check, steps=1, views=texopt.Views(size=width), backbone=extractor, device="cpu"
    )
