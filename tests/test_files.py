"""Files that are whole or not there, and folders that one process at a time works in."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from texopt import OutputError
from texopt.system import files
from texopt.system.files import LOCK, check_names, claimed, write_file


@pytest.fixture(params=[True, False], ids=["nameless", "beside"])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With temporary files that have no name, as on Linux, and with those that have one."""
    if not request.param:
        monkeypatch.setattr(files, "_nameless", lambda _: None)
    return bool(request.param)


def test_write_file_makes_folders_and_follows_the_umask(tmp_path: Path, nameless: bool) -> None:
    target = tmp_path / "a" / "b" / "c.bin"
    write_file(target, b"one")
    write_file(target, b"two")
    assert target.read_bytes() == b"two"
    assert os.listdir(target.parent) == ["c.bin"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_a_file_can_be_written_under_the_longest_name(tmp_path: Path, nameless: bool) -> None:
    """Twice, as replacing one takes another name meanwhile."""
    target = tmp_path / ("n" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    for data in (b"one", b"two"):
        write_file(target, data)
        assert target.read_bytes() == data


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, nameless: bool) -> None:
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.write_bytes(b"kept")
    target.symlink_to(victim)
    write_file(target, b"new")
    assert victim.read_bytes() == b"kept"
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()


def test_handles_are_closed_once(tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may have got the number of a closed one."""
    (tmp_path / "a").touch()
    closed: list[int] = []
    close = os.close

    def counted(handle: int) -> None:
        closed.append(handle)
        close(handle)

    def fail(*_: object, **__: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "close", counted)
    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OutputError, match="Permission denied"):
        write_file(tmp_path / "a", b"new")
    assert len(closed) == 1


@pytest.mark.parametrize("step", ["os.replace", "os.fsync"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, nameless: bool
) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(OutputError, match=r"cannot write .*: No space left on device; "):
            write_file(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("target", ["file/a", "folder"])
def test_where_no_file_can_be(tmp_path: Path, target: str, nameless: bool) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_file(tmp_path / target, b"data")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.skipif(sys.platform != "linux", reason="files without a name")
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    code = f"""
import os, pathlib
from texopt.system.files import replacing
with replacing(pathlib.Path({str(tmp_path / "a")!r})) as new:
    new.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


BAD_NAMES = {
    "long": "n" * 256,
    "zero": "a\0b",
    "long in a new folder": f"new/{'n' * 256}",
    "long folder": f"{'n' * 256}/a",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_no_file_can_have_are_found_before_it_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*; choose another --out"):
        check_names([tmp_path / "good", tmp_path / name])
    assert os.listdir(tmp_path) == []


def test_names_that_files_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").touch()
    (tmp_path / "link").symlink_to("folder")  # which is replaced
    names = ["old", "new", "n" * 255, "link", "new/old", "new/folder", "../x", os.fsdecode(b"\xff"), "a\nb\x85", "é😀"]
    check_names(tmp_path / name for name in names)
    monkeypatch.chdir(tmp_path)
    check_names([Path("old"), Path("new/new")])
    with pytest.raises(OutputError, match="folder: it is a folder; move it away"):
        check_names([Path("folder")])


CLAIM = """
import pathlib, sys
from texopt.system.files import claimed
with claimed(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_process_s_until_it_ends_however_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], stdin=-1, stdout=-1) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(OutputError, match=r"another run works in .*out; wait for it or choose another"):
            claimed(folder).__enter__()
        assert (folder / ".lock").is_file()
        owner.kill()
    with claimed(folder):  # the lock that it has left is none
        (folder / "result").touch()
    assert os.listdir(folder) == ["result"]


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "pipe", "folder"])
def test_a_lock_that_is_a_link_does_no_harm_to_what_it_leads_to(tmp_path: Path, kind: str) -> None:
    victim, lock = tmp_path / "victim", tmp_path / "out" / LOCK
    lock.parent.mkdir()
    victim.write_text("kept")
    if kind == "symlink":
        lock.symlink_to(victim)
    elif kind == "dangling":
        lock.symlink_to(tmp_path / "new")
    elif kind == "hard link":
        lock.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    if kind == "pipe":  # which is locked as a file is
        with claimed(lock.parent):
            pass
    else:
        says = r"(cannot write to|is a link).* choose another --out"
        with pytest.raises(OutputError, match=says), claimed(lock.parent):
            pass
    assert victim.read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["out", "victim"]


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match="cannot write to"), claimed(Path(__file__)):
        pass
