"""Export: what goes out is what came in, with the new texture; and reads back as that."""

from __future__ import annotations

import io
import os
import re
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from conftest import make_cube
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import texopt
from texopt import Mesh, OptionError, OutputError, TextureMap, load_mesh
from texopt.io.export import export
from texopt.io.obj.document import ObjFile
from texopt.optim.result import Result
from texopt.render.cameras import fixed_views
from texopt.render.look_up import look_up
from texopt.render.padding import fill
from texopt.render.scene import rasterize
from texopt.render.uv_raster import covered
from texopt.system.images import load_image, to_tensor

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
MTL = "newmtl dark red\nKd 1 0 0\nnewmtl blue\nmap_Kd skin.png\n"


pytestmark = pytest.mark.usefixtures("small_originals")


def noise(size: int = 64) -> Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def source(folder: Path, kind: str) -> Path:
    """A box or a sphere as users have it, every case with something of its own."""
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), (10, 200, 30)).save(folder / "skin.png")
    write(folder / "m.mtl", MTL)
    if kind in ("ply", "stl", "glb"):
        sphere = trimesh.creation.icosphere(1, radius=3.7)
        sphere.vertices = (sphere.vertices + np.array([0.1, 200.3, 0.7])).astype(np.float32)
        sphere.export(folder / f"a.{kind}")
        return folder / f"a.{kind}"
    box = trimesh.creation.box((1, 2, 3))
    quads = list(box.facets)
    lines = ["# a box", "mtllib m.mtl", "o my  box"]
    lines += [f"v {x:.4f} {y:.4f}\t{z:.4f}" for x, y, z in box.vertices]
    for chart, pair in enumerate(quads):
        ring = list(dict.fromkeys(box.faces[pair[0]].tolist()))
        new = next(v for v in box.faces[pair[1]] if v not in ring)
        shared = [v for v in ring if v in box.faces[pair[1]]]
        while {ring[0], ring[-1]} != set(shared):
            ring = ring[1:] + ring[:1]
        ring.append(int(new))
        x, y = chart % 3 / 3, chart // 3 / 2
        far = 4.0 if kind == "outside" else 1.0
        lines += [
            f"vt {far * (x + u * 0.3 + 0.015):.5f} {y + v * 0.46 + 0.02:.5f}"
            for u, v in ((0, 0), (1, 0), (1, 1), (0, 1))
        ]
        lines.append("vn {:.3f} {:.3f} {:.3f}".format(*box.face_normals[pair[0]]))
        uvs = ["", "", "", ""] if kind == "no uvs" else [4 * chart + i for i in (1, 2, 3, 4)]
        face = "f " + " ".join(f"{v + 1}/{t}/{chart + 1}" for v, t in zip(ring, uvs, strict=True))
        material = {
            "materials": ("dark red", "blue")[chart % 2],
            "late": "" if chart < 2 else "blue",
            "skinned": "blue",
        }.get(kind, "")
        lines += [f"g side {chart}", *([f"usemtl {material}"] if material else []), "s off", face]
    return write(folder / "a.obj", "\n".join(lines) + "\n")


