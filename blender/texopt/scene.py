# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a scene texopt is given: the evaluated meshes of the selected objects, and what their materials show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix

from .command import UserError
from .materials import Base, base_of, shader_of, use_nodes
from .model import Piece, groups
from .undo import push_undo

Y_UP = Matrix(((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 0), (0, 0, 0, 1)))  # Blender's +Z up to +Y up


@dataclass(eq=False)
class Part:
    """The polygons of one object, and the materials and UV maps that they use. uv_maps: "" is the default one."""

    object: bpy.types.Object
    materials: list[bpy.types.Material]  # one a polygon's number
    uv_maps: list[str]
    numbers: np.ndarray  # of each polygon's material
    piece: Piece


@dataclass(eq=False)
class Model:
    """One mesh for texopt. names: of materials in the file."""

    name: str
    parts: list[Part]
    names: dict[bpy.types.Material, str] = field(default_factory=dict)


def chosen(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The objects that are to be painted. UserError where there are none."""
    found = [thing for thing in context.selected_objects if thing.type == "MESH" or thing.instance_type != "NONE"]
    if not found:
        raise UserError("no mesh is selected; select the objects to paint")
    return found


def without_uvs(objects: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Those that have no UV map; what modifiers make is not known before."""
    return [thing for thing in objects if thing.type == "MESH" and not thing.data.uv_layers and thing.data.polygons]


def unwrap(context: bpy.types.Context, objects: Sequence[bpy.types.Object]) -> None:
    """A UV map for each, by Blender's Smart UV Project. UserError where one cannot be changed."""
    for thing in objects:
        if thing.data.library or thing.data.override_library:
            raise UserError(f"{thing.name} has no UV map and is linked from another file; unwrap it there")
    selected, active = list(context.selected_objects), context.view_layer.objects.active
    bpy.ops.object.select_all(action="DESELECT")
    for thing in objects:
        thing.select_set(True)
    context.view_layer.objects.active = objects[0]
    try:
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.reveal(select=False)
        bpy.ops.mesh.select_all(action="SELECT")
        bpy.ops.uv.smart_project(island_margin=0.01)
        bpy.ops.object.mode_set(mode="OBJECT")
    finally:
        bpy.ops.object.select_all(action="DESELECT")
        for thing in selected:
            thing.select_set(True)
        context.view_layer.objects.active = active
    push_undo("Smart UV Project")


def _instances(
    context: bpy.types.Context, objects: Sequence[bpy.types.Object]
) -> Iterator[bpy.types.DepsgraphObjectInstance]:
    """All meshes that some objects show, among them those of collections and geometry nodes, each once: what is alike
    in mesh and materials has one texture anyway."""
    seen = set()
    wanted = {thing.session_uid for thing in objects}
    for instance in context.evaluated_depsgraph_get().object_instances:
        owner = instance.parent if instance.is_instance else instance.object
        if owner.original.session_uid not in wanted or instance.object.type != "MESH":
            continue
        if not instance.is_instance and not instance.show_self:
            continue
        slots = tuple(slot.material.session_uid if slot.material else 0 for slot in instance.object.material_slots)
        key = (instance.object.data.as_pointer(), slots)
        if key not in seen:
            seen.add(key)
            yield instance


def give_materials(context: bpy.types.Context, objects: Sequence[bpy.types.Object]) -> None:
    """A grey material for what has none, and nodes for those without. UserError for what is another file's."""
    things = {instance.object.original for instance in _instances(context, objects)}
    made = False
    for thing in sorted(things, key=lambda thing: thing.name):
        if thing.data.materials and all(slot.material for slot in thing.material_slots):
            continue
        if thing.library or thing.data.library or thing.data.override_library:
            raise UserError(f"{thing.name} has no material and is linked from another file; make it local first")
        made = True
        if not thing.material_slots:
            thing.data.materials.append(None)
        for slot in thing.material_slots:
            if slot.material is None:
                slot.material = bpy.data.materials.new(thing.name)
                use_nodes(slot.material)
    if made:
        context.view_layer.update()
        push_undo("Materials for texopt")


def read_models(
    context: bpy.types.Context, objects: Sequence[bpy.types.Object], joined: bool
) -> tuple[list[Model], dict[bpy.types.Material, Base]]:
    """What the objects show, as models of their own or joined into one, and what their materials are.

    Objects that share a material are one model, as they share its texture. UserError where something cannot be.
    """
    parts, bases = [], {}
    for instance in _instances(context, objects):
        part = _part(instance, bases)
        if part is not None:
            parts.append(part)
    if not parts:
        raise UserError("nothing that is selected and shown has faces; select the objects to paint")
    sets = [{material.session_uid for material in part.materials} for part in parts]
    members = [list(range(len(parts)))] if joined else groups([{str(uid) for uid in uids} for uids in sets])
    object_names, material_names, models = set(), set(), []
    for indices in members:
        together = [parts[index] for index in indices]
        model = Model(_name(together[0].object.name, object_names), together)
        for part in together:
            for material in part.materials:
                if material not in model.names:
                    model.names[material] = _name(material.name, material_names)
        models.append(model)
    return models, bases


def _name(text: str, taken: set[str]) -> str:
    """A name that every option and file can have, and that no other has."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:40] or "unnamed"
    name, number = plain, 1
    while name.lower() in taken:
        number += 1
        name = f"{plain}_{number}"
    taken.add(name.lower())
    return name


def _values(collection: bpy.types.bpy_prop_collection, attribute: str, width: int, kind: type) -> np.ndarray:
    values = np.empty(len(collection) * width, kind)
    collection.foreach_get(attribute, values)
    return values.reshape(-1, width) if width > 1 else values


def _part(instance: bpy.types.DepsgraphObjectInstance, bases: dict[bpy.types.Material, Base]) -> Part | None:
    """An instance's polygons; None where it has none. What its materials are is added to `bases`."""
    shown, matrix = instance.object, Y_UP @ instance.matrix_world
    thing = shown.original
    mesh = shown.to_mesh()
    try:
        if not mesh.polygons:
            return None
        if not mesh.uv_layers:
            raise UserError(f"{thing.name} has no UV map; unwrap it, or press Run and have texopt do that")
        slots = _values(mesh.polygons, "material_index", 1, np.int32)
        used, numbers = np.unique(slots, return_inverse=True)
        materials = [_material(shown, mesh, int(index)) for index in used]
        for material in materials:
            if material not in bases:
                use_nodes(material)
                bases[material] = base_of(material)
        sizes = _values(mesh.polygons, "loop_total", 1, np.int32)
        uv_maps = [_uv_map(mesh, bases[material]) for material in materials]
        uvs = _uvs(thing, mesh, np.repeat(numbers, sizes), [bases[material] for material in materials], uv_maps)
        to_world = np.array(matrix)
        points = _values(mesh.vertices, "co", 3, np.float32).astype(np.float64) @ to_world[:3, :3].T + to_world[:3, 3]
        corners = _values(mesh.loops, "vertex_index", 1, np.int32)
        piece = Piece(points, sizes, corners, uvs, [])
    finally:
        shown.to_mesh_clear()
    return Part(thing, materials, uv_maps, numbers, piece.mirrored() if matrix.determinant() < 0 else piece)


def _material(shown: bpy.types.Object, mesh: bpy.types.Mesh, index: int) -> bpy.types.Material:
    """The material of a polygon. UserError where it has none, or one without a Principled BSDF."""
    slots, own = shown.material_slots, mesh.materials
    material = slots[min(index, len(slots) - 1)].material if len(slots) else None
    if index < len(own) and own[index] is not None and (index >= len(slots) or slots[index].link == "DATA"):
        material = own[index]  # geometry nodes may have set another
    if material is None:
        raise UserError(f"a part of {shown.original.name} has no material; give it one")
    return material.original


def _uv_map(mesh: bpy.types.Mesh, base: Base) -> str:
    """The UV map that a texture lies on: that of the one before, else the active one. "" is the default one."""
    if base.image is not None:
        return base.uv_map
    return "" if mesh.uv_layers.active.active_render else mesh.uv_layers.active.name


def _uvs(
    thing: bpy.types.Object, mesh: bpy.types.Mesh, numbers: np.ndarray, bases: Sequence[Base], uv_maps: Sequence[str]
) -> np.ndarray:
    """float32 [C,2]: where each corner lies in the texture of its material."""
    default = next((layer.name for layer in mesh.uv_layers if layer.active_render), mesh.uv_layers[0].name)
    found = np.empty((len(numbers), 2), np.float32)
    for number, (base, name) in enumerate(zip(bases, uv_maps, strict=True)):
        layer = mesh.uv_layers.get(name or default)
        if layer is None:
            raise UserError(f"{thing.name} has no UV map {name}, which its material names; correct the UV Map node")
        values = _values(layer.uv, "vector", 2, np.float32)
        if base.placed is not None:
            values = values @ base.placed[:, :2].T + base.placed[:, 2]
        found[numbers == number] = values[numbers == number]
    return found


def check_editable(materials: Sequence[bpy.types.Material]) -> None:
    """UserError where one is linked from another file."""
    for material in materials:
        if material.library or material.override_library:
            raise UserError(f"material {material.name} is linked from another file; make it local first (Object > "
                            "Relations > Make Local > Selected Objects, Data and Materials)")  # fmt: skip
        shader_of(material)


def cameras(context: bpy.types.Context) -> dict[str, object]:
    """The scene's visible cameras as transforms.json has them, with +Y up. UserError where there are none."""
    scene, graph = context.scene, context.evaluated_depsgraph_get()
    percent = scene.render.resolution_percentage / 100
    width, height = (max(int(side * percent), 1) for side in (scene.render.resolution_x, scene.render.resolution_y))
    frames = []
    for thing in scene.objects:
        if thing.type != "CAMERA" or not thing.visible_get():
            continue
        if thing.data.type != "PERSP":
            raise UserError(f"camera {thing.name} is not a perspective one; hide it, or take views from all around")
        shown = thing.evaluated_get(graph)
        lens = shown.calc_matrix_camera(graph, x=width, y=height)
        place = Matrix.LocRotScale(*shown.matrix_world.decompose()[:2], None)
        frames.append({
            "file_path": thing.name, "transform_matrix": [list(row) for row in Y_UP @ place],
            "fl_x": lens[0][0] * width / 2, "cx": (1 - lens[0][2]) * width / 2,
            "fl_y": lens[1][1] * height / 2, "cy": (1 + lens[1][2]) * height / 2,
        })  # fmt: skip
    if not frames:
        raise UserError("the scene shows no camera; add some, or take views from all around")
    return {"w": width, "h": height, "frames": frames}
