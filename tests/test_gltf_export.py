"""Export of glTF: what came in goes out, but for base colours; and what is made of other formats."""

from __future__ import annotations

import hashlib
import io
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from fuzzing import one_cell_a_face
from gltf_builder import QUAD, Builder, encoded, picture, unpacked, values_of
from PIL import Image
from torch import Tensor

from texopt import Mesh, TextureMap, load_mesh
from texopt.io.export import export
from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.links import links
from texopt.render.cameras import fixed_views
from texopt.render.look_up import look_up
from texopt.render.scene import rasterize


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, small_originals: None) -> None:
    """Small textures, and new UVs that put every face into a cell of its own."""
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.unwrap_faces", one_cell_a_face)


def noise(mesh: Mesh, size: int = 32) -> list[Tensor]:
    """A texture of noise for every map; rounded, so that 8 bits hold it."""
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(3, size, size, generator=generator).mul(255).round() / 255 for _ in mesh.maps]


def exported(mesh: Mesh, folder: Path, **options: Any) -> tuple[dict[str, Any], bytes]:
    (folder / "out").mkdir(exist_ok=True)
    (path,) = export(mesh, noise(mesh), folder / "out" / "b.glb", **options)
    return unpacked(path)


def resolved(document: dict[str, Any], binary: bytes) -> dict[str, Any]:
    """A document with what its numbers stand for in their place: values of accessors, contents of images."""
    document = deepcopy(document)

    def image(index: int) -> str:
        entry = document["images"][index]
        view = document["bufferViews"][entry["bufferView"]]
        start = view.get("byteOffset", 0)
        return hashlib.sha1(binary[start : start + view["byteLength"]]).hexdigest()

    for kind, item, key in list(links(document)):
        if kind == "accessors":
            entry = document["accessors"][item[key]]
            values = values_of(document, binary, item[key]).tolist()
            item[key] = {"values": values, "normalized": entry.get("normalized", False), "type": entry["componentType"]}
        elif kind == "textures":
            texture = document["textures"][item[key]]
            sampler = document["samplers"][texture["sampler"]] if "sampler" in texture else None
            item[key] = {"image": image(texture["source"]), "sampler": sampler}
    for kind in ("accessors", "bufferViews", "buffers", "textures", "images", "samplers"):
        document.pop(kind, None)
    return document


TRANSFORM = {"scale": [2, 2], "texCoord": 1}


