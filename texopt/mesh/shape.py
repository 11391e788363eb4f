"""Shape: where the vertices of a mesh are, as something that is optimised."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn

from texopt.errors import MeshError, OptionError
from texopt.mesh.areas import areas
from texopt.mesh.crossings import crossing_faces
from texopt.mesh.large_steps import LargeSteps, place_edges
from texopt.mesh.mesh import Mesh
from texopt.mesh.topology import same_places

log = logging.getLogger("texopt")

MOST = 1.0  # diameters, that vertices may be moved
SMOOTHNESS = 19.0  # λ of Nicolet et al.'s experiments
ROUNDS = 64  # that displacements are mended in, where faces pass through one another
SMOOTHED = 12  # of these, that they become those of their neighbours in
RINGS = 4  # edges around such faces, that they are mended in; one more in every round that shortens them


class Uniform(nn.Parameter):
    """A parameter that Adam steps by one length for all of its numbers, as they are parts of one thing: see
    texopt.optim.adam."""


class Shape(nn.Module):
    """The vertices of a mesh, for `optimize` to move: all of a place together, so that UV seams stay closed.

        shape = texopt.Shape(mesh, bound=0.02)
        result = texopt.optimize(mesh, texture, texopt.on(objective, texopt.lit()), shape=shape)
        result.mesh  # the mesh with its vertices moved; result.export(...) writes it

    Gradients reach vertices through silhouettes, and, in views under a light (`lit`), through the normals. They are
    smoothed over the mesh (Nicolet et al. 2021, see large_steps.py). Vertices of materials that are kept stay, as do
    those that no face has.

    Args:
        mesh: whose faces have some area.
        bound: how far vertices may be moved, in diameters of the mesh's bounding sphere: above 0 and up to 1. The limit
            is a soft one: a displacement d becomes d / √(1 + |d|² / bound²).
        smoothness: λ; what moves together is about √λ edges wide. Little of it carves, much of it bends.

    Attributes:
        steps: the parameter, float32 [P,3], zeros at the start, in radii of the mesh: a step moves what is smooth by up
            to the learning rate.

    OptionError for a bound or smoothness that cannot be, MeshError for a mesh that has no surface that may move.
    """

    def __init__(self, mesh: Mesh, bound: float = 0.02, smoothness: float = SMOOTHNESS) -> None:
        super().__init__()
        if not isinstance(mesh, Mesh):
            raise OptionError(f"mesh has to be a Mesh, not a {type(mesh).__name__}")
        if not 0 < bound <= MOST:
            raise OptionError(f"bound has to be above 0 and up to {MOST:g} diameters of the mesh, not {bound}")
        if not 0 <= smoothness <= 1e6:
            raise OptionError(f"smoothness has to be between 0 and a million, not {smoothness}")
        self.mesh, self.bound, self.smoothness = mesh, float(bound), float(smoothness)
        place, corners = _places(mesh)
        free = _free(mesh, corners, int(place.max()) + 1)
        if not free.any() or not (areas(mesh.vertices, mesh.faces) > 0).any():
            raise MeshError(
                f"{mesh.name} has no surface whose shape could change: its faces have no area, or all of it is kept"
            )
        self.radius = mesh.normalization(optimized=True)[1]
        self.free = free
        self.edges = place_edges(corners)
        self.smoothing = LargeSteps(self.edges, free, self.smoothness)
        self.place: Tensor
        self.register_buffer("place", torch.from_numpy(place), persistent=False)
        self.steps = Uniform(torch.zeros(len(free), 3))

    @property
    def limit(self) -> float:
        """The bound in radii of the mesh, which rendering sees as 1."""
        return 2 * self.bound

    def displacements(self) -> Tensor:
        """Of the vertices, in radii of the mesh: float32 [V,3]; differentiable."""
        return self._of_places()[self.place]

    def _of_places(self) -> Tensor:
        return bounded(self.smoothing(self.steps), self.limit)

    @torch.no_grad()
    def moved(self) -> Mesh:
        """The mesh with its vertices where they are now.

        No more pairs of its faces pass through one another than before: around those that do, displacements become
        those of their neighbours, so that the surface there is moved as a whole; and where that is not enough, because
        distant parts of it meet, they are shortened, farther and farther around.
        """
        mesh, before = self.mesh, _pairs(self.mesh, self.mesh.vertices)
        place, whole = self.place.cpu().numpy(), self.radius * self._of_places().double().cpu().numpy()
        for number in range(ROUNDS):
            vertices = mesh.vertices + whole[place]
            crossing = _pairs(mesh, vertices)
            if len(crossing) <= len(before):
                return mesh.with_vertices(vertices)
            faces = np.array(sorted(crossing - before)).reshape(-1)
            shortened = max(number - SMOOTHED, 0)
            near = _around(place[mesh.faces[faces]], self.edges, len(whole), RINGS + shortened) * self.free
            if shortened:
                whole = (1 - near[:, None] / 2) * whole
            else:
                for _ in range(RINGS):
                    whole = whole + near[:, None] * (_neighbours(whole, self.edges) - whole)
        log.warning("%s: its faces would pass through one another wherever it is moved; its shape stays", mesh.name)
        return mesh


def _pairs(mesh: Mesh, vertices: np.ndarray) -> set[tuple[int, int]]:
    """The faces that pass through one another, with the mesh's vertices somewhere."""
    return {(one, two) for one, two in crossing_faces(vertices, mesh.faces).tolist()}


def _around(places: np.ndarray, edges: np.ndarray, count: int, rings: int) -> np.ndarray:
    """1 at places, and with every edge away from them a share of 1 / rings less: float64 [count]."""
    near = np.zeros(count)
    near[places] = 1
    for _ in range(rings - 1):
        wider = near.copy()
        for one, two in (edges.T, edges.T[::-1]):
            np.maximum.at(wider, one, near[two] - 1 / rings)
        near = wider
    return near


def _neighbours(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The mean over every place and its neighbours of values [P,C]."""
    total, count = values.copy(), np.ones(len(values))
    for one, two in (edges.T, edges.T[::-1]):
        count += np.bincount(one, minlength=len(values))
        for axis in range(values.shape[1]):
            total[:, axis] += np.bincount(one, values[two, axis], len(values))
    return np.asarray(total / count[:, None])


def bounded(displacements: Tensor, limit: float) -> Tensor:
    """Vectors [...,3] made shorter than a limit, smoothly: what is short stays, what is long comes close to it."""
    return displacements / (1 + displacements.square().sum(-1, keepdim=True) / limit**2).sqrt()


def _places(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The place of every vertex, int64 [V], and the places of faces' corners, int64 [F,3]."""
    place = same_places(mesh.vertices)
    return place, place[mesh.faces]


def _free(mesh: Mesh, corners: np.ndarray, count: int) -> np.ndarray:
    """Which places may move, bool [P]: of faces whose map is optimised, and not of those whose map is kept."""
    optimized = np.isin(mesh.face_map, mesh.optimized)
    free = np.zeros(count, bool)
    free[corners[optimized]] = True
    free[corners[~optimized]] = False
    return free
