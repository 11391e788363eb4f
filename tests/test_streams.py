"""Standard streams as systems have them: of few characters, or none at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_names import QUICK, TETRAHEDRON, WOODCUT, tetrahedron

from texopt.cli.main import main
from texopt.system.process import open_streams


class Streams:
    """Standard output and error in an encoding, as files and pipes have it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self.encoding, self.streams = encoding, [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), self.streams, strict=True):
            monkeypatch.setattr(sys, name, stream)

    def written(self) -> list[str]:
        found = []
        for stream in self.streams:
            stream.flush()
            found.append(stream.buffer.getvalue().decode(self.encoding))  # type: ignore[attr-defined]
        return found


def close_streams() -> None:
    """Those that were made where there were none."""
    for stream in (sys.stdout, sys.stderr):
        assert stream.name == os.devnull
        stream.close()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_info_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    mesh = tetrahedron(tmp_path / "é😀.obj")
    mesh.write_text(TETRAHEDRON + "usemtl 网\nf 1/1 2/2 3/3\n", encoding="utf-8")
    streams = Streams(monkeypatch, encoding)
    assert main(["info", str(mesh)]) == 0
    said, _ = streams.written()
    assert r"\u7f51" in said
    assert main(["info", str(tmp_path / "é.obj" / "😀.obj")]) == 2
    assert r"\U0001f600.obj does not exist" in streams.written()[1]


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("encoding", ["ascii", ""])
def test_a_run_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """With streams of few characters, and with none, as pythonw has it."""
    mesh, out = tetrahedron(tmp_path / "é😀.obj"), tmp_path / "out"
    streams = Streams(monkeypatch, encoding or "ascii")
    if not encoding:
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", None)
    assert main(["style", str(mesh), WOODCUT, "--out", str(out), "--format", "png", *QUICK]) == 0
    if not encoding:
        close_streams()
    assert (out / "config.yaml").is_file()
    said, told = streams.written()
    assert (r"out/\xe9\U0001f600.png" in said) is bool(encoding)
    assert (r"\xe9\U0001f600: 4 triangles" in told) is bool(encoding)
    assert "Error" not in told


def test_without_streams_errors_have_their_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    for arguments, code in ((["info", "gone.obj"], 2), (["--version"], 0), (["backbones"], 0), (["nothing"], 2)):
        assert main(arguments) == code
    close_streams()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_help_in_any_encoding(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "texopt", "style", "--help"], capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "100"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert "--strength" in done.stdout.decode(encoding)


def test_streams_that_show_everything_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch, "utf-8")
    own = io.StringIO()  # that a program has put in their place
    monkeypatch.setattr(sys, "stderr", own)
    open_streams()
    print("é😀")
    assert streams.written()[0] == "é😀\n"
    assert sys.stderr is own
