"""The options of the commands that are not runs of their own: they go on, measure, look, convert, or start runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from texopt.cli.options.shown import option


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """Go on with a run that was stopped, or ended with its process: with the same result as if it had not."""

    dir: Annotated[Path, tyro.conf.Positional, option("DIR")]
    """The folder of the run."""
    threads: Annotated[int | None, option("N")] = None
    """Processor threads. Default: as the run had."""
    device: Annotated[str, option("STR")] = ""
    """Where to compute. Default: as the run did."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measure a result: how near to the painting, how much of the original, seams, sharpness. Writes metrics.json."""

    mesh: Annotated[Path, tyro.conf.Positional, option("DIR|MESH")]
    """A folder that `texopt style` has written, or a textured mesh."""
    style: Annotated[tuple[Path, ...], option("IMAGE ...")] = ()
    """The painting, or several. Default: that of the run in the folder."""
    original: Annotated[Path | None, option("MESH")] = None
    """The mesh with its original texture. Default: that of the run in the folder."""
    style_scale: Annotated[float | None, option("FLOAT")] = None
    """Length of the painting's shorter side, in diameters. Default: that of the run, else 1.1."""
    blend: Annotated[tuple[float, ...], option("N N ...")] = ()
    """Shares of several paintings. Default: those of the run, else equal."""
    out: Annotated[Path | None, option("DIR")] = None
    """Where to write metrics.json and metrics.png. Default: the folder, or outputs/MESH_metrics."""
    backbone: str = "efficientnet_lite1"
    """The network that judges; it should not be the one that the run looked with."""
    weights: Annotated[Path | None, option("FILE")] = None
    """A file with weights for it."""


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig:
    """Show which places of an image, or of a mesh's surface, a network's answer depends on."""

    input: Annotated[Path, tyro.conf.Positional, option("IMAGE|MESH")]
    """The image, or the mesh with its textures."""
    target: Annotated[str, tyro.conf.Positional, option("TARGET")]
    """A class by number or name (tiger), a layer and channel (blocks.4:17), or a sum: see `texopt image --help`."""
    method: Literal["gradient", "guided", "occlusion"] = "gradient"
    """gradient: which colours would change the answer most. guided: what speaks for it, by guided backpropagation.
    occlusion: what the answer is lost without; it takes 49 looks at every view."""
    views: int = 16
    """Of a mesh, from all around."""
    view_size: int = 256
    """Pixels a side of a view, or an image's shorter side, as the network sees them: multiples of its stride."""
    out: Annotated[Path | None, option("FILE")] = None
    """What to write: .png for an image, .glb or .obj for a mesh. Default: outputs/ and the names of the inputs."""
    backbone: str = "efficientnet_lite0"
    """The network that looks."""
    weights: Annotated[Path | None, option("FILE")] = None
    """A file with weights for it."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps."""
    raster: Literal["auto", "cpu", "nvdiffrast"] = "auto"
    """What draws."""


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Check this installation: its gradients against finite differences, and how large they are from loss to texture.

    The exit code is 1 where something is wrong.
    """

    mesh: Annotated[Path | None, tyro.conf.Positional, option("[MESH]")] = None
    """What to look at the gradients' norms on. Default: a cube."""
    style: Annotated[Path | None, option("IMAGE")] = None
    """Have it take the style of this image. Default: excite a layer."""
    backbone: str = "efficientnet_lite0"
    """The network that looks."""
    weights: Annotated[Path | None, option("FILE")] = None
    """A file with weights for it."""
    threads: Annotated[int | None, option("N")] = None
    """Processor threads. Default: one a core."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps."""
    raster: Literal["auto", "cpu", "nvdiffrast"] = "auto"
    """What draws."""


