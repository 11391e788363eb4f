import numpy as np


def vertex_lines(v):
    return [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in v.tolist()]


def uv_lines(v):
    return [f"vt {x:.7g} {y:.7g}" for x, y in v.tolist()]


def normal_lines(v):
    return [f"vn {x:.6g} {y:.6g} {z:.6g}" for x, y, z in v.tolist()]


def _c(v, t, n):
    return f"{v + 1}/{t + 1}/{n + 1}" if n >= 0 else f"{v + 1}/{t + 1}"


def face_lines(f, t, n):
    n = np.full_like(f, -1) if n is None else n
    return ["f " + " ".join(_c(*c) for c in zip(a, b, d)) for a, b, d in zip(f.tolist(), t.tolist(), n.tolist())]
