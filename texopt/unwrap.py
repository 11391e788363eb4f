"""UV unwrapping with xatlas, and what can be wrong with the UVs that a mesh has.

`python -m texopt.unwrap IN.npz OUT.npz` is the worker: xatlas runs in a process of its own, because it holds the
interpreter's lock throughout (no progress bar, no Ctrl-C) and is native code that a hostile mesh could crash.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from texopt.errors import DependencyError, MeshError
from texopt.wrapping import CLAMP, MIRROR, REPEAT, REPEATED, Wrap

log = logging.getLogger("texopt")

LONG = 200_000  # triangles from which on it takes minutes
SECONDS = 0.0004  # a triangle; the Stanford bunny takes 0.0002, and 0.0003 with each of its triangles in four
MANY_LAYERS = 100  # textures that UVs may cover before only their areas are looked at
PATIENCE = 120  # seconds, and 0.01 a triangle, after which xatlas is given up
OVERLAP = ((512, 0.01), (2048, 0.02))  # texels a side, and the share of the UV area that may be their rounding


def padding_for(size: int) -> int:
    """Texels between charts in a texture of that size: 8 at 1024² and in proportion, as modellers leave them.

    To 4 it would be a tenth more texels for the charts of the Stanford bunny, to 16 an eighth less.
    """
    return max(2, size // 128)


def unwrap_faces(vertices: np.ndarray, faces: np.ndarray, size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """New UVs without overlap, in [0,1], with space between charts.

    Args:
        vertices: float64 [V,3].
        faces: int [F,3].
        size: texels a side of the texture that the space is meant for.

    Returns:
        uvs float64 [T,2], face_uvs int32 [F,3]; faces keep their order.

    Raises:
        MeshError: xatlas cannot do it. DependencyError: it is not installed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    if importlib.util.find_spec("xatlas") is None:
        raise DependencyError(
            "the mesh needs new UVs, and xatlas, which makes them, is not installed; take Python 3.13 or older (there "
            "are no wheels for newer ones), pip install xatlas with a compiler, or give it UVs in a mesh editor"
        )
    if len(faces) > LONG:
        minutes = len(faces) * SECONDS / 60
        log.warning(
            "unwrapping %s triangles takes about %.0f minutes; a mesh editor's own unwrapping, or fewer triangles, is "
            "quicker", f"{len(faces):,}", max(minutes, 1),
        )  # fmt: skip
    used, inverse = np.unique(faces, return_inverse=True)
    center, scale = vertices[used].mean(0), np.ptp(vertices[used], axis=0).max()
    # moved and scaled, float32 resolves it wherever the mesh stands
    unit = ((vertices[used] - center) / (scale or 1.0)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="texopt-") as folder:
        given, made = Path(folder, "given.npz"), Path(folder, "made.npz")
        np.savez(given, vertices=unit, faces=inverse.reshape(-1, 3).astype(np.uint32), size=size)
        worker = subprocess.Popen(
            [sys.executable, "-m", "texopt.unwrap", given, made],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        columns = (TextColumn("unwrapping {task.fields[count]:,} triangles"), BarColumn(), TimeElapsedColumn())
        try:
            console = Console(stderr=True)
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
                bar.add_task("unwrap", total=None, count=len(faces))
                seconds = PATIENCE + 0.01 * len(faces)
                end = time.monotonic() + seconds
                while worker.poll() is None:
                    if time.monotonic() > end:  # faces that lie on each other may take it hours
                        raise MeshError(
                            f"xatlas has not unwrapped {len(faces):,} triangles in {seconds:.0f} s; "
                            "give the mesh UVs in a mesh editor"
                        )
                    time.sleep(0.05)
        finally:
            worker.kill()
            errors = worker.communicate()[1].decode(errors="replace").strip()
        if worker.returncode != 0 or not made.exists():
            reason = errors.split("\n")[-1] or f"exit code {worker.returncode}"
            raise MeshError(f"xatlas could not unwrap the mesh ({reason}); give it UVs in a mesh editor")
        with np.load(made) as result:
            return result["uvs"].astype(np.float64), result["face_uvs"].astype(np.int32)


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


def overlap(uvs: np.ndarray, face_uvs: np.ndarray) -> float:
    """The share of the UV area that is there more than once; 0 where it may be the rounding of texels."""
    from texopt.uvspace import covered

    corners = uvs[face_uvs]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2)
    if area <= 1e-12 * len(corners):
        return 0.0
    for size, tolerance in OVERLAP:
        # many layers would take long to draw
        share = 1.0 if area > MANY_LAYERS else float(covered(uvs, face_uvs, size, size).float().mean())
        if 1 - share / area <= tolerance:
            return 0.0
    return 1 - share / area


def report_uvs(name: str, uvs: np.ndarray, face_uvs: np.ndarray, wrap: Wrap = REPEATED) -> None:
    """Log, a line each, what is unusual about a UV layout."""
    for problem in uv_problems(uvs, face_uvs, wrap):
        log.warning("%s: %s", name, problem)


def _worker(given: str, made: str) -> None:
    import xatlas

    with np.load(given) as mesh:
        vertices, faces, size = mesh["vertices"], mesh["faces"], int(mesh["size"])
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices, faces)
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = 8.0  # fewer, larger charts than the default of 2
    packing.resolution, packing.padding, packing.bilinear = size, padding_for(size), True
    atlas.generate(charts, packing)
    _, face_uvs, uvs = atlas[0]
    if atlas.atlas_count > 1 or len(face_uvs) != len(faces) or not np.isfinite(uvs).all():
        sys.exit("the charts did not fit into one texture")
    np.savez(made, uvs=uvs, face_uvs=face_uvs)


if __name__ == "__main__":
    _worker(*sys.argv[1:3])
