"""What is exported: one line a case, and every test of every program goes over all of them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import texopt
import texopt.io.export
from texopt import Mesh
from texopt.optim.result import Result
from texopt.system.images import to_tensor

MESHES = Path(__file__).parents[2] / "meshes"


def _rectangle(left: float, low: float, right: float, high: float) -> list[tuple[float, float]]:
    return [(left, low), (right, low), (right, high), (left, high)]


def prism(
    sides: int, uvs: bool = True, normals: bool = False, repeat: bool = False, materials: int = 0
) -> Callable[[Path], Path]:
    """An OBJ of a prism away from the origin: walls of quads, two caps with `sides` corners, a chart of UVs for each.

    Caps have the upper half of the texture, walls the lower; with `repeat`, UVs reach from -1 to 2. Each of the
    `materials`, which faces have in turn, has a texture of its own.
    """
    angles = [2 * math.pi * (k + 0.3) / sides for k in range(sides)]
    ring = [(math.sin(a), math.cos(a)) for a in angles]
    lines = [f"v {3 + x:.5f} {y} {0.7 * z - 5:.5f}" for y in (1.5, 3.5) for x, z in ring]
    charts = [[(side + 0.5 + 0.46 * x) / 2, 0.75 + 0.23 * z] for side in (0, 1) for x, z in ring]
    walls = [[(k + 0.03) / sides, 0.02, (k + 0.97) / sides, 0.48] for k in range(sides)]
    charts += [[u, v] for left, low, right, high in walls for u, v in _rectangle(left, low, right, high)]
    if uvs:
        lines += [f"vt {3 * u - 1:.5f} {3 * v - 1:.5f}" if repeat else f"vt {u:.5f} {v:.5f}" for u, v in charts]
    middle = [(a + b) / 2 for a, b in zip(angles, [*angles[1:], angles[0] + 2 * math.pi], strict=True)]
    across = [(0.0, -1.0, 0.0), (0.0, 1.0, 0.0)] + [(math.sin(a), 0.0, math.cos(a) / 0.7) for a in middle]
    if normals:
        lines += ["vn {:.5f} {:.5f} {:.5f}".format(*(np.array(n) / np.linalg.norm(n))) for n in across]
    low, high = list(range(sides)), list(range(sides, 2 * sides))
    faces = [(low[::-1], low[::-1]), (high, high)]
    for k in range(sides):
        after = (k + 1) % sides
        faces.append(([k, after, sides + after, sides + k], [2 * sides + 4 * k + corner for corner in range(4)]))
    for index, (corners, chart) in enumerate(faces):
        texts = [
            f"{v + 1}/{t + 1 if uvs else ''}/{index + 1 if normals else ''}".rstrip("/")
            for v, t in zip(corners, chart, strict=True)
        ]
        lines += [f"usemtl paint{index % materials}"] if materials else []
        lines.append("f " + " ".join(texts))

    def write(folder: Path) -> Path:
        path = folder / "prism.obj"
        library = []
        for index in range(materials):
            Image.new("RGB", (8, 8), (40 + 50 * index, 90, 130)).save(folder / f"paint{index}.png")
            library += [f"newmtl paint{index}", f"map_Kd paint{index}.png"]
        path.with_suffix(".mtl").write_text("\n".join(library) + "\n")
        path.write_text("\n".join(["mtllib prism.mtl", *lines]) + "\n")
        return path

    return write


def tiles(folder: Path) -> Path:
    """An OBJ of a tent whose two sides are UDIM tiles of one material."""
    lines = ["mtllib tent.mtl", "v 0 0 0", "v 0 0 2", "v 1.2 1.5 0", "v 1.2 1.5 2", "v 2.5 0.1 0", "v 2.5 0.1 2"]
    lines += [f"vt {u + x:.2f} {v}" for u in (0, 1) for x, v in _rectangle(0.02, 0.02, 0.98, 0.98)]
    (folder / "tent.obj").write_text(
        "\n".join([*lines, "usemtl cloth", "f 1/1 2/2 4/3 3/4", "f 3/5 4/6 6/7 5/8"]) + "\n"
    )
    (folder / "tent.mtl").write_text("newmtl cloth\nmap_Kd cloth.<UDIM>.png\n")
    for tile in (1001, 1002):
        Image.new("RGB", (8, 8), (tile - 900, 90, 130)).save(folder / f"cloth.{tile}.png")
    return folder / "tent.obj"


def bundled(name: str) -> Callable[[Path], Path]:
    return lambda _: MESHES / f"{name}.obj"


def as_glb(source: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """The same mesh as a GLB with its original textures."""

    def write(folder: Path) -> Path:
        mesh = texopt.load_mesh(source(folder))
        texopt.io.export.export(mesh, mesh.originals([(8, 8)] * len(mesh.maps)), folder / "prism.glb")
        return folder / "prism.glb"

    return write


def scene(source: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A GLB by trimesh that shows one mesh twice: as it is, and turned, moved and stretched by its node."""

    def write(folder: Path) -> Path:
        part = trimesh.load(source(folder), force="mesh", process=False)
        node = trimesh.transformations.rotation_matrix(1.0, (1, 2, 3)) @ np.diag((0.5, 1.5, 1, 1))
        node[:3, 3] = (4, 0, 1)
        made = trimesh.Scene()
        made.add_geometry(part, node_name="here", geom_name="prism")
        made.graph.update(frame_to="there", geometry="prism", matrix=node)
        (folder / "scene.glb").write_bytes(made.export(file_type="glb"))
        return folder / "scene.glb"

    return write


