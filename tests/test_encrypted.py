"""What TLS costs: memory per connection, handshakes that are not finished, ends that nobody has time for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import tracemalloc
from asyncio import sslproto

import pytest
from boxes import until
from conftest import Certificate, Living, StartBox, encrypted
from raw_mqtt import CONNACK, DISCONNECT, RawClient, TcpTransport, connect, subscribe
from raw_tls import TlsTransport, reset, trusting
from raw_websocket import RawWebSocket
from scraping import refusals

from bench.framing import client_frame
from broker.doors import guarded
from broker.doors.encrypted import BUFFER_BYTES, TlsLayer
from broker.doors.sockets import ACCEPTED_AT
from broker.host import Host

CONNECTED = b"\x20\x02\0\0"


def the_layer() -> TlsLayer:
    (layer,) = [found for found in gc.get_objects() if isinstance(found, TlsLayer) and found._beneath is not None]
    return layer


async def test_a_tls_connection_costs_less_than_80_kib(box: StartBox, certificate: Certificate, living: Living) -> None:
    """Python's share of it, which is what was 256 KiB; OpenSSL's own does not depend on us."""
    number = 200
    host = await box(listeners=encrypted(certificate), limits={"max_connections_per_address": 2 * number})
    context = trusting(certificate)
    joined = [await TlsTransport.open(host.tcp_addresses[0], context)]  # what the first costs, it costs for all
    await until(lambda: living(sslproto.SSLProtocol) == 1)
    gc.collect()
    tracemalloc.start()
    try:
        for address in (host.tcp_addresses[0], host.web_addresses[0]):
            joined += [await TlsTransport.open(address, context) for _ in range(number // 2)]
        await until(lambda: living(sslproto.SSLProtocol) == number + 1)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for transport in joined:
        await transport.close()
    assert grown / number < 80 * 1024
    assert grown / number > BUFFER_BYTES  # it has measured what it is about


async def test_whose_handshake_ends_when_the_doors_are_closed_gets_no_further(
    box: StartBox, certificate: Certificate
) -> None:
    host = await box(listeners=encrypted(certificate))
    transport = await TlsTransport.begin(host.tcp_addresses[0], trusting(certificate))
    await until(lambda: len(host.places) == 1)
    host.tcp.close()
    await transport.shake_hands()
    with contextlib.suppress(ConnectionError):  # the box has reset it
        await transport.send(connect())
    assert await transport.read() == b""
    assert len(host.clients) == 0
    await transport.close()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("door", ["tcp", "web"])
@pytest.mark.parametrize("bytes_", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", "hello"])
@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_handshake_that_is_broken_off_leaves_nothing_for_the_collector(
    box: StartBox, certificate: Certificate, door: str, bytes_: bytes | str, how: str, living: Living
) -> None:
    host = await box(listeners=encrypted(certificate))
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    if isinstance(bytes_, str):
        connected = (await TlsTransport.begin(address, trusting(certificate))).socket
    else:
        connected = (await TcpTransport.open(address)).socket
        connected.send(bytes_)
    await until(lambda: living(sslproto.SSLProtocol) == 1 or len(host.places) == 0)
    reset(connected) if how == "RST" else connected.close()
    await until(lambda: living(sslproto.SSLProtocol) == 0 and len(host.places) == 0)


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_a_handshake_takes_a_place_like_any_connection(
    box: StartBox, certificate: Certificate, door: str
) -> None:
    host = await box(listeners=encrypted(certificate), limits={"max_connections_per_address": 3})
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    context = trusting(certificate)
    half = [await TcpTransport.open(address), await TlsTransport.begin(address, context)]
    await until(lambda: len(host.places) == 2)
    whole = await TlsTransport.open(address, context)
    refused = await TcpTransport.open(address)
    assert await refused.read() == b""  # before any of the handshake's arithmetic
    for transport in (*half, refused):
        await transport.close()
    await until(lambda: len(host.places) == 1)
    await whole.close()
    await until(lambda: len(host.places) == 0)


async def test_who_gives_way_and_does_not_say_goodbye_is_dropped_where_many_do_so(
    box: StartBox, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "REFUSALS_AT_ONCE", 4)
    host = await box(listeners=encrypted(certificate), limits={"max_connections_per_address": 2})
    context, callers = trusting(certificate), []
    for _ in range(20):
        callers.append(await TlsTransport.open(host.web_addresses[0], context))
        await callers[-1].send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await callers[-1].read()).startswith(b"HTTP/1.1 200")
        assert host.places.refused_now <= 4 + 1  # the last one is reset, and gone when the loop comes to it
    for caller in callers:
        await caller.close()
    await until(lambda: len(host.places) == 0 and host.places.refused_now == 0)


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_the_handshake_counts_into_the_time_to_connect(
    box: StartBox, certificate: Certificate, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await box(listeners=encrypted(certificate), limits={"connect_seconds": 1000})
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    begin = TlsLayer.connection_made

    def begun_long_ago(layer: TlsLayer, transport: asyncio.BaseTransport) -> None:
        begin(layer, transport)
        layer._extra[ACCEPTED_AT] -= 1000

    monkeypatch.setattr(TlsLayer, "connection_made", begun_long_ago)
    late = await TlsTransport.open(address, trusting(certificate))
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            assert await late.read() == b""
    await late.close()
    await until(lambda: len(host.places) == 0)


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_a_tls_connection_comes_but_once(box: StartBox, certificate: Certificate, door: str) -> None:
    host = await box(listeners=encrypted(certificate), limits={"connections_per_second": 1, "connections_burst": 6})
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    whole = [await TlsTransport.open(address, trusting(certificate)) for _ in range(6)]
    await until(lambda: len(host.places) == 6)
    for transport in whole:
        await transport.close()


@pytest.mark.parametrize("cut", [0, 20], ids=["in one record", "in two records"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_a_request_over_tls_ends_without_anybody_being_stuck(
    box: StartBox, certificate: Certificate, connection: str, cut: int
) -> None:
    """Either by the box at once, or by the time that it gives a browser for its next request."""
    host = await box(listeners=encrypted(certificate), limits={"connect_seconds": 0.5, "stuck_seconds": 1.0})
    request = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()
    caller = await TlsTransport.open(host.web_addresses[0], trusting(certificate))
    for record in filter(None, (request[:cut], request[cut:])):
        await caller.send(record)
    answered = b""
    async with asyncio.timeout(10):
        while data := await caller.read():
            answered += data
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert refusals(host.metrics) == {}
    await caller.close()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("goodbye", ["early", "late", "none"])
async def test_an_end_with_much_unread_is_one_end_and_no_fault(
    box: StartBox, certificate: Certificate, caplog: pytest.LogCaptureFixture, goodbye: str, living: Living
) -> None:
    """Found as a traceback of asyncio's: a client is owed more than the kernel takes, reads on for a while and leaves,
    so that the last write fails in the midst of the end. Which size does it is the kernel's."""
    host = await box(listeners=encrypted(certificate))
    context = trusting(certificate)
    caplog.set_level(logging.WARNING)
    for size in range(100_000, 300_000, 8_000):
        await be_flooded_and_leave(host, context, size, goodbye)
    await until(lambda: living(sslproto.SSLProtocol) == 0)
    assert [record.getMessage() for record in caplog.records] == []


