"""What runs are told: config.yaml, tables of a batch, weights."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from corpus.pieces import ERROR, Case, cuts, file_of, shares

LAUGHS = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9))
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + LAUGHS
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join([f'*{chr(97 + i)}'] * 10)}]}}\n" for i in range(9)
)
VALUES = {
    "an object": "!!python/object/apply:os.system ['touch executed']",
    "a name": "!!python/name:os.system",
    "a module": "!!python/module:os",
    "new": "!!python/object/new:os.system [touch executed]",
    "a long number": "9" * 5000,
    "a date": "2001-99-99",
    "a bad date": "!!timestamp x",
    "a bad integer": "!!int ''",
    "binary": "!!binary '%'",
    "a set": "!!set {a, b}",
    "an unknown alias": "*nobody",
    "itself": "&a [*a]",
    "itself as a key": "&a {? *a : 1}",
    "a list as a key": "{[1]: 2}",
    "a surrogate": '"\\ud800"',
    "a NUL": '"\\0"',
    "sixty": "1:60:60:" + "60:" * 5000 + "60",
    "a float": "!!float x",
    "pairs": "!!pairs [1]",
    "deep lists": "[" * 100_000,
    "deep closed lists": "[" * 100_000 + "]" * 100_000,
    "very deep lists": "[" * 3_000_000,
    "deep maps": "{a: " * 50_000,
    "infinity": ".inf",
    "not a number": ".nan",
    "a tab": "\t\t",
    "two documents": "1\n---\nb: 2",
    "a long string": "x" * 20_000_000,
    "a bool": "!!bool maybe",
    "omap": "!!omap [1]",
    "a merge": "{<<: 3}",
}


class Runs:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


def _blocks(depth: int) -> str:
    return "".join(" " * level + "a:\n" for level in range(depth))


def _yaml() -> Iterator[tuple[str, bytes | str]]:
    for name, value in VALUES.items():
        yield name, f"mesh: {value}\n"
        yield f"{name} as steps", f"steps: {value}\n"
    yield "laughs", BOMB
    yield "laughs as steps", BOMB + "steps: *h\n"
    yield "laughs as distance", BOMB + "distance: [*h, *h]\n"
    yield "merges", MERGES
    yield "deep blocks", _blocks(3000)
    yield "deep dashes", "- " * 100_000
    yield "bad UTF-8", b"mesh: \xff\xfe\n"
    yield "NULs", bytes(1000)
    yield "nothing", ""
    yield "a word", "mesh"
    yield "a number as a name", "7: 8\n"
    yield "a list as a name", "? [a, b]\n: 1\n"
    yield "tabs", "\tmesh: a\n"
    yield "a directive", "%YAML 9.9\n---\nmesh: a\n"
    yield "tags", "!" * 100_000
    yield "many anchors", "".join(f"a{i}: &a{i} 1\n" for i in range(50_000))


TABLES = {
    "no rows": "mesh,style\n",
    "nothing": "",
    "NULs": "mesh,style\na\0,b\n",
    "a long cell": "mesh,style\n" + "x" * 1_000_000 + ",b\n",
    "an open quote": 'mesh,style\n"a,b\n',
    "too many cells": "mesh\na,b,c\n",
    "many columns": ",".join(f"c{i}" for i in range(20_000)) + "\n1\n",
    "two of a name": "mesh,mesh\na,b\n",
    "a long number": "mesh,style,steps\na.obj,a.png," + "9" * 5000 + "\n",
    "nan": "mesh,style,distance\na.obj,a.png,nan nan\n",
    "an open quote in a cell": "mesh,style\na.obj,'a\n",
    "a formula": "mesh,style\n=cmd|calc,b\n",
    "no header": "\n\n\n",
    "a path out": "mesh,style,name\na.obj,a.png,../../x\n",
    "a device": "mesh,style\n/dev/zero,/dev/zero\n",
}


def _weights() -> Iterator[tuple[str, Callable[[Path], Path]]]:
    tensor = torch.zeros(4, 4)
    header = json.dumps({"a": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(64)
    for length, start in cuts(whole, [0, 4, 8, 9, 20, len(header), 8 + len(header), len(whole) - 1]):
        yield f"safetensors cut at {length}", file_of("a.safetensors", start)
    for size in (2**63, 2**64 - 1, 0, 10**8):
        yield (
            f"safetensors with a header of {size}",
            file_of("a.safetensors", struct.pack("<Q", size) + header + bytes(64)),
        )
    for name, entry in {
        "shape": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 64]},
        "offsets": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 2**60]},
        "type": {"dtype": "F999", "shape": [4, 4], "data_offsets": [0, 64]},
        "negative": {"dtype": "F32", "shape": [-4, 4], "data_offsets": [-64, 0]},
        "backwards": {"dtype": "F32", "shape": [4, 4], "data_offsets": [64, 0]},
        "text": "x",
    }.items():
        text = json.dumps({"a": entry}).encode()
        yield f"safetensors with odd {name}", file_of("a.safetensors", struct.pack("<Q", len(text)) + text + bytes(64))
    text = b'{"a":' * 100_000
    yield "safetensors nested deep", file_of("a.safetensors", struct.pack("<Q", len(text)) + text)

    def saved(value: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer, **options)
        return buffer.getvalue()

    good = saved({"a": tensor})
    for length, start in cuts(good, [*shares(good, 8), len(good) - 1, len(good) - 30]):
        yield f"pth cut at {length}", file_of("a.pth", start)
    for name, value in {
        "code": {"a": Runs()},
        "a list": [tensor],
        "no tensors": {"a": 1},
        "nothing": {},
        "a tensor": tensor,
        "None": None,
        "names that are numbers": {1: tensor},
        "a huge view": {"a": torch.zeros(1).expand(2**40)},
        "a module": torch.nn.Linear(2, 2),
        "state_dict of code": {"state_dict": {"a": Runs()}},
        "state_dict of a list": {"state_dict": [tensor]},
        "complex": {"a": tensor.to(torch.complex64)},
        "sparse": {"a": tensor.to_sparse()},
        "meta": {"a": torch.zeros(2**20, 2**20, device="meta")},
    }.items():
        yield f"pth of {name}", file_of("a.pth", saved(value))
        yield f"old pth of {name}", file_of("a.pth", saved(value, _use_new_zipfile_serialization=False))
    yield "a pickle that runs code", file_of("a.pth", pickle.dumps(Runs()))
    yield "a pickle of laughs", file_of("a.pth", pickle.dumps(_laughs(), 2))
    yield "safetensors that is a pickle", file_of("a.safetensors", pickle.dumps(Runs()))
    yield "pth that is text", file_of("a.pth", "hello\n" * 100)
    yield "pth that is a zip bomb", file_of("a.pth", lambda: _inflated(good))


def _inflated(good: bytes) -> bytes:
    """A state dict whose data is compressed, and is much more than it says."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, bytes(300_000_000) if entry.endswith("data/0") else old.read(entry))
    return packed.getvalue()


def _laughs() -> Any:
    value: Any = ["x"] * 10
    for _ in range(12):
        value = [value] * 10
    return {"a": value}


def cases() -> Iterator[Case]:
    for name, text in _yaml():
        yield Case(f"config/{name}", "config", file_of("a.yaml", text))
        row = text if isinstance(text, bytes) else text.replace("mesh:", "- mesh:").replace("steps:", "- steps:")
        yield Case(f"table/{name}.yaml", "table", file_of("a.yaml", row))
    for name, text in TABLES.items():
        yield Case(f"table/{name}.csv", "table", file_of("a.csv", text), ERROR)
    yield Case("table/bad UTF-8.csv", "table", file_of("a.csv", b"mesh\n\xff\n"), ERROR)
    yield Case("table/UTF-16.csv", "table", file_of("a.csv", "mesh\na\n".encode("utf-16")), ERROR)
    for name, make in _weights():
        yield Case(f"weights/{name}", "weights", make, ERROR)
    yield Case("weights/of a name that is none", "weights", lambda folder: folder / "a\0.pth", ERROR)
