# SPDX-License-Identifier: GPL-3.0-or-later
"""Where texopt is, and the command line of a run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WINDOWS = sys.platform == "win32"


class UserError(Exception):
    """What the user has to know, in one line: what is wrong, and what to do."""


def python_of(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if WINDOWS else "bin/python")


def find_command(preferred: str, environment: Path) -> list[str]:
    """The command that starts texopt: the preferred one, that of the extension's own environment, or the one on PATH.

    preferred: texopt's path, or that of a Python in which it is installed; "" for none. UserError where there is none.
    """
    if preferred:
        program = shutil.which(os.path.expanduser(preferred))
        if program is None:
            raise UserError(f"{preferred} is no program; correct the command in texopt's preferences, or clear it")
        is_python = Path(program).stem.lower().startswith(("python", "pypy"))
        return [program, "-m", "texopt"] if is_python else [program]
    own = python_of(environment)
    if own.is_file():
        return [str(own), "-m", "texopt"]
    found = shutil.which("texopt")
    if found is None:
        raise UserError("texopt is not installed; press Install in texopt's preferences, or name its command there")
    return [found]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What texopt is asked for. regions: the part for each painting, or nothing. Numbers that are None are texopt's."""

    meshes: Sequence[Path]
    paintings: Sequence[Path]
    out: Path
    regions: Sequence[str] = ()
    only: str = ""
    mask: str = ""
    cameras: Path | None = None
    preset: str = "standard"
    strength: float = 0.5
    style_scale: float = 1.1
    texture_size: int | None = None
    keep_colors: bool = False
    seed: int = 0
    more: str = ""

    def arguments(self) -> list[str]:
        """Of `texopt`. UserError where `more` is no command line."""
        a_set = ["--style"] if len(self.meshes) > 1 else []
        given = [*self.meshes, *a_set, *self.paintings]
        given += ["--out", self.out, "--format", "png", "--preset", self.preset, "--seed", self.seed]
        given += ["--strength", f"{self.strength:.6g}", "--style-scale", f"{self.style_scale:.6g}"]
        given += ["--texture-size", self.texture_size] if self.texture_size else []
        given += ["--keep-colors"] if self.keep_colors else []
        given += ["--only", self.only] if self.only else []
        given += ["--mask", self.mask] if self.mask else []
        given += ["--views-from", self.cameras, "--close-ups", 0] if self.cameras else []
        given += ["--where", *self.regions] if self.regions else []
        try:
            given += shlex.split(self.more)
        except ValueError as error:
            raise UserError(f"the further options cannot be read ({error}); correct them") from None
        return ["style", *map(str, given), "--remote"]


def regions(parts: Sequence[str]) -> list[str]:
    """The part for each painting; one "" among them means all else. None where no painting has a part.

    UserError where several paintings have none beside some that have one.
    """
    named = [part for part in parts if part]
    if not named:
        return []
    if len(parts) - len(named) > 1:
        raise UserError("several paintings have no material; choose one for each but at most one, which has the rest")
    if len(parts) == 1:
        raise UserError("one painting with a material of its own leaves the others without; set Materials to Active")
    return [part or f"not {','.join(named)}" for part in parts]
