"""From mesh files to arrays: OBJ by our own reader, everything else by trimesh. Several parts become one mesh."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from texopt.errors import ImageError, MeshError
from texopt.images import load_image
from texopt.obj import MtlMaterial, ObjFile, read_mtl, read_obj

if TYPE_CHECKING:
    from texopt.mesh import Mesh

log = logging.getLogger("texopt")


@dataclass(frozen=True, eq=False)
class Material:
    """A plain colour, or a texture that is tinted with it."""

    color: tuple[float, float, float]  # sRGB in [0,1]
    texture: np.ndarray | None = None  # uint8 [H,W,3]

    def image(self) -> np.ndarray:
        """uint8 [H,W,3]; one texel for a plain colour."""
        if self.texture is None:
            return (np.array([[self.color]]) * 255).round().astype(np.uint8)
        return self.texture


@dataclass(frozen=True, eq=False)
class RawMesh:
    """What a file holds, triangulated. Indices are -1 where a corner has no uv or normal."""

    vertices: np.ndarray  # float64 [V,3]
    faces: np.ndarray  # int [F,3]
    uvs: np.ndarray  # float64 [T,2]
    face_uvs: np.ndarray  # int [F,3]
    normals: np.ndarray  # float64 [N,3]
    face_normals: np.ndarray  # int [F,3]
    materials: list[Material]
    face_material: np.ndarray  # int [F]
    files: tuple[Path, ...]  # that it was read from
    obj: ObjFile | None = None

    def used_materials(self) -> list[int]:
        return [int(index) for index in np.unique(self.face_material)]

    def needs_atlas(self) -> bool:
        """Whether one texture cannot hold the originals of all materials under the mesh's own UVs."""
        used = self.used_materials()
        if all(self.materials[index] is self.materials[used[0]] for index in used):
            return False
        from texopt.unwrap import materials_overlap

        return materials_overlap(self.uvs, self.face_uvs, self.face_material)

    def original_for(self, mesh: Mesh) -> np.ndarray:
        """The original texture in the UV layout of `mesh` (the same triangles): uint8 [H,W,3]."""
        used = self.used_materials()
        if all(self.materials[index] is self.materials[used[0]] for index in used):
            material = self.materials[used[0]]
            if material.texture is None or mesh.own_uvs:
                return material.image()
        from texopt.original import transfer

        return transfer(self, mesh)


def read(path: Path) -> RawMesh:
    """Read any mesh file. MeshError where that cannot be done."""
    if not path.exists():
        raise MeshError(f"mesh {path} does not exist; check the path")
    if path.is_dir():
        raise MeshError(f"{path} is a directory; give the path of a mesh file")
    try:
        return _read_obj(path) if path.suffix.lower() == ".obj" else _read_with_trimesh(path)
    except OSError as error:
        raise MeshError(f"mesh {path} cannot be read: {error.strerror or error}") from None


def _find(name: str, *folders: Path) -> Path | None:
    """A file that a mesh names, searched as written and then by its bare name."""
    relative = Path(name.replace("\\", "/"))
    for candidate in (*(folder / relative for folder in folders), *(folder / relative.name for folder in folders)):
        if candidate.is_file():
            return candidate
    return None


def _obj_material(folder: Path, name: str, mtl: MtlMaterial, files: list[Path]) -> Material:
    if mtl.texture is None:
        return Material(mtl.color)
    found = _find(mtl.texture, mtl.folder or folder, folder)
    if found is None:
        raise ImageError(
            f"material {name!r} names the texture {mtl.texture!r}, which is not in {folder}; "
            "put it there or remove its map_Kd line"
        )
    files.append(found)
    return Material((1.0, 1.0, 1.0), np.array(load_image(found)))


