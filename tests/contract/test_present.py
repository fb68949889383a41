"""What a subscriber gets first: the present, in one step with joining the live messages."""

from __future__ import annotations

import asyncio
import re

import pytest
from conftest import OpenClient
from raw_mqtt import CONNACK, connect

from contract.conftest import Join, OpenHouse
from contract.house import (
    ABSENT,
    HOUR,
    LATE_SHOWING,
    PAST_SHOWING,
    RUNNING_SHOWING,
    SHOWING,
    SMALL_SHOWING,
    Premises,
    new_id,
)

IN_SIGHT = {SHOWING: 36, LATE_SHOWING: 36, SMALL_SHOWING: 6, RUNNING_SHOWING: 6}
MINE = ["booking/confirm/+", "booking/confirm/#"]


async def test_every_seat_of_each_showing_scheduled_and_not_over_comes_once_in_room_order(
    box: Premises, join: Join
) -> None:
    guest = await join(box)
    await guest.subscribe("seats/status/#")
    present = await guest.hear("seats/status/#", sum(IN_SIGHT.values()))
    assert await guest.nothing_on("showing/#")
    assert len(guest.heard) == sum(IN_SIGHT.values())
    for showing_id, number in IN_SIGHT.items():
        seats = box.seats if number == 36 else box.small_seats
        assert [m["seat_id"] for m in present if m["showing_id"] == showing_id] == list(seats)


async def test_the_present_of_a_seat_has_the_fields_of_the_contract(box: Premises, join: Join) -> None:
    guest = await join(box)
    await guest.subscribe(f"seats/status/{SHOWING}")
    present = await guest.hear("seats/status/+", 36)
    names = {"showing_id", "seat_id", "status", "timestamp", "version", "row", "number", "type", "x", "y"}
    for message in present:
        assert message.topic == f"seats/status/{SHOWING}"
        assert set(message.body) == names
        assert (message.retain, message.qos) == (True, 0)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", message["timestamp"])
    row_a = [(m["number"], m["type"], m["x"], m["y"]) for m in present if m["row"] == "A"]
    assert row_a == [
        (1, "wheelchair", 1, 0),
        *((number, "standard", number, 0) for number in (2, 3, 4)),
        *((number, "standard", number + 1, 0) for number in (5, 6, 8, 9)),  # behind the aisle, round the pillar
    ]
    assert {m["type"] for m in present if m["row"] in "CD"} == {"premium"}
    assert [m["y"] for m in present if m["number"] == 8] == [0, 1, 2, 3]


async def test_the_present_has_the_seats_as_they_are_and_one_version(box: Premises, join: Join) -> None:
    alice, guest = await join(box, "alice"), await join(box)
    await alice.watch()
    await alice.book(box.seats[:2])
    await alice.hold(box.seats[2:5])
    await guest.subscribe(f"seats/status/{SHOWING}")
    present = await guest.hear("seats/status/+", 36)
    assert [m["status"] for m in present] == ["booked"] * 2 + ["reserved"] * 3 + ["available"] * 31
    assert {m["version"] for m in present} == {5}


@pytest.mark.parametrize("showing_id", [PAST_SHOWING, ABSENT])
async def test_a_showing_that_is_over_or_unknown_has_no_present(box: Premises, join: Join, showing_id: str) -> None:
    guest = await join(box)
    assert await guest.subscribe(f"seats/status/{showing_id}", f"showing/update/{showing_id}") == [1, 1]
    assert await guest.nothing_on("#")


async def test_a_showing_leaves_the_present_when_it_is_over(box: Premises, join: Join) -> None:
    box.clock.forward(2 * HOUR)
    guest = await join(box)
    await guest.subscribe("showing/update/#", "seats/status/#")
    await guest.settle()
    assert {m["showing_id"] for m in guest.heard} == set(IN_SIGHT) - {RUNNING_SHOWING}


async def test_each_showing_scheduled_and_not_over_has_one_update(box: Premises, join: Join) -> None:
    guest = await join(box)
    await guest.subscribe("showing/update/#")
    await guest.settle()
    assert sorted(m["showing_id"] for m in guest.heard) == sorted(IN_SIGHT)
    assert all(m.retain and m["status"] == "scheduled" for m in guest.heard)


