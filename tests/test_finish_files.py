"""Finishes in files: what is exported is read back, and what else a material has stays."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from gltf_builder import Builder, encoded, packed, picture, unpacked, values_of
from PIL import Image
from torch import Tensor

import texopt
from texopt import Mesh, MeshError, OptionError, OutputError, TextureMap, load_mesh
from texopt.io import finish_maps
from texopt.io.describe import inspect
from texopt.io.export import export, model_files
from texopt.io.finish_maps import looks_like_normals, number_of, strengthened
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish, directx, even, no_relief
from texopt.mesh.normals import face_normals
from texopt.mesh.tangents import corner_tangents, tangents

pytestmark = pytest.mark.usefixtures("small_originals")

FACE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3 4/4\n"


def relief(seed: int = 0, size: int = 8) -> np.ndarray:
    """A normal map uint8 [size,size,3]."""
    vectors = np.random.default_rng(seed).normal(size=(size, size, 3)) * (0.4, 0.4, 0) + (0, 0, 1)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(((unit + 1) * 127.5).round().astype(np.uint8))


def finish(seed: int = 0, **changed: Any) -> Finish:
    """One with all maps, of sizes of their own."""
    rng = np.random.default_rng(seed)
    maps = {name: rng.integers(0, 256, (8, 8), np.uint8) for name in ("roughness", "metallic")}
    made = Finish(relief(seed), maps["roughness"], maps["metallic"], rng.normal(size=(16, 4)).astype(np.float32))
    return replace(made, **changed)


def cube(count: int = 1, **changed: Any) -> Mesh:
    """A cube with the normals of its faces, of some materials."""
    mesh = make_cube()
    corners = np.arange(len(mesh.faces) * 3).reshape(-1, 3)
    normals = np.repeat(face_normals(mesh.vertices, mesh.faces), 3, 0)
    mesh = replace(mesh, normals=normals, face_normals=corners)
    maps = tuple(TextureMap(np.full((1, 1, 3), 200, np.uint8), f"m{index}") for index in range(count))
    part = (np.arange(len(mesh.faces)) * count // len(mesh.faces)).astype(np.int32)
    names = tuple(texture.name for texture in maps)
    made = replace(mesh, maps=maps, face_map=part, materials=names, face_material=part, source=None, files=())
    return replace(made, **changed)


def noise(mesh: Mesh) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, 8, 8, generator=generator) for _ in mesh.maps]


def same(a: Finish | None, b: Finish | None) -> None:
    assert a is not None
    assert b is not None
    for name in ("normal", "roughness", "metallic"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("ending", ["glb", "obj"])
@pytest.mark.parametrize(
    "made",
    [
        finish(), Finish(), finish(1, roughness=even(0.3)), finish(2, roughness=even(0.25), metallic=even(1)),
        finish(3, normal=no_relief()), finish(4, metallic=even(0)),
    ],
    ids=["all", "default", "one roughness", "relief", "no relief", "no metal"],
)  # fmt: skip
def test_what_is_exported_is_read_back(made: Finish, ending: str, tmp_path: Path) -> None:
    mesh = cube()
    written = export(mesh, noise(mesh), tmp_path / f"a.{ending}", finishes=[made])
    assert {*written} <= {*model_files(mesh, tmp_path / f"a.{ending}", relief=True)}
    found = load_mesh(tmp_path / f"a.{ending}").maps[0].finish
    assert found is not None
    for name in ("normal", "roughness", "metallic"):
        wanted, read = getattr(made, name), getattr(found, name)
        np.testing.assert_array_equal(np.broadcast_to(wanted, read.shape), read)
        assert wanted.shape == read.shape or ending == "glb"  # whose texture has both roughness and metal


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_again_and_again(ending: str, tmp_path: Path) -> None:
    """A document that came in gets new finishes in the place of its own, and keeps its own without new ones."""
    path, second, third = (tmp_path / folder / f"a.{ending}" for folder in "xyz")
    mesh = cube(2)
    export(mesh, noise(mesh), path, finishes=[finish(0), finish(1)])
    mesh = load_mesh(path)
    export(mesh, noise(mesh), second, finishes=[finish(2), None])
    again = load_mesh(second)
    same(again.maps[0].finish, finish(2))
    same(again.maps[1].finish, finish(1))
    export(again, noise(again), third)
    for before, after in zip(again.maps, load_mesh(third).maps, strict=True):
        same(before.finish, after.finish)
    if ending == "obj":
        lines = second.with_suffix(".mtl").read_text().splitlines()
        assert len([line for line in lines if line.startswith("norm ")]) == 2
    else:
        document = unpacked(second)[0]
        assert len(document["images"]) == 6


def test_the_files_beside_an_obj(tmp_path: Path) -> None:
    mesh, made = cube(), finish(metallic=even(0))
    export(mesh, noise(mesh), tmp_path / "a.obj", finishes=[made], normals="directx")
    names = {"a.obj", "a.mtl", "a.png", "a_normal.png", "a_roughness.png", "a_height.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a_normal.png")), directx(made.normal))
    height = np.asarray(Image.open(tmp_path / "a_height.png")).astype(float)
    assert made.height is not None
    np.testing.assert_allclose(height / 32767.5 - 1, made.height / np.abs(made.height).max(), atol=2e-5)
    lines = (tmp_path / "a.mtl").read_text().splitlines()
    assert lines[-5:] == ["norm a_normal.png", "map_bump a_normal.png", "Pr 1", "map_Pr a_roughness.png", "Pm 0"]


def test_a_number_is_as_short_as_it_can_be() -> None:
    assert number_of(even(0.9)) == "0.9"
    for value in range(256):
        assert even(float(number_of(np.array([[value]], np.uint8))))[0, 0] == value


def test_pictures_alone(tmp_path: Path) -> None:
    mesh = cube(2)
    export(mesh, noise(mesh), tmp_path / "a.png", finishes=[finish(), Finish()])
    kinds = ("normal", "roughness", "metallic", "height")
    assert {path.name for path in tmp_path.iterdir()} == {"a_m0.png", "a_m1.png"} | {f"a_m0_{x}.png" for x in kinds}
    (tmp_path / "one").mkdir()
    export(cube(), noise(mesh)[0], tmp_path / "one" / "A.PNG", finishes=[finish(1)])
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"A.PNG"} | {f"A_{kind}.png" for kind in kinds}


def test_names_that_are_taken(tmp_path: Path) -> None:
    mesh = cube(3)
    names = ("x", "x_normal", "X_Height")
    maps = tuple(replace(texture, name=name) for texture, name in zip(mesh.maps, names, strict=True))
    mesh = replace(mesh, maps=maps, materials=names)
    finishes = [finish(seed) for seed in range(3)]
    files = export(mesh, noise(mesh), tmp_path / "a.obj", finishes=finishes)
    lowered = [file.name.lower() for file in files]
    assert len({*lowered}) == len(lowered) == 2 + 3 * 5
    for texture, made in zip(load_mesh(tmp_path / "a.obj").maps, finishes, strict=True):
        same(texture.finish, made)


def test_sources_are_not_overwritten(tmp_path: Path) -> None:
    Image.fromarray(relief()).save(tmp_path / "a_normal.png")
    (tmp_path / "m.mtl").write_text("newmtl a\nnorm a_normal.png\n")
    (tmp_path / "b.obj").write_text("mtllib m.mtl\n" + FACE)
    mesh = load_mesh(tmp_path / "b.obj")
    with pytest.raises(OutputError, match=r"overwrite .*a_normal\.png, which the mesh came from"):
        export(mesh, noise(mesh), tmp_path / "a.png", finishes=[finish()])
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"finishes": [Finish(), Finish()]}, "finishes are one a map or none at all: 1, not 2"),
        ({"finishes": [finish()], "normals": "opengles"}, "normals are opengl or directx, not 'opengles'"),
    ],
)
def test_errors_are_one_line(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    mesh = cube()
    with pytest.raises(OptionError) as error:
        export(mesh, noise(mesh), tmp_path / "a.obj", **options)
    assert str(error.value) == words
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("normal", np.zeros((4, 4, 4), np.uint8), "uint8 [h,w,3] (NumPy), not uint8 (4, 4, 4)"),
        ("normal", np.zeros((4, 4, 3)), "uint8 [h,w,3] (NumPy), not float64 (4, 4, 3)"),
        ("normal", torch.zeros(4, 4, 3), "uint8 [h,w,3] (NumPy), not Tensor"),
        ("roughness", 0.5, "uint8 [h,w] (NumPy), not float"),
        ("metallic", np.zeros((0, 4), np.uint8), "uint8 [h,w] (NumPy), not uint8 (0, 4)"),
        ("height", [[0.0]], "float32 [h,w] (NumPy), not list"),
        ("height", np.zeros((4, 4), np.uint8), "float32 [h,w] (NumPy), not uint8 (4, 4)"),
        ("height", np.float32([[0, np.nan]]), "finite; it has NaN or infinity"),
    ],
)
def test_a_finish_is_checked(name: str, values: Any, words: str) -> None:
    with pytest.raises(MeshError) as error:
        texopt.Finish(**{name: values})
    assert str(error.value) == f"{name} of a finish has to be {words}"


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_normals_that_are_written_point_outward(ending: str, tmp_path: Path) -> None:
    """So that z is what x and y say: the square root of what they leave of 1."""
    vectors = np.random.default_rng(0).normal(size=(16, 16, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[0, :3] = (0, 0, -1), (1, 0, 0), (0, -1, -1)
    made = Finish(((vectors + 1) * 127.5).round().astype(np.uint8))
    mesh = cube()
    export(mesh, noise(mesh), tmp_path / f"a.{ending}", finishes=[made])
    found = load_mesh(tmp_path / f"a.{ending}").maps[0].finish if ending == "glb" else None
    values = found.normal if found else np.asarray(Image.open(tmp_path / "a_normal.png"))
    kept = made.normal[..., 2] >= 128
    np.testing.assert_array_equal(values[kept], made.normal[kept])
    assert (values[..., 2] >= 128).all()
    x, y, z = np.moveaxis(values / 127.5 - 1, -1, 0)
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1, atol=0.02)
    went = made.normal[~kept][:, :2] / 127.5 - 1
    cosine = (went * np.stack([x, y], -1)[~kept]).sum(-1) / np.linalg.norm(went, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=0.01)


def test_what_a_file_has_of_finishes_is_described(tmp_path: Path) -> None:
    mesh = cube(2)
    finishes = [finish(metallic=even(0.2)), Finish()]
    export(mesh, noise(mesh), tmp_path / "a.obj", finishes=finishes)
    heads, rows = inspect(tmp_path / "a.obj")["finish"]
    assert heads == ("material", "normal", "roughness", "metallic")
    assert rows == [("m0", "8x8 map", "8x8 map", "0.2"), ("m1", "none", "0.9", "0")]
    export(mesh, noise(mesh), tmp_path / "b.glb", finishes=finishes)
    assert inspect(tmp_path / "b.glb")["finish"][1][1] == rows[1]
    assert "finish" not in inspect(quad(tmp_path / "plain", "Kd 1 0 0\n"))


# glTF


def test_tangents_are_written_with_normals(tmp_path: Path) -> None:
    mesh = cube(2)
    export(mesh, noise(mesh), tmp_path / "a.glb", finishes=[finish(), Finish()])
    document, binary = unpacked(tmp_path / "a.glb")
    shown, plain = (entry["attributes"] for entry in document["meshes"][0]["primitives"])
    assert "TANGENT" in shown
    assert "TANGENT" not in plain
    values = values_of(document, binary, shown["TANGENT"])
    np.testing.assert_allclose(np.linalg.norm(values[:, :3], axis=1), 1, atol=1e-6)
    indices = values_of(document, binary, document["meshes"][0]["primitives"][0]["indices"])[:, 0]
    np.testing.assert_array_equal(values[indices], tangents(mesh)[mesh.face_map == 0].reshape(-1, 4))
    bare = replace(mesh, normals=None, face_normals=None)
    export(bare, noise(mesh), tmp_path / "b.glb", finishes=[finish(), None])
    assert "TANGENT" not in unpacked(tmp_path / "b.glb")[0]["meshes"][0]["primitives"][0]["attributes"]


def strip(tmp_path: Path, **extra: Any) -> Path:
    """Two quads that share an edge and whose UVs are mirrored there, with morph targets, an occlusion map and a
    texture transform."""
    builder = Builder()
    base, occlusion, normal = (builder.texture(encoded(picture(8, seed))) for seed in range(3))
    positions = np.float32([[x, y, 0.1 * x * y] for x in (0, 1, 2) for y in (0, 1)])
    uvs = np.float32([[1 - abs(x - 1), 1 - y] for x in (0, 1, 2) for y in (0, 1)])
    material = builder.material(base)
    turned = {"KHR_texture_transform": {"offset": [0.1, 0.2], "scale": [2, 2], "rotation": 0.3}}
    entry = builder.document["materials"][material]
    entry["pbrMetallicRoughness"]["baseColorTexture"] = {"index": base, "texCoord": 1, "extensions": turned}
    entry |= {"occlusionTexture": {"index": occlusion, "strength": 0.5}, "normalTexture": {"index": normal}} | extra
    up = np.tile(np.float32([0, 0, 1]), (6, 1))
    attributes = {
        "POSITION": builder.positions(positions), "NORMAL": builder.accessor(up),
        "TEXCOORD_0": builder.accessor(np.zeros((6, 2), np.float32)), "TEXCOORD_1": builder.accessor(uvs),
        "TANGENT": builder.accessor(np.tile(np.float32([0, 1, 0, 1]), (6, 1))), "_ID": builder.accessor(up[:, 0]),
    }  # fmt: skip
    target = {"POSITION": builder.positions(positions), "TANGENT": builder.accessor(up)}
    indices = builder.accessor(np.array([0, 2, 1, 1, 2, 3, 2, 4, 3, 3, 4, 5], np.uint16))
    primitive = {"attributes": attributes, "indices": indices, "material": material, "targets": [target]}
    builder.node(builder.mesh(primitive), scale=[-2, 1, 1])
    builder.document["extensionsUsed"] = ["KHR_texture_transform"]
    return builder.glb(tmp_path / "in.glb")


def test_a_document_gets_textures_and_tangents_and_keeps_the_rest(tmp_path: Path) -> None:
    mesh = load_mesh(strip(tmp_path))
    same(mesh.maps[0].finish, Finish())  # whose normal map is looked up elsewhere
    export(mesh, noise(mesh), tmp_path / "out.glb", finishes=[finish()])
    same(load_mesh(tmp_path / "out.glb").maps[0].finish, finish())
    document, binary = unpacked(tmp_path / "out.glb")
    (material,) = document["materials"]
    base = material["pbrMetallicRoughness"]["baseColorTexture"]
    for reference in (material["normalTexture"], material["pbrMetallicRoughness"]["metallicRoughnessTexture"]):
        assert {**reference, "index": 0} == {**base, "index": 0}
        assert reference["texCoord"] == 1
    assert material["occlusionTexture"]["strength"] == 0.5
    assert len(document["images"]) == 4
    (primitive,) = document["meshes"][0]["primitives"]
    attributes = primitive["attributes"]
    assert {*attributes} == {"POSITION", "NORMAL", "TEXCOORD_0", "TEXCOORD_1", "TANGENT", "_ID"}
    assert {*primitive["targets"][0]} == {"POSITION"}
    values = {name: values_of(document, binary, index) for name, index in attributes.items()}
    assert {len(each) for each in values.values()} == {8}  # the edge in the middle has two of each
    assert len(values_of(document, binary, primitive["targets"][0]["POSITION"])) == 8
    corners = values_of(document, binary, primitive["indices"]).reshape(-1, 3)
    angle = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    uvs = (2 * values["TEXCOORD_1"] @ angle.T + (0.1, 0.2)) * (1, -1) + (0, 1)
    wanted = corner_tangents(values["POSITION"][corners], values["NORMAL"][corners], uvs[corners])
    np.testing.assert_allclose(values["TANGENT"][corners], wanted, atol=1e-5)
    assert {*wanted[..., 3].flat} == {-1, 1}


def test_a_material_that_glows_is_lit_with_a_finish(tmp_path: Path) -> None:
    builder = Builder()
    texture = builder.texture(encoded(picture()))
    black = builder.material(factor=(0, 0, 0, 1), emissiveTexture={"index": texture}, emissiveFactor=[1, 1, 1])
    builder.node(builder.mesh(builder.quad() | {"material": black}))
    mesh = load_mesh(builder.glb(tmp_path / "in.glb"))
    export(mesh, noise(mesh), tmp_path / "out.glb", finishes=[finish()])
    (material,) = unpacked(tmp_path / "out.glb")[0]["materials"]
    assert "emissiveTexture" not in material
    assert "baseColorTexture" in material["pbrMetallicRoughness"]
    assert "baseColorFactor" not in material["pbrMetallicRoughness"]


def painted(tmp_path: Path, pbr: dict[str, Any] | None = None, **material: Any) -> Path:
    """A quad with a texture; textures 1 and 2 are a normal map, and roughness and metal. 3 is no image."""
    builder = Builder()
    for image in (encoded(picture()), encoded(relief()), encoded(picture(8, 5)), b"\x89PNG broken"):
        builder.texture(image)
    builder.add("samplers", {"wrapS": 33071})
    builder.add("textures", {"source": 1, "sampler": 0})
    entry = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}} | (pbr or {})} | material
    second = builder.accessor(np.zeros((4, 2), np.float32))
    builder.node(builder.mesh(builder.quad(TEXCOORD_1=second) | {"material": builder.add("materials", entry)}))
    builder.document["extensionsUsed"] = ["KHR_texture_transform", "KHR_materials_unlit"]
    return builder.glb(tmp_path / "in.glb")


ROUGH = {"metallicRoughnessTexture": {"index": 2}}
MOVED = {"extensions": {"KHR_texture_transform": {"offset": [0.5, 0]}}}


@pytest.mark.parametrize(
    ("pbr", "material", "wanted"),
    [
        ({}, {}, None),
        ({"roughnessFactor": 0.25}, {}, Finish(roughness=even(0.25), metallic=even(METALLIC))),
        ({"metallicFactor": 1}, {}, Finish(roughness=even(ROUGHNESS), metallic=even(1))),
        ({"metallicFactor": "much"}, {}, Finish()),
        (ROUGH, {}, Finish(roughness=picture(8, 5)[..., 1], metallic=picture(8, 5)[..., 2])),
        (ROUGH | {"metallicFactor": 0.0}, {}, Finish(roughness=picture(8, 5)[..., 1], metallic=even(0))),
        ({}, {"normalTexture": {"index": 1}}, Finish(relief())),
        ({}, {"normalTexture": {"index": 1, "scale": 0.5}}, Finish(strengthened(relief(), 0.5))),
        ({}, {"normalTexture": {"index": 1, "scale": []}}, Finish(relief())),
        ({}, {"normalTexture": {"scale": 1}}, None),
        (ROUGH, {"extensions": {"KHR_materials_unlit": {}}}, None),
    ],
)  # fmt: skip
def test_what_a_gltf_material_says(
    pbr: dict[str, Any], material: dict[str, Any], wanted: Finish | None, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    found = load_mesh(painted(tmp_path, pbr, **material)).maps[0].finish
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    if wanted is None:
        assert found is None
    else:
        same(found, wanted)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


PLACED = "image 1 is not looked up where the base colour is"


@pytest.mark.parametrize(
    ("normal", "why"),
    [
        ({"index": 1, "texCoord": 1}, PLACED), ({"index": 1} | MOVED, PLACED), ({"index": 4}, PLACED),
        ({"index": 3}, "image 3 of "),
    ],
)  # fmt: skip
def test_what_a_gltf_says_beside_a_map_that_cannot_be_used(
    normal: dict[str, Any], why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = load_mesh(painted(tmp_path, ROUGH, normalTexture=normal, name="skin")).maps[0].finish
    same(found, Finish(roughness=picture(8, 5)[..., 1], metallic=picture(8, 5)[..., 2]))
    (message,) = warnings_of(caplog)
    assert message.startswith(f"in.glb, skin: taken without its normalTexture: {why}")
    assert "\n" not in message
    assert load_mesh(painted(tmp_path, normalTexture=normal)).maps[0].finish is None


def test_the_factors_of_a_map_that_cannot_be_used_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    moved = {"metallicRoughnessTexture": {"index": 2} | MOVED, "roughnessFactor": 0.25}
    same(load_mesh(painted(tmp_path, moved, normalTexture={"index": 1})).maps[0].finish, Finish(relief(), even(0.25)))
    (message,) = warnings_of(caplog)
    assert message.startswith(
        "in.glb, a material: taken without its metallicRoughnessTexture: image 2 is not looked up"
    )


@pytest.mark.parametrize("again", [True, False])
def test_an_unlit_material_is_lit_with_a_finish(again: bool, tmp_path: Path) -> None:
    """The extension is taken from its material, and from the document where no other has it."""
    path = painted(tmp_path, extensions={"KHR_materials_unlit": {}}, name="painted")
    document, binary = unpacked(path)
    if again:
        document["materials"].append({"name": "other", "extensions": {"KHR_materials_unlit": {}}})
    document["extensionsUsed"] = ["KHR_materials_unlit"]
    path.write_bytes(packed(document, binary))
    mesh = load_mesh(path)
    export(mesh, noise(mesh), tmp_path / "lit.glb", finishes=[finish()])
    document, _ = unpacked(tmp_path / "lit.glb")
    assert "extensions" not in document["materials"][0]
    assert document.get("extensionsUsed", []) == ["KHR_materials_unlit"] * again
    same(load_mesh(tmp_path / "lit.glb").maps[0].finish, finish())
    for name, options in (("unlit", {"unlit": True, "finishes": [finish()]}), ("plain", {})):
        export(mesh, noise(mesh), tmp_path / f"{name}.glb", **options)
        document, _ = unpacked(tmp_path / f"{name}.glb")
        assert document["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
        assert document["extensionsUsed"] == ["KHR_materials_unlit"]


def test_a_slope_is_scaled() -> None:
    normal = relief(size=16)
    vectors = normal / 127.5 - 1
    doubled = strengthened(normal, 2.0) / 127.5 - 1
    np.testing.assert_allclose(doubled[..., :2] / doubled[..., 2:], 2 * vectors[..., :2] / vectors[..., 2:], atol=0.1)
    assert strengthened(normal, 1.0) is normal


# OBJ


def quad(folder: Path, mtl: str, **images: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in images.items():
        Image.fromarray(values).save(folder / f"{name}.png")
    (folder / "m.mtl").write_text(f"newmtl a\n{mtl}")
    (folder / "a.obj").write_text("mtllib m.mtl\n" + FACE)
    return folder / "a.obj"


GREY = np.tile(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), (1, 1, 3)) + np.uint8(190)


@pytest.mark.parametrize(
    ("mtl", "wanted"),
    [
        ("Kd 1 0 0\n", None),
        ("Pr 0.25\n", Finish(roughness=even(0.25))),
        ("Pr many\nPm nan\n", None),
        ("Pm 7\n", Finish(metallic=even(1))),
        ("norm n.png\n", Finish(relief())),
        ("map_Bump -bm 0.5 n.png\n", Finish(strengthened(relief(), 0.5))),
        ("bump h.png\n", None),
        ("bump h.png\nnorm n.png\nPr 0.5\nmap_Pr h.png\n", Finish(relief(), GREY[..., 0])),
        ("map_Kd -s 0.5 0.5 1 c.png\nnorm -s 0.5 0.5 1 n.png\n", Finish(relief())),
        ("map_Pm h.png\nmap_Kd c.png\n", Finish(metallic=GREY[..., 0])),
    ],
)
def test_what_an_mtl_says(mtl: str, wanted: Finish | None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = load_mesh(quad(tmp_path, mtl, n=relief(), h=GREY, c=picture())).maps[0].finish
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    if wanted is None:
        assert found is None
    else:
        same(found, wanted)


@pytest.mark.parametrize("named", ["none.png", "broken.png"])
def test_a_map_that_cannot_be_read_is_told_and_left_out(
    named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = quad(tmp_path, f"norm {named}\nmap_Bump {named}\n")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    assert load_mesh(path).maps[0].finish is None
    (message,) = caplog.messages
    assert message.startswith("a.obj, a: taken without its norm: ")
    assert named in message


@pytest.mark.parametrize(
    ("mtl", "wanted", "message"),
    [
        ("norm none.png\nPm 1\nPr 0.2\n", Finish(roughness=even(0.2), metallic=even(1)), "norm: 'none.png' is not in "),
        ("map_Pr none.png\nnorm n.png\nPr 0.2\n", Finish(relief(), even(0.2)), "map_Pr: 'none.png' is not in "),
        (
            "map_Kd c.png\nnorm -s 2 2 1 n.png\nPm 1\n",
            Finish(metallic=even(1)),
            "norm: n.png is not placed as map_Kd is",
        ),
        ("map_Kd -clamp on c.png\nnorm n.png\nPm 1\n", Finish(metallic=even(1)), "norm: n.png is not placed as "),
        ("norm h.png\nPr 0.5\n", Finish(roughness=even(0.5)), "norm: h.png is no normal map, which is mostly blue"),
        ("norm deep.png\nPr 0.5\n", Finish(roughness=even(0.5)), "norm: deep.png is no normal map"),
        ("norm h.png\nbump n.png\n", Finish(relief()), "norm: h.png is no normal map, which is mostly blue"),
    ],
    ids=["missing", "missing roughness", "scaled", "clamped", "grey", "16 bits", "bump"],
)
def test_what_an_mtl_says_beside_a_map_that_cannot_be_used(
    mtl: str, wanted: Finish, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = {"n": relief(), "h": GREY, "c": picture(), "deep": GREY[..., 0].astype(np.uint16) * 200}
    same(load_mesh(quad(tmp_path, mtl, **images)).maps[0].finish, wanted)
    (told,) = warnings_of(caplog)
    assert told.startswith(f"a.obj, a: taken without its {message}")


def test_an_image_that_cannot_be_read_is_tried_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = quad(tmp_path, "norm n.png\nnewmtl b\nnorm n.png\nmap_Pr n.png\n")
    path.write_text(path.read_text() + "usemtl b\nf 1/1 2/2 3/3\n")
    (tmp_path / "n.png").write_bytes(b"none")
    tried: list[Any] = []
    load = finish_maps.load_map
    monkeypatch.setattr(finish_maps, "load_map", lambda *given: (tried.append(given), load(*given))[1])
    load_mesh(path)
    assert len(tried) == 1
    assert len([message for message in warnings_of(caplog) if "taken without its norm" in message]) == 2


def test_normals_are_told_from_heights() -> None:
    flat = np.full((8, 8, 3), no_relief()[0, 0])
    assert looks_like_normals(flat)
    assert looks_like_normals(relief())
    baked = np.zeros((32, 32, 3), np.uint8)
    baked[:8, :8] = relief()
    assert looks_like_normals(baked)
    for other in (GREY, np.zeros_like(flat), np.full_like(flat, 255), directx(relief())[..., ::-1]):
        assert not looks_like_normals(other)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("disp a_height.png", "a_height"), ("norm -s 2 2 1 a_normal.png", "a_normal"),
        ("bump a_height.png", "a_height"), ("norm a_normal.png\nnewmtl unused\nmap_Ks a_roughness.png", "a_roughness"),
    ],
)  # fmt: skip
def test_all_files_that_an_mtl_names_are_sources(line: str, name: str, tmp_path: Path) -> None:
    path = quad(tmp_path, line + "\n", **{name: GREY})
    before = (tmp_path / f"{name}.png").read_bytes()
    mesh = load_mesh(path)
    assert mesh.files == (path, tmp_path / "m.mtl", tmp_path / f"{name}.png")
    with pytest.raises(OutputError, match=rf"overwrite .*{name}\.png, which the mesh came from"):
        export(mesh, noise(mesh), tmp_path / "a.png", finishes=[finish()])
    assert (tmp_path / f"{name}.png").read_bytes() == before


def test_files_that_cannot_be_read_are_sources(tmp_path: Path) -> None:
    path = quad(tmp_path, f"norm x/n.png\nmap_Pr r.<UDIM>.png\ndisp {'l' * 300}/n.png\nmap_Ks {'l' * 9999}.png\n")
    for name in ("n.png", "r.1001.png", "r.1012.png"):
        (tmp_path / name).write_bytes(b"none")
    found = {file.name for file in load_mesh(path).files}
    assert found == {"a.obj", "m.mtl", "n.png", "r.1001.png", "r.1012.png"}


def test_where_maps_are_looked_up_stays(tmp_path: Path) -> None:
    mesh = load_mesh(quad(tmp_path / "in", "map_Kd -s 2 2 1 -o 0.5 0 0 c.png\nmap_Ks c.png\n", c=picture()))
    (tmp_path / "out").mkdir()
    export(mesh, noise(mesh), tmp_path / "out" / "b.obj", finishes=[finish()])
    lines = (tmp_path / "out" / "b.mtl").read_text()
    assert "norm -s 2 2 1 -o 0.5 0 0 b_normal.png" in lines
    assert "map_Ks c.png" in lines
    same(load_mesh(tmp_path / "out" / "b.obj").maps[0].finish, finish())


def test_materials_that_share_a_texture_and_differ_in_finish(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = quad(tmp_path, "map_Kd c.png\nPr 0.5\nnewmtl b\nmap_Kd c.png\nPr 0.6\n", c=picture())
    path.write_text(path.read_text() + "usemtl b\nf 1/1 2/2 3/3\n")
    (texture,) = load_mesh(path).maps
    same(texture.finish, Finish(roughness=even(0.5)))
    message = warnings_of(caplog)[-1]
    assert message == "a.obj: a, b share a texture and differ in roughness; what a has is taken for all of them"
    caplog.clear()
    path.with_name("m.mtl").write_text(path.with_name("m.mtl").read_text().replace("0.6", "0.5"))
    (texture,) = load_mesh(path).maps
    same(texture.finish, Finish(roughness=even(0.5)))
    assert not [message for message in warnings_of(caplog) if "differ" in message]


def test_one_of_several_materials_with_a_finish(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = quad(tmp_path, "map_Kd c.png\nnewmtl b\nmap_Kd c.png\nnorm n.png\nPm 1\n", c=picture(), n=relief())
    path.write_text(path.read_text() + "usemtl b\nf 1/1 2/2 3/3\n")
    (texture,) = load_mesh(path).maps
    same(texture.finish, Finish(relief(), metallic=even(1)))
    assert warnings_of(caplog)[-1].endswith("differ in normal, metallic; what b has is taken for all of them")


def test_tiles(tmp_path: Path) -> None:
    """Where one tile of a set has a new finish, all have files."""
    source = tmp_path / "in"
    source.mkdir()
    for tile in (1001, 1002, 1003):
        Image.fromarray(picture(8, tile)).save(source / f"c.{tile}.png")
    (source / "m.mtl").write_text("newmtl a\nmap_Kd c.<UDIM>.png\n")
    corners = [f"vt {u + x} {y}" for u in range(3) for x, y in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9))]
    faces = [f"f 1/{3 * u + 1} 2/{3 * u + 2} 3/{3 * u + 3}" for u in range(3)]
    text = ["mtllib m.mtl", "v 0 0 0", "v 1 0 0", "v 1 1 0", *corners, "usemtl a", *faces]
    (source / "a.obj").write_text("\n".join(text) + "\n")
    mesh = load_mesh(source / "a.obj", skip=["a.1003"])
    files = export(mesh, noise(mesh), tmp_path / "out" / "b.obj", finishes=[finish(), None, None])
    assert tmp_path / "out" / "b_a_normal.1001.png" in files
    assert "norm b_a_normal.<UDIM>.png" in (tmp_path / "out" / "b.mtl").read_text()
    first, second, third = load_mesh(tmp_path / "out" / "b.obj").maps
    same(first.finish, finish())
    same(second.finish, Finish())
    same(third.finish, Finish())
