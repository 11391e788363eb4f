"""What image-like textures share: their size, what they start from, and resampling."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, tensor

from texopt.errors import OptionError

MAX_SIZE = 8192
Start = Tensor | tuple[float, float, float] | None  # noise, a colour, or an image [3,H,W]


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width), or an OptionError."""
    height, width = (size, size) if isinstance(size, int) else size
    for side in (height, width):
        if not 8 <= side <= MAX_SIZE:
            raise OptionError(f"texture size has to be between 8 and {MAX_SIZE} texels a side, not {side}; try 1024")
        if side & (side - 1):
            near = 1 << (side.bit_length() - 1)
            raise OptionError(
                f"texture size has to be a power of two (mip levels halve it), not {side}; try {near} or {2 * near}"
            )
    return height, width


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """[C,h,w] -> [C,height,width], antialiased."""
    if image.shape[1:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


def start_image(start: Tensor | tuple[float, float, float], height: int, width: int) -> Tensor:
    """A colour or an image as an image [3,height,width]."""
    if isinstance(start, tuple):
        return tensor(start).reshape(3, 1, 1).expand(3, height, width)
    if start.ndim != 3 or start.shape[0] != 3:
        raise OptionError(f"a texture starts from an image [3,H,W], not {list(start.shape)}")
    return resized(start.float(), height, width)