def read_by_trimesh(path: Path) -> tuple[Mesh, list[Tensor]]:
    """Another program's view of an exported file, and its textures, one a part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, where trimesh splits vertices
        parts = list(trimesh.load_scene(path, process=False).dump())
    vertices, faces, uvs, pictures = [], [], [], []
    for part in parts:
        faces.append(part.faces + sum(map(len, vertices)))
        vertices.append(part.vertices)
        uvs.append(part.visual.uv)
        material = part.visual.material
        pictures.append(to_tensor(material.baseColorTexture if path.suffix == ".glb" else material.image))
    index = np.concatenate(faces).astype(np.int32)
    mesh = Mesh(
        "t", np.concatenate(vertices), index, np.concatenate(uvs), index, None, None,
        tuple(TextureMap(np.zeros((1, 1, 3), np.uint8)) for _ in parts),
        np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]).astype(np.int32),
    )  # fmt: skip
    return mesh, pictures


def rendering(mesh: Mesh, images: list[Tensor]) -> Tensor:
    fragments = rasterize(mesh, fixed_views(4), 96)
    return look_up(images, fragments) * fragments.mask[:, None]


def textured(mesh: Mesh, size: int = 64) -> Result:
    """A result whose textures are noise, another one for every map."""
    seeds = (torch.Generator().manual_seed(index) for index in mesh.optimized)
    textures = [texopt.PixelTexture(size, start=torch.rand(3, size, size, generator=seed)) for seed in seeds]
    return Result(mesh, textures, [])


def same(a: Tensor, b: Tensor) -> None:
    """Over 40 dB, and equal but for the 8 bits of a PNG."""
    assert float(a.abs().amax()) > 0.1
    error = (a - b).abs()
    assert -10 * float(error.square().mean().log10()) > 40
    assert float(error.max()) < 0.5 / 255 + 1e-3


@pytest.mark.parametrize("ending", ["obj", "glb"])
@pytest.mark.parametrize("kind", ["plain", "outside", "materials", "late", "no uvs", "ply", "stl", "glb"])
def test_reloaded_it_looks_as_it_did(tmp_path: Path, kind: str, ending: str) -> None:
    """The key property: by texopt's own reader and by trimesh's, the render of the file is the render of the result."""
    mesh = load_mesh(source(tmp_path / "in", kind))
    result = textured(mesh)
    path = tmp_path / "out dir" / f"my result.{ending}"
    files = result.export(path)
    assert sorted(files) == sorted(path.parent.iterdir())
    expected = rendering(mesh, result.images)
    again = load_mesh(path)
    assert again.own_uvs
    same(expected, rendering(again, again.originals()))
    same(expected, rendering(*read_by_trimesh(path)))


@pytest.mark.parametrize("kind", ["plain", "outside", "materials", "late"])
def test_an_obj_goes_out_line_by_line(tmp_path: Path, kind: str) -> None:
    """But for its mtllib, and a usemtl before faces that have none."""
    path = source(tmp_path / "in", kind)
    export(load_mesh(path), noise(), tmp_path / "b.obj")
    came, went = (p.read_text().splitlines() for p in (path, tmp_path / "b.obj"))
    assert [line for line in went if line.startswith("mtllib")] == ["mtllib b.mtl"]
    added = "usemtl textured"
    assert went.count(added) == (0 if kind == "materials" else 1)
    kept = [line for line in went if line != added and not line.startswith("mtllib")]
    assert kept == [line for line in came if not line.startswith("mtllib")]
    if kind != "materials":
        assert went.index(added) < next(i for i, line in enumerate(went) if line.startswith("f "))


def test_lines_that_are_not_utf8_go_out_as_they_came(tmp_path: Path) -> None:
    raw = b"g caf\xe9\n" + SQUARE.encode() + b"usemtl caf\xe9 \xff\n" + FACE.encode()
    (tmp_path / "a.obj").write_bytes(raw)
    export(load_mesh(tmp_path / "a.obj"), noise(), tmp_path / "b.obj")
    assert (tmp_path / "b.obj").read_bytes() == b"mtllib b.mtl\n" + raw
    assert b"newmtl caf\xe9 \xff\n" in (tmp_path / "b.mtl").read_bytes()


def test_new_uvs_change_nothing_else(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "materials")
    before, mesh = load_mesh(path), load_mesh(path, unwrap=True)
    export(mesh, noise(), tmp_path / "b.obj")
    after = load_mesh(tmp_path / "b.obj")
    for name in ("vertices", "faces", "normals", "face_normals"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), err_msg=name)
    np.testing.assert_allclose(after.uvs, mesh.uvs, atol=1e-7)
    np.testing.assert_array_equal(after.face_uvs, mesh.face_uvs)
    came, went = (p.read_text().splitlines() for p in (path, tmp_path / "b.obj"))
    other = re.compile(r"(?!mtllib|vt |f )")
    assert list(filter(other.match, went)) == list(filter(other.match, came))


def test_mtl(tmp_path: Path) -> None:
    """Every name of the source, opaque, each with its texture by its relative name."""
    mesh = load_mesh(source(tmp_path / "in", "materials"))
    export(mesh, [noise(), 1 - noise()], tmp_path / "my b.obj")
    lines = (tmp_path / "my b.mtl").read_text().splitlines()
    assert [line for line in lines if line.startswith("newmtl")] == ["newmtl dark red", "newmtl blue"]
    assert [line for line in lines if line.startswith("map_Kd")] == ["map_Kd my b_dark_red.png", "map_Kd my b_blue.png"]
    assert lines.count("d 1.0") == lines.count("Kd 1 1 1") == 2
    assert not any(line.startswith("Tr") for line in lines)
    for name, expected in (("dark_red", noise()), ("blue", 1 - noise())):
        image = to_tensor(load_image(tmp_path / f"my b_{name}.png"))
        np.testing.assert_allclose(image, expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("kind", ["ply", "stl", "glb"])
def test_other_formats_keep_their_coordinates(tmp_path: Path, kind: str) -> None:
    mesh = load_mesh(source(tmp_path / "in", kind))
    export(mesh, noise(), tmp_path / "b.obj")
    again = load_mesh(tmp_path / "b.obj")
    np.testing.assert_array_equal(again.vertices.astype(np.float32), mesh.vertices.astype(np.float32))
    np.testing.assert_array_equal(again.faces, mesh.faces)
    assert isinstance(again.source, ObjFile)
    assert again.source.material_names == ["textured"]


def test_normals_of_other_formats_go_out(tmp_path: Path) -> None:
    mesh = load_mesh(source(tmp_path / "in", "plain"))
    assert mesh.normals is not None
    export(replace(mesh, source=None), noise(), tmp_path / "b.obj")
    again = load_mesh(tmp_path / "b.obj")
    assert again.normals is not None
    np.testing.assert_allclose(again.normals[again.face_normals], mesh.normals[mesh.face_normals], atol=1e-6)


def test_glb(tmp_path: Path) -> None:
    mesh = load_mesh(source(tmp_path / "in", "plain"))
    export(mesh, noise(), tmp_path / "b.glb")
    (part,) = trimesh.load_scene(tmp_path / "b.glb", process=False).geometry.values()
    np.testing.assert_allclose(part.triangles, mesh.vertices[mesh.faces], atol=1e-6)
    np.testing.assert_allclose(part.visual.uv[part.faces], mesh.uvs[mesh.face_uvs], atol=1e-6)
    assert mesh.normals is not None
    np.testing.assert_allclose(part.vertex_normals[part.faces], mesh.normals[mesh.face_normals], atol=1e-6)
    assert part.visual.material.metallicFactor == 0.0
    assert part.visual.material.roughnessFactor == 0.9
    np.testing.assert_array_equal(
        np.asarray(part.visual.material.baseColorTexture.convert("RGB")),
        (noise() * 255).round().byte().permute(1, 2, 0),
    )


def test_glb_of_a_mesh_whose_corners_lack_some_normals(tmp_path: Path) -> None:
    path = write(tmp_path / "a.obj", SQUARE + "vn 0 0 1\nf 1/1/1 2/2/1 3/3/1\nf 1/1 3/3 4/4\n")
    export(load_mesh(path), noise(), tmp_path / "b.glb")
    mesh, _ = read_by_trimesh(tmp_path / "b.glb")
    np.testing.assert_allclose(mesh.vertices[mesh.faces][1], [[0, 0, 0], [1, 1, 0], [0, 1, 0]], atol=1e-6)


def test_png_is_the_texture_only(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + FACE))
    assert export(mesh, noise(), str(tmp_path / "B.PNG")) == [tmp_path / "B.PNG"]
    assert load_image(tmp_path / "B.PNG").size == (64, 64)


@pytest.mark.parametrize("target", ["a.obj", "./m.obj", "skin.obj", "skin.png", "link/a.obj"])
def test_the_meshs_own_files_are_not_overwritten(tmp_path: Path, target: str) -> None:
    folder = source(tmp_path / "in", "skinned").parent
    (tmp_path / "in" / "link").symlink_to(folder)
    mesh = load_mesh(folder / "a.obj")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(OutputError, match=r"would overwrite .*; choose another folder"):
        textured(mesh, 8).export(folder / target)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("target", ["b.fbx", "b", "b.mtl", "b.obj.zip", ".obj"])
def test_unknown_endings(tmp_path: Path, target: str) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + FACE))
    with pytest.raises(OptionError, match=r"the ending has to be one of \.obj, \.glb, \.png"):
        export(mesh, noise(), tmp_path / target)
    assert os.listdir(tmp_path) == ["a.obj"]


@pytest.mark.parametrize("target", ["file/b.obj", "file/b.glb", "file/sub/b.png"])
def test_where_nothing_can_be_written(tmp_path: Path, target: str) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + FACE))
    write(tmp_path / "file", "kept")
    with pytest.raises(OutputError, match=r"^cannot write .*; choose another"):
        export(mesh, noise(), tmp_path / target)
    assert sorted(os.listdir(tmp_path)) == ["a.obj", "file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_save_writes_everything(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + FACE))
    steps = [texopt.Step(n + 1, 2, 0.5 * n, {"style": 2.0 - n, "loss": 4.0 - 2 * n}) for n in range(2)]
    folder = Result(mesh, texopt.PixelTexture(8), steps).save(tmp_path / "out")
    names = ["a.mtl", "a.obj", "a.png", "history.csv", "loss.png", "preview.png", "viewer.html"]
    assert sorted(os.listdir(folder)) == names
    assert (folder / "history.csv").read_text() == "step,seconds,style,loss\n1,0.000,2,4\n2,0.500,1,2\n"
    assert Image.open(io.BytesIO((folder / "loss.png").read_bytes())).format == "PNG"


# materials of an OBJ: what was optimised gets a new texture, all else goes out as it came


def quads(folder: Path, mtl: str, *materials: str, scale: float = 1.0) -> Path:
    """a.obj with a.mtl: a unit square a material, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["mtllib a.mtl"]
    lines += [f"v {2 * i + x} {y} 0" for i in range(len(materials)) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lines += [f"vt {scale * x} {scale * y}" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    for i, name in enumerate(materials):
        lines += [f"usemtl {name}", "f " + " ".join(f"{4 * i + j}/{j}" for j in (1, 2, 3, 4))]
    write(folder / "a.mtl", mtl)
    return write(folder / "a.obj", "\n".join(lines) + "\n")


def image_file(path: Path, seed: int = 0, bands: int = 3) -> bytes:
    """Writes a picture of its own, and returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (16, 16, bands)).astype(np.uint8)
    Image.fromarray(values).save(path)
    return path.read_bytes()


def block(mtl: Path, name: str) -> list[str]:
    """The lines of a material in an MTL."""
    blocks = re.split(r"^newmtl ", mtl.read_text(), flags=re.MULTILINE)[1:]
    return next(
        lines for lines in ([line for line in text.splitlines() if line] for text in blocks) if lines[0] == name
    )[1:]


CHANNELS = """\
Ns 96.1
Ka 1 1 1
Kd 0.5 0.5 0.5
Ks 0.2 0.3 0.4
Ke 0 0 1
Ni 1.45
d 0.75
illum 2
map_Ka skin.png
map_Kd skin.png
map_Bump -bm 0.5 maps/bump map.png
norm maps\\normal.png
map_Pr -imfchan g rough.png
Pr 0.3
# a comment
"""


def test_other_channels_of_a_material_survive(tmp_path: Path) -> None:
    data = {name: image_file(tmp_path / "in" / name, i) for i, name in enumerate(
        ("skin.png", "maps/bump map.png", "maps/normal.png", "rough.png"))}  # fmt: skip
    mesh = load_mesh(quads(tmp_path / "in", "newmtl a\n" + CHANNELS, "a"))
    files = export(mesh, noise(), tmp_path / "out" / "b.obj")
    assert sorted(path.name for path in files) == ["b.mtl", "b.obj", "b.png", "bump map.png", "normal.png", "rough.png"]
    assert block(tmp_path / "out" / "b.mtl", "a") == [
        "Ns 96.1", "Ka 1 1 1", "Ks 0.2 0.3 0.4", "Ke 0 0 1", "Ni 1.45", "illum 2", "map_Bump -bm 0.5 bump map.png",
        "norm normal.png", "map_Pr -imfchan g rough.png", "Pr 0.3", "# a comment", "Kd 1 1 1", "d 0.75", "map_Kd b.png",
    ]  # fmt: skip
    for name, content in data.items():
        if name != "skin.png":
            assert (tmp_path / "out" / Path(name).name).read_bytes() == content


@pytest.mark.slow
def test_other_channels_do_not_fit_new_uvs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i, name in enumerate(("skin.png", "maps/bump map.png", "maps/normal.png", "rough.png")):
        image_file(tmp_path / "in" / name, i)
    mesh = load_mesh(quads(tmp_path / "in", "newmtl a\n" + CHANNELS, "a"), unwrap=True)
    with caplog.at_level("INFO", logger="texopt"):
        files = export(mesh, noise(), tmp_path / "out" / "b.obj")
    assert sorted(path.name for path in files) == ["b.mtl", "b.obj", "b.png"]
    assert caplog.messages[-1] == "material a: map_bump, map_pr, norm are left out, as the UVs are new"
    lines = block(tmp_path / "out" / "b.mtl", "a")
    assert [line for line in lines if "png" in line] == ["map_Kd b.png"]
    assert "Ns 96.1" in lines


@pytest.mark.parametrize(
    ("lines", "opacity"),
    [("", "d 1.0"), ("d 1", "d 1.0"), ("Tr 0", "d 1.0"), ("d 0.25", "d 0.25"), ("Tr 0.25", "d 0.75"),
     ("d 0", "d 1.0"), ("Tr 1", "d 1.0"), ("d 0.25\nTr 0.25", "d 0.25"), ("d -halo 0.5", "d 0.5"), ("d half", "d 1.0"),
     ("d nan", "d 1.0")],
)  # fmt: skip
def test_opacity(tmp_path: Path, lines: str, opacity: str) -> None:
    export(load_mesh(quads(tmp_path / "in", f"newmtl a\nNs 1\n{lines}\n", "a")), noise(), tmp_path / "b.obj")
    assert block(tmp_path / "b.mtl", "a") == ["Ns 1", "Kd 1 1 1", opacity, "map_Kd b.png"]


def test_copies_take_free_names(tmp_path: Path) -> None:
    """Files of one name in several folders, of the name of the export's own, and of one that is there already."""
    mtl = "newmtl a\nmap_Bump one/x.png\nnorm two/X.png\nmap_Ks b.png\nmap_Ns one/x.png\nmap_Pr there.png\n"
    data = {name: image_file(tmp_path / "in" / name, i) for i, name in enumerate(
        ("one/x.png", "two/X.png", "b.png", "there.png"))}  # fmt: skip
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "there.png", "somebody's")
    mesh = load_mesh(quads(tmp_path / "in", mtl, "a"))
    for _ in range(2):  # the second time over the first
        export(mesh, noise(), tmp_path / "out" / "b.obj")
        lines = block(tmp_path / "out" / "b.mtl", "a")
        assert lines[:5] == ["map_Bump x.png", "norm X_2.png", "map_Ks b_2.png", "map_Ns x.png", "map_Pr there_2.png"]
        names = ["X_2.png", "b.mtl", "b.obj", "b.png", "b_2.png", "there.png", "there_2.png", "x.png"]
        assert sorted(os.listdir(tmp_path / "out")) == names
    for name, came in (("x.png", "one/x.png"), ("X_2.png", "two/X.png"), ("b_2.png", "b.png")):
        assert (tmp_path / "out" / name).read_bytes() == data[came]
    assert (tmp_path / "out" / "there.png").read_text() == "somebody's"


def test_beside_the_mesh_its_files_stay_where_they_are(tmp_path: Path) -> None:
    image_file(tmp_path / "bump.png")
    image_file(tmp_path / "sub" / "bump.png", 1)
    mesh = load_mesh(quads(tmp_path, "newmtl a\nbump bump.png\nnorm sub/bump.png\n", "a"))
    before = (tmp_path / "bump.png").stat()
    export(mesh, noise(), tmp_path / "b.obj")
    assert (tmp_path / "bump.png").stat() == before
    assert block(tmp_path / "b.mtl", "a")[:2] == ["bump bump.png", "norm bump_2.png"]


def test_a_channel_that_is_missing_or_outside_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image_file(tmp_path / "secret.png")
    mesh = load_mesh(quads(tmp_path / "in", "newmtl a\nbump none.png\nnorm ../secret.png\n", "a"))
    told = [message.split(":")[:2] for message in caplog.messages]
    assert told == [["a.obj, a", f" taken without its {key}"] for key in ("norm", "bump")]
    caplog.clear()
    files = export(mesh, noise(), tmp_path / "out" / "b.obj")
    assert len(files) == 3
    assert block(tmp_path / "out" / "b.mtl", "a")[:2] == ["bump none.png", "norm ../secret.png"]
    assert [message.split()[0] for message in caplog.messages] == ["none.png", "../secret.png"]


def test_what_is_kept_goes_out_byte_for_byte(tmp_path: Path) -> None:
    skin, bump = image_file(tmp_path / "in" / "skin.png", 1, 4), image_file(tmp_path / "in" / "bump.png", 2)
    image_file(tmp_path / "in" / "a.png")
    kept = "Kd 0.3 0.3 0.3\nd 0.5\nmap_Ka skin.png\nmap_Kd -s 1 1 1 skin.png\nbump -bm 2 bump.png\n"
    path = quads(tmp_path / "in", f"newmtl a\nmap_Kd a.png\nnewmtl b\n{kept}newmtl c\nKd 1 0 0\n", "a", "b", "c")
    mesh = load_mesh(path, only=["a"])
    textured(mesh, 16).export(tmp_path / "out" / "m.obj")
    assert block(tmp_path / "out" / "m.mtl", "b") == kept.splitlines()
    assert block(tmp_path / "out" / "m.mtl", "c") == ["Kd 1 0 0"]
    assert (tmp_path / "out" / "skin.png").read_bytes() == skin
    assert (tmp_path / "out" / "bump.png").read_bytes() == bump
    assert (tmp_path / "out" / "m.obj").read_text().replace("m.mtl", "a.mtl") == path.read_text()
    again = load_mesh(tmp_path / "out" / "m.obj")
    for index in (1, 2):
        np.testing.assert_array_equal(again.maps[index].original, mesh.maps[index].original)
    np.testing.assert_array_equal(again.maps[1].alpha, mesh.maps[1].alpha)


def test_materials_of_one_name_stay_apart(tmp_path: Path) -> None:
    """As glTF may have them, with what a line cannot hold."""
    mesh = load_mesh(quads(tmp_path / "in", "", "a", "b", "c"))
    mesh = replace(mesh, source=None, materials=("skin", "skin", " skin\n2"), objects=("one\ntwo",))
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "b.obj")
    again = load_mesh(tmp_path / "out" / "b.obj")
    assert (again.materials, again.objects) == (("skin", "skin_2", "skin 2"), ("one two",))
    same(rendering(mesh, result.images), rendering(again, again.originals()))


