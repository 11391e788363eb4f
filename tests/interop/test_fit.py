"""Photographs that Blender takes of a mesh give its texture back, and predict photographs that were held out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import texopt
from interop.programs import ROOT
from interop.test_blender import run_blender
from texopt.evaluation.held_out import photo_psnr
from texopt.io.transforms_json import read_photos
from texopt.objectives import photographs
from texopt.render.cameras import look_at, sphere_points
from texopt.render.photo_cameras import PhotoCameras
from texopt.render.uv_raster import covered

SIZE, FOV, COUNT = 256, 35.0, 26
LEAST = 28.0  # dB
TO_BLENDER = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # from +Y up to +Z up


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with y.json, in the axes of the mesh, and z.json, in Blender's, of the same photographs."""
    mesh = texopt.load_mesh(ROOT / "meshes" / "creature.obj")
    center, radius = mesh.normalization()
    eye = 3.3 * sphere_points(COUNT)
    target = 0.15 * torch.sin(torch.arange(3.0 * COUNT, dtype=torch.float64)).reshape(COUNT, 3)
    places = torch.linalg.inv(look_at(eye, target, torch.eye(3, dtype=torch.float64)[1].expand_as(eye))).numpy()
    places[:, :3, 3] = places[:, :3, 3] * radius + center
    cameras = [
        {"camera_to_world": place.tolist(), "fov_y": FOV, "near": 0.1 * radius, "far": 9 * radius} for place in places
    ]
    folder = tmp_path_factory.mktemp("photographs")
    path = ROOT / "meshes" / "creature.obj"
    run_blender(folder, [{"name": "creature", "path": str(path), "size": SIZE, "cameras": cameras}])
    for name, axes in (("y", np.eye(4)), ("z", TO_BLENDER)):
        frames = [
            {"file_path": f"./creature/{index}", "transform_matrix": (axes @ place).tolist()}
            for index, place in enumerate(places)
        ]
        (folder / f"{name}.json").write_text(json.dumps({"camera_angle_x": math.radians(FOV), "frames": frames}))
    return folder


def test_both_axes_are_the_same_cameras(taken: Path) -> None:
    for y, z in zip(read_photos(taken / "y.json"), read_photos(taken / "z.json", up="z"), strict=True):
        np.testing.assert_allclose(y.camera_to_world, z.camera_to_world, atol=1e-12)


def test_the_texture_comes_back(taken: Path) -> None:
    mesh = texopt.load_mesh(ROOT / "meshes" / "creature.obj")
    photos = read_photos(taken / "y.json")
    used, held_out = photos.chosen(range(2, COUNT)), photos[:2]
    assert min(photo_psnr(mesh, mesh.originals(), photos, exposure=False)) > LEAST  # we draw as Blender does
    unknown = replace(mesh, maps=(replace(mesh.maps[0], original=np.full((1, 1, 3), 128, np.uint8)),))
    cameras = PhotoCameras(used, unknown)
    result = texopt.optimize(
        unknown,
        texopt.PyramidTexture(512, start=(0.5, 0.5, 0.5)),
        photographs(used),
        views=texopt.Views(cameras=cameras, size=cameras.size),
        steps=200,
        backbone="none",
        device="cpu",
    )
    assert min(photo_psnr(mesh, result.images, held_out)) > LEAST
    faces = covered(mesh.uvs, mesh.face_uvs, 512, 512)
    error = (result.image - mesh.maps[0].original_at(512, 512)).square()[:, faces].mean()
    assert -10 * math.log10(float(error)) > LEAST
