"""Parts of a surface by name: materials, and what is painted white in an image."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.images import load_image
from texopt.mesh import Mesh
from texopt.render import Fragments, look_up

PAINTED = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


def absolute(where: str) -> str:
    """A region with the paths of its images made absolute."""

    def one(text: str) -> str:
        material, equals, image = text.strip().rpartition("=")
        return f"{material}{equals}{Path(image).resolve()}" if Path(image).suffix.lower() in PAINTED else text.strip()

    prefix = "not " if where.startswith("not ") else ""
    return prefix + ",".join(one(text) for text in where.removeprefix("not ").split(","))


class Regions:
    """Parts of a mesh's surface, each named by a text:

        body          the materials of that name (* and ? stand for any letters; case does not matter)
        paint.png     what is white in an image painted on the UVs
        head=paint.png  the same, where a mesh has several textures: on that material's
        not TEXT      all else

    and by several of these with commas between: all of them together.
    """

    def __init__(self, mesh: Mesh, device: torch.device | str = "cpu") -> None:
        self.mesh, self.device = mesh, device
        self.found: dict[str, tuple[Tensor, list[Tensor]]] = {}

    def check(self, where: str) -> None:
        """OptionError or ImageError where a text names nothing."""
        text = where.removeprefix("not ")
        if not text.strip(" ,"):
            raise OptionError("a region is empty; name materials, or an image painted on the UVs")
        for part in text.split(","):
            self._find(part.strip())

    def __call__(self, fragments: Fragments, where: str) -> Tensor:
        """1 in a region and 0 elsewhere: float32 [B,1,H,W]."""
        self.check(where)
        inside = torch.zeros_like(fragments.mask)
        for part in where.removeprefix("not ").split(","):
            faces, images = self._find(part.strip())
            painted = look_up(images, fragments)[:, 0] > 0.5
            inside |= faces[fragments.face_id.clamp(min=0).long()] & painted
        return ((inside != where.startswith("not ")) & fragments.mask)[:, None].float()

    def _find(self, text: str) -> tuple[Tensor, list[Tensor]]:
        """(which faces bool [F], images [1,h,w] by map): the region is where both are."""
        if text not in self.found:
            material, _, image = text.rpartition("=")
            if Path(image).suffix.lower() in PAINTED:
                faces, images = self._painted(material, image)
            else:
                faces, images = self._faces(text), [torch.ones(1, 1, 1)] * len(self.mesh.maps)
            self.found[text] = faces.to(self.device), [image.to(self.device) for image in images]
        return self.found[text]

    def _faces(self, pattern: str) -> Tensor:
        names = self.mesh.materials
        wanted = pattern.lower().replace("[", "[[]")
        hits = [index for index, name in enumerate(names) if fnmatch.fnmatchcase(name.lower(), wanted)]
        if not hits:
            listed = ", ".join(name or "(no name)" for name in names)
            raise OptionError(f"{self.mesh.name} has no material {pattern!r}; it has {listed}")
        return torch.from_numpy(np.isin(self.mesh.face_material, hits))

    def _painted(self, material: str, image: str) -> tuple[Tensor, list[Tensor]]:
        faces = self._faces(material) if material else torch.ones(len(self.mesh.faces), dtype=torch.bool)
        shown = np.unique(self.mesh.face_map[faces.numpy()])
        if len(shown) > 1:
            raise OptionError(
                f"{self.mesh.name} has several textures; say which {image} is painted for: MATERIAL={image}"
            )
        if not self.mesh.maps[shown[0]].own_uvs:
            raise OptionError(
                f"{image} is painted on UVs, and {self.mesh.name} has new ones; make them first (texopt unwrap)"
            )
        painted = torch.from_numpy(np.array(load_image(image).convert("L"))).float()[None] / 255.0
        side = [1 << (length - 1).bit_length() for length in painted.shape[1:]]
        painted = torch.nn.functional.interpolate(painted[None], side, mode="bilinear")[0]
        images = [torch.zeros(1, 1, 1)] * len(self.mesh.maps)
        images[shown[0]] = painted
        return faces, images
