"""Files to meshes and meshes to files; UV unwrapping."""
