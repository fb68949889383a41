"""How often: of one address and of one user, by both doors and HTTP together. The clock of the limits stands still
unless the test turns it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from boxes import until
from conftest import OpenClient
from raw_mqtt import (
    CONNACK,
    DEADLINE,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    RawClient,
    TcpTransport,
    WebSocketTransport,
    acknowledgement,
    connect,
    from_address,
    publish,
    subscribe,
)
from scraping import refusals, scraped

from contract import house
from contract.conftest import OpenHouse
from contract.house import PASSWORD, SHOWING, Premises, new_id
from plugins.auth import passwords
from plugins.auth.turns import BEHIND, LINES

HERE, ELSEWHERE, FAR = "127.0.0.1", "127.0.0.2", "127.0.0.3"
DAY = 24 * 3600


class StoppedClock(house.Clock):
    """No time passes but what a test lets pass."""

    def __init__(self, begins_at: float) -> None:
        super().__init__(begins_at)
        self.begins_at = begins_at

    def __call__(self) -> float:
        return self.begins_at + self.passed

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture(autouse=True)
def _stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "Clock", StoppedClock)


@dataclass
class Street:
    """Everybody outside, each at an address of loopback."""

    box: Premises
    clients: list[RawClient] = field(default_factory=list)

    async def knock(self, door: str = "tcp", address: str = HERE) -> RawClient:
        """A connection at a door, nothing said yet."""
        host = self.box.host
        if door == "tcp":
            transport: Any = await TcpTransport.open(host.tcp_addresses[0], source=address)
        else:
            transport = await WebSocketTransport.open(host.web_addresses[0], source=address)
        self.clients.append(RawClient(transport))
        return self.clients[-1]

    async def sign_in(
        self, username: str | None = None, password: str | None = None, door: str = "tcp", address: str = HERE
    ) -> int | None:
        """What CONNACK says, None where the box closes without one."""
        client = await self.knock(door, address)
        await client.send(connect(username, password))
        connack = await client.packet()
        if connack is None:
            return None
        assert connack.kind == CONNACK
        return connack.body[1]

    async def come_in(self, name: str | None, door: str = "tcp", address: str = HERE) -> RawClient:
        """Signed in by token, or as a guest."""
        client = await self.knock(door, address)
        await client.send(connect(*self.box.house.credentials(name)))
        assert (await client.next(CONNACK)).body == b"\0\0"
        return client

    async def call(
        self, method: str, path: str, body: Any = None, *, address: str = HERE, **headers: str
    ) -> tuple[int, Any, Any]:
        """Status, body and headers of an HTTP call on a connection of its own."""
        async with (
            aiohttp.ClientSession(connector=from_address(address)) as session,
            session.request(method, self.box.url(path), json=body, headers=headers) as response,
        ):
            return response.status, await response.json(), response.headers

    def refused(self, reason: str) -> float:
        """How many refusals the box has counted for that reason."""
        return refusals(self.box.host.metrics).get(reason, 0)

    async def passwords_waiting(self) -> float:
        """How many passwords wait for their check."""
        return (await scraped(self.box.host.metrics))("lynrie_passwords_waiting")


OpenStreet = Callable[..., Awaitable[Street]]


@pytest.fixture
async def street(open_house: OpenHouse) -> AsyncIterator[OpenStreet]:
    """``await street(connections_burst=5)`` opens the house with these limits."""
    opened: list[Street] = []

    async def begin(web: dict[str, Any] | None = None, **limits: int) -> Street:
        opened.append(Street(await open_house(limits=limits, **({"web": web} if web else {}))))
        return opened[-1]

    yield begin
    for each in opened:
        for client in each.clients:
            await client.close()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def bearer(box: Premises, name: str) -> str:
    return f"Bearer {box.house.tokens[name]}"


# Connections


async def test_connections_of_one_address_are_counted_on_both_doors_and_http_together(street: OpenStreet) -> None:
    outside = await street(connections_per_second=2, connections_burst=5)
    assert await outside.sign_in() == 0
    assert await outside.sign_in(door="web") == 0
    assert (await outside.call("GET", "/healthz"))[0] == 200
    assert await outside.sign_in() == 0
    assert await outside.sign_in(door="web") == 0
    assert await outside.sign_in() is None  # closed without a CONNACK: the client comes back
    status, body, headers = await outside.call("GET", "/healthz")
    assert (status, body["code"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) >= 1
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await outside.knock("web")
    assert refused.value.status == 503
    assert outside.refused("connections_per_second") == 3
    assert await outside.sign_in(address=ELSEWHERE) == 0
    outside.box.clock.forward(1)
    assert [await outside.sign_in() for _ in range(3)] == [0, 0, None]


async def test_connections_through_a_trusted_proxy_count_for_the_address_behind_it(street: OpenStreet) -> None:
    outside = await street(web={"trusted_proxies": ["127.0.0.0/8"]}, connections_per_second=1, connections_burst=2)

    async def arrive(client: str) -> None:
        transport = await WebSocketTransport.open(
            outside.box.host.web_addresses[0], source=HERE, **{"X-Forwarded-For": client}
        )
        outside.clients.append(RawClient(transport))

    for client in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):  # the first two are one /64
        await arrive(client)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await arrive("2001:db8::3")
    await arrive("2001:db8:0:1::2")


# Messages


async def test_messages_of_one_user_are_counted_on_both_doors_and_http_together(street: OpenStreet) -> None:
    outside = await street(messages_per_second=1, messages_burst=5)
    box = outside.box
    tcp, web = await outside.come_in("alice"), await outside.come_in("alice", "web", ELSEWHERE)
    assert await tcp.subscribe("users/+/errors", qos=1) == b"\1"  # one
    for client in (tcp, web):
        await client.send(publish("seats/hold", b"{}", qos=1, packet_id=1))  # two and three
    assert (await tcp.next(PUBLISH)).topic.endswith("/errors")
    await web.next(PUBACK)
    for status in (200, 200, 429):  # four, five, and one too many
        found, body, headers = await outside.call("GET", "/api/holds", address=FAR, Authorization=bearer(box, "alice"))
        assert found == status
    assert body["code"] == "rate_limited"
    assert int(headers["Retry-After"]) >= 1
    # The others go on, and so does whoever signs in: a CONNECT is none of the messages.
    ben = await outside.come_in("bob")
    await ben.send(PINGREQ)
    await ben.next(PINGRESP)
    again = await outside.come_in("alice", "web")
    # Over MQTT the box reads on later: nothing is lost.
    await again.send(publish("seats/hold", b"{}", qos=1, packet_id=9), PINGREQ)
    await until(lambda: outside.refused("messages_per_second") == 2)
    outside.box.clock.forward(1)
    assert (await again.next(PUBACK)).packet_id == 9
    outside.box.clock.forward(1)
    await again.next(PINGRESP)


async def test_a_guests_messages_are_counted_by_its_connection(street: OpenStreet) -> None:
    outside = await street(messages_per_second=1, messages_burst=3)
    first, second = await outside.come_in(None), await outside.come_in(None, "web")
    for client in (first, second):
        await client.send(*[PINGREQ] * 3)
        assert [packet.kind for packet in await client.packets(3)] == [PINGRESP] * 3
    await first.send(PINGREQ)
    await until(lambda: outside.refused("messages_per_second") == 1)
    third = await outside.come_in(None)
    await third.send(PINGREQ)
    await third.next(PINGRESP)
    outside.box.clock.forward(1)
    await first.next(PINGRESP)


async def test_nobodys_requests_are_counted_by_their_connection_and_wrong_tokens_too(street: OpenStreet) -> None:
    outside = await street(messages_per_second=1, messages_burst=3)
    url = outside.box.url("/api/cinema")
    async with aiohttp.ClientSession() as session:  # which keeps its connection
        statuses = []
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer wrong"}, {}):
            async with session.get(url, headers=headers) as response:
                statuses.append(response.status)
                await response.read()
        async with session.get(url, headers={"Authorization": bearer(outside.box, "alice")}) as response:
            statuses.append(response.status)
    assert statuses == [200, 401, 401, 429, 429]
    assert (await outside.call("GET", "/api/cinema"))[0] == 200


async def test_acknowledging_what_the_box_sent_is_no_message(street: OpenStreet) -> None:
    outside = await street(messages_per_second=1, messages_burst=4)
    box = outside.box
    manager = await outside.come_in("manager")
    assert await manager.subscribe("booking/confirm/+", qos=1) == b"\1"
    for number, name in enumerate(("kiosk", "kiosk", "kiosk", "kiosk2", "kiosk2", "kiosk2")):
        body = {"showing_id": SHOWING, "seat_ids": [box.seats[number]], "booking_id": new_id(), "timestamp": "t"}
        assert (await outside.call("POST", "/api/bookings", body, Authorization=bearer(box, name)))[0] == 200
        await manager.send(acknowledgement(PUBACK, (await manager.next(PUBLISH)).packet_id))
    for _ in range(3):
        await manager.silence()
    assert outside.refused("messages_per_second") == 0
    await manager.send(acknowledgement(PUBACK, 4711))  # what nobody waits for is one
    await until(lambda: outside.refused("messages_per_second") == 1)


async def test_of_nobodys_connections_that_have_ended_no_count_is_kept(street: OpenStreet) -> None:
    outside = await street()
    for door in ("tcp", "web"):
        for _ in range(5):
            guest = await outside.come_in(None, door)
            await guest.send(PINGREQ)
            await guest.next(PINGRESP)
            await guest.close()
            assert (await outside.call("GET", "/healthz"))[0] == 200
    await until(lambda: len(outside.box.host.places) == 0)
    await until(lambda: len(outside.box.host.messages) == 0)


async def test_who_must_wait_can_still_be_closed_and_is_not_silent(street: OpenStreet) -> None:
    outside = await street(messages_per_second=1, messages_burst=1, max_keep_alive_seconds=1)
    alice = await outside.come_in("alice")
    await alice.send(PINGREQ, PINGREQ)
    await alice.next(PINGRESP)
    await until(lambda: outside.refused("messages_per_second") == 1)
    connection = next(iter(outside.box.host.clients._by_user[outside.box.user_id("alice")]))
    connection._check_alive()  # as if one and a half keep-alives had passed
    assert connection.ended is None
    await outside.call(
        "PATCH",
        f"/api/users/{outside.box.user_id('alice')}",
        {"is_active": False},
        Authorization=bearer(outside.box, "manager"),
    )
    assert await alice.is_closed()


# Passwords


async def test_after_ten_wrong_passwords_an_address_is_refused_unchecked_by_mqtt_and_http(
    street: OpenStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    real = passwords.verify_password

    def counted(password: str, password_hash: str) -> bool:
        checks.append(password)
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "verify_password", counted)
    outside = await street()
    for number in range(10):
        username, password = ("alice", "nobody", "gone")[number % 3], f"wrong password {number}"
        if number % 2:
            assert await outside.sign_in(username, password, door="web" if number % 3 else "tcp") == 4
        else:
            status, body, _ = await outside.call("GET", "/api/me", Authorization=basic(username, password))
            assert (status, body["code"]) == (401, "unauthorized")
    assert len(checks) == 10
    right = PASSWORD.format("alice")
    for door in ("tcp", "web"):
        assert await outside.sign_in("alice", right, door=door) is None  # unchecked, and not CONNACK 4: come back
    status, body, headers = await outside.call("GET", "/api/me", Authorization=basic("alice", right))
    assert (status, body["code"]) == (429, "rate_limited")
    assert int(headers["Retry-After"]) >= 1
    assert outside.refused("login_failures") == 3
    assert len(checks) == 10
    # A valid token of the same address, and the same password from another one, get in.
    await outside.come_in("alice")
    assert (await outside.call("GET", "/api/me", Authorization=bearer(outside.box, "bob")))[0] == 200
    assert await outside.sign_in("bob", PASSWORD.format("bob"), address=ELSEWHERE) == 0
    # What was refused unchecked has not counted: after a tenth of a minute there is room for one.
    outside.box.clock.forward(6.1)
    assert await outside.sign_in("carol", "wrong again") == 4
    assert await outside.sign_in("carol", PASSWORD.format("carol")) is None


async def test_where_one_signed_in_from_within_30_days_no_flood_keeps_one_out(street: OpenStreet) -> None:
    outside = await street(login_failures_per_minute=1, login_failures_per_username=1)
    box, right = outside.box, PASSWORD.format("manager")
    assert await outside.sign_in("manager", right) == 0
    assert await outside.sign_in("kiosk", box.house.tokens["kiosk"]) == 0  # by token is signing in, too
    assert await outside.sign_in("alice", "wrong") == 4
    assert await outside.sign_in("alice", PASSWORD.format("alice")) is None
    await box.close()  # the memory of passwords that were right ends with the box, that of addresses does not
    await box.reopen()
    assert await outside.sign_in("alice", "wrong") == 4
    assert await outside.sign_in("bob", PASSWORD.format("bob")) is None
    assert await outside.sign_in("manager", right) == 0
    assert await outside.sign_in("kiosk", PASSWORD.format("kiosk")) == 0
    assert await outside.sign_in("manager", "wrong", address=ELSEWHERE) == 4
    assert await outside.sign_in("manager", right, address=FAR) is None  # the username has its limit, too
    assert await outside.sign_in("manager", right) == 0
    await box.close()
    box.clock.forward(31 * DAY)
    await box.reopen()
    assert await outside.sign_in("alice", "wrong") == 4
    assert await outside.sign_in("manager", right) is None


async def test_a_flood_from_one_phone_delays_the_kiosk_by_one_check(
    street: OpenStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    may_check = threading.Semaphore(0)

    def check(password: str, password_hash: str) -> bool:
        checked.append(password)
        assert may_check.acquire(timeout=10)
        return password == PASSWORD.format("kiosk")

    monkeypatch.setattr(passwords, "verify_password", check)
    outside = await street()
    flood = [asyncio.create_task(outside.sign_in(f"user{number}", f"wrong {number}")) for number in range(30)]
    try:
        waiting = 30 - 2 - (1 + BEHIND)
        await until(lambda: sum(task.done() for task in flood) == waiting)
        assert {task.result() for task in flood if task.done()} == {None}  # closed, to come back later
        assert outside.refused("password_queue") == waiting
        kiosk = asyncio.create_task(outside.sign_in("kiosk", PASSWORD.format("kiosk"), address=ELSEWHERE))
        await until(lambda: len(checked) == 2)
        async with asyncio.timeout(DEADLINE):
            while await outside.passwords_waiting() != 1 + BEHIND + 1:  # the last is the kiosk's
                pass
        token = await outside.come_in("alice")  # while both threads are taken
        await token.silence()
        for _ in range(4):
            may_check.release()
        assert await kiosk == 0
        assert PASSWORD.format("kiosk") in checked[2:4]  # behind the two that ran, and one of the flood's at most
    finally:
        for _ in range(100):
            may_check.release()
        await asyncio.gather(*flood)


async def test_whoever_had_the_password_is_no_longer_known_where_it_was_used(street: OpenStreet) -> None:
    outside = await street(login_failures_per_minute=1)
    box = outside.box
    assert await outside.sign_in("bob", PASSWORD.format("bob"), address=ELSEWHERE) == 0
    body = {"password": "another password of bob"}
    path, boss = f"/api/users/{box.user_id('bob')}", bearer(box, "manager")
    assert (await outside.call("PATCH", path, body, Authorization=boss))[0] == 200
    assert await outside.sign_in("bob", "wrong", address=ELSEWHERE) == 4
    assert await outside.sign_in("bob", "wrong again", address=ELSEWHERE) is None


async def test_a_crowd_of_customers_at_known_addresses_keeps_the_manager_in(
    street: OpenStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = await street()
    addresses = [f"127.0.7.{number}" for number in range(1, 20)]
    for address in addresses:  # each customer's own, once signed in from: by token is signing in, too
        assert await outside.sign_in("alice", outside.box.house.tokens["alice"], address=address) == 0
    assert await outside.sign_in("manager", outside.box.house.tokens["manager"], address=FAR) == 0
    may_check = threading.Semaphore(0)

    def check(password: str, password_hash: str) -> bool:
        assert may_check.acquire(timeout=10)
        return password == PASSWORD.format("manager")

    monkeypatch.setattr(passwords, "verify_password", check)
    crowd = [
        asyncio.create_task(outside.sign_in("alice", f"wrong {number}", address=address))
        for number, address in enumerate(addresses)
    ]
    try:
        await until(lambda: sum(task.done() for task in crowd) == len(addresses) - 2 - LINES)
        manager = asyncio.create_task(outside.sign_in("manager", PASSWORD.format("manager"), address=FAR))
        await until(lambda: sum(task.done() for task in crowd) == len(addresses) - 2 - LINES + 1)
        for _ in range(100):
            may_check.release()
        assert await manager == 0
    finally:
        for _ in range(100):
            may_check.release()
        await asyncio.gather(*crowd)


# Joining


async def test_one_address_registers_so_many_accounts_in_an_hour_and_a_manager_any_number(street: OpenStreet) -> None:
    outside = await street(registrations_per_hour=3, registrations_total=5)
    numbers = iter(range(100))

    async def register(address: str = HERE, **headers: str) -> int:
        body = {"username": f"user{next(numbers)}", "password": "0123456789"}
        status, answer, sent = await outside.call("POST", "/api/users", body, address=address, **headers)
        if status == 429:
            assert answer["code"] == "rate_limited"
            assert int(sent["Retry-After"]) > 60
        return status

    assert [await register() for _ in range(3)] == [201] * 3
    assert await register() == 429
    assert await register(Authorization=bearer(outside.box, "alice")) == 429  # signing in is no way around it
    assert await register(Authorization=bearer(outside.box, "manager")) == 201
    assert [await register(ELSEWHERE) for _ in range(3)] == [201, 201, 429]  # in all five
    outside.box.clock.forward(3600)
    assert await register() == 201
    assert outside.refused("registrations") == 3


async def test_one_address_brings_so_many_visitors_in_an_hour(street: OpenStreet) -> None:
    outside = await street(visitors_per_hour=3, visitors_total=4)

    async def visit(address: str = HERE) -> int:
        visitor = {"name": "Vi", "email": "vi@example.org"}
        return (await outside.call("POST", "/api/session", visitor, address=address))[0]

    assert [await visit() for _ in range(4)] == [200, 200, 200, 429]
    assert [await visit(ELSEWHERE) for _ in range(2)] == [200, 429]
    assert outside.refused("visitors") == 2
    outside.box.clock.forward(3600)
    assert await visit() == 200


async def test_what_is_wrong_with_a_registration_costs_none(street: OpenStreet) -> None:
    outside = await street(registrations_per_hour=1)
    for body in ({"username": "x", "password": "0123456789"}, {"username": "wim"}, {"username": "wim", "role": "x"}):
        assert (await outside.call("POST", "/api/users", body))[0] in (400, 403)
    assert (await outside.call("POST", "/api/users", {"username": "wim", "password": "0123456789"}))[0] == 201


async def test_a_burst_of_commands_takes_effect_whole_however_late(street: OpenStreet, client: OpenClient) -> None:
    outside = await street(messages_per_second=50, messages_burst=10)
    box = outside.box
    kiosk = await outside.come_in("kiosk")
    bookings = [
        {"showing_id": SHOWING, "seat_ids": [seat_id], "booking_id": new_id(), "timestamp": "t"}
        for seat_id in box.seats[:30]
    ]
    await kiosk.send(
        *(
            publish("booking/request", json.dumps(body).encode(), qos=1, packet_id=number)
            for number, body in enumerate(bookings, 1)
        ),
        subscribe("nothing/of/the/kind", packet_id=99),
    )
    assert [packet.packet_id for packet in await kiosk.packets(10)] == list(range(1, 11))
    for number in range(11, 31):
        outside.box.clock.forward(0.02)
        assert (await kiosk.next(PUBACK)).packet_id == number
    outside.box.clock.forward(0.02)
    assert (await kiosk.next(SUBACK)).packet_id == 99
