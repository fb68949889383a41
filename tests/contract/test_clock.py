"""The wall clock is set, as when the network tells a box without a battery the time: no hold is lost or eternal."""

from __future__ import annotations

from datetime import datetime

import pytest

from contract.conftest import Join
from contract.house import HOUR, PAST_SHOWING, SHOWING, Premises, new_id
from contract.people import Heard, Person

SET_BY = pytest.mark.parametrize("set_by", [5 * HOUR, -5 * HOUR], ids=["forward", "back"])


def seconds_left(box: Premises, message: Heard) -> float:
    return datetime.fromisoformat(message["expires_at"]).timestamp() - box.clock()


async def people(join: Join, box: Premises, *names: str) -> list[Person]:
    """They hear what they are told of their own holds and bookings."""
    joined = [await join(box, name) for name in names]
    for person in joined:
        await person.watch()
    return joined


@SET_BY
async def test_the_first_command_after_the_clock_is_set_finds_each_hold_its_owners_for_the_time_that_was_left(
    box: Premises, join: Join, set_by: float
) -> None:
    alice, bob, kiosk = await people(join, box, "alice", "bob", "kiosk")
    booking_id = new_id()
    await alice.hold(box.seats[:3])
    await kiosk.hold(box.seats[3:4], booking_id=booking_id)
    box.clock.forward(100)
    alice.forget()
    box.clock.set_by(set_by)

    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    for holder in (alice, kiosk):
        told = await holder.hears("users/+/holds", lambda m: m["status"] == "held")
        assert seconds_left(box, told) == pytest.approx(200, abs=3)
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"
    assert (await kiosk.book(box.seats[3:4], booking_id=booking_id))["status"] == "confirmed"
    box.clock.forward(190)
    assert (await bob.book(box.seats[1:2]))["code"] == "seats_unavailable"
    box.clock.forward(11)
    assert (await bob.book(box.seats[1:2]))["status"] == "confirmed"
    assert sorted((await alice.hears("users/+/holds", lambda m: m["status"] == "expired"))["seat_ids"]) == sorted(
        box.seats[1:3]
    )


@SET_BY
async def test_the_maximum_counts_on_though_the_clock_is_set(box: Premises, join: Join, set_by: float) -> None:
    (alice,) = await people(join, box, "alice")
    for _ in range(3):
        await alice.hold(box.seats[:1])
        box.clock.forward(250)
    await alice.release(box.seats[:1])
    box.clock.set_by(set_by)
    assert seconds_left(box, await alice.hold(box.seats[:1])) == pytest.approx(150, abs=3)


@SET_BY
async def test_a_hold_that_moved_with_the_clock_runs_on_across_a_restart(
    box: Premises, join: Join, set_by: float
) -> None:
    (alice,) = await people(join, box, "alice")
    await alice.hold(box.seats[:2])
    box.clock.forward(100)
    box.clock.set_by(set_by)  # nobody asks anything of the box between this and its stop
    await box.close()
    await box.reopen()
    alice, bob = await join(box, "alice"), await join(box, "bob")
    await bob.watch()
    await alice.subscribe("users/+/holds")
    assert seconds_left(box, await alice.hears("users/+/holds")) == pytest.approx(200, abs=3)
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    await alice.watch()
    assert (await alice.book(box.seats[:1]))["status"] == "confirmed"
    box.clock.forward(201)
    assert (await bob.book(box.seats[1:2]))["status"] == "confirmed"


async def test_a_box_that_starts_hours_behind_keeps_its_holds_and_moves_them_when_its_clock_is_set_right(
    box: Premises, join: Join
) -> None:
    (alice,) = await people(join, box, "alice")
    await alice.hold(box.seats[:1])
    await box.close()
    box.clock.set_by(-5 * HOUR)
    await box.reopen()
    alice, bob = await people(join, box, "alice", "bob")
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    box.clock.forward(100)
    box.clock.set_by(5 * HOUR)
    assert (await bob.book(box.seats[:1]))["code"] == "seats_unavailable"
    told = await alice.hears("users/+/holds", lambda m: m["status"] == "held")
    assert seconds_left(box, told) == pytest.approx(200, abs=3)
    box.clock.forward(201)
    assert (await bob.book(box.seats[:1]))["status"] == "confirmed"


async def test_showings_and_bookings_that_were_over_by_a_clock_ahead_are_there_again_when_it_is_set_right(
    box: Premises, join: Join
) -> None:
    alice, bob = await people(join, box, "alice", "bob")
    booking_id = (await alice.book(box.seats[:1]))["booking_id"]
    box.clock.set_by(30 * HOUR)
    assert (await bob.hold(box.seats[1:2]))["code"] == "sales_closed"
    box.clock.set_by(-30 * HOUR)
    assert (await bob.hold(box.seats[1:2]))["status"] == "held"
    again, guest = await join(box, "alice"), await join(box)
    await again.subscribe("booking/confirm/+")
    assert (await again.hears("booking/confirm/+"))["booking_id"] == booking_id
    await guest.subscribe("seats/status/#")
    await guest.settle()
    present = [m for m in guest.heard if m["showing_id"] == SHOWING]
    assert [m["status"] for m in present[:2]] == ["booked", "reserved"]
    assert PAST_SHOWING not in {m["showing_id"] for m in guest.heard}
