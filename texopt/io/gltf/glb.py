"""A glTF document as one binary file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.file import understood
from texopt.io.gltf.links import links

FREED = ("textures", "images", "accessors", "bufferViews")  # each is what the next is used by
# further extensions that number none of these in ways of their own
PLAIN = {"KHR_texture_basisu", "EXT_texture_avif", "MSFT_texture_dds", "MSFT_lod"}
SIGNATURES = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"\xabKTX 20", "image/ktx2"))


def to_glb(file: GltfFile, before: dict[str, Any]) -> bytes:
    """An edited document with all of its data, without what was used `before` and is not now.

    The file itself is changed by this.
    """
    document = file.document
    _free(document, before)
    _forget_extensions(document, before)
    for image in file.get("images"):
        image["mimeType"] = _mime(bytes(file.view(image["bufferView"])[:16])) or image.get("mimeType", "image/png")
    binary = _packed(file)
    document["buffers"] = [{"byteLength": len(binary)}]
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
    return b"".join([
        header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary,
    ])  # fmt: skip


def _used(document: dict[str, Any], kind: str) -> set[int]:
    return {item[key] for target, item, key in links(document) if target == kind}


def _free(document: dict[str, Any], before: dict[str, Any]) -> None:
    """Drop what is no longer used, unless extensions may number it in ways of their own."""
    if not all(understood(name) or name in PLAIN for name in document.get("extensionsUsed", [])):
        return
    for kind in FREED:
        freed = _used(before, kind) - _used(document, kind)
        if not freed:
            continue
        kept = [index for index in range(len(document[kind])) if index not in freed]
        document[kind] = [document[kind][index] for index in kept]
        number = {old: new for new, old in enumerate(kept)}
        for target, item, key in links(document):
            if target == kind:
                item[key] = number[item[key]]
        if not kept:
            del document[kind]


def _forget_extensions(document: dict[str, Any], before: dict[str, Any]) -> None:
    """Take those that no object has any more out of the lists of a document's extensions."""
    gone = set(_extensions(before)) - set(_extensions(document))
    for kind in ("extensionsUsed", "extensionsRequired"):
        if kind in document:
            document[kind] = [name for name in document[kind] if name not in gone]
            if not document[kind]:
                del document[kind]


def _extensions(document: dict[str, Any]) -> Iterator[str]:
    """The names of the extensions that objects of a document have."""
    todo: list[Any] = [document]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            extensions = item.get("extensions")
            if isinstance(extensions, dict):
                yield from extensions
            todo += (value for key, value in item.items() if key != "extras")
        elif isinstance(item, list):
            todo += item


def _packed(file: GltfFile) -> bytearray:
    """The bytes of all buffer views as one buffer. What views share stays shared, and aligned as it was."""
    binary = bytearray()
    buffer, end, shift = -1, 0, 0  # the run of bytes that is being copied: its buffer, where it ends, how far it moves
    for view in sorted(file.get("bufferViews"), key=lambda view: (view["buffer"], view.get("byteOffset", 0))):
        first = view.get("byteOffset", 0)
        last = first + view["byteLength"]
        if view["buffer"] != buffer or first > end:
            buffer, end = view["buffer"], first
            binary += bytes((first - len(binary)) % 4)
            shift = len(binary) - first
        binary += memoryview(file.buffers[buffer])[end : max(end, last)]
        end = max(end, last)
        view |= {"buffer": 0, "byteOffset": first + shift}
    return binary


def _mime(data: bytes) -> str | None:
    if data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in SIGNATURES if data.startswith(signature)), None)
