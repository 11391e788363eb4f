"""The studio in a browser, as a person uses it: drop, start, watch, stop, go on, compare, download; who is refused."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import texopt
from interop.browser import Browser, Page
from interop.programs import need
from interop.studio import MESHES, PHONE, Studio, click, drop, has_mesh, open_studio, quick, says
from texopt.cli.options.saved import from_yaml

STREAMS = ("/queue/data", "/heartbeat", "/upload_progress", "/live/")  # that are closed early

# gradio's, of what is dropped; Chromium's without a graphics card, on reading what WebGL has drawn
EXPECTED = (
    "log:",
    "info:",
    "warning: Method not implemented",
    "warning: [.WebGL",
    "warning: Canvas2D: Multiple readback",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need("chromium")
    pytest.importorskip("gradio")
    with Browser() as browser:
        yield browser


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio")
    yield studio
    studio.kill()


def picture(page: Page) -> np.ndarray:
    """What the frame shows, int [H,W,3]."""
    page.evaluate("void scrollTo(0, 0)")
    x, y, width, height = page.evaluate(
        "(box => [box.x, box.y, box.width, box.height].map(Math.round))"
        "(document.querySelector('#view').getBoundingClientRect())"
    )
    return np.asarray(page.screenshot()).astype(int)[y : y + height, x : x + width]


def colors(page: Page) -> int:
    return len(np.unique(picture(page).reshape(-1, 3) // 16, axis=0))


def check_quiet(page: Page, studio: Studio) -> None:
    assert [text for text in page.messages if not text.startswith(EXPECTED)] == []
    assert page.hosts() == {studio.url.removeprefix("http://")}
    # gradio closes its streams when it has what it asked for; a texture may go before it is fetched
    assert [text for text in page.failed if not any(one in text for one in STREAMS)] == []


def fetch(url: str, data: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def status(url: str, data: bytes | None = None, **headers: str) -> int:
    """The status of an answer that is a refusal."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(url, data, **headers)
    refused.value.close()
    return refused.value.code


def test_drop_start_watch_stop_download(browser: Browser, studio: Studio, tmp_path: Path) -> None:
    page = open_studio(browser, studio)
    says(page, "Drop a mesh and a painting.")
    click(page, "Start")
    says(page, "there is no mesh yet")
    drop(page, "#mesh-drop button", *(MESHES / f"teapot.{ending}" for ending in ("obj", "mtl", "png")))
    has_mesh(page, "teapot.obj")
    drop(page, "#paintings button", MESHES / "styles" / "mosaic.jpg")
    page.wait_for("document.querySelector('#paintings img')")
    page.wait_for("document.querySelector('#view iframe')")
    page.wait(1.0)
    before = picture(page)
    assert colors(page) > 20
    quick(page)
    click(page, "Start")
    says(page, "step ")
    page.wait_for(
        "/step [0-9]+ of 100/.test(document.body.innerText) && document.querySelectorAll('.losses polyline').length > 2"
    )
    page.wait_for("parseInt(document.body.innerText.match(/step ([0-9]+) of/)[1]) > 10")
    page.wait(2.5)
    assert np.abs(picture(page) - before).mean() > 3, "the new texture is on it while it is made"

    page.send("Page.reload")  # in the middle of it
    page.wait(1.0)
    says(page, "step ")
    has_mesh(page, "teapot.obj")
    click(page, "Pause")
    says(page, "paused")
    click(page, "Go on")
    click(page, "Stop")
    says(page, "Download .zip")
    says(page, "stopped")
    (result,) = (path for path in studio.folder.iterdir() if path.name != "inputs")
    assert result.name == "teapot_mosaic"
    link = page.evaluate("document.querySelector('a[href$=zip]').href")
    with zipfile.ZipFile(io.BytesIO(fetch(link))) as packed:
        packed.extractall(tmp_path)
    mesh = texopt.load_mesh(tmp_path / "teapot_mosaic" / "teapot.obj")
    assert mesh.maps[0].original.shape == (256, 256, 3)
    assert from_yaml("style", tmp_path / "teapot_mosaic" / "config.yaml")["preset"] == "draft"
    (tmp_path / "model.glb").write_bytes(fetch(page.evaluate("document.querySelector('a[href$=glb]').href")))
    assert len(texopt.load_mesh(tmp_path / "model.glb").faces) == len(mesh.faces)

    click(page, "Go on with this run")
    says(page, "step ")
    page.wait_for("!document.body.innerText.includes('Go on with this run') && document.querySelector('a[href$=zip]')")
    assert not (result / "checkpoint.safetensors").exists()
    check_quiet(page, studio)
    page.close()
    studio.end()


