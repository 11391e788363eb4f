"""What glTF scenes show, read and exported again: emission, wrapping, instances, vertex colours, what is missing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import one_cell_a_face
from gltf_builder import QUAD, Builder, encoded, picture, unpacked

from texopt import Mesh, load_mesh
from texopt.errors import ImageError, MeshError
from texopt.io.export import export
from texopt.io.read import read
from texopt.system.srgb import linear_to_srgb

GLOSSY = "KHR_materials_pbrSpecularGlossiness"
INSTANCING = "EXT_mesh_gpu_instancing"
NEW = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, small_originals: None) -> None:
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.unwrap_faces", one_cell_a_face)


def shown(material: dict[str, Any], builder: Builder | None = None, **quad: Any) -> Builder:
    """A quad with a material."""
    builder = builder or Builder()
    builder.node(builder.mesh(builder.quad(**quad) | {"material": builder.add("materials", material)}))
    return builder


def again(mesh: Mesh, folder: Path, **options: Any) -> tuple[dict[str, Any], Mesh]:
    """The material and the mesh of an export with the new texture NEW."""
    (path,) = export(mesh, [NEW] * len(mesh.maps), folder / "again.glb", **options)
    return unpacked(path)[0]["materials"][0], load_mesh(path)


def eight_bits(image: torch.Tensor) -> np.ndarray:
    return (image.permute(1, 2, 0) * 255).round().byte().numpy()


# emission

BLACK = {"baseColorFactor": [0, 0, 0, 1]}


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize("unlit", [False, True])
@pytest.mark.parametrize("kind", ["base", "diffuse"])
def test_emission_alone_is_the_original_and_is_drawn_once(tmp_path: Path, kind: str, unlit: bool, unwrap: bool) -> None:
    builder = Builder()
    glow = {"index": builder.texture(encoded(picture()))}
    material: dict[str, Any] = {"emissiveTexture": glow, "emissiveFactor": [1, 1, 1]}
    if kind == "base":
        material["pbrMetallicRoughness"] = dict(BLACK)
    else:
        material["extensions"] = {GLOSSY: {"diffuseFactor": [0, 0, 0, 1]}}
    mesh = load_mesh(shown(material, builder).glb(tmp_path / "a.glb"), unwrap=unwrap)
    if not unwrap:
        np.testing.assert_array_equal(mesh.maps[0].original, picture())
    found, reread = again(mesh, tmp_path, unlit=unlit)
    np.testing.assert_array_equal(reread.maps[0].original, eight_bits(NEW))
    base = found.get("pbrMetallicRoughness", {})
    if unlit:
        assert "emissiveTexture" not in found
        assert "baseColorTexture" in base
        assert "baseColorFactor" not in base
    else:
        assert found["emissiveFactor"] == [1, 1, 1]
        assert "baseColorTexture" not in base
        assert kind == "diffuse" or base["baseColorFactor"] == [0, 0, 0, 1]
        assert kind == "base" or found["extensions"][GLOSSY] == {"diffuseFactor": [0, 0, 0, 1]}


def test_the_factor_of_an_emission_is_in_its_original(tmp_path: Path) -> None:
    builder = Builder()
    glow = {"index": builder.texture(encoded(np.full((8, 8, 3), 255, np.uint8)))}
    textured = {"emissiveTexture": glow, "emissiveFactor": [0.5, 1, 0.25], "pbrMetallicRoughness": BLACK}
    plain = {"emissiveFactor": [0.5, 1, 0.25], "pbrMetallicRoughness": BLACK}
    expected = (linear_to_srgb(np.array([0.5, 1, 0.25])) * 255).round()
    for material in (textured, plain):
        mesh = load_mesh(shown(material, builder).glb(tmp_path / "a.glb"))
        for texture in mesh.maps:
            assert (texture.original == expected).all()
        found, reread = again(mesh, tmp_path)
        assert found["emissiveFactor"] == [1, 1, 1]
        np.testing.assert_array_equal(reread.maps[0].original, eight_bits(NEW))


@pytest.mark.parametrize("more", [
    {"pbrMetallicRoughness": {}}, {"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0.1, 1]}},
    {"pbrMetallicRoughness": BLACK, "extensions": {"KHR_materials_unlit": {}}},
    {"pbrMetallicRoughness": BLACK, "emissiveFactor": [0, 0, 0]},
])  # fmt: skip
def test_an_emission_beside_a_colour_is_not_the_original_and_stays(tmp_path: Path, more: dict[str, Any]) -> None:
    builder = Builder()
    material = {"emissiveTexture": {"index": builder.texture(encoded(picture()))}, "emissiveFactor": [1, 1, 1]} | more
    mesh = load_mesh(shown(material, builder).glb(tmp_path / "a.glb"))
    assert mesh.maps[0].original.size == 3
    found, _ = again(mesh, tmp_path)
    assert found["emissiveFactor"] == material["emissiveFactor"]
    assert "baseColorTexture" in found["pbrMetallicRoughness"]
    assert found["emissiveTexture"] != found["pbrMetallicRoughness"]["baseColorTexture"]


def test_a_picture_that_is_colour_and_emission_is_replaced_in_both(tmp_path: Path) -> None:
    builder = Builder()
    texture = builder.texture(encoded(picture()))
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}, "emissiveFactor": [0.5, 0.5, 0.5]}
    other = builder.add("textures", {"source": 0})
    mesh = load_mesh(shown(material | {"emissiveTexture": {"index": other}}, builder).glb(tmp_path / "a.glb"))
    found, _ = again(mesh, tmp_path)
    assert found["emissiveTexture"] == found["pbrMetallicRoughness"]["baseColorTexture"]


def test_a_glow_that_cannot_be_read_stays(tmp_path: Path) -> None:
    builder = Builder()
    color = builder.texture(encoded(picture()))
    glow = builder.add("textures", {"extensions": {"KHR_texture_basisu": {"source": 0}}})
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": color}}, "emissiveFactor": [1, 1, 1]}
    mesh = load_mesh(shown(material | {"emissiveTexture": {"index": glow}}, builder).glb(tmp_path / "a.glb"))
    (path,) = export(mesh, NEW, tmp_path / "b.glb")
    document, _ = unpacked(path)
    kept = document["textures"][document["materials"][0]["emissiveTexture"]["index"]]
    assert "KHR_texture_basisu" in kept["extensions"]


def test_vertex_colours_do_not_tint_an_emission(tmp_path: Path) -> None:
    """They multiply the base colour, which is black, and so stay as they are."""
    builder = Builder()
    colors = builder.accessor(np.zeros((4, 3), np.float32))
    material = {"emissiveFactor": [1, 1, 1], "pbrMetallicRoughness": BLACK}
    material["emissiveTexture"] = {"index": builder.texture(encoded(picture()))}
    path = shown(material, builder, COLOR_0=colors).glb(tmp_path / "a.glb")
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.maps[0].original, picture())
    (path,) = export(mesh, NEW, tmp_path / "b.glb")
    assert "COLOR_0" in unpacked(path)[0]["meshes"][0]["primitives"][0]["attributes"]


# specular and glossiness


def test_the_diffuse_colour_counts_and_not_its_fallback(tmp_path: Path) -> None:
    builder = Builder()
    glossy, fallback = (builder.texture(encoded(picture(seed=seed))) for seed in (0, 1))
    material = {
        "pbrMetallicRoughness": {"baseColorTexture": {"index": fallback}, "baseColorFactor": [1, 0, 0, 1]},
        "extensions": {GLOSSY: {"diffuseTexture": {"index": glossy}}},
    }
    mesh = load_mesh(shown(material, builder).glb(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.maps[0].original, picture())
    found, reread = again(mesh, tmp_path)
    np.testing.assert_array_equal(reread.maps[0].original, eight_bits(NEW))
    assert found["extensions"][GLOSSY]["diffuseTexture"] == found["pbrMetallicRoughness"]["baseColorTexture"]
    assert "baseColorFactor" not in found["pbrMetallicRoughness"]
    plain = {"pbrMetallicRoughness": {}, "extensions": {GLOSSY: {"diffuseFactor": [1, 0, 0, 1]}}}
    (texture,) = load_mesh(shown(plain).glb(tmp_path / "b.glb")).maps
    assert texture.original.tolist() == [[[255, 0, 0]]]


# wrapping

CODES = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


@pytest.mark.parametrize("wrap", [("clamp", "clamp"), ("mirror", "repeat"), ("repeat", "clamp"), ("clamp", "mirror")])
def test_samplers_are_read_and_exported(tmp_path: Path, wrap: tuple[str, str]) -> None:
    builder = Builder()
    sampler = builder.add("samplers", {"wrapS": CODES[wrap[0]], "wrapT": CODES[wrap[1]]})
    texture = builder.texture(encoded(picture()), sampler=sampler)
    mesh = load_mesh(shown({"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}, builder).glb(
        tmp_path / "a.glb"
    ))  # fmt: skip
    assert mesh.wraps == [wrap]
    (path,) = export(mesh, NEW, tmp_path / "again.glb")
    document, _ = unpacked(path)
    (shown_by,) = document["materials"]
    used = document["textures"][shown_by["pbrMetallicRoughness"]["baseColorTexture"]["index"]]["sampler"]
    assert document["samplers"][used]["wrapS"] == CODES[wrap[0]]
    assert document["samplers"][used]["wrapT"] == CODES[wrap[1]]
    assert load_mesh(path).wraps == [wrap]
    assert load_mesh(path, unwrap=True).wraps == [("repeat", "repeat")]  # of a texture of its own


def test_one_image_with_two_samplers_is_two_textures(tmp_path: Path) -> None:
    builder = Builder()
    first = builder.texture(encoded(picture()), sampler=builder.add("samplers", {"wrapS": 33071}))
    for texture in (first, builder.add("textures", {"source": 0, "sampler": builder.add("samplers", {"wrapS": 1})})):
        shown({"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}, builder)
    assert load_mesh(builder.glb(tmp_path / "a.glb")).wraps == [("clamp", "repeat"), ("repeat", "repeat")]


def test_new_uvs_carry_over_what_was_clamped(tmp_path: Path) -> None:
    """A quad that lies beyond the right edge shows its colour, whatever UVs it gets."""
    builder = Builder()
    values = np.zeros((8, 8, 3), np.uint8)
    values[:, -1] = (200, 100, 50)
    texture = builder.texture(encoded(values), sampler=builder.add("samplers", {"wrapS": 33071}))
    uvs = builder.accessor(np.float32([[1, 1], [2, 1], [2, 0], [1, 0]]))
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}
    path = shown(material, builder, TEXCOORD_0=uvs).glb(tmp_path / "a.glb")
    (made,) = load_mesh(path, unwrap=True).maps
    assert (abs(made.original.astype(int) - (200, 100, 50)) <= 1).all()


# instances


def instanced(builder: Builder, attributes: dict[str, int], **node: Any) -> Builder:
    builder.document["extensionsRequired"] = builder.document["extensionsUsed"] = [INSTANCING]
    texture = builder.texture(encoded(picture()))
    material = builder.material(texture)
    extension = {INSTANCING: {"attributes": attributes}}
    builder.node(builder.mesh(builder.quad() | {"material": material}), extensions=extension, **node)
    return builder


def test_instances_stand_where_their_attributes_say(tmp_path: Path) -> None:
    """node's matrix * translation * rotation * scale, of EXT_mesh_gpu_instancing."""
    builder = Builder()
    half = np.sqrt(0.5)
    attributes = {
        "TRANSLATION": builder.accessor(np.float32([[0, 0, 0], [10, 0, 0], [0, 10, 0]])),
        "ROTATION": builder.accessor(np.int8([[0, 0, 0, 127], [0, 0, 127, 0], [0, 0, 90, 90]]), normalized=True),
        "SCALE": builder.accessor(np.float32([[1, 1, 1], [1, 1, 1], [2, -1, 1]])),
        "_ID": builder.accessor(np.float32([1, 2, 3])),
    }
    raw = read(instanced(builder, attributes, translation=[0, 0, 5], scale=[1, 1, 2]).glb(tmp_path / "a.glb"))
    a, b = (
        2 * half * 90 / 127 * half * 90 / 127 * 2,
        1 - 2 * (90 / 127) ** 2,
    )  # of a quaternion that is not quite a unit
    third = np.stack([2 * b * QUAD[:, 0] + a * QUAD[:, 1], 2 * a * QUAD[:, 0] - b * QUAD[:, 1] + 10, 0 * QUAD[:, 0]], 1)
    expected = np.concatenate([QUAD, QUAD * (-1, -1, 1) + (10, 0, 0), third]) * (1, 1, 2) + (0, 0, 5)
    np.testing.assert_allclose(raw.vertices, expected, atol=1e-6)
    assert raw.face_object.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.copy_of.tolist() == [0, 1] * 3
    assert raw.turned.tolist() == [False] * 4 + [True] * 2
    assert len(raw.uvs) == 4


