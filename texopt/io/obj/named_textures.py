"""The textures that the materials of an OBJ file name, of all channels, whether texopt reads them or not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from texopt.io.named_files import find_all
from texopt.io.obj.mtl import MtlMaterial


def named_textures(materials: Iterable[MtlMaterial], folder: Path) -> list[Path]:
    """The files of all textures that there are; of a set of UDIM tiles all tiles.

    folder: the mesh's own, which textures are looked for in after that of their MTL.
    """
    names: dict[Path, dict[str, None]] = {}  # by the folder of their MTL
    for material in materials:
        in_library = names.setdefault(material.folder or folder, {})
        in_library |= {name: None for statement in material.maps.values() for name, _ in statement.names}
    return [file for library, named in names.items() for file in find_all(named, library, folder)]
