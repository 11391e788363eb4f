"""Charts: a surface divided into pieces that lie flat without much stretch. A part of texopt.io.unwrapping.unwrap.

Faces are merged into charts while the seam that a merge saves is worth the curvature that it adds, and each chart is
laid flat (flatten.py). One that does not lie flat is taken apart again into the two that it was merged from.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np

from texopt.io.unwrapping.flatten import called, kernel, lay_flat, overlaps, stretch
from texopt.mesh.normals import face_normals
from texopt.mesh.topology import same_places

SEAM = 0.2  # of the square root of the surface's area: the curvature, an area, that a length of seam is worth
SPREAD = 0.4  # |sum of a chart's normals| by its area, at least; a hemisphere has 1/2, half of a tube 2/π
STRETCH = 1.03  # of a chart that lies flat, at most; 1 is none
EVEN = 1e-3  # what keeps charts even in size where nothing is curved
FAN = 8  # faces at an edge; those of more are not joined there
MERGED = 0.4  # of the time, before charts are laid flat


def make_charts(
    vertices: np.ndarray, faces: np.ndarray, done: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Charts of a surface, laid flat.

    Args:
        vertices: float64 [V,3]; those at the same place count as one.
        faces: int [F,3], all with area.
        done: is called with the share of the work that is done.

    Returns:
        uvs float64 [T,2], in the units of the vertices, every chart somewhere around (0,0); face_uvs int64 [F,3]; the
        chart of every face, int64 [F].
    """
    corners, places = vertices[faces], same_places(vertices)[faces]
    directions = face_normals(vertices, faces)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    normals = directions * areas[:, None]
    pairs, lengths = neighbours(places, corners)
    seam = SEAM * np.sqrt(areas.sum())
    order, start, end, tops = in_order(merge(normals, areas, pairs, lengths, seam, SPREAD), len(faces))
    chart = np.empty(len(faces), np.int64)
    for top in tops:
        chart[order[start[top] : end[top]]] = top
    done(MERGED / 2)
    smooth(chart, pairs, lengths * (1 + (directions[pairs[:, 0]] * directions[pairs[:, 1]]).sum(1)))
    # once more within each, as some have faces of others now
    within = chart[pairs[:, 0]] == chart[pairs[:, 1]]
    children = merge(normals, areas, pairs[within], lengths[within], np.inf, -1.0)
    order, start, end, tops = in_order(children, len(faces))
    uvs: list[np.ndarray] = []
    face_uvs, used, laid = np.empty((len(faces), 3), np.int64), 0, 0
    waiting = tops[::-1].tolist()
    while waiting:
        done(MERGED + (1 - MERGED) * laid / len(faces))
        top = waiting.pop()
        own = order[start[top] : end[top]]
        named, local = np.unique(places[own], return_inverse=True)
        local = local.reshape(-1, 3)
        points = np.empty((len(named), 3))
        points[local] = corners[own]
        flat = lay_flat(points, local, normals[own].sum(0))
        if len(own) > 1 and (stretch(points, local, flat) > STRETCH or overlaps(flat, local)):
            waiting += children[top - len(faces), ::-1].tolist()
            continue
        chart[own], face_uvs[own] = len(uvs), local + used
        uvs.append(flat)
        used, laid = used + len(flat), laid + len(own)
    return np.concatenate(uvs), face_uvs, chart


