"""An image as a mesh: a rectangle that shows it. So all that is for meshes is for images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.system.pictures import Painting, loaded, several

GAP = 0.1  # between pictures, in their shorter sides
SLACK = 1.1  # how many times larger than its texture an image may be
GREY = 117  # the mean of ImageNet's photographs


def canvas(
    images: Painting | Sequence[Painting] | None = None, size: tuple[int, int] = (512, 512), frames: int = 1,
    tileable: bool = False, name: str = "image",
) -> Mesh:  # fmt: skip
    """A mesh that shows an image, or several: flat rectangles beside one another, each with its texture and its UVs.

    Everything that optimises textures of meshes works with it, seen by `whole` or `crops`:

        mesh = texopt.canvas("photo.jpg")
        texture = texopt.FourierTexture((512, 1024))  # powers of two, about as large as the photo
        views = texopt.Views(cameras=texopt.whole(mesh), size=256)
        texopt.optimize(mesh, texture, texopt.channel("blocks.4", 17), views=views)
        picture = texture.bake(480, 640)

    Args:
        images: files or Pillow images, of one size; None is grey.
        size: (height, width) in pixels of what is grey.
        frames: how many pictures, where there are no images.
        tileable: the texture goes on beyond its borders, so that crops see across them.
        name: of the mesh.

    OptionError where images differ in size, or there are no frames.
    """
    if images is None:
        if frames < 1 or min(size) < 1:
            raise OptionError(f"a canvas has at least one frame of one pixel, not {frames} of {size}")
        pictures = [np.full((*size, 3), GREY, np.uint8)] * frames
    else:
        pictures = [np.array(loaded(image).convert("RGB")) for image in several(images)]
        if len({picture.shape for picture in pictures}) != 1:
            raise OptionError("images of a canvas have to be of one size; scale them")
    height, width = (side / min(pictures[0].shape[:2]) for side in pictures[0].shape[:2])
    low, high = (-0.5, 1.5) if tileable else (0.0, 1.0)
    columns = math.ceil(math.sqrt(len(pictures)))
    step = np.array([width, -height]) * (high - low) + np.array([GAP, -GAP])
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    place = np.stack([np.arange(len(pictures)) % columns, np.arange(len(pictures)) // columns], 1) * step
    flat = (place[:, None] + corners * [width, height]).reshape(-1, 2)
    faces = (4 * np.arange(len(pictures))[:, None, None] + [[0, 1, 2], [0, 2, 3]]).reshape(-1, 3).astype(np.int32)
    shown = np.repeat(np.arange(len(pictures), dtype=np.int32), 2)
    names = tuple(f"frame{index + 1}" for index in range(len(pictures))) if len(pictures) > 1 else ("",)
    return Mesh(
        name, np.pad(flat, ((0, 0), (0, 1))), faces, np.tile(corners, (len(pictures), 1)), faces.copy(), None, None,
        tuple(TextureMap(picture, label) for picture, label in zip(pictures, names, strict=True)), shown, names, shown,
    )  # fmt: skip


def canvas_size(height: int, width: int) -> tuple[int, int]:
    """The size of a texture for an image of height x width pixels: the powers of two that hold it."""
    rows, columns = (2 ** math.ceil(math.log2(max(side / SLACK, 8))) for side in (height, width))
    return rows, columns
