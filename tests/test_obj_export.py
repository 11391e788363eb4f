"""OBJ files as people have them, with a new texture: read again, the export looks as the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from texopt import Mesh, load_mesh
from texopt.io.export import export
from texopt.mesh.areas import areas
from texopt.render.cameras import fixed_views
from texopt.render.look_up import look_up
from texopt.render.scene import rasterize

VT = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n" + VT
FACE = "f 1/1 2/2 3/3 4/4\n"
LIB = "mtllib m.mtl\nusemtl a\n"
U = "v 4 3 0\nv 3 3 0\nv 3 1 0\nv 1 1 0\nv 1 3 0\nv 0 3 0\nv 0 0 0\nv 4 0 0\n"
U_UVS = "vt 1 .75\nvt .75 .75\nvt .75 .25\nvt .25 .25\nvt .25 .75\nvt 0 .75\nvt 0 0\nvt 1 0\n"
TWO = "mtllib m.mtl\n" + SQUARE + "v 2 0 0\nv 3 0 0\nv 3 1 0\nv 2 1 0\n"
PLACED = "newmtl a\nmap_Kd -o 0.25 0.125 0 -s 2 0.5 t.png\n"

CASES = {
    "scaled and moved": (LIB + SQUARE + FACE, PLACED),
    "one scaled, one not": (TWO + "usemtl a\n" + FACE + "usemtl b\nf 5/1 6/2 7/3 8/4\n",
                            PLACED + "newmtl b\nmap_Kd t.png\n"),
    "scaled, beside new UVs": (TWO + "usemtl a\nf -8/-4 -7/-3 -6/-2 -5/-1\nusemtl b\nf 5 6 7 8\n",
                               PLACED + "newmtl b\nmap_Kd t.png\n"),
    "notched": (LIB + U + U_UVS + "f 1/1 2/2 3/3 4/4 5/5 6/6 7/7 8/8\n", "newmtl a\nmap_Kd t.png\n"),
    "notched, without UVs": (LIB + U + "f 1 2 3 4 5 6 7 8\n", "newmtl a\nKd 1 0 0\n"),
    "no usemtl": ("mtllib m.mtl\n" + SQUARE + FACE, "newmtl my skin\nmap_Kd t.png\nNs 7\n"),
    "clamped": (LIB + SQUARE.replace("vt 1", "vt 2") + FACE, "newmtl a\nmap_Kd -clamp on -o -0.5 0 0 t.png\n"),
    "quotes": ('mtllib "m.mtl"\nusemtl a\n' + SQUARE + FACE, 'newmtl a\nmap_Kd "t.png" # skin\nnorm "n.png" # bumps\n'),
    "options": (LIB + SQUARE + FACE, "newmtl a\nmap_Kd -colorspace sRGB t.png\nmap_Ks -colorspace linear n.png\n"),
    "no vn": (LIB + SQUARE + "f 1/1/1 2/2/2 3/3/3 4/4/4\n", "newmtl a\nmap_Kd t.png\n"),
    "no vt": (LIB + SQUARE.replace(VT, "") + "f 1/1 2/2 3/3 4/4\n", "newmtl a\nKd 0 1 0\n"),
    "painted": (LIB + SQUARE + FACE + "#MRGB ffff0000ffff8000ff00ff00ff0000ff\n", "newmtl a\n"),
    "some painted": (LIB + SQUARE.replace("v 1 0 0", "v 1 0 0 255 0 0").replace("v 1 1 0", "v 1 1 0 0 80 nan")
                     + FACE, "newmtl a\n"),
    "UVs in a point": (LIB + SQUARE.replace("v 1 0 0", "v 1 0 0 1 0 0").replace(VT, "vt 0 0\n" * 4) + FACE,
                       "newmtl a\n"),
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("small_originals")


def folder_of(folder: Path, obj: str, mtl: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("t.png", "n.png")):
        values = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(values).save(folder / name)
    (folder / "m.mtl").write_bytes(mtl.encode(encoding))
    (folder / "a.obj").write_bytes(obj.encode(encoding))
    return folder / "a.obj"


def noise(mesh: Mesh) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(3, 16, 16, generator=generator).mul(255).round() / 255 for _ in mesh.maps]


def drawn(mesh: Mesh, images: list[Tensor]) -> Tensor:
    fragments = rasterize(mesh, fixed_views(4), 64)
    return look_up(images, fragments) * fragments.mask[:, None]


def check(mesh: Mesh, path: Path) -> Mesh:
    """An export looks as the mesh does with its new textures."""
    images = noise(mesh)
    images = [
        old if texture.kept else new for old, new, texture in zip(mesh.originals(), images, mesh.maps, strict=True)
    ]
    export(mesh, images, path)
    again = load_mesh(path)
    np.testing.assert_allclose(drawn(again, again.originals()), drawn(mesh, images), atol=2e-3)
    return again


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("ending", ["obj", "glb"])
@pytest.mark.parametrize("case", CASES)
def test_read_again_it_looks_as_it_did(tmp_path: Path, case: str, ending: str, encoding: str) -> None:
    mesh = load_mesh(folder_of(tmp_path / "in", *CASES[case], encoding))
    check(mesh, tmp_path / "out" / f"b.{ending}")


@pytest.mark.parametrize(
    "options", [{"unwrap": True}, {"skip": ["a"]}, {"skip": ["b"]}, {"skip": ["a"], "unwrap": True}]
)
@pytest.mark.parametrize("ending", ["obj", "glb"])
@pytest.mark.parametrize("case", ["one scaled, one not", "scaled, beside new UVs"])
def test_what_is_kept_and_what_is_new_look_as_they_did(
    tmp_path: Path, case: str, ending: str, options: dict[str, list[str]]
) -> None:
    mesh = load_mesh(folder_of(tmp_path / "in", *CASES[case]), **options)  # type: ignore[arg-type]
    check(mesh, tmp_path / "out" / f"b.{ending}")


def lines_of(folder: Path, case: str, **options: list[str]) -> tuple[list[str], list[str]]:
    """Of the OBJ and the MTL that a case is exported to."""
    mesh = load_mesh(folder_of(folder / "in", *CASES[case]), **options)
    export(mesh, noise(mesh), folder / "out" / "b.obj")
    obj, mtl = ((folder / "out" / f"b.{ending}").read_text().splitlines() for ending in ("obj", "mtl"))
    return obj, mtl


def test_scale_and_offset_are_written_back(tmp_path: Path) -> None:
    obj, mtl = lines_of(tmp_path, "scaled and moved")
    assert mtl[-1] == "map_Kd -o 0.25 0.125 0 -s 2 0.5 b.png"
    assert obj == ["mtllib b.mtl", *(CASES["scaled and moved"][0].splitlines()[1:])]


def test_new_uvs_need_no_scale(tmp_path: Path) -> None:
    mesh = load_mesh(folder_of(tmp_path / "in", *CASES["scaled and moved"]), unwrap=True)
    export(mesh, noise(mesh), tmp_path / "b.obj")
    assert (tmp_path / "b.mtl").read_text().splitlines()[-1] == "map_Kd b.png"


@pytest.mark.parametrize("ending", ["obj", "glb"])
@pytest.mark.parametrize("case", ["notched", "notched, without UVs"])
def test_notches_stay_open(tmp_path: Path, case: str, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """The U has 8 of the 12 of its box, and so it has in what is drawn; nothing overlaps in its texture."""
    mesh = load_mesh(folder_of(tmp_path / "in", *CASES[case]))
    again = check(mesh, tmp_path / "out" / f"b.{ending}")
    assert areas(mesh.vertices, mesh.faces).sum() == pytest.approx(8)
    np.testing.assert_allclose(again.vertices[again.faces], mesh.vertices[mesh.faces])
    assert not any("overlap" in message for message in caplog.messages)


def test_the_only_material_gets_its_usemtl(tmp_path: Path) -> None:
    obj, mtl = lines_of(tmp_path, "no usemtl")
    assert [line for line in obj if line.startswith("usemtl")] == ["usemtl my skin"]
    assert mtl[2:] == ["newmtl my skin", "Ns 7", "Kd 1 1 1", "d 1.0", "map_Kd b.png"]


@pytest.mark.parametrize(("case", "line"), [("quotes", "norm n.png"), ("options", "map_Ks -colorspace linear n.png")])
def test_other_textures_come_along(tmp_path: Path, case: str, line: str) -> None:
    assert line in lines_of(tmp_path, case)[1]
    assert (tmp_path / "out" / "n.png").read_bytes() == (tmp_path / "in" / "n.png").read_bytes()


def test_faces_name_no_more_what_is_not_there(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "no vn")[0][-2:] == ["f 1/1 2/2 3/3", "f 1/1 3/3 4/4"]
    assert lines_of(tmp_path, "no vt", skip=[])[0][-1].count("/") == 3


def test_of_colours_none_is_left(tmp_path: Path) -> None:
    for case in ("painted", "some painted"):
        obj = lines_of(tmp_path, case)[0]
        assert [line for line in obj if line.startswith(("v ", "#"))] == SQUARE.splitlines()[:4]


@pytest.mark.parametrize("paint", ["behind the coordinates", "as ZBrush has it"])
def test_colours_of_what_is_kept_stay(tmp_path: Path, paint: str) -> None:
    colors = [(255, 0, 0)] * 4 + [(0, 0, 255)] * 3
    faces = VT + "mtllib m.mtl\nusemtl a\nf 1/1 2/2 3/3 4/4\nusemtl b\nf 5/1 6/2 7/3 8/4\n"
    points = [line for line in TWO.splitlines() if line.startswith("v ")]
    if paint == "as ZBrush has it":
        painted = "#MRGB " + "".join("ff{:02x}{:02x}{:02x}".format(*rgb) for rgb in [*colors, (255, 255, 255)])
        text = "\n".join([*points, painted]) + "\n" + faces
    else:  # the last has none
        text = "\n".join([" ".join([point, *map(str, rgb)]) for point, rgb in zip(points, colors, strict=False)])
        text += f"\n{points[-1]}\n{faces}"
    mesh = load_mesh(folder_of(tmp_path / "in", text, "newmtl a\nnewmtl b\n"), only=["a"])
    again = check(mesh, tmp_path / "out" / "b.obj")
    rows = [line.split()[4:] for line in (tmp_path / "out" / "b.obj").read_text().splitlines() if line.startswith("v ")]
    top = "255" if paint == "behind the coordinates" else "1"
    assert rows == [[top] * 3] * 4 + [["0", "0", top]] * 3 + [[top] * 3]
    assert again.source is not None
