"""The textures that the materials of an OBJ file name, of all channels, whether texopt reads them or not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from texopt.io.named_files import find, udim_tiles
from texopt.io.obj.mtl import MtlMaterial


def named_textures(materials: Iterable[MtlMaterial], folder: Path) -> list[Path]:
    """The files of all textures that there are, each once; of a set of UDIM tiles all tiles.

    folder: the mesh's own, which textures are looked for in after that of their MTL.
    """
    names = dict.fromkeys(
        (name, material.folder or folder)
        for material in materials
        for statement in material.maps.values()
        for name, _ in statement.names
    )
    found: dict[Path, None] = {}
    for name, library in names:
        if file := find(name, library, folder):
            found[file] = None
        found |= dict.fromkeys(udim_tiles(name, library, folder).values())
    return list(found)
