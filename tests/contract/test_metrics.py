"""``/metrics``: who may read them at which door, and that the numbers move by what happened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import aiohttp
import pytest
from boxes import until
from conftest import OpenClient
from prometheus_client import Metric
from prometheus_client.registry import Collector
from raw_mqtt import CONNACK, SUBACK, connect, publish, subscribe
from scraping import Scraped, scraped

from broker.doors.metrics import CONNECTIONS
from contract.conftest import Join, OpenHouse
from contract.house import PASSWORD, Premises, new_id
from contract.people import Caller

Http = Callable[[Premises], Caller]
Ask = Callable[..., Awaitable[aiohttp.ClientResponse]]


async def scrape(box: Premises, http: Http) -> Scraped:
    """As a manager."""
    reply = await http(box)("GET", "/metrics", who="manager")
    assert reply.status == 200
    return Scraped(reply.body)


async def refusals(box: Premises, http: Http) -> dict[str, float]:
    return (await scrape(box, http)).counted("lynrie_refusals_total")


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Asks the metrics door, as nobody."""
    async with aiohttp.ClientSession() as session:

        async def ask(box: Premises, method: str = "GET", path: str = "/metrics", **headers: str) -> object:
            host, port = box.host.metrics_addresses[0]
            response = await session.request(method, f"http://{host}:{port}{path}", headers=headers)
            await response.read()
            return response

        yield ask  # type: ignore[misc]


# Who


@pytest.mark.parametrize(
    ("who", "status"),
    [(None, 401), ("vera", 403), ("alice", 403), ("kiosk", 403), ("manager", 200)],
    ids=["a guest", "a visitor", "a customer", "a kiosk", "a manager"],
)
async def test_the_web_door_tells_managers_alone(box: Premises, http: Http, who: str | None, status: int) -> None:
    reply = await http(box)("GET", "/metrics", who=who)
    assert reply.status == status
    assert (b"lynrie_" in bytes(str(reply.body), "utf-8")) == (status == 200)
    if status == 200:
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-store"


async def test_the_metrics_door_is_off_until_it_is_set(box: Premises) -> None:
    assert box.host.metrics_addresses == []


async def test_the_metrics_door_tells_everybody_the_same_without_signing_in(open_house: OpenHouse, ask: Ask) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"})
    response = await ask(box)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert Scraped(await response.read())("lynrie_holds") == 0
    assert (await ask(box, "HEAD")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/healthz", 404),
        ("GET", "/api/showings", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
    ],
)
async def test_the_metrics_door_has_nothing_else(
    open_house: OpenHouse, ask: Ask, method: str, path: str, status: int
) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"})
    assert (await ask(box, method, path)).status == status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9002", "localhost.evil.example", "127.0.0.1.evil"])
async def test_a_page_that_points_its_name_at_the_metrics_door_reads_nothing(
    open_house: OpenHouse, ask: Ask, host: str
) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"}, web={"public_urls": ["https://box.example"]})
    response = await ask(box, Host=host)
    assert response.status == 421
    assert b"lynrie" not in await response.read()
    assert (await ask(box, Host="box.example")).status == 200
    assert (await ask(box, Host="localhost:9002")).status == 200


async def test_the_metrics_can_be_read_when_the_box_is_full(
    open_house: OpenHouse, ask: Ask, client: OpenClient
) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"}, limits={"max_connections": 5})
    for _ in range(5):
        await client(box.host)
    await until(lambda: len(box.host.places) == 5)
    stranger = await client(box.host)
    assert await stranger.is_closed()
    found = Scraped(await (await ask(box)).read())
    assert found("lynrie_places_taken") == 5
    assert found.counted("lynrie_refusals_total") == {"max_connections": 1}


async def test_the_metrics_door_has_places_of_its_own_and_a_time_limit(open_house: OpenHouse) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"}, limits={"connect_seconds": 1})
    silent = [await asyncio.open_connection(*box.host.metrics_addresses[0]) for _ in range(CONNECTIONS)]
    reader, writer = await asyncio.open_connection(*box.host.metrics_addresses[0])
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"503"
    assert len(box.host.places) == 0
    for other_reader, other_writer in silent:
        with contextlib.suppress(ConnectionError):
            assert await other_reader.read() == b""
        other_writer.close()
    writer.close()


