# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's own environment, in which its button installs texopt, and the command that a run takes."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

from .command import UserError, find_command
from .install import Install
from .session import redraw

installation: Install | None = None


def preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[__package__].preferences


def folder() -> Path:
    """Of the environment, in the extension's user folder, which outlives updates of the extension."""
    return Path(bpy.utils.extension_path_user(__package__)) / "environment"


def command() -> list[str]:
    """What starts texopt. UserError where there is none."""
    return find_command(bpy.path.abspath(preferences().command), folder())


def installing() -> bool:
    return installation is not None and not installation.done


def install() -> None:
    """Begin to install texopt in the background. UserError where that cannot be."""
    global installation
    if installing():
        raise UserError("texopt is being installed already")
    if not bpy.app.online_access:
        raise UserError("installing needs the network; switch on Preferences > System > Allow Online Access")
    path = folder()
    path.parent.mkdir(parents=True, exist_ok=True)
    installation = Install(sys.executable, path, preferences().source.strip() or "texopt")


def pulse() -> float | None:
    """A timer's function, as long as it is being installed."""
    redraw()
    return 0.5 if installing() else None


def cancel() -> None:
    if installing():
        installation.cancel()
