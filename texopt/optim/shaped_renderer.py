"""ShapedRenderer: views of a mesh whose vertices are optimised, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from texopt.errors import OptionError
from texopt.features.extractor import FeatureExtractor
from texopt.mesh.mesh import Mesh
from texopt.mesh.shape import Shape
from texopt.objectives.view import View
from texopt.optim.view_renderer import Known, ViewRenderer, _Images
from texopt.optim.views import Views
from texopt.render.fragments import Fragments
from texopt.render.moved_scene import MovedScene, ShapedScene
from texopt.render.surface import Sharp
from texopt.texture.texture_set import Texture


def check_shape(shape: Shape | None, mesh: Any) -> None:
    """OptionError where a run's shape is none, or of another mesh than the run's."""
    if shape is None:
        return
    if not isinstance(shape, Shape):
        raise OptionError(f"shape has to be a texopt.Shape(mesh), not {shape!r:.60}")
    if not isinstance(mesh, Mesh):
        raise OptionError("a shape is of one mesh, and the run has several; leave shape out, or run them one by one")
    if shape.mesh is not mesh:
        raise OptionError("shape is of another mesh than the run's; make it of that, as in texopt.Shape(mesh)")


class ShapedRenderer(ViewRenderer):
    """A ViewRenderer that draws a mesh where its Shape has it at each step.

    Silhouettes are smoothed in the views' image, original and alpha, and have gradients to the vertices in all but the
    original; what is lit has them through the normals.
    """

    def __init__(
        self, shape: Shape, texture: Texture | Sequence[Texture], views: Views, extractor: FeatureExtractor,
        device: torch.device, raster: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(shape.mesh, texture, views, extractor, device, raster)
        self.shape = shape.to(device)
        self.scene = ShapedScene(self.shape, device, raster)
        self._seen: _Images | None = None  # of the last view, with silhouettes as they are drawn

    @property
    def optimized(self) -> nn.Module:
        return nn.ModuleList([self.surface.textures, self.shape])

    def view(self, step: int, steps: int, turn: int, count: int, known: Known, generator: Generator) -> View:
        """As of ViewRenderer, with a gradient to the vertices, too."""
        view = super().view(step, steps, turn, count, known, generator)
        seen, self._seen = self._seen, None
        if self.views.transform is not None or seen is None or view.geometry is None:
            return view
        scene, alpha = view.geometry.drawn.scene, seen.mask if seen.alpha is None else seen.alpha
        assert isinstance(scene, MovedScene)
        sharp = Sharp(seen.image, seen.original, alpha, scene.outline, view.image)
        return replace(view, geometry=replace(view.geometry, sharp=sharp))

    def _shade(self, extended: Fragments, there: Tensor, background: Tensor) -> _Images:
        seen = self._seen = super()._shade(extended, there, background)
        assert isinstance(extended.scene, MovedScene)
        alpha = there.float() if seen.alpha is None else seen.alpha
        parts = [seen.image, seen.original, alpha]
        smoothed = extended.scene.outline.smooth(torch.cat(parts, 1))
        image, original, alpha = smoothed.split([part.shape[1] for part in parts], 1)
        return replace(seen, image=image, original=original.detach(), alpha=alpha)
