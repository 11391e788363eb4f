"""Sums of a pyramid's levels against torch's interpolate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texopt import OptionError
from texopt.raster.levels import add_levels, average, portable_add_levels, portable_average


def levels(height: int, width: int, count: int) -> list[Tensor]:
    return [torch.randn(height << k, width << k, 3, requires_grad=True) for k in range(count)]


@pytest.mark.parametrize(("height", "width", "count"), [(1, 1, 4), (8, 8, 1), (8, 8, 5), (2, 16, 3), (16, 1, 3)])
def test_values_and_gradients_are_those_of_torch(height: int, width: int, count: int) -> None:
    ours, theirs = levels(height, width, count), levels(height, width, count)
    for mine, other in zip(ours, theirs, strict=True):
        other.data.copy_(mine.data)
    found, expected = add_levels(ours), portable_add_levels(theirs)
    assert found.shape == (height << count - 1, width << count - 1, 3)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    cotangent = torch.randn_like(found)
    found.backward(cotangent)  # type: ignore[no-untyped-call]
    expected.backward(cotangent)  # type: ignore[no-untyped-call]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    given, results = levels(8, 16, 7), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for level in given:
            level.grad = None
        total = add_levels(given)
        total.square().sum().backward()  # type: ignore[no-untyped-call]
        results.append([total.detach(), *(level.grad for level in given)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("larger", [2, 4, 8])
def test_the_average_is_the_mean_of_the_image_at_a_larger_size(larger: int) -> None:
    """Of what lies inside, where interpolation needs no neighbour across the border."""
    image = torch.randn(16, 24, 3)
    fine = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], scale_factor=larger, mode="bilinear")
    means = torch.nn.functional.avg_pool2d(fine, larger)[0].permute(1, 2, 0)
    found = average(image, torch.ones(()))
    torch.testing.assert_close(found[1:-1, 1:-1], means[1:-1, 1:-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_averages_and_their_gradients_are_those_of_torch(share: float) -> None:
    ours, theirs = (torch.randn(8, 16, 3, requires_grad=True) for _ in range(2))
    theirs.data.copy_(ours.data)
    found, expected = average(ours, torch.tensor(share)), portable_average(theirs, torch.tensor(share))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    cotangent = torch.randn_like(found)
    for values in (found, expected):
        values.backward(cotangent)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_what_is_no_pyramid_is_refused() -> None:
    with pytest.raises(OptionError, match="has to be twice as large as"):
        add_levels([torch.zeros(4, 4, 3), torch.zeros(8, 4, 3)])
    with pytest.raises(OptionError, match=r"level has to be a torch.float32 tensor \[h,w,3\]"):
        add_levels([torch.zeros(3, 4, 4)])
