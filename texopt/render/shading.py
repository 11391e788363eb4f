"""Light on a surface: glTF's metallic-roughness material under distant lights and an environment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from texopt.errors import OptionError
from texopt.render.cameras import Cameras
from texopt.system.devices import to_device

DIELECTRIC = 0.04  # reflectance at normal incidence of what is no metal, glTF's index of refraction of 1.5
SMOOTHEST = 0.045  # roughness; a smoother surface shows a distant light as a point, which no pixel sees

# Irradiance of an environment in spherical harmonics of degree 2: what the cosine leaves of each degree (Ramamoorthi &
# Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001, equations 3, 7 and 8).
COSINE = (math.pi,) + (2 * math.pi / 3,) * 3 + (math.pi / 4,) * 5
HARMONICS = (0.282095, 0.488603, 1.092548, 0.315392, 0.546274)  # factors of the real harmonics


@dataclass(frozen=True, eq=False)
class Light:
    """What falls on objects, of each of B images.

    directions: float32 [B,L,3], from the object to distant lights, in the mesh's coordinates, of any length. colors:
    float32 [B,L,3], linear RGB, their illuminance: a white surface that faces a light of π is 1. environment: float32
    [B,9,3], linear RGB, radiance from all around in real spherical harmonics of degree 2, in the order (0,0), (1,-1),
    (1,0), (1,1), (2,-2), ... of x, y and z.
    """

    directions: Tensor
    colors: Tensor
    environment: Tensor

    def __post_init__(self) -> None:
        for name in ("directions", "colors", "environment"):
            values = getattr(self, name)
            if not isinstance(values, Tensor) or not values.is_floating_point():
                got = values.dtype if isinstance(values, Tensor) else type(values).__name__
                raise OptionError(f"{name} of a light has to be a tensor of floats, not {got}")
        shapes = {name: tuple(getattr(self, name).shape) for name in ("directions", "colors", "environment")}
        count = shapes["environment"][0] if shapes["environment"] else 0
        lights = shapes["directions"][1:2]
        for name, rows in (("directions", lights), ("colors", lights), ("environment", (9,))):
            if shapes[name] != (count, *rows, 3):
                raise OptionError(
                    f"a light has directions [B,L,3], colors [B,L,3] and environment [B,9,3]; {name} is "
                    f"{list(shapes[name])}"
                )

    def __len__(self) -> int:
        return len(self.environment)

    def for_images(self, count: int, like: Tensor) -> Light:
        """The light of `count` images, where there is only one, the same for all; as a tensor's dtype and device."""
        pieces = (self.directions, self.colors, self.environment)
        return Light(*(to_device(piece.expand(count, -1, -1).to(like.dtype), like.device) for piece in pieces))

    def of_pixels(self, image: Tensor) -> Light:
        """The light on each of some pixels. image: int64 [N], which image each is of."""
        return replace(
            self, directions=self.directions[image], colors=self.colors[image], environment=self.environment[image]
        )


Lighting = Callable[[Generator, Cameras], Light]  # a light for each camera


def environment_of(color: Tensor) -> Tensor:
    """An environment of one radiance all around: [B,3] -> [B,9,3]."""
    rest = color.new_zeros(len(color), 8, 3)
    return torch.cat([color[:, None] / HARMONICS[0], rest], 1)


def harmonics(direction: Tensor) -> Tensor:
    """The nine real spherical harmonics of unit vectors [N,3]: [N,9]."""
    x, y, z = direction.unbind(-1)
    c0, c1, c2, c3, c4 = HARMONICS
    return torch.stack([
        torch.full_like(x, c0), c1 * y, c1 * z, c1 * x, c2 * x * y, c2 * y * z, c3 * (3 * z * z - 1), c2 * x * z,
        c4 * (x * x - y * y),
    ], -1)  # fmt: skip


def irradiance(environment: Tensor, normal: Tensor) -> Tensor:
    """What an environment [N,9,3] sends onto surfaces with unit normals [N,3]: linear RGB [N,3], 0 or more."""
    weights = harmonics(normal) * torch.tensor(COSINE, dtype=normal.dtype, device=normal.device)
    return (environment * weights[..., None]).sum(1).clamp(min=0)


def shade(
    base: Tensor, normal: Tensor, eye: Tensor, roughness: Tensor | float, metallic: Tensor | float, light: Light
) -> Tensor:  # fmt: skip
    """The light that surfaces send to the eye, as glTF 2.0 has it (Khronos, Appendix B, "BRDF Implementation").

    Lambert's diffuse and the GGX distribution of microfacets with Smith's separable masking and Schlick's Fresnel term.
    Of an environment the diffuse part is exact to degree 2; the reflection takes its irradiance where the mirror
    points, as of a rough surface, with Karis's fit of the rest ("Physically Based Shading on Mobile", 2014).

    Args:
        base: base colours [N,3], linear RGB in [0,1].
        normal: unit normals [N,3], on the eye's side. eye: unit vectors [N,3] from the surface to the eye.
        roughness, metallic: in [0,1], [N,1] or a number.
        light: that falls on each pixel, as of Light.of_pixels.

    Returns:
        linear RGB [N,3], 0 or more. Differentiable with respect to all of them.
    """
    rough = torch.as_tensor(roughness, dtype=base.dtype, device=base.device).clamp(min=SMOOTHEST)
    metal = torch.as_tensor(metallic, dtype=base.dtype, device=base.device)
    facing = (normal * eye).sum(-1, keepdim=True).clamp(min=1e-4)
    seen = torch.zeros_like(base)
    for index in range(light.directions.shape[1]):
        toward = F.normalize(light.directions[:, index], dim=-1)
        incidence = (normal * toward).sum(-1, keepdim=True).clamp(min=0)
        reflected = _reflected(base, normal, eye, toward, incidence, facing, rough, metal)
        seen = seen + reflected * light.colors[:, index] * incidence
    mirror = F.normalize(2 * facing * normal - eye, dim=-1)
    scale, bias = _split_sum(facing, rough)
    glossy, diffuse = irradiance(light.environment, mirror), irradiance(light.environment, normal)
    dielectric = torch.lerp(base * diffuse, glossy, DIELECTRIC * scale + bias)
    conductor = (base * scale + bias) * glossy
    return seen + torch.lerp(dielectric, conductor, metal.expand(len(base), 1)) / math.pi


