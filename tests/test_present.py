"""The present: what each subscriber gets first, and that it stays encoded until it changes."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from small_cinema import (
    ALICE,
    BOB,
    HOUR,
    KIOSK,
    LATE_SHOWING,
    MANAGER,
    NOW,
    ROLES,
    SEATS,
    SHOWING,
    Desk,
    an_id,
    sender_of,
)

from broker.plugin import Identity, Present
from plugins.booking.cinema import Decided, Seat, Showing
from plugins.booking.present import (
    BookingsPresent,
    Copy,
    HoldsPresent,
    LiveShowing,
    Plan,
    SeatsPresent,
    ShowingsPresent,
    confirmation,
)
from plugins.booking.reading import snapshot
from plugins.booking.wire import PlanSeat, PresentSeat, SeatPlan, ShowingRequest, iso

GUEST = Identity(None, None, "guest")
BOOKING = an_id(0xB0)


def identity(user_id: str) -> Identity:
    return Identity(user_id, "name", ROLES[user_id])


class Watched:
    """A desk whose changes go into a copy, and the four presents of it."""

    def __init__(self, path: Path) -> None:
        self.desk = Desk(path)
        self.copy = Copy.of(snapshot(self.desk.db, NOW))
        of = (lambda: self.copy, lambda: self.desk.now)
        self.seats = SeatsPresent(*of)
        self.showings = ShowingsPresent(*of)
        self.bookings = BookingsPresent(*of, self.read_nothing)
        self.holds = HoldsPresent(*of)

    @staticmethod
    async def read_nothing(booking_id: str) -> None:
        return None

    def take(self, decided: Decided[Any]) -> Any:
        self.copy.apply(decided.effects)
        return decided.answer

    def get(self, present: Present, topic_filter: str, who: Identity = GUEST) -> list[dict[str, Any]]:
        return [
            json.loads(message.payload)
            for topic in present.topics(topic_filter, who)
            for message in present.messages(topic, who)
        ]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "cinema.db")


def test_seats_come_in_room_order_with_one_version(watched: Watched) -> None:
    watched.take(watched.desk.book(ALICE, SEATS[3:5]))
    watched.take(watched.desk.hold(BOB, SEATS[7:8]))
    seats = watched.get(watched.seats, f"seats/status/{SHOWING}")
    assert [seat["seat_id"] for seat in seats] == list(SEATS)
    assert {seat["version"] for seat in seats} == {3}
    assert [n for n, seat in enumerate(seats) if seat["status"] == "booked"] == [3, 4]
    assert [n for n, seat in enumerate(seats) if seat["status"] == "reserved"] == [7]


def test_an_assembled_message_is_what_the_model_would_write() -> None:
    seats = [Seat(an_id(n), row, n, "a “type”\\", n, 2) for n, row in enumerate(['"', "é", "A"])]
    showing = Showing(SHOWING, "t", "r", "R", 0, 1, 0, {}, "EUR", "scheduled", 7)
    live = LiveShowing(showing, Plan(seats))
    live.set_state(seats[1].seat_id, "booked")
    for seat, state, message in zip(seats, live.states, live.seat_messages(NOW), strict=True):
        model = PresentSeat(
            showing_id=SHOWING,
            seat_id=seat.seat_id,
            status=state,
            version=7,
            timestamp=iso(NOW),
            row=seat.row,
            number=seat.number,
            type=seat.type,
            x=seat.x,
            y=seat.y,
        )
        assert message.payload == model.encode()
        assert message.qos == 0
    plan = SeatPlan(
        showing_id=SHOWING,
        version=7,
        seats=[PlanSeat(status=state, **asdict(seat)) for seat, state in zip(seats, live.states, strict=True)],
    )
    assert live.seat_plan() == plan.encode()


def test_a_present_is_the_same_object_until_it_changes(watched: Watched) -> None:
    topics = (
        (watched.seats, f"seats/status/{SHOWING}", GUEST),
        (watched.showings, f"showing/update/{SHOWING}", GUEST),
        (watched.bookings, f"booking/confirm/{BOOKING}", identity(ALICE)),
        (watched.holds, f"users/{ALICE}/holds", identity(ALICE)),
    )
    watched.take(watched.desk.book(ALICE, SEATS[:1], booking_id=BOOKING))
    watched.take(watched.desk.hold(ALICE, SEATS[1:2]))
    before = [present.messages(topic, who) for present, topic, who in topics]
    watched.take(watched.desk.book(BOB, SEATS[5:6], showing_id=LATE_SHOWING))
    assert all(
        present.messages(topic, who) is known for (present, topic, who), known in zip(topics, before, strict=True)
    )
    watched.take(watched.desk.hold(ALICE, SEATS[2:3]))
    watched.take(watched.desk.cancel(ALICE, BOOKING))
    assert all(
        present.messages(topic, who) is not known and present.messages(topic, who) != known
        for (present, topic, who), known in zip(topics, before, strict=True)
    )


def test_wildcards_bring_the_showings_in_sight_by_their_start(watched: Watched) -> None:
    for topic_filter in ("seats/status/#", "seats/status/+", "seats/#"):
        topics = list(watched.seats.topics(topic_filter, GUEST))
        assert topics == [f"seats/status/{SHOWING}", f"seats/status/{LATE_SHOWING}"]
    assert [update["showing_id"] for update in watched.get(watched.showings, "showing/update/+")] == [
        SHOWING,
        LATE_SHOWING,
    ]
    for other in ("booking/confirm/#", "users/#", "#", "+/#", "seats/status", f"seats/status/{SHOWING}/x"):
        assert list(watched.seats.topics(other, GUEST)) == []
    watched.desk.now = NOW + 12 * HOUR
    assert list(watched.seats.topics("seats/status/#", GUEST)) == [f"seats/status/{LATE_SHOWING}"]
    assert list(watched.seats.topics(f"seats/status/{SHOWING}", GUEST)) == []


def test_a_cancelled_showing_has_no_present_but_who_was_slow_still_learns_of_it(watched: Watched) -> None:
    request = ShowingRequest.model_validate({"action": "cancel", "showing": {"showing_id": SHOWING}})
    watched.take(watched.desk.run(watched.desk.ledger.change_showing, sender_of(MANAGER), request))
    topic = f"showing/update/{SHOWING}"
    assert list(watched.showings.topics(topic, GUEST)) == []
    assert list(watched.seats.topics(f"seats/status/{SHOWING}", GUEST)) == []
    (message,) = watched.showings.messages(topic, GUEST)
    assert json.loads(message.payload)["status"] == "cancelled"


def test_only_seats_and_showings_replace_a_backlog(watched: Watched) -> None:
    for topic in (
        f"seats/status/{SHOWING}",
        f"showing/update/{SHOWING}",
        f"booking/confirm/{BOOKING}",
        "users/x/holds",
    ):
        replacing = [
            present
            for present in (watched.seats, watched.showings, watched.bookings, watched.holds)
            if present.replaces_backlog(topic)
        ]
        assert len(replacing) == topic.startswith(("seats/", "showing/"))


def test_a_booking_is_shown_to_its_owner_its_requester_and_managers(watched: Watched) -> None:
    watched.take(watched.desk.book(KIOSK, SEATS[:1], user_id=ALICE, booking_id=BOOKING))
    topic = f"booking/confirm/{BOOKING}"
    seen_by = [
        user_id for user_id in (ALICE, BOB, KIOSK, MANAGER) if watched.get(watched.bookings, topic, identity(user_id))
    ]
    assert seen_by == [ALICE, KIOSK, MANAGER]
    assert watched.bookings.messages(topic, identity(BOB)) == ()
    assert watched.bookings.messages(topic, GUEST) == ()


def test_a_present_booking_is_byte_for_byte_what_was_told(watched: Watched) -> None:
    outcome = watched.take(watched.desk.book(ALICE, SEATS[:1], booking_id=BOOKING))
    rebuilt = Copy.of(snapshot(watched.desk.db, NOW))
    known = rebuilt.outcome(BOOKING)
    assert known is not None
    assert rebuilt.confirm_messages(known)[0].payload == confirmation(outcome).encode()


def test_mine_are_the_bookings_of_showings_not_over_without_failures(watched: Watched) -> None:
    kept = watched.take(watched.desk.book(ALICE, SEATS[:1])).booking_id
    cancelled = watched.take(watched.desk.book(ALICE, SEATS[1:2])).booking_id
    watched.take(watched.desk.cancel(ALICE, cancelled))
    watched.take(watched.desk.book(BOB, SEATS[2:3]))
    watched.take(watched.desk.book(ALICE, SEATS[2:3], booking_id=BOOKING))
    watched.take(watched.desk.book(MANAGER, SEATS[9:10]))
    late = watched.take(watched.desk.book(KIOSK, SEATS[3:4], user_id=ALICE, showing_id=LATE_SHOWING)).booking_id
    for topic_filter in ("booking/confirm/+", "booking/confirm/#"):
        mine = watched.get(watched.bookings, topic_filter, identity(ALICE))
        assert {booking["booking_id"] for booking in mine} == {kept, cancelled, late}
        assert watched.get(watched.bookings, topic_filter, identity(MANAGER)) == []
    watched.desk.now = NOW + 12 * HOUR
    assert [b["booking_id"] for b in watched.get(watched.bookings, "booking/confirm/+", identity(ALICE))] == [late]


def test_a_kiosks_mine_are_those_of_its_last_hour(watched: Watched) -> None:
    watched.take(watched.desk.book(KIOSK, SEATS[:1]))
    watched.desk.now += HOUR
    recent = watched.take(watched.desk.book(KIOSK, SEATS[1:2])).booking_id
    assert [b["booking_id"] for b in watched.get(watched.bookings, "booking/confirm/+", identity(KIOSK))] == [recent]


def test_an_inbox_begins_with_the_running_holds_for_and_by_oneself(watched: Watched) -> None:
    watched.take(watched.desk.hold(KIOSK, SEATS[:2], user_id=ALICE, booking_id=BOOKING))
    watched.desk.now += 10
    watched.take(watched.desk.hold(ALICE, SEATS[2:3]))
    own, placed = f"users/{ALICE}/holds", f"users/{KIOSK}/holds"
    first, second = watched.get(watched.holds, own, identity(ALICE))
    assert (first["seat_ids"], first["booking_id"], first["status"]) == (list(SEATS[:2]), BOOKING, "held")
    assert (second["seat_ids"], second["expires_at"]) == ([SEATS[2]], iso(NOW + 310))
    assert watched.get(watched.holds, placed, identity(KIOSK)) == [first | {"timestamp": iso(watched.desk.now)}]
    for topic_filter in (f"users/{ALICE}/#", "users/+/holds", "users/#", "users/+/#"):
        assert list(watched.holds.topics(topic_filter, identity(ALICE))) == [own]
    assert watched.get(watched.holds, own, identity(BOB)) == []
    assert watched.get(watched.holds, own, identity(MANAGER)) == []
    assert watched.get(watched.holds, "users/+/holds", identity(BOB)) == []


def test_a_manager_gets_a_present_of_the_own_inbox_alone(watched: Watched) -> None:
    watched.take(watched.desk.hold(MANAGER, SEATS[:1]))
    assert len(watched.get(watched.holds, f"users/{MANAGER}/holds", identity(MANAGER))) == 1
    for topic_filter in ("users/+/holds", "users/#", "#"):
        assert watched.get(watched.holds, topic_filter, identity(MANAGER)) == []


def test_what_is_over_leaves_the_memory(watched: Watched) -> None:
    watched.take(watched.desk.book(ALICE, SEATS[:1]))
    watched.take(watched.desk.book(ALICE, SEATS[:11], booking_id=BOOKING))
    watched.copy.evict(NOW + 12 * HOUR)
    assert set(watched.copy.showings) == {LATE_SHOWING}
    assert set(watched.copy.outcomes) == {BOOKING}
    watched.copy.evict(NOW + 24 * HOUR)
    assert (watched.copy.outcomes, watched.copy._outcomes_of) == ({}, {})


def test_a_failure_that_is_kept_no_longer_is_not_shown(watched: Watched) -> None:
    watched.take(watched.desk.book(ALICE, SEATS[:11], booking_id=BOOKING))
    assert watched.copy.outcome(BOOKING) is not None
    watched.desk.now += 24 * HOUR
    watched.take(watched.desk.run(watched.desk.ledger.purge))
    assert watched.copy.outcome(BOOKING) is None


def test_two_hundred_seats_are_encoded_in_well_under_a_millisecond() -> None:
    seats = [Seat(an_id(n), "A", n, "standard", n, 0) for n in range(200)]
    live = LiveShowing(Showing(SHOWING, "t", "r", "R", 0, 1, 0, {}, "EUR", "scheduled", 0), Plan(seats))
    best = 1.0
    for _ in range(20):
        live.changed()
        begun = time.perf_counter()
        live.seat_messages(NOW)
        best = min(best, time.perf_counter() - begun)
    assert best < 0.001
