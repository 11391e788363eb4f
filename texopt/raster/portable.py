"""The texture look-up in plain torch, for devices that have neither our CPU kernels nor nvdiffrast (MPS, ROCm, XPU,
CUDA without nvdiffrast). Same signature and, up to rounding, the same numbers as the kernels; slower on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from texopt.raster.autograd import check_modes
from texopt.raster.mipmap import level_sizes


def _flat_stack(tex: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """All mip levels one after another: [N, texels of all levels, C]."""
    level = tex.permute(0, 3, 1, 2)
    flat = [level.flatten(2)]
    for height, width in sizes[1:]:
        kernel = (level.shape[2] // height, level.shape[3] // width)
        level = torch.nn.functional.avg_pool2d(level, kernel)
        flat.append(level.flatten(2))
    return torch.cat(flat, 2).transpose(1, 2)


def _mip_level(uv_da: Tensor, height: int, width: int, top: int) -> Tensor:
    """log2 of the major axis of every pixel's footprint, in texels: [B,h,w] in [0, top]."""
    s_x, s_y, t_x, t_y = (uv_da * uv_da.new_tensor([width, width, height, height])).unbind(-1)
    a, b, c = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
    major_squared = 0.5 * (a + b) + (0.25 * (a - b) ** 2 + c * c).sqrt()
    major_squared = torch.where(major_squared > 1, major_squared, 1.0)  # not where it is NaN
    level: Tensor = (0.5 * major_squared.log2()).clamp(max=top)
    return level


def _gather(stack: Tensor, start: Tensor, height: Tensor, width: Tensor, x: Tensor, y: Tensor, wrap: bool) -> Tensor:
    """Texels (x, y) of levels that begin at `start` and have that height and width: [B,h,w,C]."""
    if wrap:
        x, y = x.remainder(width), y.remainder(height)
    else:
        x, y = x.clamp(min=0).minimum(width - 1), y.clamp(min=0).minimum(height - 1)
    index = (start + y * width + x).flatten(1)  # [B, h*w]
    batch = torch.arange(len(index), device=index.device)[:, None] if len(stack) > 1 else 0
    return torch.unflatten(stack[batch, index], 1, x.shape[1:])


def texture(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, filter_mode: str = "auto",
    boundary_mode: str = "wrap", max_mip_level: int | None = None,
) -> Tensor:  # fmt: skip
    """Look up a texture, with mipmaps, on any device; see texopt.raster.texture."""
    mode = check_modes(uv_da, filter_mode, boundary_mode)
    wrap = boundary_mode == "wrap"
    mipmaps = mode == "linear-mipmap-linear"
    sizes = level_sizes(tex.shape[1], tex.shape[2], max_mip_level if mipmaps else 0)
    stack = _flat_stack(tex, sizes)
    table = torch.tensor(sizes, device=tex.device)
    starts = torch.cat([table.new_zeros(1), table.prod(1).cumsum(0)[:-1]])
    finite = uv.isfinite().all(-1, keepdim=True)
    uv = torch.where(finite, uv, 0.0)
    u, v = (uv - uv.floor() if wrap else uv).unbind(-1)  # exact, where u * width would round
    if mode == "nearest":
        height, width = table[0]
        x, y = (u * width).floor().long(), (v * height).floor().long()
        return torch.where(finite, _gather(stack, starts[0], height, width, x, y, wrap), 0.0)
    level = torch.zeros_like(u) if not mipmaps or uv_da is None else _mip_level(uv_da, *sizes[0], len(sizes) - 1)
    low = level.floor()
    blend = level - low
    out = torch.zeros((*uv.shape[:3], tex.shape[3]), device=tex.device, dtype=tex.dtype)
    for step, share in ((0, 1 - blend), (1, blend)) if mipmaps else ((0, 1 - blend),):
        index = (low.long() + step).clamp(max=len(sizes) - 1)
        start, height, width = starts[index], table[index, 0], table[index, 1]
        s, t = u * width - 0.5, v * height - 0.5
        if not wrap:
            s, t = s.clamp(min=0).minimum(width - 1.0), t.clamp(min=0).minimum(height - 1.0)
        x, y = s.floor(), t.floor()
        fx, fy = s - x, t - y
        x, y = x.long(), y.long()
        for dx, weight_x in ((0, 1 - fx), (1, fx)):
            for dy, weight_y in ((0, 1 - fy), (1, fy)):
                taps = _gather(stack, start, height, width, x + dx, y + dy, wrap)
                out = out + (weight_x * weight_y * share)[..., None] * taps
    return torch.where(finite, out, 0.0)
