from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import unquote

import pytest
import yaml
from conftest import MESHES, STYLES, check_one_line

from texopt.cli.batch import local
from texopt.cli.batch.folders import last_losses, prepare
from texopt.cli.batch.jobs import read_jobs
from texopt.cli.batch.table import from_text
from texopt.cli.main import main
from texopt.cli.options.runs import RUNS
from texopt.system.files import claimed
from texopt.system.images import load_image

RAY = find_spec("ray") is not None
KNOT, WOODCUT = MESHES / "torus_knot.obj", STYLES / "woodcut.jpg"

SMALL = ["--set", "steps=2", "texture_size=64", "view_size=64"]

# Stands for a run. The mesh's name says what becomes of it, and beside the mesh is a list of the processes that ran.
FAKE = """
import json, os, sys, time
from pathlib import Path
import yaml
from texopt.cli.batch_job import INPUTS, OPTIONS, _end_with_parent
from texopt.cli.input_files import states

folder = Path(sys.argv[2])
_end_with_parent(folder)
job = json.loads((folder / INPUTS).read_text())
options = (folder / OPTIONS).read_text()
steps = yaml.safe_load(options)["steps"]
mesh = Path(job["mesh"])
with mesh.with_suffix(".runs").open("a") as file:
    file.write(f"{os.getpid()} ")
what = mesh.read_text()
print("a run of", mesh.stem)
if what == "crash" or (what == "crash once" and len(mesh.with_suffix(".runs").read_text().split()) == 1):
    os.kill(os.getpid(), 9)
if what == "bad":
    print("texopt: the mesh is <b>bad</b>; mend it", file=sys.stderr)
    sys.exit(2)
if what == "slow":
    time.sleep(3600)
(folder / INPUTS).write_text(json.dumps(states([mesh, *map(Path, job["named"])])))
(folder / "history.csv").write_text(f"step,seconds,style,loss\\n1,1,3,4\\n{steps - (what == 'half')},2,0.25,0.5\\n")
for name in ("preview.png", "viewer.html"):
    (folder / name).write_text(what)
if what != "unwritten":
    (folder / "config.yaml").write_text(options)
if what == "late error":
    sys.exit(2)
if what == "late crash":
    os.kill(os.getpid(), 9)
if what == "slow to end":
    mesh.with_suffix(".ends").touch()
    time.sleep(3600)
"""


