"""Where a glTF document refers to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from texopt.io.gltf.schema import DOCUMENT, MATERIALS, TEXTURE, Index, leaves


def links(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Every place in a document that holds an index into one of its lists: (name of the list, object, key)."""
    return ((spec.kind, item, key) for spec, item, key, _ in leaves(document, DOCUMENT) if isinstance(spec, Index))


def texture_infos(material: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every reference to a texture in a material: objects under keys that end with Texture, in extensions too."""
    return (item for spec, item, _, _ in leaves(material, MATERIALS) if spec is TEXTURE)


def uv_set(info: dict[str, Any]) -> int:
    """Which TEXCOORD a reference to a texture uses."""
    transform = info.get("extensions", {}).get("KHR_texture_transform", {})
    return int(transform.get("texCoord", info.get("texCoord", 0)))  # the extension's counts


def variant_mappings(primitive: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a primitive that name its material in variants (KHR_materials_variants)."""
    mappings = primitive.get("extensions", {}).get("KHR_materials_variants", {}).get("mappings", [])
    return [mapping for mapping in mappings if "material" in mapping]


def drop_textures(item: Any, gone: set[int]) -> None:
    """Leave out of a material, and what is in it, every reference to some textures."""
    if isinstance(item, list):
        for inner in item:
            drop_textures(inner, gone)
    elif isinstance(item, dict):
        for key, inner in [*item.items()]:
            if key.endswith("Texture") and isinstance(inner, dict) and inner.get("index") in gone:
                del item[key]
            elif key != "extras":
                drop_textures(inner, gone)
