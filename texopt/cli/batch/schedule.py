"""Work jobs off: start them where there is room, again where they crash, and say how each went."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from texopt.cli.batch import folders
from texopt.cli.batch.jobs import Job
from texopt.errors import DependencyError, OutputError

log = logging.getLogger("texopt")

USER_ERROR = 2  # exit code of what would happen again


@dataclass(frozen=True)
class Ended:
    """A job's process has ended; what it wrote is in folders.partial."""

    job: Job
    code: int  # of its exit; -N for a signal
    seconds: float


class Backend(Protocol):
    """Where jobs run."""

    @property
    def running(self) -> int:
        """Jobs that were started and have not ended."""

    @property
    def busy(self) -> int:
        """Those of them that do not wait for room."""

    def has_room(self) -> bool:
        """Whether one more can be started."""

    def start(self, job: Job) -> None:
        """Start a job, without waiting for anything."""

    def wait(self) -> list[Ended]:
        """Jobs that have ended; after less than a second, if none has."""

    def close(self) -> None:
        """Stop all that is running; nothing of it is left when this returns."""


@dataclass(frozen=True)
class Outcome:
    """How a job went. error: the line that says why it failed; "" if it is done."""

    job: Job
    seconds: float  # of the last attempt
    attempts: int
    error: str = ""


def work_off(out: Path, jobs: Sequence[Job], backend: Backend, retries: int) -> Generator[Outcome | None]:
    """Run all jobs; an Outcome for each when it has ended for good, None while none has. Closing it stops them all.

    retries: how often a job that crashes is started again, after all others that wait.

    OutputError where files cannot be written, DependencyError where a cluster goes away.
    """
    waiting, attempts = deque(jobs), dict.fromkeys((job.name for job in jobs), 0)
    started: dict[str, Job] = {}
    try:
        while waiting or backend.running:
            while waiting and backend.has_room():
                job = waiting.popleft()
                started[job.name] = job
                attempts[job.name] += 1
                backend.start(job)
            yield None
            for ended in backend.wait():
                job, tries = ended.job, attempts[ended.job.name]
                whole = folders.settle(out, job, ended.seconds, tries)
                if whole and ended.code:
                    log.warning(
                        "%s is complete, though its process ended with exit code %d; %s has what it said", job.name,
                        ended.code, out / job.name / folders.LOG,
                    )  # fmt: skip
                if not whole and ended.code != USER_ERROR and tries <= retries:
                    waiting.append(job)
                    continue
                error = "" if whole else folders.fail(out, job, ended.code)
                del started[job.name]
                yield Outcome(job, ended.seconds, tries, error)
    except ConnectionError as error:
        raise DependencyError(f"the cluster is gone ({error}); run the same command again when it is back") from None
    except OSError as error:
        raise OutputError(f"the batch cannot go on in {out}: {error}; mend it and run the same command again") from None
    finally:
        backend.close()
        for job in started.values():
            if not folders.settle_stopped(out, job, attempts[job.name]):
                folders.discard(out, job)
