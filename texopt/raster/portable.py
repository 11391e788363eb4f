"""The texture look-up in plain torch, for devices that have neither our CPU kernels nor nvdiffrast (MPS, ROCm, XPU,
CUDA without nvdiffrast). Same arguments and, up to rounding, the same numbers as the kernels; slower on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from texopt.raster import cube
from texopt.raster.mipmap import level_sizes
from texopt.raster.sampling import check_boundary, check_levels, resolve_filter


def _halvings(tex: Tensor, max_mip_level: int | None) -> list[Tensor]:
    """Mip levels of [N,H,W,C], level 0 first."""
    levels = [tex]
    for (height, width), (low, narrow) in pairwise(level_sizes(tex.shape[1], tex.shape[2], max_mip_level)):
        kernel = (height // low, width // narrow)
        levels.append(torch.nn.functional.avg_pool2d(levels[-1].permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1))
    return levels


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
        texels = slopes * slopes.new_tensor([width, width, height, height])
        largest = texels.detach().abs().amax(-1)  # squares of what is divided by it neither overflow nor vanish
        known = (largest > 0) & largest.isfinite()
        largest = torch.where(known, largest, 1.0)
        s_x, s_y, t_x, t_y = (torch.where(known[..., None], texels, 1.0) / largest[..., None]).unbind(-1)
        a, b, c = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
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


def details(
    look_up: Callable[..., Tensor], rows: Tensor, sizes: Sequence[tuple[int, int]], uv: Tensor, uv_da: Tensor,
    mask: Tensor,
) -> Tensor:  # fmt: skip
    """Sums of levels of detail at pixels, on any device; see texopt.raster.details.details. The gradient is dense.

    look_up: a backend's `texture`.
    """
    level = _level(uv_da, None, *sizes[0], len(sizes))
    flat, start, out = rows.reshape(-1, rows.shape[-1]), 0, torch.zeros(*uv.shape[:3], rows.shape[-1], device=uv.device)
    for number, (height, width) in enumerate(sizes):
        image = flat[start : start + height * width].reshape(1, height, width, -1)
        share = (number + 1 - level).clamp(0, 1)[..., None]
        out = out + share * look_up(image, uv, filter_mode="linear")
        start += height * width
    return torch.where(mask[..., None], out, 0.0)


def texture(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, mip_level_bias: Tensor | None = None,
    mip: list[Tensor] | None = None, filter_mode: str = "auto", boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:  # fmt: skip
    """Look up a texture on any device and in any floating dtype; see texopt.raster.texture. `mip` may be a list."""
    boundary = check_boundary(boundary_mode)
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
    table = torch.tensor([x.shape[1:3] for x in levels], device=tex.device)
    starts = torch.cat([table.new_zeros(1), (faces * table.prod(1)).cumsum(0)[:-1]])
    batch = torch.arange(len(uv), device=uv.device)[:, None, None] if len(tex) > 1 else 0

    if boundary == "cube":
        face, u, v, valid = _cube_locate(uv)
    else:
        valid = uv.isfinite().all(-1)
        safe = torch.where(valid[..., None], uv, 0.0)
        limited = safe - safe.detach().floor() if boundary == "wrap" else safe.clamp(-2, 3)
        u, v = limited.unbind(-1)  # exact, where u * width would round
        face = torch.zeros_like(u, dtype=torch.long)

    def fetch(start: Tensor, height: Tensor, width: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Texels [B,h,w,C] of levels, and where they are."""
        there = torch.ones_like(valid)
        if boundary == "cube":
            index, there = _cube_texel(face, row, column, width)
        else:
            if boundary == "zero":
                there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            if boundary == "wrap":
                row, column = row.remainder(height), column.remainder(width)
            row, column = row.clamp(min=0).minimum(height - 1), column.clamp(min=0).minimum(width - 1)
            index = row * width + column
        return stack[batch, start + torch.where(there, index, 0)], there

    if mode == "nearest":
        height, width = table[0].unbind()
        row, column = (v * height).floor().long(), (u * width).floor().long()
        if boundary != "zero":
            row, column = row.clamp(min=0).minimum(height - 1), column.clamp(min=0).minimum(width - 1)
        texel, there = fetch(starts[0], height, width, row, column)
        return torch.where((valid & there)[..., None], texel, 0.0)
    level = torch.zeros_like(u)
    if "mipmap" in mode:
        known = torch.ones_like(valid) if uv_da is None else uv_da.isfinite().all(-1)
        slopes = None if uv_da is None else torch.where(known[..., None], uv_da, 0.0)
        if slopes is not None and boundary == "cube":
            slopes = _cube_slopes(torch.where(valid[..., None], uv, 1.0), slopes, face)
        level = _level(slopes, mip_level_bias, levels[0].shape[1], levels[0].shape[2], len(levels) - 1)
        level = torch.where(known, level, 0.0)
    low = level.detach().floor()
    blend = level - low
    out = torch.zeros((*uv.shape[:3], tex.shape[-1]), device=tex.device, dtype=tex.dtype)
    for step, share in enumerate((1 - blend, blend) if mode == "linear-mipmap-linear" else (torch.ones_like(u),)):
        index = (low.long() + step).clamp(max=len(levels) - 1)
        start, height, width = starts[index], table[index, 0], table[index, 1]
        s, t = u * width - 0.5, v * height - 0.5
        if boundary == "clamp":
            s, t = s.clamp(min=0).minimum(width - 1.0), t.clamp(min=0).minimum(height - 1.0)
        x, y = s.detach().floor(), t.detach().floor()
        fx, fy = s - x, t - y
        taps = [fetch(start, height, width, y.long() + dy, x.long() + dx) for dy in (0, 1) for dx in (0, 1)]
        weights = [wy * wx for wy in (1 - fy, fy) for wx in (1 - fx, fx)]
        missing = [torch.where(there, 0.0, weight) for (_, there), weight in zip(taps, weights, strict=True)]
        third = torch.stack(missing).sum(0) / 3 if boundary == "cube" else torch.zeros_like(u)
        for (texel, there), weight in zip(taps, weights, strict=True):
            out = out + (torch.where(there, weight + third, 0.0) * share)[..., None] * texel
    return torch.where(valid[..., None], out, 0.0)
