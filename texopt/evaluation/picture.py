"""The numbers of an image: those of a result that a single view can have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image

from texopt.errors import ImageError
from texopt.evaluation.likeness import Likeness, compare, goal_of
from texopt.evaluation.report import JUDGE, Evaluation, Number
from texopt.evaluation.views import Picture
from texopt.features import FeatureExtractor, as_extractor
from texopt.objectives.gram_matrices import scaled
from texopt.system.images import to_image, to_tensor
from texopt.system.pictures import Painting, loaded, several
from texopt.texture.paintings import blend_shares

LARGEST = 1024  # pixels of the shorter side that is looked at


def border_ratio(image: Image.Image) -> float:
    """The mean colour step across the borders of tiles of an image over that within it: 1 is a tile without a border.

    Of steps between neighbouring pixels: from the last row to the first and from the last column to the first, to those
    between all others.
    """
    pixels = to_tensor(image)
    steps = [(pixels - pixels.roll(1, axis)).abs().mean(0) for axis in (1, 2)]
    across = torch.cat([steps[0][0], steps[1][:, 0]]).mean()
    within = torch.cat([steps[0][1:].flatten(), steps[1][:, 1:].flatten()]).mean()
    return float(across / within.clamp(min=1e-6))


def evaluate_image(
    result: Image.Image, original: Image.Image | None, paintings: Painting | Sequence[Painting],
    backbone: FeatureExtractor | str = JUDGE, *,
    style_scale: float = 1.0, blend: Sequence[float] | None = None, tileable: bool = False,
) -> Evaluation:  # fmt: skip
    """Measure an image against the one it was made of and the paintings whose style it shall have.

    style, coherence, completeness, content: as of evaluate, for the image as a single view.
    border: see border_ratio; of tiles only.

    Args:
        original: of the same size, or None for an image that was made of nothing; it has no content then.
        style_scale: length of a painting's shorter side in shorter sides of the image.

    ImageError where the sizes differ.
    """
    extractor = as_extractor(backbone)
    pictures = [loaded(one) for one in several(paintings)]
    if original is not None and original.size != result.size:
        raise ImageError(f"the result has {result.size} pixels and the original {original.size}; give the one it is of")
    side = min(*result.size, LARGEST)
    images = [to_tensor(scaled(image, side, extractor.stride))[None] for image in (result, original or result)]
    whole = torch.ones_like(images[0][:, :1])
    after, before = (Picture(image, whole, whole, [whole]) for image in images)
    goal = goal_of(pictures, blend_shares(len(pictures), blend), style_scale * side, extractor)
    like, unlike, lost = compare([after], [before], [goal], extractor)
    other = unlike if original else Likeness(None, None, None)
    numbers = [
        Number("style", like.style, goal.floor, other.style, "distance to the painting"),
        Number("coherence", like.coherence, goal.elements.floor, other.coherence, "of patches to the painting's"),
        Number(
            "completeness", like.completeness, goal.elements.floor, other.completeness,
            "of the painting's patches to these",
        ),
    ]  # fmt: skip
    if original:
        numbers.append(Number("content", lost, None, 0.0, "lost of the original"))
    if tileable:
        numbers.append(Number("border", border_ratio(result), None, None, "steps across tiles' borders to others"))
    rows = torch.cat([image[0] for image in images[:: -1 if original else 2]], 2)
    return Evaluation(tuple(numbers), to_image(F.avg_pool2d(rows, 2) if side > 512 else rows))