async def test_an_outcome_is_there_for_owner_requester_and_manager_and_silent_for_others(
    box: Premises, join: Join
) -> None:
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    told = await kiosk.book(box.seats[:1], user_id=box.user_id("alice"))
    failed = await kiosk.book([ABSENT], user_id=box.user_id("alice"))
    for name, sees in {"alice": 1, "kiosk": 1, "manager": 1, "bob": 0, "vera": 0, "kiosk2": 0}.items():
        person = await join(box, name)
        assert await person.subscribe(told.topic, failed.topic) == [1, 1]
        await person.settle()
        assert [m.payload for m in person.heard] == [told.payload, failed.payload][: 2 * sees]
        assert all(m.retain and m.qos == 1 for m in person.heard)


async def test_an_outcome_is_there_when_its_showing_is_over(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    told = await alice.book(box.seats[:1])
    box.clock.forward(30 * HOUR)
    await box.close()
    await box.reopen()
    for name, sees in {"alice": True, "manager": True, "bob": False}.items():
        person = await join(box, name)
        await person.subscribe(told.topic)
        await person.settle()
        assert [m.payload for m in person.heard] == ([told.payload] if sees else [])


@pytest.mark.parametrize("topic_filter", MINE)
async def test_mine_are_ones_confirmed_and_cancelled_bookings_of_showings_that_are_not_over(
    box: Premises, join: Join, topic_filter: str
) -> None:
    alice, bob, kiosk = [await join(box, name) for name in ("alice", "bob", "kiosk")]
    for person in (alice, bob, kiosk):
        await person.watch()
    confirmed = await alice.book(box.seats[:1], LATE_SHOWING)
    cancelled = await alice.cancel((await alice.book(box.seats[1:2], LATE_SHOWING))["booking_id"])
    for_her = await kiosk.book(box.seats[2:3], LATE_SHOWING, user_id=alice.user_id)
    await alice.book([ABSENT])
    await bob.book(box.seats[3:4], LATE_SHOWING)
    await alice.book(box.seats[:1])  # a showing that will be over
    box.clock.forward(13 * HOUR)
    again = await join(box, "alice")
    await again.subscribe(topic_filter)
    await again.settle()
    assert sorted(m.payload for m in again.heard) == sorted(m.payload for m in (confirmed, cancelled, for_her))
    assert all(m.retain and m.qos == 1 for m in again.heard)


async def test_a_kiosks_mine_is_of_its_last_hour(box: Premises, join: Join) -> None:
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    await kiosk.book(box.seats[:1], user_id=box.user_id("alice"))
    box.clock.forward(40 * 60)
    second = await kiosk.book(box.seats[1:2], user_id=box.user_id("bob"))
    box.clock.forward(30 * 60)
    again = await join(box, "kiosk")
    await again.subscribe("booking/confirm/+")
    await again.settle()
    assert [m.payload for m in again.heard] == [second.payload]


async def test_a_managers_wildcards_mean_all_and_bring_no_present(box: Premises, join: Join) -> None:
    alice, manager = await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    await manager.subscribe("users/+/holds")
    await manager.hold(box.seats[5:6])
    await alice.book(box.seats[:1])
    await alice.hold(box.seats[1:2])
    watching = await join(box, "manager")
    filters = ["#", "booking/confirm/+", "booking/confirm/#", "users/#", "users/+/holds", "users/+/errors"]
    assert await watching.subscribe(*filters) == [1] * 6
    await watching.settle()
    assert not [message for message in watching.heard if message.retain]  # live ones may be under way still
    booked = await alice.book(box.seats[2:3])
    held = await alice.hold(box.seats[3:4])
    assert (await watching.hears("booking/confirm/+")).payload == booked.payload
    assert (await watching.hears("users/+/holds")).payload == held.payload


async def test_a_managers_own_inbox_has_its_present(box: Premises, join: Join) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/holds")
    await manager.hold(box.seats[:1])
    again = await join(box, "manager")
    await again.subscribe(f"users/{again.user_id}/holds")
    assert (await again.hears("users/+/holds"))["seat_ids"] == [box.seats[0]]


@pytest.mark.parametrize("topic_filter", ["users/{}/holds", "users/+/holds", "users/#", "users/{}/#", "users/+/#"])
async def test_an_inbox_begins_with_the_running_holds_of_its_user_alone(
    box: Premises, join: Join, topic_filter: str
) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.watch()
    await bob.watch()
    booking_id = new_id()
    held = await alice.hold(box.seats[:2], booking_id=booking_id)
    await bob.hold(box.seats[2:3])
    again = await join(box, "alice")
    assert await again.subscribe(topic_filter.format(again.user_id)) == [1]
    await again.settle()
    (present,) = again.heard
    assert present.topic == f"users/{alice.user_id}/holds"
    assert (present.retain, present.qos) == (True, 1)
    live, running = held.body, present.body
    for body in live, running:
        body["seat_ids"].sort()
        del body["timestamp"]
    assert running == live


async def test_a_client_that_subscribes_again_gets_the_present_again(box: Premises, join: Join) -> None:
    alice, guest = await join(box, "alice"), await join(box)
    await alice.watch()
    await guest.subscribe(f"seats/status/{SHOWING}")
    await guest.hear("seats/status/+", 36)
    await alice.book(box.seats[:1])
    assert (await guest.hears("seats/status/+"))["version"] == 1
    for _ in range(5):
        await guest.subscribe(f"seats/status/{SHOWING}")  # more than once a second: one present is enough
    present = await guest.hear("seats/status/+", 36)
    assert all(m.retain for m in present)
    assert {m["version"] for m in present} == {1}
    await alice.book(box.seats[1:2])
    assert (await guest.hears("seats/status/+"))["version"] == 2


async def test_who_joins_during_a_storm_misses_and_doubles_nothing(box: Premises, join: Join) -> None:
    kiosk, manager = await join(box, "kiosk"), await join(box, "manager")

    async def storm(person: object, seats: tuple[str, ...]) -> None:
        for seat in seats:
            booking_id = new_id()
            request = {"showing_id": SHOWING, "seat_ids": [seat], "booking_id": booking_id, "timestamp": "t"}
            for topic in ("seats/hold", "seats/release", "seats/hold", "booking/request"):
                await person.send(topic, request)  # type: ignore[attr-defined]
            await person.send("booking/cancel", {"booking_id": booking_id, "timestamp": "t"})  # type: ignore[attr-defined]

    storms = [asyncio.create_task(storm(kiosk, box.seats[:18])), asyncio.create_task(storm(manager, box.seats[18:]))]
    guests = []
    while not all(task.done() for task in storms) and len(guests) < 40:
        guest = await join(box, door=("tcp", "web")[len(guests) % 2])
        await guest.subscribe(f"seats/status/{SHOWING}")
        guests.append(guest)
    await asyncio.gather(*storms)
    last = 36 * 5
    for guest in guests:
        present = await guest.hear("seats/status/+", 36)
        assert all(m.retain for m in present)
        (version,) = {m["version"] for m in present}
        live = await guest.hear("seats/status/+", last - version)
        assert not any(m.retain for m in live)
        assert [m["version"] for m in live] == list(range(version + 1, last + 1))
        state = {m["seat_id"]: m["status"] for m in (*present, *live)}
        assert set(state.values()) == {"available"}
    assert len(guests) > 3


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_session_present_is_0_whatever_clean_session_says_and_the_present_comes_after_a_restart_too(
    box: Premises, join: Join, client: OpenClient, door: str
) -> None:
    alice = await join(box, "alice", door=door, identifier="till 1", clean_session=False)
    await alice.subscribe("booking/confirm/+")
    told = await alice.book(box.seats[:1])
    await alice.leave()
    await box.close()
    await box.reopen()
    raw = await client(box.host, door)
    await raw.send(connect(*box.house.credentials("alice"), client_id="till 1", clean=False))
    assert (await raw.next(CONNACK)).body == b"\x00\x00"  # session present 0, accepted
    await raw.silence()
    again = await join(box, "alice", door=door, identifier="till 1", clean_session=False)
    assert await again.nothing_on("#")
    await again.subscribe("booking/confirm/+")
    present = await again.hears("booking/confirm/+")
    assert (present.payload, present.retain) == (told.payload, True)


async def test_plain_retained_messages_are_kept_until_a_restart_and_at_most_so_many(
    open_house: OpenHouse, join: Join
) -> None:
    sees_all = {"subscribe": ["#"]}
    box = await open_house(limits={"retained_messages": 2}, policy={"manager": {"publish": ["house/#"], **sees_all}})
    manager = await join(box, "manager")
    for name in ("a", "b", "c"):
        await manager.send(f"house/{name}", f"hello {name}", retain=True)
    await manager.send("house/a", b"", retain=True)  # cleared: there is room for one more
    await manager.send("house/d", b"hello d", retain=True)
    other = await join(box, "manager2")
    await other.subscribe("house/#")
    await other.settle()
    assert [(m.topic, m.payload, m.retain) for m in other.heard] == [
        ("house/b", b"hello b", True),
        ("house/d", b"hello d", True),
    ]
    await box.close()
    await box.reopen()
    later = await join(box, "manager2")
    await later.subscribe("house/#")
    assert await later.nothing_on("#")
