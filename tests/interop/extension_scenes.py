"""What the extension makes of scenes: meshes, materials, masks, cameras. See extension_checks.py."""

import json
import tempfile
from pathlib import Path

import bpy
from extension_job import (
    GREEN,
    JOB,
    add_painting,
    cube,
    finish,
    fresh,
    line,
    material,
    part,
    picture,
    select,
    shown,
    start,
    two_materials,
)


def check_before_and_after_are_a_click_apart():
    fresh()
    made = material("Paint", image=picture("old"))
    cube().data.materials.append(made)
    bpy.ops.texopt.run()
    assert bpy.ops.texopt.switch() == {"FINISHED"}
    assert shown(made) == (128, 128, 26)
    bpy.ops.texopt.switch()
    assert shown(made) == GREEN
    bpy.ops.texopt.switch(show="BEFORE")
    bpy.ops.texopt.switch(show="BEFORE")
    assert shown(made) == (128, 128, 26)
    bpy.ops.texopt.run()  # again: still of the original, with one node
    assert shown(made) == GREEN
    assert [node.name for node in made.node_tree.nodes].count("texopt") == 1
    bpy.ops.texopt.switch()
    assert shown(made) == (128, 128, 26)


def check_a_plain_colour_comes_back():
    fresh()
    made = material("Paint")
    cube().data.materials.append(made)
    bpy.ops.texopt.run()
    bpy.ops.texopt.switch()
    assert shown(made) is None
    bpy.ops.texopt.switch()
    assert shown(made) == GREEN


def check_each_of_two_materials_has_its_texture():
    fresh()
    _, body, hat = two_materials()
    run = start()
    files = [target.file for target in run._prepared.targets]
    assert sorted(files) == ["Two_My_body.png", "Two_hat.png"], files
    finish(run)
    assert shown(body) == shown(hat) == GREEN
    assert body.node_tree.nodes["texopt"].image != hat.node_tree.nodes["texopt"].image


def check_a_material_alone_is_painted():
    settings = fresh()
    thing, body, hat = two_materials()
    thing.active_material_index = 1
    settings.materials = "ACTIVE"
    run = start()
    assert run._prepared.order.only == "hat"
    finish(run)
    assert shown(hat) == GREEN
    assert shown(body) == (128, 128, 26)


def check_a_painting_for_each_material():
    settings = fresh()
    _, _, hat = two_materials()
    settings.paintings[0].material = hat
    add_painting()
    run = start()
    assert run._prepared.order.regions == ["hat", "not hat"]
    finish(run)
    assert not run.is_error, run.message
    other = material("Other")
    settings.paintings[1].material = other
    line(bpy.ops.texopt.run, "Other", "no selected object")


def check_a_mask_is_handed_on():
    settings = fresh()
    _, body, _ = two_materials()
    settings.mask = picture("mask", (1, 1, 1))
    line(bpy.ops.texopt.run, "which material", "mask")
    settings.mask_material = body
    run = start()
    assert run._prepared.order.mask.startswith("My_body=")
    assert Path(run._prepared.order.mask.partition("=")[2]).is_file()
    finish(run)


def check_without_uvs_it_asks_and_unwraps():
    fresh()
    thing = cube()
    while thing.data.uv_layers:
        thing.data.uv_layers.remove(thing.data.uv_layers[0])
    line(bpy.ops.texopt.run, "Cube", "no UV map")
    assert bpy.ops.texopt.run(unwrap=True) == {"FINISHED"}
    assert len(thing.data.uv_layers) == 1
    assert shown(thing.active_material) == GREEN


def check_edit_mode_is_left_and_entered_again():
    fresh()
    thing = cube()
    bpy.ops.object.mode_set(mode="EDIT")
    assert bpy.ops.texopt.run() == {"FINISHED"}
    assert bpy.context.mode == "EDIT_MESH"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert shown(thing.active_material) == GREEN


