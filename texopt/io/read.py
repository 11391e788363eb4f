"""From mesh files to arrays."""

from __future__ import annotations

import os
from pathlib import Path

from texopt.errors import MeshError
from texopt.io import off, ply, stl
from texopt.io.gltf import read as gltf
from texopt.io.obj import read as obj
from texopt.io.raw import Material, RawMesh

__all__ = ["ENDINGS", "Material", "RawMesh", "read"]

READERS = {".gltf": gltf.read, ".glb": gltf.read, ".ply": ply.read, ".stl": stl.read, ".off": off.read}
ENDINGS = (".obj", *READERS)  # of files that are meshes


def read(path: Path, lenient: bool = False) -> RawMesh:
    """Read any mesh file. MeshError where that cannot be done.

    lenient: have materials of an OBJ whose texture cannot be read as plain ones with a `problem`.
    """
    if not os.path.isfile(path):  # pipes and devices have no end
        if os.path.isdir(path):
            raise MeshError(f"{path} is a directory; give the path of a mesh file")
        what = "is no regular file" if os.path.exists(path) else "does not exist"
        raise MeshError(f"mesh {path} {what}; check the path")
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise MeshError(f"{path} is not a mesh format that texopt reads (OBJ, glTF, GLB, PLY, STL, OFF)")
    try:
        return obj.read(path, lenient) if ending == ".obj" else READERS[ending](path)
    except OSError as error:
        raise MeshError(f"mesh {path} cannot be read: {error.strerror or error}") from None
