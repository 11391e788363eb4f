"""What arguments of the drawing operations have to be: OptionError, with the argument's name, where one is not."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError

CPU = torch.device("cpu")


def described(value: object) -> str:
    """What came, for a message."""
    if isinstance(value, Tensor):
        kind = "" if value.layout == torch.strided else f"{str(value.layout).removeprefix('torch.')} "
        return f"{kind}{value.dtype} {list(value.shape)} on {value.device}"
    if isinstance(value, np.ndarray):
        return f"a numpy array {list(value.shape)} (torch.from_numpy makes a tensor of one)"
    return repr(value)[:60] if value is None or isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def check_tensor(
    name: str, value: Any, shape: str, fits: Callable[[Tensor], bool], dtype: torch.dtype | None = torch.float32,
    device: torch.device = CPU,
) -> None:  # fmt: skip
    """OptionError if an argument is no tensor of a shape, dtype (None: any floating one) and device.

    shape: in words, for the message; fits: whether a tensor has it.
    """
    good = isinstance(value, Tensor) and value.layout == torch.strided and value.device == device
    if not good or not (value.is_floating_point() if dtype is None else value.dtype == dtype) or not fits(value):
        kind, where = dtype or "floating-point", "the CPU" if device == CPU else device
        raise OptionError(f"{name} has to be a {kind} tensor {shape} on {where}, not {described(value)}")


def array(name: str, value: Any, dtype: torch.dtype, shape: str, fits: Callable[[Tensor], bool]) -> np.ndarray:
    """A tensor on the CPU as a contiguous array. OptionError as of check_tensor."""
    check_tensor(name, value, shape, fits, dtype)
    values: np.ndarray = value.detach().contiguous().numpy()
    return values


def check_triangles(tri: Any, vertices: int | None = None, of: str = "") -> np.ndarray:
    """tri [F,3] as an array, or an OptionError if it does not index the vertices, so many, of `of`."""
    triangles = array("tri", tri, torch.int32, "[F,3]", lambda tri: tri.ndim == 2 and tri.shape[-1] == 3)
    if vertices is not None and len(triangles) and not (triangles.min() >= 0 and triangles.max() < vertices):
        raise OptionError(f"tri has to index the {vertices} vertices of {of}")
    return triangles


def check_drawn(rast: Tensor, tri: Tensor) -> None:
    """OptionError if rast [B,H,W,4] names triangles that tri [F,3] has not."""
    last = float(rast.detach().numpy()[..., 3].max(initial=0.0))
    if not last <= len(tri):
        raise OptionError(f"tri has {len(tri)} triangles, rast was drawn with triangle {last:g}")


def check_rast(rast: Any) -> None:
    check_tensor("rast", rast, "[B,H,W,4], as rasterize returned it,", lambda it: it.ndim == 4 and it.shape[-1] == 4)


def flag(name: str, value: Any) -> bool:
    """An argument that is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name} has to be True or False, not {described(value)}")
    return bool(value)


def whole(value: Any) -> int | None:
    """A whole number; None of what is none."""
    try:
        return None if isinstance(value, (bool, Tensor)) else operator.index(value)
    except TypeError:
        return None


def check_level(name: str, value: Any) -> None:
    """OptionError for what is neither None nor a mip level."""
    if value is not None and ((level := whole(value)) is None or level < 0):
        raise OptionError(f"{name} has to be 0, 1, 2, ... or None, not {described(value)}")


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """An argument that is one of some words."""
    if not isinstance(value, str) or value not in choices:
        raise OptionError(f"{name} has to be one of {', '.join(choices)}, not {described(value)}")
    return value
