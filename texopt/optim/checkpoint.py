"""Checkpoints: all that a run is made of, in a file from which it goes on as if it had never stopped.

The file is a safetensors one: tensors, and JSON that says where they belong. Nothing in it is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from texopt import __version__
from texopt.errors import OptionError
from texopt.system.files import replacing
from texopt.system.pages import bands, empty_zeros

NAME = "checkpoint.safetensors"  # in a run's folder
SPARSE = 1 << 20  # numbers, from which on a tensor's rows of zeros are left out
SHARE = 0.1  # of a run's time that writing may take, so that large textures are written less often

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.complex64: "C64",
}  # fmt: skip

Tree = Any  # mappings, lists, numbers, strings, None and tensors, in one another


class Checkpoint:
    """Where optimize keeps the state of a run, and goes on from.

    Args:
        path: of the file, .safetensors.
        seconds: between two, at least; 0 writes one after every step.
        resume: go on from the file, if it is there; False starts anew, and replaces it in time.
        about: plain values (as of JSON) that are kept with it.
    """

    def __init__(
        self, path: str | os.PathLike[str], seconds: float = 30.0, resume: bool = True,
        about: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if not 0 <= seconds < float("inf"):
            raise OptionError(f"the seconds between checkpoints have to be 0 or more, not {seconds}")
        self.path, self.seconds, self.about = Path(path), seconds, dict(about or {})
        self.resume = resume
        self._next = time.perf_counter() + seconds

    def due(self) -> bool:
        """Whether it is time to write one."""
        return time.perf_counter() >= self._next

    def write(self, state: Mapping[str, Tree]) -> None:
        """Replace the file, whole or not at all. OutputError where it cannot be written; the old one stays."""
        start = time.perf_counter()
        tensors: dict[str, Rows] = {}
        tree = _flattened({"texopt": __version__, "about": self.about, **state}, tensors)
        with replacing(self.path) as new:
            _save(tensors, json.dumps(tree), new)
        end = time.perf_counter()
        self._next = end + max(self.seconds, (end - start) / SHARE) if self.seconds else end

    def read(self) -> dict[str, Tree] | None:
        """The state to go on from, on the CPU; None where there is none. OptionError where it cannot be read."""
        return read(self.path) if self.resume and self.path.exists() else None

    def steps_done(self) -> int:
        """How many steps the state to go on from has; 0 where there is none. OptionError where it cannot be read."""
        return int(read(self.path, tensors=False)["step"]) if self.resume and self.path.exists() else 0


def read(path: Path, tensors: bool = True) -> dict[str, Tree]:
    """The state in a file. tensors: False reads the rest alone, with None in their places; OptionError."""
    try:
        with safe_open(path, "pt") as file:
            tree = json.loads((file.metadata() or {})["texopt"])
            state = _unflattened(tree, file if tensors else None)
            if not isinstance(state["step"], int) or not isinstance(state["about"], dict):
                raise TypeError
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, IndexError, RecursionError, RuntimeError):
        raise OptionError(f"{path} is no checkpoint, or a damaged one; start the run again") from None
    found: dict[str, Tree] = state
    return found


@dataclass(frozen=True)
class Rows:
    """A tensor, or some of its rows."""

    tensor: Tensor
    rows: Tensor | None = None

    @property
    def shape(self) -> list[int]:
        return list(self.tensor.shape) if self.rows is None else [len(self.rows), *self.tensor.shape[1:]]

    def parts(self) -> Iterator[Tensor]:
        """The values, in pieces, as they may take as much memory as all else."""
        if self.rows is None:
            yield self.tensor.contiguous()
            return
        for rows in self.rows.split(1 << 16):
            yield self.tensor[rows]


def _save(tensors: Mapping[str, Rows], text: str, path: Path) -> None:
    """Write a safetensors file without a copy of it in memory, as the library's own functions make; or, those that
    write to a path, a file beside it. The format: github.com/huggingface/safetensors, README."""
    header: dict[str, Any] = {"__metadata__": {"texopt": text}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + math.prod(tensor.shape) * tensor.tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.tensor.dtype], "shape": tensor.shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for part in (part for tensor in tensors.values() for part in tensor.parts()):
            file.write(part.reshape(-1).view(torch.uint8).numpy().data)


def _flattened(tree: Tree, tensors: dict[str, Rows]) -> Tree:
    """The tree as JSON has it; its tensors, on the CPU, are added to `tensors` and referred to by their names."""
    if isinstance(tree, Tensor):
        return _stored(tree.detach().cpu(), tensors)
    if isinstance(tree, Mapping):
        return {"items": [[key, _flattened(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return [_flattened(value, tensors) for value in tree]
    return tree


def _stored(tensor: Tensor, tensors: dict[str, Rows]) -> dict[str, Any]:
    name = str(len(tensors))
    if tensor.numel() >= SPARSE and tensor.ndim > 1 and tensor.dtype is torch.float32 and tensor.is_contiguous():
        bits = tensor.flatten(1).view(torch.int32)  # minus zero is something, too
        rows = torch.cat([part.start + bits[part].any(1).nonzero()[:, 0] for part in bands(*bits.shape)])
        if 2 * len(rows) < len(tensor):
            tensors[name], tensors[name + ".rows"] = Rows(tensor, rows), Rows(rows)
            return {"rows": name, "shape": list(tensor.shape)}
    tensors[name] = Rows(tensor)
    return {"tensor": name}


def _unflattened(tree: Tree, file: Any) -> Tree:
    if isinstance(tree, list):
        return [_unflattened(value, file) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "items" in tree:
        return {key: _unflattened(value, file) for key, value in tree["items"]}
    if file is None:
        return None
    if "tensor" in tree:
        return file.get_tensor(tree["tensor"]).clone()  # of the file's own memory, which Windows locks while it is used
    tensor = empty_zeros(*tree["shape"])
    tensor[file.get_tensor(tree["rows"] + ".rows")] = file.get_tensor(tree["rows"])
    return tensor
