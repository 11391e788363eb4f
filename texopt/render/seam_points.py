"""UV seams: edges of the mesh whose two faces lie in different places of the texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from texopt.mesh.areas import areas
from texopt.mesh.mesh import Mesh
from texopt.mesh.topology import same_places
from texopt.render.fragments import Fragments
from texopt.system.devices import to_device

POINTS = 4096  # on seams, every step


def inner_edges(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Edges between two faces: (sides int64 [E,2,3], seam bool [E]).

    sides: of both faces the face and the corners (0 to 2) that the edge goes from and to. seam: whether the two lie in
    different places of the texture, or in different ones. Vertices at the same place count as one: formats with one
    index for everything split them along seams.
    """
    place = same_places(mesh.vertices)
    face = np.tile(np.arange(len(mesh.faces)), 3)
    start = np.repeat(np.arange(3), len(mesh.faces))
    end = (start + 1) % 3
    a, b = place[mesh.faces[face, start]], place[mesh.faces[face, end]]
    turned = a > b  # both sides have to go the same way
    start, end = np.where(turned, end, start), np.where(turned, start, end)
    a, b = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((b, a))
    face, start, end, a, b = (values[order] for values in (face, start, end, a, b))
    first = np.flatnonzero((a[1:] == a[:-1]) & (b[1:] == b[:-1]))
    sides = np.stack([np.stack([values[first + side] for values in (face, start, end)], 1) for side in (0, 1)], 1)
    uvs = mesh.uvs[mesh.face_uvs[sides[..., 0, None], sides[..., 1:]]]  # [E, side, end, 2]
    maps = mesh.face_map[sides[..., 0]]
    seam = (np.abs(uvs[:, 0] - uvs[:, 1]).max((1, 2)) > 1e-6) | (maps[:, 0] != maps[:, 1])
    return sides, np.asarray(seam)


def seam_edges(mesh: Mesh) -> np.ndarray:
    """The sides [E,2,3] of seams that may change on both: beside what is kept, the original's own border stays."""
    sides, seam = inner_edges(mesh)
    free = np.isin(mesh.face_map[sides[..., 0]], mesh.optimized).all(1)
    return np.asarray(sides[seam & free])


class Seams:
    """Random points on the seams of a mesh, spread evenly over their length, as seen from both sides."""

    def __init__(self, mesh: Mesh, device: torch.device) -> None:
        edges = seam_edges(mesh)
        corners = mesh.faces[edges[:, :1, 0, None], edges[:, :1, 1:]][:, 0]
        ends = mesh.vertices[corners]  # [E,2,3]
        self.length = torch.from_numpy(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).astype(np.float32) + 1e-12)
        self.faces = torch.from_numpy(edges[..., 0])  # [E, side]
        self.uvs = torch.from_numpy(mesh.uvs[mesh.face_uvs[edges[..., 0, None], edges[..., 1:]]].astype(np.float32))
        self.barys = torch.eye(3)[torch.from_numpy(edges[..., 1:])]  # [E, side, end, 3]
        self.maps = torch.from_numpy(mesh.face_map[edges[..., 0]])
        corners = mesh.unit_vertices(optimized=True).double().numpy()
        faces = edges[..., 0].reshape(-1)
        plane, surface = areas(mesh.uvs, mesh.face_uvs[faces]), areas(corners, mesh.faces[faces])
        density = np.sqrt(plane / np.maximum(surface, 1e-12))  # UVs along a radius of the mesh
        self.density = torch.from_numpy(density.reshape(-1, 2).astype(np.float32))  # [E, side]
        self.device = device

    def extend(self, fragments: Fragments, generator: Generator, views: slice, total: int, scale: float) -> Fragments:
        """The fragments with rows of seam points under every image; `split` takes their colours off again.

        views: which of the `total` views of a step the fragments are of. scale: pixels of a radius of the mesh in them:
        points look at the mip level that such a view has of their faces, as finer ones differ where nobody sees it.
        """
        batch, _, width = fragments.mask.shape
        if not len(self.length):
            return fragments
        rows = -(-POINTS // (total * width))  # of each side
        edge = torch.multinomial(self.length, total * rows * width, replacement=True, generator=generator)
        t = torch.rand(len(edge), 1, 1, generator=generator)
        edge, t = (values.unflatten(0, (total, -1))[views].flatten(0, 1) for values in (edge, t))

        def placed(values: Tensor) -> Tensor:
            """[E, side, ...] -> [B, rows of one side and then of the other, W, ...]."""
            parts = values.unflatten(0, (batch, rows, width)).movedim(3, 1).flatten(1, 2)
            return to_device(parts, self.device)

        def between(ends: Tensor) -> Tensor:
            return placed(ends[edge, :, 0] * (1 - t) + ends[edge, :, 1] * t)

        uv, bary = between(self.uvs), between(self.barys)[..., :2]
        face, maps = placed(self.faces[edge]).to(fragments.face_id), placed(self.maps[edge]).to(fragments.map_id)
        flat = uv.new_zeros(batch, 2 * rows, width)
        pixel = placed(self.density[edge]) / scale  # UVs
        footprint = torch.stack([pixel, flat, flat, pixel], -1)

        def more(seen: Tensor, added: Tensor) -> Tensor:
            return torch.cat([seen, added], 1)

        return replace(
            fragments, face_id=more(fragments.face_id, face), bary=more(fragments.bary, bary),
            depth=more(fragments.depth, flat), uv=more(fragments.uv, uv), uv_da=more(fragments.uv_da, footprint),
            mask=more(fragments.mask, torch.ones_like(face, dtype=torch.bool)), map_id=more(fragments.map_id, maps),
        )  # fmt: skip

    def split(self, colors: Tensor, height: int) -> tuple[Tensor, Tensor]:
        """Colours [B,C,H+rows,W] of extended fragments -> of the images [B,C,H,W], of the points' two sides [2,N,C]."""
        image, points = colors.split((height, colors.shape[2] - height), 2)
        return image, points.unflatten(2, (2, -1)).permute(2, 0, 3, 4, 1).flatten(1, 3)
