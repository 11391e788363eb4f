"""Silhouettes of what is drawn, found from the mesh, so that they have gradients wherever they are.

`texopt.raster.antialias`, as nvdiffrast's, looks for a silhouette among the edges of the triangle that a pixel sees
(Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.5). Of a finely
divided round surface that triangle is hardly ever the one at the limb, which is seen from its side and thinner than a
pixel: of a sphere of 1280 triangles in 128 pixels a sixth of the silhouette is found. Here the edges between faces that
look to the camera and faces that look away are followed over the pixels instead, all of them; what is blended is the
same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BEHIND = 1e-6  # of z/w, that rounding may put an edge behind the surface that it ends


@dataclass(frozen=True, eq=False)
class Rims:
    """The edges of faces between places, each once.

    ends: int64 [E,2]. faces: int64 [E,2], two of those at the edge, twice the same where it has one alone. beside:
    int64 [E], the place of the first that is not on the edge. always: bool [E], whether it is a silhouette from
    everywhere: the border of a sheet, or an edge of several faces. corners: int64 [F,3], of all faces.
    """

    ends: Tensor
    faces: Tensor
    beside: Tensor
    always: Tensor
    corners: Tensor

    @classmethod
    def of(cls, corners: np.ndarray, device: torch.device) -> Rims:
        """Those of faces int [F,3] into places."""
        side = np.arange(3)
        ends = np.stack([corners[:, (side + 1) % 3], corners[:, (side + 2) % 3]], -1).reshape(-1, 2)
        face, beside = np.repeat(np.arange(len(corners)), 3), corners.reshape(-1)
        whole = np.repeat((corners != np.roll(corners, 1, 1)).all(1), 3)
        ends, face, beside = np.sort(ends[whole], axis=1), face[whole], beside[whole]
        found, first, inverse, count = np.unique(
            ends, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        last = np.zeros(len(found), np.int64)
        last[inverse.reshape(-1)] = face
        arrays = found, np.stack([face[first], last], 1), beside[first], count != 2, corners
        return cls(*(torch.from_numpy(np.asarray(array)).to(device) for array in arrays))

    def seen(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """(image, edge) of all that are silhouettes, or would be if nothing hid them. pos: float64 [B,P,4]."""
        a, b, c = pos[..., [0, 1, 3]][:, self.corners].unbind(-2)
        front = (a * torch.linalg.cross(b, c)).sum(-1) >= 0  # right also for places behind the eye
        turned = front[:, self.faces[:, 0]] != front[:, self.faces[:, 1]]
        before = (pos[:, self.ends][..., 3] > 0).all(-1) & (pos[:, self.beside][..., 3] > 0)
        image, edge = ((turned | self.always) & before).nonzero().unbind(1)
        return image, edge


@dataclass(frozen=True, eq=False)
class Outline:
    """The silhouettes in a drawing, which move with the vertices.

    pos: float64 (float32 where there is none) [B,P,4], places in clip space, row 0 of the image being y = -w; with a
    gradient to them. rims: of the mesh. face_id: int [B,H,W], -1 where nothing is, and depth: float [B,H,W], z/w, as of
    Fragments.
    """

    pos: Tensor
    rims: Rims
    face_id: Tensor
    depth: Tensor

    def smooth(self, images: Tensor) -> Tensor:
        """Images float32 [B,C,H,W] of the drawing, over some background, with pixels blended across silhouettes by how
        far the surface reaches into them. The gradient says where silhouettes should be."""
        batch, channels, height, width = images.shape
        pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
        blended = pixels
        for inner, outer, reach in self._crossings:
            amount = reach.to(pixels)[:, None] - 0.5
            further = amount > 0
            to, of = torch.where(further[:, 0], outer, inner), torch.where(further[:, 0], inner, outer)
            blended = blended.index_add(0, to, amount.abs() * (pixels[of] - pixels[to]))
        return blended.reshape(batch, height, width, channels).permute(0, 3, 1, 2)

    @property
    def _crossings(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of pairs of pixels, beside one another and then above one another, that a silhouette passes between: indices
        int64 [N] of the one inside of it and the one outside, and how far along the way from the first to the second it
        is, float64 [N] in [0,1] with a gradient."""
        image, edge = self.rims.seen(self.pos.detach())
        height, width = self.face_id.shape[1:]
        sizes = self.pos.new_tensor([width, height])
        ends = self.pos[image[:, None], self.rims.ends[edge]]  # [N,2,4]
        places = (ends[..., :2] / ends[..., 3:] / 2 + 0.5) * sizes - 0.5  # in pixels; 0 is the first one's centre
        depth = (ends[..., 2] / ends[..., 3]).detach()
        beside = self.pos.detach()[image, self.rims.beside[edge]]
        beside = (beside[:, :2] / beside[:, 3:] / 2 + 0.5) * sizes - 0.5
        found = []
        for axis in (0, 1):
            lines = _Lines(places[..., axis], places[..., 1 - axis], (height, width)[axis])
            found.append(self._visible(lines, image, depth, beside[:, [axis, 1 - axis]], axis))
        return found

    def _visible(
        self, lines: _Lines, image: Tensor, depth: Tensor, beside: Tensor, axis: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Those of an axis that are seen; of several between two pixels the outermost.

        image: int64 [N]. depth: float64 [N,2]. beside: float64 [N,2], along and across the axis.
        """
        height, width = self.face_id.shape[1:]
        which, at = lines.which, lines.along
        before = at.detach().floor().long()
        image, last = image[which], (width, height)[axis] - 1
        row, column = (lines.line, before) if axis == 0 else (before, lines.line)
        good = (before >= 0) & (before < last)
        first = ((image * height + row) * width + column)[good]
        which, at, before, share = which[good], at[good], before[good], lines.share[good]
        second = first + (1 if axis == 0 else width)
        # the faces at a silhouette are on one side of it, and so is what is seen of them
        slope = (lines.ends[which, 1] - lines.ends[which, 0]) / (lines.across[which, 1] - lines.across[which, 0])
        level = lines.ends[which, 0] + (beside[which, 1] - lines.across[which, 0]) * slope
        forward = beside[which, 0] < level
        inner, outer = torch.where(forward, first, second), torch.where(forward, second, first)
        reach = torch.where(forward, at - before, 1 - (at - before))
        faces = self.face_id.flatten()
        depths = torch.where(self.face_id < 0, torch.inf, self.depth).flatten().to(self.pos)
        deep = torch.lerp(depth[which, 0], depth[which, 1], share)
        seen = (faces[inner] != faces[outer]) & (depths[inner] <= depths[outer]) & (faces[inner] >= 0)
        seen &= deep <= depths[outer] + BEHIND
        inner, outer, reach = inner[seen], outer[seen], reach[seen]
        return _outermost(inner, outer, reach, self.face_id.numel())


class _Lines:
    """Where edges pass the lines through pixels' centres, of those that go across them rather than along.

    Args:
        ends: float64 [N,2], of edges along an axis of the image. across: float64 [N,2], across it, in pixels. count: of
        the lines.

    Attributes:
        which: int64 [M], edges. line: int64 [M]. share: float64 [M], of the way along the edge. along: float64 [M],
        where along the axis, with a gradient to the ends.
    """

    def __init__(self, ends: Tensor, across: Tensor, count: int) -> None:
        self.ends, self.across = ends.detach(), across.detach()
        run, rise = (values[:, 1] - values[:, 0] for values in (self.ends, self.across))
        low = self.across.amin(1).ceil().clamp(0, count)
        high = self.across.amax(1).floor().clamp(-1, count - 1)
        number = torch.where(rise.abs() >= run.abs(), high - low + 1, 0).clamp(min=0).nan_to_num().long()
        self.which = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
        start = torch.repeat_interleave(low.nan_to_num().long() - number.cumsum(0) + number, number)
        self.line = start + torch.arange(len(start), device=start.device)
        (a, b), (c, d) = ends[self.which].unbind(1), across[self.which].unbind(1)
        share = (self.line - c) / torch.where(c == d, 1.0, d - c)
        self.along, self.share = a + share * (b - a), share.detach()


def _outermost(inner: Tensor, outer: Tensor, reach: Tensor, pixels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of crossings the one for each pair of pixels that reaches out furthest."""
    order = torch.argsort(reach.detach(), stable=True)
    pair = (inner * pixels + outer)[order]
    pair, again = torch.sort(pair, stable=True)
    last = torch.ones_like(pair, dtype=torch.bool)
    last[:-1] = pair[1:] != pair[:-1]
    best = order[again][last]
    return inner[best], outer[best], reach[best]