def _reflected(
    base: Tensor, normal: Tensor, eye: Tensor, toward: Tensor, incidence: Tensor, facing: Tensor, rough: Tensor,
    metal: Tensor,
) -> Tensor:  # fmt: skip
    """The bidirectional reflectance [N,3] of each surface towards the eye, of a light."""
    half = F.normalize(toward + eye, dim=-1)
    aligned = (normal * half).sum(-1, keepdim=True).clamp(min=0)
    fresnel = (1 - (eye * half).sum(-1, keepdim=True).abs().clamp(max=1)) ** 5
    squared = rough**4  # α², where α is the square of the roughness
    spread = squared / (math.pi * (aligned**2 * (squared - 1) + 1) ** 2)
    masked = [1 / (cosine + torch.sqrt(squared + (1 - squared) * cosine**2)) for cosine in (incidence, facing)]
    mirror = spread * masked[0] * masked[1]
    dielectric = torch.lerp(base / math.pi, mirror.expand_as(base), DIELECTRIC + (1 - DIELECTRIC) * fresnel)
    conductor = mirror * (base + (1 - base) * fresnel)
    return torch.lerp(dielectric, conductor, metal.expand(len(base), 1))


def _split_sum(facing: Tensor, rough: Tensor) -> tuple[Tensor, Tensor]:
    """(factor of the reflectance at normal incidence, what is added) of a reflection of an even environment [N,1]."""
    x, y, z, w = (
        a * rough + b for a, b in ((-1.0, 1.0), (-0.0275, 0.0425), (-0.572, 1.04), (0.022, -0.04))
    )  # fmt: skip
    edge = torch.minimum(x * x, torch.exp2(-9.28 * facing)) * x + y
    return -1.04 * edge + z, 1.04 * edge + w


def lamp(azimuth: float = -40.0, elevation: float = 35.0, key: float = 0.8, ambient: float = 0.35) -> Lighting:
    """One light that stands still beside the camera, and an even environment: what pictures of results are lit by.

    azimuth, elevation: of the lamp as seen from the object, in degrees; 0, 0 is where the camera is, and positive ones
    are to the camera's right and above it. key, ambient: as of moving_light.
    """
    across, up = math.radians(azimuth), math.radians(elevation)
    place = torch.tensor([math.sin(across) * math.cos(up), math.sin(up), math.cos(across) * math.cos(up)])

    def make(_: Generator, cameras: Cameras) -> Light:
        count = len(cameras)
        toward = torch.einsum("bij,i->bj", cameras.view[:, :3, :3].float(), place)
        white = torch.ones(count, 3)
        return Light(toward[:, None], (math.pi * key * white)[:, None], environment_of(ambient * white))

    return make


def swinging_lamp(swing: float = 80.0, elevation: float = 35.0, key: float = 0.8, ambient: float = 0.35) -> Lighting:
    """A lamp for videos of one turn: it swings to either side of the camera, `swing` degrees, once in a turn of it."""

    def make(generator: Generator, cameras: Cameras) -> Light:
        back = cameras.view[:, 2, :3]
        turn = torch.atan2(back[:, 0], back[:, 2])
        lamps = [
            lamp(-swing * math.cos(angle), elevation, key, ambient)(generator, cameras[index : index + 1])
            for index, angle in enumerate(turn.tolist())
        ]
        parts = ("directions", "colors", "environment")
        return Light(*(torch.cat([getattr(one, part) for one in lamps]) for part in parts))

    return make


def moving_light(key: float = 0.8, ambient: float = 0.35, tilt: tuple[float, float] = (20.0, 65.0)) -> Lighting:
    """One light that stands elsewhere in every view, and an even environment.

    Args:
        key: what a white surface that faces the light shows of it. ambient: and of the environment.
        tilt: range of the angle in degrees between the light and the line of sight; its side is any.
    """
    low, high = (math.radians(angle) for angle in tilt)

    def make(generator: Generator, cameras: Cameras) -> Light:
        count = len(cameras)
        angle = low + (high - low) * torch.rand(count, 1, generator=generator)
        around = 2 * math.pi * torch.rand(count, 1, generator=generator)
        right, up, back = cameras.view[:, :3, :3].float().unbind(1)  # of the camera, in the mesh's coordinates
        toward = back * angle.cos() + (right * around.cos() + up * around.sin()) * angle.sin()
        white = torch.ones(count, 3)
        return Light(toward[:, None], (math.pi * key * white)[:, None], environment_of(ambient * white))

    return make
