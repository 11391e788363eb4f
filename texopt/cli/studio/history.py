"""Results of the studio: whatever its folder holds. There is no list of them anywhere else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

from texopt.cli.options.saved import CONFIG, field_values, from_yaml
from texopt.errors import OptionError, TexoptError
from texopt.io.export_names import safe_name
from texopt.optim import checkpoint

VIEWER, PREVIEW = "viewer.html", "preview.png"
MOST = 200  # results that are listed, the latest
SHOWN = 7  # the preview's view that a thumbnail shows: from ahead and above
VIEWS = 8  # of a preview


@dataclass(frozen=True)
class Result:
    """A folder that a run of `texopt style` has written, or has stopped in.

    name: the folder's. values: the run's options. stopped: whether it can be gone on with. changed: when it was
    written, in seconds of the system's clock.
    """

    folder: Path
    values: dict[str, Any]
    stopped: bool
    changed: float

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        return title(self.values)

    @property
    def glb(self) -> Path | None:
        return next(iter(sorted(self.folder.glob("*.glb"))), None)


def title(values: dict[str, Any]) -> str:
    """What a run is of: its mesh, and its paintings."""
    return f"{Path(values['mesh']).stem} · {' + '.join(Path(path).stem for path in values['style'])}"


def _result(folder: Path) -> Result | None:
    config, kept = folder / CONFIG, folder / checkpoint.NAME
    try:
        if config.is_file():
            values, changed = from_yaml("style", config), config.stat().st_mtime
        elif kept.is_file():  # its process was killed
            about = checkpoint.read(kept, tensors=False)["about"]
            if about.get("command") != "style":
                return None
            values, changed = field_values("style", about["config"], str(kept)), kept.stat().st_mtime
        else:
            return None
    except (TexoptError, OSError, KeyError):
        return None
    if not values.get("style") or "mesh" not in values:
        return None
    return Result(folder, values, kept.is_file(), changed)


def results(folder: Path) -> list[Result]:
    """What a folder holds, the latest first."""
    if not folder.is_dir():
        return []
    folders = sorted((path for path in folder.iterdir() if path.is_dir()), key=_touched, reverse=True)
    found = (_result(path) for path in folders[: 2 * MOST])
    return sorted((one for one in found if one), key=lambda one: one.changed, reverse=True)[:MOST]


def _touched(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def state(folder: Path) -> tuple[tuple[str, float], ...]:
    """What changes when results do, without reading them."""
    if not folder.is_dir():
        return ()
    return tuple(sorted((path.name, _touched(path)) for path in folder.iterdir() if path.is_dir()))


def result(folder: Path, name: str) -> Result:
    """The result of a name, which may come from anywhere. OptionError where there is none."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == name and path.is_dir() and (found := _result(path)):
            return found
    raise OptionError("this result is gone; choose another")


def thumbnail(one: Result) -> Image.Image | None:
    """A picture of a result; None where there is none yet."""
    try:
        with Image.open(one.folder / PREVIEW) as sheet:
            side = sheet.width // VIEWS
            box = SHOWN - 1, 1
            return sheet.crop((box[0] * side, side, (box[0] + 1) * side, 2 * side)).convert("RGB")
    except OSError:
        return None


def archive(one: Result, file: IO[bytes]) -> str:
    """Write a .zip with all that a result has but its .glb, which is a model of its own. Returns its name."""
    stem = safe_name(one.name)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in _packed(one.folder):
            packed.write(path, f"{stem}/{path.relative_to(one.folder).as_posix()}")
    return f"{stem}.zip"


def _packed(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not path.is_symlink() and not hidden:
            if path.suffix.lower() != ".glb" and path.name != checkpoint.NAME:
                yield path
