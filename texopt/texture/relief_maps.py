"""The maps of a relief, as engines look them up: normals in the tangent space, roughness, height."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from texopt.mesh.finish import Finish, even
from texopt.mesh.mesh import Mesh
from texopt.render.finish import PAINT, Finishes, tangent_frame
from texopt.render.look_up import look_up
from texopt.render.padding import fill
from texopt.render.scene import Scene
from texopt.render.uv_raster import surface_texels
from texopt.system.pages import bands
from texopt.texture.relief import Relief

TEXELS = 1 << 18  # that are worked out at a time, each of which takes 500 bytes


@torch.no_grad()
def finish_of(mesh: Mesh, index: int, relief: Relief) -> Finish:
    """A relief over the finish that the mesh's map has, where that may change; each map as large as the relief.

    mesh: that it was made for; index: of which of its maps. Texels beside charts are filled from those of the charts.
    """
    device, height, width = relief.strokes.device, relief.height, relief.width
    scene = Scene(mesh, device)
    finishes = Finishes(scene)
    radius = mesh.normalization(optimized=True)[1]
    free = mesh.maps[index].mask_at(height, width).expand(1, height, width).contiguous().to(device)
    values, there = torch.zeros(5, height, width), torch.zeros(height, width, dtype=torch.bool)
    for rows in bands(height, width, TEXELS):
        at = replace(surface_texels(mesh, index, height, width, rows, device), scene=scene)
        share = look_up(free, at)
        embossed = torch.cat([relief.embossing(at) * share, share], 1)
        found = finishes.sample(at, embossed, radius / scene.radius)
        told = in_frame(found.normal.permute(0, 2, 3, 1), *tangent_frame(at.normal, at), at.normal)
        good = at.mask & (told.square().sum(-1) > 0)
        parts = torch.cat([told.permute(0, 3, 1, 2), found.roughness, found.metallic], 1)[0]
        values[:, rows], there[rows] = torch.where(good, parts, 0.0).cpu(), good[0].cpu()
    if not there.any():  # faces whose UVs have no area show one texel, which has no slope
        return mesh.maps[index].finish or Finish(roughness=even(PAINT))
    values = fill(values, there)
    heights = (relief.values()[0] * free[0]).cpu()
    return Finish(
        _bytes(values[:3] / 2 + 0.5).transpose(1, 2, 0), _bytes(values[3]), _single(_bytes(values[4])),
        (heights * radius).numpy(),
    )  # fmt: skip


def in_frame(vectors: Tensor, tangent: Tensor, bitangent: Tensor, normal: Tensor) -> Tensor:
    """The direction of vectors in frames that need not be perpendicular, all [...,3]: of length 1; zeros where a frame
    has no volume."""
    cross = torch.linalg.cross
    dual = torch.stack([cross(bitangent, normal), cross(normal, tangent), cross(tangent, bitangent)], -2)
    volume = (dual[..., 0, :] * tangent).sum(-1, keepdim=True)
    told = (dual * vectors[..., None, :]).sum(-1) * volume.sign()
    return torch.where(volume.abs() > 1e-6, torch.nn.functional.normalize(told, dim=-1), 0.0)


def _bytes(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray((values.clamp(0, 1) * 255).round().byte().numpy())


def _single(image: np.ndarray) -> np.ndarray:
    """One texel, where all are the same."""
    return image[:1, :1] if (image == image[0, 0]).all() else image
