"""`texture` and `texture_construct_mip` as torch operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster.addressing import BOUNDARY_MODES, FILTER_MODES
from texopt.raster.arguments import CPU, check_level, check_tensor, described, flag, one_of
from texopt.raster.lookup import LookUp
from texopt.raster.mipmap import LevelLayout, build, level_sizes, mip_levels

F32 = torch.float32


@dataclass(frozen=True, eq=False)
class MipStack:
    """Mip levels that `texture_construct_mip` made of a texture, to be used while that stays as it is."""

    shape: tuple[int, ...]
    layout: LevelLayout
    texels: np.ndarray


def _layout(tex: Tensor, max_mip_level: int | None, cube: bool) -> LevelLayout:
    """Sizes of a texture and its levels, or an OptionError."""
    check_tex(tex, cube, F32)
    check_level("max_mip_level", max_mip_level)
    tex = tex.flatten(0, 1) if cube else tex
    images, height, width, channels = tex.shape
    return LevelLayout(level_sizes(height, width, max_mip_level), images, channels)


def check_tex(tex: Any, cube: bool, dtype: torch.dtype | None, device: torch.device = CPU) -> None:
    """OptionError for what is no texture of a dtype (None: any floating one) on a device."""
    if not cube:
        check_tensor("tex", tex, "[1 or B,H,W,C]", lambda tex: tex.ndim == 4 and tex.numel() > 0, dtype, device)
        return
    check_tensor(
        "tex", tex, "[1 or B,6,S,S,C] of a cube",
        lambda tex: tex.ndim == 5 and tex.shape[1] == 6 and tex.numel() > 0, dtype, device,
    )  # fmt: skip
    if tex.shape[2] != tex.shape[3]:
        raise OptionError(f"tex has faces of {tex.shape[2]}x{tex.shape[3]} texels; those of a cube are square")


def check_places(
    tex: Tensor, uv: Any, uv_da: Any, mip_level_bias: Any, sides: int, dtype: torch.dtype | None
) -> None:  # fmt: skip
    """OptionError for what does not say where, and how finely, a texture is looked up.

    sides: of uv, 3 for cube maps.
    """
    device = tex.device
    check_tensor("uv", uv, f"[B,h,w,{sides}]", lambda uv: uv.ndim == 4 and uv.shape[-1] == sides, dtype, device)
    if len(tex) not in (1, len(uv)):
        raise OptionError(f"tex has to be 1 texture, or {len(uv)} as uv has images; it is {list(tex.shape)}")
    if uv_da is not None:
        shape = (*uv.shape[:3], 2 * sides)
        check_tensor("uv_da", uv_da, f"{list(shape)}, as uv,", lambda uv_da: uv_da.shape == shape, dtype, device)
    if mip_level_bias is not None:
        shape = uv.shape[:3]
        check_tensor(
            "mip_level_bias", mip_level_bias, f"{list(shape)}, as uv,", lambda bias: bias.shape == shape, dtype, device
        )


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy().reshape(-1)


def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False) -> MipStack:
    """Make the mip levels of a texture that stays as it is, for the argument `mip` of `texture`.

    Args:
        tex: as in `texture`. max_mip_level: the coarsest level to make. cube_mode: whether tex is a cube map.
    """
    layout = _layout(tex, max_mip_level, flag("cube_mode", cube_mode))
    return MipStack(tuple(tex.shape), layout, build(_flat(tex), layout))


def resolve_filter(filter_mode: str, mipmaps: bool, max_mip_level: int | None = None) -> str:
    """The filter mode that is meant where there is what mip levels are chosen by, or is not; or an OptionError."""
    one_of("filter_mode", filter_mode, ("auto", *FILTER_MODES))
    if filter_mode == "auto":
        filter_mode = "linear-mipmap-linear" if mipmaps else "linear"
    if "mipmap" in filter_mode and not mipmaps:
        raise OptionError(f"filter_mode {filter_mode} needs uv_da or mip_level_bias; linear looks up without mipmaps")
    return "linear" if "mipmap" in filter_mode and max_mip_level == 0 else filter_mode


def check_boundary(boundary_mode: str) -> str:
    return one_of("boundary_mode", boundary_mode, tuple(BOUNDARY_MODES))


def check_levels(tex: Tensor, mip: Any) -> list[Tensor]:
    """`mip`, or an OptionError if it is no list of mip levels for a texture [N,H,W,C] or [N,6,S,S,C]."""
    height, width = tex.shape[-3:-1]
    if not isinstance(mip, list) or not all(isinstance(level, Tensor) for level in mip):
        raise OptionError(
            f"mip has to be a list of tensors, or what texture_construct_mip made of tex, not {described(mip)}"
        )
    if len(mip) > mip_levels(height, width):
        raise OptionError(
            f"mip has {len(mip)} levels; {height}x{width} can be halved {mip_levels(height, width)} times"
        )
    for number, level in enumerate(mip, 1):
        expected = (*tex.shape[:-3], max(height >> number, 1), max(width >> number, 1), tex.shape[-1])
        if tuple(level.shape) != expected or level.dtype != tex.dtype or level.device != tex.device:
            got = f"{level.dtype} {list(level.shape)} on {level.device}"
            raise OptionError(f"mip has level {number} as {got}, not {tex.dtype} {list(expected)} on {tex.device}")
    return mip


class _Texture(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, tex: Tensor, uv: Tensor, uv_da: Tensor, bias: Tensor, settings: Any, *mip: Tensor
    ) -> Tensor:
        layout, stack, mode, boundary = settings
        ctx.own_stack = stack is None
        if stack is None:
            stack = np.concatenate([_flat(level) for level in mip]) if mip else np.empty(0, np.float32)
        coordinates = (
            uv.detach().flatten(0, 2).numpy(), uv_da.detach().reshape(-1, uv_da.shape[-1]).numpy(), _flat(bias)
        )  # fmt: skip
        ctx.look_up = LookUp(layout, _flat(tex), stack, coordinates, uv.shape[1] * uv.shape[2], mode, boundary)
        ctx.save_for_backward(tex, uv, uv_da, bias, *mip)  # so that changing them in between is noticed
        return torch.from_numpy(ctx.look_up.forward().reshape(*uv.shape[:3], tex.shape[-1]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        tex, uv, uv_da, bias, *mip = ctx.saved_tensors
        cotangent = grad.contiguous().numpy().reshape(-1, grad.shape[-1])
        grads: list[Tensor | None] = [None] * (5 + len(mip))
        if ctx.needs_input_grad[0] or any(ctx.needs_input_grad[5:]):
            g_tex, g_stack = ctx.look_up.texture_gradient(cotangent, ctx.own_stack)
            grads[0] = torch.from_numpy(g_tex).reshape(tex.shape)
            grads[5:] = [
                part.reshape(level.shape)
                for part, level in zip(torch.from_numpy(g_stack).split([x.numel() for x in mip]), mip, strict=True)
            ] if mip else []  # fmt: skip
        if any(ctx.needs_input_grad[1:4]) and FILTER_MODES[ctx.look_up.mode] != "nearest":
            found = ctx.look_up.coordinate_gradient(cotangent)
            for i, (part, whole) in enumerate(zip(found, (uv, uv_da, bias), strict=True), 1):
                grads[i] = torch.from_numpy(part).reshape(whole.shape) if len(part) else None
        return tuple(grads)


def texture(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, mip_level_bias: Tensor | None = None,
    mip: MipStack | list[Tensor] | None = None, filter_mode: str = "auto", boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:  # fmt: skip
    """Look up a texture.

    Args:
        tex: float32 [1,H,W,C] or [B,H,W,C], (u, v) = (0, 0) being the corner of texel [0, 0]; for cube maps
            [1 or B,6,S,S,C], faces in the order +x, -x, +y, -y, +z, -z and oriented as in OpenGL.
        uv: float32 [B,h,w,2]; for cube maps [B,h,w,3], directions of any length.
        uv_da: float32 [B,h,w,4], the (du/dX, du/dY, dv/dX, dv/dY) of `interpolate`, or [B,h,w,6].
        mip_level_bias: float32 [B,h,w], added to the mip level that uv_da gives; without uv_da it is the level.
        mip: what `texture_construct_mip` made of tex; or a list of tensors that are levels 1, 2, ... and are
            independent of tex. None: levels are made of tex.
        filter_mode: nearest, linear, linear-mipmap-nearest (the level is rounded down), linear-mipmap-linear
            (trilinear), or auto: trilinear where uv_da or mip_level_bias is given, else linear.
        boundary_mode: wrap; clamp, to the centres of the outermost texels; zero, outside of the texture; cube.
        max_mip_level: the coarsest mip level that is made; level l has 1 / 2^l of the size. Sides that are not
            powers of two need it, as far as they can be halved: see `mip_levels`.

    Returns:
        float32 [B,h,w,C]; zeros where uv is not finite or, in a cube map, no direction. Gradients reach tex and uv,
        and in trilinear mode uv_da, mip_level_bias and the tensors of `mip`; bit for bit the same in every run.

    Reference: Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.4.
    """
    cube = check_boundary(boundary_mode) == "cube"
    check_level("max_mip_level", max_mip_level)
    mode = resolve_filter(filter_mode, uv_da is not None or mip_level_bias is not None, max_mip_level)
    mipmaps, sides = "mipmap" in mode, 3 if cube else 2
    built = mipmaps and mip is None
    layout = _layout(tex, (max_mip_level if built else 0), cube)
    check_places(tex, uv, uv_da, mip_level_bias, sides, F32)
    empty = torch.empty(0, 2 * sides)
    levels: list[Tensor] = []
    stack: np.ndarray | None = np.empty(0, np.float32)
    if built:
        stack = build(_flat(tex), layout)
    elif mipmaps and isinstance(mip, MipStack):
        if mip.shape != tuple(tex.shape):
            raise OptionError(f"mip was made of a tex of {list(mip.shape)}, not {list(tex.shape)}")
        layout, stack = mip.layout, mip.texels
    elif mipmaps:
        mip = check_levels(tex, mip)
        levels, stack = [level.contiguous() for level in mip], None
        sizes = [(tex.shape[-3], tex.shape[-2]), *((level.shape[-3], level.shape[-2]) for level in mip)]
        layout = LevelLayout(sizes, layout.images, layout.channels)
    return _Texture.apply(  # type: ignore[no-any-return]
        tex.contiguous(), uv.contiguous(),
        empty if uv_da is None or not mipmaps else uv_da.contiguous(),
        empty[:, 0] if mip_level_bias is None or not mipmaps else mip_level_bias.contiguous(),
        (layout, stack, FILTER_MODES.index(mode), BOUNDARY_MODES.index(boundary_mode)), *levels,
    )  # fmt: skip
