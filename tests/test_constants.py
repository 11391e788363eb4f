from __future__ import annotations

import torch

from texopt.system.constants import constant


def test_a_constant_is_made_once_for_each_dtype() -> None:
    like = torch.zeros(2, dtype=torch.float64)
    first = constant((1, 2.5), like)
    assert first.dtype == torch.float64
    assert first.tolist() == [1.0, 2.5]
    assert constant([1, 2.5], like) is first
    table = constant([(1, 2), (3, 4)], like, torch.int64)
    assert (table.dtype, table.tolist()) == (torch.int64, [[1, 2], [3, 4]])
