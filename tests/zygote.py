"""A process that has imported texopt and forks one for each command that it is told, so that none waits for imports.

A line of JSON in: {"arguments": [...], "until": a file or "", "after": seconds, "signals": [numbers]}: when the file is
there, and that time has passed, those signals are sent to the command, a moment apart. A line out: {"code": as of
subprocess, "seconds": ..., "said": what it said}.
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

MOMENT = 0.05  # seconds between signals
PATIENCE = 60.0


def command(arguments: list[str], said: int) -> int:
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.setsid()
    from texopt.cli import main

    return main(arguments)


def run(arguments: list[str], until: str, after: float, signals: list[int]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        child = os.fork()
        if not child:
            code = 70
            try:
                code = command(arguments, said.fileno())
            finally:
                sys.stdout.flush()
                os._exit(code)
        while until and not os.path.exists(until) and time.perf_counter() - start < PATIENCE:
            time.sleep(0.001)
        time.sleep(after)
        for number in signals:
            os.kill(child, number)
            time.sleep(MOMENT)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.perf_counter() - start,
            "said": said.read().decode(errors="replace"),
        }


def main() -> None:
    from texopt.process import tune_process

    tune_process()
    importlib.import_module("texopt.features.backbones")._torchvision()  # which timm needs, and may not load as it is
    for name in (
        "texopt.commands.optimization",
        "texopt.commands.running",
        "timm",
        "matplotlib.figure",
        "rich.progress",
        "texopt.viewer",
        "yaml",
    ):
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
