"""Keep freed memory in the process: a run allocates the same large buffers again every step.

glibc returns blocks over 128 kB to the system when they are freed, and every step then pays for having them mapped and
zeroed again: at a 4096² texture that is two thirds of the time of a look-up with its gradient.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_ constants of mallopt(3)
_KEPT = 1 << 30  # bytes; larger blocks still go back


def keep_freed_memory() -> None:
    """Tell glibc's allocator to reuse large blocks, for the whole process. Does nothing on other systems."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)
