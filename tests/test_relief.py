"""Relief: heights that follow strokes, what light sees of them, and the maps that they leave the program as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check_one_line, make_cube
from torch import Tensor

import texopt
from texopt import Mesh, OptionError, PixelTexture, PyramidTexture, Relief, View
from texopt.features import FeatureExtractor
from texopt.mesh.finish import ROUGHNESS, Finish, even
from texopt.mesh.texture_map import TextureMap
from texopt.optim.views import Views
from texopt.render.finish import PAINT, Finishes
from texopt.render.fragments import Fragments
from texopt.render.scene import Scene
from texopt.texture.relief import slopes
from texopt.texture.relief_maps import finish_of, in_frame
from texopt.texture.stroke_heights import StrokeHeights

MESHES = Path(__file__).parents[1] / "meshes"


def square(corners: np.ndarray | None = None, uvs: np.ndarray | None = None) -> Mesh:
    """A square in z = 0, of which u is x and v is y, or with other corners or UVs."""
    places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float) if corners is None else corners
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) if uvs is None else uvs
    return Mesh("square", places, faces, uv, faces, None, None, (TextureMap(np.full((1, 1, 3), 128, np.uint8)),))


def bumpy(mesh: Mesh, size: int = 128, seed: int = 0, depth: float = 0.02) -> Relief:
    """A relief of some smooth hills."""
    relief = Relief(PixelTexture(size), depth, size)
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, size // 16, size // 16, generator=generator)
    relief.strokes.copy_(torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")[0, 0])
    return relief


def drawn(mesh: Mesh, size: int = 128) -> tuple[Scene, Fragments]:
    scene = Scene(mesh)
    return scene, scene.rasterize(texopt.orbit([20.0, 200.0], [30.0, -20.0]), size)


def angles(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Degrees between normals [B,3,H,W] where mask is."""
    return (first * second).sum(1)[mask].clamp(-1, 1).arccos().rad2deg()


def test_a_ramp_tilts_the_normal_by_its_slope() -> None:
    turn = 0.4
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    mesh = square(3 * square().vertices @ rotation.T, square().uvs * 0.5 + 0.2)
    scene, fragments = drawn(mesh)
    rise = torch.tensor([0.3, -0.2]) / scene.radius * mesh.normalization()[1]  # by 3 units of the mesh's own

    def ramp(at: Fragments) -> Tensor:
        values = torch.tensor([*(rise * 2), 0.4]).reshape(1, 3, 1, 1)  # u runs from 0.2 to 0.7
        return values.expand(*at.mask.shape[:1], 3, *at.mask.shape[1:])

    found = Finishes(scene).sample(fragments, ramp(fragments))
    gradient = rotation[:, :2] @ (rise.numpy() * scene.radius / 3)
    wanted = np.array([0, 0, 1]) - gradient
    wanted = torch.from_numpy(wanted / np.linalg.norm(wanted)).float()
    seen = found.normal.permute(0, 2, 3, 1)[fragments.mask]
    torch.testing.assert_close(seen, wanted.expand_as(seen), atol=1e-5, rtol=0)
    rough = torch.sigmoid(torch.logit(torch.tensor(128 / 255)) + 0.4)  # of paint, as 8 bits have it
    assert found.roughness[fragments.mask[:, None]].sub(rough).abs().max() < 1e-6


