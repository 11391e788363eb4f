"""Objectives of changed views: texopt.on, View.with_image; and what happens to a memory that nobody resets."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_cube, slow
from PIL import Image
from settings import grouped
from torch import Generator, Tensor, nn

import texopt
from texopt import Checkpoint, FeatureExtractor, Mesh, OptionError, PixelTexture, Step, View
from texopt.features.extractor import Activations
from texopt.system.images import to_image

PICTURE = to_image(torch.rand(3, 64, 64, generator=Generator().manual_seed(5)))


def make_view(extractor: FeatureExtractor, count: int = 1) -> View:
    image, original = torch.rand(2, count, 3, 32, 32)
    after, before = Activations(extractor, image, set()), Activations(extractor, original, set(), False)
    mask = torch.ones(count, 1, 32, 32)
    return View(image, mask, original, after, before, extractor, torch.rand(2, 50, 3), scale=16.0)


def dark(view: View) -> View:
    return view.with_image(0.25 * view.image)


def mean(view: View) -> Tensor:
    return view.image.mean()


def value(goal: Any, view: View) -> float:
    return float(goal(view)[0])


# View.with_image


def test_the_features_are_of_the_changed_image_and_all_else_stays(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    other = torch.rand(1, 3, 32, 32)
    changed = view.with_image(other)
    assert torch.equal(changed.features["act2"], extractor(other, ["act2"])["act2"])
    assert torch.equal(view.features["act2"], extractor(view.image, ["act2"])["act2"])
    assert torch.equal(changed.original_features["act2"], extractor(view.original, ["act2"])["act2"])
    assert changed.image is other
    for name in ("mask", "original", "seams", "extractor", "scale", "step", "frame", "alpha", "cameras"):
        assert getattr(changed, name) is getattr(view, name)


def test_the_original_and_the_mask_can_be_changed_too(extractor: FeatureExtractor) -> None:
    view, left = make_view(extractor), torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1
    view.regions = lambda _: left.flip(2)
    original = torch.rand(1, 3, 32, 32)
    changed = view.with_image(view.image, original=original, mask=left)
    assert torch.equal(changed.original_features["act2"], extractor(original, ["act2"])["act2"])
    assert not changed.original_features["act2"].requires_grad
    assert torch.equal(changed.where("any"), left * left.flip(2))
    assert value(texopt.change(), changed) != pytest.approx(value(texopt.change(), view), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": torch.rand(1, 3, 16, 32)}, r"image as large .* own, \[1, 3, 32, 32\], not \[1, 3, 16, 32\]"),
        ({"image": torch.rand(3, 32, 32)}, r"not \[3, 32, 32\]"),
        ({"image": 0.5}, "not float"),
        ({"image": torch.rand(1, 3, 32, 32), "mask": torch.ones(1, 3, 32, 32)}, r"mask as large .*\[1, 1, 32, 32\]"),
        ({"image": torch.rand(1, 3, 32, 32), "original": "a.png"}, "takes original as large .* not str"),
    ],
)  # fmt: skip
def test_images_of_another_size(extractor: FeatureExtractor, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make_view(extractor).with_image(**arguments)


def test_the_gradient_passes_the_change(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    view.image = view.image.requires_grad_()
    goal = texopt.on(texopt.objective(mean), dark)
    (gradient,) = torch.autograd.grad(goal(view)[0], view.image)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 0.25 / gradient.numel()))


# on


def test_an_objective_on_a_changed_view_is_that_of_the_view_changed_by_hand(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    for make in (
        lambda: texopt.style(PICTURE), texopt.content, lambda: texopt.channel("conv2", 3),
        lambda: texopt.style(PICTURE) + 2 * texopt.content().below(0.5) - texopt.objective(mean),
    ):  # fmt: skip
        loss, terms = texopt.on(make(), dark)(view)
        by_hand, own = make()(dark(view))
        assert list(terms) == list(own)
        assert loss.item() == by_hand.item()
        assert loss.item() != pytest.approx(value(make(), view), rel=1e-3)


def test_a_function_is_an_objective_here_too(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    loss, terms = texopt.on(mean, dark)(view)
    assert list(terms) == ["mean"]
    assert loss.item() == pytest.approx(0.25 * view.image.mean().item())


def test_weights_before_see_the_changed_view_later_ones_the_view(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    level = float(view.image.mean())
    one = texopt.objective(lambda view: view.image.new_ones(()), "one")
    assert value(texopt.on(one * mean, dark), view) == pytest.approx(0.25 * level)
    assert value(texopt.on(one, dark) * mean, view) == pytest.approx(level)
    assert value(texopt.on(one * mean, dark) * mean, view) == pytest.approx(0.25 * level**2)


def test_changes_within_changes_are_made_from_the_outside_in(extractor: FeatureExtractor) -> None:
    """on(on(goal, inner), outer) is goal(inner(outer(view)))."""

    def inner(view: View) -> View:
        return view.with_image(view.image + 1)

    view = make_view(extractor)
    level = float(view.image.mean())
    goal = texopt.on(texopt.on(texopt.objective(mean) * mean, inner) * mean, dark)
    assert value(goal, view) == pytest.approx((0.25 * level + 1) ** 2 * 0.25 * level)
    goal = texopt.on(texopt.on(mean, dark), inner)
    assert value(goal, view) == pytest.approx(0.25 * (level + 1))


def test_conditions_before_see_the_changed_view_later_ones_the_view(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    bright = texopt.objective(mean, when=lambda view: bool(view.image.mean() > 0.3))
    assert bright(view)[1]["mean"].isfinite()
    assert texopt.on(bright, dark)(view)[1]["mean"].isnan()
    both = texopt.objective(texopt.on(mean, dark), when=lambda view: bool(view.image.mean() > 0.3))
    assert both(view)[0].item() == pytest.approx(0.25 * view.image.mean().item())
    never = texopt.objective(both, when=lambda _: False)
    assert never(view)[1]["mean"].isnan()


def test_it_is_one_of_several_frames(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, 3)
    view.frame, view.frames = torch.arange(3), 3
    each = texopt.objective(lambda view: view.image.flatten(1).mean(1), "each")
    levels = view.image.flatten(1).mean(1)
    mixed = value(texopt.across_frames(each, texopt.on(each, dark)), view)
    assert mixed == pytest.approx(float((levels * torch.tensor([1, 0.625, 0.25])).mean()))
    one_each = value(texopt.by_frame([each, texopt.on(each, dark), texopt.on(each, dark)]), view)
    assert one_each == pytest.approx(float((levels * torch.tensor([1, 0.25, 0.25])).mean()))


def test_a_limit_is_of_the_changed_view(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    view.steps = 10
    level = 0.25 * float(view.image.mean())
    for goal in (texopt.on(texopt.objective(mean).below(level / 4), dark), texopt.on(mean, dark).below(level / 4)):
        values = [value(goal, view) for _ in range(4)]
        assert values == sorted(values)
        assert values[-1] > 8 * level  # its weight has grown, as far as it may
        goal.reset()
        assert value(goal, view) == pytest.approx(values[0])


def test_all_terms_share_one_change_and_one_pass(extractor: FeatureExtractor) -> None:
    made: list[View] = []
    passes: list[int] = []
    extractor.model.get_submodule("conv1").register_forward_hook(lambda *_: passes.append(1))

    def watched(view: View) -> View:
        made.append(dark(view))
        return made[-1]

    goal = texopt.on(texopt.channel("act2", 1) + texopt.channel("act2", 2), watched) + texopt.on(
        texopt.channel("act2", 3) * mean, watched
    )
    view = make_view(extractor)
    goal(view)
    assert len(made) == len(passes) == 1
    goal(make_view(extractor))
    assert len(made) == len(passes) == 2


def test_a_view_that_is_given_back_keeps_no_memory(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    assert view.changed(lambda same: same) is view
    texopt.on(mean, dark)(view)
    reference = weakref.ref(view)
    gc.disable()
    try:
        del view
        assert reference() is None  # without a search for cycles
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda view: texopt.on(mean, lambda view: view.image)(view), "has to return a View, .* not Tensor"),
        (lambda _: texopt.on(mean, 0.5), "a function from a View to a View, not 0.5"),
        (lambda _: texopt.on("style", dark), "a function of a View"),
    ],
)  # fmt: skip
def test_what_is_no_change(extractor: FeatureExtractor, make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make(make_view(extractor))


# a run


class Lights:
    """A change of its own random numbers, which are a part of the run."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.generator = Generator().manual_seed(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.generator.set_state(state["generator"])

    def __call__(self, view: View) -> View:
        light = 0.5 + 0.5 * torch.rand(1, 3, 1, 1, generator=self.generator)
        return view.with_image(view.image * light)


