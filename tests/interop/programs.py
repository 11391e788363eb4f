"""The programs that exports are for: where they are, and what happens where they are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "build" / "interop" / "node_modules"
COMPLETE = "TEXOPT_INTEROP"  # scripts/test-interop sets it: what it was to install has to be there


def need(*things: str | Path, optional: bool = False) -> None:
    """Skip the test where a program, or a folder of MODULES, is missing; fail it where it had to be installed."""
    for thing in things:
        if thing.exists() if isinstance(thing, Path) else shutil.which(thing) is not None:
            continue
        name = thing.name if isinstance(thing, Path) else thing
        if COMPLETE in os.environ and not optional:
            pytest.fail(f"{name} is not installed: scripts/test-interop could not install it, see above", pytrace=False)
        pytest.skip(f"{name} is not installed; scripts/test-interop installs it")


def run(*command: str | Path, seconds: float = 900, cwd: Path | None = None) -> str:
    """Run a program to its end and return what it says, on both streams. It has to succeed."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, cwd=cwd
    )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{text[-3000:]}"
    return text
