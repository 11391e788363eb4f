"""The loop: random views, objective, gradient to the texture, a step of the optimiser."""

from __future__ import annotations

import logging
import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, overload

import torch
from torch import Generator, Tensor, nn

from texopt.errors import OptionError, RankError
from texopt.features.backbones import DEFAULT, as_extractor
from texopt.features.extractor import Activations, FeatureExtractor
from texopt.features.view_sizes import whole_strides
from texopt.mesh.common_scale import common_radii
from texopt.mesh.mesh import Mesh
from texopt.objectives.terms import Loss, Objective, as_objective
from texopt.objectives.view import View
from texopt.optim import optimizers, schedules
from texopt.optim.checkpoint import Checkpoint
from texopt.optim.clipping import check_clip, clip_gradients
from texopt.optim.result import Result, all_around
from texopt.optim.run import Run, Terms
from texopt.optim.schedules import Schedule
from texopt.optim.unoptimized import Strays
from texopt.render.backgrounds import Background, composite, smooth_noise
from texopt.render.cameras import Cameras, Sampler
from texopt.render.fragments import Fragments
from texopt.render.regions import Regions
from texopt.render.samplers import as_sampler
from texopt.render.scene import Scene
from texopt.render.seam_points import Seams
from texopt.render.surface import Geometry
from texopt.render.transforms import Transform
from texopt.show.history import Step
from texopt.system import distributed
from texopt.system.devices import resolve_device, to_device
from texopt.system.pages import give_back
from texopt.texture.texture_set import Surface, Texture

log = logging.getLogger("texopt")


Size = int | tuple[int, int]  # pixels a side, or (height, width)
SMALLEST, LARGEST = 32, 4096  # pixels a side