def neighbours(places: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces that go on in each other: (pairs int64 [E,2], the lengths of their edges float64 [E]).

    They have an edge in common that one goes forward and the other backward. places: int [F,3]; corners: [F,3,3].
    """
    a, b = places.T.reshape(-1), np.roll(places, -1, 1).T.reshape(-1)
    face = np.tile(np.arange(len(places)), 3)
    length = np.linalg.norm(corners - np.roll(corners, -1, 1), axis=2).T.reshape(-1)
    key = np.minimum(a, b) * (int(places.max()) + 1) + np.maximum(a, b)
    order = np.argsort(key, kind="stable")
    key, face, length, forward = key[order], face[order], length[order], (a < b)[order]
    _, inverse, fan = np.unique(key, return_inverse=True, return_counts=True)
    few = fan[inverse] <= FAN
    pairs, lengths = [], []
    for step in range(1, FAN):
        found = np.flatnonzero((key[step:] == key[:-step]) & (forward[step:] != forward[:-step]) & few[step:])
        pairs.append(np.stack([face[found], face[found + step]], 1))
        lengths.append(length[found])
    return np.concatenate(pairs), np.concatenate(lengths)


@kernel
def merge(
    normals: np.ndarray, areas: np.ndarray, pairs: np.ndarray, lengths: np.ndarray, seam: float, spread: float
) -> np.ndarray:
    """Merge the two charts that are best merged, again and again, beginning with every face as one.

    What is made small is the curvature in charts and the length of the seams between them (Mumford and Shah's
    functional, by merging as in Koepfler, Lopez and Morel, "A Multiscale Algorithm for Image Segmentation by
    Variational Method", 1994). A chart's curvature is its area less the length of the sum of its normals, half of the
    L2,1 error of Cohen-Steiner, Alliez and Desbrun, "Variational Shape Approximation", 2004: both are sums, so nothing
    else has to be known of a chart.

    Args:
        normals: float64 [F,3], as long as the faces are large. areas: float64 [F].
        pairs: int64 [E,2], neighbours. lengths: float64 [E], of their edges.
        seam: the curvature that a length of seam is worth; no merge adds more.
        spread: |sum of normals| by area of a chart, at least.

    Returns:
        children int64 [M,2] of charts F, F+1, ...: of which two each was made, faces being 0 to F-1.
    """
    faces = len(areas)
    total, area = np.zeros((2 * faces, 3)), np.zeros(2 * faces)
    size = np.zeros(2 * faces)  # |total|
    children = np.zeros((faces, 2), np.int64)
    owner = np.arange(2 * faces)  # the chart that one has become a part of
    # the ends of edges, a list for each chart; 2e and 2e+1 are those of edge e
    head, after = np.full(2 * faces, -1, np.int64), np.full(2 * len(pairs), -1, np.int64)
    end, length = pairs.copy().reshape(-1), lengths.copy()
    for face in range(faces):
        area[face] = areas[face]
        for k in range(3):
            total[face, k] = normals[face, k]
        size[face] = joined(total, face, face) / 2
    for half in range(len(end)):
        head[end[half]], after[half] = half, head[end[half]]
    heap = [(0.0, 0, 0) for _ in range(0)]
    for edge in range(len(pairs)):
        a, b = pairs[edge, 0], pairs[edge, 1]
        bend = size[a] + size[b] - joined(total, a, b)
        if bend <= seam * length[edge]:
            heappush(heap, ((bend + EVEN * min(area[a], area[b])) / length[edge], a, b))
    slot = np.full(2 * faces, -1, np.int64)
    new = faces
    while heap:
        _, a, b = heappop(heap)
        if owner[a] != a or owner[b] != b:
            continue
        size[new], area[new] = joined(total, a, b), area[a] + area[b]
        if size[new] < spread * area[new]:
            continue
        for k in range(3):
            total[new, k] = total[a, k] + total[b, k]
        children[new - faces, 0], children[new - faces, 1] = a, b
        owner[a] = owner[b] = new
        # edges of both are one's now, those to the same neighbour one edge
        first, last = -1, -1
        for part in (a, b):
            half = head[part]
            while half >= 0:
                following = after[half]
                edge, other = half // 2, end[half ^ 1]
                while owner[other] != other:
                    owner[other] = owner[owner[other]]
                    other = owner[other]
                end[half ^ 1] = other
                if length[edge] >= 0 and other != new:
                    if slot[other] >= 0:
                        length[slot[other]] += length[edge]
                        length[edge] = -1.0
                    else:
                        slot[other] = edge
                        end[half] = new
                        if first < 0:
                            first = half
                        else:
                            after[last] = half
                        last = half
                half = following
        if last >= 0:
            after[last] = -1
        head[new] = half = first
        while half >= 0:
            other = end[half ^ 1]
            slot[other] = -1
            bend = size[new] + size[other] - joined(total, new, other)
            if bend <= seam * length[half // 2]:
                heappush(heap, ((bend + EVEN * min(area[new], area[other])) / length[half // 2], new, other))
            half = after[half]
        new += 1
    return children[: new - faces]


@called
def joined(total: np.ndarray, a: int, b: int) -> float:
    """|total[a] + total[b]|"""
    x, y, z = total[a, 0] + total[b, 0], total[a, 1] + total[b, 1], total[a, 2] + total[b, 2]
    return float(np.sqrt(x * x + y * y + z * z))


@kernel
def in_order(children: np.ndarray, faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The faces int64 [F] in an order that has those of every chart together: chart c of merge() has
    order[start[c] : end[c]]. With start and end, int64 [F+M], comes which charts are part of no other, int64 [R].
    """
    count = len(children)
    start, end = np.zeros(faces + count, np.int64), np.ones(faces + count, np.int64)  # end: at first the size
    whole = np.ones(faces + count, np.bool_)
    for new in range(count):
        a, b = children[new, 0], children[new, 1]
        end[faces + new] = end[a] + end[b]
        whole[a] = whole[b] = False
    tops, order, position = np.flatnonzero(whole), np.empty(faces, np.int64), 0
    for top in tops:
        start[top] = position
        position += end[top]
    for chart in range(faces + count - 1, -1, -1):
        if chart >= faces:
            a, b = children[chart - faces, 0], children[chart - faces, 1]
            start[a], start[b] = start[chart], start[chart] + end[a]
        else:
            order[start[chart]] = chart
        end[chart] += start[chart]
    return order, start, end, tops


@kernel
def smooth(chart: np.ndarray, pairs: np.ndarray, lengths: np.ndarray) -> None:
    """Give every face to the chart that most of its edges are with, in place, until all are: seams get shorter.

    chart: int64 [F]. pairs: int64 [E,2]. lengths: float64 [E], of their edges, less at creases, where seams do no harm.
    """
    faces = len(chart)
    start = np.zeros(faces + 1, np.int64)
    for edge in range(len(pairs)):
        start[pairs[edge, 0] + 1] += 1
        start[pairs[edge, 1] + 1] += 1
    for face in range(faces):
        start[face + 1] += start[face]
    filled = start[:-1].copy()
    beside, length = np.empty(2 * len(pairs), np.int64), np.empty(2 * len(pairs))
    for edge in range(len(pairs)):
        for side in range(2):
            face = pairs[edge, side]
            beside[filled[face]], length[filled[face]] = pairs[edge, 1 - side], lengths[edge]
            filled[face] += 1
    waiting = list(range(faces - 1, -1, -1))
    while waiting:
        face = waiting.pop()
        own, best, most = 0.0, chart[face], 0.0
        for i in range(start[face], start[face + 1]):
            other, along = chart[beside[i]], 0.0
            for j in range(start[face], start[face + 1]):
                if chart[beside[j]] == other:
                    along += length[j]
            if other == chart[face]:
                own = along
            elif along > most:
                best, most = other, along
        if most > own * (1 + 1e-6):  # every move makes seams shorter, so there is an end
            chart[face] = best
            for i in range(start[face], start[face + 1]):
                if chart[beside[i]] != best:
                    waiting.append(beside[i])
