"""The recipe of `texopt style`: the objective that its options ask for, and what textures start from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor

from texopt.cli.options.runs import StyleConfig
from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.objectives import Objective, colors, content, patches, strokes, style
from texopt.render.regions import Regions
from texopt.render.surface_directions import check_direction, direction_field
from texopt.system.images import load_image, resized
from texopt.texture.image import Start
from texopt.texture.paintings import blend_shares, in_colors_of, repainted

FIRST = 2.0  # weight of content at the start, before its limit tells
HIDDEN = 0.95  # of what may be lost: pieces of a painting hide a little more from others than from the run's network
SHARP = 1024  # texels a side of a start that shall be sharp
COLORS = 10.0  # times the weight of style, for colours in its place


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
    """Style and content, in the balance that the options ask for."""
    objective = _manner(config, mesh, paintings)
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
    return objective


def _manner(config: StyleConfig, mesh: Mesh, paintings: Sequence[Image.Image]) -> Objective:
    """What is taken of the paintings. Under a strength of 0.5 the original's own statistics are a part of it."""
    shown = [in_colors_of(painting, mesh) for painting in paintings] if config.keep_colors else list(paintings)
    common: dict[str, Any] = {"scale": config.style_scale, "toward": toward(config)}
    regions = Regions(mesh)
    for part in config.where:
        regions.check(part)

    def manner(images: Sequence[Image.Image], blend: Sequence[float], where: str) -> Objective:
        if config.keep_strokes:
            return config.style_weight * COLORS * colors(images, blend, where)
        gram = config.style_weight * style(images, blend=blend, where=where, object_only=config.object_only, **common)
        if not config.patch_weight:
            return gram
        return gram + config.patch_weight * patches(images, blend=blend, where=where, **common)

    if not config.where:
        return manner(shown, config.blend, "")
    parts = [manner([image], (), part) for image, part in zip(shown, config.where, strict=True)]
    return sum(parts[1:], parts[0])


def style_starts(
    config: StyleConfig, mesh: Mesh, paintings: Sequence[Image.Image], sizes: Sequence[int],
    originals: Callable[[], Sequence[Tensor]], generator: Generator,
) -> list[Start]:  # fmt: skip
    """What textures of those sizes start from. originals: the mesh's own textures at these sizes."""
    if config.start == "noise":
        return [None] * len(sizes)

    if config.start == "original" or config.keep_colors:
        return list(originals())
    if config.keep_strokes:  # sharp, and as even as it was
        painted = repainted(mesh, paintings, config.blend, generator, clouds=0.0, size=min(max(sizes), SHARP))
    else:
        painted = repainted(mesh, paintings, config.blend, generator, config.clouds)
    if toward(config) == 1:  # at their own size, which takes no memory for what is finer
        return list(painted)
    return [
        torch.lerp(original, resized(image, size, size), toward(config))
        for original, image, size in zip(originals(), painted, sizes, strict=True)
    ]
