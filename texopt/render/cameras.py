"""Cameras as OpenGL has them, and where to put them.

Right-handed, +Y up; a camera looks along its own -Z. Clip space is OpenGL's: visible is x/w, y/w, z/w in [-1,1].
Renderings see the mesh moved and scaled into the unit sphere, so distances here are in radii of the mesh.

Where a number or a row for every camera is asked for, one alone is for all; arrays and lists do as tensors do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from texopt.errors import OptionError

# 1/g and 1/g² with g³ = g + 1: the two-dimensional successor of the golden ratio
R2 = torch.tensor([0.7548776662466927, 0.5698402909980532], dtype=torch.float64)


def _rows(name: str, values: Any, *row: int) -> Tensor:
    """Numbers as floats [B,*row] on the CPU; one row alone is [1,*row]. OptionError where they are none."""
    try:
        found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
        shape = tuple(found.shape[1:]) if found.ndim > len(row) else tuple(found.shape)
        good = found.ndim in (len(row), len(row) + 1) and shape == row and found.dtype != torch.bool
        good = good and not found.is_complex() and bool(found.isfinite().all())
    except (TypeError, ValueError, RuntimeError):
        good, found = False, torch.zeros(0)
    if not good or not found.numel():
        wanted = "".join(f",{side}" for side in row)
        got = f"a tensor {list(values.shape)}" if isinstance(values, Tensor) else repr(values)[:60]
        raise OptionError(f"{name} has to be finite numbers [B{wanted}] or one {list(row) or 'number'}, not {got}")
    found = found.cpu() if found.is_floating_point() else found.double().cpu()
    return found[None] if found.ndim == len(row) else found


def _together(**given: Tensor) -> Iterator[Tensor]:
    """Arguments by name, each for as many cameras as the others. OptionError where they are of several numbers."""
    count = max(map(len, given.values()))
    for name, values in given.items():
        if len(values) not in (1, count):
            raise OptionError(f"{name} has {len(values)} rows, and there are {count} cameras")
        yield values.expand(count, *values.shape[1:])


def _number(name: str, value: Any, low: float, high: float) -> float:
    """A number between two others. OptionError where it is none."""
    try:
        good = not isinstance(value, (str, bytes, bool)) and low < float(value) < high
    except (TypeError, ValueError, RuntimeError):
        good = False
    if not good:
        raise OptionError(f"{name} has to be a number above {low:g} and below {high:g}, not {repr(value)[:60]}")
    return float(value)


@dataclass(frozen=True, eq=False)
class Cameras:
    """A batch of cameras: view [B,4,4] takes world to eye space, projection [B,4,4] eye to clip space.

    `cameras[i]`, `cameras[i:j]` are some of them.

    zoom: how many times closer they look than the others of a run, which see the whole object.
    frame: int64 [B], which of several pictures each is of, for objectives that know a goal for each; 0 by default.
    frames: how many pictures there are.

    OptionError where shapes are others.
    """

    view: Tensor
    projection: Tensor
    zoom: float = 1.0
    frame: Tensor = None  # type: ignore[assignment]  # zeros
    frames: int = 1

    def __post_init__(self) -> None:
        matrices = {name: _rows(name, getattr(self, name), 4, 4) for name in ("view", "projection")}
        dtype = torch.promote_types(matrices["view"].dtype, matrices["projection"].dtype)
        for name, matrix in zip(matrices, _together(**matrices), strict=True):
            object.__setattr__(self, name, matrix.to(dtype))
        if self.frame is None:
            object.__setattr__(self, "frame", torch.zeros(len(self.view), dtype=torch.int64))
        if not isinstance(self.frame, Tensor) or self.frame.dtype != torch.int64 or self.frame.shape != (len(self),):
            raise OptionError(f"frame has to be int64 [{len(self)}], not {repr(self.frame)[:60]}")
        _number("zoom", self.zoom, 0.0, math.inf)

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index: int | slice | list[int]) -> Cameras:
        index = [index] if isinstance(index, int) else index
        return replace(self, view=self.view[index], projection=self.projection[index], frame=self.frame[index])

    def project(self, points: Tensor) -> Tensor:
        """World points [V,3] -> clip space [B,V,4]."""
        x, y, z, w = (self.projection @ self.view).to(points.dtype)[:, None].unbind(-1)  # [B,1,4]
        # not as a matrix product, whose digits depend on the number of threads
        return x * points[:, :1] + y * points[:, 1:2] + z * points[:, 2:] + w


Sampler = Callable[[Generator, int, int], Cameras]  # (generator, number of views, views before them) -> cameras


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """View matrices [B,4,4] of cameras at eye [B,3] that look at target [B,3] with up [B,3] upwards.

    OptionError where they have other shapes, or a camera is at its target.
    """
    given = {name: _rows(name, value, 3) for name, value in (("eye", eye), ("target", target), ("up", up))}
    eye, target, up = _together(**given)
    dtype = torch.promote_types(torch.promote_types(eye.dtype, target.dtype), up.dtype)
    eye, target, up = eye.to(dtype), target.to(dtype), up.to(dtype)
    if not (target - eye).any(1).all():
        raise OptionError("eye is at target, so that the camera looks nowhere; move one of them")
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, torch.nn.functional.normalize(up, dim=-1, eps=1e-30), dim=-1)
    # seen along `up` any roll is as good as another: the axis farthest from the line of sight is to the right
    axis = torch.nn.functional.one_hot(forward.abs().argmin(-1), 3).to(forward.dtype)
    other = axis - (axis * forward).sum(-1, keepdim=True) * forward
    right = torch.where(right.norm(dim=-1, keepdim=True) > 1e-6, right, other)
    right = torch.nn.functional.normalize(right, dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(right, forward, dim=-1), -forward], -2)  # [B,3,3]
    view = torch.eye(4, dtype=eye.dtype).repeat(len(eye), 1, 1)
    view[:, :3, :3] = rotation
    view[:, :3, 3] = -(rotation @ eye[..., None])[..., 0]
    return view


def perspective(fov_y: Tensor | float, aspect: float, near: Tensor | float, far: Tensor | float) -> Tensor:
    """OpenGL projection matrices [B,4,4]: vertical field of view in degrees [B], width / height, near, far [B].

    OptionError unless 0 < fov_y < 180, 0 < aspect, and 0 < near < far.
    """
    given = {name: _rows(name, value) for name, value in (("fov_y", fov_y), ("near", near), ("far", far))}
    fov_y, near, far = _together(**given)
    aspect = _number("aspect", aspect, 0.0, math.inf)
    if not ((fov_y > 0) & (fov_y < 180)).all():
        raise OptionError(f"fov_y has to be above 0 and below 180 degrees, not {fov_y.tolist()[:3]}")
    if not ((near > 0) & (far > near)).all():
        raise OptionError(f"near has to be above 0 and below far, not {near.tolist()[:3]} with {far.tolist()[:3]}")
    scale = 1.0 / torch.tan(torch.deg2rad(fov_y) / 2)
    matrix = torch.zeros(len(fov_y), 4, 4, dtype=fov_y.dtype)
    matrix[:, 0, 0] = scale / aspect
    matrix[:, 1, 1] = scale
    matrix[:, 2, 2] = (far + near) / (near - far)
    matrix[:, 2, 3] = 2 * far * near / (near - far)
    matrix[:, 3, 2] = -1.0
    return matrix


def orthographic(low: Tensor, high: Tensor, near: float, far: float) -> Tensor:
    """OpenGL projection matrices [B,4,4] that show the rectangles from low to high (x, y in eye space) [B,2].

    near, far: distances along the line of sight; what is behind the camera has negative ones.

    OptionError unless low < high and near < far.
    """
    low, high = _together(low=_rows("low", low, 2), high=_rows("high", high, 2))
    near = _number("near", near, -math.inf, math.inf)
    far = _number("far", far, near, math.inf)
    if not (low < high).all():
        raise OptionError(f"low has to be below high in x and y, not {low.tolist()[:2]} with {high.tolist()[:2]}")
    matrix = torch.zeros(len(low), 4, 4, dtype=low.dtype)
    extent = high - low
    matrix[:, 0, 0], matrix[:, 1, 1] = 2 / extent.T
    matrix[:, :2, 3] = -(high + low) / extent
    matrix[:, 2, 2] = 2 / (near - far)
    matrix[:, 2, 3] = (far + near) / (near - far)
    matrix[:, 3, 3] = 1.0
    return matrix


def fit_distance(fov_y: float) -> float:
    """Distance at which the unit sphere just fits into the field of view (degrees)."""
    return 1.0 / math.sin(math.radians(fov_y) / 2)


def aimed(direction: Tensor, distance: Tensor, fov_y: Tensor, roll: Tensor) -> Cameras:
    """Cameras that look at the centre from `direction` [B,3] (unit) and `distance` [B], rolled by degrees [B]."""
    up = torch.tensor([0.0, 1.0, 0.0], dtype=direction.dtype).expand_as(direction)
    view = look_at(direction * distance[:, None], torch.zeros_like(direction), up)
    angle = torch.deg2rad(roll)
    turn = torch.eye(4, dtype=direction.dtype).repeat(len(view), 1, 1)
    turn[:, 0, 0] = turn[:, 1, 1] = angle.cos()
    turn[:, 0, 1], turn[:, 1, 0] = -angle.sin(), angle.sin()
    near = (distance - 1.05).clamp(min=0.01)
    return Cameras(turn @ view, perspective(fov_y, 1.0, near, distance + 1.05))


def zoomed(cameras: Cameras, zoom: float, center: Tensor) -> Cameras:
    """Cameras that show a window of what `cameras` show, `zoom` times larger, around x/w, y/w in [-1,1]: [B,2]."""
    window = torch.eye(4, dtype=cameras.projection.dtype).repeat(len(cameras), 1, 1)
    window[:, 0, 0] = window[:, 1, 1] = zoom
    window[:, :2, 3] = -zoom * center
    return replace(cameras, projection=window @ cameras.projection, zoom=zoom * cameras.zoom)


def orbit(
    azimuth: Tensor | float, elevation: Tensor | float, radii: float | None = None, fov_y: float = 10.0
) -> Cameras:
    """Cameras around the object: azimuth [B] from +Z towards +X and elevation [B] above the horizon, in degrees.

    radii: distance from the centre, in radii of the mesh; by default the one at which its bounding sphere fills the
    view.

        orbit(30, 20)  # one camera
        orbit(torch.arange(0, 360, 45), 20)  # eight
    """
    azimuth, elevation = _together(azimuth=_rows("azimuth", azimuth), elevation=_rows("elevation", elevation))
    fov_y = _number("fov_y", fov_y, 0.0, 180.0)
    distance = fit_distance(fov_y) if radii is None else _number("radii", radii, 0.0, math.inf)
    a, e = torch.deg2rad(azimuth.double()), torch.deg2rad(elevation.double())
    direction = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], -1)
    ones = torch.ones(len(direction), dtype=torch.float64)
    return aimed(direction, ones * distance, ones * fov_y, ones * 0.0)


def sphere_points(count: int) -> Tensor:
    """Directions spread evenly over the sphere, float64 [count,3]: the Fibonacci lattice (González 2010)."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    height = 1 - 2 * index / count
    angle = math.pi * (1 + math.sqrt(5)) * index
    radius = (1 - height**2).sqrt()
    return torch.stack([radius * angle.sin(), height, radius * angle.cos()], -1)


