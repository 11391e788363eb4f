"""The CPU kernels as torch operations, with nvdiffrast's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster import cpu, mipmap

FILTER_MODES = ("auto", "nearest", "linear", "linear-mipmap-linear")
BOUNDARY_MODES = ("wrap", "clamp")


class RasterizeContext:
    """Stands where nvdiffrast's RasterizeCudaContext does. The CPU kernels keep nothing between calls."""


def _array(name: str, tensor: Tensor, dtype: torch.dtype, shape: str, ok: bool) -> np.ndarray:
    if tensor.device.type != "cpu" or tensor.dtype != dtype or not ok:
        got = f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
        raise OptionError(f"{name} has to be a {dtype} tensor {shape} on the CPU, not {got}")
    return tensor.detach().contiguous().numpy()


def rasterize(
    ctx: RasterizeContext, pos: Tensor, tri: Tensor, resolution: tuple[int, int] | list[int]
) -> tuple[Tensor, Tensor]:
    """Find what every pixel sees.

    Args:
        ctx: a RasterizeContext (kept for nvdiffrast's signature).
        pos: clip-space vertices, float32 [B,V,4]. Visible is -w <= x, y, z <= w; y = -w is row 0.
        tri: vertex indices of the triangles, int32 [F,3].
        resolution: (height, width) in pixels.

    Returns:
        rast: float32 [B,H,W,4], per pixel (u, v, z/w, triangle index + 1); zeros where nothing is. Barycentrics
            are perspective-correct and (u, v) = (1, 0) at the first vertex, (0, 1) at the second.
        rast_db: float32 [B,H,W,4], (du/dX, du/dY, dv/dX, dv/dY) per pixel.

    Not differentiable: in texopt geometry and cameras are constants. Of two triangles at exactly one depth the
    lower index is seen. Triangles with a vertex that is not finite, or without area, are skipped.

    Reference: Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.
    """
    height, width = (int(n) for n in resolution)
    if not (0 < height <= 16384 and 0 < width <= 16384):
        raise OptionError(f"resolution has to be (height, width) between 1 and 16384, not {tuple(resolution)}")
    positions = _array("pos", pos, torch.float32, "[B,V,4]", pos.ndim == 3 and pos.shape[-1] == 4)
    triangles = _array("tri", tri, torch.int32, "[F,3]", tri.ndim == 2 and tri.shape[-1] == 3)
    if len(triangles) and not (int(triangles.min()) >= 0 and int(triangles.max()) < positions.shape[1]):
        raise OptionError(f"tri has to index the {positions.shape[1]} vertices of pos")
    if len(triangles) >= 1 << 24:
        raise OptionError(f"tri has {len(triangles)} triangles; rast holds their indices as float32, fewer than 2^24")
    rast, rast_db = cpu.rasterize(positions, triangles, height, width)
    return torch.from_numpy(rast), torch.from_numpy(rast_db)


