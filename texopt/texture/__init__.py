"""Texture parameterisations: differentiable fields over the surface, which `sample(fragments)` and `bake(...)`."""

from texopt.texture.fourier import FourierTexture
from texopt.texture.image import ImageTexture
from texopt.texture.maps import Texture, TextureSet
from texopt.texture.pixel import PixelTexture
from texopt.texture.pyramid import PyramidTexture

__all__ = ["FourierTexture", "ImageTexture", "PixelTexture", "PyramidTexture", "Texture", "TextureSet"]
