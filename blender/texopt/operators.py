# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators: bpy.ops.texopt.run() and the others."""

import subprocess
import time

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty

from . import environment, materials, scene, session
from .command import UserError
from .remote import start

CHECK_SECONDS = 60


class _Operator:
    """An operator whose `act` may raise a UserError, which is shown in a line."""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.act(context)
        except UserError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class TEXOPT_OT_run(_Operator, bpy.types.Operator):  # noqa: N801
    """Paint the textures of the selected objects in the style of the paintings"""

    bl_idname = "texopt.run"
    bl_label = "Run texopt"

    unwrap: BoolProperty(
        name="Smart UV Project", description="Make a UV map for objects that have none", options={"SKIP_SAVE"}
    )
    wait: BoolProperty(
        name="Wait",
        description="Return when the run has ended",
        default=bpy.app.background,
        options={"SKIP_SAVE", "HIDDEN"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not scene.without_uvs(context.selected_objects) or self.unwrap:
            return self.execute(context)
        self.unwrap = True
        return context.window_manager.invoke_props_dialog(self, title="No UV Map", confirm_text="Run")

    def draw(self, context: bpy.types.Context) -> None:
        names = [thing.name for thing in scene.without_uvs(context.selected_objects)]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self.layout.label(text=f"{names[0] if names else 'Nothing'}{more} has no UV map for a texture to lie on")
        self.layout.prop(self, "unwrap")

    def act(self, context: bpy.types.Context) -> None:
        if session.running():
            raise UserError("a run is going on; stop it first, or wait for its end")
        command = environment.command()
        edited = context.mode.startswith("EDIT")
        if edited:
            bpy.ops.object.mode_set(mode="OBJECT")
        try:
            objects = scene.chosen(context)
            bare = scene.without_uvs(objects)
            if bare and not self.unwrap:
                raise UserError(f"{bare[0].name} has no UV map; unwrap it, or run with unwrap=True (Smart UV Project)")
            if bare:
                scene.unwrap(context, bare)
            run = session.begin(context, objects, command)
        finally:
            if edited:
                bpy.ops.object.mode_set(mode="EDIT")
        for note in run.notes:
            self.report({"WARNING"}, note)
        if not self.wait:
            bpy.app.timers.register(session.pulse, first_interval=session.PULSE)
            return
        while run.tick():
            time.sleep(session.PULSE / 4)
        if run.is_error:
            raise UserError(run.message)
        self.report({"INFO"}, run.message)


class TEXOPT_OT_pause(bpy.types.Operator):  # noqa: N801
    """Pause the run, or go on with it"""

    bl_idname = "texopt.pause"
    bl_label = "Pause"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.running() and not session.session.stopping

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.session.send("resume" if session.session.paused else "pause")
        return {"FINISHED"}


class TEXOPT_OT_stop(bpy.types.Operator):  # noqa: N801
    """Stop the run, and take the texture as it is by now"""

    bl_idname = "texopt.stop"
    bl_label = "Stop"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.session.send("stop")
        return {"FINISHED"}


class TEXOPT_OT_switch(bpy.types.Operator):  # noqa: N801
    """Show the textures as they were before texopt, or as it made them. Both stay"""

    bl_idname = "texopt.switch"
    bl_label = "Before / After"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    show: EnumProperty(
        name="Show", items=[("OTHER", "The Other", ""), ("BEFORE", "Before", ""), ("AFTER", "After", "")],
        options={"SKIP_SAVE"},
    )  # fmt: skip

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(_switchable(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = _switchable(context)
        result = self.show == "AFTER" if self.show != "OTHER" else not materials.shows_result(found[0])
        for material in found:
            materials.switch(material, result)
        return {"FINISHED"}


def _switchable(context: bpy.types.Context) -> list[bpy.types.Material]:
    """The selected objects' materials that have a before and an after."""
    things = [*context.selected_objects, *([context.object] if context.object else [])]
    found = {slot.material for thing in things for slot in thing.material_slots}
    editable = [one for one in found if materials.is_switchable(one) and not one.library]
    return sorted(editable, key=lambda material: material.name)


class TEXOPT_OT_painting_add(bpy.types.Operator):  # noqa: N801
    """Add a painting. Several are blended, or each is for a material of its own"""

    bl_idname = "texopt.painting_add"
    bl_label = "Add Painting"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.texopt.paintings.add()
        return {"FINISHED"}


class TEXOPT_OT_painting_remove(bpy.types.Operator):  # noqa: N801
    """Take a painting off the list"""

    bl_idname = "texopt.painting_remove"
    bl_label = "Remove Painting"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    index: IntProperty(min=0)

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.texopt.paintings.remove(self.index)
        return {"FINISHED"}


class TEXOPT_OT_install(_Operator, bpy.types.Operator):  # noqa: N801
    """Make a Python environment in this extension's folder, and install texopt there, or update it"""

    bl_idname = "texopt.install"
    bl_label = "Install"

    wait: BoolProperty(default=bpy.app.background, options={"SKIP_SAVE", "HIDDEN"})

    def act(self, context: bpy.types.Context) -> None:
        environment.install()
        if not self.wait:
            bpy.app.timers.register(environment.pulse, first_interval=0.5)
            return
        while environment.installing():
            time.sleep(0.05)
        if environment.installation.error:
            raise UserError(environment.installation.error)


class TEXOPT_OT_install_cancel(bpy.types.Operator):  # noqa: N801
    """Stop installing"""

    bl_idname = "texopt.install_cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return environment.installing()

    def execute(self, context: bpy.types.Context) -> set[str]:
        environment.cancel()
        return {"FINISHED"}


class TEXOPT_OT_check(_Operator, bpy.types.Operator):  # noqa: N801
    """Say which texopt is used, and its version"""

    bl_idname = "texopt.check"
    bl_label = "Check"

    def act(self, context: bpy.types.Context) -> None:
        command = environment.command()
        with start(
            [*command, "--version"], cwd=bpy.app.tempdir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                text = process.communicate(timeout=CHECK_SECONDS)[0].decode(errors="replace").strip()
            except subprocess.TimeoutExpired:
                process.kill()
                raise UserError(f"{command[0]} does not answer; correct the command in the preferences") from None
        last = text.splitlines()[-1] if text else "nothing"
        if process.returncode or not last.startswith("texopt "):
            raise UserError(f"{' '.join(command)} is no texopt, it says: {last[:200]}")
        self.report({"INFO"}, f"{last}: {' '.join(command)}")


CLASSES = (
    TEXOPT_OT_run, TEXOPT_OT_pause, TEXOPT_OT_stop, TEXOPT_OT_switch, TEXOPT_OT_painting_add,
    TEXOPT_OT_painting_remove, TEXOPT_OT_install, TEXOPT_OT_install_cancel, TEXOPT_OT_check,
)  # fmt: skip
