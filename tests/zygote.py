"""A process that has imported texopt and forks one for each command that it is told, so that none waits for imports.

A line of JSON in: {"arguments": [...], "until": a file or "", "after": seconds, "signals": [numbers], "between":
seconds}: after that time those signals are sent to the command, so far apart. If there is a file, it is that of the
checkpoint: the time begins when the first one is written, and the command waits there for a signal. A line out:
{"code": as of subprocess, "seconds": ..., "said": what it said}.
It computes nothing itself: threads do not survive a fork.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
from typing import Any


def command(arguments: list[str], until: str, said: int) -> int:
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.setsid()
    from texopt.cli.main import main

    if until:
        hold()
    return main(arguments)


def hold() -> None:
    """Have the command wait after its first checkpoint, for a signal to interrupt it."""
    from texopt.optim.checkpoint import Checkpoint

    write, waited = Checkpoint.write, False

    def written(self: Checkpoint, state: Any) -> None:
        nonlocal waited
        first, waited = not waited, True
        write(self, state)
        while first:  # one long sleep would not end by a signal that comes just before it
            time.sleep(0.01)

    Checkpoint.write = written  # type: ignore[method-assign]


def ended(child: int) -> bool:
    return bool(os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))


def run(arguments: list[str], until: str, after: float, signals: list[int], between: float) -> dict[str, Any]:
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        child = os.fork()
        if not child:
            code = 70
            try:
                code = command(arguments, until, said.fileno())
            finally:
                sys.stdout.flush()
                os._exit(code)
        while until and not os.path.exists(until) and not ended(child):
            time.sleep(0.001)
        time.sleep(after)
        for number in signals:
            os.kill(child, number)
            time.sleep(between)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.perf_counter() - start,
            "said": said.read().decode(errors="replace"),
        }


def main() -> None:
    from texopt.system.process import tune_process

    tune_process()
    for name in (
        "texopt.cli.tasks.style_task",
        "texopt.cli.commands.running",
        "texopt.show.loss_plot",
        "rich.progress",
        "texopt.show.viewer",
        "yaml",
    ):
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and what it starts
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
