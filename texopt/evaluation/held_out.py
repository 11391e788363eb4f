"""How far photographs are from renderings with their cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from texopt.mesh.mesh import Mesh
from texopt.objectives.photo_light import under
from texopt.objectives.photo_loss import cut, moments
from texopt.render.look_up import Mipmapped, look_up
from texopt.render.photo_cameras import camera, inner, seen_box, shown, window_places, window_size
from texopt.render.photos import Photos
from texopt.render.scene import Scene

LARGEST = 1024  # pixels a side of what is compared of a photograph


def photo_psnr(
    mesh: Mesh, images: Sequence[Tensor], photos: Photos, exposure: bool = True, light: Tensor | None = None
) -> list[float]:  # fmt: skip
    """PSNR in dB of each photograph that sees the mesh, over the pixels that `photographs` counts.

    Of photographs larger than 1024 pixels a side, a window of that size in the middle of the object is compared.

    Args:
        mesh, photos: as of PhotoCameras.
        images: textures [3,H,W] in [0,1], one a map.
        exposure: bring renderings to each photograph's exposure first, by the least-squares gain of each channel.
        light: as of `photographs`, that the mesh is seen in.
    """
    scene = Scene(mesh, optimized=True)
    textures = [Mipmapped.of(image, scene.backend) for image in images]
    found = []
    height, width = window_size(photos, LARGEST)
    for index, photo in enumerate(photos):
        box = seen_box(photo, mesh, scene)
        if box is None:
            continue
        first, last, most = window_places(photo, box, (height, width))
        left, top = ((first + last) / 2).clip(0, most).round().tolist()
        window = (left, top, float(width), float(height))
        goal, counts = (part[None] for part in cut(photos, index, window, height, width))
        fragments = scene.rasterize(camera(photo, mesh, window), height, width)
        weight = inner(shown(fragments, mesh)[:, None].float()) * counts
        image = look_up(textures, fragments)
        if light is not None:
            normal, eye = (each.permute(0, 3, 1, 2) for each in (fragments.normal, fragments.view_direction))
            image = under(light, image, normal, eye)
        product, square, goal_square = moments(image, goal, weight)[0]
        gain = product / square.clamp(min=1e-12) if exposure else torch.ones(3, dtype=torch.float64)
        error = (gain**2 * square - 2 * gain * product + goal_square).sum() / (3 * weight.sum().double())
        if weight.any():
            found.append(-10 * math.log10(max(float(error), 1e-10)))
    return found
