"""A raw WebSocket client over any raw transport: what is not read stays in the kernel, and any byte may be the last."""

from __future__ import annotations

import socket

from raw_mqtt import TcpTransport
from raw_tls import TlsTransport

from bench.framing import FrameReader, client_frame, upgrade


class RawWebSocket:
    """Sends each write as one binary frame."""

    def __init__(self, beneath: TcpTransport | TlsTransport) -> None:
        self.beneath = beneath
        self._frames = FrameReader()
        self._unread = b""

    @classmethod
    async def open(cls, beneath: TcpTransport | TlsTransport) -> RawWebSocket:
        await beneath.send(upgrade("localhost", 80))
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = await beneath.read()
            assert received, f"the box closed after {answer!r}"
            answer += received
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert b" 101 " in head, head
        opened = cls(beneath)
        opened._unread = opened._frames.feed(rest)
        return opened

    @property
    def socket(self) -> socket.socket:
        return self.beneath.socket

    async def send(self, data: bytes) -> None:
        await self.beneath.send(client_frame(data))

    async def read(self) -> bytes:
        while not self._unread:
            received = await self.beneath.read()
            if not received:
                return b""
            self._unread = self._frames.feed(received)
        unread, self._unread = self._unread, b""
        return unread

    async def close(self) -> None:
        await self.beneath.close()
