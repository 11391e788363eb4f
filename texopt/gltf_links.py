"""Where a glTF document refers to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def texture_infos(material: Any) -> Iterator[dict[str, Any]]:
    """Every reference to a texture in a material: objects under keys that end with Texture, in extensions too."""
    todo = [material]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if key.endswith("Texture") and isinstance(value, dict) and "index" in value:
                    yield value
                if key != "extras":  # whose words mean something to others
                    todo.append(value)
        elif isinstance(item, list):
            todo += item


def uv_set(info: dict[str, Any]) -> int:
    """Which TEXCOORD a reference to a texture uses. ValueError where that is no number."""
    transform = info.get("extensions", {}).get("KHR_texture_transform", {})
    for number in (found := [item["texCoord"] for item in (info, transform) if "texCoord" in item]):
        if type(number) is not int or number < 0:
            raise ValueError(f"texCoord {number!r}"[:100])
    return found[-1] if found else 0  # the extension's counts


def variant_mappings(primitive: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a primitive that name its material in variants (KHR_materials_variants)."""
    mappings = primitive.get("extensions", {}).get("KHR_materials_variants", {}).get("mappings", [])
    return [mapping for mapping in mappings if "material" in mapping]


def links(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Every place in a document that holds an index into one of its lists: (name of the list, object, key)."""

    def of(item: dict[str, Any], **lists: str) -> Iterator[tuple[str, Any, Any]]:
        if not isinstance(item, dict):
            raise TypeError(f"{item!r} is no object"[:100])
        return ((kind, item, key) for key, kind in lists.items() if key in item)

    def each(item: Any, kind: str) -> Iterator[tuple[str, Any, Any]]:
        return ((kind, item, key) for key in (item if isinstance(item, dict) else range(len(item))))

    yield from of(document, scene="scenes")
    for scene in document.get("scenes", []):
        yield from each(scene.get("nodes", []), "nodes")
    for node in document.get("nodes", []):
        yield from of(node, mesh="meshes", skin="skins", camera="cameras")
        yield from each(node.get("children", []), "nodes")
        instancing = node.get("extensions", {}).get("EXT_mesh_gpu_instancing", {})
        yield from each(instancing.get("attributes", {}), "accessors")
    for mesh in document.get("meshes", []):
        for primitive in mesh["primitives"]:
            yield from of(primitive, indices="accessors", material="materials")
            for attributes in (primitive["attributes"], *primitive.get("targets", [])):
                yield from each(attributes, "accessors")
            for mapping in variant_mappings(primitive):
                yield from of(mapping, material="materials")
    for skin in document.get("skins", []):
        yield from of(skin, inverseBindMatrices="accessors", skeleton="nodes")
        yield from each(skin["joints"], "nodes")
    for animation in document.get("animations", []):
        for sampler in animation["samplers"]:
            yield from of(sampler, input="accessors", output="accessors")
        for channel in animation["channels"]:
            yield from of(channel["target"], node="nodes")
    for material in document.get("materials", []):
        for info in texture_infos(material):
            yield from of(info, index="textures")
    for texture in document.get("textures", []):
        yield from of(texture, source="images", sampler="samplers")
        for extension in texture.get("extensions", {}).values():
            yield from of(extension, source="images")
    for accessor in document.get("accessors", []):
        sparse = accessor.get("sparse", {})
        for item in (accessor, sparse.get("indices", {}), sparse.get("values", {})):
            yield from of(item, bufferView="bufferViews")
    for image in document.get("images", []):
        yield from of(image, bufferView="bufferViews")
    for view in document.get("bufferViews", []):
        yield from of(view, buffer="buffers")
