"""What a result is measured in: the same views of it and of the original, evenly from all around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.mesh.mesh import Mesh
from texopt.render.backgrounds import composite
from texopt.render.cameras import Cameras, fit_distance, fixed_views, zoomed
from texopt.render.finish import Finishes
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.render.regions import Regions
from texopt.render.scene import Scene
from texopt.render.shading import Light, Lighting, environment_of
from texopt.render.under_light import UnderLight
from texopt.show.preview import BACKGROUND

VIEWS = 32
SIZE = 512  # pixels a side
FOV = 10.0  # degrees
BATCH = 4
PIXELS_PER_RADIUS = SIZE / 2 / torch.tan(torch.deg2rad(torch.tensor(FOV)) / 2).item() / fit_distance(FOV)
CLOSE = 4  # how many times closer a close-up looks


@dataclass(frozen=True, eq=False)
class Picture:
    """image [B,3,H,W] over a grey background, mask [B,1,H,W] of what was to change, facing: cosine to the surface.

    parts: [B,1,H,W], the mask within every region that was asked for.
    """

    image: Tensor
    mask: Tensor
    facing: Tensor
    parts: Sequence[Tensor] = ()


class Pictures:
    """A mesh with its own textures as evaluation looks at it: what of it is optimised fills the unit sphere.

    light: that it is seen under; by default its colours are shown as they are.
    """

    def __init__(self, mesh: Mesh, light: Lighting | None = None) -> None:
        self.scene, self.textures, self.regions = Scene(mesh, optimized=True), mesh.originals(), Regions(mesh)
        sizes = [(self.textures[index].shape[1], self.textures[index].shape[2]) for index in mesh.optimized]
        self.free = mesh.masks(sizes)
        self.lit = None if light is None else UnderLight(partial(look_up, self.textures), Finishes(self.scene), light)
        corners = self.scene.vertices[self.scene.faces.long()]
        self.normals = F.normalize(torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))

    def draw(self, cameras: Cameras, parts: Sequence[str] = ()) -> Picture:
        """From every camera. parts: regions; "" is all of the surface."""
        fragments = self.scene.rasterize(cameras, SIZE)
        colors = look_up(self.textures, fragments) if self.lit is None else self.lit(fragments, cameras)
        image = composite(colors, fragments.mask[:, None], BACKGROUND)
        mask = fragments.mask[:, None].float()
        if self.free is not None:
            mask = mask * (look_up(self.free, fragments) > 0.5)
        within = [mask * self.regions(fragments, part) if part else mask for part in parts]
        return Picture(image, mask, self._facing(cameras, fragments) * mask, within)

    def _facing(self, cameras: Cameras, fragments: Fragments) -> Tensor:
        towards = cameras.view[:, 2, :3].float()  # the direction to the camera
        cosine = (towards @ self.normals.T).abs()  # [B,F]
        face = fragments.face_id.clamp(min=0).long()
        return torch.gather(cosine, 1, face.flatten(1)).reshape(face.shape)[:, None]

    def views(self, parts: Sequence[str] = ()) -> Iterator[Picture]:
        """The fixed views, BATCH at a time."""
        cameras = fixed_views(VIEWS, FOV)
        for start in range(0, VIEWS, BATCH):
            yield self.draw(cameras[start : start + BATCH], parts)

    def close_ups(self) -> Iterator[Picture]:
        """CLOSE times closer from every second direction, at what faces the camera best, BATCH at a time."""
        cameras = fixed_views(VIEWS // 2, FOV)
        for start in range(0, len(cameras), BATCH):
            some = cameras[start : start + BATCH]
            yield self.draw(zoomed(some, CLOSE, best_seen(self.draw(some).facing, SIZE // CLOSE)))


def new_lights(_: Generator, cameras: Cameras) -> Light:
    """A lamp and a sky that are others for each camera, and not like those of runs: the lamp is yellowish and anywhere
    on the camera's side, and the sky is bluish and brighter above."""
    generator = Generator().manual_seed(0)
    back = cameras.view[:, 2, :3].float()
    toward = F.normalize(back + 0.8 * F.normalize(torch.randn(len(cameras), 3, generator=generator), dim=1), dim=1)
    environment = environment_of(torch.tensor([[0.28, 0.33, 0.4]]).expand(len(cameras), 3))
    environment[:, 1] = 0.4 * environment[:, 0]  # along y
    return Light(toward[:, None], torch.tensor([2.7, 2.5, 2.2]).expand(len(cameras), 1, 3), environment)


def best_seen(facing: Tensor, window: int) -> Tensor:
    """Where a window shows most of the surface, most squarely: clip coordinates [B,2] of its middle.

    facing: [B,1,H,W]; window: pixels a side.
    """
    height, width = facing.shape[2:]
    sums = F.avg_pool2d(facing, window, stride=8)
    best = sums.flatten(1).argmax(1)
    column = (best % sums.shape[3]) * 8 + window / 2
    row = torch.div(best, sums.shape[3], rounding_mode="floor") * 8 + window / 2
    return torch.stack([2 * column / width - 1, 1 - 2 * row / height], 1)
