"""Shapes that are optimised: a cube becomes silhouettes, a surface is carved, a ball fits masks of photographs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from exhibits.room import MESHES, STYLES, sheet, texopt_command
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

import texopt
from texopt.mesh.crossings import crossing_faces
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.show.preview import framed
from texopt.system.images import to_image

Numbers = dict[str, float]
CREATURE, TEAPOT = MESHES / "creature.obj", MESHES / "teapot.obj"
VIEWS, SIZE = 8, 128


def grid_cube(cells: int = 20, side: float = 1.0) -> texopt.Mesh:
    """A cube of so many cells along an edge, its sides in a row in the texture."""
    steps = (np.arange(cells + 1) - cells / 2) * (side / cells)  # alike on both sides of 0, as sides have to meet
    u, v = (values.reshape(-1) for values in np.meshgrid(steps, steps, indexing="ij"))
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (part.reshape(-1) for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    vertices, faces, uvs = [], [], []
    for number in range(6):
        axis, sign = number % 3, 1 if number < 3 else -1
        corner = np.full((len(u), 3), sign * side / 2)
        corner[:, (axis + 1) % 3], corner[:, (axis + 2) % 3] = u, sign * v
        vertices.append(corner)
        faces.append(quads + number * len(u))
        uvs.append(np.stack([(number + 0.05 + 0.9 * (u / side + 0.5)) / 6, 0.05 + 0.9 * (v / side + 0.5)], 1))
    return texopt.Mesh("cube", np.concatenate(vertices), np.concatenate(faces), np.concatenate(uvs))


def ball(bands: int = 24) -> texopt.Mesh:
    """A coarse sphere of triangles, divided evenly."""
    cube = grid_cube(bands, 2.0)
    return replace(cube, name="ball", vertices=cube.vertices / np.linalg.norm(cube.vertices, axis=1, keepdims=True))


def grey(mesh: texopt.Mesh, azimuths: Sequence[float] = (30.0, 150.0), size: int = 320) -> list[Image.Image]:
    """A mesh without colours under a light from the side, by its faces' own normals where it has no others."""
    cameras = framed(mesh, list(azimuths), [15.0] * len(azimuths))
    fragments = Scene(mesh).rasterize(cameras, 2 * size)
    right, up, back = cameras.view[:, :3, :3].float().unbind(1)
    light = torch.nn.functional.normalize(0.5 * back + 0.7 * right + 0.5 * up, dim=1)
    shade = (fragments.normal * light[:, None, None]).sum(-1).clamp(min=0) * 0.85 + 0.1
    image = torch.where(fragments.mask, shade, 1.0)[:, None].expand(-1, 3, -1, -1)
    return [to_image(one) for one in avg_pool2d(image, 2)]


def smooth(mesh: texopt.Mesh) -> texopt.Mesh:
    """The mesh with a normal at every vertex."""
    return replace(mesh, normals=mesh.vertices, face_normals=mesh.faces).with_vertices(mesh.vertices)


def masks_of(mesh: texopt.Mesh, cameras: texopt.Cameras, size: int, frame: texopt.Mesh | None = None) -> Tensor:
    """How much of every pixel a mesh covers, seen as cameras see another one, by default itself: float32 [B,1,H,W]."""
    scene, (center, radius) = Scene(mesh), (frame or mesh).normalization()
    scene.vertices = torch.from_numpy((mesh.vertices - center) / radius).float()
    return avg_pool2d(scene.rasterize(cameras, 4 * size).mask[:, None].float(), 4)


def framed_as(cameras: texopt.Cameras, mesh: texopt.Mesh, frame: texopt.Mesh) -> texopt.Cameras:
    """Cameras of one mesh's unit sphere as they see another mesh, which runs put into a unit sphere of its own."""
    (center, radius), (own_center, own_radius) = frame.normalization(), mesh.normalization()
    place = torch.eye(4, dtype=torch.float64)
    place[:3, :3] *= own_radius / radius
    place[:3, 3] = torch.from_numpy((own_center - center) / radius)
    return replace(cameras, view=cameras.view.double() @ place)


def overlap(found: Tensor, wanted: Tensor) -> Tensor:
    """Intersection over union of masks bool [B,...]: [B]."""
    return (found & wanted).flatten(1).sum(1) / (found | wanted).flatten(1).sum(1)


