"""Meshes made in memory, meshes whose vertices are moved, and what they are exported to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from conftest import make_cube
from gltf_builder import Builder, encoded, picture, unpacked

import texopt
from texopt import Mesh, OptionError, TextureMap, load_mesh
from texopt.io.export import export
from texopt.mesh.normals import face_normals

CORNERS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
FACES, UVS = [[0, 1, 2], [0, 2, 3]], [[0, 0], [1, 0], [1, 1], [0, 1]]

OBJ = """# a tent: two sides that meet softly below and hard above
mtllib m.mtl
o tent
v 0 0 0
v 2 0 0
v 2 1 1
v 0 1 1
v 2 2 0
v 0 2 0
vt 0 0
vt 1 0
vt 1 0.5
vt 0 0.5
vt 1 1
vt 0 1
vn 0 -0.7 0.7
vn 0 0.7 0.7
g below
usemtl cloth
f 1/1/1 2/2/1 3/3/1 4/4/1
g above
f 4/4/2 3/3/2 5/5/2 6/6/2
"""


def tent_obj(folder: Path) -> Path:
    (folder / "m.mtl").write_text("newmtl cloth\nKd 0.2 0.4 0.6\n")
    (folder / "tent.obj").write_text(OBJ)
    return folder / "tent.obj"


def tent_glb(folder: Path) -> Path:
    """The same, placed by a node and moved by an animation."""
    mesh = load_mesh(tent_obj(folder))
    builder = Builder()
    order, normals = mesh.faces.reshape(-1), mesh.normals[mesh.face_normals].reshape(-1, 3)  # type: ignore[index]
    flipped = mesh.uvs[mesh.face_uvs].reshape(-1, 2) * (1, -1) + (0, 1)
    primitive = {
        "attributes": {
            "POSITION": builder.positions((mesh.vertices[order] - (5, 0, 0)).astype(np.float32)),
            "NORMAL": builder.accessor((normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)),
            "TEXCOORD_0": builder.accessor(flipped.astype(np.float32)),
        },
        "material": builder.material(builder.texture(encoded(picture()))),
    }
    node = builder.node(builder.mesh(primitive), translation=[5, 0, 0])
    times = builder.accessor(np.float32([0, 1]), min=[0], max=[1])
    sampler = {"input": times, "output": builder.accessor(np.float32([[5, 0, 0], [6, 0, 0]]))}
    channel = {"sampler": 0, "target": {"node": node, "path": "translation"}}
    builder.add("animations", {"samplers": [sampler], "channels": [channel]})
    return builder.glb(folder / "tent.glb")


SOURCES = {".obj": tent_obj, ".glb": tent_glb}


def moved(mesh: Mesh) -> Mesh:
    return replace(mesh, vertices=mesh.vertices * (1, 2, 3) + (0, 0.5, 0))


def in_place(mesh: Mesh) -> Mesh:
    mesh.vertices[:] += 0.25
    return mesh


CHANGES: dict[str, Callable[[Mesh], Mesh]] = {
    "vertices": moved,
    "with_vertices": lambda mesh: mesh.with_vertices(mesh.vertices * (1, 2, 3)),
    "in place": in_place,
    "uvs": lambda mesh: replace(mesh, uvs=mesh.uvs * 0.5 + 0.25),
    "faces": lambda mesh: replace(mesh, faces=mesh.faces[:, [1, 2, 0]], face_uvs=mesh.face_uvs[:, [1, 2, 0]],
                                  face_normals=mesh.face_normals[:, [1, 2, 0]]),  # type: ignore[index]
    "normals": lambda mesh: replace(mesh, normals=-mesh.normals),  # type: ignore[operator]
    "no normals": lambda mesh: replace(mesh, normals=None, face_normals=None),
    "names": lambda mesh: replace(mesh, materials=tuple(f"{name}2" for name in mesh.materials)),
}  # fmt: skip


def corners(mesh: Mesh) -> list[np.ndarray | None]:
    """What is at the corners of faces: positions, UVs, unit normals."""
    normals = None if mesh.normals is None else mesh.normals[mesh.face_normals]
    if normals is not None:
        normals = normals / np.linalg.norm(normals, axis=2, keepdims=True)
    return [mesh.vertices[mesh.faces], mesh.uvs[mesh.face_uvs], normals]


# In memory.


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_mesh_of_vertices_faces_and_uvs(kind: Callable[[Any], Any], tmp_path: Path) -> None:
    mesh = Mesh("quad", kind(CORNERS), kind(FACES), kind(UVS))
    assert [mesh.vertices.dtype, mesh.faces.dtype, mesh.uvs.dtype, mesh.face_uvs.dtype] == [float, "i4", float, "i4"]
    assert np.array_equal(mesh.face_uvs, FACES)
    assert mesh.face_uvs is not mesh.faces
    assert mesh.normals is None
    assert not mesh.face_map.any()
    assert mesh.maps[0].original.shape == (1, 1, 3)
    fragments = texopt.rasterize(mesh, texopt.orbit(torch.zeros(1), torch.zeros(1)), 16)
    assert fragments.mask.any()
    export(mesh, torch.rand(3, 16, 16), tmp_path / "quad.obj")
    again = load_mesh(tmp_path / "quad.obj")
    assert np.allclose(corners(again)[0], np.array(CORNERS)[FACES])  # type: ignore[arg-type]
    assert np.allclose(corners(again)[1], np.array(UVS)[FACES])  # type: ignore[arg-type]


def test_fewer_faces_need_no_more_than_those() -> None:
    mesh = replace(Mesh("quad", CORNERS, FACES, UVS), faces=np.array(FACES[:1]), face_uvs=np.array(FACES[:1]))  # type: ignore[arg-type]
    assert len(mesh.face_map) == len(mesh.face_material) == len(mesh.face_object) == 1


def test_normals_of_vertices_are_those_of_corners() -> None:
    mesh = Mesh("quad", CORNERS, FACES, UVS, normals=torch.tensor([[0.0, 0, 1]] * 4))  # type: ignore[arg-type]
    assert np.array_equal(mesh.face_normals, FACES)


def test_a_mesh_in_memory_is_optimised_and_exported(tmp_path: Path, extractor: texopt.FeatureExtractor) -> None:
    mesh = Mesh("quad", np.array(CORNERS), np.array(FACES), np.array(UVS))
    result = texopt.optimize(
        mesh,
        texopt.PixelTexture(16),
        lambda view: view.image.mean(),
        steps=2,
        views=texopt.Views(size=32),
        backbone=extractor,
        device="cpu",
    )
    assert {path.name for path in result.export(tmp_path / "quad.obj")} == {"quad.obj", "quad.mtl", "quad.png"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": CORNERS}, r"^name .*Mesh\(name, vertices, faces, uvs\)"),
        ({"vertices": None}, r"^vertices .*\[N,3\]"),
        ({"vertices": np.zeros((4, 2))}, r"^vertices .*\[N,3\].*\[4, 2\]"),
        ({"vertices": [[0, 0, 0], [1, 0]]}, "^vertices"),
        ({"vertices": "abc"}, "^vertices"),
        ({"vertices": np.full((4, 3), np.nan)}, "^vertices .*finite"),
        ({"vertices": np.ones((4, 3))}, "^vertices .*one place"),
        ({"faces": [[0, 1, 4]]}, "^faces .*0 to 4.*vertices has 4 rows"),
        ({"faces": [[0, 1, -1]]}, "^faces .*-1"),
        ({"faces": [[0, 1, 2**40]]}, "^faces"),
        ({"faces": [[0.0, 1.0, 2.0]]}, "^faces .*indices"),
        ({"faces": np.zeros((0, 3), int)}, "^faces has no triangles"),
        ({"uvs": UVS[:3]}, "^face_uvs .*needed.*3"),
        ({"uvs": UVS[:3], "face_uvs": FACES}, "^face_uvs .*uvs has 3 rows"),
        ({"face_uvs": FACES[:1]}, "^face_uvs has 1 rows.*2 faces"),
        ({"normals": [[0, 0, 1]]}, "^face_normals .*needed"),
        ({"normals": [[0, 0, 1]], "face_normals": [[0, 0, 0], [0, -2, 0]]}, "^face_normals"),
        ({"face_normals": FACES}, "^face_normals .*normals has 0 rows"),
        ({"maps": TextureMap(np.zeros((1, 1, 3), np.uint8))}, "^maps .*tuple"),
        ({"maps": ("skin.png",)}, "^maps .*TextureMaps"),
        ({"maps": (TextureMap(np.zeros((1, 1, 3))),)}, "^maps .*uint8"),
        ({"face_map": [0, 1]}, "^face_map .*maps has 1"),
        ({"face_material": [[0, 0]]}, r"^face_material .*\[N\]"),
        ({"materials": "skin"}, "^materials .*tuple"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], message: str) -> None:
    given = {"name": "quad", "vertices": CORNERS, "faces": FACES, "uvs": UVS} | changed
    with pytest.raises(OptionError, match=message):
        Mesh(**given)


# Moved vertices.


def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(3)
    index = sphere.faces.astype(np.int32)
    return Mesh("ball", sphere.vertices, index, sphere.vertices[:, :2], index, sphere.vertices)


def test_normals_of_a_ball_become_those_of_an_ellipsoid() -> None:
    scale = np.array([1.0, 2.0, 0.5])
    mesh = ball().with_vertices(ball().vertices * scale)
    expected = ball().vertices / scale
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = np.zeros_like(expected)
    found[mesh.faces] = mesh.normals[mesh.face_normals]  # type: ignore[index]
    assert np.degrees(np.arccos((found * expected).sum(1).clip(-1, 1))).max() < 3.0
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)  # type: ignore[arg-type]


def test_hard_edges_stay_hard_and_smooth_ones_smooth() -> None:
    """A cube whose sides have a normal each, shared by all four corners: bent, each corner needs its own."""
    cube = make_cube()
    sides = np.repeat(np.arange(6, dtype=np.int32), 2)[:, None].repeat(3, 1)
    flat = replace(cube, normals=face_normals(cube.vertices, cube.faces)[::2], face_normals=sides)
    sheared = flat.with_vertices(flat.vertices @ np.array([[1, 0, 0], [0.7, 1, 0], [0, 0.2, 1]]).T)
    expected = face_normals(sheared.vertices, sheared.faces)
    assert np.allclose(sheared.normals[sheared.face_normals], expected[:, None])  # type: ignore[index]

    place = flat.vertices + 0.3 * flat.vertices * flat.vertices[:, [1, 2, 0]]  # sides are bent now
    bent = flat.with_vertices(place)
    assert len(bent.normals) == 24  # type: ignore[arg-type]
    shared = bent.face_normals[0, [0, 2]], bent.face_normals[1, [0, 1]]  # type: ignore[index]
    assert np.array_equal(*shared)  # along the diagonal of a side


def test_corners_without_normals_stay_so_and_flat_places_keep_theirs() -> None:
    mesh = Mesh("quad", CORNERS, FACES, UVS, normals=[[0, 0, 2.0]], face_normals=[[0, 0, 0], [-1, -1, -1]])  # type: ignore[arg-type]
    squeezed = mesh.with_vertices(np.array(CORNERS) * (1.0, 0, 0))
    assert np.array_equal(squeezed.face_normals >= 0, mesh.face_normals >= 0)  # type: ignore[operator]
    assert np.array_equal(squeezed.normals, [[0, 0, 2.0]] * 3)


def test_a_mesh_without_normals_gets_none_and_vertices_are_copied() -> None:
    vertices = torch.tensor(CORNERS).double().requires_grad_()
    mesh = Mesh("quad", CORNERS, FACES, UVS).with_vertices(vertices * 2)  # type: ignore[arg-type]
    assert mesh.normals is None
    given = 3.0 * np.array(CORNERS)
    mesh = mesh.with_vertices(given)
    given[:] = 0
    assert mesh.vertices.max() == 3


@pytest.mark.parametrize("vertices", [np.zeros((3, 3)), CORNERS[:3], None, [[np.inf, 0, 0]] * 4, torch.zeros(4, 2)])
def test_vertices_of_another_shape_are_refused(vertices: Any) -> None:
    with pytest.raises(OptionError, match=r"^vertices\b"):
        Mesh("quad", CORNERS, FACES, UVS).with_vertices(vertices)  # type: ignore[arg-type]


# Export.


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("target", [".obj", ".glb"])
@pytest.mark.parametrize("source", [".obj", ".glb"])
def test_what_was_changed_is_what_is_exported(
    source: str, target: str, change: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = CHANGES[change](load_mesh(SOURCES[source](tmp_path)))
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / f"a{target}"
    with caplog.at_level(logging.WARNING, "texopt"):
        export(mesh, torch.rand(3, 16, 16), path)
    said = [record.message for record in caplog.records]
    kept = change in ("vertices", "with_vertices", "in place", "normals")  # the file has room for it
    assert len(said) == (source == target and not kept)
    assert all("not that of tent" in line for line in said)
    found, expected = corners(load_mesh(path)), corners(mesh)
    for name, one, other in zip(("positions", "uvs", "normals"), found, expected, strict=True):
        assert (one is None) == (other is None), name
        assert one is None or other is None or np.abs(one - other).max() < 1e-5, name
    assert [name.rstrip("2") for name in load_mesh(path).materials if name][:1] in (["cloth"], ["material_0"])


@pytest.mark.parametrize("target", [".obj", ".glb"])
def test_what_was_not_changed_is_the_file(target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = load_mesh(SOURCES[target](tmp_path))
    mesh = replace(mesh, vertices=mesh.vertices * 1.0, maps=(replace(mesh.maps[0], name="new"),))
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / f"a{target}"
    with caplog.at_level(logging.INFO, "texopt"):
        export(mesh, torch.rand(3, 16, 16), path)
    assert not caplog.records
    if target == ".obj":
        assert path.read_text().splitlines()[1:] == [line for line in OBJ.splitlines() if "mtllib" not in line]
    else:
        document, _ = unpacked(path)
        assert len(document["animations"]) == 1
        assert document["nodes"][0]["translation"] == [5, 0, 0]


def test_a_scene_with_other_uvs_is_written_as_it_stands(tmp_path: Path) -> None:
    mesh = CHANGES["uvs"](load_mesh(tent_glb(tmp_path)))
    (tmp_path / "out").mkdir()
    export(mesh, torch.rand(3, 16, 16), tmp_path / "out" / "a.glb")
    document, _ = unpacked(tmp_path / "out" / "a.glb")
    assert "animations" not in document
    assert len(document["images"]) == 1


def test_a_moved_scene_stays_the_document(tmp_path: Path) -> None:
    mesh = load_mesh(tent_glb(tmp_path))
    (tmp_path / "out").mkdir()
    export(mesh.with_vertices(mesh.vertices * (1, 2, 3)), torch.rand(3, 16, 16), tmp_path / "out" / "a.glb")
    document, _ = unpacked(tmp_path / "out" / "a.glb")
    assert len(document["animations"]) == 1
    assert document["nodes"][0]["translation"] == [5, 0, 0]


def test_a_moved_obj_stays_the_file_line_by_line(tmp_path: Path) -> None:
    """The first normal is of four vertices; the one along the fold is of a smooth side and a hard one."""
    mesh = load_mesh(tent_obj(tmp_path))
    vertices = mesh.vertices.copy()
    vertices[[2, 5]] += (0.125, 0, 0.5)
    moved_mesh = mesh.with_vertices(vertices)
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "a.obj"
    export(moved_mesh, torch.rand(3, 16, 16), path)
    lines, before = path.read_text().splitlines()[1:], [line for line in OBJ.splitlines() if "mtllib" not in line]
    kept = [line for line in lines if not line.startswith(("vn", "f "))]
    wanted = [line for line in before if not line.startswith(("vn", "f "))]
    wanted[wanted.index("v 2 1 1")], wanted[wanted.index("v 0 2 0")] = "v 2.125 1 1.5", "v 0.125 2 0.5"
    assert kept == wanted
    assert sum(line.startswith("vn") for line in lines) == 8
    assert [line for line in lines if line.startswith("f ")] == [
        "f 1/1/1 2/2/2 3/3/3 4/4/4",
        "f 4/4/6 3/3/5 5/5/7 6/6/8",
    ]
    for one, other in zip(corners(load_mesh(path)), corners(moved_mesh), strict=True):
        assert one is not None
        assert other is not None
        assert np.abs(one - other).max() < 1e-5


@pytest.mark.parametrize("color", ["", " 0.5 0.5 0.5"])
def test_a_moved_obj_keeps_comments_relative_numbers_and_what_no_face_has(color: str, tmp_path: Path) -> None:
    text = """v 9 9 9 # nobody's