def test_results_of_earlier_days_are_there_to_compare_and_to_repeat(browser: Browser, studio: Studio) -> None:
    studio.end()
    run = [sys.executable, "-m", "texopt", "style", "--preset", "draft", "--texture-size", "64", "--steps", "3"]
    for name, painting in (("one", "brush"), ("two", "mosaic")):
        files = [str(MESHES / "creature.obj"), str(MESHES / "styles" / f"{painting}.jpg")]
        subprocess.run([*run, *files, "--strength", "0.7", "--out", str(studio.folder / name)], check=True)
        time.sleep(0.1)
    studio.start()
    page = open_studio(browser, studio)
    says(page, "creature · mosaic")
    assert page.evaluate("document.querySelectorAll('#results img').length") == 2
    assert page.evaluate("document.querySelectorAll('a[href$=glb]').length") == 0, "the command wrote an OBJ alone"
    page.wait(1.0)
    alone = picture(page)
    click(page, "Compare")
    says(page, "Click another result")
    page.evaluate("document.querySelectorAll('#results button.thumbnail-item')[1].click()")
    says(page, "End comparing")
    page.wait(1.5)
    assert np.abs(picture(page) - alone).mean() > 2
    click(page, "Again with these options")
    says(page, "steps 3")
    page.wait_for("document.querySelector('input[aria-label=\"Preset\"]').value === 'draft'")
    click(page, "Start")
    page.wait_for("document.querySelectorAll('#results img').length === 3")
    made = from_yaml("style", studio.folder / "creature_mosaic" / "config.yaml")
    was = from_yaml("style", studio.folder / "two" / "config.yaml")
    for name in ("steps", "strength", "texture_size", "preset", "learning_rate"):
        assert made[name] == was[name], name
    assert made["style"][0].read_bytes() == was["style"][0].read_bytes()
    check_quiet(page, studio)
    page.close()