def check_a_linked_object_is_refused():
    fresh()
    cube("Library").data.materials.append(material("Of the library"))
    folder = tempfile.mkdtemp()
    path = f"{folder}/library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=path)
    fresh()
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Library"]
    bpy.context.collection.objects.link(wanted.objects[0])
    select(wanted.objects[0])
    line(bpy.ops.texopt.run, "Of the library", "linked", "local")
    copy = wanted.objects[0].override_create()
    bpy.context.collection.objects.link(copy)
    select(copy)
    line(bpy.ops.texopt.run, "Of the library", "linked", "local")


def check_nothing_to_do_is_said():
    settings = fresh()
    line(bpy.ops.texopt.run, "no mesh is selected")
    thing = cube()
    settings.paintings[0].image = None
    line(bpy.ops.texopt.run, "no painting")
    gone = Path(tempfile.mkdtemp()) / "gone.png"
    settings.paintings[0].image = picture("gone")
    settings.paintings[0].image.filepath_raw = str(gone)
    settings.paintings[0].image.file_format = "PNG"
    settings.paintings[0].image.save()
    settings.paintings[0].image = bpy.data.images.load(str(gone))
    gone.unlink()
    line(bpy.ops.texopt.run, "gone.png", "missing")
    settings.paintings[0].image = bpy.data.images.load(JOB["painting"])
    thing.data.clear_geometry()
    line(bpy.ops.texopt.run, "faces")


def check_a_material_without_principled_is_refused():
    fresh()
    made = material("Glow")
    nodes = made.node_tree.nodes
    nodes.remove(part("materials").principled(made))
    cube().data.materials.append(made)
    line(bpy.ops.texopt.run, "Glow", "Principled")


def check_textures_beside_the_file():
    settings = fresh()
    settings.saved = "FILE"
    made = material("Paint")
    cube().data.materials.append(made)
    bpy.ops.texopt.run()  # never saved
    assert made.node_tree.nodes["texopt"].image.packed_file is not None
    folder = Path(tempfile.mkdtemp())
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.texopt.run()
    bpy.ops.texopt.run()
    image = made.node_tree.nodes["texopt"].image
    assert image.packed_file is None
    assert image.filepath.startswith("//textures/"), image.filepath
    assert len(list((folder / "textures").glob("*.png"))) == 2
    assert shown(made) == GREEN
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert shown(bpy.data.materials["Paint"]) == GREEN


def check_packed_textures_are_saved():
    fresh()
    cube().data.materials.append(material("Paint"))
    bpy.ops.texopt.run()
    bpy.ops.wm.save_as_mainfile(filepath=f"{tempfile.mkdtemp()}/scene.blend")
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    made = bpy.data.materials["Paint"]
    assert shown(made) == GREEN
    select(bpy.data.objects["Cube"])
    bpy.ops.texopt.switch()
    assert shown(made) is None


def check_several_objects_are_a_set_or_one_model():
    settings = fresh()
    a, b = cube("A"), cube("B", (3, 0, 0))
    for thing in (a, b):
        thing.data.materials.append(material(f"of {thing.name}"))
    select(a, b)
    run = start()
    assert [path.name for path in run._prepared.order.meshes] == ["A.obj", "B.obj"]
    finish(run)
    assert shown(a.active_material) == shown(b.active_material) == GREEN
    settings.joined = True
    run = start()
    assert len(run._prepared.order.meshes) == 1
    finish(run)
    assert shown(b.active_material) == GREEN
    b.material_slots[0].material = a.active_material  # one texture, so one model
    settings.joined = False
    run = start()
    assert len(run._prepared.order.meshes) == 1
    assert len(run._prepared.targets) == 1
    finish(run)


def check_instances_are_painted():
    fresh()
    thing = cube("Original")
    thing.data.materials.append(material("Paint"))
    group = bpy.data.collections.new("Group")
    group.objects.link(thing)
    bpy.context.collection.objects.unlink(thing)
    for at in ((5, 0, 0), (9, 0, 0)):
        bpy.ops.object.collection_instance_add(collection="Group", location=at)
    bpy.ops.object.select_all(action="SELECT")
    run = start()
    text = run._prepared.order.meshes[0].read_text()
    assert text.count("\nv ") == 8, "each mesh once"
    finish(run)
    assert shown(bpy.data.materials["Paint"]) == GREEN


