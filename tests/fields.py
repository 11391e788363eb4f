"""Textures of what is known everywhere on a surface, and meshes for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from conftest import make_cube
from torch import Tensor

from texopt import Mesh, TextureMap
from texopt.render.padding import fill
from texopt.render.uv_raster import rasterize_uvs
from texopt.system.images import to_image

Field = Callable[[Tensor], Tensor]  # positions [N,3] -> colours [N,3] in [0,1]


def showing(mesh: Mesh, *images: Tensor) -> Mesh:
    """A mesh with images [3,H,W] as its original textures, one a map."""
    maps = [replace(one, original=np.array(to_image(image))) for one, image in zip(mesh.maps, images, strict=True)]
    return replace(mesh, maps=tuple(maps))


def baked(mesh: Mesh, field: Field, size: int = 256) -> Tensor:
    """The texture [3,size,size] of a mesh that shows a field, also between the charts."""
    rast, _ = rasterize_uvs(mesh.uvs, mesh.face_uvs, size, size)
    face = rast[0, ..., 3].long() - 1
    used = face >= 0
    u, v = rast[0, ..., :2][used].double().unbind(-1)
    corners = torch.from_numpy(mesh.vertices)[torch.from_numpy(mesh.faces).long()[face[used]]]  # [N,3,3]
    places = (corners * torch.stack([u, v, 1 - u - v], 1)[..., None]).sum(1)
    image = torch.zeros(3, size, size)
    image[:, used] = field(places).float().T
    return fill(image, used)


def two_materials(left: np.ndarray | None = None, right: np.ndarray | None = None) -> Mesh:
    """A cube whose sides towards -X, -Y, -Z are of material "left" and the others of "Right", a texture each."""
    cube = make_cube()
    flat = np.full((1, 1, 3), 128, np.uint8)
    maps = tuple(
        TextureMap(flat if image is None else image, name) for name, image in (("left", left), ("Right", right))
    )
    positive = cube.vertices[cube.faces].mean(1).sum(1) > 0
    face_map = positive.astype(np.int32)
    return replace(cube, maps=maps, face_map=face_map, face_material=face_map, materials=("left", "Right"))


def nested(share: float = 0.5) -> Mesh:
    """A cube in a cube: the outer one has the texture's left `share`, the inner one, which no view sees, the rest."""
    outer, inner = make_cube(), make_cube()
    squeeze = [outer.uvs * (share, 1), inner.uvs * (1 - share, 1) + (share, 0)]
    return replace(
        outer, vertices=np.concatenate([outer.vertices, inner.vertices / 2]),
        faces=np.concatenate([outer.faces, inner.faces + 8]), uvs=np.concatenate(squeeze),
        face_uvs=np.concatenate([outer.face_uvs, inner.face_uvs + 24]),
        **{name: np.zeros(24, np.int32) for name in ("face_map", "face_material", "face_object")},
    )  # fmt: skip


def sheet(cells: int = 8, gap: float = 0.25) -> Mesh:
    """A flat square, its left and right half a chart each, both as large as they are in a texture of one repeat."""
    steps = np.linspace(0, 1, cells + 1)
    x, y = (values.flatten() for values in np.meshgrid(steps, steps))
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (values.flatten() for values in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    right = x[faces].mean(1) > 0.5
    uvs = np.stack([x, y], 1) * (1 - gap) + 0.02
    both = np.concatenate([uvs, uvs + np.array([gap / 2, 0])])
    face_uvs = np.where(right[:, None], faces + len(uvs), faces).astype(np.int32)
    flat = (TextureMap(np.full((1, 1, 3), 128, np.uint8)),)
    return Mesh("sheet", np.stack([x, y, 0 * x], 1), faces, both, face_uvs, None, None, flat)


def stripes(cycles: float, direction: Sequence[float] = (1, 1, 1)) -> Field:
    """A grey wave of so many cycles a unit of length along the sides of a cube, on every side."""

    def field(places: Tensor) -> Tensor:
        along = places @ torch.tensor(direction, dtype=places.dtype) / 2**0.5
        return (0.5 + 0.4 * torch.sin(2 * torch.pi * cycles * along))[:, None].expand(-1, 3)

    return field
