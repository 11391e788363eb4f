"""The cameras of photographs: windows of them at their own resolution, one photograph after another."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.errors import MeshError, OptionError
from texopt.mesh.mesh import Mesh
from texopt.render.cameras import R2, Cameras
from texopt.render.fragments import Fragments
from texopt.render.photos import Photo, Photos
from texopt.render.scene import Scene

log = logging.getLogger("texopt")

SURVEY = 128  # pixels a side that it is looked for the object with
SOME = 32  # photographs, that stand for all
LOOK = 512  # of a side, that it is looked for what can be seen with
MARGIN = 0.25  # of a window's side, that more of them lie at the object's border, which else few would see
NEAREST = 1e-3  # of the distance to the farthest point

Window = tuple[float, float, float, float]  # left, top, width, height, in pixels of a photograph


def window_size(photos: Photos, most: int) -> tuple[int, int]:
    """(height, width) of views that hold the photographs, or windows of them: multiples of 32 up to `most`."""
    sides = [max(photo.height for photo in photos), max(photo.width for photo in photos)]
    height, width = (min(-(-side // 32) * 32, most) for side in sides)
    return height, width


def camera(photo: Photo, mesh: Mesh, window: Window) -> Cameras:
    """The camera [1] that sees a window of a photograph, for renderings, which see the mesh in the unit sphere."""
    center, radius = mesh.normalization(optimized=True)
    rotation, place = photo.camera_to_world[:3, :3].T, photo.camera_to_world[:3, 3]
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = rotation, rotation @ (center - place) / radius
    depth = -(rotation[2] @ ((mesh.vertices[mesh.used_vertices()] - place) / radius).T)
    far = max(1.01 * float(depth.max()), 1e-6)
    near = max(0.99 * float(depth.min()), NEAREST * far)
    projection = np.zeros((4, 4))
    projection[:2] = _lens(photo, window)
    projection[2, 2], projection[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    projection[3, 2] = -1.0
    return Cameras(torch.from_numpy(view)[None], torch.from_numpy(projection)[None])


def _lens(photo: Photo, window: Window) -> list[list[float]]:
    """The first two rows of a projection matrix."""
    left, top, width, height = window
    return [
        [2 * photo.fx / width, 0.0, 1 - 2 * (photo.cx - left) / width, 0.0],
        [0.0, 2 * photo.fy / height, 2 * (photo.cy - top) / height - 1, 0.0],
    ]


def windows(photo: Photo, cameras: Cameras) -> list[Window]:
    """The window of a photograph that each of `camera`'s cameras sees."""
    found = []
    for matrix in cameras.projection.tolist():
        width, height = 2 * photo.fx / matrix[0][0], 2 * photo.fy / matrix[1][1]
        found.append(
            (photo.cx - width * (1 - matrix[0][2]) / 2, photo.cy - height * (1 + matrix[1][2]) / 2, width, height)
        )
    return found


def whole(photo: Photo) -> Window:
    """The window that is all of it."""
    return 0.0, 0.0, float(photo.width), float(photo.height)


def shown(fragments: Fragments, mesh: Mesh) -> Tensor:
    """bool [B,H,W]: where what is optimised of the mesh is seen."""
    return fragments.mask & torch.isin(fragments.map_id, torch.tensor(mesh.optimized, dtype=torch.int32))


def inner(mask: Tensor) -> Tensor:
    """[B,1,H,W] without pixels at its border, which in a photograph are a mixture with what is behind."""
    return -F.max_pool2d(-mask, 3, 1, 1)