@pytest.mark.parametrize("ending", ["obj", "glb"])
def test_what_is_kept_of_another_format_keeps_its_look(tmp_path: Path, ending: str) -> None:
    """A GLB with two textured materials and a plain one, of which one is optimised."""
    for i in range(2):
        image_file(tmp_path / "in" / f"{i}.png", i)
    mtl = "newmtl a\nmap_Kd 0.png\nnewmtl b\nmap_Kd 1.png\nnewmtl c\nKd 1 0.5 0\n"
    whole = load_mesh(quads(tmp_path / "in", mtl, "a", "b", "c"))
    export(whole, whole.originals(), tmp_path / "in" / "a.glb")
    mesh = load_mesh(tmp_path / "in" / "a.glb", only=["a"])
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / f"m.{ending}")
    same(
        rendering(mesh, result.images),
        rendering(again := load_mesh(tmp_path / "out" / f"m.{ending}"), again.originals()),
    )


NAMED = {
    "plain": (["skin", "cloth"], ["b_skin", "b_cloth"]),
    "spaces and slashes": (["my skin", "a/b\\c"], ["b_my_skin", "b_a_b_c"]),
    "unicode": (["Körper", "身体", "目"], ["b_K_rper", "b_material", "b_material_2"]),
    "capitals": (["Skin", "skin", "SKIN"], ["b_Skin", "b_skin_2", "b_SKIN_3"]),
    "equal when cleaned": (["a b", "a_b", "a_b_2"], ["b_a_b", "b_a_b_2", "b_a_b_2_2"]),
    "numbers": (["1001", "1002", "3.5e2"], ["b_1001", "b_1002", "b_3.5e2"]),
    "dots": (["..", "../../x", ".hidden"], ["b_material", "b_x", "b_hidden"]),
    "long": (["x" * 300, "x" * 299], ["b_" + "x" * 80, "b_" + "x" * 80 + "_2"]),
}


