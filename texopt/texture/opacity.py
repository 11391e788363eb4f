"""TransparentTexture: colours with opacity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from texopt.render.fragments import Fragments
from texopt.texture.fourier import FourierTexture
from texopt.texture.texture_set import Texture


class TransparentTexture(nn.Module):
    """A texture with opacity: the colours of one, and what another shows in red as alpha.

    Renderings see it over a background that is new in every step, so that only what is opaque can be counted on; an
    objective times `transparent` then leaves opaque what it needs. Mordvintsev et al., "Differentiable Image
    Parameterizations", Distill 2018, semi-transparent patterns.

    Args:
        color: any texture.
        alpha: another, or the size of a FourierTexture that is half transparent everywhere.
    """

    def __init__(self, color: Texture, alpha: Texture | int | tuple[int, int]) -> None:
        super().__init__()
        self.color = color
        self.alpha = FourierTexture(alpha, start=(0.5, 0.5, 0.5)) if isinstance(alpha, (int, tuple)) else alpha

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours and opacity [B,4,H,W] at the drawn pixels."""
        return torch.cat([self.color.sample(fragments), self.alpha.sample(fragments)[:, :1]], 1)

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [4,height,width], colours not multiplied with opacity; at its own size by default."""
        return torch.cat([self.color.bake(height, width), self.alpha.bake(height, width)[:1]])
