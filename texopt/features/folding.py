"""Batch normalisations, multiplied into the convolutions whose outputs they normalise."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

log = logging.getLogger("texopt")

SIZES = (128, 224, 299)  # pixels a side of what a network is looked through with; some take only their own


def _is_convolution(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether its output is its weights' convolution and its bias: not of a subclass that makes weights of others."""
    plain = type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame"  # timm's, as TensorFlow pads
    return plain and "weight" in module._parameters


def _is_norm(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it is a batch normalisation as of nn.BatchNorm2d, of given mean and variance."""
    plain = type(module) is nn.BatchNorm2d or type(module).__name__ == "BatchNormAct2d"  # timm's, with an activation
    return plain and module.running_mean is not None and module.running_var is not None


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, Iterable) and not isinstance(values, str):
        for value in values:
            yield from _tensors(value)


class _Readers(TorchDispatchMode):
    """Within it, which operations outside of normalisations read the outputs of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the output's id, that the tensor keeps
        self.norms: dict[nn.BatchNorm2d, Tensor] = {}  # with what they read
        self.times: Counter[nn.Module] = Counter()
        self.others: set[int] = set()  # outputs that something else reads
        self._inside: list[int] = []  # what the normalisations that are being computed read

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler for that, which takes seconds, and nothing is compiled here."""
        return False

    def watch(self, model: nn.Module) -> ExitStack:
        """Hooks on a network, until the stack is closed."""
        hooks = ExitStack()
        for module in model.modules():
            if _is_convolution(module):
                hooks.callback(module.register_forward_hook(self._convolved).remove)
            elif _is_norm(module):
                hooks.callback(module.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(self._leave).remove)
        return hooks

    def _convolved(self, module: nn.Conv2d, _inputs: Any, output: Tensor) -> None:
        self.times[module] += 1
        self.made[id(output)] = module, output

    def _enter(self, module: nn.BatchNorm2d, args: Any, kwargs: Any) -> None:
        self.times[module] += 1
        self.norms[module] = next(_tensors((args, kwargs)))
        self._inside.append(id(self.norms[module]))

    def _leave(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self._inside.pop()

    def _read(self, values: Any) -> None:
        self.others |= {id(one) for one in _tensors(values)} & self.made.keys() - set(self._inside)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._read((args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def pairs(self, output: Any) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Convolutions with the normalisations that alone read their outputs; each is computed once."""
        self._read(output)
        readers = Counter(id(values) for values in self.norms.values())
        return [
            (self.made[id(values)][0], norm)
            for norm, values in self.norms.items()
            if id(values) in self.made and id(values) not in self.others and readers[id(values)] == 1
            and self.times[norm] == self.times[self.made[id(values)][0]] == 1
        ]  # fmt: skip


def _normalised(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and the normalisations that can be a part of them, by what a pass of a network reads of what: the
    order in which modules are registered says nothing of it. None where the network takes none of SIZES."""
    if not any(map(_is_norm, model.modules())):
        return []
    like = next(model.parameters())
    for side in SIZES:
        readers = _Readers()
        with readers.watch(model), torch.no_grad():
            try:
                with readers:
                    output = model(torch.zeros(1, 3, side, side, dtype=like.dtype, device=like.device))
            except Exception as error:  # whatever a network raises at a size that it is not for
                log.debug("the network cannot be looked through at %d pixels: %s", side, error)
                continue
        return readers.pairs(output)
    return []


@torch.no_grad()
def fold_batch_norms(model: nn.Module) -> None:
    """Multiply each batch normalisation of a network, as it is at inference, into the convolution before it, in place.

    Only where that changes nothing but rounding: where the normalisation reads what the convolution gives, nothing else
    does, and both are computed once.
    """
    folded: dict[nn.Module, nn.Module] = {}
    for conv, norm in _normalised(model):
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None  # see _is_norm
        assert variance is not None
        weight = torch.ones_like(mean) if norm.weight is None else norm.weight  # affine=False
        shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
        scale = weight / torch.sqrt(variance + norm.eps)
        bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
        conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None])
        conv.bias = nn.Parameter(shift + (bias - mean) * scale)
        folded[norm] = getattr(norm, "act", nn.Identity())  # timm keeps the activation inside its norm
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child in folded:
                setattr(module, name, folded[child])
