"""The finishes of glTF materials: normal maps, roughness and metal."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from texopt.errors import ImageError
from texopt.io.finish_maps import load_map, strengthened
from texopt.io.gltf.document import GltfFile, name_of
from texopt.io.gltf.links import uv_set
from texopt.io.gltf.material import UNLIT, appearance_of, wrap_of
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish, even, no_relief
from texopt.mesh.wrapping import REPEATED

log = logging.getLogger("texopt")

FACTORS = ("roughnessFactor", "metallicFactor")


class Finishes:
    """The finishes of a document's materials; those of the same images and factors are one."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._images: dict[int, np.ndarray | None] = {}
        self._made: dict[Any, Finish | None] = {}
        self._told: set[str] = set()

    def load(self, material: dict[str, Any]) -> Finish | None:
        """The finish of a material. None where it says nothing of it, where no light falls on it, where a texture is
        looked up elsewhere than the base colour, and, saying so in a line, where one cannot be read."""
        pbr = material.get("pbrMetallicRoughness", {})
        normal, rough = _reference(material, "normalTexture"), _reference(pbr, "metallicRoughnessTexture")
        said = normal or rough or any(name in pbr for name in FACTORS)
        if not said or UNLIT in material.get("extensions", {}):
            return None
        place = self._place(appearance_of(material).reference)
        if any(self._place(reference) != place for reference in (normal, rough) if reference):
            return None
        defaults = (1.0, 1.0) if rough else (ROUGHNESS, METALLIC)  # as export writes what a file leaves out
        factors = _number(pbr.get(FACTORS[0]), defaults[0]), _number(pbr.get(FACTORS[1]), defaults[1])
        scale = _number((normal or {}).get("scale"), 1.0, (-100.0, 100.0))
        key = self._image_of(normal), self._image_of(rough), scale, *factors
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, normal: int, rough: int, scale: float, roughness: float, metallic: float) -> Finish | None:
        pictures = [None if image == NONE else self._picture(image) for image in (normal, rough)]
        if any(image != NONE and picture is None for image, picture in zip((normal, rough), pictures, strict=True)):
            return None
        relief, surface = pictures
        return Finish(
            no_relief() if relief is None else strengthened(relief, scale),
            even(roughness) if surface is None else _times(surface[..., 1], roughness),
            even(metallic) if surface is None else _times(surface[..., 2], metallic),
        )

    def _image_of(self, reference: dict[str, Any] | None) -> int:
        """The image that a reference shows, NONE of none, and UNREADABLE."""
        if reference is None:
            return NONE
        try:
            return self.file.texture_image(reference["index"])
        except ImageError as error:
            self._tell(error)
            return UNREADABLE

    def _picture(self, image: int) -> np.ndarray | None:
        """An image uint8 [h,w,3], or None where it cannot be read."""
        if image not in self._images:
            self._images[image] = None
            if image != UNREADABLE and image not in self.file.missing:  # of which reading a scene tells
                name = name_of(self.file.get("images")[image]) or f"image {image}"
                try:
                    self._images[image] = load_map(self.file.image(image), f"{name} of {self.file.path}")
                except ImageError as error:
                    self._tell(error)
        return self._images[image]

    def _tell(self, error: ImageError) -> None:
        if str(error) in self._told:
            return
        self._told.add(str(error))
        log.warning("%s: a material is taken without its relief and roughness: %s", self.file.path.name, error)

    def _place(self, reference: dict[str, Any] | None) -> tuple[Any, ...]:
        """Where a texture is looked up: the set of UVs, what is done to them, and what is beyond the edges."""
        if reference is None:
            return 0, [0, 0], 0, [1, 1], REPEATED
        transform = reference.get("extensions", {}).get("KHR_texture_transform", {})
        moved = transform.get("offset", [0, 0]), transform.get("rotation", 0), transform.get("scale", [1, 1])
        return (uv_set(reference), *moved, wrap_of(self.file, reference["index"]))


NONE, UNREADABLE = -1, -2  # in the place of an image


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
