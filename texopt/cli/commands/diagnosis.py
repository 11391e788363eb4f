"""texopt saliency, doctor: why a network answers as it does, and whether this installation computes what it should."""

from __future__ import annotations

import io
import logging
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from texopt import __version__
from texopt.cli.options.texts import target_name
from texopt.cli.options.tools import DoctorConfig, SaliencyConfig
from texopt.errors import OptionError, OutputError, TexoptError
from texopt.evaluation import gradient_check as checks
from texopt.evaluation.saliency_maps import heat
from texopt.evaluation.saliency_maps import saliency as find
from texopt.features.backbones import load_backbone
from texopt.features.extractor import FeatureExtractor
from texopt.features.view_sizes import LARGEST, SMALLEST, check_stride, sides
from texopt.io.export import check_path, check_target, export
from texopt.io.load import load_mesh
from texopt.io.read import ENDINGS
from texopt.mesh.image_canvas import canvas
from texopt.objectives import Objective, classified_as, deepdream, style
from texopt.objectives.targets import parse_target
from texopt.raster import backends
from texopt.render.cameras import fixed_views
from texopt.render.canvas_cameras import whole
from texopt.show.preview import contact_sheet
from texopt.system.devices import resolve_device
from texopt.system.files import check_names, write_file
from texopt.system.images import load_image, png_bytes, png_of, resized, to_tensor

log = logging.getLogger("texopt")

PACKAGES = ("torch", "torchvision", "timm", "numba", "numpy", "xatlas", "nvdiffrast")


def saliency(config: SaliencyConfig) -> None:
    """Write the heat map: over the image, or as the texture of the mesh."""
    if not 1 <= config.views <= 1000:
        raise OptionError(f"views has to be between 1 and 1000, not {config.views}")
    sides(config.view_size)  # says what cannot be
    objective, device = _objective(config), resolve_device(config.device)
    is_mesh = config.input.suffix.lower() in ENDINGS
    name = f"{config.input.stem}_{target_name(config.target)}"
    out = config.out or Path("outputs") / f"{name}{'.glb' if is_mesh else '.png'}"
    check_path(out, (".glb", ".obj") if is_mesh else (".png",))
    extractor = load_backbone(config.backbone, config.weights, device)
    check_stride(config.view_size, extractor.stride)
    (_on_mesh if is_mesh else _on_image)(config, objective, extractor, out)


def _objective(config: SaliencyConfig) -> Objective:
    """The target. A class that is occluded is one among others: patches raise and lower many logits at once."""
    objective = parse_target(config.target)
    kind, _, number = objective.terms[0].name.partition(":")
    if config.method == "occlusion" and kind == "logit" and len(objective.terms) == 1:
        return classified_as(int(number))
    return objective


