from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from test_objectives import make_view
from torch import Tensor

import texopt
from texopt import FeatureExtractor, OptionError
from texopt.evaluation import bidirectional
from texopt.evaluation.bidirectional import Elements, Gathered
from texopt.objectives import patch_matching
from texopt.objectives.patch_matching import Patches, Target, all_patches, most_similar, principal_axes, whole_patches
from texopt.system.images import to_image


def picture(height: int = 32, width: int = 32, seed: int = 0) -> Image.Image:
    return to_image(torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)))


def shown(image: Image.Image) -> Tensor:
    return texopt.system.images.to_tensor(image)[None]


@pytest.mark.parametrize("scores", [1, 64, 2**22])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 100])
def test_most_similar_is_what_a_search_one_by_one_finds(
    count: int, scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_matching, "SCORES", scores)
    rows, others, prices = torch.randn(count, 7), torch.randn(23, 7), torch.rand(23)
    found = most_similar(rows, others, prices)
    wanted = [max(range(23), key=lambda j: float(row @ others[j] - prices[j])) for row in rows]
    assert found.tolist() == wanted


def test_patches_of_a_map_by_hand() -> None:
    features = torch.arange(20.0).reshape(1, 1, 4, 5)
    found = all_patches(features)
    assert found.shape == (1, 6, 9)
    assert found[0, 0].tolist() == [0, 1, 2, 5, 6, 7, 10, 11, 12]
    assert found[0, 5].tolist() == [7, 8, 9, 12, 13, 14, 17, 18, 19]


def test_patches_that_see_the_background_are_left_out() -> None:
    mask = torch.ones(1, 1, 16, 20)
    mask[:, :, :, 19] = 0  # the last column of cells, of 4 pixels, is cut
    assert whole_patches(mask, (4, 5)).tolist() == [[1, 1, 0, 1, 1, 0]]


def test_smaller_views_are_means_in_whole_strides(extractor: FeatureExtractor) -> None:
    image = torch.rand(2, 3, 128, 64)
    view = make_view(extractor, image)
    assert view.at(1.0) is view
    assert view.at(0.5) is view.at(0.5)
    assert torch.allclose(view.at(0.5).image, F.avg_pool2d(image, 2), atol=1e-6)
    assert view.at(0.5).scale == view.scale / 2
    assert view.at(0.25).mask.shape == (2, 1, 32, 32)  # 16 is no whole stride
    assert torch.equal(view.at(0.5).features["act2"], extractor(view.at(0.5).image)["act2"])


def test_the_painting_itself_has_no_distance_to_itself(extractor: FeatureExtractor) -> None:
    image = picture()
    value = texopt.patches(image, scale=1.0, sizes=[1.0])(make_view(extractor, shown(image)))[0]
    assert float(value) == pytest.approx(0, abs=1e-5)
    other = texopt.patches(picture(seed=1), scale=1.0, sizes=[1.0])(make_view(extractor, shown(image)))[0]
    assert float(other) > 0.1


def test_the_loss_does_not_see_the_background(extractor: FeatureExtractor) -> None:
    image = torch.rand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, :, :40] = 1
    changed = image.clone()
    changed[..., 56:] = 0.0  # beyond what features of the object see
    losses = [texopt.patches(picture(), sizes=[1.0])(make_view(extractor, one, mask))[0] for one in (image, changed)]
    assert torch.allclose(losses[0], losses[1], atol=1e-6)


