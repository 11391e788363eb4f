"""Which textures a mesh has: materials, exclusions, masks, UDIM tiles, vertex colours; and what is said of UVs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import texopt
from texopt import ImageError, Mesh, MeshError, OptionError, PixelTexture, load_mesh
from texopt.io.named_files import find
from texopt.mesh.areas import areas
from texopt.optim.result import Result
from texopt.render.look_up import look_up
from texopt.render.scene import rasterize

SQUARE = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


@pytest.fixture(autouse=True)
def _small(small_originals: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="texopt")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "texopt"]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def picture(path: Path, size: tuple[int, int] = (16, 16), seed: int = 0, bands: int = 3) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values[..., :3]


def squares(folder: Path, *materials: str, mtl: str = "", uvs: str = SQUARE, bare: tuple[int, ...] = ()) -> Path:
    """a.obj: a unit square a material, side by side, all on the same UVs but for those that have none."""
    lines = ["mtllib a.mtl"]
    for x in range(len(materials)):
        lines += [f"v {2 * x + u} {v} 0" for u, v in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lines.append(uvs.strip())
    for x, name in enumerate(materials):
        corners = [4 * x + 1, 4 * x + 2, 4 * x + 3, 4 * x + 4]
        refs = corners if x in bare else [f"{v}/{t + 1}" for t, v in enumerate(corners)]
        lines += [f"usemtl {name}", "f {} {} {} {}".format(*refs)]
    write(folder / "a.mtl", mtl)
    return write(folder / "a.obj", "\n".join(lines) + "\n")


def textured(*names: str) -> str:
    return "".join(f"newmtl {name}\nmap_Kd {name}.png\n" for name in names)


def at_faces(mesh: Mesh) -> np.ndarray:
    """The original textures' colours at the middle of every face, uint8 [F,3]."""
    colors = []
    for index, (u, v) in zip(mesh.face_map, mesh.uvs[mesh.face_uvs].mean(1) % 1, strict=True):
        image = mesh.maps[index].original
        height, width = image.shape[:2]
        colors.append(image[min(int((1 - v) * height), height - 1), int(u * width)])
    return np.array(colors)


# materials