PINGS = client_frame(connect()) + client_frame(b"?" * 125, opcode=9) * 250
REQUESTS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500


@pytest.mark.parametrize("leaves", ["reset", "half-close"])
@pytest.mark.parametrize("asks", ["pings", "requests"])
async def test_who_is_gone_before_the_answers_floods_no_log(
    box: StartBox, certificate: Certificate, caplog: pytest.LogCaptureFixture, asks: str, leaves: str
) -> None:
    caplog.set_level(logging.WARNING)
    host = await box(listeners=encrypted(certificate))
    came: list[TlsTransport] = []
    for _ in range(20):
        browser = await TlsTransport.open(host.web_addresses[0], trusting(certificate))
        if asks == "pings":
            await RawWebSocket.open(browser)
        await browser.send(PINGS if asks == "pings" else REQUESTS)
        if leaves == "reset":
            reset(browser.socket)
        else:
            browser.socket.shutdown(socket.SHUT_WR)
        came.append(browser)
    await until(lambda: len(host.places) == 0)
    assert [record.getMessage() for record in caplog.records] == []
    for browser in came:
        await browser.close()


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_who_says_goodbye_and_stays_without_reading_is_dropped(
    box: StartBox, certificate: Certificate, door: str
) -> None:
    host = await box(listeners=encrypted(certificate))
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    transport = await TlsTransport.open(address, trusting(certificate), receive_buffer=4096)
    client = RawClient(transport if door == "tcp" else await RawWebSocket.open(transport))
    await client.send(connect("ann", "ann-demo"), subscribe("news"))
    await client.next(CONNACK)
    (connection,) = host.clients._open
    await until(lambda: connection.subscriptions)
    while not connection.congested:
        host.publish("news", b"x" * 60_000)
        await asyncio.sleep(0)
    await transport.goodbye()
    await until(lambda: len(host.places) == 0)
    await transport.close()


async def be_flooded_and_leave(host: Host, context: ssl.SSLContext, size: int, goodbye: str) -> None:
    transport = await TlsTransport.open(host.tcp_addresses[0], context, receive_buffer=4096)
    client = RawClient(transport)
    await client.send(connect("ann", "ann-demo"), subscribe("news"))
    await client.next(CONNACK)
    (connection,) = host.clients._open
    await until(lambda: connection.subscriptions)
    for _ in range(2):  # more than the kernel takes, and what waits for it
        written = connection.written_bytes
        host.publish("news", b"x" * size)
        await until(lambda: connection.written_bytes > written)  # noqa: B023  # awaited
    if goodbye == "early":
        await client.send(DISCONNECT)
        await transport.goodbye()
        await until(lambda: len(host.places) == 0)
    beneath = the_layer()._beneath
    assert beneath is not None
    while beneath.get_write_buffer_size() > 40_000:
        assert await transport.receive()
    # From here on the box has no turn until all is over.
    if goodbye == "late":
        await client.send(DISCONNECT)
        await transport.goodbye()
    with contextlib.suppress(BlockingIOError):
        while transport.socket.recv(65536):
            pass
    await transport.close()
    await until(lambda: len(host.places) == 0)
