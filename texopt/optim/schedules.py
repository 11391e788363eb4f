"""How the learning rate changes in the course of a run: functions (step, steps) -> factor, step from 0 on."""

from __future__ import annotations

import math
from collections.abc import Callable

from texopt.errors import OptionError

Schedule = Callable[[int, int], float]

LAST = 0.01  # of the learning rate, at the end of an exponential decay
TENFOLD = 3  # steps down of a decay by steps


def warmup_cosine(step: int, steps: int) -> float:
    """Up over the first tenth steps, then down along a cosine to a tenth."""
    warm = min(1.0, (step + 1) / min(10, steps))
    return warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def constant(step: int, steps: int) -> float:
    """The same in all steps."""
    return 1.0


def linear(step: int, steps: int) -> float:
    """Down along a line, which would be at 0 after the last step."""
    return 1.0 - step / steps


def exponential(step: int, steps: int) -> float:
    """Down by the same factor in every step, to a hundredth."""
    return math.exp(math.log(LAST) * step / steps)


def staircase(step: int, steps: int) -> float:
    """In three equal parts of the run: the whole, a tenth, a hundredth."""
    return 0.1 ** (step * TENFOLD // steps)


SCHEDULES: dict[str, Schedule] = {
    "warmup-cosine": warmup_cosine, "constant": constant, "linear": linear, "exponential": exponential,
    "staircase": staircase,
}  # fmt: skip


def find(schedule: str | Schedule) -> Schedule:
    """A schedule by its name, or a function of your own, whose factors are looked at. OptionError for others."""
    if callable(schedule):
        return _checked(schedule)
    if schedule not in SCHEDULES:
        raise OptionError(f"schedule has to be one of auto, {', '.join(SCHEDULES)}, or a function, not {schedule!r}")
    return SCHEDULES[schedule]


def name_of(schedule: str | Schedule) -> str:
    """What a checkpoint knows it by."""
    return schedule if isinstance(schedule, str) else f"function {getattr(schedule, '__qualname__', schedule)}"


def _checked(schedule: Schedule) -> Schedule:
    def factor(step: int, steps: int) -> float:
        value = float(schedule(step, steps))
        if not 0 <= value < math.inf:
            raise OptionError(f"the schedule's factor of step {step} has to be 0 or more, not {value}")
        return value

    return factor
