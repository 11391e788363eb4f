from __future__ import annotations

import _thread
import io
import json
import logging
import math
import random
import re
import signal
import struct
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from conftest import make_cube
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import texopt
from texopt import DependencyError, FeatureExtractor, Mesh, PixelTexture, Step, View
from texopt.io.gltf.unlit import jpeg, unlit_glb
from texopt.mesh.vertex_buffers import IndexedPart, indexed_part, unit_parts
from texopt.show.live import LivePage
from texopt.show.live_state import Controls, Curves, Speed, Throttle, status
from texopt.system.images import to_image


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def step(number: int, steps: int = 1000) -> Step:
    return Step(number, steps, number / 2, {"style": 1 / number, "loss": float(number)})


def fail() -> None:
    raise AssertionError("nothing is idle while it runs")


def test_hold_lets_a_run_go_on() -> None:
    assert not Controls().hold(fail)


def test_a_paused_run_waits_until_it_is_resumed() -> None:
    controls, calls = Controls(), []

    def idle() -> None:
        calls.append(controls.paused)
        if len(calls) == 2:  # from another thread, as the page's buttons do
            threading.Thread(target=controls.toggle_pause).start()

    controls.toggle_pause()
    assert controls.hold(idle)
    assert len(calls) >= 2
    assert calls[0]
    assert not controls.paused
    assert not controls.hold(fail)


@pytest.mark.parametrize("paused", [False, True])
def test_stop_ends_a_run_as_ctrl_c_does(paused: bool) -> None:
    controls = Controls()
    if paused:
        controls.toggle_pause()
        threading.Timer(0.05, controls.stop).start()
    else:
        controls.stop()
    with pytest.raises(KeyboardInterrupt):
        controls.hold(lambda: None)


def test_ctrl_c_ends_a_pause() -> None:
    controls = Controls()
    controls.toggle_pause()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    threading.Timer(0.05, _thread.interrupt_main).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            controls.hold(lambda: None)
    finally:
        signal.signal(signal.SIGINT, before)


@given(cost=st.floats(0, 20), between=st.floats(0.01, 5))
def test_a_throttle_bounds_how_often_and_how_long(cost: float, between: float) -> None:
    clock = Clock()
    throttle, starts, spent = Throttle(2.0, clock), [], 0.0
    for _ in range(500):
        if throttle.due():
            starts.append(clock.now)
            with throttle.measured():
                clock.now += cost
                spent += cost
        clock.now += between
    assert min(np.diff(starts), default=2.0) > 2.0 - 1e-6
    assert spent <= 0.1 * (clock.now - 100.0) + cost
    waited = max(2.0, 10 * cost)
    assert len(starts) >= (clock.now - 100.0) / (waited + between) - 1  # no less often than it may


@given(count=st.integers(1, 400), points=st.integers(1, 30))
def test_curves_keep_evenly_spaced_steps(count: int, points: int) -> None:
    curves = Curves(points)
    for number in range(1, count + 1):
        curves.add(step(number))
    data = curves.data()
    assert list(data) == ["style", "loss"]
    steps, values = data["style"]
    assert min(points, count) <= len(steps) <= 2 * points
    assert steps[0] == 1
    assert len(set(np.diff(steps))) <= 1
    assert count - steps[-1] < max(np.diff(steps), default=1)  # the newest steps are among them
    np.testing.assert_allclose(values, 1 / steps)
    np.testing.assert_allclose(data["loss"][1], steps)


def test_curves_leave_out_what_is_not_known() -> None:
    curves = Curves()
    for number, value in enumerate((1.0, math.nan, 3.0), 1):
        curves.add(Step(number, 3, 1.0, {"content": value}))
    steps, values = curves.data()["content"]
    assert (steps.tolist(), values.tolist()) == ([1, 3], [1, 3])


def test_speed_is_that_of_the_last_steps_and_pauses_do_not_count() -> None:
    clock = Clock()
    speed = Speed(clock)
    assert speed.per_second() is None
    for seconds in (60.0, *[0.25] * 30):  # the first one compiles
        clock.now += seconds
        speed.step()
    assert speed.per_second() == pytest.approx(4)
    clock.now += 1000
    speed.restart()
    assert speed.per_second() is None
    clock.now += 0.5
    speed.step()
    assert speed.per_second() == pytest.approx(2)


