"""Pages that this machine serves: where their server listens, and which requests are those of the page itself."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from texopt.errors import OptionError

PORTS = 100  # that are tried, from the given one on
WAITING = 16  # connections that the system may keep for a server, and that are taken from it at once


def is_loopback(host: str | None) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a host of this machine, at the first free port from the given one on; 0 takes any.

    Raises OptionError: a host that is not this machine, a port that cannot be or is not allowed, none that is free.
    """
    if not 0 <= port <= 65535:
        raise OptionError(f"port has to be between 0 and 65535, not {port}; 0 takes any that is free")
    try:
        found = socket.getaddrinfo(host or "?", None, type=socket.SOCK_STREAM)
        family, _, _, _, (address, *_) = min(found, key=lambda info: info[0] != socket.AF_INET)
        with socket.socket(family) as probe:
            probe.bind((address, 0))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot listen on host {host!r} ({reason}); 127.0.0.1 is this machine only") from None
    reason = "in use"
    for candidate in range(port, min(port + PORTS, 65536)):
        try:
            return socket.create_server((address, candidate), family=family, backlog=WAITING)
        except PermissionError:
            reason = "not allowed"
        except OSError:
            pass
    raise OptionError(f"port {port} and those after it are {reason}; choose another --port")


def is_own_page(origin: str | None, host: str | None, local: bool) -> bool:
    """Whether a request was made by the page that this server serves, or by no page.

    Browsers say in Origin which page opens a websocket, and in Host whom it asked for. Where the server is `local`, the
    latter has to be this machine's name: others can be made to lead here (DNS rebinding).
    """
    try:
        name = urlsplit(f"//{host or ''}").hostname
        page = host if origin is None else urlsplit(origin).netloc
    except ValueError:  # no address
        return False
    return bool(host) and page == host and (not local or is_loopback(name))


def url_of(listening: socket.socket) -> str:
    """Where a browser of this machine finds what listens there."""
    address, port = listening.getsockname()[:2]
    open_to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{open_to}]:{port}" if ":" in open_to else f"http://{open_to}:{port}"