@pytest.mark.parametrize(("names", "files"), NAMED.values(), ids=NAMED)
def test_names_of_textures(tmp_path: Path, names: list[str], files: list[str]) -> None:
    """And what is read back shows the same, also where numbers look like tiles and textures repeat."""
    mesh = load_mesh(quads(tmp_path / "in", "", *names, scale=2.0))
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "b.obj")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*(f"{name}.png" for name in files), "b.mtl", "b.obj"])
    again = load_mesh(tmp_path / "out" / "b.obj")
    assert again.materials == tuple(names)
    same(rendering(mesh, result.images), rendering(again, again.originals()))


def test_faces_without_a_material_get_one_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.obj", SQUARE + FACE + "usemtl textured\n" + FACE)
    export(load_mesh(path), [noise(), noise()], tmp_path / "b.obj")
    assert (tmp_path / "b.obj").read_text().splitlines()[-4:-1] == ["usemtl textured_", FACE.strip(), "usemtl textured"]
    assert re.findall("newmtl (.*)", (tmp_path / "b.mtl").read_text()) == ["textured_", "textured"]


# UDIM


def tiles(folder: Path, second: str = "") -> Path:
    """Squares in the tiles 1001, 1002 and 1011 of one material; the last of another, if it is named."""
    places = {1001: (0, 0), 1002: (1, 0), 1011: (0, 1)}
    lines = ["mtllib a.mtl"]
    lines += [f"v {2 * i + x} {y} {i}" for i in range(3) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    mtl = "".join(
        f"newmtl {name}\nNs 5\nmap_Kd skin.<UDIM>.png\nbump b_<UDIM>.png\n" for name in ("a b", second) if name
    )
    for i, (tile, (u, v)) in enumerate(places.items()):
        image_file(folder / f"skin.{tile}.png", tile)
        image_file(folder / f"b_{tile}.png", tile + 1)
        lines += [f"vt {0.1 + 0.8 * x + u} {0.1 + 0.8 * y + v}" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
        lines += [f"usemtl {second if second and i == 2 else 'a b'}"]
        lines += ["f " + " ".join(f"{4 * i + j}/{4 * i + j}" for j in (1, 2, 3, 4))]
    write(folder / "a.mtl", mtl)
    return write(folder / "a.obj", "\n".join(lines) + "\n")


def test_udim_tiles_as_glb(tmp_path: Path) -> None:
    mesh = load_mesh(tiles(tmp_path / "in"))
    result = textured(mesh, 16)
    result.export(tmp_path / "m.glb")
    again = load_mesh(tmp_path / "m.glb")
    same(rendering(mesh, result.images), rendering(again, again.originals()))


def test_numbered_tiles_that_are_kept_keep_their_line(tmp_path: Path) -> None:
    path = tiles(tmp_path / "in", "c")
    mtl = (tmp_path / "in" / "a.mtl").read_text().replace("<UDIM>", "1001").replace("newmtl c", "newmtl d")
    write(tmp_path / "in" / "a.mtl", mtl)
    write(path, path.read_text().replace("usemtl c", "usemtl plain"))
    mesh = load_mesh(path, skip=["a b"])
    assert [texture.kept for texture in mesh.maps] == [True, True, False]
    textured(mesh, 16).export(tmp_path / "out" / "m.obj")
    lines = ["Ns 5", "map_Kd skin.1001.png", "bump b_1001.png"]
    assert block(tmp_path / "out" / "m.mtl", "a b") == lines
    assert {f"{name}{tile}.png" for name in ("skin.", "b_") for tile in (1001, 1002)} < set(
        os.listdir(tmp_path / "out")
    )


def test_udim_tiles_go_out_as_they_came(tmp_path: Path) -> None:
    path = tiles(tmp_path / "in")
    mesh = load_mesh(path)
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "m.obj")
    names = {f"m_a_b.{tile}.png" for tile in (1001, 1002, 1011)} | {f"b_{tile}.png" for tile in (1001, 1002, 1011)}
    assert set(os.listdir(tmp_path / "out")) == names | {"m.obj", "m.mtl"}
    lines = block(tmp_path / "out" / "m.mtl", "a b")
    assert lines == ["Ns 5", "bump b_<UDIM>.png", "Kd 1 1 1", "d 1.0", "map_Kd m_a_b.<UDIM>.png"]
    assert (tmp_path / "out" / "m.obj").read_text().replace("m.mtl", "a.mtl") == path.read_text()
    again = load_mesh(tmp_path / "out" / "m.obj")
    assert [texture.tile for texture in again.maps] == [("a b", tile) for tile in (1001, 1002, 1011)]
    same(rendering(mesh, result.images), rendering(again, again.originals()))


@pytest.mark.parametrize(
    "options", [{"skip": ["a b.1002"]}, {"only": ["a b.1011"]}, {"skip": ["a b"]}, {"only": ["c"]}]
)
def test_udim_tiles_that_are_kept(tmp_path: Path, options: dict[str, list[str]]) -> None:
    """Some of a material, or all of it, beside another material of the same texture."""
    mesh = load_mesh(tiles(tmp_path / "in", "c" if options in ({"skip": ["a b"]}, {"only": ["c"]}) else ""), **options)  # type: ignore[arg-type]
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "m.obj")
    again = load_mesh(tmp_path / "out" / "m.obj")
    same(rendering(mesh, result.images), rendering(again, again.originals()))
    for before, after in zip(mesh.maps, again.maps, strict=True):
        if before.kept:
            np.testing.assert_array_equal(after.original, before.original)


