"""The ledger on a real SQLite file: what its transactions promise."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_cinema import (
    ALICE,
    BOB,
    DISABLED,
    HOUR,
    KIOSK,
    LATE_SHOWING,
    MANAGER,
    NOW,
    OTHER_KIOSK,
    OTHER_ROOM,
    OTHER_SEATS,
    ROLES,
    ROOM,
    SEATS,
    SHOWING,
    VISITOR,
    Desk,
    add_room,
    add_showing,
    an_id,
    make_users,
    sender_of,
)

from broker.plugin import Refusal
from broker.storage.database import connect
from plugins.booking import rules
from plugins.booking.cinema import Decided
from plugins.booking.ledger import migrations
from plugins.booking.reading import find_bookings, snapshot, stored_outcome
from plugins.booking.wire import ShowingRequest, iso_seconds

DAY = 24 * HOUR
BOOKING, OTHER_BOOKING = an_id(0xB0), an_id(0xB1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "cinema.db")
    yield desk
    desk.db.conn.close()


def showing_request(action: str, **fields: Any) -> ShowingRequest:
    return ShowingRequest.model_validate({"action": action, "showing": {"showing_id": SHOWING} | fields})


def change(desk: Desk, action: str, **fields: Any) -> Decided[Any]:
    return desk.run(desk.ledger.change_showing, sender_of(MANAGER), showing_request(action, **fields))


def claims(desk: Desk, showing_id: str = SHOWING) -> dict[str, str]:
    rows = desk.db.conn.execute("SELECT seat_id, booking_id FROM seat_claims WHERE showing_id = ?", (showing_id,))
    return {seat_id: "booked" if booking_id else "reserved" for seat_id, booking_id in rows}


def refusal_code(caught: pytest.ExceptionInfo[Refusal]) -> str:
    return caught.value.code


# Bookings


def test_a_booking_takes_its_seats_at_the_price_of_their_type(desk: Desk) -> None:
    outcome = desk.book(ALICE, [SEATS[0], SEATS[25]]).answer
    assert (outcome.status, outcome.total_cents, outcome.currency) == ("confirmed", 950 + 1200, "EUR")
    assert len(outcome.number) == 6
    assert claims(desk) == {SEATS[0]: "booked", SEATS[25]: "booked"}


def test_two_kiosks_cannot_take_one_seat(desk: Desk) -> None:
    desk.book(KIOSK, SEATS[:2])
    failed = desk.book(OTHER_KIOSK, SEATS[1:3]).answer
    assert (failed.status, failed.code, failed.seat_ids) == ("failed", "seats_unavailable", (SEATS[1],))
    assert SEATS[2] not in claims(desk)


def test_the_same_request_again_is_the_same_booking(desk: Desk) -> None:
    first = desk.book(ALICE, SEATS[:2], booking_id=BOOKING)
    again = desk.book(ALICE, SEATS[1::-1], booking_id=BOOKING)
    assert again.repeated
    assert again.answer == first.answer
    assert again.effects.seats == []


def test_a_failed_request_again_fails_again_though_the_seat_is_free_now(desk: Desk) -> None:
    taken = desk.book(BOB, SEATS[:1]).answer
    failed = desk.book(ALICE, SEATS[:1], booking_id=BOOKING).answer
    desk.cancel(BOB, taken.booking_id)
    again = desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    assert again.repeated
    assert again.answer == failed


def test_a_cancelled_booking_asked_for_again_is_cancelled(desk: Desk) -> None:
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    desk.cancel(ALICE, BOOKING)
    assert desk.book(ALICE, SEATS[:1], booking_id=BOOKING).answer.status == "cancelled"
    assert claims(desk) == {}


@pytest.mark.parametrize(
    ("sender", "seats", "showing_id"),
    [
        (ALICE, SEATS[:2], SHOWING),
        (ALICE, SEATS[:1], LATE_SHOWING),
        (BOB, SEATS[:1], SHOWING),
        (KIOSK, SEATS[:1], SHOWING),
    ],
)
def test_an_id_with_other_contents_or_of_somebody_else_is_a_conflict(
    desk: Desk, sender: str, seats: tuple[str, ...], showing_id: str
) -> None:
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    with pytest.raises(Refusal) as caught:
        desk.book(sender, seats, booking_id=BOOKING, showing_id=showing_id)
    assert refusal_code(caught) == "conflict"
    with pytest.raises(Refusal) as caught:
        desk.hold(sender, seats, booking_id=BOOKING, showing_id=showing_id)
    assert refusal_code(caught) == "conflict"


def test_another_kiosk_repeating_a_booking_for_the_same_customer_is_a_conflict(desk: Desk) -> None:
    desk.book(KIOSK, SEATS[:1], booking_id=BOOKING, user_id=ALICE)
    assert desk.book(KIOSK, SEATS[:1], booking_id=BOOKING, user_id=ALICE).repeated
    with pytest.raises(Refusal) as caught:
        desk.book(OTHER_KIOSK, SEATS[:1], booking_id=BOOKING, user_id=ALICE)
    assert refusal_code(caught) == "conflict"


def test_a_kiosk_naming_another_user_in_the_same_booking_is_a_conflict(desk: Desk) -> None:
    desk.book(KIOSK, SEATS[:1], booking_id=BOOKING, user_id=ALICE)
    with pytest.raises(Refusal) as caught:
        desk.book(KIOSK, SEATS[:1], booking_id=BOOKING, user_id=BOB)
    assert refusal_code(caught) == "conflict"


@pytest.mark.parametrize("nobody", [DISABLED, an_id(0xDEAD)])
def test_a_kiosk_cannot_book_for_nobody(desk: Desk, nobody: str) -> None:
    with pytest.raises(Refusal) as caught:
        desk.book(KIOSK, SEATS[:1], user_id=nobody)
    assert refusal_code(caught) == "unknown_user"


def test_a_disabled_account_cannot_book(desk: Desk) -> None:
    with pytest.raises(Refusal) as caught:
        desk.book(DISABLED, SEATS[:1])
    assert refusal_code(caught) == "forbidden"


@pytest.mark.parametrize(
    ("seats", "showing_id", "code", "in_the_way"),
    [
        (SEATS[:1], an_id(0xDEAD), "unknown_showing", ()),
        ((SEATS[0], OTHER_SEATS[0]), SHOWING, "unknown_seat", (OTHER_SEATS[0],)),
        (SEATS[:11], SHOWING, "too_many_seats", ()),
    ],
)
def test_failures_are_stored_and_leave_no_trace_on_the_seats(
    desk: Desk, seats: tuple[str, ...], showing_id: str, code: str, in_the_way: tuple[str, ...]
) -> None:
    failed = desk.book(ALICE, seats, booking_id=BOOKING, showing_id=showing_id)
    assert (failed.answer.status, failed.answer.code, failed.answer.seat_ids) == ("failed", code, in_the_way)
    assert stored_outcome(desk.db, BOOKING) == failed.answer
    assert failed.effects.seats == []
    assert claims(desk) == {}


def test_sales_end_at_the_start(desk: Desk) -> None:
    desk.now = NOW + 10 * HOUR - 1
    assert desk.book(ALICE, SEATS[:1]).answer.status == "confirmed"
    desk.now += 1
    assert desk.book(ALICE, SEATS[1:2]).answer.code == "sales_closed"
    assert desk.hold(ALICE, SEATS[1:2]).answer.code == "sales_closed"


def test_failures_are_kept_a_day_and_the_latest_200_of_a_customer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FAILURES_KEPT_PER_CUSTOMER", 3)
    ids = [an_id(0xF00 + n) for n in range(5)]
    forgotten = [desk.book(ALICE, SEATS[:11], booking_id=booking_id).effects.forgotten for booking_id in ids]
    assert forgotten == [[], [], [], [ids[0]], [ids[1]]]
    kiosks = [an_id(0xE00 + n) for n in range(5)]
    assert [desk.book(KIOSK, SEATS[:11], booking_id=i).effects.forgotten for i in kiosks] == [[]] * 5
    desk.now += 24 * HOUR
    assert set(desk.run(desk.ledger.purge).effects.forgotten) == {*ids[2:], *kiosks}
    assert stored_outcome(desk.db, ids[4]) is None


def test_a_number_that_is_taken_is_drawn_again(desk: Desk) -> None:
    numbers = iter(["AAAAAA", "AAAAAA", "BBBBBB"])
    desk.ledger._new_number = lambda: next(numbers)
    assert desk.book(ALICE, SEATS[:1]).answer.number == "AAAAAA"
    assert desk.book(ALICE, SEATS[1:2]).answer.number == "BBBBBB"


# Cancelling


def test_an_owner_cancels_until_half_an_hour_before(desk: Desk) -> None:
    first, second = (desk.book(ALICE, SEATS[n : n + 1]).answer.booking_id for n in (0, 1))
    desk.now = NOW + 9.5 * HOUR
    decided = desk.cancel(ALICE, first)
    assert decided.answer.status == "cancelled"
    assert [(seat.seat_id, seat.status) for seat in decided.effects.seats] == [(SEATS[0], "available")]
    desk.now += 1
    with pytest.raises(Refusal) as caught:
        desk.cancel(ALICE, second)
    assert refusal_code(caught) == "sales_closed"
    assert desk.cancel(MANAGER, second).answer.status == "cancelled"


def test_a_kiosk_cancels_what_it_booked_within_a_quarter_of_an_hour(desk: Desk) -> None:
    first, second = (desk.book(KIOSK, SEATS[n : n + 1], user_id=ALICE).answer.booking_id for n in (0, 1))
    desk.now += 15 * 60
    assert desk.cancel(KIOSK, first).answer.status == "cancelled"
    desk.now += 1
    with pytest.raises(Refusal) as caught:
        desk.cancel(KIOSK, second)
    assert refusal_code(caught) == "forbidden"
    assert desk.cancel(ALICE, second).answer.status == "cancelled"


def test_cancelling_again_answers_cancelled_again(desk: Desk) -> None:
    booking_id = desk.book(ALICE, SEATS[:1]).answer.booking_id
    first = desk.cancel(ALICE, booking_id)
    again = desk.cancel(ALICE, booking_id)
    assert again.repeated
    assert again.answer == first.answer


def test_somebody_elses_booking_is_as_unknown_as_none(desk: Desk) -> None:
    booking_id = desk.book(ALICE, SEATS[:1]).answer.booking_id
    answers = []
    for asked in (booking_id, an_id(0xDEAD)):
        for sender in (BOB, OTHER_KIOSK):
            with pytest.raises(Refusal) as caught:
                desk.cancel(sender, asked)
            answers.append((caught.value.code, caught.value.message))
    assert set(answers) == {("unknown_booking", "There is no such booking.")}


def test_cancelling_a_failed_booking_is_a_conflict(desk: Desk) -> None:
    desk.book(ALICE, SEATS[:11], booking_id=BOOKING)
    with pytest.raises(Refusal) as caught:
        desk.cancel(ALICE, BOOKING)
    assert refusal_code(caught) == "conflict"


def test_what_was_sold_is_kept_after_cancelling(desk: Desk) -> None:
    desk.book(ALICE, [SEATS[25]], booking_id=BOOKING)
    desk.cancel(ALICE, BOOKING)
    change(desk, "update", price="1.00", prices={})
    (record,) = find_bookings(desk.db, of_user=ALICE)
    assert [(seat.row, seat.number, cents) for seat, cents in record.seats] == [("C", 6, 1200)]


# What a command rests on


@pytest.mark.parametrize("change", ["is_active = 0", "role = 'customer'"])
@pytest.mark.parametrize("sender", [KIOSK, MANAGER])
def test_whoever_was_disabled_or_got_another_role_since_changes_nothing(desk: Desk, sender: str, change: str) -> None:
    desk.book(sender, SEATS[:1], booking_id=BOOKING)
    desk.hold(sender, SEATS[1:2])
    before = list(desk.db.conn.iterdump())
    attempts: list[Callable[[], Any]] = [
        lambda: desk.book(sender, SEATS[2:3]),
        lambda: desk.hold(sender, SEATS[2:3]),
        lambda: desk.release(sender, SEATS[1:2]),
        lambda: desk.cancel(sender, BOOKING),
        lambda: desk.ledger.pay(desk.db, sender_of(sender), BOOKING, "cash"),
        lambda: desk.run(desk.ledger.change_showing, sender_of(sender), showing_request("cancel")),
    ]
    desk.db.conn.execute(f"UPDATE users SET {change} WHERE user_id = ?", (sender,))
    for attempt in attempts:
        with pytest.raises(Refusal) as caught:
            attempt()
        assert (refusal_code(caught), caught.value.status) == ("forbidden", 403)
    desk.db.conn.execute("UPDATE users SET is_active = 1, role = ? WHERE user_id = ?", (ROLES[sender], sender))
    assert list(desk.db.conn.iterdump()) == before


# Holds


def test_a_hold_keeps_others_out_until_it_ends(desk: Desk) -> None:
    held = desk.hold(ALICE, SEATS[:2])
    assert (held.answer.status, held.answer.expires_at) == ("held", NOW + 300)
    assert desk.book(BOB, SEATS[1:3]).answer.seat_ids == (SEATS[1],)
    desk.now += 300
    decided = desk.book(BOB, SEATS[1:3])
    assert decided.answer.status == "confirmed"
    assert [(seat.seat_id, seat.status) for seat in decided.effects.seats] == [
        (SEATS[0], "available"),
        (SEATS[1], "available"),
        (SEATS[1], "booked"),
        (SEATS[2], "booked"),
    ]
    (notice,) = decided.effects.notices
    assert (notice.status, notice.inboxes, set(notice.seat_ids)) == ("expired", (ALICE,), set(SEATS[:2]))


def test_a_booking_uses_up_its_seats_of_a_hold_and_the_rest_runs_on(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:3])
    assert desk.book(ALICE, SEATS[:2]).answer.status == "confirmed"
    assert claims(desk) == {SEATS[0]: "booked", SEATS[1]: "booked", SEATS[2]: "reserved"}


def test_a_hold_takes_all_or_nothing(desk: Desk) -> None:
    desk.hold(BOB, SEATS[:1])
    rejected = desk.hold(ALICE, SEATS[:2])
    assert (rejected.answer.status, rejected.answer.code) == ("rejected", "seats_unavailable")
    assert rejected.answer.seat_ids == (SEATS[0],)
    assert rejected.effects.seats == []


def test_two_kiosks_share_an_account_not_their_holds(desk: Desk) -> None:
    desk.hold(KIOSK, SEATS[:1], booking_id=BOOKING)
    assert desk.hold(KIOSK, SEATS[:1], booking_id=OTHER_BOOKING).answer.status == "rejected"
    assert desk.hold(KIOSK, SEATS[:1]).answer.status == "rejected"
    assert desk.book(KIOSK, SEATS[:1], booking_id=OTHER_BOOKING).answer.status == "failed"
    assert desk.release(KIOSK, SEATS[:1], booking_id=OTHER_BOOKING).answer.seat_ids == ()
    assert desk.book(KIOSK, SEATS[:1], booking_id=BOOKING, user_id=ALICE).answer.status == "confirmed"


def test_a_customer_books_what_a_kiosk_held_for_them_and_a_stranger_does_not(desk: Desk) -> None:
    held = desk.hold(KIOSK, SEATS[:1], user_id=ALICE)
    assert held.answer.inboxes == (ALICE, KIOSK)
    assert desk.book(OTHER_KIOSK, SEATS[:1], user_id=ALICE).answer.status == "failed"
    assert desk.book(KIOSK, SEATS[:1], user_id=BOB).answer.status == "failed"
    assert desk.book(ALICE, SEATS[:1]).answer.status == "confirmed"


def test_a_hold_extended_by_whom_it_is_for_stays_the_placing_accounts_with_its_time(desk: Desk) -> None:
    desk.hold(KIOSK, SEATS[:1], user_id=ALICE)
    desk.now += 100
    (extended,) = desk.hold(ALICE, SEATS[:1]).effects.extended
    assert (extended.placed_by, extended.run, extended.since) == (KIOSK, KIOSK, NOW)
    assert snapshot(desk.db, desk.now).holds == [extended]
    assert desk.book(KIOSK, SEATS[:1], user_id=ALICE).answer.status == "confirmed"


def test_the_placing_account_and_whom_it_is_for_may_release_others_may_not(desk: Desk) -> None:
    desk.hold(KIOSK, SEATS[:3], user_id=ALICE)
    assert desk.release(BOB, SEATS[:3]).answer.seat_ids == ()
    assert desk.release(OTHER_KIOSK, SEATS[:3], user_id=ALICE).answer.seat_ids == ()
    released = desk.release(ALICE, SEATS[:1])
    assert released.answer.seat_ids == (SEATS[0],)
    assert [notice.inboxes for notice in released.effects.notices] == [(ALICE,), (KIOSK,)]
    assert desk.release(KIOSK, SEATS[1:2], user_id=ALICE).answer.seat_ids == (SEATS[1],)
    assert desk.release(KIOSK, SEATS[2:3]).answer.seat_ids == (SEATS[2],)


def test_released_seats_are_told_in_the_order_of_the_request(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:4])
    asked = (SEATS[2], SEATS[0], SEATS[3], SEATS[1])
    released = desk.release(ALICE, asked)
    assert released.answer.seat_ids == asked
    assert tuple(seat.seat_id for seat in released.effects.seats) == asked


def test_a_customers_hold_lasts_at_most_the_maximum_from_the_first_moment(desk: Desk) -> None:
    ends = []
    for _ in range(4):
        ends.append(desk.hold(ALICE, SEATS[:1]).answer.expires_at)
        desk.now += 299
    assert ends == [NOW + 300, NOW + 599, NOW + 898, NOW + 900]
    for moment in (900, 1199):
        desk.now = NOW + moment
        rejected = desk.hold(ALICE, SEATS[:1]).answer
        assert (rejected.status, rejected.code, rejected.seat_ids) == ("rejected", "seats_unavailable", (SEATS[0],))
    assert desk.hold(BOB, SEATS[:1]).answer.status == "held"
    desk.release(BOB, SEATS[:1])
    desk.now = NOW + 1200
    assert desk.hold(ALICE, SEATS[:1]).answer.expires_at == NOW + 1500


def test_a_hold_begun_again_soon_after_its_release_goes_on_counting(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:1])
    desk.now = NOW + 290
    desk.hold(ALICE, SEATS[:1])
    desk.now = NOW + 580
    desk.release(ALICE, SEATS[:1])
    desk.now = NOW + 700
    assert desk.hold(ALICE, SEATS[:1]).answer.expires_at == NOW + 900


def test_a_kiosks_time_counts_for_each_booking_anew(desk: Desk) -> None:
    for moment in (0, 290, 580, 870):
        desk.now = NOW + moment
        desk.hold(KIOSK, SEATS[:1], booking_id=BOOKING)
    desk.now = NOW + 900
    assert desk.hold(KIOSK, SEATS[:1], booking_id=BOOKING).answer.status == "rejected"
    assert desk.hold(KIOSK, SEATS[:1], booking_id=OTHER_BOOKING).answer.expires_at == NOW + 1200


def test_caps_count_what_one_has_already_but_nothing_twice(desk: Desk) -> None:
    assert desk.hold(ALICE, SEATS[:10]).answer.status == "held"
    assert desk.hold(ALICE, SEATS[:10]).answer.status == "held"
    assert desk.hold(ALICE, SEATS[:1], showing_id=LATE_SHOWING).answer.code == "too_many_seats"
    assert desk.book(ALICE, SEATS[:10]).answer.status == "confirmed"
    assert desk.book(ALICE, SEATS[10:20]).answer.status == "confirmed"
    assert desk.book(ALICE, SEATS[20:21]).answer.code == "too_many_seats"
    assert desk.hold(ALICE, SEATS[20:21]).answer.code == "too_many_seats"
    assert desk.book(KIOSK, SEATS[20:21], user_id=ALICE).answer.status == "confirmed"


def test_an_address_is_capped_over_its_customers_but_not_its_kiosks(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "small.db", max_held_per_address=4)
    assert desk.hold(KIOSK, SEATS[20:30]).answer.status == "held"
    assert desk.hold(ALICE, SEATS[:3]).answer.status == "held"
    assert desk.hold(BOB, SEATS[3:5]).answer.code == "too_many_seats"
    assert desk.hold(BOB, SEATS[3:5], address="192.0.2.2").answer.status == "held"
    assert desk.hold(ALICE, [*SEATS[:3], SEATS[5]]).answer.status == "held"


def test_an_address_has_its_share_of_a_showing_in_holds_and_bookings_together(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "small.db", max_seats_per_showing=6, max_share_per_address=30)  # 9 of 30 seats
    assert desk.hold(ALICE, SEATS[:5]).answer.status == "held"
    assert desk.book(BOB, SEATS[5:8]).answer.status == "confirmed"
    failed = desk.book(VISITOR, SEATS[8:10]).answer
    assert (failed.status, failed.code) == ("failed", "too_many_seats")
    assert "At most 9 seats" in failed.message
    assert "desk" in failed.message
    rejected = desk.hold(VISITOR, SEATS[8:10]).answer
    assert (rejected.status, rejected.code, rejected.message) == ("rejected", "too_many_seats", failed.message)
    # What is held already is no more when it is booked, or held on.
    assert desk.hold(ALICE, SEATS[:5]).answer.status == "held"
    assert desk.book(ALICE, SEATS[:5]).answer.status == "confirmed"
    assert desk.book(VISITOR, SEATS[8:9]).answer.status == "confirmed"
    assert desk.book(VISITOR, SEATS[9:10]).answer.code == "too_many_seats"
    # Another showing, another address and the house, also for others, have seats of their own.
    assert desk.book(VISITOR, SEATS[9:10], showing_id=LATE_SHOWING).answer.status == "confirmed"
    assert desk.book(VISITOR, SEATS[9:10], address="192.0.2.2").answer.status == "confirmed"
    assert desk.book(KIOSK, SEATS[10:20], user_id=BOB).answer.status == "confirmed"
    assert desk.hold(MANAGER, SEATS[20:30]).answer.status == "held"


def test_a_cancelled_booking_counts_no_longer_in_its_addresss_share(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "small.db", max_seats_per_showing=6, max_share_per_address=30)
    first = desk.book(ALICE, SEATS[:6]).answer
    desk.book(BOB, SEATS[6:9])
    assert desk.book(BOB, SEATS[9:10]).answer.code == "too_many_seats"
    desk.cancel(ALICE, first.booking_id)
    assert desk.book(BOB, SEATS[9:12]).answer.status == "confirmed"


def test_bookings_of_before_there_were_shares_stand_and_are_nobodys_share(tmp_path: Path) -> None:
    db = connect(tmp_path / "old.db")
    migrations.apply(db, stop_before="where_bookings_come_from")
    make_users(db)
    add_room(db, ROOM, "Room 1", SEATS)
    add_showing(db, SHOWING, NOW + 10 * HOUR)
    db.conn.execute(
        "INSERT INTO bookings (booking_id, number, showing_id, user_id, requested_by, status, message, total_cents, "
        "currency, key, created_at) VALUES (?, 'OLD222', ?, ?, ?, 'confirmed', '', 950, 'EUR', 'k', 0)",
        (BOOKING, SHOWING, ALICE, ALICE),
    )
    db.conn.execute("INSERT INTO booking_seats VALUES (?, ?, 0, 950)", (BOOKING, SEATS[0]))
    migrations.apply(db)
    db.conn.close()
    desk = Desk(tmp_path / "old.db", max_seats_per_showing=2, max_share_per_address=1)
    assert stored_outcome(desk.db, BOOKING) is not None
    assert desk.book(BOB, SEATS[:1]).answer.code == "seats_unavailable"
    assert desk.book(BOB, SEATS[1:3]).answer.status == "confirmed"
    assert desk.book(VISITOR, SEATS[3:4]).answer.code == "too_many_seats"


def test_who_booked_and_cancelled_a_hundred_times_within_a_day_books_no_more_until_the_day_is_over(desk: Desk) -> None:
    for n in range(100):
        desk.now = NOW + n
        desk.cancel(ALICE, desk.book(ALICE, SEATS[:1]).answer.booking_id)
    with pytest.raises(Refusal) as caught:
        desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    assert (refusal_code(caught), caught.value.status, caught.value.retry_after) == ("rate_limited", 429, DAY - 99)
    assert stored_outcome(desk.db, BOOKING) is None
    assert desk.hold(ALICE, SEATS[:1]).answer.status == "held"
    assert desk.book(KIOSK, SEATS[1:2], user_id=ALICE).answer.status == "confirmed"
    assert desk.book(BOB, SEATS[2:3]).answer.status == "confirmed"
    starts_at = iso_seconds(NOW + 3 * DAY)
    change(desk, "update", showing_id=SHOWING, starts_at=starts_at)
    desk.now = NOW + DAY
    with pytest.raises(Refusal):
        desk.book(ALICE, SEATS[:1])
    desk.now += 0.001
    assert desk.book(ALICE, SEATS[:1]).answer.status == "confirmed"


def test_what_the_house_books_and_cancels_for_a_customer_is_not_the_customers_doing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CANCELLATIONS", "CANCELLATIONS_PER_ADDRESS"):
        monkeypatch.setattr(rules, name, rules.Most(2, 3600))
    for _ in range(3):
        for owner in (ALICE, KIOSK):
            desk.cancel(KIOSK, desk.book(KIOSK, SEATS[:1], user_id=owner).answer.booking_id)
        desk.cancel(MANAGER, desk.book(ALICE, SEATS[:1]).answer.booking_id)
    assert desk.book(KIOSK, SEATS[:1]).answer.status == "confirmed"
    assert desk.book(ALICE, SEATS[1:2]).answer.status == "confirmed"


def test_a_showing_that_is_cancelled_is_nobodys_cancellation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CANCELLATIONS", "CANCELLATIONS_PER_ADDRESS"):
        monkeypatch.setattr(rules, name, rules.Most(1, 3600))
    for seat_id in SEATS[:2]:
        desk.book(ALICE, (seat_id,))
    change(desk, "cancel", showing_id=SHOWING)
    assert desk.book(ALICE, SEATS[:1], showing_id=LATE_SHOWING).answer.status == "confirmed"


def test_the_latest_failure_is_kept_though_the_clock_was_set_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FAILURES_KEPT_PER_CUSTOMER", 2)
    desk.book(KIOSK, SEATS[:1])
    for _ in range(2):
        desk.book(ALICE, SEATS[:1])
    desk.now -= HOUR
    failed = desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    assert failed.answer.status == "failed"
    assert stored_outcome(desk.db, BOOKING) == failed.answer
    assert BOOKING not in failed.effects.forgotten


def test_a_start_with_the_clock_behind_moves_the_holds_and_those_whom_they_concern_are_told(desk: Desk) -> None:
    desk.hold(KIOSK, SEATS[:2], user_id=ALICE, booking_id=BOOKING)
    desk.now += 100
    desk.hold(KIOSK, SEATS[:2], user_id=ALICE, booking_id=BOOKING)
    desk.now -= 10 * HOUR
    moved = desk.run(desk.ledger.reopened)
    assert [(hold.seat_id, hold.since, hold.until) for hold in moved.answer.holds] == [
        (seat_id, desk.now - 100, desk.now + 300) for seat_id in SEATS[:2]
    ]
    assert moved.effects.extended == moved.answer.holds
    (notice,) = moved.effects.notices
    assert (notice.inboxes, notice.status, notice.seat_ids, notice.booking_id, notice.expires_at) == (
        (ALICE, KIOSK),
        "held",
        SEATS[:2],
        BOOKING,
        desk.now + 300,
    )
    again = desk.run(desk.ledger.reopened)
    assert (again.effects.extended, again.effects.notices) == ([], [])
    desk.now += 300
    desk.expire()
    assert claims(desk) == {}


@pytest.mark.parametrize("is_released", [True, False])
def test_no_seat_can_be_held_for_longer_by_a_start_with_the_clock_behind(desk: Desk, is_released: bool) -> None:
    desk.hold(ALICE, SEATS[:1])
    desk.now += 200
    if is_released:
        desk.release(ALICE, SEATS[:1])
    else:
        desk.hold(ALICE, SEATS[:1])
    desk.now -= 10 * HOUR
    desk.run(desk.ledger.reopened)
    set_back_at = desk.now
    ends = []
    for _ in range(3):
        ends.append(desk.hold(ALICE, SEATS[:1]).answer.expires_at - set_back_at)
        desk.now += 299
    assert ends == [300, 599, 700]
    desk.now = set_back_at + 700
    assert desk.hold(ALICE, SEATS[:1]).answer.status == "rejected"


@pytest.mark.parametrize("by", [5 * HOUR, -5 * HOUR], ids=["forward", "back"])
def test_a_clock_that_was_set_moves_holds_and_the_memory_of_those_that_ended(desk: Desk, by: float) -> None:
    desk.hold(KIOSK, SEATS[:2], user_id=ALICE, booking_id=BOOKING)
    desk.hold(ALICE, SEATS[2:4])
    desk.now += 200
    desk.hold(KIOSK, SEATS[1:2], user_id=ALICE, booking_id=BOOKING)
    desk.release(ALICE, SEATS[3:4])
    desk.now += 50 + by
    moved = desk.run(desk.ledger.clock_set, by)
    begun = NOW + by
    assert {hold.seat_id: (hold.since, hold.until) for hold in moved.answer.holds} == {
        SEATS[0]: (begun, begun + 300),
        SEATS[1]: (begun, begun + 500),
        SEATS[2]: (begun, begun + 300),
    }
    assert moved.effects.extended == moved.answer.holds
    assert moved.effects.seats == []
    assert [(n.inboxes, n.seat_ids, n.status, n.booking_id, n.expires_at) for n in moved.effects.notices] == [
        ((ALICE, KIOSK), SEATS[:2], "held", BOOKING, begun + 300),
        ((ALICE,), SEATS[2:3], "held", None, begun + 300),
    ]
    assert desk.db.conn.execute("SELECT seat_id, since, ended FROM hold_runs").fetchall() == [
        (SEATS[3], begun, begun + 200)
    ]
    desk.now = begun + 300
    desk.expire()
    assert set(claims(desk)) == {SEATS[1]}


def test_a_hold_that_had_run_out_before_the_clock_was_set_ends_with_it(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:1])
    desk.now += 301 + 5 * HOUR
    moved = desk.run(desk.ledger.clock_set, 5 * HOUR)
    assert [(notice.status, notice.seat_ids) for notice in moved.effects.notices] == [("expired", SEATS[:1])]
    assert moved.answer.holds == []


def test_the_ledger_says_when_the_next_hold_ends(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:1])
    desk.now += 10
    desk.hold(BOB, SEATS[1:2])
    assert desk.expire().answer == NOW + 300
    desk.now = NOW + 300
    assert desk.expire().answer == NOW + 310
    desk.now = NOW + 310
    assert desk.expire().answer is None
    assert claims(desk) == {}


# Showings


def new_showing(**changed: Any) -> dict[str, Any]:
    fields = {
        "showing_id": an_id(0x3000),
        "title": "New",
        "starts_at": "2030-06-01T20:00:00Z",
        "room": "Room 2",
        "price": "7.5",
    }
    return fields | changed


def test_a_new_showing_lasts_two_hours_and_made_again_is_the_same(desk: Desk) -> None:
    made = change(desk, "create", **new_showing())
    assert made.answer.ends_at - made.answer.starts_at == 120 * 60
    assert made.answer.price_cents == 750
    assert [seat.seat_id for seat in made.effects.showings[0].plan] == list(OTHER_SEATS)
    assert change(desk, "create", **new_showing()).repeated
    with pytest.raises(Refusal) as caught:
        change(desk, "create", **new_showing(title="Other"))
    assert refusal_code(caught) == "conflict"


@pytest.mark.parametrize(
    ("action", "fields", "code"),
    [
        ("create", new_showing(room="Nowhere"), "invalid_request"),
        ("create", new_showing(ends_at="2030-06-01T19:00:00Z"), "invalid_request"),
        ("create", new_showing(starts_at="9998-12-31T23:59:00Z"), "invalid_request"),
        ("update", {"starts_at": "9998-12-31T23:59:00Z"}, "invalid_request"),
        ("update", {"starts_at": "9998-12-31T23:00:00Z", "minutes": 60}, "invalid_request"),
        ("update", {"showing_id": an_id(0xDEAD)}, "unknown_showing"),
        ("cancel", {"showing_id": an_id(0xDEAD)}, "unknown_showing"),
        ("update", {"room_id": an_id(0xDEAD)}, "invalid_request"),
    ],
)
def test_impossible_changes_of_a_showing_are_refused(
    desk: Desk, action: str, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        change(desk, action, **fields)
    assert refusal_code(caught) == code


def test_the_last_showing_of_all_can_be_written(desk: Desk) -> None:
    made = change(desk, "create", **new_showing(starts_at="9998-12-31T22:00:00Z", minutes=119))
    assert iso_seconds(made.answer.ends_at) == "9998-12-31T23:59:00Z"


def test_moving_the_start_keeps_the_length_and_a_sold_seats_price(desk: Desk) -> None:
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    moved = change(desk, "update", starts_at="2031-01-01T10:00:00Z", price="99.00").answer
    assert moved.ends_at - moved.starts_at == 2 * HOUR
    assert stored_outcome(desk.db, BOOKING).total_cents == 950


def test_another_room_ends_the_holds_and_is_a_conflict_once_a_seat_is_sold(desk: Desk) -> None:
    desk.hold(ALICE, SEATS[:1])
    before = desk.book(BOB, SEATS[1:2], booking_id=BOOKING).effects.seats[-1].version
    with pytest.raises(Refusal) as caught:
        change(desk, "update", room="Room 2")
    assert refusal_code(caught) == "conflict"
    desk.cancel(BOB, BOOKING)
    moved = change(desk, "update", room_id=OTHER_ROOM)
    assert moved.answer.version == before + 2
    assert [notice.status for notice in moved.effects.notices] == ["released"]
    assert claims(desk) == {}
    assert desk.book(ALICE, OTHER_SEATS[:1]).answer.status == "confirmed"


def test_a_cancelled_showing_cancels_its_bookings_and_ends_its_holds(desk: Desk) -> None:
    desk.book(ALICE, SEATS[:2], booking_id=BOOKING)
    desk.hold(BOB, SEATS[2:3])
    decided = change(desk, "cancel")
    assert [(outcome.booking_id, outcome.status) for outcome in decided.effects.outcomes] == [(BOOKING, "cancelled")]
    assert [(notice.inboxes, notice.status) for notice in decided.effects.notices] == [((BOB,), "released")]
    assert decided.effects.seats[-1].version == decided.answer.version
    assert claims(desk) == {}
    assert change(desk, "cancel").repeated
    assert desk.book(ALICE, SEATS[:1]).answer.code == "sales_closed"


def test_a_changed_plan_makes_the_showings_versions_grow(desk: Desk) -> None:
    desk.db.conn.execute("UPDATE seats SET x = x WHERE room_id = ?", (ROOM,))
    assert desk.db.conn.execute("SELECT max(version) FROM showings").fetchone() == (0,)
    desk.db.conn.execute("UPDATE seats SET x = x + 1 WHERE seat_id = ?", (SEATS[0],))
    assert desk.db.conn.execute("SELECT min(version) FROM showings").fetchone() == (1,)


# Users


def test_a_closed_account_loses_its_holds_and_if_asked_its_coming_bookings(desk: Desk) -> None:
    add_showing(desk.db, an_id(0x4000), NOW - 5 * HOUR)
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    desk.hold(ALICE, SEATS[1:2])
    desk.hold(BOB, SEATS[2:3])
    assert desk.run(desk.ledger.end_user, ALICE, cancel_bookings=False).effects.outcomes == []
    assert claims(desk) == {SEATS[0]: "booked", SEATS[2]: "reserved"}
    desk.run(desk.ledger.end_user, ALICE, cancel_bookings=True)
    assert claims(desk) == {SEATS[2]: "reserved"}


def test_bookings_are_found_by_what_people_know_of_them(desk: Desk) -> None:
    outcome = desk.book(ALICE, [SEATS[25]]).answer
    desk.book(BOB, [SEATS[1]], showing_id=LATE_SHOWING)
    for conditions in (
        {"number": outcome.number.lower()},
        {"seat": "c6"},
        {"seat": SEATS[25]},
        {"name": "ER 0"},
        {"showing_id": SHOWING},
        {"of_user": ALICE},
        {"starts_before": NOW + 11 * HOUR},
    ):
        assert [record.outcome for record in find_bookings(desk.db, **conditions)] == [outcome], conditions
    assert find_bookings(desk.db, name="%") == []
    assert len(find_bookings(desk.db)) == 2


# The schema, whatever the code


def test_the_schema_refuses_a_double_booking(desk: Desk) -> None:
    execute = desk.db.conn.execute
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    desk.book(BOB, SEATS[1:2], booking_id=OTHER_BOOKING)
    desk.hold(VISITOR, SEATS[2:3])
    wrongs = {
        "selling a sold seat": ("INSERT INTO booking_seats VALUES (?, ?, 9, 0)", (OTHER_BOOKING, SEATS[0])),
        "selling a held seat": ("INSERT INTO booking_seats VALUES (?, ?, 9, 0)", (OTHER_BOOKING, SEATS[2])),
        "selling a seat of another room": (
            "INSERT INTO booking_seats VALUES (?, ?, 9, 0)",
            (OTHER_BOOKING, OTHER_SEATS[0]),
        ),
        "holding a sold seat": (
            "INSERT INTO seat_claims (showing_id, seat_id, room_id, held_for, held_by, held_run, held_since, "
            "held_until) VALUES (?, ?, ?, 'x', 'x', 'x', 0, 1)",
            (SHOWING, SEATS[0], ROOM),
        ),
        "claiming for nobody": (
            "INSERT INTO seat_claims (showing_id, seat_id, room_id) VALUES (?, ?, ?)",
            (SHOWING, SEATS[5], ROOM),
        ),
        "claiming for both": (
            "UPDATE seat_claims SET booking_id = ? WHERE seat_id = ?",
            (OTHER_BOOKING, SEATS[2]),
        ),
        "taking over a claim": ("UPDATE seat_claims SET booking_id = ? WHERE seat_id = ?", (OTHER_BOOKING, SEATS[0])),
        "dropping a sold seat's claim": ("DELETE FROM seat_claims WHERE seat_id = ?", (SEATS[0],)),
        "replacing a sold seat's claim": (
            "REPLACE INTO seat_claims (showing_id, seat_id, room_id, held_for, held_by, held_run, held_since, "
            "held_until) VALUES (?, ?, ?, 'x', 'x', 'x', 0, 1)",
            (SHOWING, SEATS[0], ROOM),
        ),
        "moving a sale": ("UPDATE booking_seats SET seat_id = ? WHERE booking_id = ?", (SEATS[0], OTHER_BOOKING)),
        "taking a sold seat out of its room": ("DELETE FROM seats WHERE seat_id = ?", (SEATS[0],)),
        "moving a sold seat to another room": (
            "UPDATE seats SET room_id = ?, \"row\" = 'Z' WHERE seat_id = ?",
            (OTHER_ROOM, SEATS[0]),
        ),
        "moving the showing": ("UPDATE showings SET room_id = ? WHERE showing_id = ?", (OTHER_ROOM, SHOWING)),
        "moving the booking": ("UPDATE bookings SET showing_id = ? WHERE booking_id = ?", (LATE_SHOWING, BOOKING)),
    }
    allowed = []
    for wrong, (statement, values) in wrongs.items():
        try:
            execute(statement, values)
        except sqlite3.IntegrityError:
            continue
        allowed.append(wrong)
    assert allowed == []


def test_the_schema_lets_no_cancelled_booking_come_back(desk: Desk) -> None:
    desk.book(ALICE, SEATS[:1], booking_id=BOOKING)
    desk.cancel(ALICE, BOOKING)
    desk.book(BOB, SEATS[:1])
    with pytest.raises(sqlite3.IntegrityError):
        desk.db.conn.execute(
            "UPDATE bookings SET status = 'confirmed', cancelled_at = NULL WHERE booking_id = ?", (BOOKING,)
        )
