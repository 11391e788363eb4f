"""A surface under light: images of base colours as an engine would show them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from texopt.render.cameras import Cameras
from texopt.render.finish import Finishes, PixelFinish
from texopt.render.fragments import Fragments
from texopt.render.shading import Light, Lighting, shade
from texopt.render.surface import Geometry
from texopt.system.srgb import to_linear, to_srgb


def under_light(
    colors: Tensor, geometry: Geometry, finish: PixelFinish, light: Light, opacity: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Base colours under a light, both sRGB [B,3,H,W] in [0,1]; differentiable with respect to colours and finish.

    Args:
        geometry: what is seen; pixels that show no surface stay as they are.
        finish: of its pixels, as of geometry.finish_at_pixels.
        light: of B images.
        opacity: [B,1,H,W]; what shows through is not lit. By default nothing does.
    """
    eye, normal = geometry.surface_at_pixels()
    back = (normal * eye).sum(1, keepdim=True) < 0  # a sheet has two sides
    base = geometry.at_pixels(colors)
    batch, _, height, width = colors.shape
    image = torch.div(geometry.pixels, height * width, rounding_mode="floor")
    facing = torch.where(back, -finish.normal, finish.normal)
    seen = to_srgb(shade(to_linear(base), facing, eye, finish.roughness, finish.metallic, light.of_pixels(image)))
    if opacity is not None:
        seen = torch.lerp(base, seen, geometry.at_pixels(opacity).expand_as(base))
    rows = colors.permute(0, 2, 3, 1).reshape(-1, 3).index_put((geometry.pixels,), seen)
    return rows.reshape(batch, height, width, 3).permute(0, 3, 1, 2)


class UnderLight:
    """What a surface shows under a light: from fragments and the cameras that they are of to colours [B,3,H,W].

    colors: from fragments to base colours [B,3,H,W]. finishes: of the surface. light: the same in every picture, or a
    function of cameras.
    """

    def __init__(self, colors: Callable[[Fragments], Tensor], finishes: Finishes, light: Light | Lighting) -> None:
        self.colors, self.finishes, self.light = colors, finishes, light

    def __call__(self, fragments: Fragments, cameras: Cameras) -> Tensor:
        base, geometry = self.colors(fragments), Geometry(fragments, cameras, finishes=self.finishes)
        light = self.light if isinstance(self.light, Light) else self.light(Generator().manual_seed(0), cameras)
        return under_light(base, geometry, geometry.finish_at_pixels(), light.for_images(len(cameras), base))
