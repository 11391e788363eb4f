"""Which texels of a mesh's textures some views look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from texopt.mesh.mesh import Mesh
from texopt.raster.reach import Reach
from texopt.render.cameras import fixed_views
from texopt.render.fragments import Fragments
from texopt.render.scene import Scene

COVERAGE_VIEWS, COVERAGE_SIZE = 48, 512
TOGETHER = 4  # views at a time, which bounds the memory
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
    for start in range(0, COVERAGE_VIEWS, TOGETHER):
        yield scene.rasterize(cameras[start : start + TOGETHER], COVERAGE_SIZE)


def reached_texels(mesh: Mesh, sizes: Sequence[tuple[int, int]], coverage: Coverage = all_around) -> list[Tensor]:
    """bool [H,W], one a map that is optimised: texels that views look at, at whatever mip level.

    sizes: (height, width) of those maps. coverage: the views.
    """
    reaches = [Reach(*(min(side, COVERAGE_TEXELS) for side in size)) for size in sizes]

    def add(fragments: Fragments) -> None:
        fragments = replace(fragments, scene=None, eye=None)  # which nothing here looks at
        for index, reach in zip(mesh.optimized, reaches, strict=True):
            shown = fragments.mask if len(mesh.maps) == 1 else fragments.mask & (fragments.map_id == index)
            seen = _level_by_area(fragments.at(shown.flatten().nonzero()[None, :, 0, None]).within(*reach.size))
            reach.add(seen.texture_uv.flatten(0, 2), seen.uv_da.flatten(0, 2))

    with ThreadPoolExecutor(1) as beside:  # some views are looked at while the next are drawn
        last: Future[None] | None = None
        for fragments in coverage(Scene(mesh, optimized=True)):
            if last is not None:
                last.result()
            last = beside.submit(add, fragments)
        if last is not None:
            last.result()
    return [_enlarged(reach.texels(), size) for reach, size in zip(reaches, sizes, strict=True)]


def _enlarged(image: Tensor, size: tuple[int, int]) -> Tensor:
    """[h,w] -> [H,W], every texel as many times as it takes, about."""
    rows, columns = (torch.arange(large) * small // large for large, small in zip(size, image.shape, strict=True))
    return image[rows][:, columns]