def fake_command(command: str, folder: Path, options: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", FAKE, command, str(folder), *options]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Makes a table of jobs, mesh=what becomes of it, that are run by FAKE."""
    monkeypatch.setattr(local, "command_line", fake_command)
    monkeypatch.chdir(tmp_path)

    def table(**meshes: str) -> Path:
        (tmp_path / "s.jpg").touch()
        for name, what in meshes.items():
            (tmp_path / f"{name}.obj").write_text(what)
        return write(tmp_path / "jobs.csv", "mesh,style\n" + "".join(f"{name}.obj,s.jpg\n" for name in meshes))

    return table


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def runs(name: str) -> list[int]:
    """The processes that a job was run by."""
    return [int(pid) for pid in Path(f"{name}.runs").read_text().split()] if Path(f"{name}.runs").exists() else []


def report(out: Path = Path("outputs/jobs")) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 600  # however busy the machine is
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


@pytest.mark.parametrize("command", RUNS)
def test_a_cell_says_what_the_option_says(command: str) -> None:
    """The text of every option's default, and of every choice, is read as that."""
    kinds = get_type_hints(RUNS[command])
    for field in dataclasses.fields(RUNS[command]):
        values = list(getattr(kinds[field.name], "__args__", [])) if isinstance(field.default, str) else []
        for value in [field.default, *values]:
            if value is not None and value is not dataclasses.MISSING:
                text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                assert from_text(kinds[field.name], text) == value, field.name


TABLE = {
    "knot.csv": (
        "\ufeffmesh;Style;--strength;texture-size;keep-colors;elevation;command;target;name;\r\n"
        'sub/my knot.obj;"""a b.jpg"" c.jpg";0.7;256;TRUE;0 90;;;;\r\n'
        ";;;;;;;;;\r\n"
        "sub/my knot.obj;a b.jpg;;;;;;;;\r\n"
        "sub/my knot.obj;;;;;;feature;4:17;a tiger;\r\n"
    ),
    "knot.yaml": """
        defaults: {mesh: sub/my knot.obj}
        jobs:
        - {style: [a b.jpg, c.jpg], strength: 0.7, texture-size: 256, keep_colors: true, elevation: [0, 90]}
        - {style: a b.jpg, blend: null}
        - {command: feature, target: "4:17", name: a tiger}
        """,
}


@pytest.mark.parametrize("name", TABLE)
def test_a_table_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    for file in ("sub/my knot.obj", "a b.jpg", "c.jpg"):
        (tmp_path / file).touch()
    jobs = read_jobs(write(tmp_path / name, TABLE[name]))
    mesh, (ab, c) = str(tmp_path / "sub" / "my knot.obj"), (str(tmp_path / file) for file in ("a b.jpg", "c.jpg"))
    assert [job.name for job in jobs] == ["my knot_a b_c", "my knot_a b", "a tiger"]
    assert jobs[0].options == {
        "mesh": mesh, "style": [ab, c], "strength": 0.7, "texture_size": 256, "keep_colors": True, "elevation": [0, 90]
    }  # fmt: skip
    assert jobs[1].options == {"mesh": mesh, "style": [ab]}
    assert (jobs[2].command, jobs[2].options) == ("feature", {"mesh": mesh, "target": "4:17"})
    assert [job.inputs for job in jobs] == [(mesh, ab, c), (mesh, ab), (mesh,)]


def test_presets_and_what_is_set_for_all_jobs(tmp_path: Path) -> None:
    text = f"mesh,style,preset,steps\n{KNOT},{WOODCUT},final,7\n{KNOT},{WOODCUT},,\n"
    table = write(tmp_path / "jobs.csv", text)
    own, plain = read_jobs(table)
    assert (own.values["texture_size"], own.values["steps"]) == (4096, 7)
    assert (plain.values["texture_size"], plain.values["steps"]) == (1024, 270)
    assert plain.name == f"{own.name}_2"  # the same mesh and painting
    for job in read_jobs(table, ["preset=draft", "texture-size=128"]):
        assert (job.values["learning_rate"], job.values["texture_size"]) == (0.12, 128)


def test_the_table_of_the_documentation(tmp_path: Path) -> None:
    page = (MESHES.parent / "docs" / "batch.md").read_text(encoding="utf-8")
    lines = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)[0]
    for name in ("barrel.obj", "chest.glb", "hero.glb", "mosaic.jpg", "skin.jpg", "old cloth.jpg"):
        (tmp_path / name).touch()
    jobs = read_jobs(write(tmp_path / "jobs.csv", lines))
    assert [job.name for job in jobs] == ["barrel_mosaic", "chest_mosaic", "hero in rags"]
    assert [len(job.values["style"]) for job in jobs] == [1, 1, 2]
    assert jobs[1].options["texture_size"] == 2048


def test_names_that_are_too_long_are_cut(tmp_path: Path) -> None:
    for name in ("m" * 200 + ".obj", "s" * 200 + ".jpg"):
        (tmp_path / name).touch()
    row = f"{'m' * 200}.obj,{'s' * 200}.jpg"
    names = [job.name for job in read_jobs(write(tmp_path / "jobs.csv", f"mesh,style\n{row}\n{row}\n"))]
    assert len(set(names)) == 2
    assert max(map(len, names)) < 100


def test_names_of_any_letters_are_cut_as_bytes(tmp_path: Path) -> None:
    for name in ("😀" * 60 + ".obj", "é" * 120 + "..jpg"):
        (tmp_path / name).touch()
    [job] = read_jobs(write(tmp_path / "jobs.csv", f"mesh,style\n{'😀' * 60}.obj,{'é' * 120}..jpg\n"))
    assert job.name == "😀" * 20


@pytest.mark.parametrize("stem", ["CON", "nul", "com1", "Aux.v2", "LPT9"])
def test_names_of_jobs_are_no_devices_of_windows(tmp_path: Path, stem: str) -> None:
    (tmp_path / f"{stem}.obj").touch()
    (tmp_path / "b.py").touch()
    text = f"mesh,command,function\n{stem}.obj,custom,b.py:red.\n"
    [job] = read_jobs(write(tmp_path / "jobs.csv", text))
    assert job.name == ("_Aux.v2_red" if stem == "Aux.v2" else f"{stem}_red")


