"""Photographs looked up between their pixels: a numba kernel over arrays.

Cubic convolution (Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Transactions on Acoustics,
Speech and Signal Processing 29(6), 1981, with a = -1/2): of 4 by 4 pixels, edges held.
"""

from __future__ import annotations

import math

import numpy as np

from texopt.raster.kernels import at, expanded, for_each_block, kernel

ROWS = 16  # that a block of work makes


@expanded
def _weights(t, weights):
    """Of the four pixels at -1, 0, 1, 2, for a place at t in [0,1]."""
    weights[0] = ((2 - t) * t - 1) * t / 2
    weights[1] = ((3 * t - 5) * t * t + 2) / 2
    weights[2] = ((4 - 3 * t) * t + 1) * t / 2
    weights[3] = (t - 1) * t * t / 2


@expanded
def _byte(value):
    return np.uint8(min(max(value + 0.5, 0.0), 255.0))


@kernel
def _resample(block, pixels, places, out):
    height, width = pixels.shape[:2]
    along_x, along_y = np.empty(4), np.empty(4)
    for y in range(block * ROWS, min((block + 1) * ROWS, len(out))):
        for x in range(out.shape[1]):
            column, row = float(places[at(y), at(x), 0]) - 0.5, float(places[at(y), at(x), 1]) - 0.5
            if not (0 <= column <= width - 1 and 0 <= row <= height - 1):
                continue
            left, top = int(math.floor(column)), int(math.floor(row))
            _weights(column - left, along_x)
            _weights(row - top, along_y)
            red, green, blue, counts = 0.0, 0.0, 0.0, 255
            for j in range(4):
                from_row = min(max(top - 1 + j, 0), height - 1)
                for i in range(4):
                    from_column = min(max(left - 1 + i, 0), width - 1)
                    weight = along_y[j] * along_x[i]
                    red += weight * pixels[at(from_row), at(from_column), 0]
                    green += weight * pixels[at(from_row), at(from_column), 1]
                    blue += weight * pixels[at(from_row), at(from_column), 2]
                    counts = min(counts, int(pixels[at(from_row), at(from_column), 3]))
            out[at(y), at(x), 0] = _byte(red)
            out[at(y), at(x), 1] = _byte(green)
            out[at(y), at(x), 2] = _byte(blue)
            out[at(y), at(x), 3] = counts


def resample(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A photograph at places between its pixels.

    Args:
        pixels: uint8 [H,W,4], sRGB and how far each pixel counts.
        places: float32 [h,w,2], (column, row) with (0, 0) at the upper left corner and pixels' centres at halves.

    Returns uint8 [h,w,4]. A pixel counts as far as the least of the 16 that its colour is made of; those of places that
    are NaN or not between pixels' centres are 0.
    """
    out = np.zeros((*places.shape[:2], 4), np.uint8)
    for_each_block(_resample, -(-len(out) // ROWS), np.ascontiguousarray(pixels), places, out)
    return out
