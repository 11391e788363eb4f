"""Where a run's cameras come from: of what `optimize` is given as its cameras, a sampler."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import torch
from torch import Generator

from texopt.errors import OptionError
from texopt.render.cameras import Cameras, Sampler, sample_sphere
from texopt.render.fragments import Fragments
from texopt.render.scene import Scene

VIEWS, TOGETHER = 256, 4  # that a mean over a sampler's views is of, and how many of them a step has
COVERED = 512  # pixels a side, that it is found with what given cameras see


class Shuffled:
    """A sampler that draws from given cameras: all of them in a random order, then all of them in another.

    cameras: for renderings, which see the mesh in the unit sphere.
    """

    def __init__(self, cameras: Cameras) -> None:
        self.cameras = cameras

    def __call__(self, generator: Generator, count: int, before: int = 0) -> Cameras:
        seed, total = generator.initial_seed() % (1 << 62), len(self.cameras)
        turns = {
            turn: torch.randperm(total, generator=Generator().manual_seed(seed + turn)).tolist()
            for turn in range(before // total, (before + count - 1) // total + 1)
        }
        return self.cameras[[turns[number // total][number % total] for number in range(before, before + count)]]

    def coverage(self, scene: Scene) -> Iterator[Fragments]:
        """What the cameras see: as texopt.render.reached.Coverage."""
        for start in range(0, len(self.cameras), 8):  # eight at a time bound the memory
            yield scene.rasterize(self.cameras[start : start + 8], COVERED)


def as_sampler(cameras: Sampler | Cameras | None) -> Sampler:
    """A sampler: by default sample_sphere(), of Cameras one that draws from them.

    OptionError for what is none: it has other arguments, or does not return as many Cameras as it is asked for.
    """
    if cameras is None:
        return sample_sphere()
    if isinstance(cameras, Cameras):
        return Shuffled(cameras)
    wanted = "cameras has to be Cameras, or a function (generator, number of views, views before them) -> Cameras"
    if not callable(cameras):
        raise OptionError(f"{wanted}, not {repr(cameras)[:60]}")
    generator, count = Generator().manual_seed(0), 2
    try:
        inspect.signature(cameras).bind(generator, count, 0)
    except TypeError as error:
        raise OptionError(f"{wanted}; this one does not take three arguments ({error})") from None
    except ValueError:  # nothing is known of its arguments
        pass
    found = cameras(generator, count, 0)
    if not isinstance(found, Cameras) or len(found) != count:
        got = f"{len(found)} of {count}" if isinstance(found, Cameras) else type(found).__name__
        raise OptionError(f"{wanted}; this one returned {got}")
    return cameras


def mean_scale(views: Sequence[Cameras]) -> float:
    """How much of a view's height one mesh radius spans in the middle, averaged over the views."""
    scales = [view.projection[:, 1, 1] / view.view[:, :3, 3].norm(dim=1) / 2 for view in views]
    return float(torch.cat(scales).mean())


def mean_scales(sampler: Sampler) -> dict[float, float]:
    """mean_scale of a sampler's views, by their zoom: close-ups need not stand where the others do."""
    generator = Generator().manual_seed(0)
    views = [sampler(generator, TOGETHER, number) for number in range(0, VIEWS, TOGETHER)]
    return {zoom: mean_scale([view for view in views if view.zoom == zoom]) for zoom in {view.zoom for view in views}}
