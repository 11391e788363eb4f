from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import texopt
from texopt import FeatureExtractor, GramEMA, Objective, OptionError, View, gram_matrix, objective
from texopt.features.extractor import Activations
from texopt.objectives import colors
from texopt.objectives.content_loss import centered_cosine
from texopt.objectives.gram_matrices import cell_weights
from texopt.system.images import to_image, to_tensor


def make_view(
    extractor: FeatureExtractor, image: Tensor, mask: Tensor | None = None, original: Tensor | None = None
) -> View:
    mask = torch.ones(len(image), 1, *image.shape[2:]) if mask is None else mask
    original = image.detach() if original is None else original
    after, before = Activations(extractor, image, set()), Activations(extractor, original, set(), False)
    return View(image, mask, original, after, before, extractor, torch.rand(2, 50, 3), scale=image.shape[-1] / 2)


def red(view: View) -> Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


def brightness(view: View) -> Tensor:
    return view.image.mean()


def test_objectives_add_and_scale(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, torch.rand(1, 3, 16, 16))
    combined = 2 * objective(red) + objective(brightness) * 0.5 - red
    total, terms = combined(view)
    assert total.item() == pytest.approx((red(view) + 0.5 * brightness(view)).item(), rel=1e-5)
    assert list(terms) == ["red", "brightness", "red_2"]
    assert terms["red"].item() == pytest.approx(red(view).item())  # named terms are logged without their weight
    assert sum([objective(red), objective(brightness)]).named_terms().keys() == {"red", "brightness"}
    assert (-objective(red))(view)[0].item() == pytest.approx(-red(view).item())
    assert (red + objective(brightness)).named_terms().keys() == {"red", "brightness"}
    assert (red - objective(brightness))(view)[0].item() == pytest.approx((red(view) - brightness(view)).item())


@pytest.mark.parametrize("value", ["image", "number"])
def test_an_objective_has_to_be_a_scalar_tensor(extractor: FeatureExtractor, value: str) -> None:
    view = make_view(extractor, torch.rand(1, 3, 16, 16))
    loss = objective(lambda view: view.image if value == "image" else 1.0, "mine")  # type: ignore[arg-type,return-value]
    with pytest.raises(OptionError, match="'mine' has to return a scalar"):
        loss(view)


def test_not_an_objective() -> None:
    for make in (lambda one: one + 3, lambda one: 3 - one, lambda one: one - "red"):
        with pytest.raises(OptionError, match="a function of a View"):
            make(objective(red))


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])  # two channels, two positions
    assert torch.equal(gram_matrix(features), torch.tensor([[2.5, 3.0], [3.0, 4.5]]))
    assert torch.equal(gram_matrix(features, torch.tensor([[[[1.0, 0.0]]]])), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_gram_matrix_is_of_the_whole_batch() -> None:
    features = torch.randn(3, 5, 4, 6)
    side_by_side = torch.cat(list(features), 2)[None]
    assert torch.allclose(gram_matrix(features), gram_matrix(side_by_side), atol=1e-6)


def test_gram_matrix_gradient() -> None:
    features = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 1, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: gram_matrix(f, weights), features)


def test_background_does_not_enter_the_gram_matrix() -> None:
    features, mask = torch.randn(1, 4, 8, 8), torch.zeros(1, 1, 32, 32)
    mask[..., 4:20, 8:28] = 1
    weights = cell_weights(mask, (8, 8))
    other = torch.where(weights > 0, features, torch.randn_like(features) * 10)
    assert torch.equal(gram_matrix(features, weights), gram_matrix(other, weights))


def test_cells_on_the_outline_do_not_count() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 2:10, 2:10] = 1  # on a grid of 4 pixels: one cell inside, eight cut by the outline
    assert cell_weights(mask, (4, 4)).sum() == 1
    thin = torch.zeros(1, 1, 16, 16)
    thin[..., 5, :] = 1
    assert torch.allclose(cell_weights(thin, (4, 4))[0, 0, 1], torch.full((4,), 0.25))  # no cell inside: shares


