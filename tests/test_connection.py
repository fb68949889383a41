"""One client's bytes and life, over real sockets: limits, keep-alive, acknowledgements, takeover, the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
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
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    TcpTransport,
    WebSocketTransport,
    acknowledgement,
    connect,
    publish,
    subscribe,
    unsubscribe,
)
from sample_plugins import COMMAND, Counter, DemoAuth, user_id

from broker.connection import MAX_WAITING_COMMANDS, End
from broker.host import Host
from broker.subscriptions import MAX_FILTER_CHARACTERS, MAX_LEVELS

REFUSED = 0x80


@contextmanager
def held_writer(host: Host) -> Iterator[Callable[[], None]]:
    """The database's writer does nothing until it is let go, so that no command gets its outcome."""
    hold = threading.Event()
    host.database.submit(lambda db: hold.wait(30), lambda result, error: None)
    try:
        yield hold.set
    finally:
        hold.set()


# Being let in


@shows("3.1.4-4", "3.2.2-1", "3.2.2-3", "7.1.1-1")
async def test_a_guest_and_a_user_are_let_in_with_no_session_present(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    for username in (None, "ann"):
        raw = await client(host, door)
        await raw.send(connect(username, username and "ann-demo", client_id="c", clean=username is None))
        assert (await raw.next(CONNACK)).body == b"\0\0"


@shows("3.1.3-8", "3.1.3-9", "3.2.2-4", "3.2.2-5")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00", 1),
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a", 1),
        (connect("ann", "ann-demo", client_id="x" * 129), 2),
        (connect("ann", "ann-demo", client_id="a\x07b"), 2),
        (connect("ann", "ann-demo", client_id="", clean=False), 2),
        (connect("ann", "wrong"), 4),
        (connect("ann"), 4),
        (connect("ann", "ann-demo", will=("count/x", b"9")), 5),
        (connect("ann", "ann-demo", will=(COMMAND, b"x")), 5),
        (connect("ann", "ann-demo", will=("closed/x", b"x")), 5),
        (connect("ann", "ann-demo", will=("broken/x", b"x")), 5),
        (connect(will=("free/x", b"x")), 5),
        (connect("ann", "ann-demo", will=("free/" + "a/" * MAX_LEVELS, b"x")), 5),
        (connect("ann", "ann-demo", will=("a" * (MAX_FILTER_CHARACTERS + 1), b"x")), 5),
    ],
)
async def test_a_refused_client_is_told_why_and_closed(
    box: StartBox, client: OpenClient, data: bytes, code: int, door: str
) -> None:
    raw = await client(await box(), door)
    await raw.send(data)
    assert (await raw.next(CONNACK)).body == bytes((0, code))
    assert await raw.is_closed()


@shows("3.1.0-1")
@pytest.mark.parametrize(
    "first", [PINGREQ, publish("a"), subscribe("#"), DISCONNECT, b"\x10\x00", b"GET / HTTP/1.1\r\n"]
)
async def test_what_does_not_begin_with_a_connect_is_closed_without_an_answer(
    box: StartBox, client: OpenClient, first: bytes, door: str
) -> None:
    raw = await client(await box(), door)
    await raw.send(first)
    assert await raw.is_closed()


@shows("3.2.0-1")
async def test_what_follows_the_connect_in_the_same_segment_is_answered(
    box: StartBox, client: OpenClient, door: str
) -> None:
    raw = await client(await box(), door)
    await raw.send(connect("ann", "ann-demo"), subscribe("a"), PINGREQ)
    assert [p.kind for p in await raw.packets(3)] == [CONNACK, SUBACK, PINGRESP]


