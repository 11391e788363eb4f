"""Objective: losses with names, that add and scale.

A term is any function of a View that returns a scalar tensor to be minimised, or a loss for each of its images [B],
whose mean is. `style("a.jpg") + 0.3 * content()` is an Objective of two terms; a plain Python function is turned into
one where an objective is expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.objectives.view import View
from texopt.system import distributed

Loss = Callable[[View], Tensor]
Factor = Callable[[View], Tensor | float]
Condition = Callable[[View], bool]
Change = Callable[[View], View]
T = TypeVar("T")

_caller: ContextVar[Any] = ContextVar("_caller", default=None)  # the function of a term that is being called


class Multiplier:
    """The factor of a loss that is to stay below a limit, found while the run goes on.

    It grows by how far the loss is above the limit, and falls as it is below: exponentiated dual ascent on
    the Lagrangian of "minimise the rest, subject to loss <= limit" (Boyd & Vandenberghe, "Convex Optimization", 2004,
    section 5.2, for the multiplier; Platt & Barr, "Constrained Differential Optimization", NIPS 1987, for the ascent).
    """

    RATE = 9.0  # e-foldings in a whole run, for a loss twice as large as its limit
    RANGE = 16.0  # how many times it may become larger or smaller than at the start

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.reset()

    def reset(self) -> None:
        self.logarithm = torch.zeros(())

    def state_dict(self) -> dict[str, Tensor]:
        return {"logarithm": self.logarithm}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.logarithm = state["logarithm"]

    def update(self, value: Tensor, steps: int) -> Tensor:
        """Take in a loss of one of a run's steps; return the factor for it. 0 and NaN say nothing."""
        most = math.log(self.RANGE)
        change = self.RATE / steps * (value / self.limit - 1).nan_to_num().clamp(-1, 1) * (value > 0)
        self.logarithm = (self.logarithm.to(value) + change).clamp(-most, most)
        return self.logarithm.exp()


def _called(function: Callable[[View], T], view: View) -> T:
    """What a function of a term says of a view. Objectives that it calls know that they are within another's term."""
    token = _caller.set(function)
    try:
        return function(view)
    finally:
        _caller.reset(token)


def _both(first: Condition, second: Condition | None) -> Condition:
    return first if second is None else lambda view: first(view) and second(view)


@dataclass(frozen=True)
class Term:
    """A loss with its name. when: whether it judges a view; others count nothing, and leave its value unknown.
    changes: of the view, one after another, before the loss sees it; see `on`."""

    name: str
    loss: Loss
    weight: float = 1.0
    multiplier: Multiplier | None = None
    factors: tuple[Factor, ...] = ()
    when: Condition | None = None
    changes: tuple[Change, ...] = ()

    def values(self, view: View) -> Tensor | None:
        """The loss before weighting, scalar or [B]; None of a view that it does not judge. Else OptionError."""
        if self.when is not None and not _called(self.when, view):
            return None
        for change in self.changes:
            view = view.changed(change)
        value = _called(self.loss, view)
        if not isinstance(value, Tensor) or (value.numel() != 1 and value.shape != (len(view.image),)):
            got = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            hint = "take the first of what an Objective returns?" if isinstance(value, tuple) else "add .mean()?"
            raise OptionError(f"objective {self.name!r} has to return a scalar tensor, it returned {got}; {hint}")
        return (value.reshape(()) if value.numel() == 1 else value).float()

    def scaled(self, values: Tensor, view: View) -> Tensor:
        """The mean of the values times the factors: a scalar."""
        for factor in self.factors:
            amount = torch.as_tensor(_called(factor, view)).to(values)
            if amount.numel() != 1 and amount.shape != (len(view.image),):
                raise OptionError(
                    f"what objective {self.name!r} is multiplied with has to be a number, or one for each of the "
                    f"{len(view.image)} images, not a tensor {list(amount.shape)}"
                )
            values = values * (amount.reshape(()) if amount.numel() == 1 else amount)
        return values.mean()

    def parts(self) -> tuple[Any, ...]:
        """What may know something of a run."""
        return (self.loss, self.multiplier, *self.changes)

    def stateful(self) -> list[Any]:
        """Its parts that know something of a run."""
        return [part for part in self.parts() if hasattr(part, "state_dict")]


