"""Jobs as tasks on a Ray cluster. Every node reads the inputs by their paths; results come back through Ray."""

from __future__ import annotations

import io
import logging
import os
import socket
import tempfile
import time
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from texopt.cli.batch.folders import LOG, complete, discard, partial
from texopt.cli.batch.jobs import Job
from texopt.cli.batch.local import GRACE, POLL, launch, stop
from texopt.cli.batch.schedule import Ended
from texopt.errors import DependencyError, OptionError

log = logging.getLogger("texopt")

CPUS = 2  # of a job
WORKER_DEATHS = 3  # that Ray starts a task again after, on its own
AHEAD = 2  # tasks that are submitted, in those that run: the next ones start without a round trip to here
REFRESH = 5.0  # seconds that the cluster's size is taken to stay
LOST = 1  # exit code of a job whose worker is gone for good


def _work(job: Job, threads: int, device: str) -> tuple[int, float, bytes]:
    """What a node does: (exit code, seconds, a zip of what the job wrote; of its log alone if it is not complete)."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="texopt-batch-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        process = launch(job, folder, threads, device)
        try:
            while (code := process.poll()) is None:
                time.sleep(POLL)  # where Ray can interrupt it
        finally:
            stop([process])
        return code, time.monotonic() - started, packed(folder, "*" if complete(folder, job) else LOG)


def packed(folder: Path, pattern: str) -> bytes:
    """A zip of the files in a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # not compressed: pictures are
        for path in sorted(folder.rglob(pattern)):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def connect(address: str) -> Any:
    """The module ray, connected. DependencyError where it is not installed or there is no cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would tell its makers
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray

            _check_listens(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except ImportError:
        raise DependencyError("Ray is not installed; pip install 'texopt[ray]'") from None
    except Exception as error:  # of many kinds: no cluster, no answer, another version of Ray or Python, no permission
        reason = str(error).strip().split("\n")[0]
        raise DependencyError(
            f"there is no way to Ray at {address!r} ({reason}); check the address and RAY_AUTH_MODE, or take local"
        ) from None
    return ray


def _check_listens(address: str) -> None:
    """OSError where nothing does, at once: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


class Cluster:
    """As many jobs at once as the cluster has processors (and accelerators) for.

    Args:
        address: of the cluster: auto, local (one on this machine, for as long as this), HOST:PORT, ray://HOST:PORT.
        cpus: cores of a job that does not set its threads; it gets as many threads.
        gpus: accelerators of a job, also a share of one.
        limit: jobs at once at most; None for no limit.

    DependencyError without Ray or a cluster.
    """

    def __init__(
        self, out: Path, address: str, cpus: int | None = None, gpus: float = 0.0, limit: int | None = None
    ) -> None:
        self.out, self.cpus, self.gpus, self.limit = out, cpus or CPUS, gpus, limit
        self.ray = connect(address)
        self.task = self.ray.remote(_work)
        self.tasks: dict[Any, Job] = {}
        self.capacity, self.counted = 0, 0.0
        if not self._fitting():
            log.warning(
                "no node of the cluster has %d CPUs and %g GPUs; jobs wait for one, or take fewer --cpus or --gpus",
                self.cpus, self.gpus,
            )  # fmt: skip

    def _fitting(self) -> int:
        """How many jobs the cluster takes at once."""
        if time.monotonic() - self.counted > REFRESH:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            shares = [
                (node.get("CPU", 0) / self.cpus, node.get("GPU", 0) / self.gpus if self.gpus else None)
                for node in nodes
            ]
            self.capacity = sum(int(cpu if gpu is None else min(cpu, gpu)) for cpu, gpu in shares)
            self.counted = time.monotonic()
        return self.capacity

    @property
    def running(self) -> int:
        return len(self.tasks)

    @property
    def busy(self) -> int:
        return min(len(self.tasks), self._fitting())

    def has_room(self) -> bool:
        room = AHEAD * max(self._fitting(), 1)
        return len(self.tasks) < (room if self.limit is None else min(room, self.limit))

    def start(self, job: Job) -> None:
        cpus = job.values["threads"] or self.cpus
        device = "auto" if self.gpus else "cpu"  # not that of others, where Ray hides none
        options = {"num_cpus": cpus, "num_gpus": self.gpus, "max_retries": WORKER_DEATHS, "name": job.name}
        self.tasks[self.task.options(**options).remote(job, cpus, device)] = job

    def wait(self) -> list[Ended]:
        ready, _ = self.ray.wait(list(self.tasks), num_returns=1, timeout=0.5)  # one: results are large
        return [self._take(reference, self.tasks.pop(reference)) for reference in ready]

    def _take(self, reference: Any, job: Job) -> Ended:
        """Bring a result here."""
        discard(self.out, job)
        folder = partial(self.out, job)
        folder.mkdir()
        try:
            code, seconds, archive = self.ray.get(reference)
            with zipfile.ZipFile(io.BytesIO(archive)) as files:
                files.extractall(folder)
        except self.ray.exceptions.RayError as error:
            (folder / LOG).write_text(f"{error}\n", encoding="utf-8")
            code, seconds = LOST, 0.0
        return Ended(job, code, seconds)

    def close(self) -> None:
        tasks = list(self.tasks)
        with suppress(Exception):  # of a cluster that is gone
            for force in (False, True):  # asked first, so that nothing is left on the nodes
                for task in tasks:
                    self.ray.cancel(task, force=force)
                if tasks:
                    _, tasks = self.ray.wait(tasks, num_returns=len(tasks), timeout=2 * GRACE, fetch_local=False)
        self.tasks.clear()
        self.ray.shutdown()


def check_resources(cpus: int | None, gpus: float) -> None:
    """OptionError for resources that no job can have."""
    if cpus is not None and cpus < 1:
        raise OptionError(f"cpus has to be 1 or more, not {cpus}")
    if not 0 <= gpus < 1000:
        raise OptionError(f"gpus has to be 0 or more, not {gpus}")
