"""load_mesh: every format, the original texture, what is kept, and what is said where something is wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from texopt import ImageError, Mesh, MeshError, TexoptError, load_mesh

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
MESHES = Path(__file__).parents[1] / "meshes"


@pytest.fixture(autouse=True)
def _small_atlas(small_originals: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="texopt")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "texopt"]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def picture(path: Path, size: tuple[int, int] = (6, 4), seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values


def quad(x: float = 0.0, image: Image.Image | None = None, factor: list[float] | None = None) -> trimesh.Trimesh:
    """A unit square at x, its whole texture on it, with normals that are not the faces' own."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, baseColorFactor=factor)
    return trimesh.Trimesh(
        np.pad(square, ((0, 0), (0, 1))) + np.array([x, 0, 0]), [[0, 1, 2], [0, 2, 3]], process=False,
        vertex_normals=np.tile([0, 0.6, 0.8], (4, 1)), visual=trimesh.visual.TextureVisuals(square, material=material),
    )  # fmt: skip


def glb(path: Path, *parts: trimesh.Trimesh) -> Path:
    return write(path, trimesh.Scene(list(parts)).export(file_type="glb", include_normals=True))


def at_faces(mesh: Mesh) -> np.ndarray:
    """The original textures' colours at the middle of every face, uint8 [F,3]."""
    colors = []
    for index, (u, v) in zip(mesh.face_map, mesh.uvs[mesh.face_uvs].mean(1) % 1, strict=True):
        image = mesh.maps[index].original
        colors.append(image[int((1 - v) * image.shape[0]), int(u * image.shape[1])])
    return np.array(colors)