def _read_obj(path: Path) -> RawMesh:
    obj = read_obj(path)
    files = [path]
    known: dict[str, MtlMaterial] = {}
    for library in obj.libraries:
        # a name may contain spaces, and a line may name several libraries: as a whole first, then word by word
        names = [library] if _find(library, path.parent) else library.split()
        for name in names:
            if found := _find(name, path.parent):
                known |= read_mtl(found)
                files.append(found)
            else:
                log.warning("%s: the material library %s is missing, its materials are taken as grey", path.name, name)
    loaded: dict[tuple[Any, ...], Material] = {}  # materials that look the same are one
    materials = []
    for name in obj.material_names:
        mtl = known.get(name, MtlMaterial())
        key = (mtl.texture, mtl.folder) if mtl.texture else mtl.color
        if key not in loaded:
            loaded[key] = _obj_material(path.parent, name, mtl, files)
        materials.append(loaded[key])
    return RawMesh(
        obj.vertices, obj.corners[:, :, 0], obj.uvs, obj.corners[:, :, 1], obj.normals, obj.corners[:, :, 2],
        materials or [Material((0.8, 0.8, 0.8))], obj.triangle_material, tuple(files), obj,
    )  # fmt: skip


def _trimesh_material(visual: Any) -> Material:
    """The base colour of a trimesh visual, as sRGB."""
    from trimesh.visual.material import PBRMaterial

    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is not None:
        return Material((1.0, 1.0, 1.0), np.array(image.convert("RGB")))
    if isinstance(material, PBRMaterial):  # glTF: linear, and white where it is not given
        factor = material.baseColorFactor
        linear = np.ones(3) if factor is None else np.asarray(factor)[:3] / 255.0
        color = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    else:
        main = getattr(material, "main_color", None)
        color = np.full(3, 0.8) if main is None else np.asarray(main)[:3] / 255.0
    red, green, blue = (float(x) for x in color)
    return Material((red, green, blue))


def _gltf_files(path: Path) -> list[Path]:
    """The files that a .gltf refers to. trimesh leaves out, silently, images that are not there."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        uris = {kind: [entry.get("uri", "data:") for entry in document.get(kind, [])] for kind in ("buffers", "images")}
        names = {kind: [unquote(uri) for uri in some if not uri.startswith("data:")] for kind, some in uris.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise MeshError(f"{path} is not a valid GLTF file ({error}); export it again") from None
    for kind, what in (("buffers", MeshError), ("images", ImageError)):
        for name in names[kind]:
            if not (path.parent / name).is_file():
                raise what(f"{path} names {name}, which is not there; put it there or export the mesh as .glb")
    return [path.parent / name for name in names["buffers"] + names["images"]]


def _merged(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal vertices become one, in the order of their first appearance."""
    _, first, inverse = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return vertices[first[order]], np.argsort(order)[inverse.reshape(-1)][faces]


def _read_with_trimesh(path: Path) -> RawMesh:
    import trimesh

    if path.suffix.lower().lstrip(".") not in trimesh.available_formats():
        raise MeshError(f"{path} is not a mesh format that texopt reads (OBJ, glTF, GLB, PLY, STL, OFF)")
    files = [path, *_gltf_files(path)] if path.suffix.lower() == ".gltf" else [path]

    class Resolver(trimesh.resolvers.FilePathResolver):
        def get(self, name: str) -> bytes:
            return bytes(super().get(unquote(name)))  # glTF names files as URIs

    try:
        resolver = Resolver(str(path), allow_anywhere=True) if path.suffix.lower() == ".gltf" else None
        scene = trimesh.load_scene(path, process=False, resolver=resolver)
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
    vertices, faces, uvs, face_uvs, normals, face_normals, materials, face_material = ([] for _ in range(8))  # type: ignore[var-annotated]
    vertex_count = uv_count = normal_count = 0
    loaded: dict[tuple[Any, ...], Material] = {}  # materials that look the same are one
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
        material = _trimesh_material(part.visual)
        texture = material.texture
        key = material.color if texture is None else (texture.shape, texture.tobytes())
        materials.append(loaded.setdefault(key, material))
        face_material.append(np.full(len(triangles), index))

    def stacked(arrays: list[np.ndarray], width: int, kind: type = np.float64) -> np.ndarray:
        return np.concatenate(arrays).astype(kind) if arrays else np.zeros((0, width), kind)

    return RawMesh(
        stacked(vertices, 3), stacked(faces, 3, np.int64), stacked(uvs, 2), stacked(face_uvs, 3, np.int64),
        stacked(normals, 3), stacked(face_normals, 3, np.int64), materials,
        np.concatenate(face_material) if face_material else np.zeros(0, np.int64), tuple(files),
    )  # fmt: skip
