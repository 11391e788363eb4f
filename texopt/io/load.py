"""load_mesh: from a mesh file, of any format that texopt reads, to a Mesh with its UVs and original textures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.io.assign_maps import Mask, assign_maps, excluded, load_masks, make_uvs
from texopt.io.obj.document import ObjFile
from texopt.io.original_textures import original_texture
from texopt.io.raw import RawMesh
from texopt.io.read import read
from texopt.io.shared_finish import shared_finish
from texopt.io.unwrapping.unwrap import report_uvs
from texopt.mesh.areas import areas
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.mesh.wrapping import REPEATED

FLAT = 1e-7  # area of a triangle, in squares of its longest edge, that is none but rounding


def load_mesh(
    path: str | os.PathLike[str], unwrap: bool = False, *, only: Sequence[str] = (), skip: Sequence[str] = (),
    mask: Mask | Mapping[str, Mask] | None = None, texture_size: int = 1024,
) -> Mesh:  # fmt: skip
    """Read a mesh: OBJ, glTF/GLB, PLY, STL or OFF.

    UVs are kept, and every material keeps its own texture. Materials whose faces have none get new UVs, made with
    xatlas, in one atlas, and their looks are carried over: textures, vertex colours, plain colours. Each such decision,
    and what is unusual about UVs, is logged in one line (logger "texopt").

    Args:
        path: the mesh file; its materials and textures are looked for beside it and below.
        unwrap: make new UVs even if the mesh has some.
        only: names of materials (with * and ?) to optimise alone.
        skip: names of materials to leave as they are.
        mask: an image painted on the mesh's UVs: where it is black the original texture stays exactly, where it is
            white it is optimised. Several textures: {name of the material: image}.
        texture_size: texels a side that the space between new charts is meant for.

    Raises:
        MeshError: the file is missing, cannot be parsed, has no faces, no area, or values that are not finite.
        ImageError: a texture of the mesh or a mask cannot be read.
        OptionError: `only`, `skip` or `mask` names a material that is not there, or nothing is left to optimise.
    """
    path = Path(path)
    raw = read(path)
    check_geometry(raw, path)
    kept = excluded(raw, path.name, only, skip)
    layout = assign_maps(raw, path.name, unwrap, kept)
    masks = load_masks(mask, raw, layout, path.name)
    make_uvs(raw, layout, path.name, unwrap, texture_size)
    painted_on = mask.values() if isinstance(mask, Mapping) else [mask] if mask is not None else []
    maps = []
    for index, name in enumerate(layout.names):
        faces = np.flatnonzero(layout.face_map == index)
        own, material = layout.own_uvs[index], raw.materials[raw.face_material[faces[0]]]
        wrap = material.wrap if own else REPEATED
        if layout.own_uvs[index] and not layout.kept[index]:
            label = f"{path.name}, {name or 'no material'}" if len(layout.names) > 1 else path.name
            report_uvs(label, layout.uvs, layout.face_uvs[raw.first_shown(faces)], wrap)
        original, alpha = original_texture(raw, layout.uvs, layout.face_uvs, faces, own)
        tile = material.tile if own else None
        finish = shared_finish(raw, faces, path.name) if own else None
        maps.append(
            TextureMap(original, name, own, layout.kept[index], masks.get(index), alpha, tile, wrap=wrap, finish=finish)
        )
    normals = raw.normals if len(raw.normals) else None
    return Mesh(
        path.stem, raw.vertices, raw.faces.astype(np.int32), layout.uvs, layout.face_uvs, normals,
        None if normals is None else raw.face_normals.astype(np.int32), tuple(maps), layout.face_map,
        tuple(raw.names), raw.face_material.astype(np.int32), tuple(raw.objects),
        raw.face_object.astype(np.int32), raw.source, (*raw.files, *map(Path, painted_on)),
    )  # fmt: skip


def check_geometry(raw: RawMesh, path: Path) -> None:
    """MeshError where the faces of a file are none that can be textured."""
    if not len(raw.faces):
        raise MeshError(f"{path} has no faces; texopt needs a surface, not points or lines")
    used = np.zeros(len(raw.vertices), bool)
    used[raw.faces] = True
    if not np.isfinite(raw.vertices[used]).all():
        raise MeshError(f"{path} has vertices that are not finite (NaN or infinity); mend it in a mesh editor")
    if np.abs(raw.vertices[used]).max() > 1e30:
        raise MeshError(f"{path} is too large: its coordinates go beyond 1e30; scale it down in a mesh editor")
    corners = raw.vertices[raw.faces]
    longest = np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2).max(1)
    if not (areas(raw.vertices, raw.faces) > FLAT * longest**2).any():
        where = f" (the first in line {raw.source.triangle_line[0] + 1})" if isinstance(raw.source, ObjFile) else ""
        raise MeshError(
            f"{path} has no area: the corners of each of its {len(raw.faces):,} triangles lie "
            f"{'on one line' if longest.any() else 'in one point'}{where}; check its scale and how it was exported"
        )