@dataclass(frozen=True, kw_only=True)
class UnwrapConfig:
    """Make new UVs for a mesh and carry its textures over; what the file has else stays."""

    mesh: Annotated[Path, tyro.conf.Positional, option("MESH")]
    """The mesh: OBJ, glTF, GLB, PLY, STL or OFF."""
    out: Annotated[Path | None, option("FILE")] = None
    """The file to write, .obj or .glb. Default: outputs/MESH_unwrapped/MESH, .glb for glTF and .obj for others."""
    texture_size: int = 1024
    """Texels a side of the texture that the space between charts is meant for."""
    only: Annotated[str, option("NAMES")] = ""
    """Materials to unwrap, with commas; the others keep their UVs."""
    skip: Annotated[str, option("NAMES")] = ""
    """Materials that keep their UVs."""


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """Draw a still of a mesh with its own textures, as texopt sees it."""

    mesh: Annotated[Path, tyro.conf.Positional, option("MESH")]
    """The mesh: OBJ, glTF, GLB, PLY, STL or OFF."""
    azimuth: float = 30.0
    """Where the camera stands, in degrees from +Z towards +X."""
    elevation: float = 15.0
    """Degrees above the horizon."""
    zoom: float = 1.0
    """How many times closer, at the middle of the picture."""
    light: bool = False
    """Show it under a lamp, with its normal, roughness and metallic maps; in a video the lamp swings."""
    size: int = 768
    """Pixels a side."""
    out: Annotated[Path | None, option("FILE")] = None
    """The image to write: .png, .jpg, or .gif and .mp4 for a full turn. Default: MESH.png in outputs/."""


@dataclass(frozen=True, kw_only=True)
class InfoConfig:
    """Print what is in a mesh file: geometry, materials, textures, UVs, and what is unusual about them."""

    mesh: Annotated[Path, tyro.conf.Positional, option("MESH")]
    """The mesh: OBJ, glTF, GLB, PLY, STL or OFF."""


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Show a mesh, or the result in a folder, on a page in the browser (needs the extra viewer)."""

    mesh: Annotated[Path, tyro.conf.Positional, option("DIR|MESH")]
    """A folder that texopt has written, or a mesh."""
    port: int = 8080
    """Of the page."""
    host: str = "127.0.0.1"
    """Address that the page listens on; the default is for this machine only."""


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """Style meshes on a page in the browser, without commands (needs the extra studio)."""

    dir: Annotated[Path, option("DIR")] = Path("outputs/studio")
    """Folder of the results, those of earlier days too, and of what is dropped on the page."""
    port: int = 8090
    """Of the page."""
    host: str = "127.0.0.1"
    """Address that the page listens on; the default is for this machine only."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Run the jobs of a table, here or on a Ray cluster. Again, it runs those that failed, are new or have changed.

    JOBS.csv has a header with names of options, as in `texopt style --help`, and a job a row: mesh, style, strength,
    texture-size ...; cells that are empty mean the default, and several values have spaces between ("quoted" where they
    contain some). More columns: command (style, feature or custom), name (of the job's folder). JOBS.yaml is a list of
    mappings, or {defaults: {...}, jobs: [...]}. Paths are relative to the table.
    """

    jobs: Annotated[Path, tyro.conf.Positional, option("JOBS.csv|JOBS.yaml")]
    """The table of jobs."""
    out: Annotated[Path | None, option("DIR")] = None
    """Folder for the results, one for each job, and for report.html and report.csv. Default: outputs/JOBS."""
    set: Annotated[tuple[str, ...], option("NAME=VALUE ...")] = ()
    """Options for every job, whatever the table says: preset=draft for a look at all of it."""
    workers: Annotated[int | None, option("N")] = None
    """Jobs at once, which share the processor's cores. Default: 1; on a cluster as many as it takes."""
    retries: Annotated[int, option("N")] = 1
    """How often a job that crashes is started again. What a user has to mend is not."""
    ray: Annotated[str, option("ADDRESS")] = ""
    """Run on a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT (needs the extra ray).
    Every node needs texopt, and meshes and paintings at the paths that they have here; results come back."""
    cpus: Annotated[int | None, option("N")] = None
    """Cores of a job on the cluster, and its threads. Default: the job's threads, else 2."""
    gpus: Annotated[float, option("N")] = 0.0
    """Accelerators of a job on the cluster, also a share of one: 0.5."""
