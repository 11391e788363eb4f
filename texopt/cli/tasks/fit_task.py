"""`texopt fit`: the texture of a mesh from photographs with known cameras, some of which may be held out."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.cli.options.runs import FitConfig
from texopt.cli.tasks.mesh_task import MeshTask
from texopt.errors import OptionError
from texopt.io.transforms_json import read_photos
from texopt.mesh.shape import SMOOTHNESS
from texopt.objectives import Objective, find_light, photographs, seam, silhouettes
from texopt.optim.result import Result
from texopt.optim.views import Views
from texopt.render.photo_cameras import PhotoCameras, fineness, window_size
from texopt.render.photos import Photos
from texopt.render.shading import irradiance
from texopt.system.files import write_file
from texopt.texture.image import Start

log = logging.getLogger("texopt")

SEAM = 0.1  # weight of equal colours on both sides of seams, which photographs see only as well as they are sharp
GREY = (0.5, 0.5, 0.5)
LIGHT = "light.json"  # beside the model
ABOUT_LIGHT = {
    "order": "real spherical harmonics (l,m) of degree 2: (0,0) (1,-1) (1,0) (1,1) (2,-2) (2,-1) (2,0) (2,1) (2,2)",
    "unit": "radiance from all around, linear RGB; the mean irradiance of what the photographs show is pi",
    "coordinates": "x, y and z of the mesh file",
}
ASSUMED = "with the light assumed white and its mean 1, and colours that do not follow normals"
POOR = 18.0  # dB, under which cameras and mesh hardly fit together


class FitTask(MeshTask):
    """See texopt.cli.tasks.task.Task."""

    config: FitConfig
    light: Tensor | None = None
    smoothness = SMOOTHNESS

    def check(self) -> None:
        config = self.config
        if config.relief:
            raise OptionError("a texture from photographs has no relief, as --relief is of strokes; leave relief out")
        if config.texture == "cppn":
            raise OptionError("a CPPN is too smooth for photographs; take --texture pyramid")
        self.photos, self.held_out = read_photos(config.cameras, config.up, config.undo_transform), Photos([])
        count, every = len(self.photos), config.hold_out
        if every and not 2 <= every <= count:
            raise OptionError(f"hold_out has to be 0 or between 2 and the number of photographs, {count}, not {every}")
        if every:
            self.held_out = self.photos[every - 1 :: every]
            self.photos = self.photos.chosen([index for index in range(count) if (index + 1) % every])

    def make_objective(self) -> Objective:
        factor = max(int(1 / max(fineness(self.photos, self.mesh, self.sizes), 1e-3)), 1)
        if factor > 1:
            log.info("photographs are taken %d times smaller: their pixels are finer than texels", factor)
            self.photos, self.held_out = self.photos.reduced(factor), self.held_out.reduced(factor)
        self.cameras = PhotoCameras(self.photos, self.mesh, window_size(self.photos, self.config.view_size))
        log.info(
            "%d photographs, and %d held out; views of %dx%d",
            len(self.photos),
            len(self.held_out),
            *self.cameras.size[::-1],
        )
        if self.config.delight:
            self.light = find_light(self.photos, self.mesh)
            log.info("light: %s", told_light(self.light))
        goal = photographs(self.photos, self.config.loss, self.config.exposure, self.light) + SEAM * seam()
        return goal + silhouettes(self.photos) if self.config.shape else goal

    def make_views(self) -> Views:
        return self.views_of(self.cameras, self.cameras.size)

    def starts(self, generator: Generator) -> Sequence[Start]:
        return self.originals() if self.config.start == "original" else [GREY] * len(self.sizes)

    def files(self) -> list[Path]:
        return super().files() + ([self.folder / LIGHT] if self.config.delight else [])

    def write(self, results: Sequence[Result]) -> str:
        told = super().write(results)
        if self.light is None:
            return told
        write_file(self.folder / LIGHT, light_json(self.light))
        return f"{told}, and {LIGHT}"

    def report(self, result: Result) -> None:
        from texopt.evaluation.held_out import photo_psnr

        def told(photos: Photos) -> str:
            found = photo_psnr(result.mesh, result.images, photos, self.config.exposure, self.light)
            if not found:
                return "of no photograph"
            mean = sum(found) / len(found)
            if mean < POOR and not result.interrupted:
                log.warning(
                    "photographs and mesh hardly fit together (%.1f dB); check that cameras and mesh are in one space "
                    "(--up z), and --steps", mean,
                )  # fmt: skip
            return f"{mean:.1f} dB over {len(found)} photographs"

        line = f"PSNR {told(self.photos)}"
        line = f"{line}, {told(self.held_out)} that were held out" if len(self.held_out) else line
        print(line if self.light is None else f"{line}; {ASSUMED}")


def light_json(light: Tensor) -> bytes:
    """light.json: an environment [9,3], as of texopt.Light, and what its numbers are."""
    rows = [[round(value, 6) for value in row] for row in light.tolist()]
    return (json.dumps({"environment": rows, **ABOUT_LIGHT}, indent=1) + "\n").encode()


def told_light(light: Tensor) -> str:
    """Where most of a light is from, and how directional it is, in words. light: [9,3]."""
    toward = F.normalize(light[[3, 1, 2]].mean(1), dim=0)
    most = float(irradiance(light[None], toward[None]).mean()) / math.pi
    x, y, z = toward.tolist()
    return f"most of it is from ({x:.2f}, {y:.2f}, {z:.2f}); what faces it has {most:.1f} times the mean"
