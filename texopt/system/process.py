"""Settings of the whole process, of its speed and its output; the command makes them, a program that imports texopt
may."""

from __future__ import annotations

import ctypes
import io
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_ constants of mallopt(3)
_KEPT = 1 << 30  # bytes; larger blocks still go back
_SPINS = "2000"  # turns; five times as many are a tenth faster on an idle machine, and half as fast on a busy one


def tune_process() -> None:
    """Keep freed memory in the process, and let torch's idle threads sleep soon. Call it before torch is imported.

    glibc returns blocks over 128 kB to the system when they are freed, and every step then pays for having them mapped
    and zeroed again: at a 4096² texture that is two thirds of the time of a look-up with its gradient.
    GNU OpenMP's threads spin for milliseconds after each operation of torch, on the cores that drawing could use: on
    two cores that is a tenth of a step. Does nothing on systems without these libraries.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch loads it
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def open_streams() -> None:
    """Have standard output and error take any text: what their encoding lacks is written as escapes (\\xe9, \\u2501).

    Files and pipes on Windows have an encoding of 256 characters, and names of meshes any. A process without a console
    (pythonw) has no streams at all; what is said then goes nowhere.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
