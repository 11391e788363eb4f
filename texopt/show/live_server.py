"""The live page's server: who may connect, what they may send, and how much. viser hears of nothing else.

Any page that is open in a browser may open websockets to this machine. So the checks are part of the handshake, and
the socket accepts its first connection when they and the page are in place: nobody is let in and looked at afterwards.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import msgspec
import websockets.asyncio.server
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websockets_serve
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import State

from texopt.errors import DependencyError, printable
from texopt.system.local_pages import WAITING, is_loopback, is_own_page

log = logging.getLogger("texopt")

CONNECTIONS = 32  # open at once, whatever they are for; a browser that loads the page has up to seven
LONGEST = 2**16  # bytes of a message; the page's own have about 300
PATIENCE = 30.0  # seconds in which a client reads nothing of what waits for it
BYTES, BYTES_A_SECOND = 2**18, 2**16  # that a client may send at once, and from then on; a page sends 20,000 a second

FOREIGN = "connections of other pages"
OTHER_VERSION = "connections of another version of the page, which has to be loaded again"
TOO_MANY = f"connections, as {CONNECTIONS} are open"
TOO_MUCH = "connections that send too much"
UNREAD = "connections that read nothing of what is sent"
STRANGE = "messages that the page has no use for"
BROKEN = "connections that have failed"


def kind_of(message: str | bytes) -> str | None:
    """The type of a message that the page sends and needs: of the camera, which says that it has loaded, or a click.

    Clicks give a button its value and nothing else: the server would set any property of it that a client names.
    """
    try:
        content = msgspec.msgpack.decode(message) if isinstance(message, bytes) else None
    except (msgspec.DecodeError, RecursionError):
        return None
    match content:
        case {"type": "ViewerCameraMessage"}:
            return "camera"
        case {"type": "GuiUpdateMessage", "uuid": str(), "updates": {"value": bool() | str() as value, **more}, **rest}:
            return "click" if not more and not rest and len(str(value)) < 100 else None
    return None


class Refusals:
    """What was refused: said when it first happens, counted from then on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str, example: str = "") -> None:
        self._counts[what] += 1
        if self._counts[what] == 1:
            shown = f" ({printable(example[:100])})" if example else ""
            log.warning("the live page refuses %s%s: this is the first, the others are counted", what, shown)

    def close(self) -> None:
        """Say how many there were, where it was more than the one."""
        if more := [f"{count:,} {what}" for what, count in self._counts.items() if count > 1]:
            log.warning("the live page has refused %s", "; ".join(more))
        self._counts.clear()