def scene() -> Builder:
    """Two materials, one with all channels; a skin, morph targets, animation, camera, lights, extras."""
    builder = Builder()
    base, normal, occlusion, emissive, rough, other = (
        builder.texture(encoded(picture(7 + i, seed=i))) for i in range(6)
    )
    builder.add("samplers", {"wrapS": 33071, "wrapT": 33071, "magFilter": 9728, "minFilter": 9728})
    builder.document["textures"][normal]["sampler"] = 0
    painted = builder.material(base, (0.5, 0.7, 0.9, 0.8), name="painted", alphaMode="BLEND", doubleSided=True)
    channels = builder.document["materials"][painted]
    channels |= {
        "normalTexture": {"index": normal, "texCoord": 1, "scale": 0.5},
        "occlusionTexture": {"index": occlusion, "strength": 0.4},
        "emissiveTexture": {"index": emissive, "extensions": {"KHR_texture_transform": TRANSFORM}},
        "emissiveFactor": [0.1, 0.2, 0.3], "extras": {"lightmapTexture": {"index": "mine"}, "bufferView": "mine"},
        "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 0.5, "clearcoatTexture": {"index": rough}}},
    }  # fmt: skip
    channels["pbrMetallicRoughness"] |= {
        "metallicRoughnessTexture": {"index": rough, "texCoord": 1}, "roughnessFactor": 0.3,
    }  # fmt: skip
    kept = builder.material(other, name="kept")
    rng = np.random.default_rng(0)
    second = builder.accessor(rng.integers(0, 65535, (4, 2), np.uint16), normalized=True)
    quad = builder.quad(
        TEXCOORD_1=second, TANGENT=builder.accessor(np.tile(np.float32([1, 0, 0, 1]), (4, 1))),
        JOINTS_0=builder.accessor(np.array([[0, 1, 0, 0]] * 4, np.uint8)),
        WEIGHTS_0=builder.accessor(np.array([[0.25, 0.75, 0, 0]] * 4, np.float32)),
        COLOR_0=builder.add("accessors", {
            "bufferView": builder.view(bytes([255, 200, 100, 0] * 4), byteStride=4), "componentType": 5121,
            "normalized": True, "count": 4, "type": "VEC3",
        }),
        _BATCH=builder.accessor(np.arange(4, dtype=np.float32)),
    )  # fmt: skip
    quad |= {"material": painted, "extras": {"a": 1}, "targets": [{
        "POSITION": builder.positions(rng.normal(size=(4, 3)).astype(np.float32)),
        "NORMAL": builder.accessor(rng.normal(size=(4, 3)).astype(np.float32)),
    }]}  # fmt: skip
    colored = builder.accessor(np.full((4, 4), 0.5, np.float32))
    plain = builder.quad(COLOR_0=colored) | {"material": kept}
    lines = {"attributes": {"POSITION": quad["attributes"]["POSITION"]}, "mode": 1}
    head = builder.node(root=False, name="head", rotation=[0, 0, 0, 1])
    joints = [builder.node(name="hip", translation=[0, 0, 1], children=[head]), head]
    inverse = builder.accessor(np.stack([np.eye(4)] * 2).astype(np.float32).reshape(2, 16))
    builder.add("skins", {"joints": joints, "inverseBindMatrices": inverse, "skeleton": joints[0]})
    face = builder.mesh(quad, name="face", weights=[0.25], extras={"targetNames": ["smile"]})
    builder.node(face, name="face", skin=0, extras={"id": [1, "x", None]})
    child = builder.node(builder.mesh(plain, lines, name="side"), root=False, name="child", translation=[2, 0, 0])
    builder.node(name="parent", children=[child], translation=[1, 2, 3], scale=[2, 2, 2])
    builder.node(builder.mesh(builder.quad() | {"material": kept}), name="flat", matrix=[*np.diag([1.0, 2, 1, 1]).flat])
    builder.node(name="eye", camera=builder.add("cameras", {
        "type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1},
    }))  # fmt: skip
    builder.node(name="lamp", extensions={"KHR_lights_punctual": {"light": 0}})
    times = builder.accessor(np.array([0, 1], np.float32), min=[0.0], max=[1.0])
    turns = builder.accessor(np.array([[0, 0, 0, 1], [0, 0, 1, 0]], np.float32))
    builder.add("animations", {
        "samplers": [{"input": times, "output": turns}],
        "channels": [{"sampler": 0, "target": {"node": joints[1], "path": "rotation"}}],
    })  # fmt: skip
    builder.document |= {
        "extensions": {"KHR_lights_punctual": {"lights": [{"type": "point", "name": "lamp", "intensity": 3.5}]}},
        "extensionsUsed": ["KHR_lights_punctual", "KHR_texture_transform", "KHR_materials_clearcoat"],
        "extras": {"author": "Zoë", "index": 3},
    }  # fmt: skip
    return builder


def same_picture(mesh: Mesh, images: list[Tensor], again: Mesh) -> None:
    """Over 40 dB where the object is."""
    originals = zip(mesh.maps, images, mesh.originals(), strict=True)
    shown = [original if texture.kept else image for texture, image, original in originals]

    def rendering(which: Mesh, textures: list[Tensor]) -> Tensor:
        fragments = rasterize(which, fixed_views(6), 96)
        return (look_up(textures, fragments) * fragments.mask[:, None])[:, :, mask]

    mask = rasterize(mesh, fixed_views(6), 96).mask.any(0)
    expected, found = rendering(mesh, shown), rendering(again, again.originals())
    assert float(expected.std()) > 0.1
    assert -10 * float((expected - found).square().mean().log10()) > 40


# what came in as glTF


