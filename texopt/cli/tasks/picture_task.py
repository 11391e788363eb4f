"""texopt image, interpolate: what is optimised on an image, and what is written of it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from texopt.cli.options.pictures import ImageConfig, InterpolateConfig, PictureConfig
from texopt.cli.style_recipe import FIRST
from texopt.cli.tasks.mesh_task import TEXTURES
from texopt.cli.tasks.task import check_options, descent_of
from texopt.errors import ImageError, OptionError
from texopt.features.backbones import load_backbone
from texopt.features.extractor import STRIDE, FeatureExtractor
from texopt.features.view_sizes import check_stride, sides
from texopt.mesh.image_canvas import canvas, canvas_size
from texopt.mesh.mesh import Mesh
from texopt.mesh.shape import Shape
from texopt.objectives import (
    Objective,
    across_frames,
    by_frame,
    content,
    diversity,
    inversion,
    style,
    total_variation,
    transparent,
)
from texopt.objectives.gram_matrices import DECAY
from texopt.objectives.targets import layers_of, parse_target, parse_targets
from texopt.optim.result import Result
from texopt.optim.views import Views
from texopt.render.cameras import Sampler
from texopt.render.canvas_cameras import crops, octaves, whole
from texopt.render.transforms import Transform, robust
from texopt.show.history import Step
from texopt.show.loss_plot import loss_plot
from texopt.show.video import Timelapse, write_video
from texopt.system.files import write_file
from texopt.system.images import load_image, png_of, to_image
from texopt.texture import Cppn, CppnTexture, SharedTexture, Texture, TransparentTexture
from texopt.texture.image import MAX_SIZE, periodic
from texopt.texture.paintings import repainted

log = logging.getLogger("texopt")

LARGE = 1024  # pixels a side, above which a pyramid computes what a crop sees
SMALLEST = 32  # pixels a side: networks halve images up to five times
CELLS = 2  # a side that a layer should have, to tell a part of the image from another
STEP = 0.25  # seconds that a frame of an interpolation is shown


def size_of(config: PictureConfig, image: Image.Image | None) -> tuple[int, int]:
    """(height, width) of what is made. OptionError or ImageError where it cannot be."""
    if image is not None and not config.size:
        height, width = image.height, image.width
    else:
        if len(config.size) > 2:
            raise OptionError(f"size has to be one number of pixels or height and width, not {config.size}")
        height, width = (config.size * 2)[:2] if config.size else (256, 256)
    if min(height, width) < SMALLEST:
        raise ImageError(f"{width}x{height} pixels are too few for a network to see; take {SMALLEST} a side or more")
    if max(height, width) > MAX_SIZE:
        raise ImageError(f"{width}x{height} pixels are too many; take {MAX_SIZE} a side or less")
    return height, width


def cameras_for(mesh: Mesh, limit: int, tileable: bool, stride: int = STRIDE) -> tuple[Sampler, tuple[int, int]]:
    """Cameras that see the whole of the pictures, or crops of those that are larger than the limit; and their size.

    A picture that goes on beyond its borders is always seen in windows that lie across them. stride: of the network.
    """
    height, width = mesh.maps[0].original.shape[:2]
    if max(height, width) <= limit:
        rows, columns = (max(round(side / stride), 1) * stride for side in (height, width))
        shorter = min(height, width)
        sampler = crops(mesh, height / shorter, width / shorter) if tileable else whole(mesh)
        return sampler, (rows, columns)
    window = [min(limit, side // stride * stride) for side in (height, width)]
    return crops(mesh, *(side / min(height, width) for side in window)), (window[0], window[1])


def sees_whole(config: ImageConfig, mesh: Mesh) -> bool:
    """Whether every view is the same: the whole image."""
    side = max(mesh.maps[0].original.shape[:2])
    return side <= config.view_size and not config.tileable and config.octaves == 1 and len(mesh.maps) == 1


def image_objective(config: ImageConfig, mesh: Mesh, paintings: Sequence[Image.Image]) -> Objective:
    """What `texopt image` minimises. OptionError where that is nothing."""
    parts: list[Objective] = []
    if config.target:
        goals = parse_targets(config.target)
        goal = goals[0] if len(goals) == 1 else by_frame(goals)
        parts.append(transparent(goal) if config.transparent else goal)
    if paintings:
        scale = config.style_scale / (2 * mesh.normalization()[1])  # of the canvas, whose images' shorter side is 1
        # the moving average is for views that differ
        parts.append(style(list(paintings), scale=scale, decay=0.0 if sees_whole(config, mesh) else DECAY))
        if config.image and config.strength < 1:
            parts.append(FIRST * content().below(max(config.strength, 0.02)))
    if config.invert:
        parts.append(inversion(config.invert))
    if not parts:
        raise OptionError("there is nothing to make: give --target, --style or --invert (with an image)")
    if config.smooth:
        parts.append(config.smooth * total_variation())
    if config.diversity:
        parts.append(config.diversity * diversity(config.target.partition(":")[0]))
    return sum(parts[1:], parts[0])


def checked(config: ImageConfig) -> ImageConfig:
    """The options of `texopt image`, with as many frames as targets. OptionError for those that do not go together."""
    if not 0 <= config.strength <= 1:
        raise OptionError(f"strength has to be between 0 (the image) and 1 (style only), not {config.strength}")
    if config.frames < 1:
        raise OptionError(f"frames has to be 1 or more, not {config.frames}")
    if (count := len(parse_targets(config.target)) if config.target else 1) > 1:
        if config.frames not in (1, count):
            raise OptionError(f"{count} targets are for {count} frames, not {config.frames}; leave --frames out")
        config = replace(config, frames=count)
    if config.diversity and (config.frames < 2 or ":" not in config.target):
        raise OptionError("diversity is of several frames with a layer's target: --frames 4 --target blocks.4:17")
    if not 1 <= config.octaves <= 8:
        raise OptionError(f"octaves has to be between 1 and 8, not {config.octaves}")
    if config.invert and not config.image:
        raise OptionError("there is no image to invert; give one: texopt image PHOTO --invert LAYER")
    if config.start == "original" and not config.image:
        raise OptionError("there is no image to start from; give one: texopt image PHOTO")
    if config.start == "repainted" and not config.style:
        raise OptionError("there is no painting whose colours to start in; give --style IMAGE")
    if config.transparent and not config.target:
        raise OptionError("what is not needed is known with a target only; give --target")
    if config.texture == "cppn" and first_start(config) != "noise":
        raise OptionError("a CPPN starts from patterns of its own; add --start noise, or take --texture fourier")
    if config.texture == "cppn" and config.tileable:
        raise OptionError("a CPPN ends at its borders; take --texture fourier for one that goes on across them")
    return config


def first_start(config: ImageConfig) -> str:
    """What --start auto stands for."""
    if config.start != "auto":
        return config.start
    if config.invert or (config.texture == "cppn" and not config.image):
        return "noise"
    return "repainted" if config.style else "original" if config.image else "noise"


def warn_of_few_cells(extractor: FeatureExtractor, objective: Objective, size: tuple[int, int]) -> None:
    """Say which layers that are to be excited see a view of a size as a single cell."""
    layers = layers_of(objective)
    with torch.no_grad():
        seen = extractor(torch.zeros(1, 3, *size, device=extractor.mean.device), layers) if layers else {}
    for layer, features in seen.items():
        cells = features.shape[2:] if features.ndim == 4 else torch.Size(side // extractor.stride for side in size)
        if min(cells) < CELLS:
            log.warning(
                "%s sees an image of %dx%d as %dx%d cells, too few for what it looks for; take a larger --size",
                layer, size[1], size[0], cells[1], cells[0],
            )  # fmt: skip


class PictureTask(ABC):
    """What `texopt image` and `interpolate` have in common: see texopt.cli.tasks.task.Task. TexoptError for what
    cannot be."""

    config: PictureConfig
    transform: Transform | None = None
    shape: Shape | None = None  # pictures are flat
    tileable = False

    def __init__(self, config: PictureConfig, device: torch.device) -> None:
        self.config, self.device, self.steps = config, device, config.steps

    def prepare(self) -> None:
        given = self.check()
        check_options(self.config)
        self.size, self.frames = size_of(self.config, given), self.frame_count()
        self.kind = self.config.texture
        if self.kind == "auto":
            self.kind = "pyramid" if max(self.size) > LARGE else "fourier"
        self.mesh = self._canvas(given)
        self.objective = self.make_objective()
        self.extractor = load_backbone(self.config.backbone, self.config.weights, self.device)
        check_stride(self.config.view_size, self.extractor.stride)
        self.descent, self.views = descent_of(self.config), self._views()
        generator = torch.Generator().manual_seed(self.config.seed)
        self.textures = self.make_textures(generator, canvas_size(*self.size))
        self.folder = self.config.out or Path("outputs") / self.config.name()
        self.config = replace(self.config, out=self.folder, views_per_step=self.views.per_step)
        (height, width), seen = self.size, sides(self.views.size)
        images = f"{self.frames} images" if self.frames > 1 else "an image"
        self.described = f"{images} of {width}x{height}, seen at {seen[1]}x{seen[0]}; {self.kind} texture"

    def _canvas(self, given: Image.Image | None) -> Mesh:
        height, width = self.size
        if given is None:
            return canvas(None, self.size, self.frames, self.tileable)
        resized = given.resize((width, height), Image.Resampling.LANCZOS)
        return canvas([resized] * self.frames, tileable=self.tileable)

    def _views(self) -> Views:
        config = self.config
        cameras, size = cameras_for(self.mesh, config.view_size, self.tileable, self.extractor.stride)
        warn_of_few_cells(self.extractor, self.objective, size)
        return Views(
            cameras=self.nearer(cameras), size=size, per_step=max(config.views_per_step, self.frames),
            transform=self.transform, coarse=config.coarse,
        )  # fmt: skip

    @abstractmethod
    def check(self) -> Image.Image | None:
        """Say what cannot be of the command's own options; the image that it starts from, if there is one."""

    @abstractmethod
    def frame_count(self) -> int:
        """How many images are made at once."""

    @abstractmethod
    def make_objective(self) -> Objective:
        """What is minimised. self.mesh is there."""

    def nearer(self, cameras: Sampler) -> Sampler:
        """The cameras, and others that look nearer."""
        return cameras

    def starts(self, generator: torch.Generator, size: tuple[int, int]) -> list[Tensor | None]:
        """What each of the textures starts from."""
        return [None] * self.frames

    def make_textures(self, generator: torch.Generator, size: tuple[int, int]) -> list[Texture]:
        """One a frame."""
        if self.kind == "cppn":
            return [self.network(generator, size) for _ in range(self.frames)]
        return [TEXTURES[self.kind](size, start, generator) for start in self.starts(generator, size)]

    def network(self, generator: torch.Generator, size: tuple[int, int]) -> CppnTexture:
        """A CPPN, whose patterns are as wide as high whatever the image's sides are."""
        height, width = self.size
        return CppnTexture(size, Cppn(generator=generator), scale=(width / min(self.size), height / min(self.size)))

    def image_files(self) -> list[Path]:
        """Of the frames."""
        if self.frames == 1:
            return [self.folder / "image.png"]
        return [self.folder / f"image_{number}.png" for number in range(1, self.frames + 1)]

    def files(self) -> list[Path]:
        return [*self.image_files(), *(self.folder / name for name in ("loss.png", "history.csv"))]

    def watchers(self) -> list[Callable[[Step], None]]:
        return []

    def current(self) -> dict[str, dict[str, Image.Image]]:
        return {}

    def timelapse(self) -> Timelapse:
        return Timelapse(lambda: self._images()[0], self.config.steps)

    def own_error(self, error: Exception) -> OptionError | None:
        return None

    def finish(self, results: Sequence[Result]) -> None:
        return None

    def _images(self) -> list[Image.Image]:
        return [to_image(texture.bake(*self.size).detach()) for texture in self.textures]

    def write(self, results: Sequence[Result]) -> str:
        (result,) = results
        images, files = self._images(), self.image_files()
        for file, image in zip(files, images, strict=True):
            write_file(file, png_of(image))
        files += self.write_more(images)
        write_file(self.folder / "loss.png", loss_plot(result.history))
        write_file(self.folder / "history.csv", result.history_csv().encode())
        return f"{files[0]}" + (f" to {files[-1].name}" if len(files) > 1 else "")

    def write_more(self, images: Sequence[Image.Image]) -> list[Path]:
        """Write what else the images make."""
        return []


