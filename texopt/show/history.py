"""The history of a run: what is reported of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
