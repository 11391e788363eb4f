"""The history of a run: what is reported of each step, and how its losses went."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from texopt.objectives.view import View

Ending = Literal["finished", "stopped", "diverged", "rank lost"]  # of a run


@dataclass(frozen=True)
class Step:
    """What the loop reports after a step. terms: every named term before weighting, NaN where it does not judge the
    step's views, and their weighted sum `loss`. view: what the objective saw, before the step was taken and without
    gradients; only in what `on_step` is given, so that a history holds no images."""

    number: int  # 1 is the first
    steps: int
    seconds: float  # since the start
    terms: Mapping[str, float] = field(default_factory=dict)
    view: View | None = field(default=None, repr=False, compare=False)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A moving average [N] with a Hann window a tenth as long, over what there is of it: at the ends, beside NaN."""
    half, there = len(values) // 20, np.isfinite(values)
    window = np.hanning(2 * half + 3)[1:-1]
    with np.errstate(invalid="ignore"):
        return np.convolve(np.where(there, values, 0), window, "same") / np.convolve(there, window, "same")


def loss_plot(history: list[Step]) -> bytes:
    """A PNG with a panel for every named term over the steps, before weighting, and one for their weighted sum.

    As it was, and smoothed. A single term is shown without its sum.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(history[0].terms) if history else []
    if len(names) == 2:
        names.remove("loss")
    columns = 3 if names and len(names) % 3 == 0 else min(max(len(names), 1), 2)
    rows = max(-(-len(names) // columns), 1)
    steps = [step.number for step in history]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 0.4 + 1.9 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
        for axes, name in zip(grid, names, strict=False):
            values = np.array([step.terms[name] for step in history])
            smooth, color = _smooth(values), "0.25" if name == "loss" else "C0"
            known = np.isfinite(values)
            axes.plot(np.array(steps)[known], values[known], color=color, alpha=0.3, linewidth=0.8)
            axes.plot(steps, smooth, color=color, linewidth=1.6, marker="o" if len(steps) == 1 else "")
            axes.set_title("weighted sum" if name == "loss" else name, loc="left", fontsize=10)
            axes.set_title(f"{smooth[-1]:.3g}", loc="right", fontsize=10, color=color)
            if np.nanmin(values, initial=np.inf) > 0:
                axes.set_ylim(bottom=0)
        for axes in grid:
            axes.grid(alpha=0.25)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=14 // columns, steps=[1, 2, 5, 10]))
        for axes in grid[max(len(names) - columns, 0) : len(names)]:  # nothing is below these
            axes.tick_params(labelbottom=True)
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel("step", fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
