"""What the commands do: build the objective, run the loop with a progress bar, write the results."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from texopt.cameras import sample_sphere
from texopt.config import CustomConfig, FeatureConfig, RunConfig, StyleConfig, to_yaml
from texopt.errors import OptionError, OutputError
from texopt.export import check_target
from texopt.features.backbones import BACKBONES, class_index, load_backbone
from texopt.images import write_file
from texopt.loop import Step, check_options, optimize, resolve_device
from texopt.mesh import load_mesh
from texopt.objectives import Objective, as_objective, channel, content, logit, seam, style
from texopt.raster import backends
from texopt.texture import FourierTexture, PixelTexture, PyramidTexture, palette
from texopt.transforms import robust

log = logging.getLogger("texopt")

TEXTURES: dict[str, type[PyramidTexture] | type[FourierTexture] | type[PixelTexture]] = {
    "pyramid": PyramidTexture,
    "fourier": FourierTexture,
    "pixel": PixelTexture,
}


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
    spec.loader.exec_module(module)
    value: Any = getattr(module, attribute, None)
    if value is None:
        functions = [key for key, item in vars(module).items() if callable(item) and not key.startswith("_")]
        raise OptionError(f"{path} has no {attribute!r}; it has {', '.join(functions) or 'no functions'}")
    return as_objective(value)


def _objective(config: RunConfig) -> tuple[Objective, str]:
    """The objective of a configuration, and a name for its folder."""
    if isinstance(config, StyleConfig):
        objective = config.style_weight * style(config.style, size=config.style_size)
        if config.content_weight:
            objective = objective + config.content_weight * content()
        if config.seam_weight:
            objective = objective + config.seam_weight * seam()
        return objective, config.style.stem
    if isinstance(config, FeatureConfig):
        return parse_target(config.target), config.target.replace(":", "-").replace(" ", "_")
    assert isinstance(config, CustomConfig)
    return load_function(config.function), config.function.rpartition(":")[2]


def _check_folder(folder: Path) -> None:
    """Make the folder and write to it now, not after the run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}; choose another --out") from None


class _Bar(Progress):
    """A progress bar that shows speed, time left and every term."""

    def __init__(self, steps: int) -> None:
        columns = (
            MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
            TextColumn("left  {task.fields[terms]}"),
        )  # fmt: skip
        super().__init__(*columns, console=Console(stderr=True), refresh_per_second=4)
        self.row = self.add_task("", total=steps, speed="", terms="preparing")

    def show(self, step: Step) -> None:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in step.terms.items() if name != "loss")
        self.update(self.row, completed=step.number, speed=f"{step.number / step.seconds:.1f} steps/s", terms=terms)


def run(command: str, config: RunConfig) -> None:
    """Run `texopt style`, `feature` or `custom` and write DIR: model, pictures, history and configuration."""
    started = time.perf_counter()
    if config.threads is not None:
        if not 1 <= config.threads <= 1024:
            raise OptionError(f"threads has to be between 1 and 1024, not {config.threads}")
        torch.set_num_threads(config.threads)
    check_options(config.steps, config.view_size, config.views_per_step, config.learning_rate)
    objective, name = _objective(config)
    device = resolve_device(config.device)
    drawing = backends.select(config.raster, device).name
    generator = torch.Generator().manual_seed(config.seed)
    start = palette(config.style, generator) if isinstance(config, StyleConfig) else None
    cameras = sample_sphere(distance=config.distance, elevation=config.elevation)
    extractor = load_backbone(config.backbone, config.weights, device)
    mesh = load_mesh(config.mesh, unwrap=config.unwrap)  # type: ignore[attr-defined]
    textures = [TEXTURES[config.texture](size, start, generator) for size in mesh.map_sizes(config.texture_size)]
    config.out = config.out or Path("outputs") / f"{mesh.name}_{name}"
    check_target(mesh, config.out / f"{mesh.name}.obj")
    _check_folder(config.out)
    precision = "bfloat16" if extractor.half_precision else "float32"
    log.info(
        "%s: %s triangles; texture %d²; %s on %s, %s; drawing on %s",
        mesh.name, f"{len(mesh.faces):,}", config.texture_size, config.backbone, device.type, precision, drawing,
    )  # fmt: skip
    with _Bar(config.steps) as bar:
        result = optimize(
            mesh, textures, objective, steps=config.steps, view_size=config.view_size,
            views_per_step=config.views_per_step, learning_rate=config.learning_rate, cameras=cameras,
            transform=robust() if isinstance(config, FeatureConfig) else None,
            backbone=extractor, seed=config.seed, device=str(device), raster=config.raster, on_step=bar.show,
        )  # fmt: skip
    if result.interrupted:
        log.warning("stopped at step %d of %d; writing what there is", len(result.history), config.steps)
    result.save(config.out)
    write_file(config.out / "config.yaml", to_yaml(command, config).encode())
    seconds = time.perf_counter() - started
    print(f"{config.out / mesh.name}.obj with its texture, and preview.png beside it, in {seconds:.0f} s")


def list_backbones() -> None:
    """Print the networks: layers, where weights come from, licence."""
    for name, backbone in BACKBONES.items():
        print(f"{name}\n    weights: {backbone.weights}\n    licence: {backbone.license}")
        print(f"    style: {', '.join(backbone.style_layers)}\n    content: {backbone.content_layer}")
    print("timm:NAME\n    any network of timm, by its name there; weights are downloaded at first use")
    print("    style: the ends of its stages up to stride 16\n    content: the last of them of stride 8")
