"""MQTT 3.1.1 control packets: bytes in, whole valid packets out, and back. No sockets, no clock.

Every packet is validated whole before anybody acts on it, because amqtt reads the topic of a malformed PUBLISH and
parses the rest as further packets (amqtt.md, fact 9).
"""

from __future__ import annotations

import struct
from collections.abc import Sized
from dataclasses import dataclass
from enum import IntEnum

from broker.topics import is_topic_name


class PacketType(IntEnum):
    """MQTT 3.1.1 §2.2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class MalformedPacketError(Exception):
    """The bytes break MQTT 3.1.1; the connection must be closed (§4.8). The message names the rule."""


class PacketTooLargeError(MalformedPacketError):
    """More than ``limits.max_packet_bytes``."""


class ProtocolLevelError(MalformedPacketError):
    """A CONNECT of another protocol level than 4; answered with CONNACK 1 (§3.1.2.2)."""


# §2.2.2: the flags that each packet type of a client must carry; PUBLISH has its own.
_FLAGS = {
    PacketType.CONNECT: 0,
    PacketType.PUBACK: 0,
    PacketType.PUBREC: 0,
    PacketType.PUBREL: 2,
    PacketType.PUBCOMP: 0,
    PacketType.SUBSCRIBE: 2,
    PacketType.UNSUBSCRIBE: 2,
    PacketType.PINGREQ: 0,
    PacketType.DISCONNECT: 0,
}
_PUBLISH = int(PacketType.PUBLISH)
FROM_CLIENT = frozenset(int(kind) for kind in _FLAGS) | {_PUBLISH}
_REQUIRED_FLAGS = {int(kind): flags for kind, flags in _FLAGS.items()}

PACKETS_AT_ONCE = 256
"""Packets that are cut from what came before they are answered: two bytes of a stranger's are a hundred here."""

FILTERS_AT_MOST = 1024
"""Topic filters of one packet, which is malformed with more: each takes its time and an answer."""


def _anew(error: MalformedPacketError) -> MalformedPacketError:
    """The same without its frames: they keep the framer that keeps the error, and all of the connection with it."""
    return type(error)(*error.args)


class Framer:
    """Cuts a client's bytes into packets.

    ``feed`` returns whole packets as ``(first byte, body)``, at most :data:`PACKETS_AT_ONCE` of them; feed it nothing
    until it returns none, and what is left is an incomplete packet, which waits for more. A fixed header that breaks a
    rule or announces more than ``max_packet_bytes`` ends the packets, so that no more is ever kept than what was fed
    last and one packet: the next ``feed`` then raises, as does this one if none came whole before it. What came before
    is given out, so that what takes effect does not depend on how the network cut the bytes.
    """

    __slots__ = ("_broken", "_buffer", "_max_packet_bytes")

    def __init__(self, max_packet_bytes: int) -> None:
        self._buffer = b""
        self._broken: MalformedPacketError | None = None
        self._max_packet_bytes = max_packet_bytes

    def feed(self, data: bytes = b"") -> list[tuple[int, bytes]]:
        if self._broken is not None:
            raise _anew(self._broken)
        packets: list[tuple[int, bytes]] = []
        try:
            self._cut(self._buffer + data if self._buffer else data, packets)
        except MalformedPacketError as error:
            self._broken, self._buffer = _anew(error), b""
            if not packets:
                raise
        return packets

    def _cut(self, data: bytes, packets: list[tuple[int, bytes]]) -> None:
        start, end = 0, len(data)
        while start < end and len(packets) < PACKETS_AT_ONCE:
            first = data[start]
            self._check_header(first)
            length, shift, body = 0, 0, start + 1
            while body < end:
                digit = data[body]
                body += 1
                length |= (digit & 0x7F) << shift
                if digit < 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise MalformedPacketError("§2.2.3: a remaining length has at most four bytes")
            else:
                break  # the remaining length itself is not complete
            if body - start + length > self._max_packet_bytes:
                raise PacketTooLargeError(f"a packet may have at most {self._max_packet_bytes} bytes")
            if end - body < length:
                break
            packets.append((first, data[body : body + length]))
            start = body + length
        self._buffer = data[start:] if start else data

    @staticmethod
    def _check_header(first: int) -> None:
        kind, flags = first >> 4, first & 0x0F
        if kind not in FROM_CLIENT:
            raise MalformedPacketError(f"§2.2.1: packet type {kind} is not a client's to send")
        if kind == _PUBLISH:
            if flags & 0x06 == 0x06:
                raise MalformedPacketError("MQTT-3.3.1-4: QoS 3 does not exist")
            if flags & 0x0E == 0x08:
                raise MalformedPacketError("MQTT-3.3.1-2: DUP belongs to QoS 1 and 2")
        elif flags != _REQUIRED_FLAGS[kind]:
            raise MalformedPacketError("MQTT-2.2.2-2: reserved flags are set")