@pytest.mark.parametrize("unwrap", [False, True])
def test_instances_are_kept_in_the_export(tmp_path: Path, unwrap: bool) -> None:
    builder = Builder()
    attributes = {"TRANSLATION": builder.accessor(np.float32([[0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]]))}
    mesh = load_mesh(instanced(builder, attributes).glb(tmp_path / "a.glb"), unwrap=unwrap)
    assert mesh.normalization()[0].tolist() == [2, 2, 0]
    (path,) = export(mesh, NEW, tmp_path / "again.glb")
    document, _ = unpacked(path)
    assert document["extensionsRequired"] == [INSTANCING]
    assert len(document["nodes"]) == len(document["meshes"]) == 1
    reread = load_mesh(path)
    np.testing.assert_array_equal(reread.vertices[reread.faces], mesh.vertices[mesh.faces])
    np.testing.assert_allclose(reread.uvs[reread.face_uvs], mesh.uvs[mesh.face_uvs], atol=1e-6)
    np.testing.assert_array_equal(reread.maps[0].original, eight_bits(NEW))


def test_too_many_instances_are_refused_before_they_are_made(tmp_path: Path) -> None:
    builder = Builder()
    entry = {"componentType": 5126, "count": 500_000, "type": "VEC3"}
    attributes = {"TRANSLATION": builder.add("accessors", entry)}
    with pytest.raises(MeshError, match="more than"):
        read(instanced(builder, attributes).glb(tmp_path / "a.glb"))


