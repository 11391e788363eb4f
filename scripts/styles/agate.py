"""Agate: a polished slab, banded from the walls of its nodules inwards, with quartz at the rim and in the hollows.

An agate grows layer on layer from the wall of a cavity, so that its bands are level sets of the distance to the wall.
The walls are those of a multiplicatively weighted Voronoi diagram in a warped plane (its small cells become round
eyes), and the quartz is a Voronoi mosaic of leaning facets (Worley, "A cellular texture basis function", 1996).
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from styles.common import HEIGHT, WIDTH, hex_colours, noise, on_ramp, scatter, smoothstep, to_image

PAD = 96  # beyond the picture, so that walls outside of it bend the bands inside
SHAPE = (HEIGHT + 2 * PAD, WIDTH + 2 * PAD)
STEP = 0.25  # pixels of depth between two entries of a list of bands

SUITES = (  # colours that go together, from which a nodule's bands are chosen
    hex_colours("8c1d1f", "c8472a", "e9894a", "f6d9b4", "fbf1e2", "6d1420", "d9683a"),  # carnelian
    hex_colours("4b2a4f", "7d5480", "b79bbb", "e7dbe6", "f8f2f0", "a4324a", "d98f96"),  # amethyst and rose
    hex_colours("5b3217", "9a5f22", "d79b3a", "f3d58d", "fbf3df", "b5452a", "7a2a1c"),  # honey
    hex_colours("2e3f52", "5f7c92", "9db6c4", "dbe6e8", "f7f3ea", "b1502f", "7a4a3a"),  # blue chalcedony
)


def walls(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The nodule of every pixel, and the depth below its wall in pixels."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float64)
    x = x - PAD + 13.0 * noise(rng, SHAPE, 34.0) + 3.0 * noise(rng, SHAPE, 11.0)
    y = y - PAD + 13.0 * noise(rng, SHAPE, 34.0) + 3.0 * noise(rng, SHAPE, 11.0)
    sizes = np.concatenate([rng.uniform(150, 190, 11), rng.uniform(55, 90, 10), rng.uniform(30, 42, 10)])
    centres = scatter(rng, sizes, 60.0, 0.72)
    away = np.stack([np.hypot(x - cx, y - cy) / size for (cx, cy), size in zip(centres, sizes, strict=True)])
    owner = away.argmin(axis=0)
    wall = (ndimage.maximum_filter(owner, 3) != ndimage.minimum_filter(owner, 3)) | (away.min(axis=0) > 1.2)
    depth = ndimage.distance_transform_edt(~wall)
    deep = ndimage.gaussian_filter(depth, 5.0)
    return owner, depth + (deep - depth) * smoothstep(6.0, 24.0, depth)


def bands(rng: np.random.Generator, suite: np.ndarray, length: int) -> np.ndarray:
    """Colours by depth: groups of fine bands, and broad ones that change from edge to edge."""
    parts: list[np.ndarray] = []
    total, last = 0, -1
    while total < length:
        first = int((last + rng.integers(1, len(suite))) % len(suite)) if last >= 0 else int(rng.integers(len(suite)))
        second = int((first + rng.integers(1, len(suite))) % len(suite))
        if rng.random() < 0.6:  # fine bands, two colours in turn
            for turn in range(int(rng.integers(2, 6))):
                size = int(rng.uniform(2.2, 6.5) / STEP)
                tone = suite[second if turn % 2 else first] * rng.uniform(0.92, 1.05)
                parts.append(np.tile(tone, (size, 1)))
        else:
            size = int(rng.uniform(9.0, 22.0) / STEP)
            share = (np.linspace(0.0, 1.0, size) ** 1.5 * 0.55)[:, None]
            parts.append(suite[first] * (1.0 - share) + suite[second] * share)
        total = sum(len(part) for part in parts)
        last = first
    return ndimage.gaussian_filter1d(np.concatenate(parts)[:length], 0.55 / STEP, axis=0)


def fibres(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    """Noise that is smeared across the bands, as chalcedony's fibres stand on them (line integral convolution)."""
    gy, gx = np.gradient(ndimage.gaussian_filter(depth, 2.0))
    norm = np.hypot(gx, gy) + 1e-6
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float64)
    grain = noise(rng, SHAPE, 0.9)
    total = np.zeros(SHAPE)
    for step in np.arange(-8.0, 8.1, 2.0):
        total += ndimage.map_coordinates(grain, [y + step * gy / norm, x + step * gx / norm], order=1, mode="nearest")
    return total / total.std()