def test_what_is_wrong_is_said_in_a_line(browser: Browser, studio: Studio, tmp_path: Path) -> None:
    page = open_studio(browser, studio)
    (tmp_path / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    drop(page, "#mesh-drop button", tmp_path / "broken.obj")
    page.wait_for("document.querySelector('#notice p')")
    text = page.evaluate("document.querySelector('#notice').innerText")
    assert "broken.obj" in text
    assert str(studio.folder) not in text
    with zipfile.ZipFile(tmp_path / "outside.zip", "w") as packed:
        packed.writestr("../../outside.obj", (MESHES / "teapot.obj").read_text())
    drop(page, "#mesh-drop button", tmp_path / "outside.zip")
    says(page, "a file cannot be named '..'")
    assert not list(tmp_path.rglob("outside.obj"))
    click(page, "Try the creature")
    has_mesh(page, "creature.obj")
    assert page.evaluate("document.querySelector('#notice p')") is None
    check_quiet(page, studio)
    page.close()


def test_on_a_phone_nothing_is_wider_than_the_page(browser: Browser, studio: Studio) -> None:
    page = open_studio(browser, studio, PHONE)
    click(page, "Try the creature")
    page.wait_for("document.querySelector('#view iframe')")
    quick(page)
    click(page, "Start")
    says(page, "step ")
    page.wait(1.0)
    assert page.evaluate("scrollY") == 0, "the picture is on the screen"
    for place in ("#view", "#run"):
        top, bottom = page.evaluate(
            f"(box => [box.top, box.bottom])(document.querySelector({place!r}).getBoundingClientRect())"
        )
        assert 0 <= top < bottom <= PHONE[1], place
    says(page, "Download .zip")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    check_quiet(page, studio)
    page.close()


def test_a_studio_that_ends_keeps_what_its_run_has(browser: Browser, studio: Studio) -> None:
    page = open_studio(browser, studio)
    click(page, "Try the creature")
    page.wait_for("document.querySelector('#paintings img')")
    click(page, "Start")
    page.wait_for("/step [0-9]+ of/.test(document.body.innerText)")
    page.close()  # a browser that is closed stops nothing
    time.sleep(2.0)
    studio.end()
    folder = studio.folder / "creature_brush"
    assert (folder / "checkpoint.safetensors").exists()
    assert (folder / "creature.obj").exists()
    studio.start()
    page = open_studio(browser, studio)
    click(page, "Go on with this run")
    page.wait_for("parseInt(document.body.innerText.match(/step ([0-9]+) of/)?.[1]) > 2")
    click(page, "Stop")
    says(page, "Download .zip")
    page.close()


def test_others_are_refused(browser: Browser, studio: Studio, tmp_path: Path) -> None:
    port = studio.url.rpartition(":")[2]
    assert b"texopt studio" in fetch(studio.url)
    foreign: list[dict[str, str]] = [
        {"Host": f"evil.example:{port}"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
        {"Origin": f"http://localhost:{port}"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
    ]  # fmt: skip
    for headers in foreign:
        for path in ("/config", "/live", "/gradio_api/info", "/view/result/a"):
            assert status(studio.url + path, **headers) == 403, (headers, path)
        assert status(f"{studio.url}/gradio_api/upload", b"anything", **headers) == 403
    for path in (
        "/gradio_api/info", "/gradio_api/vibe-code", "/gradio_api/proxy=http://127.0.0.1/", "/monitoring",
        "/gradio_api/file=/etc/passwd", f"/gradio_api/file={studio.folder}/inputs", "/download/../a/all.zip",
        "/download/%2e%2e/all.zip", f"/gradio_api/file={Path.cwd()}/pyproject.toml",
        "/gradio_api/file=pyproject.toml", "/view/mesh/..%2f..%2fetc", "/live/..%2f..%2fetc%2fpasswd",
    ):  # fmt: skip
        assert status(studio.url + path) in (403, 404), path

    evil = tmp_path / "evil.html"  # from another origin
    evil.write_text(f"<img src='{studio.url}/live'><iframe src='{studio.url}'></iframe>")
    page = browser.open(evil.as_uri())
    answered = page.evaluate(
        f"fetch('{studio.url}/config', {{mode: 'no-cors'}}).then(answer => answer.type, error => 'refused')"
    )
    assert answered == "refused"
    posted = page.evaluate(
        f"fetch('{studio.url}/gradio_api/upload', {{method: 'POST', body: new FormData()}}).then(() => 1, () => 0)"
    )
    assert posted == 0
    page.wait(1.0)
    shown = page.evaluate("document.querySelector('iframe').contentDocument === null")
    assert shown, "what is in the frame is an error of the browser"
    page.close()


def test_no_browser_has_the_studio_fetch_or_read_what_was_not_dropped(studio: Studio, tmp_path: Path) -> None:
    """Whoever writes requests by hand may name any path or address where the page names what it has sent."""
    pytest.importorskip("gradio")
    asked: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write((MESHES / "teapot.obj").read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            pass

    config = json.loads(fetch(f"{studio.url}/config"))
    (drop,) = (part["id"] for part in config["components"] if part["props"].get("elem_id") == "mesh-drop")
    (call,) = (one["id"] for one in config["dependencies"] if (drop, "upload") in map(tuple, one["targets"]))
    (load,) = (one["id"] for one in config["dependencies"] if any(event == "load" for _, event in one["targets"]))

    def ask(data: list[object], which: int) -> str:
        body = json.dumps({"data": data, "fn_index": which, "session_hash": "by hand"}).encode()
        fetch(f"{studio.url}/gradio_api/queue/join", body, Content_Type="application/json")
        return fetch(f"{studio.url}/gradio_api/queue/data?session_hash=by%20hand").decode()

    assert '"success":true' in ask([None], load)  # gradio makes its parts anew for each page that is loaded
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/teapot.obj"
        (tmp_path / "teapot.obj").write_bytes((MESHES / "teapot.obj").read_bytes())  # a temporary folder
        for path in (address, str(MESHES / "teapot.obj"), str(tmp_path / "teapot.obj"), "meshes/teapot.obj"):
            file = {"path": path, "orig_name": "teapot.obj", "meta": {"_type": "gradio.FileData"}}
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask([None, [file]], call)
            with refused.value:
                assert refused.value.code == 403, path
        server.shutdown()
    assert asked == []
    assert not list(studio.folder.rglob("*.obj"))


def test_a_set_of_files_finds_its_textures(browser: Browser, studio: Studio, tmp_path: Path) -> None:
    """The mesh first, then what belongs to it."""
    page = open_studio(browser, studio)
    drop(page, "#mesh-drop button", MESHES / "teapot.obj")
    has_mesh(page, "teapot.obj")
    page.wait(2.0)
    plain = colors(page)
    drop(page, "#mesh-drop button", MESHES / "teapot.mtl", MESHES / "teapot.png")
    page.wait(4.0)
    assert colors(page) > plain + 10
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", MESHES, "creature.obj")
    drop(page, "#mesh-drop button", Path(archive))
    has_mesh(page, "creature.obj")
    check_quiet(page, studio)
    page.close()


def test_images_of_the_page_are_those_of_the_result(browser: Browser, studio: Studio) -> None:
    """A thumbnail is the view of the preview that it says."""
    folder = studio.folder / "x"
    folder.mkdir(parents=True)
    sheet = Image.new("RGB", (8 * 32, 64), (200, 0, 0))
    sheet.paste((0, 0, 200), (32, 32, 64, 64))
    sheet.save(folder / "preview.png")
    (folder / "config.yaml").write_text("command: style\nmesh: /a/b.obj\nstyle: [/a/c.png]\npreset: standard\n")
    page = open_studio(browser, studio)
    says(page, "b · c")
    color = page.evaluate("""(async () => {
        const image = document.querySelector('#results img'), canvas = document.createElement('canvas');
        await image.decode();
        canvas.getContext('2d').drawImage(image, 0, 0);
        return [...canvas.getContext('2d').getImageData(16, 16, 1, 1).data];
    })()""")
    assert color[2] > 150 > 50 > color[0]
    page.close()
