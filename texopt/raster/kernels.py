"""What the numba kernels of this package share: how they are compiled, indexed and spread over the cores.

The kernels release the GIL and are handed one block of work at a time, so a pool of Python threads does what
numba's own threading layers do, without their compile time and without a second OpenMP runtime beside torch's.
What a block writes, no other block touches, and how sums are divided depends on the problem alone: the result
cannot depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.runtime.nrt import rtsys


def _forget_stale() -> None:
    """Remove compiled kernels that are older than any source file here. numba looks at a kernel's own file only, but
    kernels have functions of other files in them."""
    folder = Path(__file__).parent
    newest = max(path.stat().st_mtime for path in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # another process may be doing the same
            if index.stat().st_mtime < newest:
                index.unlink()


_forget_stale()


def _load(cache, signature, target):
    """What an earlier process has compiled for a signature, or None.

    numba's own `load_overload` sets up all that compiling needs first, which takes a third of the time from a command
    to its first step. A kernel that is loaded needs numba's runtime alone, and compiling sets up the rest by itself.
    """
    rtsys.initialize(target)
    with cache._guard_against_spurious_io_errors():
        return cache._load_overload(signature, target)


def kernel(function):
    """Compile a function that is called from Python, or load what an earlier process has compiled."""
    compiled = njit(nogil=True, cache=True, error_model="numpy")(function)
    if isinstance(compiled, Dispatcher):  # or it is the function itself, with NUMBA_DISABLE_JIT
        compiled._cache.load_overload = partial(_load, compiled._cache)
    return compiled


called = njit(nogil=True, error_model="numpy")  # called by kernels
inlined = njit(nogil=True, error_model="numpy", forceinline=True)  # a part of kernels, put in its place by LLVM
expanded = njit(nogil=True, error_model="numpy", inline="always")  # the same by numba: constants reach its loops


def is_cached(compiled: Any) -> bool:
    """Whether an earlier process has compiled a kernel, so that this one only loads it."""
    if not isinstance(compiled, Dispatcher):  # with NUMBA_DISABLE_JIT
        return True
    folder, name = Path(str(compiled.stats.cache_path)), compiled.py_func.__name__
    return any(folder.glob(f"*.{name}-*.nbi"))


@inlined
def at(index):
    """An index that is known not to be negative: numba then leaves out the handling of negative ones."""
    return np.uintp(index)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="texopt-raster")


def for_each_block(work: Callable[..., None], blocks: int, *args: object) -> None:
    """Call `work(block, *args)` for every block in range(blocks), on torch.get_num_threads() threads.

    Each thread, the calling one among them, takes the next block that nobody has taken.
    """
    helpers = min(torch.get_num_threads(), blocks) - 1
    following = count()

    def take() -> None:
        while (block := next(following)) < blocks:
            work(block, *args)

    tasks = [_pool(helpers).submit(take) for _ in range(helpers)]
    take()
    for task in tasks:
        if not task.cancel():  # one that has not begun has nothing left to do
            task.result()


def zero_parts(pixels: int, shape: tuple[int, ...]) -> np.ndarray:
    """float64 [parts,*shape] of zeros, for a sum over pixels that is made in parts: more where pixels outnumber it."""
    parts = min(max(pixels // (4 * int(np.prod(shape)) + 1), 1), 16)
    return np.zeros((parts, *shape))
