"""Descent: how a run steps down the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from texopt.errors import OptionError
from texopt.optim import optimizers, schedules
from texopt.optim.clipping import check_clip
from texopt.optim.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How the textures are stepped, as `optimize` takes it.

    Attributes:
        learning_rate: at its highest, as of Adam: about how far values move in a step; above 0 and below 100. Other
            optimisers take a rate of their own for it, see texopt.optim.optimizers.
        optimizer: "adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", or "lbfgs", which looks at the
            views of a step about five times, and is for views that stay the same: images as a whole.
        schedule: of the learning rate: "warmup-cosine", "constant", "linear", "exponential", "staircase", a function
            (step, steps) -> factor, or "auto": warmup-cosine, but constant for lbfgs.
        clip: the most that the norm of all gradients may be; by default it may be anything.

    OptionError where one of them is outside of what it can be.
    """

    learning_rate: float = 0.05
    optimizer: str = "adam"
    schedule: str | Schedule = "auto"
    clip: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 100:
            raise OptionError(f"learning_rate has to be above 0 and below 100, not {self.learning_rate}")
        optimizers.check(self.optimizer)
        check_clip(self.clip)
        schedules.find(self.named_schedule)

    @property
    def named_schedule(self) -> str | Schedule:
        """The schedule, where "auto" is the optimiser's."""
        return optimizers.KINDS[self.optimizer].schedule if self.schedule == "auto" else self.schedule

    def factor(self, step: int, steps: int, coarse: int) -> float:
        """Of the learning rate in a step, from 0 on. Views of the full size have a schedule of their own, and the
        `coarse` steps before them the first half of one."""
        schedule = schedules.find(self.named_schedule)
        return schedule(step, 2 * coarse) if step < coarse else schedule(step - coarse, steps - coarse)