@dataclass(frozen=True)
class Case:
    """One mesh to export.

    source: makes its file in a folder. endings: what it is exported to. materials, textures: how many each export has.
    shown: how often a GLB shows each mesh that is in it. options: of Result.export.
    """

    source: Callable[[Path], Path]
    endings: tuple[str, ...] = ("obj", "glb")
    materials: int = 1
    textures: int = 1
    shown: int = 1
    options: dict[str, Any] = field(default_factory=dict)


CASES = {path.stem: Case(bundled(path.stem)) for path in sorted(MESHES.glob("*.obj"))} | {
    "quads": Case(prism(4)),
    "polygons": Case(prism(7)),
    "normals": Case(prism(6, normals=True)),
    "no_uvs": Case(prism(5, uvs=False)),
    "repeat": Case(prism(5, repeat=True)),
    "tiles": Case(tiles, endings=("glb",), materials=2, textures=2),
    "scene": Case(scene(prism(6)), shown=2),
    "from_glb": Case(as_glb(prism(6, normals=True, materials=3)), materials=3, textures=3),
    "two_materials": Case(prism(6, materials=2), materials=2, textures=2),
    "unlit": Case(prism(5), endings=("glb",), options={"unlit": True}),
}


def card(size: int = 512) -> Tensor:
    """[3,size,size]: red grows to the right and green downwards, which letters and a border make plain to the eye."""
    ramp = np.linspace(30, 225, size)
    across, down = np.meshgrid(ramp, ramp)
    image = Image.fromarray(np.stack([across, down, 0 * down + 60], -1).round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    cell, font = size // 4, ImageFont.load_default(size // 6)
    for index, letter in enumerate("FGJKLNPQRSZ24567"):
        x, y = index % 4 * cell, index // 4 * cell
        draw.text((x + cell // 4, y + cell // 16), letter, (235, 235, 235), font)
        draw.rectangle((x + cell // 8, y + cell // 8, x + cell // 5, y + cell // 5), (20, 20, 220))
    return to_tensor(image)


def textures(mesh: Mesh) -> Any:
    """A texture for each that the mesh has, in colours of its own."""
    return [texopt.PixelTexture(512, start=card().roll(index, 0)) for index in range(len(mesh.optimized))]


@dataclass(frozen=True, eq=False)
class Export:
    """One exported file, alone in its folder with what was written with it, and what it was made of."""

    name: str
    case: Case
    path: Path
    files: list[Path]
    result: Result

    @property
    def mesh(self) -> Mesh:
        return self.result.mesh

    @property
    def stored(self) -> int:
        """How many triangles are in the file."""
        return len(self.mesh.faces) // (self.case.shown if self.path.suffix == ".glb" else 1)


def export_all(folder: Path) -> dict[tuple[str, str], Export]:
    """Every case in every format: (name, ending) -> Export, the file being FOLDER/NAME/ENDING/NAME.ENDING."""
    exports = {}
    for name, case in CASES.items():
        source = folder / name / "source"
        source.mkdir(parents=True)
        mesh = texopt.load_mesh(case.source(source))
        result = Result(mesh, textures(mesh), [])
        for ending in case.endings:
            path = folder / name / ending / f"{name}.{ending}"
            exports[name, ending] = Export(name, case, path, result.export(path, **case.options), result)
    return exports


def gltf_document(path: Path) -> dict[str, Any]:
    """The JSON of a glTF or GLB file."""
    data = path.read_bytes()
    if path.suffix == ".glb":
        (length,) = struct.unpack_from("<I", data, 12)
        data = data[20 : 20 + length]
    document: dict[str, Any] = json.loads(data)
    return document
