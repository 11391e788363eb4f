"""The original texture of a map: as the file has it, or made of materials, vertex colours and textures on other UVs."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from texopt import raster
from texopt.io.raw import Material, RawMesh
from texopt.mesh.mesh import power_of_two
from texopt.mesh.wrapping import REPEATED, Wrap, wrap_table
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up, sample_maps
from texopt.render.padding import fill
from texopt.render.uv_raster import rasterize_uvs
from texopt.system.srgb import linear_to_srgb, srgb_to_linear

SIZE = 2048  # texels a side of a texture that is made
LARGEST = 4096  # of one that is made of larger textures


def original_texture(
    raw: RawMesh, uvs: np.ndarray, face_uvs: np.ndarray, faces: np.ndarray, own_uvs: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """What the given faces (indices) show, as a texture on their UVs: uint8 [H,W,3]; [1,1,3] for one colour.

    And its opacity uint8 [H,W], or None where it is opaque.
    """
    materials = [raw.materials[int(index)] for index in np.unique(raw.face_material[faces])]
    tints = raw.tints(faces)
    one = all(material is materials[0] for material in materials)
    if one and tints is None and (own_uvs or materials[0].texture is None):
        return materials[0].image(), materials[0].alpha
    if tints is not None and len(np.unique(face_uvs[faces])) == 1:  # a single place, of what is kept without UVs
        mean = tints.mean((0, 1))
        tint = mean if raw.linear_colors else srgb_to_linear(mean)
        shown = linear_to_srgb(srgb_to_linear(materials[0].image()[-1, 0] / 255) * tint)
        return np.asarray((shown * 255).round().astype(np.uint8)[None, None]), None
    size = SIZE
    if own_uvs:  # as fine as its own texture, or as vertices that are evenly spread
        largest = max(max(material.image().shape[:2]) for material in materials)
        size = int(np.clip(power_of_two(max(largest, 8 * len(faces) ** 0.5)), 64, SIZE))
    made = transfer(raw, uvs, face_uvs, faces, size, materials[0].wrap if own_uvs else REPEATED)
    return np.ascontiguousarray(made[..., :3]), made[..., 3].copy() if made.shape[2] > 3 else None


def _shown(image: np.ndarray, fragments: Fragments) -> Tensor:
    return look_up(torch.from_numpy(image).permute(2, 0, 1) / 255.0, fragments)


def _with_alpha(material: Material) -> np.ndarray:
    image = material.image()
    alpha = np.full(image.shape[:2], 255, np.uint8) if material.alpha is None else material.alpha
    return np.concatenate([image, alpha[..., None]], 2)


def transfer(
    raw: RawMesh, uvs: np.ndarray, face_uvs: np.ndarray, faces: np.ndarray, size: int | None = None,
    wrap: Wrap = REPEATED,
) -> np.ndarray:  # fmt: skip
    """The colours of materials and vertices of some faces in a new UV layout, row 0 on top: uint8 [S,S,3], or [S,S,4]
    where some are not opaque.

    size: S; by default SIZE, or LARGEST where a texture is larger. wrap: of the new texture.
    """
    used = {int(index): raw.materials[int(index)] for index in np.unique(raw.face_material[faces])}
    largest = max(max(material.image().shape[:2]) for material in used.values())
    clear = any(material.alpha is not None for material in used.values())
    size = size or (SIZE if largest <= SIZE else LARGEST)
    rast, rast_db = rasterize_uvs(uvs, face_uvs[faces], size, size, wrap=wrap)
    face = rast[..., 3].int() - 1
    valid = face >= 0

    # where the faces look in their own textures: at (0,0) where they have no UVs
    own = np.concatenate([raw.uvs, np.zeros((1, 2))]).astype(np.float32)
    corners = np.where(raw.has_uvs()[faces, None], raw.face_uvs[faces], len(raw.uvs)).astype(np.int32)
    uv, uv_da = raster.interpolate(torch.from_numpy(own), rast, torch.from_numpy(corners), rast_db, "all")
    material = torch.from_numpy(raw.face_material[faces])[face.clamp(min=0).long()]
    wraps = wrap_table([item.wrap for item in raw.materials])
    fragments = Fragments(face, rast[..., :2], rast[..., 2], uv, uv_da, valid, material, wraps=wraps)
    pictures = {index: _with_alpha(item) if clear else item.image() for index, item in used.items()}
    samplers = [partial(_shown, pictures[index]) if index in used else None for index in range(len(raw.materials))]
    image = sample_maps(samplers, fragments)[0]
    valid = valid[0]
    if raw.colors is not None and raw.tints(faces) is not None:
        colors = torch.from_numpy(raw.colors.astype(np.float32))
        tint, _ = raster.interpolate(colors, rast, torch.from_numpy(raw.face_colors[faces].astype(np.int32)))
        light = tint[0][valid].T.numpy()
        product = srgb_to_linear(image[:3, valid].numpy()) * (light if raw.linear_colors else srgb_to_linear(light))
        image[:3, valid] = torch.from_numpy(linear_to_srgb(product)).float()
    filled = fill(image, valid)
    return np.asarray((filled.permute(1, 2, 0) * 255.0).round().clamp(0, 255).byte())
