"""Make the three bundled textured meshes (teapot, torus_knot, creature) from code alone.

- teapot: Martin Newell's bicubic Bezier patches (Newell, "The utilization of procedure models in digital
  image synthesis", 1975; the bottom as printed in Crow, "The origins of the teapot", 1987). The round parts
  are stored as the profile of their control rows, the rest as half patches.
- torus_knot: a tube around the (2,3) torus knot, in a rotation-minimising frame (Wang et al., "Computation of
  rotation minimizing frames", 2008).
- creature: ellipsoids joined by a smooth minimum (Quilez, "Smooth minimum" and "Ellipsoid SDF"), marching
  cubes (Lorensen and Cline, 1987), Laplacian smoothing and projection back onto the zero level.

Teapot and creature are unwrapped with xatlas. All are Y up, face +Z, and have UV (0, 0) at the lower left.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
import xatlas
from PIL import Image
from scipy import ndimage
from skimage import measure


@dataclass
class Mesh:
    """A welded triangle mesh with its own index for the UVs."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray


# ---------------------------------------------------------------------------------------------- shared
def colour(code: str) -> np.ndarray:
    """A hex colour as floats in 0..255."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float64)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Hermite step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(base: np.ndarray, paint: np.ndarray | str, amount: np.ndarray) -> np.ndarray:
    """Lay paint over base with the given coverage."""
    top = colour(paint) if isinstance(paint, str) else paint
    return base + (top - base) * np.clip(amount, 0.0, 1.0)[:, None]


def ripple(points: np.ndarray, frequency: float, seed: int, waves: int = 8) -> np.ndarray:
    """A smooth random function of position: a sum of plane waves, about in -1..1."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((waves, points.shape[1]))
    axes *= frequency * rng.uniform(0.6, 1.4, (waves, 1)) / np.linalg.norm(axes, axis=1, keepdims=True)
    return np.sin(points @ axes.T + rng.uniform(0, 2 * np.pi, waves)).sum(axis=1) / np.sqrt(waves)


