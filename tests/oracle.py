"""A slow, obvious rasteriser in float64 torch: what the kernels are held against.

Every pixel is solved against every triangle on its own. Nothing is snapped, clipped, stepped or shared with texopt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EDGE = 0.01  # pixels: nearer than this to an edge, the kernels' snapping to 1/256 of a pixel may decide otherwise
TIE = 1e-5  # depths nearer than this to one another may be ordered otherwise
BASIS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double()  # (u, v) at the corners


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
    """Attributes at corners [P,3,A] -> at P points [P,A], and by autograd their derivatives per pixel [P,2A].

    Differentiable with respect to corners [P,3,4] and attr.
    """
    xy = xy.clone().requires_grad_()
    c = weights(corners, xy)
    values = ((c / c.sum(-1, keepdim=True))[..., None] * attr).sum(-2)
    per_pixel = torch.tensor([2.0 / resolution[1], 2.0 / resolution[0]], dtype=torch.float64)
    differentiable = corners.requires_grad or attr.requires_grad
    derivatives = [
        torch.autograd.grad(column.sum(), xy, retain_graph=True, create_graph=differentiable)[0] * per_pixel
        for column in values.unbind(-1)
    ]
    return values if differentiable else values.detach(), torch.cat(derivatives, -1)


def rasterize(pos: Tensor, tri: Tensor, resolution: tuple[int, int], layer: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """pos [V,4], tri [F,3] -> rast [H,W,4], rast_db [H,W,4], and bool [H,W]: pixels whose answer is beyond doubt.

    Layer 0 is what is nearest, layer 1 what is behind it, and so on.
    """
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
    doubtful |= (depths.values[:, : layer + 2].diff(dim=-1) < TIE).any(-1)
    rast, rast_db = torch.zeros(len(xy), 4).double(), torch.zeros(len(xy), 4).double()
    seen = covers.sum(-1) > layer
    if seen.any():
        face = depths.indices[seen, layer]
        basis = BASIS.expand(len(face), -1, -1)
        rast[seen, :2], rast_db[seen] = interpolate(corners[face], basis, xy[seen], resolution)
        rast[seen, 2] = depths.values[seen, layer]
        rast[seen, 3] = ids[face].double() + 1
    return rast.reshape(height, width, 4), rast_db.reshape(height, width, 4), ~doubtful.reshape(height, width)


def draw(pos: Tensor, tri: Tensor, face: Tensor, attr: Tensor, attr_tri: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes [V',A] of the faces that are seen, int64 [H,W], -1 where nothing is: [H,W,A] and [H,W,2A] per pixel.

    Differentiable with respect to pos [V,4] and attr: visibility is a constant.
    """
    height, width = face.shape
    rows, columns = (face >= 0).nonzero(as_tuple=True)
    seen = face[rows, columns]
    xy = pixel_centres((height, width)).reshape(height, width, 2)[rows, columns]
    images = interpolate(pos[tri.long()[seen]], attr[attr_tri.long()[seen]], xy, (height, width))
    one, two = (torch.zeros(height, width, x.shape[-1], dtype=x.dtype).index_put((rows, columns), x) for x in images)
    return one, two


