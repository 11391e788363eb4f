"""Read and edit glTF 2.0 documents (Khronos, "glTF 2.0 Specification"), as .glb or as .gltf with its files.

The document stays what it was: export edits base colours (and UVs where they are new) and leaves the rest alone, so
that node transforms, other UV sets, skins, animations and other channels of the materials survive.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from texopt.errors import ImageError, MeshError
from texopt.images import inside

COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
ARRAY_BUFFER = 34962
TRIANGLES, STRIP, FAN = 4, 5, 6  # modes of primitives
# extensions that change what texopt reads; a file that requires any other is not read
UNDERSTOOD = {
    "KHR_mesh_quantization", "KHR_texture_transform", "KHR_materials_unlit", "KHR_materials_pbrSpecularGlossiness",
    "EXT_texture_webp", "KHR_lights_punctual", "KHR_materials_emissive_strength", "KHR_materials_ior",
    "KHR_materials_clearcoat", "KHR_materials_sheen", "KHR_materials_specular", "KHR_materials_transmission",
    "KHR_materials_volume", "KHR_materials_iridescence", "KHR_materials_anisotropy", "KHR_materials_variants",
    "KHR_animation_pointer", "KHR_xmp_json_ld",
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """Where a primitive stands in the mesh that was made of the scene: its faces are face, face + 1, ..."""

    mesh: int
    primitive: int
    face: int


@dataclass
class GltfFile:
    """A glTF document with its data in memory.

    document: the JSON. views: the bytes of every buffer view. images: the bytes of every image. files: what it was
    read from. pieces: the primitives that were read, each once, in the order of their faces.
    """

    path: Path
    document: dict[str, Any]
    views: list[bytes]
    images: list[bytes]
    files: list[Path] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def copy(self) -> GltfFile:
        """One that can be edited without changing this."""
        return replace(self, document=copy.deepcopy(self.document), views=[*self.views], images=[*self.images])

    def get(self, kind: str) -> list[dict[str, Any]]:
        """The list of that name in the document; empty where there is none."""
        return self.document.get(kind, [])  # type: ignore[no-any-return]

    def accessor(self, index: int, raw: bool = False) -> np.ndarray:
        """The values of an accessor, [count] or [count, width]; normalised integers as floats, unless `raw`."""
        entry = self.document["accessors"][index]
        kind, width, count = COMPONENTS[entry["componentType"]], WIDTHS[entry["type"]], int(entry["count"])
        if "bufferView" in entry:
            values = self._strided(entry["bufferView"], entry.get("byteOffset", 0), kind, count, width)
        else:
            values = np.zeros((count, width), kind)
        if sparse := entry.get("sparse"):
            where, what = sparse["indices"], sparse["values"]
            rows = self._strided(
                where["bufferView"], where.get("byteOffset", 0), COMPONENTS[where["componentType"]], sparse["count"], 1
            )
            values = values.copy()
            values[rows[:, 0]] = self._strided(
                what["bufferView"], what.get("byteOffset", 0), kind, sparse["count"], width
            )
        if entry.get("normalized") and not raw:
            values = np.maximum(values / np.iinfo(values.dtype).max, -1.0)
        return values[:, 0] if width == 1 else values

    def _strided(self, view: int, offset: int, kind: type, count: int, width: int) -> np.ndarray:
        item = np.dtype(kind).itemsize
        stride = self.document["bufferViews"][view].get("byteStride") or item * width
        data = self.views[view]
        if min(offset, count) < 0 or (count and offset + stride * (count - 1) + item * width > len(data)):
            raise ValueError("an accessor reaches beyond its buffer")
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), np.dtype(kind).newbyteorder("<"), data, offset, (stride, item))

    def instances(self) -> Iterator[tuple[int, np.ndarray]]:
        """(node, its world matrix [4,4]) for every node of the scene that has a mesh, in depth-first order."""
        nodes = self.get("nodes")
        scenes = self.get("scenes")
        children = {child for node in nodes for child in node.get("children", [])}
        roots = scenes[self.document.get("scene", 0)].get("nodes", []) if scenes else set(range(len(nodes))) - children
        todo = [(index, np.eye(4)) for index in reversed(list(roots))]
        visited: set[int] = set()
        while todo:
            index, parent = todo.pop()
            if index in visited:
                raise ValueError("its nodes are no tree")
            visited.add(index)
            world = parent @ node_matrix(nodes[index])
            todo += [(child, world) for child in reversed(nodes[index].get("children", []))]
            if "mesh" in nodes[index]:
                yield index, world

    def world_matrices(self) -> dict[int, np.ndarray]:
        """World matrices of all nodes, for skins, whose joints may be anywhere."""
        nodes = self.get("nodes")
        parent = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
        found: dict[int, np.ndarray] = {}
        for start in range(len(nodes)):
            chain = [start]
            while chain[-1] in parent and chain[-1] not in found:
                chain.append(parent[chain[-1]])
                if len(chain) > len(nodes):
                    raise ValueError("its nodes are no tree")
            for index in reversed(chain):
                if index not in found:
                    above = found[parent[index]] if index in parent else np.eye(4)
                    found[index] = above @ node_matrix(nodes[index])
        return found

    def texture_image(self, texture: int) -> int:
        """The image that a texture shows."""
        entry = self.document["textures"][texture]
        if "EXT_texture_webp" in entry.get("extensions", {}):
            return int(entry["extensions"]["EXT_texture_webp"]["source"])
        if "source" not in entry:
            kinds = ", ".join(entry.get("extensions", {})) or "none"
            raise ImageError(
                f"{self.path} has a texture in a format that texopt does not read ({kinds}); export it with PNG or JPEG"
            )
        return int(entry["source"])

    # for export

    def add_view(self, data: bytes, **properties: int) -> int:
        """A new buffer view; its index."""
        self.views.append(data)
        self.document.setdefault("bufferViews", []).append({"buffer": 0, "byteLength": len(data)} | properties)
        return len(self.views) - 1

    def add_accessor(self, values: np.ndarray, kind: str, target: int = ARRAY_BUFFER, **properties: Any) -> int:
        """A new accessor of values [count] or [count, width]; its index. Rows are padded to four bytes each."""
        code = next(code for code, numpy in COMPONENTS.items() if values.dtype == numpy)
        rows = values.reshape(len(values), -1)
        view: dict[str, int] = {"target": target}
        if target == ARRAY_BUFFER and rows.strides[0] % 4:
            width = -(-rows.shape[1] * rows.itemsize // 4) * 4
            view["byteStride"] = width
            rows = np.pad(rows, ((0, 0), (0, width // rows.itemsize - rows.shape[1])))
        entry = {
            "bufferView": self.add_view(np.ascontiguousarray(rows).tobytes(), **view),
            "componentType": code, "count": len(values), "type": kind,
        } | properties  # fmt: skip
        if properties.get("min") is None and kind == "VEC3" and values.dtype == np.float32:
            entry |= {"min": values.min(0).astype(float).tolist(), "max": values.max(0).astype(float).tolist()}
        self.document.setdefault("accessors", []).append(entry)
        return len(self.document["accessors"]) - 1

    def add_image(self, data: bytes, name: str) -> int:
        """A new image, PNG; its index."""
        self.images.append(data)
        self.document.setdefault("images", []).append({"name": name, "mimeType": "image/png"})
        return len(self.images) - 1

    def to_glb(self) -> bytes:
        """The document as one binary file, without the images and buffer views that nothing refers to."""
        _drop_unused_images(self)
        for image, data in zip(self.get("images"), self.images, strict=True):
            image.pop("uri", None)
            if "bufferView" in image:
                self.views[image["bufferView"]] = data
            else:
                image["bufferView"] = self.add_view(data)
            image["mimeType"] = _mime(data)
        _drop_unused_views(self)
        binary = bytearray()
        for entry, data in zip(self.get("bufferViews"), self.views, strict=True):
            binary += b"\0" * (-len(binary) % 4)
            entry |= {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)}
            binary += data
        binary += b"\0" * (-len(binary) % 4)
        self.document["buffers"] = [{"byteLength": len(binary)}]
        text = json.dumps(self.document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(binary)
        header = struct.pack("<4sII", b"glTF", 2, total)
        return b"".join([
            header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary,
        ])  # fmt: skip


def references(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every object in a part of a document that has `key`."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            if key in item:
                yield item
            todo += item.values()
        elif isinstance(item, list):
            todo += item


def texture_references(materials: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every reference to a texture in materials: objects under keys that end with Texture, in extensions too."""
    todo: list[Any] = list(materials)
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if key.endswith("Texture") and isinstance(value, dict) and "index" in value:
                    yield value
                todo.append(value)
        elif isinstance(item, list):
            todo += item


