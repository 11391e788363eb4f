"""doctor: whether the installed pipeline's gradients are right, and how large they are on their way to the texture.

    texture -> rasterize -> sample -> composite -> network -> loss

On their way back they are compared with central differences along a direction: first in float64, where all is torch's
(texopt.raster.portable), then what draws here, in float32, with the gradient found there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from texopt import Views
from texopt.features.extractor import FeatureExtractor
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.objectives.terms import Loss, Objective, as_objective
from texopt.objectives.view import View
from texopt.optim.loop import optimize
from texopt.raster import backends
from texopt.raster.backends import PORTABLE, Backend
from texopt.render.backgrounds import composite
from texopt.render.cameras import fixed_views
from texopt.render.fragments import Fragments
from texopt.render.scene import Scene
from texopt.show.history import Step
from texopt.system.constants import constant
from texopt.texture import CppnTexture, FourierTexture, PixelTexture, PyramidTexture, SharedTexture, TransparentTexture

EXACT, SINGLE = 1e-6, 1e-3  # relative errors that are none, of float64 and of float32
ROUGH = 0.02  # of differences in float32, whose loss has seven digits
LENGTHS = {torch.float64: 1e-4, torch.float32: 1e-2}  # of the differences, in units of the parameters
VANISHING, EXPLODING = 1e-8, 1e6
FOOTPRINTS = (1.0, 0.01)  # of the views' pixels: the second one's are looked up as from near, in the finest levels
STEPS, VIEW, TEXELS = 5, 128, 256

TEXTURES: dict[str, Callable[[], nn.Module]] = {
    "fourier": lambda: FourierTexture(32),
    "pixel": lambda: PixelTexture(32),
    "pyramid": lambda: PyramidTexture(32),
    "pyramid, sparse": lambda: PyramidTexture((16, 2048)),  # with a level that is not decoded
    "shared": lambda: SharedTexture(FourierTexture(32), FourierTexture(16)),
    "transparent": lambda: TransparentTexture(FourierTexture(32), 32),
    "cppn": lambda: CppnTexture(32),
    "cppn, on a surface": lambda: CppnTexture(32, surface=(cube(), 0)),
}


@dataclass(frozen=True)
class Gradient:
    """Relative errors of the gradient to a texture.

    exact: in float64 from central differences. single: of what draws here, in float32, from central differences.
    apart: of what draws here from that in float64.
    """

    name: str
    exact: float
    single: float
    apart: float

    @property
    def fine(self) -> bool:
        return self.exact < EXACT and self.single < ROUGH and self.apart < SINGLE  # NaN is not


@dataclass(frozen=True)
class Stage:
    """The norms of the gradient at a stage between texture and loss, one a step."""

    name: str
    norms: tuple[float, ...]

    @property
    def problem(self) -> str:
        """What is wrong with them, or ""."""
        if not all(map(math.isfinite, self.norms)):
            return "not finite"
        if max(self.norms) > EXPLODING:
            return "explodes"
        return "vanishes" if min(self.norms) < VANISHING else ""


def cube() -> Mesh:
    """A cube whose sides each show the whole of a checkerboard."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))], np.int32)
    squares = (np.indices((8, 8)).sum(0) % 2 * 128 + 64).astype(np.uint8)
    uvs, shown = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), np.array([[0, 1, 2], [0, 2, 3]] * 6, np.int32)
    return Mesh("cube", corners, faces, uvs, shown, None, None, (TextureMap(np.stack([squares] * 3, -1)),))


