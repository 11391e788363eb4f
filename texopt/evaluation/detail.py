"""Size of strokes on the surface, and what a close-up shows that a far view does not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.evaluation.views import CLOSE, PIXELS_PER_RADIUS, SIZE, Picture
from texopt.objectives.content_loss import FLAT
from texopt.system.images import to_tensor

PATCH = 48  # pixels a side: a tenth of the mesh's diameter
FACING = 0.75  # mean cosine between surface and line of sight, from which on a patch counts
CONTRAST = 0.02  # contrast (standard deviation) under which a patch shows nothing
GREY = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)


def _patches(values: Tensor) -> Tensor:
    """[B,1,H,W] -> [N, PATCH * PATCH], half overlapping."""
    return F.unfold(values, PATCH, stride=PATCH // 2).transpose(1, 2).flatten(0, 1)


def frequencies(picture: Picture) -> Tensor:
    """The mean spatial frequency of every patch of a picture that shows only surface, squarely: cycles a pixel [N].

    √(mean |∇I|² / var I) / 2π: of a sine wave its frequency, of a texture the root mean square of its spectrum's.
    """
    grey = (picture.image * GREY).sum(1, keepdim=True)
    dx, dy = (grey - grey.roll(1, 3)), (grey - grey.roll(1, 2))
    slope, values = _patches(dx.square() + dy.square()), _patches(grey)
    solid = (_patches(picture.mask).amin(1) > 0) & (_patches(picture.facing).mean(1) > FACING)
    deviation = values.std(1)
    slope = slope.reshape(-1, PATCH, PATCH)[:, 1:, 1:].mean((1, 2))  # not across the patch's border
    found: Tensor = (slope.sqrt() / deviation.clamp(min=1e-6) / (2 * math.pi))[solid & (deviation > CONTRAST)]
    return found


@dataclass(frozen=True)
class Scale:
    """frequency: the middle one, in cycles per diameter of the mesh. spread: standard deviation in octaves."""

    frequency: float
    spread: float


def scale(pictures: Iterable[Picture]) -> Scale | None:
    """How large strokes are, and how unevenly; None where nothing has any contrast."""
    found = torch.cat([frequencies(picture) for picture in pictures])
    if len(found) < 2:
        return None
    octaves = found.clamp(min=1e-6).log2()
    return Scale(float(found.median()) * 2 * PIXELS_PER_RADIUS, float(octaves.std()))


def _eroded(mask: Tensor, radius: int) -> Tensor:
    """A mask [B,1,H,W] without what is up to `radius` pixels from its border; along one axis after the other, which a
    square allows."""
    across = F.max_pool2d(-mask, (1, 2 * radius + 1), 1, (0, radius))
    return -F.max_pool2d(across, (2 * radius + 1, 1), 1, (radius, 0))


def sharpness(pictures: Iterable[Picture]) -> float | None:
    """The share of a close-up's contrast that is finer than a far view's pixels: 0 is upscaled; None without contrast.

    √(var(I - far I) / var I) of grey values over the surface; far I is I averaged over CLOSE² pixels and scaled up.
    """
    lost = whole = pixels = 0.0
    for picture in pictures:
        grey = (picture.image * GREY).sum(1, keepdim=True)
        far = F.interpolate(F.avg_pool2d(grey, CLOSE), scale_factor=CLOSE, mode="bilinear")
        inside = _eroded(picture.mask, 2 * CLOSE)
        count = inside.sum((2, 3), keepdim=True)
        mean = (grey * inside).sum((2, 3), keepdim=True) / count.clamp(min=1)
        lost += float(((grey - far).square() * inside).sum())
        whole += float(((grey - mean).square() * inside).sum())
        pixels += float(count.sum())
    return math.sqrt(lost / whole) if whole > FLAT * pixels else None


def painted(image: Image.Image, style_scale: float, zoom: float = 1.0) -> list[Picture]:
    """A painting as views see it where it lies flat on the mesh, in tiles of SIZE: to compare results with."""
    ratio = style_scale * 2 * PIXELS_PER_RADIUS * zoom / min(image.size)
    shown = image
    if ratio * max(image.size) > 8 * SIZE:  # a part of it is enough
        side = [min(length, round(8 * SIZE / ratio)) for length in image.size]
        left, top = ((length - part) // 2 for length, part in zip(image.size, side, strict=True))
        shown = image.crop((left, top, left + side[0], top + side[1]))
    width, height = (max(round(length * ratio / CLOSE) * CLOSE, PATCH) for length in shown.size)  # as sharpness needs
    pixels = to_tensor(shown.resize((width, height), Image.Resampling.LANCZOS))[None]
    whole = torch.ones_like(pixels[:, :1])
    return [Picture(tile, some, some) for tile, some in zip(_tiles(pixels), _tiles(whole), strict=True)]


def _tiles(values: Tensor) -> list[Tensor]:
    rows = values.split(SIZE, 2)
    return [tile for row in rows for tile in row.split(SIZE, 3) if min(tile.shape[2:]) >= PATCH]
