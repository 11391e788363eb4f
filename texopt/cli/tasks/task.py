"""Task: what a command optimises, and what it makes of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from texopt.cli.options.loop import LoopConfig
from texopt.cli.options.pictures import PictureConfig
from texopt.cli.options.runs import RunConfig
from texopt.errors import OptionError
from texopt.features.extractor import FeatureExtractor
from texopt.mesh.shape import Shape
from texopt.objectives import Objective
from texopt.optim.descent import Descent
from texopt.optim.loop import check_run
from texopt.optim.result import Result
from texopt.optim.views import Views
from texopt.show.history import Step
from texopt.show.video import Timelapse


class Task(Protocol):
    """What a command optimises, and what it makes of the result. `prepare` has to be called before anything else.

    config: the options, with what follows from them and the inputs filled in. folder: of the results. mesh: a Mesh, or
    a list of them. textures: of a mesh, one a map; of several meshes, such a list for each. shape: of the mesh, if that
    is optimised. described: the run, in a line.
    """

    folder: Path
    mesh: Any
    textures: Any
    objective: Objective
    views: Views
    descent: Descent
    shape: Shape | None
    extractor: FeatureExtractor
    steps: int
    described: str

    @property
    def config(self) -> LoopConfig: ...

    def prepare(self) -> None:
        """Read the inputs and make what is optimised. TexoptError for what cannot be."""

    def files(self) -> list[Path]:
        """All files that `write` writes, but for copies of those that the mesh's own materials name."""

    def watchers(self) -> list[Callable[[Step], None]]:
        """What looks at every step. Called when the folder is there."""

    def current(self) -> dict[str, dict[str, Image.Image]]:
        """The textures as they are now: of each mesh, by the name of the file that the result will have for each.
        Nothing for images, which are no textures of a mesh."""

    def timelapse(self) -> Timelapse:
        """A video of the run."""

    def own_error(self, error: Exception) -> OptionError | None:
        """What an error within the run says to the user, if it is the user's."""

    def write(self, results: Sequence[Result]) -> str:
        """Write the results, one a mesh; what there is, in a few words."""

    def finish(self, results: Sequence[Result]) -> None:
        """After all of it."""


def check_options(config: RunConfig | PictureConfig) -> None:
    """OptionError for options of a loop that cannot be."""
    check_run(config.steps, config.seed)
    Views(size=config.view_size, per_step=config.views_per_step, coarse=config.coarse)  # says what cannot be
    descent_of(config)


def descent_of(config: LoopConfig, share: float = 1.0) -> Descent:
    """How the options have textures stepped, with a share of the learning rate. OptionError for what cannot be."""
    asked = Descent(
        learning_rate=config.learning_rate, optimizer=config.optimizer, schedule=config.schedule, clip=config.clip
    )
    return replace(asked, learning_rate=max(asked.learning_rate * share, 1e-6))
