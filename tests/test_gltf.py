"""Reading glTF: by the specification, and as trimesh reads it; broken files are said to be."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from gltf_builder import CODES, QUAD, QUAD_INDICES, QUAD_UVS, Builder, encoded, packed, picture

from texopt import load_mesh
from texopt.errors import ImageError, MeshError, TexoptError
from texopt.io.gltf.document import node_matrix, triangles
from texopt.io.gltf.file import read_gltf
from texopt.io.gltf.write import glb_bytes
from texopt.io.raw import RawMesh
from texopt.io.read import read
from texopt.system.srgb import linear_to_srgb, srgb_to_linear


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, small_originals: None) -> None:
    """Small textures, and every face its own chart, all in one place."""

    def unwrap(vertices: np.ndarray, faces: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        return np.tile([[0.0, 0], [1, 0], [0, 1]], (len(faces), 1)), np.arange(3 * len(faces)).reshape(-1, 3)

    monkeypatch.setattr("texopt.io.unwrapping.unwrap.unwrap_faces", unwrap)


def corners(raw: RawMesh) -> np.ndarray:
    return raw.vertices[raw.faces]


def corner_uvs(raw: RawMesh) -> np.ndarray:
    return raw.uvs[raw.face_uvs]


def single(builder: Builder, primitive: dict[str, Any], **node: Any) -> Builder:
    builder.node(builder.mesh(primitive), **node)
    return builder


def read_built(builder: Builder, folder: Path) -> RawMesh:
    return read(builder.glb(folder / "a.glb"))


# accessors


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("gap", [0, 8])
def test_accessors_of_every_type(tmp_path: Path, kind: str, normalized: bool, gap: int) -> None:
    """Interleaved with other data (a stride and an offset) or not, as integers or as what they stand for."""
    if kind == "float32":
        values = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
        normalized = False
    else:
        limits = np.iinfo(kind)
        values = np.random.default_rng(0).integers(limits.min, limits.max, (7, 4), kind, endpoint=True)
        values[0] = limits.min
        values[1] = limits.max
    row = values.itemsize * 4 + gap
    mixed = np.full((7, row), 0xAB, np.uint8)
    mixed[:, gap // 2 : gap // 2 + values.itemsize * 4] = values.view(np.uint8)
    builder = Builder()
    view = builder.view(b"\1" * 8 + mixed.tobytes(), **({"byteStride": row} if gap else {}))
    entry = {"bufferView": view, "byteOffset": 8 + gap // 2, "componentType": CODES[kind], "count": 7, "type": "VEC4"}
    builder.add("accessors", entry | ({"normalized": True} if normalized else {}))
    file = read_gltf(builder.glb(tmp_path / "a.glb"))
    np.testing.assert_array_equal(file.accessor(0, raw=True), values)
    if not normalized:
        np.testing.assert_array_equal(file.accessor(0), values)
    else:  # the specification's equations: c / 127, and not less than -1
        whole = np.maximum(values.astype(np.float64) / {1: 127, 2: 32767}.get(values.itemsize, 1), -1.0)
        expected = whole if limits.min < 0 else values / float(limits.max)
        np.testing.assert_allclose(file.accessor(0), expected, rtol=1e-12)


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32"])
def test_sparse_accessors(tmp_path: Path, base: bool, kind: str) -> None:
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    new = np.array([[7, 8, 9], [-1, -2, -3]], np.float32)
    builder = Builder()
    index = builder.accessor(values)
    entry = builder.document["accessors"][index]
    if not base:
        del entry["bufferView"]
    entry["sparse"] = {
        "count": 2,
        "indices": {"bufferView": builder.view(np.array([1, 3], kind).tobytes()), "componentType": CODES[kind]},
        "values": {"bufferView": builder.view(b"pad!" + new.tobytes()), "byteOffset": 4},
    }
    expected = values if base else np.zeros_like(values)
    expected[[1, 3]] = new
    np.testing.assert_array_equal(read_gltf(builder.glb(tmp_path / "a.glb")).accessor(index), expected)


def test_matrices_of_small_integers_have_padded_columns(tmp_path: Path) -> None:
    builder = Builder()
    view = builder.view(bytes([1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0]))
    builder.add("accessors", {"bufferView": view, "componentType": 5121, "count": 1, "type": "MAT3"})
    assert read_gltf(builder.glb(tmp_path / "a.glb")).accessor(0).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]


# primitives


def test_modes() -> None:
    """The specification's formulas, written out."""
    index = np.array([4, 2, 7, 1, 9, 3, 5], np.uint8)
    strip = [[index[i], index[i + 1 + i % 2], index[i + 2 - i % 2]] for i in range(5)]
    fan = [[index[i + 1], index[i + 2], index[0]] for i in range(5)]
    assert triangles(index, 4).tolist() == [[4, 2, 7], [1, 9, 3]]
    assert triangles(index, 5).tolist() == strip
    assert triangles(index, 6).tolist() == fan
    assert triangles(index[:2], 5).shape == triangles(index[:2], 6).shape == (0, 3)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", None])
