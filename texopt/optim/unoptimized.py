"""Strays: parameters that gather gradients in a run, and that nobody optimises."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from torch import Tensor, nn

from texopt.objectives.terms import Objective

log = logging.getLogger("texopt")


def leaves(loss: Tensor) -> list[Tensor]:
    """The tensors that backward() gives gradients to."""
    found, seen, waiting = [], set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:  # it accumulates a leaf's gradient
            found.append(variable)
        waiting.extend(function for function, _ in node.next_functions)
    return found


def _has_gradient(leaf: Tensor) -> bool:
    if leaf.grad is None:
        return False
    return leaf.grad.is_sparse or bool((leaf.grad != 0).any())


class Strays:
    """What of the first step's gradient is of other parameters than the textures', for a warning if it stays unused.

    A network in an objective requires gradients unless it is told otherwise: they cost time, and add up from step to
    step. Who trains it steps an optimiser of its own after each step, and clears them.
    """

    def __init__(self, parameters: Iterable[Tensor], objective: Objective) -> None:
        self._own = {id(parameter) for parameter in parameters}
        self._names = {
            id(parameter): f"{term}.{name}"
            for term, one in objective.named_terms().items()
            for part in one.parts() if isinstance(part, nn.Module)
            for name, parameter in part.named_parameters()
        }  # fmt: skip
        self._found: list[Tensor] | None = None
        self._checked = False

    def see(self, loss: Tensor) -> None:
        """Before the first step's backward()."""
        if self._found is None:
            self._found = [leaf for leaf in leaves(loss) if id(leaf) not in self._own]

    def check(self) -> None:
        """After the first step, and what the caller does at its end."""
        if self._checked:
            return
        self._checked = True
        left = [leaf for leaf in self._found or () if _has_gradient(leaf)]
        if left:
            names = [self._names.get(id(leaf), f"one of shape {list(leaf.shape)}") for leaf in left]
            log.warning(
                "the objective has %d parameters of its own (%s) that get gradients and are not optimised; freeze them "
                "with requires_grad_(False), or step an optimizer of theirs in on_step and clear them",
                len(left), ", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
            )  # fmt: skip
