"""The TCP door: MQTT 3.1.1 for devices."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from broker.addresses import network_of
from broker.connection import Wire
from broker.doors.encrypted import Tls, layered
from broker.doors.sockets import accept, is_encrypted, reset
from broker.doors.wire import TransportWire, forget_traceback
from broker.places import Places

READ_BYTES = 65536


class StreamWire(TransportWire):
    """A :class:`broker.connection.Wire` over a TCP stream: packets travel as they are."""

    door = "tcp"

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer.transport, writer.get_extra_info("peername")[0])
        self._reader = reader
        self._writer = writer  # kept: a StreamWriter that is collected closes its transport

    async def read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    def frame(self, packet: bytes) -> bytes:
        return packet


class TcpDoor:
    """``serve`` runs one connection to its end; ``places`` counts the connections;
    ``connect_seconds`` limit the TLS handshake."""

    def __init__(self, serve: Callable[[Wire], Awaitable[None]], places: Places, connect_seconds: float) -> None:
        self._serve = serve
        self._connect_seconds = connect_seconds
        self._places = places
        self._servers: list[asyncio.Server] = []
        self._is_closing = False
        self.addresses: list[tuple[str, int]] = []

    async def open(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        layer = None if tls is None else Tls(tls, self._connect_seconds, self._take_place)
        for listening in sockets:
            self._servers.append(await accept(listening, layered(self._stream, layer)))
            self.addresses.append(listening.getsockname()[:2])

    def _take_place(self, address: str) -> Callable[[], None] | None:
        network = network_of(address)
        return partial(self._places.free, network) if self._places.take(network) else None

    def _stream(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._connected)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = StreamWire(reader, writer)
        network = network_of(wire.address)
        # Who comes out of a TLS handshake when all others have been ended would be nobody's to end.
        if self._is_closing or not self._places.take(network, is_new=not is_encrypted(writer.transport)):
            reset(writer.transport)
            return
        try:
            await self._serve(wire)
        finally:
            forget_traceback(reader.exception())
            self._places.free(network)

    def close(self) -> None:
        """Let nobody in any more. Who is in stays until its connection ends."""
        self._is_closing = True
        for server in self._servers:
            server.close()
