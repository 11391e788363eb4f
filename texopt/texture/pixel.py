"""PixelTexture: an image held as its texels."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from texopt.color import from_rgb, to_valid_rgb
from texopt.render import Fragments, look_up
from texopt.texture.start import Start, check_size, resized, start_image


class PixelTexture(nn.Module):
    """A texture whose parameters are its texels, in decorrelated colours before the sigmoid.

    The plain parameterisation that FourierTexture is compared with: texels that few views reach stay behind, and large
    structures form slowly. Args and methods as FourierTexture.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.height, self.width = check_size(size)
        if start is None:
            generator = generator or Generator().manual_seed(0)
            values = 0.1 * torch.randn(3, self.height, self.width, generator=generator)
        else:
            values = from_rgb(start_image(start, self.height, self.width))
        self.values = nn.Parameter(values.contiguous())

    def decode(self) -> Tensor:
        """The texture [3,H,W] in (0,1)."""
        return to_valid_rgb(self.values)

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels."""
        return look_up(self.decode(), fragments)

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3,height,width]; at its own size by default."""
        return resized(self.decode().detach(), height or self.height, width or self.width)
