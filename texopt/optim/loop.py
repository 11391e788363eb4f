"""The loop: random views, objective, gradient to the textures, a step of the optimiser."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.features.backbones import DEFAULT, as_extractor
from texopt.features.extractor import FeatureExtractor
from texopt.features.view_sizes import sides
from texopt.mesh.common_scale import common_radii
from texopt.mesh.mesh import Mesh
from texopt.mesh.shape import Shape
from texopt.objectives.terms import Loss, Objective, as_objective
from texopt.objectives.view import View
from texopt.optim import optimizers, schedules
from texopt.optim.checkpoint import Checkpoint
from texopt.optim.clipping import clip_gradients
from texopt.optim.descent import Descent
from texopt.optim.result import Result
from texopt.optim.run import Run
from texopt.optim.shaped_renderer import ShapedRenderer, check_shape
from texopt.optim.unoptimized import Strays
from texopt.optim.view_renderer import ViewRenderer
from texopt.optim.views import Views
from texopt.render.reached import all_around
from texopt.show.history import Step
from texopt.system import distributed
from texopt.system.devices import resolve_device
from texopt.system.pages import give_back
from texopt.texture.texture_set import Texture

log = logging.getLogger("texopt")

MOST_STEPS = 1_000_000
VIEWS, DESCENT = Views(), Descent()  # by default


def check_run(steps: int, seed: int) -> None:
    """OptionError where one of these arguments of `optimize` is outside of what it can be."""
    if not 1 <= steps <= MOST_STEPS:
        raise OptionError(f"steps has to be between 1 and {MOST_STEPS}, not {steps}")
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed has to be between 0 and {2**63 - 1}, not {seed}")


@overload
def optimize(
    mesh: Mesh, texture: Texture | Sequence[Texture], objective: Objective | Loss, *, steps: int = ...,
    views: Views = ..., descent: Descent = ..., backbone: str | FeatureExtractor = ..., seed: int = ...,
    device: str = ..., raster: str = ..., on_step: Callable[[Step], None] | None = ...,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = ..., shape: Shape | None = ...,
) -> Result: ...  # fmt: skip


@overload
def optimize(
    mesh: Sequence[Mesh], texture: Sequence[Texture | Sequence[Texture]], objective: Objective | Loss, *,
    steps: int = ..., views: Views = ..., descent: Descent = ..., backbone: str | FeatureExtractor = ...,
    seed: int = ..., device: str = ..., raster: str = ..., on_step: Callable[[Step], None] | None = ...,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = ...,
) -> list[Result]: ...  # fmt: skip


def optimize(
    mesh: Mesh | Sequence[Mesh], texture: Texture | Sequence[Texture | Sequence[Texture]],
    objective: Objective | Loss, *, steps: int = 300, views: Views = VIEWS, descent: Descent = DESCENT,
    backbone: str | FeatureExtractor = DEFAULT, seed: int = 0, device: str = "auto", raster: str = "auto",
    on_step: Callable[[Step], None] | None = None, checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    shape: Shape | None = None,
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
        steps: of gradient descent, from 1 to a million.
        views: which renderings are looked at: Views(size=256, cameras=...).
        descent: how the textures are stepped: Descent(learning_rate=0.02).
        backbone: name of a pretrained network (`texopt backbones`), or a FeatureExtractor, of any nn.Module.
        seed: of cameras, backgrounds and transformations. The same seed on the same machine gives the same texture.
        device: "auto", "cpu", "cuda", "mps", ...: where texture and network are.
        raster: "cpu", "nvdiffrast" (CUDA only), or "auto": nvdiffrast where it can be used.
        on_step: called with a Step after every step: its number, losses, and the view that it was of.
        checkpoint: a file (.safetensors) that keeps the state of the run, every 30 seconds and at its end. If it is
            there, the run goes on from it, bit for bit; or a Checkpoint, that says when and whether.
        shape: texopt.Shape(mesh): have the vertices of one mesh move, too. The result's mesh has them where they are
            at the end.

    Returns:
        a Result, or a list with one for each mesh. Ctrl-C, the death of another process, or a loss that stays NaN or
        infinite ends the loop early: the result has what there is, and its `ending` says so. Single steps whose loss or
        gradient is not finite are left out.

    Raises:
        TexoptError: an option that cannot be, weights that are missing, an objective that is no scalar or never finite.
    """
    check_run(steps, seed)
    distributed.own(views.per_step)  # says what cannot be divided
    objective = as_objective(objective)
    objective.reset()
    target = resolve_device(device)
    extractor = as_extractor(backbone, target)
    pairs = _pairs(mesh, texture, descent)
    check_shape(shape, mesh)
    radii = common_radii([one for one, _ in pairs]) if views.common_scale else [None] * len(pairs)
    renderers = (
        [
            ViewRenderer(one, its, views, extractor, target, raster, radius)
            for (one, its), radius in zip(pairs, radii, strict=True)
        ]
        if shape is None
        else [ShapedRenderer(shape, pairs[0][1], views, extractor, target, raster)]
    )
    checkpoint = checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    settings = _settings(steps, views, descent, seed) | ({} if shape is None else {"shape": shape.bound})
    run = Run(settings, _textures(renderers), objective, renderers[0].known(), checkpoint)
    gradient = _Gradient(renderers, descent, run)
    count = views.per_step
    give_back()  # what loading took
    with run.to_its_end():
        while run.goes_on():
            try:
                loss, terms, view = gradient(count)
            except torch.OutOfMemoryError:
                count = _fewer(count, target)
                run.rewind()
                continue
            with run.changing():
                rate = gradient.rate(views.coarse_steps(steps))
                run.guard.step(run.step + 1, rate, loss, gradient.parameters, partial(gradient.again, count))
                run.report(terms)
            if on_step is not None:
                on_step(replace(run.history[-1], view=view))
            del view
            gradient.strays.check()
            run.save_in_time()
    coverage = getattr(renderers[0].cameras, "coverage", all_around)
    if shape is not None:
        pairs = [(shape.moved(), pairs[0][1])]
    results = [Result(one, its, run.history, run.ending, run.guard.skipped, coverage) for one, its in pairs]
    return results[0] if isinstance(mesh, Mesh) else results


