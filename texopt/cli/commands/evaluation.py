"""texopt evaluate: measure a result and write metrics.json and metrics.png."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from texopt import __version__
from texopt.cli.commands.meshes import model_in
from texopt.cli.loading import load
from texopt.cli.options.pictures import ImageConfig
from texopt.cli.options.runs import StyleConfig
from texopt.cli.options.saved import CONFIG, from_yaml
from texopt.cli.options.texts import listed
from texopt.cli.options.tools import EvaluateConfig
from texopt.errors import OptionError
from texopt.evaluation import Evaluation, evaluate, evaluate_image
from texopt.features.backbones import load_backbone
from texopt.io.load import load_mesh
from texopt.show.preview import contact_sheet
from texopt.system.files import write_file
from texopt.system.images import load_image, png_of, to_image, to_tensor

log = logging.getLogger("texopt")


def run(config: EvaluateConfig) -> None:
    """Print the table, write the files."""
    if not config.mesh.exists():
        raise OptionError(f"{config.mesh} does not exist; give a folder that texopt style has written, or a mesh")
    if (picture := picture_run(config.mesh)) is not None:
        _run_picture(config, picture)
        return
    told = bool(config.style and config.original)
    made = run_in(config.mesh) if config.mesh.is_dir() and not told else None
    if made is None and not told:
        raise OptionError(f"{config.mesh} does not say what it was made of; give --style IMAGE and --original MESH")
    assert made is not None or config.original is not None
    model = _model(config.mesh, made) if config.mesh.is_dir() else config.mesh
    styles = config.style or (made.style if made else ())
    blend = config.blend or (made.blend if made and not config.style else ())
    where = made.where if made and not config.style else ()
    given = config.style_scale
    style_scale = given if given is not None else made.style_scale if made else 1.1
    if made is not None and made.backbone == config.backbone:
        log.warning("%s made this result and now judges it; take another --backbone", config.backbone)
    paintings = [load_image(path, min_size=16) for path in styles]
    if config.original:
        original, result = load_mesh(config.original), load_mesh(model)
    else:
        assert made is not None
        original, result = load(made), load(replace(made, mesh=model, unwrap=False))  # what is kept, is so in both
    extractor = load_backbone(config.backbone, config.weights)
    found = evaluate(result, paintings, extractor, original=original, style_scale=style_scale, blend=blend, where=where)
    out = config.out or (config.mesh if config.mesh.is_dir() else Path("outputs") / f"{model.stem}_metrics")
    values = {
        "texopt": __version__, "network": config.backbone, "style": [str(path) for path in styles],
        "style_scale": style_scale, "numbers": found.as_dict(),
    }  # fmt: skip
    rows = [to_tensor(contact_sheet(mesh, mesh.originals())) for mesh in (original, result)]  # each by its own UVs
    views = torch.cat(rows, 1)
    close = to_tensor(found.sheet)
    close = torch.nn.functional.interpolate(
        close[None], (close.shape[1] * views.shape[2] // close.shape[2], views.shape[2]), mode="area"
    )[0]
    _report(out, found, values, to_image(torch.cat([views, close], 1)))
    print(f"{out / 'metrics.json'}, and metrics.png beside it: {config.backbone} looked at 32 views")


def _report(out: Path, found: Evaluation, values: dict[str, Any], picture: Image.Image) -> None:
    show(found)
    write_file(out / "metrics.json", (json.dumps(values, indent=2) + "\n").encode())
    write_file(out / "metrics.png", png_of(picture))


def picture_run(folder: Path) -> ImageConfig | None:
    """The options of the `texopt image` that wrote a folder, if that is what it has."""
    file = folder / CONFIG
    if not folder.is_dir() or not file.is_file():
        return None
    with suppress(OptionError):
        return ImageConfig(**from_yaml("image", file))
    return None


def _run_picture(config: EvaluateConfig, made: ImageConfig) -> None:
    styles = config.style or made.style
    if not styles:
        raise OptionError(f"{config.mesh} is of no painting; give --style IMAGE")
    if made.backbone == config.backbone:
        log.warning("%s made this result and now judges it; take another --backbone", config.backbone)
    result = load_image(config.mesh / ("image.png" if made.frames == 1 else "image_1.png"))
    start = config.original or made.image
    original = load_image(start).resize(result.size, Image.Resampling.LANCZOS) if start else None
    scale = config.style_scale if config.style_scale is not None else made.style_scale
    found = evaluate_image(
        result, original, [load_image(path, min_size=16) for path in styles],
        load_backbone(config.backbone, config.weights), style_scale=scale, blend=config.blend, tileable=made.tileable,
    )  # fmt: skip
    out = config.out or config.mesh
    values = {
        "texopt": __version__, "network": config.backbone, "style": [str(path) for path in styles],
        "style_scale": scale, "numbers": found.as_dict(),
    }  # fmt: skip
    _report(out, found, values, found.sheet)
    print(f"{out / 'metrics.json'}, and metrics.png beside it: {config.backbone} looked at the image")


def _model(folder: Path, made: StyleConfig | None) -> Path:
    """The model that a run has written into a folder, not one that was there before."""
    if made is not None:
        for ending in listed(made.format):
            model = folder / f"{made.mesh.stem}.{ending}"
            if ending != "png" and model.is_file():
                return model
    return model_in(folder)


def run_in(folder: Path) -> StyleConfig:
    """The options of the run that wrote a folder; OptionError where there are none."""
    file = folder / CONFIG
    if not file.is_file():
        raise OptionError(f"{folder} has no config.yaml; give the mesh in it, --style IMAGE and --original MESH")
    try:
        values = from_yaml("style", file)
    except OptionError as error:
        raise OptionError(f"{error}; give --style IMAGE and --original MESH") from None
    if not {"mesh", "style"} <= values.keys():
        raise OptionError(f"config {file} does not name a mesh and a painting; give --style IMAGE and --original MESH")
    return StyleConfig(**values)


def show(found: Evaluation) -> None:
    """The numbers as a table."""
    table = Table(box=None)
    for name in ("", "result", "painting", "original", ""):
        table.add_column(name, justify="right" if name else "left")
    for number in found.numbers:
        shown = [
            "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2f}"
            for value in (number.result, number.painting, number.original)
        ]
        table.add_row(number.name, *shown, number.meaning)
    Console().print(table)