def _renumbered(entries: list[Any], used: set[int]) -> tuple[list[Any], dict[int, int]]:
    kept = sorted(used)
    return [entries[index] for index in kept], {old: new for new, old in enumerate(kept)}


def _drop_unused_images(file: GltfFile) -> None:
    """Textures that no material shows, then images that no texture shows."""
    document = file.document
    if "textures" not in document or "KHR_materials_variants" in document.get("extensions", {}):
        return
    shown = {entry["index"] for entry in texture_references(file.get("materials"))}
    document["textures"], texture = _renumbered(document["textures"], shown)
    for entry in texture_references(file.get("materials")):
        entry["index"] = texture[entry["index"]]
    sources = {entry["source"] for entry in references(document["textures"], "source")}
    document["images"], image = _renumbered(file.get("images"), sources)
    file.images, _ = _renumbered(file.images, sources)
    for entry in references(document["textures"], "source"):
        entry["source"] = image[entry["source"]]
    for kind in ("textures", "images"):
        if not document[kind]:
            del document[kind]


def _drop_unused_views(file: GltfFile) -> None:
    used = {entry["bufferView"] for entry in references(file.document, "bufferView")}
    file.document["bufferViews"], view = _renumbered(file.get("bufferViews"), used)
    file.views, _ = _renumbered(file.views, used)
    for entry in references(file.document, "bufferView"):
        entry["bufferView"] = view[entry["bufferView"]]


