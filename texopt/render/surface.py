"""Geometry: which place of the surface every pixel of a view shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.render.cameras import Cameras
from texopt.render.finish import Embossing, Finishes, PixelFinish
from texopt.render.fragments import Fragments, in_rows

if TYPE_CHECKING:
    from texopt.render.outline import Outline

Move = Callable[[Tensor], Tensor]  # images [B,C,H,W] -> images of the same size, the same way every time
SOME = 1e-4  # of a pixel; less of the object is none


@dataclass(frozen=True, eq=False)
class Sharp:
    """A view's images before their silhouettes were smoothed, for what changes colours of the surface alone.

    image, original: float32 [B,3,H,W]. alpha: float32 [B,1,H,W], with a gradient where textures have opacity. outline:
    that smooths them. smoothed: what `image` has become.
    """

    image: Tensor
    original: Tensor
    alpha: Tensor
    outline: Outline
    smoothed: Tensor


@dataclass(frozen=True, eq=False)
class Geometry:
    """What of a mesh the pixels of a view show, moved as its images were; each member is made when it is asked for.

    drawn: what was rasterised. cameras: that it was drawn from. move: how the images were transformed since, if they
    were. finishes: of the mesh's own maps. embossing: of the textures that are optimised, where they have relief. size:
    radii of the mesh in those of the scene. extended: what was rasterised with rows of points on both sides of UV seams
    below, as of Seams.extend. sharp: of its images, where the mesh's shape is optimised and they were not transformed.
    """

    drawn: Fragments
    cameras: Cameras
    move: Move | None = None
    finishes: Finishes | None = None
    embossing: Embossing | None = None
    size: float = 1.0
    extended: Fragments | None = None
    sharp: Sharp | None = None

    @cached_property
    def fragments(self) -> Fragments:
        """The fragments at the pixels; where images were transformed, those of the nearest pixel."""
        if self.move is None:
            return self.drawn
        batch, height, width = self.drawn.mask.shape
        column, row = self._places[:, :2].round().long().unbind(1)
        image = torch.arange(batch, device=row.device)[:, None, None]
        index = (image * height + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
        return self.drawn.at(index).only(self._places[:, 2] > 0.5)

    def turned(self, steps: Tensor) -> Tensor:
        """Steps in the rendering at the fragments' pixels, in pixels [B,2,H,W], as they are in the image that was made
        of it; zeros where it was folded."""
        if self.move is None:
            return steps
        (xx, yx), (xy, yy) = (torch.gradient(self._places[:, :2], dim=dim)[0].unbind(1) for dim in (3, 2))
        x, y = steps.unbind(1)
        area = xx * yy - xy * yx
        found = torch.stack([yy * x - xy * y, xx * y - yx * x], 1) / area[:, None]
        return torch.where(area.abs()[:, None] > SOME, found, 0.0)

    @cached_property
    def _places(self) -> Tensor:
        """Where each pixel of the image has been in the rendering: (column, row, share of it that has been there),
        [B,3,H,W]."""
        assert self.move is not None
        batch, height, width = self.drawn.mask.shape
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places = torch.stack([column, row, torch.ones_like(row)]).float().to(self.drawn.mask.device)
        found = self.move(places.expand(batch, 3, height, width))  # in a picture of places
        return torch.cat([found[:, :2] / found[:, 2:].clamp(min=0.5), found[:, 2:]], 1)

    @cached_property
    def position(self) -> Tensor:
        """float32 [B,3,H,W], in the mesh's own coordinates; zeros where nothing is."""
        return self.drawn.known_scene().own(self._unit) * self._there

    @cached_property
    def normal(self) -> Tensor:
        """float32 [B,3,H,W], of length 1; zeros where nothing is."""
        return F.normalize(self._mean(self.drawn.normal), dim=1)

    @cached_property
    def depth(self) -> Tensor:
        """float32 [B,1,H,W], along the line of sight, in the mesh's own units; zeros where nothing is."""
        sight = -self.cameras.view[:, 2].to(self._unit)[:, :, None, None]
        along = (sight[:, :3] * self._unit).sum(1, keepdim=True) + sight[:, 3:]
        return self.drawn.known_scene().radius * along * self._there

    @cached_property
    def to_camera(self) -> Tensor:
        """float32 [B,3,H,W], of length 1, from the surface to the camera; zeros where nothing is."""
        return F.normalize(self._mean(self.drawn.view_direction), dim=1)

    @cached_property
    def finish(self) -> PixelFinish:
        """Of what is seen, with a gradient to a relief."""
        if self.embossing is None:
            return self.original_finish
        embossed = self._embossed[:, :, : self.drawn.mask.shape[1]]
        return self._moved(self._known_finishes().sample(self.drawn, embossed, self.size))

    @cached_property
    def original_finish(self) -> PixelFinish:
        """Of the mesh's own maps."""
        return self._moved(self._known_finishes().sample(self.drawn))

    def finish_beside_seams(self) -> Tensor | None:
        """Shading normal and roughness [2,N,4] of points on UV seams, of either side; None where there is no relief."""
        height = self.drawn.mask.shape[1]
        if self.embossing is None or self.extended is None or self.extended.mask.shape[1] == height:
            return None
        beside = self.extended.below(height)
        found = self._known_finishes().sample(beside, self._embossed[:, :, height:], self.size)
        points = torch.cat([found.normal, found.roughness], 1)
        sides: Tensor = points.unflatten(2, (2, -1)).permute(2, 0, 3, 4, 1).flatten(1, 3)
        return sides

    @cached_property
    def pixels(self) -> Tensor:
        """Which pixels show the surface: flat indices int64 [N] into images [B,H,W]."""
        return self._there.flatten().nonzero()[:, 0]

    def at_pixels(self, images: Tensor) -> Tensor:
        """What images [B,C,H,W] are there: [N,C]."""
        return images.movedim(1, -1).flatten(0, 2)[self.pixels]

    def surface_at_pixels(self) -> tuple[Tensor, Tensor]:
        """(unit vectors to the camera, geometric normals), [N,3] both."""
        if self.move is not None:
            return self.at_pixels(self.to_camera), self.at_pixels(self.normal)
        picked, count = self._picked, len(self.pixels)
        return picked.view_direction.flatten(0, 2)[:count], picked.normal.flatten(0, 2)[:count]

    def finish_at_pixels(self, original: bool = False) -> PixelFinish:
        """`finish`, or `original_finish`, there: [N,C]. What is not there is not computed."""
        if self.move is not None:
            return (self.original_finish if original else self.finish).of(self.at_pixels)
        embossed, picked = None, self._picked
        if self.embossing is not None and not original:
            drawn = self._embossed[:, :, : self.drawn.mask.shape[1]].transpose(0, 1).flatten(1)
            embossed = drawn[:, in_rows(self.pixels)].transpose(0, 1)
        found = self._known_finishes().sample(picked, embossed, self.size)
        return found.of(lambda images: images[0].flatten(1)[:, : len(self.pixels)].T)

    @cached_property
    def _picked(self) -> Fragments:
        return self.drawn.pick(self.pixels)

    @cached_property
    def _embossed(self) -> Tensor:
        """Of what is drawn, and in the rows below it of points beside seams: a relief is decoded once."""
        assert self.embossing is not None
        return self.embossing(self.drawn if self.extended is None else self.extended)

    def _known_finishes(self) -> Finishes:
        if self.finishes is None:
            object.__setattr__(self, "finishes", Finishes(self.drawn.known_scene()))
        assert self.finishes is not None
        return self.finishes

    def _moved(self, finish: PixelFinish) -> PixelFinish:
        moved = finish.of(lambda images: self._mean(images.permute(0, 2, 3, 1)))
        return PixelFinish(F.normalize(moved.normal, dim=1), moved.roughness, moved.metallic)

    @cached_property
    def _unit(self) -> Tensor:
        """Positions in the unit sphere, where floats tell places apart wherever the mesh is: [B,3,H,W]."""
        return self._mean(self.drawn.unit_position)

    @cached_property
    def _there(self) -> Tensor:
        """bool [B,1,H,W]: where there is something."""
        return self._share > SOME

    @cached_property
    def _share(self) -> Tensor:
        there = self.drawn.mask[:, None].float()
        return there if self.move is None else self.move(there)

    def _mean(self, values: Tensor) -> Tensor:
        """Values [B,H,W,C], zeros where nothing is, at the pixels [B,C,H,W]: of pixels that were interpolated, the mean
        over those of the object."""
        images = values.permute(0, 3, 1, 2)
        if self.move is None:
            return images
        return torch.where(self._there, self.move(images) / self._share.clamp(min=SOME), 0.0)
