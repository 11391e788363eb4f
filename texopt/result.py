"""Result: what optimize returns, and how it leaves the program."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texopt import raster
from texopt.cameras import fixed_views
from texopt.export.atlas import fill
from texopt.mesh import Mesh
from texopt.render import rasterize
from texopt.uvspace import covered

if TYPE_CHECKING:
    from texopt.optimize import Step

COVERAGE_VIEWS, COVERAGE_SIZE = 64, 512


def reached_texels(mesh: Mesh, height: int, width: int) -> Tensor:
    """bool [H,W]: texels that views from all around look at, at whatever mip level."""
    reached = torch.zeros(1, height, width, 1, requires_grad=True)
    for index in range(COVERAGE_VIEWS):
        view = fixed_views(COVERAGE_VIEWS)[index : index + 1]
        fragments = rasterize(mesh, view, COVERAGE_SIZE)
        uv = torch.stack([fragments.uv[..., 0], 1 - fragments.uv[..., 1]], -1)
        seen = raster.texture(reached, uv, fragments.uv_da)
        (seen[..., 0] * fragments.mask).sum().backward()  # type: ignore[no-untyped-call]
    assert reached.grad is not None
    return reached.grad[0, ..., 0] > 0


class Result:
    """A textured mesh.

    mesh: as it was given. texture: the optimised nn.Module. history: a Step for every step. interrupted: whether Ctrl-C
    ended the run early.
    """

    def __init__(self, mesh: Mesh, texture: Any, history: list[Step], interrupted: bool = False) -> None:
        self.mesh, self.texture, self.history, self.interrupted = mesh, texture, history, interrupted

    @cached_property
    def image(self) -> Tensor:
        """The texture to export: float32 [3,H,W] in [0,1] on the CPU, row 0 on top.

        Texels that no face uses or no view sees are filled from those around them.
        """
        with torch.no_grad():
            baked = self.texture.bake().cpu()
        height, width = baked.shape[1:]
        valid = covered(self.mesh.uvs, self.mesh.face_uvs, height, width) & reached_texels(self.mesh, height, width)
        return fill(baked, valid)
