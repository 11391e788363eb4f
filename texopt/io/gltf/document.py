"""A glTF 2.0 document (Khronos, "glTF 2.0 Specification") and its data in memory.

The document stays what it was: export edits base colours (and UVs where they are new) and leaves the rest alone, so
that node transforms, other UV sets, skins, animations and other channels of the materials survive.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import ImageError
from texopt.io.gltf.schema import INSTANCING
from texopt.io.text import legible

COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
SHAPES = {  # columns and rows of an element
    "SCALAR": (1, 1), "VEC2": (1, 2), "VEC3": (1, 3), "VEC4": (1, 4), "MAT2": (2, 2), "MAT3": (3, 3), "MAT4": (4, 4),
}  # fmt: skip
ARRAY_BUFFER = 34962
TRIANGLES, STRIP, FAN = 4, 5, 6  # modes of primitives
ZERO, ONE, UNTURNED = (0.0,) * 3, (1.0,) * 3, (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Piece:
    """Where a primitive stands in the mesh that was made of the scene: its faces are face, face + 1, ...

    mirrored: whether their corners go the other way round than in the file.
    """

    mesh: int
    primitive: int
    face: int
    mirrored: bool = False


@dataclass
class GltfFile:
    """A glTF document with its data in memory.

    document: the JSON, in which every image has a buffer view. buffers: the bytes of each. files: what it was read
    from. pieces: the primitives that were read, each once, in the order of their faces. missing: why images are not
    here, by index; they have the bytes of some other.
    """

    path: Path
    document: dict[str, Any]
    buffers: list[bytes]
    files: list[Path] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    missing: dict[int, str] = field(default_factory=dict)

    def copy(self) -> GltfFile:
        """One that can be edited without changing this."""
        return replace(self, document=copy.deepcopy(self.document), buffers=[*self.buffers])

    def get(self, kind: str) -> list[dict[str, Any]]:
        """The list of that name in the document; empty where there is none."""
        return self.document.get(kind, [])  # type: ignore[no-any-return]

    def view(self, index: int) -> memoryview:
        """The bytes of a buffer view."""
        entry = self.document["bufferViews"][index]
        start = entry.get("byteOffset", 0)
        return memoryview(self.buffers[entry["buffer"]])[start : start + entry["byteLength"]]

    def image(self, index: int) -> bytes:
        """The bytes of an image's file. ImageError where it is missing."""
        if index in self.missing:
            raise ImageError(f"{self.path} {self.missing[index]}")
        return bytes(self.view(self.document["images"][index]["bufferView"]))

    def count(self, accessor: int) -> int:
        """How many elements an accessor has."""
        return int(self.document["accessors"][accessor]["count"])

    def accessor(self, index: int, raw: bool = False) -> np.ndarray:
        """The values of an accessor, [count] or [count, width]; normalised integers as floats, unless `raw`."""
        entry = self.document["accessors"][index]
        kind, shape, count = COMPONENTS[entry["componentType"]], SHAPES[entry["type"]], entry["count"]
        if "bufferView" in entry:
            values = self.elements(entry, kind, count, shape)
        else:
            values = np.zeros((count, shape[0] * shape[1]), kind)
        if sparse := entry.get("sparse"):
            where, what = sparse["indices"], sparse["values"]
            rows = self.elements(where, COMPONENTS[where["componentType"]], sparse["count"], (1, 1))
            values = values.copy()
            values[rows[:, 0]] = self.elements(what, kind, sparse["count"], shape)
        if entry.get("normalized") and not raw and kind != np.float32:
            values = np.maximum(values / np.iinfo(values.dtype).max, -1.0)
        return values[:, 0] if values.shape[1] == 1 else values

    def elements(self, entry: dict[str, Any], kind: type, count: int, shape: tuple[int, int]) -> np.ndarray:
        """Elements [count, columns * rows] in a buffer view."""
        columns, rows = shape
        if not count:
            return np.zeros((0, columns * rows), kind)
        column, size = element_sizes(kind, shape)
        stride = self.document["bufferViews"][entry["bufferView"]].get("byteStride") or size
        strides, view = (stride, column, np.dtype(kind).itemsize), self.view(entry["bufferView"])
        order = np.dtype(kind).newbyteorder("<")
        values = np.ndarray((count, columns, rows), order, view, entry.get("byteOffset", 0), strides)
        return values.reshape(count, columns * rows)

    def triangles(self, primitive: dict[str, Any]) -> np.ndarray:
        """The triangles of a primitive, int64 [F,3], into its attributes."""
        if "indices" in primitive:
            indices = self.accessor(primitive["indices"], raw=True)
        else:
            indices = np.arange(self.count(primitive["attributes"]["POSITION"]))
        return triangles(indices, primitive.get("mode", TRIANGLES))

    def roots(self) -> list[int]:
        """The nodes that its scene begins with; without scenes all that have no parent."""
        if scenes := self.get("scenes"):
            return list(scenes[self.document.get("scene", 0)].get("nodes", []))
        children = {child for node in self.get("nodes") for child in node.get("children", [])}
        return [index for index in range(len(self.get("nodes"))) if index not in children]

    def shown(self) -> Iterator[tuple[int, np.ndarray]]:
        """(node, its world matrix [4,4]) for every node of the scene that has a mesh, in depth-first order."""
        nodes = self.get("nodes")
        todo = [(index, np.eye(4)) for index in reversed(self.roots())]
        while todo:
            index, parent = todo.pop()
            world = parent @ node_matrix(nodes[index])
            todo += [(child, world) for child in reversed(nodes[index].get("children", []))]
            if "mesh" in nodes[index]:
                yield index, world

    def copies(self, node: int) -> int:
        """How often a node shows its mesh."""
        attributes = self._instancing(node)
        return self.count(next(iter(attributes.values()))) if attributes else 1

    def copy_matrices(self, node: int) -> np.ndarray:
        """Where a node shows its mesh, from its own coordinates [N,4,4]: EXT_mesh_gpu_instancing."""
        attributes, count = self._instancing(node), self.copies(node)
        translation, rotation, scale = (
            self.accessor(attributes[name]) if name in attributes else np.tile(default, (count, 1))
            for name, default in (("TRANSLATION", ZERO), ("ROTATION", UNTURNED), ("SCALE", ONE))
        )
        return transforms(translation, rotation, scale)

    def _instancing(self, node: int) -> dict[str, int]:
        extensions = self.document["nodes"][node].get("extensions", {})
        return dict(extensions.get(INSTANCING, {}).get("attributes", {}))

    def world_matrices(self) -> list[np.ndarray]:
        """World matrices [4,4] of all nodes, for skins, whose joints may be anywhere."""
        nodes = self.get("nodes")
        parent = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
        found: dict[int, np.ndarray] = {}
        for start in range(len(nodes)):
            chain = [start]
            while chain[-1] in parent and chain[-1] not in found:
                chain.append(parent[chain[-1]])
            for index in reversed(chain):
                if index not in found:
                    above = found[parent[index]] if index in parent else np.eye(4)
                    found[index] = above @ node_matrix(nodes[index])
        return [found[index] for index in range(len(nodes))]

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
        """A new buffer view, of a buffer of its own; its index."""
        self.buffers.append(data)
        views = self.document.setdefault("bufferViews", [])
        views.append({"buffer": len(self.buffers) - 1, "byteLength": len(data)} | properties)
        return len(views) - 1

    def add_accessor(self, values: np.ndarray, kind: str, target: int = ARRAY_BUFFER, **properties: Any) -> int:
        """A new accessor of values [count] or [count, width]; its index. Attributes are padded to four bytes each."""
        code = next(code for code, numpy in COMPONENTS.items() if values.dtype == numpy)
        columns, rows = SHAPES[kind]
        elements = values.reshape(len(values), columns, rows)
        view: dict[str, int] = {"target": target}
        if target == ARRAY_BUFFER and (gap := -rows * values.itemsize % 4):
            elements = np.pad(elements, ((0, 0), (0, 0), (0, gap // values.itemsize)))
            view["byteStride"] = columns * elements.shape[2] * values.itemsize
        entry = {
            "bufferView": self.add_view(np.ascontiguousarray(elements).tobytes(), **view),
            "componentType": code, "count": len(values), "type": kind,
        } | properties  # fmt: skip
        self.document.setdefault("accessors", []).append(entry)
        return len(self.document["accessors"]) - 1

    def add_image(self, data: bytes, name: str) -> int:
        """A new image, PNG; its index."""
        images = self.document.setdefault("images", [])
        images.append({"name": written_name(name), "mimeType": "image/png", "bufferView": self.add_view(data)})
        return len(images) - 1


def name_of(entry: dict[str, Any], default: str = "") -> str:
    """An object's name, as text that can be written."""
    name = entry.get("name")
    return written_name(name) if name and isinstance(name, str) else default


def written_name(name: str) -> str:
    """A name without what is no character: lone surrogates, as of bytes in files that are not UTF-8."""
    return legible(name).encode("utf-8", "replace").decode()


def element_sizes(kind: type, shape: tuple[int, int]) -> tuple[int, int]:
    """Bytes from a column of an element to the next, and of an element: columns of matrices start at multiples of 4."""
    columns, rows = shape
    column = rows * np.dtype(kind).itemsize
    column = -(-column // 4) * 4 if columns > 1 else column
    return column, columns * column


def node_matrix(node: dict[str, Any]) -> np.ndarray:
    """The local matrix [4,4] of a node: its own, or of translation, rotation (a quaternion) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    if not node.keys() & {"rotation", "scale", "translation"}:
        return np.eye(4)
    parts = (node.get("translation", ZERO), node.get("rotation", UNTURNED), node.get("scale", ONE))
    return np.asarray(transforms(*(np.array([part], float) for part in parts))[0])


def transforms(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Matrices [N,4,4] of translations [N,3], unit quaternions [N,4] (x, y, z, w) and scales [N,3]."""
    x, y, z, w = rotation.T.astype(float)
    turned = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]).transpose(2, 0, 1)  # fmt: skip
    matrices = np.tile(np.eye(4), (len(turned), 1, 1))
    matrices[:, :3, :3] = turned * scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def triangles(indices: np.ndarray, mode: int) -> np.ndarray:
    """The triangles int64 [F,3] of a primitive's indices; strips and fans as the specification orders them."""
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
