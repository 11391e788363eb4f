# SPDX-License-Identifier: GPL-3.0-or-later
"""texopt in a process of its own, followed by what `--remote` makes it say: a JSON object a line."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from .command import UserError

Event = dict[str, Any]
KEPT = 50  # lines of what it logs
GRACE = 5.0  # seconds that a killed process may take


def start(command: Sequence[str], **streams: Any) -> subprocess.Popen:
    """A process without a window of its own. UserError where there is no such program."""
    flags = subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0
    try:
        return subprocess.Popen(command, creationflags=flags, **streams)
    except OSError as error:
        raise UserError(
            f"{command[0]} cannot be started ({error.strerror}); correct the command in texopt's preferences"
        ) from None


class Remote:
    """A run of texopt. Its events are the protocol's, and at the very end {"event": "exit", "code", "text"}.

    The text of the last is what went wrong, in a line, or empty. `folder`: where the process works.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        pipe = subprocess.PIPE
        self._process = start(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=KEPT)
        self._box: list[str] = []  # what it says in a box, which is of options that cannot be
        self._ended = False  # by an event that says how
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True).start()

    def events(self) -> Iterable[Event]:
        """What has come since the last time."""
        while True:
            try:
                yield self._events.get_nowait()
            except queue.Empty:
                return

    def send(self, word: str) -> None:
        """pause, resume or stop. A process that is gone is told nothing; its exit comes as an event."""
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, whatever it has done. One that it has started itself ends with its standard input."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)

    def _listen(self, stream: IO[bytes]) -> None:
        boxed = False
        with stream:
            for line in stream:
                raw = line.decode(errors="replace").strip()
                text = raw.strip(" │╭╮╰╯─")
                if raw.startswith(("╭", "╰")):
                    boxed = raw.startswith("╭")
                elif text:
                    (self._box if boxed else self._log).append(text)

    def _follow(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if isinstance(event, dict) and isinstance(event.get("event"), str):
                    self._ended |= event["event"] in ("end", "error")
                    self._events.put(event)
                elif line.strip():
                    self._log.append(line.decode(errors="replace").strip())
        code = self._process.wait()
        self._listener.join(GRACE)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        said = self._ended and not self._box
        self._events.put({"event": "exit", "code": code, "text": "" if said else self._explained(code)})

    def _explained(self, code: int) -> str:
        log = list(self._log)
        if self._box:
            if "--remote" in self._box[0]:
                return "this texopt is too old, it has no --remote; press Install in texopt's preferences to update it"
            return f"{self._box[0]}; correct the further options"
        if any("No module named texopt" in line or "No module named 'texopt'" in line for line in log):
            return f"texopt is not installed in {self._process.args[0]}; choose another command in its preferences"
        last = log[-1] if log else "it said nothing"
        return f"texopt ended before its time (code {code}): {last}"
