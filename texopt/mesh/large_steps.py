"""Smooth displacements of a mesh's places: the preconditioner of Nicolet et al., "Large Steps in Inverse Rendering of
Geometry", ACM Transactions on Graphics 40(6), 2021.

Gradients of silhouettes are there where a silhouette is, and nowhere beside it; steps along them crumple a mesh. In the
coordinates u = (I + λ L) x, with the combinatorial Laplacian L of the mesh, a step moves all around it, too (equation
13 there). Displacements are linear in u, so that u may be counted from where the mesh is.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TOLERANCE = 1e-5  # of the result, relative


def place_edges(corners: np.ndarray) -> np.ndarray:
    """The edges of faces int [F,3], each once: int64 [E,2], without those of a place with itself."""
    ends = np.concatenate([corners[:, [k, (k + 1) % 3]] for k in range(3)]).astype(np.int64)
    ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1)
    return np.unique(ends, axis=0).reshape(-1, 2)


class LargeSteps:
    """x = (I + λ L)⁻¹ u for numbers at places, where places that are not free stay at 0.

    With D the number of a place's neighbours and W their adjacency, L = D - W. In the scaling by M = I + λ D the system
    is I - S, where no eigenvalue of S is beyond ρ = max λD / (1 + λD) < 1, and Chebyshev's iteration (Golub & Varga,
    "Chebyshev Semi-Iterative Methods", Numerische Mathematik 3, 1961) takes as many rounds as that says. It has no
    inner products: the digits do not depend on the number of threads, and what it computes is a symmetric polynomial in
    the matrix, whose gradient is exactly itself.

    Args:
        edges: int64 [E,2], of places.
        free: bool [P], which places move.
        smoothness: λ, 0 or more: a step at a place moves what is about √λ edges around it.
    """

    def __init__(self, edges: np.ndarray, free: np.ndarray, smoothness: float) -> None:
        degree = np.bincount(edges.reshape(-1), minlength=len(free))
        self.rounds, self.spread = 1, 0.0
        if smoothness and degree.any():
            self.spread = float(smoothness * degree.max() / (1 + smoothness * degree.max()))
            gain = self.spread / (1 + math.sqrt(1 - self.spread**2))  # that the error falls by in a round
            self.rounds = 1 + math.ceil(math.log(2 / TOLERANCE) / -math.log(gain))
        scale = np.where(free, 1 / np.sqrt(1 + smoothness * degree), 0.0)
        ends = np.concatenate([edges, edges[:, ::-1]])
        ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
        self.scale = torch.from_numpy(scale)[:, None]
        self.rows = torch.from_numpy(np.searchsorted(ends[:, 0], np.arange(len(free) + 1)))
        self.columns = torch.from_numpy(ends[:, 1].copy())
        self.values = torch.from_numpy(smoothness * scale[ends[:, 0]] * scale[ends[:, 1]])
        self._matrices: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def __call__(self, u: Tensor) -> Tensor:
        """Numbers u float [P,C] -> x [P,C]; differentiable."""
        device = u.device if u.device.type == "cuda" else torch.device("cpu")  # others have no sparse matrices
        found: Tensor = _Solve.apply(u.to(device), self)
        return found.to(u.device)

    def solve(self, u: Tensor) -> Tensor:
        """The same, without a gradient."""
        scale, matrix = self.scale.to(u), self._matrix(u)
        goal = scale * u
        before, now, weight = torch.zeros_like(goal), goal, 2.0  # the first weight is 1, from which the second follows
        for _ in range(self.rounds - 1):
            weight = 1 / (1 - self.spread**2 * weight / 4)
            before, now = now, before + weight * (matrix @ now + goal - before)
        return scale * now

    def _matrix(self, like: Tensor) -> Tensor:
        """S, as sparse rows, where and of the numbers that `like` is."""
        key = like.device, like.dtype
        if key not in self._matrices:
            with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(False):
                warnings.simplefilter("ignore", UserWarning)  # that sparse rows are new in torch
                parts = (self.rows.to(like.device), self.columns.to(like.device), self.values.to(like))
                self._matrices[key] = torch.sparse_csr_tensor(*parts, (len(self.scale), len(self.scale)))
        return self._matrices[key]


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, steps: LargeSteps) -> Tensor:  # type: ignore[override]
        ctx.steps = steps
        return steps.solve(u)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.steps.solve(grad), None
