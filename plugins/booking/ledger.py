"""The ledger: every change of the cinema, each one job in one savepoint of the database's transactions.

A method gets the database and ``now`` (seconds since 1970) and answers with :class:`Decided`: what its sender is told,
and the effects on all others, to be told only once the transaction is on disk. Refusals that change nothing are raised
(:class:`Refusal`), which rolls the savepoint back; a booking's failure is stored and answered. What is only read is
in reading.py.

Each change begins by ending the holds that have run out, so that no decision ever sees one. The hot path (book, hold,
release, cancel, expire) uses prepared statements; sqlite3 keeps them by their text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlite_utils

from broker.plugin import Refusal
from config.settings import BookingSettings
from plugins.booking import rules
from plugins.booking.cinema import (
    AskedSeat,
    BookingRecord,
    Decided,
    Effects,
    Failure,
    Hold,
    HoldOrder,
    Notice,
    Order,
    Outcome,
    SeatChange,
    Sender,
    Showing,
    ShowingChange,
    Snapshot,
)
from plugins.booking.reading import (
    NOT_OVER,
    OF_DISABLED,
    RUNNING,
    SELECT_BOOKING,
    SELECT_FAILURE,
    SELECT_HOLD,
    Execute,
    asked_seats,
    booking_of_row,
    failure_of_row,
    find_bookings,
    find_showing,
    holds_of_seats,
    holds_of_showing,
    plan_of,
    snapshot,
    sold_seats,
    stored_outcome,
)
from plugins.booking.schema import migrations
from plugins.booking.wire import Payment, SeatState, ShowingFields, ShowingRequest, cents_of, is_in_time, seconds_of

__all__ = ["DEFAULT_MINUTES", "Ledger", "migrations", "unknown_booking"]

DEFAULT_MINUTES = 120

ACCOUNT_CLOSED = "The account was closed."


class Ledger:
    """The transactions, under the cinema's terms. ``new_number`` and ``new_key`` draw a booking's number and key."""

    def __init__(
        self,
        terms: BookingSettings,
        currency: str,
        *,
        new_number: Callable[[], str] = rules.new_number,
        new_key: Callable[[], str] = rules.new_key,
    ) -> None:
        self.terms = terms
        self.currency = currency
        self._new_number = new_number
        self._new_key = new_key

    # Bookings

    def book(self, db: sqlite_utils.Database, order: Order, now: float) -> Decided[Outcome]:
        """Book all the seats or none. The answer is the booking's outcome, a stored failure, or what it was before.

        Raises Refusal ``forbidden``, ``unknown_user``, ``conflict`` or ``rate_limited``.
        """
        execute = db.conn.execute
        effects = self._swept(execute, now)
        _require_active(execute, order.sender, order.user_id)
        if (known := _known_booking(execute, order.booking_id, order)) is not None:
            return Decided(known, effects, repeated=True)
        _require_few_cancellations(execute, order.sender, now)
        showing = find_showing(execute, order.showing_id)
        failure = rules.why_not_sell(showing, order.seat_ids, now, self.terms)
        if showing is None or failure is not None:
            assert failure is not None
            return self._failed(execute, order, failure, effects)
        seats = asked_seats(execute, showing, order.seat_ids)
        failure = rules.why_not_these(seats, order) or self._why_not_more(execute, order, showing, seats)
        if failure is not None:
            return self._failed(execute, order, failure, effects)
        return self._sold(execute, order, showing, seats, effects)

    def _sold(
        self,
        execute: Execute,
        order: Order,
        showing: Showing,
        seats: Mapping[str, AskedSeat],
        effects: Effects,
    ) -> Decided[Outcome]:
        now = effects.at
        for seat in seats.values():
            if seat.hold is not None:
                _end_hold(execute, seat.hold, now)
        prices = [rules.price_cents(showing, seats[seat_id].type) for seat_id in order.seat_ids]
        outcome = Outcome(
            booking_id=order.booking_id,
            user_id=order.user_id,
            requested_by=order.sender.user_id,
            status="confirmed",
            message="Booked.",
            at=now,
            created_at=now,
            showing_id=showing.showing_id,
            seat_ids=order.seat_ids,
            number=self._new_number(),
            total_cents=sum(prices),
            currency=showing.currency,
            key=self._new_key(),
        )
        outcome = self._insert_booking(execute, outcome, order.email, order.sender.counted_address)
        execute(
            "INSERT INTO booking_seats (booking_id, seat_id, place, price_cents) VALUES "  # noqa: S608  # marks alone
            + ", ".join(["(?, ?, ?, ?)"] * len(prices)),
            [
                value
                for place, (seat_id, price) in enumerate(zip(order.seat_ids, prices, strict=True))
                for value in (order.booking_id, seat_id, place, price)
            ],
        )
        _change_seats(execute, showing.showing_id, order.seat_ids, "booked", effects)
        effects.outcomes.append(outcome)
        return Decided(outcome, effects)

    def _insert_booking(self, execute: Execute, outcome: Outcome, email: str | None, address: str | None) -> Outcome:
        """Store it, under another number where the one that was drawn is another booking's."""
        while True:
            inserted = execute(
                "INSERT INTO bookings (booking_id, number, showing_id, user_id, requested_by, status, message, "
                "total_cents, currency, email, key, created_at, address, seats) "
                "VALUES (?, ?, ?, ?, ?, 'confirmed', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO NOTHING",
                (
                    outcome.booking_id,
                    outcome.number,
                    outcome.showing_id,
                    outcome.user_id,
                    outcome.requested_by,
                    outcome.message,
                    outcome.total_cents,
                    outcome.currency,
                    email,
                    outcome.key,
                    outcome.created_at,
                    address,
                    len(outcome.seat_ids),
                ),
            )
            if inserted.rowcount:
                return outcome
            outcome = replace(outcome, number=self._new_number())

    def _failed(self, execute: Execute, order: Order, failure: Failure, effects: Effects) -> Decided[Outcome]:
        outcome = Outcome(
            booking_id=order.booking_id,
            user_id=order.user_id,
            requested_by=order.sender.user_id,
            status="failed",
            message=failure.message,
            at=effects.at,
            created_at=effects.at,
            showing_id=order.showing_id,
            seat_ids=failure.seat_ids,
            code=failure.code,
        )
        execute(
            "INSERT INTO booking_failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                outcome.booking_id,
                outcome.user_id,
                outcome.requested_by,
                outcome.showing_id,
                rules.asked_digest(order.seat_ids),
                outcome.code,
                outcome.message,
                json.dumps(outcome.seat_ids),
                outcome.at,
            ),
        )
        effects.outcomes.append(outcome)
        if not order.sender.is_of_the_house:
            effects.forgotten += _forget_failures_beyond(execute, order.sender.user_id)
        return Decided(outcome, effects)

    def _why_not_more(
        self, execute: Execute, order: Order | HoldOrder, showing: Showing, seats: Mapping[str, AskedSeat]
    ) -> Failure | None:
        if order.sender.is_of_the_house:
            return None
        held = [
            showing_id
            for showing_id, seat_id in execute(
                "SELECT showing_id, seat_id FROM seat_claims WHERE held_for = ?", (order.user_id,)
            )
            if showing_id != order.showing_id or seat_id not in seats
        ]
        (booked,) = execute(
            "SELECT count(*) FROM bookings JOIN booking_seats USING (booking_id) "
            "WHERE showing_id = ? AND user_id = ? AND status = 'confirmed'",
            (order.showing_id, order.user_id),
        ).fetchone()
        from_address, address_in_showing = execute(
            "SELECT count(*), coalesce(sum(showing_id = ?2), 0) + (SELECT coalesce(sum(seats), 0) FROM bookings "
            "WHERE showing_id = ?2 AND address = ?1 AND status = 'confirmed') FROM seat_claims WHERE held_address = ?1",
            (order.sender.address, order.showing_id),
        ).fetchone()
        counted = sum(seat.hold is not None and seat.hold.address == order.sender.address for seat in seats.values())
        belongings = rules.Belongings(
            held=len(held),
            in_showing=booked + held.count(order.showing_id),
            from_address=from_address - counted,
            address_in_showing=address_in_showing - counted,
        )
        return rules.why_not_more(order, belongings, self.terms) or self._why_not_this_share(
            execute, showing, belongings.address_in_showing + len(order.seat_ids)
        )

    def _why_not_this_share(self, execute: Execute, showing: Showing, seats: int) -> Failure | None:
        if rules.is_within_anybodys_share(seats, self.terms):
            return None  # nearly always, without a look at the room
        (room_seats,) = execute("SELECT count(*) FROM seats WHERE room_id = ?", (showing.room_id,)).fetchone()
        return rules.why_not_this_share(seats, room_seats, self.terms)

    def cancel(
        self, db: sqlite_utils.Database, sender: Sender, booking_id: str, user_id: str | None, now: float
    ) -> Decided[Outcome]:
        """Cancel a booking, or answer once more that it is cancelled. ``user_id`` is the owner that was named, if any.

        Raises Refusal ``unknown_booking``, ``unknown_user``, ``forbidden``, ``conflict`` or ``sales_closed``.
        """
        execute = db.conn.execute
        effects = self._swept(execute, now)
        _require_active(execute, sender, user_id or sender.user_id)
        outcome = stored_outcome(db, booking_id)
        if (
            outcome is None
            or not outcome.is_visible_to(sender.user_id, sender.role)
            or (user_id is not None and user_id not in (sender.user_id, outcome.user_id))
        ):
            raise unknown_booking(booking_id)
        if outcome.status == "cancelled":
            return Decided(outcome, effects, repeated=True)
        showing = find_showing(execute, outcome.showing_id)
        rules.require_cancellable(outcome, showing.starts_at if showing else 0, sender, now, self.terms)
        cancelled = _cancel_booking(execute, outcome, "Cancelled.", effects, by=sender.user_id)
        return Decided(cancelled, effects)

    def pay(self, db: sqlite_utils.Database, sender: Sender, booking_id: str, paid: Payment | None) -> BookingRecord:
        """Note how a booking was paid.

        Raises Refusal ``forbidden``, ``unknown_booking``, or ``conflict`` where it failed.
        """
        _require_active(db.conn.execute, sender, sender.user_id)
        outcome = stored_outcome(db, booking_id)
        if outcome is None or not outcome.is_visible_to(sender.user_id, sender.role):
            raise unknown_booking(booking_id)
        if outcome.status == "failed":
            raise Refusal("conflict", "This booking failed: there is nothing to pay.", status=409)
        db.conn.execute("UPDATE bookings SET paid = ? WHERE booking_id = ?", (paid, booking_id))
        return find_bookings(db, booking_id=booking_id)[0]

    # Holds

    def hold(self, db: sqlite_utils.Database, order: HoldOrder, now: float) -> Decided[Notice]:
        """Hold all the seats or none, or extend their holds. The answer is ``held`` or ``rejected``.

        Raises Refusal ``forbidden``, ``unknown_user`` or ``conflict``.
        """
        execute = db.conn.execute
        effects = self._swept(execute, now)
        _require_active(execute, order.sender, order.user_id)
        if order.booking_id is not None:
            _known_booking(execute, order.booking_id, order)
        showing = find_showing(execute, order.showing_id)
        failure = rules.why_not_sell(showing, order.seat_ids, now, self.terms)
        if showing is None or failure is not None:
            assert failure is not None
            return _rejected(order, failure, effects)
        seats = asked_seats(execute, showing, order.seat_ids)
        failure = rules.why_not_these(seats, order) or self._why_not_more(execute, order, showing, seats)
        if failure is not None:
            return _rejected(order, failure, effects)
        holds = [self._hold_from_now(execute, order, seats[seat_id], now) for seat_id in order.seat_ids]
        if exhausted := tuple(seat_id for seat_id, hold in zip(order.seat_ids, holds, strict=True) if hold is None):
            failure = Failure("seats_unavailable", "You held some of these seats for as long as one may.", exhausted)
            return _rejected(order, failure, effects)
        return self._held(execute, order, showing, seats, [hold for hold in holds if hold], effects)

    def _hold_from_now(self, execute: Execute, order: HoldOrder, seat: AskedSeat, now: float) -> Hold | None:
        """The hold as it would be; None where it has been held for as long as allowed."""
        if seat.hold is not None:
            run_name = seat.hold.run
            run: rules.Run | None = rules.Run(seat.hold.since, now)
        else:
            run_name = rules.hold_run(order)
            row = execute(
                "SELECT since, ended FROM hold_runs WHERE run = ? AND showing_id = ? AND seat_id = ?",
                (run_name, order.showing_id, seat.seat_id),
            ).fetchone()
            run = rules.Run(*row) if row else None
        times = rules.hold_times(run, now, self.terms)
        if times is None:
            return None
        return Hold(
            showing_id=order.showing_id,
            seat_id=seat.seat_id,
            user_id=order.user_id,
            placed_by=seat.hold.placed_by if seat.hold else order.sender.user_id,
            booking_id=order.booking_id,
            run=run_name,
            since=times[0],
            until=times[1],
            address=order.sender.counted_address,
        )

    def _held(
        self,
        execute: Execute,
        order: HoldOrder,
        showing: Showing,
        seats: Mapping[str, AskedSeat],
        holds: Sequence[Hold],
        effects: Effects,
    ) -> Decided[Notice]:
        for hold in holds:
            execute(
                "INSERT INTO seat_claims (showing_id, seat_id, room_id, held_for, held_by, held_booking_id, "
                "held_run, held_since, held_until, held_address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (showing_id, seat_id) DO UPDATE SET held_for = excluded.held_for, "
                "held_booking_id = excluded.held_booking_id, held_since = excluded.held_since, "
                "held_until = excluded.held_until, held_address = excluded.held_address",
                (
                    hold.showing_id,
                    hold.seat_id,
                    showing.room_id,
                    hold.user_id,
                    hold.placed_by,
                    hold.booking_id,
                    hold.run,
                    hold.since,
                    hold.until,
                    hold.address,
                ),
            )
        new = {hold.seat_id: hold for hold in holds if seats[hold.seat_id].hold is None}
        effects.extended += [hold for hold in holds if hold.seat_id not in new]
        _change_seats(execute, showing.showing_id, tuple(new), "reserved", effects, holds=new)
        notice = Notice(
            inboxes=_different(order.user_id, order.sender.user_id),
            showing_id=order.showing_id,
            seat_ids=order.seat_ids,
            status="held",
            message="Held.",
            booking_id=order.booking_id,
            expires_at=min(hold.until for hold in holds),
        )
        effects.notices.append(notice)
        return Decided(notice, effects)

    def release(self, db: sqlite_utils.Database, order: HoldOrder, now: float) -> Decided[Notice]:
        """Free those of the seats that the sender may release, perhaps none.

        Raises Refusal ``forbidden`` or ``unknown_user``.
        """
        execute = db.conn.execute
        effects = self._swept(execute, now)
        _require_active(execute, order.sender, order.user_id)
        found = {hold.seat_id: hold for hold in holds_of_seats(execute, order.showing_id, order.seat_ids)}
        asked = [found[seat_id] for seat_id in order.seat_ids if seat_id in found]
        holds = [hold for hold in asked if rules.is_released_by(hold, order)]
        notice = Notice(
            inboxes=_different(order.user_id, order.sender.user_id),
            showing_id=order.showing_id,
            seat_ids=tuple(hold.seat_id for hold in holds),
            status="released",
            message="Released.",
            booking_id=order.booking_id,
        )
        effects.notices.append(notice)
        _end_holds(execute, holds, "released", "Released.", effects, told=notice.inboxes)
        return Decided(notice, effects)

    def expire(self, db: sqlite_utils.Database, now: float) -> Decided[float | None]:
        """End the holds that have run out; the answer is when the next one does, None where none runs."""
        effects = self._swept(db.conn.execute, now)
        (until,) = db.conn.execute("SELECT min(held_until) FROM seat_claims WHERE held_until IS NOT NULL").fetchone()
        return Decided(until, effects)

    def _swept(self, execute: Execute, now: float) -> Effects:
        effects = Effects(at=now)
        rows = execute(
            SELECT_HOLD + "WHERE held_until IS NOT NULL AND held_until <= ? ORDER BY held_until", (now,)
        ).fetchall()
        if rows:
            holds = [Hold(*row) for row in rows]
            _end_holds(execute, holds, "expired", "The time is up.", effects)
        return effects

    # Showings

    def change_showing(
        self, db: sqlite_utils.Database, sender: Sender, request: ShowingRequest, now: float
    ) -> Decided[Showing]:
        """Create, update or cancel a showing; the answer is how it stands then.

        Raises Refusal ``forbidden``, ``unknown_showing``, ``conflict``, or ``invalid_request`` where there is no such
        room or time.
        """
        execute = db.conn.execute
        effects = self._swept(execute, now)
        _require_active(execute, sender, sender.user_id)
        showing = find_showing(execute, request.showing.showing_id)
        if request.action == "create":
            return self._created(execute, request.showing, showing, effects)
        if showing is None:
            raise Refusal(
                "unknown_showing",
                "There is no such showing.",
                status=404,
                details={"showing_id": request.showing.showing_id},
            )
        if request.action == "cancel":
            return self._cancelled(execute, showing, effects)
        return self._updated(execute, request.showing, showing, effects)

    def _created(
        self, execute: Execute, asked: ShowingFields, known: Showing | None, effects: Effects
    ) -> Decided[Showing]:
        room_id, room = _room(execute, asked)
        assert asked.title is not None
        assert asked.starts_at is not None
        assert asked.price is not None
        starts_at = seconds_of(asked.starts_at)
        showing = Showing(
            showing_id=asked.showing_id,
            title=asked.title,
            room_id=room_id,
            room=room,
            starts_at=starts_at,
            ends_at=_ends_at(asked, starts_at, DEFAULT_MINUTES * 60),
            price_cents=cents_of(asked.price),
            prices=_prices(asked, {}),
            currency=known.currency if known else self.currency,
            status="scheduled",
            version=known.version if known else 0,
        )
        if known is not None:
            if known != showing:
                raise _showing_conflict(known, "This showing_id belongs to another showing.")
            return Decided(known, effects, repeated=True)
        execute(
            "INSERT INTO showings (showing_id, title, room_id, starts_at, ends_at, price_cents, prices, currency) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                showing.showing_id,
                showing.title,
                showing.room_id,
                showing.starts_at,
                showing.ends_at,
                showing.price_cents,
                json.dumps(showing.prices),
                showing.currency,
            ),
        )
        effects.showings.append(ShowingChange(showing, plan_of(execute, room_id)))
        return Decided(showing, effects)

    def _updated(self, execute: Execute, asked: ShowingFields, known: Showing, effects: Effects) -> Decided[Showing]:
        if known.status == "cancelled":
            raise _showing_conflict(known, "The showing was cancelled.")
        room_id, room = _room(execute, asked, known)
        starts_at = seconds_of(asked.starts_at) if asked.starts_at is not None else known.starts_at
        moved = room_id != known.room_id
        showing = Showing(
            showing_id=known.showing_id,
            title=known.title if asked.title is None else asked.title,
            room_id=room_id,
            room=room,
            starts_at=starts_at,
            ends_at=_ends_at(asked, starts_at, known.ends_at - known.starts_at),
            price_cents=known.price_cents if asked.price is None else cents_of(asked.price),
            prices=_prices(asked, known.prices),
            currency=known.currency,
            status=known.status,
            version=known.version + moved,
        )
        if showing == known:
            return Decided(known, effects, repeated=True)
        if moved:
            self._leave_room(execute, known, effects)
        execute(
            "UPDATE showings SET title = ?, room_id = ?, starts_at = ?, ends_at = ?, price_cents = ?, prices = ?, "
            "version = ? WHERE showing_id = ?",
            (
                showing.title,
                showing.room_id,
                showing.starts_at,
                showing.ends_at,
                showing.price_cents,
                json.dumps(showing.prices),
                showing.version,
                showing.showing_id,
            ),
        )
        effects.showings.append(ShowingChange(showing, plan_of(execute, room_id) if moved else None))
        # A showing that was over may be no longer: its seats and bookings are not in the present's memory.
        effects.stale = known.is_over(effects.at)
        return Decided(showing, effects)

    def _leave_room(self, execute: Execute, showing: Showing, effects: Effects) -> None:
        """End the holds without a seat's message: the subscribers get the new plan instead."""
        if sold_seats(execute, showing.showing_id):
            raise _showing_conflict(showing, "Seats of this showing are sold: it cannot move to another room.")
        holds = holds_of_showing(execute, showing.showing_id)
        for hold in holds:
            _end_hold(execute, hold, effects.at)
        effects.notices += notices_of(holds, "released", "The showing moved to another room.")

    def _cancelled(self, execute: Execute, showing: Showing, effects: Effects) -> Decided[Showing]:
        if showing.status == "cancelled":
            return Decided(showing, effects, repeated=True)
        message = "The showing was cancelled."
        execute("UPDATE showings SET status = 'cancelled' WHERE showing_id = ?", (showing.showing_id,))
        _end_holds(execute, holds_of_showing(execute, showing.showing_id), "released", message, effects)
        rows = execute(
            SELECT_BOOKING + "WHERE showing_id = ? AND status = 'confirmed' ORDER BY created_at",
            (showing.showing_id,),
        ).fetchall()
        for row in rows:
            _cancel_booking(execute, booking_of_row(execute, row), message, effects)
        cancelled = find_showing(execute, showing.showing_id)
        assert cancelled is not None
        effects.showings.append(ShowingChange(cancelled))
        return Decided(cancelled, effects)

    # Users, and what grows old

    def end_user(self, db: sqlite_utils.Database, user_id: str, *, cancel_bookings: bool, now: float) -> Decided[None]:
        """End the holds for a user and by them; with ``cancel_bookings`` also their bookings of showings not over."""
        execute = db.conn.execute
        effects = self._swept(execute, now)
        rows = execute(
            SELECT_HOLD + "WHERE held_until IS NOT NULL AND (held_for = ? OR held_by = ?) ORDER BY showing_id",
            (user_id, user_id),
        ).fetchall()
        _end_holds(execute, [Hold(*row) for row in rows], "released", ACCOUNT_CLOSED, effects)
        if cancel_bookings:
            rows = execute(
                SELECT_BOOKING + "WHERE user_id = ? AND status = 'confirmed' AND " + NOT_OVER + " ORDER BY created_at",
                (user_id, now),
            ).fetchall()
            for row in rows:
                _cancel_booking(execute, booking_of_row(execute, row), ACCOUNT_CLOSED, effects)
        return Decided(None, effects)

    def purge(self, db: sqlite_utils.Database, now: float) -> Decided[None]:
        """Forget failures after their day, and the ends of holds that no longer count."""
        execute = db.conn.execute
        effects = self._swept(execute, now)
        effects.forgotten += [
            booking_id
            for (booking_id,) in execute(
                "DELETE FROM booking_failures WHERE at <= ? RETURNING booking_id",
                (now - rules.FAILURES_KEPT_SECONDS,),
            ).fetchall()
        ]
        execute("DELETE FROM hold_runs WHERE ended <= ?", (now - self.terms.hold_seconds,))
        return Decided(None, effects)

    def reopened(self, db: sqlite_utils.Database, now: float) -> Decided[Snapshot]:
        """All that the present shows, after ending what ran out meanwhile: at the start, and when the file was changed
        by another process.

        A box that starts with its clock behind would make holds last too long. So they are moved back with it: each
        ends at most ``hold_seconds`` from now and has lasted as long as before, and those whom it concerns are told of
        its new end. How far the clock is behind nobody can say then.

        Holds for and by users whom the command line disabled end too, whom the box may not know yet.
        """
        effects = self.purge(db, now).effects
        if db.table("users").exists():  # another auth plugin may keep them elsewhere
            self._end_holds_of_disabled(db.conn.execute, effects)
        self._move_back(db.conn.execute, effects)
        return Decided(snapshot(db, now), effects)

    def _end_holds_of_disabled(self, execute: Execute, effects: Effects) -> None:
        rows = execute(SELECT_HOLD + "WHERE " + OF_DISABLED + " ORDER BY showing_id").fetchall()
        _end_holds(execute, [Hold(*row) for row in rows], "released", ACCOUNT_CLOSED, effects)

    def _move_back(self, execute: Execute, effects: Effects) -> None:
        latest = effects.at + self.terms.hold_seconds
        rows = execute(SELECT_HOLD + "WHERE held_until > ? ORDER BY held_until, seat_id", (latest,)).fetchall()
        holds = [
            replace(hold, since=hold.since - (hold.until - latest), until=latest)
            for hold in (Hold(*row) for row in rows)
        ]
        for hold in holds:
            execute(
                "UPDATE seat_claims SET held_since = ?, held_until = ? WHERE showing_id = ? AND seat_id = ?",
                (hold.since, hold.until, hold.showing_id, hold.seat_id),
            )
        execute("UPDATE hold_runs SET since = since - (ended - ?), ended = ? WHERE ended > ?", (effects.at,) * 3)
        _tell_ends(holds, effects)

    def clock_set(self, db: sqlite_utils.Database, by: float, now: float) -> Decided[Snapshot]:
        """Move all that counts from now on with a wall clock that was set by so many seconds: forward is more than 0.

        Holds, and the memory of those that ended, then count on as if nothing had happened; whom they concern is told
        of their new end. The answer is all that the present shows at the time as it is now.
        """
        execute = db.conn.execute
        execute(
            "UPDATE seat_claims SET held_since = held_since + ?1, held_until = held_until + ?1 "
            "WHERE held_until IS NOT NULL",
            (by,),
        )
        execute("UPDATE hold_runs SET since = since + ?1, ended = ended + ?1", (by,))
        effects = self.purge(db, now).effects
        _tell_ends([Hold(*row) for row in execute(SELECT_HOLD + RUNNING).fetchall()], effects)
        return Decided(snapshot(db, now), effects)


