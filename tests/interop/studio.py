"""The studio as a process of its own, and a page of it as a person uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from interop.browser import Browser, BrowserError, Page

MESHES = Path(__file__).parents[2] / "meshes"
DESK, PHONE = (1280, 900), (390, 844)


class Studio:
    """`texopt studio` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "texopt", "studio", "--port", "0", "--dir", str(self.folder)],
            stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stderr is not None
        self.said = ""
        for line in self.process.stderr:
            self.said += line
            if line.startswith("studio: "):
                self.url = line.split()[1]
                return
        self.process.communicate()
        raise AssertionError(self.said)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.communicate(timeout=120)[1]
        assert self.process.returncode == 0, self.said
        assert "Traceback" not in self.said, self.said

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def open_studio(browser: Browser, studio: Studio, size: tuple[int, int] = DESK) -> Page:
    page = browser.open(studio.url, size)
    page.wait_for("document.querySelector('#view .hint, #view iframe') && document.querySelector('#mesh-drop input')")
    page.wait(1.0)  # the first look at the run
    return page


def click(page: Page, label: str) -> None:
    """Press a button that can be seen and used."""
    found = (
        f"[...document.querySelectorAll('button')].find(one => one.innerText.trim() === {label!r} && one.offsetParent"
    )
    page.wait_for(f"{found} && !one.disabled)", 60)
    page.evaluate(f"{found}).click()")


def says(page: Page, text: str, seconds: float = 120) -> None:
    page.wait_for(f"document.body.innerText.includes({text!r})", seconds)


def drop(page: Page, place: str, *files: Path) -> None:
    """Drag files from elsewhere onto a part of the page."""
    page.evaluate(f"document.querySelector({place!r}).scrollIntoView({{block: 'center'}})")
    box = page.evaluate(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
        f"(document.querySelector({place!r}).getBoundingClientRect())"
    )
    data = {"items": [], "files": [str(path) for path in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.send("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)


def choose(page: Page, label: str, value: str) -> None:
    """Choose a value of a list; once more where the page was busy with an answer of the server and missed it."""
    field = f"document.querySelector('input[aria-label=\"{label}\"]')"
    option = (
        f"[...document.querySelectorAll('ul[role=listbox] li')].find(one => one.innerText.trim().endsWith({value!r}))"
    )
    for attempt in range(5):
        page.evaluate(f"{field}.blur()")
        page.evaluate(f"{field}.focus()")
        page.wait_for(option, 30)
        page.evaluate(f"{option}.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}}))")
        try:
            page.wait_for(f"{field}.value === {value!r}", 5 if attempt < 4 else 30)
        except BrowserError:
            if attempt == 4:
                raise
        else:
            return


def quick(page: Page) -> None:
    """Options with which a run takes seconds."""
    choose(page, "Preset", "draft")
    page.evaluate("document.querySelector('#more button').click()")
    choose(page, "Texture size", "256")


def has_mesh(page: Page, name: str) -> None:
    """Wait until a mesh has been read."""
    page.wait_for(f"document.querySelector('#mesh-text')?.innerText.includes({name!r})", 120)
