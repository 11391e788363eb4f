"""PixelTexture: an image held as its texels."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from texopt.texture.image import ImageTexture, Start, noise


class PixelTexture(ImageTexture):
    """A texture whose parameters are its texels, in decorrelated colours before the sigmoid.

    The plain parameterisation that the others are compared with: texels that few views reach stay behind, and large
    structures form slowly. Args as FourierTexture.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__(size)
        shape = (3, self.height, self.width)
        values = 0.1 * noise(*shape, generator=generator) if start is None else self.start_values(start)
        self.values = nn.Parameter(values.contiguous())

    def unbounded(self) -> Tensor:
        """Before colours are made of them, [3,H,W]."""
        return self.values
