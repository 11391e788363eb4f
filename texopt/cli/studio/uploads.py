"""What people drop on the page: meshes with all that belongs to them, and paintings, as folders of the studio.

A folder is named after what is in it, so that the same files are kept once, and a config.yaml finds them for ever.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from texopt.cli.input_files import digest
from texopt.errors import ImageError, MeshError, TexoptError
from texopt.io.read import ENDINGS
from texopt.system.images import load_image

INPUTS = "inputs"  # the folder of them, in the studio's
MOST_BYTES = 1 << 29  # of what is dropped at once, unpacked
MOST_FILES = 1000
PICTURES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".tga", ".ppm", ".pgm", ".dds", ".jp2"),
    *(".avif", ".ico", ".psd"),
)
MESHES = (*ENDINGS, ".mtl", ".bin", *PICTURES)  # a mesh, and what belongs to it
# what some system cannot have in a name: characters, dots and spaces at the end, the devices of Windows
_NAME = re.compile(r'[^\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]*[^\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff. ]')
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_LONGEST = 200  # bytes of a name


def checked_name(name: str) -> str:
    """A name, if it is one that a file can have on every system. MeshError where it is not, or a hidden file's."""
    fine = _NAME.fullmatch(name) and not _DEVICE.fullmatch(name) and not name.startswith(".")
    if not fine or len(name.encode()) > _LONGEST:
        raise MeshError(f"a file cannot be named {name[:80]!r}; rename it and drop it again")
    return name


class Allowance:
    """How much may still come."""

    def __init__(self) -> None:
        self.bytes, self.files = MOST_BYTES, MOST_FILES

    def copy(self, source: IO[bytes], path: Path) -> None:
        """Write what a file holds. MeshError where it is too much: what a file says of its own size is not asked."""
        self.files -= 1
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            while block := source.read(1 << 20):
                self.bytes -= len(block)
                if self.bytes < 0:
                    raise MeshError(f"that is more than {MOST_BYTES >> 20} MB; drop something smaller")
                target.write(block)
        if self.files < 0:
            raise MeshError(f"these are more than {MOST_FILES} files; drop the mesh and its textures only")


def _unpack(archive: Path, folder: Path, allowance: Allowance) -> None:
    """The files of a .zip that a mesh can need, in their folders; others are left out."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                parts = PurePosixPath(info.filename.replace("\\", "/")).parts
                hidden = not parts or any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
                if info.is_dir() or hidden or PurePosixPath(parts[-1]).suffix.lower() not in MESHES:
                    continue
                with packed.open(info) as source:
                    allowance.copy(source, folder.joinpath(*map(checked_name, parts)))
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ):
        raise MeshError(f"{archive.name} cannot be unpacked; unpack it yourself and drop the files in it") from None


def _meshes(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def _kept(folder: Path, inputs: Path) -> Path:
    """Have a folder be one of the inputs, named after its content."""
    content = _content(folder)
    kept = inputs / content[:16]
    if kept.exists() and _content(kept) != content:  # somebody has changed it
        shutil.rmtree(kept, ignore_errors=True)
    with suppress(OSError):  # it is there
        folder.rename(kept)
    return kept


def _content(folder: Path) -> str:
    """A digest of all files of a folder and their names."""
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content.update(f"{path.relative_to(folder).as_posix()}\0{digest(path)}\n".encode())
    return content.hexdigest()


class _Folder:
    """A folder that becomes one of the inputs when all that shall be in it is."""

    def __init__(self, inputs: Path) -> None:
        self._inputs = inputs
        inputs.mkdir(parents=True, exist_ok=True)
        self._temporary = TemporaryDirectory(dir=inputs, prefix=".new-", ignore_cleanup_errors=True)
        self.path = Path(self._temporary.name, "files")
        self.path.mkdir()

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def keep(self) -> Path:
        return _kept(self.path, self._inputs)


def add_mesh(files: Iterable[Path], inputs: Path, beside: Path | None = None) -> Path:
    """Keep a mesh with its materials and textures, and return where it is.

    Args:
        files: the mesh and what belongs to it, or a .zip of all.
        inputs: the folder of all inputs.
        beside: a mesh that is kept already, to which the files are added where there is no mesh among them.

    MeshError for what is no mesh, several of them, too much, or has names that files cannot have.
    """
    allowance = Allowance()
    with _Folder(inputs) as folder:
        for path in files:
            name = checked_name(path.name)
            if path.suffix.lower() == ".zip":
                _unpack(path, folder.path, allowance)
            elif path.suffix.lower() in MESHES:
                with path.open("rb") as source:
                    allowance.copy(source, folder.path / name)
            else:
                raise MeshError(f"{name} is no mesh, material or texture; a mesh is one of {', '.join(ENDINGS)}")
        found = _meshes(folder.path)
        if not found and beside is not None and beside.is_relative_to(inputs):
            root = inputs / beside.relative_to(inputs).parts[0]
            for path in root.rglob("*"):
                target = folder.path / path.relative_to(root)
                if path.is_file() and not target.exists():
                    with path.open("rb") as source:
                        allowance.copy(source, target)
            found = _meshes(folder.path)
        if not found:
            raise MeshError(f"there is no mesh among these files; it is one of {', '.join(ENDINGS)}")
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:5])
            raise MeshError(f"there are {len(found)} meshes ({names}); drop one at a time")
        return folder.keep() / found[0].relative_to(folder.path)


def add_picture(path: Path, inputs: Path) -> Path:
    """Keep a painting, or a mask, and return where it is. ImageError for what is no image that texopt reads."""
    name = checked_name(path.name)
    if path.suffix.lower() not in PICTURES:
        raise ImageError(f"{name} is no image; paintings are PNG, JPEG, WebP or TIFF, and some more")
    with _Folder(inputs) as folder, path.open("rb") as source:
        copy = folder.path / name
        Allowance().copy(source, copy)
        try:
            load_image(copy, min_size=16)
        except TexoptError as error:
            raise ImageError(str(error).replace(str(copy), name)) from None
        return folder.keep() / name


def remove_unfinished(inputs: Path) -> None:
    """What a server that was killed has left of files that were coming in."""
    for path in inputs.glob(".new-*"):
        shutil.rmtree(path, ignore_errors=True)
