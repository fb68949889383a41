"""Reading the books: what the database says, as the cinema's nouns. Nothing here writes or decides."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlite_utils

from plugins.booking import rules
from plugins.booking.cinema import (
    AskedSeat,
    BookingRecord,
    Fullness,
    Hold,
    Outcome,
    Room,
    Seat,
    SeatsOf,
    Showing,
    Snapshot,
)
from plugins.booking.wire import END_OF_TIME, Payment

LISTED_BOOKINGS = 1000
LISTED_SHOWINGS = 1000

Execute = Callable[..., sqlite3.Cursor]

SELECT_SHOWING = """
    SELECT showing_id, title, room_id, rooms.name, starts_at, ends_at, price_cents, prices, currency, status, version
    FROM showings JOIN rooms USING (room_id)
"""
SELECT_HOLD = """
    SELECT showing_id, seat_id, held_for, held_by, held_booking_id, held_run, held_since, held_until, held_address
    FROM seat_claims
"""
SELECT_BOOKING = """
    SELECT booking_id, user_id, requested_by, status, message, created_at, cancelled_at, showing_id,
        number, total_cents, currency, key
    FROM bookings
"""
SELECT_FAILURE = """
    SELECT booking_id, user_id, requested_by, message, at, showing_id, seat_ids, code, asked_digest
    FROM booking_failures
