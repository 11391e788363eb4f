"""Read a glTF document, .glb or .gltf, with all of its data, and check that it holds together."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from texopt.errors import ImageError, MeshError
from texopt.gltf import COMPONENTS, SHAPES, GltfFile
from texopt.gltf_links import links, texture_infos, uv_set
from texopt.images import inside

# extensions that a file may require: those that change what texopt reads, and those that it can ignore
UNDERSTOOD = {
    "KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp", "KHR_lights_punctual",
    "KHR_animation_pointer", "KHR_xmp_json_ld",
}  # fmt: skip
COMPRESSION = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshoptimizer"}
LISTS = (
    "accessors", "animations", "buffers", "bufferViews", "cameras", "images", "materials", "meshes", "nodes",
    "samplers", "scenes", "skins", "textures",
)  # fmt: skip
MOST_VALUES = 1_000_000  # of the JSON, against text that takes many times its size in memory
MOST_ENTRIES = 100_000  # of a list of the document
CLAIMS = 16, 1 << 24  # bytes that accessors may stand for: so many times those that are there, and so many more
DEEPEST = 64  # levels of nesting; files have about a dozen
BROKEN = (
    KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RuntimeError, struct.error,
)  # fmt: skip


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Make whatever a broken file runs its reader into a MeshError."""
    try:
        yield
    except BROKEN as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).split("\n")[0][:120]
        if isinstance(error, RecursionError):
            reason = "nested too deep"
        raise MeshError(
            f"{path} is not a valid {path.suffix[1:].upper()} file ({reason or type(error).__name__}); export it again"
        ) from None


def understood(extension: str) -> bool:
    """Whether texopt knows all that an extension means for what it does."""
    return extension in UNDERSTOOD or extension.startswith("KHR_materials_")


def read_gltf(path: Path) -> GltfFile:
    """A .glb or .gltf with all of its data. MeshError or ImageError where that cannot be done."""
    with parsing(path):
        data = path.read_bytes()
        text, binary = _chunks(data) if data[:4] == b"glTF" else (data, None)
        document = decoded(text)
        _check_values(document)
        if not str(document.get("asset", {}).get("version", "")).startswith("2"):
            raise ValueError("no glTF of version 2")
        _check_extensions(path, document)
        file = GltfFile(path, document, [], [path])
        _load(file, binary)
        _forget_compression(file)
        _check_links(file)
    return file


