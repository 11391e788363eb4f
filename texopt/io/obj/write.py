"""Write OBJ as game engines read it."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from texopt.io.export_names import kept_texture, library_file, line_name
from texopt.io.finish_files import FinishFiles
from texopt.io.finish_maps import finish_pngs
from texopt.io.named_files import UDIM
from texopt.io.obj.document import ObjFile
from texopt.io.obj.lines import key_and_rest
from texopt.io.obj.rows import face_lines, normal_lines, uv_lines, vertex_lines
from texopt.io.obj.vertex_colors import MRGB
from texopt.io.obj.write_mtl import MtlWriter
from texopt.mesh.finish import Finish
from texopt.mesh.mesh import Mesh
from texopt.mesh.texture_map import TextureMap
from texopt.mesh.wrapping import REPEATED
from texopt.system.images import png_bytes

log = logging.getLogger("texopt")

MATERIAL = "textured"  # of faces that have none


def _from_source(mesh: Mesh, obj: ObjFile, library: str) -> list[str]:
    """The file's own lines with the new library; where UVs are new, also with new vt lines and triangulated faces.

    Faces that name what is not there are triangulated, too, and name it no more.
    """
    new = ~np.array([texture.own_uvs for texture in mesh.maps])[mesh.face_map]
    anew = bool(new.any())
    rewritten: dict[int, list[str]] = defaultdict(list)
    shown = {*obj.triangle_line.tolist()}
    written = np.isin(obj.triangle_line, obj.triangle_line[obj.dangling])
    if anew:
        # lines with relative indices count what stands before them, and that changes
        relative = [line for line in np.unique(obj.triangle_line[~new]).tolist() if "-" in obj.lines[line]]
        written |= new | np.isin(obj.triangle_line, relative)
    # where UVs are the file's own they stay, as the MTL says how they are scaled and moved; the new ones follow
    own = obj.uvs[: 0 if new.all() else None]
    first_new = int(mesh.face_uvs[new].min()) if anew else 0
    faces = np.flatnonzero(written)
    if len(faces):
        made = mesh.face_uvs[faces] - first_new + len(own)
        uvs = np.where(new[faces, None], made, obj.corners[faces, :, 1])
        texts = face_lines(mesh.faces[faces], uvs, obj.corners[faces, :, 2])
        for line, text in zip(obj.triangle_line[faces].tolist(), texts, strict=True):
            rewritten[line].append(text)
    rewritten |= _colorless(mesh, obj)
    first_face = int(obj.triangle_line.min())
    first_has_material = bool(obj.material_names[obj.triangle_material[0]])
    unnamed = _unnamed(obj)
    out = [f"mtllib {library}"]
    for number, line in enumerate(obj.lines):
        key = line.split(None, 1)[0] if line.strip() else ""
        if number == first_face:
            if anew:
                out += uv_lines(np.concatenate([own, mesh.uvs[first_new:]]))
            out += [] if first_has_material else [f"usemtl {unnamed}"]
        if key == "mtllib" or (anew and (key == "vt" or (key == "f" and number not in shown))):
            continue  # an f of less than three corners is no face, and may refer to UVs that are gone
        if key == "usemtl" and line.split() == ["usemtl"]:
            out.append(f"usemtl {unnamed}")
        elif number in rewritten:
            out += rewritten[number]
        elif key == "l" and anew:
            out.append(re.sub(r"/\S*", "", line))
        else:
            out.append(line)
    return out


def _unnamed(obj: ObjFile) -> str:
    """A name for the material of faces that have none: of the one that was taken for it, or a new one."""
    name = MATERIAL
    if "" in obj.materials:
        name = obj.materials[""].name or name
    while name in obj.material_names:
        name += "_"
    return name


def _colorless(mesh: Mesh, obj: ObjFile) -> dict[int, list[str]]:
    """The v lines, by number, without the colours that the new textures have in them: engines would multiply the two.

    Vertices of what is kept keep theirs; with them in the file the others become white, as it is all or none. ZBrush's
    lines of colours are left out.
    """
    if obj.colors is None or not (obj.colors.rgb[mesh.faces] < 1).any():
        return {}
    kept = np.array([texture.kept for texture in mesh.maps])[mesh.face_map]
    colored = np.zeros(len(mesh.vertices), bool)
    colored[mesh.faces[kept]] = True
    shared = np.count_nonzero(colored[np.unique(mesh.faces[~kept])])
    if shared:
        log.warning("%s: %d vertices keep the colours that kept materials need, and tint both", mesh.name, shared)
    out: dict[int, list[str]] = {}
    vertex = -1
    for number, line in enumerate(obj.lines):
        key, rest = key_and_rest(line)
        if key == MRGB:
            out[number] = []
        if key != "v":
            continue
        vertex += 1
        numbers = rest.partition("#")[0].split()
        if colored[vertex] and len(numbers) > 5:
            continue
        rgb = obj.colors.rgb[vertex] if colored[vertex] else np.ones(3)
        color = [f"{value * obj.colors.scale:.6g}" for value in rgb.tolist()] if kept.any() else []
        out[number] = [" ".join(["v", *numbers[:3], *color])]
    return out


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of materials as a line of an OBJ can have them: not empty, without line ends, each one only once."""
    out: list[str] = []
    for name in names:
        chosen = cleaned = line_name(name) or MATERIAL
        number = 1
        while chosen in out:
            number += 1
            chosen = f"{cleaned}_{number}"
        out.append(chosen)
    return out


