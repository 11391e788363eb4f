"""The original texture of a map: as the file has it, or made of materials, vertex colours and textures on other UVs."""

from __future__ import annotations

import numpy as np
import torch

from texopt import raster
from texopt.color import linear_to_srgb, srgb_to_linear
from texopt.export.atlas import fill
from texopt.readers.raw import Material, RawMesh
from texopt.uvspace import rasterize_uvs

SIZE = 2048  # texels a side of a texture that is made
LARGEST = 4096  # of one that is made of larger textures


def original_texture(
    raw: RawMesh, uvs: np.ndarray, face_uvs: np.ndarray, faces: np.ndarray, own_uvs: bool
) -> np.ndarray:
    """What the given faces (indices) show, as a texture on their UVs: uint8 [H,W,3]; [1,1,3] for one colour."""
    materials = [raw.materials[int(index)] for index in np.unique(raw.face_material[faces])]
    one = all(material is materials[0] for material in materials)
    painted = raw.colors is not None and bool((raw.colors[raw.faces[faces].reshape(-1)] < 1).any())
    if one and not painted and (own_uvs or materials[0].texture is None):
        return materials[0].image()
    if len(np.unique(face_uvs[faces])) == 1:  # a single place, as of what is kept without UVs
        colors = np.ones(3) if raw.colors is None else np.asarray(raw.colors[raw.faces[faces]].mean((0, 1)))
        red, green, blue = (float(x) for x in colors * materials[0].color)
        return Material((red, green, blue)).image()
    return transfer(raw, uvs, face_uvs, faces)


def transfer(raw: RawMesh, uvs: np.ndarray, face_uvs: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The colours of materials and vertices of some faces in a new UV layout: uint8 [S,S,3], row 0 on top."""
    used = [int(index) for index in np.unique(raw.face_material[faces])]
    largest = max(max(raw.materials[index].image().shape[:2]) for index in used)
    size = SIZE if largest <= SIZE else LARGEST
    rast, rast_db = rasterize_uvs(uvs, face_uvs[faces], size, size)
    face = rast[0, ..., 3].long() - 1
    valid = face >= 0
    material = torch.from_numpy(raw.face_material[faces])[face.clamp(min=0)]
    image = torch.zeros(size, size, 3)
    has_uvs = bool((raw.face_uvs[faces] >= 0).any())
    if has_uvs:
        flipped = np.stack([raw.uvs[:, 0], 1 - raw.uvs[:, 1]], 1).astype(np.float32)
        source = raw.face_uvs[faces].clip(min=0).astype(np.int32)
        uv, uv_da = raster.interpolate(torch.from_numpy(flipped), rast, torch.from_numpy(source), rast_db, "all")
    for index in used:
        here = (material == index) & valid
        texture = torch.from_numpy(raw.materials[index].image().astype(np.float32)) / 255.0
        if raw.materials[index].texture is None or not has_uvs:
            image[here] = texture[0, 0]
        else:
            levels = raster.mip_levels(*texture.shape[:2])
            image[here] = raster.texture(texture[None], uv, uv_da, max_mip_level=levels)[0][here]
    if raw.colors is not None:
        colors = torch.from_numpy(raw.colors.astype(np.float32))
        corners = torch.from_numpy(raw.faces[faces].astype(np.int32))
        tint, _ = raster.interpolate(colors, rast, corners)
        product = srgb_to_linear(image[valid].numpy()) * srgb_to_linear(tint[0][valid].numpy())
        image[valid] = torch.from_numpy(linear_to_srgb(product)).float()
    filled = fill(image.permute(2, 0, 1), valid)
    return np.asarray((filled.permute(1, 2, 0) * 255.0).round().clamp(0, 255).byte())
