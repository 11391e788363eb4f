"""Tasks: what each command optimises, with which textures, cameras and files. One for a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from texopt.cli.tasks.task import Task


def make_task(command: str, config: Any, device: torch.device) -> Task:
    """The task of a command (texopt.cli.options.runs.LOOPS) with its options, which has not been prepared."""
    if command == "style" and config.together:
        from texopt.cli.tasks.set_task import SetTask

        return SetTask(config, device)
    if command in ("image", "interpolate"):
        from texopt.cli.tasks.picture_task import ImageTask, InterpolateTask

        return ImageTask(config, device) if command == "image" else InterpolateTask(config, device)
    from texopt.cli.tasks.custom_task import CustomTask
    from texopt.cli.tasks.feature_task import FeatureTask
    from texopt.cli.tasks.fit_task import FitTask
    from texopt.cli.tasks.style_task import StyleTask

    kinds: dict[str, Callable[[Any, torch.device], Task]] = {
        "style": StyleTask,
        "feature": FeatureTask,
        "custom": CustomTask,
        "fit": FitTask,
    }
    return kinds[command](config, device)
