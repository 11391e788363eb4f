"""Options as config.yaml and a checkpoint hold them, and what a run's folder is named after."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from texopt.cli.options.loop import LoopConfig
from texopt.cli.options.runs import CONFIGS
from texopt.errors import OptionError

CONFIG = "config.yaml"  # the last file that a run writes, by which a batch knows that it is complete


def saved(command: str, values: dict[str, Any]) -> str:
    """The text of a config.yaml with what LoopConfig.plain gives."""
    from texopt import __version__
    from texopt.system.yaml import yaml_text

    header = f"# texopt {__version__}; run it again with: texopt {command} --config config.yaml\n"
    return header + yaml_text({"command": command} | values)


def to_yaml(command: str, config: LoopConfig) -> str:
    """The options as YAML, paths made absolute so that it can be run from anywhere."""
    return saved(command, config.plain())


def as_kind(kind: Any, value: Any) -> Any:
    """A value of a YAML file as one of a field's type; ValueError where it is none."""
    if isinstance(value, bytes):  # a name that is no Unicode, as yaml_text writes it
        value = os.fsdecode(value)
    if isinstance(kind, UnionType):  # all of them: something or None
        return None if value is None else as_kind(get_args(kind)[0], value)
    if get_origin(kind) is tuple and isinstance(value, list):
        kinds = get_args(kind)
        if kinds[-1] is Ellipsis:
            return tuple(as_kind(kinds[0], one) for one in value)
        if len(value) == len(kinds):
            return tuple(as_kind(*pair) for pair in zip(kinds, value, strict=True))
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise ValueError


def field_values(
    command: str, values: dict[str, Any], source: str, convert: Callable[[Any, Any], Any] = as_kind
) -> dict[str, Any]:
    """Options as field values. OptionError, which names the source, for one that is not there or of another type.

    convert: (a field's type, what was given) -> the value; ValueError where it is none.
    """
    kinds, converted = get_type_hints(CONFIGS[command]), {}
    for name, value in values.items():
        if name not in kinds:
            raise OptionError(f"{source} has an option {name!r} that `texopt {command}` has not")
        try:
            converted[name] = convert(kinds[name], value)
        except ValueError:
            raise OptionError(
                f"{source}: {name} cannot be {reprlib.repr(value)}; `texopt {command} --help` says what it can"
            ) from None
    return converted


def from_yaml(command: str, path: Path) -> dict[str, Any]:
    """The options in a file that to_yaml wrote, as field values; OptionError where it is none."""
    from texopt.system.yaml import read_yaml

    values = read_yaml(path, f"config {path}")
    if not isinstance(values, dict) or values.pop("command", command) != command:
        raise OptionError(f"config {path} is not one of `texopt {command}`")
    return field_values(command, values, f"config {path}")
