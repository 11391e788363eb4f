"""Draw a mesh's triangles into its texture: which texel belongs to which face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt import raster
from texopt.mesh.mesh import Mesh
from texopt.mesh.wrapping import CLAMP, MIRROR, REPEATED, Wrap
from texopt.render.fragments import Fragments, texel_centers
from texopt.system.pages import bands

BAND = 1 << 23  # texels that are drawn at a time, as each takes 32 bytes
MAX_TILES = 16  # repeats of the texture along one axis that are followed for a single triangle


def rasterize_uvs(
    uvs: np.ndarray, face_uvs: np.ndarray, height: int, width: int, rows: slice = slice(None),
    wrap: Wrap = REPEATED,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Rasterise the UV layout, row 0 on top; UVs outside [0,1] repeat or are mirrored.

    Args:
        uvs: float64 [T,2], (0,0) at the lower left.
        face_uvs: int [F,3].
        height, width: of the texture, in texels.
        rows: of the texture; by default all.
        wrap: how the texture goes on outside. Where it is clamped, what lies there is not drawn.

    Returns:
        rast, rast_db: [1,rows,W,4] as of raster.rasterize: barycentrics and face index + 1 at every texel centre.
    """
    faces = np.flatnonzero(first_of_each(face_uvs))  # of those at one place the first is seen, as of one depth
    corners = uvs[face_uvs[faces]]  # [F,3,2]
    tile = np.floor(corners.min(1))
    span = np.clip(np.ceil(corners.max(1)) - tile - 1, 0, MAX_TILES - 1)
    clamped, mirrored = (np.array([mode == way for mode in wrap]) for way in (CLAMP, MIRROR))
    tile, span = np.where(clamped, 0, tile), np.where(clamped, 0, span)
    pieces, owners = [], []
    for column in range(int(span[:, 0].max(initial=0)) + 1):
        for row in range(int(span[:, 1].max(initial=0)) + 1):
            reaches = np.flatnonzero((span[:, 0] >= column) & (span[:, 1] >= row))
            place = (tile[reaches] + (column, row))[:, None]
            inside = corners[reaches] - place
            pieces.append(np.where(mirrored & (place % 2 == 1), 1 - inside, inside))
            owners.append(faces[reaches])
    drawn = np.concatenate(pieces).reshape(-1, 2)
    owner = torch.from_numpy(np.concatenate(owners).astype(np.float32))
    first, last, _ = rows.indices(height)
    x, y = 2 * drawn[:, 0] - 1, 2 * ((1 - drawn[:, 1]) * height - first) / (last - first) - 1
    pos = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], 1).astype(np.float32)
    tri = torch.arange(len(drawn), dtype=torch.int32).reshape(-1, 3)
    rast, rast_db = raster.rasterize(raster.RasterizeContext(), torch.from_numpy(pos)[None], tri, (last - first, width))
    face = rast[..., 3].long()
    rast[..., 3] = torch.where(face > 0, owner[(face - 1).clamp(min=0)] + 1, 0.0)
    return rast, rast_db


def first_of_each(faces: np.ndarray) -> np.ndarray:
    """Which of faces [F,3] have corners, in any order, that no face before them has: bool [F]."""
    rows = np.sort(faces, 1).astype(np.uint64)
    keys = rows @ np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 1], np.uint64)  # any odd numbers
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    before = first[which.reshape(-1)]
    return np.asarray((before == np.arange(len(faces))) | (rows[before] != rows).any(1))


def covered(uvs: np.ndarray, face_uvs: np.ndarray, height: int, width: int, wrap: Wrap = REPEATED) -> Tensor:
    """bool [H,W]: texels whose centre lies in a face, and whole edges that are clamped where faces lie beyond."""
    parts = bands(height, width, BAND)
    drawn = [rasterize_uvs(uvs, face_uvs, height, width, rows, wrap)[0][0, ..., 3] > 0 for rows in parts]
    there = torch.cat(drawn)
    u, v = uvs[face_uvs].reshape(-1, 2).T
    edges = ((wrap[0], u, there[:, 0], there[:, -1]), (wrap[1], v, there[-1], there[0]))  # v = 0 is the last row
    for mode, places, first, last in edges:
        if mode == CLAMP:
            first |= bool(places.min(initial=0) < 0)
            last |= bool(places.max(initial=1) > 1)
    return there


def surface_texels(
    mesh: Mesh, index: int, height: int, width: int, rows: slice, device: torch.device | str = "cpu"
) -> Fragments:
    """The texels of some rows of a map as points of the surface: Fragments [1,rows,width] with no footprint.

    They are those whose centres are in faces, and one more around charts, where look-ups at their edges reach: there
    the plane of the face beside goes on, with barycentrics outside [0,1].
    """
    faces = np.flatnonzero(mesh.face_map == index)
    first, last, _ = rows.indices(height)
    wider = slice(max(first - 1, 0), min(last + 1, height))
    rast, slopes = rasterize_uvs(mesh.uvs, mesh.face_uvs[faces], height, width, wider, mesh.maps[index].wrap)
    rast = _continued(rast, slopes)[:, first - wider.start : last - wider.start]
    face = rast[..., 3].long()
    there = face > 0
    face_id = torch.where(there, torch.from_numpy(faces)[(face - 1).clamp(min=0)], -1).int()
    maps = torch.full_like(face_id, index)
    found = [values.to(device) for values in (face_id, rast[..., :2], there, maps)]
    at = texel_centers(height, width, rows, device)
    return replace(at, face_id=found[0], bary=found[1], mask=found[2], map_id=found[3])


def _continued(rast: Tensor, slopes: Tensor) -> Tensor:
    """rast [1,H,W,4] with the faces of texels beside in texels that have none; slopes: its rast_db."""
    padded, out = F.pad(torch.cat([rast, slopes], 3), (0, 0, 0, 0, 1, 1)), rast.clone()
    for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        beside = padded[:, 1 - y : 1 - y + rast.shape[1]].roll(x, 2)  # columns repeat
        free = (out[..., 3] == 0) & (beside[..., 3] > 0)
        bary, rest, slope = beside[free].split((2, 2, 4), 1)
        # thin faces go on no farther than they are wide
        bary = (bary + slope[:, 0::2] * x + slope[:, 1::2] * y).clamp(-1, 2)
        out[free] = torch.cat([bary, rest], 1)
    return out


MANY_LAYERS = 100  # textures that UVs may cover before only their areas are looked at


OVERLAP = ((512, 0.01), (2048, 0.02))  # texels a side, and the share of the UV area that may be their rounding


def overlap(uvs: np.ndarray, face_uvs: np.ndarray) -> float:
    """The share of the UV area that is there more than once; 0 where it may be the rounding of texels."""
    corners = uvs[face_uvs]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2)
    if area <= 1e-12 * len(corners):
        return 0.0
    for size, tolerance in OVERLAP:
        # many layers would take long to draw
        share = 1.0 if area > MANY_LAYERS else float(covered(uvs, face_uvs, size, size).float().mean())
        if 1 - share / area <= tolerance:
            return 0.0
    return 1 - share / area