"""
SELECT_OLD_BOOKINGS = "SELECT booking_id FROM bookings JOIN showings USING (showing_id) WHERE ends_at <= ?"
RUNNING = "WHERE held_until IS NOT NULL ORDER BY held_until, seat_id"
DISABLED = "(SELECT user_id FROM users WHERE NOT is_active)"
OF_DISABLED = f"held_until IS NOT NULL AND (held_for IN {DISABLED} OR held_by IN {DISABLED})"
NOT_OVER = "showing_id IN (SELECT showing_id FROM showings WHERE ends_at > ?)"


def secret(db: sqlite_utils.Database) -> bytes:
    """What booking ids are derived from where the client sent none."""
    (value,) = db.conn.execute("SELECT value FROM booking_secrets WHERE name = 'booking_id'").fetchone()
    return bytes(value)


def stored_outcome(db: sqlite_utils.Database, booking_id: str) -> Outcome | None:
    """A booking's outcome, or that of a failed request, whoever's it is."""
    execute = db.conn.execute
    row = execute(SELECT_BOOKING + "WHERE booking_id = ?", (booking_id,)).fetchone()
    if row is not None:
        return booking_of_row(execute, row)
    row = execute(SELECT_FAILURE + "WHERE booking_id = ?", (booking_id,)).fetchone()
    return None if row is None else failure_of_row(row)


def old_outcome(db: sqlite_utils.Database, booking_id: str, now: float) -> Outcome | None:
    """The outcome of a booking whose showing is over: one that the present does not keep in memory."""
    outcome = stored_outcome(db, booking_id)
    if outcome is None or outcome.status == "failed":
        return None
    showing = find_showing(db.conn.execute, outcome.showing_id)
    return outcome if showing is not None and showing.is_over(now) else None


def snapshot(db: sqlite_utils.Database, now: float) -> Snapshot:
    """All that the present shows; see :class:`Snapshot`."""
    execute = db.conn.execute
    showings = [
        _showing_of_row(row)
        for row in execute(SELECT_SHOWING + "WHERE ends_at > ? ORDER BY starts_at, showing_id", (now,))
    ]
    seats_of: dict[str, list[str]] = {}
    for booking_id, seat_id in execute(
        "SELECT booking_id, seat_id FROM bookings JOIN showings USING (showing_id) "
        "JOIN booking_seats USING (booking_id) WHERE ends_at > ? ORDER BY booking_id, place",
        (now,),
    ):
        seats_of.setdefault(booking_id, []).append(seat_id)
    outcomes = [
        _booking_of(row, tuple(seats_of.get(row[0], ())))
        for row in execute(SELECT_BOOKING + "WHERE " + NOT_OVER + " ORDER BY created_at, booking_id", (now,))
    ]
    outcomes += [
        failure_of_row(row)
        for row in execute(SELECT_FAILURE + "WHERE at > ? ORDER BY at", (now - rules.FAILURES_KEPT_SECONDS,))
    ]
    return Snapshot(
        at=now,
        showings=showings,
        plans={room_id: plan_of(execute, room_id) for room_id in {showing.room_id for showing in showings}},
        sold={showing.showing_id: sold_seats(execute, showing.showing_id) for showing in showings},
        holds=[Hold(*row) for row in execute(SELECT_HOLD + RUNNING)],
        outcomes=outcomes,
        old_bookings=[booking_id for (booking_id,) in execute(SELECT_OLD_BOOKINGS, (now,))],
    )


def rooms(db: sqlite_utils.Database) -> list[Room]:
    """All rooms by their name."""
    types: dict[str, dict[str, int]] = {}
    for room_id, seat_type, count in db.conn.execute(
        "SELECT room_id, type, count(*) FROM seats GROUP BY room_id, type ORDER BY type"
    ):
        types.setdefault(room_id, {})[seat_type] = count
    return [
        Room(room_id, name, sum(types.get(room_id, {}).values()), tuple(types.get(room_id, {})))
        for room_id, name in db.conn.execute("SELECT room_id, name FROM rooms ORDER BY name, room_id")
    ]


def showings_between(
    db: sqlite_utils.Database, starts_from: float | None, starts_before: float | None
) -> list[Fullness]:
    """What starts within that time, also what is over or cancelled, by start; at most :data:`LISTED_SHOWINGS`."""
    execute = db.conn.execute
    rows = execute(
        SELECT_SHOWING + "WHERE starts_at >= ? AND starts_at < ? ORDER BY starts_at, showing_id LIMIT ?",
        (starts_from or 0, END_OF_TIME if starts_before is None else starts_before, LISTED_SHOWINGS),
    ).fetchall()
    seats = dict(execute("SELECT room_id, count(*) FROM seats GROUP BY room_id").fetchall())
    showings = [_showing_of_row(row) for row in rows]
    return [
        Fullness(
            showing,
            seats.get(showing.room_id, 0),
            execute("SELECT count(*) FROM seat_claims WHERE showing_id = ?", (showing.showing_id,)).fetchone()[0],
        )
        for showing in showings
    ]


def seats_of(db: sqlite_utils.Database, showing_id: str) -> SeatsOf | None:
    """A showing's seats, also where it is over or cancelled."""
    execute = db.conn.execute
    showing = find_showing(execute, showing_id)
    if showing is None:
        return None
    held = frozenset(hold.seat_id for hold in holds_of_showing(execute, showing_id))
    return SeatsOf(showing, plan_of(execute, showing.room_id), sold_seats(execute, showing_id), held)


