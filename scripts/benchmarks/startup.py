"""`texopt style` by part: what is between the command and the first step, and between the last step and the end."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

CALLS = (  # (module, function or Class.method, part); what a version has not got is a part of the rest
    ("texopt.cli.tasks.mesh_task", "load_backbone", "network"),
    ("texopt.cli.tasks.mesh_task", "load", "mesh"),
    ("texopt.cli.tasks.style_task", "style_starts", "starts"),
    ("texopt.optim.result", "reached_texels", "texels that are seen"),
    ("texopt.optim.result", "loss_plot", "loss.png"),
    ("texopt.optim.result", "contact_sheet", "preview.png"),
    ("texopt.optim.result", "Result.viewer", "viewer.html"),
    ("texopt.optim.result", "export", "model and textures"),
)
IMPORTS = (
    "torch", "texopt.cli.main", "texopt.cli.options.runs", "texopt.cli.commands.running",
    "texopt.cli.tasks.style_task",
)  # fmt: skip
FIRST, STEPS, END = "from the command to the end of the first step", "the other steps", "from the last step to the end"
WHOLE = "whole"


def bare() -> dict[str, float]:
    """T: seconds of `python -c "import torch"`, the least of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        times.append(time.perf_counter() - started)
    return {"T": min(times)}


def _found(module: str, name: str) -> tuple[Any, str] | None:
    owner: Any = importlib.import_module(module)
    *classes, attribute = name.split(".")
    for one in classes:
        owner = getattr(owner, one, None)
    return (owner, attribute) if hasattr(owner, attribute) else None


@contextmanager
def _timed(seconds: Counter[str]) -> Iterator[None]:
    """Adds what CALLS take to `seconds`, with what they call."""

    def call(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                seconds[part] += time.perf_counter() - started

        return timed

    with ExitStack() as undo:
        for module, name, part in CALLS:
            if found := _found(module, name):
                owner, attribute = found
                undo.enter_context(mock.patch.object(owner, attribute, call(part, getattr(owner, attribute))))
        yield


def startup(started: float, arguments: list[str]) -> dict[str, float]:
    """Seconds of `texopt style ARGUMENTS`, by part. started: when the process was asked for, as of time.time()."""
    begun = time.time()
    for name in IMPORTS:
        importlib.import_module(name)
    seconds = Counter({"Python": begun - started, "imports": time.time() - begun})
    from texopt.cli.main import main
    from texopt.optim.adam import Adam

    step, stepped = Adam.step, list[float]()

    def noted(*args: Any, **options: Any) -> Any:
        found = step(*args, **options)
        stepped.append(time.time())
        return found

    with _timed(seconds), mock.patch.object(Adam, "step", noted):
        if main(["style", *arguments]):
            sys.exit(1)
    ended = time.time()
    first = {"Python", "imports", "network", "mesh", "starts"}

    def parts(which: Callable[[str], bool]) -> dict[str, float]:
        return {f"  {name}": value for name, value in seconds.items() if which(name)}

    return {
        FIRST: stepped[0] - started, **parts(lambda name: name in first), STEPS: stepped[-1] - stepped[0],
        END: ended - stepped[-1], **parts(lambda name: name not in first), WHOLE: ended - started,
    }  # fmt: skip
