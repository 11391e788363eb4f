"""Networks as textures: one picture at every size, one colour on both sides of a seam."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MESHES, STYLES, check_one_line, make_cube
from PIL import Image
from settings import grouped
from torch import Generator, Tensor, nn

import texopt
from texopt import FeatureExtractor, Mesh, OptionError, SharedTexture, TextureMap
from texopt.cli.main import main
from texopt.cli.options.runs import FeatureConfig
from texopt.cli.tasks.feature_task import FeatureTask
from texopt.io.export import export
from texopt.render.look_up import look_up
from texopt.render.padding import fill
from texopt.render.scene import Scene
from texopt.render.seam_points import Seams
from texopt.render.uv_raster import covered
from texopt.system.pages import bands
from texopt.texture import Cppn, CppnTexture, TextureSet
from texopt.texture.cppn import ACTIVATIONS


def coloured(network: Cppn, seed: int = 0) -> Cppn:
    """A network with another last layer."""
    with torch.no_grad():
        network.last.weight.normal_(generator=Generator().manual_seed(seed))
    return network


def two_maps() -> Mesh:
    mesh, side = make_cube(), np.repeat(np.arange(2, dtype=np.int32), 6)
    grey = np.full((1, 1, 3), 128, np.uint8)
    return replace(
        mesh, maps=(TextureMap(grey, "a"), TextureMap(grey, "b")), face_map=side, materials=("a", "b"),
        face_material=side,
    )  # fmt: skip


def test_fits_exclusive_or() -> None:
    network = Cppn(2, width=4, depth=2)
    points = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    wanted = torch.tensor([0.0, 1.0, 1.0, 0.0])
    adam = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(50):
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(points, points)[:, 0], wanted)
        loss.backward()
        adam.step()
    assert loss < 0.25  # values are 1.3 from their mean, as contrast is fixed: 0.24 at best


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_right(activation: str) -> None:
    network = coloured(Cppn(2, 3, 3, activation)).double()
    names, values = zip(*network.named_parameters(), strict=True)
    points, everywhere = torch.randn(4, 2, dtype=torch.float64, requires_grad=True), torch.randn(6, 2).double()

    def colors(points: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        found: Tensor = torch.func.functional_call(network, parameters, (points, everywhere))
        return found

    assert torch.autograd.gradcheck(colors, (points, *values), fast_mode=True)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_stay_as_large_at_any_depth(activation: str) -> None:
    points = torch.randn(2048, 2, generator=Generator().manual_seed(0))
    network = Cppn(2, 64, 12, activation)
    phase = (points @ network.waves).T[None]
    x = 2**0.5 * torch.cat([phase.sin(), phase.cos()], 1)
    for layer in network.layers:
        weight, bias = layer.weight / layer.weight.shape[1] ** 0.5, 0.2 * layer.bias  # type: ignore[union-attr, operator]
        x = ACTIVATIONS[activation](weight @ x + bias[:, None])  # type: ignore[operator, index]
        assert 0.5 < x.square().mean().sqrt() < 2
    last = network.last.weight @ x[0]
    wanted = 1.5 * (last - last.mean(1, keepdim=True)) / last.std(1, keepdim=True)
    torch.testing.assert_close(network(points, points), wanted.T, atol=1e-3, rtol=1e-3)


def test_no_weights_make_it_of_one_colour() -> None:
    """Contrast is fixed and the mean bounded, so that steps too long do not end in saturation."""
    for texture in (CppnTexture(64), *CppnTexture.on(make_cube(), 64)):
        seen = texopt.rasterize(make_cube(), texopt.fixed_views(6), 48)
        with torch.no_grad():
            for value in texture.parameters():
                value.add_(3 * torch.randn(value.shape, generator=Generator().manual_seed(1)))
            texture.network.mean.fill_(1e6)
        colors = texture.sample(seen).movedim(1, -1)[seen.mask].logit()
        assert (colors.std(0) - 1.5).abs().max() < 0.5
        assert (colors.mean(0) - 1.5).abs().max() < 0.5


def test_is_the_same_picture_at_every_size() -> None:
    texture = CppnTexture(32, coloured(Cppn()), scale=0.1)
    small, large, whole = texture.bake(), texture.bake(96, 96), texture.bake(256, 256)
    torch.testing.assert_close(large[:, 1::3, 1::3], small, atol=1e-6, rtol=0)  # the same places
    assert (nn.functional.avg_pool2d(whole, 8) - small).abs().max() < 0.02
    assert small.std() > 0.05
    assert texture.bake(16, 48).shape == (3, 16, 48)


def test_a_scale_of_three_shows_the_middle_third_at_scale_one() -> None:
    network = coloured(Cppn(depth=3))
    fine, plain = CppnTexture(32, network, scale=3.0), CppnTexture(32, network)
    fine.everywhere = plain.everywhere  # contrast is that of the whole texture
    torch.testing.assert_close(fine.bake(96, 96)[:, 32:64, 32:64], plain.bake(), atol=1e-3, rtol=0)
    wide = CppnTexture((32, 64), network, scale=(2.0, 1.0))
    wide.everywhere = plain.everywhere
    torch.testing.assert_close(wide.bake(32, 64)[:, :, 16:48], plain.bake(), atol=1e-3, rtol=0)


def test_samples_what_it_bakes_and_repeats_it() -> None:
    texture, mesh = CppnTexture(64, coloured(Cppn())), texopt.canvas(size=(64, 64))
    seen = Scene(mesh).rasterize(texopt.whole(mesh)(Generator(), 1, 0), 64)
    torch.testing.assert_close(texture.sample(seen)[0], texture.bake(), atol=1e-4, rtol=0)
    repeated = replace(seen, uv=seen.uv + torch.tensor([1.0, -3.0]))
    torch.testing.assert_close(texture.sample(repeated), texture.sample(seen), atol=1e-4, rtol=0)


@pytest.mark.parametrize("on_surface", [False, True])
def test_where_nothing_is_nothing_is_computed(on_surface: bool) -> None:
    mesh = make_cube()
    texture = CppnTexture.on(mesh, 64, coloured(Cppn(3)))[0] if on_surface else CppnTexture(64, coloured(Cppn()))
    fragments = texopt.rasterize(mesh, texopt.fixed_views(2), 32)
    counts: list[int] = []
    texture.network.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    colors = texture.sample(fragments).permute(0, 2, 3, 1)
    assert counts == [int(fragments.mask.sum())]
    assert (colors[~fragments.mask] == 0.5).all()
    nothing = replace(fragments, mask=torch.zeros_like(fragments.mask))
    texture.sample(nothing).sum().backward()
    assert not any(value.grad.any() for value in texture.parameters() if value.grad is not None)


def seam_points(mesh: Mesh) -> tuple[texopt.Fragments, Seams]:
    seams = Seams(mesh, torch.device("cpu"))
    fragments = Scene(mesh).rasterize(texopt.fixed_views(1), 32)
    return seams.extend(fragments, Generator().manual_seed(0), slice(1), 1, 1e9), seams


@pytest.mark.parametrize("make", [make_cube, two_maps])
def test_both_sides_of_a_seam_have_one_colour(make: type[Mesh]) -> None:
    mesh = make()
    textures = TextureSet(mesh, CppnTexture.on(mesh, 64, coloured(Cppn(3))))
    fragments, seams = seam_points(mesh)
    _, (one, other) = seams.split(textures.sample(fragments), 32)
    assert (one - other).abs().max() < 1e-5
    assert one.std() > 0.05
    by_uv = [CppnTexture(64, coloured(Cppn())) for _ in mesh.maps]
    _, (one, other) = seams.split(TextureSet(mesh, by_uv).sample(fragments), 32)
    assert (one - other).abs().max() > 0.1


def test_baked_charts_meet_at_seams() -> None:
    """What is beyond a chart goes on as it would, and is not only the colour beside, half a texel out of place."""
    mesh = make_cube()
    texture = CppnTexture.on(mesh, 64, coloured(Cppn(3)), scale=0.1)[0]
    fragments, seams = seam_points(mesh)
    baked, inside = texture.bake(), covered(mesh.uvs, mesh.face_uvs, 64, 64)

    def step(image: Tensor) -> float:
        _, (one, other) = seams.split(look_up(image, fragments), 32)
        return float((one - other).abs().mean())

    assert step(baked) < 0.002
    assert step(baked) < step(fill(baked, inside)) / 3
    exact = seams.split(texture.sample(fragments), 32)[1]
    assert (seams.split(look_up(baked, fragments), 32)[1] - exact).abs().mean() < 0.002


def test_bakes_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    for texture in (CppnTexture(64, coloured(Cppn())), *CppnTexture.on(two_maps(), 64, coloured(Cppn(3)))):
        whole = texture.bake(50, 64)
        with monkeypatch.context() as patch:
            patch.setattr("texopt.texture.cppn.bands", partial(bands, texels=500))
            torch.testing.assert_close(texture.bake(50, 64), whole, atol=1e-5, rtol=0)


def test_starts_seeded() -> None:
    states = [Cppn(generator=Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["layers.0.weight"], states[2]["layers.0.weight"])


def optimized(
    extractor: FeatureExtractor, texture: CppnTexture | list[CppnTexture], mesh: Mesh, steps: int = 12, **more: object
) -> texopt.Result:
    return texopt.optimize(
        mesh,
        texture,
        texopt.channel("act2", 1),
        **grouped(steps=steps, view_size=32, backbone=extractor, device="cpu", **more),
    )


def test_descends_on_a_canvas_and_the_same_way_every_time(extractor: FeatureExtractor) -> None:
    mesh, baked = texopt.canvas(size=(32, 32)), []
    for _ in range(2):
        texture = CppnTexture(32, Cppn(width=8, depth=3))
        result = optimized(extractor, texture, mesh, cameras=texopt.whole(mesh))
        baked.append(texture.bake())
        assert result.history[-1].terms["loss"] < result.history[0].terms["loss"] - 0.01
    assert torch.equal(*baked)


@pytest.mark.parametrize("transparent", [False, True])
def test_a_network_of_opacity_is_made_only_where_something_is_transparent(
    extractor: FeatureExtractor, tmp_path: Path, transparent: bool
) -> None:
    (mesh,) = [
        file for file in export(make_cube(), torch.zeros(3, 8, 8), tmp_path / "cube.obj") if file.suffix == ".obj"
    ]
    config = FeatureConfig(mesh=mesh, target="act2:1", texture="cppn", transparent=transparent, texture_size=16)
    generator, alone = Generator().manual_seed(0), Generator().manual_seed(0)
    task = FeatureTask(config, torch.device("cpu"))
    task.prepare(extractor)
    textures = task.make_textures(generator)
    for _ in range(1 + transparent):
        Cppn(3, generator=alone)
    assert torch.equal(generator.get_state(), alone.get_state())
    assert [type(one).__name__ for one in textures] == ["TransparentTexture" if transparent else "CppnTexture"]


def test_digits_do_not_depend_on_the_number_of_threads() -> None:
    network, points = coloured(Cppn(depth=3)), torch.randn(10000, 2)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        colors = network(points, points[:4000])
        found.append([colors, *torch.autograd.grad(colors.square().sum(), list(network.parameters()))])
    assert all(torch.equal(one, other) for others in found[1:] for one, other in zip(found[0], others, strict=True))


@pytest.mark.slow
def test_several_maps_share_a_network_and_go_on_from_a_checkpoint(extractor: FeatureExtractor, tmp_path: Path) -> None:
    mesh, path = two_maps(), tmp_path / "run.safetensors"

    def make() -> list[CppnTexture]:
        return CppnTexture.on(mesh, 32, Cppn(3, 8, 3))

    def stop(step: texopt.Step) -> None:
        if step.number == 2:
            raise KeyboardInterrupt

    whole, stopped, resumed = make(), make(), make()
    assert len(list(TextureSet(mesh, whole).parameters())) == len(list(whole[0].parameters())) == 9
    optimized(extractor, whole, mesh, 4)
    assert optimized(extractor, stopped, mesh, 4, checkpoint=path, on_step=stop).interrupted
    optimized(extractor, resumed, mesh, 4, checkpoint=path)
    assert resumed[0].network.last.weight is resumed[1].network.last.weight
    for one, other in zip(whole, resumed, strict=True):
        assert torch.equal(one.bake(), other.bake())
    with pytest.raises(OptionError, match="other textures"):
        optimized(extractor, [CppnTexture(32, Cppn(2, 8, 3)) for _ in range(2)], mesh, 4, checkpoint=path)


def test_pictures_with_a_common_part_go_on_from_a_checkpoint(extractor: FeatureExtractor, tmp_path: Path) -> None:
    mesh, path = two_maps(), tmp_path / "run.safetensors"

    def stop(step: texopt.Step) -> None:
        if step.number == 2:
            raise KeyboardInterrupt

    whole, stopped, resumed = (SharedTexture.several(2, 32) for _ in range(3))
    optimized(extractor, whole, mesh, 4)  # type: ignore[arg-type]
    optimized(extractor, stopped, mesh, 4, checkpoint=path, on_step=stop)  # type: ignore[arg-type]
    optimized(extractor, resumed, mesh, 4, checkpoint=path)  # type: ignore[arg-type]
    assert all(torch.equal(one.bake(), other.bake()) for one, other in zip(whole, resumed, strict=True))


def test_a_blend_is_between_and_its_ends_are_the_textures() -> None:
    first = CppnTexture(16, coloured(Cppn()))
    last = CppnTexture(16, coloured(copy.deepcopy(first.network), 1))
    for share, end in ((0.0, first), (1.0, last)):
        assert torch.equal(texopt.blend_cppns(first, last, share).bake(), end.bake())
    half, ends = texopt.blend_cppns(first, last, 0.5).bake(), (first.bake(), last.bake())
    apart = (ends[0] - ends[1]).abs().mean()
    assert all(0.1 * apart < (half - end).abs().mean() < apart for end in ends)
    other = CppnTexture(16, Cppn(generator=Generator().manual_seed(1)))  # with waves of its own
    assert torch.equal(texopt.blend_cppns(first, other, 1.0).bake(), other.bake())
    on = CppnTexture.on(make_cube(), 16, coloured(Cppn(3)), scale=2.0)[0]
    assert torch.equal(texopt.blend_cppns(on, on, 0.3).bake(), on.bake())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cppn(activation="softmax"), "composite, atan"), (lambda: Cppn(width=0), "at least 1"),
        (lambda: CppnTexture(100), "power of two"), (lambda: CppnTexture(64, Cppn(3)), "has 2 inputs, not 3"),
        (lambda: CppnTexture.on(make_cube(), 64, Cppn(2)), "has 3 inputs, not 2"),
        (lambda: texopt.blend_cppns(CppnTexture(8), CppnTexture(8, Cppn(width=8)), 0.5), "can be blended"),
        (lambda: CppnTexture.on(replace(make_cube(), face_uvs=make_cube().face_uvs % 4)), "unwrap=True"),
    ],
)  # fmt: skip
def test_says_what_cannot_be(make: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()  # type: ignore[operator]


def on_mesh(tmp_path: Path, *arguments: str) -> Path:
    mesh, out = tmp_path / "cube.obj", tmp_path / arguments[0]
    export(make_cube(), [torch.full((3, 8, 8), 0.5)], mesh)
    small = ["--steps", "4", "--view-size", "64", "--texture-size", "256", "--threads", "1"]
    assert main([arguments[0], str(mesh), *arguments[1:], "--texture", "cppn", "--out", str(out), *small]) == 0
    return out


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_command_has_no_seams(tmp_path: Path) -> None:
    mesh = texopt.load_mesh(on_mesh(tmp_path, "feature", "act2:1") / "cube.obj")
    fragments, seams = seam_points(mesh)
    _, (one, other) = seams.split(look_up(mesh.originals(), fragments), 32)
    assert (one - other).abs().mean() < 0.02  # of what was baked, filled and written
    assert one.std() > 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["feature", "act2:1", "--transparent"], "RGBA"),
        (["style", str(STYLES / "woodcut.jpg"), "--start", "noise"], "RGB"),
    ],
)
def test_opacity_and_style(tmp_path: Path, arguments: list[str], mode: str) -> None:
    with Image.open(on_mesh(tmp_path, *arguments, "--format", "png") / "cube.png") as image:
        assert image.mode == mode
        assert np.asarray(image)[..., -1].std() > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["style", str(STYLES / "woodcut.jpg")], "--start noise"),
        (["feature", "blocks.2:1", "--start", "original"], "--start noise"),
        (["fit", "cameras.json"], "--texture pyramid"),
    ],
)
def test_what_does_not_go_with_it_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    knot = str(MESHES / "torus_knot.obj")
    check_one_line([arguments[0], knot, *arguments[1:], "--texture", "cppn"], message, capsys)
