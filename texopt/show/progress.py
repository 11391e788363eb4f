"""ProgressBar: how far a run is, on the terminal or in a notebook."""

from __future__ import annotations

import math
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from texopt.show.history import Step


class ProgressBar:
    """Shows the steps that are done, the speed, the time left and every term of the objective.

        texopt.optimize(mesh, texture, objective, on_step=texopt.ProgressBar())

    It appears with the first step and is done with the last one. As a context manager it appears at once, and is done
    at its end however that comes.

    Args:
        steps: of the run, where it shall appear before the first one.
        console: of rich; by default the terminal, or the notebook that this runs in.
        shown: False for none.
    """

    def __init__(self, steps: int | None = None, console: Console | None = None, shown: bool = True) -> None:
        whole = Column(no_wrap=True)  # where the terminal is narrow, the terms take a second line
        columns = (
            MofNCompleteColumn(table_column=whole), BarColumn(bar_width=16, table_column=whole),
            TextColumn("{task.fields[speed]}", table_column=whole), TimeRemainingColumn(table_column=whole),
            TextColumn("left  {task.fields[terms]}", table_column=Column()),
        )  # fmt: skip
        self._bar = Progress(*columns, console=console, refresh_per_second=4, disable=not shown)
        self._row = self._bar.add_task("", total=steps, speed="", terms="preparing")
        self._shown, self._terms = shown, dict[str, float]()

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, step: Step) -> None:
        """Show a step that is done."""
        if not self._shown:
            return
        self._bar.start()
        self._terms |= {name: value for name, value in step.terms.items() if not math.isnan(value) and name != "loss"}
        terms = "  ".join(f"{name} {value:.3f}" for name, value in self._terms.items())
        speed = f"{step.number / step.seconds:.1f} steps/s"
        self._bar.update(self._row, total=step.steps, completed=step.number, speed=speed, terms=terms)
        if step.number == step.steps:
            self._bar.stop()
