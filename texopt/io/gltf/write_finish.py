"""Give materials of a glTF document new finishes, and primitives the tangents that their normal maps are told in."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from PIL import Image

from texopt.io.finish_maps import is_even, map_png, number_of, outward
from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.material import UNLIT
from texopt.io.gltf.parts import Textures
from texopt.io.gltf.schema import GLOSSY
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh

REPLACED = (GLOSSY, UNLIT)  # extensions of materials: the one says the same and would count, the other hides a finish


class FinishTextures:
    """The textures of finishes in a document, each made when the first material shows it."""

    def __init__(self, file: GltfFile, mesh: Mesh, finishes: dict[int, Finish]) -> None:
        self.finishes = finishes
        relief = {index: finish for index, finish in finishes.items() if not is_even(finish.normal)}
        normal = {index: map_png(outward(finish.normal)) for index, finish in relief.items()}
        rough = {index: map_png(_surface(finish)) for index, finish in finishes.items() if not _is_plain(finish)}
        self.normal, self.rough = Textures(file, mesh, normal, "normal"), Textures(file, mesh, rough, "surface")

    def has_relief(self, index: int) -> bool:
        """Whether a map has a new normal map."""
        return index in self.normal.pngs

    def put(self, material: dict[str, Any], index: int, place: dict[str, Any]) -> None:
        """Have a material show the finish of a map, if there is a new one.

        place: what else a reference to a texture has, such as texCoord.
        """
        if index not in self.finishes:
            return
        finish, pbr = self.finishes[index], material.setdefault("pbrMetallicRoughness", {})
        extensions = material.pop("extensions", {})
        if left := {name: entry for name, entry in extensions.items() if name not in REPLACED}:
            material["extensions"] = left
        material.pop("normalTexture", None)
        pbr.pop("metallicRoughnessTexture", None)
        if self.has_relief(index):
            material["normalTexture"] = {"index": self.normal.of(index)} | copy.deepcopy(place)
        if index in self.rough.pngs:
            pbr["metallicRoughnessTexture"] = {"index": self.rough.of(index)} | copy.deepcopy(place)
            pbr |= {"roughnessFactor": 1.0, "metallicFactor": 1.0}
        else:
            roughness, metallic = finish.roughness, finish.metallic
            pbr |= {"roughnessFactor": float(number_of(roughness)), "metallicFactor": float(number_of(metallic))}


def _is_plain(finish: Finish) -> bool:
    """Whether factors say all of roughness and metal."""
    return is_even(finish.roughness) and is_even(finish.metallic)


def _surface(finish: Finish) -> np.ndarray:
    """A finish's roughness and metal as glTF's texture of both, uint8 [h,w,3]: 255, roughness, metallic."""
    maps = finish.roughness, finish.metallic
    height, width = (max(one.shape[axis] for one in maps) for axis in (0, 1))
    sized = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR)) for one in maps]
    return np.stack([np.full((height, width), 255, np.uint8), *sized], -1)
