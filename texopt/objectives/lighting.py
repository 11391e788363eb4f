"""lit: views of an object under a light, for objectives that judge it as engines show it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.objectives.view import View
from texopt.render.shading import Light, Lighting, moving_light, shade, to_linear, to_srgb
from texopt.system.devices import to_device


class Lit:
    """The change of a view that `lit` makes."""

    def __init__(self, light: Light | Lighting, roughness: float, metallic: float) -> None:
        self.light, self.roughness, self.metallic = light, roughness, metallic

    def __call__(self, view: View) -> View:
        eye = view.to_camera
        facing = (view.normal * eye).sum(1, keepdim=True)
        normal = F.normalize(torch.where(facing < 0, -view.normal, view.normal), dim=1)  # a sheet has two sides
        there = (eye.abs().sum(1) > 0).nonzero().unbind(1)
        light = self._light(view).of_pixels(there[0])

        def under_light(image: Tensor) -> Tensor:
            base, sides, eyes = (values.permute(0, 2, 3, 1)[there] for values in (image, normal, eye))
            seen = to_srgb(shade(to_linear(base), sides, eyes, self.roughness, self.metallic, light))
            return image.permute(0, 2, 3, 1).index_put(there, seen).permute(0, 3, 1, 2)

        with torch.no_grad():
            before = under_light(view.original)
        return view.with_image(under_light(view.image), original=before)

    def _light(self, view: View) -> Light:
        if isinstance(self.light, Light):
            count = len(view.image)
            if len(self.light) not in (1, count):
                raise OptionError(f"the light is of {len(self.light)} images, and the view has {count}; make it of 1")
            pieces = (self.light.directions, self.light.colors, self.light.environment)
            light = Light(*(piece.expand(count, -1, -1) for piece in pieces))
        else:
            assert view.cameras is not None  # to_camera has said so
            light = self.light(Generator().manual_seed(view.step), view.cameras)
        device = view.image.device
        return Light(*(to_device(piece, device) for piece in (light.directions, light.colors, light.environment)))


def lit(light: Light | Lighting | None = None, roughness: float = 0.6, metallic: float = 0.0) -> Lit:
    """A change of views, for `on`: the image is the texture's base colour under a light, as a game engine shows it.

        objective = texopt.on(texopt.style("a.jpg") + texopt.content(), texopt.lit())

    Both the image and the original are lit; the background stays. The material is glTF's, see texopt.shade.

    Args:
        light: that falls on it, or a function (generator, cameras) -> Light, which is called once a step; by default
            `texopt.moving_light()`, so that no texture can have the light painted in.
        roughness, metallic: of the whole surface, in [0,1].

    OptionError for numbers that cannot be, and of views that know no geometry.
    """
    for name, value in (("roughness", roughness), ("metallic", metallic)):
        if not 0 <= value <= 1:
            raise OptionError(f"{name} has to be between 0 and 1, not {value}")
    return Lit(moving_light() if light is None else light, roughness, metallic)
