"""Finish at pixels: the shading normal, roughness and metal that light sees, from the maps of a mesh's materials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texopt.mesh.finish import Finish, even
from texopt.render.fragments import Fragments
from texopt.render.look_up import Mipmapped, look_up
from texopt.render.scene import Scene

# slope of the height along u and along v, change of the roughness's logit, and, where a mask keeps part of what was
# there, the share of the relief: [B,3 or 4,H,W] at fragments. Slopes are of heights in radii of the mesh, by UVs.
Embossing = Callable[[Fragments], Tensor]

PAINT = 0.5  # roughness that a relief starts from, where a file says nothing
INSIDE = 0.02  # that roughness is kept from 0 and 1, where a logit has no end


@dataclass(frozen=True, eq=False)
class PixelFinish:
    """What light needs to know of the surface at each pixel beside its colour.

    normal: float32 [B,3,H,W], the shading normal, of length 1, outward as faces are wound; zeros where nothing is.
    roughness, metallic: float32 [B,1,H,W] in [0,1]. All are differentiable with respect to a relief.
    """

    normal: Tensor
    roughness: Tensor
    metallic: Tensor

    def of(self, change: Callable[[Tensor], Tensor]) -> PixelFinish:
        """The same with a function of images applied to each."""
        return PixelFinish(*(change(values) for values in (self.normal, self.roughness, self.metallic)))


class Finishes:
    """The finish of a drawn mesh's surface: of its own maps, or of those that are given.

    Maps are made ready when the first of the fragments are asked for: a run without light needs none.

    finishes: one a map; None is a painted surface without relief.
    """

    def __init__(self, scene: Scene, finishes: Sequence[Finish | None] | None = None) -> None:
        self.scene = scene
        self._given = [one.finish for one in scene.mesh.maps] if finishes is None else list(finishes)
        self._maps = [one or Finish() for one in self._given]
        self._flat = all(one.normal.size == 3 for one in self._maps)

    @cached_property
    def _normals(self) -> list[Mipmapped]:
        return _ready([_unit_range(one.normal) * 2 - 1 for one in self._maps], self.scene)

    @cached_property
    def _roughness(self) -> _Amounts:
        return _Amounts([one.roughness for one in self._maps], self.scene)

    @cached_property
    def _metallic(self) -> _Amounts:
        return _Amounts([one.metallic for one in self._maps], self.scene)

    @cached_property
    def _start(self) -> _Amounts:
        """The roughness that a relief starts from."""
        if None not in self._given:
            return self._roughness
        return _Amounts([even(PAINT) if one is None else one.roughness for one in self._given], self.scene)

    def sample(self, fragments: Fragments, embossed: Tensor | None = None, amount: float = 1.0) -> PixelFinish:
        """The finish at fragments of the scene.

        embossed: what Embossing gives them, of a relief on top. amount: radii of the mesh in those of the scene.
        """
        normal = fragments.normal
        if not self._flat:
            normal = tangent_to_world(look_up(self._normals, fragments).permute(0, 2, 3, 1), normal, fragments)
        metallic = self._metallic.at(fragments)
        if embossed is None:
            return PixelFinish(normal.permute(0, 3, 1, 2), self._roughness.at(fragments), metallic)
        slopes, change, share = embossed.split((2, 1, embossed.shape[1] - 3), 1)
        normal = tilted(normal, amount * slopes.permute(0, 2, 3, 1), fragments)
        roughness = self._start.at(fragments).clamp(INSIDE, 1 - INSIDE)
        roughness = torch.sigmoid(torch.logit(roughness) + change)
        if share.shape[1]:
            roughness = torch.lerp(self._roughness.at(fragments), roughness, share)
        return PixelFinish(normal.permute(0, 3, 1, 2), roughness, metallic)


class _Amounts:
    """Maps of one number, each uint8 [h,w], one a map of the mesh."""

    def __init__(self, maps: Sequence[np.ndarray], scene: Scene) -> None:
        images, self.numbers, self.images = [_unit_range(one[..., None]) for one in maps], None, []
        if all(image.numel() == 1 for image in images):  # which need no look-up
            self.numbers = torch.cat(images).reshape(-1).to(scene.device)
        else:
            self.images = _ready(images, scene)

    def at(self, fragments: Fragments) -> Tensor:
        """[B,1,H,W] at fragments."""
        if self.numbers is None:
            return look_up(self.images, fragments)
        if len(self.numbers) == 1:
            return self.numbers.expand(len(fragments.mask), 1, *fragments.mask.shape[1:])
        return self.numbers[fragments.map_id.long()][:, None]


def _unit_range(values: np.ndarray) -> Tensor:
    """uint8 [h,w,C] as float32 [C,h,w] in [0,1]."""
    return torch.from_numpy(values).permute(2, 0, 1).float() / 255.0


def _ready(images: Sequence[Tensor], scene: Scene) -> list[Mipmapped]:
    return [Mipmapped.of(image.to(scene.device), scene.backend) for image in images]


def tilted(normal: Tensor, slopes: Tensor, fragments: Fragments) -> Tensor:
    """Normals of a surface with heights on it, [B,H,W,3]: n less the gradient of the height along the surface.

    Blinn, "Simulation of Wrinkled Surfaces", SIGGRAPH 1978, in the form of Mikkelsen, "Bump Mapping Unparametrized
    Surfaces on the GPU", 2010.

    normal: [B,H,W,3], of length 1. slopes: [B,H,W,2], of heights in units of the scene, along u and along v.
    """
    along = fragments.known_scene().uv_gradients[fragments.face_id.clamp(min=0).long()]  # [B,H,W,2,3]
    gradient = (slopes[..., None] * along).sum(-2)
    gradient = gradient - normal * (normal * gradient).sum(-1, keepdim=True)
    return F.normalize(normal - gradient, dim=-1)


def tangent_to_world(values: Tensor, normal: Tensor, fragments: Fragments) -> Tensor:
    """Normals of a normal map [B,H,W,3] in the mesh's coordinates; normal: that they are relative to."""
    tangent, bitangent = tangent_frame(normal, fragments)
    x, y, z = values.split(1, -1)
    return F.normalize(x * tangent + y * bitangent + z * normal, dim=-1) * fragments.mask[..., None]


def tangent_frame(normal: Tensor, fragments: Fragments) -> tuple[Tensor, Tensor]:
    """(tangent, bitangent) [B,H,W,3] of pixels with normals, as engines interpolate MikkTSpace's."""
    found = fragments.interpolated(fragments.known_scene().corner_tangents)
    tangent = F.normalize(found[..., :3], dim=-1)
    return tangent, torch.linalg.cross(normal, tangent) * found[..., 3:].sign()
