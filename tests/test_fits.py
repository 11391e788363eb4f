"""What the operations are for: textures, poses and shapes found by gradient descent through drawing.

The methods are those of nvdiffrast's earth, pose and cube samples, which come with Laine et al., "Modular Primitives
for High-Performance Differentiable Rendering", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from conftest import MESHES, make_cube
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize
from torch.nn.functional import interpolate as resize

import texopt.raster as dr
from texopt import load_mesh, look_at, perspective, sample_sphere
from texopt.render.uv_raster import covered

pytestmark = pytest.mark.slow

CONTEXT = dr.RasterizeContext()

CUBE = make_cube()
CORNERS, CUBE_TRI = torch.from_numpy(CUBE.vertices).float(), torch.from_numpy(CUBE.faces)
FACE_CORNERS = torch.from_numpy(CUBE.face_uvs)  # [12,3], into four corners for each of the six sides
SIDE_COLORS = torch.tensor(
    [[0.9, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.3, 0.9], [0.9, 0.8, 0.2], [0.8, 0.2, 0.8], [0.2, 0.8, 0.8]]
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def descend(loss: Callable[[int], Tensor], parameters: list[Tensor], steps: int, rate: float, end: float) -> None:
    """Adam, the learning rate of which falls exponentially from `rate` to `end`."""
    optimizer = torch.optim.Adam([x.requires_grad_() for x in parameters], rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (end / rate) ** (step / steps))
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
        schedule.step()
    for x in parameters:
        x.requires_grad_(False)


# A texture.


def detailed_texture(size: int, generator: torch.Generator) -> Tensor:
    """[1,size,size,3] in [0,1]: clouds of every scale, discs, and lines one to three texels wide."""
    image, side = torch.full((1, 3, size, size), 0.5), 4
    while side <= size:
        noise = torch.rand(1, 3, side, side, generator=generator) - 0.5
        image += side**-0.5 * resize(noise, size=size, mode="bicubic")
        side *= 2
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    for number in range(120):
        color = torch.rand(3, 1, generator=generator)
        centre_x, centre_y, turn, extent = torch.rand(4, generator=generator).tolist()
        right, down = x - centre_x * size, y - centre_y * size
        disc = right.hypot(down) < 2 + extent * size / 16
        line = (right * math.cos(math.pi * turn) + down * math.sin(math.pi * turn)).abs() < 0.5 + extent
        image[0, :, line if number % 2 else disc] = color
    return image.clamp(0, 1).permute(0, 2, 3, 1).contiguous()


def test_a_texture_is_found_from_views_near_and_far_and_needs_mipmaps() -> None:
    """A pixel spans from a fifth of a texel to four texels. What the views are compared with is drawn nine
    times as finely. Without mipmaps distant views pull texels towards colours that belong to their neighbours.
    """
    steps, side, finer, size = 350, 192, 3, 256
    mesh, generator = load_mesh(MESHES / "creature.obj"), seeded(0)
    vertices, tri = mesh.unit_vertices().double(), torch.from_numpy(mesh.faces)
    uvs, uv_tri = torch.from_numpy(mesh.uvs).float()[None], torch.from_numpy(mesh.face_uvs)
    views = sample_sphere(distance=(0.25, 4.0), roll=(-180.0, 180.0))
    truth = detailed_texture(size, generator)
    learnt = {mode: torch.full_like(truth, 0.5) for mode in ("linear", "linear-mipmap-linear")}

    def coordinates(pos: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
        rast, rast_db = dr.rasterize(CONTEXT, pos, tri, (resolution, resolution))
        return *dr.interpolate(uvs, rast, uv_tri, rast_db, diff_attrs="all"), rast[..., 3:] > 0

    def difference(step: int) -> Tensor:
        pos = views(generator, 1, step).project(vertices).float()
        uv, uv_da, mask = coordinates(pos, side * finer)
        fine = dr.texture(truth, uv, uv_da) * mask
        reference = avg_pool2d(fine.permute(0, 3, 1, 2), finer).permute(0, 2, 3, 1)
        uv, uv_da, mask = coordinates(pos, side)
        images = [dr.texture(tex, uv, uv_da, filter_mode=mode) * mask for mode, tex in learnt.items()]
        return torch.stack([(image - reference).square().sum() for image in images]).sum()

    descend(difference, list(learnt.values()), steps, 0.05, 0.0025)
    seen = covered(mesh.uvs, mesh.face_uvs, size, size).flip(0)  # in drawing row 0 is v = 0
    error = {mode: float((tex - truth)[0, seen].square().mean()) for mode, tex in learnt.items()}
    psnr = {mode: -10 * math.log10(value) for mode, value in error.items()}
    assert psnr["linear-mipmap-linear"] > 31
    assert psnr["linear"] < psnr["linear-mipmap-linear"] - 3


# Poses.


def rotations(quaternions: Tensor) -> Tensor:
    """Quaternions [B,4] of any length, real part first -> matrices [B,3,3]."""
    w, x, y, z = normalize(quaternions, dim=-1).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def degrees_between(a: Tensor, b: Tensor) -> Tensor:
    """Angles [B] between the rotations of quaternions [B,4]."""
    chord = (rotations(a.double()) - rotations(b.double())).flatten(1).norm(dim=1) / math.sqrt(8)
    return torch.rad2deg(2 * chord.clamp(max=1).asin())


def turned(quaternions: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Quaternions [B,4] that are the given ones turned by an angle, each around an axis of its own."""
    aside = torch.randn(quaternions.shape, generator=generator)
    aside = normalize(aside - (aside * quaternions).sum(-1, keepdim=True) * quaternions, dim=-1)
    half = math.radians(degrees) / 2
    return math.cos(half) * quaternions + math.sin(half) * aside