BAD = [
    ("jobs.csv", "mesh,style,speed\n{mesh},{style},\n{mesh},{style},3\n", [], "jobs.csv, row 3 has an option 'speed'"),
    ("jobs.csv", "mesh,style,steps\n{mesh},{style},many\n", [], "row 2: steps cannot be 'many'"),
    ("jobs.csv", "mesh,style,unlit\n{mesh},{style},maybe\n", [], "row 2: unlit cannot be 'maybe'"),
    ("jobs.csv", "mesh,style,distance\n{mesh},{style},1\n", [], "row 2: distance cannot be '1'"),
    ("jobs.csv", "mesh,style,where\n{mesh},{style},'a\n", [], "row 2: where cannot be"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\nno.obj,{style}\n", [], "row 3: mesh no.obj is not there"),
    ("jobs.csv", "mesh,style\n{mesh},no.jpg\n", [], "row 2: style no.jpg is not there"),
    ("jobs.csv", "mesh,style,mask\n{mesh},{style},a=no.png\n", [], "row 2: mask no.png is not there"),
    ("jobs.csv", "mesh,style,where\n{mesh},{style},not no.png\n", [], "row 2: where"),
    ("jobs.csv", "mesh,style\n{mesh},\n", [], "row 2: style is missing"),
    ("jobs.csv", "mesh,style\n{mesh},{style},3\n", [], "row 2 has more cells"),
    ("jobs.csv", "mesh,style,mesh\n{mesh},{style},3\n", [], "two columns 'mesh'"),
    ("jobs.csv", "mesh,style,preset\n{mesh},{style},best\n", [], "preset cannot be 'best'"),
    ("jobs.csv", "mesh,style,command\n{mesh},{style},paint\n", [], "row 2: command cannot be 'paint'"),
    ("jobs.csv", "mesh,command,function\n{mesh},custom,no.py:f\n", [], "row 2: function no.py is not there"),
    ("jobs.csv", "mesh,style,out\n{mesh},{style},x\n", [], "out is no option of a job"),
    ("jobs.csv", "mesh,style,live\n{mesh},{style},true\n", [], "live is no option of a job"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},../x\n", [], "name '../x' cannot be"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},Failed\n", [], "name 'Failed' cannot be"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},CON\n", [], "name 'CON' cannot be"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},aux.hero\n", [], "name 'aux.hero' cannot be"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},hero.\n", [], "name 'hero.' cannot be"),
    ("jobs.yaml", '- {{mesh: {mesh}, style: {style}, name: "hero "}}', [], "name 'hero ' cannot be"),
    ("jobs.yaml", "- {{mesh: {mesh}, style: {style}, name: !!binary /w==}}", [], "name"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},é\n{mesh},{style},e\u0301\n", [], "is that of row 2"),
    ("jobs.csv", "mesh,style,name\n{mesh},{style},x\n{mesh},{style},X\n", [], "row 3: name 'X' is that of row 2"),
    ("jobs.csv", "mesh,style\n", [], "no jobs in it"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--set", "steps"], "write NAME=VALUE"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--set", "steps=x"], "--set: steps cannot be 'x'"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--set", "name=x"], "that of every job"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--workers", "0"], "workers has to be"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--retries", "-1"], "retries has to be"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--gpus", "1"], "of a cluster"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--ray", "local", "--cpus", "0"], "cpus has to be"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--ray", "127.0.0.1:1"], "no way to Ray"),
    ("jobs.csv", "mesh,style\n{mesh},{style}\n", ["--out", "jobs.csv"], "choose another --out"),
    ("jobs.yaml", "- {{mesh: {mesh}, style: {style}, speed: 3}}", [], "jobs.yaml, job 1 has an option 'speed'"),
    ("jobs.yaml", "- {{mesh: {mesh}, style: {style}, steps: '3'}}", [], "job 1: steps cannot be '3'"),
    ("jobs.yaml", "- {mesh}", [], "job 1 is no mapping"),
    ("jobs.yaml", "jobs: 3", [], "is no list of jobs"),
    ("jobs.yaml", "job: []", [], "has 'job'"),
    ("jobs.yaml", "[", [], "cannot be read"),
    ("jobs.txt", "", [], "is no table of jobs"),
]


@pytest.mark.parametrize(("name", "text", "options", "message"), BAD, ids=[row[3] for row in BAD])
def test_no_job_runs_of_a_table_that_is_no_good(
    fake: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    options: list[str],
    message: str,
) -> None:
    if "Ray" in message and not RAY:
        pytest.skip("Ray is not installed")
    fake(good="good")
    write(Path(name), text.format(mesh="good.obj", style="s.jpg"))
    check_one_line(["batch", name, *options], message, capsys)
    assert not runs("good")


