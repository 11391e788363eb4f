"""Write GLB: one binary glTF file with geometry and texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from texopt.mesh import Mesh


def glb_files(mesh: Mesh, path: Path, image: Image.Image) -> dict[Path, bytes]:
    """The content of a GLB: base colour texture, metallic 0, roughness 0.9, original coordinates and normals.

    glTF has one index for position, uv and normal, so vertices are split where those differ. Its UV (0,0) is the upper
    left; trimesh flips ours.
    """
    import trimesh

    normals = mesh.face_normals if mesh.face_normals is not None else np.full_like(mesh.faces, -1)
    keys = np.stack([mesh.faces, mesh.face_uvs, normals], -1).reshape(-1, 3)
    corners, inverse = np.unique(keys, axis=0, return_inverse=True)
    material = trimesh.visual.material.PBRMaterial(
        name=mesh.name, baseColorTexture=image, metallicFactor=0.0, roughnessFactor=0.9
    )
    part = trimesh.Trimesh(
        vertices=mesh.vertices[corners[:, 0]], faces=inverse.reshape(-1, 3), process=False,
        vertex_normals=mesh.normals[corners[:, 2]] if mesh.normals is not None and (corners[:, 2] >= 0).all() else None,
        visual=trimesh.visual.TextureVisuals(uv=mesh.uvs[corners[:, 1]], material=material),
    )  # fmt: skip
    scene = trimesh.Scene()
    scene.add_geometry(part, geom_name=mesh.name)
    return {path: scene.export(file_type="glb", include_normals=mesh.normals is not None)}
