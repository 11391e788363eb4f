"""Pictures of a result: the contact sheet and the plot of the losses."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texopt.cameras import Cameras, fit_distance, orbit
from texopt.images import to_image
from texopt.mesh import Mesh
from texopt.render import Scene, composite, look_up

if TYPE_CHECKING:
    from texopt.loop import Step

# azimuth, elevation: once around, then from above and from below
VIEWS = ((0, 10), (60, 15), (120, 15), (180, 10), (240, 15), (300, 15), (30, 65), (210, -55))
CELL = 288  # pixels a side
SUPERSAMPLE = 2
BACKGROUND = 0.72


def _cameras(mesh: Mesh) -> Cameras:
    """The views of the sheet, so close that the mesh fills the cells as far as one scale for all allows."""
    azimuth, elevation = torch.tensor(VIEWS, dtype=torch.float64).T
    far = orbit(azimuth, elevation)
    clip = far.project(mesh.unit_vertices().double()[torch.from_numpy(mesh.faces).unique().long()])
    reach = float((clip[..., :2] / clip[..., 3:]).abs().max())
    return orbit(azimuth, elevation, distance=max(fit_distance(10.0) * reach / 0.96, 1.5))


def contact_sheet(mesh: Mesh, *textures: Tensor | Sequence[Tensor]) -> Image.Image:
    """Eight views of a mesh, a row for each texture: [3,H,W], or a list of them, one a map."""
    fragments = Scene(mesh).rasterize(_cameras(mesh), CELL * SUPERSAMPLE)
    mask = fragments.mask[:, None].float()
    rows = []
    for texture in textures:
        views = composite(look_up(texture, fragments), mask, BACKGROUND)
        rows.append(torch.cat(list(F.avg_pool2d(views, SUPERSAMPLE)), 2))
    return to_image(torch.cat(rows, 1))


def loss_plot(history: list[Step]) -> bytes:
    """A PNG of every named term over the steps, before weighting."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        steps = [step.number for step in history]
        for name in history[0].terms if history else ():
            axes.plot(steps, [step.terms[name] for step in history], label=name, linewidth=1.2)
        axes.set(xlabel="step", ylabel="loss")
        axes.grid(alpha=0.3)
        if history:
            axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
