"""texopt unwrap, render, info, view: what concerns a mesh and no objective."""

from __future__ import annotations

import io
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from texopt.cli.options.texts import listed
from texopt.cli.options.tools import InfoConfig, RenderConfig, UnwrapConfig, ViewConfig
from texopt.errors import OptionError, OutputError, printable
from texopt.io.export import check_path, check_target, export
from texopt.io.load import load_mesh
from texopt.io.read import read
from texopt.mesh.mesh import Mesh, power_of_two
from texopt.mesh.vertex_buffers import map_parts
from texopt.render.cameras import zoomed
from texopt.render.scene import Scene
from texopt.render.shading import lamp, swinging_lamp
from texopt.show.preview import Shown, draw, lit, still
from texopt.system.files import check_names, write_file
from texopt.system.images import to_image
from texopt.texture.image import check_size

log = logging.getLogger("texopt")

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
VIDEOS = (".gif", ".mp4")
MAX_STILL, MAX_VIDEO = 2048, 1024  # pixels a side


def unwrap(config: UnwrapConfig) -> None:
    """Write the mesh with new UVs, and its textures in that layout."""
    started = time.perf_counter()
    check_size(config.texture_size)
    source = config.mesh
    ending = ".glb" if source.suffix.lower() in (".gltf", ".glb") else ".obj"
    out = config.out or Path("outputs") / f"{source.stem}_unwrapped" / f"{source.stem}{ending}"
    check_path(out, (".obj", ".glb"))
    mesh = load_mesh(
        source, unwrap=True, only=listed(config.only), skip=listed(config.skip), texture_size=config.texture_size
    )
    check_target(mesh, out)
    shapes = [mesh.maps[index].original.shape[:2] for index in mesh.optimized]
    sizes = [  # none gets coarser
        (max(config.texture_size, power_of_two(height)), max(config.texture_size, power_of_two(width)))
        for height, width in shapes
    ]
    files = export(mesh, mesh.originals(sizes), out)
    charts = used_share(mesh)
    print(f"{files[-1]}: {charts:.0%} of the texture is used, in {time.perf_counter() - started:.0f} s")


def used_share(mesh: Mesh) -> float:
    """The share of the first optimised texture that its faces use."""
    from texopt.render.uv_raster import covered

    faces = mesh.face_uvs[mesh.face_map == mesh.optimized[0]]
    return float(covered(mesh.uvs, faces, 1024, 1024).float().mean())


def render(config: RenderConfig) -> None:
    """Write a still, or a video of a full turn."""
    from texopt.show.video import check_video, turntable, write_video

    if not 0.1 <= config.zoom <= 100:
        raise OptionError(f"zoom has to be between 0.1 and 100, not {config.zoom}")
    if not 16 <= config.size <= MAX_STILL:
        raise OptionError(f"size has to be between 16 and {MAX_STILL} pixels, not {config.size}")
    out = config.out or Path("outputs") / f"{config.mesh.stem}.png"
    ending = out.suffix.lower()
    if ending in VIDEOS:
        check_video(out)
        if config.size > MAX_VIDEO:
            raise OptionError(f"size of a video has to be between 16 and {MAX_VIDEO} pixels, not {config.size}")
    elif ending not in PICTURES:
        raise OptionError(f"cannot write {out.name!r}: the ending has to be one of {', '.join([*PICTURES, *VIDEOS])}")
    check_names([out])
    mesh = load_mesh(config.mesh)
    if any(source.resolve() == out.resolve() for source in mesh.files):
        raise OutputError(f"{out} is a file of the mesh; choose another --out")
    scene, textures = Scene(mesh), mesh.originals()
    shown: Shown = (
        lit(scene, textures, light=swinging_lamp() if ending in VIDEOS else lamp()) if config.light else textures
    )

    def picture(cameras: Any) -> Any:
        return draw(scene, zoomed(cameras, config.zoom, torch.zeros(len(cameras), 2)), config.size, shown)[0]

    if ending in VIDEOS:
        write_video(out, turntable(picture, mesh, elevation=config.elevation))
    else:
        buffer = io.BytesIO()
        still(picture, mesh, config.azimuth, config.elevation).save(buffer, PICTURES[ending], quality=95)
        write_file(out, buffer.getvalue())
    print(out)


def info(config: InfoConfig) -> None:
    """Print tables of what is in a mesh file."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from texopt.io.describe import inspect

    report = inspect(config.mesh)
    console = Console()
    for title, (head, rows) in report.items():
        table = Table(title=Text(printable(title)), title_justify="left", show_header=any(head), box=None)
        for name in head:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))  # names are no markup
        console.print(table)
        console.print()


def model_in(folder: Path) -> Path:
    """The model that texopt has written into a folder."""
    found = sorted(path for ending in ("glb", "obj") for path in folder.glob(f"*.{ending}"))
    if not found:
        raise OptionError(f"{folder} has no model (.obj or .glb) in it; give a folder that texopt has written")
    return found[0]


def view(config: ViewConfig) -> None:
    """Serve the page until Ctrl-C."""
    from texopt.show.live import LivePage

    mesh = load_mesh(model_in(config.mesh) if config.mesh.is_dir() else config.mesh)
    images = [to_image(image) for image in mesh.originals()]
    before = _before(config.mesh, mesh) if config.mesh.is_dir() else None
    page = LivePage(mesh.name, map_parts(mesh), images, originals=before, host=config.host, port=config.port)
    page.wait()
    page.close()


def _before(folder: Path, mesh: Mesh) -> list[Image.Image] | None:
    """The original textures of the mesh that a result was made from; None where it is gone or has other UVs."""
    from texopt.cli.options.runs import RUNS
    from texopt.cli.options.saved import CONFIG, from_yaml
    from texopt.errors import TexoptError

    for command in RUNS:
        try:
            source = from_yaml(command, folder / CONFIG).get("mesh")
            if not isinstance(source, Path) or not read(source).has_uvs().all():
                continue
            original = load_mesh(source)
        except TexoptError:
            continue
        same = len(original.maps) == len(mesh.maps) and original.faces.shape == mesh.faces.shape
        if same and np.allclose(original.uvs[original.face_uvs], mesh.uvs[mesh.face_uvs], atol=1e-5):
            return original.pictures()
    return None