def test_obj_keeps_everything(tmp_path: Path) -> None:
    values = picture(tmp_path / "my skin.png")
    write(tmp_path / "my lib.mtl", "newmtl a\nmap_Kd -s 1 1 1 -clamp on my skin.png\n")
    text = "mtllib my lib.mtl\n" + SQUARE + "v 9 9 9\nvn 0 0.6 0.8\nusemtl a\ng left\nf 1/1/1 2/2/-1 3/3/1 -2/4\n"
    mesh = load_mesh(write(tmp_path / "my square.obj", text))
    assert mesh.name == "my square"
    np.testing.assert_array_equal(mesh.vertices[:, 0], [0, 1, 1, 0, 9])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(mesh.face_uvs, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(mesh.uvs, [[0, 0], [1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(mesh.normals, [[0, 0.6, 0.8]])
    np.testing.assert_array_equal(mesh.face_normals, [[0, 0, 0], [0, 0, -1]])
    np.testing.assert_array_equal(mesh.maps[0].original, values)
    assert (mesh.vertices.dtype, mesh.faces.dtype, mesh.face_uvs.dtype) == (np.float64, np.int32, np.int32)
    assert mesh.own_uvs
    assert {file.name for file in mesh.files} == {"my square.obj", "my lib.mtl", "my skin.png"}


@pytest.mark.parametrize("name", ["creature", "teapot", "torus_knot"])
def test_meshes_that_come_with_texopt(name: str, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(str(MESHES / f"{name}.obj"))
    assert mesh.own_uvs
    np.testing.assert_array_equal(mesh.maps[0].original, np.asarray(Image.open(MESHES / f"{name}.png").convert("RGB")))
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("library", "texture", "where"),
    [
        ("m.mtl", "textures/skin.png", "textures/skin.png"),
        ("m.mtl", "textures\\skin.png", "textures/skin.png"),
        ("m.mtl", "C:\\Users\\me\\skin.png", "skin.png"),
        ("m.mtl", "/elsewhere/my skin.png", "my skin.png"),
        ("none.mtl m.mtl", "skin.png", "skin.png"),
        ("sub/m.mtl", "skin.png", "sub/skin.png"),
        ("sub/m.mtl", "sub/skin.png", "sub/skin.png"),
        ("sub\\m.mtl", "skin.png", "skin.png"),
    ],
)
def test_textures_are_found(tmp_path: Path, library: str, texture: str, where: str) -> None:
    values = picture(tmp_path / where)
    write(tmp_path / library.split()[-1].replace("\\", "/"), f"newmtl a\nmap_Kd {texture}\n")
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib {library}\n{SQUARE}usemtl a\n{FACE}"))
    np.testing.assert_array_equal(mesh.maps[0].original, values)


def test_missing_texture(tmp_path: Path) -> None:
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.png\n")
    with pytest.raises(ImageError, match=r"'a' names the texture 'skin\.png', which is not in .*; put it there"):
        load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"))


def test_texture_that_is_no_image(tmp_path: Path) -> None:
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.png\n")
    write(tmp_path / "skin.png", "text")
    with pytest.raises(ImageError, match=r"skin\.png is not an image"):
        load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"))


def test_missing_library_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"))
    np.testing.assert_array_equal(mesh.maps[0].original, [[[204, 204, 204]]])
    assert len(said(caplog)) == 1
    assert "m.mtl is missing" in said(caplog)[0]


def test_without_texture_the_material_has_the_colour(tmp_path: Path) -> None:
    write(tmp_path / "m.mtl", "newmtl a\nKd 1 0.5 0\n")
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"))
    np.testing.assert_array_equal(mesh.maps[0].original, [[[255, 128, 0]]])
    original = mesh.maps[0].original_at(8, 16)
    np.testing.assert_allclose(original[:, 3, 5], [1, 128 / 255, 0], atol=1e-6)
    assert original.shape == (3, 8, 16)


@pytest.mark.parametrize(("factor", "expected"), [(None, 255), ([0.0] * 3, 0), ([128 / 255] * 3, 188)])
def test_gltf_base_colours_are_linear(tmp_path: Path, factor: list[float] | None, expected: int) -> None:
    """glTF 2.0, 3.9.2: baseColorFactor is linear and white by default; 0.502 is 188 of 255 in sRGB."""
    color = None if factor is None else [*factor, 1.0]
    mesh = load_mesh(glb(tmp_path / "a.glb", quad(factor=color)))
    np.testing.assert_allclose(mesh.maps[0].original[0, 0].astype(int), expected, atol=1)


def test_materials_with_one_texture_share_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = picture(tmp_path / "skin.png")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.png\nnewmtl b\nmap_Kd skin.png\n")
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}usemtl b\n{FACE}"))
    np.testing.assert_array_equal(mesh.maps[0].original, values)
    assert mesh.own_uvs
    assert not any("atlas" in line for line in said(caplog))


def test_parts_of_a_glb_with_one_texture_share_it(tmp_path: Path) -> None:
    image = Image.fromarray(picture(tmp_path / "skin.png"))
    mesh = load_mesh(glb(tmp_path / "a.glb", quad(0, image), quad(2, image)))
    assert mesh.own_uvs
    np.testing.assert_array_equal(mesh.maps[0].original, np.asarray(image))


def solid_materials(tmp_path: Path, kind: str) -> Path:
    """Two squares on the same UVs: one half red and half blue (odd sides: no mip levels), the other plain green."""
    halves = Image.new("RGB", (75, 35), "red")
    halves.paste("blue", (0, 0, 75, 17))  # the upper half, v > 0.5
    if kind == "glb":
        return glb(tmp_path / "a.glb", quad(0, halves), quad(2, Image.new("RGB", (8, 8), (0, 255, 0))))
    halves.save(tmp_path / "halves.png")
    write(tmp_path / "m.mtl", "newmtl half and half\nmap_Kd halves.png\nnewmtl green\nKd 0 1 0\n")
    lower, upper = "v 2 0 0\nv 3 0 0\nv 3 1 0\nv 2 1 0\n", "f 5/1 6/2 7/3\nf 5/1 7/3 8/4\n"
    faces = f"usemtl half and half\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\nusemtl green\n{upper}"
    return write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}{lower}{faces}")


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_every_material_keeps_its_uvs_and_texture(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(solid_materials(tmp_path, kind))
    assert mesh.own_uvs
    assert [texture.original.shape[:2] for texture in mesh.maps] == [(35, 75), (1, 1) if kind == "obj" else (8, 8)]
    np.testing.assert_array_equal(mesh.face_map, [0, 0, 1, 1])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    np.testing.assert_array_equal(at_faces(mesh), [[255, 0, 0], [0, 0, 255], [0, 255, 0], [0, 255, 0]])
    assert said(caplog) == []


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_unwrapped_materials_become_one_atlas(tmp_path: Path, kind: str) -> None:
    mesh = load_mesh(solid_materials(tmp_path, kind), unwrap=True)
    assert not mesh.own_uvs
    assert [texture.name for texture in mesh.maps] == ["atlas"]
    assert mesh.maps[0].original.shape == (128, 128, 3)
    np.testing.assert_array_equal(at_faces(mesh), [[255, 0, 0], [0, 0, 255], [0, 255, 0], [0, 255, 0]])


def test_unwrap_on_demand_carries_the_texture_over(tmp_path: Path) -> None:
    halves = Image.new("RGB", (64, 64), "red")
    halves.paste("blue", (0, 0, 64, 32))
    halves.save(tmp_path / "skin.png")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.png\n")
    path = write(tmp_path / "a.obj", f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
    mesh = load_mesh(path, unwrap=True)
    assert not mesh.own_uvs
    np.testing.assert_array_equal(at_faces(mesh), [[255, 0, 0], [0, 0, 255]])


@pytest.mark.parametrize(
    ("face", "says"),
    [("f 1 2 3 4\n", "a.obj has no UVs"), ("f 1/1 2/2 3/3\nf 1 3 4\n", "a.obj has some faces without UVs")],
)
def test_missing_uvs_are_made_and_said(tmp_path: Path, face: str, says: str, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + face))
    assert not mesh.own_uvs
    assert mesh.face_uvs.shape == (2, 3)
    assert len(said(caplog)) == 1
    assert said(caplog)[0].startswith(says)
    assert "making them" in said(caplog)[0]


def test_uvs_outside_the_unit_square_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE.replace("vt 1", "vt 3.5") + FACE))
    assert mesh.own_uvs
    assert mesh.uvs.max() == 3.5
    assert len(said(caplog)) == 1
    assert "outside [0,1] (0.00 to 3.50)" in said(caplog)[0]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_uvs_that_are_not_finite_are_replaced(tmp_path: Path, value: str, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "skin.png")
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd skin.png\n")
    broken = SQUARE.replace("vt 0 1", f"vt 0 {value}")
    mesh = load_mesh(write(tmp_path / "a.obj", f"mtllib m.mtl\n{broken}usemtl a\n{FACE}"))
    assert not mesh.own_uvs
    assert np.isfinite(mesh.uvs).all()
    assert any("not finite" in line for line in said(caplog))


@pytest.mark.parametrize("ending", ["ply", "stl", "off", "glb", "gltf"])
def test_other_formats(tmp_path: Path, ending: str) -> None:
    box = trimesh.creation.box((1, 2, 3))
    if ending == "gltf":
        for name, data in trimesh.exchange.gltf.export_gltf(trimesh.Scene(box)).items():
            write(tmp_path / name.replace("model", "box"), data)
    else:
        box.export(tmp_path / f"box.{ending}")
    mesh = load_mesh(tmp_path / f"box.{ending}")
    assert len(mesh.vertices) == 8, "vertices stay shared, and those of STL become so"
    assert not mesh.own_uvs
    expected = box.triangles.reshape(12, 9)
    order = np.lexsort(expected.T), np.lexsort(mesh.vertices[mesh.faces].reshape(12, 9).T)
    np.testing.assert_allclose(mesh.vertices[mesh.faces].reshape(12, 9)[order[1]], expected[order[0]], atol=1e-6)
    if ending not in ("stl",):
        np.testing.assert_array_equal(mesh.faces, box.faces)


@pytest.mark.parametrize("size", [1e-9, 1e12])
def test_stl_vertices_merge_only_where_equal(tmp_path: Path, size: float) -> None:
    trimesh.creation.icosphere(1, radius=size).export(tmp_path / "a.stl")
    mesh = load_mesh(tmp_path / "a.stl")
    assert len(mesh.vertices) == 42
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), size, rtol=1e-5)


