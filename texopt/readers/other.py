"""PLY, STL, OFF and what else trimesh reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import MeshError
from texopt.readers.raw import GREY, Material, RawMesh, stacked


def _material(visual: Any) -> Material:
    """The base colour of a trimesh visual, as sRGB."""
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is not None:
        return Material((1.0, 1.0, 1.0), np.array(image.convert("RGB")))
    main = getattr(material, "main_color", None)
    red, green, blue = GREY if main is None else (float(x) for x in np.asarray(main)[:3] / 255.0)
    return Material((red, green, blue))


def _merged(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal vertices become one, in the order of their first appearance."""
    _, first, inverse = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return vertices[first[order]], np.argsort(order)[inverse.reshape(-1)][faces]


def _parts(path: Path) -> list[Any]:
    """The file's surfaces as trimesh.Trimesh, in the order of the file, in world coordinates."""
    import trimesh

    if path.suffix.lower().lstrip(".") not in trimesh.available_formats():
        raise MeshError(f"{path} is not a mesh format that texopt reads (OBJ, glTF, GLB, PLY, STL, OFF)")
    try:
        scene = trimesh.load_scene(path, process=False)
        parts = []
        order = {name: index for index, name in enumerate(scene.geometry)}
        for node in sorted(scene.graph.nodes_geometry, key=lambda node: order[scene.graph[node][1]]):
            transform, name = scene.graph[node]
            if isinstance(scene.geometry[name], trimesh.Trimesh) and len(scene.geometry[name].faces):
                parts.append(scene.geometry[name].copy(include_cache=True))  # dump() would lose the normals
                parts[-1].apply_transform(transform)
    except OSError:
        raise
    except ImportError:  # trimesh's guess of a text's encoding
        raise MeshError(f"{path} is not a valid {path.suffix[1:].upper()} file (no text); export it again") from None
    except Exception as error:  # trimesh's readers raise whatever their parsing runs into
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise MeshError(f"{path} is not a valid {path.suffix[1:].upper()} file ({reason}); export it again") from None
    return parts


def read(path: Path) -> RawMesh:
    """Any file that trimesh reads."""
    vertices, faces, uvs, face_uvs, normals, face_normals, face_material, colors = ([] for _ in range(8))  # type: ignore[var-annotated]
    vertex_count = uv_count = normal_count = 0
    parts = _parts(path)
    materials = []
    for index, part in enumerate(parts):
        own_uvs = getattr(part.visual, "uv", None)
        points, triangles = np.asarray(part.vertices, np.float64), np.asarray(part.faces, np.int64)
        if triangles.min() < 0 or triangles.max() >= len(points):
            raise MeshError(f"{path} has face indices out of range of its {len(points)} vertices; mend the file")
        if path.suffix.lower() == ".stl":
            points, triangles = _merged(points, triangles)  # STL has no shared vertices, only equal ones
        vertices.append(points)
        faces.append(triangles + vertex_count)
        vertex_count += len(points)
        if own_uvs is not None and len(own_uvs) == len(part.vertices):
            uvs.append(np.asarray(own_uvs, np.float64)[:, :2])
            face_uvs.append(triangles + uv_count)
            uv_count += len(part.vertices)
        else:
            face_uvs.append(np.full_like(triangles, -1))
        if "vertex_normals" in part._cache:  # only those that the file has
            normals.append(np.asarray(part.vertex_normals, np.float64))
            face_normals.append(triangles + normal_count)
            normal_count += len(part.vertices)
        else:
            face_normals.append(np.full_like(triangles, -1))
        colored = part.visual.kind == "vertex" and len(points) == len(part.vertices)
        colors.append(np.asarray(part.visual.vertex_colors)[:, :3] / 255.0 if colored else np.ones((len(points), 3)))
        materials.append(Material((1.0, 1.0, 1.0)) if colored else _material(part.visual))
        face_material.append(np.full(len(triangles), index))
    painted = any(part.visual.kind == "vertex" for part in parts)
    return RawMesh(
        stacked(vertices, 3), stacked(faces, 3, np.int64), stacked(uvs, 2), stacked(face_uvs, 3, np.int64),
        stacked(normals, 3), stacked(face_normals, 3, np.int64), materials,
        ["" if len(parts) == 1 else f"part_{index}" for index in range(len(parts))],
        np.concatenate(face_material) if face_material else np.zeros(0, np.int64), (path,),
        np.concatenate(colors) if painted else None,
    )  # fmt: skip
