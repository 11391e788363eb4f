"""MeshTask: what the tasks of one mesh have in common: its checks, its files, its pages."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from texopt.cli import memory_budget
from texopt.cli.loading import described, load
from texopt.cli.options.runs import RunConfig
from texopt.cli.options.texts import listed
from texopt.cli.tasks.task import check_options, descent_of
from texopt.errors import OptionError
from texopt.features.backbones import load_backbone
from texopt.features.extractor import FeatureExtractor
from texopt.features.view_sizes import Size, check_stride
from texopt.io.export import FORMATS, check_movable, check_target, model_files
from texopt.io.export_names import texture_files
from texopt.io.transforms_json import read_cameras
from texopt.mesh.crossings import crossing_faces
from texopt.mesh.mesh import Mesh
from texopt.mesh.shape import Shape
from texopt.mesh.surface_points import random_points
from texopt.mesh.vertex_buffers import map_parts
from texopt.objectives import Objective, on, seam
from texopt.objectives import lit as lit_views
from texopt.optim.descent import Descent
from texopt.optim.result import REPORTS, Result
from texopt.optim.views import Views
from texopt.render.backgrounds import Background, plain, random_color, smooth_noise
from texopt.render.cameras import Cameras, Sampler, close_ups, sample_sphere, with_close_ups
from texopt.render.photo_cameras import framed_cameras
from texopt.render.scene import Scene
from texopt.render.shading import swinging_lamp
from texopt.render.transforms import Transform
from texopt.show.history import Step
from texopt.show.preview import SUPERSAMPLE, Shown, developed, draw, framed, lit
from texopt.show.video import Timelapse, check_videos, turntable, write_video
from texopt.system.images import to_image
from texopt.texture import Cppn, CppnTexture, FourierTexture, PixelTexture, PyramidTexture, Relief, Texture, TextureSet
from texopt.texture.image import Start, check_size
from texopt.texture.relief import FINEST as STROKES
from texopt.texture.relief import check_depth
from texopt.texture.texture_set import Surface, with_kept

if TYPE_CHECKING:
    from texopt.show.live import LivePage

log = logging.getLogger("texopt")

TEXTURES: dict[str, type[PyramidTexture] | type[FourierTexture] | type[PixelTexture]] = {
    "pyramid": PyramidTexture,
    "fourier": FourierTexture,
    "pixel": PixelTexture,
}
BACKGROUNDS: dict[str, Background] = {"noise": smooth_noise(), "color": random_color(), "black": plain(0.0)}
POINTS = 8192  # that close-ups are of
VIDEO = 512  # pixels a side
LIT = 0.4  # share of the steps of a run with relief that see the object under light
CARVED = 2.0  # smoothness of a shape, for edges as fine as strokes
FARTHEST = 0.2  # diameters, that vertices may move
WHOLE = 1024  # texels a side, up to which all parameterisations take about the same time


class MeshTask(ABC):
    """See texopt.cli.tasks.task.Task. OptionError for what cannot be.

    What a command has of its own: `check`, `make_objective`, and where it differs `make_views` and `starts`.
    """

    config: RunConfig
    transform: Transform | None = None
    smoothness = CARVED  # of the shape, if that is optimised
    mesh: Mesh
    extractor: FeatureExtractor
    sizes: list[int]  # texels a side, of each texture
    folder: Path
    objective: Objective
    views: Views
    descent: Descent
    textures: list[Texture]
    shape: Shape | None
    described: str

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.config, self.device, self.steps = config, device, config.steps
        self._page: LivePage | None = None

    def prepare(self, extractor: FeatureExtractor | None = None) -> None:
        """Check the options, then read the inputs, then make what is optimised.

        extractor: of the network, where it has been loaded already.
        """
        self._check_options()
        self.check()
        self._read(extractor)
        self._make()

    def _check_options(self) -> None:
        config = self.config
        check_options(config)
        sample_sphere(distance=config.distance, elevation=config.elevation)  # says what cannot be
        if config.views_from and config.close_ups:
            raise OptionError(
                "--close-ups (and --preset final) look from anywhere; with --views-from add --close-ups 0"
            )
        usual = type(config).distance, type(config).elevation
        if config.views_from and (config.distance, config.elevation) != usual:
            raise OptionError("--views-from says where views are from; leave --distance and --elevation out")
        self._given = read_cameras(config.views_from) if config.views_from else []
        if config.relief:
            check_depth(config.relief)
            if config.unlit:
                raise OptionError("--unlit has engines show no light, which --relief is for; take one of them")
        _check_outputs(config)
        check_size(config.texture_size)
        check_bound(config.shape)
        if config.max_memory:
            memory_budget.parse_limit(config.max_memory)

    def _read(self, extractor: FeatureExtractor | None) -> None:
        config = self.config
        self.extractor = extractor or load_backbone(config.backbone, config.weights, self.device)
        check_stride(config.view_size, self.extractor.stride)
        self.mesh = load(config)
        if self.device.type == "cpu":
            memory_budget.check(config, self.mesh, self.extractor)
        self.folder = config.out or Path("outputs") / f"{self.mesh.name}_{config.name()}"
        self.config = replace(config, out=self.folder)
        for model in self._models():
            check_target(self.mesh, model, bool(config.relief))
            if config.shape:
                check_movable(self.mesh, model)

    def _make(self) -> None:
        config, mesh = self.config, self.mesh
        self.sizes = mesh.map_sizes(config.texture_size)
        self.objective, self.views, self.descent = self.make_objective(), self.make_views(), self.make_descent()
        self.textures = self._with_relief(self.make_textures(Generator().manual_seed(config.seed)))
        self.shape = Shape(mesh, config.shape, self.smoothness) if config.shape else None
        self.described = f"{mesh.name}: {len(mesh.faces):,} triangles; {config.texture} {described(mesh, self.sizes)}"

    def check(self) -> None:
        """Say what cannot be of the command's own options, and read the small files that they name, before anything is
        computed."""
        return None

    @abstractmethod
    def make_objective(self) -> Objective:
        """What is minimised. self.mesh, self.extractor and self.sizes, the textures', are there."""

    def make_views(self) -> Views:
        """Which renderings are looked at: from given cameras, or from all around, and close-ups in their share."""
        cameras = framed_cameras(self._given, self.mesh) if self._given else _cameras(self.config, self.mesh)
        return self.views_of(cameras, self.config.view_size)

    def make_descent(self) -> Descent:
        """How textures are stepped."""
        return descent_of(self.config)

    def starts(self, generator: Generator) -> Sequence[Start]:
        """What each of the textures starts from."""
        return [None] * len(self.sizes)

    def make_textures(self, generator: Generator) -> list[Texture]:
        """One a map that is optimised."""
        if self.config.texture == "cppn":
            return list(self.networks(generator))
        kind, starts = TEXTURES[self.config.texture], self.starts(generator)
        return [kind(size, start, generator) for size, start in zip(self.sizes, starts, strict=True)]

    def _with_relief(self, textures: list[Texture]) -> list[Texture]:
        if not self.config.relief:
            return textures
        return [
            Relief(texture, self.config.relief, min(size, STROKES))
            for texture, size in zip(textures, self.sizes, strict=True)
        ]

    def networks(self, generator: Generator) -> list[CppnTexture]:
        """CPPN textures, which share a network."""
        return CppnTexture.on(self.mesh, self.config.texture_size, Cppn(3, generator=generator))

    def originals(self) -> list[Tensor]:
        """The original textures, at the textures' sizes."""
        indices = zip(self.mesh.optimized, self.sizes, strict=True)
        return [self.mesh.maps[index].original_at(size, size) for index, size in indices]

    def views_of(self, cameras: Sampler | Cameras, size: Size) -> Views:
        """Views from cameras, as the options have them otherwise."""
        return Views(
            cameras=cameras, size=size, per_step=self.config.views_per_step,
            background=BACKGROUNDS[self.config.background], transform=self.transform, coarse=self.config.coarse,
            common_scale=True,
        )  # fmt: skip

    def _models(self) -> list[Path]:
        return [self.folder / f"{self.mesh.name}.{ending}" for ending in listed(self.config.format)]

    def files(self) -> list[Path]:
        models = [file for model in self._models() for file in model_files(self.mesh, model, bool(self.config.relief))]
        videos = [f"turntable.{ending}" for ending in listed(self.config.turntable)]
        return [*models, *(self.folder / name for name in (*REPORTS, *videos))]

    def watchers(self) -> list[Callable[[Step], None]]:
        if self.config.texture in ("fourier", "pixel") and max(self.sizes) > WHOLE:
            log.info(
                "a %s texture is decoded whole in every step; --texture pyramid computes what a view sees",
                self.config.texture,
            )  # fmt: skip
        if self.config.live:
            self._page = self._live_page()
        return [self._page.on_step] if self._page else []

    def current(self) -> dict[str, dict[str, Image.Image]]:
        images = self._current_maps()
        files = texture_files(self.mesh, self.folder / f"{self.mesh.name}.png")
        return {self.mesh.name: {file.name: images[index] for index, file in files.items()}}

    def timelapse(self) -> Timelapse:
        surface = Surface(self.mesh, self.textures, self.device, self.config.raster)
        scene = Scene(self.mesh, self.device, self.config.raster)
        fragments = scene.rasterize(framed(self.mesh, [30.0], [15.0]), VIDEO * SUPERSAMPLE)
        return Timelapse(
            lambda: to_image(developed(surface.sample(fragments)[0], fragments)[0]), self.config.steps
        )  # fmt: skip

    def own_error(self, error: Exception) -> OptionError | None:
        return None

    def write(self, results: Sequence[Result]) -> str:
        (result,) = results
        config, mesh, folder = self.config, result.mesh, self.folder
        result.save(folder, listed(config.format), config.bits, config.unlit, config.normals)
        scene = Scene(mesh)
        shown: Shown = lit(scene, result.drawn, result.finishes, swinging_lamp()) if result.has_relief else result.drawn
        for ending in listed(config.turntable):
            frames = turntable(lambda cameras: draw(scene, cameras, VIDEO, shown)[0], mesh)
            write_video(folder / f"turntable.{ending}", frames)
        models = [folder / f"{mesh.name}.{ending}" for ending in ("obj", "glb") if ending in listed(config.format)]
        models += texture_files(mesh, folder / f"{mesh.name}.png").values()
        return f"{models[0]}, and preview.png and viewer.html beside it"

    def finish(self, results: Sequence[Result]) -> None:
        (result,) = results
        if result.has_relief:
            print(relief_line(result))
        if self.shape is not None:
            print(moved_line(self.mesh, result.mesh))
        self.report(result)
        if self._page is None:
            return
        self._page.finished([to_image(image[:3]) for image in result.images])
        try:
            if not result.interrupted or self._page.stopped:
                self._page.wait()
        finally:
            self._page.close()

    def report(self, result: Result) -> None:
        """Print what else there is to say of the result."""
        return None

    def _live_page(self) -> LivePage:
        from texopt.show.live import LivePage

        return LivePage(
            self.mesh.name, map_parts(self.mesh), self._current_maps(), originals=self.mesh.pictures(),
            bake=self._current_maps, host=self.config.host, port=self.config.port,
        )  # fmt: skip

    def _current_maps(self) -> list[Image.Image]:
        """The textures of all maps as they are now."""
        with torch.no_grad():
            baked = TextureSet(self.mesh, self.textures).bake()
        return [to_image(image[:3]) for image in with_kept(self.mesh, baked)]


