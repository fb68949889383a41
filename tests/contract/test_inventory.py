"""Nobody takes a room off sale: not one customer, not one address, not twenty who have just registered.

They come by all doors at once. Seats that they have no more are for sale again.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import aiohttp
import pytest

from contract.conftest import Join, OpenHouse
from contract.house import SHOWING, SMALL_SHOWING, Premises, new_id
from contract.people import Caller, Person
from plugins.booking import rules

Http = Callable[[Premises], Caller]
Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

ELSEWHERE = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine: whoever comes from here has another address."""

PATHS = {"booking/request": "/api/bookings", "seats/hold": "/api/holds"}


@dataclass(frozen=True)
class Buyer:
    """Somebody who asks for seats; the answer to ``ask(topic, fields)`` is the same by each door."""

    name: str
    ask: Ask

    async def book(self, seats: tuple[str, ...], **fields: Any) -> dict[str, Any]:
        fields = {"showing_id": SHOWING, "seat_ids": list(seats), "booking_id": new_id(), "timestamp": "t"} | fields
        return await self.ask("booking/request", fields)

    async def hold(self, seats: tuple[str, ...]) -> dict[str, Any]:
        return await self.ask("seats/hold", {"showing_id": SHOWING, "seat_ids": list(seats), "timestamp": "t"})


def at_client(person: Person) -> Buyer:
    async def ask(topic: str, fields: dict[str, Any]) -> dict[str, Any]:
        await person.request(topic, **fields)
        return (await person.answer()).body

    assert person.name is not None
    return Buyer(person.name, ask)


def by_http(call: Caller, name: str) -> Buyer:
    async def ask(topic: str, fields: dict[str, Any]) -> dict[str, Any]:
        body = (await call("POST", PATHS[topic], fields, who=name)).body
        assert isinstance(body, dict)
        return body

    return Buyer(name, ask)


async def newcomers(box: Premises, call: Caller, *, customers: int, visitors: int) -> list[str]:
    """Register so many, all from one address; they are known to the house from then on, by these names."""
    known: dict[str, tuple[str, str]] = {}

    async def register(number: int) -> None:
        account = {"username": f"fresh-{number}", "password": "a password of theirs", "email": "f@example.org"}
        assert (await call("POST", "/api/users", account)).status == 201
        basic = base64.b64encode(f"fresh-{number}:a password of theirs".encode()).decode()
        session = (await call("POST", "/api/session", headers={"Authorization": f"Basic {basic}"})).body
        known[account["username"]] = (session["user"]["user_id"], session["token"])

    async def visit(number: int) -> None:
        session = (await call("POST", "/api/session", {"name": f"Fresh {number}", "email": "f@example.org"})).body
        known[session["user"]["user_id"]] = (session["user"]["user_id"], session["token"])  # its username is its id

    for number in range(customers):
        await register(number)  # the passwords of one address wait for each other anyway
    await asyncio.gather(*(visit(number) for number in range(visitors)))
    box.house = replace(
        box.house,
        user_ids=box.house.user_ids | {name: user_id for name, (user_id, _) in known.items()},
        tokens=box.house.tokens | {name: token for name, (_, token) in known.items()},
    )
    return list(known)


async def by_all_doors(box: Premises, join: Join, call: Caller, names: list[str]) -> list[Buyer]:
    """A third of them at each door."""
    buyers = []
    for name, door in zip(names, cycle(["tcp", "web", "http"]), strict=False):
        if door == "http":
            buyers.append(by_http(call, name))
        else:
            person = await join(box, name, door=door)
            await person.watch()
            buyers.append(at_client(person))
    return buyers


async def seats(call: Caller) -> dict[str, str]:
    plan = (await call("GET", f"/api/showings/{SHOWING}/seats")).body["seats"]
    return {seat["seat_id"]: seat["status"] for seat in plan}


async def number_of(call: Caller, status: str) -> int:
    return Counter((await seats(call)).values())[status]


def pairs(box: Premises, number: int) -> list[tuple[str, ...]]:
    """So many pairs of seats; when the room is used up they begin anew."""
    room = box.seats
    return [room[2 * place % len(room) : 2 * place % len(room) + 2] for place in range(number)]


