"""What glTF materials show: their base colour, or the diffuse colour or the emission that stands for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from texopt.io.gltf.document import GltfFile, name_of
from texopt.io.gltf.schema import GLOSSY
from texopt.io.raw import Material, textured
from texopt.mesh.wrapping import CLAMP, MIRROR, REPEAT, Wrap
from texopt.system.srgb import linear_to_srgb, srgb_to_linear

WHITE = (1.0,) * 4
UNLIT = "KHR_materials_unlit"
WRAPPING = {REPEAT: 10497, CLAMP: 33071, MIRROR: 33648}  # wrapS, wrapT


@dataclass(frozen=True)
class Appearance:
    """The colour of a material: of its texture, if there is one, times a factor.

    reference: to the texture. factor: linear RGB and alpha [4]. emitted: whether it is the emission, which vertex
    colours do not tint and whose texture's alpha means nothing.
    """

    reference: dict[str, Any] | None
    factor: np.ndarray
    emitted: bool = False


def appearance_of(material: dict[str, Any]) -> Appearance:
    """The base colour of a material, or its diffuse colour where it has one (KHR_materials_pbrSpecularGlossiness, to
    which the base colour is a fallback). The emission where that is black."""
    extensions, pbr = material.get("extensions", {}), material.get("pbrMetallicRoughness", {})
    appearance = Appearance(pbr.get("baseColorTexture"), np.array(pbr.get("baseColorFactor", WHITE), float))
    if GLOSSY in extensions:
        glossy = extensions[GLOSSY]
        appearance = Appearance(glossy.get("diffuseTexture"), np.array(glossy.get("diffuseFactor", WHITE), float))
    emission = np.array(material.get("emissiveFactor", (0.0,) * 3), float)
    if (appearance.factor[:3] > 0).any() or not (emission > 0).any() or UNLIT in extensions:
        return appearance
    return Appearance(material.get("emissiveTexture"), np.array([*emission, appearance.factor[3]]), emitted=True)


def opaque(material: dict[str, Any]) -> bool:
    """Whether the alpha of a material's colours means nothing."""
    return bool(material.get("alphaMode", "OPAQUE") == "OPAQUE")


def vertex_colors(file: GltfFile, attributes: dict[str, int]) -> np.ndarray | None:
    """Linear colours [N,3] that tint a primitive, or None where they leave it as it is."""
    if "COLOR_0" not in attributes:
        return None
    colors = np.nan_to_num(file.accessor(attributes["COLOR_0"])[:, :3].astype(np.float64), nan=1.0).clip(0, 1)
    return colors if (colors < 1).any() else None


def wrap_of(file: GltfFile, texture: int) -> Wrap:
    """How a texture goes on beyond its edges; numbers that mean nothing repeat it."""
    number = file.document["textures"][texture].get("sampler")
    sampler = {} if number is None else file.document["samplers"][number]
    modes: dict[Any, str] = {code: mode for mode, code in WRAPPING.items()}
    u, v = (sampler.get(key) for key in ("wrapS", "wrapT"))
    return modes.get(u, REPEAT), modes.get(v, REPEAT)


class Materials:
    """Materials of a document as what they show; those of the same image, factor and wrapping are one."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._images: dict[int, Material] = {}
        self._made: dict[Any, Material] = {}

    def load(self, material: dict[str, Any]) -> Material:
        """What a material shows. ImageError where its texture cannot be read."""
        appearance = appearance_of(material)
        tint = appearance.factor[:3].clip(0, 1)
        red, green, blue = (float(x) for x in linear_to_srgb(tint))
        if appearance.reference is None:
            return Material((red, green, blue))
        wrap, image = (
            wrap_of(self.file, appearance.reference["index"]),
            self.file.texture_image(appearance.reference["index"]),
        )
        if image not in self._images:
            name = name_of(self.file.get("images")[image]) or f"image {image}"
            self._images[image] = textured(self.file.image(image), f"{name} of {self.file.path}")
        whole = self._images[image]
        alpha = None if opaque(material) or appearance.emitted else whole.alpha
        key = (image, alpha is None, wrap, *tint)
        if key not in self._made:
            values = whole.image()
            if (tint < 1).any():
                table = linear_to_srgb(srgb_to_linear(np.arange(256) / 255)[:, None] * tint)
                values = (table[values, np.arange(3)] * 255).round().astype(np.uint8)
            self._made[key] = Material((1.0, 1.0, 1.0), values, alpha, wrap=wrap)
        return self._made[key]
