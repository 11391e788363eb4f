"""Adam with sparse gradients: torch's own where it can be compared, and what it is for."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn

from texopt.optim.adam import Adam
from texopt.optim.optimizers import load_state, state_of


def sparse(rows: list[int], values: Tensor, count: int) -> Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([rows], dtype=torch.int64), values, (count, *values.shape[1:]), check_invariants=True
    )


def test_rows_that_always_have_a_gradient_move_as_in_torch() -> None:
    generator = Generator().manual_seed(0)
    start = torch.randn(700, 4, 3, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam, reference = Adam([ours], 0.03), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(50):
        grad = torch.randn(700, 4, 3, generator=generator)
        ours.grad, theirs.grad = sparse(list(range(700)), grad, 700), grad
        adam.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert ours.grad is None


def test_dense_steps_and_sparse_ones_of_all_rows_are_one_run() -> None:
    """A run goes on with the other kind where it is resumed on another device."""
    generator = Generator().manual_seed(0)
    start = torch.randn(20, 4, 3, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam, reference = Adam([ours], 0.03), torch.optim.Adam([theirs], lr=0.03)
    for step in range(30):
        grad = torch.randn(20, 4, 3, generator=generator)
        ours.grad, theirs.grad = sparse(list(range(20)), grad, 20) if step // 10 == 1 else grad, grad
        adam.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_dense_and_sparse_parameters_together_and_rates_that_change() -> None:
    dense, rows = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4, 2))
    adam = Adam([dense, rows], 0.1)
    for rate in (0.1, 0.01):
        for group in adam.param_groups:
            group["lr"] = rate
        dense.grad, rows.grad = torch.ones(3), sparse([2], torch.ones(1, 2), 4)
        adam.step()
    assert torch.allclose(dense, torch.tensor(-0.11), atol=1e-4)  # Adam's steps are as long as the rate
    assert torch.allclose(rows, torch.tensor([[0.0], [0.0], [-0.11], [0.0]]).expand(4, 2), atol=1e-4)


@pytest.mark.parametrize("every", [2, 5, 20])
def test_what_is_seen_seldom_gets_as_far_as_in_dense_adam(every: int) -> None:
    steps = 400
    seldom, dense = nn.Parameter(torch.zeros(8, 32)), nn.Parameter(torch.zeros(8, 32))
    adam, reference = Adam([seldom], 0.01), torch.optim.Adam([dense], lr=0.01)
    for step in range(steps):
        seen = step % every == 0
        dense.grad = torch.full((8, 32), float(seen))
        seldom.grad = sparse([*range(8)] if seen else [], torch.ones(8 if seen else 0, 32), 8)
        adam.step()
        reference.step()
    ratio = (seldom / dense).mean().item()
    assert 0.8 < ratio < 1.25
    assert abs(seldom.mean().item()) > 1.3 * 0.01 * steps / every  # a plain lazy Adam's way


def test_gradients_with_the_same_row_twice_add_up() -> None:
    once, twice = nn.Parameter(torch.zeros(4, 2)), nn.Parameter(torch.zeros(4, 2))
    values = torch.tensor([[1.0, 2.0], [3.0, -5.0]])
    once.grad = sparse([1], values.sum(0, keepdim=True), 4)
    twice.grad = sparse([1, 1], values, 4)
    for parameter in (once, twice):
        Adam([parameter], 0.1).step()
    assert torch.equal(once, twice)


def test_its_state_goes_on() -> None:
    def run(parameter: nn.Parameter, adam: Adam, steps: range) -> None:
        for step in steps:
            generator = Generator().manual_seed(step)
            parameter.grad = sparse([step % 4, 5], torch.randn(2, 3, generator=generator), 6)
            adam.step()

    whole, part = nn.Parameter(torch.zeros(6, 3)), nn.Parameter(torch.zeros(6, 3))
    run(whole, Adam([whole], 0.1), range(20))
    first = Adam([part], 0.1)
    run(part, first, range(10))
    second = Adam([part], 0.1)
    load_state(second, state_of(first))
    run(part, second, range(10, 20))
    assert torch.equal(whole, part)
