"""A thousand connections, dropped in every state in which one can be, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from boxes import Newborn, plugin, until
from conftest import Certificate, StartBox, encrypted
from raw_mqtt import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    PUBREC,
    SUBACK,
    RawClient,
    TcpTransport,
    connect,
    publish,
    subscribe,
)
from raw_tls import TlsTransport, reset, trusting
from raw_websocket import RawWebSocket
from sample_plugins import COMMAND, Counter, DemoAuth, user_id
from test_amqtt_facts import assert_nothing_is_left
from test_connection import held_writer

from bench.framing import client_frame, upgrade
from broker.connection import Connection
from broker.doors.guarded import GuardedHandler
from broker.doors.tcp import StreamWire
from broker.host import Host
from broker.overrides import LightHandler, LightSession
from broker.rates import Rate

OF_EACH = 4
"""Connections for each state, door and way of leaving: 1,024 in all."""

SMALL = 4096
"""A receive buffer that is soon full."""

Raw = TcpTransport | TlsTransport | RawWebSocket


@dataclass
class Crowd:
    """Those who come to one box by one door. ``context`` if it speaks TLS."""

    host: Host
    door: str
    context: ssl.SSLContext | None
    came: list[Raw] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.host.tcp_addresses[0] if self.door == "tcp" else self.host.web_addresses[0]

    async def knock(self, receive_buffer: int | None = None) -> TcpTransport | TlsTransport:
        """A socket, with TLS over it where the door speaks it, and nothing more."""
        if self.context is None:
            beneath: TcpTransport | TlsTransport = await TcpTransport.open(self.address, receive_buffer)
        else:
            beneath = await TlsTransport.open(self.address, self.context, receive_buffer)
        self.came.append(beneath)
        return beneath

    async def open(self, receive_buffer: int | None = None) -> RawClient:
        """Whoever may send a CONNECT next."""
        beneath = await self.knock(receive_buffer)
        if self.door == "tcp":
            return RawClient(beneath)
        self.came[-1] = await RawWebSocket.open(beneath)
        return RawClient(self.came[-1])

    async def sign_in(self, *, receive_buffer: int | None = None, client_id: str = "") -> RawClient:
        client = await self.open(receive_buffer)
        will = ("free/gone", b"bye")
        await client.send(connect("ann", "ann-demo", client_id=client_id, will=will, will_retain=False))
        await client.next(CONNACK)
        return client


State = Callable[[Crowd], Awaitable[None]]
During = Callable[[Host], contextlib.AbstractAsyncContextManager[None]]

# The states: each brings one more connection into it


async def accepted(crowd: Crowd) -> None:
    crowd.came.append(await TcpTransport.open(crowd.address))


async def half_a_tls_handshake(crowd: Crowd) -> None:
    if crowd.context is not None:
        crowd.came.append(await TlsTransport.begin(crowd.address, crowd.context))


async def half_an_http_header(crowd: Crowd) -> None:
    if crowd.door == "web":
        await (await crowd.knock()).send(upgrade("localhost", 80)[:60])


async def half_a_body(crowd: Crowd) -> None:
    if crowd.door == "web":
        head = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        await (await crowd.knock()).send(head + b'Content-Length: 99\r\n\r\n{"text":')


async def an_answered_request(crowd: Crowd) -> None:
    if crowd.door == "web":
        caller = await crowd.knock()
        await caller.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await caller.read()


async def upgraded_without_connect(crowd: Crowd) -> None:
    await crowd.open()


async def half_a_connect(crowd: Crowd) -> None:
    await (await crowd.open()).send(connect("ann", "ann-demo")[:7])


async def waiting_for_the_password_check(crowd: Crowd) -> None:
    await (await crowd.open()).send(connect("ann", "ann-demo"))


async def refused(crowd: Crowd) -> None:
    await (await crowd.open()).send(connect("ann", "wrong"))


async def connected(crowd: Crowd) -> None:
    await crowd.sign_in()


async def waiting_for_a_present(crowd: Crowd) -> None:
    await (await crowd.sign_in()).send(subscribe("count/#", "news", qos=1))


async def in_the_midst_of_a_present(crowd: Crowd) -> None:
    client = await crowd.sign_in(receive_buffer=SMALL)
    await client.send(subscribe("count/#"))
    await client.next(SUBACK)
    await client.next(PUBLISH)


async def with_unacknowledged_messages(crowd: Crowd) -> None:
    client = await crowd.sign_in()
    await client.subscribe("answer/#", qos=1)
    plugin(crowd.host, Counter).answer(user_id("ann"), b"never acknowledged")
    await client.next(PUBLISH)


async def with_qos_2_in_flight(crowd: Crowd) -> None:
    client = await crowd.sign_in()
    await client.send(publish("free/x", b"x", qos=2, packet_id=1, retain=True))
    await client.next(PUBREC)


async def with_commands_waiting(crowd: Crowd) -> None:
    await (await crowd.sign_in()).send(*(publish(COMMAND, b"x", qos=1 + n % 2, packet_id=n) for n in range(1, 20)))


async def stuck(crowd: Crowd) -> None:
    client = await crowd.sign_in(receive_buffer=SMALL)
    await client.subscribe("flood", qos=0)


async def in_a_flood_of_pongs(crowd: Crowd) -> None:
    """Nobody has asked for one, nor do they say who they are; the end of it all stands behind what nobody reads."""
    if crowd.door == "web":
        await (await crowd.open()).transport.beneath.send(client_frame(b"y" * 125, opcode=10) * 4000)


async def in_a_flood_of_pings(crowd: Crowd) -> None:
    if crowd.door == "web":
        await (await crowd.sign_in()).transport.beneath.send(client_frame(b"?" * 125, opcode=9) * 4000)


async def slowed_down(crowd: Crowd) -> None:
    """More than is read at once, so that the end of it all stands behind what nobody reads."""
    client = await crowd.sign_in()
    for _ in range(4):
        await client.send(PINGREQ * 30_000)


async def taken_over(crowd: Crowd) -> None:
    await crowd.sign_in(client_id="one")


async def revoked(crowd: Crowd) -> None:
    await crowd.sign_in()
    await crowd.host.end_user(user_id("ann"))


# What the box is kept from while they come and leave


@asynccontextmanager
async def nothing_is_held_up(host: Host) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def no_password_is_checked(host: Host) -> AsyncIterator[None]:
    auth = plugin(host, DemoAuth)
    auth.may_answer.clear()
    try:
        yield
    finally:
        auth.may_answer.set()


@asynccontextmanager
async def no_present_is_prepared(host: Host) -> AsyncIterator[None]:
    counter = plugin(host, Counter)
    counter.may_prepare.clear()
    try:
        yield
    finally:
        counter.may_prepare.set()


@asynccontextmanager
async def presents_are_large(host: Host) -> AsyncIterator[None]:
    counter = plugin(host, Counter)
    counter.padding = 30_000
    for number in range(30):
        counter.bump(f"large {number}")
    yield


@asynccontextmanager
async def one_message_a_second(host: Host) -> AsyncIterator[None]:
    host.messages = Rate(1, 1)
    yield


@asynccontextmanager
async def nothing_is_written(host: Host) -> AsyncIterator[None]:
    with held_writer(host):
        yield


STATES: dict[str, tuple[State, During]] = {
    "accepted": (accepted, nothing_is_held_up),
    "half a TLS handshake": (half_a_tls_handshake, nothing_is_held_up),
    "half an HTTP header": (half_an_http_header, nothing_is_held_up),
    "half a body": (half_a_body, nothing_is_held_up),
    "an answered request": (an_answered_request, nothing_is_held_up),
    "no CONNECT": (upgraded_without_connect, nothing_is_held_up),
    "half a CONNECT": (half_a_connect, nothing_is_held_up),
    "waiting for the password check": (waiting_for_the_password_check, no_password_is_checked),
    "refused": (refused, nothing_is_held_up),
    "connected": (connected, nothing_is_held_up),
    "waiting for a present": (waiting_for_a_present, no_present_is_prepared),
    "in the midst of a present": (in_the_midst_of_a_present, presents_are_large),
    "with unacknowledged messages": (with_unacknowledged_messages, nothing_is_held_up),
    "with QoS 2 in flight": (with_qos_2_in_flight, nothing_is_held_up),
    "with commands waiting": (with_commands_waiting, nothing_is_written),
    "stuck": (stuck, nothing_is_held_up),
    "in a flood of pongs": (in_a_flood_of_pongs, one_message_a_second),
    "in a flood of pings": (in_a_flood_of_pings, one_message_a_second),
    "slowed down": (slowed_down, one_message_a_second),
    "taken over": (taken_over, nothing_is_held_up),
    "revoked": (revoked, nothing_is_held_up),
}

# The ways of leaving


async def by_reset(transport: Raw) -> None:
    reset(transport.socket)


async def by_fin(transport: Raw) -> None:
    """As an operating system does for a process that has ended; with something unread it resets, too."""
    transport.socket.close()


async def by_half_close(transport: Raw) -> None:
    """Nothing more to say, but all ears."""
    with contextlib.suppress(OSError):
        transport.socket.shutdown(socket.SHUT_WR)


async def by_disconnect(transport: Raw) -> None:
    """Wherever it is: in some states it is one more byte of nonsense."""
    with contextlib.suppress(OSError, ssl.SSLError):
        await transport.send(DISCONNECT)
    transport.socket.close()


LEAVING = (by_reset, by_fin, by_half_close, by_disconnect)

LEFT_BEHIND = (Connection, LightSession, LightHandler, StreamWire, GuardedHandler, sslproto.SSLProtocol)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def flood(host: Host) -> None:
    """Until all who listen have more waiting for them than they may."""
    listening = list(host.fanout.index.subscribers("flood"))
    while not all(connection.congested for connection in listening):
        host.publish("flood", b"x" * 60_000)
        await asyncio.sleep(0)


@pytest.mark.parametrize("over_tls", [False, True], ids=["in clear", "over TLS"])
@pytest.mark.parametrize("state", STATES)
async def test_nothing_is_left_of_a_crowd_that_is_dropped(
    box: StartBox, certificate: Certificate, state: str, over_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    left_behind = Newborn(*LEFT_BEHIND)
    listeners = encrypted(certificate) if over_tls else {}
    limits = {"max_connections_per_address": 1000}
    host = await box(listeners=listeners, limits=limits, fanout={"window_milliseconds": 0})
    context = trusting(certificate) if over_tls else None
    brings, during = STATES[state]
    # What the first visit opens for good, such as the database's connections for reading, is no leak.
    first = Crowd(host, "tcp", context)
    client = await first.sign_in()
    await client.send(publish(COMMAND, b"x", qos=1, packet_id=1))
    await client.next(PUBACK)
    await by_disconnect(first.came[0])
    await until(lambda: len(left_behind) == 0)
    before, files = asyncio.all_tasks(), open_files()

    crowds = [Crowd(host, door, context) for door in ("tcp", "web")]
    async with AsyncExitStack() as still_there:
        async with during(host):
            for crowd in crowds:
                for _ in range(OF_EACH * len(LEAVING)):
                    await brings(crowd)
            if brings is stuck:
                await flood(host)
            came = [transport for crowd in crowds for transport in crowd.came]
            for number, transport in enumerate(came):
                leave = LEAVING[number % len(LEAVING)]
                await leave(transport)
                if leave is by_half_close:
                    still_there.push_async_callback(transport.close)
        for transport in came:
            if transport.socket.fileno() != -1:  # those who are all ears hear the box out
                with contextlib.suppress(ssl.SSLError):
                    while await asyncio.wait_for(transport.read(), 20):
                        pass
    await assert_nothing_is_left(host, before)
    await until(lambda: open_files() <= files)
    gc.collect()
    await until(lambda: len(left_behind) == 0)
    assert [record.getMessage() for record in caplog.records] == []
