"""Wavefront OBJ and MTL, read and written line by line."""
