"""Runs that are killed, stopped, or run out of space: what is there then is whole, and goes on to the same end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MESHES, STYLES
from PIL import Image

import texopt
from texopt.cli.options.saved import from_yaml
from texopt.optim.checkpoint import NAME, read

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, signals, files without a name"),
    pytest.mark.xdist_group("interruptions"),  # they share a process that is slow to start
]

RUN = [
    "style", str(MESHES / "creature.obj"), str(STYLES / "woodcut.jpg"), "--steps", "6", "--texture-size", "64",
    "--view-size", "64", "--threads", "1", "--checkpoint-seconds", "0", "--format", "obj,glb",
]  # fmt: skip
FILES = {
    "creature.obj", "creature.mtl", "creature.png", "creature.glb", "preview.png", "viewer.html", "loss.png",
    "history.csv", "config.yaml",
}  # fmt: skip
ITS_OWN = {NAME, ".lock"}  # those of a run that goes on; a lock that is left is none


class Zygote:
    """See zygote.py."""

    def __init__(self) -> None:
        script = str(Path(__file__).parent / "zygote.py")
        self.process = subprocess.Popen([sys.executable, script], stdin=-1, stdout=-1, text=True)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def run(
        self,
        *arguments: str,
        after: float = 0.0,
        until: Path | None = None,
        signals: tuple[int, ...] = (),
        between: float = 0.0,
    ) -> dict[str, Any]:
        assert self.process.stdin is not None
        asked = {
            "arguments": arguments, "after": after, "until": str(until or ""), "signals": list(map(int, signals)),
            "between": between,
        }  # fmt: skip
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        assert "Traceback" not in answer["said"], answer["said"]
        return answer


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    with zygote.process:
        zygote.process.kill()


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nothing happens to, and its seconds."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    zygote.run(*RUN, "--out", str(folder))  # kernels are compiled and cached
    answer = zygote.run(*RUN, "--out", str(folder))
    assert answer["code"] == 0, answer["said"]
    assert {path.name for path in folder.iterdir()} == FILES
    return folder, answer["seconds"]


def check_whole(folder: Path) -> set[str]:
    """Every file of a run is whole, and there is no other one. Returns their names."""
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert names <= FILES | ITS_OWN
    for name in names - {".lock"}:
        path = folder / name
        if path.suffix == ".png":
            np.asarray(Image.open(path))
        elif path.suffix == ".safetensors":
            assert read(path)["step"] > 0
        elif path.suffix == ".glb":
            texopt.load_mesh(path)
        elif path.suffix == ".yaml":
            from_yaml("style", path)
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        else:
            assert path.read_text(encoding="utf-8").endswith("\n")
    return names


def check_same(folder: Path, whole: Path) -> None:
    """A run has come to the same end: all files, and the same bytes but for times."""
    assert check_whole(folder) - {".lock"} == FILES
    for name in ("creature.obj", "creature.mtl", "creature.png", "creature.glb", "preview.png", "loss.png"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert losses(folder) == losses(whole)


def losses(folder: Path) -> list[list[str]]:
    return [line.split(",")[2:] for line in (folder / "history.csv").read_text().splitlines()]


def resume_or_start(folder: Path) -> list[str]:
    return ["resume", str(folder)] if (folder / NAME).exists() else [*RUN, "--out", str(folder)]


@pytest.mark.slow
def test_killed_fifty_times_at_random_moments_nothing_is_lost(
    zygote: Zygote, whole: tuple[Path, float], tmp_path: Path
) -> None:
    random, kills, rounds = np.random.default_rng(0), 0, 0
    before, longest = 0, whole[1]
    while kills < 50:
        folder = tmp_path / str(rounds)
        answer = zygote.run(
            *resume_or_start(folder), after=float(random.uniform(0.1, 1.1) * longest), signals=(signal.SIGKILL,)
        )
        longest *= 1.05 if answer["code"] else 0.7  # a run takes as long as the machine is busy
        if answer["code"] == -signal.SIGKILL:
            kills += 1
            check_whole(folder)
            now = read(folder / NAME)["step"] if (folder / NAME).exists() else 0
            assert now >= before
            before = now
        else:
            assert answer["code"] == 0, answer["said"]
            check_same(folder, whole[0])
            rounds, before = rounds + 1, 0
    if folder.exists():
        assert zygote.run(*resume_or_start(folder))["code"] == 0
        check_same(folder, whole[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_run_that_is_told_to_stop_writes_what_there_is_and_goes_on(
    zygote: Zygote, whole: tuple[Path, float], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    answer = zygote.run(*RUN, "--out", str(out), until=out / NAME, signals=(number,))
    assert answer["code"] == 0
    assert "stopped at step" in answer["said"]
    assert f"`texopt resume {out}` goes on with it" in answer["said"]
    assert check_whole(out) == FILES | {NAME}
    assert zygote.run("resume", str(out))["code"] == 0
    check_same(out, whole[0])
    again = zygote.run("resume", str(out))
    assert again["code"] == 2
    assert "has no run that was stopped" in again["said"]


@pytest.mark.slow
def test_told_twice_it_stops_at_once(zygote: Zygote, whole: tuple[Path, float], tmp_path: Path) -> None:
    for between in (0.0, 0.05, 0.5):
        out = tmp_path / str(between)
        two = (signal.SIGINT, signal.SIGINT)
        answer = zygote.run(*RUN, "--out", str(out), until=out / NAME, signals=two, between=between)
        check_whole(out)
        assert answer["code"] in (0, 130)
        assert zygote.run(*resume_or_start(out))["code"] == 0
        check_same(out, whole[0])


@pytest.mark.slow
def test_a_terminal_that_is_closed_stops_the_run(whole: tuple[Path, float], tmp_path: Path) -> None:
    out = tmp_path / "out"
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
        os.execv(sys.executable, [sys.executable, "-m", "texopt", *RUN, "--steps", "10000", "--out", str(out)])
    said = b""
    while not (out / NAME).exists():
        said += os.read(terminal, 1000)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert check_whole(out) == FILES | {NAME}


@pytest.mark.slow
def test_a_disk_that_is_full_loses_nothing(whole: tuple[Path, float], tmp_path: Path) -> None:
    """A file may have so many bytes at most, as the system tells the process: from too few for a picture to enough."""
    out = tmp_path / "out"
    for kilobytes in (4, 40, 300, 2000):
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes << 10}, {kilobytes << 10}));"
        code = f"{limited} import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        code += "from texopt.cli.main import main; sys.exit(main(sys.argv[1:]))"
        arguments = resume_or_start(out)
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        names = check_whole(out)
        if done.returncode == 2:
            assert done.stderr.splitlines()[-1].startswith("texopt: cannot write")
            assert kilobytes < 2000
        else:
            assert done.returncode == 0
            assert names == FILES
            break
    check_same(out, whole[0])


@pytest.mark.slow
def test_a_run_whose_inputs_have_changed_does_not_go_on(
    zygote: Zygote, whole: tuple[Path, float], tmp_path: Path
) -> None:
    painting, out = tmp_path / "painting.png", tmp_path / "out"
    Image.open(STYLES / "woodcut.jpg").save(painting)
    run = [argument if not argument.endswith(".jpg") else str(painting) for argument in RUN]
    while not (out / NAME).exists():
        zygote.run(*run, "--steps", "50", "--out", str(out), until=out / NAME, signals=(signal.SIGKILL,))
    Image.open(painting).rotate(90).save(painting)
    answer = zygote.run("resume", str(out))
    assert answer["code"] == 2
    assert "painting.png has changed or gone since the run was started" in answer["said"]
    earlier = zygote.run(*run, "--out", str(out))
    assert earlier["code"] == 0
    assert "has a run that stopped at step" in earlier["said"]
    assert check_whole(out) == FILES


@pytest.mark.slow
@pytest.mark.parametrize("texture", ["pyramid", "fourier", "pixel"])
def test_any_number_of_threads_comes_to_the_same_bytes(zygote: Zygote, tmp_path: Path, texture: str) -> None:
    for threads in ("1", "2", "3"):
        size = "2048" if texture == "pyramid" else "256"  # so that it has levels of detail
        options = ["--threads", threads, "--texture", texture, "--texture-size", size, "--view-size", "128"]
        answer = zygote.run(*RUN, *options, "--steps", "3", "--format", "png", "--out", str(tmp_path / threads))
        assert answer["code"] == 0, answer["said"]
    first, *others = [(tmp_path / threads / "creature.png").read_bytes() for threads in ("1", "2", "3")]
    assert all(other == first for other in others)


@pytest.mark.slow
def test_two_runs_into_one_folder(zygote: Zygote, whole: tuple[Path, float], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "texopt", *RUN, "--steps", "10000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (out / NAME).exists():
            time.sleep(0.05)
            assert first.poll() is None
        second = zygote.run(*RUN, "--out", str(out))
        assert second["code"] == 2
        assert f"another run works in {out}; wait for it or choose another --out" in second["said"]
        first.send_signal(signal.SIGTERM)
    assert first.returncode == 0
    assert check_whole(out) == FILES | {NAME}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to(zygote: Zygote, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    answer = zygote.run(*RUN, "--out", str(out))
    assert answer["code"] == 2
    assert "cannot write to" in answer["said"]
