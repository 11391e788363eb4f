"""Lines of an OBJ file from arrays, for millions of rows: a block of rows is one %-format of all its numbers."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 8  # rows; more make it no faster


def _formatted(template: str, values: np.ndarray) -> list[str]:
    """The template filled with each row of values [R,K]."""
    lines: list[str] = []
    whole = "\n".join([template] * _BLOCK)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        text = whole if len(block) == _BLOCK else "\n".join([template] * len(block))
        lines += (text % tuple(block.ravel().tolist())).split("\n")
    return lines


def vertex_lines(vertices: np.ndarray) -> list[str]:
    """`v x y z` of vertices [V,3]: nine digits, which tell any two float32 apart, and more where all are far away."""
    finite = vertices[np.isfinite(vertices).all(1)]
    size = float(np.ptp(finite, axis=0).max()) if len(finite) else 0.0
    ratio = float(np.abs(finite).max()) / size if size > 0 else 1.0
    digits = min(9 + max(0, int(np.ceil(np.log10(ratio)))), 17)
    return _formatted(" ".join(["v", *[f"%.{digits}g"] * 3]), vertices)


def uv_lines(uvs: np.ndarray) -> list[str]:
    """`vt u v` of float uvs [T,2], to seven digits."""
    return _formatted("vt %.7g %.7g", uvs)


def normal_lines(normals: np.ndarray) -> list[str]:
    """`vn x y z` of float normals [N,3], to six digits."""
    return _formatted("vn %.6g %.6g %.6g", normals)


_FORMS = {(False, False): "%d", (True, False): "%d/%d", (False, True): "%d//%d", (True, True): "%d/%d/%d"}


def face_lines(faces: np.ndarray, face_uvs: np.ndarray, face_normals: np.ndarray | None) -> list[str]:
    """`f v/vt/vn v/vt/vn v/vt/vn` of triangles, without vt or vn at corners that have none.

    faces, face_uvs, face_normals: int [F,3], zero-based indices of each corner's vertex, uv and normal; -1 in the last
    two, or None for the last, is none.
    """
    normals = np.full_like(faces, -1) if face_normals is None else face_normals
    numbers = np.stack([faces, face_uvs, normals], 2) + 1  # [F,3,3]
    has = numbers > 0
    which = has.reshape(-1, 9) @ (1 << np.arange(9))  # triangles whose same corners have the same are of one template
    lines = np.empty(len(faces), object)
    for pattern in np.unique(which):
        rows = which == pattern
        here = has[rows.argmax()]
        template = "f " + " ".join(_FORMS[uv, normal] for _, uv, normal in here.tolist())
        lines[rows] = _formatted(template, numbers[rows][:, here])
    return list(lines)
