"""Coherence and completeness: how far an object's patches are from those of a painting, and the painting's from its.

The two halves of bidirectional similarity (Simakov, Caspi, Shechtman & Irani, "Summarizing Visual Data Using
Bidirectional Similarity", CVPR 2008), of patches of a network's features: an object is coherent if all that it shows is
in the painting, and complete if it shows all that is in the painting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from texopt.features.extractor import FeatureExtractor
from texopt.features.view_sizes import resized
from texopt.objectives.gram_matrices import scaled
from texopt.objectives.patch_matching import SIDE, SIZES, Target, all_patches, most_similar, whole_patches
from texopt.system.images import to_tensor

COMPARED = 4096  # patches whose distance is looked for, at each size
OFFERED = 1024  # patches that they may be near to: always as many, as the nearest of more is nearer
A_VIEW = 256  # patches that are kept of a view


def _some(rows: Tensor, count: int) -> Tensor:
    """At most so many of rows, random ones, always the same."""
    return rows[torch.randperm(len(rows), generator=Generator().manual_seed(0))[:count]]


def nearest_distance(rows: Tensor, others: Tensor) -> float:
    """Mean distance, 1 - cosine, of rows [M,K] to the nearest of others [N,K], both of length 1."""
    rows, others = _some(rows, COMPARED), _some(others, OFFERED)
    best = most_similar(rows, others, torch.zeros(len(others)))
    return float(1 - (rows * others[best]).sum(1).mean())


class Elements:
    """The patches of paintings in one layer, at every size at which they have some.

    floor: mean distance of the patches of each half of the paintings to the nearest of its other half: what is as near
    to them as they are to themselves.
    """

    def __init__(
        self, images: Sequence[Image.Image], shares: Sequence[float], side: float, extractor: FeatureExtractor
    ) -> None:
        """side: pixels that a painting's shorter side is long, at the full size."""
        self.extractor, self.layer = extractor, patch_layer(extractor)
        self.targets: dict[float, Target] = {}
        floors = []
        whole = [to_tensor(scaled(image, side, extractor.stride))[None] for image in images]
        for size in SIZES:
            maps = [extractor(resized(one, size, extractor.stride), {self.layer})[self.layer] for one in whole]
            if min(side for one in maps for side in one.shape[2:]) < 2 * SIDE:
                continue
            target = Target.of(maps, shares, most=COMPARED)
            self.targets[size] = target
            for one, share in zip(maps, shares, strict=True):
                floors.append(share * len(images) * self._halves((one - target.mean) / target.deviation))
        self.floor = sum(floors) / len(floors) if floors else None

    @staticmethod
    def _halves(features: Tensor) -> float:
        axis = 2 if features.shape[2] >= features.shape[3] else 3
        half = features.shape[axis] // 2
        first, second = (
            F.normalize(all_patches(features.narrow(axis, start, half))[0])
            for start in (0, features.shape[axis] - half)
        )
        return (nearest_distance(first, second) + nearest_distance(second, first)) / 2


def patch_layer(extractor: FeatureExtractor) -> str:
    """The layer whose patches are compared."""
    return extractor.content_layer or extractor.style_layers[-1]


class Gathered:
    """Patches of an object, from many views, to be compared with paintings'."""

    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        self.rows: dict[float, list[Tensor]] = {size: [] for size in elements.targets}

    def add(self, image: Tensor, mask: Tensor, features: Mapping[str, Tensor]) -> None:
        """Take in views [B,3,H,W], what is the object in them [B,1,H,W], and their features at the full size."""
        extractor, layer = self.elements.extractor, self.elements.layer
        for size, target in self.elements.targets.items():
            seen = resized(mask, size, extractor.stride)
            values = features if size == 1 else extractor(resized(image, size, extractor.stride), {layer})
            found = all_patches((values[layer] - target.mean) / target.deviation)
            whole = whole_patches(seen, values[layer].shape[2:]) > 0
            self.rows[size] += [
                F.normalize(_some(rows[there], A_VIEW)) for rows, there in zip(found, whole, strict=True)
            ]

    def distances(self) -> tuple[float | None, float | None]:
        """(coherence, completeness): mean distances over the sizes; None where there are no patches."""
        found = []
        for size, target in self.elements.targets.items():
            rows = torch.cat(self.rows[size]) if self.rows[size] else torch.zeros(0)
            if len(rows):
                found.append((nearest_distance(rows, target.patches), nearest_distance(target.patches, rows)))
        if not found:
            return None, None
        return tuple(sum(values) / len(found) for values in zip(*found, strict=True))  # type: ignore[return-value]
