"""Remote: what a run tells the program that started it, and what that program asks of it. See docs/programs.md."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from texopt.errors import TexoptError
from texopt.show.live_state import Controls, Speed, Throttle
from texopt.system.signals import interrupt, stoppable

if TYPE_CHECKING:
    from PIL import Image

    from texopt.show.history import Step

    Textures = Mapping[str, Mapping[str, Image.Image]]  # of a mesh, by the file that the result will have

FOLDER = ".remote"  # within the run's, for textures that change
KEPT = 2  # versions of them
SECONDS = 2.0  # between them, at least
LONGEST = 64  # bytes of a line that is read; the rest of it is none of a command
STEPS = 0.2  # seconds between steps that are told


class Remote:
    """Tells events as lines of JSON, and does what lines of a file descriptor ask: pause, resume, stop.

    The end of what is read means stop: whoever started this process is gone. A stop before the first step raises
    KeyboardInterrupt in the main thread, as Ctrl-C does; within the loop `on_step` raises it; after it nothing is left
    to stop.

    Args:
        events: where they are written, a line each.
        commands: file descriptor that is read, from `listen` on.
    """

    def __init__(self, events: TextIO, commands: int) -> None:
        self._events, self._lock = events, threading.Lock()
        self._controls, self._speed = Controls(), Speed()
        self._step_due, self._textures_due = Throttle(STEPS), Throttle(SECONDS)
        self._phase = "before"  # the loop
        self._untold: Step | None = None
        self._told_of_pause = False
        self._versions: list[list[Path]] = []
        self._commands = commands

    def listen(self) -> None:
        """Begin to do what is asked, in a thread."""
        threading.Thread(target=self._listen, args=(self._commands,), daemon=True).start()

    def tell(self, event: str, **values: Any) -> None:
        """Write an event. That nobody reads it any more ends nothing by itself."""
        with self._lock, suppress(OSError, ValueError):
            self._events.write(json.dumps({"event": event, **values}) + "\n")
            self._events.flush()

    @contextmanager
    def loop(self, folder: Path, step: int, steps: int, textures: Callable[[], Textures]) -> Iterator[None]:
        """Around the steps. folder: of the run. step: how many are done already. textures: as they are now."""
        self._folder, self._textures = folder.resolve(), textures
        self._files = self._folder / FOLDER
        self._forget_files()
        self._phase = "within"
        self.tell("begin", folder=str(self._folder), step=step, steps=steps)
        try:
            yield
        finally:
            self._phase = "after"
            if self._untold is not None:
                self._tell_step(self._untold)
            self._forget_files()

    def on_step(self, step: Step) -> None:
        """What `optimize(on_step=...)` calls. Waits while paused; raises KeyboardInterrupt once stopped."""
        self._speed.step()
        self._untold = step
        if self._step_due.due():
            with self._step_due.measured():
                self._tell_step(step)
        if self._textures_due.due():
            with self._textures_due.measured():
                self._tell_textures(step)
        if self._controls.hold(self._tell_of_pause):
            self._told_of_pause = False
            self.tell("paused", paused=False)
            self._speed.restart()

    def end(self, text: str, interrupted: bool, files: list[Path]) -> None:
        """Tell of the results that have been written."""
        there = [str(path.resolve()) for path in files if path.exists()]
        self.tell("end", text=text, interrupted=interrupted, folder=str(self._folder), files=there)

    def lost(self) -> str:
        """What a stop at this time means, in a line."""
        if self._phase == "after":
            return f"stopped before the results were written; `texopt resume {self._folder}` goes on with the run"
        return "stopped before there was a result"

    def _tell_of_pause(self) -> None:
        if not self._told_of_pause:
            self._told_of_pause = True
            self.tell("paused", paused=True)

    def _tell_step(self, step: Step) -> None:
        terms = {name: value for name, value in step.terms.items() if math.isfinite(value)}
        self._untold = None
        self.tell("step", step=step.number, steps=step.steps, terms=terms, steps_per_second=self._speed.per_second())

    def _tell_textures(self, step: Step) -> None:
        """Write the textures as they are now. Where that fails, the run goes on, and the next time is another try."""
        told: dict[str, dict[str, str]] = {}
        written: list[Path] = []
        with suppress(OSError):
            self._files.mkdir(parents=True, exist_ok=True)
            for mesh, images in self._textures().items():
                told[mesh] = {}
                for name, image in images.items():
                    path = self._files / f"{step.number}_{len(written)}.png"
                    image.save(path, compress_level=1)
                    written.append(path)
                    told[mesh][name] = str(path)
            if written:
                self.tell("textures", step=step.number, files=told)
        self._versions.append(written)
        for path in self._versions.pop(0) if len(self._versions) > KEPT else []:
            with suppress(OSError):
                path.unlink()

    def _forget_files(self) -> None:
        if self._files.is_symlink():
            self._files.unlink(missing_ok=True)
        shutil.rmtree(self._files, ignore_errors=True)

    def _listen(self, commands: int) -> None:
        rest = b""
        while True:
            try:
                read = os.read(commands, 4096)
            except OSError:
                read = b""
            *lines, rest = (rest + read).split(b"\n")
            rest = rest[:LONGEST]
            for line in lines:
                self._obey(line.strip())
            if not read:
                self._obey(b"stop")
                return

    def _obey(self, command: bytes) -> None:
        if command == b"stop":
            self._controls.stop()
            if self._phase == "before":
                interrupt()
        elif command in (b"pause", b"resume") and self._controls.paused != (command == b"pause"):
            self._controls.toggle_pause()


@contextmanager
def on_standard_streams() -> Iterator[Remote]:
    """Standard output is for events alone, and what people are told goes to standard error. Errors are events, too."""
    remote = Remote(sys.stdout, 0)
    with redirect_stdout(sys.stderr), stoppable():  # also where Ctrl-C is ignored, as in a background job
        try:
            remote.listen()
            yield remote
        except TexoptError as error:
            remote.tell("error", text=str(error))
            raise
        except KeyboardInterrupt:
            remote.tell("error", text=remote.lost())
            raise
        except SystemExit as error:
            if error.code:
                remote.tell("error", text="these options do not exist; standard error has the reason")
            raise
        except Exception as error:
            remote.tell("error", text=f"texopt has failed: {type(error).__name__}: {error}")
            raise