def test_every_material_with_uvs_keeps_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Three textures of different sizes, two materials that share one, a plain colour."""
    values = [picture(tmp_path / f"{name}.png", size, i) for i, (name, size) in enumerate(
        {"a": (8, 8), "b": (30, 7), "c": (1, 64)}.items())]  # fmt: skip
    mtl = textured("a", "b", "c") + "newmtl d\nmap_Kd ./b.png\nnewmtl e\nKd 1 0.5 0\n"
    mesh = load_mesh(squares(tmp_path, "a", "b", "c", "d", "e", mtl=mtl))
    assert mesh.own_uvs
    assert len(said(caplog)) == 1
    assert said(caplog)[0].startswith("a.obj, b: 50% of the UV area overlaps")
    np.testing.assert_array_equal(mesh.face_uvs, np.tile([[0, 1, 2], [0, 2, 3]], (5, 1)))
    np.testing.assert_array_equal(mesh.uvs, [[0, 0], [1, 0], [1, 1], [0, 1]])
    assert [texture.name for texture in mesh.maps] == ["a", "b", "c", "e"]
    assert [mesh.map_of(index) for index in range(5)] == [0, 1, 2, 1, 3]
    for texture, expected in zip(mesh.maps, [*values, [[[255, 128, 0]]]], strict=True):
        np.testing.assert_array_equal(texture.original, expected)
    assert mesh.optimized == [0, 1, 2, 3]


def test_without_uvs_one_atlas_shows_them_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mtl = "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n"
    mesh = load_mesh(squares(tmp_path, "red", "blue", "none", mtl=mtl, bare=(0, 1, 2)))
    assert [texture.name for texture in mesh.maps] == ["atlas"]
    assert not mesh.own_uvs
    grey = [204, 204, 204]
    np.testing.assert_array_equal(at_faces(mesh), np.repeat([[255, 0, 0], [0, 0, 255], grey], 2, 0))
    assert said(caplog) == [
        "a.obj: no material library has 'none'; it is taken as grey",
        "a.obj has no UVs: making them (6 triangles)",
    ]


def test_in_a_mixed_file_only_what_needs_uvs_gets_new_ones(tmp_path: Path) -> None:
    values = picture(tmp_path / "a.png")
    mtl = textured("a") + "newmtl red\nKd 1 0 0\n"
    mesh = load_mesh(squares(tmp_path, "a", "red", mtl=mtl, bare=(1,)))
    assert [(texture.name, texture.own_uvs) for texture in mesh.maps] == [("a", True), ("red", False)]
    np.testing.assert_array_equal(mesh.face_uvs[:2], [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(mesh.uvs[:4], [[0, 0], [1, 0], [1, 1], [0, 1]])
    assert mesh.face_uvs[2:].min() == 4
    np.testing.assert_array_equal(mesh.maps[0].original, values)
    np.testing.assert_array_equal(mesh.maps[1].original, [[[255, 0, 0]]])


def test_faces_without_uvs_show_what_lies_at_the_origin(tmp_path: Path) -> None:
    """Half of a textured square has UVs: these look as before, and the other half as engines show it."""
    image = Image.new("RGB", (8, 8), "red")
    image.paste("blue", (0, 6, 2, 8))  # around (0,0), and with the other corners as the texture repeats
    image.paste("blue", (6, 0, 8, 2))
    image.paste("blue", (0, 0, 2, 2))
    image.paste("blue", (6, 6, 8, 8))
    image.save(tmp_path / "a.png")
    path = squares(tmp_path, "a", mtl=textured("a"), uvs="vt 0.5 0.5\nvt 0.6 0.5\nvt 0.6 0.6\nvt 0.5 0.6\n")
    path.write_text(path.read_text().replace("f 1/1 2/2 3/3 4/4", "f 1/1 2/2 3/3\nf 1 3 4"))
    np.testing.assert_array_equal(at_faces(load_mesh(path)), [[255, 0, 0], [0, 0, 255]])
    path.write_text(path.read_text().replace("vt 0.5 0.6", "vt nan 0.6").replace("f 1 3 4", "f 1/1 3/3 4/4"))
    np.testing.assert_array_equal(at_faces(load_mesh(path)), [[255, 0, 0], [0, 0, 255]])


def test_thirty_materials(tmp_path: Path) -> None:
    names = [f"m{index}" for index in range(30)]
    mtl = "".join(f"newmtl {name}\nKd {index / 30} 0 0\n" for index, name in enumerate(names))
    mesh = load_mesh(squares(tmp_path, *names, mtl=mtl))
    assert len(mesh.maps) == 30
    np.testing.assert_array_equal(mesh.face_map, np.arange(30).repeat(2))
    result = Result(mesh, [PixelTexture(8) for _ in mesh.maps], [])
    files = result.export(tmp_path / "out" / "b.obj")
    assert len(files) == 32
    assert len(load_mesh(tmp_path / "out" / "b.obj").maps) == 30


def test_unwrap_of_a_material_that_is_a_point(tmp_path: Path) -> None:
    """What has no extent does not get in the way of what has."""
    path = squares(tmp_path, "a", "b", mtl="newmtl a\nKd 1 0 0\n", bare=(0, 1))
    path.write_text(path.read_text().replace("usemtl b\nf 5 6 7 8", "usemtl b\nf 5 5 5"))
    mesh = load_mesh(path)
    assert np.isfinite(mesh.uvs).all()
    np.testing.assert_array_equal(at_faces(mesh)[:2], [[255, 0, 0]] * 2)


# sizes


def sized(tmp_path: Path, *sides: tuple[float, float]) -> Mesh:
    """Squares of (length, length in UV), a map each."""
    lines, uvs = [], []
    for index, (length, share) in enumerate(sides):
        lines += [f"v {x * length} {y * length} {index}" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
        uvs += [f"vt {x * share} {y * share}" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    for index in range(len(sides)):
        corners = " ".join(f"{4 * index + i}/{4 * index + i}" for i in (1, 2, 3, 4))
        lines += [f"usemtl m{index}", f"f {corners}"]
    return load_mesh(write(tmp_path / "s.obj", "\n".join([*lines[: 4 * len(sides)], *uvs, *lines[4 * len(sides) :]])))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(1, 1)], [1024]),
        ([(1, 1), (1, 1)], [1024, 1024]),
        ([(4, 1), (2, 1), (1, 1), (0.1, 1)], [1024, 512, 256, 256]),
        ([(4, 1), (2.1, 1)], [1024, 1024]),  # not less sharp than the first
        ([(4, 1), (1, 0.01)], [1024, 1024]),  # a palette does not make the rest coarse
        ([(4, 1), (1, 0)], [1024, 256]),
        ([(4, 0), (1, 1)], [256, 1024]),
        ([(4, 0)], [256]),
    ],
)
def test_map_sizes_give_even_sharpness(tmp_path: Path, sides: list[tuple[float, float]], expected: list[int]) -> None:
    assert sized(tmp_path, *sides).map_sizes(1024) == expected


@pytest.mark.parametrize("size", [8, 16, 64, 8192])
def test_map_sizes_are_sizes_that_textures_have(tmp_path: Path, size: int) -> None:
    for side in sized(tmp_path, (4, 1), (2, 1), (0.1, 1)).map_sizes(size):
        assert side & (side - 1) == 0
        assert 8 <= side <= size


def test_areas() -> None:
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0], [9, 0, 0]], float)
    faces = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 3]])
    np.testing.assert_allclose(areas(points, faces), [3, 3, 0])
    np.testing.assert_allclose(areas(points[:, :2], faces), [3, 3, 0])


# only and skip

NAMES = ("Skin", "eye left", "eye right", "wood", "wood.001", "Cloth[1]")


@pytest.mark.parametrize(
    ("only", "skip", "kept"),
    [
        ((), (), ()),
        ((), ("skin",), (0,)),
        (("SKIN",), (), (1, 2, 3, 4, 5)),
        (("eye*",), (), (0, 3, 4, 5)),
        (("eye*",), ("eye left",), (0, 1, 3, 4, 5)),
        (("eye ?eft", "skin"), (), (2, 3, 4, 5)),
        ((), ("wood",), (3,)),  # and not wood.001, which is another material
        ((), ("cloth[1]",), (5,)),
        ("skin", (), (1, 2, 3, 4, 5)),
    ],
)
def test_only_and_skip(tmp_path: Path, only: tuple[str, ...], skip: tuple[str, ...], kept: tuple[int, ...]) -> None:
    mtl = "".join(f"newmtl {name}\nKd 0 0 {index / 10}\n" for index, name in enumerate(NAMES))
    mesh = load_mesh(squares(tmp_path, *NAMES, mtl=mtl), only=only, skip=skip)
    assert tuple(index for index in range(len(NAMES)) if mesh.maps[mesh.map_of(index)].kept) == kept
    assert mesh.optimized == [index for index, texture in enumerate(mesh.maps) if not texture.kept]
    assert len(mesh.map_sizes(64)) == len(mesh.optimized)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"only": ["hair"]}, r"a\.obj has no material 'hair'; it has a, b"),
        ({"skip": ["a", "c*"]}, r"a\.obj has no material 'c\*'; it has a, b"),
        ({"skip": ["?"]}, "nothing to optimise; check --only and --skip"),
        ({"only": ["a"], "skip": ["a"]}, "nothing to optimise"),
        ({"only": ["b"]}, "what is to be optimised has no area"),
        ({"only": [""]}, "has no material ''"),
    ],
)
def test_exclusions_that_cannot_be(tmp_path: Path, options: dict[str, list[str]], says: str) -> None:
    path = squares(tmp_path, "a", "b")
    path.write_text(path.read_text().replace("f 5/1 6/2 7/3 8/4", "f 5/1 5/2 5/3"))
    with pytest.raises(OptionError, match=says) as caught:
        load_mesh(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_texture_of_something_kept_and_something_not_is_two_maps(tmp_path: Path) -> None:
    values = picture(tmp_path / "a.png")
    mtl = "newmtl a\nmap_Kd a.png\nnewmtl b\nmap_Kd a.png\n"
    mesh = load_mesh(squares(tmp_path, "a", "b", mtl=mtl), skip=["b"])
    assert [texture.kept for texture in mesh.maps] == [False, True]
    for texture in mesh.maps:
        np.testing.assert_array_equal(texture.original, values)


def test_what_is_kept_needs_no_uvs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps its colour, also beside an atlas, and the file's UVs of what is incomplete go on existing."""
    mtl = "newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 0 1\n"
    mesh = load_mesh(squares(tmp_path, "a", "b", mtl=mtl, bare=(0, 1)), skip=["b"])
    assert [(texture.kept, texture.own_uvs) for texture in mesh.maps] == [(False, False), (True, True)]
    np.testing.assert_array_equal(at_faces(mesh)[2:], [[0, 0, 255]] * 2)
    assert len(said(caplog)) == 1  # of a, not of b
    path = squares(tmp_path, "a", "b", mtl=mtl, bare=(0,))
    path.write_text(path.read_text().replace("f 5/1 6/2 7/3 8/4", "f 5/1 6/2 7/3\nf 5 7 8"))
    mesh = load_mesh(path, skip=["b"])
    np.testing.assert_array_equal(mesh.face_uvs[2], [0, 1, 2])
    np.testing.assert_array_equal(mesh.uvs[mesh.face_uvs[2:]], [[[0, 0], [1, 0], [1, 1]], [[0, 0]] * 3])
    files = Result(mesh, PixelTexture(16), []).export(tmp_path / "out" / "b.obj")
    assert "f 5/1 6/2 7/3" in files[-1].read_text().splitlines()
    np.testing.assert_allclose(load_mesh(files[-1], skip=["b"]).uvs[:4], mesh.uvs[:4])


