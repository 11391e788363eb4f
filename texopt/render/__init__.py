"""From a mesh and cameras to pixels: cameras, Fragments, texture look-up, backgrounds, transformations, regions."""
