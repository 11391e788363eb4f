"""Relief: a texture whose strokes stand out, for light to fall on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.texture.image import check_size
from texopt.texture.pyramid import PyramidTexture, upsampled
from texopt.texture.stroke_heights import StrokeHeights
from texopt.texture.texture_set import Texture

DEEPEST = 0.1  # diameters of the mesh
LEAST = 16  # texels a side
FINEST = 1024  # texels a side; strokes are larger than that, and views of the whole object see no more
OWN = 0.5  # how far a height may be from that of its stroke, in deviations of these
STEEPNESS = 1.5  # deviations of the strokes' heights in which they come near to the deepest and highest
GLOSS = 0.5  # how much less the logit of the roughness is on top of a stroke
SHINE = 0.7  # how far it may be from that


def check_depth(depth: float) -> None:
    """OptionError for a depth that a relief cannot have."""
    if not isinstance(depth, (int, float)) or not 0 < depth <= DEEPEST:
        raise OptionError(f"relief has to be above 0 and up to {DEEPEST} diameters of the mesh, not {depth}; try 0.01")


class Relief(nn.Module):
    """A texture with relief: the colours of one, and a height and a roughness for light.

        texture = texopt.Relief(texopt.PyramidTexture(1024), depth=0.01)
        objective = texopt.on(texopt.style("a.jpg"), texopt.lit())

    Heights follow the strokes of the colours (see texopt.texture.stroke_heights), which `follow` looks at anew, and
    what views under light want otherwise, within OWN: under lights that come from anywhere, an objective of pictures
    alone says how steep a surface is and not which way. The gradient of the height is what tilts the normals, so they
    always are those of some surface. Roughness starts from that of the mesh, or of paint, and is less on top of
    strokes, as of varnish.

    Args:
        color: any texture; `sample` and `bake` are its.
        depth: from the lowest to the highest place, in diameters of the mesh, above 0 and up to 0.1.
        size: texels of the heights, a side or (height, width), a power of two; FINEST is enough for most.
    """

    def __init__(self, color: Texture, depth: float = 0.01, size: int | tuple[int, int] = FINEST) -> None:
        super().__init__()
        check_depth(depth)
        self.color, self.depth = color, depth
        self.height, self.width = (size, size) if isinstance(size, int) else size
        for side in (self.height, self.width):
            check_size(side)
            if side < LEAST:
                raise OptionError(f"size of a relief has to be at least {LEAST} texels a side, not {side}")
        half = self.height // 2, self.width // 2  # what differs from texel to texel is noise to light
        self.own = PyramidTexture(half, start=(0.5, 0.5, 0.5))  # beyond the strokes: height, roughness; one is unused
        self.strokes: Tensor  # in STEEPNESS
        self.register_buffer("strokes", torch.zeros(self.height, self.width))
        self._heights_of: StrokeHeights | None = None

    def sample(self, fragments: Fragments) -> Tensor:
        """Colours [B,3,H,W], or [B,4,H,W] with opacity, at the drawn pixels."""
        return self.color.sample(fragments)

    def bake(self, height: int | None = None, width: int | None = None) -> Tensor:
        """The colours as an image."""
        return self.color.bake(height, width)

    @torch.no_grad()
    def follow(self, mesh: Mesh, index: int) -> None:
        """Take the strokes of the colours as they are now. index: of the mesh's maps, which this texture is of."""
        if self._heights_of is None or self._heights_of.mesh is not mesh or self._heights_of.index != index:
            self._heights_of = StrokeHeights(mesh, index, self.height, self.width)
        colors = self.color.bake(self.height, self.width)
        if not isinstance(colors, Tensor) or colors.ndim != 3 or colors.shape[1:] != self.strokes.shape:
            got = list(colors.shape) if isinstance(colors, Tensor) else type(colors).__name__
            raise OptionError(
                f"bake(height, width) of {type(self.color).__name__} has to return an image as large as it is told, "
                f"{list(self.strokes.shape)}, not {got}"
            )
        self.strokes.copy_(self._heights_of(colors[:3]) / STEEPNESS)

    def values(self) -> tuple[Tensor, Tensor]:
        """(height in radii of the mesh, between -depth and depth; change of the roughness's logit), both
        [height,width]."""
        own, shine, _ = upsampled(torch.tanh(self.own.unbounded() / 2))
        height = torch.tanh(self.strokes + OWN * own)
        return self.depth * height, SHINE * shine - GLOSS * height

    def embossing(self, fragments: Fragments) -> Tensor:
        """As texopt.render.finish.Embossing has it: [B,3,H,W]."""
        height, change = self.values()
        return look_up(torch.stack([*slopes(height), change]), fragments)


def slopes(height: Tensor) -> tuple[Tensor, Tensor]:
    """How heights [h,w] grow along u and along v, by UVs, both [h,w]: differences of the texels on either side."""
    rows, columns = height.shape
    along_u = (height.roll(-1, 1) - height.roll(1, 1)) * (columns / 2)
    along_v = (height.roll(1, 0) - height.roll(-1, 0)) * (rows / 2)  # row 0 is on top, where v is 1
    return along_u, along_v
