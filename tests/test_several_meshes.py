"""One run over several meshes: what the objective remembers is of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube, slow
from settings import grouped
from torch import Generator, Tensor

import texopt
from texopt import Checkpoint, FeatureExtractor, Mesh, OptionError, PixelTexture, Step, View
from texopt.objectives.gram_matrices import gram_matrices
from texopt.system.images import to_image

PICTURE = to_image(torch.rand(3, 64, 64, generator=Generator().manual_seed(5)))


def block(height: float) -> Mesh:
    mesh = make_cube(np.random.default_rng(int(height)).integers(0, 255, (32, 32, 3), np.uint8))
    return replace(mesh, name=f"block{height:g}", vertices=mesh.vertices * [1, height, 1])


def run(extractor: FeatureExtractor, meshes: Any, goal: Any, textures: Any = None, **options: Any) -> Any:
    settings = {"steps": 6, "view_size": 64, "backbone": extractor, "device": "cpu"} | options
    textures = textures or [PixelTexture(32) for _ in meshes]
    return texopt.optimize(meshes, textures, goal, **grouped(**settings))


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def test_meshes_are_looked_at_in_turn_each_with_its_texture(extractor: FeatureExtractor) -> None:
    shown: list[float] = []

    def look(view: View) -> Tensor:
        rows = view.mask[0, 0].amax(1).nonzero()[:, 0]
        columns = view.mask[0, 0].amax(0).nonzero()[:, 0]
        shown.append(float((rows.max() - rows.min()) / (columns.max() - columns.min())))
        return red(view)

    cameras = texopt.sample_sphere(elevation=(-5, 5))
    low, high = run(extractor, [block(1), block(4)], look, steps=12, learning_rate=0.3, cameras=cameras)
    assert max(shown[::2]) < 1.5 < 2 < min(shown[1::2])
    assert [result.mesh.name for result in (low, high)] == ["block1", "block4"]
    assert low.history is high.history
    assert len(low.history) == 12
    for result in (low, high):
        red_now, green_now, _ = result.texture.bake().detach().mean((1, 2)).tolist()
        assert red_now > green_now + 0.01


def test_each_mesh_has_all_of_the_directions(extractor: FeatureExtractor) -> None:
    directions: list[Tensor] = []

    def look(view: View) -> Tensor:
        assert view.cameras is not None
        directions.append(view.cameras.view[0, 2, :3])
        return red(view)

    run(extractor, [block(1)], look, steps=4)
    alone, directions[:] = list(directions), []
    run(extractor, [block(1), block(4), block(2)], look, steps=12)
    for number, direction in enumerate(directions):
        torch.testing.assert_close(direction, alone[number // 3])


def test_a_list_of_one_mesh_is_that_mesh(extractor: FeatureExtractor) -> None:
    goal = texopt.style(PICTURE) + texopt.content().below(0.2) + texopt.seam()
    texture = PixelTexture(32)
    (listed,) = run(extractor, [block(2)], goal)
    alone = run(extractor, block(2), goal, texture)
    assert torch.equal(listed.texture.bake(), alone.texture.bake())
    assert alone.texture is texture


def test_averages_of_style_are_of_all_meshes(extractor: FeatureExtractor) -> None:
    """After a step of each, the mean of both of their Gram matrices."""
    goal: Any = texopt.style(PICTURE)
    seen: list[dict[str, Tensor]] = []

    def look(view: View) -> Tensor:
        grams = gram_matrices(view.features, ["act1", "act2"], view.mask)
        seen.append({layer: gram.detach() for layer, gram in grams.items()})
        return view.image.sum() * 0.0

    run(extractor, [block(1), block(4)], goal + look, steps=2)
    (averages,) = goal.terms[0].loss.averages.values()
    average = averages.state
    for layer in ("act1", "act2"):
        assert not torch.allclose(seen[0][layer], seen[1][layer], rtol=0.01)
        torch.testing.assert_close(average[layer], (seen[0][layer] + seen[1][layer]) / 2)


@pytest.mark.parametrize("stop", [1, slow(3)])
@pytest.mark.parametrize("kind", [slow(PixelTexture), texopt.PyramidTexture])
def test_a_run_goes_on_to_the_same_bytes(
    extractor: FeatureExtractor, tmp_path: Path, kind: Callable[..., Any], stop: int
) -> None:
    def on_step(step: Step) -> None:
        if step.number == stop:
            raise KeyboardInterrupt

    def once(**options: Any) -> Any:
        goal = texopt.style(PICTURE) + texopt.content().below(0.2) + texopt.seam()
        textures = [kind(64, start=(0.5, 0.4, 0.3)) for _ in range(2)]
        return run(extractor, [block(1), block(4)], goal, textures, **options)

    whole = once()
    path = Checkpoint(tmp_path / "run.safetensors", seconds=0)
    assert all(result.interrupted for result in once(on_step=on_step, checkpoint=path))
    for one, other in zip(whole, once(checkpoint=path), strict=True):
        assert torch.equal(one.texture.bake(), other.texture.bake())


def test_the_rate_of_sgd_is_of_a_meshs_own_parameters(extractor: FeatureExtractor) -> None:
    """Beside another one, a mesh takes the steps that it takes alone."""

    def flat(view: View) -> Tensor:
        return view.image.square().mean()

    def once(meshes: list[Mesh], steps: int) -> Tensor:
        options = {"optimizer": "sgd", "schedule": "constant", "background": texopt.render.backgrounds.plain(0.0)}
        textures = [PixelTexture(32, generator=Generator().manual_seed(3)), PixelTexture(64)][: len(meshes)]
        result = run(extractor, meshes, flat, textures, steps=steps, **options)[0]
        return result.texture.bake().detach()  # type: ignore[no-any-return]

    start = PixelTexture(32, generator=Generator().manual_seed(3)).bake().detach()
    alone, beside = once([block(1)], 1), once([block(1), block(4)], 2)
    assert (alone - start).abs().max() > 1e-4
    torch.testing.assert_close(beside, alone)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ([block(1), block(2)], PixelTexture(8), {}), "2 meshes need as many textures, .*, not 1"),
        (lambda: ([block(1), block(2)], [PixelTexture(8)], {}), "2 meshes need as many textures, .*, not 1"),
        (lambda: ([], [PixelTexture(8)], {}), "0 meshes need as many textures"),
        (lambda: ("spot.obj", PixelTexture(8), {}), "mesh has to be a Mesh, as of texopt.load_mesh, .* not 'spot.obj'"),
        (lambda: ([block(1), "spot.obj"], [PixelTexture(8)] * 2, {}), "mesh has to be a Mesh"),
        (lambda: ([block(1), block(2)], [PixelTexture(8)] * 2, {"optimizer": "lbfgs"}), "lbfgs .* meshes in turn"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(extractor: FeatureExtractor, make: Callable[[], Any], message: str) -> None:
    meshes, textures, options = make()
    with pytest.raises(OptionError, match=message):
        run(extractor, meshes, red, textures, **options)
