# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel, in the 3D view's sidebar and in the material properties, and the preferences."""

from __future__ import annotations

import bpy

from . import environment, materials, session
from .command import UserError
from .properties import Settings

LETTER = 6.5  # pixels that one is wide, about


def draw_run(context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
    """The buttons, and how far the run is."""
    run = session.session
    if session.running():
        state = "paused" if run.paused else run.message
        amount = f", {run.step} / {run.steps}" if run.steps else ""
        left = f", {run.left():.0f} s left" if run.left() and not run.paused else ""
        layout.progress(factor=run.step / run.steps if run.steps else 0, text=f"{state}{amount}{left}")
        row = layout.row(align=True)
        row.operator("texopt.pause", text="Resume" if run.paused else "Pause", icon="PLAY" if run.paused else "PAUSE")
        row.operator("texopt.stop", icon="SNAP_FACE")
        return
    layout.operator("texopt.run", text="Run", icon="BRUSH_DATA")
    if run is not None:
        draw_line(layout, run.message, run.is_error)
    thing = context.object
    shown = thing.active_material if thing else None
    if materials.is_switchable(shown):
        text = "Show Before" if materials.shows_result(shown) else "Show After"
        layout.operator("texopt.switch", text=text, icon="ARROW_LEFTRIGHT")


def draw_line(layout: bpy.types.UILayout, text: str, alert: bool) -> None:
    """A line of text, wrapped to the panel's width, as labels are not."""
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale
    most = max(20, int(region.width / scale / LETTER) - 6) if region else 60
    column = layout.column(align=True)
    column.alert = alert
    line = ""
    for word in f"{text} \0".split(" "):
        if line and (word == "\0" or len(line) + len(word) > most):
            column.label(text=line, icon="ERROR" if alert else "NONE")
            line, alert = "", False
        line += f" {word}" if line else word


def draw_paintings(settings: Settings, layout: bpy.types.UILayout) -> None:
    for index, painting in enumerate(settings.paintings):
        box = layout.box().column()
        row = box.row(align=True)
        row.template_ID(painting, "image", open="image.open")
        row.operator("texopt.painting_remove", text="", icon="X").index = index
        if len(settings.paintings) > 1:
            box.prop(painting, "material")
            box.prop(painting, "region")
    layout.operator("texopt.painting_add", icon="ADD")


def draw_settings(context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
    settings = context.scene.texopt
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    for name in ("preset", "strength", "style_scale", "texture_size", "keep_colors", "seed"):
        column.prop(settings, name)
    column.row().prop(settings, "materials", expand=True)
    column.prop(settings, "mask")
    if settings.mask is not None:
        column.prop(settings, "mask_material")
    column.row().prop(settings, "views", expand=True)
    if len(context.selected_objects) > 1:
        column.prop(settings, "joined")
    column.row().prop(settings, "saved", expand=True)
    column.prop(settings, "more")


class _Panel:
    bl_label = "texopt"

    def draw(self, context: bpy.types.Context) -> None:
        above, run, below = self.layout.column(), self.layout.column(), self.layout.column()
        above.enabled = below.enabled = not session.running()
        draw_paintings(context.scene.texopt, above)
        draw_run(context, run)
        draw_settings(context, below)


class TEXOPT_PT_view(_Panel, bpy.types.Panel):  # noqa: N801
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "texopt"


class TEXOPT_PT_material(_Panel, bpy.types.Panel):  # noqa: N801
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "material"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "MESH"


def draw_preferences(preferences: bpy.types.AddonPreferences, layout: bpy.types.UILayout) -> None:
    layout.prop(preferences, "command")
    try:
        draw_line(layout, f"texopt is run as: {' '.join(environment.command())}", False)
    except UserError as error:
        draw_line(layout, str(error), True)
    layout.prop(preferences, "source")
    found = environment.installation
    if environment.installing():
        draw_line(layout, f"Installing: {found.text}", False)
        layout.operator("texopt.install_cancel")
        return
    row = layout.row()
    row.operator("texopt.install", text="Install or Update texopt", icon="IMPORT")
    row.operator("texopt.check")
    if not bpy.app.online_access:
        draw_line(layout, "Installing needs System > Network > Allow Online Access.", False)
    if found is not None:
        draw_line(layout, found.error or "texopt is installed.", bool(found.error))


CLASSES = (TEXOPT_PT_view, TEXOPT_PT_material)
