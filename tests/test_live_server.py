"""Who gets into the live page, and that nothing that other sites' pages or broken clients send ends it or the run."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import make_cube
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import texopt
from texopt import DependencyError, FeatureExtractor, OptionError, PixelTexture, Step, View
from texopt.mesh.vertex_buffers import indexed_part
from texopt.show.live import LivePage
from texopt.show.live_state import Throttle
from texopt.system.images import to_image
from texopt.system.local_pages import listen

viser = pytest.importorskip("viser")
msgspec = pytest.importorskip("msgspec")
live_server = pytest.importorskip("texopt.show.live_server")

CONNECTIONS = live_server.CONNECTIONS
EVIL = "https://evil.example"
CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": [1.0, 0.0, 0.0, 0.0], "position": [0.0, 0.0, 4.0], "fov": 1.0, "near": 0.1,
    "far": 10.0, "image_height": 700, "image_width": 1000, "look_at": [0.0, 0.0, 0.0], "up_direction": [0.0, 1.0, 0.0],
}  # fmt: skip
BINARY, PING = 2, 9


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def frame(content: bytes, opcode: int = BINARY, final: bool = True) -> bytes:
    """A client's websocket frame (RFC 6455, 5.2), with a mask of zeros."""
    size = len(content)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + struct.pack(">H", size) if size < 2**16 else b"\xff" + struct.pack(">Q", size)
    return bytes([0x80 * final | opcode]) + length + bytes(4) + content


def message(**content: Any) -> bytes:
    encoded: bytes = msgspec.msgpack.encode(content)
    return encoded


class Client:
    """A TCP connection to a page."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def get(self, *headers: str, host: str | None = None, path: str = "/") -> None:
        lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *headers]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def handshake(self, *headers: str, host: str | None = None, version: str = viser.__version__) -> None:
        self.get(
            *headers, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: viser-v{version}", host=host,
        )  # fmt: skip

    def answer(self) -> tuple[int, bytes]:
        """The status of an HTTP response, 0 where the connection was ended, and what has come after its headers."""
        got = b""
        try:
            while b"\r\n\r\n" not in got:
                more = self.socket.recv(2**16)
                if not more:
                    return 0, got
                got += more
        except ConnectionResetError:
            return 0, got
        head, _, rest = got.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), rest

    def read(self) -> bytes:
        """Everything until the connection ends."""
        got = b""
        try:
            while more := self.socket.recv(2**16):
                got += more
        except ConnectionResetError:
            pass
        return got

    def own(self) -> Client:
        """As the page's own: the first data is there."""
        self.handshake(f"Origin: http://127.0.0.1:{self.port}")
        status, rest = self.answer()
        assert status == 101
        assert rest or self.socket.recv(2**16)
        return self

    def send(self, **content: Any) -> None:
        self.socket.sendall(frame(message(**content)))

    def close(self) -> None:
        self.socket.close()


def red(view: View) -> torch.Tensor:
    return -(view.image[:, 0] * view.mask[:, 0]).mean()