def fixed_views(count: int, fov_y: float = 10.0) -> Cameras:
    """`count` cameras all around that see the whole object: for measuring and for filling, not for optimising."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise OptionError(f"count has to be a number of cameras, 1 or more, not {repr(count)[:60]}")
    fov_y = _number("fov_y", fov_y, 0.0, 180.0)
    ones = torch.ones(count, dtype=torch.float64)
    return aimed(sphere_points(count), ones * fit_distance(fov_y), ones * fov_y, ones * 0.0)


def sample_sphere(
    distance: tuple[float, float] = (0.75, 1.0), elevation: tuple[float, float] = (-90.0, 90.0),
    fov_y: tuple[float, float] = (10.0, 10.0), roll: tuple[float, float] = (0.0, 0.0),
) -> Sampler:  # fmt: skip
    """Random cameras: directions uniform on the sphere; the centre of the mesh's bounding box is in the middle.

    Nearer than where the bounding sphere fits (a distance under 1), each shows another part of it, up to as far off the
    centre as the sphere reaches out of the view: so what lies at its ends is seen as often as the rest.

    Successive directions are spread evenly: they follow the R2 sequence (Roberts, "The Unreasonable Effectiveness of
    Quasirandom Sequences", 2018), shifted by an offset that the generator's seed decides. The rest is independent.

    Args:
        distance: range, as a multiple of the distance at which the bounding sphere fills the view; under 1 is closer.
        elevation: range in degrees; (0, 90) is from above only.
        fov_y: range of the vertical field of view in degrees.
        roll: range of the camera's roll in degrees.

    Returns:
        a sampler: (generator, number of views, views before them) -> Cameras.
    """
    for name, ends, least, most in (
        ("distance", distance, 0.05, 100.0), ("elevation", elevation, -90.0, 90.0),
        ("fov_y", fov_y, 1.0, 120.0), ("roll", roll, -360.0, 360.0),
    ):  # fmt: skip
        pair = isinstance(ends, (tuple, list)) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends)
        if not pair or not least <= ends[0] <= ends[1] <= most:
            raise OptionError(f"{name} has to be a range (low, high) within [{least}, {most}], not {repr(ends)[:60]}")
    lowest, highest = (math.sin(math.radians(angle)) for angle in elevation)

    def sample(generator: Generator, count: int, before: int = 0) -> Cameras:
        offset = torch.rand(2, 1, generator=Generator().manual_seed(generator.initial_seed()), dtype=torch.float64)
        index = torch.arange(before, before + count, dtype=torch.float64)
        around = (offset + R2[:, None] * index) % 1
        random = torch.rand(5, count, generator=generator, dtype=torch.float64)

        def between(low: float, high: float, values: Tensor) -> Tensor:
            return low + (high - low) * values

        height = between(lowest, highest, around[0])
        angle = 2 * math.pi * around[1]
        radius = (1 - height**2).clamp(min=0).sqrt()
        direction = torch.stack([radius * angle.sin(), height, radius * angle.cos()], -1)
        fov = between(*fov_y, random[0])
        fit = 1 / torch.sin(torch.deg2rad(fov) / 2)
        away = between(*distance, random[1])
        cameras = aimed(direction, fit * away, fov, between(*roll, random[2]))
        shift = (1 / away - 1).clamp(min=0) * random[3].sqrt()  # evenly over a disc
        turn = 2 * math.pi * random[4]
        return zoomed(cameras, 1.0, torch.stack([shift * turn.cos(), shift * turn.sin()], 1))

    return sample


def close_ups(
    points: Tensor, normals: Tensor, zoom: float = 4.0, fov_y: float = 10.0,
    elevation: tuple[float, float] = (-90.0, 90.0),
) -> Sampler:  # fmt: skip
    """Random cameras that see a part of the object `zoom` times as large, rather squarely.

    They stand where the bounding sphere would fill the view, and show a window of it around one of the points.

    Args:
        points: on the surface of the mesh in the unit sphere, float64 [N,3]; any is as likely as another.
        normals: of the surface there, float64 [N,3].
        zoom: how many times closer than views of the whole object.
        fov_y: vertical field of view, in degrees, that the whole object would have.
        elevation: range in degrees, as of sample_sphere: of the cameras, and of the points' normals if some are in it.
    """
    if not 1 < zoom <= 64:
        raise OptionError(f"zoom has to be above 1 and at most 64, not {zoom}")
    normals = torch.nn.functional.normalize(normals, dim=1)
    lowest, highest = (math.sin(math.radians(angle)) for angle in elevation)
    facing = (normals[:, 1] >= lowest) & (normals[:, 1] <= highest)
    if facing.any():
        points, normals = points[facing], normals[facing]

    def sample(generator: Generator, count: int, before: int = 0) -> Cameras:
        index = torch.randint(len(points), (count,), generator=generator)
        tilt = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=1)
        direction = torch.nn.functional.normalize(normals[index] + 0.5 * tilt, dim=1)
        height = direction[:, 1].clamp(lowest, highest)
        around = torch.nn.functional.normalize(direction[:, ::2], dim=1) * (1 - height**2).sqrt()[:, None]
        direction = torch.stack([around[:, 0], height, around[:, 1]], 1)
        ones = torch.ones(count, dtype=torch.float64)
        cameras = aimed(direction, ones * fit_distance(fov_y), ones * fov_y, ones * 0.0)
        clip = torch.diagonal(cameras.project(points[index].double()), dim1=0, dim2=1).T
        return zoomed(cameras, zoom, clip[:, :2] / clip[:, 3:])

    return sample


def with_close_ups(far: Sampler, near: Sampler, share: float) -> Sampler:
    """`near` in a share of the steps, evenly spread, and `far` in the others; each counts its own views."""
    if not 0 <= share <= 1:
        raise OptionError(f"the share of close-ups has to be between 0 and 1, not {share}")

    def sample(generator: Generator, count: int, before: int = 0) -> Cameras:
        step = before // count
        closer = math.floor(step * share)
        if math.floor((step + 1) * share) > closer:
            return near(generator, count, closer * count)
        return far(generator, count, (step - closer) * count)

    return sample
