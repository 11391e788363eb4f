"""Texture parameterisations: differentiable fields over the surface, which `sample(fragments)` and `bake(...)`."""

from texopt.texture.cppn import Cppn, CppnTexture, blend_cppns
from texopt.texture.fourier import FourierTexture
from texopt.texture.image import ImageTexture
from texopt.texture.opacity import TransparentTexture
from texopt.texture.pixel import PixelTexture
from texopt.texture.pyramid import PyramidTexture
from texopt.texture.relief import Relief
from texopt.texture.shared import SharedTexture
from texopt.texture.texture_set import Texture, TextureSet

__all__ = [
    "Cppn", "CppnTexture", "FourierTexture", "ImageTexture", "PixelTexture", "PyramidTexture", "Relief",
    "SharedTexture", "Texture", "TextureSet", "TransparentTexture", "blend_cppns",
]  # fmt: skip
