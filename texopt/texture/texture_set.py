"""The textures of a whole mesh: one a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.raster import backends
from texopt.render.finish import Embossing
from texopt.render.fragments import Fragments
from texopt.render.look_up import Mipmapped, look_up, sample_maps


class Texture(Protocol):
    """A parameterisation: an nn.Module with these two methods. One of your own that is lit from where the camera is:

    class Lit(torch.nn.Module):
        def __init__(self, color):
            super().__init__()
            self.color = color

        def sample(self, fragments):
            facing = (fragments.normal * fragments.view_direction).sum(-1).abs()  # [B,H,W]
            return self.color.sample(fragments) * facing[:, None]

        def bake(self, height=None, width=None):
            return self.color.bake(height, width)
    """

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours in [0,1] at the drawn pixels: float [B,3,H,W], or [B,4,H,W] with opacity.

        fragments: [B,H,W], with more rows than the view has: below the image are points on UV seams, whose colours on
            both sides are compared, and where a mesh has several textures each is given the pixels that show it, in
            rows of 256. So shapes are those of `fragments`, pixels beside one another need not be neighbours, and
            where `fragments.mask` is false, colours count nothing. What shading needs is there when it is asked for:
            fragments.position, normal, view_direction [B,H,W,3] (the camera itself is not), but not where texels are
            baked, which no camera sees.
        """

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The texture as an image [3 or 4,height,width] in [0,1], row 0 on top."""


METHODS = ("sample", "bake")


@runtime_checkable
class HasRelief(Protocol):
    """A texture that light sees more of than its colours, as texopt.Relief."""

    def follow(self, mesh: Mesh, index: int) -> None:
        """Take up what the colours have become. index: of the map that it is the texture of."""

    def embossing(self, fragments: Fragments) -> Tensor:
        """As texopt.render.finish.Embossing has it: [B,3,H,W] at the drawn pixels."""


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor {list(value.shape)} on {value.device}"
    return f"the class {value.__name__}, without ()" if isinstance(value, type) else f"a {type(value).__name__}"


def _sampled(texture: Any, fragments: Fragments) -> Tensor:
    """What a texture's `sample` returns. OptionError where that cannot be."""
    colors = texture.sample(fragments)
    batch, height, width = fragments.mask.shape
    shapes = [(batch, channels, height, width) for channels in (3, 4)]
    good = isinstance(colors, Tensor) and colors.is_floating_point() and tuple(colors.shape) in shapes
    if not good or colors.device != fragments.mask.device:
        raise OptionError(
            f"sample of {type(texture).__name__} has to return floats [B,3 or 4,H,W] on {fragments.mask.device}, where "
            f"fragments.mask is [B,H,W]: {list(shapes[0])}, not {_described(colors)}"
        )
    values: Tensor = colors.float()
    return values


def _baked(texture: Any) -> Tensor:
    """What a texture's `bake` returns. OptionError where that cannot be."""
    image = texture.bake()
    good = isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 3 and len(image) in (3, 4)
    if not good or not image.numel():
        wanted = "floats [3 or 4,height,width]"
        raise OptionError(f"bake of {type(texture).__name__} has to return {wanted}, not {_described(image)}")
    baked: Tensor = image.float()
    return baked


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
        given = list(textures) if isinstance(textures, (list, tuple, nn.ModuleList)) else [textures]
        if len(given) != len(mesh.optimized):
            raise OptionError(
                f"{mesh.name} has {len(mesh.optimized)} textures to optimise, not {len(given)}; "
                "give one each, as in [texopt.PyramidTexture(size) for size in mesh.map_sizes(1024)]"
            )
        for one in given:
            if not isinstance(one, nn.Module) or not all(callable(getattr(one, name, 0)) for name in METHODS):
                raise OptionError(
                    "texture has to be an nn.Module with the methods sample(fragments) and bake(height, width), as "
                    f"texopt.PyramidTexture(1024) is, not {_described(one)}"
                )
        self.textures = nn.ModuleList(given)  # type: ignore[arg-type]
        self.map_of_texture = mesh.optimized
        self.maps = len(mesh.maps)

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W] at the drawn pixels; zeros where a map is kept."""
        samplers = [None] * self.maps
        for index, texture in zip(self.map_of_texture, self.textures, strict=True):
            samplers[index] = partial(_sampled, texture)  # type: ignore[call-overload]
        return sample_maps(samplers, fragments)

    def follow(self, mesh: Mesh) -> None:
        """Have reliefs take the strokes of their colours as they are now."""
        for index, texture in zip(self.map_of_texture, self.textures, strict=True):
            if isinstance(texture, HasRelief):
                texture.follow(mesh, index)

    @property
    def has_relief(self) -> bool:
        """Whether any of them has."""
        return any(isinstance(texture, HasRelief) for texture in self.textures)

    def embossing(self, fragments: Fragments) -> Tensor:
        """As texopt.render.finish.Embossing has it [B,3,H,W]; zeros where a texture has no relief."""
        samplers: list[Callable[[Fragments], Tensor] | None] = [None] * self.maps
        for index, texture in zip(self.map_of_texture, self.textures, strict=True):
            if isinstance(texture, HasRelief):
                samplers[index] = texture.embossing
        return sample_maps(samplers, fragments)

    def bake(self) -> list[Tensor]:
        """The textures as images [3,H,W] in [0,1], each at its own size, in the order of mesh.optimized."""
        return [_baked(texture).detach() for texture in self.textures]


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
        if not any(parameter.requires_grad for parameter in self.textures.parameters()):
            raise OptionError("texture has no parameters that gradients are for, so that nothing would be optimised")
        backend = backends.select(raster, device)

        def ready(images: Sequence[Tensor]) -> list[Mipmapped]:
            return [Mipmapped.of(image.to(device), backend) for image in images]

        masks = mesh.masks()
        self.originals, self.masks = ready(mesh.originals()), None if masks is None else ready(masks)

    @property
    def embossing(self) -> Embossing | None:
        """Of the textures where they may change; None where none of them has relief."""
        return self._embossing if self.textures.has_relief else None

    def _embossing(self, fragments: Fragments) -> Tensor:
        found = self.textures.embossing(fragments)
        if self.masks is None:
            return found
        share = look_up(self.masks, fragments)[:, :1]
        return torch.cat([found * share, share], 1)

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