@pytest.fixture
async def elsewhere() -> AsyncIterator[Http]:
    """Calls from another address."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(ELSEWHERE, 0))) as session:
        yield lambda premises: Caller(premises, session)


async def test_one_customer_by_all_doors_at_once_holds_and_books_no_more_than_one_customer_may(
    box: Premises, join: Join, http: Http
) -> None:
    alice = await by_all_doors(box, join, call := http(box), ["alice"] * 6)
    threes = [box.seats[place : place + 3] for place in range(0, 36, 3)]
    await asyncio.gather(*(buyer.hold(three) for buyer, three in zip(cycle(alice), threes, strict=False)))
    assert await number_of(call, "reserved") == 9  # of max_held_seats 10, in threes
    await asyncio.gather(*(buyer.book(three) for buyer, three in zip(cycle(alice), threes, strict=False)))
    taken = Counter((await seats(call)).values())
    assert taken["booked"] + taken["reserved"] == 18  # of max_seats_per_showing 20
    # Nothing of it is for ever.
    box.clock.forward(301)
    for booking in (await call("GET", "/api/bookings", who="alice")).body:
        assert (await call("DELETE", f"/api/bookings/{booking['booking_id']}", who="alice")).status == 200
    assert await number_of(call, "available") == 36
    assert (await alice[0].book(box.seats[:10]))["status"] == "confirmed"


async def test_twenty_fresh_registrations_of_one_address_hold_no_more_than_an_address_may(
    open_house: OpenHouse, join: Join, http: Http, elsewhere: Http
) -> None:
    box = await open_house(booking={"max_held_per_address": 8})
    call = http(box)
    fresh = await by_all_doors(box, join, call, await newcomers(box, call, customers=4, visitors=16))
    answers = await asyncio.gather(*(b.hold(pair) for b, pair in zip(fresh, pairs(box, 20), strict=True)))
    assert Counter(answer["status"] for answer in answers) == {"held": 4, "rejected": 16}
    assert {answer["code"] for answer in answers[:18] if answer["status"] == "rejected"} == {"too_many_seats"}
    assert await number_of(call, "reserved") == 8

    free = [seat for seat, status in (await seats(call)).items() if status == "available"]
    assert (await by_http(elsewhere(box), "alice").hold((free[0],)))["status"] == "held"
    assert (await by_http(call, "kiosk").hold(tuple(free[1:11])))["status"] == "held"
    box.clock.forward(301)
    bob = await join(box, "bob", bind_address=ELSEWHERE)
    await bob.watch()
    assert (await bob.book(box.small_seats[:1], SMALL_SHOWING))["status"] == "confirmed"  # what ran out ends before
    assert await number_of(call, "available") == 36
    assert (await fresh[0].hold(box.seats[:8]))["status"] == "held"


async def test_twenty_fresh_registrations_of_one_address_book_no_more_than_its_share_of_the_room(
    open_house: OpenHouse, join: Join, http: Http, elsewhere: Http
) -> None:
    box = await open_house(booking={"max_seats_per_showing": 4, "max_share_per_address": 50})
    call = http(box)
    fresh = await by_all_doors(box, join, call, await newcomers(box, call, customers=4, visitors=16))

    async def hold_and_book(buyer: Buyer, pair: tuple[str, ...]) -> dict[str, Any]:
        await buyer.hold(pair)
        return await buyer.book(pair)

    answers = await asyncio.gather(*(hold_and_book(b, pair) for b, pair in zip(fresh, pairs(box, 20), strict=True)))
    assert Counter((await seats(call)).values()) == {"booked": 18, "available": 18}
    refused = [answer for answer in answers if answer["status"] == "failed" and answer["code"] == "too_many_seats"]
    assert len(refused) >= 9
    assert all("desk" in answer["message"] and "18" in answer["message"] for answer in refused)

    # Whoever else has just registered there gets nothing; others do, and whoever comes to the kiosk.
    free = [seat for seat, status in (await seats(call)).items() if status == "available"]
    (late,) = await newcomers(box, call, customers=0, visitors=1)
    assert (await by_http(call, late).book((free[0],)))["code"] == "too_many_seats"
    assert (await by_http(call, late).hold((free[0],)))["code"] == "too_many_seats"
    assert (await by_http(elsewhere(box), late).book((free[0],)))["status"] == "confirmed"
    carol = await join(box, "carol", bind_address=ELSEWHERE)
    await carol.watch()
    assert (await at_client(carol).book((free[1],)))["status"] == "confirmed"
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    for_one_of_them = box.user_id(fresh[0].name)
    assert (await at_client(kiosk).book(tuple(free[2:10]), user_id=for_one_of_them))["status"] == "confirmed"
    assert (await at_client(kiosk).book(tuple(free[10:18])))["status"] == "confirmed"
    assert await number_of(call, "available") == 0

    # A cancelled booking's seats return, and so does their place in the share.
    winners = [(b.name, answer) for b, answer in zip(fresh, answers, strict=True) if answer["status"] == "confirmed"]
    name, booked = winners[0]
    assert (await call("DELETE", f"/api/bookings/{booked['booking_id']}", who=name)).status == 200
    assert (await by_http(call, late).book(tuple(booked["seat_ids"])))["status"] == "confirmed"
    assert (await call("GET", "/healthz")).status == 200


async def test_seats_of_disabled_accounts_return_and_with_them_their_addresss_share(
    open_house: OpenHouse, join: Join, http: Http
) -> None:
    box = await open_house(booking={"max_seats_per_showing": 4, "max_share_per_address": 50})
    call = http(box)
    names = await newcomers(box, call, customers=0, visitors=10)
    fresh = await by_all_doors(box, join, call, names)
    await asyncio.gather(*(buyer.book(pair) for buyer, pair in zip(fresh[:6], pairs(box, 6), strict=True)))
    await asyncio.gather(*(buyer.hold(pair) for buyer, pair in zip(fresh[6:9], pairs(box, 9)[6:], strict=True)))
    assert Counter((await seats(call)).values()) == {"booked": 12, "reserved": 6, "available": 18}
    free = box.seats[18:20]
    assert (await fresh[9].book(free))["code"] == "too_many_seats"
    for name in names[:9]:
        change = {"is_active": False, "cancel_bookings": True}
        assert (await call("PATCH", f"/api/users/{box.user_id(name)}", change, who="manager")).status == 200
    assert await number_of(call, "available") == 36
    assert (await fresh[9].book(free))["status"] == "confirmed"


async def test_an_address_that_books_and_cancels_with_one_account_after_the_other_is_told_the_same(
    box: Premises, join: Join, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "CANCELLATIONS_PER_ADDRESS", rules.Most(3, 3600))
    call = http(box)
    for name in ("alice", "bob", "vera"):
        booked = await by_http(call, name).book(box.seats[:2])
        assert (await call("DELETE", f"/api/bookings/{booked['booking_id']}", who=name)).status == 200
    for name in ("carol", "victor"):
        person = await join(box, name)
        await person.watch()
        assert (await person.book(box.seats[:2]))["code"] == "rate_limited"
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    assert (await kiosk.book(box.seats[:2]))["status"] == "confirmed"
    elsewhere = await join(box, "carol", bind_address="127.0.0.2")
    await elsewhere.watch()
    assert (await elsewhere.book(box.seats[2:4]))["status"] == "confirmed"
    box.clock.forward(3601)
    assert (await by_http(call, "victor").book(box.seats[4:6]))["status"] == "confirmed"


async def test_who_books_and_cancels_in_a_loop_is_told_to_come_back_tomorrow(
    box: Premises, join: Join, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "CANCELLATIONS", rules.Most(4, rules.DAY_SECONDS))
    alice, call = await join(box, "alice"), http(box)
    await alice.watch()
    for _ in range(2):
        await alice.cancel((await alice.book(box.seats[:2]))["booking_id"])
        booked = await by_http(call, "alice").book(box.seats[:2])
        assert (await call("DELETE", f"/api/bookings/{booked['booking_id']}", who="alice")).status == 200

    booking_id = new_id()
    told = await alice.book(box.seats[:2], booking_id=booking_id)
    assert told.topic == f"users/{alice.user_id}/errors"
    assert (told["topic"], told["code"], told["booking_id"]) == ("booking/request", "rate_limited", booking_id)
    body = {"showing_id": SHOWING, "seat_ids": list(box.seats[:2]), "booking_id": booking_id, "timestamp": "t"}
    reply = await call("POST", "/api/bookings", body, who="alice")
    assert (reply.status, reply.code) == (429, "rate_limited")
    assert math.isclose(int(reply.headers["Retry-After"]), 24 * 3600, abs_tol=60)
    assert (await call("GET", f"/api/bookings/{booking_id}", who="alice")).status == 404
    assert (await by_http(call, "bob").book(box.seats[:2]))["status"] == "confirmed"
    box.clock.forward(int(reply.headers["Retry-After"]) + 1)
    reply = await call("POST", "/api/bookings", body, who="alice")
    assert reply.body["code"] == "sales_closed"  # the showing is over by then, but she is asked in again
