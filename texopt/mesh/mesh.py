"""Mesh: geometry as the file has it, with its UVs and original textures."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.areas import areas
from texopt.mesh.arrays import ARRAYS, as_array, check_fit
from texopt.mesh.normals import normal_groups, smooth_normals
from texopt.mesh.texture_map import GREY, TextureMap
from texopt.mesh.wrapping import Wrap
from texopt.system.images import png_of

MOVING = ("vertices", "normals", "face_normals")  # arrays that are others when vertices move
SMALLEST_SHARE = 4  # no map is made smaller than the largest by more than this


def power_of_two(side: int) -> int:
    """The next power of two, from 8 to 4096: mip levels need sides that halve."""
    return int(2 ** np.clip(np.ceil(np.log2(side)), 3, 12))


def _thumbnail(texture: TextureMap) -> bytes:
    picture = Image.fromarray(texture.original)
    picture.thumbnail((192, 192))
    return png_of(picture)


PLAIN = TextureMap(np.full((1, 1, 3), round(255 * GREY[0]), np.uint8))


class Source(Protocol):
    """The document that a mesh was read from, as its export needs it."""

    path: Path


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with texture coordinates and original textures. `load_mesh` reads one, and one of arrays is

        mesh = texopt.Mesh("quad", vertices, faces, uvs)

    World space is right-handed with +Y up, coordinates are the file's own (a glTF scene's are in world space). UV (0,0)
    is the lower-left corner of a texture, UVs outside [0,1] repeat it unless its map says else. Vertices, uvs and
    normals are indexed separately, as in OBJ. Arrays may be given as tensors or lists.

    Attributes:
        name: of the mesh file without its ending; exported files are named after it.
        vertices: float64 [V,3].
        faces: int32 [F,3], into vertices; counter-clockwise is the front.
        uvs: float64 [T,2].
        face_uvs: int32 [F,3], into uvs. Default: as faces, where there are as many uvs as vertices.
        normals: float64 [N,3], or None: export then leaves them to the engine.
        face_normals: int32 [F,3], into normals, -1 for corners that have none, or None. Default: as of face_uvs.
        maps: the textures; most meshes have one. Default: a grey one.
        face_map: int32 [F], into maps. Default: all 0.
        materials, face_material: names, and int32 [F] into them. All faces of a material have the same map.
        objects, face_object: names, and int32 [F] into them.
        source: the document that it was read from (texopt.io.obj.document.ObjFile, texopt.io.gltf.document.GltfFile),
            for an export that keeps it.
        files: what it was read from: the mesh file, material libraries, textures, masks.
        digest: of the arrays and names as they were read; see `geometry`.

    OptionError where an array has another shape or type, or indices reach beyond what they are for.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    face_uvs: np.ndarray = None  # type: ignore[assignment]
    normals: np.ndarray | None = None
    face_normals: np.ndarray | None = None
    maps: tuple[TextureMap, ...] = (PLAIN,)
    face_map: np.ndarray = None  # type: ignore[assignment]  # zeros, as of the next two
    materials: tuple[str, ...] = ("",)
    face_material: np.ndarray = None  # type: ignore[assignment]
    objects: tuple[str, ...] = ("",)
    face_object: np.ndarray = None  # type: ignore[assignment]
    source: Source | None = None
    files: tuple[Path, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        if not isinstance(self.name, str):
            got = type(self.name).__name__
            raise OptionError(f"name has to be a text, as in Mesh(name, vertices, faces, uvs), not a {got}")
        for name in ARRAYS:
            if getattr(self, name) is not None or name in ("vertices", "faces", "uvs"):
                put(name, as_array(name, getattr(self, name)))
        for name, values in (("face_uvs", self.uvs), ("face_normals", self.normals)):
            if values is not None and getattr(self, name) is None:
                if len(values) != len(self.vertices):
                    raise OptionError(f"{name} [F,3] is needed: {name[5:]} are {len(values)}, and no row a vertex")
                put(name, self.faces.copy())
        for name in ("face_map", "face_material", "face_object"):
            index = getattr(self, name)
            if index is None or (len(index) != len(self.faces) and not index.any()):  # of other faces, before replace()
                put(name, np.zeros(len(self.faces), np.int32))
        for name in ("maps", "materials", "objects", "files"):
            if isinstance(values := getattr(self, name), str) or not isinstance(values, Sequence):
                raise OptionError(f"{name} has to be a tuple, not a {type(values).__name__}")
            put(name, tuple(values))
        check_fit(self)
        if self.source is not None and not self.digest:
            put("digest", self.geometry())

    def geometry(self) -> str:
        """A digest of the arrays and names: of all that a mesh file says but its textures. Its first half is of what
        stays when vertices move."""
        return self._layout() + self._digest(MOVING)

    def _layout(self) -> str:
        return self._digest(
            [name for name in ARRAYS if name not in MOVING], self.materials, self.objects, self.vertices.shape
        )

    def _digest(self, names: Iterable[str], *values: Any) -> str:
        found = hashlib.blake2b(repr(values).encode())
        for name in names:
            if (array := getattr(self, name)) is not None:
                found.update(f"{name} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def as_read(self) -> bool:
        """Whether its geometry is still what was read from its source, however it may have been changed."""
        return self.source is not None and self.digest == self.geometry()

    def only_moved(self) -> bool:
        """Whether it is what was read from its source, but for its vertices and normals."""
        return self.source is not None and self.digest.startswith(self._layout())

    def with_vertices(self, vertices: np.ndarray | Tensor) -> Mesh:
        """The same mesh with its vertices elsewhere.

        Normals are made anew, if the mesh has some: smooth where corners at a vertex shared one, hard where they did
        not. UVs and textures stay, and what it was read from is exported with them, see `Result.export`.

        vertices: float [V,3] in the mesh's own coordinates, finite; x of the unit sphere, in which cameras see it, is
            center + radius * x, with `center, radius = mesh.normalization()`.

        OptionError where they have another shape, or are not finite.
        """
        vertices = np.array(as_array("vertices", vertices))
        if vertices.shape != self.vertices.shape:
            raise OptionError(f"vertices has to be {list(self.vertices.shape)}, as before, not {list(vertices.shape)}")
        if self.normals is None or self.face_normals is None:
            return replace(self, vertices=vertices)
        # a normal that several places share is as many now
        groups, before = normal_groups(self.vertices, self.faces, self.normals, self.face_normals)
        normals = smooth_normals(vertices, self.faces, groups)
        normals = np.where(normals.any(1, keepdims=True), normals, self.normals[before])
        return replace(self, vertices=vertices, normals=normals, face_normals=groups.astype(np.int32))

    @property
    def own_uvs(self) -> bool:
        """Whether all UVs are the file's own, not made by texopt."""
        return all(texture.own_uvs for texture in self.maps)

    def used_vertices(self, optimized: bool = False) -> np.ndarray:
        """int64 [N]: the vertices that faces have, ascending. optimized: faces of maps that are optimised alone."""
        some = optimized and len(self.optimized) < len(self.maps)
        used = np.zeros(len(self.vertices), bool)
        used[self.faces[np.isin(self.face_map, self.optimized)] if some else self.faces] = True
        return np.flatnonzero(used)

    def normalization(self, optimized: bool = False) -> tuple[np.ndarray, float]:
        """(centre of the bounding box [3], radius): x -> (x - centre) / radius puts the mesh into the unit sphere.

        optimized: the part of it that is optimised, if there is other.
        """
        used = self.vertices[self.used_vertices(optimized)]
        center = (used.min(0) + used.max(0)) / 2
        return center, float(np.linalg.norm(used - center, axis=1).max())

    def unit_vertices(self, optimized: bool = False) -> Tensor:
        """Vertices moved and scaled by normalization(optimized), for rendering: float32 [V,3]."""
        center, radius = self.normalization(optimized)
        return torch.from_numpy(((self.vertices - center) / radius).astype(np.float32))

    @property
    def wraps(self) -> list[Wrap]:
        """How the textures of all maps go on beyond their edges."""
        return [texture.wrap for texture in self.maps]

    @property
    def optimized(self) -> list[int]:
        """The maps that are optimised: those that are not kept."""
        return [index for index, texture in enumerate(self.maps) if not texture.kept]

    def map_of(self, material: int) -> int:
        """The map of a material; -1 of one that no face has."""
        faces = self.face_material == material
        return int(self.face_map[faces.argmax()]) if faces.any() else -1

    def map_sizes(self, size: int = 1024) -> list[int]:
        """A texture size for every map that is optimised: powers of two up to `size`, for even sharpness.

        The map with most of the surface gets `size`, the others what gives at least as many texels to a length on the
        surface, within a quarter of it and `size`; those whose UVs have no area the least.
        """
        surface, plane = (
            np.bincount(self.face_map, areas(*triangles), len(self.maps))[self.optimized]
            for triangles in ((self.vertices, self.faces), (self.uvs, self.face_uvs))
        )
        density = np.sqrt(plane / np.maximum(surface, 1e-300))  # texture sides a unit of length
        reference = density[np.where(plane > 0, surface, -1).argmax()]
        wanted = np.where(plane > 0, reference / np.maximum(density, 1e-300), 0)
        exponent = np.ceil(np.log2(np.clip(wanted, 1 / SMALLEST_SHARE, 1.0)) - 1e-9)
        return [max(int(size * 2.0**power), min(size, 8)) for power in exponent]

    def originals(self, sizes: Sequence[tuple[int, int]] | None = None) -> list[Tensor]:
        """The original textures of all maps, float32 [3,h,w] in [0,1], ready to be looked up.

        sizes: (height, width) of those that are optimised; by default, and for the others, their own as powers of two.
        """
        shapes = [texture.original.shape[:2] for texture in self.maps]
        chosen = [(power_of_two(height), power_of_two(width)) for height, width in shapes]
        for index, size in zip(self.optimized, sizes or (), strict=bool(sizes)):
            chosen[index] = size
        return [texture.original_at(*size) for texture, size in zip(self.maps, chosen, strict=True)]

    def pictures(self) -> list[Image.Image]:
        """The original textures of all maps as images, each at its own size."""
        return [Image.fromarray(texture.original) for texture in self.maps]

    def masks(self, sizes: Sequence[tuple[int, int]] | None = None) -> list[Tensor] | None:
        """How far each texel of the maps may change, float32 [1,h,w]; None if all may.

        sizes: (height, width) of the maps that are optimised; by default the masks' own as powers of two.
        """
        if all(texture.mask is None and not texture.kept for texture in self.maps):
            return None
        shapes = [(1, 1) if texture.mask is None else texture.mask.shape for texture in self.maps]
        chosen = [(power_of_two(height), power_of_two(width)) for height, width in shapes]
        for index, size in zip(self.optimized, sizes or (), strict=bool(sizes)):
            chosen[index] = size
        return [texture.mask_at(*size) for texture, size in zip(self.maps, chosen, strict=True)]

    def _repr_html_(self) -> str:
        """What a notebook shows: what is in it, and its original textures."""
        rows = "".join(
            f"<tr><td>{html.escape(texture.name) or 'texture'}</td><td>{texture.original.shape[1]} x "
            f'{texture.original.shape[0]}</td><td><img style="height: 96px" src="data:image/png;base64,'
            f'{base64.b64encode(_thumbnail(texture)).decode()}"></td></tr>'
            for texture in self.maps
        )
        title = f"{html.escape(self.name)}: {len(self.faces):,} triangles, {len(self.vertices):,} vertices"
        return f"<table><caption>{title}</caption>{rows}</table>"

    def __repr__(self) -> str:
        sizes = ", ".join("{1}x{0}".format(*texture.original.shape) for texture in self.maps)
        return f"Mesh({self.name!r}, {len(self.faces)} triangles, original {sizes})"
