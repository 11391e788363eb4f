"""The textures of a whole mesh: one a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.mesh import Mesh
from texopt.raster import backends
from texopt.render import Fragments, Mipmapped, look_up, sample_maps


class Texture(Protocol):
    """A parameterisation: an nn.Module with these two methods."""

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] in [0,1] at the drawn pixels, or [B,4,H,W] with opacity."""

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3 or 4,height,width] in [0,1], row 0 on top."""


def with_kept(mesh: Mesh, images: Sequence[Tensor]) -> list[Tensor]:
    """The textures of all maps: the given ones [3,H,W] of those that are optimised, over what is kept of the originals.

    images: in the order of mesh.optimized; [4,H,W] with opacity. Returns them on the CPU.
    """
    images = [image.cpu() for image in images]
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    masks = mesh.masks(sizes)
    if masks is None:  # nothing is kept
        return images
    out = mesh.originals(sizes)
    for index, image in zip(mesh.optimized, images, strict=True):
        mixed = torch.lerp(out[index], image[:3], masks[index])
        out[index] = torch.cat([mixed, 1 - masks[index] * (1 - image[3:])])
    return out


class TextureSet(nn.Module):
    """The textures of a mesh's maps, each seen by the pixels that show its map.

    Args:
        mesh: with its maps.
        textures: one for every map that is optimised (mesh.optimized), in their order; or only one, if that is all.
    """

    def __init__(self, mesh: Mesh, textures: Texture | Sequence[Texture]) -> None:
        super().__init__()
        given = list(textures) if isinstance(textures, (list, tuple)) else [textures]
        if len(given) != len(mesh.optimized):
            raise OptionError(
                f"{mesh.name} has {len(mesh.optimized)} textures to optimise, not {len(given)}; "
                "give one each, as in [texopt.PyramidTexture(size) for size in mesh.map_sizes(1024)]"
            )
        self.textures = nn.ModuleList(given)  # type: ignore[arg-type]
        self.map_of_texture = mesh.optimized
        self.maps = len(mesh.maps)

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels; zeros where a map is kept."""
        samplers = [None] * self.maps
        for index, texture in zip(self.map_of_texture, self.textures, strict=True):
            samplers[index] = texture.sample  # type: ignore[call-overload]
        return sample_maps(samplers, fragments)

    def bake(self) -> list[Tensor]:
        """The textures as images [3,H,W] in [0,1], each at its own size, in the order of mesh.optimized."""
        return [texture.bake().detach() for texture in self.textures]  # type: ignore[operator]


class Surface:
    """What a mesh shows while it is optimised: its textures over what is kept of the originals.

    Args:
        mesh, textures: as of TextureSet; the textures are moved to `device`.
        device, raster: of the fragments' Scene.
    """

    def __init__(
        self,
        mesh: Mesh,
        textures: Texture | Sequence[Texture],
        device: torch.device | str = "cpu",
        raster: str = "auto",
    ) -> None:
        self.textures = TextureSet(mesh, textures).to(device)
        backend = backends.select(raster, device)

        def ready(images: Sequence[Tensor]) -> list[Mipmapped]:
            return [Mipmapped.of(image.to(device), backend) for image in images]

        masks = mesh.masks()
        self.originals, self.masks = ready(mesh.originals()), None if masks is None else ready(masks)

    def sample(self, fragments: Fragments) -> tuple[Tensor, Tensor, Tensor | None]:
        """(colours now, colours of the originals, how far each pixel may change or None if all may).

        [B,3 or 4,H,W], [B,3,H,W], and [B,1,H,W] in [0,1]; the first is differentiable.
        """
        colors, before = self.textures.sample(fragments), look_up(self.originals, fragments)
        if self.masks is None:
            return colors, before, None
        amount = look_up(self.masks, fragments)
        mixed = torch.lerp(before, colors[:, :3], amount)
        if colors.shape[1] == 4:
            mixed = torch.cat([mixed, 1 - amount * (1 - colors[:, 3:])], 1)
        return mixed, before, amount