def cube_to_silhouettes(out: Path) -> Numbers:
    """A cube that becomes what it is from eight sides: the creature's silhouettes."""
    goal, cube = texopt.load_mesh(CREATURE), grid_cube()
    cameras = replace(texopt.fixed_views(VIEWS), frame=torch.arange(VIEWS), frames=VIEWS)
    masks = masks_of(goal, cameras, SIZE)
    mesh = cube
    for smoothness, rate in ((6.0, 0.05), (3.0, 0.03), (3.0, 0.02), (3.0, 0.02)):  # each time without faces that cross
        views = texopt.Views(
            cameras=framed_as(cameras, mesh, cube), size=SIZE, per_step=4, background=texopt.backgrounds.plain(0.0)
        )
        result = texopt.optimize(
            mesh, texopt.PixelTexture(8), texopt.silhouettes(masks), steps=200, views=views, backbone="none",
            shape=texopt.Shape(mesh, bound=1.0, smoothness=smoothness), descent=texopt.Descent(learning_rate=rate),
        )  # fmt: skip
        mesh = result.mesh
    found = masks_of(mesh, cameras, SIZE, cube)[:, 0] > 0.5
    shares = overlap(found, masks[:, 0] > 0.5)
    both = torch.stack([found.float(), masks[:, 0], found.float()], 1)  # purple: too much, green: too little
    rows = [[to_image(one) for one in both[:4]], [*grey(smooth(cube), (30.0,)), *grey(smooth(mesh))]]
    sheet(rows, cell=240).save(out / "shape_cube.png")
    crossing = len(crossing_faces(mesh.vertices, mesh.faces))
    return {"least overlap": float(shares.min()), "mean overlap": float(shares.mean()), "faces that cross": crossing}


def photographs_of(mesh: texopt.Mesh, folder: Path, count: int = 16, size: int = 256) -> Path:
    """Photographs of a mesh from all around with opacity, and their transforms.json."""
    folder.mkdir(parents=True, exist_ok=True)
    center, radius = mesh.normalization(optimized=True)
    fov = 40.0
    cameras = texopt.fixed_views(count)
    place = torch.linalg.inv(cameras.view.double())
    place[:, :3, 3] *= 3.4 / place[:, :3, 3].norm(dim=1, keepdim=True)
    frames = []
    for index, to_world in enumerate(place):
        shot = texopt.Cameras(torch.linalg.inv(to_world)[None], texopt.perspective(fov, 1.0, 1.5, 6.0))
        fragments = Scene(mesh, optimized=True).rasterize(shot, 4 * size)
        image = torch.cat([look_up(mesh.originals(), fragments), torch.ones(1, 1, 4 * size, 4 * size)], 1)
        image = avg_pool2d(image * fragments.mask[:, None], 4)[0]
        image[:3] /= image[3:].clamp(min=1e-3)
        Image.fromarray((255 * image.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
        matrix = to_world.numpy().copy()
        matrix[:3, 3] = radius * matrix[:3, 3] + center
        frames.append({"file_path": f"./{index}", "transform_matrix": matrix.tolist()})
    focal = size / 2 / math.tan(math.radians(fov) / 2)
    path = folder / "transforms.json"
    path.write_text(json.dumps({"fl_x": focal, "w": size, "h": size, "frames": frames}))
    return path


def write_obj(mesh: texopt.Mesh, path: Path) -> Path:
    """The mesh without a material."""
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [f"vt {u} {v}" for u, v in mesh.uvs]
    lines += ["f " + " ".join(f"{corner}/{corner}" for corner in face) for face in (mesh.faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def ball_to_photographs(out: Path) -> Numbers:
    """A coarse ball as large as the teapot, which photographs' masks give its shape and colours."""
    folder, teapot = out / "work" / "shape_ball", texopt.load_mesh(TEAPOT)
    cameras = photographs_of(teapot, folder / "photographs")
    center, radius = teapot.normalization()
    start = ball()
    path = write_obj(replace(start, vertices=0.7 * radius * start.vertices + center), folder / "ball.obj")
    texopt_command(
        "fit", path, cameras, "--shape", 0.2, "--steps", 400, "--texture-size", 512, "--learning-rate", 0.05,
        "--views-per-step", 4, "--view-size", 256, "--out", folder / "fitted",
    )  # fmt: skip
    found = texopt.load_mesh(folder / "fitted" / "ball.obj")
    side = replace(texopt.fixed_views(VIEWS), frame=torch.arange(VIEWS), frames=VIEWS)
    pictures = [*grey(smooth(start), (30.0,)), *grey(smooth(found)), *grey(teapot, (30.0,))]
    sheet([pictures], cell=240).save(out / "shape_ball.png")
    share = overlap(masks_of(found, side, SIZE, teapot) > 0.5, masks_of(teapot, side, SIZE) > 0.5)
    crossing = len(crossing_faces(found.vertices, found.faces))
    return {"least overlap": float(share.min()), "mean overlap": float(share.mean()), "faces that cross": crossing}


def carved(out: Path, mesh: Path = CREATURE) -> Numbers:
    """The style of a woodcut, with its edges carved: without colours before and after, and with them."""
    folder = out / "work" / "shape_carved"
    texopt_command(
        "style", mesh, STYLES / "woodcut.jpg", "--shape", 0.02, "--texture-size", 512, "--view-size", 256,
        "--steps", 120, "--out", folder,
    )  # fmt: skip
    before, after = texopt.load_mesh(mesh), texopt.load_mesh(folder / mesh.name)
    sheet([[*grey(before), *grey(after)]], cell=320).save(out / "shape_carved.png")
    way = np.linalg.norm(after.vertices - before.vertices, axis=1) / (2 * before.normalization()[1])
    crossing = [len(crossing_faces(one.vertices, one.faces)) for one in (before, after)]
    return {"mean way in diameters": float(way.mean()), "most": float(way.max()), "faces that cross": crossing[1]}
