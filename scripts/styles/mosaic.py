"""Mosaic: centroidal Voronoi cells under a square metric that turns with a direction field.

After Hausner, "Simulating decorative mosaics", 2001.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from styles.common import HEIGHT, WIDTH, hex_colours, noise, smoothstep, stream_function, to_image


def assign_tiles(
    centres: np.ndarray, theta: np.ndarray, aspect: np.ndarray, pixels: np.ndarray, near: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest tile of every pixel under the turned square metric; also that distance and the runner-up's."""
    _, index = cKDTree(centres).query(pixels, k=near)
    delta = pixels[:, None, :] - centres[index]
    cos, sin = np.cos(theta[index]), np.sin(theta[index])
    along = np.abs(delta[..., 0] * cos + delta[..., 1] * sin) / aspect[index]
    across = np.abs(-delta[..., 0] * sin + delta[..., 1] * cos) * aspect[index]
    # A high power of the p-norm: nearly a square, with corners that stay a little round.
    dist = (along**6 + across**6) ** (1.0 / 6.0)
    order = np.argsort(dist, axis=1)[:, :2]
    best = np.take_along_axis(dist, order, axis=1)
    return np.take_along_axis(index, order[:, :1], axis=1)[:, 0], best[:, 0], best[:, 1]


def make_mosaic(seed: int = 11, cell: float = 12.0) -> Image.Image:
    """Glass and gold tesserae, laid in courses along the flow, in warm grey grout."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH)
    psi = stream_function(rng, shape, 10, 110.0)
    gy, gx = np.gradient(ndimage.gaussian_filter(psi, 7.0))
    flow = np.arctan2(-gx, gy)
    rows, cols = int(HEIGHT / cell) + 1, int(WIDTH / cell) + 1
    grid = np.stack(np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5), axis=-1).reshape(-1, 2) * cell
    centres = grid + rng.uniform(-0.3, 0.3, grid.shape) * cell
    aspect = rng.uniform(0.96, 1.1, len(centres))
    y, x = np.mgrid[0:HEIGHT:2, 0:WIDTH:2]
    coarse = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)

    def direction(points: np.ndarray) -> np.ndarray:
        row = np.clip(points[:, 1], 0, HEIGHT - 1).astype(int)
        return flow[row, np.clip(points[:, 0], 0, WIDTH - 1).astype(int)]

    for _ in range(24):  # Lloyd's relaxation
        owner, _, _ = assign_tiles(centres, direction(centres), aspect, coarse, 6)
        count = np.bincount(owner, minlength=len(centres))
        total = np.stack([np.bincount(owner, coarse[:, a], len(centres)) for a in (0, 1)], axis=1)
        centres = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], centres)
    theta = direction(centres) + 0.06 * rng.standard_normal(len(centres))

    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    owner, first, second = assign_tiles(centres, theta, aspect, pixels, 8)
    edge = np.minimum((second - first) * 0.5, 0.62 * cell - first).reshape(shape)
    owner = owner.reshape(shape)

    # Colour of a tile: ornament bands along the flow, with gold between them.
    row = np.clip(centres[:, 1], 0, HEIGHT - 1).astype(int)
    col = np.clip(centres[:, 0], 0, WIDTH - 1).astype(int)
    phase = psi / 92.0 + 0.1 * noise(rng, shape, 80.0)
    stop = phase[row, col] % 1.0
    families = (
        (0.26, hex_colours("c8962e", "e0b545", "b57f22", "f0d27a", "9c6a1c")),  # gold
        (0.33, hex_colours("efe3c8", "e2d3b0", "f6eedb")),  # ivory
        (0.56, hex_colours("16307a", "20469c", "0f2258", "2c63b8", "1a3a8c")),  # lapis
        (0.66, hex_colours("2f8f86", "4fb0a0", "1f6f70")),  # turquoise
        (0.72, hex_colours("efe3c8", "e2d3b0", "f6eedb")),
        (0.90, hex_colours("9c2a1f", "b8402a", "7c1c1a", "cc5a34")),  # red
        (1.01, hex_colours("2e5e34", "447a3c", "234a2c")),  # green
    )
    colours, low = np.zeros((len(centres), 3)), 0.0
    for high, choices in families:
        chosen = (stop >= low) & (stop < high)
        colours[chosen] = choices[rng.integers(0, len(choices), int(chosen.sum()))]
        low = high
    stray = rng.random(len(centres)) < 0.05
    colours[stray] = families[0][1][rng.integers(0, 5, int(stray.sum()))]
    colours *= rng.normal(1.0, 0.09, (len(centres), 1))
    colours += rng.normal(0.0, 6.0, colours.shape)

    tilt = rng.normal(0.0, 1.0, (len(centres), 2))  # every tessera sits a little askew in the mortar
    offset = (np.stack([x, y], axis=-1) - centres[owner]) / cell
    shade = 1.0 + 0.11 * tilt[owner].sum(axis=-1) * 0.7 + 0.14 * (tilt[owner] * offset).sum(axis=-1)
    shade += 0.03 * noise(rng, shape, 1.2)
    tile = colours[owner] * shade[..., None]
    inside = smoothstep(0.7, 1.9, edge)
    ey, ex = np.gradient(ndimage.gaussian_filter(np.clip(edge, 0.0, 3.2), 0.7))
    bevel = (ex + ey)[..., None] * (edge < 4.5)[..., None]
    tile = tile * (1.0 + 0.22 * bevel) + 24.0 * np.clip(bevel, 0, 1)
    grout = np.array([92.0, 82.0, 72.0]) * (1.0 + 0.08 * noise(rng, shape, 1.0))[..., None]
    return to_image(grout * (1.0 - inside[..., None]) + tile * inside[..., None])
