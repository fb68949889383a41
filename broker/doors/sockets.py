"""Sockets as every door needs them: listening, and dropped."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Sequence

from config.settings import Bind

SEND_BUFFER_BYTES = 65536
"""Else the kernel takes megabytes for a stuck client before anybody notices (amqtt.md, fact 24)."""

BACKLOG = 1024
"""Clients that knock while the box is busy with others, as all do after a power cut: the next would wait a second."""

ACCEPTS_PER_TURN = 16
"""Clients that come in before who is in already has a turn: each costs half a millisecond until it has its present."""

VANISHED = [
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]
"""The kernel asks a peer of whom it has not heard for a minute, and after two knows that it is gone: MQTT's keep-alive
does not tell while the box itself does not read."""

HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)  # the last is Linux's: will send no more

CLOSE_SECONDS = 5.0
"""How long what was written last may take to leave before the connection is dropped."""


class ListenError(Exception):
    """A door cannot be opened; the message is one sentence for the owner."""


def listen(bind: Bind, setting: str) -> Sequence[socket.socket]:
    """Listening sockets for a door; for ``localhost`` on both loopbacks, as far as the system has them.

    ``setting`` names where the bind was set. Accepted sockets inherit what is set for the listening one. Raises
    ListenError.
    """
    sockets: list[socket.socket] = []
    port = bind.port
    try:
        for address in bind.addresses:
            try:
                found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            except socket.gaierror as error:
                raise ListenError(f"{bind}: there is no such address") from error
            family, kind, protocol, _, where = found[0]
            try:
                listening = _listen(family, kind, protocol, where)
            except OSError as error:
                if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue  # a machine without IPv6 has one loopback
                raise ListenError(f"{bind}: {_describe(error, setting)}") from error
            sockets.append(listening)
            port = listening.getsockname()[1]
    except ListenError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _listen(family: int, kind: int, protocol: int, where: object) -> socket.socket:
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in VANISHED:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(where)  # type: ignore[arg-type]  # as getaddrinfo gave it
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


async def accept(listening: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
    """Let clients in, each to a protocol of its own, until the server is closed."""
    server = await asyncio.get_running_loop().create_server(protocol, sock=listening, backlog=ACCEPTS_PER_TURN)
    listening.listen(BACKLOG)  # asyncio has made it as short as what it accepts in one turn
    return server


def _describe(error: OSError, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program has this port already; stop it, or set another port with {setting}"
    if error.errno == errno.EACCES:
        return "this port needs more rights than the box has; ports from 1024 on do not"
    return os.strerror(error.errno or 0)


ACCEPTED_AT = "accepted_at"
"""Under which a transport tells when its connection was accepted, by the loop's clock, if that was before its protocol
began: with a TLS handshake in between."""


def time_left(transport: asyncio.BaseTransport, seconds: float) -> float:
    """How many of these seconds since the connection was accepted are left."""
    now = asyncio.get_running_loop().time()
    accepted_at: float = transport.get_extra_info(ACCEPTED_AT, now)
    return max(0.0, accepted_at + seconds - now)


def is_encrypted(transport: asyncio.BaseTransport) -> bool:
    """Whether it is a TLS connection, after its handshake."""
    return transport.get_extra_info("ssl_object") is not None


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has closed or reset the connection. The kernel knows that before what was sent has been read,
    and though nobody reads."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() == -1:
        return True
    kernel = select.poll()
    kernel.register(connection.fileno(), HUNG_UP)
    return bool(kernel.poll(0))


def reset(transport: asyncio.WriteTransport) -> None:
    """Drop a connection and everything that waits to be sent, in the kernel too: else what a stuck client has not read
    stays there for minutes after the connection is gone."""
    try:
        connection = transport.get_extra_info("socket")
    except AttributeError:
        return  # asyncio's of TLS that was closed twice has let go of its layer, which ends by itself
    if connection is None or connection.fileno() == -1:
        return  # it is gone already
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def leave_no_cycle(transport: asyncio.BaseTransport | None) -> None:
    """To be called when the connection is lost. In Python 3.11 a transport and its own bound method keep each other,
    and the garbage collector alone finds them; later ones let go of it when they close."""
    if sys.version_info < (3, 12) and transport is not None:
        vars(transport).pop("_read_ready_cb", None)
