"""MQTT 3.1.1 by the numbers of its statements, over raw sockets: connecting, Last Wills, retained messages, what goes
from client to client, subscriptions, packet identifiers, WebSocket.

What is malformed is in test_mqtt_malformed.py. More statements are shown where the box's own limits are:
test_connection.py, test_fanout.py, test_amqtt_facts.py. docs/mqtt.md has the list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

import pytest
from boxes import plugin, until
from conftest import OpenClient, StartBox
from normative import shows
from raw_mqtt import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    RawClient,
    TcpTransport,
    WebSocketTransport,
    acknowledgement,
    connect,
    cut,
    field,
    packet,
    publish,
    subscribe,
    unsubscribe,
)
from sample_plugins import COMMAND, Counter, user_id
from test_web_door import UPGRADE

from broker.connection import Connection
from broker.host import Host

Join = Callable[..., Awaitable[RawClient]]


@pytest.fixture
async def host(box: StartBox) -> Host:
    return await box()


@pytest.fixture
def join(host: Host, client: OpenClient, door: str) -> Join:
    """``await join("ann", will=(…))`` is a client that is in, at each door in turn."""

    async def come(name: str | None = None, **options: object) -> RawClient:
        return await (await client(host, door)).connect(name, **options)

    return come


def connection_of(host: Host, name: str) -> Connection:
    (found,) = (c for c in host.clients._open if c.identity.username == name)
    return found


# Connecting


@shows("3.1.3-1")
async def test_the_fields_of_a_connect_are_read_in_their_order(host: Host, client: OpenClient, door: str) -> None:
    watcher = await (await client(host, door)).connect("bob")
    await watcher.subscribe("free/will", qos=1)
    raw = await client(host, door)
    fields = (b"client id", b"free/will", b"the will", b"ann", b"ann-demo")
    flags = 0x80 | 0x40 | 0x08 | 0x04 | 0x02
    await raw.send(packet(0x10, field("MQTT") + bytes((4, flags, 0, 60)) + b"".join(map(field, fields))))
    assert (await raw.next(CONNACK)).body == b"\0\0"
    assert connection_of(host, "ann").client_id == f"{user_id('ann')}/client id"
    await raw.close()
    will = await watcher.next(PUBLISH)
    assert (will.topic, will.payload, will.qos) == ("free/will", b"the will", 1)


@shows("3.1.3-5")
async def test_every_client_id_of_up_to_23_letters_and_digits_is_let_in(join: Join) -> None:
    for client_id in (
        "0",
        "0123456789abcdefghijklm",
        "nopqrstuvwxyzABCDEFGHIJ",
        "KLMNOPQRSTUVWXYZ",
    ):
        await (await join("ann", client_id=client_id)).silence()


@shows("3.1.3-6")
async def test_clients_without_a_client_id_are_each_given_one_of_their_own(host: Host, join: Join) -> None:
    anns = [await join("ann", client_id="") for _ in range(5)]
    for ann in anns:
        await ann.silence()
    given = {session.client_id for session, _ in host.broker.sessions.values()}
    assert len(given) == 5
    assert all(client_id.removeprefix(user_id("ann") + "/") for client_id in given)


@shows("3.1.4-5")
@pytest.mark.parametrize(
    "refused",
    [
        connect("ann", "wrong"),
        connect("ann", "ann-demo", client_id="", clean=False),
        connect("ann", "ann-demo", will=("closed/x", b"")),
    ],
    ids=["credentials", "client id", "Last Will"],
)
async def test_what_follows_a_refused_connect_is_not_processed(
    host: Host, client: OpenClient, door: str, refused: bytes
) -> None:
    raw = await client(host, door)
    await raw.send(refused, publish(COMMAND, b"behind", qos=1, packet_id=1), subscribe("#"), PINGREQ)
    assert [p.kind for p in await raw.read_to_end()] == [CONNACK]
    await host.database.write(lambda db: None)
    assert await plugin(host, Counter).counted() == []
    assert not host.fanout.index.filters()


# Sessions


@shows("3.1.2-4")
async def test_the_declared_deviation_no_session_outlives_its_connection_whatever_clean_session_says(
    host: Host, client: OpenClient, join: Join, door: str
) -> None:
    bob = await join("bob")
    ann = await join("ann", client_id="desk", clean=False)
    await ann.subscribe("free/x", qos=1)
    await ann.send(DISCONNECT)
    assert await ann.is_closed()
    await bob.send(publish("free/x", b"meanwhile", qos=1, packet_id=1))
    await bob.next(PUBACK)
    ann = await client(host, door)
    await ann.send(connect("ann", "ann-demo", client_id="desk", clean=False))
    assert (await ann.next(CONNACK)).body == b"\0\0"  # session present 0, so that it subscribes again
    await bob.send(publish("free/x", b"now", qos=1, packet_id=1))
    await bob.next(PUBACK)
    await ann.silence()


@shows("3.1.2-6", "3.1.4-3")
@pytest.mark.parametrize("before", [True, False], ids=["clean before", "not clean before"])
async def test_a_clean_session_begins_with_nothing_of_an_earlier_one(host: Host, join: Join, before: bool) -> None:
    older = await join("ann", client_id="desk", clean=before)
    await older.subscribe("free/x", qos=1)
    await older.send(publish("free/x", b"unreleased and unacknowledged", qos=2, packet_id=7))
    assert {p.kind for p in await older.packets(2)} == {PUBREC, PUBLISH}
    newer = await join("ann", client_id="desk", clean=True)
    assert await older.is_closed()
    bob = await join("bob")
    await bob.send(publish("free/x", b"x", qos=1, packet_id=1))
    await bob.next(PUBACK)
    await newer.silence()
    # The packet identifier 7 is a new message's.
    await newer.subscribe("free/y")
    await newer.send(publish("free/y", b"new", qos=2, packet_id=7))
    assert {p.kind for p in await newer.packets(2)} == {PUBREC, PUBLISH}


@shows("4.1.0-1", "4.1.0-2")
async def test_a_session_lasts_as_long_as_its_connection(host: Host, client: OpenClient, join: Join, door: str) -> None:
    ann, bob = await join("ann", client_id="desk"), await join("bob", client_id="desk")
    await bob.subscribe("free/x", qos=1)
    await ann.send(publish("free/x", b"once", qos=2, packet_id=7))
    assert (await ann.next(PUBREC)).packet_id == 7
    unacknowledged = await bob.next(PUBLISH)
    for name in ("ann", "bob"):
        intruder = await client(host, door)
        await intruder.send(connect(name, "wrong", client_id="desk"))
        assert (await intruder.next(CONNACK)).body[1] == 4
    await join("carol", client_id="desk")
    await ann.send(publish("free/x", b"once", qos=2, packet_id=7))
    assert (await ann.next(PUBREC)).packet_id == 7
    await ann.send(publish("free/x", b"another", qos=1, packet_id=8))
    await ann.next(PUBACK)
    another = await bob.next(PUBLISH)
    assert another.payload == b"another"
    assert another.packet_id != unacknowledged.packet_id
    assert connection_of(host, "bob").unacknowledged == 2


# Last Wills


async def lose(will: RawClient, join: Join) -> None:
    await will.close()


async def half_close(will: RawClient, join: Join) -> None:
    if isinstance(will.transport, TcpTransport):
        will.transport.half_close()
    else:
        assert isinstance(will.transport, WebSocketTransport)
        await will.transport.websocket.close()


async def break_the_protocol(will: RawClient, join: Join) -> None:
    await will.send(b"\x36\x00")


async def connect_again(will: RawClient, join: Join) -> None:
    await will.send(connect("ann", "ann-demo", client_id="dies"))


async def say_goodbye_wrongly(will: RawClient, join: Join) -> None:
    await will.send(b"\xe0\x01\x00")


async def fall_silent(will: RawClient, join: Join) -> None:
    assert await will.is_closed()


async def be_taken_over(will: RawClient, join: Join) -> None:
    await join("ann", client_id="dies")


async def meet_a_fault(will: RawClient, join: Join) -> None:
    await will.send(publish(COMMAND, b"\xff", qos=1, packet_id=1))


@shows("3.1.2-8", "3.1.2-10", "3.1.2-16")
@pytest.mark.parametrize(
    "end",
    [
        lose,
        half_close,
        break_the_protocol,
        connect_again,
        say_goodbye_wrongly,
        fall_silent,
        be_taken_over,
        meet_a_fault,
    ],
    ids=lambda end: end.__name__,
)
async def test_a_last_will_is_published_once_however_the_connection_ends_without_a_goodbye(
    host: Host, join: Join, end: Callable[[RawClient, Join], Awaitable[None]]
) -> None:
    watcher = await join("bob")
    await watcher.subscribe("free/#", qos=1)
    dies = await join("ann", client_id="dies", will=("free/will", b"gone"), keep_alive=1 if end is fall_silent else 60)
    await end(dies, join)
    will = await watcher.next(PUBLISH)
    assert (will.topic, will.payload, will.retain, will.qos) == ("free/will", b"gone", False, 0)
    await watcher.silence()
    late = await join("bob")
    await late.subscribe("free/#")
    await late.silence()  # nothing of it was retained


@shows("3.14.4-3", "3.1.2-10")
@pytest.mark.parametrize(
    "behind",
    [b"", PINGREQ, b"\x36\x00", publish(COMMAND, b"behind")],
    ids=["nothing", "PINGREQ", "malformed", "PUBLISH"],
)
async def test_after_a_goodbye_there_is_no_last_will_and_nothing_behind_it_counts(
    host: Host, join: Join, behind: bytes
) -> None:
    watcher = await join("bob")
    await watcher.subscribe("free/#", qos=1)
    leaves = await join("ann", will=("free/will", b"gone"), will_retain=True)
    await leaves.send(DISCONNECT, behind)
    assert await leaves.is_closed()
    await until(lambda: len(host.clients) == 1)
    await watcher.silence()
    await host.database.write(lambda db: None)
    assert await plugin(host, Counter).counted() == []
    assert not host.broker.retained


@shows("3.1.2-12")
async def test_without_a_will_flag_nothing_is_published_when_the_connection_ends(host: Host, join: Join) -> None:
    watcher = await join("bob")
    await watcher.subscribe("#", qos=1)
    for _ in range(3):
        lost = await join("ann", client_id="desk", will=("free/will", b"gone"))
        await lost.send(DISCONNECT)
        assert await lost.is_closed()
        lost = await join("ann", client_id="desk")  # and nothing of the earlier connection's Will is left to it
        await lost.close()
        await until(lambda: len(host.clients) == 1)
    await watcher.silence()


@shows("3.1.2-9")
async def test_a_last_will_has_its_qos(join: Join) -> None:
    watcher = await join("bob")
    for will_qos, granted in product((0, 1, 2), (0, 1)):
        await watcher.subscribe("free/will", qos=granted)
        await (await join("ann", will=("free/will", b"gone"), will_qos=will_qos)).close()
        assert (await watcher.next(PUBLISH)).qos == min(will_qos, granted)


@shows("3.1.2-17")
@pytest.mark.parametrize("will_qos", [0, 1, 2])
async def test_a_last_will_with_will_retain_is_published_and_kept(host: Host, join: Join, will_qos: int) -> None:
    watcher = await join("bob")
    await watcher.subscribe("free/will", qos=1)
    await (await join("ann", will=("free/will", b"gone"), will_qos=will_qos, will_retain=True)).close()
    assert not (await watcher.next(PUBLISH)).retain
    await until(lambda: host.broker.retained)
    late = await join("bob")
    await late.subscribe("free/+", qos=1)
    kept = await late.next(PUBLISH)
    assert (kept.retain, kept.payload, kept.qos) == (True, b"gone", min(will_qos, 1))


@shows("3.1.2-17", "3.3.1-10")
async def test_an_empty_last_will_with_will_retain_clears_what_was_retained(host: Host, join: Join) -> None:
    bob = await join("bob")
    await bob.send(publish("free/will", b"kept", qos=1, packet_id=1, retain=True))
    await bob.next(PUBACK)
    await (await join("ann", will=("free/will", b""), will_retain=True)).close()
    await until(lambda: not host.broker.retained)
    await bob.subscribe("free/#")
    await bob.silence()


# Retained messages


@shows("3.1.2-7")
async def test_a_retained_message_outlives_the_session_of_its_publisher(host: Host, join: Join) -> None:
    for clean in (True, False):
        ann = await join("ann", clean=clean, client_id="desk")
        await ann.send(publish(f"free/{clean}", b"kept", retain=True), DISCONNECT)
        assert await ann.is_closed()
    await until(lambda: not len(host.clients))
    bob = await join("bob")
    await bob.subscribe("free/#")
    assert {p.topic for p in await bob.packets(2)} == {"free/True", "free/False"}


@shows("3.3.1-6")
async def test_a_new_subscription_gets_the_last_retained_message_of_each_topic_that_it_matches(join: Join) -> None:
    ann = await join("ann")
    for topic in ("free/a/b", "free/a", "other/a/b", "$box/a/b"):
        await ann.send(*(publish(topic, payload, retain=True) for payload in (b"first", b"last")))
    await ann.silence()
    for topic_filter, expected in {
        "free/a/b": {"free/a/b"},
        "free/a/+": {"free/a/b"},
        "free/#": {"free/a/b", "free/a"},
        "+/a/b": {"free/a/b", "other/a/b"},
        "#": {"free/a/b", "free/a", "other/a/b"},
        "$box/#": {"$box/a/b"},
    }.items():
        bob = await join("bob")
        await bob.silence()  # connecting brings none
        await bob.subscribe(topic_filter)
        received = await bob.packets(len(expected))
        assert {(p.topic, p.payload, p.retain) for p in received} == {(topic, b"last", True) for topic in expected}
        await bob.silence()


@shows("3.3.1-5", "3.8.4-6")
async def test_a_retained_message_is_kept_with_its_qos_and_delivered_at_the_lower(join: Join) -> None:
    ann = await join("ann")
    for published, granted in product((0, 1, 2), (0, 1)):
        await ann.send(publish("free/x", b"kept", qos=published, packet_id=1, retain=True))
        await ann.send(acknowledgement(PUBREL, 1), PINGREQ)
        while (await ann.packets(1))[0].kind != PINGRESP:
            pass
        late = await join("bob")
        await late.subscribe("free/x", qos=granted)
        assert (await late.next(PUBLISH)).qos == min(published, granted)


@shows("3.3.1-7")
async def test_a_retained_message_at_qos_0_replaces_the_one_before(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await ann.send(publish("free/x", b"old", qos=1, packet_id=1, retain=True), publish("free/x", b"new", retain=True))
    await ann.next(PUBACK)
    await ann.silence()
    await bob.subscribe("free/x", qos=1)
    kept = await bob.next(PUBLISH)
    assert (kept.payload, kept.qos) == (b"new", 0)
    await bob.silence()


@shows("3.3.1-10", "3.3.1-11", "3.3.1-9")
async def test_an_empty_retained_message_is_delivered_as_any_other_and_clears_what_was_kept(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await bob.subscribe("free/x", qos=1)
    for qos, payload in product((0, 1, 2), (b"kept", b"")):
        await ann.send(publish("free/x", payload, qos=qos, packet_id=1, retain=True), acknowledgement(PUBREL, 1))
        received = await bob.next(PUBLISH)
        assert (received.payload, received.retain) == (payload, False)
        late = await join("carol")
        await late.subscribe("free/x")
        if payload:
            assert (await late.next(PUBLISH)).payload == payload
        await late.silence()


@shows("3.3.1-12")
@pytest.mark.parametrize("payload", [b"passing", b""])
async def test_a_message_without_retain_neither_is_kept_nor_changes_what_is(join: Join, payload: bytes) -> None:
    ann, bob = await join("ann"), await join("bob")
    await ann.send(
        publish("free/x", b"kept", retain=True), publish("free/x", payload), publish("free/y", payload), PINGREQ
    )
    await ann.next(PINGRESP)
    await bob.subscribe("free/#")
    assert (await bob.next(PUBLISH)).payload == b"kept"
    await bob.silence()


# From client to client


@shows("3.3.4-1", "4.3.2-2", "4.3.3-2", "2.3.1-6")
async def test_a_publish_is_answered_by_its_qos_with_its_packet_identifier(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await bob.subscribe("free/x", qos=1)
    for packet_id in (1, 0x1234, 65535):
        for again in range(2):  # an acknowledged identifier is free for a new message
            await ann.send(publish("free/x", b"0"), publish("free/x", b"1", qos=1, packet_id=packet_id))
            await ann.send(publish("free/x", b"2", qos=2, packet_id=packet_id), acknowledgement(PUBREL, packet_id))
            answers = [(p.kind, p.body) for p in await ann.packets(3)]
            identifier = packet_id.to_bytes(2)
            assert answers == [(PUBACK, identifier), (PUBREC, identifier), (PUBCOMP, identifier)], again
            assert [(p.payload, p.qos) for p in await bob.packets(3)] == [(b"0", 0), (b"1", 1), (b"2", 1)]


@shows("4.3.3-2")
async def test_a_message_at_qos_2_reaches_others_once_however_often_it_is_sent_before_its_pubrel(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await bob.subscribe("free/x", qos=1)
    once = publish("free/x", b"once", qos=2, packet_id=7)
    again = bytes((once[0] | 0x08,)) + once[1:]
    await ann.send(once, again, once, acknowledgement(PUBREL, 7), acknowledgement(PUBREL, 7), again)
    assert [p.kind for p in await ann.packets(6)] == [PUBREC] * 3 + [PUBCOMP] * 2 + [PUBREC]
    assert [p.payload for p in await bob.packets(2)] == [b"once"] * 2  # after PUBCOMP it is a new message
    await bob.silence()


@shows("3.3.1-3", "4.3.1-1")
async def test_dup_is_not_passed_on(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    for packet_id, (qos, granted) in enumerate(product((1, 2), (0, 1)), 1):
        await bob.subscribe(f"free/{packet_id}", qos=granted)
        marked = publish(f"free/{packet_id}", b"x", qos=qos, packet_id=packet_id, retain=True)
        await ann.send(bytes((marked[0] | 0x08,)) + marked[1:])
        assert not (await bob.next(PUBLISH)).first & 0x08
        late = await join("carol")
        await late.subscribe(f"free/{packet_id}", qos=granted)
        assert not (await late.next(PUBLISH)).first & 0x08


@shows("4.3.2-1", "2.3.1-4", "2.3.1-5")
async def test_what_is_sent_at_qos_1_has_a_packet_identifier_that_is_not_in_use_also_beyond_the_last(
    host: Host, join: Join
) -> None:
    ann, bob = await join("ann"), await join("bob")
    await bob.subscribe("free/x", qos=1)

    async def given(number: int) -> list[int]:
        await ann.send(*(publish("free/x", b"x", qos=1, packet_id=n + 1) for n in range(number)))
        await ann.packets(number)
        return [p.packet_id for p in await bob.packets(number)]

    assert await given(3) == [1, 2, 3]
    connection_of(host, "bob")._next_packet_id = 65533  # as after that many messages
    await bob.send(acknowledgement(PUBACK, 2))
    await bob.silence()
    assert await given(4) == [65534, 65535, 2, 4]
    await bob.send(*(acknowledgement(PUBACK, packet_id) for packet_id in (1, 3, 65534, 65535, 2, 4)))
    await bob.silence()
    assert connection_of(host, "bob").unacknowledged == 0


@shows("1.5.3-3", "4.7.3-4", "3.3.2-3")
async def test_topics_are_compared_as_they_are_and_arrive_as_they_were_sent(join: Join) -> None:
    ann, bob, carol = await join("ann"), await join("bob"), await join("carol")
    for mine, other in [
        ("free/\ufeffx", "free/x"),
        ("\ufefffree/x", "free/x"),
        ("free/\u00e9", "free/e\u0301"),
        ("free/x", "free/X"),
        ("free/x", "free/x/"),
        ("free/x", "free//x"),
        ("free/x", "/free/x"),
        ("free/x", "free/x "),
        ("free/\u00df", "free/ss"),
        ("free/\uff58", "free/x"),
        ("free/\ufffd", "free/x"),
        ("free/\U0001f600", "free/\ufffd"),
        ("free/\x01", "free/"),
    ]:
        await bob.subscribe(mine)
        await carol.subscribe(other)
        await ann.send(publish(mine, b"x"))
        assert (await bob.next(PUBLISH)).topic == mine
        await carol.silence()
        for person, topic_filter in ((bob, mine), (carol, other)):
            await person.send(unsubscribe(topic_filter))
            await person.next(UNSUBACK)


@shows("4.5.0-1", "3.3.2-3", "3.8.3-2")
async def test_a_message_goes_to_each_client_with_a_matching_subscription_and_to_no_other(join: Join) -> None:
    ann = await join("ann")
    hits = ["free/a/b", "free/+/b", "free/a/#", "free/a/b/#", "#", "+/+/+", "+/#"]
    misses = ["free/a", "free/+", "free/a/+/b", "free/a/b/+", "/free/a/b", "+", "free/b/#", "$free/a/b"]
    people = {topic_filter: await join("bob") for topic_filter in (*hits, *misses)}
    for topic_filter, person in people.items():
        assert await person.subscribe(topic_filter) == b"\0"
    await ann.send(publish("free/a/b", b"x"))
    for topic_filter in hits:
        assert (await people[topic_filter].next(PUBLISH)).topic == "free/a/b"
    await ann.silence()
    for person in people.values():
        await person.silence()


@shows("4.7.2-1")
async def test_a_filter_that_begins_with_a_wildcard_brings_no_topic_that_begins_with_a_dollar(join: Join) -> None:
    ann = await join("ann")
    people = {name: await join("bob") for name in ("#", "+", "+/#", "+/x", "+/+", "$box/#", "$box/+", "$box/x")}
    for topic_filter, person in people.items():
        assert await person.subscribe(topic_filter) == b"\0"
    await ann.send(publish("$box/x", b"x"))
    for topic_filter, person in people.items():
        if topic_filter[0] == "$":
            assert (await person.next(PUBLISH)).topic == "$box/x"
        await person.silence()


@shows("4.8.0-2")
async def test_a_fault_while_a_packet_is_processed_closes_its_connection_and_no_other(join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await ann.send(publish(COMMAND, b"\xff", qos=1, packet_id=1), publish(COMMAND, b"behind", qos=1, packet_id=2))
    assert await ann.is_closed()
    await bob.send(publish(COMMAND, b"x", qos=1, packet_id=1))
    assert (await bob.next(PUBACK)).packet_id == 1


# Subscribing and leaving


@shows("3.8.4-1", "3.8.4-2", "2.3.1-7", "3.9.3-1")
async def test_a_suback_has_the_packet_identifier_and_one_code_for_each_filter_in_its_order(join: Join) -> None:
    ann = await join("ann")
    filters = [("a", 1), ("closed/x", 1), ("b/#", 0), ("a/#/b", 2), ("c", 2), ("a", 0)]
    for packet_id in (1, 0x1234, 65535):
        body = packet_id.to_bytes(2) + b"".join(field(name) + bytes((qos,)) for name, qos in filters)
        await ann.send(packet(0x82, body))
        assert (await ann.next(SUBACK)).body == packet_id.to_bytes(2) + b"\x01\x80\x00\x80\x01\x00"


@shows("3.8.4-3")
async def test_a_repeated_subscribe_gets_the_retained_messages_again_and_interrupts_nothing(
    host: Host, client: OpenClient
) -> None:
    ann = await (await client(host)).connect("ann")
    bob = await (await client(host)).connect("bob")
    await ann.send(publish("free/kept", b"kept", retain=True))
    await ann.silence()
    await bob.subscribe("free/#")
    assert (await bob.next(PUBLISH)).retain
    for number in range(10):
        await ann.send(publish("free/x", b"%d" % number))
        await bob.send(subscribe("free/#", qos=number % 2))
    received = await bob.packets(10 + 10 + 1)
    assert [int(p.payload) for p in received if p.kind == PUBLISH and not p.retain] == list(range(10))
    assert [p.payload for p in received if p.kind == PUBLISH and p.retain] == [b"kept"]
    assert connection_of(host, "bob").subscriptions == {"free/#": 1}


@shows("3.8.4-4", "3.8.4-3")
async def test_several_filters_in_one_packet_are_as_several_packets_with_one_answer(host: Host, join: Join) -> None:
    ann = await join("ann")
    await ann.send(packet(0x82, b"\0\1" + b"".join(field("free/x") + bytes((qos,)) for qos in (1, 0, 1, 0))))
    assert (await ann.next(SUBACK)).body == b"\0\1\1\0\1\0"
    assert connection_of(host, "ann").subscriptions == {"free/x": 0}
    await ann.send(publish("free/x", b"x", qos=1, packet_id=1))
    assert sorted(p.kind for p in await ann.packets(2)) == [PUBLISH, PUBACK]
    await ann.silence()


@shows("3.10.4-1", "3.10.4-2", "3.10.4-4", "3.10.4-6")
async def test_an_unsubscribe_ends_the_subscriptions_of_exactly_its_filters(host: Host, join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    filters = ["free/x", "free/+", "free/#", "FREE/x", "free/y"]
    await bob.subscribe(*filters)
    for leaving, left in [
        (["free", "free/", "#", "+/x", "Free/x", "free/x/#", "free/x "], filters),  # none of these is there
        (["free/#"], ["free/x", "free/+", "FREE/x", "free/y"]),
        (["free/y", "never", "free/y", "free/+"], ["free/x", "FREE/x"]),
    ]:
        await bob.send(unsubscribe(*leaving, packet_id=9))
        assert (await bob.next(UNSUBACK)).body == b"\0\x09"
        assert sorted(connection_of(host, "bob").subscriptions) == sorted(left)
    await ann.send(publish("free/y", b"for nobody any more"), publish("free/x", b"x"))
    assert (await bob.next(PUBLISH)).payload == b"x"
    await bob.silence()


@shows("3.10.4-3")
async def test_what_was_sent_before_an_unsubscribe_is_still_acknowledged(host: Host, join: Join) -> None:
    ann, bob = await join("ann"), await join("bob")
    await bob.subscribe("free/x", qos=1)
    await ann.send(*(publish("free/x", b"x", qos=1, packet_id=1) for _ in range(3)))
    await ann.packets(3)
    await bob.send(unsubscribe("free/x"))
    *sent, unsuback = await bob.packets(4)
    assert unsuback.kind == UNSUBACK
    assert connection_of(host, "bob").unacknowledged == 3
    await bob.send(*(acknowledgement(PUBACK, p.packet_id) for p in sent))
    await bob.silence()
    assert connection_of(host, "bob").unacknowledged == 0


# WebSocket


def frame(opcode: int, data: bytes, *, last: bool = True) -> bytes:
    """A frame as a browser sends it, with a mask of zeros."""
    assert len(data) < 126
    return bytes((0x80 * last | opcode, 0x80 | len(data))) + b"\0\0\0\0" + data


async def upgraded(host: Host) -> TcpTransport:
    transport = await TcpTransport.open(host.web_addresses[0])
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **UPGRADE}.items())
    await transport.send(f"GET /mqtt HTTP/1.1\r\n{lines}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await transport.read()
    assert b" 101 " in answer
    return transport


async def frames(transport: TcpTransport, number: int) -> list[tuple[int, bytes]]:
    """The next so many frames of the box, all short, with what they carry."""
    found: list[tuple[int, bytes]] = []
    data = b""
    while len(found) < number:
        data += await transport.read()
        while len(data) > 1 and len(data) >= 2 + data[1]:
            found.append((data[0], data[2 : 2 + data[1]]))
            data = data[2 + data[1] :]
    assert not data
    return found


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SENT = (
    connect("ann", "ann-demo"),
    subscribe("free/x", qos=1),
    publish("free/x", b"x", qos=1, packet_id=1),
    PINGREQ,
)


@shows("6.0.0-2", "6.0.0-1")
@pytest.mark.parametrize(
    "cuts",
    [
        [b"".join(SENT)],
        list(SENT),
        [bytes((byte,)) for byte in b"".join(SENT)],
        [b"".join(SENT)[start : start + 7] for start in range(0, len(b"".join(SENT)), 7)],
    ],
    ids=["all in one", "one each", "byte by byte", "seven bytes each"],
)
@pytest.mark.parametrize("fragmented", [False, True], ids=["whole messages", "one message in fragments"])
async def test_packets_need_not_begin_or_end_where_frames_do(
    box: StartBox, cuts: list[bytes], fragmented: bool
) -> None:
    host = await box()
    transport = await upgraded(host)
    for number, part in enumerate(cuts):
        last = not fragmented or number == len(cuts) - 1
        await transport.send(frame(BINARY if not fragmented or number == 0 else 0, part, last=last))
        if number == 0:
            await transport.send(frame(PING, b"?"))  # a control frame may stand between fragments
    received: list[tuple[int, int]] = []
    pongs = 0
    while len(received) < 5:
        for first, data in await frames(transport, 1):
            if first == 0x80 | PONG:
                pongs += 1
                continue
            assert first == 0x80 | BINARY
            received += [(p.kind, p.qos if p.kind == PUBLISH else 0) for p in cut(data)]
    assert sorted(received) == sorted([(CONNACK, 0), (SUBACK, 0), (PUBLISH, 1), (PUBACK, 0), (PINGRESP, 0)])
    assert received[0] == (CONNACK, 0)
    assert pongs == 1
    await transport.close()


@shows("6.0.0-1")
@pytest.mark.parametrize("first", [True, False], ids=["as the first frame", "later"])
async def test_a_text_frame_closes_whatever_is_in_it(box: StartBox, first: bool) -> None:
    host = await box()
    transport = await upgraded(host)
    if not first:
        await transport.send(frame(BINARY, connect("ann", "ann-demo")))
        assert [data for _, data in await frames(transport, 1)] == [b"\x20\x02\0\0"]
        await transport.send(frame(TEXT, publish(COMMAND, b"x")))
    else:
        await transport.send(frame(TEXT, connect()))
    assert [opcode for opcode, _ in await frames(transport, 1)] == [0x80 | CLOSE]
    assert await transport.read() == b""
    await until(lambda: not len(host.clients))
    await host.database.write(lambda db: None)
    assert await plugin(host, Counter).counted() == []
    await transport.close()