def check_evaluated_geometry_is_exported():
    fresh()
    thing = cube()
    thing.scale, thing.rotation_euler = (1, 2, -3), (0.3, 0.2, 0.1)
    thing.modifiers.new("More", "SUBSURF").levels = 2
    run = start()
    assert run._prepared.order.meshes[0].read_text().count("\nf ") == 96
    finish(run)


def check_uvs_go_where_the_mapping_puts_them():
    import numpy as np
    from mathutils import Euler, Matrix, Vector

    for kind in ("POINT", "TEXTURE"):
        fresh()
        made = material("Paint", image=picture("old"))
        nodes, links = made.node_tree.nodes, made.node_tree.links
        image = next(node for node in nodes if node.type == "TEX_IMAGE")
        where, place, knot = (nodes.new(name) for name in ("ShaderNodeUVMap", "ShaderNodeMapping", "NodeReroute"))
        where.uv_map = "second"
        place.vector_type = kind
        at, turn, scale = Vector((0.3, -0.2, 0)), Euler((0, 0, 0.7)), Vector((2, 3, 1))
        for name, value in (("Location", at), ("Rotation", turn), ("Scale", scale)):
            place.inputs[name].default_value = value
        links.new(where.outputs["UV"], place.inputs["Vector"])
        links.new(place.outputs["Vector"], knot.inputs[0])
        links.new(knot.outputs[0], image.inputs["Vector"])
        thing = cube()
        thing.data.materials.append(made)
        layer = thing.data.uv_layers.new(name="second")
        for number, corner in enumerate(layer.uv):
            corner.vector = (number / 30, (number % 7) / 9)
        run = start()
        matrix = Matrix.LocRotScale(at, turn, scale)
        matrix = matrix.inverted() if kind == "TEXTURE" else matrix
        wanted = sorted((matrix @ Vector((*corner.vector, 0)))[:2] for corner in layer.uv)
        text = run._prepared.order.meshes[0].read_text()
        found = sorted(tuple(map(float, line.split()[1:])) for line in text.splitlines() if line.startswith("vt "))
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        finish(run)
        assert made.node_tree.nodes["texopt"].inputs["Vector"].links[0].from_node == place


def check_the_active_uv_map_is_taken_where_there_is_no_image():
    fresh()
    made = material("Paint")
    thing = cube()
    thing.data.materials.append(made)
    thing.data.uv_layers.active = thing.data.uv_layers.new(name="second")
    for corner in thing.data.uv_layers["second"].uv:
        corner.vector = (0.25, 0.75)
    run = start()
    assert "\nvt 0.25 0.75\n" in run._prepared.order.meshes[0].read_text()
    finish(run)
    assert made.node_tree.nodes["texopt UV"].uv_map == "second"


def check_a_base_colour_made_by_nodes_is_said():
    fresh()
    made = material("Paint")
    tree = made.node_tree
    noise = tree.nodes.new("ShaderNodeTexNoise")
    tree.links.new(noise.outputs["Color"], part("materials").principled(made).inputs["Base Color"])
    cube().data.materials.append(made)
    run = finish(start())
    assert ["Paint" in note and "bake" in note for note in run.notes] == [True]
    assert shown(made) == GREEN
    bpy.ops.texopt.switch()
    assert part("materials").principled(made).inputs["Base Color"].links[0].from_node == noise


def check_cameras_are_handed_on():
    settings = fresh()
    cube()
    settings.views = "CAMERAS"
    line(bpy.ops.texopt.run, "no camera")
    bpy.ops.object.camera_add(location=(0, -5, 0), rotation=(1.5707963, 0, 0))
    select(bpy.data.objects["Cube"])
    run = start()
    values = json.loads(run._prepared.order.cameras.read_text())
    (frame,) = values["frames"]
    place = [row[3] for row in frame["transform_matrix"][:3]]
    assert max(abs(a - b) for a, b in zip(place, (0, 0, 5), strict=True)) < 1e-5, place
    assert abs(frame["fl_x"] - 1920 * 50 / 36) < 0.1
    assert abs(frame["cx"] - 960) < 1e-3
    finish(run)
