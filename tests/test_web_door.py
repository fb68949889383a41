"""The web door: who may knock from where, what an error looks like, and when there is no place left."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import base64
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from boxes import SAMPLE_PLUGINS, until
from conftest import Certificate, Living, OpenClient, StartBox, encrypted
from normative import shows
from raw_mqtt import DISCONNECT, RawClient, TcpTransport, WebSocketTransport, connect, publish
from sample_plugins import user_id
from scraping import refusals

from bench import framing
from broker.addresses import network_of
from broker.connection import Connection
from broker.doors.guarded import GuardedHandler
from broker.host import Host

Call = Callable[..., Awaitable[tuple[int, Any, "aiohttp.typedefs.LooseHeaders"]]]
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "mqtt",
}


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """``await call(host, "GET", "/path", …)`` answers status, JSON body and headers."""
    async with aiohttp.ClientSession() as session:

        async def call(host: Host, method: str, path: str, **options: Any) -> Any:
            url = "http://{}:{}".format(*host.web_addresses[0]) + path
            async with session.request(method, url, **options) as response:
                body = await response.json() if response.content_type == "application/json" else None
                return response.status, body, response.headers

        yield call


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


async def upgrade(host: Host, **headers: str) -> bytes:
    """The status line that a WebSocket upgrade with these headers gets."""
    transport = await TcpTransport.open(host.web_addresses[0])
    given = {"Host": "localhost", **UPGRADE, **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    await transport.send(f"GET /mqtt HTTP/1.1\r\n{lines}\r\n".encode())
    answer = await transport.read()
    await transport.close()
    return answer.split(b"\r\n")[0]


def is_error(body: Any, code: str) -> bool:
    return set(body) == {"code", "message"} and body["code"] == code and isinstance(body["message"], str)


# Host and Origin


@pytest.mark.parametrize(
    "name", ["localhost", "localhost:9001", "127.0.0.1:9001", "192.168.1.7", "[::1]:9001", "kino.local", "LOCALHOST"]
)
async def test_the_box_answers_to_addresses_and_local_names(box: StartBox, call: Call, name: str) -> None:
    status, body, _ = await call(await box(), "GET", "/healthz", headers={"Host": name})
    assert (status, body) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9001", "notlocal", "local", "[::1", ""]
)
async def test_the_box_does_not_answer_to_other_names(box: StartBox, call: Call, name: str) -> None:
    host = await box()
    status, body, _ = await call(host, "GET", "/healthz", headers={"Host": name})
    assert status == 421
    assert is_error(body, "misdirected_request")
    assert b" 421 " in await upgrade(host, Host=name)


async def test_the_box_answers_to_its_public_name_and_its_pages_may_call_it(box: StartBox, call: Call) -> None:
    host = await box(listeners={"web": {"public_urls": ["https://box.example.org"]}})
    for name in ("box.example.org", "BOX.example.org", "box.example.org:9001"):
        headers = {"Host": name, "Origin": "https://box.example.org"}
        assert (await call(host, "GET", "/healthz", headers=headers))[0] == 200
    assert (await call(host, "GET", "/healthz", headers={"Host": "other.example.org"}))[0] == 421


@pytest.mark.parametrize("origin", ["http://localhost:9001", "HTTP://LOCALHOST:9001"])
async def test_a_page_of_the_box_may_call_it(box: StartBox, call: Call, origin: str) -> None:
    host = await box()
    headers = {"Host": "localhost:9001", "Origin": origin}
    assert (await call(host, "GET", "/healthz", headers=headers))[0] == 200
    assert b" 101 " in await upgrade(host, **headers)


async def test_the_standard_port_may_be_left_out(box: StartBox, call: Call) -> None:
    host = await box()
    for name, origin in (("localhost", "http://localhost:80"), ("localhost:80", "http://localhost")):
        assert (await call(host, "GET", "/healthz", headers={"Host": name, "Origin": origin}))[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://localhost:9002",
        "http://localhost",
        "https://localhost:9001",
        "http://127.0.0.1:9001",
        "http://localhost:9001.evil.example",
        "",
        "file://",
    ],
)
async def test_a_page_of_another_origin_may_not_call_the_box(box: StartBox, call: Call, origin: str) -> None:
    host = await box()
    headers = {"Host": "localhost:9001", "Origin": origin}
    for method, path in (("GET", "/healthz"), ("POST", "/api/echo"), ("GET", "/no/such/page")):
        status, body, answered = await call(host, method, path, headers=headers)
        assert status == 403
        assert is_error(body, "forbidden")
        assert "Access-Control-Allow-Origin" not in answered
    assert b" 403 " in await upgrade(host, **headers)


# Signing in


async def test_a_caller_is_a_guest_a_user_or_the_owner_of_a_token(box: StartBox, call: Call) -> None:
    host = await box()
    for headers, user in (({}, None), (basic("ann:ann-demo"), "ann"), ({"Authorization": "Bearer ann-token"}, "ann")):
        status, body, _ = await call(host, "GET", "/api/whoami", headers=headers)
        assert (status, body["user"]) == (200, user)


@pytest.mark.parametrize(
    "authorization",
    [
        basic("ann:wrong")["Authorization"],
        basic("nobody")["Authorization"],
        "Basic ???",
        "Basic /////w==",
        "Basic",
        "Bearer",
        "Bearer wrong",
        "bearer  ",
    ],
)
async def test_wrong_credentials_are_401_and_the_browser_asks_nobody_for_a_password(
    box: StartBox, call: Call, authorization: str
) -> None:
    host = await box()
    status, body, headers = await call(host, "GET", "/api/whoami", headers={"Authorization": authorization})
    assert status == 401
    assert is_error(body, "unauthorized")
    assert "basic" not in headers.get("WWW-Authenticate", "").lower()
    assert "ann" not in body["message"]
    assert refusals(host.metrics) == {"credentials": 1}


# Errors


async def test_every_error_is_json_with_a_code_and_a_message(box: StartBox, call: Call) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    as_json = {"Content-Type": "application/json"}
    for method, path, options, expected, code in (
        ("GET", "/no/such/page", {}, 404, "not_found"),
        ("DELETE", "/healthz", {}, 405, "method_not_allowed"),
        ("POST", "/api/echo", {"data": b"x" * 2000, "headers": as_json}, 413, "too_large"),
        ("POST", "/api/echo", {"data": b'{"text": "x"}', "headers": {"Content-Type": "text/plain"}}, 415, None),
        ("POST", "/api/echo", {"data": b'{"text": "x"}', "headers": {"Content-Type": ""}}, 415, None),
        ("POST", "/api/echo", {"data": b"\xff", "headers": as_json}, 400, "invalid_json"),
        ("POST", "/api/echo", {"data": b"{", "headers": as_json}, 400, "invalid_json"),
        ("POST", "/api/echo", {"data": b'{"text": 7}', "headers": as_json}, 400, "invalid_request"),
    ):
        status, body, headers = await call(host, method, path, **options)
        assert status == expected
        assert is_error(body, code or "unsupported_media_type")
        assert headers["Content-Type"].startswith("application/json")
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert (await call(host, "DELETE", "/healthz"))[2]["Allow"] == "GET,HEAD"


async def test_a_wrong_body_is_not_repeated_in_the_answer(box: StartBox, call: Call) -> None:
    body = b'{"text": {"deep": "4711-secret"}, "4712-secret": 1}'
    headers = {"Content-Type": "application/json"}
    status, answer, _ = await call(await box(), "POST", "/api/echo", data=body, headers=headers)
    assert status == 400
    assert "secret" not in answer["message"]


async def test_where_mqtt_is_spoken_a_plain_request_is_told_so(box: StartBox, call: Call) -> None:
    status, body, _ = await call(await box(), "GET", "/mqtt")
    assert status == 426
    assert is_error(body, "upgrade_required")


# The first page

WITH_A_FIRST_PAGE = {**SAMPLE_PLUGINS, "sample_plugins.FirstPage": {}}


@pytest.mark.parametrize("plugins", [SAMPLE_PLUGINS, WITH_A_FIRST_PAGE], ids=["greeting", "page"])
@pytest.mark.parametrize("path", ["/", "/mqtt"])
async def test_mqtt_is_spoken_on_the_first_page_whatever_else_is_there(
    box: StartBox, plugins: dict[str, Any], path: str
) -> None:
    host = await box(plugins=plugins)
    transport = await WebSocketTransport.open(host.web_addresses[0], path)
    assert await (await RawClient(transport).connect("ann")).subscribe("count/x") == b"\x00"
    await transport.close()


async def test_a_plugins_first_page_is_shown_and_without_one_the_box_says_what_it_speaks(
    box: StartBox, tmp_path: Path
) -> None:
    bare = await box()
    host = await box(plugins=WITH_A_FIRST_PAGE, database={"path": str(tmp_path / "other.db")})
    async with aiohttp.ClientSession() as session:
        for asked, status, part in ((bare, 200, "speaks MQTT"), (host, 200, "<title>first</title>")):
            async with session.get("http://{}:{}/".format(*asked.web_addresses[0])) as response:
                assert response.status == status
                assert part in await response.text()
        for headers in ({}, UPGRADE):  # a WebSocket begins with GET alone
            async with session.head("http://{}:{}/".format(*host.web_addresses[0]), headers=headers) as response:
                assert (response.status, response.content_type) == (200, "text/html")


async def test_what_may_be_kept_is_kept_for_the_origin_that_asked(box: StartBox, call: Call) -> None:
    public = "https://kino.example"
    host = await box(plugins=WITH_A_FIRST_PAGE, listeners={"web": {"public_urls": [public]}})
    for origin in (None, public):
        sent = {} if origin is None else {"Origin": origin}
        status, _, headers = await call(host, "GET", "/", headers=sent)
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        assert headers.getall("Vary") == ["Accept-Encoding, Origin"]
        assert headers.get("Access-Control-Allow-Origin") == origin


# Proxies


async def test_x_forwarded_for_is_believed_from_nobody_by_default(box: StartBox, call: Call) -> None:
    _, body, _ = await call(await box(), "GET", "/api/whoami", headers={"X-Forwarded-For": "198.51.100.7"})
    assert body["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),  # what the client claimed stands to the left
        ("198.51.100.7, 127.0.0.1", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::/64"),  # one subscriber has a whole /64
        ("nonsense", "127.0.0.1"),
        ("198.51.100.7, nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_says_where_the_client_is(
    box: StartBox, call: Call, forwarded: str, address: str
) -> None:
    host = await box(listeners={"web": {"trusted_proxies": ["127.0.0.0/8"]}})
    _, body, _ = await call(host, "GET", "/api/whoami", headers={"X-Forwarded-For": forwarded})
    assert body["address"] == address


async def test_a_trusted_proxy_says_by_which_scheme_the_page_came(box: StartBox, call: Call, tmp_path: Path) -> None:
    host = await box(listeners={"web": {"trusted_proxies": ["127.0.0.0/8"]}})
    headers = {"Host": "kino.local", "Origin": "https://kino.local"}
    assert (await call(host, "GET", "/healthz", headers=headers))[0] == 403
    assert (await call(host, "GET", "/healthz", headers={**headers, "X-Forwarded-Proto": "https"}))[0] == 200
    of_its_own = {"path": str(tmp_path / "other.db")}
    stranger = await box(listeners={"web": {"trusted_proxies": ["192.0.2.0/24"]}}, database=of_its_own)
    assert (await call(stranger, "GET", "/healthz", headers={**headers, "X-Forwarded-Proto": "https"}))[0] == 403


async def test_connections_through_a_proxy_count_for_the_address_behind_it(box: StartBox, client: OpenClient) -> None:
    host = await box(listeners={"web": {"trusted_proxies": ["127.0.0.0/8"]}}, limits={"max_connections_per_address": 1})
    opened = []
    for address in ("198.51.100.7", "198.51.100.8", "2001:db8:0:1::1", "2001:db8:0:2::1"):
        forwarded = {"X-Forwarded-For": address}
        opened.append(await WebSocketTransport.open(host.web_addresses[0], **forwarded))
        await RawClient(opened[-1]).connect("ann")
    for address in ("198.51.100.7", "2001:db8:0:1:ffff::9"):
        assert b" 503 " in await upgrade(host, **{"X-Forwarded-For": address})
    for transport in opened:
        await transport.close()


# Places


async def test_too_many_connections_of_one_address_are_refused_before_the_upgrade(
    box: StartBox, client: OpenClient
) -> None:
    host = await box(limits={"max_connections_per_address": 2})
    first = await (await client(host, "web")).connect("ann")
    await (await client(host, "tcp")).connect("ann")
    assert b" 503 " in await upgrade(host)
    assert await (await client(host, "tcp")).is_closed()
    await first.close()
    await until(lambda: len(host.clients) == 1)
    await (await client(host, "web")).connect("ann")


async def test_who_typed_the_address_of_a_full_box_is_told_and_comes_again_by_itself(box: StartBox, call: Call) -> None:
    host = await box(limits={"max_connections_per_address": 1})
    only = await TcpTransport.open(host.web_addresses[0])
    await until(lambda: len(host.places) == 1)
    transport = await TcpTransport.open(host.web_addresses[0])
    await transport.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n\r\n")
    head, _, body = (await transport.read()).partition(b"\r\n\r\n")
    assert b" 503 " in head
    assert b"Refresh: 1\r\n" in head
    assert b"Content-Type: text/plain; charset=utf-8" in head
    assert body == b"One moment: too many connections; come back in a moment.\n"
    await transport.close()
    await only.close()


@shows("3.2.2-6")
async def test_a_fifth_of_all_places_is_kept_for_who_signs_in(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_connections": 5})
    for _ in range(4):
        await (await client(host, door)).connect()
    guest = await client(host, door)
    await guest.send(connect())
    assert await guest.is_closed()  # without a CONNACK, so that it comes back
    await until(lambda: len(host.clients) == 4)
    await (await client(host, door)).connect("ann")
    assert b" 503 " in await upgrade(host)
    assert await (await client(host, "tcp")).is_closed()


async def test_a_place_is_free_again_however_its_connection_ended(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"max_connections_per_address": 1, "connect_seconds": 0.2})
    for data in (connect("ann", "wrong"), b"\xf0\x00", b"\x10", connect("ann", "ann-demo") + b"\x36\x00"):
        raw = await client(host, door)
        await raw.send(data)
        await raw.read_to_end()
        await raw.close()
        await until(lambda: not len(host.clients))
    ann = await (await client(host, door)).connect("ann")
    await host.end_user(user_id("ann"))
    await ann.read_to_end()
    await (await client(host, door)).connect("ann")


# Slow visitors


async def test_a_body_that_drips_does_not_keep_its_connection_for_ever(box: StartBox) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    transport = await TcpTransport.open(host.web_addresses[0])
    header = (
        b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    )
    await transport.send(header)
    closed = asyncio.create_task(transport.read())
    async with asyncio.timeout(5):
        while not closed.done():
            try:
                await transport.send(b" ")
            except OSError:
                break
            await asyncio.wait([closed], timeout=0.01)
    await closed
    await transport.close()


async def test_a_second_header_that_drips_does_not_keep_its_connection_for_ever(box: StartBox) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    transport = await TcpTransport.open(host.web_addresses[0])
    await transport.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await transport.read()).startswith(b"HTTP/1.1 200")
    await transport.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
    closed = asyncio.create_task(transport.read())
    async with asyncio.timeout(5):
        while not closed.done():
            try:
                await transport.send(b"x")
            except OSError:
                break
            await asyncio.wait([closed], timeout=0.01)
    await closed
    await transport.close()


# TLS


async def test_both_doors_speak_tls(box: StartBox, certificate: Certificate) -> None:
    host = await box(listeners=encrypted(certificate))
    trusting = ssl.create_default_context(cafile=str(certificate.authority))
    async with aiohttp.ClientSession() as session:
        url = "https://{}:{}".format(*host.web_addresses[0])
        async with session.get(url + "/healthz", ssl=trusting, server_hostname="localhost") as response:
            assert response.status == 200
    reader, writer = await asyncio.open_connection(*host.tcp_addresses[0], ssl=trusting, server_hostname="localhost")
    writer.write(connect("ann", "ann-demo"))
    assert await reader.readexactly(4) == b"\x20\x02\0\0"
    await host.end_user(user_id("ann"))
    assert await reader.read() == b""
    writer.close()


async def test_a_tls_handshake_that_does_not_come_is_closed(
    box: StartBox, client: OpenClient, certificate: Certificate
) -> None:
    host = await box(listeners=encrypted(certificate), limits={"connect_seconds": 0.2})
    for address in (*host.tcp_addresses, *host.web_addresses):
        transport = await TcpTransport.open(address)
        assert await asyncio.wait_for(transport.read(), 5) == b""
        await transport.close()


@pytest.mark.usefixtures("no_collector")
async def test_a_tls_client_that_vanishes_leaves_nothing_for_the_collector(
    box: StartBox, certificate: Certificate, living: Living
) -> None:
    host = await box(listeners=encrypted(certificate))
    trusting = ssl.create_default_context(cafile=str(certificate.authority))

    def join() -> ssl.SSLSocket:
        connected = trusting.wrap_socket(socket.create_connection(host.tcp_addresses[0]), server_hostname="localhost")
        connected.sendall(connect("ann", "ann-demo"))
        assert connected.recv(4) == b"\x20\x02\0\0"
        return connected

    client = await asyncio.to_thread(join)
    assert living(asyncio.sslproto.SSLProtocol) == 1
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()  # a reset: nothing of TLS says goodbye
    # The box waits a little for what it wrote last.
    await until(lambda: living(asyncio.sslproto.SSLProtocol) == 0, seconds=20)


def test_an_ipv6_subscriber_counts_as_one_address() -> None:
    assert network_of("2001:db8:0:1::1") == network_of("2001:db8:0:1:ffff::2")
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8:0:2::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert ipaddress.ip_address(network_of("192.0.2.1")) == ipaddress.ip_address("192.0.2.1")


# What is left of a browser


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("goodbye", ["none", "DISCONNECT", "close frame", "both"])
async def test_however_a_browser_goes_it_leaves_nothing_for_the_collector(
    box: StartBox, goodbye: str, living: Living
) -> None:
    host = await box()
    transport = await WebSocketTransport.open(host.web_addresses[0])
    await (await RawClient(transport).connect("ann")).subscribe("news/#")
    assert living(GuardedHandler) == 1
    if goodbye in ("DISCONNECT", "both"):
        await transport.send(DISCONNECT)
    if goodbye in ("close frame", "both"):
        await transport.websocket.close()
    await transport.close()
    await until(lambda: living(GuardedHandler) == 0)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "wrong",
    [
        connect(keep_alive=60) + b"\x36\x03\x00\x01\xff",  # QoS 3
        b"\xf0\x00",  # nothing of a client's
        connect() + publish("seats/status/x", b"{}", qos=1, packet_id=1),  # a guest may not
    ],
    ids=["malformed", "no CONNECT", "forbidden"],
)
async def test_a_client_that_is_closed_for_what_it_sent_leaves_nothing_for_the_collector(
    box: StartBox, client: OpenClient, door: str, wrong: bytes, living: Living
) -> None:
    host = await box(auth={"allow_guests": True})
    before = living(Connection) + living(GuardedHandler)
    stranger = await client(host, door)
    await stranger.send(wrong)
    await stranger.read_to_end()
    await stranger.close()
    await until(lambda: living(Connection) + living(GuardedHandler) == before)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("sent", [b"\x16\x03\x01", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"], ids=["TLS", "long"])
async def test_what_is_not_http_leaves_nothing_for_the_collector(box: StartBox, sent: bytes, living: Living) -> None:
    host = await box()
    stranger = await TcpTransport.open(host.web_addresses[0])
    await stranger.send(sent)
    while await stranger.read():
        pass
    await stranger.close()
    await until(lambda: living(GuardedHandler) == 0)


@pytest.mark.usefixtures("no_collector")
async def test_a_connection_without_a_request_leaves_nothing_for_the_collector(box: StartBox, living: Living) -> None:
    host = await box()
    before = living(asyncio.Transport)
    knocking = socket.create_connection(host.web_addresses[0])
    await until(lambda: living(asyncio.Transport) == before + 1)
    knocking.close()
    await until(lambda: living(asyncio.Transport) == before)


# When all come back at once


@pytest.mark.parametrize("door", ["web", "tcp"])
async def test_many_who_knock_in_one_moment_all_get_a_place_in_the_queue(box: StartBox, door: str) -> None:
    host = await box()
    address = host.web_addresses[0] if door == "web" else host.tcp_addresses[0]
    # No await in between: nobody is accepted meanwhile, so the kernel keeps them all, or the next one times out.
    knocking = [socket.create_connection(address, timeout=0.5) for _ in range(400)]
    for one in knocking:
        one.close()


async def test_who_is_in_has_a_turn_before_all_who_knock_are_in(box: StartBox, client: OpenClient) -> None:
    host = await box(limits={"max_connections_per_address": 1000})
    ann = await (await client(host)).connect("ann")
    knocking = [socket.create_connection(host.web_addresses[0], timeout=0.5) for _ in range(400)]
    await ann.silence()  # the box has answered a ping
    assert len(host.places) < len(knocking)
    for one in knocking:
        one.close()


@pytest.mark.parametrize("within", ["upgrade", "body"])
async def test_a_client_that_resets_within_its_request_is_no_error_of_the_box(
    box: StartBox, within: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = await box()
    address = host.web_addresses[0]
    sent = framing.upgrade(*address)
    if within == "body":
        sent = b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
    for number in range(60):
        browser = await TcpTransport.open(address)
        await browser.send(sent)
        if number % 2:
            await until(lambda: len(host.places) == 1)
        browser.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing is a reset
        await browser.close()
        await until(lambda: not len(host.places))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
