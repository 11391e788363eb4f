"""Optimisers, schedules and clipping: torch's own where they are, and what the loop needs of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from conftest import check_one_line, make_cube, make_network, slow
from settings import grouped
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

import texopt
import texopt.texture.pyramid
from texopt import Checkpoint, FeatureExtractor, OptionError, PixelTexture, PyramidTexture, Step, View
from texopt.cli.options.runs import RunConfig
from texopt.optim.clipping import clip_gradients
from texopt.optim.lbfgs import LBFGS
from texopt.optim.optimizers import KINDS, check, load_state, make, own_rate, state_of
from texopt.optim.schedules import SCHEDULES
from texopt.system import distributed
from texopt.system.images import to_image

STEPS = 4
RATES = {"sgd": 1.6, "momentum": 0.6, "nesterov": 0.6}
SPARSE = [name for name in KINDS if name != "adam"]  # whose sparse gradients have tests of their own

TORCHS: dict[str, Callable[[list[Tensor]], Optimizer]] = {
    "adam": lambda x: torch.optim.Adam(x, 0.03),
    "adamw": lambda x: torch.optim.AdamW(x, 0.03),
    "sgd": lambda x: torch.optim.SGD(x, 0.03),
    "momentum": lambda x: torch.optim.SGD(x, 0.03, momentum=0.9),
    "nesterov": lambda x: torch.optim.SGD(x, 0.03, momentum=0.9, nesterov=True),
    "rmsprop": lambda x: torch.optim.RMSprop(x, 0.03),
    "adagrad": lambda x: torch.optim.Adagrad(x, 0.03),
    "lbfgs": lambda x: torch.optim.LBFGS(
        x, 0.03, max_iter=4, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0
    ),
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def picture(seed: int = 0) -> Any:
    return to_image(torch.rand(3, 64, 64, generator=Generator().manual_seed(seed)))


def valley(parameters: list[Tensor]) -> Tensor:
    """Smooth, and far from as steep in all directions."""
    steepness = torch.logspace(0, 2, parameters[0].numel()).reshape(parameters[0].shape)
    return (steepness * parameters[0].square()).mean() + (parameters[1] - 1).square().mean().sqrt()


def descend(optimizer: Optimizer, parameters: list[Tensor], steps: int, sparse: bool = False) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = valley(parameters)
        loss.backward()
        if sparse:
            assert parameters[0].grad is not None
            parameters[0].grad = parameters[0].grad.to_sparse(1)
        return loss.detach()

    for _ in range(steps):  # as the guard does: what the gradient is known of needs no second look
        known = [closure()]
        optimizer.step(lambda known=known: known.pop() if known else closure())  # type: ignore[misc,arg-type]


def start() -> list[Tensor]:
    return [nn.Parameter(noise(8, 3)), nn.Parameter(noise(5, seed=1))]


@pytest.mark.parametrize("name", KINDS)
def test_each_is_torchs_own(name: str) -> None:
    ours, theirs = start(), start()
    descend(make(name, ours, 0.03), ours, 20)
    reference, steps = TORCHS[name](theirs), 20
    if name == "lbfgs":  # its first step
        reference.param_groups[0] |= {"lr": 0.03 * 0.01 * 29, "max_iter": 1}
        descend(reference, theirs, 1)
        reference.param_groups[0] |= {"lr": 0.03, "max_iter": 4}
        steps -= 1
    descend(reference, theirs, steps)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_gradients_are_as_dense_ones(name: str) -> None:
    ours, theirs = start(), start()
    optimizer = make(name, ours, 0.03)
    descend(optimizer, ours, 20, sparse=True)
    descend(make(name, theirs, 0.03), theirs, 20)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SPARSE)
def test_rows_that_nothing_looks_at(name: str) -> None:
    """A sparse gradient that has none of the rows, or the same twice, is what it says."""
    for rows in ([], [1], [1, 1]):
        ours, theirs = nn.Parameter(noise(4, 2)), nn.Parameter(noise(4, 2))
        index = torch.tensor([rows], dtype=torch.int64)
        grad = torch.sparse_coo_tensor(index, torch.ones(len(rows), 2), (4, 2), check_invariants=True)
        for parameter, given in ((ours, grad), (theirs, grad.to_dense())):
            parameter.grad = given
            make(name, [parameter], 0.1).step(lambda: torch.zeros(()))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", KINDS)
def test_its_state_goes_on_bit_for_bit(name: str) -> None:
    whole, part = start(), start()
    descend(make(name, whole, 0.03), whole, 8)
    first = make(name, part, 0.03)
    descend(first, part, 5)
    second = make(name, part, 0.03)
    load_state(second, state_of(first))
    descend(second, part, 3)
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one, other)


# in a run


def run(
    extractor: FeatureExtractor, name: str, objective: Any, texture: nn.Module | None = None, **options: Any
) -> texopt.Result:
    mesh = texopt.canvas(picture())
    settings: dict[str, Any] = {"steps": STEPS, "view_size": 64, "cameras": texopt.whole(mesh)} | options
    return texopt.optimize(
        mesh,
        texture or PixelTexture(64),
        objective,
        **grouped(backbone=extractor, device="cpu", optimizer=name, **settings),
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("kind", "part"), [("style", 0.5), ("feature", 0.9)])
def test_each_descends(extractor: FeatureExtractor, name: str, kind: str, part: float) -> None:
    """With the learning rate that all have by default, but for gradient descent, whose rate is one of an objective."""
    if kind == "style":
        objective = texopt.style(picture(1), decay=0.0)
    else:
        objective = texopt.objective(lambda view: (-view.features["act2"][:, 3].mean()).exp(), "channel")
    result = run(extractor, name, objective, steps=10 if name == "lbfgs" else 40, learning_rate=RATES.get(name, 0.05))
    assert result.history[-1].terms["loss"] < part * result.history[0].terms["loss"]


def stop_after(number: int) -> Callable[[Step], None]:
    def stop(step: Step) -> None:
        if step.number == number:
            raise KeyboardInterrupt

    return stop


@pytest.fixture
def detailed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], nn.Module]:
    """A small pyramid with sparse gradients."""
    monkeypatch.setattr(texopt.texture.pyramid, "BASE", 16)
    return lambda: PyramidTexture(64, start=(0.4, 0.5, 0.6))


@pytest.mark.parametrize("name", [name if name in ("adam", "lbfgs") else slow(name) for name in KINDS])
def test_a_run_goes_on_bit_for_bit_after_any_step(
    extractor: FeatureExtractor, tmp_path: Path, detailed: Callable[[], nn.Module], name: str
) -> None:
    """From the file, on a mesh that is seen from elsewhere in every step, with averages, weights that are found and
    gradients that are clipped."""
    objective = texopt.style(picture(1)) + texopt.content().below(0.3)

    def go(checkpoint: Checkpoint | None = None, stop: Callable[[Step], None] | None = None) -> texopt.Result:
        return run(
            extractor, name, objective, detailed(), checkpoint=checkpoint, on_step=stop, clip=1e-2, view_size=32,
            cameras=texopt.crops(texopt.canvas(picture()), 0.5),
        )  # fmt: skip

    whole = go()
    assert not torch.equal(whole.texture.bake(), detailed().bake())  # type: ignore[union-attr,operator]
    for number in range(1, STEPS):
        path = Checkpoint(tmp_path / f"{number}.safetensors")
        go(path, stop_after(number))
        resumed = go(path)
        assert [dict(step.terms) for step in resumed.history] == [dict(step.terms) for step in whole.history]
        assert torch.equal(resumed.texture.bake(), whole.texture.bake())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", KINDS)
def test_steps_that_are_not_finite_are_left_out(extractor: FeatureExtractor, name: str) -> None:
    texture, images = PixelTexture(64), []

    def loss(view: View) -> Tensor:
        return view.image.mean() * (math.nan if view.step in (1, 3) else 1.0)

    result = run(extractor, name, loss, texture, on_step=lambda _: images.append(texture.bake()))
    assert result.skipped == 2
    assert not result.interrupted
    assert [torch.equal(*pair) for pair in zip(images[1:], images[:-1], strict=True)] == [True, False, True]
    assert images[-1].isfinite().all()


def test_what_is_not_finite_within_a_step_of_lbfgs_takes_it_back(extractor: FeatureExtractor) -> None:
    texture, images, looks = PixelTexture(64), [], [0] * STEPS

    def loss(view: View) -> Tensor:
        looks[view.step] += 1
        return view.image.mean() * (math.nan if view.step == 2 and looks[2] > 1 else 1.0)

    result = run(extractor, "lbfgs", loss, texture, on_step=lambda _: images.append(texture.bake()))
    assert result.skipped == 1
    assert [torch.equal(*pair) for pair in zip(images[1:], images[:-1], strict=True)] == [False, True, False]


class Counting(nn.Module):
    """A loss that counts in place how often it was looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.count: Tensor
        self.seen: list[tuple[int, float, Tensor]] = []

    def reset(self) -> None:
        self.count.zero_()

    def forward(self, view: View) -> Tensor:
        self.count += 1
        self.seen.append((view.step, float(self.count), view.mask.detach()))
        return (view.image.mean() - 0.2).square() + (view.image - 0.3).square().mean()


