"""The studio without a browser: what is dropped, options, runs in processes, the history, and who is answered."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import MESHES, STYLES, check_one_line
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import texopt
from texopt import ImageError, MeshError, OptionError
from texopt.cli.options.helps import helps
from texopt.cli.options.presets import PRESETS
from texopt.cli.options.runs import StyleConfig
from texopt.cli.options.saved import field_values, from_yaml, saved
from texopt.cli.studio import form, guard, history, jobs, looks, uploads
from texopt.cli.studio.guard import guarded, refusal
from texopt.cli.studio.history import History
from texopt.cli.studio.jobs import Jobs, Run
from texopt.cli.studio.page import SHOWN, Session, Studio
from texopt.cli.studio.views import Views

CREATURE = [MESHES / f"creature.{ending}" for ending in ("obj", "mtl", "png")]
CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# what is dropped


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def test_a_mesh_is_kept_with_its_files_and_the_same_one_once(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    path = uploads.add_mesh(CREATURE, inputs)
    assert uploads.add_mesh(reversed(CREATURE), inputs) == path
    assert len(list(inputs.iterdir())) == 1
    assert texopt.load_mesh(path).maps[0].original.shape == (1024, 1024, 3)
    other = uploads.add_mesh(CREATURE[:1], inputs)
    assert other.parent != path.parent
    assert uploads.add_mesh(CREATURE[1:], inputs, beside=other) == path, "what belongs to it may come later"


def test_a_zip_keeps_its_folders_and_what_no_mesh_needs_is_left_out(tmp_path: Path) -> None:
    names = {"a/cube.obj": CUBE, "a/maps/wood.png": b"x", "a/.DS_Store": "x", "__MACOSX/a/cube.obj": "x", "run.sh": "x"}
    path = uploads.add_mesh([zipped(tmp_path / "all.zip", names)], tmp_path / "inputs")
    root = path.parent.parent
    assert sorted(one.relative_to(root).as_posix() for one in root.rglob("*.*")) == ["a/cube.obj", "a/maps/wood.png"]


@pytest.mark.parametrize("name", [
    "../cube.obj", "a/../../cube.obj", "/../cube.obj", "..\\cube.obj", "c:\\cube.obj", "a/b\n/cube.obj", "nul/cube.obj",
    "cube .obj/ /cube.obj", "x" * 300 + ".obj",
])  # fmt: skip
def test_names_in_a_zip_lead_nowhere(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "all.zip", {name: CUBE})
    with pytest.raises(MeshError, match="cannot be named"):
        uploads.add_mesh([archive], tmp_path / "inputs")
    assert [path.name for path in tmp_path.rglob("*")] == ["inputs", "all.zip"] or not list(tmp_path.rglob("*.obj"))


@given(st.text(max_size=20))
def test_a_checked_name_is_one_file_below_its_folder(name: str) -> None:
    try:
        path = Path("/folder") / uploads.checked_name(name)
    except MeshError:
        return
    assert path.parent == Path("/folder")
    assert os.path.normpath(path) == str(path)
    assert not name.startswith(".")
    assert name.isprintable() or not any(ord(letter) < 32 for letter in name)


def test_uploads_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"a.obj": CUBE})
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("b.png", bytes(3 << 20))
    assert bomb.stat().st_size < 20_000
    monkeypatch.setattr(uploads, "MOST_BYTES", 2 << 20)
    with pytest.raises(MeshError, match="more than 2 MB"):
        uploads.add_mesh([bomb], tmp_path / "inputs")
    monkeypatch.setattr(uploads, "MOST_FILES", 3)
    many = zipped(tmp_path / "many.zip", {f"{number}.png": b"" for number in range(4)})
    with pytest.raises(MeshError, match="more than 3 files"):
        uploads.add_mesh([many], tmp_path / "inputs")
    assert list((tmp_path / "inputs").iterdir()) == []


@pytest.mark.parametrize(("files", "message"), [
    ({"a.png": b""}, "no mesh among"), ({"a.obj": CUBE, "b.obj": CUBE}, r"2 meshes \(a.obj, b.obj\)"),
    ({"a.obj": CUBE, "b.py": ""}, "b.py is no mesh"), ({"a.zip": b"PK\x03\x04 no"}, "cannot be unpacked"),
    ({}, "no mesh among"),
])  # fmt: skip
def test_what_is_no_mesh_is_refused(files: dict[str, str | bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MeshError, match=message):
        uploads.add_mesh([tmp_path / name for name in files], tmp_path / "inputs")
    assert list((tmp_path / "inputs").iterdir()) == []


def test_paintings_are_images(tmp_path: Path) -> None:
    kept = uploads.add_picture(STYLES / "brush.jpg", tmp_path)
    assert kept.read_bytes() == (STYLES / "brush.jpg").read_bytes()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"text\.png"):
        uploads.add_picture(tmp_path / "text.png", tmp_path / "inputs")
    with pytest.raises(ImageError, match="no image"):
        uploads.add_picture(MESHES / "teapot.obj", tmp_path / "inputs")


# options


def test_help_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from texopt.cli.main import main

    with pytest.raises(SystemExit):
        main(["style", "--help"])
    shown = " ".join("".join(letter if letter not in "│╭╮╰╯─" else " " for letter in capsys.readouterr().out).split())
    found = helps(StyleConfig)
    for name in form.OFFERED:
        assert found[name] in shown, name
    assert found["steps"] == "Steps of gradient descent."


def test_readme_and_form_offer_the_same_options() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    table = readme.partition("### Ten options")[2].partition("\n\n!")[0]
    names = {
        line.split("`")[1].removeprefix("--").split()[0] for line in table.splitlines() if line.startswith("| `--")
    }
    offered = {name.replace("_", "-") for name in form.OFFERED}
    assert names - offered == {"live"}, "the page itself is that"


def read_of(**shown: Any) -> dict[str, Any]:
    return field_values("style", values_of(**shown), "the form")


def values_of(**shown: Any) -> dict[str, Any]:
    return form.options(Path("/a/mesh.obj"), (Path("/b/one.png"), Path("/b/two.png")), form.DEFAULTS | shown, {})


def test_options_of_the_form_are_those_of_the_command() -> None:
    values = values_of(preset="draft", strength=0.7, where=("a", "not a"), only=("a", "b"), format=("glb",))
    config = StyleConfig(**field_values("style", values, "the form"))
    assert (config.steps, config.texture_size, config.strength) == (100, 512, 0.7)
    assert (config.where, config.only, config.format) == (("a", "not a"), "a,b", "glb")
    assert values_of(texture_size=256, preset="final")["texture_size"] == 256
    assert values_of(preset="final")["texture_size"] == 4096


@given(st.sampled_from([*PRESETS]), st.floats(0, 1), st.sampled_from([0, *form.SIZES]), st.booleans(), st.booleans())
def test_again_gives_the_same_options(preset: str, strength: float, size: int, keep: bool, other: bool) -> None:
    chosen = form.DEFAULTS | {"preset": preset, "strength": strength, "texture_size": size, "keep_colors": keep,
                              "only": ("a",), "direction": "around:y"}  # fmt: skip
    others = {"steps": 7, "seed": 3} if other else {}
    values = form.options(Path("/a/mesh.obj"), (Path("/b/one.png"),), chosen, others)
    read = field_values("style", values, "the form")
    shown, found = form.shown(read)
    assert found == others
    assert form.options(Path("/a/mesh.obj"), (Path("/b/one.png"),), shown, found) == values


def test_what_is_unusual_of_a_run_is_said() -> None:
    assert form.described(read_of()) == ""
    options = {"preset": "draft", "keep_colors": True, "strength": 0.75}
    assert form.described(read_of(**options)) == "draft, strength 0.75, keep colors"
    assert form.described(read_of() | {"steps": 5, "object_only": False}) == "steps 5, no object only"


# runs


FAKE = """
import json, sys, threading, pathlib, time
out = pathlib.Path(sys.argv[3]).parent if sys.argv[1] == "style" else pathlib.Path(sys.argv[2])
def say(event, **values): print(json.dumps({"event": event, **values}), flush=True)
if "bad" in str(out):
    say("error", text="mesh bad.obj does not exist"); sys.exit(2)
