"""Runs of the studio: `texopt ... --remote` in processes of their own, one at a time, the others wait."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from texopt.cli.options.saved import saved
from texopt.errors import OptionError, printable
from texopt.io.export_names import safe_name
from texopt.system.files import write_file

log = logging.getLogger("texopt")

MOST_WAITING = 20
OPTIONS = ".options.yaml"  # in a run's folder, what it is started with
MOST_POINTS = 2000  # of a curve; every other one goes where there would be more
WARNING = "warning: "  # what such lines of texopt begin with
PATIENCE = 600.0  # seconds for a run to write what it has, when the studio ends


@dataclass
class Run:
    """A run: what it is asked for, and what it has said of itself.

    values: its options; None goes on with the run in `folder`. state: waiting, starting, running, paused, stopping,
    then finished, stopped or failed. curve: steps and their losses. textures: by the names that their files will have.
    log: the last lines of what it has said to people. ending: the state that it will have when its process is gone.
    text: how it ended.
    """

    title: str
    values: dict[str, Any] | None
    folder: Path | None = None
    state: str = "waiting"
    step: int = 0
    steps: int = 0
    speed: float | None = None
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    textures: dict[str, Path] = field(default_factory=dict)
    textures_step: int = 0
    warnings: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    ending: str = ""
    text: str = ""

    @property
    def over(self) -> bool:
        return self.state in ("finished", "stopped", "failed")

    def hear(self, event: dict[str, Any]) -> None:
        """Take in what the process says; see docs/programs.md."""
        match event["event"]:
            case "begin":
                self.step, self.steps = event["step"], event["steps"]
                self.state = "running" if self.state == "starting" else self.state
            case "step":
                self.step, self.speed = event["step"], event["steps_per_second"]
                self.curve.append((event["step"], event["terms"]))
                if len(self.curve) > MOST_POINTS:
                    del self.curve[1::2]
            case "textures":
                (files,) = event["files"].values()  # of the one mesh
                self.textures = {name: Path(path) for name, path in files.items()}
                self.textures_step = event["step"]
            case "paused" if self.state in ("running", "paused"):
                self.state = "paused" if event["paused"] else "running"
            case "end":
                self.ending, self.text = "stopped" if event["interrupted"] else "finished", event["text"]
            case "error":
                self.ending = "stopped" if self.state == "stopping" else "failed"  # before there was anything to write
                self.text = event["text"]


def command_line() -> list[str]:
    """What runs texopt."""
    return [sys.executable, "-m", "texopt"]


class Jobs:
    """The runs in a folder, one at a time. Methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: Run | None = None  # the one that runs, or ran last
        self._waiting: deque[Run] = deque()
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.RLock()
        self._following: threading.Thread
        self._closed = False

    @property
    def running(self) -> Run | None:
        return self.last if self.last and not self.last.over else None

    @property
    def waiting(self) -> list[Run]:
        return list(self._waiting)

    def add(self, title: str, values: dict[str, Any]) -> Run:
        """Run `texopt style` with these options, when those before it are done."""
        return self._add(Run(title, values))

    def go_on(self, title: str, folder: Path) -> Run:
        """Go on with the run in a folder that was stopped."""
        if any(run.folder == folder for run in (self.running, *self._waiting) if run):
            raise OptionError(f"{title} goes on already")
        return self._add(Run(title, None, folder))

    def _add(self, run: Run) -> Run:
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise OptionError(f"{MOST_WAITING} runs wait already; wait for some of them, or remove them")
            self._waiting.append(run)
            self._next()
        return run

    def forget_waiting(self) -> None:
        """Remove all that wait."""
        self._waiting.clear()

    def pause(self) -> None:
        """Pause the run, or let it go on."""
        if run := self.running:
            self._say("resume" if run.state == "paused" else "pause")

    def stop(self) -> None:
        """Stop the run: what there is gets written, and it can be gone on with."""
        with self._lock:
            if (run := self.running) and run.state != "stopping":
                run.state = "stopping"
                self._say("stop")

    def close(self) -> None:
        """Stop, and wait until what there is has been written."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            process = self._process
        if process is None:
            return
        with suppress(OSError, ValueError):  # the end of what it reads tells it to stop
            process.stdin.close()  # type: ignore[union-attr]
        self._following.join(PATIENCE)
        if self._following.is_alive():
            process.kill()
            self._following.join()

    def _say(self, word: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # it has ended
            if self._process and self._process.stdin:
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()

    def _next(self) -> None:
        """Start the first that waits, if nothing runs."""
        with self._lock:
            while self._process is None and self._waiting and not self._closed:
                run = self.last = self._waiting.popleft()
                run.state = "starting"
                try:
                    self._start(run)
                except OSError as error:
                    run.state, run.text = "failed", printable(f"the run cannot be started: {error.strerror or error}")
                    self._clear(run)

    def _start(self, run: Run) -> None:
        if run.values is not None:
            run.folder = self._new_folder(run.values)
            options = run.folder / OPTIONS
            write_file(options, saved("style", run.values | {"out": str(run.folder)}).encode())
            arguments = ["style", "--config", str(options)]
        else:
            arguments = ["resume", str(run.folder)]
        process = self._process = subprocess.Popen(
            [*command_line(), *arguments, "--remote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
            errors="replace", env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            start_new_session=True,  # Ctrl-C reaches the studio alone, which stops its run in its own way;
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # this is how Windows has it
        )  # fmt: skip
        said = threading.Thread(target=self._read_log, args=(run, process.stderr), daemon=True)
        self._following = threading.Thread(target=self._follow, args=(run, process, said), daemon=True)
        said.start()
        self._following.start()

    def _new_folder(self, values: dict[str, Any]) -> Path:
        """A folder that is named after what is in it, as the command's is, and that was not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [Path(values["mesh"]).stem, *(Path(path).stem for path in values["style"][:3])]
        name, number = "_".join(map(safe_name, names)), 1
        while True:
            folder = self.folder / (name if number == 1 else f"{name}_{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1

    def _read_log(self, run: Run, stream: IO[str]) -> None:
        for line in filter(str.strip, stream):
            run.log = [*run.log[-20:], line.strip()]
            if line.startswith(WARNING):
                run.warnings.append(line.removeprefix(WARNING).strip())

    def _follow(self, run: Run, process: subprocess.Popen[str], said: threading.Thread) -> None:
        """Take in what the process says until it ends; then comes the next."""
        with process:
            for line in process.stdout or ():
                try:
                    run.hear(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    log.warning("the run says what the studio does not understand: %s", printable(line[:200].rstrip()))
            code = process.wait()
            said.join()
        with self._lock:
            run.state = run.ending or "failed"
            if not run.ending:
                run.text = f"the run ended by itself (code {code}): {run.log[-1] if run.log else 'it said nothing'}"
            self._clear(run)
            self._process = None
            self._next()

    def _clear(self, run: Run) -> None:
        """Remove what a run leaves that has written nothing."""
        run.textures = {}
        if run.folder and run.values is not None:
            with suppress(OSError):
                (run.folder / OPTIONS).unlink()
                run.folder.rmdir()
