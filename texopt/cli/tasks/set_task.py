"""texopt style of several meshes: each has its folder, and all of them one painting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from texopt.cli.options.runs import StyleConfig
from texopt.cli.options.saved import CONFIG, to_yaml
from texopt.cli.tasks.style_task import StyleTask
from texopt.errors import OptionError
from texopt.mesh.shape import Shape
from texopt.optim.result import Result
from texopt.show.history import Step
from texopt.show.video import Timelapse
from texopt.system.files import write_file


class SetTask:
    """See texopt.cli.tasks.task.Task. What cannot be is said of all meshes before any is begun."""

    shape: Shape | None = None  # is of one mesh

    def __init__(self, config: StyleConfig, device: torch.device) -> None:
        names = [file.stem for file in (config.mesh, *config.together)]
        self.folder = config.out or Path("outputs") / f"{'_'.join(names[:3])}_{config.name()}"
        self.config = replace(config, out=self.folder)
        self.tasks = [
            StyleTask(replace(config, mesh=file, together=(), out=self.folder / file.stem), device)
            for file in (config.mesh, *config.together)
        ]
        self.steps = config.steps * len(self.tasks)

    def prepare(self) -> None:
        self._check()
        first = self.tasks[0]
        for task in self.tasks:
            task.prepare(None if task is first else first.extractor)
        self.mesh, self.textures = [task.mesh for task in self.tasks], [task.textures for task in self.tasks]
        self.objective, self.views, self.descent = first.objective, first.views, first.descent
        self.extractor = first.extractor
        self.described = f"a set of {len(self.tasks)} meshes; " + "; ".join(task.described for task in self.tasks)

    def _check(self) -> None:
        config, files = self.config, [self.config.mesh, *self.config.together]
        names = [file.stem for file in files]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise OptionError(f"two meshes of the set are named {doubles[0]}, and would share a folder; rename one")
        if missing := [file for file in files if not file.is_file()]:
            raise OptionError(f"{missing[0]} does not exist; nothing was started")
        for option, given in (
            ("--live", config.live),
            ("--timelapse", config.timelapse),
            ("--mask", config.mask),
            ("--shape", config.shape),
            ("--views-from", config.views_from),
            ("--close-ups (and --preset final)", config.close_ups),
        ):
            if given:
                raise OptionError(f"{option} is for one mesh; leave it out, or style each mesh on its own")
        if config.keep_colors:
            raise OptionError("--keep-colors is of one mesh's colours; leave it out, or style each mesh on its own")

    def _configs(self) -> list[Path]:
        return [task.folder / CONFIG for task in self.tasks]

    def files(self) -> list[Path]:
        return [*(file for task in self.tasks for file in task.files()), *self._configs()]

    def watchers(self) -> list[Callable[[Step], None]]:
        return []

    def current(self) -> dict[str, dict[str, Image.Image]]:
        return {name: images for task in self.tasks for name, images in task.current().items()}

    def timelapse(self) -> Timelapse:
        return self.tasks[0].timelapse()

    def own_error(self, error: Exception) -> OptionError | None:
        return None

    def write(self, results: Sequence[Result]) -> str:
        for task, result, file in zip(self.tasks, results, self._configs(), strict=True):
            task.write([result])
            write_file(file, to_yaml("style", task.config).encode())  # for `texopt evaluate`
        return f"a folder for each of the {len(self.tasks)} meshes in {self.folder}"

    def finish(self, results: Sequence[Result]) -> None:
        return None
