# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG files of arrays: Blender's own writer depends on the scene's settings."""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLOR_TYPES = {3: 2, 4: 6}  # by channels


def png(pixels: np.ndarray) -> bytes:
    """pixels: uint8 [H,W,3 or 4], row 0 on top."""
    height, width, channels = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)  # 0: not filtered
    header = struct.pack(">IIBBBBB", width, height, 8, COLOR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear colours as sRGB values in [0,1] (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