# vertex colours


@pytest.mark.parametrize("textured", [False, True])
def test_vertex_colours_interpolate_in_linear_light(tmp_path: Path, textured: bool) -> None:
    """Khronos' specification, Meshes: COLOR_0 is linear. Between black and white lies 0.5, which is 0.735 in sRGB."""
    builder = Builder()
    black_to_white = np.float32([[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]])
    texture = builder.texture(encoded(np.full((64, 64, 3), 188, np.uint8)))
    base = {"baseColorTexture": {"index": texture}} if textured else {}
    builder = shown({"pbrMetallicRoughness": base}, builder, COLOR_0=builder.accessor(black_to_white))
    (made,) = load_mesh(builder.glb(tmp_path / "a.glb")).maps
    light = (np.arange(64) + 0.5) / 64 * (0.5029 if textured else 1.0)  # 188 in sRGB
    np.testing.assert_allclose(made.original[32, :, 0], linear_to_srgb(light) * 255, atol=0.7)
    assert textured or abs(made.original[32, 31:33, 0].mean() / 255 - 0.735) < 0.003


def test_vertex_colours_without_uvs_are_linear_too(tmp_path: Path) -> None:
    builder = Builder()
    triangle = {
        "POSITION": builder.positions(QUAD[:3]),
        "COLOR_0": builder.accessor(np.float32([[0] * 3, [1] * 3, [0.5] * 3])),
    }
    builder.node(builder.mesh({"attributes": triangle}))
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"))
    from texopt.render.fragments import surface_points
    from texopt.render.look_up import look_up

    middle = mesh.uvs[mesh.face_uvs[0]].mean(0, keepdims=True)
    seen = look_up(mesh.originals(), surface_points(mesh, middle, np.zeros(1, int)))
    assert float(seen.mean()) == pytest.approx(float(linear_to_srgb(np.array(0.5))), abs=0.01)


