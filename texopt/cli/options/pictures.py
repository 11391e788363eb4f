"""The options of runs on images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from texopt.cli.options.loop import LoopConfig
from texopt.cli.options.shown import option
from texopt.cli.options.texts import target_name


@dataclass(frozen=True, kw_only=True)
class PictureConfig(LoopConfig):
    """What every kind of run on an image has."""

    size: Annotated[tuple[int, ...], option("N|HEIGHT WIDTH")] = ()
    """Pixels of the image. Default: those of IMAGE, else 256."""
    view_size: int = 512
    """Pixels a side of what the network sees at once; larger images are seen in crops of it."""
    texture: Literal["auto", "pyramid", "fourier", "pixel", "cppn"] = "auto"
    """Parameterisation of the image. auto: fourier, and pyramid above 1024 pixels, of which a crop computes its own.
    cppn: a small network of positions."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig(PictureConfig):
    """Make an image: of what excites a network, in a painting's style, or both.

    `texopt image --target blocks.4:17` shows a channel, `texopt image PHOTO --target "blocks.4:*"` dreams,
    `texopt image PHOTO --style PAINTING` transfers a style, `texopt image --style PAINTING --tileable` makes a texture
    of it, `texopt image PHOTO --invert blocks.4` shows what a layer knows of the photo.
    """

    image: Annotated[Path | None, tyro.conf.Positional, option("[IMAGE]")] = None
    """What it starts from, and keeps the content of."""
    target: Annotated[str, option("TARGET")] = ""
    """What to excite. blocks.4:17: a layer's channel. blocks.4:17@center: a neuron; also @X,Y.
    blocks.4:*: all that a layer sees. tiger: an ImageNet class. A sum: "blocks.4:17 + 0.5*tiger - snow leopard".
    Several with commas are for a frame each: "tabby, tiger"."""
    style: Annotated[tuple[Path, ...], option("IMAGE ...")] = ()
    """A painting, or several that are blended."""
    invert: Annotated[str, option("LAYER")] = ""
    """Show what this layer knows of IMAGE."""
    start: Literal["auto", "repainted", "original", "noise"] = "auto"
    """What it starts from: IMAGE in the painting's colours, IMAGE (original), or noise.
    auto: the first of them that there is; noise with --invert."""
    strength: float = 0.5
    """With a style: how much of IMAGE may be lost, from 0 to 1, nothing but style."""
    style_scale: float = 1.0
    """Length of the painting's shorter side in the image, in its shorter sides; less gives finer strokes."""
    smooth: float = 0.0
    """Weight of total variation, against noise."""
    octaves: int = 1
    """How many sizes what is excited shall have: every other one 1.4 times smaller, seen in crops."""
    frames: int = 1
    """Images at once."""
    diversity: float = 0.0
    """With several: weight of their being different."""
    transparent: bool = False
    """Leave transparent what the target does not need."""
    tileable: bool = False
    """Have the image go on across its borders."""

    def name(self) -> str:
        starts = [self.image.stem] if self.image else []
        goals = [name for name in (target_name(self.target), target_name(self.invert)) if name]
        return "_".join([*starts, *goals, *(path.stem for path in self.style[:3])])

    def files(self) -> dict[str, list[Path]]:
        return {"image": [self.image] if self.image else [], "style": list(self.style)} | super().files()


@dataclass(frozen=True, kw_only=True)
class InterpolateConfig(PictureConfig):
    """Images from one target to another, in which the same things stay in the same places, and a GIF of them."""

    first: Annotated[str, tyro.conf.Positional, option("TARGET")]
    """What the first image excites, as of `texopt image --target`."""
    last: Annotated[str, tyro.conf.Positional, option("TARGET")]
    """What the last one does."""
    frames: int = 6
    """How many images."""
    share: bool = True
    """Have the images share a part of lower resolution, which is what keeps things in their places."""

    def name(self) -> str:
        return f"{target_name(self.first)}_to_{target_name(self.last)}"