def test_primitives_are_as_trimesh_reads_them(tmp_path: Path, kind: str | None) -> None:
    rng = np.random.default_rng(0)
    builder = Builder()
    points = rng.normal(size=(9, 3)).astype(np.float32)
    attributes = {"POSITION": builder.positions(points)}
    attributes["TEXCOORD_0"] = builder.accessor(rng.random((9, 2)).astype(np.float32))
    primitive: dict[str, Any] = {"attributes": attributes}
    if kind is not None:
        primitive["indices"] = builder.accessor(rng.permutation(9).astype(kind))
    texture = builder.texture(encoded(picture()))
    primitive["material"] = builder.material(texture)
    single(builder, primitive)
    raw = read_built(builder, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (part,) = trimesh.load_scene(tmp_path / "a.glb", process=False).dump()
    np.testing.assert_allclose(corners(raw), part.vertices[part.faces], atol=1e-6)
    np.testing.assert_allclose(corner_uvs(raw), part.visual.uv[part.faces], atol=1e-6)


def test_points_and_lines_are_skipped(tmp_path: Path) -> None:
    builder = Builder()
    primitives = [builder.quad() | {"mode": mode} for mode in (0, 1, 2, 3)]
    builder.node(builder.mesh(*primitives, builder.quad()))
    raw = read_built(builder, tmp_path)
    assert len(raw.faces) == 2
    assert [piece.primitive for piece in raw.source.pieces] == [4]
    only = Builder()
    with pytest.raises(MeshError, match="no faces"):
        load_mesh(single(only, only.quad() | {"mode": 1}).glb(tmp_path / "lines.glb"))


# nodes

TURNED = [0.5, 0.5, 0.5, 0.5]  # x to y, y to z, z to x


def test_transforms_nest_and_matrices_are_trs(tmp_path: Path) -> None:
    trs = {"translation": [1, 2, 3], "rotation": TURNED, "scale": [2, 3, 4]}
    # columns: images of x, y and z, then the translation
    matrix = [0, 2, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 1, 2, 3, 1]
    np.testing.assert_allclose(node_matrix(trs), node_matrix({"matrix": matrix}))
    for outer, inner in ((trs, {"matrix": matrix}), ({"matrix": matrix}, trs)):
        builder = Builder()
        child = builder.node(builder.mesh(builder.quad()), root=False, **inner)
        builder.node(children=[child], **outer)
        raw = read_built(builder, tmp_path)
        # (1,0,0) -> (1,4,3) -> (1,2,3) + (4*3, 2*1, 3*4)
        np.testing.assert_allclose(raw.vertices[:2], [[13, 4, 9], [13, 4, 15]])
        scene = trimesh.load_scene(tmp_path / "a.glb", process=False)
        (part,) = scene.dump()
        np.testing.assert_allclose(corners(raw), part.vertices[part.faces], atol=1e-6)


def test_a_mirroring_node_turns_faces_and_normals(tmp_path: Path) -> None:
    """The specification: a negative determinant makes the winding clockwise. The front stays the front."""
    builder = Builder()
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 1]], np.float32)
    normal = np.cross(points[1], points[2])
    normals = builder.accessor(np.tile(normal / np.linalg.norm(normal), (3, 1)).astype(np.float32))
    uvs = builder.accessor(QUAD_UVS[:3])
    single(
        builder,
        {"attributes": {"POSITION": builder.positions(points), "NORMAL": normals, "TEXCOORD_0": uvs}},
        scale=[-1, 2, 1], rotation=TURNED,
    )  # fmt: skip
    raw = read_built(builder, tmp_path)
    assert raw.faces.tolist() == [[0, 2, 1]]
    a, b, c = corners(raw)[0]
    front = np.cross(b - a, c - a)
    np.testing.assert_allclose(raw.normals[0], front / np.linalg.norm(front), atol=1e-6)
    # linear maps of the plane: the picture is turned with the corners
    np.testing.assert_allclose(corner_uvs(raw)[0], (QUAD_UVS[:3] * (1, -1) + (0, 1))[[0, 2, 1]])


def test_the_default_scene_is_read(tmp_path: Path) -> None:
    builder = Builder()
    mesh = builder.mesh(builder.quad())
    nodes = [builder.node(mesh, root=False, name=name, translation=[x, 0, 0]) for x, name in ((0, "a"), (5, "b"))]
    builder.document["scenes"] = [{"nodes": [nodes[0]]}, {"nodes": [nodes[1]]}]
    for scene, expected in ((0, ["a"]), (1, ["b"]), (None, ["a"])):
        builder.document["scene"] = scene
        if scene is None:
            del builder.document["scene"]
        assert read_built(builder, tmp_path).objects == expected
    del builder.document["scenes"]
    assert read_built(builder, tmp_path).objects == ["a", "b"]  # without any, all roots


def test_a_mesh_shown_twice_shares_uvs_and_texture(tmp_path: Path) -> None:
    builder = Builder()
    mesh = builder.mesh(builder.quad() | {"material": builder.material(builder.texture(encoded(picture())))})
    builder.node(mesh, name="left")
    builder.node(mesh, name="right", translation=[3, 0, 0])
    path = builder.glb(tmp_path / "a.glb")
    raw = read(path)
    assert raw.copy_of.tolist() == [0, 1, 0, 1]
    assert raw.face_uvs[:2].tolist() == raw.face_uvs[2:].tolist()
    assert raw.objects == ["left", "right"]
    assert raw.face_object.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(corners(raw)[2:], corners(raw)[:2] + np.array([3, 0, 0]))
    for unwrap in (False, True):
        loaded = load_mesh(path, unwrap=unwrap)
        assert len(loaded.maps) == 1
        assert loaded.face_uvs[:2].tolist() == loaded.face_uvs[2:].tolist()