def objective() -> texopt.Objective:
    lit = texopt.on(texopt.style(PICTURE) + texopt.content().below(0.1), Lights())
    return lit + 0.5 * texopt.objective(mean)


def run(extractor: FeatureExtractor, goal: Any, steps: int = 6, stop: int = 0, **options: Any) -> texopt.Result:
    def on_step(step: Step) -> None:
        if step.number == stop:
            raise KeyboardInterrupt

    original = (torch.rand(32, 32, 3, generator=Generator().manual_seed(1)) * 255).byte().numpy()
    return texopt.optimize(
        make_cube(original),
        PixelTexture(32),
        goal,
        **grouped(steps=steps, view_size=64, backbone=extractor, device="cpu", on_step=on_step, **options),
    )


def test_two_runs_with_one_objective_are_the_same(extractor: FeatureExtractor) -> None:
    goal = objective()
    first, second = (run(extractor, goal) for _ in range(2))
    assert list(first.history[0].terms) == ["style", "content", "mean", "loss"]
    assert [dict(step.terms) for step in first.history] == [dict(step.terms) for step in second.history]
    assert torch.equal(first.texture.bake(), second.texture.bake())


@pytest.mark.parametrize("stop", [1, slow(4)])
def test_a_run_goes_on_to_the_same_bytes(extractor: FeatureExtractor, tmp_path: Path, stop: int) -> None:
    whole = run(extractor, objective())
    path = Checkpoint(tmp_path / "run.safetensors", seconds=0)
    assert run(extractor, objective(), stop=stop, checkpoint=path).interrupted
    assert torch.equal(run(extractor, objective(), checkpoint=path).texture.bake(), whole.texture.bake())


