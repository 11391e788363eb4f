"""Directions along a surface by name: of its curvature, around or along an axis, or painted on the UVs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.areas import NO_AREA
from texopt.mesh.curvature import least_curvature
from texopt.mesh.mesh import Mesh
from texopt.mesh.normals import face_normals
from texopt.mesh.wrapping import MIRROR, MODES
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.render.regions import PAINTED
from texopt.system.constants import constant
from texopt.system.images import load_rgba

Field = Callable[[Fragments], Tensor]  # fragments -> vectors float32 [B,H,W,3] in the mesh's coordinates

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
KINDS = "curvature, curvature:across, around:x|y|z, along:x|y|z, or an image painted on the UVs"


def check_direction(direction: str) -> None:
    """OptionError for a text that names no direction."""
    if direction in ("curvature", "curvature:across"):
        return
    kind, _, axis = direction.partition(":")
    if kind in ("around", "along"):
        if axis not in AXES:
            raise OptionError(f"direction {kind} is of an axis, {kind}:x, {kind}:y or {kind}:z, not {direction!r}")
        return
    for part in direction.split(","):
        if Path(part.rpartition("=")[2].strip()).suffix.lower() not in PAINTED:
            raise OptionError(f"direction has to be {KINDS}, not {direction!r}")


def direction_field(mesh: Mesh, direction: str) -> Field:
    """A direction at every point of a mesh's surface, named by a text:

        curvature         along limbs and tubes: where the surface bends least, see texopt.mesh.curvature
        curvature:across  around them
        around:y          around an axis, x, y or z, through the middle of the mesh
        along:y           the axis itself, laid on the surface
        paint.png         painted on the UVs: the hue is the angle, red to the right and, counter-clockwise as seen in
                          the image, chartreuse (90°) up; a hue and its opposite are the same line. Grey, white, black
                          and transparent ask for no direction, pale colours for less of one.
        head=paint.png    the same, where a mesh has several textures: on that material's; more with commas between

    Returns:
        a function of Fragments, whose vectors' length from 0 to 1 says how much the direction is asked for. Their sign
        means nothing; the part that is not along the surface is none.

    Raises:
        OptionError where a text names nothing on this mesh, ImageError where an image cannot be read.
    """
    check_direction(direction)
    kind, _, axis = direction.partition(":")
    if kind == "curvature":
        return _curved(mesh, axis == "across")
    if kind in ("around", "along"):
        return _around(AXES[axis]) if kind == "around" else _along(AXES[axis])
    return _painted(mesh, _images(mesh, direction))


def _along(axis: tuple[float, float, float]) -> Field:
    def field(fragments: Fragments) -> Tensor:
        return fragments.uv.new_tensor(axis).expand(*fragments.mask.shape, 3)

    return field


def _around(axis: tuple[float, float, float]) -> Field:
    def field(fragments: Fragments) -> Tensor:
        x, y, z = fragments.unit_position.unbind(-1)
        a, b, c = axis
        return F.normalize(torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], -1), dim=-1)

    return field


def _curved(mesh: Mesh, across: bool) -> Field:
    @cache
    def corners(device: torch.device) -> Tensor:  # when it is first seen, as it takes a while
        vectors = least_curvature(mesh.vertices, mesh.faces, mesh.normalization()[1])
        if across:
            vectors = np.cross(face_normals(mesh.vertices, mesh.faces)[:, None], vectors)
        return torch.from_numpy(vectors.astype(np.float32)).to(device)

    return lambda fragments: fragments.interpolated(corners(fragments.uv.device))


def _painted(mesh: Mesh, images: Mapping[int, str]) -> Field:
    """Of the images by map."""
    axes = _texture_axes(mesh)
    doubled = [torch.zeros(2, 1, 1) for _ in mesh.maps]
    for index, image in images.items():
        values, (height, width) = _double_angles(image)
        doubled[index] = values
        axes[mesh.face_map == index] /= np.array([width, height])[:, None]  # angles are those of the image as seen
    steps = torch.from_numpy(axes.astype(np.float32))

    def field(fragments: Fragments) -> Tensor:
        device = fragments.uv.device
        cosine, sine = look_up([image.to(device) for image in doubled], fragments).unbind(1)
        angle = torch.atan2(sine, cosine) / 2
        across, up = (steps.to(device)[fragments.face_id.clamp(min=0).long()] * _signs(fragments)[..., None]).unbind(-2)
        vectors = F.normalize(angle.cos()[..., None] * across + angle.sin()[..., None] * up, dim=-1)
        return vectors * torch.hypot(cosine, sine)[..., None]

    return field


def _signs(fragments: Fragments) -> Tensor:
    """-1 where an image is seen mirrored along u, along v, as it goes on beyond its edges, and else 1: [B,H,W,2]."""
    if fragments.wraps is None:
        return torch.ones_like(fragments.uv)
    modes = constant(fragments.wraps, fragments.uv, torch.int64)[fragments.map_id.long()]
    odd = fragments.uv.floor().remainder(2) == 1
    return torch.where((modes == MODES.index(MIRROR)) & odd, -1.0, 1.0)


def _texture_axes(mesh: Mesh) -> np.ndarray:
    """How far the surface of faces goes on where u, and where v, grows by 1: float64 [F,2,3], in radii of the mesh.

    Zeros where UVs have no area.
    """
    corners = mesh.vertices[mesh.faces] / mesh.normalization()[1]
    uvs = mesh.uvs[mesh.face_uvs]
    a, b = (corners[:, i] - corners[:, 0] for i in (1, 2))
    (du, dv), (eu, ev) = ((uvs[:, i] - uvs[:, 0]).T[..., None] for i in (1, 2))
    area = du * ev - eu * dv
    inverse = np.divide(1.0, area, out=np.zeros_like(area), where=np.abs(area) > 2 * NO_AREA)
    return np.asarray(np.stack([(a * ev - b * dv) * inverse, (b * du - a * eu) * inverse], 1))


def _double_angles(image: str) -> tuple[Tensor, tuple[int, int]]:
    """An image's hues as (cos 2h, sin 2h) times chroma and opacity, float32 [2,H,W] with sides that halve; its size.

    Twice the angle is the same for a line's both directions, so that these numbers can be averaged. The hue is the
    angle of a colour around grey, within 1.2° of that of HSV.
    """
    colors = np.asarray(load_rgba(image, upright=False).convert("RGBA"), np.float32) / 255.0
    red, green, blue, alpha = np.moveaxis(colors, -1, 0)
    angle = 2 * np.arctan2(np.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2)
    amount = (colors[..., :3].max(-1) - colors[..., :3].min(-1)) * alpha
    values = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)]) * amount).float()
    height, width = values.shape[1:]
    side = [1 << (length - 1).bit_length() for length in (height, width)]
    return F.interpolate(values[None], side, mode="bilinear")[0], (height, width)


def _images(mesh: Mesh, text: str) -> dict[int, str]:
    """Images by the map that they are painted for. OptionError where that is none."""
    free = mesh.optimized
    named = {mesh.materials[index] or "textured": mesh.map_of(int(index)) for index in np.unique(mesh.face_material)}
    known = ", ".join(name for name, index in named.items() if index in free)
    found: dict[int, str] = {}
    for part in text.split(","):
        name, equals, image = (piece.strip() for piece in part.rpartition("="))
        if not equals and len(free) > 1:
            raise OptionError(
                f"{mesh.name} has {len(free)} textures; say which {image} is painted for: NAME=IMAGE ({known})"
            )
        index = named.get(name, -1) if equals else free[0]
        if index not in free:
            raise OptionError(f"{mesh.name} has no texture {name!r} to paint directions on; it has {known}")
        if not mesh.maps[index].own_uvs:
            raise OptionError(
                f"{image} is painted on UVs, and {mesh.name} has new ones; make them first (texopt unwrap)"
            )
        found[index] = image
    return found
