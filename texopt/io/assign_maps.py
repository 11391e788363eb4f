"""Which texture every face of a mesh looks up, and where in it: UVs are kept where they can be, and made elsewhere."""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from texopt.errors import MeshError, OptionError
from texopt.io.raw import TURNED, RawMesh
from texopt.mesh.areas import NO_AREA, areas
from texopt.mesh.texture_map import ATLAS
from texopt.system.images import load_image

log = logging.getLogger("texopt")

Mask = str | os.PathLike[str]  # an image file


@dataclass
class Layout:
    """UVs float64 [T,2], face_uvs int32 [F,3] and face_map int32 [F] of a mesh; what holds of every map."""

    uvs: np.ndarray
    face_uvs: np.ndarray
    face_map: np.ndarray
    names: list[str] = field(default_factory=list)
    own_uvs: list[bool] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    map_of: dict[int, int] = field(default_factory=dict)  # of materials that faces have


def _labels(raw: RawMesh, material: int) -> list[str]:
    """The names that a material goes by: one of several UDIM tiles by that of all of them, too."""
    label = raw.label(material)
    return [label] if raw.materials[material].tile is None else [label, label.rpartition(".")[0]]


def excluded(raw: RawMesh, file: str, only: Sequence[str], skip: Sequence[str]) -> set[int]:
    """Materials that stay as they are: those that no pattern of `only` matches, if there are any, and all of `skip`.

    Patterns are names or have * and ? in them; case does not matter. OptionError where one matches nothing.
    """
    used = raw.used_materials()

    def matching(patterns: Sequence[str]) -> set[int]:
        found = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            wanted = pattern.lower().replace("[", "[[]")  # brackets are no pattern here: many names have them
            hits = {i for i in used if any(fnmatch.fnmatchcase(name.lower(), wanted) for name in _labels(raw, i))}
            if not hits:
                listed = ", ".join(dict.fromkeys(raw.label(index) for index in used))
                raise OptionError(f"{file} has no material {pattern!r}; it has {listed}")
            found |= hits
        return found

    out = (set(used) - matching(only) if only else set()) | matching(skip)
    faces = raw.faces[~np.isin(raw.face_material, list(out))]
    if not len(faces):
        raise OptionError(
            f"{file}: with these materials left out there is nothing to optimise; check --only and --skip"
        )
    if out and not areas(raw.vertices, faces).any():
        raise OptionError(f"{file}: what is to be optimised has no area; check --only and --skip")
    return out


def cannot_show(raw: RawMesh, faces: np.ndarray) -> bool:
    """Whether some faces (a mask) have vertex colours that no texture shows, as their UVs have no area."""
    if raw.tints(np.flatnonzero(faces)) is None or not raw.has_uvs()[faces].all():
        return False
    return bool((areas(raw.uvs, raw.face_uvs[faces]) <= NO_AREA).all())


def assign_maps(raw: RawMesh, file: str, unwrap: bool, kept: set[int]) -> Layout:
    """Which map every face has.

    A material whose faces all have UVs keeps them and has a map of its own, shared only with materials of the same
    texture. The others, with `unwrap` all, share one that is to get new UVs. A material never has faces of two kinds.
    """
    has = raw.has_uvs()
    if ((raw.face_uvs >= 0).all(1) & ~has).any():
        log.warning("%s: UVs that are not finite are ignored", file)
    used = raw.used_materials()
    for material in used:
        faces = raw.face_material == material
        if material not in kept and cannot_show(raw, faces):
            label = f"{file}, {raw.label(material)}"
            log.warning("%s: its UVs have no area and cannot show its vertex colours; it gets new ones", label)
            has[faces] = False
    layout = Layout(raw.uvs, np.where(has[:, None], raw.face_uvs, -1).astype(np.int32), np.zeros(len(has), np.int32))
    keys: dict[Hashable, int] = {}
    for material in used:
        faces = raw.face_material == material
        new = material not in kept and (unwrap or not has[faces].all())
        shared = raw.materials[material].texture is not None and raw.colors is None
        key = ATLAS if new else (id(raw.materials[material]) if shared else material, material in kept)
        if key not in keys:
            keys[key] = len(keys)
            layout.names.append(raw.names[material])
            layout.own_uvs.append(not new)
            layout.kept.append(material in kept)
        elif new:
            layout.names[keys[ATLAS]] = ATLAS
        layout.map_of[material] = keys[key]
        layout.face_map[faces] = keys[key]
    _check_tiles(raw, file, layout)
    return layout


