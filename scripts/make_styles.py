"""Make the three bundled style pictures (brush, mosaic, woodcut) from code alone.

All three are original pictures, drawn with fixed seeds; nothing is loaded. The ideas they use:
- brush: strokes that follow a flow field, in layers from coarse to fine (Hertzmann, "Painterly rendering
  with curved brush strokes of multiple sizes", 1998), each drawn as a bundle of bristles and lit as relief;
- mosaic: centroidal Voronoi cells under a square metric that turns with a direction field (Hausner,
  "Simulating decorative mosaics", 2001);
- woodcut: lines that are level sets of a distance-like field, their width carrying the tone (after
  Ostromoukhov, "Digital facial engraving", 1999).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree

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


# ---------------------------------------------------------------------------------------------- brush
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


# --------------------------------------------------------------------------------------------- mosaic
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


# -------------------------------------------------------------------------------------------- woodcut
def make_woodcut(seed: int = 23) -> Image.Image:
    """Ink on warm paper: overlapping hills and clouds, each engraved with its own family of lines."""
    rng = np.random.default_rng(seed)
    scale = 2
    shape = (HEIGHT * scale, WIDTH * scale)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64) / scale
    wobble = noise(rng, shape, 36.0) * 3.2 + noise(rng, shape, 9.0) * 0.5
    grain = noise(rng, shape, (2.0, 22.0))  # the plank's grain runs across the picture
    ink = np.zeros(shape)  # coverage of black, 0..1
    block = np.zeros(shape, dtype=np.int8)  # 0 paper, 1 vermilion, 2 indigo grey
    pitch_x, pitch_y = 132.0, 62.0
    last = -1
    for level in range(-1, int(HEIGHT / pitch_y) + 4):
        for step in rng.permutation(int(WIDTH / pitch_x) + 3):
            cx = (step - 1 + 0.5 * (level % 2)) * pitch_x + rng.uniform(-34, 34)
            cy = level * pitch_y + rng.uniform(-16, 16)
            radius = rng.uniform(70, 118)
            squash = rng.uniform(0.75, 1.2)
            lean = rng.uniform(-0.35, 0.35)
            kind = int((last + rng.integers(1, 4)) % 4)
            last = kind
            period, pick = rng.uniform(6.2, 8.6), rng.random()
            top, left = max(0, int((cy - 150) * scale)), max(0, int((cx - 170) * scale))
            box = (slice(top, max(0, int((cy + 150) * scale))), slice(left, max(0, int((cx + 170) * scale))))
            if ink[box].size == 0:
                continue
            bend, fibre = wobble[box], grain[box]
            dx, dy = (x[box] - cx) + lean * (y[box] - cy), (y[box] - cy) / squash
            dist = np.hypot(dx, dy) + bend * 0.9
            inside = dist < radius
            depth = np.clip((radius - dist) / radius, 0.0, 1.0)  # 0 at the rim, 1 in the middle
            if kind == 0:  # concentric arcs
                phase, tone = dist / period, 0.26 + 0.62 * depth
            elif kind == 1:  # rays from under the form
                turn = np.arctan2(dx, -(dy - 0.9 * radius))
                phase, tone = turn * (1.15 * radius / period) + 0.15 * bend, 0.2 + 0.75 * depth
            elif kind == 2:  # nested waves that bow with the rim
                phase = (dy + 0.0045 * dx * dx + 1.7 * bend) / period
                tone = 0.30 + 0.38 * (dx / radius + 0.6)
            else:  # slanted strokes, bent by the volume
                phase = (0.80 * dx + 0.60 * dy + 26.0 * depth * depth) / period + 0.1 * bend
                tone = 0.22 + 0.5 * (1.0 - depth) ** 1.5
            width = np.clip(tone, 0.12, 0.86) + 0.07 * fibre
            saw = np.abs(phase % 1.0 - 0.5) * 2.0  # 0 on the crest of a line, 1 between two
            soft = 1.3 / (period * scale)
            lines = 1.0 - smoothstep(-soft, soft, saw - width)
            rim = 1.0 - smoothstep(3.0, 4.0, radius - dist + 0.8 * fibre)
            gap = smoothstep(6.0, 7.0, radius - dist + 0.5 * fibre)  # a white line cut inside the rim
            ink[box] = np.where(inside, np.maximum(rim, lines * gap), ink[box])
            block[box] = np.where(inside, 1 if pick < 0.27 else 2 if pick < 0.55 else 0, block[box])
    speck = noise(rng, shape, 0.9) + 0.7 * grain
    ink *= 1.0 - smoothstep(2.5, 3.1, speck)  # where the ink did not take
    ink = np.maximum(ink, smoothstep(3.3, 3.7, noise(rng, shape, 1.1) + 0.5 * grain))  # chatter marks
    block = np.roll(block, (3, -4), axis=(0, 1))  # the colour blocks sit slightly off register
    flats = hex_colours("eedfc0", "d2472b", "7d9aa0")
    paper = flats[0] * (1.0 + 0.018 * noise(rng, shape, 1.6) + 0.02 * noise(rng, shape, 24.0))[..., None]
    press = (0.93 + 0.05 * np.clip(grain, -1.5, 1.2))[..., None]
    colour = paper
    for value in (1, 2):
        mask = ndimage.gaussian_filter((block == value).astype(np.float64), 0.8)[..., None] * press
        colour = colour * (1.0 - mask) + flats[value] * mask
    black = np.array([27.0, 22.0, 24.0])
    colour = colour * (1.0 - 0.96 * ink[..., None]) + black * 0.96 * ink[..., None]
    small = colour.reshape(HEIGHT, scale, WIDTH, scale, 3).mean(axis=(1, 3))
    return to_image(small)


def to_image(colour: np.ndarray) -> Image.Image:
    """An 8-bit picture from float colours in 0..255."""
    return Image.fromarray(np.clip(np.rint(colour), 0, 255).astype(np.uint8))


def main() -> None:
    """Write the style pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parent.parent / "meshes" / "styles"
    parser.add_argument("--out", type=Path, default=default, help="folder for the pictures")
    parser.add_argument("--only", choices=("brush", "mosaic", "woodcut"), help="make just this one")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in (("brush", make_brush), ("mosaic", make_mosaic), ("woodcut", make_woodcut)):
        if args.only in (None, name):
            path = args.out / f"{name}.jpg"
            make().save(path, quality=88, optimize=True)
            print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
