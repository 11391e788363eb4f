"""Images as meshes: what a camera sees of a canvas is the image, and nothing else."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from conftest import make_network
from torch import Generator

import texopt
from texopt import FeatureExtractor, OptionError
from texopt.mesh.image_canvas import canvas_size
from texopt.render.look_up import look_up
from texopt.render.samplers import mean_scale
from texopt.render.scene import Scene
from texopt.system.images import to_image


def network() -> FeatureExtractor:
    return FeatureExtractor(make_network(), mean=(0.5,) * 3, std=(0.25,) * 3)


NOISE = to_image(torch.rand(3, 64, 128, generator=Generator().manual_seed(0)))


def test_the_whole_of_a_canvas_is_its_image() -> None:
    mesh = texopt.canvas(NOISE)
    fragments = Scene(mesh).rasterize(texopt.whole(mesh)(Generator(), 1, 0), 64, 128)
    assert fragments.mask.all()
    assert torch.allclose(look_up(mesh.originals(), fragments)[0], mesh.originals()[0], atol=1e-5)


def test_successive_views_are_of_successive_frames() -> None:
    mesh = texopt.canvas(size=(32, 32), frames=5)
    cameras = texopt.whole(mesh)(Generator(), 7, 4)
    seen = Scene(mesh).rasterize(cameras, 32)
    assert seen.mask.all()
    assert seen.map_id.flatten(1).unique(dim=1).tolist() == [[4], [0], [1], [2], [3], [4], [0]]
    assert cameras.frame.tolist() == [4, 0, 1, 2, 3, 4, 0]
    assert cameras[2:4].frame.tolist() == [1, 2]


@pytest.mark.parametrize("tileable", [False, True])
def test_crops_are_full_and_as_large_as_asked_for(tileable: bool) -> None:
    mesh = texopt.canvas(NOISE, tileable=tileable)
    fragments = Scene(mesh).rasterize(texopt.crops(mesh, 0.5, 0.8)(Generator().manual_seed(0), 64, 0), 32, 64)
    assert fragments.mask.all()
    u, v = fragments.uv.unbind(-1)
    extent = [float((axis.amax((1, 2)) - axis.amin((1, 2))).mean()) for axis in (u, v)]
    assert extent == pytest.approx([0.8 / 2 * 63 / 64, 0.5 * 31 / 32], abs=1e-3)
    assert bool((fragments.uv < 0).any() and (fragments.uv > 1).any()) is tileable
    counts = torch.histc(u % 1, 10) / u.numel() * 10
    assert counts.min() > (0.8 if tileable else 0.4)


def test_a_tileable_canvas_sees_its_left_border_beside_its_right_one() -> None:
    mesh = texopt.canvas(NOISE, tileable=True)
    fragments = Scene(mesh).rasterize(texopt.crops(mesh, 1.0, 2.0)(Generator().manual_seed(0), 1, 0), 64, 128)
    seen = look_up(mesh.originals(), fragments)[0]
    u, v = (float(x) for x in fragments.uv[0, -1, 0])
    assert fragments.mask.all()
    assert seen.mean() == pytest.approx(float(mesh.originals()[0].mean()), abs=1e-3)
    assert max(u, v) > -1


def test_a_style_has_the_size_that_is_asked_for_whatever_the_window() -> None:
    mesh = texopt.canvas(size=(256, 256))
    scales = [
        mean_scale([sampler(Generator().manual_seed(0), 1, 0)])
        for sampler in (texopt.whole(mesh), texopt.crops(mesh, 0.25))
    ]
    assert scales[1] == pytest.approx(4 * scales[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: texopt.canvas([NOISE, NOISE.resize((8, 8))]), lambda: texopt.canvas(frames=0),
        lambda: texopt.crops(texopt.canvas(NOISE), 1.1), lambda: texopt.crops(texopt.canvas(NOISE), 0.0),
        lambda: texopt.crops(texopt.canvas(NOISE), 0.5, 2.1), lambda: texopt.SharedTexture.several(1, 64),
    ],
)  # fmt: skip
def test_says_what_cannot_be(make: object) -> None:
    with pytest.raises(OptionError):
        make()  # type: ignore[operator]


def test_the_texture_of_an_image_holds_it() -> None:
    assert canvas_size(480, 640) == (512, 1024)
    assert canvas_size(1080, 1000) == (1024, 1024)
    assert canvas_size(3, 3) == (8, 8)


@cache
def frames(share: bool, steps: int = 30) -> torch.Tensor:
    """Four frames from one channel to another, [4,3,64,64]."""
    mesh = texopt.canvas(size=(64, 64), frames=4)
    textures = (
        texopt.SharedTexture.several(4, 64)
        if share
        else [texopt.FourierTexture(64, generator=Generator().manual_seed(index)) for index in range(4)]
    )
    goal = texopt.across_frames(texopt.channel("act2", 1), texopt.channel("act2", 5))
    result = texopt.optimize(
        mesh,
        textures,
        goal,
        steps=steps,
        views=texopt.Views(per_step=4, size=64, cameras=texopt.whole(mesh)),
        backbone=network(),
        device="cpu",
    )
    assert result.history[-1].terms["loss"] < result.history[0].terms["loss"]
    return torch.stack([texture.bake().detach() for texture in textures])


@pytest.mark.slow
def test_frames_that_share_a_part_differ_less() -> None:
    """In where things are: one minus the correlation of a frame with the next."""

    def distance(images: torch.Tensor) -> float:
        shapes = (images - images.mean((2, 3), keepdim=True)).flatten(1)
        return 1 - float(torch.cosine_similarity(shapes[1:], shapes[:-1]).mean())

    assert distance(frames(True)) < distance(frames(False)) / 2
    steps = [float((images[1:] - images[:-1]).abs().mean()) for images in (frames(True), frames(False))]
    assert steps[0] < steps[1] / 2


def test_an_objective_goes_from_one_to_another_over_the_frames() -> None:
    """The first frame excites the first channel more than the last does, and the other way about."""
    extractor = network()
    features = extractor(frames(True), ["act2"])["act2"].mean((2, 3))
    first, last = features[:, 1], features[:, 5]
    assert first[0] > first[-1]
    assert last[-1] > last[0]


def test_what_an_objective_does_not_need_becomes_transparent() -> None:
    """A channel that looks at a corner alone leaves the others clear; without the factor they keep what they have."""
    mesh = texopt.canvas(size=(64, 64))

    def opaque(goal: texopt.Objective) -> torch.Tensor:
        texture = texopt.TransparentTexture(texopt.FourierTexture(64), 64)
        texopt.optimize(
            mesh,
            texture,
            goal,
            steps=60,
            views=texopt.Views(size=64, cameras=texopt.whole(mesh)),
            backbone=network(),
            device="cpu",
            descent=texopt.Descent(learning_rate=0.1),
        )
        return texture.bake().detach()[3]

    corner = texopt.objective(lambda view: -1 - 10 * view.image[:, 0, :32, :32].mean((1, 2)), "corner")
    alpha = opaque(texopt.transparent(corner))
    assert alpha[:32, :32].mean() > alpha[32:, 32:].mean() + 0.3
    assert opaque(corner)[32:, 32:].mean() == pytest.approx(0.5, abs=0.1)


def test_views_may_be_wider_than_high() -> None:
    mesh = texopt.canvas(NOISE)
    seen = []

    def keep(view: texopt.View) -> torch.Tensor:
        seen.append(view.image.shape)
        return view.image.mean()

    texopt.optimize(
        mesh,
        texopt.PixelTexture((64, 128)),
        keep,
        steps=1,
        views=texopt.Views(size=(64, 128), cameras=texopt.whole(mesh)),
        backbone=network(),
        device="cpu",
    )
    assert seen == [(1, 3, 64, 128)]