def bake(mesh: Mesh, corners: np.ndarray, paint: Callable[[np.ndarray], np.ndarray], size: int) -> Image.Image:
    """Texture from paint(values); values interpolate corners (faces, 3, channels), 4 samples a texel."""
    fine = 2 * size
    values = np.zeros((fine, fine, corners.shape[2]))
    covered = np.zeros((fine, fine), dtype=bool)
    pixel = mesh.uv[mesh.uv_faces] * fine - 0.5
    pixel[..., 1] = fine - 1 - pixel[..., 1]
    for (a, b, c), corner in zip(pixel, corners, strict=True):
        low = np.maximum(np.floor(np.min((a, b, c), axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(np.max((a, b, c), axis=0)).astype(int), fine - 1)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0.0:
            continue
        x, y = np.arange(low[0], high[0] + 1)[None, :], np.arange(low[1], high[1] + 1)[:, None]
        v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        inside = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9)
        weights = np.stack([1 - v - w, v, w], axis=-1)[inside]
        box = (slice(low[1], high[1] + 1), slice(low[0], high[0] + 1))
        values[box][inside] = weights @ corner
        covered[box][inside] = True
    picture = np.zeros((fine, fine, 3))
    picture[covered] = paint(values[covered])
    weight = covered.reshape(size, 2, size, 2).sum(axis=(1, 3))
    picture = picture.reshape(size, 2, size, 2, 3).sum(axis=(1, 3)) / np.maximum(weight, 1)[..., None]
    # Texels outside the charts take the colour of the nearest one inside.
    row, col = ndimage.distance_transform_edt(weight == 0, return_distances=False, return_indices=True)
    return Image.fromarray(np.clip(np.rint(picture[row, col]), 0, 255).astype(np.uint8))


def unwrap(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, whole: np.ndarray) -> Mesh:
    """UVs from xatlas: few, large charts. No chart reaches across the border of the faces marked as whole."""
    atlas, chart, pack = xatlas.Atlas(), xatlas.ChartOptions(), xatlas.PackOptions()
    groups = [g for g in (np.flatnonzero(whole), np.flatnonzero(~whole)) if len(g)]
    for group in groups:
        atlas.add_mesh(vertices.astype(np.float32), faces[group].astype(np.uint32), normals.astype(np.float32))
    chart.max_cost, chart.max_iterations = 32.0, 4
    chart.fix_winding, chart.normal_deviation_weight, chart.roundness_weight = True, 1.0, 0.05
    pack.resolution, pack.padding, pack.bruteForce = 1024, 5, True
    pack.rotate_charts = False  # its quarter turns are reflections
    atlas.generate(chart, pack)
    uv, uv_faces = [], np.zeros_like(faces)
    for index, group in enumerate(groups):
        _, corners, points = atlas[index]
        uv_faces[group] = corners + sum(len(u) for u in uv)
        points = points * np.array([atlas.width, atlas.height]) / max(atlas.width, atlas.height)
        uv.append(0.004 + 0.992 * points)  # padding at the border as well
    print(f"  {atlas.chart_count} charts, {100 * atlas.utilization:.0f} % of the texture in use")
    return Mesh(vertices, faces, normals, np.concatenate(uv).astype(np.float64), uv_faces)


def write(folder: Path, name: str, mesh: Mesh, texture: Image.Image, origin: str) -> None:
    """Write name.obj, name.mtl and name.png."""
    texture.save(folder / f"{name}.png", optimize=True)
    material = f"newmtl {name}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1.0\nillum 1\nmap_Kd {name}.png\n"
    (folder / f"{name}.mtl").write_text(material, encoding="ascii")
    lines = [f"# {origin} Made by scripts/make_meshes.py.", f"mtllib {name}.mtl", f"o {name}"]
    for key, rows, digits in (("v", mesh.vertices, 5), ("vt", mesh.uv, 5), ("vn", mesh.normals, 3)):
        rows = np.round(rows, digits) + 0.0  # no negative zeros
        lines += [f"{key} " + " ".join(f"{x:.{digits}f}".rstrip("0").rstrip(".") for x in row) for row in rows]
    lines.append(f"usemtl {name}")
    for face, corner in zip((mesh.faces + 1).tolist(), (mesh.uv_faces + 1).tolist(), strict=True):
        lines.append("f " + " ".join(f"{v}/{t}/{v}" for v, t in zip(face, corner, strict=True)))
    (folder / f"{name}.obj").write_text("\n".join(lines) + "\n", encoding="ascii")
    sizes = ", ".join(f"{p.suffix} {p.stat().st_size / 1024:.0f} KB" for p in sorted(folder.glob(f"{name}.*")))
    print(f"{folder / name}: {len(mesh.faces)} triangles, {len(mesh.vertices)} vertices; {sizes}")


# ---------------------------------------------------------------------------------------------- torus knot
def make_torus_knot(rows: int = 3, along: int = 207, around: int = 24, radius: float = 0.5) -> tuple[Mesh, Image.Image]:
    """A tube around the (2,3) torus knot; its UV strip is cut into rows, stacked with gaps."""

    def knot(t: np.ndarray) -> np.ndarray:
        ring = 2.0 + np.cos(3 * t)
        return np.stack([ring * np.cos(2 * t), ring * np.sin(2 * t), np.sin(3 * t)], axis=1)

    t = np.linspace(0.0, 2.0 * np.pi, 40001)
    dense = knot(t)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    stops = np.interp(np.linspace(0.0, arc[-1], along + 1), arc, t)
    centre = knot(stops)
    tangent = knot(stops + 1e-4) - knot(stops - 1e-4)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.zeros_like(tangent)
    side[0] = np.cross(tangent[0], (0.0, 0.0, 1.0)) / np.linalg.norm(np.cross(tangent[0], (0.0, 0.0, 1.0)))
    for i in range(along):  # double reflection
        v = centre[i + 1] - centre[i]
        r, q = (x - 2.0 / (v @ v) * (v @ x) * v for x in (side[i], tangent[i]))
        w = tangent[i + 1] - q
        side[i + 1] = r - 2.0 / (w @ w) * (w @ r) * w
    up = np.cross(side, tangent)
    defect = np.arctan2(side[-1] @ up[0], side[-1] @ side[0])  # spread what is missing to close the frame
    phi = 2 * np.pi * np.arange(around + 1) / around
    twist = phi[None, :] - defect * np.arange(along + 1)[:, None] / along
    normal = np.cos(twist)[..., None] * side[:, None] + np.sin(twist)[..., None] * up[:, None]
    vertices = (centre[:, None] + radius * normal)[:-1, :-1].reshape(-1, 3)

    i, j = (x.ravel() for x in np.meshgrid(np.arange(along), np.arange(around), indexing="ij"))
    i1, j1 = (i + 1) % along, (j + 1) % around
    a, b, c, d = i * around + j, i1 * around + j, i1 * around + j1, i * around + j1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    # Every row of the atlas holds one part of the tube: the same scale along u and v, so texels are square.
    length, girth, gap, part = arc[-1] / rows, 2 * np.pi * radius, 0.016, along // rows
    scale = min((1 - 2 * gap) / length, (1 - (rows + 1) * gap) / (rows * girth))
    pad_u, pad_v = 0.5 * (1 - scale * length), (1 - rows * scale * girth) / (rows + 1)
    row, col, lap = np.meshgrid(np.arange(rows), np.arange(part + 1), np.arange(around + 1), indexing="ij")
    low = pad_v + (rows - 1 - row) * (scale * girth + pad_v)
    uv = np.stack([pad_u + scale * length * col / part, low + scale * girth * lap / around], axis=-1)
    start = ((i // part) * (part + 1) + i % part) * (around + 1) + j
    a, b, c, d = start, start + around + 1, start + around + 2, start + 1
    uv_faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    unit = normal[:-1, :-1].reshape(-1, 3)
    mesh = Mesh(vertices, faces, unit, uv.reshape(-1, 2), uv_faces)

    # Surface coordinates (turns along, turns around) of every corner, continuous across the cuts.
    strip = np.stack([(row * part + col) / along, lap / around], axis=-1).reshape(-1, 2)

    def paint(uv: np.ndarray) -> np.ndarray:
        repeats = 3 * round(arc[-1] / girth)  # diamonds as long as wide; both families close up
        p, q = 3 * uv[:, 1] + repeats * uv[:, 0], 3 * uv[:, 1] - repeats * uv[:, 0]
        check = np.sin(2 * np.pi * p) * np.sin(2 * np.pi * q)
        out = mix(np.tile(colour("f3e6cf"), (len(uv), 1)), "1f6f78", smoothstep(-0.02, 0.02, check))
        middle = np.maximum(np.abs((2 * p) % 1.0 - 0.5), np.abs((2 * q) % 1.0 - 0.5))
        return mix(out, "c8553d", 1 - smoothstep(0.15, 0.17, middle))

    return mesh, bake(mesh, strip[uv_faces], paint, 1024)


# ---------------------------------------------------------------------------------------------- teapot
# Control rows as (radius, height), from the knob down to the middle of the bottom; 4 rows make a patch.
PROFILE = (
    ((0, 3.15), (0.8, 3.15), (0, 2.85), (0.2, 2.7)),  # knob
    ((0.2, 2.7), (0.4, 2.55), (1.3, 2.55), (1.3, 2.4)),  # lid
    ((1.4, 2.4), (1.3375, 2.53125), (1.4375, 2.53125), (1.5, 2.4)),  # rim
    ((1.5, 2.4), (1.75, 1.875), (2, 1.35), (2, 0.9)),  # body, upper half
    ((2, 0.9), (2, 0.45), (1.5, 0.225), (1.5, 0.15)),  # body, lower half
    ((1.5, 0.15), (1.5, 0.075), (1.425, 0), (0, 0)),  # bottom
)
# Half patches (y <= 0): rows of four (x, y, z), z up, from y = 0 over the side to y = 0.
HANDLE = """
-1.6 0 2.025   -1.6 -.3 2.025  -1.5 -.3 2.25  -1.5 0 2.25
-2.3 0 2.025   -2.3 -.3 2.025  -2.5 -.3 2.25  -2.5 0 2.25
-2.7 0 2.025   -2.7 -.3 2.025  -3 -.3 2.25    -3 0 2.25
-2.7 0 1.8     -2.7 -.3 1.8    -3 -.3 1.8     -3 0 1.8
-2.7 0 1.575   -2.7 -.3 1.575  -3 -.3 1.35    -3 0 1.35
-2.5 0 1.125   -2.5 -.3 1.125  -2.65 -.3 .9375  -2.65 0 .9375
-2 0 .9        -2 -.3 .9       -1.9 -.3 .6    -1.9 0 .6
"""
SPOUT = """
1.7 0 1.425  1.7 -.66 1.425  1.7 -.66 .6      1.7 0 .6
2.6 0 1.425  2.6 -.66 1.425  3.1 -.66 .825    3.1 0 .825
2.3 0 2.1    2.3 -.25 2.1    2.4 -.25 2.025   2.4 0 2.025
2.7 0 2.4    2.7 -.25 2.4    3.3 -.25 2.4     3.3 0 2.4
2.8 0 2.475  2.8 -.25 2.475  3.525 -.25 2.49375  3.525 0 2.49375
2.9 0 2.475  2.9 -.15 2.475  3.45 -.15 2.5125 3.45 0 2.5125
2.8 0 2.4    2.8 -.15 2.4    3.2 -.15 2.4     3.2 0 2.4
"""


def bernstein(n: int) -> np.ndarray:
    """Cubic Bernstein weights at n + 1 even steps: (n + 1, 4)."""
    t = np.linspace(0.0, 1.0, n + 1)
    return np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3], axis=1)


def tube(rings: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Join rings of equal length into a closed surface with a fan at either end (a ring of one is a pole)."""
    points, faces, starts = np.concatenate(rings), [], np.cumsum([0] + [len(r) for r in rings])
    for low, high, first, second in zip(starts, starts[1:], rings, rings[1:], strict=False):
        n = max(len(first), len(second))
        j, k = np.arange(n), (np.arange(n) + 1) % n
        if len(first) > 1:
            a, b = low + j, low + k
            faces.append(np.stack([a, high + j if len(second) > 1 else np.full(n, high), b], 1))
        if len(second) > 1:
            faces.append(np.stack([low + k if len(first) > 1 else np.full(n, low), high + j, high + k], 1))
    return points, np.concatenate(faces)


def make_teapot(n: int = 12) -> tuple[Mesh, Image.Image]:
    """The teapot: a closed body of revolution, and handle and spout as closed tubes that end inside it."""
    weights = bernstein(n)
    quarter = weights @ np.array([[1, 0], [1, 0.56], [0.56, 1], [0, 1]])  # Newell's circle
    circle = quarter[:-1]
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    circle = np.concatenate([circle @ np.linalg.matrix_power(turn, k) for k in range(4)])
    rings: list[np.ndarray] = []
    for patch in PROFILE:
        # Each curve starts where the last ended, but for the groove around the lid: it gets a flat floor.
        curve = weights @ np.array(patch)
        repeated = bool(rings) and np.allclose(rings[-1][0, [0, 2]], curve[0])
        for radius, height in curve[1:] if repeated else curve:
            ring = np.column_stack([radius * circle, np.full(len(circle), height)])
            rings.append(ring[:1] if radius < 1e-9 else ring)
    parts = [tube(rings)]
    for text in (HANDLE, SPOUT):
        control = np.array(text.split(), dtype=np.float64).reshape(7, 4, 3)
        half = np.concatenate([np.einsum("ia,abx,jb->ijx", weights, control[k : k + 4], weights) for k in (0, 3)])
        half = np.delete(half, n + 1, axis=0)
        loop = np.concatenate([half, half[:, -2:0:-1] * (1, -1, 1)], axis=1)
        ends = [loop[0], loop[-1]]
        if text is HANDLE:  # run both ends a little further into the body
            first, last = ends[0] + (0.15, 0, 0), ends[1] + (0.15, 0, 0)
            loops = [first.mean(0, keepdims=True), first, *loop, last, last.mean(0, keepdims=True)]
        else:  # and let the hole of the spout go down a little, to a floor
            middle = ends[1].mean(0)
            last = middle + 0.72 * (ends[1] - middle) + (-0.22, 0, -0.25)
            loops = [ends[0].mean(0, keepdims=True), *loop, last, last.mean(0, keepdims=True)]
        parts.append(tube(loops))
    vertices, faces, part = [], [], []
    for index, (points, triangles) in enumerate(parts):
        solid = trimesh.Trimesh(points, triangles, process=False)
        triangles = triangles if solid.volume > 0 else triangles[:, ::-1]
        faces.append(triangles + sum(len(v) for v in vertices))
        vertices.append(points[:, [0, 2, 1]] * (1, 1, -1))  # z up to y up
        part.append(np.full(len(triangles), float(index)))
    part[2][-3 * 2 * n :] = 3.0  # the inside of the spout: two rows of triangles and a fan
    points, triangles = np.concatenate(vertices), np.concatenate(faces)
    solid = trimesh.Trimesh(points, triangles, process=False)
    mesh = unwrap(points, triangles, np.array(solid.vertex_normals), np.zeros(len(triangles), dtype=bool))
    which = np.repeat(np.concatenate(part), 3).reshape(-1, 3, 1)
    return mesh, bake(mesh, np.concatenate([points[triangles], which], axis=2), paint_teapot, 1024)


def paint_teapot(values: np.ndarray) -> np.ndarray:
    """Cream glaze with cobalt bands and flowers; values are positions and the number of the part."""
    p, which, soft = values[:, :3], np.rint(values[:, 3])[:, None], 0.012
    x, y = p[:, 0], p[:, 1]
    turn, radius = np.arctan2(p[:, 2], x) / (2 * np.pi), np.hypot(x, p[:, 2])
    cream = np.tile(colour("f4ead6"), (len(p), 1)) * (1 + 0.018 * ripple(p, 5.0, 1))[:, None]
    blue, ochre = "24479b", "d79a3c"

    def below(size: np.ndarray, level: float = 0.0) -> np.ndarray:
        return 1 - smoothstep(level - soft, level + soft, size)

    def band(low: float, high: float, size: np.ndarray) -> np.ndarray:
        return below(size, high) * (1 - below(size, low))

    body = cream
    for low, high in ((-1.0, 0.2), (0.42, 0.47), (0.53, 0.6), (1.62, 1.69), (1.75, 1.79), (2.27, 2.36)):
        body = mix(body, blue, band(low, high, y))
    # Frieze: a wave with a flower in every bend and a bead outside it; scallops hang above.
    body = mix(body, blue, below(np.abs(y - (1.11 + 0.22 * np.sin(12 * np.pi * turn))), 0.035))
    for shift, flip in ((0.25, 1.0), (0.75, -1.0)):
        dx = ((6 * turn - shift + 0.5) % 1.0 - 0.5) * 2 * np.pi * 2.0 / 6
        dy = (y - 1.11) * flip + 0.14
        size = np.hypot(dx, dy)
        body = mix(body, blue, below(size - 0.2 * (0.66 + 0.34 * np.cos(6 * np.arctan2(dy, dx)))))
        body = mix(body, ochre, below(size, 0.07) + below(np.hypot(dx, dy - 0.51), 0.055))
    scallop = y - (2.27 - 0.2 * np.abs(np.sin(16 * np.pi * turn)))
    body = mix(body, blue, band(0.0, 0.07, scallop) * band(1.85, 2.3, y))
    # Underneath: rings and the maker's mark. Lid: petals around a blue knob.
    foot = mix(cream, blue, band(1.15, 1.22, radius) + band(1.38, 2.0, radius))
    foot = mix(foot, blue, below(radius - 0.5 * (0.7 + 0.3 * np.cos(10 * np.pi * turn))))
    foot = mix(foot, ochre, below(radius, 0.16))
    lid = mix(cream, blue, band(1.12, 1.2, radius) + band(0.2, 0.28, radius))
    petal = np.abs((12 * turn) % 1.0 - 0.5) * radius * np.pi / 6 - 0.16 * np.sin(np.pi * (radius - 0.34) / 0.7)
    for paint, level in ((blue, 0.0), (ochre, -0.07)):
        lid = mix(lid, paint, below(petal, level) * band(0.34, 1.04, radius))
    lid = mix(mix(lid, blue, 1 - below(y, 2.72)), ochre, 1 - below(y, 3.07))
    body = np.where(((radius < 1.36) & (y > 2.39))[:, None], lid, body)
    body = mix(body, blue, band(1.36, 1.47, radius) * (y > 2.4))
    body = np.where((y < 0.12)[:, None], foot, body)
    # Handle: rings. Spout: a foot, a lip, and dark inside.
    rings = np.abs((3.2 * np.arctan2(y - 1.5, -(x + 2.0))) % 1.0 - 0.5)
    handle = mix(mix(cream, blue, below(rings, 0.105)), ochre, 1 - below(rings, 0.478))
    tip = y + 0.25 * (x - 2.8)
    spout = mix(cream, blue, below(radius, 2.14) + band(2.2, 2.25, radius) + 1 - below(tip, 2.27))
    spout = mix(spout, ochre, band(2.12, 2.18, tip))
    out = np.select([which == 1, which == 2, which == 3], [handle, spout, colour("3b2c26")], body)
    return out * (1 + 0.015 * ripple(p, 17.0, 2))[:, None]


# ---------------------------------------------------------------------------------------------- creature
# Ellipsoids: centre, radii, turn about z and x in degrees, width of the smooth union. x > 0 is mirrored.
BLOBS = (
    ((0, 0.86, -0.22), (0.56, 0.53, 0.74), 0, 0, 0.05),  # trunk
    ((0, 0.74, -0.10), (0.52, 0.45, 0.60), 0, 0, 0.10),  # belly
    ((0, 0.98, 0.34), (0.44, 0.46, 0.36), 0, 0, 0.15),  # chest
    ((0, 1.62, 0.56), (0.63, 0.54, 0.52), 0, 0, 0.12),  # head
    ((0.37, 1.46, 0.66), (0.30, 0.25, 0.28), 0, 0, 0.12),  # cheeks
    ((0, 1.42, 1.00), (0.21, 0.155, 0.19), 0, 0, 0.10),  # muzzle
    ((0.40, 2.08, 0.46), (0.215, 0.36, 0.13), -22, 0, 0.08),  # ears
    ((0.31, 0.42, 0.36), (0.19, 0.42, 0.20), 0, 0, 0.10),  # front legs
    ((0.31, 0.12, 0.45), (0.215, 0.13, 0.27), 0, 0, 0.06),  # front paws
    ((0.40, 0.56, -0.55), (0.27, 0.40, 0.36), 0, 0, 0.10),  # thighs
    ((0.41, 0.12, -0.40), (0.215, 0.13, 0.28), 0, 0, 0.08),  # hind paws
    ((0, 1.04, -1.02), (0.17, 0.17, 0.24), 0, 35, 0.16),  # tail, upwards
    ((0, 1.32, -1.20), (0.23, 0.28, 0.23), 0, -20, 0.12),
    ((0, 1.66, -1.20), (0.25, 0.30, 0.25), 0, 12, 0.10),
    ((0, 1.95, -1.06), (0.17, 0.20, 0.18), 0, 25, 0.10),
    ((0, 1.505, 1.165), (0.085, 0.062, 0.06), 0, 0, 0.025),  # nose
    ((0.255, 1.655, 0.965), (0.125, 0.145, 0.09), -4, 0, 0.03),  # eyes
)
PATCHES = (  # dark patches: centre, radii
    ((0.45, 1.15, -0.25), (0.30, 0.34, 0.34)), ((-0.42, 1.0, -0.62), (0.34, 0.36, 0.30)),
    ((-0.35, 1.35, 0.02), (0.26, 0.20, 0.22)), ((0.15, 1.38, -0.72), (0.30, 0.22, 0.24)),
    ((-0.5, 0.75, 0.1), (0.2, 0.2, 0.2)), ((0.62, 0.75, -0.7), (0.20, 0.22, 0.20)),
    ((0.12, 2.14, 0.3), (0.20, 0.20, 0.36)),
)  # fmt: skip
EAR_HOLE = ((0.43, 2.16, 0.61), (0.11, 0.20, 0.085), -22, 0, 0.06)


def ellipsoid(points: np.ndarray, blob: tuple) -> np.ndarray:
    """Quilez's bound on the distance to a turned ellipsoid."""
    centre, radii, about_z, about_x, _ = blob
    z, x = np.radians(about_z), np.radians(about_x)
    turn_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    local = (points - np.array(centre)) @ (turn_z @ turn_x)
    k0 = np.linalg.norm(local / np.array(radii), axis=1)
    k1 = np.linalg.norm(local / np.square(radii), axis=1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)


def smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Quilez's quadratic smooth minimum."""
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - 0.25 * width * h * h


def creature_sdf(points: np.ndarray) -> np.ndarray:
    """Signed distance (about) to the creature, which is mirror symmetric in x."""
    folded = points * 1.0
    folded[:, 0] = np.abs(folded[:, 0])
    out = ellipsoid(folded, BLOBS[0])
    for blob in BLOBS[1:]:
        out = smooth_min(out, ellipsoid(folded, blob), 2.0 * blob[4])
    out = -smooth_min(-out, ellipsoid(folded, EAR_HOLE), EAR_HOLE[4])
    return -smooth_min(-out, folded[:, 1] - 0.015, 0.05)  # flat soles


def sdf_gradient(points: np.ndarray, step: float = 2e-3) -> np.ndarray:
    """Central differences of the signed distance."""
    axes = np.eye(3) * step
    return np.stack([creature_sdf(points + a) - creature_sdf(points - a) for a in axes], axis=1) / (2 * step)


def paint_creature(p: np.ndarray) -> np.ndarray:
    """Colours of surface points."""
    x, y, z = p.T
    ax = np.abs(x)
    wob = 0.035 * ripple(p, 9.0, 3) + 0.014 * ripple(p, 34.0, 4)
    fur = ripple(p * (1.0, 0.45, 0.45), 70.0, 5)

    def blob(centre: tuple, radii: tuple, edge: float = 0.10, at: np.ndarray = p, rough: float = 1.0) -> np.ndarray:
        size = np.linalg.norm((at - np.array(centre)) / np.array(radii), axis=1)
        return 1 - smoothstep(1 - edge, 1 + edge, size + rough * wob * 2.0)

    folded = np.stack([ax, y, z], axis=1)
    out = np.tile(colour("e8924a"), (len(p), 1))
    out = mix(out, "c96f2b", smoothstep(0.6, 1.6, y) * smoothstep(0.5, -0.6, z) * 0.6)
    dark, cream = "4a2c28", "fbeed8"
    for centre, radii in PATCHES:
        out = mix(out, dark, blob(centre, radii))
    out = mix(out, cream, blob((0, 0.62, 0.24), (0.36, 0.66, 0.62)))  # belly and chest
    out = mix(out, cream, blob((0.3, 1.36, 0.82), (0.36, 0.2, 0.42), at=folded))  # cheeks and muzzle
    out = mix(out, cream, blob((0, 1.42, 1.0), (0.26, 0.22, 0.4)))
    out = mix(out, cream, blob((0, 1.85, 1.0), (0.10, 0.42, 0.4)))  # blaze
    out = mix(out, dark, blob((0.28, 1.68, 0.95), (0.24, 0.25, 0.3)))  # a patch around one eye
    ring = np.arctan2(y - 1.45, -0.62 - z)  # along the tail
    tail = smoothstep(0.04, -0.04, z + 0.96 - 0.25 * smoothstep(1.25, 1.45, y) + 0.3 * wob) * smoothstep(0.98, 1.06, y)
    stripes = smoothstep(-0.15, 0.15, np.sin(11.0 * ring + 1.6) + 3.0 * wob)
    out = mix(out, dark, tail * stripes)
    out = mix(out, cream, tail * smoothstep(1.84, 1.9, y + wob))
    out = mix(out, dark, 1 - smoothstep(0.25, 0.29, y + 0.7 * wob))  # socks
    toes = np.where(z > 0, np.abs(np.abs(ax - 0.31) - 0.075), np.abs(np.abs(ax - 0.41) - 0.075))
    front = np.where(z > 0, z - 0.56, z + 0.30)
    line = (1 - smoothstep(0.008, 0.016, toes)) * smoothstep(0.0, 0.03, front) * (y < 0.2)
    out = mix(out, "e8b98a", line)
    inner = np.linalg.norm((folded - np.array([0.395, 2.06, 0.56])) / (0.125, 0.24, 0.12), axis=1)
    tips = smoothstep(2.2, 2.28, y + 0.3 * ax + 0.8 * wob) * smoothstep(0.2, 0.3, ax)
    out = mix(out, dark, tips)
    out = mix(out, "f0a9a0", 1 - smoothstep(0.88, 1.0, inner))
    out *= (1 + 0.035 * fur + 0.02 * ripple(p, 6.0, 6))[:, None]

    # The face is drawn without fur: blush, mouth, nose, eyes.
    out = mix(out, "f2907f", 0.75 * blob((0.47, 1.44, 0.88), (0.13, 0.085, 0.3), 0.35, folded, 0.0))
    face = smoothstep(0.9, 0.95, z)
    mouth = np.abs(np.hypot(ax - 0.075, y - 1.405) - 0.078)
    out = mix(out, "3a2220", face * (1 - smoothstep(0.010, 0.017, mouth)) * (y < 1.405))
    out = mix(out, "3a2220", face * (1 - smoothstep(0.009, 0.016, ax)) * (y < 1.47) * (y > 1.395))
    out = mix(out, "3a2220", blob((0, 1.51, 1.18), (0.098, 0.068, 0.12), 0.05, rough=0.0))
    out = mix(out, "b98d86", blob((-0.025, 1.535, 1.2), (0.035, 0.016, 0.1), 0.3, rough=0.0))
    for centre, radii, code in (
        ((0.258, 1.655), (0.142, 0.162), "fff8ea"),
        ((0.256, 1.655), (0.124, 0.145), "20130f"),
        ((0.254, 1.640), (0.104, 0.118), "2f8f8a"),
        ((0.254, 1.615), (0.080, 0.070), "63c9b0"),
        ((0.252, 1.655), (0.068, 0.086), "0c0809"),
    ):
        out = mix(out, code, face_blob(folded, centre, radii) * (z > 0.7))
    for side in (-1, 1):  # highlights are on the same side of both eyes
        flat = np.stack([x - side * 0.254, y, z], axis=1)
        for centre, radii in (((-0.042, 1.705), (0.04, 0.043)), ((0.045, 1.605), (0.02, 0.022))):
            out = mix(out, "ffffff", face_blob(flat, centre, radii) * (z > 0.7))
    return out


def face_blob(p: np.ndarray, centre: tuple, radii: tuple) -> np.ndarray:
    """Coverage of an ellipse drawn on the face, seen from the front."""
    size = np.hypot((p[:, 0] - centre[0]) / radii[0], (p[:, 1] - centre[1]) / radii[1])
    soft = 0.006 / min(radii)
    return 1 - smoothstep(1 - soft, 1 + soft, size)


def make_creature(cell: float = 0.0475) -> tuple[Mesh, Image.Image]:
    """A plump cub on four legs, with pointed ears and a ringed tail."""
    low, high = np.array([-1.15, -0.15, -1.65]), np.array([1.15, 2.65, 1.4])
    grid = [np.arange(a, b, cell) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    field = creature_sdf(points.reshape(-1, 3)).reshape(points.shape[:3])
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0, spacing=(cell,) * 3)
    vertices = vertices.astype(np.float64) + low
    edges = trimesh.Trimesh(vertices, faces, process=False).edges_unique
    degree = np.bincount(edges.ravel(), minlength=len(vertices))[:, None]
    for _ in range(8):  # even the triangles out, and go back to the surface
        total = np.zeros_like(vertices)
        np.add.at(total, edges[:, 0], vertices[edges[:, 1]])
        np.add.at(total, edges[:, 1], vertices[edges[:, 0]])
        vertices = 0.4 * vertices + 0.6 * total / degree
        for _ in range(2):
            slope = sdf_gradient(vertices)
            step = creature_sdf(vertices) / np.maximum((slope**2).sum(axis=1), 0.05)
            vertices = vertices - np.clip(step, -cell, cell)[:, None] * slope
    normals = sdf_gradient(vertices)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    if trimesh.Trimesh(vertices, faces, process=False).volume < 0:
        faces = faces[:, ::-1]
    middle = vertices[faces].mean(axis=1)  # keep the face in one chart
    face = (np.hypot(middle[:, 0] / 0.5, (middle[:, 1] - 1.68) / 0.38) < 1.0) & (middle[:, 2] > 0.7)
    mesh = unwrap(vertices, faces.astype(np.int64), normals, face)
    return mesh, bake(mesh, vertices[mesh.faces], paint_creature, 1024)


def main() -> None:
    """Write the meshes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parent.parent / "meshes"
    parser.add_argument("--out", type=Path, default=default, help="folder for the meshes")
    parser.add_argument("--only", choices=tuple(MAKERS), help="make just this one")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, (make, origin) in MAKERS.items():
        if args.only in (None, name):
            write(args.out, name, *make(), origin)


MAKERS = {
    "teapot": (make_teapot, "The Utah teapot, after Martin Newell (1975)."),
    "torus_knot": (make_torus_knot, "A tube around the (2,3) torus knot."),
    "creature": (make_creature, "A cub, from ellipsoids and a smooth minimum."),
}

if __name__ == "__main__":
    main()
