"""Export: which format an ending means, and what must not be overwritten."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from texopt.errors import OptionError, OutputError
from texopt.io.export_names import finish_files, kept_texture, library_file, texture_files
from texopt.io.finish_files import chosen_finishes, files_of_finishes
from texopt.io.gltf.document import GltfFile
from texopt.io.gltf.moved import moved_gltf
from texopt.io.gltf.write import glb_bytes
from texopt.io.obj.document import ObjFile
from texopt.io.obj.moved import moved_obj
from texopt.io.obj.write import obj_files
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh, Source
from texopt.system.files import check_names, write_file
from texopt.system.images import png_bytes

log = logging.getLogger("texopt")

FORMATS = (".obj", ".glb", ".png")


def check_path(path: Path, formats: Sequence[str] = FORMATS) -> None:
    """OptionError for a file whose ending is none of a model, OutputError for a name that none can have."""
    if path.suffix.lower() not in formats:
        raise OptionError(f"cannot export to {path.name!r}: the ending has to be one of {', '.join(formats)}")
    check_names([path])


def check_target(mesh: Mesh, path: str | os.PathLike[str], relief: bool = False) -> Path:
    """The path, if exporting `mesh` there is possible and would not overwrite a file that the mesh came from.

    relief: whether it is exported with finishes.
    """
    path = Path(path)
    check_path(path)
    written = model_files(mesh, path, relief)
    check_names(written)
    _check_sources(mesh, path, written)
    return path


def check_movable(mesh: Mesh, path: Path) -> None:
    """OptionError where the document that a mesh came from cannot have its vertices elsewhere: see moved_gltf."""
    if path.suffix.lower() == ".glb" and isinstance(mesh.source, GltfFile) and moved_gltf(mesh.source, mesh) is None:
        raise OptionError(
            f"{mesh.source.path.name} shows a mesh in several places, or flattened, so that its vertices cannot be "
            "moved there; take --format obj"
        )


def model_files(mesh: Mesh, path: Path, relief: bool = False) -> list[Path]:
    """The files that an export to `path` writes, but for copies of those that the mesh's own materials name.

    relief: also all that it may write of finishes.
    """
    if path.suffix.lower() == ".glb":
        return [path]
    named = _textures(mesh, path)
    maps = finish_files(mesh, named).values() if relief else []
    textures = [*named.values(), *(file for files in maps for file in files.values())]
    if path.suffix.lower() == ".png":
        return textures
    kept = [] if isinstance(mesh.source, ObjFile) else [kept_texture(texture, path) for texture in mesh.maps]
    return [path, library_file(path), *textures, *(file for file in kept if file)]


def _textures(mesh: Mesh, path: Path) -> dict[int, Path]:
    """The files of the textures that an export to `path` writes, by map."""
    files = texture_files(mesh, path)
    if path.suffix.lower() == ".png" and len(files) == 1:
        return dict.fromkeys(files, path)  # as it was written, .PNG too
    return files


def _check_sources(mesh: Mesh, path: Path, written: Iterable[Path]) -> None:
    """OutputError where one of the files is one that the mesh came from."""
    resolved = {target.resolve() for target in written}
    for source in mesh.files:
        if source.resolve() in resolved:
            raise OutputError(
                f"exporting to {path} would overwrite {source}, which the mesh came from; choose another folder"
            )


def cut_out(mesh: Mesh, images: Sequence[Tensor]) -> Mesh:
    """The mesh, with the opacity of images [4,H,W] in its maps."""
    maps = [
        texture
        if texture.kept or len(image) < 4
        else replace(texture, alpha=(image[3].detach().cpu() * 255).round().byte().numpy(), cut_out=True)
        for texture, image in zip(mesh.maps, images, strict=True)
    ]
    return replace(mesh, maps=tuple(maps))


def _moved_source(mesh: Mesh, path: Path) -> Source | None:
    """What a mesh was read from with its vertices where they are now; None where all else is not as it was, or that
    cannot be written."""
    if not mesh.only_moved():
        return None
    if isinstance(mesh.source, ObjFile) and path.suffix.lower() == ".obj":
        return moved_obj(mesh.source, mesh)
    if isinstance(mesh.source, GltfFile) and path.suffix.lower() == ".glb":
        return moved_gltf(mesh.source, mesh)
    return None


def _as_it_is(mesh: Mesh, path: Path) -> Mesh:
    """The mesh, with its vertices in its source where they were moved, and without its source where it is no longer
    what was read from that: it is written from its arrays then, as a mesh of another format is."""
    if mesh.source is None or mesh.as_read():
        return mesh
    if (source := _moved_source(mesh, path)) is not None:
        return replace(mesh, source=source)
    lost = {(ObjFile, ".obj"): "groups, polygons", (GltfFile, ".glb"): "nodes, skins, animations"}
    if what := lost.get((type(mesh.source), path.suffix.lower())):
        log.warning(
            "%s: the geometry is not that of %s any more, so it is written from the mesh's arrays, without the file's "
            "%s and other channels of materials", path.name, mesh.source.path.name, what,
        )  # fmt: skip
    return replace(mesh, source=None)


def export(
    mesh: Mesh, images: Tensor | Sequence[Tensor], path: str | os.PathLike[str], bits: int = 8, unlit: bool = False,
    finishes: Sequence[Finish | None] = (), normals: str = "opengl",
) -> list[Path]:  # fmt: skip
    """Write the mesh with its textures to PATH.obj (with .mtl and .png), PATH.glb, or only the textures to PATH.png.

    An OBJ that came in goes out line by line, and a glTF as the same document, as long as the mesh is what was read
    from it. Vertices that are elsewhere (Mesh.with_vertices) are put into it, with normals made anew. A mesh whose
    faces, UVs or materials are others (dataclasses.replace, arrays changed in place) is written from its arrays, as
    one of another format is: posed as it is seen, without the file's groups and polygons, skins, animations and other
    channels of materials. That is logged in one line, as where a glTF scene shows what was moved several times.

    Args:
        mesh: its materials that are kept go out as they came in.
        images: [3,H,W] in [0,1], or [4,H,W] with opacity, one a map of the mesh (those of kept maps are not looked at);
            or the only one. Materials with opacity are cut out: alphaMode MASK in a .glb, map_d in an .mtl.
        path: its ending says what is written. Several textures are named PATH_MATERIAL.png.
        bits: 8 or 16 a channel, of the textures beside an .obj and of .png.
        unlit: mark the materials of a .glb as KHR_materials_unlit.
        finishes: new relief, roughness and metal, one a map of the mesh; None for those that keep the file's own, and
            nothing at all for all of them. In a .glb they are the material's textures, with tangents as
            texopt.mesh.tangents has them; else files beside the texture, TEXTURE_normal.png, TEXTURE_roughness.png,
            TEXTURE_metallic.png and TEXTURE_height.png (16 bits, from the lowest to the highest), where they are more
            than a number, which the .mtl names.
        normals: which way green goes in files: "opengl", up, or "directx". In a .glb it always goes up.

    Returns:
        the files written; each is written whole or not at all.

    Raises:
        OptionError, OutputError: where that is impossible.
    """
    chosen = chosen_finishes(mesh, finishes)
    path = check_target(mesh, path, relief=bool(chosen))
    ending = path.suffix.lower()
    if bits not in (8, 16) or (bits == 16 and ending == ".glb"):
        raise OptionError(f"a texture has 8 or 16 bits a channel, and 8 in a .glb; not {bits} in {path.name}")
    given = [images] * len(mesh.maps) if isinstance(images, Tensor) else images
    targets, mesh = _textures(mesh, path), cut_out(_as_it_is(mesh, path), given)
    pngs = {index: png_bytes(given[index][:3], mesh.maps[index].alpha, bits) for index in mesh.optimized}
    files = {target: pngs[index] for index, target in targets.items()}
    beside = files_of_finishes(mesh, targets, chosen, normals)
    if ending == ".glb":
        files = {path: glb_bytes(mesh, pngs, unlit, chosen)}
    elif ending == ".obj":
        files |= obj_files(mesh, path, targets, beside)
    else:
        files |= {file: data for finish in beside.values() for file, data in finish.files().items()}
    _check_sources(mesh, path, files)
    for target, data in files.items():
        write_file(target, data)
    return list(files)
