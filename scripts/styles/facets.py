"""Facets: angular planes in a few earthen colours, each shaded from one of its edges and drawn with thin lines.

The planes are convex polygons as intersections of half planes. What makes them read as leaning is the early cubists'
shading: every plane has its own light, from dark at one edge to light across it, whatever the planes beside it do.
Brushwork is noise that is long along that edge.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from styles.common import HEIGHT, WIDTH, hex_colours, noise, on_ramp, scatter, smoothstep, to_image

RAMPS = (
    hex_colours("2c1a0c", "94662c", "d3a659", "f8eccb"),  # ochre
    hex_colours("151d27", "4f6677", "98aeb8", "f1f3ee"),  # grey-blue
    hex_colours("120c0a", "47301f", "8c694c", "e3ccab"),  # umber
    hex_colours("45413b", "a89e8b", "ece3d1", "fffcf3"),  # white
)
SHARES = (0.31, 0.29, 0.19, 0.21)
LEANS = (1.35, 1.35, 0.72, -0.62, -1.1)  # the directions of the planes: steep ones, and diagonals
INK = hex_colours("1d1512")[0]


def corners_of(rng: np.random.Generator, radius: float, lean: float) -> np.ndarray:
    """Corners of a convex polygon around 0, clockwise on the screen: slender, with four or three edges."""
    slim, skew, narrow = rng.uniform(0.45, 0.8), rng.uniform(-0.35, 0.35), rng.uniform(0.45, 1.0)
    corners = np.array([(-1.0, -1.0), (1.0, -narrow), (1.0, narrow), (-1.0, 1.0)]) * (0.8, 0.8 * slim)
    corners[:, 0] += skew * corners[:, 1] / slim + rng.uniform(-0.12, 0.12, 4)
    if rng.random() < 0.25:
        corners = np.delete(corners, int(rng.integers(0, 4)), axis=0)
    turn = lean + float(rng.choice([0.0, 0.0, np.pi])) + rng.normal(0.0, 0.1)
    cos, sin = np.cos(turn), np.sin(turn)
    return radius * (corners - corners.mean(axis=0)) @ np.array([[cos, sin], [-sin, cos]])


def side_distances(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distances to the lines through a polygon's edges, negative inside: (edges, height, width)."""
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    return np.stack([(x - a[0]) * n[0] + (y - a[1]) * n[1] for a, n in zip(corners, normals, strict=True)])


def along_edge(brush: np.ndarray, x: np.ndarray, y: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The tiling noise, turned so that its long direction lies along an edge."""
    cos, sin = edge / np.linalg.norm(edge)
    place = np.stack([-x * sin + y * cos, x * cos + y * sin])
    return ndimage.map_coordinates(brush, place % np.array(brush.shape)[:, None, None], order=1, mode="grid-wrap")


def draw_edges(
    rng: np.random.Generator, colour: np.ndarray, corners: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Thin dark lines along most edges, which run on a little beyond the corners."""
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if rng.random() < 0.14:
            continue
        along = end - start
        first, last = rng.uniform(-0.02, 0.0), 1.0 + float(rng.choice([0.0, 0.0, 0.2]))
        share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), first, last)
        away = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        width = rng.uniform(1.3, 2.6) * (1.15 - 0.5 * share)
        cover = 0.95 * np.clip(0.5 * width + 0.5 - away, 0.0, 1.0)[..., None]
        colour = colour * (1.0 - cover) + INK * cover
    return colour


def shade(
    rng: np.random.Generator, ramp: np.ndarray, fall: np.ndarray, depth: np.ndarray, strokes: np.ndarray
) -> np.ndarray:
    """A plane's colours: dark at its leading edge, light where the fall (0 to 1) ends; sometimes hatched."""
    low, high = rng.uniform(0.02, 0.14), rng.uniform(0.92, 1.0)
    tone = low + (high - low) * fall ** rng.uniform(0.75, 1.1) + 0.03 * strokes
    colour = on_ramp(ramp, np.clip(tone, 0.0, 1.0))
    if rng.random() < 0.1:
        lines = np.abs((depth / rng.uniform(7.0, 10.0)) % 1.0 - 0.5) * 2.0
        colour = colour * (1.0 - 0.5 * smoothstep(0.66, 0.86, lines))[..., None]
    return colour


