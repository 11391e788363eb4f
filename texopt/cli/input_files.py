"""The files that a run reads, and whether they are as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def states(paths: Iterable[Path]) -> dict[str, list[int | str]]:
    """[size in bytes, time of change in ns, SHA-256] of files, by absolute path. Those that are gone are left out."""
    found: dict[str, list[int | str]] = {}
    for path in sorted({path.resolve() for path in paths}):
        if path.is_file():
            about = path.stat()
            found[str(path)] = [about.st_size, about.st_mtime_ns, digest(path)]
    return found


def changed(states: Mapping[str, Sequence[Any]]) -> list[str]:
    """Those of the files that are no longer what `states` gave."""
    return [path for path, state in states.items() if not _unchanged(Path(path), *state)]


def _unchanged(path: Path, size: int, time: int, content: str) -> bool:
    """Whether a file is as it was: the time tells quickly, and where it is another (a copy, a checkout) the content."""
    try:
        about = path.stat()
        return about.st_size == size and (about.st_mtime_ns == time or digest(path) == content)
    except OSError:
        return False
