"""Silhouettes: what the object covers of each view is what a mask says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.objectives.photo_loss import cut_out
from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View
from texopt.render.photo_cameras import windows
from texopt.render.photos import Photos


def has_masks(photos: Photos) -> bool:
    """Whether some photograph has pixels that do not count, by its opacity or its mask."""
    return any((photos.pixels(index)[..., 3] < 128).any() for index in range(len(photos)))


class Silhouettes:
    """The loss of `silhouettes`."""

    def __init__(self, goals: Photos | Tensor) -> None:
        self.goals = goals

    def _goal(self, view: View) -> tuple[Tensor, Tensor]:
        """What each image should cover, float32 [B,1,H,W], and 1 where that is known."""
        height, width = view.image.shape[2:]
        if isinstance(self.goals, Tensor):
            goal = F.interpolate(self.goals[view.frame.to(self.goals.device)], (height, width), mode="area")
            return goal, torch.ones_like(goal)
        assert view.cameras is not None
        parts = []
        for row, index in enumerate(view.frame.tolist()):
            [window] = windows(self.goals[index], view.cameras[row : row + 1])
            values, there = cut_out(self.goals, index, window, height, width)
            parts.append((values[3:], there))
        goal, known = (torch.stack(part) for part in zip(*parts, strict=True))
        return goal, known

    def __call__(self, view: View) -> Tensor:
        if view.cameras is None or view.frames != len(self.goals):
            raise OptionError(
                f"silhouettes() knows {len(self.goals)} masks and the views are of {view.frames} frames; give optimize "
                "cameras whose `frame` says which mask each is of, or texopt.PhotoCameras(photos, mesh)"
            )
        goal, known = (values.to(view.alpha) for values in self._goal(view))
        return ((view.alpha - goal).square() * known).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp(min=1)


def silhouettes(goals: Photos | Tensor) -> Objective:
    """Have the object cover in every view what the mask with its camera says: for the `shape` of a run.

        shape = texopt.Shape(mesh, bound=0.2)
        views = texopt.Views(cameras=cameras, size=cameras.size)
        result = texopt.optimize(mesh, texture, texopt.silhouettes(photos), views=views, shape=shape, backbone="none")

    The mean squared distance between `view.alpha`, whose pixels at silhouettes are covered in part, and the masks.

    Args:
        goals: of read_photos, with their opacity or masks, those of the run's PhotoCameras; or float [N,1,H,W] in
            [0,1], of cameras whose `frame` is the number of each one's mask.

    OptionError for photographs of which none has a mask, and for masks of another shape.
    """
    if isinstance(goals, Photos):
        if not has_masks(goals):
            raise OptionError(
                "no photograph has a mask that says where the object is; give them opacity, or a mask_path in the "
                "cameras' file"
            )
    elif not isinstance(goals, Tensor) or goals.ndim != 4 or goals.shape[1] != 1 or not goals.is_floating_point():
        got = f"a {goals.dtype} tensor {list(goals.shape)}" if isinstance(goals, Tensor) else type(goals).__name__
        raise OptionError(f"silhouettes takes Photos, or masks as floats [N,1,H,W] in [0,1], not {got}")
    return objective(Silhouettes(goals), "silhouettes")
