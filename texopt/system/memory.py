"""What memory this process has, had at most, and may come to have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Bytes of memory that it has had at most."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    if sys.platform != "linux":
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used << 10  # macOS counts bytes
    # getrusage's is that of the process which started this one, if it had more (Linux, exec_mmap)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def available() -> int:
    """Bytes that this process may come to have, those that it has among them: what the machine has left, and what
    control groups, as of containers, let it have."""
    found = [psutil.virtual_memory().available + resident()]
    for file in _control_groups():
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)


def _control_groups() -> Iterator[Path]:
    """Files with limits of memory of this process's control groups, versions 1 and 2, and of those they are in."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "" or "memory" in kinds.split(","):
            root = Path("/sys/fs/cgroup") / ("memory" if kinds else "")
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    yield folder / ("memory.limit_in_bytes" if kinds else "memory.max")
