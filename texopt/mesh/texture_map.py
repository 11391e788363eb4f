"""TextureMap: one texture image of a mesh, as it was before the optimisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from texopt.mesh.finish import Finish
from texopt.mesh.wrapping import REPEATED, Wrap
from texopt.system.images import resized

ATLAS = "atlas"  # the name of a map that several materials with new UVs share
GREY = (0.8, 0.8, 0.8)  # of a mesh that has no colours


@dataclass(frozen=True, eq=False)
class TextureMap:
    """One texture image of a mesh. The faces that show it have its index in Mesh.face_map.

    Attributes:
        original: uint8 [H,W,3], what it is before optimisation, row 0 on top; [1,1,3] for a plain colour.
        name: of its material; ATLAS if several share new UVs.
        own_uvs: whether its UVs are the file's own, not made by texopt.
        kept: whether it stays as it is (a material that was excluded).
        mask: uint8 [h,w] or None: where the texture may change, 255, and where it stays the original, 0.
        alpha: uint8 [h,w] or None: opacity, which export gives back; renderings are opaque.
        cut_out: whether alpha is of the new texture, so that export has to say that the material has holes.
        tile: of a UDIM tile the name of the whole set and its number, or None.
        wrap: how it goes on beyond its edges, along u and along v: "repeat", "clamp" or "mirror".
        finish: relief, roughness and metal, None where nothing is known of them.
    """

    original: np.ndarray
    name: str = ""
    own_uvs: bool = True
    kept: bool = False
    mask: np.ndarray | None = None
    alpha: np.ndarray | None = None
    tile: tuple[str, int] | None = None
    cut_out: bool = False
    wrap: Wrap = REPEATED
    finish: Finish | None = None

    def original_at(self, height: int, width: int) -> Tensor:
        """The original as float32 [3,height,width] in [0,1]: resampled, as mip levels need sides that halve."""

        return resized(torch.from_numpy(self.original).permute(2, 0, 1).float() / 255.0, height, width)

    def mask_at(self, height: int, width: int) -> Tensor:
        """How far each texel may change, float32 [1,height,width] in [0,1]; [1,1,1] where all may as far."""

        if self.mask is None or self.kept:
            return torch.full((1, 1, 1), 0.0 if self.kept else 1.0)
        return resized(torch.from_numpy(self.mask)[None].float() / 255.0, height, width)
