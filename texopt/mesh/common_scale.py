"""Several meshes drawn in their sizes to one another."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from texopt.mesh.mesh import Mesh

log = logging.getLogger("texopt")

SMALLEST_SHARE = 0.25  # of the largest mesh's radius, that a smaller one of a set is drawn with


def common_radii(meshes: Sequence[Mesh]) -> list[float]:
    """For each of several meshes what is to be drawn as 1: the radius of the largest, or less for what is so small that
    it could hardly be seen."""
    radii = [mesh.normalization(optimized=True)[1] for mesh in meshes]
    for mesh, radius in zip(meshes, radii, strict=True):
        if radius < max(radii) * SMALLEST_SHARE:
            log.warning(
                "%s is %.0f times smaller than the largest of the set; it is drawn as if it was %.0f times, and its "
                "strokes are finer", mesh.name, max(radii) / radius, 1 / SMALLEST_SHARE,
            )  # fmt: skip
    return [min(max(radii), radius / SMALLEST_SHARE) for radius in radii]
