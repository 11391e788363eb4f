"""Strokes that follow a direction along the surface."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.objectives.terms import Objective, objective
from texopt.objectives.view import View
from texopt.render.fragments import Fragments
from texopt.render.surface_directions import Field, check_direction, direction_field

LEVELS = 3  # of the image pyramid: derivatives over 1, 2 and 4 pixels
FAINT = 0.01  # change of colour a pixel, under which an edge counts by its square
LITTLE = 1e-7  # change of colour a pixel, in no direction, that is added for where there is no other
JUMP = 2.0  # pixels that a neighbour is in front of or behind the surface, which is another part of the object then

Direction = Callable[[View], Tensor]


def strokes(direction: str | Direction, where: str = "") -> Objective:
    """Have brush strokes run along a direction on the surface.

    Where they do, colours change across the direction and not along it. With the derivatives of the image along it, a,
    and across it, b, both on the surface, over the three colours,

        loss = Σ w a² / m / Σ w (a² + b²) / m,    m = √(a² + b² + ε²)

    is 0 where all edges run along the direction, 1 where they run across, 1/2 where they have none. It is the share of
    one axis in the structure tensor (Bigün & Granlund 1987; of colours: Di Zenzo, "A Note on the Gradient of a
    Multi-Image", 1986), which is the form of the flow fields that painterly renderings follow (Litwinowicz 1997;
    Hertzmann 1998; Kang, Lee & Chui 2007). Dividing by m has strong edges count by their size and not its square.
    Measured on the surface, it is the same for every view of it, however oblique. The mean over three levels of an
    image pyramid, for strokes of several sizes. Outlines, where another part of the object or the background begins, do
    not count.

    Args:
        direction: a text as of render.surface_directions.direction_field: "curvature", "around:y", "along:x", an image
            painted on the UVs. Or a function from a View to vectors [B,3,H,W] in the mesh's own coordinates, of which
            the part along the surface counts, and of that the length, up to 1, as the pixel's weight w; signs mean
            nothing.
        where: the part of the surface that it is for, as texopt.render.regions names them; "" is all of it.

    OptionError for what is no direction; when a view is looked at, for one that is not on its mesh.
    """
    if isinstance(direction, str):
        check_direction(direction)
        vectors = _named(direction)
    elif callable(direction):
        vectors = direction
    else:
        raise OptionError(f"direction has to be a text or a function of a View, not {direction!r}")

    def loss(view: View) -> Tensor:
        with torch.no_grad():
            normal = face_normal(view.fragments)
            along, across, weight = _axes(view, _checked(vectors(view), view), normal)
            solid = (view.where(where) if where else view.mask) * _one_surface(view, normal)
        image = view.image
        along, across, weight, solid = (one.to(image) for one in (along, across, weight, solid))
        shares = []
        for level in range(LEVELS):
            if level:
                image, solid = F.avg_pool2d(image, 2), -F.max_pool2d(-solid, 2)
            there = [_every(one, level, image.shape[2:]) for one in (along, across, weight)]
            shares.append(_share(image, there[0], there[1], there[2] * _shrunk(solid)))
        return torch.stack(shares).mean(0)

    return objective(loss, "strokes")


def _named(direction: str) -> Direction:
    """Of a text, for whatever mesh is seen."""
    fields: WeakKeyDictionary[Mesh, Field] = WeakKeyDictionary()

    def vectors(view: View) -> Tensor:
        mesh = view.fragments.known_scene().mesh
        if mesh not in fields:
            fields[mesh] = direction_field(mesh, direction)
        return fields[mesh](view.fragments).permute(0, 3, 1, 2)

    return vectors


def _checked(vectors: Tensor, view: View) -> Tensor:
    shape = (len(view.image), 3, *view.image.shape[2:])
    if not isinstance(vectors, Tensor) or vectors.shape != shape:
        got = list(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
        raise OptionError(f"direction has to return vectors {list(shape)}, one a pixel, not {got}")
    return vectors


def _axes(view: View, vectors: Tensor, normal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What steps along and across directions on the surface are in the image.

    normal: [3,B,H,W]. Returns (along [B,2,H,W], across [B,2,H,W], weight [B,1,H,W]): X right and Y down, of steps as
    long on the surface; 1 is the length of one that is not foreshortened.
    """
    vectors = vectors.movedim(1, 0).contiguous()
    tangent = vectors - _dot(vectors, normal) * normal
    flat = _dot(tangent, tangent).sqrt()
    weight = flat / _dot(vectors, vectors).sqrt().clamp(min=1)
    tangent = tangent / flat.clamp(min=1e-12)
    along, across = projected(view, tangent, _cross(normal, tangent))
    # the larger singular value: perspective and the size of the view, without the foreshortening
    (ax, ay), (bx, by) = along.unbind(1), across.unbind(1)
    squares, area = ax * ax + ay * ay + bx * bx + by * by, ax * by - ay * bx
    size = ((squares + (squares * squares - 4 * area * area).clamp(min=0).sqrt()) / 2).sqrt().clamp(min=1e-12)[:, None]
    return along / size, across / size, weight[:, None]


