"""Objective: losses with names, that add and scale.

A term is any function of a View that returns a scalar tensor to be minimised. `style("a.jpg") + 0.3 * content()` is
an Objective of two terms; a plain Python function is turned into one where an objective is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.render import View

Loss = Callable[[View], Tensor]


@dataclass(frozen=True)
class Term:
    name: str
    loss: Loss
    weight: float = 1.0


@dataclass(frozen=True)
class Objective:
    """A weighted sum of named losses. `+`, `-`, and `*` with a number make new ones."""

    terms: tuple[Term, ...]

    def __add__(self, other: Objective | Loss) -> Objective:
        return Objective(self.terms + as_objective(other).terms)

    def __radd__(self, other: Loss | int) -> Objective:
        return self if other == 0 else as_objective(other).__add__(self)  # type: ignore[arg-type]  # 0: sum() starts there

    def __mul__(self, factor: float) -> Objective:
        return Objective(tuple(replace(term, weight=factor * term.weight) for term in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __sub__(self, other: Objective | Loss) -> Objective:
        return self + -as_objective(other)

    def named_terms(self) -> dict[str, Term]:
        """The terms by name; names that occur again get a number."""
        named: dict[str, Term] = {}
        for term in self.terms:
            name, count = term.name, 1
            while name in named:
                count += 1
                name = f"{term.name}_{count}"
            named[name] = term
        return named

    def __call__(self, view: View) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss to minimise, its terms by name before weighting); all scalars."""
        total = torch.zeros((), device=view.image.device)
        values: dict[str, Tensor] = {}
        for name, term in self.named_terms().items():
            value = term.loss(view)
            if not isinstance(value, Tensor) or value.numel() != 1:
                got = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise OptionError(f"objective {name!r} has to return a scalar tensor, it returned {got}; add .mean()?")
            total = total + term.weight * value.reshape(())
            values[name] = value.detach().reshape(())
        return total, values


def objective(loss: Loss, name: str | None = None) -> Objective:
    """An Objective of one function of a View; it is called after the function unless `name` is given."""
    return Objective((Term(name or str(getattr(loss, "__name__", type(loss).__name__.lower())), loss),))


def as_objective(value: Objective | Loss) -> Objective:
    """`value` itself if it is an Objective, one made of it if it is a function; OptionError otherwise."""
    if isinstance(value, Objective):
        return value
    if callable(value):
        return objective(value)
    raise OptionError(f"an objective is a function of a View or made by texopt.style() and the like, not {value!r}")
