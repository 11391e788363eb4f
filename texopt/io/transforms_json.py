"""transforms.json: photographs and their cameras as NeRF programs exchange them."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from texopt.errors import ImageError, OptionError
from texopt.io.intrinsics import Values, number, read_lens, scale_of
from texopt.render.lens import straightened
from texopt.render.photos import Kept, Photo, Photos, masked
from texopt.system.images import inside, load_rgba

log = logging.getLogger("texopt")

KINDS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
ENDINGS = ("", *KINDS, *(kind.upper() for kind in KINDS))  # that a file_path may lack
DEEPEST = 8  # folders below that of the file, that images are looked for in if they are not where it says
MOST_PHOTOS = 10_000
LARGEST_JSON = 256 << 20  # bytes
LARGEST_SIDE = 1 << 20  # pixels of a camera's picture, which is not made
Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)  # a world with +Z up to +Y up
UP = {"y": np.eye(4), "z": Z_UP}

SAID = {  # how photographs are taken otherwise than a user may expect: in a line each
    "turned": "turned as their EXIF orientation says, as w, h are of them so",
    "scaled": "of another size than w, h say, in the same proportions: their cameras are scaled",
    "bent": "resampled as a pinhole camera would have taken them: their lens bends lines",
    "twice": "left out: other frames say the same",
    "elsewhere": "taken from below the folder of the file, not from where it says they are",
}


def read_photos(
    path: str | os.PathLike[str], up: Literal["y", "z"] = "y", undo_transform: bool = False
) -> Photos:  # fmt: skip
    """Photographs with known cameras from a transforms.json, as instant-ngp, nerfstudio, Blender's NeRF exporters,
    converters from COLMAP, and Metashape write it (Mildenhall et al., "NeRF", 2020; instant-ngp's
    docs/nerf_dataset_tips.md and src/nerf_loader.cu; nerfstudio's page "Data conventions").

    Frames have a file_path, relative to the file, with or without its ending, a transform_matrix (camera to world,
    OpenGL: it looks along -Z, +Y is upwards), and may have a mask_path. Opacity of an image is a mask, too. Cameras are
    in the space of the mesh file. Per frame, or for all:

    - how wide the lens sees: fl_x in pixels, x_fov in degrees, or camera_angle_x in radians; and so for y.
    - cx, cy, the axis; w, h, the size, in pixels of the image as it is stored, whatever its EXIF orientation is. Where
      only the turned image is of that size, it is taken so; where it is of that size but for a factor, the camera is
      scaled.
    - k1 to k6, p1, p2, or camera_model OPENCV_FISHEYE (is_fisheye) with k1 to k4: see texopt.render.lens. k4 alone is
      the factor of r⁸, as nerfstudio and Metashape have it; with k5 or k6 the three are OpenCV's denominator.
      Photographs that are a tenth of a pixel off somewhere are resampled to a pinhole camera's.

    What cannot be used, as its image or mask is missing, unreadable or of another size than it says, or its camera was
    not found, is left out. A line in the log counts it, and whatever else is taken otherwise than the file says.

    Args:
        path: of the file. Images have to lie in its folder or below.
        up: "z" where the cameras' world has +Z up and the mesh +Y, as Blender writes the two.
        undo_transform: take back the file's applied_transform and applied_scale, where the mesh is in the space before.

    OptionError where it is no such file, or names a lens or a matrix that is none; ImageError where no photograph is
    left.
    """
    path = Path(path)
    values = _parsed(path)
    world = UP[up] @ _before(values, path, undo_transform)
    photos: dict[tuple[Any, ...], Photo] = {}
    kept = Kept()
    missing: list[ImageError] = []
    said: Counter[str] = Counter()  # the keys of SAID
    for index, frame in enumerate(values["frames"], 1):
        try:
            photo, pixels, ways = _photo(path, values, frame, f"{path}, frame {index}", world)
        except ImageError as error:
            missing.append(error)
            continue
        lens = (photo.fx, photo.fy, photo.cx, photo.cy, photo.lens)
        same = (photo.path, photo.mask, photo.camera_to_world.tobytes(), *lens)
        if same in photos:
            said["twice"] += 1
            continue
        photos[same] = photo
        said.update(ways)
        if photo.lens is None:
            kept.add(photo, pixels)
    count = len(values["frames"])
    if not photos:
        raise missing[0] if count == 1 else ImageError(f"none of {count} photographs can be used; {missing[0]}")
    if missing:
        log.warning("%d of %d photographs cannot be used and are left out; %s", len(missing), count, missing[0])
    for what in (what for what in SAID if said[what]):
        log.info("%d of %d photographs are %s", said[what], count, SAID[what])
    return Photos(list(photos.values()), kept)


def read_cameras(path: str | os.PathLike[str], up: Literal["y", "z"] = "y") -> list[Photo]:
    """The cameras of a transforms.json, without photographs: as read_photos, but w and h are needed, and file_path may
    be any name. What a lens bends is seen straight. OptionError where the file, a lens or a matrix is none."""
    path = Path(path)
    values = _parsed(path)
    world = UP[up] @ _before(values, path, undo=False)
    common = {key: value for key, value in values.items() if key != "frames"}
    cameras = []
    for index, frame in enumerate(values["frames"], 1):
        where = f"{path}, frame {index}"
        try:
            matrix = _unscaled(world @ _unscaled(_placed(frame.get("transform_matrix"), "transform_matrix", where)))
        except ImageError as error:
            raise OptionError(str(error)) from None
        w, h = (number(common | frame, name, where) or 0.0 for name in ("w", "h"))
        if not (1 <= w <= LARGEST_SIDE and 1 <= h <= LARGEST_SIDE):
            raise OptionError(f"{where}: w and h have to say how many pixels its pictures have, up to {LARGEST_SIDE}")
        lens = read_lens(common, frame, (round(w), round(h)), 1.0, where)
        name = Path(str(frame.get("file_path", index)))
        cameras.append(Photo(name, None, lens.width, lens.height, lens.fx, lens.fy, lens.cx, lens.cy, matrix))
    return cameras


def photo_files(path: Path) -> list[Path]:
    """The images that a transforms.json names, as far as they can be found."""
    return list(_files(path))


def _files(path: Path) -> Iterator[Path]:
    try:
        frames = _parsed(path)["frames"]
    except OptionError:  # the run says so
        return
    for frame in frames:
        for key in ("file_path", "mask_path"):
            try:
                if frame.get(key):
                    yield _found(path, frame[key], key, "")[0]
            except (OptionError, ImageError):
                continue


def _parsed(path: Path) -> Values:
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
    found: Values = values
    return found


def _photo(
    path: Path, values: Values, frame: Values, where: str, world: np.ndarray
) -> tuple[Photo, np.ndarray, list[str]]:
    """The photograph of a frame, its pixels as the file has them, and which of SAID hold. ImageError where it cannot be
    used, OptionError for what makes no sense."""
    common = {key: value for key, value in values.items() if key != "frames"}
    both = common | frame
    file, moved = _found(path, frame.get("file_path"), "file_path", where)
    mask = _found(path, frame["mask_path"], "mask_path", where)[0] if frame.get("mask_path") else None
    matrix = _unscaled(world @ _unscaled(_placed(frame.get("transform_matrix"), "transform_matrix", where)))
    image = load_rgba(file, upright=False)
    scale = scale_of(both, image.size, where)
    if turned := scale is None:
        stored, image = image.size, load_rgba(file)
        scale = scale_of(both, image.size, where)
        if scale is None:
            w, h = (both.get(key, "?") for key in ("w", "h"))
            was = "{}x{}".format(*stored)
            raise ImageError(f"{where}: {file} is {was} and w, h say {w}x{h}; give the images that the cameras are of")
    lens = read_lens(common, frame, image.size, scale, where)
    try:
        straight = straightened(lens)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    seen = straight or lens
    photo = Photo(
        file, mask, seen.width, seen.height, seen.fx, seen.fy, seen.cx, seen.cy, matrix, turned=turned,
        lens=lens if straight else None,
    )  # fmt: skip
    ways = {"turned": turned, "scaled": scale != 1, "bent": bool(straight), "elsewhere": moved}
    return photo, masked(image, file, mask), [key for key, holds in ways.items() if holds]


def _found(path: Path, name: Any, key: str, where: str) -> tuple[Path, bool]:
    """The file of that name, with or without its ending, and whether it is elsewhere. Names are often as they were
    on another computer, or in another folder: where there is none, it is looked for by the last parts of its path."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise OptionError(f"{where}: {key} has to be the path of an image, not {str(name)[:100]!r}")
    slashed = name.replace("\\", "/")
    parts = PurePosixPath(slashed).parts
    ends = ["/".join(parts[first:]) for first in range(max(1, len(parts) - DEEPEST), len(parts))]
    for text in dict.fromkeys((name, slashed, *ends)):
        for ending in ENDINGS:
            file = path.parent / (text + ending)
            if os.path.isfile(file):
                if not inside(file, path.parent):
                    raise OptionError(f"{where}: {file} is not in the folder of {path.name}; move the images there")
                return file, text not in (name, slashed)
    raise ImageError(f"{where}: image {path.parent / name} does not exist; {key} is relative to {path.name}")


def _placed(value: Any, key: str, where: str) -> np.ndarray:
    """float64 [4,4], a rotation, a scale and a place. ImageError if it was not found, OptionError if it is none."""
    if value is None:
        raise ImageError(f"{where}: there is no {key}; the camera was not found")
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise OptionError(f"{where}: {key} has to be 4 rows of 4 numbers")
    matrix = np.vstack([matrix[:3], [0, 0, 0, 1]])
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e30:
        raise ImageError(f"{where}: {key} has numbers that are not finite; the camera was not found")
    squares = matrix[:3, :3].T @ matrix[:3, :3]
    scale = float(np.trace(squares)) / 3
    if not scale or np.abs(squares / scale - np.eye(3)).max() > 0.01 or np.linalg.det(matrix[:3, :3]) <= 0:
        raise OptionError(f"{where}: {key} is no rotation and place (camera to world, as OpenGL has it)")
    return matrix


def _unscaled(matrix: np.ndarray) -> np.ndarray:
    """The same rotation and place without scale."""
    result = matrix.copy()
    result[:3, :3] /= np.cbrt(np.linalg.det(matrix[:3, :3]))
    return result


def _before(values: Values, path: Path, undo: bool) -> np.ndarray:
    """float64 [4,4]: from the world of the cameras to that before what nerfstudio calls applied_transform and
    applied_scale, in this order, if wanted."""
    where, scale = str(path), number(values, "applied_scale", str(path))
    applied = np.eye(4)
    if values.get("applied_transform") is not None:
        applied = _placed(values["applied_transform"], "applied_transform", where)
    if scale is not None:
        if scale <= 0:
            raise OptionError(f"{where}: applied_scale has to be positive, not {scale}")
        applied = np.diag([scale, scale, scale, 1]) @ applied
    if undo:
        return np.linalg.inv(applied)
    if np.abs(applied - np.eye(4)).max() > 1e-6:
        log.info("%s has an applied_transform; --undo-transform is for a mesh of the space before it", path.name)
    return np.eye(4)