def test_a_view_without_the_object_counts_nothing(extractor: FeatureExtractor) -> None:
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    objective = texopt.patches(picture())
    loss, _ = objective(make_view(extractor, image, torch.zeros(1, 1, 32, 32)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert image.grad is not None
    assert not image.grad.any()
    (prices,) = objective.state_dict()["patches"][0].values()
    assert not any(values.any() for values in prices.values())


def test_descent_comes_nearer(extractor: FeatureExtractor) -> None:
    objective = texopt.patches(picture(), scale=1.0)
    image = torch.full((1, 3, 32, 32), 0.5).add(0.1 * torch.rand(1, 3, 32, 32)).requires_grad_()
    losses = []
    for _ in range(12):
        loss = objective(make_view(extractor, image, original=image.detach()))[0]
        (gradient,) = torch.autograd.grad(loss, image)
        image = (image.detach() - 2.0 * gradient).requires_grad_()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_gradient_is_that_of_the_cosine(extractor: FeatureExtractor) -> None:
    target = Target.of([torch.randn(1, 3, 6, 6).double()], [1.0])
    chosen, goals = torch.tensor([[0, 3, 5]]), target.patches[[7, 1, 1]]
    features = torch.randn(1, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: (target.rows(values, chosen) * goals).sum(1), features)


def used_and_cost(rate: float, steps: int = 400) -> tuple[Tensor, Tensor]:
    """Of features that stay as they are: how often each patch was used in the last steps, and the mean cost."""
    generator = torch.Generator().manual_seed(0)
    patches = F.normalize(torch.randn(4, 5, generator=generator))
    rows = F.normalize(patches[0] + 0.7 * torch.randn(4, 5, generator=generator))  # all most similar to the first
    prices, used, cost = torch.zeros(4), torch.zeros(4), torch.zeros(())
    for step in range(steps):
        best = most_similar(rows, patches, prices)
        share = torch.bincount(best, minlength=4) / 4
        prices = prices + rate / (1 + step / 20) * (4 * share - 1)
        if step >= steps // 2:
            used, cost = used + share, cost + (1 - (rows * patches[best]).sum(1)).mean()
    return 2 * used / steps, 2 * cost / steps


def test_prices_share_the_painting_out_as_the_best_assignment_does() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = F.normalize(torch.randn(4, 5, generator=generator))
    rows = F.normalize(patches[0] + 0.7 * torch.randn(4, 5, generator=generator))
    costs = 1 - rows @ patches.T
    best = min(sum(float(costs[i, j]) for i, j in enumerate(order)) / 4 for order in permutations(range(4)))
    used, cost = used_and_cost(0.05)
    assert torch.allclose(used, torch.full((4,), 0.25), atol=0.05)
    assert float(cost) == pytest.approx(best, abs=0.03)
    alone, _ = used_and_cost(0.0)
    assert alone.max() > 0.7


def test_what_some_prices_rise_by_others_fall(extractor: FeatureExtractor) -> None:
    objective = texopt.patches(picture(), scale=1.0, sizes=[1.0], rate=0.05)
    loss = objective.terms[0].loss
    assert isinstance(loss, Patches)
    torch.manual_seed(0)
    view = make_view(extractor, shown(picture(seed=3)) * 0.2)
    for _ in range(60):
        target = next(iter(loss.targets.get(view.magnification, {}).values()), None)
        objective(view)
        after = next(iter(loss.targets[view.magnification].values()))
        change = after.prices - (target.prices if target else 0)
        assert float((change * after.shares).sum()) == pytest.approx(0, abs=1e-6)


def test_state_is_kept_and_forgotten(extractor: FeatureExtractor) -> None:
    first, second = (texopt.patches(picture(), scale=1.0, rate=0.1) for _ in range(2))
    view = make_view(extractor, shown(picture(seed=5)))
    start = float(first(view)[0])
    for _ in range(5):
        first(view)
    state = first.state_dict()
    before = {name: prices.clone() for name, prices in state["patches"][0][view.magnification].items()}
    second.load_state_dict(state)
    expected = first(view)[0]
    assert torch.equal(second(view)[0], expected)
    assert all(torch.equal(prices, before[name]) for name, prices in state["patches"][0][view.magnification].items())
    first.load_state_dict(state)  # as a run does that takes a step back
    assert torch.equal(first(view)[0], expected)
    first.reset()
    assert float(first(view)[0]) == start


def test_toward_is_the_way_from_the_original(extractor: FeatureExtractor) -> None:
    original = torch.rand(1, 3, 32, 32)
    losses = [
        float(texopt.patches(picture(), scale=1.0, toward=toward)(make_view(extractor, original))[0])
        for toward in (0.0, 0.5, 1.0)
    ]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[0] < losses[1] < losses[2]


def test_several_paintings_are_used_in_their_shares(extractor: FeatureExtractor) -> None:
    objective = texopt.patches([picture(), picture(seed=1), picture(seed=2)], blend=[3, 1, 0], scale=1.0, sizes=[1.0])
    view = make_view(extractor, torch.rand(1, 3, 32, 32))
    objective(view)
    (target,) = objective.terms[0].loss.targets[view.magnification].values()
    count = len(target.shares) // 2
    assert float(target.shares[:count].sum()) == pytest.approx(0.75)
    assert float(target.shares[count:].sum()) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": []}, "sizes"),
        ({"sizes": [2.0]}, "sizes"),
        ({"rate": -1.0}, "rate"),
        ({"toward": 2.0}, "toward"),
        ({"scale": 100.0}, "scale"),
        ({"blend": [1, 2]}, "blend"),
    ],
)
def test_what_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        texopt.patches(picture(), **options)  # type: ignore[arg-type]


def test_views_smaller_than_a_patch() -> None:
    deep = FeatureExtractor(torch.nn.Sequential(torch.nn.AvgPool2d(32)), stride=32)
    objective = texopt.patches(picture(128, 128), layers=["0"], scale=2.0)
    value, _ = objective(make_view(deep, torch.rand(1, 3, 128, 128)))  # at the full size alone
    assert value.isfinite()
    with pytest.raises(OptionError, match="views of 64 pixels are smaller than a patch"):
        texopt.patches(picture(128, 128), layers=["0"], scale=4.0)(make_view(deep, torch.rand(1, 3, 64, 64)))