# Questions that refuse


def unknown_booking(booking_id: str) -> Refusal:
    """The same for one that does not exist and one that the caller may not see."""
    return Refusal("unknown_booking", "There is no such booking.", status=404, details={"booking_id": booking_id})


def _require_active(execute: Execute, sender: Sender, user_id: str) -> None:
    rows = execute(
        "SELECT user_id, role FROM users WHERE user_id IN (?, ?) AND is_active", (sender.user_id, user_id)
    ).fetchall()
    rules.require_active(sender, user_id, dict(rows))


def _require_few_cancellations(execute: Execute, sender: Sender, now: float) -> None:
    if sender.is_of_the_house:
        return
    for theirs, who, most in (
        ("cancelled_by = ?1", sender.user_id, rules.CANCELLATIONS),
        ("address = ?1 AND cancelled_by = user_id", sender.address, rules.CANCELLATIONS_PER_ADDRESS),
    ):
        row = execute(
            f"SELECT cancelled_at FROM bookings WHERE {theirs} AND cancelled_at BETWEEN ?2 AND ?3 "  # noqa: S608  # the above
            "ORDER BY cancelled_at DESC LIMIT 1 OFFSET ?4",
            (who, now - most.seconds, now, most.number - 1),
        ).fetchone()
        if row is not None:
            raise rules.cancelled_too_often(most, row[0], now)


