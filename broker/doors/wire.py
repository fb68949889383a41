"""The half of a :class:`broker.connection.Wire` that all doors have in common: the transport that is written to."""

from __future__ import annotations

import asyncio
import weakref

from broker.doors.sockets import CLOSE_SECONDS, has_hung_up, reset, time_left


class TransportWire:
    """Writes framed bytes to an asyncio transport, and closes it without waiting for the peer."""

    def __init__(self, transport: asyncio.WriteTransport, address: str) -> None:
        self._transport = transport
        self.address = address
        peer = transport.get_extra_info("peername")
        self.port = int(peer[1]) if peer else 0

    def time_left(self, seconds: float) -> float:
        return time_left(self._transport, seconds)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def buffered(self) -> int:
        # A transport of TLS that is closed for the second time, as by the peer and by us, can no longer say.
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def has_hung_up(self) -> bool:
        return self._transport.is_closing() or has_hung_up(self._transport)

    def close(self, *, again: bool) -> None:
        if not self._transport.is_closing():
            self.write(self.goodbye(again=again))
            self._transport.close()
        # Also one that aiohttp has closed already, which waits for its reader. By a weak reference: where all has left
        # at once, nothing stays for the timer's sake.
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, _drop, weakref.ref(self._transport))

    def goodbye(self, *, again: bool) -> bytes:
        """What the door says last; ``again`` tells a browser that it may come back."""
        return b""

    def abort(self) -> None:
        reset(self._transport)


def _drop(transport: weakref.ref[asyncio.WriteTransport]) -> None:
    if (still_there := transport()) is not None:
        reset(still_there)


def forget_traceback(error: BaseException | None) -> None:
    """To be called with the error that a peer's stream ended with, if it did: it is kept by the stream, and its frames
    keep the stream and all of the connection, in a cycle that only the garbage collector would find; with TLS some
    300 KiB each."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
