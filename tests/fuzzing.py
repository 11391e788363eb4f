"""Random files and meshes, for tests/test_fuzz.py and scripts/fuzz."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from gltf_builder import Builder, encoded, packed, picture
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from texopt import Mesh, TextureMap
from texopt.mesh.polygons import triangulated

ALPHABET = "aB é漢😀#-_.'%<>[]{}=*1"  # of names, with what files have a meaning for
NAMES = st.text(st.sampled_from(ALPHABET + '/\\"\t\n\r\0\x85\u2028\udce9'), max_size=8)  # as glTF can have them
LINE_NAMES = st.text(st.sampled_from(ALPHABET + "\\\udce9"), max_size=8).map(lambda name: name.strip().rstrip("\\ "))
STEMS = (
    st.text(st.sampled_from(ALPHABET + "\\\t\n\udce9"), min_size=1, max_size=8) | st.sampled_from(["b1002", "-s 1 b"])
).filter(lambda name: name.strip("."))


@dataclass
class Files:
    """A mesh file and what lies beside it, by name."""

    main: str
    contents: dict[str, bytes]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.contents.items():
            (folder / name).write_bytes(data)
        return folder / self.main


@dataclass
class Model:
    """A mesh that no file has, and where it is exported to."""

    mesh: Mesh
    stem: str
    bits: int

    def write(self, folder: Path) -> Path:
        """What it is made of, to look at."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {name: value for name, value in vars(self.mesh).items() if isinstance(value, np.ndarray)}
        np.savez(folder / "mesh.npz", **values)
        (folder / "mesh.txt").write_text(f"{self.stem!r}\n{vars(self.mesh)!r}\n")
        return folder / "mesh.npz"


def one_cell_a_face(vertices: np.ndarray, faces: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """In the place of unwrap_faces: new UVs at once, with every face in a cell of its own."""
    side = int(np.ceil(np.sqrt(len(faces))))
    cell = np.stack(np.divmod(np.arange(len(faces)), side), 1)[:, None]
    uvs = (cell + np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])) / side
    return uvs.reshape(-1, 2), np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder; meanwhile unwrapping takes no time, and sizes are small."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("texopt.io.unwrapping.unwrap.unwrap_faces", one_cell_a_face)
        patch.setattr("texopt.io.original_textures.SIZE", 64)
        patch.setattr("texopt.render.uv_raster.OVERLAP", ((64, 0.01),))
        yield Path(folder)


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# OBJ and MTL as they are written, and what is in them


@dataclass
class WrittenObj:
    """The text of an OBJ file and what is in it; corners, materials and objects are those of triangles."""

    text: str
    vertices: list[tuple[float, ...]] = field(default_factory=list)
    uvs: list[tuple[float, ...]] = field(default_factory=list)
    normals: list[tuple[float, ...]] = field(default_factory=list)
    corners: list[list[tuple[int, int, int]]] = field(default_factory=list)
    materials: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        return Files("a.obj", {"a.obj": encode(self.text)}).write(folder)


IDLE = ["", " ", "# comment é", "#f 1 2 3", "g a  b", "s off", "l 1/1 -1/-1", "p 1", "vp 0 0", "usemap x", "\t# v 1 2"]
SPACES = st.sampled_from([" ", "  ", "\t", " \\\n ", "\t\\\n"])
NUMBERS = st.floats(-1e6, 1e6) | st.integers(-9, 9).map(float)


