"""UV unwrapping: the charts of charts.py, packed by xatlas; and what can be wrong with the UVs that a mesh has.

`python -m texopt.io.unwrapping.unwrap IN.npz OUT.npz` is the worker, which prints the share that is done, a line
each time: a process of its own can be stopped at any time, and xatlas is native code that a hostile mesh could crash.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from texopt.errors import DependencyError, MeshError
from texopt.mesh.topology import same_places
from texopt.mesh.wrapping import CLAMP, MIRROR, REPEAT, REPEATED, Wrap
from texopt.render.uv_raster import overlap

log = logging.getLogger("texopt")

LONG = 1_000_000  # triangles from which on it takes minutes
SECONDS = 0.00006  # a triangle; the Stanford bunny takes 0.0001, and 0.00005 with each of its triangles in four
PATIENCE = 120  # seconds, and 0.01 a triangle, after which unwrapping is given up
THIN = 1e-6  # of a triangle's longest edge squared; one of less area shows a single colour
CHARTS = 0.7  # of the time that unwrapping takes; the rest is packing
GRID = 512  # cells a side in which charts are packed, however large the texture
PACKINGS = 4  # with a scale each; the largest that fits is taken
FEW = 200  # charts that are tried everywhere, which takes time and fills the texture a twentieth better
STRETCHED = 1.5  # at most, of all charts along u or v, for which more texels are used
FULL = 0.25  # of the texture; where charts fill less, the space between them is halved


def padding_for(size: int) -> int:
    """Texels between charts in a texture of that size: 8 at 1024² and in proportion, as modellers leave them.

    To 4 it would be a tenth more texels for the charts of the Stanford bunny, to 16 an eighth less.
    """
    return max(2, size // 128)


def unwrap_faces(vertices: np.ndarray, faces: np.ndarray, size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """New UVs without overlap, in [0,1], with space between charts.

    Faces without area get the UV of a corner that they share with others, and faces that lie on each other, with the
    same corners and the same front, the same UVs.

    Args:
        vertices: float64 [V,3].
        faces: int [F,3].
        size: texels a side of the texture that the space is meant for.

    Returns:
        uvs float64 [T,2], face_uvs int32 [F,3]; faces keep their order.

    Raises:
        MeshError: it takes too long, or xatlas fails. DependencyError: xatlas is not installed.
    """
    if importlib.util.find_spec("xatlas") is None:
        raise DependencyError(
            "the mesh needs new UVs, and xatlas, which packs them, is not installed; take Python 3.13 or older (there "
            "are no wheels for newer ones), pip install xatlas with a compiler, or give it UVs in a mesh editor"
        )
    if len(faces) > LONG:
        minutes = len(faces) * SECONDS / 60
        log.warning(
            "unwrapping %s triangles takes about %.0f minutes; a mesh editor's own unwrapping, or fewer triangles, is "
            "quicker", f"{len(faces):,}", max(minutes, 1),
        )  # fmt: skip
    used, corners = np.unique(faces, return_inverse=True)
    corners = corners.reshape(-1, 3)
    center, scale = vertices[used].mean(0), np.ptp(vertices[used], axis=0).max()
    # moved and scaled, float32 resolves it wherever the mesh stands, and makes one of vertices that all but coincide
    unit = ((vertices[used] - center) / (scale or 1.0)).astype(np.float32).astype(np.float64)
    places = same_places(unit)[corners]
    turn = (places.argmin(1)[:, None] + np.arange(3)) % 3  # the corner with the least number first
    turned = np.take_along_axis(places, turn, 1)
    _, first, same = np.unique(turned, axis=0, return_index=True, return_inverse=True)
    like = first[same.reshape(-1)]
    own = np.flatnonzero((like == np.arange(len(faces))) & ~thin(unit[corners]))
    if not len(own):
        return np.full((1, 2), 0.5), np.zeros((len(faces), 3), np.int32)
    uvs, made = _run_worker(unit, corners[own], size)
    at = np.full(len(unit), -1)
    at[places[own]] = made  # one, where a vertex has several
    face_uvs = at[places].max(1, keepdims=True).clip(0).repeat(3, 1)
    face_uvs[own] = made
    face_uvs[np.arange(len(faces))[:, None], turn] = np.take_along_axis(face_uvs, turn, 1)[like]
    return uvs, face_uvs.astype(np.int32)


def thin(corners: np.ndarray) -> np.ndarray:
    """bool [F]: whether triangles [F,3,3] have no area to speak of."""
    longest = ((corners - corners[:, [1, 2, 0]]) ** 2).sum(2).max(1)
    doubled = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.asarray(doubled <= 2 * THIN * longest)


def _run_worker(vertices: np.ndarray, faces: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What _worker() makes of a mesh, with a bar that shows how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    seconds = PATIENCE + 0.01 * len(faces)
    with tempfile.TemporaryDirectory(prefix="texopt-") as folder:
        given, made, said = Path(folder, "given.npz"), Path(folder, "made.npz"), Path(folder, "said.txt")
        np.savez(given, vertices=vertices, faces=faces, size=size)
        columns = (
            TextColumn("unwrapping {task.fields[count]:,} triangles"), BarColumn(), TaskProgressColumn(),
            TimeElapsedColumn(),
        )  # fmt: skip
        console = Console(stderr=True)
        with said.open("wb") as errors, Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bar:  # fmt: skip
            task = bar.add_task("unwrap", total=1.0, count=len(faces))
            worker = subprocess.Popen(
                [sys.executable, "-m", "texopt.io.unwrapping.unwrap", given, made],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
            end = time.monotonic() + seconds
            stop = threading.Timer(seconds, worker.kill)
            stop.daemon = True
            stop.start()
            try:
                for line in worker.stdout or ():
                    bar.update(task, completed=float(line))
                worker.wait()
            finally:
                stop.cancel()
                worker.kill()
                worker.communicate()
        if time.monotonic() > end:
            raise MeshError(
                f"{len(faces):,} triangles could not be unwrapped in {seconds:.0f} s, perhaps because many lie on each "
                "other; simplify the mesh, or give it UVs in a mesh editor"
            )
        if worker.returncode != 0 or not made.exists():
            last = said.read_text(errors="replace").strip().split("\n")[-1]
            raise MeshError(
                f"the mesh could not be unwrapped ({last or f'exit code {worker.returncode}'}); give it UVs in a mesh "
                "editor"
            )
        with np.load(made) as result:
            return result["uvs"].astype(np.float64), result["face_uvs"].astype(np.int64)


def uv_problems(uvs: np.ndarray, face_uvs: np.ndarray, wrap: Wrap = REPEATED) -> list[str]:
    """What is unusual about a UV layout, a phrase each: repeated, overlapping, degenerate.

    uvs float64 [T,2], face_uvs int [F,3]. wrap: how the texture goes on outside [0,1].
    """
    corners = uvs[face_uvs]
    low, high = corners.min((0, 1)), corners.max((0, 1))
    first = np.where([mode == REPEAT for mode in wrap], np.floor(low + 1e-4), 0)  # repeat, which is as good as [0,1]
    if (low < first - 1e-4).any() or (high > first + 1 + 1e-4).any():
        ways = {REPEAT: "repeats", CLAMP: "is clamped", MIRROR: "is mirrored"}
        way = " and ".join(dict.fromkeys(ways[mode] for mode in wrap))
        return [f"UVs reach outside [0,1] ({low.min():.2f} to {high.max():.2f}); the texture {way} there"]
    found = []
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    signed = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    areas = np.abs(signed)
    flat = int((areas <= 1e-12).sum())
    if flat > len(areas) // 100:
        found.append(f"{flat:,} of {len(areas):,} faces have no area in the texture and show single colours")
    if flat < len(areas) and (share := overlap(uvs, face_uvs)):
        mirrored = float(areas[signed < 0].sum() / areas.sum())
        kind = "mirrored" if 0.1 < mirrored < 0.9 else "stacked"
        found.append(
            f"{share:.0%} of the UV area overlaps ({kind} charts): those parts share one texture "
            "(--unwrap gives each its own)"
        )
    return found


def report_uvs(name: str, uvs: np.ndarray, face_uvs: np.ndarray, wrap: Wrap = REPEATED) -> None:
    """Log, a line each, what is unusual about a UV layout."""
    for problem in uv_problems(uvs, face_uvs, wrap):
        log.warning("%s: %s", name, problem)


def pack(
    uvs: np.ndarray, face_uvs: np.ndarray, chart: np.ndarray, size: int, done: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Charts side by side in [0,1], as large as they can be with padding_for(size) between them.

    Charts that are too many for that stand closer.

    Args:
        uvs: float64 [T,2], in any unit. face_uvs: int [F,3]. chart: int [F], of every face.
        size: texels a side of the texture.
        done: is called with the share of the work that is done.

    Returns:
        uvs float64 [T,2], face_uvs uint32 [F,3].
    """
    import xatlas

    corners = uvs[face_uvs]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2)
    size = min(size, GRID)
    options = xatlas.PackOptions()
    options.padding, options.bilinear, options.bruteForce = padding_for(size), True, chart.max() < FEW
    left = 1.0
    while True:
        packed, scale = [], size * np.sqrt(0.6 / area)
        for attempt in range(PACKINGS):
            atlas, options.texels_per_unit = xatlas.Atlas(), scale
            atlas.add_uv_mesh(uvs.astype(np.float32), face_uvs.astype(np.uint32), chart.astype(np.uint32)[:, None])
            atlas.generate(pack_options=options)
            side = max(atlas.width, atlas.height)
            packed.append((side <= size, scale / max(side, size), attempt, atlas))
            scale *= size / side if side != size else 1.02
            done(1 - left * (1 - (attempt + 1) / PACKINGS / 2))
        _, scale, _, atlas = max(packed)
        if area * scale**2 >= FULL or options.padding == 1:
            _, face_uvs, filled = atlas[0]  # the texture is filled in both directions
            sides = np.array([atlas.width, atlas.height])
            return filled * np.minimum(STRETCHED * sides / sides.max(), 1), face_uvs
        options.padding //= 2
        left /= 2


def unwrap_here(
    vertices: np.ndarray, faces: np.ndarray, size: int, done: Callable[[float], None] = lambda share: None
) -> tuple[np.ndarray, np.ndarray]:
    """As unwrap_faces, in this process, for faces that have an area and lie on no other. done: is told the share that
    is done."""
    from texopt.io.unwrapping.charts import make_charts

    charts = make_charts(vertices, faces, lambda share: done(CHARTS * share))
    return pack(*charts, size, lambda share: done(CHARTS + (1 - CHARTS) * share))


def _worker(given: str, made: str) -> None:
    def done(share: float) -> None:
        print(f"{share:.3f}", flush=True)

    with np.load(given) as mesh:
        uvs, face_uvs = unwrap_here(mesh["vertices"], mesh["faces"], int(mesh["size"]), done)
    np.savez(made, uvs=uvs, face_uvs=face_uvs)


if __name__ == "__main__":
    _worker(*sys.argv[1:3])
