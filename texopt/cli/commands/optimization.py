"""texopt style, feature, custom, fit: what is optimised on a mesh, and what is written of it."""

from __future__ import annotations

import importlib.util
import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from texopt.cli import memory_budget
from texopt.cli.commands.fit import Fit
from texopt.cli.commands.meshes import described, load
from texopt.cli.options.runs import CustomConfig, FeatureConfig, FitConfig, RunConfig, StyleConfig, listed
from texopt.cli.options.saved import run_name
from texopt.cli.recipe import (
    BACKGROUNDS,
    check_style,
    check_texture,
    make_cameras,
    make_textures,
    style_objective,
    toward,
    with_seams,
)
from texopt.errors import OptionError
from texopt.evaluation import classified_share
from texopt.features.backbones import class_index, load_backbone
from texopt.features.extractor import FeatureExtractor
from texopt.io.export import FORMATS, check_target, model_files
from texopt.io.export_names import texture_files
from texopt.mesh.mesh import Mesh
from texopt.mesh.vertex_buffers import map_parts
from texopt.objectives import Objective, as_objective, change, transparent
from texopt.objectives.targets import TAKEN, parse_target
from texopt.optim.loop import Size, check_options, check_stride
from texopt.optim.result import REPORTS, Result
from texopt.render.backgrounds import Background
from texopt.render.cameras import sample_sphere
from texopt.render.scene import Scene
from texopt.render.transforms import Transform, robust
from texopt.show.history import Step
from texopt.show.preview import SUPERSAMPLE, developed, draw, framed
from texopt.show.video import Timelapse, check_videos, turntable, write_video
from texopt.system.images import to_image
from texopt.texture import Texture, TextureSet
from texopt.texture.image import check_size
from texopt.texture.texture_set import Surface, with_kept

if TYPE_CHECKING:
    from texopt.show.live import LivePage

log = logging.getLogger("texopt")

VIDEO = 512  # pixels a side
WHOLE = 1024  # texels a side, up to which all parameterisations take about the same time


