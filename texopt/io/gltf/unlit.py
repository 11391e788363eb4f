"""A GLB whose textures show as they are, small enough to send to a browser again and again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.glb import to_glb
from texopt.io.gltf.parts import ELEMENT_ARRAY_BUFFER, add_positions, flipped, mark_unlit, sampler, smallest
from texopt.mesh.vertex_buffers import IndexedPart

MAX_SIDE = 1024  # texels; a page shows the whole object, and a 4096² texture takes longer to send than to optimise


def jpeg(image: Image.Image, max_side: int = MAX_SIDE) -> bytes:
    """The image as JPEG, scaled down where a side is longer than `max_side`."""
    image = image.convert("RGB")
    image.thumbnail((max_side, max_side), Image.Resampling.BOX, reducing_gap=None)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)  # colours at full resolution: saturated edges are the rule
    return buffer.getvalue()


def unlit_glb(parts: Sequence[IndexedPart], images: Sequence[Image.Image], max_side: int = MAX_SIDE) -> bytes:
    """Binary glTF of the parts, each with its image as JPEG: no lighting (KHR_materials_unlit), both sides drawn."""
    file = GltfFile(Path("view.glb"), {"asset": {"version": "2.0", "generator": "texopt"}}, [])
    primitives, materials, textures, samplers, pictures = [], [], [], [], []
    for number, (part, image) in enumerate(zip(parts, images, strict=True)):
        attributes = {
            "POSITION": add_positions(file, part.positions.astype(np.float32)),
            "TEXCOORD_0": file.add_accessor(flipped(part.uvs), "VEC2"),
        }
        indices = file.add_accessor(smallest(part.triangles), "SCALAR", ELEMENT_ARRAY_BUFFER)
        primitives.append({"attributes": attributes, "indices": indices, "material": number})
        pictures.append({"bufferView": file.add_view(jpeg(image, max_side))})
        textures.append({"source": number, "sampler": number})
        samplers.append(sampler(part.wrap))
        base: dict[str, Any] = {"baseColorTexture": {"index": number}, "metallicFactor": 0.0}
        materials.append({"pbrMetallicRoughness": base, "doubleSided": True})
        mark_unlit(file.document, materials[-1])
    file.document |= {
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": primitives}],
        "materials": materials, "textures": textures, "samplers": samplers, "images": pictures,
    }  # fmt: skip
    return to_glb(file, file.document)
