"""The folders of a batch's jobs. One that is there is whole: a job works beside it and is renamed in the end."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from texopt.cli.batch.jobs import Job
from texopt.cli.input_files import changed
from texopt.cli.job_files import INPUTS, OPTIONS
from texopt.cli.options.saved import CONFIG, saved
from texopt.errors import OutputError, TexoptError
from texopt.system.files import write_file

RECORD, LOG, FAILED = "job.json", "log.txt", "failed"


@dataclass(frozen=True)
class Record:
    """What a job's folder was made from: job.json. inputs: as texopt.cli.input_files.states."""

    command: str
    options: dict[str, Any]
    inputs: dict[str, Any]
    seconds: float
    attempts: int


def check_free(out: Path, jobs: Sequence[Job]) -> None:
    """OutputError where a job would replace a folder that no batch has written."""
    for job in jobs:
        folder = out / job.name
        if os.path.lexists(folder) and not (folder / RECORD).is_file():
            raise OutputError(f"{folder} is there and not from a batch; choose another --out, or give the job a name")


def partial(out: Path, job: Job) -> Path:
    """Where a job works."""
    return out / f".{job.name}.partial"


def _replaced(out: Path, job: Job) -> Path:
    """Where the folder of an earlier run is while the new one takes its place."""
    return out / f".{job.name}.old"


def prepare(folder: Path, job: Job) -> None:
    """Make the folder that a job works in, with what its process reads."""
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)  # of an attempt that was stopped
    write_file(folder / OPTIONS, saved(job.command, job.values).encode())
    write_file(folder / INPUTS, json.dumps({"mesh": job.values["mesh"], "named": job.inputs}).encode())


def recorded(out: Path, job: Job) -> Record | None:
    """The record of a job that is done: with these options, from files that are as they were. None where it is not."""
    try:
        record = Record(**json.loads((out / job.name / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    same = (record.command, record.options) == (job.command, json.loads(json.dumps(job.options)))
    return record if same and not changed(record.inputs) else None


def complete(folder: Path, job: Job) -> bool:
    """Whether a job's run has taken its last step and written all of its files, however its process ended then."""
    return (folder / CONFIG).is_file() and last_losses(folder).get("step", 0) >= job.values["steps"]


def settle(out: Path, job: Job, seconds: float, attempts: int) -> bool:
    """Give a job that has ended its folder. False where it is not complete. OSError, OutputError."""
    from texopt.system.yaml import read_yaml

    work, folder, old = partial(out, job), out / job.name, _replaced(out, job)
    if not complete(work, job):
        return False
    inputs = json.loads((work / INPUTS).read_text(encoding="utf-8"))
    values = read_yaml(work / CONFIG, str(work / CONFIG)) | {"out": str(folder.resolve())}
    write_file(work / CONFIG, saved(job.command, values).encode())
    record = Record(job.command, job.options, inputs, round(seconds, 2), attempts)
    write_file(work / RECORD, json.dumps(asdict(record), indent=1).encode())
    for name in (INPUTS, OPTIONS):
        (work / name).unlink()
    _remove(old)
    with suppress(FileNotFoundError):
        folder.rename(old)
    work.rename(folder)
    _remove(old)
    _failed_log(out, job).unlink(missing_ok=True)
    return True


def settle_stopped(out: Path, job: Job, attempts: int) -> bool:
    """settle for a job of a batch that is stopped, or cannot go on: with the time that its steps took."""
    try:
        return settle(out, job, last_losses(partial(out, job)).get("seconds", 0.0), attempts)
    except (OSError, TexoptError):
        return False


def _failed_log(out: Path, job: Job) -> Path:
    return out / FAILED / f"{job.name}.txt"


def discard(out: Path, job: Job) -> None:
    """Remove what a job was working on."""
    _remove(partial(out, job))


def _remove(folder: Path) -> None:
    """Remove a folder, if it is there; of a link the link alone."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def fail(out: Path, job: Job, code: int) -> str:
    """Keep the log of a job that failed, in failed/, and nothing else. Returns why it did, in a line."""
    log = partial(out, job) / LOG
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
        _failed_log(out, job).parent.mkdir(exist_ok=True)
        log.replace(_failed_log(out, job))
    except OSError:
        text = ""
    discard(out, job)
    return _reason(text, code)


def _reason(log: str, code: int) -> str:
    if code < 0:
        name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
        return f"killed by {name}" + ("; often there is not enough memory" if name == "SIGKILL" else "")
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line.removeprefix("texopt: ") for line in lines if line.startswith("texopt: ")]
    return (told or lines or [f"ended with exit code {code}"])[-1]


def last_losses(folder: Path) -> dict[str, float]:
    """Of history.csv the last step, seconds, and the last known value of every term; nothing where there is none."""
    last: dict[str, float] = {}
    try:
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                values = {name: float(value) for name, value in row.items()}
                last |= {name: value for name, value in values.items() if not math.isnan(value)}
        return last
    except (OSError, ValueError, TypeError):
        return {}


def tidy(out: Path, jobs: Sequence[Job]) -> None:
    """Remove what a batch left of these jobs that was ended without a chance to."""
    for job in jobs:
        discard(out, job)
        _remove(_replaced(out, job))
    with suppress(OSError):  # there are logs in it
        (out / FAILED).rmdir()
