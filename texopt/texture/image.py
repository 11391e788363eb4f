"""What image-like textures share: they decode an image, which is looked up with mipmaps, and can start from one."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from texopt.errors import OptionError
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.system.images import png_bytes, resized
from texopt.texture.colorspace import from_rgb, to_valid_rgb

MAX_SIZE = 8192
SHOWN = 512  # texels a side, in a notebook
Start = Tensor | tuple[float, float, float] | None  # noise, a colour, or an image [3,H,W]


def check_size(side: int) -> None:
    """OptionError for texels a side that a texture cannot have."""
    if not 8 <= side <= MAX_SIZE:
        raise OptionError(f"texture size has to be between 8 and {MAX_SIZE} texels a side, not {side}; try 1024")
    if side & (side - 1):
        near = 1 << (side.bit_length() - 1)
        raise OptionError(
            f"texture size has to be a power of two (mip levels halve it), not {side}; try {near} or {2 * near}"
        )


class ImageTexture(nn.Module):
    """A texture that is an image [3,height,width]. Parameterisations say how its values come from their parameters."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        for side in (height, width):
            check_size(side)
        self.height, self.width = height, width

    def start_values(self, start: Tensor | tuple[float, float, float], fill: bool = True) -> Tensor:
        """A colour or an image as the values [3,height,width] that to_valid_rgb makes it of.

        fill: False leaves what is smaller than the texture at its own size.
        """
        if isinstance(start, tuple):
            start = torch.tensor(start).reshape(3, 1, 1)
        if start.ndim != 3 or start.shape[0] != 3:
            raise OptionError(f"a texture starts from an image [3,H,W], not {list(start.shape)}")
        sides = zip(start.shape[1:], (self.height, self.width), strict=True)
        height, width = (most if fill else min(side, most) for side, most in sides)
        return from_rgb(resized(start.float(), height, width))

    def unbounded(self) -> Tensor:
        """What to_valid_rgb makes colours of: [3,H,W], unbounded."""
        raise TypeError(f"{type(self).__name__} does not say how it is decoded")

    def decode(self) -> Tensor:
        """The texture [3,H,W] in (0,1)."""
        return to_valid_rgb(self.unbounded())

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels."""
        return look_up(self.decode(), fragments)

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the texture, at most SHOWN texels a side."""
        side = max(self.height, self.width, SHOWN) // SHOWN
        return png_bytes(self.bake(max(self.height // side, 1), max(self.width // side, 1)).cpu())

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3,height,width]; at its own size by default."""
        return resized(self.decode().detach(), height or self.height, width or self.width)


def noise(*shape: int, generator: Generator | None) -> Tensor:
    """Standard normal values; the same ones every time unless a generator is given."""
    return torch.randn(*shape, generator=generator or Generator().manual_seed(0))


def periodic(image: Tensor) -> Tensor:
    """An image [C,H,W] without the step across its borders, which is taken off as a smooth field all over it.

    Moisan, "Periodic plus Smooth Image Decomposition", Journal of Mathematical Imaging and Vision, 2011, section 3.
    """
    _, height, width = image.shape
    values = image.double()
    jump = torch.zeros_like(values)
    for axis in (1, 2):
        step = values.narrow(axis, -1, 1) - values.narrow(axis, 0, 1)
        jump.narrow(axis, 0, 1).add_(step)
        jump.narrow(axis, -1, 1).sub_(step)
    rows, columns = (
        2 * torch.cos(2 * torch.pi * torch.arange(side, dtype=torch.float64) / side) for side in (height, width)
    )
    divisor = rows[:, None] + columns[None] - 4
    divisor[0, 0] = 1
    smooth = torch.fft.fft2(jump) / divisor
    smooth[:, 0, 0] = 0
    out: Tensor = (values - torch.fft.ifft2(smooth).real).to(image)
    return out
