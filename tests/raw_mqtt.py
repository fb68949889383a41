"""A raw MQTT client: sends any bytes over TCP or WebSocket and reads packets. It answers nothing by itself.

A read waits for what it is for; ``DEADLINE`` only guards against a box that never sends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import NamedTuple, Protocol

import aiohttp

from broker.host import Host

DEADLINE = 10.0

IP_BIND_ADDRESS_NO_PORT = 24
"""Linux: a port is chosen at connect, so that many connections may come from one address."""

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 2, 3, 4, 5, 6, 7
SUBACK, UNSUBACK, PINGRESP = 9, 11, 13

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


class Packet(NamedTuple):
    """A packet from the box."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4

    @property
    def retain(self) -> bool:
        return bool(self.first & 1)

    @property
    def qos(self) -> int:
        return self.first >> 1 & 3

    @property
    def topic(self) -> str:
        assert self.kind == PUBLISH
        return self.body[2 : 2 + int.from_bytes(self.body[:2])].decode()

    @property
    def packet_id(self) -> int:
        start = 2 + int.from_bytes(self.body[:2]) if self.kind == PUBLISH else 0
        return int.from_bytes(self.body[start : start + 2])

    @property
    def payload(self) -> bytes:
        return self.body[2 + len(self.topic.encode()) + (2 if self.qos else 0) :]


def cut(data: bytes) -> list[Packet]:
    """Bytes from the box as packets, of which the last must be whole."""
    found = []
    while data:
        packet, data = _first(data)
        assert packet is not None, data
        found.append(packet)
    return found


def _first(data: bytes) -> tuple[Packet | None, bytes]:
    length, place = 0, 1
    while place < len(data):
        digit = data[place]
        length |= (digit & 0x7F) << 7 * (place - 1)
        place += 1
        if digit < 0x80:
            if len(data) < place + length:
                break
            _check_flags(data[0])
            return Packet(data[0], data[place : place + length]), data[place + length :]
    return None, data


def _check_flags(first: int) -> None:
    """What holds for each packet that the box ever sends: reserved flags are 0 (MQTT-2.2.2-1), QoS is at most 1, and
    nothing is sent a second time, so that DUP is 0 (MQTT-3.3.1-2, -3)."""
    assert first & 0x0F & ~(0x03 if first >> 4 == PUBLISH else 0) == 0, f"flags of {first:#x}"


# Packets to the box


def packet(first: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = length >> 7, length & 0x7F
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((first,)) + bytes(digits) + body


def field(value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2) + data


def connect(
    username: str | None = None,
    password: str | None = None,
    *,
    client_id: str = "",
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str, bytes] | None = None,
    will_qos: int = 0,
    will_retain: bool = False,
) -> bytes:
    flags = 0x02 * clean | 0x80 * (username is not None) | 0x40 * (password is not None)
    body = field("MQTT") + b"\x04"
    tail = field(client_id)
    if will is not None:
        flags |= 0x04 | will_qos << 3 | 0x20 * will_retain
        tail += field(will[0]) + field(will[1])
    for part in (username, password):
        tail += field(part) if part is not None else b""
    return packet(0x10, body + bytes((flags,)) + keep_alive.to_bytes(2) + tail)


def publish(topic: str, payload: bytes = b"", *, qos: int = 0, packet_id: int = 0, retain: bool = False) -> bytes:
    identifier = packet_id.to_bytes(2) if qos else b""
    return packet(0x30 | qos << 1 | retain, field(topic) + identifier + payload)


def subscribe(*filters: str, qos: int = 0, packet_id: int = 1) -> bytes:
    return packet(0x82, packet_id.to_bytes(2) + b"".join(field(f) + bytes((qos,)) for f in filters))


def unsubscribe(*filters: str, packet_id: int = 1) -> bytes:
    return packet(0xA2, packet_id.to_bytes(2) + b"".join(field(f) for f in filters))


def acknowledgement(kind: int, packet_id: int) -> bytes:
    return packet(kind << 4 | (2 if kind == PUBREL else 0), packet_id.to_bytes(2))


# Transports


class Transport(Protocol):
    async def send(self, data: bytes) -> None: ...

    async def read(self) -> bytes:
        """The next bytes, ``b""`` once the box has closed."""

    async def close(self) -> None: ...


def from_address(source: str | None) -> aiohttp.TCPConnector:
    """A connector whose connections come from that address of loopback, and end with each request."""
    return aiohttp.TCPConnector(local_addr=None if source is None else (source, 0), force_close=True)


