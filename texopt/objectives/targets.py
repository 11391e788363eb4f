"""What to excite, as text: `blocks.4:17 + 0.5*tiger - blocks.2:3@center`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from texopt.errors import OptionError
from texopt.features.extractor import LOGITS
from texopt.objectives import Objective, channel, classified_as, deepdream, direction, logit, neuron

TAKEN = "as"  # the word for a class that something is to be taken for
GRAMMAR = "LAYER:CHANNEL, LAYER:CHANNEL@center, LAYER:CHANNEL@X,Y, LAYER:*, LAYER:VECTOR.npy, a class, as:CLASS"


def parse_target(text: str) -> Objective:
    """The objective that a text names: one of the following, or a sum of some, with a factor (`0.5*`) where it has one.

    LAYER:CHANNEL is a channel, with @center or @X,Y its neuron there; LAYER:* all that a layer sees (DeepDream);
    LAYER:FILE.npy a direction, a vector in a file; anything else an ImageNet class, by number or name, as logit:N.
    as:CLASS is to be taken for a class before all others. Signs of a sum have spaces around them, as names of classes
    may have hyphens in them. OptionError for other texts.
    """
    first, *rest = re.split(r"\s+([+-])\s+", text.strip())
    total = _term(first, text)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        found = _term(term, text)
        total = total + found if sign == "+" else total - found
    return total


def parse_targets(text: str) -> list[Objective]:
    """Targets with commas and spaces between: `tabby, tiger, blocks.4:17@3,4`, one for each image."""
    return [parse_target(part) for part in re.split(r",\s+", text)]


def layers_of(objective: Objective) -> set[str]:
    """The layers whose channels the terms of a target excite, "logits" for classes."""
    named = {term.name.rpartition(":")[0] for term in objective.terms} - {""}
    return {LOGITS if name in ("logit", "class") else name for name in named}


def _term(text: str, whole: str) -> Objective:
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*\*\s*(.+)", text)
    return float(found[1]) * _activation(found[2], whole) if found else _activation(text, whole)


def _activation(text: str, whole: str) -> Objective:
    layer, colon, index = text.rpartition(":")
    if not colon:
        if not text:
            raise OptionError(f"target {whole!r} names nothing; write {GRAMMAR}")
        return logit(text)
    if layer == TAKEN:
        return classified_as(index)
    if index == "*":
        return deepdream(layer)
    if index.endswith(".npy"):
        return direction(layer, _vector(Path(index)).tolist())
    number, at, place = index.partition("@")
    if not number.isdigit():
        raise OptionError(f"target {text!r}: after the colon comes a channel's number, as in blocks.4:17")
    if at and place != "center" and not re.fullmatch(r"\d+,\d+", place):
        raise OptionError(f"target {text!r}: after the @ comes center, or X,Y in cells of the layer")
    if at:
        x, y = (None, None) if place == "center" else map(int, place.split(","))
        return neuron(layer, int(number), x, y)
    return logit(number) if layer == "logit" else channel(layer, int(number))


def _vector(path: Path) -> np.ndarray:
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise OptionError(f"{path} is no vector that numpy.save has written") from None
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind not in "fiu":
        raise OptionError(f"{path} has to hold a vector of numbers, not {getattr(vector, 'shape', 'several arrays')}")
    return vector.astype(np.float32)