@pytest.fixture
def make_page() -> Iterator[Callable[..., LivePage]]:
    pages: list[LivePage] = []

    def make(**options: Any) -> LivePage:
        images = [Image.new("RGB", (16, 16), "teal")]
        options = {"port": 0, "originals": images, "bake": lambda: images} | options
        pages.append(LivePage("cube", [indexed_part(make_cube())], images, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture
def page(make_page: Callable[..., LivePage]) -> LivePage:
    return make_page()


Optimize = Callable[..., tuple[torch.Tensor, bool]]


@pytest.fixture
def optimize(extractor: FeatureExtractor) -> Optimize:
    """A short run; the texture that it comes to, and whether it was interrupted."""

    def run(on_step: Callable[[Step], None] | None = None) -> tuple[torch.Tensor, bool]:
        texture = PixelTexture(32)
        result = texopt.optimize(
            make_cube(),
            texture,
            red,
            steps=3,
            views=texopt.Views(size=32),
            descent=texopt.Descent(learning_rate=0.5),
            backbone=extractor,
            device="cpu",
            on_step=on_step,
        )
        return texture.bake(), result.interrupted

    return run


def port_of(page: LivePage) -> int:
    return int(page.url.rpartition(":")[2])


def attack(port: int, connections: int, counts: Counter[str]) -> threading.Thread:
    """A page of another site that connects in a tight loop, from before the server is there until it has done so often.

    Counts what became of its connections.
    """

    def run() -> None:
        made = 0
        while made < connections:
            try:
                client = Client(port)
            except OSError:  # not there yet
                time.sleep(1e-4)
                continue
            made += 1
            with closing(client):
                try:
                    client.handshake(f"Origin: {EVIL}")
                    status, rest = client.answer()
                    rest += client.read()
                except OSError:
                    counts["refused"] += 1
                    continue
            counts[f"{status}" if len(rest) < 100 else "data"] += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def check_attacked_runs(make_page: Callable[..., LivePage], optimize: Optimize, starts: int, connections: int) -> None:
    expected, _ = optimize()
    for _ in range(starts):
        # below the ports that the system gives to those who connect: one of them could connect to itself
        with listen("127.0.0.1", 20_000 + os.getpid() % 10_000) as free:
            port = free.getsockname()[1]
        counts: Counter[str] = Counter()
        attackers = [attack(port, connections // 8, counts) for _ in range(8)]
        page = make_page(port=port)
        assert port_of(page) == port
        texture, interrupted = optimize(page.on_step)
        page.finished([to_image(texture)])
        for attacker in attackers:
            attacker.join(120)
        assert set(counts) <= {"403", "refused", "0"}
        assert counts["403"] > connections // 2
        assert sum(counts.values()) == connections
        assert not interrupted
        assert torch.equal(texture, expected)
        assert page._status.content.startswith("finished, 3 steps")
        page.close()


@pytest.mark.slow
def test_a_page_of_another_site_gets_nothing_from_before_the_start(
    make_page: Callable[..., LivePage], optimize: Optimize
) -> None:
    check_attacked_runs(make_page, optimize, starts=3, connections=120)


@pytest.mark.slow
def test_a_page_of_another_site_gets_nothing_in_two_thousand_connections(
    make_page: Callable[..., LivePage], optimize: Optimize
) -> None:
    check_attacked_runs(make_page, optimize, starts=10, connections=2000)


def test_who_comes_before_the_page_is_ready_waits(
    make_page: Callable[..., LivePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[Client] = []
    build = LivePage._build

    def building(page: LivePage, *args: Any) -> None:
        early.extend([Client(port_of(page)), Client(port_of(page))])
        early[0].handshake(f"Origin: {EVIL}")
        early[1].handshake(f"Origin: {page.url}")

        async def rounds() -> None:  # in which the server would see to them
            for _ in range(10):
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(rounds(), page._server.get_event_loop()).result()
        assert not page._gate.connections
        build(page, *args)

    monkeypatch.setattr(LivePage, "_build", building)
    make_page()
    assert early[0].answer()[0] == 403
    assert early[1].answer()[0] == 101
    for client in early:
        client.close()


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ([f"Origin: {EVIL}"], None),
        (["Origin: null"], None),
        (["Origin: http://127.0.0.1:1"], None),
        (["Origin: http://[::"], None),
        (["Origin: http://evil.example"], "evil.example"),  # a name that leads here
        ([], "evil.example"),
        ([], "127.0.0.1.evil.example"),
        ([], "\r\nX-No: host"),
        (["Host: 127.0.0.1"], "evil.example"),
        (["Origin: http://127.0.0.1", f"Origin: {EVIL}"], "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("upgrade", [True, False])
def test_others_are_refused_in_the_handshake(
    page: LivePage, headers: list[str], host: str | None, upgrade: bool
) -> None:
    with closing(Client(port_of(page))) as client:
        (client.handshake if upgrade else client.get)(*headers, host=host)
        status, rest = client.answer()
        assert status == 403
        assert len(rest + client.read()) < 100


@pytest.mark.parametrize("headers", [[], ["Origin: http://localhost:9000"]])
def test_the_page_comes_in_through_a_tunnel_too(page: LivePage, headers: list[str]) -> None:
    with closing(Client(port_of(page))) as client:
        client.handshake(*headers, host="localhost:9000")
        assert client.answer()[0] == 101


def test_no_other_page_shows_this_one_in_a_frame(page: LivePage) -> None:
    with closing(Client(port_of(page))) as client:
        client.get()
        assert b"\r\nContent-Security-Policy: frame-ancestors 'self'\r\n" in client.read()


@pytest.mark.parametrize("path", ["/C:/Windows/win.ini", "/c%3A/Windows/win.ini", "/../_viser.py", "/%2e%2e/_viser.py"])
def test_only_the_files_of_the_page_are_served(page: LivePage, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = page._server._websock_server._http_server_root
    monkeypatch.setattr(
        type(root), "__truediv__", lambda folder, name: Path(__file__)
    )  # as Windows takes a drive's name
    with closing(Client(port_of(page))) as client:
        client.get(path=path)
        assert client.answer()[0] == 404


def test_a_page_of_another_version_has_to_be_loaded_again(
    page: LivePage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with closing(Client(port_of(page))) as client:
            client.handshake(version="0.1")
            assert client.answer()[0] == 400
    page.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"the live page refuses {live_server.OTHER_VERSION} (viser-v0.1): this is the first, the others are counted",
        f"the live page has refused 3 {live_server.OTHER_VERSION}",
    ]
    assert capfd.readouterr() == ("", "")


def test_of_all_messages_two_are_heard() -> None:
    from viser import _messages

    names = {kind.__name__ for kind in _messages.Message.get_subclasses()}
    assert len(names) > 100
    clicks = {name: live_server.kind_of(message(type=name, uuid="a", updates={"value": True})) for name in names}
    assert {name: kind for name, kind in clicks.items() if kind} == {
        "ViewerCameraMessage": "camera", "GuiUpdateMessage": "click",
    }  # fmt: skip


@pytest.mark.parametrize(
    "updates",
    [
        {"removed": True}, {"gui_api": None}, {"value": True, "removed": True}, {"value": None}, {"value": []},
        {"value": "x" * 1000}, {"value": 1}, {}, [], None, "value",
    ],
)  # fmt: skip
def test_of_clicks_only_the_value_is_heard(updates: object) -> None:
    assert live_server.kind_of(message(type="GuiUpdateMessage", uuid="a", updates=updates)) is None
    assert live_server.kind_of(message(type="GuiUpdateMessage", uuid="a", updates={"value": "before"})) == "click"
    more = message(type="GuiUpdateMessage", uuid="a", updates={"value": True}, excluded_self_client=1)
    assert live_server.kind_of(more) is None
    assert live_server.kind_of(message(type="GuiUpdateMessage", uuid=1, updates={"value": True})) is None


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()


@given(
    st.binary()
    | st.text()
    | st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8).map(
        msgspec.msgpack.encode
    )
)
def test_what_is_no_message_is_not_heard(data: bytes | str) -> None:
    assert live_server.kind_of(data) is None


def test_deep_messages_are_not_heard() -> None:
    assert live_server.kind_of(b"\x91" * 60_000) is None
    assert live_server.kind_of(b"\x81" * 60_000) is None


def watched(page: LivePage, monkeypatch: pytest.MonkeyPatch) -> LivePage:
    """As if the page was always due."""
    monkeypatch.setattr(Throttle, "due", lambda self: True)
    return page


def test_no_message_ends_a_run_or_the_page(
    make_page: Callable[..., LivePage], optimize: Optimize, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tunnels: list[object] = []
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *args: tunnels.append(args))
    page = watched(make_page(), monkeypatch)
    server = page._server._websock_server
    uuids = [handle._impl.uuid for handle in (page._pause, page._stop, page._status, page._progress)]
    hostile = [
        *({"type": "GuiUpdateMessage", "uuid": uuid, "updates": updates}
          for uuid in uuids for updates in ({"removed": True}, {"gui_api": None}, {"value": True, "removed": True})),
        {"type": "ShareUrlRequest"}, {"type": "ShareUrlDisconnect"}, {"type": "NoSuchMessage"}, {},
        {"type": "GuiFormDirtyMessage", "uuid": uuids[0]}, {"type": "GuiRemoveMessage", "uuid": uuids[0]},
        {"type": "FileTransferStartUpload", "source_component_uuid": uuids[0], "transfer_uuid": "a", "filename": "a",
         "mime_type": "a", "part_count": 0, "size_bytes": 0},
    ]  # fmt: skip
    expected, _ = optimize()

    with closing(Client(port_of(page)).own()) as client:
        client.send(**CAMERA)
        wait_for(page._server.get_clients)
        buffered = len(server._broadcast_buffer.message_from_id)

        def on_step(step: Step) -> None:
            if step.number == 2:
                for content in hostile:
                    client.send(**content)
                client.socket.sendall(frame(b"garbage") + frame(b"text", opcode=1) + frame(b""))
                wait_for(lambda: page._gate.refusals._counts[live_server.STRANGE] == len(hostile) + 3)
                assert len(server._broadcast_buffer.message_from_id) < buffered + 20  # nothing of it is kept
            page.on_step(step)

        texture, interrupted = optimize(on_step)
        assert torch.equal(texture, expected)
        assert not interrupted
        assert page._status.content.startswith("step 3 of 3")
        assert page._server.get_clients()
    page.finished([to_image(texture)])
    page.close()
    assert not tunnels
    assert [record.getMessage() for record in caplog.records] == [
        f"the live page refuses {live_server.STRANGE}: this is the first, the others are counted",
        f"the live page has refused {len(hostile) + 3} {live_server.STRANGE}",
    ]
    assert capfd.readouterr() == ("", "")


def test_buttons_are_heard(page: LivePage) -> None:
    def click(handle: Any, value: object = True) -> None:
        client.send(type="GuiUpdateMessage", uuid=handle._impl.uuid, updates={"value": value})

    with closing(Client(port_of(page)).own()) as client:
        client.send(**CAMERA)
        wait_for(page._server.get_clients)
        click(page._pause)
        wait_for(lambda: page._controls.paused)
        (choice,) = (
            handle for handle in page._server.gui._gui_input_handle_from_uuid.values()
            if isinstance(handle, viser.GuiButtonGroupHandle)
        )  # fmt: skip
        before = page._server.scene._handle_from_node_name["/before"]
        assert not before.visible
        click(choice, "before")
        wait_for(lambda: before.visible)
        click(page._stop)
        wait_for(lambda: page.stopped)
    assert not page._gate.refusals._counts


@pytest.mark.parametrize("where", ["_show", "_draw_curves", "_write_status"])
def test_a_page_that_fails_is_off_and_the_run_goes_on(
    page: LivePage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a handle\nis gone")

    watched(page, monkeypatch)
    monkeypatch.setattr(page._server, "get_clients", lambda: {0: None})
    monkeypatch.setattr(page, where, fail)
    page._controls.toggle_pause()  # nobody could resume it
    limit = threading.Timer(120, page._controls.stop)
    limit.start()
    for number in (1, 2, 3):
        page.on_step(Step(number, 3, 1.0, {"loss": 1.0}))
    limit.cancel()
    page.finished([Image.new("RGB", (16, 16))])
    page.wait()  # for nobody
    assert [record.getMessage() for record in caplog.records] == [
        "the live page is off, as it has failed; the run goes on (RuntimeError: a handle\\nis gone)"
    ]
    with pytest.raises(OSError, match=r"refused|reset"):
        Client(port_of(page))


def test_a_page_that_fails_at_the_end_is_off(page: LivePage, caplog: pytest.LogCaptureFixture) -> None:
    page.finished([])
    assert caplog.text.count("the live page is off") == 1
    page.wait()


def test_ctrl_c_and_stop_still_end_a_run_whose_page_is_off(page: LivePage) -> None:
    page.close()
    page.on_step(Step(1, 5, 1.0, {"loss": 1.0}))
    page._controls.stop()
    with pytest.raises(KeyboardInterrupt):
        page.on_step(Step(2, 5, 1.0, {"loss": 1.0}))


def ended(client: Client) -> bool:
    """Whether the server has ended an idle connection."""
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.slow
def test_idle_connections_are_limited(page: LivePage, caplog: pytest.LogCaptureFixture) -> None:
    idle = []
    for number in range(3 * CONNECTIONS):
        idle.append(Client(port_of(page)))
        wait_for(lambda number=number: len(page._gate.connections) == min(number + 1, CONNECTIONS))
    wait_for(lambda: sum(map(ended, idle)) == 2 * CONNECTIONS)
    assert len(page._gate.connections) == CONNECTIONS
    for client in idle:
        client.close()
    wait_for(lambda: not page._gate.connections)
    with closing(Client(port_of(page)).own()):
        pass
    page.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"the live page refuses {live_server.TOO_MANY}: this is the first, the others are counted",
        f"the live page has refused {2 * CONNECTIONS} {live_server.TOO_MANY}",
    ]


def test_the_end_does_not_wait_for_idle_connections(page: LivePage) -> None:
    idle = [Client(port_of(page)) for _ in range(5)]
    wait_for(lambda: len(page._gate.connections) == 5)
    page.close()
    for client in idle:
        assert client.read() == b""
        client.close()
    assert not page._server._websock_server._server_thread.is_alive()


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (frame(bytes(125), PING) * 1000, "TOO_MUCH"),  # whose answers it never reads
        (frame(message(**CAMERA)) * 1000, "TOO_MUCH"),
        (frame(b"x") * 10_000, "TOO_MUCH"),
        (frame(b"", final=False) + frame(b"", 0, final=False) * 10_000, "STRANGE"),
        (frame(bytes(70_000)), None),  # closed with 1009 of RFC 6455, 7.4.1
        (b"\xff" * 1000, None),
    ],
)
def test_who_sends_too_much_is_cut_off(page: LivePage, data: bytes, refused: str | None) -> None:
    client = Client(port_of(page)).own()
    with closing(client), suppress(ConnectionError):
        for _ in range(2**25 // len(data)):
            client.socket.sendall(data)
    wait_for(lambda: not page._gate.connections)
    if refused is not None:
        assert page._gate.refusals._counts[getattr(live_server, refused)]
    with closing(Client(port_of(page)).own()):
        pass


def test_who_reads_nothing_is_cut_off(make_page: Callable[..., LivePage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_server, "PATIENCE", 0.1)
    large = Image.effect_noise((1024, 1024), 200).convert("RGB")
    page = make_page(originals=[large])
    with closing(Client(port_of(page))) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.handshake()
        for _ in range(20):  # more than the system keeps
            page._show([large])
        wait_for(lambda: page._gate.refusals._counts[live_server.UNREAD])
        wait_for(lambda: not page._gate.connections)


def test_what_breaks_connections_is_no_line_each(
    page: LivePage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        for data in (b"garbage\r\n\r\n", b"\xff" * 10_000, b"", b"GET / HTTP/1.1\r\n") * 5:
            with closing(Client(port_of(page))) as client:
                client.socket.sendall(data)
        for number, content in enumerate((CAMERA | {"fov": "wide"}, CAMERA | {"new": 1}) * 5, 1):
            with closing(Client(port_of(page)).own()) as client:
                client.send(**content)
                wait_for(lambda number=number: page._gate.refusals._counts[live_server.BROKEN] == number)
        wait_for(lambda: not page._gate.connections)
        page.close()
    lines = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    assert len(lines) == 2
    assert lines[0].startswith(f"the live page refuses {live_server.BROKEN} (connection handler failed")
    assert lines[1] == f"the live page has refused 10 {live_server.BROKEN}"
    assert capfd.readouterr() == ("", "")


def test_a_viser_that_cannot_be_checked_is_not_served(
    make_page: Callable[..., LivePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it made its server in another way."""
    import websockets.asyncio.server
    from viser.infra import _infra

    serve, made = websockets.asyncio.server.serve, []

    def other(*args: Any, **options: Any) -> object:
        made.append(args[2])
        return serve(*args, **options)

    library = SimpleNamespace(**vars(websockets))
    library.asyncio = SimpleNamespace(server=SimpleNamespace(serve=other))
    monkeypatch.setattr(_infra, "websockets", library)
    with pytest.raises(DependencyError, match=r"cannot check who connects to viser .*; pip install 'texopt\[viewer\]'"):
        make_page()
    assert made
    for port in made:
        with pytest.raises(OSError, match=r"refused|reset"):
            Client(port)
    assert websockets.asyncio.server.serve is serve


def test_other_servers_are_left_alone(make_page: Callable[..., LivePage], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of websockets while viser's is made, one of viser afterwards."""
    import websockets.asyncio.server

    ports: list[int] = []

    async def serve() -> None:
        async with websockets.asyncio.server.serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0) as server:
            ports.extend(listening.getsockname()[1] for listening in server.sockets)

    class Server(viser.ViserServer):  # type: ignore[misc, name-defined]
        def __init__(self, **options: Any) -> None:
            asyncio.run(serve())
            super().__init__(**options)

    monkeypatch.setattr(viser, "ViserServer", Server)
    page = make_page()
    monkeypatch.undo()
    assert ports
    assert port_of(page) not in ports
    server = viser.ViserServer(host="127.0.0.1", port=21500, verbose=False)
    try:
        with closing(Client(server.get_port())) as client:
            client.handshake(f"Origin: {EVIL}")
            assert client.answer()[0] == 101
    finally:
        server.stop()


def test_a_page_for_others_takes_its_own_page_by_any_name(make_page: Callable[..., LivePage]) -> None:
    page = make_page(host="0.0.0.0")
    for origin, status in (("http://workstation:8080", 101), (EVIL, 403)):
        with closing(Client(port_of(page))) as client:
            client.handshake(f"Origin: {origin}", host="workstation:8080")
            assert client.answer()[0] == status


def test_a_port_that_is_taken_makes_room_for_the_next() -> None:
    with listen("localhost", 0) as first:
        address, port = first.getsockname()
        assert address == "127.0.0.1"
        with listen("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] < port + 100 or port > 65400


@pytest.mark.parametrize(
    ("host", "port"),
    [("127.0.0.1", 65536), ("127.0.0.1", -1), ("192.0.2.1", 0), ("", 8080), ("a" * 70, 8080), ("a..b", 8080)],
)
def test_what_cannot_be_listened_on_is_an_option_error(host: str, port: int) -> None:
    with pytest.raises(OptionError, match=r"port has to be|cannot listen on host"):
        listen(host, port)


@pytest.mark.parametrize(
    ("origin", "host", "local", "own"),
    [
        (None, "127.0.0.1:8080", True, True),  # no page
        (None, "evil.example:8080", True, False),
        (None, "workstation:8080", False, True),
        (None, None, False, False),
        (None, "[::1", True, False),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True, True),
        ("http://localhost:9000", "localhost:9000", True, True),  # through a tunnel of one's own
        ("http://[::1]:8080", "[::1]:8080", True, True),
        (EVIL, "127.0.0.1:8080", True, False),
        ("http://127.0.0.1:3000", "127.0.0.1:8080", True, False),
        ("http://evil.example:8080", "evil.example:8080", True, False),  # a name that leads to 127.0.0.1
        ("http://evil.example@127.0.0.1:8080", "127.0.0.1:8080", True, False),
        ("http://localhost.evil.example", "localhost.evil.example", True, False),
        ("null", "127.0.0.1:8080", True, False),
        ("null", "", False, False),
        ("http://workstation:8080", "workstation:8080", False, True),
        ("http://evil.example", "workstation:8080", False, False),
    ],
)
def test_only_the_page_itself_connects(origin: str | None, host: str | None, local: bool, own: bool) -> None:
    assert live_server.is_own_page(origin, host, local) is own
