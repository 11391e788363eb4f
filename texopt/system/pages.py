"""Large images in little memory."""

from __future__ import annotations

import ctypes
import math
import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor


def empty_zeros(*shape: int, read: bool = True) -> Tensor:
    """float32 zeros on the CPU, of which only the pages that are written to take memory.

    read: False for what is only read where it is written: then those that are read take memory too, but the first
    writing to a page takes half as long.

    np.zeros asks for huge pages, so that a single number takes 2 MB; torch.zeros writes all of them itself.
    """
    size = 4 * math.prod(shape)
    if not size:
        return torch.zeros(shape)
    # a shared page is made when it is read; a private one is a page of zeros then, and made when it is written
    private = [mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS] if read and hasattr(mmap, "MAP_PRIVATE") else []
    pages = mmap.mmap(-1, size, *private)
    with suppress(AttributeError, OSError):  # systems that have none
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.from_numpy(np.frombuffer(pages, np.float32).reshape(shape))


def give_back() -> None:
    """Give the system back what is no longer used: glibc keeps freed blocks of up to 32 MB for later ones."""
    with suppress(AttributeError, OSError, TypeError):  # other C libraries, other systems
        ctypes.CDLL(None).malloc_trim(0)


def bands(height: int, width: int, texels: int = 1 << 20) -> list[slice]:
    """Rows of an image, about so many texels at a time."""
    step = max(texels // width, 1)
    return [slice(start, min(start + step, height)) for start in range(0, height, step)]