def check_options(
    steps: int, view_size: Size, views_per_step: int, learning_rate: float, seed: int = 0, optimizer: str = "adam",
    clip: float | None = None, coarse: float = 0.0,
) -> None:  # fmt: skip
    """OptionError where one of these arguments of `optimize` is outside of what it can be."""
    for name, value, most in (("steps", steps, 1_000_000), ("views_per_step", views_per_step, 256)):
        if not 1 <= value <= most:
            raise OptionError(f"{name} has to be between 1 and {most}, not {value}")
    for side in sides(view_size):
        if not SMALLEST <= side <= LARGEST:
            raise OptionError(f"view_size has to be between {SMALLEST} and {LARGEST} pixels, not {side}")
    if not 0 < learning_rate < 100:
        raise OptionError(f"learning_rate has to be above 0 and below 100, not {learning_rate}")
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed has to be between 0 and {2**63 - 1}, not {seed}")
    if not 0 <= coarse <= 1:
        raise OptionError(f"coarse has to be a share of the steps, between 0 and 1, not {coarse}")
    optimizers.check(optimizer)
    check_clip(clip)


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a size; OptionError for what is none."""
    both = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(both) != 2 or not all(isinstance(side, numbers.Integral) for side in both):
        raise OptionError(f"view_size has to be pixels a side, or (height, width), not {size!r}")
    return int(both[0]), int(both[1])


def check_stride(view_size: Size, stride: int) -> None:
    """OptionError for views whose sides are no multiples of a network's stride."""
    for side in sides(view_size):
        if side % stride:
            least, most = -(-SMALLEST // stride) * stride, LARGEST // stride * stride
            near = min(max(round(side / stride) * stride, least), most)
            raise OptionError(
                f"view_size has to be a multiple of {stride}, as this network halves or cuts its images, not {side}; "
                f"try {near}"
            )


def mean_scale(views: Sequence[Cameras]) -> float:
    """How much of a view's height one mesh radius spans in the middle, averaged over the views."""
    scales = [view.projection[:, 1, 1] / view.view[:, :3, 3].norm(dim=1) / 2 for view in views]
    return float(torch.cat(scales).mean())


def mean_scales(sampler: Sampler) -> dict[float, float]:
    """mean_scale of a sampler's views, by their zoom: close-ups need not stand where the others do."""
    views = [sampler(Generator().manual_seed(0), 1, index) for index in range(256)]
    return {zoom: mean_scale([view for view in views if view.zoom == zoom]) for zoom in {view.zoom for view in views}}


def _repeatable(transform: Transform | None, generator: Generator) -> Callable[[Tensor], Tensor]:
    """A random transformation that does the same to all images that it is given; the identity for None."""
    if transform is None:
        return lambda images: images
    seed = int(torch.randint(2**62, (), generator=generator))

    def move(images: Tensor) -> Tensor:
        moved = transform(Generator().manual_seed(seed), images)
        if not isinstance(moved, Tensor) or moved.shape != images.shape:
            got = list(moved.shape) if isinstance(moved, Tensor) else type(moved).__name__
            raise OptionError(
                f"transform has to return images shaped as it is given them, {list(images.shape)}, not {got}"
            )
        return moved

    return move


def _region(regions: Regions, fragments: Fragments, move: Callable[[Tensor], Tensor], where: str) -> Tensor:
    return move(regions(fragments, where)).round()


def _fewer(count: int, device: torch.device) -> int:
    """Half as many views a step, where so many do not fit; OptionError where there are no fewer."""
    if count == 1 or distributed.ranks() > 1:
        raise OptionError(f"{device} has too little memory for a step; take a smaller view or texture size") from None
    log.warning("%s has too little memory for %d views a step; going on with %d", device, count, count // 2)
    return count // 2


class _Subject:
    """A mesh that is optimised, ready to be looked at."""

    def __init__(
        self, mesh: Mesh, texture: Texture | Sequence[Texture], device: torch.device, raster: str, radius: float | None
    ) -> None:
        self.mesh, self.texture = mesh, texture
        self.surface, self.seams = Surface(mesh, texture, device, raster), Seams(mesh, device)
        self.scene, self.regions = Scene(mesh, device, raster, optimized=True, radius=radius), Regions(mesh, device)
        self.size = mesh.normalization(optimized=True)[1] / self.scene.radius  # its radius, in those of the scene


def _pairs(mesh: Any, texture: Any, optimizer: str) -> list[tuple[Mesh, Any]]:
    """Meshes, each with its texture or its textures."""
    if isinstance(mesh, Mesh):
        return [(mesh, texture)]
    if not isinstance(mesh, (list, tuple)) or not all(isinstance(one, Mesh) for one in mesh):
        raise OptionError(f"mesh has to be a Mesh, as of texopt.load_mesh, or a list of them, not {mesh!r:.100}")
    meshes, textures = list(mesh), list(texture) if isinstance(texture, (list, tuple)) else [texture]
    if not meshes or len(textures) != len(meshes):
        raise OptionError(f"{len(meshes)} meshes need as many textures, or lists of textures, not {len(textures)}")
    if optimizer == "lbfgs" and len(meshes) > 1:
        raise OptionError("lbfgs is for views that stay the same, not for meshes in turn; take another optimizer")
    return list(zip(meshes, textures, strict=True))


@overload
def optimize(
    mesh: Mesh, texture: Texture | Sequence[Texture], objective: Objective | Loss, *, steps: int = ...,
    view_size: Size = ..., views_per_step: int = ..., learning_rate: float = ..., optimizer: str = ...,
    schedule: str | Schedule = ..., clip: float | None = ..., coarse: float = ...,
    cameras: Sampler | Cameras | None = ..., background: Background | None = ..., transform: Transform | None = ...,
    backbone: str | FeatureExtractor = ..., seed: int = ..., device: str = ..., raster: str = ...,
    on_step: Callable[[Step], None] | None = ..., checkpoint: Checkpoint | str | os.PathLike[str] | None = ...,
) -> Result: ...  # fmt: skip


@overload
def optimize(
    mesh: Sequence[Mesh], texture: Sequence[Texture | Sequence[Texture]], objective: Objective | Loss, *,
    steps: int = ..., view_size: Size = ..., views_per_step: int = ..., learning_rate: float = ...,
    optimizer: str = ..., schedule: str | Schedule = ..., clip: float | None = ..., coarse: float = ...,
    cameras: Sampler | Cameras | None = ..., background: Background | None = ..., transform: Transform | None = ...,
    backbone: str | FeatureExtractor = ..., seed: int = ..., device: str = ..., raster: str = ...,
    on_step: Callable[[Step], None] | None = ..., checkpoint: Checkpoint | str | os.PathLike[str] | None = ...,
    common_scale: bool = ...,
) -> list[Result]: ...  # fmt: skip


def optimize(
    mesh: Mesh | Sequence[Mesh], texture: Texture | Sequence[Texture | Sequence[Texture]],
    objective: Objective | Loss, *, steps: int = 300, view_size: Size = 384, views_per_step: int = 1,
    learning_rate: float = 0.05, optimizer: str = "adam", schedule: str | Schedule = "auto",
    clip: float | None = None, coarse: float = 0.0, cameras: Sampler | Cameras | None = None,
    background: Background | None = None, transform: Transform | None = None,
    backbone: str | FeatureExtractor = DEFAULT, seed: int = 0, device: str = "auto", raster: str = "auto",
    on_step: Callable[[Step], None] | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None, common_scale: bool = False,
) -> Result | list[Result]:  # fmt: skip
    """Optimise the texture of a mesh by gradient descent through random renderings of it.

    Args:
        mesh: what load_mesh returned. Several in a list, with a texture each (or a list of them), are looked at in
            turn, a step each. What the objective remembers is then of all of them: style's averages are of the set.
        texture: PyramidTexture, FourierTexture, PixelTexture, or any nn.Module with their `sample` and `bake`; it is
            changed in place. A mesh of several maps: a list of them, [PyramidTexture(n) for n in mesh.map_sizes(1024)].
        objective: texopt.style(...) + 6 * texopt.content(), or a function of a View that returns a scalar tensor. What
            it remembers of an earlier run is forgotten. The textures alone are optimised: parameters of networks in it
            should not require gradients, or have an optimiser of their own that `on_step` steps; an nn.Module as a loss
            has them in the checkpoint.
        steps: of gradient descent.
        view_size: pixels a side of a rendering, or its (height, width); multiples of the network's stride, which is
            32 of most (FeatureExtractor.stride).
        views_per_step: renderings a step; under torchrun they are divided over the processes (system.distributed).
        learning_rate: at its highest, as of Adam: about how far values move in a step. Other optimisers take a rate of
            their own for it, see texopt.optim.optimizers.
        optimizer: "adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", or "lbfgs", which looks at the
            views of a step about five times, and is for views that stay the same: images as a whole.
        schedule: of the learning rate: "warmup-cosine", "constant", "linear", "exponential", "staircase", a function
            (step, steps) -> factor, or "auto": warmup-cosine, but constant for lbfgs.
        clip: the most that the norm of all gradients may be; by default it may be anything.
        coarse: share of the steps, at the start, that look at views of half the size, which take a quarter of the time:
            they lay out what is large (Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR
            2017, section 6).
        cameras: a sampler, a function (generator, number of views, views before them) -> Cameras, by default
            sample_sphere(), from all around; or Cameras, of which each is looked from in turn, in a random order. A
            sampler that does not see everything may say what it sees in an attribute `looks` (optim.result.Looks):
            the result has the rest filled, as of Cameras.
        background: behind the object, a new one every step; by default smooth_noise().
        transform: of the rendered views before the objective sees them, see texopt.render.transforms; none by default.
        backbone: name of a pretrained network (`texopt backbones`), or a FeatureExtractor, of any nn.Module.
        seed: of cameras, backgrounds and transformations. The same seed on the same machine gives the same texture.
        device: "auto", "cpu", "cuda", "mps", ...: where texture and network are.
        raster: "cpu", "nvdiffrast" (CUDA only), or "auto": nvdiffrast where it can be used.
        on_step: called with a Step after every step: its number, losses, and the view that it was of.
        checkpoint: a file (.safetensors) that keeps the state of the run, every 30 seconds and at its end. If it is
            there, the run goes on from it, bit for bit; or a Checkpoint, that says when and whether.
        common_scale: draw several meshes in their sizes to one another, the largest as large as one alone is drawn. A
            painting is then as large on all of them as on the largest. Without it each is drawn as if it was alone.

    Returns:
        a Result, or a list with one for each mesh. Ctrl-C, or the death of another process, ends the loop early: the
        result has what there is, and `interrupted` is set. So does a loss that stays NaN or infinite; single such steps
        are left out, see Guard.

    Raises:
        TexoptError: an option that cannot be, weights that are missing, an objective that is no scalar or never finite.
    """
    check_options(steps, view_size, views_per_step, learning_rate, seed, optimizer, clip, coarse)
    whole = sides(view_size)
    distributed.own(views_per_step)  # says what cannot be
    schedule = optimizers.KINDS[optimizer].schedule if schedule == "auto" else schedule
    factor, first = schedules.find(schedule), round(coarse * steps)
    objective = as_objective(objective)
    objective.reset()
    target = resolve_device(device)
    extractor = as_extractor(backbone, target)
    check_stride(view_size, extractor.stride)
    half = [whole_strides(side / 2, extractor.stride) for side in whole]
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    sample_cameras, make_background = as_sampler(cameras), background or smooth_noise()

    pairs = _pairs(mesh, texture, optimizer)
    radii = common_radii([one for one, _ in pairs]) if common_scale else [None] * len(pairs)
    subjects = [_Subject(one, its, target, raster, radius) for (one, its), radius in zip(pairs, radii, strict=True)]
    textures: nn.Module = subjects[0].surface.textures
    if len(subjects) > 1:
        textures = nn.ModuleList(subject.surface.textures for subject in subjects)
    generator = Generator().manual_seed(seed)
    run = Run(
        {
            "steps": steps, "view_size": whole[0] if whole[0] == whole[1] else list(whole), "coarse": coarse,
            "learning_rate": learning_rate, "optimizer": optimizer, "schedule": schedules.name_of(schedule),
            "clip": clip, "seed": seed,
        },
        textures, objective, generator, mean_scales(sample_cameras), checkpoint,
    )  # fmt: skip
    parameters = list(textures.parameters())
    rates = [
        optimizers.own_rate(optimizer, learning_rate, subject.surface.textures.parameters()) for subject in subjects
    ]

    def at(number: int) -> float:
        """The learning rate's factor. Views of the full size have a schedule of their own, and coarse ones before them
        the first half of one."""
        return factor(number, 2 * first) if number < first else factor(number - first, steps - first)

    def look(number: int, count: int) -> tuple[Tensor, dict[str, Tensor], View]:
        """The loss of new views, `count` over all ranks, its terms, and the views."""
        views, subject = distributed.own(count), subjects[number % len(subjects)]
        height, width = half if number < first else whole
        shot = sample_cameras(generator, count, number // len(subjects) * count)[views]
        fragments = subject.scene.rasterize(shot, height, width)
        behind, frame = (
            to_device(values, target)
            for values in (make_background(generator, count, height, width)[views], shot.frame)
        )
        scale = height * run.scales.setdefault(shot.zoom, mean_scale([shot]))
        extended = subject.seams.extend(fragments, generator, views, count, scale * subject.size)
        colors, before, amount = subject.surface.sample(extended)
        colors, points = subject.seams.split(colors, height)
        there = fragments.mask[:, None]
        image = composite(colors, there, behind)
        alpha = there * colors[:, 3:] if colors.shape[1] == 4 else None
        before = composite(before[:, :, :height], there, behind)
        mask = there.float() if amount is None else (there & (amount[:, :, :height] > 0.5)).float()
        move = _repeatable(transform, generator)
        if transform is not None:
            moved = [image, before, mask] + ([] if alpha is None else [alpha])
            image, before, mask, *rest = move(torch.cat(moved, 1)).split([one.shape[1] for one in moved], 1)
            before, mask, alpha = before.detach(), mask.detach(), rest[0] if rest else None
        view = View(
            image=image, mask=mask, original=before, features=Activations(extractor, image, run.layers),
            original_features=Activations(extractor, before, run.original_layers, False), extractor=extractor,
            seams=points, scale=scale, step=number, steps=steps, zoom=shot.zoom,
            regions=partial(_region, subject.regions, fragments, move), frame=frame, frames=shot.frames,
            alpha=mask if alpha is None else alpha, cameras=shot,
            geometry=Geometry(fragments, shot, None if transform is None else move),
        )  # fmt: skip
        loss, values = objective(view)
        if not loss.requires_grad:
            raise OptionError("the objective does not depend on the texture; make it of view.image or view.features")
        return loss, values | {"loss": loss}, view

    def gradient(number: int, count: int) -> tuple[Tensor, dict[str, Tensor], View]:
        """As look, with the views detached; every parameter has its gradient then."""
        run.optimizer.zero_grad(set_to_none=True)
        loss, terms, view = look(number, count)
        strays.see(loss)
        loss.backward()
        view = view.detached()
        distributed.average_gradients(parameters)
        if clip is not None:
            clip_gradients(parameters, clip)
        return loss, terms, view

    def again(number: int, count: int) -> Tensor:
        return run.again(lambda: gradient(number, count)[0])

    count, interrupted, strays = views_per_step, False, Strays(parameters, objective)
    stop = distributed.Stop()
    give_back()  # what loading took
    try:
        while (number := run.step) < steps:
            if stop.agreed():
                raise KeyboardInterrupt
            if run.guard.hopeless:
                log.warning("the loss or its gradient stays infinite or NaN; the run ends with what it has")
                raise KeyboardInterrupt
            try:
                loss, terms, view = gradient(number, count)
            except torch.OutOfMemoryError:
                count = _fewer(count, target)
                run.rewind()
                continue
            with run.changing():
                run.guard.step(
                    number + 1, rates[number % len(rates)] * at(number), loss, parameters,
                    partial(again, number, count),
                )  # fmt: skip
                run.history.append(Step(number + 1, steps, run.seconds(), Terms(terms)))
            if on_step is not None:
                on_step(replace(run.history[-1], view=view))
            del view
            strays.check()
            run.save_in_time()
    except KeyboardInterrupt:
        interrupted = True
    except RankError as error:
        log.warning("%s", error)
        interrupted = True
    finally:
        run.save()
    if run.step and run.guard.skipped == run.step:
        raise OptionError("the loss or its gradient is not finite from the first step on; mend the objective")
    looks = getattr(sample_cameras, "looks", all_around)
    results = [
        Result(subject.mesh, subject.texture, run.history, interrupted, run.guard.skipped, looks)
        for subject in subjects
    ]
    return results[0] if isinstance(mesh, Mesh) else results