@st.composite
def obj_texts(draw: st.DrawFn, materials: st.SearchStrategy[str] = LINE_NAMES, whole: bool = False) -> WrittenObj:
    """Any mix of blocks, separators, indices, polygons, names, comments, line ends.

    whole: every corner has a UV.
    """
    out, lines, material, item = WrittenObj(""), [], "", ""
    space, indent = draw(SPACES), draw(st.sampled_from(["", "", " ", "\t "]))
    form = draw(st.sampled_from(["{!r}", "{:.3f}", "{:+e}", "{:.17g}"])).format
    tail = st.sampled_from(["", "", "", " ", "\t", " # é", " #1 2"])
    values = (out.vertices, out.uvs, out.normals)
    for _ in range(draw(st.integers(1, 3))):
        for kind, (key, width) in enumerate((("v", 3), ("vt", 2), ("vn", 3))):
            for row in draw(st.lists(st.tuples(*[NUMBERS] * width), min_size=3 if kind == 0 else 1, max_size=4)):
                words = [form(x) for x in row]
                values[kind].append(tuple(map(float, words)))
                lines.append(indent + space.join([key, *words]) + draw(tail))
        for _ in range(draw(st.integers(0, 3))):
            lines += draw(st.lists(st.sampled_from(IDLE), max_size=1))
            if draw(st.booleans()):
                material = draw(materials)
                lines.append(f"{indent}usemtl{space}{material}")
            if draw(st.booleans()):
                item = draw(LINE_NAMES)
                lines.append(f"o{space}{item}")
            polygon, words = [], ["f"]
            with_uv, with_normal = whole or draw(st.booleans()), draw(st.booleans())
            for _ in range(draw(st.integers(2, 5))):
                index, parts = [-1, -1, -1], ["", "", ""]
                for kind, present in enumerate((True, with_uv, with_normal and draw(st.booleans()))):
                    if present:
                        index[kind] = draw(st.integers(0, len(values[kind]) - 1))
                        parts[kind] = str(index[kind] - len(values[kind]) if draw(st.booleans()) else index[kind] + 1)
                polygon.append((index[0], index[1], index[2]))
                words.append("/".join(parts).rstrip("/"))
            lines.append(indent + space.join(words) + draw(tail))
            points = np.array([out.vertices[index] for index, *_ in polygon])
            triangles, _ = triangulated(points, np.array([len(polygon)]))
            out.corners += [[polygon[corner] for corner in triangle] for triangle in triangles.tolist()]
            out.materials += [material] * len(triangles)
            out.objects += [item] * len(triangles)
    text = draw(st.sampled_from(["", "\ufeff"])) + "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    out.text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return out


@dataclass
class WrittenMtl:
    """The text of an MTL file, and the colour and texture of every material."""

    text: str
    materials: dict[str, tuple[tuple[float, ...], str | None]]

    def write(self, folder: Path) -> Path:
        return Files("a.mtl", {"a.mtl": encode(self.text)}).write(folder)


TEXTURES = LINE_NAMES.map(lambda name: f"t{name}.png")
OPTIONS = ["", "-s 2 2 1 ", "-clamp on ", "-o 0.5 0\t0 -blendu off ", "-imfchan l ", "-bm -1e-3 ", "-type sphere "]


@st.composite
def mtl_texts(
    draw: st.DrawFn, names: st.SearchStrategy[str] = LINE_NAMES, textures: st.SearchStrategy[str] = TEXTURES
) -> WrittenMtl:
    """Materials of any names, some twice, in any order of lines. textures: names of files."""
    lines, materials = ["# é"], {}
    indent, space = draw(st.sampled_from(["", "\t", "  "])), draw(SPACES)
    for name in draw(st.lists(names, max_size=4)):
        color, texture = materials.get(name, ((0.8, 0.8, 0.8), None))
        lines += ["", f"newmtl{space}{name}"]
        for what in draw(st.lists(st.sampled_from(["Kd", "grey", "map", "other"]), max_size=4)):
            rgb = draw(st.tuples(*[st.floats(-1, 2) | st.floats(0, 1)] * 3))
            if what == "Kd":
                color = tuple(min(max(x, 0.0), 1.0) for x in rgb)
                lines.append(f"{indent}Kd{space}{space.join(map(repr, rgb))}")
            elif what == "grey":
                color = (min(max(rgb[0], 0.0), 1.0),) * 3
                lines.append(f"Kd {rgb[0]}")
            elif what == "map":
                texture = draw(textures)
                key = draw(st.sampled_from(["map_Kd", "map_kd", "MAP_KD"]))
                lines.append(f"{indent}{key}{space}{draw(st.sampled_from(OPTIONS))}{texture} ")
            else:
                lines.append(
                    draw(st.sampled_from(["Ns 10", "# x", "d 0.5", "Tr 0.5", "illum 2", "Ks 1 1 1", "map_Ks"]))
                )
        materials[name] = color, texture
    return WrittenMtl("\n".join(lines).replace("\n", draw(st.sampled_from(["\n", "\r\n"]))), materials)


@st.composite
def obj_files(draw: st.DrawFn) -> Files:
    """An OBJ with its MTL and textures."""
    names = draw(st.lists(LINE_NAMES, min_size=1, max_size=3))
    images = {"a.png": encoded(picture(4)), "b ü.png": encoded(picture(3, 1, alpha=True))}
    obj = draw(obj_texts(st.sampled_from(names), whole=draw(st.booleans())))
    mtl = draw(mtl_texts(st.sampled_from(names), st.sampled_from([*images])))
    library = draw(st.sampled_from(["m.mtl", "m é x.mtl"]))
    contents = {"a.obj": encode(f"mtllib {library}\n" + obj.text.removeprefix("\ufeff")), library: encode(mtl.text)}
    return Files("a.obj", contents | images)


