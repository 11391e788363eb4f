# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings of a scene to what texopt is asked for, with its files in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from .command import Order, UserError, regions
from .materials import Base, has_alpha, pixels_of
from .model import Look, write_model
from .properties import Painting, Settings
from .scene import Model, cameras, check_editable, give_materials, read_models

READ = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}  # files that texopt reads as Blender does


@dataclass(frozen=True)
class Target:
    """A texture that is made. mesh, file: what texopt calls it. name: of the new image. materials: the session_uid of
    those that show it, and the UV map of each where there was no image before."""

    mesh: str
    file: str
    name: str
    materials: dict[int, str]


@dataclass(frozen=True)
class Prepared:
    """A run that can start. objects: their session_uid. notes: what the user should know, a line each."""

    order: Order
    targets: list[Target]
    objects: set[int]
    notes: list[str]


def prepare(context: bpy.types.Context, objects: Sequence[bpy.types.Object], folder: Path) -> Prepared:
    """Write everything that texopt reads into a folder. UserError where something is missing or cannot be."""
    settings = context.scene.texopt
    chosen = [painting for painting in settings.paintings if painting.image is not None]
    if not chosen:
        raise UserError("there is no painting; add one, and open an image or choose one of the file's")
    give_materials(context, objects)
    models, bases = read_models(context, objects, settings.joined)
    names = {material: name for model in models for material, name in model.names.items()}
    changed = _changed(context, names, bases)
    check_editable(changed)
    images = _Images(folder)
    paintings = [images.file(painting.image) for painting in chosen]
    order = Order(
        meshes=[_write(model, bases, images, folder) for model in models], paintings=paintings, out=folder / "out",
        regions=regions([_region(painting, names, images) for painting in chosen]),
        only=",".join(names[material] for material in changed) if len(changed) < len(names) else "",
        mask=_mask(settings, names, images), preset=settings.preset, strength=settings.strength,
        style_scale=settings.style_scale, keep_colors=settings.keep_colors, seed=settings.seed, more=settings.more,
        texture_size=int(settings.texture_size) if settings.texture_size != "PRESET" else None,
    )  # fmt: skip
    if settings.views == "CAMERAS":
        order = replace(order, cameras=folder / "cameras.json")
        order.cameras.write_text(json.dumps(cameras(context)), encoding="utf-8")
    title = Path(bpy.path.basename(chosen[0].image.filepath) or chosen[0].image.name).stem
    targets = [target for model in models for target in _targets(model, bases, changed, title)]
    notes = [bases[material].note for material in changed if bases[material].note]
    return Prepared(order, targets, {thing.session_uid for thing in objects}, notes)


def _changed(
    context: bpy.types.Context, names: dict[bpy.types.Material, str], bases: dict[bpy.types.Material, Base]
) -> list[bpy.types.Material]:
    """The materials that are painted: all, or the active one and those that share its texture."""
    if context.scene.texopt.materials == "ALL":
        return list(names)
    active = context.object.active_material if context.object else None
    if active not in names:
        raise UserError("the active object's active material is not among the selected ones; choose it, or take all")
    image = bases[active].image
    return [material for material in names if material == active or (image and bases[material].image == image)]


def _write(model: Model, bases: dict[bpy.types.Material, Base], images: _Images, folder: Path) -> Path:
    path = folder / f"{model.name}.obj"
    looks = []
    for material, name in model.names.items():
        base = bases[material]
        texture = images.pixels(base.image, has_alpha(material)).name if base.image else ""
        looks.append(Look(name, base.color, texture))
    pieces = []
    for part in model.parts:
        of_number = [model.names[material] for material in part.materials]
        pieces.append(replace(part.piece, materials=[of_number[number] for number in part.numbers.tolist()]))
    write_model(path, pieces, looks)
    return path


def _targets(
    model: Model, bases: dict[bpy.types.Material, Base], changed: Sequence[bpy.types.Material], title: str
) -> list[Target]:
    """A texture for each image or plain colour of a model, as texopt names them: NAME.png, or NAME_MATERIAL.png."""
    sharing: dict[object, list[bpy.types.Material]] = {}
    for material in model.names:
        if material in changed:
            sharing.setdefault(bases[material].image or material, []).append(material)
    targets = []
    for materials in sharing.values():
        first = materials[0]
        file = f"{model.name}.png" if len(sharing) == 1 else f"{model.name}_{model.names[first]}.png"
        uv_maps = {
            material.session_uid: next(
                part.uv_maps[part.materials.index(material)] for part in model.parts if material in part.materials
            )
            for material in materials
        }
        targets.append(Target(model.name, file, f"{first.name} {title}", uv_maps))
    return targets


def _region(painting: Painting, names: dict[bpy.types.Material, str], images: _Images) -> str:
    """The part of the surface that is a painting's, "" where it has none of its own."""
    if painting.material is not None and painting.material not in names:
        raise UserError(f"{painting.image.name} is for {painting.material.name}, which no selected object has; "
                        "choose another material")  # fmt: skip
    name = names[painting.material] if painting.material else ""
    if painting.region is None:
        return name
    file = images.pixels(painting.region, False)
    return f"{name}={file}" if name else str(file)


def _mask(settings: Settings, names: dict[bpy.types.Material, str], images: _Images) -> str:
    if settings.mask is None:
        return ""
    file = images.pixels(settings.mask, False)
    if len(names) == 1:
        return str(file)
    if settings.mask_material not in names:
        raise UserError(f"say which material the mask {settings.mask.name} is painted for; the selection has several")
    return f"{names[settings.mask_material]}={file}"


class _Images:
    """Images as files in a folder, each written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[tuple[bpy.types.Image, bool], Path] = {}

    def pixels(self, image: bpy.types.Image, alpha: bool) -> Path:
        """An image's pixels as they are."""
        key = image, alpha
        if key not in self.written:
            path = self.folder / f"image_{len(self.written)}.png"
            path.write_bytes(pixels_of(image, alpha))
            self.written[key] = path
        return self.written[key]

    def file(self, image: bpy.types.Image) -> Path:
        """An image's own file if it is as that, else its pixels."""
        path = Path(bpy.path.abspath(image.filepath, library=image.library))
        as_stored = image.source == "FILE" and not image.is_dirty and image.packed_file is None
        return path if as_stored and path.suffix.lower() in READ and path.is_file() else self.pixels(image, False)
