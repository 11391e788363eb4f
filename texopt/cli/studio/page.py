"""What the page shows, and what happens when somebody uses it. Its parts and where they are: texopt.cli.studio.layout.

What a browser shows follows from its `Session` and from the runs, in `Studio.looks`; what has changed since the last
time is sent. So a page that is loaded again, or in another browser, shows the same.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from texopt.cli.demo import demo_inputs
from texopt.cli.options.saved import field_values
from texopt.cli.studio import form, history, looks, uploads
from texopt.cli.studio.jobs import Jobs, Run
from texopt.cli.studio.views import MeshView, Views
from texopt.errors import OptionError, TexoptError

SHOWN = tuple(name for name in form.OFFERED if name != "mask")  # whose values are as the form has them
COMPARE = ("Compare", "Click another result, or here to cancel", "End comparing")
MESH, RUN, RESULT = "mesh", "run", "result"  # what is shown


@dataclass(eq=False)
class Session:
    """What one browser has on its page.

    mesh: as options name it, with its view; paintings and mask are in the browser. others: options that the form does
    not have, of the run that this one shall be like. shown: the mesh, the run, or the result `result`, beside `other`
    if there is one. comparing: whether that is chosen next. listed: names of the results that the browser has. sent:
    the properties of each part that it has been sent.
    """

    mesh: dict[str, Any] | None = None
    view: MeshView | None = None
    view_name: str = ""
    others: dict[str, Any] = field(default_factory=dict)
    shown: str = ""
    result: str = ""
    comparing: bool = False
    other: str = ""
    notice: str = ""
    listed: list[str] = field(default_factory=list)
    sent: dict[str, Any] = field(default_factory=dict)


class Studio:
    """What the page's parts do. Every method that a part calls returns what has changed."""

    def __init__(self, gradio: ModuleType, jobs: Jobs, views: Views, found: history.History, temporary: Path) -> None:
        self.gradio, self.jobs, self.views, self.history = gradio, jobs, views, found
        self.inputs = jobs.folder / uploads.INPUTS
        self.temporary = temporary
        self._reading: WeakKeyDictionary[Session, threading.Lock] = WeakKeyDictionary()

    def reading(self, session: Session) -> threading.Lock:
        """Held while a browser's inputs change, so that a run that is started meanwhile has the new ones."""
        return self._reading.setdefault(session, threading.Lock())

    # what there is

    def results(self) -> list[history.Result]:
        """All results but the one that is being made."""
        return self.history.results(self.jobs.running.folder if self.jobs.running else None)

    def thumbnail(self, result: history.Result) -> str:
        """A file with a picture of a result."""
        key = hashlib.sha256(f"{result.folder}{result.changed}".encode()).hexdigest()[:16]
        path = self.temporary / f"{key}.webp"
        if not path.is_file():
            history.thumbnail(result).save(path, quality=90)
        return str(path)

    # what a browser shows

    def looks(self, session: Session) -> dict[str, dict[str, Any]]:
        """The properties of every part."""
        run, waiting = self.jobs.running, self.jobs.waiting
        self._follow(session)
        told = self.told(looks.run_text(self.jobs.last, waiting))
        result = self._shown_result(session)
        results = self.results()
        session.listed = [one.name for one in results]
        selected = session.listed.index(session.result) if result and session.result in session.listed else None
        return {
            "view": {"value": self._frame(session, result)},
            "mesh_text": {"value": looks.mesh_text(session.view), "visible": session.view is not None},
            "notice": {"value": looks.notice(session.notice), "visible": bool(session.notice)},
            "run": {"visible": bool(told)},
            "run_text": {"value": told},
            "run_buttons": {"visible": run is not None},
            "pause": {
                "value": "Go on" if run and run.state == "paused" else "Pause",
                "interactive": bool(run and run.state in ("running", "paused")),
            },
            "stop": {"interactive": bool(run and run.state != "stopping")},
            "watch": {"visible": run is not None and session.shown != RUN},
            "remove": {"visible": bool(waiting)},
            "result": {"visible": result is not None},
            "result_text": {"value": looks.result_text(result) if result else ""},
            "links": {"value": looks.links(result) if result else ""},
            "go_on": {"visible": bool(result and result.stopped)},
            "compare": {
                "visible": len(results) > 1,
                "value": COMPARE[2] if session.other else COMPARE[session.comparing],
            },
            "results": {
                "value": [(self.thumbnail(one), looks.caption(one)) for one in results], "selected_index": selected,
                "visible": bool(results),
            },
            "others": {"value": looks.others_text(session.others), "visible": bool(session.others)},
            "start": {"value": "Start" if run is None else "Start next"},
            "demo": {"visible": session.view is None},
        }  # fmt: skip

    def _follow(self, session: Session) -> None:
        """Show the result of the run that was watched, when there is one."""
        last = self.jobs.last
        if session.shown == RUN and self.jobs.running is None and last is not None:
            there = last.state in ("finished", "stopped") and last.folder is not None
            session.shown, session.result = (RESULT, last.folder.name) if there and last.folder else (MESH, "")

    def _shown_result(self, session: Session) -> history.Result | None:
        if session.shown != RESULT:
            return None
        return next((one for one in self.results() if one.name == session.result), None)

    def _frame(self, session: Session, result: history.Result | None) -> str:
        run = self.jobs.running
        if result is not None and not (result.folder / history.VIEWER).is_file():  # its process was killed
            return self._mesh_frame(result.values, result.title)
        if result is not None:
            places = [quote(name, safe="") for name in (result.name, session.other) if name]
            return looks.frame(f"/view/result/{'/'.join(places)}?{result.changed:.0f}", result.title)
        if session.shown == RUN and run is not None:
            return self._mesh_frame(self._values_of(run), run.title)
        if session.view is not None:
            return looks.frame(f"/view/mesh/{session.view_name}", session.view.name)
        return looks.HINT

    def _mesh_frame(self, values: Mapping[str, Any], title: str) -> str:
        try:
            name, view = self.views.add(values)
        except (TexoptError, OSError):  # the run says why
            return looks.HINT
        return looks.frame(f"/view/mesh/{name}", title, view.parts)

    def _values_of(self, run: Run) -> dict[str, Any]:
        """The options of a run that may not be one of the results yet."""
        if run.values is not None:
            return field_values("style", run.values, "the run")
        return self.history.find(run.folder.name).values if run.folder else {}

    def changes(self, session: Session) -> dict[str, Any]:
        """What the browser has to be sent."""
        now = self.looks(session)
        found = {name: self.gradio.update(**props) for name, props in now.items() if session.sent.get(name) != props}
        session.sent = now
        return found

    def told(self, error: Exception | str) -> str:
        """What is wrong, without where files are on this machine."""
        text = str(error)
        for folder in (self.inputs, self.temporary, self.jobs.folder):
            text = re.sub(rf"{re.escape(str(folder))}[/\\](\S+[/\\])*", "", text)
        return text

    # what people do

    def loaded(self, session: Session) -> dict[str, Any]:
        """The page has been loaded: it shows the run, or else the latest result."""
        filled: dict[str, Any] = {}
        last, found = self.jobs.running, self.results()
        if last is not None:
            session.shown = RUN
            filled = self._fill(session, self._values_of(last))
        elif found:
            session.shown, session.result = RESULT, found[0].name
            filled = self._fill(session, found[0].values)
        return filled | self.changes(session)

    def mesh_dropped(self, session: Session, files: list[str] | None) -> dict[str, Any]:
        """A mesh, or what belongs to the one that is there."""
        with self.reading(session):
            beside = Path(session.mesh["mesh"]) if session.mesh else None
            path = uploads.add_mesh(map(Path, files or []), self.inputs, beside)
            return self._set_mesh(session, {"mesh": str(path)}) | {"mesh_drop": None}

    def _set_mesh(self, session: Session, values: Mapping[str, Any]) -> dict[str, Any]:
        session.view_name, session.view = self.views.add(values)
        session.mesh, session.shown, session.notice = dict(values), MESH, ""
        materials = session.view.materials
        update = self.gradio.update
        return {"only": update(choices=list(materials), value=[]), "where": update(choices=_parts(materials), value=[])}

    def demo(self, session: Session) -> dict[str, Any]:
        """The bundled creature and brush strokes."""
        with self.reading(session):
            mesh, painting = map(Path, demo_inputs())
            files = [path for path in mesh.parent.glob(f"{mesh.stem}.*") if path.suffix in (".obj", ".mtl", ".png")]
            kept = uploads.add_mesh(files, self.inputs)
            return self._set_mesh(session, {"mesh": str(kept)}) | {
                "paintings": [str(uploads.add_picture(painting, self.inputs))]
            }

    def preset_chosen(self, session: Session) -> dict[str, Any]:
        """A preset stands for all that the form does not have."""
        session.others = {}
        return {}

    def start(
        self, session: Session, paintings: list[tuple[str, Any]] | None, mask: str | None, *values: Any
    ) -> dict[str, Any]:
        """Run with what is on the page."""
        with self.reading(session):
            if session.mesh is None:
                raise OptionError("there is no mesh yet; drop one, or try the creature")
            if not paintings:
                raise OptionError("there is no painting yet; drop one")
            kept = tuple(uploads.add_picture(Path(path), self.inputs) for path, _ in paintings)
            shown = dict(zip(SHOWN, values, strict=True)) | {"mask": None}
            if mask:
                shown["mask"] = uploads.add_picture(Path(mask), self.inputs)
            options = form.options(Path(session.mesh["mesh"]), kept, shown, session.others)
            if not options["format"]:
                raise OptionError("no file would be written; choose obj, glb or png")
            busy = self.jobs.running is not None
            run = self.jobs.add(history.title(options), options)
            session.notice = ""
            if not busy:
                session.shown = RUN
            else:
                session.notice = f"{run.title} comes next."
            return {}

    def pause(self, session: Session) -> dict[str, Any]:
        self.jobs.pause()
        return {}

    def stop(self, session: Session) -> dict[str, Any]:
        self.jobs.stop()
        return {}

    def watch(self, session: Session) -> dict[str, Any]:
        session.shown = RUN
        return {}

    def remove(self, session: Session) -> dict[str, Any]:
        self.jobs.forget_waiting()
        return {}

    def choose(self, session: Session, index: int) -> dict[str, Any]:
        """A result of the history."""
        name = session.listed[index]
        if session.comparing and session.shown == RESULT and name != session.result:
            history.compared(self.history.find(session.result), self.history.find(name))  # says what cannot be
            session.other = name
        else:
            session.shown, session.result, session.other = RESULT, name, ""
        session.comparing, session.notice = False, ""
        return {}

    def compare(self, session: Session) -> dict[str, Any]:
        """Lay the result that is chosen next over this one."""
        session.comparing, session.other = not session.comparing and not session.other, ""
        return {}

    def again(self, session: Session) -> dict[str, Any]:
        """Fill the form with the options of the result that is shown."""
        with self.reading(session):
            result = self.history.find(session.result)
            missing = [path for path in (result.values["mesh"], *result.values["style"]) if not Path(path).is_file()]
            if missing:
                raise OptionError(f"{Path(missing[0]).name} is no longer where it was; drop it again")
            filled = self._fill(session, result.values)
            session.shown = MESH
            session.notice = "The options are those of the result: change what you like, then start."
            return filled

    def go_on(self, session: Session) -> dict[str, Any]:
        """Go on with a run that was stopped."""
        result = self.history.find(session.result)
        busy = self.jobs.running is not None
        self.jobs.go_on(result.title, result.folder)
        session.shown = session.shown if busy else RUN
        return {}

    def _fill(self, session: Session, values: Mapping[str, Any]) -> dict[str, Any]:
        """The form with the options of a run, and its inputs; where those are gone, without."""
        shown_before = session.shown
        found, others = form.shown(values)
        filled: dict[str, Any] = {name: found[name] for name in ("preset", "keep_colors")}
        filled["format"] = list(found["format"])
        try:
            filled |= self._set_mesh(session, {"mesh": str(values["mesh"])})
            paintings = [uploads.add_picture(Path(path), self.inputs) for path in values["style"]]
            filled["paintings"] = [str(path) for path in paintings]
            single = found["mask"] and Path(found["mask"]).is_file()
            filled["mask"] = str(uploads.add_picture(Path(found["mask"]), self.inputs)) if single else None
            if found["mask"] and not single:
                session.notice = "The masks of this run are for single materials, or gone; they are left out here."
        except (TexoptError, OSError) as error:
            session.notice = self.told(error)
        session.shown, session.others = shown_before, others
        update = self.gradio.update
        materials = session.view.materials if session.view else ()
        choices: dict[str, list[Any]] = {
            "only": list(materials), "where": _parts(materials), "direction": list(form.DIRECTIONS),
            "texture_size": list(form.SIZES),
        }  # fmt: skip
        for name, usual in choices.items():  # and what the run had
            chosen = list(found[name]) if isinstance(found[name], tuple) else found[name]
            more = [one for one in (chosen if isinstance(chosen, list) else [chosen]) if one not in usual]
            filled[name] = update(choices=form.choices(name, [*usual, *more]), value=chosen)
        for name, (low, high) in form.RANGES.items():
            filled[name] = update(minimum=min(low, found[name]), maximum=max(high, found[name]), value=found[name])
        return filled


def _parts(materials: Sequence[str]) -> list[str]:
    return [*materials, *(f"not {name}" for name in materials)]
