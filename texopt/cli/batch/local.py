"""Jobs in processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from texopt.cli.batch.folders import LOG, partial, prepare
from texopt.cli.batch.jobs import Job
from texopt.cli.batch.schedule import Ended

GRACE = 5.0  # seconds to end in, after SIGTERM
POLL = 0.1  # seconds


def command_line(command: str, folder: Path, options: Sequence[str]) -> list[str]:
    """What runs one job."""
    return [sys.executable, "-m", "texopt.cli.batch_job", command, str(folder), *options]


def launch(job: Job, folder: Path, threads: int | None, device: str = "auto") -> subprocess.Popen[bytes]:
    """Start a job's process in a folder that this makes. Its output goes to log.txt there.

    threads, device: of a job that does not choose them itself; None is as many as there are.
    """
    prepare(folder, job)
    options = ["--threads", str(threads)] if threads and job.values["threads"] is None else []
    options += ["--device", device] if job.values["device"] == "auto" else []
    (folder / LOG).unlink(missing_ok=True)
    with (folder / LOG).open("xb") as log:  # a new file, whatever its name led to
        return subprocess.Popen(
            command_line(job.command, folder, options), stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},  # which logs are read as
            start_new_session=True,  # Ctrl-C reaches the batch alone, which ends its jobs in its own way;
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # this is how Windows has it
        )  # fmt: skip


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes and their children: asked first, then not. Returns when they are gone."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        _signal(process, "SIGTERM")
    deadline = time.monotonic() + GRACE
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal(process, "SIGKILL")
        process.wait()


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    """Send a signal to a process and its children, or end it where there are no signals."""
    if os.name != "posix":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):  # they are gone; macOS says so by the second
        os.killpg(process.pid, getattr(signal, name))


class Local:
    """So many jobs at once, each with its share of the processor's threads.

    threads: of each job that does not set its own; None leaves it to torch, one a core.
    """

    def __init__(self, out: Path, workers: int, threads: int | None) -> None:
        self.out, self.workers, self.threads = out, workers, threads
        self._running: dict[str, tuple[Job, subprocess.Popen[bytes], float]] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def busy(self) -> int:
        return len(self._running)

    def has_room(self) -> bool:
        return len(self._running) < self.workers

    def start(self, job: Job) -> None:
        started = time.monotonic()
        self._running[job.name] = job, launch(job, partial(self.out, job), self.threads), started

    def wait(self) -> list[Ended]:
        ended = []
        for name, (job, process, started) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                if process.stdin:
                    process.stdin.close()
                del self._running[name]
                ended.append(Ended(job, code, time.monotonic() - started))
        if not ended:
            time.sleep(POLL)
        return ended

    def close(self) -> None:
        stop(process for _, process, _ in self._running.values())
        for _, process, _ in self._running.values():
            if process.stdin:
                process.stdin.close()
        self._running.clear()
