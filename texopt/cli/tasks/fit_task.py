"""`texopt fit`: the texture of a mesh from photographs with known cameras, some of which may be held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Generator

from texopt.cli.options.runs import FitConfig
from texopt.cli.tasks.mesh_task import MeshTask
from texopt.errors import OptionError
from texopt.io.transforms_json import read_photos
from texopt.mesh.shape import SMOOTHNESS
from texopt.objectives import Objective, photographs, seam, silhouettes
from texopt.optim.result import Result
from texopt.optim.views import Views
from texopt.render.photo_cameras import PhotoCameras, fineness, window_size
from texopt.render.photos import Photos
from texopt.texture.image import Start

log = logging.getLogger("texopt")

SEAM = 0.1  # weight of equal colours on both sides of seams, which photographs see only as well as they are sharp
GREY = (0.5, 0.5, 0.5)
POOR = 18.0  # dB, under which cameras and mesh hardly fit together


class FitTask(MeshTask):
    """See texopt.cli.tasks.task.Task."""

    config: FitConfig
    smoothness = SMOOTHNESS

    def check(self) -> None:
        config = self.config
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
        goal = photographs(self.photos, self.config.loss, self.config.exposure) + SEAM * seam()
        return goal + silhouettes(self.photos) if self.config.shape else goal

    def make_views(self) -> Views:
        return self.views_of(self.cameras, self.cameras.size)

    def starts(self, generator: Generator) -> Sequence[Start]:
        return self.originals() if self.config.start == "original" else [GREY] * len(self.sizes)

    def report(self, result: Result) -> None:
        from texopt.evaluation.held_out import photo_psnr

        def told(photos: Photos) -> str:
            found = photo_psnr(result.mesh, result.images, photos, self.config.exposure)
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
        print(f"{line}, {told(self.held_out)} that were held out" if len(self.held_out) else line)
