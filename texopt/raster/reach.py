"""Which texels trilinear look-ups take something from: a numba kernel over numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from texopt.raster.addressing import MIPMAP_LINEAR, WRAP, locate, pixel_level, weighted_quad
from texopt.raster.kernels import at, for_each_block, kernel
from texopt.raster.mipmap import LevelLayout, level_sizes, mip_levels, spread

BLOCK = 16384  # pixels that a block of work looks at


@kernel
def _mark(block, table, uv, uv_da, none, fine, stack):
    """Mark the texels of all levels that a block of pixels blends. Blocks that mark the same one write the same."""
    for pixel in range(block * BLOCK, min((block + 1) * BLOCK, len(uv))):
        p = at(pixel)
        face, u, v = locate(uv, p, WRAP)
        if face < 0:
            continue
        level = pixel_level(uv, uv_da, none, p, face, table, WRAP, MIPMAP_LINEAR)
        low = int(level)
        blend = level - np.float32(low)
        for step in range(2 if blend > 0.0 else 1):
            start, h, w = table[at(low + step), 0], table[at(low + step), 1], table[at(low + step), 2]
            share = blend if step else np.float32(1.0) - blend
            i00, i01, i10, i11, w00, w01, w10, w11 = weighted_quad(u, v, face, h, w, share, WRAP)
            marks = fine if low + step == 0 else stack
            for index, weight in ((i00, w00), (i01, w01), (i10, w10), (i11, w11)):
                if weight > 0.0:
                    marks[at(start + index)] = np.float32(1.0)


class Reach:
    """Texels of an image of a size that trilinear look-ups, wrapped, take something from."""

    def __init__(self, height: int, width: int) -> None:
        self.size = height, width
        self._layout = LevelLayout(level_sizes(height, width, mip_levels(height, width)), 1, 1)
        self._table = np.column_stack([self._layout.starts(), self._layout.sizes])
        self._fine, self._stack = np.zeros(height * width, np.float32), self._layout.empty_stack(zero=True)

    def add(self, uv: Tensor, uv_da: Tensor) -> None:
        """Look up pixels, as of texopt.raster.texture: float32 [N,2] and [N,4]."""
        none = np.empty(0, np.float32)
        arrays = uv.contiguous().numpy(), uv_da.contiguous().numpy(), none, self._fine, self._stack
        for_each_block(_mark, -(-len(uv) // BLOCK), self._table, *arrays)

    def texels(self) -> Tensor:
        """bool [height,width]: of the image itself, those that the coarser levels' texels are means of, too."""
        coarse = spread(self._stack.copy(), self._layout)
        return torch.from_numpy((self._fine + coarse > 0).reshape(self.size))
