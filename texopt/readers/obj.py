"""OBJ with its materials."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from texopt.errors import ImageError, MeshError
from texopt.images import inside
from texopt.mtl import MtlMaterial, read_mtl
from texopt.obj import read_obj
from texopt.readers.raw import GREY, Material, RawMesh, check_materials, textured

log = logging.getLogger("texopt")

MOST_LIBRARIES = 256  # each is looked for in several folders
LONGEST_NAME = 4096  # characters of a path, as on Linux

UDIM = re.compile(r"<UDIM>|(?<![0-9])1[0-9]{3}(?=\.[A-Za-z0-9]+$)")  # in a texture's name; tiles are 1001 to 1999
_PLACED = re.compile(r"\s-([sot])((?:\s+[-+]?[0-9]+\.?[0-9]*)+)")  # options that scale and move a texture


def _places(name: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """Where a file may be that a mesh names, the likeliest folder first; no more is listed than is asked for."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    named = (folder.joinpath(*parts[start:-1]) for start in range(len(parts)) for folder in folders)
    below = (entry for folder in folders for entry in sorted(folder.glob("*")) if entry.is_dir())
    return (place for place in chain(named, below) if place.is_dir() and inside(place, folders[-1]))


def find(name: str, *folders: Path) -> Path | None:
    """A file that a mesh names, in one of its folders or below; where it is not there, one of its bare name that is.

    Nothing outside of the last folder is found, whatever links there are.
    """
    if len(name) > LONGEST_NAME:
        return None
    try:
        bare = PurePosixPath(name.replace("\\", "/")).name
        exact = (place / bare for place in _places(name, folders))
        listed = (path for place in _places(name, folders) for path in sorted(place.glob("*")))
        alike = (path for path in listed if path.name.lower() == bare.lower())
        return next((path for path in chain(exact, alike) if path.is_file() and inside(path, folders[-1])), None)
    except (OSError, ValueError):  # a name that no file can have
        return None


def _found(name: str, *folders: Path) -> Path | None:
    """As find, saying where it is if it is elsewhere."""
    found = find(name, *folders)
    if found is not None and not any(folder / name.replace("\\", "/") == found for folder in folders):
        log.info("%s: taking %s in the mesh's folder instead", name, found.relative_to(folders[-1]))
    return found


def udim_tiles(name: str, *folders: Path) -> dict[int, Path]:
    """The files of a UDIM texture by tile; none where its name has no place for the tile's number."""
    if len(name) > LONGEST_NAME:
        return {}
    around = UDIM.split(PurePosixPath(name.replace("\\", "/")).name)
    if len(around) != 2:
        return {}
    pattern = re.compile("(1[0-9]{3})".join(map(re.escape, around)), re.IGNORECASE)
    try:
        for place in _places(name, folders):
            named = [(pattern.fullmatch(path.name), path) for path in sorted(place.glob("*"))]
            if found := {int(match[1]): path for match, path in named if match and inside(path, folders[-1])}:
                return found
    except (OSError, ValueError):  # a name that no file can have
        pass
    return {}


def tile_of(uvs: np.ndarray) -> np.ndarray:
    """UDIM tiles of triangles by their corners' UVs [F,3,2]: 1001 + column + 10 row."""
    column, row = np.floor(uvs.clip(-1, 100).mean(1)).astype(np.int64).T
    return np.asarray(1001 + column.clip(0, 9) + 10 * row.clip(0, 99))


class _Materials:
    """The materials of an OBJ file, one after another; those with one texture file share it."""

    def __init__(self, folder: Path, white: bool, lenient: bool = False) -> None:
        self.folder, self.white, self.lenient = folder, white, lenient
        self.materials: list[Material] = []
        self.names: list[str] = []
        self.files: list[Path] = []
        self.loaded: dict[tuple[Path, tuple[str, int] | None], Material] = {}
        self.sets: dict[Path, str] = {}  # of UDIM tiles: the material that each is named after, by its first file

    def add(self, name: str, mtl: MtlMaterial) -> None:
        """One without a texture, or with one."""
        if mtl.texture is None:
            self._append(name, Material((1.0, 1.0, 1.0) if self.white else mtl.color))
            return
        try:
            found = _found(mtl.texture, mtl.folder or self.folder, self.folder)
            if found is None:
                raise self._missing(name, mtl.texture)
            self._append(name, self._load(found))
        except ImageError as error:
            if not self.lenient:
                raise
            self._append(name, Material(mtl.color, problem=str(error)))

    def add_tile(self, name: str, mtl: MtlMaterial, files: dict[int, Path], tile: int) -> None:
        """One tile of one with UDIM tiles."""
        if tile not in files:
            raise self._missing(name, UDIM.sub(str(tile), mtl.texture or ""))
        named_after = self.sets.setdefault(files[min(files)], name)
        self._append(f"{name}.{tile}", self._load(files[tile], (named_after, tile)))

    def _append(self, name: str, material: Material) -> None:
        self.names.append(name)
        self.materials.append(material)

    def _load(self, path: Path, tile: tuple[str, int] | None = None) -> Material:
        key = path.resolve(), tile
        if key not in self.loaded:
            self.files.append(path)
            self.loaded[key] = textured(path, tile=tile)
        return self.loaded[key]

    def _missing(self, name: str, texture: str) -> ImageError:
        return ImageError(
            f"material '{name}' names the texture '{texture}', which is not in {self.folder}; "
            "put it there or remove its map_Kd line"
        )