def face_normal(fragments: Fragments) -> Tensor:
    """The unit normal of the triangle at each pixel, whatever normals are interpolated on it: float32 [3,B,H,W]."""
    a, b, c = fragments.known_scene().corners.unbind(-2)
    normal = F.normalize(torch.cross(F.normalize(b - a, dim=-1), F.normalize(c - a, dim=-1), dim=-1), dim=-1)
    at_pixels = normal.T.contiguous()[:, fragments.face_id.clamp(min=0).long()]
    return at_pixels * fragments.mask


def projected(view: View, *tangents: Tensor) -> list[Tensor]:
    """Where points of the surface would move in the image, in pixels, X right and Y down: [B,2,H,W] for each.

    tangents: float [3,B,H,W], how fast they move, in radii of the mesh a second.
    """
    if view.cameras is None or view.geometry is None:
        raise OptionError("strokes need views of a mesh, with cameras; optimize() makes views that have both")
    height, width = view.image.shape[2:]
    point = view.fragments.unit_position.movedim(-1, 0).contiguous()
    matrix = (view.cameras.projection @ view.cameras.view).to(point)[:, [0, 1, 3]]
    rows, shift = matrix[..., :3].permute(1, 2, 0)[..., None, None], matrix[..., 3].T[..., None, None]
    x, y, depth = (_dot(row, point) + more for row, more in zip(rows, shift, strict=True))
    squared = (depth * depth).clamp(min=1e-12)
    found = []
    for tangent in tangents:
        right, up, away = (_dot(row, tangent) for row in rows)
        step = [width / 2 * (right * depth - x * away) / squared, -height / 2 * (up * depth - y * away) / squared]
        found.append(view.geometry.turned(torch.stack(step, 1)))
    return found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[3,...] -> [...], by planes, in this order."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """[3,...], by planes."""
    return torch.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


def _one_surface(view: View, normal: Tensor) -> Tensor:
    """1 where the pixels to the right and below show the same part of the object, and 0 elsewhere: [B,1,H,W]."""
    point = view.fragments.unit_position.movedim(-1, 0).contiguous()
    same = view.fragments.mask.float()
    for dim in (2, 3):
        count = point.shape[dim] - 1
        step = point.narrow(dim, 1, count) - point.narrow(dim, 0, count)
        # at a crease the neighbour lies in the plane of one of the two
        first, second = (_dot(step, normal.narrow(dim, start, count)).abs() for start in (0, 1))
        same.narrow(dim - 1, 0, count).mul_(torch.minimum(first, second) < JUMP / view.scale)
    return same[:, None]


def _shrunk(solid: Tensor) -> Tensor:
    """1 where a pixel and all around it are."""
    least: Tensor = -F.max_pool2d(-solid, 3, 1, 1)
    return least


def _every(values: Tensor, level: int, size: torch.Size) -> Tensor:
    """Every other pixel, or every fourth: what an image of a level of the pyramid has in the middle of its pixels."""
    step = 1 << level
    return values[..., step // 2 :: step, step // 2 :: step][..., : size[0], : size[1]]


def _share(image: Tensor, along: Tensor, across: Tensor, weight: Tensor) -> Tensor:
    """The share of changes along a direction in all, [B]: 1/2 where there are none."""
    x, y = _derivatives(image)
    weight = weight[..., 1:-1, 1:-1]
    (ax, ay), (bx, by) = (one[..., 1:-1, 1:-1].split(1, 1) for one in (along, across))
    a, b = ((dx * x + dy * y).square().sum(1, keepdim=True) for dx, dy in ((ax, ay), (bx, by)))
    weight = weight / (a + b + FAINT**2).sqrt()
    little = LITTLE * a[0].numel()
    share: Tensor = (_summed(weight * a) + little / 2) / (_summed(weight * (a + b)) + little)
    return share


def _derivatives(image: Tensor) -> tuple[Tensor, Tensor]:
    """Along X and Y, a pixel, of all but the outermost pixels (Scharr 2000, the same for every angle)."""

    def smooth(values: Tensor, dim: int) -> Tensor:
        first, middle, last = (values.narrow(dim, start, values.shape[dim] - 2) for start in range(3))
        return (3 * first + 10 * middle + 3 * last) / 16

    def difference(values: Tensor, dim: int) -> Tensor:
        count = values.shape[dim] - 2
        return (values.narrow(dim, 2, count) - values.narrow(dim, 0, count)) / 2

    return smooth(difference(image, 3), 2), smooth(difference(image, 2), 3)


def _summed(values: Tensor) -> Tensor:
    """[B,1,H,W] -> [B]. By row first: how torch divides the sum of a single number depends on its threads."""
    summed: Tensor = values.sum(3).sum((1, 2))
    return summed
