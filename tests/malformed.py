"""What breaks MQTT 3.1.1, by the number of the statement that it breaks; by section where there is no number.

Whatever violates the protocol violates MQTT-4.8.0-1 too. Each row has one packet or several of a kind.
"""

from __future__ import annotations

from collections.abc import Callable

from raw_mqtt import acknowledgement, connect, field, packet, publish, subscribe, unsubscribe

Rows = dict[str, tuple[bytes, ...]]

ILL_FORMED = (
    b"\xff",  # no byte of UTF-8 at all
    b"\x80",  # a continuation of nothing
    b"\xc3",  # an é that is cut off
    b"\xe2\x82",  # a € that is cut off
    b"\xc0\x80",  # U+0000 in two bytes
    b"\xe0\x80\xaf",  # a slash in three bytes
    b"\xed\xa0\x80",  # a surrogate, U+D800
    b"\xed\xbf\xbf",  # a surrogate, U+DFFF
    b"\xed\xa0\xbd\xed\xb8\x80",  # two of them, as CESU-8 writes U+1F600
    b"\xf4\x90\x80\x80",  # U+110000
    b"\xf8\x88\x80\x80\x80",  # five bytes
)
NULLS = (b"\0", b"a\0", b"\0a", b"a\0b")


def connect_bytes(flags: int, *fields: bytes, name: bytes = b"MQTT", level: int = 4) -> bytes:
    return packet(0x10, field(name) + bytes((level, flags)) + b"\0\x3c" + b"".join(fields))


def with_flags(well_formed: bytes) -> tuple[bytes, ...]:
    """The packet with each other value of the four bits of its fixed header."""
    return tuple(
        bytes((well_formed[0] & 0xF0 | flags,)) + well_formed[1:] for flags in range(16) if flags != well_formed[0] & 15
    )


# A string in each place of a packet where one may be.
IN_CONNECT: dict[str, Callable[[bytes], bytes]] = {
    "MQTT-3.1.3-4 client id": lambda text: connect_bytes(0x02, field(text)),
    "MQTT-3.1.3-10 Will topic": lambda text: connect_bytes(0x06, field("a"), field(text), field("")),
    "MQTT-3.1.3-11 username": lambda text: connect_bytes(0x82, field("a"), field(text)),
}
IN_PACKETS: dict[str, Callable[[bytes], bytes]] = {
    "MQTT-3.3.2-1 topic name": lambda text: packet(0x30, field(text)),
    "MQTT-3.8.3-1 topic filter": lambda text: packet(0x82, b"\0\1" + field(text) + b"\0"),
    "MQTT-3.10.3-1 topic filter to leave": lambda text: packet(0xA2, b"\0\1" + field(text)),
}
_TOPICS = ("Will topic", "topic name", "topic filter", "topic filter to leave")


def _ill_formed(places: dict[str, Callable[[bytes], bytes]]) -> Rows:
    rows: Rows = {}
    for place, build in places.items():
        number, _, name = place.partition(" ")
        rows[f"MQTT-1.5.3-1 {number} ill-formed {name}"] = tuple(build(text) for text in ILL_FORMED)
        topic = "MQTT-4.7.3-2 " if name in _TOPICS else ""
        rows[f"MQTT-1.5.3-2 {topic}U+0000 in a {name}"] = tuple(build(text) for text in NULLS)
    return rows


ANOTHER_LEVEL: Rows = {
    "MQTT-3.1.2-2 protocol level": (
        connect_bytes(0x02, field("a"), level=0),
        connect_bytes(0x02, field("a"), level=3),
        connect_bytes(0x02, b"\0", field("a"), level=5),
        connect_bytes(0x02, field("a"), level=0x84),
    ),
    "MQTT-3.1.2-2 MQTT 3.1": (connect_bytes(0x02, field("a"), name=b"MQIsdp", level=3),),
}
"""Answered with CONNACK 1."""

