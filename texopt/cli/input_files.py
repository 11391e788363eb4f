"""The files that a run reads, and whether they are as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from texopt.cli.options.runs import CustomConfig, FitConfig, ImageConfig, LoopConfig, RunConfig, StyleConfig, masks


def named(config: LoopConfig) -> dict[str, list[Path]]:
    """The files that the options of a run name, by option."""
    weights = {"weights": [config.weights] if config.weights else []}
    if isinstance(config, ImageConfig):
        return {"image": [config.image] if config.image else [], "style": list(config.style)} | weights
    if not isinstance(config, RunConfig):
        return weights
    masked = masks(config.mask)
    return weights | {
        "mesh": [config.mesh, *(config.together if isinstance(config, StyleConfig) else ())],
        "style": list(config.style) if isinstance(config, StyleConfig) else [],
        "function": [Path(config.function.rpartition(":")[0])] if isinstance(config, CustomConfig) else [],
        "cameras": [config.cameras] if isinstance(config, FitConfig) else [],
        "photographs": _photographs(config.cameras) if isinstance(config, FitConfig) else [],
        "mask": list(masked.values()) if isinstance(masked, dict) else [masked] if masked else [],
        "where": _painted(config.where) if isinstance(config, StyleConfig) else [],
        "direction": _painted([config.direction]) if isinstance(config, StyleConfig) and config.direction else [],
    }


def _painted(parts: Sequence[str]) -> list[Path]:
    """The images among the parts of a mesh."""
    if not parts:
        return []
    from texopt.render.regions import PAINTED

    names = [name.rpartition("=")[2].strip() for part in parts for name in part.removeprefix("not ").split(",")]
    return [Path(name) for name in names if Path(name).suffix.lower() in PAINTED]


def _photographs(cameras: Path) -> list[Path]:
    from texopt.io.transforms_json import photo_files

    return photo_files(cameras)


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def states(paths: Iterable[Path]) -> dict[str, list[int | str]]:
    """[size in bytes, time of change in ns, SHA-256] of files, by absolute path. Those that are gone are left out."""
    found: dict[str, list[int | str]] = {}
    for path in sorted({path.resolve() for path in paths}):
        if path.is_file():
            about = path.stat()
            found[str(path)] = [about.st_size, about.st_mtime_ns, digest(path)]
    return found


def changed(states: Mapping[str, Sequence[Any]]) -> list[str]:
    """Those of the files that are no longer what `states` gave."""
    return [path for path, state in states.items() if not _unchanged(Path(path), *state)]


def _unchanged(path: Path, size: int, time: int, content: str) -> bool:
    """Whether a file is as it was: the time tells quickly, and where it is another (a copy, a checkout) the content."""
    try:
        about = path.stat()
        return about.st_size == size and (about.st_mtime_ns == time or digest(path) == content)
    except OSError:
        return False
