"""texopt style, feature, custom, fit: build the objective, run the loop with a progress bar, write the results."""

from __future__ import annotations

import importlib.util
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from texopt import budget, distributed
from texopt.cameras import sample_sphere
from texopt.checkpoint import NAME, Checkpoint, read
from texopt.commands.fit import Fit
from texopt.commands.meshes import described, load
from texopt.config import (
    RUNS,
    CustomConfig,
    FeatureConfig,
    FitConfig,
    ResumeConfig,
    RunConfig,
    StyleConfig,
    field_values,
    listed,
    plain_values,
    run_name,
    to_yaml,
)
from texopt.errors import OptionError, OutputError, TexoptError
from texopt.export import FORMATS, check_target
from texopt.export.names import texture_files
from texopt.features.backbones import class_index, load_backbone
from texopt.files import claimed, write_file
from texopt.images import to_image
from texopt.indexed import map_parts
from texopt.inputs import changed, named, states
from texopt.loop import check_options, optimize, resolve_device
from texopt.mesh import Mesh
from texopt.objectives import Objective, as_objective, channel, logit
from texopt.preview import SUPERSAMPLE, developed, draw, framed
from texopt.raster import backends
from texopt.recipe import BACKGROUNDS, check_style, make_cameras, make_textures, style_objective, toward
from texopt.render import Scene
from texopt.result import Result
from texopt.run import Step
from texopt.signals import stoppable
from texopt.texture import Texture, TextureSet
from texopt.texture.image import check_size
from texopt.texture.maps import Surface, with_kept
from texopt.transforms import robust
from texopt.video import Timelapse, check_video, turntable, write_video

if TYPE_CHECKING:
    from texopt.live import LivePage

log = logging.getLogger("texopt")

VIDEO = 512  # pixels a side
WHOLE = 1024  # texels a side, up to which all parameterisations take about the same time


def parse_target(text: str) -> Objective:
    """LAYER:CHANNEL, or an ImageNet class by number or name."""
    layer, colon, index = text.rpartition(":")
    if not colon:
        return logit(class_index(text))
    if not index.isdigit():
        raise OptionError(f"target {text!r}: after the colon comes a channel's number, as in blocks.4:17")
    return logit(class_index(index)) if layer == "logit" else channel(layer, int(index))


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
        return parse_target(config.target)
    assert isinstance(config, CustomConfig)
    return load_function(config.function)


class _Bar(Progress):
    """A progress bar that shows speed, time left and every term."""

    def __init__(self, steps: int, shown: bool) -> None:
        columns = (
            MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
            TextColumn("left  {task.fields[terms]}"),
        )  # fmt: skip
        super().__init__(*columns, console=Console(stderr=True), refresh_per_second=4, disable=not shown)
        self.row = self.add_task("", total=steps, speed="", terms="preparing")

    def show(self, step: Step) -> None:
        if self.disable:
            return
        terms = "  ".join(f"{name} {value:.3f}" for name, value in step.terms.items() if name != "loss")
        self.update(self.row, completed=step.number, speed=f"{step.number / step.seconds:.1f} steps/s", terms=terms)


def _live_page(config: RunConfig, mesh: Mesh, textures: list[Texture]) -> LivePage:
    from texopt.live import LivePage

    def bake() -> list[Image.Image]:
        return [to_image(image) for image in with_kept(mesh, TextureSet(mesh, textures).bake())]

    return LivePage(
        mesh.name, map_parts(mesh), bake(), originals=mesh.pictures(), bake=bake, host=config.host, port=config.port
    )


def _timelapse(config: RunConfig, mesh: Mesh, textures: list[Texture], device: torch.device) -> Timelapse:
    surface = Surface(mesh, textures, device, config.raster)
    fragments = Scene(mesh, device, config.raster).rasterize(framed(mesh, [30.0], [15.0]), VIDEO * SUPERSAMPLE)
    return Timelapse(lambda: to_image(developed(surface.sample(fragments)[0], fragments)[0]), config.steps)


def _write_videos(config: RunConfig, folder: Path, result: Result, timelapse: Timelapse | None) -> None:
    scene = Scene(result.mesh)
    for ending in listed(config.turntable):
        frames = turntable(lambda cameras: draw(scene, cameras, VIDEO, result.drawn)[0], result.mesh)
        write_video(folder / f"turntable.{ending}", frames)
    for ending in listed(config.timelapse):
        if timelapse is not None and timelapse.pictures:
            timelapse.write(folder / f"timelapse.{ending}")


