"""Exports with relief, roughness and metal, and how texopt shows them under light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interop.cases import MESHES, card
from interop.pictures import SIZE, SUPERSAMPLE, Picture, cameras, shrunk
from texopt import Light, Mesh, load_mesh
from texopt.io.export import export
from texopt.mesh.finish import Finish
from texopt.mesh.normals import face_normals
from texopt.mesh.tangents import tangents
from texopt.render.look_up import look_up
from texopt.render.scene import Scene
from texopt.render.shading import shade
from texopt.system.srgb import to_linear, to_srgb


def finish(size: int = 512) -> Finish:
    """Round bumps that are steep, on stripes of roughness, with some metal."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) * (2 * np.pi / size)] * 2, indexing="ij")
    vectors = np.stack([np.cos(14 * u) * np.sin(9 * v), 0.7 * np.sin(11 * v + 5 * u), np.ones_like(u)], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    rough, metal = 0.55 + 0.25 * np.sin(3 * u), 0.2 + 0.2 * np.sin(2 * v)
    return Finish(*(np.asarray((255 * x).round().astype(np.uint8)) for x in ((vectors + 1) / 2, rough, metal)))


@dataclass(frozen=True, eq=False)
class Relief:
    """A mesh that was exported with a texture and a finish to a path, alone in its folder."""

    mesh: Mesh
    image: Tensor
    finish: Finish
    path: Path


def export_reliefs(folder: Path) -> dict[str, Relief]:
    """FOLDER/NAME/relief.glb or .obj, by name: of arrays, a document that came in, with mirrored UVs, an OBJ."""
    mesh, image, made = load_mesh(MESHES / "creature.obj"), card(), finish()
    mirrored = replace(mesh, uvs=np.stack([mesh.uvs[:, 0], np.abs(mesh.uvs[:, 1] - 0.5) * 2], 1))
    found: dict[str, Relief] = {}
    for name, shown, ending in (("arrays", mesh, "glb"), ("mirrored", mirrored, "glb"), ("obj", mesh, "obj")):
        path = folder / name / f"relief.{ending}"
        export(shown, image, path, finishes=[made])
        found[name] = Relief(shown, image, made, path)
    again = load_mesh(found["arrays"].path)
    path = folder / "document" / "relief.glb"
    export(again, image, path, finishes=[made])
    return found | {"document": Relief(again, image, made, path)}


def our_pictures_of(relief: Relief, light: Light, upside_down: bool = False) -> list[Picture]:
    """texopt's rendering of all views under one light; `upside_down` turns green of the normal map."""
    fragments = Scene(relief.mesh).rasterize(cameras(), SIZE * SUPERSAMPLE)
    there = fragments.mask.nonzero().unbind(1)

    def shown(image: Tensor) -> Tensor:
        return look_up(image, fragments).permute(0, 2, 3, 1)

    def values(image: np.ndarray) -> Tensor:
        stored = torch.from_numpy(image).float() / 255
        return shown(stored.reshape(*image.shape[:2], -1).permute(2, 0, 1))[there]

    told = 2 * values(relief.finish.normal) - 1
    if upside_down:
        told = told * torch.tensor([1.0, -1.0, 1.0])
    frames = torch.from_numpy(tangents(relief.mesh))
    normal, tangent = fragments.normal[there], F.normalize(fragments.interpolated(frames[..., :3])[there], dim=-1)
    sign = frames[fragments.face_id[there].long(), 0, 3:]
    bitangent = sign * torch.linalg.cross(normal, tangent)
    bent = F.normalize(told[:, :1] * tangent + told[:, 1:2] * bitangent + told[:, 2:] * normal, dim=-1)
    colors = shown(relief.image)
    rough, metal = values(relief.finish.roughness), values(relief.finish.metallic)
    lit = light.of_pixels(torch.zeros_like(there[0]))
    seen = to_srgb(shade(to_linear(colors[there]), bent, fragments.view_direction[there], rough, metal, lit))
    return shrunk(colors.index_put(there, seen).permute(0, 3, 1, 2), fragments.mask)


def facing(mesh: Mesh, toward: tuple[float, float, float]) -> list[np.ndarray]:
    """Where faces, without their relief, are well turned to a light, bool [SIZE,SIZE] a view: elsewhere Blender dims
    what relief turns to it, and where they are turned away it lights nothing."""
    fragments = Scene(mesh).rasterize(cameras(), SIZE * SUPERSAMPLE)
    flat = torch.from_numpy(face_normals(mesh.vertices, mesh.faces).astype(np.float32))[fragments.face_id.long()]
    turned = fragments.mask & (flat @ F.normalize(torch.tensor(toward), dim=0) > 0.3)
    return [picture.mask for picture in shrunk(torch.zeros(len(turned), 3, *turned.shape[1:]), turned)]
