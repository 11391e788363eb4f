"""lit: views of an object under a light, for objectives that judge it as engines show it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from torch import Generator

from texopt.errors import OptionError
from texopt.objectives.view import View
from texopt.render.finish import PixelFinish
from texopt.render.shading import Light, Lighting, moving_light
from texopt.render.surface import Sharp
from texopt.render.under_light import under_light


class Lit:
    """The change of a view that `lit` makes."""

    def __init__(
        self, light: Light | Lighting, roughness: float | None, metallic: float | None, share: float
    ) -> None:  # fmt: skip
        self.light, self.roughness, self.metallic, self.share = light, roughness, metallic, share

    def __call__(self, view: View) -> View:
        if Random(view.step).random() >= self.share:
            return view
        geometry, light = view.known_geometry(), self._light(view)
        drawn = view.sharp or view  # silhouettes that move are smoothed when it is lit
        # without opacity of its own alpha is the mask, which leaves out materials that are kept, and these are lit, too
        opacity = drawn.alpha if drawn.alpha.requires_grad else None
        after = under_light(drawn.image, geometry, self._chosen(geometry.finish_at_pixels()), light, opacity)
        with torch.no_grad():  # which comes second, as what the geometry keeps has to have its gradients
            finish = self._chosen(geometry.finish_at_pixels(original=True))
            before = under_light(drawn.original, geometry, finish, light)
        if isinstance(drawn, Sharp):
            after, before = (drawn.outline.smooth(image) for image in (after, before))
        return replace(view.with_image(after, original=before.detach()), lit=True)

    def _chosen(self, finish: PixelFinish) -> PixelFinish:
        """The finish, with what was given for all of the surface."""
        given = {
            name: torch.full_like(getattr(finish, name), value)
            for name, value in (("roughness", self.roughness), ("metallic", self.metallic))
            if value is not None
        }
        return replace(finish, **given)

    def _light(self, view: View) -> Light:
        """The light of each image."""
        assert view.cameras is not None  # to_camera has said so
        count = len(view.image)
        light = self.light
        if not isinstance(light, Light):
            light = light(Generator().manual_seed(view.step), view.cameras)
            if not isinstance(light, Light):
                raise OptionError(f"a function for lit() has to return a texopt.Light, not a {type(light).__name__}")
        if len(light) not in (1, count):
            raise OptionError(f"the light is of {len(light)} images, and the view has {count}; make it of 1 or {count}")
        return light.for_images(count, view.image)


def lit(
    light: Light | Lighting | None = None, roughness: float | None = None, metallic: float | None = None,
    share: float = 1.0,
) -> Lit:  # fmt: skip
    """A change of views, for `on`: the image is the texture's base colour under a light, as a game engine shows it.

        objective = texopt.on(texopt.style("a.jpg") + texopt.content(), texopt.lit())

    Both the image and the original are lit; the background stays, also where it shows through a texture with opacity.
    The material is glTF's, see texopt.shade.

    Args:
        light: that falls on it, or a function (generator, cameras) -> Light, which is called once a step; by default
            `texopt.moving_light()`, so that no texture can have the light painted in.
        roughness, metallic: of the whole surface, in [0,1]; by default those of `view.finish`.
        share: of the steps that see the surface under light, by chance; the others see its colours alone, so that these
            are good to look at, too.

    OptionError for numbers that cannot be, and of views that know no geometry.
    """
    for name, value in (("roughness", roughness), ("metallic", metallic), ("share", share)):
        if value is not None and not 0 <= value <= 1:
            raise OptionError(f"{name} has to be between 0 and 1, not {value}")
    if not (light is None or isinstance(light, Light) or callable(light)):
        raise OptionError(f"light has to be a texopt.Light or a function that returns one, not {light!r:.60}")
    return Lit(moving_light() if light is None else light, roughness, metallic, share)
