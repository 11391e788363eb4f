"""What `texopt style` optimises: objective, textures, cameras and background of its options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from texopt.backgrounds import Background, plain, random_color, smooth_noise
from texopt.cameras import Sampler, close_ups, sample_sphere, with_close_ups
from texopt.config import FeatureConfig, FitConfig, RunConfig, StyleConfig
from texopt.directions import check_direction, direction_field
from texopt.errors import OptionError
from texopt.images import load_image
from texopt.mesh import Mesh
from texopt.objectives import Objective, colors, content, patches, seam, strokes, style
from texopt.painting import blend_shares, in_colors_of, repainted
from texopt.points import random_points
from texopt.regions import Regions
from texopt.texture import Cppn, CppnTexture, FourierTexture, PixelTexture, PyramidTexture, Texture, TransparentTexture
from texopt.texture.image import Start, resized

TEXTURES: dict[str, type[PyramidTexture] | type[FourierTexture] | type[PixelTexture]] = {
    "pyramid": PyramidTexture,
    "fourier": FourierTexture,
    "pixel": PixelTexture,
}
BACKGROUNDS: dict[str, Background] = {"noise": smooth_noise(), "color": random_color(), "black": plain(0.0)}

FIRST = 2.0  # weight of content at the start, before its limit tells
HIDDEN = 0.95  # of what may be lost: pieces of a painting hide a little more from others than from the run's network
SHARP = 1024  # texels a side of a start that shall be sharp
COLORS = 10.0  # times the weight of style, for colours in its place
GREY = (0.5, 0.5, 0.5)
POINTS = 8192  # that close-ups are of


def check_style(config: StyleConfig) -> list[Image.Image]:
    """The paintings of a run. OptionError or ImageError where its options cannot be, before anything is computed."""
    if not config.style:
        raise OptionError("there is no painting to take the style of; give an image after the mesh")
    weights = [config.style_weight, config.patch_weight, config.seam_weight]
    weights += [config.direction_weight] if config.direction else []
    weights += [] if config.content_weight is None else [config.content_weight]
    if not 0 <= config.clouds <= 10:
        raise OptionError(f"clouds have to be between 0 and 10, not {config.clouds}")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise OptionError(f"weights have to be 0 or more, and not all 0; they are {', '.join(map(str, weights))}")
    if not 0 <= config.strength <= 1:
        raise OptionError(f"strength has to be between 0 (the original) and 1 (style only), not {config.strength}")
    if config.blend and config.where:
        raise OptionError("blend mixes paintings everywhere and where keeps them apart; take one of them")
    if config.where and len(config.where) != len(config.style):
        raise OptionError(
            f"where has to name a part for each of the {len(config.style)} paintings; it names {len(config.where)}"
        )
    if config.keep_colors and config.keep_strokes:
        raise OptionError("the original's colours and its strokes leave nothing to change; take one of them")
    if config.direction:
        check_direction(config.direction)
    blend_shares(len(config.style), config.blend)
    return [load_image(path, min_size=16) for path in config.style]


def toward(config: StyleConfig) -> float:
    """How far targets and start are from the original (0) towards the painting (1): all the way from 0.5 on."""
    return min(1.0, 2 * config.strength)


def style_objective(config: StyleConfig, mesh: Mesh, paintings: Sequence[Image.Image]) -> Objective:
    """Style, content and seams, in the balance that the options ask for."""
    objective = _looks(config, mesh, paintings)
    pieces = bool(config.patch_weight) and not config.keep_strokes
    kept = content(distance=config.content_loss, detailed=pieces)  # so that they have room where there was one colour
    if config.content_weight is not None:
        objective = objective + config.content_weight * kept if config.content_weight else objective
    elif config.keep_strokes:
        objective = objective + FIRST * kept
    elif config.strength < 1:  # the strength says how much of it may be lost
        limit = config.strength * (HIDDEN if pieces else 1.0)
        objective = objective + FIRST * kept.below(max(limit, 0.02))
    if config.direction and config.direction_weight:
        direction_field(mesh, config.direction)  # says what cannot be
        objective = objective + config.direction_weight * strokes(config.direction)
    return with_seams(objective, config)


def with_seams(objective: Objective, config: StyleConfig | FeatureConfig) -> Objective:
    """An objective and the colours' difference across UV seams; a CPPN has one colour on both sides anyway."""
    needed = config.seam_weight and config.texture != "cppn"
    return objective + config.seam_weight * seam() if needed else objective


