"""Texture parameterisations: differentiable fields over the surface, which `sample(fragments)` and `bake(...)`."""

from texopt.texture.fourier import FourierTexture
from texopt.texture.pixel import PixelTexture

__all__ = ["FourierTexture", "PixelTexture"]
