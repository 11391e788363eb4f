"""Pictures of a result: views over a plain background, the contact sheet, and the plot of the losses."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.mesh.mesh import Mesh
from texopt.render.cameras import Cameras, fit_distance, orbit, sphere_points
from texopt.render.scene import Fragments, Mipmapped, Picture, Scene, composite, look_up
from texopt.system.images import to_image

if TYPE_CHECKING:
    from texopt.optim.run import Step

Render = Callable[[Cameras], Tensor]  # cameras -> pictures [B,3,H,W] in [0,1]

# azimuth, elevation: once around, then from above and from below
VIEWS = ((0, 10), (60, 15), (120, 15), (180, 10), (240, 15), (300, 15), (30, 65), (210, -55))
CELL = 288  # pixels a side
SUPERSAMPLE = 2
BACKGROUND = 0.72
FILL = 0.96  # of a picture's half height that the mesh may reach
MANY = 20_000  # vertices


def _outermost(points: Tensor) -> Tensor:
    """Points [N,3], or, of very many, those that are farthest in one of many directions: what a frame has to hold."""
    if len(points) <= MANY:
        return points
    directions = sphere_points(1024).float()
    columns = points.T.contiguous()
    farthest = [(some @ columns).argmax(1) for some in directions.split(8)]
    return points[torch.cat(farthest).unique()]


def framed(mesh: Mesh, azimuth: Sequence[float] | Tensor, elevation: Sequence[float] | Tensor) -> Cameras:
    """Cameras around the mesh that all see the whole of it, as large as one distance and one centre for all allow.

    Azimuth and elevation in degrees, [B] both, as texopt.orbit has them.
    """
    angles = torch.as_tensor(azimuth).double(), torch.as_tensor(elevation).double()
    cameras = orbit(*angles)
    corners = _outermost(mesh.unit_vertices()[torch.from_numpy(mesh.used_vertices())]).double()
    eye = corners @ cameras.view[:, :3, :3].transpose(1, 2)  # [B,V,3], from the centre; +Z is towards the camera
    x, z = eye[..., :2] * cameras.projection[0, 1, 1], eye[..., 2:]
    distance = fit_distance(10.0)
    for _ in range(4):  # the two depend on each other a little, as perspective is
        seen = (x / (distance - z)).flatten(0, 1)
        shift = (seen.amin(0) + seen.amax(0)) / 2
        # a corner is in the picture where |x / (distance - z) - shift| <= FILL
        distance = max(float((z + torch.maximum(x / (FILL + shift), -x / (FILL - shift))).max()), 1.5)
    cameras = orbit(*angles, distance=distance)
    cameras.projection[:, :2, 2] += shift
    return cameras


Look = Picture | Sequence[Picture]  # a texture [3,H,W] in [0,1], or a list of them, one a map of the mesh


def draw(scene: Scene, cameras: Cameras, size: int, *looks: Look) -> list[Tensor]:
    """Pictures [B,3,size,size] in [0,1] of a scene over BACKGROUND, antialiased, for each of the looks."""
    fragments = scene.rasterize(cameras, size * SUPERSAMPLE)
    return [developed(look_up(look, fragments), fragments) for look in looks]


def developed(colors: Tensor, fragments: Fragments) -> Tensor:
    """Pictures [B,3,h,w] of colours [B,3,H,W] at fragments, over BACKGROUND, SUPERSAMPLE times smaller."""
    return F.avg_pool2d(composite(colors, fragments.mask[:, None], BACKGROUND), SUPERSAMPLE)


def contact_sheet(mesh: Mesh, *looks: Tensor | Sequence[Tensor]) -> Image.Image:
    """Eight views of a mesh, a row for each look."""
    azimuth, elevation = zip(*VIEWS, strict=True)
    scene, cameras = Scene(mesh), framed(mesh, azimuth, elevation)
    ready = [
        [Mipmapped.of(image, scene.backend) for image in ([look] if isinstance(look, Tensor) else look)]
        for look in looks
    ]
    views = range(len(cameras))  # one after the other, as a large mesh takes memory in each
    columns = [torch.cat(draw(scene, cameras[view : view + 1], CELL, *ready), 2)[0] for view in views]
    return to_image(torch.cat(columns, 2))


def still(render: Render, mesh: Mesh, azimuth: float = 30.0, elevation: float = 15.0) -> Image.Image:
    """One picture of a mesh from azimuth and elevation in degrees, as large as it fits."""
    return to_image(render(framed(mesh, [azimuth], [elevation]))[0])


def _smooth(values: np.ndarray) -> np.ndarray:
    """A moving average [N] with a Hann window a tenth as long, over what there is of it: at the ends, beside NaN."""
    half, there = len(values) // 20, np.isfinite(values)
    window = np.hanning(2 * half + 3)[1:-1]
    with np.errstate(invalid="ignore"):
        return np.convolve(np.where(there, values, 0), window, "same") / np.convolve(there, window, "same")


def loss_plot(history: list[Step]) -> bytes:
    """A PNG with a panel for every named term over the steps, before weighting, and one for their weighted sum.

    As it was, and smoothed. A single term is shown without its sum.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(history[0].terms) if history else []
    if len(names) == 2:
        names.remove("loss")
    columns = 3 if names and len(names) % 3 == 0 else min(max(len(names), 1), 2)
    rows = max(-(-len(names) // columns), 1)
    steps = [step.number for step in history]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 0.4 + 1.9 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
        for axes, name in zip(grid, names, strict=False):
            values = np.array([step.terms[name] for step in history])
            smooth, color = _smooth(values), "0.25" if name == "loss" else "C0"
            known = np.isfinite(values)
            axes.plot(np.array(steps)[known], values[known], color=color, alpha=0.3, linewidth=0.8)
            axes.plot(steps, smooth, color=color, linewidth=1.6, marker="o" if len(steps) == 1 else "")
            axes.set_title("weighted sum" if name == "loss" else name, loc="left", fontsize=10)
            axes.set_title(f"{smooth[-1]:.3g}", loc="right", fontsize=10, color=color)
            if np.nanmin(values, initial=np.inf) > 0:
                axes.set_ylim(bottom=0)
        for axes in grid:
            axes.grid(alpha=0.25)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=14 // columns, steps=[1, 2, 5, 10]))
        for axes in grid[max(len(names) - columns, 0) : len(names)]:  # nothing is below these
            axes.tick_params(labelbottom=True)
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel("step", fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
