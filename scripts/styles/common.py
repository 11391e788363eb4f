"""What the pictures share: their size, noise, colours, the flow, and where to put things."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

WIDTH, HEIGHT = 1024, 768


def noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]) -> np.ndarray:
    """Gaussian-filtered white noise with zero mean and unit deviation (it tiles: the filter wraps)."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def hex_colours(*codes: str) -> np.ndarray:
    """Colours from hex codes, as an (n, 3) float array in 0..255."""
    return np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in codes], dtype=np.float64)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Hermite step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def stream_function(rng: np.random.Generator, shape: tuple[int, int], eddies: int, size: float) -> np.ndarray:
    """A stream function whose level lines swirl around eddies that are spread evenly over the picture."""
    height, width = shape
    centres: list[np.ndarray] = []
    for _ in range(eddies):  # best-candidate sampling: the farthest of a few random points
        trial = rng.random((24, 2)) * (width, height)
        gap = [min((np.hypot(*(p - c)) for c in centres), default=1.0) for p in trial]
        centres.append(trial[int(np.argmax(gap))])
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    psi = 0.22 * size * noise(rng, shape, 0.5 * size) + 0.25 * y
    for index, (cx, cy) in enumerate(centres):
        scale = size * rng.uniform(0.7, 1.3)
        radius = np.hypot(x - cx, y - cy)
        psi += (1.0 if index % 2 else -1.0) * scale * np.exp(-radius / scale)
    return psi


def to_image(colour: np.ndarray) -> Image.Image:
    """An 8-bit picture from float colours in 0..255."""
    return Image.fromarray(np.clip(np.rint(colour), 0, 255).astype(np.uint8))


def scatter(rng: np.random.Generator, radii: np.ndarray, margin: float, near: float = 1.0) -> np.ndarray:
    """Centres for discs of these radii: each the roomiest of a few random points (best candidate: Mitchell, 1991)."""
    centres = np.zeros((0, 2))
    low, size = -margin, np.array([WIDTH, HEIGHT]) + 2.0 * margin
    for index, radius in enumerate(radii):
        trial = low + rng.random((200, 2)) * size
        apart = np.linalg.norm(trial[:, None] - centres[None], axis=2) - near * (radius + radii[:index])
        best = int(np.argmax(apart.min(axis=1, initial=np.inf))) if index else 0
        centres = np.vstack([centres, trial[best]])
    return centres


def on_ramp(ramp: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Colours of tones in 0..1, between the ramp's colours."""
    stops = np.linspace(0.0, 1.0, len(ramp))
    return np.stack([np.interp(tone, stops, ramp[:, channel]) for channel in range(3)], axis=-1)