# masks


def with_mask(tmp_path: Path, mask: np.ndarray, texture_size: int = 16) -> tuple[Mesh, np.ndarray]:
    values = picture(tmp_path / "a.png", (texture_size, texture_size))
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return load_mesh(squares(tmp_path, "a", mtl=textured("a")), mask=tmp_path / "mask.png"), values


def exported(mesh: Mesh, textures: object, folder: Path) -> np.ndarray:
    Result(mesh, textures, []).export(folder / "b.png")
    return np.asarray(Image.open(folder / "b.png").convert("RGB"))


def test_black_texels_are_exactly_the_originals_and_white_ones_new(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    mesh, values = with_mask(tmp_path, mask)
    image = exported(mesh, PixelTexture(16, start=(0.25, 0.5, 0.75)), tmp_path / "out")
    np.testing.assert_array_equal(image[:, :8], values[:, :8])
    np.testing.assert_allclose(image[:, 8:], np.broadcast_to([64, 128, 191], (16, 8, 3)), atol=1)
    assert tmp_path / "mask.png" in mesh.files  # and is not overwritten


def test_grey_blends(tmp_path: Path) -> None:
    mesh, values = with_mask(tmp_path, np.full((16, 16), 51, np.uint8))
    image = exported(mesh, PixelTexture(16, start=(0.5, 0.5, 0.5)), tmp_path / "out")
    np.testing.assert_allclose(image, 0.8 * values + 0.2 * 127.5, atol=1)


@pytest.mark.parametrize("size", [4, 64])
def test_a_mask_of_another_size_is_resampled(tmp_path: Path, size: int) -> None:
    mask = np.zeros((size, size), np.uint8)
    mask[:, size // 2 :] = 255
    mesh, values = with_mask(tmp_path, mask)
    image = exported(mesh, PixelTexture(16, start=(0.5, 0.5, 0.5)), tmp_path / "out")
    np.testing.assert_array_equal(image[:, :6], values[:, :6])
    np.testing.assert_allclose(image[:, 10:], 128, atol=1)


def test_masks_by_name(tmp_path: Path) -> None:
    """A material's name means its texture, also where it shares that with another."""
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    mask = picture(tmp_path / "mask.png")
    mtl = textured("a", "b") + "newmtl c\nmap_Kd b.png\n"
    mesh = load_mesh(squares(tmp_path, "a", "b", "c", mtl=mtl), mask={"c": tmp_path / "mask.png"})
    assert mesh.maps[0].mask is None
    np.testing.assert_array_equal(mesh.maps[1].mask, Image.fromarray(mask).convert("L"))


MASKED: dict[str, tuple[dict[str, object], str]] = {
    "ambiguous": ({"mask": "m.png"}, r"a\.obj has 2 textures; say which the mask is for: NAME=IMAGE \(a, b\)"),
    "unknown": ({"mask": {"c": "m.png"}}, r"no texture 'c' to be masked; it has a, b"),
    "kept": ({"mask": {"b": "m.png"}, "skip": ["b"]}, r"no texture 'b' to be masked; it has a$"),
    "unwrap": ({"mask": {"a": "m.png"}, "unwrap": True}, r"a\.obj, a: a mask is painted on UVs, and these are new"),
    "black": ({"mask": "m.png", "skip": ["b"]}, "the mask is black everywhere"),
    "missing": ({"mask": {"a": "none.png"}}, r"none\.png does not exist"),
    "no image": ({"mask": {"a": "a.obj"}}, r"a\.obj is not an image"),
}


@pytest.mark.parametrize(("options", "says"), MASKED.values(), ids=MASKED)
def test_masks_that_cannot_be(
    tmp_path: Path, options: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "texopt.io.unwrapping.unwrap.unwrap_faces", lambda *_: pytest.fail("said before minutes of unwrapping")
    )
    Image.new("L", (4, 4), 0).save("m.png")
    with pytest.raises(texopt.TexoptError, match=says) as caught:
        load_mesh(squares(Path(), "a", "b"), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_mask_needs_uvs(tmp_path: Path) -> None:
    picture(tmp_path / "m.png")
    with pytest.raises(MeshError, match="these are new; make them first"):
        load_mesh(squares(tmp_path, "a", bare=(0,)), mask=tmp_path / "m.png")


# UDIM


def tiled(
    folder: Path, name: str = "skin.<UDIM>.png", tiles: tuple[int, ...] = (1001, 1002, 1011), **options: object
) -> Path:
    """Three squares in the tiles 1001, 1002 and 1011, whose pictures are random."""
    for tile in tiles:
        picture(folder / name.replace("<UDIM>", str(tile)), seed=tile)
    places = ((0, 0), (1, 0), (0, 1))
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    lines = ["mtllib a.mtl"]
    lines += [f"v {2 * index + x} {y} 0" for index in range(3) for x, y in corners]
    lines += [f"vt {x * 0.98 + 0.01 + u} {y * 0.98 + 0.01 + v}" for u, v in places for x, y in corners]
    lines += ["usemtl skin"]
    lines += ["f " + " ".join(f"{4 * i + j}/{4 * i + j}" for j in (1, 2, 3, 4)) for i in range(3)]
    write(folder / "a.mtl", f"newmtl skin\nmap_Kd {options.get('names', name)}\nNs 7\n")
    return write(folder / "a.obj", "\n".join(lines) + "\n")


@pytest.mark.parametrize("named", ["skin.<UDIM>.png", "skin.1001.png", "tex/Skin_<UDIM>.PNG"])
def test_udim_tiles_become_maps(tmp_path: Path, named: str, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(tiled(tmp_path, named.replace("1001", "<UDIM>"), names=named))
    assert [texture.name for texture in mesh.maps] == ["skin.1001", "skin.1002", "skin.1011"]
    assert [texture.tile for texture in mesh.maps] == [("skin", tile) for tile in (1001, 1002, 1011)]
    np.testing.assert_array_equal(mesh.face_map, [0, 0, 1, 1, 2, 2])
    assert (mesh.own_uvs, mesh.uvs.max()) == (True, 1.99)
    for texture, tile in zip(mesh.maps, (1001, 1002, 1011), strict=True):
        np.testing.assert_array_equal(texture.original, picture(tmp_path / "x.png", seed=tile))
    assert said(caplog) == []  # a tile is no repeat of the texture
    assert len(mesh.files) == 5


@pytest.mark.parametrize(("only", "kept"), [("skin", []), ("skin.1001", [1, 2]), ("*.10?1", [1]), ("SKIN.*", [])])
def test_tiles_go_by_their_materials_name_too(tmp_path: Path, only: str, kept: list[int]) -> None:
    mesh = load_mesh(tiled(tmp_path), only=[only])
    assert [index for index, texture in enumerate(mesh.maps) if texture.kept] == kept


def test_a_missing_tile_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r"^material 'skin' names the texture 'skin\.1011\.png', which is not in [^\n]*$"
    ):
        load_mesh(tiled(tmp_path, tiles=(1001, 1002)))


def test_tiles_and_no_uvs(tmp_path: Path) -> None:
    path = tiled(tmp_path)
    path.write_text(path.read_text() + "f 1 2 3\n")
    with pytest.raises(MeshError, match="'skin' has UDIM tiles and faces without UVs"):
        load_mesh(path)


def test_a_number_in_a_name_is_no_tile(tmp_path: Path) -> None:
    """A texture that repeats: alone, or beside another that another material has."""
    path = tiled(tmp_path, "brick<UDIM>.png", (1001,), names="brick1001.png")
    assert [texture.tile for texture in load_mesh(path).maps] == [None]
    picture(tmp_path / "brick1002.png")
    with (tmp_path / "a.mtl").open("a") as mtl:
        mtl.write("newmtl other\nmap_Kd brick1002.png\n")
    assert [texture.tile for texture in load_mesh(path).maps] == [None]


def test_some_tiles_kept_and_the_others_unwrapped_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="the tiles of skin are all unwrapped, or none"):
        load_mesh(tiled(tmp_path), unwrap=True, skip=["skin.1002"])


# vertex colours


COLORS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0))


