"""LivePage: a page in the browser that shows an object with its texture, while it is optimised or afterwards."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from texopt.errors import DependencyError, printable
from texopt.io.gltf.unlit import unlit_glb
from texopt.mesh.vertex_buffers import IndexedPart, unit_parts
from texopt.show.live_state import Controls, Curves, Speed, Throttle, status
from texopt.system.local_pages import is_loopback, listen, url_of

if TYPE_CHECKING:
    from texopt.show.history import Step

log = logging.getLogger("texopt")

AZIMUTH, ELEVATION, DISTANCE, FIELD_OF_VIEW = 25.0, 15.0, 4.6, 30.0  # where the camera starts; degrees, radii
BACKGROUND = 184  # grey, as the contact sheet's

# viser draws everything through the ACES film curve, which greys saturated colours and cannot be turned off by its
# interface. three.js asks scene.onBeforeRender before it draws, and hands it the renderer. Without that handle on the
# scene the page works all the same, in the colours of the film curve.
EXACT_COLORS = """<img hidden src="data:," onerror="
const wait = setInterval(() => {
    const scene = window.__viserMutable?.scene;
    if (!scene) return;
    scene.onBeforeRender = (renderer) => { renderer.toneMapping = 0; };
    window.__viserMutable.requestRender();
    clearInterval(wait);
}, 20);
">"""


def _import_viser() -> ModuleType:
    try:
        import viser
    except ImportError:
        raise DependencyError("the live page needs viser; pip install 'texopt[viewer]'") from None
    return viser