class ImageTask(PictureTask):
    """`texopt image`."""

    config: ImageConfig

    def check(self) -> Image.Image | None:
        self.config = config = checked(self.config)
        self.tileable = config.tileable
        given = load_image(config.image, min_size=SMALLEST) if config.image else None
        self.paintings = [load_image(path, min_size=16) for path in config.style]
        self.transform = None if self.paintings or config.invert else robust()
        return given

    def frame_count(self) -> int:
        return self.config.frames

    def make_objective(self) -> Objective:
        return image_objective(self.config, self.mesh, self.paintings)

    def nearer(self, cameras: Sampler) -> Sampler:
        return octaves(self.mesh, cameras, self.config.octaves) if self.config.octaves > 1 else cameras

    def starts(self, generator: torch.Generator, size: tuple[int, int]) -> list[Tensor | None]:
        start, found = first_start(self.config), super().starts(generator, size)
        if start == "repainted":
            found = list(repainted(self.mesh, self.paintings, generator=generator))
        elif start == "original":
            found = list(self.mesh.originals([size] * self.frames))
        if self.tileable:
            found = [start if start is None else periodic(start).clamp(0, 1) for start in found]
        return found

    def make_textures(self, generator: torch.Generator, size: tuple[int, int]) -> list[Texture]:
        if not self.config.transparent:
            return super().make_textures(generator, size)
        if self.kind == "cppn":
            pairs = ((self.network(generator, size), self.network(generator, size)) for _ in range(self.frames))
            return [TransparentTexture(color, alpha) for color, alpha in pairs]
        return [TransparentTexture(texture, size) for texture in super().make_textures(generator, size)]


class InterpolateTask(PictureTask):
    """`texopt interpolate`."""

    config: InterpolateConfig
    transform = staticmethod(robust())

    def check(self) -> None:
        if self.config.frames < 2:
            raise OptionError(f"frames has to be 2 or more to go from one to another, not {self.config.frames}")
        if self.config.share and self.config.texture == "cppn":
            raise OptionError("CPPNs have no part of lower resolution to share; add --no-share")

    def frame_count(self) -> int:
        return self.config.frames

    def make_objective(self) -> Objective:
        return across_frames(parse_target(self.config.first), parse_target(self.config.last))

    def make_textures(self, generator: torch.Generator, size: tuple[int, int]) -> list[Texture]:
        if self.config.share:
            return list(SharedTexture.several(self.frames, size, generator))
        return super().make_textures(generator, size)

    def files(self) -> list[Path]:
        return [*super().files(), self.folder / "image.gif"]

    def write_more(self, images: Sequence[Image.Image]) -> list[Path]:
        file = self.folder / "image.gif"
        write_video(file, [*images, *images[-2:0:-1]], 1 / STEP)
        return [file]