def make_uvs(raw: RawMesh, layout: Layout, file: str, unwrap: bool, padding_size: int) -> None:
    """Give the faces UVs that need some: new ones, or (0,0) where something is kept without, as engines do."""
    from texopt.io.unwrapping.unwrap import unwrap_faces

    new = ~np.array(layout.own_uvs)[layout.face_map]
    has = np.asarray((layout.face_uvs >= 0).all(1))
    columns = [] if new.all() else [raw.uvs]
    if new.any():
        faces = np.flatnonzero(new)
        first = raw.first_shown(faces)  # an object that is shown again shares its texture
        if not unwrap:  # nobody asked for it
            some = "some faces without UVs" if has.any() else "no UVs"
            log.info("%s has %s: making them (%s triangles)", file, some, f"{len(first):,}")
        uvs, face_uvs = unwrap_faces(raw.vertices, raw.faces[first], padding_size)
        layout.face_uvs[first] = face_uvs + sum(map(len, columns))
        copied = layout.face_uvs[raw.copy_of[faces]]
        layout.face_uvs[faces] = np.where(raw.turned[faces, None], copied[:, TURNED], copied)
        columns.append(uvs)
    bare = ~new & ~has
    if bare.any():
        layout.face_uvs[bare] = sum(map(len, columns))
        columns.append(np.zeros((1, 2)))
    layout.uvs = np.concatenate(columns)


def _check_tiles(raw: RawMesh, file: str, layout: Layout) -> None:
    """OptionError where some of a material's UDIM tiles are kept, and the others get new UVs: it has one texture."""
    tiles = [material for material in layout.map_of if raw.materials[material].tile]
    new, old = (
        {_labels(raw, index)[-1] for index in tiles if layout.own_uvs[layout.map_of[index]] is own}
        for own in (False, True)
    )
    if both := new & old:
        raise OptionError(f"{file}: the tiles of {min(both)} are all unwrapped, or none; name all of them, or none")


def load_masks(
    mask: Mask | Mapping[str, Mask] | None, raw: RawMesh, layout: Layout, file: str
) -> dict[int, np.ndarray]:
    """Masks by map, uint8 [h,w]. Errors as of load_mesh."""
    if mask is None:
        return {}
    free = [index for index, kept in enumerate(layout.kept) if not kept]
    named: dict[str, int] = {}
    twice: set[str] = set()
    for material, index in layout.map_of.items():
        if named.setdefault(raw.label(material), index) != index:
            twice.add(raw.label(material))
    maskable = ", ".join(name for name, index in named.items() if index in free)
    if not isinstance(mask, Mapping):
        if len(free) > 1:
            raise OptionError(f"{file} has {len(free)} textures; say which the mask is for: NAME=IMAGE ({maskable})")
        mask = {name: mask for name, index in named.items() if index == free[0]}
    masks = {}
    for name, image in mask.items():
        index = named.get(name, -1)
        if name in twice:
            raise OptionError(f"{file} has several materials {name!r}, a mask could be any's; rename them")
        if index not in free:
            raise OptionError(f"{file} has no texture {name!r} to be masked; it has {maskable}")
        if not layout.own_uvs[index]:
            raise MeshError(
                f"{file}, {name}: a mask is painted on UVs, and these are new; make them first (texopt unwrap), "
                "paint the mask for them, and use that mesh"
            )
        masks[index] = np.array(load_image(image, upright=False).convert("L"))
    if set(masks) == set(free) and not any(image.any() for image in masks.values()):
        raise OptionError(f"{file}: the mask is black everywhere, so nothing would change; white is what is optimised")
    return masks
