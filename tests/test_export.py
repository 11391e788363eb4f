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
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import texopt
from texopt import Mesh, OptionError, OutputError, TextureMap, load_mesh
from texopt.cameras import fixed_views
from texopt.export import export
from texopt.export.atlas import fill
from texopt.images import load_image, to_tensor
from texopt.obj import ObjFile
from texopt.render import look_up, rasterize
from texopt.result import Result

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
MTL = "newmtl dark red\nKd 1 0 0\nnewmtl blue\nmap_Kd skin.png\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.original.SIZE", 128)
    monkeypatch.setattr("texopt.result.COVERAGE_VIEWS", 12)
    monkeypatch.setattr("texopt.result.COVERAGE_SIZE", 128)


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
    seeds = (torch.Generator().manual_seed(index) for index in mesh.painted)
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
    monkeypatch.setattr("texopt.result.COVERAGE_SIZE", 512)
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
        patch.setattr("texopt.unwrap.report_uvs", lambda *_: None)  # of such layouts there is much to say
        try:
            mesh = load_mesh(write(Path(name, "a.obj"), text))
        except texopt.MeshError:
            assume(False)  # no area
        export(mesh, noise(8), Path(name, "b.obj"))
        again = load_mesh(Path(name, "b.obj"))
    for field in ("vertices", "faces", "uvs", "face_uvs", "normals", "face_normals"):
        np.testing.assert_array_equal(getattr(again, field), getattr(mesh, field), err_msg=field)
    np.testing.assert_array_equal(again.maps[0].original, (noise(8) * 255).round().byte().permute(1, 2, 0))
