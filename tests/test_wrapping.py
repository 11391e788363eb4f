"""Textures that are clamped or mirrored beyond their edges, along each axis: looked up, optimised, filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from texopt import CppnTexture, FourierTexture, Mesh, PixelTexture, PyramidTexture, TextureMap
from texopt.io.export import export
from texopt.io.unwrapping.unwrap import uv_problems
from texopt.mesh.surface_points import Points
from texopt.mesh.wrapping import CLAMP, MIRROR, MODES, REPEAT, Wrap, first_period, folded
from texopt.optim.result import Result
from texopt.render.fragments import Fragments, surface_points
from texopt.render.look_up import look_up
from texopt.render.reached import reached_texels
from texopt.render.scene import rasterize
from texopt.render.uv_raster import covered
from texopt.texture.image import ImageTexture

WRAPS = list(product(MODES, MODES))


def quad(wrap: Wrap, low: float = -1.0, high: float = 2.0, size: int = 8) -> Mesh:
    """A square that shows noise from (low, low) to (high, high)."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    texture = TextureMap(picture, wrap=wrap)
    points, uvs = np.pad(corners - 0.5, ((0, 0), (0, 1))), low + (high - low) * corners
    return Mesh("quad", points, faces, uvs, faces, None, None, (texture,))


def at(mesh: Mesh, uv: np.ndarray, footprint: float = 0.0) -> Fragments:
    """Points with UVs [N,2], each as large as a share of the texture."""
    found = surface_points(mesh, uv, np.zeros(len(uv), int))
    return replace(found, uv_da=torch.tensor([footprint, 0, 0, footprint]).expand(1, 1, len(uv), 4).contiguous())


def by_mirroring(image: Tensor, uv: np.ndarray, wrap: Wrap, footprint: float) -> Tensor:
    """What a repeating look-up finds in an image that is twice as large, with its mirror images: the edges are right
    on every mip level. Clamped is mirrored, of coordinates in [0,1]."""
    shares = []
    for axis, mode in enumerate(wrap):
        if mode != REPEAT:
            mirrored = [image, image.flip(2)] if axis == 0 else [image.flip(1), image]  # row 0 is v = 1
            image = torch.cat(mirrored, 2 - axis)
        uv = np.where(np.arange(2) == axis, uv.clip(0, 1), uv) if mode == CLAMP else uv
        shares.append(1.0 if mode == REPEAT else 0.5)
    plain = at(quad((REPEAT, REPEAT)), uv * shares, footprint)
    scale = torch.tensor([shares[0]] * 2 + [shares[1]] * 2)
    return look_up(image, replace(plain, uv_da=plain.uv_da * scale))[0, :, 0]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_look_ups_are_those_of_mirror_images(wrap: Wrap, level: int) -> None:
    uv = np.random.default_rng(1).uniform(-3, 4, (2000, 2))
    image = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))
    footprint = 2.0**level / 32
    found = look_up(image, at(quad(wrap), uv, footprint))[0, :, 0]
    torch.testing.assert_close(found, by_mirroring(image, uv, wrap, footprint), atol=1e-3, rtol=0)


@pytest.mark.parametrize("level", [0.3, 1.5, 2.9])
def test_nothing_of_the_opposite_edge_is_seen_between_levels(level: float) -> None:
    image = torch.zeros(3, 32, 32)
    image[:, :, 16:] = 1
    uv = np.stack([np.linspace(-2, 3, 501), np.full(501, 0.4)], 1)
    found = look_up(image, at(quad((CLAMP, REPEAT)), uv, 2.0**level / 32))[0, 0, 0]
    assert found[uv[:, 0] < 0.1].max() == 0
    assert found[uv[:, 0] > 0.9].min() > 1 - 1e-5


TEXTURES: list[Callable[[Tensor], ImageTexture | CppnTexture]] = [
    lambda start: PixelTexture(32, start), lambda start: FourierTexture(32, start),
    lambda start: PyramidTexture(32, start), lambda _: CppnTexture(32),
]  # fmt: skip


@pytest.mark.parametrize("make", TEXTURES)
@pytest.mark.parametrize("wrap", [(CLAMP, MIRROR), (MIRROR, CLAMP), (REPEAT, CLAMP)])
def test_what_is_optimised_shows_what_engines_will(make: Callable[[Tensor], ImageTexture], wrap: Wrap) -> None:
    texture = make(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)))
    centers = (np.random.default_rng(2).integers(-64, 96, (300, 2)) + 0.5) / 32
    fragments = at(quad(wrap), centers)
    with torch.no_grad():
        seen, baked = texture.sample(fragments)[0, :, 0], texture.bake()
    row, column = ((1 - folded(centers, wrap)[:, 1]) * 32).astype(int), (folded(centers, wrap)[:, 0] * 32).astype(int)
    expected = baked[:, row.clip(max=31), column.clip(max=31)]
    torch.testing.assert_close(seen, expected, atol=2e-3, rtol=0)


def test_a_fine_pyramid_is_clamped_where_its_finest_level_is() -> None:
    """Also where levels are added up at pixels alone."""
    texture = PyramidTexture((16, 2048), torch.rand(3, 16, 2048, generator=torch.Generator().manual_seed(0)))
    assert texture.details is not None
    uv = np.stack([np.array([-0.7, 0.0, 1.0, 5.0]), np.full(4, 0.53125)], 1)
    with torch.no_grad():
        seen, baked = texture.sample(at(quad((CLAMP, REPEAT)), uv))[0, :, 0], texture.bake()
    torch.testing.assert_close(seen, baked[:, 7, [0, 0, -1, -1]], atol=1e-3, rtol=0)


