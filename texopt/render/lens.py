"""Lenses that bend lines, and what a pinhole camera in their place would have photographed.

The models are OpenCV's, as its documentation has them ("Camera Calibration and 3D Reconstruction", "Fisheye camera
model"). Lens: Brown, "Decentering Distortion of Lenses", Photogrammetric Engineering 32(3), 1966, with the denominator
of Claus & Fitzgibbon, "A Rational Function Lens Distortion Model for General Cameras", CVPR 2005. Fisheye: Kannala &
Brandt, "A Generic Camera Model and Calibration Method for Conventional, Wide-Angle, and Fish-Eye Lenses", IEEE PAMI
28(8), 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from texopt.errors import OptionError
from texopt.raster.resampling import resample

NONE = 0.1  # pixels that a lens may be off a pinhole and still count as one
WIDEST = 2.0  # tangent of the largest angle to the axis that is kept, 63 degrees: there a pinhole stretches things by 5
GROWN = 1.5  # times a photograph's own sides, at most, that it has when it is straightened
CELLS = 128  # a side, that a lens is tried with
BAND = 256  # rows that are computed at once


@dataclass(frozen=True)
class Distortion:
    """Where a lens shows what a pinhole would show at (x, y), both in focal lengths from the axis, y downwards.

    With r² = x² + y², (p1, p2) = tangential,
    scale = (1 + radial[0] r² + radial[1] r⁴ + ...) / (1 + divisor[0] r² + divisor[1] r⁴ + ...), it is shown at

        (x scale + 2 p1 x y + p2 (r² + 2 x²), y scale + p1 (r² + 2 y²) + 2 p2 x y)

    and by a fisheye lens, with t = atan(r), at (x, y) t (1 + radial[0] t² + radial[1] t⁴ + ...) / r.
    """

    radial: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)
    fisheye: bool = False

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        square, (p1, p2) = x * x + y * y, self.tangential
        scale = self._scale(square)
        bent_x = x * scale + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        return bent_x, y * scale + p1 * (square + 2 * y * y) + 2 * p2 * x * y

    def _scale(self, square: np.ndarray) -> np.ndarray:
        if not self.fisheye:
            scale: np.ndarray = _polynomial(self.radial, square) / _polynomial(self.divisor, square)
        else:
            r = np.sqrt(np.maximum(square, 1e-24))
            angle = np.arctan(r)
            scale = angle * _polynomial(self.radial, angle * angle) / r
        return scale

    def reach(self, largest: float) -> float:
        """The r, at most `largest`, up to which what is farther out is shown farther out, too. Of what lies beyond, a
        calibration says nothing: a polynomial turns back there and shows things twice."""
        r = np.linspace(0, largest, 4097)
        turns = np.flatnonzero(~(np.diff(r * self._scale(r * r)) > 0))
        return float(r[turns[0]]) if len(turns) else largest


def _polynomial(factors: Sequence[float], square: np.ndarray) -> np.ndarray:
    """1 + factors[0] square + factors[1] square² + ..."""
    value = np.zeros_like(square)
    for factor in reversed(factors):
        value = (value + factor) * square
    return 1 + value


@dataclass(frozen=True)
class Lens:
    """What a camera is inside, in pixels: its image's size, the focal lengths, the axis, and how it bends lines."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Distortion | None = None

    def pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(column, row, seen) of what a pinhole would show at (x, y), as Distortion has these: float64, in pixels from
        the upper left corner, and whether that is in the photograph."""
        seen = np.ones(x.shape, bool)
        if self.distortion is not None:
            with np.errstate(all="ignore"):
                r = np.hypot(x, y)
                seen = r <= self.distortion.reach(float(r.max()))
                x, y = self.distortion(x, y)
        column, row = self.fx * x + self.cx, self.fy * y + self.cy
        return column, row, seen & (column >= 0) & (column <= self.width) & (row >= 0) & (row <= self.height)

    def is_pinhole(self) -> bool:
        """Whether nothing in the image is as much as a tenth of a pixel from where a pinhole would show it."""
        columns, rows = np.meshgrid(np.linspace(0, self.width, CELLS + 1), np.linspace(0, self.height, CELLS + 1))
        column, row, _ = self.pixels((columns - self.cx) / self.fx, (rows - self.cy) / self.fy)
        return bool((np.hypot(column - columns, row - rows) < NONE).all())


@lru_cache(maxsize=16)
def straightened(lens: Lens) -> Lens | None:
    """The pinhole camera with the same axis and focal lengths whose image has room for all that a lens shows, up to
    GROWN times its sides and 63 degrees from the axis; None if it is a pinhole. OptionError if it shows nothing."""
    if lens.is_pinhole():
        return None
    sides = ((lens.width, lens.fx, lens.cx), (lens.height, lens.fy, lens.cy))
    ends = [min(GROWN * max(abs(axis), abs(side - axis)) / focal, WIDEST) for side, focal, axis in sides]
    x, y = (np.linspace(-end, end, CELLS + 1) for end in ends)
    seen = lens.pixels(*np.meshgrid(x, y))[2]
    if not seen.any():
        raise OptionError("the lens shows nothing in the photograph; check its distortion, fl_x, cx and cy")
    found = []
    for values, hits, (_, focal, _) in ((x, seen.any(0), sides[0]), (y, seen.any(1), sides[1])):
        first, last = np.flatnonzero(hits)[[0, -1]] + [-1, 1]  # and the rest of the cells at the border
        first, last = values[[max(first, 0), min(last, CELLS)]] * focal
        found.append((int(np.floor(first)), int(np.ceil(last))))
    (left, right), (top, bottom) = found
    return Lens(right - left, bottom - top, lens.fx, lens.fy, float(-left), float(-top))


def undistorted(pixels: np.ndarray, lens: Lens) -> np.ndarray:
    """A photograph as `straightened(lens)` would have taken it: pixels that it does not show do not count.

    Args:
        pixels: uint8 [height,width,4], sRGB and how far each pixel counts.
        lens: which took it, and is no pinhole.

    Returns uint8 [h,w,4], see texopt.raster.resampling.
    """
    return resample(pixels, _sources(lens))


@lru_cache(maxsize=1)  # photographs of one camera come one after another
def _sources(lens: Lens) -> np.ndarray:
    """float32 [h,w,2]: (column, row) in the photograph of each pixel of the straightened one, NaN where it has none."""
    straight = straightened(lens) or lens
    found = np.empty((straight.height, straight.width, 2), np.float32)
    x = (np.arange(straight.width) + 0.5 - straight.cx) / straight.fx
    y = (np.arange(straight.height) + 0.5 - straight.cy) / straight.fy
    for first in range(0, len(y), BAND):
        column, row, seen = lens.pixels(*np.meshgrid(x, y[first : first + BAND]))
        found[first : first + BAND] = np.where(seen[..., None], np.stack([column, row], -1), np.nan)
    return found
