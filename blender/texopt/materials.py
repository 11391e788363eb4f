# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials: what the base colour is made of, and how a new texture takes its place and gives it back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np

from .command import UserError
from .png import png, srgb

NODE = "texopt"  # the name of the node with the new texture
LINKED = ("before_node", "before_socket")  # its properties: what was linked to the base colour


@dataclass(frozen=True, eq=False)
class Base:
    """What a base colour is before texopt.

    image: None for a plain colour. color: in sRGB. uv_map: its name, "" for the one that is rendered by default.
    placed: float64 [2,3], takes UVs to where the image is looked up. vector: what is linked to the image's vector.
    note: what cannot be taken over, in a line, or "".
    """

    color: tuple[float, float, float]
    image: bpy.types.Image | None = None
    uv_map: str = ""
    placed: np.ndarray | None = None
    vector: bpy.types.NodeSocket | None = None
    note: str = ""


def use_nodes(material: bpy.types.Material) -> None:
    """Give a material nodes that does without them, in its colour."""
    if material.library or (material.node_tree is not None and (bpy.app.version >= (5, 0) or material.use_nodes)):
        return
    material.use_nodes = True
    shader = principled(material)
    if shader is not None:
        shader.inputs["Base Color"].default_value = material.diffuse_color


def principled(material: bpy.types.Material) -> bpy.types.Node | None:
    """The Principled BSDF that is shown; if others are mixed in, the first."""
    if material.node_tree is None:
        return None
    nodes = material.node_tree.nodes
    shown = [node for node in nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output]
    linked = [link.from_node for node in shown for link in node.inputs["Surface"].links]
    return next((node for node in (*linked, *nodes) if node.type == "BSDF_PRINCIPLED"), None)


def shader_of(material: bpy.types.Material) -> bpy.types.Node:
    """The Principled BSDF. UserError where there is none."""
    shader = principled(material)
    if shader is None:
        raise UserError(f"material {material.name} has no Principled BSDF; give it one, texopt paints its base colour")
    return shader


