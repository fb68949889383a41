"""Framing and validation of MQTT 3.1.1 packets, by plain calls: every malformed packet is found before anybody acts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import ANOTHER_LEVEL, CONNECTS, PACKETS
from raw_mqtt import PINGREQ, acknowledgement, connect, packet, publish, subscribe, unsubscribe

from broker import packets
from broker.packets import Framer, MalformedPacketError, PacketType, ProtocolLevelError

LARGEST = 65536


def understand(data: bytes) -> list[object]:
    """What a connection makes of bytes: each packet cut and parsed. Raises MalformedPacketError."""
    parse = {
        PacketType.CONNECT: packets.parse_connect,
        PacketType.SUBSCRIBE: packets.parse_subscribe,
        PacketType.UNSUBSCRIBE: packets.parse_unsubscribe,
        PacketType.PINGREQ: packets.check_empty,
        PacketType.DISCONNECT: packets.check_empty,
    }
    framer = Framer(LARGEST)
    understood = [
        packets.parse_publish(first, body)
        if first >> 4 == PacketType.PUBLISH
        else parse.get(PacketType(first >> 4), packets.parse_packet_id)(body)
        for first, body in framer.feed(data)
    ]
    assert framer.feed() == []
    return understood


# What is well-formed


def test_a_connect_is_read_with_all_its_fields() -> None:
    everything = connect("ann", "secret", client_id="box", clean=False, keep_alive=7, will=("a/b", b"gone"))
    assert understand(everything) == [
        packets.Connect("box", False, 7, "ann", b"secret", packets.Will("a/b", b"gone", 0, False))
    ]
    assert understand(connect()) == [packets.Connect("", True, 60, None, None, None)]


def test_a_username_may_come_without_a_password() -> None:
    assert understand(connect("ann")) == [packets.Connect("", True, 60, "ann", None, None)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_publish_is_read_at_every_qos(qos: int) -> None:
    identifier = 9 if qos else 0
    data = publish("a/é", b"\0\xff", qos=qos, packet_id=9, retain=True)
    assert understand(data) == [packets.Publish("a/é", b"\0\xff", qos, True, identifier)]


def test_a_publish_may_be_empty() -> None:
    assert understand(publish("a")) == [packets.Publish("a", b"", 0, False, 0)]


def test_several_filters_come_in_one_packet() -> None:
    assert understand(subscribe("a", "b/#", qos=1, packet_id=3)) == [(3, [("a", 1), ("b/#", 1)])]
    assert understand(unsubscribe("a", "b/#", packet_id=3)) == [(3, ["a", "b/#"])]


def test_a_filter_with_misplaced_wildcards_is_for_the_suback_to_refuse() -> None:
    assert understand(subscribe("a/#/b")) == [(1, [("a/#/b", 0)])]


def test_the_longest_remaining_length_is_read() -> None:
    framer = Framer(268_435_455 + 5)
    assert framer.feed(b"\x30\xff\xff\xff\x7f") == []
    assert framer._buffer == b"\x30\xff\xff\xff\x7f"


def test_of_many_packets_some_come_at_once_and_the_rest_after_them() -> None:
    framer, number = Framer(LARGEST), 2 * packets.PACKETS_AT_ONCE + 3
    found = [framer.feed(PINGREQ * number)]
    while found[-1]:
        found.append(framer.feed(b""))
    assert [len(some) for some in found] == [packets.PACKETS_AT_ONCE] * 2 + [3, 0]


@pytest.mark.parametrize("send", [subscribe, unsubscribe])
def test_a_packet_has_a_thousand_filters_at_most(send: Callable[..., bytes]) -> None:
    filters = ["a"] * packets.FILTERS_AT_MOST
    ((_, found),) = understand(send(*filters))
    assert len(found) == packets.FILTERS_AT_MOST
    with pytest.raises(MalformedPacketError, match="at most 1024 topic filters"):
        understand(send(*filters, "a"))


def test_what_we_send_is_read_back_by_the_same_rules() -> None:
    sent = packets.publish("a/é".encode(), b"x" * 20_000, qos=1, retain=True, packet_id=65535)
    assert understand(sent) == [packets.Publish("a/é", b"x" * 20_000, 1, True, 65535)]


# What is malformed

# The table runs over sockets, too: tests/test_mqtt_malformed.py.
MALFORMED = {name: packets for name, packets in (CONNECTS | PACKETS).items() if "second CONNECT" not in name}


@pytest.mark.parametrize("packets", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_packet_is_found(packets: tuple[bytes, ...]) -> None:
    for data in packets:
        with pytest.raises(MalformedPacketError) as found:
            understand(data)
        assert not isinstance(found.value, ProtocolLevelError)


@pytest.mark.parametrize("packets", ANOTHER_LEVEL.values(), ids=ANOTHER_LEVEL)
def test_another_protocol_level_is_told_from_nonsense(packets: tuple[bytes, ...]) -> None:
    for data in packets:
        with pytest.raises(ProtocolLevelError):
            understand(data)


def test_a_fixed_header_is_judged_before_its_body_has_come() -> None:
    for data in (b"\x36", b"\xf0", b"\x30\xff\xff\xff\xff", b"\x30\x80\x80\x04"):
        with pytest.raises(MalformedPacketError):
            Framer(LARGEST).feed(data)


def test_the_limit_counts_the_whole_packet() -> None:
    largest = publish("a", b"x" * (1024 - 6))
    assert len(largest) == 1024
    assert len(Framer(1024).feed(largest)) == 1
    with pytest.raises(MalformedPacketError):
        Framer(1024).feed(publish("a", b"x" * (1024 - 5)))


# However the network cuts it

WELL_FORMED = st.sampled_from(
    [
        PINGREQ,
        connect("ann", "secret", will=("a", b"gone")),
        publish("a/b", b"payload", qos=1, packet_id=4),
        publish("a", b"x" * 300),
        subscribe("a/#", "+", packet_id=2),
        unsubscribe("a/#", packet_id=3),
        acknowledgement(6, 5),
    ]
)


@given(st.lists(WELL_FORMED, max_size=8), st.data())
def test_however_the_bytes_are_cut_the_same_packets_come_out(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer = Framer(LARGEST)
    found = [
        p for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for p in framer.feed(stream[start:end])
    ]
    assert found == Framer(LARGEST).feed(stream)
    assert [packet(first, body) for first, body in found] == sent
    assert framer.feed(PINGREQ) == [(0xC0, b"")]


@given(st.lists(WELL_FORMED, max_size=4), st.sampled_from([b"\x36", b"\xf0", b"\x30\x80\x80\x04"]), st.data())
def test_however_the_bytes_are_cut_what_came_before_the_malformed_packet_comes_out(
    sent: list[bytes], malformed: bytes, data: st.DataObject
) -> None:
    stream = b"".join(sent) + malformed + PINGREQ
    framer, found, start = Framer(LARGEST), [], 0
    try:
        while True:
            end = data.draw(st.integers(start + 1, max(start + 1, len(stream))))
            found += framer.feed(stream[start:end])
            assert framer.feed() == []
            start = end
    except MalformedPacketError:
        pass
    assert [packet(first, body) for first, body in found] == sent
    with pytest.raises(MalformedPacketError):
        framer.feed(PINGREQ)


@given(st.binary(max_size=200), st.integers(1, 200))
@example(b"\x30\x00", 1)
def test_random_bytes_are_packets_or_malformed_and_nothing_else(noise: bytes, size: int) -> None:
    framer = Framer(LARGEST)
    try:
        for start in range(0, len(noise), size):
            framer.feed(noise[start : start + size])
        understand(noise)
    except MalformedPacketError:
        pass


KINDS = st.sampled_from([0x10, 0x30, 0x32, 0x34, 0x3D, 0x40, 0x62, 0x82, 0xA2, 0xC0, 0xE0])


@given(KINDS, st.binary(max_size=60))
def test_random_bodies_are_parsed_or_malformed_and_nothing_else(first: int, body: bytes) -> None:
    with contextlib.suppress(MalformedPacketError):
        understand(packet(first, body))


@given(st.lists(st.binary(max_size=64), max_size=50))
def test_the_framer_never_keeps_more_than_one_packet(chunks: list[bytes]) -> None:
    framer = Framer(1024)
    try:
        for chunk in chunks:
            framer.feed(chunk)
            assert sys.getsizeof(framer._buffer) < 1024 + 100
    except MalformedPacketError:
        pass


def test_the_framer_keeps_nothing_of_what_it_has_given_out() -> None:
    framer = Framer(LARGEST)
    framer.feed(publish("a", b"x" * 60_000) + b"\xc0")
    assert sys.getsizeof(framer._buffer) < 100
