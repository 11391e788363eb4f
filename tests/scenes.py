"""Shapes on the screen that the tests of geometry's gradients draw, and how they draw them."""

from __future__ import annotations

import torch
import trimesh
from torch import Tensor

from texopt import orbit

Resolution = tuple[int, int]


def pixels_to_clip(points: Tensor, resolution: Resolution, z: float = 0.0, w: Tensor | float = 1.0) -> Tensor:
    """(x, y) in pixels [V,2], (0, 0) being the corner of the first pixel -> clip space float32 [V,4]."""
    height, width = resolution
    ndc = points.double() / torch.tensor([width, height]).double() * 2 - 1
    w = torch.as_tensor(w).double().expand(len(points))[:, None]
    return (torch.cat([ndc, torch.full_like(ndc[:, :1], z), torch.ones_like(ndc[:, :1])], 1) * w).float()


def shift_pixels(pos: Tensor, dx: Tensor | float, dy: Tensor | float, resolution: Resolution) -> Tensor:
    """Clip-space vertices [...,4] moved by (dx, dy) pixels on the screen."""
    zero = torch.zeros(())
    step = torch.stack([zero + dx * 2 / resolution[1], zero + dy * 2 / resolution[0], zero, zero])
    return pos + step * pos[..., 3:]


def polygon(corners: int, centre: tuple[float, float], radius: float, turn: float = 0.3) -> tuple[Tensor, Tensor]:
    """A regular polygon as a fan around its centre: points in pixels float64 [V,2], triangles int32 [F,3]."""
    angle = torch.arange(corners).double() * 2 * torch.pi / corners + turn
    rim = torch.tensor([centre]) + radius * torch.stack([angle.cos(), angle.sin()], 1)
    index = torch.arange(corners)
    tri = torch.stack([torch.zeros_like(index), 1 + index, 1 + (index + 1) % corners], 1)
    return torch.cat([torch.tensor([centre]).double(), rim]), tri.int()


def tessellated_quad(
    cells: int, corner: tuple[float, float], along: tuple[float, float], up: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """A parallelogram of cells by cells by two triangles: points in pixels float64 [V,2], triangles int32 [F,3]."""
    steps = torch.linspace(0, 1, cells + 1).double()
    t, s = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.tensor(corner) + s[..., None] * torch.tensor(along) + t[..., None] * torch.tensor(up)
    index = torch.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (x.flatten() for x in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    return points.reshape(-1, 2), torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)]).int()


def closed_mesh(kind: str, azimuth: float = 20.0, elevation: float = 35.0) -> tuple[Tensor, Tensor]:
    """A sphere or a torus as a camera sees it: clip space float32 [V,4], triangles int32 [F,3]."""
    sphere = kind == "sphere"
    mesh = trimesh.creation.icosphere(1) if sphere else trimesh.creation.torus(0.65, 0.3, 24, 16)
    cameras = orbit(torch.tensor([azimuth]), torch.tensor([elevation]))
    pos = cameras.project(torch.from_numpy(mesh.vertices.copy()))[0]
    return pos.float(), torch.from_numpy(mesh.faces.copy()).int()


def merged(*parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Several (pos, tri) as one."""
    start, triangles = 0, []
    for pos, tri in parts:
        triangles.append(tri + start)
        start += len(pos)
    return torch.cat([pos for pos, _ in parts]), torch.cat(triangles)


def faces_as_colors(rast: Tensor, palette: Tensor) -> Tensor:
    """Each triangle has a colour of its own: rast [...,H,W,4], palette [F,C] -> [...,H,W,C], zeros behind."""
    face = rast[..., 3].long()
    return torch.cat([torch.zeros_like(palette[:1]), palette])[face]