def relief_line(result: Result) -> str:
    """What there is of a relief, for the line after a run's: white in a height map is that far from the surface."""
    maps = zip(result.mesh.maps, result.finishes, strict=True)
    found = [(one.name, np.abs(made.height).max()) for one, made in maps if made and made.height is not None]
    heights = ", ".join(f"{value:.3g}" if len(found) == 1 else f"{value:.3g} of {name}" for name, value in found)
    return f"with maps of normals, roughness and height, whose white is {heights} units above the surface"


def partly_lit(config: RunConfig, objective: Objective) -> Objective:
    """The objective, of views under light.

    In a share LIT of the steps where there is a relief, and in all where the shape is optimised, of which silhouettes
    alone would tell otherwise.
    """
    share = 1.0 if config.shape else LIT if config.relief else 0.0
    return on(objective, lit_views(share=share)) if share else objective


def check_bound(shape: float) -> None:
    """OptionError for a bound of the vertices' way that cannot be."""
    if not 0 <= shape <= FARTHEST:
        raise OptionError(f"shape has to be between 0 and {FARTHEST:g} diameters of the mesh, not {shape}")


def moved_line(before: Mesh, after: Mesh) -> str:
    """How far the vertices of a mesh have moved, and how many pairs of its faces pass through one another."""
    used = before.used_vertices()
    way = np.linalg.norm(after.vertices[used] - before.vertices[used], axis=1) / (2 * before.normalization(True)[1])
    pairs = [len(crossing_faces(mesh.vertices, mesh.faces)) for mesh in (before, after)]
    line = f"vertices moved by {way.mean():.2%} of the diameter in the mean, {way.max():.2%} at most"
    return f"{line}; {pairs[1]} pairs of faces cross, {pairs[0]} before" if max(pairs) else line


