"""HTTP as no browser speaks it, and what every answer tells a browser not to do with it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable

import pytest
from boxes import until
from conftest import StartBox
from raw_mqtt import RawClient, TcpTransport, WebSocketTransport, connect
from test_web_door import UPGRADE, Call, call

from broker.doors.masking import MaskedFrames
from broker.doors.origin import OwnNames
from broker.host import Host
from config import SettingsError, load_settings

__all__ = ["call"]

Ask = Callable[..., "asyncio.Future[tuple[int, dict[str, str], bytes]]"]

GUARDS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., object]]:
    """``await ask(host, b"GET / HTTP/1.1", b"Host: localhost")`` answers status, headers and body of raw lines."""
    opened = []

    async def ask(host: Host, *lines: bytes, body: bytes = b"", end: bytes = b"\r\n") -> object:
        transport = await TcpTransport.open(host.web_addresses[0])
        opened.append(transport)
        await transport.send(end.join([*lines, b"", b""]) + body)
        received = b""
        async with asyncio.timeout(10):
            while b"\r\n\r\n" not in received and (data := await transport.read()):
                received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        while len(rest) < int(headers.get("content-length", 0)) and (data := await transport.read()):
            rest += data
        return int(first.split()[1]), headers, rest

    yield ask
    for transport in opened:
        await transport.close()


# What every answer says


async def test_no_browser_keeps_frames_embeds_or_guesses_at_any_answer(box: StartBox, ask: Ask) -> None:
    host = await box(limits={"max_packet_bytes": 1024})
    own, foreign = b"Host: localhost", b"Host: evil.example"
    as_json = b"Content-Type: application/json"
    for status, lines, body in (
        (200, [b"GET / HTTP/1.1", own], b""),
        (200, [b"GET /healthz HTTP/1.1", own], b""),
        (200, [b"HEAD /healthz HTTP/1.1", own], b""),
        (426, [b"GET /mqtt HTTP/1.1", own], b""),
        (404, [b"GET /nothing HTTP/1.1", own], b""),
        (405, [b"TRACE / HTTP/1.1", own], b""),
        (405, [b"OPTIONS /healthz HTTP/1.1", own], b""),
        (400, [b"POST /api/echo HTTP/1.1", own, as_json, b"Content-Length: 1"], b"{"),
        (413, [b"POST /api/echo HTTP/1.1", own, as_json, b"Content-Length: 2000"], b" " * 2000),
        (401, [b"GET /api/whoami HTTP/1.1", own, b"Authorization: Bearer wrong"], b""),
        (
            401,
            [b"GET /api/whoami HTTP/1.1", own, b"Authorization: Bearer ann-token", b"Authorization: Basic eA=="],
            b"",
        ),
        (403, [b"GET /healthz HTTP/1.1", own, b"Origin: null"], b""),
        (417, [b"GET /healthz HTTP/1.1", own, b"Expect: wonders"], b""),
        (421, [b"GET /healthz HTTP/1.1", foreign], b""),
        (400, [b"this is not HTTP"], b""),
    ):
        answered, headers, _ = await ask(host, *lines, body=body)
        assert answered == status, lines
        assert {name: headers.get(name) for name in GUARDS} == GUARDS, lines
        assert headers["server"] == "lynrie-box"


async def test_what_was_sent_does_not_come_back(box: StartBox, ask: Ask) -> None:
    host = await box()
    for method in (b"TRACE", b"OPTIONS", b"CONNECT", b"BREW", b"GET"):
        status, headers, body = await ask(host, method + b" /secret-path HTTP/1.1", b"Host: localhost", b"X: secret")
        assert status in (400, 404, 405)
        assert b"secret" not in body
        assert "secret" not in str(headers)


async def test_head_is_get_without_its_body(box: StartBox, ask: Ask) -> None:
    host = await box()
    got = await ask(host, b"GET /healthz HTTP/1.1", b"Host: localhost")
    status, headers, body = await ask(host, b"HEAD /healthz HTTP/1.1", b"Host: localhost", b"Connection: close")
    assert (status, headers["content-length"], body) == (200, str(len(got[2])), b"")


# Two readings of one request


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: +5"],
        [b"Content-Length: 0x5"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"X: folded", b" Transfer-Encoding: chunked"],
        [b"X: a\rTransfer-Encoding: chunked"],
        [b"X: a\0b"],
        [b"Host: localhost"],
        [b"Host: evil.example"],
        [b"X: " + b"a" * 9000],
        [b"X: a"] * 5000,
    ],
    ids=lambda lines: f"{len(lines)} {lines[0][:40]!r}",
)
async def test_a_request_that_could_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    box: StartBox, ask: Ask, lines: list[bytes]
) -> None:
    host = await box()
    status, _, body = await ask(
        host,
        b"POST /api/echo HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        *lines,
        body=b"0\r\n\r\nGET /api/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    assert status == 400
    assert json.loads(body)["code"] == "bad_request"
    await until(lambda: len(host.places) == 0)  # closed: what stood behind it was not taken for a request


async def test_lines_end_as_http_says(box: StartBox, ask: Ask) -> None:
    assert (await ask(await box(), b"GET /healthz HTTP/1.1", b"Host: localhost", end=b"\n"))[0] == 400


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0"])
async def test_another_http_than_1_is_not_spoken(box: StartBox, ask: Ask, version: bytes) -> None:
    assert (await ask(await box(), b"GET /healthz " + version, b"Host: localhost"))[0] in (400, 505)


# Names


@pytest.mark.parametrize(
    "target", [b"http://evil.example/healthz", b"http://evil.example:80/healthz", b"http://localhost@evil.example/"]
)
async def test_the_host_in_an_absolute_target_counts_too(box: StartBox, ask: Ask, target: bytes) -> None:
    host = await box()
    assert (await ask(host, b"GET " + target + b" HTTP/1.1", b"Host: localhost"))[0] == 421
    assert (await ask(host, b"GET http://localhost/healthz HTTP/1.1", b"Host: evil.example"))[0] == 421
    assert (await ask(host, b"GET http://localhost/healthz HTTP/1.1", b"Host: localhost"))[0] == 200


async def test_of_two_origins_both_must_be_the_boxs_own(box: StartBox, ask: Ask) -> None:
    host = await box()
    origins = (b"Origin: http://localhost", b"Origin: http://evil.example")
    for first, second in (origins, reversed(origins)):
        assert (await ask(host, b"GET /healthz HTTP/1.1", b"Host: localhost", first, second))[0] == 403


PUBLIC = OwnNames(["https://box.example.org", "https://Kino.example:8443", "https://plain.example:443"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "localhost:",
        "127.0.0.1:9001",
        "[::1]",
        "[2001:DB8::1]:9001",
        "box.local",
        "the-box.foyer.local:9001",
        "box.example.org",
        "box.example.org:9001",
        "kino.example",
        "KINO.example:8443",
        "plain.example",
    ],
)
def test_an_own_name_is_known_in_any_case_and_with_any_port(host: str) -> None:
    assert PUBLIC.has(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":9001",
        ".",
        ".local",
        "local",
        "a..local",
        "-.local",
        "localhost.",
        "localhost:evil.example",
        "localhost:123456",
        "localhost:-1",
        "localhost:80:80",
        "localhost, evil.example",
        "localhost evil.example",
        "localhost\tevil.example",
        "user@localhost",
        "user:password@box.local",
        "evil.example/box.local",
        "evil.example#.local",
        "evil.example?.local",
        "evil.example\\.local",
        "evil.example%00.local",
        "\u00e9vil.local",
        "evil.example",
        "box.example.org.evil.example",
        "evilbox.example.org",
        "xbox.local.evil.example",
        "[::1",
        "::1",
        "[::1]evil.example",
        "[::1]:evil",
        "[fe80::1%25eth0]",
        "[localhost]",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
    ],
)
def test_what_is_no_own_name_is_refused_however_it_is_written(host: str) -> None:
    assert not PUBLIC.has(host)


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "may"),
    [
        ("https://box.example.org", "http", "127.0.0.1:9001", True),
        ("https://box.example.org:443", "http", "127.0.0.1:9001", True),
        ("https://plain.example", "http", "127.0.0.1:9001", True),
        ("https://kino.example:8443", "http", "127.0.0.1:9001", True),
        ("https://kino.example", "http", "127.0.0.1:9001", False),
        ("http://box.example.org", "http", "127.0.0.1:9001", False),
        ("http://localhost:9001", "http", "localhost:9001", True),
        ("http://localhost", "http", "localhost:80", True),
        ("https://localhost", "https", "localhost:443", True),
        ("http://localhost:443", "http", "localhost", False),
        ("http://localhost:9001", "https", "localhost:9001", False),
        ("null", "http", "localhost", False),
        ("", "http", "", False),
        ("http://", "http", "", True),  # and such a Host is refused before
    ],
)
def test_an_origin_is_the_requests_own_or_a_public_one(origin: str, scheme: str, host: str, may: bool) -> None:
    assert PUBLIC.may_call(origin, scheme, host) is may


def test_a_public_name_beyond_ascii_is_known_as_browsers_write_it() -> None:
    own = OwnNames(["https://b\u00fccher.example"])
    assert own.has("xn--bcher-kva.example")
    assert own.is_public("https://xn--bcher-kva.example")


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://a b",
        "https://user@box.example",
        "https://box/",
        "https://box?x",
        "https://[::1",
        "ftp://box",
    ],
)
def test_a_public_url_is_an_origin(url: str) -> None:
    with pytest.raises(SettingsError, match=r"public_urls\[0\]"):
        load_settings(listeners={"web": {"public_urls": [url]}})


# Pages of public_urls, which are another origin than the one that is called


async def test_a_browser_that_asks_first_is_told_what_public_pages_may(box: StartBox, call: Call) -> None:
    host = await box(listeners={"web": {"public_urls": ["https://kino.example"]}})
    asked = {"Origin": "https://kino.example", "Access-Control-Request-Method": "DELETE"}
    status, _, headers = await call(host, "OPTIONS", "/api/whoami", headers=asked)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://kino.example"
    assert "DELETE" in headers["Access-Control-Allow-Methods"]
    assert {name: headers.get(name) for name in GUARDS} == GUARDS  # an answer without a body says it too
    assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    status, _, headers = await call(host, "GET", "/nothing", headers={"Origin": "https://kino.example"})
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (404, "https://kino.example", "Origin")
    for origin in ("https://evil.example", "null", "https://kino.example.evil.example"):
        status, _, headers = await call(host, "OPTIONS", "/api/whoami", headers={**asked, "Origin": origin})
        assert status == 403
        assert not [name for name in headers if name.lower().startswith("access-control")]


# WebSocket


async def upgraded(host: Host, version: bytes = b"HTTP/1.1", **headers: str) -> tuple[TcpTransport, bytes]:
    transport = await TcpTransport.open(host.web_addresses[0])
    lines = [f"{name}: {value}" for name, value in {"Host": "localhost", **UPGRADE, **headers}.items() if value]
    await transport.send(b"GET /mqtt " + version + b"\r\n" + "\r\n".join([*lines, "", ""]).encode())
    return transport, await transport.read()


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        (b"HTTP/1.0", {}, 400),
        (b"HTTP/1.1", {"Sec-WebSocket-Version": "8"}, 426),
        (b"HTTP/1.1", {"Sec-WebSocket-Version": "14"}, 426),
        (b"HTTP/1.1", {"Sec-WebSocket-Key": ""}, 400),
        (b"HTTP/1.1", {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        (b"HTTP/1.1", {"Connection": ""}, 400),
        (b"HTTP/1.1", {"Sec-WebSocket-Protocol": "mqttv3.1"}, 400),
        (b"HTTP/1.1", {"Sec-WebSocket-Protocol": ""}, 400),
    ],
)
async def test_a_websocket_begins_as_rfc_6455_says(
    box: StartBox, version: bytes, headers: dict[str, str], status: int
) -> None:
    transport, answer = await upgraded(await box(), version, **headers)
    assert int(answer.split()[1]) == status
    assert (b"Sec-WebSocket-Version: 13" in answer) is (status == 426)
    await transport.close()


def frame(payload: bytes, *, masked: bool) -> bytes:
    length = len(payload)
    mask = os.urandom(4)
    digits = b"" if length < 126 else length.to_bytes(2) if length < 65536 else length.to_bytes(8)
    second = length if length < 126 else 126 if length < 65536 else 127
    if not masked:
        return bytes((0x82, second)) + digits + payload
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes((0x82, second | 0x80)) + digits + mask + body


async def test_an_unmasked_frame_closes_the_websocket(box: StartBox) -> None:
    host = await box()
    for sent in (
        frame(connect("ann", "ann-demo"), masked=False),
        frame(connect("ann", "ann-demo"), masked=True) + frame(b"\xc0\x00", masked=False),
    ):
        transport, answer = await upgraded(host)
        assert b" 101 " in answer
        await transport.send(sent)
        received = b""
        while data := await transport.read():
            received += data
        assert received.endswith(b"\x88\x02" + (1002).to_bytes(2))
        assert b"\xd0\x00" not in received  # the ping had no answer
        await transport.close()
        await until(lambda: not len(host.clients))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
async def test_masked_frames_are_taken_however_they_are_cut(box: StartBox, size: int) -> None:
    host = await box()
    transport, _ = await upgraded(host)
    packets = [connect("ann", "ann-demo"), b"\xc0\x00", b"\x30\x84\x01\x00\x01a" + b"x" * 129, b"\xc0\x00"]
    sent = b"".join(frame(packet, masked=True) for packet in packets)
    for start in range(0, len(sent), size):
        await transport.send(sent[start : start + size])
    received = b""
    while received.count(b"\xd0\x00") < 2:
        data = await transport.read()
        assert data, received
        received += data
    await transport.close()


class Recorded:
    """Takes what MaskedFrames hands over."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None: ...


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70_000])
@pytest.mark.parametrize("cut", [1, 2, 3, 13, 14, 15, 4096, 10**6])
def test_the_mask_is_looked_for_where_each_frame_begins(length: int, cut: int) -> None:
    good = b"".join(frame(b"\x00" * length, masked=True) for _ in range(2))
    for sent, is_good in ((good, True), (good + b"\x82\x00", False), (b"\x82\x7f" + good, False)):
        recorded = Recorded()
        frames = MaskedFrames(recorded)
        ended = [frames.feed_data(sent[start : start + cut])[0] for start in range(0, len(sent), cut)]
        assert any(ended) is not is_good
        assert not is_good or recorded.data == sent


async def test_a_browsers_own_frames_are_masked(box: StartBox) -> None:
    transport = await WebSocketTransport.open((await box()).web_addresses[0])
    await RawClient(transport).connect("ann")
    await transport.close()
