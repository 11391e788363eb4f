"""Loads cases one after another, and says how each ended: a line of JSON before it and one after it.

`python -m corpus.worker FOLDER`, with the names of cases on stdin. It dies where a case takes SECONDS of the processor
or STUCK of the clock, with the stack on stderr, and has GIGABYTES more of address space than before the first case.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 10.0
STUCK = 1000.0  # a machine may be busy with other things
GIGABYTES = 2


class Witness:
    """What a case must not do, as Python's audit hooks see it: reach outside, the network, or other programs."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.outside = ""
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.outside:
            return
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.realpath(arguments[0])
            if path.startswith((self.outside, "/etc/host", "/dev/zero", "/proc/self/environ")):
                self.seen.append(f"opened {arguments[0]}")
        elif event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "os.system", "os.exec"):
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "subprocess.Popen" and "texopt.io.unwrapping.unwrap" not in map(str, arguments[1]):
            self.seen.append(f"started {arguments[1]}")


def entries() -> dict[str, Callable[[Path], Any]]:
    """What loads a file."""
    import texopt
    from texopt.cli.batch.jobs import read_jobs
    from texopt.cli.main import main
    from texopt.cli.options.saved import from_yaml
    from texopt.errors import TexoptError
    from texopt.features.backbones import load_backbone
    from texopt.system.images import load_image

    def mesh(path: Path) -> Any:
        loaded = texopt.load_mesh(path)
        inside = path.parent.resolve()
        assert all(file.resolve().is_relative_to(inside) for file in loaded.files), loaded.files
        return loaded

    def info(path: Path) -> None:
        out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = main(["info", str(path)])
        out.flush()
        assert "\x1b[2J" not in out.buffer.getvalue().decode()  # type: ignore[attr-defined]
        if code:
            raise TexoptError(errors.getvalue().strip())

    return {
        "mesh": mesh, "image": load_image, "info": info, "table": read_jobs,
        "config": lambda path: from_yaml("style", path), "weights": lambda path: load_backbone(weights=path),
    }  # fmt: skip


def status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(key + ":")[2].split()[0])


def run(folder: Path, names: list[str]) -> None:
    """Load the cases of these names."""
    from corpus import cases
    from texopt.errors import TexoptError

    loaders, witness = entries(), Witness()
    wanted = set(names)
    faulthandler.register(signal.SIGPROF, chain=True)  # which ends it, after the stack
    loaders["mesh"](Path(__file__).parents[2] / "meshes" / "torus_knot.obj")  # what is compiled once is compiled
    limit = status("VmSize") + GIGABYTES * 2**30
    (folder / "outside").mkdir()
    for secret in ("secret.png", "secret.mtl", "secret.bin"):
        (folder / "outside" / secret).write_bytes(b"newmtl skin\nKd 1 0 0\n" + bytes(200))
    for case in cases():
        if case.name not in wanted:
            continue
        place = folder / "in"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        path = case.make(place)
        os.chdir(place)
        print(json.dumps({"begins": case.name}), flush=True)
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmHWM")
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        faulthandler.dump_traceback_later(STUCK, exit=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        witness.seen, witness.outside = [], str(folder / "outside")
        start, message, ended = time.process_time(), "", "success"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                loaders[case.entry](path)
        except TexoptError as error:
            message, ended = str(error), "error"
        except BaseException:
            message, ended = traceback.format_exc(), "defect"
        witness.outside = ""
        seconds = time.process_time() - start
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if (place / "executed").exists():
            witness.seen.append("ran code")
        line = {
            "name": case.name, "ended": ended, "message": message, "seconds": round(seconds, 3),
            "bytes": status("VmHWM") - before, "seen": witness.seen,
        }  # fmt: skip
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.stdin.read().split("\n"))