@dataclass(frozen=True, slots=True)
class Will:
    """A Last Will (§3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT (§3.1). ``keep_alive`` is in seconds, 0 for none."""

    client_id: str
    clean_session: bool
    keep_alive: int
    username: str | None
    password: bytes | None
    will: Will | None


@dataclass(slots=True)
class Publish:
    """A PUBLISH (§3.3). ``packet_id`` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int


class _Body:
    """Reads a packet's fields one after another; every read beyond the end is a malformed packet."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise MalformedPacketError("a field is longer than its packet")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def uint16(self) -> int:
        return int.from_bytes(self.take(2))

    def binary(self) -> bytes:
        return self.take(self.uint16())

    def string(self) -> str:
        return _text(self.binary())

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def end(self) -> None:
        if self:
            raise MalformedPacketError("bytes are left over behind the packet's last field")


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedPacketError("MQTT-1.5.3-1: text is not UTF-8") from error
    if "\0" in text:
        raise MalformedPacketError("MQTT-1.5.3-2: text holds U+0000")
    return text


def _packet_id(number: int) -> int:
    if number == 0:
        raise MalformedPacketError("MQTT-2.3.1-1: a packet identifier is not 0")
    return number


def parse_connect(body: bytes) -> Connect:
    """§3.1. Raises ProtocolLevelError for another protocol than MQTT 3.1.1, otherwise MalformedPacketError."""
    fields = _Body(body)
    name = fields.binary()
    level = fields.byte()
    if name == b"MQIsdp" or (name == b"MQTT" and level != 4):
        raise ProtocolLevelError("only MQTT 3.1.1 (protocol level 4) is spoken here")
    if name != b"MQTT":
        raise MalformedPacketError("MQTT-3.1.2-1: the protocol name is not MQTT")
    flags = fields.byte()
    has_will, will_qos, will_retain = bool(flags & 0x04), flags >> 3 & 3, bool(flags & 0x20)
    has_username, has_password = bool(flags & 0x80), bool(flags & 0x40)
    if flags & 0x01:
        raise MalformedPacketError("MQTT-3.1.2-3: the reserved connect flag is set")
    if will_qos == 3:
        raise MalformedPacketError("MQTT-3.1.2-14: Will QoS 3 does not exist")
    if not has_will and (will_qos or will_retain):
        raise MalformedPacketError("MQTT-3.1.2-13, -15: Will QoS or Will Retain without a Will")
    if has_password and not has_username:
        raise MalformedPacketError("MQTT-3.1.2-22: a password without a username")
    keep_alive = fields.uint16()
    client_id = fields.string()
    will = None
    if has_will:
        topic = fields.string()
        if not is_topic_name(topic):
            raise MalformedPacketError("MQTT-4.7.1-1, MQTT-4.7.3-1: a Will topic is not empty and has no wildcards")
        will = Will(topic, fields.binary(), will_qos, will_retain)
    username = fields.string() if has_username else None
    password = fields.binary() if has_password else None
    fields.end()
    return Connect(client_id, bool(flags & 0x02), keep_alive, username, password, will)