def _from_arrays(mesh: Mesh, library: str) -> list[str]:
    materials = _distinct(mesh.materials)
    out = ["# texopt", f"mtllib {library}", *vertex_lines(mesh.vertices), *uv_lines(mesh.uvs)]
    if mesh.normals is not None:
        out += normal_lines(mesh.normals)
    texts = face_lines(mesh.faces, mesh.face_uvs, mesh.face_normals)
    pairs = np.stack([mesh.face_object, mesh.face_material], 1)
    starts = np.flatnonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(1)])
    shown = -1
    for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
        item, material = pairs[start].tolist()
        if item != shown:
            out.append(f"o {line_name(mesh.objects[item]) or line_name(mesh.name)}")
            shown = item
        out += [f"usemtl {materials[material]}", *texts[start:end]]
    return out


def _original_png(texture: TextureMap) -> bytes:
    return png_bytes(torch.from_numpy(texture.original).permute(2, 0, 1) / 255.0, texture.alpha)


def _write_own(
    obj: ObjFile, mesh: Mesh, textures: dict[int, Path], finishes: dict[int, FinishFiles], writer: MtlWriter
) -> None:
    """The materials of an OBJ file."""
    for index, name in enumerate(obj.material_names):
        maps = np.unique(mesh.face_map[obj.triangle_material == index]).tolist()
        if not maps:
            continue
        painted = [i for i in maps if i in textures]
        texture = textures[painted[0]].name if painted else None
        finish = finishes[painted[0]].statements() if painted and painted[0] in finishes else None
        tiled = mesh.maps[maps[0]].tile is not None
        if texture is not None and tiled and len(maps) > 1:
            texture = UDIM.sub("<UDIM>", texture)
            finish = finish and {key: UDIM.sub("<UDIM>", value) for key, value in finish.items()}
            for tile, kept in ((mesh.maps[i].tile, mesh.maps[i]) for i in maps if i not in textures):
                number = str(tile[1] if tile else 0)
                writer.files[writer.folder / texture.replace("<UDIM>", number)] = _original_png(kept)
                if finish:
                    writer.files |= _kept_maps(kept, finishes[painted[0]], writer.folder, number)
        writer.add(
            name or _unnamed(obj), obj.materials.get(name), texture, tiled, all(mesh.maps[i].own_uvs for i in maps),
            any(mesh.maps[i].cut_out for i in painted), finish,
        )  # fmt: skip


def _kept_maps(texture: TextureMap, like: FinishFiles, folder: Path, number: str) -> dict[Path, bytes]:
    """The files of the finish of a UDIM tile that is kept, named as those of another tile."""
    contents = finish_pngs(texture.finish or Finish(), like.normals, whole=True)
    names = {kind: UDIM.sub(number, path.name) for kind, path in like.paths.items()}
    return {folder / names[kind]: data for kind, data in contents.items()}


def _write_made(
    mesh: Mesh, path: Path, textures: dict[int, Path], finishes: dict[int, FinishFiles], writer: MtlWriter
) -> None:
    """Materials for a mesh of another format."""
    for index, name in enumerate(_distinct(mesh.materials)):
        shown = mesh.map_of(index)
        if shown < 0:
            continue
        texture = mesh.maps[shown]
        file = textures[shown].name if shown in textures else None
        if file is None and (beside := kept_texture(texture, path)):
            file = f"{writer.bring(beside.stem, {'.png': _original_png(texture)})}.png"
        color = tuple(float(x) for x in texture.original[0, 0] / 255.0)
        finish = finishes[shown].statements() if shown in finishes else None
        writer.add_plain(name, file, color, texture.cut_out, finish)


def obj_files(mesh: Mesh, path: Path, textures: dict[int, Path], finishes: dict[int, FinishFiles]) -> dict[Path, bytes]:
    """The contents of an OBJ and its MTL, and of the textures of other channels that the source's materials have.

    An OBJ that came in goes out line by line as it was: coordinates, vertex order, polygons, normals, groups, names.

    textures: the file of every map that is optimised. finishes: the files of the new finishes, by map.

    The OBJ is the last, so that it never names what is not there.
    """
    library = library_file(path)
    own = isinstance(mesh.source, ObjFile)  # its MTL says it
    clamped = [index for index in textures if mesh.maps[index].wrap != REPEATED and not own]
    outside = mesh.uvs[mesh.face_uvs[np.isin(mesh.face_map, clamped)]]
    if (abs(outside - 0.5) > 0.5 + 1e-4).any():
        log.warning("%s: a texture that is clamped or mirrored outside [0,1] is repeated by what reads OBJ", path.name)
    folder = mesh.files[0].parent if mesh.files else path.parent
    beside = [file for finish in finishes.values() for file in finish.paths.values()]
    writer = MtlWriter(path.parent, folder, {file.name for file in [*textures.values(), *beside]})
    if isinstance(mesh.source, ObjFile):
        _write_own(mesh.source, mesh, textures, finishes, writer)
        lines = _from_source(mesh, mesh.source, library.name)
    else:
        _write_made(mesh, path, textures, finishes, writer)
        lines = _from_arrays(mesh, library.name)
    text = "\n".join(lines) + "\n"
    maps = {file: data for finish in finishes.values() for file, data in finish.files().items()}
    return (
        writer.files
        | maps
        | {
            library: writer.text().encode("utf-8", "surrogateescape"),
            path: text.encode("utf-8", "surrogateescape"),
        }
    )
