"""PyramidTexture: an image held as a Laplacian pyramid."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from texopt.color import to_valid_rgb
from texopt.render import Fragments, finest_level, look_up
from texopt.texture.image import ImageTexture, Start, noise, resized

COARSEST = 8  # texels along the shorter side of the first level
ALWAYS = 512  # texels a side up to which all levels take part: they cost less than to find out


class PyramidTexture(ImageTexture):
    """A texture whose parameters are a pyramid of images, each added to the upsampled sum of the coarser ones.

    Like Fourier coefficients it decorrelates scales, every scale having the same gain; unlike them a parameter belongs
    to a place, so that Adam's step adapts to each part of the surface by itself: parts that few views see, or whose UVs
    are stretched, converge as fast as the rest. After the pyramid of Burt & Adelson, "The Laplacian Pyramid as a
    Compact Image Code", 1983, with bilinear upsampling. Args as FourierTexture.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__(size)
        sizes = [(self.height, self.width)]
        while min(sizes[0]) > COARSEST:
            sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
        generator = generator or Generator().manual_seed(0)
        if start is None:
            levels = [0.1 * noise(1, 3, *size, generator=generator) for size in sizes]
        else:
            values = self.start_values(start)
            images = [resized(values, *size)[None] for size in sizes]
            details = [
                fine - F.interpolate(coarse, fine.shape[2:], mode="bilinear") for coarse, fine in pairwise(images)
            ]
            levels = [images[0], *details]
        self.levels = nn.ParameterList([nn.Parameter(level) for level in levels])

    def decode(self, skipped: int = 0) -> Tensor:
        """The texture [3,H,W] in (0,1); with levels left out, half as large for each."""
        total = torch.zeros_like(self.levels[0])
        for level in self.levels[: len(self.levels) - skipped]:
            total = F.interpolate(total, level.shape[2:], mode="bilinear").add_(level)
        return to_valid_rgb(total[0])

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels. Levels that are finer than the pixels see take no part."""
        finest = finest_level(fragments, self.height, self.width) if max(self.height, self.width) > ALWAYS else 0
        return look_up(self.decode(min(finest, len(self.levels) - 1)), fragments)
