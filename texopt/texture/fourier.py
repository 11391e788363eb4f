"""FourierTexture: an image held as its spectrum."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from texopt.color import from_rgb, to_valid_rgb
from texopt.render import Fragments, look_up
from texopt.texture.start import Start, check_size, resized, start_image


class FourierTexture(nn.Module):
    """A texture whose parameters are Fourier coefficients scaled by 1/frequency.

    Gradient descent on them takes steps of equal visibility at all scales, so that large structures form as fast as
    small ones and no checkerboards do. Decode: spectrum · scale → inverse real FFT → / 4 → decorrelated colours →
    sigmoid. Reference: Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, preconditioning; lucid,
    optvis/param/spatial.py.

    Args:
        size: texels a side, or (height, width).
        start: None for noise, a colour (r, g, b) in [0,1], or an image [3,H,W] in [0,1] (resized to fit).
        generator: of the noise; by default seeded with 0.
    """

    def __init__(
        self, size: int | tuple[int, int] = 1024, start: Start = None, generator: Generator | None = None
    ) -> None:
        super().__init__()
        height, width = check_size(size)
        self.height, self.width = height, width
        rows = torch.fft.fftfreq(height)[:, None]
        columns = torch.fft.rfftfreq(width)[None]
        frequency = (rows**2 + columns**2).sqrt()  # cycles per texel
        scale = (height * width) ** 0.5 / frequency.clamp(min=1 / max(height, width)) / 4
        self.register_buffer("scale", scale, persistent=False)
        self.scale: Tensor
        if start is None:
            generator = generator or Generator().manual_seed(0)
            spectrum = 0.01 * torch.randn(3, height, scale.shape[1], 2, generator=generator)
        else:
            image = from_rgb(start_image(start, height, width))
            spectrum = torch.view_as_real(torch.fft.rfft2(image) / scale)
        self.spectrum = nn.Parameter(spectrum.contiguous())

    def decode(self) -> Tensor:
        """The texture [3,H,W] in (0,1)."""
        spectrum = torch.view_as_complex(self.spectrum) * self.scale
        return to_valid_rgb(torch.fft.irfft2(spectrum, s=(self.height, self.width)))

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels."""
        return look_up(self.decode(), fragments)

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3,height,width]; at its own size by default."""
        return resized(self.decode().detach(), height or self.height, width or self.width)