def colored(folder: Path, kind: str, scale: int, uvs: bool) -> Path:
    """A square whose corners are red, green, blue and yellow."""
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    if kind == "obj":
        lines = [
            f"v {x} {y} 0 " + " ".join(f"{c * scale:g}" for c in rgb)
            for (x, y), rgb in zip(corners, COLORS, strict=True)
        ]
        lines += [f"vt {x} {y}" for x, y in corners]
        lines.append("f 1/1 2/2 3/3 4/4" if uvs else "f 1 2 3 4")
        return write(folder / "a.obj", "\n".join(lines) + "\n")
    number = "uchar" if scale == 255 else "float"
    names = ["float x", "float y", "float z", *(["float s", "float t"] if uvs else [])]
    names += [f"{number} {name}" for name in ("red", "green", "blue")]
    rows = [
        " ".join(f"{value:g}" for value in (x, y, 0, *((x, y) if uvs else ()), *(c * scale for c in rgb)))
        for (x, y), rgb in zip(corners, COLORS, strict=True)
    ]
    header = ["ply", "format ascii 1.0", "element vertex 4", *(f"property {name}" for name in names)]
    header += ["element face 2", "property list uchar int vertex_indices", "end_header"]
    return write(folder / "a.ply", "\n".join([*header, *rows, "3 0 1 2", "3 0 2 3"]) + "\n")