# vertex colours


@pytest.mark.parametrize("scale", [1, 255])
def test_vertex_colours_do_not_tint_the_new_texture(tmp_path: Path, scale: int) -> None:
    lines = SQUARE.splitlines()
    lines[:4] = [f"{line} {scale} {0.5 * scale} 0" for line in lines[:4]]
    mesh = load_mesh(write(tmp_path / "a.obj", "\n".join(lines) + f"\n{FACE}"))
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "b.obj")
    assert "\nv 1 0 0\n" in (tmp_path / "out" / "b.obj").read_text()
    assert load_mesh(tmp_path / "out" / "b.obj").source.colors is None  # type: ignore[union-attr]
    same(rendering(mesh, result.images), rendering(load_mesh(tmp_path / "out" / "b.obj"), result.images))


def test_white_vertices_go_out_line_by_line(tmp_path: Path) -> None:
    text = re.sub("^(v .*)$", r"\1  1 1 1", SQUARE, flags=re.MULTILINE)
    export(load_mesh(write(tmp_path / "a.obj", text + FACE)), noise(), tmp_path / "b.obj")
    assert text in (tmp_path / "b.obj").read_text()


@pytest.mark.parametrize("scale", [1, 255])
def test_vertices_of_what_is_kept_keep_their_colours(
    tmp_path: Path, scale: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Two squares that share an edge or do not."""
    path = quads(tmp_path / "in", "", "a", "b")
    text = "\n".join(
        f"{line} {scale} {scale // 255} 0" if line.startswith("v ") else line for line in path.read_text().splitlines()
    )
    mesh = load_mesh(write(path, text), only=["a"])
    result = textured(mesh, 16)
    result.export(tmp_path / "out" / "m.obj")
    rows = [line.split() for line in (tmp_path / "out" / "m.obj").read_text().splitlines() if line.startswith("v ")]
    assert {tuple(row[4:]) for row in rows[:4]} == {(str(scale),) * 3}  # white
    assert {tuple(row[4:]) for row in rows[4:]} == {(str(scale), str(scale // 255), "0")}
    again = load_mesh(tmp_path / "out" / "m.obj")
    same(rendering(mesh, result.images), rendering(again, again.originals()))
    assert not caplog.messages
    write(path, text.replace("f 5/1 6/2", "f 2/1 6/2"))
    textured(load_mesh(path, only=["a"]), 16).export(tmp_path / "out" / "m.obj")
    assert caplog.messages == ["a: 1 vertices keep the colours that kept materials need, and tint both"]


# what a result fills: texels outside of the charts, and those that no view sees


def blob(size: int = 32) -> Tensor:
    """bool [size,size]: a disc."""
    axis = torch.arange(size) - size / 2 + 0.5
    return axis[:, None] ** 2 + axis**2 < (size / 4) ** 2


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (1, 8), (7, 5), (1, 1)])
def test_fill_keeps_valid_texels_and_loses_all_others(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    valid = torch.rand(shape, generator=generator) < 0.2
    valid[0, 0] = True
    image = torch.where(valid, torch.rand(3, *shape, generator=generator), 1e6)
    filled = fill(image, valid)
    np.testing.assert_array_equal(filled[:, valid], image[:, valid])
    low, high = (f(image[:, valid], 1) for f in (torch.amin, torch.amax))
    assert bool((filled >= low[:, None, None] - 1e-5).all())
    assert bool((filled <= high[:, None, None] + 1e-5).all())


@pytest.mark.parametrize("value", [-1e6, float("inf"), float("nan")])
@pytest.mark.parametrize("padding", [0, 2, None])
def test_fill_of_a_constant_is_constant_whatever_was_there(value: float, padding: int | None) -> None:
    image = torch.where(blob(), 0.3, value).expand(3, -1, -1)
    np.testing.assert_allclose(fill(image, blob(), padding), np.full((3, 32, 32), 0.3), rtol=1e-5)


def test_padding_takes_the_nearest_colours() -> None:
    """Two charts with five texels between them: each side's ring is its own colour, exactly."""
    valid = torch.zeros(16, 16, dtype=torch.bool)
    valid[:, :4] = valid[:, 9:] = True
    image = torch.zeros(3, 16, 16)
    image[0, :, :4], image[2, :, 9:] = 1.0, 1.0
    filled = fill(image, valid, padding=2)
    np.testing.assert_allclose(filled[:, 8, 4:6], [[1, 1], [0, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(filled[:, 8, 7:9], [[0, 0], [0, 0], [1, 1]], atol=1e-6)
    np.testing.assert_allclose(filled[:, 8, 6].sum(), 1, atol=1e-5)


def test_fill_with_everything_or_nothing_valid() -> None:
    image = noise(16)
    for valid in (torch.ones(16, 16, dtype=torch.bool), torch.zeros(16, 16, dtype=torch.bool)):
        np.testing.assert_array_equal(fill(image, valid), image)


def test_result_fills_what_no_face_uses_and_what_no_view_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outer box on the left of the texture, one inside of it, blue, farther to the right."""
    monkeypatch.setattr("texopt.render.reached.COVERAGE_SIZE", 512)
    outer, inner = trimesh.creation.box(), trimesh.creation.box((0.2, 0.2, 0.2))
    lines = [f"v {x} {y} {z}" for x, y, z in [*outer.vertices, *inner.vertices]]
    lines += ["vt 0.05 0.3", "vt 0.35 0.3", "vt 0.35 0.7", "vt 0.05 0.7", "vt 0.6 0.4", "vt 0.7 0.4", "vt 0.7 0.6"]
    for offset, (a, b, c, d) in ((1, (1, 2, 3, 4)), (9, (5, 6, 7, 7))):
        for index, (i, j, k) in enumerate(outer.faces + offset):
            lines.append(f"f {i}/{a} {j}/{b} {k}/{c}" if index % 2 else f"f {i}/{a} {j}/{c} {k}/{d}")
    mesh = load_mesh(write(tmp_path / "a.obj", "\n".join(lines)))
    red = torch.tensor([0.8, 0.2, 0.2])[:, None, None].expand(3, 64, 64).clone()
    red[:, :, 26:] = torch.tensor([0.1, 0.1, 0.9])[:, None, None]
    image = Result(mesh, texopt.PixelTexture(64, start=red), []).image
    assert bool((image[0] > 0.79).all())
    assert bool((image[2] < 0.21).all())


@st.composite
def textured_objs(draw: st.DrawFn) -> str:
    """Small meshes whose corners all have UVs: polygons, groups, negative indices, normals here and there."""
    number = st.floats(-1e4, 1e4).map(lambda x: round(x, 4))
    unit = st.floats(0, 1)
    rows = {
        "v": draw(st.lists(st.tuples(number, number, number), min_size=3, max_size=6)),
        "vt": draw(st.lists(st.tuples(unit, unit), min_size=1, max_size=6)),
        "vn": draw(st.lists(st.tuples(number, number, number), min_size=1, max_size=3)),
    }
    lines = [" ".join([key, *map(repr, row)]) for key, some in rows.items() for row in some]
    for polygon in range(draw(st.integers(1, 3))):
        lines += draw(st.sampled_from([[], ["g a  b"], [f"usemtl m {polygon}"], ["s 1", "# x"]]))
        keys = draw(st.sampled_from([("v", "vt"), ("v", "vt", "vn")]))
        corners = []
        for _ in range(draw(st.integers(3, 4))):
            indices = [draw(st.integers(1, len(rows[key]))) for key in keys]
            relative = draw(st.booleans())
            corners.append(
                "/".join(str(i - len(rows[k]) - 1 if relative else i) for i, k in zip(indices, keys, strict=True))
            )
        lines.append("f " + " ".join(corners))
    return "\n".join(lines) + "\n"


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # files shrink slowly
@given(textured_objs())
def test_export_then_reload_is_the_identity(text: str) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("texopt.io.unwrapping.unwrap.report_uvs", lambda *_: None)  # of such layouts there is much to say
        try:
            mesh = load_mesh(write(Path(name, "a.obj"), text))
        except texopt.MeshError:
            assume(False)  # no area
        export(mesh, noise(8), Path(name, "b.obj"))
        again = load_mesh(Path(name, "b.obj"))
    for field in ("vertices", "faces", "uvs", "face_uvs", "normals", "face_normals"):
        np.testing.assert_array_equal(getattr(again, field), getattr(mesh, field), err_msg=field)
    np.testing.assert_array_equal(again.maps[0].original, (noise(8) * 255).round().byte().permute(1, 2, 0))


def test_a_texture_is_not_written_over_the_meshs_own(tmp_path: Path) -> None:
    """Under whatever name it would be written: as given, or as one tile of a set."""
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "skin.PNG", "PNG")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.PNG\n")
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"))
    before = (tmp_path / "skin.PNG").read_bytes()
    with pytest.raises(OutputError, match="would overwrite"):
        export(mesh, noise(), tmp_path / "skin.PNG")
    assert (tmp_path / "skin.PNG").read_bytes() == before


def test_a_bilinear_look_up_at_the_edge_of_a_chart_meets_no_fill() -> None:
    """The texel beside a chart's last one is part of what views see, and is not filled over."""
    mesh = make_cube()
    texture = texopt.PixelTexture(64, start=noise())
    image = Result(mesh, texture, []).image
    used = covered(mesh.uvs, mesh.face_uvs, 64, 64)
    beside = (torch.nn.functional.max_pool2d(used[None].float(), 3, 1, 1)[0] > 0) & ~used
    kept = (image == texture.bake().detach()).all(0)
    assert kept[used].all()
    assert kept[beside].float().mean() > 0.5


@pytest.mark.parametrize("ending", ["obj", "glb"])
@pytest.mark.parametrize(("size", "offset"), [(1e-3, 1e5), (1.0, 3e6), (1.0, 5.0)])
def test_what_stands_far_away_keeps_its_shape(tmp_path: Path, ending: str, size: float, offset: float) -> None:
    """float32 would take steps of a quarter of a metre three thousand kilometres from the origin."""
    mesh = make_cube()
    far = replace(mesh, vertices=mesh.vertices * size + np.array([offset, -offset, 2 * offset]))
    export(far, noise(8), tmp_path / f"a.{ending}")
    again = load_mesh(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(again.vertices[again.faces], far.vertices[far.faces], atol=1e-5 * size + 1e-15 * offset)