def test_status_says_how_far_how_fast_and_how_long() -> None:
    assert status(step(12, 300), None) == "step 12 of 300"
    assert status(step(12, 300), 3.4) == "step 12 of 300 · 3.4 steps/s · 1:25 left"
    assert status(step(1, 100_001), 10.0).endswith("2:46:40 left")
    assert status(step(12, 300), 3.4, paused=True) == "step 12 of 300 · paused"


def halves(mesh: Mesh) -> list[IndexedPart]:
    return [indexed_part(mesh, slice(0, 6)), indexed_part(mesh, slice(6, None))]


def quadrants(size: int = 64) -> Image.Image:
    """Red, green over blue, white."""
    image = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    image[:half, :half, 0] = image[:half, half:, 1] = image[half:, :half, 2] = 255
    image[half:, half:] = 255
    return Image.fromarray(image)


def test_a_glb_has_the_parts_with_their_textures(cube: Mesh) -> None:
    parts, images = halves(cube), [quadrants(), Image.new("RGB", (16, 32), "orange")]
    data = unlit_glb(parts, images)
    scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    assert len(scene.geometry) == 2
    for part, image, read in zip(parts, images, scene.geometry.values(), strict=True):
        np.testing.assert_allclose(read.vertices, part.positions, atol=1e-6)
        np.testing.assert_array_equal(read.faces, part.triangles)
        np.testing.assert_allclose(read.visual.uv, part.uvs, atol=1e-6)  # trimesh turns v, as we do
        texture = read.visual.material.baseColorTexture
        assert np.abs(np.asarray(texture).astype(int) - np.asarray(image)).max() <= 8


def test_a_glb_is_well_formed_and_unlit(cube: Mesh) -> None:
    data = unlit_glb(halves(cube), [quadrants(), quadrants(32)])
    magic, version, length, json_length, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    document = json.loads(data[20 : 20 + json_length])
    blob_length, kind = struct.unpack("<I4s", data[20 + json_length : 28 + json_length])
    assert kind == b"BIN\0"
    assert document["buffers"] == [{"byteLength": blob_length}]
    assert 28 + json_length + blob_length == len(data)
    assert all("KHR_materials_unlit" in material["extensions"] for material in document["materials"])
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= blob_length