def test_a_painting_smaller_than_a_patch() -> None:
    deep = FeatureExtractor(torch.nn.Sequential(torch.nn.AvgPool2d(32)), stride=32)
    view = make_view(deep, torch.rand(1, 3, 128, 128))
    with pytest.raises(OptionError, match="smaller on the object than a patch"):
        texopt.patches(picture(), layers=["0"], scale=0.05)(view)


def elements(image: Image.Image, extractor: FeatureExtractor) -> Elements:
    return Elements([image], [1.0], min(image.size), extractor)


def gathered(of: Elements, image: Image.Image) -> tuple[float, float]:
    """(coherence, completeness) of an image that is wholly the object."""
    found, pixels = Gathered(of), shown(image)
    found.add(pixels, torch.ones_like(pixels[:, :1]), of.extractor(pixels, {of.layer}))
    coherence, completeness = found.distances()
    assert coherence is not None
    assert completeness is not None
    return coherence, completeness


def test_the_painting_itself_is_coherent_and_complete(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bidirectional, "OFFERED", 10_000)
    monkeypatch.setattr(bidirectional, "A_VIEW", 10_000)
    image = picture(96, 96)
    of = elements(image, extractor)
    assert gathered(of, image) == pytest.approx((0, 0), abs=1e-5)
    assert of.floor is not None
    assert of.floor > 0.05
    assert gathered(of, picture(96, 96, seed=1)) == pytest.approx((of.floor, of.floor), rel=0.25)  # noise is noise


def test_half_of_a_painting_is_coherent_and_not_complete(extractor: FeatureExtractor) -> None:
    left, right = picture(96, 96), picture(96, 96, seed=1).point(lambda value: 255 * (value > 128))
    right = right.resize((12, 12), Image.Resampling.BOX).resize((96, 96), Image.Resampling.NEAREST)
    both = Image.new("RGB", (192, 96))
    both.paste(left, (0, 0))
    both.paste(right, (96, 0))
    of = elements(both, extractor)
    whole, half = gathered(of, both), gathered(of, left)
    assert half[0] < half[1]
    assert half[1] > 1.2 * whole[1]


def test_an_object_that_no_patch_fits_on_has_no_distances(extractor: FeatureExtractor) -> None:
    of = elements(picture(96, 96), extractor)
    found = Gathered(of)
    pixels = torch.rand(1, 3, 64, 64)
    found.add(pixels, torch.zeros(1, 1, 64, 64), extractor(pixels, {of.layer}))
    assert found.distances() == (None, None)


def test_coarse_steps_look_at_half_the_size(extractor: FeatureExtractor) -> None:
    from conftest import make_cube

    seen: list[tuple[tuple[int, ...], float]] = []

    def look(view: texopt.View) -> Tensor:
        seen.append((tuple(view.image.shape[2:]), view.scale))
        return view.image.mean()

    texopt.optimize(
        make_cube(),
        texopt.PixelTexture(16),
        look,
        steps=5,
        views=texopt.Views(size=(64, 128), coarse=0.4),
        backbone=extractor,
    )
    assert [size for size, _ in seen] == [(32, 64)] * 2 + [(64, 128)] * 3
    assert seen[0][1] == pytest.approx(seen[4][1] / 2)
    for wrong in (-0.1, 1.5):
        with pytest.raises(OptionError, match="coarse"):
            texopt.optimize(
                make_cube(), texopt.PixelTexture(16), look, views=texopt.Views(coarse=wrong), backbone=extractor
            )


def test_principal_axes_keep_more_of_the_products_than_random_ones_and_about_as_much_as_can_be() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(300, 40, generator=generator) * torch.logspace(0, -2, 40)
    axes = principal_axes(patches, 8)
    assert torch.allclose(axes.T @ axes, torch.eye(8), atol=1e-5)
    kept = float((patches @ axes).square().sum())
    most = float(torch.linalg.svdvals(patches)[:8].square().sum())  # Eckart and Young
    assert 0.98 * most <= kept <= 1.0001 * most
    assert torch.equal(axes, principal_axes(patches, 8))


def test_a_search_along_all_axes_is_exact() -> None:
    target = Target.of([torch.randn(1, 3, 9, 9)], [1.0])
    target = replace(target, prices=0.1 * torch.rand(49))
    assert target.axes.shape == (27, 27)
    rows = F.normalize(torch.randn(50, 27))
    assert torch.equal(target.most_similar(rows), most_similar(rows, target.patches, target.prices))