def paint_plane(
    rng: np.random.Generator, canvas: np.ndarray, brush: np.ndarray, centre: np.ndarray, radius: float, kind: int,
    lean: float,
) -> None:  # fmt: skip
    """One plane: the dark beyond one of its edges, its shading with brushwork, and its lines."""
    reach = 1.5 * radius + 24.0
    left, top = (max(0, int(c - reach)) for c in centre)
    part = canvas[top : max(0, int(centre[1] + reach)), left : max(0, int(centre[0] + reach))]
    if part.size == 0:
        return
    y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]].astype(np.float64)
    corners = corners_of(rng, radius, lean) + centre
    sides = side_distances(corners, x, y)
    distance = sides.max(axis=0)
    lead = int(rng.integers(0, len(corners)))  # the edge that the shading starts from
    edge = corners[(lead + 1) % len(corners)] - corners[lead]

    # Beyond another edge what lies below turns dark, so that the plane stands off from it.
    far = (lead + len(corners) // 2) % len(corners)
    others = np.delete(sides, far, axis=0).max(axis=0)
    width = 0.32 * radius + 6.0
    dark = np.clip(1.0 - sides[far] / width, 0.0, 1.0) ** 1.5 * np.clip(0.5 - others, 0.0, 1.0)
    below = part * (1.0 - 0.55 * dark)[..., None]

    strokes = along_edge(brush, x, y, edge)
    depth = -sides[lead]
    fall = np.clip(depth / max(1.0, 0.85 * float(depth[distance < 0.5].max(initial=1.0))), 0.0, 1.0)
    plane = shade(rng, RAMPS[kind], fall, depth, strokes)
    opacity = 0.72 if rng.random() < 0.3 else 1.0  # through some, the planes below are seen
    cover = opacity * np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    part[:] = draw_edges(rng, below * (1.0 - cover) + plane * cover, corners, x, y)


def draw_lines(rng: np.random.Generator, canvas: np.ndarray, sway: np.ndarray) -> None:
    """Long thin lines across several planes, in the directions of these."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    for middle in scatter(rng, np.full(22, 60.0), 0.0):
        turn = sway[int(middle[1]), int(middle[0])] + float(rng.choice(LEANS))
        along = (x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
        across = (y - middle[1]) * np.cos(turn) - (x - middle[0]) * np.sin(turn)
        half = rng.uniform(80.0, 190.0)
        width = rng.uniform(1.2, 2.2) * (1.0 - 0.3 * along / half)
        cover = np.clip(0.5 * width + 0.5 - np.abs(across), 0.0, 1.0) * (np.abs(along) < half)
        canvas += (INK - canvas) * 0.9 * cover[..., None]


def make_facets(seed: int = 3) -> Image.Image:
    """Leaning planes of ochre, grey-blue, umber and white, large ones below and small ones between them."""
    rng = np.random.default_rng(seed)
    brush = noise(rng, (512, 512), (1.1, 5.0)) + 0.35 * noise(rng, (512, 512), (3.0, 24.0))
    canvas = np.zeros((HEIGHT, WIDTH, 3)) + RAMPS[2][1]
    sway = 0.3 * noise(rng, (HEIGHT, WIDTH), 150.0)  # planes that are near lean alike
    groups = ((105, 112.0, 148.0, 60.0), (60, 72.0, 100.0, 20.0), (56, 38.0, 58.0, 0.0))
    radii = [rng.uniform(low, high, count) for count, low, high, _ in groups]
    centres = np.concatenate([scatter(rng, r, group[3], 0.0) for r, group in zip(radii, groups, strict=True)])
    sizes = np.concatenate(radii)
    for index in np.argsort(-sizes + rng.normal(0.0, 34.0, len(sizes))):  # large ones first, but not strictly
        col, row = np.clip(centres[index], 0, (WIDTH - 1, HEIGHT - 1)).astype(int)
        lean = sway[row, col] + float(rng.choice(LEANS))
        kind = int(rng.choice(len(RAMPS), p=SHARES))
        paint_plane(rng, canvas, brush, centres[index], float(sizes[index]), kind, lean)
    draw_lines(rng, canvas, sway)
    weave = noise(rng, (HEIGHT, WIDTH), (0.6, 1.4)) + noise(rng, (HEIGHT, WIDTH), (1.4, 0.6))
    return to_image(canvas * (1.0 + 0.014 * weave)[..., None])
