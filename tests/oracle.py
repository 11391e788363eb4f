"""A slow, obvious rasteriser in float64 torch: what the kernels are held against.

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
