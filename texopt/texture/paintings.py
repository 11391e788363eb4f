"""Colours: of a painting for a texture to start in, of a mesh for a painting to be seen in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.mesh.surface_points import random_points
from texopt.render.fragments import surface_points
from texopt.render.look_up import look_up
from texopt.system.images import resized, to_image, to_tensor
from texopt.system.pictures import Painting, loaded, several
from texopt.texture.colorspace import mix
from texopt.texture.image import noise

SIZE = 256  # texels a side of a start
SAMPLES = 8192
ROUNDS = 20


def blend_shares(count: int, blend: Sequence[float] | None) -> list[float]:
    """Shares of `count` paintings that add up to 1; OptionError where `blend` gives none."""
    given = [1.0] * count if not blend else [float(share) for share in blend]
    if not count or len(given) != count:
        raise OptionError(f"blend has to have a number for each of the {count} paintings; it has {len(given)}")
    if not all(0 <= share < math.inf for share in given) or not sum(given):
        raise OptionError(f"blend has to be of numbers of 0 or more, and not all 0; it is {given}")
    return [share / sum(given) for share in given]


def painting_colors(images: Sequence[Painting], blend: Sequence[float] | None = None) -> Tensor:
    """Colours [3,N] of paintings, evenly spaced pixels, of each as many as its share says. Errors: blend_shares."""
    counts = np.ceil(np.asarray(blend_shares(len(images), blend)) * SAMPLES).astype(int)  # none of what has no share
    pixels = [to_tensor(loaded(image)).flatten(1) for image in images]
    return torch.cat([
        some[:, torch.linspace(0, some.shape[1] - 1, int(count)).long()]
        for some, count in zip(pixels, counts, strict=True)
    ], 1)  # fmt: skip


def _moments(colors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [3,1], and the symmetric root of the covariance and its inverse [3,3], of colours [3,N]."""
    mean = colors.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(((colors - mean)[:, None] * (colors - mean)).mean(2))
    deviations = variances.clamp(min=1e-6).sqrt()
    return mean, axes @ torch.diag(deviations) @ axes.T, axes @ torch.diag(1 / deviations) @ axes.T


def _clouds(root: Tensor, generator: Generator) -> Tensor:
    """Soft clouds [3,SIZE,SIZE] of mean 0: Gaussian noise on grids of 8², 16², 32² and 64² cells.

    root: symmetric root of the covariance of their colours [3,3].
    """
    grids = [noise(1, 3, cells, cells, generator=generator) for cells in (8, 16, 32, 64)]
    summed = torch.stack([F.interpolate(grid, (SIZE, SIZE), mode="bicubic")[0] for grid in grids]).sum(0)
    return mix(root, summed / summed.std())


def palette(image: Painting, generator: Generator | None = None) -> Tensor:
    """Clouds in the colours of an image, a start for a texture that shall take on its style without an original.

    They have the mean and the covariance of the image's colours: [3,256,256] in (0,1). From it style transfer reaches
    in 150 steps what it needs 250 for from grey noise.
    """
    mean, root, _ = _moments(painting_colors([image]))
    return (mean[..., None] + _clouds(root, generator or Generator().manual_seed(0))).clamp(0.02, 0.98)


def transport(source: Tensor, target: Tensor, samples: Tensor, generator: Generator) -> Tensor:
    """Move colours so that those of `samples` are distributed as those of `target`: [3,N], [3,M], [3,S] -> [3,N].

    Iterated transport along random axes (Pitié, Kokaram & Dahyot, "N-dimensional probability density function transfer
    and its application to colour transfer", ICCV 2005): what is equal stays equal, what is near stays near.
    """

    def moved(values: Tensor, sorted_samples: Tensor, sorted_target: Tensor) -> Tensor:
        first, end = (torch.searchsorted(sorted_samples, sorted_samples, right=right) for right in (False, True))
        below = torch.searchsorted(sorted_samples, values.contiguous())
        same = below.clamp(max=len(sorted_samples) - 1)  # the first sample that is not less
        ranks = torch.where(sorted_samples[same] == values, (first + end)[same], 2 * below)  # twice; of equals the mean
        place = ranks.float() / (2 * len(sorted_samples)) * (len(sorted_target) - 1)
        low = place.floor().long()
        return torch.lerp(sorted_target[low], sorted_target[(low + 1).clamp(max=len(sorted_target) - 1)], place - low)

    for _ in range(ROUNDS):
        axes = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0].T
        rotated, some, wanted = (mix(axes, colors) for colors in (source, samples, target))
        along = [(some[axis].sort().values, wanted[axis].sort().values) for axis in range(3)]
        source = mix(axes.T, torch.stack([moved(rotated[axis], *along[axis]) for axis in range(3)]))
        samples = mix(axes.T, torch.stack([moved(some[axis], *along[axis]) for axis in range(3)]))
    return source


def _seen(mesh: Mesh, images: Sequence[Tensor | None]) -> Tensor:
    """Colours [3,SAMPLES] at random points, evenly over the surface that is optimised. images: [3,H,W], one a map."""
    points = random_points(mesh, SAMPLES)
    return look_up(images, surface_points(mesh, points.uv, points.map_id)).flatten(2)[0]


def repainted(
    mesh: Mesh, images: Painting | Sequence[Painting], blend: Sequence[float] | None = None,
    generator: Generator | None = None, clouds: float = 0.3, size: int = SIZE,
) -> list[Tensor]:  # fmt: skip
    """The original textures in the colours of paintings: what textures start from that shall take on their style.

    Light stays light and dark dark, while the colours on the surface become as frequent as they are in the paintings;
    faint clouds make patches of one colour vary. Starting there keeps more of the original at the same style than
    starting from clouds alone.

    Args:
        mesh: with its original textures.
        images: one or several.
        blend: shares of several, by default equal.
        generator: of the clouds; by default seeded with 0.
        clouds: their standard deviation, in those of the original's colours.
        size: texels a side.

    Returns:
        float32 [3,size,size] in (0,1) for every map that is optimised.
    """
    generator = generator or Generator().manual_seed(0)
    originals = [mesh.maps[index].original_at(size, size) for index in mesh.optimized]
    textures: list[Tensor | None] = [None] * len(mesh.maps)
    for index, original in zip(mesh.optimized, originals, strict=True):
        textures[index] = original
    target = painting_colors(several(images), blend)
    root = _moments(target)[1]
    contrast = max(float(_seen(mesh, textures).std(1).mean()), 0.02)
    root = root * (clouds * contrast / float(root.square().sum(1).mean().sqrt()))
    mixed = [original + resized(_clouds(root, generator), size, size) for original in originals]
    for index, image in zip(mesh.optimized, mixed, strict=True):
        textures[index] = image
    colors = torch.cat([image.flatten(1) for image in mixed], 1)
    moved = transport(colors, target, _seen(mesh, textures), generator)
    return [part.reshape(3, size, size).clamp(0.02, 0.98) for part in moved.split(size * size, 1)]


def in_colors_of(image: Painting, mesh: Mesh) -> Image.Image:
    """A painting in the colours of a mesh's original: mean and covariance of its colours become those of the surface.

    Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016, section 2.1.
    """
    picture = to_tensor(loaded(image))
    mean, _, whiten = _moments(painting_colors([image]))
    goal, root, _ = _moments(_seen(mesh, mesh.originals()))
    values = mix(root @ whiten, picture.flatten(1) - mean) + goal
    return to_image(values.reshape(picture.shape))
