"""`texopt feature`: what excites a channel, or looks like a class, on a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Generator

from texopt.cli.options.runs import FeatureConfig
from texopt.cli.tasks.mesh_task import MeshTask, check_start, partly_lit, with_seams
from texopt.evaluation import classified_share
from texopt.features.backbones import class_index
from texopt.objectives import Objective, change, transparent
from texopt.objectives.targets import TAKEN, parse_target
from texopt.optim.result import Result
from texopt.render.transforms import robust
from texopt.texture import Texture, TransparentTexture
from texopt.texture.image import Start


class FeatureTask(MeshTask):
    """See texopt.cli.tasks.task.Task."""

    config: FeatureConfig
    transform = staticmethod(robust())

    def check(self) -> None:
        check_start(self.config.texture, self.config.start)
        parse_target(self.config.target)

    def make_objective(self) -> Objective:
        goal = parse_target(self.config.target)
        goal = transparent(goal) if self.config.transparent else goal
        goal = goal + self.config.change * change() if self.config.change else goal
        return partly_lit(self.config, with_seams(goal, self.config.seam_weight, self.config.texture))

    def starts(self, generator: Generator) -> Sequence[Start]:
        return self.originals() if self.config.start == "original" else super().starts(generator)

    def make_textures(self, generator: Generator) -> list[Texture]:
        textures = super().make_textures(generator)
        if not self.config.transparent:
            return textures
        opacity: Sequence[Any] = self.networks(generator) if self.config.texture == "cppn" else self.sizes
        return [TransparentTexture(texture, alpha) for texture, alpha in zip(textures, opacity, strict=True)]

    def report(self, result: Result) -> None:
        if self.config.target.startswith(f"{TAKEN}:"):
            name = self.config.target.partition(":")[2]
            share = classified_share(result.textured(), class_index(name), backbone=self.extractor)
            print(f"taken for {name} in {share:.0%} of 100 new views")