def crystals(
    rng: np.random.Generator, depth: np.ndarray, size: float, slim: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crystals that point inwards: light in 0..1, the depth at which each stands, and a random number of each."""
    count = int(SHAPE[0] * SHAPE[1] / size**2)
    seeds = rng.random((count, 2)) * (np.array(SHAPE) - 1.0)
    gy, gx = np.gradient(ndimage.gaussian_filter(depth, 5.0))
    rows, cols = seeds.astype(int).T
    turn = np.arctan2(gy[rows, cols], gx[rows, cols]) + 0.25 * rng.standard_normal(count)
    pixels = np.stack(np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]], axis=-1).reshape(-1, 2).astype(np.float64)
    _, index = cKDTree(seeds).query(pixels, k=7)
    dy, dx = np.moveaxis(pixels[:, None] - seeds[index], -1, 0) / size
    along = (dx * np.cos(turn[index]) + dy * np.sin(turn[index])) * slim
    across = (dy * np.cos(turn[index]) - dx * np.sin(turn[index])) / slim
    order = np.argsort(along**2 + across**2, axis=1)[:, :2]
    near = np.take_along_axis(np.hypot(along, across), order, axis=1)
    first = order[:, :1]
    owner = np.take_along_axis(index, first, axis=1)[:, 0]
    side = np.take_along_axis(across, first, axis=1)[:, 0] + rng.normal(0.0, 0.12, count)[owner]
    # Two facets meet on a crystal's axis; which of them is lit depends on where it points.
    lit = np.sin(turn - 0.8)[owner] * np.sign(side)
    light = 0.52 + 0.17 * lit + 0.14 * rng.standard_normal(count)[owner] + 0.1 * np.abs(side)
    light += 0.22 * smoothstep(0.22, 0.02, near[:, 1] - near[:, 0])
    return light.reshape(SHAPE), depth[rows, cols][owner].reshape(SHAPE), rng.random(count)[owner].reshape(SHAPE)


def lay_quartz(rng: np.random.Generator, colour: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Small clear crystals at the walls, and larger ones in the hollows, which turn violet inwards."""
    light, stand, _ = crystals(rng, depth, 8.0, 0.8)
    rim = on_ramp(hex_colours("6f6474", "b9adb6", "efe7e6", "ffffff"), light)
    cover = ndimage.gaussian_filter((stand < 7.5 + 3.0 * noise(rng, SHAPE, 60.0)).astype(np.float64), 0.5)
    colour = colour * (1.0 - 0.9 * cover[..., None]) + rim * 0.9 * cover[..., None]
    light, stand, chance = crystals(rng, depth, 15.0, 0.68)
    deep = smoothstep(96.0, 132.0, stand + 12.0 * (chance - 0.5))
    pale = on_ramp(hex_colours("6f6079", "b9a9c0", "ebe2e8", "ffffff"), light + 0.06)
    violet = on_ramp(hex_colours("1d0f2b", "4d2c6b", "9a78b8", "f0e6f6"), light)
    heart = pale * (1.0 - deep[..., None]) + violet * deep[..., None]
    heart *= 1.0 - 0.85 * smoothstep(124.0, 146.0, stand + 10.0 * (chance - 0.5))[..., None]  # the hollow is dark
    cover = smoothstep(-0.7, 0.7, depth + 2.0 * noise(rng, SHAPE, 9.0) - 94.0)[..., None]
    return colour * (1.0 - cover) + heart * cover


def lay_rock(rng: np.random.Generator, colour: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Dark green rock between the nodules, with moss in it."""
    moss = noise(rng, SHAPE, 1.6) + 0.8 * noise(rng, SHAPE, 7.0) + 0.8 * noise(rng, SHAPE, 0.9)
    rock = on_ramp(
        hex_colours("0d1f1a", "1c4234", "3d7257", "9db98a"), 0.34 + 0.12 * moss + 0.3 * smoothstep(1.9, 2.6, moss)
    )
    skin = smoothstep(3.6, 1.8, depth + 0.8 * noise(rng, SHAPE, 5.0))[..., None]
    return colour * (1.0 - skin) + rock * skin


def make_agate(seed: int = 17) -> Image.Image:
    """Carnelian, amethyst, honey and blue bands around many centres, in quartz and dark green rock."""
    rng = np.random.default_rng(seed)
    owner, depth = walls(rng)
    bent = depth + 1.3 * noise(rng, SHAPE, 16.0) + 0.35 * noise(rng, SHAPE, 4.0)
    colour = np.zeros((*SHAPE, 3))
    length = int(260 / STEP)
    order = rng.permutation(int(owner.max()) + 1) % len(SUITES)
    for index, suite in enumerate(order):
        here = owner == index
        table = bands(rng, SUITES[suite], length)
        colour[here] = on_ramp(table, np.clip(bent[here] / STEP / (length - 1), 0.0, 1.0))
    colour *= (1.0 + 0.03 * fibres(rng, depth) + 0.05 * noise(rng, SHAPE, 40.0))[..., None]
    colour = lay_rock(rng, lay_quartz(rng, colour, depth), depth)
    gloss = 1.0 + 0.035 * noise(rng, SHAPE, 110.0) + 0.014 * noise(rng, SHAPE, 0.8)
    return to_image((colour * gloss[..., None])[PAD:-PAD, PAD:-PAD])