def fineness(photos: Photos, mesh: Mesh, sizes: list[int]) -> float:
    """Texels to a pixel's side in the photographs, the median over pixels (of SOME photographs) that see the object:
    under 1 they are finer than texels of textures of those sizes. 1 where nothing is seen."""
    scene, found = Scene(mesh, optimized=True), []
    side = torch.ones(len(mesh.maps))
    side[mesh.optimized] = torch.tensor(sizes, dtype=torch.float32)
    for photo in photos[:: -(-len(photos) // SOME)]:
        fragments = scene.rasterize(camera(photo, mesh, whole(photo)), SURVEY)
        seen = shown(fragments, mesh)
        a, b, c, d = fragments.uv_da[seen].unbind(-1)
        texels = (a * d - b * c).abs() * side[fragments.map_id[seen].long()].square()
        found.append(texels * SURVEY**2 / (photo.width * photo.height))
    texels = torch.cat(found)
    return float(texels.median().sqrt()) if len(texels) else 1.0


def seen_box(photo: Photo, mesh: Mesh, scene: Scene) -> np.ndarray | None:
    """Left, top, right, bottom of what a photograph sees of the object, in its pixels: float64 [4]; None of nothing."""
    fragments = scene.rasterize(camera(photo, mesh, whole(photo)), SURVEY)
    rows, columns = shown(fragments, mesh)[0].nonzero().T.numpy()
    if not len(rows):
        return None
    cells = np.array([columns.min() - 1, rows.min() - 1, columns.max() + 2, rows.max() + 2]) / SURVEY
    return np.asarray(cells.clip(0, 1) * [photo.width, photo.height, photo.width, photo.height])


def window_places(photo: Photo, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where windows (height, width) of a photograph begin that see a box: [3,2], the first and the last left and top,
    some of which reach out of it, and the last that do not."""
    window = np.array(size[::-1])
    extent = box[2:] - box[:2]
    roam = np.where(extent > window, extent - window + 2 * MARGIN * window, 0)
    first = np.where(extent > window, box[:2] - MARGIN * window, box[:2] + (extent - window) / 2)
    return np.stack([first, first + roam, np.maximum(np.array([photo.width, photo.height]) - window, 0)])


def framed_cameras(photos: Sequence[Photo], mesh: Mesh) -> Cameras:
    """Square views of what each camera sees of the object, for those that see some of it; `photos` need no images.

    MeshError where none of them sees the mesh; of those that do not, if others do, it says so.
    """
    scene = Scene(mesh, optimized=True)
    found = []
    for photo in photos:
        box = seen_box(photo, mesh, scene)
        if box is not None:
            middle, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
            left, top = (middle - side / 2).tolist()
            found.append(camera(photo, mesh, (left, top, side, side)))
    if not found:
        raise MeshError(
            f"none of {len(photos)} cameras sees {mesh.name}: cameras and mesh have to be in one space, with the same "
            "axes and scale"
        )
    if len(found) < len(photos):
        log.warning("%d of %d cameras do not see %s", len(photos) - len(found), len(photos), mesh.name)
    view, projection = (torch.cat([getattr(one, name) for one in found]) for name in ("view", "projection"))
    return Cameras(view, projection)


class PhotoCameras:
    """A sampler that shows photograph after photograph: each as often as another, in another order every time, and of
    those that are larger than a view, each time another window that sees the object.

    Windows are of the photographs' own resolution, so that a view's pixels are theirs, and in turn, where those are too
    small for the whole object, of a half of it, a quarter, ...: until it fits, and that first, as few windows would
    otherwise agree on what is larger than they. `frame` says which photograph.
    It is for the objective `photographs`, with `size` as optimize's view_size.

    Args:
        photos: with cameras in the space of the mesh file.
        mesh: what they show.
        size: (height, width) of views in pixels; by default what window_size makes of 512.

    MeshError where none of them sees the mesh; of those that do not, if others do, it says so.
    """

    def __init__(self, photos: Photos, mesh: Mesh, size: tuple[int, int] | None = None) -> None:
        if not len(photos):
            raise OptionError("there are no photographs to look at")
        self.photos, self.mesh, self.size = photos, mesh, size or window_size(photos, 512)
        scene = Scene(mesh, optimized=True)
        boxes = [seen_box(photo, mesh, scene) for photo in photos]
        self.seen = [index for index, box in enumerate(boxes) if box is not None]
        if not self.seen:
            raise MeshError(
                f"none of {len(photos)} photographs sees {mesh.name}: cameras and mesh have to be in one space, with "
                "the same axes and scale; --up z is for cameras of a world with +Z up and a mesh with +Y up"
            )
        if blind := [photo.path.name for photo, box in zip(photos, boxes, strict=True) if box is None]:
            log.warning("%s and %d more photographs do not see %s", blind[0], len(blind) - 1, mesh.name)
        self.cameras = [camera(photo, mesh, whole(photo)) for photo in photos]
        self.places = [self._places(photo, box) for photo, box in zip(photos, boxes, strict=True) if box is not None]

    def _places(self, photo: Photo, box: np.ndarray) -> list[np.ndarray]:
        """window_places of windows at the photograph's own resolution, at half of it, ..., until the box fits."""
        levels = math.ceil(math.log2(max(1.0, *((box[2:] - box[:2]) / self.size[::-1]))))
        height, width = self.size
        return [window_places(photo, box, (height << level, width << level)) for level in range(levels + 1)]

    def __call__(self, generator: Generator, count: int, before: int = 0) -> Cameras:
        seed = generator.initial_seed() % (1 << 62)
        shots, shown = [], []
        for number in range(before, before + count):
            turn, position = divmod(number, len(self.seen))
            which = int(torch.randperm(len(self.seen), generator=Generator().manual_seed(seed + turn))[position])
            index = self.seen[which]
            offset = torch.rand(2, dtype=torch.float64, generator=Generator().manual_seed(seed + index))
            level = -(turn + 1) % len(self.places[which])  # the coarsest first
            first, last, most = self.places[which][level]
            left, top = (first + (last - first) * ((offset + R2 * turn) % 1).numpy()).clip(0, most).round()
            window = (float(left), float(top), float(self.size[1] << level), float(self.size[0] << level))
            projection = self.cameras[index].projection.clone()
            projection[0, :2] = torch.tensor(_lens(self.photos[index], window), dtype=torch.float64)
            shots.append(projection)
            shown.append(index)
        view = torch.cat([self.cameras[index].view for index in shown])
        return Cameras(view, torch.cat(shots), frame=torch.tensor(shown), frames=len(self.photos))

    def coverage(self, scene: Scene) -> Iterator[Fragments]:
        """What the photographs see, where their masks let it count: as texopt.render.reached.Coverage."""
        for index in self.seen:
            photo = self.photos[index]
            shrink = min(1.0, LOOK / min(photo.width, photo.height))
            height, width = (max(round(side * shrink), 1) for side in (photo.height, photo.width))
            fragments = scene.rasterize(camera(photo, scene.mesh, whole(photo)), height, width)  # it may have moved
            mask = self.photos.pixels(index)[..., 3]
            rows, columns = (
                ((np.arange(drawn) + 0.5) * side / drawn).astype(int)
                for drawn, side in zip((height, width), mask.shape, strict=True)
            )
            counts = torch.from_numpy(mask[np.ix_(rows, columns)] > 127)
            yield replace(fragments, mask=(inner(fragments.mask[:, None].float())[:, 0] > 0) & counts)