# an objective that is called within the function of another


def test_a_memory_that_nobody_would_reset_is_refused(extractor: FeatureExtractor) -> None:
    style = texopt.style(PICTURE)

    def lit(view: View) -> Tensor:
        return style(dark(view))[0]  # type: ignore[no-any-return]

    message = r"lit calls the objective 'style', whose memory is then not reset .*texopt.on\(objective, change\)"
    with pytest.raises(OptionError, match=message):
        run(extractor, lit)
    weighted = texopt.objective(mean) * (lambda view: texopt.content().below(0.5)(view)[0])
    with pytest.raises(OptionError, match="<lambda> calls the objective 'content'"):
        weighted(make_view(extractor))

    class Loss(nn.Module):
        def forward(self, view: View) -> Tensor:
            return style(view)[0]  # type: ignore[no-any-return]

    with pytest.raises(OptionError, match="Loss calls the objective 'style'"):
        run(extractor, Loss())


def test_what_has_no_memory_or_a_keeper_can_be_called(extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    assert texopt.style(PICTURE)(view)[0] > 0  # by itself
    squared = texopt.objective(lambda view: texopt.content()(view)[0].square(), "squared")
    assert value(squared, view) == pytest.approx(value(texopt.content(), view) ** 2)

    class Keeper:
        def __init__(self) -> None:
            self.goal = texopt.style(PICTURE)
            self.reset, self.state_dict = self.goal.reset, self.goal.state_dict
            self.load_state_dict = self.goal.load_state_dict

        def __call__(self, view: View) -> Tensor:
            return self.goal(dark(view))[0].square()

    goal = texopt.objective(Keeper())
    assert torch.equal(run(extractor, goal).texture.bake(), run(extractor, goal).texture.bake())


# objective(Objective)


def test_an_objective_of_an_objective_is_that_one(cube: Mesh, extractor: FeatureExtractor) -> None:
    view = make_view(extractor)
    view.zoom = 4.0
    named = texopt.objective(2 * texopt.channel("conv2", 3).below(1.0), "edges")
    loss, terms = named(view)
    assert list(terms) == ["edges"]
    assert loss.item() == value(2 * texopt.channel("conv2", 3).below(1.0), view)
    far = texopt.objective(texopt.style(PICTURE) + texopt.colors(PICTURE), when=lambda view: view.zoom == 1)
    loss, terms = far(view)
    assert all(term.isnan() for term in terms.values())
    assert loss.item() == 0
    with pytest.raises(OptionError, match=r"one name, 'both', is for one term, not for style, colors"):
        texopt.objective(far, "both")
    with pytest.raises(OptionError, match="a function of a View, not 3"):
        texopt.objective(3)  # type: ignore[arg-type]


def test_what_an_objective_returns_is_no_loss(extractor: FeatureExtractor) -> None:
    with pytest.raises(OptionError, match="'mine' has to return a scalar tensor, it returned tuple; take the first"):
        texopt.objective(lambda view: texopt.content()(view), "mine")(make_view(extractor))  # type: ignore[arg-type,return-value]


def test_weights_are_numbers_or_one_an_image(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, 3)
    assert value(texopt.objective(mean) * (lambda _: torch.tensor([[2.0]])), view) == pytest.approx(
        2 * float(view.image.mean())
    )
    with pytest.raises(OptionError, match=r"'mean' is multiplied with .* each of the 3 images, not a tensor \[2\]"):
        (texopt.objective(mean) * (lambda _: torch.ones(2)))(view)


def test_pictures_are_not_changed(extractor: FeatureExtractor) -> None:
    """The painting is seen as it is, whatever is done to the views."""
    view = make_view(extractor)
    goal: Any = texopt.on(texopt.style(Image.new("RGB", (64, 64), "red")), dark)
    plain: Any = texopt.style(Image.new("RGB", (64, 64), "red"))
    goal(view), plain(view)
    for layer, target in plain.terms[0].loss.targets[view.magnification].items():
        assert torch.equal(target, goal.terms[0].loss.targets[view.magnification][layer])