def _known_booking(execute: Execute, booking_id: str, order: Order | HoldOrder) -> Outcome | None:
    """The outcome that this id has, None where it is new. Raises Refusal ``conflict`` where it is another booking's."""
    (is_known,) = execute(
        "SELECT EXISTS (SELECT 1 FROM bookings WHERE booking_id = ?1) "
        "OR EXISTS (SELECT 1 FROM booking_failures WHERE booking_id = ?1)",
        (booking_id,),
    ).fetchone()
    if not is_known:
        return None
    row = execute(SELECT_BOOKING + "WHERE booking_id = ?", (booking_id,)).fetchone()
    if row is not None:
        outcome = booking_of_row(execute, row)
        same_seats = set(outcome.seat_ids) == set(order.seat_ids)
    else:
        row = execute(SELECT_FAILURE + "WHERE booking_id = ?", (booking_id,)).fetchone()
        outcome = failure_of_row(row)
        same_seats = bytes(row[-1]) == rules.asked_digest(order.seat_ids)
    rules.require_same_booking(outcome, same_seats, order)
    return outcome


def _showing_conflict(showing: Showing, message: str) -> Refusal:
    return Refusal("conflict", message, status=409, details={"showing_id": showing.showing_id})


def _room(execute: Execute, asked: ShowingFields, known: Showing | None = None) -> tuple[str, str]:
    """The id and name of the room that is asked for, else of the known showing's."""
    if asked.room_id is not None:
        row = execute("SELECT room_id, name FROM rooms WHERE room_id = ?", (asked.room_id,)).fetchone()
    elif asked.room is not None:
        row = execute("SELECT room_id, name FROM rooms WHERE name = ?", (asked.room,)).fetchone()
    else:
        assert known is not None
        return known.room_id, known.room
    if row is None:
        name = "room_id" if asked.room_id is not None else "room"
        raise Refusal(
            "invalid_request",
            f"showing.{name} must be one of the cinema's rooms.",
            details={"showing_id": asked.showing_id},
        )
    return row[0], row[1]


