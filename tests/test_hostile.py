"""Whatever a file holds, texopt ends in a TexoptError of one line or in success, soon and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import slow
from corpus import cases
from corpus.worker import GIGABYTES, SECONDS

from texopt.errors import TexoptError
from texopt.system.yaml import read_yaml

WORKERS = 2
SAMPLED = 60  # one of so many files is tried, where not all are
TESTS = Path(__file__).parent
ALL = [*cases()]
CASES = {case.name: case for case in ALL}


def ended(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """How the cases of these names end; a worker that dies is followed by another one."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "OMP_NUM_THREADS": "1"}
    for number in range(len(names)):
        place = folder / str(number)
        place.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-m", "corpus.worker", place], input="\n".join(names), capture_output=True, text=True,
            env=environment, check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        yield from (line for line in lines if "name" in line)
        if done.returncode == 0:
            return
        assert lines, done.stderr
        assert "begins" in lines[-1], done.stderr
        last = lines[-1]["begins"]
        yield {"name": last, "ended": "defect", "message": done.stderr[-3000:] or f"exit code {done.returncode}"}
        names = names[names.index(last) + 1 :]
        if not names:
            return


def _wrong(result: dict[str, Any]) -> str:
    """What is against the rules in how a case ended; '' where nothing is."""
    case, message = CASES[result["name"]], result["message"]
    if result["ended"] == "defect":
        return f"no TexoptError: {message}"
    if case.ends not in ("any", result["ended"]) or case.says not in message:
        return f"ended in {result['ended']}: {message}"
    if result["ended"] == "error" and not message.isprintable():
        return f"no message of one line: {message!r}"
    if len(message) > 1000 or "allocate" in message or "MemoryError" in message:
        return f"a message that does not say what is wrong: {message[:200]}"
    if result["seconds"] > SECONDS or result["bytes"] > GIGABYTES * 2**30:
        return f"took {result['seconds']} s and {result['bytes'] >> 20} MB"
    return ", ".join(result["seen"])


def _told(folder: Path, names: list[str]) -> list[str]:
    return [f"{result['name']}: {why}" for result in ended(folder, names) if (why := _wrong(result))]


def test_there_are_many_and_all_kinds() -> None:
    assert len(CASES) == len(ALL) > 1000
    assert {case.entry for case in CASES.values()} == {"mesh", "image", "info", "config", "table", "weights"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space, reads /proc")
@pytest.mark.parametrize("part", [0, *map(slow, range(1, WORKERS))])
def test_every_file_ends_in_an_error_of_one_line_or_in_success(tmp_path: Path, part: int, everything: bool) -> None:
    names = [*CASES][part::WORKERS]
    assert _told(tmp_path, names if everything else names[::SAMPLED]) == []


@pytest.mark.slow
def test_the_files_that_are_spoilt_are_good(tmp_path: Path) -> None:
    """What is cut and mutated loads as it is, so that each case has one thing wrong."""
    from corpus import gltfs, others, pieces

    from texopt import load_mesh
    from texopt.system.images import load_image

    for make in (
        pieces.file_of("a.obj", pieces.OBJ, a_mtl=pieces.MTL, skin_png=pieces.PNG),
        pieces.file_of("a.glb", gltfs.glb(gltfs.document())), pieces.file_of("b.ply", others.binary_ply()),
        pieces.file_of("a.ply", others.PLY), pieces.file_of("a.stl", others.binary_stl()),
        pieces.file_of("b.stl", others.ASCII_STL), pieces.file_of("a.off", others.OFF),
    ):  # fmt: skip
        assert len(load_mesh(make(tmp_path)).faces) > 0
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        assert load_image(pieces.file_of("a", pieces.encoded(kind))(tmp_path)).size == (24, 24)


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: [2, 3]}\nb: {<<: *a, x: 4}\nc: [*a, *a]\n")
    a = {"x": 1, "y": [2, 3]}
    assert read_yaml(tmp_path / "a.yaml", "it") == {"a": a, "b": a | {"x": 4}, "c": [a, a]}


def test_errors_are_one_line_whatever_they_quote() -> None:
    assert str(TexoptError("a\nb \x1b[2J\ud800 é 网")) == r"a\nb \x1b[2J\ud800 é 网"
    assert len(str(TexoptError("x" * 10_000 + "; mend it"))) < 1000
    assert str(TexoptError("x" * 10_000 + "; mend it")).endswith("; mend it")


def test_info_says_which_textures_are_missing(tmp_path: Path) -> None:
    """Where load_mesh refuses, the list of materials names them, and the others are as ever."""
    from corpus import pieces

    from texopt.io.describe import inspect

    text = pieces.OBJ + "usemtl other\n" + pieces.FACE
    mtl = pieces.MTL + "newmtl other\nKd 1 0 0\n"
    _, rows = inspect(pieces.file_of("a.obj", text, a_mtl=mtl)(tmp_path))["materials"]
    looks = {row[0]: row[2] for row in rows}
    assert "names the texture 'skin.png', which is not in" in looks["skin"]
    assert looks["other"] == "plain #ff0000"
