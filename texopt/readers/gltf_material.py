"""Base colours of glTF materials."""

from __future__ import annotations

from typing import Any

import numpy as np

from texopt.color import linear_to_srgb, srgb_to_linear
from texopt.gltf import GltfFile, name_of, numbers
from texopt.readers.raw import Material, textured

WHITE = (1.0,) * 4


def base_color(material: dict[str, Any]) -> tuple[dict[str, Any] | None, np.ndarray]:
    """(reference to the base colour's texture or None, linear factor [4]) of a material."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is not None and "pbrMetallicRoughness" not in material:
        return glossy.get("diffuseTexture"), numbers(glossy, "diffuseFactor", WHITE)
    pbr = material.get("pbrMetallicRoughness", {})
    return pbr.get("baseColorTexture"), numbers(pbr, "baseColorFactor", WHITE)


def opaque(material: dict[str, Any]) -> bool:
    """Whether the alpha of a material's colours means nothing."""
    return bool(material.get("alphaMode", "OPAQUE") == "OPAQUE")


def vertex_colors(file: GltfFile, attributes: dict[str, int]) -> np.ndarray | None:
    """Linear colours [N,3] that tint a primitive, or None where they leave it as it is."""
    if "COLOR_0" not in attributes:
        return None
    colors = np.nan_to_num(file.accessor(attributes["COLOR_0"])[:, :3].astype(np.float64), nan=1.0).clip(0, 1)
    return colors if (colors < 1).any() else None


class Materials:
    """Materials of a document as what they show; those of the same image and factor are one."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._loaded: dict[Any, Material] = {}

    def load(self, material: dict[str, Any]) -> Material:
        """The base colour of a material. ImageError where its texture cannot be read."""
        reference, factor = base_color(material)
        tint = factor[:3].clip(0, 1)
        red, green, blue = (float(x) for x in linear_to_srgb(tint))
        if reference is None:
            return Material((red, green, blue))
        image = self.file.texture_image(reference["index"])
        if (image,) not in self._loaded:
            name = name_of(self.file.get("images")[image]) or f"image {image}"
            self._loaded[image,] = textured(self.file.image(image), f"{name} of {self.file.path}")
        whole = self._loaded[image,]
        alpha = None if opaque(material) else whole.alpha
        key = (image, alpha is None, *tint)
        if key not in self._loaded:
            values = whole.texture
            if (tint < 1).any():
                table = linear_to_srgb(srgb_to_linear(np.arange(256) / 255)[:, None] * tint)
                values = (table[values, np.arange(3)] * 255).round().astype(np.uint8)
            self._loaded[key] = Material((1.0, 1.0, 1.0), values, alpha)
        return self._loaded[key]
