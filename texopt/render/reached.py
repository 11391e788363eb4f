"""Which texels of a mesh's textures some views look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from texopt.mesh.mesh import Mesh
from texopt.render.cameras import fixed_views
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.render.scene import Scene

COVERAGE_VIEWS, COVERAGE_SIZE = 48, 512
COVERAGE_TEXELS = 2048  # a side; views of that size see no finer ones

Coverage = Callable[[Scene], Iterator[Fragments]]  # views that together see what of a mesh is to be seen


def _level_by_area(fragments: Fragments) -> Fragments:
    """The fragments with footprints shrunk to the level of a circle of their area.

    The level is that of the longer axis, so that a surface seen at a grazing angle looks up blocks of texels that reach
    far into other charts, whether anything sees those or not.
    """
    a, b, c, d = fragments.uv_da.unbind(-1)
    squares, area = a.square() + b.square() + c.square() + d.square(), (a * d - b * c).abs()
    longer = (squares + (squares.square() - 4 * area.square()).clamp(min=0).sqrt()) / 2  # the axis, squared
    return replace(fragments, uv_da=fragments.uv_da * (area / longer.clamp(min=1e-30)).sqrt()[..., None])


def all_around(scene: Scene) -> Iterator[Fragments]:
    """Views from all around."""
    cameras = fixed_views(COVERAGE_VIEWS)
    for start in range(0, COVERAGE_VIEWS, 8):  # eight at a time bound the memory
        yield scene.rasterize(cameras[start : start + 8], COVERAGE_SIZE)


def reached_texels(mesh: Mesh, sizes: Sequence[tuple[int, int]], coverage: Coverage = all_around) -> list[Tensor]:
    """bool [H,W], one a map that is optimised: texels that views look at, at whatever mip level.

    sizes: (height, width) of those maps. coverage: the views.
    """
    reached: list[Tensor | None] = [None] * len(mesh.maps)
    for index, (height, width) in zip(mesh.optimized, sizes, strict=True):
        reached[index] = torch.zeros(1, min(height, COVERAGE_TEXELS), min(width, COVERAGE_TEXELS), requires_grad=True)
    for fragments in coverage(Scene(mesh, optimized=True)):
        there = _level_by_area(fragments.pick(fragments.mask.flatten().nonzero()[:, 0]))
        seen = look_up(reached, there)[:, 0] * there.mask
        if seen.requires_grad:
            seen.sum().backward()  # type: ignore[no-untyped-call]
    found = [image.detach() if image.grad is None else image.grad for image in reached if image is not None]
    return [_enlarged(image[0] > 0, size) for image, size in zip(found, sizes, strict=True)]


def _enlarged(image: Tensor, size: tuple[int, int]) -> Tensor:
    """[h,w] -> [H,W], every texel as many times as it takes, about."""
    rows, columns = (torch.arange(large) * small // large for large, small in zip(size, image.shape, strict=True))
    return image[rows][:, columns]