# what is missing


def test_a_missing_texture_that_is_no_colour_is_said_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    builder = Builder()
    colour = builder.texture(encoded(picture()))
    for name in ("shine.png", "bumps.png"):
        builder.add("textures", {"source": builder.add("images", {"uri": name})})
    pbr = {"baseColorTexture": {"index": colour}, "metallicRoughnessTexture": {"index": 1}}
    coat = {"clearcoatTexture": {"index": 2}, "clearcoatFactor": 1}
    material = {
        "pbrMetallicRoughness": pbr, "normalTexture": {"index": 2}, "extensions": {"KHR_materials_clearcoat": coat}
    }  # fmt: skip
    path = shown(material, builder).glb(tmp_path / "a.glb")
    with caplog.at_level(logging.WARNING, "texopt"):
        mesh = load_mesh(path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "a.glb names 'shine.png' (images[1].uri), which is not there, and 1 more textures that are missing: "
        "no colour, and left out"
    )
    (out,) = export(mesh, NEW, tmp_path / "again.glb")
    document, _ = unpacked(out)
    (found,) = document["materials"]
    assert "normalTexture" not in found
    assert "metallicRoughnessTexture" not in found["pbrMetallicRoughness"]
    assert found["extensions"]["KHR_materials_clearcoat"] == {"clearcoatFactor": 1}
    assert len(document["images"]) == len(document["textures"]) == 1
    caplog.clear()
    load_mesh(out)
    assert not caplog.records