async def test_who_asks_at_the_same_time_shares_one_answer(open_house: OpenHouse, ask: Ask, http: Http) -> None:
    box = await open_house(metrics={"bind": "127.0.0.1:0"})
    asked = 0

    class Asked(Collector):
        def collect(self) -> Iterable[Metric]:
            nonlocal asked
            asked += 1
            return ()

    box.host.metrics.add(Asked())
    call = http(box)
    await asyncio.gather(*(ask(box) for _ in range(10)), *(call("GET", "/metrics", who="manager") for _ in range(10)))
    assert asked < 20  # one, where the machine has a quarter of a second for all of them


# What happened


async def test_a_booking_is_counted_once_by_its_outcome(box: Premises, join: Join, http: Http) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    for person in (alice, bob):
        await person.watch()
    booking_id = new_id()
    for _ in range(3):  # the same booking
        assert (await alice.book(box.seats[:2], booking_id=booking_id, timestamp="t"))["status"] == "confirmed"
    assert (await bob.book(box.seats[1:3]))["code"] == "seats_unavailable"
    assert (await bob.book(box.seats[4:6]))["status"] == "confirmed"
    assert (await alice.cancel(booking_id))["status"] == "cancelled"
    await bob.send("booking/request", b"{")
    assert (await http(box)("POST", "/api/bookings", {"showing_id": new_id()}, who="bob")).status == 400
    found = await scrape(box, http)
    assert found.counted("lynrie_bookings_total") == {"confirmed": 2, "seats_unavailable": 1, "cancelled": 1}
    assert found.counted("lynrie_command_errors_total") == {"invalid_json": 1}
    assert found("lynrie_batch_jobs_sum") >= 7
    await box.host.database.write(lambda db: None)  # nothing is being written while the next is read
    found = await scraped(box.host.metrics)
    assert found("lynrie_commit_seconds_count") == found("lynrie_batch_jobs_count") > 0


async def test_holds_are_counted_while_they_run(box: Premises, join: Join, http: Http) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    for person in (alice, bob):
        await person.watch()
    assert (await alice.hold(box.seats[:3]))["status"] == "held"
    assert (await bob.hold(box.seats[:1]))["status"] == "rejected"
    assert (await alice.release(box.seats[:1]))["status"] == "released"
    found = await scrape(box, http)
    assert found("lynrie_holds") == 2
    assert found.counted("lynrie_hold_notices_total") == {"held": 1, "rejected": 1, "released": 1}