@pytest.mark.parametrize("uvs", [True, False])
@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_vertex_colours_become_the_original(tmp_path: Path, kind: str, scale: int, uvs: bool) -> None:
    mesh = load_mesh(colored(tmp_path, kind, scale, uvs))
    assert mesh.own_uvs is uvs
    for vertex, color in enumerate(COLORS):
        face, corner = np.argwhere(mesh.faces == vertex)[0]
        around = mesh.uvs[mesh.face_uvs[face]]
        u, v = around[corner] * 0.9 + around.mean(0) * 0.1
        height, width = mesh.maps[0].original.shape[:2]
        shown = mesh.maps[0].original[int((1 - v) * height), int(u * width)]
        np.testing.assert_allclose(shown, np.array(color) * 255, atol=0.35 * 255)  # sRGB is steep near black
        assert shown.argmax() == np.argmax(color)


def test_colours_of_ply_do_not_darken_a_texture(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (128, 128, 255)).save(tmp_path / "skin.png")
    path = colored(tmp_path, "ply", 255, True)
    path.write_text(path.read_text().replace("ascii 1.0\n", "ascii 1.0\ncomment TextureFile skin.png\n"))
    mesh = load_mesh(path)
    assert mesh.files == (path, tmp_path / "skin.png")
    np.testing.assert_array_equal(mesh.maps[0].original, np.full((4, 4, 3), [128, 128, 255]))
    np.testing.assert_allclose(mesh.vertices[:, :2], [[0, 0], [1, 0], [1, 1], [0, 1]])


