"""Cancelling: ``booking/cancel``, by whom and until when."""

from __future__ import annotations

import pytest

from contract.conftest import Join, OpenHouse
from contract.house import ABSENT, HOUR, MINUTE, SHOWING, Premises, new_id
from contract.people import Person


async def at_watch(join: Join, box: Premises, *names: str) -> list[Person]:
    people = [await join(box, name) for name in names]
    for person in people:
        await person.watch()
    return people


async def test_an_owner_cancels_and_the_seats_are_free_again(box: Premises, join: Join) -> None:
    guest = await join(box)
    await guest.watch(f"seats/status/{SHOWING}")
    alice, bob = await at_watch(join, box, "alice", "bob")
    booked = await alice.book(box.seats[:2])
    told = await alice.cancel(booked["booking_id"])
    assert told.topic == f"booking/confirm/{booked['booking_id']}"
    assert told["status"] == "cancelled"
    assert {"booking_id", "status", "message", "timestamp"} <= set(told.body)
    live = await guest.hear("seats/status/#", 4)
    assert [(m["status"], m["version"]) for m in live] == [
        ("booked", 1),
        ("booked", 2),
        ("available", 3),
        ("available", 4),
    ]
    assert (await bob.book(box.seats[:2]))["status"] == "confirmed"


async def test_cancelling_again_answers_cancelled_again_to_who_asked(box: Premises, join: Join) -> None:
    kiosk, alice = await at_watch(join, box, "kiosk", "alice")
    booked = await kiosk.book(box.seats[:1], user_id=alice.user_id)
    first = await alice.cancel(booked["booking_id"])
    await kiosk.watch()
    again = await alice.cancel(booked["booking_id"])
    assert (again.topic, again.payload) == (first.topic, first.payload)
    assert await kiosk.nothing_on("#")


async def test_an_owner_cancels_until_cancel_until_minutes_before_the_start(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    one, two = await alice.book(box.seats[:1]), await alice.book(box.seats[1:2])
    box.clock.forward(10 * HOUR - 31 * MINUTE)
    assert (await alice.cancel(one["booking_id"]))["status"] == "cancelled"
    box.clock.forward(2 * MINUTE)
    told = await alice.cancel(two["booking_id"])
    assert (told.topic, told["code"]) == (f"users/{alice.user_id}/errors", "sales_closed")
    assert (told["topic"], told["booking_id"]) == ("booking/cancel", two["booking_id"])
    assert (await alice.cancel(one["booking_id"]))["status"] == "cancelled"  # as it was


async def test_cancel_until_minutes_is_a_setting(open_house: OpenHouse, join: Join) -> None:
    box = await open_house(booking={"cancel_until_minutes": 0})
    (alice,) = await at_watch(join, box, "alice")
    booked = await alice.book(box.seats[:1])
    box.clock.forward(10 * HOUR - 2 * MINUTE)
    assert (await alice.cancel(booked["booking_id"]))["status"] == "cancelled"


async def test_a_kiosk_cancels_what_it_requested_in_the_last_15_minutes_also_late(box: Premises, join: Join) -> None:
    (kiosk,) = await at_watch(join, box, "kiosk")
    early = await kiosk.book(box.seats[:1], user_id=box.user_id("alice"))
    box.clock.forward(10 * HOUR - 5 * MINUTE)
    late = await kiosk.book(box.seats[1:2], user_id=box.user_id("alice"))
    told = await kiosk.cancel(early["booking_id"])
    assert (told.topic, told["code"]) == (f"users/{kiosk.user_id}/errors", "forbidden")
    box.clock.forward(14 * MINUTE)  # the film runs
    assert (await kiosk.cancel(late["booking_id"]))["status"] == "cancelled"


async def test_a_kiosk_may_not_cancel_what_it_requested_16_minutes_ago(box: Premises, join: Join) -> None:
    (kiosk,) = await at_watch(join, box, "kiosk")
    booked = await kiosk.book(box.seats[:1])
    box.clock.forward(16 * MINUTE)
    assert (await kiosk.cancel(booked["booking_id"]))["code"] == "forbidden"


async def test_the_owner_cancels_what_a_kiosk_booked_for_them_and_the_kiosk_is_told(box: Premises, join: Join) -> None:
    kiosk, alice = await at_watch(join, box, "kiosk", "alice")
    booked = await kiosk.book(box.seats[:1], user_id=alice.user_id)
    box.clock.forward(HOUR)
    assert (await alice.cancel(booked["booking_id"]))["status"] == "cancelled"
    assert (await kiosk.hears("booking/confirm/+"))["status"] == "cancelled"


async def test_a_manager_cancels_always_and_the_owner_is_told(box: Premises, join: Join) -> None:
    alice, manager = await at_watch(join, box, "alice", "manager")
    booked = await alice.book(box.seats[:1])
    box.clock.forward(11 * HOUR)
    assert (await manager.cancel(booked["booking_id"]))["status"] == "cancelled"
    told = await alice.hears("booking/confirm/+", lambda m: m["status"] == "cancelled")
    assert told["booking_id"] == booked["booking_id"]


@pytest.mark.parametrize("stranger", ["bob", "vera", "kiosk"])
async def test_somebody_elses_booking_is_as_unknown_as_one_that_does_not_exist(
    box: Premises, join: Join, stranger: str
) -> None:
    alice, other = await at_watch(join, box, "alice", stranger)
    booked = await alice.book(box.seats[:1])
    answers = []
    for booking_id in (booked["booking_id"], ABSENT):
        told = (await other.cancel(booking_id)).body
        assert told.pop("booking_id") == booking_id
        del told["timestamp"]
        answers.append(told)
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "unknown_booking"
    assert await alice.nothing_on("#")


async def test_cancelling_a_failed_booking_is_a_conflict(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    failed = await alice.book([ABSENT])
    told = await alice.cancel(failed["booking_id"])
    assert (told.topic, told["code"]) == (f"users/{alice.user_id}/errors", "conflict")


async def test_a_customer_may_name_themselves_and_nobody_else(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    booked = await alice.book(box.seats[:1])
    assert (await alice.cancel(booked["booking_id"], user_id=box.user_id("bob")))["code"] == "forbidden"
    assert (await alice.cancel(booked["booking_id"], user_id=ABSENT))["code"] == "forbidden"
    assert (await alice.cancel(booked["booking_id"], user_id=alice.user_id))["status"] == "cancelled"


async def test_a_kiosk_may_name_whom_it_cancels_for(box: Premises, join: Join) -> None:
    (kiosk,) = await at_watch(join, box, "kiosk")
    booked = await kiosk.book(box.seats[:1], user_id=box.user_id("alice"))
    assert (await kiosk.cancel(booked["booking_id"], user_id=ABSENT))["code"] == "unknown_user"
    assert (await kiosk.cancel(booked["booking_id"], user_id=box.user_id("gone")))["code"] == "unknown_user"
    assert (await kiosk.cancel(booked["booking_id"], user_id=box.user_id("alice")))["status"] == "cancelled"


async def test_a_cancellation_lasts_across_a_restart(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    booking_id = new_id()
    await alice.book(box.seats[:1], booking_id=booking_id)
    cancelled = await alice.cancel(booking_id)
    await box.close()
    await box.reopen()
    alice = await join(box, "alice")
    await alice.subscribe(f"booking/confirm/{booking_id}")
    present = await alice.hears("booking/confirm/+")
    assert (present.payload, present.retain) == (cancelled.payload, True)
