"""From a mesh and cameras to pixels: cameras, Fragments, texture look-up, backgrounds, transformations, regions."""

from texopt.render import backgrounds, transforms

__all__ = ["backgrounds", "transforms"]
