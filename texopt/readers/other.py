"""PLY, STL and OFF, by trimesh."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from texopt.errors import MeshError
from texopt.readers.named import find
from texopt.readers.raw import GREY, Material, RawMesh, stacked, textured

log = logging.getLogger("texopt")

FORMATS = (".ply", ".stl", ".off")  # no archives and nothing that names other models, which trimesh would open


def _material(visual: Any) -> Material:
    """The base colour of a trimesh visual, as sRGB."""
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is not None:
        return Material((1.0, 1.0, 1.0), np.array(image.convert("RGB")))
    main = getattr(material, "main_color", None)
    red, green, blue = GREY if main is None else (float(x) for x in np.asarray(main)[:3] / 255.0)
    return Material((red, green, blue))


def _ply_texture(path: Path) -> Path | None:
    """The file that a PLY's header names as its texture, `comment TextureFile NAME`."""
    with path.open("rb") as file:
        header = file.read(1 << 16).partition(b"end_header")[0].decode(errors="replace")
    for line in header.splitlines():
        words = line.split(None, 2)
        if [word.lower() for word in words[:2]] == ["comment", "texturefile"] and len(words) == 3:
            found = find(words[2].strip(), path.parent)
            if found is None:
                log.warning("%s: its texture %s is missing and is taken as grey", path.name, words[2].strip())
            return found
    return None


def _vertex_colors(part: Any) -> np.ndarray | None:
    """Of a trimesh.Trimesh: sRGB float64 [V,3] in [0,1]; those of faces as their means."""
    if part.visual.kind in ("vertex", "face"):
        return np.asarray(part.visual.vertex_colors[:, :3] / 255.0)
    stored = part.metadata.get("_ply_raw", {}).get("vertex", {}).get("data", {})  # beside UVs trimesh leaves them there
    try:
        rgb = np.column_stack([stored[name] for name in ("red", "green", "blue")])
    except (KeyError, IndexError, ValueError):
        return None
    if len(rgb) != len(part.vertices) or rgb.dtype.kind not in "uif":
        return None
    return np.asarray((rgb / np.iinfo(rgb.dtype).max if rgb.dtype.kind in "ui" else rgb).astype(np.float64).clip(0, 1))


def _merged(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal vertices become one, in the order of their first appearance."""
    _, first, inverse = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return vertices[first[order]], np.argsort(order)[inverse.reshape(-1)][faces]


def _parts(path: Path, **options: Any) -> list[Any]:
    """The file's surfaces as trimesh.Trimesh, in the order of the file, in world coordinates."""
    import trimesh

    if path.suffix.lower() not in FORMATS:
        raise MeshError(f"{path} is not a mesh format that texopt reads (OBJ, glTF, GLB, PLY, STL, OFF)")
    try:
        scene = trimesh.load_scene(path, process=False, **options)
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
    """A .ply, .stl or .off."""
    vertices, faces, uvs, face_uvs, normals, face_normals, face_material, colors = ([] for _ in range(8))  # type: ignore[var-annotated]
    vertex_count = uv_count = normal_count = 0
    files = [path]
    is_ply = path.suffix.lower() == ".ply"
    if is_ply:  # trimesh splits vertices that have several UVs; as they are, and as it splits them
        parts = _parts(path, fix_texture=False, skip_materials=True)
        split = _parts(path, skip_materials=True) if any(hasattr(part.visual, "uv") for part in parts) else parts
    else:
        parts = split = _parts(path)
    materials = []
    tinted = False
    for index, (part, mapped) in enumerate(zip(parts, split, strict=True)):
        points, triangles = np.asarray(part.vertices, np.float64), np.asarray(part.faces, np.int64)
        if triangles.min() < 0 or triangles.max() >= len(points):
            raise MeshError(f"{path} has face indices out of range of its {len(points)} vertices; mend the file")
        tints = _vertex_colors(part)
        if path.suffix.lower() == ".stl":
            points, triangles, tints = *_merged(points, triangles), None  # it has no shared vertices, only equal ones
        vertices.append(points)
        faces.append(triangles + vertex_count)
        vertex_count += len(points)
        own_uvs = getattr(mapped.visual, "uv", None)
        if own_uvs is not None and len(own_uvs) == len(mapped.vertices) and len(mapped.faces) == len(triangles):
            uvs.append(np.asarray(own_uvs, np.float64)[:, :2])
            face_uvs.append(np.asarray(mapped.faces, np.int64) + uv_count)
            uv_count += len(own_uvs)
        else:
            face_uvs.append(np.full_like(triangles, -1))
        if "vertex_normals" in part._cache:  # only those that the file has
            normals.append(np.asarray(part.vertex_normals, np.float64))
            face_normals.append(triangles + normal_count)
            normal_count += len(part.vertices)
        else:
            face_normals.append(np.full_like(triangles, -1))
        colors.append(np.ones((len(points), 3)) if tints is None else tints)
        tinted |= tints is not None
        if is_ply and (texture := _ply_texture(path)) is not None:
            materials.append(textured(texture))
            files.append(texture)
        elif is_ply or tints is not None:
            materials.append(Material(GREY if tints is None else (1.0, 1.0, 1.0)))
        else:
            materials.append(_material(part.visual))
        face_material.append(np.full(len(triangles), index))
    return RawMesh(
        stacked(vertices, 3), stacked(faces, 3, np.int64), stacked(uvs, 2), stacked(face_uvs, 3, np.int64),
        stacked(normals, 3), stacked(face_normals, 3, np.int64), materials,
        ["" if len(parts) == 1 else f"part_{index}" for index in range(len(parts))],
        np.concatenate(face_material) if face_material else np.zeros(0, np.int64), tuple(files),
        np.concatenate(colors) if tinted else None,
    )  # fmt: skip
