"""What strangers may cost: connections, bodies, answers that are not read, commands that are not waited for."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading

import pytest
from boxes import plugin, until
from conftest import Living, OpenClient, StartBox
from raw_mqtt import (
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBACK,
    RawClient,
    TcpTransport,
    connect,
    publish,
    subscribe,
)
from sample_plugins import COMMAND, Counter, user_id
from scraping import refusals, scraped

from bench import framing
from bench.framing import client_frame
from broker.connection import MAX_WAITING_COMMANDS, Connection, End
from broker.doors import wire
from broker.doors.guarded import GuardedHandler
from broker.host import Host
from broker.rates import Rate
from broker.subscriptions import MAX_LEVELS

CONNACK, PINGRESP = b"\x20\x02\0\0", b"\xd0\0"


class Caller:
    """A raw HTTP client."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @classmethod
    async def open(cls, host: Host, *, receive_buffer: int | None = None) -> Caller:
        connected = socket.socket()
        if receive_buffer is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", host.web_addresses[0][1]))
        return cls(connected)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read(self, end: bytes = b"") -> bytes:
        """What comes until ``end`` has come, or until the box closes. Raises what the socket does."""
        received = b""
        async with asyncio.timeout(10):
            while not (end and end in received):
                data = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                if not data:
                    break
                received += data
        return received

    def close(self) -> None:
        self._socket.close()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


POST_OF_TEN_BYTES = (
    b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
)
HANDSHAKE = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mqtt")


# Connections


async def test_an_http_connection_takes_a_place_like_any_other(box: StartBox, client: OpenClient) -> None:
    host = await box(limits={"max_connections_per_address": 2})
    speaking = [await Caller.open(host) for _ in range(2)]
    await until(lambda: len(host.places) == 2)
    await speaking[0].send(get("/healthz")[:-2])  # a header that has not ended
    device = await client(host, "tcp")
    assert await device.is_closed()
    third = await Caller.open(host)
    await third.send(get("/healthz"))
    refused = await third.read(b"}")
    assert b" 503 " in refused
    assert b'"unavailable"' in refused
    for caller in (*speaking, third):
        caller.close()
    await until(lambda: len(host.places) == 0)
    await (await client(host, "tcp")).connect()


@pytest.mark.parametrize("limit", ["max_connections_per_address", "max_connections"])
async def test_where_no_place_is_left_the_connection_that_is_idle_for_longest_gives_way(
    box: StartBox, client: OpenClient, limit: str
) -> None:
    host = await box(limits={limit: 3})
    oldest, used_again, writing = [await Caller.open(host) for _ in range(3)]
    for caller in (writing, used_again, oldest, used_again):
        await caller.send(get("/healthz"))
        assert b"200 OK" in await caller.read(b'"ok"}')
    await writing.send(POST_OF_TEN_BYTES)
    device = await (await client(host, "tcp")).connect("ann")
    assert await oldest.read() == b""
    assert len(host.places) == 3
    await used_again.send(get("/healthz"))
    assert b"200 OK" in await used_again.read(b'"ok"}')
    browser = await (await client(host, "web")).connect("bob")
    assert await used_again.read() == b""
    late = await Caller.open(host)
    await late.send(get("/healthz"))
    assert b" 503 " in await late.read()  # nobody is idle now: who is writing stays, and so does who is in
    await writing.send(b'{"text":1}')
    assert b"invalid_request" in await writing.read(b"}")
    await device.silence()
    await browser.silence()
    for caller in (oldest, used_again, writing, late):
        caller.close()


async def test_nobody_gives_way_to_somebody_who_comes_too_fast(box: StartBox) -> None:
    host = await box(limits={"max_connections_per_address": 2, "connections_burst": 2, "connections_per_second": 1})
    idle = [await Caller.open(host) for _ in range(2)]
    for caller in idle:
        await caller.send(get("/healthz"))
        assert b"200 OK" in await caller.read(b'"ok"}')
    third = await Caller.open(host)
    await third.send(get("/healthz"))
    assert b" 503 " in await third.read()
    for caller in idle:
        await caller.send(get("/healthz"))
        assert b"200 OK" in await caller.read(b'"ok"}')
    for caller in (*idle, third):
        caller.close()


async def test_who_finds_no_place_is_closed_and_finds_one_when_coming_again(box: StartBox) -> None:
    host = await box(limits={"max_connections_per_address": 1})
    first, second = await Caller.open(host), await Caller.open(host)
    await second.send(get("/healthz"))
    assert b" 503 " in await second.read()  # to the end: the same connection would have none for ever
    second.close()
    first.close()
    await until(lambda: len(host.places) == 0)
    again = await Caller.open(host)
    await again.send(get("/healthz"))
    assert b"200 OK" in await again.read(b'"ok"}')
    again.close()


