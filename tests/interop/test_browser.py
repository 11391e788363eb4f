"""The helper that opens pages in Chromium sees what they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.browser import Browser, BrowserError, check_turns, served
from interop.programs import need

DRAWS = """<!doctype html><link rel="icon" href="data:,"><style>body { margin: 0 }</style>
<canvas width="400" height="300"></canvas>
<script>
const pen = document.querySelector('canvas').getContext('2d');
let turn = 0;
function draw() {
  for (let x = 0; x < 400; x += 2) { pen.fillStyle = `hsl(${x + turn} 90% 50%)`; pen.fillRect(x, 0, 2, 300); }
}
draw();
MOVES
</script>"""
MOVES = "addEventListener('mousemove', (event) => { if (event.buttons) { turn += event.movementX; draw(); } });"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need("chromium", "bash")
    with Browser() as browser:
        yield browser


def write(folder: Path, html: str) -> str:
    """The URL of a page."""
    path = folder / "page.html"
    path.write_text(html)
    return path.as_uri()


def test_a_drag_turns_what_listens_to_it(browser: Browser, tmp_path: Path) -> None:
    page = browser.open(write(tmp_path, DRAWS.replace("MOVES", MOVES)), (400, 300))
    check_turns(page)
    assert page.messages == page.failed == []
    assert page.hosts() == {""}


@pytest.mark.parametrize("moves", ["", "document.body.innerText = ''", "setInterval(() => { turn++; draw(); }, 10)"])
def test_what_does_not_turn_is_noticed(browser: Browser, tmp_path: Path, moves: str) -> None:
    page = browser.open(write(tmp_path, DRAWS.replace("MOVES", moves)), (400, 300))
    with pytest.raises(AssertionError):
        check_turns(page)


def test_messages_errors_and_requests_are_heard(browser: Browser, tmp_path: Path) -> None:
    script = "console.warn('a', 1); fetch('/missing.json'); setTimeout(() => { throw new Error('broken') })"
    write(tmp_path, f'<link rel="icon" href="data:,"><script>{script}</script>')
    with served(tmp_path) as url:
        page = browser.open(f"{url}/page.html")
        page.wait(0.3)
    assert page.requests[0] == f"{url}/page.html"
    assert f"{url}/missing.json" in page.requests
    assert page.hosts() == {url.removeprefix("http://")}
    assert page.messages[0] == "warning: a 1"
    assert any(message.startswith("error: Error: broken") for message in page.messages)
    assert any("404" in message for message in page.messages)


def test_failures_are_raised(browser: Browser, tmp_path: Path) -> None:
    with pytest.raises(BrowserError, match="ERR_FILE_NOT_FOUND"):
        browser.open((tmp_path / "none.html").as_uri())
    page = browser.open(write(tmp_path, "<p>"))
    with pytest.raises(BrowserError, match="nothing is not defined"):
        page.evaluate("nothing")
    assert page.evaluate("Promise.resolve([1, {a: 'b'}])") == [1, {"a": "b"}]