def test_moving_average_has_the_averages_value_and_the_current_gradient() -> None:
    average = GramEMA(decay=0.5)
    grams = [torch.randn(4, 4, requires_grad=True) for _ in range(4)]
    values = [average.update({"layer": gram})["layer"] for gram in grams]
    expected = grams[0].detach()
    assert torch.allclose(values[0], expected)
    for gram, value in zip(grams[1:], values[1:], strict=True):
        expected = 0.5 * expected + 0.5 * gram.detach()
        assert torch.allclose(value, expected, atol=1e-6)
    values[-1].sum().backward()
    assert torch.equal(grams[-1].grad, torch.ones(4, 4))  # type: ignore[arg-type]
    assert grams[0].grad is None


def test_moving_average_begins_as_the_mean() -> None:
    average = GramEMA(decay=0.95)
    grams = [torch.randn(3, 3) for _ in range(6)]
    for gram in grams:
        value = average.update({"layer": gram})["layer"]
    assert torch.allclose(value, torch.stack(grams).mean(0), atol=1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_decay_has_a_range(decay: float) -> None:
    with pytest.raises(OptionError, match="decay"):
        GramEMA(decay)


def noise_image(size: int = 64, seed: int = 0) -> Image.Image:
    return to_image(torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed)))


def test_style_of_the_style_image_itself_is_nothing(extractor: FeatureExtractor) -> None:
    picture = noise_image()
    image = torch.tensor(list(picture.tobytes())).reshape(64, 64, 3).permute(2, 0, 1)[None] / 255.0
    loss = texopt.style(picture, scale=1.0)(make_view(extractor, image))[0]
    assert loss.item() < 1e-4
    assert texopt.style(picture, scale=1.0)(make_view(extractor, torch.full((1, 3, 64, 64), 0.5)))[0].item() > 0.5


def test_style_depends_on_size(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, torch.rand(1, 3, 64, 64))
    assert texopt.style(noise_image(), scale=1.0)(view)[0] < texopt.style(noise_image(), scale=4.0)(view)[0]


@pytest.mark.parametrize("size", [0.0, 100.0])
def test_style_scale_has_a_range(size: float) -> None:
    with pytest.raises(OptionError, match="scale"):
        texopt.style(noise_image(), scale=size)


def test_style_needs_layers() -> None:
    bare = FeatureExtractor(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))
    with pytest.raises(OptionError, match="layers"):
        texopt.style(noise_image())(make_view(bare, torch.rand(1, 3, 64, 64)))
    with pytest.raises(OptionError, match="content layer"):
        texopt.content()(make_view(bare, torch.rand(1, 3, 64, 64)))
    assert torch.isfinite(texopt.style(noise_image(), layers=["0"])(make_view(bare, torch.rand(1, 3, 64, 64)))[0])


def test_content_is_nothing_for_the_original_and_grows(extractor: FeatureExtractor) -> None:
    image = torch.rand(1, 3, 32, 32)
    same = texopt.content()(make_view(extractor, image))[0].item()
    near = texopt.content()(make_view(extractor, image, original=(image + 0.1 * torch.rand_like(image)).clamp(0, 1)))[
        0
    ].item()
    far = texopt.content()(make_view(extractor, image, original=torch.rand(1, 3, 32, 32)))[0].item()
    assert abs(same) < 1e-5 < near < far


def test_content_ignores_what_is_the_same_everywhere() -> None:
    a, weights = torch.randn(2, 3, 4, 4), torch.ones(2, 1, 4, 4)
    assert torch.allclose(centered_cosine(a, 2 * a + torch.randn(1, 3, 1, 1), weights), torch.ones(2), atol=1e-5)
    assert torch.allclose(centered_cosine(a, -a, weights), -torch.ones(2), atol=1e-5)


