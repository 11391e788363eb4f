"""Who is answered, and how much they may send: the checks before the studio's pages.

Any page that is open in a browser may send requests to this machine. Only the studio's own page gets an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from texopt.system.images import inside
from texopt.system.local_pages import is_own_page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JOIN = "/gradio_api/queue/join"  # where the page asks to have something done
LONGEST = 1 << 22  # bytes of that

# what the page asks for; of all else that gradio answers (running functions by name, fetching from its other servers,
# editing its code), nothing is reached
PATHS = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/.+|/live|/(live|view|download)/.+"
    r"|/gradio_api/(queue/join|queue/data|upload|upload_progress|startup-events|heartbeat/[^/]+|reset|cancel|file=.+)"
)

# everything comes from this server, and no other page shows this one in a frame, where its buttons could be clicked
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; form-action 'self'; base-uri 'self'; "
    "object-src 'none'; frame-ancestors 'self'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(), b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin", b"cross-origin-resource-policy": b"same-origin",
}  # fmt: skip


def refusal(scope: Scope, local: bool, most_bytes: int) -> tuple[int, str] | None:
    """Why a request is not answered: a status and a line; None where it is.

    local: whether the server is for this machine alone, so that it has to be asked for by this machine's name.
    """
    fields: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        fields.setdefault(name.lower(), []).append(value.decode("latin-1"))
    origins, hosts, sites = (fields.get(name, []) for name in (b"origin", b"host", b"sec-fetch-site"))
    origin, host = (values[0] if values else None for values in (origins, hosts))
    if len(origins) > 1 or len(hosts) > 1 or not is_own_page(origin, host, local):
        return 403, "Only the page of this server is answered."
    followed = scope["path"] == "/" and fields.get(b"sec-fetch-mode") == ["navigate"]  # a link to the studio
    if any(site not in ("same-origin", "none") for site in sites) and not followed:
        return 403, "Only the page of this server is answered."
    if not PATHS.fullmatch(scope["path"]):
        return 404, "There is nothing here."
    size = fields.get(b"content-length", ["0"])[0]
    if not size.isdecimal() or int(size) > most_bytes:
        return 413, f"More than {most_bytes >> 20} MB are not taken at once."
    return None


def strange_file(values: Any, folders: Sequence[Path]) -> bool:
    """Whether what a browser sends (as of JSON) names a file that lies in none of these folders, or an address.

    gradio believes a browser that says where a file is that was dropped."""
    if isinstance(values, dict):
        path = values.get("path")
        known = path is None or (isinstance(path, str) and any(inside(Path(path), folder) for folder in folders))
        return not known or any(strange_file(value, folders) for value in values.values())
    return isinstance(values, list) and any(strange_file(value, folders) for value in values)


def taking_dropped_files(app: App, folders: Sequence[Path]) -> App:
    """An ASGI application that is asked to do something with files of these folders alone."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != JOIN:
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # it is gone
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > LONGEST:
                await _refuse(send, 413, "That is more than the page asks.")
                return
        try:
            strange = strange_file(json.loads(body), folders)
        except (ValueError, RecursionError):
            strange = True
        if strange:
            await _refuse(send, 403, "Only what has been dropped on the page can be taken.")
            return
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> MutableMapping[str, Any]:
            return asked.pop() if asked else await receive()

        await app(scope, again, send)

    return answer


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})


def guarded(app: App, local: bool, most_bytes: int) -> App:
    """An ASGI application that answers its own page alone, and takes so many bytes of a request."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        if (refused := refusal(scope, local, most_bytes)) is not None:
            await _refuse(send, *refused)
            return
        left = most_bytes

        async def limited() -> MutableMapping[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}  # one that did not say how much would come

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message.get("headers", [])}
                more = [(name, value) for name, value in HEADERS.items() if name not in own]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await app(scope, limited, with_headers)

    return answer
