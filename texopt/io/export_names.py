"""Names of the files of an export."""

from __future__ import annotations

import re
from pathlib import Path

from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap

FINISHES = ("normal", "roughness", "metallic", "height")  # the maps of a finish, as their files end
LONGEST = 80  # characters of a material's name; a file's ends at 255 bytes


def safe_name(name: str) -> str:
    """A name as part of a file name that every program reads: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:LONGEST] or "material"


def line_name(name: str) -> str:
    """A name as lines of OBJ and MTL can have it: no line ends, no backslash at its end, which would join the next."""
    return " ".join(name.split()).rstrip("\\ ")


def stem_beside(path: Path) -> str:
    """The stem of the files beside an OBJ: its own, so that a line can name them.

    A backslash would be a folder's, a dash at the beginning an option's, <UDIM> a set's, and double spaces get lost.
    """
    return " ".join(re.sub(r"[\\<>]", "_", path.stem).split()).lstrip("- ") or "textured"


def library_file(path: Path) -> Path:
    """The MTL beside an OBJ."""
    return path.with_name(f"{stem_beside(path)}.mtl")


def kept_texture(texture: TextureMap, path: Path) -> Path | None:
    """The texture beside an OBJ of a map that is kept, from a file of another format; None where it is a colour."""
    if not texture.kept or texture.original.size <= 3:
        return None
    return path.with_name(f"{stem_beside(path)}_{safe_name(texture.name)}.png")


def texture_files(mesh: Mesh, path: Path) -> dict[int, Path]:
    """The texture beside `path` of every map that is optimised: NAME.png if it is one, else NAME_MATERIAL.png.

    UDIM tiles are NAME_MATERIAL.1001.png and so on, as other tiles of theirs may be kept.
    """
    if len(mesh.optimized) == 1 and mesh.maps[mesh.optimized[0]].tile is None:
        return {mesh.optimized[0]: path.with_name(f"{stem_beside(path)}.png")}
    sets: dict[tuple[str, int], dict[int, str]] = {}  # what one name stands for: the ending of every map
    for index in mesh.optimized:
        name, number = mesh.maps[index].tile or (mesh.maps[index].name, 0)
        ending = f".{number}.png" if number else ".png"
        sets.setdefault((name, 0 if number else index + 1), {})[index] = ending
    taken: set[str] = set()
    files: dict[int, Path] = {}
    for (name, _), endings in sets.items():
        chosen = stem = f"{stem_beside(path)}_{safe_name(name or 'textured')}"
        number = 1
        while any((chosen + ending).lower() in taken for ending in endings.values()):
            number += 1
            chosen = f"{stem}_{number}"
        taken |= {(chosen + ending).lower() for ending in endings.values()}
        files |= {index: path.with_name(chosen + ending) for index, ending in endings.items()}
    return files


def finish_files(mesh: Mesh, textures: dict[int, Path]) -> dict[int, dict[str, Path]]:
    """The files of finishes beside textures, by map and by FINISHES: STEM_normal.png and so on.

    Of UDIM tiles they are STEM_normal.1001.png and so on. textures: the file of every map that is optimised.
    """
    taken = {path.name.lower() for path in textures.values()}
    stems: dict[Path, dict[int, str]] = {}  # of tiles together: the ending of every map
    for index, path in textures.items():
        tile = mesh.maps[index].tile
        number = f".{tile[1]}" if tile and path.stem.endswith(f".{tile[1]}") else ""
        stem = path.with_name(path.stem[: len(path.stem) - len(number)])
        stems.setdefault(stem, {})[index] = f"{number}.png"
    files: dict[int, dict[str, Path]] = {}
    for stem, endings in stems.items():
        chosen, count = stem.name, 1
        while taken & {f"{chosen}_{kind}{ending}".lower() for kind in FINISHES for ending in endings.values()}:
            count += 1
            chosen = f"{stem.name}_{count}"
        for index, ending in endings.items():
            files[index] = {kind: stem.with_name(f"{chosen}_{kind}{ending}") for kind in FINISHES}
            taken |= {file.name.lower() for file in files[index].values()}
    return files
