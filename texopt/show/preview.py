"""Pictures of a result: views over a plain background, the contact sheet, and the plot of the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh
from texopt.render.backgrounds import composite
from texopt.render.cameras import Cameras, fit_distance, orbit, sphere_points
from texopt.render.finish import Finishes
from texopt.render.fragments import Fragments
from texopt.render.look_up import Mipmapped, Texels, look_up
from texopt.render.scene import Scene
from texopt.render.shading import Lighting, lamp
from texopt.render.under_light import UnderLight
from texopt.system.images import to_image

if TYPE_CHECKING:
    pass

Render = Callable[[Cameras], Tensor]  # cameras -> pictures [B,3,H,W] in [0,1]

# azimuth, elevation: once around, then from above and from below
VIEWS = ((0, 10), (60, 15), (120, 15), (180, 10), (240, 15), (300, 15), (30, 65), (210, -55))
CELL = 288  # pixels a side
SUPERSAMPLE = 2
BACKGROUND = 0.72
FILL = 0.96  # of a picture's half height that the mesh may reach
MANY = 20_000  # vertices


def _outermost(points: Tensor) -> Tensor:
    """Points [N,3], or, of very many, those that are farthest in one of many directions: what a frame has to hold."""
    if len(points) <= MANY:
        return points
    directions = sphere_points(1024).float()
    columns = points.T.contiguous()
    farthest = [(some @ columns).argmax(1) for some in directions.split(8)]
    return points[torch.cat(farthest).unique()]


def framed(mesh: Mesh, azimuth: Sequence[float] | Tensor, elevation: Sequence[float] | Tensor) -> Cameras:
    """Cameras around the mesh that all see the whole of it, as large as one distance and one centre for all allow.

    Azimuth and elevation in degrees, [B] both, as texopt.orbit has them.
    """
    angles = torch.as_tensor(azimuth).double(), torch.as_tensor(elevation).double()
    cameras = orbit(*angles)
    corners = _outermost(mesh.unit_vertices()[torch.from_numpy(mesh.used_vertices())]).double()
    eye = corners @ cameras.view[:, :3, :3].transpose(1, 2)  # [B,V,3], from the centre; +Z is towards the camera
    x, z = eye[..., :2] * cameras.projection[0, 1, 1], eye[..., 2:]
    distance = fit_distance(10.0)
    for _ in range(4):  # the two depend on each other a little, as perspective is
        seen = (x / (distance - z)).flatten(0, 1)
        shift = (seen.amin(0) + seen.amax(0)) / 2
        # a corner is in the picture where |x / (distance - z) - shift| <= FILL
        distance = max(float((z + torch.maximum(x / (FILL + shift), -x / (FILL - shift))).max()), 1.5)
    cameras = orbit(*angles, radii=distance)
    cameras.projection[:, :2, 2] += shift
    return cameras


# a texture [3,H,W] in [0,1], a list of them, one a map of the mesh, or what makes colours [B,3,H,W] of fragments
Shown = Texels | Sequence[Texels] | Callable[[Fragments, Cameras], Tensor]


def draw(scene: Scene, cameras: Cameras, size: int, *shown: Shown) -> list[Tensor]:
    """Pictures [B,3,size,size] in [0,1] of a scene over BACKGROUND, antialiased, for each of the textures."""
    fragments = scene.rasterize(cameras, size * SUPERSAMPLE)
    colors = (one(fragments, cameras) if callable(one) else look_up(one, fragments) for one in shown)
    return [developed(one, fragments) for one in colors]


def developed(colors: Tensor, fragments: Fragments) -> Tensor:
    """Pictures [B,3,h,w] of colours [B,3,H,W] at fragments, over BACKGROUND, SUPERSAMPLE times smaller."""
    return F.avg_pool2d(composite(colors, fragments.mask[:, None], BACKGROUND), SUPERSAMPLE)


def contact_sheet(mesh: Mesh, *shown: Tensor | Shown) -> Image.Image:
    """Eight views of a mesh, a row for each of what it is shown with."""
    azimuth, elevation = zip(*VIEWS, strict=True)
    scene, cameras = Scene(mesh), framed(mesh, azimuth, elevation)
    ready = [one if callable(one) else _ready(one, scene) for one in shown]
    views = range(len(cameras))  # one after the other, as a large mesh takes memory in each
    columns = [torch.cat(draw(scene, cameras[view : view + 1], CELL, *ready), 2)[0] for view in views]
    return to_image(torch.cat(columns, 2))


def _ready(images: Texels | Sequence[Texels], scene: Scene) -> list[Texels]:
    """Textures with their mip levels."""
    several = [images] if isinstance(images, (Tensor, Mipmapped)) else images
    return [one if isinstance(one, Mipmapped) else Mipmapped.of(one, scene.backend) for one in several]


def lit(
    scene: Scene, images: Sequence[Texels], finishes: Sequence[Finish | None] | None = None,
    light: Lighting | None = None,
) -> UnderLight:  # fmt: skip
    """A scene's textures, one a map, under a light: by default a lamp at the upper left of the camera.

    finishes: one a map, where None is the mesh's own; by default all are.
    """
    own = [one.finish for one in scene.mesh.maps]
    chosen = [one or other for one, other in zip(finishes or own, own, strict=True)]
    ready = _ready(images, scene)
    return UnderLight(lambda fragments: look_up(ready, fragments)[:, :3], Finishes(scene, chosen), light or lamp())


def still(render: Render, mesh: Mesh, azimuth: float = 30.0, elevation: float = 15.0) -> Image.Image:
    """One picture of a mesh from azimuth and elevation in degrees, as large as it fits."""
    return to_image(render(framed(mesh, [azimuth], [elevation]))[0])