@pytest.mark.parametrize("ending", ["glb", "ply"])
def test_normals_of_a_file_are_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    quad().export(path, **({"include_normals": True} if ending == "glb" else {"vertex_normal": True}))
    mesh = load_mesh(path)
    assert mesh.normals is not None
    assert mesh.face_normals is not None
    np.testing.assert_allclose(mesh.normals[mesh.face_normals], np.broadcast_to([0, 0.6, 0.8], (2, 3, 3)), atol=1e-6)


def test_normals_are_not_invented(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "a.glb", include_normals=False)
    assert load_mesh(tmp_path / "a.glb").normals is None


def test_glb_texture_uvs_and_transforms(tmp_path: Path) -> None:
    image = Image.fromarray(picture(tmp_path / "skin.png"))
    turned = np.array([[0, 0, 2, 5], [0, 2, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 1]], float)
    scene = trimesh.Scene()
    scene.add_geometry(quad(0, image), transform=turned)
    mesh = load_mesh(write(tmp_path / "a.glb", scene.export(file_type="glb", include_normals=True)))
    np.testing.assert_allclose(mesh.vertices, [[5, 0, 0], [5, 0, -2], [5, 2, -2], [5, 2, 0]], atol=1e-6)
    np.testing.assert_allclose(mesh.uvs[mesh.face_uvs[0]], [[0, 0], [1, 0], [1, 1]], atol=1e-6)
    np.testing.assert_array_equal(mesh.maps[0].original, np.asarray(image))
    assert mesh.normals is not None
    np.testing.assert_allclose(mesh.normals[0], [0.8, 0.6, 0], atol=1e-6)