@dataclass(frozen=True)
class Objective:
    """A weighted sum of named losses. `+`, `-`, and `*` make new ones.

    What it is multiplied with is a number, or a function of a View that returns one, or one for each image [B]: weights
    that change, as `lambda view: view.step / view.steps` does.
    """

    terms: tuple[Term, ...]

    def __add__(self, other: Objective | Loss) -> Objective:
        return Objective(self.terms + as_objective(other).terms)

    def __radd__(self, other: Loss | int) -> Objective:
        return self if other == 0 else as_objective(other).__add__(self)  # type: ignore[arg-type]  # 0: sum() starts there

    def __mul__(self, factor: float | Factor) -> Objective:
        if callable(factor):
            return Objective(tuple(replace(term, factors=(*term.factors, factor)) for term in self.terms))
        return Objective(tuple(replace(term, weight=factor * term.weight) for term in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __sub__(self, other: Objective | Loss) -> Objective:
        return self + -as_objective(other)

    def __rsub__(self, other: Loss) -> Objective:
        return as_objective(other) - self

    def below(self, limit: float) -> Objective:
        """The same, with a weight that is found during a run so that no term's value stays above `limit`.

        It starts at the weight that is given, and ends within 16 times of it: a constraint in the place of a guess.
        """
        if not 0 < limit < math.inf:
            raise OptionError(f"the limit of a loss has to be above 0, not {limit}")
        return Objective(tuple(replace(term, multiplier=Multiplier(limit)) for term in self.terms))

    def reset(self) -> None:
        """Forget what was seen in a run: averages, and weights that were found. `optimize` begins with it."""
        for part in (part for term in self.terms for part in term.parts()):
            if (forget := getattr(part, "reset", None)) is not None:
                forget()

    def state_dict(self) -> dict[str, Any]:
        """What terms and multipliers know of a run, by a term's name, with the tensors themselves, not copies.

        A loss of your own takes part with the methods state_dict and load_state_dict, as nn.Module has them; what it
        keeps elsewhere is lost to `texopt resume`.
        """
        return {name: [part.state_dict() for part in term.stateful()] for name, term in self.named_terms().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What state_dict gave. OptionError where it is of another objective."""
        named = self.named_terms()
        if list(named) != list(state):
            raise OptionError(f"the run had the terms {', '.join(state)}, not {', '.join(named)}; start it again")
        for name, term in named.items():
            for part, known in zip(term.stateful(), state[name], strict=True):
                part.load_state_dict(known)

    def _check_caller(self) -> None:
        """OptionError within the term of another objective, where this one has a memory. A loss with the methods reset
        and state_dict of its own is trusted to take care of it."""
        caller = _caller.get()
        if caller is None or (hasattr(caller, "reset") and hasattr(caller, "state_dict")):
            return
        if names := [name for name, term in self.named_terms().items() if term.stateful()]:
            function = getattr(caller, "__name__", type(caller).__name__)
            raise OptionError(
                f"{function} calls the objective {names[0]!r}, whose memory is then not reset and in no checkpoint; "
                "instead add texopt.on(objective, change) to the run's, where change returns view.with_image(...)"
            )

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
        """(loss to minimise, its terms by name before weighting, NaN of those that do not judge the view); all scalars.
        Of several ranks the values are the mean over all, the gradient is that of this rank's views.

        OptionError where a function of another objective calls one that has a memory, which nobody would reset then.
        """
        self._check_caller()
        named = self.named_terms()
        values = [term.values(view) for term in named.values()]
        shares = [
            view.image.sum() * 0.0 if value is None else term.scaled(value, view)
            for term, value in zip(named.values(), values, strict=True)
        ]
        unknown = view.image.new_full((), math.nan)
        means = distributed.averaged(torch.stack([unknown if v is None else v.detach().mean() for v in values]))
        known = distributed.averaged(torch.stack([share.detach() for share in shares]))
        total = torch.zeros((), device=means.device)
        for term, share, mean, whole in zip(named.values(), shares, means, known, strict=True):
            factor = term.weight if term.multiplier is None else term.weight * term.multiplier.update(mean, view.steps)
            total = total + factor * (share + (whole - share.detach()))
        return total, dict(zip(named, means, strict=True))


def objective(loss: Loss | Objective, name: str | None = None, when: Condition | None = None) -> Objective:
    """An Objective of one function of a View; or of another Objective, under another name, or for fewer views.

    name: by default that of the function. when: which views it is for, by default all; the same of all in a step. In
    other steps it is not called, counts nothing, and its value is NaN.

    OptionError for what is no function, and for one name of an Objective of several terms.
    """
    if not isinstance(loss, Objective):
        if not callable(loss):
            raise OptionError(f"an objective is of a function of a View, not {loss!r}")
        return Objective((Term(name or str(getattr(loss, "__name__", type(loss).__name__.lower())), loss, when=when),))
    if name is not None and len(loss.terms) != 1:
        raise OptionError(f"one name, {name!r}, is for one term, not for {', '.join(loss.named_terms())}")
    return Objective(
        tuple(
            replace(term, name=name or term.name, when=term.when if when is None else _both(when, term.when))
            for term in loss.terms
        )
    )


def on(goal: Objective | Loss, change: Change) -> Objective:
    """An objective that looks at a changed view: under a light, through a lens, in grey, with another mask.

        lit = texopt.on(texopt.style("a.jpg"), lambda view: view.with_image(view.image * 0.5))
        texopt.optimize(mesh, texture, lit + texopt.content().below(0.5))

    It has the terms of `goal` by their names, with their memory, which `optimize` resets and keeps in checkpoints; in a
    function that calls `goal` itself it would do neither. `+`, `*`, `below`, `across_frames` and the like work as ever:
    weights and conditions that were there before see the changed view, later ones the view itself.

    change: from a View to a View, see View.with_image. It is called once for a view, whatever number of terms and calls
    of `on` have the same function. What is random in it should be of `view.step`, for the run to be repeated; or it has
    the methods reset, state_dict and load_state_dict, as losses may have.
    """
    goal = as_objective(goal)
    if not callable(change):
        raise OptionError(f"on() takes a function from a View to a View, not {change!r}")

    def after(function: Callable[[View], T]) -> Callable[[View], T]:
        return lambda view: function(view.changed(change))

    return Objective(
        tuple(
            replace(
                term, changes=(change, *term.changes), factors=tuple(map(after, term.factors)),
                when=None if term.when is None else after(term.when),
            )
            for term in goal.terms
        )
    )  # fmt: skip


def positioned(features: Tensor, layer: str) -> Tensor:
    """A layer's features, if they are a map of channels [B,C,H,W]; OptionError where they are not."""
    if features.ndim != 4:
        raise OptionError(
            f"layer {layer!r} has no positions, its output is {list(features.shape)}; name an earlier one"
        )
    return features


def as_objective(value: Objective | Loss) -> Objective:
    """`value` itself if it is an Objective, one made of it if it is a function; OptionError otherwise."""
    if isinstance(value, Objective):
        return value
    if callable(value):
        return objective(value)
    raise OptionError(f"an objective is a function of a View or made by texopt.style() and the like, not {value!r}")
