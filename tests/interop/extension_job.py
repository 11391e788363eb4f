"""Runs inside Blender: installs the extension, operates it as a person would, and writes down what went wrong.

python THIS JOB.json, with a Python that has bpy, where the JSON has "zip" (the extension), "fake" (a command that
stands for texopt, see fake_texopt.py), "painting" (an image), "wheel" (a package to install as texopt), and "report" (a
file). The report then has for every function here whose name begins with check_ "" or how it failed.
BLENDER_USER_RESOURCES has to name an empty folder.
"""

import importlib
import inspect
import json
import os
import sys
import tempfile
import time
import traceback
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


def check_a_cube_is_painted_and_undone_in_one_step():
    fresh()
    made = material("Paint")
    cube().data.materials.append(made)
    bpy.ops.ed.undo_push(message="a cube")
    assert bpy.ops.texopt.run() == {"FINISHED"}
    made = bpy.data.materials["Paint"]
    assert shown(made) == GREEN
    image = made.node_tree.nodes["texopt"].image
    assert image.packed_file is not None
    assert not os.listdir(bpy.app.tempdir)
    bpy.ops.ed.undo()
    made = bpy.data.materials["Paint"]
    assert shown(made) is None
    assert "texopt" not in made.node_tree.nodes
    bpy.ops.ed.redo()
    assert shown(bpy.data.materials["Paint"]) == GREEN


def check_the_texture_shows_while_it_runs():
    fresh("6")
    made = material("Paint", image=picture("old"))
    thing = cube()
    thing.data.materials.append(made)
    bpy.ops.ed.undo_push(message="a cube")
    run = start()
    until(lambda: shown(bpy.data.materials["Paint"]) == RED, run)
    assert 0 < run.step < run.steps
    thing.location.x = 3  # someone works meanwhile
    bpy.ops.ed.undo_push(message="moved")
    finish(run)
    assert not run.is_error, run.message
    assert shown(bpy.data.materials["Paint"]) == GREEN
    assert not [image for image in bpy.data.images if "preview" in image.name]
    bpy.ops.ed.undo()
    made = bpy.data.materials["Paint"]
    assert shown(made) == (128, 128, 26)
    assert "texopt" not in made.node_tree.nodes
    assert bpy.data.objects["Cube"].location.x == 3


def check_undo_during_a_run_does_no_harm():
    fresh("8")
    cube().data.materials.append(material("Paint"))
    bpy.ops.ed.undo_push(message="a cube")
    bpy.data.objects["Cube"].location.x = 3
    bpy.ops.ed.undo_push(message="moved")
    run = start()
    until(lambda: shown(bpy.data.materials["Paint"]) == RED, run)
    bpy.ops.ed.undo()
    assert bpy.data.objects["Cube"].location.x == 0
    finish(run)
    assert shown(bpy.data.materials["Paint"]) == GREEN


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


def two_materials():
    thing = cube("Two")
    body, hat = material("My body", image=picture("body")), material("hat", (0.9, 0.1, 0.1))
    for made in (body, hat):
        thing.data.materials.append(made)
    for polygon in thing.data.polygons:
        polygon.material_index = polygon.index % 2
    return thing, body, hat


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


def check_texopt_that_does_not_work():
    for way, words in {
        "3,crash": ["before its time", "MemoryError: no more of it"],
        "3,error": ["the mask is no image"],
        "3,old": ["too old", "Install"],
        "3,lost": ["is not in", "any more"],
    }.items():
        fresh(way)
        made = material("Paint")
        cube().data.materials.append(made)
        line(bpy.ops.texopt.run, *words)
        assert shown(made) is None
        assert "texopt" not in made.node_tree.nodes
        assert not os.listdir(bpy.app.tempdir)
    preferences().command = "/nowhere/texopt"
    line(bpy.ops.texopt.run, "/nowhere/texopt", "preferences")
    preferences().command = sys.executable
    line(bpy.ops.texopt.run, "not installed")
    line(bpy.ops.texopt.check, "is no texopt")
    path, os.environ["PATH"] = os.environ["PATH"], ""
    preferences().command = ""
    line(bpy.ops.texopt.run, "not installed", "Install")
    os.environ["PATH"] = path


def check_one_run_at_a_time():
    fresh("10")
    cube()
    run = start()
    line(bpy.ops.texopt.run, "a run is going on")
    finish(run)
    assert bpy.ops.texopt.run() == {"FINISHED"}


def check_pause_resume_and_stop():
    fresh("1000")
    thing = cube()
    run = start()
    until(lambda: run.step > 2, run)
    bpy.ops.texopt.pause()
    until(lambda: run.paused, run)
    bpy.ops.texopt.pause()
    until(lambda: not run.paused, run)
    bpy.ops.texopt.stop()
    finish(run)
    assert "stopped" in run.message
    assert not run.is_error
    assert shown(thing.active_material) == GREEN
    assert not bpy.ops.texopt.stop.poll()