async def test_a_wrong_password_is_counted_and_a_right_token_too(box: Premises, http: Http, client: OpenClient) -> None:
    raw = await client(box.host)
    await raw.send(connect("alice", PASSWORD.format("bob")))
    assert (await raw.next(CONNACK)).body == b"\x00\x04"
    assert (await http(box)("GET", "/api/me", headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await http(box)("GET", "/api/me", who="alice")).status == 200
    assert (await http(box)("GET", "/api/showings")).status == 200  # a guest shows nothing
    found = await scrape(box, http)
    assert found.counted("lynrie_sign_ins_total") == {"wrong": 2, "right": 2}  # the manager who asks is one
    assert found.counted("lynrie_refusals_total") == {"credentials": 2}
    assert found("lynrie_connections_ended_total", how="refused") == 1


async def test_what_the_policy_forbids_is_counted(
    box: Premises, join: Join, http: Http, client: OpenClient, door: str
) -> None:
    alice = await join(box, "alice", door=door)
    await alice.send("showing/request", b"{}")
    assert await alice.subscribe("#") == [0x80]
    assert (await http(box)("POST", "/api/showings", {}, who="alice")).status == 403
    guest = await client(box.host, door)
    await guest.send(connect(), publish("booking/request", b"{}"))
    assert [p.kind for p in await guest.read_to_end()] == [CONNACK]
    await until(lambda: len(box.host.clients) == 1)
    found = await scrape(box, http)
    assert found.counted("lynrie_refusals_total") == {"forbidden": 4}
    assert found("lynrie_connections_ended_total", how="forbidden") == 1


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\xf0\x00", "malformed"),
        (b"\x30\xff\xff\xff\x7f", "max_packet_bytes"),
        (b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x3c\x00\x00", "protocol_level"),
        (connect(client_id="\x1b"), "client_id"),
        (connect(will=("seats/status/x", b"")), "will"),
        (connect("alice", "wrong"), "credentials"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_who_is_not_let_in_is_counted_by_why(
    box: Premises, http: Http, client: OpenClient, door: str, first: bytes, reason: str
) -> None:
    raw = await client(box.host, door)
    await raw.send(first)
    await raw.read_to_end()
    await until(lambda: not len(box.host.clients))
    assert await refusals(box, http) == {reason: 1}


async def test_a_malformed_packet_of_who_is_in_is_counted(
    box: Premises, http: Http, client: OpenClient, door: str
) -> None:
    raw = await client(box.host, door)
    await raw.send(connect())
    await raw.next(CONNACK)
    await raw.send(b"\xf0\x00")
    await raw.read_to_end()
    await until(lambda: not len(box.host.clients))
    found = await scrape(box, http)
    assert found.counted("lynrie_refusals_total") == {"malformed": 1}
    assert found.counted("lynrie_connections_ended_total") == {"malformed": 1}


async def test_silence_and_a_connect_that_never_comes_are_counted(
    open_house: OpenHouse, http: Http, client: OpenClient, door: str
) -> None:
    box = await open_house(limits={"connect_seconds": 1, "max_keep_alive_seconds": 1})
    mute = await client(box.host, door)
    silent = await client(box.host, door)
    await silent.send(connect())
    await silent.next(CONNACK)
    assert await mute.read_to_end() == []
    assert await silent.read_to_end() == []
    await until(lambda: not len(box.host.clients))
    assert await refusals(box, http) == {"connect_seconds": 1, "keep_alive": 1}


async def test_a_guest_for_whom_no_place_is_kept_is_counted(
    open_house: OpenHouse, http: Http, client: OpenClient, door: str
) -> None:
    box = await open_house(limits={"max_connections": 5})
    for _ in range(4):
        guest = await client(box.host)
        await guest.send(connect())
        await guest.next(CONNACK)
    late = await client(box.host, door)
    await late.send(connect())
    assert await late.read_to_end() == []
    await until(lambda: len(box.host.places) == 4)
    assert await refusals(box, http) == {"guest_places": 1}


async def test_subscriptions_beyond_the_limits_are_counted(
    open_house: OpenHouse, http: Http, client: OpenClient
) -> None:
    box = await open_house(limits={"subscriptions": 2, "subscriptions_per_packet": 3})
    raw = await client(box.host)
    await raw.send(connect())
    await raw.next(CONNACK)
    topics = [f"seats/status/{new_id()}" for _ in range(4)]
    await raw.send(subscribe(*topics[:3], packet_id=1), subscribe(*topics, packet_id=2))
    assert (await raw.next(SUBACK)).body[2:] == b"\x00\x00\x80"
    assert (await raw.next(SUBACK)).body[2:] == b"\x80" * 4
    assert await refusals(box, http) == {"subscriptions": 1, "subscriptions_per_packet": 1}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [({"Host": "evil.example"}, "host"), ({"Origin": "https://evil.example"}, "origin"), ({}, "guests")],
)
async def test_http_calls_that_are_refused_are_counted(
    box: Premises, http: Http, headers: dict[str, str], reason: str
) -> None:
    assert (await http(box)("GET", "/api/me", headers=headers)).status in (401, 403, 421)
    assert await refusals(box, http) == {reason: 1}


async def test_a_body_that_is_too_large_is_counted(open_house: OpenHouse, http: Http) -> None:
    box = await open_house(limits={"max_packet_bytes": 1024})
    body = b"x" * 5000
    assert (await http(box)("POST", "/api/bookings", data=body, who="alice")).status == 413
    assert await refusals(box, http) == {"max_packet_bytes": 1}
