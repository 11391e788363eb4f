"""A slow, obvious rasteriser and texture look-up in float64 torch: what the kernels are held against.

Every pixel is solved against every triangle on its own. Nothing is snapped, clipped, stepped or shared with texopt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EDGE = 0.01  # pixels: nearer than this to an edge, the kernels' snapping to 1/256 of a pixel may decide otherwise
TIE = 1e-5  # depths nearer than this to one another may be ordered otherwise


def pixel_centres(resolution: tuple[int, int]) -> Tensor:
    """Normalised device (x, y) of every pixel centre, row 0 at y = -1: float64 [H*W,2]."""
    height, width = resolution
    y, x = torch.meshgrid(
        (2 * torch.arange(height).double() + 1) / height - 1, (2 * torch.arange(width).double() + 1) / width - 1,
        indexing="ij",
    )  # fmt: skip
    return torch.stack([x, y], -1).reshape(-1, 2)


def weights(corners: Tensor, xy: Tensor) -> Tensor:
    """c [...,3] with sum c_i (x_i, y_i, w_i) = (x, y, 1): solves the 3x3 of clip-space corners [...,3,4] at xy [...,2].

    The point is in the triangle and in front of the eye where all c_i > 0. sum c_i z_i is z/w, 1 / sum c_i is w, and
    c / sum c are the perspective-correct barycentrics.
    """
    matrix = corners[..., [0, 1, 3]].transpose(-1, -2)
    return torch.linalg.solve(matrix, torch.cat([xy, torch.ones_like(xy[..., :1])], -1)[..., None])[..., 0]


def interpolate(corners: Tensor, attr: Tensor, xy: Tensor, resolution: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Attributes at corners [P,3,A] -> at P points [P,A], and by autograd their derivatives per pixel [P,2A]."""
    xy = xy.clone().requires_grad_()
    c = weights(corners, xy)
    values = ((c / c.sum(-1, keepdim=True))[..., None] * attr).sum(-2)
    per_pixel = torch.tensor([2.0 / resolution[1], 2.0 / resolution[0]], dtype=torch.float64)
    derivatives = [
        torch.autograd.grad(column.sum(), xy, retain_graph=True)[0] * per_pixel for column in values.unbind(-1)
    ]
    return values.detach(), torch.cat(derivatives, -1)


def rasterize(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """pos [V,4], tri [F,3] -> rast [H,W,4], rast_db [H,W,4], and bool [H,W]: pixels whose answer is beyond doubt."""
    height, width = resolution
    xy = pixel_centres(resolution)
    corners = pos.double()[tri.long()]  # [F,3,4]
    usable = torch.isfinite(corners).all(-1).all(-1)
    usable &= torch.linalg.det(torch.where(usable[:, None, None], corners, 0.0)[..., [0, 1, 3]]) != 0
    ids = usable.nonzero()[:, 0]
    corners = corners[ids]

    def inner_distances(xy: Tensor) -> tuple[Tensor, Tensor]:
        """What is positive inside: the three edges, then the near and the far plane [P,F,5]; and z/w [P,F]."""
        c = weights(corners[None], xy[:, None].expand(-1, len(corners), -1))
        z = (c * corners[None, :, :, 2]).sum(-1)
        return torch.cat([c, (z + 1)[..., None], (1 - z)[..., None]], -1), z

    inner, z = inner_distances(xy)
    # all five are affine over the screen: two differences are their gradients, per pixel
    origin, right, up = (
        inner_distances(xy.new_tensor([p]))[0] for p in ([0.0, 0.0], [2.0 / width, 0.0], [0.0, 2.0 / height])
    )
    pixels = inner / torch.hypot(right - origin, up - origin).clamp(min=1e-12)  # distance in pixels
    covers = (inner >= 0).all(-1)
    doubtful = ((pixels > -EDGE).all(-1) & ~(pixels > EDGE).all(-1)).any(-1)

    depths = torch.where(covers, z, math.inf).sort(dim=-1, stable=True)
    if len(ids) > 1:
        doubtful |= depths.values[:, 1] - depths.values[:, 0] < TIE
    rast, rast_db = torch.zeros(len(xy), 4).double(), torch.zeros(len(xy), 4).double()
    seen = covers.any(-1)
    if seen.any():
        face = depths.indices[seen, 0]
        basis = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double().expand(len(face), -1, -1)
        rast[seen, :2], rast_db[seen] = interpolate(corners[face], basis, xy[seen], resolution)
        rast[seen, 2] = depths.values[seen, 0]
        rast[seen, 3] = ids[face].double() + 1
    return rast.reshape(height, width, 4), rast_db.reshape(height, width, 4), ~doubtful.reshape(height, width)


def mip_pyramid(tex: Tensor, max_mip_level: int | None) -> list[Tensor]:
    """[H,W,C] and its halvings, each the mean of two by two texels, as long as the sides are even (or one)."""
    levels = [tex]
    while max(tex.shape[:2]) > 1 and (max_mip_level is None or len(levels) <= max_mip_level):
        if any(side > 1 and side % 2 for side in tex.shape[:2]):
            break
        if tex.shape[0] > 1:
            tex = (tex[0::2] + tex[1::2]) / 2
        if tex.shape[1] > 1:
            tex = (tex[:, 0::2] + tex[:, 1::2]) / 2
        levels.append(tex)
    return levels


def bilinear(tex: Tensor, u: float, v: float, boundary_mode: str) -> Tensor:
    """[H,W,C] at one point: the four texel centres around it."""
    height, width = tex.shape[:2]
    x, y = u * width - 0.5, v * height - 0.5
    total = torch.zeros(tex.shape[2], dtype=tex.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if boundary_mode == "wrap":
                texel = tex[row % height, column % width]
            else:
                texel = tex[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * texel
    return total


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    filter_mode: str,
    boundary_mode: str,
    max_mip_level: int | None = None,
) -> Tensor:
    """tex [H,W,C], uv [P,2], uv_da [P,4] -> [P,C], one pixel after the other."""
    height, width = tex.shape[:2]
    levels = mip_pyramid(tex, max_mip_level)
    out = []
    for p, (u, v) in enumerate(uv.tolist()):
        if filter_mode == "nearest":
            row, column = math.floor(v * height), math.floor(u * width)
            if boundary_mode == "wrap":
                out.append(tex[row % height, column % width])
            else:
                out.append(tex[min(max(row, 0), height - 1), min(max(column, 0), width - 1)])
        elif filter_mode == "linear":
            out.append(bilinear(tex, u, v, boundary_mode))
        else:
            assert uv_da is not None
            texels = uv_da[p].reshape(2, 2) * torch.tensor([[width], [height]], dtype=tex.dtype)
            major_axis = float(torch.linalg.svdvals(texels)[0])  # of the ellipse that a pixel's unit circle becomes
            level = min(max(math.log2(max(major_axis, 1e-30)), 0.0), len(levels) - 1.0)
            low = math.floor(level)
            high = min(low + 1, len(levels) - 1)
            fine, coarse = bilinear(levels[low], u, v, boundary_mode), bilinear(levels[high], u, v, boundary_mode)
            out.append(fine + (level - low) * (coarse - fine))
    return torch.stack(out)
