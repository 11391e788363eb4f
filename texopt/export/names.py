"""Names of the files of an export."""

from __future__ import annotations

import re
from pathlib import Path

from texopt.mesh import Mesh


def safe_name(name: str) -> str:
    """A name as part of a file name that every program reads: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._") or "material"


def texture_files(mesh: Mesh, path: Path) -> dict[int, Path]:
    """The texture beside `path` of every map that is optimised: NAME.png if it is one, else NAME_MATERIAL.png."""
    if len(mesh.painted) == 1:
        return {mesh.painted[0]: path.with_suffix(".png")}
    files: dict[int, Path] = {}
    taken: set[str] = set()
    for index in mesh.painted:
        name = stem = f"{path.stem}_{safe_name(mesh.maps[index].name)}"
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        files[index] = path.with_name(f"{name}.png")
    return files
