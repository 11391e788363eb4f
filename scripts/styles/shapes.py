"""Shapes: a hard-edged composition of discs, triangles, bars, arcs and lines on a tinted ground.

Every shape is a signed distance with coverage from it (Quilez, "2D distance functions"; convex shapes as intersections
of half planes). Motifs are spread as discs of many sizes, and neighbours differ in kind. Glazes multiply, as
transparent inks do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from styles.common import HEIGHT, WIDTH, hex_colours, noise, scatter, smoothstep, to_image

RED, VERMILION, YELLOW, BLUE, SKY, GREEN, VIOLET, ROSE, BLACK, WHITE = hex_colours(
    "cf2a27", "ea6524", "f4bd1f", "1d3f9c", "3f9cc4", "2f8a62", "6b3f8c", "e9959c", "1b181b", "fbf5e6"
)
STRONG = np.stack([RED, YELLOW, BLUE, VERMILION, GREEN, SKY, VIOLET, ROSE])


class Sheet:
    """The picture while it is painted, and the grain of its paint."""

    def __init__(self, rng: np.random.Generator) -> None:
        shape = (HEIGHT, WIDTH)
        self.rng = rng
        self.grain = noise(rng, shape, 0.8) + 0.7 * noise(rng, shape, (0.6, 2.5))
        self.mottle = noise(rng, shape, 9.0) + 0.7 * noise(rng, shape, 28.0)
        self.colour = np.full((*shape, 3), 1.0) * hex_colours("f9f1df")[0]
        for tint in hex_colours("fbe3a4", "cfe3ec", "f6cfc4", "e3ecd0"):
            cloud = smoothstep(0.35, 1.7, noise(rng, shape, 62.0))[..., None]
            self.colour *= 1.0 - 0.6 * cloud * (1.0 - tint / 255.0)

    def colours(self, count: int) -> np.ndarray:
        """Some strong colours, each different."""
        return STRONG[self.rng.permutation(len(STRONG))[:count]]


class Frame:
    """A part of the sheet with axes of its own: u and v are pixels from a centre, along turned axes."""

    def __init__(self, sheet: Sheet, centre: np.ndarray, reach: float, angle: float) -> None:
        left, top = (max(0, int(c - reach)) for c in centre)
        right, bottom = (max(0, int(c + reach) + 2) for c in centre)
        self.sheet, self.box = sheet, (slice(top, bottom), slice(left, right))
        rows, cols = self.sheet.grain[self.box].shape
        y, x = np.mgrid[top : top + rows, left : left + cols].astype(np.float64)
        cos, sin = np.cos(angle), np.sin(angle)
        self.u = (x - centre[0]) * cos + (y - centre[1]) * sin
        self.v = -(x - centre[0]) * sin + (y - centre[1]) * cos

    def fill(
        self, distance: np.ndarray, colour: np.ndarray, opacity: float | np.ndarray = 1.0, glaze: bool = False
    ) -> None:
        """Paint where the distance is negative; a glaze multiplies, and pools a little at its edge."""
        if distance.size == 0:
            return
        grain, mottle = self.sheet.grain[self.box], self.sheet.mottle[self.box]
        cover = np.clip(0.5 - distance, 0.0, 1.0) * opacity * (1.0 - 0.035 * np.abs(mottle))
        if glaze:
            cover = cover * (1.0 + 0.12 * np.exp(-np.abs(distance) / 2.5))
        cover = np.clip(cover, 0.0, 1.0)[..., None]
        below = self.sheet.colour[self.box]
        paint = colour * (1.0 + 0.022 * mottle + 0.016 * grain)[..., None]
        if glaze:
            paint = below * np.clip(paint / 255.0, 0.0, 1.0)
        self.sheet.colour[self.box] = below * (1.0 - cover) + paint * cover

    def disc(self, radius: float, u: float = 0.0, v: float = 0.0) -> np.ndarray:
        """Distance to a disc."""
        return np.hypot(self.u - u, self.v - v) - radius

    def ring(self, radius: float, width: float, u: float = 0.0, v: float = 0.0) -> np.ndarray:
        """Distance to a circle with a width."""
        return np.abs(self.disc(radius, u, v)) - 0.5 * width

    def bar(self, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
        """Distance to a rectangle along the axes."""
        u = np.maximum(low[0] - self.u, self.u - high[0])
        return np.maximum(u, np.maximum(low[1] - self.v, self.v - high[1]))

    def polygon(self, corners: np.ndarray) -> np.ndarray:
        """Distance to a convex polygon, its corners clockwise on the screen."""
        edges = np.roll(corners, -1, axis=0) - corners
        normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
        sides = [(self.u - a[0]) * n[0] + (self.v - a[1]) * n[1] for a, n in zip(corners, normals, strict=True)]
        return np.maximum.reduce(sides)

    def stroke(self, start: np.ndarray, end: np.ndarray, first: float, last: float) -> np.ndarray:
        """Distance to a straight stroke whose width changes on its way."""
        along = end - start
        share = ((self.u - start[0]) * along[0] + (self.v - start[1]) * along[1]) / (along @ along)
        share = np.clip(share, 0.0, 1.0)
        away = np.hypot(self.u - start[0] - share * along[0], self.v - start[1] - share * along[1])
        return away - 0.5 * (first + (last - first) * share)

    def within(self, half: float, turn: float = 0.0) -> np.ndarray:
        """Distance, roughly, to the sector of this half angle around a direction."""
        angle = np.abs((np.arctan2(self.v, self.u) - turn + np.pi) % (2.0 * np.pi) - np.pi)
        return (angle - half) * np.hypot(self.u, self.v)


# ------------------------------------------------------------------------------------------- motifs
def target(f: Frame, r: float) -> None:
    """Rings in one another, their centres moving to one side, with a halo around them."""
    rng, colours = f.sheet.rng, f.sheet.colours(6)
    halo = np.clip(1.0 - f.disc(0.8 * r) / (0.42 * r), 0.0, 1.0) ** 1.5
    f.fill(f.disc(1.25 * r), colours[5], 0.5 * halo, glaze=True)
    shift, share = rng.uniform(0.0, 0.22), 0.86
    for index in range(5 if r > 60 else 4):
        u = shift * r * (0.86 - share)
        colour = BLACK if index == rng.integers(0, 4) else colours[index]
        f.fill(f.disc(share * r, 3.0 * u), colour)
        if rng.random() < 0.6:
            f.fill(f.ring(share * r, max(1.4, 0.03 * r), 3.0 * u), BLACK)
        share *= rng.uniform(0.62, 0.84)
    f.fill(f.disc(share * r * 0.8, 3.0 * u), WHITE)


def discs(f: Frame, r: float) -> None:
    """Three transparent discs that overlap, a circle drawn around one, a dot in another."""
    rng, colours = f.sheet.rng, f.sheet.colours(4)
    places = [(-0.42, -0.22, 0.56), (0.34, -0.3, 0.5), (0.06, 0.42, 0.46)]
    for (u, v, size), colour in zip(places, colours, strict=False):
        f.fill(f.disc(size * r * rng.uniform(0.88, 1.05), u * r, v * r), colour, 0.86, glaze=True)
    f.fill(f.ring(0.68 * r, max(1.3, 0.018 * r), -0.42 * r, -0.22 * r), BLACK)
    f.fill(f.disc(0.12 * r, 0.34 * r, -0.3 * r), BLACK)
    f.fill(f.disc(0.16 * r, 0.06 * r, 0.45 * r), WHITE)


def triangle(f: Frame, r: float) -> None:
    """A triangle that fades from its base, a second one across it, and lines that overshoot."""
    rng, colours = f.sheet.rng, f.sheet.colours(3)
    tall = np.array([(-0.72 * r, 0.8 * r), (rng.uniform(-0.3, 0.3) * r, -0.98 * r), (0.7 * r, 0.8 * r)])
    fade = np.clip(0.45 + 0.55 * (f.v / r + 0.9) / 1.6, 0.0, 1.0)
    f.fill(f.polygon(tall), colours[0], fade, glaze=True)
    flat = np.array([(-0.95 * r, 0.28 * r), (0.86 * r, -0.32 * r), (0.52 * r, 0.46 * r)])
    f.fill(f.polygon(flat), colours[1], 0.9, glaze=True)
    for start, end in ((tall[0], tall[1]), (tall[2], tall[1])):
        f.fill(f.stroke(start, end + 0.2 * (end - start), 1.2 + 0.012 * r, 1.2), BLACK)
    f.fill(f.disc(0.15 * r, tall[1, 0] * 0.3, 0.42 * r), colours[2])
    f.fill(f.ring(0.15 * r, 1.6, tall[1, 0] * 0.3, 0.42 * r), BLACK)


def halves(f: Frame, r: float) -> None:
    """Half discs in a row on a line, to either side of it in turn."""
    colours, sizes = f.sheet.colours(4), np.array([0.46, 0.34, 0.26])
    u = -0.95 * r
    for index, (size, colour) in enumerate(zip(sizes * r, colours, strict=False)):
        side = f.v if index % 2 else -f.v
        f.fill(np.maximum(f.disc(size, u + size), side), colour)
        inner = BLACK if index == 0 else WHITE
        f.fill(np.maximum(f.disc(0.45 * size, u + size), side), inner)
        u += 2.0 * size * 0.92
    f.fill(f.bar((-1.12 * r, -0.8), (1.15 * r, 0.8)), BLACK)


def chequer(f: Frame, r: float) -> None:
    """A slanted piece of a chequerboard, some of its fields in colours."""
    rng, colours = f.sheet.rng, f.sheet.colours(3)
    count, slant = int(rng.integers(4, 7)), rng.uniform(-0.4, 0.4)
    cell = 1.45 * r / count
    edge = 0.725 * r
    board = np.array([(-edge, -edge), (edge, -edge), (edge, edge), (-edge, edge)])
    board[:, 0] += slant * board[:, 1]
    f.fill(f.polygon(board), WHITE)
    for row in range(count):
        for col in range(count):
            if (row + col) % 2 == 0:
                colour = colours[rng.integers(0, 3)] if rng.random() < 0.42 else BLACK
                low = np.array([col, row]) * cell - edge
                corners = low + cell * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
                corners[:, 0] += slant * corners[:, 1]
                f.fill(f.polygon(corners), colour)


def arcs(f: Frame, r: float) -> None:
    """Arcs around one centre, thick and thin, each as long as it likes."""
    rng, colours = f.sheet.rng, f.sheet.colours(5)
    for index, share in enumerate((0.96, 0.8, 0.62, 0.45, 0.28)):
        width = max(1.6, r * float(rng.choice([0.02, 0.05, 0.12, 0.16])))
        colour = BLACK if width < 0.06 * r else colours[index]
        f.fill(np.maximum(f.ring(share * r, width), f.within(rng.uniform(0.8, 2.1), rng.uniform(-0.4, 0.4))), colour)
    f.fill(f.disc(0.1 * r), BLACK)


def bars(f: Frame, r: float) -> None:
    """Parallel bars of different lengths, one across them."""
    rng, colours = f.sheet.rng, f.sheet.colours(6)
    v = -0.8 * r
    for index in range(5):
        thick = r * float(rng.choice([0.08, 0.14, 0.26]))
        start, length = rng.uniform(-1.0, -0.4) * r, rng.uniform(0.8, 1.6) * r
        f.fill(f.bar((start, v), (start + length, v + thick)), BLACK if index == 2 else colours[index])
        v += thick + r * rng.uniform(0.06, 0.16)
    f.fill(f.bar((-0.12 * r, -1.05 * r), (0.08 * r, 0.95 * r)), colours[5], 0.85, glaze=True)


def fan(f: Frame, r: float) -> None:
    """Rays from a point through a transparent sector, with a disc at the point."""
    colours = f.sheet.colours(3)
    apex = np.array([-0.85 * r, 0.0])
    f.u = f.u - apex[0]
    f.fill(np.maximum(f.disc(1.7 * r), f.within(0.42)), colours[0], 0.8, glaze=True)
    f.fill(np.maximum(f.disc(1.15 * r), f.within(0.21, -0.21)), colours[1], 0.85, glaze=True)
    for turn in np.linspace(-0.42, 0.42, 8):
        end = 1.85 * r * np.array([np.cos(turn), np.sin(turn)])
        f.fill(f.stroke(np.zeros(2), end, 1.0, 2.2), BLACK)
    f.fill(f.disc(0.24 * r), colours[2])
    f.fill(f.disc(0.1 * r), BLACK)
    f.u = f.u + apex[0]


def waves(f: Frame, r: float) -> None:
    """Three wavy lines beside one another, and a row of dots."""
    rng, colours = f.sheet.rng, f.sheet.colours(3)
    pitch = 0.42 * r
    for index, colour in enumerate((BLACK, colours[0], BLACK)):
        slope = 0.16 * r * 2.0 * np.pi / pitch
        height = f.v + (0.34 - 0.34 * index) * r + 0.16 * r * np.sin(2.0 * np.pi * f.u / pitch)
        steep = np.sqrt(1.0 + (slope * np.cos(2.0 * np.pi * f.u / pitch)) ** 2)
        width = r * (0.12 if index == 1 else 0.03) + 0.6
        f.fill(np.maximum(np.abs(height) / steep - 0.5 * width, np.abs(f.u) - r), colour)
    for step in range(5):
        f.fill(f.disc(0.08 * r * rng.uniform(0.8, 1.2), (0.42 * step - 0.84) * r, 0.78 * r), colours[1 + step % 2])


def quarters(f: Frame, r: float) -> None:
    """A disc in a square, both quartered, with their colours exchanged."""
    colours = np.vstack([f.sheet.colours(3), BLACK[None]])
    edge = 0.78 * r
    for index, (u, v) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        low = (min(0.0, u * edge), min(0.0, v * edge))
        part = f.bar(low, (low[0] + edge, low[1] + edge))
        f.fill(part, colours[index])
        f.fill(np.maximum(part, f.disc(0.62 * r)), WHITE if index == 3 else colours[(index + 2) % 4])
        f.fill(np.maximum(part, f.disc(0.26 * r)), colours[index])


MOTIFS: list[Callable[[Frame, float], None]] = [
    target, discs, triangle, halves, chequer, arcs, bars, fan, quarters, waves
]  # fmt: skip


# -------------------------------------------------------------------------------------------- small
def dot(f: Frame, r: float) -> None:
    """A disc with a circle around it."""
    colours = f.sheet.colours(2)
    f.fill(f.disc(0.62 * r), colours[0])
    f.fill(f.disc(0.28 * r), f.sheet.rng.permutation([BLACK, WHITE, colours[1]])[0])
    f.fill(f.ring(0.92 * r, 1.6), BLACK)


def wedge(f: Frame, r: float) -> None:
    """A small triangle."""
    f.fill(f.polygon(r * np.array([(-0.6, 0.7), (0.1, -1.0), (0.7, 0.6)])), f.sheet.colours(1)[0])


def cross(f: Frame, r: float) -> None:
    """Two bars across one another."""
    f.fill(f.bar((-r, -0.16 * r), (r, 0.16 * r)), BLACK)
    f.fill(f.bar((-0.3 * r, -0.8 * r), (0.0, 0.8 * r)), f.sheet.colours(1)[0], 0.95)


def bowl(f: Frame, r: float) -> None:
    """A half disc."""
    f.fill(np.maximum(f.disc(0.9 * r), -f.v), f.sheet.colours(1)[0])
    f.fill(f.bar((-1.1 * r, -2.5), (1.1 * r, 0.0)), BLACK)


def tile(f: Frame, r: float) -> None:
    """A square with one of another colour on it."""
    colours = f.sheet.colours(2)
    f.fill(f.bar((-0.75 * r, -0.75 * r), (0.6 * r, 0.6 * r)), colours[0])
    f.fill(f.bar((-0.1 * r, -0.1 * r), (0.85 * r, 0.85 * r)), colours[1], 0.9, glaze=True)


def comb(f: Frame, r: float) -> None:
    """Short parallel lines."""
    for u in np.linspace(-0.8, 0.8, 5) * r:
        f.fill(f.bar((u - 1.1, -0.8 * r), (u + 1.1, 0.8 * r)), BLACK)


SMALL: list[Callable[[Frame, float], None]] = [dot, wedge, cross, bowl, tile, comb]


# -------------------------------------------------------------------------------------- composition
def different(rng: np.random.Generator, centres: np.ndarray, count: int) -> list[int]:
    """A kind for every place: one of those that its nearest neighbours have the least."""
    kinds: list[int] = []
    for index, centre in enumerate(centres):
        cost = rng.uniform(0.0, 0.4, count)
        for other in range(index):
            away = np.linalg.norm(centres[other] - centre)
            cost[kinds[other]] += 0.05 + np.exp(-away / 160.0) * 2.0
        kinds.append(int(np.argmin(cost)))
    return kinds


def long_lines(sheet: Sheet, count: int) -> None:
    """Thin black lines across the picture, some in pairs, and parts of large circles."""
    rng = sheet.rng
    middles = scatter(rng, np.full(count, 60.0), 0.0)
    for index, middle in enumerate(middles):
        frame = Frame(sheet, np.array([WIDTH, HEIGHT]) / 2.0, WIDTH, 0.0)
        at = middle - (WIDTH / 2.0, HEIGHT / 2.0)
        turn, half = rng.choice([0.35, -0.6, 1.1, -1.2]) + rng.normal(0.0, 0.12), rng.uniform(110.0, 300.0)
        if index % 4 == 3:
            radius = rng.uniform(110.0, 300.0)
            frame.u, frame.v = frame.u - at[0] - radius * np.cos(turn), frame.v - at[1] - radius * np.sin(turn)
            arc = np.maximum(
                frame.ring(radius, rng.uniform(1.8, 3.4)), frame.within(rng.uniform(0.5, 0.9), turn + np.pi)
            )
            frame.fill(arc, BLACK)
            continue
        along = half * np.array([np.cos(turn), np.sin(turn)])
        first, last = rng.permutation([1.2, rng.uniform(2.0, 5.0)])
        frame.fill(frame.stroke(at - along, at + along, first, last), BLACK)
        if index % 3 == 0:
            aside = np.array([-along[1], along[0]]) * rng.uniform(9.0, 16.0) / half
            frame.fill(frame.stroke(at + aside - 0.8 * along, at + aside + 0.7 * along, 1.2, 1.8), BLACK)


def make_shapes(seed: int = 5) -> Image.Image:
    """Discs, triangles, boards, arcs and lines in clear colours on a light ground, of all sizes."""
    rng = np.random.default_rng(seed)
    sheet = Sheet(rng)
    sizes = np.concatenate([
        rng.uniform(98, 128, 9), rng.uniform(56, 78, 17), rng.uniform(34, 48, 26), rng.uniform(17, 25, 56)
    ])  # fmt: skip
    big, middle = int((sizes > 30).sum()), np.array([WIDTH, HEIGHT]) / 2.0
    centres = scatter(rng, sizes, 6.0, 0.85)
    centres[:9] = middle + 0.86 * (centres[:9] - middle)  # the largest stay in the picture
    kinds = different(rng, centres[:big], len(MOTIFS)) + different(rng, centres[big:], len(SMALL))
    for index, (centre, radius, kind) in enumerate(zip(centres, sizes, kinds, strict=True)):
        if index == 26:
            long_lines(sheet, 26)
        frame = Frame(sheet, centre, 1.6 * radius, rng.uniform(-np.pi, np.pi))
        (MOTIFS if index < big else SMALL)[kind](frame, float(radius))
    return to_image(sheet.colour * (1.0 + 0.012 * sheet.grain)[..., None])
