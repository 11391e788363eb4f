"""Vertex colours of OBJ files: numbers behind the coordinates, or ZBrush's comments.

Neither is in the format's specification; they are as programs write them (P. Bourke, "OBJ: vertex colour",
paulbourke.net/dataformats/obj/colour.html).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texopt.io.obj.lines import key_and_rest
from texopt.texture.colorspace import color_scale

log = logging.getLogger("texopt")

MRGB = "#MRGB"


@dataclass(frozen=True, eq=False)
class VertexColors:
    """rgb: float64 [V,3], sRGB in [0,1], white where the file has none. scale: what is 1 of them in the file."""

    rgb: np.ndarray
    scale: float


def vertex_colors(path: Path, found: np.ndarray, painted: np.ndarray, used: np.ndarray) -> VertexColors | None:
    """The colours of vertices; None where no vertex of a face has one.

    Args:
        found: float64 [V,3], what stands behind the coordinates, NaN where there is nothing.
        painted: float64 [V,3], what #MRGB lines say, in [0,1], NaN where that is nothing; for vertices without other.
        used: bool [V], which vertices faces have.
    """
    has = np.isfinite(found).all(1) & used
    scale = color_scale(found[has])
    rgb = np.where(has[:, None], found / scale, painted)
    has |= np.isfinite(painted).all(1) & used
    if not has.any():
        return None
    without = int(used.sum() - has.sum())
    if without:
        log.warning(
            "%s: %s of %s vertices have no colour, or one that is not finite, and are taken as white",
            path.name, f"{without:,}", f"{int(used.sum()):,}",
        )  # fmt: skip
    return VertexColors(np.where(has[:, None], rgb, 1.0).clip(0, 1), scale)


def polypaint(path: Path, lines: list[str], which: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
    """The colours in ZBrush's #MRGB lines, float64 [count,3] in [0,1], NaN for vertices that have none.

    A block of lines, each of up to 64 times eight hexadecimal digits (mask, red, green, blue), is of the vertices that
    stand right before it.

    Args:
        which: int64 [L], the numbers of these lines.
        before: int64 [L], how many vertices stand before each.
    """
    colors = np.full((count, 3), np.nan)
    for end in np.unique(before).tolist():
        text = "".join(key_and_rest(lines[number])[1] for number in which[before == end].tolist())
        try:
            values = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 4)[:, 1:]
            if len(values) > end:
                raise ValueError
            colors[end - len(values) + np.arange(len(values))] = values / 255.0
        except ValueError:
            log.warning(
                "%s, line %d: #MRGB needs eight hexadecimal digits (mask, red, green, blue) for each vertex before it; "
                "it is not read", path.name, which[before == end][0] + 1,
            )  # fmt: skip
    return colors