def test_ply_vertices_with_several_uvs_stay_one(tmp_path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 2\nproperty list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
    rows = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 0.5 0 1 1 0 1\n"
    mesh = load_mesh(write(tmp_path / "a.ply", header + rows))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_allclose(mesh.uvs[mesh.face_uvs], [[[0, 0], [1, 0], [1, 1]], [[0.5, 0], [1, 1], [0, 1]]])


def test_white_vertex_colours_change_nothing(tmp_path: Path) -> None:
    path = squares(tmp_path, "a", mtl="newmtl a\nKd 1 0.5 0\n")
    path.write_text(
        "\n".join(f"{line} 1 1 1" if line.startswith("v ") else line for line in path.read_text().splitlines())
    )
    np.testing.assert_array_equal(load_mesh(path).maps[0].original, [[[255, 128, 0]]])


# where textures are


@pytest.mark.parametrize(
    ("named", "there", "says"),
    [
        ("skin.png", "skin.png", None),
        ("tex/skin.png", "tex/skin.png", None),
        ("tex\\skin.png", "tex/skin.png", None),
        (
            "C:\\art\\tex\\skin.png",
            "tex/skin.png",
            r"C:\\art\\tex\\skin\.png: taking tex/skin\.png in the mesh's folder",
        ),
        ("../tex/skin.png", "skin.png", r"\.\./tex/skin\.png: taking skin\.png in"),
        ("/art/skin.png", "textures/skin.png", r"/art/skin\.png: taking textures/skin\.png in"),
        ("Skin.PNG", "skin.png", r"Skin\.PNG: taking skin\.png in"),
    ],
)
def test_a_texture_elsewhere_is_looked_for_and_said(
    tmp_path: Path, named: str, there: str, says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "mesh" / there)
    mesh = load_mesh(squares(tmp_path / "mesh", "a", mtl=f"newmtl a\nmap_Kd {named}\n"))
    assert mesh.files[-1] == tmp_path / "mesh" / there
    assert len(said(caplog)) == (says is not None)
    if says is not None:
        assert caplog.messages[0].startswith(named.split("/")[0][:2])
        assert __import__("re").search(says, caplog.messages[0])


@pytest.mark.parametrize(
    "named", ["../secret.png", "link.png", "folder/secret.png", "{}/secret.png", "a\0b", "x" * 5000]
)
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, named: str) -> None:
    picture(tmp_path / "secret.png")
    mesh = tmp_path / "mesh"
    mesh.mkdir()
    (mesh / "link.png").symlink_to(tmp_path / "secret.png")
    (mesh / "folder").symlink_to(tmp_path)
    assert find(named.format(tmp_path), mesh) is None


