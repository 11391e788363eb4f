"""The light that photographs were taken under: unknown, and the same for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.render.photo_cameras import camera, inner, shown, whole
from texopt.render.photos import Photos, smaller
from texopt.render.scene import Scene
from texopt.render.shading import COSINE, harmonics, irradiance
from texopt.system.srgb import srgb_to_linear, to_linear, to_srgb

LARGEST = 256  # pixels a side of what is looked at of a photograph
PAIRS = 1 << 15  # of pixels, of all photographs together, of which about half are of the object
NEAREST = 2.0  # pixels between those of a pair
DARK, BRIGHT = 0.01, 0.97  # linear light, between which a pixel tells how it is lit
ROUNDS = 15
ALIKE = 0.3  # of the median difference, from which on two pixels are taken to be of different base colours
LEAST = 0.05  # of logarithms, that differences are taken to have at least
EVENNESS = 0.01  # weight of the variance of the light over directions, beside the squared differences
DARKEST = 0.05  # of the mean irradiance, that all surfaces have at least


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pixels of photographs, two and two, of the same photograph each.

    colors: float64 [2,P,3], linear RGB. weights: float64 [2,P,9], with which an environment gives what a white surface
    of the pixel's normal shows. seen: float64 [N,9], those of single pixels, from all over the object.
    """

    colors: np.ndarray
    weights: np.ndarray
    seen: np.ndarray


def under(environment: Tensor, image: Tensor, normal: Tensor, to_camera: Tensor) -> Tensor:
    """What surfaces without gloss show in the light of an environment, without shadows.

    Args:
        environment: float32 [9,3], as of texopt.Light.
        image: base colours [B,3,H,W] in [0,1], sRGB; differentiable.
        normal, to_camera: unit vectors [B,3,H,W] in the mesh's coordinates. A sheet is lit on the side that is seen.

    Returns:
        [B,3,H,W], sRGB; more than 1 where it is brighter than white.
    """
    rows = _seen_side(normal, to_camera, 1).permute(0, 2, 3, 1).reshape(-1, 3)
    shown_by_white = irradiance(environment.to(image).expand(len(rows), 9, 3), rows) / math.pi
    factor = shown_by_white.reshape(len(image), *image.shape[2:], 3).permute(0, 3, 1, 2)
    return to_srgb(to_linear(image) * factor, brightest=math.inf)


def _seen_side(normal: Tensor, to_camera: Tensor, dim: int) -> Tensor:
    """Normals of the sides that the camera sees. dim: along which x, y and z are."""
    return torch.where((normal * to_camera).sum(dim, keepdim=True) < 0, -normal, normal)


def find_light(photos: Photos, mesh: Mesh) -> Tensor:
    """The environment [9,3] that photographs of a mesh were taken in, float32, as of texopt.Light.

        light = texopt.find_light(photos, mesh)
        result = texopt.optimize(mesh, texture, texopt.photographs(photos, light=light), ...)

    Surfaces are taken to have no gloss and to stand in the same light everywhere: shadows that fall on them, and light
    between them, stay in the base colours. In every such light there are base colours that explain the photographs as
    well as in any other. What decides is:

    - Base colours do not follow normals: of two places, near or far, the likeliest difference is none. The environment
      is the one under which logarithms of base colours differ least between random pairs of pixels, by a robust
      estimate that leaves out pairs that differ much (Geman and McClure's, with weights found in turns; its threshold
      is of the median). Compare Land & McCann, "Lightness and Retinex Theory", 1971, and Barron & Malik, "Shape,
      Illumination, and Reflectance from Shading", 2015, where normals are unknown too.
    - The light is as even as the photographs let it be.
    - Its irradiance is white and π on the mean over what the photographs show, so that colour and brightness that all
      of it has in common are the surface's. No surface has less than a twentieth of that.

    The same photographs give the same light, bit for bit.

    Args:
        photos: as of read_photos; how they differ in exposure does not matter.
        mesh: what they show; the normals are its own, or its faces' where it has none.

    OptionError where all photographs of the mesh are black or overexposed.
    """
    return torch.from_numpy(estimated(_pairs(photos, mesh))).float()


