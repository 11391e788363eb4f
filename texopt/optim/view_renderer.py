"""ViewRenderer: from a mesh with its textures to the views that an objective is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Generator, Tensor, nn

from texopt.errors import OptionError
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.features.view_sizes import check_stride
from texopt.mesh.mesh import Mesh
from texopt.objectives.view import View
from texopt.optim.views import Views
from texopt.render.backgrounds import composite, smooth_noise
from texopt.render.finish import Finishes
from texopt.render.fragments import Fragments
from texopt.render.regions import Regions
from texopt.render.samplers import as_sampler, mean_scale, mean_scales
from texopt.render.scene import Scene
from texopt.render.seam_points import Seams
from texopt.render.surface import Geometry, Move
from texopt.render.transforms import Transform
from texopt.system import distributed
from texopt.system.devices import to_device
from texopt.texture.texture_set import Surface, Texture

FOLLOWED = 20  # steps, after which a relief takes the strokes of its colours anew


@dataclass
class Known:
    """What views have brought to light, for later ones to begin with; a checkpoint keeps it.

    layers, original_layers: that the objective asks for, of a view and of the original. scales: mean_scale of views, by
    their zoom.
    """

    layers: set[str] = field(default_factory=set)
    original_layers: set[str] = field(default_factory=set)
    scales: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Images:
    """What is seen of the object: image, original [B,3,H,W], mask, alpha [B,1,H,W] (None where textures have none),
    and the colours beside seams [2,N,C]."""

    image: Tensor
    original: Tensor
    mask: Tensor
    alpha: Tensor | None
    seams: Tensor


class ViewRenderer:
    """Renders a mesh with its textures; what is made of the mesh alone is made once.

    Args:
        mesh, texture: as of `optimize`.
        views: which renderings; extractor: of their features.
        device, raster: see Scene. radius: what is 1 in a view, in the mesh's own units; by default its own radius.
    """

    def __init__(
        self, mesh: Mesh, texture: Texture | Sequence[Texture], views: Views, extractor: FeatureExtractor,
        device: torch.device, raster: str = "auto", radius: float | None = None,
    ) -> None:  # fmt: skip
        check_stride(views.size, extractor.stride)
        self.mesh, self.texture, self.views, self.extractor, self.device = mesh, texture, views, extractor, device
        self.cameras, self.background = as_sampler(views.cameras), views.background or smooth_noise()
        self.surface, self.seams = Surface(mesh, texture, device, raster), Seams(mesh, device)
        self.scene, self.regions = Scene(mesh, device, raster, optimized=True, radius=radius), Regions(mesh, device)
        self.size = mesh.normalization(optimized=True)[1] / self.scene.radius  # its radius, in those of the scene
        self.finishes = Finishes(self.scene)

    @property
    def optimized(self) -> nn.Module:
        """All of it that is optimised."""
        return self.surface.textures

    def known(self) -> Known:
        """What is known before the first view."""
        return Known(scales=mean_scales(self.cameras))

    def view(self, step: int, steps: int, turn: int, count: int, known: Known, generator: Generator) -> View:
        """New views, with a gradient to the textures.

        Args:
            step, steps: of the run. turn: how many views this mesh has had, in units of `count`.
            count: views of the step over all ranks.
            known: what is added to.
            generator: of all that is random.
        """
        if turn % FOLLOWED == 0:
            self.surface.textures.follow(self.mesh)
        own = distributed.own(count)  # of the views those that are this rank's
        height, width = self.views.size_of(step, steps, self.extractor.stride)
        cameras = self.cameras(generator, count, turn * count)[own]
        fragments = self.scene.rasterize(cameras, height, width)
        background = to_device(self.background(generator, count, height, width)[own], self.device)
        if cameras.zoom not in known.scales:
            known.scales[cameras.zoom] = mean_scale([cameras])
        scale = height * known.scales[cameras.zoom]
        extended = self.seams.extend(fragments, generator, own, count, scale * self.size)
        seen = self._shade(extended, fragments.mask[:, None], background)
        move = None if self.views.transform is None else _repeatable(self.views.transform, generator)
        if move is not None:
            seen = _moved(seen, move)
        return View(
            image=seen.image, mask=seen.mask, original=seen.original,
            features=Activations(self.extractor, seen.image, known.layers),
            original_features=Activations(self.extractor, seen.original, known.original_layers, False),
            extractor=self.extractor, seams=seen.seams, scale=scale, step=step, steps=steps, zoom=cameras.zoom,
            regions=partial(self._region, fragments, move), frame=to_device(cameras.frame, self.device),
            frames=cameras.frames, alpha=seen.mask if seen.alpha is None else seen.alpha, cameras=cameras,
            geometry=Geometry(
                fragments, cameras, move, self.finishes, self.surface.embossing, self.size,
                extended,
            ),
        )  # fmt: skip

    def _shade(self, extended: Fragments, there: Tensor, background: Tensor) -> _Images:
        """Colours over a background [B,3,H,W]. extended: fragments, and below them rows of points beside seams."""
        height = there.shape[2]
        colors, before, amount = self.surface.sample(extended)
        colors, seams = self.seams.split(colors, height)
        return _Images(
            image=composite(colors, there, background),
            original=composite(before[:, :, :height], there, background),
            mask=there.float() if amount is None else (there & (amount[:, :, :height] > 0.5)).float(),
            alpha=there * colors[:, 3:] if colors.shape[1] == 4 else None,
            seams=seams,
        )

    def _region(self, fragments: Fragments, move: Move | None, where: str) -> Tensor:
        region = self.regions(fragments, where)
        return region if move is None else move(region).round()


def _moved(seen: _Images, move: Callable[[Tensor], Tensor]) -> _Images:
    """All of them, transformed alike."""
    parts = [seen.image, seen.original, seen.mask] + ([] if seen.alpha is None else [seen.alpha])
    image, original, mask, *alpha = move(torch.cat(parts, 1)).split([part.shape[1] for part in parts], 1)
    return _Images(image, original.detach(), mask.detach(), alpha[0] if alpha else None, seen.seams)


def _repeatable(transform: Transform, generator: Generator) -> Move:
    """A random transformation that does the same to all images that it is given."""
    seed = int(torch.randint(2**62, (), generator=generator))

    def move(images: Tensor) -> Tensor:
        moved = transform(Generator().manual_seed(seed), images)
        if not isinstance(moved, Tensor) or moved.shape != images.shape:
            got = list(moved.shape) if isinstance(moved, Tensor) else type(moved).__name__
            raise OptionError(
                f"transform has to return images shaped as it is given them, {list(images.shape)}, not {got}"
            )
        return moved

    return move
