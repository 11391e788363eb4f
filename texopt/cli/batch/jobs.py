"""Read a table of jobs, CSV or YAML, and check all of it before the first job runs."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texopt.cli.batch.table import from_text, option_name, read_rows
from texopt.cli.options.presets import preset_values
from texopt.cli.options.runs import RUNS, RunConfig
from texopt.cli.options.saved import field_values
from texopt.errors import OptionError

OF_THE_BATCH = {"out": "name", "live": "`texopt view`, after it"}  # options that no job has, and what is there instead
NOT_THE_RESULT = {  # options that the same textures come out with
    "out", "live", "port", "host", "threads", "checkpoint_seconds",
}  # fmt: skip
RESERVED = {"report.csv", "report.html", "failed"}  # in the batch's folder
LONGEST, SHORT = 240, 80  # bytes of a name: file systems take 255, and some are for what is put around it; of our own
# what files cannot have in their names somewhere: characters and, on Windows, these ends and names of its devices
_NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_NO_ENDS = ". "


@dataclass(frozen=True)
class Job:
    """One row. name: of its folder. values: all options, as in a config.yaml. inputs: the files that it names."""

    name: str
    command: str
    values: dict[str, Any]
    inputs: tuple[str, ...]

    @property
    def options(self) -> dict[str, Any]:
        """The options that are not the command's defaults, of those that a result depends on."""
        fields = dataclasses.fields(RUNS[self.command])
        defaults = {
            field.name: list(field.default) if isinstance(field.default, tuple) else field.default for field in fields
        }
        return {
            name: value for name, value in self.values.items() if name not in NOT_THE_RESULT and value != defaults[name]
        }  # fmt: skip


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Paths are relative to a folder meanwhile."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def read_jobs(path: Path, given: Sequence[str] = ()) -> list[Job]:
    """The jobs of a table. Paths in it are relative to its folder.

    Args:
        path: .csv, with a header of option names and a job a row; or .yaml: a list of mappings, or a mapping with
            `jobs`, which is one, and `defaults`.
        given: NAME=VALUE, options that hold for every job whatever its row says.

    OptionError for a table that cannot be read, and for the first job that cannot be: of an option that is not there
    or cannot have that value, or of a file that is missing.
    """
    rows = list(read_rows(path))
    if not rows:
        raise OptionError(f"{path} has no jobs in it; write one a row, below a header with the names of options")
    over: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"--set {text!r} sets nothing; write NAME=VALUE")
        over[option_name(name)] = value
    if "name" in over:
        raise OptionError("--set name would be that of every job; give them a column of names")
    found: list[Job] = []
    taken: dict[str, str] = {}
    with _inside(path.resolve().parent):
        for where, row, convert in rows:
            job = _job(where, row, convert, over)
            name, number = job.name, 2
            while _key(name) in taken:
                if "name" in row:
                    raise OptionError(f"{where}: name {name!r} is that of {taken[_key(name)]}, too; change one")
                name, number = f"{job.name}_{number}", number + 1
            taken[_key(name)] = where.rpartition(", ")[2]
            found.append(dataclasses.replace(job, name=name))
    return found


def _key(name: str) -> str:
    """What is the same of names that are one to some file systems."""
    return unicodedata.normalize("NFC", name).casefold()


def _job(where: str, row: dict[str, Any], convert: Callable[[Any, Any], Any], over: dict[str, str]) -> Job:
    command = str((row | over).get("command", "style"))
    if command not in RUNS:
        raise OptionError(f"{where}: command cannot be {command!r}; it can be {', '.join(RUNS)}")
    kind = RUNS[command]
    for option, instead in OF_THE_BATCH.items():
        if option in row or option in over:
            raise OptionError(f"{where}: {option} is no option of a job; take {instead}")
    own = {name: value for name, value in row.items() if name not in ("name", "command", *over)}
    common = {name: value for name, value in over.items() if name != "command"}
    values = field_values(command, own, where, convert) | field_values(command, common, f"{where}, --set", from_text)
    if "preset" in values:
        values = preset_values(values["preset"]) | values
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and not values.get(field.name):
            raise OptionError(f"{where}: {field.name} is missing; `texopt {command}` needs one")
    config = kind(**values)
    inputs = [str(path.resolve()) for path in _inputs(where, config)]
    name = str(row.get("name", ""))
    if not name:
        name = _folder_name(f"{config.mesh.stem}_{config.name()}")
    elif name.casefold() in RESERVED or name != _folder_name(name, LONGEST):
        raise OptionError(f"{where}: name {name!r} cannot be that of a folder; take letters and digits")
    return Job(name, command, config.plain(), tuple(dict.fromkeys(inputs)))


def _folder_name(text: str, longest: int = SHORT) -> str:
    """A text as the name of a folder that every system can have; itself, if it is one. longest: in bytes."""
    name = _NO_NAME.sub("-", text).lstrip(".")
    name = name.encode()[:longest].decode(errors="ignore").rstrip(_NO_ENDS)
    return f"_{name}" if _DEVICE.fullmatch(name) else name


def _inputs(where: str, config: RunConfig) -> Iterator[Path]:
    """The files that a job names. OptionError where one is missing."""
    for option, paths in config.files().items():
        for path in paths:
            if not os.path.isfile(path):  # which says no, where Path would raise, for what can be no name
                raise OptionError(f"{where}: {option} {path} is not there; paths are relative to the table")
            yield path