@pytest.mark.parametrize("channel", ["baseColorTexture", "emissiveTexture"])
def test_a_missing_texture_that_is_the_colour_is_refused(tmp_path: Path, channel: str) -> None:
    builder = Builder()
    info = {"index": builder.add("textures", {"source": builder.add("images", {"uri": "skin.png"})})}
    material: dict[str, Any] = {"pbrMetallicRoughness": {"baseColorTexture": info}}
    if channel == "emissiveTexture":
        material = {"pbrMetallicRoughness": BLACK, "emissiveTexture": info, "emissiveFactor": [1, 1, 1]}
    with pytest.raises(ImageError, match=r"names 'skin.png' \(images\[0\].uri\), which is not there; put it there"):
        read(shown(material, builder).glb(tmp_path / "a.glb"))


def test_a_missing_texture_of_a_material_that_nothing_shows(tmp_path: Path) -> None:
    builder = Builder()
    info = {"index": builder.add("textures", {"source": builder.add("images", {"uri": "skin.png"})})}
    shown({}, builder)
    builder.add("materials", {"pbrMetallicRoughness": {"baseColorTexture": info}})
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"))
    _, reread = again(mesh, tmp_path)
    assert len(reread.faces) == 2


# numbers and scenes


def test_whole_numbers_that_are_written_as_floats(tmp_path: Path) -> None:
    """JSON has one kind of numbers, and its schemas take 2.0 for an integer."""
    builder = shown({})
    text = json.dumps(builder.finished())
    assert '"mesh": 0' in text
    builder.document = json.loads(text, parse_int=float)
    raw = read(builder.glb(tmp_path / "a.glb"))
    np.testing.assert_array_equal(raw.vertices, QUAD)
    (path,) = export(load_mesh(tmp_path / "a.glb"), NEW, tmp_path / "again.glb")
    assert unpacked(path)[0]["nodes"] == [{"mesh": 0}]


def test_meshes_that_no_scene_shows(tmp_path: Path) -> None:
    builder = shown({})
    builder.document["scenes"] = [{}]
    with pytest.raises(MeshError, match=r"has meshes \(1\), but no scene shows them; put their nodes into scenes\[0\]"):
        read(builder.glb(tmp_path / "a.glb"))
    builder.document["scenes"] = [{}, {"nodes": [0]}]
    with pytest.raises(MeshError, match=r"but its scene, scenes\[0\] of 2, shows none"):
        read(builder.glb(tmp_path / "a.glb"))
