"""What reads bytes from strangers, under hypothesis: framing and parsing by plain calls, the gate and whole connections
over raw sockets. What was found once stays as an ``@example``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from boxes import plugin
from conftest import examples
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import CONNECTS, PACKETS
from raw_mqtt import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    PUBREL,
    RawClient,
    TcpTransport,
    acknowledgement,
    connect,
    field,
    packet,
    publish,
    subscribe,
    unsubscribe,
)
from sample_plugins import COMMAND, Counter
from test_amqtt_facts import assert_nothing_is_left

from broker import packets
from broker.gate import MAX_CLIENT_ID_BYTES
from broker.host import Host
from broker.packets import Framer, MalformedPacketError
from broker.topics import is_topic_name

LARGEST = 300

# Bytes that are sometimes right: whole packets, packets that are wrong in one way, pieces of both, and noise.
KNOWN = [
    PINGREQ,
    DISCONNECT,
    connect("ann", "ann-demo", will=("free/will", b"gone"), will_qos=1),
    publish("free/x", b"payload", qos=2, packet_id=4),
    publish("free/x", b"x" * 250),
    subscribe("free/#", "+", qos=1, packet_id=2),
    unsubscribe("free/#", packet_id=3),
    acknowledgement(PUBREL, 5),
    *(data for rows in (CONNECTS, PACKETS) for row in rows.values() for data in row),
]
NOISE = st.binary(max_size=20)
PIECES = st.builds(
    lambda data, start, end: data[start:end], st.sampled_from(KNOWN), st.integers(0, 9), st.integers(-9, 0)
)
SPOILED = st.builds(
    lambda data, place, byte: data[: place % len(data)] + bytes((byte,)) + data[place % len(data) + 1 :],
    st.sampled_from(KNOWN),
    st.integers(0, 1000),
    st.integers(0, 255),
)
STREAMS = st.lists(st.sampled_from(KNOWN) | SPOILED | PIECES | NOISE, max_size=6).map(b"".join)


# Framing


def by_the_book(data: bytes, largest: int = LARGEST) -> tuple[list[tuple[int, bytes]], bool]:
    """§2.2 as it is written: the whole packets, and whether what follows them is malformed."""
    found: list[tuple[int, bytes]] = []
    while data:
        kind, flags = data[0] >> 4, data[0] & 0x0F
        if kind in (0, 2, 9, 11, 13, 15):
            return found, True
        if kind == 3 and (flags >> 1 & 3 == 3 or (flags & 8 and not flags >> 1 & 3)):
            return found, True
        if kind != 3 and flags != (2 if kind in (6, 8, 10) else 0):
            return found, True
        multiplier, length, place = 1, 0, 1
        while True:
            if place == 5:
                return found, True
            if place == len(data):
                return found, False
            length += (data[place] & 127) * multiplier
            multiplier *= 128
            place += 1
            if data[place - 1] < 128:
                break
        if place + length > largest:
            return found, True
        if place + length > len(data):
            return found, False
        found.append((data[0], data[place : place + length]))
        data = data[place + length :]
    return found, False


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
@example(b"\xc0\x80\x00", [1, 2])
@example(b"\x30\x80\x80\x80\x80", [4])
def test_any_bytes_are_cut_into_packets_by_the_book_however_they_come(data: bytes, cuts: list[int]) -> None:
    framer, found, malformed = Framer(LARGEST), [], False
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    start = 0
    try:
        for end in ends:
            found += framer.feed(data[start:end])
            assert framer.feed() == []
            start = end
    except MalformedPacketError:
        malformed = True
    assert (found, malformed) == by_the_book(data)
    if malformed:
        with pytest.raises(MalformedPacketError):
            framer.feed(b"")
    else:
        assert len(framer._buffer) <= LARGEST


# Parsing: what is understood can be written again, to the same bytes. So nothing of a packet is overlooked, and no
# two readings of it are possible (amqtt.md, fact 9).


def written(first: int, body: bytes) -> bytes:
    """The body as it would be written from what was understood of it. Raises MalformedPacketError."""
    kind = first >> 4
    if kind == 1:
        read = packets.parse_connect(body)
        flags = (read.username is not None) << 7 | (read.password is not None) << 6 | read.clean_session << 1
        fields: list[bytes | str | None] = [read.client_id]
        if read.will is not None:
            assert is_topic_name(read.will.topic)
            flags |= 0x04 | read.will.qos << 3 | read.will.retain << 5
            fields += [read.will.topic, read.will.payload]
        fields += [read.username, read.password]
        payload = b"".join(field(value) for value in fields if value is not None)
        return field("MQTT") + bytes((4, flags)) + read.keep_alive.to_bytes(2) + payload
    if kind == 3:
        published = packets.parse_publish(first, body)
        assert is_topic_name(published.topic)
        assert bool(published.packet_id) == bool(published.qos)
        again = packets.publish(
            published.topic.encode(),
            published.payload,
            qos=published.qos,
            retain=published.retain,
            packet_id=published.packet_id,
        )
        assert again[0] == first & ~0x08
        return Framer(1 << 20).feed(again)[0][1]
    if kind == 8:
        packet_id, asked = packets.parse_subscribe(body)
        assert packet_id
        assert asked
        return packet_id.to_bytes(2) + b"".join(field(name) + bytes((qos,)) for name, qos in asked)
    if kind == 10:
        packet_id, left = packets.parse_unsubscribe(body)
        assert packet_id
        assert left
        return packet_id.to_bytes(2) + b"".join(map(field, left))
    if kind in (12, 14):
        packets.check_empty(body)
        return b""
    return packets.parse_packet_id(body).to_bytes(2)


FIRST = st.sampled_from([0x10, 0x30, 0x31, 0x32, 0x34, 0x3A, 0x3D, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0])
TEXTS = (
    st.text(max_size=12).map(str.encode)
    | st.binary(max_size=6)
    | st.sampled_from([b"", b"a", b"+", b"#", b"a/#", b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"$x"])
)
BODIES = st.one_of(
    STREAMS,
    st.binary(max_size=40),
    st.builds(
        lambda name, level, flags, fields, rest: (
            name + bytes((level, flags, 0, 9)) + b"".join(map(field, fields)) + rest
        ),
        st.just(field("MQTT")) | TEXTS.map(field),
        st.just(4) | st.integers(0, 255),
        st.integers(0, 255),
        st.lists(TEXTS, max_size=6),
        st.just(b"") | NOISE,
    ),
    st.builds(lambda topic, rest: field(topic) + rest, TEXTS, NOISE),
    st.builds(
        lambda packet_id, pairs, rest: packet_id + b"".join(field(name) + qos for name, qos in pairs) + rest,
        st.binary(min_size=2, max_size=2),
        st.lists(st.tuples(TEXTS, st.sampled_from([b"", b"\0", b"\1", b"\2", b"\3"])), max_size=4),
        st.just(b"") | NOISE,
    ),
)


@given(FIRST, BODIES)
@example(0x10, connect("ann", "ann-demo", will=("a", b""))[2:])
@example(0x32, field("a") + b"\0\1")
@example(0x10, connect("ann", "ann-demo")[2:] + b"\0")
def test_any_body_is_malformed_or_says_one_thing(first: int, body: bytes) -> None:
    with suppress(MalformedPacketError):
        assert written(first, body) == body


# The gate


async def assert_others_are_served(host: Host) -> None:
    other = await (await RawClient.open(host)).connect("other")
    await other.subscribe("other/#", qos=1)
    await other.send(publish("other/x", b"hello", qos=1, packet_id=1))
    assert {p.kind for p in await other.packets(2)} == {PUBLISH, PUBACK}
    await other.send(DISCONNECT)
    assert await other.is_closed()
    await other.close()


CREDENTIALS = st.sampled_from([(None, None), (b"ann", b"ann-demo"), (b"ann", None)]) | st.tuples(
    st.none() | TEXTS, st.none() | TEXTS
)


@st.composite
def connects(draw: st.DrawFn) -> bytes:
    """CONNECTs whose flags say what is in them, and in which anything may be."""
    will = draw(st.none() | st.tuples(st.sampled_from([b"free/x", b"count/x", b"closed/x"]) | TEXTS, TEXTS))
    username, password = draw(CREDENTIALS)
    client_id = draw(TEXTS | st.integers(120, 140).map(lambda length: b"x" * length))
    flags = draw(st.sampled_from([0, 2])) | (username is not None) << 7 | (password is not None) << 6
    if will is not None:
        flags |= 4 | draw(st.sampled_from([0, 0x08, 0x10, 0x20, 0x30]))
    fields = [client_id, *(will or ()), username, password]
    keep_alive = draw(st.integers(0, 65535)).to_bytes(2)
    payload = b"".join(field(value) for value in fields if value is not None)
    return packet(0x10, field("MQTT") + bytes((4, flags)) + keep_alive + payload)


@pytest.mark.asyncio(loop_scope="module")
@examples(60)
@given(connects(), st.sampled_from([b"", PINGREQ]) | NOISE)
@example(connect("ann", "ann-demo", client_id="\ufeff"), b"")
@example(packet(0x10, field("MQTT") + b"\x04\xc2\0\0" + field("") + field("ann") + field(b"\xff")), PINGREQ)
async def test_any_connect_is_let_in_refused_by_a_code_or_closed(one_box: Host, data: bytes, behind: bytes) -> None:
    before = asyncio.all_tasks()
    raw = await RawClient.open(one_box)
    await raw.send(data, behind)
    assert isinstance(raw.transport, TcpTransport)
    raw.transport.half_close()
    answers = await raw.read_to_end()
    try:
        read = packets.parse_connect(Framer(LARGEST).feed(data)[0][1])
    except MalformedPacketError:
        assert answers == []
    else:
        assert answers[0].kind == CONNACK
        assert answers[0].body[0] == 0
        code = answers[0].body[1]
        assert code in (0, 2, 4, 5)
        if code != 0:
            assert len(answers) == 1
        bad_id = not read.client_id.isprintable() or len(read.client_id.encode()) > MAX_CLIENT_ID_BYTES
        assert (code == 2) == (bad_id or not (read.client_id or read.clean_session))
        if code == 0 and read.username is not None:
            assert read.password == read.username.encode() + b"-demo"
    await raw.close()
    await assert_nothing_is_left(one_box, before)


# Whole connections

NAMES = ("ann", "bob")
TOPICS = st.sampled_from(["free/x", "free/y", "$x/y", "closed/x", "broken/x", "count/x", COMMAND, "a" * 1100])
FILTERS = st.sampled_from(
    ["free/x", "free/+", "#", "+/x", "$x/#", "closed/x", "broken/x", "a/#/b", "count/+", "/" * 40]
)
IDS = st.integers(1, 4)
VALID = st.one_of(
    st.builds(
        publish,
        TOPICS,
        st.sampled_from([b"", b"x", b"\xff"]),
        qos=st.integers(0, 2),
        packet_id=IDS,
        retain=st.booleans(),
    ),
    st.builds(
        lambda filters, qos, packet_id: subscribe(*filters, qos=qos, packet_id=packet_id),
        st.lists(FILTERS, min_size=1, max_size=18),
        st.integers(0, 2),
        IDS,
    ),
    st.builds(
        lambda filters, packet_id: unsubscribe(*filters, packet_id=packet_id),
        st.lists(FILTERS, min_size=1, max_size=3),
        IDS,
    ),
    st.builds(acknowledgement, st.integers(4, 7), IDS),
    st.just(PINGREQ),
)
STEPS = st.tuples(
    st.integers(0, 2),
    st.one_of(
        st.tuples(st.just("send"), VALID | VALID | VALID | st.just(DISCONNECT) | SPOILED | NOISE),
        st.tuples(st.just("send"), st.lists(VALID, max_size=5).map(b"".join)),
        st.tuples(st.just("half a packet"), VALID),
        st.tuples(st.sampled_from(["read", "lose", "half close"]), st.just(b"")),
    ),
)


class Visitor:
    """A connection that may end at any moment, by either side; the next step begins a new one."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.door = ("tcp", "web", "tcp")[number]
        # The third is the first one's twin: each takes the other's connection over.
        self.name = NAMES[number % 2]
        self.raw: RawClient | None = None
        self.sent = b""

    async def take(self, step: str, data: bytes) -> None:
        with suppress(OSError):  # the box may have closed already
            if self.raw is None:
                self.raw, self.sent = await RawClient.open(self.host, self.door), b""
                will = ("free/will", b"gone")
                await self._send(self.raw, connect(self.name, f"{self.name}-demo", client_id="desk", will=will))
            await self._take(self.raw, step, data)

    async def _take(self, raw: RawClient, step: str, data: bytes) -> None:
        if step == "send":
            await self._send(raw, data)
        elif step == "half a packet":
            await self._send(raw, data[: len(data) // 2])
        elif step == "read":
            if self._is_between_packets():
                await self._send(raw, PINGREQ)
                while (received := await raw.packet()) is not None and received.first != 0xD0:
                    pass
        elif step == "lose" or not isinstance(raw.transport, TcpTransport):
            await self.leave()
        else:
            raw.transport.half_close()

    async def _send(self, raw: RawClient, data: bytes) -> None:
        self.sent += data
        await raw.send(data)

    def _is_between_packets(self) -> bool:
        """Whether a ping would be answered, or the connection is closed."""
        before, malformed = by_the_book(self.sent, 65536)
        return malformed or by_the_book(self.sent + PINGREQ, 65536)[0] == [*before, (0xC0, b"")]

    async def leave(self) -> None:
        if self.raw is not None:
            raw, self.raw = self.raw, None
            await raw.close()


def forget(host: Host) -> None:
    """What an example may leave to the next: values and retained messages."""
    host.broker._retained_messages.clear()
    host.broker.retained.clear()
    counter: Any = plugin(host, Counter)
    counter.values.clear()


@pytest.mark.asyncio(loop_scope="module")
@examples(60)
@given(st.lists(STEPS, max_size=25))
async def test_whatever_strangers_send_leaves_nothing_behind_and_others_are_served(
    one_box: Host, steps: Iterable[tuple[int, tuple[str, bytes]]]
) -> None:
    forget(one_box)
    before = asyncio.all_tasks()
    visitors = [Visitor(one_box, number) for number in range(3)]
    for number, (step, data) in steps:
        await visitors[number].take(step, data)
    await assert_others_are_served(one_box)
    for visitor in visitors:
        await visitor.leave()
    await assert_nothing_is_left(one_box, before)
