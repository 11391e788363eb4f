"""`antialias`: silhouettes that change smoothly when vertices move, so that pose and shape can be optimised.

Where two neighbouring pixels see different triangles, the nearer triangle's edge between their centres is found. If
it is a silhouette, the pixel on whose side it does not lie is blended with the other in proportion to how far it
reaches into it (Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.5).

Every pixel has two pairs: with its right and with its lower neighbour. For each the blend `alpha` is kept, > 0 if the
first of the two pixels takes from the second and < 0 if the second takes from the first, and which edge made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texopt.errors import OptionError
from texopt.raster.arguments import check_drawn, check_rast, check_tensor, check_triangles, described
from texopt.raster.barycentrics import corner, cross
from texopt.raster.kernels import at, called, for_each_block, inlined, kernel, zero_parts

BAND = 16  # rows a block of work treats
TOLERANCE = 1.0 / 16.0  # pixels by which a crossing may miss the segment between two centres


@dataclass(frozen=True, eq=False)
class Topology:
    """What `antialias_construct_topology_hash` found: int32 [F,3], the vertex opposite of each corner, across the
    edge between the other two; -1 where no triangle is."""

    opposite: np.ndarray


def antialias_construct_topology_hash(tri: Tensor) -> Topology:
    """Find the neighbours of triangles that stay the same, for the argument `topology_hash` of `antialias`.

    Args:
        tri: int32 [F,3]. Of an edge that more than two triangles share, the first two different ones are neighbours.
    """
    faces = check_triangles(tri)
    opposite = np.full(faces.shape, -1, np.int32)
    usable = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    place = np.flatnonzero(np.repeat(usable, 3))  # 3 * face + corner
    own = faces.reshape(-1)[place]
    ends = np.stack([faces.reshape(-1)[place - place % 3 + (place + k) % 3] for k in (1, 2)])
    ends = np.sort(ends.astype(np.int64), axis=0)
    key = ends[0] << 32 | ends[1]
    order = np.argsort(key, kind="stable")
    key, own, place = key[order], own[order], place[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))  # where each edge begins
    edge = np.cumsum(np.diff(key, prepend=-1) != 0) - 1
    one = own[first]
    two = np.full(len(first), -1, own.dtype)
    others = np.flatnonzero(own != one[edge])[::-1]
    two[edge[others]] = own[others]  # reversed, so that the first is written last
    opposite.reshape(-1)[place] = np.where(own == one[edge], two[edge], np.where(own == two[edge], one[edge], -1))
    return Topology(opposite)


@inlined
def _pixel(pos, vertex, height, width):
    """(x, y) of a vertex in pixels; its w has to be positive."""
    x, y, w = corner(pos, vertex)
    return (0.5 * x / w + 0.5) * width, (0.5 * y / w + 0.5) * height


@inlined
def _facing(pos, a, b, c):
    """Sign of which way the triangle of three vertices faces; right also for vertices behind the eye."""
    p, n = corner(pos, a), cross(corner(pos, b), corner(pos, c))
    return p[0] * n[0] + p[1] * n[1] + p[2] * n[2] >= 0.0


@inlined
def _ends(pos, tri, face, edge, height, width, row, column, down):
    """The two ends of the edge opposite of a corner, relative to a pixel's centre: along and across a pair's axis."""
    ax, ay = _pixel(pos, tri[face, at((edge + 1) % 3)], height, width)
    bx, by = _pixel(pos, tri[face, at((edge + 2) % 3)], height, width)
    ax, ay, bx, by = ax - column - 0.5, ay - row - 0.5, bx - column - 0.5, by - row - 0.5
    return (ay, ax, by, bx) if down else (ax, ay, bx, by)


@called
def _pair(pos, tri, opposite, rast, p, q, row, column, down, height, width):
    """(alpha, which edge of which pixel's triangle: edge + 4 * second + 1) of a pair of pixels; (0, 0) for none."""
    first, second = np.int64(rast[p, 3]) - 1, np.int64(rast[q, 3]) - 1
    nearer = first >= 0 and (second < 0 or rast[p, 2] < rast[q, 2])
    face, direction = at(first if nearer else second), 1.0 if nearer else -1.0
    if not nearer:
        row, column = row + down, column + 1 - down
    chosen, furthest, steep = -1, -np.inf, False
    for edge in range(3):
        a, b = tri[face, at((edge + 1) % 3)], tri[face, at((edge + 2) % 3)]
        if not (pos[at(a), 3] > 0.0 and pos[at(b), 3] > 0.0):
            continue
        a_along, a_across, b_along, b_across = _ends(pos, tri, face, edge, height, width, row, column, down)
        if (a_across < 0.0) == (b_across < 0.0):
            continue
        run, rise = b_along - a_along, b_across - a_across
        reach = direction * (a_along - a_across * run / rise)
        if reach > furthest:
            chosen, furthest, steep = edge, reach, abs(rise) >= abs(run)
    if chosen < 0 or not steep or not -TOLERANCE < furthest < 1.0 + TOLERANCE:
        return 0.0, 0
    a, b, own = tri[face, at((chosen + 1) % 3)], tri[face, at((chosen + 2) % 3)], tri[face, at(chosen)]
    across = opposite[face, at(chosen)]
    if across >= 0 and _facing(pos, across, a, b) != _facing(pos, own, a, b):
        return 0.0, 0  # the surface goes on
    return direction * (0.5 - min(max(furthest, 0.0), 1.0)), chosen + (1 if nearer else 5)


@kernel
def _find(block, height, width, pos, tri, opposite, rast, alphas, edges):
    """alphas float32 [P,2] and edges uint8 [P,2] of the pairs (right, down) of a band of rows of all images."""
    lines = len(rast) // width
    for line in range(block * BAND, min((block + 1) * BAND, lines)):
        image, row = line // height, line % height
        own = pos[image if len(pos) > 1 else 0]
        for column in range(width):
            p = at(line * width + column)
            for down in range(2):
                alphas[p, at(down)], edges[p, at(down)] = 0.0, 0
                if (row + 1 == height) if down else (column + 1 == width):
                    continue
                q = at(p + (width if down else 1))
                if max(np.int64(rast[p, 3]), 0) != max(np.int64(rast[q, 3]), 0):
                    alpha, edge = _pair(own, tri, opposite, rast, p, q, row, column, down, height, width)
                    alphas[p, at(down)], edges[p, at(down)] = alpha, edge


@kernel
def _apply(block, height, width, alphas, values, transposed, out):
    """Blend values [P,C] of a band of rows; or, transposed, what that passes back of a gradient."""
    channels = values.shape[1]
    for line in range(block * BAND, min((block + 1) * BAND, len(values) // width)):
        row = line % height
        for column in range(width):
            pixel = line * width + column
            p = at(pixel)
            for c in range(channels):
                out[p, at(c)] = values[p, at(c)]
            for side in range(4):  # right, down, left, up
                back, down = side // 2, side % 2
                place, end = (row, height - 1) if down else (column, width - 1)
                if place == (0 if back else end):
                    continue
                step = width if down else 1
                other = at(pixel - step if back else pixel + step)
                alpha = alphas[other if back else p, at(down)]
                if alpha == 0.0:
                    continue
                taking = alpha < 0.0 if back else alpha > 0.0  # whether this pixel takes from the other
                share = abs(alpha)
                if not transposed:
                    if taking:
                        for c in range(channels):
                            out[p, at(c)] += share * (values[other, at(c)] - values[p, at(c)])
                else:
                    taker = p if taking else other
                    for c in range(channels):
                        out[p, at(c)] += -share * values[taker, at(c)] if taking else share * values[taker, at(c)]


@kernel
def _gradient(part, parts, height, width, pos, tri, rast, alphas, edges, color, grad, sums):
    """Add what one part of the rows of every image gives to the gradient of its vertices: float64 [parts,N,V,4]."""
    for image in range(len(rast) // (height * width)):
        n = image if len(pos) > 1 else 0
        vertices, own = pos[n], sums[part, n]
        for row in range(part * height // parts, (part + 1) * height // parts):
            for column in range(width):
                p = at((image * height + row) * width + column)
                for down in range(2):
                    alpha, code = alphas[p, at(down)], np.int64(edges[p, at(down)]) - 1
                    if code < 0 or abs(alpha) >= 0.5:
                        continue
                    q = at(p + (width if down else 1))
                    taker = p if alpha > 0.0 else q
                    g = 0.0
                    for c in range(color.shape[1]):
                        g += np.float64(grad[taker, at(c)]) * np.float64(color[q, at(c)] - color[p, at(c)])
                    if g == 0.0 or not np.isfinite(g):
                        continue
                    edge, second = code % 4, code // 4
                    face = at(np.int64(rast[q if second else p, 3]) - 1)
                    y, x = row + second * down, column + second * (1 - down)
                    a_along, a_across, b_along, b_across = _ends(vertices, tri, face, edge, height, width, y, x, down)
                    rise = b_across - a_across
                    slope = (b_along - a_along) / rise
                    # alpha falls as the crossing, a_along - a_across * slope, moves along; its ends share it
                    for end in range(2):
                        share = -g * (b_across if end == 0 else -a_across) / rise
                        i = at(tri[face, at((edge + 1 + end) % 3)])
                        by_x, by_y = (-share * slope, share) if down else (share, -share * slope)
                        w = np.float64(vertices[i, 3])
                        by_x, by_y = by_x * 0.5 * width / w, by_y * 0.5 * height / w
                        own[i, 0] += by_x
                        own[i, 1] += by_y
                        own[i, 3] -= (by_x * vertices[i, 0] + by_y * vertices[i, 1]) / w


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: np.ndarray, boost: float
    ) -> Tensor:
        height, width = rast.shape[1:3]
        pixels, blocks = rast.numel() // 4, -(-len(rast) * height // BAND)
        alphas, edges = np.empty((pixels, 2), np.float32), np.empty((pixels, 2), np.uint8)
        vertices, faces, seen = pos.detach().numpy(), tri.numpy(), rast.detach().numpy().reshape(-1, 4)
        for_each_block(_find, blocks, height, width, vertices, faces, opposite, seen, alphas, edges)
        out = np.empty((pixels, color.shape[-1]), np.float32)
        values = color.detach().numpy().reshape(pixels, color.shape[-1])
        for_each_block(_apply, blocks, height, width, alphas, values, False, out)
        ctx.save_for_backward(color, rast, pos, tri)
        ctx.found, ctx.boost = (alphas, edges), boost
        return torch.from_numpy(out.reshape(color.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        color, rast, pos, tri = ctx.saved_tensors
        height, width = rast.shape[1:3]
        pixels, (alphas, edges) = rast.numel() // 4, ctx.found
        cotangent = grad.contiguous().numpy().reshape(pixels, grad.shape[-1])
        g_color = np.empty_like(cotangent)
        for_each_block(_apply, -(-len(rast) * height // BAND), height, width, alphas, cotangent, True, g_color)
        g_pos = None
        if ctx.needs_input_grad[2]:
            sums = zero_parts(pixels, tuple(pos.shape))
            arrays = [x.detach().numpy() for x in (pos, tri, rast.reshape(-1, 4))]
            values = color.detach().numpy().reshape(pixels, color.shape[-1])
            for_each_block(
                _gradient, len(sums), len(sums), height, width, *arrays, alphas, edges, values, cotangent, sums
            )
            g_pos = torch.from_numpy((sums.sum(0) * ctx.boost).astype(np.float32))
        return torch.from_numpy(g_color).reshape(color.shape), None, g_pos, None, None, None


def antialias(
    color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology_hash: Topology | None = None,
    pos_gradient_boost: float = 1.0,
) -> Tensor:  # fmt: skip
    """Blend pixels across silhouettes by how far the surface reaches into them.

    Args:
        color: float32 [B,H,W,C], the image.
        rast: float32 [B,H,W,4], what `rasterize` returned.
        pos: float32 [B,V,4] or [V,4], as given to `rasterize`.
        tri: int32 [F,3], as given to `rasterize`.
        topology_hash: what `antialias_construct_topology_hash` made of tri; None: it is made here.
        pos_gradient_boost: factor for the gradient to pos.

    Returns:
        float32, as color. Gradients reach color, and x, y and w of pos: this is what makes visibility differentiable.
        Edges with an end behind the eye are left as they are.
    """
    check_rast(rast)
    check_tensor("color", color, "[B,H,W,C], as rast,", lambda it: it.ndim == 4 and it.shape[:3] == rast.shape[:3])
    check_tensor(
        "pos", pos, "[B,V,4] or [V,4]",
        lambda pos: (pos.ndim == 2 or (pos.ndim == 3 and len(pos) == len(rast))) and pos.shape[-1] == 4,
    )  # fmt: skip
    if isinstance(pos_gradient_boost, bool) or not isinstance(pos_gradient_boost, (int, float)):
        raise OptionError(f"pos_gradient_boost has to be a number, not {described(pos_gradient_boost)}")
    check_triangles(tri, pos.shape[-2], "pos")
    check_drawn(rast, tri)
    topology = antialias_construct_topology_hash(tri) if topology_hash is None else topology_hash
    fits = isinstance(topology, Topology) and len(topology.opposite) == len(tri)
    if not fits or int(topology.opposite.max(initial=-1)) >= pos.shape[-2]:
        raise OptionError("topology_hash has to be what antialias_construct_topology_hash made of this tri")
    pos = pos[None] if pos.ndim == 2 else pos
    return _Antialias.apply(  # type: ignore[no-any-return]
        color.contiguous(), rast.contiguous(), pos.contiguous(), tri.contiguous(), topology.opposite, pos_gradient_boost
    )
