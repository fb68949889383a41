"""What strangers send to the cinema, under hypothesis: HTTP headers, paths and bodies, and the payloads of commands.
Any bytes get an answer that is none of a fault. What was found once stays as an ``@example``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from conftest import examples
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from raw_mqtt import DEADLINE, PUBACK, PUBLISH, RawClient, TcpTransport, connect, publish

from broker.doors.bodies import validate
from broker.plugin import Refusal
from contract.house import ABSENT, PASSWORD, SHOWING, House, Premises, an_id
from plugins.auth import wire as accounts
from plugins.booking import wire as cinema

ANSWERS = {100, 101, 200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 413, 415, 417, 421, 422, 426, 429, 503}
"""All that a call may be answered with: the contract's own, and HTTP's for what is no call."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Premises]:
    """One house for all examples, which believes a proxy on this machine, so that X-Forwarded-For is read."""
    many = 1_000_000
    premises = await Premises.open(
        house,
        tmp_path_factory.mktemp("any"),
        web={"trusted_proxies": ["127.0.0.1"]},
        limits={
            "connections_per_second": many,
            "connections_burst": many,
            "messages_per_second": many,
            "messages_burst": many,
            "registrations_per_hour": many,
            "visitors_per_hour": many,
            "login_failures_per_minute": many,
            "login_failures_per_username": many,
        },
    )
    yield premises
    await premises.close()


async def ask(box: Premises, request: bytes, *, to_the_end: bool = True) -> bytes:
    """What the box answers: until it closes, or up to the end of the answer's header."""
    transport = await TcpTransport.open(box.host.web_addresses[0])
    answer = b""
    try:
        await transport.send(request)
        async with asyncio.timeout(DEADLINE):
            while (to_the_end or b"\r\n\r\n" not in answer) and (data := await transport.read()):
                answer += data
    finally:
        await transport.close()
    return answer


async def assert_others_are_served(box: Premises) -> None:
    assert status(await ask(box, call("GET", b"/healthz", b"Host: localhost"))) == 200


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer
    return int(answer.split()[1])


