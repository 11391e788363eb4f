"""Read the rows of a table, CSV or YAML, and what its cells say."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from texopt.cli.options.saved import as_kind
from texopt.errors import OptionError

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def from_text(kind: Any, text: str) -> Any:
    """What a cell says, as one of a field's type: as on the command line. ValueError where it is none."""
    if isinstance(kind, UnionType):
        return from_text(get_args(kind)[0], text)
    if get_origin(kind) is tuple:
        if get_args(kind)[0] is Path and os.path.isfile(text):  # one file whose name has spaces
            return (Path(text),)
        kinds, parts = get_args(kind), _parts(text)
        return as_kind(kind, [from_text(kinds[0], part) if kinds[0] is not Path else part for part in parts])
    if get_origin(kind) is Literal:
        return as_kind(kind, {str(one): one for one in get_args(kind)}.get(text))
    if kind is bool:
        return as_kind(kind, _BOOLEANS.get(text.lower()))
    return kind(text)


def _parts(text: str) -> list[str]:
    """The words of a cell; quotes keep one with spaces together. A backslash is a letter, as in paths of Windows."""
    words = shlex.shlex(text, posix=True)
    words.whitespace_split, words.escape, words.commenters = True, "", ""
    return list(words)


def from_value(kind: Any, value: Any) -> Any:
    """A value of a YAML table as one of a field's type; one alone stands for a list of one."""
    if get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis and not isinstance(value, list):
        value = [value]
    return as_kind(kind, value)


def option_name(text: Any) -> str:
    """The option that a column is named after, or --set names: --texture-size is texture_size."""
    return str(text).strip().lstrip("-").replace("-", "_").lower()


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any], Callable[[Any, Any], Any]]]:
    """(what to call it in messages, its values, how they are converted) of every job."""
    ending = path.suffix.lower()
    if ending in (".yaml", ".yml"):
        return ((f"{path}, job {number}", row, from_value) for number, row in _yaml_rows(path))
    try:
        if not os.path.isfile(path):
            raise OSError("it does not exist or is no regular file")
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or error
        raise OptionError(f"{path} cannot be read ({reason}); give a table of jobs, .csv or .yaml") from None
    if ending == ".csv":
        return ((f"{path}, row {number}", row, from_text) for number, row in _csv_rows(path, text))
    raise OptionError(f"{path} is no table of jobs; its ending has to be .csv or .yaml")


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by their number in a spreadsheet, in which the header is the first."""
    head = text.split("\n", 1)[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    try:
        names = [option_name(cell) for cell in next(lines, [])]
        if doubles := {name for name in names if name and names.count(name) > 1}:
            raise OptionError(f"{path} has two columns {min(doubles)!r}; remove one")
        for number, cells in enumerate(lines, 2):
            filled = {index: cell.strip() for index, cell in enumerate(cells) if cell.strip()}
            if any(index >= len(names) or not names[index] for index in filled):
                raise OptionError(f"{path}, row {number} has more cells than the header; quote what has commas in it")
            if filled:
                yield number, {names[index]: cell for index, cell in filled.items()}
    except csv.Error as error:
        raise OptionError(f"{path}, row {lines.line_num} cannot be read ({error}); save the table again") from None


def _yaml_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    from texopt.system.yaml import read_yaml

    table = read_yaml(path, str(path))
    defaults: Any = {}
    if isinstance(table, dict):
        if unknown := set(table) - {"defaults", "jobs"}:
            raise OptionError(
                f"{path} has {min(map(str, unknown))!r}; it can have defaults and jobs, or be a list of jobs"
            )
        defaults, table = table.get("defaults") or {}, table.get("jobs")
    if not isinstance(table, list) or not isinstance(defaults, dict):
        raise OptionError(f"{path} is no list of jobs; write `- mesh: ...` for each, or `jobs:` above them")
    for number, row in enumerate(table, 1):
        if not isinstance(row, dict):
            raise OptionError(f"{path}, job {number} is no mapping of options; write `- mesh: ...`")
        values = {option_name(name): value for name, value in (defaults | row).items()}
        yield number, {name: value for name, value in values.items() if value is not None}
