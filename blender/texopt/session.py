# SPDX-License-Identifier: GPL-3.0-or-later
"""The run that is going on, if one is, and what has become of the last."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from . import materials
from .command import UserError
from .materials import base_of, packed_image, show
from .prepare import Prepared, Target, prepare
from .remote import Event, Remote
from .undo import push_undo

PULSE = 0.2  # seconds between two looks at what texopt says
JOBS = ("RENDER", "OBJECT_BAKE")
ACTIONS = ("TRANSFORM_OT_", "PAINT_OT_", "SCULPT_OT_", "MESH_OT_", "CURVES_OT_")


class Session:
    """A run of texopt from its start until its process is gone.

    Blender may undo, rename and remove things meanwhile: so nothing of it is kept but the session_uid of what it is
    about, which outlives all that.

    message: what there is to say, a line. is_error: whether something went wrong.
    """

    def __init__(self, context: bpy.types.Context, objects: Sequence[bpy.types.Object], command: Sequence[str]) -> None:
        self.step, self.steps, self.paused, self.stopping, self.over = 0, 0, False, False, False
        self.message, self.is_error, self.rate = "texopt starts", False, None
        self._states: dict[int, tuple[str, bool]] = {}  # of materials before a preview
        self._previews: list[str] = []  # names of images
        self._saved = context.scene.texopt.saved
        self._folder = Path(tempfile.mkdtemp(prefix="texopt_", dir=bpy.app.tempdir))
        try:
            self._prepared: Prepared = prepare(context, objects, self._folder)
            self._remote = Remote([*command, *self._prepared.order.arguments()], self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.notes = self._prepared.notes

    def tick(self) -> bool:
        """Take in what texopt has said, unless nothing may change now. Whether the run goes on."""
        if self.over or _busy():
            return not self.over
        if not _existing(bpy.data.objects, self._prepared.objects):
            self.cancel("the objects were deleted; the run was stopped")
            return False
        try:
            for event in self._remote.events():
                self._take(event)
        except UserError as error:  # a material is no longer what it was
            self.cancel(str(error))
        return not self.over

    def left(self) -> float | None:
        """Seconds that it may take yet."""
        return (self.steps - self.step) / self.rate if self.rate else None

    def send(self, word: str) -> None:
        """pause, resume or stop."""
        self._remote.send(word)
        if word == "stop":
            self.stopping, self.message = True, "stopping; what there is gets written"

    def cancel(self, why: str) -> None:
        """End the run without a result."""
        if self.over:
            return
        self._remote.kill()
        self._take_back()
        self.message, self.is_error = why, True
        self._finish()

    def fail(self, why: str) -> None:
        """End the run, whatever state it is in."""
        self._remote.kill()
        self.message, self.is_error = why, True
        self._finish()

    def _finish(self) -> None:
        self.over = True
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take(self, event: Event) -> None:
        kind = event["event"]
        if kind == "begin":
            self.step, self.steps = event["step"], event["steps"]
            self.message = "texopt paints"
        elif kind == "step":
            self.step, self.steps, self.rate = event["step"], event["steps"], event.get("steps_per_second")
        elif kind == "paused":
            self.paused = event["paused"]
        elif kind == "textures":
            self._preview(event["files"])
        elif kind == "end":
            self._show_result(event)
        elif kind == "error":
            self._take_back()
            self.message, self.is_error = event["text"], True
        elif kind == "exit":
            if event["text"]:
                self._take_back()
                self.message, self.is_error = event["text"], True
            self._finish()

    def _preview(self, files: dict[str, dict[str, str]]) -> None:
        """The textures as they are now, in the viewport."""
        old, self._previews = self._previews, []
        for target in self._prepared.targets:
            path = files.get(target.mesh, {}).get(target.file)
            try:
                data = Path(path).read_bytes() if path else b""
            except OSError:  # the next one comes
                continue
            if data:
                self._previews.append(self._put(target, packed_image(f"{target.name} (preview)", data)))
        _remove_images(old)

    def _put(self, target: Target, image: bpy.types.Image) -> str:
        """Have all materials of a target show an image; its name."""
        for material in _existing(bpy.data.materials, target.materials):
            if materials.principled(material) is None:
                continue
            self._states.setdefault(material.session_uid, materials.remember(material))
            show(material, image, base_of(material), target.materials[material.session_uid])
        return image.name

    def _take_back(self) -> None:
        """Everything as it was before the first preview."""
        for material in _existing(bpy.data.materials, self._states):
            materials.restore(material, self._states[material.session_uid])
        self._states.clear()
        _remove_images(self._previews)
        self._previews = []

    def _show_result(self, event: Event) -> None:
        """The finished textures, as one step that can be undone."""
        previewed = bool(self._states)
        self._take_back()
        out = self._prepared.order.out
        found, lost = {}, []
        for target in self._prepared.targets:
            places = [out / target.file, out / target.mesh / target.file]
            try:
                found[target.file] = next(place for place in places if place.is_file()).read_bytes()
            except (StopIteration, OSError):
                lost.append(target.file)
        if lost:
            self.message, self.is_error = f"the result {lost[0]} is not in {out} any more; run it again", True
            return
        if previewed:
            push_undo("Before texopt")
        self.message = "stopped; this is how far it came" if event.get("interrupted") else "done"
        for target in self._prepared.targets:
            self._put(target, self._kept(target, found[target.file]))
        self._states.clear()
        push_undo("texopt")

    def _kept(self, target: Target, data: bytes) -> bpy.types.Image:
        """The new image, packed, or saved beside the .blend."""
        if self._saved == "FILE" and bpy.data.filepath:
            folder = Path(bpy.data.filepath).parent / "textures"
            stem = bpy.path.clean_name(target.name)
            path, number = folder / f"{stem}.png", 1
            try:
                folder.mkdir(exist_ok=True)
                while path.exists():
                    number += 1
                    path = folder / f"{stem}_{number}.png"
                path.write_bytes(data)
            except OSError as error:
                self.message = f"done; {folder} cannot be written ({error.strerror}), so the texture is packed"
            else:
                image = bpy.data.images.load(bpy.path.relpath(str(path)))
                image.name, image.alpha_mode = target.name, "CHANNEL_PACKED"
                return image
        return packed_image(target.name, data)


def _busy() -> bool:
    """Whether Blender renders, or someone drags or paints something: then materials must not change."""
    windows = (window for manager in bpy.data.window_managers for window in manager.windows)
    acting = (operator.bl_idname for window in windows for operator in window.modal_operators)
    return any(map(bpy.app.is_job_running, JOBS)) or any(name.startswith(ACTIONS) for name in acting)


def _existing(collection: Any, uids: Any) -> list[Any]:
    """Those of a collection's members that have one of these session_uid."""
    return [one for one in collection if one.session_uid in uids]


