"""CppnTexture: a small network from places to colours, drawn at any resolution."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.mesh.surface_points import random_points
from texopt.render.fragments import Fragments, texel_centers
from texopt.render.uv_raster import overlap, surface_texels
from texopt.system.pages import bands
from texopt.texture.image import check_size

SPAN = math.sqrt(3.0)  # coordinates spread evenly from -SPAN to SPAN have a standard deviation of 1
WAVES, FREQUENCY = 32, 5.0  # that places are first turned into; radians a unit, their standard deviation
CONTRAST, PLACES = 1.5, 2048  # standard deviation of colours before the sigmoid; places that it is found at
BIAS = 0.2  # times what is added to all points: biases, the mean colour
PART, CHUNK = 512, 8192  # points whose products are one, which is fixed so that digits are; points at a time
PARTS = CHUNK // PART  # at least: a product of few matrices is divided within them, by the number of threads


def _composite(x: Tensor) -> Tensor:
    angle = x.atan()
    return torch.cat([angle / 0.67, angle.square() / 0.6], 1)


# of [P,C,n]; scaled so that normally distributed values keep a mean square of 1, whatever the depth
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "composite": _composite,
    "atan": lambda x: x.atan() / 0.67,
    "tanh": lambda x: x.tanh() / 0.63,
    "sin": lambda x: x.sin() / 0.66,
    "gaussian": lambda x: ((-x.square()).exp() - 0.58) / 0.34,
    "relu": lambda x: (x.relu() - 0.40) / 0.58,
}


class Cppn(nn.Module):
    """A compositional pattern producing network: coordinates -> RGB before the sigmoid.

    Waves of random directions and frequencies, linear layers that have an activation each, and a last one. Colours are
    not decorrelated as those of other textures, and so come out purer. Stanley, "Compositional pattern producing
    networks", Genetic Programming and Evolvable Machines 8, 2007; sizes and activations after lucid,
    optvis/param/cppn.py, which lacks the three things that make it follow random views of a mesh:

    - Waves, sines and cosines, not coordinates: it has details from the start, of a size. Tancik et al., "Fourier
      Features Let Networks Learn High Frequency Functions in Low Dimensional Domains", NeurIPS 2020.
    - Colours have a fixed contrast over the texture, as if by batch normalisation, and their mean is within it: what
      is of one colour soon is so saturated that no gradient comes back.
    - Weights are kept at a standard deviation of 1 and scaled as they are used, so that learning rates are those of
      other textures, whatever the width. Karras et al., "Progressive Growing of GANs", ICLR 2018, section 4.1.

    Args:
        inputs: numbers a place has: 2 of UVs, 3 of positions on a surface.
        width: of its layers.
        depth: how many of them have an activation.
        activation: "composite" (the arctangent and its square, beside one another), or one of ACTIVATIONS.
        generator: of its starting values; by default seeded with 0.

    OptionError for an activation or a size that there is not.
    """

    def __init__(
        self, inputs: int = 2, width: int = 24, depth: int = 8, activation: str = "composite",
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if activation not in ACTIVATIONS:
            raise OptionError(f"a CPPN has no activation {activation!r}; take one of {', '.join(ACTIVATIONS)}")
        if min(inputs, width, depth) < 1:
            raise OptionError(f"a CPPN has at least 1 input, width and depth, not {inputs}, {width} and {depth}")
        generator = generator or Generator().manual_seed(0)
        self.inputs, self.activation = inputs, activation
        outputs = width * (2 if activation == "composite" else 1)
        self.layers = nn.ModuleList(
            [_linear(outputs if index else 2 * WAVES, width, generator) for index in range(depth)]
        )
        self.last = _linear(outputs, 3, generator)
        self.mean = nn.Parameter(torch.zeros(3))  # of all colours
        self.register_buffer("waves", FREQUENCY * torch.randn(inputs, WAVES, generator=generator))
        self.waves: Tensor

    def forward(self, points: Tensor, everywhere: Tensor) -> Tensor:
        """[N,inputs] -> [N,3]. everywhere: points [M,inputs] all over the texture, over which contrast is fixed."""
        values = points.to(self.last.weight)
        at_a_time = CHUNK if points.device.type == "cpu" else max(len(points), 1)  # that stay in the cache
        found = torch.cat([self._values(some) for some in values.split(at_a_time)])
        spread, mean = torch.std_mean(self._values(everywhere.to(values)), 0)
        return CONTRAST * ((found - mean) / spread.clamp(min=1e-6) + (BIAS * self.mean).tanh())

    def _values(self, points: Tensor) -> Tensor:
        parts = max(-(-len(points) // PART), PARTS)
        padded = F.pad(points, (0, 0, 0, parts * PART - len(points)))
        phase = (padded @ self.waves).reshape(parts, PART, WAVES).transpose(1, 2)
        x = math.sqrt(2) * torch.cat([phase.sin(), phase.cos()], 1)
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](_product(layer, x))
        return _product(self.last, x).transpose(1, 2).flatten(0, 1)[: len(points)]


def _linear(inputs: int, outputs: int, generator: Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    return layer


def _product(layer: nn.Module, x: Tensor) -> Tensor:
    """[P,in,n] -> [P,out,n], a product for each part, so that no sum depends on how many threads there are."""
    assert isinstance(layer, nn.Linear)
    weight = layer.weight * layer.in_features**-0.5
    return torch.baddbmm(BIAS * layer.bias[:, None], weight.expand(len(x), -1, -1), x)


class CppnTexture(nn.Module):
    """A texture that a network computes from where a point is, so that it is sharp at whatever size it is baked.

    Patterns are smooth shapes with crisp edges, as of vector graphics. From UVs as here, or with `on` from the position
    on the surface, where there are no seams. Mordvintsev et al., "Differentiable Image Parameterizations", Distill
    2018, compositional pattern producing networks.

    Args:
        size: texels a side that it is baked with by default, or (height, width); powers of two.
        network: by default Cppn().
        surface: a mesh and the index of its map, for coordinates on the surface; see `on`.
        scale: of the coordinates; at 2 patterns start twice as fine. Of UVs also (of u, of v).
    """

    def __init__(
        self, size: int | tuple[int, int] = 512, network: Cppn | None = None, surface: tuple[Mesh, int] | None = None,
        scale: float | tuple[float, float] = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.height, self.width = (size, size) if isinstance(size, int) else size
        for side in (self.height, self.width):
            check_size(side)
        wanted = 2 if surface is None else 3
        self.network = network or Cppn(wanted)
        if self.network.inputs != wanted:
            raise OptionError(f"a CPPN of such places has {wanted} inputs, not {self.network.inputs}")
        self.surface, self.scale = surface, scale
        self.register_buffer("span", SPAN * torch.tensor(scale).expand(wanted), persistent=False)  # of coordinates
        self.span: Tensor
        corners = (
            None if surface is None else self.span * surface[0].unit_vertices(True)[surface[0].faces.astype("int64")]
        )
        self.register_buffer("corners", corners, persistent=False)  # [F,3,3]
        self.corners: Tensor | None
        self.register_buffer("everywhere", self._everywhere(), persistent=False)
        self.everywhere: Tensor

    @staticmethod
    def on(
        mesh: Mesh, size: int = 1024, network: Cppn | None = None, scale: float = 1.0
    ) -> list[CppnTexture]:  # fmt: skip
        """A texture for each map that is optimised, all of one network, from positions on the surface in the unit
        sphere: what meets on the surface has one colour, wherever it is in the textures.

        size: texels a side of the largest, see Mesh.map_sizes. network: by default Cppn(3). scale: of the coordinates.

        OptionError where parts of the surface share texels, which can have only one colour.
        """
        for index in mesh.optimized:
            if overlap(mesh.uvs, mesh.face_uvs[mesh.face_map == index]):
                raise OptionError(
                    f"parts of {mesh.name} share one texture; load_mesh(..., unwrap=True) gives each its own"
                )
        network = network or Cppn(3)
        return [
            CppnTexture(side, network, (mesh, index), scale)
            for side, index in zip(mesh.map_sizes(size), mesh.optimized, strict=True)
        ]

    def _everywhere(self) -> Tensor:
        """Coordinates [PLACES,2 or 3] of random places all over the texture, or the whole surface."""
        if self.surface is None or self.corners is None:
            return self.span * (2 * torch.rand(PLACES, 2, generator=Generator().manual_seed(0)) - 1)
        return torch.from_numpy(random_points(self.surface[0], PLACES).between(self.corners.numpy())).float()

    def _coordinates(self, fragments: Fragments, pixels: Tensor | slice) -> Tensor:
        """[N,2 or 3] of some pixels, within `span` of zero."""
        if self.corners is None:
            uv = fragments.within(self.height, self.width).uv.flatten(0, 2)[pixels]
            return self.span * (2 * (uv - uv.floor()) - 1)
        faces, bary = fragments.face_id.flatten()[pixels], fragments.bary.flatten(0, 2)[pixels]
        weights = torch.cat([bary, 1 - bary.sum(1, keepdim=True)], 1)
        return (self.corners[faces.clamp(min=0).long()] * weights[..., None]).sum(1)

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels; grey where nothing is."""
        # a GPU computes them all, as how many are drawn would have to be waited for
        pixels = fragments.mask.flatten().nonzero()[:, 0] if fragments.mask.device.type == "cpu" else slice(None)
        found: Tensor = self.network(self._coordinates(fragments, pixels), self.everywhere)
        values = found.new_zeros(fragments.mask.numel(), 3)
        values[pixels] = found
        return values.reshape(*fragments.mask.shape, 3).permute(0, 3, 1, 2).sigmoid()

    @torch.no_grad()
    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3,height,width], computed at that size; by default its own.

        On a surface it is grey from one texel beyond charts on.
        """
        height, width, device = height or self.height, width or self.width, self.network.last.weight.device
        texels = partial(texel_centers, device=device) if self.surface is None else self._surface_texels
        out = torch.empty(3, height, width, device=device)
        for rows in bands(height, width):
            out[:, rows] = self.sample(texels(height, width, rows))[0]
        return out

    def _surface_texels(self, height: int, width: int, rows: slice) -> Fragments:
        assert self.surface is not None
        mesh, index = self.surface
        return surface_texels(mesh, index, height, width, rows, self.network.last.weight.device)


@torch.no_grad()
def blend_cppns(first: CppnTexture, last: CppnTexture, share: float) -> CppnTexture:
    """A texture between two, of the size of the first: their weights, interpolated (0: the first, 1: the last).

    Pictures between are good where one was optimised from the weights of the other: CppnTexture(size,
    copy.deepcopy(first.network)). lucid's notebook xy2rgb, interpolating between CPPN parameters.

    OptionError where the networks have other sizes or activations.
    """
    a, b = first.network, last.network
    shapes = [[value.shape for value in network.parameters()] for network in (a, b)]
    if shapes[0] != shapes[1] or a.activation != b.activation:
        raise OptionError("only CPPNs of one width, depth and activation can be blended")
    network = copy.deepcopy(a)
    for value, one, other in zip(*(each.state_dict().values() for each in (network, a, b)), strict=True):
        value.copy_(torch.lerp(one, other, share))
    return CppnTexture((first.height, first.width), network, first.surface, first.scale).to(a.last.weight.device)