def test_names_come_from_nodes_or_else_meshes(tmp_path: Path) -> None:
    builder = Builder()
    builder.node(builder.mesh(builder.quad(), name="mesh"), name="node")
    builder.node(builder.mesh(builder.quad(), name="mesh"))
    builder.node(builder.mesh(builder.quad()), name=7)
    builder.add("materials", {"name": ["odd"]})
    builder.document["meshes"][0]["primitives"][0]["material"] = 0
    raw = read_built(builder, tmp_path)
    assert raw.objects == ["node", "mesh", ""]
    assert raw.names == ["material_0", ""]


# skins and morph targets


@pytest.mark.parametrize("node", [{}, {"translation": [9, 9, 9], "scale": [-1, 1, 1]}])
def test_skins_are_posed_by_their_joints(tmp_path: Path, node: dict[str, Any]) -> None:
    """By hand: joint 0 moves by (0,0,5); joint 1, bound at (1,0,0), is turned by 90° about z there and raised by 2."""
    builder = Builder()
    joints = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], np.uint8)
    weights = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
    primitive = builder.quad(JOINTS_0=builder.accessor(joints), WEIGHTS_0=builder.accessor(weights))
    inverse = np.stack([np.eye(4), np.eye(4)]).astype(np.float32)
    inverse[1, 3, 0] = -1  # column-major: the translation is the last row
    half = float(np.sqrt(0.5))
    first = builder.node(translation=[0, 0, 5])
    second = builder.node(translation=[1, 2, 0], rotation=[0, 0, half, half])
    skin = builder.add("skins", {
        "joints": [first, second], "inverseBindMatrices": builder.accessor(inverse.reshape(2, 16)),
    })  # fmt: skip
    builder.node(builder.mesh(primitive), skin=skin, **node)
    raw = read_built(builder, tmp_path)
    # (0,1,0): half of (0,1,5), half of (1,2,0) + turned (-1,1,0)
    expected = [[0, 0, 5], [1, 2, 0], [0, 2, 0], [0, 1, 2.5]]
    np.testing.assert_allclose(raw.vertices, expected, atol=1e-6)
    np.testing.assert_allclose(raw.normals[:3], [[0, 0, 1]] * 3, atol=1e-6)
    assert raw.faces.tolist() == QUAD_INDICES.reshape(2, 3).tolist()  # a skinned node's own matrix does not count


def test_skins_may_have_more_than_four_joints_and_no_inverse_matrices(tmp_path: Path) -> None:
    builder = Builder()
    one = np.tile(np.array([0, 0, 0, 0], np.uint16), (4, 1))
    half = np.tile(np.array([128, 0, 0, 0], np.uint8), (4, 1))  # both sets together are normalised
    primitive = builder.quad(
        JOINTS_0=builder.accessor(one), WEIGHTS_0=builder.accessor(half, normalized=True),
        JOINTS_1=builder.accessor(one + 1), WEIGHTS_1=builder.accessor(half, normalized=True),
    )  # fmt: skip
    joints = [builder.node(translation=[2, 0, 0]), builder.node(translation=[0, 4, 0])]
    builder.node(builder.mesh(primitive), skin=builder.add("skins", {"joints": joints}))
    np.testing.assert_allclose(read_built(builder, tmp_path).vertices, QUAD + np.array([1, 2, 0]), atol=1e-6)


@pytest.mark.parametrize(("node", "weight"), [({}, 0.5), ({"weights": [2.0]}, 2.0)])
def test_morph_targets_stand_as_their_weights_say(tmp_path: Path, node: dict[str, Any], weight: float) -> None:
    builder = Builder()
    delta = np.arange(12, dtype=np.float32).reshape(4, 3)
    primitive = builder.quad() | {"targets": [{"POSITION": builder.positions(delta)}]}
    builder.node(builder.mesh(primitive, weights=[0.5]), **node)
    np.testing.assert_allclose(read_built(builder, tmp_path).vertices, QUAD + weight * delta)


# colours


def base_of(builder: Builder, folder: Path) -> np.ndarray:
    """The original texture of the only map."""
    (texture,) = load_mesh(builder.glb(folder / "a.glb")).maps
    return texture.original


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("width", [3, 4])
def test_factor_texture_and_vertex_colours_multiply_in_linear_light(tmp_path: Path, kind: str, width: int) -> None:
    builder = Builder()
    tint = np.array([0.8, 0.4, 0.2, 0.5])[:width]
    stored = np.tile(tint, (4, 1))
    stored = stored.astype(kind) if kind == "float32" else (stored * np.iinfo(kind).max).round().astype(kind)
    colors = builder.accessor(stored, **({} if kind == "float32" else {"normalized": True}))
    texture = builder.texture(encoded(np.full((8, 8, 3), (200, 150, 100), np.uint8)))
    material = builder.material(texture, (0.5, 0.9, 1.0, 1.0))
    single(builder, builder.quad(COLOR_0=colors) | {"material": material})
    linear = srgb_to_linear(np.array([200, 150, 100]) / 255) * (0.5, 0.9, 1.0) * tint[:3]
    np.testing.assert_allclose(base_of(builder, tmp_path)[20, 20], linear_to_srgb(linear) * 255, atol=1.6)