def decoded(text: bytes) -> Any:
    """JSON. ValueError or RecursionError where it is none, or so much that it takes long to look at."""
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"its JSON has more than {MOST_VALUES:,} values")
    return json.loads(text.decode("utf-8-sig"))


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the binary chunk of a GLB."""
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2 or length > len(data):
        raise ValueError("it is truncated or not of version 2")
    found: dict[bytes, bytes] = {}
    offset = 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, offset)
        offset += 8 + size
        if offset > length:
            raise ValueError("it is truncated")
        found.setdefault(kind, data[offset - size : offset])
    return found[b"JSON"], found.get(b"BIN\0")


def _check_values(document: Any) -> None:
    """ValueError where values are too deep for what handles them later, or nothing that JSON can hold."""
    level = [document]
    for _ in range(DEEPEST):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("a number that is not finite")
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = [value for values in inner for value in values]
        if not level:
            break
    else:
        raise ValueError("nested too deep")
    if not isinstance(document, dict):
        raise ValueError("no glTF of version 2")
    for kind in LISTS:
        entries = document.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{kind} is no list of objects")
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"it has more than {MOST_ENTRIES:,} {kind}")
    for kind in ("extensionsUsed", "extensionsRequired"):
        names = document.get(kind, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{kind} is no list of names")


def _check_extensions(path: Path, document: dict[str, Any]) -> None:
    required = document.get("extensionsRequired", [])
    for extension, what in COMPRESSION.items():
        if extension in required:
            raise MeshError(f"{path} is compressed with {what}, which texopt does not read; export it uncompressed")
    if "KHR_texture_basisu" in required:
        raise ImageError(f"{path} has KTX2 textures, which texopt does not read; export it with PNG or JPEG")
    if unknown := sorted({name for name in required if not understood(name)}):
        raise MeshError(f"{path} requires {', '.join(unknown)}, which texopt does not read; export without it")


def _load(file: GltfFile, binary: bytes | None) -> None:
    """Fetch the buffers, and the images as further ones."""
    fetched: dict[str, bytes] = {}

    def fetch(uri: str, error: type[MeshError] | type[ImageError]) -> bytes:
        if uri not in fetched:
            fetched[uri] = _fetch(file, uri, error)
        return fetched[uri]

    for index, buffer in enumerate(file.get("buffers")):
        if "uri" in buffer:
            file.buffers.append(fetch(buffer["uri"], MeshError))
        else:
            file.buffers.append((binary or b"") if index == 0 else b"")
    for image in file.get("images"):
        if "bufferView" not in image:
            uri = image.pop("uri")
            image["bufferView"] = file.add_view(fetch(uri, ImageError))
            if not uri.startswith("data:"):
                image.setdefault("name", PurePosixPath(unquote(uri)).stem)
    file.document["buffers"] = [{"byteLength": len(data)} for data in file.buffers]


def _fetch(file: GltfFile, uri: str, error: type[MeshError] | type[ImageError]) -> bytes:
    """What a URI names: data in it, or a file beside the document or below it, and nowhere else."""
    path = file.path
    if uri.startswith("data:"):
        head, _, data = uri.partition(",")
        return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)
    if ":" in uri.split("/")[0]:
        raise error(f"{path} names {uri[:60]!r}, which is no file beside it; texopt fetches nothing: export it as .glb")
    name = unquote(uri)
    found = path.parent / name
    if not inside(found, path.parent):
        raise error(f"{path} names {name!r}, which is outside of its folder; put it there or export the mesh as .glb")
    if not found.is_file():
        raise error(f"{path} names {name!r}, which is not there; put it there or export the mesh as .glb")
    file.files.append(found)
    return found.read_bytes()


def _forget_compression(file: GltfFile) -> None:
    """Leave out compressed copies of data that is also there uncompressed: export would not keep them up to date."""
    document = file.document
    for view in file.get("bufferViews"):
        view.get("extensions", {}).pop("EXT_meshopt_compression", None)
    for mesh in file.get("meshes"):
        for primitive in mesh["primitives"]:
            position = primitive["attributes"].get("POSITION")
            draco = primitive.get("extensions", {}).pop("KHR_draco_mesh_compression", None)
            if draco is not None and "bufferView" not in document["accessors"][position]:
                raise MeshError(
                    f"{file.path} is compressed with Draco, which texopt does not read; export it uncompressed"
                )
    if "extensionsUsed" in document:
        document["extensionsUsed"] = [name for name in document["extensionsUsed"] if name not in COMPRESSION]
        if not document["extensionsUsed"]:
            del document["extensionsUsed"]


def _check_claims(file: GltfFile) -> None:
    """ValueError where accessors stand for much more data than there is: together, as each may be read."""
    times, more = CLAIMS
    claimed = 0
    for entry in file.get("accessors"):
        columns, rows = SHAPES[entry["type"]]
        for count in (entry["count"], entry.get("sparse", {}).get("count", 0)):
            if type(count) is not int or count < 0:
                raise ValueError(f"an accessor of {count!r} elements"[:100])
            claimed += count * columns * rows * np.dtype(COMPONENTS[entry["componentType"]]).itemsize
    if claimed > times * sum(map(len, file.buffers)) + more:
        raise ValueError(f"its accessors stand for {claimed:,} bytes, which are not there")


def _check_links(file: GltfFile) -> None:
    """ValueError where an index is none, where data is missing, or where nodes are no forest."""
    document = file.document
    for kind, item, key in links(document):
        index = item[key]
        if type(index) is not int or not 0 <= index < len(document.get(kind, [])):
            raise ValueError(f"{key} {index!r} is none of its {len(document.get(kind, []))} {kind}"[:100])
    for material in file.get("materials"):
        for info in texture_infos(material):
            uv_set(info)
    children = [child for node in file.get("nodes") for child in node.get("children", [])]
    if len(set(children)) < len(children):
        raise ValueError("a node has two parents")
    for index in range(len(file.get("bufferViews"))):
        file.view(index)
    _check_claims(file)
    counts = [len(file.accessor(index, raw=True)) for index in range(len(file.get("accessors")))]
    for mesh in file.get("meshes"):
        for primitive in mesh["primitives"]:
            attributes = [primitive["attributes"], *primitive.get("targets", [])]
            if len({counts[accessor] for names in attributes for accessor in names.values()}) > 1:
                raise ValueError("attributes of a primitive differ in length")
