"""`interpolate`: vertex attributes over the pixels, and their image-space derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster.arguments import check_drawn, check_rast, check_tensor, check_triangles, described, whole
from texopt.raster.kernels import at, expanded, for_each_block, kernel, zero_parts

BAND = 32  # rows a block of work draws


@expanded
def _forward_rows(first, last, height, width, attr, rast, tri, rast_db, chosen, out, out_da, channels, derivatives):
    for line in range(first, last):  # rows are counted through all images
        n = line // height if len(attr) > 1 else 0
        values = attr[n]
        for column in range(width):
            pixel = line * width + column
            p = at(pixel)
            face = np.int64(rast[p, 3]) - 1
            if face < 0:
                for c in range(channels):
                    out[p, at(c)] = 0.0
                for d in range(2 * derivatives):
                    out_da[p, at(d)] = 0.0
                continue
            i, j, k = at(tri[at(face), 0]), at(tri[at(face), 1]), at(tri[at(face), 2])
            u, v = rast[p, 0], rast[p, 1]
            for c in range(channels):
                last_value = values[k, at(c)]
                to_u, to_v = values[i, at(c)] - last_value, values[j, at(c)] - last_value
                out[p, at(c)] = last_value + u * to_u + v * to_v
            for d in range(derivatives):
                c = at(chosen[at(d)])
                to_u, to_v = values[i, c] - values[k, c], values[j, c] - values[k, c]
                out_da[p, at(2 * d)] = rast_db[p, 0] * to_u + rast_db[p, 2] * to_v
                out_da[p, at(2 * d + 1)] = rast_db[p, 1] * to_u + rast_db[p, 3] * to_v


@kernel
def _forward(block, height, width, attr, rast, tri, rast_db, chosen, out, out_da):
    first, last = block * BAND, min((block + 1) * BAND, len(rast) // width)
    if attr.shape[2] == 2 and len(chosen) == 2:  # texture coordinates: with constants the loops are unrolled
        _forward_rows(first, last, height, width, attr, rast, tri, rast_db, chosen, out, out_da, 2, 2)
    else:
        channels, derivatives = attr.shape[2], len(chosen)
        _forward_rows(first, last, height, width, attr, rast, tri, rast_db, chosen, out, out_da, channels, derivatives)


@kernel
def _backward(part, parts, height, width, attr, rast, tri, rast_db, chosen, grad, grad_da, sums, g_rast, g_db):
    """One part of the rows of every image: gradients of its pixels [B*H*W,4], and a sum for attr [parts,N,V,A]."""
    channels, derivatives = attr.shape[2], len(chosen)
    for image in range(len(rast) // (height * width)):
        n = image if len(attr) > 1 else 0
        values, own = attr[n], sums[part, n]
        for pixel in range(part * height // parts * width, (part + 1) * height // parts * width):
            p = at(image * height * width + pixel)
            face = np.int64(rast[p, 3]) - 1
            if face < 0:
                continue
            i, j, k = at(tri[at(face), 0]), at(tri[at(face), 1]), at(tri[at(face), 2])
            u, v = np.float64(rast[p, 0]), np.float64(rast[p, 1])
            g_u = g_v = 0.0
            for channel in range(channels):
                c = at(channel)
                g = np.float64(grad[p, c])
                g_u += g * (values[i, c] - values[k, c])
                g_v += g * (values[j, c] - values[k, c])
                own[i, c] += u * g
                own[j, c] += v * g
                own[k, c] += (1.0 - u - v) * g
            g_rast[p, 0], g_rast[p, 1] = g_u, g_v
            for d in range(derivatives):
                c = at(chosen[at(d)])
                to_u, to_v = np.float64(values[i, c] - values[k, c]), np.float64(values[j, c] - values[k, c])
                for axis in range(2):
                    g = np.float64(grad_da[p, at(2 * d + axis)])
                    g_db[p, at(axis)] += g * to_u
                    g_db[p, at(2 + axis)] += g * to_v
                    along_u, along_v = g * rast_db[p, at(axis)], g * rast_db[p, at(2 + axis)]
                    own[i, c] += along_u
                    own[j, c] += along_v
                    own[k, c] -= along_u + along_v


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor, chosen: np.ndarray
    ) -> Any:
        batch, height, width = rast.shape[:3]
        pixels, channels = batch * height * width, attr.shape[2]
        out = np.empty((pixels, channels), np.float32)
        out_da = np.empty((pixels, 2 * len(chosen)), np.float32)
        arrays = [x.detach().numpy() for x in (attr, rast.reshape(-1, 4), tri, rast_db.reshape(-1, 4))]
        for_each_block(_forward, -(-batch * height // BAND), height, width, *arrays, chosen, out, out_da)
        ctx.save_for_backward(attr, rast, tri, rast_db)
        ctx.chosen = chosen
        shape = (batch, height, width)
        return torch.from_numpy(out.reshape(*shape, channels)), torch.from_numpy(
            out_da.reshape(*shape, 2 * len(chosen))
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_da: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        attr, rast, tri, rast_db = ctx.saved_tensors
        height, width = rast.shape[1:3]
        pixels = rast.numel() // 4
        g_rast, g_db = np.zeros((pixels, 4), np.float32), np.zeros((len(rast_db.reshape(-1, 4)), 4), np.float32)
        sums = zero_parts(pixels, tuple(attr.shape))
        arrays = [x.detach().numpy() for x in (attr, rast.reshape(-1, 4), tri, rast_db.reshape(-1, 4))]
        cotangents = [x.contiguous().numpy().reshape(pixels, x.shape[-1]) for x in (grad, grad_da)]
        for_each_block(
            _backward, len(sums), len(sums), height, width, *arrays, ctx.chosen, *cotangents, sums, g_rast, g_db
        )
        g_attr = torch.from_numpy(sums.sum(0).astype(np.float32))
        g_rast_db = torch.from_numpy(g_db).reshape(rast_db.shape)
        return g_attr, torch.from_numpy(g_rast).reshape(rast.shape), None, g_rast_db, None


def _chosen(diff_attrs: Any, channels: int) -> list[int]:
    """The indices that `diff_attrs` stands for."""
    if diff_attrs is None or (isinstance(diff_attrs, str) and diff_attrs == "all"):
        return [] if diff_attrs is None else list(range(channels))
    indices = [whole(c) for c in diff_attrs] if isinstance(diff_attrs, (list, tuple, range)) else [None]
    chosen = [c for c in indices if c is not None and 0 <= c < channels]
    if len(chosen) < len(indices):
        got = diff_attrs if isinstance(diff_attrs, (list, tuple, range)) else described(diff_attrs)
        raise OptionError(f"diff_attrs has to be 'all' or a list of indices of the {channels} attributes, not {got}")
    return chosen


def interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None = None,
    diff_attrs: Sequence[int] | str | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Interpolate vertex attributes over the pixels.

    Args:
        attr: float32 [B,V,A], or [1,V,A] or [V,A] for one that all images share.
        rast: float32 [B,H,W,4], what `rasterize` returned.
        tri: int32 [F,3] indices into attr; may differ from the ones drawn with (texture coordinates have their own).
        rast_db: float32 [B,H,W,4], the other thing that `rasterize` returned; needed for diff_attrs.
        diff_attrs: indices of the attributes whose image-space derivatives are wanted, "all", or None.

    Returns:
        float32 [B,H,W,A], zeros on the background, and float32 [B,H,W,2*len(diff_attrs)]: for each chosen attribute
        (dA/dX, dA/dY) per pixel. Gradients reach attr, u and v of rast, and rast_db.

    Reference: Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.3.
    """
    check_rast(rast)
    check_tensor(
        "attr", attr, "[1 or B,V,A] or [V,A]",
        lambda attr: attr.ndim == 2 or (attr.ndim == 3 and len(attr) in (1, len(rast))),
    )  # fmt: skip
    check_triangles(tri, attr.shape[-2], "attr")
    check_drawn(rast, tri)
    chosen = _chosen(diff_attrs, attr.shape[-1])
    if not len(chosen):
        rast_db = torch.empty(0, 4)
    elif rast_db is None:
        raise OptionError("rast_db is needed for diff_attrs: the second thing that rasterize returned")
    else:
        check_tensor("rast_db", rast_db, "shaped as rast", lambda rast_db: rast_db.shape == rast.shape)
    attr = (attr[None] if attr.ndim == 2 else attr).contiguous()
    tensors = (attr, rast.contiguous(), tri.contiguous(), rast_db.contiguous())
    return _Interpolate.apply(*tensors, np.array(chosen, np.int64))  # type: ignore[no-any-return]
