"""Showings: ``showing/update`` to all, ``showing/request`` from managers, and an import beside the running box."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from contract.conftest import Join
from contract.house import (
    ABSENT,
    HOUR,
    LATE_SHOWING,
    ROOM,
    SHOWING,
    SMALL_ROOM,
    SMALL_SHOWING,
    Premises,
    cinema_file,
    new_id,
)
from contract.people import Person

SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
FIELDS = {
    *("showing_id", "title", "starts_at", "ends_at", "room_id", "room", "price", "currency", "status"),
    *("seats_total", "seats_available", "version", "timestamp"),
}
NEW = {"title": "A new film", "starts_at": "2031-01-01T20:00:00Z", "room_id": SMALL_ROOM, "price": "7.5"}


async def change(manager: Person, action: str, showing_id: str = SHOWING, **fields: Any) -> None:
    await manager.send("showing/request", {"action": action, "showing": {"showing_id": showing_id, **fields}})


async def test_an_update_has_the_fields_of_the_contract_and_prices_only_where_they_differ(
    box: Premises, join: Join
) -> None:
    guest = await join(box)
    await guest.subscribe("showing/update/#")
    told = {m["showing_id"]: m for m in await guest.hear("showing/update/+", 4)}
    one, small = told[SHOWING], told[SMALL_SHOWING]
    assert set(one.body) == FIELDS | {"prices"}
    assert set(small.body) == FIELDS
    assert one.topic == f"showing/update/{SHOWING}"
    assert (one.qos, one.retain) == (1, True)
    assert (one["title"], one["room_id"], one["room"]) == ("A film", ROOM, "Room 1")
    assert (one["price"], one["prices"], one["currency"]) == ("9.50", {"premium": "12.00"}, "EUR")
    assert (one["status"], one["seats_total"], one["seats_available"], one["version"]) == ("scheduled", 36, 36, 0)
    assert all(SECONDS.fullmatch(one[name]) for name in ("starts_at", "ends_at", "timestamp"))
    assert datetime.fromisoformat(one["starts_at"]).timestamp() == box.house.opened_at + 10 * HOUR


async def test_what_is_sold_and_held_is_told_as_seats_available(box: Premises, join: Join) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await guest.watch(f"showing/update/{SHOWING}")
    await alice.watch()
    await alice.book(box.seats[:2])
    first = await guest.hears("showing/update/+")
    assert (first["seats_available"], first["version"], first.retain, first.qos) == (34, 2, False, 1)
    await alice.hold(box.seats[2:5])
    await alice.release(box.seats[2:3])
    last = await guest.hears("showing/update/+", lambda m: m["seats_available"] == 32)
    assert last["version"] == 6


async def test_a_mere_change_of_seats_available_is_told_at_most_once_a_second_and_ends_with_the_truth(
    box: Premises, join: Join
) -> None:
    guest, kiosk = await join(box), await join(box, "kiosk")
    await guest.watch(f"showing/update/{SHOWING}")
    await kiosk.watch()
    for seat in box.seats:
        await kiosk.book([seat])
    await guest.hears("showing/update/+", lambda m: m["seats_available"] == 0)
    moments = [datetime.fromisoformat(m["timestamp"]).timestamp() for m in guest.heard]
    apart = [later - earlier for earlier, later in pairwise(moments)]
    assert 2 <= len(moments) < len(box.seats)
    assert all(seconds > 0.99 for seconds in apart)


# Creating


async def test_a_manager_creates_a_showing_and_all_are_told_of_it_and_its_seats(box: Premises, join: Join) -> None:
    guest, alice, manager = await join(box), await join(box, "alice"), await join(box, "manager")
    await guest.watch("seats/status/#", "showing/update/#")
    await alice.watch()
    showing_id = new_id()
    await change(manager, "create", showing_id, **NEW)
    told = await guest.hears("showing/update/+")
    assert set(told.body) == FIELDS
    assert (told["showing_id"], told["title"], told["price"], told["room"]) == (
        showing_id,
        "A new film",
        "7.50",
        "Room 2",
    )
    assert (told["starts_at"], told["ends_at"]) == ("2031-01-01T20:00:00Z", "2031-01-01T22:00:00Z")
    present = await guest.hear(f"seats/status/{showing_id}", 6)
    assert all(message.retain for message in present)
    assert [message["seat_id"] for message in present] == list(box.small_seats)
    assert (await alice.book(box.small_seats[:2], showing_id))["total"] == "15.00"
    live = await guest.hear(f"seats/status/{showing_id}", 2)
    assert [(m["version"], m.retain) for m in live] == [(present[0]["version"] + n, False) for n in (1, 2)]


@pytest.mark.parametrize("room", [{"room": "Room 1"}, {"room_id": ROOM}], ids=str)
@pytest.mark.parametrize(
    ("length", "ends_at"),
    [
        ({}, "2031-01-01T22:00:00Z"),
        ({"minutes": 95}, "2031-01-01T21:35:00Z"),
        ({"ends_at": "2031-01-02T00:30:00+02:00"}, "2031-01-01T22:30:00Z"),
    ],
    ids=str,
)
async def test_a_room_is_named_by_id_or_name_and_the_end_by_minutes_or_a_time(
    box: Premises, join: Join, room: dict[str, Any], length: dict[str, Any], ends_at: str
) -> None:
    manager = await join(box, "manager")
    await manager.watch("showing/update/#", "users/+/errors")
    fields = {name: value for name, value in NEW.items() if name != "room_id"}
    await change(manager, "create", new_id(), **fields, **room, **length)
    told = await manager.hears("#")
    assert (told["room"], told["ends_at"], told["seats_total"]) == ("Room 1", ends_at, 36)


@pytest.mark.parametrize("missing", ["title", "starts_at", "room_id", "price"])
async def test_to_create_a_showing_title_start_room_and_price_are_needed(
    box: Premises, join: Join, missing: str
) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors", "showing/update/#")
    showing_id = new_id()
    await change(manager, "create", showing_id, **{name: value for name, value in NEW.items() if name != missing})
    told = await manager.hears("#")
    assert (told["topic"], told["code"], told["showing_id"]) == ("showing/request", "invalid_request", showing_id)
    assert missing.removesuffix("_id") in told["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": 7.5},
        {"price": "-1"},
        {"price": "7.505"},
        {"starts_at": "2031-01-01T20:00:00"},
        {"starts_at": "tomorrow"},
        {"ends_at": "2031-01-01T19:00:00Z"},
        {"minutes": 0},
        {"title": ""},
        {"title": "a\nb"},
        {"prices": {"premium": 3}},
        {"room_id": ABSENT},
        {"action": "destroy"},
    ],
    ids=str,
)
async def test_a_showing_of_another_shape_is_an_invalid_request(
    box: Premises, join: Join, wrong: dict[str, Any]
) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors", "showing/update/#")
    await change(manager, **{"action": "create", "showing_id": new_id(), **NEW, **wrong})
    told = await manager.hears("#")
    assert told.topic == f"users/{manager.user_id}/errors"
    assert told["code"] == "invalid_request"


async def test_creating_the_same_showing_again_is_the_same_showing_and_another_a_conflict(
    box: Premises, join: Join
) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors", "showing/update/#")
    showing_id = new_id()
    for _ in range(2):
        await change(manager, "create", showing_id, **NEW)
        assert (await manager.hears("showing/update/+"))["title"] == "A new film"
    await change(manager, "create", showing_id, **NEW | {"title": "Another"})
    assert (await manager.hears("users/+/errors"))["code"] == "conflict"


@pytest.mark.parametrize("action", ["update", "cancel"])
async def test_an_unknown_showing_cannot_be_changed(box: Premises, join: Join, action: str) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors")
    await change(manager, action, ABSENT, title="x")
    told = await manager.answer()
    assert (told["code"], told["showing_id"]) == ("unknown_showing", ABSENT)


# Updating


async def test_an_update_sets_what_it_names_and_keeps_the_rest(box: Premises, join: Join) -> None:
    guest, manager = await join(box), await join(box, "manager")
    await guest.subscribe(f"showing/update/{SHOWING}")
    before = await guest.hears("showing/update/+")
    await change(manager, "update", title="Another film", price="10")
    after = await guest.hears("showing/update/+")
    changed = {name for name in FIELDS | {"prices"} if before[name] != after[name]}
    assert changed - {"timestamp"} == {"title", "price"}
    await change(manager, "update", starts_at="2031-05-05T18:00:00Z")
    told = await guest.hears("showing/update/+")
    assert (told["starts_at"], told["ends_at"]) == ("2031-05-05T18:00:00Z", "2031-05-05T20:00:00Z")


async def test_the_price_of_a_sold_seat_stays_what_it_was(box: Premises, join: Join) -> None:
    alice, manager = await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    booking_id = new_id()
    await alice.book(box.seats[:1], booking_id=booking_id)
    await change(manager, "update", price="20.00", prices={})
    assert (await alice.book(box.seats[:1], booking_id=booking_id))["total"] == "9.50"
    assert (await alice.book(box.seats[20:21]))["total"] == "20.00"


async def test_a_showing_moves_to_another_room_its_version_grows_and_its_subscribers_get_the_present_anew(
    box: Premises, join: Join
) -> None:
    guest, alice, manager = await join(box), await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    await alice.hold(box.seats[:2])
    await guest.subscribe(f"seats/status/{SHOWING}", f"showing/update/{SHOWING}")
    first = await guest.hear("seats/status/+", 36)
    await guest.hears("showing/update/+")
    await change(manager, "update", room_id=SMALL_ROOM)
    told = await guest.hears("showing/update/+")
    assert (told["room"], told["seats_total"], told["seats_available"]) == ("Room 2", 6, 6)
    present = await guest.hear("seats/status/+", 6)
    assert [m["seat_id"] for m in present] == list(box.small_seats)
    assert all(m.retain and m["status"] == "available" for m in present)
    (version,) = {m["version"] for m in present}
    assert version == told["version"] > first[0]["version"]
    assert (await alice.hears("users/+/holds", lambda m: m["status"] == "released"))["seat_ids"]
    assert (await alice.book(box.small_seats[:1]))["status"] == "confirmed"
    assert (await guest.hears("seats/status/+"))["version"] == version + 1


async def test_another_room_is_a_conflict_once_a_seat_is_sold(box: Premises, join: Join) -> None:
    alice, manager = await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    await manager.watch("users/+/errors", "showing/update/#")
    booked = await alice.book(box.seats[:1])
    await manager.hears("showing/update/+")
    await change(manager, "update", room_id=SMALL_ROOM)
    assert (await manager.hears("users/+/errors"))["code"] == "conflict"
    await alice.cancel(booked["booking_id"])
    await change(manager, "update", room_id=SMALL_ROOM)
    await manager.hears("showing/update/+", lambda m: m["room"] == "Room 2")


# Cancelling


async def test_a_cancelled_showing_cancels_its_bookings_and_each_is_told(box: Premises, join: Join) -> None:
    names = ("alice", "vera", "kiosk")
    people = [await join(box, name) for name in names]
    guest, manager = await join(box), await join(box, "manager")
    for person in people:
        await person.watch()
    for place, person in enumerate(people):
        await person.book(box.seats[place : place + 1])
        await person.book(box.seats[place : place + 1], LATE_SHOWING)
    await people[0].hold(box.seats[10:12])
    await guest.subscribe(f"showing/update/{SHOWING}", f"seats/status/{SHOWING}")
    await guest.hear("seats/status/+", 36)
    await guest.hears("showing/update/+")
    await change(manager, "cancel")
    for person in people:
        told = await person.hears("booking/confirm/+")
        assert told["status"] == "cancelled"
        await person.settle()
        assert len(person.all_on("booking/confirm/+")) == 1  # the late showing's stands
    assert (await people[0].hears("users/+/holds"))["status"] == "released"
    told = await guest.hears("showing/update/+", lambda m: m["status"] == "cancelled")
    assert told["showing_id"] == SHOWING
    freed = await guest.hear("seats/status/+", 5)
    assert [m["version"] for m in freed] == [6, 7, 8, 9, 10]
    assert {m["status"] for m in freed} == {"available"}
    for asked in (people[0].book, people[0].hold):
        assert (await asked(box.seats[:1]))["code"] == "sales_closed"


async def test_a_cancelled_showing_has_no_present_and_stays_cancelled(box: Premises, join: Join) -> None:
    manager, guest = await join(box, "manager"), await join(box)
    await manager.watch("users/+/errors", f"showing/update/{SHOWING}")
    for _ in range(2):
        await change(manager, "cancel")
        assert (await manager.hears("showing/update/+"))["status"] == "cancelled"
    await change(manager, "update", title="back again")
    assert (await manager.hears("users/+/errors"))["code"] == "conflict"
    await guest.subscribe(f"showing/update/{SHOWING}", f"seats/status/{SHOWING}")
    assert await guest.nothing_on("#")


async def test_a_showing_that_is_moved_into_the_future_again_is_there_again_with_its_bookings(
    box: Premises, join: Join
) -> None:
    alice, manager = await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    booking_id = new_id()
    await alice.book(box.seats[:1], booking_id=booking_id)
    box.clock.forward(13 * HOUR)
    await change(manager, "update", starts_at="2031-05-05T18:00:00Z")
    guest, again = await join(box), await join(box, "alice")
    await guest.subscribe(f"seats/status/{SHOWING}")
    assert [m["status"] for m in await guest.hear("seats/status/+", 36)].count("booked") == 1
    await again.subscribe("booking/confirm/+")
    assert (await again.hears("booking/confirm/+"))["booking_id"] == booking_id


# An import beside the running box


async def test_an_import_while_the_box_runs_reaches_the_subscribers(box: Premises, join: Join) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await guest.watch("seats/status/#", "showing/update/#")
    await alice.watch()
    showing_id = new_id()
    start = {"showing_id": showing_id, "room": "Room 2", "starts_at": "2031-02-02T20:00:00Z"}
    await asyncio.to_thread(
        box.import_more, {"showings": [{**start, "title": "Imported", "minutes": 90, "price": "8.00"}]}
    )
    told = await guest.hears(f"showing/update/{showing_id}")
    assert (told["title"], told["price"], told["ends_at"]) == ("Imported", "8.00", "2031-02-02T21:30:00Z")
    assert [m["seat_id"] for m in await guest.hear(f"seats/status/{showing_id}", 6)] == list(box.small_seats)
    assert (await alice.book(box.small_seats[:1], showing_id))["status"] == "confirmed"
    assert (await guest.hears(f"seats/status/{showing_id}"))["status"] == "booked"


async def test_an_imported_change_of_a_plan_brings_its_subscribers_the_present_anew(box: Premises, join: Join) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await alice.watch()
    await alice.book(box.small_seats[:1], SMALL_SHOWING)
    await guest.subscribe(f"seats/status/{SMALL_SHOWING}")
    before = await guest.hear("seats/status/+", 6)
    room = {"room_id": SMALL_ROOM, "name": "Room 2", "rows": [{"row": "A", "seats": 8, "type": "premium"}]}
    await asyncio.to_thread(box.import_more, {"rooms": [room]})
    present = await guest.hear("seats/status/+", 8)
    assert all(m.retain and m["type"] == "premium" for m in present)
    assert [m["number"] for m in present] == list(range(1, 9))
    assert [m["seat_id"] for m in present[:6]] == list(box.small_seats)
    assert present[0]["status"] == "booked"
    (version,) = {m["version"] for m in present}
    assert version > before[0]["version"]
    assert (await alice.book([present[7]["seat_id"]], SMALL_SHOWING))["status"] == "confirmed"
    assert (await guest.hears("seats/status/+"))["version"] == version + 1


async def test_an_imported_user_may_sign_in_at_once(box: Premises, join: Join) -> None:
    users = [{"username": "foyer", "password": "choose-a-long-one", "role": "kiosk"}]
    await asyncio.to_thread(box.import_more, {"users": users})
    box.house.tokens["foyer"], box.house.user_ids["foyer"] = "choose-a-long-one", ABSENT
    foyer = await join(box, "foyer")
    assert await foyer.subscribe("users/+/holds", "#") == [1, 0x80]


async def test_importing_the_same_cinema_again_changes_nothing(box: Premises, join: Join) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await guest.watch("seats/status/#", "showing/update/#")
    await alice.watch()
    await alice.book(box.seats[:1])
    await guest.hears("showing/update/+")
    await guest.hears("seats/status/+")
    await asyncio.to_thread(box.import_more, cinema_file(box.house.opened_at))
    # What came of another process's write is told before what is asked after it is noticed.
    await alice.book(box.seats[1:2])
    booked = await guest.hears("seats/status/+")
    assert (booked["version"], booked["seat_id"]) == (2, box.seats[1])
    assert not any(m.retain for m in guest.all_on("seats/status/#"))
    assert alice.closed.is_set() is False
