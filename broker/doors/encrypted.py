"""TLS over an accepted connection: asyncio's own, held to the box's limits from the first byte.

asyncio counts a TLS connection only once its handshake is over; until then nobody would limit how many there are, and
each takes a file descriptor and memory.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from dataclasses import dataclass

from broker.doors.sockets import ACCEPTED_AT, CLOSE_SECONDS, leave_no_cycle, reset
from broker.doors.wire import forget_traceback

BUFFER_BYTES = 16384
"""What one connection reads at once: a TLS record. asyncio takes 256 KiB for it from each connection for as long as it
lives, and once more for each read: a gigabyte for 4096 browsers that only wait."""

OPEN = (sslproto.SSLProtocolState.DO_HANDSHAKE, sslproto.SSLProtocolState.WRAPPED)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a door speaks TLS. ``handshake_seconds`` limit the handshake; ``take_place`` counts one that has begun at
    this address, and answers how it is counted no more, or None if there is no place for it."""

    context: ssl.SSLContext
    handshake_seconds: float
    take_place: Callable[[str], Callable[[], None] | None]


def layered(protocol: Callable[[], asyncio.BaseProtocol], tls: Tls | None) -> Callable[[], asyncio.BaseProtocol]:
    """What makes a door's protocol, over TLS if the door speaks it."""
    return protocol if tls is None else lambda: TlsLayer(tls, protocol)


class TlsLayer(sslproto.SSLProtocol):
    """Between a socket's transport and the protocol of a door, which begins when the handshake is over."""

    max_size = BUFFER_BYTES

    def __init__(self, tls: Tls, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        super().__init__(
            loop,
            _AfterHandshake(self._count_no_more, protocol),
            tls.context,
            ready,
            server_side=True,
            ssl_handshake_timeout=tls.handshake_seconds,  # type: ignore[arg-type]  # it is a delay of call_later
            ssl_shutdown_timeout=CLOSE_SECONDS,
        )
        ready.add_done_callback(_expect_failure)
        self._loop_of_layer = loop
        self._take_place = tls.take_place
        self._free_place: Callable[[], None] | None = None
        self._beneath: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._beneath = transport
        self._extra[ACCEPTED_AT] = self._loop_of_layer.time()
        peer = transport.get_extra_info("peername")
        self._free_place = self._take_place(peer[0] if peer else "")
        if self._free_place is None:
            reset(transport)
            return
        super().connection_made(transport)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # typeshed does not know what asyncio does here
        """The peer's end begins ours, which has its time: where the door does not read, asyncio would wait for it for
        ever, and every close of the door's with it."""
        self._hurry()
        return super().eof_received()

    def _on_shutdown_complete(self, shutdown_exc: BaseException | None) -> None:
        """Both have said goodbye. asyncio waits without end until the peer has taken what was written before."""
        super()._on_shutdown_complete(shutdown_exc)  # type: ignore[misc]  # typeshed knows the public ones
        self._hurry()

    def _hurry(self) -> None:
        if self._deadline is None and self._beneath is not None:
            self._deadline = self._loop_of_layer.call_later(CLOSE_SECONDS, self._drop)

    def _drop(self) -> None:
        if self._beneath is not None:
            reset(self._beneath)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        leave_no_cycle(self._beneath)
        forget_traceback(exc)
        self._beneath = None
        super().connection_lost(exc)
        self._count_no_more()

    def resume_writing(self) -> None:
        """What waits is not written at once, for this is called from the midst of a write: were the next one to fail in
        there, asyncio would take the connection down twice, and log the second as a fault."""
        self._loop_of_layer.call_soon(super().resume_writing)

    # Nothing is written to a peer that is gone: asyncio would log each try, of which a stranger can make thousands.

    def _write_appdata(self, list_of_data: list[bytes]) -> None:
        """The door does not know of an end that came while it did not read."""
        if self._state in OPEN:  # type: ignore[attr-defined]
            super()._write_appdata(list_of_data)

    def _process_outgoing(self) -> None:
        if self._beneath is not None and not self._beneath.is_closing():
            super()._process_outgoing()  # type: ignore[misc]

    def _count_no_more(self) -> None:
        if self._free_place is not None:
            free, self._free_place = self._free_place, None
            free()


class _AfterHandshake(asyncio.Protocol):
    """In the place of a door's protocol until the handshake is over: then the door counts the connection itself."""

    def __init__(self, handshake_is_over: Callable[[], None], protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._handshake_is_over = handshake_is_over
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._handshake_is_over()
        protocol = self._protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _expect_failure(ready: asyncio.Future[None]) -> None:
    """A handshake that fails is the peer's affair: asyncio would else log an exception that nobody has looked at."""
    if not ready.cancelled():
        ready.exception()
