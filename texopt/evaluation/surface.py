"""What is measured in the texture: steps across UV seams, texels that no view reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.evaluation.views import Pictures
from texopt.mesh.mesh import Mesh
from texopt.render.finish import Finishes
from texopt.render.fragments import Fragments, surface_points
from texopt.render.look_up import look_up
from texopt.render.reached import reached_texels
from texopt.render.seam_points import inner_edges
from texopt.render.uv_raster import covered

POINTS = 65536
Look = Callable[[Fragments], Tensor]
LEAST = 1e-4  # mean step of colours; less is rounding


def _beside(mesh: Mesh, pictures: Pictures, sides: np.ndarray) -> Fragments | None:
    """Points on both sides of edges, evenly over their length, one texel inside: Fragments [1,1,2*POINTS], first those
    of one side. None where edges have no length.

    sides: as of inner_edges.
    """
    corners = mesh.face_uvs[sides[..., 0]]  # [E, side, 3]
    ends = np.take_along_axis(corners, sides[..., 1:], 2)
    third = np.take_along_axis(corners, 3 - sides[..., 1:].sum(2, keepdims=True), 2)[..., 0]
    maps = mesh.face_map[sides[..., 0]]
    shape = np.array([texture.shape[:0:-1] for texture in pictures.textures])[maps]  # width, height [E, side, 2]
    start, end, other = (mesh.uvs[index] * shape for index in (ends[..., 0], ends[..., 1], third))  # in texels
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-12)
    inward = np.stack([-along[..., 1], along[..., 0]], -1)
    inward *= np.sign(((other - start) * inward).sum(-1, keepdims=True))

    vertices = mesh.vertices[np.take_along_axis(mesh.faces[sides[:, 0, 0]], sides[:, 0, 1:], 1)]
    length = np.linalg.norm(vertices[:, 0] - vertices[:, 1], axis=1)
    if not length.any():
        return None
    generator = np.random.default_rng(0)
    edge = generator.choice(len(sides), POINTS, p=length / length.sum())
    t = generator.random((POINTS, 1, 1))
    points = (start[edge] * (1 - t) + end[edge] * t + inward[edge]) / shape[edge]
    shown = surface_points(
        mesh, points.transpose(1, 0, 2).reshape(-1, 2), maps[edge].T.flatten(), pictures.scene.backend
    )
    face = sides[edge, :, 0].T.flatten()
    bary = _barycentrics(mesh.uvs[mesh.face_uvs[face]], points.transpose(1, 0, 2).reshape(-1, 2))
    return replace(
        shown, face_id=torch.from_numpy(face.astype(np.int32)).reshape(1, 1, -1), scene=pictures.scene,
        bary=torch.from_numpy(bary.astype(np.float32)).reshape(1, 1, -1, 2),
    )  # fmt: skip


def _barycentrics(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights [N,2] of the first two corners of flat triangles [N,3,2] at points [N,2]; zeros where one has no area."""
    a, b, p = corners[:, 0] - corners[:, 2], corners[:, 1] - corners[:, 2], points - corners[:, 2]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    found = np.stack([p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0], a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]], 1)
    return np.where(area[:, None] != 0, found / np.where(area == 0, 1, area)[:, None], 0.0)


def _step_across(mesh: Mesh, pictures: Pictures, sides: np.ndarray, look: Look) -> float:
    """Mean absolute difference of what is seen on both sides of edges."""
    points = _beside(mesh, pictures, sides)
    if points is None:
        return float("nan")
    values = look(points).reshape(-1, 2, POINTS)
    return float((values[:, 0] - values[:, 1]).abs().mean())


def seam_ratio(mesh: Mesh, pictures: Pictures, look: Look | None = None) -> float | None:
    """The mean step across UV seams over that across other edges, of what is optimised.

    None without seams, or where all is the same. 1 is a texture that shows no seams. look: what steps are of, from
    points of the surface to values [1,C,1,N]; by default colours.
    """
    look = look or partial(look_up, pictures.textures)
    sides, seam = inner_edges(mesh)
    free = np.isin(mesh.face_map[sides[..., 0]], mesh.optimized).all(1)
    sides, seam = sides[free], seam[free]
    if not seam.any() or seam.all():
        return None
    across, inside = (_step_across(mesh, pictures, sides[kind], look) for kind in (seam, ~seam))
    return across / max(inside, LEAST) if max(across, inside) >= LEAST else None


def normal_seam_ratio(mesh: Mesh, pictures: Pictures) -> float | None:
    """The same of the shading normals that the mesh's normal maps make."""
    finishes = Finishes(pictures.scene)
    return seam_ratio(mesh, pictures, lambda points: finishes.sample(points).normal)


@dataclass(frozen=True)
class Coverage:
    """reached: share of the texels that faces use that views from all around look at. noise: roughness of the others
    over that of the reached, None where there are none: 0 is a smooth fill, 1 as rough as what is seen."""

    reached: float
    noise: float | None


def _roughness(image: Tensor) -> Tensor:
    """Absolute difference of every texel of [3,H,W] to the mean of its four neighbours, mean over colours: [H,W]."""
    kernel = torch.tensor([[0.0, 0.25, 0.0], [0.25, -1.0, 0.25], [0.0, 0.25, 0.0]])[None, None]
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel)[:, 0].abs().mean(0)


def coverage(mesh: Mesh, textures: list[Tensor]) -> Coverage:
    """Of the maps that are optimised. textures: [3,H,W], one a map."""
    sizes = [(textures[index].shape[1], textures[index].shape[2]) for index in mesh.optimized]
    rough: dict[bool, list[Tensor]] = {True: [], False: []}
    for index, seen in zip(mesh.optimized, reached_texels(mesh, sizes), strict=True):
        height, width = seen.shape
        used = covered(mesh.uvs, mesh.face_uvs[mesh.face_map == index], height, width, mesh.maps[index].wrap)
        values = _roughness(textures[index])
        for kind, where in ((True, used & seen), (False, used & ~seen)):
            rough[kind].append(values[where])
    seen, unseen = torch.cat(rough[True]), torch.cat(rough[False])
    reached = len(seen) / max(len(seen) + len(unseen), 1)
    noisy = len(seen) and len(unseen) and float(seen.mean()) > 0
    return Coverage(reached, float(unseen.mean() / seen.mean()) if noisy else None)