class _Gradient:
    """The gradient of an objective at the views of a run's next step.

    renderers: of the meshes that are looked at in turn. parameters: of all their textures.
    """

    def __init__(self, renderers: Sequence[ViewRenderer], descent: Descent, run: Run) -> None:
        self.renderers, self.descent, self.run = renderers, descent, run
        self.parameters = list(run.textures.parameters())
        self.strays = Strays(self.parameters, run.objective)
        self._rates = [
            optimizers.own_rate(descent.optimizer, descent.learning_rate, renderer.surface.textures.parameters())
            for renderer in renderers
        ]

    def __call__(self, count: int) -> tuple[Tensor, dict[str, Tensor], View]:
        """The loss of `count` new views over all ranks, its terms, and the views, detached; every parameter has its
        gradient then."""
        run = self.run
        run.optimizer.zero_grad(set_to_none=True)
        turn, which = divmod(run.step, len(self.renderers))
        view = self.renderers[which].view(run.step, run.settings["steps"], turn, count, run.known, run.generator)
        loss, terms = run.objective(view)
        if not loss.requires_grad:
            raise OptionError("the objective does not depend on the texture; make it of view.image or view.features")
        self.strays.see(loss)
        loss.backward()
        distributed.average_gradients(self.parameters)
        if self.descent.clip is not None:
            clip_gradients(self.parameters, self.descent.clip)
        return loss, terms | {"loss": loss}, view.detached()

    def again(self, count: int) -> Tensor:
        """The loss of the same views once more, with its gradient, where the parameters are by now."""
        return self.run.again(lambda: self(count)[0])

    def rate(self, coarse: int) -> float:
        """The learning rate of the next step; coarse: see Descent.factor."""
        factor = self.descent.factor(self.run.step, self.run.settings["steps"], coarse)
        return self._rates[self.run.step % len(self._rates)] * factor


def _pairs(mesh: Any, texture: Any, descent: Descent) -> list[tuple[Mesh, Any]]:
    """Meshes, each with its texture or its textures."""
    if isinstance(mesh, Mesh):
        return [(mesh, texture)]
    if not isinstance(mesh, (list, tuple)) or not all(isinstance(one, Mesh) for one in mesh):
        raise OptionError(f"mesh has to be a Mesh, as of texopt.load_mesh, or a list of them, not {mesh!r:.100}")
    meshes, textures = list(mesh), list(texture) if isinstance(texture, (list, tuple)) else [texture]
    if not meshes or len(textures) != len(meshes):
        raise OptionError(f"{len(meshes)} meshes need as many textures, or lists of textures, not {len(textures)}")
    if descent.optimizer == "lbfgs" and len(meshes) > 1:
        raise OptionError("lbfgs is for views that stay the same, not for meshes in turn; take another optimizer")
    return list(zip(meshes, textures, strict=True))


def _textures(renderers: Sequence[ViewRenderer]) -> nn.Module:
    """All that is optimised."""
    if len(renderers) == 1:
        return renderers[0].optimized
    return nn.ModuleList(renderer.optimized for renderer in renderers)


def _settings(steps: int, views: Views, descent: Descent, seed: int) -> dict[str, Any]:
    """What has to be the same for a run to go on from a checkpoint."""
    height, width = sides(views.size)
    return {
        "steps": steps, "view_size": height if height == width else [height, width], "coarse": views.coarse,
        "learning_rate": descent.learning_rate, "optimizer": descent.optimizer,
        "schedule": schedules.name_of(descent.named_schedule), "clip": descent.clip, "seed": seed,
    }  # fmt: skip


def _fewer(count: int, device: torch.device) -> int:
    """Half as many views a step, where so many do not fit; OptionError where there are no fewer."""
    if count == 1 or distributed.ranks() > 1:
        raise OptionError(f"{device} has too little memory for a step; take a smaller view or texture size") from None
    log.warning("%s has too little memory for %d views a step; going on with %d", device, count, count // 2)
    return count // 2
