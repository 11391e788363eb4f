"""What is measured in the texture: steps across UV seams, texels that no view reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.evaluation.views import Pictures
from texopt.mesh.mesh import Mesh
from texopt.render.fragments import surface_points
from texopt.render.look_up import look_up
from texopt.render.reached import reached_texels
from texopt.render.seam_points import inner_edges
from texopt.render.uv_raster import covered

POINTS = 65536
LEAST = 1e-4  # mean step of colours; less is rounding


def _step_across(mesh: Mesh, pictures: Pictures, sides: np.ndarray) -> float:
    """Mean absolute difference of the colours on both sides of edges, evenly over their length, one texel inside.

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
        return float("nan")
    generator = np.random.default_rng(0)
    edge = generator.choice(len(sides), POINTS, p=length / length.sum())
    t = generator.random((POINTS, 1, 1))
    points = (start[edge] * (1 - t) + end[edge] * t + inward[edge]) / shape[edge]
    shown = surface_points(
        mesh, points.transpose(1, 0, 2).reshape(-1, 2), maps[edge].T.flatten(), pictures.scene.backend
    )
    colors = look_up(pictures.textures, shown).reshape(3, 2, POINTS)
    return float((colors[:, 0] - colors[:, 1]).abs().mean())


def seam_ratio(mesh: Mesh, pictures: Pictures) -> float | None:
    """The mean colour step across UV seams over that across other edges, of what is optimised.

    None without seams, or of a single colour. 1 is a texture that shows no seams.
    """
    sides, seam = inner_edges(mesh)
    free = np.isin(mesh.face_map[sides[..., 0]], mesh.optimized).all(1)
    sides, seam = sides[free], seam[free]
    if not seam.any() or seam.all():
        return None
    across, inside = (_step_across(mesh, pictures, sides[kind]) for kind in (seam, ~seam))
    return across / max(inside, LEAST) if max(across, inside) >= LEAST else None


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