class _Loss:
    """A loss of a texture's parameters: the cube, seen by small smooth random convolutions.

    Without kinks, so that differences across it are those of its slope.
    """

    def __init__(self, texture: nn.Module, backend: Backend, device: torch.device, dtype: torch.dtype) -> None:
        fragments = Scene(cube(), device, "cpu").rasterize(fixed_views(len(FOOTPRINTS)), 24)
        self.texture, self.mask = texture.to(device, dtype), fragments.mask[:, None]
        fragments = replace(
            fragments, uv_da=fragments.uv_da * constant(FOOTPRINTS, fragments.uv_da)[:, None, None, None]
        )
        self.fragments = replace(
            fragments, backend=backend, **{name: getattr(fragments, name).to(dtype) for name in ("uv", "uv_da", "bary")}
        )
        random = Generator().manual_seed(0)
        shapes = ((3, 24, 24), (6, 3, 3, 3), (6, 6, 3, 3))
        self.behind, *self.weights = (torch.randn(*shape, generator=random).to(device, dtype) for shape in shapes)
        self.parameters = [one for one in texture.parameters() if one.requires_grad]

    def __call__(self) -> Tensor:
        features = composite(self.texture.sample(self.fragments), self.mask, self.behind.sigmoid())  # type: ignore[operator]
        for weight in self.weights:
            features = F.conv2d(features, 0.4 * weight, stride=2).tanh()
        return features.square().mean()

    def gradient(self) -> list[Tensor]:
        """To every parameter, dense."""
        found = torch.autograd.grad(self(), self.parameters, materialize_grads=True)
        return [grad.to_dense() if grad.is_sparse else grad for grad in found]

    @torch.no_grad()
    def slope(self, direction: list[Tensor], length: float) -> float:
        """The central difference along a direction."""
        values = []
        for side in (length, -2 * length):
            for parameter, part in zip(self.parameters, direction, strict=True):
                parameter.add_(part, alpha=side)
            values.append(float(self()))
        for parameter, part in zip(self.parameters, direction, strict=True):
            parameter.add_(part, alpha=length)
        return (values[0] - values[1]) / (2 * length)


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(one.detach().double().square().sum()) for one in tensors))


def _error(loss: _Loss, grads: list[Tensor]) -> float:
    """How far the slope that gradients predict is from the central difference, relative to it."""
    generator = Generator().manual_seed(1)
    random = [torch.randn(grad.shape, generator=generator).to(grad) for grad in grads]
    size, other = _norm(grads), _norm(random)
    direction = [grad / size + one / other for grad, one in zip(grads, random, strict=True)]
    predicted = sum(float((grad * part).sum()) for grad, part in zip(grads, direction, strict=True))
    return abs(loss.slope(direction, LENGTHS[grads[0].dtype]) - predicted) / abs(predicted)


def gradients(device: torch.device | str = "cpu", raster: str = "auto") -> Iterator[Gradient]:
    """Check the gradient to each parameterisation of the texture, on `device`, as `raster` draws (see optimize)."""
    for name, make in TEXTURES.items():
        exact = _Loss(make(), PORTABLE, torch.device("cpu"), torch.float64)
        single = _Loss(make(), backends.select(raster, device), torch.device(device), torch.float32)
        wanted, found = exact.gradient(), single.gradient()
        apart = [one.cpu().double() - other for one, other in zip(found, wanted, strict=True)]
        yield Gradient(name, _error(exact, wanted), _error(single, found), _norm(apart) / _norm(wanted))


class _Watched(nn.Module):
    """A texture that keeps the colours it was asked for."""

    def __init__(self, texture: nn.Module) -> None:
        super().__init__()
        self.texture, self.colors = texture, torch.zeros(())

    def sample(self, fragments: Fragments) -> Tensor:
        self.colors = self.texture.sample(fragments)  # type: ignore[operator]
        self.colors.retain_grad()
        return self.colors

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        image: Tensor = self.texture.bake(height, width)  # type: ignore[operator]
        return image


def stages(
    mesh: Mesh, goal: Objective | Loss, extractor: FeatureExtractor, device: str = "cpu", raster: str = "auto"
) -> list[Stage]:
    """The norms of the gradient in STEPS steps of optimize, from the loss back to the texture's parameters."""
    starts = [mesh.originals()[index] for index in mesh.optimized]
    textures = [_Watched(PyramidTexture(TEXELS, start=start)) for start in starts]
    norms: dict[str, list[float]] = {}
    seen: dict[str, Tensor] = {}

    def watch(view: View) -> Tensor:  # after the goal has asked for its features
        seen.clear()
        seen.update({f"features {layer}": view.features[layer] for layer in view.features}, image=view.image)
        for tensor in seen.values():
            tensor.retain_grad()
        return view.image.new_zeros(())

    def read(_: Step) -> None:
        found = {name: [tensor] for name, tensor in seen.items()} | {
            "colours": [texture.colors for texture in textures],
            "texture": [one for texture in textures for one in texture.parameters()],
        }
        for name, tensors in found.items():
            grads = [tensor.grad for tensor in tensors if tensor.grad is not None]
            norms.setdefault(name, []).append(
                _norm(grad.coalesce().values() if grad.is_sparse else grad for grad in grads)
            )

    optimize(
        mesh,
        textures,
        as_objective(goal) + watch,
        steps=STEPS,
        views=Views(size=VIEW // extractor.stride * extractor.stride),
        backbone=extractor,
        device=device,
        raster=raster,
        on_step=read,
    )
    return [Stage(name, tuple(values)) for name, values in norms.items()]
