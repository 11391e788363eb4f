# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that can be undone, also of what a timer does, which has no window."""

from __future__ import annotations

import bpy


def push_undo(message: str) -> None:
    """Everything as it is now is a step."""
    context = bpy.context
    window = context.window or next(iter(context.window_manager.windows), None)
    with context.temp_override(window=window):
        bpy.ops.ed.undo_push(message=message)
