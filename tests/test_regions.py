"""Parts of a surface: materials, what is painted white, and all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_cube
from fields import two_materials
from PIL import Image
from torch import Tensor

import texopt
from texopt import FeatureExtractor, ImageError, Mesh, OptionError, PixelTexture, View, fixed_views, rasterize
from texopt.render.fragments import Fragments
from texopt.render.regions import Regions, absolute
from texopt.render.transforms import jitter


def seen(mesh: Mesh, size: int = 64) -> Fragments:
    return rasterize(mesh, fixed_views(6), size)


def painting(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture
def left_half(tmp_path: Path) -> str:
    """An image that is white for u < 1/2."""
    values = np.zeros((64, 64))
    values[:, :32] = 255
    return painting(tmp_path / "half.png", values)


def test_materials() -> None:
    mesh = two_materials()
    regions, fragments = Regions(mesh), seen(mesh)
    left, right = regions(fragments, "left"), regions(fragments, "right")  # which is called Right
    material = torch.from_numpy(mesh.face_material)[fragments.face_id.clamp(min=0).long()]
    assert left.shape == (6, 1, 64, 64)
    assert left.dtype == torch.float32
    assert torch.equal(left[:, 0] > 0, fragments.mask & (material == 0))
    assert torch.equal(left + right, fragments.mask[:, None].float())
    assert left.sum() > 0
    assert right.sum() > 0


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("l*", "left"), ("?ight", "right"), ("not left", "right"), ("not not-there*,left", None), ("left,right", "*"),
        ("left, left", "left"), (" left ", "left"), ("not left,right", ""),
    ],
)  # fmt: skip
def test_ways_to_say_it(text: str, same: str | None) -> None:
    mesh = two_materials()
    regions, fragments = Regions(mesh), seen(mesh)
    if same is None:
        with pytest.raises(OptionError, match="has no material"):
            regions(fragments, text)
    elif same:
        assert torch.equal(regions(fragments, text), regions(fragments, same))
    else:
        assert regions(fragments, text).sum() == 0


def test_names_with_brackets_are_names() -> None:
    mesh = replace(two_materials(), materials=("a[1]", "b"))
    regions, fragments = Regions(mesh), seen(mesh)
    assert regions(fragments, "A[1]").sum() > 0
    assert torch.equal(regions(fragments, "a[1]"), regions(fragments, "not b"))


def test_what_is_painted(left_half: str) -> None:
    mesh = make_cube()
    regions, fragments = Regions(mesh), seen(mesh)
    inside = regions(fragments, left_half)[:, 0] > 0
    u = fragments.uv[..., 0]
    clear = fragments.mask & ((u - 0.5).abs() > 0.03) & (fragments.uv_da.abs().amax(-1) < 0.03)
    assert torch.equal(inside[clear], u[clear] < 0.5)
    assert not (inside & ~fragments.mask).any()
    rest = regions(fragments, f"not {left_half}")[:, 0] > 0
    assert torch.equal(inside | rest, fragments.mask)
    assert not (inside & rest).any()


def test_row_0_of_the_image_is_on_top(tmp_path: Path) -> None:
    values = np.zeros((48, 80))  # of any size
    values[:24] = 255
    mesh = make_cube()
    fragments = seen(mesh)
    inside = Regions(mesh)(fragments, painting(tmp_path / "top.png", values))[:, 0] > 0
    v = fragments.uv[..., 1]
    clear = fragments.mask & ((v - 0.5).abs() > 0.03) & (fragments.uv_da.abs().amax(-1) < 0.03)
    assert torch.equal(inside[clear], v[clear] > 0.5)


def test_parts_of_one_material_and_unions(left_half: str) -> None:
    mesh = two_materials()
    regions, fragments = Regions(mesh), seen(mesh)
    part = regions(fragments, f"left={left_half}")
    left = regions(fragments, "left")
    assert 0 < part.sum() < left.sum()
    assert (part <= left).all()
    assert torch.equal(regions(fragments, f"left={left_half},right"), part + regions(fragments, "right"))
    both = regions(fragments, f"left={left_half},right={left_half}")
    assert torch.equal(both, torch.maximum(part, regions(fragments, f"right={left_half}")))


@pytest.mark.parametrize("level", [0.4, 0.6])
def test_soft_becomes_hard(tmp_path: Path, level: float) -> None:
    mesh = make_cube()
    fragments = seen(mesh)
    grey = painting(tmp_path / "grey.png", np.full((16, 16), 255 * level))
    inside = Regions(mesh)(fragments, grey)
    assert torch.equal(inside, fragments.mask[:, None].float() * (level > 0.5))


REFUSED: list[tuple[Callable[[str], str], type[Exception], str]] = [
    (lambda half: "body", OptionError, r"no material 'body'; it has left, Right"),
    (lambda half: "", OptionError, "a region is empty"),
    (lambda half: "not ", OptionError, "a region is empty"),
    (lambda half: " , ", OptionError, "a region is empty"),
    (lambda half: half, OptionError, "several textures; say which"),
    (lambda half: f"body={half}", OptionError, "no material 'body'"),
    (lambda half: "left=missing.png", ImageError, "missing.png does not exist"),
    (lambda half: f"left,{half}", OptionError, "several textures"),
]


@pytest.mark.parametrize(("text", "kind", "message"), REFUSED)
def test_what_names_nothing_is_refused_in_one_line(
    left_half: str, text: Callable[[str], str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as error:
        Regions(two_materials()).check(text(left_half))
    assert "\n" not in str(error.value)


def test_what_is_kept_or_painted_black_or_not_there_is_refused(left_half: str, tmp_path: Path) -> None:
    """A painting for it would silently do nothing."""
    mesh = two_materials()
    kept = replace(mesh, maps=(replace(mesh.maps[0], kept=True), mesh.maps[1]))
    black = painting(tmp_path / "black.png", np.zeros((8, 8)))
    white = painting(tmp_path / "white.png", np.full((8, 8), 255))
    for text in ("left", "not right", f"left={left_half}", f"right={black}", f"not right={white}"):
        with pytest.raises(OptionError, match="nothing that is optimised"):
            Regions(kept).check(text)
    for text in ("right", "left,right", "not left", f"right={left_half}", f"not right={left_half}"):
        Regions(kept).check(text)
    with pytest.raises(OptionError, match="nothing that is optimised"):
        Regions(mesh).check("not left,right")


def test_materials_go_by_the_names_that_only_takes() -> None:
    mesh = two_materials()
    tiles = [replace(one, tile=("skin", 1001 + index)) for index, one in enumerate(mesh.maps)]
    regions = Regions(replace(mesh, maps=tuple(tiles), materials=("skin.1001", "skin.1002")))
    assert torch.equal(regions(seen(mesh), "skin"), seen(mesh).mask[:, None].float())
    assert torch.equal(regions(seen(mesh), "skin.1001"), Regions(mesh)(seen(mesh), "left"))
    unnamed = Regions(replace(mesh, materials=("", "b")))
    assert torch.equal(unnamed(seen(mesh), "textured"), Regions(mesh)(seen(mesh), "left"))
    with pytest.raises(OptionError, match="'right'; it has left"):  # no face has the other
        Regions(replace(mesh, face_material=0 * mesh.face_material)).check("right")


def test_new_uvs_cannot_be_painted_on(left_half: str) -> None:
    mesh = make_cube()
    mesh = replace(mesh, maps=(replace(mesh.maps[0], own_uvs=False),))
    with pytest.raises(OptionError, match="has new ones"):
        Regions(mesh).check(left_half)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = tmp_path.resolve()
    assert absolute("body") == "body"
    assert absolute("a.png") == f"{here}/a.png"
    assert absolute("not head=sub/a.JPG, body") == f"not head={here}/sub/a.JPG,body"
    assert absolute(absolute("head=a.png")) == absolute("head=a.png")


def test_views_of_a_run_know_regions(extractor: FeatureExtractor) -> None:
    """The masks of a view partition it, also where views are moved about; a view made by hand says that it cannot."""
    mesh = two_materials()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    views: list[View] = []

    def look(view: View) -> Tensor:
        parts.append((view.mask, view.where("left"), view.where("not left")))
        views.append(view)
        return view.image.mean()

    textures = [PixelTexture(16), PixelTexture(16)]
    texopt.optimize(
        mesh,
        textures,
        look,
        steps=4,
        views=texopt.Views(size=64, transform=jitter(9)),
        backbone=extractor,
        device="cpu",
    )
    for mask, left, rest in parts:
        assert torch.equal(left + rest, mask)
        assert set(left.unique().tolist()) <= {0.0, 1.0}
        assert left.sum() > 0
    with pytest.raises(OptionError, match="knows no regions"):
        replace(views[0], regions=None).where("left")


def test_the_kept_part_belongs_to_no_region(extractor: FeatureExtractor) -> None:
    mesh = two_materials()
    mesh = replace(mesh, maps=(replace(mesh.maps[0], kept=True), mesh.maps[1]))

    def look(view: View) -> Tensor:
        assert view.where("left").sum() == 0
        assert torch.equal(view.where("right"), view.mask)
        return view.image.mean()

    texopt.optimize(
        mesh, [PixelTexture(16)], look, steps=2, views=texopt.Views(size=32), backbone=extractor, device="cpu"
    )