def check_outputs(config: RunConfig) -> None:
    """OptionError or DependencyError for formats and videos that cannot be written: before the run, not after."""
    for name in listed(config.format):
        if f".{name}" not in FORMATS:
            raise OptionError(f"format has to be of obj, glb, png, with commas between, not {name!r}")
    if not listed(config.format):
        raise OptionError("format is empty; take obj, glb, png, or several with commas between")
    for option in ("turntable", "timelapse"):
        for name in listed(getattr(config, option)):
            if name not in ("gif", "mp4"):
                raise OptionError(f"{option} has to be gif or mp4 or both with a comma, not {name!r}")
            check_video(f"{option}.{name}")


def _divided(config: RunConfig) -> None:
    """Have a step's views divide over the processes that torchrun has started."""
    count = distributed.ranks()
    if config.views_per_step % count:
        config.views_per_step = -(-config.views_per_step // count) * count
        log.info("views of a step: %d, as %d ranks divide them", config.views_per_step, count)


def run(command: str, config: RunConfig, resume: bool = False) -> None:
    """Run `texopt style`, `feature`, `custom` or `fit` and write DIR: model, pictures, history and configuration.

    resume: go on from the checkpoint in DIR.
    """
    if config.threads is not None:
        if not 1 <= config.threads <= 1024:
            raise OptionError(f"threads has to be between 1 and 1024, not {config.threads}")
        torch.set_num_threads(config.threads)
    elif distributed.launched():
        torch.set_num_threads(distributed.local_threads())
    device = resolve_device(distributed.local_device(config.device))
    with stoppable(), distributed.joined(device):
        _divided(config)
        _run(command, config, device, resume)


def resume(config: ResumeConfig) -> None:
    """Go on with the run in a folder. OptionError where there is none, or what it read has changed."""
    path = config.dir / NAME
    if not path.is_file():
        what = "has no run that was stopped" if config.dir.is_dir() else "does not exist"
        raise OptionError(f"{config.dir} {what}; there would be a {NAME} in it")
    about = read(path, tensors=False)["about"]
    if about.get("command") not in RUNS:
        raise OptionError(f"{path} is not of a run of texopt's command; go on with it as it was started")
    if gone := changed(about["inputs"]):
        raise OptionError(f"{gone[0]} has changed or gone since the run was started; put it back, or start anew")
    run_config = RUNS[about["command"]](**field_values(about["command"], about["config"], str(path)))
    run_config.out = config.dir
    run_config.threads = config.threads or run_config.threads
    run_config.device = config.device or run_config.device
    run(about["command"], run_config, resume=True)


def _checkpoint(command: str, config: RunConfig, mesh: Mesh, resume: bool) -> Checkpoint:
    assert config.out
    files = [*mesh.files, *(path for paths in named(config).values() for path in paths)]
    about = {"command": command, "config": plain_values(config), "inputs": states(files)}
    return Checkpoint(config.out / NAME, config.checkpoint_seconds, resume, about)


def _tell_of_earlier(folder: Path) -> None:
    """A run that was stopped in this folder is replaced; the one who may have forgotten it hears of it in time."""
    with suppress(OptionError):
        state = read(folder / NAME, tensors=False)
        log.warning(
            "%s has a run that stopped at step %d of %d, which this one replaces; `texopt resume %s` goes on with it",
            folder, state["step"], state["settings"]["steps"], folder,
        )  # fmt: skip


def _run(command: str, config: RunConfig, device: torch.device, resume: bool) -> None:
    started, writes = time.perf_counter(), distributed.rank() == 0
    check_options(config.steps, config.view_size, config.views_per_step, config.learning_rate, config.seed)
    check_outputs(config)
    check_size(config.texture_size)
    if config.max_memory:
        budget.parse_limit(config.max_memory)
    paintings = check_style(config) if isinstance(config, StyleConfig) else []
    if isinstance(config, FeatureConfig):
        parse_target(config.target)
    drawing = backends.select(config.raster, device).name
    generator = torch.Generator().manual_seed(config.seed)
    sample_sphere(distance=config.distance, elevation=config.elevation)  # says what cannot be
    fit = Fit(config) if isinstance(config, FitConfig) else None
    extractor = load_backbone(config.backbone, config.weights, device)
    mesh = load(config)
    if device.type == "cpu":
        budget.check(config, mesh, extractor)
    sizes = mesh.map_sizes(config.texture_size)
    if fit:
        objective, cameras, view_size = fit.prepare(mesh, sizes)
    else:
        objective, cameras = _objective(config, mesh, paintings), make_cameras(config, mesh)
        view_size = (config.view_size, config.view_size)
    textures = make_textures(config, mesh, paintings, generator)
    rate = config.learning_rate * (toward(config) if isinstance(config, StyleConfig) else 1.0)
    config.out = config.out or Path("outputs") / f"{mesh.name}_{run_name(config)}"
    for ending in listed(config.format):
        check_target(mesh, config.out / f"{mesh.name}.{ending}")
    with claimed(config.out) if writes else nullcontext():
        page = _live_page(config, mesh, textures) if config.live and writes else None
        precision = "bfloat16" if extractor.half_precision else "float32"
        log.info(
            "%s: %s triangles; %s; %s on %s, %s; drawing on %s", mesh.name, f"{len(mesh.faces):,}",
            f"{config.texture} {described(mesh, sizes)}", "no network" if fit else config.backbone,
            device.type, precision, drawing,
        )  # fmt: skip
        if config.texture != "pyramid" and max(sizes) > WHOLE:
            log.info(
                "a %s texture is decoded whole in every step; --texture pyramid computes what a view sees",
                config.texture,
            )  # fmt: skip
        checkpoint = _checkpoint(command, config, mesh, resume)
        if writes and not resume:
            _tell_of_earlier(config.out)
        timelapse = _timelapse(config, mesh, textures, device) if config.timelapse and writes else None
        if timelapse is not None:
            timelapse.take()  # what the run starts from
        with _Bar(config.steps, writes) as bar:
            watchers: list[Callable[[Step], None]] = [
                bar.show,
                *([timelapse] if timelapse else []),
                *([page.on_step] if page else []),
            ]

            def on_step(step: Step) -> None:
                for watch in watchers:
                    watch(step)

            try:
                result = optimize(
                    mesh, textures, objective, steps=config.steps, view_size=view_size,
                    views_per_step=config.views_per_step, learning_rate=max(rate, 1e-6), cameras=cameras,
                    background=BACKGROUNDS[config.background],
                    transform=robust() if isinstance(config, FeatureConfig) else None,
                    backbone=extractor, seed=config.seed, device=str(device), raster=config.raster, on_step=on_step,
                    checkpoint=checkpoint,
                )  # fmt: skip
            except Exception as error:
                own = Path(config.function.rpartition(":")[0]) if isinstance(config, CustomConfig) else None
                if own is not None and not isinstance(error, TexoptError) and lines_in(own, error):
                    raise own_error(error, own) from None
                raise
        if not writes:
            return
        _write(command, config, result, timelapse, checkpoint)
    seconds = time.perf_counter() - started
    models = [config.out / f"{mesh.name}.{ending}" for ending in ("obj", "glb") if ending in listed(config.format)]
    models += texture_files(mesh, config.out / f"{mesh.name}.png").values()
    print(f"{models[0]}, and preview.png and viewer.html beside it, in {seconds:.0f} s")
    if fit:
        print(fit.report(result))
    if page is not None:
        page.finished([to_image(image) for image in result.images])
        try:
            if not result.interrupted or page.stopped:
                log.info("the live page stays until Ctrl-C")
                page.wait()
        finally:
            page.close()


def _write(
    command: str, config: RunConfig, result: Result, timelapse: Timelapse | None, checkpoint: Checkpoint
) -> None:
    """Write the results of a run. Its checkpoint goes when all of them are there, if it came to its end."""
    assert config.out
    goes_on = f"`texopt resume {config.out}` goes on with it" if checkpoint.path.exists() else ""
    if result.skipped:
        log.warning("%d steps were left out, as their loss or gradient was not finite", result.skipped)
    if result.interrupted:
        log.warning("stopped at step %d of %d; writing what there is", len(result.history), config.steps)
    try:
        result.save(config.out, listed(config.format), config.bits, config.unlit)
        write_file(config.out / "config.yaml", to_yaml(command, config).encode())
        _write_videos(config, config.out, result, timelapse)
    except (KeyboardInterrupt, OutputError):
        if goes_on:
            log.warning("the run is kept; %s", goes_on)
        raise
    if not result.interrupted:
        checkpoint.path.unlink(missing_ok=True)
    elif goes_on:
        log.info(goes_on)
