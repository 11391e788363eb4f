"""Files that are whole or not there, and folders that one process at a time works in."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from texopt.errors import OutputError

LOCK = ".lock"
BEGIN, END = ".texopt-", ".new"  # of names of files that are being written, however long their own will be


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write a file to, that takes the place of `path` when the block ends well; else the old one stays.

    Where `path` is a link, the link is replaced; what it leads to stays as it is.

    On Linux the file has no name until it is whole and on the disk, so that nothing is left of it by a process that is
    killed (open(2), O_TMPFILE); elsewhere it has one beside `path`. OutputError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _nameless(path.parent)
        if handle is None:
            with _beside(path) as temporary:
                yield temporary
            return
        try:
            yield Path(f"/proc/self/fd/{handle}")
            os.fsync(handle)
            _name(handle, path)
        finally:
            os.close(handle)
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. OutputError where it cannot be written."""
    with replacing(path) as new:
        new.write_bytes(data)


def check_names(paths: Iterable[Path]) -> None:
    """Ask the system whether files can have these names, before something is computed that is to be written there.

    OutputError for a name that is too long for the disk or that it cannot hold, and for one that a folder has.
    """
    for path in paths:
        whole = Path(os.path.abspath(path))
        there = next((folder for folder in whole.parents if os.path.isdir(folder)), whole.parent)
        for part in whole.relative_to(there).parts:  # in the nearest folder that is there: others are made later
            try:
                found = os.lstat(there / part)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:  # ValueError: a zero byte, or what the system's encoding has not
                raise _not_written(path, error) from None
            if there == whole.parent and stat.S_ISDIR(found.st_mode):
                raise OutputError(f"cannot write {path}: it is a folder; move it away or choose another --out")


def _not_written(path: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}; choose another --out")


def _nameless(folder: Path) -> int | None:
    """A new file without a name, readable by whom the umask lets; None on systems and disks that have none."""
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        return None
    with suppress(OSError):
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    return None


def _name(handle: int, path: Path) -> None:
    def link(target: Path) -> None:
        # with a folder to start from, which an absolute path ignores, Python follows the link that /proc has
        os.link(f"/proc/self/fd/{handle}", target, src_dir_fd=handle, follow_symlinks=True)

    with suppress(FileExistsError):
        link(path)
        return
    temporary = path.with_name(f"{BEGIN}{secrets.token_hex(8)}{END}")
    link(temporary)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink()
        raise


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=BEGIN, suffix=END)
    try:
        try:
            yield Path(name)
            with suppress(AttributeError):  # Windows has no umask to follow
                umask = os.umask(0)
                os.umask(umask)
                os.fchmod(handle, 0o666 & ~umask)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder, for this process alone while the block lasts; a folder that was made for nothing is removed.

    The system releases the lock however the process ends, so that a lock file that is left behind locks nothing.
    OutputError where the folder cannot be written to, or another process works in it.
    """
    made = not folder.exists()
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_lock(folder / LOCK)
        lock.acquire()
    except Timeout:
        raise OutputError(f"another run works in {folder}; wait for it or choose another --out") from None
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise OutputError(f"cannot write to {folder}: {reason or error}; choose another --out") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            (folder / LOCK).unlink()
        lock.release()
        if made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def _check_lock(path: Path) -> None:
    """OutputError for a lock file that has another name, too: earlier versions of filelock empty it."""
    with suppress(FileNotFoundError):
        if path.lstat().st_nlink > 1 and path.is_file():
            raise OutputError(f"{path} is a link to another file; remove it or choose another --out")
