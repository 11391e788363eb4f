"""How a texture goes on beyond its edges: repeated, clamped or mirrored (glTF 2.0 Specification, samplers)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MODES = REPEAT, CLAMP, MIRROR = "repeat", "clamp", "mirror"
Wrap = tuple[str, str]  # along u, along v
REPEATED: Wrap = (REPEAT, REPEAT)


def folded(uvs: np.ndarray, wrap: Wrap) -> np.ndarray:
    """UVs [...,2] brought into [0,1]."""
    ways = {
        REPEAT: lambda x: x - np.floor(x),
        CLAMP: lambda x: x.clip(0, 1),
        MIRROR: lambda x: 1 - np.abs(x % 2 - 1),
    }
    return np.stack([ways[mode](uvs[..., axis]) for axis, mode in enumerate(wrap)], -1)


def first_period(uvs: np.ndarray, wrap: Wrap) -> np.ndarray:
    """What can be taken off UVs [N,2], which then still show the same, so that they begin near 0: float64 [2]."""
    periods = {REPEAT: 1.0, MIRROR: 2.0}
    lows = zip(uvs.min(0), wrap, strict=True)
    return np.array([low // periods[mode] * periods[mode] if mode in periods else 0.0 for low, mode in lows])


def wrap_table(wraps: Sequence[Wrap]) -> tuple[tuple[int, int], ...] | None:
    """Indices into MODES of the wraps of several textures; None where all of them repeat."""
    if all(wrap == REPEATED for wrap in wraps):
        return None
    return tuple((MODES.index(u), MODES.index(v)) for u, v in wraps)
