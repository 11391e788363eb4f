"""Carry the textures of a mesh over to another UV layout of the same triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from texopt import raster
from texopt.export.atlas import fill
from texopt.uvspace import rasterize_uvs

if TYPE_CHECKING:
    from texopt.mesh import Mesh
    from texopt.readers import RawMesh

SIZE = 2048  # texels a side of the texture that is made


def transfer(raw: RawMesh, mesh: Mesh) -> np.ndarray:
    """The colours of all materials of `raw` in the UV layout of `mesh`: uint8 [SIZE,SIZE,3], row 0 on top."""
    rast, rast_db = rasterize_uvs(mesh.uvs, mesh.face_uvs, SIZE, SIZE)
    face = rast[0, ..., 3].long() - 1
    material = torch.from_numpy(raw.face_material)[face.clamp(min=0)]
    image = torch.zeros(SIZE, SIZE, 3)
    source = raw.face_uvs.clip(min=0).astype(np.int32)
    if len(raw.uvs):
        flipped = np.stack([raw.uvs[:, 0], 1 - raw.uvs[:, 1]], 1).astype(np.float32)
        uv, uv_da = raster.interpolate(torch.from_numpy(flipped), rast, torch.from_numpy(source), rast_db, "all")
    for index in raw.used_materials():
        here = (material == index) & (face >= 0)
        texture = torch.from_numpy(raw.materials[index].image().astype(np.float32))
        if raw.materials[index].texture is None or not len(raw.uvs):
            image[here] = texture[0, 0]
        else:
            levels = raster.mip_levels(*texture.shape[:2])
            image[here] = raster.texture(texture[None], uv, uv_da, max_mip_level=levels)[0][here]
    filled = fill(image.permute(2, 0, 1) / 255.0, face >= 0)
    return np.asarray((filled.permute(1, 2, 0) * 255.0).round().clamp(0, 255).byte())