def test_failures_are_told_and_only_crashes_are_tried_again(
    fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = fake(good="good", bad="bad", dies="crash", stumbles="crash once", half="half", unwritten="unwritten")
    assert main(["batch", str(table), "--workers", "2"]) == 1
    out = Path("outputs/jobs")
    rows = report()
    assert {name: (row["status"], row["attempts"]) for name, row in rows.items()} == {
        "good_s": ("done", "1"), "bad_s": ("failed", "1"), "dies_s": ("failed", "2"), "stumbles_s": ("done", "2"),
        "half_s": ("failed", "2"),  # it ended well, but before its last step
        "unwritten_s": ("failed", "2"),  # or its last file
    }  # fmt: skip
    assert [len(runs(name)) for name in ("good", "bad", "dies", "stumbles")] == [1, 1, 2, 2]
    assert (rows["good_s"]["style"], rows["good_s"]["loss"], rows["bad_s"]["loss"]) == ("0.25", "0.5", "")
    assert rows["bad_s"]["error"] == "the mesh is <b>bad</b>; mend it"
    assert "SIGKILL" in rows["dies_s"]["error"]
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"good_s", "stumbles_s", "failed"}
    assert "a run of bad" in (out / "failed" / "bad_s.txt").read_text()
    assert "a run of good" in (out / "good_s" / "log.txt").read_text()
    captured = capsys.readouterr()
    assert captured.out.startswith("outputs/jobs/report.html: 2 done, 4 failed")
    assert "the mesh is <b>bad</b>; mend it" in captured.err


