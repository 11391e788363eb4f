"""Cameras that look at an image: at the whole of a canvas, or at windows of it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.render.cameras import R2, Cameras, Sampler, orthographic

MARGIN = 0.25  # of a window's side, that more of them lie at the picture's border, which else few would see


def _places(mesh: Mesh) -> tuple[Tensor, Tensor, bool]:
    """Where the pictures of a canvas are: lower left and upper right corners [N,2] of what UVs of 0 to 1 show, as
    renderings see them; and whether they go on beyond."""
    vertices = mesh.unit_vertices()[:, :2].double().unflatten(0, (-1, 4))
    uvs = torch.from_numpy(mesh.uvs[:4])
    scale = (vertices[:, 2] - vertices[:, 0]) / (uvs[2] - uvs[0])
    low = vertices[:, 0] - uvs[0] * scale
    return low, low + scale, bool((uvs < 0).any())


def _facing(low: Tensor, high: Tensor, frame: Tensor, frames: int) -> Cameras:
    view = torch.eye(4, dtype=low.dtype).repeat(len(low), 1, 1)
    view[:, 2, 3] = -1.0
    return Cameras(view, orthographic(low, high, 0.5, 1.5), 1.0, frame, frames)


def whole(mesh: Mesh) -> Sampler:
    """Cameras that see the whole of a canvas' pictures, one after another: `views_per_step=N` shows N of them at once.

    A view should have the picture's shape (view_size (height, width)); else it is stretched.
    """
    low, high, _ = _places(mesh)

    def sample(generator: Generator, count: int, before: int = 0) -> Cameras:
        frame = torch.arange(before, before + count) % len(low)
        return _facing(low[frame], high[frame], frame, len(low))

    return sample


def crops(mesh: Mesh, height: float, width: float | None = None) -> Sampler:
    """Cameras that see a window of a canvas' pictures, one after another, each at another place.

    Successive places are spread evenly, as directions are by sample_sphere. Where the canvas is tileable, windows lie
    across its borders like anywhere else.

    Args:
        mesh: a canvas.
        height: of the window, in shorter sides of the picture, at most all of it.
        width: the same; by default as wide as high.
    """
    low, high, endless = _places(mesh)
    extent = high[0] - low[0]
    window = torch.tensor([width or height, height], dtype=torch.float64) * extent.min()
    if not float(window.min()) > 0 or (window > extent * (1 + 1e-9)).any():
        raise OptionError(f"a window of {height} x {width or height} shorter sides has to lie within the picture")

    def sample(generator: Generator, count: int, before: int = 0) -> Cameras:
        offset = torch.rand(2, dtype=torch.float64, generator=Generator().manual_seed(generator.initial_seed()))
        index = torch.arange(before, before + count)
        frame, turn = index % len(low), index // len(low)
        place = (offset + R2 * turn[:, None]) % 1
        if endless:
            start = (place - 0.5) * extent + (extent - window) / 2
        else:
            start = ((extent - window + 2 * MARGIN * window) * place - MARGIN * window).clamp(min=0)
            start = torch.minimum(start, extent - window)
        return _facing(low[frame] + start, low[frame] + start + window, frame, len(low))

    return sample


def octaves(mesh: Mesh, cameras: Sampler, count: int, ratio: float = 1.4) -> Sampler:
    """Cameras, and crops of what they see, each `ratio` times smaller than the last: one size a step, in turn.

    What is excited in all of them has details of all sizes (Mordvintsev, Olah & Tyka, "Inceptionism", 2015).
    """
    low, high, _ = _places(mesh)
    shorter = float((high - low)[0].min())
    seen = cameras(Generator().manual_seed(0), 1, 0)
    width, height = (2 / float(seen.projection[0, axis, axis]) / shorter for axis in (0, 1))
    nearer = [crops(mesh, height / ratio**step, width / ratio**step) for step in range(1, count)]
    samplers = [cameras, *nearer]

    def sample(generator: Generator, number: int, before: int = 0) -> Cameras:
        step = before // number
        return samplers[step % count](generator, number, step // count * number)

    return sample
