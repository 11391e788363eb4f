"""What memory a run on the CPU will take at most, before it starts; and which sizes would take less.

What the process has when it is asked, network and mesh among it, the system says. What comes on top is counted from
what each phase allocates: phases come one after the other, and blocks of one are given back before the next. The
constants of bytes are peaks of resident memory, measured on Linux (x86-64, torch 2, one thread) part by part, each in
a process that had run it before at a small size: textures of 1024² to 8192², meshes of 10,000 to 2,000,000
triangles, views of 256² to 1024², and the networks efficientnet_lite0, _lite1, vgg16 and googlenet. CODE, PARAMETERS,
DRAWING and BANDS were then set so that whole runs come out right.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from texopt.cli.options.runs import RunConfig
from texopt.cli.options.texts import listed
from texopt.errors import OptionError
from texopt.features.extractor import STRIDE, FeatureExtractor
from texopt.mesh.areas import areas
from texopt.mesh.mesh import Mesh, power_of_two
from texopt.optim.optimizers import KINDS
from texopt.render.seam_points import POINTS
from texopt.system import memory
from texopt.system.pages import give_back
from texopt.texture.pyramid import BASE
from texopt.texture.relief import FINEST

log = logging.getLogger("texopt")

MB, GB = 10**6, 10**9
PAGE = 4096  # bytes
TEXEL = 12  # bytes of three float32
CODE, MORE_CODE = 40 * MB, 240 * MB  # kernels and libraries that are loaded for steps, and for export after them
PATCHES = 60 * MB  # of paintings, of a view, and products of both
SMALLER = 1.3125  # pixels of a view, and of the two smaller ones in which patches are looked for, in those of the view
SMALL = 25 * MB  # of a step: cameras, seams, Gram matrices

# bytes a texel of a texture that is decoded whole: parameters, their gradients and what transforms keep; a step, with
# decoding, mip levels and Adam
PARAMETERS = {"pyramid": 32, "fourier": 45, "pixel": 24, "cppn": 0}
DENSE_STEP = {"pyramid": 110, "fourier": 98, "pixel": 98, "cppn": 0}
LEVELS = 4 / 3  # texels of a pyramid, in those of its finest level
BAKE = {"pyramid": 12, "fourier": 55, "pixel": 12, "cppn": 12}
DETAIL_ROWS = 0.9  # bytes a texel: counters of Adam, and the index of a gradient's rows
ORIGINAL = 16  # bytes a texel of an original texture with its mip levels
FIT = 60  # bytes a texel while a start is made as fine as the texture
BANDS = 175 * MB  # a band of texels that is decoded
REACHED, REACHED_TEXEL = 345 * MB, 30  # eight views, and a texel of up to 2048² that they reach
COVERED = 64  # bytes a texel of up to 8M at a time
FILLED = 30  # bytes a texel, beside the image
MASKED = 28
RELIEF, RELIEF_MAPS = 200, 400  # bytes a texel of a relief: in a step, and while its maps are made and written
PNG = {8: 16, 16: 42}  # bytes a texel of the largest texture
FILES = {8: 3, 16: 6}  # and of all of them, compressed hardly at all

# bytes a triangle, for what there is of vertices and UVs with it
SEAMS, SCENE, VIEW, REACHING, COVERING, WRITING = 516, 108, 13, 290, 410, 230

# bytes a pixel of a step: drawing, looking up and compositing; then those of activations, as often as they are there
DRAWING, SAVED, KEPT = 420, 1.1, 4.6
CPPN = 5000  # what a network of coordinates keeps of a point, for its gradient


@dataclass(frozen=True)
class ActivationSizes:
    """Bytes that a network takes for a pixel: what its gradient needs, and the layers that an objective looks at."""

    saved: float
    kept: float


def count_activations(extractor: FeatureExtractor, side: int = 128) -> ActivationSizes:
    """What one pass up to the layers of style and content leaves, counted on an image of about side² pixels."""
    side = max(round(side / extractor.stride), 1) * extractor.stride
    layers = [layer for layer in {*extractor.style_layers, extractor.content_layer} if layer]
    weights = {parameter.shape for parameter in extractor.parameters()}  # copies of which do not grow with the image
    saved: dict[int, int] = {}

    def pack(values: torch.Tensor) -> torch.Tensor:
        if values.shape not in weights:
            saved[values.untyped_storage().data_ptr()] = values.untyped_storage().nbytes()
        return values

    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    image = image.to(extractor.mean.device).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda values: values):
        found = extractor(image, layers or None)
    kept = sum(values.numel() * 4 for values in found.values())
    return ActivationSizes(sum(saved.values()) / side**2, kept / side**2)


class Shape:
    """What of a mesh decides how much memory it takes."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.triangles = mesh, len(mesh.faces)
        self.masked = any(texture.mask is not None or texture.kept for texture in mesh.maps)
        shapes = [texture.original.shape[:2] for texture in mesh.maps]
        self.originals = sum(power_of_two(height) * power_of_two(width) for height, width in shapes)  # texels
        self.map_sizes = mesh.map_sizes(1 << 20)  # in relation to one another

    def sizes(self, size: int) -> list[int]:
        """As mesh.map_sizes."""
        return [max(size * share >> 20, min(size, 8)) for share in self.map_sizes]

    @cached_property
    def _faces(self) -> tuple[np.ndarray, np.ndarray]:
        """Of faces, areas on the texture, and how many sides of the texture a radius of the mesh is long there."""
        mesh, radius = self.mesh, self.mesh.normalization(optimized=True)[1] or 1.0
        plane, surface = areas(mesh.uvs, mesh.face_uvs), areas(mesh.vertices, mesh.faces) / radius**2
        return plane, np.sqrt(plane / np.maximum(surface, 1e-30))

    @cached_property
    def _borders(self) -> list[float]:
        """Of every map, how long the borders of its charts are from row to row of texels, in sides of the texture."""
        mesh, count = self.mesh, len(self.mesh.uvs)
        a, b = mesh.face_uvs.astype(np.int64).ravel(), np.roll(mesh.face_uvs, -1, 1).astype(np.int64).ravel()
        _, first, times = np.unique(np.minimum(a, b) * count + np.maximum(a, b), return_index=True, return_counts=True)
        edge = first[times == 1]
        across, down = np.abs(mesh.uvs[a[edge]] - mesh.uvs[b[edge]]).T
        length = np.maximum(down, across * TEXEL / PAGE)  # rows that it crosses, or pages along one
        return [float(one) for one in np.bincount(mesh.face_map[edge // 3], length, len(mesh.maps))]

    def touched(self, config: RunConfig) -> float:
        """Bytes of the levels of detail of a pyramid that the views of a run come to, of at most all."""
        plane, density = self._faces
        views, total = config.steps * config.views_per_step, 0.0
        pixels = config.view_size / (2 * sum(config.distance) / 2)  # a radius
        distances = [(0.4 * views * (1 - config.close_ups), pixels)]
        if config.close_ups:
            distances.append((0.4 * views * config.close_ups / config.zoom**2, pixels * config.zoom))
        points = config.steps * (2 * POINTS + 2 * config.view_size)
        for index, size in zip(self.mesh.optimized, self.sizes(config.texture_size), strict=True):
            here = self.mesh.face_map == index
            while size > BASE:
                seen = np.zeros(int(here.sum()))
                for times, scale in distances:  # faces that are seen squarely enough show the level
                    seen += times * (1 - density[here] * size / scale / 2).clip(min=0)
                pages = size * size * TEXEL / PAGE
                faces = pages * min(float((plane[here] * -np.expm1(-seen)).sum()), 1.0)
                border = min(1.2 * size * self._borders[index] + 1e-9, pages)
                seams = border * -math.expm1(-points / border)
                total += PAGE * min(faces + seams, pages)
                size //= 2
        return total


@dataclass(frozen=True)
class Budget:
    """Bytes by what takes them.

    process: what the process has now. loaded: what it had at most until now. The others are what comes on top of it:
    the parameters of textures, which stay, and one of `phases` at a time, each with its parts.
    """

    process: int
    loaded: int
    texture: int
    phases: dict[str, dict[str, int]]

    @property
    def total(self) -> int:
        """The most resident memory of the whole command."""
        phase = max(sum(parts.values()) for parts in self.phases.values())
        return max(self.loaded, self.process + self.texture + phase)

    @property
    def phase(self) -> str:
        """The phase that needs most."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))


def estimate(config: RunConfig, shape: Shape, network: ActivationSizes, process: int, loaded: int = 0) -> Budget:
    """The Budget of a run on the CPU. process, loaded: as of Budget."""
    sizes, triangles, kind = shape.sizes(config.texture_size), shape.triangles, config.texture
    squares = [size * size for size in sizes]
    texels, largest = sum(squares), max(squares)
    whole, detail, touched = texels, 0.0, 0.0
    if kind == "pyramid":
        whole = sum(min(size, BASE) ** 2 for size in sizes)
        detail = sum(TEXEL * (square - min(square, BASE**2)) * 4 / 3 for square in squares)
    noisy, fine, patched = config.starts_from_noise, config.starts_fine, config.compares_patches
    optimizer = KINDS[config.optimizer]
    if detail:
        touched = detail if fine or not optimizer.sparse else min(shape.touched(config), detail)
    pixels = config.view_size**2 * config.views_per_step
    bits = config.bits if listed(config.format) != ("glb",) else 8
    image = TEXEL * texels
    start = TEXEL * 3 * texels + FIT * largest if fine and not noisy else 0
    masked = MASKED * texels if shape.masked else 0
    strokes = sum(min(size, FINEST) ** 2 for size in sizes) if config.relief else 0
    phases: dict[str, dict[str, float]] = {
        "starting": {"seams": SEAMS * triangles, "start": start},
        "stepping": {
            "originals": ORIGINAL * shape.originals,
            "optimiser": DENSE_STEP[kind] * whole + 2 * touched + DETAIL_ROWS * detail / TEXEL
            + (0 if optimizer.sparse else detail) + optimizer.memory * (LEVELS * TEXEL * whole + detail),
            "network": pixels * (SAVED * network.saved + KEPT * network.kept) * (SMALLER if patched else 1),
            "patches": PATCHES if patched else 0, "relief": RELIEF * strokes,
            "drawing": SMALL + pixels * (DRAWING + CPPN * (kind == "cppn"))
            + triangles * (SCENE + VIEW * config.views_per_step),
        },
        "baking": {"images": image, "bands": (BAKE[kind] - TEXEL) * largest + BANDS * min(1, largest / 2**20)},
        "finding what is seen": {
            "images": image, "views": REACHED + REACHED_TEXEL * min(largest, 2048**2) + REACHING * triangles,
        },
        "finding what is used": {
            "images": image + 2 * texels, "layout": COVERED * min(largest, 1 << 23) + COVERING * triangles,
        },
        "filling": {"images": image + 2 * texels, "filling": FILLED * largest},
        "writing": {
            "images": image + masked, "relief": RELIEF_MAPS * strokes,
            "files": PNG[bits] * largest + FILES[bits] * texels + WRITING * triangles + ORIGINAL * shape.originals,
        },
    }  # fmt: skip
    for name, parts in phases.items():
        parts["code"] = CODE if name in ("starting", "stepping") else MORE_CODE
    rounded = {name: {part: int(size) for part, size in parts.items()} for name, parts in phases.items()}
    return Budget(process, loaded, int(PARAMETERS[kind] * whole + touched), rounded)


UNITS = {"": GB, "G": GB, "GB": GB, "M": MB, "MB": MB, "K": 1000, "KB": 1000, "T": 10**12, "TB": 10**12}
UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def parse_limit(text: str) -> int:
    """Bytes of "6GB", "512MB", "6G", "5.5GiB", or a number of GB. OptionError for what is no size."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].upper() not in UNITS or not float(found[1]):
        raise OptionError(f"max_memory has to be a size like 6GB or 512MB, not {text!r}")
    return int(float(found[1]) * UNITS[found[2].upper()])


def size_text(size: float) -> str:
    """Bytes for people."""
    return f"{size / GB:.1f} GB" if size >= 0.95 * GB else f"{max(size / MB, 1):.0f} MB"


def alternatives(
    config: RunConfig, limit: int, needs: Callable[[RunConfig], int], stride: int = STRIDE
) -> list[tuple[RunConfig, str]]:
    """Options that fit a limit, and what to say of them: one size that is smaller, or else all of them."""
    step = max(STRIDE // stride, 1) * stride
    smaller = {
        "texture_size": [1 << power for power in range(12, 5, -1)],
        "view_size": list(range(config.view_size // step * step, 96, -step)),
        "views_per_step": list(range(config.views_per_step, 0, -1)),
    }
    found = []
    for option, values in smaller.items():
        changes: Iterator[dict[str, Any]] = ({option: value} for value in values if value < getattr(config, option))
        for changed in changes:
            other = dataclasses.replace(config, **changed)
            if (need := needs(other)) <= limit:
                name = option.replace("_", "-")
                found.append((other, f"--{name} {getattr(other, option)} would take {size_text(need)}"))
                break
    if found:
        return found
    for size in [value for value in smaller["texture_size"] if value <= config.texture_size]:
        for view in (256 // step * step, 128 // step * step):
            other = dataclasses.replace(
                config, texture_size=size, view_size=min(view, config.view_size), views_per_step=1
            )
            if (need := needs(other)) <= limit:
                text = f"--texture-size {size} --view-size {other.view_size} --views-per-step 1"
                return [(other, f"{text} would take {size_text(need)}")]
    return []


def check(config: RunConfig, mesh: Mesh, extractor: FeatureExtractor, limit: int | None = None) -> Budget:
    """What a run will take, before it starts.

    limit: in bytes; by default what config.max_memory says. OptionError, in one line with sizes that would fit, where
    the run needs more. Without a limit that is a warning, and the limit is what the machine has.
    """
    limit = limit or (parse_limit(config.max_memory) if config.max_memory else None)
    give_back()
    process, loaded = memory.resident(), memory.peak()
    shape, network = Shape(mesh), count_activations(extractor)

    def needs(options: RunConfig) -> int:
        return estimate(options, shape, network, process, loaded).total

    budget = estimate(config, shape, network, process, loaded)
    most = limit if limit is not None else memory.available()
    if budget.total <= most:
        return budget
    ways = "; ".join(text for _, text in alternatives(config, most, needs, extractor.stride))
    ways = ways or f"no size would fit: mesh and network have {size_text(process)} already"
    if limit is not None:
        raise OptionError(f"this needs about {size_text(budget.total)}, over --max-memory {config.max_memory}; {ways}")
    log.warning("this needs about %s, and the machine has %s; %s", size_text(budget.total), size_text(most), ways)
    return budget