class LivePage:
    """Serves the page until `close`. Browsers can come and go; while there is none, a run costs what it costs without.

    The texture, the curves and the buttons' effects are the optimising thread's business, in `on_step`; it touches no
    random generator, so that the result is the same with and without the page.

    Args:
        title: over the panel.
        parts: the object, a part for every texture map.
        images: the texture of each part.
        originals: what they were before, to compare.
        bake: returns the current images while optimising; called without gradient, at most every two seconds and for at
            most a tenth of the time, and only while a browser is there. None for a page of something finished.
        host: address or name of this machine to listen on. With the default only this machine reaches the page.
        port: the first one that is free from this one on is taken; 0 takes any.

    Attributes:
        url: where the page is.

    Raises:
        DependencyError: viser is not installed, or makes its server so that nobody could check who connects.
        OptionError: a host or port that cannot be listened on.
    """

    def __init__(
        self, title: str, parts: Sequence[IndexedPart], images: Sequence[Image.Image], *,
        originals: Sequence[Image.Image] | None = None, bake: Callable[[], Sequence[Image.Image]] | None = None,
        host: str = "127.0.0.1", port: int = 8080,
    ) -> None:  # fmt: skip
        self._viser = _import_viser()
        self._parts, self._bake = unit_parts(parts), bake
        self._controls, self._curves, self._speed = Controls(), Curves(), Speed()
        self._texture_due, self._text_due = Throttle(2.0), Throttle(0.5)
        self._last: Step | None = None
        self._baked_at = 0  # the step whose texture is shown
        self._shown = 0
        self._plots: dict[str, Any] = {}
        self._serve(host, port)
        try:
            self._build(title, originals)
            self._show(images)
            self._gate.open()
        except BaseException:
            self.close()
            raise
        log.info("live page: %s", self.url)

    def _serve(self, host: str, port: int) -> None:
        from texopt.show.live_server import serve  # which needs what viser needs

        listening = listen(host, port)
        self.url = url_of(listening)
        address, found = listening.getsockname()[:2]
        if port not in (0, found):
            log.info("port %d is in use: the live page takes another", port)
        if not is_loopback(address):
            log.warning(
                "the live page listens on %s: whoever reaches port %d there can see the model and stop the run",
                address, found,
            )  # fmt: skip
        self._server, self._gate = serve(self._viser, listening)
        self._closed = False
        atexit.register(self.close)

    def _build(self, title: str, originals: Sequence[Image.Image] | None) -> None:
        """Camera, light, and the panel."""
        scene, gui = self._server.scene, self._server.gui
        scene.set_up_direction("+y")
        scene.configure_environment_map(None)
        scene.configure_default_lights(False)
        scene.set_background_image(np.full((1, 1, 3), BACKGROUND, np.uint8), format="png")
        azimuth, elevation = math.radians(AZIMUTH), math.radians(ELEVATION)
        camera = self._server.initial_camera
        camera.look_at = (0.0, 0.0, 0.0)
        camera.position = (
            DISTANCE * math.sin(azimuth) * math.cos(elevation),
            DISTANCE * math.sin(elevation),
            DISTANCE * math.cos(azimuth) * math.cos(elevation),
        )
        camera.fov = math.radians(FIELD_OF_VIEW)
        gui.set_panel_label(title)
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.add_html(EXACT_COLORS)
        after = scene.add_frame("/after", show_axes=False)
        if originals is not None:
            before = scene.add_frame("/before", show_axes=False, visible=False)
            scene.add_glb("/before/0", unlit_glb(self._parts, originals))
            choice = gui.add_button_group("Show", ("after", "before"))

            @choice.on_click
            def _(event: Any) -> None:
                after.visible = event.target.value == "after"
                before.visible = not after.visible

        self._status = gui.add_markdown("preparing", visible=self._bake is not None)
        self._progress = gui.add_progress_bar(0.0, visible=self._bake is not None)
        self._pause = gui.add_button("Pause", visible=self._bake is not None)
        self._stop = gui.add_button("Stop and export", visible=self._bake is not None)
        self._pause.on_click(lambda _: self._controls.toggle_pause())
        self._stop.on_click(lambda _: self._controls.stop())

    def _show(self, images: Sequence[Image.Image]) -> None:
        """Replace the textures.

        Browsers show nothing of a node while they load it. So two nodes take turns: the one that is replaced lies under
        the other, which three.js draws later as its material is younger.
        """
        self._server.scene.add_glb(f"/after/{self._shown % 2}", unlit_glb(self._parts, images))
        self._shown += 1

    def _draw_curves(self) -> None:
        for name, (steps, values) in self._curves.data().items():
            if name in self._plots:
                self._plots[name].data = (steps, values)
            else:
                series = ({"label": "step"}, {"label": name, "stroke": "#2b6cb0", "width": 1.5})
                self._plots[name] = self._server.gui.add_uplot(
                    (steps, values), series, title=name, scales={"x": {"time": False}, "y": {}},
                    axes=[{"size": size, "ticks": {"show": False}} for size in (28, 56)],
                    legend={"show": False}, padding=(10, 12, 0, 0), height=110,
                )  # fmt: skip

    def _write_status(self, text: str) -> None:
        assert self._last is not None
        self._status.content = text
        self._progress.value = 100.0 * self._last.number / self._last.steps
        self._pause.label = "Resume" if self._controls.paused else "Pause"

    def _refresh(self) -> None:
        """Bring the page up to date, as far as somebody looks at it and it is due."""
        if self._last is None or not self._server.get_clients():
            return
        if self._text_due.due():
            with self._text_due.measured():
                self._write_status(status(self._last, self._speed.per_second(), self._controls.paused))
        if self._bake is not None and self._baked_at != self._last.number and self._texture_due.due():
            with self._texture_due.measured():
                with torch.no_grad():
                    images = self._bake()
                self._show(images)
                self._draw_curves()
                self._baked_at = self._last.number

    def _safely(self, update: Callable[[], None]) -> None:
        """Nothing that is done for the page ends a run: where it fails, the page is off and the run goes on."""
        if self._closed:
            return
        try:
            update()
        except Exception as error:
            reason = printable(f"{type(error).__name__}: {error}")
            log.warning("the live page is off, as it has failed; the run goes on (%s)", reason)
            self._controls.resume()
            self.close()

    @property
    def stopped(self) -> bool:
        """Whether somebody has pressed "Stop and export"."""
        return self._controls.stopped

    def on_step(self, step: Step) -> None:
        """What `optimize(on_step=...)` calls: keeps the page up to date, and waits in here while paused.

        Raises KeyboardInterrupt, which ends the run early, after "Stop and export"; nothing else.
        """

        def note() -> None:
            self._last = step
            self._curves.add(step)
            self._speed.step()
            self._refresh()

        self._safely(note)
        if self._controls.hold(lambda: self._safely(self._refresh)):
            self._speed.restart()

    def finished(self, images: Sequence[Image.Image]) -> None:
        """The run is over: show its final images, one a part."""

        def show() -> None:
            self._show(images)
            if self._last is not None:
                self._draw_curves()
                step = self._last
                early = f"stopped at step {step.number} of {step.steps}" if step.number < step.steps else ""
                self._write_status(early or f"finished, {step.steps} steps in {step.seconds:.0f} s")
            self._pause.visible = self._stop.visible = False

        self._safely(show)

    def wait(self) -> None:
        """Serve until Ctrl-C; returns at once where the page is off."""
        if self._closed:
            return
        log.info("the live page stays until Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1.0)

    def close(self) -> None:
        """End the server; browsers keep what they show. Takes up to ten seconds where one has come just before."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._gate.hurry()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # its farewell
                self._server.stop()
        except Exception as error:  # whatever it is, the page is over
            log.debug("the live page's server did not stop in order: %r", error)
        self._gate.refusals.close()