def call(method: str, path: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    lines = [method.encode() + b" " + path + b" HTTP/1.1", *headers, b"Connection: close"]
    if body:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


# Headers

LINE = st.binary(max_size=40).map(lambda data: bytes(byte for byte in data if byte not in b"\r\n\0"))
SCHEMES = st.sampled_from([b"Basic ", b"Bearer ", b"Key ", b"basic", b"http://", b"https://", b"websocket", b"mqtt"])
ADDRESSES = st.sampled_from([b"127.0.0.1", b"1.2.3.4", b"::ffff:1.2.3.4", b"localhost", b"[::1]", b"fe80::1%eth0"])
MARKS = st.sampled_from([b",", b" ", b":", b"[", b"]", b"%", b"/", b"@", b"?", b"=", b"-1", b"9" * 30, b"null"])
NO_ASCII = st.sampled_from([b"\xc3\xa9", b"\xff", b"\xed\xa0\x80"])
WORDS = st.lists(SCHEMES | ADDRESSES | MARKS | NO_ASCII, max_size=6).map(b"".join)
VALUES = LINE | WORDS | LINE.map(lambda data: b"Basic " + base64.b64encode(data))
# But for those that announce a body, which the box would wait for.
OF_THE_BOX = st.sampled_from([b"Authorization", b"Host", b"Origin", b"X-Forwarded-For", b"X-Forwarded-Proto"])
OF_WEBSOCKET = st.sampled_from([b"Upgrade", b"Connection"]) | st.sampled_from(
    [b"Sec-WebSocket-" + name for name in (b"Protocol", b"Version", b"Key", b"Extensions")]
)
OF_HTTP = st.sampled_from([b"Cookie", b"Content-Type", b"Content-Encoding", b"Expect", b"Range", b"If-Modified-Since"])
OF_PAGES = st.sampled_from([b"Accept-Encoding", b"If-None-Match"])
NAMES = OF_THE_BOX | OF_WEBSOCKET | OF_HTTP | OF_PAGES
HANDSHAKE = [
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Protocol", b"mqtt"),
]
KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
WRONG_HANDSHAKES = st.builds(
    lambda name, value: [
        *((n, v) for n, v in (*HANDSHAKE, (b"Connection", b"Upgrade"), KEY) if n != name),
        (name, value),
    ],
    OF_WEBSOCKET,
    VALUES,
)
PATHS = st.sampled_from(
    [b"/healthz", b"/mqtt", b"/", b"/desk", b"/assets/x", b"/api/me", b"/api/showings", b"/api/bookings", b"/nowhere"]
)


@pytest.mark.asyncio(loop_scope="module")
@examples(100)
@given(PATHS, st.lists(st.tuples(NAMES, VALUES), max_size=5) | WRONG_HANDSHAKES, st.booleans())
@example(b"/api/me", [(b"Authorization", b"Bearer \xff")], True)
@example(b"/api/me", [(b"Authorization", b"Basic " + base64.b64encode(b"a:\xff"))], True)
@example(b"/api/me", [(b"Authorization", b"Basic \xff")], True)
@example(b"/api/me", [(b"X-Forwarded-For", b"fe80::1%eth0")], True)
@example(b"/api/me", [(b"X-Forwarded-For", b"1.2.3.4, nobody")], True)
@example(b"/nowhere", [(b"Expect", b"\xff")], True)
@example(b"/mqtt", [*HANDSHAKE, (b"Connection", b"\xff"), KEY], True)
@example(b"/mqtt", [*HANDSHAKE, (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Key", b"\xff")], True)
@example(b"/desk", [(b"If-None-Match", b"*"), (b"Accept-Encoding", b"gzip;q=\xff")], True)
@example(b"/healthz", [(b"Host", b"[::1%]]:9")], False)
@example(b"/healthz", [(b"Origin", b"http://\xff")], True)
async def test_any_headers_get_an_answer_that_is_none_of_a_fault(
    box: Premises, path: bytes, headers: list[tuple[bytes, bytes]], named: bool
) -> None:
    lines = [name + b": " + value for name, value in headers]
    request = call("GET", path, *([b"Host: localhost"] if named else []), *lines)
    assert status(await ask(box, request, to_the_end=False)) in ANSWERS
    await assert_others_are_served(box)


LINES = st.sampled_from([b"GET ", b"POST ", b"/healthz", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b"\0"])
HEADERS = st.sampled_from([b"Host: localhost", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Expect: "])
LENGTHS = st.sampled_from([b"5", b"-1", b"9" * 30, b"0\r\n\r\n"])


@pytest.mark.asyncio(loop_scope="module")
@examples(60)
@given(st.lists(LINES | HEADERS | LENGTHS | st.binary(max_size=20), max_size=12).map(b"".join))
async def test_any_bytes_at_the_web_door_leave_it_open_for_others(box: Premises, data: bytes) -> None:
    transport = await TcpTransport.open(box.host.web_addresses[0])
    await transport.send(data)
    await assert_others_are_served(box)  # behind it
    transport.half_close()
    while answer := await transport.read():
        assert b" 500 " not in answer
    await transport.close()


# Paths and queries

SEGMENTS = st.sampled_from(
    [SHOWING, ABSENT, an_id("alice"), "%FF", "%00", "%ED%A0%80", "..", "%2F", "x" * 300, "%C3%A9"]
) | st.text(alphabet="abc%0F/.?#", min_size=1, max_size=8)
MOMENTS = ["2030-01-01", "9999-12-31", "0001-01-01", "2030-W01-1", "9999-12-31T23:59:59-23:59"]
QUERIES = st.dictionaries(
    st.sampled_from(["showing_id", "number", "name", "seat", "from", "to", "x"]),
    st.sampled_from([*MOMENTS, "0001-01-01T00:00:00%2B23:59", "%ff", "%00", "%ED%A0%80", "%F0%9F%98%80", "%25"])
    | st.sampled_from(["9" * 40, "'", "%22", "*", "-1", "A1", "x" * 250])
    | st.text(alphabet="0123456789-:T.+Z%", max_size=24),
    max_size=3,
).map(lambda query: "&".join(f"{name}={value}" for name, value in query.items()))


@pytest.mark.asyncio(loop_scope="module")
@examples(60)
@given(
    st.sampled_from(["GET", "DELETE", "PATCH"]),
    st.sampled_from(
        ["/api/bookings/{}", "/api/showings/{}/seats", "/api/users/{}", "/api/bookings", "/api/showings", "/assets/{}"]
    ),
    SEGMENTS,
    QUERIES,
    st.sampled_from(["alice", "manager", "kiosk"]),
)
@example("GET", "/api/bookings", "x", "from=9999-12-31T23:59:59-23:59", "manager")
@example("GET", "/api/bookings", "x", "to=9999-12-31", "manager")
@example("GET", "/api/showings", "x", "from=9999-12-31T23:59:59-23:59&to=9999-12-31", "manager")
@example("PATCH", "/api/users/{}", "%ED%A0%80", "", "manager")
async def test_any_path_and_query_get_an_answer_that_is_none_of_a_fault(
    box: Premises, method: str, path: str, segment: str, query: str, who: str
) -> None:
    headers = (b"Host: localhost", b"Authorization: Bearer " + box.house.tokens[who].encode())
    where = f"{path.format(segment)}?{query}".encode()
    answer = await ask(box, call(method, where, *headers, body=b"{}" if method == "PATCH" else b""))
    assert status(answer) in ANSWERS


# Bodies and payloads

BOOKING_MODELS = [
    cinema.BookingRequest,
    cinema.HoldRequest,
    cinema.ReleaseRequest,
    cinema.CancelRequest,
    cinema.ShowingRequest,
    cinema.PaidRequest,
]
ACCOUNT_MODELS = [
    accounts.VisitorBody,
    accounts.RegistrationBody,
    accounts.AccountBody,
    accounts.OwnChangeBody,
    accounts.UserChangeBody,
    accounts.PasswordBody,
]

FIELDS = sorted({"title", "room"}.union(*(model.model_fields for model in (*BOOKING_MODELS, *ACCOUNT_MODELS))))
KNOWN = st.sampled_from([SHOWING, ABSENT, an_id("alice"), "t", "a@b.example", "manager", "Room 1", "premium"])
WORDS_OF_COMMANDS = st.sampled_from(["create", "update", "cancel", "cash", "9.50", "1e5", "-0", "\u0663"])
TIMES = st.sampled_from(["2030-01-01T20:00:00Z", "2030-01-01T24:00:00Z", "0001-01-01T00:00:00+23:59"])
HOSTILE = st.sampled_from(["\u202e", "\x00", "\u00e9" * 300, "<script>alert(1)</script>", "' OR 1=1 --"])
TEXTS = KNOWN | WORDS_OF_COMMANDS | TIMES | HOSTILE | st.text(max_size=20)
NUMBERS = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400]) | st.floats(allow_nan=False)
VALUES_OF_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | TEXTS, inner, max_size=5),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "showing_id": st.just(SHOWING) | VALUES_OF_JSON,
        "seat_ids": st.lists(st.sampled_from([ABSENT, SHOWING, "x"]), max_size=3) | VALUES_OF_JSON,
        "timestamp": st.just("t") | VALUES_OF_JSON,
        "booking_id": st.sampled_from([ABSENT, SHOWING, None]) | VALUES_OF_JSON,
        "action": st.sampled_from(["create", "update", "cancel"]) | VALUES_OF_JSON,
        "paid": st.sampled_from(["cash", None]) | VALUES_OF_JSON,
        "username": st.just("somebody") | VALUES_OF_JSON,
        "password": st.just("0123456789") | VALUES_OF_JSON,
        "name": VALUES_OF_JSON,
        "email": st.just("a@b.example") | VALUES_OF_JSON,
        "role": st.just("kiosk") | VALUES_OF_JSON,
        "is_active": VALUES_OF_JSON,
        "showing": st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES_OF_JSON)) | VALUES_OF_JSON,
    },
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


