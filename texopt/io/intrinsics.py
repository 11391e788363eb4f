"""What a transforms.json says of a camera's inside: how wide it sees, where its axis is, how it bends lines."""

from __future__ import annotations

import math
from typing import Any

from texopt.errors import OptionError
from texopt.render.lens import Distortion, Lens

DISTORTIONS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
OTHER_MODELS = ("EQUIRECT", "SPHERICAL", "PANORAMA", "ORTHO", "THIN_PRISM", "FISHEYE624", "OMNI", "FTHETA", "FOV")
OTHER_KEYS = ("equirectangular", "latlong", "ftheta_p0")  # by which instant-ngp knows lenses

Values = dict[str, Any]


def number(values: Values, name: str, where: str) -> float | None:
    """A number of a JSON object, None where it is not there or null. OptionError where it is something else."""
    value = values.get(name)
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise OptionError(f"{where}: {name} has to be a number, not {str(value)[:100]!r}")
    return found


def scale_of(values: Values, size: tuple[int, int], where: str) -> float | None:
    """How many times larger an image of (width, height) is than w, h say; None where its proportions are others."""
    w, h = (number(values, name, where) for name in ("w", "h"))
    if all(said is None or round(said) == side for side, said in zip(size, (w, h), strict=True)):
        return 1.0
    if w is None or h is None or min(w, h) < 1 or abs(h * size[0] / w - size[1]) > 1:
        return None
    return size[0] / w


def read_lens(common: Values, frame: Values, size: tuple[int, int], scale: float, where: str) -> Lens:
    """The lens of a frame, whose own values come before those in common, for an image of (width, height), which is so
    many times larger than the file says. OptionError for what is none."""
    both = common | frame
    width, height = (side / scale for side in size)  # as the file has it
    fx, fy = _focal_lengths(common, frame, width, height, where)
    cx, cy = (number(both, name, where) for name in ("cx", "cy"))
    fx, fy, cx, cy = (
        scale * value for value in (fx, fy, width / 2 if cx is None else cx, height / 2 if cy is None else cy)
    )
    return Lens(*size, fx, fy, cx, cy, _distortion(both, where))


def _focal_lengths(common: Values, frame: Values, width: float, height: float, where: str) -> tuple[float, float]:
    """(fx, fy) in pixels."""
    for values in (frame, common):
        wide, high = _of_angle(values, "x", width, where), _of_angle(values, "y", height, where)
        fx, fy = (number(values, name, where) for name in ("fl_x", "fl_y"))
        if fx is None:
            fx, fy = wide, high if fy is None else fy
        fx, fy = fy if fx is None else fx, fx if fy is None else fy
        if fx is not None and fy is not None:
            if min(fx, fy) <= 0:
                raise OptionError(f"{where}: fl_x has to be a positive number of pixels, not {min(fx, fy)}")
            return fx, fy
    raise OptionError(
        f"{where}: nothing says how wide the lens sees; add fl_x (pixels), x_fov (degrees) or camera_angle_x (radians)"
    )


def _of_angle(values: Values, axis: str, side: float, where: str) -> float | None:
    """The focal length of a field of view."""
    found = None
    for name, half_turn in ((f"camera_angle_{axis}", math.pi), (f"{axis}_fov", 180.0)):
        angle = number(values, name, where)
        if angle is not None:
            if not 0 < angle < half_turn:
                raise OptionError(f"{where}: {name} has to be between 0 and {half_turn:.6g}, not {angle}")
            found = side / 2 / math.tan(angle / half_turn * math.pi / 2)
    return found


def _distortion(values: Values, where: str) -> Distortion | None:
    model = str(values.get("camera_model") or "").upper()
    other = [key for key in OTHER_KEYS if values.get(key)] + [word for word in OTHER_MODELS if word in model]
    if other:
        raise OptionError(
            f"{where}: its camera is {model or other[0]}, and only pinholes, OPENCV and OPENCV_FISHEYE can be read; "
            "make pinhole images of it first"
        )
    k1, k2, k3, k4, k5, k6, p1, p2 = (number(values, name, where) or 0.0 for name in DISTORTIONS)
    if "FISHEYE" in model or values.get("is_fisheye"):
        return Distortion((k1, k2, k3, k4), fisheye=True)
    if k5 or k6:
        return Distortion((k1, k2, k3), (k4, k5, k6), (p1, p2))
    return Distortion((k1, k2, k3, k4), (), (p1, p2)) if any((k1, k2, k3, k4, p1, p2)) else None