SIGNED_IN = "Authorization: Bearer ann-token"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/healthz"), b"200"),
        (get("/nowhere"), b"404"),
        (get("/api/whoami", "Authorization: Bearer wrong"), b"401"),
        (get("/healthz").replace(b"localhost", b"evil.example"), b"421"),
        (get("/healthz", "Expect: wonders"), b"417"),
    ],
    ids=["answered", "not found", "wrong token", "wrong host", "wrong expectation"],
)
async def test_a_guest_over_http_is_answered_but_keeps_none_of_the_last_places(
    box: StartBox, request_: bytes, status: bytes
) -> None:
    host = await box(limits={"max_connections": 5})
    speaking = [await Caller.open(host) for _ in range(4)]
    await until(lambda: len(host.places) == 4)
    guest = await Caller.open(host)
    await guest.send(request_)
    answer = await guest.read()  # to the end
    assert answer.split()[1] == status
    assert b"Connection: close" in answer
    guest.close()
    await until(lambda: len(host.places) == 4)
    ann = await Caller.open(host)
    for _ in range(2):
        await ann.send(get("/api/whoami", SIGNED_IN))
        assert b"Connection: close" not in await ann.read(b'"}')
    for caller in (*speaking, ann):
        caller.close()


async def test_beyond_all_limits_connections_are_dropped_without_a_word(box: StartBox) -> None:
    host = await box(limits={"max_connections_per_address": 1})
    callers = [await Caller.open(host) for _ in range(80)]
    with pytest.raises(ConnectionError):
        await callers[-1].read()
    for caller in callers:
        caller.close()
    await until(lambda: len(host.places) == 0)
    last = await Caller.open(host)
    await last.send(get("/healthz"))
    assert b"200 OK" in await last.read(b'"ok"}')
    last.close()


async def test_who_does_not_read_an_answer_is_dropped_in_the_kernel_too(box: StartBox) -> None:
    host = await box(limits={"stuck_seconds": 1})
    caller = await Caller.open(host, receive_buffer=4096)
    questions = get("/nowhere") * 500

    async def ask_without_end() -> None:
        while True:
            await caller.send(questions)

    async with asyncio.timeout(30):
        with pytest.raises(ConnectionError):
            await ask_without_end()
    assert len(host.places) == 0
    caller.close()


# Bodies and headers