async def test_a_wrong_password_leaves_the_other_session_alone(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann", client_id="desk")
    await ann.subscribe("news")
    intruder = await client(host, door)
    await intruder.send(connect("ann", "wrong", client_id="desk"))
    assert (await intruder.next(CONNACK)).body[1] == 4
    host.publish("news", b"hello")
    assert (await ann.packets(1))[0].payload == b"hello"


# Time limits


async def test_a_connection_without_a_connect_is_closed(box: StartBox, client: OpenClient, door: str) -> None:
    raw = await client(await box(limits={"connect_seconds": 0.2}), door)
    assert await raw.is_closed()


async def test_half_a_connect_is_not_a_connect(box: StartBox, client: OpenClient, door: str) -> None:
    raw = await client(await box(limits={"connect_seconds": 0.2}), door)
    await raw.send(connect("ann", "ann-demo")[:-1])
    assert await raw.is_closed()


async def test_a_connect_that_drips_is_closed_in_the_midst(box: StartBox, client: OpenClient, door: str) -> None:
    raw = await client(await box(limits={"connect_seconds": 0.2}), door)
    closed = asyncio.create_task(raw.read_to_end())
    await drip(raw.transport.send, connect("ann", "x" * 10_000), closed)
    assert await closed == []


async def test_a_http_header_that_drips_is_closed_in_the_midst(box: StartBox) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    transport = await TcpTransport.open(host.web_addresses[0])
    closed = asyncio.create_task(transport.read())
    await drip(transport.send, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 7000, closed)
    assert await closed == b""
    await transport.close()


async def test_header_upgrade_and_connect_share_one_time_limit(box: StartBox, client: OpenClient) -> None:
    host = await box(limits={"connect_seconds": 0.5})
    ended: list[str] = []

    async def note_the_end(name: str, transport: TcpTransport) -> None:
        while await transport.read():
            pass
        ended.append(name)

    dawdler = await TcpTransport.open(host.web_addresses[0])
    await dawdler.send(b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    await (await client(host)).connect("ann")  # the box has the dawdler, for it has somebody who came after
    silent = await TcpTransport.open(host.web_addresses[0])
    await (await client(host)).connect("bob")  # and the silent one
    await dawdler.send(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    await dawdler.send(b"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
    assert b" 101 " in await dawdler.read()
    # Its time runs since it came, not since its upgrade: so it goes before who came after it and upgraded nothing.
    await asyncio.gather(note_the_end("silent", silent), note_the_end("dawdler", dawdler))
    assert ended == ["dawdler", "silent"]
    await dawdler.close()
    await silent.close()


async def test_a_client_that_has_connected_may_stay_longer_than_the_time_to_connect(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    ann = await (await client(host, door)).connect("ann")
    silent = await client(host, door)
    assert await silent.is_closed()
    await ann.silence()


async def drip(send: Callable[[bytes], object], data: bytes, closed: asyncio.Task[object]) -> None:
    """Byte for byte, slowly, again and again until the box has had enough of it."""
    while not closed.done():
        for byte in data:
            if closed.done():
                return
            try:
                await send(bytes((byte,)))  # type: ignore[misc]
            except (OSError, aiohttp.ClientError):
                return
            await asyncio.sleep(0.005)


@shows("3.1.2-24")
async def test_silence_for_one_and_a_half_keep_alives_closes(box: StartBox, client: OpenClient, door: str) -> None:
    ann = await (await client(await box(), door)).connect("ann", keep_alive=1)
    assert await ann.is_closed()


@pytest.mark.parametrize("asked", [0, 65535])
async def test_who_asks_for_no_or_too_long_a_keep_alive_gets_the_longest(
    box: StartBox, client: OpenClient, door: str, asked: int
) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.2})
    ann = await (await client(host, door)).connect("ann", keep_alive=asked)
    assert await ann.is_closed()


async def test_who_pings_is_not_silent(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.4})
    ann = await (await client(host, door)).connect("ann")
    silent = await (await client(host, door)).connect("bob")
    for _ in range(2):  # as long as two silent clients live one after the other
        closed = asyncio.create_task(silent.is_closed())
        while not closed.done():
            await ann.silence()
            await asyncio.wait([closed], timeout=0.05)
        silent = await (await client(host, door)).connect("bob")
    await ann.silence()


async def test_who_only_receives_is_silent(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.2})
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("news")
    closed = asyncio.create_task(ann.read_to_end())
    while not closed.done():
        host.publish("news", b"x")
        await asyncio.wait([closed], timeout=0.02)


async def test_time_in_which_the_box_does_not_read_is_not_silence(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.2, "messages_burst": 10_000})
    ann = await (await client(host, door)).connect("ann")
    with held_writer(host) as let_go:
        commands = MAX_WAITING_COMMANDS + 5
        await ann.send(*(publish(COMMAND, b"x", qos=1, packet_id=n) for n in range(1, commands + 1)))
        silent = await (await client(host, door)).connect("bob")
        assert await silent.is_closed()
        let_go()
        assert [p.packet_id for p in await ann.packets(commands)] == list(range(1, commands + 1))


