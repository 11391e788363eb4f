"""EXIF orientation: pictures are for people, who see them upright; textures and masks for UVs, which do not know it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import make_cube
from photographer import oriented
from PIL import Image

import texopt
from texopt.render.regions import Regions
from texopt.system.images import load_image, opaque

OBJ = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_paintings_and_photographs_to_be_styled_are_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    oriented(tmp_path / "a.png", noise(), orientation)
    expected = np.rot90(noise(), turns)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png", min_size=16)), expected)
    np.testing.assert_array_equal(texopt.canvas(tmp_path / "a.png").maps[0].original, expected)


@pytest.mark.parametrize("rubbish", [b"II*\0\xff\xff\xff\x7f", b"rubbish", b"II*\0\x08\0\0\0\x05\0"])
def test_damaged_exif_is_none(tmp_path: Path, rubbish: bytes) -> None:
    """Of a file, and of a picture that somebody else has opened; what texopt lets Pillow warn of would be an error."""
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + rubbish)
    found = load_image(tmp_path / "a.jpg", min_size=16)
    assert found.size == (48, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = Image.open(tmp_path / "a.jpg")
    with opened:
        np.testing.assert_array_equal(np.asarray(opaque(opened, "it")), np.asarray(found))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_textures_are_as_stored(tmp_path: Path, orientation: int) -> None:
    """As Blender draws them."""
    oriented(tmp_path / "a.png", noise(), orientation)
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd a.png\n")
    (tmp_path / "a.obj").write_text(OBJ)
    np.testing.assert_array_equal(texopt.load_mesh(tmp_path / "a.obj").maps[0].original, noise())


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_masks_are_as_stored_like_the_textures_that_they_are_for(tmp_path: Path, orientation: int) -> None:
    mask = noise()[..., 0]
    oriented(tmp_path / "a.png", noise(), orientation)
    oriented(tmp_path / "m.png", mask, orientation)
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd a.png\n")
    (tmp_path / "a.obj").write_text(OBJ)
    mesh = texopt.load_mesh(tmp_path / "a.obj", mask=tmp_path / "m.png")
    np.testing.assert_array_equal(mesh.maps[0].mask, mask)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_what_is_painted_on_uvs_is_as_stored(tmp_path: Path, orientation: int) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[:24] = 255
    oriented(tmp_path / "p.png", values, orientation)
    fragments = texopt.rasterize(make_cube(), texopt.fixed_views(6), 64)
    inside = Regions(make_cube())(fragments, str(tmp_path / "p.png"))[:, 0] > 0
    v = fragments.uv[..., 1]
    clear = fragments.mask & ((v - 40 / 64).abs() > 0.03) & (fragments.uv_da.abs().amax(-1) < 0.03)
    assert (inside[clear] == (v[clear] > 40 / 64)).all()