def _pairs(photos: Photos, mesh: Mesh) -> Pairs:
    """Pixels at random, and others at all distances from them. OptionError where none tells how it is lit."""
    scene, generator = Scene(mesh, optimized=True), np.random.default_rng(0)
    colors, weights, seen = [], [], []
    for index in range(len(photos)):
        color, weight, counts = _looked_at(photos, index, mesh, scene)
        known = counts & ((color > DARK) & (color < BRIGHT)).all(-1)
        first, second = _two(known, -(-PAIRS // len(photos)), generator)
        colors.append(np.stack([color[first], color[second]]))
        weights.append(np.stack([weight[first], weight[second]]))
        seen.append(weight[counts][:: max(1, int(counts.sum()) * len(photos) // PAIRS)])
    found = Pairs(np.concatenate(colors, 1), np.concatenate(weights, 1), np.concatenate(seen))
    if not found.colors.size:
        raise OptionError(
            f"no light is found: what photographs show of {mesh.name} is black or overexposed; expose them otherwise"
        )
    return found


def _looked_at(photos: Photos, index: int, mesh: Mesh, scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a photograph, made smaller: linear RGB float64 [h,w,3]; the weights of Pairs, float64 [h,w,9]; and where it
    shows the object, bool [h,w]."""
    photo = photos[index]
    factor = -(-max(photo.width, photo.height) // LARGEST)
    pixels, small = smaller(photos.pixels(index), factor), photo.reduced(factor)
    fragments = scene.rasterize(camera(small, mesh, whole(small)), small.height, small.width)
    there = inner(shown(fragments, mesh)[:, None].float())[0, 0].numpy() > 0
    normal = _seen_side(fragments.normal, fragments.view_direction, 3)[0]
    weights = harmonics(normal.double()).numpy() * np.array(COSINE) / math.pi
    return srgb_to_linear(pixels[..., :3] / 255.0), weights, there & (pixels[..., 3] > 127)


def _two(
    known: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of pixels at random, and of others in any direction from them, at distances whose logarithms are
    evenly distributed. known: bool [h,w]; of `count` pairs, those are left of which both are."""
    rows, columns = known.nonzero()
    height, width = known.shape
    first = generator.integers(max(len(rows), 1), size=count if len(rows) else 0)
    distance = np.exp(generator.uniform(math.log(NEAREST), math.log(max(height, width, 3)), len(first)))
    angle = generator.uniform(0, 2 * math.pi, len(first))
    row = (rows[first] + distance * np.sin(angle)).round().astype(int)
    column = (columns[first] + distance * np.cos(angle)).round().astype(int)
    good = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    good[good] = known[row[good], column[good]]
    return (rows[first][good], columns[first][good]), (row[good], column[good])


def estimated(pairs: Pairs) -> np.ndarray:
    """The environment float64 [9,3] under which the pixels of pairs have the likeliest base colours, see find_light.

    Gauss and Newton's method for the differences of logarithms, in which the weights of pairs are those of the last
    round's differences; from even light on, and from all pairs alike.
    """
    mean = pairs.seen.mean(0)
    light = np.zeros((9, 3))
    light[0] = 1 / mean[0]
    (color, other), (weights, others) = pairs.colors, pairs.weights
    prior = EVENNESS * np.diag([0.0, *((share / math.pi) ** 2 / (4 * math.pi) for share in COSINE[1:])])
    trust, spread = np.ones(len(color)), 1.0
    for _ in range(ROUNDS):
        lit, beside = _product(weights, light), _product(others, light)
        apart = np.log(color / other) - np.log(lit / beside)
        trust = trust / trust.sum()
        for channel in range(3):
            slope = weights / lit[:, channel, None] - others / beside[:, channel, None]
            light[:, channel] = _least(slope, apart[:, channel], trust, spread**2 * prior, mean)
        light = _nowhere_dark(light, mean, np.concatenate([pairs.seen, weights, others]))
        apart = np.log(color / other) - np.log(_product(weights, light) / _product(others, light))
        squares = (apart**2).mean(-1)
        spread = max(ALIKE * math.sqrt(float(np.median(squares))), LEAST)
        trust = (1 + squares / spread**2) ** -2.0
    return light


def _product(weights: np.ndarray, light: np.ndarray) -> np.ndarray:
    """What white surfaces show [N,3]; not by BLAS, which gives other digits on another number of threads."""
    return np.asarray(np.einsum("ni,ic->nc", weights, light))


def _least(
    slope: np.ndarray, apart: np.ndarray, trust: np.ndarray, prior: np.ndarray, mean: np.ndarray
) -> np.ndarray:  # fmt: skip
    """The x [9] with mean · x = 1 that has the least Σ trust (slope · x - apart)² + x · prior x."""
    squares = np.einsum("ni,nj,n->ij", slope, slope, trust) + prior + 1e-12 * np.eye(9)
    free, along = np.linalg.solve(squares, np.stack([np.einsum("ni,n,n->i", slope, trust, apart), mean], 1)).T
    return np.asarray(free + along * (1 - mean @ free) / (mean @ along))


def _nowhere_dark(light: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Light [9,3] of which white surfaces show 1 on the mean, brought as near to even light as it takes for all of them
    to show DARKEST at least."""
    darkest = _product(weights, light).min(0)
    share = np.minimum(1.0, (1 - DARKEST) / np.maximum(1 - darkest, 1e-9))
    out = light * share
    out[0] += (1 - share) / mean[0]
    return np.asarray(out)
