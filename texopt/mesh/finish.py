"""Finish: what light does on a texture's surface apart from its colour, as maps: relief, roughness, metal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from texopt.errors import MeshError

ROUGHNESS, METALLIC = 0.9, 0.0  # of a painted surface, where a file says nothing
FLAT = np.array([[[128, 128, 255]]], np.uint8)  # a normal map of a surface without relief


def _flat(value: float) -> np.ndarray:
    return np.array([[round(255 * value)]], np.uint8)


@dataclass(frozen=True, eq=False)
class Finish:
    """The maps of a glTF 2.0 material beside its base colour. Each is of a size of its own, row 0 on top, looked up with
    the UVs and the wrapping of the base colour.

    normal: uint8 [h,w,3], (n + 1) / 2 in the tangent space of texopt.mesh.tangents, green towards the image's upper edge
        (OpenGL's convention); FLAT where there is no relief.
    roughness, metallic: uint8 [h,w], linear, 255 is 1; [1,1] for one number.
    height: float32 [h,w], in units of the mesh, that the normals are the gradient of; None where it is not known.
    """

    normal: np.ndarray = FLAT
    roughness: np.ndarray = _flat(ROUGHNESS)
    metallic: np.ndarray = _flat(METALLIC)
    height: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, ndim in (("normal", 3), ("roughness", 2), ("metallic", 2)):
            values = getattr(self, name)
            if values.dtype != np.uint8 or values.ndim != ndim or not values.size:
                raise MeshError(f"{name} of a finish has to be uint8 with {ndim} axes, not {values.dtype} {values.shape}")
