"""Runs inside Blender: styles objects with the real texopt through the extension, and draws what became of them.

python THIS JOB.json, as extension_job.py, where "texopt" is a command, "model" an OBJ with a texture, and "scenes"
takes a folder for each scene here. It has before/MODEL.obj as the extension wrote it for texopt, after/SCENE.obj as
Blender's own exporter writes the result, both with their textures, 0.png, 1.png, ... in both as Cycles draws the base
colours, and cameras.json: [{"camera_to_world", "fov_y", "near", "far"}] in the files' axes.
"""

import json
import math
import shutil
from pathlib import Path

import bpy
import extension_job as job
from blender_job import TO_BLENDER, draw, prepare, show_base_color
from mathutils import Euler, Matrix

SIZE, FOV_Y = 384, 35.0
VIEWS = ((30, 25), (200, -35))  # azimuth, elevation in degrees


def a_cube():
    """Without a texture, on the UV map it is made with."""
    thing = job.cube()
    thing.data.materials.append(job.material("Paint", (0.2, 0.4, 0.8)))
    return [thing]


def a_model():
    """A real one with its texture, subdivided, stretched, mirrored and turned; it has a second UV map, too."""
    bpy.ops.wm.obj_import(filepath=job.JOB["model"])
    thing = bpy.context.selected_objects[0]
    thing.scale, thing.rotation_euler, thing.location = (1, -1.4, 0.8), (1.2, 0.3, 2.0), (3, 1, -2)
    thing.modifiers.new("More", "SUBSURF").levels = 1
    thing.data.uv_layers.new(name="other")  # is neither active nor rendered
    return [thing]


def two_materials():
    """One with an image that is repeated and moved, the other plain; two objects as one model."""
    body = job.material("My body", image=bpy.data.images.load(job.JOB["painting"]))
    nodes, links = body.node_tree.nodes, body.node_tree.links
    image = next(node for node in nodes if node.type == "TEX_IMAGE")
    place, where = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeTexCoord")
    place.inputs["Scale"].default_value = (2, 2, 1)
    place.inputs["Location"].default_value = (0.2, 0.1, 0)
    links.new(where.outputs["UV"], place.inputs["Vector"])
    links.new(place.outputs["Vector"], image.inputs["Vector"])
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=12)
    ball = bpy.context.object
    bpy.ops.mesh.primitive_torus_add(location=(0, 0, 0.6), major_radius=1.0, minor_radius=0.3)
    ring = bpy.context.object
    ball.data.materials.append(body)
    ring.data.materials.append(job.material("hat", (0.9, 0.1, 0.1)))
    job.select(ball, ring)
    bpy.context.scene.texopt.joined = True
    return [ball, ring]


def cameras(things):
    """Around what the objects fill, in the axes of the file."""
    graph = bpy.context.evaluated_depsgraph_get()
    points = [thing.matrix_world @ vertex.co for thing in things for vertex in thing.evaluated_get(graph).data.vertices]
    low, high = (TO_BLENDER.inverted() @ type(points[0])(map(bound, zip(*points, strict=True))) for bound in (min, max))
    center, radius = (low + high) / 2, (high - low).length / 2
    found = []
    for azimuth, elevation in VIEWS:
        turn = Euler((math.radians(-elevation), math.radians(azimuth), 0)).to_matrix()
        place = Matrix.Translation(center + turn @ type(center)((0, 0, 3.5 * radius))) @ turn.to_4x4()
        found.append({
            "camera_to_world": [list(row) for row in place], "fov_y": FOV_Y, "near": 2 * radius, "far": 5 * radius,
        })  # fmt: skip
    return found


def draw_all(views, folder):
    """Draws base colours alone, and has materials as they were afterwards."""
    bpy.ops.ed.undo_push(message="before it is drawn")
    for material in bpy.data.materials:
        if material.users and material.node_tree:
            show_base_color(material)
    prepare(bpy.context.scene, SIZE)
    for index, view in enumerate(views):
        draw(bpy.context.scene, view, folder / f"{index}.png")
    bpy.ops.ed.undo_push(message="it is drawn")
    bpy.ops.ed.undo()


def export(path):
    """What is selected as Blender's own exporter writes it, with the textures that are in the .blend."""
    for image in [image for image in bpy.data.images if image.packed_file]:
        image.filepath_raw = str(path.parent / f"{bpy.path.clean_name(image.name)}.png")
        image.save()
    axes = {"forward_axis": "NEGATIVE_Z", "up_axis": "Y"}
    bpy.ops.wm.obj_export(filepath=str(path), export_selected_objects=True, path_mode="ABSOLUTE", **axes)


def main():
    job.install()
    for scene in (a_cube, a_model, two_materials):
        job.fresh()
        job.preferences().command = job.JOB["texopt"]
        bpy.context.scene.texopt.more = "--steps 12 --texture-size 256 --view-size 128"
        folder = Path(job.JOB["scenes"]) / scene.__name__
        folder.mkdir(parents=True)
        views = cameras(scene())
        (folder / "cameras.json").write_text(json.dumps(views))
        run = job.start()
        shutil.copytree(run._folder, folder / "before", ignore=shutil.ignore_patterns("out"))
        job.finish(run)
        assert not run.is_error, run.message
        (folder / "after").mkdir()
        export(folder / "after" / f"{scene.__name__}.obj")
        draw_all(views, folder / "after")
        bpy.ops.texopt.switch(show="BEFORE")
        draw_all(views, folder / "before")


if __name__ == "__main__":
    main()
