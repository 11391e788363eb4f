"""What the page says, as HTML: of the mesh, of the run, of a result. Texts from outside are escaped here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote

from texopt.cli.studio.form import described, listed_words
from texopt.cli.studio.history import Result
from texopt.cli.studio.jobs import Run
from texopt.cli.studio.views import MeshView

HINT = (
    '<div class="hint"><p>Drop a mesh and a painting.</p>'
    "<p>The mesh gets the painting's style, and you can watch it.</p></div>"
)
WIDTH, HEIGHT = 120, 30  # of a curve
STATES = {
    "waiting": "waits", "starting": "reading the inputs", "running": "", "paused": "paused",
    "stopping": "stopping, and writing what there is",
}  # fmt: skip


def frame(address: str, title: str, parts: dict[str, int] | None = None) -> str:
    """A page of a mesh in the page. parts: of the run, whose textures are sent there."""
    data = f' data-parts="{escape(json.dumps(parts))}"' if parts else ""
    return (
        f'<iframe src="{escape(address)}" title="{escape(title)}" sandbox="allow-scripts" '
        f'allow="fullscreen"{data}></iframe>'
    )


def mesh_text(view: MeshView | None) -> str:
    """What the mesh is, and what is unusual about it."""
    if view is None:
        return ""
    remarks = "".join(f"<li>{escape(line)}</li>" for line in view.remarks[:4])
    return f"<p><b>{escape(view.name)}</b> · {escape(view.described)}</p>" + (f"<ul>{remarks}</ul>" if remarks else "")


def notice(text: str) -> str:
    """What went wrong."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def run_text(run: Run | None, waiting: Sequence[Run]) -> str:
    """How far the run is, its losses, and what comes after it. Nothing of one that has ended well."""
    if run is None or (run.over and run.state != "failed"):
        return ""
    if run.state == "failed":
        return f'<div class="run failed"><p><b>{escape(run.title)}</b></p>{notice(run.text)}</div>'
    share = run.step / run.steps if run.steps else 0.0
    state = STATES[run.state]
    if run.state == "running" or (run.state == "paused" and run.steps):
        state = ", ".join(filter(None, (f"step {run.step} of {run.steps}", state or _left(run))))
    lines = "".join(f"<p>{escape(text)}</p>" for text in run.warnings[:3])
    after = f"<p>Next: {escape('; '.join(one.title for one in waiting))}</p>" if waiting else ""
    return (
        f'<div class="run"><p><b>{escape(run.title)}</b><span>{escape(state)}</span></p>'
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share:.0%}" '
        f'aria-label="Progress"><div style="width: {share:.1%}"></div></div>'
        f'<div class="losses">{_curves(run)}</div>{lines}{after}</div>'
    )


def _left(run: Run) -> str:
    if not run.speed:
        return ""
    seconds = (run.steps - run.step) / run.speed
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _curves(run: Run) -> str:
    """A small picture of every loss over the steps, with its last value."""
    if len(run.curve) < 2:
        return ""
    found = []
    for name, last in run.curve[-1][1].items():
        points = [(step, terms[name]) for step, terms in run.curve if name in terms]
        low, high = min(value for _, value in points), max(value for _, value in points)
        scale, first = (HEIGHT - 2) / ((high - low) or 1.0), points[0][0]
        wide = WIDTH / max(points[-1][0] - first, 1)
        drawn = " ".join(
            f"{wide * (step - first):.1f},{HEIGHT - 1 - (value - low) * scale:.1f}"
            for step, value in points[:: -(-len(points) // 200)]
        )
        found.append(
            f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
            f'<polyline points="{drawn}"/></svg><figcaption>{escape(name)} {last:.3g}</figcaption></figure>'
        )
    return "".join(found)


def result_text(result: Result) -> str:
    """What a result is."""
    then = datetime.fromtimestamp(result.changed)
    when = f"{then.day} {then:%b %Y, %H:%M}"
    about = " · ".join(filter(None, (described(result.values), "stopped" if result.stopped else "", when)))
    return f"<p><b>{escape(result.title)}</b><span>{escape(about)}</span></p>"


def links(result: Result) -> str:
    """Its files."""
    files = f"/download/{quote(result.name, safe='')}"
    found = f'<a href="{files}/all.zip" download>Download .zip</a>'
    if result.glb is not None:
        found += f'<a href="{files}/model.glb" download>Download .glb</a>'
    return found


def others_text(others: Mapping[str, Any]) -> str:
    """Options of a run that the form does not have."""
    return f"<p>And as that run had it: {escape(listed_words(others))}.</p>" if others else ""


def caption(result: Result) -> str:
    """Below a thumbnail."""
    about = described(result.values)
    return f"{result.title} · {about}" if about else result.title
