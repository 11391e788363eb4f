"""Photographs of a mesh with known texture, the transforms.json of their cameras, images with an EXIF orientation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from texopt import Mesh
from texopt.objectives.photo_light import under
from texopt.render.cameras import Cameras, look_at, perspective, sphere_points
from texopt.render.look_up import look_up
from texopt.render.scene import Scene

SUPERSAMPLE = 4
FOV_Y = 40.0
BEHIND = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1)


def around(count: int, distance: float = 3.4) -> Cameras:
    """Cameras all around the unit sphere, looking a little beside its centre."""
    eye = sphere_points(count) * distance
    target = 0.1 * torch.sin(torch.arange(3 * count, dtype=torch.float64)).reshape(count, 3)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand_as(eye)
    return Cameras(look_at(eye, target, up), torch.eye(4).repeat(count, 1, 1))


def photograph(
    mesh: Mesh, folder: Path, cameras: Cameras, size: tuple[int, int], gains: np.ndarray | None = None,
    name: str = "transforms.json", light: Tensor | None = None,
) -> Path:  # fmt: skip
    """Write 0.png, 1.png, ... of (height, width) pixels, and the json, whose path is returned.

    gains: [N,3], what colours of each photograph are multiplied with. light: an environment [9,3] that all
        are taken in.
    """
    height, width = size
    ones = torch.ones(1, dtype=torch.float64)
    center, radius = mesh.normalization(optimized=True)
    frames: list[dict[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for index, view in enumerate(cameras.view):
        shot = Cameras(view[None], perspective(FOV_Y * ones, width / height, 1.5 * ones, 6 * ones))
        fragments = Scene(mesh, optimized=True).rasterize(shot, height * SUPERSAMPLE, width * SUPERSAMPLE)
        colors = look_up(mesh.originals(), fragments)
        if light is not None:
            normal, eye = (each.permute(0, 3, 1, 2) for each in (fragments.normal, fragments.view_direction))
            colors = under(light, colors, normal, eye)
        if gains is not None:
            colors = colors * torch.from_numpy(gains[index]).float().reshape(1, 3, 1, 1)
        picture = avg_pool2d(torch.where(fragments.mask[:, None], colors, BEHIND), SUPERSAMPLE)[0].clamp(0, 1)
        Image.fromarray((picture.permute(1, 2, 0) * 255).round().byte().numpy()).save(folder / f"{index}.png")
        camera_to_world = np.linalg.inv(view.numpy())
        camera_to_world[:3, 3] = camera_to_world[:3, 3] * radius + center
        frames.append({"file_path": f"./{index}", "transform_matrix": camera_to_world.tolist()})
    focal = height / 2 / math.tan(math.radians(FOV_Y) / 2)
    return write_json(folder / name, frames, fl_x=focal, w=width, h=height)


def oriented(path: Path, pixels: np.ndarray, orientation: int) -> None:
    """Write an image with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def write_json(path: Path, frames: Sequence[dict[str, Any]], **common: Any) -> Path:
    path.write_text(json.dumps(common | {"frames": list(frames)}))
    return path


def write_obj(mesh: Mesh, path: Path) -> Path:
    """The mesh without material or texture."""
    corners = zip(mesh.faces + 1, mesh.face_uvs + 1, strict=True)
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [f"vt {u} {v}" for u, v in mesh.uvs]
    lines += ["f " + " ".join(f"{v}/{t}" for v, t in zip(*corner, strict=True)) for corner in corners]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
