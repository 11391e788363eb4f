"""The maps of finishes as image files have them, read and written."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
from PIL import Image

from texopt.errors import ImageError
from texopt.mesh.finish import Finish, directx
from texopt.system.images import load_rgba, png_of

NORMALS = ("opengl", "directx")  # which way green of a normal map goes
LEAST_BLUE = 128  # of a normal map, as z = 1/255
BLUEST = 0.7  # mean of blue, beyond which an image may be of normals: those of a surface point away from it


def load_map(source: Path | bytes, name: str = "") -> np.ndarray:
    """The values of an image file as they are stored, uint8 [h,w,3]. ImageError as of load_rgba.

    name: for messages, where `source` is bytes.
    """
    return np.array(load_rgba(source, name, upright=False).convert("RGB"))


class Maps:
    """Images of maps by a key of their own, each read once, also where that fails: many materials may share one."""

    def __init__(self) -> None:
        self._read: dict[Hashable, np.ndarray | ImageError] = {}

    def read(self, key: Hashable, source: Path | bytes, name: str = "") -> np.ndarray:
        """An image uint8 [h,w,3], as load_map has it. ImageError as of it."""
        if key not in self._read:
            try:
                self._read[key] = load_map(source, name)
            except ImageError as error:
                self._read[key] = error
        return self[key]

    def __getitem__(self, key: Hashable) -> np.ndarray:
        """One that was read. ImageError where that failed."""
        found = self._read[key]
        if isinstance(found, ImageError):
            raise found
        return found


def looks_like_normals(values: np.ndarray) -> bool:
    """Whether an image uint8 [h,w,3] can be a normal map, and no height map: it is not grey, and it is blue.

    Black, which is no direction, does not count: bakers leave it where no face is.
    """
    texels = values[values.any(-1)]
    grey = (texels == texels[:, :1]).all()
    return bool(not grey and texels[:, 2].mean() > 255 * BLUEST)


def strengthened(normal: np.ndarray, scale: float) -> np.ndarray:
    """A normal map uint8 [h,w,3] whose slopes are scaled (glTF 2.0 Specification, normalTextureInfo.scale)."""
    if scale == 1.0:
        return normal
    vectors = (normal / 127.5 - 1).astype(np.float32) * np.array((scale, scale, 1.0), np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return np.asarray(((unit + 1) * 127.5).round().astype(np.uint8))


def outward(normal: np.ndarray) -> np.ndarray:
    """A normal map uint8 [h,w,3] whose normals all point away from the surface, as engines have it that read x and y
    and make z of them: where z is below 1/255 it is that, and x and y are scaled to unit length."""
    inward = normal[..., 2] < LEAST_BLUE
    if not inward.any():
        return normal
    vectors = normal[inward] / 127.5 - 1
    vectors[:, 2] = LEAST_BLUE / 127.5 - 1
    flat = np.linalg.norm(vectors[:, :2], axis=-1, keepdims=True)  # never 0, as no byte is
    vectors[:, :2] *= np.sqrt(1 - vectors[:, 2:] ** 2) / flat
    out = normal.copy()
    out[inward] = ((vectors + 1) * 127.5).round()
    return out


def map_png(values: np.ndarray) -> bytes:
    """A map, uint8 [h,w] or [h,w,3] or uint16 [h,w], as a PNG of these values."""
    return png_of(Image.fromarray(values))


def is_even(values: np.ndarray) -> bool:
    """Whether a map is of one texel."""
    return values.shape[:2] == (1, 1)


def number_of(values: np.ndarray) -> str:
    """The number in [0,1] that a map uint8 [1,1] is, with as few digits as tell which."""
    value = int(values[0, 0])
    texts = (f"{value / 255:.{digits}g}" for digits in range(1, 5))
    return next(text for text in texts if round(255 * float(text)) == value)


def height_png(height: np.ndarray) -> bytes:
    """A height map float [h,w] as a PNG of 16 bits.

    The middle is the mesh's own surface, and 0 or 65535 is the place that is farthest from it.
    """
    farthest = float(np.abs(height).max())
    scaled = (height.astype(np.float64) / farthest + 1) * 32767.5 if farthest else np.full(height.shape, 32767.5)
    return map_png(scaled.round().astype(np.uint16))


def finish_pngs(finish: Finish, normals: str = "opengl", whole: bool = False) -> dict[str, bytes]:
    """The files of a finish, by texopt.io.export_names.FINISHES.

    normals: "opengl", or "directx" with green the other way.
    whole: also those of one texel, which are numbers otherwise.
    """
    maps = {"normal": outward(finish.normal), "roughness": finish.roughness, "metallic": finish.metallic}
    if normals == "directx":
        maps["normal"] = directx(maps["normal"])
    files = {name: map_png(values) for name, values in maps.items() if whole or not is_even(values)}
    return files if finish.height is None else files | {"height": height_png(finish.height)}
