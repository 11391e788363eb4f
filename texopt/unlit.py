"""A GLB whose textures show as they are, small enough to send to a browser again and again."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from texopt.indexed import IndexedPart

MAX_SIDE = 1024  # texels; a page shows the whole object, and a 4096² texture takes longer to send than to optimise
_ARRAY, _INDEX = 34962, 34963  # GL's ARRAY_BUFFER and ELEMENT_ARRAY_BUFFER
_FLOAT, _UNSIGNED = 5126, 5125


def unit_parts(parts: Sequence[IndexedPart]) -> list[IndexedPart]:
    """The parts moved and scaled together into the unit sphere."""
    positions = np.concatenate([part.positions for part in parts])
    center = (positions.min(0) + positions.max(0)) / 2
    radius = float(np.linalg.norm(positions - center, axis=1).max()) or 1.0
    return [IndexedPart((part.positions - center) / radius, part.uvs, part.normals, part.triangles) for part in parts]


def jpeg(image: Image.Image, max_side: int = MAX_SIDE) -> bytes:
    """The image as JPEG, scaled down where a side is longer than `max_side`."""
    image = image.convert("RGB")
    image.thumbnail((max_side, max_side), Image.Resampling.BOX, reducing_gap=None)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)  # colours at full resolution: saturated edges are the rule
    return buffer.getvalue()


def unlit_glb(parts: Sequence[IndexedPart], images: Sequence[Image.Image], max_side: int = MAX_SIDE) -> bytes:
    """Binary glTF of the parts, each with its image as JPEG: no lighting (KHR_materials_unlit), both sides drawn."""
    views: list[dict[str, int]] = []
    accessors: list[dict[str, Any]] = []
    blob = bytearray()

    def add_view(data: bytes, **target: int) -> int:
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data), **target})
        blob.extend(data + bytes(-len(data) % 4))
        return len(views) - 1

    def add_accessor(values: np.ndarray, kind: str, component: int, target: int, **bounds: list[float]) -> int:
        view = add_view(values.tobytes(), target=target)
        count = values.size if kind == "SCALAR" else len(values)
        accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **bounds})
        return len(accessors) - 1

    primitives, pictures = [], []
    for number, (part, image) in enumerate(zip(parts, images, strict=True)):
        positions = part.positions.astype("<f4")
        uvs = (part.uvs * (1, -1) + (0, 1)).astype("<f4")  # glTF's (0,0) is the upper left
        attributes = {
            "POSITION": add_accessor(
                positions, "VEC3", _FLOAT, _ARRAY, min=positions.min(0).tolist(), max=positions.max(0).tolist()
            ),
            "TEXCOORD_0": add_accessor(uvs, "VEC2", _FLOAT, _ARRAY),
        }
        indices = add_accessor(part.triangles.astype("<u4"), "SCALAR", _UNSIGNED, _INDEX)
        primitives.append({"attributes": attributes, "indices": indices, "material": number})
        pictures.append({"bufferView": add_view(jpeg(image, max_side)), "mimeType": "image/jpeg"})
    numbers = range(len(primitives))
    document = {
        "asset": {"version": "2.0", "generator": "texopt"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
        "materials": [
            {
                "pbrMetallicRoughness": {"baseColorTexture": {"index": number}, "metallicFactor": 0.0},
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
            for number in numbers
        ],
        "textures": [{"source": number, "sampler": 0} for number in numbers],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}],  # trilinear, repeat
        "images": pictures,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + bytes(blob)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
