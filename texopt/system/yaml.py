"""Read YAML that anybody may have written: plain values only, and no more of them than a run or a table can need.
And write some that comes back as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from texopt.errors import OptionError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 20  # levels of nesting
MOST = 1_000_000  # values, those behind aliases counted as often as they are used


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but for text: what does not print is escaped, as line ends of YAML's own (U+0085, U+2028) come back as
    spaces otherwise, and names of files that are no Unicode are !!binary, as libyaml reads no lone surrogates."""

    def represent_text(self, text: str) -> yaml.Node:
        try:
            text.encode()
        except UnicodeEncodeError:
            return self.represent_binary(os.fsencode(text))
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


def yaml_text(values: Any) -> str:
    """YAML of plain values, in their order, that read_yaml reads as the same values."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _check_size(text: str) -> None:
    """ValueError where a text stands for more than it may: a few lines of aliases can stand for billions of values."""
    total, depth = 0, 0
    open_anchors: list[tuple[str | None, int]] = []  # of the collections that an event is in: where they began
    sizes: dict[str | None, int] = {}
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, start = open_anchors.pop()
            sizes[anchor] = total - start
        elif isinstance(event, yaml.AliasEvent):
            total += sizes.get(event.anchor, MOST)  # one that is inside of itself has no end
        elif isinstance(event, yaml.NodeEvent):
            total += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_anchors.append((event.anchor, total - 1))
            else:
                sizes[event.anchor] = 1
        depth = max(depth, len(open_anchors))
        if total >= MOST or depth > DEEPEST:
            raise ValueError("more values than it can need" if total >= MOST else "nested too deep")


def read_yaml(path: Path, what: str) -> Any:
    """The values in a file. OptionError, which calls it `what`, where it cannot be read or is no plain YAML."""
    if not os.path.isfile(path):
        raise OptionError(f"{what} cannot be read (it does not exist or is no regular file); check the path")
    try:
        text = path.read_text(encoding="utf-8-sig")
        _check_size(text)
        return yaml.load(text, LOADER)
    except Exception as error:  # PyYAML's constructors raise whatever the text of a date or a number runs them into
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OptionError(f"{what} cannot be read ({reason}); mend it") from None
