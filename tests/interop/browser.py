"""Headless Chromium, driven through its DevTools protocol over a pipe: no driver and no port is needed.

    with Browser() as browser:
        page = browser.open(Path("viewer.html").absolute().as_uri())
        before = page.screenshot()
        page.drag((200, 200), (300, 200))
        assert page.screenshot() != before and not page.messages and page.hosts() == {""}

The protocol: https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import base64
import io
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

FLAGS = (
    *("--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--mute-audio", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync"),
    *("--disable-quic", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
TIMEOUT = 900.0  # seconds for one answer: a loaded machine draws WebGL slowly without a graphics card
Point = tuple[float, float]


class BrowserError(Exception):
    """The browser died, did not answer, or a page's script failed."""


@dataclass
class Page:
    """A tab. What went on in it since it was opened:

    messages: of the console and of the browser about the page, as "level: text"; its uncaught errors are "error: ...".
    requests: the URL of everything that it asked for, itself first. failed: those that it did not get, with the reason.
    """

    browser: Browser
    session: str
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    loaded: bool = False
    _urls: dict[str, str] = field(default_factory=dict)

    def hosts(self) -> set[str]:
        """The hosts that were asked, with their ports; "" for files, and what is in the page itself is not counted."""
        parts = [urlsplit(url) for url in self.requests]
        return {part.netloc for part in parts if part.scheme not in ("data", "blob")}

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **params)

    def wait(self, seconds: float) -> None:
        """Let the page run."""
        self.browser.listen(time.monotonic() + seconds)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for. BrowserError where it throws."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script[:80]}: {_exception(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = TIMEOUT) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({script})"):
            if time.monotonic() > end:
                raise BrowserError(f"{script} is not true after {seconds:g} s; the page says: {self.messages}")
            self.wait(0.1)

    def resize(self, width: int, height: int) -> None:
        """Pixels of the visible part, one of the screen for one of CSS."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def frame(self) -> None:
        """Wait until the page has drawn twice, so that what scripts changed is on the screen."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def screenshot(self) -> Image.Image:
        """The visible part, RGB."""
        self.frame()
        data = base64.b64decode(self.send("Page.captureScreenshot", format="png", optimizeForSpeed=True)["data"])
        return Image.open(io.BytesIO(data)).convert("RGB")

    def drag(self, start: Point, end: Point, steps: int = 8, button: str = "left") -> None:
        """Press the mouse at a point (x, y) of the visible part, in CSS pixels, move it in a line, and let go."""
        mouse = partial(self.send, "Input.dispatchMouseEvent")
        mouse(type="mouseMoved", x=start[0], y=start[1])
        mouse(type="mousePressed", x=start[0], y=start[1], button=button, buttons=1, clickCount=1)
        for step in range(1, steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            mouse(type="mouseMoved", x=x, y=y, button=button, buttons=1)
            self.frame()
        mouse(type="mouseReleased", x=end[0], y=end[1], button=button, buttons=0, clickCount=1)

    def wheel(self, at: Point, down: float) -> None:
        """Turn the wheel by so many CSS pixels over a point."""
        self.send("Input.dispatchMouseEvent", type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=down)

    def close(self) -> None:
        self.send("Page.close")

    def _heard(self, event: str, data: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled":
            texts = [str(value.get("value", value.get("description", ""))) for value in data["args"]]
            self.messages.append(f"{data['type']}: {' '.join(texts)}")
        elif event == "Runtime.exceptionThrown":
            self.messages.append(f"error: {_exception(data['exceptionDetails'])}")
        elif event == "Log.entryAdded":
            entry = data["entry"]
            if "GL Driver Message" in entry["text"]:  # the software driver's, on what screenshots cost
                return
            self.messages.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}".rstrip())
        elif event == "Network.requestWillBeSent":
            self._urls[data["requestId"]] = data["request"]["url"]
            self.requests.append(data["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(data["url"])
        elif event == "Network.loadingFailed":
            self.failed.append(f"{self._urls.get(data['requestId'], '?')}: {data['errorText']}")
        elif event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Inspector.targetCrashed":
            raise BrowserError(f"the page crashed; before that it said: {self.messages}")


def _exception(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details["text"]))


class Browser:
    """A Chromium with a profile of its own, which ends with the `with` block."""

    def __init__(self, program: str = "chromium") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="texopt-chromium-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log")
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        # the protocol's descriptors are 3 for commands and 4 for answers, which only a shell can say
        shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash"]
        arguments = [program, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}/profile"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*shell, *arguments, "about:blank"], pass_fds=(commands, answers), stdout=log, stderr=log
            )
        os.close(commands)
        os.close(answers)
        self._count, self._buffer = 0, b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def open(self, url: str, size: tuple[int, int] = (800, 600)) -> Page:
        """A new tab of size (width, height) in which a URL is loaded, with all that its HTML names.

        The page is told that motion is not wanted (prefers-reduced-motion), so that its pictures can be compared.
        """
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "Inspector"):
            page.send(f"{domain}.enable")
        page.resize(*size)
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        answer = page.send("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        end = time.monotonic() + TIMEOUT
        while not page.loaded:
            if time.monotonic() > end:
                raise BrowserError(f"{url} is not loaded after {TIMEOUT:g} s; the page says: {page.messages}")
            page.wait(0.05)
        return page

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._count += 1
        number = self._count
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        rest = memoryview(json.dumps(message).encode() + b"\0")
        while rest:
            rest = rest[os.write(self._out, rest) :]
        end = time.monotonic() + TIMEOUT
        while number not in self._answers:
            if time.monotonic() > end:
                raise BrowserError(f"{method}: no answer in {TIMEOUT:g} s")
            self._receive(1.0)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def listen(self, end: float) -> None:
        """Take in events until that time of the monotonic clock."""
        while (left := end - time.monotonic()) > 0:
            self._receive(left)

    def _receive(self, seconds: float) -> None:
        if not select.select([self._in], [], [], seconds)[0]:
            return
        data = os.read(self._in, 1 << 20)
        if not data:
            raise BrowserError(f"chromium ended: {self._log.read_text(errors='replace')[-2000:]}")
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif page := self._pages.get(message.get("sessionId", "")):
                page._heard(message["method"], message["params"])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP, on this computer only: yields http://127.0.0.1:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def check_turns(page: Page) -> None:
    """What the page shows stands still until the mouse is dragged over its middle, and is not of one colour."""
    before = np.asarray(page.screenshot()).astype(int)
    page.wait(0.3)
    assert np.array_equal(np.asarray(page.screenshot()), before)
    height, width = before.shape[:2]
    page.drag((width / 2, height / 2), (0.75 * width, 0.55 * height))
    changed = np.abs(np.asarray(page.screenshot()) - before).max(-1) > 8
    assert changed.mean() > 0.02
    assert len(np.unique(before.reshape(-1, 3), axis=0)) > 50
