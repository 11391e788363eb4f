"""Which functions draw: ours on the CPU, nvdiffrast's on CUDA, or ours with the look-up in plain torch elsewhere.

All have nvdiffrast's signatures and semantics, and texopt draws with nothing else, so the same lines run on each.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import torch

from texopt.errors import DependencyError, OptionError
from texopt.raster import portable
from texopt.raster.contexts import RasterizeContext
from texopt.raster.details import details
from texopt.raster.interpolation import interpolate
from texopt.raster.levels import add_levels, average, portable_add_levels, portable_average
from texopt.raster.rasterization import rasterize
from texopt.raster.sampling import texture, texture_construct_mip

RASTERS = ("auto", "cpu", "nvdiffrast")


@dataclass(frozen=True, eq=False)
class Backend:
    """The drawing functions for tensors on one device.

    name: for people. context: the first argument of rasterize. geometry: where rasterize and interpolate take and
    return tensors. rasterize, interpolate, texture, texture_construct_mip: as texopt.raster's. details, add_levels,
    average: as of texopt.raster.details and texopt.raster.levels.
    """

    name: str
    context: Any
    geometry: torch.device
    rasterize: Callable[..., Any]
    interpolate: Callable[..., Any]
    texture: Callable[..., Any]
    texture_construct_mip: Callable[..., Any]
    details: Callable[..., Any]
    add_levels: Callable[..., Any]
    average: Callable[..., Any]


CPU = Backend(
    "the CPU", RasterizeContext(), torch.device("cpu"), rasterize, interpolate, texture, texture_construct_mip, details,
    add_levels, average,
)  # fmt: skip
PORTABLE = replace(
    CPU, name="the CPU, textures in torch", texture=portable.texture,
    texture_construct_mip=portable.texture_construct_mip, details=portable.details,
    add_levels=portable_add_levels, average=portable_average,
)  # fmt: skip


@cache  # a context a device
def _nvdiffrast(device: torch.device) -> Backend:
    """nvdiffrast's functions with a context on `device`; DependencyError where they cannot be used."""
    if device.type != "cuda":
        raise OptionError(f"raster nvdiffrast draws on CUDA devices only, and the device is {device}; use raster cpu")
    try:
        dr: ModuleType = importlib.import_module("nvdiffrast.torch")
    except ImportError:
        raise DependencyError(
            "raster nvdiffrast: the package is not installed; README.md says how, or use raster cpu"
        ) from None
    try:
        context = dr.RasterizeCudaContext(device=device)  # compiles it, at its first use
    except (RuntimeError, OSError, AttributeError, ImportError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
        raise DependencyError(f"nvdiffrast cannot be used ({reason}); use raster cpu") from None
    return Backend(
        "nvdiffrast", context, device, dr.rasterize, dr.interpolate, dr.texture, dr.texture_construct_mip,
        portable.details, portable_add_levels, portable_average,
    )  # fmt: skip


def select(raster: str, device: torch.device | str = "cpu") -> Backend:
    """The functions that draw textures that are on `device`.

    Args:
        raster: "cpu"; "nvdiffrast"; or "auto": nvdiffrast on CUDA if it can be used, else the CPU.
        device: of textures and of what is drawn.

    Raises:
        OptionError, DependencyError: nvdiffrast was asked for and cannot be used.
    """
    device = torch.device(device)
    if raster not in RASTERS:
        raise OptionError(f"raster has to be one of {', '.join(RASTERS)}, not {raster!r}")
    if raster == "nvdiffrast":
        return _nvdiffrast(device)
    if raster == "auto" and device.type == "cuda":
        try:
            return _nvdiffrast(device)
        except DependencyError:  # not installed, or it does not work here
            pass
    return CPU if device.type == "cpu" else PORTABLE
