"""Runs inside Blender: imports files, writes down what arrived, and draws it with its base colours alone.

blender --background --factory-startup --python-exit-code 1 --python THIS -- JOBS.json, where the JSON has a list of
{"name", "path", "folder", "size", "cameras": [{"camera_to_world": 4x4 in the file's axes, "fov_y": degrees}]}.
FOLDER then has mesh.npz (see `geometry`), and 0.png, 1.png, ... one a camera, transparent where nothing is.
What an importer says stands between the lines "import NAME" and "imported NAME".
"""

import json
import math
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

np.bool = bool  # Debian 12 has a NumPy without it beside a glTF importer that needs it
TO_BLENDER = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))  # from +Y up to +Z up


def load(path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if path.endswith(".obj"):
        bpy.ops.wm.obj_import(filepath=path)
    else:
        bpy.ops.import_scene.gltf(filepath=path)
    return [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]


def read(collection, attribute, width, kind):
    values = np.empty(len(collection) * width, kind)
    collection.foreach_get(attribute, values)
    return values.reshape(-1, width)


def geometry(things):
    """vertices [V,3] in the file's axes; polygons' sizes and materials [P]; corners [C] into vertices; uvs [C,2]."""
    parts, start = [], 0
    for thing in things:
        mesh = thing.data
        points = read(mesh.vertices, "co", 3, np.float64)
        to_file = np.array(TO_BLENDER.inverted() @ thing.matrix_world)
        parts.append({
            "vertices": points @ to_file[:3, :3].T + to_file[:3, 3],
            "sizes": read(mesh.polygons, "loop_total", 1, np.int32)[:, 0],
            "corners": read(mesh.loops, "vertex_index", 1, np.int32)[:, 0] + start,
            "uvs": read(mesh.uv_layers.active.data, "uv", 2, np.float64),
            "materials": np.array([thing.material_slots[p.material_index].material.name for p in mesh.polygons]),
        })  # fmt: skip
        start += len(points)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def show_base_color(material):
    """The material emits what its base colour is, whatever else it is made of."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shaders = [node for node in nodes if node.type == "BSDF_PRINCIPLED"]
    linked = [link.from_socket for shader in shaders for link in shader.inputs["Base Color"].links]
    if not shaders:  # an unlit one
        linked = [node.outputs["Color"] for node in nodes if node.type == "TEX_IMAGE"]
    emission = nodes.new("ShaderNodeEmission")
    if linked:
        links.new(linked[0], emission.inputs["Color"])
    else:
        emission.inputs["Color"].default_value = shaders[0].inputs["Base Color"].default_value
    output = next(node for node in nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output)
    links.new(emission.outputs["Emission"], output.inputs["Surface"])


def prepare(scene, size):
    """Every pixel the mean over its square, of the picture's values as they are."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = 16
    scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.render.dither_intensity = 0
    scene.render.image_settings.color_mode = "RGBA"
    scene.view_settings.view_transform = "Standard"


def draw(scene, camera, path):
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.angle = "VERTICAL", math.radians(camera["fov_y"])
    lens.clip_start, lens.clip_end = camera["near"], camera["far"]
    thing = bpy.data.objects.new("camera", lens)
    thing.matrix_world = TO_BLENDER @ Matrix(camera["camera_to_world"])
    scene.collection.objects.link(thing)
    scene.camera = thing
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def main():
    for job in json.loads(Path(sys.argv[-1]).read_text()):
        print("import", job["name"], flush=True)
        things = load(job["path"])
        print("imported", job["name"], flush=True)
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "mesh.npz", **geometry(things))
        for material in bpy.data.materials:
            if material.use_nodes and material.users:
                show_base_color(material)
        prepare(bpy.context.scene, job["size"])
        for index, camera in enumerate(job["cameras"]):
            draw(bpy.context.scene, camera, folder / f"{index}.png")


if __name__ == "__main__":
    main()
