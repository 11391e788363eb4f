"""Mesh: geometry as the file has it, with one UV layout and one original texture."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texopt.errors import MeshError
from texopt.obj import ObjFile

log = logging.getLogger("texopt")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with texture coordinates and an original texture.

    World space is right-handed with +Y up, coordinates are the file's own. UV (0,0) is the lower-left corner of the
    texture, UVs outside [0,1] repeat it. Vertices, uvs and normals are indexed separately, as in OBJ.

    Attributes:
        name: of the mesh file without its ending; exported files are named after it.
        vertices: float64 [V,3].
        faces: int32 [F,3], into vertices.
        uvs: float64 [T,2].
        face_uvs: int32 [F,3], into uvs.
        normals: float64 [N,3], or None: export then leaves them to the engine.
        face_normals: int32 [F,3], into normals, -1 for corners that have none, or None.
        original: uint8 [H,W,3], the texture that the mesh came with, row 0 on top; [1,1,3] for a plain colour.
        obj: the OBJ file that it was read from, if it was one.
        own_uvs: whether the UVs are the file's own, not made by texopt.
        files: what it was read from: the mesh file, material libraries, textures.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    face_uvs: np.ndarray
    normals: np.ndarray | None
    face_normals: np.ndarray | None
    original: np.ndarray
    obj: ObjFile | None = None
    own_uvs: bool = True
    files: tuple[Path, ...] = ()

    def normalization(self) -> tuple[np.ndarray, float]:
        """(centre of the bounding box [3], radius): x -> (x - centre) / radius puts the mesh into the unit sphere."""
        used = self.vertices[np.unique(self.faces)]
        center = (used.min(0) + used.max(0)) / 2
        return center, float(np.linalg.norm(used - center, axis=1).max())

    def unit_vertices(self) -> Tensor:
        """Vertices moved and scaled into the unit sphere, for rendering: float32 [V,3]."""
        center, radius = self.normalization()
        return torch.from_numpy(((self.vertices - center) / radius).astype(np.float32))

    def __repr__(self) -> str:
        height, width = self.original.shape[:2]
        return f"Mesh({self.name!r}, {len(self.faces)} triangles, original {width}x{height})"


def load_mesh(path: str | os.PathLike[str], unwrap: bool = False) -> Mesh:
    """Read a mesh: OBJ, glTF/GLB, PLY, STL, OFF and what else trimesh reads.

    UVs are kept. Where a mesh has none, or where several materials with textures of their own share them, new ones
    are made with xatlas and the original textures are carried over. Each such decision is logged in one line (logger
    "texopt").

    Args:
        path: the mesh file; its materials and textures are looked for beside it.
        unwrap: make new UVs even if the mesh has some.

    Raises:
        MeshError: the file is missing, cannot be parsed, has no faces, no area, or values that are not finite.
        ImageError: a texture of the mesh cannot be read.
    """
    from texopt.readers import read
    from texopt.unwrap import report_uvs, unwrap_faces

    path = Path(path)
    raw = read(path)
    vertices, faces = raw.vertices, raw.faces
    if not len(faces):
        raise MeshError(f"{path} has no faces; texopt needs a surface, not points or lines")
    if not np.isfinite(vertices[np.unique(faces)]).all():
        raise MeshError(f"{path} has vertices that are not finite (NaN or infinity); mend it in a mesh editor")
    if np.abs(vertices[np.unique(faces)]).max() > 1e30:
        raise MeshError(f"{path} is too large: its coordinates go beyond 1e30; scale it down in a mesh editor")
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.any():
        raise MeshError(f"{path} has no area: every face is degenerate; check its scale and its export")

    has_uvs = len(raw.uvs) > 0 and bool((raw.face_uvs >= 0).all())
    if has_uvs and not np.isfinite(raw.uvs[np.unique(raw.face_uvs)]).all():
        log.warning("%s: UVs that are not finite are ignored", path.name)
        has_uvs = False
    if unwrap or not has_uvs:
        if not unwrap:
            partly = len(raw.uvs) > 0 and bool((raw.face_uvs >= 0).any())
            some = "some faces without UVs" if partly else "no UVs"
            log.info("%s has %s: making them with xatlas (%d triangles)", path.name, some, len(faces))
    elif raw.needs_atlas():
        log.info(
            "%s has %d materials with textures of their own on shared UVs: making one atlas for them with xatlas",
            path.name, len(raw.materials),
        )  # fmt: skip
        unwrap = True
    if unwrap or not has_uvs:
        uvs, face_uvs = unwrap_faces(vertices, faces)
    else:
        uvs, face_uvs = raw.uvs, raw.face_uvs.astype(np.int32)
        report_uvs(path.name, uvs, face_uvs)

    mesh = Mesh(
        name=path.stem, vertices=vertices, faces=faces.astype(np.int32), uvs=uvs, face_uvs=face_uvs,
        normals=raw.normals if len(raw.normals) else None,
        face_normals=raw.face_normals.astype(np.int32) if len(raw.normals) else None,
        original=np.zeros((1, 1, 3), np.uint8), obj=raw.obj, own_uvs=has_uvs and not unwrap,
        files=raw.files,
    )  # fmt: skip
    return replace(mesh, original=raw.original_for(mesh))


def original_texture(mesh: Mesh, height: int, width: int) -> Tensor:
    """The original texture as float32 [3,height,width] in [0,1]: resampled, as mip levels need sides that halve."""
    from texopt.texture.image import resized

    image = torch.from_numpy(mesh.original).permute(2, 0, 1).float() / 255.0
    return resized(image, height, width)
