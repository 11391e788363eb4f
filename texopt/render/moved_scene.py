"""MovedScene: a mesh drawn with its vertices elsewhere, so that gradients of what is drawn reach them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from texopt.mesh.normals import normal_groups
from texopt.render.cameras import Cameras
from texopt.render.fragments import Fragments
from texopt.render.outline import Outline, Rims
from texopt.render.scene import Scene

if TYPE_CHECKING:
    from texopt.mesh.shape import Shape

MADE = ("corners", "corner_normals", "uv_gradients")  # of vertices, when they are asked for
NO_LENGTH = 1e-10  # of a vector, that points nowhere


class MovedScene(Scene):
    """A Scene, drawn once, with its vertices where a Shape has them now.

    What fragments tell of it has gradients to them: `position` and `view_direction` as of points that stay where they
    are on the surface, and `normal`; colours that textures have there do not. Silhouettes have theirs in `outline`.

    Attributes:
        moved: float32 [V,3], vertices in the unit sphere of the scene. outline: of what was drawn.
    """

    outline: Outline

    def __init__(self, scene: ShapedScene, moved: Tensor) -> None:
        vars(self).update({name: value for name, value in vars(scene).items() if name not in MADE})
        self.kinds, self.moved, self.vertices = scene.kinds, moved, moved.detach()
        self.reach = scene.shape.limit

    def rasterize(self, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
        """Draw it."""
        cameras = deepened(cameras, self.reach)
        fragments = super().rasterize(cameras, height, width)
        clip = cameras.project(self.moved[self.kinds.first].double())
        clip = clip * clip.new_tensor([1.0, -1.0, 1.0, 1.0])  # as Scene.rasterize has it
        exact = torch.float32 if self.device.type == "mps" else torch.float64  # which has no other
        self.outline = Outline(clip.to(self.device, exact), self.kinds.rims, fragments.face_id, fragments.depth)
        return fragments

    @cached_property
    def corners(self) -> Tensor:
        return self.moved[self.kinds.corners].to(self.device)

    @cached_property
    def corner_normals(self) -> Tensor:
        return smooth_corners(self.corners, self.kinds.groups.to(self.device))


class ShapedScene(Scene):
    """A Scene whose vertices are those of a Shape: every drawing is of where they are then, a MovedScene's."""

    def __init__(self, shape: Shape, device: torch.device | str = "cpu", raster: str = "auto") -> None:
        super().__init__(shape.mesh, device, raster, optimized=True)
        self.shape, self.kinds = shape, _Kinds(self, shape)

    def rasterize(self, cameras: Cameras, height: int, width: int | None = None) -> Fragments:
        """Draw it; the fragments' scene is the MovedScene."""
        return MovedScene(self, self.vertices + self.shape.displacements().cpu()).rasterize(cameras, height, width)


class _Kinds:
    """What of a mesh stays when its vertices move.

    first: int64 [P], a vertex of every place. rims: edges between places, as vertices that UV seams split are one
    surface. corners: int64 [F,3], into vertices. groups: int64 [F,3], of corners with a normal in common, -1 for those
    with the face's own.
    """

    def __init__(self, scene: Scene, shape: Shape) -> None:
        mesh, place = shape.mesh, shape.place.cpu().numpy()
        first = np.unique(place, return_index=True)[1]
        self.first, self.corners = torch.from_numpy(first), torch.from_numpy(mesh.faces).long()
        self.rims = Rims.of(place[mesh.faces], scene.device)
        groups = np.full(mesh.faces.shape, -1)
        if mesh.normals is not None and mesh.face_normals is not None:
            groups = normal_groups(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)[0]
        self.groups = torch.from_numpy(groups)


def deepened(cameras: Cameras, by: float) -> Cameras:
    """Cameras that see nearer and farther by a length, as far as they are not behind what they see. Those whose
    projection is neither a perspective nor a parallel one stay as they are."""
    projection = cameras.projection.clone()
    scale, shift = projection[:, 2, 2], projection[:, 2, 3]
    along = (projection[:, 2, :2] == 0).all(1)
    perspective = along & (projection[:, 3] == projection.new_tensor([0.0, 0, -1, 0])).all(1)
    parallel = along & (projection[:, 3] == projection.new_tensor([0.0, 0, 0, 1])).all(1)
    near = torch.where(perspective, shift / (scale - 1), (shift + 1) / scale)
    far = torch.where(perspective, shift / (scale + 1), (shift - 1) / scale)
    near = torch.where(perspective, torch.maximum(near - by, near / 10), near - by)
    far = far + by
    new_scale = torch.where(perspective, far + near, 2.0) / (near - far)
    new_shift = torch.where(perspective, 2 * far * near, far + near) / (near - far)
    known = perspective | parallel
    projection[:, 2, 2] = torch.where(known, new_scale, scale)
    projection[:, 2, 3] = torch.where(known, new_shift, shift)
    return replace(cameras, projection=projection)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors [...,3] at a length of 1; those without length are zeros, with no gradient."""
    square = vectors.square().sum(-1, keepdim=True)
    return torch.where(square > NO_LENGTH**2, vectors / square.clamp(min=NO_LENGTH**2).sqrt(), 0.0)


def smooth_corners(corners: Tensor, groups: Tensor) -> Tensor:
    """Unit normals of faces' corners, as texopt.mesh.normals.smooth_normals has them, with a gradient to the corners.

    corners: float [F,3,3], positions. groups: int64 [F,3], of corners that have their normal in common; -1 for those
    that have the face's. Returns [F,3,3].
    """
    sides = [_unit(corners.roll(-step, 1) - corners) for step in (1, 2)]  # to the next corner, and to the one before
    face = _unit(torch.linalg.cross(sides[0][:, 0], sides[1][:, 0]))[:, None].expand_as(corners)
    sine = torch.linalg.cross(sides[0], sides[1]).square().sum(-1).clamp(min=NO_LENGTH**2).sqrt()
    angle = torch.atan2(sine, (sides[0] * sides[1]).sum(-1))
    own = groups < 0
    weighted = torch.where(own[..., None], 0.0, face * angle[..., None]).flatten(0, 1)
    total = corners.new_zeros(max(int(groups.max()), 0) + 1, 3)
    shared = _unit(total.index_add(0, groups.clamp(min=0).flatten(), weighted))
    return torch.where(own[..., None], face, shared[groups.clamp(min=0)])
