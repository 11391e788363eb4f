"""SharedTexture: one of several pictures that have a part in common."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.texture.fourier import FourierTexture
from texopt.texture.image import ImageTexture
from texopt.texture.pyramid import PyramidTexture

PART = 2  # the common part has half the resolution, and what is coarser
OWN = 0.6  # of a step in the common part's values is how far one in the own part's moves them


class SharedTexture(ImageTexture):
    """A texture that is the sum of a part of its own and one, of lower resolution, that other textures have too.

    Objectives that say nothing of where things are put them anywhere, in each picture elsewhere; steps that several
    pictures agree on move the common part at once, and so what is similar comes to lie in the same place. The own part
    counts OWN times, so that it says what differs and no more. Mordvintsev et al., "Differentiable Image
    Parameterizations", Distill 2018, aligned feature visualization interpolation, where both count the same.

    Args:
        own: the texture of this picture, which decides the size.
        common: the texture of all of them, which is enlarged to it.
    """

    def __init__(self, own: ImageTexture, common: ImageTexture) -> None:
        super().__init__((own.height, own.width))
        self.own, self.common = own, common

    @staticmethod
    def several(
        frames: int, size: int | tuple[int, int] = 256, generator: Generator | None = None
    ) -> list[SharedTexture]:
        """So many textures with a common part: a pyramid of half their size; OptionError under 2.

        generator: of the noise they start from; by default seeded with 0.
        """
        if frames < 2:
            raise OptionError(f"there have to be at least 2 frames to share something, not {frames}")
        generator = generator or Generator().manual_seed(0)
        height, width = (size, size) if isinstance(size, int) else size
        common = PyramidTexture((max(height // PART, 8), max(width // PART, 8)), generator=generator)
        return [SharedTexture(FourierTexture(size, generator=generator), common) for _ in range(frames)]

    def unbounded(self) -> Tensor:
        """Before colours are made of them, [3,H,W]."""
        common = self.common.unbounded()[None]
        return OWN * self.own.unbounded() + F.interpolate(common, (self.height, self.width), mode="bilinear")[0]