def test_gltf_knows_its_files(tmp_path: Path) -> None:
    values = picture(tmp_path / "my skin.png")
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene(quad(0, Image.fromarray(values))))
    document = json.loads(files.pop("model.gltf"))
    document["images"] = [{"uri": "my%20skin.png"}]
    for name, data in files.items():
        write(tmp_path / name, data)
    path = write(tmp_path / "a.gltf", json.dumps(document))
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.maps[0].original, values)
    used = {entry["uri"] for entry in document["buffers"]}
    assert {file.name for file in mesh.files} == {"a.gltf", "my skin.png", *used}
    (tmp_path / "my skin.png").unlink()
    with pytest.raises(ImageError, match=r"my skin\.png"):
        load_mesh(path)
    picture(tmp_path / "my skin.png")
    (tmp_path / min(used)).unlink()
    with pytest.raises(MeshError, match=min(used)):
        load_mesh(path)


def test_broken_gltf_is_not_taken_for_another(tmp_path: Path) -> None:
    """trimesh takes a file that is no JSON for an archive, and reads a model.gltf beside it."""
    for name, data in trimesh.exchange.gltf.export_gltf(trimesh.Scene(quad())).items():
        write(tmp_path / name, data)
    with pytest.raises(MeshError, match=r"broken\.gltf is not a valid GLTF file"):
        load_mesh(write(tmp_path / "broken.gltf", "{"))


def ply(vertices: str = "0 0 0\n1 0 0\n0 1 0\n", faces: str = "3 0 1 2\n") -> str:
    header = f"ply\nformat ascii 1.0\nelement vertex {vertices.count(chr(10))}\n"
    header += "property float x\nproperty float y\nproperty float z\n"
    header += f"element face {faces.count(chr(10))}\nproperty list uchar int vertex_indices\nend_header\n"
    return header + vertices + faces


