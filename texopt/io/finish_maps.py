"""The maps of finishes as image files have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from texopt.system.images import load_rgba

BLUEST = 0.7  # mean of blue, beyond which an image may be of normals: those of a surface point away from it


def load_map(source: Path | bytes, name: str = "") -> np.ndarray:
    """The values of an image file as they are stored, uint8 [h,w,3]. ImageError as of load_rgba.

    name: for messages, where `source` is bytes.
    """
    return np.array(load_rgba(source, name, upright=False).convert("RGB"))


def looks_like_normals(values: np.ndarray) -> bool:
    """Whether an image uint8 [h,w,3] can be a normal map, and no height map: its channels differ, and it is blue."""
    red, green, blue = np.moveaxis(values, -1, 0)
    differ = (red != green).any() and (green != blue).any() and (red != blue).any()
    return bool(differ and blue.mean() > 255 * BLUEST)


def strengthened(normal: np.ndarray, scale: float) -> np.ndarray:
    """A normal map uint8 [h,w,3] whose slopes are scaled (glTF 2.0 Specification, normalTextureInfo.scale)."""
    if scale == 1.0:
        return normal
    vectors = (normal / 127.5 - 1).astype(np.float32) * np.array((scale, scale, 1.0), np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return np.asarray(((unit + 1) * 127.5).round().astype(np.uint8))
