"""Tasks for worker.py: whole optimisation steps of the standard recipe, their parts, the network alone."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmarks.clock import BACKGROUND, CAMERAS, PARTS, Clock, timers
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

import texopt
from texopt.cli.options.runs import StyleConfig
from texopt.cli.tasks.style_task import StyleTask
from texopt.features import FeatureExtractor
from texopt.render.cameras import Cameras
from texopt.system.devices import resolve_device

WARM = 4  # steps that are not counted: the first compile, make targets, fault memory in
LONGEST = 40.0  # seconds, after which a run ends with the steps that it has, at least two
MATRIX = {"cpu": 1024, "cuda": 8192}  # rows and columns of the product that a device's peak is measured with


@dataclass
class Run:
    """texopt.optimize as `texopt style` calls it, with the same sequence of views whatever the texture."""

    config: StyleConfig
    repeat: int

    def __post_init__(self) -> None:
        self.device = resolve_device(self.config.device)
        self.task = StyleTask(self.config, self.device)
        self.task.prepare()
        self.mesh, self.textures, self.extractor = self.task.mesh, self.task.textures, self.task.extractor

    def wait(self) -> None:
        """Until a graphics card has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def sample_cameras(self, _generator: Generator, count: int, index: int) -> Cameras:
        return self.task.views.cameras(Generator().manual_seed(index), count, index)

    def __call__(self, between: Any = lambda: None, clock: Clock | None = None) -> list[float]:
        """Optimise; return the seconds of the steps that count. between: called after each step, not counted."""
        sample, background = self.sample_cameras, self.task.views.background
        if clock is not None:
            sample, background = clock.timed(CAMERAS, sample), clock.timed(BACKGROUND, background)
        begun = last = time.perf_counter()
        seconds: list[float] = []

        def on_step(step: texopt.Step) -> None:
            nonlocal last
            self.wait()
            seconds.append(time.perf_counter() - last)
            between()
            if step.number > 2 and time.perf_counter() - begun > LONGEST:
                raise KeyboardInterrupt  # which ends the run
            last = time.perf_counter()

        texopt.optimize(
            self.mesh,
            self.textures,
            self.task.objective,
            steps=WARM + self.repeat,
            views=replace(self.task.views, cameras=sample, background=background, coarse=0.0),
            descent=self.task.descent,
            backbone=self.extractor,
            device=self.config.device,
            raster=self.config.raster,
            on_step=on_step,
        )
        return counted(seconds)


def counted(steps: list[Any]) -> list[Any]:
    """Those of a run that count; of a slow one that has ended early all but the first."""
    return steps[min(WARM, len(steps) - 2) :]


def configured(
    mesh: str, style: str, texture: str, size: int, view: int, views: int = 1, device: str = "cpu", raster: str = "auto"
) -> StyleConfig:
    return StyleConfig(
        mesh=Path(mesh), style=(Path(style),), texture=texture, texture_size=size, view_size=view,
        views_per_step=views, device=device, raster=raster,
    )  # type: ignore[arg-type]  # fmt: skip


def step(repeat: int, **options: Any) -> dict[str, float]:
    """Milliseconds of one whole step."""
    return {"ms": 1000 * median(Run(configured(**options), repeat)())}


def rank(repeat: int, **options: Any) -> dict[str, float]:
    """Steps a second, in a process alone or in each that torchrun starts."""
    joined: Any = nullcontext()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from texopt.system import distributed

        joined = distributed.joined(torch.device("cpu"))
    with joined:
        return {"steps/s": 1 / median(Run(configured(**options), repeat)())}


class Bare:
    """The network alone: a random image forward, and random gradients of the layers back to it."""

    def __init__(self, extractor: FeatureExtractor, view: int, device: torch.device) -> None:
        self.extractor, self.forward = extractor, FeatureExtractor.forward  # before there are timers around it
        self.image = torch.rand(1, 3, view, view, device=device, requires_grad=True)
        self.grads: list[Tensor] = []

    def flop(self) -> float:
        """Floating-point operations of forward and backward. The gradient to a convolution's input takes as many
        multiplications as the convolution; frozen weights have none."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.forward(self.extractor, self.image)
        return 2.0 * counter.get_total_flops()

    def __call__(self) -> None:
        found = list(self.forward(self.extractor, self.image).values())
        self.grads = self.grads or [torch.rand_like(values) for values in found]
        torch.autograd.grad(found, self.image, self.grads)


def profile(repeat: int, **options: Any) -> dict[str, float]:
    """Milliseconds of a step by part, and between the steps of the network alone and of matrix products.

    The machine's speed drifts, and these are for comparison; so is "plain", a step without timers: every second one
    has some. "flop" is the arithmetic of "alone"; "float32" and "bfloat16" are the best of floating-point operations a
    second in products of matrices.
    """
    run = Run(configured(**options), 2 * repeat)
    clock, alone = Clock(run.wait), Bare(run.extractor, run.config.view_size, run.device)
    side = MATRIX[run.device.type]
    matrix = torch.rand(side, side, device=run.device)
    half = matrix.bfloat16()
    works = {"alone": alone, "float32": lambda: matrix @ matrix, "bfloat16": lambda: half @ half}
    times: dict[str, list[float]] = {name: [] for name in works}
    steps: list[tuple[bool, Counter[str]]] = []  # whether it had timers, its seconds by part

    with ExitStack() as there:

        def between() -> None:
            steps.append((len(steps) % 2 == 1, clock.end()))
            for name, work in works.items():
                start = time.perf_counter()
                work()
                run.wait()
                times[name].append(time.perf_counter() - start)
            there.close()
            if len(steps) % 2:
                there.enter_context(timers(clock))
            clock.begin()

        run(between, clock)
    timed = [parts for has_timers, parts in counted(steps) if has_timers]
    plain = [parts for has_timers, parts in counted(steps) if not has_timers]
    out = {part: 1000 * median(parts[part] for parts in timed) for part in PARTS}
    out["timed"], out["plain"] = (1000 * median(parts.total() for parts in some) for some in (timed, plain))
    out |= {"alone": 1000 * median(counted(times["alone"])), "flop": alone.flop()}
    return out | {name: 2.0 * side**3 / min(times[name]) for name in ("float32", "bfloat16")}
