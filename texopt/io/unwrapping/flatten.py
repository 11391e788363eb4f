"""Laying a chart flat: a piece of a surface as rigidly as possible into the plane, and whether it lies well there."""

from __future__ import annotations

import numpy as np
from numba import njit

ROUNDS, STEPS = 30, 60  # at most: of turning faces and moving points, and of conjugate gradients in each
SETTLED = 1e-3  # of the energy; a round that takes less off is the last
SOLVED = 1e-3  # of the residual's square; what is less waits for the next round
LIMITS = 0.05, 20.0  # cotangents, of 87° and 3°: thin faces make no equation that is hard to solve
TURNED = 1e-3  # of its own area; a face with less in the plane counts as turned over
TOUCH = 1e-7  # of an edge: how far another face may reach over it, by rounding
CROWD = 16  # cells that a face may be in, on average, where overlaps are looked for

kernel = njit(cache=True, error_model="numpy")  # called from Python
called = njit(error_model="numpy")  # called by kernels


@kernel
def lay_flat(points: np.ndarray, faces: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """A chart in the plane, as rigid as possible: float64 [N,2], in the units of its points.

    It is projected along its normal. Then by turns every face gets the rotation that fits it best, and conjugate
    gradients move the points to where they fit the faces so turned (Liu et al., "A Local/Global Approach to Mesh
    Parameterization", 2008, equations 5 to 9; here the cotangents have limits, and no matrix is factored).

    points: float64 [N,3]. faces: int64 [F,3] with area. normal: float64 [3] of any length.
    """
    x = projected(points, normal)
    shapes, weights = np.empty((len(faces), 3, 2)), np.empty((len(faces), 3))
    diagonal = np.zeros(len(points))
    for face in range(len(faces)):
        shape_of(points, faces[face], shapes[face])
        for k in range(3):  # an edge from corner k to the next, and the angle across it
            n, o = (k + 1) % 3, (k + 2) % 3
            i, j = faces[face, k], faces[face, n]
            p, q = shapes[face, k, 0] - shapes[face, o, 0], shapes[face, k, 1] - shapes[face, o, 1]
            s, t = shapes[face, n, 0] - shapes[face, o, 0], shapes[face, n, 1] - shapes[face, o, 1]
            weights[face, k] = min(max((p * s + q * t) / abs(p * t - q * s), LIMITS[0]), LIMITS[1])
            diagonal[i] += weights[face, k]
            diagonal[j] += weights[face, k]
    residual, before = np.empty((len(points), 2)), np.inf
    for _ in range(ROUNDS):
        energy = turn_faces(x, faces, shapes, weights, residual)
        if energy >= (1 - SETTLED) * before:
            break
        before = energy
        move_points(x, faces, weights, diagonal, residual)
    return x


@called
def projected(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Points along a normal onto its plane, counter-clockwise as seen against it: float64 [N,2]."""
    length = max(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), 1e-300)
    a, b, c = normal[0] / length, normal[1] / length, normal[2] / length
    sign = 1.0 if c >= 0 else -1.0  # a basis as in Duff et al., "Building an Orthonormal Basis, Revisited", 2017
    d = -1 / (sign + c)
    e = a * b * d
    x = np.empty((len(points), 2))
    for i in range(len(points)):
        u, v, w = points[i, 0], points[i, 1], points[i, 2]
        x[i, 0] = u * (1 + sign * a * a * d) + v * sign * e - w * sign * a
        x[i, 1] = u * e + v * (sign + b * b * d) - w * b
    return x


@called
def shape_of(points: np.ndarray, face: np.ndarray, shape: np.ndarray) -> None:
    """Write the corners of a face in its own plane into shape, float64 [3,2]: the first at 0, the second along u."""
    base = along = across = 0.0
    a, b, c = face[0], face[1], face[2]
    for k in range(3):
        base += (points[b, k] - points[a, k]) ** 2
        along += (points[b, k] - points[a, k]) * (points[c, k] - points[a, k])
    base = np.sqrt(base)
    along /= base
    for k in range(3):
        across += (points[c, k] - points[a, k] - along / base * (points[b, k] - points[a, k])) ** 2
    shape[0, 0], shape[0, 1] = 0.0, 0.0
    shape[1, 0], shape[1, 1] = base, 0.0
    shape[2, 0], shape[2, 1] = along, np.sqrt(across)


@called
def turn_faces(
    x: np.ndarray, faces: np.ndarray, shapes: np.ndarray, weights: np.ndarray, residual: np.ndarray
) -> float:
    """The energy of points [N,2] for the best rotations of all faces, and into residual its downward slope [N,2]."""
    residual.fill(0.0)
    energy = 0.0
    for face in range(len(faces)):
        cosine = sine = 0.0
        for k in range(3):
            i, j, n = faces[face, k], faces[face, (k + 1) % 3], (k + 1) % 3
            p, q = shapes[face, n, 0] - shapes[face, k, 0], shapes[face, n, 1] - shapes[face, k, 1]
            s, t = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1]
            cosine += weights[face, k] * (p * s + q * t)
            sine += weights[face, k] * (p * t - q * s)
        length = max(np.sqrt(cosine * cosine + sine * sine), 1e-300)
        cosine, sine = cosine / length, sine / length
        for k in range(3):
            i, j, n = faces[face, k], faces[face, (k + 1) % 3], (k + 1) % 3
            p, q = shapes[face, n, 0] - shapes[face, k, 0], shapes[face, n, 1] - shapes[face, k, 1]
            s = weights[face, k] * (cosine * p - sine * q - x[j, 0] + x[i, 0])
            t = weights[face, k] * (sine * p + cosine * q - x[j, 1] + x[i, 1])
            energy += (s * s + t * t) / weights[face, k]
            residual[i, 0] -= s
            residual[i, 1] -= t
            residual[j, 0] += s
            residual[j, 1] += t
    return energy


@called
def move_points(
    x: np.ndarray, faces: np.ndarray, weights: np.ndarray, diagonal: np.ndarray, residual: np.ndarray
) -> None:
    """Move points [N,2] down to where the residual is 0, nearly: conjugate gradients, scaled by the diagonal [N]."""
    step, product = np.zeros_like(x), np.empty_like(x)
    before = first = 0.0
    for turn in range(STEPS):
        size = 0.0
        for i in range(len(x)):
            size += (residual[i, 0] ** 2 + residual[i, 1] ** 2) / diagonal[i]
        if turn == 0:
            before, first = np.inf, size
        if size <= SOLVED * first:
            break
        for i in range(len(x)):
            for k in range(2):
                step[i, k] = residual[i, k] / diagonal[i] + size / before * step[i, k]
                product[i, k] = 0.0
        before = size
        for face in range(len(faces)):
            for k in range(3):
                i, j, weight = faces[face, k], faces[face, (k + 1) % 3], weights[face, k]
                s, t = weight * (step[i, 0] - step[j, 0]), weight * (step[i, 1] - step[j, 1])
                product[i, 0] += s
                product[i, 1] += t
                product[j, 0] -= s
                product[j, 1] -= t
        curvature = 0.0
        for i in range(len(x)):
            curvature += step[i, 0] * product[i, 0] + step[i, 1] * product[i, 1]
        if curvature <= 0:
            break
        for i in range(len(x)):
            for k in range(2):
                x[i, k] += size / curvature * step[i, k]
                residual[i, k] -= size / curvature * product[i, k]


@kernel
def stretch(points: np.ndarray, faces: np.ndarray, x: np.ndarray) -> float:
    """The L2 stretch of a chart in the plane, 1 being none; infinite where a face has turned over.

    Sander et al., "Texture Mapping Progressive Meshes", 2001, section 3, with both areas made equal.
    points: float64 [N,3]. faces: int64 [F,3]. x: float64 [N,2].
    """
    total = surface = plane = 0.0
    shape = np.empty((3, 2))
    for face in range(len(faces)):
        shape_of(points, faces[face], shape)
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        p, q = x[b, 0] - x[a, 0], x[b, 1] - x[a, 1]
        s, t = x[c, 0] - x[a, 0], x[c, 1] - x[a, 1]
        base, along, across = shape[1, 0], shape[2, 0], shape[2, 1]
        area, flat = base * across, p * t - q * s
        if flat <= TURNED * area:
            return np.inf
        # from the plane to the face: rows of the inverse of (p, q; s, t), times its corners
        total += area * ((base * t - along * q) ** 2 + (across * q) ** 2) / flat**2 / 2
        total += area * ((base * s - along * p) ** 2 + (across * p) ** 2) / flat**2 / 2
        surface += area
        plane += flat
    return float(np.sqrt(total / surface * plane / surface))


@kernel
def overlaps(x: np.ndarray, faces: np.ndarray) -> bool:
    """Whether some faces lie on each other. x: float64 [N,2]. faces: int64 [F,3], all counter-clockwise."""
    boxes, side = cells_of(x, faces)
    start = np.zeros(side * side + 1, np.int64)
    for face in range(len(faces)):
        for i in range(boxes[face, 0], boxes[face, 2] + 1):
            for j in range(boxes[face, 1], boxes[face, 3] + 1):
                start[i * side + j + 1] += 1
    for cell in range(side * side):
        start[cell + 1] += start[cell]
    end, there = start[:-1].copy(), np.empty(start[-1], np.int64)
    for face in range(len(faces)):
        for i in range(boxes[face, 0], boxes[face, 2] + 1):
            for j in range(boxes[face, 1], boxes[face, 3] + 1):
                cell = i * side + j
                for at in range(start[cell], end[cell]):
                    other = there[at]
                    first = i == max(boxes[face, 0], boxes[other, 0]) and j == max(boxes[face, 1], boxes[other, 1])
                    if first and not (apart(x, faces[face], faces[other]) or apart(x, faces[other], faces[face])):
                        return True
                there[end[cell]] = face
                end[cell] += 1
    return False


@called
def cells_of(x: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, int]:
    """Of a square grid over points [N,2] the cells that faces are in, int64 [F,4] from (i, j) to (i, j), and its side.

    There are about as many cells as faces, and fewer where many faces are long.
    """
    low, high = np.array([np.inf, np.inf]), np.array([-np.inf, -np.inf])
    for i in range(len(x)):
        for k in range(2):
            low[k], high[k] = min(low[k], x[i, k]), max(high[k], x[i, k])
    extent = max(high[0] - low[0], high[1] - low[1], 1e-300)
    boxes = np.empty((len(faces), 4), np.int64)
    side, entries = 2 * int(np.ceil(np.sqrt(len(faces)))), CROWD * len(faces) + 1
    while entries > CROWD * len(faces):
        side, entries = (side + 1) // 2, 0
        scale = side / extent * (1 - 1e-9)
        for face in range(len(faces)):
            for k in range(2):
                a, b, c = x[faces[face, 0], k], x[faces[face, 1], k], x[faces[face, 2], k]
                boxes[face, k] = int((min(a, b, c) - low[k]) * scale)
                boxes[face, 2 + k] = int((max(a, b, c) - low[k]) * scale)
            entries += (boxes[face, 2] - boxes[face, 0] + 1) * (boxes[face, 3] - boxes[face, 1] + 1)
    return boxes, side


@called
def apart(x: np.ndarray, face: np.ndarray, other: np.ndarray) -> bool:
    """Whether an edge of a counter-clockwise face has all of another beyond it, but for rounding."""
    for k in range(3):
        a, b = face[k], face[(k + 1) % 3]
        p, q = x[b, 0] - x[a, 0], x[b, 1] - x[a, 1]
        inside = -np.inf
        for o in range(3):
            c = other[o]
            inside = max(inside, p * (x[c, 1] - x[a, 1]) - q * (x[c, 0] - x[a, 0]))
        if inside <= TOUCH * (p * p + q * q):
            return True
    return False
