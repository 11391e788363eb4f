"""evaluate: all numbers of a result, each beside what it can be at best and what the original has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from texopt.errors import MeshError, OptionError
from texopt.evaluation.detail import painted, scale, sharpness
from texopt.evaluation.likeness import Goal, compare, goal_of, mean
from texopt.evaluation.surface import coverage, normal_seam_ratio, seam_ratio
from texopt.evaluation.views import CLOSE, PIXELS_PER_RADIUS, SIZE, Pictures, new_lights
from texopt.features import FeatureExtractor, as_extractor
from texopt.mesh.mesh import Mesh
from texopt.objectives.gram_matrices import check_scale
from texopt.optim.result import Result
from texopt.system.images import to_image
from texopt.system.pictures import Painting, loaded, several
from texopt.texture.paintings import blend_shares

JUDGE = "efficientnet_lite1"  # comes with pip, and no run looks with it unless it is told to


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
    result: Result | Mesh, paintings: Painting | Sequence[Painting], backbone: FeatureExtractor | str = JUDGE, *,
    original: Mesh | None = None, style_scale: float = 1.1, blend: Sequence[float] | None = None,
    where: Sequence[str] = (),
) -> Evaluation:  # fmt: skip
    """Measure a textured mesh against the original and the paintings whose style it shall have.

    style: relative L1 distance of Gram matrices over the surface, in 32 views from all around, mean over the
        extractor's style layers. The painting's is the mean distance of its halves to the whole.
    lit_style: the same of views under new lights, where a texture has a normal map; see
        texopt.evaluation.views.new_lights.
    normal_seam: as seam, of the shading normals.
    coherence, completeness: mean distance, 1 - cosine, of patches of features in these views to the nearest of the
        painting's, and of the painting's to the nearest of these; at three sizes (texopt.evaluation.bidirectional). The
        painting's are those of its halves to each other.
    content: 1 - cosine similarity of mid-level features about their means, result to original, mean over the views.
    seam: the mean colour step across UV seams over that across other edges, a texel on either side.
    coverage, noise: share of used texels that views reach; roughness of the rest over theirs.
    frequency, spread: cycles per diameter of the mesh, in patches of a tenth of it; their deviation in octaves.
    sharpness: share of the contrast of close-ups that is finer than the pixels of a view CLOSE times as far.

    Args:
        result: what `optimize` returned, or a textured mesh.
        paintings: as of style; one or several.
        backbone: a network that took no part in the optimisation: its name, or a FeatureExtractor.
        original: that the result was made of: the same geometry, and the same of it kept; textures and UVs are its own.
            Of a Result it is known.
        style_scale: length of a painting's shorter side in diameters of the mesh, of what of it is optimised.
        blend: shares of several paintings, by default equal.
        where: a part of the surface for each painting, as texopt.render.regions names them; then they are not blended.

    Raises:
        MeshError: the two are not the same geometry. OptionError: a number of shares or parts that does not fit, a
            scale that cannot be.
    """
    if isinstance(result, Result):
        original, result = original or result.mesh, result.textured()
    if original is None:
        raise OptionError("a mesh is measured against its original; give evaluate(..., original=MESH)")
    check_same(result, original)
    check_scale(style_scale)
    extractor = as_extractor(backbone)
    if not extractor.style_layers:
        raise OptionError("this network has no style layers of its own, so it cannot judge; take another")
    if SIZE % extractor.stride:
        raise OptionError(
            f"this network takes multiples of {extractor.stride} pixels, and judges at {SIZE}; take another"
        )
    images = [loaded(one) for one in several(paintings)]
    shares = blend_shares(len(images), blend)
    after, before = Pictures(result), Pictures(original)
    side = style_scale * 2 * PIXELS_PER_RADIUS
    if where and len(where) != len(images):
        raise OptionError(f"where has to name a part for each of the {len(images)} paintings; it names {len(where)}")
    groups = [([image], [1.0]) for image in images] if where else [(images, shares)]
    goals = [goal_of(group, its_shares, side, extractor) for group, its_shares in groups]
    like, unlike, lost = compare(after.views(), before.views(where or [""]), goals, extractor)
    lit_numbers = _under_light(result, original, where, goals, extractor) if has_relief(result) else ()
    floors = [mean([goal.floor for goal in goals]), mean([goal.elements.floor for goal in goals])]
    reached = coverage(result, after.textures)
    flat, flat_close = ([tile for image in images for tile in painted(image, style_scale, zoom)] for zoom in (1, CLOSE))
    sizes = [scale(pictures) for pictures in (after.views(), flat, before.views())]
    frequency, spread = (
        tuple(getattr(size, name) if size else None for size in sizes) for name in ("frequency", "spread")
    )
    close = [list(pictures.close_ups()) for pictures in (before, after)]
    sharp = [sharpness(pictures) for pictures in (close[1], flat_close, close[0])]
    numbers = (
        Number("style", like.style, floors[0], unlike.style, "distance to the painting"),
        *lit_numbers,
        Number("coherence", like.coherence, floors[1], unlike.coherence, "of patches to the painting's"),
        Number("completeness", like.completeness, floors[1], unlike.completeness, "of the painting's patches to these"),
        Number("content", lost, None, 0.0, "lost of the original"),
        Number("seam", seam_ratio(result, after), None, seam_ratio(original, before), "steps at UV seams to others"),
        Number("coverage", reached.reached, None, None, "of texels that views reach"),
        Number("noise", reached.noise, None, None, "of the other texels"),
        Number("frequency", frequency[0], frequency[1], frequency[2], "strokes per diameter"),
        Number("spread", spread[0], spread[1], spread[2], "of frequency, octaves"),
        Number("sharpness", sharp[0], sharp[1], sharp[2], f"detail from {CLOSE} times closer"),
    )
    rows = [torch.cat([image for picture in row for image in picture.image][::2], 2) for row in close]
    sheet = F.avg_pool2d(torch.cat(rows, 1), 2)
    return Evaluation(numbers, to_image(sheet))


def has_relief(mesh: Mesh) -> bool:
    """Whether a texture of the mesh has a normal map."""
    return any(one.finish is not None and one.finish.normal.size > 3 for one in mesh.maps)


def _under_light(
    result: Mesh, original: Mesh, where: Sequence[str], goals: Sequence[Goal], extractor: FeatureExtractor
) -> tuple[Number, ...]:  # fmt: skip
    """Where there are normal maps: the style of views under lights that no run has seen, and seams of normals."""
    after, before = Pictures(result, new_lights), Pictures(original, new_lights)
    like, unlike, _ = compare(after.views(), before.views(where or [""]), goals, extractor)
    floor = mean([goal.floor for goal in goals])
    seams = normal_seam_ratio(result, after)
    return (
        Number("lit_style", like.style, floor, unlike.style, "the same under new lights"),
        Number("normal_seam", seams, None, None, "steps of normals at UV seams to others"),
    )


def check_same(result: Mesh, original: Mesh) -> None:
    """MeshError where two meshes cannot be the same one with other textures."""
    if len(result.faces) != len(original.faces):
        raise MeshError(
            f"{result.name} has {len(result.faces):,} triangles and the original {len(original.faces):,}; "
            "give the mesh that the result was made of (--original)"
        )
    (center, radius), (other_center, other_radius) = (mesh.normalization(optimized=True) for mesh in (result, original))
    if np.abs([*(center - other_center), radius - other_radius]).max() > 1e-3 * other_radius:
        raise MeshError(f"{result.name} has another size or place than the original; give the mesh it was made of")
