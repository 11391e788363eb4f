"""Optimisers by name: the project's Adam, and torch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.optim.adam import BETAS, EPSILON, Adam
from texopt.optim.lbfgs import HISTORY, LBFGS
from texopt.system import distributed

MOMENTUM = 0.9


class Optimizer(Protocol):
    """What is used of torch.optim.Optimizer."""

    param_groups: list[dict[str, Any]]
    state: Any

    @property
    def step(self) -> Callable[..., Any]: ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...


@dataclass(frozen=True)
class Kind:
    """An optimiser.

    build: from parameters and a rate of its own. scale: that rate for a learning_rate of 1, which means of all of
    them what it means of Adam. each: times the number of parameters, as the gradient of a mean is the smaller the more
    of them it is shared by. sparse: whether it takes sparse gradients; others are given them dense, at a cost of all
    that there is instead of what a view sees. memory: how many times the parameters it keeps, beyond Adam's two.
    schedule: of its rate, by default.
    """

    build: Callable[[list[Tensor], float], Optimizer]
    scale: float = 1.0
    each: bool = False
    sparse: bool = False
    memory: int = 0
    schedule: str = "warmup-cosine"


class _Adagrad(torch.optim.Adagrad):
    """torch's, which does not say that it makes sparse tensors without looking at their indices again."""

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        with torch.sparse.check_sparse_tensor_invariants(False):
            return super().step(closure)


def _sgd(**options: Any) -> Callable[[list[Tensor], float], Optimizer]:
    return lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, **options)


# scales are such that the default, 0.05, is about the best rate of each for the style of a painting, on a photograph
# seen as a whole by the default network
KINDS: dict[str, Kind] = {
    # Kingma & Ba 2015: a step is about as long as the rate, whatever the gradient
    "adam": Kind(Adam, sparse=True),
    # Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; values decay towards grey
    "adamw": Kind(lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate, betas=BETAS, eps=EPSILON)),
    "sgd": Kind(_sgd(), 0.03, each=True, sparse=True),
    # Polyak 1964; Nesterov's as Sutskever et al. have it, "On the importance of initialization and momentum", ICML 2013
    "momentum": Kind(_sgd(momentum=MOMENTUM), 0.008, each=True),
    "nesterov": Kind(_sgd(momentum=MOMENTUM, nesterov=True), 0.008, each=True),
    # Tieleman & Hinton 2012, lecture 6e
    "rmsprop": Kind(lambda parameters, rate: torch.optim.RMSprop(parameters, lr=rate)),
    # Duchi, Hazan & Singer, JMLR 2011
    "adagrad": Kind(lambda parameters, rate: _Adagrad(parameters, lr=rate), 10.0, sparse=True),
    # whose line search finds how long a step is
    "lbfgs": Kind(LBFGS, 20.0, memory=2 * HISTORY + 6, schedule="constant"),
}


def kind(name: str) -> Kind:
    """An optimiser by its name; OptionError for one that is not there."""
    if name not in KINDS:
        raise OptionError(f"optimizer has to be one of {', '.join(KINDS)}, not {name!r}")
    return KINDS[name]


def check(name: str) -> None:
    """OptionError for an optimiser that is not there, or not for several ranks."""
    if kind(name).build is LBFGS and distributed.ranks() > 1:
        raise OptionError("lbfgs is for a single process, as ranks might disagree on its steps; take another optimizer")


def own_rate(name: str, learning_rate: float, parameters: Iterable[Tensor]) -> float:
    """What a learning rate, as of Adam, is for an optimiser by name."""
    one = kind(name)
    return learning_rate * one.scale * (sum(each.numel() for each in parameters) if one.each else 1)


def make(name: str, parameters: Iterable[Tensor], rate: float) -> Optimizer:
    """An optimiser by its name, with a rate of its own."""
    one = kind(name)
    optimizer = one.build(list(parameters), rate)
    if isinstance(optimizer, torch.optim.Optimizer) and not one.sparse:
        optimizer.register_step_pre_hook(_dense)
    return optimizer


def _dense(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for parameter in _parameters(optimizer):
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """What it knows of every parameter, with the tensors themselves. (torch's own state_dict, when it is loaded, makes
    counters floats, and copies.)"""
    return {"state": [dict(optimizer.state.get(one, {})) for one in _parameters(optimizer)]}


def load_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Have it go on from what state_of gave, bit for bit."""
    group = optimizer.param_groups[0]
    counts_there = bool(group.get("fused") or group.get("capturable"))
    for parameter, known in zip(_parameters(optimizer), state["state"], strict=True):

        def placed(name: str, value: Any, device: torch.device = parameter.device) -> Any:
            if isinstance(value, list):
                return [placed(name, one) for one in value]
            if not isinstance(value, Tensor) or (name == "step" and not counts_there):
                return value
            # products of many numbers depend on where in memory they begin
            return value.to(device, copy=isinstance(optimizer, LBFGS))

        optimizer.state[parameter] = {name: placed(name, value) for name, value in known.items()}