@pytest.mark.parametrize("wrap", WRAPS)
def test_renderings_go_on_beyond_edges(wrap: Wrap) -> None:
    mesh, side = quad(wrap), 24  # texels along it
    from texopt.render.cameras import Cameras

    half = float(np.sqrt(0.5) ** -1 / 2)  # in the unit sphere
    screen = torch.diag(torch.tensor([1 / half, 1 / half, 1.0, 1.0], dtype=torch.float64))[None]
    pixels = rasterize(mesh, Cameras(torch.eye(4, dtype=torch.float64)[None], screen), 8 * side)
    seen = look_up(torch.from_numpy(mesh.maps[0].original).permute(2, 0, 1) / 255, pixels)[0, :, 3::8, 3::8]
    middle = (np.arange(side) + 7 / 16) / side * 3 - 1
    u, v = np.meshgrid(middle, middle[::-1])
    place = folded(np.stack([u, v], -1), wrap)
    row, column = (((1 - place[..., 1]) * 8).astype(int)).clip(max=7), ((place[..., 0] * 8).astype(int)).clip(max=7)
    error = (seen.permute(1, 2, 0).numpy() - mesh.maps[0].original[row, column] / 255).__abs__()
    assert np.median(error) < 0.12  # of noise: pixels are nearly at the middle of texels
    other = (seen.permute(1, 2, 0).numpy() - np.roll(mesh.maps[0].original, 3, 0)[row, column] / 255).__abs__()
    assert np.median(other) > 0.2


def test_coverage() -> None:
    """A face from (0.5, 0.25) to (1.5, 0.75) of a texture of 8 x 8."""
    corners = np.array([[0.5, 0.25], [1.5, 0.25], [1.5, 0.75], [0.5, 0.75]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])

    def columns(mode: str) -> list[int]:
        there = covered(corners, faces, 8, 8, (mode, REPEAT))
        assert torch.equal(there[2:6].any(0), there.any(0))
        return torch.nonzero(there[2:6].all(0)).flatten().tolist()

    assert columns(REPEAT) == list(range(8))
    assert columns(MIRROR) == columns(CLAMP) == [4, 5, 6, 7]
    assert covered(corners + 1, faces, 8, 8, (CLAMP, REPEAT))[:, -1].all()  # all of it lies beyond
    assert covered(corners - 2, faces, 8, 8, (CLAMP, REPEAT)).any(0).tolist() == [True] + [False] * 7
    upper = covered(corners[:, ::-1] + (0, 1), faces, 8, 8, (REPEAT, CLAMP))
    assert upper.any(1).tolist() == [True] + [False] * 7  # v > 1 is the first row


def test_views_reach_the_edge_that_is_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a face shows a corner of the texture, and the edges are what the rest is filled from."""
    monkeypatch.setattr("texopt.render.reached.COVERAGE_SIZE", 512)
    mesh = quad((CLAMP, CLAMP), 1.0, 3.0, 64)
    (seen,) = reached_texels(mesh, [(64, 64)])
    assert seen[0, -1]
    assert seen.float().mean() < 0.25
    texture = PixelTexture(64, (0.1, 0.1, 0.1))
    with torch.no_grad():
        texture.values[:, :2] = texture.values[:, :, -2:] = 5.0  # before colours are made of them
    image = Result(mesh, texture, []).image
    assert image[0, 0, -1] > 0.9
    assert image[0, 40, 10] > 0.5


def test_masks_are_looked_at_where_the_texture_is() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 3] = 255
    mesh = quad((CLAMP, REPEAT))
    mesh = replace(mesh, maps=(replace(mesh.maps[0], mask=mask),))
    barys = np.array([[0.05, 0.05, 0.9], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])  # u = 1.85, 0.2, 1.7
    assert Points(mesh, np.zeros(3, int), barys).unmasked().tolist() == [True, False, True]


def test_what_is_said_of_uvs_outside() -> None:
    mesh = quad((CLAMP, CLAMP), 3.0, 3.5)
    assert uv_problems(mesh.uvs, mesh.face_uvs) == []
    assert uv_problems(mesh.uvs, mesh.face_uvs, (CLAMP, CLAMP)) == [
        "UVs reach outside [0,1] (3.00 to 3.50); the texture is clamped there"
    ]
    (said,) = uv_problems(mesh.uvs - 4, mesh.face_uvs, (REPEAT, MIRROR))
    assert said.endswith("the texture repeats and is mirrored there")


@pytest.mark.parametrize("mode", MODES)
def test_uvs_of_the_page_show_the_same(mode: str) -> None:
    uv = np.array([[-5.3, 7.2], [-4.0, 1003.3]])
    moved = uv - first_period(uv, (mode, mode))
    np.testing.assert_allclose(folded(moved, (mode, mode)), folded(uv, (mode, mode)), atol=1e-9)
    assert mode == CLAMP or (moved.min(0) >= 0).all()


@pytest.mark.parametrize(("wrap", "low", "said"), [
    ((CLAMP, MIRROR), -1.0, True), ((CLAMP, MIRROR), 0.0, False), ((REPEAT, REPEAT), -1.0, False),
])  # fmt: skip
def test_obj_has_no_word_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrap: Wrap, low: float, said: bool
) -> None:
    export(quad(wrap, low, 1.0), torch.zeros(3, 8, 8), tmp_path / "a.obj")
    lines = [record.getMessage() for record in caplog.records]
    expected = "a.obj: a texture that is clamped or mirrored outside [0,1] is repeated by what reads OBJ"
    assert lines == ([expected] if said else [])
