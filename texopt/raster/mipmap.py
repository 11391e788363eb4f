"""Mip levels of a texture: their sizes, how they are made, and the gradient of that: numba kernels over arrays.

A texture is a flat float32 array of `images` pictures (faces of a cube map count), [images,H,W,C]. Level l has
max(H >> l, 1) by max(W >> l, 1) texels, each the mean of the two by two beneath it. Levels 1 and up follow one
another in one flat buffer, the stack; level 0 is the texture itself and is not copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from texopt.errors import OptionError
from texopt.raster.arguments import described, whole
from texopt.raster.kernels import at, expanded, for_each_block, kernel

BLOCK = 1 << 15  # numbers of a level that a block of work makes, about


def mip_levels(height: int, width: int) -> int:
    """How many times a texture can be halved: until a side that is longer than 1 is odd."""
    for name, side in (("height", height), ("width", width)):
        if (whole(side) or 0) < 1:
            raise OptionError(f"{name} has to be a number of texels, not {described(side)}")
    levels = 0
    while (height, width) != (1, 1) and (height == 1 or height % 2 == 0) and (width == 1 or width % 2 == 0):
        height, width, levels = max(height // 2, 1), max(width // 2, 1), levels + 1
    return levels


def level_sizes(height: int, width: int, max_mip_level: int | None = None) -> list[tuple[int, int]]:
    """(height, width) of every mip level, level 0 first; OptionError where a level cannot be halved."""
    sizes = [(height, width)]
    while sizes[-1] != (1, 1) and (max_mip_level is None or len(sizes) <= max_mip_level):
        if len(sizes) > mip_levels(height, width):
            size = "x".join(map(str, sizes[-1]))
            raise OptionError(
                f"tex of {height}x{width} has no mip level {len(sizes)}: {size} cannot be halved; "
                f"give max_mip_level={len(sizes) - 1}, or sides that are powers of two"
            )
        sizes.append((max(sizes[-1][0] // 2, 1), max(sizes[-1][1] // 2, 1)))
    return sizes


@dataclass(frozen=True)
class LevelLayout:
    """Where the levels of a texture are: their sizes, and how many images and channels there are."""

    sizes: list[tuple[int, int]]
    images: int
    channels: int

    def texels(self, level: int) -> int:
        return self.images * self.sizes[level][0] * self.sizes[level][1]

    def starts(self) -> np.ndarray:
        """First texel of each level in its buffer; level 0 has one of its own."""
        ends = np.cumsum([self.texels(level) for level in range(1, len(self.sizes))])
        return np.array([0, 0, *ends[:-1]][: len(self.sizes)], np.int64)

    def empty_stack(self, zero: bool = False) -> np.ndarray:
        texels = sum(self.texels(level) for level in range(1, len(self.sizes)))
        return (np.zeros if zero else np.empty)(texels * self.channels, np.float32)

    def rows(self, tex: np.ndarray, stack: np.ndarray) -> list[np.ndarray]:
        """Every level as [images*h, w*C], texture and stack being flat."""
        levels, start = [tex.reshape(self.images * self.sizes[0][0], -1)], 0
        for level in range(1, len(self.sizes)):
            stop = start + self.texels(level) * self.channels
            levels.append(stack[start:stop].reshape(self.images * self.sizes[level][0], -1))
            start = stop
        return levels


@expanded
def _halve_rows(fine, coarse, first, last, channels, step_y, step_x):
    for y in range(first, last):
        upper, lower = at(y * step_y), at(y * step_y + step_y - 1)
        for x in range(coarse.shape[1] // channels):
            for c in range(channels):
                left, right = at(x * step_x * channels + c), at((x * step_x + step_x - 1) * channels + c)
                total = (fine[upper, left] + fine[upper, right]) + (fine[lower, left] + fine[lower, right])
                coarse[at(y), at(x * channels + c)] = np.float32(0.25) * total


@kernel
def _halve(block, rows, fine, coarse, channels):
    """Rows of the next level: the mean of two by two texels (of two where a side is 1)."""
    step_y, step_x = fine.shape[0] // coarse.shape[0], fine.shape[1] // coarse.shape[1]
    first, last = block * rows, min((block + 1) * rows, len(coarse))
    if channels == 3 and step_y == 2 and step_x == 2:  # with constants the loops are unrolled
        _halve_rows(fine, coarse, first, last, 3, 2, 2)
    else:
        _halve_rows(fine, coarse, first, last, channels, step_y, step_x)


@expanded
def _spread_rows(coarse, fine, first, last, channels, step_y, step_x, keep):
    share = np.float32(1.0) / np.float32(step_y * step_x)
    for y in range(first, last):
        for j in range(step_y):
            row = at(y * step_y + j)
            for x in range(coarse.shape[1] // channels):
                for i in range(step_x):
                    for c in range(channels):
                        value = share * coarse[at(y), at(x * channels + c)]
                        to = at((x * step_x + i) * channels + c)
                        fine[row, to] = fine[row, to] + value if keep else value


@kernel
def _spread(block, rows, coarse, fine, channels, keep):
    """The adjoint of `_halve`: give each texel's gradient to those that it is the mean of, or add it to theirs."""
    step_y, step_x = fine.shape[0] // coarse.shape[0], fine.shape[1] // coarse.shape[1]
    first, last = block * rows, min((block + 1) * rows, len(coarse))
    if channels == 3 and step_y == 2 and step_x == 2:
        if keep:
            _spread_rows(coarse, fine, first, last, 3, 2, 2, True)
        else:
            _spread_rows(coarse, fine, first, last, 3, 2, 2, False)
    else:
        _spread_rows(coarse, fine, first, last, channels, step_y, step_x, keep)


def build(tex: np.ndarray, layout: LevelLayout) -> np.ndarray:
    """The stack of a texture."""
    stack = layout.empty_stack()
    for fine, coarse in pairwise(layout.rows(tex, stack)):
        rows = max(BLOCK // coarse.shape[1], 1)
        for_each_block(_halve, -(-len(coarse) // rows), rows, fine, coarse, layout.channels)
    return stack


def spread(stack: np.ndarray, layout: LevelLayout) -> np.ndarray:
    """The adjoint of `build`: the flat gradient of the texture that a stack of gradients makes, which is used up."""
    if len(layout.sizes) == 1:
        return np.zeros(layout.texels(0) * layout.channels, np.float32)
    grad = np.empty(layout.texels(0) * layout.channels, np.float32)
    levels = layout.rows(grad, stack)
    for level in range(len(levels) - 1, 0, -1):
        fine, coarse = levels[level - 1], levels[level]
        rows = max(BLOCK // coarse.shape[1], 1)
        for_each_block(_spread, -(-len(coarse) // rows), rows, coarse, fine, layout.channels, level > 1)
    return grad
