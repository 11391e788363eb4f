"""`texopt custom`: an objective of the user's own, in a file."""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path
from typing import Any

from texopt.cli.options.runs import CustomConfig
from texopt.cli.tasks.mesh_task import MeshTask
from texopt.errors import OptionError
from texopt.objectives import Objective, as_objective


class CustomTask(MeshTask):
    """See texopt.cli.tasks.task.Task."""

    config: CustomConfig

    def make_objective(self) -> Objective:
        return load_function(self.config.function)

    def own_error(self, error: Exception) -> OptionError | None:
        return own_error(error, self.config.file) if lines_in(self.config.file, error) else None


def load_function(text: str) -> Objective:
    """The objective FILE.py:FUNCTION; the file is run."""
    name, colon, attribute = text.rpartition(":")
    if not colon or not name.endswith(".py"):
        raise OptionError(f"{text!r} does not name a function; write FILE.py:FUNCTION")
    path = Path(name)
    if not path.is_file():
        raise OptionError(f"{path} does not exist; write FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise own_error(error, path) from None
    value: Any = getattr(module, attribute, None)
    if value is None:
        functions = [key for key, item in vars(module).items() if callable(item) and not key.startswith("_")]
        raise OptionError(f"{path} has no {attribute!r}; it has {', '.join(functions) or 'no functions'}")
    return as_objective(value)


def lines_in(path: Path, error: Exception) -> list[int | None]:
    """The lines of a file that an error came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]


def own_error(error: Exception, path: Path) -> OptionError:
    """What went wrong in a user's file, in one line."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else lines_in(path, error)
    where = f", line {lines[-1]}" if lines and lines[-1] else ""
    reason = str(error).strip().split("\n")[0]
    return OptionError(f"{path}{where}: {type(error).__name__}: {reason}; mend it")