def _ends_at(asked: ShowingFields, starts_at: int, seconds: int) -> int:
    if asked.ends_at is not None:
        ends_at = seconds_of(asked.ends_at)
    else:
        ends_at = starts_at + (seconds if asked.minutes is None else asked.minutes * 60)
    if ends_at <= starts_at:
        raise Refusal(
            "invalid_request",
            "showing.ends_at must be after starts_at.",
            details={"showing_id": asked.showing_id},
        )
    if not is_in_time(ends_at):
        raise Refusal(
            "invalid_request",
            "showing.starts_at must be earlier: the showing must end in a year from 1970 to 9998.",
            details={"showing_id": asked.showing_id},
        )
    return ends_at


def _prices(asked: ShowingFields, known: Mapping[str, int]) -> dict[str, int]:
    if asked.prices is None:
        return dict(known)
    return {seat_type: cents_of(price) for seat_type, price in asked.prices.items()}


# Changes


def _different(*user_ids: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(user_ids))


def _change_seats(
    execute: Execute,
    showing_id: str,
    seat_ids: Sequence[str],
    status: SeatState,
    effects: Effects,
    *,
    holds: Mapping[str, Hold] | None = None,
) -> None:
    """Count the seats' changes in the showing's version, one each, and note them."""
    if not seat_ids:
        return
    ((latest,),) = execute(
        "UPDATE showings SET version = version + ? WHERE showing_id = ? RETURNING version", (len(seat_ids), showing_id)
    ).fetchall()
    for version, seat_id in enumerate(seat_ids, latest - len(seat_ids) + 1):
        effects.seats.append(SeatChange(showing_id, seat_id, status, version, holds.get(seat_id) if holds else None))