def check_another_file_ends_it():
    fresh("1000")
    cube()
    run = start()
    until(lambda: run.step > 1, run)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert run.over
    assert process_of(run).poll() is not None
    assert not part("session").running()
    assert not os.listdir(bpy.app.tempdir)


def check_deleting_the_object_ends_it():
    fresh("1000")
    thing = cube()
    run = start()
    until(lambda: run.step > 1, run)
    bpy.data.objects.remove(thing)
    finish(run)
    assert "deleted" in run.message
    assert process_of(run).poll() is not None


def check_a_renamed_material_is_found_and_a_deleted_one_is_not_missed():
    fresh("6")
    _, body, hat = two_materials()
    run = start()
    until(lambda: run.step > 1, run)
    hat.name = "helmet"
    bpy.data.materials.remove(body)
    finish(run)
    assert not run.is_error, run.message
    assert shown(bpy.data.materials["helmet"]) == GREEN


def check_the_output_folder_may_go():
    import shutil

    fresh("6")
    made = material("Paint")
    cube().data.materials.append(made)
    run = start()
    until(lambda: run.step > 1, run)
    shutil.rmtree(run._folder)
    finish(run)
    assert run.is_error
    assert run.message
    assert shown(made) is None


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


def check_a_material_that_becomes_unusable_ends_it_in_a_line():
    fresh("1000")
    made = material("Paint", image=picture("old"))
    cube().data.materials.append(made)
    run = start()
    until(lambda: run.step > 1, run)
    node = next(node for node in made.node_tree.nodes if node.type == "TEX_IMAGE" and node.name != "texopt")
    node.image.source = "TILED"
    finish(run)
    assert run.is_error
    assert "UDIM" in run.message
    assert process_of(run).poll() is not None


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


class Layout:
    """Stands for a panel's layout, and knows what is wrong with what is drawn."""

    def __init__(self):
        self.texts = []

    def __getattr__(self, name):
        assert name in bpy.types.UILayout.bl_rna.functions, name
        parameters = bpy.types.UILayout.bl_rna.functions[name].parameters

        def drawn(*things, **options):
            assert not set(options) - set(parameters.keys()), (name, options)
            assert "icon" not in options or options["icon"] in parameters["icon"].enum_items
            if name in ("prop", "template_ID"):
                assert things[1] in things[0].bl_rna.properties, things
            if name == "operator":
                assert hasattr(getattr(bpy.ops.texopt, things[0].removeprefix("texopt.")), "poll")
                return type("Operator", (), {})()
            self.texts.append(options.get("text", ""))
            return self

        return drawn


def panel():
    """What the panel says."""
    layout = Layout()
    for module in ("TEXOPT_PT_view", "TEXOPT_PT_material"):
        drawer = getattr(bpy.types, module)
        drawer.draw(type("Panel", (), {"layout": layout})(), bpy.context)
    preferences_layout = Layout()
    part("panels").draw_preferences(preferences(), preferences_layout)
    return " ".join(layout.texts + preferences_layout.texts)


def check_panels_can_be_drawn_and_say_how_it_goes():
    settings = fresh("1000")
    panel()
    cube()
    settings.mask = picture("mask")
    add_painting()
    run = start()
    until(lambda: run.step > 1, run)
    assert f", {run.step} / 1000, " in panel()
    assert "s left" in panel()
    bpy.ops.texopt.stop()
    finish(run)
    assert "stopped" in panel()
    assert "run as" in panel()
    preferences().command = "/nowhere/texopt"
    assert "no program" in panel().replace("  ", " ")


def check_switching_it_off_ends_a_run():
    import addon_utils

    fresh("1000")
    cube()
    run = start()
    until(lambda: run.step > 1, run)
    process = process_of(run)
    addon_utils.disable(PACKAGE)
    assert process.poll() is not None
    addon_utils.enable(PACKAGE, default_set=True)
    fresh()
    cube()
    assert bpy.ops.texopt.run() == {"FINISHED"}


def check_the_button_installs():
    fresh()
    preferences().command, preferences().source = "", JOB["wheel"]
    bpy.context.preferences.system.use_online_access = False
    line(bpy.ops.texopt.install, "Allow Online Access")
    bpy.context.preferences.system.use_online_access = True
    os.environ["PIP_NO_INDEX"] = "1"
    preferences().source = "/nowhere.whl"
    line(bpy.ops.texopt.install, "nowhere.whl")
    preferences().source = JOB["wheel"]
    assert bpy.ops.texopt.install() == {"FINISHED"}
    assert bpy.ops.texopt.check() == {"FINISHED"}
    assert part("environment").command()[0].startswith(os.environ["BLENDER_USER_RESOURCES"])


def main():
    install()
    wanted = JOB.get("only", "")
    report = {}
    for name, function in inspect.getmembers(sys.modules["__main__"], inspect.isfunction):
        if not name.startswith("check_") or wanted not in name:
            continue
        try:
            function()
            report[name] = ""
        except Exception:
            report[name] = traceback.format_exc()
    Path(JOB["report"]).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
