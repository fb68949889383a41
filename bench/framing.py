"""As much of MQTT 3.1.1 and WebSocket as a cheap load generator needs: plain bytes in, plain bytes out.

It trusts what it reads: the systems measured run on this machine and are ours.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator, Sequence

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK = 2, 3, 4, 9, 11


def connect(client_id: str, *, username: str = "", password: str = "", keep_alive: int = 120) -> bytes:
    """CONNECT with a clean session; without a username as nobody."""
    flags = 0x02 | (0xC0 if username else 0)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + struct.pack("!H", keep_alive) + _text(client_id)
    if username:
        body += _text(username) + _text(password)
    return _packet(0x10, body)


def subscribe(packet_id: int, filters: Sequence[str], *, qos: int) -> bytes:
    topics = b"".join(_text(topic_filter) + bytes([qos]) for topic_filter in filters)
    return _packet(0x82, struct.pack("!H", packet_id) + topics)


def unsubscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    return _packet(0xA2, struct.pack("!H", packet_id) + b"".join(map(_text, filters)))


def publish(topic: str, payload: bytes, *, packet_id: int) -> bytes:
    """PUBLISH at QoS 1."""
    return _packet(0x32, _text(topic) + struct.pack("!H", packet_id) + payload)


def puback(packet_id: int) -> bytes:
    return b"\x40\x02" + struct.pack("!H", packet_id)


DISCONNECT = b"\xe0\x00"


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _packet(first: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes([first]) + bytes(length) + body


class PacketReader:
    """Cuts a stream of MQTT bytes into packets."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, received: bytes) -> Iterator[tuple[int, bytes]]:
        """Each complete packet as its first byte and its body."""
        buffer = self._waiting + received if self._waiting else received
        start, end = 0, len(buffer)
        while True:
            position, length, shift = start + 1, 0, 0
            while position < end:
                digit = buffer[position]
                position += 1
                length |= (digit & 0x7F) << shift
                if digit < 0x80:
                    break
                shift += 7
            else:
                break
            if position + length > end:
                break
            yield buffer[start], buffer[position : position + length]
            start = position + length
        self._waiting = buffer[start:]


def published(first: int, body: bytes) -> tuple[bytes, int, bytes]:
    """A PUBLISH's topic, packet id (0 at QoS 0) and payload."""
    after = 2 + int.from_bytes(body[:2])
    if first & 0x06:
        return body[2:after], int.from_bytes(body[after : after + 2]), body[after + 2 :]
    return body[2:after], 0, body[after:]


# WebSocket (RFC 6455)


def upgrade(host: str, port: int, path: str = "/mqtt") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    ).encode()


def client_frame(payload: bytes, opcode: int = 2) -> bytes:
    """One masked frame. The masking key is zero, so that masking costs the generator nothing."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, length)
    return head + b"\x00\x00\x00\x00" + payload


class FrameReader:
    """Takes a server's frames apart. What was in data frames comes out, in whatever pieces it arrived."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._opcode = 0
        self._control = b""
        self.pings: list[bytes] = []
        """Payloads of pings not yet answered; the caller answers and clears."""
        self.closed = False

    @property
    def between_frames(self) -> bool:
        return not self._head and not self._left

    def feed(self, received: bytes) -> bytes:
        """The data payload within ``received``: mostly one slice of it."""
        if not self._left and not self._head and (whole := self._one_whole_frame(received)) is not None:
            return whole
        pieces: list[bytes] = []
        buffer = self._head + received
        self._head = b""
        position = 0
        while position < len(buffer):
            if not self._left:
                head = self._frame_head(buffer, position)
                if head is None:
                    self._head = buffer[position:]
                    break
                position, self._opcode, self._left = head
                self._control = b""
            piece = buffer[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if self._opcode < 8:
                pieces.append(piece)
            else:
                self._control += piece
                if not self._left:
                    self._end_control()
        return b"".join(pieces)

    def _one_whole_frame(self, received: bytes) -> bytes | None:
        head = self._frame_head(received, 0)
        if head is not None:
            position, opcode, length = head
            if opcode < 8 and position + length == len(received):
                return received[position:]
        return None

    @staticmethod
    def _frame_head(buffer: bytes, position: int) -> tuple[int, int, int] | None:
        """Where the payload begins, the opcode and the payload's length."""
        if len(buffer) - position < 2:
            return None
        opcode, length = buffer[position] & 0x0F, buffer[position + 1] & 0x7F
        position += 2
        extra = {126: 2, 127: 8}.get(length, 0)
        if len(buffer) - position < extra:
            return None
        if extra:
            length = int.from_bytes(buffer[position : position + extra])
        return position + extra, opcode, length

    def _end_control(self) -> None:
        if self._opcode == 9:
            self.pings.append(self._control)
        elif self._opcode == 8:
            self.closed = True