def _end_hold(execute: Execute, hold: Hold, ended: float) -> None:
    """Drop the claim and remember the run."""
    execute(
        "DELETE FROM seat_claims WHERE showing_id = ? AND seat_id = ? AND held_until IS NOT NULL",
        (hold.showing_id, hold.seat_id),
    )
    execute(
        "INSERT OR REPLACE INTO hold_runs (run, showing_id, seat_id, since, ended) VALUES (?, ?, ?, ?, ?)",
        (hold.run, hold.showing_id, hold.seat_id, hold.since, ended),
    )


def _end_holds(
    execute: Execute,
    holds: Sequence[Hold],
    status: Any,
    message: str,
    effects: Effects,
    *,
    told: Sequence[str] = (),
) -> None:
    """End holds, free their seats and notify all whom they concern but those who are ``told`` anyway."""
    seats_of: dict[str, list[str]] = {}
    for hold in holds:
        _end_hold(execute, hold, min(hold.until, effects.at))
        seats_of.setdefault(hold.showing_id, []).append(hold.seat_id)
    for showing_id, seat_ids in seats_of.items():
        _change_seats(execute, showing_id, seat_ids, "available", effects)
    effects.notices += notices_of(holds, status, message, told=told)


def notices_of(holds: Iterable[Hold], status: Any, message: str, *, told: Sequence[str] = ()) -> list[Notice]:
    """One notice for each showing, booking and pair of users whom the holds concern."""
    groups: dict[tuple[str, str | None, tuple[str, ...]], list[Hold]] = {}
    for hold in holds:
        inboxes = tuple(user for user in _different(hold.user_id, hold.placed_by) if user not in told)
        if inboxes:
            groups.setdefault((hold.showing_id, hold.booking_id, inboxes), []).append(hold)
    return [
        Notice(
            inboxes,
            showing_id,
            tuple(hold.seat_id for hold in group),
            status,
            message,
            booking_id,
            expires_at=min(hold.until for hold in group) if status == "held" else None,
        )
        for (showing_id, booking_id, inboxes), group in groups.items()
    ]


