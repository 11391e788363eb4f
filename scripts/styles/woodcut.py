"""Woodcut: lines that are level sets of a distance-like field, their width carrying the tone.

After Ostromoukhov, "Digital facial engraving", 1999.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from styles.common import HEIGHT, WIDTH, hex_colours, noise, smoothstep, to_image


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