if "crash" in str(out):
    print("warning: little memory", file=sys.stderr); print("Killed", file=sys.stderr); sys.exit(9)
say("begin", folder=str(out), step=0, steps=1000)
asked, paused = [], False
def listen():
    for line in iter(sys.stdin.readline, ""): asked.append(line.strip())
    asked.append("stop")
threading.Thread(target=listen, daemon=True).start()
for step in range(1, 100000):
    say("step", step=step, steps=1000, terms={"loss": 1 / step}, steps_per_second=50.0, paused=paused)
    while asked or paused:
        word = asked.pop(0) if asked else ""
        if word == "stop":
            (out / "written").write_text("x")
            say("end", text="done", interrupted=True, folder=str(out), files=[]); sys.exit(0)
        if word in ("pause", "resume"):
            paused = word == "pause"; say("paused", paused=paused)
        time.sleep(0.01)
    if "short" in str(out) and step == 3: break
    time.sleep(0.01)
(out / "written").write_text("x")
say("end", text="done", interrupted=False, folder=str(out), files=[])
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that speaks as --remote does, and is there at once."""
    monkeypatch.setattr(jobs, "command_line", lambda: [sys.executable, "-c", FAKE])


def named(name: str) -> dict[str, Any]:
    return form.options(Path(f"/a/{name}.obj"), (Path("/b/one.png"),), form.DEFAULTS, {})


@pytest.mark.usefixtures("fake")
def test_a_run_is_followed_paused_and_stopped(tmp_path: Path) -> None:
    found = Jobs(tmp_path)
    run = found.add("long", named("long"))
    wait_for(lambda: run.step > 3)
    assert (run.state, run.steps, run.folder) == ("running", 1000, tmp_path / "long_one")
    found.pause()
    wait_for(lambda: run.state == "paused")
    step = run.step
    time.sleep(0.2)
    assert run.step == step
    found.pause()
    wait_for(lambda: run.state == "running" and run.step > step)
    found.stop()
    assert run.state == "stopping"
    wait_for(lambda: found.running is None)
    assert (run.state, run.text) == ("stopped", "done")
    assert [path.name for path in run.folder.iterdir()] == ["written"], "nothing of the studio's own is left"
    found.close()


@pytest.mark.usefixtures("fake")
def test_runs_wait_for_one_another_and_never_share_a_folder(tmp_path: Path) -> None:
    found = Jobs(tmp_path)
    first, *others = [found.add("short", named("short")) for _ in range(3)]
    assert first.folder is not None
    assert [run.state for run in others] == ["waiting", "waiting"]
    wait_for(lambda: all(run.over for run in (first, *others)))
    assert [run.folder.name for run in (first, *others)] == ["short_one", "short_one_2", "short_one_3"]  # type: ignore[union-attr]
    last, dropped = found.add("long", named("long")), found.add("never", named("never"))
    assert last.folder is not None
    found.forget_waiting()
    assert found.waiting == []
    found.close()
    assert last.state == "stopped"
    assert dropped.folder is None


@pytest.mark.usefixtures("fake")
def test_so_many_wait_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    found = Jobs(tmp_path)
    for _ in range(3):
        found.add("long", named("long"))
    with pytest.raises(OptionError, match="2 runs wait already"):
        found.add("long", named("long"))
    found.close()
    with pytest.raises(AssertionError):
        wait_for(lambda: found.running, 0.2)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("name", "text"), [
    ("bad", "mesh bad.obj does not exist"), ("crash", r"the run ended by itself \(code 9\): Killed"),
])  # fmt: skip
def test_a_run_that_fails_says_why_and_leaves_nothing(name: str, text: str, tmp_path: Path) -> None:
    found = Jobs(tmp_path)
    run, after = found.add(name, named(name)), found.add("short", named("short"))
    wait_for(lambda: after.over)
    assert run.state == "failed"
    assert re.fullmatch(text, run.text)
    assert not run.folder.exists()  # type: ignore[union-attr]
    assert after.state == "finished"
    assert (name == "crash") == (run.warnings == ["little memory"])
    found.close()


@pytest.mark.usefixtures("fake")
def test_the_same_run_is_not_gone_on_with_twice(tmp_path: Path) -> None:
    found = Jobs(tmp_path)
    (tmp_path / "long").mkdir()
    run = found.go_on("long", tmp_path / "long")
    with pytest.raises(OptionError, match="goes on already"):
        found.go_on("long", tmp_path / "long")
    wait_for(lambda: run.step)
    found.close()
    assert run.state == "stopped"


def test_a_curve_stays_short() -> None:
    run = Run("a", {})
    for step in range(3 * jobs.MOST_POINTS):
        run.hear({"event": "step", "step": step, "terms": {"loss": 1.0}, "steps_per_second": None})
    assert jobs.MOST_POINTS / 2 <= len(run.curve) <= jobs.MOST_POINTS
    steps = [step for step, _ in run.curve]
    assert steps == sorted(steps)
    assert steps[-1] == 3 * jobs.MOST_POINTS - 1


def test_a_real_run_is_stopped_and_gone_on_with(tmp_path: Path) -> None:
    values = form.options(CREATURE[0], (STYLES / "brush.jpg",), form.DEFAULTS | {"texture_size": 64}, {
        "steps": 400, "view_size": 64, "coarse": 0.0, "patch_weight": 0.0,
    })  # fmt: skip
    found = Jobs(tmp_path)
    run = found.add("creature", values)
    wait_for(lambda: run.over or (run.step >= 2 and run.textures))
    assert list(run.textures) == ["creature.png"]
    with Image.open(run.textures["creature.png"]) as image:
        assert image.size == (64, 64)
    found.stop()
    wait_for(lambda: run.over)
    assert run.state == "stopped", run.text
    (result,) = History(tmp_path).results()
    assert result.stopped
    assert result.glb is not None
    assert history.thumbnail(result).getextrema() != ((184, 184),) * 3
    assert from_yaml("style", result.folder / "config.yaml")["steps"] == 400
    again = found.go_on("creature", result.folder)
    wait_for(lambda: again.step or again.over)
    assert again.step >= run.step
    found.close()
    assert again.state == "stopped", again.text


# history


def make_result(folder: Path, **values: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(saved("style", named("mesh") | values))
    Image.new("RGB", (8 * 16, 32)).save(folder / "preview.png")
    (folder / "mesh.obj").write_text(CUBE)


def test_history_is_what_the_folder_holds(tmp_path: Path) -> None:
    found = History(tmp_path / "none")
    assert found.results() == []
    found = History(tmp_path)
    for number, name in enumerate(("old", "new & old'")):
        make_result(tmp_path / name, strength=0.25 * number)
        os.utime(tmp_path / name / "config.yaml", (number, number))
    (tmp_path / "inputs").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").write_text("command: style\nstrength: [")
    if os.name == "posix":
        (tmp_path / "link").symlink_to(tmp_path / "old")
    assert [one.name for one in found.results()] == ["new & old'", "old"]
    assert [one.name for one in found.results(busy=tmp_path / "old")] == ["new & old'"]
    newest = found.find("new & old'")
    assert looks.caption(newest) == "mesh · one · strength 0.25"
    assert "/download/new%20%26%20old%27/all.zip" in looks.links(newest)
    for name in ("..", "inputs", "link", "old/../old", "", "."):
        with pytest.raises(OptionError, match="gone"):
            found.find(name)
    shutil.rmtree(tmp_path / "old")
    assert [one.name for one in found.results()] == ["new & old'"]


def test_an_archive_has_all_but_the_glb_and_the_checkpoint(tmp_path: Path) -> None:
    make_result(tmp_path / "a b")
    for name in ("mesh.glb", "checkpoint.safetensors", ".lock"):
        (tmp_path / "a b" / name).touch()
    (tmp_path / "secret").write_text("x")
    if os.name == "posix":
        (tmp_path / "a b" / "leak.png").symlink_to(tmp_path / "secret")
    buffer = io.BytesIO()
    (result,) = History(tmp_path).results()
    assert history.archive(result, buffer) == "a_b.zip"
    names = zipfile.ZipFile(buffer).namelist()
    assert names == ["a_b/config.yaml", "a_b/mesh.obj", "a_b/preview.png"]


# pictures


def test_a_mesh_is_shown_with_the_names_of_its_textures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "texopt")
    views = Views()
    name, view = views.add({"mesh": str(CREATURE[0])})
    assert views.add({"mesh": str(CREATURE[0]), "strength": 0.3}) == (name, view)
    assert view.parts == {"creature.png": 0}
    assert view.described == "18,312 triangles, 1 texture of 1024 x 1024"
    assert views.page(name).startswith(b"<!DOCTYPE html>")
    with pytest.raises(OptionError, match="gone"):
        views.page("../etc/passwd")
    (tmp_path / "bare.obj").write_text(CUBE.replace("vt", "#").replace("1/1 2/2 3/3", "1 2 3"))
    assert any("UV" in line for line in views.add({"mesh": str(tmp_path / "bare.obj")})[1].remarks)


def test_texts_of_others_are_escaped() -> None:
    run = Run("<script>", {}, state="running", step=2, steps=4, warnings=["<b>"])
    for step in (1, 2):
        run.hear({"event": "step", "step": step, "terms": {"<i>": 1.0 / step}, "steps_per_second": 2.0})
    text = looks.run_text(run, [Run("<u>", {})])
    assert "step 2 of 4, 1 s left" in text
    assert not any(tag in text for tag in ("<script>", "<i>", "<u>", "<b><"))
    run.state, run.text = "failed", "<img>"
    assert "<img>" not in looks.run_text(run, [])
    assert "<a" not in looks.frame('"><a', '"><a', {'"><a': 1})


# the page


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """The page's doings without gradio."""
    (tmp_path / "temporary").mkdir()
    found = Jobs(tmp_path / "out")
    gradio: Any = SimpleNamespace(update=dict)
    yield Studio(gradio, found, Views(), History(tmp_path / "out"), tmp_path / "temporary")
    found.close()