v 0 0 0C
v\t1 0 0C # corner
vn 1 0 0
v 1 1 0C
v 0 1 0C
vn 0 0 1
f -4//-1 -3//-1 -2//-1 # first
f 2//2 4//2 5//2
l 2 3
"""
    (tmp_path / "a.obj").write_text(text.replace("C", color))
    mesh = load_mesh(tmp_path / "a.obj")
    vertices = mesh.vertices.copy()
    vertices[1:3, 2] += 1
    (tmp_path / "out").mkdir()
    moved_mesh = mesh.with_vertices(vertices)
    export(moved_mesh, torch.rand(3, 16, 16), tmp_path / "out" / "a.obj")
    lines = (tmp_path / "out" / "a.obj").read_text().splitlines()
    assert color or {"v 9 9 9 # nobody's", "v 1 0 1 # corner"} <= set(lines)  # colours are taken off, as ever
    assert next(line for line in lines if line.startswith("vn")) == "vn 1 0 0"
    assert sum(line.startswith("vn") for line in lines) == 5
    assert sum(line.startswith("f ") for line in lines) == 2
    found = load_mesh(tmp_path / "out" / "a.obj")
    assert np.array_equal(found.vertices, vertices)
    assert np.allclose(corners(found)[2], corners(moved_mesh)[2], atol=1e-5)  # type: ignore[arg-type]


def test_a_result_writes_the_vertices_that_were_optimised(tmp_path: Path, extractor: texopt.FeatureExtractor) -> None:
    mesh = load_mesh(tent_obj(tmp_path))
    mesh = mesh.with_vertices(mesh.vertices + (0, 0, 1) * np.sin(mesh.vertices[:, :1]))
    result = texopt.optimize(
        mesh,
        texopt.PixelTexture(16),
        lambda view: view.image.mean(),
        steps=1,
        views=texopt.Views(size=32),
        backbone=extractor,
        device="cpu",
    )
    for ending in ("obj", "glb"):
        again = load_mesh(result.save(tmp_path / ending, [ending]) / f"tent.{ending}")
        assert np.allclose(corners(again)[0], corners(mesh)[0], atol=1e-6)  # type: ignore[arg-type]
