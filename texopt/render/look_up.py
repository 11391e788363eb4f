"""Texture look-up: the colours that images give the fragments, trilinear between mip levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.raster import mip_levels
from texopt.raster.backends import Backend
from texopt.render.fragments import Fragments
from texopt.system.constants import constant

Sample = Callable[[Fragments], Tensor]


def sample_maps(samplers: Sequence[Sample | None], fragments: Fragments) -> Tensor:
    """Colours [B,C,H,W] that every texture gives the fragments that show it; zeros where a sampler is None.

    samplers: one a map of the mesh, each from Fragments to [B,C,H,W].
    """
    if len(samplers) == 1 and samplers[0] is not None:
        return samplers[0](fragments)
    given = {index: sample for index, sample in enumerate(samplers) if sample is not None}
    if not given:
        batch, height, width = fragments.mask.shape
        return fragments.uv.new_zeros(batch, 3, height, width)
    return (_sample_seen if fragments.mask.device.type == "cpu" else _sample_all)(given, fragments)


def _sample_seen(given: Mapping[int, Sample], fragments: Fragments) -> Tensor:
    """Each of the textures at the pixels that show it."""
    batch, height, width = fragments.mask.shape
    shown = torch.where(fragments.mask, fragments.map_id, -1).flatten()
    count = torch.bincount(shown + 1, minlength=max(given) + 2).tolist()[1:]
    # where none of them is seen, no pixel of the first: zeros as its colours would be, with a gradient
    seen = [index for index in given if count[index]] or list(given)[:1]
    pixels = [(shown == index).nonzero()[:, 0] for index in seen]
    colors = [
        given[index](fragments.pick(some))[0].flatten(1)[:, : len(some)]
        for index, some in zip(seen, pixels, strict=True)
    ]
    _check_channels([len(some) for some in colors])
    out = colors[0].new_zeros(len(colors[0]), batch * height * width)
    out = out.index_copy(1, torch.cat(pixels), torch.cat(colors, 1))
    return out.reshape(-1, batch, height, width).transpose(0, 1)


def _sample_all(given: Mapping[int, Sample], fragments: Fragments) -> Tensor:
    """Each of the textures at all pixels: more to compute, but the number of pixels has not to be read from a GPU."""
    out, channels = torch.zeros((), device=fragments.mask.device), []
    for index, sample in given.items():
        shows = fragments.mask & (fragments.map_id == index)
        colors = sample(replace(fragments, mask=shows))
        channels.append(colors.shape[1])
        _check_channels(channels)
        out = torch.where(shows[:, None], colors, out)
    return out


def _check_channels(channels: Sequence[int]) -> None:
    if len(set(channels)) > 1:
        raise OptionError(f"all textures of a mesh have opacity, or none; these have {channels} channels")


@dataclass(frozen=True, eq=False)
class Mipmapped:
    """An image [C,h,w], row 0 on top, that stays as it is, with its mip levels: looking it up makes none."""

    texels: Tensor  # [1,h,w,C]
    levels: Any  # as the backend's texture_construct_mip makes them

    @staticmethod
    def of(image: Tensor, backend: Backend) -> Mipmapped:
        """Made for the fragments of a backend."""
        texels = image.permute(1, 2, 0)[None].contiguous()
        return Mipmapped(texels, backend.texture_construct_mip(texels, max_mip_level=mip_levels(*image.shape[1:])))


Texels = Tensor | Mipmapped


def look_up(images: Texels | Sequence[Texels | None], fragments: Fragments) -> Tensor:
    """Colours [B,C,H,W] that images [C,h,w], row 0 on top, give the fragments: trilinear mipmaps, wrapped as they say.

    images: one for all fragments, or one a map of the mesh (None gives zeros).
    """
    if isinstance(images, (Tensor, Mipmapped)):
        return _look_up(images, fragments)
    return sample_maps([None if image is None else partial(_look_up, image) for image in images], fragments)


def _look_up(image: Texels, fragments: Fragments) -> Tensor:
    height, width = image.texels.shape[1:3] if isinstance(image, Mipmapped) else image.shape[1:]
    fragments = fragments.within(height, width)
    texture, uv, uv_da = fragments.backend.texture, fragments.texture_uv, fragments.uv_da
    if isinstance(image, Mipmapped):
        colors: Tensor = texture(image.texels, uv, uv_da, mip=image.levels)
    else:
        tex = image.permute(1, 2, 0)[None].contiguous()
        colors = texture(tex, uv, uv_da, max_mip_level=mip_levels(*image.shape[1:]))
    return colors.permute(0, 3, 1, 2)


def look_up_details(rows: Tensor, sizes: Sequence[tuple[int, int]], fragments: Fragments) -> Tensor:
    """Sums [B,3,H,W] of levels of detail at the fragments; zeros where nothing is. See texopt.raster.details."""
    values: Tensor = fragments.backend.details(rows, sizes, fragments.texture_uv, fragments.uv_da, fragments.mask)
    return values.permute(0, 3, 1, 2)


def mip_level(fragments: Fragments, height: int, width: int, every: int = 8) -> Tensor:
    """The mean mip level, 0 or more, at which fragments look up an image of a size: a scalar, of some of the pixels."""
    some = (slice(None), slice(None, None, every), slice(None, None, every))
    size = constant((width, width, height, height), fragments.uv_da)
    squares = (fragments.uv_da[some] * size).square()
    level = squares.sum(-1).div(2).clamp(min=1).log2() / 2  # of the axes' root mean square
    there = fragments.mask[some]
    return (level * there).sum() / there.sum().clamp(min=1)
