"""Holds: ``seats/hold``, ``seats/release``, and how they end."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from contract.conftest import Join, OpenHouse
from contract.house import (
    ABSENT,
    HOUR,
    LATE_SHOWING,
    MINUTE,
    RUNNING_SHOWING,
    SHOWING,
    SMALL_SHOWING,
    Premises,
    new_id,
)
from contract.people import Heard, Person


def seconds_left(box: Premises, message: Heard) -> float:
    return datetime.fromisoformat(message["expires_at"]).timestamp() - box.clock()


async def at_watch(join: Join, box: Premises, *names: str) -> list[Person]:
    people = [await join(box, name) for name in names]
    for person in people:
        await person.watch()
    return people


async def test_a_hold_is_answered_with_the_fields_of_the_contract(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    told = await alice.hold(box.seats[:2])
    assert told.topic == f"users/{alice.user_id}/holds"
    assert set(told.body) == {"showing_id", "seat_ids", "status", "expires_at", "message", "timestamp"}
    assert (told["showing_id"], told["seat_ids"], told["status"]) == (SHOWING, list(box.seats[:2]), "held")
    assert (told.qos, told.retain) == (1, False)
    assert 295 < seconds_left(box, told) <= 300


async def test_a_hold_that_names_a_booking_is_told_with_its_booking_id(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    booking_id = new_id()
    assert (await alice.hold(box.seats[:1], booking_id=booking_id))["booking_id"] == booking_id
    assert (await alice.release(box.seats[:1], booking_id=booking_id))["booking_id"] == booking_id


async def test_held_seats_are_reserved_for_all_and_available_again_when_released(box: Premises, join: Join) -> None:
    guest = await join(box)
    await guest.watch(f"seats/status/{SHOWING}")
    (alice,) = await at_watch(join, box, "alice")
    await alice.hold(box.seats[:2])
    assert [(m["seat_id"], m["status"]) for m in await guest.hear("seats/status/#", 2)] == [
        (seat, "reserved") for seat in box.seats[:2]
    ]
    await alice.release(box.seats[:2])
    assert [(m["seat_id"], m["status"]) for m in await guest.hear("seats/status/#", 2)] == [
        (seat, "available") for seat in box.seats[:2]
    ]


async def test_a_hold_takes_all_its_seats_or_none_and_names_those_in_the_way(box: Premises, join: Join) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    await bob.hold(box.seats[:1])
    told = await alice.hold(box.seats[:3])
    assert set(told.body) == {"showing_id", "seat_ids", "status", "message", "timestamp", "code"}
    assert (told["status"], told["code"], told["seat_ids"]) == ("rejected", "seats_unavailable", [box.seats[0]])
    assert (await bob.hold(box.seats[1:3]))["status"] == "held"


@pytest.mark.parametrize(
    ("showing_id", "seats", "code"),
    [
        (ABSENT, slice(0, 1), "unknown_showing"),
        (SMALL_SHOWING, slice(0, 1), "unknown_seat"),
        (SHOWING, slice(0, 11), "too_many_seats"),
        (RUNNING_SHOWING, slice(0, 1), "sales_closed"),
    ],
)
async def test_what_stands_against_a_hold_comes_with_rejected(
    box: Premises, join: Join, showing_id: str, seats: slice, code: str
) -> None:
    for person in await at_watch(join, box, "alice", "kiosk"):
        told = await person.hold(box.seats[seats], showing_id)
        assert told.topic == f"users/{person.user_id}/holds"
        assert (told["status"], told["code"]) == ("rejected", code)
        assert told["seat_ids"] == ([box.seats[0]] if code == "unknown_seat" else [])


# How long


async def test_a_hold_ends_by_itself_and_all_are_told(open_house: OpenHouse, join: Join) -> None:
    box = await open_house(booking={"hold_seconds": 1})
    guest = await join(box)
    await guest.watch(f"seats/status/{SHOWING}")
    (alice,) = await at_watch(join, box, "alice")
    booking_id = new_id()
    await alice.hold(box.seats[:2], booking_id=booking_id)
    ended = await alice.hears("users/+/holds", lambda m: m["status"] == "expired")
    assert (sorted(ended["seat_ids"]), ended["booking_id"]) == (sorted(box.seats[:2]), booking_id)
    live = await guest.hear("seats/status/#", 4)
    assert [m["status"] for m in live] == ["reserved", "reserved", "available", "available"]
    assert [m["version"] for m in live] == [1, 2, 3, 4]
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"


async def test_an_expired_hold_is_in_nobodys_way_though_nothing_has_happened_since(box: Premises, join: Join) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    await alice.hold(box.seats[:1])
    box.clock.forward(301)
    assert (await bob.book(box.seats[:1]))["status"] == "confirmed"
    assert (await alice.hears("users/+/holds"))["status"] == "expired"


async def test_a_hold_runs_on_across_a_restart(box: Premises, join: Join) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    held = await alice.hold(box.seats[:1])
    await box.close()
    await box.reopen()
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await alice.subscribe("users/+/holds")
    assert (await alice.hears("users/+/holds"))["expires_at"] == held["expires_at"]
    await bob.watch()
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    await alice.watch()
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"


async def test_a_hold_that_runs_out_while_the_box_is_off_is_over_when_it_opens(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    await alice.hold(box.seats[:1])
    await box.close()
    box.clock.forward(301)
    await box.reopen()
    guest = await join(box)
    await guest.subscribe(f"seats/status/{SHOWING}")
    present = await guest.hear("seats/status/#", len(box.seats))
    assert {m["status"] for m in present} == {"available"}
    assert {m["version"] for m in present} == {2}


async def test_a_hold_that_runs_out_after_a_restart_is_told_then(open_house: OpenHouse, join: Join) -> None:
    box = await open_house(booking={"hold_seconds": 2})
    (alice,) = await at_watch(join, box, "alice")
    await alice.hold(box.seats[:1])
    await box.close()
    await box.reopen()
    alice, guest = await join(box, "alice"), await join(box)
    await alice.subscribe("users/+/holds")
    await guest.watch(f"seats/status/{SHOWING}")
    assert (await alice.hears("users/+/holds", lambda m: m["status"] == "expired"))["seat_ids"] == [box.seats[0]]
    assert (await guest.hears("seats/status/#"))["status"] == "available"


async def test_holding_again_extends_and_is_no_change_of_the_seat(box: Premises, join: Join) -> None:
    guest = await join(box)
    await guest.watch(f"seats/status/{SHOWING}")
    (alice,) = await at_watch(join, box, "alice")
    await alice.hold(box.seats[:1])
    box.clock.forward(200)
    assert 295 < seconds_left(box, await alice.hold(box.seats[:1])) <= 300
    await alice.release(box.seats[:1])
    live = await guest.hear("seats/status/#", 2)
    assert [(m["status"], m["version"]) for m in live] == [("reserved", 1), ("available", 2)]


async def test_expires_at_is_the_earliest_of_its_seats(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    first = await alice.hold(box.seats[:1])
    box.clock.forward(100)
    await alice.hold(box.seats[1:2])
    again = await join(box, "alice")
    await again.subscribe("users/+/holds")
    present = await again.hears("users/+/holds")
    assert (set(present["seat_ids"]), present["expires_at"]) == (set(box.seats[:2]), first["expires_at"])


async def test_a_customers_hold_lasts_at_most_hold_max_seconds_and_then_not_again_for_hold_seconds(
    box: Premises, join: Join
) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    left = []
    for _ in range(4):
        left.append(seconds_left(box, await alice.hold(box.seats[:1])))
        box.clock.forward(250)
    assert left[:3] == pytest.approx([300, 300, 300], abs=3)
    assert left[3] == pytest.approx(150, abs=3)  # 750 of 900 were gone
    told = await alice.hold(box.seats[:2])
    assert (told["status"], told["code"], told["seat_ids"]) == ("rejected", "seats_unavailable", [box.seats[0]])
    # The seat is free, for others and for a booking at once, but not to hold it on.
    assert (await bob.hold(box.seats[:1]))["status"] == "held"
    await bob.release(box.seats[:1])
    box.clock.forward(190)  # 290 seconds after the end
    assert (await alice.hold(box.seats[:1]))["status"] == "rejected"
    box.clock.forward(15)
    assert (await alice.hold(box.seats[:1]))["status"] == "held"


async def test_a_hold_begun_again_soon_after_its_release_counts_from_the_first(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    for _ in range(3):
        await alice.hold(box.seats[:1])
        box.clock.forward(250)
        await alice.release(box.seats[:1])
    assert seconds_left(box, await alice.hold(box.seats[:1])) == pytest.approx(150, abs=3)


async def test_the_maximum_counts_across_a_restart(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    for _ in range(3):
        await alice.hold(box.seats[:1])
        box.clock.forward(250)
    await alice.release(box.seats[:1])
    await box.close()
    await box.reopen()
    (alice,) = await at_watch(join, box, "alice")
    assert seconds_left(box, await alice.hold(box.seats[:1])) == pytest.approx(150, abs=3)


async def test_for_a_kiosk_the_maximum_counts_for_each_booking_anew(box: Premises, join: Join) -> None:
    (kiosk,) = await at_watch(join, box, "kiosk")
    first, second = new_id(), new_id()
    for _ in range(4):
        await kiosk.hold(box.seats[:1], booking_id=first)
        box.clock.forward(225)
    assert (await kiosk.hold(box.seats[:1], booking_id=first))["status"] == "rejected"
    assert (await kiosk.hold(box.seats[:1], booking_id=second))["status"] == "held"


# Whose


async def test_a_hold_is_for_its_user_and_in_everybody_elses_way(box: Premises, join: Join) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    await alice.hold(box.seats[:2])
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    assert (await bob.hold(box.seats[:1]))["code"] == "seats_unavailable"
    told = await bob.release(box.seats[:2])
    assert (told["status"], told["seat_ids"]) == ("released", [])
    assert (await alice.book(box.seats[:2]))["status"] == "confirmed"


@pytest.mark.parametrize("clerk", ["kiosk", "manager"])
async def test_what_a_customer_holds_the_house_cannot_book_extend_or_release_for_them(
    box: Premises, join: Join, clerk: str
) -> None:
    alice, other = await at_watch(join, box, "alice", clerk)
    await alice.hold(box.seats[:1])
    if clerk == "manager":  # who otherwise hears what alice is told, too
        await other.client.unsubscribe(["users/+/holds", "booking/confirm/+"])
        await other.watch(f"users/{other.user_id}/holds", "booking/confirm/+")
    assert (await other.book(box.seats[:1], user_id=alice.user_id))["code"] == "seats_unavailable"
    assert (await other.hold(box.seats[:1], user_id=alice.user_id))["code"] == "seats_unavailable"
    assert (await other.release(box.seats[:1], user_id=alice.user_id))["seat_ids"] == []
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"


async def test_a_hold_that_names_a_booking_is_for_that_booking_alone(box: Premises, join: Join) -> None:
    (alice,) = await at_watch(join, box, "alice")
    booking_id = new_id()
    await alice.hold(box.seats[:1], booking_id=booking_id)
    assert (await alice.book(box.seats[:1]))["code"] == "seats_unavailable"
    assert (await alice.hold(box.seats[:1]))["code"] == "seats_unavailable"
    assert (await alice.book(box.seats[:1], booking_id=booking_id))["status"] == "confirmed"


async def test_two_kiosks_of_one_account_do_not_share_their_holds(box: Premises, join: Join) -> None:
    one, two = await at_watch(join, box, "kiosk", "kiosk")
    here, there = new_id(), new_id()
    await one.hold(box.seats[:2], booking_id=here)
    assert (await two.hold(box.seats[:2], booking_id=there))["status"] == "rejected"
    assert (await two.book(box.seats[:1], booking_id=there))["code"] == "seats_unavailable"
    assert (await two.release(box.seats[:2], booking_id=there))["seat_ids"] == []
    assert (await two.release(box.seats[:2]))["seat_ids"] == []
    assert (await one.book(box.seats[:2], booking_id=here))["status"] == "confirmed"


async def test_a_kiosks_hold_for_a_customer_is_told_to_both_and_either_may_book_extend_and_release_it(
    box: Premises, join: Join
) -> None:
    kiosk, alice, bob = await at_watch(join, box, "kiosk", "alice", "bob")
    held = await kiosk.hold(box.seats[:4], user_id=alice.user_id)
    assert held.topic in (f"users/{kiosk.user_id}/holds", f"users/{alice.user_id}/holds")
    theirs = await alice.hears("users/+/holds")
    assert theirs.topic == f"users/{alice.user_id}/holds"
    assert (theirs["status"], theirs["seat_ids"]) == ("held", list(box.seats[:4]))
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"
    assert (await kiosk.book(box.seats[1:2], user_id=alice.user_id))["status"] == "confirmed"
    box.clock.forward(100)
    assert seconds_left(box, await alice.hold(box.seats[2:4])) == pytest.approx(300, abs=3)
    assert (await alice.release(box.seats[2:3]))["seat_ids"] == [box.seats[2]]
    assert (await kiosk.release(box.seats[3:4], user_id=alice.user_id))["seat_ids"] == [box.seats[3]]


async def test_the_present_of_an_inbox_has_the_holds_for_one_and_those_one_placed(box: Premises, join: Join) -> None:
    kiosk, alice = await at_watch(join, box, "kiosk", "alice")
    await kiosk.hold(box.seats[:1], user_id=alice.user_id)
    await kiosk.hold(box.seats[1:2])
    for person, seats in ((kiosk, box.seats[:2]), (alice, box.seats[:1])):
        again = await join(box, person.name)
        await again.subscribe(f"users/{again.user_id}/holds")
        await again.settle()
        assert all(
            m.retain and m.topic == f"users/{again.user_id}/holds" and m["status"] == "held" for m in again.heard
        )
        assert sorted(seat for m in again.heard for seat in m["seat_ids"]) == sorted(seats)


async def test_a_release_frees_a_bookings_holds_with_its_booking_id_and_the_others_without(
    box: Premises, join: Join
) -> None:
    (alice,) = await at_watch(join, box, "alice")
    booking_id = new_id()
    await alice.hold(box.seats[:2], booking_id=booking_id)
    await alice.hold(box.seats[2:4])
    told = await alice.release(box.seats[:4])
    assert (told["status"], told["seat_ids"]) == ("released", list(box.seats[2:4]))
    assert (await alice.release(box.seats[:1], booking_id=booking_id))["seat_ids"] == [box.seats[0]]
    assert (await alice.release(box.seats[:4], booking_id=booking_id))["seat_ids"] == [box.seats[1]]
    assert (await alice.release(box.seats[:4]))["seat_ids"] == []


async def test_a_hold_that_names_somebody_elses_booking_is_a_conflict_told_to_the_sender_alone(
    box: Premises, join: Join
) -> None:
    alice, bob = await at_watch(join, box, "alice", "bob")
    booking_id = new_id()
    await alice.book(box.seats[:1], booking_id=booking_id)
    told = await bob.hold(box.seats[1:2], booking_id=booking_id)
    assert (told.topic, told["code"]) == (f"users/{bob.user_id}/errors", "conflict")
    told = await alice.hold(box.seats[1:2], booking_id=booking_id)  # one's own, with other contents
    assert (told.topic, told["code"]) == (f"users/{alice.user_id}/errors", "conflict")


@pytest.mark.parametrize("topic", ["seats/hold", "seats/release"])
async def test_holding_and_releasing_for_others_is_the_houses_alone(box: Premises, join: Join, topic: str) -> None:
    alice, kiosk = await at_watch(join, box, "alice", "kiosk")
    for person, user_id, code in (
        (alice, box.user_id("bob"), "forbidden"),
        (alice, ABSENT, "forbidden"),
        (kiosk, ABSENT, "unknown_user"),
        (kiosk, box.user_id("gone"), "unknown_user"),
    ):
        await person.request(topic, user_id=user_id, showing_id=SHOWING, seat_ids=[box.seats[0]])
        told = await person.answer()
        assert (told.topic, told["code"]) == (f"users/{person.user_id}/errors", code)


# Caps


async def test_a_customer_holds_at_most_max_held_seats_over_all_showings(box: Premises, join: Join) -> None:
    alice, vera, kiosk = await at_watch(join, box, "alice", "vera", "kiosk")
    for person in (alice, vera):
        place = 0 if person is alice else 12
        await person.hold(box.seats[place : place + 6])
        assert (await person.hold(box.seats[place : place + 4], LATE_SHOWING))["status"] == "held"
        told = await person.hold(box.seats[place + 4 : place + 5], LATE_SHOWING)
        assert (told["status"], told["code"]) == ("rejected", "too_many_seats")
        assert (await person.hold(box.seats[place : place + 6]))["status"] == "held"  # extending is no more seats
    for place in (6, 24, 30):
        assert (await kiosk.hold(box.seats[place : place + 6]))["status"] == "held"


async def test_customers_and_visitors_of_one_address_hold_at_most_max_held_per_address(
    open_house: OpenHouse, join: Join
) -> None:
    box = await open_house(booking={"max_held_per_address": 8})
    alice, vera, kiosk = await at_watch(join, box, "alice", "vera", "kiosk")
    assert (await alice.hold(box.seats[:5]))["status"] == "held"
    assert (await kiosk.hold(box.seats[5:10]))["status"] == "held"  # the house does not count
    assert (await vera.hold(box.seats[10:13]))["status"] == "held"
    told = await vera.hold(box.seats[13:14], LATE_SHOWING)
    assert (told["status"], told["code"]) == ("rejected", "too_many_seats")
    assert (await vera.hold(box.seats[10:13]))["status"] == "held"
    await alice.release(box.seats[:1])
    assert (await vera.hold(box.seats[13:14], LATE_SHOWING))["status"] == "held"


async def test_many_who_hold_the_same_seats_get_them_once(box: Premises, join: Join) -> None:
    people = await at_watch(join, box, "alice", "bob", "carol", "dave", "vera", "kiosk")
    told = await asyncio.gather(*(person.hold(box.seats[:3]) for person in people))
    assert sorted(message["status"] for message in told) == ["held"] + ["rejected"] * 5


async def test_hold_seconds_is_a_setting(open_house: OpenHouse, join: Join) -> None:
    box = await open_house(booking={"hold_seconds": 3600, "hold_max_seconds": 2 * HOUR})
    (alice,) = await at_watch(join, box, "alice")
    assert seconds_left(box, await alice.hold(box.seats[:1])) == pytest.approx(60 * MINUTE, abs=3)
