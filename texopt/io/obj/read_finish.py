"""The finishes of MTL materials: norm, map_Bump, Pr, map_Pr, Pm and map_Pm.

The keywords are of "Physically based rendering (PBR) extensions" to MTL (Clara.io, 2014), as Blender and others write
them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from texopt.errors import ImageError
from texopt.io.finish_maps import load_map, looks_like_normals, strengthened
from texopt.io.named_files import find_first, udim_tiles
from texopt.io.obj.mtl import MapStatement, MtlMaterial
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish, even, no_relief

log = logging.getLogger("texopt")

BUMP = ("map_bump", "bump")  # which of height by the specification, and of normals by what many programs write
MAPS = ("norm", *BUMP, "map_pr", "map_pm")


class Finishes:
    """The finishes of an OBJ file's materials, and the files that they are read from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = []
        self._images: dict[Path, np.ndarray] = {}
        self._made: dict[str, Finish] = {}

    def load(self, name: str, mtl: MtlMaterial, tile: int = 0) -> Finish | None:
        """The finish of a material, or of one of its UDIM tiles. None where it says nothing of it, where a map is
        looked up elsewhere than map_Kd, and, saying so in a line, where one cannot be read."""
        stated = {key: mtl.maps[key] for key in MAPS if key in mtl.maps}
        if not stated and not mtl.numbers:
            return None
        if any(not _same_place(statement, mtl.texture) for statement in stated.values()):
            return None
        used: dict[str, tuple[Path, float]] = {}  # the file of each, and its strength
        for key, statement in stated.items():
            file = self._file(name, mtl, statement, tile)
            if file is None:
                return None
            if key not in BUMP or ("norm" not in used and looks_like_normals(self._images[file])):
                used["norm" if key in BUMP else key] = file, statement.strength
        if not used and not mtl.numbers:
            return None
        key_of_all = repr((sorted(used.items()), mtl.numbers))
        if key_of_all not in self._made:
            self._made[key_of_all] = self._make(used, mtl.numbers)
        return self._made[key_of_all]

    def _make(self, used: dict[str, tuple[Path, float]], numbers: dict[str, float]) -> Finish:
        def channel(key: str, default: float) -> np.ndarray:
            if f"map_{key}" not in used:
                return even(numbers.get(key, default))
            return np.ascontiguousarray(self._images[used[f"map_{key}"][0]][..., 0])

        normal = no_relief()
        if "norm" in used:
            file, strength = used["norm"]
            normal = strengthened(self._images[file], strength)
        return Finish(normal, channel("pr", ROUGHNESS), channel("pm", METALLIC))

    def _file(self, name: str, mtl: MtlMaterial, statement: MapStatement, tile: int) -> Path | None:
        """The file of an image that a line names; None where there is none, saying so."""
        folders = mtl.folder or self.path.parent, self.path.parent
        names = [file for file, _ in statement.names]
        tiles = [udim_tiles(file, *folders) for file in names] if tile else []
        found = next((files[tile] for files in tiles if tile in files), None) or find_first(names, *folders)
        if found is None:
            self._tell(name, f"{statement.name!r} is not in {self.path.parent}")
            return None
        try:
            if found not in self._images:
                self._images[found] = load_map(found)
                self.files.append(found)
        except ImageError as error:
            self._tell(name, str(error))
            return None
        return found

    def _tell(self, name: str, why: str) -> None:
        log.warning("%s, %s: taken without its relief and roughness: %s", self.path.name, name, why)


def _same_place(statement: MapStatement, texture: MapStatement | None) -> bool:
    """Whether a map is looked up where the texture is; where there is none, where UVs are."""
    texture = texture or MapStatement(())
    same = np.array_equal(statement.scale, texture.scale) and np.array_equal(statement.offset, texture.offset)
    return bool(same and statement.clamped == texture.clamped)
