"""texopt batch: read the table, leave out what is done, run the rest, report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from texopt.cli.batch.cluster import Cluster, check_resources
from texopt.cli.batch.folders import FAILED, check_free, recorded, tidy
from texopt.cli.batch.jobs import Job, read_jobs
from texopt.cli.batch.local import Local
from texopt.cli.batch.report import DONE, NOT_RUN, Report
from texopt.cli.batch.schedule import Backend, Outcome, work_off
from texopt.cli.options.tools import BatchConfig
from texopt.errors import OptionError
from texopt.system.files import claimed
from texopt.system.signals import stoppable

log = logging.getLogger("texopt")

OFTEN = 10.0  # seconds between reports while jobs run


class _Line(Progress):
    """A line on a terminal; elsewhere a line for each job that ends."""

    def __init__(self, total: int, done: int) -> None:
        columns = MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[text]}", markup=False)
        console = Console(stderr=True)
        super().__init__(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal)
        self.row, self.before, self.started = self.add_task("", total=total, completed=done, text=""), done, time.time()

    def show(self, report: Report, backend: Backend) -> None:
        ended = report.count(DONE) + report.count(FAILED)
        rate = (ended - self.before) / max(time.time() - self.started, 1e-6)
        todo = report.count(NOT_RUN)
        left = f", about {_duration(todo / rate)} left" if rate and todo else ""
        failed = f", {report.count(FAILED)} failed" if report.count(FAILED) else ""
        self.update(self.row, completed=ended, text=f"{backend.busy} running{failed}{left}")

    def told(self, outcome: Outcome) -> None:
        if self.disable:
            log.info(
                "%s: %s", outcome.job.name, f"failed: {outcome.error}" if outcome.error else f"{outcome.seconds:.0f} s"
            )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _backend(config: BatchConfig, out: Path) -> Backend:
    if config.ray:
        return Cluster(out, config.ray, config.cpus, config.gpus, config.workers)
    workers = config.workers or 1
    return Local(out, workers, max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None)


def run(config: BatchConfig) -> int:
    """Run a table of jobs. Returns the exit code: 0 if all are done, 1 if some failed. KeyboardInterrupt if stopped."""
    started = time.perf_counter()
    if config.workers is not None and config.workers < 1:
        raise OptionError(f"workers has to be 1 or more, not {config.workers}")
    if config.retries < 0:
        raise OptionError(f"retries has to be 0 or more, not {config.retries}")
    check_resources(config.cpus, config.gpus)
    if not config.ray and (config.cpus is not None or config.gpus):
        raise OptionError("cpus and gpus are of a cluster (--ray); on this machine take --workers")
    out = config.out or Path("outputs") / config.jobs.stem
    jobs = read_jobs(config.jobs, config.set)
    with claimed(out):
        check_free(out, jobs)
        tidy(out, jobs)
        report = Report(out, jobs)
        for job in jobs:
            if record := recorded(out, job):
                report.found(job, record)
        todo = [job for job in jobs if report.rows[job.name].status != DONE]
        skipped = f", {len(jobs) - len(todo)} of them done before" if len(todo) < len(jobs) else ""
        log.info("%s: %d jobs%s", config.jobs, len(jobs), skipped)
        backend = _backend(config, out) if todo else None
        try:
            if backend:
                _run(config, out, todo, backend, report)
        finally:
            for job in todo:
                if report.rows[job.name].status == NOT_RUN and (record := recorded(out, job)):
                    report.found(job, record)  # it was complete when the batch was stopped
            tidy(out, jobs)
            report.write()
            report.print_failures()
            print(f"{out / 'report.html'}: {report.summary()}, in {_duration(time.perf_counter() - started)}")
            if report.count(NOT_RUN):
                log.info("the same command goes on where this stopped")
    return 1 if report.count(FAILED) else 0


def _run(config: BatchConfig, out: Path, todo: Sequence[Job], backend: Backend, report: Report) -> None:
    with stoppable(), _Line(len(report.rows), len(report.rows) - len(todo)) as line:
        written = time.monotonic()
        with closing(work_off(out, todo, backend, config.retries)) as outcomes:
            for outcome in outcomes:
                if outcome:
                    report.ended(outcome)
                    line.told(outcome)
                line.show(report, backend)
                if outcome and time.monotonic() - written > OFTEN:  # to be looked at meanwhile
                    report.write()
                    written = time.monotonic()