def load_function(text: str) -> Objective:
    """The objective FILE.py:FUNCTION; the file is run."""
    name, colon, attribute = text.rpartition(":")
    if not colon or not name.endswith(".py"):
        raise OptionError(f"{text!r} does not name a function; write FILE.py:FUNCTION")
    path = Path(name)
    if not path.is_file():
        raise OptionError(f"{path} does not exist; write FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise own_error(error, path) from None
    value: Any = getattr(module, attribute, None)
    if value is None:
        functions = [key for key, item in vars(module).items() if callable(item) and not key.startswith("_")]
        raise OptionError(f"{path} has no {attribute!r}; it has {', '.join(functions) or 'no functions'}")
    return as_objective(value)


def lines_in(path: Path, error: Exception) -> list[int | None]:
    """The lines of a file that an error came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]


def own_error(error: Exception, path: Path) -> OptionError:
    """What went wrong in a user's file, in one line."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else lines_in(path, error)
    where = f", line {lines[-1]}" if lines and lines[-1] else ""
    reason = str(error).strip().split("\n")[0]
    return OptionError(f"{path}{where}: {type(error).__name__}: {reason}; mend it")


def _objective(config: RunConfig, mesh: Mesh, paintings: list[Image.Image]) -> Objective:
    if isinstance(config, StyleConfig):
        return style_objective(config, mesh, paintings)
    if isinstance(config, FeatureConfig):
        goal = parse_target(config.target)
        goal = transparent(goal) if config.transparent else goal
        goal = goal + config.change * change() if config.change else goal
        return with_seams(goal, config)
    assert isinstance(config, CustomConfig)
    return load_function(config.function)


def check_outputs(config: RunConfig) -> None:
    """OptionError or DependencyError for formats and videos that cannot be written: before the run, not after."""
    for name in listed(config.format):
        if f".{name}" not in FORMATS:
            raise OptionError(f"format has to be of obj, glb, png, with commas between, not {name!r}")
    if not listed(config.format):
        raise OptionError("format is empty; take obj, glb, png, or several with commas between")
    check_videos("turntable", listed(config.turntable))


class MeshTask:
    """`texopt style`, `feature`, `custom` or `fit`: see commands.running.Task. OptionError for what cannot be."""

    view_size: Size
    background: Background | None
    transform: Transform | None

    def __init__(self, config: RunConfig, device: torch.device, extractor: FeatureExtractor | None = None) -> None:
        check_options(
            config.steps, config.view_size, config.views_per_step, config.learning_rate, config.seed, config.optimizer,
            config.clip, config.coarse,
        )  # fmt: skip
        check_outputs(config)
        check_size(config.texture_size)
        check_texture(config)
        if config.max_memory:
            memory_budget.parse_limit(config.max_memory)
        paintings = check_style(config) if isinstance(config, StyleConfig) else []
        if isinstance(config, FeatureConfig):
            parse_target(config.target)
        sample_sphere(distance=config.distance, elevation=config.elevation)  # says what cannot be
        self.config, self.device = config, device
        self._fit = Fit(config) if isinstance(config, FitConfig) else None
        self.extractor = extractor or load_backbone(config.backbone, config.weights, device)
        check_stride(config.view_size, self.extractor.stride)
        self.mesh = mesh = load(config)
        if device.type == "cpu":
            memory_budget.check(config, mesh, self.extractor)
        sizes = mesh.map_sizes(config.texture_size)
        if self._fit:
            self.objective, self.cameras, self.view_size = self._fit.prepare(mesh, sizes)
        else:
            self.objective, self.cameras = _objective(config, mesh, paintings), make_cameras(config, mesh)
            self.view_size = config.view_size
        self.textures: list[Texture] = make_textures(
            config, mesh, paintings, torch.Generator().manual_seed(config.seed)
        )
        rate = config.learning_rate * (toward(config) if isinstance(config, StyleConfig) else 1.0)
        self.learning_rate, self.steps = max(rate, 1e-6), config.steps
        self.background = BACKGROUNDS[config.background]
        self.transform = robust() if isinstance(config, FeatureConfig) else None
        config.out = self.folder = config.out or Path("outputs") / f"{mesh.name}_{run_name(config)}"
        for model in self._models():
            check_target(mesh, model)
        self.described = f"{mesh.name}: {len(mesh.faces):,} triangles; {config.texture} {described(mesh, sizes)}"
        self._whole = config.texture in ("fourier", "pixel") and max(sizes) > WHOLE
        self._page: LivePage | None = None

    def _models(self) -> list[Path]:
        return [self.folder / f"{self.mesh.name}.{ending}" for ending in listed(self.config.format)]

    def files(self) -> list[Path]:
        models = [file for model in self._models() for file in model_files(self.mesh, model)]
        videos = [f"turntable.{ending}" for ending in listed(self.config.turntable)]
        return [*models, *(self.folder / name for name in (*REPORTS, *videos))]

    def watchers(self) -> list[Callable[[Step], None]]:
        if self._whole:
            log.info(
                "a %s texture is decoded whole in every step; --texture pyramid computes what a view sees",
                self.config.texture,
            )  # fmt: skip
        if self.config.live:
            self._page = self._live_page()
        return [self._page.on_step] if self._page else []

    def timelapse(self) -> Timelapse:
        surface = Surface(self.mesh, self.textures, self.device, self.config.raster)
        scene = Scene(self.mesh, self.device, self.config.raster)
        fragments = scene.rasterize(framed(self.mesh, [30.0], [15.0]), VIDEO * SUPERSAMPLE)
        return Timelapse(
            lambda: to_image(developed(surface.sample(fragments)[0], fragments)[0]), self.config.steps
        )  # fmt: skip

    def own_error(self, error: Exception) -> OptionError | None:
        if not isinstance(self.config, CustomConfig):
            return None
        file = Path(self.config.function.rpartition(":")[0])
        return own_error(error, file) if lines_in(file, error) else None

    def write(self, results: Sequence[Result]) -> str:
        (result,) = results
        config, mesh, folder = self.config, self.mesh, self.folder
        result.save(folder, listed(config.format), config.bits, config.unlit)
        scene = Scene(mesh)
        for ending in listed(config.turntable):
            frames = turntable(lambda cameras: draw(scene, cameras, VIDEO, result.drawn)[0], mesh)
            write_video(folder / f"turntable.{ending}", frames)
        models = [folder / f"{mesh.name}.{ending}" for ending in ("obj", "glb") if ending in listed(config.format)]
        models += texture_files(mesh, folder / f"{mesh.name}.png").values()
        return f"{models[0]}, and preview.png and viewer.html beside it"

    def finish(self, results: Sequence[Result]) -> None:
        (result,) = results
        if self._fit:
            print(self._fit.report(result))
        if isinstance(self.config, FeatureConfig) and self.config.target.startswith(f"{TAKEN}:"):
            name = self.config.target.partition(":")[2]
            share = classified_share(result.textured(), class_index(name), backbone=self.extractor)
            print(f"taken for {name} in {share:.0%} of 100 new views")
        if self._page is None:
            return
        self._page.finished([to_image(image[:3]) for image in result.images])
        try:
            if not result.interrupted or self._page.stopped:
                self._page.wait()
        finally:
            self._page.close()

    def _live_page(self) -> LivePage:
        from texopt.show.live import LivePage

        mesh, config = self.mesh, self.config

        def bake() -> list[Image.Image]:
            return [to_image(image[:3]) for image in with_kept(mesh, TextureSet(mesh, self.textures).bake())]

        return LivePage(
            mesh.name, map_parts(mesh), bake(), originals=mesh.pictures(), bake=bake, host=config.host,
            port=config.port,
        )  # fmt: skip