CONNECTS: Rows = {
    "MQTT-3.1.2-1 protocol name": tuple(
        connect_bytes(0x02, field("a"), name=name) for name in (b"HTTP", b"mqtt", b"MQT", b"MQTTT", b"MQTT\0", b"\xff")
    ),
    "MQTT-3.1.2-1 protocol name is empty": (connect_bytes(0x02, field("a"), name=b""),),
    "MQTT-2.2.2-1 MQTT-2.2.2-2 flags of CONNECT": with_flags(connect()),
    "MQTT-3.1.2-3 reserved connect flag": (connect_bytes(0x03, field("a")), connect_bytes(0x01, field("a"))),
    "MQTT-3.1.2-9 Will flag without Will": (
        connect_bytes(0x06, field("a")),
        connect_bytes(0x06, field("a"), field("w")),
    ),
    "MQTT-3.1.2-11 Will without Will flag": (connect_bytes(0x02, field("a"), field("w"), field("gone")),),
    "MQTT-3.1.2-13 MQTT-3.1.2-11 Will QoS without Will": tuple(
        connect_bytes(0x02 | qos << 3, field("a")) for qos in (1, 2, 3)
    ),
    "MQTT-3.1.2-14 Will QoS 3": (connect_bytes(0x1E, field("a"), field("w"), field("")),),
    "MQTT-3.1.2-15 MQTT-3.1.2-11 Will Retain without Will": (connect_bytes(0x22, field("a")),),
    "MQTT-3.1.2-18 username without its flag": (connect_bytes(0x02, field("a"), field("ann")),),
    "MQTT-3.1.2-19 username flag without username": (connect_bytes(0x82, field("a")),),
    "MQTT-3.1.2-20 password without its flag": (connect_bytes(0x82, field("a"), field("ann"), field("ann-demo")),),
    "MQTT-3.1.2-21 password flag without password": (connect_bytes(0xC2, field("a"), field("ann")),),
    "MQTT-3.1.2-22 password without username": (connect_bytes(0x42, field("a"), field("ann-demo")),),
    "MQTT-3.1.3-3 no client id": (connect_bytes(0x02), connect_bytes(0x02, b"\0"), connect_bytes(0x02, b"\0\2a")),
    "MQTT-4.7.3-1 empty Will topic": (connect_bytes(0x06, field("a"), field(""), field("")),),
    "MQTT-4.7.1-1 Will topic with a wildcard": tuple(
        connect_bytes(0x06, field("a"), field(topic), field("")) for topic in ("a/#", "#", "+", "a/+/b", "a+")
    ),
    "MQTT-4.8.0-1 CONNECT with more behind its last field": (connect_bytes(0x02, field("a"), b"\0"),),
    "MQTT-4.8.0-1 CONNECT that ends in its midst": tuple(
        packet(0x10, connect()[2:][:length]) for length in range(len(connect()) - 2)
    ),
    **_ill_formed(IN_CONNECT),
}
"""Closed without a CONNACK (MQTT-3.1.4-1)."""

