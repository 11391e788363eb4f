"""The texture look-up in plain torch, for devices that have neither our CPU kernels nor nvdiffrast (MPS, ROCm, XPU,
CUDA without nvdiffrast). Same arguments and, up to rounding, the same numbers as the kernels; slower on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.raster import cube
from texopt.raster.arguments import CPU, check_level
from texopt.raster.mipmap import level_sizes
from texopt.raster.sampling import check_boundary, check_levels, check_places, check_tex, resolve_filter
from texopt.system.constants import constant


def _halvings(tex: Tensor, max_mip_level: int | None) -> list[Tensor]:
    """Mip levels of [N,H,W,C], level 0 first."""
    levels = [tex]
    for (height, width), (low, narrow) in pairwise(level_sizes(tex.shape[1], tex.shape[2], max_mip_level)):
        kernel = (height // low, width // narrow)
        levels.append(torch.nn.functional.avg_pool2d(levels[-1].permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1))
    return levels


class _Gather(torch.autograd.Function):
    """Rows of a table [T,C] by index int64 [...]: [...,C].

    torch's own gradient of it, on graphics cards, sorts the index, and waits where many pixels look at one texel: those
    beside the object all look at the same. This one adds rows up in any order, and zeros wherever there is room.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(index)
        ctx.shape = table.shape
        return table.index_select(0, index.flatten()).reshape(*index.shape, table.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (index,) = ctx.saved_tensors
        rows, index = grad.reshape(-1, grad.shape[-1]), index.flatten()
        anywhere = torch.arange(len(index), device=index.device).remainder_(ctx.shape[0])
        index = torch.where((rows == 0).all(1), anywhere, index)
        return rows.new_zeros(ctx.shape).index_add_(0, index, rows), None


def _cube_axes(face: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """Axes (major, s, t) of faces and the signs of s and t, for gathering from directions [...,3]."""
    axes = [torch.from_numpy(x).to(face.device)[face][..., None] for x in (cube.MAJOR, cube.S_AXIS, cube.T_AXIS)]
    signs = [torch.from_numpy(x).to(like)[face] for x in (cube.S_SIGN, cube.T_SIGN)]
    return (*axes, *signs)


def _cube_locate(direction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Face of directions [...,3], (s, t) in [0,1] on it, and where there is one."""
    x, y, z = direction.detach().abs().unbind(-1)
    axis = torch.where(z > torch.maximum(x, y), 2, torch.where(y > x, 1, 0))
    along = direction.gather(-1, axis[..., None])[..., 0]
    valid = direction.isfinite().all(-1) & (along != 0)
    face = torch.where(valid, 2 * axis + (along < 0).long(), 0)
    major, i, j, s_sign, t_sign = _cube_axes(face, direction)
    safe = torch.where(valid[..., None], direction, 1.0)
    size = 2 * safe.gather(-1, major)[..., 0].abs()
    s, t = (0.5 + sign * safe.gather(-1, k)[..., 0] / size for sign, k in ((s_sign, i), (t_sign, j)))
    return face, s, t, valid


def _cube_slopes(direction: Tensor, da: Tensor, face: Tensor) -> Tensor:
    """(ds/dX, ds/dY, dt/dX, dt/dY) [...,4] from the derivatives [...,6] of directions."""
    major, i, j, s_sign, t_sign = _cube_axes(face, direction)
    c = direction.gather(-1, major)
    c = torch.where(c == 0, 1.0, c)
    pairs = da.unflatten(-1, (3, 2))
    dc = pairs.gather(-2, major[..., None].expand(*major.shape, 2))[..., 0, :]
    slopes = []
    for sign, k in ((s_sign, i), (t_sign, j)):
        own = pairs.gather(-2, k[..., None].expand(*k.shape, 2))[..., 0, :]
        slopes.append(0.5 * sign[..., None] * (own - direction.gather(-1, k) * dc / c) / c.abs())
    return torch.cat(slopes, -1)


def _cube_texel(face: Tensor, row: Tensor, column: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Index of a texel that may lie one beyond an edge of its face, and whether it is not beyond a corner."""
    outside_row, outside_column = (row < 0) | (row >= size), (column < 0) | (column >= size)
    dtype = torch.get_default_dtype()
    major, i, j, s_sign, t_sign = _cube_axes(face, row.to(dtype))
    direction = torch.zeros(*face.shape, 3, device=face.device, dtype=dtype)
    out = outside_row | outside_column
    depth = (1 - 2 * (face % 2)) * (size - out.long())  # of the centre folded around the edge, in half texels
    direction = direction.scatter(-1, major, depth.to(dtype)[..., None])
    for sign, k, index in ((s_sign, i, column), (t_sign, j, row)):
        folded = (2 * index + 1 - size).maximum(-size).minimum(size)
        direction = direction.scatter(-1, k, (sign * folded)[..., None])
    other, s, t, _ = _cube_locate(direction)
    last = size - 1
    row = torch.where(out, torch.minimum((t * size).long(), last), row)
    column = torch.where(out, torch.minimum((s * size).long(), last), column)
    return (torch.where(out, other, face) * size + row) * size + column, ~(outside_row & outside_column)


def _level(slopes: Tensor | None, bias: Tensor | None, height: int, width: int, top: int) -> Tensor:
    """log2 of the major axis of every pixel's footprint, in texels, plus the bias: [B,h,w] in [0, top]."""
    level: Tensor | float = 0.0
    if slopes is not None:
        texels = slopes * constant((width, width, height, height), slopes)
        largest = texels.detach().abs().amax(-1)  # squares of what is divided by it neither overflow nor vanish
        known = (largest > 0) & largest.isfinite()
        largest = torch.where(known, largest, 1.0)
        pairs = (torch.where(known[..., None], texels, 1.0) / largest[..., None]).unflatten(-1, (2, 2))  # of s, of t
        a, b = pairs.square().sum(-2).unbind(-1)
        c = pairs.prod(-1).sum(-1)
        squared = 0.25 * (a - b) ** 2 + c * c
        round_footprint = squared == 0  # there the root has no slope, and the mean of the axes stands for it
        difference = torch.where(round_footprint, 0.0, torch.where(round_footprint, 1.0, squared).sqrt())
        major = 0.5 * (a + b) + difference
        level = torch.where(known, largest.log2() + 0.5 * major.log2(), -torch.inf)
    if bias is not None:
        level = level + bias
    assert isinstance(level, Tensor)
    inside = (level > 0) & (level < top)
    return torch.where(inside, level, torch.where(level > 0, float(top), 0.0).to(level))


def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None) -> list[Tensor]:
    """Mip levels 1, 2, ... of a texture [N,H,W,C] that stays as it is, for the argument `mip` of `texture`."""
    return _halvings(tex.detach(), max_mip_level)[1:]


def _table(sizes: Sequence[tuple[int, int]], faces: int, like: Tensor) -> Tensor:
    """int64 [L,3]: height, width and first texel of levels that follow one another."""
    starts = accumulate((faces * height * width for height, width in sizes[:-1]), initial=0)
    return constant([(*size, start) for size, start in zip(sizes, starts, strict=True)], like, torch.int64)


def details(rows: Tensor, sizes: Sequence[tuple[int, int]], uv: Tensor, uv_da: Tensor, mask: Tensor) -> Tensor:
    """Sums of levels of detail at pixels, on any device; see texopt.raster.details.details. The gradient is dense."""
    level = _level(uv_da, None, *sizes[0], len(sizes))
    table = rows.reshape(-1, rows.shape[-1])
    steps = constant(range(1, len(sizes) + 1), level).reshape(-1, 1, 1, 1)
    share = (steps - level).clamp(0, 1) * mask
    height, width, start = _table(sizes, 1, uv)[:, :, None, None, None].unbind(1)
    safe = torch.where(uv.isfinite(), uv, 0.0)
    return _bilinear(table, safe - safe.detach().floor(), height, width, start, share, "wrap", None)


def _indices(
    row: Tensor, column: Tensor, height: Tensor, width: Tensor, boundary: str, face: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Texels within images that may be asked for beyond their edges, and where there is one (None is everywhere)."""
    if boundary == "cube":
        assert face is not None
        row, column = torch.broadcast_tensors(row, column)
        index, there = _cube_texel(face.expand(row.shape), row, column, width)
        return torch.where(there, index, 0), there
    if boundary == "wrap":
        return row.remainder(height) * width + column.remainder(width), None
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) if boundary == "zero" else None
    row, column = row.clamp(min=0).minimum(height - 1), column.clamp(min=0).minimum(width - 1)
    return row * width + column, inside


def _bilinear(
    table: Tensor, uv: Tensor, height: Tensor, width: Tensor, start: Tensor | int, share: Tensor, boundary: str,
    face: Tensor | None,
) -> Tensor:  # fmt: skip
    """Sums [B,h,w,C] over S levels of bilinear look-ups, times their shares.

    table [T,C]: texels of all images. uv [B,h,w,2]: limited to where they can be. height, width, start: of the levels,
    int64 that broadcasts to [S,B,h,w], as does share. face: of a cube.
    """
    u, v = uv.unbind(-1)
    s, t = u * width - 0.5, v * height - 0.5
    if boundary == "clamp":
        s, t = s.clamp(min=0).minimum(width - 1.0), t.clamp(min=0).minimum(height - 1.0)
    x, y = s.detach().floor(), t.detach().floor()
    fx, fy = s - x, t - y
    x, y = x.long(), y.long()
    weights = torch.stack([1 - fy, fy])[:, None] * torch.stack([1 - fx, fx])  # [2,2,S,B,h,w], as all that follows
    index, there = _indices(
        torch.stack([y, y + 1])[:, None], torch.stack([x, x + 1])[None], height, width, boundary, face
    )
    if there is not None:
        if boundary == "cube":  # at a corner three faces meet, and the missing fourth texel is their mean
            weights = weights + torch.where(there, 0.0, weights).sum((0, 1)) / 3
        weights = torch.where(there, weights, 0.0)
    texels: Tensor = _Gather.apply(table, index + start)
    return ((weights * share)[..., None] * texels).sum((0, 1, 2))


def texture(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, mip_level_bias: Tensor | None = None,
    mip: list[Tensor] | None = None, filter_mode: str = "auto", boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:  # fmt: skip
    """Look up a texture on any device and in any floating dtype; see texopt.raster.texture. `mip` may be a list."""
    boundary = check_boundary(boundary_mode)
    check_level("max_mip_level", max_mip_level)
    check_tex(tex, boundary == "cube", None, getattr(tex, "device", CPU))
    check_places(tex, uv, uv_da, mip_level_bias, 3 if boundary == "cube" else 2, None)
    mode = resolve_filter(filter_mode, uv_da is not None or mip_level_bias is not None, max_mip_level)
    images = tex.flatten(0, 1) if boundary == "cube" else tex
    faces = 6 if boundary == "cube" else 1
    if "mipmap" not in mode:
        levels = [images]
    elif mip is None:
        levels = _halvings(images, max_mip_level)
    else:
        check_levels(tex, mip)
        levels = [images, *(x.flatten(0, 1) if boundary == "cube" else x for x in mip)]
    stack = torch.cat([x.reshape(len(tex), -1, tex.shape[-1]) for x in levels], 1)  # [N, texels of all levels, C]
    table = _table([(x.shape[1], x.shape[2]) for x in levels], faces, uv)
    first: Tensor | int = 0
    if len(tex) > 1:
        first = stack.shape[1] * torch.arange(len(tex), device=tex.device)[:, None, None]
    stack = stack.flatten(0, 1)

    face = None
    if boundary == "cube":
        face, u, v, valid = _cube_locate(uv)
        limited = torch.stack([u, v], -1)
    else:
        valid = uv.isfinite().all(-1)
        safe = torch.where(valid[..., None], uv, 0.0)
        # exact, where u * width rounds
        limited = safe - safe.detach().floor() if boundary == "wrap" else safe.clamp(-2, 3)

    if mode == "nearest":
        height, width, _ = table[0].unbind()
        row, column = (limited[..., 1] * height).floor().long(), (limited[..., 0] * width).floor().long()
        if boundary != "zero":
            row, column = row.clamp(min=0).minimum(height - 1), column.clamp(min=0).minimum(width - 1)
        index, there = _indices(row, column, height, width, boundary, face)
        found: Tensor = _Gather.apply(stack, index + first)
        return torch.where((valid if there is None else valid & there)[..., None], found, 0.0)
    if "mipmap" in mode:
        known = torch.ones_like(valid) if uv_da is None else uv_da.isfinite().all(-1)
        slopes = None if uv_da is None else torch.where(known[..., None], uv_da, 0.0)
        if slopes is not None and boundary == "cube":
            assert face is not None
            slopes = _cube_slopes(torch.where(valid[..., None], uv, 1.0), slopes, face)
        level = _level(slopes, mip_level_bias, levels[0].shape[1], levels[0].shape[2], len(levels) - 1)
        level = torch.where(known, level, 0.0)
    else:
        level = torch.zeros_like(limited[..., 0])
    low = level.detach().floor()
    blend, number = level - low, low.long()
    if mode == "linear-mipmap-linear":
        number = torch.stack([number, (number + 1).clamp(max=len(levels) - 1)])
        share = torch.stack([1 - blend, blend])
    else:
        number, share = number[None], torch.ones_like(blend)[None]
    height, width, start = table[number].unbind(-1)
    out = _bilinear(stack, limited, height, width, start + first, share, boundary, face)
    return torch.where(valid[..., None], out, 0.0)
