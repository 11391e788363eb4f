"""Tasks in processes of their own: with another checkout's texopt, on several ranks, with memory of their own.

`measure` is the parent's side. The child's is `python -m benchmarks.worker TASK OPTIONS` in the checkout's folder: it
prints JSON in its last line.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

SCRIPTS = Path(__file__).parent.parent
TASKS = {
    "step": "steps", "profile": "steps", "rank": "steps",
    "drawing": "drawing", "growth": "drawing", "files": "drawing", "parts": "drawing", "first_call": "drawing",
    "startup": "startup", "bare": "startup",
}  # fmt: skip
WHOLE = ("startup",)  # tasks that are the whole process, with its start
LONGEST = 900  # seconds of a task


def run(task: str, tree: Path, ranks: int, options: Mapping[str, Any]) -> dict[str, float] | str:
    """What a task measures with the texopt of a checkout, and its resident memory as "GB"; or why it cannot."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", "benchmarks.worker", task]
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    command.append(json.dumps({"started": time.time(), **options}))  # started: for tasks that time their own process
    try:
        child = subprocess.run(
            command, cwd=tree, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return f"not done after {LONGEST} s"
    if child.returncode:
        errors = [line for line in child.stderr.splitlines() if "Error" in line] or child.stderr.splitlines()
        return errors[-1].strip() if errors else f"ended with {child.returncode}"
    found: dict[str, float] = json.loads(child.stdout.strip().splitlines()[-1])
    return found


def measure(
    task: str, trees: Mapping[str, Path], rounds: int, ranks: int = 1, **options: Any
) -> dict[str, dict[str, float]]:
    """Medians over rounds, by checkout; in each round every checkout has its turn. Those that cannot are left out."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in trees}
    for _ in range(rounds):
        for side in list(found):
            result = run(task, trees[side], ranks, options)
            if isinstance(result, str):
                told = ", ".join(str(value) for value in options.values() if "/" not in str(value))
                print(f"{side}: no {task} {told}: {result[:160]}", file=sys.stderr)
                del found[side]
            else:
                found[side].append(result)
    return {
        side: {name: median(result[name] for result in results) for name in results[0]}
        for side, results in found.items()
    }


def main() -> None:
    task, options = sys.argv[1], json.loads(sys.argv[2])
    from texopt.system.process import tune_process

    tune_process()  # as `texopt style` does, before torch is there
    if task in WHOLE:
        found = getattr(importlib.import_module(f"benchmarks.{TASKS[task]}"), task)(**options)
    else:
        import torch

        del options["started"]
        if threads := options.pop("threads", None):
            torch.set_num_threads(threads)
        found = getattr(importlib.import_module(f"benchmarks.{TASKS[task]}"), task)(**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if os.environ.get("RANK", "0") == "0":
        print("\n" + json.dumps(found | {"GB": peak / 1e9}))


if __name__ == "__main__":
    main()