def find_bookings(
    db: sqlite_utils.Database,
    *,
    booking_id: str | None = None,
    of_user: str | None = None,
    showing_id: str | None = None,
    number: str | None = None,
    name: str | None = None,
    seat: str | None = None,
    starts_from: float | None = None,
    starts_before: float | None = None,
    latest: int | None = None,
) -> list[BookingRecord]:
    """Confirmed and cancelled bookings, the latest first, at most :data:`LISTED_BOOKINGS`; or the ``latest`` so many
    that were made or cancelled, the last change first.

    ``of_user`` owns or requested them; ``name`` is part of the owner's name, username or e-mail; ``seat`` is a seat's
    id, or its row and number (``B12``); ``starts_…`` are about the showing's start.
    """
    conditions: list[tuple[str, tuple[Any, ...]]] = []
    if booking_id is not None:
        conditions.append(("bookings.booking_id = ?", (booking_id,)))
    if of_user is not None:
        conditions.append(("(bookings.user_id = ? OR bookings.requested_by = ?)", (of_user, of_user)))
    if showing_id is not None:
        conditions.append(("bookings.showing_id = ?", (showing_id,)))
    if number is not None:
        conditions.append(("bookings.number = upper(?)", (number,)))
    if name is not None:
        pattern = "%" + name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        conditions.append(
            (
                r"(users.name LIKE ? ESCAPE '\' OR users.username LIKE ? ESCAPE '\' OR users.email LIKE ? ESCAPE '\' "
                r"OR bookings.email LIKE ? ESCAPE '\')",
                (pattern,) * 4,
            )
        )
    if seat is not None:
        conditions.append(
            (
                "bookings.booking_id IN (SELECT booking_id FROM booking_seats JOIN seats USING (seat_id) "
                'WHERE seat_id = ? OR upper("row" || number) = upper(?))',
                (seat, seat.replace(" ", "")),
            )
        )
    if starts_from is not None:
        conditions.append(("showings.starts_at >= ?", (starts_from,)))
    if starts_before is not None:
        conditions.append(("showings.starts_at < ?", (starts_before,)))
    where = " AND ".join(condition for condition, _ in conditions) or "1"
    order = "bookings.created_at" if latest is None else "coalesce(bookings.cancelled_at, bookings.created_at)"
    if of_user is not None:
        order = f"+{order}"  # of their own few, not of all by their changes
    rows = db.conn.execute(
        # At an address of the house nobody reads what is meant for whoever stood before the kiosk or the counter.
        "SELECT bookings.booking_id, users.name, coalesce(bookings.email, "  # noqa: S608
        "CASE WHEN users.role IN ('kiosk', 'manager') THEN NULL ELSE users.email END), bookings.paid "
        "FROM bookings JOIN users USING (user_id) JOIN showings USING (showing_id) "
        f"WHERE {where} ORDER BY {order} DESC LIMIT ?",  # the conditions and orders above, no input
        [*(value for _, values in conditions for value in values), latest or LISTED_BOOKINGS],
    ).fetchall()
    return [_record(db, *row) for row in rows]


def _record(
    db: sqlite_utils.Database, booking_id: str, name: str | None, email: str | None, paid: Payment | None
) -> BookingRecord:
    outcome = stored_outcome(db, booking_id)
    assert outcome is not None
    showing = find_showing(db.conn.execute, outcome.showing_id)
    assert showing is not None
    seats = [
        (Seat(*row[:6]), row[6])
        for row in db.conn.execute(
            'SELECT seat_id, "row", number, type, x, y, price_cents FROM booking_seats JOIN seats USING (seat_id) '
            "WHERE booking_id = ? ORDER BY place",
            (booking_id,),
        )
    ]
    return BookingRecord(outcome, showing, seats, name or None, email or None, paid)


# Rows to nouns


def _showing_of_row(row: Sequence[Any]) -> Showing:
    showing_id, title, room_id, room, starts_at, ends_at, price, prices, currency, status, version = row
    by_type = {} if prices == "{}" else json.loads(prices)
    return Showing(showing_id, title, room_id, room, starts_at, ends_at, price, by_type, currency, status, version)


def find_showing(execute: Execute, showing_id: str) -> Showing | None:
    row = execute(SELECT_SHOWING + "WHERE showing_id = ?", (showing_id,)).fetchone()
    return None if row is None else _showing_of_row(row)


def plan_of(execute: Execute, room_id: str) -> tuple[Seat, ...]:
    return tuple(
        Seat(*row)
        for row in execute(
            'SELECT seat_id, "row", number, type, x, y FROM seats WHERE room_id = ? ORDER BY position, seat_id',
            (room_id,),
        )
    )


def sold_seats(execute: Execute, showing_id: str) -> frozenset[str]:
    return frozenset(
        seat_id
        for (seat_id,) in execute(
            "SELECT seat_id FROM seat_claims WHERE showing_id = ? AND booking_id IS NOT NULL", (showing_id,)
        )
    )


