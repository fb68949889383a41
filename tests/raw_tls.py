"""A raw TLS client: the engine alone, so that any step may be its last."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct

from conftest import Certificate
from raw_mqtt import TcpTransport


class TlsTransport:
    """TLS without a stream of asyncio's around it: what is not read stays in the kernel."""

    def __init__(self, connected: socket.socket, trusting: ssl.SSLContext) -> None:
        self.socket = connected
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    @classmethod
    async def begin(
        cls, address: tuple[str, int], trusting: ssl.SSLContext, receive_buffer: int | None = None
    ) -> TlsTransport:
        """Connected, and the first words of the handshake sent, without waiting for an answer."""
        plain = await TcpTransport.open(address, receive_buffer)
        transport = cls(plain.socket, trusting)
        with contextlib.suppress(ssl.SSLWantReadError):
            transport._tls.do_handshake()
        await transport._flush()
        return transport

    @classmethod
    async def open(
        cls, address: tuple[str, int], trusting: ssl.SSLContext, receive_buffer: int | None = None
    ) -> TlsTransport:
        transport = await cls.begin(address, trusting, receive_buffer)
        await transport.shake_hands()
        return transport

    async def shake_hands(self) -> None:
        """What is left of the handshake."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def read(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                if not await self._fill():
                    return b""
            except ssl.SSLError:
                return b""

    async def goodbye(self) -> None:
        """``close_notify``, as who ends TLS properly says before the socket is closed."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        await self._flush()

    async def close(self) -> None:
        self.socket.close()

    async def _flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, self._outgoing.read())

    async def receive(self) -> bytes:
        """What comes next, encrypted."""
        try:
            return await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        except OSError:
            return b""

    async def _fill(self) -> bool:
        data = await self.receive()
        self._incoming.write(data)
        return bool(data)


def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.authority))


def reset(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()
