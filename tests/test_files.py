"""Files that are whole or not there, and folders that one process at a time works in."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from texopt import OutputError, files
from texopt.files import claimed, write_file


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
from texopt.files import replacing
with replacing(pathlib.Path({str(tmp_path / "a")!r})) as new:
    new.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


CLAIM = """
import pathlib, sys
from texopt.files import claimed
with claimed(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_process_s_until_it_ends_however_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], stdin=-1, stdout=-1) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(OutputError, match=f"process {owner.pid} works in .*out; wait for it or choose another"):
            claimed(folder).__enter__()
        assert (folder / ".lock").is_file()
        owner.kill()
    with claimed(folder):  # the lock that it has left is none
        (folder / "result").touch()
    assert os.listdir(folder) == ["result"]


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match="cannot write to"), claimed(Path(__file__)):
        pass
