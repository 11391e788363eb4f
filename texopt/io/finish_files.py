"""Finishes as files beside an exported texture, and what an MTL says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from texopt.errors import OptionError
from texopt.io.export_names import finish_files
from texopt.io.finish_maps import NORMALS, finish_pngs, number_of
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh


@dataclass(frozen=True, eq=False)
class FinishFiles:
    """A finish, and the files of those of its maps that are more than a number: paths and contents by FINISHES."""

    finish: Finish
    paths: dict[str, Path]
    contents: dict[str, bytes]
    normals: str = "opengl"

    def files(self) -> dict[Path, bytes]:
        return {self.paths[kind]: data for kind, data in self.contents.items()}

    def statements(self) -> dict[str, str]:
        """What an MTL says of it: by keyword the name of a file, or a number.

        Normals have two keywords. three.js and assimp read `norm`, and take map_bump for heights or leave it for norm;
        Godot reads only map_bump, in lower case and without options, as normals. So does Blender, but makes them of
        strength 0 where no option -bm says else, and takes the file for sRGB either way: with -bm it would show
        wrong normals instead of none.
        """
        found: dict[str, str] = {}
        if "normal" in self.contents:
            found |= dict.fromkeys(("norm", "map_bump"), self.paths["normal"].name)
        for kind, key in (("roughness", "Pr"), ("metallic", "Pm")):
            if kind in self.contents:
                found |= {key: "1", f"map_{key}": self.paths[kind].name}
            else:
                found[key] = number_of(getattr(self.finish, kind))
        return found


def chosen_finishes(mesh: Mesh, finishes: Sequence[Finish | None]) -> dict[int, Finish]:
    """The new finishes, by map, of those that are optimised and have one. OptionError for another number of them."""
    if finishes and len(finishes) != len(mesh.maps):
        raise OptionError(f"finishes are one a map or none at all: {len(mesh.maps)}, not {len(finishes)}")
    given = {index: finish for index, finish in enumerate(finishes) if finish is not None}
    return {index: finish for index, finish in given.items() if not mesh.maps[index].kept}


def files_of_finishes(
    mesh: Mesh, textures: dict[int, Path], finishes: dict[int, Finish], normals: str = "opengl"
) -> dict[int, FinishFiles]:
    """The files of finishes beside textures, by map.

    Of a set of UDIM tiles of which some have a new finish all have files: where there is no new one of their own one,
    or of what a surface is where nothing is said.

    normals: as of texopt.io.finish_maps.finish_pngs. OptionError where they are none.
    """
    if normals not in NORMALS:
        raise OptionError(f"normals are {' or '.join(NORMALS)}, not {normals!r}")
    paths = finish_files(mesh, textures)
    tiles = {tile[0] for tile in (mesh.maps[index].tile for index in finishes) if tile}
    found = {}
    for index in textures:
        texture = mesh.maps[index]
        tiled = texture.tile is not None and texture.tile[0] in tiles
        if index in finishes or tiled:
            finish = finishes.get(index) or texture.finish or Finish()
            found[index] = FinishFiles(finish, paths[index], finish_pngs(finish, normals, whole=tiled), normals)
    return found
