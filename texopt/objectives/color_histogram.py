"""Colours: as frequent on the object as in a painting, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View
from texopt.system.pictures import Painting, several
from texopt.texture.colorspace import mix
from texopt.texture.paintings import painting_colors

AXES = 16
PIXELS = 2048  # of a view
MEMORY = 16  # views


class Colors:
    """The loss of `colors`, with pixels of earlier views as its state: one view's colours are not the object's."""

    def __init__(self, target: Tensor, where: str = "") -> None:
        axes = torch.randn(AXES, 3, generator=Generator().manual_seed(0))
        self.axes = axes / axes.norm(dim=1, keepdim=True)
        self.target, self.where = target, where
        self.reset()

    def reset(self) -> None:
        """Forget earlier views."""
        self.memory: list[Tensor] = []
        self.generator = Generator().manual_seed(0)

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory = list(state["memory"])
        self.generator.set_state(state["generator"])

    def __call__(self, view: View) -> Tensor:
        mask = view.where(self.where) if self.where else view.mask
        seen = mask[:, 0].flatten().nonzero()[:, 0]
        if not len(seen):
            return view.image.sum() * 0.0
        some = seen[torch.randint(len(seen), (PIXELS,), generator=self.generator).to(seen.device)]
        pixels = view.image.transpose(0, 1).flatten(1)[:, some]
        axes = self.axes.to(pixels)
        mixed = mix(axes, torch.cat([pixels, *(memory.to(pixels) for memory in self.memory)], 1))
        self.memory = [pixels.detach(), *self.memory][:MEMORY]
        place = torch.linspace(0, self.target.shape[1] - 1, mixed.shape[1]).long()
        goal = mix(axes, self.target.to(pixels)).sort(1).values[:, place.to(pixels.device)]
        distance = (mixed.sort(1).values - goal).abs()
        # the value is the mean; the gradient that of the current pixels alone, as strong however many are remembered
        current = distance.sum() / (AXES * pixels.shape[1])
        loss: Tensor = distance.mean().detach() + current - current.detach()
        return loss


def colors(image: Painting | Sequence[Painting], blend: Sequence[float] | None = None, where: str = "") -> Objective:
    """Have the colours of a painting, as frequent on the object as they are there, and nothing else of it.

    The sliced Wasserstein distance of the colours of pixels (Rabin, Peyré, Delon & Bernot, "Wasserstein Barycenter and
    Its Application to Texture Mixing", 2011), over the last views together.

    Args:
        image: a file or a Pillow image, or several.
        blend: shares of several, by default equal.
        where: the part of the surface that it is for, as texopt.render.regions names them; "" is all of it.
    """
    return objective(Colors(painting_colors(several(image), blend), where), "colors")
