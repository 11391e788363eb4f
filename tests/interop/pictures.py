"""The same views of an export by texopt and by other programs, and how far the pictures are apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from texopt.mesh.mesh import Mesh
from texopt.optim.result import Result
from texopt.render.cameras import Cameras, orbit
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.render.shading import Light, shade
from texopt.system.srgb import to_linear, to_srgb

SIZE, FOV_Y, DISTANCE = 384, 35.0, 3.2  # pixels a side, degrees, radii of the mesh
SUPERSAMPLE = 4
VIEWS = ((25.0, 30.0), (200.0, -35.0))  # azimuth, elevation in degrees


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb: uint8 [H,W,3], row 0 on top. mask: bool [H,W], where the object is."""

    rgb: np.ndarray
    mask: np.ndarray

    @classmethod
    def from_rgba(cls, image: Image.Image) -> Picture:
        values = np.asarray(image.convert("RGBA"))
        return cls(values[..., :3], values[..., 3] == 255)


def cameras() -> Cameras:
    azimuth, elevation = zip(*VIEWS, strict=True)
    return orbit(torch.tensor(azimuth), torch.tensor(elevation), DISTANCE, FOV_Y)


def camera_jobs(mesh: Mesh) -> list[dict[str, Any]]:
    """The cameras for other programs: in the coordinates of the file, where ours see the mesh in the unit sphere."""
    center, radius = mesh.normalization()
    jobs = []
    for view in cameras().view.numpy():
        camera_to_world = np.linalg.inv(view)
        camera_to_world[:3, 3] = camera_to_world[:3, 3] * radius + center
        near, far = (DISTANCE - 1.1) * radius, (DISTANCE + 1.1) * radius
        jobs.append({"camera_to_world": camera_to_world.tolist(), "fov_y": FOV_Y, "near": near, "far": far})
    return jobs


def our_pictures(result: Result, flip: bool = False) -> list[Picture]:
    """texopt's rendering of all views, every pixel the mean over its square; `flip` turns textures upside down."""
    fragments = Scene(result.mesh).rasterize(cameras(), SIZE * SUPERSAMPLE)
    images = result.images
    if flip:
        images = images.flip(1) if isinstance(images, Tensor) else [image.flip(1) for image in images]
    return shrunk(look_up(images, fragments), fragments.mask)


def our_lit_pictures(result: Result, light: Light, roughness: float, metallic: float) -> list[Picture]:
    """As our_pictures, under a light that is the same for all views."""
    fragments = Scene(result.mesh).rasterize(cameras(), SIZE * SUPERSAMPLE)
    there = fragments.mask.nonzero().unbind(1)
    colors = look_up(result.images, fragments).permute(0, 2, 3, 1)
    rows = (values[there] for values in (to_linear(colors), fragments.normal, fragments.view_direction))
    seen = to_srgb(shade(*rows, roughness, metallic, light.of_pixels(torch.zeros_like(there[0]))))
    return shrunk(colors.index_put(there, seen).permute(0, 3, 1, 2), fragments.mask)


def pictures_on(background: tuple[int, int, int], images: list[Image.Image]) -> list[Picture]:
    """Screenshots of SUPERSAMPLE times the size, of an object before a colour that it does not have."""
    values = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return shrunk(values.permute(0, 3, 1, 2) / 255, (values != torch.tensor(background)).any(-1))


def shrunk(colors: Tensor, mask: Tensor) -> list[Picture]:
    """colors [B,3,h,w] in [0,1], mask bool [B,h,w], of SUPERSAMPLE times the size."""
    rgb = (avg_pool2d(colors, SUPERSAMPLE) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    inside = avg_pool2d(mask.float(), SUPERSAMPLE).numpy() == 1
    return [Picture(*both) for both in zip(rgb, inside, strict=True)]


def overlap(a: Picture, b: Picture) -> float:
    """Intersection over union of where the object is."""
    return float((a.mask & b.mask).sum() / max((a.mask | b.mask).sum(), 1))


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal to noise ratio in dB over the pixels where both have the object."""
    both = a.mask & b.mask
    error = (a.rgb[both].astype(np.float64) - b.rgb[both]) / 255
    return float(-10 * np.log10(max((error**2).mean(), 1e-12)))


def check(theirs: list[Picture], ours: list[Picture], flipped: list[Picture], least: float, folder: Path) -> None:
    """Their pictures are ours, to `least` dB; with the texture upside down they would not be, by far.

    Where they are not, the folder has them side by side.
    """
    try:
        for a, b, wrong in zip(theirs, ours, flipped, strict=True):
            assert overlap(a, b) > 0.99
            assert psnr(a, b) > least
            assert psnr(a, wrong) < least - 10
    except AssertionError:
        for index, both in enumerate(zip(theirs, ours, strict=True)):
            sheet = np.concatenate([np.dstack([p.rgb, p.mask * np.uint8(255)]) for p in both], 1)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet).save(folder / f"{index}_theirs_ours.png")
        raise