def test_slopes_are_those_of_a_function() -> None:
    rows, columns = 64, 128
    y, x = (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns
    u, v = x[None] * torch.ones(rows, 1), (1 - y)[:, None] * torch.ones(1, columns)
    height = torch.sin(2 * torch.pi * u) * torch.cos(2 * torch.pi * v)
    along_u, along_v = slopes(height)
    torch.testing.assert_close(
        along_u, 2 * torch.pi * torch.cos(2 * torch.pi * u) * torch.cos(2 * torch.pi * v), atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        along_v, -2 * torch.pi * torch.sin(2 * torch.pi * u) * torch.sin(2 * torch.pi * v), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_maps_drawn_by_their_normals_are_the_relief(mirrored: bool) -> None:
    mesh = make_cube()
    if mirrored:
        mesh = replace(mesh, uvs=np.stack([1 - mesh.uvs[:, 0], mesh.uvs[:, 1]], 1))
    relief = bumpy(mesh, depth=0.05)
    scene, fragments = drawn(mesh)
    with torch.no_grad():
        whole = Finishes(scene).sample(fragments, relief.embossing(fragments))
    baked = Finishes(scene, [finish_of(mesh, 0, relief)]).sample(fragments)
    between, tilt = (
        angles(whole.normal, other, fragments.mask)
        for other in (baked.normal, Finishes(scene).sample(fragments).normal)
    )
    assert tilt.mean() > 5
    assert between.mean() < 0.3
    assert between.quantile(0.99) < 1.5
    assert (whole.roughness - baked.roughness).abs().max() < 0.01


def test_normals_are_the_gradient_of_the_height_that_is_written() -> None:
    mesh = square()
    found = finish_of(mesh, 0, bumpy(mesh))
    assert found.height is not None
    x, y, z = np.moveaxis(found.normal / 255.0 * 2 - 1, -1, 0)
    along_u, along_v = slopes(torch.from_numpy(found.height))  # in units of the mesh, by UVs, which are units, too
    inside = (slice(2, -2),) * 2
    assert np.abs(-x / z - along_u.numpy())[inside].max() < 0.02
    assert np.abs(-y / z - along_v.numpy())[inside].max() < 0.02
    spans = found.height.max() - found.height.min()
    assert 0.5 < spans / (0.02 * 2 * mesh.normalization()[1]) <= 1  # the depth is of a diameter


def test_height_depth_and_roughness_have_gradients() -> None:
    mesh = make_cube()
    relief, (scene, fragments) = bumpy(mesh, 32), drawn(mesh, 48)
    finishes, weights = Finishes(scene), torch.randn(3, 1, 1)

    def value() -> Tensor:
        found = finishes.sample(fragments, relief.embossing(fragments))
        return (found.normal * weights).sum() + (found.roughness * fragments.mask[:, None]).sum()

    value().backward()
    with torch.no_grad():
        for level in list(relief.own.levels)[-2:]:
            assert level.grad is not None
            direction = torch.randn_like(level)
            told, step = float((level.grad * direction).sum()), 2e-2
            level += step * direction
            above = float(value())
            level -= 2 * step * direction
            below = float(value())
            level += step * direction
            assert abs((above - below) / (2 * step) - told) < 0.02 * abs(told) + 0.05


def test_light_strokes_stand_out_where_they_are() -> None:
    mesh = square()
    x = torch.linspace(0, 1, 256)
    image = (0.5 + 0.4 * torch.sin(2 * torch.pi * 30 * x)).expand(3, 256, 256)
    heights = StrokeHeights(mesh, 0, 256, 256)(image)
    middle = heights[128, 32:-32]
    wave = torch.sin(2 * torch.pi * 30 * x)[32:-32]
    assert torch.corrcoef(torch.stack([middle, wave]))[0, 1] > 0.95
    assert abs(float(heights.std()) - 1) < 0.1
    assert heights.std(0).max() < 0.3  # nothing along the stripes but for their ends


def test_what_has_no_strokes_is_flat() -> None:
    x = torch.linspace(0.2, 0.8, 128)
    for image in (torch.full((3, 128, 128), 0.5), x.expand(3, 128, 128)):
        assert StrokeHeights(square(), 0, 128, 128)(image)[24:-24, 24:-24].abs().max() < 0.2


def test_heights_of_strokes_have_the_same_digits_on_any_number_of_threads() -> None:
    image, heights = torch.rand(3, 128, 128), StrokeHeights(make_cube(), 0, 128, 128)
    several = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        several.append(heights(image))
    assert all(torch.equal(several[0], one) for one in several[1:])


def test_strokes_of_one_chart_know_nothing_of_what_is_beside_it() -> None:
    mesh, heights = make_cube(), StrokeHeights(make_cube(), 0, 128, 128)
    image = torch.rand(3, 128, 128)
    beside = torch.where(heights.there > 0, image, 1 - image)
    assert torch.equal(heights(image), heights(beside))
    assert len(mesh.maps) == 1


def test_where_the_texture_is_kept_there_is_no_relief() -> None:
    mesh = make_cube()
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    masked = replace(mesh, maps=(replace(mesh.maps[0], mask=mask),))
    found = finish_of(masked, 0, bumpy(masked))
    assert found.height is not None
    assert (found.normal[:, 70:] == [128, 128, 255]).all()
    assert (found.height[:, 70:] == 0).all()
    assert (found.roughness[:, 70:] == even(ROUGHNESS)).all()
    assert found.normal[:, :60].std() > 3


def test_the_files_own_maps_lie_under_the_relief() -> None:
    own = np.zeros((4, 4, 3), np.uint8)
    own[:] = (180, 128, 245)
    mesh = square()
    under = replace(mesh, maps=(replace(mesh.maps[0], finish=Finish(normal=own, roughness=even(0.2))),))
    flat = Relief(PixelTexture(32), 0.01, 32)
    assert np.abs(finish_of(under, 0, flat).normal.astype(int) - (180, 128, 243)).max() <= 3
    assert np.abs(finish_of(under, 0, flat).roughness.astype(int) - 51).max() <= 1
    assert np.abs(finish_of(mesh, 0, flat).normal.astype(int) - (128, 128, 255)).max() <= 1


def test_faces_whose_uvs_have_no_area_have_no_relief() -> None:
    mesh = square(uvs=np.full((4, 2), 0.5))
    found = finish_of(mesh, 0, bumpy(mesh))
    assert found.normal.size == 3
    assert found.roughness.tolist() == even(PAINT).tolist()


def test_a_relief_that_is_used_again_follows_the_other_mesh() -> None:
    relief = Relief(PixelTexture(32, start=torch.rand(3, 32, 32)), 0.01, 32)
    followed = []
    for mesh in (make_cube(), square(), make_cube()):
        relief.follow(mesh, 0)
        followed.append(relief.strokes.clone())
    assert torch.equal(followed[0], followed[2])
    assert not torch.equal(followed[0], followed[1])


def test_a_texture_that_bakes_no_image_of_a_size_is_told_so() -> None:
    class Own(PixelTexture):
        def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
            return super().bake()

    with pytest.raises(OptionError, match=r"bake\(height, width\) of Own has to return"):
        Relief(Own(64), 0.01, 32).follow(make_cube(), 0)


@pytest.mark.parametrize("size", [0, 8, 100, (16, 3)])
def test_a_size_that_cannot_be(size: int | tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="size"):
        Relief(PixelTexture(32), 0.01, size)


def test_cut_out_textures_have_relief_in_pictures(extractor: FeatureExtractor) -> None:
    texture = Relief(texopt.TransparentTexture(PixelTexture(32), PixelTexture(32)), 0.01, 32)
    goal = texopt.on(texopt.objective(lambda view: view.image.mean()), texopt.lit())
    result = texopt.optimize(make_cube(), texture, goal, steps=2, views=Views(size=32), backbone=extractor)
    assert result.preview().height > 0
    assert len(result.viewer()) > 1000


def test_directions_in_frames_that_are_not_perpendicular() -> None:
    generator = torch.Generator().manual_seed(1)
    frame, told = torch.randn(50, 3, 3, generator=generator), torch.randn(50, 3, generator=generator)
    told = torch.nn.functional.normalize(told, dim=-1)
    vectors = (frame * told[:, :, None]).sum(1)
    torch.testing.assert_close(in_frame(vectors, *frame.unbind(1)), told, atol=1e-3, rtol=1e-3)
    assert (in_frame(vectors[:1], frame[:1, 0], frame[:1, 0], frame[:1, 2]) == 0).all()


def run(mesh: Mesh, extractor: FeatureExtractor, steps: int = 6, **options: object) -> texopt.Result:
    texture = Relief(PyramidTexture(64, start=(0.4, 0.5, 0.6)), 0.02, 64)
    goal = texopt.objective(lambda view: (view.image.mean() - 0.2) ** 2)
    return texopt.optimize(
        mesh,
        texture,
        texopt.on(goal + texopt.seam(), texopt.lit(share=0.5)),
        steps=steps,
        views=Views(size=64),
        backbone=extractor,
        **options,
    )  # type: ignore[call-overload]


def test_a_run_with_relief_goes_on_bit_for_bit(extractor: FeatureExtractor, tmp_path: Path) -> None:
    whole = run(make_cube(), extractor, checkpoint=None)

    def stop(step: texopt.Step) -> None:
        if step.number == 4:
            raise KeyboardInterrupt

    file = tmp_path / "run.safetensors"
    assert run(make_cube(), extractor, checkpoint=file, on_step=stop).interrupted
    rest = run(make_cube(), extractor, checkpoint=file)
    assert rest.ending == "finished"
    for first, second in zip(whole.texture.state_dict().values(), rest.texture.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_seams_are_of_normals_too(extractor: FeatureExtractor) -> None:
    seen: list[View] = []

    def keep(view: View) -> Tensor:
        seen.append(view)
        return view.image.mean()

    relief = bumpy(make_cube(), 64)
    texopt.optimize(make_cube(), relief, texopt.objective(keep), steps=1, views=Views(size=64), backbone=extractor)
    geometry = seen[0].geometry
    assert geometry is not None
    beside = geometry.finish_beside_seams()
    assert beside is not None
    assert beside.shape[::2] == (2, 4)
    assert beside.shape[1] >= 4096
    assert beside.requires_grad
    torch.testing.assert_close(beside[..., :3].norm(dim=-1), torch.ones(beside.shape[:2]), atol=1e-4, rtol=0)


def test_part_of_the_views_are_lit_and_remembered_apart(extractor: FeatureExtractor) -> None:
    kinds: list[str] = []

    def keep(view: View) -> Tensor:
        kinds.append(view.magnification)
        return view.image.mean()

    texopt.optimize(
        make_cube(), Relief(PyramidTexture(32), 0.01, 32), texopt.on(texopt.objective(keep), texopt.lit(share=0.5)),
        steps=24, views=Views(size=32), backbone=extractor,
    )  # fmt: skip
    lit = [kind for kind in kinds if kind.endswith(", lit")]
    assert 6 <= len(lit) <= 18
    assert len(set(kinds)) == 2


@pytest.mark.parametrize("depth", [0.0, -0.01, 0.2, float("nan")])
def test_a_depth_that_cannot_be(depth: float) -> None:
    with pytest.raises(OptionError, match="relief has to be above 0"):
        Relief(PixelTexture(32), depth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--relief", "-0.01"], "relief has to be above 0"),
        (["--relief", "0.5"], "relief has to be above 0"),
        (["--relief", "0.01", "--unlit"], "take one of them"),
    ],
)
def test_options_that_cannot_be(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    painting = MESHES / "styles" / "mosaic.jpg"
    check_one_line(["style", str(MESHES / "teapot.obj"), str(painting), *options], message, capsys)