async def test_time_in_which_a_present_is_prepared_is_not_silence(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.2})
    ann = await (await client(host, door)).connect("ann")
    counter = plugin(host, Counter)
    counter.may_prepare.clear()
    await ann.send(subscribe("count/x"))
    await counter.preparing.wait()
    silent = await (await client(host, door)).connect("bob")
    assert await silent.is_closed()
    counter.may_prepare.set()
    assert (await ann.next(SUBACK)).body[2:] == b"\0"


# Bytes


async def test_a_packet_at_the_limit_is_taken_and_one_above_closes(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    ann = await (await client(host, door)).connect("ann")
    fits = publish("free/x", b"x" * (1024 - 11))
    assert len(fits) == 1024
    await ann.send(fits)
    await ann.silence()
    await ann.send(publish("free/x", b"x" * (1024 - 10)))
    assert await ann.is_closed()


async def test_what_is_announced_too_large_closes_before_it_has_come(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    ann = await (await client(host, door)).connect("ann")
    await ann.send(b"\x30\xff\xff\xff\x7f")
    assert await ann.is_closed()


async def test_what_came_whole_before_the_malformed_packet_takes_effect(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.send(publish(COMMAND, b"before", qos=1, packet_id=1), b"\x36\x00")
    await ann.read_to_end()
    await until(lambda: plugin(host, Counter).values["before"])


async def test_a_packet_may_come_byte_by_byte(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    for byte in publish(COMMAND, b"slow", qos=1, packet_id=7):
        await ann.send(bytes((byte,)))
    assert (await ann.next(PUBACK)).packet_id == 7
    assert await plugin(host, Counter).counted() == ["slow"]


@shows("3.12.4-1")
async def test_a_ping_is_answered(box: StartBox, client: OpenClient, door: str) -> None:
    ann = await (await client(await box(), door)).connect("ann")
    await ann.send(PINGREQ, PINGREQ)
    assert [p.kind for p in await ann.packets(2)] == [PINGRESP, PINGRESP]


# The WebSocket


@shows("6.0.0-1")
async def test_a_text_frame_closes(box: StartBox, client: OpenClient) -> None:
    host = await box()
    ann = await (await client(host, "web")).connect("ann")
    assert isinstance(ann.transport, WebSocketTransport)
    await ann.transport.websocket.send_str(publish(COMMAND, b"x").decode())
    assert await ann.is_closed()
    await until(lambda: not len(host.clients))
    assert await counted_after_all(host) == []


async def test_an_empty_binary_frame_changes_nothing(box: StartBox, client: OpenClient) -> None:
    ann = await (await client(await box(), "web")).connect("ann")
    await ann.transport.send(b"")
    await ann.silence()


@shows("6.0.0-3")
async def test_without_the_subprotocol_mqtt_there_is_no_upgrade(box: StartBox) -> None:
    host = await box()
    url = "http://{}:{}/mqtt".format(*host.web_addresses[0])
    async with aiohttp.ClientSession() as session:
        for protocols in ((), ("chat",), ("mqttv3.1",)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url, protocols=protocols)
            assert refused.value.status == 400


@shows("6.0.0-4")
@pytest.mark.parametrize("path", ["/", "/mqtt"])
async def test_the_upgrade_names_mqtt_and_compresses_nothing(box: StartBox, path: str) -> None:
    host = await box()
    url = "http://{}:{}".format(*host.web_addresses[0]) + path
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("other", "mqtt"), compress=15) as websocket,
    ):
        assert websocket.protocol == "mqtt"
        assert not websocket.compress


async def test_a_message_larger_than_any_packets_in_it_closes_without_waiting_for_the_client(
    box: StartBox, client: OpenClient
) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    ann = await (await client(host, "web")).connect("ann")
    await ann.send(PINGREQ * 5000)
    await ann.read_to_end()
    await until(lambda: not len(host.clients), seconds=3)


# Acknowledgements


@shows("4.6.0-2", "4.6.0-3", "2.3.1-6")
async def test_acknowledgements_leave_in_the_order_of_what_they_acknowledge(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    with held_writer(host) as let_go:
        await ann.send(
            publish(COMMAND, b"x", qos=1, packet_id=5),
            publish("free/x", b"", qos=1, packet_id=4),
            publish(COMMAND, b"x", qos=2, packet_id=3),
            publish("closed/x", b"", qos=1, packet_id=2),
            acknowledgement(PUBREL, 9),
        )
        await ann.silence()  # none leaves before the first has its outcome
        let_go()
        answers = [(p.kind, p.packet_id) for p in await ann.packets(5)]
    assert answers == [(PUBACK, 5), (PUBACK, 4), (PUBREC, 3), (PUBACK, 2), (PUBCOMP, 9)]


async def test_a_command_is_on_disk_when_it_is_acknowledged(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.send(publish(COMMAND, b"a", qos=1, packet_id=1))
    await ann.next(PUBACK)
    assert await plugin(host, Counter).counted() == ["a"]


@shows("4.3.3-2")
async def test_a_repeated_qos_2_publish_takes_effect_once(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    once = publish(COMMAND, b"x", qos=2, packet_id=7)
    again = bytes((once[0] | 0x08,)) + once[1:]
    await ann.send(once, again, again)
    assert [(p.kind, p.packet_id) for p in await ann.packets(3)] == [(PUBREC, 7)] * 3
    await ann.send(acknowledgement(PUBREL, 7), acknowledgement(PUBREL, 7))
    assert [(p.kind, p.packet_id) for p in await ann.packets(2)] == [(PUBCOMP, 7)] * 2
    assert await plugin(host, Counter).counted() == ["x"]


@shows("4.3.3-2")
async def test_after_pubrel_the_packet_id_is_a_new_message(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    for _ in range(2):
        await ann.send(publish(COMMAND, b"x", qos=2, packet_id=7), acknowledgement(PUBREL, 7))
        assert [p.kind for p in await ann.packets(2)] == [PUBREC, PUBCOMP]
    assert await plugin(host, Counter).counted() == ["x", "x"]


async def test_a_pubrel_of_an_unknown_message_gets_its_pubcomp(box: StartBox, client: OpenClient, door: str) -> None:
    ann = await (await client(await box(), door)).connect("ann")
    await ann.send(acknowledgement(PUBREL, 4711))
    assert (await ann.next(PUBCOMP)).packet_id == 4711


@pytest.mark.parametrize("with_fin", [False, True])
async def test_twenty_pipelined_commands_and_a_goodbye_are_twenty_outcomes(
    box: StartBox, client: OpenClient, with_fin: bool
) -> None:
    host = await box()
    raw = await client(host)
    commands = [publish(COMMAND, b"%d" % n, qos=1, packet_id=n) for n in range(1, 21)]
    await raw.send(connect("ann", "ann-demo"), *commands, DISCONNECT)
    if with_fin:
        assert isinstance(raw.transport, TcpTransport)
        raw.transport.half_close()
    answers = await raw.read_to_end()
    assert [(p.kind, p.packet_id) for p in answers] == [(CONNACK, 0), *((PUBACK, n) for n in range(1, 21))]
    assert await plugin(host, Counter).counted() == [str(n) for n in range(1, 21)]


async def test_twenty_commands_of_a_browser_that_leaves_are_twenty_outcomes(box: StartBox, client: OpenClient) -> None:
    host = await box()
    raw = await client(host, "web")
    commands = [publish(COMMAND, b"%d" % n, qos=1, packet_id=n) for n in range(1, 21)]
    await raw.send(connect("ann", "ann-demo"), *commands, DISCONNECT)
    assert [p.packet_id for p in (await raw.read_to_end())[1:]] == list(range(1, 21))
    assert await plugin(host, Counter).counted() == [str(n) for n in range(1, 21)]


async def test_commands_of_a_connection_that_is_lost_take_effect(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    with held_writer(host) as let_go:
        await ann.send(*(publish(COMMAND, b"x", qos=1, packet_id=n) for n in range(1, 11)))
        await ann.silence()  # they are taken
        await ann.close()
        await until(lambda: not len(host.clients))
        let_go()
    assert len(await counted_after_all(host)) == 10


async def counted_after_all(host: Host) -> list[str]:
    await host.database.write(lambda db: None)
    return await plugin(host, Counter).counted()


@shows("3.3.5-2")
async def test_what_the_policy_refuses_is_acknowledged_told_and_dropped(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("#", qos=1)
    await ann.send(*(publish(t, b"x", qos=1, packet_id=9) for t in ("closed/x", "count/x", "answer/x", "broken/x")))
    assert [(p.kind, p.packet_id) for p in await ann.packets(4)] == [(PUBACK, 9)] * 4
    await ann.silence()
    assert plugin(host, Counter).refused == [("ann", t) for t in ("closed/x", "count/x", "answer/x", "broken/x")]


@shows("3.3.5-2")
async def test_a_guest_that_publishes_is_closed(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    guest = await (await client(host, door)).connect()
    await guest.send(publish(COMMAND, b"x", qos=1, packet_id=1), publish(COMMAND, b"x", qos=1, packet_id=2))
    assert await guest.is_closed()
    assert await counted_after_all(host) == []


# Subscribing


@shows("3.8.4-5")
async def test_at_most_qos_1_is_granted(box: StartBox, client: OpenClient, door: str) -> None:
    ann = await (await client(await box(), door)).connect("ann")
    assert [await ann.subscribe("free/a", qos=qos) for qos in (0, 1, 2)] == [b"\0", b"\1", b"\1"]


@shows("3.8.4-5", "3.9.3-1", "3.9.3-2", "4.7.1-2", "4.7.1-3")
@pytest.mark.parametrize(
    "topic_filter", ["closed/x", "secret/x", "broken/x", "a/#/b", "a#", "+a", "a/b+", "/".join("a" * 200), "x" * 5000]
)
async def test_a_refused_filter_gets_0x80_and_the_others_are_granted(
    box: StartBox, client: OpenClient, door: str, topic_filter: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    assert await ann.subscribe("free/a", topic_filter, "free/b", qos=1) == bytes((1, REFUSED, 1))
    assert sorted(host.fanout.index.filters()) == ["free/a", "free/b"]


async def test_subscriptions_are_limited_per_connection(box: StartBox, client: OpenClient, door: str) -> None:
    ann = await (await client(await box(limits={"subscriptions": 3}), door)).connect("ann")
    assert await ann.subscribe("a", "b") == b"\0\0"
    assert await ann.subscribe("c", "d") == bytes((0, REFUSED))
    assert await ann.subscribe("a", qos=1) == b"\1"  # one that is there already takes no further place
    await ann.send(unsubscribe("b"))
    await ann.next(UNSUBACK)
    assert await ann.subscribe("d") == b"\0"


async def test_filters_are_limited_per_packet(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"subscriptions_per_packet": 2})
    ann = await (await client(host, door)).connect("ann")
    assert await ann.subscribe("a", "b", "c") == bytes((REFUSED,) * 3)
    assert not host.fanout.index.filters()
    assert await ann.subscribe("a", "b") == b"\0\0"


@shows("3.10.4-4", "3.10.4-5", "2.3.1-7")
async def test_unsubscribing_is_acknowledged_also_where_there_was_nothing(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("a")
    await ann.send(unsubscribe("a", "never", packet_id=8))
    assert (await ann.next(UNSUBACK)).packet_id == 8
    host.publish("a", b"x")
    await ann.silence()
    assert not host.fanout.index.filters()


# Takeover and revocation


@shows("3.1.4-2", "3.1.3-2")
async def test_the_same_user_with_the_same_client_id_takes_over(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    older = await (await client(host, door)).connect("ann", client_id="desk")
    await older.subscribe("a")
    newer = await (await client(host, door)).connect("ann", client_id="desk")
    assert await older.is_closed()
    host.publish("a", b"x")
    await newer.silence()  # nothing of the older one's is left to it
    assert len(host.clients) == 1


async def test_a_browser_that_was_taken_over_may_come_back_and_one_that_broke_the_protocol_may_not(
    box: StartBox, client: OpenClient
) -> None:
    host = await box()
    older = await (await client(host, "web")).connect("ann", client_id="desk")
    newer = await (await client(host, "web")).connect("ann", client_id="desk")
    assert await older.is_closed()
    await newer.send(b"\x36\x00")
    assert await newer.is_closed()
    assert isinstance(older.transport, WebSocketTransport)
    assert isinstance(newer.transport, WebSocketTransport)
    assert (older.transport.close_code, newer.transport.close_code) == (1001, 1002)


@pytest.mark.parametrize("other", ["bob", None])
async def test_another_user_with_the_same_client_id_is_another_client(
    box: StartBox, client: OpenClient, door: str, other: str | None
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann", client_id="desk")
    await (await client(host, door)).connect(other, client_id="desk")
    await ann.silence()
    assert len(host.clients) == 2


async def test_two_guests_with_the_same_client_id_are_two(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    guests = [await (await client(host, door)).connect(client_id="page") for _ in range(2)]
    for guest in guests:
        await guest.silence()


async def test_of_many_at_once_with_one_client_id_one_stays(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    crowd = [await client(host, door) for _ in range(12)]
    for raw in crowd:
        await raw.send(connect("ann", "ann-demo", client_id="desk"))
    await until(lambda: len(host.clients) == 1 and len(host.broker._sessions) == 1)
    await asyncio.gather(*(raw.close() for raw in crowd))
    await until(lambda: not host.broker._sessions)


async def stuck_client(host: Host, client: OpenClient, door: str) -> object:
    """A signed-in client that reads nothing, with more waiting for it than the kernel takes."""
    raw = await client(host, door, **({"receive_buffer": 4096} if door == "tcp" else {}))
    await raw.connect("ann", client_id="desk")
    await raw.subscribe("count/x")
    if isinstance(raw.transport, WebSocketTransport):
        raw.transport.websocket._conn.transport.pause_reading()
    counter = plugin(host, Counter)
    counter.padding = 50_000
    connection = next(iter(host.clients._open))
    while not connection.congested:
        counter.bump("x")
        await asyncio.sleep(0)
    return connection


async def test_taking_over_does_not_wait_for_a_stuck_client(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(fanout={"window_milliseconds": 0})
    older = await stuck_client(host, client, door)
    newer = await client(host, door)
    async with asyncio.timeout(3):
        await newer.connect("ann", client_id="desk")
    assert older.ended is End.TAKEN_OVER  # type: ignore[attr-defined]


async def test_revoking_a_user_does_not_wait_for_a_stuck_client(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(fanout={"window_milliseconds": 0})
    connection = await stuck_client(host, client, door)
    async with asyncio.timeout(3):
        await host.end_user(user_id("ann"))
    assert connection.ended is End.REVOKED  # type: ignore[attr-defined]
    assert not host.broker._sessions


async def test_revoking_a_user_ends_all_of_their_connections_and_no_others(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    anns = [await (await client(host, door)).connect("ann") for _ in range(3)]
    bob = await (await client(host, door)).connect("bob")
    await host.end_user(user_id("ann"))
    assert len(host.clients) == 1
    for ann in anns:
        assert await ann.is_closed()
    await bob.silence()


async def test_who_is_revoked_while_being_let_in_does_not_get_in(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    auth = plugin(host, DemoAuth)
    auth.may_answer.clear()
    raws = {name: await client(host, door) for name in ("ann", "bob")}
    for name, raw in raws.items():
        await raw.send(connect(name, f"{name}-demo"))
        await auth.has_decided.wait()
        auth.has_decided.clear()
    await host.end_user(user_id("ann"))
    auth.may_answer.set()
    assert await raws["ann"].is_closed()
    assert (await raws["bob"].next(CONNACK)).body == b"\0\0"


@pytest.mark.parametrize("steps", range(8))
async def test_revoking_a_user_returns_also_while_they_are_leaving(
    box: StartBox, client: OpenClient, door: str, steps: int
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    connection = next(iter(host.clients._open))
    connection.end(End.LOST)
    for _ in range(steps):  # at each step of its way out
        await asyncio.sleep(0)
    async with asyncio.timeout(3):
        await host.end_user(user_id("ann"))
    assert await ann.is_closed()


async def test_stopping_the_box_answers_what_was_taken_and_tells_browsers_to_come_back(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    connection = next(iter(host.clients._open))
    with held_writer(host) as let_go:
        await ann.send(*(publish(COMMAND, b"x", qos=1, packet_id=n) for n in range(1, 11)))
        await ann.silence()
        stopping = asyncio.create_task(host.stop())
        await asyncio.sleep(0)
        let_go()
        await stopping
    assert [p.packet_id for p in await ann.read_to_end()] == list(range(1, 11))
    assert connection.ended is End.SHUTDOWN
    if isinstance(ann.transport, WebSocketTransport):
        assert ann.transport.close_code == 1001
