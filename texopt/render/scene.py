"""Scene: a mesh made ready to be drawn many times; from it and cameras to Fragments."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.mesh.normals import corner_normals
from texopt.mesh.tangents import tangents
from texopt.mesh.wrapping import wrap_table
from texopt.raster import backends
from texopt.render.cameras import Cameras
from texopt.render.fragments import Fragments
from texopt.system.devices import to_device

if TYPE_CHECKING:
    pass


class Scene:
    """A mesh made ready to be drawn many times: in the unit sphere, as tensors.

    Fragments are on `device`; `raster` is which functions draw, see texopt.raster.backends.select. With `optimized` the
    part of the mesh that is optimised fills the unit sphere; the rest may lie outside, and views cut off what of it
    would stand in between. radius: what is 1 then, in the mesh's own units; by default its own radius.
    """

    def __init__(
        self, mesh: Mesh, device: torch.device | str = "cpu", raster: str = "auto", optimized: bool = False,
        radius: float | None = None,
    ) -> None:  # fmt: skip
        self.device = torch.device(device)
        self.backend = backends.select(raster, self.device)
        self.mesh, (self.center, self.radius) = mesh, mesh.normalization(optimized)
        self.vertices = mesh.unit_vertices(optimized)
        if radius is not None:
            self.vertices, self.radius = self.vertices * (self.radius / radius), radius
        self.faces = torch.from_numpy(mesh.faces).to(self.backend.geometry)
        self.uvs = torch.from_numpy(mesh.uvs.astype(np.float32))[None].to(self.backend.geometry)
        self.face_uvs = torch.from_numpy(mesh.face_uvs).to(self.backend.geometry)
        self.face_map = torch.from_numpy(mesh.face_map).to(self.device)
        self.maps, self.wraps = len(mesh.maps), wrap_table(mesh.wraps)

    def rasterize(self, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
        """Draw the scene from every camera."""
        draw = self.backend
        clip = cameras.project(self.vertices.double())
        clip[..., 1].neg_()  # the drawing operations' row 0 is y = -w, an image's is the top
        pos = to_device(clip.float().contiguous(), draw.geometry)
        rast, rast_db = draw.rasterize(draw.context, pos, self.faces, (height, width or height))
        uv, uv_da = draw.interpolate(self.uvs, rast, self.face_uvs, rast_db, diff_attrs="all")
        rast, uv, uv_da = (to_device(x, self.device) for x in (rast, uv, uv_da))
        face = rast[..., 3].int() - 1
        # what the projection takes to x = y = w = 0; for a parallel one that is infinitely far away
        eye = -torch.linalg.inv_ex(cameras.projection @ cameras.view)[0][:, None, None, :, 2]
        eye = to_device(eye.float(), self.device)
        maps = self.face_map[face.clamp(min=0)] if self.maps > 1 else torch.zeros_like(face)
        return Fragments(face, rast[..., :2], rast[..., 2], uv, uv_da, face >= 0, maps, draw, self, eye, self.wraps)

    def own(self, points: Tensor, axis: int = 1) -> Tensor:
        """Points in the unit sphere, x, y and z along an axis, in the mesh's own coordinates."""
        shape = [1] * points.ndim
        shape[axis] = 3
        return self.radius * points + torch.from_numpy(self.center).to(points).reshape(shape)

    @cached_property
    def corners(self) -> Tensor:
        """Of faces, in the unit sphere: float32 [F,3,3] on the device."""
        return self.vertices[torch.from_numpy(self.mesh.faces).long()].to(self.device)

    @cached_property
    def corner_normals(self) -> Tensor:
        """Unit normals of faces' corners, of the face itself where a corner has none: float32 [F,3,3]."""
        mesh = self.mesh
        found = corner_normals(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)
        return torch.from_numpy(found.astype(np.float32)).to(self.device)

    @cached_property
    def corner_tangents(self) -> Tensor:
        """Tangents of faces' corners and the sign of their bitangents, as of texopt.mesh.tangents: float32 [F,3,4]."""
        return torch.from_numpy(tangents(self.mesh).astype(np.float32)).to(self.device)

    @cached_property
    def uv_gradients(self) -> Tensor:
        """How u and v grow along each face, by units of the scene: float32 [F,2,3], vectors in the face's plane. Zeros
        where a face has no area, or its UVs have none."""
        corners = self.vertices.double()[torch.from_numpy(self.mesh.faces).long()]
        uvs = torch.from_numpy(self.mesh.uvs[self.mesh.face_uvs])
        edges, steps = corners[:, 1:] - corners[:, :1], uvs[:, 1:] - uvs[:, :1]  # [F,2,3], [F,2,2]
        length = edges.square().sum((1, 2), keepdim=True).clamp(min=1e-60)
        gram = (edges / length.sqrt()) @ (edges / length.sqrt()).transpose(1, 2)
        good = torch.linalg.det(gram) > 1e-12
        gram = torch.where(good[:, None, None], gram, torch.eye(2).double())
        dual = torch.linalg.solve(gram, edges / length)  # of the edges: dual_i . edge_j is 1 where i is j, else 0
        found = torch.where(good[:, None, None], steps.transpose(1, 2) @ dual, 0.0)
        return found.float().to(self.device)


def rasterize(mesh: Mesh, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
    """Draw `mesh`, scaled into the unit sphere, from every camera: Fragments on the CPU.

    What a View shows is `view.fragments`: a run may have the part that is optimised in the unit sphere, and transforms
    its images.
    """
    if not isinstance(mesh, Mesh) or not isinstance(cameras, Cameras):
        name, wanted, got = ("cameras", "Cameras", cameras) if isinstance(mesh, Mesh) else ("mesh", "a Mesh", mesh)
        raise OptionError(f"{name} has to be {wanted}, not a {type(got).__name__}")
    return Scene(mesh).rasterize(cameras, height, width)
