"""loss.png: a panel for every term of the loss over the steps.

It is drawn with Pillow, as importing a plotting library takes longer than the steps of a draft.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from texopt.errors import printable
from texopt.show.history import Step
from texopt.system.images import png_of

WIDTH, ROW, FOOT = 910, 236, 34  # pixels: of the picture, of a row of panels, of the line below them
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 26  # between a panel's frame and its cell
SCALE = 2  # it is drawn larger by this, then made smaller
BLACK, GREY, GRID, BLUE = (38, 38, 38), (110, 110, 110), (225, 225, 225), (31, 119, 180)
FAINT = 0.3  # of a curve before it is smoothed
LEAST, MOST = 1e-290, 1e290  # numbers with which there is room to compute


def smoothed(values: np.ndarray) -> np.ndarray:
    """A moving average [N] with a Hann window a tenth as long, over what there is of it: at the ends, beside NaN."""
    half, there = len(values) // 20, np.isfinite(values)
    window = np.hanning(2 * half + 3)[1:-1]
    with np.errstate(invalid="ignore"):
        return np.convolve(np.where(there, values, 0), window, "same") / np.convolve(there, window, "same")


def arrangement(panels: int) -> tuple[int, int]:
    """(rows, columns) of so many panels."""
    columns = 3 if panels and panels % 3 == 0 else min(max(panels, 1), 2)
    return max(-(-panels // columns), 1), columns


def limits(values: np.ndarray) -> tuple[float, float]:
    """What a panel shows of the axis of values: from 0, where all of them are above it, and a little more than all."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = min(float(known.min()), 0.0), float(known.max())
    span = high - low if high - low > LEAST else abs(high) if abs(high) > LEAST else 10.0
    return (0.0 if low == 0 else low - 0.05 * span), high + 0.05 * span


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round numbers within [low, high], at most so many: multiples of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * times for times in (1, 2, 5, 10, 20) if (high - low) / (step * times) <= most)
    step = max(step, 1.0) if whole else step
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass
class Panel:
    """A frame with axes to draw curves into.

    box: (left, top, right, bottom) in pixels. x, y: the first and the last value that it shows.
    """

    draw: ImageDraw.ImageDraw
    box: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Of a point, in pixels of the larger picture."""
        left, top, right, bottom = self.box
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return SCALE * (left + across * (right - left)), SCALE * (bottom - up * (bottom - top))

    def text(
        self, place: tuple[float, float], text: str, anchor: str, size: int = 12, color: tuple[int, ...] = BLACK,
        most: float = math.inf,
    ) -> float:  # fmt: skip
        """Write a line, cut off where it is longer than `most` pixels. Returns its length."""
        font = ImageFont.load_default(SCALE * size)
        shown = text
        while shown and self.draw.textlength(shown, font) > most:
            text = text[:-1]
            shown = f"{text}..."
        self.draw.text(place, shown, color, font, anchor)
        return self.draw.textlength(shown, font)

    def axes(self, number_steps: bool) -> None:
        """The grid with its numbers; those of steps only where nothing is below."""
        (left, right), (low, high) = self.x, self.y
        for step in ticks(max(left, 0.5), right, 6, whole=True):  # the first is 1
            x, y = self.place(step, low)
            self.draw.line([(x, y), self.place(step, high)], GRID, SCALE)
            if number_steps:
                self.text((x, y + SCALE * 6), f"{step:g}", "mt", 11)
        for value in ticks(low, high, 5):
            x, y = self.place(left, value)
            self.draw.line([(x, y), self.place(right, value)], GRID, SCALE)
            self.text((x - SCALE * 6, y), f"{value:g}" if abs(value) > 1e-12 * high else "0", "rm", 11)
        self.draw.line([self.place(left, high), self.place(left, low), self.place(right, low)], BLACK, SCALE)

    def curve(self, steps: Sequence[int], values: np.ndarray, color: Sequence[int], width: float) -> None:
        """A line through what is known of the values."""
        points = [
            self.place(step, value) for step, value in zip(steps, values.tolist(), strict=True) if math.isfinite(value)
        ]
        if len(points) == 1:
            (x, y), radius = points[0], 3 * SCALE
            self.draw.ellipse([x - radius, y - radius, x + radius, y + radius], tuple(color))
        elif points:
            self.draw.line(points, tuple(color), round(SCALE * width), joint="curve")


def loss_plot(history: list[Step]) -> bytes:
    """A PNG with a panel for every named term over the steps, before weighting, and one for their weighted sum.

    As it was, and smoothed. A single term is shown without its sum.
    """
    names = list(history[0].terms) if history else []
    if len(names) == 2:
        names.remove("loss")
    rows, columns = arrangement(len(names))
    image = Image.new("RGB", (SCALE * WIDTH, SCALE * (rows * ROW + FOOT)), "white")
    draw = ImageDraw.Draw(image)
    steps = [step.number for step in history]
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        cell = column * WIDTH / columns, row * ROW, (column + 1) * WIDTH / columns, (row + 1) * ROW
        box = cell[0] + LEFT, cell[1] + TOP, cell[2] - RIGHT, cell[3] - BOTTOM
        values = np.array([step.terms[name] for step in history])
        values = np.where(np.isfinite(values), values.clip(-MOST, MOST), np.nan)
        smooth, color = smoothed(values), BLACK if name == "loss" else BLUE
        margin = 0.02 * (steps[-1] - steps[0]) or 0.5
        ends = steps[0] - margin, steps[-1] + margin
        panel = Panel(draw, box, ends, limits(values))
        panel.axes(number_steps=index + columns >= len(names))
        panel.curve(steps, values, [round(255 + FAINT * (one - 255)) for one in color], 1)
        panel.curve(steps, smooth, color, 2)
        above = SCALE * (box[1] - 8)
        last = panel.text((SCALE * box[2], above), f"{smooth[-1]:.3g}", "rs", 14, color)
        title = "weighted sum" if name == "loss" else printable(name)
        panel.text((SCALE * box[0], above), title, "ls", 14, BLACK, SCALE * (box[2] - box[0] - 12) - last)
    if names:
        font = ImageFont.load_default(SCALE * 12)
        draw.text((SCALE * WIDTH / 2, SCALE * (rows * ROW + 8)), "step", GREY, font, "mt")
    return png_of(image.resize((WIDTH, rows * ROW + FOOT), Image.Resampling.LANCZOS))
