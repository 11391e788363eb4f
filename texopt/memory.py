"""Memory that is taken when it is written to."""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor


def empty_zeros(*shape: int) -> Tensor:
    """float32 zeros on the CPU, of which only the pages that are written to take memory.

    np.zeros asks for huge pages, so that a single number takes 2 MB; torch.zeros writes all of them itself.
    """
    size = 4 * math.prod(shape)
    if not size:
        return torch.zeros(shape)
    pages = mmap.mmap(-1, size)
    with suppress(AttributeError, OSError):  # systems that have none
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.from_numpy(np.frombuffer(pages, np.float32).reshape(shape))
