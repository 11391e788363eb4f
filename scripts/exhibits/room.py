"""What exhibits need: commands as a user gives them, a picture to start from, pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import texopt
from texopt.cli.main import main
from texopt.render.scene import Scene
from texopt.show.preview import draw, framed
from texopt.system.images import to_image

ROOT = Path(__file__).parent.parent.parent
MESHES, STYLES = ROOT / "meshes", ROOT / "meshes" / "styles"
LINE = 18  # pixels that a line of text is high


def texopt_command(*arguments: object) -> None:
    """Run `texopt ...`; an exhibit that fails ends the program."""
    if code := main([str(argument) for argument in arguments]):
        raise SystemExit(code)


def photo(height: int = 448, width: int = 448) -> Image.Image:
    """A picture of the bundled creature, standing before a soft light: something to paint over."""
    mesh = texopt.load_mesh(MESHES / "creature.obj")
    side = max(height, width)
    cameras = framed(mesh, [35.0], [12.0])
    image = draw(Scene(mesh), cameras, side, mesh.originals())[0][0]
    mask = Scene(mesh).rasterize(cameras, side).mask.float()
    y, x = np.mgrid[:side, :side] / side
    light = torch.from_numpy(0.85 - 0.5 * np.hypot(x - 0.35, y - 0.3)).float()
    sky = torch.stack([0.75 * light, 0.9 * light, light])
    whole = torch.where(mask > 0, image, sky)
    top, left = (side - height) // 2, (side - width) // 2
    return to_image(whole[:, top : top + height, left : left + width])


def on_checks(image: Image.Image, cell: int = 16) -> Image.Image:
    """An image with opacity over a chequered ground."""
    y, x = np.mgrid[: image.height, : image.width] // cell
    ground = Image.fromarray(np.where((x + y) % 2, 200, 245).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def sheet(rows: Sequence[Sequence[Image.Image]], labels: Sequence[Sequence[str]] = (), cell: int = 224) -> Image.Image:
    """Pictures in rows, each scaled to be `cell` pixels high, with a line of text over each if there is one."""
    scaled = [
        [one.resize((round(one.width * cell / one.height), cell), Image.Resampling.LANCZOS) for one in row]
        for row in rows
    ]
    head = LINE if labels else 0
    width = max(sum(one.width + 4 for one in row) for row in scaled)
    out = Image.new("RGB", (width, (cell + head + 4) * len(rows)), "white")
    pen = ImageDraw.Draw(out)
    for number, row in enumerate(scaled):
        left, top = 0, number * (cell + head + 4)
        for column, one in enumerate(row):
            if labels:
                pen.text((left + 2, top + 3), labels[number][column], fill="black")
            out.paste(one.convert("RGB"), (left, top + head))
            left += one.width + 4
    return out


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image
