"""The contact sheet and the plot of the losses."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import texopt
from texopt import Mesh, load_mesh
from texopt.optim.result import Result
from texopt.show.loss_plot import WIDTH, arrangement, limits, loss_plot, smoothed, ticks
from texopt.show.preview import BACKGROUND, CELL, VIEWS, contact_sheet

GREY = round(BACKGROUND * 255)


@pytest.fixture(params=[(1, 1, 1), (1, 8, 1), (5, 1, 0.1)], ids=["cube", "tower", "slab"])
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Mesh:
    trimesh.creation.box(request.param).export(tmp_path / "a.ply")
    return load_mesh(tmp_path / "a.ply")


def plain(*color: float) -> torch.Tensor:
    return torch.tensor(color)[:, None, None].expand(3, 8, 8).contiguous()


def test_every_view_shows_the_whole_mesh_with_its_texture(box: Mesh) -> None:
    sheet = np.asarray(contact_sheet(box, plain(1.0, 0.0, 0.0), plain(0.0, 0.0, 1.0))).astype(int)
    assert sheet.shape == (2 * CELL, len(VIEWS) * CELL, 3)
    for row, color in enumerate(([255, 0, 0], [0, 0, 255])):
        sizes = []
        for column in range(len(VIEWS)):
            cell = sheet[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            assert (cell == color).all(-1).mean() > 0.005
            border = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
            np.testing.assert_allclose(border, GREY, atol=1)
            inside = np.argwhere((np.abs(cell - GREY) > 1).any(-1))
            sizes.append(int(np.ptp(inside, axis=0).max()))
        assert max(sizes) > 0.8 * CELL


def test_preview_is_before_over_after(box: Mesh) -> None:
    texture = texopt.PixelTexture(8, start=(0.9, 0.5, 0.1))
    sheet = np.asarray(Result(box, texture, []).preview()).astype(int)
    assert sheet.shape == (2 * CELL, len(VIEWS) * CELL, 3)
    after = sheet[CELL:]
    drawn = (np.abs(after - GREY) > 20).any(-1)
    np.testing.assert_allclose(np.median(after[drawn], 0), [230, 128, 26], atol=2)
    before = sheet[:CELL][drawn]
    np.testing.assert_allclose(np.median(before, 0), box.maps[0].original[0, 0], atol=1)


BLUES, BLACKS = [31, 119, 180], [38, 38, 38]


def near(image: Image.Image, color: list[int]) -> np.ndarray:
    """Which pixels are of about this colour."""
    found: np.ndarray = np.abs(np.asarray(image.convert("RGB")).astype(int) - color).max(-1) < 40
    return found


@pytest.mark.parametrize("count", [0, 1, 50])
def test_loss_plot_is_a_png(count: int) -> None:
    steps = [texopt.Step(n + 1, 50, 0.1 * n, {"style": 1 / (n + 1), "loss": 2 / (n + 1)}) for n in range(count)]
    image = Image.open(io.BytesIO(loss_plot(steps)))
    assert (image.format, image.width) == ("PNG", WIDTH)
    assert (near(image, BLUES).sum() > 20) == (count > 0)


@pytest.mark.parametrize(("terms", "shape"), [(1, (1, 1)), (2, (1, 3)), (3, (2, 2)), (4, (3, 2)), (5, (2, 3))])
def test_every_term_and_their_sum_have_a_panel(terms: int, shape: tuple[int, int]) -> None:
    """A term falls from the upper left to the lower right of its panel, and so does the sum, in black."""
    named = {f"term{k}": 10.0**k for k in range(terms)}
    history = [
        texopt.Step(n, 9, 0.1, {name: value / n for name, value in (named | {"loss": sum(named.values())}).items()})
        for n in range(1, 10)
    ]
    image = Image.open(io.BytesIO(loss_plot(history)))
    rows, columns = arrangement(terms + (terms > 1))
    assert (rows, columns) == shape
    height, width = image.height / rows, image.width / columns
    for index in range(terms + (terms > 1)):
        row, column = divmod(index, columns)
        left, top = int(column * width) + 62, int(row * height) + 40
        cell = image.crop((left, top, left + int(width) - 62, top + int(height) - 100))
        y, x = np.nonzero(near(cell, BLUES if index < terms else BLACKS))
        assert len(x) > 50, "a curve in every panel"
        assert y[x < x.min() + 5].min() < y[x > x.max() - 40].max() - 20, "it falls"


@pytest.mark.parametrize("value", [0.0, 5e-324, -1e-320, 1e308, -1e308, float("inf"), float("nan"), 1e-7])
@pytest.mark.parametrize("name", ["a\nb", "direction:\udcff.npy", "é😀网", "x" * 300, ""])
def test_any_term_has_a_plot(value: float, name: str) -> None:
    """Whatever an objective is named, and whatever it comes to; no name reaches into what is beside it."""
    terms = [{name: value, "b": -value, "loss": one} for one in (value, 1.0, value)]
    history = [texopt.Step(n, 3, 0.1, one) for n, one in enumerate(terms, 1)]
    image = Image.open(io.BytesIO(loss_plot(history)))
    gap = np.asarray(image.convert("L"))[:30, WIDTH // 3 - 11 : WIDTH // 3]
    assert gap.min() == 255


def test_axes_hold_all_values_and_have_round_numbers() -> None:
    assert limits(np.array([0.5, 2.0])) == (0.0, 2.1)
    assert limits(np.array([-1.0, 1.0])) == (-1.1, 1.1)
    assert limits(np.full(3, np.nan)) == (0.0, 1.0)
    for low, high in ([0, 1], [0, 0.037], [-3, 12000], [-1e-7, 1e-7], [5, 5.001]):
        found = ticks(low, high, 5)
        assert 2 <= len(found) <= 6
        assert low <= found[0] < found[-1] <= high
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]
    assert ticks(1, 240, 6, whole=True) == [50, 100, 150, 200]
    assert ticks(0.5, 1.5, 6, whole=True) == [1]


@pytest.mark.parametrize("count", [1, 2, 19, 20, 300])
def test_smoothing_keeps_the_level_and_lessens_noise(count: int) -> None:
    np.testing.assert_allclose(smoothed(np.full(count, 2.5)), np.full(count, 2.5))
    noisy = np.random.default_rng(0).normal(1.0, 0.1, count)
    smooth = smoothed(noisy)
    assert smooth.shape == noisy.shape
    assert noisy.min() <= smooth.min() <= smooth.max() <= noisy.max()
    if count == 300:
        assert smooth.std() < 0.4 * noisy.std()