def _on_image(config: SaliencyConfig, objective: Objective, extractor: FeatureExtractor, out: Path) -> None:
    values = out.with_suffix(".npy")
    if out.resolve() == config.input.resolve():
        raise OutputError(f"{out} is the image itself; choose another --out")
    picture = load_image(config.input, SMALLEST)
    mesh, image = canvas(picture, name=config.input.stem), to_tensor(picture)
    scale = config.view_size / min(picture.size)
    stride = extractor.stride
    height, width = (
        min(max(round(side * scale / stride), 1) * stride, LARGEST // stride * stride) for side in image.shape[1:]
    )
    maps = find(
        mesh, objective, method=config.method, cameras=whole(mesh)(torch.Generator(), 1, 0), view_size=(height, width),
        backbone=extractor, device=config.device, raster=config.raster,
    )  # fmt: skip
    found = resized(maps[0][None], *image.shape[1:])[0]
    buffer = io.BytesIO()
    np.save(buffer, found.numpy())
    write_file(out, png_bytes(heat([found], [image])[0]))
    write_file(values, buffer.getvalue())
    print(f"{out}, and {values.name} beside it: float32 [{image.shape[1]},{image.shape[2]}]")


def _on_mesh(config: SaliencyConfig, objective: Objective, extractor: FeatureExtractor, out: Path) -> None:
    preview = out.with_name(f"{out.stem}_preview.png")
    check_names([preview])
    mesh = load_mesh(config.input)
    check_target(mesh, out)
    log.info("%s: %s triangles from %d views", mesh.name, f"{len(mesh.faces):,}", config.views)
    maps = find(
        mesh, objective, method=config.method, cameras=fixed_views(config.views), view_size=config.view_size,
        backbone=extractor, device=config.device, raster=config.raster,
    )  # fmt: skip
    hot = heat(maps, mesh.originals())
    export(mesh, hot, out, unlit=True)
    write_file(preview, png_of(contact_sheet(mesh, mesh.originals(), hot)))
    print(f"{out}, and {preview.name} beside it")


def doctor(config: DoctorConfig) -> int:
    """Print what is installed and whether its gradients are right. Returns 1 where something is wrong, else 0."""
    if config.threads is not None:
        if not 1 <= config.threads <= 1024:
            raise OptionError(f"threads has to be between 1 and 1024, not {config.threads}")
        torch.set_num_threads(config.threads)
    device, console = resolve_device(config.device), Console()
    console.print(_installed(str(device), config.raster))
    gradients = list(checks.gradients(device, config.raster))
    table = Table(title="Gradients: relative errors", title_justify="left", box=None)
    table.caption, table.caption_justify = "from central differences; between: from each other", "left"
    for head in ("texture", "float64", "as drawn", "between", ""):
        table.add_column(head, justify="right" if head not in ("texture", "") else "left")
    for one in gradients:
        errors = (f"{error:.0e}" for error in (one.exact, one.single, one.apart))
        table.add_row(one.name, *errors, _verdict("" if one.fine else "wrong"))
    console.print(table)
    wrong = sum(not one.fine for one in gradients)
    try:
        wrong += _flow(config, device, console)
    except TexoptError as error:
        console.print(Text(str(error), "red"))
        wrong += 1
    console.print(Text("all is well", "green") if not wrong else Text(f"{wrong} of the checks failed", "bold red"))
    return int(wrong > 0)


def _flow(config: DoctorConfig, device: torch.device, console: Console) -> int:
    """Print the norms of gradients by stage; returns how many are not as they should be."""
    mesh = load_mesh(config.mesh) if config.mesh else checks.cube()
    extractor = load_backbone(config.backbone, config.weights, device)
    layer = extractor.content_layer or next(iter(extractor.style_layers), "logits")
    goal = style(load_image(config.style, min_size=16)) if config.style else deepdream(layer)
    found = checks.stages(mesh, goal, extractor, str(device), config.raster)
    what = f"the style of {config.style.name}" if config.style else f"{layer} of {config.backbone}"
    table = Table(title=Text(f"Gradients: norms, {mesh.name}, {what}"), title_justify="left", box=None)
    for head in ("stage", "least", "most", ""):
        table.add_column(head, justify="right" if head in ("least", "most") else "left")
    for stage in found:
        table.add_row(stage.name, f"{min(stage.norms):.2g}", f"{max(stage.norms):.2g}", _verdict(stage.problem))
    console.print(table)
    return sum(bool(stage.problem) for stage in found)


def _verdict(problem: str) -> Text:
    return Text(problem, "bold red") if problem else Text("fine", "green")


def _installed(device: str, raster: str) -> Table:
    """Versions, device, threads, and what draws."""
    table = Table(title=f"texopt {__version__}", title_justify="left", show_header=False, box=None)
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} -")
    gpu = f", {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else ""
    for head, text in {
        "python": f"{platform.python_version()} on {platform.platform(terse=True)}", "packages": ", ".join(packages),
        "device": device + gpu, "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "drawing": f"on {backends.select(raster, device).name}",
    }.items():  # fmt: skip
        table.add_row(head, Text(text))
    return table