def in_view(points: Tensor) -> Tensor:
    """Points [B,V,3] -> clip space, of a camera in front of the origin that sees 4.3 units there."""
    eye, ones = torch.tensor([[0.0, 0.0, 8.0]]), torch.ones(1)
    view = look_at(eye, torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]]))
    matrix = (perspective(30 * ones, 1.0, ones, 20 * ones) @ view)[0]
    return torch.cat([points, torch.ones_like(points[..., :1])], -1) @ matrix.T


def draw(points: Tensor, tri: Tensor, colors: Tensor, color_tri: Tensor, side: int, antialiased: bool = True) -> Tensor:
    """Images [B,side,side,3] of points [B,V,3] with colours [N,3] that have an indexing of their own."""
    pos = in_view(points).contiguous()
    rast, _ = dr.rasterize(CONTEXT, pos, tri, (side, side))
    image, _ = dr.interpolate(colors[None], rast, color_tri)
    return dr.antialias(image, rast, pos, tri) if antialiased else image


@pytest.mark.parametrize("sides_apart", [False, True])
def test_the_pose_of_a_cube_with_coloured_sides_is_found(sides_apart: bool) -> None:
    """From 30 degrees off, with noise that fades. Where sides share no vertices, edges between them guide it too."""
    generator, count, steps = seeded(0), 32, 200
    points, tri = CORNERS, CUBE_TRI
    if sides_apart:
        points, tri = torch.empty(24, 3), FACE_CORNERS
        points[FACE_CORNERS.long()] = CORNERS[CUBE_TRI.long()]

    def images(pose: Tensor) -> Tensor:
        return draw(points @ rotations(pose).mT, tri, SIDE_COLORS, FACE_CORNERS // 4, 64)

    target = normalize(torch.randn(count, 4, generator=generator), dim=-1)
    reference, pose = images(target), turned(target, 30.0, generator)
    torch.testing.assert_close(degrees_between(pose, target), torch.full((count,), 30.0).double(), rtol=0, atol=1e-3)

    def difference(step: int) -> Tensor:
        noise = 0.05 * (1 - step / steps) ** 2 * torch.randn(count, 4, generator=generator)
        return (images(pose + noise) - reference).square().mean((1, 2, 3)).sum()

    descend(difference, [pose], steps, 0.05, 0.001)
    found = degrees_between(pose, target) < 0.5
    assert found.sum() >= 0.9 * count  # others have come to rest where they look alike


@pytest.mark.parametrize("antialiased", [True, False])
def test_silhouettes_alone_say_where_a_shape_is_if_they_are_antialiased(antialiased: bool) -> None:
    """A lopsided tetrahedron of one colour, moved by a fifth of its size and a third too large or too small.

    Without antialias no pixel depends on where it is, and nothing moves at all.
    """
    generator, count, steps = seeded(0), 16, 150
    points = torch.tensor([[-1.0, -1.0, -0.8], [1.4, -0.7, -0.5], [-0.5, 1.2, -0.3], [0.2, 0.1, 1.3]])
    points = points @ rotations(torch.randn(count, 4, generator=generator)).mT
    tri = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], dtype=torch.int32)
    angle, coin = torch.rand(2, count, generator=generator)
    angle *= 2 * math.pi
    place = torch.stack([0.5 * angle.cos(), 0.5 * angle.sin(), (coin - 0.5).sign() * 0.3], 1)  # x, y, log of the size
    start = place.clone()

    def images(place: Tensor) -> Tensor:
        shift = torch.cat([place[:, :2], torch.zeros(count, 1)], 1)
        placed = place[:, 2:].exp()[..., None] * points + shift[:, None]
        return draw(placed, tri, torch.tensor([[0.9, 0.6, 0.2]]), torch.zeros_like(tri), 64, antialiased)

    reference = images(torch.zeros(count, 3))

    def difference(step: int) -> Tensor:
        noise = 0.02 * (1 - step / steps) ** 2 * torch.randn(count, 3, generator=generator)
        return (images(place + noise) - reference).square().mean((1, 2, 3)).sum()

    descend(difference, [place], steps, 0.05, 0.001)
    if antialiased:
        assert (place.abs() < 0.005).all()
    else:
        assert torch.equal(place, start)


# A shape.


@pytest.mark.parametrize("seed", range(4))
def test_a_cube_and_the_colours_of_its_corners_are_found_from_images_of_16_by_16_pixels(seed: int) -> None:
    """Every corner begins up to half an edge off along each axis; every corner of every side has a colour."""
    generator, size = seeded(seed), 2.0
    true_colors = torch.rand(24, 3, generator=generator)
    corners = CORNERS + (torch.rand(8, 3, generator=generator) - 0.5) * size
    colors = torch.rand(24, 3, generator=generator)

    def error() -> float:
        """Mean distance of the corners from where they should be, in edges of the cube."""
        return float((corners - CORNERS).norm(dim=1).mean()) / size

    def difference(step: int) -> Tensor:
        turn = rotations(torch.randn(8, 4, generator=generator)).mT
        reference = draw(CORNERS @ turn, CUBE_TRI, true_colors, FACE_CORNERS, 16)
        return (draw(corners @ turn, CUBE_TRI, colors, FACE_CORNERS, 16) - reference).square().mean()

    assert error() > 0.3
    descend(difference, [corners, colors], 500, 0.03, 0.001)
    assert error() < 0.003
    assert float((colors - true_colors).abs().mean()) < 0.01
