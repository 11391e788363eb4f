"""Result: what optimize returns, and how it leaves the program."""

from __future__ import annotations

import csv
import io
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from texopt.cameras import fixed_views
from texopt.export import export
from texopt.export.atlas import fill
from texopt.images import write_file
from texopt.mesh import Mesh, original_texture
from texopt.preview import contact_sheet, loss_plot
from texopt.render import Scene, look_up
from texopt.uvspace import covered

if TYPE_CHECKING:
    from texopt.loop import Step

COVERAGE_VIEWS, COVERAGE_SIZE = 48, 512


def reached_texels(mesh: Mesh, height: int, width: int) -> Tensor:
    """bool [H,W]: texels that views from all around look at, at whatever mip level."""
    scene, cameras = Scene(mesh), fixed_views(COVERAGE_VIEWS)
    reached = torch.zeros(1, height, width, requires_grad=True)
    for start in range(0, COVERAGE_VIEWS, 8):  # eight at a time bound the memory
        fragments = scene.rasterize(cameras[start : start + 8], COVERAGE_SIZE)
        (look_up(reached, fragments)[:, 0] * fragments.mask).sum().backward()  # type: ignore[no-untyped-call]
    assert reached.grad is not None
    return reached.grad[0] > 0


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
        used = covered(self.mesh.uvs, self.mesh.face_uvs, height, width)[None].float()
        used = max_pool2d(used, 3, 1, 1)[0] > 0  # a bilinear look-up at the edge of a chart reaches one texel out of it
        valid = used & reached_texels(self.mesh, height, width)
        return fill(baked, valid)

    def export(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the textured mesh as .obj (with .mtl and .png beside it), .glb, or only the texture as .png.

        Returns the files. OutputError where they cannot be written, or would overwrite what the mesh came from.
        """
        return export(self.mesh, self.image, path)

    def preview(self) -> Image.Image:
        """The contact sheet: eight views, before over after."""
        before = original_texture(self.mesh, *self.image.shape[1:])
        return contact_sheet(self.mesh, before, self.image)

    def history_csv(self) -> str:
        """step, seconds since the start, then every named term before weighting and the weighted sum, `loss`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["step", "seconds", *(self.history[0].terms if self.history else [])])
        for step in self.history:
            writer.writerow([step.number, f"{step.seconds:.3f}", *(f"{value:.6g}" for value in step.terms.values())])
        return buffer.getvalue()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write everything into a folder: NAME.obj, NAME.mtl, NAME.png, preview.png, loss.png, history.csv."""
        folder = Path(folder)
        self.export(folder / f"{self.mesh.name}.obj")
        sheet = io.BytesIO()
        self.preview().save(sheet, "PNG")
        write_file(folder / "preview.png", sheet.getvalue())
        write_file(folder / "loss.png", loss_plot(self.history))
        write_file(folder / "history.csv", self.history_csv().encode())
        return folder
