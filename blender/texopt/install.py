# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing texopt into a virtual environment, in the background."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from .command import UserError, python_of
from .remote import start


class Install:
    """Makes the environment where there is none, then installs or updates texopt in it.

    text: what it is doing, as pip says it. error: what went wrong, in a line. done: nothing more happens.
    """

    def __init__(self, python: str, environment: Path, source: str) -> None:
        self.text, self.error, self.done = "making an environment", "", False
        self._stages = []
        if not python_of(environment).is_file():
            self._stages.append([python, "-m", "venv", "--clear", str(environment)])
        pip = ["-m", "pip", "install", "--upgrade", "--no-input", "--disable-pip-version-check"]
        self._stages.append([str(python_of(environment)), *pip, "--progress-bar", "off", source])
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._cancelled = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            for stage in self._stages:
                self._follow(stage)
        except UserError as error:
            self.error = str(error)
        self.done = True

    def _follow(self, command: list[str]) -> None:
        self._process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if self._cancelled:
            self._process.kill()
        last = ""
        with self._process.stdout as stream:
            for line in stream:
                text = line.decode(errors="replace").strip()
                if text:
                    self.text = text[:100]
                    last = text if text.startswith("ERROR") or not last.startswith("ERROR") else last
        if self._process.wait() != 0:
            what = "was cancelled" if self._cancelled else f"did not work: {last[:200]}"
            raise UserError(f"installing texopt {what}")
