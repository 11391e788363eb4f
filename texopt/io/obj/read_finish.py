"""The finishes of MTL materials: norm, map_Bump, Pr, map_Pr, Pm and map_Pm.

The keywords are of "Physically based rendering (PBR) extensions" to MTL (Clara.io, 2014), as Blender and others write
them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from texopt.errors import ImageError
from texopt.io.finish_maps import Maps, looks_like_normals, strengthened
from texopt.io.named_files import find_first, udim_tiles
from texopt.io.obj.mtl import MapStatement, MtlMaterial
from texopt.mesh.finish import METALLIC, ROUGHNESS, Finish, even, no_relief

log = logging.getLogger("texopt")

BUMP = ("map_bump", "bump")  # which of height by the specification, and of normals by what many programs write
NORMALS = ("norm", *BUMP)  # the first that is a normal map counts
MAPS = {"norm": "norm", "map_bump": "map_Bump", "bump": "bump", "map_pr": "map_Pr", "map_pm": "map_Pm"}


class Finishes:
    """The finishes of an OBJ file's materials; those of the same maps and numbers are one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images = Maps()
        self._made: dict[str, Finish] = {}
        self._told: set[tuple[str, str]] = set()

    def load(self, name: str, mtl: MtlMaterial, tile: int = 0) -> Finish | None:
        """The finish of a material, or of one of its UDIM tiles. None where it says nothing of it that can be used.

        A map that is looked up elsewhere than map_Kd, or that cannot be read, is left out, which is told in a line.
        """
        used: dict[str, tuple[Path, float]] = {}  # the file of each, and its strength
        for key in MAPS:
            kind = "norm" if key in NORMALS else key
            if key in mtl.maps and kind not in used and (file := self._usable(name, mtl, key, tile)):
                used[kind] = file, mtl.maps[key].strength
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

    def _usable(self, name: str, mtl: MtlMaterial, key: str, tile: int) -> Path | None:
        """The file of a material's map, whose image is read then; None, saying why, where it cannot be used."""
        statement = mtl.maps[key]
        found = self._file(mtl, statement, tile)
        try:
            if found is None:
                raise ImageError(f"{statement.name!r} is not in {self.path.parent}")
            values = self._images.read(found, found)
            if key in NORMALS and not looks_like_normals(values):
                if key in BUMP:  # it is of heights, as the specification has it
                    return None
                raise ImageError(f"{found.name} is no normal map, which is mostly blue")
            if not _same_place(statement, mtl.texture):
                raise ImageError(f"{found.name} is not placed as map_Kd is (-s, -o, -clamp)")
        except ImageError as error:
            self._tell(name, MAPS[key], str(error))
            return None
        return found

    def _file(self, mtl: MtlMaterial, statement: MapStatement, tile: int) -> Path | None:
        """The file of an image that a line names."""
        folders = mtl.folder or self.path.parent, self.path.parent
        names = [file for file, _ in statement.names]
        tiles = [udim_tiles(file, *folders) for file in names] if tile else []
        return next((files[tile] for files in tiles if tile in files), None) or find_first(names, *folders)

    def _tell(self, name: str, what: str, why: str) -> None:
        if (name, why) not in self._told:  # a file may stand for several keywords
            self._told.add((name, why))
            log.warning("%s, %s: taken without its %s: %s", self.path.name, name, what, why)


def _same_place(statement: MapStatement, texture: MapStatement | None) -> bool:
    """Whether a map is looked up where the texture is; where there is none, where UVs are."""
    texture = texture or MapStatement(())
    same = np.array_equal(statement.scale, texture.scale) and np.array_equal(statement.offset, texture.offset)
    return bool(same and statement.clamped == texture.clamped)
