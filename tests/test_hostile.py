"""Whatever a file holds, texopt ends in a TexoptError of one line or in success, soon and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import cases
from corpus.worker import GIGABYTES, SECONDS

WORKERS = 2
TESTS = Path(__file__).parent
CASES = {case.name: case for case in cases()}


def ended(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """How the cases of these names end; a worker that dies is followed by another one."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "OMP_NUM_THREADS": "1"}
    for number in range(len(names)):
        place = folder / str(number)
        place.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-m", "corpus.worker", place], input="\n".join(names), capture_output=True, text=True,
            env=environment, check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        yield from (line for line in lines if "name" in line)
        if done.returncode == 0:
            return
        assert lines, done.stderr
        assert "begins" in lines[-1], done.stderr
        last = lines[-1]["begins"]
        yield {"name": last, "ended": "defect", "message": done.stderr[-3000:] or f"exit code {done.returncode}"}
        names = names[names.index(last) + 1 :]
        if not names:
            return
