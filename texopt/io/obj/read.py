"""OBJ with its materials."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from texopt.errors import ImageError, MeshError
from texopt.io.named_files import UDIM, find_first, udim_tiles
from texopt.io.obj.document import read_obj
from texopt.io.obj.libraries import read_libraries, resolved
from texopt.io.obj.mtl import MtlMaterial
from texopt.io.obj.named_textures import named_textures
from texopt.io.obj.read_finish import Finishes
from texopt.io.raw import Material, RawMesh, check_materials, textured
from texopt.io.text import legible
from texopt.mesh.finish import Finish
from texopt.mesh.texture_map import GREY
from texopt.mesh.wrapping import CLAMP, REPEATED, Wrap

log = logging.getLogger("texopt")

LARGEST_UV = 1e9  # beyond it scaled UVs are no better than those that are not finite


def tile_of(uvs: np.ndarray) -> np.ndarray:
    """UDIM tiles of triangles by their corners' UVs [F,3,2]: 1001 + column + 10 row."""
    column, row = np.floor(uvs.clip(-1, 100).mean(1)).astype(np.int64).T
    return np.asarray(1001 + column.clip(0, 9) + 10 * row.clip(0, 99))


class _Materials:
    """The materials of an OBJ file, one after another; those with one texture file share it."""

    def __init__(self, path: Path, white: bool, lenient: bool = False) -> None:
        self.folder, self.white, self.lenient = path.parent, white, lenient
        self.materials: list[Material] = []
        self.names: list[str] = []
        self.files: list[Path] = []
        self.loaded: dict[tuple[Path, tuple[str, int] | None, Wrap], Material] = {}
        self.finishes: list[Finish | None] = []
        self.finish_of = Finishes(path)
        self.sets: dict[Path, str] = {}  # of UDIM tiles: the material that each is named after, by its first file

    def add(self, name: str, mtl: MtlMaterial) -> None:
        """One without a texture, or with one."""
        if mtl.texture is None:
            self._append(name, Material((1.0, 1.0, 1.0) if self.white else mtl.color), mtl)
            return
        try:
            found = find_first((file for file, _ in mtl.texture.names), mtl.folder or self.folder, self.folder)
            if found is None:
                raise self._missing(name, mtl.texture.name)
            self._append(name, self._load(found, wrap=(CLAMP, CLAMP) if mtl.texture.clamped else REPEATED), mtl)
        except ImageError as error:
            if not self.lenient:
                raise
            self._append(name, Material(mtl.color, problem=str(error)), mtl)

    def add_tile(self, name: str, mtl: MtlMaterial, files: dict[int, Path], tile: int) -> None:
        """One tile of one with UDIM tiles."""
        if tile not in files:
            raise self._missing(name, UDIM.sub(str(tile), mtl.texture.name if mtl.texture else ""))
        named_after = self.sets.setdefault(files[min(files)], name)
        self._append(f"{name}.{tile}", self._load(files[tile], (named_after, tile)), mtl, tile)

    def _append(self, name: str, material: Material, mtl: MtlMaterial, tile: int = 0) -> None:
        self.names.append(name)
        self.materials.append(material)
        self.finishes.append(self.finish_of.load(name, mtl, tile))

    def _load(self, path: Path, tile: tuple[str, int] | None = None, wrap: Wrap = REPEATED) -> Material:
        key = path.resolve(), tile, wrap
        if key not in self.loaded:
            if path not in self.files:
                self.files.append(path)
            self.loaded[key] = replace(textured(path, tile=tile), wrap=wrap)
        return self.loaded[key]

    def _missing(self, name: str, texture: str) -> ImageError:
        return ImageError(
            f"material '{name}' names the texture '{texture}', which is not in {self.folder}; "
            "put it there or remove its map_Kd line"
        )


def _bare(mtl: MtlMaterial) -> str:
    return PurePosixPath(mtl.texture.name.replace("\\", "/")).name.lower() if mtl.texture else ""