def test_materials_of_the_same_image_and_factor_share_a_map(tmp_path: Path) -> None:
    builder = Builder()
    texture = builder.texture(encoded(picture()))
    other = builder.add("textures", {"source": 0})
    materials = [builder.material(texture), builder.material(other), builder.material(texture, (0.5, 1, 1, 1))]
    builder.node(builder.mesh(*(builder.quad() | {"material": index} for index in materials)))
    loaded = load_mesh(builder.glb(tmp_path / "a.glb"))
    assert loaded.face_map.tolist() == [0, 0, 0, 0, 1, 1]
    np.testing.assert_array_equal(loaded.maps[0].original, picture())


@pytest.mark.parametrize("mode", ["OPAQUE", "MASK", "BLEND", None])
def test_alpha_counts_only_where_the_material_says_so(tmp_path: Path, mode: str | None) -> None:
    builder = Builder()
    values = picture(alpha=True)
    mask = {} if mode is None else {"alphaMode": mode}
    single(builder, builder.quad() | {"material": builder.material(builder.texture(encoded(values)), **mask)})
    (texture,) = load_mesh(builder.glb(tmp_path / "a.glb")).maps
    if mode in ("MASK", "BLEND"):
        np.testing.assert_array_equal(texture.alpha, values[..., 3])
    else:
        assert texture.alpha is None
        np.testing.assert_array_equal(texture.original, values[..., :3])


