"""Tangents: the frames that normal maps are told in, as all programs agree on them.

M. S. Mikkelsen, "Simulation of Wrinkled Surfaces Revisited", 2008, whose code (MikkTSpace) is the standard that the
"glTF 2.0 Specification" names (section 3.7.2.1, Meshes). Comments use its words.
"""

from __future__ import annotations

import numpy as np

from texopt.mesh.mesh import Mesh
from texopt.mesh.normals import corner_normals
from texopt.mesh.topology import same_places

TINIEST = float(np.finfo(np.float32).tiny)  # of lengths and areas that are not zero


def tangents(mesh: Mesh) -> np.ndarray:
    """The tangents of faces' corners and their signs: float32 [F,3,4].

    The first three are the unit tangent in the mesh's coordinates, towards the right of the texture. The bitangent,
    towards its upper edge, is sign * cross(normal, tangent), where the normals are those of corners as they are
    rendered (texopt.mesh.normals.corner_normals).
    """
    normals = corner_normals(mesh.vertices, mesh.faces, mesh.normals, mesh.face_normals)
    return corner_tangents(mesh.vertices[mesh.faces], normals, mesh.uvs[mesh.face_uvs])


def corner_tangents(positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """As `tangents`, of triangles given by their corners.

    Corners of the same position, normal and UV are one, and share a tangent if their faces are connected by edges and
    their UVs go the same way round: the mean of the faces' own, each seen along the normal and weighted with its angle
    there. Faces whose UVs have no area take the tangent of the neighbours; where there are none, and in faces without
    area, it is that of another corner at the place, or any that is perpendicular to the normal.

    positions, normals: float [F,3,3], normals being units. uvs: float [F,3,2], (0,0) at the lower left, v up.
    """
    if not len(positions):
        return np.zeros((0, 3, 4), np.float32)
    corners = np.concatenate([positions, normals, uvs], -1).astype(np.float64).reshape(-1, 8)
    vertex = same_places(corners).reshape(-1, 3)
    point = same_places(corners[:, :3]).reshape(-1, 3)
    whole = (point != np.roll(point, 1, 1)).all(1)  # of three corners in different places
    along, preserving, told = _face_tangents(positions, uvs)
    told &= whole

    links = _links(vertex, whole)
    _orient(links, preserving, told)
    same = (links >= 0) & (preserving[links // 3] == preserving[np.arange(len(links)) // 3][:, None])
    group = _components(np.where(same, links, -1))

    normal = normals.reshape(-1, 3).astype(np.float64)
    seen = _unit(_flattened(np.repeat(along, 3, 0), normal))
    weighted = seen * (_angles(positions, normal) * np.repeat(told, 3))[:, None]
    total = np.stack([np.bincount(group, weighted[:, axis], len(group)) for axis in range(3)], 1)
    found = _unit(total)[group]
    signs = np.where(np.repeat(preserving, 3), 1.0, -1.0)
    _fill(found, signs, vertex.reshape(-1), normal)
    return np.concatenate([found, signs[:, None]], 1).reshape(-1, 3, 4).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N,3] at a length of 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > TINIEST))


