# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a scene, and the extension's preferences."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

SIZES = [256, 512, 1024, 2048, 4096, 8192]


class Painting(bpy.types.PropertyGroup):
    """A painting, and the part of the surface that is for it."""

    image: PointerProperty(
        type=bpy.types.Image, name="Painting", description="The painting, from a file or this .blend"
    )
    material: PointerProperty(
        type=bpy.types.Material, name="For", description="The material that this painting is for. Empty: all others"
    )
    region: PointerProperty(
        type=bpy.types.Image,
        name="Where",
        description="An image painted on the UV map: the painting is for what is white",
    )


class Settings(bpy.types.PropertyGroup):
    """What a run is asked for."""

    paintings: CollectionProperty(type=Painting)
    preset: EnumProperty(
        name="Preset",
        items=[
            ("draft", "Draft", "A quick look"),
            ("standard", "Standard", "A minute or two"),
            ("final", "Final", "4096 texels, sharp from close up. Takes much longer"),
        ],
        default="standard",
    )
    strength: FloatProperty(
        name="Strength", description="How much of the original may be lost", default=0.5, min=0, max=1, subtype="FACTOR"
    )
    style_scale: FloatProperty(
        name="Style Scale", description="Size of the painting in diameters of the object; less gives finer strokes",
        default=1.1, min=0.05, soft_min=0.3, soft_max=2, max=20,
    )  # fmt: skip
    texture_size: EnumProperty(
        name="Texture Size",
        description="Texels a side of the new texture",
        items=[("PRESET", "As Preset", "1024, or 4096 of Final"), *((str(size), str(size), "") for size in SIZES)],
        default="PRESET",
    )
    keep_colors: BoolProperty(name="Keep Colors", description="The painting's strokes in the original's colors")
    seed: IntProperty(name="Seed", description="Another seed gives another texture of the same kind", min=0)
    materials: EnumProperty(
        name="Materials",
        description="Which materials are painted; the others are seen, but stay as they are",
        items=[("ALL", "All", "All of the selected objects"), ("ACTIVE", "Active", "The active object's active one")],
    )
    mask: PointerProperty(
        type=bpy.types.Image,
        name="Mask",
        description="An image painted on the UV map: where it is black, the texture stays",
    )
    mask_material: PointerProperty(
        type=bpy.types.Material, name="Of", description="The material that the mask is painted for"
    )
    views: EnumProperty(
        name="Views",
        description="From where texopt looks",
        items=[
            ("AROUND", "Around", "From everywhere"),
            ("CAMERAS", "Cameras", "From the scene's visible cameras; what none of them sees is filled from around it"),
        ],
    )
    joined: BoolProperty(
        name="As One Model",
        description="Several objects are seen together as they stand, such as a figure and its clothes. "
        "Otherwise each is seen on its own, and together they use the whole painting",
    )
    saved: EnumProperty(
        name="Save",
        description="Where new textures are",
        items=[
            ("PACK", "Packed", "In the .blend"),
            ("FILE", "Folder", "In the folder textures beside the .blend; packed as long as that is not saved"),
        ],
    )
    more: StringProperty(
        name="Options", description="Further options as on texopt's command line, such as --steps 500 --clouds 1"
    )


class Preferences(bpy.types.AddonPreferences):
    """Where texopt is."""

    bl_idname = __package__

    command: StringProperty(
        name="Command",
        description="texopt, or a Python in which it is installed. Empty: what the button installs, or the one on PATH",
        subtype="FILE_PATH",
    )
    source: StringProperty(
        name="Install From",
        description="What is given to pip: texopt, or the path of a wheel or checkout",
        default="texopt",
    )

    def draw(self, context: bpy.types.Context) -> None:
        from .panels import draw_preferences  # which needs this module

        draw_preferences(self, self.layout)


CLASSES = (Painting, Settings, Preferences)
