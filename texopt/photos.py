"""Photographs with known cameras: transforms.json as NeRF has it, and the images that it names."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from texopt.errors import ImageError, OptionError
from texopt.images import inside, load_rgba

ENDINGS = ("", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")  # that a file_path may lack
MOST_PHOTOS = 10_000
MOST_BYTES = 2 << 30  # of pixels that are kept; others are read again when they are asked for
LARGEST_JSON = 256 << 20  # bytes
DISTORTIONS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)  # a world with +Z up to +Y up
UP = {"y": np.eye(4), "z": Z_UP}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and its camera, a pinhole one.

    Pixels are counted from the upper left corner of the image: the centre of the first one is at (0.5, 0.5). A point
    (x, y, z) in the camera's space, which looks along -Z with +Y upwards, is seen at
    (cx - fx x / z, cy + fy y / z).

    path, mask: files; a mask is white where the photograph counts. width, height: in pixels. fx, fy, cx, cy: in pixels.
    camera_to_world: float64 [4,4]. reduction: how many times smaller than the file the image is taken.
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

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (x, y) [N,2] at which points [N,3] of the world are seen; NaN for those that are not before it."""
        rotation, place = self.camera_to_world[:3, :3], self.camera_to_world[:3, 3]
        x, y, z = ((points - place) @ rotation).T
        z = np.where(z < 0, z, np.nan)
        return np.stack([self.cx - self.fx * x / z, self.cy + self.fy * y / z], 1)

    def read(self) -> np.ndarray:
        """uint8 [height,width,4]: sRGB, and how far each pixel counts. ImageError where it cannot be read."""
        image = load_rgba(self.path).convert("RGBA")
        if self.mask is not None:
            mask = load_rgba(self.mask).convert("RGB").convert("L")
            if mask.size != image.size:
                raise ImageError(
                    f"mask {self.mask} is {_size(mask)} and its photograph {_size(image)}; make them alike"
                )
            image.putalpha(Image.fromarray(np.minimum(np.asarray(image)[..., 3], np.asarray(mask))))
        return smaller(np.asarray(image), self.reduction)

    def reduced(self, factor: int) -> Photo:
        """The same, so many times smaller."""
        width, height = -(-self.width // factor), -(-self.height // factor)
        fx, fy, cx, cy = (value / factor for value in (self.fx, self.fy, self.cx, self.cy))
        return replace(self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy, reduction=self.reduction * factor)


def smaller(pixels: np.ndarray, factor: int) -> np.ndarray:
    """uint8 [h,w,4]: means of blocks of pixels, in which those that do not count have no part."""
    if factor == 1:
        return pixels
    return np.array(Image.fromarray(pixels).convert("RGBa").reduce(factor).convert("RGBA"))


def _size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


Kept = dict[tuple[Path, Path | None], np.ndarray]


class Photos(Sequence[Photo]):
    """Photographs, with as many of their pixels in memory as MOST_BYTES hold.

    kept: pixels that are known, by image and mask; those that are read later are added.
    """

    def __init__(self, photos: Sequence[Photo], kept: Kept | None = None) -> None:
        self._photos, self._kept = list(photos), {} if kept is None else kept

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
        return _pixels(self._photos[index], self._kept)

    def reduced(self, factor: int) -> Photos:
        """The same, each so many times smaller: pixels are means of blocks."""
        return self if factor == 1 else Photos([photo.reduced(factor) for photo in self._photos])


def _pixels(photo: Photo, kept: Kept) -> np.ndarray:
    found = kept.get((photo.path, photo.mask))
    if found is None:
        found = photo.read()
        if sum(each.nbytes for each in kept.values()) + found.nbytes <= MOST_BYTES:
            kept[photo.path, photo.mask] = found
    return found


def read_photos(path: str | os.PathLike[str], up: Literal["y", "z"] = "y") -> Photos:
    """Photographs with known cameras from a transforms.json, as instant-ngp, nerfstudio, Blender's NeRF exporters,
    converters from COLMAP, and Metashape write it (Mildenhall et al., "NeRF", 2020, and instant-ngp's
    docs/nerf_dataset_tips.md).

    Per frame, or for all: camera_angle_x, or fl_x (and fl_y), cx, cy, w, h; frames have a file_path, relative to the
    file, with or without its ending, a transform_matrix (camera to world, OpenGL: it looks along -Z, +Y is upwards),
    and may have a mask_path. Opacity of an image is a mask, too. Cameras are in the space of the mesh file.

    Args:
        path: of the file. Images have to lie in its folder or below.
        up: "z" where the cameras' world has +Z up and the mesh +Y, as Blender writes the two.

    OptionError where it is no such file, names a lens that is no pinhole, or a matrix that is none; ImageError where
    an image is missing, unreadable, or of another size than it says.
    """
    path = Path(path)
    photos: list[Photo] = []
    kept: Kept = {}
    for number, (frame, file, mask) in enumerate(_frames(path, _parsed(path))):
        where = f"{path}, frame {number + 1}"
        place = _camera_to_world(frame.get("transform_matrix"), where)
        photo = Photo(file, mask, 1, 1, 1.0, 1.0, 0.0, 0.0, UP[up] @ place)
        height, width = _pixels(photo, kept).shape[:2]
        fx, fy, cx, cy = _lens(frame, width, height, where, file)
        photos.append(replace(photo, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy))
    return Photos(photos, kept)


def photo_files(path: Path) -> list[Path]:
    """The images that a transforms.json names, as far as they can be found."""
    try:
        return [each for _, file, mask in _frames(path, _parsed(path)) for each in (file, mask) if each]
    except (OptionError, ImageError):  # the run says so
        return []


def _parsed(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        what = "is a directory" if os.path.isdir(path) else "does not exist or is no regular file"
        raise OptionError(f"{path} {what}; give the path of a transforms.json")
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("it is too large")
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise OptionError(f"{path} is no JSON that can be read ({str(error)[:100]}); give a transforms.json") from None
    frames = values.get("frames") if isinstance(values, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise OptionError(f"{path} has no list of frames; it has to be a transforms.json as NeRF programs write it")
    if len(frames) > MOST_PHOTOS:
        raise OptionError(f"{path} has {len(frames)} frames; take at most {MOST_PHOTOS}")
    found: dict[str, Any] = values
    return found


def _frames(path: Path, values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path, Path | None]]:
    """(what is said of it, image, mask) of every frame."""
    common = {name: value for name, value in values.items() if name != "frames"}
    for number, frame in enumerate(values["frames"]):
        where = f"{path}, frame {number + 1}"
        mask = frame.get("mask_path")
        file = _found(path, frame.get("file_path"), "file_path", where)
        yield common | frame, file, _found(path, mask, "mask_path", where) if mask else None


def _found(path: Path, name: Any, key: str, where: str) -> Path:
    if not isinstance(name, str) or not name or "\0" in name:
        raise OptionError(f"{where}: {key} has to be the path of an image, not {str(name)[:100]!r}")
    for text in dict.fromkeys((name, name.replace("\\", "/"))):
        for ending in ENDINGS:
            file = path.parent / (text + ending)
            if os.path.isfile(file):
                if not inside(file, path.parent):
                    raise OptionError(f"{where}: {file} is not in the folder of {path.name}; move the images there")
                return file
    raise ImageError(f"{where}: image {path.parent / name} does not exist; {key} is relative to {path.name}")


def _number(frame: dict[str, Any], name: str, where: str) -> float | None:
    value = frame.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(f"{where}: {name} has to be a number, not {str(value)[:100]!r}")
    return number


def _lens(frame: dict[str, Any], width: int, height: int, where: str, file: Path) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels."""
    numbers = {
        name: _number(frame, name, where)
        for name in ("camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h", *DISTORTIONS)
    }
    model = str(frame.get("camera_model", "")).upper()
    no_pinhole = any(word in model for word in ("FISHEYE", "EQUIRECT", "SPHERICAL", "ORTHO")) or frame.get("is_fisheye")
    bent = [name for name in DISTORTIONS if numbers[name]]
    if bent or no_pinhole:
        what = f"{bent[0]} is {numbers[bent[0]]}" if bent else f"camera {model or 'FISHEYE'}"
        raise OptionError(
            f"{where}: the lens bends lines ({what}); undistort the photographs first, as "
            "`colmap image_undistorter` or Metashape's export without distortion do"
        )
    for name, side in (("w", width), ("h", height)):
        if numbers[name] is not None and round(numbers[name] or 0) != side:
            said = "x".join(f"{numbers[key] or 0:g}" for key in ("w", "h"))
            raise ImageError(
                f"{where}: {file} is {width}x{height} and w, h say {said}; give the images that the cameras are of"
            )
    fx, fy = numbers["fl_x"], numbers["fl_y"]
    for axis, side in (("x", width), ("y", height)):
        angle = numbers[f"camera_angle_{axis}"]
        if angle is not None and not 0 < angle < math.pi:
            raise OptionError(f"{where}: camera_angle_{axis} has to be between 0 and pi, not {angle}")
        if angle is not None and axis == "x" and fx is None:
            fx = side / 2 / math.tan(angle / 2)
        if angle is not None and axis == "y" and fy is None and numbers["fl_x"] is None:
            fy = side / 2 / math.tan(angle / 2)
    fx, fy = fx or fy, fy or fx
    if not fx or not fy or min(fx, fy) <= 0:
        raise OptionError(f"{where}: neither fl_x nor camera_angle_x says how wide the lens sees; add one")
    cx, cy = numbers["cx"], numbers["cy"]
    return fx, fy, width / 2 if cx is None else cx, height / 2 if cy is None else cy


def _camera_to_world(value: Any, where: str) -> np.ndarray:
    """float64 [4,4] without scale. OptionError for what is no rotation and place."""
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise OptionError(f"{where}: transform_matrix has to be 4 rows of 4 numbers")
    matrix = np.vstack([matrix[:3], [0, 0, 0, 1]])
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e30:
        raise OptionError(f"{where}: transform_matrix has numbers that are not finite; the camera was not found")
    squares = matrix[:3, :3].T @ matrix[:3, :3]
    scale = float(np.trace(squares)) / 3
    if not scale or np.abs(squares / scale - np.eye(3)).max() > 0.01 or np.linalg.det(matrix[:3, :3]) <= 0:
        raise OptionError(f"{where}: transform_matrix is no rotation and place (camera to world, as OpenGL has it)")
    matrix[:3, :3] /= math.sqrt(scale)
    return matrix
