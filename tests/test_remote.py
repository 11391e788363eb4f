"""--remote: what a run tells the program that started it, and what it does when it is asked to."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MESHES, STYLES
from PIL import Image

from texopt.cli.remote import FOLDER, KEPT, Remote
from texopt.show.history import Step
from texopt.system.signals import stoppable


class Pipes:
    """A Remote with both ends in hand."""

    def __init__(self) -> None:
        commands, self._commands = os.pipe()
        self._events = io.StringIO()
        self.remote = Remote(self._events, commands)
        self.remote.listen()

    def ask(self, text: str) -> None:
        os.write(self._commands, text.encode())

    def close(self) -> None:
        if self._commands >= 0:
            os.close(self._commands)
            self._commands = -1

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self._events.getvalue().splitlines()]
        return [event for event in found if kind in ("", event["event"])]

    def wait_for(self, kind: str) -> dict[str, Any]:
        for _ in range(500):
            if found := self.events(kind):
                return found[-1]
            time.sleep(0.01)
        raise AssertionError(f"no {kind}: {self.events()}")


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.remote._phase = "after"  # so that the end of its pipe stops no test
    pipes.close()


def picture() -> dict[str, dict[str, Image.Image]]:
    return {"cube": {"cube.png": Image.new("RGB", (4, 4), (1, 2, 3))}}


def until_stopped(remote: Remote, steps: int = 2000) -> int:
    """Take steps until the run is stopped; how many there were."""
    for number in range(1, steps + 1):
        try:
            remote.on_step(Step(number, steps, 0.01 * number, {"loss": 1.0 / number}))
        except KeyboardInterrupt:
            return number
        time.sleep(0.005)
    raise AssertionError("was not stopped")


def test_events_are_lines_of_json_and_textures_are_whole(pipes: Pipes, tmp_path: Path) -> None:
    remote = pipes.remote
    with remote.loop(tmp_path, 0, 3, picture):
        for number in range(1, 4):
            remote.on_step(Step(number, 3, 0.1, {"loss": float("nan"), "style": 0.5}))
        (told,) = pipes.events("textures")  # at most one in two seconds
        file = Path(told["files"]["cube"]["cube.png"])
        assert file.parent == tmp_path / FOLDER
        with Image.open(file) as image:
            assert image.getpixel((0, 0)) == (1, 2, 3)
    (tmp_path / "there.obj").touch()
    remote.end("all is there", False, [tmp_path / "there.obj", tmp_path / "not.glb"])
    assert not (tmp_path / FOLDER).exists()
    assert pipes.events()[0] == {"event": "begin", "folder": str(tmp_path), "step": 0, "steps": 3}
    steps = pipes.events("step")
    assert steps[0]["step"] == 1
    assert steps[-1]["step"] == 3
    assert steps[0]["terms"] == {"style": 0.5}  # JSON has no NaN
    assert pipes.events()[-1]["files"] == [str(tmp_path / "there.obj")]


def test_old_versions_of_textures_go(pipes: Pipes, tmp_path: Path) -> None:
    remote = pipes.remote
    remote._textures_due._seconds = remote._textures_due._next = float("-inf")
    with remote.loop(tmp_path, 0, 9, picture):
        for number in range(1, 6):
            remote._textures_due._next = float("-inf")
            remote.on_step(Step(number, 9, 0.1, {}))
        assert len(list((tmp_path / FOLDER).iterdir())) == KEPT
        newest = pipes.events("textures")[-1]["files"]["cube"]["cube.png"]
        assert Path(newest).exists()
        assert newest.endswith("5_0.png")


def test_a_link_is_not_written_through(pipes: Pipes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FOLDER).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pipes.remote.loop(tmp_path / "run", 0, 1, picture):
        pipes.remote.on_step(Step(1, 1, 0.1, {}))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_textures_that_cannot_be_written_end_no_run(pipes: Pipes, tmp_path: Path) -> None:
    with pipes.remote.loop(tmp_path, 0, 2, picture):
        (tmp_path / FOLDER).write_text("in the way")
        pipes.remote.on_step(Step(1, 2, 0.1, {}))
        pipes.remote.on_step(Step(2, 2, 0.1, {}))
    assert not pipes.events("textures")
    assert len(pipes.events("step")) == 2


@pytest.mark.parametrize(
    "asked", ["stop\n", "st|op\r\n", f"stop{50000 * 'x'}\nstop\n", "what\nstop\nresume\n", "pause\n|stop\n", None]
)
def test_a_run_stops_when_it_is_asked_to_or_nobody_is_there(pipes: Pipes, tmp_path: Path, asked: str | None) -> None:
    with pipes.remote.loop(tmp_path, 0, 2000, picture):
        for part in asked.split("|") if asked else []:
            pipes.ask(part)
            time.sleep(0.02)
        if asked is None:
            pipes.close()
        assert until_stopped(pipes.remote) < 1000


def test_a_run_pauses_and_goes_on(pipes: Pipes, tmp_path: Path) -> None:
    with pipes.remote.loop(tmp_path, 0, 2000, picture):
        counted: list[int] = []
        run = threading.Thread(target=lambda: counted.append(until_stopped(pipes.remote)))
        run.start()
        pipes.wait_for("step")
        pipes.ask("pause\n")
        assert pipes.wait_for("paused")["paused"]
        there = len(pipes.events("step"))
        time.sleep(0.4)
        assert len(pipes.events("step")) == there
        pipes.ask("resume\n")
        for _ in range(500):
            if not pipes.wait_for("paused")["paused"] and len(pipes.events("step")) > there:
                break
            time.sleep(0.01)
        pipes.ask("stop\n")
        run.join(20)
        assert counted
        assert len(pipes.events("step")) > there


def test_a_stop_before_the_loop_is_like_ctrl_c(pipes: Pipes) -> None:
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), stoppable():  # noqa: PT012  (tests may run where Ctrl-C is ignored)
        pipes.ask("stop\n")
        time.sleep(60)
    assert time.perf_counter() - start < 30


class Gone(io.StringIO):
    """What is left of a pipe that nobody reads."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_program_that_reads_no_more_ends_nothing(pipes: Pipes) -> None:
    pipes.remote._events = Gone()
    pipes.remote.tell("begin")


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "texopt", *arguments], stdin=-1, stdout=-1, stderr=-1, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def events_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


