"""The arrays that a mesh is made of: what each has to be, and that they fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from texopt.errors import OptionError

if TYPE_CHECKING:
    from texopt.mesh.mesh import Mesh

NUMBERS = {"vertices": 3, "uvs": 2, "normals": 3}  # columns
INDICES = {  # into what each is
    "faces": "vertices", "face_uvs": "uvs", "face_normals": "normals", "face_map": "maps", "face_material": "materials",
    "face_object": "objects",
}  # fmt: skip
FLAT = ("face_map", "face_material", "face_object")  # have a number a face, the others one a corner
ARRAYS = (*NUMBERS, *INDICES)


def as_array(name: str, values: Any) -> np.ndarray:
    """A mesh's array of that name of an array, tensor or list: float64 [N,2 or 3], int32 [F,3] or [F].

    OptionError where it is none.
    """
    numbers, shape = name in NUMBERS, (NUMBERS.get(name, 3),) if name not in FLAT else ()
    try:
        found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except (ValueError, TypeError):  # rows of several lengths
        found = np.empty(0, object)
    if found.dtype.kind not in ("fiu" if numbers else "iu") or found.ndim != 1 + len(shape) or found.shape[1:] != shape:
        wanted = "".join(f",{width}" for width in shape)
        got = f"{found.dtype} {list(found.shape)}" if found.dtype != object else type(values).__name__
        raise OptionError(f"{name} has to be {'numbers' if numbers else 'indices'} [N{wanted}], not {got}")
    if not numbers and found.size and (found.min() < -1 or found.max() >= 2**31):
        raise OptionError(f"{name} has indices from {found.min()} to {found.max()}")
    return found.astype(np.float64 if numbers else np.int32, copy=False)


def check_fit(mesh: Mesh) -> None:
    """OptionError where the parts of a mesh do not fit together."""
    if not len(mesh.faces):
        raise OptionError("faces has no triangles")
    for texture in mesh.maps:
        image = getattr(texture, "original", None)
        known = isinstance(image, np.ndarray) and image.dtype == np.uint8
        if image is None or not known or image.shape[2:] != (3,) or not image.size:
            raise OptionError("maps has to be TextureMaps whose original is a numpy array uint8 [H,W,3]")
    for name, of in INDICES.items():
        index, values = getattr(mesh, name), getattr(mesh, of)
        if index is None:
            continue
        if len(index) != len(mesh.faces):
            raise OptionError(f"{name} has {len(index)} rows, and there are {len(mesh.faces)} faces")
        count = 0 if values is None else len(values)
        if index.min() < (-1 if name == "face_normals" else 0) or index.max() >= count:
            raise OptionError(f"{name} has indices from {index.min()} to {index.max()}, and {of} has {count} rows")
    for name, index in (("vertices", mesh.faces), ("uvs", mesh.face_uvs)):
        used = np.zeros(len(getattr(mesh, name)), bool)
        used[index] = True
        rows = getattr(mesh, name)[used]
        if not np.isfinite(rows).all():
            raise OptionError(f"{name} has rows that are not finite (NaN or infinity)")
        if name == "vertices" and not np.ptp(rows, axis=0).any():
            raise OptionError("vertices of all faces are at one place")