def test_what_is_complete_is_kept_however_its_process_ends(
    fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = fake(error="late error", crash="late crash")
    assert main(["batch", str(table)]) == 0
    assert {name: (row["status"], row["attempts"]) for name, row in report().items()} == {
        "error_s": ("done", "1"), "crash_s": ("done", "1")
    }  # fmt: skip
    errors = capsys.readouterr().err
    for name, code in (("error_s", 2), ("crash_s", -9)):
        folder = Path("outputs/jobs", name)
        assert f"{name} is complete, though its process ended with exit code {code}; {folder}/log.txt has" in errors
        assert {path.name for path in folder.iterdir()} == {
            "config.yaml", "history.csv", "job.json", "log.txt", "preview.png", "viewer.html"
        }  # fmt: skip
    assert main(["batch", str(table)]) == 0
    assert len(runs("error")) == len(runs("crash")) == 1


BATCH = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_batch import fake_command, local, main
local.command_line = fake_command
sys.exit(main(["batch", "jobs.csv", "--workers", "2"]))
"""


@pytest.mark.slow
def test_names_that_the_output_cannot_show_lose_nothing(fake: Callable[..., Path]) -> None:
    """A file or pipe of Windows takes 256 characters; what jobs say is UTF-8 whatever the batch's own output is."""
    fake(**{"é😀": "good"})
    done = subprocess.run(
        [sys.executable, "-c", BATCH], capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"\xe9\\U0001f600_s: " in done.stderr
    assert done.stdout.startswith(b"outputs/jobs/report.html: 1 done")
    assert "a run of é😀" in Path("outputs/jobs/é😀_s/log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_what_is_complete_when_the_batch_is_stopped_is_kept(fake: Callable[..., Path]) -> None:
    fake(ends="slow to end", slow="slow")
    batch = subprocess.Popen([sys.executable, "-c", BATCH], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: Path("ends.ends").exists() and runs("slow"))
    batch.send_signal(signal.SIGTERM)
    _, errors = batch.communicate()
    assert batch.returncode == 130, errors
    assert [row["status"] for row in report().values()] == ["done", "not run"]
    assert Path("outputs/jobs/ends_s/job.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_nothing_is_written_through_links(fake: Callable[..., Path]) -> None:
    table, out = fake(good="good"), Path("outputs/jobs")
    victim = Path("victim")
    victim.mkdir()
    files = ["config.yaml", "options.yaml", "inputs.json", "log.txt", "history.csv"]
    for name in files:
        (victim / name).write_text("kept")
    out.mkdir(parents=True)
    for name in (".good_s.partial", ".good_s.old"):
        (out / name).symlink_to(victim.resolve())
    assert main(["batch", str(table)]) == 0
    assert {name: (victim / name).read_text() for name in files} == dict.fromkeys(files, "kept")
    assert {path.name for path in victim.iterdir()} == {*files}
    assert not (out / "good_s").is_symlink()
    assert not os.path.lexists(out / ".good_s.old")


def test_again_runs_only_what_is_not_done(fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = fake(one="good", two="good", three="bad")

    def again(*options: str) -> list[int]:
        before = [len(runs(name)) for name in ("one", "two", "three")]
        main(["batch", str(table), *options])
        return [len(runs(name)) - some for name, some in zip(("one", "two", "three"), before, strict=True)]

    assert again() == [1, 1, 1]
    assert again() == [0, 0, 1]
    assert "2 of them done before" in capsys.readouterr().err
    os.utime("one.obj", (1, 1))  # another time and the same content: a copy, a checkout
    assert again() == [0, 0, 1]
    write(Path("one.obj"), "well")
    assert again() == [1, 0, 1]
    write(Path("three.obj"), "good")
    assert again() == [0, 0, 1]
    assert not Path("outputs/jobs/failed").exists()
    assert again() == [0, 0, 0]
    assert [row["status"] for row in report().values()] == ["done"] * 3
    assert again("--set", "steps=7") == [1, 1, 1]
    assert again("--set", "steps=7", "threads=1") == [0, 0, 0]  # which nothing looks different for
    Path("s.jpg").write_text("new")
    assert again("--set", "steps=7") == [1, 1, 1]
    (Path("outputs/jobs/two_s/job.json")).write_text("{}")
    assert again("--set", "steps=7") == [0, 1, 0]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_links_to_what_is_there(fake: Callable[..., Path]) -> None:
    fake(good="good", bad="bad")
    names = ["a & 'b'#1", "100% ü", "z"]
    rows = [f'good.obj,s.jpg,"{names[0]}"', f"good.obj,s.jpg,{names[1]}", f"bad.obj,s.jpg,{names[2]}"]
    assert main(["batch", str(write(Path("jobs.csv"), "\n".join(["mesh,style,name", *rows])))]) == 1
    page = _Links()
    page.feed(Path("outputs/jobs/report.html").read_text(encoding="utf-8"))
    assert len(page.found) == 2 * 4 + 1
    for link in page.found:
        assert Path("outputs/jobs", unquote(link)).exists(), link
    for name in names:
        assert name in page.text
    assert "the mesh is <b>bad</b>" in page.text
    assert "b" not in page.tags


def test_nothing_is_replaced_that_no_batch_wrote(fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = fake(good="good")
    mine = Path("outputs/jobs/good_s")
    mine.mkdir(parents=True)
    check_one_line(["batch", str(table)], "not from a batch", capsys)
    assert mine.is_dir()
    assert not runs("good")
    with claimed(Path("elsewhere")):
        check_one_line(["batch", str(table), "--out", "elsewhere"], "works in elsewhere", capsys)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_batch_that_is_stopped_leaves_no_process(fake: Callable[..., Path], number: signal.Signals) -> None:
    fake(first="good", slow="slow", idle="slow", late="slow")
    batch = subprocess.Popen([sys.executable, "-c", BATCH], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: runs("slow") and runs("idle"))
    processes = runs("slow") + runs("idle")
    assert all(map(alive, processes))
    batch.send_signal(number)
    _, errors = batch.communicate()
    wait_for(lambda: not any(map(alive, processes)))
    wait_for(lambda: not list(Path("outputs/jobs").glob(".*.partial")))
    assert Path("outputs/jobs/first_s/job.json").exists()
    if number != signal.SIGKILL:
        assert batch.returncode == 130
        assert errors.splitlines()[-1] == "texopt: stopped"
        assert [row["status"] for row in report().values()] == ["done", "not run", "not run", "not run"]
    for name in ("slow", "idle", "late"):
        write(Path(f"{name}.obj"), "good")
    assert main(["batch", "jobs.csv"]) == 0
    assert len(runs("first")) == 1


def test_a_job_ends_with_what_started_it(tmp_path: Path) -> None:
    """Its standard input ends at once here, as if the batch had died; it would run for seconds and end well."""
    [job] = read_jobs(write(tmp_path / "jobs.csv", f"mesh,style\n{KNOT},{WOODCUT}\n"), SMALL[1:])
    folder = tmp_path / "job"
    prepare(folder, job)
    command = local.command_line("style", folder, ())
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not folder.exists()
    assert "Traceback" not in done.stderr


def test_the_batch_itself_does_without_torch() -> None:
    code = "import sys, texopt.cli.commands.batch; sys.exit(bool({'torch', 'numpy', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_ray_it_says_what_to_install(
    fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setitem(sys.modules, "ray", None)
    check_one_line(["batch", str(fake(good="good")), "--ray", "local"], "pip install 'texopt[ray]'", capsys)


@pytest.mark.slow
def test_real_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.obj").write_text("nothing")
    text = f"mesh,style,command,target\n{KNOT},{WOODCUT},,\nno.obj,{WOODCUT},,\n{KNOT},,feature,blocks.2:17\n"
    table, out = write(tmp_path / "jobs.csv", text), tmp_path / "out"
    arguments = ["batch", str(table), "--out", str(out), "--workers", "2", *SMALL]
    assert main(arguments) == 1
    rows = report(out)
    assert [row["status"] for row in rows.values()] == ["done", "failed", "done"]
    assert "no.obj" in rows["no_woodcut"]["error"]
    assert float(rows["torus_knot_woodcut"]["style"]) > 0
    folder = out / "torus_knot_woodcut"
    assert load_image(folder / "torus_knot.png").size == (64, 64)
    assert {"torus_knot.obj", "preview.png", "viewer.html", "log.txt"} < {path.name for path in folder.iterdir()}
    assert yaml.safe_load((folder / "config.yaml").read_text())["out"] == str(folder)
    inputs = json.loads((folder / "job.json").read_text())["inputs"]
    assert set(inputs) == {str(KNOT.with_suffix(ending)) for ending in (".obj", ".mtl", ".png")} | {str(WOODCUT)}

    (tmp_path / "no.obj").write_bytes(KNOT.read_bytes())
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    assert main(arguments) == 0
    assert "2 of them done before" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert load_image(out / "no_woodcut" / "no.png").size == (64, 64)


DEADLY = """
import os, signal, time
from pathlib import Path

def kill(view):
    note = Path(__file__).with_suffix(".pids")
    if not note.exists():
        note.write_text(f"{os.getpid()} {os.getppid()}")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)
    return view.image.mean()
"""


def test_losses_are_the_last_known_ones(tmp_path: Path) -> None:
    write(tmp_path / "history.csv", "step,seconds,style,content\n1,1,3,0.4\n2,2,2,nan\n")
    assert last_losses(tmp_path) == {"step": 2, "seconds": 2, "style": 2, "content": 0.4}
    assert last_losses(tmp_path / "none") == {}


STUMBLES = """
import os
from pathlib import Path

def loss(view):
    steps = Path(__file__).with_suffix(".steps")
    seen = steps.read_text().split() if steps.exists() else []
    steps.write_text(" ".join([*seen, str(view.step)]))
    if view.step == 3 and "3" not in seen:
        os.kill(os.getpid(), 9)
    return view.image.mean()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_job_that_crashed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "loss.py", STUMBLES)
    table = write(tmp_path / "jobs.csv", f"mesh,command,function,checkpoint_seconds\n{KNOT},custom,loss.py:loss,0\n")
    small = [*SMALL, "steps=6"]
    assert main(["batch", str(table), "--out", str(tmp_path / "out"), *small]) == 0
    assert (tmp_path / "loss.steps").read_text() == "0 1 2 3 3 4 5"
    assert len((tmp_path / "out" / "torus_knot_loss" / "history.csv").read_text().splitlines()) == 1 + 6


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or not RAY, reason="signals, and Ray")
def test_a_cluster_survives_the_death_of_a_worker(tmp_path: Path) -> None:
    """One job kills the worker of Ray that runs it, and is run again; the other comes back, and one fails."""
    write(tmp_path / "deadly.py", DEADLY)
    write(tmp_path / "bad.py", "red = 3")
    rows = [f"{KNOT},custom,deadly.py:kill,", f"{KNOT},custom,bad.py:red,", f"{KNOT},style,,{WOODCUT}"]
    table = write(tmp_path / "jobs.csv", "\n".join(["mesh,command,function,style", *rows]))
    command = [sys.executable, "-m", "texopt", "batch", str(table), "--out", str(tmp_path / "out")]
    command += ["--ray", "local", "--cpus", "1", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = report(tmp_path / "out")
    assert {name: row["status"] for name, row in found.items()} == {
        "torus_knot_kill": "done", "torus_knot_red": "failed", "torus_knot_woodcut": "done"
    }  # fmt: skip
    assert "a function of a View" in found["torus_knot_red"]["error"]
    for name in ("torus_knot_kill", "torus_knot_woodcut"):
        assert load_image(tmp_path / "out" / name / "torus_knot.png").size == (64, 64)
    job, worker = map(int, (tmp_path / "deadly.pids").read_text().split())
    assert not alive(worker)
    assert not alive(job)
    assert done.stderr.count("\n") == 5, done.stderr  # the head, three jobs, the failure: nothing of Ray's