def test_specular_glossiness(tmp_path: Path) -> None:
    builder = Builder()
    glossy = {"diffuseTexture": {"index": builder.texture(encoded(picture()))}, "diffuseFactor": [1, 1, 1, 1]}
    material = builder.add("materials", {"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}})
    builder.document["extensionsRequired"] = ["KHR_materials_pbrSpecularGlossiness"]
    single(builder, builder.quad() | {"material": material})
    np.testing.assert_array_equal(base_of(builder, tmp_path), picture())


@pytest.mark.parametrize("fallback", [False, True])
def test_webp(tmp_path: Path, fallback: bool) -> None:
    builder = Builder()
    builder.texture(encoded(picture(), "WEBP"), "image/webp")
    builder.document["textures"] = [{"extensions": {"EXT_texture_webp": {"source": 0}}}]
    if fallback:
        builder.texture(encoded(picture(seed=1)))
        builder.document["textures"][0]["source"] = 1
    builder.document["extensionsRequired"] = ["EXT_texture_webp"]
    single(builder, builder.quad() | {"material": builder.material(0)})
    np.testing.assert_array_equal(base_of(builder, tmp_path), picture())


# UVs


def test_the_base_colour_says_which_uvs(tmp_path: Path) -> None:
    builder = Builder()
    other = builder.accessor((QUAD_UVS * 65535 / 2).astype(np.uint16), normalized=True)
    material = builder.material(builder.texture(encoded(picture())))
    reference = builder.document["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"]
    single(builder, builder.quad(TEXCOORD_1=other) | {"material": material})
    halves = QUAD_UVS / 2 * (1, -1) + (0, 1)
    for place in (reference, {"KHR_texture_transform": {}}):
        if place is not reference:
            reference |= {"texCoord": 0, "extensions": place}
            place = place["KHR_texture_transform"]
        place["texCoord"] = 1
        np.testing.assert_allclose(
            corner_uvs(read_built(builder, tmp_path)), halves[QUAD_INDICES].reshape(2, 3, 2), atol=1e-4
        )


def test_texture_transforms(tmp_path: Path) -> None:
    """ "Rotate the UVs by this many radians counter-clockwise around the origin", which is the image's upper left: 90°
    take (1,0), its right, to (0,-1), up. It is what Blender and three.js do; the scale comes first, the offset last."""
    builder = Builder()
    material = builder.material(builder.texture(encoded(picture())))
    reference = builder.document["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"]
    reference["extensions"] = {"KHR_texture_transform": {"offset": [0.25, 0.5], "rotation": np.pi / 2, "scale": [2, 3]}}
    single(builder, builder.quad() | {"material": material})
    raw = read_built(builder, tmp_path)
    u, v = QUAD_UVS.T
    expected = np.stack([3 * v + 0.25, -2 * u + 0.5], 1)
    np.testing.assert_allclose(raw.uvs, expected * (1, -1) + (0, 1), atol=1e-6)


def test_a_shared_accessor_is_read_once_a_transform(tmp_path: Path) -> None:
    builder = Builder()
    plain, moved = (builder.material(builder.texture(encoded(picture()))) for _ in range(2))
    reference = builder.document["materials"][moved]["pbrMetallicRoughness"]["baseColorTexture"]
    reference["extensions"] = {"KHR_texture_transform": {"offset": [0.5, 0]}}
    quad = builder.quad()
    builder.node(builder.mesh(*(quad | {"material": index} for index in (plain, plain, moved))))
    raw = read_built(builder, tmp_path)
    assert len(raw.vertices) == 4
    assert len(raw.uvs) == 8
    np.testing.assert_allclose(corner_uvs(raw)[4:], corner_uvs(raw)[:2] + np.array([0.5, 0]))


# files


def textured_quad() -> Builder:
    builder = Builder()
    return single(builder, builder.quad() | {"material": builder.material(builder.texture(encoded(picture())))})


def test_one_document_as_all_kinds_of_files(tmp_path: Path) -> None:
    builder = textured_quad()
    glb = read(builder.glb(tmp_path / "a.glb"))
    embedded = read(builder.gltf(tmp_path / "b.gltf"))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "my skin.png").write_bytes(encoded(picture()))
    builder.document["images"] = [{"uri": "pics/my%20skin.png"}]
    external = read(builder.gltf(tmp_path / "c.gltf", external=True))
    assert [file.name for file in external.files] == ["c.gltf", "my data.bin", "my skin.png"]
    builder.document["images"] = [{"uri": "data:image/png;base64," + base64.b64encode(encoded(picture())).decode()}]
    inline = read(builder.gltf(tmp_path / "d.gltf"))
    for raw in (embedded, external, inline):
        np.testing.assert_array_equal(corners(raw), corners(glb))
        np.testing.assert_array_equal(raw.materials[0].texture, picture())


# what cannot be read

SOON = 30  # seconds of the processor, on slow ones too; what takes a second on a good one is wrong by far more


def refused(path: Path, match: str = "is", error: type[TexoptError] = TexoptError) -> str:
    """The message: one line about that file, soon."""
    start = time.process_time()
    with pytest.raises(error, match=match) as caught:
        load_mesh(path)
    assert time.process_time() - start < SOON
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 300 + len(str(path))
    return message


@pytest.mark.parametrize(("uri", "words"), [
    ("nowhere.bin", r"'nowhere.bin' \((buffers|images)\[0\].uri\), which is not there"),
    ("../out.bin", "outside of its folder"),
    ("%2e%2e/out.bin", "outside of its folder"), ("/etc/hostname", "outside of its folder"),
    ("link.bin", "outside of its folder"), ("http://example.org/a.bin", "fetches nothing"),
    ("file:///etc/hostname", "fetches nothing"), ("C:\\a.bin", "fetches nothing"),
    ("a%00b", "cannot be read|not there"), ("folder", "which is not there"), ("x" * 5000, "too long"),
    ("data:;base64,AAA", "data in (buffers|images).0..uri that is not base64"),
    ("data:;base64,AAAA", "ends at byte .*which has 3"),
    (7, r"(buffers|images)\[0\].uri has to be a text, not 7"), (None, "has to be a text, not null"),
    ("", "which is not there"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["buffers", "images"])
def test_no_file_but_those_beside_it(tmp_path: Path, kind: str, uri: Any, words: str) -> None:
    folder = tmp_path / "in"
    (folder / "folder").mkdir(parents=True)
    builder = textured_quad()
    path = builder.gltf(folder / "a.gltf")
    (tmp_path / "out.bin").write_bytes(builder.binary)
    os.symlink(tmp_path / "out.bin", folder / "link.bin")
    document = json.loads(path.read_text())
    document[kind][0] = ({"byteLength": 1} if kind == "buffers" else {}) | {"uri": uri}
    path.write_text(json.dumps(document))
    if kind == "images" and uri == "data:;base64,AAAA":
        words = "is not an image"
    refused(path, words)


@pytest.mark.parametrize(("extension", "words"), [
    ("KHR_draco_mesh_compression", "compressed with Draco"),
    ("EXT_meshopt_compression", "compressed with meshoptimizer"),
    ("KHR_texture_basisu", "KTX2 textures"), ("ACME_holograms", "requires ACME_holograms"),
])  # fmt: skip
def test_what_is_required_and_not_read_is_named(tmp_path: Path, extension: str, words: str) -> None:
    builder = textured_quad()
    builder.document["extensionsRequired"] = builder.document["extensionsUsed"] = [extension]
    refused(builder.glb(tmp_path / "a.glb"), words)
    builder.document["extensionsRequired"] = []
    assert len(load_mesh(builder.glb(tmp_path / "a.glb")).faces) == 2


def test_draco_with_and_without_a_fallback(tmp_path: Path) -> None:
    builder = textured_quad()
    primitive = builder.document["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    path = builder.glb(tmp_path / "a.glb")
    assert len(load_mesh(path).faces) == 2
    assert "extensions" not in primitive or "Draco" not in str(read_gltf(path).document)
    del builder.document["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    refused(builder.glb(path), "compressed with Draco")


def test_a_texture_that_is_only_ktx2(tmp_path: Path) -> None:
    builder = textured_quad()
    builder.document["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    refused(builder.glb(tmp_path / "a.glb"), "KHR_texture_basisu", ImageError)


def test_nodes_are_a_forest(tmp_path: Path) -> None:
    for nodes, roots in (
        ([{"mesh": 0, "children": [1]}, {"children": [0]}], [0]),
        ([{"mesh": 0, "children": [0]}], [0]),
        ([{"children": [2]}, {"children": [2]}, {"mesh": 0}], [0, 1]),
        ([{"children": [2]}, {"children": [2]}, {"mesh": 0}], [0]),
        ([{"mesh": 0}], [0, 0]),
    ):
        builder = textured_quad()
        builder.document["nodes"] = nodes
        builder.document["scenes"] = [{"nodes": roots}]
        refused(builder.glb(tmp_path / "a.glb"), "no tree|two parents")


def test_long_chains_of_nodes(tmp_path: Path) -> None:
    """Ten times as many take about ten times as long on any machine; a hundred times, if each looks at all others."""
    seconds = {}
    for count in (1000, 10_000):
        builder = textured_quad()
        builder.document["nodes"] = [{"translation": [1, 0, 0], "children": [index + 1]} for index in range(count)]
        builder.document["nodes"].append({"mesh": 0})
        start = time.process_time()
        raw = read_built(builder, tmp_path)
        seconds[count] = time.process_time() - start
        np.testing.assert_allclose(raw.vertices, QUAD + np.array([count, 0, 0]))
    assert seconds[10_000] < 40 * seconds[1000]


@pytest.mark.parametrize("deep", ["[" * 100_000, "[" * 100 + "]" * 100, '{"a":' * 500 + "1" + "}" * 500])
def test_deep_nesting(tmp_path: Path, deep: str) -> None:
    document = json.dumps(textured_quad().finished())
    (tmp_path / "a.gltf").write_text(document[:-1] + ', "extras": ' + deep + "}")
    refused(tmp_path / "a.gltf", "nested too deep")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "1" * 5000])
def test_numbers_that_are_none(tmp_path: Path, value: str) -> None:
    document = json.dumps(textured_quad().finished())
    (tmp_path / "a.gltf").write_text(document[:-1] + f', "extras": [{value}]}}')
    refused(tmp_path / "a.gltf", "not a valid GLTF")


@pytest.mark.parametrize("change", [
    {"count": 2**40}, {"count": -1}, {"count": 3}, {"count": "4"}, {"count": 1.5}, {"type": "VEC9"}, {"type": "VEC2"},
    {"componentType": 1}, {"bufferView": 99}, {"bufferView": -1}, {"bufferView": True},
    {"bufferView": 0, "byteOffset": -4}, {"bufferView": 0, "byteOffset": 2**70},
    {"sparse": {"count": 2**40, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 0}}},
    {"sparse": {"count": 1, "indices": {"bufferView": 0, "componentType": 5126}, "values": {"bufferView": 0}}},
])  # fmt: skip
@pytest.mark.parametrize("data", [True, False])
def test_broken_accessors(tmp_path: Path, change: dict[str, Any], data: bool) -> None:
    builder = textured_quad()
    entry = builder.document["accessors"][builder.document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    if not data:
        del entry["bufferView"]
    entry.update(change)
    refused(builder.glb(tmp_path / "a.glb"))


TYPES = "SCALAR, VEC2, VEC3, VEC4, MAT2, MAT3, MAT4"
QUADS = "meshes[0].primitives[0]"
MOVED = "pbrMetallicRoughness.baseColorTexture.extensions.KHR_texture_transform.scale"
WORDS = [  # what is changed in everything(), and the message
    ("accessors.0.type", "VEC5", f'accessors[0].type has to be one of {TYPES}, not "VEC5"'),
    ("accessors.0.type", None, "accessors[0].type is missing"),
    ("accessors.0.count", 2.5, "accessors[0].count has to be an integer of 0 or more, not 2.5"),
    ("accessors.0.count", 5, "accessors[0] has 5 elements that end at byte 15 of bufferViews[1], which has 12"),
    ("accessors.0.bufferView", 99, "accessors[0].bufferView is 99, and there are 16 bufferViews"),
    ("accessors", {}, "accessors has to be a list, not {}"),
    ("meshes.0.primitives", None, "meshes[0].primitives is missing"),
    ("meshes.0.primitives.0", "x", 'meshes[0].primitives[0] has to be an object, not "x"'),
    ("meshes.0.primitives.0.attributes.POSITION", 1,
     f"accessors[1].type has to be VEC3 for {QUADS}.attributes.POSITION, not VEC4"),
    ("meshes.0.primitives.0.indices", 0, f"accessors[0].type has to be SCALAR for {QUADS}.indices, not VEC3"),
    ("meshes.0.primitives.0.attributes.JOINTS_0", 2,
     f"accessors[2].componentType has to be 5121 or 5123 or 5125 for {QUADS}.attributes.JOINTS_0, not 5126"),
    ("nodes.0.skin", 4, "nodes[0].skin is 4, and there are 1 skins"),
    ("nodes.1.rotation", [0, 0, 1], "nodes[1].rotation has to be 4 numbers, not [0, 0, 1]"),
    ("nodes.1.scale", [1, "2", 1], 'nodes[1].scale[1] has to be a number, not "2"'),
    ("nodes.1.scale", [1, 10**400, 1], f"nodes[1].scale[1] has to be a number, not 1{36 * '0'}..."),
    ("nodes.0.children", [1], "nodes[0] is below itself: its nodes are no tree"),
    ("skins.0.joints", [0, 1], "skins[0].inverseBindMatrices has 1 matrices for 2 joints"),
    ("skins.0.joints", [], "nodes[0].skin has 0 joints, and its mesh asks for joint 0"),
    ("materials.0.normalTexture.index", True,
     "materials[0].normalTexture.index has to be the index of one of its 1 textures, not true"),
    (f"materials.0.{MOVED}", 2, f"materials[0].{MOVED} has to be 2 numbers, not 2"),
    ("images.0", {}, "images[0] has neither uri nor bufferView"),
    ("asset.version", 3, 'asset.version has to be "2.0", not 3'),
    ("asset", None, "asset.version is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "words"), WORDS, ids=[f"{place}-{str(new)[:9]}" for place, new, _ in WORDS])
def test_refusals_name_the_place_and_what_was_expected(tmp_path: Path, place: str, value: Any, words: str) -> None:
    """In the format's own terms; None: it is left out."""
    builder = everything()
    *parents, key = [int(part) if part.isdigit() else part for part in place.split(".")]
    item: Any = builder.document
    for parent in parents:
        item = item[parent]
    if value is None:
        del item[key]
    else:
        item[key] = value
    path = builder.glb(tmp_path / "a.glb")
    assert refused(path) == f"{path} is not a valid GLB file: {words}; export it again"


def test_indices_of_sparse_values_are_within_their_accessor(tmp_path: Path) -> None:
    builder = everything()
    (index,) = [index for index, entry in enumerate(builder.document["accessors"]) if "sparse" in entry]
    view = builder.document["bufferViews"][builder.document["accessors"][index]["sparse"]["indices"]["bufferView"]]
    builder.binary[view["byteOffset"]] = 4
    refused(builder.glb(tmp_path / "a.glb"), rf"accessors\[{index}\].sparse.indices go up to 4, and it has 4 elements")


@pytest.mark.parametrize("document", [
    {"asset": {"version": "1.0"}, "accessors": {}, "meshes": {}}, {"asset": {"version": "1.1"}},
    {"asset": {}, "meshes": {"m": {}}}, {"nodes": {}},
])  # fmt: skip
def test_gltf_1_is_named(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    refused(tmp_path / "a.gltf", r"is glTF 1.0, which texopt does not read; convert it to 2.0")
    (tmp_path / "a.glb").write_bytes(struct.pack("<4s4I", b"glTF", 1, 20, 0, 0))
    refused(tmp_path / "a.glb", r"is glTF 1.0, which texopt does not read; convert it to 2.0")


@pytest.mark.parametrize(("data", "words"), [
    (b"version https://git-lfs.github.com/spec/v1", "it begins with neither glTF nor JSON"),
    (b'{"asset": ', "its JSON is broken or cut short at line 1, column 11"),
    ('{"asset": {"version": "2.0"}}'.encode("utf-16"), "its JSON is not UTF-8 text at byte 0"),
    (struct.pack("<4sII", b"glTF", 2, 12), "it has no JSON chunk"),
    (struct.pack("<4sII", b"glTF", 2, 99), "it is cut short: it says 99 bytes and has 12"),
    (struct.pack("<4sII", b"glTF", 7, 12), "its version is 7, and texopt reads 2"),
])  # fmt: skip
def test_files_that_are_none(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.glb").write_bytes(data)
    refused(tmp_path / "a.glb", words)


@pytest.mark.parametrize("change", [
    {"byteLength": 2**40}, {"byteLength": -1}, {"byteOffset": -1}, {"byteOffset": 10**9}, {"buffer": 1}, {"buffer": -1},
    {"byteStride": -12}, {"byteStride": 2**40}, {"byteStride": 1}, {"byteStride": "12"},
])  # fmt: skip
def test_broken_views(tmp_path: Path, change: dict[str, Any]) -> None:
    builder = textured_quad()
    builder.document["bufferViews"][builder.document["accessors"][1]["bufferView"]].update(change)
    refused(builder.glb(tmp_path / "a.glb"))


def test_indices_out_of_range(tmp_path: Path) -> None:
    for kind, value in (("uint16", 4), ("uint32", 2**32 - 1)):
        builder = Builder()
        quad = builder.quad()
        quad["indices"] = builder.accessor(np.array([0, 1, value], np.int64).astype(kind))
        refused(single(builder, quad).glb(tmp_path / "a.glb"), "out of range")


def test_a_scene_that_explodes(tmp_path: Path) -> None:
    """Few bytes that stand for more than memory holds: a mesh in every of many nodes, one view in many."""
    builder = Builder()
    mesh = builder.mesh({"attributes": {"POSITION": builder.positions(np.zeros((300_000, 3), np.float32))}})
    for _ in range(1000):
        builder.node(mesh)
    refused(builder.glb(tmp_path / "a.glb"), "shows more than")
    document = builder.finished() | {"scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]}
    document["bufferViews"] = document["bufferViews"] * 10_000
    (tmp_path / "b.glb").write_bytes(packed(document, bytes(builder.binary)))
    refused(tmp_path / "b.glb", "no area")


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = textured_quad().glb(tmp_path / "whole.glb").read_bytes()
    (size,) = struct.unpack_from("<I", whole, 12)
    path = tmp_path / "a.glb"
    places = {*range(0, 40), 20 + size - 1, 20 + size, 20 + size + 4, 20 + size + 8, len(whole) - 1}
    for length in sorted(places):
        path.write_bytes(whole[:length])
        refused(path)
        path.write_bytes(whole[:8] + struct.pack("<I", length) + whole[12:length])  # and says that it is that short
        refused(path)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in items for place in _places(item, (*at, key)))]


def everything() -> Builder:
    """A document with a bit of all that is read."""
    builder = Builder()
    texture = builder.texture(encoded(picture()))
    materials = [builder.material(texture, (0.5, 0.5, 1, 1), name="skin"), builder.material(None, (1, 0, 0, 1))]
    info = builder.document["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    info["extensions"] = {"KHR_texture_transform": {"offset": [0.1, 0.2], "rotation": 0.3, "scale": [0.5, 0.5]}}
    info["texCoord"] = 0
    builder.document["materials"][0]["normalTexture"] = {"index": texture, "scale": 0.5}
    colors = builder.accessor(np.full((4, 3), 200, np.uint8), normalized=True)
    builder.document["bufferViews"][-1]["byteStride"] = 3
    joints = builder.accessor(np.zeros((4, 4), np.uint8))
    weights = builder.accessor(np.tile(np.float32([1, 0, 0, 0]), (4, 1)))
    quad = builder.quad(COLOR_0=colors, JOINTS_0=joints, WEIGHTS_0=weights) | {"material": materials[0]}
    quad["targets"] = [{"POSITION": builder.positions(QUAD)}]
    quad["mode"] = 4
    child = builder.node(builder.mesh(quad, name="m", weights=[0.5]), root=False, name="n", skin=0)
    builder.node(children=[child], translation=[1, 2, 3], rotation=TURNED, scale=[1, 2, 1])
    builder.node(builder.mesh(builder.quad() | {"material": materials[1]}), matrix=np.eye(4).reshape(-1).tolist())
    inverse = builder.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))
    builder.add("skins", {"joints": [1], "inverseBindMatrices": inverse})
    builder.add("samplers", {"wrapS": 33071})
    builder.document["textures"][0]["sampler"] = 0
    sparse = builder.document["accessors"][quad["attributes"]["NORMAL"]]
    sparse["sparse"] = {
        "count": 1, "indices": {"bufferView": builder.view(bytes([2])), "componentType": 5121},
        "values": {"bufferView": builder.view(np.float32([0, 0, 1]).tobytes())},
    }  # fmt: skip
    return builder


VALUES = [
    None, True, -1, 0, 1, 2, 7, 255, 2**31, 2**40, -(2**63), 2**200, 0.5, -1e300, 1e308, "", "0", "VEC3", "data:,x", [],
    [1], [0, 0], [[0]], ["a"], {}, {"index": 0}, {"bufferView": 0}, {"POSITION": 0}, "\ud800", "a/b\n",
]  # fmt: skip


@pytest.mark.slow
def test_mutated_documents_load_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred documents with a value replaced or missing: TexoptError or a mesh that goes out and in again."""
    monkeypatch.setattr("texopt.io.unwrapping.unwrap.report_uvs", lambda *_: None)  # slow, and not of glTF
    monkeypatch.setattr("texopt.io.original_textures.SIZE", 8)
    builder = everything()
    valid = builder.finished()
    places = [place for place in _places(valid) if place]
    rng = np.random.default_rng(0)
    path = tmp_path / "a.glb"
    png = encoded(picture())
    loaded = 0
    path.write_bytes(packed(valid, bytes(builder.binary)))
    for unwrap in (False, True):  # compiles what is timed
        load_mesh(path, unwrap=unwrap)
    for number in range(600):
        document = deepcopy(valid)
        for _ in range(rng.integers(1, 3)):
            *parents, key = places[rng.integers(len(places))]
            item = document
            try:
                for parent in parents:
                    item = item[parent]
                if rng.random() < 0.2:
                    del item[key]
                else:
                    item[key] = VALUES[rng.integers(len(VALUES))]
            except (KeyError, IndexError, TypeError):
                continue
        path.write_bytes(packed(document, bytes(builder.binary)))
        start = time.process_time()
        message, loaded_mesh = "", None
        try:
            loaded_mesh = load_mesh(path, unwrap=number % 2 == 0)
        except TexoptError as error:
            message = str(error)
        assert "\n" not in message
        if loaded_mesh is not None:
            path.write_bytes(glb_bytes(loaded_mesh, dict.fromkeys(loaded_mesh.optimized, png)))
            assert len(read(path).faces) == len(loaded_mesh.faces)
            loaded += 1
        assert time.process_time() - start < SOON, document
    assert 60 < loaded < 400


def test_accessors_of_nothing_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primitive without indices is as large as its attributes, whatever else is in the file."""
    monkeypatch.setattr("texopt.io.gltf.read.MOST", 1000)
    builder = Builder()
    builder.accessor(np.zeros(900, np.float32))
    triangle = {"attributes": {"POSITION": builder.positions(QUAD[:3])}}
    mesh = builder.mesh(triangle)
    for x in range(10):
        builder.node(mesh, translation=[x, 0, 0])
    assert len(read_built(builder, tmp_path).faces) == 10