# glTF, PLY, STL


PLACES: list[dict[str, Any]] = [{}, {"translation": [1, 2, 3]}, {"scale": [-1, 2, 1]}, {"rotation": [0, 0, 1, 0]}]


@st.composite
def glb_files(draw: st.DrawFn) -> Files:
    """A scene of few quads: shared meshes, moved, scaled and mirrored nodes, textures, factors, vertex colours."""
    builder, some = Builder(), st.integers(0, 2**16)
    textures = [builder.texture(encoded(picture(4, seed, alpha=seed == 1))) for seed in range(2)]
    for _ in range(draw(st.integers(0, 3))):
        factor = draw(st.none() | st.tuples(*[st.floats(0, 1)] * 4))
        properties = draw(st.sampled_from([{}, {"alphaMode": "BLEND"}, {"doubleSided": True}]))
        named = draw(st.sampled_from([{}, {"name": draw(NAMES)}]))
        builder.material(draw(st.sampled_from([None, *textures])), factor, **properties, **named)
    materials = range(len(builder.document.get("materials", [])))
    for _ in range(draw(st.integers(1, 2))):
        primitives = []
        for _ in range(draw(st.integers(1, 2))):
            rng = np.random.default_rng(draw(some))
            attributes = {"POSITION": builder.positions(rng.normal(size=(4, 3)).astype(np.float32))}
            if draw(st.booleans()):
                attributes["COLOR_0"] = builder.accessor(rng.random((4, 4)).astype(np.float32))
            if draw(st.booleans()):
                attributes["TEXCOORD_1"] = builder.accessor(rng.normal(size=(4, 2)).astype(np.float32))
            primitive = builder.quad(draw(st.integers(0, 3)) > 0, **attributes)
            if materials and draw(st.integers(0, 3)):
                primitive["material"] = draw(st.sampled_from(materials))
            if draw(st.integers(0, 3)) == 0:
                primitive["mode"] = draw(st.sampled_from([5, 6]))
            primitives.append(primitive)
        builder.mesh(*primitives)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(PLACES))
        mesh = draw(st.integers(0, len(builder.document["meshes"]) - 1))
        builder.node(mesh, **draw(st.sampled_from([{}, {"name": draw(NAMES)}])), **place)
    return Files("a.glb", {"a.glb": packed(builder.finished(), bytes(builder.binary))})


@cache
def other_files() -> tuple[Files, ...]:
    """PLY and STL as text and binary, with and without colours."""
    box = trimesh.creation.box()
    red = trimesh.Trimesh(box.vertices, box.faces, vertex_colors=np.arange(32).reshape(8, 4) * 8, process=False)
    found = []
    for mesh in (box, red):
        for ending, kinds in (("ply", ({"encoding": "ascii"}, {})), ("stl", ({}, {"file_type": "stl_ascii"}))):
            for options in kinds:
                file = io.BytesIO()
                data = mesh.export(None, **({"file_type": ending} | options))
                file.write(data.encode() if isinstance(data, str) else data)
                found.append(Files(f"a.{ending}", {f"a.{ending}": file.getvalue()}))
    return tuple(found)


# files with something wrong

WRONG = [
    *(
        b"",
        b" ",
        b"\n",
        b"\0",
        b"\xff",
        b"/",
        b"#",
        b"-",
        b"\\",
        b"\\\n",
        b"1",
        b"-1",
        b"0",
        b"1e999",
        b"nan",
        b"f 1 2 3",
    ),
    *(b"2147483648", b"99999999999999999999", b"vertex", b"usemtl ", b"\nmtllib m.mtl\n", b"o\n", b"\xef\xbb\xbf"),
]
VALUES: list[Any] = [None, True, 0, -1, 1, 3, 5126, 2**31, 2**63, 1e300, 0.5, "", "a", "é\0", [], {}, [0], [-1, 0, 1]]


