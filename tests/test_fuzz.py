"""Random files: each reads as what was written, or as an error; what is exported reads back the same.

Few examples, the same ones every time; scripts/fuzz tries others for as long as it may.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_cube
from fuzzing import (
    Files,
    Model,
    WrittenMtl,
    WrittenObj,
    damaged,
    glb_files,
    models,
    mtl_texts,
    obj_files,
    obj_texts,
    other_files,
    workplace,
)
from gltf_builder import unpacked
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from texopt import Mesh, MeshError, TexoptError, load_mesh
from texopt.io.export import export
from texopt.io.obj.document import read_obj
from texopt.io.obj.mtl import read_mtl
from texopt.io.text import legible
from texopt.mesh.areas import areas

BASE = settings(
    deadline=None, derandomize=True, database=None,
    phases=[Phase.generate],  # files shrink slowly; scripts/fuzz does it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
PROPERTIES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {}  # of every test: cases, and its body


def of_every(cases: st.SearchStrategy[Any], examples: int) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """A test of a property; scripts/fuzz finds it in PROPERTIES and tries it on more examples."""

    def decorate(check: Callable[[Any], None]) -> Callable[[], None]:
        PROPERTIES[check.__name__.removeprefix("test_")] = cases, check
        return settings(BASE, max_examples=examples)(given(cases)(check))

    return decorate


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="texopt")


@of_every(obj_texts(), 60)
def test_an_obj_reads_as_it_was_written(written: WrittenObj) -> None:
    with workplace() as folder:
        obj = read_obj(written.write(folder))
    for name in ("vertices", "uvs", "normals"):
        np.testing.assert_array_equal(getattr(obj, name), getattr(written, name), err_msg=name)
    np.testing.assert_array_equal(obj.corners, np.array(written.corners, np.int64).reshape(-1, 3, 3))
    assert [obj.material_names[index] for index in obj.triangle_material] == written.materials
    assert [obj.object_names[index] for index in obj.triangle_object] == written.objects


@of_every(mtl_texts(), 40)
def test_an_mtl_reads_as_it_was_written(written: WrittenMtl) -> None:
    with workplace() as folder:
        materials = read_mtl(written.write(folder))
    shown = {name: mtl.texture and mtl.texture.names[0][0] for name, mtl in materials.items()}
    assert {name: (mtl.color, shown[name]) for name, mtl in materials.items()} == written.materials


def noise(mesh: Mesh, bits: int = 8) -> list[Tensor]:
    """A texture of noise for every map, of values that so many bits hold."""
    generator, most = torch.Generator().manual_seed(5), 2**bits - 1
    return [torch.rand(3, 8, 16, generator=generator).mul(most).round() / most for _ in mesh.maps]


def pictures(mesh: Mesh, images: list[Tensor], bits: int) -> list[np.ndarray]:
    """The textures of all maps after an export as 8 bits a channel, uint8 [H,W,3]; Pillow drops the lower 8 of 16."""
    values = [(image.double() * (2**bits - 1)).round().permute(1, 2, 0).numpy().astype(int) for image in images]
    painted = [(value >> (bits - 8)).astype(np.uint8) for value in values]
    return [old.original if old.kept else new for old, new in zip(mesh.maps, painted, strict=True)]


def assert_textures(mesh: Mesh, expected: list[np.ndarray], again: Mesh, order: np.ndarray) -> None:
    for old, new in {*zip(mesh.face_map[order].tolist(), again.face_map.tolist(), strict=True)}:
        np.testing.assert_array_equal(again.maps[new].original, expected[old])


def assert_names(names: list[str], again: list[str]) -> None:
    """Each name stands for one that has the same letters, equal names only for equal ones."""

    def letters(name: str) -> str:
        return "".join(filter(str.isalnum, legible(name))).rstrip("0123456789")

    for name, other in zip(names, again, strict=True):
        assert letters(other) == letters(name) or not letters(name)


def loaded(path: Path) -> Mesh:
    """As load_mesh; cases with no area, or with UVs beyond what is allowed, are none."""
    try:
        return load_mesh(path)
    except MeshError:
        return assume(False)


def round_trip(mesh: Mesh, path: Path, bits: int = 8) -> Mesh:
    """The mesh as its export reads back, of which the textures are checked."""
    images = noise(mesh, bits)
    export(mesh, images, path, bits)
    again = load_mesh(path)
    by_nodes = path.suffix == ".glb" and not hasattr(mesh.source, "document")
    order = np.lexsort((mesh.face_material, mesh.face_object)) if by_nodes else np.arange(len(mesh.faces))
    assert_textures(mesh, pictures(mesh, images, bits), again, order)
    return again


def assert_same(mesh: Mesh, again: Mesh, *names: str) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(again, name), getattr(mesh, name), err_msg=name)


@of_every(obj_files(), 25)
def test_an_obj_exported_as_obj_reads_back_the_same(files: Files) -> None:
    with workplace() as folder:
        mesh = loaded(files.write(folder / "in"))
        again = round_trip(mesh, folder / "out é" / "b x.obj")
    assert_same(mesh, again, "vertices", "faces", "normals", "face_normals")
    objects = [[one.objects[index] for index in one.face_object] for one in (mesh, again)]
    assert objects[1] == objects[0]
    if mesh.own_uvs:
        assert_same(mesh, again, "uvs", "face_uvs")
    else:  # seven digits, of which some may be scaled
        expected = mesh.uvs[mesh.face_uvs]
        np.testing.assert_allclose(again.uvs[again.face_uvs], expected, rtol=1e-6, atol=1e-6)
    names = [mesh.materials[index] for index in mesh.face_material]
    found = [again.materials[index] for index in again.face_material]
    assert all(new == old or (not old and new.strip("_") == "textured") for old, new in zip(names, found, strict=True))


def as_gltf(uvs: np.ndarray) -> np.ndarray:
    """UVs [...,2] whose u and 1 - v are float32."""
    u, v = np.moveaxis(uvs, -1, 0)
    return np.stack([u.astype(np.float32).astype(float), 1 - (1 - v).astype(np.float32).astype(float)], -1)


def assert_corners(mesh: Mesh, again: Mesh, order: np.ndarray) -> None:
    """What a GLB made of another format has: float32 at every corner, exactly."""
    found, corners = again.vertices[again.faces], mesh.vertices[mesh.faces][order]
    for item in np.unique(mesh.face_object):
        some = mesh.face_object[order] == item
        size, far = np.linalg.norm(np.ptp(corners[some], (0, 1))), np.abs(corners[some]).max()
        if far <= 1000 * size:
            np.testing.assert_array_equal(found[some], corners[some].astype(np.float32))
        else:
            np.testing.assert_allclose(found[some], corners[some], rtol=4e-16, atol=1e-7 * size)
    np.testing.assert_array_equal(again.uvs[again.face_uvs], as_gltf(mesh.uvs[mesh.face_uvs][order]))


@of_every(obj_files(), 20)
def test_an_obj_exported_as_glb_reads_back_the_same(files: Files) -> None:
    with workplace() as folder:
        mesh = loaded(files.write(folder / "in"))
        again = round_trip(mesh, folder / "b.glb")
    order = np.lexsort((mesh.face_material, mesh.face_object))
    assert_corners(mesh, again, order)


@of_every(glb_files(), 20)
def test_a_glb_exported_as_glb_reads_back_the_same(files: Files) -> None:
    with workplace() as folder:
        mesh = loaded(files.write(folder / "in"))
        again = round_trip(mesh, folder / "b.glb")
    for name in ("vertices", "uvs", "normals"):
        values, indices = name, {"vertices": "faces", "uvs": "face_uvs", "normals": "face_normals"}[name]
        new, old = (getattr(one, values)[getattr(one, indices)] for one in (again, mesh))
        if name == "uvs":
            old = as_gltf(old)
        np.testing.assert_array_equal(new, old, err_msg=name)
    assert_same(mesh, again, "face_object", "objects")


@of_every(glb_files(), 20)
def test_a_glb_exported_as_obj_reads_back_the_same(files: Files) -> None:
    with workplace() as folder:
        mesh = loaded(files.write(folder / "in"))
        again = round_trip(mesh, folder / "b.obj")
    assert_as_text(mesh, again)


def assert_as_text(mesh: Mesh, again: Mesh) -> None:
    """What an OBJ made of another format has: the same indices, vertices to nine digits of the size, UVs to seven."""
    assert_same(mesh, again, "faces", "face_uvs", "face_normals")
    size = np.ptp(mesh.vertices, axis=0).max()
    np.testing.assert_allclose(again.vertices, mesh.vertices, rtol=5e-9, atol=5e-9 * size)
    np.testing.assert_allclose(again.vertices, mesh.vertices, rtol=4e-16, atol=5e-9 * size)
    np.testing.assert_array_equal(again.uvs, [[float(f"{x:.7g}") for x in uv] for uv in mesh.uvs])
    if mesh.normals is not None:
        np.testing.assert_allclose(again.normals, mesh.normals, rtol=5e-6)
    assert len({*zip(mesh.face_material.tolist(), again.face_material.tolist(), strict=True)}) == len(
        np.unique(mesh.face_material)
    )
    assert_names(
        [mesh.materials[index] for index in mesh.face_material],
        [again.materials[index] for index in again.face_material],
    )


def has_area(mesh: Mesh) -> bool:
    size = np.ptp(mesh.vertices[mesh.faces], (0, 1)).max()
    return bool(areas(mesh.vertices, mesh.faces).max() > 1e-6 * size**2 and size > 1e-30)


@of_every(models(), 25)
def test_a_mesh_exported_as_obj_reads_back_the_same(model: Model) -> None:
    assume(has_area(model.mesh))
    with workplace() as folder:
        again = round_trip(model.mesh, folder / f"{model.stem}.obj", model.bits)
    assert_as_text(model.mesh, again)


@of_every(models(), 25)
def test_a_mesh_exported_as_glb_reads_back_the_same(model: Model) -> None:
    mesh = model.mesh
    assume(has_area(mesh))
    with workplace() as folder:
        again = round_trip(mesh, folder / f"{model.stem}.glb")
        document, _ = unpacked(folder / f"{model.stem}.glb")
    json.dumps(document, ensure_ascii=False).encode()  # whatever reads it can have its text
    order = np.lexsort((mesh.face_material, mesh.face_object))
    assert_corners(mesh, again, order)
    for whole in (
        (mesh.materials, mesh.face_material, again.materials, again.face_material),
        (mesh.objects, mesh.face_object, again.objects, again.face_object),
    ):
        names = [legible(whole[0][index] or mesh.name).encode("utf-8", "replace").decode() for index in whole[1][order]]
        assert [whole[2][index] for index in whole[3]] == names


def survives(files: Files) -> None:
    """A file reads as a mesh, which can be exported and read again, or it is an error that says what is wrong."""
    with workplace() as folder, np.errstate(all="ignore"):
        path = files.write(folder / "in")
        try:
            mesh = load_mesh(path)
        except TexoptError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert len(message.splitlines()) == 1
            return
        for ending in ("obj", "glb"):
            export(mesh, noise(mesh), folder / "out" / f"b.{ending}")
            again = load_mesh(folder / "out" / f"b.{ending}")
            assert len(again.faces) == len(mesh.faces)


@of_every(damaged(obj_files()), 25)
def test_a_damaged_obj_is_a_mesh_or_an_error(files: Files) -> None:
    survives(files)


@of_every(damaged(glb_files()), 40)
def test_a_damaged_glb_is_a_mesh_or_an_error(files: Files) -> None:
    survives(files)


@of_every(damaged(st.sampled_from(other_files())), 40)
def test_a_damaged_ply_or_stl_is_a_mesh_or_an_error(files: Files) -> None:
    survives(files)


# what was found


def test_a_word_is_a_map_options_only_value(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd -clamp on b x.png\nnewmtl b\nmap_Kd -s 1 2 -imfchan l m y.png\n")
    names = [mtl.texture.name for mtl in read_mtl(tmp_path / "a.mtl").values() if mtl.texture]
    assert names == ["b x.png", "m y.png"]


@pytest.mark.parametrize("stem", ["-s 1 b", "a\\b", " a  b", "b<UDIM>", "b1002", "-"])
def test_an_obj_names_the_files_beside_it(tmp_path: Path, stem: str) -> None:
    cube = make_cube()
    mesh = replace(cube, uvs=cube.uvs + np.array([1, 0]), materials=("a\\",), objects=("o\\",))
    again = round_trip(mesh, tmp_path / f"{stem}.obj")
    assert_as_text(mesh, again)
    assert again.objects == ("o",)


def test_new_uvs_leave_no_reference_to_old_ones(tmp_path: Path) -> None:
    head = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 1\n"
    (tmp_path / "a.obj").write_text(head + "f 1/-2 2/-1\nl 1/1 -1/-1\nf 1 2 3\n")
    with workplace():
        round_trip(load_mesh(tmp_path / "a.obj"), tmp_path / "b.obj")
    lines = (tmp_path / "b.obj").read_text().splitlines()
    assert [line for line in lines if line[0] in "fl"] == ["l 1 -1", "f 1/1 2/2 3/3"]