def _tell_ends(holds: Sequence[Hold], effects: Effects) -> None:
    """Note that these holds run on, to an end that is another than before."""
    effects.extended += holds
    effects.notices += notices_of(holds, "held", "Held.")


def _rejected(order: HoldOrder, failure: Failure, effects: Effects) -> Decided[Notice]:
    notice = Notice(
        inboxes=_different(order.user_id, order.sender.user_id),
        showing_id=order.showing_id,
        seat_ids=failure.seat_ids,
        status="rejected",
        message=failure.message,
        booking_id=order.booking_id,
        code=failure.code,
    )
    effects.notices.append(notice)
    return Decided(notice, effects)


def _cancel_booking(
    execute: Execute, outcome: Outcome, message: str, effects: Effects, *, by: str | None = None
) -> Outcome:
    """Cancel a confirmed booking, ``by`` an account or because what it was for has ended; a trigger frees its seats."""
    execute(
        "UPDATE bookings SET status = 'cancelled', message = ?, cancelled_at = ?, cancelled_by = ? "
        "WHERE booking_id = ?",
        (message, effects.at, by, outcome.booking_id),
    )
    _change_seats(execute, outcome.showing_id, outcome.seat_ids, "available", effects)
    cancelled = replace(outcome, status="cancelled", message=message, at=effects.at)
    effects.outcomes.append(cancelled)
    return cancelled


def _forget_failures_beyond(execute: Execute, user_id: str) -> list[str]:
    """Keep the latest failures of a visitor or customer; returns the booking ids of those forgotten."""
    rows = execute(
        "SELECT booking_id FROM booking_failures WHERE requested_by = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?",
        (user_id, rules.FAILURES_KEPT_PER_CUSTOMER),
    ).fetchall()
    for row in rows:
        execute("DELETE FROM booking_failures WHERE booking_id = ?", row)
    return [booking_id for (booking_id,) in rows]
