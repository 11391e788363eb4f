"""Several processes that work as one, started by torchrun: each draws a part of a step's views.

Every process (a rank) holds the whole texture and takes the same steps: the gradients of all ranks are averaged, and
what an objective averages over views (Gram matrices, the values of its terms) is averaged over those of all ranks. N
ranks of one view so give what one of N views gives, up to rounding. In a process that is alone all this does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError, RankError


def ranks() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; rank 0 alone writes."""
    return dist.get_rank() if ranks() > 1 else 0


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_device(name: str) -> str:
    """The device of this process: "auto" and "cuda" are the graphics card of its number on this machine."""
    if launched() and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return name


def local_threads() -> int:
    """Processor threads for this process, where several share the machine."""
    return max((os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Work together with the other processes that torchrun has started; alone where it has started none.

    RankError where they cannot be reached.
    """
    if not launched():
        yield
        return
    own_card = device.type == "cuda" and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= torch.cuda.device_count()
    # NCCL refuses ranks that share a card
    _call(dist.init_process_group, "cpu:gloo,cuda:nccl" if own_card else "cpu:gloo,cuda:gloo")
    try:
        yield
        with suppress(RankError):  # one that has gone; the others leave together, as gloo aborts where one is early
            _call(dist.barrier)
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _call(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise RankError(f"another rank has died or cannot be reached ({reason}); start the run again") from None


def own(total: int) -> slice:
    """Of the views of a step those that this rank draws; OptionError where they cannot be divided evenly."""
    count = ranks()
    if total % count:
        near = -(-total // count) * count
        raise OptionError(f"{total} views a step cannot be divided over {count} ranks; take --views-per-step {near}")
    return slice(rank() * total // count, (rank() + 1) * total // count)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # type: ignore[override]
        total = values.clone()
        _call(dist.all_reduce, total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * ranks()  # as gradients to the texture are averaged, not summed


def summed(values: Tensor) -> Tensor:
    """The sum of what all ranks have, with the gradient to this rank's part."""
    return values if ranks() == 1 else _Summed.apply(values)  # type: ignore[no-any-return]


def averaged(values: Tensor) -> Tensor:
    """The mean of what all ranks have, without gradient."""
    return values if ranks() == 1 else _Summed.apply(values.detach()) / ranks()


def _average_sparse(grad: Tensor) -> Tensor:
    """The rows of all ranks; those of one place are added up in the order of ranks."""
    index, rows = grad._indices()[0], grad._values()
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(ranks())]
    _call(dist.all_gather, counts, torch.tensor([len(index)]))
    lengths = [int(count) for count in counts]
    more = max(lengths) - len(index)  # all have to be of one length
    index, rows = F.pad(index, (0, more)), F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, more)) / ranks()
    indices, values = ([torch.empty_like(one) for _ in range(ranks())] for one in (index, rows))
    _call(dist.all_gather, indices, index)
    _call(dist.all_gather, values, rows)
    places, found = (
        torch.cat([one[:length] for one, length in zip(each, lengths, strict=True)]) for each in (indices, values)
    )
    return torch.sparse_coo_tensor(places[None], found, grad.shape, check_invariants=False).coalesce()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give every parameter the mean of its gradients in all ranks. Those that have none in any stay without."""
    if ranks() == 1:
        return
    all_parameters = list(parameters)
    kinds = torch.tensor([0 if one.grad is None else 2 if one.grad.is_sparse else 1 for one in all_parameters])
    _call(dist.all_reduce, kinds, dist.ReduceOp.MAX)
    dense: list[Tensor] = []
    for parameter, kind in zip(all_parameters, kinds.tolist(), strict=True):
        if kind == 2:
            none = torch.sparse_coo_tensor(
                torch.zeros(1, 0, dtype=torch.int64), parameter.new_zeros(0, *parameter.shape[1:]), parameter.shape,
                check_invariants=False,
            )  # fmt: skip
            parameter.grad = _average_sparse(none if parameter.grad is None else parameter.grad)
        elif kind == 1:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            dense.append(parameter.grad)
    if dense:
        flat = torch.cat([grad.flatten() for grad in dense])
        _call(dist.all_reduce, flat)
        flat /= ranks()
        for grad, part in zip(dense, flat.split([grad.numel() for grad in dense]), strict=True):
            grad.copy_(part.reshape(grad.shape))


class Stop:
    """Whether the ranks are to stop. A signal (Ctrl-C; torchrun's, when another rank has died) reaches each at a moment
    of its own, and none may stop while others wait for it: so signals set a flag, and `agreed` asks all for theirs.

    Signals stay taken until the process ends, as the result is still to be written then.
    """

    def __init__(self) -> None:
        self.asked = False
        if ranks() > 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: Any) -> None:
        self.asked = True

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; every rank has to call it."""
        if ranks() == 1:
            return False
        asked = torch.tensor([self.asked], dtype=torch.int32)
        _call(dist.all_reduce, asked)
        return bool(asked > 0)
