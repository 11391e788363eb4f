"""Export: which format an ending means, and what must not be overwritten."""

from __future__ import annotations

import io
import os
from pathlib import Path

from torch import Tensor

from texopt.errors import OptionError, OutputError
from texopt.export.gltf import glb_files
from texopt.export.obj import obj_files
from texopt.images import to_image, write_file
from texopt.mesh import Mesh

FORMATS = (".obj", ".glb", ".png")


def check_target(mesh: Mesh, path: str | os.PathLike[str]) -> Path:
    """The path, if exporting `mesh` there is possible and would not overwrite a file that the mesh came from."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"cannot export to {path.name!r}: the ending has to be one of {', '.join(FORMATS)}")
    written = {path.resolve()}
    if path.suffix.lower() == ".obj":
        written |= {path.with_suffix(ending).resolve() for ending in (".mtl", ".png")}
    for source in mesh.files:
        if source.resolve() in written:
            raise OutputError(
                f"exporting to {path} would overwrite {source}, which the mesh came from; choose another folder"
            )
    return path


def export(mesh: Mesh, image: Tensor, path: str | os.PathLike[str]) -> list[Path]:
    """Write the mesh with its texture [3,H,W] to PATH.obj (with .mtl and .png), PATH.glb, or the texture to PATH.png.

    Returns the files written; each is written whole or not at all. OutputError where that is impossible.
    """
    path = check_target(mesh, path)
    picture = to_image(image)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    ending = path.suffix.lower()
    if ending == ".obj":
        files = obj_files(mesh, path, buffer.getvalue())
    else:
        files = glb_files(mesh, path, picture) if ending == ".glb" else {path: buffer.getvalue()}
    for target, data in files.items():
        write_file(target, data)
    return list(files)
