"""How runs go, and how they end; the panel, and the button that installs. See extension_checks.py."""

import os
import sys

import bpy
from extension_job import (
    GREEN,
    JOB,
    PACKAGE,
    RED,
    add_painting,
    cube,
    finish,
    fresh,
    line,
    material,
    part,
    picture,
    preferences,
    process_of,
    shown,
    start,
    two_materials,
    until,
)


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