def test_parts_go_together_into_the_unit_sphere(cube: Mesh) -> None:
    apart = [
        IndexedPart(part.positions * 1e5 + (offset, 7.0, -3.0), part.uvs, None, part.triangles)
        for part, offset in zip(halves(cube), (0.0, 5e5), strict=True)
    ]
    unit = unit_parts(apart)
    positions = np.concatenate([part.positions for part in unit])
    assert np.linalg.norm(positions, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(positions.min(0), -positions.max(0), atol=1e-9)
    scale = np.ptp(positions, axis=0) / np.ptp(np.concatenate([part.positions for part in apart]), axis=0)
    np.testing.assert_allclose(scale, scale[0])


def test_streamed_textures_are_bounded_and_the_given_ones_are_left_alone() -> None:
    image = Image.new("RGB", (4096, 1024), "teal")
    assert Image.open(io.BytesIO(jpeg(image))).size == (1024, 256)
    assert image.size == (4096, 1024)
    assert Image.open(io.BytesIO(jpeg(quadrants()))).size == (64, 64)


def test_without_viser_the_page_says_how_to_get_it(cube: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(DependencyError, match=re.escape("the live page needs viser; pip install 'texopt[viewer]'")):
        LivePage("cube", [indexed_part(cube)], [quadrants()])


# From here on with a server.


@pytest.fixture
def make_page(cube: Mesh) -> Iterator[Callable[..., LivePage]]:
    pytest.importorskip("viser")
    pages: list[LivePage] = []

    def make(**options: Any) -> LivePage:
        pages.append(LivePage("cube", [indexed_part(cube)], [quadrants()], **{"port": 0} | options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


def get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        assert answer.status == 200
        data: bytes = answer.read()
    return data


def test_the_page_is_served_until_it_is_closed(
    make_page: Callable[..., LivePage], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "texopt"):
        page = make_page(originals=[quadrants()])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", page.url)
    assert caplog.messages == [f"live page: {page.url}"]
    assert b"<html" in get(page.url)
    page.close()
    page.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        get(page.url)
    assert capfd.readouterr() == ("", "")  # no banner, no farewell


def test_the_url_has_the_port_that_was_free(
    make_page: Callable[..., LivePage], caplog: pytest.LogCaptureFixture
) -> None:
    port = int(make_page().url.rpartition(":")[2])
    with caplog.at_level(logging.INFO, "texopt"):
        other = make_page(port=port)
    assert other.url != f"http://127.0.0.1:{port}"
    assert f"port {port} is in use: the live page takes another" in caplog.messages
    assert b"<html" in get(other.url)


def test_a_page_for_others_is_a_warning(make_page: Callable[..., LivePage], caplog: pytest.LogCaptureFixture) -> None:
    page = make_page(host="0.0.0.0")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "can see the model and stop the run" in caplog.text
    assert b"<html" in get(page.url)


def red(view: View) -> torch.Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


class Run:
    """A short optimisation, and how often its texture was baked for the page."""

    def __init__(self, extractor: FeatureExtractor, steps: int = 30) -> None:
        self.texture, self.extractor, self.steps, self.bakes = PixelTexture(32), extractor, steps, 0

    def bake(self) -> list[Image.Image]:
        self.bakes += 1
        return [to_image(self.texture.bake())]

    def __call__(self, on_step: Callable[[Step], None] | None = None) -> texopt.Result:
        return texopt.optimize(
            make_cube(),
            self.texture,
            red,
            steps=self.steps,
            views=texopt.Views(size=32),
            descent=texopt.Descent(learning_rate=0.5),
            backbone=self.extractor,
            device="cpu",
            on_step=on_step,
        )


def watched(page: LivePage, monkeypatch: pytest.MonkeyPatch) -> LivePage:
    """As if a browser was there and the page was always due."""
    monkeypatch.setattr(page._server, "get_clients", lambda: {0: None})
    monkeypatch.setattr(Throttle, "due", lambda self: True)
    return page


def random_states() -> tuple[object, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def test_the_result_is_the_same_bytes_with_a_page(
    make_page: Callable[..., LivePage], extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, shown = Run(extractor), Run(extractor)
    result = alone()
    page = watched(make_page(bake=shown.bake), monkeypatch)
    before = random_states()
    with_page = shown(page.on_step)
    assert random_states() == before
    assert shown.bakes == 30
    assert torch.equal(with_page.image, result.image)
    assert [entry.terms for entry in with_page.history] == [entry.terms for entry in result.history]
    assert set(page._plots) == {"red", "loss"}
    page.finished([to_image(with_page.image)])
    assert page._status.content.startswith("finished, 30 steps")


def test_a_page_that_nobody_watches_costs_nothing(
    make_page: Callable[..., LivePage], extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(extractor)
    page = make_page(bake=run.bake)
    sent: list[object] = []
    monkeypatch.setattr(page._server._websock_server, "queue_message", sent.append)
    run(page.on_step)
    assert run.bakes == 0
    assert not sent


def test_stop_keeps_what_there_is(
    make_page: Callable[..., LivePage], extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(extractor)
    page = watched(make_page(bake=run.bake), monkeypatch)

    def on_step(step: Step) -> None:
        if step.number == 5:
            page._controls.stop()
        page.on_step(step)

    result = run(on_step)
    assert result.interrupted
    assert len(result.history) == 5
    page.finished([to_image(result.image)])
    assert page._status.content == "stopped at step 5 of 30"
    assert not page._stop.visible


def test_who_comes_while_it_is_paused_sees_the_step_it_waits_at(
    make_page: Callable[..., LivePage], extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(extractor, steps=3)
    page = watched(make_page(bake=run.bake), monkeypatch)
    clients: dict[int, None] = {}
    monkeypatch.setattr(page._server, "get_clients", lambda: clients)
    seen: list[tuple[str, str, int]] = []

    def wait_for(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120  # the first step may have to compile
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)

    def come() -> None:
        wait_for(lambda: page._last is not None)
        time.sleep(0.3)
        seen.append((page._status.content, page._pause.label, run.bakes))
        clients[0] = None
        wait_for(lambda: run.bakes > 0)
        time.sleep(0.5)  # nothing more comes
        seen.append((page._status.content, page._pause.label, run.bakes))
        page._controls.toggle_pause()

    page._controls.toggle_pause()
    other = threading.Thread(target=come)
    other.start()
    result = run(page.on_step)
    other.join()
    assert seen == [("preparing", "Pause", 0), ("step 1 of 3 · paused", "Resume", 1)]
    assert len(result.history) == 3
    assert not result.interrupted
    assert page._pause.label == "Pause"


def test_wait_ends_with_ctrl_c(make_page: Callable[..., LivePage]) -> None:
    page, before = (
        make_page(),
        signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # in the background it is ignored
    try:
        threading.Timer(0.2, _thread.interrupt_main).start()
        page.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert b"<html" in get(page.url)