FORM = [form.DEFAULTS[name] for name in SHOWN]


@pytest.mark.usefixtures("fake")
def test_a_browser_is_sent_what_has_changed_and_follows_the_run(studio: Studio) -> None:
    here = Session()
    assert "hint" in studio.changes(here)["view"]["value"]
    assert studio.changes(here) == {}
    for missing in ("mesh", "painting"):
        with pytest.raises(OptionError, match=f"no {missing} yet"):
            studio.start(here, [], None, *FORM)
        studio.demo(here)
    shown = studio.changes(here)
    assert "18,312 triangles" in shown["mesh_text"]["value"]
    assert not shown["demo"]["visible"]
    studio.start(here, [(str(STYLES / "brush.jpg"), None)], None, *FORM)
    wait_for(lambda: studio.jobs.running and studio.jobs.running.step > 2)
    assert "data-parts" in studio.changes(here)["view"]["value"]
    studio.start(here, [(str(STYLES / "brush.jpg"), None)], None, *FORM)
    assert "comes next" in studio.changes(here)["notice"]["value"]
    other = Session()  # a browser that comes later
    filled = studio.loaded(other)
    assert other.shown == "run"
    assert filled["paintings"][0].endswith("brush.jpg")
    studio.remove(here)
    make_result(studio.jobs.folder / "creature_brush" / "within")  # what the fake writes not
    for path in (studio.jobs.folder / "creature_brush" / "within").iterdir():
        path.rename(path.parent.parent / path.name)
    studio.stop(here)
    wait_for(lambda: studio.jobs.running is None)
    shown = studio.changes(here)
    assert (here.shown, here.result) == ("result", "creature_brush")
    assert "Download .zip" in shown["links"]["value"]
    assert len(shown["results"]["value"]) == 1


