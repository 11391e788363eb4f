"""evaluate: all numbers of a result, each beside what it can be at best and what the original has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from texopt.errors import MeshError
from texopt.evaluation.detail import painted, scale, sharpness
from texopt.evaluation.likeness import compare, painting_grams
from texopt.evaluation.surface import coverage, seam_ratio
from texopt.evaluation.views import CLOSE, Pictures
from texopt.features.extractor import FeatureExtractor
from texopt.images import to_image
from texopt.mesh import Mesh


@dataclass(frozen=True)
class Number:
    """A measured number, the painting's own (which none can be better than) and the original texture's, or None."""

    name: str
    result: float | None
    painting: float | None
    original: float | None
    meaning: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """numbers: see evaluate. sheet: close-ups of the original over those of the result."""

    numbers: tuple[Number, ...]
    sheet: Image.Image

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json: {name: {result, painting, original}}; null where there is no such number."""
        return {
            number.name: {
                key: None if value is None or not math.isfinite(value) else round(value, 5)
                for key, value in (
                    ("result", number.result), ("painting", number.painting), ("original", number.original),
                )
            }
            for number in self.numbers
        }  # fmt: skip


def evaluate(
    result: Mesh, original: Mesh, style: Image.Image, extractor: FeatureExtractor, *, style_scale: float = 1.1
) -> Evaluation:
    """Measure a textured mesh against the original and the painting whose style it shall have.

    style: relative L1 distance of Gram matrices over the surface, in 32 views from all around, mean over the
        extractor's style layers. The painting's is the mean distance of its halves to the whole.
    content: 1 - cosine similarity of mid-level features about their means, result to original, mean over the views.
    seam: the mean colour step across UV seams over that across other edges, a texel on either side.
    coverage, noise: share of used texels that views reach; roughness of the rest over theirs.
    frequency, spread: cycles per diameter of the mesh, in patches of a tenth of it; their deviation in octaves.
    sharpness: share of the contrast of close-ups that is finer than the pixels of a view CLOSE times as far.

    Args:
        result, original: the same geometry; textures and UVs are their own.
        style: the painting, RGB.
        extractor: a network that took no part in the optimisation.
        style_scale: length of the painting's shorter side in diameters of the mesh.

    Raises:
        MeshError: the two are not the same geometry.
    """
    check_same(result, original)
    after, before = Pictures(result), Pictures(original)
    goal, floor = painting_grams(style, style_scale, extractor)
    [(styled, ceiling)], content = compare(after, before, [goal], extractor)
    reached = coverage(result, after.textures)
    flat = painted(style, style_scale)
    sizes = [scale(pictures) for pictures in (after.views(), flat, before.views())]
    frequency, spread = ([size and getattr(size, name) for size in sizes] for name in ("frequency", "spread"))
    close = [list(pictures.close_ups()) for pictures in (before, after)]
    sharp = [sharpness(pictures) for pictures in (close[1], painted(style, style_scale, CLOSE), close[0])]
    numbers = (
        Number("style", styled, floor, ceiling, "distance of Gram matrices; 0 is the painting's own statistics"),
        Number("content", content, None, 0.0, "what of the original is lost; 0 nothing, 1 all"),
        Number("seam", seam_ratio(result, after), None, seam_ratio(original, before), "1 shows no seams"),
        Number("coverage", reached.reached, None, None, "share of the used texels that views reach"),
        Number("noise", reached.noise, None, None, "roughness of the others over theirs; 0 is a smooth fill"),
        Number("frequency", *frequency, "of strokes, cycles per diameter of the mesh"),
        Number("spread", *spread, "of the frequency over the surface, octaves"),
        Number("sharpness", *sharp, f"share of detail that only a view {CLOSE} times closer shows"),
    )
    sheet = torch.cat([torch.cat([image for picture in row for image in picture.image][::2], 2) for row in close], 1)
    return Evaluation(numbers, to_image(sheet))


def check_same(result: Mesh, original: Mesh) -> None:
    """MeshError where two meshes cannot be the same one with other textures."""
    if len(result.faces) != len(original.faces):
        raise MeshError(
            f"{result.name} has {len(result.faces):,} triangles and the original {len(original.faces):,}; "
            "give the mesh that the result was made of (--original)"
        )
    for one, other in zip(result.normalization(), original.normalization(), strict=True):
        if np.abs(np.subtract(one, other)).max() > 1e-3 * original.normalization()[1]:
            raise MeshError(f"{result.name} has another size or place than the original; give the mesh that it was made of")


def textured(mesh: Mesh, images: Sequence[torch.Tensor]) -> Mesh:
    """A mesh with other textures, [3,H,W] in [0,1], one a map."""
    from dataclasses import replace

    import numpy as np

    maps = [
        replace(texture, original=np.array(to_image(image)))
        for texture, image in zip(mesh.maps, images, strict=True)
    ]
    return replace(mesh, maps=tuple(maps))