def _flattened(vectors: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Vectors [N,3] on the planes of unit normals [N,3]."""
    return np.asarray(vectors - (vectors * normal).sum(-1, keepdims=True) * normal)


def _face_tangents(positions: np.ndarray, uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of faces, what dP/du is: its direction float64 [F,3]; whether UVs go the same way round as corners, bool [F]; and
    whether it says anything, bool [F].

    Areas are taken with float32, as all programs do: which is none has to be the same for all.
    """
    first, second = ((uvs[:, corner] - uvs[:, 0]).astype(np.float32) for corner in (1, 2))
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    edges = [(positions[:, corner] - positions[:, 0]).astype(np.float64) for corner in (1, 2)]
    across, upward = (
        second[:, [column]].astype(np.float64) * edges[0] - first[:, [column]] * edges[1] for column in (1, 0)
    )
    preserving = area > 0
    told = np.abs(area) > TINIEST
    told &= (np.linalg.norm(across, axis=1) > TINIEST) & (np.linalg.norm(upward, axis=1) > TINIEST)
    return np.where(preserving, 1.0, -1.0)[:, None] * across, preserving, told


def _angles(positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The angles of faces at their corners as they are seen along the normals there, float64 [3F]."""
    to_next, to_last = (
        _unit(_flattened((np.roll(positions, step, 1) - positions).reshape(-1, 3).astype(np.float64), normal))
        for step in (-1, 1)
    )
    return np.asarray(np.arccos((to_next * to_last).sum(1).clip(-1, 1)))


def _links(vertex: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The corners at the same vertex on the other sides of both edges there, int64 [3F,2]; -1 where there is none.

    vertex: int64 [F,3]. whole: bool [F], which faces count. Where more than two faces have an edge, the first that goes
    along it one way and the first that goes the other way are neighbours, then the next of both, and so on.
    """
    start = np.flatnonzero(np.repeat(whole, 3))  # an edge is named after the corner that it starts at
    end = start - start % 3 + (start + 1) % 3
    a, b = vertex.reshape(-1)[start], vertex.reshape(-1)[end]
    forward = a < b
    edge = np.unique(np.minimum(a, b) * (int(vertex.max()) + 1) + np.maximum(a, b), return_inverse=True)[1].reshape(-1)
    order = np.lexsort((start, forward, edge))
    sides = 2 * edge[order] + forward[order]
    first = np.flatnonzero(np.r_[True, sides[1:] != sides[:-1]][: len(sides)])
    place = np.arange(len(sides)) - np.repeat(first, np.diff(np.r_[first, len(sides)]))  # among those of its side
    count = int(place.max(initial=0)) + 1
    keys = edge[order] * count + place
    by_key = np.lexsort((forward[order], keys))
    pairs = np.flatnonzero(keys[by_key][1:] == keys[by_key][:-1])
    one, other = order[by_key[pairs]], order[by_key[pairs + 1]]
    links = np.full((vertex.size, 2), -1)
    links[start[one], 0], links[end[other], 1] = end[other], start[one]
    links[start[other], 0], links[end[one], 1] = end[one], start[other]
    return links


def _orient(links: np.ndarray, preserving: np.ndarray, told: np.ndarray) -> None:
    """Faces that say nothing go the way of the first group of others that reaches them, group after group; in place.

    Only places with such faces are walked through. Links to the others that are not reached are cut.
    """
    fixed = told.copy()
    mixed = np.zeros(len(links), bool)
    fan = _components(links)
    mixed[fan[np.repeat(~told, 3)]] = True
    near = mixed[fan]
    reached = np.zeros(len(links), bool)
    for seed in np.flatnonzero(near & np.repeat(told, 3)).tolist():
        todo, way = [seed], preserving[seed // 3]
        while todo:
            corner = todo.pop()
            face = corner // 3
            if corner < 0 or reached[corner] or (fixed[face] and preserving[face] != way):
                continue
            preserving[face], fixed[face], reached[corner] = way, True, True
            todo += links[corner].tolist()
    lost = near & ~reached
    links[lost] = -1
    links[(links >= 0) & lost[links]] = -1


def _components(links: np.ndarray) -> np.ndarray:
    """The components of a graph: int64 [N], the smallest of each. links: int64 [N,K], neighbours both ways, -1 none."""
    own = np.arange(len(links))[:, None]
    neighbours = np.where(links >= 0, links, own)
    label = own[:, 0]
    while True:
        lower = np.minimum(label, label[neighbours].min(1))
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower


def _fill(found: np.ndarray, signs: np.ndarray, vertex: np.ndarray, normal: np.ndarray) -> None:
    """Tangents [N,3] of corners without one, and their signs, from others at the vertex, or made up; in place."""
    there = found.any(1)
    if there.all():
        return
    source = np.full(int(vertex.max()) + 1, -1)
    known = np.flatnonzero(there)[::-1]
    source[vertex[known]] = known  # the first counts
    missing = np.flatnonzero(~there)
    lent = source[vertex[missing]]
    found[missing], signs[missing] = found[lent], signs[lent]
    bare = missing[lent < 0]
    axis = np.eye(3)[np.abs(normal[bare]).argmin(1)]
    found[bare], signs[bare] = _unit(_flattened(axis, normal[bare])), 1.0
