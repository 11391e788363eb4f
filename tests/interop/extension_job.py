"""Runs inside Blender: what scripts that operate the extension have in common.

python SCRIPT JOB.json, with a Python that has bpy, where the JSON has "zip" (the extension), "fake" (a command that
stands for texopt, see fake_texopt.py) and "painting" (an image). BLENDER_USER_RESOURCES has to name an empty folder.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import bpy

PACKAGE = "bl_ext.user_default.texopt"
JOB = json.loads(Path(sys.argv[-1]).read_text())
RED, GREEN = (200, 30, 30), (30, 200, 30)


def part(name):
    return importlib.import_module(f"{PACKAGE}.{name}")


def preferences():
    return bpy.context.preferences.addons[PACKAGE].preferences


def install():
    done = bpy.ops.extensions.package_install_files(filepath=JOB["zip"], repo="user_default", enable_on_install=True)
    assert done == {"FINISHED"}
    preferences().command = JOB["fake"]


def fresh(fake="3"):
    """An empty scene with the painting chosen, and how the fake texopt behaves."""
    part("session").end("the next check begins")
    bpy.ops.wm.read_homefile(use_empty=True)
    preferences().command = JOB["fake"]
    os.environ["FAKE_TEXOPT"] = fake
    add_painting()
    return bpy.context.scene.texopt


def add_painting(material=None):
    bpy.ops.texopt.painting_add()
    painting = bpy.context.scene.texopt.paintings[-1]
    painting.image = bpy.data.images.load(JOB["painting"], check_existing=True)
    painting.material = material
    return painting


def cube(name="Cube", at=(0, 0, 0)):
    bpy.ops.mesh.primitive_cube_add(location=at)
    thing = bpy.context.object
    thing.name = name
    return thing


def material(name, color=(0.2, 0.4, 0.8), image=None):
    made = bpy.data.materials.new(name)
    part("materials").use_nodes(made)
    shader = part("materials").principled(made)
    shader.inputs["Base Color"].default_value = (*color, 1)
    if image is not None:
        node = made.node_tree.nodes.new("ShaderNodeTexImage")
        node.image = image
        made.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    return made


def picture(name, color=(0.5, 0.5, 0.1)):
    image = bpy.data.images.new(name, 16, 16)
    image.pixels = [*color, 1] * 256
    return image


def select(*things):
    bpy.ops.object.select_all(action="DESELECT")
    for thing in things:
        thing.select_set(True)
    bpy.context.view_layer.objects.active = things[0]


def shown(made):
    """The colour of the image that is linked to the base colour, as bytes; None where none is."""
    links = part("materials").principled(made).inputs["Base Color"].links
    if not links or links[0].from_node.type != "TEX_IMAGE":
        return None
    image = links[0].from_node.image
    return tuple(round(value * 255) for value in image.pixels[:3])


def line(function, *words, **options):
    """An operator's error has to be one line that has these words."""
    try:
        function(**options)
    except RuntimeError as error:
        text = str(error).strip()
    else:
        raise AssertionError("there was no error")
    assert "\n" not in text, text
    assert all(word in text for word in words), text


def start():
    assert bpy.ops.texopt.run(wait=False) == {"FINISHED"}
    return part("session").session


def until(condition, run):
    deadline = time.time() + 120
    while not condition() and time.time() < deadline:
        run.tick()
        time.sleep(0.02)
    assert condition(), run.message


def finish(run):
    until(lambda: run.over, run)
    return run


def process_of(run):
    return run._remote._process


def two_materials():
    thing = cube("Two")
    body, hat = material("My body", image=picture("body")), material("hat", (0.9, 0.1, 0.1))
    for made in (body, hat):
        thing.data.materials.append(made)
    for polygon in thing.data.polygons:
        polygon.material_index = polygon.index % 2
    return thing, body, hat
