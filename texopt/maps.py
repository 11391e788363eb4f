"""Which texture every face of a mesh looks up, and where in it: UVs are kept where they can be, and made elsewhere."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from texopt.errors import MeshError, OptionError
from texopt.readers.raw import RawMesh

log = logging.getLogger("texopt")

ATLAS = "atlas"


@dataclass(frozen=True, eq=False)
class TextureMap:
    """One texture image of a mesh. The faces that show it have its index in Mesh.face_map.

    Attributes:
        original: uint8 [H,W,3], what it is before optimisation, row 0 on top; [1,1,3] for a plain colour.
        name: of its material; ATLAS if several share new UVs.
        own_uvs: whether its UVs are the file's own, not made by texopt.
        kept: whether it stays as it is (a material that was excluded).
        mask: uint8 [h,w] or None: where the texture may change, 255, and where it stays the original, 0.
        alpha: uint8 [h,w] or None: opacity, which export gives back; renderings are opaque.
    """

    original: np.ndarray
    name: str = ""
    own_uvs: bool = True
    kept: bool = False
    mask: np.ndarray | None = None
    alpha: np.ndarray | None = None

    def original_at(self, height: int, width: int) -> Tensor:
        """The original as float32 [3,height,width] in [0,1]: resampled, as mip levels need sides that halve."""
        from texopt.texture.image import resized

        return resized(torch.from_numpy(self.original).permute(2, 0, 1).float() / 255.0, height, width)

    def paint_at(self, height: int, width: int) -> Tensor:
        """How far each texel may change, float32 [1,height,width] in [0,1]."""
        from texopt.texture.image import resized

        if self.mask is None or self.kept:
            return torch.full((1, height, width), 0.0 if self.kept else 1.0)
        return resized(torch.from_numpy(self.mask)[None].float() / 255.0, height, width)


@dataclass
class Layout:
    """UVs float64 [T,2], face_uvs int32 [F,3] and face_map int32 [F] of a mesh; what holds of every map."""

    uvs: np.ndarray
    face_uvs: np.ndarray
    face_map: np.ndarray
    names: list[str] = field(default_factory=list)
    own_uvs: list[bool] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)


def excluded(raw: RawMesh, file: str, only: Sequence[str], skip: Sequence[str]) -> set[int]:
    """Materials that stay as they are: those that no pattern of `only` matches, if there are any, and all of `skip`.

    Patterns are names or have * and ? in them; case does not matter. OptionError where one matches nothing.
    """
    used = raw.used_materials()
    names = {index: raw.names[index] or "textured" for index in used}

    def matching(patterns: Sequence[str]) -> set[int]:
        found = set()
        for pattern in patterns:
            hits = {index for index in used if fnmatch.fnmatchcase(names[index].lower(), pattern.lower())}
            # a material of several UDIM tiles goes by its own name, too
            hits |= {index for index in used if names[index].rpartition(".")[0].lower() == pattern.lower() != ""}
            if not hits:
                listed = ", ".join(dict.fromkeys(names.values()))
                raise OptionError(f"{file} has no material {pattern!r}; it has {listed}")
            found |= hits
        return found

    out = (set(used) - matching(only) if only else set()) | matching(skip)
    if out == set(used):
        raise OptionError(
            f"{file}: with these materials left out there is nothing to optimise; check --only and --skip"
        )
    return out


def lay_out(raw: RawMesh, file: str, unwrap: bool, kept: set[int], padding_size: int) -> Layout:
    """Assign maps and UVs.

    A material whose faces all have UVs keeps them and has a map of its own, shared only with materials of the same
    texture. The others, with `unwrap` all, get new UVs in one atlas. A material never has faces of two kinds.
    """
    from texopt.unwrap import unwrap_faces

    has = np.asarray((raw.face_uvs >= 0).all(1))
    if has.any():
        finite = np.asarray(np.isfinite(raw.uvs).all(1))[raw.face_uvs].all(1)  # -1, the last, is none and counts not
        if (has & ~finite).any():
            log.warning("%s: UVs that are not finite are ignored", file)
        has = has & finite
    keys: dict[Hashable, int] = {}
    layout = Layout(raw.uvs, raw.face_uvs.astype(np.int32), np.zeros(len(raw.faces), np.int32))
    atlas: list[int] = []  # materials
    bare: list[int] = []  # kept ones without UVs
    for material in raw.used_materials():
        faces = raw.face_material == material
        complete = bool(has[faces].all())
        texture = raw.materials[material].texture is not None and raw.colors is None
        key: Hashable = (id(raw.materials[material]) if texture else material, material in kept)
        if material not in kept and (unwrap or not complete):
            key = ATLAS
            atlas.append(material)
        elif not complete:
            bare.append(material)
        if key not in keys:
            keys[key] = len(keys)
            layout.names.append(raw.names[material])
            layout.own_uvs.append(key != ATLAS)
            layout.kept.append(material in kept)
        layout.face_map[faces] = keys[key]
    if len(atlas) > 1:
        layout.names[keys[ATLAS]] = ATLAS

    keeps = len(atlas) + len(bare) < len(raw.used_materials())  # some of the file's own UVs
    columns = [raw.uvs] if keeps else []
    if atlas:
        faces = np.flatnonzero(np.isin(raw.face_material, atlas))
        first = raw.first_shown(faces)  # an object that is shown again shares its texture
        if not unwrap:
            some = "some faces without UVs" if has.any() else "no UVs"
            log.info("%s has %s: making them with xatlas (%s triangles)", file, some, f"{len(first):,}")
        uvs, face_uvs = unwrap_faces(raw.vertices, raw.faces[first], padding_size)
        layout.face_uvs[first] = face_uvs + sum(map(len, columns))
        layout.face_uvs[faces] = layout.face_uvs[raw.copy_of[faces]]
        columns.append(uvs)
    if bare:
        layout.face_uvs[np.isin(raw.face_material, bare)] = sum(map(len, columns))
        columns.append(np.array([[0.5, 0.5]]))
    layout.uvs = np.concatenate(columns)
    return layout


def check_masks(names: Sequence[str], own_uvs: Sequence[bool], file: str) -> None:
    """MeshError where a mask has no UVs that it could have been painted on."""
    for name, own in zip(names, own_uvs, strict=True):
        if not own:
            raise MeshError(
                f"{file}{f', {name}' if name else ''}: a mask is painted on UVs, and these are new; "
                "make them first (texopt unwrap), paint the mask for them, and use that mesh"
            )
