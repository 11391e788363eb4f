"""FourierTexture: an image held as its spectrum."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from texopt.texture.image import ImageTexture, Start, noise


class FourierTexture(ImageTexture):
    """A texture whose parameters are Fourier coefficients scaled by 1/frequency.

    Gradient descent on them takes steps of equal visibility at all scales, so that large structures form as fast as
    small ones and no checkerboards do. Decode: spectrum · scale → inverse real FFT → / 4 → decorrelated colours →
    sigmoid. Reference: Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, preconditioning; lucid,
    optvis/param/spatial.py.

    Args:
        size: texels a side, or (height, width); powers of two.
        start: None for noise, a colour (r, g, b) in [0,1], or an image [3,H,W] in [0,1] (resized to fit).
        generator: of the noise; by default seeded with 0.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__(size)
        rows = torch.fft.fftfreq(self.height)[:, None]
        columns = torch.fft.rfftfreq(self.width)[None]
        frequency = (rows**2 + columns**2).sqrt()  # cycles per texel
        scale = (self.height * self.width) ** 0.5 / frequency.clamp(min=1 / max(self.height, self.width)) / 4
        self.register_buffer("scale", scale, persistent=False)
        self.scale: Tensor
        if start is None:
            spectrum = 0.01 * noise(3, *scale.shape, 2, generator=generator)
        else:
            spectrum = torch.view_as_real(torch.fft.rfft2(self.start_values(start)) / scale)
        self.spectrum = nn.Parameter(spectrum.contiguous())

    def unbounded(self) -> Tensor:
        """Before colours are made of them, [3,H,W]."""
        spectrum = torch.view_as_complex(self.spectrum) * self.scale
        values: Tensor = torch.fft.irfft2(spectrum, s=(self.height, self.width))
        return values
