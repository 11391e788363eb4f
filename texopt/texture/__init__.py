"""Texture parameterisations: differentiable fields over the surface, with `sample(fragments)` and `bake(height, width)`."""

from texopt.texture.fourier import FourierTexture
from texopt.texture.pixel import PixelTexture

__all__ = ["FourierTexture", "PixelTexture"]
