"""Booking: ``booking/request`` and what comes of it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from contract.conftest import Join, OpenHouse
from contract.house import (
    ABSENT,
    HOUR,
    LATE_SHOWING,
    MINUTE,
    PAST_SHOWING,
    RUNNING_SHOWING,
    SHOWING,
    SMALL_SHOWING,
    Premises,
    new_id,
)

ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_a_confirmation_has_the_fields_of_the_contract(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    seats = [box.seats[20], box.seats[3]]
    told = await alice.book(seats, booking_id=booking_id, email="alice@example.org")
    assert told.topic == f"booking/confirm/{booking_id}"
    body = told.body
    assert set(body) == {
        *("booking_id", "status", "message", "timestamp"),
        *("number", "total", "currency", "showing_id", "seat_ids", "key"),
    }
    assert (body["booking_id"], body["status"], body["showing_id"]) == (booking_id, "confirmed", SHOWING)
    assert sorted(body["seat_ids"]) == sorted(seats)
    assert (body["total"], body["currency"]) == ("21.50", "EUR")  # a standard and a premium seat
    assert ISO.fullmatch(body["timestamp"])
    assert isinstance(body["message"], str)
    assert isinstance(body["number"], str)


async def test_a_key_is_128_bits_and_each_booking_has_its_own_number_and_key(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    told = [await alice.book([seat]) for seat in box.seats[:5]]
    assert len({message["key"] for message in told}) == 5
    assert len({message["number"] for message in told}) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", message["key"]) for message in told)


async def test_a_failure_has_the_fields_of_the_contract_and_names_the_seats_in_the_way(
    box: Premises, join: Join
) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.watch()
    await bob.watch()
    await bob.book(box.seats[:2])
    told = await alice.book(box.seats[:4])
    assert set(told.body) == {"booking_id", "status", "message", "timestamp", "code", "seat_ids"}
    assert (told["status"], told["code"]) == ("failed", "seats_unavailable")
    assert sorted(told["seat_ids"]) == sorted(box.seats[:2])


async def test_a_booking_takes_all_its_seats_or_none(box: Premises, join: Join) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.watch()
    await bob.watch()
    await bob.book(box.seats[:1])
    assert (await alice.book(box.seats[:3]))["status"] == "failed"
    assert (await bob.book(box.seats[1:3]))["status"] == "confirmed"


async def test_the_seats_of_a_booking_become_booked_for_all_with_the_fields_of_the_contract(
    box: Premises, join: Join
) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await guest.watch(f"seats/status/{SHOWING}")
    await alice.watch()
    await alice.book(box.seats[:2])
    live = await guest.hear("seats/status/#", 2)
    for message in live:
        assert message.topic == f"seats/status/{SHOWING}"
        assert set(message.body) == {"showing_id", "seat_id", "status", "timestamp", "version"}
        assert (message["showing_id"], message["status"]) == (SHOWING, "booked")
        assert ISO.fullmatch(message["timestamp"])
        assert (message.retain, message.qos) == (False, 0)
    assert {message["seat_id"] for message in live} == set(box.seats[:2])


async def test_version_counts_a_showings_changes_by_one_from_the_present_on(box: Premises, join: Join) -> None:
    watcher = await join(box, "bob")
    await watcher.subscribe(f"seats/status/{SHOWING}")
    present = await watcher.hear("seats/status/#", len(box.seats))
    people = [await join(box, name) for name in ("alice", "carol", "dave", "vera")]
    for person in people:
        await person.watch()
    parts = [box.seats[place : place + 4] for place in range(0, 16, 4)]
    await asyncio.gather(*(p.hold(seats) for p, seats in zip(people, parts, strict=True)))
    await asyncio.gather(*(p.book(seats[:2]) for p, seats in zip(people, parts, strict=True)))
    await asyncio.gather(*(p.release(seats) for p, seats in zip(people, parts, strict=True)))
    live = await watcher.hear("seats/status/#", 16 + 8 + 8)
    assert {message["version"] for message in present} == {0}
    assert [message["version"] for message in live] == list(range(1, 33))
    assert Counter(message["status"] for message in live) == {"reserved": 16, "booked": 8, "available": 8}


async def test_versions_of_two_showings_are_counted_apart(box: Premises, join: Join) -> None:
    guest, alice = await join(box), await join(box, "alice")
    await guest.watch("seats/status/#")
    await alice.watch()
    await alice.book(box.seats[:2])
    await alice.book(box.small_seats[:3], SMALL_SHOWING)
    live = await guest.hear("seats/status/#", 5)
    assert [m["version"] for m in live if m["showing_id"] == SHOWING] == [1, 2]
    assert [m["version"] for m in live if m["showing_id"] == SMALL_SHOWING] == [1, 2, 3]


@pytest.mark.parametrize(("asked", "granted"), [(0, 0), (1, 1), (2, 1)])
async def test_a_confirmation_comes_at_the_lower_of_its_qos_and_the_granted_one(
    box: Premises, join: Join, asked: int, granted: int
) -> None:
    alice = await join(box, "alice")
    assert await alice.subscribe("booking/confirm/+", qos=asked) == [granted]
    told = await alice.book(box.seats[:1])
    assert (told.qos, told.retain) == (granted, False)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_request_is_taken_at_any_qos(box: Premises, join: Join, qos: int) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    request = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "booking_id": booking_id, "timestamp": "now"}
    await alice.send("booking/request", request, qos=qos)
    assert (await alice.hears(f"booking/confirm/{booking_id}"))["status"] == "confirmed"


async def test_lynriescoops_request_with_user_id_and_without_booking_id_is_confirmed(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    told = await alice.book(box.seats[:2], booking_id=None, user_id=alice.user_id)
    assert told["status"] == "confirmed"
    assert ID.fullmatch(told["booking_id"])


async def test_unknown_fields_are_ignored(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    assert (await alice.book(box.seats[:1], colour="red", price="0.01"))["total"] == "9.50"


@pytest.mark.parametrize("timestamp", ["1970-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "yesterday", 0, 1.5])
async def test_the_clients_timestamp_is_never_held_against_the_clock(
    box: Premises, join: Join, timestamp: object
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    assert (await alice.book(box.seats[:1], timestamp=timestamp))["status"] == "confirmed"


# Whose booking


async def test_a_customer_who_names_anyone_else_is_forbidden_whether_they_exist_or_not(
    box: Premises, join: Join
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    answers = []
    for other in (box.user_id("bob"), box.user_id("gone"), ABSENT):
        told = await alice.book(box.seats[:1], user_id=other)
        assert told.topic == f"users/{alice.user_id}/errors"
        answers.append((told["code"], told["message"]))
    assert set(answers) == {answers[0]}
    assert answers[0][0] == "forbidden"


@pytest.mark.parametrize("house_account", ["kiosk", "manager"])
async def test_the_house_books_for_others_and_both_are_told(box: Premises, join: Join, house_account: str) -> None:
    clerk, alice, bob = await join(box, house_account), await join(box, "alice"), await join(box, "bob")
    other_kiosk, boss = await join(box, "kiosk2"), await join(box, "manager2")
    everybody = (clerk, alice, bob, other_kiosk, boss)
    for person in everybody:
        await person.watch("booking/confirm/+")
    booking_id = new_id()
    await clerk.request(
        "booking/request",
        booking_id=booking_id,
        user_id=alice.user_id,
        showing_id=SHOWING,
        seat_ids=[box.seats[0]],
    )
    for person in everybody:
        await person.settle()
    assert [len(person.heard) for person in everybody] == [1, 1, 0, 0, 1]
    assert {m.payload for person in everybody for m in person.heard} == {clerk.heard[0].payload}
    assert clerk.heard[0]["status"] == "confirmed"


@pytest.mark.parametrize("house_account", ["kiosk", "manager"])
@pytest.mark.parametrize("whom", ["gone", "nobody"])
async def test_the_house_gets_unknown_user_for_an_absent_or_disabled_one(
    box: Premises, join: Join, house_account: str, whom: str
) -> None:
    clerk = await join(box, house_account)
    await clerk.watch("users/+/errors")
    booking_id = new_id()
    user_id = ABSENT if whom == "nobody" else box.user_id(whom)
    told = await clerk.book(box.seats[:1], booking_id=booking_id, user_id=user_id)
    assert (told.topic, told["code"]) == (f"users/{clerk.user_id}/errors", "unknown_user")
    assert told["booking_id"] == booking_id
    # It changed and stored nothing: the same id may be sent again.
    await clerk.watch()
    assert (await clerk.book(box.seats[:1], booking_id=booking_id))["status"] == "confirmed"


@pytest.mark.parametrize("house_account", ["kiosk", "manager"])
async def test_the_house_must_send_a_booking_id(box: Premises, join: Join, house_account: str) -> None:
    clerk = await join(box, house_account)
    await clerk.watch()
    told = await clerk.book(box.seats[:1], booking_id=None)
    assert (told.topic, told["code"]) == (f"users/{clerk.user_id}/errors", "invalid_request")
    assert "booking_id" in told["message"]


# The same booking


async def test_a_request_repeated_is_the_same_booking_and_its_outcome_comes_again(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    first = await alice.book(box.seats[:2], booking_id=booking_id)
    again = await alice.book(box.seats[:2], booking_id=booking_id)
    assert first.payload == again.payload


async def test_the_set_of_seats_counts_not_their_order(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    first = await alice.book(box.seats[:3], booking_id=booking_id)
    again = await alice.book(reversed(box.seats[:3]), booking_id=booking_id)
    assert first["number"] == again["number"]


async def test_a_repeated_request_is_told_to_who_repeated_it_alone(box: Premises, join: Join) -> None:
    kiosk, alice, manager = await join(box, "kiosk"), await join(box, "alice"), await join(box, "manager")
    booking_id = new_id()
    await kiosk.watch()
    await kiosk.book(box.seats[:1], booking_id=booking_id, user_id=alice.user_id)
    await alice.watch()
    await manager.watch("booking/confirm/+")
    assert (await kiosk.book(box.seats[:1], booking_id=booking_id, user_id=alice.user_id))["status"] == "confirmed"
    assert await alice.nothing_on("#")
    assert await manager.nothing_on("#")


async def test_a_redelivered_message_without_booking_id_is_the_same_booking(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    first = await alice.book(box.seats[:2], booking_id=None, timestamp="t1")
    again = await alice.book(box.seats[:2], booking_id=None, timestamp="t1")
    assert first.payload == again.payload
    other = await alice.book(box.seats[:2], booking_id=None, timestamp="t2")
    assert other["booking_id"] != first["booking_id"]
    assert other["code"] == "seats_unavailable"


async def test_the_booking_id_that_the_box_makes_is_each_users_own(box: Premises, join: Join) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.watch()
    await bob.watch()
    first = await alice.book(box.seats[:2], booking_id=None, timestamp="t1")
    second = await bob.book(box.seats[:2], booking_id=None, timestamp="t1")
    assert first["booking_id"] != second["booking_id"]
    assert (first["status"], second["status"]) == ("confirmed", "failed")


async def test_the_booking_id_that_the_box_makes_is_the_same_after_a_restart(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    first = await alice.book(box.seats[:2], booking_id=None, timestamp="t1")
    await box.close()
    await box.reopen()
    alice = await join(box, "alice")
    await alice.watch("booking/confirm/+")
    assert (await alice.book(box.seats[:2], booking_id=None, timestamp="t1")).payload == first.payload


async def test_a_cancelled_booking_repeated_stays_cancelled(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    await alice.book(box.seats[:2], booking_id=booking_id)
    await alice.cancel(booking_id)
    assert (await alice.book(box.seats[:2], booking_id=booking_id))["status"] == "cancelled"
    assert (await alice.book(box.seats[:2]))["status"] == "confirmed"


async def test_a_failure_repeated_is_the_same_failure_though_the_seats_are_free_now(box: Premises, join: Join) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.watch()
    await bob.watch()
    taken = await bob.book(box.seats[:1])
    booking_id = new_id()
    failed = await alice.book(box.seats[:1], booking_id=booking_id)
    await bob.cancel(taken["booking_id"])
    assert (await alice.book(box.seats[:1], booking_id=booking_id)).payload == failed.payload
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"


@pytest.mark.parametrize("other", ["seats", "showing", "user"])
async def test_ones_own_booking_id_with_other_contents_is_a_conflict(box: Premises, join: Join, other: str) -> None:
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    booking_id = new_id()
    await kiosk.book(box.seats[:2], booking_id=booking_id)
    asked = {"seat_ids": box.seats[:2], "showing_id": SHOWING} | {
        "seats": {"seat_ids": box.seats[:3]},
        "showing": {"showing_id": LATE_SHOWING},
        "user": {"user_id": box.user_id("alice")},
    }[other]
    told = await kiosk.book(**asked, booking_id=booking_id)
    assert (told.topic, told["code"]) == (f"users/{kiosk.user_id}/errors", "conflict")
    assert told["booking_id"] == booking_id


@pytest.mark.parametrize("intruder", ["bob", "kiosk"])
async def test_somebody_elses_booking_id_is_a_conflict_told_to_the_sender_alone(
    box: Premises, join: Join, intruder: str
) -> None:
    alice, other = await join(box, "alice"), await join(box, intruder)
    booking_id = new_id()
    await alice.watch()
    await alice.book(box.seats[:1], booking_id=booking_id)
    await other.watch("booking/confirm/+", f"booking/confirm/{booking_id}", "users/+/errors")
    fields = {"user_id": alice.user_id} if intruder == "kiosk" else {}
    told = await other.book(box.seats[:1], booking_id=booking_id, **fields)
    assert (told.topic, told["code"]) == (f"users/{other.user_id}/errors", "conflict")
    assert await alice.nothing_on("#")


# Everything else is the booking's outcome


async def test_an_unknown_showing_fails(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    told = await alice.book(box.seats[:1], ABSENT)
    assert (told["status"], told["code"]) == ("failed", "unknown_showing")


async def test_an_unknown_seat_fails_and_is_named(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    for stranger in (ABSENT, box.small_seats[0]):  # no seat at all, and one of another room
        told = await alice.book([box.seats[0], stranger])
        assert (told["status"], told["code"], told["seat_ids"]) == ("failed", "unknown_seat", [stranger])


async def test_more_than_max_seats_at_once_fail_for_the_house_too(box: Premises, join: Join) -> None:
    for name in ("alice", "kiosk"):
        person = await join(box, name)
        await person.watch()
        told = await person.book(box.seats[:11])
        assert (told["status"], told["code"]) == ("failed", "too_many_seats")
        assert (await person.book(box.seats[:10], LATE_SHOWING if name == "kiosk" else SHOWING))[
            "status"
        ] == "confirmed"


async def test_a_customer_has_at_most_max_seats_per_showing_held_or_booked_and_the_house_any_number(
    open_house: OpenHouse, join: Join
) -> None:
    box = await open_house(booking={"max_seats_per_showing": 5})
    alice, kiosk = await join(box, "alice"), await join(box, "kiosk")
    await alice.watch()
    await kiosk.watch()
    await alice.book(box.seats[:3])
    await alice.hold(box.seats[3:4])
    assert (await alice.book(box.seats[4:6]))["code"] == "too_many_seats"
    assert (await alice.hold(box.seats[4:6]))["code"] == "too_many_seats"
    assert (await alice.book(box.seats[3:5]))["status"] == "confirmed"  # of these one was counted as held
    assert (await alice.book(box.seats[5:10], LATE_SHOWING))["status"] == "confirmed"
    assert (await kiosk.book(box.seats[5:15]))["status"] == "confirmed"


async def test_sales_end_with_the_start_and_sales_close_minutes_later_where_that_is_set(
    open_house: OpenHouse, join: Join
) -> None:
    box = await open_house(booking={"sales_close_minutes": 15})
    manager, alice = await join(box, "manager"), await join(box, "alice")
    await alice.watch()
    await manager.watch()
    box.clock.forward(10 * HOUR + 10 * MINUTE)
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"
    box.clock.forward(6 * MINUTE)
    for person in (alice, manager):
        told = await person.book(box.seats[1:2])
        assert (told["status"], told["code"]) == ("failed", "sales_closed")


@pytest.mark.parametrize("showing_id", [RUNNING_SHOWING, PAST_SHOWING])
async def test_a_showing_that_has_begun_is_not_sold(box: Premises, join: Join, showing_id: str) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    assert (await alice.book(box.small_seats[:1], showing_id))["code"] == "sales_closed"


async def test_a_failure_is_kept_for_a_day_across_a_restart_too(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    failed = await alice.book([ABSENT], booking_id=booking_id)
    box.clock.forward(23 * HOUR)
    await box.close()
    await box.reopen()
    alice = await join(box, "alice")
    await alice.subscribe(f"booking/confirm/{booking_id}")
    assert (await alice.hears("booking/confirm/+")).payload == failed.payload
    box.clock.forward(2 * HOUR)
    await box.close()
    await box.reopen()
    alice = await join(box, "alice")
    await alice.subscribe(f"booking/confirm/{booking_id}")
    assert await alice.nothing_on("#")


async def test_of_a_customers_failures_the_latest_200_are_kept(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    ids = [new_id() for _ in range(202)]
    sent = [
        alice.request("booking/request", booking_id=booking_id, showing_id=ABSENT, seat_ids=[ABSENT])
        for booking_id in ids
    ]
    await asyncio.gather(*sent)
    kept = []
    for booking_id in (*ids[:4], *ids[-2:]):
        await alice.subscribe(f"booking/confirm/{booking_id}")
        await alice.settle()
        kept.append(bool(alice.all_on(f"booking/confirm/{booking_id}")))
    assert kept == [False, False, True, True, True, True]


async def test_of_many_who_want_one_seat_one_gets_it(box: Premises, join: Join) -> None:
    names = ["alice", "bob", "carol", "dave", "vera", "victor", "kiosk", "kiosk2", "manager"]
    people = [await join(box, name, door=("tcp", "web")[place % 2]) for place, name in enumerate(names)]
    for person in people:
        await person.watch("booking/confirm/+" if person.name != "manager" else "users/+/errors")
    ids = [new_id() for _ in people]
    await asyncio.gather(
        *(
            person.request("booking/request", booking_id=booking_id, showing_id=SHOWING, seat_ids=box.seats[:1])
            for person, booking_id in zip(people, ids, strict=True)
        )
    )
    manager = await join(box, "manager2")
    outcomes = []
    for booking_id in ids:
        await manager.subscribe(f"booking/confirm/{booking_id}")
        outcomes.append((await manager.hears(f"booking/confirm/{booking_id}"))["status"])
        await manager.client.unsubscribe(f"booking/confirm/{booking_id}")
    assert Counter(outcomes) == {"confirmed": 1, "failed": len(people) - 1}


async def test_the_seats_of_a_hold_are_used_up_by_its_users_booking_and_the_rest_runs_on(
    box: Premises, join: Join
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    held = await alice.hold(box.seats[:3])
    assert (await alice.book(box.seats[:2]))["status"] == "confirmed"
    again = await join(box, "alice")
    await again.subscribe("users/+/holds")
    running = await again.hears("users/+/holds")
    assert (running["seat_ids"], running["expires_at"]) == ([box.seats[2]], held["expires_at"])


async def test_prices_are_those_of_the_seat_types(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    assert (await alice.book(box.seats[14:18]))["total"] == "43.00"  # two standard, two premium
    assert (await alice.book(box.seats[14:18], LATE_SHOWING))["total"] == "38.00"  # all the same there