RUN = [
    "style", str(MESHES / "creature.obj"), str(STYLES / "brush.jpg"), "--texture-size", "64", "--view-size", "64",
    "--format", "obj,glb", "--remote",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_is_followed_stopped_and_goes_on(tmp_path: Path) -> None:
    with started(*RUN, "--out", str(tmp_path / "out"), "--steps", "2000") as process:
        assert process.stdin is not None
        seen = []
        for event in events_of(process):
            seen.append(event)
            if event["event"] == "textures":
                files = event["files"]["creature"]
                with Image.open(files["creature.png"]) as image:
                    assert image.size == (64, 64)
                process.stdin.write("stop\n")
                process.stdin.flush()
        assert process.wait() == 0
    assert [seen[0]["event"], seen[-1]["event"]] == ["begin", "end"]
    assert seen[-1]["interrupted"]
    names = {Path(file).name for file in seen[-1]["files"]}
    assert {"creature.obj", "creature.mtl", "creature.png", "creature.glb", "config.yaml"} <= names
    with started("resume", str(tmp_path / "out"), "--remote") as process:
        assert process.stdin is not None
        first = next(events_of(process))
        process.stdin.close()  # whoever started it is gone
        process.stdin = None
        assert [event["event"] for event in events_of(process)][-1] == "end"
    assert first["event"] == "begin"
    assert first["step"] == max(event.get("step", 0) for event in seen)


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "programs.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    ours = json.dumps([sys.executable, "-m", "texopt", *RUN, "--out", str(tmp_path / "out")])
    code = re.sub(r"command = .*", lambda _: f"command = {ours}", code).replace(">= 100", ">= 3")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "1 of 270" in said.stdout
    assert (tmp_path / "out" / "creature.obj").exists()
    assert (tmp_path / "out" / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_the_result_is_the_same_bytes_with_and_without(tmp_path: Path) -> None:
    for name, arguments in (("with", RUN), ("without", RUN[:-1])):
        with started(*arguments, "--out", str(tmp_path / name), "--steps", "4") as process:
            assert process.stdout is not None
            process.stdout.read()
            assert process.wait() == 0
    for file in ("creature.png", "creature.obj", "preview.png", "config.yaml"):
        one, other = (tmp_path / name / file for name in ("with", "without"))
        assert one.read_bytes().replace(b"/with", b"") == other.read_bytes().replace(b"/without", b""), file


@pytest.mark.slow
def test_a_stop_that_is_there_at_once_has_its_event(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "texopt", *RUN, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, input="stop\n", capture_output=True, text=True)
    assert done.returncode == 130
    assert json.loads(done.stdout) == {"event": "error", "text": "stopped before there was a result"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["style", "none.obj", "none.jpg", "--remote"], 2, "none.jpg does not exist"),
        (["style", "none.obj", "none.jpg", "--remote", "--wrong"], 2, "these options do not exist"),
        (["resume", "nowhere", "--remote"], 2, "nowhere does not exist"),
    ],
)
@pytest.mark.slow
def test_errors_are_events(arguments: list[str], code: int, says: str) -> None:
    with started(*arguments) as process:
        (event,) = events_of(process)
        assert process.wait() == code
    assert event["event"] == "error"
    assert says in event["text"]