def _looks(config: StyleConfig, mesh: Mesh, paintings: Sequence[Image.Image]) -> Objective:
    """What is taken of the paintings. Under a strength of 0.5 the original's own statistics are a part of it."""
    shown = [in_colors_of(painting, mesh) for painting in paintings] if config.keep_colors else list(paintings)
    common: dict[str, Any] = {"scale": config.style_scale, "strength": toward(config)}
    regions = Regions(mesh)
    for part in config.where:
        regions.check(part)

    def look(images: Sequence[Image.Image], blend: Sequence[float], where: str) -> Objective:
        if config.keep_strokes:
            return config.style_weight * COLORS * colors(images, blend, where)
        manner = config.style_weight * style(images, blend=blend, where=where, object_only=config.object_only, **common)
        if not config.patch_weight:
            return manner
        return manner + config.patch_weight * patches(images, blend=blend, where=where, **common)

    if not config.where:
        return look(shown, config.blend, "")
    parts = [look([image], (), part) for image, part in zip(shown, config.where, strict=True)]
    return sum(parts[1:], parts[0])


def _originals(mesh: Mesh, sizes: Sequence[int]) -> list[Tensor]:
    return [mesh.maps[index].original_at(size, size) for index, size in zip(mesh.optimized, sizes, strict=True)]


def _starts(config: StyleConfig, mesh: Mesh, paintings: Sequence[Image.Image], generator: Generator) -> list[Start]:
    sizes = mesh.map_sizes(config.texture_size)
    if config.start == "noise":
        return [None] * len(sizes)

    if config.start == "original" or config.keep_colors:
        return list(_originals(mesh, sizes))
    if config.keep_strokes:  # sharp, and as even as it was
        painted = repainted(mesh, paintings, config.blend, generator, clouds=0.0, size=min(max(sizes), SHARP))
    else:
        painted = repainted(mesh, paintings, config.blend, generator, config.clouds)
    if toward(config) == 1:  # at their own size, which takes no memory for what is finer
        return list(painted)
    return [
        torch.lerp(original, resized(image, size, size), toward(config))
        for original, image, size in zip(_originals(mesh, sizes), painted, sizes, strict=True)
    ]


def check_texture(config: RunConfig) -> None:
    """OptionError for a CPPN that shall start from an image, which no network does."""
    if config.texture != "cppn":
        return
    if isinstance(config, FitConfig):
        raise OptionError("a CPPN is too smooth for photographs; take --texture pyramid")
    if isinstance(config, (StyleConfig, FeatureConfig)) and config.start != "noise":
        raise OptionError("a CPPN starts from patterns of its own; add --start noise, or take --texture pyramid")


def make_textures(
    config: RunConfig, mesh: Mesh, paintings: Sequence[Image.Image], generator: Generator
) -> list[Texture]:
    """One a map that is optimised, and what they start from."""
    transparent = isinstance(config, FeatureConfig) and config.transparent
    sizes = mesh.map_sizes(config.texture_size)
    if config.texture == "cppn":

        def networks() -> list[CppnTexture]:
            return CppnTexture.on(mesh, config.texture_size, Cppn(3, generator=generator))

        if not transparent:
            return list(networks())
        return [TransparentTexture(color, alpha) for color, alpha in zip(networks(), networks(), strict=True)]
    start: list[Start] = [None] * len(sizes)
    if isinstance(config, StyleConfig):
        start = _starts(config, mesh, paintings, generator)
    elif isinstance(config, FeatureConfig) and config.start == "original":
        start = list(_originals(mesh, sizes))
    elif isinstance(config, FitConfig):
        start = list(_originals(mesh, sizes)) if config.start == "original" else [GREY] * len(sizes)
    kind = TEXTURES[config.texture]
    textures = [kind(size, image, generator) for size, image in zip(sizes, start, strict=True)]
    if transparent:
        return [TransparentTexture(texture, size) for texture, size in zip(textures, sizes, strict=True)]
    return list(textures)


def make_cameras(config: RunConfig, mesh: Mesh) -> Sampler:
    """Views from all around, and close-ups in their share."""
    far = sample_sphere(distance=config.distance, elevation=config.elevation)
    if not config.close_ups:
        return far
    points = random_points(mesh, POINTS)
    corners = mesh.unit_vertices(optimized=True)[mesh.faces].double().numpy()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[points.face]
    near = close_ups(
        torch.from_numpy(points.between(corners)), torch.from_numpy(normals), config.zoom, elevation=config.elevation
    )
    return with_close_ups(far, near, config.close_ups)
