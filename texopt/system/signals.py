"""Signals that ask a process to stop, as Ctrl-C does."""

from __future__ import annotations

import _thread
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, kill, a terminal that is closed
ASKED = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@contextmanager
def stoppable() -> Iterator[None]:
    """Have them all raise KeyboardInterrupt, also in background jobs and below Ray, which take some of them away."""

    def interrupt(number: int, _frame: Any) -> None:
        if number == getattr(signal, "SIGHUP", None):
            _let_go_of_the_terminal()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in ASKED if not _ignored(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt() -> None:
    """Do in the main thread what Ctrl-C does, from any thread."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # wakes it where it waits, too
    else:
        _thread.interrupt_main()


def _ignored(number: int) -> bool:
    """Whether it was asked to be ignored, as nohup asks."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN


def _let_go_of_the_terminal() -> None:
    """Write to nowhere: what is written to a terminal that is gone raises errors."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # isatty() no longer knows
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