def holds_of_showing(execute: Execute, showing_id: str) -> list[Hold]:
    return [
        Hold(*row)
        for row in execute(
            SELECT_HOLD + "WHERE showing_id = ? AND held_until IS NOT NULL ORDER BY held_until, seat_id",
            (showing_id,),
        ).fetchall()
    ]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def holds_of_seats(execute: Execute, showing_id: str, seat_ids: Sequence[str]) -> list[Hold]:
    if len(seat_ids) > 100:  # more than any hold has: look at what is held instead
        asked = set(seat_ids)
        return [hold for hold in holds_of_showing(execute, showing_id) if hold.seat_id in asked]
    rows = execute(
        SELECT_HOLD + f"WHERE showing_id = ? AND seat_id IN ({_marks(len(seat_ids))}) AND held_until IS NOT NULL",
        (showing_id, *seat_ids),
    ).fetchall()
    return [Hold(*row) for row in rows]


def asked_seats(execute: Execute, showing: Showing, seat_ids: Sequence[str]) -> dict[str, AskedSeat]:
    """Those of the seats that are in the showing's room, as they are now."""
    rows = execute(
        "SELECT seats.seat_id, seats.type, booking_id, held_for, held_by, held_booking_id, held_run, held_since, "  # noqa: S608
        "held_until, held_address FROM seats LEFT JOIN seat_claims "
        "ON seat_claims.showing_id = ? AND seat_claims.seat_id = seats.seat_id "
        f"WHERE seats.seat_id IN ({_marks(len(seat_ids))}) AND seats.room_id = ?",  # marks alone
        (showing.showing_id, *seat_ids, showing.room_id),
    ).fetchall()
    return {
        row[0]: AskedSeat(
            row[0], row[1], row[2], None if row[8] is None else Hold(showing.showing_id, row[0], *row[3:])
        )
        for row in rows
    }


def _booked_seat_ids(execute: Execute, booking_id: str) -> tuple[str, ...]:
    return tuple(
        seat_id
        for (seat_id,) in execute(
            "SELECT seat_id FROM booking_seats WHERE booking_id = ? ORDER BY place", (booking_id,)
        )
    )


def booking_of_row(execute: Execute, row: Sequence[Any]) -> Outcome:
    return _booking_of(row, _booked_seat_ids(execute, row[0]))


def _booking_of(row: Sequence[Any], seat_ids: tuple[str, ...]) -> Outcome:
    (
        booking_id,
        user_id,
        requested_by,
        status,
        message,
        created_at,
        cancelled_at,
        showing_id,
        number,
        total,
        currency,
        key,
    ) = row
    return Outcome(
        booking_id=booking_id,
        user_id=user_id,
        requested_by=requested_by,
        status=status,
        message=message,
        at=created_at if cancelled_at is None else cancelled_at,
        created_at=created_at,
        showing_id=showing_id,
        seat_ids=seat_ids,
        number=number,
        total_cents=total,
        currency=currency,
        key=key,
    )


def failure_of_row(row: Sequence[Any]) -> Outcome:
    booking_id, user_id, requested_by, message, at, showing_id, seat_ids, code, _ = row
    return Outcome(
        booking_id=booking_id,
        user_id=user_id,
        requested_by=requested_by,
        status="failed",
        message=message,
        at=at,
        created_at=at,
        showing_id=showing_id,
        seat_ids=tuple(json.loads(seat_ids)),
        code=code,
    )


def names(db: sqlite_utils.Database, ids: Iterable[str]) -> dict[str, str]:
    """What people call bookings and showings, by those of these ids that are one's: the number, or the title."""
    found: dict[str, str] = {}
    for one in ids:
        row = db.conn.execute(
            "SELECT number FROM bookings WHERE booking_id = ?1 "
            "UNION ALL SELECT title FROM showings WHERE showing_id = ?1",
            (one,),
        ).fetchone()
        if row is not None:
            (found[one],) = row
    return found


def bookings_of_number(db: sqlite_utils.Database, number: str) -> list[str]:
    """The id of the booking that has this number, however it is typed."""
    rows = db.conn.execute("SELECT booking_id FROM bookings WHERE number = ?", (number.upper(),))
    return [booking_id for (booking_id,) in rows]