def _mime(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    return "image/webp" if data[8:12] == b"WEBP" else "image/png"


def node_matrix(node: dict[str, Any]) -> np.ndarray:
    """The local matrix [4,4] of a node: its own, or of translation, rotation (a quaternion) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1.0, 1.0, 1.0)), float)
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def triangles(indices: np.ndarray, mode: int) -> np.ndarray:
    """The triangles [F,3] of a primitive's indices; strips and fans as the specification orders them."""
    indices = indices.astype(np.int64)
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    count = np.arange(len(indices) - 2)
    if mode == FAN:
        return np.stack([indices[count + 1], indices[count + 2], np.full_like(count, indices[0])], 1)
    odd = count % 2
    return np.stack([indices[count], indices[count + 1 + odd], indices[count + 2 - odd]], 1)


def _named_file(file: Path, uri: str, error: type[MeshError] | type[ImageError]) -> Path:
    """The file that a document names: beside it or below it, nowhere else."""
    if ":" in uri.split("/")[0]:
        raise error(f"{file} names {uri[:60]!r}, which is no file beside it; texopt fetches nothing: export it as .glb")
    found = file.parent / unquote(uri)
    if not inside(found, file.parent):
        raise error(f"{file} names {uri}, which is outside of its folder; put it beside the file or export it as .glb")
    if not found.is_file():
        raise error(f"{file} names {unquote(uri)}, which is not there; put it there or export the mesh as .glb")
    return found


def _bytes(path: Path, uri: str, error: type[MeshError] | type[ImageError], files: list[Path]) -> bytes:
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition(",")[2], validate=False)
    files.append(_named_file(path, uri, error))
    return files[-1].read_bytes()


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a GLB."""
    magic, version, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or version != 2 or length > len(data):
        raise ValueError("it is truncated or not of version 2")
    found = {b"JSON": b"", b"BIN\0": b""}
    offset = 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, offset)
        if offset + 8 + size > length:
            raise ValueError("it is truncated")
        found.setdefault(kind, data[offset + 8 : offset + 8 + size])
        found[kind] = found[kind] or data[offset + 8 : offset + 8 + size]
        offset += 8 + size
    return found[b"JSON"], found[b"BIN\0"]


def _parse(path: Path) -> GltfFile:
    data = path.read_bytes()
    text, binary = _chunks(data) if path.suffix.lower() == ".glb" else (data, b"")
    document = json.loads(text.decode("utf-8-sig"))
    if not isinstance(document, dict) or not str(document.get("asset", {}).get("version", "")).startswith("2"):
        raise ValueError("no glTF of version 2")
    required = set(document.get("extensionsRequired", []))
    for extension, what in (("KHR_draco_mesh_compression", "Draco"), ("EXT_meshopt_compression", "meshoptimizer")):
        if extension in required:
            raise MeshError(f"{path} is compressed with {what}, which texopt does not read; export it uncompressed")
    if "KHR_texture_basisu" in required:
        raise ImageError(f"{path} has KTX textures, which texopt does not read; export it with PNG or JPEG")
    if unknown := required - UNDERSTOOD:
        raise MeshError(f"{path} requires {', '.join(sorted(unknown))}, which texopt does not read; export without it")
    files = [path]
    buffers = [
        _bytes(path, buffer["uri"], MeshError, files) if "uri" in buffer else binary
        for buffer in document.get("buffers", [])
    ]
    views = []
    for view in document.get("bufferViews", []):
        start, size = view.get("byteOffset", 0), view["byteLength"]
        if start < 0 or size < 0 or start + size > len(buffers[view["buffer"]]):
            raise ValueError("a buffer is shorter than it says")
        views.append(buffers[view["buffer"]][start : start + size])
    images = [
        views[image["bufferView"]] if "bufferView" in image else _bytes(path, image["uri"], ImageError, files)
        for image in document.get("images", [])
    ]
    return GltfFile(path, document, views, images, files)


def invalid(path: Path, error: Exception) -> MeshError:
    """The error for a file whose structure is broken, from what reading it ran into."""
    reason = f"no {error}" if isinstance(error, KeyError) else str(error).split("\n")[0][:120] or type(error).__name__
    return MeshError(f"{path} is not a valid {path.suffix[1:].upper()} file ({reason}); export it again")


def read_gltf(path: Path) -> GltfFile:
    """Read a .glb or .gltf with all of its data. MeshError or ImageError where that cannot be done."""
    try:
        return _parse(path)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, struct.error, binascii.Error) as error:
        raise invalid(path, error) from None
    except RecursionError:
        raise MeshError(f"{path} is not a valid {path.suffix[1:].upper()} file (nested too deep)") from None
