"""What a live page keeps of a run: its curves, its speed, and what the buttons ask for. No server is needed for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from texopt.show.history import Step

Clock = Callable[[], float]  # seconds


class Controls:
    """Pause and stop: flags that any thread sets, and that the optimising one looks at in `hold`."""

    def __init__(self) -> None:
        self._running = threading.Event()
        self._running.set()
        self._stopping = False

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    @property
    def stopped(self) -> bool:
        return self._stopping

    def toggle_pause(self) -> None:
        if self.paused:
            self._running.set()
        else:
            self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def stop(self) -> None:
        """The next `hold`, or the one that waits, raises KeyboardInterrupt."""
        self._stopping = True
        self._running.set()

    def hold(self, idle: Callable[[], None]) -> bool:
        """Return at once while running. While paused, wait and call `idle` about five times a second.

        Returns whether it waited. Raises KeyboardInterrupt once stopped: what Ctrl-C does, which ends a wait too.
        """
        waited = False
        while self.paused and not self._stopping:
            waited = True
            idle()
            self._running.wait(0.2)  # without a limit, Ctrl-C would not end it on Windows
        if self._stopping:
            raise KeyboardInterrupt
        return waited


class Throttle:
    """Lets something costly happen at most every `seconds`, and take at most a tenth of the time."""

    def __init__(self, seconds: float, clock: Clock = time.perf_counter) -> None:
        self._seconds, self._clock = seconds, clock
        self._next = float("-inf")

    def due(self) -> bool:
        return self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the costly thing."""
        start = self._clock()
        yield
        end = self._clock()
        self._next = max(start + self._seconds, end + 9 * (end - start))


class Curves:
    """Every named term over the steps, thinned out evenly so that at most `2 * points` are kept."""

    def __init__(self, points: int = 500) -> None:
        self._points, self._stride = points, 1
        self._steps: list[int] = []
        self._terms: dict[str, list[float]] = {}

    def add(self, step: Step) -> None:
        if not self._terms:
            self._terms = {name: [] for name in step.terms}
        if (step.number - 1) % self._stride:
            return
        self._steps.append(step.number)
        for name, values in self._terms.items():
            values.append(step.terms[name])
        if len(self._steps) > 2 * self._points:
            self._stride *= 2
            del self._steps[1::2]
            for values in self._terms.values():
                del values[1::2]

    def data(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Name of a term -> (steps, values) where there are some, both float64 [N]."""
        steps, known = np.array(self._steps, np.float64), {}
        for name, kept in self._terms.items():
            values = np.array(kept, np.float64)
            known[name] = steps[np.isfinite(values)], values[np.isfinite(values)]
        return known


class Speed:
    """Steps a second over the last steps; the time of a pause does not count."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=20)

    def step(self) -> None:
        self._ends.append(self._clock())

    def restart(self) -> None:
        """Forget what came before a pause."""
        self._ends.clear()
        self._ends.append(self._clock())

    def per_second(self) -> float | None:
        """None until two steps are known."""
        if len(self._ends) < 2 or self._ends[-1] <= self._ends[0]:
            return None
        return (len(self._ends) - 1) / (self._ends[-1] - self._ends[0])


def status(step: Step, rate: float | None, paused: bool = False) -> str:
    """Where the run is: "step 12 of 300 · 3.4 steps/s · 1:25 left"."""
    text = f"step {step.number} of {step.steps}"
    if paused:
        return text + " · paused"
    if rate is not None:
        left = round((step.steps - step.number) / rate)
        hours, minutes = left // 3600, left // 60 % 60
        clock = f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"
        text += f" · {rate:.1f} steps/s · {clock} left"
    return text