def interpolate(attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate vertex attributes over the pixels.

    Args:
        attr: float32 [1,V,A] or [B,V,A].
        rast, rast_db: what `rasterize` returned.
        tri: int32 [F,3] indices into attr; may differ from the ones drawn with (texture coordinates have their own).

    Returns:
        float32 [B,H,W,A], zeros on the background, and its image-space derivatives float32 [B,H,W,2A]: for each
        attribute (dA/dX, dA/dY) per pixel. Not differentiable, as `rasterize`.
    """
    batch_fits = attr.ndim == 3 and len(attr) in (1, len(rast))
    arrays = (
        _array("attr", attr, torch.float32, "[1 or B,V,A]", batch_fits),
        _array("rast", rast, torch.float32, "[B,H,W,4]", rast.ndim == 4 and rast.shape[-1] == 4),
        _array("tri", tri, torch.int32, "[F,3]", tri.ndim == 2 and tri.shape[-1] == 3),
        _array("rast_db", rast_db, torch.float32, "as rast", rast_db.shape == rast.shape),
    )
    if tri.numel() and not (int(tri.min()) >= 0 and int(tri.max()) < attr.shape[1]):
        raise OptionError(f"tri has to index the {attr.shape[1]} vertices of attr")
    if rast.numel() and int(rast[..., 3].max()) > len(tri):
        raise OptionError(f"tri has {len(tri)} triangles, rast was drawn with {int(rast[..., 3].max())} or more")
    out, out_da = cpu.interpolate(*arrays)
    return torch.from_numpy(out), torch.from_numpy(out_da)


class _Texture(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, tex: Tensor, uv: Tensor, uv_da: Tensor | None, top: int | None, wrap: bool, nearest: bool
    ) -> Tensor:
        derivatives = None if uv_da is None else uv_da.numpy()
        out, levels = mipmap.look_up(tex.detach().numpy(), uv.numpy(), derivatives, top, wrap, nearest)
        ctx.save_for_backward(uv, torch.from_numpy(levels))
        ctx.shape, ctx.mode = tuple(tex.shape), (top if uv_da is not None else 0, wrap, nearest)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        uv, levels = ctx.saved_tensors
        contiguous = cotangent.float().contiguous().numpy()
        grad = mipmap.look_up_gradient(ctx.shape, uv.numpy(), levels.numpy(), contiguous, *ctx.mode)
        return torch.from_numpy(grad), None, None, None, None, None


def check_modes(uv_da: Tensor | None, filter_mode: str, boundary_mode: str) -> str:
    """The filter mode that is meant ("auto" resolved), or an OptionError."""
    if filter_mode not in FILTER_MODES:
        raise OptionError(f"filter_mode has to be one of {', '.join(FILTER_MODES)}, not {filter_mode!r}")
    if boundary_mode not in BOUNDARY_MODES:
        raise OptionError(f"boundary_mode has to be one of {', '.join(BOUNDARY_MODES)}, not {boundary_mode!r}")
    if filter_mode == "auto":
        return "linear" if uv_da is None else "linear-mipmap-linear"
    if filter_mode == "linear-mipmap-linear" and uv_da is None:
        raise OptionError("filter_mode linear-mipmap-linear needs uv_da; use linear to look up without mipmaps")
    return filter_mode


def texture(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, filter_mode: str = "auto",
    boundary_mode: str = "wrap", max_mip_level: int | None = None,
) -> Tensor:  # fmt: skip
    """Look up a texture, with mipmaps.

    Args:
        tex: float32 [1,H,W,C] or [B,H,W,C]; (u, v) = (0, 0) is the corner of texel [0, 0].
        uv: float32 [B,h,w,2].
        uv_da: float32 [B,h,w,4], the (du/dX, du/dY, dv/dX, dv/dY) of `interpolate`; needed for mipmaps.
        filter_mode: nearest, linear, linear-mipmap-linear (trilinear), or auto: trilinear where uv_da is given.
        boundary_mode: wrap or clamp.
        max_mip_level: the coarsest mip level that may be used; level l has 1 / 2^l of the size. Levels also end
            where a side that is longer than one texel is odd.

    Returns:
        float32 [B,h,w,C]. Differentiable with respect to tex, bit for bit the same from run to run.
    """
    mode = check_modes(uv_da, filter_mode, boundary_mode)
    _array("tex", tex, torch.float32, "[1 or B,H,W,C]", tex.ndim == 4 and len(tex) in (1, len(uv)) and tex.numel() > 0)
    _array("uv", uv, torch.float32, "[B,h,w,2]", uv.ndim == 4 and uv.shape[-1] == 2)
    if mode != "linear-mipmap-linear":
        uv_da = None
    elif uv_da is not None:
        _array("uv_da", uv_da, torch.float32, "[B,h,w,4]", uv_da.shape == (*uv.shape[:3], 4))
        uv_da = uv_da.contiguous()
    return _Texture.apply(  # type: ignore[no-any-return]
        tex.contiguous(), uv.contiguous(), uv_da, max_mip_level, boundary_mode == "wrap", mode == "nearest"
    )
