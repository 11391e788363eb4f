"""Result: what optimize returns, and how it leaves the program."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from texopt.errors import OptionError
from texopt.io.export import cut_out, export
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh
from texopt.mesh.vertex_buffers import map_parts
from texopt.render.padding import fill
from texopt.render.reached import Coverage, all_around, reached_texels
from texopt.render.scene import Scene
from texopt.render.uv_raster import covered
from texopt.show.history import Ending, Step
from texopt.show.loss_plot import loss_plot
from texopt.show.preview import contact_sheet, lit
from texopt.show.viewer import viewer_html
from texopt.system.files import write_file
from texopt.system.images import png_of, to_image
from texopt.system.pages import give_back
from texopt.texture.relief import Relief
from texopt.texture.relief_maps import finish_of
from texopt.texture.texture_set import TextureSet, with_kept

DRAWN = 2048  # texels a side that pictures of the whole object can show


REPORTS = ("preview.png", "viewer.html", "loss.png", "history.csv")  # what save writes beside the model


def _widened(there: Tensor) -> Tensor:
    """bool [H,W]: what is there, and what is beside it: a bilinear look-up at a chart's edge reaches a texel out."""
    for axis in (0, 1):
        before, after = there.narrow(axis, 1, there.shape[axis] - 1), there.narrow(axis, 0, there.shape[axis] - 1)
        wider = there.clone()
        wider.narrow(axis, 0, before.shape[axis]).logical_or_(before)
        wider.narrow(axis, 1, after.shape[axis]).logical_or_(after)
        there = wider
    return there


