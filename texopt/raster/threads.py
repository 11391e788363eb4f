"""Spread the blocks of a numba kernel over the processor's cores.

The kernels release the GIL and are handed one block of work at a time, so a pool of Python threads does what
numba's own threading layers do, without their compile time and without a second OpenMP runtime beside torch's.
What a block writes, no other block touches: the result cannot depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count

import torch


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="texopt-raster")


def for_each_block(kernel: Callable[..., None], blocks: int, *args: object) -> None:
    """Call `kernel(block, *args)` for every block in range(blocks), on torch.get_num_threads() threads.

    Each thread, the calling one among them, takes the next block that nobody has taken.
    """
    helpers = min(torch.get_num_threads(), blocks) - 1
    following = count()

    def work() -> None:
        while (block := next(following)) < blocks:
            kernel(block, *args)

    tasks = [_pool(helpers).submit(work) for _ in range(helpers)]
    work()
    for task in tasks:
        if not task.cancel():  # one that has not begun has nothing left to do
            task.result()
