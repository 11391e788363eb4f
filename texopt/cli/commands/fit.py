"""What `texopt fit` compares with: photographs, their cameras, and those that are held out."""

from __future__ import annotations

import logging

from texopt.cli.options.runs import FitConfig
from texopt.errors import OptionError
from texopt.io.transforms_json import read_photos
from texopt.mesh.mesh import Mesh
from texopt.objectives import Objective, photographs, seam
from texopt.optim.result import Result
from texopt.render.cameras import Sampler
from texopt.render.photo_cameras import PhotoCameras, fineness, window_size
from texopt.render.photos import Photos

log = logging.getLogger("texopt")

SEAM = 0.1  # weight of equal colours on both sides of seams, which photographs see only as well as they are sharp
POOR = 18.0  # dB, under which cameras and mesh hardly fit together


class Fit:
    """The photographs of a run. OptionError or ImageError where they cannot be had, before anything is computed."""

    def __init__(self, config: FitConfig) -> None:
        self.config = config
        self.photos, self.held_out = read_photos(config.cameras, config.up, config.undo_transform), Photos([])
        count, every = len(self.photos), config.hold_out
        if every and not 2 <= every <= count:
            raise OptionError(f"hold_out has to be 0 or between 2 and the number of photographs, {count}, not {every}")
        if every:
            self.held_out = self.photos[every - 1 :: every]
            self.photos = self.photos.chosen([index for index in range(count) if (index + 1) % every])

    def prepare(self, mesh: Mesh, sizes: list[int]) -> tuple[Objective, Sampler, tuple[int, int]]:
        """Objective, cameras and the (height, width) of views, for textures of those sizes."""
        factor = max(int(1 / max(fineness(self.photos, mesh, sizes), 1e-3)), 1)
        if factor > 1:
            log.info("photographs are taken %d times smaller: their pixels are finer than texels", factor)
            self.photos, self.held_out = self.photos.reduced(factor), self.held_out.reduced(factor)
        cameras = PhotoCameras(self.photos, mesh, window_size(self.photos, self.config.view_size))
        log.info(
            "%d photographs, and %d held out; views of %dx%d", len(self.photos), len(self.held_out), *cameras.size[::-1]
        )
        return photographs(self.photos, self.config.loss, self.config.exposure) + SEAM * seam(), cameras, cameras.size

    def report(self, result: Result) -> str:
        """How near the result is to the photographs, in a line."""
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
        return f"{line}, {told(self.held_out)} that were held out" if len(self.held_out) else line