def test_lbfgs_looks_at_the_same_views_again_and_averages_know_one_look_a_step(extractor: FeatureExtractor) -> None:
    loss = Counting()
    result = texopt.optimize(
        make_cube(),
        PixelTexture(32),
        loss,
        steps=4,
        views=texopt.Views(size=32),
        backbone=extractor,
        device="cpu",
        descent=texopt.Descent(optimizer="lbfgs", learning_rate=0.05),
    )
    looks = [sum(step == number for step, _, _ in loss.seen) for number in range(4)]
    assert all(2 <= count <= 8 for count in looks)
    assert all(count == step + 1 for step, count, _ in loss.seen)
    assert float(loss.count) == 4
    for number in range(4):
        masks = [mask for step, _, mask in loss.seen if step == number]
        assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert [step.number for step in result.history] == [1, 2, 3, 4]


def test_a_step_of_lbfgs_that_is_interrupted_is_lost_and_nothing_else(
    extractor: FeatureExtractor, tmp_path: Path
) -> None:
    looks = 0

    def go(checkpoint: Path | None, interrupted: int = 0) -> texopt.Result:
        nonlocal looks
        looks = 0

        def once(view: View) -> Tensor:
            nonlocal looks
            looks += 1
            if looks == interrupted:
                raise KeyboardInterrupt
            return (view.image - 0.3).square().mean() * (1 + view.image.mean())

        return run(extractor, "lbfgs", once, PixelTexture(64), checkpoint=checkpoint, view_size=32)

    whole = go(None)
    for number in (looks // 2, looks // 2 + 1, looks - 1):
        path = tmp_path / f"{number}.safetensors"
        stopped = go(path, number)
        assert stopped.interrupted
        resumed = go(path)
        assert len(resumed.history) == STEPS
        assert torch.equal(resumed.texture.bake(), whole.texture.bake())  # type: ignore[union-attr]


@pytest.mark.slow
def test_lbfgs_comes_closer_than_adam_with_as_many_looks() -> None:
    """A whole image, squares of style and content, as Gatys, Ecker & Bethge have them, a network without corners."""
    network, layers = make_network(), ("act1", "act2")
    for layer in layers:
        setattr(network, layer, nn.Softplus())
    extractor = FeatureExtractor(network, style_layers=layers, content_layer="act2")
    goal = extractor(torch.rand(1, 3, 64, 64, generator=Generator().manual_seed(1)), layers)
    grams = {layer: texopt.gram_matrix(goal[layer]).detach() for layer in layers}

    def reached(name: str, steps: int, learning_rate: float = 0.05) -> tuple[float, int]:
        losses = []

        def loss(view: View) -> Tensor:
            losses.append(0.1 * (view.features["act2"] - view.original_features["act2"]).square().mean())
            for layer, gram in grams.items():
                losses[-1] = losses[-1] + (texopt.gram_matrix(view.features[layer]) - gram).square().sum()
            return losses[-1]

        run(extractor, name, loss, PixelTexture(64), steps=steps, schedule="constant", learning_rate=learning_rate)
        return float(losses[-1].detach()), len(losses)

    best, looks = reached("lbfgs", 12)
    assert looks >= 48
    assert best < 0.9 * min(reached("adam", looks, rate)[0] for rate in (0.03, 0.1, 0.3))


# schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_factors_that_end_below_where_they_were(name: str) -> None:
    for steps in (1, 2, 10, 300):
        factors = [SCHEDULES[name](step, steps) for step in range(steps)]
        assert all(0 < factor <= 1 for factor in factors)
        top = factors.index(max(factors))
        assert top < 10
        assert all(a >= b for a, b in zip(factors[top:], factors[top + 1 :], strict=False))
    assert (factors[-1] < 0.2) == (name != "constant")


def test_a_schedule_of_your_own(extractor: FeatureExtractor, tmp_path: Path) -> None:
    """Steps of factor 0 change nothing, and the others are as long as it says."""

    def every_other(step: int, steps: int) -> float:
        assert steps == STEPS
        return float(step % 2)

    texture, images = PixelTexture(64), [PixelTexture(64).bake()]
    path = tmp_path / "run.safetensors"
    options: dict[str, Any] = {"on_step": lambda _: images.append(texture.bake()), "checkpoint": path}
    run(extractor, "sgd", lambda view: view.image.mean(), texture, schedule=every_other, **options)
    assert [torch.equal(*pair) for pair in zip(images[1:], images[:-1], strict=True)] == [True, False] * 2
    with pytest.raises(OptionError, match=r"is of a run with schedule function .*every_other, not linear"):
        run(extractor, "sgd", lambda view: view.image.mean(), schedule="linear", checkpoint=path)
    with pytest.raises(OptionError, match="the schedule's factor of step 0 has to be 0 or more, not -1"):
        run(extractor, "sgd", lambda view: view.image.mean(), schedule=lambda *_: -1.0)


# clipping


def gradients(scale: float) -> list[Tensor]:
    """Dense, sparse with a row that is there twice, and none."""
    parameters = [nn.Parameter(torch.zeros(*shape)) for shape in ((64, 33), (5,), (8, 4), (2,))]
    for seed, parameter in enumerate(parameters[:2]):
        parameter.grad = scale * noise(*parameter.shape, seed=seed)
    parameters[2].grad = torch.sparse_coo_tensor(
        torch.tensor([[1, 6, 1]]), scale * noise(3, 4, seed=2), (8, 4), check_invariants=True
    )
    return list(parameters)


def flat(parameters: list[Tensor]) -> Tensor:
    return torch.cat([one.grad.to_dense().flatten() for one in parameters if one.grad is not None])


def test_clipping_bounds_the_norm_and_keeps_the_direction() -> None:
    before, parameters = flat(gradients(1.0)), gradients(1.0)
    norm = clip_gradients(parameters, 0.5)
    torch.testing.assert_close(norm, before.norm())
    after = flat(parameters)
    assert after.norm().item() == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(after / after.norm(), before / before.norm())
    reference = [one for one in gradients(1.0) if one.grad is not None and not one.grad.is_sparse]
    clip_gradients(ours := [one for one in gradients(1.0) if one.grad is not None and not one.grad.is_sparse], 2.0)
    torch.nn.utils.clip_grad_norm_(reference, 2.0)
    torch.testing.assert_close(flat(ours), flat(reference))


def test_clipping_does_nothing_below_the_limit() -> None:
    parameters = gradients(1e-3)
    limit = 1.001 * float(flat(parameters).norm())
    clip_gradients(parameters, limit)
    assert torch.equal(flat(parameters), flat(gradients(1e-3)))
    assert parameters[3].grad is None
    assert float(clip_gradients([nn.Parameter(torch.zeros(2))], 1.0)) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_still_seen_after_clipping(bad: float) -> None:
    parameters = gradients(1.0)
    assert parameters[0].grad is not None
    parameters[0].grad[3, 3] = bad
    clip_gradients(parameters, 0.5)
    assert not flat(parameters).isfinite().all()


def test_a_clipped_step_of_sgd_is_as_long_as_the_limit_says(extractor: FeatureExtractor) -> None:
    lengths = []
    for clip in (1e-4, 1e-5):
        texture = PixelTexture(64)
        before = texture.values.detach().clone()
        run(extractor, "sgd", lambda view: view.image.mean(), texture, steps=1, clip=clip, schedule="constant")
        lengths.append(float((texture.values.detach() - before).norm()))
    rate = own_rate("sgd", 0.05, PixelTexture(64).parameters())
    assert lengths == pytest.approx([rate * 1e-4, rate * 1e-5], rel=1e-3)


# names


def test_what_cannot_be_is_one_line(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value, message in (
        ("name", "adamm", "optimizer has to be one of adam, adamw, .*, not 'adamm'"),
        ("schedule", "cosine", "schedule has to be one of auto, warmup-cosine, .*, not 'cosine'"),
        ("clip", 0.0, "clip has to be above 0, not 0.0"),
        ("clip", math.nan, "clip has to be above 0, not nan"),
    ):
        options: dict[str, Any] = {"name": "adam", "objective": lambda view: view.image.mean()} | {option: value}
        with pytest.raises(OptionError, match=message) as error:
            run(extractor, **options)
        assert "\n" not in str(error.value)
    path = tmp_path / "run.safetensors"
    run(extractor, "adam", lambda view: view.image.mean(), checkpoint=path)
    with pytest.raises(OptionError, match="is of a run with optimizer adam, not sgd; delete it to start anew"):
        run(extractor, "sgd", lambda view: view.image.mean(), checkpoint=path)
    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    check("adam")
    with pytest.raises(OptionError, match="lbfgs is for a single process"):
        check("lbfgs")


def test_the_command_has_the_same_names(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = get_type_hints(RunConfig)
    assert get_args(kinds["optimizer"]) == tuple(KINDS)
    assert get_args(kinds["schedule"]) == ("auto", *SCHEDULES)
    check_one_line(["feature", "mesh.obj", "tiger", "--clip", "-1"], "clip has to be above 0, not -1", capsys)


def test_lbfgs_goes_on_where_gradients_are_small() -> None:
    """A mean over many values is no sign of having arrived."""
    parameter = nn.Parameter(torch.ones(1 << 20))
    optimizer = LBFGS([parameter], 1.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (parameter - 2).square().mean()
        loss.backward()
        return loss.detach()

    for _ in range(4):
        optimizer.step(closure)
    assert (parameter.detach() - 2).abs().max() < 0.01


def test_lbfgs_takes_its_step_back_where_it_fails() -> None:
    parameters = start()
    optimizer = LBFGS(parameters, 1.0)
    descend(optimizer, parameters, 2)
    before, known = [one.detach().clone() for one in parameters], deepcopy(state_of(optimizer)["state"][0])
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError
        optimizer.zero_grad()
        loss = valley(parameters)
        loss.backward()
        return loss

    with pytest.raises(RuntimeError):
        optimizer.step(closure)
    assert optimizer.taken_back
    assert all(torch.equal(*pair) for pair in zip(before, parameters, strict=True))
    after = state_of(optimizer)["state"][0]
    assert after["n_iter"] == known["n_iter"]
    assert torch.equal(after["prev_flat_grad"], known["prev_flat_grad"])
    assert len(after["old_dirs"]) == len(known["old_dirs"]) == len(known["ro"]) > 1
