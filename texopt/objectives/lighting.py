"""lit: views of an object under a light, for objectives that judge it as engines show it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.objectives.view import View
from texopt.render.shading import Light, Lighting, moving_light, shade
from texopt.render.surface import Sharp
from texopt.system.devices import to_device
from texopt.texture.colorspace import to_linear, to_srgb


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

        def under_light(image: Tensor, alpha: Tensor) -> Tensor:
            shown = (values.permute(0, 2, 3, 1)[there] for values in (image, normal, eye, alpha))
            base, sides, eyes, opacity = shown
            seen = to_srgb(shade(to_linear(base), sides, eyes, self.roughness, self.metallic, light))
            seen = torch.lerp(base, seen, opacity.expand_as(base))  # what shows through is not lit
            return image.permute(0, 2, 3, 1).index_put(there, seen).permute(0, 3, 1, 2)

        drawn = view.sharp or view  # silhouettes that move are smoothed when it is lit
        with torch.no_grad():
            before = under_light(drawn.original, torch.ones_like(drawn.alpha))
        # without opacity of its own alpha is the mask, which leaves out materials that are kept, and these are lit, too
        alpha = drawn.alpha if drawn.alpha.requires_grad else torch.ones_like(drawn.alpha)
        after = under_light(drawn.image, alpha)
        if isinstance(drawn, Sharp):
            after, before = (drawn.outline.smooth(image) for image in (after, before))
        return view.with_image(after, original=before.detach())

    def _light(self, view: View) -> Light:
        """The light of each image."""
        assert view.cameras is not None  # to_camera has said so
        count, like = len(view.image), view.image
        light = self.light
        if not isinstance(light, Light):
            light = light(Generator().manual_seed(view.step), view.cameras)
            if not isinstance(light, Light):
                raise OptionError(f"a function for lit() has to return a texopt.Light, not a {type(light).__name__}")
        if len(light) not in (1, count):
            raise OptionError(f"the light is of {len(light)} images, and the view has {count}; make it of 1 or {count}")
        pieces = (light.directions, light.colors, light.environment)
        return Light(*(to_device(piece.expand(count, -1, -1).to(like.dtype), like.device) for piece in pieces))


def lit(light: Light | Lighting | None = None, roughness: float = 0.6, metallic: float = 0.0) -> Lit:
    """A change of views, for `on`: the image is the texture's base colour under a light, as a game engine shows it.

        objective = texopt.on(texopt.style("a.jpg") + texopt.content(), texopt.lit())

    Both the image and the original are lit; the background stays, also where it shows through a texture with opacity.
    The material is glTF's, see texopt.shade.

    Args:
        light: that falls on it, or a function (generator, cameras) -> Light, which is called once a step; by default
            `texopt.moving_light()`, so that no texture can have the light painted in.
        roughness, metallic: of the whole surface, in [0,1].

    OptionError for numbers that cannot be, and of views that know no geometry.
    """
    for name, value in (("roughness", roughness), ("metallic", metallic)):
        if not 0 <= value <= 1:
            raise OptionError(f"{name} has to be between 0 and 1, not {value}")
    if not (light is None or isinstance(light, Light) or callable(light)):
        raise OptionError(f"light has to be a texopt.Light or a function that returns one, not {light!r:.60}")
    return Lit(moving_light() if light is None else light, roughness, metallic)