class Result:
    """A textured mesh.

    mesh: as it was given. texture: the optimised nn.Module, or a list of them, one a map. history: a Step for every
    step. ending: how the run ended: "finished", "stopped" (by Ctrl-C or a signal), "diverged" (its loss stayed NaN or
    infinite) or "rank lost" (another process of it has died). skipped: steps that were left out, as their loss or
    gradient was not finite. coverage: views that see what the run saw; the rest is filled.
    """

    def __init__(
        self, mesh: Mesh, texture: Any, history: list[Step], ending: Ending = "finished", skipped: int = 0,
        coverage: Coverage = all_around,
    ) -> None:  # fmt: skip
        self.mesh, self.texture, self.history, self.ending = mesh, texture, history, ending
        self.skipped, self.coverage = skipped, coverage

    @property
    def interrupted(self) -> bool:
        """Whether the run ended early."""
        return self.ending != "finished"

    @cached_property
    def images(self) -> list[Tensor]:
        """The textures to export, one a map: float32 [3,H,W] in [0,1] on the CPU, row 0 on top; [4,H,W] with opacity.

        Texels that no face uses or no view sees are filled from those around them. What is kept is the original.
        """
        give_back()  # what the steps took
        mesh, textures = self.mesh, TextureSet(self.mesh, self.texture)
        baked = [image.cpu() for image in textures.bake()]
        filled, sizes = [], [(image.shape[1], image.shape[2]) for image in baked]
        for index, reached in zip(mesh.optimized, reached_texels(mesh, sizes, self.coverage), strict=True):
            faces, wrap = mesh.face_uvs[mesh.face_map == index], mesh.maps[index].wrap
            height, width = reached.shape
            used = _widened(covered(mesh.uvs, faces, height, width, wrap))
            filled.append(fill(baked.pop(0), used & reached))
        give_back()
        return with_kept(mesh, filled)

    @cached_property
    def finishes(self) -> list[Finish | None]:
        """Relief and roughness, one a map; None where it has no relief, so that what the mesh came with stays."""
        textures = TextureSet(self.mesh, self.texture).textures
        found: list[Finish | None] = [None] * len(self.mesh.maps)
        for index, texture in zip(self.mesh.optimized, textures, strict=True):
            if isinstance(texture, Relief):
                found[index] = finish_of(self.mesh, index, texture)
        return found

    @property
    def has_relief(self) -> bool:
        """Whether there is more to see under light than a painted surface."""
        return any(self.finishes)

    @property
    def image(self) -> Tensor:
        """The texture of a mesh that has only one, as of `images`."""
        if len(self.mesh.optimized) > 1:
            raise OptionError(f"{self.mesh.name} has {len(self.mesh.optimized)} textures; use images")
        return self.images[self.mesh.optimized[0]]

    def textured(self) -> Mesh:
        """The mesh with the new textures in the place of the originals, 8 bits a channel: to be evaluated or drawn."""
        pictures = [np.array(to_image(image[:3])) for image in self.images]
        mesh = cut_out(self.mesh, self.images)
        maps = [
            replace(old, original=new, finish=finish or old.finish)
            for old, new, finish in zip(mesh.maps, pictures, self.finishes, strict=True)
        ]
        return replace(mesh, maps=tuple(maps))

    def export(
        self, path: str | os.PathLike[str], bits: int = 8, unlit: bool = False, normals: str = "opengl"
    ) -> list[Path]:
        """Write the textured mesh as .obj (with .mtl and .png beside it), .glb, or only its textures as .png.

        Args:
            path: of the file; its ending says what is written.
            bits: 8 or 16 a channel, of the textures beside an .obj and of .png.
            unlit: have engines show a .glb's colours without light (KHR_materials_unlit).
            normals: "opengl" or "directx", which way green points in the normal map of a relief beside an .obj or .png.

        A mesh that is as it was read goes out as its file, with what else that holds, also where its vertices were
        moved; one whose faces or UVs are others is written from its arrays, see texopt.io.export.export.

        Returns the files. OutputError where they cannot be written, or would overwrite what the mesh came from.
        """
        return export(self.mesh, self.images, path, bits, unlit, self.finishes, normals)

    @cached_property
    def drawn(self) -> list[Tensor]:
        """The images, no finer than pictures of the whole object show them."""
        steps = [tuple(max(side // DRAWN, 1) for side in image.shape[1:]) for image in self.images]
        return [avg_pool2d(image, step) for image, step in zip(self.images, steps, strict=True)]

    def preview(self) -> Image.Image:
        """The contact sheet: eight views, before over after; under a lamp where there is relief."""
        before, after = self.mesh.originals(), self.drawn
        if not self.has_relief:
            return contact_sheet(self.mesh, before, after)
        scene = Scene(self.mesh)
        return contact_sheet(self.mesh, lit(scene, before), lit(scene, after, self.finishes))

    def _repr_png_(self) -> bytes:
        """What a notebook shows that draws no pages: the contact sheet."""
        return png_of(self.preview())

    def _repr_html_(self) -> str:
        """What a notebook shows: the viewer."""
        page = html.escape(self.viewer().decode())
        return (
            f'<iframe srcdoc="{page}" style="width: 100%; height: 480px; border: 0" title="{self.mesh.name}"></iframe>'
        )

    def history_csv(self) -> str:
        """step, seconds since the start, then every named term before weighting and the weighted sum, `loss`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["step", "seconds", *(self.history[0].terms if self.history else [])])
        for step in self.history:
            writer.writerow([step.number, f"{step.seconds:.3f}", *(f"{value:.6g}" for value in step.terms.values())])
        return buffer.getvalue()

    def viewer(self) -> bytes:
        """viewer.html: a page that shows the model before and after, offline in any browser."""
        mesh = self.mesh
        before = mesh.pictures()
        after = [
            before[index] if texture.kept else to_image(self.images[index][:3])
            for index, texture in enumerate(mesh.maps)
        ]
        if not self.has_relief:
            return viewer_html(mesh.name, map_parts(mesh), before, after)
        old = [one.finish for one in mesh.maps]
        new = [after or before for before, after in zip(old, self.finishes, strict=True)]
        return viewer_html(mesh.name, map_parts(mesh), before, after, old, new)

    def save(
        self,
        folder: str | os.PathLike[str],
        formats: Sequence[str] = ("obj",),
        bits: int = 8,
        unlit: bool = False,
        normals: str = "opengl",
    ) -> Path:
        """Write the model, preview.png, viewer.html, loss.png and history.csv into a folder.

        formats: of the model: obj, glb, png. bits: as of export; in a .glb there are always 8. unlit, normals: as of
            export.
        """
        folder = Path(folder)
        self.images, self.finishes  # noqa: B018  (made once, before two threads ask for them)
        with ThreadPoolExecutor(1) as beside:
            page = beside.submit(self.viewer)  # encoding its pictures keeps one core busy
            for ending in formats:
                self.export(folder / f"{self.mesh.name}.{ending}", 8 if ending == "glb" else bits, unlit, normals)
            contents = png_of(self.preview()), page.result(), loss_plot(self.history), self.history_csv().encode()
        for name, data in zip(REPORTS, contents, strict=True):
            write_file(folder / name, data)
        return folder