PACKETS: Rows = {
    # Fixed header
    "MQTT-4.8.0-1 types that are reserved": (b"\x00\x00", b"\xf0\x00"),
    "MQTT-4.8.0-1 types that a server sends": (
        b"\x20\x02\x00\x00",
        b"\x90\x03\x00\x01\x00",
        b"\xb0\x02\x00\x01",
        b"\xd0\x00",
    ),
    "MQTT-2.2.2-1 MQTT-2.2.2-2 flags of PUBACK": with_flags(b"\x40\x02\x00\x01"),
    "MQTT-2.2.2-1 MQTT-2.2.2-2 flags of PUBREC": with_flags(b"\x50\x02\x00\x01"),
    "MQTT-3.6.1-1 MQTT-2.2.2-2 flags of PUBREL": with_flags(b"\x62\x02\x00\x01"),
    "MQTT-2.2.2-1 MQTT-2.2.2-2 flags of PUBCOMP": with_flags(b"\x70\x02\x00\x01"),
    "MQTT-3.8.1-1 MQTT-2.2.2-2 flags of SUBSCRIBE": with_flags(subscribe("a")),
    "MQTT-3.10.1-1 MQTT-2.2.2-2 flags of UNSUBSCRIBE": with_flags(unsubscribe("a")),
    "MQTT-2.2.2-1 MQTT-2.2.2-2 flags of PINGREQ": with_flags(b"\xc0\x00"),
    "MQTT-3.14.1-1 MQTT-2.2.2-2 flags of DISCONNECT": with_flags(b"\xe0\x00"),
    "§2.2.3 MQTT-4.8.0-1 five bytes of remaining length": (b"\x30\xff\xff\xff\xff\x01", b"\xc0\x80\x80\x80\x80\x00"),
    "larger than the box allows": (b"\x30\x80\x80\x04", b"\x30\xff\xff\xff\x7f"),
    # PUBLISH
    "MQTT-3.3.1-4 QoS 3": tuple(bytes((0x36 | more,)) + publish("a", qos=1, packet_id=1)[1:] for more in (0, 1, 8, 9)),
    "MQTT-3.3.1-2 DUP at QoS 0": tuple(bytes((0x38 | retain,)) + publish("a")[1:] for retain in (0, 1)),
    "MQTT-3.3.2-1 PUBLISH without a topic name": (packet(0x30, b""), packet(0x30, b"\0"), packet(0x30, b"\0\x09a")),
    "MQTT-3.3.2-2 MQTT-4.7.1-1 topic name with a wildcard": (
        publish("a/#", publish("a", b"smuggled")),
        publish("#"),
        publish("+"),
        publish("a/+/b"),
        publish("a#"),
        publish("+a"),
    ),
    "MQTT-4.7.3-1 empty topic name": (publish(""), publish("", b"x", qos=1, packet_id=1)),
    "MQTT-2.3.1-1 PUBLISH with packet identifier 0": (publish("a", qos=1), publish("a", qos=2)),
    "MQTT-2.3.1-1 PUBLISH without a packet identifier": (
        packet(0x32, field("a")),
        packet(0x34, field("a")),
        packet(0x32, field("a") + b"\0"),
    ),
    # SUBSCRIBE and UNSUBSCRIBE
    "MQTT-2.3.1-1 SUBSCRIBE with packet identifier 0": (subscribe("a", packet_id=0),),
    "MQTT-2.3.1-1 SUBSCRIBE without a packet identifier": (packet(0x82, b""), packet(0x82, b"\0")),
    "MQTT-2.3.1-1 UNSUBSCRIBE with packet identifier 0": (unsubscribe("a", packet_id=0),),
    "MQTT-2.3.1-1 UNSUBSCRIBE without a packet identifier": (packet(0xA2, b""), packet(0xA2, b"\0")),
    "MQTT-3.8.3-3 SUBSCRIBE without a filter": (subscribe(),),
    "MQTT-3.8.3-3 SUBSCRIBE with a filter without a QoS": (
        packet(0x82, b"\0\1" + field("a")),
        packet(0x82, b"\0\1" + field("a") + b"\0" + field("b")),
    ),
    "MQTT-3.10.3-2 UNSUBSCRIBE without a filter": (unsubscribe(),),
    "MQTT-3.8.3-4 requested QoS 3": (
        subscribe("a", qos=3),
        packet(0x82, b"\0\1" + field("a") + b"\0" + field("b") + b"\3"),
    ),
    "MQTT-3.8.3-4 reserved bits of the requested QoS": tuple(subscribe("a", qos=1 << bit) for bit in range(2, 8)),
    "MQTT-4.7.3-1 empty filter": (subscribe(""), subscribe("a", "")),
    "MQTT-4.7.3-1 empty filter to leave": (unsubscribe(""), unsubscribe("a", "")),
    "MQTT-4.8.0-1 filter that is longer than its packet": (
        packet(0x82, b"\0\1\0\x09a\0"),
        packet(0xA2, b"\0\1\0\x09a"),
    ),
    # The rest
    "MQTT-3.1.0-2 second CONNECT": (connect("ann", "ann-demo"), connect(), connect("ann", "wrong"), b"\x10\x00"),
    "MQTT-4.8.0-1 acknowledgement without a packet identifier": tuple(
        bytes((first, 0)) for first in (0x40, 0x50, 0x62, 0x70)
    ),
    "MQTT-4.8.0-1 acknowledgement with more behind it": tuple(
        bytes((first, 3, 0, 1, 0)) for first in (0x40, 0x50, 0x62, 0x70)
    ),
    "MQTT-4.8.0-1 acknowledgement of packet identifier 0": tuple(acknowledgement(kind, 0) for kind in range(4, 8)),
    "MQTT-4.8.0-1 PINGREQ with a body": (b"\xc0\x01\x00",),
    "MQTT-4.8.0-1 DISCONNECT with a body": (b"\xe0\x01\x00", b"\xe0\x02\x00\x00"),
    **_ill_formed(IN_PACKETS),
}
"""Closes a connection that is in."""
