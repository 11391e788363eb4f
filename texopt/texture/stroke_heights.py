"""Heights of strokes: what of a texture's lightness is of the size of strokes, as paint that stands out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.mesh.areas import areas
from texopt.mesh.mesh import Mesh
from texopt.render.padding import fill
from texopt.render.uv_raster import covered

FINEST, COARSEST = 0.003, 0.035  # radii of the mesh: deviations of the blurs that take off noise, and shapes
LEAST = 0.02  # deviation of the lightness; where a texture is more even than that, it stays flat
LUMA = (0.2126, 0.7152, 0.0722)  # of Rec. 709


class StrokeHeights:
    """From a texture's colours to the heights of its strokes, within the charts of one map.

    Light strokes stand out and dark lines are cut, as they look under light from in front of them: what is lit from the
    side of its raised parts is the lighter (shape from shading in its crudest form). Lightness is luma, the weighted
    sum of encoded colours; heights are what a difference of two Gaussians leaves of it, blurred along the surface of
    charts alone, so that nothing beside them counts.

    mesh: of whose maps one, `index`, is meant. height, width: texels of the heights.
    """

    def __init__(self, mesh: Mesh, index: int, height: int, width: int) -> None:
        self.mesh, self.index = mesh, index
        faces = mesh.face_map == index
        texels = float(areas(mesh.uvs, mesh.face_uvs[faces]).sum()) * height * width
        corners = mesh.unit_vertices(optimized=True).double().numpy()
        surface = float(areas(corners, mesh.faces[faces]).sum())
        self.density = np.sqrt(texels / max(surface, 1e-12))  # texels along a radius of the mesh
        there = covered(mesh.uvs, mesh.face_uvs[faces], height, width, mesh.maps[index].wrap)
        self.there = there.float()
        self._shares = [self._blurred(self.there, size).clamp(min=1e-3) for size in (FINEST, COARSEST)]

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Colours [3,height,width] in [0,1], sRGB -> heights [height,width], of deviation 1 where there are strokes.

        Beside charts the heights of their edges go on.
        """
        red, green, blue = image.detach().cpu()
        lightness = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue - 0.5) * self.there
        fine, coarse = (
            self._blurred(lightness, size) / share for size, share in zip((FINEST, COARSEST), self._shares, strict=True)
        )
        band = (fine - coarse) * self.there
        deviation = (band.square().sum() / self.there.sum().clamp(min=1)).sqrt()
        return fill((band / deviation.clamp(min=LEAST))[None], self.there > 0)[0]

    def _blurred(self, image: Tensor, size: float) -> Tensor:
        """Twice the mean over windows [h,w], which is nearly a Gaussian's; size: its deviation in radii.

        By sums that run along an axis, so that digits are the same on any number of threads.
        """
        radius = round((np.sqrt(6 * (size * self.density) ** 2 + 1) - 1) / 2)  # two windows of 2 radius + 1 texels
        for axis in (0, 1, 0, 1):
            image = _window_means(image, int(radius), axis)
        return image


def _window_means(image: Tensor, radius: int, axis: int) -> Tensor:
    """Means of 2 radius + 1 neighbours along an axis of [h,w], with zeros beyond its ends."""
    if not radius:
        return image
    rows = image if axis == 0 else image.T
    sums = F.pad(rows, (0, 0, radius + 1, radius)).cumsum(0)
    means = (sums[2 * radius + 1 :] - sums[: -2 * radius - 1]) / (2 * radius + 1)
    return means if axis == 0 else means.T
