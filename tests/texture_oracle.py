"""A slow, obvious texture look-up in float64 torch: what the kernels are held against, with every gradient autograd's.

One pixel is looked up after the other, with the signature of texopt.raster.texture and nothing of its code. A cube map
is seen as a cube in space: a texel beyond a face's border is the one whose centre lies where folding the face around
the cube's edge brings it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor

# Of each face of a cube map: its middle, and the directions in which columns and rows grow.
FACES = torch.tensor(
    [
        [[1, 0, 0], [0, 0, -1], [0, -1, 0]],
        [[-1, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [[0, -1, 0], [1, 0, 0], [0, 0, -1]],
        [[0, 0, 1], [1, 0, 0], [0, -1, 0]],
        [[0, 0, -1], [-1, 0, 0], [0, -1, 0]],
    ],
    dtype=torch.float64,
)


def mip_pyramid(tex: Tensor, max_mip_level: int | None) -> list[Tensor]:
    """[...,H,W,C] and its halvings, each the mean of two by two texels (of two where a side is one)."""
    levels = [tex]
    while max(tex.shape[-3:-1]) > 1 and (max_mip_level is None or len(levels) <= max_mip_level):
        assert all(side == 1 or side % 2 == 0 for side in tex.shape[-3:-1])
        if tex.shape[-3] > 1:
            tex = (tex[..., 0::2, :, :] + tex[..., 1::2, :, :]) / 2
        if tex.shape[-2] > 1:
            tex = (tex[..., 0::2, :] + tex[..., 1::2, :]) / 2
        levels.append(tex)
    return levels


def place(face: int, row: int, column: int, size: int) -> Tensor:
    """A texel's centre on the cube [-1,1]³, folded around the edge if it is beyond the face's border: [3]."""
    middle, right, down = FACES[face]
    x, y = (2 * column + 1) / size - 1, (2 * row + 1) / size - 1
    beyond = max(abs(x) - 1, abs(y) - 1, 0)
    return (1 - beyond) * middle + min(max(x, -1), 1) * right + min(max(y, -1), 1) * down


@cache
def places(size: int) -> Tensor:
    """The centres of all texels of a cube map on the cube [-1,1]³: float64 [6,S,S,3]."""
    texels = [place(*texel, size) for texel in product(range(6), range(size), range(size))]
    return torch.stack(texels).reshape(6, size, size, 3)


@cache
def neighbour(face: int, row: int, column: int, size: int) -> tuple[int, int, int]:
    """The texel that a face continues with at a row or a column beyond its border."""
    distances = (places(size) - place(face, row, column, size)).norm(dim=-1).flatten()
    nearest = int(distances.argmin())
    assert distances[nearest] < 1e-9
    return nearest // size**2, nearest // size % size, nearest % size


def cube_texel(tex: Tensor, face: int, row: int, column: int) -> Tensor:
    """A texel [C] of tex [6,S,S,C], the row or the column (or both) being one beyond the face at most."""
    size = tex.shape[1]
    inner_row, inner_column = min(max(row, 0), size - 1), min(max(column, 0), size - 1)
    if (row, column) == (inner_row, inner_column):
        return tex[face, row, column]
    if row != inner_row and column != inner_column:  # at a corner of the cube only three texels meet
        beside = tex[neighbour(face, inner_row, column, size)] + tex[neighbour(face, row, inner_column, size)]
        return (tex[face, inner_row, inner_column] + beside) / 3
    return tex[neighbour(face, row, column, size)]


def plane_texel(tex: Tensor, row: int, column: int, boundary_mode: str) -> Tensor:
    """A texel [C] of tex [H,W,C], which may be outside."""
    height, width = tex.shape[:2]
    if boundary_mode == "wrap":
        return tex[row % height, column % width]
    if boundary_mode == "zero" and not (0 <= row < height and 0 <= column < width):
        return tex[0, 0] * 0
    return tex[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]


def texel(tex: Tensor, face: int, row: int, column: int, boundary_mode: str) -> Tensor:
    cube = boundary_mode == "cube"
    return cube_texel(tex, face, row, column) if cube else plane_texel(tex, row, column, boundary_mode)


def bilinear(tex: Tensor, face: int, uv: Tensor, boundary_mode: str) -> Tensor:
    """One level at one point: the four texel centres around it."""
    height, width = tex.shape[-3:-1]
    x, y = uv[0] * width - 0.5, uv[1] * height - 0.5
    column, row = math.floor(x.item()), math.floor(y.item())
    fx, fy = x - x.detach().floor(), y - y.detach().floor()
    upper = (1 - fx) * texel(tex, face, row, column, boundary_mode)
    upper = upper + fx * texel(tex, face, row, column + 1, boundary_mode)
    lower = (1 - fx) * texel(tex, face, row + 1, column, boundary_mode)
    lower = lower + fx * texel(tex, face, row + 1, column + 1, boundary_mode)
    return (1 - fy) * upper + fy * lower


def face_of(direction: Tensor) -> int:
    x, y, z = direction.tolist()
    if abs(z) > max(abs(x), abs(y)):
        return 4 if z > 0 else 5
    if abs(y) > abs(x):
        return 2 if y > 0 else 3
    return 0 if x > 0 else 1


def position(direction: Tensor, face: int) -> Tensor:
    """Where a direction meets a face, in [0,1]²: along columns, along rows."""
    depth, right, down = FACES[face].to(direction.dtype) @ direction
    return torch.stack([right, down]) / depth / 2 + 0.5


def mip_level(jacobian: Tensor | None, bias: Tensor | None, top: int) -> Tensor:
    """The level from the Jacobian [2,2] of texel coordinates by pixels: log2 of the longer axis of its ellipse."""
    level = torch.zeros(()).double()
    if jacobian is not None:
        if not jacobian.isfinite().all() or not jacobian.any():
            return level
        level = torch.linalg.svdvals(jacobian)[0].log2()
    return (level if bias is None else level + bias).clamp(0, top)


def look_up(
    levels: list[Tensor], uv: Tensor, uv_da: Tensor | None, bias: Tensor | None, filter_mode: str, boundary_mode: str
) -> Tensor:
    """One pixel [C]: levels [H,W,C] or [6,S,S,C], uv [2] or [3], uv_da [4] or [6]."""
    height, width, channels = levels[0].shape[-3:]
    face, cube = 0, boundary_mode == "cube"
    if not uv.isfinite().all() or (cube and not uv.any()):
        return uv.new_zeros(channels)
    jacobian = None if uv_da is None else uv_da.reshape(-1, 2)
    if cube:
        face = face_of(uv)
        if jacobian is not None:
            along = torch.autograd.functional.jacobian(lambda d: position(d, face), uv, create_graph=True)
            jacobian = along @ jacobian
        uv = position(uv, face)

    if filter_mode == "nearest":
        row, column = math.floor(uv[1].item() * height), math.floor(uv[0].item() * width)
        if cube:
            row, column = min(row, height - 1), min(column, width - 1)
        return texel(levels[0], face, row, column, boundary_mode)
    if filter_mode == "linear":
        return bilinear(levels[0], face, uv, boundary_mode)
    if jacobian is not None:
        jacobian = jacobian * uv.new_tensor([[width], [height]])
    level = mip_level(jacobian, bias, len(levels) - 1)
    low = math.floor(level.item())
    fine = bilinear(levels[low], face, uv, boundary_mode)
    if filter_mode == "linear-mipmap-nearest" or low + 1 == len(levels):
        return fine
    return fine + (level - low) * (bilinear(levels[low + 1], face, uv, boundary_mode) - fine)


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: Sequence[Tensor] | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """As texopt.raster.texture. Differentiable with respect to tex, uv, uv_da, mip_level_bias and a list mip."""
    if filter_mode == "auto":
        filter_mode = "linear" if uv_da is None and mip_level_bias is None else "linear-mipmap-linear"
    levels = [tex, *mip] if mip is not None else [tex]
    if mip is None and "mipmap" in filter_mode:
        assert uv_da is not None or mip_level_bias is not None
        levels = mip_pyramid(tex, max_mip_level)
    out = []
    for pixel in product(*(range(n) for n in uv.shape[:3])):
        image = pixel[0] if len(tex) > 1 else 0
        da, bias = (None if values is None else values[pixel] for values in (uv_da, mip_level_bias))
        out.append(look_up([level[image] for level in levels], uv[pixel], da, bias, filter_mode, boundary_mode))
    return torch.stack(out).reshape(*uv.shape[:3], -1)
