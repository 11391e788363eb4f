"""What a mesh file holds, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from texopt.errors import MeshError
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Source
from texopt.mesh.wrapping import REPEATED, Wrap
from texopt.system.images import load_rgba


@dataclass(frozen=True, eq=False)
class Material:
    """A plain colour, or a texture. Materials that share a texture share the object."""

    color: tuple[float, float, float]  # sRGB in [0,1]
    texture: np.ndarray | None = None  # uint8 [H,W,3]
    alpha: np.ndarray | None = None  # uint8 [H,W], the texture's opacity where it is not opaque
    tile: tuple[str, int] | None = None  # of a UDIM tile: the material that its set is named after, and its number
    problem: str = ""  # why its texture is not here, where that was let pass
    wrap: Wrap = REPEATED  # how its texture goes on beyond its edges

    def image(self) -> np.ndarray:
        """uint8 [H,W,3]; one texel for a plain colour."""
        if self.texture is None:
            return (np.array([[self.color]]) * 255).round().astype(np.uint8)
        return self.texture


MOST_MATERIALS = 1024  # each of which may have a texture to be optimised
TURNED = [0, 2, 1]  # corners of a triangle the other way round


def textured(source: Path | bytes, name: str = "", tile: tuple[str, int] | None = None) -> Material:
    """A material with the texture in a file, its colours as they are where it is transparent. ImageError if it is none.

    name: for messages, where `source` is bytes.
    """
    image = load_rgba(source, name, upright=False)
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    opaque = alpha is None or alpha.min() == 255
    return Material((1.0, 1.0, 1.0), np.array(image.convert("RGB")), None if opaque else alpha, tile)


@dataclass(frozen=True, eq=False)
class RawMesh:
    """What a file holds, triangulated. Indices are -1 where a corner has no uv or normal.

    copy_of is, for a face of an object that a scene shows again, the same face where it is shown first, and else the
    face itself; its corners are TURNED where a node mirrors one of the two. source is the file for an export that keeps
    it.
    """

    vertices: np.ndarray  # float64 [V,3]
    faces: np.ndarray  # int64 [F,3]
    uvs: np.ndarray  # float64 [T,2]
    face_uvs: np.ndarray  # int64 [F,3]
    normals: np.ndarray  # float64 [N,3]
    face_normals: np.ndarray  # int64 [F,3]
    materials: list[Material]
    names: list[str]  # of the materials
    face_material: np.ndarray  # int64 [F]
    files: tuple[Path, ...]  # that it was read from
    colors: np.ndarray | None = None  # float64 [C,3] in [0,1], multiplies the materials (as linear light)
    objects: list[str] = field(default_factory=lambda: [""])
    face_object: np.ndarray = None  # type: ignore[assignment]  # int64 [F], by default 0
    copy_of: np.ndarray = None  # type: ignore[assignment]  # int64 [F], by default the faces themselves
    turned: np.ndarray = None  # type: ignore[assignment]  # bool [F], by default False
    source: Source | None = None
    linear_colors: bool = False  # whether colors are linear and interpolate so, or else sRGB
    face_colors: np.ndarray = None  # type: ignore[assignment]  # int64 [F,3] into colors, by default faces

    finishes: list[Finish | None] = field(default_factory=list)  # of the materials; empty where none is known

    def __post_init__(self) -> None:
        if self.face_colors is None:
            object.__setattr__(self, "face_colors", self.faces)
        if self.face_object is None:
            object.__setattr__(self, "face_object", np.zeros(len(self.faces), np.int64))
        if self.turned is None:
            object.__setattr__(self, "turned", np.zeros(len(self.faces), bool))
        if self.copy_of is None:
            object.__setattr__(self, "copy_of", np.arange(len(self.faces)))

    def first_shown(self, faces: np.ndarray) -> np.ndarray:
        """Those of some faces (indices) that are no copies."""
        return np.asarray(faces[self.copy_of[faces] == faces])

    def used_materials(self) -> list[int]:
        return [int(index) for index in np.unique(self.face_material)]

    def has_uvs(self) -> np.ndarray:
        """bool [F]: which faces have UVs at all three corners, finite ones."""
        has = np.asarray((self.face_uvs >= 0).all(1))
        has[has] = np.isfinite(self.uvs[self.face_uvs[has]]).all((1, 2))
        return has

    def tints(self, faces: np.ndarray) -> np.ndarray | None:
        """The colours of the corners of some faces (indices), float64 [N,3,3]; None where they change nothing."""
        found = None if self.colors is None else self.colors[self.face_colors[faces]]
        return found if found is not None and (found < 1).any() else None

    def label(self, material: int) -> str:
        """What the user calls a material."""
        return self.names[material] or "textured"


def check_materials(path: Path, count: int) -> None:
    """MeshError where faces have more materials than can be handled one by one."""
    if count > MOST_MATERIALS:
        raise MeshError(f"{path} has {count:,} materials, more than {MOST_MATERIALS:,}; join some in a mesh editor")


def stacked(arrays: list[np.ndarray], width: int, kind: type = np.float64) -> np.ndarray:
    """Rows of several arrays as one, also of none."""
    return np.concatenate(arrays).astype(kind) if arrays else np.zeros((0, width), kind)
