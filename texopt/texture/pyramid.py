"""PyramidTexture: an image held as a Laplacian pyramid, of which a view computes what it sees."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from texopt.raster.details import ROW
from texopt.raster.levels import add_levels
from texopt.render.fragments import Fragments, texel_centers
from texopt.render.look_up import look_up, look_up_details, mip_level
from texopt.system.images import resized
from texopt.system.pages import bands, empty_zeros
from texopt.texture.colorspace import to_valid_rgb
from texopt.texture.image import ImageTexture, Start, noise

COARSEST = 8  # texels along the shorter side of the first level
BASE = 1024  # texels along the longer side of the last level that is decoded whole: far views see no finer ones


def upsampled(image: Tensor) -> Tensor:
    """[3,h,w] -> [3,2h,2w] on the CPU. Not torch's, which gives other digits on another number of threads."""
    _, height, width = image.shape
    levels = [image.permute(1, 2, 0).contiguous(), torch.zeros(2 * height, 2 * width, 3)]
    return add_levels(levels).permute(2, 0, 1)


class PyramidTexture(ImageTexture):
    """A texture whose parameters are a pyramid of images, each added to the upsampled sum of the coarser ones.

    Like Fourier coefficients it decorrelates scales, every scale having the same gain; unlike them a parameter belongs
    to a place, so that Adam's step adapts to each part of the surface by itself: parts that few views see, or whose UVs
    are stretched, converge as fast as the rest. And a view costs what it sees, not what there is: levels up to BASE
    are decoded, finer ones added up at the drawn pixels, down to the pixel's own mip level, and have sparse gradients.
    Views see what they would of the baked image.
    After Burt & Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983, with bilinear upsampling.

    Args as FourierTexture; a start of fewer texels leaves the finer levels empty, which takes no memory.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__(size)
        sizes = [(self.height, self.width)]
        while min(sizes[0]) > COARSEST:
            sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
        base = [size for size in sizes if max(size) <= BASE] or sizes[:1]
        self.detail_sizes = sizes[: len(base) - 1 : -1]  # the finest first
        generator = generator or Generator().manual_seed(0)
        rows = sum(height * width for height, width in self.detail_sizes) // ROW
        if start is None:
            levels = [0.1 * noise(3, *size, generator=generator) for size in base]
            details = noise(rows, ROW, 3, generator=generator).mul_(0.1)
        else:
            values = self.start_values(start, fill=False)
            images = [resized(values, *size) for size in base]
            levels = [images[0]] + [fine - upsampled(coarse) for coarse, fine in pairwise(images)]
            details = empty_zeros(rows, ROW, 3)
        self.levels = nn.ParameterList([nn.Parameter(level.permute(1, 2, 0).contiguous()) for level in levels])
        self.details = nn.Parameter(details) if self.detail_sizes else None
        if start is not None:
            self._fit(values)

    @torch.no_grad()
    def _fit(self, goal: Tensor) -> None:
        """Set the finer levels, that are zeros, to what the values goal [3,h,w] have beyond the coarser ones."""
        if self.details is None:
            return
        flat, end = self.details.data.view(-1, 3), len(self.details) * ROW
        for height, width in reversed(self.detail_sizes):
            start = end - height * width
            if height <= goal.shape[1] or width <= goal.shape[2]:
                coarser = [self._values(texel_centers(height, width, rows)) for rows in bands(height, width)]
                missing = resized(goal, height, width) - torch.cat(coarser, 2)[0]
                flat[start:end] = missing.permute(1, 2, 0).reshape(-1, 3)
            end = start

    def _values(self, fragments: Fragments) -> Tensor:
        """[B,3,H,W], before colours are made of them."""
        base = fragments.backend.add_levels(list(self.levels))
        if self.details is None:
            return look_up(base.permute(2, 0, 1), fragments)
        level = mip_level(fragments, self.height, self.width)
        share = (level - len(self.detail_sizes)).exp2() * level.clamp(max=1)  # of a texel that a pixel is large
        base = fragments.backend.average(base, share.clamp(max=1))
        values = look_up(base.permute(2, 0, 1), fragments)
        return values + look_up_details(self.details, self.detail_sizes, fragments)

    def unbounded(self) -> Tensor:
        """Before colours are made of them, [3,H,W]."""
        return self._values(texel_centers(self.height, self.width, slice(None), self.levels[0].device))[0]

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels."""
        return to_valid_rgb(self._values(fragments.within(self.height, self.width)))

    def decode(self, rows: slice = slice(None)) -> Tensor:
        """The texture [3,H,W] in (0,1), or some of its rows."""
        return self.sample(texel_centers(self.height, self.width, rows, self.levels[0].device))[0]

    @torch.no_grad()
    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3,height,width]; at its own size by default."""
        if height and width and height <= self.height // 2 and width <= self.width // 2:  # of coarser levels
            at = texel_centers(height, width, slice(None), self.levels[0].device)
            footprint = at.uv_da.new_tensor([1 / width, 0, 0, 1 / height])
            return self.sample(replace(at, uv_da=footprint.expand_as(at.uv_da)))[0]
        out = torch.empty(3, self.height, self.width, device=self.levels[0].device)
        for rows in bands(self.height, self.width):
            out[:, rows] = self.decode(rows)
        return resized(out, height or self.height, width or self.width)