class TcpTransport:
    """A plain socket: what the client does not ask for stays in the kernel, as with a client that does not read."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    @classmethod
    async def open(
        cls, address: tuple[str, int], receive_buffer: int | None = None, *, source: str | None = None
    ) -> TcpTransport:
        """``source`` is the client's own address: one of loopback's many."""
        connected = socket.socket()
        if source is not None:
            connected.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            connected.bind((source, 0))
        if receive_buffer is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connected, address)
        return cls(connected)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        except OSError:
            return b""

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self.socket.close()


class WebSocketTransport:
    """A browser's way in. ``close_code`` says how the box closed."""

    def __init__(self, session: aiohttp.ClientSession, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self.websocket = websocket

    @property
    def close_code(self) -> int | None:
        return self.websocket.close_code

    @classmethod
    async def open(
        cls, address: tuple[str, int], path: str = "/mqtt", *, source: str | None = None, **headers: str
    ) -> WebSocketTransport:
        session = aiohttp.ClientSession(connector=from_address(source))
        try:
            url = f"http://{address[0]}:{address[1]}{path}"
            websocket = await session.ws_connect(
                url, protocols=("mqtt",), headers=headers, max_msg_size=0, autoclose=False
            )
        except BaseException:
            await session.close()
            raise
        return cls(session, websocket)

    async def send(self, data: bytes) -> None:
        await self.websocket.send_bytes(data)

    async def read(self) -> bytes:
        message = await self.websocket.receive()
        return message.data if message.type is aiohttp.WSMsgType.BINARY else b""

    async def close(self) -> None:
        if (connection := self.websocket._conn) is not None:  # abruptly, as a laptop's lid does
            connection.close()
        await self._session.close()


class RawClient:
    """One client. It is not connected until :meth:`connect`; ``unread`` packets may be looked at freely."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._buffer = b""

    @classmethod
    async def open(cls, host: Host, door: str = "tcp", *, receive_buffer: int | None = None) -> RawClient:
        if door == "tcp":
            return cls(await TcpTransport.open(host.tcp_addresses[0], receive_buffer))
        return cls(await WebSocketTransport.open(host.web_addresses[0]))

    async def send(self, *packets: bytes) -> None:
        """All of them in one write."""
        await self.transport.send(b"".join(packets))

    async def packet(self) -> Packet | None:
        """The next packet, None once the box has closed."""
        async with asyncio.timeout(DEADLINE):
            while (whole := self._cut()) is None:
                data = await self.transport.read()
                if not data:
                    return None
                self._buffer += data
            return whole

    async def packets(self, number: int) -> list[Packet]:
        found = []
        for _ in range(number):
            received = await self.packet()
            assert received is not None, f"the box closed after {found}"
            found.append(received)
        return found

    async def next(self, kind: int) -> Packet:
        """The next packet, which must be of that kind."""
        received = await self.packet()
        assert received is not None, "the box closed the connection"
        assert received.kind == kind, received
        return received

    async def read_to_end(self) -> list[Packet]:
        """All packets up to the end of the connection."""
        found = []
        while (received := await self.packet()) is not None:
            found.append(received)
        return found

    async def is_closed(self) -> bool:
        """Wait until the box closes; fails if it sends a packet before."""
        received = await self.packet()
        assert received is None, received
        return True

    async def connect(self, username: str | None = None, **options: object) -> RawClient:
        """Sign in with the password of the sample plugins, as a guest without a name."""
        password = None if username is None else f"{username}-demo"
        await self.send(connect(username, password, **options))  # type: ignore[arg-type]
        connack = await self.next(CONNACK)
        assert connack.body == b"\0\0", f"CONNACK {connack.body[1]}"
        return self

    async def subscribe(self, *filters: str, qos: int = 0, packet_id: int = 1) -> bytes:
        """Returns what was granted; the present is still to be read."""
        await self.send(subscribe(*filters, qos=qos, packet_id=packet_id))
        suback = await self.next(SUBACK)
        assert suback.packet_id == packet_id
        return suback.body[2:]

    async def silence(self) -> None:
        """Fails unless all that the box has had to say was read: a ping is answered behind it."""
        await self.send(PINGREQ)
        await self.next(PINGRESP)

    async def close(self) -> None:
        with contextlib.suppress(OSError):
            await self.transport.close()

    def _cut(self) -> Packet | None:
        found, self._buffer = _first(self._buffer)
        return found
