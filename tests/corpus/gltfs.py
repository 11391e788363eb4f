"""glTF and GLB."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corpus.pieces import ANY, ERROR, PNG, Case, cuts, file_of, flips, streamed

QUAD = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
BINARY = QUAD.tobytes() + QUAD[:, :2].tobytes() + np.uint16([0, 1, 2, 0, 2, 3]).tobytes() + PNG + bytes(-len(PNG) % 4)
VIEWS = [(0, 48), (48, 32), (80, 12), (92, len(PNG))]
HUGE = [-1, 5, 2**31 - 1, 2**31, 2**32, 2**40, 2**63, 2**70, 1e308, 1.5, "4", None, True, [4], {}]


def document() -> dict[str, Any]:
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 4, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 6, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": start, "byteLength": size} for start, size in VIEWS],
        "buffers": [{"byteLength": len(BINARY)}],
    }


def glb(content: dict[str, Any] | bytes, binary: bytes = BINARY) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(text) + len(binary), len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


def changed(**changes: Any) -> dict[str, Any]:
    """The document with values replaced; a key is a path with __ between its parts."""
    out = document()
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        item: Any = out
        for parent in parents:
            item = item[parent]
        item[last] = value
    return out


def separate(folder: Path, uri: Any, kind: str = "images") -> Path:
    """A .gltf that names a file."""
    content = document()
    content["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(BINARY).decode()
    content[kind][0] = ({"byteLength": 92} if kind == "buffers" else {}) | {"uri": uri}
    (folder / "a.gltf").write_text(json.dumps(content))
    return folder / "a.gltf"


def _values() -> Iterator[tuple[str, dict[str, Any]]]:
    places = [f"accessors__{index}__{key}" for index in (0, 2) for key in ("count", "byteOffset", "bufferView")]
    places += [f"bufferViews__0__{key}" for key in ("byteOffset", "byteLength", "byteStride", "buffer")]
    places += ["nodes__0__mesh", "scenes__0__nodes__0", "scene", "textures__0__source", "accessors__0__componentType"]
    for place in places:
        for value in HUGE:
            yield f"{place} is {value!r}"[:70], changed(**{place: value})
    for key in ("meshes", "accessors", "bufferViews", "buffers", "materials", "textures", "images", "nodes", "scenes"):
        for value in (None, {}, [], [[]], [None], "x", 7):
            yield f"{key} is {value!r}", changed(**{key: value})


def _scenes() -> Iterator[tuple[str, dict[str, Any], str]]:
    loops = {
        "a node in itself": [{"mesh": 0, "children": [0]}],
        "two nodes in each other": [{"mesh": 0, "children": [1]}, {"children": [0]}],
        "a node with two parents": [{"children": [1, 2]}, {"children": [2]}, {"mesh": 0}],
        "a loop beside the scene": [{"mesh": 0}, {"children": [2]}, {"children": [1]}],
        "a child twice": [{"children": [1, 1]}, {"mesh": 0}],
    }
    for name, nodes in loops.items():
        yield name, changed(nodes=nodes), ANY if "beside" in name else ERROR
    deep = [{"children": [index + 1]} for index in range(50_000)]
    yield "50,000 nodes deep", changed(nodes=[*deep, {"mesh": 0}]), ANY
    many = [{"mesh": 0, "translation": [index, 0, 0]} for index in range(200_000)]
    yield "200,000 nodes with a mesh", changed(nodes=many, scenes=[{"nodes": list(range(len(many)))}]), ANY
    yield "nodes without end", changed(nodes=[{}] * 1_000_000, scenes=[{"nodes": list(range(1_000_000))}]), ANY
    yield (
        "nodes that scale to infinity",
        changed(nodes=[*({"scale": [1e30] * 3, "children": [index + 1]} for index in range(20)), {"mesh": 0}]),
        ERROR,
    )
    primitive = document()["meshes"][0]["primitives"][0]
    yield "100,000 primitives", changed(meshes=[{"primitives": [primitive] * 100_000}]), ANY
    targets = primitive | {"targets": [{"POSITION": 0}] * 100_000}
    yield "100,000 morph targets", changed(meshes=[{"primitives": [targets], "weights": [0.0001] * 100_000}]), ANY
    empty = {"componentType": 5126, "count": 4_000_000, "type": "VEC3"}
    spread = empty | {
        "sparse": {
            "count": 3,
            "indices": {"bufferView": 2, "componentType": 5123, "byteOffset": 0},
            "values": {"bufferView": 0},
        }
    }
    accessors = document()["accessors"]
    alone = [{"attributes": {"POSITION": 3}}]
    yield "four million points of nothing", changed(accessors=[*accessors, spread], meshes=[{"primitives": alone}]), ANY
    five = changed(accessors=[*accessors, spread], meshes=[{"primitives": alone}], nodes=[{"mesh": 0}] * 4)
    five["scenes"] = [{"nodes": [0, 1, 2, 3]}]
    yield "the same four times", five, ANY
    matrices = spread | {"type": "MAT4", "componentType": 5126}
    yield "many sparse accessors", changed(accessors=[*accessors, *[matrices] * 500]), ANY
    yield "many accessors of nothing", changed(accessors=[*accessors, *[empty] * 10_000]), ANY
    sets = {
        f"{kind}_{index}": accessor for index in range(20_000) for kind, accessor in (("JOINTS", 4), ("WEIGHTS", 5))
    }
    skinned = changed(
        accessors=[*accessors, spread, *({"componentType": kind, "count": 4, "type": "VEC4"} for kind in (5121, 5126))],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0} | sets}]}],
        skins=[{"joints": [0]}],
        nodes=[{"mesh": 0, "skin": 0}],
    )
    yield "20,000 joints a vertex", skinned, ANY
    joints = changed(
        accessors=[
            *accessors,
            {"componentType": 5123, "count": 4, "type": "VEC4"},
            {"componentType": 5126, "count": 4, "type": "VEC4"},
        ],
        skins=[{"joints": [0]}],
        nodes=[{"mesh": 0, "skin": 0}],
    )
    joints["meshes"][0]["primitives"][0]["attributes"] |= {"JOINTS_0": 3, "WEIGHTS_0": 4}
    yield "joints without weight", joints, ANY
    yield "materials without end", changed(materials=document()["materials"] * 200_000), ANY
    shown = [primitive | {"material": index} for index in range(20_000)]
    yield "20,000 materials", changed(materials=document()["materials"] * 20_000, meshes=[{"primitives": shown}]), ANY


def _texts() -> Iterator[tuple[str, bytes]]:
    text = json.dumps(document()).encode()
    deep = 1_000_000
    for name, extras in {
        "lists in lists": b"[" * deep,
        "closed lists in lists": b"[" * deep + b"]" * deep,
        "objects in objects": b'{"a":' * deep,
        "1e400": b"1e400",
        "NaN": b"NaN",
        "a long number": b"9" * 1_000_000,
        "lists side by side": b"[" + b"[]," * 3_000_000 + b"[]]",
        "a long string": b'"' + b"x" * 50_000_000 + b'"',
        "numbers side by side": b"[" + b"1.5," * 3_000_000 + b"1]",
        "a lone surrogate": b'"\\ud800"',
        "a NUL": b'"\0"',
        "bad UTF-8": b'"\xff"',
        "the same key twice": b'1, "asset": 7',
    }.items():
        yield name, text[:-1] + b', "extras": ' + extras + b"}"
    for name, content in {
        "nothing": b"",
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "UTF-16": text.decode().encode("utf-16"),
        "NULs": bytes(1000),
        "an empty object": b"{}",
        "only an asset": b'{"asset": {"version": "2.0"}}',
        "version 1": text.replace(b'"2.0"', b'"1.0"'),
        "version 2 as a list": text.replace(b'"2.0"', b"[2]"),
    }.items():
        yield name, content


def _binaries() -> Iterator[tuple[str, bytes]]:
    whole = glb(document())
    (size,) = struct.unpack_from("<I", whole, 12)
    for length, start in cuts(whole, [*range(0, 36, 3), 20 + size, 24 + size, 28 + size, 30 + size, len(whole) - 1]):
        yield f"cut at {length}", start
        if length >= 12:
            yield f"cut at {length} and says so", start[:8] + struct.pack("<I", length) + start[12:]
    for value in (0, 1, 2**31, 2**32 - 1, len(whole)):
        yield f"JSON of {value} bytes", whole[:12] + struct.pack("<I", value) + whole[16:]
        yield f"data of {value} bytes", whole[: 20 + size] + struct.pack("<I", value) + whole[24 + size :]
        yield f"file of {value} bytes", whole[:8] + struct.pack("<I", value) + whole[12:]
    chunks = struct.pack("<I4s", 0, b"XXXX") * 1_000_000
    yield "many chunks", whole[:8] + struct.pack("<I", len(whole) + len(chunks)) + whole[12:] + chunks
    for number, data in enumerate(flips(BINARY, 10, 3)):
        yield f"data flipped {number}", glb(document(), data)
    for number, data in enumerate(flips(whole[: 20 + size], 25, 4)):
        yield f"head flipped {number}", data + whole[20 + size :]


def _uris() -> Iterator[tuple[str, str, Any]]:
    for kind in ("images", "buffers"):
        for uri in (
            "data:",
            "data:,",
            "data:;base64,",
            "data:;base64,AAA",
            "data:;base64,!!!!",
            "data:image/png;base64,%00",
            "data:;base64",
            "a%00b",
            "",
            ".",
            "..",
            "x" * 5000,
            "%ff%fe",
            "//host/a.png",
            "\\\\host\\a.png",
            7,
            None,
            {},
            "a.gltf",
            "javascript:alert(1)",
            "file:a.png",
            "\ud800",
            "a/" * 3000 + "b",
            "data:;base64," + "A" * 5_000_000,
        ):
            yield f"{kind} {str(uri)[:40]!r}", kind, uri


def cases() -> Iterator[Case]:
    def gltf(name: str, make: Callable[[Path], Path], ends: str = ANY) -> Case:
        return Case(f"glTF/{name}", "mesh", make, ends)

    for name, content in _values():
        yield gltf(name, file_of("a.glb", partial(glb, content)))
    for name, content, ends in _scenes():
        yield gltf(name, file_of("a.glb", partial(glb, content)), ends)
    for name, text in _texts():
        yield gltf(name, file_of("a.gltf", text), ANY)
    for name, kind, uri in _uris():
        yield gltf(name, lambda folder, kind=kind, uri=uri: separate(folder, uri, kind))
    for name, data in _binaries():
        yield Case(f"GLB/{name}", "mesh", file_of("a.glb", data))
    pictures = deepcopy(document())
    pictures["images"] *= 2000
    pictures["textures"] = [{"source": index} for index in range(2000)]
    pictures["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": index}}} for index in range(2000)]
    primitive = pictures["meshes"][0]["primitives"][0]
    pictures["meshes"][0]["primitives"] = [primitive | {"material": index} for index in range(2000)]
    yield gltf("2000 pictures of one view", file_of("a.glb", glb(pictures)))
    yield gltf(
        "60 MB of lists",
        streamed("a.gltf", (b'{"asset": {"version": "2.0"}, "extras": [', 1), (b"[],", 20_000_000), (b"0]}", 1)),
    )
