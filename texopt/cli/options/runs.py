"""The options of runs on a mesh, and of all commands.

The comment of a field is its help on the command line; the values are saved as config.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from texopt.cli.options.loop import LoopConfig
from texopt.cli.options.pictures import ImageConfig, InterpolateConfig
from texopt.cli.options.shown import option
from texopt.cli.options.texts import masks, painted, target_name
from texopt.cli.options.tools import (
    BatchConfig,
    DoctorConfig,
    EvaluateConfig,
    InfoConfig,
    RenderConfig,
    ResumeConfig,
    SaliencyConfig,
    StudioConfig,
    UnwrapConfig,
    ViewConfig,
)


@dataclass(frozen=True, kw_only=True)
class RunConfig(LoopConfig):
    """What every kind of run on a mesh has."""

    mesh: Annotated[Path, tyro.conf.Positional, option("MESH")]
    """The mesh: OBJ, glTF, GLB, PLY, STL or OFF."""
    texture_size: int = 1024
    """Texels a side of the texture, a power of two."""
    texture: Literal["pyramid", "fourier", "pixel", "cppn"] = "pyramid"
    """Parameterisation of the texture. cppn: a small network of positions on the surface, which knows no seams."""
    view_size: int = 384
    """Pixels a side of a rendering, a multiple of the network's stride: 32 of most."""
    distance: tuple[float, float] = (0.75, 1.0)
    """Range of the camera's distance; 1 is where the bounding sphere fills the view."""
    elevation: tuple[float, float] = (-90.0, 90.0)
    """Range of the camera's elevation in degrees; 0 90 looks from above only."""
    views_from: Annotated[Path | None, option("CAMERAS.json")] = None
    """Look from these cameras alone, a transforms.json in the mesh's coordinates, at what each sees of the object.
    What none of them sees is filled from around it."""
    close_ups: float = 0.0
    """Share of the views that look closer, for textures that are sharp from near."""
    zoom: float = 4.0
    """How many times closer."""
    background: Literal["noise", "color", "black"] = "noise"
    """Behind the object: clouds or one colour, new ones every step, or black."""
    shape: Annotated[float, option("DIAMETERS")] = 0.0
    """How far vertices may move, in diameters of the mesh, up to 0.2: its shape is optimised with its texture, seen
    under a light that moves. 0: the shape stays."""
    unwrap: bool = False
    """Make new UVs even if the mesh has some."""
    only: Annotated[str, option("NAMES")] = ""
    """Materials to optimise, with commas; the others stay as they are. * and ? stand for any letters."""
    skip: Annotated[str, option("NAMES")] = ""
    """Materials to leave as they are."""
    mask: Annotated[str, option("IMAGE")] = ""
    """An image painted on the UVs: black keeps the original texture. Of several materials: NAME=IMAGE,NAME=IMAGE."""
    format: Annotated[str, option("NAMES")] = "obj"
    """What is written, with commas: obj, glb, png (the textures alone)."""
    relief: Annotated[float, option("FLOAT")] = 0.0
    """Give strokes a height, so that they catch light: their depth as a share of the object's diameter, up to 0.1.
    0.003 is a thin coat and 0.01 is thick paint. Adds normal and roughness maps. Default: none."""
    normals: Literal["opengl", "directx"] = "opengl"
    """Which way green points in a normal map that is written as PNG: directx is for Unreal."""
    bits: Literal[8, 16] = 8
    """Bits a channel of the textures that are written as PNG."""
    unlit: bool = False
    """Have engines show the colours of a glb as they are, without light."""
    turntable: Annotated[str, option("NAMES")] = ""
    """Write a video of one turn: gif, mp4, or both with a comma."""
    live: bool = False
    """Show the run on a page in the browser, with pause and stop (needs the extra viewer)."""
    port: int = 8080
    """Of the live page."""
    host: str = "127.0.0.1"
    """Address that the live page listens on; the default is for this machine only."""
    max_memory: Annotated[str, option("SIZE")] = ""
    """Refuse to start what would need more, and say which sizes would not: 6GB, 512MB. On the CPU.
    Default: a warning where the machine has too little."""

    def files(self) -> dict[str, list[Path]]:
        mask = masks(self.mask)
        images = list(mask.values()) if isinstance(mask, dict) else [mask] if mask else []
        cameras = [self.views_from] if self.views_from else []
        return super().files() | {"mesh": [self.mesh], "mask": images, "views_from": cameras}

    def plain(self) -> dict[str, Any]:
        values, mask = super().plain(), masks(self.mask)
        if isinstance(mask, dict):
            values["mask"] = ",".join(f"{name}={image.resolve()}" for name, image in mask.items())
        elif mask is not None:
            values["mask"] = str(mask.resolve())
        return values

    @property
    def starts_fine(self) -> bool:
        """Whether textures start from something as fine as they are."""
        return True

    @property
    def starts_from_noise(self) -> bool:
        """Whether they start from noise, which is there at once."""
        return True

    @property
    def compares_patches(self) -> bool:
        """Whether the objective has patches in it."""
        return False


