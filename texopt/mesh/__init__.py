"""Meshes as values: geometry, UVs, textures, and what follows from them."""
