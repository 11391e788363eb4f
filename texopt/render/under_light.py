"""A surface under light: images of base colours as an engine would show them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from texopt.render.cameras import Cameras
from texopt.render.finish import Finishes, PixelFinish
from texopt.render.fragments import Fragments
from texopt.render.shading import Light, Lighting, shade
from texopt.system.srgb import to_linear, to_srgb


def under_light(
    colors: Tensor, eye: Tensor, normal: Tensor, finish: PixelFinish, light: Light, opacity: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Base colours under a light, both sRGB [B,3,H,W] in [0,1]; differentiable with respect to colours and finish.

    Args:
        eye: unit vectors [B,3,H,W] to the camera; pixels where they are 0 show no surface, and stay as they are.
        normal: geometric normals [B,3,H,W], which say what side of a sheet is seen: it has two.
        light: of B images, or of 1 for all of them.
        opacity: [B,1,H,W]; what shows through is not lit. By default nothing does.
    """
    back = (normal * eye).sum(1, keepdim=True) < 0
    there = (eye.abs().sum(1) > 0).nonzero().unbind(1)
    parts = (colors, torch.where(back, -finish.normal, finish.normal), eye, finish.roughness, finish.metallic)
    base, normals, eyes, roughness, metallic = (values.permute(0, 2, 3, 1)[there] for values in parts)
    seen = to_srgb(shade(to_linear(base), normals, eyes, roughness, metallic, light.of_pixels(there[0])))
    if opacity is not None:
        seen = torch.lerp(base, seen, opacity.permute(0, 2, 3, 1)[there].expand_as(base))
    return colors.permute(0, 2, 3, 1).index_put(there, seen).permute(0, 3, 1, 2)


class UnderLight:
    """What a surface shows under a light: from fragments and the cameras that they are of to colours [B,3,H,W].

    colors: from fragments to base colours [B,3,H,W]. finishes: of the surface. light: the same in every picture, or a
    function of cameras.
    """

    def __init__(self, colors: Callable[[Fragments], Tensor], finishes: Finishes, light: Light | Lighting) -> None:
        self.colors, self.finishes, self.light = colors, finishes, light

    def __call__(self, fragments: Fragments, cameras: Cameras) -> Tensor:
        base, finish = self.colors(fragments), self.finishes.sample(fragments)
        light = self.light if isinstance(self.light, Light) else self.light(Generator().manual_seed(0), cameras)
        eye, normal = (values.permute(0, 3, 1, 2) for values in (fragments.view_direction, fragments.normal))
        return under_light(base, eye, normal, finish, light.for_images(len(cameras), base))
