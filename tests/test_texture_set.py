"""Several textures drawn and optimised as one surface: every pixel sees its own, and what is kept stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_cube
from PIL import Image
from settings import grouped
from torch import Generator, Tensor

import texopt
from texopt import FeatureExtractor, FourierTexture, Mesh, OptionError, PixelTexture, PyramidTexture, TextureMap, View
from texopt.mesh.areas import areas
from texopt.optim.result import Result
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up, sample_maps
from texopt.render.scene import Scene, rasterize
from texopt.render.seam_points import seam_edges
from texopt.texture import TextureSet
from texopt.texture.texture_set import with_kept

SIZES = ((8, 32), (64, 16), (1, 1), (32, 32))


pytestmark = pytest.mark.usefixtures("small_originals")


def several(*kept: int, count: int = 3) -> Mesh:
    """A cube whose sides go round `count` maps, as materials of their own."""
    cube = make_cube()
    sides = np.arange(6).repeat(2)
    maps = tuple(
        TextureMap(
            np.random.default_rng(index).integers(0, 256, (8, 8, 3)).astype(np.uint8), f"m{index}", kept=index in kept
        )
        for index in range(count)
    )
    face_map = (sides % count).astype(np.int32)
    return replace(cube, maps=maps, face_map=face_map, face_material=face_map, materials=tuple(m.name for m in maps))


def pictures(count: int) -> list[Tensor]:
    generator = Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for size in (SIZES * 2)[:count]]


def seen(mesh: Mesh, size: int = 48) -> Fragments:
    return rasterize(mesh, texopt.fixed_views(3), size)


# drawing


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_pixel_shows_its_own_map(count: int) -> None:
    """Values and gradients are those of looking up each map everywhere and taking what belongs to it."""
    mesh, images = several(count=count), pictures(count)
    fragments = seen(mesh)
    together = [image.clone().requires_grad_() for image in images]
    apart = [image.clone().requires_grad_() for image in images]
    colors = look_up(together, fragments)
    expected = torch.zeros(3, 3, 48, 48)
    for index, image in enumerate(apart):
        here = (fragments.mask & (fragments.map_id == index))[:, None]
        expected = torch.where(here, look_up(image, fragments), expected)
    mask = fragments.mask[:, None].float()
    torch.testing.assert_close(colors * mask, expected, atol=1e-6, rtol=0)
    cotangent = torch.rand(colors.shape) * mask
    (colors * cotangent).sum().backward()
    (expected * cotangent).sum().backward()
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-5)
        assert float(one.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_gradients_are_those_of_finite_differences() -> None:
    """The look-up is linear in the images: a step of any size shows its slope."""
    mesh, images = several(), [image.requires_grad_() for image in pictures(3)]
    fragments = seen(mesh)
    cotangent = torch.rand(3, 3, 48, 48)
    (look_up(images, fragments) * cotangent).sum().backward()
    for index, image in enumerate(images):
        direction = torch.rand(image.shape)
        with torch.no_grad():
            moved = [other + direction if other is image else other for other in images]
            change = ((look_up(moved, fragments) - look_up(images, fragments)) * cotangent).sum()
        assert image.grad is not None
        assert float((image.grad * direction).sum()) == pytest.approx(float(change), rel=1e-3), index


def test_one_map_is_drawn_as_if_there_were_no_others() -> None:
    mesh, (image,) = several(count=1), pictures(1)
    fragments = seen(mesh)
    assert torch.equal(look_up([image], fragments), look_up(image, fragments))


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_that_nothing_shows(channels: int) -> None:
    """Zeros with the channels of the images, and with a gradient, wherever the camera looks."""
    mesh = several()
    images = [torch.rand(channels, 8, 8).requires_grad_() for _ in range(3)]
    away = replace(seen(mesh), mask=torch.zeros(3, 48, 48, dtype=torch.bool))
    colors = look_up(images, away)
    assert colors.shape == (3, channels, 48, 48)
    assert not colors.any()
    colors.sum().backward()
    alone = look_up([None, None, images[2]], seen(mesh))
    assert not alone[(seen(mesh).map_id != 2)[:, None].expand_as(alone)].any()
    assert look_up([None, None, None], seen(mesh)).shape == (3, 3, 48, 48)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_picked_pixels_are_rows_and_what_fills_them_up_has_no_gradient(count: int) -> None:
    fragments = seen(several(count=2))
    inside = fragments.mask.flatten().nonzero()[:, 0]
    pixels = inside[torch.randperm(len(inside))[:count]]
    picked = fragments.pick(pixels)
    assert picked.mask.shape[0] == 1
    assert picked.mask.shape[2] <= 256
    for name in ("face_id", "bary", "depth", "uv", "uv_da", "mask", "map_id"):
        values, all_of_them = getattr(picked, name).flatten(0, 2), getattr(fragments, name).flatten(0, 2)
        assert torch.equal(values[:count], all_of_them[pixels])
    shown: list[Fragments] = []

    def sampler(some: Fragments) -> Tensor:
        shown.append(some)
        colors = torch.ones(1, 1, *some.mask.shape[1:], requires_grad=True)
        shown.append(colors)  # type: ignore[arg-type]
        return colors

    few = replace(fragments, map_id=torch.ones_like(fragments.map_id))
    few.map_id.view(-1)[pixels] = 0
    out = sample_maps([sampler, None], few)
    assert int(out.sum()) == count
    out.sum().backward()
    colors = shown[1]
    assert isinstance(colors, Tensor)
    assert float(colors.grad.sum()) == count  # type: ignore[union-attr]


# the set


def test_a_set_is_its_textures() -> None:
    mesh = several(1)
    first, second = PixelTexture(16), PyramidTexture(32)
    both = TextureSet(mesh, [first, second])
    fragments = seen(mesh)
    expected = look_up([first.decode(), None, second.decode()], fragments)
    torch.testing.assert_close(both.sample(fragments), expected, atol=1e-3, rtol=0)  # but for mip levels
    assert [tuple(image.shape) for image in both.bake()] == [(3, 16, 16), (3, 32, 32)]
    assert len(list(both.parameters())) == len([*first.parameters(), *second.parameters()])


@pytest.mark.parametrize("given", [1, 2, 4])
def test_a_texture_for_every_map(given: int) -> None:
    with pytest.raises(OptionError, match=rf"cube has 3 textures to optimise, not {given}; give one each") as caught:
        TextureSet(several(), [PixelTexture(8) for _ in range(given)])
    assert "\n" not in str(caught.value)


def test_one_texture_is_enough_where_the_rest_is_kept() -> None:
    assert TextureSet(several(0, 2), PixelTexture(8)).map_of_texture == [1]


# the run


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def run(
    mesh: Mesh, textures: object, extractor: FeatureExtractor, objective: object = red, **options: object
) -> Result:
    settings = {"steps": 8, "view_size": 32, "learning_rate": 0.5, "backbone": extractor, "device": "cpu"} | options
    return texopt.optimize(mesh, textures, objective, **grouped(**settings))  # type: ignore[arg-type]


def test_all_maps_are_optimised(extractor: FeatureExtractor) -> None:
    textures = [PixelTexture(8), FourierTexture(16), PyramidTexture((8, 32))]
    result = run(several(), textures, extractor, steps=30, views_per_step=2)
    assert [tuple(image.shape) for image in result.images] == [(3, 8, 8), (3, 16, 16), (3, 8, 32)]
    for image in result.images:
        assert image[0].mean() > 0.7
        assert image[0].mean() > image[1].mean()
    with pytest.raises(OptionError, match="cube has 3 textures; use images"):
        _ = result.image


def test_the_same_seed_gives_the_same_bytes(extractor: FeatureExtractor) -> None:
    first, second = (run(several(), [PixelTexture(16) for _ in range(3)], extractor).images for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_what_is_kept_stays_and_no_objective_sees_it_as_the_object(extractor: FeatureExtractor) -> None:
    mesh = several(0, 2)
    views: list[View] = []

    def look(view: View) -> Tensor:
        views.append(view)
        return red(view)

    result = run(mesh, PixelTexture(16), extractor, look, steps=12)
    assert torch.equal(result.images[0], mesh.originals()[0])
    assert torch.equal(result.images[2], mesh.originals()[2])
    assert result.image[0].mean() > 0.6
    for view in views:
        changed = (view.image != view.original).any(1, keepdim=True)
        assert not (changed & (view.mask == 0)).any()
        assert view.mask.mean() < 0.8 * changed.new_ones(1)  # and there is something else in the picture
    assert max(view.mask.mean() for view in views) > 0.05


def test_views_are_framed_on_what_is_optimised() -> None:
    """A small part of a large mesh fills the view."""
    mesh = several(0)
    small = mesh.vertices.copy()
    far = np.concatenate([small * 50, small])
    faces = np.concatenate([mesh.faces, mesh.faces + len(small)])
    both = replace(
        mesh, vertices=far, faces=faces, face_uvs=np.tile(mesh.face_uvs, (2, 1)), maps=mesh.maps[:2],
        face_map=np.repeat([0, 1], len(mesh.faces)).astype(np.int32), face_material=np.zeros(len(faces), np.int32),
    )  # fmt: skip
    center, radius = both.normalization(optimized=True)
    np.testing.assert_allclose(center, 0, atol=1e-12)
    assert radius == pytest.approx(3**0.5)
    whole, part = (Scene(both, optimized=painted).rasterize(texopt.fixed_views(4), 64) for painted in (False, True))
    assert int((whole.map_id[whole.mask] == 1).sum()) == 0
    shares = [float(((part.map_id == 1) & part.mask)[view].float().mean()) for view in range(4)]
    assert min(shares) > 0.1


def test_a_view_in_which_all_that_is_optimised_is_hidden(extractor: FeatureExtractor) -> None:
    """A square inside of a cube that is kept: such a step is no error, and changes nothing."""
    cube = several(0, count=2)
    mesh = replace(
        cube, vertices=np.concatenate([cube.vertices, cube.vertices * 0.1]),
        faces=np.concatenate([cube.faces, cube.faces[:2] + 8]),
        face_uvs=np.concatenate([cube.face_uvs, cube.face_uvs[:2]]),
        face_map=np.repeat([0, 1], [12, 2]).astype(np.int32), face_material=np.zeros(14, np.int32),
    )  # fmt: skip
    seen: list[float] = []

    def look(view: View) -> Tensor:
        seen.append(float(view.mask.sum()))
        return red(view)

    texture = PixelTexture(8)
    before = texture.bake()
    run(mesh, texture, extractor, look, cameras=texopt.sample_sphere(distance=(60.0, 60.0)), steps=2)
    assert seen == [0.0, 0.0]
    assert torch.equal(texture.bake(), before)


@pytest.mark.parametrize("kept", [(), (0,), (0, 1)])
def test_seams_do_not_touch_what_is_kept(kept: Sequence[int]) -> None:
    mesh = several(*kept)
    edges = seam_edges(mesh)
    maps = mesh.face_map[edges[..., 0]]
    assert not np.isin(maps, kept).any()
    assert (len(edges) == 12) is (not kept)


def test_seams_lie_between_maps(extractor: FeatureExtractor) -> None:
    """Edges between two maps are seams, even where their UVs are equal, and the objective closes them."""
    mesh = several()
    one = replace(mesh, uvs=np.zeros_like(mesh.uvs), face_uvs=np.zeros_like(mesh.face_uvs))
    assert len(seam_edges(one)) == int((np.diff(mesh.face_map[seam_edges(mesh)[..., 0]], axis=1) != 0).sum())
    textures = [PixelTexture(16, start=(0.2 + 0.3 * index,) * 3) for index in range(3)]
    losses = [step.terms["seam"] for step in run(mesh, textures, extractor, texopt.seam(), steps=30).history]
    assert losses[-1] < 0.3 * losses[0]


def test_only_white_texels_of_a_mask_change(extractor: FeatureExtractor, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    mesh = several(count=2)
    mesh = replace(mesh, maps=(replace(mesh.maps[0], mask=mask), mesh.maps[1]))
    result = run(mesh, [PixelTexture(8), PixelTexture(8)], extractor)
    result.export(tmp_path / "b.png")
    image = np.asarray(Image.open(tmp_path / "b_m0.png"))
    np.testing.assert_array_equal(image[:, :4], mesh.maps[0].original[:, :4])
    assert (image[:, 4:] != mesh.maps[0].original[:, 4:]).any(2).all()
    kept = with_kept(mesh, [torch.ones(3, 8, 8)] * 2)
    np.testing.assert_allclose(kept[0][:, :, 4:], 1.0)


# meshes as they come


def shape(kind: str) -> Mesh:
    cube = make_cube()
    faces, face_uvs = cube.faces, cube.face_uvs
    if kind == "inside out":
        faces, face_uvs = faces[:, ::-1].copy(), face_uvs[:, ::-1].copy()
    elif kind == "two-sided plane":
        faces = np.concatenate([faces[:2], faces[:2, ::-1]])
        face_uvs = np.concatenate([face_uvs[:2], face_uvs[2:4, ::-1]])
    elif kind == "three faces at an edge":
        faces = np.concatenate([faces, [[0, 1, 7]]]).astype(np.int32)
        face_uvs = np.concatenate([face_uvs, face_uvs[:1]])
    elif kind == "faces without area":
        faces = np.concatenate([faces, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
        face_uvs = np.concatenate([face_uvs, face_uvs[:2]])
    return replace(
        cube, faces=faces, face_uvs=face_uvs, face_map=np.zeros(len(faces), np.int32),
        face_material=np.zeros(len(faces), np.int32), face_object=np.zeros(len(faces), np.int32),
    )  # fmt: skip


KINDS = ("inside out", "two-sided plane", "three faces at an edge", "faces without area")


@pytest.mark.parametrize("kind", KINDS)
def test_odd_meshes_are_read_run_and_written(kind: str, extractor: FeatureExtractor, tmp_path: Path) -> None:
    made = shape(kind)
    assert areas(made.vertices, made.faces).any()
    Result(made, PixelTexture(8), []).export(tmp_path / "in" / "a.obj")
    for unwrap in (False, True):
        mesh = texopt.load_mesh(tmp_path / "in" / "a.obj", unwrap=unwrap)
        np.testing.assert_array_equal(mesh.faces, made.faces)
        goal = texopt.objective(red, "red") + texopt.seam()
        result = run(mesh, PixelTexture(8), extractor, goal, steps=2)
        assert torch.isfinite(result.image).all()
        for ending in ("obj", "glb"):
            result.export(tmp_path / f"out {unwrap}" / f"b.{ending}")
            again = texopt.load_mesh(tmp_path / f"out {unwrap}" / f"b.{ending}")
            np.testing.assert_allclose(again.vertices[again.faces], made.vertices[made.faces], atol=1e-6)
