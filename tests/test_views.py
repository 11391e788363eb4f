"""What a view knows of the surface that it shows, and textures that depend on it."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trimesh
from conftest import make_cube
from fields import baked, showing, two_materials
from settings import grouped
from torch import Generator, Tensor, nn

import texopt
from texopt import FeatureExtractor, Fragments, Mesh, OptionError, PixelTexture, View
from texopt.render.backgrounds import plain
from texopt.render.cameras import Cameras, sample_sphere
from texopt.render.fragments import texel_centers
from texopt.render.transforms import jitter, robust, rotate, scale
from texopt.show.history import Step

SIZE, CENTER, EXTENT = 96, np.array([30.0, -20.0, 7.0]), np.array([4.0, 3.0, 5.0])  # of boxes, away from the origin

TRANSFORMS = {"none": None, "jitter": jitter(9), "rotate": rotate(25), "scale": scale(0.7, 1.4), "robust": robust()}


def shown_as_color(points: Tensor, axis: int = 1) -> Tensor:
    """Places in the box as colours."""
    shape = [3 if index == axis else 1 for index in range(points.ndim)]
    center, extent = (torch.from_numpy(values).to(points).reshape(shape) for values in (CENTER, EXTENT))
    return 0.5 + 0.4 * (points - center) / extent


def box(materials: bool = False) -> Mesh:
    mesh = two_materials() if materials else make_cube()
    return replace(mesh, vertices=mesh.vertices * EXTENT + CENTER)


def beside() -> tuple[Mesh, list[Tensor]]:
    """Two boxes away from one another, of which the second is kept, and the textures that show where they are."""
    parts = [
        replace(make_cube(), vertices=(0.3 * make_cube().vertices + side) * EXTENT + CENTER) for side in (0.8, -0.8)
    ]
    pictures = [baked(part, lambda points: shown_as_color(points)) for part in parts]
    second = np.repeat(np.arange(2, dtype=np.int32), 12)
    mesh = Mesh(
        "beside", np.concatenate([part.vertices for part in parts]),
        np.concatenate([parts[0].faces, parts[1].faces + len(parts[0].vertices)]), parts[0].uvs,
        np.concatenate([part.face_uvs for part in parts]), maps=(parts[0].maps * 2), face_map=second,
        materials=("first", "second"), face_material=second,
    )  # fmt: skip
    mesh = showing(mesh, *pictures)
    return replace(mesh, maps=(mesh.maps[0], replace(mesh.maps[1], kept=True))), pictures


def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(4, radius=2.0)
    index = sphere.faces.astype(np.int32)
    return Mesh("ball", sphere.vertices + CENTER, index, sphere.vertices[:, :2], index, sphere.vertices)


def views(mesh: Mesh, extractor: FeatureExtractor, texture: Any = None, **options: Any) -> list[View]:
    """The views of some steps, in which the texture hardly changes."""
    seen: list[View] = []

    def look(view: View) -> Tensor:
        seen.append(view)
        return view.image.mean()

    texture = texture or [PixelTexture(16) for _ in mesh.optimized]
    settings = {"steps": 2, "view_size": SIZE, "views_per_step": 2, "learning_rate": 1e-9, "device": "cpu"} | options
    texopt.optimize(mesh, texture, look, backbone=extractor, **grouped(**settings))
    return seen


def within(there: Tensor, pixels: int = 3) -> Tensor:
    """bool [B,H,W] without what is at its border."""
    outside = (~there)[:, None].float()
    return F.max_pool2d(outside, 2 * pixels + 1, 1, pixels)[:, 0] == 0


# Places, normals, depth.


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_position_is_that_of_the_image_pixel_by_pixel(
    transform: str, kept: bool, extractor: FeatureExtractor
) -> None:
    """A texture that shows where it is on the surface; with a part that is kept, and so lies beside the unit sphere."""
    mesh, (picture, *_) = beside() if kept else (box(), [baked(box(), lambda points: shown_as_color(points))])
    if kept:
        assert mesh.normalization()[1] > 2 * mesh.normalization(optimized=True)[1]
    texture = PixelTexture(256, start=picture)
    for view in views(mesh, extractor, texture, transform=TRANSFORMS[transform]):
        assert view.position.shape == view.normal.shape == view.image.shape
        assert view.depth.shape == view.mask.shape
        there = view.normal.norm(dim=1) > 0.5
        inner = within(there)
        assert inner.float().mean() > 0.1
        error = (view.image - shown_as_color(view.position)).abs().amax(1)[inner]
        assert error.median() < 1e-5
        assert error.quantile(0.98) < 0.02  # the rest are where charts end
        apart = (view.image.roll(3, 3) - shown_as_color(view.position)).abs().amax(1)[inner]
        assert apart.median() > 0.005  # so that three pixels are seen
        assert not view.position.permute(0, 2, 3, 1)[~there].any()
        assert not view.depth[:, 0][~there].any()


def test_the_fragments_are_those_of_the_nearest_pixel(extractor: FeatureExtractor) -> None:
    for name, transform in TRANSFORMS.items():
        for view in views(box(), extractor, transform=transform):
            found = view.fragments
            assert found.mask.shape == (2, SIZE, SIZE)
            agree = found.mask == (view.mask[:, 0] > 0.5)
            assert agree.float().mean() > (0.99 if transform else 0.9999), name
            inner = within(found.mask)
            pixel = 2 * np.linalg.norm(EXTENT) / SIZE
            error = (found.position.permute(0, 3, 1, 2) - view.position).norm(dim=1)[inner]
            assert error.median() < pixel, name
            assert (found.face_id[~found.mask] == -1).all()
            assert torch.equal(found.face_id[inner] >= 0, torch.ones_like(found.face_id[inner], dtype=torch.bool))


def test_what_a_transform_moves_in_from_nowhere_is_nothing(extractor: FeatureExtractor) -> None:
    def moved(generator: Generator, images: Tensor) -> Tensor:
        return F.pad(images, (40, -40, 0, 0))

    (view,) = views(box(), extractor, transform=moved, steps=1)
    left = view.fragments.mask[:, :, :40]
    assert not left.any()
    assert (view.fragments.face_id[:, :, :40] == -1).all()
    assert not view.fragments.uv[:, :, :40].any()
    assert view.fragments.mask.any()
    assert torch.equal(view.fragments.position.permute(0, 3, 1, 2), view.position)


@pytest.mark.parametrize("returned", [None, torch.zeros(2, 3, SIZE, SIZE), torch.zeros(3)])
def test_a_transform_that_changes_shapes_is_named(returned: Any, extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match=r"^transform has to return images shaped as it is given them"):
        views(box(), extractor, transform=lambda generator, images: returned)


@pytest.mark.parametrize("kind", ["ball", "box", "box without a transform"])
def test_the_normal_is_that_of_the_positions(kind: str, extractor: FeatureExtractor) -> None:
    mesh, transform = ball() if kind == "ball" else box(), None if "without" in kind else rotate(25)
    for view in views(mesh, extractor, transform=transform, cameras=sample_sphere(distance=(1.4, 1.4))):
        right = view.position.roll(-1, 3) - view.position.roll(1, 3)
        down = view.position.roll(-1, 2) - view.position.roll(1, 2)
        expected = F.normalize(torch.linalg.cross(down, right, dim=1), dim=1)
        there = view.normal.norm(dim=1) > 0.5
        inner = within(there, 4)
        if kind != "ball":  # away from its edges
            same = (view.normal - F.avg_pool2d(view.normal, 5, 1, 2)).norm(dim=1) < 1e-3
            inner &= same
        angle = torch.rad2deg((expected * view.normal).sum(1).clamp(-1, 1).acos())[inner]
        assert angle.numel() > 500
        assert angle.max() < (6.0 if kind == "ball" else 0.2)
        assert torch.allclose(view.normal.norm(dim=1)[there], torch.ones(()), atol=1e-5)


def test_depth_is_along_the_line_of_sight_in_units_of_the_mesh(extractor: FeatureExtractor) -> None:
    mesh = box()
    _, radius = mesh.normalization()
    for view in views(mesh, extractor):
        assert view.cameras is not None
        a, b = view.cameras.projection[:, 2, 2:].T[:, :, None, None]
        expected = radius * b / (view.fragments.depth + a)  # what z/w is made of
        there = view.fragments.mask
        assert torch.allclose(view.depth[:, 0][there], expected[there].float(), rtol=1e-3)
        eye = view.cameras.view.inverse()[:, :3, 3]
        center = torch.from_numpy(mesh.normalization()[0])
        far = ((view.position.double() - center[:, None, None]) / radius - eye[:, :, None, None]).norm(dim=1) * radius
        assert (view.depth[:, 0][there] <= far[there] + 1e-3).all()
        assert (view.depth[:, 0][there] > 0.95 * far[there]).all()


def test_a_parallel_projection_looks_the_same_way_everywhere(extractor: FeatureExtractor) -> None:
    mesh = texopt.canvas(size=(64, 64))
    (view,) = views(mesh, extractor, cameras=texopt.whole(mesh), steps=1, view_size=64)
    towards = view.fragments.view_direction
    assert torch.allclose(towards, torch.tensor([0.0, 0, 1]).expand_as(towards), atol=1e-6)
    assert torch.allclose(view.normal, torch.tensor([0.0, 0, 1])[:, None, None].expand_as(view.normal), atol=1e-6)
    middle = (torch.arange(64) + 0.5) / 64
    assert torch.allclose(view.position[0, 0, 0], middle, atol=1e-5)
    assert torch.allclose(view.position[0, 1, :, 0], 1 - middle, atol=1e-5)
    assert view.depth.std() < 1e-6


def test_normals_are_the_mesh_s_own_where_it_has_some() -> None:
    mesh = ball()
    cameras = texopt.orbit(30, 20)
    smooth, flat = (
        texopt.rasterize(one, cameras, 64) for one in (mesh, replace(mesh, normals=None, face_normals=None))
    )
    expected = F.normalize(smooth.position - torch.from_numpy(CENTER).float(), dim=-1)
    there = smooth.mask
    assert (expected - smooth.normal).norm(dim=-1)[there].max() < 2e-3
    assert 0.01 < (expected - flat.normal).norm(dim=-1)[there].max() < 0.1
    assert torch.equal(smooth.position, flat.position)
    assert ((smooth.normal * smooth.view_direction).sum(-1)[there] > -0.1).all()
    half = mesh.face_normals.copy()  # type: ignore[union-attr]
    half[::2] = -1
    mixed = texopt.rasterize(replace(mesh, face_normals=half), cameras, 64)
    even = (mixed.face_id % 2 == 0) & there
    assert torch.equal(mixed.normal[even], flat.normal[even])
    assert torch.allclose(mixed.normal[there & ~even], smooth.normal[there & ~even])


def test_what_has_no_place_says_so() -> None:
    texels = texel_centers(8, 8, slice(None))
    for name in ("position", "normal", "view_direction"):
        with pytest.raises(OptionError, match=r"no rendering.*texels"):
            getattr(texels, name)
    image, features = torch.zeros(1, 3, 8, 8), {}  # type: ignore[var-annotated]
    view = View(image, image[:, :1], image, features, features, None, torch.zeros(2, 0, 3), 1.0)  # type: ignore[arg-type]
    for name in ("fragments", "position", "normal", "depth"):
        with pytest.raises(OptionError, match=r"knows no geometry; optimize"):
            getattr(view, name)


def test_rasterize_names_what_it_cannot_draw() -> None:
    with pytest.raises(OptionError, match=r"^mesh has to be a Mesh, not a str"):
        texopt.rasterize("spot.obj", texopt.orbit(0, 0), 16)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"^cameras has to be Cameras, not a Tensor"):
        texopt.rasterize(make_cube(), torch.zeros(3), 16)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"^resolution"):
        texopt.rasterize(make_cube(), texopt.orbit(0, 0), "16")  # type: ignore[arg-type]


def test_saliency_s_views_know_their_geometry(extractor: FeatureExtractor) -> None:
    seen: list[View] = []

    def look(view: View) -> Tensor:
        seen.append(view)
        return (view.image * (view.normal[:, 2:] > 0)).mean()

    texopt.saliency(box(), look, cameras=texopt.orbit(30, 20), view_size=32, backbone=extractor, device="cpu")
    assert seen[0].position.shape == (1, 3, 32, 32)
    assert seen[0].depth.max() > 0
    with pytest.raises(OptionError, match=r"^cameras has to be Cameras"):
        texopt.saliency(box(), look, cameras=sample_sphere(), view_size=32, backbone=extractor)  # type: ignore[arg-type]


# Textures of one's own.


class Lit(nn.Module):
    """A texture that is darker where the surface turns away from the camera."""

    def __init__(self, color: nn.Module) -> None:
        super().__init__()
        self.color = color

    def sample(self, fragments: Fragments) -> Tensor:
        facing = (fragments.normal * fragments.view_direction).sum(-1).abs()
        found: Tensor = self.color.sample(fragments) * facing[:, None]  # type: ignore[operator]
        return found

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        image: Tensor = self.color.bake(height, width)  # type: ignore[operator]
        return image


@pytest.mark.parametrize("materials", [False, True])
def test_a_texture_that_is_lit_from_the_camera(materials: bool, extractor: FeatureExtractor) -> None:
    """On one texture and on several, which are given their own pixels each; with points on seams below the view."""
    mesh, grey = box(materials), (0.6, 0.5, 0.4)
    textures = [Lit(PixelTexture(16, start=grey)) for _ in mesh.maps]
    for view in views(mesh, extractor, textures, background=plain(0.0)):
        assert view.cameras is not None
        center, radius = mesh.normalization()
        eye = view.cameras.view.inverse()[:, :3, 3] * radius + torch.from_numpy(center)
        towards = F.normalize(eye[:, :, None, None] - view.position, dim=1)
        facing = (towards * view.normal).sum(1, keepdim=True).abs()
        expected = torch.tensor(grey)[:, None, None] * facing * view.mask
        assert torch.allclose(view.image, expected.float(), atol=2e-3)
        assert view.image[view.mask.expand_as(view.image) > 0].std() > 0.05
        assert view.seams.numel()
        assert (view.seams <= 0.6 + 1e-3).all()


class Returning(nn.Module):
    """A texture whose methods return what they are told to."""

    def __init__(self, sampled: Any, baked: Any = None) -> None:
        super().__init__()
        self.value, self.sampled, self.baked = nn.Parameter(torch.zeros(())), sampled, baked

    def sample(self, fragments: Fragments) -> Any:
        return self.sampled(fragments) if callable(self.sampled) else self.sampled

    def bake(self, height: int | None = None, width: int | None = None) -> Any:
        return self.baked


@pytest.mark.parametrize(
    "sampled",
    [
        None, "red", np.zeros((1, 3, 32, 32)), torch.zeros(1, 3, 32, 32), lambda _: torch.zeros(3),
        lambda it: torch.zeros(*it.mask.shape, 3), lambda it: torch.zeros(it.mask.shape),
        lambda it: torch.zeros(1, 1, *it.mask.shape[1:]), lambda it: torch.zeros(1, 3, *it.mask.shape[1:]).int(),
        lambda it: torch.zeros(1, 3, *it.mask.shape[1:], device="meta"),
    ],
)  # fmt: skip
def test_what_sample_must_not_return_is_named(sampled: Any, extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match=r"^sample of Returning has to return floats \[B,3 or 4,H,W\]"):
        views(make_cube(), extractor, Returning(sampled), view_size=32, views_per_step=1)


def test_sample_may_return_other_floats(extractor: FeatureExtractor) -> None:
    texture = Returning(None)
    texture.sampled = lambda it: (texture.value + torch.rand(2, 4, *it.mask.shape[1:])).double()
    assert views(make_cube(), extractor, texture, view_size=32)[0].image.dtype == torch.float32


@pytest.mark.parametrize("image", [None, torch.zeros(1, 3, 8, 8), torch.zeros(2, 8, 8), torch.zeros(3, 8, 8).byte()])
def test_what_bake_must_not_return_is_named(image: Any) -> None:
    with pytest.raises(OptionError, match=r"^bake of Returning has to return floats \[3 or 4,height,width\]"):
        _ = texopt.Result(make_cube(), Returning(None, image), []).images


@pytest.mark.parametrize("size", [(100, 60), (2100, 8)])
def test_bake_may_return_any_size(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.render.reached.COVERAGE_VIEWS", 4)
    monkeypatch.setattr("texopt.render.reached.COVERAGE_SIZE", 32)
    monkeypatch.setattr("texopt.render.reached.COVERAGE_TEXELS", 1024)
    (image,) = texopt.Result(make_cube(), Returning(None, torch.rand(3, *size)), []).images
    assert image.shape == (3, *size)


def test_textures_that_are_none_are_named(extractor: FeatureExtractor) -> None:
    for texture, got in (("skin.png", "str"), (PixelTexture, "the class PixelTexture"), (nn.Linear(2, 2), "Linear")):
        with pytest.raises(OptionError, match=rf"^texture has to be an nn.Module.*{got}"):
            views(make_cube(), extractor, texture)
    fixed = PixelTexture(8)
    fixed.requires_grad_(False)
    with pytest.raises(OptionError, match=r"^texture has no parameters"):
        views(make_cube(), extractor, fixed)
    mixed = [PixelTexture(8), texopt.TransparentTexture(PixelTexture(8), 8)]
    with pytest.raises(OptionError, match=r"have opacity, or none"):
        views(box(materials=True), extractor, mixed)
    with pytest.raises(OptionError, match=r"^mesh has to be a Mesh.*not .spot.obj"):
        views("spot.obj", extractor, PixelTexture(8))  # type: ignore[arg-type]


# Steps.


def test_a_step_has_its_view_but_not_its_graph(extractor: FeatureExtractor) -> None:
    seen: list[Any] = []
    steps: list[Step] = []

    def look(view: View) -> Tensor:
        seen.append((weakref.ref(view), view.image.detach().clone(), view.features["act1"].detach().clone()))
        return view.image.mean()

    def on_step(step: Step) -> None:
        view, image, features = seen[-1]
        assert view() is None
        assert step.view is not None
        assert step.view.step == step.number - 1
        assert torch.equal(step.view.image, image)
        for values in (step.view.image, step.view.seams, step.view.alpha, step.view.mask, step.view.position):
            assert not values.requires_grad
        assert torch.allclose(step.view.features["act1"], features)
        assert not step.view.features["act2"].requires_grad  # which the run does not use
        assert step.view.where("textured").any()
        steps.append(step)

    options: dict[str, Any] = {"steps": 3, "view_size": 32, "backbone": extractor, "device": "cpu"}
    result = texopt.optimize(make_cube(), PixelTexture(16), look, on_step=on_step, **grouped(**options))
    assert len(steps) == 3
    assert all(step.view is None for step in result.history)
    assert result.history == steps  # but for the views
    seen.append((None, None, None))
    alone = texopt.optimize(make_cube(), PixelTexture(16), look, **grouped(**options))
    assert torch.equal(result.image, alone.image)


def test_cameras_of_a_view_are_those_it_was_drawn_from(extractor: FeatureExtractor) -> None:
    given = texopt.orbit(torch.arange(0, 360, 60), 20)
    for view in views(box(), extractor, cameras=given):
        assert isinstance(view.cameras, Cameras)
        for matrix in view.cameras.view:
            assert any(torch.equal(matrix, other) for other in given.view)
