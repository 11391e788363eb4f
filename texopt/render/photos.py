"""Photographs with known cameras, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texopt.errors import ImageError
from texopt.render.lens import Lens, undistorted
from texopt.system.images import load_rgba

MOST_BYTES = 2 << 30  # of pixels that are kept; others are read again when they are asked for


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and its camera, a pinhole one.

    Pixels are counted from the upper left corner of the image: the centre of the first one is at (0.5, 0.5). A point
    (x, y, z) in the camera's space, which looks along -Z with +Y upwards, is seen at
    (cx - fx x / z, cy + fy y / z).

    path, mask: files; a mask is white where the photograph counts. width, height: in pixels. fx, fy, cx, cy: in pixels.
    camera_to_world: float64 [4,4]. reduction: how many times smaller than the file the image is taken. turned: it is
    taken as its EXIF orientation turns it, not as it is stored. lens: that of the file, if it bends lines; the others
    are then those of its straightened image.
    """

    path: Path
    mask: Path | None
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    camera_to_world: np.ndarray
    reduction: int = 1
    turned: bool = False
    lens: Lens | None = None

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (x, y) [N,2] at which points [N,3] of the world are seen; NaN for those that are not before it."""
        rotation, place = self.camera_to_world[:3, :3], self.camera_to_world[:3, 3]
        x, y, z = ((points - place) @ rotation).T
        z = np.where(z < 0, z, np.nan)
        return np.stack([self.cx - self.fx * x / z, self.cy + self.fy * y / z], 1)

    def read(self) -> np.ndarray:
        """uint8 [height,width,4]: sRGB, and how far each pixel counts. ImageError where it cannot be read."""
        pixels = masked(load_rgba(self.path, upright=self.turned), self.path, self.mask)
        return smaller(pixels if self.lens is None else undistorted(pixels, self.lens), self.reduction)

    def reduced(self, factor: int) -> Photo:
        """The same, so many times smaller."""
        width, height = -(-self.width // factor), -(-self.height // factor)
        fx, fy, cx, cy = (value / factor for value in (self.fx, self.fy, self.cx, self.cy))
        return replace(self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy, reduction=self.reduction * factor)


def masked(image: Image.Image, path: Path, mask: Path | None) -> np.ndarray:
    """uint8 [height,width,4] of a photograph: sRGB, and how far each pixel counts by its opacity and a mask.

    A mask is taken as it is stored, too, or as its EXIF orientation turns it if only that is of the photograph's size.
    ImageError where neither is.
    """
    image = image.convert("RGBA")
    if mask is not None:
        covering = load_rgba(mask, upright=False)
        if covering.size != image.size:
            covering = load_rgba(mask)
        if covering.size != image.size:
            raise ImageError(
                f"mask {mask} is {covering.width}x{covering.height} and its photograph {path} is "
                f"{image.width}x{image.height}; make them alike"
            )
        counts = np.minimum(np.asarray(image)[..., 3], np.asarray(covering.convert("RGB").convert("L")))
        image.putalpha(Image.fromarray(counts))
    return np.asarray(image)


def smaller(pixels: np.ndarray, factor: int) -> np.ndarray:
    """uint8 [h,w,4]: means of blocks of pixels, in which those that do not count have no part."""
    if factor == 1:
        return pixels
    return np.array(Image.fromarray(pixels).convert("RGBa").reduce(factor).convert("RGBA"))


class Kept(dict["Photo", np.ndarray]):
    """Pixels of photographs, as many as MOST_BYTES hold."""

    def add(self, photo: Photo, pixels: np.ndarray) -> None:
        if sum(each.nbytes for each in self.values()) + pixels.nbytes <= MOST_BYTES:
            self[photo] = pixels


class Photos(Sequence[Photo]):
    """Photographs, with as many of their pixels in memory as MOST_BYTES hold.

    kept: pixels that are known; those that are read later are added.
    """

    def __init__(self, photos: Sequence[Photo], kept: Kept | None = None) -> None:
        self._photos, self._kept = list(photos), Kept() if kept is None else kept

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: Any) -> Any:
        """A Photo; of a slice, Photos."""
        if isinstance(index, slice):
            return self.chosen(range(len(self))[index])
        return self._photos[index]

    def __iter__(self) -> Iterator[Photo]:
        return iter(self._photos)

    def chosen(self, indices: Iterable[int]) -> Photos:
        """Some of them."""
        return Photos([self._photos[index] for index in indices], self._kept)

    def pixels(self, index: int) -> np.ndarray:
        """uint8 [height,width,4] of one: sRGB, and how far each pixel counts."""
        photo = self._photos[index]
        found = self._kept.get(photo)
        if found is None:
            found = photo.read()
            self._kept.add(photo, found)
        return found

    def reduced(self, factor: int) -> Photos:
        """The same, each so many times smaller: pixels are means of blocks."""
        return self if factor == 1 else Photos([photo.reduced(factor) for photo in self._photos])
