"""Curvature: where a surface bends least, along which limbs and tubes run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from texopt.mesh.areas import areas
from texopt.mesh.normals import face_normals, smooth_normals

# standard deviations in radii of the mesh: of what is taken for noise of the surface, and of what a direction is for
NOISE, REACH = 0.04, 0.12
MOST = 40_000_000  # faces that are averaged in all, which takes some seconds
FLAT = 0.1  # curvature times the mesh's radius, that is as good as none; a sphere has 1
SMALL = 0.05  # share of a direction among others, that is as good as none


def least_curvature(vertices: np.ndarray, faces: np.ndarray, radius: float) -> np.ndarray:
    """The principal direction of the smallest absolute curvature at faces' corners: float64 [F,3,3].

    Vectors along the surface, whose signs mean nothing but agree within a face. Their length, from 0 to 1, says how
    sure the direction is: 0 where both curvatures are as large, on spheres (umbilics) as on saddles, and on planes, as
    far as nothing around them has a direction.

    The curvature of a face is how its corners' normals turn along it, made symmetric; that of a vertex is the mean over
    its faces (after Rusinkiewicz, "Estimating Curvatures and Their Derivatives on Triangle Meshes", 2004; there it is a
    least squares fit to the three edges). Tensors are averaged before the directions are taken of them, and so are the
    tensors t tᵀ of directions t, which have no sign.

    Args:
        vertices: float64 [V,3]; those at one place are one, so that seams of a file change nothing.
        faces: int [F,3], into vertices.
        radius: of the mesh, to tell what is small on it.
    """
    used, index = np.unique(vertices[faces].reshape(-1, 3), axis=0, return_inverse=True)
    points, corners = used / radius, index.reshape(-1, 3)
    area = areas(points, corners)
    normals = smooth_normals(points, corners, corners)
    edge = np.sqrt(max(float(area.mean()), 1e-12))

    average, steps = _averaging(corners, area), 2 / edge**2
    most = MOST // len(corners)

    def averaged(tensors: np.ndarray, deviation: float) -> np.ndarray:
        for _ in range(int(np.clip(steps * deviation**2, 1, max(most, 1)))):
            tensors = average(tensors)
        return tensors

    bent = _of_vertices(_of_faces(points, corners, normals), corners, area, len(points))
    mean, half, angle, frame = _in_plane(averaged(bent, NOISE), normals)
    low, high = np.minimum(abs(mean), half), np.maximum(abs(mean), half)
    angle = np.where(mean >= 0, angle + np.pi / 2, angle)  # that of the larger curvature is across
    sure = (low / (high + FLAT)) ** 2
    along = _turned(angle, frame) * np.sqrt(sure)[:, None]
    mean, half, angle, frame = _in_plane(averaged(along[:, :, None] * along[:, None, :], REACH), normals)
    found = (_turned(angle, frame) * (half / (mean + SMALL))[:, None])[corners]
    for corner in (1, 2):
        against = (found[:, corner] * found[:, 0]).sum(-1) < 0
        found[against, corner] *= -1
    return found


def _of_faces(points: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Second fundamental forms of faces as tensors in space [F,3,3]; zeros of those without area."""
    normal = face_normals(points, faces)
    corners = points[faces]
    double = 2 * areas(points, faces)[:, None]
    turning = np.zeros((len(faces), 3, 3))
    for corner in range(3):
        opposite = corners[:, (corner + 2) % 3] - corners[:, (corner + 1) % 3]
        slope = np.divide(np.cross(normal, opposite), double, out=np.zeros_like(opposite), where=double > 1e-14)
        turning += normals[faces[:, corner], :, None] * slope[:, None, :]
    turning -= normal[:, :, None] * (normal[:, None, :] @ turning)
    return (turning + turning.transpose(0, 2, 1)) / 2


def _of_vertices(tensors: np.ndarray, faces: np.ndarray, area: np.ndarray, count: int) -> np.ndarray:
    """The mean of faces' tensors [F,3,3] at each of their vertices, weighted with areas: [V,3,3]."""
    total = np.zeros((count, 3, 3))
    index = faces.reshape(-1)
    weight = np.bincount(index, np.repeat(area, 3), count)
    for row in range(3):
        for column in range(row, 3):
            summed = np.bincount(index, np.repeat(area * tensors[:, row, column], 3), count)
            total[:, row, column] = total[:, column, row] = summed / np.maximum(weight, 1e-300)
    return total


def _averaging(faces: np.ndarray, area: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that takes tensors [V,3,3] of vertices to the means over their faces, weighted with areas."""
    count = int(faces.max()) + 1
    pairs = np.concatenate([faces[:, i].astype(np.int64) * count + faces[:, j] for i in range(3) for j in range(3)])
    known, place = np.unique(pairs, return_inverse=True)
    summed = np.bincount(place.reshape(-1), np.tile(area, 9), len(known))
    row, column = np.divmod(known, count)
    starts = np.searchsorted(row, np.arange(count))
    weight = summed / np.maximum(np.add.reduceat(summed, starts), 1e-300)[row]

    def average(tensors: np.ndarray) -> np.ndarray:
        found = np.empty_like(tensors)
        for i in range(3):
            for j in range(i, 3):  # they are symmetric
                found[:, i, j] = found[:, j, i] = np.add.reduceat(weight * tensors[column, i, j], starts)
        return found

    return average


def _in_plane(tensors: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues and -vectors of symmetric tensors [V,3,3] in the planes of normals [V,3].

    (mean of both eigenvalues [V], half of their difference [V], angle of the larger one's vector [V], in frames
    [V,2,3]).
    """
    axis = np.eye(3)[abs(normals).argmin(1)]
    first = axis - (axis * normals).sum(1, keepdims=True) * normals
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    frame = np.stack([first, np.cross(normals, first)], 1)
    flat = frame @ tensors @ frame.transpose(0, 2, 1)
    mean, difference = (flat[:, 0, 0] + flat[:, 1, 1]) / 2, (flat[:, 0, 0] - flat[:, 1, 1]) / 2
    return mean, np.hypot(difference, flat[:, 0, 1]), np.arctan2(flat[:, 0, 1], difference) / 2, frame


def _turned(angle: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Unit vectors [V,3] at angles [V] in frames [V,2,3]."""
    return np.asarray(np.cos(angle)[:, None] * frame[:, 0] + np.sin(angle)[:, None] * frame[:, 1])
