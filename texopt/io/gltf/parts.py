"""What every glTF document that texopt writes is made of: textures, UVs, indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.material import UNLIT, WRAPPING
from texopt.mesh.mesh import Mesh
from texopt.mesh.wrapping import Wrap

LINEAR, TRILINEAR = 9729, 9987
ELEMENT_ARRAY_BUFFER = 34963
CUT_OUT = {"alphaMode": "MASK", "alphaCutoff": 0.5}  # opaque or not there, as game engines sort no surfaces


def sampler(wrap: Wrap) -> dict[str, int]:
    """Of a texture: smooth, with mip levels, and beyond its edges as it says."""
    u, v = wrap
    return {"magFilter": LINEAR, "minFilter": TRILINEAR, "wrapS": WRAPPING[u], "wrapT": WRAPPING[v]}


class Textures:
    """The textures of maps in a document, each made when the first material shows it.

    pngs: by map. kind: what of the map they are, for the images' names, if not its colours.
    """

    def __init__(self, file: GltfFile, mesh: Mesh, pngs: dict[int, bytes], kind: str = "") -> None:
        self.file, self.mesh, self.pngs, self.kind = file, mesh, pngs, kind
        self.made: dict[int, int] = {}

    def of(self, index: int) -> int:
        if index not in self.made:
            document = self.file.document
            samplers, used = document.setdefault("samplers", []), sampler(self.mesh.maps[index].wrap)
            if used not in samplers:
                samplers.append(used)
            name = self.mesh.maps[index].name or self.mesh.name
            image = self.file.add_image(self.pngs[index], f"{name}_{self.kind}" if self.kind else name)
            document.setdefault("textures", []).append({"sampler": samplers.index(used), "source": image})
            self.made[index] = len(document["textures"]) - 1
        return self.made[index]


def mark_unlit(document: dict[str, Any], material: dict[str, Any]) -> None:
    """Without light; what extensions say about light is left out, as the two exclude each other."""
    others = {key: value for key, value in material.get("extensions", {}).items() if "_materials_" not in key}
    material["extensions"] = others | {UNLIT: {}}
    used = document.setdefault("extensionsUsed", [])
    if UNLIT not in used:
        used.append(UNLIT)


def add_positions(file: GltfFile, values: np.ndarray) -> int:
    """An accessor of positions float32 [N,3], with the bounds that they have to have; its index."""
    return file.add_accessor(values, "VEC3", min=values.min(0).tolist(), max=values.max(0).tolist())


def flipped(uvs: np.ndarray) -> np.ndarray:
    """UVs [N,2] with (0,0) at the upper left, float32."""
    return np.stack([uvs[:, 0], 1 - uvs[:, 1]], 1).astype(np.float32)


def smallest(indices: np.ndarray) -> np.ndarray:
    """Indices as the smallest type that holds them; the highest value of each is reserved."""
    return indices.reshape(-1).astype(np.uint16 if indices.max(initial=0) < 65535 else np.uint32)