def _libraries(names: list[str], path: Path, files: list[Path]) -> dict[str, MtlMaterial]:
    """The materials of all libraries; the files are added to `files`."""
    known: dict[str, MtlMaterial] = {}
    named = 0
    for library in dict.fromkeys(names):
        # a name may contain spaces, and a line may name several libraries: as a whole first, then word by word
        words = [library] if find(library, path.parent) else [*dict.fromkeys(library.split())]
        for name in words:
            named += 1
            if named > MOST_LIBRARIES:
                raise MeshError(f"{path} names more than {MOST_LIBRARIES} material libraries; mend the file")
            if found := _found(name, path.parent):
                known |= read_mtl(found)
                files.append(found)
            else:
                log.warning("%s: the material library %s is missing, its materials are taken as grey", path.name, name)
    return known


def _is_placed(line: str) -> bool:
    """Whether a line of an MTL scales or moves the colour's texture."""
    if not line.lstrip().lower().startswith("map_kd"):
        return False
    options = _PLACED.findall(line)
    return any(float(number) != (kind == "s") for kind, numbers in options for number in numbers.split())


def _bare(name: str | None) -> str:
    return PurePosixPath((name or "").replace("\\", "/")).name.lower()


def _tiles_of(mtl: MtlMaterial, known: dict[str, MtlMaterial], folder: Path, used: set[int]) -> dict[int, Path] | None:
    """The files of a material's UDIM tiles, of which faces use some; None where its texture is a single one.

    That is one of <UDIM> in its name, or one of several numbered files. A texture that repeats may have a number, too:
    such files stand for tiles only where there are several, UVs reach them, and no other material names them.
    """
    if mtl.texture is None:
        return None
    found = udim_tiles(mtl.texture, mtl.folder or folder, folder)
    if not found and "<UDIM>" not in mtl.texture:
        return None
    if "<UDIM>" in mtl.texture:
        return found
    others = {_bare(other.texture) for other in known.values() if other.texture != mtl.texture}
    several = len(found) > 1 and not others & {path.name.lower() for path in found.values()}
    return found if several and (used & found.keys()) - {1001} else None


def read(path: Path, lenient: bool = False) -> RawMesh:
    """An OBJ file. A material with UDIM tiles becomes one a tile, named NAME.1001 and so on.

    ImageError where a texture cannot be read, unless `lenient`: then its material has that as its problem.
    """
    obj = read_obj(path)
    check_materials(path, len(obj.material_names))
    files = [path]
    obj.materials = _libraries(obj.libraries, path, files)
    colored = obj.colors is not None and bool((obj.colors[obj.corners[:, :, 0]] < 1).any())
    made = _Materials(path.parent, colored, lenient)
    face_material = np.zeros(len(obj.corners), np.int64)
    for index, name in enumerate(obj.material_names):
        faces = np.flatnonzero(obj.triangle_material == index)
        if not len(faces):
            continue
        mtl = obj.materials.get(name) or MtlMaterial(GREY)
        if obj.materials and name and name not in obj.materials:
            log.warning("%s: no material library has %r; it is taken as grey", path.name, name)
        if any(map(_is_placed, mtl.lines)):
            log.warning("%s, %s: UVs are taken as they are, without -s, -o and -t of map_Kd", path.name, name)
        corners = obj.corners[faces, :, 1]
        complete = (
            mtl.texture is not None
            and len(obj.uvs) > 0
            and bool((corners >= 0).all() and np.isfinite(obj.uvs[corners]).all())
        )
        tile = tile_of(obj.uvs[corners]) if complete else np.zeros(len(faces), np.int64)
        tiles = _tiles_of(mtl, obj.materials, path.parent, set(tile.tolist()))
        if tiles is None:
            face_material[faces] = len(made.names)
            made.add(name, mtl)
            continue
        if not complete:
            raise MeshError(f"{path}: material {name!r} has UDIM tiles and faces without UVs; give them some")
        for number in np.unique(tile).tolist():
            face_material[faces[tile == number]] = len(made.names)
            made.add_tile(name, mtl, tiles, number)
    return RawMesh(
        obj.vertices, obj.corners[:, :, 0], obj.uvs, obj.corners[:, :, 1], obj.normals, obj.corners[:, :, 2],
        made.materials, made.names, face_material, (*files, *made.files), obj.colors if colored else None,
        obj.object_names, obj.triangle_object, source=obj,
    )  # fmt: skip
