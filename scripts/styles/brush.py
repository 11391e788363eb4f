"""Brush: strokes that follow a flow field, in layers from coarse to fine.

After Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes", 1998; each stroke is drawn as a
bundle of bristles and lit as relief.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from styles.common import HEIGHT, WIDTH, hex_colours, noise, smoothstep, stream_function, to_image


def trace(angle: np.ndarray, start: np.ndarray, steps: int, step: float) -> np.ndarray:
    """Follow the direction field from every start point: (n, steps, 2) positions in pixels."""
    height, width = angle.shape
    path, point = [start], start.copy()
    for _ in range(steps - 1):
        col = np.clip(point[:, 0], 0, width - 1).astype(int)
        row = np.clip(point[:, 1], 0, height - 1).astype(int)
        theta = angle[row, col]
        point = point + step * np.stack([np.cos(theta), np.sin(theta)], axis=1)
        path.append(point)
    return np.stack(path, axis=1)


def make_brush(seed: int = 7) -> Image.Image:
    """Swirls of thick paint: deep blues, ochres and warm whites, in four layers of strokes."""
    rng = np.random.default_rng(seed)
    shape, scale = (HEIGHT, WIDTH), 2
    psi = stream_function(rng, shape, 14, 88.0)
    gy, gx = np.gradient(ndimage.gaussian_filter(psi, 3.0))
    angle = np.arctan2(-gx, gy) + 0.12 * noise(rng, shape, 30.0)
    palette = hex_colours(
        "0d1b4c", "16327a", "1f4f9e", "3f7fbf", "8fb9cf", "f4ead0", "f2c84b", "d9982b", "a8641f", "5c6b3a",
        "2f6f6d", "1b4a86", "12235e",
    )  # fmt: skip
    band = psi / 58.0 + 0.3 * noise(rng, shape, 70.0)  # colour runs along the flow, as psi does

    canvas = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), (18, 34, 86))
    relief = Image.new("L", canvas.size, 90)
    paint, bump = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    layers = ((700, 34.0, 16, 8.0, 0.05), (1500, 21.0, 15, 7.0, 0.09), (2300, 13.0, 14, 6.0, 0.14),
              (900, 7.0, 14, 5.0, 0.20))  # fmt: skip
    for count, breadth, steps, step, spread in layers:
        start = rng.random((count, 2)) * (WIDTH + 80, HEIGHT + 80) - 40
        lengths = rng.uniform(0.75, 1.35, count)
        paths = trace(angle, start, steps, step)
        rows = np.clip(start[:, 1], 0, HEIGHT - 1).astype(int)
        cols = np.clip(start[:, 0], 0, WIDTH - 1).astype(int)
        where = (band[rows, cols] + spread * rng.standard_normal(count)) % 1.0 * len(palette)
        low = where.astype(int) % len(palette)
        blend = smoothstep(0.3, 0.7, where % 1.0)[:, None]
        colours = palette[low] * (1 - blend) + palette[(low + 1) % len(palette)] * blend
        colours = colours * rng.normal(1.0, 0.10, (count, 1)) + rng.normal(0.0, 7.0, (count, 3))
        for path, colour, length in zip(paths, colours, lengths, strict=True):
            path = path[: max(4, int(len(path) * min(length, 1.0)))]
            tangent = np.gradient(path, axis=0)
            normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / step
            taper = np.clip(np.sin(np.linspace(0.35, 2.95, len(path))) * 1.5, 0.0, 1.0)[:, None]
            half = 0.5 * breadth * rng.uniform(0.75, 1.2)
            bristles = max(5, int(half * 1.5))
            for offset in rng.permutation(np.linspace(-1.0, 1.0, bristles)):
                first = int(rng.integers(0, 3))
                last = len(path) - int(rng.integers(0, 3))
                line = (path + normal * (offset * half) * taper)[first:last] * scale
                if len(line) < 2:
                    continue
                thick = max(2, round(2.3 * half / bristles * scale * float(rng.uniform(0.7, 1.3))))
                tone = colour * (1.0 + 0.10 * rng.standard_normal()) + 14.0 * offset
                points = [tuple(p) for p in line.tolist()]
                fill = tuple(np.clip(tone, 0, 255).astype(int).tolist())
                paint.line(points, fill=fill, width=thick, joint="curve")
                height = int(np.clip(110 + 60 * (1 - offset * offset) + 45 * rng.standard_normal(), 0, 255))
                bump.line(points, fill=height, width=thick, joint="curve")
    colour = np.asarray(canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), dtype=np.float64)
    depth = np.asarray(relief.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), dtype=np.float64)
    dy, dx = np.gradient(ndimage.gaussian_filter(depth, 0.7))
    light = np.clip(-(dx + dy) / 38.0, -1.0, 1.0)[..., None]  # impasto: lit from the upper left
    colour = colour * (1.0 + 0.30 * light) + 34.0 * np.clip(light, 0.0, 1.0) ** 2
    mean = colour.mean(axis=2, keepdims=True)
    return to_image(mean + 1.18 * (colour - mean))
