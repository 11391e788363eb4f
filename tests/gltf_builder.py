"""glTF documents made by code, for the tests of reading and export."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CODES = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
QUAD = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
QUAD_UVS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # (0,0) at the upper left
QUAD_INDICES = np.array([0, 1, 2, 0, 2, 3], np.uint16)


def picture(size: int = 8, seed: int = 0, alpha: bool = False) -> np.ndarray:
    """Noise uint8 [size,size,3 or 4]."""
    return np.random.default_rng(seed).integers(0, 256, (size, size, 4 if alpha else 3), np.uint8)


def encoded(values: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


class Builder:
    """A document and the bytes of its one buffer."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.document: dict[str, Any] = {"asset": {"version": "2.0"}, "scenes": [{"nodes": []}], "scene": 0}

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        self.document.setdefault(kind, []).append(entry)
        return len(self.document[kind]) - 1

    def view(self, data: bytes, **properties: Any) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)} | properties
        self.binary += data
        return self.add("bufferViews", entry)

    def accessor(self, values: Any, **properties: Any) -> int:
        values = np.asarray(values)
        entry = {
            "bufferView": self.view(values.tobytes()), "componentType": CODES[str(values.dtype)], "count": len(values),
            "type": TYPES[values.reshape(len(values), -1).shape[1]],
        }  # fmt: skip
        return self.add("accessors", entry | properties)

    def positions(self, values: np.ndarray) -> int:
        return self.accessor(values, min=values.min(0).tolist(), max=values.max(0).tolist())

    def quad(self, uvs: bool = True, **attributes: int) -> dict[str, Any]:
        """A primitive of two triangles; attributes are accessors."""
        given = {"POSITION": self.positions(QUAD), "NORMAL": self.accessor(np.tile(np.float32([0, 0, 1]), (4, 1)))}
        if uvs:
            given["TEXCOORD_0"] = self.accessor(QUAD_UVS)
        return {"attributes": given | attributes, "indices": self.accessor(QUAD_INDICES)}

    def texture(self, data: bytes, mime: str = "image/png", **properties: Any) -> int:
        image = self.add("images", {"bufferView": self.view(data), "mimeType": mime})
        return self.add("textures", {"source": image} | properties)

    def material(self, texture: int | None = None, factor: Any = None, **properties: Any) -> int:
        pbr: dict[str, Any] = {"metallicFactor": 0.0}
        if texture is not None:
            pbr["baseColorTexture"] = {"index": texture}
        if factor is not None:
            pbr["baseColorFactor"] = list(factor)
        return self.add("materials", {"pbrMetallicRoughness": pbr} | properties)

    def mesh(self, *primitives: dict[str, Any], **properties: Any) -> int:
        return self.add("meshes", {"primitives": list(primitives)} | properties)

    def node(self, mesh: int | None = None, root: bool = True, **properties: Any) -> int:
        node = self.add("nodes", ({} if mesh is None else {"mesh": mesh}) | properties)
        if root:
            self.document["scenes"][0]["nodes"].append(node)
        return node

    def finished(self) -> dict[str, Any]:
        return self.document | ({"buffers": [{"byteLength": len(self.binary)}]} if self.binary else {})

    def glb(self, path: Path) -> Path:
        path.write_bytes(packed(self.finished(), bytes(self.binary)))
        return path

    def gltf(self, path: Path, external: bool = False) -> Path:
        document = self.finished()
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.binary).decode()
        if external:
            uri = "my%20data.bin"
            path.with_name("my data.bin").write_bytes(self.binary)
        document["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(document))
        return path


def packed(document: dict[str, Any] | bytes, binary: bytes) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return (
        struct.pack("<4sIII4s", b"glTF", 2, total, len(text), b"JSON") + text
        + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )  # fmt: skip


def unpacked(path: Path) -> tuple[dict[str, Any], bytes]:
    """The document and the buffer of a GLB."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    assert struct.unpack_from("<I", data, 8) == (len(data),)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def values_of(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    """An accessor [count,width] by the obvious way: element by element."""
    entry = document["accessors"][index]
    kind = next(name for name, code in CODES.items() if code == entry["componentType"])
    width = next(width for width, name in TYPES.items() if name == entry["type"])
    out = np.zeros((entry["count"], width), kind)
    if "bufferView" in entry:
        view = document["bufferViews"][entry["bufferView"]]
        start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
        step = view.get("byteStride", width * out.itemsize)
        for row in range(len(out)):
            out[row] = np.frombuffer(binary, kind, width, start + row * step)
    if sparse := entry.get("sparse"):
        parts = []
        for part, code, columns in (
            (sparse["indices"], sparse["indices"]["componentType"], 1),
            (sparse["values"], entry["componentType"], width),
        ):
            name = next(name for name, number in CODES.items() if number == code)
            start = document["bufferViews"][part["bufferView"]].get("byteOffset", 0) + part.get("byteOffset", 0)
            parts.append(np.frombuffer(binary, name, sparse["count"] * columns, start).reshape(-1, columns))
        out[parts[0][:, 0].astype(int)] = parts[1]
    return out
