"""Results of the studio: whatever its folder holds. There is no list of them anywhere else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

from texopt.cli.options.saved import CONFIG, field_values, from_yaml
from texopt.cli.studio import form
from texopt.errors import OptionError, TexoptError
from texopt.io.export_names import safe_name
from texopt.optim import checkpoint
from texopt.show.preview import CELL, VIEWS
from texopt.show.viewer import compared_html

VIEWER, PREVIEW = "viewer.html", "preview.png"
MOST = 200  # results that are listed, the latest
LONGEST = 32  # characters of a label
SHOWN = 1  # of the views of a preview, that a thumbnail shows


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
    values = {"preset": form.DEFAULTS["preset"]} | values
    if not values.get("style") or "mesh" not in values or not _printable(folder.name):
        return None
    return Result(folder, values, kept.is_file(), changed)


def _printable(name: str) -> bool:
    """Whether a name can be sent to a browser, and comes back as it is."""
    try:
        return name.isprintable() and bool(name.encode())
    except UnicodeEncodeError:
        return False


class History:
    """The results in a folder. Those that have not changed since they were last asked for are not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, tuple[int, Result | None]] = {}

    def results(self, busy: Path | None = None) -> list[Result]:
        """All but the one that a run works in, the latest first."""
        found = {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path != busy and path.is_dir() and not path.is_symlink():
                changed = path.stat().st_mtime_ns
                known = self._read.get(path)
                found[path] = known if known and known[0] == changed else (changed, _result(path))
        self._read = found
        there = [one for _, one in found.values() if one]
        return sorted(there, key=lambda one: one.changed, reverse=True)[:MOST]

    def find(self, name: str) -> Result:
        """The result of a name, which may come from anywhere. OptionError where there is none."""
        for one in self.results():
            if one.name == name:
                return one
        raise OptionError("this result is gone; choose another")


def thumbnail(one: Result) -> Image.Image:
    """A picture of a result; a grey one where there is none yet."""
    try:
        with Image.open(one.folder / PREVIEW) as sheet:
            side = sheet.width // len(VIEWS)
            if not 0 < side <= sheet.height // 2:
                raise ValueError("this is no contact sheet")
            return sheet.crop((SHOWN * side, side, (SHOWN + 1) * side, 2 * side)).convert("RGB")
    except (OSError, ValueError, MemoryError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (CELL, CELL), (184, 184, 184))


def compared(left: Result, right: Result) -> str:
    """A page that shows two results of one mesh side by side. OptionError where they are not of one."""
    labels = [_shortened(form.described(one.values) or form.DEFAULTS["preset"]) for one in (left, right)]
    if labels[0] == labels[1]:
        labels = [left.name, right.name]
    try:
        pages = [(one.folder / VIEWER).read_text("utf-8") for one in (left, right)]
        return compared_html(pages[0], pages[1], (labels[0], labels[1]))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise OptionError("these two cannot be laid over each other; choose results of the same mesh") from None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def archive(one: Result, file: IO[bytes]) -> str:
    """Write a .zip with all that a result has but its .glb, which is a model of its own. Returns its name."""
    stem = safe_name(one.name)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as packed:
        for path in _packed(one.folder):
            packed.write(path, f"{stem}/{path.relative_to(one.folder).as_posix()}")
    return f"{stem}.zip"


def _packed(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        another = path.suffix.lower() == ".glb" or path.name == checkpoint.NAME
        named = _printable(path.name)
        if path.is_file() and not path.is_symlink() and not hidden and not another and named:
            yield path
