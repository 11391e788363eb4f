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
from texopt.show.history import _smooth, loss_plot
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


def test_preview_is_before_over_after(box: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texopt.render.reached.COVERAGE_VIEWS", 4)
    monkeypatch.setattr("texopt.render.reached.COVERAGE_SIZE", 64)
    texture = texopt.PixelTexture(8, start=(0.9, 0.5, 0.1))
    sheet = np.asarray(Result(box, texture, []).preview()).astype(int)
    assert sheet.shape == (2 * CELL, len(VIEWS) * CELL, 3)
    after = sheet[CELL:]
    drawn = (np.abs(after - GREY) > 20).any(-1)
    np.testing.assert_allclose(np.median(after[drawn], 0), [230, 128, 26], atol=2)
    before = sheet[:CELL][drawn]
    np.testing.assert_allclose(np.median(before, 0), box.maps[0].original[0, 0], atol=1)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_loss_plot_is_a_png(count: int) -> None:
    steps = [texopt.Step(n + 1, 50, 0.1 * n, {"style": 1 / (n + 1), "loss": 2 / (n + 1)}) for n in range(count)]
    image = Image.open(io.BytesIO(loss_plot(steps)))
    assert (image.format, image.width) == ("PNG", 910)
    colors = np.asarray(image.convert("RGB")).reshape(-1, 3)
    drawn = int((np.abs(colors.astype(int) - [31, 119, 180]).max(1) < 40).sum())
    assert (drawn > 50) == (count > 0), "matplotlib's first colour is there where a term is"


@pytest.mark.parametrize(("terms", "shape"), [(1, (1, 1)), (2, (1, 3)), (3, (2, 2)), (4, (3, 2)), (5, (2, 3))])
def test_every_term_and_their_sum_have_a_panel(
    monkeypatch: pytest.MonkeyPatch, terms: int, shape: tuple[int, int]
) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k))
    named = {f"term{k}": 10.0**k for k in range(terms)}
    loss_plot([texopt.Step(n, 9, 0.1, {**named, "loss": sum(named.values())}) for n in range(1, 10)])
    panels = figures[0].axes
    assert (panels[0].get_subplotspec().get_gridspec().get_geometry()) == shape
    shown = [axes.get_title(loc="left") for axes in panels if axes.get_visible()]
    assert shown == [*named, *(["weighted sum"] if terms > 1 else [])]
    for axes, value in zip(panels, named.values(), strict=False):
        assert axes.get_ylim()[0] == 0 < value < axes.get_ylim()[1] <= 1.2 * value


@pytest.mark.parametrize("count", [1, 2, 19, 20, 300])
def test_smoothing_keeps_the_level_and_lessens_noise(count: int) -> None:
    np.testing.assert_allclose(_smooth(np.full(count, 2.5)), np.full(count, 2.5))
    noisy = np.random.default_rng(0).normal(1.0, 0.1, count)
    smooth = _smooth(noisy)
    assert smooth.shape == noisy.shape
    assert noisy.min() <= smooth.min() <= smooth.max() <= noisy.max()
    if count == 300:
        assert smooth.std() < 0.4 * noisy.std()
