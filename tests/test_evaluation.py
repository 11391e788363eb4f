"""The numbers of a result, against surfaces and pictures of which they are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trimesh
from conftest import MESHES, STYLES, check_one_line, make_cube
from fields import baked, nested, sheet, showing, stripes, two_materials
from PIL import Image
from torch import Tensor

import texopt
from texopt import FeatureExtractor, Mesh, MeshError, OptionError, PixelTexture, load_mesh, orbit
from texopt.cli.main import main
from texopt.evaluation import Evaluation, evaluate
from texopt.evaluation.detail import Scale, frequencies, painted, scale, sharpness
from texopt.evaluation.likeness import distance, goal_of
from texopt.evaluation.surface import coverage, seam_ratio
from texopt.evaluation.views import PIXELS_PER_RADIUS, SIZE, Picture, Pictures, best_seen
from texopt.io.export import export
from texopt.io.unwrapping.unwrap import unwrap_faces
from texopt.optim.result import Result
from texopt.system.images import load_image, to_image

RADIUS = 3**0.5  # of the cube's bounding sphere


@pytest.fixture(autouse=True)
def _few_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.evaluation.views.VIEWS", 4)


def soft(places: Tensor) -> Tensor:
    """Colours that change slowly over space: many waves in all directions, so that all directions are alike."""
    waves = 5 * torch.randn(3, 60, generator=torch.Generator().manual_seed(0), dtype=places.dtype)
    return 0.5 + (0.1 * torch.sin(places @ waves + torch.arange(60)).reshape(-1, 3, 20).sum(2)).clamp(-0.5, 0.5)


def noise(size: int = 256, seed: int = 0) -> Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


def upscaled(size: int, times: int) -> Tensor:
    return F.interpolate(noise(size // times)[None], scale_factor=times, mode="bicubic")[0].clamp(0, 1)


def picture(image: Tensor) -> Picture:
    """As if a view showed nothing but this image, squarely."""
    everywhere = torch.ones(1, 1, *image.shape[1:])
    return Picture(image[None], everywhere, everywhere)


def seams_of(mesh: Mesh) -> float | None:
    return seam_ratio(mesh, Pictures(mesh))


# seams


@pytest.mark.parametrize("size", [64, 512])
def test_a_smooth_field_shows_no_seam(size: int) -> None:
    mesh = sheet()
    assert seams_of(showing(mesh, baked(mesh, soft, size))) == pytest.approx(1, abs=0.15)


def test_a_chart_of_another_colour_shows_and_the_more_the_more_it_differs() -> None:
    mesh = sheet()
    image = baked(mesh, soft)
    other = image.clone()
    other[:, :, 114:] += 0.1
    found = [seams_of(showing(mesh, image)), seams_of(showing(mesh, other))]
    other[:, :, 114:] = 1 - image[:, :, 114:]
    found.append(seams_of(showing(mesh, other)))
    assert all(b > 1.5 * a for a, b in pairwise(found))  # type: ignore[operator]
    assert found[2] > 5  # type: ignore[operator]


@pytest.mark.slow
def test_seams_of_an_unwrapped_ball() -> None:
    ball = trimesh.creation.icosphere(2)
    uvs, face_uvs = unwrap_faces(ball.vertices, ball.faces, 256)
    faces = np.array(ball.faces, np.int32)
    mesh = Mesh("ball", np.array(ball.vertices), faces, uvs, face_uvs, None, None, make_cube().maps)
    assert 0.7 < seams_of(showing(mesh, baked(mesh, soft))) < 1.2  # type: ignore[operator]
    assert seams_of(showing(mesh, noise())) == pytest.approx(1, abs=0.12)


def test_seams_between_two_textures() -> None:
    mesh = two_materials()
    same = seams_of(showing(mesh, noise(64), noise(64, 1)))
    apart = seams_of(showing(mesh, noise(64) * 0.2, 0.8 + 0.2 * noise(64)))
    assert same == pytest.approx(1, abs=0.15)
    assert apart > 2 * same  # type: ignore[operator]


def test_no_seams_and_no_colours_have_no_seam_number() -> None:
    mesh = sheet()
    one_chart = replace(mesh, face_uvs=mesh.faces)
    assert seams_of(showing(one_chart, noise())) is None
    assert seams_of(mesh) is None  # a single colour: what differs is rounding
    black_and_white = torch.zeros(3, 256, 256)
    black_and_white[:, :, 114:] = 1
    assert seams_of(showing(mesh, black_and_white)) > 100  # type: ignore[operator]


# coverage


@pytest.mark.parametrize("share", [0.5, 0.75, 1.0])
def test_views_reach_all_of_a_cube_and_nothing_in_it(share: float) -> None:
    """Nothing in it although its charts lie beside those that are seen, also at grazing angles."""
    found = coverage(nested(share) if share < 1 else make_cube(), [noise(128)])
    assert found.reached == pytest.approx(share, abs=0.03 if share < 1 else 0)
    assert (found.noise is None) == (share == 1)


def test_noise_is_how_rough_is_what_no_view_reaches() -> None:
    image = noise()
    assert coverage(nested(), [image]).noise == pytest.approx(1, abs=0.1)
    half = image.clone()
    half[:, :, 128:] = 0.5 + 0.5 * (image[:, :, 128:] - 0.5)
    assert coverage(nested(), [half]).noise == pytest.approx(0.5, abs=0.05)
    half[:, :, 128:] = 0.5
    assert coverage(nested(), [half]).noise == pytest.approx(0, abs=0.02)
    assert coverage(nested(), [torch.full_like(image, 0.5)]).noise is None  # nothing to compare with


def test_results_leave_no_noise_where_no_view_reaches() -> None:
    """What evaluation looks for is what export does: hidden texels are filled smoothly."""
    mesh = nested()
    image = Result(mesh, PixelTexture(256, start=noise()), []).image
    assert coverage(mesh, [image]).noise < 0.3  # type: ignore[operator]
    assert torch.allclose(image[:, 40:80, 10:30], noise()[:, 40:80, 10:30], atol=0.02)  # in a chart that is seen


# size of strokes


@pytest.mark.parametrize("period", [10, 16, 24])
@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_frequency_of_a_wave(period: int, angle: float) -> None:
    y, x = torch.meshgrid(torch.arange(480.0), torch.arange(480.0), indexing="ij")
    wave = 0.5 + 0.3 * torch.sin(2 * torch.pi / period * (x * math.cos(angle) + y * math.sin(angle)))
    found = frequencies(picture(wave.expand(3, -1, -1)))
    assert len(found) == 19**2
    assert found.median().item() == pytest.approx(1 / period, rel=0.05)


def test_patches_that_show_nothing_or_background_or_a_slope_do_not_count() -> None:
    image, full = noise(96), torch.ones(1, 1, 96, 96)
    assert len(frequencies(picture(torch.full((3, 96, 96), 0.4)))) == 0
    mask = full.clone()
    mask[..., 40, 40] = 0  # in the four patches around the middle
    assert len(frequencies(Picture(image[None], full, full))) == 9
    assert len(frequencies(Picture(image[None], mask, full))) == 5
    assert len(frequencies(Picture(image[None], full, 0.7 * full))) == 0
    assert scale([picture(torch.full((3, 96, 96), 0.4))]) is None


@pytest.fixture
def _more_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.evaluation.views.VIEWS", 12)


def cube_with(*waves: float) -> Scale:
    """The scale of a cube with waves of so many cycles a diameter, on two sides each of three."""
    first, second, third = (waves * 3)[:3]

    def field(places: Tensor) -> Tensor:
        axis = places.abs().argmax(1, keepdim=True)
        parts = [stripes(wave / (2 * RADIUS))(places) for wave in (first, second, third)]
        return torch.where(axis == 0, parts[0], torch.where(axis == 1, parts[1], parts[2]))

    found = scale(Pictures(showing(make_cube(), baked(make_cube(), field, 1024))).views())
    assert found is not None
    return found


@pytest.mark.usefixtures("_more_views")
@pytest.mark.parametrize("cycles", [15, 30])
def test_frequency_on_a_cube(cycles: float) -> None:
    found = cube_with(cycles)
    assert found.frequency == pytest.approx(cycles, rel=0.1)
    assert found.spread < 0.2


@pytest.mark.usefixtures("_more_views")
def test_spread_is_larger_with_several_frequencies() -> None:
    found = cube_with(15, 30)
    assert found.spread == pytest.approx(0.5, abs=0.15)  # an octave apart, half of the patches each
    assert 15 < found.frequency < 33


def test_a_painting_has_the_frequency_that_it_has_on_the_mesh() -> None:
    """A wave of 24 periods over the shorter side, which is 1.5 diameters long: 16 cycles a diameter."""
    y = torch.arange(300.0)[:, None].expand(300, 400)
    image = to_image((0.5 + 0.4 * torch.sin(2 * torch.pi * y / 300 * 24)).expand(3, -1, -1))
    found = scale(painted(image, 1.5))
    assert found is not None
    assert found.frequency == pytest.approx(16, rel=0.05)
    tiles = painted(image, 1.5)
    assert all(max(tile.image.shape) <= SIZE for tile in tiles)
    shown = sum(tile.image.shape[2] * tile.image.shape[3] for tile in tiles)
    assert shown == pytest.approx((3 * PIXELS_PER_RADIUS) ** 2 * 4 / 3, rel=0.1)
    close = painted(noise_painting(4000), 8.0, 4.0)  # only a part of what would be 16,000 pixels a side
    assert sum(tile.image.shape[2] * tile.image.shape[3] for tile in close) <= (8 * SIZE) ** 2


def noise_painting(side: int = 64) -> Image.Image:
    return Image.effect_noise((side, side), 80).convert("RGB")


# sharpness


def test_sharpness_of_pictures() -> None:
    """White noise keeps a sixteenth of its variance when 4 x 4 pixels are averaged; a wide wave keeps nearly all."""
    assert sharpness([picture(noise(512))]) == pytest.approx(math.sqrt(15 / 16), abs=0.03)
    blurred = [sharpness([picture(upscaled(512, times))]) for times in (2, 4, 8, 16, 32)]
    assert all(b < a for a, b in pairwise(blurred))  # type: ignore[operator]
    assert blurred[-1] < 0.03  # type: ignore[operator]
    assert sharpness([picture(torch.full((3, 512, 512), 0.3))]) is None
    assert sharpness([]) is None


def test_sharpness_tells_texels_from_an_enlarged_texture() -> None:
    sharp, soft = (
        sharpness(Pictures(showing(make_cube(), image)).close_ups()) for image in (noise(1024), upscaled(1024, 8))
    )
    assert sharp > 0.5  # type: ignore[operator]
    assert soft < 0.06  # type: ignore[operator]
    assert sharpness(Pictures(make_cube()).close_ups()) is None


def test_close_ups_look_at_what_faces_them_best() -> None:
    facing = torch.zeros(2, 1, 128, 128)
    facing[0, 0, 72:104, 16:48] = 1
    facing[1] = 0.5
    facing[1, 0, :32, 96:] = 1
    expected = [[-1 + 2 * 32 / 128, 1 - 2 * 88 / 128], [-1 + 2 * 112 / 128, 1 - 2 * 16 / 128]]
    assert torch.allclose(best_seen(facing, 32), torch.tensor(expected))


def test_close_ups_of_a_cube_show_nothing_but_cube() -> None:
    pictures = Pictures(make_cube())
    close = torch.cat([some.mask for some in pictures.close_ups()])
    assert close.shape == (2, 1, SIZE, SIZE)
    assert close.mean() > 0.99
    assert torch.cat([some.mask for some in pictures.views()]).mean() < 0.6


def test_facing_is_the_cosine_to_the_surface() -> None:
    facing = Pictures(make_cube()).draw(orbit(torch.tensor([0.0, 30.0]), torch.zeros(2))).facing
    values = [set(one[one > 0].mul(100).round().int().tolist()) for one in facing]
    assert 100 in values[0]
    assert {87, 50} == values[1]  # cos 30° and cos 60°


# style and content


def test_distance_of_grams() -> None:
    grams = {"a": torch.rand(3, 3), "b": torch.rand(4, 4)}
    assert distance(grams, grams) == 0
    assert distance({name: 1.5 * gram for name, gram in grams.items()}, grams) == pytest.approx(0.5)


def test_halves_of_an_even_painting_are_as_the_whole(extractor: FeatureExtractor) -> None:
    even = noise_painting(256)
    split = even.copy()
    split.paste((200, 30, 30), (0, 0, 128, 256))
    floors = [goal_of([image], [1.0], PIXELS_PER_RADIUS, extractor).floor for image in (even, split)]
    assert floors[0] < 0.1
    assert floors[1] > 3 * floors[0]


FINE = 0.25  # a small style_scale: little of the painting to look at


def numbers(found: Evaluation) -> dict[str, tuple[float | None, ...]]:
    return {number.name: (number.result, number.painting, number.original) for number in found.numbers}


def test_a_mesh_compared_with_itself(extractor: FeatureExtractor) -> None:
    mesh = showing(make_cube(), baked(make_cube(), stripes(4), 256))
    found = numbers(evaluate(mesh, noise_painting(), extractor, original=mesh, style_scale=FINE))
    assert found["style"][0] == pytest.approx(found["style"][2])
    assert found["content"][0] == pytest.approx(0, abs=1e-4)
    assert found["seam"][0] == found["seam"][2]
    assert found["frequency"][0] == found["frequency"][2]


@pytest.mark.slow
def test_noise_has_lost_the_original_and_a_painted_mesh_is_near_the_painting(extractor: FeatureExtractor) -> None:
    cube = make_cube()
    original = showing(cube, baked(cube, stripes(4), 256))
    painting = to_image(upscaled(512, 8))
    noisy = numbers(evaluate(showing(cube, noise(512)), painting, extractor, original=original))
    assert noisy["content"][0] == pytest.approx(1, abs=0.1)
    near = numbers(evaluate(showing(cube, upscaled(512, 8)), painting, extractor, original=original, style_scale=1.0))
    for found in (noisy, near):
        floor, ceiling = found["style"][1:]
        assert floor < ceiling  # type: ignore[operator]
    assert near["style"][0] < 0.7 * near["style"][2]  # type: ignore[operator]
    assert near["style"][0] < noisy["style"][0]  # type: ignore[operator]


@pytest.mark.slow
def test_evaluation_does_not_depend_on_uvs_or_size(extractor: FeatureExtractor) -> None:
    """The same colours on the same surface, once in other UVs and ten times larger: the same numbers."""
    cube = make_cube()
    uvs, face_uvs = unwrap_faces(cube.vertices, cube.faces, 512)
    larger = replace(cube, vertices=cube.vertices * 10 + 100)
    other = replace(cube, uvs=uvs, face_uvs=face_uvs)
    painting = noise_painting()
    found = [
        numbers(
            evaluate(
                showing(mesh, baked(mesh, field, 512)), painting, extractor, original=original, style_scale=FINE
            )
        )
        for mesh, original, field in (
            (cube, cube, soft), (other, cube, soft), (larger, larger, lambda places: soft((places - 100) / 10)),
        )
    ]  # fmt: skip
    for name, least in (("style", 0.01), ("content", 0.02), ("coverage", 0.01)):
        values = [one[name][0] for one in found]
        assert values == pytest.approx([values[0]] * 3, abs=least), name


def plain(red: int, green: int, blue: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (red, green, blue))


@pytest.mark.slow
def test_paintings_on_parts_are_each_compared_with_their_own(extractor: FeatureExtractor) -> None:
    mesh = two_materials()
    red, blue = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.8])
    images = [color[:, None, None].expand(3, 16, 16) for color in (red, blue)]
    result = showing(mesh, *images)
    paintings = [plain(204, 26, 26), plain(26, 26, 204)]
    right, wrong = (
        numbers(evaluate(result, paintings, extractor, original=mesh, where=where, style_scale=FINE))["style"][0]
        for where in (["left", "right"], ["right", "left"])
    )
    blended = numbers(evaluate(result, paintings, extractor, original=mesh, style_scale=FINE))["style"][0]
    assert right < 0.1  # type: ignore[operator]
    assert right < 0.7 * blended < 0.7 * wrong  # type: ignore[operator]


@pytest.mark.slow
def test_blended_paintings_are_a_mean(extractor: FeatureExtractor) -> None:
    mesh = showing(make_cube(), torch.tensor([0.8, 0.1, 0.1])[:, None, None].expand(3, 16, 16))
    paintings = [plain(204, 26, 26), plain(26, 26, 204)]
    found = [
        numbers(evaluate(mesh, paintings, extractor, original=mesh, blend=blend, style_scale=FINE))["style"][0]
        for blend in ((1, 0), (1, 1), (0, 1))
    ]
    assert found[0] == pytest.approx(
        numbers(evaluate(mesh, paintings[0], extractor, original=mesh, style_scale=FINE))["style"][0]
    )
    assert all(a < b for a, b in pairwise(found))  # type: ignore[operator]
    with pytest.raises(OptionError, match="2 paintings"):
        evaluate(mesh, paintings, extractor, original=mesh, blend=(1, 0, 0))
    with pytest.raises(OptionError, match="each of the 2 paintings"):
        evaluate(mesh, paintings, extractor, original=mesh, where=["*"])
    with pytest.raises(OptionError, match="scale"):
        evaluate(mesh, paintings, extractor, original=mesh, style_scale=100)


def test_another_geometry_is_refused(extractor: FeatureExtractor) -> None:
    cube = make_cube()
    for other, message in (
        (nested(), "24 triangles and the original 12"),
        (replace(cube, vertices=cube.vertices * 1.1), "another size or place"),
        (replace(cube, vertices=cube.vertices + 0.1), "another size or place"),
    ):
        with pytest.raises(MeshError, match=message):
            evaluate(other, noise_painting(), extractor, original=cube)


# texopt evaluate


def finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return value is None or (isinstance(value, float | int) and math.isfinite(value))


def refuse_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


KNOT, WOODCUT = str(MESHES / "torus_knot.obj"), str(STYLES / "woodcut.jpg")
SMALL = ["--steps", "2", "--view-size", "32", "--texture-size", "32", "--style-scale", "0.3"]


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """A mesh and two paintings, as files."""
    cube, paintings = tmp_path / "in" / "cube.obj", [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    export(make_cube(), [noise(32)], cube)
    for seed, path in enumerate(paintings):
        to_image(noise(64, seed) * (0.5 + 0.5 * seed)).save(path)
    return [str(cube), *paintings]


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_evaluate_a_folder(inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["style", *inputs, "--blend", "3", "1", "--out", str(out), *SMALL]) == 0
    (out / "cube.glb").write_bytes(b"of an earlier run")
    before = {path.name for path in out.iterdir()}
    assert main(["evaluate", str(out), "--backbone", "efficientnet_lite0"]) == 0
    assert {path.name for path in out.iterdir()} - before == {"metrics.json", "metrics.png"}
    values = json.loads((out / "metrics.json").read_text(), parse_constant=refuse_constant)
    assert finite(values["numbers"])
    assert [Path(path).name for path in values["style"]] == ["a.png", "b.png"]
    assert set(values["numbers"]) == {
        "style", "coherence", "completeness", "content", "seam", "coverage", "noise", "frequency", "spread",
        "sharpness",
    }  # fmt: skip
    assert load_image(out / "metrics.png").width > 1000
    captured = capsys.readouterr()
    assert "made this result and now judges it" in captured.err
    assert all(name in captured.out for name in values["numbers"])
    assert "metrics.json" in captured.out

    # the same numbers by hand: mesh, paintings and original instead of the folder
    assert main([
        "evaluate", str(out / "cube.obj"), "--style", *inputs[1:], "--blend", "3", "1", "--original", inputs[0],
        "--style-scale", "0.3", "--out", str(tmp_path / "again"),
    ]) == 0  # fmt: skip
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["numbers"] == values["numbers"]


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("options", [["--only", "left"], ["--mask", "left=half.png"], ["--unwrap"]], ids=" ".join)
def test_what_a_run_keeps_is_not_measured(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extractor: FeatureExtractor
) -> None:
    """The result is read with the options of the run, and both are shown by their own UVs."""
    monkeypatch.chdir(tmp_path)
    export(two_materials(), [noise(32), noise(32, 1)], tmp_path / "in" / "cube.obj")
    to_image(noise(64)).save("a.png")
    Image.fromarray(np.repeat([[255, 0]], 8, 1).repeat(16, 0).astype(np.uint8)).save("half.png")
    assert main(["style", "in/cube.obj", "a.png", "--out", "out", *SMALL, *options]) == 0
    assert main(["evaluate", "out"]) == 0
    found = json.loads(Path("out/metrics.json").read_text())["numbers"]
    kept: dict[str, Any] = {
        "--only": {"only": ["left"]}, "--mask": {"mask": {"left": "half.png"}},
        "--unwrap": {"unwrap": True, "texture_size": 32},
    }[options[0]]  # fmt: skip
    original = load_mesh("in/cube.obj", **kept)
    result = load_mesh("out/cube.obj", **(kept if "unwrap" not in kept else {}))
    by_hand = evaluate(result, load_image("a.png"), extractor, original=original, style_scale=0.3).as_dict()
    assert found == by_hand


@pytest.mark.slow
def test_what_is_kept_plays_no_part(extractor: FeatureExtractor) -> None:
    """A cube beside a much larger one that is kept is measured as if it were alone."""
    alone = showing(make_cube(), noise())
    there = two_materials()
    beside = replace(
        there, vertices=np.concatenate([alone.vertices, 20 * alone.vertices + (40, 0, 0)]),
        faces=np.concatenate([alone.faces, alone.faces + 8]), face_uvs=np.tile(alone.face_uvs, (2, 1)),
        maps=(alone.maps[0], replace(there.maps[1], kept=True)), face_object=np.zeros(24, np.int32),
        **dict.fromkeys(("face_map", "face_material"), np.arange(24, dtype=np.int32) // 12),
    )  # fmt: skip
    painting = noise_painting()
    small, both = (evaluate(mesh, painting, extractor, original=mesh).as_dict() for mesh in (alone, beside))
    assert both == small


def test_a_network_without_style_layers_cannot_judge(extractor: FeatureExtractor) -> None:
    extractor.style_layers = ()
    with pytest.raises(OptionError, match="no style layers"):
        evaluate(make_cube(), noise_painting(), extractor, original=make_cube())


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_result_is_measured_against_the_mesh_that_it_is_of(cube: Mesh, extractor: FeatureExtractor) -> None:
    views = texopt.Views(size=64)
    result = texopt.optimize(cube, texopt.PixelTexture(32), texopt.l1(), steps=2, views=views, backbone=extractor)
    painting = noise_painting()
    of_result = evaluate(result, painting, extractor).as_dict()
    assert of_result == evaluate(result.textured(), painting, extractor, original=cube).as_dict()
    with pytest.raises(OptionError, match="original=MESH"):
        evaluate(cube, painting, extractor)


def test_a_config_that_names_no_painting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("command: style\nsteps: 5\n")
    check_one_line(["evaluate", str(tmp_path)], "does not name a mesh and a painting", capsys)


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([KNOT], "--style IMAGE and --original MESH"), (["."], "no config.yaml"),
        (["missing.obj"], "missing.obj does not exist; give a folder"),
        ([KNOT, "--style", WOODCUT, "--original", str(MESHES / "creature.obj")], "triangles"),
        ([KNOT, "--style", KNOT, "--original", KNOT], "not an image"),
        ([KNOT, "--style", WOODCUT, "--original", "missing.obj"], "does not exist"),
        (["missing.obj", "--style", WOODCUT, "--original", KNOT], "does not exist"),
        ([KNOT, "--style", WOODCUT, "--original", KNOT, "--blend", "1", "2"], "each of the 1 paintings"),
        ([KNOT, "--style", WOODCUT, "--original", KNOT, "--style-scale", "0"], "scale"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_evaluate_refuses(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    check_one_line(["evaluate", *arguments], message, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_judging_network_tells_a_styled_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real networks: fifty steps bring style down, and leave some of the content."""
    out = tmp_path / "out"
    options = ["--steps", "50", "--view-size", "192", "--texture-size", "512", "--strength", "0.9"]
    options += ["--learning-rate", "0.1"]
    assert main(["style", KNOT, WOODCUT, "--out", str(out), *options]) == 0
    assert main(["evaluate", str(out)]) == 0
    values = json.loads((out / "metrics.json").read_text())["numbers"]
    style = values["style"]
    assert style["painting"] < style["result"] < 0.8 * style["original"]
    assert values["content"]["result"] < 0.9
    assert load_mesh(out / "torus_knot.obj").maps
