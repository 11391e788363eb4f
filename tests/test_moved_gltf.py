"""glTF documents whose vertices were moved: positions taken back through nodes, skins and morph targets."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from gltf_builder import QUAD, Builder, unpacked

from texopt import load_mesh
from texopt.io.export import export

HALF = float(np.sqrt(0.5))
KINDS = ("plain", "mirrored", "skinned", "morphed", "tangents", "shared")


def scene(kind: str, folder: Path) -> Path:
    """A quad, as a node shows it."""
    builder = Builder()
    primitive, node = builder.quad(), {"translation": [5.0, 0, 1], "rotation": [0, 0, HALF, HALF], "scale": [2.0, 1, 3]}
    properties = {}
    if kind == "mirrored":
        node["scale"] = [-2.0, 1, 3]
    if kind == "morphed":
        delta = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
        primitive["targets"] = [{"POSITION": builder.positions(delta)}]
        properties["weights"] = [0.5]
    if kind == "tangents":
        primitive["attributes"]["TANGENT"] = builder.accessor(np.tile(np.float32([1, 0, 0, -1]), (4, 1)))
    if kind == "skinned":
        joints = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], np.uint8)
        weights = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
        primitive["attributes"] |= {"JOINTS_0": builder.accessor(joints), "WEIGHTS_0": builder.accessor(weights)}
        bones = [
            builder.node(translation=[0, 0, 5]),
            builder.node(translation=[1, 2, 0], rotation=[0.3, 0, HALF, HALF]),
        ]
        node["skin"] = builder.add("skins", {"joints": bones})
    others = [dict(primitive)] if kind == "shared" else []
    index = builder.mesh(primitive, *others, **properties)
    where = builder.node(index, **node)
    times = builder.accessor(np.float32([0, 1]), min=[0], max=[1])
    sampler = {"input": times, "output": builder.accessor(np.float32([[5, 0, 1], [6, 0, 0]]))}
    channel = {"sampler": 0, "target": {"node": where, "path": "translation"}}
    builder.add("animations", {"samplers": [sampler], "channels": [channel]})
    return builder.glb(folder / "a.glb")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_is_what_was_moved(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(scene(kind, tmp_path))
    vertices = mesh.vertices.copy()
    vertices[[0, 2]] += np.random.default_rng(0).normal(size=(2, 3)) * 0.2
    vertices[4:] = vertices[:-4] if kind == "shared" else vertices[4:]
    moved = mesh.with_vertices(vertices)
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, "texopt"):
        export(moved, torch.rand(3, 16, 16), tmp_path / "out" / "a.glb")
    assert not [record for record in caplog.records if "not that of" in record.message]
    found = load_mesh(tmp_path / "out" / "a.glb")
    assert np.array_equal(found.faces, mesh.faces)
    assert np.abs(found.vertices - vertices).max() < 1e-5
    one, other = (each.normals[each.face_normals] for each in (found, moved))  # type: ignore[index]
    one, other = (each / np.linalg.norm(each, axis=2, keepdims=True) for each in (one, other))
    assert np.abs(one - other).max() < 1e-5
    before, after = unpacked(tmp_path / "a.glb")[0], unpacked(tmp_path / "out" / "a.glb")[0]
    for name in ("nodes", "animations", "skins"):
        assert before.get(name) == after.get(name)
    keys = [
        [set(primitive["attributes"]) for primitive in document["meshes"][0]["primitives"]]
        for document in (before, after)
    ]
    assert keys[0] == keys[1]


def test_tangents_stay_perpendicular(tmp_path: Path) -> None:
    mesh = load_mesh(scene("tangents", tmp_path))
    (tmp_path / "out").mkdir()
    vertices = mesh.vertices + np.random.default_rng(1).normal(size=mesh.vertices.shape) * 0.2
    export(mesh.with_vertices(vertices), torch.rand(3, 16, 16), tmp_path / "out" / "a.glb")
    again = load_mesh(tmp_path / "out" / "a.glb").source
    attributes = again.document["meshes"][0]["primitives"][0]["attributes"]  # type: ignore[union-attr]
    normal, tangent = (again.accessor(attributes[name]) for name in ("NORMAL", "TANGENT"))  # type: ignore[union-attr]
    assert np.abs((normal * tangent[:, :3]).sum(1)).max() < 1e-5
    assert np.allclose(np.linalg.norm(tangent[:, :3], axis=1), 1, atol=1e-5)
    assert (tangent[:, 3] == -1).all()
    assert np.abs(normal[:, :2]).max() > 0.005


@pytest.mark.parametrize("why", ["twice", "flat"])
def test_what_has_no_way_back_is_written_as_it_stands(
    why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    builder = Builder()
    index = builder.mesh(builder.quad())
    builder.node(index, **({"scale": [1.0, 1, 0]} if why == "flat" else {}))
    if why == "twice":
        builder.node(index, translation=[3, 0, 0])
    mesh = load_mesh(builder.glb(tmp_path / "a.glb"))
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, "texopt"):
        export(mesh.with_vertices(mesh.vertices * (1, 1.5, 1)), torch.rand(3, 16, 16), tmp_path / "out" / "a.glb")
    assert sum("not that of a.glb" in record.message for record in caplog.records) == 1
    assert np.abs(load_mesh(tmp_path / "out" / "a.glb").vertices[:4] - QUAD * (1, 1.5, 1)).max() < 1e-5