@dataclass(frozen=True, kw_only=True)
class StyleConfig(RunConfig):
    """Give a mesh the style of a painting, or of several."""

    style: Annotated[tuple[Path, ...], tyro.conf.Positional, option("IMAGE [IMAGE ...]")]
    """The painting: any image. Several are blended, or each has its part of the mesh (--where)."""
    together: Annotated[tuple[Path, ...], option("MESH ...")] = ()
    """Further meshes: a set, which together use the whole painting, with strokes of one size.
    `texopt style A.obj B.obj --style IMAGE` says the same."""
    preset: Literal["draft", "standard", "final", "gram", "distill-2018"] = "standard"
    """draft: a quick look, rough in places. final: 4096 texels a side, sharp from close up, takes longer. gram: strokes
    and colours without the painting's pieces. distill-2018: the published method."""
    strength: float = 0.5
    """How much of the original may be lost: at 0 it stays as it is, at 1 nothing of it needs to stay."""
    style_scale: float = 1.1
    """How large the painting is on the object: its shorter side in diameters of the object. Less is finer strokes."""
    blend: Annotated[tuple[float, ...], option("N N ...")] = ()
    """Shares of several paintings. Default: equal."""
    where: Annotated[tuple[str, ...], option("PART PART ...")] = ()
    """The part for each painting: a material, an image painted on the UVs (white), or "not PART"."""
    keep_colors: bool = False
    """The painting's strokes in the original's colours."""
    keep_strokes: bool = False
    """The painting's colours alone: the original's own strokes and shapes stay."""
    direction: Annotated[str, option("DIRECTION")] = ""
    """Where strokes run: curvature (along limbs), curvature:across, around:y, along:y (axes x, y, z),
    or an image painted on the UVs whose hue is the angle. Of several materials: NAME=IMAGE,NAME=IMAGE."""
    direction_weight: float = 5.0
    """Weight of that direction."""
    style_weight: float = 0.5
    """Weight of the style: the painting's strokes and colours."""
    patch_weight: float = 5.0
    """Weight of the painting's pieces: its stars, shapes and swirls."""
    steps: int = 270
    """Steps of gradient descent."""
    learning_rate: float = 0.045
    """About how far values move in a step, at its highest."""
    distance: tuple[float, float] = (0.6, 0.8)
    """Range of the camera's distance; 1 is where the bounding sphere fills the view."""
    content_weight: Annotated[float | None, option("FLOAT")] = None
    """Fixed weight of what the original texture shows. Default: whatever keeps as much of it as --strength says."""
    coarse: float = 0.3
    """Share of the steps, at the start, with views of half the size: quicker, and large things first."""
    seam_weight: float = 20.0
    """Weight of equal colours on both sides of UV seams."""
    start: Literal["repainted", "original", "noise"] = "repainted"
    """What the texture starts from: the original in the painting's colours, the original, or noise."""
    clouds: float = 0.3
    """Clouds in the repainted start, in the contrast of the original: where it is of one colour, they vary it.
    1 gives flat and hard-edged paintings more to begin with."""
    content_loss: Literal["cosine", "l1"] = "cosine"
    """How content is compared: cosine leaves colours free, l1 is the published method's."""
    object_only: bool = True
    """Compare the style of the object alone, or of the whole picture with its background."""

    def name(self) -> str:
        return "_".join(path.stem for path in self.style[:3])

    def files(self) -> dict[str, list[Path]]:
        return super().files() | {
            "mesh": [self.mesh, *self.together], "style": list(self.style), "where": painted(self.where),
            "direction": painted([self.direction] if self.direction else []),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        values = super().plain()
        if self.where or self.direction:
            from texopt.render.regions import absolute

            values["where"] = [absolute(part) for part in self.where]
            values["direction"] = absolute(self.direction)
        return values

    @property
    def starts_fine(self) -> bool:
        return self.start != "repainted" or self.keep_colors or self.strength < 0.5

    @property
    def starts_from_noise(self) -> bool:
        return self.start == "noise"

    @property
    def compares_patches(self) -> bool:
        return self.patch_weight > 0 and not self.keep_strokes


@dataclass(frozen=True, kw_only=True)
class FeatureConfig(RunConfig):
    """Show on a mesh what excites a channel of a network, or looks like an ImageNet class."""

    target: Annotated[str, tyro.conf.Positional, option("TARGET")]
    """A layer and channel (blocks.4:17), a class by number or name (tiger), or a sum: see `texopt image --help`.
    as:CLASS: to be taken for it from most views."""
    start: Literal["noise", "original"] = "noise"
    """What the texture starts from: noise, or the original, to dream on (LAYER:*) or to be taken for something else."""
    change: float = 0.0
    """Weight of the original's look: of the mean squared distance of pixels."""
    seam_weight: float = 10.0
    """Weight of equal colours on both sides of UV seams."""
    transparent: bool = False
    """Leave transparent what the target does not need: holes, for the engine, where less than half of it is there."""

    def name(self) -> str:
        return target_name(self.target)


@dataclass(frozen=True, kw_only=True)
class CustomConfig(RunConfig):
    """Optimise a mesh's texture for an objective of your own. This runs the code in that file."""

    function: Annotated[str, tyro.conf.Positional, option("FILE.py:FUNCTION")]
    """FILE.py:FUNCTION, a function of a View that returns a scalar tensor to minimise, or an Objective."""

    @property
    def file(self) -> Path:
        """FILE.py."""
        return Path(self.function.rpartition(":")[0])

    def name(self) -> str:
        return self.function.rpartition(":")[2]

    def files(self) -> dict[str, list[Path]]:
        return super().files() | {"function": [self.file]}

    def plain(self) -> dict[str, Any]:
        return super().plain() | {"function": f"{self.file.resolve()}:{self.name()}"}


@dataclass(frozen=True, kw_only=True)
class FitConfig(RunConfig):
    """Give a mesh its texture from photographs with known cameras. Colours are as photographed: light stays in them,
    unless --delight finds it."""

    cameras: Annotated[Path, tyro.conf.Positional, option("CAMERAS.json")]
    """transforms.json, as NeRF programs, Blender's exporters and Metashape write it, in the mesh's coordinates."""
    up: Literal["y", "z"] = "y"
    """Axis that is up for the cameras: z turns their world to a mesh with +Y up, as Blender exports the two."""
    undo_transform: bool = False
    """Take back the file's applied_transform and applied_scale: the mesh is in the space before, as of COLMAP."""
    hold_out: Annotated[int, option("N")] = 0
    """Leave every Nth photograph out, and say how well it is predicted."""
    loss: Literal["l1", "l2", "ssim"] = "l1"
    """How photographs are compared: mean absolute or squared distance, or structural similarity."""
    exposure: bool = True
    """Find how photographs differ in exposure and white balance."""
    delight: bool = False
    """Find the light, if all photographs have the same, and take it out. It is assumed to be white and its mean 1, and
    base colours not to follow normals; cast shadows and gloss stay."""
    start: Literal["grey", "original"] = "grey"
    """What the texture starts from. What no photograph sees is filled from around it."""
    steps: int = 400
    """Steps of gradient descent."""
    view_size: int = 512
    """Pixels a side, at most, of the windows of photographs that are compared, a multiple of 32."""
    backbone: Annotated[str, tyro.conf.Suppress] = "none"
    weights: Annotated[Path | None, tyro.conf.Suppress] = None
    coarse: Annotated[float, tyro.conf.Suppress] = 0.0
    distance: Annotated[tuple[float, float], tyro.conf.Suppress] = (0.75, 1.0)
    elevation: Annotated[tuple[float, float], tyro.conf.Suppress] = (-90.0, 90.0)
    views_from: Annotated[Path | None, tyro.conf.Suppress] = None
    close_ups: Annotated[float, tyro.conf.Suppress] = 0.0
    zoom: Annotated[float, tyro.conf.Suppress] = 4.0
    background: Annotated[Literal["noise", "color", "black"], tyro.conf.Suppress] = "black"
    relief: Annotated[float, tyro.conf.Suppress] = 0.0
    normals: Annotated[Literal["opengl", "directx"], tyro.conf.Suppress] = "opengl"

    def name(self) -> str:
        return self.cameras.stem

    def files(self) -> dict[str, list[Path]]:
        from texopt.io.transforms_json import photo_files

        return super().files() | {"cameras": [self.cameras], "photographs": photo_files(self.cameras)}


RUNS: dict[str, type[RunConfig]] = {
    "style": StyleConfig, "feature": FeatureConfig, "custom": CustomConfig, "fit": FitConfig,
}  # fmt: skip
LOOPS: dict[str, type[LoopConfig]] = {**RUNS, "image": ImageConfig, "interpolate": InterpolateConfig}
CONFIGS: dict[str, type] = {
    **LOOPS, "resume": ResumeConfig, "batch": BatchConfig, "evaluate": EvaluateConfig, "info": InfoConfig,
    "unwrap": UnwrapConfig, "render": RenderConfig, "view": ViewConfig, "saliency": SaliencyConfig,
    "doctor": DoctorConfig, "studio": StudioConfig,
}  # fmt: skip