async def test_a_compressed_body_is_not_unpacked(box: StartBox) -> None:
    host = await box()
    caller = await Caller.open(host)
    body = gzip.compress(json.dumps({"text": "a" * 1_000_000}).encode())
    await caller.send(
        b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    answer = await caller.read(b"}")
    assert b" 415 " in answer
    assert b"Content-Encoding" in answer
    caller.close()


@pytest.mark.parametrize(
    "request_",
    [
        get("/healthz", "Expect: <script>alert(1)</script>"),
        get("/nowhere", "Expect: <script>alert(1)</script>"),
        get("/healthz", "Authorization: Basic \u00e9<script>"),
        get("/mqtt", *HANDSHAKE, "Connection: <script>", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        get("/mqtt", *HANDSHAKE, "Connection: Upgrade", "Sec-WebSocket-Key: <script>"),
        get("/mqtt", *HANDSHAKE, "Connection: Upgrade", "Sec-WebSocket-Key: \u00e9<script>"),
        b"<script> / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n<script>\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: <script>\r\n\r\n",
    ],
)
async def test_a_wrong_request_is_answered_in_json_without_repeating_it(box: StartBox, request_: bytes) -> None:
    host = await box()
    caller = await Caller.open(host)
    await caller.send(request_)
    head, _, body = (await caller.read(b"}")).partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"401", b"417")
    assert set(json.loads(body)) == {"code", "message"}
    assert b"script" not in head + body
    assert b"aiohttp" not in head
    caller.close()


# WebSocket


async def browser(host: Host, *, receive_buffer: int | None = None) -> Caller:
    caller = await Caller.open(host, receive_buffer=receive_buffer)
    await caller.send(framing.upgrade("localhost", 80))
    assert b" 101 " in await caller.read(b"\r\n\r\n")
    return caller


@pytest.mark.parametrize("opcode", [9, 10, 2], ids=["ping", "pong", "empty"])
async def test_frames_with_nothing_of_mqtt_in_them_count_as_messages(box: StartBox, opcode: int) -> None:
    host = await box()
    host.messages = Rate(50, 1, burst=5, clock=lambda: 0.0)  # what has been taken is never worked off
    caller = await browser(host)
    await caller.send(client_frame(connect()))
    await caller.read(CONNACK)
    frame, ping = client_frame(b"?" if opcode > 2 else b"", opcode), client_frame(PINGREQ)
    await caller.send(frame * 4 + ping)
    assert (await caller.read(PINGRESP)).count(b"\x8a\x01?") == (4 if opcode == 9 else 0)
    await caller.send(frame + ping)
    await until(lambda: refusals(host.metrics) == {"messages_per_second": 1})
    next(iter(host.clients)).end(End.SHUTDOWN)
    assert PINGRESP not in await caller.read()
    caller.close()


NO_FRAMES = {
    "text": client_frame(b"secret", opcode=1),
    "unmasked": b"\x82\x06secret",
    "unknown opcode": client_frame(b"secret", opcode=3),
    "unknown status": client_frame(b"\0\0secret", opcode=8),
    "too large": client_frame(b"secret" * 1000),
}
"""What no browser sends of MQTT, of packets of 1024 bytes at most."""


@pytest.mark.parametrize("is_in", [False, True], ids=["at first", "later"])
@pytest.mark.parametrize("wrong", NO_FRAMES)
async def test_a_frame_that_breaks_the_rules_is_counted_logged_and_closes_for_good(
    box: StartBox, caplog: pytest.LogCaptureFixture, wrong: str, is_in: bool
) -> None:
    caplog.set_level(logging.INFO)
    how, reason, status = "malformed", "malformed", 1002
    if wrong == "too large":
        how, reason, status = "too_large", "max_packet_bytes", 1009
    host = await box(limits={"max_packet_bytes": 1024})
    caller = await browser(host)
    if is_in:
        await caller.send(client_frame(connect()))
        await caller.read(CONNACK)
    await caller.send(NO_FRAMES[wrong])
    assert (await caller.read()).endswith(b"\x88\x02" + status.to_bytes(2))
    caller.close()
    await until(lambda: not len(host.clients))
    assert refusals(host.metrics) == {reason: 1}
    assert (await scraped(host.metrics)).counted("lynrie_connections_ended_total") == {how: 1}
    assert End[how.upper()].value in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("wrong", NO_FRAMES)
@pytest.mark.usefixtures("no_collector")
async def test_a_frame_that_breaks_the_rules_leaves_nothing_for_the_collector(
    box: StartBox, living: Living, wrong: str
) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    caller = await browser(host)
    await caller.send(NO_FRAMES[wrong])
    await caller.read()
    caller.close()
    await until(lambda: living(Connection) + living(GuardedHandler) == 0)


@pytest.mark.parametrize(
    "last", [client_frame(b"\x03\xe8", opcode=8), b"\x82\x06secret"], ids=["close frame", "unmasked frame"]
)
async def test_who_ends_a_websocket_and_reads_no_more_is_dropped(
    box: StartBox, client: OpenClient, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    monkeypatch.setattr(wire, "CLOSE_SECONDS", 0.1)
    host = await box()
    stuck = await browser(host, receive_buffer=4096)
    await stuck.send(client_frame(connect()) + client_frame(subscribe("news")))
    await until(lambda: any(connection.subscriptions for connection in host.clients))
    (connection,) = host.clients
    ann = await (await client(host)).connect("ann")
    while not connection.wire.buffered():
        await ann.send(publish("news", b"x" * 10_000, qos=1, packet_id=1))
        await ann.next(PUBACK)
    await stuck.send(last)
    await until(lambda: len(host.places) == 1)
    stuck.close()


@pytest.mark.parametrize("asks_first", [False, True], ids=["at once", "after a request"])
async def test_a_websocket_without_a_connect_is_late_and_counted_once(box: StartBox, asks_first: bool) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    caller = await Caller.open(host)
    if asks_first:
        await caller.send(get("/healthz"))
        await caller.read(b'"ok"}')
    await caller.send(framing.upgrade("localhost", 80))
    assert b" 101 " in await caller.read()  # to the end
    await until(lambda: not len(host.clients))
    assert refusals(host.metrics) == {"connect_seconds": 1}
    assert (await scraped(host.metrics)).counted("lynrie_connections_ended_total") == {"late": 1}
    caller.close()


async def test_a_websocket_after_a_request_has_its_time_for_the_connect(box: StartBox) -> None:
    caller = await Caller.open(await box())
    await caller.send(get("/healthz"))
    await caller.read(b'"ok"}')
    await caller.send(framing.upgrade("localhost", 80))
    await caller.read(b"\r\n\r\n")
    await caller.send(client_frame(connect()))
    assert CONNACK in await caller.read(CONNACK)
    caller.close()


# MQTT


async def test_commands_at_qos_0_wait_their_turn_like_others(box: StartBox, client: OpenClient) -> None:
    host = await box()
    counter = plugin(host, Counter)
    taken: list[bytes] = []
    host.commands[COMMAND] = lambda command: (taken.append(command.payload), counter.add(command))[1]
    may_write = threading.Event()
    host.database.submit(lambda db: may_write.wait(), lambda result, error: None)
    device = await (await client(host)).connect("ann")
    await device.send(b"".join(publish(COMMAND, b"%d" % number) for number in range(1000)))
    try:
        await until(lambda: len(taken) >= MAX_WAITING_COMMANDS)
        other = await (await client(host)).connect("ben")  # the loop is free, and had the time to take more
        await other.subscribe("news")
        assert len(taken) == MAX_WAITING_COMMANDS
    finally:
        may_write.set()
    await until(lambda: len(taken) == 1000)


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_who_says_goodbye_too_fast_is_heard_out_and_has_no_last_will(
    box: StartBox, client: OpenClient, door: str
) -> None:
    """As client libraries do: the DISCONNECT and the end of the connection follow at once."""
    host = await box(limits={"messages_per_second": 20, "messages_burst": 4})
    watcher = await (await client(host)).connect("ben")
    await watcher.subscribe("free/#")
    ann = await (await client(host, door)).connect("ann", will=("free/will", b"gone"))
    sent = [publish("free/said", b"%d" % number, qos=1, packet_id=number) for number in range(1, 13)]
    await ann.send(b"".join(sent), DISCONNECT)
    if door == "tcp":
        ann.transport.half_close()
        assert [(await ann.next(PUBACK)).packet_id for _ in sent] == list(range(1, 13))
    else:
        await ann.transport.close()
    assert [(await watcher.next(PUBLISH)).payload for _ in sent] == [b"%d" % number for number in range(1, 13)]
    await until(lambda: len(host.clients) == 1)
    await watcher.silence()


async def test_a_connection_that_has_signed_in_is_counted_by_its_user_alone(box: StartBox) -> None:
    host = await box()
    caller = await browser(host)
    await caller.send(client_frame(b"", opcode=9))
    await until(lambda: len(host.messages) == 1)
    await caller.send(client_frame(connect("ann", "ann-demo")))
    await caller.read(CONNACK)
    await caller.send(client_frame(PINGREQ))
    await caller.read(PINGRESP)
    caller.close()
    await until(lambda: not len(host.clients))
    assert list(host.messages._worked_off_at) == [user_id("ann")]


async def test_answers_that_nobody_reads_do_not_pile_up_and_come_when_they_are_read(box: StartBox) -> None:
    most = 4096
    host = await box(limits={"outbound_bytes": most})
    transport = await TcpTransport.open(host.tcp_addresses[0], receive_buffer=4096)
    stranger = RawClient(transport)
    await stranger.connect()
    (connection,) = host.clients._open
    refused = ["news"] * 1024  # which cost the box an answer of a thousand bytes
    sending = asyncio.create_task(transport.send(subscribe(*refused) * 600))
    await until(lambda: connection._room_waiter is not None)
    assert connection.congested
    assert connection.wire.buffered() < 2 * most + 65536  # the answers to what had come in by then
    for _ in range(600):
        await stranger.next(SUBACK)
    await sending


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_the_kernel_notices_who_vanishes_within_two_minutes(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    await (await client(host, door)).connect("ann")
    (connection,) = host.clients._open
    accepted = connection.wire._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    idle, between, times = (accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options)
    assert idle + between * times <= 120


async def test_a_topic_too_deep_to_be_meant_is_forbidden(box: StartBox, client: OpenClient) -> None:
    host = await box()
    device = await (await client(host)).connect("ann")
    assert await device.subscribe("/".join("a" * MAX_LEVELS)) == b"\x00"
    assert await device.subscribe("/".join("a" * (MAX_LEVELS + 1))) == b"\x80"
    await device.send(publish("/" * 60_000, b"deep", qos=1, packet_id=7))
    await device.next(4)
    assert plugin(host, Counter).refused == [("ann", "/" * 60_000)]


async def test_a_packet_that_drips_is_silence(box: StartBox, client: OpenClient) -> None:
    host = await box(limits={"max_keep_alive_seconds": 0.4})
    device = await (await client(host)).connect("ann")
    started = publish("news", b"x" * 20_000)

    async def drip() -> None:
        for position in range(len(started)):
            await device.send(started[position : position + 1])
            await asyncio.sleep(0.001)  # the drip itself, not a wait for anything

    dripping = asyncio.create_task(drip())
    try:
        assert await device.is_closed()
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
