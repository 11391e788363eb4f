"""Finish: what light does on a texture's surface apart from its colour, as maps: relief, roughness, metal."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from texopt.errors import MeshError

ROUGHNESS, METALLIC = 0.9, 0.0  # of a painted surface, where a file says nothing


def no_relief() -> np.ndarray:
    """A normal map of a surface that is as its mesh, uint8 [1,1,3]."""
    return np.array([[[128, 128, 255]]], np.uint8)


def even(value: float) -> np.ndarray:
    """A map of one number in [0,1], uint8 [1,1]."""
    return np.array([[round(255 * value)]], np.uint8)


def directx(normal: np.ndarray) -> np.ndarray:
    """A normal map uint8 [h,w,3] with green towards the image's lower edge, as DirectX has it; or back from that."""
    return np.stack([normal[..., 0], 255 - normal[..., 1], normal[..., 2]], -1)


@dataclass(frozen=True, eq=False)
class Finish:
    """The maps of a glTF 2.0 material beside its base colour.

    Each is of a size of its own, row 0 on top, looked up with the UVs and the wrapping of the base colour.

    normal: uint8 [h,w,3], (n + 1) / 2 in the tangent space of texopt.mesh.tangents, green towards the image's upper
        edge (OpenGL's convention); of one texel where there is no relief.
    roughness, metallic: uint8 [h,w], linear, 255 is 1; [1,1] for one number.
    height: float32 [h,w], in units of the mesh, that the normals are the gradient of; None where it is not known.

    Raises MeshError where one is not such an array.
    """

    normal: np.ndarray = field(default_factory=no_relief)
    roughness: np.ndarray = field(default_factory=lambda: even(ROUGHNESS))
    metallic: np.ndarray = field(default_factory=lambda: even(METALLIC))
    height: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, shape in (("normal", "[h,w,3]"), ("roughness", "[h,w]"), ("metallic", "[h,w]")):
            values = getattr(self, name)
            if not _is_map(values, shape) or values.dtype != np.uint8:
                raise MeshError(f"{name} of a finish has to be uint8 {shape} (NumPy), not {_told(values)}")
        if self.height is None:
            return
        if not _is_map(self.height, "[h,w]") or self.height.dtype.kind != "f":
            raise MeshError(f"height of a finish has to be float32 [h,w] (NumPy), not {_told(self.height)}")
        if not np.isfinite(self.height).all():
            raise MeshError("height of a finish has to be finite; it has NaN or infinity")


def _is_map(values: object, shape: str) -> bool:
    """Whether a value is an array of the axes in `shape`, of which the last is 3 where that says so."""
    if not isinstance(values, np.ndarray) or not values.size or values.ndim != shape.count(",") + 1:
        return False
    return not shape.endswith("3]") or values.shape[-1] == 3


def _told(values: object) -> str:
    """What a value is, for messages."""
    return f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