def _remove_images(names: Sequence[str]) -> None:
    for name in names:
        image = bpy.data.images.get(name)
        if image is not None:
            bpy.data.images.remove(image)


session: Session | None = None


def running() -> bool:
    return session is not None and not session.over


def begin(context: bpy.types.Context, objects: Sequence[bpy.types.Object], command: Sequence[str]) -> Session:
    """Start a run. UserError where one is going on, or it cannot be."""
    global session
    if running():
        raise UserError("a run is going on; stop it first, or wait for its end")
    session = Session(context, objects, command)
    return session


def pulse() -> float | None:
    """A timer's function, as long as a run goes on."""
    if session is None:
        return None
    try:
        goes_on = session.tick()
    except Exception as error:
        session.fail(f"the extension has failed ({type(error).__name__}: {error}); the run was stopped")
        raise
    finally:
        redraw()
    return PULSE if goes_on else None


def redraw() -> None:
    """Draw panels anew."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type in ("VIEW_3D", "PROPERTIES", "PREFERENCES"):
                    area.tag_redraw()


def end(why: str) -> None:
    """Cancel a run, if one is going on."""
    if running():
        session.cancel(why)


@bpy.app.handlers.persistent
def before_load(*_: object) -> None:
    end("another file was opened; the run was stopped")