def _tiles_of(mtl: MtlMaterial, known: dict[str, MtlMaterial], folder: Path, used: set[int]) -> dict[int, Path] | None:
    """The files of a material's UDIM tiles, of which faces use some; None where its texture is a single one.

    That is one of <UDIM> in its name, or one of several numbered files. A texture that repeats may have a number, too:
    such files stand for tiles only where there are several, UVs reach them, and no other material names them.
    """
    if mtl.texture is None:
        return None
    found = udim_tiles(mtl.texture.name, mtl.folder or folder, folder)
    if "<UDIM>" in mtl.texture.name:
        return found
    if not found:
        return None
    others = {_bare(other) for other in known.values() if _bare(other) != _bare(mtl)}
    several = len(found) > 1 and not others & {path.name.lower() for path in found.values()}
    return found if several and (used & found.keys()) - {1001} else None


def _placed(uvs: np.ndarray, mtl: MtlMaterial, where: str) -> np.ndarray | None:
    """UVs [T,2] where a material looks up its texture, as -s and -o of map_Kd say; None where that is where they are.

    The specification has -s expand the picture; all programs that read it multiply UVs with it, so that it shrinks.
    """
    if mtl.texture is None:
        return None
    if mtl.texture.unread:
        log.warning("%s: map_Kd is read without %s", where, " and ".join(mtl.texture.unread))
    scale, offset = mtl.texture.scale, mtl.texture.offset
    with np.errstate(all="ignore"):
        placed = uvs * scale + offset
    placed = np.where(np.abs(placed) < LARGEST_UV, placed, np.nan)
    return placed if (scale != 1).any() or (offset != 0).any() else None


def read(path: Path, lenient: bool = False) -> RawMesh:
    """An OBJ file. A material with UDIM tiles becomes one a tile, named NAME.1001 and so on.

    ImageError where a texture cannot be read, unless `lenient`: then its material has that as its problem.
    """
    obj = read_obj(path)
    check_materials(path, len(obj.material_names))
    files = [path]
    known = read_libraries(obj, files)
    obj.materials = resolved(obj, known)
    colors = None if obj.colors is None else obj.colors.rgb
    colored = colors is not None and bool((colors[obj.corners[:, :, 0]] < 1).any())
    made = _Materials(path, colored, lenient)
    face_material = np.zeros(len(obj.corners), np.int64)
    face_uvs, uvs = obj.corners[:, :, 1].copy(), [obj.uvs]
    for index, key in enumerate(obj.material_names):
        faces = np.flatnonzero(obj.triangle_material == index)
        if not len(faces):
            continue
        mtl = obj.materials.get(key) or MtlMaterial(GREY)
        name = legible(key or mtl.name)
        rows, corners = np.unique(face_uvs[faces], return_inverse=True)
        rows, corners = rows[rows >= 0], corners.reshape(-1, 3) - int(rows[0] < 0)
        shown = obj.uvs[rows]
        placed = _placed(shown, mtl, f"{path.name}, {name}")
        if placed is not None:
            face_uvs[faces] = np.where(corners < 0, -1, corners + sum(map(len, uvs)))
            uvs.append(placed)
            shown = placed
        complete = mtl.texture is not None and bool((corners >= 0).all() and np.isfinite(shown).all())
        tile = tile_of(shown[corners]) if complete else np.zeros(len(faces), np.int64)
        tiles = _tiles_of(mtl, known, path.parent, set(tile.tolist()))
        if tiles is None:
            face_material[faces] = len(made.names)
            made.add(name, mtl)
            continue
        if not complete:
            raise MeshError(f"{path}: material {name!r} has UDIM tiles and faces without UVs; give them some")
        for number in np.unique(tile).tolist():
            face_material[faces[tile == number]] = len(made.names)
            made.add_tile(name, mtl, tiles, number)
    named = named_textures(known.values(), path.parent)  # also those that are not read: an export must not replace them
    read_from = tuple(dict.fromkeys([*files, *made.files, *named]))
    return RawMesh(
        obj.vertices, obj.corners[:, :, 0], np.concatenate(uvs), face_uvs, obj.normals, obj.corners[:, :, 2],
        made.materials, made.names, face_material, read_from, colors if colored else None,
        [*map(legible, obj.object_names)], obj.triangle_object, source=obj, finishes=made.finishes,
    )  # fmt: skip