class Connection(ServerConnection):
    """Hears only what the page sends; ends where it is one too many, sends too much, or reads nothing."""

    def __init__(self, *args: Any, gate: Gate, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gate = gate
        self._allowance, self._heard = float(BYTES), self.loop.time()
        self._loaded = False
        self._patience: asyncio.TimerHandle | None = None

    def refuse(self, what: str, example: str = "") -> None:
        self._gate.refusals.add(what, example)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.connections.add(self)
        if len(self._gate.connections) > CONNECTIONS:
            self.refuse(TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.connections.discard(self)
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def _wait(self) -> None:
        """While more is to be sent than the system takes. websockets' own pings would wait behind it for ever."""
        unread = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < unread:
                self._wait()
            else:
                self.refuse(UNREAD)

        self._patience = self.loop.call_later(PATIENCE, look)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        self._allowance = min(BYTES, self._allowance + BYTES_A_SECOND * (now - self._heard)) - len(data)
        self._heard = now
        if self._allowance < 0:
            self.refuse(TOO_MUCH)
        else:
            super().data_received(data)

    def process_event(self, event: Any) -> None:
        if getattr(event, "fin", True):
            super().process_event(event)
        else:  # the first of any number of fragments, which would be kept until the last one comes
            self.refuse(STRANGE)

    async def recv(self, decode: bool | None = None) -> Any:
        while True:
            message = await super().recv(decode)
            match kind_of(message):
                case None:
                    self._gate.refusals.add(STRANGE)
                case "camera" if self._loaded:
                    pass  # where it looks is the page's own business
                case kind:
                    self._loaded |= kind == "camera"
                    return message


class Gate:
    """What viser's server is made with: a socket that accepts nobody until `open`, and the checks of who comes.

    Args:
        listening: the socket.
        protocol: name of the page's websocket protocol, which has its version in it.
    """

    def __init__(self, listening: socket.socket, protocol: str) -> None:
        self._socket, self._protocol = listening, protocol
        self._local = is_loopback(listening.getsockname()[0])
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._logger = logging.Logger("live", logging.ERROR)
        self._logger.addFilter(self._note)
        self.connections: set[Connection] = set()
        self.refusals = Refusals()

    @property
    def in_place(self) -> bool:
        return self._server is not None

    def serve(self, handler: Callable[..., Any], options: dict[str, Any]) -> websockets_serve:
        """What websockets makes of viser's handler and options, but with this gate's socket and checks."""
        answer: Any = options.get("process_request")
        options = {name: value for name, value in options.items() if name not in ("host", "port")}
        options |= {
            "sock": self._socket, "start_serving": False, "backlog": WAITING, "max_size": LONGEST,
            "process_request": partial(self._check, answer), "select_subprotocol": self._select,
            "create_connection": partial(Connection, gate=self), "logger": self._logger,
        }  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self._failed(context["message"], context.get("exception")))
        serving = websockets_serve(handler, **options)
        self._server = serving.server
        return serving

    def _check(
        self, answer: Callable[[ServerConnection, Request], Response | None], connection: ServerConnection,
        request: Request,
    ) -> Response | None:  # fmt: skip
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        origin, host = (values[0] if values else None for values in (origins, hosts))
        if len(origins) > 1 or len(hosts) > 1 or not is_own_page(origin, host, self._local):
            self.refusals.add(FOREIGN, origin if origin is not None else f"asking for {host}")
            return connection.respond(403, "Only the page of this server connects here.\n")
        if ":" in unquote(request.path.partition("?")[0]):  # on Windows, files that are not the page's
            return connection.respond(404, "NOT FOUND")
        response = answer(connection, request)
        if response is not None:  # the page: no other shows it in a frame, where its buttons could be clicked unseen
            response.headers["Content-Security-Policy"] = "frame-ancestors 'self'"
        return response

    def _select(self, _: ServerConnection, offered: list[str]) -> str:
        if self._protocol not in offered:
            self.refusals.add(OTHER_VERSION, ", ".join(offered))
            raise NegotiationError(f"this server speaks {self._protocol}")
        return self._protocol

    def _note(self, record: logging.LogRecord) -> bool:
        """Of what websockets would log, whatever breaks a connection after its handshake."""
        response = getattr(getattr(record, "websocket", None), "response", None)
        if response is not None and response.status_code == 101:
            self._failed(record.getMessage(), record.exc_info[1] if record.exc_info else None)
        return False

    def _failed(self, message: str, error: BaseException | None) -> None:
        self.refusals.add(BROKEN, f"{message}: {error!r}" if error else message)

    def open(self) -> None:
        """Accept connections from now on."""
        assert self._server is not None
        asyncio.run_coroutine_threadsafe(self._server.start_serving(), self._loop).result()

    def hurry(self) -> None:
        """End the connections that cannot be closed in order; the server would wait for them when it stops."""

        def abort() -> None:
            for connection in [*self.connections]:
                if connection.state is not State.OPEN:
                    connection.transport.abort()

        with contextlib.suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(abort)


_making = threading.Lock()


def serve(viser: ModuleType, listening: socket.socket) -> tuple[Any, Gate]:
    """viser's server on a socket that listens, and the gate before it, which is still closed.

    viser has no options for any of this. It asks websockets for its server, and gets one behind the gate.

    Raises DependencyError: a viser that makes its server in another way, which would be open to all. It is stopped.
    """
    gate = Gate(listening, f"viser-v{viser.__version__}")
    host, port = listening.getsockname()[:2]

    def guarded(handler: Callable[..., Any], *address: Any, **options: Any) -> websockets_serve:
        if handler.__module__.partition(".")[0] != viser.__name__ or gate.in_place:
            return websockets_serve(handler, *address, **options)
        return gate.serve(handler, options)

    with _making, contextlib.redirect_stdout(io.StringIO()):  # its banner
        websockets.asyncio.server.serve = guarded  # type: ignore[assignment, misc]
        try:
            server = viser.ViserServer(host=host, port=port, verbose=False)
        except BaseException:
            listening.close()
            raise
        finally:
            websockets.asyncio.server.serve = websockets_serve  # type: ignore[misc]
        atexit.unregister(server.stop)
        if gate.in_place and server.get_port() == port:
            return server, gate
        server.stop()
    listening.close()
    raise DependencyError(
        f"the live page cannot check who connects to viser {viser.__version__}; pip install 'texopt[viewer]' takes a "
        "version of it that texopt knows"
    )