def parse_publish(first: int, body: bytes) -> Publish:
    """§3.3."""
    qos = first >> 1 & 3
    if len(body) < 2:
        raise MalformedPacketError("a field is longer than its packet")
    position = 2 + (body[0] << 8 | body[1])
    if position + (2 if qos else 0) > len(body):
        raise MalformedPacketError("a field is longer than its packet")
    topic = _text(body[2:position])
    if not is_topic_name(topic):
        raise MalformedPacketError("MQTT-3.3.2-2, MQTT-4.7.3-1: a topic name is not empty and has no wildcards")
    packet_id = 0
    if qos:
        packet_id = _packet_id(body[position] << 8 | body[position + 1])
        position += 2
    return Publish(topic, body[position:], qos, bool(first & 1), packet_id)


def parse_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """§3.8: the packet identifier, and each topic filter with its requested QoS.

    A filter whose wildcards stand wrongly is not malformed here: its SUBACK is 0x80.
    """
    fields = _Body(body)
    packet_id = _packet_id(fields.uint16())
    filters: list[tuple[str, int]] = []
    while fields:
        _require_few(filters)
        topic_filter, qos = _filter(fields), fields.byte()
        if qos > 2:
            raise MalformedPacketError("MQTT-3.8.3-4: a requested QoS is 0, 1 or 2")
        filters.append((topic_filter, qos))
    if not filters:
        raise MalformedPacketError("MQTT-3.8.3-3: a SUBSCRIBE has at least one topic filter")
    return packet_id, filters


def parse_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """§3.10: the packet identifier and the topic filters."""
    fields = _Body(body)
    packet_id = _packet_id(fields.uint16())
    filters: list[str] = []
    while fields:
        _require_few(filters)
        filters.append(_filter(fields))
    if not filters:
        raise MalformedPacketError("MQTT-3.10.3-2: an UNSUBSCRIBE has at least one topic filter")
    return packet_id, filters


def _require_few(filters: Sized) -> None:
    if len(filters) >= FILTERS_AT_MOST:
        raise MalformedPacketError(f"a packet has at most {FILTERS_AT_MOST} topic filters")


def _filter(fields: _Body) -> str:
    topic_filter = fields.string()
    if not topic_filter:
        raise MalformedPacketError("MQTT-4.7.3-1: a topic filter is not empty")
    return topic_filter


def parse_packet_id(body: bytes) -> int:
    """PUBACK, PUBREC, PUBREL and PUBCOMP carry a packet identifier and nothing else."""
    if len(body) != 2:
        raise MalformedPacketError("an acknowledgement has two bytes")
    return _packet_id(body[0] << 8 | body[1])


def check_empty(body: bytes) -> None:
    """PINGREQ and DISCONNECT carry nothing (§3.12, §3.14)."""
    if body:
        raise MalformedPacketError("PINGREQ and DISCONNECT carry nothing")


# To the client

PINGRESP = b"\xd0\x00"


def connack(code: int) -> bytes:
    """§3.2; session present is always 0 (protocol.md)."""
    return bytes((0x20, 2, 0, code))


def puback(packet_id: int) -> bytes:
    return struct.pack(">BBH", 0x40, 2, packet_id)


def pubrec(packet_id: int) -> bytes:
    return struct.pack(">BBH", 0x50, 2, packet_id)


def pubcomp(packet_id: int) -> bytes:
    return struct.pack(">BBH", 0x70, 2, packet_id)


def publish(topic: bytes, payload: bytes, *, qos: int = 0, retain: bool = False, packet_id: int = 0) -> bytes:
    """§3.3; ``topic`` is UTF-8."""
    first = 0x30 | qos << 1 | retain
    identifier = packet_id.to_bytes(2) if qos else b""
    length = 2 + len(topic) + len(identifier) + len(payload)
    return b"".join((bytes((first,)), _remaining_length(length), len(topic).to_bytes(2), topic, identifier, payload))


def _remaining_length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    digits = bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)