def _feeding(socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket | None:
    """The output that an input is linked to, past reroutes."""
    while socket.links:
        source = socket.links[0].from_socket
        if source.node.type != "REROUTE":
            return source
        socket = source.node.inputs[0]
    return None


def _before(material: bpy.types.Material) -> bpy.types.NodeSocket | None:
    """The output that feeds the base colour, or did before texopt."""
    source = _feeding(shader_of(material).inputs["Base Color"])
    if source is None or source.node.name != NODE:
        return source
    name, identifier = (source.node.get(key, "") for key in LINKED)
    node = material.node_tree.nodes.get(name)
    return next((out for out in node.outputs if out.identifier == identifier), None) if node else None


def base_of(material: bpy.types.Material) -> Base:
    """What its base colour is, or was before texopt. UserError where it cannot be painted."""
    shader = shader_of(material)
    source = _before(material)
    color = tuple(srgb(np.array(shader.inputs["Base Color"].default_value[:3])).tolist())
    if source is None:
        return Base(color)
    node = source.node
    if node.type != "TEX_IMAGE" or node.image is None:
        note = f"the base colour of {material.name} is made by nodes; bake it to an image to keep what it shows"
        return Base(color, note=note if node.type != "TEX_IMAGE" else "")
    if node.image.source == "TILED":
        raise UserError(f"{node.image.name} has UDIM tiles; export the object as OBJ and use `texopt style` on it")
    vector = _feeding(node.inputs["Vector"])
    found = _placement(vector)
    if found is None or node.projection != "FLAT":
        note = f"the image of {material.name} does not lie on a UV map; bake it to one to keep what it shows"
        return Base(color, note=note)
    uv_map, placed = found
    return Base(color, node.image, uv_map, placed, vector)


def _placement(vector: bpy.types.NodeSocket | None) -> tuple[str, np.ndarray] | None:
    """(UV map, [2,3]) of what is linked to the vector of an image; None where it is no UV map, moved in the plane."""
    placed = np.eye(3)
    while vector is not None and vector.node.type == "MAPPING":
        step = _mapping(vector.node)
        if step is None:
            return None
        placed = placed @ step
        vector = _feeding(vector.node.inputs["Vector"])
        if vector is None:
            return None  # a constant
    if vector is None or (vector.node.type == "TEX_COORD" and vector.name == "UV"):
        return "", placed[:2]
    if vector.node.type == "UVMAP":
        return vector.node.uv_map, placed[:2]
    return None


def _mapping(node: bpy.types.Node) -> np.ndarray | None:
    """[3,3] of a Mapping node in the plane; None where it is more than that."""
    inputs = {socket.name: socket for socket in node.inputs}
    if any(socket.is_linked for name, socket in inputs.items() if name != "Vector"):
        return None
    scale, turn = inputs["Scale"].default_value, inputs["Rotation"].default_value
    place = inputs["Location"].default_value if "Location" in inputs and node.vector_type != "VECTOR" else (0, 0, 0)
    if abs(turn[0]) > 1e-6 or abs(turn[1]) > 1e-6 or node.vector_type == "NORMAL":
        return None
    cos, sin = math.cos(turn[2]), math.sin(turn[2])
    matrix = np.array([[cos, -sin, place[0]], [sin, cos, place[1]], [0, 0, 1]]) @ np.diag([scale[0], scale[1], 1])
    if node.vector_type != "TEXTURE":
        return matrix
    return np.linalg.inv(matrix) if abs(np.linalg.det(matrix)) > 1e-12 else None


def pixels_of(image: bpy.types.Image, alpha: bool) -> bytes:
    """A PNG of an image as it is now, painted or not. UserError where it has no pixels."""
    width, height = image.size
    count = len(image.pixels)  # this reads its file
    width, height = image.size
    if not count or not width * height:
        where = f"its file {bpy.path.abspath(image.filepath)} cannot be read" if image.filepath else "it is empty"
        raise UserError(f"image {image.name} is missing, {where}; find it with File > External Data")
    values = np.empty(count, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(height, width, -1)[::-1]
    channels = values.shape[-1]
    rgb = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, -1)
    if image.is_float and not image.colorspace_settings.is_data:
        rgb = srgb(rgb)
    if alpha and channels == 4:
        rgb = np.concatenate([rgb, values[..., 3:]], -1)
    return png((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8))


def has_alpha(material: bpy.types.Material) -> bool:
    """Whether something decides on its opacity."""
    return shader_of(material).inputs["Alpha"].is_linked


def packed_image(name: str, data: bytes) -> bpy.types.Image:
    """An image in the .blend, of the bytes of a PNG."""
    image = bpy.data.images.new(name, 1, 1)
    image.pack(data=data, data_len=len(data))
    image.source = "FILE"
    image.alpha_mode = "CHANNEL_PACKED"
    return image


def show(material: bpy.types.Material, image: bpy.types.Image, base: Base, uv_map: str) -> None:
    """Have a material's base colour be an image, where the one before it lay, or else on a UV map ("": the default)."""
    tree, shader = material.node_tree, shader_of(material)
    node = tree.nodes.get(NODE)
    if node is None:
        before = _before(material)
        node = tree.nodes.new("ShaderNodeTexImage")
        node.name = node.label = NODE
        node.location = shader.location.x - 320, shader.location.y + 320
        node[LINKED[0]], node[LINKED[1]] = (before.node.name, before.identifier) if before else ("", "")
        if base.vector is not None:
            tree.links.new(base.vector, node.inputs["Vector"])
            node.extension = before.node.extension
        elif uv_map:
            place = tree.nodes.new("ShaderNodeUVMap")
            place.name, place.uv_map = f"{NODE} UV", uv_map
            place.location = node.location.x - 200, node.location.y
            tree.links.new(place.outputs["UV"], node.inputs["Vector"])
    node.image = image
    tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])


def is_switchable(material: bpy.types.Material | None) -> bool:
    """Whether there is a before and an after."""
    return bool(material and material.node_tree and material.node_tree.nodes.get(NODE) and principled(material))


def shows_result(material: bpy.types.Material) -> bool:
    """Whether the texture of texopt is what is shown."""
    source = _feeding(shader_of(material).inputs["Base Color"])
    return source is not None and source.node.name == NODE


def switch(material: bpy.types.Material, result: bool) -> None:
    """Show texopt's texture, or what was there before. Both stay in the material."""
    tree, socket = material.node_tree, shader_of(material).inputs["Base Color"]
    if result:
        tree.links.new(tree.nodes[NODE].outputs["Color"], socket)
    elif shows_result(material):
        before = _before(material)
        if before is not None:
            tree.links.new(before, socket)
        else:
            tree.links.remove(socket.links[0])


def remember(material: bpy.types.Material) -> tuple[str, bool]:
    """The state that `restore` goes back to: the image of texopt's node, "" where there is no node, and if it shows."""
    node = material.node_tree.nodes.get(NODE) if is_switchable(material) else None
    return (node.image.name if node.image else "", shows_result(material)) if node else ("", False)


def restore(material: bpy.types.Material, state: tuple[str, bool]) -> None:
    """Undo `show` but for what was there."""
    if not is_switchable(material):
        return
    name, shown = state
    switch(material, shown)
    nodes = material.node_tree.nodes
    if name:
        nodes[NODE].image = bpy.data.images.get(name)
        return
    nodes.remove(nodes[NODE])
    if f"{NODE} UV" in nodes:
        nodes.remove(nodes[f"{NODE} UV"])