@pytest.mark.parametrize("external", [False, True])
def test_all_but_the_base_colour_survives(tmp_path: Path, external: bool) -> None:
    builder = scene()
    path = builder.gltf(tmp_path / "a.gltf", external=True) if external else builder.glb(tmp_path / "a.glb")
    expected = resolved(builder.finished(), bytes(builder.binary))
    mesh = load_mesh(path, skip=["kept"])
    document, binary = exported(mesh, tmp_path)
    found = resolved(document, binary)
    pbr = found["materials"][0]["pbrMetallicRoughness"]
    texture = pbr.pop("baseColorTexture")
    assert set(texture) == {"index"}
    assert texture["index"]["sampler"] == {"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}
    assert pbr.pop("baseColorFactor") == [1, 1, 1, 0.8]
    for key in ("baseColorTexture", "baseColorFactor"):
        del expected["materials"][0]["pbrMetallicRoughness"][key]
    del expected["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]  # which is in the texture now
    assert found == expected
    assert not any("uri" in item for item in (*document["images"], *document["buffers"]))
    assert len(document["images"]) == 6  # the new one, without the old
    assert picture_of(document, binary, "painted").tobytes() == to_bytes(noise(mesh)[mesh.map_of(0)])


def to_bytes(image: Tensor) -> bytes:
    return (image * 255).round().byte().permute(1, 2, 0).numpy().tobytes()


def picture_of(document: dict[str, Any], binary: bytes, material: str) -> np.ndarray:
    """The base colour's texture."""
    (entry,) = (entry for entry in document["materials"] if entry.get("name") == material)
    texture = document["textures"][entry["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
    view = document["bufferViews"][document["images"][texture["source"]]["bufferView"]]
    data = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.array(Image.open(io.BytesIO(data)))


def corner_values(document: dict[str, Any], binary: bytes, primitive: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every attribute of a primitive, and of its targets, at the corners of its triangles."""
    corners = values_of(document, binary, primitive["indices"])[:, 0]
    lists = {"": primitive["attributes"]} | {f"{i} ": target for i, target in enumerate(primitive.get("targets", []))}
    return {
        prefix + name: values_of(document, binary, accessor)[corners]
        for prefix, attributes in lists.items() for name, accessor in attributes.items()
    }  # fmt: skip


def test_new_uvs_split_all_attributes_and_shift_the_old(tmp_path: Path) -> None:
    builder = scene()
    before = builder.finished()
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=True, skip=["kept"])
    document, binary = exported(mesh, tmp_path)
    old = corner_values(before, bytes(builder.binary), before["meshes"][0]["primitives"][0])
    primitive = document["meshes"][0]["primitives"][0]
    new = corner_values(document, binary, primitive)
    uvs = mesh.uvs[mesh.face_uvs[:2]].reshape(-1, 2) * (1, -1) + (0, 1)
    np.testing.assert_allclose(new.pop("TEXCOORD_0"), uvs, atol=1e-6)
    del old["COLOR_0"]
    for name in ("TEXCOORD_1", "TEXCOORD_0"):
        np.testing.assert_array_equal(new.pop(f"TEXCOORD_{int(name[-1]) + 1}"), old.pop(name))
    assert new.keys() == old.keys()
    for name, values in old.items():
        assert new[name].dtype == values.dtype, name
        np.testing.assert_array_equal(new[name], values)
    assert document["accessors"][primitive["attributes"]["POSITION"]]["count"] == 6  # two corners are shared no more
    for attributes in (primitive["attributes"], primitive["targets"][0]):
        entry = document["accessors"][attributes["POSITION"]]
        values = values_of(document, binary, attributes["POSITION"])
        assert (entry["min"], entry["max"]) == (values.min(0).tolist(), values.max(0).tolist())
    material, was = document["materials"][0], before["materials"][0]
    assert "texCoord" not in material["pbrMetallicRoughness"]["baseColorTexture"]
    assert material["normalTexture"]["texCoord"] == 2
    assert material["occlusionTexture"]["texCoord"] == 1
    assert material["emissiveTexture"]["extensions"]["KHR_texture_transform"] == {"scale": [2, 2], "texCoord": 2}
    assert material["pbrMetallicRoughness"]["metallicRoughnessTexture"]["texCoord"] == 2
    assert material["extensions"]["KHR_materials_clearcoat"]["clearcoatTexture"]["texCoord"] == 1
    assert material["extras"] == was["extras"]
    after = resolved(document, binary)
    expected = resolved(before, bytes(builder.binary))
    assert after["materials"][1:] == expected["materials"][1:]
    assert after["meshes"][1:] == expected["meshes"][1:]
    used = {item[key] for kind, item, key in links(document) if kind == "accessors"}
    assert used == set(range(len(document["accessors"])))  # the old ones are gone


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize("skip", [[], ["kept"]])
def test_it_reads_back_as_it_looked(tmp_path: Path, unwrap: bool, skip: list[str]) -> None:
    mesh = load_mesh(scene().glb(tmp_path / "a.glb"), unwrap=unwrap, skip=skip)
    exported(mesh, tmp_path)
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


@pytest.mark.parametrize("unwrap", [False, True])
def test_export_changes_nothing_in_memory_and_is_the_same_again(tmp_path: Path, unwrap: bool) -> None:
    mesh = load_mesh(scene().glb(tmp_path / "a.glb"), unwrap=unwrap)
    assert isinstance(mesh.source, GltfFile)
    document, buffers = deepcopy(mesh.source.document), [*mesh.source.buffers]
    exported(mesh, tmp_path, unlit=True)
    assert mesh.source.document == document
    assert mesh.source.buffers == buffers
    first = (tmp_path / "out" / "b.glb").read_bytes()
    exported(mesh, tmp_path, unlit=True)
    assert (tmp_path / "out" / "b.glb").read_bytes() == first


def test_an_old_image_stays_where_others_use_it(tmp_path: Path) -> None:
    builder = Builder()
    texture, unused = builder.texture(encoded(picture())), builder.texture(encoded(picture(seed=1)))
    material = builder.material(texture)
    builder.document["materials"][material]["emissiveTexture"] = {"index": texture}
    builder.node(builder.mesh(builder.quad() | {"material": material}))
    document, binary = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    before = resolved(builder.finished(), bytes(builder.binary))["materials"][0]
    assert (
        resolved(document, binary)["materials"][0]["emissiveTexture"]["index"]
        == (before["pbrMetallicRoughness"]["baseColorTexture"]["index"])
    )
    assert len(document["images"]) == 3  # one that nothing used before stays, too
    assert document["textures"][unused]["source"] == unused


def test_where_a_texture_is_looked_up_stays(tmp_path: Path) -> None:
    builder = Builder()
    material = builder.material(builder.texture(encoded(picture())))
    reference = builder.document["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"]
    where = {"texCoord": 1, "extensions": {"KHR_texture_transform": {"offset": [0.3, 0.1], "rotation": 1.1}}}
    reference |= where
    uvs = builder.accessor(np.random.default_rng(0).random((4, 2)).astype(np.float32))
    builder.node(builder.mesh(builder.quad(TEXCOORD_1=uvs) | {"material": material}))
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"))
    document, _ = exported(mesh, tmp_path)
    assert document["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0} | where
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


@pytest.mark.parametrize("unwrap", [False, True])
def test_a_primitive_without_material_gets_one(tmp_path: Path, unwrap: bool) -> None:
    builder = Builder()
    shared = builder.quad()
    raised = {"attributes": shared["attributes"] | {"POSITION": builder.positions(QUAD + np.float32([0, 0, 1]))}}
    raised["indices"] = shared["indices"]
    other = builder.material(None, (1, 0, 0, 1), name="red")
    builder.node(builder.mesh(shared, raised | {"material": other}, shared))
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=unwrap, only=["textured"])
    document, binary = exported(mesh, tmp_path)
    materials = [primitive["material"] for primitive in document["meshes"][0]["primitives"]]
    assert materials == [1, 0, 1]
    assert document["materials"][1]["pbrMetallicRoughness"] == {
        "metallicFactor": 0.0, "roughnessFactor": 0.9, "baseColorTexture": {"index": 0},
    }  # fmt: skip
    # what shared accessors is as it was, but for the new UVs
    for number, primitive in enumerate(document["meshes"][0]["primitives"]):
        found = corner_values(document, binary, primitive)
        was = corner_values(builder.finished(), bytes(builder.binary), (shared, raised, shared)[number])
        np.testing.assert_array_equal(found["POSITION"], was["POSITION"])
        np.testing.assert_array_equal(
            found["TEXCOORD_1" if unwrap and number != 1 else "TEXCOORD_0"], was["TEXCOORD_0"]
        )
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


@pytest.mark.parametrize("mode", ["OPAQUE", "BLEND"])
def test_vertex_colours_leave_their_alpha(tmp_path: Path, mode: str) -> None:
    builder = Builder()
    values = np.array([[255, 100, 0, 255], [9, 9, 9, 0], [255, 255, 255, 128], [0, 0, 0, 7]], np.uint8)
    material = builder.material(builder.texture(encoded(picture())), alphaMode=mode)
    colors = builder.accessor(values, normalized=True)
    white = builder.accessor(np.full((4, 3), 1, np.float32))
    first = builder.quad(COLOR_0=colors, COLOR_1=colors) | {"material": material}
    second = builder.quad(COLOR_0=white) | {"material": material}
    first["targets"] = [{"COLOR_0": builder.accessor(np.zeros((4, 4), np.float32))}]
    builder.node(builder.mesh(first))
    builder.node(builder.mesh(second), translation=[2, 0, 0])
    document, binary = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    first, second = (mesh["primitives"][0] for mesh in document["meshes"])
    assert (values_of(document, binary, second["attributes"]["COLOR_0"]) == 1).all()  # it was white
    assert (values_of(document, binary, first["attributes"]["COLOR_1"]) == values).all()  # it means something else
    assert first["targets"] == [{}]
    if mode == "OPAQUE":
        assert "COLOR_0" not in first["attributes"]
    else:
        found = values_of(document, binary, first["attributes"]["COLOR_0"])
        assert (found[:, :3] == 255).all()
        assert (found[:, 3] == values[:, 3]).all()
        assert document["accessors"][first["attributes"]["COLOR_0"]]["normalized"]


def variants(builder: Builder) -> dict[str, Any]:
    """A primitive that shows `red` by default, `green` in a variant."""
    red, green = (
        builder.material(builder.texture(encoded(picture(seed=i))), name=n) for i, n in ((1, "red"), (2, "green"))
    )
    builder.document["materials"][green]["normalTexture"] = {"index": builder.texture(encoded(picture(seed=3)))}
    builder.document["extensions"] = {"KHR_materials_variants": {"variants": [{"name": "a"}, {"name": "b"}]}}
    builder.document["extensionsUsed"] = ["KHR_materials_variants"]
    mappings = [{"material": red, "variants": [0]}, {"material": green, "variants": [1]}]
    return builder.quad() | {"material": red, "extensions": {"KHR_materials_variants": {"mappings": mappings}}}


@pytest.mark.parametrize("unwrap", [False, True])
def test_variants_show_what_they_showed(tmp_path: Path, unwrap: bool) -> None:
    builder = Builder()
    builder.node(builder.mesh(variants(builder)))
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=unwrap)
    document, binary = exported(mesh, tmp_path)
    primitive = document["meshes"][0]["primitives"][0]
    own, other = primitive["extensions"]["KHR_materials_variants"]["mappings"]
    assert own == {"material": primitive["material"], "variants": [0]}
    assert document["materials"][primitive["material"]]["name"] == "red"
    green = document["materials"][other["material"]]
    for info in (green["normalTexture"], green["pbrMetallicRoughness"]["baseColorTexture"]):
        assert info.get("texCoord", 0) == int(unwrap)  # where its UVs are now
    found = resolved(document, binary)["materials"][other["material"]]
    was = resolved(builder.finished(), bytes(builder.binary))["materials"][1]
    assert (
        found["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        == was["pbrMetallicRoughness"]["baseColorTexture"]["index"]
    )
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


def test_what_is_in_no_scene_keeps_its_material_and_uvs(tmp_path: Path) -> None:
    builder = Builder()
    material = builder.material(builder.texture(encoded(picture())), name="skin")
    quads = [builder.quad() | {"material": material} for _ in range(2)]
    builder.node(builder.mesh(quads[0]))
    builder.node(builder.mesh(quads[1]), root=False)
    before = resolved(builder.finished(), bytes(builder.binary))
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=True)
    document, binary = exported(mesh, tmp_path)
    found = resolved(document, binary)
    assert found["materials"][0] == before["materials"][0]
    assert found["meshes"][1] == before["meshes"][1]
    assert found["meshes"][0]["primitives"][0]["material"] == 1
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


def test_a_mirrored_mesh_gets_its_new_uvs_right(tmp_path: Path) -> None:
    builder = Builder()
    mesh_index = builder.mesh(builder.quad() | {"material": builder.material(builder.texture(encoded(picture())))})
    builder.node(mesh_index, scale=[-1, 1, 1])
    builder.node(mesh_index, translation=[0, 0, 2], rotation=[0, 1, 0, 0])
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=True)
    exported(mesh, tmp_path)
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("unlit", [False, True])
def test_specular_glossiness_shows_the_new_texture_too(tmp_path: Path, fallback: bool, unlit: bool) -> None:
    builder = Builder()
    texture = {"index": builder.texture(encoded(picture()))}
    shine = {"index": builder.texture(encoded(picture(seed=1)))}
    glossy = {"diffuseTexture": texture, "diffuseFactor": [0.5, 0.5, 0.5, 0.25], "specularGlossinessTexture": shine}
    name = "KHR_materials_pbrSpecularGlossiness"
    material: dict[str, Any] = {"extensions": {name: glossy}, "alphaMode": "BLEND"}
    if fallback:
        material["pbrMetallicRoughness"] = {"baseColorTexture": dict(texture), "roughnessFactor": 0.2}
    builder.document["extensionsUsed"] = [name]
    builder.node(builder.mesh(builder.quad() | {"material": builder.add("materials", material)}))
    document, binary = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path, unlit=unlit)
    found = document["materials"][0]
    assert found["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert found["pbrMetallicRoughness"]["roughnessFactor"] == (0.2 if fallback else 0.9)
    if unlit:
        assert found["extensions"] == {"KHR_materials_unlit": {}}
        assert document["extensionsUsed"] == ["KHR_materials_unlit"]
        assert len(document["images"]) == 1
    else:
        assert document["extensionsUsed"] == [name]
        new = found["extensions"][name]
        assert new["diffuseTexture"] == found["pbrMetallicRoughness"]["baseColorTexture"]
        assert new.get("diffuseFactor", [1] * 4) == [1, 1, 1, 0.25]
        assert (
            resolved(document, binary)["materials"][0]["extensions"][name]["specularGlossinessTexture"]
            == (
                resolved(builder.finished(), bytes(builder.binary))["materials"][0]["extensions"][name][
                    "specularGlossinessTexture"
                ]
            )
        )


def test_extensions_that_are_gone_are_not_declared(tmp_path: Path) -> None:
    builder = Builder()
    builder.texture(encoded(picture(), "WEBP"), "image/webp")
    builder.document["textures"] = [{"extensions": {"EXT_texture_webp": {"source": 0}}}]
    builder.document["extensionsRequired"] = ["EXT_texture_webp"]
    builder.document["extensionsUsed"] = ["EXT_texture_webp", "KHR_mesh_quantization"]
    builder.node(builder.mesh(builder.quad() | {"material": builder.material(0)}))
    document, _ = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    assert document["extensionsUsed"] == ["KHR_mesh_quantization"]
    assert "extensionsRequired" not in document
    assert [image["mimeType"] for image in document["images"]] == ["image/png"]


def test_another_format_of_a_texture_goes_with_it(tmp_path: Path) -> None:
    """A KTX2 image with a PNG to fall back to: the painted material's are gone, the other's are as they were."""
    builder = Builder()
    ktx = b"\xabKTX 20\xbb\r\n\x1a\n and data"
    for seed in range(2):
        image = builder.add("images", {"bufferView": builder.view(ktx), "mimeType": "image/ktx2"})
        texture = builder.texture(encoded(picture(seed=seed)))
        builder.document["textures"][texture]["extensions"] = {"KHR_texture_basisu": {"source": image}}
    names = ("painted", "kept")
    quads = [builder.quad() | {"material": builder.material(i, name=name)} for i, name in enumerate(names)]
    builder.node(builder.mesh(*quads))
    builder.document["extensionsUsed"] = ["KHR_texture_basisu"]
    path = builder.glb(tmp_path / "a.glb")
    document, binary = exported(load_mesh(path, only=["painted"]), tmp_path)
    assert [image["mimeType"] for image in document["images"]] == ["image/ktx2", "image/png", "image/png"]
    kept, new = document["textures"]
    assert kept == {"source": 1, "extensions": {"KHR_texture_basisu": {"source": 0}}}
    assert new["source"] == 2
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    assert binary[view["byteOffset"] :].startswith(ktx)
    assert document["extensionsUsed"] == ["KHR_texture_basisu"]
    document, _ = exported(load_mesh(path), tmp_path)
    assert "extensionsUsed" not in document
    assert [image["mimeType"] for image in document["images"]] == ["image/png"] * 2


def test_numbers_stay_where_an_unknown_extension_may_use_them(tmp_path: Path) -> None:
    builder = Builder()
    textures = [builder.texture(encoded(picture(seed=i))) for i in range(2)]
    builder.document |= {"extensionsUsed": ["VRM"], "extensions": {"VRM": {"meta": {"texture": textures[1]}}}}
    builder.node(builder.mesh(builder.quad() | {"material": builder.material(textures[0])}))
    document, binary = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    view = document["bufferViews"][document["images"][document["textures"][1]["source"]]["bufferView"]]
    assert binary[view["byteOffset"] :].startswith(encoded(picture(seed=1)))


def test_views_that_share_bytes_still_do(tmp_path: Path) -> None:
    """Interleaved data with a view for every attribute, as some programs write it."""
    builder = Builder()
    count = 3000
    rows = np.random.default_rng(0).random((count, 5)).astype(np.float32)
    start = len(builder.binary)
    builder.view(rows.tobytes(), byteStride=20)
    size = rows.nbytes
    builder.document["bufferViews"] = [
        {"buffer": 0, "byteOffset": start + skip, "byteLength": size - skip, "byteStride": 20} for skip in (0, 12)
    ]
    for view, kind in enumerate(("VEC3", "VEC2")):
        builder.add("accessors", {"bufferView": view, "componentType": 5126, "count": count, "type": kind})
    builder.node(builder.mesh({"attributes": {"POSITION": 0, "TEXCOORD_0": 1}}))
    document, binary = exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    assert len(binary) < 1.2 * size + len(encoded(picture(32))) + 100
    np.testing.assert_array_equal(values_of(document, binary, 1), rows[:, 3:])


# what came in otherwise

OBJ = """mtllib m.mtl
o left
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 2
usemtl wood
f 1/1/1 2/2/1 3/3/1
usemtl glass
f 1/1/1 3/3/1 4/4/1
o right
v 2 0 0
v 3 0 0
v 3 1 0
usemtl wood
f 5/1 6/2 7/3
"""


def obj(folder: Path) -> Path:
    Image.fromarray(picture()).save(folder / "wood.png")
    (folder / "m.mtl").write_text("newmtl wood\nmap_Kd wood.png\nnewmtl glass\nKd 0.5 0.25 1\n")
    (folder / "a.obj").write_text(OBJ)
    return folder / "a.obj"


def test_a_node_an_object_and_a_primitive_a_material(tmp_path: Path) -> None:
    mesh = load_mesh(obj(tmp_path), skip=["glass"])
    document, binary = exported(mesh, tmp_path)
    assert [node["name"] for node in document["nodes"]] == ["left", "right"]
    assert document["scenes"] == [{"nodes": [0, 1]}]
    names = [material["name"] for material in document["materials"]]
    shown = [
        [names[p["material"]] for p in document["meshes"][node["mesh"]]["primitives"]] for node in document["nodes"]
    ]
    assert shown == [["wood", "glass"], ["wood"]]
    wood, glass = document["materials"]
    assert wood["pbrMetallicRoughness"] == {
        "metallicFactor": 0.0, "roughnessFactor": 0.9, "baseColorTexture": {"index": 0},
    }  # fmt: skip
    assert len(document["images"]) == 1
    linear = glass["pbrMetallicRoughness"]["baseColorFactor"]
    np.testing.assert_allclose(linear, [0.214, 0.051, 1, 1], atol=0.005)
    assert document["samplers"] == [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}]
    assert document["asset"]["generator"] == "texopt"
    left, right = (mesh["primitives"][0]["attributes"] for mesh in document["meshes"])
    np.testing.assert_array_equal(values_of(document, binary, left["NORMAL"]), [[0, 0, 1]] * 3)  # units
    assert "NORMAL" not in right
    same_picture(mesh, noise(mesh), load_mesh(tmp_path / "out" / "b.glb"))


@pytest.mark.parametrize(("count", "kind"), [(65_535, 5123), (65_536, 5125)])
def test_indices_are_as_small_as_they_can_be(tmp_path: Path, count: int, kind: int) -> None:
    """The highest value of each type is reserved (primitive restart)."""
    points = np.zeros((count, 3))
    points[:, 0], points[::2, 1] = np.arange(count), 1
    faces = np.stack([np.arange(count - 2) + i for i in range(3)], 1).astype(np.int32)
    original = np.zeros((1, 1, 3), np.uint8)
    mesh = Mesh("strip", points, faces, points[:, :2] / count, faces, None, None, (TextureMap(original),))
    document, _ = exported(mesh, tmp_path)
    entry = document["accessors"][document["meshes"][0]["primitives"][0]["indices"]]
    assert entry["componentType"] == kind
    assert load_mesh(tmp_path / "out" / "b.glb").faces.tolist() == faces.tolist()


@pytest.mark.parametrize("source", ["obj", "glb"])
def test_unlit(tmp_path: Path, source: str) -> None:
    path = obj(tmp_path) if source == "obj" else scene().glb(tmp_path / "a.glb")
    kept = "glass" if source == "obj" else "kept"
    document, _ = exported(load_mesh(path, skip=[kept]), tmp_path, unlit=True)
    assert document["extensionsUsed"].count("KHR_materials_unlit") == 1
    for material in document["materials"]:
        extensions = [*material.get("extensions", {})]
        assert extensions == ([] if material["name"] == kept else ["KHR_materials_unlit"])  # it excludes all others
        assert material["pbrMetallicRoughness"]["metallicFactor"] == 0.0


def test_the_json_is_what_readers_expect(tmp_path: Path) -> None:
    """Chunks of multiples of four bytes, padded with spaces and zeros, JSON without a byte order mark."""
    builder = scene()
    builder.document["extras"]["odd"] = "\ud800 ü"
    exported(load_mesh(builder.glb(tmp_path / "a.glb")), tmp_path)
    data = (tmp_path / "out" / "b.glb").read_bytes()
    size = int.from_bytes(data[12:16], "little")
    assert size % 4 == len(data) % 4 == 0
    text = data[20 : 20 + size].decode()
    assert text.startswith("{")
    assert text.rstrip(" ").endswith("}")
    assert json.loads(text)["extras"]["odd"] == "\ud800 ü"
    document, _ = unpacked(tmp_path / "out" / "b.glb")
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize("order", [(1, -1), (-1, 1)])
def test_a_mirrored_copy_faces_outward_as_obj_and_shares_its_texels(
    tmp_path: Path, order: tuple[int, int], unwrap: bool
) -> None:
    builder = Builder()
    mesh = builder.mesh(builder.quad())
    for side in order:
        builder.node(mesh, scale=[side, 1, 1], translation=[2 * side, 0, 0])
    loaded = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=unwrap)
    export(loaded, torch.rand(3, 16, 16), tmp_path / "b.obj")
    again = load_mesh(tmp_path / "b.obj")
    a, b, c = again.vertices[again.faces].transpose(1, 0, 2)
    assert again.normals is not None
    assert again.face_normals is not None
    assert (np.cross(b - a, c - a) * again.normals[again.face_normals[:, 0]]).sum(1).min() > 0.9
    places = np.abs(again.vertices[again.faces]) - (2, 0, 0)  # of both, on the mesh
    corners = np.concatenate([places, again.uvs[again.face_uvs]], 2).round(5)
    first, second = ({frozenset(map(tuple, face.tolist())) for face in some} for some in (corners[:2], corners[2:]))
    assert first == second


def test_opacity_comes_along_to_new_uvs(tmp_path: Path) -> None:
    values = np.full((64, 64, 4), 255, np.uint8)
    values[:, :32, 3] = 0  # the left half is clear
    builder = Builder()
    builder.node(
        builder.mesh(
            builder.quad() | {"material": builder.material(builder.texture(encoded(values)), alphaMode="BLEND")}
        )
    )
    loaded = load_mesh(builder.glb(tmp_path / "a.glb"), unwrap=True)
    assert loaded.maps[0].alpha is not None
    export(loaded, torch.rand(3, 64, 64), tmp_path / "b.glb")
    again = load_mesh(tmp_path / "b.glb")
    alpha = again.maps[0].alpha
    assert alpha is not None
    for x, expected in ((0.25, 0), (0.75, 255)):  # on the lower right triangle, which has the texture's x as its own
        corners, uvs = again.vertices[again.faces[0]], again.uvs[again.face_uvs[0]]
        weights = np.linalg.solve(np.vstack([corners[:, :2].T, np.ones(3)]), [x, 0.1, 1])
        u, v = weights @ uvs
        assert abs(int(alpha[int((1 - v) * 64), int(u * 64)]) - expected) < 20


@pytest.mark.parametrize(("kind", "two_sided"), [("closed", False), ("inside out", True), ("open", True)])
def test_what_is_not_solid_shows_both_sides(tmp_path: Path, kind: str, two_sided: bool) -> None:
    """As renderings do, which draw every face from both."""
    mesh = make_cube()
    if kind == "inside out":
        mesh = replace(mesh, faces=mesh.faces[:, ::-1].copy(), face_uvs=mesh.face_uvs[:, ::-1].copy())
    if kind == "open":
        mesh = Mesh("open", mesh.vertices, mesh.faces[:10], mesh.uvs, mesh.face_uvs[:10], None, None, mesh.maps)
    export(mesh, torch.rand(3, 8, 8), tmp_path / "a.glb")
    document, _ = unpacked(tmp_path / "a.glb")
    assert document["materials"][0].get("doubleSided", False) is two_sided
