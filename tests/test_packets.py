"""Framing and validation of MQTT 3.1.1 packets, by plain calls: every malformed packet is found before anybody acts."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from raw_mqtt import PINGREQ, acknowledgement, connect, field, packet, publish, subscribe, unsubscribe

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
    framer.check()
    return understood


def connect_bytes(flags: int, *fields: bytes, name: bytes = b"MQTT", level: int = 4) -> bytes:
    return packet(0x10, field(name) + bytes((level, flags)) + b"\0\x3c" + b"".join(fields))


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
    assert framer.is_mid_packet


def test_what_we_send_is_read_back_by_the_same_rules() -> None:
    sent = packets.publish("a/é".encode(), b"x" * 20_000, qos=1, retain=True, packet_id=65535)
    assert understand(sent) == [packets.Publish("a/é", b"x" * 20_000, 1, True, 65535)]


# What is malformed

MALFORMED = {
    # Fixed header
    "§2.2.1 type 0": b"\x00\x00",
    "§2.2.1 type 15": b"\xf0\x00",
    "§2.2.1 CONNACK is the server's": b"\x20\x02\x00\x00",
    "§2.2.1 SUBACK is the server's": b"\x90\x03\x00\x01\x00",
    "§2.2.1 UNSUBACK is the server's": b"\xb0\x02\x00\x01",
    "§2.2.1 PINGRESP is the server's": b"\xd0\x00",
    "MQTT-2.2.2-2 CONNECT flags": b"\x11" + connect()[1:],
    "MQTT-2.2.2-2 PUBACK flags": b"\x42\x02\x00\x01",
    "MQTT-3.6.1-1 PUBREL flags": b"\x60\x02\x00\x01",
    "MQTT-3.8.1-1 SUBSCRIBE flags": b"\x80" + subscribe("a")[1:],
    "MQTT-3.10.1-1 UNSUBSCRIBE flags": b"\xa0" + unsubscribe("a")[1:],
    "MQTT-2.2.2-2 PINGREQ flags": b"\xc1\x00",
    "MQTT-3.14.1-1 DISCONNECT flags": b"\xe8\x00",
    "§2.2.3 five bytes of remaining length": b"\x30\xff\xff\xff\xff\x01",
    "too large": b"\x30\x80\x80\x04",
    # CONNECT
    "MQTT-3.1.2-1 protocol name": connect_bytes(0x02, field("a"), name=b"HTTP"),
    "MQTT-3.1.2-1 protocol name in another case": connect_bytes(0x02, field("a"), name=b"mqtt"),
    "MQTT-3.1.2-2 protocol level 3": connect_bytes(0x02, field("a"), level=3),
    "MQTT-3.1.2-2 protocol level 5": connect_bytes(0x02, b"\0", field("a"), level=5),
    "MQTT-3.1.2-2 MQTT 3.1": connect_bytes(0x02, field("a"), name=b"MQIsdp", level=3),
    "MQTT-3.1.2-3 reserved connect flag": connect_bytes(0x03, field("a")),
    "MQTT-3.1.2-13 Will QoS without Will": connect_bytes(0x0A, field("a")),
    "MQTT-3.1.2-14 Will QoS 3": connect_bytes(0x1E, field("a"), field("w"), field("")),
    "MQTT-3.1.2-15 Will Retain without Will": connect_bytes(0x22, field("a")),
    "MQTT-3.1.2-22 password without username": connect_bytes(0x42, field("a"), field("p")),
    "MQTT-3.1.2-9 Will flag without Will": connect_bytes(0x06, field("a")),
    "MQTT-3.1.2-19 username flag without username": connect_bytes(0x82, field("a")),
    "MQTT-3.1.2-21 password flag without password": connect_bytes(0xC2, field("a"), field("u")),
    "MQTT-3.1.3-3 no client id": connect_bytes(0x02),
    "MQTT-3.1.3-4 client id is not UTF-8": connect_bytes(0x02, field(b"\xff")),
    "MQTT-3.1.3-10 Will topic is not UTF-8": connect_bytes(0x06, field("a"), field(b"\xc0\x80"), field("")),
    "MQTT-3.1.3-11 username is not UTF-8": connect_bytes(0x82, field("a"), field(b"\xed\xa0\x80")),
    "MQTT-1.5.3-2 client id with U+0000": connect_bytes(0x02, field("a\0b")),
    "MQTT-4.7.3-1 empty Will topic": connect_bytes(0x06, field("a"), field(""), field("")),
    "MQTT-4.7.1-1 Will topic with a wildcard": connect_bytes(0x06, field("a"), field("a/#"), field("")),
    "§3.1 more behind the last field": connect_bytes(0x02, field("a"), b"\0"),
    "§3.1 empty": packet(0x10, b""),
    # PUBLISH
    "MQTT-3.3.1-4 QoS 3": b"\x36" + publish("a", qos=1, packet_id=1)[1:],
    "MQTT-3.3.1-2 DUP at QoS 0": b"\x38" + publish("a")[1:],
    "MQTT-3.3.2-1 topic is not UTF-8": packet(0x30, field(b"\xff")),
    "MQTT-1.5.3-1 topic with a surrogate": packet(0x30, field(b"\xed\xa0\x80")),
    "MQTT-1.5.3-2 topic with U+0000": publish("a\0"),
    "MQTT-3.3.2-2 topic with #": publish("a/#", PINGREQ),
    "MQTT-3.3.2-2 topic with +": publish("a/+/b"),
    "MQTT-4.7.3-1 empty topic": publish(""),
    "MQTT-2.3.1-1 QoS 1 with packet identifier 0": publish("a", qos=1),
    "MQTT-2.3.1-1 QoS 2 with packet identifier 0": publish("a", qos=2),
    "§3.3 no packet identifier at QoS 1": packet(0x32, field("a")),
    "§3.3 topic longer than the packet": packet(0x30, b"\0\x09a"),
    "§3.3 empty packet": packet(0x30, b""),
    # SUBSCRIBE and UNSUBSCRIBE
    "MQTT-2.3.1-1 SUBSCRIBE with packet identifier 0": subscribe("a", packet_id=0),
    "MQTT-2.3.1-1 UNSUBSCRIBE with packet identifier 0": unsubscribe("a", packet_id=0),
    "MQTT-3.8.3-3 SUBSCRIBE without a filter": subscribe(),
    "MQTT-3.10.3-2 UNSUBSCRIBE without a filter": unsubscribe(),
    "MQTT-3.8.3-4 requested QoS 3": subscribe("a", qos=3),
    "MQTT-3.8.3-4 reserved bits of the requested QoS": subscribe("a", qos=0x40),
    "MQTT-3.8.3-1 filter is not UTF-8": packet(0x82, b"\0\1" + field(b"\xff") + b"\0"),
    "MQTT-3.10.3-1 filter is not UTF-8": packet(0xA2, b"\0\1" + field(b"\xff")),
    "MQTT-4.7.3-1 empty filter": subscribe(""),
    "MQTT-4.7.3-1 empty filter to leave": unsubscribe(""),
    "§3.8 filter without a QoS": packet(0x82, b"\0\1" + field("a")),
    "§3.8 no packet identifier": packet(0x82, b"\0"),
    # The rest
    "§3.4 PUBACK without a packet identifier": b"\x40\x00",
    "§3.4 PUBACK with too much": b"\x40\x03\x00\x01\x00",
    "MQTT-2.3.1-1 PUBREL of packet identifier 0": acknowledgement(6, 0),
    "§3.12 PINGREQ with a body": b"\xc0\x01\x00",
    "§3.14 DISCONNECT with a body": b"\xe0\x01\x00",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_packet_is_found(data: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        understand(data)


@pytest.mark.parametrize("name", [name for name in MALFORMED if name.startswith("MQTT-3.1.2-2 ")])
def test_another_protocol_level_is_told_from_nonsense(name: str) -> None:
    with pytest.raises(ProtocolLevelError):
        understand(MALFORMED[name])


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
    assert not framer.is_mid_packet


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
            framer.check()
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