SPOILED = st.builds(
    lambda data, place, piece: data[: place % (len(data) + 1)] + piece + data[place % (len(data) + 1) :],
    NEAR.map(as_json),
    st.integers(0, 10_000),
    st.binary(max_size=4) | st.sampled_from([b'"\\ud800"', b"NaN", b"1e999", b"\xef\xbb\xbf", b"[" * 300, b"9" * 5000]),
)
BODIES = NEAR.map(as_json) | VALUES_OF_JSON.map(as_json) | SPOILED | st.binary(max_size=40)

EXAMPLE_OF_A_TIME = "2030-01-01T20:00:00Z"
"""A refusal gives it as an example of what is allowed."""


def texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in (*value.keys(), *value.values()) for text in texts_in(item)]
    return [text for item in value for text in texts_in(item)] if isinstance(value, (list, tuple)) else []


@pytest.mark.parametrize("model", [*BOOKING_MODELS, *ACCOUNT_MODELS], ids=lambda model: model.__name__)
@examples(40)
@given(BODIES)
@example(b'{"timestamp": ' + b"9" * 5000 + b"}")
@example(b'{"action": "update", "showing": {"starts_at": "0001-01-01T00:00:00+23:59"}}')
@example(b'{"showing": {"prices": {"\\u0000": "1"}}}')
def test_any_bytes_are_a_message_or_a_refusal_that_repeats_nothing(model: type[BaseModel], data: bytes) -> None:
    read = cinema.parse if model in BOOKING_MODELS else lambda kind, payload: validate(payload, kind)
    refusal = None
    try:
        message = read(model, data)
    except Refusal as refused:
        refusal = refused
    if refusal is None:
        json.loads(message.model_dump_json().encode())  # it is text that can be written anywhere
        return
    assert refusal.code in ("invalid_json", "invalid_request")
    assert all(cinema.is_id(text) for text in texts_in(list(refusal.details.values())))
    if refusal.code == "invalid_request":
        fields = {*FIELDS, *cinema.ShowingFields.model_fields}
        said = [text for text in texts_in(json.loads(data)) if len(text) > 12 and text not in fields]
        assert [text for text in said if text in refusal.message and text not in EXAMPLE_OF_A_TIME] == []