def test_a_run_that_is_started_while_a_mesh_is_read_has_that_mesh(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, added, go = Session(), [], threading.Event()
    studio.demo(here)
    add = studio.views.add
    monkeypatch.setattr(studio.views, "add", lambda options: (go.wait(), add(options))[1])
    monkeypatch.setattr(studio.jobs, "add", lambda title, options: added.append(options) or Run(title, options))
    drop = threading.Thread(target=studio.mesh_dropped, args=(here, [str(MESHES / "teapot.obj")]))
    drop.start()
    wait_for(studio.reading(here).locked)
    start = threading.Thread(target=studio.start, args=(here, [(str(STYLES / "brush.jpg"), None)], None, *FORM))
    start.start()
    time.sleep(0.1)
    assert not added
    go.set()
    start.join()
    drop.join()
    assert Path(added[0]["mesh"]).name == "teapot.obj"


def test_again_fills_the_form_with_what_it_does_not_offer_too(studio: Studio) -> None:
    mesh, painting = studio.inputs / "a" / "cube.obj", studio.inputs / "b" / "brush.jpg"
    for path, source in ((mesh, None), (painting, STYLES / "brush.jpg")):
        path.parent.mkdir(parents=True)
        path.write_bytes(source.read_bytes() if source else CUBE.encode())
    options = {"mesh": str(mesh), "style": [str(painting)], "texture_size": 64, "style_scale": 5.0, "steps": 7}
    make_result(studio.jobs.folder / "one", **options, direction="around:x", only="none")
    make_result(studio.jobs.folder / "two")
    here = Session()
    studio.changes(here)
    studio.choose(here, here.listed.index("one"))
    filled = studio.again(here)
    assert filled["texture_size"]["value"] in [value for _, value in filled["texture_size"]["choices"]]
    assert filled["direction"]["value"] in [value for _, value in filled["direction"]["choices"]]
    assert filled["only"]["value"] == ["none"]
    assert filled["style_scale"]["maximum"] == 5.0
    assert "steps 7" in studio.changes(here)["others"]["value"]
    studio.preset_chosen(here)
    assert here.others == {}
    studio.choose(here, here.listed.index("two"))
    with pytest.raises(OptionError, match="no longer where it was"):
        studio.again(here)
    studio.compare(here)
    with pytest.raises(OptionError, match="cannot be laid over each other"):
        studio.choose(here, here.listed.index("one"))


def test_errors_do_not_say_where_files_are(studio: Studio) -> None:
    path = studio.inputs / "0123" / "a b.obj"
    assert studio.told(MeshError(f"mesh {path} does not exist")) == "mesh a b.obj does not exist"


# who is answered

OWN = {"host": "127.0.0.1:8090"}


@pytest.mark.parametrize(("headers", "status"), [
    (OWN, 0), (OWN | {"origin": "http://127.0.0.1:8090", "sec-fetch-site": "same-origin"}, 0),
    (OWN | {"sec-fetch-site": "none"}, 0), (OWN | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 0),
    ({"host": "localhost:8090"}, 0), ({}, 403), ({"host": "evil.example"}, 403),
    ({"host": "127.0.0.1.evil.example"}, 403),
    (OWN | {"origin": "http://evil.example"}, 403), (OWN | {"origin": "null"}, 403),
    (OWN | {"origin": "http://127.0.0.1:9"}, 403), (OWN | {"sec-fetch-site": "cross-site"}, 403),
    (OWN | {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),
    (OWN | {"content-length": "9999999"}, 413), (OWN | {"content-length": "-1"}, 413),
])  # fmt: skip
def test_the_page_alone_is_answered(headers: dict[str, str], status: int) -> None:
    scope = {"path": "/", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    refused = refusal(scope, local=True, most_bytes=1 << 20)
    assert (refused[0] if refused else 0) == status
    if headers.get("sec-fetch-site") == "cross-site" and not refused:
        assert refusal(scope | {"path": "/config"}, True, 1 << 20), "a link leads to the page, and to nothing else"


@pytest.mark.parametrize(
    "path", ["/gradio_api/vibe-edit", "/gradio_api/run/x", "/gradio_api/info", "/x", "//", "/live\n"]
)
def test_what_the_page_does_not_ask_for_is_not_there(path: str) -> None:
    refused = refusal({"path": path, "headers": [(b"host", b"127.0.0.1")]}, True, 1)
    assert refused is not None
    assert refused[0] == 404


def test_headers_that_come_twice_are_refused_and_names_of_others_where_all_may_come() -> None:
    twice = [(b"host", b"127.0.0.1"), (b"host", b"127.0.0.1")]
    assert refusal({"path": "/", "headers": twice}, True, 1)
    assert refusal({"path": "/", "headers": [(b"host", b"studio.example")]}, False, 1) is None
    assert refusal({"path": "/", "headers": [(b"host", b"studio.example"), (b"origin", b"http://a")]}, False, 1)


def test_a_body_of_unknown_size_has_a_limit() -> None:
    seen: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            seen.append(len(message["body"]))
        await send({"type": "http.response.start", "status": 400, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1")]
    asyncio.run(guarded(app, True, 350)({"type": "http", "path": "/", "headers": headers}, receive, send))
    assert seen == [100, 100, 100]
    assert b"frame-ancestors 'self'" in dict(sent[0]["headers"])[b"content-security-policy"]


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    check_one_line(["studio", "--dir", str(tmp_path)], "pip install 'texopt[studio]'", capsys)


def test_a_host_that_is_not_this_machine_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    check_one_line(["studio", "--dir", str(tmp_path), "--host", "no.such.host.invalid"], "cannot listen", capsys)


def test_events_are_what_the_remote_says() -> None:
    """The names in Run.hear are those of texopt.cli.remote."""
    code = (Path(texopt.__file__).parent / "cli" / "remote.py").read_text()
    for event in ("begin", "step", "textures", "paused", "end", "error"):
        assert f'"{event}"' in code, event


def test_only_files_that_were_dropped_are_taken(tmp_path: Path) -> None:
    here = [tmp_path / "dropped"]
    there = str(tmp_path / "dropped" / "a.obj")
    for path, strange in (
        (there, False), (str(tmp_path / "a.obj"), True), (str(tmp_path / "dropped" / ".." / "a.obj"), True),
        ("http://127.0.0.1/a.obj", True), ("a.obj", True), (3, True),
    ):  # fmt: skip
        assert guard.strange_file({"data": [None, [{"image": {"path": path}}], 0.5]}, here) == strange
    answered: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        answered.append(json.loads((await receive())["body"]))

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    def ask(body: bytes) -> None:
        parts = [
            {"type": "http.request", "body": part, "more_body": not end} for part, end in ((body, False), (b"", True))
        ]

        async def receive() -> Any:
            return parts.pop(0)

        scope = {"type": "http", "path": guard.JOIN, "headers": []}
        asyncio.run(guard.taking_dropped_files(app, here)(scope, receive, send))

    asked = {"data": [{"path": there}]}
    ask(json.dumps(asked).encode())
    assert answered == [asked]
    assert sent == []
    for body in (b'{"data": [{"path": "/etc/passwd"}]}', b"no json", b"[" * 100_000, b" " * (guard.LONGEST + 1)):
        ask(body)
    assert [message["status"] for message in sent if "status" in message] == [403, 403, 403, 413]
    assert len(answered) == 1


def test_results_that_nobody_can_read_harm_no_other(tmp_path: Path) -> None:
    for name, size in (("good", (64, 16)), ("tiny", (1, 1))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("mesh: a.obj\nstyle: [b.jpg]\n")  # a preset may be left out
        Image.new("RGB", size).save(tmp_path / name / "preview.png")
    (tmp_path / "line\nend").mkdir()
    (tmp_path / "line\nend" / "config.yaml").write_text("mesh: a.obj\nstyle: [b.jpg]\n")
    found = history.History(tmp_path).results()
    assert sorted(one.name for one in found) == ["good", "tiny"]
    for one in found:
        assert history.thumbnail(one).width > 0
        assert form.described(one.values) == ""
    os.utime(tmp_path / "good" / "preview.png", (0, 0))  # before the first that a .zip can have
    with (tmp_path / "all.zip").open("wb") as file:
        history.archive(next(one for one in found if one.name == "good"), file)
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert "good/preview.png" in packed.namelist()


def test_inputs_that_somebody_has_changed_are_kept_anew(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 32), (1, 2, 3)).save(picture)
    kept = uploads.add_picture(picture, tmp_path / "inputs")
    kept.write_bytes(b"")
    assert uploads.add_picture(picture, tmp_path / "inputs") == kept
    assert kept.read_bytes() == picture.read_bytes()
