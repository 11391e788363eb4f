# SPDX-License-Identifier: GPL-3.0-or-later
"""texopt in Blender: paints the textures of the selected objects in the style of a painting.

A thin client. It writes the objects' meshes and textures into a folder, runs an installed texopt in a process of its
own, and puts what that makes into the materials. `model`, `png`, `command`, `remote` and `install` do without Blender.
"""

from __future__ import annotations

import atexit

import bpy

from . import environment, operators, panels, properties, session

CLASSES = (*properties.CLASSES, *operators.CLASSES, *panels.CLASSES)


def _end() -> None:
    session.end("Blender was closed or the extension switched off; the run was stopped")
    environment.cancel()


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.texopt = bpy.props.PointerProperty(type=properties.Settings)
    bpy.app.handlers.load_pre.append(session.before_load)
    atexit.register(_end)


def unregister() -> None:
    _end()
    atexit.unregister(_end)
    for timer in (session.pulse, environment.pulse):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    bpy.app.handlers.load_pre.remove(session.before_load)
    del bpy.types.Scene.texopt
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