CALLS = [
    ("POST", "/api/bookings"),
    ("POST", "/api/holds"),
    ("POST", "/api/holds/release"),
    ("POST", "/api/showings"),
    ("PATCH", f"/api/bookings/{ABSENT}"),
    ("POST", "/api/session"),
    ("PATCH", f"/api/users/{ABSENT}"),
]


@pytest.mark.asyncio(loop_scope="module")
@examples(100)
@given(st.sampled_from(CALLS), BODIES, st.sampled_from(["bob", "kiosk", "manager", "victor", None]))
async def test_any_body_gets_an_answer_that_is_none_of_a_fault(
    box: Premises, where: tuple[str, str], body: bytes, who: str | None
) -> None:
    headers = [b"Host: localhost"]
    if who is not None:
        headers.append(b"Authorization: Bearer " + box.house.tokens[who].encode())
    answer = await ask(box, call(where[0], where[1].encode(), *headers, body=body))
    assert status(answer) in ANSWERS
    json.loads(answer.partition(b"\r\n\r\n")[2])


COMMANDS = ["booking/request", "booking/cancel", "seats/hold", "seats/release", "showing/request"]


@pytest.mark.asyncio(loop_scope="module")
@examples(60)
@given(
    st.lists(st.tuples(st.sampled_from(COMMANDS), BODIES), min_size=1, max_size=5),
    st.sampled_from(["bob", "kiosk", "manager"]),
)
async def test_any_command_is_acknowledged_and_told_what_came_of_it(
    box: Premises, commands: list[tuple[str, bytes]], who: str
) -> None:
    raw = await RawClient.open(box.host)
    await raw.send(connect(*box.house.credentials(who)))
    assert (await raw.packets(1))[0].body == b"\0\0"
    await raw.subscribe("users/+/errors", "users/+/holds", "booking/confirm/+", "showing/update/#", qos=1)
    for number, (topic, payload) in enumerate(commands, 1):
        await raw.send(publish(topic, payload, qos=1, packet_id=number))
        while (received := (await raw.packets(1))[0]).kind != PUBACK:
            assert received.kind == PUBLISH
            json.loads(received.payload)
        assert received.packet_id == number
    await raw.close()


# The gate, with the cinema's own accounts


NAMES_OF_NOBODY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@pytest.mark.asyncio(loop_scope="module")
@examples(8)
@given(
    st.none() | st.sampled_from(["alice", "gone", an_id("alice"), "ALICE", "alice\n"]) | NAMES_OF_NOBODY,
    st.none() | st.sampled_from([PASSWORD.format("alice"), "the token of alice"]) | st.binary(max_size=12),
)
@example("a\ufeff", b"\xff")
async def test_any_credentials_are_right_or_refused(
    box: Premises, username: str | None, password: str | bytes | None
) -> None:
    raw = await RawClient.open(box.host)
    if username is None:
        password = None
    await raw.send(connect(username, password))  # type: ignore[arg-type]  # a password is any bytes
    answers = await raw.packets(1)
    assert answers[0].body[1] in (0, 4)
    right = username is None or (
        username in ("alice", an_id("alice")) and password in (PASSWORD.format("alice"), "the token of alice")
    )
    assert answers[0].body[1] == 4 or right
    await raw.close()