# what is said of UVs


@pytest.mark.parametrize(
    ("uvs", "says"),
    [
        (SQUARE.replace("vt 1 0", "vt 2 0"), "UVs reach outside [0,1] (0.00 to 2.00); the texture repeats there"),
        ("vt 3 5\nvt 4 5\nvt 4 6\nvt 3 6\n", None),
        ("vt 0 0\nvt 8 0\nvt 8 -1e9\nvt 0 1\n", "UVs reach outside [0,1] (-1000000000.00 to 8.00); "
         "the texture repeats there"),
        ("vt 0 0\nvt 0 0\nvt 0 0\nvt 0 0\n", "2 of 2 faces have no area in the texture and show single colours"),
        ("vt 0 0\nvt 1 0\nvt 1 1\nvt 1 0\n", "50% of the UV area overlaps (mirrored charts): those parts share one "
         "texture (--unwrap gives each its own)"),
    ],
)  # fmt: skip
def test_unusual_uvs_are_said_in_a_line(
    tmp_path: Path, uvs: str, says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "a.png")
    load_mesh(squares(tmp_path, "a", mtl=textured("a"), uvs=uvs))
    assert said(caplog) == ([] if says is None else [f"a.obj: {says}"])


def test_stacked_charts_are_said_by_material(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_mesh(squares(tmp_path, "a", "a", "b"))
    assert said(caplog) == [
        "a.obj, a: 50% of the UV area overlaps (stacked charts): those parts share one texture "
        "(--unwrap gives each its own)"
    ]


def test_a_scaled_and_moved_texture_is_looked_up_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As KHR_texture_transform of glTF: UVs are scaled, then moved; other materials' are as they were."""
    picture(tmp_path / "a.png")
    mtl = "newmtl a\nmap_Kd -o 0.125 0.25 -s 0.5 0.25 1 a.png\nnewmtl b\nmap_Kd a.png\n"
    mesh = load_mesh(squares(tmp_path, "a", "b", mtl=mtl))
    np.testing.assert_allclose(mesh.uvs[mesh.face_uvs[0]], [[0.125, 0.25], [0.625, 0.25], [0.625, 0.5]])
    np.testing.assert_allclose(mesh.uvs[mesh.face_uvs[2]], [[0, 0], [1, 0], [1, 1]])
    assert len(mesh.maps) == 1
    np.testing.assert_array_equal(mesh.uvs[:4], [[0, 0], [1, 0], [1, 1], [0, 1]])
    caplog.clear()
    load_mesh(squares(tmp_path, "a", mtl="newmtl a\nmap_Kd -o 0 0 0 -s 1 1 1 -t 0 0 0 -mm 0 1 -clamp on a.png\n"))
    assert said(caplog) == []
    load_mesh(squares(tmp_path, "a", mtl="newmtl a\nmap_Kd -t 1 0 0 -mm 0.5 2 a.png\n"))
    assert said(caplog) == ["a.obj, a: map_Kd is read without -t and -mm"]


def test_a_clamped_texture_goes_on_as_its_edge(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for options, wrap in (("-clamp on", "clamp"), ("-clamp off", "repeat"), ("", "repeat")):
        mesh = load_mesh(squares(tmp_path, "a", mtl=f"newmtl a\nmap_Kd {options} a.png\n"))
        assert mesh.maps[0].wrap == (wrap, wrap)


def test_scaled_uvs_may_reach_other_tiles(tmp_path: Path) -> None:
    for tile in (1001, 1002, 1011, 1012):
        picture(tmp_path / f"t.{tile}.png", seed=tile)
    uvs = "vt 0.6 0.1\nvt 0.9 0.1\nvt 0.9 0.4\nvt 0.6 0.4\n"
    mesh = load_mesh(squares(tmp_path, "a", mtl="newmtl a\nmap_Kd -s 2 2 t.<UDIM>.png\n", uvs=uvs))
    assert mesh.maps[0].tile == ("a", 1002)


def test_vertex_colours_stay_where_uvs_have_no_area(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = colored(tmp_path, "obj", 1, True)
    lines = path.read_text().splitlines()
    path.write_text("\n".join("vt 0 0" if line.startswith("vt") else line for line in lines) + "\n")
    mesh = load_mesh(path)
    assert not mesh.own_uvs
    assert (
        said(caplog)[0] == "a.obj, textured: its UVs have no area and cannot show its vertex colours; it gets new ones"
    )
    assert {int(color.argmax()) for color in mesh.maps[0].original.reshape(-1, 3)} == {0, 1, 2}


def test_alpha_is_kept_apart_from_the_colours(tmp_path: Path) -> None:
    """What is transparent is drawn with its own colour, and goes out as it was."""
    values = picture(tmp_path / "a.png", bands=4)
    alpha = np.asarray(Image.open(tmp_path / "a.png"))[..., 3]
    Image.new("L", (1, 1), 255).save(tmp_path / "m.png")
    mesh = load_mesh(squares(tmp_path, "a", mtl=textured("a")))
    np.testing.assert_array_equal(mesh.maps[0].original, values)
    np.testing.assert_array_equal(mesh.maps[0].alpha, alpha)
    fragments = rasterize(mesh, texopt.fixed_views(2), 32)
    opaque = look_up(mesh.originals(), fragments)
    flat = look_up([torch.from_numpy(values).permute(2, 0, 1) / 255.0], fragments)
    assert torch.equal(opaque, flat)
    Result(mesh, PixelTexture(16, start=mesh.originals()[0]), []).export(tmp_path / "out" / "b.obj")
    image = np.asarray(Image.open(tmp_path / "out" / "b.png"))
    np.testing.assert_array_equal(image[..., 3], alpha)
    np.testing.assert_allclose(image[..., :3].astype(int), values.astype(int), atol=3)


def test_a_mask_of_one_of_two_materials_of_the_same_name_is_an_error(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "mask.png")
    parts = [trimesh.creation.box(), trimesh.creation.box()]
    for number, part in enumerate(parts):
        image = Image.new("RGB", (8, 8), (number, 0, 0))
        material = trimesh.visual.material.PBRMaterial(name="Mat", baseColorTexture=image)
        part.visual = trimesh.visual.TextureVisuals(part.vertices[:, :2] + 0.5, material=material)
    trimesh.Scene(parts).export(tmp_path / "a.glb")
    with pytest.raises(OptionError, match="several materials 'Mat'"):
        load_mesh(tmp_path / "a.glb", mask={"Mat": tmp_path / "mask.png"})