def barycentrics(pos: Tensor, tri: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """(u, v) [H,W,2] and their derivatives per pixel [H,W,4] of the faces seen, differentiable by pos [V,4]."""
    return draw(pos, tri, face, BASIS, torch.tensor([[0, 1, 2]]).expand(len(tri), -1))


def blend(attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor, chosen: list[int]) -> tuple[Tensor, Tensor]:
    """What interpolate makes of buffers of one image: attr [V,A] -> [H,W,A], and [H,W,2 * len(chosen)]."""
    face = rast[..., 3].long() - 1
    corners = attr[tri.long()[face.clamp(min=0)]]  # [H,W,3,A]
    seen = (face >= 0)[..., None]
    u, v = rast[..., 0, None], rast[..., 1, None]
    out = u * corners[..., 0, :] + v * corners[..., 1, :] + (1 - u - v) * corners[..., 2, :]
    by_u, by_v = corners[..., 0, :] - corners[..., 2, :], corners[..., 1, :] - corners[..., 2, :]
    out_da = [
        (by_u[..., i] * rast_db[..., axis] + by_v[..., i] * rast_db[..., 2 + axis])[..., None]
        for i in chosen
        for axis in (0, 1)
    ]
    none = out.new_zeros(*out.shape[:2], 0)
    return torch.where(seen, out, 0.0), torch.where(seen, torch.cat([none, *out_da], -1), 0.0)


def vertices_across(tri: Tensor) -> dict[tuple[int, int], list[int]]:
    """Of every edge (a < b) the first two different vertices that complete it to a triangle."""
    across: dict[tuple[int, int], list[int]] = {}
    for corners in tri.tolist():
        if len(set(corners)) == 3:
            for i in range(3):
                a, b, own = corners[i], corners[(i + 1) % 3], corners[(i + 2) % 3]
                known = across.setdefault((min(a, b), max(a, b)), [])
                if own not in known and len(known) < 2:
                    known.append(own)
    return across


def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor) -> Tensor:
    """color [H,W,C], rast [H,W,4], pos [V,4], tri [F,3] -> [H,W,C]; differentiable with respect to color and pos.

    Visits every pair of neighbours, decides in Python floats which edge is between them, and blends in torch.
    """
    height, width = rast.shape[:2]
    across = vertices_across(tri)
    faces, depths = (rast[..., 3].long() - 1).tolist(), rast[..., 2].tolist()
    vertices, triangles = pos.tolist(), tri.tolist()

    def side(a: int, b: int, c: int) -> float:
        """Positive or negative: on which side of the line through a and b the triangle a, b, c is on the screen."""
        (ax, ay, _, aw), (bx, by, _, bw), (cx, cy, _, cw) = vertices[a], vertices[b], vertices[c]
        return cx * (ay * bw - by * aw) + cy * (bx * aw - ax * bw) + cw * (ax * by - bx * ay)

    def relative(vertex: int, row: int, column: int, vertical: bool) -> tuple[float, float]:
        """Pixels from a pixel's centre, first along the pair and then across it."""
        x, y, _, w = vertices[vertex]
        x, y = (x / w + 1) * width / 2 - column - 0.5, (y / w + 1) * height / 2 - row - 0.5
        return (y, x) if vertical else (x, y)

    pairs: list[tuple[int, int, bool, bool, int, int]] = []  # pixel0, vertical, owned by pixel0, the edge's two ends
    for row in range(height):
        for column in range(width):
            for vertical in (False, True):
                row1, column1 = row + vertical, column + (not vertical)
                if row1 == height or column1 == width or faces[row][column] == faces[row1][column1]:
                    continue
                depth0, depth1 = (
                    depths[i][j] if faces[i][j] >= 0 else math.inf for i, j in ((row, column), (row1, column1))
                )
                first = depth0 < depth1
                own_row, own_column = (row, column) if first else (row1, column1)
                corners = triangles[faces[own_row][own_column]]
                best: tuple[float, int, int, int] | None = None
                for i in range(3):
                    a, b, opposite = corners[i], corners[(i + 1) % 3], corners[(i + 2) % 3]
                    if vertices[a][3] <= 0 or vertices[b][3] <= 0:
                        continue
                    (xa, ya), (xb, yb) = (relative(v, own_row, own_column, vertical) for v in (a, b))
                    if (ya < 0) == (yb < 0):
                        continue
                    ahead = (xa * yb - xb * ya) / (yb - ya) * (1 if first else -1)
                    if best is None or ahead > best[0]:
                        best = (ahead, a, b, opposite)
                if best is None or not -1 / 16 < best[0] < 17 / 16:
                    continue
                _, a, b, opposite = best
                (xa, ya), (xb, yb) = (relative(v, own_row, own_column, vertical) for v in (a, b))
                known = across.get((min(a, b), max(a, b)), [])
                others = [v for v in known if v != opposite] if opposite in known else []
                silhouette = not others or side(a, b, opposite) * side(a, b, others[0]) > 0
                if silhouette and abs(yb - ya) >= abs(xb - xa):
                    pairs.append((row, column, vertical, first, a, b))
    if not pairs:
        return color + 0 * pos.sum()

    row, column, down, own, a, b = torch.tensor(pairs).unbind(1)
    vertical, first = down.bool(), own.bool()
    row1, column1 = row + down, column + 1 - down
    centre = torch.stack([torch.where(first, column, column1), torch.where(first, row, row1)], -1) + 0.5  # [P,2]
    ends = pos[torch.stack([a, b], 1)]  # [P,2,4]
    xy = (ends[..., :2] / ends[..., 3:] + 1) / 2 * torch.tensor([width, height]) - centre[:, None]
    (xa, ya), (xb, yb) = (p.unbind(-1) for p in torch.where(vertical[:, None, None], xy.flip(-1), xy).unbind(1))
    sign = 2 * own - 1
    distance = (sign * (xa * yb - xb * ya) / (yb - ya)).clamp(0, 1)
    alpha = sign * (0.5 - distance)
    change = alpha[:, None] * (color[row1, column1] - color[row, column])
    to_row, to_column = torch.where(alpha > 0, row, row1), torch.where(alpha > 0, column, column1)
    return color.index_put((to_row, to_column), change, accumulate=True)