@pytest.mark.parametrize(
    "goal",
    [
        texopt.channel("act2", 3), texopt.channel("conv2", 0), texopt.neuron("conv2", 2),
        texopt.neuron("conv2", 2, 0, 7), texopt.direction("conv2", torch.linspace(-1, 1, 12)), texopt.logit(4),
        texopt.content(), texopt.style(noise_image()), texopt.total_variation(),
    ],
    ids=lambda goal: "-".join(goal.named_terms()),
)  # fmt: skip
def test_every_objective_descends(extractor: FeatureExtractor, goal: Objective) -> None:
    original = torch.rand(1, 3, 32, 32)
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    losses = []
    for _ in range(10):
        loss = goal(make_view(extractor, image, original=original))[0]
        losses.append(loss.item())
        gradient = torch.autograd.grad(loss, image)[0]
        image = (image - 0.5 * gradient / gradient.norm()).detach().requires_grad_()
    assert losses[-1] < losses[0]


def test_activations_are_negated_once(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, torch.rand(2, 3, 32, 32))
    features = view.features["conv2"]
    assert texopt.channel("conv2", 3)(view)[0].item() == pytest.approx(-features[:, 3].mean().item(), rel=1e-5)
    assert texopt.neuron("conv2", 3, 1, 2)(view)[0].item() == pytest.approx(
        -features[:, 3, 2, 1].mean().item(), rel=1e-5
    )
    assert texopt.neuron("conv2", 3)(view)[0].item() == pytest.approx(-features[:, 3, 4, 4].mean().item(), rel=1e-5)
    one_hot = torch.eye(12)[5]
    assert texopt.direction("conv2", one_hot)(view)[0].item() == pytest.approx(-features[:, 5].mean().item(), rel=1e-5)
    assert texopt.logit(2)(view)[0].item() == pytest.approx(-view.features["logits"][:, 2].mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (texopt.channel("conv2", 12), "channels 0 to 11"), (texopt.channel("conv9", 1), "no layer"),
        (texopt.neuron("conv2", 1, 8, 0), "outside"), (texopt.neuron("logits", 1), "no positions"),
        (texopt.direction("conv2", [1.0, 2.0]), "12 numbers"), (texopt.logit(10), "channels 0 to 9"),
    ],
)  # fmt: skip
def test_targets_that_do_not_exist(extractor: FeatureExtractor, goal: Objective, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        goal(make_view(extractor, torch.rand(1, 3, 32, 32)))


@pytest.mark.parametrize("goal", [texopt.logit, texopt.classified_as])
def test_classes_have_names(goal: Callable[[Any], Objective]) -> None:
    assert goal("tiger").terms[0].name == goal(292).terms[0].name == goal(np.int64(292)).terms[0].name
    with pytest.raises(OptionError, match="did you mean tiger"):
        goal("tigger")
    with pytest.raises(OptionError, match=r"index has to be a class's number or its name, not 2\.5"):
        goal(2.5)


def test_total_variation_by_hand(extractor: FeatureExtractor) -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[..., 1] = 1.0  # one step across each of two rows, none down the columns
    assert texopt.total_variation()(make_view(extractor, image))[0].item() == pytest.approx(0.5)
    mask = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert texopt.total_variation()(make_view(extractor, image, mask))[0].item() == 0.0


def test_an_original_of_one_colour_has_no_content(extractor: FeatureExtractor) -> None:
    image, mask = torch.rand(1, 3, 32, 32, requires_grad=True), torch.zeros(1, 1, 32, 32)
    mask[..., 4:28, 4:28] = 1
    plain = torch.where(mask > 0, torch.tensor(0.8), torch.rand(1, 3, 32, 32))  # whatever the background is
    loss = texopt.content()(make_view(extractor, image, mask, plain))[0]
    assert loss.item() == 0.0
    assert torch.autograd.grad(loss, image)[0].abs().sum() == 0
    plain[..., 10:14, 10:14] = 0.2
    assert texopt.content()(make_view(extractor, image, mask, plain))[0].item() > 0.1


@pytest.mark.parametrize("kind", ["one cell", "flat", "nothing"])
def test_content_has_a_finite_gradient_where_nothing_varies(kind: str) -> None:
    """A view that covers a single cell, and an original whose features are all the same, are no reason for NaN."""
    features = torch.rand(1, 3, 4, 4, requires_grad=True)
    original = torch.rand(1, 3, 4, 4) if kind != "flat" else torch.full((1, 3, 4, 4), 0.25)
    weights = torch.ones(1, 1, 4, 4) if kind == "flat" else torch.zeros(1, 1, 4, 4)
    if kind == "one cell":
        weights[..., 1, 2] = 1
    similarity = centered_cosine(features, original, weights)
    (gradient,) = torch.autograd.grad(similarity.sum(), features)
    assert torch.isfinite(similarity).all()
    assert torch.isfinite(gradient).all()


# several paintings, strength, parts, background, close-ups


def style_losses(extractor: FeatureExtractor, images: list[Image.Image], **options: object) -> float:
    """The loss of the first image itself, at its own size."""
    view = make_view(extractor, to_tensor(images[0])[None])
    return texopt.style(images, scale=1.0, **options)(view)[0].item()  # type: ignore[arg-type]


def test_the_target_of_several_paintings_is_the_mean_of_theirs(extractor: FeatureExtractor) -> None:
    images, shares = [noise_image(64, seed) for seed in range(3)], (5.0, 3.0, 2.0)
    view = make_view(extractor, torch.rand(1, 3, 64, 64))

    def target(*args: object, **options: object) -> dict[str, Tensor]:
        return texopt.style(*args, scale=1.0, **options).terms[0].loss.prepare(view)  # type: ignore[arg-type,attr-defined]

    mixed, alone = target(images, blend=shares), [target(image) for image in images]
    even = target(images)
    for layer in ("act1", "act2"):
        parts = [one[layer] for one in alone]
        expected = sum(share / 10 * part for share, part in zip(shares, parts, strict=True))
        assert torch.allclose(mixed[layer], expected, rtol=1e-5)  # type: ignore[arg-type]
        assert torch.allclose(even[layer], torch.stack(parts).mean(0), rtol=1e-5)
        assert torch.equal(target(images, blend=(1, 0, 0))[layer], parts[0])


def test_the_nearer_the_share_the_nearer_the_painting(extractor: FeatureExtractor) -> None:
    images = [noise_image(), Image.new("RGB", (64, 64), "red")]
    losses = [style_losses(extractor, images, blend=blend) for blend in ((1, 0), (3, 1), (1, 1), (0, 1))]
    assert losses[0] < 1e-4
    assert losses == sorted(losses)


@pytest.mark.parametrize("blend", [(1.0,), (1.0, 2.0, 3.0), (-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_shares_that_cannot_be(blend: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="blend"):
        texopt.style([noise_image(), noise_image()], blend=blend)
    with pytest.raises(OptionError, match="blend"):
        texopt.style([])


def test_toward_moves_the_target_from_the_original_to_the_painting(extractor: FeatureExtractor) -> None:
    """At 0 the original is nothing to be changed, at 1 the painting; in between the loss changes evenly."""
    picture, original = noise_image(), 0.5 + 0.1 * torch.rand(1, 3, 64, 64)

    def loss(image: Tensor, toward: float) -> float:
        goal = texopt.style(picture, scale=1.0, toward=toward)
        return goal(make_view(extractor, image, original=original))[0].item()

    painted = to_tensor(picture)[None]
    of_original = [loss(original, toward) for toward in (0.0, 0.3, 0.6, 1.0)]
    of_painting = [loss(painted, toward) for toward in (0.0, 0.3, 0.6, 1.0)]
    assert of_original[0] < 1e-4
    assert of_painting[-1] < 1e-4
    assert of_original == sorted(of_original)
    assert of_painting == sorted(of_painting, reverse=True)
    for toward in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="toward"):
            texopt.style(picture, toward=toward)


def test_style_of_a_part_is_of_that_part(extractor: FeatureExtractor) -> None:
    image, left = torch.rand(1, 3, 64, 64, requires_grad=True), torch.zeros(1, 1, 64, 64)
    left[..., :32] = 1
    parts = {"left": left, "nothing": torch.zeros_like(left)}
    view = replace(make_view(extractor, image), regions=parts.__getitem__)
    gradient = torch.autograd.grad(
        texopt.style(noise_image(), scale=1.0, where="left")(view)[0], image, retain_graph=True
    )[0]
    assert gradient[..., :32].abs().sum() > 0
    assert gradient[..., 38:].abs().sum() == 0  # beyond what a cell of the part sees
    nothing = texopt.style(noise_image(), scale=1.0, where="nothing")(view)[0]
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, image)[0].abs().sum() == 0


def test_the_background_is_part_of_the_style_only_if_asked_for(extractor: FeatureExtractor) -> None:
    picture, mask = noise_image(), torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    inside = torch.rand(1, 3, 64, 64)
    dark, light = (torch.where(mask > 0, inside, torch.tensor(value)) for value in (0.0, 1.0))

    def difference(object_only: bool) -> float:
        goals = [texopt.style(picture, scale=1.0, object_only=object_only) for _ in range(2)]
        first, second = (
            goal(make_view(extractor, image, mask))[0] for goal, image in zip(goals, (dark, light), strict=True)
        )
        return abs(float(first - second))

    assert difference(False) > 3 * difference(True)


def test_close_ups_have_targets_and_averages_of_their_own(extractor: FeatureExtractor) -> None:
    goal = texopt.style(noise_image(256), scale=1.0)
    view = make_view(extractor, torch.rand(1, 3, 64, 64))
    close = replace(view, zoom=4.0, scale=4 * view.scale)
    goal(view)
    loss = goal.terms[0].loss
    before = loss.averages[view.magnification].state["act1"].clone()  # type: ignore[attr-defined]
    goal(replace(close, image=view.image * 0))
    assert set(loss.targets) == {view.magnification, close.magnification}  # type: ignore[attr-defined]
    assert torch.equal(loss.averages[view.magnification].state["act1"], before)  # type: ignore[attr-defined]
    assert not torch.allclose(
        loss.targets[view.magnification]["act2"], loss.targets[close.magnification]["act2"], rtol=0.05
    )  # type: ignore[attr-defined]
    direct = texopt.style(noise_image(256), scale=4.0)
    direct(view)
    assert torch.equal(
        direct.terms[0].loss.targets[view.magnification]["act1"], loss.targets[close.magnification]["act1"]
    )  # type: ignore[attr-defined]


def test_close_ups_do_not_enlarge_a_painting_beyond_its_pixels(extractor: FeatureExtractor) -> None:
    """What 8 times closer would need 512 pixels is shown the painting's 128; far views their 64."""
    for zoom, side, expected in ((1.0, 128, 64), (8.0, 128, 128), (8.0, 32, 64), (2.0, 1024, 128)):
        goal = texopt.style(noise_image(side), scale=1.0)
        view = make_view(extractor, torch.rand(1, 3, 64, 64))
        view = replace(view, zoom=zoom, scale=view.scale * zoom)
        seen: list[int] = []
        handle = extractor.model.conv1.register_forward_hook(  # type: ignore[union-attr]
            lambda module, inputs, output, seen=seen: seen.append(inputs[0].shape[-1])
        )
        goal.terms[0].loss.prepare(view)  # type: ignore[attr-defined]
        handle.remove()
        assert seen[-1] == expected


def test_content_by_l1(extractor: FeatureExtractor) -> None:
    image = torch.rand(1, 3, 32, 32)
    goal = texopt.content(distance="l1")
    assert goal(make_view(extractor, image))[0].item() == 0
    near, far = (
        goal(make_view(extractor, image, original=image + amount * torch.rand_like(image)))[0].item()
        for amount in (0.05, 0.5)
    )
    assert 0 < near < far
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16, :] = 1
    view = make_view(extractor, image, mask, torch.rand(1, 3, 32, 32))
    rows = slice(None, 4)  # of the 8 x 8 cells
    expected = (view.features["act2"] - view.original_features["act2"])[:, :, rows].abs().mean()
    assert goal(view)[0].item() == pytest.approx(expected.item(), rel=1e-5)
    palette = texopt.content(distance="l1")(make_view(extractor, image * 0.5, original=image))[0]
    assert palette > 0.01  # it holds on to colours
    with pytest.raises(OptionError, match="cosine or l1"):
        texopt.content(distance="l2")


def test_content_that_is_detailed_leaves_what_is_of_one_colour_free(extractor: FeatureExtractor) -> None:
    """The same change costs less of the whole on the plain half than on the one with a pattern."""
    original = torch.full((1, 3, 64, 64), 0.5)
    original[..., :32] = torch.rand(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    change = torch.rand(1, 3, 64, 20, generator=torch.Generator().manual_seed(1)) - 0.5
    shares = []
    for detailed in (False, True):
        goal, lost = texopt.content(detailed=detailed), []
        for left in (6, 38):  # in the pattern, in the plain half
            image = original.clone()
            image[..., left : left + 20] += 0.3 * change
            lost.append(goal(make_view(extractor, image, original=original))[0].item())
        assert goal(make_view(extractor, original, original=original))[0].item() == pytest.approx(0, abs=1e-5)
        shares.append(lost[1] / sum(lost))
    assert shares[1] < 0.7 * shares[0]


# colours


def test_a_painting_has_its_own_colours(extractor: FeatureExtractor) -> None:
    picture = noise_image(96)
    own = colors(picture)(make_view(extractor, to_tensor(picture)[None]))[0].item()
    shuffled = to_tensor(picture).flatten(1)[:, torch.randperm(96 * 96)].reshape(1, 3, 96, 96)
    moved = colors(picture)(make_view(extractor, shuffled))[0].item()
    other = colors(picture)(make_view(extractor, 0.5 * to_tensor(picture)[None]))[0].item()
    assert own < 0.02
    assert moved < 0.02  # wherever they are
    assert other > 5 * own


def test_colours_of_a_plain_view_are_as_far_as_they_are(extractor: FeatureExtractor) -> None:
    """From black to white: the mean over axes of |a · (1,1,1)|."""
    goal = colors(Image.new("RGB", (32, 32), "white"))
    axes = goal.terms[0].loss.axes  # type: ignore[attr-defined]
    loss = goal(make_view(extractor, torch.zeros(1, 3, 32, 32)))[0].item()
    assert loss == pytest.approx(axes.sum(1).abs().mean().item(), rel=1e-4)


@pytest.mark.slow
def test_colours_descend_and_leave_the_background_alone(extractor: FeatureExtractor) -> None:
    picture, mask = noise_image(), torch.zeros(1, 1, 32, 32)
    mask[..., :20, :] = 1
    image = torch.full((1, 3, 32, 32), 0.5) + 0.05 * torch.randn(1, 3, 32, 32)
    image, goal = image.requires_grad_(), colors(picture)
    start = image.detach().clone()
    losses = []
    adam = torch.optim.Adam([image], lr=0.005)  # slowly: what is remembered lags behind
    for _ in range(80):
        loss = goal(make_view(extractor, image, mask))[0]
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(image[..., 20:, :], start[..., 20:, :])
    assert image[..., :20, :].std() > 3 * start.std()


def test_colours_remember_other_views(extractor: FeatureExtractor) -> None:
    """Half of the paintings' colours on one side and half on the other are all of them."""
    red, blue = (torch.tensor(color).reshape(1, 3, 1, 1).expand(1, 3, 32, 32) for color in ((1.0, 0, 0), (0, 0, 1.0)))
    goal = colors([Image.new("RGB", (32, 32), name) for name in ("red", "blue")])
    first, *_, last = [
        goal(make_view(extractor, side))[0].item() / count for count, side in enumerate([red, blue] * 4, 1)
    ]
    assert last < 0.2 * first
    empty = make_view(extractor, red.clone().requires_grad_(), torch.zeros(1, 1, 32, 32))
    assert goal(empty)[0].item() == 0


def test_a_limit_finds_the_weight_that_keeps_a_loss_below_it(extractor: FeatureExtractor) -> None:
    """Minimise (x - 3)² with x² <= 1: the multiplier goes to 2, where the two slopes meet at x = 1."""
    x = torch.zeros((), requires_grad=True)
    wanted = objective(lambda view: (x - 3).square(), "wanted") + objective(lambda view: x.square(), "held").below(1.0)
    view = make_view(extractor, torch.rand(1, 3, 8, 8))
    view.steps = 450
    descent = torch.optim.SGD([x], lr=0.05)
    for _ in range(600):
        descent.zero_grad()
        wanted(view)[0].backward()
        descent.step()
    assert x.item() == pytest.approx(1.0, abs=0.02)
    held = wanted.named_terms()["held"].multiplier
    assert held is not None
    assert held.update(torch.tensor(1.0), 450).item() == pytest.approx(2.0, rel=0.05)
    assert wanted(view)[1]["held"].item() == pytest.approx(1.0, abs=0.04)


def test_a_limit_ignores_views_that_show_nothing_and_has_bounds(extractor: FeatureExtractor) -> None:
    multiplier = texopt.content().below(0.5).terms[0].multiplier
    assert multiplier is not None
    assert multiplier.update(torch.tensor(0.0), 450).item() == 1.0
    for _ in range(2000):
        most = multiplier.update(torch.tensor(100.0), 450).item()
    assert most == pytest.approx(multiplier.RANGE)
    with pytest.raises(OptionError, match="limit"):
        texopt.content().below(0.0)


def test_close_ups_have_no_content(extractor: FeatureExtractor) -> None:
    view = make_view(extractor, torch.rand(1, 3, 32, 32), original=torch.rand(1, 3, 32, 32))
    far = texopt.content("conv1")(view)[0].item()
    view.zoom = 4.0
    assert far > 0
    loss, terms = texopt.content("conv1").below(0.1)(view)
    assert loss.item() == 0
    assert terms["content"].isnan()


def test_a_loss_judges_some_views(extractor: FeatureExtractor) -> None:
    """In the others it is not called, and changes neither the sum nor a weight that is found."""
    seen = []

    def bright(view: texopt.View) -> torch.Tensor:
        seen.append(view.step)
        return view.image.mean()

    goal = texopt.objective(bright, when=lambda view: view.step % 2 == 0).below(0.1) + texopt.objective(dark)
    totals, values = [], []
    for step in range(4):
        view = make_view(extractor, torch.full((1, 3, 32, 32), 0.5))
        view.step, view.steps = step, 4
        loss, terms = goal(view)
        totals.append(loss.item())
        values.append(terms["bright"].item())
    assert seen == [0, 2]
    np.testing.assert_array_equal(np.isnan(values), [False, True, False, True])
    assert totals[1] == totals[3] == 0.25
    assert totals[2] > totals[0] > 0.25  # its weight has grown


def dark(view: texopt.View) -> torch.Tensor:
    return view.image.square().mean()


@pytest.mark.parametrize("name", ["total_variation", "l1", "l2", "blur"])
def test_functions_of_images_are_the_losses_of_views(extractor: FeatureExtractor, name: str) -> None:
    image, mask = torch.rand(2, 3, 16, 16), (torch.rand(2, 1, 16, 16) > 0.4).float()
    arguments = (0.5,) if name in ("l1", "l2") else ()
    function = getattr(texopt.functional, name)
    expected = float(getattr(texopt, name)()(make_view(extractor, image, mask))[0])
    assert float(function(image, *arguments, mask=mask).mean()) == pytest.approx(expected)
    outside = image + 0.3 * (1 - mask)
    if name != "blur":  # which looks at what is around
        assert float(function(outside, *arguments, mask=mask).mean()) == pytest.approx(expected)
    whole = function(image, *arguments, mask=torch.ones_like(mask)).mean()
    assert float(function(image, *arguments).mean()) == pytest.approx(float(whole))
    assert float(whole) != pytest.approx(expected)


@pytest.mark.parametrize("name", ["total_variation", "l1", "l2"])
def test_functions_of_images_have_their_gradient(name: str) -> None:
    image, mask = torch.rand(1, 3, 6, 5, dtype=torch.float64, requires_grad=True), torch.ones(1, 1, 6, 5).double()
    arguments = (0.5,) if name in ("l1", "l2") else ()
    assert torch.autograd.gradcheck(lambda some: getattr(texopt.functional, name)(some, *arguments, mask=mask), image)