def _replaced(draw: st.DrawFn, data: bytes) -> bytes:
    """Some bytes of it replaced, repeated or taken away, or some lines."""
    lines = draw(st.booleans())
    parts = data.split(b"\n") if lines else [data]
    if lines:
        first = draw(st.integers(0, len(parts) - 1))
        last = draw(st.integers(first, min(first + 3, len(parts))))
        new = draw(
            st.sampled_from([[], parts[first:last] * 2, parts[first:last][::-1], [draw(st.sampled_from(WRONG))]])
        )
        return b"\n".join([*parts[:first], *new, *parts[last:]])
    first = draw(st.integers(0, len(data)))
    last = draw(st.integers(first, min(first + draw(st.sampled_from([1, 4, 10**6])), len(data))))
    other = draw(st.integers(0, len(data)))
    new = draw(st.sampled_from(WRONG) | st.binary(max_size=4) | st.just(data[other : other + 8]))
    return data[:first] + new + data[last:]


def _edited(draw: st.DrawFn, data: bytes) -> bytes:
    """A GLB with a value of its document replaced or left out."""
    size = int.from_bytes(data[12:16], "little")
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    item, key = document, draw(st.sampled_from(sorted(document)))
    while isinstance(item[key], (dict, list)) and item[key] and draw(st.integers(0, 5)):
        item = item[key]
        key = draw(st.sampled_from(sorted(item) if isinstance(item, dict) else range(len(item))))
    if draw(st.booleans()) and isinstance(item, dict):
        del item[key]
    else:
        item[key] = draw(st.sampled_from(VALUES))
    return packed(document, binary)


@st.composite
def damaged(draw: st.DrawFn, files: st.SearchStrategy[Files]) -> Files:
    """Files of which one is changed in one to three places."""
    drawn = draw(files)
    name = draw(st.sampled_from([drawn.main, drawn.main, *drawn.contents]))
    data = drawn.contents[name]
    if name.endswith(".glb") and draw(st.integers(0, 3)):
        data = _edited(draw, data)
    else:
        for _ in range(draw(st.integers(1, 3))):
            data = _replaced(draw, data)
    return Files(drawn.main, drawn.contents | {name: data})


# meshes that no file has


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Several maps and materials, kept ones among them; any names, UVs and normals."""
    count = draw(st.integers(3, 8))
    vertices = draw(arrays(np.float32, (count, 3), elements=st.floats(-100, 100, width=32))).astype(np.float64)
    vertices += draw(st.sampled_from([0.0, 0.0, 1e3, 1e7]))
    triangles, used = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    faces = draw(arrays(np.int32, (triangles, 3), elements=st.integers(0, count - 1)))
    assume(np.ptp(vertices[faces].reshape(-1, 3), axis=0).any())
    uvs = draw(arrays(np.float32, (used, 2), elements=st.floats(-8, 8, width=32))).astype(np.float64)
    face_uvs = draw(arrays(np.int32, (triangles, 3), elements=st.integers(0, used - 1)))
    normals = face_normals = None
    if draw(st.booleans()):
        normals = draw(arrays(np.float32, (3, 3), elements=st.floats(-1, 1, width=32))).astype(np.float64)
        lowest = draw(st.sampled_from([-1, 0]))
        face_normals = draw(arrays(np.int32, (triangles, 3), elements=st.integers(lowest, 2)))
    materials = tuple(draw(st.lists(NAMES, min_size=1, max_size=4)))
    objects = tuple(draw(st.lists(NAMES, min_size=1, max_size=3)))
    face_material = draw(arrays(np.int32, triangles, elements=st.integers(0, len(materials) - 1)))
    face_object = draw(arrays(np.int32, triangles, elements=st.integers(0, len(objects) - 1)))
    map_of = np.array(draw(st.lists(st.integers(0, 2), min_size=len(materials), max_size=len(materials))))
    chosen, face_map = np.unique(map_of[face_material], return_inverse=True)
    painted, maps = draw(st.integers(0, len(chosen) - 1)), []
    for index, number in enumerate(chosen.tolist()):
        name = materials[int(np.flatnonzero(map_of == number)[0])]
        kept = index != painted and draw(st.booleans())
        side = draw(st.sampled_from([1, 8]))
        clear = picture(side, 5)[..., 0] if draw(st.booleans()) and side > 1 else None
        maps.append(TextureMap(picture(side, index), name, kept=kept, alpha=clear))
    mesh = Mesh(
        draw(st.sampled_from(["m", "é 漢"])), vertices, faces, uvs, face_uvs, normals, face_normals, tuple(maps),
        face_map.reshape(-1).astype(np.int32), materials, face_material, objects, face_object,
    )  # fmt: skip
    return Model(mesh, draw(STEMS), draw(st.sampled_from([8, 16])))
