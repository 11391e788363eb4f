"""`texopt style`: the style of a painting, or of several, for a mesh."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator

from texopt.cli.options.runs import StyleConfig
from texopt.cli.style_recipe import check_style, style_objective, style_starts, toward
from texopt.cli.tasks.mesh_task import MeshTask, check_start, partly_lit, with_seams
from texopt.cli.tasks.task import descent_of
from texopt.objectives import Objective
from texopt.optim.descent import Descent
from texopt.texture.image import Start


class StyleTask(MeshTask):
    """See texopt.cli.tasks.task.Task."""

    config: StyleConfig

    def check(self) -> None:
        check_start(self.config.texture, self.config.start)
        self.paintings = check_style(self.config)

    def make_objective(self) -> Objective:
        goal = style_objective(self.config, self.mesh, self.paintings)
        return partly_lit(self.config, with_seams(goal, self.config.seam_weight, self.config.texture))

    def make_descent(self) -> Descent:
        return descent_of(self.config, toward(self.config))

    def starts(self, generator: Generator) -> Sequence[Start]:
        return style_starts(self.config, self.mesh, self.paintings, self.sizes, self.originals, generator)