NOISE = np.random.default_rng(0).integers(0, 256, 3000).astype(np.uint8).tobytes()
TRIANGLE = (
    "solid a\nfacet normal 0 0 1\nouter loop\nvertex {}\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
)
BROKEN: dict[str, tuple[str, str | bytes, str]] = {
    **{f"noise.{e}": (f"a.{e}", NOISE, "") for e in ("obj", "glb", "gltf", "ply", "stl", "off")},
    **{f"text.{e}": (f"a.{e}", "Hello\nI am text\n", "") for e in ("obj", "glb", "gltf", "ply", "stl", "off")},
    **{f"empty.{e}": (f"a.{e}", "", "") for e in ("obj", "glb", "gltf", "ply", "stl", "off")},
    "ending": ("a.xyzzy", SQUARE, "not a mesh format"),
    "no ending": ("mesh", SQUARE, "not a mesh format"),
    "no faces": ("a.obj", SQUARE + "l 1 2\n", "no faces"),
    "points": ("a.ply", ply(faces=""), "no faces"),
    "nan": ("a.obj", SQUARE.replace("v 1 0 0", "v nan 0 0") + FACE, "not finite"),
    "infinity": ("a.obj", SQUARE.replace("v 1 0 0", "v 1 -inf 0") + FACE, "not finite"),
    "nan.ply": ("a.ply", ply("0 0 0\n1 0 nan\n0 1 0\n"), "not finite"),
    "nan.stl": ("a.stl", TRIANGLE.format("nan 0 0"), "not finite"),
    "no area": (
        "a.obj",
        SQUARE + "f 1/1 2/2 2/3\nf 3/1 3/2 3/3\n",
        "has no area: the corners of each of its 2 triangles lie on one line (the first in line 9); check its scale",
    ),
    "no size": ("a.ply", ply("1 2 3\n1 2 3\n1 2 3\n"), "its 1 triangles lie in one point; check"),
    "a line that is not exact": (
        "a.obj",
        "v 0 0 0\nv 0.1 0.2 0.3\nv 0.2 0.4 0.6\nf 1 2 3\n",
        "lie on one line (the first in line 4)",
    ),
    "a line as float32": ("a.obj", "v 0 0 0\nv 0.333333 0.666667 1\nv 1 2 3\nf 1 2 3\n", "lie on one line"),
    "zero index": ("a.obj", SQUARE + "f 0 1 2\n", "names vertex 0"),
    "index out of range": ("a.obj", SQUARE + "f 1 2 9\n", "f names vertex 9, and there are 4"),
    "ply index out of range": ("a.ply", ply(faces="3 0 1 7\n"), "out of range"),
    "negative ply index": ("a.ply", ply(faces="3 0 1 -1\n"), "out of range"),
    "off index out of range": ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "index"),
    "number": ("a.obj", SQUARE + "v 1 2 three\n" + FACE, "v needs three numbers (x y z), not 'v 1 2 three'"),
    "ply number": ("a.ply", ply("0 0 0\n1 zero 0\n0 1 0\n"), "line 11: 'zero' is no number"),
    "too large": ("a.obj", SQUARE.replace("v 1 1 0", "v 1e300 1e300 0") + FACE, "too large"),
}


@pytest.mark.parametrize(("name", "data", "says"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, name: str, data: str | bytes, says: str) -> None:
    with pytest.raises(MeshError) as caught:
        load_mesh(write(tmp_path / name, data))
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert says in message
    assert "\n" not in message
    for nonsense in ("No module named", "model.gltf", "Traceback"):
        assert nonsense not in message


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"none\.obj does not exist; check the path"):
        load_mesh(tmp_path / "none.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(MeshError, match=r"folder\.obj is a directory; give"):
        load_mesh(tmp_path / "folder.obj")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.999])
def test_truncated_glb(tmp_path: Path, share: float) -> None:
    data = glb(tmp_path / "a.glb", quad(0, Image.new("RGB", (4, 4)))).read_bytes()
    with pytest.raises(TexoptError, match=r"a\.glb is not a valid GLB file"):
        load_mesh(write(tmp_path / "a.glb", data[: int(share * len(data))]))


def test_glb_with_an_index_out_of_range(tmp_path: Path) -> None:
    """glTF indices lie in the binary chunk, which no parser checks."""
    data = glb(tmp_path / "a.glb", quad()).read_bytes()
    indices = np.array([0, 1, 2, 0, 2, 3], np.uint32).tobytes()
    assert data.count(indices) == 1
    broken = np.array([0, 1, 2, 0, 2, 77], np.uint32).tobytes()
    with pytest.raises(MeshError, match="out of range"):
        load_mesh(write(tmp_path / "a.glb", data.replace(indices, broken)))


def test_unused_vertices_may_be_anything(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", SQUARE + "v nan inf 1e9\n" + FACE))
    center, radius = mesh.normalization()
    np.testing.assert_allclose(center, [0.5, 0.5, 0])
    assert radius == pytest.approx(0.5**0.5)
    np.testing.assert_allclose(np.linalg.norm(mesh.unit_vertices()[:4], axis=1), 1, rtol=1e-6)
    assert repr(mesh) == "Mesh('a', 2 triangles, original 1x1)"
