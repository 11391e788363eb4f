"""The finishes of glTF materials: normal maps, roughness and metal."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from texopt.errors import ImageError
from texopt.io.finish_maps import Maps, strengthened
from texopt.io.gltf.document import GltfFile, name_of
from texopt.io.gltf.links import uv_set
from texopt.io.gltf.material import UNLIT, appearance_of, wrap_of
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish, even, no_relief
from texopt.mesh.wrapping import REPEATED

log = logging.getLogger("texopt")

FACTORS = ("roughnessFactor", "metallicFactor")
NONE = -1  # in the place of an image


class Finishes:
    """The finishes of a document's materials; those of the same images and factors are one."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._images = Maps()
        self._made: dict[Any, Finish] = {}
        self._told: set[tuple[str, str]] = set()

    def load(self, material: dict[str, Any]) -> Finish | None:
        """The finish of a material. None where no light falls on it, and where it says nothing of it that can be used.

        A texture that is looked up elsewhere than the base colour, or that cannot be read, is left out, which is told
        in a line.
        """
        if UNLIT in material.get("extensions", {}):
            return None
        pbr = material.get("pbrMetallicRoughness", {})
        reference = _reference(material, "normalTexture")
        normal = self._usable(material, reference, "normalTexture")
        rough = self._usable(material, _reference(pbr, "metallicRoughnessTexture"), "metallicRoughnessTexture")
        if (normal, rough) == (NONE, NONE) and not any(name in pbr for name in FACTORS):
            return None
        defaults = (ROUGHNESS, METALLIC) if rough == NONE else (1.0, 1.0)  # as export writes what a file leaves out
        factors = _number(pbr.get(FACTORS[0]), defaults[0]), _number(pbr.get(FACTORS[1]), defaults[1])
        scale = _number((reference or {}).get("scale"), 1.0, (-100.0, 100.0))
        key = normal, rough, scale, *factors
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, normal: int, rough: int, scale: float, roughness: float, metallic: float) -> Finish:
        relief, surface = (None if image == NONE else self._images[image] for image in (normal, rough))
        return Finish(
            no_relief() if relief is None else strengthened(relief, scale),
            even(roughness) if surface is None else _times(surface[..., 1], roughness),
            even(metallic) if surface is None else _times(surface[..., 2], metallic),
        )

    def _usable(self, material: dict[str, Any], reference: dict[str, Any] | None, what: str) -> int:
        """The image that a reference shows, which is read then; NONE where there is none, or it cannot be used."""
        if reference is None:
            return NONE
        try:
            image = self.file.texture_image(reference["index"])
            if image in self.file.missing:  # of which reading a scene tells
                return NONE
            name = name_of(self.file.get("images")[image]) or f"image {image}"
            if self._place(reference) != self._place(appearance_of(material).reference):
                raise ImageError(f"{name} is not looked up where the base colour is (UV set, transform, wrapping)")
            self._images.read(image, self.file.image(image), f"{name} of {self.file.path}")
        except ImageError as error:
            self._tell(name_of(material) or "a material", what, str(error))
            return NONE
        return image

    def _tell(self, name: str, what: str, why: str) -> None:
        if (name, why) not in self._told:
            self._told.add((name, why))
            log.warning("%s, %s: taken without its %s: %s", self.file.path.name, name, what, why)

    def _place(self, reference: dict[str, Any] | None) -> tuple[Any, ...]:
        """Where a texture is looked up: the set of UVs, what is done to them, and what is beyond the edges."""
        if reference is None:
            return 0, [0, 0], 0, [1, 1], REPEATED
        transform = reference.get("extensions", {}).get("KHR_texture_transform", {})
        moved = transform.get("offset", [0, 0]), transform.get("rotation", 0), transform.get("scale", [1, 1])
        return (uv_set(reference), *moved, wrap_of(self.file, reference["index"]))


def _reference(item: dict[str, Any], key: str) -> dict[str, Any] | None:
    """A reference to a texture, if there is one."""
    found = item.get(key)
    return found if isinstance(found, dict) and "index" in found else None


def _number(value: Any, default: float, bounds: tuple[float, float] = (0.0, 1.0)) -> float:
    """A number of the document, within bounds; the default where there is none."""
    return min(max(float(value), bounds[0]), bounds[1]) if type(value) in (int, float) else default


def _times(channel: np.ndarray, factor: float) -> np.ndarray:
    """A channel uint8 [h,w] times a factor in [0,1]."""
    if factor == 0:
        return even(0)
    return np.ascontiguousarray(channel) if factor == 1 else (channel * factor).round().astype(np.uint8)
