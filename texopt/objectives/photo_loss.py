"""Photographs: every view as the photograph with its camera."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.objectives.photo_light import under
from texopt.objectives.structural_similarity import ssim
from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View
from texopt.render.photo_cameras import Window, inner, windows
from texopt.render.photos import Photos, smaller
from texopt.system import distributed

Distance = Literal["l1", "l2", "ssim"]
DECAY = 0.7  # of what earlier views of a photograph say of its exposure
LEAST = 1e-3  # of squared values a pixel, that what is dark says nothing of it
MOST_GAIN = 4.0
FEW = 1 / 16  # of a view's pixels; where fewer are of the object, each does not count more


def cut(photos: Photos, index: int, window: Window, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A window of a photograph: float32 [3,height,width] in [0,1], and [1,height,width], 1 where it counts and else 0.

    Otherwise as of cut_out.
    """
    values, _ = cut_out(photos, index, window, height, width)
    return values[:3], (values[3:] > 127 / 255).float()


def cut_out(photos: Photos, index: int, window: Window, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A window of a photograph: float32 [4,height,width] in [0,1], its colours and how far each pixel counts, and
    [1,height,width], 1 where the photograph is and else 0.

    Where the window is larger, a whole number of times, they are means of blocks of pixels; OptionError where it is so
    by another factor.
    """
    left, top, factor = round(window[0]), round(window[1]), max(round(window[2] / width), 1)
    rows, columns = factor * height, factor * width
    if np.abs(np.array(window) - [left, top, columns, rows]).max() > 0.01:
        raise OptionError(
            f"views of photographs have to be of their pixels: {window[2]:g}x{window[3]:g} of them are seen in "
            f"{width}x{height}; take texopt.Views(cameras=cameras, size=cameras.size) of texopt.PhotoCameras"
        )
    pixels = photos.pixels(index)[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)]
    out = np.zeros((rows, columns, 4), np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    out[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    there = torch.zeros(1, height, width)
    there[:, -(-y // factor) : (y + pixels.shape[0]) // factor, -(-x // factor) : (x + pixels.shape[1]) // factor] = 1
    return torch.from_numpy(smaller(out, factor)).permute(2, 0, 1) / 255.0, there


def moments(image: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
    """Sums of image · goal, image², goal² over pixels: float64 [B,3,3], by what and by channel."""
    image, goal = image.detach().double(), goal.double()
    products = torch.stack([image * goal, image * image, goal * goal], 1) * weight[:, None]
    return products.sum((3, 4))


class Photographs:
    """The loss of `photographs`, with what is known of exposures as its state: sums float32 [N,2,3] of every
    photograph, of moments of its views."""

    def __init__(self, photos: Photos, distance: Distance, exposure: bool, light: Tensor | None = None) -> None:
        self.photos, self.distance, self.exposure, self.light = photos, distance, exposure, light
        self.reset()

    def reset(self) -> None:
        """Forget exposures."""
        self.sums = torch.zeros(len(self.photos), 2, 3)

    def state_dict(self) -> dict[str, Tensor]:
        return {"sums": self.sums}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.sums = state["sums"]

    def gains(self, trust: float = 1.0) -> Tensor:
        """What a rendering is multiplied with to be as bright as each photograph: [N,3]. The mean of the logarithms is
        0 over those that were seen. trust: between 0, all are 1, and 1."""
        known = self.sums[:, 1] > 0
        logarithm = torch.where(known, (self.sums[:, 0] / self.sums[:, 1].clamp(min=1e-30)).clamp(min=1e-9).log(), 0.0)
        logarithm = logarithm - logarithm.sum(0) / known.sum(0).clamp(min=1)
        limit = torch.tensor(MOST_GAIN).log()
        return torch.where(known, logarithm.clamp(-limit, limit) * trust, 0.0).exp()

    def _look(self, view: View, image: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
        """Take a step's views in, as images [B,3,H,W] show them; return their gains [B,3]."""
        new = torch.zeros(len(self.photos), 2, 3, dtype=torch.float64)
        least = LEAST * weight.double().sum((2, 3))[:, None]
        new.index_add_(0, view.frame.cpu(), (moments(image, goal, weight)[:, :2] + least).cpu())
        new = distributed.averaged(new).float()
        self.sums = torch.where(new > 0, DECAY * self.sums + new, self.sums)
        return self.gains(min(1.0, 2 * view.step / view.steps))[view.frame.cpu()].to(image)

    def __call__(self, view: View) -> Tensor:
        if view.cameras is None or view.frames != len(self.photos):
            raise OptionError(
                "photographs() needs views of its photographs; give optimize cameras=texopt.PhotoCameras(photos, mesh)"
            )
        height, width = view.image.shape[2:]
        parts = []
        for row, index in enumerate(view.frame.tolist()):
            [window] = windows(self.photos[index], view.cameras[row : row + 1])
            parts.append(cut(self.photos, index, window, height, width))
        goal, counts = (torch.stack(part).to(view.image) for part in zip(*parts, strict=True))
        weight = inner(view.mask) * counts
        image = view.image if self.light is None else under(self.light, view.image, view.normal, view.to_camera)
        if self.exposure:
            image = image * self._look(view, image, goal, weight)[:, :, None, None]
        if self.distance == "ssim":
            apart = (1 - ssim(image, goal, weight)) / 2
        else:
            apart = (image - goal).abs() if self.distance == "l1" else (image - goal).square()
        pixels = weight.sum((1, 2, 3)).clamp(min=FEW * height * width)
        return (apart * weight).sum((1, 2, 3)) / (3 * pixels)


def photographs(
    photos: Photos, distance: Distance = "l1", exposure: bool = True, light: Tensor | None = None
) -> Objective:  # fmt: skip
    """Have every view look as the photograph with its camera does: the texture of a mesh from photographs.

        mesh, photos = texopt.load_mesh("scan.obj"), texopt.read_photos("photos/transforms.json")
        cameras = texopt.PhotoCameras(photos, mesh)
        texture = texopt.PyramidTexture(1024, start=(0.5, 0.5, 0.5))
        views = texopt.Views(cameras=cameras, size=cameras.size)
        result = texopt.optimize(mesh, texture, texopt.photographs(photos), views=views,
                                 backbone="none", steps=400)
        result.export("outputs/scan.glb")

    Pixels count where the object is, but for its outline, and where the photograph's mask lets them. What photographs
    differ in exposure and white balance is found on the way: the least-squares gain of each of their channels, from
    moving averages, with all of them 1 at the start and their geometric mean 1 always. Inverse rendering with known
    geometry and cameras; compare Zhou & Koltun, "Color Map Optimization for 3D Reconstruction with Consumer Depth
    Cameras", 2014.

    Args:
        photos: of read_photos; those of the run's cameras.
        distance: mean absolute distance, mean squared distance, or (1 - SSIM) / 2 (structural_similarity.py). They add
            up: photographs(photos) + 0.2 * photographs(photos, "ssim").
        exposure: whether photographs may differ in it.
        light: an environment [9,3], as of find_light, that the photographs were taken in: the texture is then of base
            colours. By default the light stays in it.
    """
    if distance not in get_args(Distance):
        raise OptionError(f"distance has to be one of {', '.join(get_args(Distance))}, not {distance!r}")
    if light is not None and (not isinstance(light, Tensor) or light.shape != (9, 3)):
        got = list(light.shape) if isinstance(light, Tensor) else type(light).__name__
        raise OptionError(f"light has to be an environment [9,3], as of texopt.find_light, not {got}")
    return objective(Photographs(photos, distance, exposure, light), f"photographs_{distance}")
