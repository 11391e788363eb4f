"""What the page's frames show: meshes as they came, and the textures of the run as they are made."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texopt.cli.loading import load
from texopt.cli.options.runs import StyleConfig
from texopt.errors import OptionError
from texopt.io.export_names import texture_files
from texopt.mesh.vertex_buffers import map_parts
from texopt.show.viewer import viewer_html

KEPT = 8  # pages of meshes
OPTIONS = ("only", "skip", "mask", "unwrap", "texture_size")  # that it is read with


@dataclass(frozen=True)
class MeshView:
    """A mesh to turn. parts: by the names that its new textures will have. materials: their names. remarks: what is
    unusual about it, in lines. described: what it is."""

    name: str
    page: bytes
    parts: dict[str, int]
    materials: tuple[str, ...]
    remarks: tuple[str, ...]
    described: str


class Views:
    """Pages of meshes, made when they are first asked for, by names that say nothing of where files are."""

    def __init__(self) -> None:
        self._views: dict[str, MeshView] = {}
        self._lock = threading.Lock()

    def add(self, options: Mapping[str, Any]) -> tuple[str, MeshView]:
        """Read the mesh of a run's options. Returns its name and its view. TexoptError where it cannot be read."""
        mesh = Path(options["mesh"])
        values = {name: value for name, value in options.items() if name in OPTIONS}
        changed = mesh.stat().st_mtime_ns if mesh.is_file() else 0
        key = repr((str(mesh), changed, sorted(values.items())))
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        if known := self._views.get(name):  # others are not kept waiting while a mesh is read
            return name, known
        with self._lock:
            if name not in self._views:
                self._views[name] = _view(StyleConfig(mesh=mesh, style=(), **values))
            found = self._views[name]
            for oldest in list(self._views)[:-KEPT]:
                del self._views[oldest]
            return name, found

    def page(self, name: str) -> bytes:
        """The page of a name. OptionError where it is no longer there."""
        view = self._views.get(name)
        if view is None:
            raise OptionError("this view is gone; load the page again")
        return view.page


@contextmanager
def _remarks() -> Iterator[list[str]]:
    """What this thread logs about what it reads meanwhile, in lines."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident():
                lines.append(record.getMessage())

    handler, log = Listener(logging.INFO), logging.getLogger("texopt")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


def _view(config: StyleConfig) -> MeshView:
    with _remarks() as remarks:
        mesh = load(config)
    pictures = mesh.pictures()
    names = texture_files(mesh, Path(f"{mesh.name}.obj"))
    sizes = sorted({f"{height} x {width}" for height, width in (one.original.shape[:2] for one in mesh.maps)})
    textures = "1 texture" if len(mesh.maps) == 1 else f"{len(mesh.maps)} textures"
    return MeshView(
        config.mesh.name, viewer_html(mesh.name, map_parts(mesh), pictures, pictures),
        {path.name: index for index, path in names.items()}, tuple(dict.fromkeys(mesh.materials)), tuple(remarks),
        f"{len(mesh.faces):,} triangles, {textures} of {sizes[-1]}",
    )  # fmt: skip
