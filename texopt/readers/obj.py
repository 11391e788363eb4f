"""OBJ with its materials."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import ImageError
from texopt.images import inside, load_alpha, load_image
from texopt.obj import MtlMaterial, read_mtl, read_obj
from texopt.readers.raw import GREY, Material, RawMesh

log = logging.getLogger("texopt")

UDIM = re.compile(r"<UDIM>|(?<![0-9])1[0-9]{3}(?=\.[A-Za-z0-9]+$)")  # in a texture's name; tiles are 1001 to 1999


def find(name: str, *folders: Path) -> Path | None:
    """A file that a mesh names, in one of its folders or below; where it is elsewhere, its bare name there."""
    relative = Path(name.replace("\\", "/"))
    for folder in folders:
        if (folder / relative).is_file() and inside(folder / relative, folders[-1]):
            return folder / relative
    for folder in folders:
        if (folder / relative.name).is_file() and inside(folder / relative.name, folders[-1]):
            if len(relative.parts) > 1:
                log.info("%s: taking %s beside the mesh instead", name, relative.name)
            return folder / relative.name
    return None


def _textured(folder: Path, material: str, mtl: MtlMaterial, name: str, files: list[Path]) -> Material:
    found = find(name, mtl.folder or folder, folder)
    if found is None:
        raise ImageError(
            f"material {material!r} names the texture {name!r}, which is not in {folder}; "
            "put it there or remove its map_Kd line"
        )
    files.append(found)
    return Material((1.0, 1.0, 1.0), np.array(load_image(found)), load_alpha(found))


def tile_of(uvs: np.ndarray) -> np.ndarray:
    """UDIM tiles of triangles by their corners' UVs [F,3,2]: 1001 + column + 10 row."""
    column, row = np.floor(uvs.mean(1)).astype(np.int64).T
    return np.asarray(1001 + column.clip(0, 9) + 10 * row.clip(0, 99))


def _is_udim(name: str, folder: Path, mtl: MtlMaterial, uvs: np.ndarray) -> bool:
    """Whether a texture's name stands for tiles: <UDIM>, or one of several numbered files, with UVs in several."""
    if not UDIM.search(name) or not len(uvs):
        return False
    return "<UDIM>" in name or any(
        find(UDIM.sub(str(tile), name), mtl.folder or folder, folder) for tile in np.unique(tile_of(uvs)) if tile > 1001
    )


def read(path: Path) -> RawMesh:
    """An OBJ file. A material with UDIM tiles becomes one a tile, named NAME.1001 and so on."""
    obj = read_obj(path)
    files = [path]
    known: dict[str, MtlMaterial] = {}
    for library in obj.libraries:
        # a name may contain spaces, and a line may name several libraries: as a whole first, then word by word
        names = [library] if find(library, path.parent) else library.split()
        for name in names:
            if found := find(name, path.parent):
                known |= read_mtl(found)
                files.append(found)
            else:
                log.warning("%s: the material library %s is missing, its materials are taken as grey", path.name, name)
    loaded: dict[tuple[Any, ...], Material] = {}  # materials with one texture share it
    materials: list[Material] = []
    names = []
    face_material = np.zeros(len(obj.corners), np.int64)

    def add(name: str, mtl: MtlMaterial, texture: str | None, faces: np.ndarray) -> None:
        face_material[faces] = len(materials)
        names.append(name)
        if texture is None:
            white = obj.colors is not None
            materials.append(Material((1.0, 1.0, 1.0) if white else mtl.color))
            return
        key = (texture, mtl.folder)
        if key not in loaded:
            loaded[key] = _textured(path.parent, name, mtl, texture, files)
        materials.append(loaded[key])

    for index, name in enumerate(obj.material_names):
        mtl = known.get(name, MtlMaterial(GREY))
        faces = np.flatnonzero(obj.triangle_material == index)
        corners = obj.corners[faces, :, 1]
        uvs = obj.uvs[corners] if len(obj.uvs) and (corners >= 0).all() else np.zeros((0, 3, 2))
        if mtl.texture is not None and _is_udim(mtl.texture, path.parent, mtl, uvs):
            tiles = tile_of(uvs)
            for tile in np.unique(tiles):
                add(f"{name}.{tile}", mtl, UDIM.sub(str(tile), mtl.texture), faces[tiles == tile])
        else:
            add(name, mtl, mtl.texture, faces)
    obj.materials = known
    return RawMesh(
        obj.vertices, obj.corners[:, :, 0], obj.uvs, obj.corners[:, :, 1], obj.normals, obj.corners[:, :, 2],
        materials, names, face_material, tuple(files), obj.colors, obj.object_names, obj.triangle_object, source=obj,
    )  # fmt: skip
