"""What all runs have in common: threads and ranks, the folder, checkpoints, the progress bar, and going on."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from texopt.cli.input_files import changed, states
from texopt.cli.options.loop import LoopConfig
from texopt.cli.options.runs import LOOPS
from texopt.cli.options.saved import CONFIG, field_values, to_yaml
from texopt.cli.options.texts import listed
from texopt.cli.options.tools import ResumeConfig
from texopt.cli.tasks import make_task
from texopt.cli.tasks.task import Task
from texopt.errors import OptionError, OutputError, TexoptError
from texopt.features.backbones import NONE
from texopt.optim.checkpoint import NAME, Checkpoint, read
from texopt.optim.loop import optimize
from texopt.optim.result import Result
from texopt.raster import backends, visibility
from texopt.show.history import Step
from texopt.show.progress import ProgressBar
from texopt.show.video import Timelapse, check_videos
from texopt.system import distributed
from texopt.system.devices import resolve_device
from texopt.system.files import check_names, claimed, write_file
from texopt.system.signals import stoppable

if TYPE_CHECKING:
    from texopt.cli.remote import Remote

log = logging.getLogger("texopt")


def _divided(config: LoopConfig) -> LoopConfig:
    """The options, with a step's views divided over the processes that torchrun has started."""
    count = distributed.ranks()
    if config.views_per_step % count == 0:
        return config
    views = -(-config.views_per_step // count) * count
    log.info("views of a step: %d, as %d ranks divide them", views, count)
    return replace(config, views_per_step=views)


def run(command: str, config: LoopConfig, resume: bool = False, remote: Remote | None = None) -> None:
    """Run a command of LOOPS and write DIR: results, history and configuration.

    resume: go on from the checkpoint in DIR. remote: the program that follows the run.
    """
    if config.threads is not None:
        if not 1 <= config.threads <= 1024:
            raise OptionError(f"threads has to be between 1 and 1024, not {config.threads}")
        torch.set_num_threads(config.threads)
    elif distributed.launched():
        torch.set_num_threads(distributed.local_threads())
    device = resolve_device(distributed.local_device(config.device))
    with stoppable(), distributed.joined(device):
        _run(command, _divided(config), device, resume, remote)


def resume(config: ResumeConfig, remote: Remote | None = None) -> None:
    """Go on with the run in a folder. OptionError where there is none, or what it read has changed."""
    path = config.dir / NAME
    if not path.is_file():
        what = "has no run that was stopped" if config.dir.is_dir() else "does not exist"
        raise OptionError(f"{config.dir} {what}; there would be a {NAME} in it")
    about = read(path, tensors=False)["about"]
    if about.get("command") not in LOOPS:
        raise OptionError(f"{path} is not of a run of texopt's command; go on with it as it was started")
    if gone := changed(about["inputs"]):
        raise OptionError(f"{gone[0]} has changed or gone since the run was started; put it back, or start anew")
    saved = LOOPS[about["command"]](**field_values(about["command"], about["config"], str(path)))
    threads, device = config.threads or saved.threads, config.device or saved.device
    run(about["command"], replace(saved, out=config.dir, threads=threads, device=device), True, remote)


def _inputs(task: Task) -> list[Path]:
    """All files that a run reads."""
    meshes = task.mesh if isinstance(task.mesh, list) else [task.mesh]
    return [
        *(file for mesh in meshes for file in mesh.files),
        *(path for paths in task.config.files().values() for path in paths),
    ]


def _checkpoint(command: str, task: Task, resume: bool) -> Checkpoint:
    about = {"command": command, "config": task.config.plain(), "inputs": states(_inputs(task))}
    return Checkpoint(task.folder / NAME, task.config.checkpoint_seconds, resume, about)


def _check_files(task: Task) -> None:
    """OutputError where a file of the run cannot be written, or would replace one that it reads."""
    videos = [f"timelapse.{ending}" for ending in listed(task.config.timelapse)]
    written = [*task.files(), *(task.folder / name for name in (NAME, CONFIG, *videos))]
    check_names(written)
    inputs = {path.resolve() for path in _inputs(task)}
    for path in written:
        if path.resolve() in inputs:
            raise OutputError(f"{path} is a file that this run reads, and would be replaced; choose another --out")


def _tell_of_earlier(folder: Path) -> None:
    """A run that was stopped in this folder is replaced; the one who may have forgotten it hears of it in time."""
    with suppress(OptionError):
        state = read(folder / NAME, tensors=False)
        log.warning(
            "%s has a run that stopped at step %d of %d, which this one replaces; `texopt resume %s` goes on with it",
            folder, state["step"], state["settings"]["steps"], folder,
        )  # fmt: skip


def _run(command: str, config: LoopConfig, device: torch.device, resume: bool, remote: Remote | None) -> None:
    started, writes = time.perf_counter(), distributed.rank() == 0
    remote = remote if writes else None
    check_videos("timelapse", listed(config.timelapse))
    drawing = backends.select(config.raster, device).name
    if not visibility.compiled():
        log.info("compiling the drawing code; only the first run does, and it takes about 20 seconds")
    task = make_task(command, config, device)
    task.prepare()
    config = task.config
    if writes:
        _check_files(task)
    with claimed(task.folder) if writes else nullcontext():
        watchers = task.watchers() if writes else []
        precision = "bfloat16" if task.extractor.half_precision else "float32"
        network = "no network" if config.backbone == NONE else f"{config.backbone} on {device.type}, {precision}"
        log.info("%s; %s; drawing on %s", task.described, network, drawing)
        checkpoint = _checkpoint(command, task, resume)
        if writes and not resume:
            _tell_of_earlier(task.folder)
        timelapse = task.timelapse() if config.timelapse and writes else None
        if timelapse is not None:
            timelapse.take()  # what the run starts from
            watchers.insert(0, timelapse)
        if remote is not None:
            watchers.append(remote.on_step)
        followed = (
            remote.loop(task.folder, checkpoint.steps_done(), task.steps, task.current) if remote else nullcontext()
        )
        with followed, ProgressBar(task.steps, Console(stderr=True), writes and remote is None) as bar:
            watchers.insert(0, bar)

            def on_step(step: Step) -> None:
                for watch in watchers:
                    watch(step)

            try:
                found: Result | list[Result] = optimize(
                    task.mesh, task.textures, task.objective, steps=task.steps, views=task.views, descent=task.descent,
                    backbone=task.extractor, seed=config.seed, device=str(device), raster=config.raster,
                    on_step=on_step, checkpoint=checkpoint, shape=task.shape,
                )  # fmt: skip
            except Exception as error:
                if not isinstance(error, TexoptError) and (own := task.own_error(error)) is not None:
                    raise own from None
                raise
        if not writes:
            return
        results = found if isinstance(found, list) else [found]
        text = _write(command, task, results, timelapse, checkpoint)
    text = f"{text}, in {time.perf_counter() - started:.0f} s"
    print(text)
    if remote is not None:
        files = [*task.files(), task.folder / CONFIG]
        remote.end(text, any(result.interrupted for result in results), files)
    task.finish(results)


def _write(
    command: str, task: Task, results: Sequence[Result], timelapse: Timelapse | None, checkpoint: Checkpoint
) -> str:
    """Write the results of a run. Its checkpoint goes when all of them are there, if it came to its end."""
    result, folder = results[0], task.folder
    goes_on = f"`texopt resume {folder}` goes on with it" if checkpoint.path.exists() else ""
    if result.skipped:
        log.warning("%d steps were left out, as their loss or gradient was not finite", result.skipped)
    if result.interrupted:
        log.warning("stopped at step %d of %d; writing what there is", len(result.history), task.steps)
    try:
        text = task.write(results)
        for ending in listed(task.config.timelapse):
            if timelapse is not None and timelapse.pictures:
                timelapse.write(folder / f"timelapse.{ending}")
        write_file(folder / CONFIG, to_yaml(command, task.config).encode())  # the last: a batch takes it for the end
    except (KeyboardInterrupt, OutputError):
        if goes_on:
            log.warning("the run is kept; %s", goes_on)
        raise
    if not result.interrupted:
        _remove(checkpoint.path)
    elif goes_on:
        log.info(goes_on)
    return text


def _remove(checkpoint: Path) -> None:
    """Remove the checkpoint of a run that is done. Windows removes no file that another program has open, and the
    results are all there."""
    try:
        checkpoint.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "%s cannot be removed (%s); the run is done and does not need it", checkpoint, error.strerror or error
        )