def with_seams(objective: Objective, weight: float, texture: str) -> Objective:
    """An objective and the colours' difference across UV seams; a CPPN has one colour on both sides anyway."""
    return objective + weight * seam() if weight and texture != "cppn" else objective


def check_start(texture: str, start: str) -> None:
    """OptionError for a CPPN that shall start from an image, which no network does."""
    if texture == "cppn" and start != "noise":
        raise OptionError("a CPPN starts from patterns of its own; add --start noise, or take --texture pyramid")


def _check_outputs(config: RunConfig) -> None:
    """OptionError or DependencyError for formats and videos that cannot be written: before the run, not after."""
    for name in listed(config.format):
        if f".{name}" not in FORMATS:
            raise OptionError(f"format has to be of obj, glb, png, with commas between, not {name!r}")
    if not listed(config.format):
        raise OptionError("format is empty; take obj, glb, png, or several with commas between")
    check_videos("turntable", listed(config.turntable))


def _cameras(config: RunConfig, mesh: Mesh) -> Sampler:
    far = sample_sphere(distance=config.distance, elevation=config.elevation)
    if not config.close_ups:
        return far
    points = random_points(mesh, POINTS)
    corners = mesh.unit_vertices(optimized=True)[mesh.faces].double().numpy()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[points.face]
    near = close_ups(
        torch.from_numpy(points.between(corners)), torch.from_numpy(normals), config.zoom, elevation=config.elevation
    )
    return with_close_ups(far, near, config.close_ups)
