"""What is in a mesh file: the tables of `texopt info`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from texopt.io.assign_maps import cannot_show
from texopt.io.finish_maps import is_even, number_of
from texopt.io.gltf.document import GltfFile
from texopt.io.load import check_geometry
from texopt.io.raw import RawMesh
from texopt.io.read import read
from texopt.mesh.areas import areas
from texopt.mesh.topology import odd_edges, same_places, volume

TableRows = list[tuple[str, ...]]
Table = tuple[tuple[str, ...], TableRows]  # heads of the columns, and the rows
KINDS = ("normal", "roughness", "metallic")  # maps of a finish
PAIRS = ("", "")  # the heads of a table of names and values


def _geometry(raw: RawMesh) -> TableRows:
    places = same_places(raw.vertices)[raw.faces]
    corners = raw.vertices[raw.faces]
    low, high = corners.min((0, 1)), corners.max((0, 1))
    area = areas(raw.vertices, raw.faces)
    flat = int((area == 0).sum())
    border, many, turned = odd_edges(raw.vertices, raw.faces)
    rows: TableRows = [
        ("triangles", f"{len(raw.faces):,}" + (f", {flat:,} without area" if flat else "")),
        ("vertices", f"{len(raw.vertices):,} at {len(np.unique(places)):,} places"),
        ("size", " x ".join(f"{side:.4g}" for side in high - low)),
        ("from, to", f"({', '.join(f'{x:.4g}' for x in low)}) to ({', '.join(f'{x:.4g}' for x in high)})"),
        ("area", f"{area.sum():.4g}"),
        ("normals", "kept" if len(raw.normals) else "none; engines make their own"),
        ("vertex or face colours", "none" if raw.colors is None else "yes, taken as the original"),
    ]
    if not (border or many or turned):
        inside_out = volume(raw.vertices, raw.faces) < 0
        rows.append(("surface", "closed" + (", inside out" if inside_out else "")))
    else:
        found = ((border, "open"), (many, "non-manifold"), (turned, "inconsistently turned"))
        rows.append(("surface", ", ".join(f"{count:,} {what} edges" for count, what in found if count)))
    if isinstance(raw.source, GltfFile):
        counts = {kind: len(raw.source.get(kind)) for kind in ("nodes", "meshes", "skins", "animations")}
        rows.append(("scene", ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)))
    return rows


def _uv_state(raw: RawMesh, faces: np.ndarray) -> str:
    from texopt.io.unwrapping.unwrap import uv_problems

    has = raw.has_uvs()[faces]
    if not has.any():
        return "none: made by --unwrap or by itself"
    if cannot_show(raw, np.isin(np.arange(len(raw.faces)), faces)):
        return "without area; made anew, for the vertex colours"
    if not has.all():
        return f"missing on {int((~has).sum()):,} faces"
    wrap = raw.materials[raw.face_material[faces[0]]].wrap
    return "; ".join(uv_problems(raw.uvs, raw.face_uvs[raw.first_shown(faces)], wrap)) or "fine"


def _finishes(raw: RawMesh) -> TableRows:
    """What is known of each material's relief, roughness and metal: a map's size, or a number."""

    def told(values: np.ndarray) -> str:
        if not is_even(values):
            return f"{values.shape[1]}x{values.shape[0]} map"
        return number_of(values) if values.ndim == 2 else "none"

    found = {index: raw.finishes[index] for index in raw.used_materials()} if raw.finishes else {}
    return [
        (raw.label(index), *(told(getattr(finish, kind)) for kind in KINDS))
        for index, finish in found.items()
        if finish is not None
    ]


def inspect(path: str | os.PathLike[str]) -> dict[str, Table]:
    """Tables of text by title; they say which textures of an OBJ are missing.

    MeshError or ImageError where the file is otherwise none that load_mesh takes.
    """
    path = Path(path)
    raw = read(path, lenient=True)
    check_geometry(raw, path)
    materials: TableRows = []
    for index in raw.used_materials():
        faces = np.flatnonzero(raw.face_material == index)
        material = raw.materials[index]
        look = (
            "{1}x{0} texture".format(*material.texture.shape)
            if material.texture is not None
            else "plain #{:02x}{:02x}{:02x}".format(*material.image()[0, 0])
        )
        if material.problem:
            look = material.problem
        elif raw.tints(faces) is not None:
            look = "vertex colours" if material.texture is None else f"{look} times vertex colours"
        look += ", with alpha" if material.alpha is not None else ""
        materials.append((raw.label(index), f"{len(faces):,}", look, _uv_state(raw, faces)))
    tables: dict[str, Table] = {
        path.name: (PAIRS, _geometry(raw)),
        "materials": (("material", "triangles", "original", "UVs"), materials),
    }
    if finishes := _finishes(raw):
        tables["finish"] = (("material", *KINDS), finishes)
    if len(raw.objects) > 1:
        counts = np.bincount(raw.face_object, minlength=len(raw.objects))
        rows: TableRows = [(name or "(unnamed)", f"{count:,}") for name, count in zip(raw.objects, counts, strict=True)]
        tables["objects"] = (("object", "triangles"), rows)
    tables["files"] = (PAIRS, [(str(file), f"{file.stat().st_size:,} bytes") for file in raw.files])
    return tables
