"""
Listening sockets of a server, and a file with their address for commands that run beside it.

1. `localhost` means both loopback addresses (RFC 6761, 6.3), any other name every address that it resolves to. Address
   families that this machine does not support are left out. All sockets have the same port.
2. Sockets are bound first; clients cannot connect until `listen`.
"""

import errno
import json
import socket
from collections.abc import Sequence
from contextlib import suppress

from seaway.errors import BadSetting
from seaway.settings import Settings

_BACKLOG = 2048
_LOCALHOST = ("127.0.0.1", "::1")
_NO_SUCH_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_FREE_PORTS_TRIED = 20  # a port that is free in one family may be taken in the other


def bind(host: str, port: int, hint: str) -> list[socket.socket]:
    """Return a bound socket for each address of the host; clients cannot connect yet."""
    try:
        addresses = _addresses_of(host, port)
        for _ in range(_FREE_PORTS_TRIED - 1 if port == 0 and len(addresses) > 1 else 0):
            with suppress(OSError):
                return _bind_all(addresses, port)
        return _bind_all(addresses, port)
    except OSError as error:
        raise _cannot_listen(host, port, error, hint) from None


def listen(sockets: Sequence[socket.socket], hint: str) -> None:
    """Start listening, so that clients that connect as soon as the address is printed wait instead of being refused."""
    for number, listener in enumerate(sockets):
        try:
            listener.listen(_BACKLOG)
        except OSError as error:
            host, port = listener.getsockname()[:2]
            close(sockets[number:])
            raise _cannot_listen(host, port, error, hint) from None


def close(sockets: Sequence[socket.socket]) -> None:
    """Close the sockets."""
    for listener in sockets:
        listener.close()


def save_address(settings: Settings) -> None:
    """Save the address of the server for links that commands print and send; skipped on a read-only disk."""
    with suppress(OSError):
        settings.listening_file.write_text(json.dumps({"host": settings.host, "port": settings.port}))


def with_saved_address(settings: Settings) -> Settings:
    """Return the settings with the address of the server that was last started with this data folder."""
    try:
        noted = json.loads(settings.listening_file.read_text())
        return settings.model_copy(update={"host": str(noted["host"]), "port": int(noted["port"])})
    except (OSError, ValueError, TypeError, KeyError):  # no server has been started, or a full disk truncated the file
        return settings


def _addresses_of(host: str, port: int) -> list[str]:
    if host == "localhost":
        return list(_LOCALHOST)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _bind_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    for address in addresses:
        try:
            bound.append(_bind(address, bound[0].getsockname()[1] if bound else port))
        except OSError as error:
            if error.errno not in _NO_SUCH_FAMILY:
                close(bound)
                raise
            missing = error
    if missing is not None and not bound:
        raise missing
    return bound


def _bind(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, error: OSError, hint: str) -> BadSetting:
    return BadSetting(f"Cannot listen on {host} port {port}: {error.strerror}.", hint)
