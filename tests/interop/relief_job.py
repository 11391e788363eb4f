"""Runs inside Blender: imports files, says what their materials are made of, and draws them under a sun.

blender --background --factory-startup --python-exit-code 1 --python THIS -- JOBS.json, or with the module bpy
python THIS JOBS.json, where the JSON has a list of {"path", "folder", "size", "cameras", "toward", "illuminance"},
cameras as in blender_job.py. FOLDER then has 0.png, 1.png, ... one a camera, and maps.json: by input of the shader the
names of the images that it comes from.
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).parent))
from blender_job import TO_BLENDER, draw, load, prepare


def images(socket):
    """The names of the images that an input comes from."""
    found = set()
    for link in socket.links:
        if link.from_node.type == "TEX_IMAGE":
            found.add(link.from_node.image.name)
        for before in link.from_node.inputs:
            found |= images(before)
    return found


def maps():
    shaders = (
        node
        for material in bpy.data.materials
        if material.use_nodes and material.users
        for node in material.node_tree.nodes
        if node.type == "BSDF_PRINCIPLED"
    )
    return [{name: sorted(images(shader.inputs[name])) for name in NAMES} for shader in shaders]


NAMES = ("Base Color", "Normal", "Roughness", "Metallic")


def light(scene, toward, illuminance):
    """A sun, and nothing else."""
    scene.world = bpy.data.worlds.new("nothing")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle = illuminance, 0
    thing = bpy.data.objects.new("sun", sun)
    thing.rotation_euler = (TO_BLENDER.to_3x3() @ Vector(toward)).to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(thing)
    scene.cycles.max_bounces = 0


def main():
    for job in json.loads(Path(sys.argv[-1]).read_text()):
        for thing in load(job["path"]):
            thing.visible_shadow = False
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "maps.json").write_text(json.dumps(maps()))
        prepare(bpy.context.scene, job["size"])
        light(bpy.context.scene, job["toward"], job["illuminance"])
        for index, camera in enumerate(job["cameras"]):
            draw(bpy.context.scene, camera, folder / f"{index}.png")


if __name__ == "__main__":
    main()
