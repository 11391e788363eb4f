"""Parts of a surface by name: materials, and what is painted white in an image."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texopt.errors import OptionError
from texopt.mesh.mesh import Mesh
from texopt.render.fragments import Fragments
from texopt.render.look_up import look_up
from texopt.system.images import load_image

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
        """OptionError or ImageError where a text names nothing, or nothing that is optimised."""
        rest = where.startswith("not ")
        face_map = torch.from_numpy(self.mesh.face_map).long()
        inside = torch.zeros(len(face_map), dtype=torch.bool)  # some of the face, or all of it if the rest is meant
        for faces, images in self._parts(where):
            white = torch.tensor([float(image.amin() if rest else image.amax()) > 0.5 for image in images])
            inside |= faces.cpu() & white[face_map]
        if not (inside != rest)[np.isin(self.mesh.face_map, self.mesh.optimized)].any():
            raise OptionError(f"{self.mesh.name}: nothing that is optimised is in the region {where!r}; name another")

    def __call__(self, fragments: Fragments, where: str) -> Tensor:
        """1 in a region and 0 elsewhere: float32 [B,1,H,W]. Errors as of check, but for regions that are empty."""
        inside = torch.zeros_like(fragments.mask)
        for faces, images in self._parts(where):
            painted = look_up(images, fragments)[:, 0] > 0.5
            inside |= faces[fragments.face_id.clamp(min=0).long()] & painted
        return ((inside != where.startswith("not ")) & fragments.mask)[:, None].float()

    def _parts(self, where: str) -> list[tuple[Tensor, list[Tensor]]]:
        text = where.removeprefix("not ")
        if not text.strip(" ,"):
            raise OptionError("a region is empty; name materials, or an image painted on the UVs")
        return [self._find(part.strip()) for part in text.split(",")]

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
        names = {int(index): self._names(int(index)) for index in np.unique(self.mesh.face_material)}
        wanted = pattern.lower().replace("[", "[[]")
        hits = [index for index, some in names.items() if any(fnmatch.fnmatchcase(one.lower(), wanted) for one in some)]
        if not hits:
            listed = ", ".join(dict.fromkeys(some[0] for some in names.values()))
            raise OptionError(f"{self.mesh.name} has no material {pattern!r}; it has {listed}")
        return torch.from_numpy(np.isin(self.mesh.face_material, hits))

    def _names(self, material: int) -> list[str]:
        """What a material goes by, as for --only: a UDIM tile by the name of all of them, too."""
        name = self.mesh.materials[material] or "textured"
        tile = self.mesh.maps[self.mesh.map_of(material)].tile
        return [name] if tile is None else [name, name.rpartition(".")[0]]

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
        painted = torch.from_numpy(np.array(load_image(image, upright=False).convert("L"))).float()[None] / 255.0
        side = [1 << (length - 1).bit_length() for length in painted.shape[1:]]
        painted = torch.nn.functional.interpolate(painted[None], side, mode="bilinear")[0]
        images = [torch.zeros(1, 1, 1)] * len(self.mesh.maps)
        images[shown[0]] = painted
        return faces, images
